"""The page's own preprocessing gives what Python's gives; runs in node, without a browser."""

import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

import zoo
from zoo.demo.build import PAGE

pytestmark = pytest.mark.skipif(shutil.which("node") is None, reason="no node: run `apt-get install nodejs`")
SCRIPT = Path(__file__).with_name("scripts.mjs")


def call(module: str, name: str, *arguments, key: str = "result"):
    """The result of a function of a module of the page; `key="error"` for its error."""
    content = json.dumps(arguments).replace("NaN", '"NaN"')
    run = subprocess.run(
        ["node", SCRIPT, PAGE / module, name], input=content, capture_output=True, text=True, check=True
    )
    answer = json.loads(run.stdout)
    assert key in answer, answer
    return answer[key]


@pytest.fixture(scope="module")
def extractor():
    from zoo.models.speech_transformer import SpeechTransformerFeatureExtractor

    return SpeechTransformerFeatureExtractor.from_pretrained(zoo.pretrained("speech-commands-arabic"))


@pytest.mark.parametrize("sound", ["clip", "noise", "silence", "short"])
def test_log_mel_features_are_the_extractors(extractor, sound):
    samples = {
        "clip": soundfile.read(PAGE / "examples" / "clip-start.flac", dtype="float32")[0],
        "noise": np.random.default_rng(0).normal(0, 0.1, 7001).astype(np.float32),
        "silence": np.zeros(3200, np.float32),
        "short": np.random.default_rng(1).normal(0, 0.1, 150).astype(np.float32),
    }[sound]
    expected = extractor(samples, sampling_rate=16000, return_tensors="np")["input_features"][0]
    result = call("sound.js", "extract", samples.tolist(), extractor.to_dict())
    features = np.array(result["features"]).reshape(result["frames"], -1)
    np.testing.assert_allclose(features, expected, atol=1e-3)


def test_the_loudest_second_holds_the_word():
    samples = np.zeros(32000)
    samples[20000:26000] = 0.5
    kept = call("sound.js", "loudest", samples.tolist(), 16000)
    assert len(kept) == 16000
    assert np.count_nonzero(kept) == 6000
    assert abs(np.flatnonzero(kept).mean() - 8000) < 500


@pytest.mark.parametrize("size", [28, 40, 97, 11])
def test_pictures_are_resized_as_pil_does_it(size):
    pixels = np.random.default_rng(size).integers(0, 256, (size, size), np.uint8)
    expected = np.asarray(Image.fromarray(pixels).resize((28, 28), Image.Resampling.BILINEAR))
    assert call("image.js", "resize", pixels.ravel().tolist(), size, size, 28) == expected.ravel().tolist()


def test_pictures_are_normalized_as_the_processor_does_it():
    from transformers import AutoImageProcessor

    folder = zoo.pretrained("fashion-cnn")
    picture = Image.open(io.BytesIO((PAGE / "examples" / "garments.png").read_bytes())).crop((0, 0, 28, 28))
    expected = AutoImageProcessor.from_pretrained(folder)(picture, return_tensors="np")["pixel_values"].ravel()
    settings = json.loads((Path(folder) / "preprocessor_config.json").read_text())
    result = call("image.js", "normalize", np.asarray(picture).ravel().tolist(), settings)
    np.testing.assert_allclose(result, expected, atol=1e-6)


