"""What becomes an ONNX file: a whole model, or an encoder and one step of a decoder with its cache.

Each graph is a small module with tensors in and named tensors out. Of an encoder-decoder the rule is: an input of the
decoder has the value of the encoder's output of the same name, and after a step that of the decoder's output
`present_...` for an input `past_...`. Keys and values of the target begin empty and have no output of the encoder.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput

from .examples import LENGTHS, example

Axes = dict[int, str]  # the axes of a tensor that have any size -> the name of that size


@dataclass
class Graph:
    """One file of an export.

    Args:
        name: Of the file, without its ending.
        module: What is traced: a dictionary of tensors in, another one out.
        inputs: An example of each input, by name.
        axes: The free axes of each input.
    """

    name: str
    module: nn.Module
    inputs: dict[str, torch.Tensor]
    axes: dict[str, Axes]
    outputs: dict[str, torch.Tensor] = field(init=False)

    def __post_init__(self) -> None:
        with torch.no_grad():
            self.outputs = self.module(dict(self.inputs))


class Whole(nn.Module):
    """A model that answers in one pass."""

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Arguments of the model's forward -> its outputs; those of a tuple are numbered."""
        outputs = {}
        for name, value in self.model(**inputs).items():
            if isinstance(value, torch.Tensor):
                outputs[name] = value
            elif isinstance(value, tuple):
                outputs |= {f"{name}.{number}": part for number, part in enumerate(value)}
        return outputs


class Encoder(nn.Module):
    """The encoder, and what the decoder needs of it once a sentence."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Source and mask -> the encoded source, its mask, and keys and values of the source, or first states."""
        model, mask = self.model, inputs["attention_mask"]
        encoded = model.get_encoder()(**inputs)
        memory = encoded.last_hidden_state
        start = torch.full_like(mask[:, :1], model.config.decoder_start_token_id)
        if hasattr(model, "_get_feature_vector_attention_mask"):  # fewer positions than frames
            mask = model._get_feature_vector_attention_mask(memory.shape[1], mask)
        outputs = {"last_hidden_state": memory, "encoder_attention_mask": mask}
        if getattr(model, "ctc_head", None) is not None:
            outputs["ctc_logits"] = model.ctc_head(memory)
        if getattr(model, "copy_head", None) is not None:
            outputs |= {"source_ids": inputs["input_ids"], "copy_keys": model.copy_head.k_proj(memory)}
        if not keeps_keys(model):
            return outputs | model.begin_cache(encoded).to_tensors()
        # Keys and values of the source come with the first step. What else it makes is no output, so no part of the
        # graph.
        step = model.get_decoder()(
            input_ids=start, encoder_hidden_states=memory, encoder_attention_mask=mask, use_cache=True
        )
        return outputs | keys_and_values("cross_key_values", step.past_key_values.cross_attention_cache)


class AttentionStep(nn.Module):
    """One token of a decoder that keeps keys and values."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The last token (batch, 1), keys and values so far -> logits, and keys and values with the token."""
        model = self.model
        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        for number in range(model.config.decoder_layers):
            for part, name in (
                (cache.self_attention_cache, "past_key_values"),
                (cache.cross_attention_cache, "cross_key_values"),
            ):
                part.update(inputs[f"{name}.{number}.key"], inputs[f"{name}.{number}.value"], number)
            cache.is_updated[number] = True
        source = inputs["cross_key_values.0.key"]
        output = model.get_decoder()(
            input_ids=inputs["input_ids"],
            # Not read, as its keys and values are there; but it has the length of the source.
            encoder_hidden_states=source.new_zeros(source.shape[0], source.shape[2], model.config.d_model),
            encoder_attention_mask=inputs["encoder_attention_mask"],
            past_key_values=cache,
            output_attentions=True,
        )
        hidden = output.last_hidden_state
        logits = model.get_output_embeddings()(hidden)
        if "copy_keys" in inputs:
            logits = model.copy_head.combine(
                logits,
                inputs["source_ids"],
                hidden,
                inputs["last_hidden_state"],
                inputs["encoder_attention_mask"],
                keys=inputs["copy_keys"],
            )
        return {
            "logits": logits,
            **keys_and_values("present_key_values", output.past_key_values.self_attention_cache),
            "cross_attention": output.cross_attentions[-1].mean(dim=1)[:, 0],
        }


