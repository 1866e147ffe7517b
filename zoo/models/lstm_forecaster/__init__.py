"""LSTM forecaster: a recurrent net from any window of series to calibrated forecasts."""

from zoo.models.base import Family

from .configuration_lstm_forecaster import LSTMForecasterConfig
from .modeling_lstm_forecaster import LSTMForecasterForPrediction, LSTMForecasterModel, LSTMForecasterPreTrainedModel

FAMILY = Family(
    name="lstm_forecaster",
    config_class=LSTMForecasterConfig,
    base_model_class=LSTMForecasterModel,
    model_classes={"forecasting": LSTMForecasterForPrediction},
    tiny={
        "context_length": 12,
        "prediction_length": 6,
        "input_size": 2,
        "hidden_size": 16,
        "num_layers": 2,
        "dense_sizes": [8],
        "patch_length": 4,
    },
    search_space={
        "training.learning_rate": {"loguniform": [3e-4, 1e-2]},
        "training.per_device_train_batch_size": {"choice": [32, 64, 128, 256]},
        "training.muon_learning_rate": {"choice": [0.0, 0.02]},  # 0: the recipe's optimizer alone
        "training.lr_scheduler_type": {"choice": ["linear", "cosine", "constant"]},
        "model.hidden_size": {"choice": [32, 64, 128, 256]},
        "model.num_layers": {"choice": [1, 2, 3]},
        "model.dropout": {"uniform": [0.0, 0.5], "round": 0.05},
    },
)

__all__ = [
    "FAMILY",
    "LSTMForecasterConfig",
    "LSTMForecasterForPrediction",
    "LSTMForecasterModel",
    "LSTMForecasterPreTrainedModel",
]
