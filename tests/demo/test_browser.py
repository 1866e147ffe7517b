"""The page in headless Chromium with a tiny random classifier: drawing, keys, and what goes wrong.

`test_real_models.py` looks at all tabs with the shipped models.
"""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import zoo
from tests.test_contract import tiny_model
from zoo.demo.build import PAGE
from zoo.demo.models import TABS, describe, write_models
from zoo.demo.vendor import RUNTIME

from .browser import Demo

pytest.importorskip("onnxscript", reason="pip install 'primer-zoo[onnx]'")
(CLASSIFIER,) = TABS["classify"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory, vendor, serve):
    """(the model, the folder of a page with it alone, its address)."""
    from zoo.export import onnx_format

    model = tiny_model("fashion_cnn", "image_classification", image_size=28, num_labels=10).eval()
    export = tmp_path_factory.mktemp("export")
    onnx_format.write(model, export, "float32")
    for name in ("config.json", "preprocessor_config.json"):  # ten labels, and the processor
        shutil.copy(f"{zoo.pretrained(CLASSIFIER)}/{name}", export / name)
    page = tmp_path_factory.mktemp("tiny") / "page"
    shutil.copytree(PAGE, page)
    shutil.copytree(vendor, page / "vendor")
    write_models({CLASSIFIER: describe(CLASSIFIER, export)}, page / "vendor" / RUNTIME, page)
    return model, page, serve(page)


@pytest.fixture
def demo(chromium, tiny):
    """The page, on a desktop screen."""
    _, page, address = tiny
    demo = Demo(chromium, address, page)
    demo.size(1280, 900, mobile=False)
    yield demo
    demo.network()


def test_a_picture_gets_pytorchs_probabilities(demo, tiny):
    from transformers import AutoImageProcessor

    picture = Image.open(PAGE / "examples" / "garments.png").crop((28, 0, 56, 28))
    with torch.no_grad():
        inputs = AutoImageProcessor.from_pretrained(zoo.pretrained(CLASSIFIER))(picture, return_tensors="pt")
        expected = tiny[0](**inputs).logits.softmax(-1)[0].numpy()
    demo.open("classify")
    before = demo.wait("document.querySelector('#garment-bars').dataset.probabilities")
    demo.click("#garment-shelf button:nth-child(2)")
    demo.wait(f"document.querySelector('#garment-bars').dataset.probabilities !== {before!r}")
    found = json.loads(demo.run("document.querySelector('#garment-bars').dataset.probabilities"))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_bars_move_while_one_draws(demo):
    from selenium.webdriver import ActionChains

    demo.open("classify")
    demo.click("#clear")
    demo.wait("document.querySelector('#garment-verdict').textContent === 'Nothing drawn yet'")
    canvas = demo.driver.find_element("id", "garment")
    actions = ActionChains(demo.driver).move_to_element_with_offset(canvas, -40, -120).click_and_hold()
    actions.move_by_offset(0, 240).release().perform()
    demo.wait("document.querySelector('#garment-verdict').textContent !== 'Nothing drawn yet'")
    # With the mirror on, the stroke is on both sides.
    pixels = demo.run("[...document.querySelector('#garment').getContext('2d').getImageData(0, 14, 28, 1).data]")[::4]
    assert pixels == pixels[::-1]
    assert max(pixels) > 0


def test_it_works_by_keys_alone(demo):
    from selenium.webdriver.common.keys import Keys

    demo.open("classify")
    demo.wait("document.querySelector('#tab-forecast').hidden")
    demo.run("document.querySelector('#tab-classify').focus()")
    demo.press(Keys.ARROW_RIGHT)  # there is no other tab
    assert demo.run("document.activeElement.id") == "tab-classify"
    demo.click("#clear")
    demo.run("document.querySelector('#garment').focus()")
    demo.press(Keys.ARROW_DOWN, " ")
    demo.wait("document.querySelector('#garment-verdict').textContent !== 'Nothing drawn yet'")
    demo.press("z")
    demo.wait("document.querySelector('#garment-verdict').textContent === 'Nothing drawn yet'")
    demo.press("e")
    assert demo.run("document.querySelector('input[name=tool]:checked').value") == "eraser"


def test_a_damaged_model_is_explained_and_tried_again(demo):
    demo.forget()
    file = demo.page / "models" / CLASSIFIER / "model.onnx"
    content = file.read_bytes()
    try:
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        demo.open("classify", "failed")
        assert "model.onnx is damaged" in demo.text("#panel-classify .notice")
    finally:
        file.write_bytes(content)
    demo.click("#panel-classify .notice button")
    demo.wait("document.documentElement.dataset.classify === 'ready'")
    assert not demo.run("document.querySelector('#panel-classify .notice')")


def test_the_console_is_clean(demo):
    demo.driver.get_log("browser")
    demo.open("classify")
    assert demo.driver.get_log("browser") == []


def test_a_wrong_file_that_is_dropped_is_named(demo):
    demo.open("classify")
    demo.drop("#garment", "notes.txt", "no picture")
    demo.wait("document.querySelector('#garment-message').textContent.startsWith('notes.txt is not a picture')")
    assert demo.run("location.hash") == "#classify"
