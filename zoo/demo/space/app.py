"""A Gradio demo of four models: classify a drawing, forecast a series, translate a sentence, recognize a command."""

import re
from collections.abc import Callable
from functools import cache, wraps
from pathlib import Path
from typing import Any

import numpy as np

import zoo

TRANSLATORS = {
    "English to German (Transformer)": "transformer-translator-en-de",
    "German to English (recurrent net)": "rnn-translator-de-en",
}
SENTENCES = [
    ["A little girl in a red coat is feeding the ducks.", "English to German (Transformer)"],
    ["Zwei Kinder spielen im Schnee mit einem braunen Hund.", "German to English (recurrent net)"],
]


@cache
def load(name: str, task: str) -> Any:
    """The pipeline of a model, loaded once."""
    from transformers import pipeline

    return pipeline(task, model=zoo.pretrained(name))


@cache
def load_translator(name: str) -> Any:
    """The pipeline of a translator, loaded once."""
    from zoo.tasks.translation.translator import load

    return load(zoo.pretrained(name))


def classify(drawing: Any) -> dict[str, float]:
    """Probabilities of the ten garments.

    Args:
        drawing: A PIL image, or what Gradio's sketchpad returns.
    """
    image = drawing["composite"] if isinstance(drawing, dict) else drawing
    if image is None:
        return {}
    answers = load("fashion-cnn", "image-classification")(image, top_k=10)
    return {answer["label"]: answer["score"] for answer in answers}


def read_values(text: str) -> list[float]:
    """Numbers, separated by lines, commas or spaces; "nan" is missing.

    Raises:
        ValueError: Something is no number, or the numbers are too few.
    """
    values = []
    for number, word in enumerate(re.split(r"[\s,;]+", text.strip()), 1):
        try:
            values.append(float(word))
        except ValueError:
            raise ValueError(f"value {number}: expected a number, found {word[:30]!r}") from None
    if len(values) < 24:
        raise ValueError(f"{len(values)} values are too few for a forecast: give at least 24, better 240")
    return values


def forecast(text: str) -> tuple[Any, Any]:
    """A plot of the next 48 hours, and their table.

    Args:
        text: One value an hour.
    """
    from matplotlib.figure import Figure

    values = read_values(text)
    table = load("lstm-forecaster-m4-hourly", "time-series-forecasting")(values)
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    past, ahead = np.array(values[-144:]), np.arange(1, len(table) + 1)
    axes.plot(np.arange(1 - len(past), 1), past, color="0.15", linewidth=1.2, label="history")
    for low, high, alpha in (("0.025", "0.975", 0.15), ("0.1", "0.9", 0.22), ("0.25", "0.75", 0.3)):
        share = float(high) - float(low)
        axes.fill_between(
            ahead, table[low], table[high], color="#0c6a48", alpha=alpha, linewidth=0, label=f"{share:.0%}"
        )
    axes.plot(ahead, table["predictions"], color="#0c6a48", label="forecast")
    axes.set(xlabel="hours from now")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=5, loc="upper left")
    return figure, table.drop(columns=["item_id", "target"]).round(2)


def translate(sentence: str, direction: str) -> tuple[str, Any]:
    """The greedy translation, and a plot of the attention.

    Args:
        sentence: At most 128 tokens.
        direction: A key of `TRANSLATORS`.

    Raises:
        ValueError: There is no sentence, or it is too long.
    """
    from matplotlib.figure import Figure

    if not sentence or not sentence.strip():
        raise ValueError("Type a sentence first, or take one of the examples.")
    translator = load_translator(TRANSLATORS[direction])
    tokenizer, model = translator.tokenizer, translator.model
    inputs = tokenizer(sentence, return_tensors="pt", verbose=False)
    length, limit = inputs["input_ids"].shape[1], tokenizer.model_max_length
    if length > limit:
        raise ValueError(f"The sentence has {length} tokens; the network reads {limit}. Shorten it.")
    output = model.generate(
        **inputs, num_beams=1, length_penalty=1.0, early_stopping=False, return_dict_in_generate=True,
        output_attentions=True,
    )  # fmt: skip
    tokens = output.sequences[0, 1:]
    # Of each step the mean over the last layer's heads.
    weights = np.stack([step[-1][0].float().mean(0)[-1].numpy() for step in output.cross_attentions])
    names = [
        [token.replace("▁", "") or "␣" for token in tokenizer.convert_ids_to_tokens(ids)]
        for ids in (inputs["input_ids"][0], tokens)
    ]
    figure = Figure(figsize=(1.5 + 0.42 * len(names[0]), 1 + 0.34 * len(names[1])), layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights, cmap="Greens", vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(len(names[0])), names[0], rotation=50, ha="left")
    axes.set_yticks(range(len(names[1])), names[1])
    axes.xaxis.tick_top()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return tokenizer.decode(tokens, skip_special_tokens=True).strip(), figure


