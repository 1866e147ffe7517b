"""python scripts/evaluate.py MODEL [--split test] [--test_time_augmentation flip] ...

MODEL is a run's folder, the id of a shipped model (`zoo list`) or a Hub id.
"""

import sys

sys.path.pop(0)  # this folder: its evaluate.py would hide the package `evaluate`

from zoo.commands.evaluate import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
