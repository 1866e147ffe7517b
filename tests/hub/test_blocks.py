"""What a person writes into a card outlives its regeneration."""

import pytest

from zoo.hub.blocks import Card, merge
from zoo.hub.card import read_card

HEAD = {"license": "mit", "tags": ["primer-zoo"]}


def generated(**blocks: str) -> Card:
    return Card(dict(HEAD), blocks)


def test_a_person_s_additions_keep_their_place():
    first = merge(generated(about="# One", results="0.5"), None)
    edited = first.replace("---\n\n<!--", "thumbnail: a.png\n---\n\nHello!\n\n<!--", 1)
    edited = edited.replace("<!-- end: about -->", "<!-- end: about -->\n\n## Mine\n\nA comment.")
    edited = edited.replace("0.5", "a forged result")
    edited = edited.rstrip() + "\n\nThe end.\n"
    again = merge(generated(about="# Two", limits="- none", results="0.6"), Card.parse(edited))
    expected = ["Hello!", "# Two", "## Mine", "A comment.", "- none", "0.6", "The end."]
    assert [again.index(text) for text in expected] == sorted(again.index(text) for text in expected)
    assert "forged" not in again and "# One" not in again
    card = Card.parse(again)
    assert card.head["thumbnail"] == "a.png" and list(card.blocks) == ["about", "limits", "results"]
    # A second time changes nothing.
    assert merge(generated(about="# Two", limits="- none", results="0.6"), card) == again


def test_text_after_a_block_that_is_gone_moves_up():
    first = merge(generated(a="A", b="B", c="C"), None).replace("<!-- end: b -->", "<!-- end: b -->\nKept.")
    again = merge(generated(a="A", c="C"), Card.parse(first))
    assert again.index("end: a") < again.index("Kept.") < again.index("generated: c")


def test_blocks_of_older_cards_are_found():
    text = "<!-- generated: a; `zoo card` writes this block anew, what stands outside of it stays -->\n\nA\n\n"
    card = Card.parse(f"{text}<!-- end: a -->\n\nMine.\n")
    assert list(card.blocks) == ["a"] and card.own == {"a": "Mine."}
    assert Card.parse(merge(generated(a="A"), None).replace("\n", "\r\n")).head == HEAD  # line ends of Windows


def test_edits_since_the_library_wrote_the_card_show():
    fresh = generated(a="A")
    text = merge(fresh, None)
    assert not Card.parse(text).edited
    for edited in (text + "\nMore.\n", text.replace("license: mit", "license: mit\nwidget: x")):
        assert Card.parse(edited).edited
        assert not Card.parse(merge(fresh, Card.parse(edited))).edited
    # A block that was edited by hand is no loss: it is generated anyway.
    assert not Card.parse(text.replace("\nA\n", "\nB\n")).edited


def test_metadata_that_the_library_no_longer_writes_goes():
    earlier = Card({**HEAD, "base_model": "a/b", "thumbnail": "x.png"}, {"a": "A"})
    again = Card.parse(merge(generated(a="A"), Card.parse(earlier.render())))
    assert again.head == {**HEAD, "thumbnail": "x.png"}


def test_somebody_else_s_card_is_not_overwritten():
    for text in ("# My own card\n", "---\nlicense: mit\n---\n# Trainer's\n"):
        with pytest.raises(ValueError, match="README.md was not written by this library"):
            read_card(text, "README.md")
    assert read_card("---\ntags: [primer-zoo]\n---\n# Before cards had blocks\n", "README.md") is None


def test_damaged_metadata_is_refused():
    for head in ("a: [", "- a list", "a: b: c"):
        with pytest.raises(ValueError, match="README.md: its metadata"):
            Card.parse(f"---\n{head}\n---\n\ntext")
