"""`zoo card RUN_FOLDER [--output_dir model_cards/ID]`: copy what is published of a run, with its card."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import guarded


def card(argv: list[str]) -> None:
    """Stage a finished run; without --output_dir, write only the card beside its results.json."""
    from zoo.hub.card import write_card
    from zoo.hub.stage import stage

    parser = argparse.ArgumentParser(prog="zoo card", description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--output_dir", type=Path, help="card folder to make or replace")
    arguments = parser.parse_args(argv)
    if arguments.output_dir is None:
        print(f"wrote {write_card(arguments.run)}")
        return
    for file in stage(arguments.run, arguments.output_dir):
        print(f"{file.stat().st_size:>12,}  {file}")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(card, argv)
