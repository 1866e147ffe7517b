"""Moves the weights of a model to a copy of it that has another vocabulary."""

import copy
from typing import TYPE_CHECKING

import torch
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from .vocabulary import RowOrigins

# Noise of new rows that begin with the same mean, as a share of the standard deviation of the old rows.
NOISE = 0.1


def vocabulary_tensors(model: PreTrainedModel) -> list[str]:
    """Names of the tensors with a row for each token: embeddings, output layers and their biases.

    They are the ones that grow when the model is made once more, on the meta device, for one token more. So they are
    found in every family, tied or not and of any width.
    """
    config = copy.deepcopy(model.config)
    config.vocab_size += 1
    with torch.device("meta"):
        larger = type(model)(config).state_dict()
    return [name for name, value in model.state_dict().items() if value.shape[:1] != larger[name].shape[:1]]


def new_rows(table: torch.Tensor, origins: "RowOrigins", seed: int = 0) -> torch.Tensor:
    """Rows of the new vocabulary, of shape `(new tokens, ...)`, from a table of shape `(old tokens, ...)`."""
    means = {ids: table[list(ids)].mean(0) for ids in dict.fromkeys(origins.rows)}
    rows = torch.stack([means[ids] for ids in origins.rows])
    noisy = sorted(origins.noisy)
    if noisy:
        several = max((origins.rows[number] for number in noisy), key=len)
        spread = table[list(several)].std(0, unbiased=False)
        generator = torch.Generator().manual_seed(seed)
        rows[noisy] += NOISE * spread * torch.randn(rows[noisy].shape, generator=generator)
    return rows


@torch.no_grad()
def transplant(parent: PreTrainedModel, child: PreTrainedModel, origins: "RowOrigins", seed: int = 0) -> None:
    """Fill a new model with the weights of another that differs from it in its vocabulary alone.

    Args:
        parent: A trained model.
        child: A model of the same class for the new vocabulary; its weights are overwritten.
        origins: Where the rows of the new vocabulary come from.
        seed: Seed of the noise.

    Raises:
        ValueError: A vocabulary size does not match `origins`, or the models differ in more; the message names the
            tensor.
    """
    for model, size, name in ((parent, origins.old_size, "parent"), (child, len(origins.rows), "new model")):
        if model.config.vocab_size != size:
            raise ValueError(
                f"the {name} has rows for {model.config.vocab_size:,} tokens and its tokenizer {size:,} tokens: they "
                "do not belong together"
            )
    by_row, weights = set(vocabulary_tensors(child)), {}
    before, after = parent.state_dict(), child.state_dict()
    for name, value in after.items():
        weights[name] = new_rows(before[name], origins, seed) if name in by_row else before[name]
        if weights[name].shape != value.shape:
            raise ValueError(
                f"{name} is {tuple(before[name].shape)} in the parent and {tuple(value.shape)} in the new model: only "
                "the vocabulary may change"
            )
    child.load_state_dict(weights)


__all__ = ["new_rows", "transplant", "vocabulary_tensors"]
