"""Adapters inside a model, and their merging."""

import pytest
import torch

from zoo.models.rnn_seq2seq import RNNSeq2SeqConfig, RNNSeq2SeqForConditionalGeneration
from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig, TransformerSeq2SeqForConditionalGeneration
from zoo.tasks.translation.new_pair.transplant import vocabulary_tensors
from zoo.training.lora import Lora

pytest.importorskip("peft")
MODELS = {
    "rnn": (RNNSeq2SeqForConditionalGeneration, RNNSeq2SeqConfig(vocab_size=20, embedding_size=12, hidden_size=16)),
    "transformer": (
        TransformerSeq2SeqForConditionalGeneration,
        TransformerSeq2SeqConfig(vocab_size=20, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=8),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_adapters_and_new_rows_are_trained_and_merged(name):
    torch.manual_seed(0)
    model_class, config = MODELS[name]
    model = model_class(config)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    tables = vocabulary_tensors(model)
    lora = Lora(model, 2, {name: [18, 19] for name in tables})
    assert lora.no_decay == tables
    assert type(model) is model_class
    trained = {key for key, value in model.named_parameters() if value.requires_grad}
    assert any("lora_A" in key for key in trained) and {key for key in trained if "lora_" not in key} <= set(tables)
    optimizer = torch.optim.SGD([value for value in model.parameters() if value.requires_grad], lr=0.5)
    batch = {"input_ids": torch.tensor([[5, 18, 3]]), "labels": torch.tensor([[7, 19, 3]])}
    for _ in range(3):
        optimizer.zero_grad()
        model(**batch).loss.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        adapted = model(**batch).logits
    lora.merge()
    after = model.state_dict()
    assert after.keys() == before.keys()
    with torch.no_grad():
        torch.testing.assert_close(model(**batch).logits, adapted)
    for key, value in after.items():
        if key in tables:
            assert torch.equal(value[:18], before[key][:18]) and not torch.equal(value[18:], before[key][18:])
    changed = {key for key in after if key not in tables and not torch.equal(after[key], before[key])}
    assert changed and all(key.endswith("weight") for key in changed)
    assert all(value.requires_grad for value in model.parameters())
