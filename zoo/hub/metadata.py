"""The YAML head of a card, checked without the Hub as the Hub would check it."""

import re
from typing import Any

import yaml

from zoo.pretrained import ORGANISATION, known_models
from zoo.record import RunRecord
from zoo.registry import load_task, nearest

# The Hub's lists, as of its package @huggingface/tasks 0.21 and its page on licences.
PIPELINE_TAGS = """
    any-to-any audio-classification audio-text-to-text audio-to-audio automatic-speech-recognition depth-estimation
    document-question-answering feature-extraction fill-mask graph-ml image-classification image-feature-extraction
    image-segmentation image-text-to-image image-text-to-text image-text-to-video image-to-3d image-to-image
    image-to-text image-to-video keypoint-detection mask-generation multiple-choice object-detection other
    question-answering reinforcement-learning robotics sentence-similarity summarization table-question-answering
    table-to-text tabular-classification tabular-regression tabular-to-text text-classification text-generation
    text-ranking text-retrieval text-to-3d text-to-audio text-to-image text-to-speech text-to-video
    time-series-forecasting token-classification translation unconditional-image-generation video-classification
    video-text-to-text video-to-video visual-document-retrieval visual-question-answering voice-activity-detection
    zero-shot-classification zero-shot-image-classification zero-shot-object-detection
""".split()
LICENCES = """
    afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
    bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0
    eupl-1.1 eupl-1.2 fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research
    intel-research isc lgpl lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit
    mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1 openmdw-1.0 openrail openrail++ osl-3.0 other pddl postgresql unknown
    unlicense wtfpl zlib
""".split()
# ISO 639-1, and the two words that the Hub takes in its place; three letters are ISO 639-3, which has thousands.
LANGUAGES = """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en
    eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv
    ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne
    ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st
    su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
    code multilingual
""".split()
RELATIONS = ("adapter", "finetune", "merge", "quantized")
REPO_ID = re.compile(
    r"(?!.*(?:--|\.\.))[A-Za-z0-9][\w.-]{0,95}(?:/[A-Za-z0-9][\w.-]{0,95})?(?<![.-])(?<!\.git)", flags=re.ASCII
)


def measured_split(record: RunRecord) -> str:
    """The split whose figures a card shows: test, or validation without one."""
    return "test" if "test" in record.metrics else "validation"


def model_index(record: RunRecord, metric_type: str) -> list[dict[str, Any]]:
    """The results in the form in which the Hub lists them."""
    split = measured_split(record)
    publish = record.recipe.get("publish", {})
    dataset = (publish.get("datasets") or [record.recipe.get("data", {}).get("dataset_name") or "own data"])[0]
    result = {
        "task": {"type": load_task(record.recipe["task"]).hub_tag},
        "dataset": {"name": str(dataset).split("/")[-1], "type": dataset, "split": split},
        "metrics": [{"type": metric_type, "value": round(record.metrics[split][metric_type], 6)}],
    }
    return [{"name": record.model_id, "results": [result]}]


def base_model(record: RunRecord) -> str | None:
    """The Hub id of the model that training started from; None from random weights, or from a folder of one's own."""
    start = record.recipe.get("model_name_or_path") or ""
    name = start.rstrip("/").split("/")[-1]
    if name in known_models():
        return f"{ORGANISATION}/{name}"
    is_id = REPO_ID.fullmatch(start) and start.count("/") == 1 and not start.startswith("runs/")
    return start if is_id else None


def metadata(record: RunRecord, metric_type: str) -> dict[str, Any]:
    """The head of a run's card."""
    publish = record.recipe.get("publish", {})
    base = base_model(record)
    tags = [*publish.get("tags", []), ORGANISATION]
    head = {
        "library_name": "transformers",
        "pipeline_tag": load_task(record.recipe["task"]).hub_tag,
        "license": publish.get("license"),
        "license_name": publish.get("license_name"),
        "language": publish.get("language"),
        "datasets": publish.get("datasets"),
        "metrics": [metric_type],
        "base_model": base,
        "base_model_relation": "finetune" if base else None,
        "tags": list(dict.fromkeys(tags)),
        "model-index": model_index(record, metric_type),
    }
    return {key: value for key, value in head.items() if value not in (None, "", [])}


def _texts(head: dict[str, Any], key: str) -> list[Any]:
    value = head.get(key)
    return [] if value is None else value if isinstance(value, list) else [value]


def metadata_errors(head: dict[str, Any]) -> list[str]:
    """What the Hub would refuse or not understand in a card's head; each names the key and what is wrong."""
    errors = []
    no_text = "is not a text (YAML reads `no` and `1.0` as something else: quote it)"
    for key in ("library_name", "pipeline_tag", "license", "license_name", "base_model", "base_model_relation"):
        if key in head and not isinstance(head[key], str):
            errors.append(f"{key}: {head[key]!r} {no_text}")
    for key in ("language", "datasets", "metrics", "tags"):
        for value in _texts(head, key):
            if not isinstance(value, str) or not value.strip():
                errors.append(f"{key}: {value!r} {no_text}")
    if errors:
        return errors
    for key, value, known in (
        ("pipeline_tag", head.get("pipeline_tag"), PIPELINE_TAGS),
        ("license", head.get("license"), LICENCES),
        ("base_model_relation", head.get("base_model_relation"), list(RELATIONS)),
    ):
        if value is not None and value not in known:
            errors.append(f"{key}: the Hub knows no {value!r}; {nearest(value, known)}")
    if "license" not in head:
        errors.append("license: missing")
    if head.get("license") == "other" and not head.get("license_name"):
        errors.append("license_name: missing, which `license: other` needs")
    for value in _texts(head, "language"):
        if value not in LANGUAGES and not re.fullmatch(r"[a-z]{3}", value):
            errors.append(f"language: {value!r} is no ISO 639 code such as en")
    for key in ("datasets", "base_model"):
        for value in _texts(head, key):
            if not REPO_ID.fullmatch(value):
                errors.append(f"{key}: {value!r} is no id of the Hub such as org/name")
    return errors + _index_errors(head.get("model-index", []))


def _index_errors(models: Any) -> list[str]:
    """What is wrong with the model-index, the Hub's list of results."""
    errors = []
    try:
        for model in models:
            assert isinstance(model["name"], str), "name"
            for result in model["results"]:
                assert result["task"]["type"] in PIPELINE_TAGS, f"task.type {result['task']['type']!r}"
                for key in ("name", "type"):
                    assert isinstance(result["dataset"][key], str) and result["dataset"][key], f"dataset.{key}"
                for metric in result["metrics"]:
                    assert isinstance(metric["type"], str) and metric["type"], "metrics.type"
                    value = metric["value"]
                    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
                    assert finite, f"metrics.value {value!r}"
    except (AssertionError, KeyError, TypeError) as error:
        errors.append(f"model-index: {' '.join(str(error).split())} is missing or wrong")
    return errors


def check_metadata(head: dict[str, Any], where: str) -> None:
    """Raise for metadata that the Hub would refuse.

    Raises:
        ValueError: Names the keys, what is wrong with each and the nearest right value.
    """
    errors = metadata_errors(head)
    if not errors and yaml.safe_load(yaml.safe_dump(head, allow_unicode=True)) != head:
        errors.append("it does not survive YAML")
    if errors:
        raise ValueError(f"{where}: the card's metadata: {'; '.join(errors)}")


__all__ = ["check_metadata", "measured_split", "metadata", "metadata_errors"]
