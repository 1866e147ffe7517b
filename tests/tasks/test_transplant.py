"""Weights of a model for another vocabulary, in every family that has one."""

import pytest
import torch

from zoo.models.rnn_seq2seq import RNNSeq2SeqConfig, RNNSeq2SeqForConditionalGeneration
from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig, TransformerSeq2SeqForConditionalGeneration
from zoo.tasks.translation.new_pair.transplant import transplant, vocabulary_tensors
from zoo.tasks.translation.new_pair.vocabulary import RowOrigins

RNN = {"embedding_size": 12, "hidden_size": 16, "decoder_layers": 1}
TRANSFORMER = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 20, "decoder_ffn_dim": 20}
EMBEDDED = ["model.decoder.embed_tokens.weight", "model.encoder.embed_tokens.weight"]
CASES = {
    "rnn": (RNNSeq2SeqForConditionalGeneration, RNNSeq2SeqConfig, RNN),
    "rnn-untied": (RNNSeq2SeqForConditionalGeneration, RNNSeq2SeqConfig, RNN | {"tie_word_embeddings": False}),
    "transformer": (TransformerSeq2SeqForConditionalGeneration, TransformerSeq2SeqConfig, TRANSFORMER),
    "transformer-untied": (
        TransformerSeq2SeqForConditionalGeneration,
        TransformerSeq2SeqConfig,
        TRANSFORMER | {"tie_word_embeddings": False, "final_logits_bias": True},
    ),
}


@pytest.fixture(params=CASES)
def models(request):
    """(parent, child class, child config) for 20 and 20 tokens: one size, so that shapes say nothing."""
    model_class, config_class, fields = CASES[request.param]
    torch.manual_seed(0)
    parent = model_class(config_class(vocab_size=20, dropout=0.0, **fields)).eval()
    with torch.no_grad():
        for name, value in parent.named_parameters():
            if name.endswith("bias"):
                value.normal_()
    return parent, model_class(config_class(vocab_size=20, dropout=0.0, **fields)).eval()


def test_tensors_with_a_row_for_each_token_are_found(models):
    parent, _ = models
    names = {name for name in vocabulary_tensors(parent)}
    tables = [parent.get_input_embeddings(), parent.get_output_embeddings()]
    expected = {
        name
        for name, value in parent.state_dict(keep_vars=True).items()
        if any(value is tensor for table in tables for tensor in table.parameters())
    }
    if hasattr(parent.get_decoder(), "embed_tokens"):
        expected |= set(EMBEDDED)
    assert names == expected and len(names) > 1


def test_moved_tokens_are_predicted_as_before(models):
    """The vocabulary in another order, and a last token that begins as the mean of two."""
    parent, child = models
    order = [0, 1, 2, 3, *torch.randperm(16, generator=torch.Generator().manual_seed(1)).add(4).tolist()]
    origins = RowOrigins(tuple((old,) for old in order), frozenset(), 20)
    transplant(parent, child, origins)
    source, target = torch.tensor([[5, 9, 19, 3]]), torch.tensor([[2, 11, 7]])
    place = torch.tensor([order.index(old) for old in range(20)])
    with torch.no_grad():
        before = parent(input_ids=source, decoder_input_ids=target).logits
        after = child(input_ids=place[source], decoder_input_ids=place[target]).logits
    torch.testing.assert_close(after[..., place], before)
    assert child.get_output_embeddings().weight is not parent.get_output_embeddings().weight


def test_new_rows_are_means_with_noise_where_it_is_wanted(models):
    parent, _ = models
    child = type(parent)(type(parent.config)(**{**parent.config.to_dict(), "vocab_size": 23}))
    every = tuple(range(4, 20))
    rows = (*((old,) for old in range(20)), (4, 7), every, every)
    transplant(parent, child, RowOrigins(rows, frozenset({21, 22}), 20))
    before, after = parent.state_dict(), child.state_dict()
    for name in vocabulary_tensors(parent):
        torch.testing.assert_close(after[name][:20], before[name])
        torch.testing.assert_close(after[name][20], before[name][[4, 7]].mean(0))
        distance = (after[name][21] - before[name][list(every)].mean(0)).abs()
        assert 0 < distance.max() < 1.2 and not torch.equal(after[name][21], after[name][22])
    assert child.config.vocab_size == 23
    tied = child.config.tie_word_embeddings
    assert tied == (child.get_output_embeddings().weight is child.get_input_embeddings().weight)
    with torch.no_grad():
        logits = child.eval()(input_ids=torch.tensor([[5, 22, 3]]), decoder_input_ids=torch.tensor([[2, 20]])).logits
    assert logits.shape == (1, 2, 23) and logits.isfinite().all()


def test_what_does_not_belong_together_is_refused(models):
    parent, child = models
    with pytest.raises(ValueError, match="the parent has rows for 20 tokens and its tokenizer 19 tokens"):
        transplant(parent, child, RowOrigins(((0,),) * 20, frozenset(), 19))
    with pytest.raises(ValueError, match="the new model has rows for 20 tokens and its tokenizer 3 tokens"):
        transplant(parent, child, RowOrigins(((0,),) * 3, frozenset(), 20))
    width = "d_model" if hasattr(parent.config, "d_model") else "hidden_size"
    wider = type(parent)(type(parent.config)(**{**parent.config.to_dict(), width: 24, "vocab_size": 20}))
    with pytest.raises(ValueError, match="only the vocabulary may change"):
        transplant(parent, wider, RowOrigins(tuple((old,) for old in range(20)), frozenset(), 20))
