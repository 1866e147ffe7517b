"""`zoo train RECIPE [--flag value ...]`."""

from collections.abc import Sequence

from . import guarded


def train(argv: list[str]) -> None:
    """Parse the command line and run."""
    from zoo.training.command_line import parse_run
    from zoo.training.run import run

    run(parse_run(argv), argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(train, argv)
