"""python scripts/publish.py RUN_OR_CARD_FOLDER --repo_id ORG/NAME [--private] [--create_pr] [--tag v1.0.0] ...

Publishes a finished run, or a folder of model_cards/, on the Hub in one commit, and verifies it by downloading it.
The token comes from HF_TOKEN or from `hf auth login`. See docs/guides/publishing.md.
"""

import sys

from zoo_cli import main

if __name__ == "__main__":
    sys.exit(main(["publish", *sys.argv[1:]]))
