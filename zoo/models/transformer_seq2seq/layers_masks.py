"""What attention must not see: padding of the source, the future of the target."""

from typing import Any

import torch
from transformers.cache_utils import DynamicCache
from transformers.masking_utils import create_bidirectional_mask, create_causal_mask
from transformers.utils.import_utils import is_torchdynamo_compiling

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig
from .layers_loss import IGNORED


def hide_padding(
    config: TransformerSeq2SeqConfig,
    embeds: torch.Tensor,
    attention_mask: torch.Tensor | None,
    source: torch.Tensor | None = None,
) -> Any:
    """
    The mask of the source (batch, length), as attention from `embeds` to themselves, or to the source, takes it.

    For torch's kernels that is a view, made here: the general way costs a twentieth of a step of generation on a CPU.
    Attention to the source takes it with every implementation but the plain one (see `layers_attention.py`).
    """
    implementation = config._attn_implementation
    if source is not None and attention_mask is None:
        return None
    takes_view = implementation == "sdpa" or (source is not None and implementation != "eager")
    if attention_mask is None or attention_mask.ndim != 2 or not takes_view:
        return create_bidirectional_mask(config, embeds, attention_mask, source)
    if not is_torchdynamo_compiling() and attention_mask.device.type == "cpu" and attention_mask.all():
        return None
    return attention_mask[:, None, None, :].bool()


def hide_future(
    config: TransformerSeq2SeqConfig, embeds: torch.Tensor, attention_mask: torch.Tensor | None, cache: Any
) -> Any:
    """The mask of the target: a token sees itself and what stands before it, and one step of generation sees all."""
    own = None if cache is None else cache.self_attention_cache
    if attention_mask is None and embeds.shape[1] == 1 and isinstance(own, DynamicCache):
        return None
    return create_causal_mask(config, embeds, attention_mask, own)


def mask_left_padding(
    config: TransformerSeq2SeqConfig, decoder_input_ids: torch.Tensor, labels: torch.Tensor
) -> torch.Tensor | None:
    """
    (batch, length), 0 where rows begin with padding: a padding sign that nothing is foretold from. `None` without any,
    as causal attention needs no mask then. A beginning that is read but not foretold is no padding.
    """
    padded = (labels == IGNORED) & (decoder_input_ids == config.pad_token_id)
    if not is_torchdynamo_compiling() and not padded[:, 0].any():
        return None
    return 1 - padded.long().cumprod(-1)


__all__ = ["hide_future", "hide_padding", "mask_left_padding"]
