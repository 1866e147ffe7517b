"""Plots in files, drawn without pyplot: a notebook's own backend stays as it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@contextmanager
def drawing(
    path: Path, *shape: int, figsize: tuple[float, float], dpi: int = 110, **options: Any
) -> Iterator[tuple["Figure", Any]]:
    """(figure, axes) of a new plot, which is written when the block ends.

    Args:
        path: The PNG file; its folder is made.
        shape: Rows and columns of axes; default: a single one.
        figsize: Width and height in inches.
        dpi: Pixels an inch.
        options: Further arguments of matplotlib's `Figure.subplots`, such as `sharey`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=figsize, layout="constrained")
    yield figure, figure.subplots(*shape, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=dpi)


__all__ = ["drawing"]
