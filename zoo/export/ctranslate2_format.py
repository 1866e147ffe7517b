"""Write a Transformer as a model of CTranslate2."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoTokenizer

PACKAGES = ("torch", "transformers", "ctranslate2")
DTYPES = ("float32", "float16", "int8")
# CTranslate2 has files named as ours are, so it has a folder of its own.
FOLDER = "model"


def check(config: Any) -> None:
    """Refuse what CTranslate2 cannot run.

    Raises:
        ValueError: What of the config it is.
    """
    if not hasattr(config, "norm_position") or not config.is_encoder_decoder:
        raise ValueError(f"CTranslate2 runs Transformers of text only, not a {config.model_type}: use --format onnx")
    needed = {
        "norm_position": ("pre",),
        "position_embedding_type": ("sinusoidal", "learned"),
        "activation_function": ("relu", "gelu", "silu", "swish"),
        "gated_ffn": (False,),
        "copy_mechanism": (False,),
    }
    for name, allowed in needed.items():
        if getattr(config, name) not in allowed:
            raise ValueError(
                f"CTranslate2 cannot run {name}={getattr(config, name)!r} (only {', '.join(map(repr, allowed))}): "
                "use --format onnx"
            )


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """A copy in float32: CTranslate2 quantizes in place."""
    return tensor.detach().float().numpy().copy()


def set_linear(target: Any, module: Any) -> None:
    """Weight and bias of a linear layer."""
    target.weight = to_array(module.weight)
    if module.bias is not None:
        target.bias = to_array(module.bias)


def set_norm(target: Any, module: Any) -> None:
    """Weight of a norm, and its bias, which an RMSNorm lacks."""
    target.gamma = to_array(module.weight)
    if getattr(module, "bias", None) is not None:
        target.beta = to_array(module.bias)


def set_layer(target: Any, layer: Any) -> None:
    """One layer of the encoder or the decoder."""
    attention = target.self_attention
    set_linear(attention.linear[0], layer.self_attn.qkv_proj)
    set_linear(attention.linear[1], layer.self_attn.out_proj)
    set_norm(attention.layer_norm, layer.self_attn_layer_norm)
    if hasattr(layer, "encoder_attn"):
        attention = target.attention
        set_linear(attention.linear[0], layer.encoder_attn.q_proj)
        set_linear(attention.linear[1], layer.encoder_attn.kv_proj)
        set_linear(attention.linear[2], layer.encoder_attn.out_proj)
        set_norm(attention.layer_norm, layer.encoder_attn_layer_norm)
    set_linear(target.ffn.linear_0, layer.ffn.fc1)
    set_linear(target.ffn.linear_1, layer.ffn.fc2)
    set_norm(target.ffn.layer_norm, layer.final_layer_norm)


def make_spec(model: Any) -> Any:
    """The weights in CTranslate2's layout."""
    from ctranslate2.specs import common_spec, transformer_spec

    config = model.config
    activation = {
        "relu": common_spec.Activation.RELU,
        "gelu": common_spec.Activation.GELU,
        "silu": common_spec.Activation.SWISH,
        "swish": common_spec.Activation.SWISH,
    }[config.activation_function]
    options = {"activation": activation, "rms_norm": config.norm_type == "rms_norm"}
    spec = transformer_spec.TransformerSpec(
        transformer_spec.TransformerEncoderSpec(config.encoder_layers, config.encoder_attention_heads, **options),
        transformer_spec.TransformerDecoderSpec(config.decoder_layers, config.decoder_attention_heads, **options),
    )

    for target, stack in ((spec.encoder, model.model.encoder), (spec.decoder, model.model.decoder)):
        embeddings = target.embeddings[0] if isinstance(target.embeddings, list) else target.embeddings
        embeddings.weight = to_array(stack.embed_tokens.weight)
        target.scale_embeddings = stack.embed_scale
        positions = stack.embed_positions
        # Sinusoidal positions are a table, learned ones a weight.
        table = positions.table if hasattr(positions, "table") else positions.weight
        target.position_encodings.encodings = to_array(table)
        set_norm(target.layer_norm, stack.layer_norm)
        for layer_target, layer in zip(target.layer, stack.layers):
            set_layer(layer_target, layer)
    set_linear(spec.decoder.projection, model.lm_head)
    return spec


def write(model: Any, folder: Path, dtype: str) -> None:
    """Write the model.

    Args:
        model: In float32; `check` accepts its config.
        folder: Where to; it has the tokenizer.
        dtype: Of the weights: "float32", "float16" or "int8".
    """
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    spec, config = make_spec(model), model.config
    tokens = tokenizer.convert_ids_to_tokens(list(range(config.vocab_size)))
    spec.register_source_vocabulary(tokens)
    spec.register_target_vocabulary(tokens)
    spec.config.layer_norm_epsilon = config.layer_norm_eps
    spec.config.unk_token = tokenizer.unk_token
    spec.config.bos_token = tokenizer.bos_token
    spec.config.eos_token = tokenizer.eos_token
    spec.config.decoder_start_token = tokens[config.decoder_start_token_id]
    spec.validate()
    spec.optimize(quantization=None if dtype == "float32" else dtype)
    (folder / FOLDER).mkdir()
    spec.save(str(folder / FOLDER))


__all__ = ["DTYPES", "FOLDER", "PACKAGES", "check", "write"]
