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
)

__all__ = [
    "FAMILY",
    "RNNSeq2SeqConfig",
    "RNNSeq2SeqForConditionalGeneration",
    "RNNSeq2SeqModel",
    "RNNSeq2SeqPreTrainedModel",
]
