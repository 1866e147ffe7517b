"""What every family that generates must do, with all that `generate()` offers: see tests/test_contract.py too."""

import copy
from functools import cache

import pytest
import torch
from transformers import (
    LogitsProcessor,
    LogitsProcessorList,
    set_seed,
)
from transformers.generation.streamers import BaseStreamer

from tests.inputs import INPUTS
from zoo.registry import FAMILIES, load_family


def generating_class(family_name: str):
    """The family's first model that generates text, or None."""
    classes = load_family(family_name).model_classes.values()
    return next((model_class for model_class in classes if model_class.can_generate()), None)


def inputs_of(model, rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Random inputs for the first task of the model's family that generates."""
    classes = load_family(model.config.model_type).model_classes.items()
    task = next(task for task, model_class in classes if isinstance(model, model_class))
    return INPUTS[task](model.config, rows, seed)


every_family = pytest.mark.parametrize("name", [name for name in FAMILIES if generating_class(name)])
# A field that changes every step of generation: `family+field`.
every_family_and_copying = pytest.mark.parametrize(
    "name", [*every_family.args[1], "transformer_seq2seq+copy_mechanism"]
)
LENGTH = 8


@cache
def trained(name: str):
    """
    A tiny model that has begun to learn to write its source backwards: it ends its sentences, and every row, length
    and step has its own answer, so a mistake shows.
    """
    set_seed(0)
    name, _, field = name.partition("+")
    family = load_family(name)
    fields = {**family.tiny, **({field: True} if field else {})}
    model = generating_class(name)(family.config_class(**fields)).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(150):
        loss = model(**inputs_of(model, 32, step)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.generation_config.max_new_tokens = LENGTH
    return model.eval()


def sources(model, rows: int = 4) -> dict[str, torch.Tensor]:
    inputs = inputs_of(model, rows, 1000)
    return {name: inputs[name] for name in (model.main_input_name, "attention_mask")}


def pads_left(model) -> bool:
    """Whether a source may be padded on the left: sound may not, as its frames are counted in fours."""
    return model.main_input_name == "input_ids"


def padded(inputs: dict[str, torch.Tensor], left: int, right: int, pad: int) -> dict[str, torch.Tensor]:
    """More padding on either side of the source."""
    return {
        name: torch.nn.functional.pad(
            value, (0, 0) * (value.ndim - 2) + (left, right), value=0 if name == "attention_mask" else pad
        )
        for name, value in inputs.items()
    }


def left_aligned(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """All padding moved to the left."""
    shift = (inputs["attention_mask"] == 0).sum(dim=1)
    length = inputs["attention_mask"].shape[1]
    index = (torch.arange(length) - shift[:, None]) % length
    return {name: value.gather(1, index) for name, value in inputs.items()}


def log_probabilities(model, inputs: dict[str, torch.Tensor], sequences: torch.Tensor) -> torch.Tensor:
    """Log-probability of every token behind the start that a plain forward pass gives, (rows, tokens)."""
    with torch.no_grad():
        logits = model(**inputs, decoder_input_ids=sequences[:, :-1]).logits
    return logits.log_softmax(-1).gather(2, sequences[:, 1:, None]).squeeze(2)


def written(model, sequences: torch.Tensor) -> torch.Tensor:
    """(rows, tokens) mask of the tokens behind the start, up to the end sign."""
    ended = (sequences[:, 1:] == model.config.eos_token_id).long()
    return (ended.cumsum(1) - ended) == 0


def sentences(model, sequences: torch.Tensor) -> list[list[int]]:
    """What was written, without what fills up the batch."""
    return [row[mask].tolist() for row, mask in zip(sequences[:, 1:], written(model, sequences))]


def repeated(inputs: dict[str, torch.Tensor], times: int) -> dict[str, torch.Tensor]:
    return {name: value.repeat_interleave(times, dim=0) for name, value in inputs.items()}


MODES = {
    "greedy": {},
    "sample": {"do_sample": True, "top_k": 8, "top_p": 0.9, "temperature": 1.5},
    "sample several": {"do_sample": True, "num_return_sequences": 3},
    "beam": {"num_beams": 4},
    "beam, all of them": {"num_beams": 3, "num_return_sequences": 3, "length_penalty": 0.6, "early_stopping": True},
    "beam sample": {"num_beams": 2, "do_sample": True},
    "no repetition": {"repetition_penalty": 1.7, "no_repeat_ngram_size": 2},
    "lengths": {
        "num_beams": 3,
        "min_new_tokens": 6,
        "bad_words_ids": [[12]],
        "exponential_decay_length_penalty": (2, 1.2),
    },
}


@every_family_and_copying
def test_the_models_under_test_have_something_to_say(name):
    """Rows differ and end before the limit; else the tests below could not fail."""
    model = trained(name)
    sequences = model.generate(**sources(model, 16))
    assert len({tuple(row) for row in sequences.tolist()}) > 8
    assert (sequences == model.config.eos_token_id).any(dim=1).sum() > 8


@every_family_and_copying
@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_cache_changes_no_token(name, mode):
    model = trained(name)
    found = []
    for use_cache in (True, False):
        set_seed(0)
        found.append(model.generate(**sources(model), use_cache=use_cache, **mode))
    assert len(found[0]) == 4 * mode.get("num_return_sequences", 1)
    assert torch.equal(*found)


@every_family_and_copying
@pytest.mark.parametrize("mode", [{}, {"num_beams": 3}], ids=["greedy", "beam"])
def test_padding_changes_no_token(name, mode):
    """Left or right, none or plenty, alone or in a batch."""
    model = trained(name)
    inputs, pad = sources(model), model.config.pad_token_id
    expected = sentences(model, model.generate(**inputs, **mode))
    if pads_left(model):
        assert sentences(model, model.generate(**left_aligned(inputs), **mode)) == expected
    for left, right in ((5, 0), (0, 9), (3, 4)) if pads_left(model) else ((0, 9), (0, 2)):
        assert sentences(model, model.generate(**padded(inputs, left, right, pad), **mode)) == expected
    for row in range(4):
        real = inputs["attention_mask"][row].bool()
        alone = inputs[model.main_input_name][row : row + 1, real]
        assert sentences(model, model.generate(alone, **mode)) == expected[row : row + 1]


@every_family_and_copying
@pytest.mark.parametrize("mode", [{}, {"num_beams": 3}], ids=["greedy", "beam"])
def test_the_batch_size_changes_no_token(name, mode):
    """Rows in their order or sorted by length, in batches of any size."""
    model = trained(name)
    inputs = sources(model, 12)
    expected = sentences(model, model.generate(**inputs, **mode))
    for size, order in ((5, torch.arange(12)), (7, inputs["attention_mask"].sum(1).argsort(descending=True))):
        found = {}
        for rows in order.split(size):
            part = {key: value[rows] for key, value in inputs.items()}
            found.update(zip(rows.tolist(), sentences(model, model.generate(**part, **mode))))
        assert [found[row] for row in range(12)] == expected


@every_family_and_copying
def test_padding_changes_no_logit(name):
    model = trained(name)
    inputs = inputs_of(model, 4)
    source = {key: inputs[key] for key in (model.main_input_name, "attention_mask")}
    logits = model(**source, decoder_input_ids=inputs["decoder_input_ids"]).logits
    pad = model.config.pad_token_id
    others = [left_aligned(source), padded(source, 4, 3, pad)] if pads_left(model) else [padded(source, 0, 3, pad)]
    for other in others:
        moved = model(**other, decoder_input_ids=inputs["decoder_input_ids"]).logits
        torch.testing.assert_close(moved, logits, rtol=1e-4, atol=1e-5)


@every_family_and_copying
def test_padding_of_the_target_changes_no_loss(name):
    model = trained(name)
    inputs = inputs_of(model, 4)
    expected = model(**inputs).loss
    real = (inputs["labels"] != -100).long()
    for labels in (
        torch.nn.functional.pad(inputs["labels"], (0, 5), value=-100),
        left_aligned({"labels": inputs["labels"], "attention_mask": real})["labels"],
    ):
        source = {key: inputs[key] for key in (model.main_input_name, "attention_mask")}
        loss = model(**source, labels=labels).loss
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


@every_family_and_copying
def test_steps_are_what_one_pass_computes(name):
    """The logits of every step are those of a plain forward pass over the whole result."""
    model = trained(name)
    output = model.generate(**sources(model), return_dict_in_generate=True, output_logits=True, output_scores=True)
    with torch.no_grad():
        logits = model(**sources(model), decoder_input_ids=output.sequences[:, :-1]).logits
    kept = written(model, output.sequences)
    torch.testing.assert_close(torch.stack(output.logits, dim=1)[kept], logits[kept], rtol=1e-4, atol=1e-4)


@every_family_and_copying
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0])
def test_beam_scores_are_log_probabilities(name, length_penalty):
    """Beams come best first; each one's score is its log-probability over its length to the power of the penalty."""
    model = trained(name)
    output = model.generate(
        **sources(model),
        num_beams=4,
        num_return_sequences=4,
        length_penalty=length_penalty,
        return_dict_in_generate=True,
        output_scores=True,
    )
    kept = written(model, output.sequences)
    total = (log_probabilities(model, repeated(sources(model), 4), output.sequences) * kept).sum(1)
    expected = total / kept.sum(1) ** length_penalty
    torch.testing.assert_close(output.sequences_scores, expected, rtol=1e-3, atol=1e-4)
    scores = output.sequences_scores.view(4, 4)
    assert torch.equal(scores, scores.sort(descending=True).values)
    assert len({tuple(row) for row in output.sequences.tolist()}) == 16


@every_family_and_copying
def test_a_beam_of_the_whole_vocabulary_finds_the_best(name):
    """Two tokens: with as many beams as words nothing is cut off, so beam search must find what trying all finds."""
    model = trained(name)
    inputs, words = sources(model, 1), model.config.vocab_size
    start = torch.tensor([[model.config.decoder_start_token_id]])
    pairs = torch.cartesian_prod(torch.arange(words), torch.arange(words))
    pairs = pairs[pairs[:, 0] != model.config.eos_token_id]
    total = log_probabilities(model, repeated(inputs, len(pairs)), torch.cat([start.expand(len(pairs), 1), pairs], 1))
    best = pairs[total.sum(1).argmax()]
    output = model.generate(**inputs, num_beams=words, max_new_tokens=2, min_new_tokens=2, length_penalty=0.0)
    assert output[0, 1:].tolist() == best.tolist()


@every_family_and_copying
def test_more_beams_find_no_worse_sentences(name):
    model = trained(name)
    best = []
    for beams in (2, 8):
        output = model.generate(
            **sources(model, 8), num_beams=beams, length_penalty=0.0, return_dict_in_generate=True, output_scores=True
        )
        best.append(output.sequences_scores.sum())
    assert best[1] >= best[0] - 1e-4


@every_family_and_copying
def test_no_ngram_twice(name):
    model = trained(name)
    plain = model.generate(**sources(model, 16), max_new_tokens=14, min_new_tokens=14)
    blocked = model.generate(**sources(model, 16), max_new_tokens=14, min_new_tokens=14, no_repeat_ngram_size=2)

    def has_repeat(row):
        pairs = list(zip(row, row[1:]))
        return len(pairs) > len(set(pairs))

    assert any(has_repeat(row) for row in plain.tolist())
    assert not any(has_repeat(row) for row in blocked.tolist())


class Only(LogitsProcessor):
    """Allows one token, and remembers what it was asked."""

    def __init__(self, token: int):
        self.token, self.lengths = token, []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.lengths.append(input_ids.shape[1])
        allowed = torch.full_like(scores, float("-inf"))
        allowed[:, self.token] = scores[:, self.token]
        return allowed


@every_family_and_copying
@pytest.mark.parametrize("beams", [1, 3])
def test_logits_processors_have_the_last_word(name, beams):
    model = trained(name)
    only = Only(11)
    output = model.generate(
        **sources(model), logits_processor=LogitsProcessorList([only]), num_beams=beams, max_new_tokens=4
    )
    assert (output[:, 1:] == 11).all() and only.lengths == [1, 2, 3, 4]


@every_family_and_copying
def test_prefixes_that_are_allowed(name):
    model = trained(name)
    allowed = lambda batch, tokens: [10 + batch, 20 + batch]  # noqa: E731
    output = model.generate(**sources(model), prefix_allowed_tokens_fn=allowed, num_beams=2, max_new_tokens=5)
    for row, tokens in enumerate(output[:, 1:].tolist()):
        assert set(tokens) <= {10 + row, 20 + row}


class Collect(BaseStreamer):
    """Keeps what is streamed."""

    def __init__(self):
        self.tokens, self.ended = [], False

    def put(self, value: torch.Tensor) -> None:
        self.tokens += value.flatten().tolist()

    def end(self) -> None:
        self.ended = True


@every_family_and_copying
@pytest.mark.parametrize("do_sample", [False, True])
def test_streaming(name, do_sample):
    model = trained(name)
    streamer = Collect()
    output = model.generate(**sources(model, 1), streamer=streamer, do_sample=do_sample)
    assert streamer.tokens == output[0].tolist() and streamer.ended


@every_family_and_copying
def test_attention_weights_on_request(name):
    """A tuple with a tensor (batch, heads, target, source) for each layer that attends; padding gets nothing."""
    model = trained(name)
    inputs = inputs_of(model, 4)
    assert model(**inputs).cross_attentions is None
    weights = model(**inputs, output_attentions=True).cross_attentions
    assert isinstance(weights, tuple) and weights
    mask = inputs["attention_mask"].bool()
    for layer in weights:
        assert layer.ndim == 4 and (layer.shape[0], layer.shape[2]) == (4, 8)
        torch.testing.assert_close(layer.sum(-1), torch.ones(layer.shape[:3]))
        stride = mask.shape[1] // layer.shape[3]  # frames of sound to a position
        assert (layer.transpose(1, 3)[~mask[:, ::stride]] == 0).all()
    output = model.generate(**sources(model), return_dict_in_generate=True, output_attentions=True)
    assert len(output.cross_attentions) == output.sequences.shape[1] - 1
    again = model(**sources(model), decoder_input_ids=output.sequences[:, :-1], output_attentions=True)
    for number, layer in enumerate(again.cross_attentions):
        steps = torch.cat([step[number] for step in output.cross_attentions], dim=2)
        torch.testing.assert_close(steps, layer, rtol=1e-4, atol=1e-5)


@every_family_and_copying
def test_hidden_states_of_every_step(name):
    model = trained(name)
    output = model.generate(**sources(model), return_dict_in_generate=True, output_hidden_states=True)
    assert len(output.decoder_hidden_states) == output.sequences.shape[1] - 1
    assert all(state.shape[:2] == (4, 1) for state in output.decoder_hidden_states[-1])
    encoded = model.get_encoder()(**sources(model), return_dict=True).last_hidden_state
    assert all(state.shape[:2] == encoded.shape[:2] for state in output.encoder_hidden_states)


@every_family_and_copying
def test_a_given_beginning_is_gone_on_from(name):
    """`decoder_input_ids` of different lengths, padded on the left, go on as each would alone."""
    model = trained(name)
    inputs, pad, start = sources(model, 3), model.config.pad_token_id, model.config.decoder_start_token_id
    beginnings = [[start], [start, 14], [start, 15, 16, 17]]
    prompt = torch.tensor([[pad] * (4 - len(tokens)) + tokens for tokens in beginnings])
    mask = torch.tensor([[0] * (4 - len(tokens)) + [1] * len(tokens) for tokens in beginnings])
    for mode in ({}, {"use_cache": False}, {"num_beams": 2}):
        together = model.generate(
            **inputs, decoder_input_ids=prompt, decoder_attention_mask=mask, max_new_tokens=4, **mode
        )
        for row, tokens in enumerate(beginnings):
            source = {key: value[row : row + 1] for key, value in inputs.items()}
            alone = model.generate(**source, decoder_input_ids=torch.tensor([tokens]), max_new_tokens=4, **mode)
            new = alone[0, len(tokens) :].tolist()
            assert together[row, -4:].tolist()[: len(new)] == new, mode


@every_family_and_copying
def test_generation_goes_on_from_a_returned_cache(name):
    model = trained(name)
    inputs = sources(model)
    whole = model.generate(**inputs, max_new_tokens=7, min_new_tokens=7)
    first = model.generate(**inputs, max_new_tokens=3, min_new_tokens=3, return_dict_in_generate=True)
    assert first.past_key_values.get_seq_length() == 3
    rest = model.generate(
        **inputs,
        decoder_input_ids=first.sequences,
        decoder_attention_mask=torch.ones_like(first.sequences),
        past_key_values=first.past_key_values,
        max_new_tokens=4,
        min_new_tokens=4,
    )
    assert torch.equal(rest, whole)


@every_family_and_copying
def test_rows_of_a_beam_searchs_cache_can_be_selected(name):
    """The returned cache has a row for each beam, in all of its parts."""
    model, inputs = trained(name), sources(trained(name), 2)
    settings = {"num_beams": 4, "num_return_sequences": 4, "max_new_tokens": 3, "min_new_tokens": 3}
    output = model.generate(**inputs, **settings, return_dict_in_generate=True)
    inputs, token = repeated(inputs, 4), output.sequences[:, -1:]
    kept = torch.tensor([6, 1, 3])
    whole, part = output.past_key_values, copy.deepcopy(output.past_key_values)
    part.batch_select_indices(kept)
    expected = model(**inputs, decoder_input_ids=token, past_key_values=whole).logits[kept]
    inputs = {key: value[kept] for key, value in inputs.items()}
    logits = model(**inputs, decoder_input_ids=token[kept], past_key_values=part).logits
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@every_family_and_copying
def test_the_encoder_may_run_before(name):
    model = trained(name)
    inputs = sources(model)
    encoded = model.get_encoder()(**inputs, return_dict=True)
    for mode in ({}, {"num_beams": 3}):
        found = model.generate(encoder_outputs=encoded, attention_mask=inputs["attention_mask"], **mode)
        assert torch.equal(found, model.generate(**inputs, **mode))
        encoded = model.get_encoder()(**inputs, return_dict=True)


@every_family_and_copying
def test_assisted_decoding_or_a_clear_refusal(name):
    model = trained(name)
    inputs = sources(model, 1)
    if model._is_stateful:
        with pytest.raises(ValueError, match="assisted generation is not supported with stateful models"):
            model.generate(**inputs, assistant_model=model)
    else:
        found = model.generate(**inputs, assistant_model=model)
        assert torch.equal(found, model.generate(**inputs))


@every_family_and_copying
def test_misspelt_arguments_are_refused(name):
    model = trained(name)
    with pytest.raises(ValueError, match="atention_mask"):
        model.generate(**sources(model), atention_mask=1)


@every_family_and_copying
def test_bfloat16_generates(name):
    model = trained(name)
    half = type(model)(model.config).to(torch.bfloat16).eval()
    half.load_state_dict(model.state_dict())
    for mode in ({}, {"num_beams": 3}):
        output = half.generate(**sources(model), max_new_tokens=LENGTH, **mode)
        # Most tokens are clear enough to survive the rounding.
        plain = model.generate(**sources(model), **mode)
        length = min(output.shape[1], plain.shape[1])
        assert (output[:, :length] == plain[:, :length]).float().mean() > 0.6


@every_family_and_copying
def test_generation_settings_are_saved(name, tmp_path):
    model = trained(name)
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path)
    assert loaded.generation_config.max_new_tokens == LENGTH
    for field in ("pad_token_id", "eos_token_id", "decoder_start_token_id"):
        assert getattr(loaded.generation_config, field) == getattr(model.config, field)
    assert torch.equal(loaded.generate(**sources(model)), model.generate(**sources(model)))