def test_intervals_are_calibrated_as_in_python():
    from zoo.tasks.forecasting.conformal import window_spread
    from zoo.tasks.forecasting.forecast import Forecast
    from zoo.tasks.forecasting.processor import SeriesProcessor

    processor = SeriesProcessor.from_pretrained(zoo.pretrained("lstm-forecaster-m4-hourly"))
    levels = [0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.975]
    random = np.random.default_rng(0)
    quantiles = np.sort(random.normal(0, 3, (48, len(levels))), axis=1)  # some below the floor of 0
    values = random.normal(10, 2, 240)
    observed = np.ones(240, bool)
    observed[5:9] = False
    scale = window_spread(values[None, :, None], observed[None, :, None])
    forecast = Forecast(quantiles[None, :, 6, None], np.moveaxis(quantiles, 1, 0)[:, None, :, None], levels)
    expected = processor.intervals.apply(forecast, scale)
    window = {"values": np.where(observed, values, np.nan).tolist(), "observed": observed.astype(int).tolist()}
    unit = call("series.js", "spread", window)
    assert unit == pytest.approx(float(scale[0, 0, 0]), rel=1e-6)
    result = call("series.js", "calibrate", quantiles.tolist(), levels, processor.calibration, unit)
    np.testing.assert_allclose(result["levels"], expected.levels)
    np.testing.assert_allclose(result["quantiles"], expected.quantiles[:, 0, :, 0].T, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("text", "names", "values"),
    [
        ("1\n2\n\n4\n", ["values"], [[1, 2, None, 4]]),
        ("1, 2, 3.5", ["values"], [[1, 2, 3.5]]),
        ("1 2 3", ["values"], [[1, 2, 3]]),
        ("load\n1.5\nNA\n2", ["load"], [[1.5, None, 2]]),
        ("date,load,price\n2024-01-01 00:00,5,7\n2024-01-01 01:00,6,8", ["load", "price"], [[5, 6], [7, 8]]),
        ("Zeit;Last\n01.01.2024;1.234,5\n02.01.2024;7,25", ["Last"], [[1234.5, 7.25]]),
        ("Last\n1,5\n2,25", ["Last"], [[1.5, 2.25]]),
        ("1,5\nNA\n\n2,25", ["values"], [[1.5, None, None, 2.25]]),
        ('"a"\t"b"\n1\t2\n3\t4', ["a", "b"], [[1, 3], [2, 4]]),
        ("1e3\n-2\n+.5", ["values"], [[1000, -2, 0.5]]),
    ],
    ids=range(10),
)
def test_pasted_columns_are_read(text, names, values):
    columns = call("series.js", "readColumns", text)
    assert [column["name"] for column in columns] == names
    assert [[None if x == "NaN" else x for x in column["values"]] for column in columns] == values


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no numbers"), ("1\n2\nthree\n4", "Line 3: expected a number, found “three”"), ("a\nb", "No column")],
)
def test_bad_columns_are_explained(text, message):
    assert message in call("series.js", "readColumns", text, key="error")


@pytest.mark.parametrize(
    ("values", "message"), [([5.0] * 30 + [-1.0], "Value 31 is -1"), ([5.0] * 7, "7 values are too few")]
)
def test_series_that_the_model_cannot_read_are_refused(values, message):
    config = {"log_values": True, "patch_length": 24, "context_length": 240}
    assert message in call("series.js", "checkSeries", values, config, key="error")


def test_a_short_series_is_padded_with_missing_values():
    window = call("series.js", "window", [1.0, float("nan"), 3.0], 5)
    assert window == {"values": ["NaN", "NaN", 1, "NaN", 3], "observed": [0, 0, 1, 0, 1]}


def test_tokens_are_those_of_the_python_tokenizer(page, tmp_path):
    """Sentences of every kind, with characters that the normalizer changes."""
    from transformers import AutoTokenizer

    sentences = [
        "A little girl in a red coat is feeding the ducks.",
        "  Two   men, “quoted” … ½ cup — naïve café ﬁne № 5 Ｆｕｌｌ ",
        "Ein Mann fährt mit dem Fahrrad durch Köln-Süd.",
        "日本 emoji 🦓 and\ttabs",
        "x",
    ]
    for model_id in ("transformer-translator-en-de", "rnn-translator-de-en"):
        folder = page / "models" / model_id
        code = (
            f"import {{ Tokenizer }} from {json.dumps((page / 'vendor' / 'tokenizers.min.mjs').as_uri())};"
            "import { readFileSync as read } from 'node:fs';"
            f"const load = (name) => JSON.parse(read({json.dumps(str(folder))} + '/' + name));"
            "const tokenizer = new Tokenizer(load('tokenizer.json'), load('tokenizer_config.json'));"
            f"console.log(JSON.stringify({json.dumps(sentences)}.map((text) => tokenizer.encode(text.trim()).ids)));"
        )
        run = subprocess.run(["node", "--input-type=module", "-e", code], capture_output=True, text=True, check=True)
        assert json.loads(run.stdout) == AutoTokenizer.from_pretrained(folder)(sentences)["input_ids"]
