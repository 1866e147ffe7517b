"""Vocabularies that go on with another language."""

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from tests.tasks.new_pairs import FOREIGN as CYRILLIC
from tests.tasks.pairs import pairs
from zoo.data.tokenizer import count_tokens, language_ids, text_fit, train_tokenizer
from zoo.data.tokenizer_sampling import SubwordSampler
from zoo.tasks.translation.new_pair.vocabulary import change_vocabulary, fits_badly, unknown_sides
from zoo.tasks.translation.new_pair.vocabulary_growth import is_of_one_script

ENGLISH, ESPERANTO = (list(side) for side in zip(*pairs(300)))
# Another language still: other letters, one of them in few texts only.
CAESAR = str.maketrans("abcdefghijklmnopqrstuvwxyz", "éçñdøfghüjklmàopqrstîvwxyö")
FOREIGN = [text.translate(CAESAR) for text in ENGLISH]


@pytest.fixture(scope="module", params=["bpe", "unigram"])
def old(request):
    tokenizer = train_tokenizer([*ENGLISH, *ESPERANTO], 330, request.param, languages=["eo"])
    tokenizer.model_max_length = 77
    return tokenizer


def pieces_of(tokenizer) -> list[str]:
    return [piece for piece, _ in sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])]


@pytest.mark.parametrize("new_rows", ["mean", "rank", "compose"])
@pytest.mark.parametrize("mode", ["extend", "replace"])
def test_a_changed_vocabulary_cuts_the_new_texts_and_knows_its_rows(old, mode, new_rows, tmp_path):
    options = {"size": 400, "new_rows": new_rows, "languages": ["eo", "xx"]}
    new, origins = change_vocabulary(old, [ENGLISH, FOREIGN], mode, **options)
    fit, fit_before = text_fit(new, FOREIGN), text_fit(old, FOREIGN)
    assert fits_badly(fit_before) and fit.byte_share == 0 and fit.tokens < 0.6 * fit_before.tokens
    before, after = pieces_of(old), pieces_of(new)
    assert len(origins.rows) == len(after) == len(new) and origins.old_size == len(before)
    for number, piece in enumerate(after):  # what both have is copied, and every row comes from rows that are there
        if piece in before:
            assert origins.rows[number] == (before.index(piece),) and number not in origins.noisy
        assert origins.rows[number] and max(origins.rows[number]) < len(before)
    if mode == "extend":
        assert after[: len(before)] == before and origins.copied == len(before)
    for token in ("pad_token_id", "unk_token_id", "bos_token_id", "eos_token_id", "model_max_length"):
        assert getattr(new, token) == getattr(old, token)
    assert list(language_ids(new)) == ["eo", "xx"]
    tag = new.convert_tokens_to_ids(">>xx<<")
    assert tag in origins.noisy and len(origins.rows[tag]) > 9
    ids = new(f">>xx<< {FOREIGN[0]}")["input_ids"]
    assert ids == [tag, *new(FOREIGN[0])["input_ids"]]
    assert new.decode(ids, skip_special_tokens=True).strip() == FOREIGN[0]
    new.save_pretrained(tmp_path)
    again = PreTrainedTokenizerFast.from_pretrained(tmp_path)
    assert again(FOREIGN[:9])["input_ids"] == new(FOREIGN[:9])["input_ids"] and len(again) == len(new)


def test_composed_rows_are_those_of_the_old_tokens_of_the_same_text(old):
    new, origins = change_vocabulary(old, [ENGLISH, FOREIGN], "extend", new_rows="compose")
    before = pieces_of(old)
    for number, piece in enumerate(pieces_of(new)[len(before) :], start=len(before)):
        parts = [before[row] for row in origins.rows[number]]
        text = b"".join(bytes([int(part[3:5], 16)]) if part.startswith("<0x") else part.encode() for part in parts)
        assert text.decode() == piece


def test_rank_takes_rows_that_nobody_needs_the_frequent_ones_first(old):
    new, origins = change_vocabulary(old, [ENGLISH, FOREIGN], "extend", new_rows="rank")
    texts = [*ENGLISH, *FOREIGN]
    taken = [row for (row,) in origins.rows[len(old) :]]
    assert taken and not count_tokens(old, texts).keys() & set(taken)
    counts = count_tokens(new, texts)
    ranked = sorted(range(len(old), len(new)), key=lambda number: -counts[number])
    assert origins.rows[ranked[0]][0] < origins.rows[ranked[-1]][0]


def test_a_side_that_the_vocabulary_knows_is_left_alone(old):
    assert unknown_sides(old, [ENGLISH, FOREIGN]) == [FOREIGN]
    assert unknown_sides(old, [ENGLISH, ESPERANTO]) == [ENGLISH, ESPERANTO]
    new, _ = change_vocabulary(old, [ENGLISH, FOREIGN], "extend")
    assert new(ENGLISH)["input_ids"] == old(ENGLISH)["input_ids"]
    # words of another language are cut as before, but for common strings; all of them if it is said to be known
    assert sum(old(text)["input_ids"] == new(text)["input_ids"] for text in ESPERANTO) > 0.8 * len(ESPERANTO)
    both, _ = change_vocabulary(old, [ENGLISH, FOREIGN], "extend", known=ESPERANTO)
    assert both(ESPERANTO)["input_ids"] == old(ESPERANTO)["input_ids"] and len(both) > len(old)


