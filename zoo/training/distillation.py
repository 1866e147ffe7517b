"""Knowledge distillation: a model learns from the outputs of trained models, its teachers, as well as from labels."""

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
    """Kullback-Leibler divergence from the averaged probabilities of the teachers to those of the model.

    Both are softmaxes of logits divided by the temperature T (Hinton et al., 2015, arXiv:1503.02531). Gradients shrink
    with T squared; multiplying by it makes up for that (section 2). It is for classifiers with one label a row and for
    encoder-decoders; other models need a `loss_func` of their own.

    Args:
        student: Outputs of the model that learns; `logits` (`torch.Tensor` of shape `(batch, ..., classes)`).
        teachers: Outputs of the trained models, with logits of the same shape.
        inputs: The batch. Where `labels` (`torch.LongTensor` of shape `(batch, ...)`) are -100, nothing is learned.
        temperature: Above 1, unlikely classes count more.

    Returns:
        `torch.Tensor` of shape `()`: The mean over rows or tokens, in nats.

    Raises:
        ValueError: A teacher's logits have another shape.
    """
    logits, labels = student.logits, inputs.get("labels")
    for teacher in teachers:
        if teacher.logits.shape != logits.shape:
            raise ValueError(
                f"a teacher's logits have shape {tuple(teacher.logits.shape)}, the model's {tuple(logits.shape)}: "
                "both must have the same labels or vocabulary, and take the same inputs"
            )
    counts = torch.ones(logits.shape[:-1], dtype=torch.bool, device=logits.device)
    if labels is not None and labels.shape == counts.shape:  # labels may also be probabilities of classes
        counts = labels != IGNORED
    learned = (logits[counts].float() / temperature).log_softmax(-1)
    taught = sum((teacher.logits[counts].float() / temperature).softmax(-1) for teacher in teachers) / len(teachers)
    return temperature**2 * kl_div(learned, taught, reduction="sum") / max(len(learned), 1)


def logits_arguments(model: PreTrainedModel) -> dict[str, Any]:
    """Arguments of a training step that make a model return logits: some skip them in training."""
    if hasattr(model, "get_base_model"):  # inside peft's wrapper, whose forward has no names
        model = model.get_base_model()
    return {"skip_logits": False} if "skip_logits" in inspect.signature(model.forward).parameters else {}


def share_of_step(mean: Tensor, inputs: Mapping[str, Tensor], num_items: Tensor | float | None) -> Tensor:
    """A mean over a batch, weighted by the batch's share of the labels of an optimizer step.

    Args:
        mean (`torch.Tensor` of shape `()`)
        inputs: The batch.
        num_items: Labels of all batches of the step; None: the mean as it is.
    """
    return mean if num_items is None else mean * (inputs["labels"] != IGNORED).sum() / num_items


class Distillation:
    """The teachers of a model, and how much it learns from them: an argument of [`~zoo.training.trainer.ZooTrainer`].

    The loss of a training step is
    `(1 - weight) * loss + weight * loss_func(outputs of the model, outputs of the teachers, batch, temperature)`.
    The teachers read the same batches as the model, after augmentation. Evaluations measure the labels alone.

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
        teachers: Trained models; they are frozen. The model learns the mean of several.
        weight: Share of the teachers in the loss, above 0 and at most 1.
        temperature: Of the softmax of model and teachers, above 0; a loss without a softmax ignores it.
        loss_func: The distance of the outputs, a mean over the batch; default: [`soft_label_loss`].

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

    def loss(self, outputs: Any, inputs: Mapping[str, Tensor]) -> Tensor:
        """The teachers' part of the loss, without its weight: the mean over the rows or tokens of the batch."""
        device = next(value.device for value in inputs.values() if isinstance(value, Tensor))
        unlabelled = {name: value for name, value in inputs.items() if name != "labels"}
        taught = []
        for teacher in self.teachers:
            given: dict[str, Any] = unlabelled
            if teacher.config.is_encoder_decoder:
                # It makes decoder_input_ids from the labels if the batch has none.
                given = {**(unlabelled if "decoder_input_ids" in inputs else inputs), "use_cache": False}
            with torch.no_grad():
                taught.append(teacher.to(device)(**given, return_dict=True))
        return self.loss_func(outputs, taught, inputs, self.temperature)

    def mix(
        self, loss: Tensor, outputs: Any, inputs: Mapping[str, Tensor], num_items: Tensor | float | None = None
    ) -> Tensor:
        """The whole loss of a training step.

        Args:
            loss (`torch.Tensor` of shape `()`): Of the labels.
            outputs: Of the model.
            inputs: The batch.
            num_items: If `loss` is the sum over this batch, divided by the labels of all batches of an optimizer step:
                their number. None: `loss` is a mean over this batch.
        """
        taught = share_of_step(self.loss(outputs, inputs), inputs, num_items)
        return (1 - self.weight) * loss + self.weight * taught


__all__ = ["Distillation", "logits_arguments", "share_of_step", "soft_label_loss"]
