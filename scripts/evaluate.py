"""python scripts/evaluate.py MODEL [--split test] [--test_time_augmentation flip] ...

MODEL is a run's folder, the id of a shipped model (`zoo list`) or a Hub id.
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
