"""The YAML head of a card, checked as far as possible without the Hub."""

import math
import re
from typing import Any

import yaml
from huggingface_hub import EvalResult, ModelCardData

from zoo.pretrained import ORGANISATION, known_models
from zoo.record import RunRecord
from zoo.registry import load_task, nearest

from .options import REPO_ID

RELATIONS = ["adapter", "finetune", "merge", "quantized"]
# Key -> (the form of a value, an example). The Hub's own lists grow; it checks them when a card is uploaded.
FORMS = {
    "library_name": (re.compile(r"[\w.-]+"), "transformers"),
    "pipeline_tag": (re.compile(r"[a-z0-9]+(-[a-z0-9]+)*"), "image-classification"),
    "license": (re.compile(r"[a-z0-9]+([.+-][a-z0-9]+)*\+{0,2}"), "apache-2.0, or `other` with license_name"),
    "license_name": (re.compile(r"\S+"), "my-license"),
    "license_link": (re.compile(r"\S+"), "LICENSE"),
    "language": (re.compile(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*|code|multilingual"), "en or deu"),
    "datasets": (REPO_ID, "org/name"),
    "metrics": (re.compile(r"\S+"), "accuracy"),
    "base_model": (REPO_ID, "org/name"),
    "base_model_relation": (re.compile("|".join(RELATIONS)), " or ".join(RELATIONS)),
    "tags": (re.compile(r"\S(.*\S)?"), "vision"),
}
LISTS = ("language", "datasets", "metrics", "tags")


def base_model(record: RunRecord) -> str | None:
    """The Hub id of the model that training started from; None for random weights or a local folder."""
    start = record.recipe.get("model_name_or_path") or ""
    name = start.rstrip("/").split("/")[-1]
    if name in known_models():
        return f"{ORGANISATION}/{name}"
    is_id = REPO_ID.fullmatch(start) and start.count("/") == 1 and not start.startswith("runs/")
    return start if is_id else None


def metadata(record: RunRecord, metric: str) -> dict[str, Any]:
    """The head of a run's card; `metric` is the primary one."""
    publish, split, base = record.recipe.get("publish", {}), record.split, base_model(record)
    task = load_task(record.recipe["task"]).hub_tag()
    dataset = (publish.get("datasets") or [record.recipe.get("data", {}).get("dataset_name") or "own data"])[0]
    result = EvalResult(
        task_type=task,
        dataset_type=dataset,
        dataset_name=str(dataset).split("/")[-1],
        dataset_split=split,
        metric_type=metric,
        metric_value=round(record.metrics[split][metric], 6),
    )
    head = ModelCardData(
        library_name="transformers",
        pipeline_tag=task,
        **{key: publish.get(key) for key in ("license", "license_name", "license_link", "language", "datasets")},
        metrics=[metric],
        base_model=base,
        base_model_relation="finetune" if base else None,
        tags=[*publish.get("tags", []), ORGANISATION],
        model_name=record.model_id,
        eval_results=[result],
    ).to_dict()
    return {key: head[key] for key in sorted(head, key=lambda key: key == "model-index") if head[key]}


def check_metadata(head: dict[str, Any], where: str) -> None:
    """Raise a ValueError, which begins with `where`, that names each key that the Hub would refuse and why."""
    errors = []
    for key, (form, example) in FORMS.items():
        if key not in head:
            continue
        for text in head[key] if key in LISTS and isinstance(head[key], list) else [head[key]]:
            if not isinstance(text, str) or not text.strip():
                errors.append(f"{key}: {text!r} is not a text (quote `no` and `1.0` in YAML)")
            elif not form.fullmatch(text):
                hint = nearest(text, RELATIONS) if key == "base_model_relation" else f"write it like {example}"
                errors.append(f"{key}: {text!r} is not valid; {hint}")
    if "license" not in head:
        errors.append("license: missing")
    if head.get("license") == "other" and not head.get("license_name"):
        errors.append("license_name: missing, which `license: other` needs")
    index: Any = {"model-index": head.get("model-index") or []}
    try:
        for result in ModelCardData(**index).eval_results or []:
            if type(result.metric_value) not in (int, float) or not math.isfinite(result.metric_value):
                errors.append(f"model-index: {result.metric_type} is {result.metric_value!r}, not a number")
    except (ValueError, AttributeError, TypeError) as error:
        errors.append(f"model-index: {' '.join(str(error).split())}")
    if not errors and yaml.safe_load(yaml.safe_dump(head, allow_unicode=True)) != head:
        errors.append("it changes when it is written as YAML")
    if errors:
        raise ValueError(f"{where}: the card's metadata: {'; '.join(errors)}")


__all__ = ["check_metadata", "metadata"]
