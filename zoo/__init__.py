"""zoo: the classic architectures of a first deep-learning course, at home in the Hugging Face ecosystem.

Importing it registers every family with transformers' Auto classes, and every pipeline with transformers.
"""

from .pretrained import pretrained  # the function, which stands before the module of its name
from .registry import available, load_family, load_task, register_all

__version__ = "0.1.0"

register_all()

_PUBLIC = {
    "FashionCNNConfig": "zoo.models.fashion_cnn",
    "FashionCNNForImageClassification": "zoo.models.fashion_cnn",
    "FashionCNNImageProcessor": "zoo.models.fashion_cnn",
    "FashionCNNModel": "zoo.models.fashion_cnn",
    "LSTMForecasterConfig": "zoo.models.lstm_forecaster",
    "LSTMForecasterForPrediction": "zoo.models.lstm_forecaster",
    "LSTMForecasterModel": "zoo.models.lstm_forecaster",
    "RNNSeq2SeqConfig": "zoo.models.rnn_seq2seq",
    "RNNSeq2SeqForConditionalGeneration": "zoo.models.rnn_seq2seq",
    "RNNSeq2SeqModel": "zoo.models.rnn_seq2seq",
    "RunRecord": "zoo.record",
    "TransformerSeq2SeqConfig": "zoo.models.transformer_seq2seq",
    "TransformerSeq2SeqForConditionalGeneration": "zoo.models.transformer_seq2seq",
    "TransformerSeq2SeqModel": "zoo.models.transformer_seq2seq",
}

__all__ = ["available", "load_family", "load_task", "pretrained", *sorted(_PUBLIC)]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'zoo' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_PUBLIC])
