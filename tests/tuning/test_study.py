"""Studies: the file, the runs that are kept, and the table."""

import importlib
import json
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from zoo.tuning.study_runs import plan
from zoo.tuning.study_table import Row, compare, describe, tabulate

from zoo.commands.study import main, without_places
from zoo.commands.train import main as train
from zoo.record import RunRecord
from zoo.tasks.base import Report
from zoo.training import run as training
from zoo.training.command_line import parse_overrides
from zoo.training.recipe import UsageError
from zoo.tuning import study_runs, workers
from zoo.tuning.study import Variant, check_study, code_of, flags_of, load_study, recipe_key, settings_of

from . import dying


@pytest.fixture(scope="module")
def place(tmp_path_factory, tiny_data) -> Path:
    """A recipe and a study of it: a variant that changes something, one that cannot be, one that diverges."""
    folder = tmp_path_factory.mktemp("study")
    recipe = {
        "family": "fashion_cnn",
        "task": "image_classification",
        "data": {"data_dir": str(tiny_data), "validation_size": 40},
        "model": {"stage_channels": [8, 8], "pool_position": "first"},
        "training": {"num_train_epochs": 2, "per_device_train_batch_size": 20, "learning_rate": 0.02, "use_cpu": True},
    }
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    study = {
        "title": "A tiny study",
        "question": "What do filters do?",
        "note": "Two epochs.",
        "base": "tiny.yaml",
        "seeds": [1, 2],
        "section": "by_pairs",
        "variants": {
            "4-filters": {"model": {"stage_channels": [4, 4]}},
            "impossible": {"model": {"stage_channels": [8] * 9}},
            "diverges": {"training": {"learning_rate": 1e36, "optim": "sgd"}},
        },
    }
    (folder / "tiny-study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def done(place) -> Path:
    """The study's folder after it was run, the test split included."""
    flags = ["--output_dir", str(place / "out"), "--report_dir", str(place / "report"), "--jobs", "1"]
    assert main([str(place / "tiny-study.yaml"), *flags, "--test"]) == 0
    return place / "out"


@pytest.fixture
def in_this_process(monkeypatch) -> None:
    """Trainings one after the other, without a process that imports everything first."""

    def work_off(jobs, pool, tell, go_on):
        for job in jobs:
            tell(job, "start", None)
            workers.perform(job, lambda what, job=job: tell(job, "progress", what))
            tell(job, "done", "")

    monkeypatch.setattr(study_runs, "work_off", work_off)
    monkeypatch.setattr(training, "draw_learning_curves", lambda *arguments: None)
    pictures = importlib.import_module("zoo.tasks.image_classification.report")
    monkeypatch.setattr(pictures, "report", lambda *arguments: Report(""))


def found(folder: Path) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads((folder / "study.json").read_text())["rows"]}


def test_every_variant_has_its_figures_or_the_reason_why_not(done):
    rows = found(done)
    assert [len(rows[name]["runs"]) for name in ("base", "4-filters", "impossible", "diverges")] == [2, 2, 0, 0]
    assert "would shrink its 1x1 map" in rows["impossible"]["failures"][0]["reason"]
    assert "diverged: " in rows["diverges"]["failures"][1]["reason"]
    for name in ("base", "4-filters"):
        for run in rows[name]["runs"]:
            record = RunRecord.read(done / "runs" / run["folder"])
            assert record.seed == run["seed"] and record.metrics["validation"]["accuracy"] == run["validation"]
            assert "test" not in record.metrics and 0 <= run["test"] <= 1 and run["n"] == 60
            assert not list((done / "runs" / run["folder"]).glob("checkpoint-*"))
    assert rows["4-filters"]["runs"][0]["parameters"] < rows["base"]["runs"][0]["parameters"]
    assert rows["4-filters"]["against_base"]["difference"] == pytest.approx(
        rows["4-filters"]["statistics"]["test"]["mean"] - rows["base"]["statistics"]["test"]["mean"]
    )


