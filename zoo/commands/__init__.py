"""The commands: `zoo train`, `zoo evaluate`, ...; scripts/ calls the same functions."""

import argparse
import io
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import NoReturn

# Name -> (module, what it does). A module called `list` would hide the builtin in this package.
COMMANDS = {
    "train": ("train", "train a model by a recipe"),
    "evaluate": ("evaluate", "measure a saved model again"),
    "tune": ("tune", "search what a recipe leaves open"),
    "study": ("study", "train variants of a recipe and compare them"),
    "card": ("card", "write the model card of a finished run"),
    "publish": ("publish", "put a finished run on the Hub, and verify it"),
    "list": ("catalogue", "list recipes and shipped models"),
}


INTERRUPTED = "interrupted; go on with --resume_from_checkpoint last"


class Parser(argparse.ArgumentParser):
    """A parser whose complaints `guarded` tells, as any other: argparse would print what may be a token."""

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        from zoo.training.recipe import UsageError

        raise UsageError(message)


def guarded(command: Callable[[list[str]], None], argv: Sequence[str] | None, interrupted: str = INTERRUPTED) -> int:
    """Run a command: 0 if it went well, 2 for a wrong call, 1 for a failure, each told in one line.

    `--debug` anywhere on the command line shows the traceback as well.
    """
    from zoo.training.recipe import UsageError

    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # progress shows in a log file, too
    try:
        command(arguments)
    except UsageError as error:
        return _tell(error, 2, debug)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return _tell(error, 1, debug)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 0


def _tell(error: BaseException, code: int, debug: bool) -> int:
    from zoo.hub.tokens import scrub

    if debug:
        print(scrub(traceback.format_exc()), file=sys.stderr)
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"error: {scrub(message)}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """The `zoo` command."""
    from importlib import import_module

    parser = argparse.ArgumentParser(
        prog="zoo", description="Classic deep-learning architectures for the Hugging Face ecosystem."
    )
    described = "; ".join(f"{name}: {what}" for name, (_, what) in COMMANDS.items())
    parser.add_argument("command", choices=COMMANDS, help=described)
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="arguments of the command")
    parsed = parser.parse_args(argv)
    module, _ = COMMANDS[parsed.command]
    return import_module(f"zoo.commands.{module}").main(parsed.arguments)
