"""zoo translate: files of sentences to pairs of sentences."""

import gzip
import json

import pytest

from zoo.commands import main, translate
from zoo.commands.translate import is_whole, normal_form, read_lines

LINES = ["Ein Hund läuft.", "Zwei Männer reden.", "Ein Kind spielt im Park."]


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.de"
    path.write_text("\n".join(LINES) + "\n", encoding="utf-8")
    return path


class Fake:
    """What the command needs of a translation pipeline.

    Args:
        change: Sentence -> its translation.
        calls: Gets the settings of each call.
    """

    def __init__(self, change, calls):
        self.change, self.calls = change, calls

    def tokenizer(self, texts, verbose):
        return {"input_ids": [text.split() for text in texts]}

    def __call__(self, texts, **settings):
        self.calls.append(settings)
        return [{"translation_text": self.change(text)} for text in texts]


@pytest.fixture
def fake(monkeypatch):
    """A translator that writes each sentence backwards, and the settings that it was called with."""
    calls = []

    monkeypatch.setattr(translate, "load_translator", lambda model: Fake(lambda text: text[::-1], calls))
    return calls


def run(output, *flags):
    return main(["translate", "a-model", "--output_file", str(output), *map(str, flags)])


def read_pairs(path):
    return [tuple(line.split("\t")) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pairs_keep_the_order_of_the_lines(fake, lines, tmp_path):
    assert run(tmp_path / "out/pairs.tsv", "--input_file", lines) == 0
    assert read_pairs(tmp_path / "out/pairs.tsv") == [(line, line[::-1]) for line in LINES]
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["pairs.tsv"]


def test_swap_writes_the_translation_first_behind_the_prefix(fake, lines, tmp_path):
    assert run(tmp_path / "pairs.tsv", "--input_file", lines, "--swap", "--prefix", "<bt>") == 0
    assert read_pairs(tmp_path / "pairs.tsv") == [(f"<bt> {line[::-1]}", line) for line in LINES]


def test_several_files_plain_or_compressed(fake, lines, tmp_path):
    more = tmp_path / "more.de.gz"
    more.write_bytes(gzip.compress(b"Ein Vogel singt.\n"))
    assert run(tmp_path / "pairs.tsv.gz", "--input_file", lines, more) == 0
    with gzip.open(tmp_path / "pairs.tsv.gz", "rt", encoding="utf-8") as file:
        assert [line.split("\t")[0] for line in file] == [*LINES, "Ein Vogel singt."]


def test_settings_of_generation_reach_the_model(fake, lines, tmp_path):
    assert run(tmp_path / "a.tsv", "--input_file", lines) == 0
    assert run(tmp_path / "b.tsv", "--input_file", lines, "--num_beams", 1, "--do_sample", "--batch_size", 2) == 0
    asked = {"batch_size": 2, "truncation": True, "num_beams": 1, "do_sample": True}
    assert fake == [
        {"batch_size": 256, "truncation": True, "max_new_tokens": 20},
        {**asked, "max_new_tokens": 20},
        {**asked, "max_new_tokens": 16},
    ]


def test_dropped_lines_are_counted(fake, tmp_path, capsys):
    texts = [*LINES, "", "ein  Hund läuft", "A" * 400, "Er sieht das Meer."]
    (tmp_path / "lines").write_text("\n".join(texts), encoding="utf-8")
    (tmp_path / "test").write_text("er sieht das Meer\n", encoding="utf-8")
    assert run(tmp_path / "out.tsv", "--input_file", tmp_path / "lines", "--exclude", tmp_path / "test") == 0
    assert [source for source, _ in read_pairs(tmp_path / "out.tsv")] == LINES
    assert "3 pairs of 7 lines; dropped: 1 empty, 1 duplicates, 1 over-long, 1 excluded" in capsys.readouterr().out


def test_exclude_also_looks_at_translations(fake, lines, tmp_path):
    (tmp_path / "test").write_text(f"{LINES[1][::-1]}\n", encoding="utf-8")
    assert run(tmp_path / "out.tsv", "--input_file", lines, "--exclude", tmp_path / "test") == 0
    assert [source for source, _ in read_pairs(tmp_path / "out.tsv")] == [LINES[0], LINES[2]]


@pytest.mark.parametrize("wrong", ["", "Word " * 30, None])
def test_translations_that_went_wrong_are_dropped(monkeypatch, lines, tmp_path, capsys, wrong):
    fake = Fake(lambda text: text[::-1] if "reden" not in text else text if wrong is None else wrong, [])
    monkeypatch.setattr(translate, "load_translator", lambda model: fake)
    assert run(tmp_path / "out.tsv", "--input_file", lines) == 0
    assert [source for source, _ in read_pairs(tmp_path / "out.tsv")] == [LINES[0], LINES[2]]
    reason = {"": "empty translations", None: "untranslated"}.get(wrong, "translations of another length")
    assert f"dropped: 1 {reason}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("Ein Hund läuft.", True),
        ("2 Hunde laufen!", True),
        ('"Komm her!"', True),
        ("Über dem Haus fliegt ein Vogel …", True),
        ("ein hund läuft.", False),
        ("Ein Hund läuft", False),
        ("EIN HUND LÄUFT.", False),
        ("", False),
    ],
)
def test_whole_sentences(line, whole):
    assert is_whole(line) == whole


