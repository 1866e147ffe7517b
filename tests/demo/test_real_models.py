"""The page with the shipped models in Chromium: the answers are PyTorch's, and what goes wrong is explained."""

import json
import time

import numpy as np
import pytest
import soundfile
import torch

import zoo
from zoo.demo.build import PAGE
from zoo.demo.models import TABS
from zoo.record import RunRecord

from .browser import Demo

pytestmark = pytest.mark.slow
CLASSIFIER, FORECASTER, RECOGNIZER = (TABS[tab][0] for tab in ("classify", "forecast", "listen"))
SENTENCES = {
    "transformer-translator-en-de": "Three women in blue shirts are waiting for a bus.",
    "rnn-translator-de-en": "Ein Junge springt mit seinem Skateboard über eine Treppe.",
}
NO_SIMD = "WebAssembly.validate = () => false"


@pytest.fixture(scope="module")
def served(page, serve):
    return page, serve(page)


@pytest.fixture
def demo(chromium, served):
    """The page, on a desktop screen; skipped if it was built from other weights."""
    page, address = served
    demo = Demo(chromium, address, page)
    for model_id, info in demo.catalogue["models"].items():
        if RunRecord.read(zoo.pretrained(model_id)).weights_sha256 != info["weights"]:
            pytest.skip(f"the built page has another {model_id}: run `zoo demo --output_dir build/demo` again")
    demo.size(1280, 900, mobile=False)
    yield demo
    demo.network()


def needs(demo, *models):
    """Skip if the page was built without a model."""
    missing = [model_id for model_id in models if model_id not in demo.catalogue["models"]]
    if missing:
        pytest.skip(f"the built page lacks {missing[0]}: run `zoo demo --output_dir build/demo`")


def test_a_picture_gets_pytorchs_probabilities(demo):
    from PIL import Image
    from transformers import AutoImageProcessor, AutoModelForImageClassification

    folder = zoo.pretrained(CLASSIFIER)
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    processor = AutoImageProcessor.from_pretrained(folder)
    sheet = Image.open(PAGE / "examples" / "garments.png")
    demo.open("classify")
    for number in (1, 5):
        picture = sheet.crop((28 * number, 0, 28 * number + 28, 28))
        with torch.no_grad():
            expected = model(**processor(picture, return_tensors="pt")).logits.softmax(-1)[0].numpy()
        demo.click(f"#garment-shelf button:nth-child({number + 1})")
        label = model.config.id2label[int(expected.argmax())]
        demo.wait(f"document.querySelector('#garment-verdict').textContent === {label!r}")
        found = json.loads(demo.run("document.querySelector('#garment-bars').dataset.probabilities"))
        np.testing.assert_allclose(found, expected, atol=1e-4)


def test_a_forecast_is_pytorchs(demo):
    needs(demo, FORECASTER)
    from transformers import pipeline

    steps = np.arange(300)
    values = np.round(50 + 20 * np.sin(2 * np.pi * steps / 24) + 5 * np.random.default_rng(0).random(300), 2)
    values[100:103] = np.nan
    expected = pipeline("time-series-forecasting", model=zoo.pretrained(FORECASTER))(values)
    demo.open("forecast")
    demo.set("#series-text", "load\n" + "\n".join("" if np.isnan(value) else str(value) for value in values))
    demo.wait("document.querySelector('#series-message').textContent.includes('300 values')")
    demo.wait("document.querySelector('#origin').value === '300'")
    time.sleep(0.5)
    found = json.loads(demo.wait("document.querySelector('#fan-table').dataset.forecast"))
    quantiles = np.array(found["quantiles"])
    for place, level in enumerate(found["levels"]):
        np.testing.assert_allclose(quantiles[:, place], expected[f"{level:g}"], rtol=1e-3)


@pytest.mark.parametrize("model_id", SENTENCES)
def test_a_translation_is_pytorchs_greedy_one(demo, model_id):
    needs(demo, model_id)
    from zoo.tasks.translation.translator import load

    expected = load(zoo.pretrained(model_id))(SENTENCES[model_id], num_beams=1)[0]["translation_text"]
    demo.open("translate")
    demo.click(f"input[value={model_id}]")
    demo.wait(f"document.querySelector('#panel-translate footer').textContent.includes({model_id!r})")
    demo.set("#sentence", SENTENCES[model_id])
    demo.click("#translate-go")
    assert demo.wait("document.querySelector('#translation').dataset.text") == expected
    assert demo.text("#translation") == expected
    rows = demo.run("document.querySelector('#attention-map').tBodies[0].rows.length")
    assert rows == demo.run("document.querySelectorAll('#translation .token').length") + 1  # and EOS


def test_a_recording_gets_pytorchs_text(demo):
    needs(demo, RECOGNIZER)
    from transformers import pipeline

    recognize = pipeline("automatic-speech-recognition", model=zoo.pretrained(RECOGNIZER))
    clips = json.loads((PAGE / "examples" / "clips.json").read_text())["clips"]
    demo.open("listen")
    for number, clip in enumerate(clips, 1):
        samples, rate = soundfile.read(PAGE / "examples" / clip["file"], dtype="float32")
        sound = {"array": samples, "sampling_rate": rate}
        expected = recognize(sound, generate_kwargs={"num_beams": 1})["text"]
        demo.click(f"#clips button:nth-child({number})")
        demo.wait(f"document.querySelector('#heard').dataset.text === {expected!r}")
        assert demo.run("document.querySelector('#words .on').dataset.word") == expected


