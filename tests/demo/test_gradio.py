"""The Gradio Space: its file compiles, and its functions work without gradio."""

import importlib.util
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from zoo.commands.demo import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What `zoo demo --gradio` writes."""
    folder = tmp_path_factory.mktemp("space") / "space"
    assert main(["--gradio", "--output_dir", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def app(folder):
    """The written app.py as a module."""
    spec = importlib.util.spec_from_file_location("written_app", folder / "app.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_space_has_its_three_files(folder):
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "app.py", "requirements.txt"]
    assert "pillow<13" in (folder / "requirements.txt").read_text()


def test_importing_the_app_does_not_need_gradio(app):
    assert "gradio" not in sys.modules


def test_a_folder_of_something_else_is_refused(tmp_path, capsys):
    (tmp_path / "notes.txt").touch()
    assert main(["--gradio", "--output_dir", str(tmp_path)]) == 1
    assert "choose an empty folder" in capsys.readouterr().err


def test_it_classifies(app):
    sheet = Image.open("zoo/demo/page/examples/garments.png")
    answers = app.classify({"composite": sheet.crop((28, 0, 56, 28))})
    assert max(answers, key=answers.get) == "Trouser"
    assert sum(answers.values()) == pytest.approx(1, abs=1e-4)
    assert app.classify(None) == {}


def test_it_forecasts(app):
    figure, table = app.forecast(app.example_series())
    assert len(table) == 48
    assert (table["0.1"] <= table["0.9"]).all()
    assert figure.axes


@pytest.mark.parametrize(("text", "message"), [("1\n2\nx", "value 3"), ("1 2 3", "too few")])
def test_it_says_what_is_wrong_with_a_series(app, text, message):
    with pytest.raises(ValueError, match=message):
        app.forecast(text)


@pytest.mark.parametrize(("number", "expected"), [(0, "Ein kleines Mädchen"), (1, "Two children")])
def test_it_translates_with_attention(app, number, expected):
    text, figure = app.translate(*app.SENTENCES[number])
    weights = figure.axes[0].images[0].get_array()
    assert text.startswith(expected)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-3)


@pytest.mark.parametrize(
    ("sentence", "message"), [("  ", "Type a sentence first"), ("dog " * 300, "the network reads 128")]
)
def test_texts_that_are_no_sentence_are_explained(app, sentence, message):
    with pytest.raises(ValueError, match=message):
        app.translate(sentence, next(iter(app.TRANSLATORS)))


def test_it_listens(app, tmp_path):
    assert app.listen("zoo/demo/page/examples/clip-yes.flac") == "نعم"
    notes = tmp_path / "notes.txt"
    notes.write_text("no sound")
    with pytest.raises(ValueError, match="^notes.txt is damaged, or not WAV"):
        app.listen(str(notes))


def test_a_visitor_sees_one_line(app, monkeypatch):
    class Error(Exception):
        def __init__(self, message, print_exception=True):
            super().__init__(message, print_exception)

    monkeypatch.setitem(sys.modules, "gradio", SimpleNamespace(Error=Error))
    with pytest.raises(Error) as raised:
        app.explained(app.forecast)("1 2\nthree")
    assert raised.value.args == ("value 3: expected a number, found 'three'", False)
