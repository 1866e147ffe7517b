"""Reading pairs: the kinds of files, which column is which, and one clear line for everything that is wrong."""

import gzip
import json

import datasets
import pandas as pd
import pytest

from zoo.data.parallel_files import read_hub_pairs, read_pairs

ROWS = [("A dog.", "Ein Hund."), ('He said "no".', "Er sagte „nein“."), ("Two\u2028lines.", "Zwei\x85Zeilen.")]
ENGLISH, GERMAN = [en for en, _ in ROWS], [de for _, de in ROWS]


def write(folder, name, text):
    path = folder / name
    content = text if isinstance(text, bytes) else text.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def tsv(rows=ROWS, header=None):
    return "".join("\t".join(row) + "\n" for row in ([header] if header else []) + list(rows))


def check(text):
    assert (text.source, text.target) == (ENGLISH, GERMAN)


# Kinds of files


@pytest.mark.parametrize("end", ["", ".gz"])
def test_two_aligned_files(tmp_path, end):
    files = [
        write(tmp_path, f"c.en{end}", "\n".join(ENGLISH)),
        write(tmp_path, f"c.de{end}", "\r\n".join(GERMAN) + "\r\n"),
    ]
    text = read_pairs(files, source_lang="en", target_lang="de")
    check(text)
    assert text.origin == f"c.en{end}, c.de{end}"
    for pattern in (f"{tmp_path}/c.{{en,de}}{end}", [f"{tmp_path}/c.{{en,de}}{end}"]):
        assert read_pairs(pattern).fingerprint() == text.fingerprint()


@pytest.mark.parametrize("name", ["c.tsv", "c.tsv.gz", "c.txt"])
def test_tsv_without_a_header(tmp_path, name):
    check(read_pairs(write(tmp_path, name, tsv()), source_lang="en", target_lang="de"))


@pytest.mark.parametrize(
    "header, asked",
    [
        (("de", "id", "en"), {"source_lang": "en", "target_lang": "de"}),
        (("target", "id", "source"), {"source_lang": "en", "target_lang": "de"}),
        (("summary", "id", "Text"), {}),
        (("mine", "id", "yours"), {"source_column": "yours", "target_column": "mine"}),
        (("de", "en", "yours"), {"source_column": "yours", "target_lang": "de", "source_lang": "en"}),
        (("de", "id", "en"), {"source_column": "3", "target_column": "1", "source_lang": "en", "target_lang": "de"}),
        (None, {"source_column": "3", "target_column": "1"}),
    ],
)
def test_columns_of_a_tsv_file(tmp_path, header, asked):
    path = write(tmp_path, "c.tsv", tsv([(de, "7", en) for en, de in ROWS], header))
    check(read_pairs(path, **asked))


def test_csv_with_quotes_and_lines_inside_of_cells(tmp_path):
    path = tmp_path / "c.csv"
    pd.DataFrame({"en": ["One\ntwo", *ENGLISH], "de": ["Eins\nzwei", *GERMAN]}).to_csv(path, index=False)
    text = read_pairs(path, source_lang="en", target_lang="de")
    assert text.source[0] == "One\ntwo"
    check(text.select([1, 2, 3]))
    semicolons = write(tmp_path, "d.csv", "de;en\nHund;dog, or cat\n")
    assert read_pairs(semicolons, source_lang="en", target_lang="de").source == ["dog, or cat"]


@pytest.mark.parametrize("nested", [False, True])
def test_json_lines_and_lists(tmp_path, nested):
    rows = [{"de": de, "en": en} for en, de in ROWS]
    rows = [{"id": 1, "translation": row} for row in rows] if nested else rows
    lines = write(tmp_path, "c.jsonl", "".join(json.dumps(row) + "\n\n" for row in rows))
    check(read_pairs(lines, source_lang="en", target_lang="de"))
    whole = write(tmp_path, "c.json.gz", json.dumps(rows, indent=1))
    check(read_pairs(whole, source_lang="en", target_lang="de"))


def test_parquet(tmp_path):
    path = tmp_path / "c.parquet"
    pd.DataFrame({"text": ENGLISH, "summary": GERMAN}).to_parquet(path)
    check(read_pairs(path))
    check(read_pairs(path, source_column="summary", target_column="text").reverse())


def test_a_hub_data_set_with_nested_cells(tmp_path, monkeypatch):
    rows = datasets.Dataset.from_list([{"translation": {"en": en, "de": de}} for en, de in ROWS])
    found = datasets.DatasetDict({"train": rows, "test": rows.select([0])})
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: found)
    splits = read_hub_pairs("some/corpus", "en-de", source_lang="en", target_lang="de")
    check(splits["train"])
    assert splits["test"].source == ENGLISH[:1] and splits["test"].origin == "some/corpus"
    with pytest.raises(ValueError, match="some/corpus, split train, row 1: has no 'fr'; it has .*de"):
        read_hub_pairs("some/corpus", source_lang="en", target_lang="fr")
    with pytest.raises(ValueError, match=r"no source and target.*give --source_lang and --target_lang"):
        read_hub_pairs("some/corpus")


def test_a_byte_order_mark_spaces_and_empty_texts(tmp_path):
    path = write(tmp_path, "c.tsv", "\ufeff A dog. \tEin Hund.\r\n\n\tLeer.\r\n  \n".encode())
    text = read_pairs(path)
    assert (text.source, text.target) == (["A dog.", ""], ["Ein Hund.", "Leer."])


