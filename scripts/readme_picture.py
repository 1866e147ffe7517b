"""python scripts/readme_picture.py [FILE]

Draws the picture of the README, docs/images/zoo.png: what four of the shipped models do with examples that they were
not trained on. It needs Fashion-MNIST, M4 and the Arabic speech commands in $ZOO_DATA, and
matplotlib 3.11 or newer, which joins Arabic letters.
"""

import io
import sys
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import soundfile
import torch
from matplotlib.colors import LinearSegmentedColormap
from PIL import Image
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

import zoo
from zoo.data.audio import load_named_speech
from zoo.data.fashion_mnist import load_fashion_mnist
from zoo.data.named_series import load_named_series

BLUE, ORANGE, INK, GREY = "#3f51b5", "#ff7043", "#263238", "#78909c"
SERIES = 40
SENTENCE = "Two young men are playing football in the park."
WORDS = {"ابدأ": "start", "يمين": "right", "توقف": "stop"}
BLUES = LinearSegmentedColormap.from_list("blues", ["#ffffff", "#9fa8da", BLUE, "#1a237e"])
NIGHT = LinearSegmentedColormap.from_list("night", ["#14163a", "#303f9f", "#7e57c2", ORANGE, "#ffe0b2"])


def heading(figure: Any, x: float, y: float, title: str, model: str) -> None:
    """The title of a panel and, below it, the id of its model."""
    figure.text(x, y, title, fontsize=15, fontweight="bold", color=INK, va="bottom")
    figure.text(x, y - 0.008, model, fontsize=10.5, color=GREY, va="top", family="monospace")


def draw_garments(axes: Any) -> None:
    """The first test image of each class, with the class that the model names."""
    splits = load_fashion_mnist()
    classify = pipeline("image-classification", model=zoo.pretrained("fashion-cnn"))
    for number, place in enumerate(axes):
        image = splits.test.images[int(np.flatnonzero(splits.test.labels == number)[0])][0]
        best = classify(Image.fromarray(image))[0]
        right = best["label"] == splits.labels[number]
        place.imshow(image, cmap="Greys", interpolation="nearest")
        place.set_title(best["label"], fontsize=10.5, color=INK if right else ORANGE, pad=5)
        place.text(0.5, -0.04, f"{best['score']:.0%}", fontsize=9.5, color=GREY, ha="center", va="top",
                   transform=place.transAxes)  # fmt: skip
        place.axis("off")


def draw_forecast(axes: Any) -> None:
    """Two days ahead, with the intervals and what really came."""
    values = load_named_series("m4-hourly").item(SERIES)[:, 0]
    history, future = values[:-48], values[-48:]
    forecast = pipeline("time-series-forecasting", model=zoo.pretrained("lstm-forecaster-m4-hourly"))
    table = forecast(history.tolist())
    before, after = np.arange(-119, 1), np.arange(1, 49)
    axes.axvline(0.5, color=GREY, lw=0.8, ls=(0, (2, 3)))
    for low, high, alpha, name in (
        ("0.025", "0.975", 0.16, "95%"),
        ("0.1", "0.9", 0.24, "80%"),
        ("0.25", "0.75", 0.36, "50%"),
    ):
        axes.fill_between(after, table[low], table[high], color=BLUE, alpha=alpha, lw=0, label=name)
    axes.plot(before, history[-120:], color=INK, lw=1.4)
    axes.plot(after, future, color=INK, lw=1.4, ls=(0, (3, 1.5)), label="truth")
    axes.plot(after, table["predictions"], color=ORANGE, lw=1.9, label="forecast")
    axes.set_xlim(-119, 49)
    axes.set_xticks([-96, -72, -48, -24, 0, 24, 48], ["-4 days", "", "-2 days", "", "now", "", "+2 days"], fontsize=10)
    axes.tick_params(length=0, colors=GREY)
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.legend(loc="upper left", ncols=5, frameon=False, fontsize=9.5, labelcolor=INK, handlelength=1.2,
                columnspacing=1.0, handletextpad=0.4, borderaxespad=0, bbox_to_anchor=(0, 1.09))  # fmt: skip


