"""python scripts/benchmark/batch_inference.py [--model fashion-cnn-plain] [--rows 2000] [--workers 2]

Rows a second of one model over many images: a plain loop, `datasets.map`, and Ray Data with some workers, in one run.
Each process has one thread. Loading the model counts for none of them, starting Ray's workers counts for Ray Data.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoImageProcessor, AutoModelForImageClassification
from transformers.utils.logging import disable_progress_bar

from zoo.data.fashion_mnist import load_fashion_mnist
from zoo.training.weights import find_model


class Classify:
    """Batches of images in, batches of class numbers out: what each of the three ways calls."""

    def __init__(self, model: str):
        torch.set_num_threads(1)
        path = find_model(model)  # a name or a folder; in Ray's workers its import registers the classes
        self.processor = AutoImageProcessor.from_pretrained(path)
        self.model = AutoModelForImageClassification.from_pretrained(path).eval()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        images = list(np.asarray(batch["image"]))
        with torch.inference_mode():
            logits = self.model(**self.processor(images, return_tensors="pt")).logits
        return {"label": logits.argmax(-1).numpy()}


def plain_loop(images: np.ndarray, model: str, batch_size: int) -> Callable[[], Any]:
    classify = Classify(model)

    def work() -> np.ndarray:
        starts = range(0, len(images), batch_size)
        return np.concatenate([classify({"image": images[i : i + batch_size]})["label"] for i in starts])

    return work


def datasets_map(images: np.ndarray, model: str, batch_size: int) -> Callable[[], Any]:
    classify = Classify(model)
    rows = Dataset.from_dict({"image": images}).with_format("numpy")
    options: dict[str, Any] = {"batched": True, "batch_size": batch_size, "remove_columns": ["image"]}
    return lambda: np.asarray(rows.map(classify, load_from_cache_file=False, **options)["label"])


def ray_data(images: np.ndarray, model: str, batch_size: int, workers: int) -> Callable[[], Any]:
    import ray

    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.DataContext.get_current().execution_options.preserve_order = True
    rows = ray.data.from_items([{"image": image} for image in images], override_num_blocks=4 * workers)
    options: dict[str, Any] = {"fn_constructor_args": (model,), "batch_size": batch_size, "concurrency": workers}
    return lambda: np.array([row["label"] for row in rows.map_batches(Classify, **options).take_all()])


def main(model: str, rows: int, batch_size: int, workers: int) -> None:
    """Print one line for each way."""
    disable_progress_bars()
    disable_progress_bar()
    images = load_fashion_mnist().test.images[:rows]
    ways = {
        "plain loop": plain_loop(images, model, batch_size),
        "datasets.map": datasets_map(images, model, batch_size),
        f"Ray Data, {workers}": ray_data(images, model, batch_size, workers),
    }
    first = ways["plain loop"]()  # also warms up
    base = 0.0
    for name, work in ways.items():
        start = time.perf_counter()
        labels = work()
        rate = len(labels) / (time.perf_counter() - start)
        base = base or rate
        same = (labels == first).mean()
        print(
            f"{name:14} {rate:8.0f} rows/s {rate / base:6.2f}x   {same:.1%} of the answers are the loop's", flush=True
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fashion-cnn-plain")
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--batch_size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    main(**vars(parser.parse_args()))
