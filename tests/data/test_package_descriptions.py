"""Debian's descriptions: where they are looked for, plain text, related packages, and Parquet files."""

import bz2
import gzip
import lzma
import os
import subprocess
import sys
from pathlib import Path

import datasets
import pytest
import yaml

from zoo.data import package_descriptions
from zoo.data.package_descriptions import load_package_descriptions, plain_text, read_lists, write_parquet
from zoo.data.parallel_text import drop_overlap, normal_form

WRITE = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress, ".bz2": bz2.compress, ".lz4": bytes}


def write_lists(folder: Path, packages, end="", translated=True, suite="bookworm") -> Path:
    """Lists of (package, source or None, synopsis, long description); sources of None are left out of Packages."""
    folder.mkdir(parents=True, exist_ok=True)
    index, translation = [], []
    for package, source, synopsis, long in packages:
        if source is not None:
            described = f"Description: {synopsis}" + ("" if translated else f"\n {long}")
            field = f"Source: {source} (1.0)\n" if source != package else ""
            index.append(f"Package: {package}\n{field}Architecture: all\n{described}\nTag: a::b,\n c::d\n")
        translation.append(f"Package: {package}\nDescription-md5: 0\nDescription-en: {synopsis}\n {long}\n")
    name = f"some.mirror_debian_dists_{suite}_main"
    (folder / f"{name}_binary-amd64_Packages{end}").write_bytes(WRITE[end]("\n".join(index).encode()))
    if translated:
        (folder / f"{name}_i18n_Translation-en{end}").write_bytes(WRITE[end]("\n".join(translation).encode()))
    (folder / f"{name}_InRelease").write_text("no list")
    return folder


def many(count=300):
    # in letters, since sources that differ in a number only are versions of one
    names = [f"tool{chr(97 + i // 26)}{chr(97 + i % 26)}" for i in range(count)]
    return [(name, name, f"tool that does {name}", f"Does the thing {name}\n and more.") for name in names]


def origin_of(splits):
    return {package: split for split, text in splits.items() for package in text.names}


# From marks to text


@pytest.mark.parametrize(
    "long, text",
    [
        (" One paragraph\n in two lines.\n .\n Another.", "One paragraph in two lines.\nAnother."),
        (" It can:\n  * read\n    files\n  * write.\n  * stop\n .\n End.", "It can: read files; write. stop\nEnd."),
        (" Features:\n .\n  - fast\n .\n  - small\n .\n That is all.", "Features: fast; small\nThat is all."),
        (" Steps\n 1. one\n 2) two\n then rest", "Steps; one; two\nthen rest"),
        (" A title\n =======\n Text   with\n  an indented line.", "A title Text with an indented line."),
        (" It costs 3.5 or -4 *stars*.", "It costs 3.5 or -4 *stars*."),
        (" .\n .\n", ""),
    ],
)
def test_marks_become_plain_text(long, text):
    assert plain_text(long) == text


# The lists


@pytest.mark.parametrize("end", ["", ".gz", ".xz", ".bz2"])
def test_every_kind_of_list_gives_the_same(tmp_path, end):
    splits = load_package_descriptions(write_lists(tmp_path, many(), end))
    assert sum(map(len, splits.values())) == 300 and all(len(text) > 3 for text in splits.values())
    train = splits["train"]
    assert train.names[0] == train.target[0].split()[-1]
    assert train.source[0].startswith("Does the thing") and train.source[0].endswith("and more.")
    assert train.target[0].startswith("tool that does") and "\n" not in train.target[0]
    assert train.origin == "package descriptions of bookworm"
    plain = load_package_descriptions(write_lists(tmp_path / "plain", many()))
    assert {s: t.fingerprint() for s, t in splits.items()} == {s: t.fingerprint() for s, t in plain.items()}