def draw_translation(axes: Any) -> None:
    """Where the decoder looks in the source while it writes each token."""
    path = zoo.pretrained("transformer-translator-en-de")
    tokenizer, model = AutoTokenizer.from_pretrained(path), AutoModelForSeq2SeqLM.from_pretrained(path).eval()
    source = tokenizer(SENTENCE, return_tensors="pt")
    model.set_attn_implementation("eager")
    with torch.no_grad():
        target = model.generate(**source, num_beams=5)
        outputs = model(**source, decoder_input_ids=target[:, :-1], output_attentions=True)
    weights = outputs.cross_attentions[-1][0].mean(0)[:, :-1]  # (target, source) without the end of the source
    names = [tokenizer.convert_ids_to_tokens(ids.tolist()) for ids in (source["input_ids"][0, :-1], target[0, 1:])]
    source_names, target_names = ([name.replace("▁", "") or "▁" for name in row] for row in names)
    weights = weights[: len(target_names) - 1] / weights[: len(target_names) - 1].max()
    axes.imshow(weights, cmap=BLUES, aspect="auto", vmin=0)
    axes.set_xticks(
        range(len(source_names)), source_names, fontsize=10.5, rotation=35, ha="left", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(target_names) - 1), target_names[:-1], fontsize=10.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK)
    axes.set_xticks(np.arange(len(source_names) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(target_names)) - 0.5, minor=True)
    axes.grid(which="minor", color="white", lw=1.5)
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def draw_speech(axes: Any) -> None:
    """The spectrogram of three commands by a test speaker, and what the model writes."""
    test = load_named_speech("arabic-speech-commands")["test"]
    speakers = test.speakers or []
    clips, rate = [], 0
    for word in WORDS:
        row = next(row for row, text in enumerate(test.texts) if text == word and speakers[row] == speakers[0])
        sound = test.sounds[row]
        samples, rate = soundfile.read(io.BytesIO(sound) if isinstance(sound, bytes) else sound)
        clips.append(samples)
    transcribe = pipeline("automatic-speech-recognition", model=zoo.pretrained("speech-commands-arabic"))
    sound = np.concatenate(clips).astype(np.float32)
    text = transcribe({"array": sound, "sampling_rate": rate})["text"]
    features = transcribe.feature_extractor.log_mel([transcribe.feature_extractor.prepare(sound, rate)])[0]
    seconds = len(sound) / rate
    low, high = np.percentile(features, [8, 99.7])
    axes.imshow(features.T, origin="lower", aspect="auto", cmap=NIGHT, vmin=low, vmax=high,
                extent=(0, seconds, 0, features.shape[1]), interpolation="bilinear")  # fmt: skip
    axes.set_yticks([])
    axes.set_xticks([])
    axes.spines[:].set_visible(False)
    middle = np.cumsum([0, *map(len, clips)]) / rate
    for number, word in enumerate(text.split()):
        x = (
            (middle[number] + middle[number + 1]) / 2
            if len(text.split()) == len(clips)
            else (number + 1) * seconds / 4
        )
        axes.text(x, -2.2, word, fontsize=19, color=INK, ha="center", va="top")
        axes.text(x, -9.2, WORDS.get(word, ""), fontsize=10.5, color=GREY, ha="center", va="top")


def main(file: Path) -> None:
    """Draw the four panels and save them with 128 colours."""
    plt.rcParams.update({"font.family": "DejaVu Sans"})
    figure = plt.figure(figsize=(12.8, 7.9), dpi=125, facecolor="white")
    left, right, upper, lower = 0.03, 0.53, 0.945, 0.445
    heading(figure, left, upper, "Images to classes", "fashion-cnn")
    heading(figure, right, upper, "Series to forecasts", "lstm-forecaster-m4-hourly")
    heading(figure, left, lower, "Sentences to sentences", "transformer-translator-en-de")
    heading(figure, right, lower, "Speech to text", "speech-commands-arabic")
    draw_garments([figure.add_axes((left + 0.09 * (n % 5), 0.725 - 0.2 * (n // 5), 0.08, 0.13)) for n in range(10)])
    draw_forecast(figure.add_axes((right, 0.53, 0.44, 0.33)))
    draw_translation(figure.add_axes((left + 0.06, 0.03, 0.37, 0.30)))
    draw_speech(figure.add_axes((right, 0.125, 0.44, 0.265)))
    whole = io.BytesIO()
    figure.savefig(whole)
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.open(whole).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    print(f"{file}: {file.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs/images/zoo.png"))
