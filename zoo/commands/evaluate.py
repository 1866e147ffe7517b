"""`zoo evaluate MODEL [--split test] [--flag value ...]`."""

from collections.abc import Sequence

from . import guarded


def evaluate(argv: list[str]) -> None:
    """Parse the command line, measure and print."""
    from zoo.training.weights import named_model

    named_model(argv)  # help and a wrong name are answered before torch is imported

    from zoo.training.evaluate import evaluate

    evaluate(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(evaluate, argv)
