"""Cards and staging: from results.json alone, and nothing unmeasured is published."""

import ast
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


@pytest.mark.parametrize("key", ["title", "license", "summary", "limits"])
def test_a_card_without_something_a_person_must_say_is_refused(run, key):
    record = RunRecord.read(run)
    del record.recipe["publish"][key]
    with pytest.raises(ValueError, match=key):
        render_card(record)


@pytest.mark.parametrize(("key", "value"), [("limits", [{"It reads logs": "no zeros"}]), ("tags", [False])])
def test_what_yaml_made_something_else_of_is_refused(run, key, value):
    record = RunRecord.read(run)
    record.recipe["publish"][key] = value
    with pytest.raises(ValueError, match=f"{key}: .* is no text: quote it"):
        render_card(record)


def test_a_record_without_a_measurement_is_refused(run):
    record = RunRecord.read(run)
    del record.metrics["test"]["macro_f1"]
    with pytest.raises(ValueError, match="macro_f1"):
        render_card(record)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("fit", {}, "'fit' has no 'metric'"),
        ("compute", {}, "no number where its card shows one"),
        ("metrics", None, "results.json: not a run record: metrics is no dict"),
        ("recipe", [], "recipe is no dict"),
        ("history", {}, "history is no list"),
        ("command", 3, "command is no str"),
        ("seed", "x", "seed is no int"),
    ],
)
def test_damaged_records_are_one_line(run, capsys, key, value, message):
    content = json.loads((run / "results.json").read_text())
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


@pytest.mark.parametrize("text", NASTY)
def test_a_text_of_the_data_is_no_code_in_an_example(text):
    assert ast.literal_eval(quoted(text)) == text and "\n" not in quoted(text)


def test_examples_keep_long_quotations_readable():
    assert quoted('A "good" day.') == '"""A "good" day."""'


@pytest.mark.parametrize("repo_id", ['a/b"); print("sprung"); print("', "no-slash", "a/b\n"])
def test_what_is_no_repository_gets_into_no_example(run, capsys, repo_id):
    assert main([str(run), "--repo_id", repo_id]) == 1
    assert "is no repository" in capsys.readouterr().err
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


def test_what_is_no_card_folder_is_not_replaced(run, tmp_path, capsys):
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
        ("runs", "runs is no card folder (it holds a/config.json)"),
        ("checkout", "it holds .git/config.json"),
        ("deep", "it holds pictures/more/config.json"),
        ("run", "run is no card folder (it holds checkpoint-"),
        ("another", "holds the model 'other', not 'tiny'"),
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