class RecurrentStep(nn.Module):
    """One token of a decoder that keeps states."""

    def __init__(self, model: Any):
        super().__init__()
        self.model = model

    def forward(self, inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The last token (batch, 1), the encoded source and the states -> logits, and the states after the token."""
        output = self.model(
            attention_mask=inputs["encoder_attention_mask"],
            decoder_input_ids=inputs["input_ids"],
            encoder_outputs=BaseModelOutput(inputs["last_hidden_state"]),
            past_key_values=self.model.cache_from_tensors(inputs),
            use_cache=True,
            output_attentions=True,
        )
        states = output.past_key_values.to_tensors()
        outputs = {"logits": output.logits}
        outputs |= {name.replace("past", "present"): state for name, state in states.items() if "past" in name}
        if output.cross_attentions is not None:
            outputs["cross_attention"] = output.cross_attentions[-1][:, 0, 0]
        return outputs


def keeps_keys(model: Any) -> bool:
    """Whether the decoder's cache is transformers' own, of keys and values."""
    return model._supports_default_dynamic_cache()


def keys_and_values(name: str, cache: Any) -> dict[str, torch.Tensor]:
    """Each layer's keys and values (batch, heads, length, head_dim), by name."""
    tensors: dict[str, torch.Tensor] = {}
    for number, layer in enumerate(cache.layers):
        tensors |= {f"{name}.{number}.key": layer.keys, f"{name}.{number}.value": layer.values}
    return tensors


def decoder_graph(model: Any, encoded: dict[str, torch.Tensor]) -> Graph:
    """One step of the decoder, traced after what the encoder returned."""
    mask = encoded["encoder_attention_mask"]
    inputs = {"input_ids": torch.full_like(mask[:, :1], model.config.decoder_start_token_id)}
    axes: dict[str, Axes] = {"input_ids": {0: "batch"}}
    if not keeps_keys(model):
        for name, value in encoded.items():
            inputs[name] = value
            axes[name] = {0: "batch"} if name.startswith("past") else {0: "batch", 1: "encoded"}
        return Graph("decoder_model", RecurrentStep(model), inputs, axes)
    source = {name: value for name, value in encoded.items() if name.startswith("cross_key_values")}
    for name, value in source.items():
        past = name.replace("cross", "past")
        inputs[past] = value[:, :, :3] * 0.5  # three tokens: the trace needs some, of any value
        axes[past] = {0: "batch", 2: "past"}
    inputs["encoder_attention_mask"] = mask
    if "copy_keys" in encoded:
        inputs |= {name: encoded[name] for name in ("last_hidden_state", "source_ids", "copy_keys")}
    axes |= {name: {0: "batch", 1: "encoded"} for name in inputs if name not in axes}
    inputs |= source
    axes |= {name: {0: "batch", 2: "encoded"} for name in source}
    return Graph("decoder_model", AttentionStep(model), inputs, axes)


def graphs(model: Any) -> list[Graph]:
    """The graphs of a model, which is set to evaluation."""
    model.eval()
    inputs = example(model.main_input_name, model.config)
    axes = {name: {0: "batch", **({1: LENGTHS[name]} if name in LENGTHS else {})} for name in inputs}
    if not model.config.is_encoder_decoder:
        return [Graph("model", Whole(model), inputs, axes)]
    encoder = Graph("encoder_model", Encoder(model), inputs, axes)
    return [encoder, decoder_graph(model, encoder.outputs)]


__all__ = ["Graph", "graphs"]
