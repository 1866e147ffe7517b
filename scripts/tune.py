"""python scripts/tune.py RECIPE [--algorithm tpe] [--trials 30] [--space "model.dropout={uniform: [0, 0.5]}"] ...

RECIPE is the id of a shipped recipe (`zoo list`) or the path of a YAML file; its `search` section says what is chosen.
`--address` names a Ray cluster, `--resume` goes on after an interruption. Other flags go to every trial's `zoo train`.
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["tune", *sys.argv[1:]]))
