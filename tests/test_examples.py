"""The scripts of examples/, each with a little data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from examples import forecast_csv, new_language_pair, use_models
from tests.hub.conftest import api, hub, shared_workers, workers  # noqa: F401
from tests.tasks.pairs import pairs, write_tsv
from zoo.hub import publish  # noqa: F401 -- before the fixtures replace what it imports
from zoo.record import RunRecord

QUICK = ("--num_train_epochs", "1", "--use_cpu", "true", "--disable_tqdm", "true", "--average_checkpoints", "0",
         "--generation_max_length", "12", "--num_beams", "1", "--vocabulary", "keep")  # fmt: skip


def test_published_models_answer(tmp_path, capsys):
    use_models.draw_trousers().convert("RGB").save(tmp_path / "mine.png")
    use_models.main(str(tmp_path / "mine.png"))
    out = capsys.readouterr().out
    assert "picture: Trouser" in out and "predictions" in out and "Männer" in out


def test_a_csv_becomes_a_plot(tmp_path, capsys):
    days = pd.date_range("2026-01-01", periods=200).strftime("%d.%m.%Y")
    values = 10 + np.sin(np.arange(200) * 2 * np.pi / 7) + np.random.default_rng(0).normal(0, 0.1, 200)
    pd.DataFrame({"Tag": days, "Last": values}).to_csv(tmp_path / "mine.csv", index=False, sep=";", decimal=",")
    arguments = (str(tmp_path / "mine.csv"), "Tag", "Last", str(tmp_path / "run"))
    forecast_csv.main(*arguments, timestamp_format="%d.%m.%Y", epochs=2)
    assert (tmp_path / "run/forecast.png").stat().st_size > 5000
    assert "mean absolute error" in capsys.readouterr().out


@pytest.fixture
def tsv(tmp_path, monkeypatch) -> str:
    """Pairs of a made-up language; runs go to the temporary folder."""
    monkeypatch.chdir(tmp_path)
    return str(write_tsv(tmp_path / "eo.tsv", pairs(80)))


def test_a_new_language_pair(tsv, capsys):
    folder = new_language_pair.main(tsv, "en", "eo", flags=QUICK)
    assert RunRecord.read(Path(folder)).metrics["test"]["n"] > 0
    assert " -> " in capsys.readouterr().out.splitlines()[-1]


@pytest.mark.slow
def test_a_new_language_pair_on_the_hub(tsv, hub, api, shared_workers):  # noqa: F811
    new_language_pair.main(tsv, "en", "eo", "primer-zoo/translator-en-eo", QUICK)
    files = hub.repo("primer-zoo/translator-en-eo").files()
    assert {"README.md", "model.safetensors", "modeling_transformer_seq2seq.py", "tokenizer.json"} <= set(files)


def test_an_error_of_a_command_ends_the_script(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        new_language_pair.main(str(tmp_path / "none.tsv"), "en", "eo")
    assert ended.value.code in (1, 2) and "none.tsv" in capsys.readouterr().err
