"""Subword regularisation: the published distributions, the same draw for the same key, nothing lost."""

import itertools
import math
import random
from collections import Counter

import pytest

from tests.data.test_tokenizer import UNSEEN, made_up_text
from zoo.data.tokenizer import train_tokenizer
from zoo.data.tokenizer_sampling import SubwordSampler

AMOUNTS = {"unigram": 0.3, "bpe": 0.2}
KINDS = pytest.mark.parametrize("kind", list(AMOUNTS))


@pytest.fixture(scope="module")
def tokenizers():
    return {kind: train_tokenizer(made_up_text(), 420, kind, languages=["de"]) for kind in AMOUNTS}


@KINDS
def test_every_draw_decodes_to_the_text(kind, tokenizers):
    tokenizer = tokenizers[kind]
    sampler = SubwordSampler(tokenizer, AMOUNTS[kind])
    for row, text in enumerate([*made_up_text(30), *UNSEEN, ""]):
        plain = tokenizer(text)["input_ids"]
        for epoch in range(10):
            ids = sampler(text, epoch, row)
            assert tokenizer.decode(ids) == tokenizer.decode(plain) and ids[-1] == tokenizer.eos_token_id
            assert tokenizer.unk_token_id not in ids


@KINDS
def test_a_draw_depends_on_its_key_alone(kind, tokenizers):
    text = made_up_text(1)[0]
    one, other = (SubwordSampler(tokenizers[kind], AMOUNTS[kind], seed=3) for _ in range(2))
    for line in made_up_text(20):  # another history
        other(line, 9)
    keys = list(itertools.product(range(4), range(3)))
    draws = [one(text, *key) for key in keys]
    assert draws == [other(text, *key) for key in keys]
    assert len({tuple(draw) for draw in draws}) > 4
    assert draws != [SubwordSampler(tokenizers[kind], AMOUNTS[kind], seed=4)(text, *key) for key in keys]


@KINDS
def test_little_noise_is_the_tokenizer_itself(kind, tokenizers):
    sampler = SubwordSampler(tokenizers[kind], {"unigram": 1000.0, "bpe": 1e-9}[kind])
    for text in made_up_text(100):
        assert sampler(text, 0) == tokenizers[kind](text)["input_ids"]


def test_all_merges_left_out_are_characters(tokenizers):
    sampler = SubwordSampler(tokenizers["bpe"], 1.0)
    assert tokenizers["bpe"].convert_ids_to_tokens(sampler("Hund läuft")) == [*"▁Hund▁läuft", "</s>"]


def test_unigram_draws_have_the_published_distribution(tokenizers):
    """P(segmentation)**amount over all segmentations, counted one by one."""
    sampler, word = SubwordSampler(tokenizers["unigram"], 0.3), "▁Hund"
    scores, weights = sampler._scores, {}
    for ends in itertools.product((False, True), repeat=len(word) - 1):
        edges = [0, *(place for place, ends_here in enumerate(ends, 1) if ends_here), len(word)]
        tokens = tuple(word[a:b] for a, b in zip(edges, edges[1:]))
        if all(token in scores for token in tokens):
            weights[tokens] = math.exp(0.3 * sum(scores[token] for token in tokens))
    draw = random.Random(0)
    counts = Counter(tuple(sampler._sample_unigram(word, draw)) for _ in range(4000))
    assert len(weights) > 2 and set(counts) <= set(weights)
    for tokens, weight in weights.items():
        share = weight / sum(weights.values())
        assert abs(counts[tokens] / 4000 - share) < 4 * math.sqrt(share / 4000), tokens


def test_bpe_leaves_out_the_asked_share(tokenizers):
    """Of a word with one merge, the share of draws without it is the amount."""
    sampler = SubwordSampler(tokenizers["bpe"], 0.2)
    (left, right), draw = min(sampler._ranks, key=sampler._ranks.get), random.Random(0)
    cuts = [len(sampler._sample_bpe(left + right, draw)) for _ in range(4000)]
    assert abs(cuts.count(2) / 4000 - 0.2) < 0.03


@KINDS
def test_tags_and_unknown_characters(kind, tokenizers):
    tokenizer = tokenizers[kind]
    ids = SubwordSampler(tokenizer, AMOUNTS[kind])(">>de<< 😀", 1)
    assert ids == tokenizer(">>de<< 😀")["input_ids"] and len(ids) == 7
    plain = train_tokenizer(made_up_text(), 160, kind, byte_fallback=False)
    assert plain.unk_token_id in SubwordSampler(plain, AMOUNTS[kind])("Hund 😀", 1)


def test_amounts_and_tokenizers_that_do_not_fit(tokenizers):
    for kind, amount in (("unigram", 0.0), ("bpe", 0.0), ("bpe", 1.5), ("unigram", -1.0)):
        with pytest.raises(ValueError, match="expected above 0"):
            SubwordSampler(tokenizers[kind], amount)
    with pytest.raises(ValueError, match="needs a fast SentencePiece tokenizer"):
        SubwordSampler(object(), 0.1)