def test_new_pieces_do_not_mix_letters_with_signs_or_digits(old):
    texts = [f"{text.rstrip('.')}'s 7. x7," for text in FOREIGN]
    new, _ = change_vocabulary(old, [ENGLISH, texts], "extend")
    added = [piece.lstrip("▁") for piece in pieces_of(new)[len(old) :]]
    assert len(added) > 20
    assert [piece for piece in added if not (piece.isalpha() or not any(map(str.isalpha, piece)))] == []


def test_marks_and_joiners_belong_to_the_letters_that_they_stand_with():
    whole = ["▁k\u0259\u0301k\u0259", "كِتَابٌ", "क्\u200dष", "می\u200cروم", "ẹ̀kọ́", "7.5", "▁,"]
    assert [piece for piece in whole if not is_of_one_script(piece)] == []
    assert [piece for piece in ("end.", "x7", "d'", "вx", "中a") if is_of_one_script(piece)] == []


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_known_texts_with_letters_that_no_piece_has(kind):
    old = train_tokenizer([*ENGLISH, *ESPERANTO], 74, kind, byte_fallback=False)
    new, _ = change_vocabulary(old, [ENGLISH, FOREIGN], "extend", known=[*ESPERANTO, "中文字"])
    assert new("中文字")["input_ids"] == old("中文字")["input_ids"] and len(new) > len(old)


@pytest.mark.parametrize("kind", ["bpe", "unigram"])
def test_a_vocabulary_without_bytes_learns_the_side_that_it_cannot_spell(kind):
    old = train_tokenizer([*ENGLISH, *ESPERANTO], 74, kind, byte_fallback=False)
    other = [text.lower().translate(CYRILLIC) for text in ENGLISH]
    # Every word is one UNK, so that it seems to be split into long tokens.
    assert text_fit(old, other).unknown_share > 0.4
    assert unknown_sides(old, [ENGLISH, other]) == [other]
    new, _ = change_vocabulary(old, [ENGLISH, other], "extend")
    assert text_fit(new, other).unknown_share == 0


def test_keeping_the_vocabulary_changes_nothing_but_new_tags(old):
    assert change_vocabulary(old, [ENGLISH, FOREIGN], "keep", languages=["eo"]) == (old, None)
    new, origins = change_vocabulary(old, [ENGLISH, FOREIGN], "keep", languages=["xx"])
    assert pieces_of(new) == [*pieces_of(old), ">>xx<<"] and len(origins.rows) == len(old) + 1
    # once more: tags are part of the model's vocabulary, and new pieces come behind them
    more, _ = change_vocabulary(new, [ENGLISH, FOREIGN], "extend")
    assert pieces_of(more)[: len(new)] == pieces_of(new) and len(more) > len(new)


def test_a_limit_limits_and_rare_pieces_are_left_out(old):
    new, _ = change_vocabulary(old, [ENGLISH, FOREIGN], "extend", size=len(old) + 7)
    assert len(new) == len(old) + 7
    for mode, size in (("extend", len(old) + 7), ("replace", 300)):  # tags are pieces too
        tagged, _ = change_vocabulary(old, [ENGLISH, FOREIGN], mode, size=size, languages=["xx", "yy"])
        assert len(tagged) == size
    whole, _ = change_vocabulary(old, [ENGLISH[:20], FOREIGN[:20]], "replace", size=5000)
    assert len(whole) < len(old) + 50  # twenty sentences are worth few pieces, and the size is no error
    with pytest.raises(ValueError, match="vocabulary_size=5 is less than the 330 tokens that stay"):
        change_vocabulary(old, [ENGLISH, FOREIGN], "extend", size=5)


def test_sampled_cuts_have_the_new_pieces(old):
    new, _ = change_vocabulary(old, [ENGLISH, FOREIGN], "extend")
    sample = SubwordSampler(new, 0.2)
    cuts = {tuple(sample(FOREIGN[0], epoch)) for epoch in range(20)}
    assert len(cuts) > 1
    assert {new.decode(ids, skip_special_tokens=True).strip() for ids in cuts} == {FOREIGN[0]}
    assert any(max(ids) >= len(old) for ids in cuts)


@pytest.mark.parametrize("mode", ["extend", "replace"])
def test_other_tokenizers_are_refused_with_their_kind(mode):
    words = Tokenizer(models.WordPiece({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    other = PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]")
    with pytest.raises(ValueError, match=r"the model's tokenizer \(WordPiece\) is not a SentencePiece"):
        change_vocabulary(other, [["a"], ["a"]], mode)
    assert change_vocabulary(other, [["a"], ["a"]], "keep") == (other, None)
