"""`zoo list`: recipes and models with their metrics, and the page of all models."""

import json
import sys
from pathlib import Path

from zoo.commands.catalogue import main, markdown
from zoo.pretrained import shipped_models
from zoo.record import RunRecord
from zoo.training.recipe import available_recipes

ROOT = Path(__file__).parents[2]


def test_the_list_names_recipes_and_metrics(capsys):
    assert main([]) == 0
    printed = capsys.readouterr().out
    for name in [*available_recipes(), *shipped_models()]:
        assert f"  {name} " in printed
    for name, folder in shipped_models().items():
        record = RunRecord.read(folder)
        line = next(line for line in reversed(printed.splitlines()) if line.split()[0] == name)
        split = "test" if "test" in record.metrics else "validation"
        assert f"{record.metrics[split][record.fit['metric']]:.4f}" in line and "MB" in line
        assert record.recipe["publish"]["license"] in line


def test_the_page_of_models_is_up_to_date():
    page = (ROOT / "docs/models.md").read_text()
    assert page == markdown() + "\n", "write it anew: zoo list --markdown > docs/models.md"


def test_unknown_arguments_are_refused(capsys):
    assert main(["everything"]) == 2
    assert "unexpected argument 'everything'" in capsys.readouterr().err


def test_published_models_show_with_their_commit(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys.modules["zoo.pretrained"], "PUBLISHED", tmp_path / "published.json")
    entry = {"repo_id": "primer-zoo/new", "commit": "0" * 40, "files": {"model.safetensors": "1" * 64}}
    (tmp_path / "published.json").write_text(json.dumps({"new": entry}))
    assert main([]) == 0
    assert f"on the Hub: primer-zoo/new at {'0' * 40}" in capsys.readouterr().out
