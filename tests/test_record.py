"""results.json: whole or not at all, and errors that name the file."""

import pytest

from zoo.record import RunRecord, sha256, write_whole

MINIMAL = {"model_id": "a", "command": "b", "recipe": {}, "data": {}, "seed": 1, "metrics": {"test": {"n": 1}}}


def test_round_trip(tmp_path):
    record = RunRecord(**MINIMAL, compute={"train_seconds": 1.5})
    record.write(tmp_path)
    assert RunRecord.read(tmp_path) == record


def test_missing_record(tmp_path):
    with pytest.raises(FileNotFoundError, match="is not the folder of a finished run"):
        RunRecord.read(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [("{", "not JSON"), ('{"model_id": "a"}', "missing 5 required"), ('{"colour": 1}', "colour"), ("[]", "mapping")],
)
def test_damaged_records_name_the_file(tmp_path, text, message):
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        RunRecord.read(tmp_path)
    assert "results.json" in str(error.value)


def test_a_failed_write_keeps_the_earlier_file(tmp_path, monkeypatch):
    path = write_whole(tmp_path / "file.txt", "first")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(OSError):
        write_whole(path, "second")
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["file.txt"]


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
