"""R-Drop: a model learns to answer a row the same way, whichever of its neurons dropout leaves out."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .distillation import IGNORED


def symmetric_divergence(first: Any, second: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """The mean of KL(p ‖ q) and KL(q ‖ p), where p and q are the probabilities of two outputs.

    It is for classifiers with one label a row and for encoder-decoders; other models need a function of their own.

    Args:
        first: Outputs of a model; `logits` (`torch.Tensor` of shape `(batch, ..., classes)`).
        second: Other outputs for the same batch.
        inputs: The batch. Where `labels` (`torch.LongTensor` of shape `(batch, ...)`) are -100, nothing is compared.

    Returns:
        `torch.Tensor` of shape `()`: The mean over rows or tokens, in nats.

    Raises:
        ValueError: The outputs have no logits, or those of one class.
    """
    logits = [outputs.get("logits") for outputs in (first, second)]
    if logits[0] is None or logits[1] is None or logits[0].shape[-1] == 1:
        raise ValueError(
            "r_drop_alpha compares probabilities of classes, and this model gives none: set distance_func"
        )
    log_p, log_q = (values.log_softmax(-1, dtype=torch.float32) for values in logits)
    # KL(p ‖ q) + KL(q ‖ p) is the sum of (p - q) (log p - log q).
    divergences = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(-1) / 2
    labels = inputs.get("labels")
    if labels is not None and labels.shape == divergences.shape:  # labels may also be probabilities of classes
        divergences = divergences[labels != IGNORED]
    return divergences.sum() / max(divergences.numel(), 1)


class RDrop:
    """The loss of R-Drop (Liang et al., 2021, arXiv:2106.14448, equation 4), halved.

    Each batch passes through the model twice, with different dropout. The loss is the mean of the two losses plus
    `alpha / 2` times the distance of the two outputs. The paper adds the two losses; this is half of it, so that the
    learning rate of a recipe still fits. Both passes are one batch of twice the rows. A model without dropout learns
    nothing from it.

    Args:
        alpha: The weight, as in the paper, which uses 5 for translation and .7 for summarization. Its .6 for images
            belongs to a program that adds up the distances of a batch: try more here.
        distance_func: (outputs of the first pass, of the second, batch) -> how far they differ, a mean over the batch;
            default: [`symmetric_divergence`]. Of the outputs it gets the tensors with a row for each row of the batch.

    Raises:
        ValueError: `alpha` is not positive.
    """

    def __init__(
        self,
        alpha: float,
        distance_func: Callable[[Any, Any, Mapping[str, Tensor]], Tensor] = symmetric_divergence,
    ):
        if alpha <= 0:
            raise ValueError(f"alpha={alpha} must be positive")
        self.alpha, self.distance_func = alpha, distance_func

    def twice(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with every row twice: all rows, then all rows again."""
        rows = rows_of(inputs)
        return {name: torch.cat([value, value]) if has_rows(value, rows) else value for name, value in inputs.items()}

    def loss(self, outputs: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """What is added to the loss of a step.

        Args:
            outputs: Of the model for `twice(inputs)`.
            inputs: The batch.

        Returns:
            `torch.Tensor` of shape `()`: A mean over the rows or tokens of the batch.
        """
        rows = rows_of(inputs)
        first, second = (part_of(outputs, rows, part) for part in (slice(rows), slice(rows, None)))
        return self.alpha / 2 * self.distance_func(first, second, inputs)


def rows_of(inputs: Mapping[str, Any]) -> int:
    """The rows of a batch: of its labels, or of its first tensor."""
    tensors = (value for value in (inputs.get("labels"), *inputs.values()) if isinstance(value, Tensor) and value.ndim)
    return len(next(tensors))


def has_rows(value: Any, rows: int) -> bool:
    """Whether it is a tensor with so many rows."""
    return isinstance(value, Tensor) and value.ndim > 0 and len(value) == rows


def part_of(outputs: Any, rows: int, part: slice) -> Any:
    """The outputs of some of `2 * rows` rows, without what is not a tensor of rows: the loss, or caches."""
    return type(outputs)(**{name: value[part] for name, value in outputs.items() if has_rows(value, 2 * rows)})


__all__ = ["RDrop", "symmetric_divergence"]
