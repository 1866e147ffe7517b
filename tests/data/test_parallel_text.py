"""Pairs in memory: cleaning with counts, and training pairs that validation or test hold too."""

import pytest

from zoo.data.parallel_text import ParallelText, clean_pairs, concatenate, drop_overlap, normal_form


def pairs(*rows, **fields):
    return ParallelText([source for source, _ in rows], [target for _, target in rows], **fields)


def test_selected_pairs_keep_their_names():
    text = pairs(("a", "A"), ("b", "B"), ("c", "C"), names=["x", "y", "z"])
    chosen = text.select([2, 0]).select([0])
    assert (chosen.source, chosen.target, chosen.names) == (["c"], ["C"], ["z"])
    assert text.reverse().source == text.target and text.reverse().names == text.names


def test_sides_of_different_length():
    with pytest.raises(ValueError, match="mine: 2 sources, 1 targets"):
        ParallelText(["a", "b"], ["A"], origin="mine")


def test_fingerprints_tell_pairs_apart():
    texts = [
        pairs(("a", "b"), ("c", "d")),
        pairs(("c", "d"), ("a", "b")),
        pairs(("ac", "b"), ("", "d")),
        pairs(("a", "b")),
    ]
    assert len({text.fingerprint() for text in texts}) == 4
    assert texts[0].fingerprint() == pairs(("a", "b"), ("c", "d"), origin="elsewhere").fingerprint()


def test_concatenated_origins():
    parts = [
        pairs(("a", "A"), origin="x", is_release=True),
        pairs(("b", "B"), origin="y"),
        pairs(("c", "C"), origin="x"),
    ]
    whole = concatenate(parts)
    assert (whole.source, whole.origin, whole.is_release) == (["a", "b", "c"], "x + y", False)
    assert concatenate(parts[:1]) is parts[0]


def test_every_dropped_pair_counts_under_one_reason():
    good = [(f"This is sentence number {i}.", f"Dies ist der Satz Nummer {i}.") for i in range(20)]
    bad = [
        ("", "Leer."), ("Empty.", "  "),
        ("Not translated.", "Not translated."),
        ("A long one." + "x" * 200, "Ein langer." + "x" * 190),
        ("This sentence has a good many words and no translation.", "@@"),
        good[3],
    ]  # fmt: skip
    kept, counts = clean_pairs(pairs(*good, *bad), max_length=200)
    assert kept.source == [source for source, _ in good]
    assert counts == {
        "read": 26, "empty": 2, "identical": 1, "too_long": 1, "length_ratio": 1, "duplicate": 1, "kept": 20,
    }  # fmt: skip
    kept, _ = clean_pairs(
        pairs(*good, *bad), max_length=None, max_ratio=None, drop_identical=False, drop_duplicates=False
    )
    assert len(kept) == 24


def test_the_length_ratio_is_measured_against_the_corpus():
    """Summaries are a tenth as long as their texts, and none of them is a bad pair; one as long as its text is."""
    summaries = [(f"{i} " + "word " * 80, f"{i} " + "word " * 8) for i in range(30)]
    kept, counts = clean_pairs(pairs(*summaries, ("word " * 80, "other " * 70)))
    assert len(kept) == 30 and counts["length_ratio"] == 1


def test_cleaning_that_cannot_be():
    with pytest.raises(ValueError, match="max_ratio=0: expected a number above 0"):
        clean_pairs(pairs(("a", "b")), max_ratio=0)
    with pytest.raises(ValueError, match=r"mine: .*no pair.*empty 1, identical 1"):
        clean_pairs(pairs(("", "b"), ("a", "a"), origin="mine"))


@pytest.mark.parametrize(
    "one, other",
    [
        ("Hello,  World!", "hello world"),
        ("ＡＢＣ １２", "abc 12"),
        ("STRASSE", "straße"),
        ("¿Qué?", "qué"),
        ("…", "..."),
    ],
)
def test_near_copies_have_one_normal_form(one, other):
    assert normal_form(one) == normal_form(other)


def test_different_texts_keep_different_normal_forms():
    forms = [normal_form(text) for text in ("!", "?", "की", "का", "resume", "résumé", "a b", "ab", "")]
    assert len(set(forms)) == len(forms)


def test_training_pairs_that_are_held_out_go():
    train = pairs(
        ("A dog.", "Ein Hund."), ("A cat.", "Eine Katze."), ("A cow.", "Eine Kuh."), ("A fox.", "Ein Fuchs.")
    )
    validation, test = pairs(("a DOG", "ein hund")), pairs(("A cat!", "Ein Kater."))
    kept, dropped = drop_overlap(train, [validation, test])
    assert (kept.source, dropped) == (["A cow.", "A fox."], 2)
    kept, dropped = drop_overlap(train, [validation, test], by="pair")
    assert (kept.source, dropped) == (["A cat.", "A cow.", "A fox."], 1)
    with pytest.raises(ValueError, match="every pair is in validation or test, too"):
        drop_overlap(train, [train])
