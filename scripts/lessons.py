"""python scripts/lessons.py [LESSON ...] [--text]

Makes the notebooks of the lessons, all of them or those named (01-fashion-cnn): converts docs/lessons/*.md, runs them
and keeps outputs and plots. With --text, after a change of text alone, nothing runs and the outputs are kept.

A lesson is written to docs/lessons/<lesson>.ipynb when all of its cells have run; after an error the earlier notebook
stays. `ZOO_LESSON_BUDGET=small` runs a lesson in seconds, with few rows and steps, as the test does.
Needs `pip install "primer-zoo[lessons]"`; lessons 3, 4, 5 and 8 also need the data that they name, in $ZOO_DATA.
"""

import os
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).parents[1]
LESSONS = ROOT / "docs" / "lessons"
MAX_BYTES = 300_000  # of a notebook
# Small plots keep the notebooks small. matplotlib reads this file in the folder that the lesson runs in.
MATPLOTLIBRC = """figure.dpi: 70
figure.constrained_layout.use: True
axes.spines.top: False
axes.spines.right: False
"""


def read_lesson(source: Path) -> nbformat.NotebookNode:
    """The notebook of a lesson's Markdown, without outputs. Cells are numbered, so that it is always the same."""
    notebook = jupytext.read(source)
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", {}
    return notebook


def run_lesson(notebook: nbformat.NotebookNode) -> None:
    """Run every cell in an empty folder. Paths of this machine and times are not kept.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
        ValueError: An output has a path of this machine.
    """
    settings = {
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",  # progress bars of downloads and loading; the Trainer's table stays
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    }
    with tempfile.TemporaryDirectory(prefix="zoo-lesson-") as folder:
        (Path(folder) / "matplotlibrc").write_text(MATPLOTLIBRC, encoding="utf-8")
        client = NotebookClient(notebook, timeout=None, resources={"metadata": {"path": folder}})
        client.execute(env={**os.environ, **settings})
    places = {folder, str(ROOT), str(Path.home()), sys.prefix, os.environ.get("ZOO_DATA") or str(ROOT)}
    for cell in notebook.cells:
        cell.metadata = {}
        for place in places:
            if place in str(cell.get("outputs", "")):
                raise ValueError(f"an output has a path of this machine, {place}:\n{cell.source}")


def take_outputs(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Take the outputs of the earlier notebook.

    Raises:
        ValueError: The code has changed since.
    """
    earlier_notebook = nbformat.read(path, as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    earlier_cells = [cell for cell in earlier_notebook.cells if cell.cell_type == "code"]
    if [cell.source for cell in earlier_cells] != [cell.source for cell in cells]:
        raise ValueError(f"{path.name}: the code has changed: run the lesson without --text")
    for cell, earlier in zip(cells, earlier_cells):
        cell.outputs, cell.execution_count = earlier.outputs, earlier.execution_count


def write_lesson(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the notebook, whole or not at all.

    Raises:
        ValueError: It is too large.
    """
    text = nbformat.writes(notebook) + "\n"
    if len(text) > MAX_BYTES:
        raise ValueError(f"{path.name} would have {len(text):,} bytes, more than {MAX_BYTES:,}: draw smaller plots")
    temporary = path.with_suffix(".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def main(arguments: list[str]) -> None:
    """Make the notebooks of these lessons, or of all."""
    names = [name for name in arguments if name != "--text"]
    sources = [LESSONS / f"{Path(name).stem}.md" for name in names] or sorted(LESSONS.glob("0*.md"))
    for source in sources:
        if not source.is_file():
            known = ", ".join(path.stem for path in sorted(LESSONS.glob("0*.md")))
            raise SystemExit(f"error: no lesson {source.stem!r}; lessons: {known}")
    for source in sources:
        started = time.monotonic()
        notebook, path = read_lesson(source), source.with_suffix(".ipynb")
        if "--text" in arguments:
            take_outputs(notebook, path)
        else:
            run_lesson(notebook)
        write_lesson(notebook, path)
        print(f"{source.stem}: {time.monotonic() - started:.0f} s, {path.stat().st_size:,} bytes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
