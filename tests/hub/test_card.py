"""Cards and staging: written from results.json alone, and nothing unmeasured is published."""

import ast
import copy
import json
import shutil

import pytest
from huggingface_hub import ModelCard

from zoo.commands.card import main
from zoo.hub.card import quoted, render_card
from zoo.hub.stage import stage
from zoo.record import RunRecord


def test_the_card_says_what_was_measured(run):
    record = RunRecord.read(run)
    card = ModelCard(render_card(record))
    result = card.data.eval_results[0]
    assert result.metric_value == pytest.approx(record.metrics["test"]["accuracy"], abs=1e-6)
    assert (result.dataset_type, result.dataset_split, card.data.license) == ("org/data", "test", "apache-2.0")
    assert card.data.pipeline_tag == "image-classification"
    for text in (
        "# A Title",
        "What it is.",
        "Knows ten classes only.",
        f"{record.metrics['test']['accuracy']:.4f}",
        f"{record.metrics['test_plain']['accuracy']:.4f}",
        "class frequency",
        record.fit["verdict"],
        record.command,
        record.weights_sha256,
        record.data["splits"]["test"]["sha256"],
    ):
        assert text in card.text, text
    assert "None" not in card.text and "{{" not in card.text


def test_a_card_needs_what_only_a_person_can_say(run):
    record = RunRecord.read(run)
    for key in ("title", "license", "summary", "limits"):
        without = copy.deepcopy(record)
        del without.recipe["publish"][key]
        with pytest.raises(ValueError, match=key):
            render_card(without)
    # What YAML reads as something else than a text.
    for key, value in (("limits", [{"It reads logs": "no zeros"}]), ("tags", [False])):
        damaged = copy.deepcopy(record)
        damaged.recipe["publish"][key] = value
        with pytest.raises(ValueError, match=f"{key}: .* is not a text: quote it"):
            render_card(damaged)


def test_damaged_records_are_one_line(run, capsys):
    content = json.loads((run / "results.json").read_text())
    without = {**content["metrics"], "test": {k: v for k, v in content["metrics"]["test"].items() if k != "macro_f1"}}
    for key, value, message in (
        ("fit", {}, "'fit' has no 'metric'"),
        ("metrics", without, "macro_f1"),
        ("compute", {}, "no number where its card shows one"),
        ("metrics", None, "results.json"),
        ("seed", "x", "seed"),
    ):
        (run / "results.json").write_text(json.dumps({**content, key: value}))
        assert main([str(run), "--no_examples"]) == 1
        error = capsys.readouterr().err
        assert error.startswith("error: ") and error.count("\n") == 1 and message in error


NASTY = [
    'He said "hi"',
    'a"""); print("sprung"); print("""b',
    "C:\\new",
    "two\nlines\n```",
    '"',
    "\\",
    "é “x”",
    "\u2028",
]


def test_a_text_of_the_data_is_a_literal_in_an_example():
    for text in NASTY:
        assert ast.literal_eval(quoted(text)) == text and "\n" not in quoted(text)
    assert quoted('A "good" day.') == '"""A "good" day."""'


def test_only_a_valid_repository_gets_into_an_example(run, capsys):
    repo_id = 'a/b"); print("sprung"); print("'
    assert main([str(run), "--repo_id", repo_id]) == 1
    assert "is not a repository" in capsys.readouterr().err
    assert main([str(run), "--repo_id", "a/b", "--no_examples"]) == 2
    record = RunRecord.read(run)
    record.usage["repo_id"] = repo_id  # a folder that came from somebody else
    record.write(run)
    assert main([str(run)]) == 1


def test_staging_takes_what_is_published_and_nothing_else(run, tmp_path, capsys):
    (run / "secret.txt").write_text("token")
    assert main([str(run), "--output_dir", str(tmp_path / "card"), "--no_examples"]) == 0
    names = {str(p.relative_to(tmp_path / "card")) for p in (tmp_path / "card").rglob("*") if p.is_file()}
    assert {"README.md", "config.json", "model.safetensors", "results.json", "recipe.yaml"} <= names
    assert "pictures/confusion_matrix.png" in names
    assert not {"secret.txt", "trainer_state.json"} & names and not any("checkpoint" in name for name in names)
    assert "model.safetensors" in capsys.readouterr().out


def test_staging_again_replaces_the_folder_whole(run, tmp_path):
    target = tmp_path / "cards/card"
    stage(run, target)
    (target / "pictures/old.png").write_text("old")
    stage(run, target)
    assert not (target / "pictures/old.png").exists()
    assert [p.name for p in target.parent.iterdir()] == ["card"]


def test_only_a_card_folder_is_replaced(run, tmp_path, capsys):
    """A folder of runs, the run itself, a checkout, another model's card, a file: they would be lost."""
    stage(run, tmp_path / "card")
    other = RunRecord.read(run)
    other.model_id = "other"
    for name in ("runs/a", "checkout/.git", "deep/pictures/more"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "config.json").write_text("mine")
    shutil.copytree(tmp_path / "card", tmp_path / "another")
    other.write(tmp_path / "another")
    (tmp_path / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for name, message in (
        ("runs", "runs is not a card folder (it has a/config.json)"),
        ("checkout", "it has .git/config.json"),
        ("deep", "it has pictures/more/config.json"),
        ("run", "run is not a card folder (it has checkpoint-"),
        ("another", "has the model 'other', not 'tiny'"),
        ("notes.txt", "notes.txt is a file"),
    ):
        assert main([str(run), "--output_dir", str(tmp_path / name), "--no_examples"]) == 1
        assert message in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_weights_that_were_not_measured_are_refused(run, tmp_path):
    stage(run, tmp_path / "card")
    before = (tmp_path / "card/README.md").read_bytes()
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match="sha256"):
        stage(run, tmp_path / "card")
    assert (tmp_path / "card/README.md").read_bytes() == before
