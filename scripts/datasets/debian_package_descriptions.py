"""python scripts/datasets/debian_package_descriptions.py FOLDER [--lists /var/lib/apt/lists]

Writes Debian's package descriptions as a data set: a Parquet file of each split and README.md, its data card. Recipes
find it in $ZOO_DATA/debian-package-descriptions; `hf upload primer-zoo/debian-package-descriptions FOLDER --repo-type
dataset` publishes it. Needs the package lists of a Debian machine, with long descriptions:
`apt-get update -o Acquire::Languages=en` as root.
"""

import argparse
from pathlib import Path

from zoo.data.package_descriptions import HUB_ID, SYSTEM_FOLDER, read_lists, write_parquet

CARD = """---
pretty_name: Debian package descriptions
language: en
license: other
license_name: debian-package-metadata
license_link: https://www.debian.org/legal/licenses/
task_categories: [summarization]
size_categories: [10K<n<100K]
configs:
- config_name: default
  data_files:
{files}
---

# Debian package descriptions

Long descriptions of software packages with their one-line synopses: {origin}. English, written by the packages'
maintainers, whose licences apply.

| split | pairs | sha256 of the pairs |
|---|---|---|
{rows}

Columns: `package`, the binary package; `description`, its long description, a line a paragraph and lists as sentences;
`synopsis`, what a summarizer writes.

Equal pairs occur once. Source packages stay in one split, and so do packages that share a paragraph of 15 words or
differ in a version only.

```python
from datasets import load_dataset

splits = load_dataset("{hub_id}")
```

Made by primer-zoo's `scripts/datasets/debian_package_descriptions.py`.
"""


def main() -> None:
    """Write the Parquet files and the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--lists", type=Path, default=Path(SYSTEM_FOLDER))
    arguments = parser.parse_args()
    splits = read_lists(arguments.lists)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    write_parquet(splits, arguments.folder)
    card = CARD.format(
        origin=splits["train"].origin,
        hub_id=HUB_ID,
        files="\n".join(f"  - split: {split}\n    path: {split}.parquet" for split in splits),
        rows="\n".join(f"| {split} | {len(text):,} | `{text.fingerprint()}` |" for split, text in splits.items()),
    )
    (arguments.folder / "README.md").write_text(card, encoding="utf-8")
    for split, text in splits.items():
        print(f"{split}: {len(text):,} pairs")


if __name__ == "__main__":
    main()
