"""`zoo card RUN_FOLDER [--output_dir model_cards/ID]`: copy what is published of a run, with its card.

Without --output_dir, rewrite the card beside results.json. The examples of a card are run, and the card shows their
outputs; what a person wrote outside of the generated blocks is kept.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from . import Parser, guarded


def refresh_publish(run: Path) -> None:
    """Copy the `publish` section of the library's recipe into a folder's record and recipe.

    Raises:
        UsageError: The library has no such recipe.
    """
    from zoo.record import RunRecord, write_whole
    from zoo.training.recipe import load_recipe, read_yaml, write_yaml

    record = RunRecord.read(run)
    record.recipe["publish"] = load_recipe(record.model_id).publish
    if (run / "recipe.yaml").is_file():
        content = read_yaml(run / "recipe.yaml", "recipe")
        content["publish"] = record.recipe["publish"]
        write_whole(run / "recipe.yaml", write_yaml(content))
    record.write(run)


def card(argv: list[str]) -> None:
    """Stage a finished run; without --output_dir, write only the card beside its results.json."""
    parser = Parser("zoo card", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run, or a card folder")
    parser.add_argument("--output_dir", type=Path, help="card folder to make or replace")
    parser.add_argument("--repo_id", help="the repository that the card names; default: primer-zoo/ID")
    parser.add_argument("--no_examples", action="store_true", help="do not run the card's examples again")
    refresh = "take title, limits and so on from the library's recipe of this id"
    parser.add_argument("--refresh_publish", action="store_true", help=refresh)
    arguments = parser.parse_args(argv)
    if arguments.repo_id and arguments.no_examples:
        parser.error("--repo_id with --no_examples: the examples contain the repository, and must run again")

    from zoo.hub.card import default_repo_id, write_card
    from zoo.hub.clean import Workers
    from zoo.hub.stage import check_run, stage
    from zoo.hub.usage import run_examples

    if arguments.refresh_publish:
        refresh_publish(arguments.run)
    record = None if arguments.no_examples else check_run(arguments.run)
    with Workers() as workers:
        ran = None if record is None else workers
        if record is not None:
            print("running the examples of the card")
        if arguments.output_dir is not None:
            for file in stage(arguments.run, arguments.output_dir, arguments.repo_id, workers=ran):
                print(f"{file.stat().st_size:>12,}  {file}")
            return
        if record is not None:
            run_examples(arguments.run, record, arguments.repo_id or default_repo_id(record), None, workers)
            record.write(arguments.run)
    print(f"wrote {write_card(arguments.run)}")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(card, argv)
