"""Transcribed speech: readers, checks, splits and the cache of features."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from zoo.data.audio import SpeechSplit, decode, load_named_speech, read_hub_speech, read_speech, set_aside
from zoo.data.audio_features import load_features
from zoo.models.speech_transformer import SpeechTransformerFeatureExtractor

RATE = 16000


def tone(seconds=0.5, pitch=300.0, rate=RATE):
    return (0.3 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


@pytest.fixture
def folder(tmp_path):
    """Three utterances of two speakers, in several formats."""
    for name, seconds in (("a.wav", 0.5), ("b.flac", 0.3), ("c.ogg", 0.4)):
        soundfile.write(tmp_path / name, tone(seconds), RATE)
    rows = [("a.wav", "one", "x"), ("b.flac", "two", "y"), ("c.ogg", "three", "x")]
    header = ("file_name", "text", "speaker_id")
    for ending, comma in (("csv", ","), ("tsv", "\t")):
        (tmp_path / f"rows.{ending}").write_text("\n".join(comma.join(row) for row in (header, *rows)) + "\n")
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(dict(zip(header, row))) for row in rows))
    shutil.copy(tmp_path / "rows.csv", tmp_path / "metadata.csv")
    return tmp_path


def write_parquet(path, folder):
    import pyarrow as pa
    import pyarrow.parquet

    rows = [
        {"audio": {"bytes": (folder / name).read_bytes(), "path": name}, "text": text, "speaker_id": "x", "age": 9}
        for name, text in (("a.wav", "one"), ("b.flac", "two"))
    ]
    pa.parquet.write_table(pa.Table.from_pylist(rows), path)


@pytest.mark.parametrize("name", ["rows.csv", "rows.tsv", "rows.jsonl", ""])
def test_tables_and_folders(folder, name):
    split = read_speech(folder / name)
    assert split.texts == ["one", "two", "three"] and split.speakers == ["x", "y", "x"]
    assert split.sounds[0] == folder / "a.wav" and split.places[1].endswith(":2" if "json" in name else ":3")
    assert len(split.fingerprint()) == 64 and split.take([1]).texts == ["two"]


def test_parquet_and_a_known_corpus(folder):
    for name in ("train", "validation", "test"):
        write_parquet(folder / f"{name}.parquet", folder)
    splits = load_named_speech("fsdd", folder)
    assert set(splits) == {"train", "validation", "test"} and splits["train"].columns == {"age": [9, 9]}
    samples, rate = decode(splits["train"].sounds[0])
    assert rate == RATE and len(samples) == 8000


def test_a_corpus_that_is_nowhere_names_the_places(monkeypatch):
    monkeypatch.delenv("ZOO_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="ZOO_DATA"):
        load_named_speech("fsdd")


def test_hub_data_sets_need_no_decoder(folder, monkeypatch):
    import datasets

    path = folder / "hub.parquet"
    write_parquet(path, folder)
    dataset = datasets.Dataset.from_parquet(str(path), cache_dir=str(folder / "cache"))
    monkeypatch.setattr(datasets, "load_dataset", lambda name, config: datasets.DatasetDict(train=dataset))
    splits = read_hub_speech("someone/speech", audio_column="audio")
    assert splits["train"].texts == ["one", "two"] and isinstance(splits["train"].sounds[0], bytes)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("bad.csv", "file_name,text\na.wav\n", "bad.csv:2: expected 2 columns"),
        ("bad.csv", "sound,text\na.wav,one\n", "no column file_name or path"),
        ("bad.csv", "file_name,words\na.wav,one\n", "no column text or sentence"),
        ("bad.csv", "file_name,text\n", "no rows"),
        ("bad.csv", "file_name,text\n,one\n", "bad.csv:2: column file_name has neither"),
        ("bad.jsonl", '{"path": "a.wav", "text": "one"}\n{', "bad.jsonl:2: not JSON"),
        ("bad.xlsx", "", "expected a .parquet"),
    ],
)
def test_damaged_tables(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_speech(tmp_path / name)


def test_missing_tables(tmp_path):
    with pytest.raises(FileNotFoundError, match="metadata.csv"):
        read_speech(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_speech(tmp_path / "no.csv")


def bad_files(folder):
    """Name -> what its message says."""
    (folder / "empty.wav").write_bytes(b"")
    (folder / "video.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(500))
    soundfile.write(folder / "silence.wav", np.zeros(8000), RATE)
    soundfile.write(folder / "nan.wav", np.full(8000, np.nan, np.float32), RATE, subtype="FLOAT")
    soundfile.write(folder / "nothing.wav", np.zeros(0), RATE)
    soundfile.write(folder / "hour.flac", np.zeros(3600 * 8000, np.int16), 8000)
    noise = np.random.default_rng(0).normal(size=RATE) * 0.1
    soundfile.write(folder / "whole.flac", noise, RATE)
    content = (folder / "whole.flac").read_bytes()
    (folder / "truncated.flac").write_bytes(content[: len(content) // 2])
    return {
        "empty.wav": "the file is empty",
        "video.mp4": "damaged, or not WAV",
        "silence.wav": "it is silent",
        "nan.wav": "NaN",
        "nothing.wav": "there are no samples",
        "hour.flac": "3,600.0 seconds are more than max_seconds=30",
        "truncated.flac": "truncated|damaged",
        "missing.wav": "does not exist",
    }


def test_every_bad_file_has_its_line(folder):
    for name, message in bad_files(folder).items():
        with pytest.raises(ValueError, match=message) as error:
            decode(folder / name, 30)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "rate", "options"),
    [("stereo.mp3", 44100, {}), ("24.wav", 16000, {"subtype": "PCM_24"}), ("opus.ogg", 16000, {"subtype": "OPUS"})],
)
def test_usual_files_are_read(tmp_path, name, rate, options):
    soundfile.write(tmp_path / name, np.stack([tone(rate=rate)] * 2, axis=1), rate, **options)
    samples, found = decode(tmp_path / name)
    assert found == rate and samples.ndim == 1 and abs(len(samples) / rate - 0.5) < 0.1
    assert 0.2 < np.abs(samples).max() < 0.4


def test_features_are_computed_once_and_bad_rows_have_none(folder, monkeypatch):
    names = ["a.wav", *bad_files(folder), "b.flac"]
    places = [f"rows:{number}" for number in range(len(names))]
    split = SpeechSplit([folder / name for name in names], names, places)
    extractor = SpeechTransformerFeatureExtractor(feature_size=20)
    features = load_features(split, extractor, 30, folder / "cache")
    assert features.lengths.tolist() == [50, *[0] * 8, 30] and features.rates[0] == RATE
    assert [bool(problem) for problem in features.problems] == [False, *[True] * 8, False]
    expected = extractor.log_mel([extractor.prepare(tone(0.3))])[0]
    assert features[9].dtype == np.float16 and isinstance(features.frames, np.memmap)
    np.testing.assert_allclose(features[9], expected, atol=0.02)
    monkeypatch.setattr("zoo.data.audio_features.decode", lambda *arguments: 1 / 0)
    again = load_features(split, extractor, 30, folder / "cache")
    np.testing.assert_array_equal(again.frames, features.frames)
    with pytest.raises(ZeroDivisionError):
        load_features(split, SpeechTransformerFeatureExtractor(feature_size=21), 30, folder / "cache")
    assert not list((folder / "cache").glob("*.tmp*"))


def test_whole_speakers_are_set_aside():
    speakers = [str(number // 10) for number in range(100)]
    split = SpeechSplit([b""] * 100, ["text"] * 100, [str(number) for number in range(100)], speakers)
    rest, aside = set_aside(split, 0.2, seed=0)
    assert len(aside) == 20 and not set(rest.speakers) & set(aside.speakers)
    order = np.random.default_rng(0).permutation(100)
    assert set(set_aside(split.take(order), 0.2, seed=0)[1].speakers) == set(aside.speakers)
    assert set(set_aside(split, 0.2, seed=1)[1].speakers) != set(aside.speakers)
    nameless = SpeechSplit(split.sounds, split.texts, split.places)
    rest, aside = set_aside(nameless, 0.2, seed=0)
    assert (len(rest), len(aside)) == (80, 20)
    with pytest.raises(ValueError, match="too few"):
        set_aside(nameless.take([0]), 0.2, seed=0)
