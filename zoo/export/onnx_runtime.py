"""Run ONNX files with onnxruntime, as models of transformers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from transformers import GenerationConfig, GenerationMixin, LogitsProcessorList, PreTrainedConfig
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput
from transformers.utils import ModelOutput

from .runtime import ExportedModel, named_as_original


class Session:
    """One ONNX file: tensors in and out, by name.

    Args:
        path: The file.

    Raises:
        ValueError: onnxruntime cannot read it.
    """

    def __init__(self, path: Path):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        try:
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own classes have no common base
            reason = " ".join(str(error).split())
            raise ValueError(
                f"onnxruntime {onnxruntime.__version__} cannot load {path}: {reason[:300]} (export the model again, "
                "or update onnxruntime)"
            ) from None
        self.inputs = [value.name for value in self.session.get_inputs()]
        self.shapes = {value.name: value.shape for value in self.session.get_inputs()}
        self.outputs = [value.name for value in self.session.get_outputs()]

    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Run it on the inputs that it has; others are ignored.

        Raises:
            ValueError: One is missing.
        """
        missing = [name for name in self.inputs if inputs.get(name) is None]
        if missing:
            raise ValueError(f"{missing[0]} is missing: this model reads {', '.join(self.inputs)}")
        feed = {name: inputs[name].detach().cpu().contiguous().numpy() for name in self.inputs}
        values = self.session.run(None, feed)
        return {name: torch.from_numpy(value) for name, value in zip(self.outputs, values)}


def to_output(values: Mapping[str, torch.Tensor]) -> ModelOutput:
    """Tensors as attributes and items."""
    output = ModelOutput()
    for name, value in values.items():
        output[name] = value
    return output


class ONNXModel(ExportedModel):
    """A model that answers in one pass."""

    def __init__(self, config: PreTrainedConfig, folder: Path):
        super().__init__(config, folder)
        self.session = Session(folder / "model.onnx")
        self.main_input_name = self.session.inputs[0]

    def forward(self, **inputs: Any) -> ModelOutput:
        """Arguments of the original's forward -> its outputs; there is no loss."""
        return to_output(self.session(inputs))


class ONNXForecaster(ONNXModel):
    """A forecaster: its horizon is the config's, and missing values are NaN."""

    def forward(  # type: ignore[override]
        self,
        past_values: torch.Tensor,
        past_observed_mask: torch.Tensor | None = None,
        prediction_length: int | None = None,
        **inputs: Any,
    ) -> ModelOutput:
        """
        Args:
            past_values (`torch.Tensor` of shape `(batch, length, input_size)`)
            past_observed_mask (`torch.Tensor`, *optional*): 1 where a value was observed.
            prediction_length (`int`, *optional*): Steps, at most those of the config.

        Raises:
            ValueError: More steps than the graph has, or none.
        """
        longest = self.config.prediction_length
        length = longest if prediction_length is None else prediction_length
        if length < 1:
            raise ValueError(f"prediction_length={length} must be at least 1")
        if length > longest:
            raise ValueError(f"prediction_length={length}: the exported model forecasts {longest} steps at most")
        if past_observed_mask is not None:
            past_values = past_values.masked_fill(~past_observed_mask.bool(), float("nan"))
        outputs = self.session({**inputs, "past_values": past_values.float()})
        per_window = ("loc", "scale")
        return to_output({name: value if name in per_window else value[:, :length] for name, value in outputs.items()})


class ONNXCache(Cache):
    """What an exported decoder remembers: tensors by the names of its inputs, batch first.

    Args:
        past: What a step changes.
        source: What stays, the same for all beams of a source.
    """

    is_compileable = False
    is_croppable = False

    def __init__(self, past: dict[str, torch.Tensor], source: dict[str, torch.Tensor]):
        super().__init__(layers=[])
        self.past, self.source = past, source
        self.seen_tokens = 0

    @property
    def is_initialized(self) -> bool:
        """It is made with its tensors."""
        return True

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Tokens that were read."""
        return self.seen_tokens

    def get_max_length(self, layer_idx: int | None = None) -> int:
        """-1: no limit."""
        return -1

    def step(self, outputs: dict[str, torch.Tensor]) -> None:
        """One token more."""
        self.past = {name: outputs[name.replace("past", "present", 1)] for name in self.past}
        self.seen_tokens += 1

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Beams swap places."""
        self.past = {name: value.index_select(0, beam_idx) for name, value in self.past.items()}


