"""Copying from the source: a pointer-generator output layer (arXiv:1704.04368)."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.modeling_outputs import BaseModelOutput

from .layers_loss import IGNORED


@dataclass
class TransformerSeq2SeqEncoderOutput(BaseModelOutput):
    """
    Args:
        input_ids (`torch.LongTensor` of shape `(batch, length)`, *optional*): Tokens of the source, if the model
            copies them: `generate` keeps them here for its later steps.
    """

    input_ids: torch.Tensor | None = None


def find_source_ids(input_ids: torch.Tensor | None, encoder_outputs: Any) -> torch.Tensor:
    """Tokens of the source (batch, source length), which a copying model needs in every step.

    Raises:
        ValueError: There are none.
    """
    if input_ids is None:
        input_ids = getattr(encoder_outputs, "input_ids", None)
    if input_ids is None:
        raise ValueError(
            "copy_mechanism=True copies tokens of the source: give input_ids, in place of inputs_embeds or beside "
            "encoder_outputs"
        )
    return input_ids


class TransformerSeq2SeqCopyHead(nn.Module):
    """
    Where in the source the next token is, and how likely it is copied from there.

    One attention head points from each state of the decoder to a token of the source. Attention of the decoder's
    layers is not used: fused kernels do not show their weights.
    """

    def __init__(self, d_model: int):
        super().__init__()
        self.scaling = d_model**-0.5
        self.q_proj = nn.Linear(d_model, d_model)
        self.k_proj = nn.Linear(d_model, d_model)
        self.gate = nn.Linear(2 * d_model, 1)

    def forward(
        self,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None,
        keys: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Args:
            hidden_states (`torch.Tensor` of shape `(batch, length, d_model)`): Of the decoder.
            encoder_hidden_states (`torch.Tensor` of shape `(batch, source_length, d_model)`): Of the encoder.
            attention_mask (`torch.Tensor` of shape `(batch, source_length)`, *optional*): 1 on real tokens.
            keys (`torch.Tensor` of shape `(batch, source_length, d_model)`, *optional*): `k_proj` of the encoder's
                states, where a caller keeps it for several steps.

        Returns:
            The distribution over the source, (batch, length, source_length), and the log-odds of copying,
            (batch, length, 1), both in float32.
        """
        keys = self.k_proj(encoder_hidden_states) if keys is None else keys
        scores = torch.matmul(self.q_proj(hidden_states), keys.transpose(1, 2))
        scores = scores.float() * self.scaling
        if attention_mask is not None:
            scores = scores.masked_fill(attention_mask[:, None, :] == 0, torch.finfo(scores.dtype).min)
        pointer = scores.softmax(dim=-1)
        context = torch.matmul(pointer.to(encoder_hidden_states.dtype), encoder_hidden_states)
        return pointer, self.gate(torch.cat([hidden_states, context], dim=-1)).float()

    def combine(self, logits: torch.Tensor, source_ids: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """`add_copies` with this head's pointers; further arguments are those of `forward`."""
        pointer, log_odds = self(*args, **kwargs)
        return add_copies(logits, pointer, log_odds, source_ids)


def add_copies(
    logits: torch.Tensor, pointer: torch.Tensor, log_odds: torch.Tensor, source_ids: torch.Tensor
) -> torch.Tensor:
    """
    Log-probabilities of the next token: it is written by the output layer or copied from the source.

    Args:
        logits (`torch.Tensor` of shape `(batch, length, vocab_size)`): Of the output layer.
        pointer (`torch.Tensor` of shape `(batch, length, source_length)`): Distribution over the source.
        log_odds (`torch.Tensor` of shape `(batch, length, 1)`): Log-odds of copying; `sigmoid(-log_odds)` is the
            paper's `p_gen`.
        source_ids (`torch.LongTensor` of shape `(batch, source_length)`): Tokens of the source.

    Returns:
        `torch.Tensor` of shape `(batch, length, vocab_size)`, float32.
    """
    written = logits.float().log_softmax(dim=-1) + nn.functional.logsigmoid(-log_odds)
    tokens = source_ids[:, None, :].expand(pointer.shape)  # a token may be in the source several times
    copied = torch.zeros_like(written).scatter_add(-1, tokens, pointer * log_odds.sigmoid())
    return torch.logaddexp(written, finite_log(copied))


def copy_cross_entropy(
    logits: torch.Tensor,
    pointer: torch.Tensor,
    log_odds: torch.Tensor,
    source_ids: torch.Tensor,
    labels: torch.Tensor,
    label_smoothing: float = 0.0,
    num_items: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """
    Mean cross entropy of the labels that are not -100 under `add_copies`, which is not computed for other tokens.

    Args:
        logits, pointer, log_odds, source_ids: See `add_copies`.
        labels (`torch.LongTensor` of shape `(batch, length)`): Aligned with the logits, not shifted.
        label_smoothing (`float`, defaults to 0.0): Share of the target that is spread evenly over the vocabulary, for
            the written part: an even share of copies would point nowhere.
        num_items (`int`, *optional*): Divides the sum; by default the number of labels that are not -100.
    """
    labels = labels.to(logits.device)
    is_label = labels != IGNORED
    targets = labels.clamp(min=0)[..., None]
    written = logits.float().log_softmax(dim=-1)
    copied = (pointer * (source_ids[:, None, :] == targets)).sum(-1, keepdim=True)
    log_probabilities = torch.logaddexp(
        written.gather(-1, targets) + nn.functional.logsigmoid(-log_odds),
        finite_log(copied) + nn.functional.logsigmoid(log_odds),
    ).squeeze(-1)
    losses = -(1 - label_smoothing) * log_probabilities
    if label_smoothing:
        losses = losses - label_smoothing * written.mean(-1)
    if num_items is None:
        num_items = is_label.sum().clamp(min=1)
    return losses.masked_fill(~is_label, 0.0).sum() / num_items


def finite_log(probabilities: torch.Tensor) -> torch.Tensor:
    """The logarithm, finite for 0, with a gradient of 0 there."""
    return probabilities.clamp(min=torch.finfo(probabilities.dtype).tiny).log()


__all__ = [
    "TransformerSeq2SeqCopyHead",
    "TransformerSeq2SeqEncoderOutput",
    "add_copies",
    "copy_cross_entropy",
    "find_source_ids",
]
