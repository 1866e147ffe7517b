"""R-Drop: a model learns to answer the same whichever of its neurons dropout leaves out."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from .distillation import IGNORED


def symmetric_divergence(first: Any, second: Any, inputs: Mapping[str, Tensor]) -> Tensor:
    """KL(first ‖ second) + KL(second ‖ first) of the probabilities, which is the sum of (p - q) (log p - log q).

    It is for classifiers with one label a row and for encoder-decoders.

    Args:
        first: Outputs of a model; `logits` (`torch.Tensor` of shape `(batch, ..., classes)`).
        second: Other outputs for the same batch.
        inputs: The batch. Where `labels` (`torch.LongTensor` of shape `(batch, ...)`) are -100, nothing is compared.

    Returns:
        `torch.Tensor` of shape `()`: The mean over rows or tokens, in nats.
    """
    p, q = (outputs.logits.log_softmax(-1, dtype=torch.float32) for outputs in (first, second))
    divergences, labels = ((p.exp() - q.exp()) * (p - q)).sum(-1), inputs.get("labels")
    if labels is not None and labels.shape == divergences.shape:  # labels may also be probabilities of classes
        divergences = divergences[labels != IGNORED]
    return divergences.sum() / max(divergences.numel(), 1)


class RDrop:
    """The loss of R-Drop (Liang et al., 2021, arXiv:2106.14448, equation 4), as the mean of the two passes.

    Each batch passes through the model twice, with different dropout, and
    `loss + alpha / 4 * (KL(first ‖ second) + KL(second ‖ first))` is minimised. The paper sums the two losses of the
    labels; half of its loss keeps the learning rates of a recipe. Both passes are one batch of twice the rows, so a
    step takes about twice the time and memory. A model without dropout learns nothing from it.

    Args:
        alpha: The paper's weight; it uses 5 for translation, .7 for summarization and .6 for images.
        distance_func: (outputs of the first pass, of the second, batch) -> their distance, both ways added up; a mean
            over the batch. Default: [`symmetric_divergence`].

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
        return {
            name: torch.cat([value, value]) if isinstance(value, Tensor) and value.ndim else value
            for name, value in inputs.items()
        }

    def loss(self, outputs: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """What is added to the loss of the labels.

        Args:
            outputs: Of the model for `twice(inputs)`.
            inputs: The batch.

        Returns:
            `torch.Tensor` of shape `()`: A mean over the rows or tokens of the batch.
        """
        rows = len(next(value for value in inputs.values() if isinstance(value, Tensor) and value.ndim))
        first, second = (
            type(outputs)(
                **{
                    name: value[part]
                    for name, value in outputs.items()
                    if isinstance(value, Tensor) and value.ndim and len(value) == 2 * rows
                }
            )
            for part in (slice(rows), slice(rows, None))
        )
        return self.alpha / 4 * self.distance_func(first, second, inputs)


__all__ = ["RDrop", "symmetric_divergence"]
