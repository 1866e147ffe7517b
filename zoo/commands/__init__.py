"""The commands: `zoo train`, `zoo evaluate`, ...; the scripts call the same functions."""

import argparse
import io
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, NoReturn

from zoo import __version__
from zoo.registry import nearest, unknown_argument
from zoo.training.recipe import UsageError

# Name -> (module, what it does). A module called `list` would hide the builtin in this package.
COMMANDS = {
    "train": ("train", "train a model by a recipe"),
    "evaluate": ("evaluate", "measure a saved model"),
    "translate": ("translate", "translate files of sentences, for example for back-translation"),
    "tune": ("tune", "search hyperparameters and layers with Ray Tune"),
    "study": ("study", "train variants of a recipe and compare them"),
    "card": ("card", "write the model card of a finished run"),
    "export": ("export", "write a model for onnxruntime or CTranslate2"),
    "publish": ("publish", "upload a finished run to the Hub and verify it"),
    "demo": ("demo", "show the shipped models in the browser"),
    "list": ("catalogue", "list recipes, studies and shipped models"),
}
INTERRUPTED = "interrupted; continue with --resume_from_checkpoint last"


class Parser(argparse.ArgumentParser):
    """A parser without abbreviations that raises its errors, so that `guarded` can hide tokens in them."""

    def __init__(self, prog: str, **kwargs: Any):
        super().__init__(prog, allow_abbrev=False, **kwargs)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """The arguments.

        Raises:
            UsageError: An argument is unknown: it is named before one that is missing for it.
        """
        for argument in sys.argv[1:] if args is None else args:
            flag = argument.split("=")[0]
            if flag.startswith("--") and len(flag) > 2 and flag not in self._option_string_actions:
                raise UsageError(unknown_argument(flag, self))
        parsed, unknown = self.parse_known_args(args, namespace)
        if unknown:
            raise UsageError(unknown_argument(unknown[0], self))
        return parsed

    def error(self, message: str) -> NoReturn:
        """Raise a UsageError."""
        raise UsageError(message)


def guarded(command: Callable[[list[str]], None], argv: Sequence[str] | None, interrupted: str = INTERRUPTED) -> int:
    """Run a command and print an error as one line; `--debug` prints the traceback too.

    Returns:
        0, or 2 for a usage error, 1 for a failure, 130 after Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a log file shows progress line by line
    try:
        command(arguments)
    except UsageError as error:
        return _print_error(error, 2, debug)
    except BrokenPipeError:  # `zoo list | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        return _print_error(error, 1, debug)
    except KeyboardInterrupt:
        print(interrupted, file=sys.stderr)
        return 130
    return 0


def _print_error(error: BaseException, code: int, debug: bool) -> int:
    from zoo.hub.tokens import scrub

    if debug:
        print(scrub(traceback.format_exc()), file=sys.stderr)
    message = " ".join(str(error).split()) or type(error).__name__
    print(f"error: {scrub(message)}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """The `zoo` command."""
    parser = argparse.ArgumentParser(
        prog="zoo",
        description="Classic deep-learning architectures for the Hugging Face ecosystem.",
        epilog="\n".join(
            [
                "commands:",
                *(f"  {name:10} {summary}" for name, (_, summary) in COMMANDS.items()),
                "",
                "Every command takes --debug: after an error it prints the traceback, too.",
            ]
        ),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"primer-zoo {__version__}")
    parser.add_argument("command", metavar="command", help="one of the commands below")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help="its arguments; `zoo command --help` lists them")
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments:
        parser.print_help()
        return 2
    if arguments[0].startswith("-") and arguments[0] not in parser._option_string_actions:
        print(f"error: {unknown_argument(arguments[0], parser)}", file=sys.stderr)
        return 2
    parsed = parser.parse_args(arguments)
    if parsed.command not in COMMANDS:
        print(f"error: no command {parsed.command!r}; {nearest(parsed.command, COMMANDS)}", file=sys.stderr)
        return 2
    module, _ = COMMANDS[parsed.command]
    return import_module(f"zoo.commands.{module}").main(parsed.arguments)


__all__ = ["COMMANDS", "INTERRUPTED", "Parser", "guarded", "main"]
