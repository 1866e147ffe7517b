"""New pieces for a vocabulary that has learned: which ones a text is worth, and how texts are cut with them."""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any
from unicodedata import category

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import UnicodeScripts

from .sentencepiece_model import SentencePieceModel, VocabularySizeError, read_model, train_sentencepiece
from .tokenizer import SPACE, to_fast

# Occurrences in the text that make a piece worth a row: an embedding that was seen twice learned nothing.
FREQUENT = 5
# Characters of the longest piece, as in SentencePiece.
LONGEST = 16
JOINERS = "\u200c\u200d"
# Tokens of a SentencePiece model that are no pieces: four signs and 256 bytes.
_NO_PIECES = 260


def grow_bpe(settings: dict[str, Any], texts: Sequence[str], most: int, known: Sequence[str] = ()) -> list[str]:
    """Go on with BPE's training on the text as the old merges leave it, and add what is found to the vocabulary.

    Merges of new pieces come behind all old ones: they join what the old merges left apart, and whatever they do not
    join is cut as before. As in SentencePiece any two neighbours whose text is a piece are joined.

    Args:
        settings: A tokenizer as JSON; its model is changed.
        texts: To learn from.
        most: New pieces at most; those that occur less than five times are never added.
        known: Texts that are cut as before, whatever is added, but for characters that had no piece.

    Returns:
        The new pieces, characters first, then in the order of their merges.
    """
    model = settings["model"]
    vocabulary: dict[str, int] = model["vocab"]
    words = count_words(settings, texts)
    characters = Counter[str]()
    for word, count in words.items():
        for character in word:
            characters[character] += count
    unknown = [(-count, char) for char, count in characters.items() if char not in vocabulary and count >= FREQUENT]
    new = [character for _, character in sorted(unknown)[:most]]
    for character in new:
        vocabulary[character] = len(vocabulary)
    cutter = Tokenizer.from_str(json.dumps(settings)).model
    # Bytes stay what they are: characters that are too rare for a piece are no part of one.
    cuts = {word: [token.value for token in cutter.tokenize(word)] for word in words}
    # What two neighbours of a known text spell is never joined, so its cut cannot begin to change.
    known_cuts = ([token.value for token in cutter.tokenize(word)] for word in count_words(settings, known))
    apart = {left + right for cut in known_cuts for left, right in zip(cut, cut[1:])}
    merged = [piece for piece in next_merges(words, cuts, vocabulary, apart) if piece not in vocabulary]
    for piece in merged[: most - len(new)]:
        vocabulary[piece] = len(vocabulary)
        model["merges"] += [
            [piece[:cut], piece[cut:]]
            for cut in range(1, len(piece))
            if piece[:cut] in vocabulary and piece[cut:] in vocabulary
        ]
        new.append(piece)
    return new


def count_words(settings: dict[str, Any], texts: Iterable[str]) -> Counter[str]:
    """How often each of the parts occurs that no piece crosses."""
    tokenizer = Tokenizer.from_str(json.dumps(settings))
    words = Counter[str]()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    return words


@cache
def is_of_one_script(piece: str) -> bool:
    """Whether a piece is a word's part, or signs and digits, but not both, as SentencePiece has them.

    Marks and joiners belong to what they stand with: tokenizers takes those of every script for one of their own.
    """
    bases = "".join(char for char in piece if char not in JOINERS and not category(char).startswith("M"))
    return len(UnicodeScripts().pre_tokenize_str(bases.replace(SPACE, " "))) < 2


