"""`zoo tune RECIPE [--trials N] [--algorithm tpe] [--flag value ...]`: search the best values of a recipe's fields."""

import argparse
import difflib
import shlex
from collections.abc import Sequence

from zoo.training.recipe import UsageError, read_recipe

from . import Parser, guarded
from .study import check_flags

INTERRUPTED = "interrupted; go on with the same command and --resume"


def make_parser() -> argparse.ArgumentParser:
    """The command's own flags; unknown ones go to `zoo train` of every trial."""
    parser = Parser(
        "zoo tune",
        description=f"{__doc__} Other flags are those of `zoo train` and hold for every trial, winner and default.",
    )
    add = parser.add_argument
    add("recipe", help="the id or the path of a recipe; its search section or its family's default space is searched")
    add("--space", action="append", default=[], metavar="FIELD=SPEC",
        help='search a field, e.g. "training.learning_rate={loguniform: [1e-4, 1e-2]}" or "model.dropout=[0, 0.2]", '
        'or fix it, e.g. "training.optim=sgd"; can be given several times')  # fmt: skip
    add("--algorithm", help="how points are chosen: random, grid, tpe (Optuna) or pbt (population-based training)")
    add("--scheduler", help="what stops trials early: asha or none")
    add("--trials", type=int, help="number of points, or of a population's members")
    add("--epochs", type=int, help="epochs of a whole trial; default: the recipe's")
    add("--minutes", type=float, help="stop all trials after so many minutes")
    add("--total_epochs", type=int, help="stop all trials after so many epochs in all")
    add("--grace_epochs", type=int, help="epochs before which ASHA stops no trial")
    add("--reduction_factor", type=int, help="ASHA keeps one trial of so many")
    add("--perturb_epochs", type=int, help="epochs between two comparisons of a population")
    add("--search_seed", type=int, help="seed of the choice of points")
    add("--cpus_per_trial", type=float, help="CPU cores of a trial")
    add("--gpus_per_trial", type=float, help="GPUs of a trial; a fraction shares one")
    add("--jobs", type=int, default=0,
        help="trials at a time (of pbt on a cluster: all); default: as many as there is room for")  # fmt: skip
    add("--address", help="address of a Ray cluster (host:port, ray://host:port, auto); default: this machine alone")
    add(
        "--output_dir",
        help="the folder of the results, shared by all machines; default: runs/tune/RECIPE",
    )
    add("--resume", action="store_true", help="go on with an interrupted search")
    add("--seed", type=int, help="seed of every training, instead of the recipe's")
    add("--skip_final", action="store_true", help="do not train winner and default at full length for test metrics")
    add("--final_seeds", type=int, nargs="+", help="seeds of these final trainings; default: one")
    return parser


def tune(argv: list[str]) -> None:
    """Parse the command line, search, and train the winner beside the default."""
    parser = make_parser()
    arguments, flags = parser.parse_known_args(argv)
    check_flags(flags, "a search sets it itself for each trial", '; fix a field with --space "model.FIELD=VALUE"')
    for flag in flags:  # unknown ones go to `zoo train`, whose error would suggest its own
        if close := difflib.get_close_matches(flag.partition("=")[0], parser._option_string_actions, n=1, cutoff=0.85):
            raise UsageError(f"unknown argument {flag!r}; did you mean {close[0]!r}?")
    if arguments.jobs < 0:
        raise UsageError(f"--jobs {arguments.jobs}: must not be negative")
    read_recipe(arguments.recipe)  # a misspelt name is an error before Ray and torch are imported
    from zoo.tuning.search import make_search

    search = make_search(arguments, flags, shlex.join(["zoo", "tune", *argv]))
    seeds = [] if arguments.skip_final else list(dict.fromkeys(arguments.final_seeds or [search.work.seed]))
    search.run(arguments.address, arguments.jobs, arguments.resume, seeds)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(tune, argv, INTERRUPTED)