def test_signs_inside_of_a_line_do_not_end_it(tmp_path):
    lines = ["a\rb", "c\x0bd", "e\x1cf", "g\x85h", "i\u2028j"]
    files = [write(tmp_path, name, "\n".join(lines)) for name in ("c.en", "c.de")]
    assert read_pairs(files).source == lines


# What is wrong


@pytest.mark.parametrize(
    "name, content, asked, message",
    [
        ("c.tsv", "a\tb\nc\n", {}, "c.tsv, line 2: expected at least 2 columns, found 1; columns of a TSV"),
        ("c.tsv", "a\tb\tc\n\nd\te\n", {"target_column": "3"}, "c.tsv, line 3: expected at least 3 columns, found 2"),
        ("c.tsv", "a\tb\n", {"source_column": "2"}, "two different columns, counted from 1"),
        ("c.tsv", "a\tb\n", {"source_column": "en"}, r"line 1 has no column 'en' \(--source_column\); it has a, b"),
        ("c.tsv", "en\tit\nx\ty\n", {"source_lang": "en", "target_lang": "de"}, r"columns \(en, it\): name them with"),
        ("c.tsv", b"a\tb\n\xffc\td\n", {}, r"c.tsv, line 2: byte 1 \(0xff\) is not UTF-8"),
        ("c.tsv", "a\tb\n".encode("utf-16"), {}, "c.tsv: is UTF-16"),
        ("c.tsv", "a\tb\nc\td\n".encode("utf-16-le"), {}, "c.tsv, line 1: holds a NUL byte"),
        ("c.tsv", "a\tb\rc\td\r", {}, "c.tsv: its lines end in a carriage return alone"),
        ("c.tsv", gzip.compress(b"a\tb\n", mtime=0), {}, "c.tsv: is a gzip file: give it a name that ends in .gz"),
        ("c.tsv", "en\tde\na\tb\n", {"source_column": "en", "target_column": "en"}, "both name 'en'"),
        ("c.tsv", "en\tde\na\tb\n", {"source_lang": "en", "target_lang": "fr"}, r"source \(en\) and target \(fr\) "),
        ("c.tsv", "\n \n", {}, "c.tsv is empty"),
        ("c.tsv", "source\ttarget\n", {}, "c.tsv holds no pairs"),
        ("c.csv", "en,de\n", {"source_lang": "en", "target_lang": "de"}, "c.csv holds no pairs"),
        ("c.csv", 'en,de\n"x\ny",z\n\n1,2,3\n', {"source_lang": "en", "target_lang": "de"}, "line 5: has 3 cells"),
        ("c.csv", "en,de\na,b\n", {}, r"c.csv, line 1: no source and target among its columns \(en, de\)"),
        ("c.csv", 'text,summary\na,"b\n', {}, "c.csv, line 2: unexpected end of data"),
        ("c.jsonl", '{"text": "a", "summary": "b"}\n{"text": \n', {}, "c.jsonl, line 2: not JSON"),
        ("c.jsonl", '{"text": "a", "summary": "b"}\n{"text": "a"}\n', {}, "line 2: has no 'summary'; it has text"),
        ("c.jsonl", '{"text": "a", "summary": ["b"]}\n', {}, r"line 1, column 'summary': holds \['b'\], not text"),
        ("c.jsonl", '{"text": "a", "summary": "\\ud800"}\n', {}, "line 1: holds half of a surrogate pair"),
        ("c.json", '[{"text": "a",\n"summary" 1}]', {}, "c.json, line 2: not JSON"),
        ("c.jsonl", '{"text": "a", "summary": "b"}\n' + '{"a":' * 100_000, {}, "line 2: nested too deeply"),
        ("c.jsonl", "[1]\n", {}, "entry 1: expected an object"),
        ("c.jsonl", "[]\n", {}, "holds no pairs"),
        ("c.parquet", "no parquet", {}, "c.parquet: "),
        ("c.docx", "a", {}, "c.docx: expected one file ending in .tsv"),
    ],
)  # fmt: skip
def test_what_cannot_be_read(tmp_path, name, content, asked, message):
    with pytest.raises(ValueError, match=message):
        read_pairs(write(tmp_path, name, content), **asked)


def test_aligned_files_that_are_not(tmp_path):
    english, german = write(tmp_path, "c.en", "a\nb\nc\n"), write(tmp_path, "c.de", "A\nB\n")
    with pytest.raises(ValueError, match="c.en has 3 lines, .*c.de has 2: .*c.de ends before line 3"):
        read_pairs([english, german])
    with pytest.raises(ValueError, match="wrong order for de to en"):
        read_pairs([english, german], source_lang="de", target_lang="en")
    with pytest.raises(ValueError, match="got 3"):
        read_pairs([english, german, german])
    with pytest.raises(FileNotFoundError, match="c.fr is not a file"):
        read_pairs([english, tmp_path / "c.fr"])
    with pytest.raises(ValueError, match="file with both columns is given alone"):
        read_pairs([english, write(tmp_path, "c.parquet", "")])


def test_a_gzip_file_that_is_cut_off(tmp_path):
    path = write(tmp_path, "c.tsv.gz", tsv())
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(ValueError, match="c.tsv.gz: truncated or corrupt gzip file"):
        read_pairs(path)