def test_the_page_says_what_was_found(done, place):
    page = (done / "study.md").read_text()
    for text in (
        "# A tiny study",
        "What do filters do?",
        "Two epochs.",
        "| base |",
        "`stage_channels=[4,4]`",
        "Dunnett",
    ):
        assert text in page
    assert "| impossible | `stage_channels=[8,8,8,8,8,8,8,8,8]` | FAILED: model: " in page
    assert "not looked at" not in page and "python scripts/study.py" in page and str(done) not in page.split("```")[1]
    moved = page.replace("study.png", "tiny-study.png").replace("study-by-pairs", "tiny-study-by-pairs")
    assert (place / "report/tiny-study.md").read_text() == moved
    assert (place / "report/tiny-study.png").stat().st_size > 5_000
    assert (place / "report/tiny-study-by-pairs.png").stat().st_size > 5_000
    columns = {line.count("|") for line in page.split("## By number")[0].splitlines() if line.startswith("|")}
    assert columns == {13}
    base = found(done)["base"]["statistics"]["test"]["mean"], found(done)["4-filters"]["statistics"]["test"]["mean"]
    assert f"| 200 | {sum(base) / 2:.4f} |  |" in page.split("## By number")[1]


def test_what_is_finished_is_kept_and_a_new_variant_runs_alone(done, place, capsys, tmp_path, in_this_process):
    """Renamed variants too: what a run is called does not change what it learns."""
    study = yaml.safe_load((place / "tiny-study.yaml").read_text())
    study["variants"] = {"few-filters": study["variants"]["4-filters"], "new": {"model": {"stage_channels": [6, 6]}}}
    (place / "other.yaml").write_text(yaml.safe_dump(study))
    shutil.copytree(done, tmp_path / "out")
    flags = ["--output_dir", str(tmp_path / "out"), "--seeds", "1"]
    assert main([str(place / "other.yaml"), *flags]) == 0
    out = capsys.readouterr().out
    assert "1 trainings, 1 at a time (2 are there already)" in out and "[3/3] new, seed 1: epoch 2 of 2" in out
    rows = found(tmp_path / "out")
    assert rows["few-filters"]["runs"][0] == found(done)["4-filters"]["runs"][0]
    assert "one seed" in (tmp_path / "out/study.md").read_text()


def test_a_run_that_was_cut_off_goes_on(done, place, capsys, tmp_path, in_this_process):
    """From its checkpoint to the same figures; without one, from the beginning."""
    flags = ["--output_dir", str(tmp_path), "--seeds", "1", "--only", "4-filters", "--jobs", "1"]
    study = load_study(place / "tiny-study.yaml")
    base, variant = plan(study, tmp_path, (), ["4-filters"])[:2]
    assert train([*variant.argv, "--output_dir", str(variant.folder), "--skip_test", "--disable_tqdm", "true"]) == 0
    for name in ("results.json", "model.safetensors"):
        (variant.folder / name).unlink()
    shutil.rmtree(variant.folder / "checkpoint-20")  # the second epoch's
    assert (variant.folder / "checkpoint-10").is_dir()
    base.folder.mkdir()
    (base.folder / "recipe.yaml").write_text("half of a")
    capsys.readouterr()
    assert main([str(place / "tiny-study.yaml"), *flags]) == 0
    for name in ("base", "4-filters"):
        kept = ("train", "validation", "verdict")
        one, two = found(tmp_path)[name]["runs"][0], found(done)[name]["runs"][0]
        assert {key: one[key] for key in kept} == {key: two[key] for key in kept}


def test_other_code_is_another_run_unless_it_is_accepted(done, place, monkeypatch):
    study = load_study(place / "tiny-study.yaml")
    assert all(run.finished for run in plan(study, done, only=["4-filters"]))
    monkeypatch.setattr("zoo.tuning.study_runs.code_key", lambda family: "abcdef")
    assert not any(run.finished for run in plan(study, done, only=["4-filters"]))
    accepted = plan(study, done, only=["4-filters"], accept_other_code=True)
    assert all(run.finished and run.other_code for run in accepted)
    rows = tabulate(study, accepted, "accuracy", True)
    assert all(run["other_code"] for row in rows for run in row.runs)