def test_lists_that_only_apt_can_read(tmp_path, monkeypatch):
    folder = write_lists(tmp_path / "lists", many(), ".lz4")
    helper = tmp_path / "apt-helper"
    helper.write_text('#!/bin/sh\n[ "$1" = cat-file ] && cat "$2"\n')
    helper.chmod(0o755)
    monkeypatch.setattr(package_descriptions, "_HELPER", str(helper))
    assert sum(map(len, load_package_descriptions(folder).values())) == 300
    helper.write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(ValueError, match="Packages.lz4: not a readable package list .*run `apt-get update -o"):
        load_package_descriptions(folder)
    monkeypatch.setattr(package_descriptions, "_HELPER", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ValueError, match="only apt reads .lz4 files; decompress it"):
        load_package_descriptions(folder)


def test_lists_that_hold_long_descriptions_themselves(tmp_path):
    splits = load_package_descriptions(write_lists(tmp_path, many(), translated=False))
    assert sum(map(len, splits.values())) == 300
    assert splits["train"].source[0].endswith("and more.")  # and not with the field that follows


def test_equal_pairs_count_once_and_other_architectures_not(tmp_path):
    rows = [*many(), ("copy", many()[5][1], *many()[5][2:]), ("foreign", None, "of another machine", "Not ours.")]
    splits = load_package_descriptions(write_lists(tmp_path, rows))
    assert sum(map(len, splits.values())) == 300
    assert "foreign" not in origin_of(splits)


def test_related_packages_stay_in_one_split(tmp_path):
    shared = "The same long paragraph about a project that all of its packages repeat word for word in them."
    rows = []
    for i in range(120):
        rows += [
            (f"lib{i}a", f"src{'y' * (i + 1)}", f"library {i}", f"Library {i}."),
            (f"lib{i}b", f"src{'y' * (i + 1)}", f"docs {i}", f"Documents {i}."),
            (f"lib{i}c", f"src{'y' * (i + 1)}-12", f"library {i} again", f"Again {i}."),
            (f"lib{i}d", f"other{'z' * (i + 1)}", f"addition to {i}", f"{shared} {i} {i}\n .\n Adds {i}."),
            (f"lib{i}e", f"more{'w' * (i + 1)}", f"more of {i}", f"{shared.upper()} {i}  {i}\n .\n More {i}."),
        ]
    splits = load_package_descriptions(write_lists(tmp_path, rows))
    split = origin_of(splits)
    assert len(split) == 600 and len(splits["test"]) > 5
    for i in range(120):
        assert split[f"lib{i}a"] == split[f"lib{i}b"] == split[f"lib{i}c"]
        assert split[f"lib{i}d"] == split[f"lib{i}e"]


def test_parquet_files_have_the_pairs_of_the_lists(tmp_path, monkeypatch):
    rows = [*many(), ("odd", "odd", "  spaces\tand ümlauts ", " It can:\n  * read\n  * write\n .\n End.")]
    splits = read_lists(write_lists(tmp_path / "lists", rows))
    folder = tmp_path / "debian-package-descriptions"
    folder.mkdir()
    write_parquet(splits, folder)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    monkeypatch.setattr(package_descriptions, "SYSTEM_FOLDER", str(tmp_path / "none"))
    for again in (load_package_descriptions(), load_package_descriptions(folder)):
        assert {s: t.fingerprint() for s, t in again.items()} == {s: t.fingerprint() for s, t in splits.items()}
        assert again["train"].origin == "package descriptions of bookworm"
    (folder / "test.parquet").write_bytes(b"cut")
    with pytest.raises(ValueError, match="test.parquet: "):
        load_package_descriptions()


def test_the_script_writes_data_and_card(tmp_path):
    lists, folder = write_lists(tmp_path / "lists", many()), tmp_path / "out"
    script = Path(__file__).parents[2] / "scripts/datasets/debian_package_descriptions.py"
    command = [sys.executable, str(script), str(folder), "--lists", str(lists)]
    environment = {**os.environ, "PYTHONPATH": str(script.parents[2])}
    subprocess.run(command, check=True, capture_output=True, env=environment)
    card, splits = (folder / "README.md").read_text(), load_package_descriptions(folder)
    for split, text in splits.items():
        assert f"| {split} | {len(text):,} | `{text.fingerprint()}` |" in card and f"path: {split}.parquet" in card
    assert yaml.safe_load(card.split("---")[1])["task_categories"] == ["summarization"]
    from datasets import load_dataset

    hub = load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))  # as the Hub serves it
    assert hub["test"].column_names == ["package", "description", "synopsis"]
    assert hub["test"]["description"][:3] == splits["test"].source[:3]


