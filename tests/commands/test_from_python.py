"""zoo.train, zoo.tune and zoo.publish do what the commands do, and an earlier run is never lost."""

import matplotlib
import pytest

import zoo
from zoo.record import RunRecord
from zoo.training.recipe import UsageError

FEW = {"max_train_samples": 60, "max_eval_samples": 20, "max_predict_samples": 20}


@pytest.fixture
def run(finished):
    """A function that trains the tiny recipe for one epoch."""

    def train(folder, **options):
        options = {"data": FEW, "training": {"num_train_epochs": 1}, "quiet": True} | options
        return zoo.train(str(finished / "tiny.yaml"), str(folder), **options)

    return train


def test_train_changes_fields_and_returns_the_record(run, tmp_path, capsys):
    record = run(tmp_path / "run", model={"stage_channels": [4, 4], "dense_sizes": []})
    assert record.recipe["model"]["stage_channels"] == [4, 4]
    assert record.metrics["test"]["n"] == 20
    assert RunRecord.read(tmp_path / "run").metrics == record.metrics
    assert not capsys.readouterr().out


def test_an_earlier_run_is_kept_unless_it_is_overwritten(run, tmp_path):
    run(tmp_path / "run", skip_test=True)
    with pytest.raises(UsageError, match="holds the finished run"):
        run(tmp_path / "run")
    record = run(tmp_path / "run", overwrite=True)
    assert "test" in record.metrics
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_an_earlier_run_comes_back_after_an_error(run, tmp_path):
    first = run(tmp_path / "run")
    with pytest.raises(ValueError, match="validation_size"):
        run(tmp_path / "run", data=FEW | {"validation_size": 100_000}, overwrite=True)
    assert RunRecord.read(tmp_path / "run").created == first.created


def test_overwrite_deletes_runs_only(run, tmp_path):
    (tmp_path / "letters").mkdir()
    with pytest.raises(UsageError, match="holds no run"):
        run(tmp_path / "letters", overwrite=True)


def test_an_unknown_field_names_the_nearest(run, tmp_path):
    with pytest.raises(UsageError, match="stage_channels"):
        run(tmp_path / "run", model={"stage_chanels": [4, 4]})


def test_a_notebook_shows_its_plots_after_a_run(run, tmp_path, monkeypatch):
    import matplotlib.pyplot as plt

    plt.switch_backend("svg")
    try:
        run(tmp_path / "run")
        assert matplotlib.get_backend() == "svg"
    finally:
        plt.switch_backend("Agg")


def test_publish_in_a_dry_run_sends_nothing(finished, monkeypatch):
    sent = []
    pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
    monkeypatch.setattr("zoo.commands.publish.publish_folder", lambda *arguments: sent.append(arguments))
    zoo.publish(str(finished / "run"), "me/tiny", dry_run=True, max_samples=5, formats=["onnx"])
    ((source, repo_id, options, rows, dry_run, pin, formats),) = sent
    assert (source, repo_id, rows, dry_run) == (finished / "run", "me/tiny", 5, True)
    assert (pin, formats) == (False, ["onnx"])
    with pytest.raises(ValueError, match="not a repository"):
        zoo.publish(str(finished / "run"), "tiny", dry_run=True)
    assert options.tag is None
    for wrong, message in (({"formats": ["tflite"]}, "--with tflite: known are"), ({"max_samples": -1}, "must be 0")):
        with pytest.raises(UsageError, match=message):
            zoo.publish(str(finished / "run"), "me/tiny", dry_run=True, **wrong)


def test_tune_passes_space_and_settings(finished, tmp_path, monkeypatch):
    search = pytest.importorskip("zoo.tuning.search", reason='pip install "primer-zoo[tune]"')
    made = []

    def run(self, address, jobs, resume, seeds):
        made.append((self, jobs, resume, seeds))
        self.folder.mkdir()
        (self.folder / "search.json").write_text('{"best": 1}')

    monkeypatch.setattr(search.Search, "run", run)
    space = {"training.learning_rate": {"loguniform": [1e-4, 1e-2]}, "model.stage_channels": [[4, 4], [8, 8]]}
    settings = {"trials": 3, "epochs": 2, "jobs": 1, "resume": True, "skip_final": False}
    found = zoo.tune(str(finished / "tiny.yaml"), str(tmp_path / "search"), space=space, **settings)
    ((made_search, jobs, resume, seeds),) = made
    assert found == {"best": 1}
    assert made_search.settings.trials == 3 and made_search.epochs == 2 and (jobs, resume, seeds) == (1, True, [])
    assert made_search.settings.space.names == ["training.learning_rate", "model.stage_channels"]
