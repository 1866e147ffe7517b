"""The LSTM forecaster: scale, cut into patches, recurrent layers, decode the horizon, undo the scale."""

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_outputs import SampleTSPredictionOutput
from transformers.utils.generic import can_return_tuple

from .configuration_lstm_forecaster import LSTMForecasterConfig
from .layers_decoding import Choose, decode_recursive, join
from .layers_heads import OUTPUTS, DistributionOutput, LSTMForecasterHead, Params
from .layers_outputs import LSTMForecasterForPredictionOutput, LSTMForecasterModelOutput
from .layers_recurrent import LSTMForecasterLayer, LSTMForecasterSegmentQueries, init_recurrent_weights
from .layers_scaling import LSTMForecasterScaler
from .layers_skip import LSTMForecasterSkip, RidgeRegression
from .layers_window import (
    Window,
    fit,
    logarithms,
    read_request,
    read_series,
    read_static_features,
    read_step_features,
    tile,
    tile_or_none,
)


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
            # LeCun's range: outputs as large as inputs. The base class would draw from a range made for wide layers.
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
    """The bare net: a window of series to what is remembered of it."""

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
        Values (with `log_values` their logarithms) and what was observed of them in whole patches, (batch, patches *
        patch_length, input_size), and their `loc` and `scale`, (batch, 1, input_size).
        """
        values, observed = read_series("past", past_values, past_observed_mask, self.config.input_size)
        values, observed = fit(values, self.config), fit(observed, self.config)
        values = logarithms(values, observed) if self.config.log_values else values
        return values, observed, *self.scaler(values, observed)

    def embed(
        self,
        values: torch.Tensor,
        observed: torch.Tensor,
        step_features: torch.Tensor | None,
        encoded: LSTMForecasterModelOutput,
    ) -> torch.Tensor:
        """Whole patches of values (batch, patches * patch_length, input_size) -> (rows, patches, width)."""
        scaled = torch.where(observed, (values - encoded.loc) / encoded.scale, 0.0)
        steps = [self.to_rows(scaled), self.to_rows(~observed)]
        steps += [] if step_features is None else [self.spread(step_features)]
        patches = [part.to(self.dtype).unflatten(1, (-1, self.config.patch_length)).flatten(2) for part in steps]
        if encoded.static_features is not None:
            static = self.spread(encoded.static_features.to(self.dtype)).unsqueeze(1)
            patches.append(static.expand(-1, patches[0].shape[1], -1))
        if self.config.level_weight:
            level = self.to_rows(self.config.level_weight * encoded.loc).to(self.dtype)
            patches.append(level.expand(-1, patches[0].shape[1], -1))
        return self.embedding(torch.cat(patches, dim=-1))

    def recur(
        self, hidden_state: torch.Tensor, states: tuple[torch.Tensor, ...] | None = None
    ) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...]]:
        """Inputs (rows, patches, width) -> the input and each layer's output, and each layer's state at the end."""
        outputs, after = [hidden_state], []
        for index, layer in enumerate(self.layers):
            hidden_state, state = layer(hidden_state, None if states is None else states[index])
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
    ) -> LSTMForecasterModelOutput:
        r"""
        Args:
            past_values: (batch, length, input_size), or (batch, length) of a single series. The last `context_length`
                steps are read; a shorter window is padded on the left with missing values. NaN is missing too.
            past_time_features: (batch, length, num_time_features + num_dynamic_real_features), finite numbers.
            past_observed_mask: As `past_values`, or one channel for all; 1 where a value was observed.
            static_categorical_features: (batch, len(cardinality)), integers.
            static_real_features: (batch, num_static_real_features), finite numbers.
            output_hidden_states: Also return the input and the output of every recurrent layer.
            return_dict: A `ModelOutput` (default) or a plain tuple.

        Raises:
            ValueError: An argument is missing or has another shape than the config says; the message names it.
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
        encoded = LSTMForecasterModelOutput(loc=loc, scale=scale, static_features=static_features)
        hidden_states, encoded.recurrent_state = self.recur(self.embed(values, observed, features, encoded))
        encoded.last_hidden_state = self.from_rows(hidden_states[-1])
        if config.linear_skip:
            encoded.scaled_values = torch.where(observed, (values - loc) / scale, 0.0)
        if output_hidden_states:
            encoded.hidden_states = tuple(self.from_rows(hidden_state) for hidden_state in hidden_states)
        return encoded


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
        Fit the linear map of `linear_skip` to windows and keep it: training starts at its forecasts and changes the
        net alone, which learns what the map leaves. See [`RidgeRegression`] for what is minimised.

        Args:
            batches: Arguments of `forward`, `future_values` of `prediction_length` steps among them. Series whose
                future is not wholly observed are left out.
            ridge: Strength of the penalty, above 0, for values (with `scale_loss` scaled ones) of deviation 1.

        Returns:
            How many series of windows the map was fitted to.

        Raises:
            ValueError: The model has no linear map, `ridge` is not above 0, a future is of another length, or none is
                wholly observed.
        """
        if not self.config.linear_skip:
            raise ValueError("linear_skip=False: this model has no linear map to fit")
        regression = RidgeRegression(ridge)
        for batch in batches:
            values, observed, loc, scale = self.model.read_window(
                batch["past_values"], batch.get("past_observed_mask")
            )
            future = batch.get("future_values")
            if future is None or future.shape[1] != self.config.prediction_length:
                raise ValueError(f"future_values must have prediction_length={self.config.prediction_length} steps")
            target, known = read_series("future", future, batch.get("future_observed_mask"), self.config.input_size)
            target = logarithms(target, known) if self.config.log_values else target
            inputs = self.skip.inputs(torch.where(observed, (values - loc) / scale, 0.0), loc, scale)
            regression.add(inputs, target - loc, known.all(dim=1), scale if self.config.scale_loss else None)
        self.skip.set(regression.solve())
        self.head.say_nothing()
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
        """The net meets more patches: (batch, steps, input_size) -> (rows, patches, hidden_size) and its states."""
        values = logarithms(values, observed) if self.config.log_values else values
        inputs = self.model.embed(values, observed, step_features, encoded)
        hidden_states, states = self.model.recur(inputs, encoded.recurrent_state)
        return hidden_states[-1], states

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
            encoded: What the base model returned for it.
            step_features: (batch, length, features), what is known of the steps.
            length: How many; with parallel decoding no more than `prediction_length`.
            choose: Parameters -> values: the point forecast, or a sample.
            copies: Decode each window so many times, copies of the whole batch one after the other.
            teacher: True values and what was observed of them, read in place of own forecasts.

        Returns:
            Parameters and chosen values, (copies * batch, length, input_size[, quantiles]).
        """
        features = encoded.last_hidden_state[..., -1:, :].reshape(-1, 1, self.config.hidden_size)
        if self.config.decoding == "recursive" and teacher is None:
            return decode_recursive(self, features, encoded, step_features, length, choose, copies)
        if self.config.decoding == "recursive" and teacher is not None:
            known = (length - 1) // self.config.patch_length * self.config.patch_length
            if known:
                values, observed = (series[:, :known] for series in teacher)
                known_features = None if step_features is None else step_features[:, :known]
                features = torch.cat([features, self.read_on(values, observed, known_features, encoded)[0]], dim=1)
        elif self.config.decoding == "segments":
            # Every segment is one step away from the end of the window, so errors do not add up (arXiv:2308.11200).
            segments = self.config.num_segments
            states = tuple(state.repeat_interleave(segments, dim=1) for state in encoded.recurrent_state)
            hidden_states, _ = self.model.recur(self.queries(len(features)), states)
            features = hidden_states[-1].view(len(features), segments, -1)
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
                window = window.tile(copies).move_on(values, tile_or_none(known, copies))
                step_features, copies = tile_or_none(step_features, copies), 1
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
    ) -> LSTMForecasterForPredictionOutput:
        r"""
        Args:
            past_values: (batch, length, input_size), or (batch, length) of a single series. The last `context_length`
                steps are read; a shorter window is padded on the left with missing values. NaN is missing too.
            past_time_features: (batch, length, num_time_features + num_dynamic_real_features), finite numbers.
            past_observed_mask: As `past_values`, or one channel for all; 1 where a value was observed.
            static_categorical_features: (batch, len(cardinality)), integers.
            static_real_features: (batch, num_static_real_features), finite numbers.
            future_values: (batch, prediction length, input_size) or (batch, prediction length), the truth.
            future_time_features: (batch, prediction length or more, num_time_features + num_dynamic_real_features).
            future_observed_mask: As `future_values`; only observed values count in the loss. NaN counts as missing.
            prediction_length: Steps to forecast; by default those of `future_values`, or the config's. A shorter
                forecast is a crop; a longer one is rolled out: the window moves on over the point forecast.
            output_hidden_states: Also return the input and the output of every recurrent layer.
            return_dict: A `ModelOutput` (default) or a plain tuple.

        With `decoding="recursive"`, `future_values` are read by the net while training (teacher forcing). In
        evaluation mode no forecast depends on what the future held.

        Raises:
            ValueError: An argument is missing or has another shape than the config says; the message names it.
        """
        target = None
        if future_values is not None:
            target, target_observed = read_series(
                "future", future_values, future_observed_mask, self.config.input_size
            )
            if prediction_length not in (None, target.shape[1]) or len(target) != len(past_values):
                raise ValueError(
                    f"future_values has shape {tuple(future_values.shape)}, but {len(past_values)} windows of "
                    f"prediction_length={prediction_length or target.shape[1]} steps are forecast"
                )
            if self.config.head == "negative_binomial" and bool((target < 0).any()):
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
            num_parallel_samples: Paths of each window, by default `config.num_parallel_samples`.

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
