"""`zoo list [--markdown]`: the recipes and the models with their figures; --markdown prints docs/models.md."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from . import guarded

PAGE = """# Models

Every figure comes from the model's `results.json`, which a command on its card makes again. This page is
`zoo list --markdown`.

"""


def row(name: str, folder: Path) -> dict[str, str]:
    """What the lists say of a shipped model."""
    from zoo.pretrained import published_models
    from zoo.record import RunRecord

    record = RunRecord.read(folder)
    split = "test" if "test" in record.metrics else "validation"
    metric, found = record.fit["metric"], record.metrics[split]
    figure = f"{metric} {found[metric]:.4f}"
    if f"{metric}_low" in found:
        figure += f" ({found[f'{metric}_low']:.4f} to {found[f'{metric}_high']:.4f})"
    trivial, baseline = next(iter(record.baselines.items()), ("", {}))
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    entry: dict[str, Any] = published_models().get(name, {})
    return {
        "model": name,
        "task": record.recipe["task"].replace("_", " "),
        "family": record.recipe["family"],
        "figure": figure,
        "split": f"{split}, n = {found['n']:,}",
        "trivial": f"{trivial.replace('_', ' ')} {baseline[metric]:.4f}" if trivial else "",
        "parameters": f"{record.compute['parameters']:,}",
        "size": f"{size / 1e6:.1f} MB",
        "licence": record.recipe["publish"].get("license", ""),
        "hub": f"{entry['repo_id']} at `{entry['commit'][:8]}`" if entry else "",
    }


def markdown() -> str:
    """The page of all shipped models."""
    from zoo.pretrained import shipped_models

    heads = {
        "model": "model", "task": "task", "figure": "measured (95% interval)", "split": "on",
        "trivial": "trivial predictor", "parameters": "parameters", "size": "weights",
        "licence": "licence", "hub": "on the Hub",
    }  # fmt: skip
    lines = [f"| {' | '.join(heads.values())} |", "|---" * len(heads) + "|"]
    for name, folder in shipped_models().items():
        found = row(name, folder)
        found["model"] = f"[{name}](../model_cards/{name}/README.md)"
        found["hub"] = found["hub"] or "not yet"
        lines.append(f"| {' | '.join(found[key] for key in heads)} |")
    return PAGE + "\n".join(lines)


def show(argv: list[str]) -> None:
    """Print one line for each recipe and each model."""
    from zoo.pretrained import published_models, shipped_models
    from zoo.training.recipe import UsageError, available_recipes, load_recipe
    from zoo.tuning.study import available_studies, load_study

    parser = argparse.ArgumentParser("zoo list", description=__doc__, exit_on_error=False)
    parser.add_argument("--markdown", action="store_true", help="print docs/models.md")
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        raise UsageError(f"zoo list takes no arguments but --markdown, got {unknown[0]!r}")
    if arguments.markdown:
        print(markdown())
        return
    print("recipes (zoo train RECIPE):")
    for name in available_recipes():
        recipe = load_recipe(name)
        print(f"  {name:32} {recipe.task}, {recipe.family or 'any family'}: {recipe.description}")
    print("studies (zoo study STUDY):")
    for name in available_studies():
        print(f"  {name:32} {load_study(name).title}")
    print("shipped models (zoo.pretrained(ID)):")
    for name, folder in shipped_models().items():
        found = row(name, folder)
        line = ", ".join(found[key] for key in ("figure", "split", "size", "licence") if found[key])
        print(f"  {name:32} {line}")
    for name, entry in published_models().items():
        print(f"  {name:32} on the Hub: {entry['repo_id']} at {entry['commit']}")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(show, argv)
