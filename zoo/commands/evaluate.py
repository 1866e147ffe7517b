"""`zoo evaluate MODEL [--split test] [--flag value ...]`."""

from collections.abc import Sequence

from . import guarded


def evaluate(argv: list[str]) -> None:
    """Parse the command line, measure and print."""
    import zoo  # noqa: F401  registers the families
    from zoo.training.evaluate import evaluate

    evaluate(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(evaluate, argv)
