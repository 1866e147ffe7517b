"""Transformer encoder-decoder: from the original post-norm net to RMSNorm, gated feed-forward and rotary positions."""

from zoo.models.base import Family

from .configuration_transformer_seq2seq import TransformerSeq2SeqConfig
from .modeling_transformer_seq2seq import (
    TransformerSeq2SeqForConditionalGeneration,
    TransformerSeq2SeqModel,
    TransformerSeq2SeqPreTrainedModel,
)

FAMILY = Family(
    name="transformer_seq2seq",
    config_class=TransformerSeq2SeqConfig,
    base_model_class=TransformerSeq2SeqModel,
    model_classes={
        "translation": TransformerSeq2SeqForConditionalGeneration,
        "summarization": TransformerSeq2SeqForConditionalGeneration,
    },
    tiny={
        "vocab_size": 32,
        "d_model": 16,
        "encoder_layers": 2,
        "decoder_layers": 1,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 24,
        "max_position_embeddings": 64,
        "dropout": 0.0,
    },
)

__all__ = [
    "FAMILY",
    "TransformerSeq2SeqConfig",
    "TransformerSeq2SeqForConditionalGeneration",
    "TransformerSeq2SeqModel",
    "TransformerSeq2SeqPreTrainedModel",
]
