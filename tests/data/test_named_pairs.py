"""Multi30k and Tatoeba: where they are looked for, how they are split, on stand-ins and on the real files."""

import gzip

import datasets
import pytest

from zoo.data.named_pairs import load_named_pairs
from zoo.data.parallel_text import clean_pairs, drop_overlap, normal_form


def write_multi30k(folder, languages=("en", "de"), compressed=True):
    folder.mkdir(parents=True, exist_ok=True)
    for split, size in (("train", 5), ("val", 3), ("test_2016_flickr", 2)):
        for lang in languages:
            content = "".join(f"{split} {i} {lang}\n" for i in range(size)).encode()
            path = folder / (f"{split}.{lang}.gz" if compressed else f"{split}.{lang}")
            path.write_bytes(gzip.compress(content) if compressed else content)


@pytest.mark.parametrize("compressed", [True, False])
def test_multi30k_splits_in_both_directions(tmp_path, monkeypatch, compressed):
    write_multi30k(tmp_path / "multi30k", compressed=compressed)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    splits = load_named_pairs("multi30k", "de", "en")
    assert {split: len(text) for split, text in splits.items()} == {"train": 5, "validation": 3, "test": 2}
    assert (splits["test"].source[1], splits["test"].target[1]) == ("test_2016_flickr 1 de", "test_2016_flickr 1 en")
    assert splits["test"].origin == "multi30k, ZOO_DATA" and not splits["test"].is_release
    given = load_named_pairs("multi30k", "de", "en", tmp_path / "multi30k")
    assert given["train"].origin == "multi30k, the folder given with --data_dir"


def test_tatoeba_keeps_all_translations_of_a_sentence_together(tmp_path):
    rows = [(f"Sentence {i // 3}" + ".!"[i % 2], f"Satz {i}", f"Phrase {i}") for i in range(3000)]
    for number, name in ((1, "deu"), (2, "fra")):
        path = tmp_path / f"eng-{name}.tsv.gz"
        path.write_bytes(gzip.compress("".join(f"{row[0]}\t{row[number]}\n" for row in rows).encode()))
    german, french = (load_named_pairs("tatoeba", "en", lang, tmp_path) for lang in ("de", "fr"))
    forms = {split: {normal_form(source) for source in text.source} for split, text in german.items()}
    assert sum(map(len, forms.values())) == 1000 and min(map(len, forms.values())) >= 3
    assert {split: text.source for split, text in german.items()} == {split: t.source for split, t in french.items()}
    reverse = load_named_pairs("tatoeba", "fr", "en", tmp_path)
    assert reverse["test"].target == french["test"].source and reverse["test"].source[0].startswith("Phrase")


def test_the_hub_comes_last(monkeypatch):
    monkeypatch.delenv("ZOO_DATA", raising=False)
    rows = datasets.Dataset.from_dict({"en": ["a dog"], "de": ["ein Hund"]})
    asked = []

    def load(name, config):
        asked.append(name)
        return datasets.DatasetDict(train=rows, validation=rows, test=rows)

    monkeypatch.setattr(datasets, "load_dataset", load)
    splits = load_named_pairs("multi30k", "de", "en")
    assert splits["test"].source == ["ein Hund"] and splits["test"].origin == "bentrevett/multi30k"
    assert asked == ["bentrevett/multi30k"]


def test_the_error_names_every_place(tmp_path, monkeypatch):
    def load(name, config):
        raise OSError("offline")

    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="bentrevett/multi30k .offline.*--data_dir.*multi30k/dataset"):
        load_named_pairs("multi30k", "en", "de")
    with pytest.raises(FileNotFoundError, match="bentrevett/multi30k .it has no en-fr"):
        load_named_pairs("multi30k", "en", "fr")
    with pytest.raises(FileNotFoundError, match="the Hugging Face Hub does not have it.*manythings"):
        load_named_pairs("tatoeba", "en", "de")
    with pytest.raises(FileNotFoundError, match="does not hold train.en,"):
        load_named_pairs("multi30k", "en", "de", tmp_path)


def test_unknown_names_and_languages():
    with pytest.raises(ValueError, match="no parallel corpus 'wmt14'; known: multi30k, tatoeba"):
        load_named_pairs("wmt14", "en", "de")
    with pytest.raises(ValueError, match="tatoeba has no pair de-fr; it has en-de, en-fr, each in both directions"):
        load_named_pairs("tatoeba", "de", "fr")
    with pytest.raises(ValueError, match="multi30k has no pair en-en"):
        load_named_pairs("multi30k", "en", "en")


def need(real_data, name):
    if real_data is None or not (real_data / name).is_dir():
        pytest.skip(f"needs the real data: set ZOO_DATA to a folder that holds {name}/ (docs/guides/text_data.md)")


def test_the_real_multi30k(real_data):
    need(real_data, "multi30k")
    splits = load_named_pairs("multi30k", "en", "de")
    assert {split: len(text) for split, text in splits.items()} == {"train": 29_000, "validation": 1014, "test": 1000}
    assert all(text.is_release for text in splits.values())
    clean, counts = clean_pairs(splits["train"])
    # two captions are translated as "@@"
    assert (counts["length_ratio"], counts["duplicate"], counts["kept"]) == (2, 3, 28_995)
    assert drop_overlap(clean, [splits["validation"], splits["test"]])[1] == 1


def test_the_real_tatoeba(real_data):
    need(real_data, "tatoeba")
    splits = load_named_pairs("tatoeba", "en", "de")
    assert {s: len(text) for s, text in splits.items()} == {"train": 166_406, "validation": 1727, "test": 1680}
    assert splits["train"].is_release
    assert drop_overlap(splits["train"], [splits["validation"], splits["test"]])[1] == 0
