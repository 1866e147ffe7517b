"""The Transformer encoder-decoder: what it computes, in every variant that its config can name."""

import math

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AttentionInterface, AttentionMaskInterface, AutoConfig, AutoModel
from transformers.generation import CompileConfig
from transformers.masking_utils import flash_attention_mask

from zoo.models.transformer_seq2seq import (
    FAMILY,
    TransformerSeq2SeqConfig,
    TransformerSeq2SeqForConditionalGeneration,
    TransformerSeq2SeqModel,
    layers_loss,
)
from zoo.models.transformer_seq2seq import (
    modeling_transformer_seq2seq as modeling,
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
    "copying": {"copy_mechanism": True},
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
def test_padded_beginnings_of_targets_change_nothing(fields):
    """Beginnings of different lengths, padded on the left, are gone on from as each alone is."""
    model, inputs = build(**fields), source(batch())
    beginnings = [[START, 9, 8, 7], [START, 5], [START]]
    ids = torch.tensor([[PAD] * (4 - len(ids)) + ids for ids in beginnings])
    settings = {"max_new_tokens": 5, "min_new_tokens": 5}
    padded = {**inputs, "decoder_input_ids": ids, "decoder_attention_mask": (ids != PAD).long()}
    for variation in ({}, {"cache_implementation": "static"}, {"use_cache": False}, {"num_beams": 2}):
        together = model.generate(**padded, **settings, **variation)[:, 4:]
        for row, own in enumerate(beginnings):
            single = {name: value[row : row + 1] for name, value in inputs.items()}
            alone = model.generate(**single, decoder_input_ids=torch.tensor([own]), **settings, **variation)
            assert torch.equal(alone[0, len(own) :], together[row]), (variation, row)


def test_a_beginning_that_is_not_foretold_is_read():
    """Labels that begin with -100 are padding only where the decoder reads padding."""
    model, inputs = build(), batch()
    ids = model.prepare_decoder_input_ids_from_labels(inputs["labels"])
    inputs["labels"][:, :2] = IGNORED
    expected = torch.nn.functional.cross_entropy(
        model(**source(inputs), decoder_input_ids=ids).logits.flatten(0, 1), inputs["labels"].flatten()
    )
    torch.testing.assert_close(model(**inputs, decoder_input_ids=ids).loss, expected)


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
    assert all(torch.equal(saved, model.state_dict()[name]) for name, saved in loaded.state_dict().items())
    torch.testing.assert_close(loaded(**batch()).logits, model(**batch()).logits)  # kernels differ with the alignment
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


def test_the_fused_kernel_shows_the_weights_that_it_used():
    model = build()
    outputs = []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        outputs.append(model(**batch(), output_attentions=True))
    for name in ("encoder_attentions", "decoder_attentions", "cross_attentions"):
        assert len(outputs[0][name]) == 2
        for fused, plain in zip(outputs[0][name], outputs[1][name]):
            torch.testing.assert_close(fused, plain)
            torch.testing.assert_close(fused.sum(-1), torch.ones(fused.shape[:-1]))
    assert (outputs[0].cross_attentions[0][1, :, :, 5:] == 0).all()  # padding of the source
    assert (outputs[0].decoder_attentions[0].triu(1) == 0).all()  # the future


def test_flash_attention_never_meets_the_padding_of_the_source():
    """Flash attention is told the padding of keys, and takes it for that of queries too unless there is one query."""
    calls = []

    def flash(module, query, key, value, attention_mask, **kwargs):
        calls.append((type(module).__name__, attention_mask))
        assert attention_mask is None or attention_mask.ndim == 2
        return modeling.eager_attention_forward(module, query, key, value, attention_mask, **kwargs)

    AttentionInterface.register("keys_and_padding", flash)
    AttentionMaskInterface.register("keys_and_padding", flash_attention_mask)
    model, inputs = build(), batch()
    expected = model(**inputs).logits, model.generate(**source(inputs), num_beams=3, max_new_tokens=6)
    model.set_attn_implementation("keys_and_padding")
    torch.testing.assert_close(model(**inputs).logits, expected[0])
    assert torch.equal(model.generate(**source(inputs), num_beams=3, max_new_tokens=6), expected[1])
    assert {name for name, _ in calls} == {"TransformerSeq2SeqSelfAttention"}
    full = {"input_ids": inputs["input_ids"], "labels": inputs["labels"]}
    model(**full)
    assert {name for name, _ in calls} == {"TransformerSeq2SeqSelfAttention", "TransformerSeq2SeqCrossAttention"}


@pytest.mark.parametrize("length", [40, 60])
def test_short_and_long_texts_train_alike(length):
    """On a CPU short texts are trained with plain operations, long ones with the fused kernel."""
    model = build(max_position_embeddings=length).train()
    ids = torch.randint(4, 32, (2, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[1, length // 2 :] = 0
    gradients = []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)
        model.zero_grad()
        model(ids, attention_mask=mask, labels=ids).loss.backward()
        gradients.append([parameter.grad.clone() for parameter in model.parameters()])
    torch.testing.assert_close(*gradients)


def test_half_precision_trains_towards_the_same(monkeypatch):
    """bfloat16 autocast, chunks of 5 rows and the smoothed loss: gradients point where those of float32 do."""
    monkeypatch.setitem(layers_loss.CHUNK_BYTES, "cpu", 5 * 32 * 2)
    model, found = build().train(), []
    for half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            loss = model(**batch(), label_smoothing=0.1).loss
        loss.backward()
        found.append((loss, torch.cat([parameter.grad.flatten() for parameter in model.parameters()])))
    assert found[1][0].dtype == torch.float32
    assert found[1][0].item() == pytest.approx(found[0][0].item(), rel=0.01)
    assert torch.cosine_similarity(found[0][1], found[1][1], dim=0) > 0.999


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
def test_adapters_on_the_output_layer_count():
    """The loss that holds no logits reads the weights of the layer; an adapter's would be missed."""
    peft = pytest.importorskip("peft")
    model = build(tie_word_embeddings=False).train()
    plain = model(**batch()).loss
    adapted = peft.get_peft_model(model, peft.LoraConfig(target_modules=["lm_head", "qkv_proj", "kv_proj"]))
    adapter = next(weight for name, weight in adapted.named_parameters() if "lm_head.lora_B" in name)
    torch.testing.assert_close(adapted(**batch()).loss, plain)
    torch.nn.init.normal_(adapter)
    assert (adapted(**batch()).loss - plain).abs() > 0.01
    adapted(**batch()).loss.backward()
    assert all(p.grad is not None for p in adapted.parameters() if p.requires_grad)


def test_frozen_embeddings_get_no_gradient():
    model = build().train()
    model.lm_head.weight.requires_grad_(False)
    model(**batch()).loss.backward()
    assert model.lm_head.weight.grad is None and model.model.encoder.layers[0].ffn.fc1.weight.grad is not None
    with torch.no_grad():
        assert model(**batch()).loss.isfinite()


def test_labels_that_are_all_ignored_cost_nothing():
    model = build().train()
    inputs = batch()
    inputs["labels"][:] = IGNORED
    for skip_logits in (True, False):
        assert model(**inputs, skip_logits=skip_logits).loss == 0


@pytest.mark.parametrize("probability", [0.1, 0.3])
def test_dropout_drops_as_many_as_it_says(probability):
    torch.manual_seed(0)
    values = torch.full((400, 101), 2.0, requires_grad=True)
    dropped = modeling.fast_dropout(values, probability, True)
    dropped.sum().backward()
    assert (dropped == 0).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert dropped.mean().item() == pytest.approx(2, abs=0.05)
    torch.testing.assert_close(values.grad, dropped.detach() / 2)
    added = modeling.add_fast_dropout(torch.ones_like(values), values, probability, True)
    assert (added == 1).float().mean().item() == pytest.approx(probability, abs=0.01)
    assert added.mean().item() == pytest.approx(3, abs=0.05)
    assert modeling.fast_dropout(values, probability, False) is values
    torch.manual_seed(0)
    assert torch.equal(modeling.fast_dropout(values, probability, True), dropped)


def test_sinusoidal_positions_by_hand():
    config = TransformerSeq2SeqConfig(**{**FAMILY.tiny, "d_model": 4})
    table = modeling.TransformerSeq2SeqSinusoidalPositions(config).table
    sines = [math.sin(3), math.sin(3 / 10000), math.cos(3), math.cos(3 / 10000)]
    torch.testing.assert_close(table[3], torch.tensor(sines))


def test_rotary_scores_depend_on_distance_alone():
    positions = modeling.TransformerSeq2SeqRotaryPositions(8, 100.0)
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 1, 1, 8, generator=generator) for _ in range(2))

    def score(query_at: int, key_at: int) -> torch.Tensor:
        turned = [
            modeling.rotate(states, positions(torch.tensor([[at]]), torch.float32))
            for states, at in ((query, query_at), (key, key_at))
        ]
        return (turned[0] * turned[1]).sum()

    torch.testing.assert_close(score(5, 3), score(25, 23))
    assert not torch.isclose(score(5, 3), score(5, 2))


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


def test_a_mask_that_does_not_fit_is_an_error():
    inputs = source(batch())
    with pytest.raises(ValueError, match=r"attention_mask has shape \(\d, 2\), but the source has"):
        build().get_encoder()(inputs["input_ids"], attention_mask=inputs["attention_mask"][:, :2])


def test_decoding_steps_compile_into_one_graph():
    """With a static cache every step has one shape, and nothing in it sends torch.compile back to Python."""
    model, inputs = build(), source(batch())
    settings = {"max_new_tokens": 6, "cache_implementation": "static"}
    expected = model.generate(**inputs, **settings)
    compiling = CompileConfig(fullgraph=True, dynamic=False, backend="eager")
    compiling._compile_all_devices = True  # generate() compiles for accelerators alone, unless told so
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    assert torch.equal(model.generate(**inputs, **settings, compile_config=compiling), expected)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1


def test_a_compiled_model_trains():
    """Compiled, the loss is made of all logits, as the compiler would rather fuse it itself."""
    model = build().train()
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(**batch()).loss, model(**batch()).loss)
    compiled(**batch()).loss.backward()
