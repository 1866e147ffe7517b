"""Debian's package descriptions with their synopses: from Parquet files, apt's package lists or the Hub."""

import bz2
import gzip
import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from .parallel_files import read_hub_pairs, read_pairs
from .parallel_text import ParallelText, normal_form, split_by_hash
from .sources import from_hub

NAME = "debian-package-descriptions"
HUB_ID = f"primer-zoo/{NAME}"
LICENCE = "of the packages' maintainers, as part of Debian"
SYSTEM_FOLDER = "/var/lib/apt/lists"
COMMAND = "apt-get update -o Acquire::Languages=en"
SPLITS = ("train", "validation", "test")
# The columns of Parquet files.
COLUMNS = {"source_column": "description", "target_column": "synopsis"}
# Of 100 groups of packages, so many go to each of these.
_HELD_OUT = {"test": 3, "validation": 3}
# A paragraph of so many words in two source packages is no coincidence.
_SHARED_WORDS = 15
# apt's reader of compressed lists: Python has none for lz4, which apt writes on many machines.
_HELPER = "/usr/lib/apt/apt-helper"
_OPEN: dict[str, Callable] = {"": open, ".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_LIST = re.compile(r"(?:^|_)(Packages|Translation-en)(\.\w+)?$")
_SUITE = re.compile(r"_dists_(.+?)_[^_]+_(?:binary|i18n)")
_FIELD = re.compile(r"^(Package|Source|Description(?:-en)?): ?(\S*)", re.MULTILINE)
_ITEM = re.compile(r"(?:[*•+-]|\d{1,2}[.)])\s+(?=\S)")
_VERSION = re.compile(r"[-._]*\d[\d.]*")


class NoDescriptionsError(FileNotFoundError):
    """A folder has no package lists with long descriptions."""


def load_package_descriptions(data_dir: str | os.PathLike | None = None) -> dict[str, ParallelText]:
    """The splits "train", "validation" and "test" of long description -> synopsis, about 61,000 distinct pairs.

    They are looked for in `data_dir`; else in `$ZOO_DATA/debian-package-descriptions`, in apt's package lists and on
    the Hub, in this order. A folder has Parquet files of the splits (scripts/datasets/debian_package_descriptions.py)
    or package lists. What lists contain depends on the release and on the day; the fingerprint says which pairs a
    model was trained on.

    Args:
        data_dir: Folder of the data.

    Raises:
        FileNotFoundError: The data is nowhere.
        ValueError: A file is damaged.
    """
    if data_dir is not None:
        folders = [Path(data_dir)]
    else:
        zoo_data = os.environ.get("ZOO_DATA")
        folders = [*([Path(zoo_data) / NAME] if zoo_data else []), Path(SYSTEM_FOLDER)]
    reasons = []
    for folder in folders:
        if all((folder / f"{split}.parquet").is_file() for split in SPLITS):
            return read_parquet(folder)
        try:
            return read_lists(folder)
        except NoDescriptionsError as error:
            reasons.append(str(error))
    advice = f"on Debian or Ubuntu run `{COMMAND}` as root"
    if data_dir is not None:
        raise FileNotFoundError(f"the data set {NAME} is not there: {reasons[0]}; {advice}, and leave out --data_dir")

    def read() -> dict[str, ParallelText]:
        splits = read_hub_pairs(HUB_ID, **COLUMNS)
        return {split: splits[split] for split in SPLITS}

    return from_hub(read, NAME, HUB_ID, "; ".join([*reasons[-1:], advice]), SYSTEM_FOLDER)


def write_parquet(splits: dict[str, ParallelText], folder: Path) -> None:
    """Write a Parquet file of each split, with the columns package, description and synopsis."""
    import pyarrow
    from pyarrow import parquet

    for split, text in splits.items():
        table = pyarrow.table({"package": text.names, "description": text.source, "synopsis": text.target})
        table = table.replace_schema_metadata({"origin": text.origin})
        parquet.write_table(table, folder / f"{split}.parquet", compression="zstd")


def read_parquet(folder: Path) -> dict[str, ParallelText]:
    """The splits that `write_parquet` wrote."""
    from pyarrow import parquet

    splits = {}
    for split in SPLITS:
        path = folder / f"{split}.parquet"
        text = read_pairs(path, **COLUMNS)
        metadata = parquet.read_schema(path).metadata or {}
        splits[split] = replace(text, origin=metadata.get(b"origin", NAME.encode()).decode())
    return splits


def read_lists(folder: Path) -> dict[str, ParallelText]:
    """The splits of the package lists in a folder.

    Source packages stay in one split, and so do those that share a paragraph of 15 words or differ in a version only,
    such as gcc-11 and gcc-12. Else a model would have read half of a test text in training.

    Raises:
        NoDescriptionsError: The folder has no lists, or lists without long descriptions.
        ValueError: A list is damaged.
    """
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    lists = [path for path in files if path.is_file() and _LIST.search(path.name)]
    if not lists:
        raise NoDescriptionsError(f"{folder} has no package lists (..._Packages, ..._Translation-en)")
    lists.sort(key=lambda path: "Packages" not in path.name)  # the source packages first
    descriptions: dict[tuple[str, str], str] = {}
    sources: dict[str, str] = {}
    for path in lists:
        for package, source, synopsis, long in _packages(_read(path), str(path)):
            if "Packages" in path.name:
                sources.setdefault(package, source)
            if long:
                descriptions.setdefault((synopsis, long), package)
    packages: dict[tuple[str, str], tuple[str, str]] = {}
    for (synopsis, long), package in descriptions.items():
        # Translations have other architectures' packages, too, whose source packages are not known.
        if package in sources:
            pair = plain_text(long), " ".join(synopsis.split())
            place = sources[package], package
            if all(pair) and place < packages.get(pair, ("\uffff", "")):
                packages[pair] = place
    if not packages:
        raise NoDescriptionsError(f"the lists in {folder} have no long descriptions (containers leave them out)")
    rows = sorted((*place, *pair) for pair, place in packages.items())
    suites = sorted({match[1] for path in lists if (match := _SUITE.search(path.name))})
    pairs = ParallelText(
        source=[long for _, _, long, _ in rows],
        target=[synopsis for _, _, _, synopsis in rows],
        origin=f"package descriptions of {', '.join(suites) or 'the lists given'}",
        names=[package for _, package, _, _ in rows],
    )
    return split_by_hash(pairs, _groups([(source, long) for source, _, long, _ in rows]), _HELD_OUT)


def plain_text(long: str) -> str:
    """A long description without its markup (Debian policy 5.6.13): a line a paragraph, lists as sentences.

    Args:
        long: The lines after the synopsis; each begins with a space, and " ." separates paragraphs.
    """
    paragraphs: list[list[str]] = [[]]
    in_list = False
    for line in long.split("\n"):
        text = line.strip()
        if text == "." or not text:
            # a list may have empty lines between its items
            if not in_list and paragraphs[-1]:
                paragraphs.append([])
        elif not any(character.isalnum() for character in text):
            continue  # a drawn line
        elif item := _ITEM.match(text):
            if not in_list and not paragraphs[-1] and len(paragraphs) > 1 and paragraphs[-2][-1].endswith(":"):
                del paragraphs[-1]  # what the list belongs to
            in_list = True
            paragraphs[-1].append(text[item.end() :])
        elif in_list and line.startswith("  "):
            paragraphs[-1][-1] += f" {text}"
        else:
            if in_list:
                paragraphs.append([])
            in_list = False
            paragraphs[-1] = [" ".join([*paragraphs[-1], text])]
    return "\n".join(_joined(parts) for parts in paragraphs if parts)


def _joined(parts: list[str]) -> str:
    """A paragraph and the items of its list as one line: "It can: read; write"."""
    text = " ".join(parts[0].split())
    for part in parts[1:]:
        text += (" " if text[-1] in ".,;:!?" else "; ") + " ".join(part.split())
    return text


def _read(path: Path) -> str:
    """The content of a list."""
    try:
        if path.suffix in _OPEN or path.name.endswith(("_Packages", "_Translation-en")):
            with _OPEN.get(path.suffix, open)(path, "rb") as file:
                return file.read().decode()
        helper = _HELPER if os.path.exists(_HELPER) else shutil.which("apt-helper")
        if helper is None:
            raise ValueError(f"{path}: only apt reads {path.suffix} files; decompress it")
        return subprocess.run([helper, "cat-file", str(path)], capture_output=True, check=True).stdout.decode()
    except (OSError, EOFError, lzma.LZMAError, UnicodeDecodeError, subprocess.CalledProcessError) as error:
        raise ValueError(f"{path}: not a readable package list ({error}); run `{COMMAND}` again") from error


def _packages(content: str, name: str) -> Iterator[tuple[str, str, str, str]]:
    """(package, source package, synopsis, long description) of each entry of a list."""
    for entry in content.split("\n\n"):
        places = {match[1]: match for match in _FIELD.finditer(entry)}
        if not places:
            continue
        if "Package" not in places:
            raise ValueError(f"{name}: not a package list, an entry has no field Package")
        package = places["Package"][2]
        source = places["Source"][2] if "Source" in places else package
        at = places.get("Description-en") or places.get("Description")
        lines = entry[at.start(2) :].split("\n") if at else [""]
        # the field goes on as long as lines begin with a space
        end = next((n for n, line in enumerate(lines[1:], start=1) if not line.startswith(" ")), len(lines))
        yield package, source, lines[0], "\n".join(lines[1:end])


def _groups(rows: list[tuple[str, str]]) -> list[str]:
    """A name for the group of each (source package, text): connected source packages have the same."""
    parents: dict[str, str] = {}

    def root(name: str) -> str:
        while parents.setdefault(name, name) != name:
            parents[name] = name = parents[parents[name]]
        return name

    families = [_VERSION.sub("", source) or source for source, _ in rows]
    first: dict[str, str] = {}
    for family, (_, text) in zip(families, rows):
        forms = [normal_form(paragraph) for paragraph in text.split("\n")]
        for form in [normal_form(text), *(form for form in forms if form.count(" ") + 1 >= _SHARED_WORDS)]:
            one, other = sorted((root(family), root(first.setdefault(form, family))))
            parents[other] = one
    return [root(family) for family in families]


__all__ = ["HUB_ID", "LICENCE", "NAME", "load_package_descriptions", "plain_text", "read_lists", "write_parquet"]