def test_our_reader_agrees_with_python_debian(tmp_path):
    """Field by field, on entries with continued lines, comments and another field after the description."""
    deb822 = pytest.importorskip("debian.deb822")
    folder = write_lists(tmp_path, many(40), translated=False)
    path = next(folder.glob("*_Packages"))
    with open(path, encoding="utf-8") as file:
        expected = [
            (entry["Package"], entry.get("Source", entry["Package"]).split()[0], *entry["Description"].split("\n", 1))
            for entry in deb822.Packages.iter_paragraphs(file, use_apt_pkg=False)
        ]
    assert [*package_descriptions._packages(path.read_text(), path.name)] == expected


def test_where_the_lists_are_looked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(package_descriptions, "SYSTEM_FOLDER", str(write_lists(tmp_path / "apt", many(), suite="sid")))
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    assert load_package_descriptions()["train"].origin.endswith("sid")
    write_lists(tmp_path / "debian-package-descriptions", many(), suite="forky")
    assert load_package_descriptions()["train"].origin.endswith("forky")


def test_the_hub_is_the_last_place_and_the_error_names_all(tmp_path, monkeypatch):
    monkeypatch.setattr(package_descriptions, "SYSTEM_FOLDER", str(tmp_path / "apt"))
    monkeypatch.delenv("ZOO_DATA", raising=False)
    advice = "on Debian or Ubuntu run `apt-get update -o Acquire::Languages=en` as root"

    def load(name, config):
        raise OSError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load)
    places = rf"\$ZOO_DATA .*{tmp_path}/apt, .*primer-zoo/debian-package-descriptions .offline.*has no package lists"
    with pytest.raises(FileNotFoundError, match=f"{places}.*{advice}"):
        load_package_descriptions()
    with pytest.raises(FileNotFoundError, match=f"elsewhere has no package lists.*{advice}"):
        load_package_descriptions(tmp_path / "elsewhere")
    folder = write_lists(tmp_path / "apt", many())
    next(folder.glob("*Translation-en")).unlink()
    with pytest.raises(FileNotFoundError, match=f"have no long descriptions .containers.*{advice}"):
        load_package_descriptions()
    rows = datasets.Dataset.from_dict({"package": ["a"], "description": ["A tool."], "synopsis": ["tool"]})
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *name: datasets.DatasetDict(train=rows, validation=rows, test=rows)
    )
    assert load_package_descriptions()["test"].target == ["tool"]


@pytest.mark.parametrize("end, content", [(".gz", b"cut"), (".xz", b"cut"), (".bz2", b"cut"), ("", b"\xff\n")])
def test_damaged_lists(tmp_path, end, content):
    write_lists(tmp_path, many(), end)
    next(tmp_path.glob(f"*Packages{end}")).write_bytes(content)
    with pytest.raises(ValueError, match="not a readable package list"):
        load_package_descriptions(tmp_path)


def test_files_that_are_no_lists(tmp_path):
    (tmp_path / "x_Packages").write_text("Source: a\nDescription: b\n")
    with pytest.raises(ValueError, match="x_Packages: not a package list, an entry has no field Package"):
        load_package_descriptions(tmp_path)


@pytest.mark.slow
def test_the_real_lists():
    """Whatever Debian or Ubuntu this is, the splits share no text and no long paragraph."""
    if not os.path.isdir(package_descriptions.SYSTEM_FOLDER):
        pytest.skip("needs the package lists of a Debian or Ubuntu machine")
    try:
        splits = load_package_descriptions()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    assert sum(map(len, splits.values())) > 20_000
    assert drop_overlap(splits["train"], [splits["validation"], splits["test"]])[1] == 0
    long = {
        split: {
            form for source in text.source for p in source.split("\n") if len((form := normal_form(p)).split()) >= 15
        }
        for split, text in splits.items()
    }
    assert not long["train"] & long["test"] and not long["train"] & long["validation"]
