"""python examples/new_language_pair.py PAIRS.tsv SOURCE_LANG TARGET_LANG [ORGANISATION/NAME]

Take a trained translator to a new language pair: PAIRS.tsv has a pair a line, the source first and a tab between.
With the name of a repository the model is published on the Hub, too (`hf auth login` first).
"""

import sys

from transformers import pipeline

from zoo.commands.publish import main as publish
from zoo.commands.train import main as train

PARENT = "transformer-translator-en-de"


def main(pairs: str, source: str, target: str, repo_id: str | None = None, flags: tuple[str, ...] = ()) -> str:
    """Train and publish; the run's folder. `flags` are further ones of `zoo train`."""
    folder = f"runs/{source}-{target}"
    data = ["--train_file", pairs, "--source_lang", source, "--target_lang", target]
    code = train(["translator-new-pair", "--model_name_or_path", PARENT, *data, "--output_dir", folder, *flags])
    if code == 0 and repo_id:
        code = publish([folder, "--repo_id", repo_id])
    if code != 0:
        sys.exit(code)  # the command has printed what was wrong
    with open(pairs, encoding="utf-8") as lines:
        sentence = lines.readlines()[-1].split("\t")[0]
    answer = pipeline("translation", model=folder)(sentence)[0]["translation_text"]
    print(f"{sentence} -> {answer}")
    return folder


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(f"usage: {__doc__.splitlines()[0]}")
    main(*sys.argv[1:5])
