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
    search_space={
        "training.learning_rate": {"loguniform": [5e-4, 5e-3]},
        "training.batch_tokens": {"choice": [2048, 4096, 8192]},
        "training.per_device_train_batch_size": {"choice": [32, 64, 128]},
        "training.muon_learning_rate": {"choice": [0.0, 0.02]},  # 0: the recipe's optimizer alone
        "training.lr_scheduler_type": {"choice": ["linear", "cosine", "inverse_sqrt"]},
        "model.d_model": {"choice": [96, 192, 288]},  # multiples of 4, 6 and 8 heads
        "model.encoder_layers": {"choice": [2, 4, 6]},
        "model.decoder_layers": {"choice": [1, 2, 3]},
        "model.dropout": {"uniform": [0.0, 0.3], "round": 0.05},
    },
)

__all__ = [
    "FAMILY",
    "TransformerSeq2SeqConfig",
    "TransformerSeq2SeqForConditionalGeneration",
    "TransformerSeq2SeqModel",
    "TransformerSeq2SeqPreTrainedModel",
]
