"""README and docs stay true: figures are those of results.json, commands and links lead somewhere."""

import re
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("name", list(shipped_models()))
def test_the_readme_says_what_the_record_says(name):
    record = RunRecord.read(shipped_models()[name])
    row = next(line for line in (ROOT / "README.md").read_text().splitlines() if f"model_cards/{name}/" in line)
    metric = record.fit["metric"]
    values = [f"{record.compute['parameters']:,}"]
    for split in ("test", "test_plain"):
        if split in record.metrics:
            values.append(f"{record.metrics[split][metric]:.4f}")
    for value in values:
        assert value in row, f"{value} is not in {row}"


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
            assert train[1] in ("RECIPE", "path/to/my.yaml"), f"{page.name}: {command}"
        zoo = re.match(r"zoo (\w+)", command)
        assert not zoo or zoo[1] in COMMANDS, f"{page.name}: {command}"
