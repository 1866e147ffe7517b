"""The rules of docs/architecture.md: who may import whom, and what a file may hold."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.registry import FAMILIES, TASKS

ROOT = Path(__file__).parents[1]
ZOO = ROOT / "zoo"
FILES = sorted(ZOO.rglob("*.py"))
PORTABLE = re.compile(
    r"zoo/models/[^/]+/(configuration|modeling|image_processing|feature_extraction|processing|generation|cache|heads)_\w+\.py$"
)
PUBLIC_TRAINER = {"training.trainer", "training.arguments", "training.distillation", "training.r_drop"}
TRAINING = {"data", "record", "plotting", "models.base", "tasks.base", "registry", "pretrained", "training"}
# Folder (or the base class in it) -> what of zoo it may import. A folder that is missing here may import everything.
MAY_IMPORT = {
    "data": {"data"},
    "record": set(),
    "plotting": set(),
    "pretrained": {"record", "registry"},
    "registry": {"models", "tasks"},
    "models": {"models"},
    # The public Trainer is no part of a run: a task may subclass it, as code outside of the library does.
    "tasks": {"data", "record", "plotting", "tasks", "models.base"} | PUBLIC_TRAINER,
    **dict.fromkeys(PUBLIC_TRAINER, {"training"}),
    "training": TRAINING,
    "tuning": TRAINING | {"tuning"},
    "scale": {"training", "tuning", "scale"},
    "hub": {"record", "registry", "pretrained", "models.base", "tasks.base", "hub"},
}
# A heavy or special import -> the folders that may have it.
ONLY_IN = {
    "ray": {"tuning", "scale"},
    "jinja2": {"hub"},
    "onnxruntime": {"export"},
    "ctranslate2": {"export"},
    "gradio": {"demo"},
}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> list[tuple[str, int, bool]]:
    """(module, level, at the top of the file?) of every import in a file, those inside functions too."""
    tree = ast.parse(path.read_text())
    found = []
    for node in ast.walk(tree):
        at_top = node in tree.body
        if isinstance(node, ast.Import):
            found += [(alias.name, 0, at_top) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.module or "", node.level, at_top))
    return found


def zoo_modules(path: Path) -> list[str]:
    """Absolute names of the zoo modules that a file imports."""
    package = list(path.relative_to(ROOT).with_suffix("").parts[:-1])
    found = []
    for module, level, _ in imports(path):
        if level:
            found.append(".".join(package[: len(package) - level + 1] + ([module] if module else [])))
        elif module.split(".")[0] == "zoo":
            found.append(module)
    return found


def places(module: str) -> list[str]:
    """`zoo.tasks.base` -> ["tasks.base", "tasks"]: the names under which the rules may know a module."""
    parts = module.split(".")[1:]
    return [".".join(parts[:2]), *parts[:1]] if parts else [""]


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


@pytest.mark.parametrize("path", [p for p in FILES if PORTABLE.search(p.as_posix())], ids=name_of)
def test_modeling_files_travel_to_the_hub(path):
    """Remote code may import libraries and its own siblings only."""
    allowed = {"torch", "transformers", "huggingface_hub", "numpy", "PIL", "soxr"}  # soxr: optional, in a `try`
    for module, level, _ in imports(path):
        top = module.split(".")[0]
        if level:
            assert level == 1 and "." not in module, f"{name_of(path)} imports {'.' * level}{module}"
            continue
        assert top in allowed or top in sys.stdlib_module_names, f"{name_of(path)} imports {module}"
        assert not re.match(r"transformers\.models\.(?!auto)", module), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_only_go_down(path):
    allowed = next((MAY_IMPORT[place] for place in places(module_of(path)) if place in MAY_IMPORT), None)
    for module in zoo_modules(path) if allowed is not None else ():
        assert allowed & set(places(module)), f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("kind", ["models", "tasks"])
def test_no_family_or_task_imports_another(kind):
    shared = {"text"} if kind == "tasks" else set()
    for path in (ZOO / kind).rglob("*.py"):
        parts = path.relative_to(ZOO / kind).parts
        for module in zoo_modules(path):
            names = module.split(".")
            if len(parts) > 1 and names[:2] == ["zoo", kind] and len(names) > 2:
                assert names[2] in {parts[0], "base", *shared}, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_special_libraries_stay_in_their_folders(path):
    here = places(module_of(path))[-1]
    for module, _, at_top in imports(path):
        top = module.split(".")[0]
        assert here in ONLY_IN.get(top, {here}), f"{name_of(path)} imports {module}"
        assert not (top == "matplotlib" and at_top), f"{name_of(path)} imports matplotlib before it draws"
        assert top not in ("scripts", "tests"), f"{name_of(path)} imports {module}"


def test_importing_zoo_brings_no_data_or_plotting_library():
    """`import zoo` costs no more than a modeling module of transformers (scripts/benchmark/import_time.py)."""
    code = "import sys, zoo; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert not {"datasets", "evaluate", "matplotlib", "pandas", "ray", "sklearn"} & set(run.stdout.split())


def test_families_and_tasks_are_their_folders():
    for kind, registry in (("models", FAMILIES), ("tasks", TASKS)):
        folders = {p.name for p in (ZOO / kind).iterdir() if (p / "__init__.py").is_file()} - {"text"}
        assert folders == set(registry), f"zoo/{kind} and the registry differ"
        assert registry == {name: f"zoo.{kind}.{name}" for name in registry}


def test_names_of_families_and_tasks_stay_at_home():
    """Outside its folder a name stands in its registry line, recipes, cards and docs, never in code."""
    for path in [*FILES, *(ROOT / "scripts").rglob("*.py")]:
        home = path.relative_to(ROOT).parts
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and node.value in {*FAMILIES, *TASKS}:
                # Readers know no tasks: there such a word is the name of a column.
                at_home = len(home) > 2 and home[1] in ("models", "tasks", "data")
                assert at_home or path.name == "registry.py", f"{name_of(path)}:{node.lineno} names {node.value!r}"


def test_recipes_and_cards_share_their_ids():
    from zoo.pretrained import shipped_models
    from zoo.training.recipe import available_recipes

    assert set(shipped_models()) <= set(available_recipes())


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "tests").rglob("*.py"))], ids=name_of)
def test_files_are_read_in_one_sitting(path):
    limit = 920 if path.name.startswith("modeling_") else 550
    assert len(path.read_text().splitlines()) <= limit, f"{name_of(path)} has grown past one subject"
    assert path.stem not in ("utils", "helpers", "misc", "common")


def test_no_file_names_a_registry_host_or_this_machine():
    hosts = ["pypi" + ".org", "files.python" + "hosted", "deb." + "debian.org", "registry." + "npmjs"]
    machine = ["/work" + "/", "/opt/" + "wheels"]
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        if parts[0] in (".git", ".venv", "runs", ".ruff_cache", ".mypy_cache", ".pytest_cache", "build", "dist"):
            continue
        if path.suffix in (".py", ".sh", ".md", ".yaml", ".toml", ".txt", ".json", ".jinja") and path.is_file():
            text = path.read_text(encoding="utf-8")
            for name in [*hosts, *machine]:
                assert name not in text, f"{path.relative_to(ROOT)} names {name}"