def test_comments_do_not_make_other_code(tmp_path):
    one, two, three = (tmp_path / f"{name}.py" for name in ("one", "two", "three"))
    one.write_text('"""A."""\ndef f():\n    """B."""\n    return 1\n')
    two.write_text("def f():\n    return 1  # why\n")
    three.write_text("def f():\n    return 2\n")
    assert code_of(one) == code_of(two) != code_of(three)


def test_the_seed_and_flags_for_all_runs_are_part_of_a_run(place):
    variant = load_study(place / "tiny-study.yaml").variants[1]
    keys = {recipe_key(settings_of(variant, *given)) for given in ((1, []), (2, []), (1, ["--weight_decay", "0.1"]))}
    assert len(keys) == 3
    same = settings_of(variant, 1, ["--dataloader_num_workers", "1", "--output_dir", "x"])
    assert recipe_key(same) == recipe_key(settings_of(variant, 1, []))


def test_the_content_of_files_is_part_of_a_run(tmp_path):
    """Other pairs or other weights under the same name are other runs; the same ones elsewhere in time are not."""
    (tmp_path / "mine.tsv").write_text("en\teo\na\tb\n")
    (tmp_path / "old.en").write_text("a\n")
    parent = tmp_path / "parent"
    parent.mkdir()
    (parent / "config.json").write_text("{}")
    (parent / "model.safetensors").write_bytes(b"1")
    data = {"train_file": [str(tmp_path / "mine.tsv")], "keep_pair": [f"de-en:{tmp_path / 'old.en'},nowhere"]}
    recipe = SimpleNamespace(what_is_learnt=lambda: {}, data=data, model_name_or_path=str(parent))
    settings = SimpleNamespace(recipe=recipe, training=SimpleNamespace(seed=1))
    keys = [recipe_key(settings)]
    for path in (tmp_path / "mine.tsv", tmp_path / "old.en", parent / "model.safetensors"):
        os.utime(path, ns=(1, 1))
        assert recipe_key(settings) == keys[-1]
        path.write_text("other")
        keys.append(recipe_key(settings))
    assert len(set(keys)) == 4


def test_overrides_become_flags():
    overrides = {
        "model": {"pooling": [True, False], "hidden_act": "gelu"},
        "training": {"use_cpu": True, "optim_args": {"momentum": 0.9}},
        "data": {"columns": ["a", "b"]},
    }
    assert flags_of(overrides) == [
        "--model_overrides", "pooling=[true,false],hidden_act=gelu", "--columns", "a", "b", "--use_cpu", "true",
        "--optim_args", '{"momentum":0.9}',
    ]  # fmt: skip


