"""python scripts/study.py STUDY [--jobs 2] [--test] [--only VARIANT ...] [--num_train_epochs 2] ...

STUDY is the id of a shipped study (`zoo list`) or the path of a YAML file. Other flags go to every run's `zoo train`.
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["study", *sys.argv[1:]]))
