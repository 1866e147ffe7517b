"""Knowledge distillation: a model learns from what trained models answer, beside the truth."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import kl_div
from transformers import PreTrainedModel

IGNORED = -100


def soft_label_loss(
    student: Any, teachers: Sequence[Any], inputs: Mapping[str, Tensor], temperature: float = 1.0
) -> Tensor:
    """Kullback-Leibler divergence from the teachers' mean probabilities (Hinton et al., 2015, arXiv:1503.02531).

    It is multiplied by the square of the temperature, so that its gradient does not shrink with it (section 2).

    Args:
        student: Outputs of the model that learns; `logits` (`torch.Tensor` of shape `(batch, ..., classes)`).
        teachers: Outputs of the trained models, with logits of the same shape.
        inputs: The batch. Where `labels` (`torch.LongTensor` of shape `(batch, ...)`) are -100, nothing is learned.
        temperature: Logits are divided by it: above 1, unlikely classes count more.

    Returns:
        `torch.Tensor` of shape `()`: The mean over rows or tokens, in nats.

    Raises:
        ValueError: A teacher's logits have another shape.
    """
    logits = student.logits
    for teacher in teachers:
        if teacher.logits.shape != logits.shape:
            raise ValueError(
                f"a teacher's logits have shape {tuple(teacher.logits.shape)}, the model's {tuple(logits.shape)}: "
                "both must have the same labels or vocabulary, and take the same inputs"
            )
    taught = torch.stack([(teacher.logits.float() / temperature).softmax(-1) for teacher in teachers]).mean(0)
    divergence = kl_div((logits.float() / temperature).log_softmax(-1), taught, reduction="none").sum(-1)
    labels = inputs.get("labels")
    if labels is not None and labels.shape == divergence.shape:  # labels may also be probabilities of classes
        divergence = divergence[labels != IGNORED]
    return temperature**2 * divergence.sum() / max(divergence.numel(), 1)


class Distillation:
    """What a model learns from trained ones, as an argument of [`~zoo.training.trainer.ZooTrainer`].

    The teachers read the same batches as the model, augmentation included. The loss of a training step is
    `(1 - weight) * loss + weight * loss_func(outputs of the model, outputs of the teachers, batch, temperature)`.

    ```python
    >>> import torch
    >>> from zoo.models.fashion_cnn import FashionCNNConfig, FashionCNNForImageClassification
    >>> from zoo.training.distillation import Distillation
    >>> teachers = [FashionCNNForImageClassification(FashionCNNConfig(stage_channels=[8])) for _ in range(3)]
    >>> distillation = Distillation(teachers, weight=0.9, temperature=2.0)
    >>> student = FashionCNNForImageClassification(FashionCNNConfig(stage_channels=[4]))
    >>> batch = {"pixel_values": torch.randn(2, 1, 28, 28), "labels": torch.tensor([3, 7])}
    >>> distillation.loss(student(**batch), batch).shape
    torch.Size([])

    ```

    Args:
        teachers: Trained models; they are frozen. Several are an ensemble, whose mean is learned.
        weight: Share of the teachers in the loss, above 0 and at most 1.
        temperature: Of the softmax of model and teachers, above 0; a loss without a softmax ignores it.
        loss_func: Compares the outputs; default: [`soft_label_loss`].

    Raises:
        ValueError: There are no teachers, or a number is out of its range.
    """

    def __init__(
        self,
        teachers: Sequence[PreTrainedModel],
        weight: float = 0.5,
        temperature: float = 1.0,
        loss_func: Callable[[Any, Sequence[Any], Mapping[str, Tensor], float], Tensor] = soft_label_loss,
    ):
        if not teachers:
            raise ValueError("distillation needs at least one teacher")
        if not 0 < weight <= 1 or temperature <= 0:
            raise ValueError(f"weight={weight} must be above 0 and at most 1, temperature={temperature} above 0")
        self.teachers = [teacher.eval().requires_grad_(False) for teacher in teachers]
        self.weight, self.temperature, self.loss_func = weight, temperature, loss_func

    def student_arguments(self, model: PreTrainedModel) -> dict[str, Any]:
        """Arguments with which a training step must call the model: logits are needed, also beside a fused loss."""
        return {"skip_logits": False} if "skip_logits" in inspect.signature(model.forward).parameters else {}

    def loss(self, outputs: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """The teachers' part of the loss, without its weight; a mean over the batch, of shape `()`."""
        device = next(value.device for value in inputs.values() if isinstance(value, Tensor))
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        taught = []
        for teacher in self.teachers:
            # An encoder-decoder makes its decoder's inputs from the labels; others would compute a loss for nothing.
            shifts = teacher.config.is_encoder_decoder and "decoder_input_ids" not in inputs
            with torch.no_grad():
                taught.append(teacher.to(device)(**(inputs if shifts else unlabelled), return_dict=True))
        return self.loss_func(outputs, taught, inputs, self.temperature)

    def mix(self, loss: Tensor, outputs: Any, inputs: Mapping[str, Tensor], accumulation_steps: int = 1) -> Tensor:
        """The whole loss of a training step.

        Args:
            loss (`torch.Tensor` of shape `()`): From the labels.
            outputs: Of the model.
            inputs: The batch.
            accumulation_steps: How many batches make an optimizer step, if `loss` is divided by that already.
        """
        return (1 - self.weight) * loss + self.weight * self.loss(outputs, inputs) / accumulation_steps


__all__ = ["Distillation", "soft_label_loss"]
