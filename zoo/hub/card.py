"""The model card: README.md written from results.json alone."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from zoo.pretrained import ORGANISATION, known_models
from zoo.record import RunRecord, write_whole
from zoo.registry import load_task

from .blocks import Card, merge
from .metadata import check_metadata, metadata

TEMPLATES = Path(__file__).parent / "templates"
CARD_NAME = "README.md"
NEEDED = ("title", "license", "summary", "limits")


@dataclass(frozen=True)
class Example:
    """One code example of a card.

    Args:
        name: "pipeline", "remote", ...
        code: What the card shows.
        without_library: Whether it must run where `zoo` is not installed.
    """

    name: str
    code: str
    without_library: bool = False


def default_repo_id(record: RunRecord) -> str:
    """The repository that a card names until it is published elsewhere."""
    return record.usage.get("repo_id") or f"{ORGANISATION}/{record.model_id}"


def sentence(text: str) -> str:
    """The text with a capital letter and a full stop."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) or not text else ".")


def table_cell(text: str) -> str:
    """The text, escaped for a cell of a Markdown table."""
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def number(value: object = "") -> str:
    """A metric, counts as whole numbers; empty if there is none."""
    return f"{value:.4f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else ""


def quoted(text: object) -> str:
    """A text of the data as a Python literal for an example's code."""
    text = str(text)
    plain = text.isprintable() and "\\" not in text and '"""' not in text and not text.endswith('"')
    return f'"""{text}"""' if plain else json.dumps(text)


def _context(record: RunRecord) -> dict[str, Any]:
    """The variables of the templates."""
    repo_id, revision = default_repo_id(record), record.usage.get("revision")
    model_id = repo_id.removeprefix(f"{ORGANISATION}/")
    named = model_id == record.model_id and model_id in known_models()
    sections = {key: record.recipe[key] for key in ("data", "model", "training") if record.recipe.get(key)}
    return {
        "record": record,
        "publish": record.recipe.get("publish", {}),
        "split": record.split,
        "metric": record.fit["metric"],
        "auto_class": load_task(record.recipe["task"]).auto_class.__name__,
        "repo_id": repo_id,
        "model_expression": f'zoo.pretrained("{model_id}")' if named else f'"{repo_id}"',
        "remote_options": (f'revision="{revision}", ' if revision else "") + "trust_remote_code=True",
        "ran": bool(record.usage.get("examples")),
        "training_yaml": yaml.safe_dump(sections, sort_keys=False),
    }


def _check(record: RunRecord) -> None:
    """Refuse a record that lacks what every card needs."""
    publish = record.recipe.get("publish", {})
    if "metric" not in record.fit:
        raise ValueError(f"{record.model_id}: the record lacks what its card needs: 'fit' has no 'metric'")
    for key in NEEDED:
        if not publish.get(key):
            raise ValueError(f"{record.model_id}: a card needs {key!r} in the recipe's `publish` section")
    for key, value in publish.items():
        for text in value if isinstance(value, list) else [value]:
            if not isinstance(text, str):
                raise ValueError(
                    f"{record.model_id}: `publish`, {key}: {text!r} is not a text: quote it in the recipe"
                )


def build_card(record: RunRecord) -> tuple[Card, list[Example]]:
    """The generated parts of a card, by the template of the record's task, and its code examples.

    Raises:
        ValueError: The record lacks something that the card needs, or the Hub would refuse the metadata.
    """
    from jinja2 import (
        Environment,
        FileSystemLoader,
        StrictUndefined,
        TemplateNotFound,
        TemplateRuntimeError,
        UndefinedError,
    )

    _check(record)
    blocks: dict[str, str] = {}
    examples: dict[str, Example] = {}

    def part(text: str, name: str) -> str:
        text = re.sub(r"\n{3,}", "\n\n", text).strip()
        if text:
            blocks[name] = text
        return ""

    def executed(code: str, name: str, without_library: bool = False) -> str:
        example = Example(name, code.strip() + "\n", without_library)
        if name in examples:
            raise ValueError(f"the card template of {record.recipe['task']} has two examples named {name!r}")
        examples[name] = example
        ran = record.usage.get("examples", {}).get(name, {})
        output = f"\n```text\n{ran['output']}```\n" if ran.get("code") == example.code else ""
        return f"```python\n{example.code}```\n{output}"

    loader = FileSystemLoader(TEMPLATES)
    environment = Environment(loader=loader, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.keep_trailing_newline = True
    environment.filters |= {"part": part, "executed": executed, "sentence": sentence}
    environment.filters |= {"cell": table_cell, "quoted": quoted, "number": number}
    try:
        environment.get_template(f"{record.recipe['task']}.md.jinja").render(**_context(record))
    except UndefinedError as error:
        raise ValueError(f"{record.model_id}: the record lacks what its card needs: {error.message}") from None
    except TemplateNotFound as error:
        raise ValueError(f"{record.model_id}: zoo/hub/templates has no {error.name}, the text of its card") from None
    except TemplateRuntimeError as error:  # it lacks a required block
        raise ValueError(f"zoo/hub/templates/{record.recipe['task']}.md.jinja: {error.message}") from None
    except TypeError as error:  # a value to format is missing or is not a number
        raise ValueError(f"{record.model_id}: the record has no number where its card shows one: {error}") from None
    head = metadata(record, record.fit["metric"])
    check_metadata(head, record.model_id)
    return Card(head, blocks), list(examples.values())


def read_card(text: str, where: str) -> Card | None:
    """Parse an earlier card; None for one that the library wrote before its cards had blocks.

    Raises:
        ValueError: Somebody else wrote it, and it would be lost.
    """
    card = Card.parse(text)
    if card.blocks:
        return card
    if ORGANISATION in (card.head.get("tags") or []) and card.mark is None:
        return None
    raise ValueError(f"{where} was not written by this library, and would be lost: move it away")


def render_card(record: RunRecord, earlier: str | None = None) -> str:
    """The whole card; what a person wrote into an `earlier` one, outside of the generated blocks, is kept.

    Raises:
        ValueError: The record lacks something that the card needs, or somebody else wrote the earlier card.
    """
    generated, _ = build_card(record)
    return merge(generated, read_card(earlier, CARD_NAME) if earlier is not None else None)


def write_card(folder: Path | str) -> Path:
    """Write README.md beside the results.json of a folder; a person's additions are kept."""
    path = Path(folder) / CARD_NAME
    earlier = path.read_text(encoding="utf-8") if path.is_file() else None
    return write_whole(path, render_card(RunRecord.read(folder), earlier))


__all__ = ["Example", "build_card", "default_repo_id", "read_card", "render_card", "write_card"]