def test_lines_that_are_not_whole_sentences_are_dropped_on_demand(fake, lines, tmp_path):
    lines.write_text("ein hund\nEin Hund läuft.\n", encoding="utf-8")
    assert run(tmp_path / "out.tsv", "--input_file", lines, "--whole_sentences") == 0
    assert [source for source, _ in read_pairs(tmp_path / "out.tsv")] == ["Ein Hund läuft."]


def test_normal_form():
    assert normal_form(" Ein  HUND läuft!") == normal_form("ein Hund, läuft")


def test_white_space_inside_a_line_is_one_space(tmp_path):
    (tmp_path / "lines").write_bytes(b"\xef\xbb\xbfa\tb\r\n c  d \n")
    assert list(read_lines(tmp_path / "lines")) == ["a b", "c d"]


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (["--input_file", "/nowhere"], 2, "/nowhere does not exist"),
        (["--input_file", "LINES", "--exclude", "/nowhere"], 2, "/nowhere does not exist"),
        (["--input_file", "LINES", "--output_file", "LINES"], 2, "exists: choose another name"),
        (["--input_file", "LINES", "--batch_size", "0"], 2, "--batch_size 0 must be at least 1"),
        (["--input_file", "LINES", "--exclude", "LINES"], 2, "nothing to translate: 3 lines; dropped: 3 excluded"),
        (["--input_file", "LATIN"], 1, "LATIN:1: expected UTF-8 text"),
        (["--input_file", "CUT.gz"], 1, "truncated or corrupt gzip file"),
    ],
)
def test_wrong_calls_are_one_line(fake, lines, tmp_path, capsys, flags, code, message):
    lines.rename(tmp_path / "LINES")
    (tmp_path / "LATIN").write_bytes("Männer\n".encode("latin-1"))
    (tmp_path / "CUT.gz").write_bytes(gzip.compress(b"a line\n" * 100)[:-10])
    flags = [str(tmp_path / flag) if flag in ("LINES", "LATIN", "CUT.gz") else flag for flag in flags]
    assert run(tmp_path / "out.tsv", *flags) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert len(error) == 1 and message in error[0]
    assert not (tmp_path / "out.tsv").exists()


@pytest.mark.parametrize("model", ["fashion-cnn", "transformer-summarizer-debian"])
def test_a_model_that_is_not_a_translator_is_refused(lines, tmp_path, capsys, model):
    flags = ["--input_file", str(lines), "--output_file", str(tmp_path / "out.tsv")]
    assert main(["translate", model, *flags]) == 1
    assert "is not a translator" in capsys.readouterr().err


def test_a_shipped_translator_translates_captions(lines, tmp_path):
    flags = ["--input_file", str(lines), "--output_file", str(tmp_path / "out.tsv"), "--num_beams", "1"]
    assert main(["translate", "rnn-translator-de-en", *flags]) == 0
    pairs = read_pairs(tmp_path / "out.tsv")
    assert [source for source, _ in pairs] == LINES
    assert "dog" in pairs[0][1] and "men" in pairs[1][1]


def test_a_folder_needs_no_record(tmp_path, lines, capsys):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "fashion_cnn"}))
    assert main(["translate", str(folder), "--input_file", str(lines), "--output_file", str(tmp_path / "o.tsv")]) == 1
    assert "holds no model.safetensors" in capsys.readouterr().err
