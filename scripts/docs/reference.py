"""The pages of the reference: which class is on which page, and the tables of fields."""

import contextlib
import dataclasses
import importlib
import inspect
import io
from typing import Any

import zoo
from zoo import Distillation, ZooSeq2SeqTrainer, ZooSeq2SeqTrainingArguments, ZooTrainer, ZooTrainingArguments
from zoo.commands import COMMANDS
from zoo.models.base import Family
from zoo.registry import FAMILIES, TASKS, load_family, load_task
from zoo.tasks.base import DataArguments, Parent, Report, Task, TaskData
from zoo.training.r_drop import RDrop
from zoo.training.trainer import Prediction

TRAINER = (
    ZooTrainer,
    ZooSeq2SeqTrainer,
    Prediction,
    Distillation,
    RDrop,
    ZooTrainingArguments,
    ZooSeq2SeqTrainingArguments,
)

BASE = """# Base classes

For [a new family](../guides/adding_a_family.md) or [a new task](../guides/adding_a_task.md).

"""


def members_of(item: Any) -> list[str]:
    """The properties and methods to show: all of `Task` and of dataclasses, else those that describe arguments."""
    if not inspect.isclass(item):
        return []
    show_all = dataclasses.is_dataclass(item) or item is Task
    names = []
    for name, member in vars(item).items():
        function = getattr(member, "__func__", getattr(member, "fget", member))
        docstring = function.__doc__ if inspect.isfunction(function) else None
        if not docstring or name.startswith(("_", "validate")):
            continue
        if show_all or isinstance(member, property) or "Args:" in docstring:
            names.append(name)
    return names


def directive(item: Any) -> str:
    """The line that makes mkdocstrings render a class or a function."""
    lines = [f"::: {item.__module__}.{item.__qualname__}"]
    if members := members_of(item):
        lines += ["    options:", "      members:", *(f"        - {name}" for name in members)]
    return "\n".join(lines) + "\n"


def fields_table(arguments_class: type) -> str:
    """Name, default and help of each field that the class has of its own, as `zoo train RECIPE --help` shows them."""
    lines = ["| field | default | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(arguments_class):
        if "help" not in field.metadata or not is_ours(arguments_class, field):
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        text = field.metadata["help"].replace("|", "\\|").replace("%%", "%")
        lines.append(f"| `{field.name}` | {'' if default is None else f'`{default}`'} | {text} |")
    return "\n".join(lines) + "\n"


def is_ours(arguments_class: type, field: "dataclasses.Field[Any]") -> bool:
    """Whether the field is declared in this library, not in transformers."""
    owners = [cls for cls in arguments_class.__mro__ if field.name in vars(cls).get("__annotations__", {})]
    return owners[0].__module__.startswith("zoo.")


def family_page(name: str) -> str:
    """Config, models and processors of a family."""
    family = load_family(name)
    module = importlib.import_module(FAMILIES[name])
    names = "".join(f"    {cls.__name__},\n" for cls in family.classes)
    tasks = ", ".join(task.replace("_", " ") for task in family.tasks)
    return (
        f"# {name}\n\n{inspect.getdoc(module)}\n\nTasks: {tasks}.\n\n```python\nfrom zoo import (\n{names})\n```\n\n"
        + "\n".join(directive(cls) for cls in family.classes)
    )


def task_page(name: str) -> str:
    """The class of a task, its fields and its pipelines."""
    task = load_task(name)
    better = "higher" if task.greater_is_better else "lower"
    text = (
        f"# {name.replace('_', ' ').capitalize()}\n\nPrimary metric: `{task.metric}` ({better} is better).\n\n"
        f"{directive(task)}\n## Data fields\n\n"
        "Keys of a recipe's `data` section, and flags of `zoo train` and `zoo evaluate`. Without a default a field is "
        f"not set.\n\n{fields_table(task.arguments_class)}\n"
    )
    pipelines = dict.fromkeys(task.pipelines.values())
    return text + "\n".join(directive(pipeline) for pipeline in pipelines)


def trainer_page() -> str:
    """The Trainers and their arguments."""
    intro = "# Trainer\n\nThe [guide](../guides/trainer.md) shows how to use them without a recipe.\n\n"
    fields = (
        "## Training fields\n\nIn addition to transformers' fields. [Recipes](../guides/recipes.md) explain them.\n\n"
    )
    return intro + "\n".join(map(directive, TRAINER)) + "\n" + fields + fields_table(ZooSeq2SeqTrainingArguments)


def commands_page() -> str:
    """What `zoo COMMAND --help` prints. The flags of `zoo train` are the fields of the other pages."""
    parts = [
        "# Command line\n\nWhat `zoo COMMAND --help` prints; a checkout has the same commands in `scripts/`. "
        "`--debug` adds the traceback to an error.\n"
    ]
    for name, (module, purpose) in COMMANDS.items():
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
            importlib.import_module(f"zoo.commands.{module}").main(["--help"])
        parts.append(
            f"## zoo {name}\n\n{purpose[0].upper()}{purpose[1:]}.\n\n```text\n{printed.getvalue().strip()}\n```\n"
        )
    return "\n".join(parts)


def index_page(pages: dict[str, str], groups: dict[str, list[Any]]) -> str:
    """Every public name with its first sentence."""
    text = [
        "# Reference\n\nEvery public class and function. Importing `zoo` registers all families with transformers.\n"
    ]
    for page, items in groups.items():
        title = pages[page].splitlines()[0].removeprefix("# ")
        text.append(f"**[{title}]({page})**\n\n| | |\n|---|---|")
        for item in items:
            summary = " ".join((inspect.getdoc(item) or "").split("\n\n")[0].split()).split(". ")[0]
            summary = summary.replace("[`~transformers.", "`").replace("[`", "`").replace("`]", "`").rstrip(".")
            text.append(f"| [`{item.__name__}`]({page}#{item.__module__}.{item.__qualname__}) | {summary} |")
        text.append("")
    return "\n".join(text)


def reference_pages() -> dict[str, str]:
    """File name -> text of each page. A public name that no other page has is on the first one."""
    pages: dict[str, str] = {"loading.md": ""}
    groups: dict[str, list[Any]] = {"loading.md": []}
    for name in FAMILIES:
        pages[f"families/{name}.md"] = family_page(name)
        groups[f"families/{name}.md"] = list(load_family(name).classes)
    pages["trainer.md"], groups["trainer.md"] = trainer_page(), list(TRAINER)
    for name in TASKS:
        task = load_task(name)
        pages[f"tasks/{name}.md"] = task_page(name)
        groups[f"tasks/{name}.md"] = [task, *dict.fromkeys(task.pipelines.values())]
    base = [Family, Task, TaskData, DataArguments, Report, Parent]
    pages["base_classes.md"] = BASE + "\n".join(map(directive, base))
    groups["base_classes.md"] = base
    pages["command_line.md"] = commands_page()
    shown = [item for items in groups.values() for item in items]
    public = sorted(zoo.__all__, key=lambda name: (name != "pretrained", name[0].isupper(), name))
    groups["loading.md"] = [item for name in public if (item := getattr(zoo, name)) not in shown]
    pages["loading.md"] = "# Models and records\n\n" + "\n".join(map(directive, groups["loading.md"]))
    return {"index.md": index_page(pages, groups), **pages}