def test_a_phone_shows_all_of_it(demo):
    demo.size(390, 844, mobile=True)
    for tab in demo.catalogue["tabs"]:
        demo.open(tab)
        demo.wait("document.fonts.status === 'loaded'")
        assert demo.run("document.documentElement.scrollWidth") <= 390, tab
    demo.open("classify")
    bottom = demo.run("document.querySelector('#garment-bars li:last-child').getBoundingClientRect().bottom")
    assert bottom <= 844  # canvas and bars are on one screen


def test_a_phone_shows_the_translation_below_the_sentence(demo):
    demo.size(390, 844, mobile=True)
    demo.open("translate")
    demo.wait("document.querySelector('#translation').dataset.text")
    top, bottom = (
        demo.run(f"document.querySelector('#translation').getBoundingClientRect().{e}") for e in ("top", "bottom")
    )
    assert demo.run("document.querySelector('#translate-go').getBoundingClientRect().bottom") <= top < 844
    assert bottom <= demo.run("document.querySelector('#sentence-examples').getBoundingClientRect().top")


def test_controls_have_names(demo):
    for tab in demo.catalogue["tabs"]:
        demo.open(tab)
        code = """[...document.querySelectorAll(`#panel-${arguments[0]} :is(button, input, select, textarea, canvas)`)]
            .filter((node) => !(node.ariaLabel || node.labels?.[0]?.textContent.trim() || node.textContent.trim()))
            .map((node) => node.outerHTML)"""
        assert demo.run(code, tab) == []


def test_it_reloads_offline(demo):
    demo.forget()
    demo.open("classify")
    demo.wait("document.documentElement.dataset.offline === 'ready'")
    demo.network(online=False)
    demo.open("classify")
    demo.click("#garment-shelf button:nth-child(2)")
    demo.wait("document.querySelector('#garment-verdict').textContent === 'Trouser'")
    demo.network()


@pytest.mark.parametrize("fault", ["missing", "damaged", "unreachable"])
def test_a_model_that_fails_to_load_is_explained(demo, fault):
    demo.forget()
    file = demo.page / "models" / CLASSIFIER / "model.onnx"
    content = file.read_bytes()
    try:
        if fault == "missing":
            file.unlink()
        elif fault == "damaged":
            file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        else:
            demo.network(blocked=("*model.onnx*",))
        demo.open("classify", "failed")
        message = demo.text("#panel-classify .notice")
    finally:
        file.write_bytes(content)
        demo.network()
    assert "models/fashion-cnn/model.onnx" in message
    expected = {"missing": "answers 404", "damaged": "is damaged", "unreachable": "does not answer"}
    assert expected[fault] in message
    assert "zoo demo" in message
    demo.click("#panel-classify .notice button")
    demo.wait("document.documentElement.dataset.classify === 'ready'")
    assert not demo.run("document.querySelector('#panel-classify .notice')")


def test_a_browser_without_simd_is_told_so(demo):
    script = demo.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": NO_SIMD})
    try:
        demo.open("classify", "failed")
        message = demo.text("#panel-classify .notice")
    finally:
        demo.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)
    assert "no WebAssembly SIMD" in message
    assert "Chrome 91" in message


def test_a_wrong_column_is_explained(demo):
    needs(demo, FORECASTER)
    demo.open("forecast")
    demo.set("#series-text", "5\n" * 40 + "-3")
    demo.wait("document.querySelector('#series-message').textContent.includes('Value 41 is -3')")


def test_the_console_is_clean(demo):
    demo.driver.get_log("browser")
    for tab in demo.catalogue["tabs"]:
        demo.open(tab)
    assert demo.driver.get_log("browser") == []


def test_tabs_change_by_keys_and_skipping_to_the_demo_keeps_them(demo):
    from selenium.webdriver.common.keys import Keys

    demo.open("classify")
    demo.run("document.querySelector('#tab-classify').focus()")
    demo.press(Keys.ARROW_RIGHT)
    assert demo.run("document.activeElement.id") == "tab-forecast"
    assert demo.run("document.querySelector('#panel-classify').hidden")
    demo.click(".skip")
    demo.wait("location.hash === '#main'")
    assert not demo.run("document.querySelector('#panel-forecast').hidden")


def test_texts_that_are_no_sentence(demo):
    demo.open("translate")
    demo.wait("document.querySelector('#translation').dataset.text")
    for text, message in (("  ", "Type a sentence first"), ("dog " * 300, "the network reads 128")):
        demo.set("#sentence", text)
        demo.click("#translate-go")
        demo.wait(f"document.querySelector('#translate-message').textContent.includes({message!r})")
        assert demo.text("#translation") == ""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("last.csv", "Zeit;Last\n" + "".join(f"{h:02}:00;1.2{h:02},5\n" for h in range(24)) + ";\n", "Read 25 values"),
        ("photo.png", "\x89PNG\0\0", "photo.png is not a text file"),
        ("empty.csv", "", "empty.csv is empty"),
    ],
)
def test_files_that_are_dropped_on_the_forecast(demo, name, content, message):
    demo.open("forecast")
    demo.drop("#fan", name, content)
    demo.wait(f"document.querySelector('#series-message').textContent.includes({message!r})")


def test_a_file_without_sound_is_named(demo):
    demo.open("listen")
    demo.drop("#spectrogram", "notes.txt", "no sound")
    demo.wait("document.querySelector('#listen-message').textContent.startsWith('notes.txt is not a sound')")