def test_values_survive_the_command_line():
    model = {
        "a": -1e-05,
        "b": [[1, 2e-07], [3]],
        "c": "1e-3",
        "d": "x, y=[z 😀",
        "h": "2020-13-45",
        "e": None,
        "f": {"g": [True, "no"]},
    }
    _, text, given = flags_of({"model": model, "training": {"learning_rate": -1e-05}})
    assert parse_overrides(text) == model
    assert given == "--learning_rate=-1e-05"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sedes": [1]}, "unknown key 'sedes'; did you mean 'seeds'"),
        ({"seeds": [1, 1]}, "seeds: a number stands twice"),
        ({"seeds": [True, "x"]}, "seeds must be a list of whole numbers"),
        ({"base": None}, "the key 'base' is missing or empty"),
        ({"base": "nowhere.yaml"}, "nowhere.yaml: no such recipe file"),
        ({"variants": {"a": {"modle": {}}}}, "variants, a: unknown key 'modle'; did you mean 'model'"),
        ({"variants": {"a": {"model": {"stage_chanels": [1]}}}}, "variant a: --model_overrides: unknown key"),
        ({"variants": {"a": {"training": {"lerning_rate": 1}}}}, "variant a: unknown argument '--lerning_rate'"),
        ({"variants": {"a": {}}}, "variants, a: it changes nothing"),
        ({"variants": {"a": {"model": {"stage_channels": [8, 8]}}}}, "variants, a: it changes nothing"),
        ({"variants": {"base": {"model": {"residual": True}}}}, "the base is a row already"),
        ({"variants": {n: {"model": {"stage_channels": [4]}} for n in "ab"}}, "variants, b: it is the same as a"),
        ({"section": "by_pair"}, "section 'by_pair'; did you mean 'by_pairs'"),
        ({"common": {"recipe": "x"}}, "common: unknown key 'recipe'"),
        (
            {"variants": {"a": {"recipe": "lstm-forecaster"}}},
            "variants, a: its task is forecasting, the base's",
        ),
    ],
)
def test_a_wrong_study_is_told_in_one_line(place, change, message, tmp_path):
    study = yaml.safe_load((place / "tiny-study.yaml").read_text()) | {"base": str(place / "tiny.yaml")} | change
    (tmp_path / "wrong.yaml").write_text(yaml.safe_dump(study))
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        check_study(load_study(tmp_path / "wrong.yaml"))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["lstm-forcaster"], "no study 'lstm-forcaster'; did you mean 'lstm-forecaster'"),
        (["STUDY", "--only", "4-filter"], "no variant '4-filter'; did you mean '4-filters'"),
        (["STUDY", "--seed", "3"], "--seed: a study sets it itself"),
        (["STUDY", "--output-dir", "x"], "--output-dir: a study sets it itself"),
        (["STUDY", "--lerning_rate", "3"], "unknown argument '--lerning_rate'; did you mean '--learning_rate'"),
        ([], "the following arguments are required: study"),
    ],
)
def test_a_wrong_call_is_told_in_one_line(place, flags, message, capsys, tmp_path):
    argv = [str(place / "tiny-study.yaml") if flag == "STUDY" else flag for flag in flags]
    assert main([*argv, "--output_dir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_course_study_of_images_runs(tiny_data, tmp_path, in_this_process):
    flags = ["--data_dir", str(tiny_data), "--validation_size", "40", "--max_steps", "1", "--use_cpu", "true"]
    flags += ["--per_device_train_batch_size", "8", "--max_train_samples", "16"]
    assert main(["fashion-cnn-course", "--seeds", "1", "--output_dir", str(tmp_path), *flags]) == 0
    rows = found(tmp_path)
    assert len(rows) == 8 and all(len(row["runs"]) == 1 for row in rows.values())
    assert rows["tuned"]["changes"].startswith("recipe fashion-cnn-plain, stage_channels=[64,128,192]")


def test_the_command_of_the_page_keeps_the_study():
    argv = [
        "--jobs",
        "2",
        "mine",
        "--table_only",
        "--seeds",
        "1",
        "2",
        "--output_dir=x",
        "--test",
        "--address",
        "auto",
    ]
    assert without_places(argv) == ["mine", "--seeds", "1", "2", "--test"]


def test_flags_say_what_decides_a_study(place, tmp_path):
    flags = ["--output_dir", str(tmp_path / "out"), "--table_only", "--metric_for_best_model", "macro_f1"]
    assert main([str(place / "tiny-study.yaml"), *flags]) == 1  # none of these runs is there
    assert json.loads((tmp_path / "out/study.json").read_text())["metric"] == "macro_f1"


def test_the_page_is_honest_of_the_test_split(done, place, tmp_path, capsys):
    """One run was not measured there, and one could not be."""
    shutil.copytree(done, tmp_path / "out")
    study = load_study(place / "tiny-study.yaml")
    runs = [run for run in plan(study, tmp_path / "out") if run.finished]
    for run in runs[:2]:
        shutil.rmtree(run.folder / "test")
    runs[0].fail("no such file", "evaluate")
    assert main([str(place / "tiny-study.yaml"), "--output_dir", str(tmp_path / "out"), "--table_only"]) == 0
    page = (tmp_path / "out/study.md").read_text()
    assert "The test split was looked at with 2 of the 4 runs" in page and "not looked at" not in page
    assert "base, seed 1, was trained, but the test split could not be measured: no such file" in page
    assert "from 40 rows" in page  # of the validation split, which the table is on


def test_a_figure_that_is_missing_is_left_out(done, place, tmp_path):
    """A run of a recipe that does not measure what decides has its line, too."""
    shutil.copytree(done, tmp_path / "out")
    for path in (tmp_path / "out/runs").glob("4-filters-*"):
        shutil.rmtree(path / "test")
        results = json.loads((path / "results.json").read_text())
        for figures in results["metrics"].values():
            figures.pop("accuracy")
        (path / "results.json").write_text(json.dumps(results))
    assert main([str(place / "tiny-study.yaml"), "--output_dir", str(tmp_path / "out"), "--table_only"]) == 0
    assert "| 4-filters | `stage_channels=[4,4]` |  |" in (tmp_path / "out/study.md").read_text()


def test_null_takes_a_value_away(place):
    """Of data, model and training alike."""
    changes = {"data": {"max_train_samples": None}, "training": {"optim_args": None}, "model": {"kernel_size": 3}}
    settings = settings_of(Variant("a", str(place / "tiny.yaml"), changes), 1, [])
    assert settings.data.max_train_samples is None and settings.training.optim_args is None
    with pytest.raises(UsageError, match="invalid int value: 'none'"):
        settings_of(Variant("a", str(place / "tiny.yaml"), {"data": {"max_train_samples": "none"}}), 1, [])


def row(name: str, *values: float) -> Row:
    return Row(name, "", [{"validation": value} for value in values])


def test_differences_are_told_from_noise():
    """Against scipy's figures for the same samples; errors are better when they are smaller."""
    rows = [
        row("base", 0.90, 0.91, 0.92),
        row("up", 0.95, 0.96, 0.955),
        row("same", 0.91, 0.905, 0.92),
        row("one", 0.8),
    ]
    compare(rows, "validation", True)
    assert [found.against_base.get("says") for found in rows] == [None, "better", "noise", "one seed"]
    up = rows[1].against_base
    assert up["low"] < up["difference"] < up["high"] and up["low"] > 0
    assert up["difference"] == pytest.approx(0.045) and up["p_dunnett"] < 0.01 and up["p_welch"] < 0.01
    compare(rows, "validation", False)
    assert rows[1].against_base["says"] == "worse"
    still = [row("base", 0.5, 0.5), row("other", 0.5, 0.5)]
    compare(still, "validation", True)
    assert "p_dunnett" not in still[1].against_base


def test_the_table_does_not_tell_when_runs_are_saved():
    changed = {"training": {"eval_steps": 5, "save_strategy": "steps", "learning_rate": 0.1}}
    assert Variant("a", "b", changed=changed).describe() == "learning_rate=0.1"


def test_the_interval_of_a_mean_is_students():
    told = describe([1.0, 2.0, 3.0])
    assert told["mean"] == 2 and told["sd"] == 1
    assert told["high"] - 2 == pytest.approx(4.302653 / math.sqrt(3))
    assert describe([1.0]) == {"mean": 1.0, "n": 1} and describe([]) == {}


def test_a_worker_that_dies_fails_its_run_alone(monkeypatch):
    """As when memory runs out."""
    jobs = [SimpleNamespace(name=name) for name in ("kill", "quit", "well")]
    heard = []
    monkeypatch.setattr(workers, "serve", dying.serve)
    pool = workers.LocalPool(1)
    workers.work_off(jobs, pool, lambda job, kind, content: heard.append((job.name, kind, content)), lambda: True)
    assert [(name, kind) for name, kind, _ in heard if kind != "start"] == [
        ("kill", "failed"), ("quit", "failed"), ("well", "done"),
    ]  # fmt: skip
    assert "SIGKILL" in heard[1][2] and "was memory short?" in heard[1][2] and "exit code 3" in heard[3][2]
