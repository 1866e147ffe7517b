"""python examples/use_models.py [PICTURE]

Use the shipped models in your own code: classify a picture, forecast a series, translate a sentence.
"""

import sys

import numpy as np
import torch
from PIL import Image, ImageDraw
from transformers import AutoImageProcessor, AutoModelForImageClassification, pipeline

import zoo  # registers the models and pipelines with transformers


def draw_trousers() -> Image.Image:
    """A picture as Fashion-MNIST has them: bright on black."""
    image = Image.new("L", (28, 28))
    draw = ImageDraw.Draw(image)
    for box in ((9, 2, 19, 8), (9, 8, 13, 26), (15, 8, 19, 26)):  # waist and legs
        draw.rectangle(box, fill=180)
    return image


def classify(image: Image.Image) -> str:
    """The most likely class, by model and processor as in every transformers script."""
    path = zoo.pretrained("fashion-cnn")
    processor = AutoImageProcessor.from_pretrained(path)
    model = AutoModelForImageClassification.from_pretrained(path).eval()
    with torch.no_grad():
        probabilities = model(**processor(image.convert("L"), return_tensors="pt")).logits.softmax(-1)[0]
    return f"{model.config.id2label[int(probabilities.argmax())]} ({probabilities.max():.0%})"


def main(picture: str | None = None) -> None:
    """Print three answers."""
    print("picture:", classify(Image.open(picture) if picture else draw_trousers()))

    hours = np.arange(14 * 24)
    forecast = pipeline("time-series-forecasting", model=zoo.pretrained("lstm-forecaster-m4-hourly"))
    frame = forecast(100 + 30 * np.sin(2 * np.pi * hours / 24))  # a pandas frame with quantiles
    print(frame.head(3).round(1).to_string(index=False))

    translate = pipeline("translation", model=zoo.pretrained("transformer-translator-en-de"))
    print("translation:", translate("Two young men are playing football in the park.")[0]["translation_text"])


if __name__ == "__main__":
    main(*sys.argv[1:])
