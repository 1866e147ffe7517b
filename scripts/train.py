"""accelerate launch scripts/train.py RECIPE [--learning_rate 1e-3] [--model_overrides "classifier_dropout=0.2"] ...

RECIPE is the id of a shipped recipe (`zoo list`) or the path of a YAML file. Flags win over the recipe.
"""

import sys

sys.path.pop(0)  # this folder: its evaluate.py would hide the package `evaluate`

from zoo.commands.train import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