def next_merges(
    words: dict[str, int],
    cuts: dict[str, list[str]],
    vocabulary: dict[str, int],
    apart: Collection[str] = (),
    least: int = FREQUENT,
) -> Iterable[str]:
    """The pieces that BPE makes next, the most frequent first, until the best occurs less than `least` times.

    Args:
        words: Word -> occurrences.
        cuts: Word -> its pieces so far; it is changed.
        vocabulary: Old pieces; the text of none is made again.
        apart: Texts that become no piece either.
        least: Occurrences.
    """
    counts = Counter[str]()
    places: dict[str, set[str]] = defaultdict(set)

    def pairs(word: str) -> list[str]:
        cut = cuts[word]
        joined = (
            left + right
            for left, right in zip(cut, cut[1:])
            if not (left.startswith("<0x") or right.startswith("<0x"))
        )
        return [
            text
            for text in joined
            if len(text) <= LONGEST and text not in vocabulary and text not in apart and is_of_one_script(text)
        ]

    def count(word: str, sign: int) -> set[str]:
        found = pairs(word)
        for text in found:
            counts[text] += sign * words[word]
            if sign > 0:
                places[text].add(word)
        return set(found)

    for word in words:
        count(word, 1)
    queue = [(-number, text) for text, number in counts.items()]
    heapq.heapify(queue)
    while queue:
        number, best = heapq.heappop(queue)
        if -number != counts[best]:  # an entry that counting has overtaken
            if counts[best] >= least:
                heapq.heappush(queue, (-counts[best], best))
            continue
        if -number < least:
            return
        yield best
        changed: set[str] = set()
        for word in sorted(places.pop(best)):
            changed |= count(word, -1)
            cuts[word] = join(cuts[word], best)
            changed |= count(word, 1)
        counts.pop(best)
        changed.discard(best)
        for text in changed:
            if counts[text] >= least:
                heapq.heappush(queue, (-counts[text], text))


def join(cut: Sequence[str], piece: str) -> list[str]:
    """A cut with each two neighbours joined whose text is the piece, from the left."""
    joined: list[str] = []
    for part in cut:
        if joined and joined[-1] + part == piece:
            joined[-1] = piece
        else:
            joined.append(part)
    return joined


def grow_unigram(settings: dict[str, Any], texts: Sequence[str], most: int, known: Sequence[str] = ()) -> list[str]:
    """Learn a unigram model of the text and add its pieces that are new, with their log probabilities.

    Arguments and return value as of `grow_bpe`; the new pieces come with the most probable first.
    """
    model = settings["model"]
    old = model["vocab"]
    pieces = {piece for piece, _ in old}
    learned = train_unigram(texts, most + _NO_PIECES, bool(model["byte_fallback"]))
    found: list[list[Any]] = [
        [piece, score]
        for piece, score, normal in zip(learned.pieces, learned.scores, learned.normal)
        if normal and piece not in pieces
    ]
    words = count_words(settings, known)
    unsaid = {character for word in words for character in word} - pieces
    while True:
        new = found[:most]
        model["vocab"] = [*old, *new]
        cutter = Tokenizer.from_str(json.dumps(settings)).model
        # A piece that a known text is cut into makes place for the next one, but for characters that had no piece.
        used = {token.value for word in words for token in cutter.tokenize(word)} - unsaid
        used &= {piece for piece, _ in new}
        if not used:
            return [piece for piece, _ in new]
        found = [entry for entry in found if entry[0] not in used]


def pieces_with_ids(learned: SentencePieceModel) -> list[tuple[int, str]]:
    """(id, piece) of what text can become."""
    return [(number, piece) for number, piece in enumerate(learned.pieces) if learned.normal[number]]


def train_unigram(texts: Sequence[str], size: int, byte_fallback: bool) -> SentencePieceModel:
    """A unigram model as large as asked for, or as the text has pieces that occur five times.

    Raises:
        ValueError: There is no text.
    """

    def train(size: int) -> bytes:
        try:
            return train_sentencepiece(texts, size, "unigram", byte_fallback=byte_fallback)
        except VocabularySizeError as error:
            if error.limit is None:
                raise
            # The text cannot fill the size, or its characters do not fit into it.
            return train_sentencepiece(texts, error.limit, "unigram", byte_fallback=byte_fallback)

    model = train(size)
    counts = Counter[int]()
    tokenizer = to_fast(model)
    for first in range(0, len(texts), 4096):
        for ids in tokenizer(list(texts[first : first + 4096]), return_attention_mask=False)["input_ids"]:
            counts.update(ids)
    learned = read_model(model)
    # Single characters stay at any size.
    rare = sum(len(piece) > 1 and counts[number] < FREQUENT for number, piece in pieces_with_ids(learned))
    return read_model(train(len(learned.pieces) - rare)) if rare else learned


__all__ = ["FREQUENT", "grow_bpe", "grow_unigram", "next_merges"]
