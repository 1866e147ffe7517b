"""The LSTM forecaster: scaling, patches, recurrent layers, decoding of the horizon, and back to the data's units."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import nn
from torch.distributions import Distribution
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import SampleTSPredictionOutput
from transformers.utils import ModelOutput
from transformers.utils.generic import can_return_tuple

from .configuration_lstm_forecaster import CELL_STATES, LSTMForecasterConfig
from .layers_heads import OUTPUTS, DistributionOutput, LSTMForecasterHead, Params
from .layers_skip import LSTMForecasterSkip, RidgeRegression


@dataclass
class LSTMForecasterModelOutput(ModelOutput):
    """
    What the recurrent net remembers of a window. `rows` is batch * input_size with `channel_independent`, else batch.

    Args:
        last_hidden_state (`torch.Tensor` of shape `(batch, input_size, num_patches, hidden_size)`): With
            `channel_independent`, as in PatchTST, else (batch, num_patches, hidden_size).
        recurrent_state (`tuple` of `torch.Tensor`): The state after the last patch of each layer, (1, or 2 with an
            LSTM, rows, hidden_size).
        hidden_states (`tuple` of `torch.Tensor`, *optional*): The input of the first recurrent layer and the output of
            each, shaped as `last_hidden_state`.
        loc (`torch.Tensor` of shape `(batch, 1, input_size)`): What was subtracted from the values.
        scale (`torch.Tensor` of shape `(batch, 1, input_size)`): What they were divided by.
        static_features (`torch.Tensor` of shape `(batch, num_static_features)`): Categories embedded.
        scaled_values (`torch.Tensor` of shape `(batch, num_patches * patch_length, input_size)`): The window as the
            net reads it, 0 where nothing was observed; with `linear_skip` only.
    """

    # A ModelOutput wants defaults, also for what is always there.
    last_hidden_state: torch.Tensor = None  # type: ignore[assignment]
    recurrent_state: tuple[torch.Tensor, ...] = None  # type: ignore[assignment]
    hidden_states: tuple[torch.Tensor, ...] | None = None
    loc: torch.Tensor = None  # type: ignore[assignment]
    scale: torch.Tensor = None  # type: ignore[assignment]
    static_features: torch.Tensor | None = None
    scaled_values: torch.Tensor | None = None


@dataclass
class LSTMForecasterForPredictionOutput(ModelOutput):
    """
    A forecast in the units of `past_values`. Where `past_values` has no channel axis, neither has anything here.

    Args:
        loss (`torch.Tensor` of shape `()`): Mean over the observed future values, with `future_values` only.
        prediction_outputs (`torch.Tensor` of shape `(batch, length, input_size)`): The point forecast: the number
            itself, the median of the quantile head (or the level next to it), the mean of a distribution.
        quantile_outputs (`torch.Tensor` of shape `(batch, length, input_size, quantiles)`): Never crossing: of the
            quantile head, and outside training of the normal and Student-t heads. Negative binomial ones come from
            `generate()`.
        params (`tuple` of `torch.Tensor`): Parameters of the distribution, (batch, length, input_size) each; see
            `output_distribution`.
        loc (`torch.Tensor` of shape `(batch, 1, input_size)`): What was subtracted from the (first) window.
        scale (`torch.Tensor` of shape `(batch, 1, input_size)`): What it was divided by.
        hidden_states (`tuple` of `torch.Tensor`, *optional*): As in [`LSTMForecasterModelOutput`].
    """

    loss: torch.Tensor | None = None
    prediction_outputs: torch.Tensor | None = None
    quantile_outputs: torch.Tensor | None = None
    params: tuple[torch.Tensor, ...] | None = None
    loc: torch.Tensor | None = None
    scale: torch.Tensor | None = None
    hidden_states: tuple[torch.Tensor, ...] | None = None


def read_series(
    name: str, values: torch.Tensor, mask: torch.Tensor | None, channels: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Values and what was observed of them, both (batch, length, channels); what is missing, by the mask or because it is
    not a finite number, becomes 0. Statistics of bf16 values would be off: values are float32 or wider from here on.
    """
    if values.ndim == 2 and channels == 1:
        values = values.unsqueeze(-1)
    if values.ndim != 3 or values.shape[-1] != channels:
        flat = " or (batch, length)" if channels == 1 else ""
        raise ValueError(
            f"{name}_values has shape {tuple(values.shape)}, but this model takes (batch, length, {channels}){flat}"
        )
    values = values.to(torch.promote_types(values.dtype, torch.float32))
    observed = values.isfinite()
    if mask is not None:
        mask = mask.unsqueeze(-1) if mask.ndim == 2 else mask
        if mask.shape not in (values.shape, (*values.shape[:2], 1)):
            raise ValueError(
                f"{name}_observed_mask has shape {tuple(mask.shape)}, but {name}_values has {tuple(values.shape)}"
            )
        observed = observed & mask.to(torch.bool)
    return torch.where(observed, values, 0.0), observed