class ONNXEncoder(nn.Module):
    """encoder_model.onnx, as `generate()` calls an encoder."""

    def __init__(self, path: Path):
        super().__init__()
        self.session = Session(path)
        self.main_input_name = self.session.inputs[0]

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        input_features: torch.Tensor | None = None,
        return_dict: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
    ) -> BaseModelOutput:
        """The encoded source, with everything else that the file puts out under its name."""
        source: Any = input_features if input_ids is None else input_ids
        if attention_mask is None:
            attention_mask = torch.ones(source.shape[:2], dtype=torch.long)
        outputs = self.session(
            {
                "input_ids": input_ids,  # type: ignore[dict-item]
                "input_features": input_features,  # type: ignore[dict-item]
                "attention_mask": attention_mask.long() if attention_mask.ndim == 2 else attention_mask[..., 0].long(),
            }
        )
        encoded = BaseModelOutput(last_hidden_state=outputs.pop("last_hidden_state"))  # type: ignore[arg-type]
        for name, value in outputs.items():
            encoded[name] = value
        return encoded


class ONNXSeq2Seq(ExportedModel, GenerationMixin):
    """An encoder-decoder with all of `generate()`."""

    _is_stateful = True  # no way back to an earlier token, as assisted decoding wants

    def __init__(self, config: PreTrainedConfig, folder: Path):
        super().__init__(config, folder)
        self.encoder = ONNXEncoder(folder / "encoder_model.onnx")
        self.decoder_session = Session(folder / "decoder_model.onnx")
        self.main_input_name = self.encoder.main_input_name

    @classmethod
    def _supports_default_dynamic_cache(cls) -> bool:
        return False

    def get_encoder(self, modality: str | None = None) -> nn.Module:
        """encoder_model.onnx"""
        return self.encoder

    def begin_cache(self, encoded: Mapping[str, torch.Tensor]) -> ONNXCache:
        """The decoder's inputs before the first token: outputs of the encoder, or empty ones."""
        past: dict[str, torch.Tensor] = {}
        source: dict[str, torch.Tensor] = {}
        for name in self.decoder_session.inputs:
            if name in encoded:
                (past if name.startswith("past") else source)[name] = encoded[name]
            elif name != "input_ids":
                _, heads, _, width = self.decoder_session.shapes[name]
                past[name] = torch.zeros(len(encoded["last_hidden_state"]), heads, 0, width)
        return ONNXCache(past, source)

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        decoder_input_ids: torch.Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: ONNXCache | None = None,
        input_features: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> Seq2SeqLMOutput:
        """
        Args:
            input_ids (`torch.Tensor` of shape `(batch, source)`): Or `input_features`, of a recognizer.
            attention_mask (`torch.Tensor` of shape `(batch, source)`): 1 on real tokens or frames.
            decoder_input_ids (`torch.Tensor` of shape `(batch, length)`): The target after what the cache holds; it is
                read token by token.
            encoder_outputs: What `get_encoder()` returned, in place of the source.
            past_key_values: The cache of earlier steps.

        Returns:
            Logits of shape `(batch, length, vocab_size)` and the cache. There is no loss.
        """
        if encoder_outputs is None:
            encoder_outputs = self.encoder(input_ids, attention_mask, input_features)
        cache = self.begin_cache(encoder_outputs) if past_key_values is None else past_key_values
        assert decoder_input_ids is not None
        logits = []
        for token in decoder_input_ids.split(1, dim=1):
            outputs = self.decoder_session({**cache.source, **cache.past, "input_ids": token})
            cache.step(outputs)
            logits.append(outputs["logits"])
        return Seq2SeqLMOutput(logits=torch.cat(logits, dim=1), past_key_values=cache)  # type: ignore[arg-type]

    @torch.no_grad()
    def generate(self, inputs: Any = None, generation_config: Any = None, **kwargs: Any) -> Any:  # type: ignore[override]
        """As every model does it. Plain greedy search has a loop of its own: for one text at a time transformers' own,
        and torch's small operations, take as long as the decoder."""
        sources = {name: kwargs.get(name) for name in (self.main_input_name, "attention_mask")}
        source = inputs if inputs is not None else sources[self.main_input_name]
        config = self.merge(generation_config)
        unknown = config.update(**{name: value for name, value in kwargs.items() if name not in sources})
        if source is None or not is_plain_greedy(config) or any(value is not None for value in unknown.values()):
            return super().generate(inputs, generation_config, **kwargs)
        encoded = self.encoder(**{self.main_input_name: source, "attention_mask": sources["attention_mask"]})
        return self._search_greedily(encoded, config)

    def _search_greedily(self, encoded: BaseModelOutput, config: GenerationConfig) -> torch.Tensor:
        """The likeliest token in every step, up to EOS or the longest target; then PAD. All in numpy."""
        cache = self.begin_cache(encoded)
        feed = {name: value.contiguous().numpy() for name, value in (cache.source | cache.past).items()}
        outputs = ["logits", *(name.replace("past", "present", 1) for name in cache.past)]
        longest = config.max_length if config.max_new_tokens is None else config.max_new_tokens + 1
        tokens = [np.full((len(encoded.last_hidden_state), 1), config.decoder_start_token_id)]
        ends = np.atleast_1d(-1 if config.eos_token_id is None else config.eos_token_id)
        ended = np.zeros_like(tokens[0], dtype=bool)
        while len(tokens) < longest and not ended.all():
            logits, *states = self.decoder_session.session.run(outputs, {**feed, "input_ids": tokens[-1]})
            feed.update(zip(cache.past, states))
            tokens.append(np.where(ended, config.pad_token_id, logits.argmax(-1)))
            ended |= (tokens[-1] == ends).any(-1, keepdims=True)
        return torch.from_numpy(np.concatenate(tokens, axis=1))


