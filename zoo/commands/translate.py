"""`zoo translate MODEL --input_file LINES [LINES ...] --output_file PAIRS.tsv`: translate files of sentences.

Each line of the input is a sentence; each line of the output is the sentence, a tab and its translation. `--swap`
writes the translation first: sentences of the target language become training pairs (back-translation), which a recipe
reads with `extra_train`. Empty, repeated and over-long lines are dropped, as are translations that went wrong.
"""

import argparse
import gzip
import os
import re
import sys
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from . import Parser, guarded

if TYPE_CHECKING:
    from transformers import Pipeline

# A translation this many times longer or shorter than its sentence went wrong.
MAX_RATIO = 2.0
# Characters added to both lengths before their ratio is taken, and tokens on top of it: short sentences vary more.
SLACK = 10
OPENING, CLOSING = "\"'“„»«(", "\"'”“»«)"


def normal_form(text: str) -> str:
    """The words of a text without case, punctuation and spacing: equal for near-copies of a sentence."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def is_whole(line: str) -> bool:
    """Whether a line begins with a capital letter or a digit and ends with a full stop or the like."""
    text = line.lstrip(OPENING)
    begins = text[:1].isupper() or text[:1].isdigit()
    return begins and not text.isupper() and line.rstrip(CLOSING).endswith((".", "!", "?", "…"))


def read_lines(path: Path) -> Iterator[str]:
    r"""The lines of a UTF-8 file, plain or .gz, stripped; tabs and runs of spaces become one space.

    Raises:
        ValueError: The file is not UTF-8 text, or a damaged gzip file.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield " ".join(line.decode("utf-8-sig").split())
                except UnicodeDecodeError:
                    raise ValueError(f"{path}:{number}: expected UTF-8 text") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(f"{path}: truncated or corrupt gzip file ({error})") from error


def choose_lines(
    lines: Iterable[str], excluded: set[str], max_length: int, whole_sentences: bool, dropped: Counter[str]
) -> list[str]:
    """The lines that are worth translating, in their order.

    Args:
        lines: Sentences.
        excluded: Normal forms of sentences that are left out.
        max_length: Characters of the longest line that is kept.
        whole_sentences: Whether lines that do not look like a sentence are left out.
        dropped: Reason -> lines; it is counted up.
    """
    chosen: dict[str, str] = {}
    for line in lines:
        key = normal_form(line)
        if not key:
            reason = "empty"
        elif len(line) > max_length:
            reason = "over-long"
        elif whole_sentences and not is_whole(line):
            reason = "not whole sentences"
        elif key in excluded:
            reason = "excluded"
        elif key in chosen:
            reason = "duplicates"
        else:
            chosen[key] = line
            continue
        dropped[reason] += 1
    return list(chosen.values())


def choose_pairs(
    lines: Sequence[str], translations: Sequence[str], excluded: set[str], dropped: Counter[str]
) -> list[tuple[str, str]]:
    """(line, translation) for each translation that can be right; `excluded` and `dropped` as in `choose_lines`."""
    pairs = []
    for line, text in zip(lines, translations):
        text = " ".join(text.split())
        ratio = (len(text) + SLACK) / (len(line) + SLACK)
        if not text:
            dropped["empty translations"] += 1
        elif not 1 / MAX_RATIO <= ratio <= MAX_RATIO:
            dropped["translations of another length"] += 1
        elif text == line:
            dropped["untranslated"] += 1
        elif normal_form(text) in excluded:
            dropped["excluded"] += 1
        else:
            pairs.append((line, text))
    return pairs


def load_translator(model: str) -> "Pipeline":
    """The translation pipeline of a folder, also of an exported model, a shipped model or a model of the Hub.

    Raises:
        UsageError: There is no such model.
        ValueError: It is not a translator.
    """
    from zoo.export.loading import load_exported
    from zoo.export.record import EXPORT_NAME, ExportRecord
    from zoo.registry import register_all
    from zoo.tasks.translation.translator import load
    from zoo.training.weights import find_model

    register_all()
    if Path(model, EXPORT_NAME).is_file():
        return load(model, load_exported(model), ExportRecord.read(model).task)
    return load(find_model(model))


