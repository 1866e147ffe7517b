"""python scripts/classify.py MODEL [IMAGE ...]

Names the garments in pictures, or in one test image of each class without any. MODEL is a run's folder, the id of a
shipped model (`zoo list`) or a Hub id.
"""

import sys

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageClassification

import zoo
from zoo.commands import guarded
from zoo.data.fashion_mnist import load_fashion_mnist
from zoo.pretrained import shipped_models


def main(name: str, files: list[str]) -> None:
    """Print the two most likely classes of each picture."""
    path = zoo.pretrained(name) if name in shipped_models() else name
    processor = AutoImageProcessor.from_pretrained(path)
    model = AutoModelForImageClassification.from_pretrained(path).eval()
    if files:
        pictures = {file: Image.open(file) for file in files}
    else:
        splits = load_fashion_mnist()
        first = {splits.labels[label]: row for row, label in reversed(list(enumerate(splits.test.labels)))}
        pictures = {
            f"a test image of {label}": Image.fromarray(splits.test.images[first[label]][0]) for label in splits.labels
        }
    with torch.no_grad():
        shares = model(**processor(list(pictures.values()), return_tensors="pt")).logits.softmax(-1)
    for picture, row in zip(pictures, shares):
        best = [
            f"{model.config.id2label[int(number)]} {row[number]:.1%}" for number in row.argsort(descending=True)[:2]
        ]
        print(f"  {picture:32} -> {', '.join(best)}")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(f"usage: {__doc__.splitlines()[0]}")
    sys.exit(guarded(lambda arguments: main(arguments[0], arguments[1:]), sys.argv[1:]))
