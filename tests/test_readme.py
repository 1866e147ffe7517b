"""README and docs stay true: figures are those of results.json, commands and links lead somewhere."""

import re
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from zoo.commands import COMMANDS
from zoo.pretrained import shipped_models
from zoo.record import RunRecord
from zoo.training.command_line import parse_run
from zoo.training.recipe import available_recipes

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path) -> list[str]:
    """Lines of the page's shell blocks, continued lines joined, comments dropped."""
    blocks = re.findall(r"```bash\n(.*?)```", page.read_text(), flags=re.S)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.split("  #")[0].strip() for line in lines if line.strip()]


def readme_row(name: str) -> str:
    """The row of a shipped model in the README."""
    record = RunRecord.read(shipped_models()[name])
    metric, task = record.fit["metric"], record.recipe["task"].replace("_", " ")
    value = record.metrics["test" if "test" in record.metrics else "validation"][metric]
    cells = [
        f"[{name}](model_cards/{name}/README.md)",
        task,
        f"{record.compute['parameters']:,}",
        metric,
        f"{value:.4f}",
    ]
    return f"| {' | '.join(cells)} |"


@pytest.mark.parametrize("name", list(shipped_models()))
def test_the_readme_says_what_the_record_says(name):
    assert readme_row(name) in (ROOT / "README.md").read_text().splitlines(), f"the row is: {readme_row(name)}"


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.S)
    assert len([line for line in code.splitlines() if line and not line.startswith(("import", "from"))]) == 9
    monkeypatch.chdir(tmp_path)
    Image.new("L", (28, 28)).save("garment.png")
    soundfile.write("command.wav", np.sin(np.arange(16000) / 5), 16000)
    times = pd.date_range("2026-01-01", periods=24 * 14, freq="h")
    load = 10 + np.sin(np.arange(len(times)) * 2 * np.pi / 24)
    pd.DataFrame({"timestamp": times, "load": load}).to_csv("hourly.csv", index=False)
    exec(code, {})
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("{'label': ") and "'translation_text': 'Zwei junge Männer" in printed[1]
    assert (tmp_path / "forecast.png").stat().st_size > 5000


def test_the_classifier_of_the_trainer_guide_runs(tmp_path, monkeypatch):
    """With few random images in place of Fashion-MNIST."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/guides/trainer.md").read_text(), flags=re.S)
    images = np.random.default_rng(0).integers(0, 256, (96, 1, 28, 28), np.uint8)
    train = SimpleNamespace(images=images, labels=np.arange(96) % 10)
    monkeypatch.setattr("zoo.data.fashion_mnist.load_fashion_mnist", lambda: SimpleNamespace(train=train))
    monkeypatch.chdir(tmp_path)
    code = code.replace("4000", "64").replace("num_train_epochs=3", "num_train_epochs=1, disable_tqdm=True")
    exec(code, {})
    assert (tmp_path / "runs/from_python/final/model.safetensors").is_file()


def test_the_picture_of_the_readme_is_small():
    assert (ROOT / "docs/images/zoo.png").stat().st_size < 250_000


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\((?!http)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_name_what_exists(page, tmp_path):
    for command in commands(page):
        for script in re.findall(r"scripts/[\w/]+\.\w+", command):
            assert (ROOT / script).is_file(), f"{page.name}: {command}"
        train = re.search(r"(?:scripts/train\.py|zoo train) (\S+)(.*)", command)
        if train and train[1] in available_recipes():
            import shlex

            parse_run([train[1], *shlex.split(train[2])])  # unknown flags raise
        elif train:
            own = f"# zoo/recipes/{train[1]}.yaml" in page.read_text()  # the page writes the recipe itself
            assert own or train[1] in ("RECIPE", "path/to/my.yaml"), f"{page.name}: {command}"
        zoo = re.match(r"zoo (\w+)", command)
        assert not zoo or zoo[1] in COMMANDS, f"{page.name}: {command}"
