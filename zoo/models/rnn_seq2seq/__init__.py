"""RNN encoder-decoder: recurrent nets with attention that translate and summarise."""

from zoo.models.base import Family

from .configuration_rnn_seq2seq import RNNSeq2SeqConfig
from .modeling_rnn_seq2seq import RNNSeq2SeqForConditionalGeneration, RNNSeq2SeqModel, RNNSeq2SeqPreTrainedModel

FAMILY = Family(
    name="rnn_seq2seq",
    config_class=RNNSeq2SeqConfig,
    base_model_class=RNNSeq2SeqModel,
    model_classes={
        "translation": RNNSeq2SeqForConditionalGeneration,
        "summarization": RNNSeq2SeqForConditionalGeneration,
    },
    tiny={
        "vocab_size": 40,
        "embedding_size": 12,
        "hidden_size": 16,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "dropout": 0.1,
    },
    search_space={
        "training.learning_rate": {"loguniform": [5e-4, 1e-2]},
        "training.batch_tokens": {"choice": [1024, 2048, 4096]},
        "training.per_device_train_batch_size": {"choice": [32, 64, 128]},
        "training.muon_learning_rate": {"choice": [0.0, 0.015]},  # 0: the recipe's optimizer alone
        "training.lr_scheduler_type": {"choice": ["linear", "cosine", "inverse_sqrt"]},
        "model.hidden_size": {"choice": [128, 256, 384]},
        "model.encoder_layers": {"choice": [1, 2]},
        "model.decoder_layers": {"choice": [1, 2]},
        "model.dropout": {"uniform": [0.0, 0.4], "round": 0.05},
    },
)

__all__ = [
    "FAMILY",
    "RNNSeq2SeqConfig",
    "RNNSeq2SeqForConditionalGeneration",
    "RNNSeq2SeqModel",
    "RNNSeq2SeqPreTrainedModel",
]
