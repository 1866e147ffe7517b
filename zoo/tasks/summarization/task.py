"""The data section of a summarization recipe."""

from dataclasses import dataclass, field
from typing import Any

from zoo.tasks.base import TaskData

from ..text.arguments import TextArguments
from ..text.loading import load_data as load_texts


@dataclass
class SummarizationArguments(TextArguments):
    """The `data` section of a summarization recipe."""

    max_source_length: int = field(default=256, metadata={"help": "Tokens of a text, with its end sign."})
    max_target_length: int = field(
        default=64, metadata={"help": "Tokens of a summary, with its end sign, in training and in what is generated."}
    )
    over_long: str = field(
        default="truncate",
        metadata={"help": "What becomes of longer training pairs: drop or truncate. Others are cut."},
    )
    max_characters: int | None = field(
        default=None, metadata={"help": "Drop training pairs with a side of more characters."}
    )
    max_length_ratio: float | None = field(
        default=None,
        metadata={"help": "Drop training pairs whose target is so many times longer or shorter than usual."},
    )


def read_named(arguments: SummarizationArguments) -> Any:
    """(splits, notes) of Debian's package descriptions; None for another name."""
    from zoo.data.package_descriptions import NAME, load_package_descriptions

    if arguments.dataset_name != NAME:
        return None
    splits = load_package_descriptions(arguments.data_dir)
    return splits, {"licence": "of the packages' maintainers, as part of Debian"}


def load_data(arguments: SummarizationArguments, config: Any, processor: Any = None) -> TaskData:
    """The pairs of a run; see `zoo/tasks/text/loading.py`."""
    return load_texts(arguments, config, processor, read_named=read_named)


__all__ = ["SummarizationArguments", "load_data", "read_named"]
