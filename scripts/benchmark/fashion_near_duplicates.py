"""python scripts/benchmark/fashion_near_duplicates.py

How many validation and test images of Fashion-MNIST have a near-duplicate among the 55,000 training images, and how
accurate the shipped fashion-cnn is on images with and without one. Similarity is the correlation of two images'
pixels, of the image or its mirror image, so brightness and contrast do not matter. Two minutes on one core.
"""

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import AutoImageProcessor, AutoModelForImageClassification

import zoo
from zoo.tasks.image_classification import ImageClassificationTask
from zoo.tasks.image_classification.arguments import ImageClassificationArguments

# From these correlations on, a pair counts as near-duplicates.
LEVELS = (0.99, 0.98, 0.95)


def standardized(images: np.ndarray) -> torch.Tensor:
    """(images, pixels) of mean 0 and length 1, so that a product of two rows is their correlation."""
    pixels = torch.from_numpy(images.reshape(len(images), -1)).float()
    return torch.nn.functional.normalize(pixels - pixels.mean(1, keepdim=True))


def closest(images: np.ndarray, train: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """For each image, the highest correlation with a training image, and that image's number."""
    similarity, number = torch.full((len(images),), -1.0), torch.zeros(len(images), dtype=torch.long)
    for view in (standardized(images), standardized(images[..., ::-1].copy())):
        best = [(part @ train.T).max(1) for part in view.split(500)]
        values, indices = (torch.cat([getattr(part, name) for part in best]) for name in ("values", "indices"))
        better = values > similarity
        similarity, number = torch.where(better, values, similarity), torch.where(better, indices, number)
    return similarity, number


@torch.no_grad()
def main() -> None:
    """Print a row for each split and level."""
    folder = zoo.pretrained("fashion-cnn")
    model = AutoModelForImageClassification.from_pretrained(folder).eval()
    task = ImageClassificationTask(ImageClassificationArguments(dataset_name="fashion-mnist"))
    data = task.load_data(model.config)
    task.attach(model, AutoImageProcessor.from_pretrained(folder))
    train = standardized(data.train.split.images)
    print(
        "| split | correlation of at least | images | share | with the same label | accuracy with | without |\n"
        + "|---" * 7
        + "|"
    )
    for name in ("validation", "test"):
        dataset = data.splits()[name]
        labels = torch.from_numpy(dataset.split.labels)
        similarity, number = closest(dataset.split.images, train)
        agrees = labels == torch.from_numpy(data.train.split.labels)[number]
        batches = DataLoader(dataset, batch_size=500, collate_fn=task.collate)
        right = torch.cat([model(batch["pixel_values"]).logits.argmax(-1) for batch in batches]) == labels
        for level in LEVELS:
            near = similarity >= level
            shares = [part.float().mean().item() for part in (near, agrees[near], right[near], right[~near])]
            share, same, accuracy, rest = (f"{value:.4f}" for value in shares)
            print(f"| {name} | {level} | {int(near.sum()):,} | {share} | {same} | {accuracy} | {rest} |", flush=True)


if __name__ == "__main__":
    main()
