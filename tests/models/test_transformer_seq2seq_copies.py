"""The copy mechanism of the Transformer encoder-decoder."""

import pytest
import torch
from transformers import set_seed

from zoo.models.transformer_seq2seq import FAMILY, TransformerSeq2SeqForConditionalGeneration
from zoo.models.transformer_seq2seq.copy_mechanism import add_copies, copy_cross_entropy

END = 3


def build() -> TransformerSeq2SeqForConditionalGeneration:
    set_seed(0)
    config = FAMILY.config_class(**{**FAMILY.tiny, "copy_mechanism": True})
    return TransformerSeq2SeqForConditionalGeneration(config).eval()


def random_parts(rows: int = 2, length: int = 3, source: int = 5, vocabulary: int = 11) -> tuple[torch.Tensor, ...]:
    """Logits, pointer, odds and source tokens, some of which occur twice."""
    set_seed(1)
    logits, odds = torch.randn(rows, length, vocabulary), torch.randn(rows, length, 1)
    return logits, torch.randn(rows, length, source).softmax(-1), odds, torch.randint(4, 8, (rows, source))


def test_probabilities_are_those_of_the_paper():
    """P(w) = p_gen P_vocab(w) + (1 - p_gen) * the sum of the attention to each w of the source (equation 9)."""
    logits, pointer, odds, ids = random_parts()
    probabilities = add_copies(logits, pointer, odds, ids).exp()
    torch.testing.assert_close(probabilities.sum(-1), torch.ones(2, 3))
    for row in range(2):
        for step in range(3):
            copying = torch.sigmoid(odds[row, step, 0])
            for token in range(11):
                copied = sum(pointer[row, step, place] for place in range(5) if ids[row, place] == token)
                expected = (1 - copying) * logits[row, step].softmax(-1)[token] + copying * copied
                torch.testing.assert_close(probabilities[row, step, token], torch.as_tensor(expected))


def test_the_loss_is_the_cross_entropy_of_these_probabilities():
    logits, pointer, odds, ids = random_parts()
    labels = torch.tensor([[4, 5, -100], [9, 7, 4]])  # 9 is not in the source
    expected = torch.nn.functional.cross_entropy(
        add_copies(logits, pointer, odds, ids).flatten(0, 1), labels.flatten(), ignore_index=-100
    )
    torch.testing.assert_close(copy_cross_entropy(logits, pointer, odds, ids, labels), expected)
    torch.testing.assert_close(copy_cross_entropy(logits, pointer, odds, ids, labels, num_items=10), expected / 2)


def test_tokens_that_were_never_trained_are_copied():
    """Training has tokens 4 to 19 only: no output layer alone would write others."""
    model = build().train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = torch.Generator().manual_seed(0)

    def texts(low: int, high: int, rows: int) -> torch.Tensor:
        tokens = torch.randint(low, high, (rows, 5), generator=generator)
        return torch.cat([tokens, torch.full((rows, 1), END)], dim=1)

    for _ in range(200):
        ids = texts(4, 20, 32)
        model(input_ids=ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    unseen = texts(20, 32, 16)
    texts_of_model = model.eval().generate(unseen, max_new_tokens=6)[:, 1:]
    written = [
        token in ids for text, ids in zip(texts_of_model.tolist(), unseen.tolist()) for token in text if token > 3
    ]
    assert sum(written) > 0.8 * len(written) > 30


def test_without_the_tokens_of_the_source_one_line_says_what_is_missing():
    model = build()
    states = model.get_encoder()(input_ids=torch.tensor([[5, END]])).last_hidden_state
    with pytest.raises(ValueError, match="copy_mechanism=True copies tokens of the source: give input_ids, "):
        model(encoder_outputs=(states,), decoder_input_ids=torch.tensor([[2]]))
    assert model(input_ids=torch.tensor([[5, END]]), encoder_outputs=(states,), decoder_input_ids=torch.tensor([[2]]))
