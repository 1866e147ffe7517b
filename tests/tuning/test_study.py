"""Studies: the file, the runs that are kept, and the table."""

import json
import math
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from transformers import TrainerCallback

pytest.importorskip("ray")

from zoo.commands.study import command_of, main, make_parser
from zoo.record import RunRecord
from zoo.training.command_line import parse_overrides
from zoo.training.recipe import UsageError
from zoo.tuning.fingerprint import code_of, recipe_key
from zoo.tuning.log import write_event
from zoo.tuning.overrides import flags_of
from zoo.tuning.runs import locked, plan
from zoo.tuning.settings import Objective
from zoo.tuning.study import Variant, check_study, load_study
from zoo.tuning.table import Row, compare, describe, tabulate

ACCURACY = Objective("accuracy")


@pytest.fixture(scope="module")
def place(tmp_path_factory, content) -> Path:
    """A recipe and a study of it: a variant that changes something, one that is not possible, one that diverges."""
    folder = tmp_path_factory.mktemp("study")
    recipe = {key: content[key] for key in ("family", "task", "data", "model", "training")}
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    study = {
        "title": "A tiny study",
        "question": "What do filters do?",
        "note": "Two epochs.",
        "base": "tiny.yaml",
        "seeds": [1, 2],
        "variants": {
            "4-filters": {"model": {"stage_channels": [4, 4]}},
            "impossible": {"model": {"stage_channels": [8] * 9}},
            "diverges": {"training": {"learning_rate": 1e36, "optim": "sgd"}},
        },
    }
    (folder / "tiny-study.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    return folder


@pytest.fixture(scope="module")
def done(place, address) -> Path:
    """The study's folder after it was run on a cluster of two machines, including the test split."""
    flags = ["--output_dir", str(place / "out"), "--report_dir", str(place / "report"), "--address", address]
    assert main([str(place / "tiny-study.yaml"), *flags, "--test"]) == 0
    return place / "out"


def rows_of(folder: Path) -> dict[str, dict]:
    return {row["name"]: row for row in json.loads((folder / "study.json").read_text())["rows"]}


def test_every_variant_has_its_metrics_or_the_reason_why_not(done):
    rows = rows_of(done)
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


def test_the_page(done, place):
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
    assert "not looked at" not in page and "zoo study" in page and str(done) not in page.split("```")[1]
    assert (place / "report/tiny-study.md").read_text() == page.replace("study.png", "tiny-study.png")
    assert (place / "report/tiny-study.png").stat().st_size > 5_000
    assert {line.count("|") for line in page.splitlines() if line.startswith("|")} == {13}
    assert "--address" not in page and not (done / "ray").exists()
    assert "Traceback" in next((done / "logs").glob("impossible-1-*")).read_text()


def test_a_task_adds_a_section_to_the_page(done, place, tmp_path, monkeypatch, capsys):
    from zoo.tasks.image_classification import TASK

    def section(cls, name, results, metric, split, plot):
        assert len(results) == 4 and all(record.metrics["validation"] for record, _ in results)
        return f"## By size\n\n{name}, {split} {metric}, {plot.name}"

    monkeypatch.setattr(TASK, "study_sections", ("by_size",))
    monkeypatch.setattr(TASK, "study_section", classmethod(section))
    study = yaml.safe_load((place / "tiny-study.yaml").read_text()) | {"section": "by_size"}
    (place / "sized.yaml").write_text(yaml.safe_dump(study, sort_keys=False))
    shutil.copytree(done, tmp_path / "out")
    assert main([str(place / "sized.yaml"), "--output_dir", str(tmp_path / "out"), "--table_only"]) == 0
    page = (tmp_path / "out/study.md").read_text()
    assert "## By size\n\nby_size, test accuracy, study-by-size.png\n\n```bash" in page


def test_what_is_finished_is_kept_and_a_new_variant_runs_alone(done, place, capsys, tmp_path, in_this_process):
    """Renamed variants are kept, too."""
    study = yaml.safe_load((place / "tiny-study.yaml").read_text())
    study["variants"] = {"few-filters": study["variants"]["4-filters"], "new": {"model": {"stage_channels": [6, 6]}}}
    (place / "other.yaml").write_text(yaml.safe_dump(study))
    shutil.copytree(done, tmp_path / "out")
    flags = ["--output_dir", str(tmp_path / "out"), "--seeds", "1"]
    assert main([str(place / "other.yaml"), *flags]) == 0
    out = capsys.readouterr().out
    assert (
        "1 trainings, 1 at a time (2 are there already)" in out and "[3/3] new, seed 1: epoch 2 of 2, accuracy" in out
    )
    rows = rows_of(tmp_path / "out")
    assert rows["few-filters"]["runs"][0] == rows_of(done)["4-filters"]["runs"][0]
    assert "one seed" in (tmp_path / "out/study.md").read_text()


class Interrupt(TrainerCallback):
    """Ends a run after its first checkpoint."""

    def on_save(self, *arguments, **kwargs):
        raise KeyboardInterrupt


def test_a_run_that_was_cut_off_goes_on(done, place, capsys, tmp_path, in_this_process):
    """From its checkpoint to the same metrics; without one, from the beginning."""
    flags = ["--output_dir", str(tmp_path), "--seeds", "1", "--only", "4-filters", "--jobs", "1"]
    study = load_study(place / "tiny-study.yaml")
    base, variant = plan(study, tmp_path, (), ["4-filters"])[:2]
    with pytest.raises(KeyboardInterrupt):
        variant.train([Interrupt()])
    assert (variant.folder / "checkpoint-10").is_dir() and not variant.finished
    base.folder.mkdir()
    (base.folder / "recipe.yaml").write_text("half of a")
    capsys.readouterr()
    assert main([str(place / "tiny-study.yaml"), *flags]) == 0
    for name in ("base", "4-filters"):
        kept = ("train", "validation", "verdict")
        one, two = rows_of(tmp_path)[name]["runs"][0], rows_of(done)[name]["runs"][0]
        assert {key: one[key] for key in kept} == {key: two[key] for key in kept}


def test_other_code_is_another_run_unless_it_is_accepted(done, place, monkeypatch):
    study = load_study(place / "tiny-study.yaml")
    assert all(run.finished for run in plan(study, done, only=["4-filters"]))
    monkeypatch.setattr("zoo.tuning.runs.code_key", lambda family: "abcdef")
    assert not any(run.finished for run in plan(study, done, only=["4-filters"]))
    accepted = plan(study, done, only=["4-filters"], accept_other_code=True)
    assert all(run.finished and run.other_code for run in accepted)
    rows = tabulate(study, accepted, ACCURACY, {})
    assert all(run["other_code"] for row in rows for run in row.runs)


def test_two_processes_do_not_work_in_one_folder(tmp_path):
    with locked(tmp_path), pytest.raises(UsageError, match="another process works in"), locked(tmp_path):
        pass
    with locked(tmp_path):  # it is free again
        pass


def test_comments_do_not_make_other_code(tmp_path):
    one, two, three = (tmp_path / f"{name}.py" for name in ("one", "two", "three"))
    one.write_text('"""A."""\ndef f():\n    """B."""\n    return 1\n')
    two.write_text("def f():\n    return 1  # why\n")
    three.write_text("def f():\n    return 2\n")
    assert code_of(one) == code_of(two) != code_of(three)


def test_the_seed_and_flags_for_all_runs_are_part_of_a_run(place):
    variant = load_study(place / "tiny-study.yaml").variants[1]
    keys = {recipe_key(variant.settings(*given)) for given in ((1, []), (2, []), (1, ["--weight_decay", "0.1"]))}
    assert len(keys) == 3
    same = variant.settings(1, ["--dataloader_num_workers", "1", "--output_dir", "x"])
    assert recipe_key(same) == recipe_key(variant.settings(1, []))


def test_the_content_of_files_is_part_of_a_run(tmp_path):
    """Other pairs or other weights under the same name are other runs; the same ones elsewhere in time are not."""
    (tmp_path / "mine.tsv").write_text("en\teo\na\tb\n")
    (tmp_path / "old.en").write_text("a\n")
    parent, teacher = tmp_path / "parent", tmp_path / "teacher"
    for folder in (parent, teacher):
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(b"1")
    data = {"train_file": [str(tmp_path / "mine.tsv")], "keep_pair": [f"de-en:{tmp_path / 'old.en'},nowhere"]}
    recipe = SimpleNamespace(what_is_learnt=lambda: {}, data=data, model_name_or_path=str(parent))
    settings = SimpleNamespace(recipe=recipe, training=SimpleNamespace(seed=1, teachers=[str(teacher)]))
    keys = [recipe_key(settings)]
    weights = (parent / "model.safetensors", teacher / "model.safetensors")
    for path in (tmp_path / "mine.tsv", tmp_path / "old.en", *weights):
        os.utime(path, ns=(1, 1))
        assert recipe_key(settings) == keys[-1]
        path.write_text("other")
        keys.append(recipe_key(settings))
    assert len(set(keys)) == 5


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
        ({"seeds": [1, 1]}, "hold a number twice"),
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
        ({"section": "by_pairs"}, "section 'by_pairs'; the task image_classification has none"),
        ({"common": {"recipe": "x"}}, "common: unknown key 'recipe'"),
        (
            {"variants": {"a": {"recipe": "lstm-forecaster"}}},
            "variants, a: its task is forecasting, the base's",
        ),
    ],
)
def test_a_wrong_study_is_an_error_in_one_line(place, change, message, tmp_path):
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
def test_a_wrong_call_is_an_error_in_one_line(place, flags, message, capsys, tmp_path):
    argv = [str(place / "tiny-study.yaml") if flag == "STUDY" else flag for flag in flags]
    assert main([*argv, "--output_dir", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err


def test_the_command_of_the_page_has_what_changes_the_numbers():
    argv = "--jobs 2 mine --table_only --seeds 1 2 --output_dir=x --test --address auto --weight_decay 0.1".split()
    expected = "zoo study mine --seeds 1 2 --test --weight_decay 0.1"
    assert command_of(*make_parser().parse_known_args(argv)) == expected


def test_flags_set_the_primary_metric_of_a_study(place, tmp_path):
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
    write_event(tmp_path / "out", "start", "z", point=runs[0].point)
    write_event(tmp_path / "out", "failed", "z", reason="no such file")
    assert main([str(place / "tiny-study.yaml"), "--output_dir", str(tmp_path / "out"), "--table_only"]) == 0
    page = (tmp_path / "out/study.md").read_text()
    assert "The test split was looked at with 2 of the 4 runs" in page and "not looked at" not in page
    assert "base, seed 1, was trained, but the test split could not be measured: no such file" in page
    assert "from 40 rows" in page  # of the validation split, which the table is on


def test_a_missing_metric_is_left_out(done, place, tmp_path):
    """A run whose recipe does not measure it has its line, too."""
    shutil.copytree(done, tmp_path / "out")
    for path in (tmp_path / "out/runs").glob("4-filters-*"):
        shutil.rmtree(path / "test")
        results = json.loads((path / "results.json").read_text())
        for metrics in results["metrics"].values():
            metrics.pop("accuracy")
        (path / "results.json").write_text(json.dumps(results))
    assert main([str(place / "tiny-study.yaml"), "--output_dir", str(tmp_path / "out"), "--table_only"]) == 0
    assert "| 4-filters | `stage_channels=[4,4]` |  |" in (tmp_path / "out/study.md").read_text()


def test_null_takes_a_value_away(place):
    """Of data, model and training alike."""
    changes = {"data": {"max_train_samples": None}, "training": {"optim_args": None}, "model": {"kernel_size": 3}}
    settings = Variant("a", str(place / "tiny.yaml"), changes).settings(1)
    assert settings.data.max_train_samples is None and settings.training.optim_args is None
    with pytest.raises(UsageError, match="invalid int value: 'none'"):
        Variant("a", str(place / "tiny.yaml"), {"data": {"max_train_samples": "none"}}).settings(1)


def row(name: str, *values: float) -> Row:
    return Row(name, "", [{"validation": value} for value in values])


def test_differences_and_noise():
    """Against scipy for the same samples; errors are better when they are smaller."""
    rows = [
        row("base", 0.90, 0.91, 0.92),
        row("up", 0.95, 0.96, 0.955),
        row("same", 0.91, 0.905, 0.92),
        row("one", 0.8),
    ]
    compare(rows, "validation", True)
    assert [row.against_base.get("says") for row in rows] == [None, "better", "noise", "one seed"]
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
    statistics = describe([1.0, 2.0, 3.0])
    assert statistics["mean"] == 2 and statistics["sd"] == 1
    assert statistics["high"] - 2 == pytest.approx(4.302653 / math.sqrt(3))
    assert describe([1.0]) == {"mean": 1.0, "n": 1} and describe([]) == {}


def test_an_address_where_nothing_answers_is_an_error(place, tmp_path, capsys):
    argv = [str(place / "tiny-study.yaml"), "--output_dir", str(tmp_path / "out")]
    assert main([*argv, "--address", "127.0.0.1:1"]) == 2
    assert "--address 127.0.0.1:1: no Ray cluster answers there" in capsys.readouterr().err
    assert main([*argv, "--cpus_per_run", "0"]) == 2
    assert "--cpus_per_run above 0" in capsys.readouterr().err
