"""Cards and staging: from results.json alone, and nothing unmeasured is published."""

import pytest
from huggingface_hub import ModelCard

from zoo.commands.card import main
from zoo.hub.card import render_card
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
    (target / "stray.txt").write_text("old")
    stage(run, target)
    assert not (target / "stray.txt").exists()
    assert [p.name for p in target.parent.iterdir()] == ["card"]


def test_weights_that_were_not_measured_are_refused(run, tmp_path):
    stage(run, tmp_path / "card")
    before = (tmp_path / "card/README.md").read_bytes()
    weights = run / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    with pytest.raises(ValueError, match="sha256"):
        stage(run, tmp_path / "card")
    assert (tmp_path / "card/README.md").read_bytes() == before