def listen(recording: str | None) -> str:
    """The Arabic command that was said.

    Args:
        recording: Path of a sound file.

    Raises:
        ValueError: There is none, or no sound in it.
    """
    if recording is None:
        raise ValueError("Record a command first, or open a sound file.")
    try:
        return load("speech-commands-arabic", "automatic-speech-recognition")(recording)["text"]
    except ValueError as error:  # a visitor knows the file's name, not its folder on the server
        raise ValueError(str(error).replace(recording, Path(recording).name)) from None


def explained(function: Callable) -> Callable:
    """The function for Gradio: its errors become one line on the page, and no traceback in the log."""
    import gradio as gr

    @wraps(function)
    def call(*inputs: Any) -> Any:
        try:
            return function(*inputs)
        except (OSError, ValueError) as error:
            raise gr.Error(" ".join(str(error).split()), print_exception=False) from None

    return call


def example_series() -> str:
    """Two weeks of an hourly series that nobody measured."""
    hours = np.arange(24 * 14)
    noise = np.random.default_rng(7).normal(0, 12, len(hours))
    day = np.sin(2 * np.pi * (hours - 8) / 24) + 0.4 * np.sin(4 * np.pi * (hours - 2) / 24)
    values = (600 + 150 * day) * np.where(hours // 24 % 7 > 4, 0.85, 1) + noise
    return "\n".join(f"{value:.1f}" for value in values)


def make_app() -> Any:
    """The Gradio app."""
    import gradio as gr
    from PIL import Image

    with gr.Blocks(title="Classic networks") as app:
        gr.Markdown(
            "# Classic networks\nFour small models of the `primer-zoo` library. Translations are decoded greedily; "
            "the models' cards measure beam search."
        )
        with gr.Tab("Classify"):
            gr.Interface(
                explained(classify),
                gr.Sketchpad(
                    {"background": Image.new("RGB", (280, 280)), "layers": [], "composite": None},
                    type="pil",
                    label="A light garment on black, or a picture of one",
                    canvas_size=(280, 280),
                    brush=gr.Brush(default_size=18, colors=["#ffffff", "#a0a0a0"], color_mode="fixed"),
                ),
                gr.Label(num_top_classes=10, label="Probabilities"),
                live=True,
            )
        with gr.Tab("Forecast"):
            gr.Interface(
                explained(forecast),
                gr.Textbox(example_series(), lines=8, label="One value an hour, oldest first"),
                [gr.Plot(label="The next 48 hours"), gr.Dataframe(label="Table")],
            )
        with gr.Tab("Translate"):
            gr.Interface(
                explained(translate),
                [
                    gr.Textbox(label="Sentence"),
                    gr.Radio(list(TRANSLATORS), value=next(iter(TRANSLATORS)), label="Model"),
                ],
                [gr.Textbox(label="Translation"), gr.Plot(label="Attention")],
                examples=SENTENCES,
            )
        with gr.Tab("Listen"):
            gr.Interface(
                explained(listen),
                gr.Audio(sources=["microphone", "upload"], type="filepath", label="One of forty Arabic commands"),
                gr.Textbox(label="Heard", rtl=True),
            )
    return app


if __name__ == "__main__":
    make_app().launch(show_error=True)
