"""python scripts/translate.py MODEL --input_file lines.de.gz --output_file pairs.tsv [--swap] [--exclude FILE ...] ...

MODEL is a run's folder, the id of a shipped model (`zoo list`) or a Hub id. Each line of the input is a sentence; each
line of the output is the sentence, a tab and its translation. With `--swap` the translation comes first: pairs for
training a model of the other direction (back-translation).
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["translate", *sys.argv[1:]]))