class ONNXRecognizer(ONNXSeq2Seq):
    """An encoder-decoder whose encoder has a CTC output layer, which can score texts as well."""

    def generate(  # type: ignore[override]
        self, inputs: Any = None, generation_config: Any = None, *, ctc_weight: float | None = None, **kwargs: Any
    ) -> Any:
        """As every model does it.

        Args:
            ctc_weight (`float`, *optional*): Share of CTC in the scores; `config.ctc_decoding_weight` by default.

        Raises:
            ValueError: The share is not below 1.
        """
        weight = self.config.ctc_decoding_weight if ctc_weight is None else ctc_weight
        if not weight:
            return super().generate(inputs, generation_config, **kwargs)
        if not 0 < weight < 1:
            raise ValueError(f"ctc_weight={weight} must be below 1")
        features, encoded = kwargs.pop(self.main_input_name, inputs), kwargs.pop("encoder_outputs", None)
        if encoded is None:
            encoded = self.encoder(**{self.main_input_name: features, "attention_mask": kwargs.get("attention_mask")})
        log_probs = encoded["ctc_logits"].log_softmax(-1)
        scorer = self.original.ctc_scorer_class(log_probs, encoded["encoder_attention_mask"], weight, self.config)
        processors = LogitsProcessorList([*(kwargs.pop("logits_processor", None) or ()), scorer])
        return super().generate(
            None, generation_config, logits_processor=processors, encoder_outputs=encoded, **kwargs
        )


# Settings that plain greedy search has, and values of others that change nothing.
GREEDY = {"max_length", "max_new_tokens", "pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"}
GREEDY |= {"use_cache", "early_stopping", "length_penalty", "transformers_version"}
NEUTRAL = {"num_beams": 1, "num_return_sequences": 1, "no_repeat_ngram_size": 0, "repetition_penalty": 1.0}


def is_plain_greedy(config: GenerationConfig) -> bool:
    """Whether generation takes the likeliest token, step by step, and does nothing else."""
    if config.num_beams not in (None, 1) or config.decoder_start_token_id is None or config.pad_token_id is None:
        return False
    if config.max_length is None and config.max_new_tokens is None:
        return False
    return all(
        name in GREEDY or name.startswith("_") or value is None or value is False or value == NEUTRAL.get(name)
        for name, value in vars(config).items()
    )


def load(config: PreTrainedConfig, folder: Path) -> ExportedModel:
    """The model of an exported folder, by what its files read and put out."""
    runtime: type[ExportedModel] = ONNXModel
    if (folder / "encoder_model.onnx").is_file():
        runtime = ONNXRecognizer if getattr(config, "ctc_loss_weight", 0) else ONNXSeq2Seq
    elif getattr(config, "prediction_length", None):
        runtime = ONNXForecaster
    return named_as_original(runtime, config)(config, folder)


__all__ = ["ONNXCache", "ONNXForecaster", "ONNXModel", "ONNXRecognizer", "ONNXSeq2Seq", "Session", "load"]
