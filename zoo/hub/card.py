"""The model card: README.md written from results.json alone."""

from pathlib import Path
from typing import Any

import yaml

from zoo.record import RunRecord, write_whole
from zoo.registry import load_task

TEMPLATES = Path(__file__).parent / "templates"
CARD_NAME = "README.md"


def model_index(record: RunRecord, metric_type: str) -> list[dict[str, Any]]:
    """The results in the form in which the Hub lists them: the test split, or the validation split without one."""
    split = "test" if "test" in record.metrics else "validation"
    publish = record.recipe.get("publish", {})
    dataset = (publish.get("datasets") or [record.recipe["data"].get("dataset_name", "own data")])[0]
    result = {
        "task": {"type": load_task(record.recipe["task"]).hub_tag},
        "dataset": {"name": dataset.split("/")[-1], "type": dataset, "split": split},
        "metrics": [{"type": metric_type, "value": round(record.metrics[split][metric_type], 6)}],
    }
    return [{"name": record.model_id, "results": [result]}]


def metadata(record: RunRecord, metric_type: str) -> dict[str, Any]:
    """The YAML head of the card."""
    publish = record.recipe.get("publish", {})
    head = {
        "library_name": "transformers",
        "pipeline_tag": load_task(record.recipe["task"]).hub_tag,
        "license": publish.get("license"),
        "language": publish.get("language"),
        "datasets": publish.get("datasets"),
        "metrics": [metric_type],
        "base_model": record.recipe.get("model_name_or_path"),
        "tags": [*publish.get("tags", []), "primer-zoo"],
        "model-index": model_index(record, metric_type),
    }
    return {key: value for key, value in head.items() if value}


def table_cell(text: str) -> str:
    """A text that may stand in a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def render_card(record: RunRecord) -> str:
    """The whole card, by the template of the record's task.

    Raises:
        ValueError: The record lacks something that a card must say; the message names it.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, UndefinedError

    publish = record.recipe.get("publish", {})
    for key in ("title", "license", "summary", "limits"):
        if not publish.get(key):
            raise ValueError(f"{record.model_id}: a card needs {key!r} in the recipe's `publish` section")
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = table_cell
    metric = record.fit["metric"]
    context = {
        "record": record,
        "publish": publish,
        "split": "test" if "test" in record.metrics else "validation",
        "metric": metric,
        "training_yaml": yaml.safe_dump(
            {key: record.recipe[key] for key in ("data", "model", "training") if record.recipe.get(key)},
            sort_keys=False,
        ),
    }
    try:
        body = environment.get_template(f"{record.recipe['task']}.md.jinja").render(**context)
    except UndefinedError as error:
        raise ValueError(f"{record.model_id}: the record lacks what its card must say: {error.message}") from None
    head = yaml.safe_dump(metadata(record, metric), sort_keys=False, allow_unicode=True)
    return f"---\n{head}---\n\n{body.strip()}\n"


def write_card(folder: Path | str) -> Path:
    """Write README.md beside the results.json of a folder, whole or not at all."""
    return write_whole(Path(folder) / CARD_NAME, render_card(RunRecord.read(folder)))


__all__ = ["render_card", "write_card"]
