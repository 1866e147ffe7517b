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
)

__all__ = [
    "FAMILY",
    "LSTMForecasterConfig",
    "LSTMForecasterForPrediction",
    "LSTMForecasterModel",
    "LSTMForecasterPreTrainedModel",
]
