"""Where the named data sets are looked for, on small stand-ins for their files."""

import huggingface_hub
import numpy as np
import pytest

from zoo.data.named_series import load_named_series


def write_m4(folder, test_id="H2", horizon=48):
    folder.mkdir(parents=True, exist_ok=True)
    train = [f"H{i}," + ",".join(str(100 * i + t) for t in range(60 + i)) + "," * (3 - i) for i in (1, 2)]
    test = [f"{name}," + ",".join(["7"] * horizon) for name in ("H1", test_id)]
    for part, rows, width in (("train", train, 63), ("test", test, horizon)):
        header = ",".join(f"V{i}" for i in range(1, width + 2))
        (folder / f"Hourly-{part}.csv").write_text("\n".join([header, *rows]) + "\n")


def test_m4_puts_the_test_rows_after_the_training_rows(tmp_path, monkeypatch):
    write_m4(tmp_path / "m4")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    series = load_named_series("m4-hourly")
    assert series.item_ids == ("H1", "H2") and series.lengths.tolist() == [61 + 48, 62 + 48]
    np.testing.assert_array_equal(series.item(1)[:, 0], [*range(200, 262), *[7] * 48])
    assert series.source == "ZOO_DATA" and not series.is_release


@pytest.mark.parametrize("change", [{"test_id": "H3"}, {"horizon": 47}])
def test_m4_files_that_do_not_belong_together(tmp_path, change):
    write_m4(tmp_path, **change)
    with pytest.raises(ValueError, match="Hourly-test does not have 48 values of each series"):
        load_named_series("m4-hourly", tmp_path)


def test_a_given_path_is_never_replaced(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not hold ETTh1.csv"):
        load_named_series("etth1", tmp_path)
    with pytest.raises(FileNotFoundError, match="does not hold Hourly-train.csv"):
        load_named_series("m4-hourly", tmp_path)


def test_the_hub_is_the_last_place_and_the_error_names_all(tmp_path, monkeypatch):
    asked = []

    def download(repository, file, repo_type):
        asked.append((repository, file, repo_type))
        raise OSError("offline")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="not in .*/ett, .*offline.*--data_dir.*zhouhaoyi/ETDataset"):
        load_named_series("etth1")
    assert asked == [("thuml/Time-Series-Library", "ETT-small/ETTh1.csv", "dataset")]


def test_what_the_hub_gives_is_read(tmp_path, monkeypatch):
    write_m4(tmp_path)
    monkeypatch.delenv("ZOO_DATA", raising=False)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda _, file, repo_type: tmp_path / file.split("/")[-1])
    assert load_named_series("m4-hourly").source == "thuml/Time-Series-Library"


def test_unknown_name():
    with pytest.raises(ValueError, match="unknown data set 'etth3'; known: etth1, m4-hourly"):
        load_named_series("etth3")
