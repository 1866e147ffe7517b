"""`zoo list`: the recipes and the shipped models with their figures."""

from collections.abc import Sequence

from . import guarded


def show(argv: list[str]) -> None:
    """Print one line for each recipe and each shipped model."""
    from zoo.pretrained import shipped_models
    from zoo.record import RECORD_NAME, RunRecord
    from zoo.registry import load_task
    from zoo.training.recipe import UsageError, available_recipes, load_recipe

    if argv:
        raise UsageError(f"zoo list takes no arguments, got {argv[0]!r}")
    print("recipes (zoo train RECIPE):")
    for name in available_recipes():
        recipe = load_recipe(name)
        print(f"  {name:24} {recipe.task}, {recipe.family}: {recipe.description}")
    print("shipped models (zoo.pretrained(ID)):")
    for name, folder in shipped_models().items():
        line = f"  {name:24} {sum(file.stat().st_size for file in folder.glob('*.safetensors')) / 1e6:.1f} MB"
        if (folder / RECORD_NAME).is_file():
            record = RunRecord.read(folder)
            metric = load_task(record.recipe["task"]).best_metric
            split = "test" if "test" in record.metrics else "validation"
            licence = record.recipe["publish"].get("license", "no licence named")
            line += f", {split} {metric} {record.metrics[split][metric]:.4f}, {licence}"
        print(line)


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of the command."""
    return guarded(show, argv)
