"""The Transformer encoder-decoder: what it computes, in every variant that its config can name."""

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, AutoModel

from zoo.models.transformer_seq2seq import (
    FAMILY,
    TransformerSeq2SeqConfig,
    TransformerSeq2SeqForConditionalGeneration,
    TransformerSeq2SeqModel,
    layers_loss,
)

PAD, START, END, IGNORED = 0, 2, 3, -100
# Each variant changes something; together they meet every value of every field of the architecture.
VARIANTS = {
    "original": {"norm_position": "post"},
    "default": {"final_logits_bias": True},
    "learned": {"position_embedding_type": "learned", "norm_position": "post", "scale_embedding": False},
    "modern": {
        "position_embedding_type": "rotary",
        "norm_type": "rms_norm",
        "gated_ffn": True,
        "activation_function": "silu",
    },
    "untied": {"tie_word_embeddings": False, "final_logits_bias": True, "gated_ffn": True, "norm_type": "rms_norm"},
}
every_variant = pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)


def build(seed: int = 0, **fields) -> TransformerSeq2SeqForConditionalGeneration:
    """A tiny model in evaluation mode."""
    torch.manual_seed(seed)
    config = TransformerSeq2SeqConfig(**{**FAMILY.tiny, "decoder_layers": 2, **fields})
    return TransformerSeq2SeqForConditionalGeneration(config).eval()


def batch() -> dict[str, torch.Tensor]:
    """Three sources and targets of different lengths, padded on the right."""
    generator = torch.Generator().manual_seed(0)
    sources, targets = (torch.randint(4, 32, (3, length), generator=generator) for length in (7, 6))
    mask = torch.tensor([[1] * 7, [1] * 5 + [0] * 2, [1] * 2 + [0] * 5])
    targets[0, 4:] = targets[2, 3:] = IGNORED
    return {"input_ids": sources.masked_fill(mask == 0, PAD), "attention_mask": mask, "labels": targets}


def padded_left(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same rows with their padding in front."""
    moved = {name: value.clone() for name, value in inputs.items()}
    for row in range(3):
        gap = int((inputs["attention_mask"][row] == 0).sum())
        for name in ("input_ids", "attention_mask"):
            moved[name][row] = inputs[name][row].roll(gap)
        moved["labels"][row] = inputs["labels"][row].roll(int((inputs["labels"][row] == IGNORED).sum()))
    return moved


def source(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value for name, value in inputs.items() if name != "labels"}


@every_variant
def test_the_chunked_loss_is_the_plain_one(fields, monkeypatch):
    """In training the loss comes without logits, in chunks (here of 5 rows); value and gradients are the same."""
    monkeypatch.setitem(layers_loss.CHUNK_BYTES, "cpu", 5 * 32 * 4)
    model = build(**fields).train()
    found = []
    for skip_logits in (None, False):
        for num_items in (None, 7):
            output = model(**batch(), label_smoothing=0.1, num_items_in_batch=num_items, skip_logits=skip_logits)
            assert (output.logits is None) == (skip_logits is None)
            model.zero_grad()
            (2 * output.loss).backward()
            found.append([output.loss, *(parameter.grad.clone() for parameter in model.parameters())])
    for chunked, plain in zip(found[:2], found[2:]):
        torch.testing.assert_close(chunked, plain)


@every_variant
def test_padding_on_either_side_changes_nothing(fields):
    model = build(**fields)
    right, left = batch(), padded_left(batch())
    torch.testing.assert_close(model(**left).loss, model(**right).loss)
    together = model.generate(**source(right), max_new_tokens=6)
    assert torch.equal(model.generate(**source(left), max_new_tokens=6), together)
    for row in range(3):
        length = int(right["attention_mask"][row].sum())
        alone = model.generate(right["input_ids"][row : row + 1, :length], max_new_tokens=6)
        assert torch.equal(alone[0], together[row, : alone.shape[1]])


@every_variant
def test_cached_and_static_and_uncached_generation_agree(fields):
    model = build(**fields)
    inputs = source(batch())
    for settings in ({}, {"num_beams": 3, "num_return_sequences": 2}):
        cached = model.generate(**inputs, max_new_tokens=6, **settings)
        assert torch.equal(model.generate(**inputs, max_new_tokens=6, use_cache=False, **settings), cached)
        assert torch.equal(
            model.generate(**inputs, max_new_tokens=6, cache_implementation="static", **settings), cached
        )


@every_variant
def test_save_and_load_give_the_same_outputs(fields, tmp_path):
    model = build(**fields)
    model.save_pretrained(tmp_path)
    loaded = TransformerSeq2SeqForConditionalGeneration.from_pretrained(tmp_path)
    torch.testing.assert_close(loaded(**batch()).logits, model(**batch()).logits, rtol=0, atol=0)
    assert isinstance(AutoConfig.from_pretrained(tmp_path), TransformerSeq2SeqConfig)
    assert isinstance(AutoModel.from_pretrained(tmp_path), TransformerSeq2SeqModel)


@every_variant
def test_a_new_vocabulary_size_reaches_every_matrix(fields):
    model = build(**fields)
    model.resize_token_embeddings(40, mean_resizing=False)
    matrices = [model.lm_head.weight, model.model.encoder.embed_tokens.weight, model.model.decoder.embed_tokens.weight]
    assert [len(matrix) for matrix in matrices] == [40] * 3
    assert (len({matrix.data_ptr() for matrix in matrices}) == 1) == model.config.tie_word_embeddings
    assert model(**batch()).logits.shape == (3, 6, 40)


def test_attention_implementations_agree():
    model = build()
    assert model.config._attn_implementation == "sdpa"
    expected = model(**batch()).logits
    model.set_attn_implementation("eager")
    torch.testing.assert_close(model(**batch()).logits, expected)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"d_model": 18}, "d_model=18 is not a multiple of encoder_attention_heads=4"),
        ({"decoder_attention_heads": 3}, "decoder_attention_heads=3"),
        ({"position_embedding_type": "rotary", "encoder_attention_heads": 16}, "odd"),
        ({"norm_type": "batch_norm"}, "norm_type='batch_norm' is not one of layer_norm, rms_norm"),
        ({"encoder_layers": 0}, "encoder_layers=0 must be at least 1"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"eos_token_id": 32}, "eos_token_id=32 is outside the vocabulary"),
        ({"bos_token_id": None}, "decoder_start_token_id is missing"),
    ],
)
def test_impossible_configs_name_the_field(fields, reason):
    with pytest.raises(StrictDataclassError) as error:
        TransformerSeq2SeqConfig(**{**FAMILY.tiny, **fields})
    assert reason in str(error.value.__cause__)


def test_a_text_beyond_the_last_position_is_an_error():
    model = build(max_position_embeddings=4)
    with pytest.raises(ValueError, match="7 tokens are more than max_position_embeddings=4"):
        model(**batch())
