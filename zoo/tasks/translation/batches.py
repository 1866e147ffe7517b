"""The data section of a translation recipe."""

from dataclasses import dataclass, field
from typing import Any

from zoo.task import TaskData

from ..text.arguments import TextArguments
from ..text.loading import load_data as load_texts


@dataclass
class TranslationArguments(TextArguments):
    """The `data` section of a translation recipe."""

    source_lang: str | None = field(default=None, metadata={"help": "Language of the sources: en, de, ..."})
    target_lang: str | None = field(default=None, metadata={"help": "Language of the targets: en, de, ..."})


def read_named(arguments: TranslationArguments) -> Any:
    """(splits, notes) of a parallel corpus that the library knows; None for another name.

    Raises:
        ValueError: The languages are not given.
    """
    from zoo.data.named_pairs import NAMED_PAIRS, load_named_pairs

    named = NAMED_PAIRS.get(arguments.dataset_name or "")
    if named is None:
        return None
    if not arguments.source_lang or not arguments.target_lang:
        raise ValueError(f"{arguments.dataset_name}: say which languages, e.g. --source_lang en --target_lang de")
    splits = load_named_pairs(
        arguments.dataset_name or "", arguments.source_lang, arguments.target_lang, arguments.data_dir
    )
    return splits, {"licence": named.licence, "homepage": named.homepage}


def load_data(arguments: TranslationArguments, config: Any, processor: Any = None) -> TaskData:
    """The pairs of a run; see `zoo/tasks/text/loading.py`."""
    data = load_texts(arguments, config, processor, read_named=read_named)
    languages = {"source_lang": arguments.source_lang, "target_lang": arguments.target_lang}
    data.notes = {**data.notes, **languages}
    return data


__all__ = ["TranslationArguments", "load_data", "read_named"]
