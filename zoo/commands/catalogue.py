"""`zoo list [--markdown]`: the recipes, studies and models with their metrics; --markdown prints docs/models.md."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zoo.pretrained import published_models, shipped_models
from zoo.record import RunRecord
from zoo.training.recipe import RECIPES, read_yaml

from . import Parser, guarded

PAGE = """# Models

Every number comes from the model's `results.json`; each card shows the command that reproduces it. This page is the
output of `zoo list --markdown`.

"""
COLUMNS = {
    "model": "model", "task": "task", "metric": "metric (95% interval)", "split": "split", "baseline": "baseline",
    "parameters": "parameters", "size": "weights", "license": "license", "hub": "on the Hub",
}  # fmt: skip


def describe_model(name: str, folder: Path) -> dict[str, str]:
    """The columns of a shipped model in the lists."""
    record = RunRecord.read(folder)
    split, metric = record.split, record.fit["metric"]
    metrics = record.metrics[split]
    text = f"{metric} {metrics[metric]:.4f}"
    if f"{metric}_low" in metrics:
        text += f" ({metrics[f'{metric}_low']:.4f} to {metrics[f'{metric}_high']:.4f})"
    baselines = [f"{key.replace('_', ' ')} {v[metric]:.4f}" for key, v in record.baselines.items() if metric in v]
    size = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    published: dict[str, Any] = published_models().get(name, {})
    return {
        "model": name,
        "task": record.recipe["task"].replace("_", " "),
        "metric": text,
        "split": f"{split}, n = {metrics['n']:,}",
        "baseline": baselines[0] if baselines else "",
        "parameters": f"{record.compute['parameters']:,}",
        "size": f"{size / 1e6:.1f} MB",
        "license": record.recipe["publish"].get("license", ""),
        "hub": f"{published['repo_id']} at `{published['commit'][:8]}`" if published else "",
    }


def markdown() -> str:
    """The page of all shipped models."""
    lines = [f"| {' | '.join(COLUMNS.values())} |", "|---" * len(COLUMNS) + "|"]
    for name, folder in shipped_models().items():
        columns = describe_model(name, folder)
        columns["model"] = f"[{name}](../model_cards/{name}/README.md)"
        columns["hub"] = columns["hub"] or "not yet"
        lines.append(f"| {' | '.join(columns[key] for key in COLUMNS)} |")
    return PAGE + "\n".join(lines)


def show(argv: list[str]) -> None:
    """Print one line for each recipe, study and model."""
    parser = Parser("zoo list", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--markdown", action="store_true", help="print docs/models.md")
    if parser.parse_args(argv).markdown:
        print(markdown())
        return
    print("recipes (zoo train RECIPE):")
    for path in sorted(RECIPES.glob("*.yaml")):
        recipe = read_yaml(path, "recipe")
        family = recipe.get("family") or "any family"
        print(f"  {path.stem:32} {recipe['task']}, {family}: {recipe.get('description', '')}")
    print("studies (zoo study STUDY):")
    for path in sorted(RECIPES.glob("studies/*.yaml")):
        print(f"  {path.stem:32} {read_yaml(path, 'study')['title']}")
    print("shipped models (zoo.pretrained(ID)):")
    for name, folder in shipped_models().items():
        columns = describe_model(name, folder)
        line = ", ".join(columns[key] for key in ("metric", "split", "size", "license") if columns[key])
        print(f"  {name:32} {line}")
    for name, entry in published_models().items():
        print(f"  {name:32} on the Hub: {entry['repo_id']} at {entry['commit']}")


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(show, argv)


__all__ = ["describe_model", "main", "markdown"]
