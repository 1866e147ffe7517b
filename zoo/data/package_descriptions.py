"""Debian's package descriptions as texts with summaries, from the machine's own package lists."""

import bz2
import gzip
import hashlib
import lzma
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from .parallel_text import ParallelText, normal_form

NAME = "debian-package-descriptions"
SYSTEM_FOLDER = "/var/lib/apt/lists"
COMMAND = "apt-get update -o Acquire::Languages=en"
# Of 100 groups of packages: which go to test and to validation.
_HELD_OUT = {0: "test", 1: "test", 2: "test", 3: "validation", 4: "validation", 5: "validation"}
# A paragraph of so many words that stands in two source packages is no coincidence.
_SHARED_WORDS = 15
# Where apt keeps its reader of compressed lists: Python has none for lz4, which apt writes on many machines.
_HELPER = "/usr/lib/apt/apt-helper"
_OPEN: dict[str, Callable] = {"": open, ".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}
_LIST = re.compile(r"(?:^|_)(Packages|Translation-en)(\.\w+)?$")
_SUITE = re.compile(r"_dists_(.+?)_[^_]+_(?:binary|i18n)")
_FIELD = re.compile(r"^(Package|Source|Description(?:-en)?): ?(\S*)", re.MULTILINE)
_ITEM = re.compile(r"(?:[*•+-]|\d{1,2}[.)])\s+(?=\S)")
_VERSION = re.compile(r"[-._]*\d[\d.]*")


def load_package_descriptions(data_dir: str | os.PathLike | None = None) -> dict[str, ParallelText]:
    """The splits "train", "validation" and "test" of long description -> synopsis, about 61,000 distinct pairs.

    The lists are looked for in `data_dir`, in `$ZOO_DATA/debian-package-descriptions` and where apt keeps them. What
    they hold depends on the release and on the day; the fingerprint says which pairs a model saw.

    A source package is never divided, nor are those that share a paragraph of 15 words or differ in a version only:
    gcc-11 and gcc-12, or the packages of one project with the same first paragraph. Else a model would have read
    half of a test text in training.

    Raises:
        FileNotFoundError: There are no lists with long descriptions.
        ValueError: A list is damaged.
    """
    folder, lists = _find(data_dir)
    descriptions: dict[tuple[str, str], str] = {}
    sources: dict[str, str] = {}
    for path in lists:
        for package, source, synopsis, long in _packages(_read(path), str(path)):
            if "Packages" in path.name:
                sources.setdefault(package, source)
            if long:
                descriptions.setdefault((synopsis, long), package)
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for (synopsis, long), package in descriptions.items():
        # other architectures' packages are in the translations too, but nothing tells their source packages
        if package in sources:
            pair = plain_text(long), " ".join(synopsis.split())
            place = sources[package], package
            if all(pair) and place < found.get(pair, ("\uffff", "")):
                found[pair] = place
    if not found:
        raise _not_found(f"the lists in {folder} hold no long descriptions (containers are set up without them)")
    rows = sorted((*place, *pair) for pair, place in found.items())
    groups = _groups([(source, long) for source, _, long, _ in rows])
    suites = sorted({match[1] for path in lists if (match := _SUITE.search(path.name))})
    pairs = ParallelText(
        source=[long for _, _, long, _ in rows],
        target=[synopsis for _, _, _, synopsis in rows],
        origin=f"package descriptions of {', '.join(suites) or 'the lists given'}",
        place="package {}",
        numbers=[package for _, package, _, _ in rows],
    )
    chosen: dict[str, list[int]] = {"train": [], "validation": [], "test": []}
    for row, group in enumerate(groups):
        bucket = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8], "big") % 100
        chosen[_HELD_OUT.get(bucket, "train")].append(row)
    return {split: pairs.select(numbers) for split, numbers in chosen.items()}


def plain_text(long: str) -> str:
    """A long description without its marks (Debian policy 5.6.13): a line a paragraph, lists as sentences.

    Args:
        long: The lines after the synopsis; each begins with a space, " ." divides paragraphs.
    """
    paragraphs: list[list[str]] = [[]]
    in_list = False
    for line in long.split("\n"):
        text = line.strip()
        if text == "." or not text:
            # a list may have empty lines between its items
            if not in_list and paragraphs[-1]:
                paragraphs.append([])
        elif not any(sign.isalnum() for sign in text):
            continue  # a line that was drawn
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


def _find(data_dir: str | os.PathLike | None) -> tuple[Path, list[Path]]:
    """The folder and its lists, those with the source packages first."""
    zoo_data = os.environ.get("ZOO_DATA")
    folders = [Path(zoo_data) / NAME] if zoo_data else []
    for folder in [Path(data_dir)] if data_dir is not None else [*folders, Path(SYSTEM_FOLDER)]:
        files = sorted(folder.iterdir()) if folder.is_dir() else []
        found = [path for path in files if path.is_file() and _LIST.search(path.name)]
        if found:
            return folder, sorted(found, key=lambda path: (_LIST.search(path.name)[1], path.name))  # type: ignore[index]
    if data_dir is not None:
        raise _not_found(f"{data_dir} holds no package lists (..._Packages, ..._Translation-en)")
    raise _not_found(f"{f'neither {folders[0]} nor ' if folders else ''}{SYSTEM_FOLDER} holds package lists")


def _not_found(reason: str) -> FileNotFoundError:
    return FileNotFoundError(
        f"the data set {NAME} is not there: {reason}. On Debian or Ubuntu run `{COMMAND}` as root; elsewhere copy the "
        f"files of {SYSTEM_FOLDER} from such a machine and give their folder with --data_dir"
    )


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


__all__ = ["COMMAND", "NAME", "load_package_descriptions", "plain_text"]
