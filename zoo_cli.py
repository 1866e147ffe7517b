"""The `zoo` command. A module of its own: `zoo` then registers its models only when a command needs them."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    from zoo.commands import main

    return main(argv)


if __name__ == "__main__":
    import zoo_cli  # `python -m zoo_cli`: under its own name it tells `zoo` to register nothing yet

    sys.exit(zoo_cli.main())