def translate_lines(
    translator: "Pipeline", lines: Sequence[str], batch_size: int, **generate_kwargs: int
) -> list[str]:
    """The translation of each line, with a progress bar; lines of about one length share a batch.

    Args:
        translator: A translation pipeline.
        lines: Sentences.
        batch_size: Sentences at once.
        generate_kwargs: Settings for `generate()`.
    """
    from tqdm import tqdm

    order = sorted(range(len(lines)), key=lambda row: -len(lines[row]))
    interval = 0.5 if sys.stderr.isatty() else 30.0  # a log file gets few lines
    texts = [""] * len(lines)
    with tqdm(total=len(lines), unit=" sentences", mininterval=interval, miniters=1) as progress:
        for first in range(0, len(order), batch_size):
            rows = order[first : first + batch_size]
            batch = [lines[row] for row in rows]
            # One translation that repeats itself would hold up its batch until the model's own limit.
            longest = max(map(len, translator.tokenizer(batch, verbose=False)["input_ids"]))
            settings = {"max_new_tokens": round(MAX_RATIO * longest) + SLACK, **generate_kwargs}
            answers = translator(batch, batch_size=batch_size, truncation=True, **settings)
            for row, answer in zip(rows, answers):
                texts[row] = answer["translation_text"]
            progress.update(len(rows))
    return texts


def write_pairs(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write a TSV file (.gz by its name), whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    content = "".join(f"{first}\t{second}\n" for first, second in pairs).encode()
    temporary.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
    os.replace(temporary, path)


def make_parser() -> Parser:
    """The command's arguments."""
    parser = Parser("zoo translate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="folder of a run or of an export (faster), id of a shipped model, or Hub id")
    parser.add_argument("--input_file", type=Path, nargs="+", required=True, help="text, one sentence a line, or .gz")
    parser.add_argument("--output_file", type=Path, required=True, help="TSV file to write; .gz compresses it")
    parser.add_argument("--swap", action="store_true", help="write the translation first: for back-translation")
    parser.add_argument("--num_beams", type=int, help="default: the model's own setting; 1: greedy decoding")
    parser.add_argument("--do_sample", action="store_true", help="sample translations, which vary more")
    parser.add_argument("--seed", type=int, default=42, help="of --do_sample")
    parser.add_argument("--batch_size", type=int, default=256, help="sentences at once")
    parser.add_argument("--max_length", type=int, default=300, help="drop input lines of more characters")
    parser.add_argument(
        "--exclude", type=Path, nargs="+", default=[], metavar="FILE",
        help="drop pairs with a side that is also a line of these files, whatever its case and punctuation: "
        "validation and test sentences",
    )  # fmt: skip
    prefix = "put before each source in the output: a tag such as <bt> tells back-translated pairs from others"
    parser.add_argument("--prefix", default="", help=prefix)
    whole = "drop lines that do not begin with a capital letter or digit and end with a full stop or the like"
    parser.add_argument("--whole_sentences", action="store_true", help=whole)
    return parser


def translate(argv: list[str]) -> None:
    """Parse the command line, translate and write."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    for path in (*arguments.input_file, *arguments.exclude):
        if not path.is_file():
            parser.error(f"{path} does not exist")
    if arguments.output_file.exists():
        parser.error(f"--output_file {arguments.output_file} exists: choose another name, or delete it")
    for name in ("num_beams", "batch_size", "max_length"):
        if (value := getattr(arguments, name)) is not None and value < 1:
            parser.error(f"--{name} {value} must be at least 1")

    dropped: Counter[str] = Counter()
    excluded = {normal_form(line) for path in arguments.exclude for line in read_lines(path)} - {""}
    read = [line for path in arguments.input_file for line in read_lines(path)]
    lines = choose_lines(read, excluded, arguments.max_length, arguments.whole_sentences, dropped)
    if not lines:
        parser.error(f"nothing to translate: {describe(len(read), dropped)}")

    from transformers import set_seed

    translator = load_translator(arguments.model)
    set_seed(arguments.seed)
    settings = {"num_beams": arguments.num_beams, "do_sample": arguments.do_sample or None}
    settings = {name: value for name, value in settings.items() if value is not None}
    texts = translate_lines(translator, lines, arguments.batch_size, **settings)
    pairs = choose_pairs(lines, texts, excluded, dropped)
    pairs = [pair[::-1] for pair in pairs] if arguments.swap else pairs
    prefix = " ".join([*arguments.prefix.split(), ""])
    write_pairs(arguments.output_file, [(prefix + source, target) for source, target in pairs])
    print(f"{arguments.output_file}: {len(pairs):,} pairs of {describe(len(read), dropped)}")


def describe(read: int, dropped: Counter[str]) -> str:
    """`145,000 lines; dropped: 33,401 not whole sentences, 3,366 duplicates`."""
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
    return f"{read:,} lines; dropped: {reasons or 'none'}"


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(translate, argv, interrupted="interrupted; nothing was written")
