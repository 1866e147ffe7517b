"""The page of the models: a table that sorts and two plots, from each model's results.json."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from zoo.commands.catalogue import describe_model
from zoo.pretrained import shipped_models
from zoo.record import RunRecord
from zoo.registry import TASKS, load_task

COLOURS = dict(zip(TASKS, ("#3f7fe8", "#ff7043", "#26a69a", "#ab47bc", "#ef9f00")))
OTHER = "#90a4ae"
HEAD = """---
hide: [toc]
---

# Model zoo

Every number comes from the model's `results.json` and was measured on the test split with the final weights. Click the
head of a column to sort by it; [what the columns mean](#columns) is below.

"""
ERRORS = """
## Errors, as a share of the baseline's

Each error is divided by the error of a simple baseline on the same test split, so that tasks can be compared: 0% is
perfect, 100% is as bad as the baseline. Bars are 95% intervals.

"""
TAIL = """
## Columns

- **metric**: the primary metric of the task on the test split, with its 95% interval.
- **baseline**: the same metric of a simple predictor, such as the seasonal naive forecast.
- **weights**: size of the file.

`zoo list` prints the same in a terminal. `zoo.pretrained("fashion-cnn")` loads a model by its name.
"""


class Box(NamedTuple):
    """A part of a drawing that is taken; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two have a point in common."""
        beside = self.right < other.left or other.right < self.left
        above = self.bottom < other.top or other.bottom < self.top
        return not beside and not above


@dataclass
class Model:
    """What the plots show of a model."""

    name: str
    task: str
    metric: str
    parameters: int
    value: float
    low: float
    high: float
    baseline: float

    def error(self, value: float) -> float:
        """The error as a share of the baseline's."""
        task = load_task(self.task)
        if task.greater_is_better == (self.metric in task.opposite_metrics):  # lower is better
            return value / self.baseline
        return (task.best_value - value) / (task.best_value - self.baseline)


def read_models() -> list[Model]:
    """The shipped models."""
    models = []
    for name, folder in shipped_models().items():
        record = RunRecord.read(folder)
        metric = record.fit["metric"]
        metrics = record.metrics["test"] if "test" in record.metrics else record.metrics["validation"]
        baseline = next(values[metric] for values in record.baselines.values() if metric in values)
        value = metrics[metric]
        low, high = metrics.get(f"{metric}_low", value), metrics.get(f"{metric}_high", value)
        task = record.recipe["task"]
        models.append(Model(name, task, metric, record.compute["parameters"], value, low, high, baseline))
    return models


def table(models: list[Model]) -> str:
    """The table, with the numbers that its columns are sorted by."""
    columns = ["model", "task", "parameters", "metric", "value", "95% interval", "baseline", "weights"]
    rows = []
    folders = shipped_models()
    for model in models:
        texts = describe_model(model.name, folders[model.name])
        interval = f"{model.low:.4g} to {model.high:.4g}" if model.low < model.high else ""
        cells = [
            f'<td><a href="{link(model)}">{model.name}</a></td>',
            f"<td>{texts['task']}</td>",
            f'<td class="number" data-value="{model.parameters}">{model.parameters:,}</td>',
            f"<td>{model.metric}</td>",
            f'<td class="number"><b>{model.value:.4f}</b></td>',
            f'<td class="number">{interval}</td>',
            f'<td class="number">{model.baseline:.4f}</td>',
            f'<td class="number">{texts["size"]}</td>',
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f"<th>{name}</th>" for name in columns)
    body = "\n".join(rows)
    return (
        f'<div class="sorts">\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>\n</div>\n'
    )


def link(model: Model) -> str:
    """The address of a model's card, as a page beside this one has it; builders rewrite links of Markdown only."""
    return f"../model_cards/{model.name}/"


def picture(width: int, height: int, label: str, parts: list[str]) -> str:
    """A drawing in the page itself, so that it takes the colours of the theme."""
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{label}">'
    return f'<div class="plot">{head}{"".join(parts)}</svg></div>\n'


def legend(models: list[Model], x: float, y: float) -> str:
    """The colours of the tasks that the models have."""
    parts = []
    for task in dict.fromkeys(model.task for model in models):
        name = task.replace("_", " ")
        parts.append(f'<circle cx="{x}" cy="{y - 4}" r="5" fill="{COLOURS.get(task, OTHER)}"/>')
        parts.append(f'<text x="{x + 10}" y="{y}">{name}</text>')
        x += 28 + 7.2 * len(name)
    return "".join(parts)


def place_label(x: float, y: float, width: float, taken: list[Box]) -> tuple[float, float]:
    """Where the text of a point begins so that it covers no other: right or left of it, higher or lower.

    Args:
        x, y: The point.
        width: Of the text.
        taken: What is drawn already; the text is added.
    """
    places = [(left, y + 5 + shift) for shift in (0, -17, 17, -34, 34, -51, 51) for left in (x + 11, x - width - 11)]
    for left, line in places:
        box = Box(left, line - 12, left + width, line + 3)
        if left > 62 and not any(box.overlaps(other) for other in taken):
            break
    else:
        left, line = places[0]
    taken.append(Box(left, line - 12, left + width, line + 3))
    return left, line


def size_plot(models: list[Model]) -> str:
    """Error, as a share of the baseline's, against the number of parameters."""
    width, height, left, right, bottom, top = 860, 500, 60, 30, 50, 48
    low, high = math.log10(8e4), math.log10(3e7)

    def x(parameters: float) -> float:
        return left + (math.log10(parameters) - low) / (high - low) * (width - left - right)

    def y(error: float) -> float:
        return top + (1 - error) * (height - top - bottom)

    parts = [legend(models, left, 18)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(f'<line class="line" x1="{left}" x2="{width - right}" y1="{y(share):.1f}" y2="{y(share):.1f}"/>')
        parts.append(f'<text class="quiet" x="{left - 8}" y="{y(share) + 4:.1f}" text-anchor="end">{share:.0%}</text>')
    ticks = {1e5: "100,000", 3e5: "300,000", 1e6: "1 million", 3e6: "3 million", 1e7: "10 million parameters"}
    for parameters, name in ticks.items():
        parts.append(
            f'<text class="quiet" x="{x(parameters):.1f}" y="{height - 20}" text-anchor="middle">{name}</text>'
        )
    points = [(model, x(model.parameters), y(model.error(model.value))) for model in models]
    taken = [Box(px - 6, py - 6, px + 6, py + 6) for _, px, py in points]
    for model, px, py in sorted(points, key=lambda point: point[1:]):
        colour = COLOURS.get(model.task, OTHER)
        label, line = place_label(px, py, 8.2 * len(model.name), taken)
        parts.append(
            f'<a href="{link(model)}"><circle cx="{px:.1f}" cy="{py:.1f}" r="6" fill="{colour}"/>'
            f'<text x="{label:.1f}" y="{line:.1f}">{model.name}</text>'
            f"<title>{model.name}: {model.metric} {model.value:.4f}, baseline {model.baseline:.4f}</title></a>"
        )
    return picture(width, height, "Error against parameters", parts)


def interval_plot(models: list[Model]) -> str:
    """The 95% interval of each model's error beside its baseline."""
    width, row, left, top = 860, 27, 255, 56
    height = top + row * len(models) + 30

    def x(error: float) -> float:
        return left + error * (width - left - 130)

    parts = [legend(models, 60, 18)]
    for share in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<line class="line" x1="{x(share):.1f}" x2="{x(share):.1f}" y1="{top - 12}" y2="{height - 26}"/>'
        )
        name = "baseline" if share == 1 else f"{share:.0%}"
        parts.append(f'<text class="quiet" x="{x(share):.1f}" y="{height - 8}" text-anchor="middle">{name}</text>')
    for number, model in enumerate(sorted(models, key=lambda model: model.error(model.value))):
        py, colour = top + row * number + 6, COLOURS.get(model.task, OTHER)
        low, high = sorted((x(model.error(model.low)), x(model.error(model.high))))
        middle = x(model.error(model.value))
        parts += [
            f'<a href="{link(model)}"><text x="{left - 14}" y="{py + 4}" text-anchor="end">{model.name}</text></a>',
            f'<line x1="{low:.1f}" x2="{high:.1f}" y1="{py}" y2="{py}" stroke="{colour}" stroke-width="6" ',
            'stroke-linecap="round" opacity="0.4"/>',
            f'<circle cx="{middle:.1f}" cy="{py}" r="5" fill="{colour}"/>',
            f'<text class="quiet" x="{max(high, middle) + 12:.1f}" y="{py + 4}">',
            f"{model.metric} {model.value:.4g}</text>",
        ]
    return picture(width, height, "Errors with intervals", parts)


def models_page() -> str:
    """The page, in Markdown and HTML."""
    models = read_models()
    parts = [HEAD, table(models), ERRORS, interval_plot(models), "\n## Errors by size\n\n", size_plot(models), TAIL]
    return "".join(parts)
