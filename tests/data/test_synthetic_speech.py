"""scripts/datasets/synthetic_speech.py with a few sentences."""

import csv
import gzip
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from zoo.data.audio import read_speech

ROOT = Path(__file__).parents[2]
SENTENCES = ["Go on.", "go on!", "It's late.", "I have 3 dogs.", "Is it measured?", "So " * 13, "Stop it.", "Come in."]


@pytest.fixture
def zoo_data(tmp_path):
    """Tatoeba with a few sentences, one of which the test split of speechocean762 has, too."""
    (tmp_path / "tatoeba").mkdir()
    with gzip.open(tmp_path / "tatoeba" / "eng-deu.tsv.gz", "wt", encoding="utf-8") as file:
        file.writelines(f"{sentence}\tx\n" for sentence in SENTENCES)
    corpus = tmp_path / "speech" / "speechocean762"
    corpus.mkdir(parents=True)
    for split in ("train", "validation", "test"):
        row = {"audio": {"bytes": b"x", "path": None}, "text": "is it measured", "speaker_id": "1"}
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), corpus / f"{split}.parquet")
    return tmp_path


def run(folder, zoo_data, path=None, hours=1):
    environment = {
        **os.environ,
        "ZOO_DATA": str(zoo_data),
        "PYTHONPATH": str(ROOT),
        "PATH": path or os.environ["PATH"],
    }
    command = [sys.executable, "scripts/datasets/synthetic_speech.py", str(folder), "--hours", str(hours)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.skipif(
    not (shutil.which("flite") and shutil.which("espeak-ng")), reason="needs `apt-get install flite espeak-ng`"
)
def test_sentences_are_read_aloud_and_an_interrupted_run_goes_on(zoo_data, tmp_path):
    folder = tmp_path / "spoken"
    assert run(folder, zoo_data).returncode == 0
    with open(folder / "metadata.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["text"] for row in rows} == {"Go on.", "It's late.", "Stop it.", "Come in."}
    assert all(row["speaker_id"].startswith(("flite-", "espeak-")) for row in rows)
    for row in rows:
        info = soundfile.info(folder / row["file_name"])
        assert info.samplerate == 16000 and 0.3 < info.duration < 10
    assert len(read_speech(folder)) == 4
    first, second = (folder / row["file_name"] for row in rows[:2])
    first.unlink()
    made = second.stat().st_mtime_ns
    assert run(folder, zoo_data, hours=0.0001).returncode == 0
    assert first.is_file() and second.stat().st_mtime_ns == made
    assert len(read_speech(folder)) == 1  # 0.36 seconds
    assert not list(tmp_path.rglob("*.tmp")) and not list(tmp_path.rglob("*.wav"))


def test_what_is_missing_is_one_line(zoo_data, tmp_path):
    result = run(tmp_path / "spoken", zoo_data, path="/nowhere")
    assert result.returncode == 1 and not (tmp_path / "spoken").exists()
    assert result.stderr == "error: flite and espeak-ng not found: apt-get install flite espeak-ng\n"
