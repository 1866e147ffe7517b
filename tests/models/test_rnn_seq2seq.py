"""The RNN encoder-decoder: what it computes, against torch's own nets and computations by hand."""

from itertools import product
from pathlib import Path

import pytest
import torch
from huggingface_hub.errors import StrictDataclassError
from torch import nn
from transformers import AutoConfig, AutoModelForSeq2SeqLM
from transformers.modeling_outputs import BaseModelOutput

from zoo.models import rnn_seq2seq, transformer_seq2seq
from zoo.models.rnn_seq2seq import (
    FAMILY,
    RNNSeq2SeqConfig,
    RNNSeq2SeqForConditionalGeneration,
    RNNSeq2SeqModel,
    modeling_rnn_seq2seq,
)
from zoo.models.rnn_seq2seq.configuration_rnn_seq2seq import ATTENTIONS, CELL_STATES
from zoo.models.rnn_seq2seq.modeling_rnn_seq2seq import CELLS, GATES, RNNCache, step

PAD, START, END, IGNORED = 0, 2, 3, -100
SINGLE = {"lstm": nn.LSTMCell, "gru": nn.GRUCell, "rnn": nn.RNNCell}
# Each changes something; together they meet every way from source to target.
VARIANTS = {
    "default": {},
    "luong": {"cell_type": "lstm", "attention_layer": 2, "input_feeding": True, "attention": "general"},
    "bahdanau": {"attention": "additive", "decoder_layers": 1, "scale_embedding": False},
    "additive above": {"attention": "additive", "attention_layer": 2, "cell_type": "rnn", "bidirectional": False},
    "gnmt": {"cell_type": "lstm", "decoder_layers": 3, "encoder_layers": 3, "attention": "dot"},
    "sutskever": {"cell_type": "lstm", "attention": "none", "bidirectional": False},
    "fed without attention": {"attention": "none", "input_feeding": True, "cell_type": "rnn"},
    "fed below": {"input_feeding": True, "attention": "additive", "tie_word_embeddings": False},
}
every_variant = pytest.mark.parametrize("fields", VARIANTS.values(), ids=VARIANTS)


def build(seed: int = 0, **fields) -> RNNSeq2SeqForConditionalGeneration:
    """A tiny model in evaluation mode."""
    torch.manual_seed(seed)
    return RNNSeq2SeqForConditionalGeneration(RNNSeq2SeqConfig(**{**FAMILY.tiny, **fields})).eval()


