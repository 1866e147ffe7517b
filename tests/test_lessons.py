"""The lessons run, with few rows and steps, and their notebooks are those of their text."""

import os
import sys
from pathlib import Path

import pytest

from .conftest import REAL_DATA, write_fashion_mnist

jupytext = pytest.importorskip("jupytext", reason='pip install "primer-zoo[lessons]"')
pytest.importorskip("ipykernel", reason='pip install "primer-zoo[lessons]"')

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "scripts"))
from lessons import LESSONS, MAX_BYTES, read_lesson  # noqa: E402

NAMES = sorted(path.stem for path in LESSONS.glob("0*.md"))
# Folder under ZOO_DATA that a lesson needs beside Fashion-MNIST, which is a tiny made-up one here.
NEEDS = {"03-lstm-forecasting": "ett", "05-a-new-language-pair": "multi30k", "08-speech-to-text": "speech"}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """A ZOO_DATA folder: a tiny Fashion-MNIST, and the real data of the other lessons if there is any."""
    folder = tmp_path_factory.mktemp("lessons-data")
    write_fashion_mnist(folder / "fashion-mnist", train=6000, test=200)
    for name in NEEDS.values():
        if REAL_DATA and (Path(REAL_DATA) / name).is_dir():
            (folder / name).symlink_to(Path(REAL_DATA).resolve() / name)
    return folder


@pytest.fixture(scope="module")
def kernel(data):
    """One Jupyter kernel for all lessons: importing torch takes longer than most of them."""
    from jupyter_client import KernelManager

    manager = KernelManager(kernel_name="python3")
    settings = {
        "ZOO_DATA": str(data),
        "ZOO_LESSON_BUDGET": "small",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONWARNINGS": "ignore",
        "TQDM_DISABLE": "1",
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    manager.start_kernel(env={**os.environ, **settings})
    yield manager
    manager.shutdown_kernel(now=True)


def test_there_are_eight_lessons():
    assert [name[:2] for name in NAMES] == [f"0{number}" for number in range(1, 9)]


@pytest.mark.parametrize("name", NAMES)
def test_a_lesson_runs(name, kernel, data, tmp_path):
    import nbformat
    from nbclient import NotebookClient

    needed = NEEDS.get(name)
    if needed and not (data / needed).is_dir():
        pytest.skip(f"ZOO_DATA has no folder {needed}; the lesson says where to get it")
    if "tuning" in name:
        pytest.importorskip("ray", reason='pip install "primer-zoo[tune]"')
    notebook = read_lesson(LESSONS / f"{name}.md")
    # A fresh start: no names of the lesson before.
    notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%reset -f\nimport os\nos.chdir({str(tmp_path)!r})"))
    client = NotebookClient(notebook, km=kernel, timeout=300)
    try:
        client.execute()  # raises what a cell raises
    finally:
        client.kc.stop_channels()  # the client closes only the connection to a kernel that it started
    if "plt.subplots" in str(notebook.cells):
        assert shows_plots(notebook), "the plots are not shown"


def shows_plots(notebook) -> bool:
    """Whether each cell whose last statements draw shows an image; a function may draw later, or never."""
    drawing = [
        cell
        for cell in notebook.cells
        if cell.cell_type == "code" and any(line.startswith("figure, ") for line in cell.source.splitlines())
    ]
    return all("image/png" in str(cell.outputs) for cell in drawing)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_made_of_its_text(name):
    import nbformat

    path = LESSONS / f"{name}.ipynb"
    again = f"run `python scripts/lessons.py {name}`"
    if not path.is_file():
        pytest.skip(f"it is not made yet: {again}")
    notebook = nbformat.read(path, as_version=4)
    cells = [(cell.cell_type, cell.source) for cell in notebook.cells]
    assert cells == [(cell.cell_type, cell.source) for cell in read_lesson(LESSONS / f"{name}.md").cells], again
    assert all(cell.execution_count for cell in notebook.cells if cell.cell_type == "code"), again
    assert shows_plots(notebook), again
    assert path.stat().st_size <= MAX_BYTES


def test_a_lesson_has_an_end():
    for name in NAMES:
        text = (LESSONS / f"{name}.md").read_text(encoding="utf-8")
        assert len(text[text.index("## What to try next") :].strip().splitlines()) == 4, name
