"""Configuration of the LSTM forecaster: from the course's step-by-step LSTM to SegRNN, by fields alone."""

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig
from transformers.activations import ACT2FN

# How many states each cell carries from one step to the next.
CELL_STATES = {"lstm": 2, "gru": 1, "rnn": 1}
SCALINGS = ("none", "mean", "std", "last", "last_std", "revin")
DECODINGS = ("direct", "recursive", "segments")
HEADS = ("point", "quantile", "normal", "student_t", "negative_binomial")


@strict
class LSTMForecasterConfig(PreTrainedConfig):
    r"""
    A window of series is scaled, cut into patches and read by a recurrent net; a head turns what it remembers into the
    next steps. Lengths are counted in steps of the series.

    Args:
        context_length (`int`, defaults to 336): Steps that the model looks back. Longer windows are cropped to the
            last ones, shorter ones are padded on the left with missing values.
        prediction_length (`int`, defaults to 96): Steps that one pass forecasts.
        input_size (`int`, defaults to 1): Number of series (channels) in a window.
        cell_type (`"lstm"`, `"gru"` or `"rnn"`, defaults to `"lstm"`): The recurrent cell.
        hidden_size (`int`, defaults to 128): Neurons of a recurrent layer.
        num_layers (`int`, defaults to 1): Recurrent layers.
        learned_initial_state (`bool`, defaults to `False`): Learn the state that a recurrent layer starts from;
            without it (and before training) that is zero.
        dense_sizes (`list[int]`, defaults to `[]`): Sizes of the dense layers between recurrent layers and forecast.
        hidden_act (`str`, defaults to `"relu"`): Activation of patch embedding and dense layers, a name of
            `transformers.activations.ACT2FN`.
        dropout (`float`, defaults to 0.0): Dropout between recurrent layers, before dense layers and the output.
        patch_length (`int`, defaults to 24): Steps that the net reads at once. 1 is step by step; a day of an hourly
            series needs 24 times fewer recurrent steps, which is faster and, with far shorter paths for the gradient,
            more accurate (SegRNN, arXiv:2308.11200).
        patch_embedding (`bool`, defaults to `True`): Embed patches (linear layer and activation) before the recurrent
            layers, as SegRNN does; `False` feeds them raw, as textbooks do, which is the cheaper way with
            `patch_length=1`.
        channel_independent (`bool`, defaults to `True`): Forecast every channel on its own with the same weights
            (PatchTST, arXiv:2211.14730); `False` reads all channels jointly.
        scaling (`str`, defaults to `"std"`): What is taken from a window's observed values, channel by channel, and
            inverted in the forecast: `"none"`; `"mean"` divides by the mean absolute value; `"std"` subtracts the mean
            and divides by the standard deviation; `"last"` subtracts the last value (NLinear, SegRNN), for data that
            the pipeline has already standardised; `"last_std"` also divides by the standard deviation; `"revin"` is
            `"std"` with a learned scale and shift of each channel (Kim et al. 2022).
        log_values (`bool`, defaults to `False`): Read and forecast logarithms: of positive values whose errors grow
            with their size, as most counts and loads do. Errors of the point and quantile heads are then relative.
            Outputs are in the units of the data; `loc` and `scale` are those of the logarithms.
        decoding (`str`, defaults to `"direct"`): `"direct"` reads all steps from the last state; `"segments"` runs the
            recurrent net once for each patch of the horizon, in parallel, on position and channel embeddings (SegRNN);
            `"recursive"` forecasts patch after patch and reads its own forecasts (DeepAR, arXiv:1704.04110), with true
            values instead while training (teacher forcing).
        linear_skip (`bool`, defaults to `False`): Add a linear map from the scaled window to every step of the
            forecast: the autoregressive highway of LSTNet (arXiv:1703.07015). It reads seasons of any length that the
            window holds, and the recurrent net learns what they leave. For parallel decoding.
        level_weight (`float`, defaults to 0.0): Give the net and the linear map the level of a window: what `scaling`
            subtracts, times this weight. Series that come back to a mean, as loads and temperatures do, are forecast
            better when that is known; a penalty holds a small weight back. For values that are standardised: the
            further their mean is from 0, the less it helps. (DeepAR and TimeSeriesTransformer hand the scale over
            likewise.) 0 hides it, so the forecast moves with the series wherever it goes.
        head (`str`, defaults to `"point"`): What is forecast: `"point"`, `"quantile"`, or a distribution's parameters:
            `"normal"`, `"student_t"`, `"negative_binomial"` (counts; needs `scaling` `"none"` or `"mean"`).
        quantiles (`list[float]`, defaults to 0.1, 0.2 ... 0.9): Levels of the quantile head, ascending, and of
            `quantile_outputs` of the normal and Student-t heads.
        loss (`"mse"`, `"mae"` or `"huber"`, defaults to `"mse"`): Loss of the point head. The others have their own:
            pinball loss, negative log-likelihood.
        scale_loss (`bool`, defaults to `False`): Measure errors of the point and quantile heads in units of the
            window's scale, so that large and small series weigh the same. `False` measures them in the units of
            `future_values`. Log-likelihoods only shift by a constant, so distribution heads have no use for it.
        num_parallel_samples (`int`, defaults to 100): Sample paths of `generate()`.
        num_time_features (`int`, defaults to 0): Calendar features of each step, known for the future too.
        num_dynamic_real_features (`int`, defaults to 0): Other known covariates of each step; they follow the calendar
            features in `past_time_features` and `future_time_features`.
        num_static_real_features (`int`, defaults to 0): Real features of a window's item.
        cardinality (`list[int]`, defaults to `[]`): Number of values of each static categorical feature.
        embedding_dimension (`list[int]`, *optional*): Embedding size of each of them; half its cardinality, at most
            50, by default.

    Raises:
        StrictDataclassError: A field has the wrong type, or the fields contradict each other; the message names the
            field and the reason.

    Example:

    ```python
    >>> from zoo.models.lstm_forecaster import LSTMForecasterConfig
    >>> LSTMForecasterConfig(context_length=100, patch_length=24).num_patches
    5
    ```
    """

    model_type = "lstm_forecaster"
    attribute_map = {"num_hidden_layers": "num_layers"}
    # A Trainer that predicts a whole split keeps the forecasts, not what explains them.
    keys_to_ignore_at_inference = ["params", "loc", "scale", "hidden_states"]

    context_length: int = 336
    prediction_length: int = 96
    input_size: int = 1
    cell_type: str = "lstm"
    hidden_size: int = 128
    num_layers: int = 1
    learned_initial_state: bool = False
    dense_sizes: list[int] | tuple[int, ...] = ()
    hidden_act: str = "relu"
    dropout: float | int = 0.0
    patch_length: int = 24
    patch_embedding: bool = True
    channel_independent: bool = True
    scaling: str = "std"
    log_values: bool = False
    decoding: str = "direct"
    linear_skip: bool = False
    level_weight: float | int = 0.0
    head: str = "point"
    quantiles: list[float] | tuple[float, ...] = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
    loss: str = "mse"
    scale_loss: bool = False
    num_parallel_samples: int = 100
    num_time_features: int = 0
    num_dynamic_real_features: int = 0
    num_static_real_features: int = 0
    cardinality: list[int] | tuple[int, ...] = ()
    embedding_dimension: list[int] | tuple[int, ...] | None = None

    def __post_init__(self, **kwargs):
        self.dense_sizes = list(self.dense_sizes)
        self.quantiles = list(self.quantiles)
        self.cardinality = list(self.cardinality)
        if self.embedding_dimension is None:
            # The rule of TimeSeriesTransformer and GluonTS.
            self.embedding_dimension = [min(50, (size + 1) // 2) for size in self.cardinality]
        self.embedding_dimension = list(self.embedding_dimension)
        super().__post_init__(**kwargs)

    @property
    def num_patches(self) -> int:
        """Patches of a context; the first one is filled up with missing values where lengths do not divide."""
        return -(-self.context_length // self.patch_length)

    @property
    def num_segments(self) -> int:
        """Patches of a horizon; the last one is cropped where lengths do not divide."""
        return -(-self.prediction_length // self.patch_length)

    @property
    def num_channels(self) -> int:
        """Channels that one pass through the recurrent net reads and forecasts."""
        return 1 if self.channel_independent else self.input_size

    @property
    def num_step_features(self) -> int:
        """Width of `past_time_features` and `future_time_features`."""
        return self.num_time_features + self.num_dynamic_real_features

    @property
    def num_static_features(self) -> int:
        """Width of all static features, categories embedded."""
        return self.num_static_real_features + sum(self.embedding_dimension or ())

    def validate_choices(self):
        """Fields with a fixed set of values."""
        for field, allowed in {
            "cell_type": tuple(CELL_STATES),
            "scaling": SCALINGS,
            "decoding": DECODINGS,
            "head": HEADS,
            "loss": ("mse", "mae", "huber"),
            "hidden_act": tuple(ACT2FN),
        }.items():
            value = getattr(self, field)
            if value not in allowed:
                raise ValueError(f"{field}={value!r} is not one of {', '.join(allowed)}")

    def validate_numbers(self):
        """Sizes are positive, counts are not negative, dropout is a probability."""
        sizes = ("context_length", "prediction_length", "input_size", "hidden_size", "num_layers", "patch_length")
        for field in (*sizes, "num_parallel_samples"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 1")
        for field in ("num_time_features", "num_dynamic_real_features", "num_static_real_features"):
            if getattr(self, field) < 0:
                raise ValueError(f"{field}={getattr(self, field)} must be at least 0")
        for field in ("dense_sizes", "cardinality", "embedding_dimension"):
            if any(isinstance(value, bool) or value < 1 for value in getattr(self, field)):
                raise ValueError(f"{field}={getattr(self, field)} must hold whole numbers of at least 1")
        if not 0 <= self.level_weight < float("inf"):
            raise ValueError(f"level_weight={self.level_weight} must be a finite number of at least 0")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and below 1")
        if self.patch_length > self.context_length:
            raise ValueError(
                f"patch_length={self.patch_length} is longer than context_length={self.context_length}: "
                "the net would read a single patch, most of it padding"
            )

    def validate_quantiles(self):
        """Quantile levels are ascending probabilities."""
        levels = [0, *self.quantiles, 1]
        if not self.quantiles or any(low >= high for low, high in zip(levels, levels[1:])):
            raise ValueError(f"quantiles={self.quantiles} must be ascending, above 0 and below 1, and not empty")

    def validate_combinations(self):
        """Fields fit each other."""
        if len(self.embedding_dimension or ()) != len(self.cardinality):
            raise ValueError(
                f"embedding_dimension={self.embedding_dimension} has {len(self.embedding_dimension or ())} values but "
                f"cardinality={self.cardinality} has {len(self.cardinality)}"
            )
        if self.head == "negative_binomial" and self.scaling not in ("none", "mean"):
            raise ValueError(
                f"scaling={self.scaling!r} shifts the values, but head='negative_binomial' forecasts counts, which "
                "can only be stretched: use scaling='mean' or 'none'"
            )
        if self.decoding == "segments" and not self.patch_embedding:
            raise ValueError(
                "patch_embedding=False with decoding='segments': the position of a segment enters the recurrent net "
                "in place of an embedded patch, so patches must be embedded"
            )
        if self.linear_skip and self.decoding == "recursive":
            raise ValueError(
                "linear_skip=True with decoding='recursive': the linear map knows prediction_length steps, but "
                "recursive decoding goes on for as long as it is asked to; use decoding='direct' or 'segments'"
            )
        if self.linear_skip and self.head == "negative_binomial":
            raise ValueError(
                "linear_skip=True shifts the forecast, but head='negative_binomial' can only be stretched"
            )
        if self.level_weight and self.scaling in ("none", "mean"):
            raise ValueError(
                f"level_weight={self.level_weight} tells what scaling subtracts, but scaling={self.scaling!r} "
                "subtracts nothing, so the net sees the level already: use 'last', 'last_std', 'std' or 'revin'"
            )
        if self.log_values and self.head not in ("point", "quantile"):
            raise ValueError(
                f"log_values=True is for head='point' and 'quantile'; head={self.head!r} models the values"
            )
        if self.head != "point" and self.loss != "mse":
            raise ValueError(f"loss={self.loss!r} is for head='point' only; head={self.head!r} has a loss of its own")
        if self.head == "negative_binomial" and self.scale_loss:
            raise ValueError("scale_loss=True has no meaning for head='negative_binomial'")


__all__ = ["LSTMForecasterConfig"]