def tokens(rows: int, length: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(4, 40, (rows, length), generator=torch.Generator().manual_seed(seed))


def scattered(rows: torch.Tensor, places: list[list[int]], length: int) -> dict[str, torch.Tensor]:
    """The same rows with their tokens at other places of longer rows, in order, and a mask that says where."""
    input_ids, mask = torch.full((len(rows), length), PAD), torch.zeros(len(rows), length, dtype=torch.long)
    for row, at in enumerate(places):
        input_ids[row, at], mask[row, at] = rows[row, : len(at)], 1
    return {"input_ids": input_ids, "attention_mask": mask}


# Padding on the right, on the left, on both sides and between; all of it, even.
PLACES = [[0, 1, 2, 3, 4], [4, 5, 6, 7, 8], [2, 3, 4], [0, 3, 4, 8], []]


# The encoder


@pytest.mark.parametrize("cell", CELL_STATES)
@pytest.mark.parametrize("bidirectional", [True, False])
def test_encoder_is_what_torch_computes_for_each_row_alone(cell, bidirectional):
    """Masks and gathering in place of packed sequences: torch's net over the real tokens, in both directions."""
    encoder = build(cell_type=cell, bidirectional=bidirectional, encoder_layers=2).model.encoder
    plain = CELLS[cell](12, 8 if bidirectional else 16, num_layers=2, bidirectional=bidirectional, batch_first=True)
    for index, layer in enumerate(encoder.layers):
        for side, suffix in ((layer.forward_cell, ""), (layer.backward_cell, "_reverse")):
            for name, parameter in side.named_parameters() if side is not None else ():
                getattr(plain, name.replace("l0", f"l{index}") + suffix).data.copy_(parameter)
    source = tokens(5, 5)
    inputs = scattered(source, PLACES, length=9)
    output = encoder(**inputs, output_hidden_states=True)
    assert output.last_hidden_state.shape == (5, 9, 16) and output.final_states.shape == (5, 2, 16)
    assert torch.equal(output.hidden_states[-1], output.last_hidden_state) and len(output.hidden_states) == 3
    for row, places in enumerate(PLACES[:-1]):
        states, final = plain(encoder.embed(source[row : row + 1, : len(places)]))
        final = final[0] if cell == "lstm" else final
        torch.testing.assert_close(output.last_hidden_state[row, places], states[0])
        torch.testing.assert_close(output.final_states[row], final.view(2, -1))
    assert output.last_hidden_state.isfinite().all()


def test_encoder_tells_a_mask_that_does_not_fit():
    with pytest.raises(ValueError, match=r"attention_mask has shape \(2, 4\), but the source has \(2, 5\)"):
        build().model.encoder(tokens(2, 5), attention_mask=torch.ones(2, 4))
    with pytest.raises(ValueError, match="one of them"):
        build().model.encoder()


# The decoder


@pytest.mark.parametrize("cell", CELL_STATES)
def test_a_step_is_what_torch_computes(cell):
    torch.manual_seed(0)
    fused = CELLS[cell](6, 5, batch_first=True)
    single = SINGLE[cell](6, 5)
    for name, parameter in fused.named_parameters():
        getattr(single, name.removesuffix("_l0")).data.copy_(parameter)
    inputs, state = torch.randn(4, 6), torch.randn(CELL_STATES[cell], 4, 5)
    after = step(fused, nn.functional.linear(inputs, fused.weight_ih_l0, fused.bias_ih_l0), state)
    expected = single(inputs, tuple(state) if cell == "lstm" else state[0])
    torch.testing.assert_close(after, torch.stack(expected if cell == "lstm" else [expected]))


def decode_by_hand(model, source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and attention weights of one row, token by token and word by word, with torch's single cells."""
    config, decoder = model.config, model.model.decoder
    encoded = model.model.encoder(source[None])
    memory = encoded.last_hidden_state[0]
    cells, states = [], []
    for index, layer in enumerate(decoder.layers):
        cell = SINGLE[config.cell_type](layer.cell.input_size, config.hidden_size)
        for name, parameter in layer.cell.named_parameters():
            getattr(cell, name.removesuffix("_l0")).data.copy_(parameter)
        cells.append(cell)
        final = encoded.final_states[:, min(index, config.encoder_layers - 1)]
        states.append(list(layer.bridge(final).tanh().split(config.hidden_size, dim=1)))
    fed, logits, all_weights = torch.zeros(1, config.embedding_size), [], []
    for token in target:
        inputs = model.get_input_embeddings()(token)[None] * (12**0.5 if config.scale_embedding else 1)
        inputs = torch.cat([inputs, fed], dim=1) if config.input_feeding else inputs
        context = None
        for index, cell in enumerate(cells):
            after = cell(inputs, tuple(states[index]) if config.cell_type == "lstm" else states[index][0])
            states[index] = list(after) if config.cell_type == "lstm" else [after]
            hidden = states[index][0]
            if config.attention != "none" and index + 1 == config.attention_layer:
                scores = []
                for state in memory:
                    if config.attention == "dot":
                        scores.append(hidden[0] @ state)
                    elif config.attention == "general":
                        scores.append(hidden[0] @ decoder.attention.query.weight.T @ state)
                    else:
                        mixed = decoder.attention.query(hidden[0]) + decoder.attention.key(state)
                        scores.append(decoder.attention.score(mixed.tanh())[0])
                weights = torch.stack(scores).softmax(0)
                all_weights.append(weights)
                context = (weights[:, None] * memory).sum(0)[None]
            inputs = hidden if context is None else torch.cat([hidden, context], dim=1)
        fed = decoder.output_projection(inputs).tanh()
        logits.append(model.lm_head(fed)[0])
    return torch.stack(logits), torch.stack(all_weights) if all_weights else torch.empty(0)


@every_variant
@torch.no_grad()
def test_logits_by_hand(fields):
    model = build(**fields)
    source, target = tokens(3, 5), tokens(3, 4, seed=1)
    output = model(source, decoder_input_ids=target, output_attentions=True, output_hidden_states=True)
    for row in range(3):
        logits, weights = decode_by_hand(model, source[row], target[row])
        torch.testing.assert_close(output.logits[row], logits)
        if len(weights):
            torch.testing.assert_close(output.cross_attentions[0][row, 0], weights)
    if model.config.attention == "none":
        assert output.cross_attentions is None
    assert len(output.decoder_hidden_states) == model.config.decoder_layers + 2


@every_variant
@torch.no_grad()
def test_one_pass_is_the_steps_of_a_cache(fields):
    """Whatever is read before, in pieces of any length, the logits are those of one pass over all."""
    model = build(**fields)
    source, target = tokens(3, 5), tokens(3, 7, seed=1)
    whole = model(source, decoder_input_ids=target, use_cache=False)
    assert whole.past_key_values is None
    pieces, cache = [], None
    for start, end in ((0, 2), (2, 3), (3, 7)):
        output = model(source, decoder_input_ids=target[:, start:end], past_key_values=cache, use_cache=True)
        cache = output.past_key_values
        pieces.append(output.logits)
        assert cache.get_seq_length() == end
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole.logits)


@every_variant
@pytest.mark.parametrize("cached", [False, True])
@torch.no_grad()
def test_masked_target_tokens_are_read_over(fields, cached):
    model = build(**fields)
    source, target = tokens(5, 5), tokens(5, 5, seed=1)
    moved = scattered(target, PLACES, length=9)
    output = model(
        source,
        decoder_input_ids=moved["input_ids"],
        decoder_attention_mask=moved["attention_mask"],
        use_cache=cached,
    )
    new = torch.full((5, 1), 7)
    after = model(source, decoder_input_ids=new, past_key_values=output.past_key_values).logits if cached else None
    for row, places in enumerate(PLACES):
        read = torch.cat([target[row, : len(places)], new[row]])[None]
        alone = model(source[row : row + 1], decoder_input_ids=read).logits[0]
        torch.testing.assert_close(output.logits[row, places], alone[:-1])
        if after is not None:
            torch.testing.assert_close(after[row, -1], alone[-1])


@every_variant
def test_generation_with_every_variant(fields):
    """The cache changes no token, and padding changes none."""
    model = build(**fields)
    source = tokens(5, 5)
    inputs = scattered(source, PLACES[:-1] + [[6]], length=9)
    for mode in ({}, {"num_beams": 3, "num_return_sequences": 2}, {"do_sample": True}):
        found = []
        for use_cache in (True, False):
            torch.manual_seed(0)
            found.append(model.generate(**inputs, max_new_tokens=6, use_cache=use_cache, **mode))
        assert torch.equal(*found)
        if not mode:
            for row, places in enumerate(PLACES[:-1]):
                alone = model.generate(source[row : row + 1, : len(places)], max_new_tokens=6)
                assert found[0][row, : alone.shape[1]].tolist() == alone[0].tolist()


def test_nothing_loops_over_tokens_by_default(monkeypatch):
    """One fused call a layer and direction, however long source and target are."""

    def forbidden(*args):
        raise AssertionError("a loop over tokens")

    monkeypatch.setattr(modeling_rnn_seq2seq, "step", forbidden)
    model, calls = build().train(), []
    for module in model.modules():
        if isinstance(module, nn.RNNBase):
            module.register_forward_hook(lambda module, inputs, output: calls.append(inputs[0].shape[1]))
    model(tokens(2, 9), labels=tokens(2, 8)).loss.backward()
    assert calls == [9] * 4 + [8] * 2
    mask = torch.tensor([[1] * 8, [0] * 3 + [1] * 5])  # padding needs no loop, unless a cache goes on behind it
    model(tokens(2, 9), labels=tokens(2, 8), decoder_attention_mask=mask)
    with pytest.raises(AssertionError, match="a loop"):
        model(tokens(2, 9), decoder_input_ids=tokens(2, 8), decoder_attention_mask=mask, use_cache=True)


# Cache


def test_cache_follows_its_rows():
    model = build(attention="additive", input_feeding=True, cell_type="lstm")
    source, target = tokens(3, 5), tokens(3, 4, seed=1)
    rows = torch.tensor([2, 0, 0])
    for change, kept in (
        (lambda cache: cache.batch_select_indices(rows), rows),
        (lambda cache: cache.batch_repeat_interleave(2), torch.tensor([0, 0, 1, 1, 2, 2])),
    ):
        cache = model(source, decoder_input_ids=target, use_cache=True).past_key_values
        change(cache)
        assert cache.batch_size == len(kept) and f"batch_size={len(kept)}" in repr(cache)
        after = model(source[kept], decoder_input_ids=target[kept, :1], past_key_values=cache).logits
        again = torch.cat([target, target[:, :1]], dim=1)[kept]
        torch.testing.assert_close(after[:, -1], model(source[kept], decoder_input_ids=again).logits[:, -1])


def test_cache_refuses_what_a_recurrent_net_cannot_do():
    cache = build()(tokens(2, 5), decoder_input_ids=tokens(2, 3), use_cache=True).past_key_values
    assert isinstance(cache, RNNCache) and len(cache) == 2 and cache.get_max_length() == -1 and cache.is_initialized
    assert not cache.is_compileable and not cache.is_croppable
    cache.crop(0)
    with pytest.raises(ValueError, match="cannot forget"):
        cache.crop(1)
    for call in (cache.reset, cache.update):
        with pytest.raises(NotImplementedError):
            call()


# Training


@pytest.mark.parametrize("cell", CELL_STATES)
def test_every_combination_reaches_every_weight(cell):
    for attention, feeding, layer in product(ATTENTIONS, (False, True), (1, 2)):
        model = build(cell_type=cell, attention=attention, input_feeding=feeding, attention_layer=layer).train()
        loss = model(tokens(4, 6), labels=tokens(4, 5)).loss
        loss.backward()
        assert loss.isfinite()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("fields", [{}, {"tie_word_embeddings": False}], ids=["tied", "untied"])
def test_the_chunked_loss_is_the_plain_one(fields):
    model = build(**{**fields, "dropout": 0.0}).train()
    source, labels = tokens(3, 6), tokens(3, 5).masked_fill(torch.arange(5) >= torch.tensor([[5], [2], [3]]), IGNORED)
    found = []
    for skip_logits, num_items in product((None, False), (None, 7)):
        output = model(
            source, labels=labels, label_smoothing=0.1, num_items_in_batch=num_items, skip_logits=skip_logits
        )
        assert (output.logits is None) == (skip_logits is None)
        model.zero_grad()
        output.loss.backward()
        found.append([output.loss, *(parameter.grad.clone() for parameter in model.parameters())])
    for chunked, plain in zip(found[:2], found[2:]):
        torch.testing.assert_close(chunked, plain)
    logits = model(source, labels=labels, skip_logits=False).logits
    kept = labels != IGNORED
    by_hand = -logits.log_softmax(-1)[kept].gather(1, labels[kept][:, None]).mean()
    torch.testing.assert_close(model(source, labels=labels).loss, by_hand)


def test_families_share_one_loss():
    """A family imports no other, so the file stands twice; a change of one must reach the other."""
    ours, theirs = (Path(module.__file__).with_name("layers_loss.py") for module in (rnn_seq2seq, transformer_seq2seq))
    assert ours.read_text() == theirs.read_text()


@pytest.mark.parametrize("use_reentrant", [False, True])
@pytest.mark.parametrize("fields", [{"cell_type": "lstm", "attention": "additive"}, {"input_feeding": True}])
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
def test_gradient_checkpointing_changes_nothing(fields, use_reentrant):
    gradients = []
    for checkpointing in (False, True):
        model = build(**fields, dropout=0.0).train()
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": use_reentrant})
            assert all(layer.gradient_checkpointing for layer in model.model.decoder.layers)
        model(tokens(3, 6), labels=tokens(3, 5)).loss.backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    torch.testing.assert_close(*gradients)


@every_variant
@pytest.mark.parametrize("autocast", [False, True])
def test_bfloat16(fields, autocast):
    model = build(**fields)
    inputs = {"input_ids": tokens(3, 6), "labels": tokens(3, 5)}
    expected = model(**inputs)
    model = model.train() if autocast else model.train().to(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        model(**inputs).loss.backward()
        output = model.eval()(**inputs)
    assert output.loss.dtype == torch.float32
    torch.testing.assert_close(output.loss, expected.loss, atol=0.05, rtol=0)
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


def test_each_dropout_is_where_its_field_says():
    """A field alone makes training outputs random; no field, none."""
    inputs = {"input_ids": tokens(2, 6), "decoder_input_ids": tokens(2, 5)}
    off = {"dropout": 0.0, "embedding_dropout": 0.0, "output_dropout": 0.0}
    for field in (None, *off):
        model = build(**{**off, **({} if field is None else {field: 0.5})}).train()
        same = torch.equal(model(**inputs).logits, model(**inputs).logits)
        assert same == (field is None)
    model = build(dropout=0.25, embedding_dropout=None, output_dropout=None)
    assert model.model.encoder.embedding_dropout.p == model.model.decoder.output_dropout.p == 0.25


# Weights


@pytest.mark.parametrize("cell", CELL_STATES)
def test_weights_begin_on_purpose_even_after_loading(cell, tmp_path):
    """from_pretrained builds on the meta device, where torch's own initialisation never runs."""
    model = build(cell_type=cell)
    bias = "decoder.output_projection.bias"
    model.model.save_pretrained(tmp_path, state_dict={bias: model.model.get_parameter(bias)})  # all else is missing
    config = AutoConfig.from_pretrained(tmp_path)
    loaded = RNNSeq2SeqModel.from_pretrained(tmp_path, config=config)
    for module in [*model.modules(), *loaded.modules()]:
        if not isinstance(module, nn.RNNBase):
            continue
        for gate in module.weight_hh_l0.chunk(GATES[type(module)]):
            torch.testing.assert_close(gate @ gate.T, torch.eye(len(gate)), atol=1e-5, rtol=0)
        bias = torch.zeros(module.hidden_size * GATES[type(module)])
        if cell == "lstm":
            bias[module.hidden_size : 2 * module.hidden_size] = 1
        assert torch.equal(module.bias_ih_l0 + module.bias_hh_l0, bias)
    embeddings = model.get_input_embeddings().weight
    assert (embeddings[PAD] == 0).all()
    inputs = model.model.encoder.embed(tokens(8, 6))
    assert inputs.std().item() == pytest.approx(1, abs=0.1)
    loss = model(tokens(8, 6), labels=tokens(8, 5)).loss.item()
    assert loss == pytest.approx(torch.tensor(40.0).log().item(), abs=0.25)


def test_tied_embeddings_are_saved_once(tmp_path):
    model = build()
    assert model.lm_head.weight is model.get_input_embeddings().weight
    assert model.num_parameters() == build(tie_word_embeddings=False).num_parameters() - 40 * 12
    model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert loaded.lm_head.weight is loaded.get_input_embeddings().weight


def test_embeddings_in_place_of_tokens():
    model = build()
    source, target = tokens(2, 5), tokens(2, 4)
    embed = model.get_input_embeddings()
    by_embeddings = model(inputs_embeds=embed(source), decoder_inputs_embeds=embed(target))
    assert torch.equal(by_embeddings.logits, model(source, decoder_input_ids=target).logits)
    assert torch.equal(
        model.generate(inputs_embeds=embed(source), max_new_tokens=5), model.generate(source, max_new_tokens=5)
    )


def test_what_the_encoder_returned_may_be_a_tuple():
    model, source, target = build(), tokens(2, 5), tokens(2, 4)
    expected = model(source, decoder_input_ids=target).logits
    for states in (False, True):
        encoded = model.get_encoder()(source, output_hidden_states=states, return_dict=False)
        assert torch.equal(model(encoder_outputs=encoded, decoder_input_ids=target).logits, expected)
    with pytest.raises(ValueError, match="encoder_outputs must be what this model's encoder returned"):
        model(encoder_outputs=encoded[:1], decoder_input_ids=target)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of an exporter that calls itself experimental
def test_transformers_own_exporter_takes_prefill_and_decoding_apart():
    from transformers.exporters.exporter_dynamo import DynamoConfig, DynamoExporter

    source = tokens(3, 6)
    inputs = {"input_ids": source, "attention_mask": torch.ones_like(source)}
    exported = DynamoExporter().export_for_generation(build(), inputs, DynamoConfig(dynamic=True))
    assert list(exported.components) == ["prefill", "decode"]


# What people get wrong


def test_decoder_inputs_are_the_labels_behind_the_start():
    labels = torch.tensor([[5, 6, END, IGNORED], [IGNORED, 7, 8, END], [IGNORED] * 4])
    expected = torch.tensor([[START, 5, 6, END], [PAD, START, 7, 8], [START, PAD, PAD, PAD]])
    assert torch.equal(build().prepare_decoder_input_ids_from_labels(labels), expected)
    assert labels[0, 0] == 5  # the labels are left as they were


def test_messages_name_what_is_wrong():
    model, source, target = build(), tokens(2, 5), tokens(2, 4)
    with pytest.raises(ValueError, match="decoder_input_ids is missing"):
        model(source)
    with pytest.raises(ValueError, match="encoder_outputs must be what this model's encoder returned"):
        model(encoder_outputs=BaseModelOutput(torch.zeros(2, 5, 16)), decoder_input_ids=target)
    with pytest.raises(ValueError, match="past_key_values is a str, but a recurrent decoder keeps an RNNCache"):
        model(source, decoder_input_ids=target, past_key_values="cache")
    with pytest.raises(ValueError, match=r"decoder_attention_mask has shape \(2, 3\), but the target has \(2, 4\)"):
        model(source, decoder_input_ids=target, decoder_attention_mask=torch.ones(2, 3))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"cell_type": "LSTM"}, "cell_type='LSTM' is not one of lstm, gru, rnn"),
        ({"attention": "luong"}, "attention='luong' is not one of none, dot, general, additive"),
        ({"hidden_size": 15}, "hidden_size=15 must be even"),
        ({"hidden_size": 0}, "hidden_size=0 must be at least 1"),
        ({"decoder_layers": 0}, "decoder_layers=0 must be at least 1"),
        ({"attention_layer": 3}, "attention_layer=3 must be between 1 and decoder_layers=2"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"output_dropout": -0.1}, "output_dropout=-0.1 must be at least 0"),
        ({"vocab_size": 3}, "eos_token_id=3 is outside the vocabulary of vocab_size=3"),
        ({"eos_token_id": [3, 99]}, r"eos_token_id=\[3, 99\] is outside"),
        ({"is_encoder_decoder": False}, "is_encoder_decoder=False"),
        ({"cell_type": 3}, "cell_type"),
    ],
)
def test_config_says_what_is_wrong(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        RNNSeq2SeqConfig(**{**FAMILY.tiny, **fields})


def test_odd_sizes_that_are_fine():
    assert RNNSeq2SeqConfig(hidden_size=15, bidirectional=False).hidden_size == 15
    assert RNNSeq2SeqConfig(attention="none", decoder_layers=1, attention_layer=2).reads_context(2) is False
    assert RNNSeq2SeqConfig(eos_token_id=None, bos_token_id=None).num_hidden_layers == 1
