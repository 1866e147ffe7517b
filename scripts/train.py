"""accelerate launch scripts/train.py RECIPE [--learning_rate 1e-3] [--model_overrides "classifier_dropout=0.2"] ...

RECIPE is the id of a shipped recipe (`zoo list`) or the path of a YAML file. Flags win over the recipe.
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