def logarithms(values: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """Natural logarithms of the observed values, 0 where nothing was observed.

    Raises:
        ValueError: An observed value is not positive.
    """
    if not torch.compiler.is_compiling() and bool((observed & (values <= 0)).any()):
        least = values[observed].min().item()
        raise ValueError(f"a value is {least:g}, but log_values=True takes positive values: use log_values=False")
    return torch.where(observed, values, 1.0).log()


def read_step_features(
    name: str, features: torch.Tensor | None, batch: int, length: int, width: int, exact: bool = False
) -> torch.Tensor | None:
    """
    Features of the steps of a window, (batch, length, width), or `None` where the model takes none. Unless `exact`,
    more steps than needed are cropped.
    """
    if features is None:
        if width:
            raise ValueError(f"{name} is missing: this model takes {width} features of each step")
        return None
    fits = features.ndim == 3 and features.shape[0] == batch and features.shape[-1] == width
    if not fits or features.shape[1] < length or (exact and features.shape[1] > length):
        raise ValueError(
            f"{name} has shape {tuple(features.shape)}, but ({batch}, {length}, {width}) is needed: batch, steps, "
            "num_time_features + num_dynamic_real_features"
        )
    return features[:, :length] if width else None


def read_static_features(
    config: LSTMForecasterConfig,
    embeddings: nn.ModuleList,
    categorical: torch.Tensor | None,
    real: torch.Tensor | None,
    batch: int,
) -> torch.Tensor | None:
    """(batch, num_static_features), categories embedded, or `None` where the model takes none."""
    for name, features, width in (
        ("static_categorical_features", categorical, len(config.cardinality)),
        ("static_real_features", real, config.num_static_real_features),
    ):
        if features is None and width:
            raise ValueError(f"{name} is missing: this model takes {width} for each window")
        if features is not None and tuple(features.shape) != (batch, width):
            raise ValueError(f"{name} has shape {tuple(features.shape)}, but ({batch}, {width}) is needed")
    parts = []
    if categorical is not None:
        parts += [embed(categorical[:, index]) for index, embed in enumerate(embeddings)]
    if real is not None and config.num_static_real_features:
        parts.append(real)
    return torch.cat(parts, dim=-1) if parts else None


def fit(series: torch.Tensor, config: LSTMForecasterConfig) -> torch.Tensor:
    """The last `context_length` steps of (batch, length, ...), padded with zeros on the left to whole patches."""
    # Padded first whatever its length is: a branch on the length would be frozen by torch.export.
    series = nn.functional.pad(series, (0, 0, config.context_length, 0))[:, -config.context_length :]
    return nn.functional.pad(series, (0, 0, config.num_patches * config.patch_length - config.context_length, 0))


Part = TypeVar("Part", torch.Tensor, torch.Tensor | None)


def tile(tensor: Part, copies: int, dim: int = 0) -> Part:
    """The whole tensor `copies` times in a row along `dim`; None stays None."""
    return tensor if tensor is None or copies == 1 else torch.cat([tensor] * copies, dim=dim)


class Window(NamedTuple):
    """The past as the base model's `forward` takes it, argument by argument."""

    past_values: torch.Tensor
    past_observed_mask: torch.Tensor
    past_time_features: torch.Tensor | None
    static_categorical_features: torch.Tensor | None
    static_real_features: torch.Tensor | None

    def tile(self, copies: int) -> "Window":
        """Copies of the whole batch, one after the other."""
        return Window._make(tile(part, copies) for part in self)

    def move_on(self, values: torch.Tensor, step_features: torch.Tensor | None) -> "Window":
        """The window that ends with `values` (batch, length, channels), taken for observed ones."""
        observed = torch.ones_like(values, dtype=torch.bool)
        features = self.past_time_features
        if features is not None and step_features is not None:
            features = torch.cat([features, step_features], dim=1)
        return self._replace(
            past_values=torch.cat([self.past_values, values], dim=1),
            past_observed_mask=torch.cat([self.past_observed_mask, observed], dim=1),
            past_time_features=features,
        )


def read_request(
    config: LSTMForecasterConfig,
    past_values: torch.Tensor,
    past_time_features: torch.Tensor | None,
    past_observed_mask: torch.Tensor | None,
    static_categorical_features: torch.Tensor | None,
    static_real_features: torch.Tensor | None,
    future_time_features: torch.Tensor | None,
    prediction_length: int | None,
) -> tuple[Window, torch.Tensor | None, int]:
    """The window, what is known of the steps to forecast, and how many they are."""
    length = config.prediction_length if prediction_length is None else prediction_length
    if length < 1:
        raise ValueError(f"prediction_length={length} must be at least 1")
    values, observed = read_series("past", past_values, past_observed_mask, config.input_size)
    known = read_step_features(
        "future_time_features", future_time_features, values.shape[0], length, config.num_step_features
    )
    window = Window(values, observed, past_time_features, static_categorical_features, static_real_features)
    return window, known, length


# What varies less than this is rounding noise: it would turn an ordinary value into one whose square overflows.
SMALLEST_SCALE = 1e-15


class LSTMForecasterScaler(nn.Module):
    """
    Location and scale of each channel of a window, from its observed values alone: the net sees
    `(values - loc) / scale`, and its outputs are multiplied by `scale` and shifted by `loc`.

    A window without observed values has location 0, and one that does not vary has scale 1, whatever the others in the
    batch look like: a row's forecast never depends on its neighbours.
    """

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__()
        self.scaling = config.scaling
        if config.scaling == "revin":
            # The logarithm of RevIN's weight: the scale stays positive, so quantiles keep their order, and never zero.
            self.log_weight = nn.Parameter(torch.zeros(config.input_size))
            self.bias = nn.Parameter(torch.zeros(config.input_size))

    def forward(self, values: torch.Tensor, observed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        r"""
        Args:
            values (`torch.Tensor` of shape `(batch, length, channels)`): 0 where nothing was observed, in float32 or
                wider.
            observed (`torch.Tensor` of shape `(batch, length, channels)`): Bool.

        Returns:
            `loc` and `scale`, each (batch, 1, channels).
        """
        count = observed.sum(dim=1, keepdim=True).clamp(min=1)
        loc = torch.zeros_like(values[:, :1])
        scale = torch.ones_like(loc)
        if self.scaling == "mean":
            scale = values.abs().sum(dim=1, keepdim=True) / count
            scale = torch.where(scale > SMALLEST_SCALE, scale, 1.0)
        elif self.scaling != "none":
            mean = values.sum(dim=1, keepdim=True) / count
            loc = last_observed(values, observed) if self.scaling.startswith("last") else mean
            if self.scaling != "last":
                variance = ((values - mean) * observed).square().sum(dim=1, keepdim=True) / count
                # A constant series of large values varies by rounding alone: dividing by that would amplify noise.
                varies = variance.sqrt() > 1e-6 * mean.abs() + SMALLEST_SCALE
                scale = torch.where(varies, variance, 1.0).sqrt()
        if self.scaling == "revin":
            # ((x - loc) / scale) * weight + bias, written as another location and scale, is inverted like the rest.
            scale = scale / self.log_weight.exp().to(scale.dtype)
            loc = loc - self.bias.to(scale.dtype) * scale
        return loc, scale


def last_observed(values: torch.Tensor, observed: torch.Tensor) -> torch.Tensor:
    """The last observed value of each channel, 0 without one: (batch, length, channels) -> (batch, 1, channels)."""
    steps = torch.arange(1, values.shape[1] + 1, device=values.device).view(1, -1, 1)
    return values.gather(1, (steps * observed).argmax(dim=1, keepdim=True))


CELLS = {"lstm": nn.LSTM, "gru": nn.GRU, "rnn": nn.RNN}
GATES: dict[type[nn.Module], int] = {nn.LSTM: 4, nn.GRU: 3, nn.RNN: 1}


class LSTMForecasterLayer(GradientCheckpointingLayer):
    """One recurrent layer with dropout on what the layer below hands over."""

    def __init__(self, config: LSTMForecasterConfig, index: int, input_size: int):
        super().__init__()
        self.dropout = nn.Dropout(config.dropout if index else 0.0)
        self.cell = CELLS[config.cell_type](input_size, config.hidden_size, batch_first=True)
        self.initial_state: nn.Parameter | None = None
        if config.learned_initial_state:
            self.initial_state = nn.Parameter(torch.zeros(CELL_STATES[config.cell_type], config.hidden_size))

    def forward(
        self, hidden_states: torch.Tensor, state: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        (rows, patches, input_size) -> (rows, patches, hidden_size) and the state after the last patch. A state is one
        tensor (1, or 2 with an LSTM, rows, hidden_size): re-entrant checkpointing sees gradients of tensors only.
        Without a state the layer starts from `initial_state`, or from zeros.
        """
        hidden_states = self.dropout(hidden_states)
        if state is None and self.initial_state is not None:
            state = self.initial_state.unsqueeze(1).expand(-1, hidden_states.shape[0], -1).contiguous()
        device = hidden_states.device.type
        if torch.is_autocast_enabled(device):
            # Autocast leaves inputs alone here, and CPUs without bfloat16 refuse float32 inputs with bfloat16 weights.
            dtype = torch.get_autocast_dtype(device)
            hidden_states, state = hidden_states.to(dtype), None if state is None else state.to(dtype)
        if isinstance(self.cell, nn.LSTM):
            hidden_states, after = self.cell(hidden_states, None if state is None else (state[:1], state[1:]))
            return hidden_states, torch.cat(after)
        return self.cell(hidden_states, state)


class LSTMForecasterSegmentQueries(nn.Module):
    """What the recurrent net is asked with for each patch of the horizon: its position and its channel (SegRNN)."""

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__()
        has_channels = config.channel_independent and config.input_size > 1
        channel_size = config.hidden_size // 2 if has_channels else 0
        self.position = nn.Parameter(torch.zeros(config.num_segments, config.hidden_size - channel_size))
        self.channel = nn.Parameter(torch.zeros(config.input_size, channel_size)) if has_channels else None

    def forward(self, rows: int) -> torch.Tensor:
        """-> (rows * num_segments, 1, hidden_size), segments of a row side by side."""
        queries = self.position.unsqueeze(0)
        if self.channel is not None:
            channel = self.channel.unsqueeze(1).expand(-1, self.position.shape[0], -1)
            queries = torch.cat([queries.expand(self.channel.shape[0], -1, -1), channel], dim=-1)
        return queries.repeat(rows // queries.shape[0], 1, 1).flatten(0, 1).unsqueeze(1)


def init_recurrent_weights(cell: nn.RNNBase) -> None:
    """
    Gate by gate: Glorot for the input, orthogonal for the recurrence (Saxe et al. 2013, arXiv:1312.6120), bias 0 but 1
    for an LSTM's forget gate (Jozefowicz et al. 2015), which remembers until it learns what to forget.
    """
    gates = GATES[type(cell)]
    for name, parameter in cell.named_parameters():
        value = torch.zeros_like(parameter, dtype=torch.float32)
        for gate in value.chunk(gates) if name.startswith("weight") else ():
            if name.startswith("weight_ih"):
                init.xavier_uniform_(gate)
            else:
                init.orthogonal_(gate)
        if isinstance(cell, nn.LSTM) and name.startswith("bias_ih"):
            value.chunk(gates)[1].fill_(1.0)
        init.copy_(parameter, value)


# Parameters of a forecast -> the values that it goes on from.
Choose = Callable[[Params], torch.Tensor]


def join(params: list[Params], length: int) -> Params:
    """Parameters of consecutive steps, cropped to the first `length`."""
    return tuple(torch.cat(parts, dim=1)[:, :length] for parts in zip(*params))


class LSTMForecasterPreTrainedModel(PreTrainedModel):
    """Weight initialisation and loading for the family."""

    config: LSTMForecasterConfig
    base_model_prefix = "model"
    main_input_name = "past_values"
    input_modalities: tuple[str, ...] = ("time",)  # type: ignore[assignment]
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False
    _no_split_modules = ["LSTMForecasterLayer"]

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        super()._init_weights(module)
        if isinstance(module, nn.RNNBase):
            init_recurrent_weights(module)
        elif isinstance(module, nn.Linear):
            # The range of torch.nn.Linear. The base class would draw from a range made for wide layers.
            bound = module.in_features**-0.5
            init.uniform_(module.weight, -bound, bound)
            if module.bias is not None:
                init.zeros_(module.bias)
        elif isinstance(module, nn.Embedding):
            init.normal_(module.weight)
        elif isinstance(module, LSTMForecasterLayer) and module.initial_state is not None:
            init.zeros_(module.initial_state)
        elif isinstance(module, LSTMForecasterSegmentQueries):
            init.normal_(module.position)
            if module.channel is not None:
                init.normal_(module.channel)
        elif isinstance(module, LSTMForecasterSkip):
            init.zeros_(module.weight)
        elif isinstance(module, LSTMForecasterScaler) and module.scaling == "revin":
            init.zeros_(module.log_weight)
            init.zeros_(module.bias)
        indicator_columns = getattr(module, "indicator_columns", None)
        if indicator_columns is not None:
            # A net that never met a missing value must not be thrown off by its first one. (A slice loses the flag by
            # which `init` leaves loaded weights alone.)
            weight = module.get_parameter("weight_ih_l0" if isinstance(module, nn.RNNBase) else "weight")
            if not getattr(weight, "_is_hf_initialized", False):
                init.zeros_(weight[:, indicator_columns])


class LSTMForecasterModel(LSTMForecasterPreTrainedModel):
    """The model without its head: a window of series to the hidden states of the LSTM."""

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__(config)
        self.scaler = LSTMForecasterScaler(config)
        self.static_embeddings = nn.ModuleList(
            nn.Embedding(size, dimension)
            for size, dimension in zip(config.cardinality, config.embedding_dimension or ())
        )
        width = config.patch_length * (2 * config.num_channels + config.num_step_features) + config.num_static_features
        width += config.num_channels if config.level_weight else 0
        if config.patch_embedding:
            self.embedding: nn.Module = nn.Sequential(nn.Linear(width, config.hidden_size), ACT2FN[config.hidden_act])
            width = config.hidden_size
        else:
            self.embedding = nn.Identity()
        self.layers = nn.ModuleList(
            LSTMForecasterLayer(config, index, config.hidden_size if index else width)
            for index in range(config.num_layers)
        )
        # Values come first, then what is missing of them. Told to the module that owns the weight: of remote code,
        # transformers initialises only modules with parameters of their own.
        first: Any = self.embedding[0] if isinstance(self.embedding, nn.Sequential) else self.layers[0].cell
        size = config.patch_length * config.num_channels
        first.indicator_columns = slice(size, 2 * size)
        self.post_init()

    def to_rows(self, series: torch.Tensor) -> torch.Tensor:
        """(batch, length, input_size) -> (rows, length, num_channels): channels move to the batch if independent."""
        if not self.config.channel_independent:
            return series
        return series.transpose(1, 2).flatten(0, 1).unsqueeze(-1)

    def spread(self, features: torch.Tensor) -> torch.Tensor:
        """(batch, ...), the same for every channel of a window -> (rows, ...)."""
        if not self.config.channel_independent:
            return features
        return features.repeat_interleave(self.config.input_size, dim=0)

    def from_rows(self, hidden_states: torch.Tensor) -> torch.Tensor:
        """(rows, ...) -> (batch, input_size, ...) with independent channels."""
        if not self.config.channel_independent:
            return hidden_states
        return hidden_states.unflatten(0, (-1, self.config.input_size))

    def read_window(
        self, past_values: torch.Tensor, past_observed_mask: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        """
        Scaled values (with `log_values` of the logarithms) and what was observed of them in whole patches, (batch,
        patches * patch_length, input_size), and their `loc` and `scale`, (batch, 1, input_size).
        """
        values, observed = read_series("past", past_values, past_observed_mask, self.config.input_size)
        values, observed = fit(values, self.config), fit(observed, self.config)
        values = logarithms(values, observed) if self.config.log_values else values
        loc, scale = self.scaler(values, observed)
        return torch.where(observed, (values - loc) / scale, 0.0), observed, loc, scale

    def embed(
        self,
        values: torch.Tensor,
        observed: torch.Tensor,
        step_features: torch.Tensor | None,
        loc: torch.Tensor,
        static_features: torch.Tensor | None,
    ) -> torch.Tensor:
        """
        Scaled values (batch, patches * patch_length, input_size) -> what the first recurrent layer reads, (batch,
        patches, width), or (batch, input_size, patches, width) with independent channels.
        """
        steps = [self.to_rows(values), self.to_rows(~observed)]
        steps += [] if step_features is None else [self.spread(step_features)]
        patches = [part.to(self.dtype).unflatten(1, (-1, self.config.patch_length)).flatten(2) for part in steps]
        if static_features is not None:
            static = self.spread(static_features.to(self.dtype)).unsqueeze(1)
            patches.append(static.expand(-1, patches[0].shape[1], -1))
        if self.config.level_weight:
            level = self.to_rows(self.config.level_weight * loc).to(self.dtype)
            patches.append(level.expand(-1, patches[0].shape[1], -1))
        return self.from_rows(self.embedding(torch.cat(patches, dim=-1)))

    def recur(
        self, hidden_state: torch.Tensor, states: tuple[torch.Tensor, ...] | None = None
    ) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Inputs (..., patches, width) -> the input and each layer's output, and each layer's state at the end."""
        if self.training and self.layers[0].gradient_checkpointing and not hidden_state.requires_grad:
            # Re-entrant checkpointing gives no gradient to weights whose inputs need none.
            hidden_state = hidden_state.detach().requires_grad_(torch.is_grad_enabled())
        shape = hidden_state.shape[:-2]
        outputs, after = [hidden_state], []
        for index, layer in enumerate(self.layers):
            rows, state = layer(hidden_state.flatten(0, -3), None if states is None else states[index])
            hidden_state = rows.unflatten(0, shape)
            outputs.append(hidden_state)
            after.append(state)
        return tuple(outputs), tuple(after)

    @can_return_tuple
    def forward(
        self,
        past_values: torch.Tensor,
        past_time_features: torch.Tensor | None = None,
        past_observed_mask: torch.Tensor | None = None,
        static_categorical_features: torch.Tensor | None = None,
        static_real_features: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> LSTMForecasterModelOutput:
        r"""
        Args:
            past_values (`torch.Tensor` of shape `(batch, length, input_size)`): Or (batch, length) of a single series.
                The last `context_length` steps are read; a shorter window is padded on the left with missing values.
                NaN is missing too.
            past_time_features (`torch.Tensor` of shape `(batch, length, num_time_features +
                num_dynamic_real_features)`): Finite numbers.
            past_observed_mask (`torch.Tensor`, *optional*): As `past_values`, or one channel for all; 1 where a value
                was observed.
            static_categorical_features (`torch.LongTensor` of shape `(batch, len(cardinality))`): Integers.
            static_real_features (`torch.Tensor` of shape `(batch, num_static_real_features)`): Finite numbers.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every recurrent layer.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

        Raises:
            ValueError: An argument is missing or has another shape than the config describes; the message names it.
        """
        config = self.config
        values, observed, loc, scale = self.read_window(past_values, past_observed_mask)
        batch, length = past_values.shape[:2]
        features = read_step_features(
            "past_time_features", past_time_features, batch, length, config.num_step_features, exact=True
        )
        if output_hidden_states is None:
            output_hidden_states = config.output_hidden_states

        features = None if features is None else fit(features, config)
        static_features = read_static_features(
            config, self.static_embeddings, static_categorical_features, static_real_features, batch
        )
        hidden_states, recurrent_state = self.recur(self.embed(values, observed, features, loc, static_features))
        return LSTMForecasterModelOutput(
            last_hidden_state=hidden_states[-1],
            recurrent_state=recurrent_state,
            hidden_states=hidden_states if output_hidden_states else None,
            loc=loc,
            scale=scale,
            static_features=static_features,
            scaled_values=values if config.linear_skip else None,
        )


class LSTMForecasterForPrediction(LSTMForecasterPreTrainedModel):
    """The net with a decoder of the horizon and a head: forecasts, their loss and sample paths."""

    def __init__(self, config: LSTMForecasterConfig):
        super().__init__(config)
        self.model = LSTMForecasterModel(config)
        self.output = OUTPUTS[config.head](config)
        if config.decoding == "segments":
            self.queries = LSTMForecasterSegmentQueries(config)
        steps = config.prediction_length if config.decoding == "direct" else config.patch_length
        self.head = LSTMForecasterHead(config, steps, self.output.numbers)
        if config.linear_skip:
            self.skip = LSTMForecasterSkip(config)
        self.post_init()

    def output_distribution(self, params: Params) -> Distribution:
        """
        The `torch.distributions` object of every forecast number, in the units of the data. `params`: those of the
        outputs.

        Raises:
            ValueError: The head is not a distribution.
        """
        if not isinstance(self.output, DistributionOutput):
            raise ValueError(f"head={self.config.head!r} forecasts no distribution")
        return self.output.distribution(params)

    @torch.no_grad()
    def fit_linear_skip(self, batches: Iterable[Mapping[str, torch.Tensor]], ridge: float) -> int:
        """
        Fit the linear map of `linear_skip` to windows and keep it: training changes the net alone, which learns what
        the map leaves. See [`RidgeRegression`] for what is minimised.

        Args:
            batches (`Iterable`): Arguments of `forward`, `future_values` of `prediction_length` steps among them.
                Series whose future is not wholly observed are left out.
            ridge (`float`): Strength of the penalty, above 0, for values (with `scale_loss` scaled ones) of deviation
                1.

        Returns:
            The number of series of windows that the map was fitted to.

        Raises:
            ValueError: The model has no linear map, `ridge` is not above 0, a future is of another length, or none is
                wholly observed.
        """
        if not self.config.linear_skip:
            raise ValueError("linear_skip=False: this model has no linear map to fit")
        regression = RidgeRegression(ridge)
        for arguments in batches:
            batch = {name: part.to(self.device) for name, part in arguments.items() if part is not None}
            values, _, loc, scale = self.model.read_window(batch["past_values"], batch.get("past_observed_mask"))
            future = batch.get("future_values")
            if future is None or future.shape[1] != self.config.prediction_length:
                raise ValueError(f"future_values must have prediction_length={self.config.prediction_length} steps")
            target, known = read_series("future", future, batch.get("future_observed_mask"), self.config.input_size)
            target = logarithms(target, known) if self.config.log_values else target
            inputs = self.skip.inputs(values, loc, scale)
            regression.add(inputs, target - loc, known.all(dim=1), scale if self.config.scale_loss else None)
        self.skip.set(regression.solve())
        return regression.rows

    def read_out(
        self, features: torch.Tensor, step_features: torch.Tensor | None, encoded: LSTMForecasterModelOutput
    ) -> Params:
        """Features (rows, segments, hidden_size) -> parameters of their steps, (batch, steps, input_size, ...)."""
        covariates = None
        if step_features is not None:
            missing = features.shape[1] * self.head.steps - step_features.shape[1]
            covariates = self.model.spread(nn.functional.pad(step_features, (0, 0, 0, missing)).to(self.dtype))
        raw = self.head(features, covariates)
        if self.config.channel_independent:
            raw = self.model.from_rows(raw).squeeze(3).transpose(1, 2)
        loc = encoded.loc
        if self.config.linear_skip:
            loc = loc + self.skip(encoded.scaled_values, loc, encoded.scale)
        return self.output.parameters(raw.to(loc.dtype), loc, encoded.scale)

    def read_on(
        self,
        values: torch.Tensor,
        observed: torch.Tensor,
        step_features: torch.Tensor | None,
        encoded: LSTMForecasterModelOutput,
    ) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        """The net reads more patches: (batch, steps, input_size) -> (rows, patches, hidden_size) and its states."""
        values = logarithms(values, observed) if self.config.log_values else values
        values = torch.where(observed, (values - encoded.loc) / encoded.scale, 0.0)
        inputs = self.model.embed(values, observed, step_features, encoded.loc, encoded.static_features)
        hidden_states, states = self.model.recur(inputs, encoded.recurrent_state)
        return hidden_states[-1].flatten(0, -3), states

    def decode_recursive(
        self,
        features: torch.Tensor,
        encoded: LSTMForecasterModelOutput,
        step_features: torch.Tensor | None,
        length: int,
        choose: Choose,
        copies: int,
    ) -> tuple[Params, torch.Tensor]:
        """
        Patch after patch, reading its own choices (DeepAR, arXiv:1704.04110).

        Args:
            features (`torch.Tensor` of shape `(rows, 1, hidden_size)`): The last outputs for the window.
            encoded, step_features, length, choose, copies: As of `decode`, and so is what is returned.
        """
        patch = self.config.patch_length
        features = tile(features, copies)
        encoded = LSTMForecasterModelOutput(
            recurrent_state=tuple(tile(state, copies, dim=1) for state in encoded.recurrent_state),
            loc=tile(encoded.loc, copies),
            scale=tile(encoded.scale, copies),
            static_features=tile(encoded.static_features, copies),
        )
        if step_features is not None:
            step_features = tile(nn.functional.pad(step_features, (0, 0, 0, -length % patch)), copies)
        params: list[Params] = []
        path: list[torch.Tensor] = []
        for start in range(0, length, patch):
            if start:
                read = None if step_features is None else step_features[:, start - patch : start]
                observed = torch.ones_like(path[-1], dtype=torch.bool)
                features, encoded.recurrent_state = self.read_on(path[-1], observed, read, encoded)
            known = None if step_features is None else step_features[:, start : start + patch]
            params.append(self.read_out(features, known, encoded))
            path.append(choose(params[-1]))
        return join(params, length), torch.cat(path, dim=1)[:, :length]

    def decode(
        self,
        encoded: LSTMForecasterModelOutput,
        step_features: torch.Tensor | None,
        length: int,
        choose: Choose,
        copies: int,
        teacher: tuple[torch.Tensor, torch.Tensor] | None,
    ) -> tuple[Params, torch.Tensor]:
        """
        The steps that follow a window.

        Args:
            encoded (`LSTMForecasterModelOutput`): What the base model returned for it.
            step_features (`torch.Tensor` of shape `(batch, length, features)`): What is known of the steps.
            length (`int`): How many; with parallel decoding no more than `prediction_length`.
            choose: Parameters -> values: the point forecast, or a sample.
            copies (`int`): Decode each window so many times, copies of the whole batch one after the other.
            teacher: True values and what was observed of them, read in place of own forecasts.

        Returns:
            Parameters and chosen values, (copies * batch, length, input_size[, quantiles]).
        """
        features = encoded.last_hidden_state[..., -1:, :].reshape(-1, 1, self.config.hidden_size)
        if self.config.decoding == "recursive":
            if teacher is None:
                return self.decode_recursive(features, encoded, step_features, length, choose, copies)
            known = (length - 1) // self.config.patch_length * self.config.patch_length
            if known:
                values, observed = (series[:, :known] for series in teacher)
                known_features = None if step_features is None else step_features[:, :known]
                features = torch.cat([features, self.read_on(values, observed, known_features, encoded)[0]], dim=1)
        elif self.config.decoding == "segments":
            # Every segment is one step away from the end of the window, so errors do not add up (arXiv:2308.11200).
            segments = self.config.num_segments
            states = tuple(state.repeat_interleave(segments, dim=1) for state in encoded.recurrent_state)
            hidden_states, _ = self.model.recur(self.queries(features.shape[0]), states)
            features = hidden_states[-1].unflatten(0, (-1, segments)).flatten(1, 2)
        params = self.read_out(features, step_features, encoded)
        params = tuple(tile(param[:, :length], copies) for param in params)
        return params, choose(params)

    def forecast(
        self,
        window: Window,
        step_features: torch.Tensor | None,
        length: int,
        choose: Choose,
        copies: int = 1,
        teacher: tuple[torch.Tensor, torch.Tensor] | None = None,
        output_hidden_states: bool | None = None,
    ) -> tuple[Params, torch.Tensor, LSTMForecasterModelOutput]:
        """
        Any number of steps: where they are more than one pass decodes, the window moves on over what was chosen.

        Returns:
            Parameters and chosen values as of `decode`, and what the base model returned for the first window.
        """
        first = encoded = self.model(**window._asdict(), output_hidden_states=output_hidden_states, return_dict=True)
        # The recurrent net itself reads on as far as it is asked to.
        reach = length if self.config.decoding == "recursive" else self.config.prediction_length
        params: list[Params] = []
        path: list[torch.Tensor] = []
        for start in range(0, length, reach):
            known = None if step_features is None else step_features[:, start : start + reach]
            if start:
                encoded = self.model(**window._asdict(), return_dict=True)
            part, values = self.decode(encoded, known, min(reach, length - start), choose, copies, teacher)
            params.append(part)
            path.append(values)
            if start + reach < length:
                window = window.tile(copies).move_on(values, tile(known, copies))
                step_features, copies = tile(step_features, copies), 1
        return join(params, length), torch.cat(path, dim=1), first

    @can_return_tuple
    def forward(
        self,
        past_values: torch.Tensor,
        past_time_features: torch.Tensor | None = None,
        past_observed_mask: torch.Tensor | None = None,
        static_categorical_features: torch.Tensor | None = None,
        static_real_features: torch.Tensor | None = None,
        future_values: torch.Tensor | None = None,
        future_time_features: torch.Tensor | None = None,
        future_observed_mask: torch.Tensor | None = None,
        prediction_length: int | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> LSTMForecasterForPredictionOutput:
        r"""
        Args:
            past_values (`torch.Tensor` of shape `(batch, length, input_size)`): Or (batch, length) of a single series.
                The last `context_length` steps are read; a shorter window is padded on the left with missing values.
                NaN is missing too.
            past_time_features (`torch.Tensor` of shape `(batch, length, num_time_features +
                num_dynamic_real_features)`): Finite numbers.
            past_observed_mask (`torch.Tensor`, *optional*): As `past_values`, or one channel for all; 1 where a value
                was observed.
            static_categorical_features (`torch.LongTensor` of shape `(batch, len(cardinality))`): Integers.
            static_real_features (`torch.Tensor` of shape `(batch, num_static_real_features)`): Finite numbers.
            future_values (`torch.Tensor` of shape `(batch, prediction length, input_size)`): Or (batch, prediction
                length), the truth.
            future_time_features (`torch.Tensor` of shape `(batch, prediction length or more, num_time_features +
                num_dynamic_real_features)`)
            future_observed_mask (`torch.Tensor`, *optional*): As `future_values`; only observed values count in the
                loss. NaN counts as missing.
            prediction_length (`int`, *optional*): Steps to forecast; by default those of `future_values`, or the
                config's. A shorter forecast is a crop; a longer one is rolled out: the window moves on over the point
                forecast.
            output_hidden_states (`bool`, *optional*): Also return the input and the output of every recurrent layer.
            return_dict (`bool`, *optional*): A `ModelOutput` (default) or a plain tuple.

        With `decoding="recursive"`, `future_values` are read by the net while training (teacher forcing). In
        evaluation mode no forecast depends on what the future held.

        Raises:
            ValueError: An argument is missing or has another shape than the config describes; the message names it.
        """
        target = None
        if future_values is not None:
            target, target_observed = read_series(
                "future", future_values, future_observed_mask, self.config.input_size
            )
            if prediction_length not in (None, target.shape[1]) or target.shape[0] != past_values.shape[0]:
                raise ValueError(
                    f"future_values has shape {tuple(future_values.shape)}, but {past_values.shape[0]} windows of "
                    f"prediction_length={prediction_length or target.shape[1]} steps are forecast"
                )
            counts = self.config.head == "negative_binomial"
            if counts and not torch.compiler.is_compiling() and bool((target < 0).any()):
                raise ValueError("future_values has negative numbers, but head='negative_binomial' forecasts counts")
            prediction_length = target.shape[1]
        window, step_features, length = read_request(
            self.config,
            past_values,
            past_time_features,
            past_observed_mask,
            static_categorical_features,
            static_real_features,
            future_time_features,
            prediction_length,
        )
        params, prediction, encoded = self.forecast(
            window,
            step_features,
            length,
            choose=self.output.point,
            teacher=(target, target_observed) if target is not None and self.training else None,
            output_hidden_states=output_hidden_states,
        )

        loss = None
        if target is not None:
            # Detached: a learned scale must not make the loss small by making the unit large.
            unit = encoded.scale.detach() if self.config.scale_loss else torch.ones_like(encoded.scale)
            truth = logarithms(target, target_observed) if self.config.log_values else target
            losses = self.output.loss(params, truth, unit)
            loss = torch.where(target_observed, losses, 0.0).sum() / target_observed.sum().clamp(min=1)
        is_distribution = isinstance(self.output, DistributionOutput)
        quantiles = None if is_distribution and self.training else self.output.quantiles(params)

        def shaped(series: torch.Tensor) -> torch.Tensor:
            """Without the channel axis where `past_values` has none."""
            return series.squeeze(2) if past_values.ndim == 2 else series

        return LSTMForecasterForPredictionOutput(
            loss=loss,
            prediction_outputs=shaped(prediction),
            quantile_outputs=None if quantiles is None else shaped(quantiles),
            params=tuple(shaped(param) for param in params) if is_distribution else None,
            loc=shaped(encoded.loc),
            scale=shaped(encoded.scale),
            hidden_states=encoded.hidden_states,
        )

    @torch.no_grad()
    def generate(
        self,
        past_values: torch.Tensor,
        past_time_features: torch.Tensor | None = None,
        future_time_features: torch.Tensor | None = None,
        past_observed_mask: torch.Tensor | None = None,
        static_categorical_features: torch.Tensor | None = None,
        static_real_features: torch.Tensor | None = None,
        prediction_length: int | None = None,
        num_parallel_samples: int | None = None,
    ) -> SampleTSPredictionOutput:
        r"""
        Sample paths of the future; arguments as of `forward`.

        With `decoding="recursive"`, and from window to window of a roll-out, a path goes on from its own values. Steps
        that are decoded in parallel are drawn independently of each other: right for the distribution of each step,
        too narrow for that of their sum. A point head knows one path.

        Args:
            num_parallel_samples (`int`, *optional*): Paths of each window, by default `config.num_parallel_samples`.

        Returns:
            `sequences` (batch, num_parallel_samples, prediction_length, input_size), without the last axis where
            `past_values` has none.
        """
        copies = self.config.num_parallel_samples if num_parallel_samples is None else num_parallel_samples
        if copies < 1:
            raise ValueError(f"num_parallel_samples={copies} must be at least 1")
        window, step_features, length = read_request(
            self.config,
            past_values,
            past_time_features,
            past_observed_mask,
            static_categorical_features,
            static_real_features,
            future_time_features,
            prediction_length,
        )
        copies = 1 if self.config.head == "point" else copies
        _, paths, _ = self.forecast(window, step_features, length, choose=self.output.sample, copies=copies)
        sequences = paths.unflatten(0, (copies, -1)).transpose(0, 1)
        return SampleTSPredictionOutput(sequences=sequences.squeeze(-1) if past_values.ndim == 2 else sequences)


__all__ = ["LSTMForecasterForPrediction", "LSTMForecasterModel", "LSTMForecasterPreTrainedModel"]
