"""The site: every public name is in the reference, and the site builds without a warning."""

import dataclasses
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.registry import FAMILIES, TASKS, load_family, load_task

ROOT = Path(__file__).parents[1]


def run(*command: str | Path) -> None:
    result = subprocess.run([sys.executable, "-W", "ignore", *command], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.fixture(scope="module")
def staged(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    run("scripts/docs/stage.py", folder)
    return folder


@pytest.fixture(scope="module")
def reference(staged):
    return "\n".join(page.read_text() for page in sorted((staged / "pages/reference").rglob("*.md")))


def test_the_reference_has_every_public_name(reference):
    shown = {line.rpartition(".")[2] for line in re.findall(r"^::: (\S+)$", reference, flags=re.M)}
    assert set(zoo.__all__) <= shown, f"scripts/docs/reference.py lacks {sorted(set(zoo.__all__) - shown)}"
    assert not [name for name in shown if name.startswith("_")]


def test_the_reference_has_every_field_of_the_data(reference):
    for task in TASKS:
        for field in dataclasses.fields(load_task(task).arguments_class):
            assert f"| `{field.name}` |" in reference, field.name


@pytest.mark.parametrize("family", FAMILIES)
def test_a_config_describes_each_of_its_fields(family):
    """The page of a config is its docstring: a field without a line there would be on no page."""
    config = load_family(family).config_class
    for name in set(vars(config)["__annotations__"]) - {"model_type", "is_encoder_decoder"}:
        if not name.startswith("_"):
            assert re.search(rf"^ +{name} \(`", config.__doc__, flags=re.M), f"{config.__name__}.{name}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_forward_describes_each_argument_with_its_shape(family):
    for model in load_family(family).classes[1:]:
        if "forward" in vars(model):
            assert "Args:" in model.forward.__doc__ and "of shape `(batch" in model.forward.__doc__, model.__name__


def test_the_navigation_has_every_page(staged):
    navigation = (staged / "mkdocs.yml").read_text()
    for page in (staged / "pages").rglob("*.md"):
        assert page.relative_to(staged / "pages").as_posix() in navigation, page


def test_the_page_of_models_has_every_model(staged):
    from zoo.pretrained import shipped_models

    text = (staged / "pages/models.md").read_text()
    for name in shipped_models():
        assert f'<a href="../model_cards/{name}/">{name}</a>' in text
        assert (staged / f"pages/model_cards/{name}.md").is_file()


@pytest.mark.skipif(
    not importlib.util.find_spec("mkdocs") or not importlib.util.find_spec("mkdocstrings_handlers"),
    reason="needs mkdocs-material and mkdocstrings: bash scripts/docs.sh installs them",
)
def test_the_site_builds_without_a_warning_and_asks_no_other_host(staged):
    run("-m", "mkdocs", "build", "--strict", "--config-file", staged / "mkdocs.yml")
    loaded = re.compile(
        r"""<(?:script|img|iframe)[^>]+src="?https?://|<link[^>]+href="?https?://[^>]+stylesheet|url\(["']?https?:"""
    )
    for page in (staged / "site").rglob("*.html"):
        text = page.read_text()
        assert not loaded.search(text), page
        assert len(re.sub(r"<[^>]+>", "", text.partition("<article")[2].partition("</article>")[0]).split()) > 10 or (
            page.name == "404.html"
        ), f"{page} is empty"
