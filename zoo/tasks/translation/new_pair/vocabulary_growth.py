"""Finds new tokens for the vocabulary of a trained model."""

import heapq
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from typing import Any
from unicodedata import category

from tokenizers import Tokenizer
from tokenizers.pre_tokenizers import UnicodeScripts

from zoo.data.sentencepiece_model import SentencePieceModel, VocabularySizeError, read_model, train_sentencepiece
from zoo.data.tokenizer import SPACE, count_tokens, to_fast

# A tokenizer as JSON.
Settings = dict[str, Any]
# A token needs so many occurrences: an embedding that was seen twice learned nothing.
FREQUENT = 5
# Characters of the longest token, as in SentencePiece.
LONGEST = 16
JOINERS = "\u200c\u200d"
# Four special tokens and 256 bytes of a SentencePiece model.
_SPECIAL = 260


def grow_bpe(settings: Settings, texts: Sequence[str], most: int, known: Sequence[str] = ()) -> list[str]:
    """Continue BPE's training on texts as the old merges leave them, and add the new tokens to the vocabulary.

    Merges of new tokens come after all old ones: they join what the old merges left apart, and nothing else changes.
    As in SentencePiece any two neighbours whose text is a token are joined.

    Args:
        settings: A tokenizer as JSON; its model is changed.
        texts: To learn from.
        most: New tokens at most; those that occur less than five times are never added.
        known: Texts that are tokenized as before, but for characters that had no token.

    Returns:
        The new tokens, characters first, then in the order of their merges.
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
    tokenizer_model = Tokenizer.from_str(json.dumps(settings)).model
    # Characters that are too rare for a token stay bytes.
    tokenized = {word: [part.value for part in tokenizer_model.tokenize(word)] for word in words}
    # Two neighbours of a known text are never joined, so that its tokens stay.
    known_words = ([part.value for part in tokenizer_model.tokenize(word)] for word in count_words(settings, known))
    apart = {left + right for parts in known_words for left, right in zip(parts, parts[1:])}
    merged = [token for token in next_merges(words, tokenized, vocabulary, apart) if token not in vocabulary]
    for token in merged[: most - len(new)]:
        vocabulary[token] = len(vocabulary)
        model["merges"] += [
            [token[:end], token[end:]]
            for end in range(1, len(token))
            if token[:end] in vocabulary and token[end:] in vocabulary
        ]
        new.append(token)
    return new


def count_words(settings: Settings, texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs; no token crosses words."""
    tokenizer = Tokenizer.from_str(json.dumps(settings))
    words = Counter[str]()
    for text in texts:
        normal = tokenizer.normalizer.normalize_str(text)
        words.update(word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normal))
    return words


@cache
def is_of_one_script(token: str) -> bool:
    """Whether a token is part of a word, or punctuation and digits, but not both, as in SentencePiece.

    Marks and joiners belong to the letters around them; tokenizers counts those of every script as one of their own.
    """
    bases = "".join(char for char in token if char not in JOINERS and not category(char).startswith("M"))
    return len(UnicodeScripts().pre_tokenize_str(bases.replace(SPACE, " "))) < 2


def next_merges(
    words: dict[str, int],
    tokenized: dict[str, list[str]],
    vocabulary: dict[str, int],
    apart: Collection[str] = (),
    least: int = FREQUENT,
) -> Iterable[str]:
    """The tokens that BPE makes next, the most frequent first, until the best occurs less than `least` times.

    Args:
        words: Word -> occurrences.
        tokenized: Word -> its tokens so far; it is changed.
        vocabulary: Old tokens, which are not made again.
        apart: Texts that must not become tokens.
    """
    counts = Counter[str]()
    places: dict[str, set[str]] = defaultdict(set)

    def count(word: str, change: int) -> set[str]:
        """Add or take away the pairs of neighbours in a word that may become a token."""
        parts, joined = tokenized[word], set()
        for left, right in zip(parts, parts[1:]):
            text = left + right
            if "<0x" in (left[:3], right[:3]) or len(text) > LONGEST or text in vocabulary or text in apart:
                continue
            if is_of_one_script(text):
                counts[text] += change * words[word]
                joined.add(text)
                if change > 0:
                    places[text].add(word)
        return joined

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
            tokenized[word] = join(tokenized[word], best)
            changed |= count(word, 1)
        counts.pop(best)
        changed.discard(best)
        for text in changed:
            if counts[text] >= least:
                heapq.heappush(queue, (-counts[text], text))


def join(parts: Sequence[str], token: str) -> list[str]:
    """The tokens of a word, with neighbours that spell `token` joined from the left."""
    joined: list[str] = []
    for part in parts:
        if joined and joined[-1] + part == token:
            joined[-1] = token
        else:
            joined.append(part)
    return joined


def grow_unigram(settings: Settings, texts: Sequence[str], most: int, known: Sequence[str] = ()) -> list[str]:
    """Learn a unigram model of the text and add its tokens that are new, with their log probabilities.

    Arguments and return value as of `grow_bpe`; the new tokens come with the most probable first.
    """
    model = settings["model"]
    old = model["vocab"]
    old_tokens = {token for token, _ in old}
    learned = train_unigram(texts, most + _SPECIAL, bool(model["byte_fallback"]))
    candidates: list[list[Any]] = [
        [token, score]
        for token, score, normal in zip(learned.pieces, learned.scores, learned.normal)
        if normal and token not in old_tokens
    ]
    words = count_words(settings, known)
    new_characters = {character for word in words for character in word} - old_tokens
    while True:
        new = candidates[:most]
        model["vocab"] = [*old, *new]
        tokenizer_model = Tokenizer.from_str(json.dumps(settings)).model
        # A new token that a known text would be tokenized into is replaced by the next one, but for new characters.
        used = {token.value for word in words for token in tokenizer_model.tokenize(word)} - new_characters
        used &= {token for token, _ in new}
        if not used:
            return [token for token, _ in new]
        candidates = [entry for entry in candidates if entry[0] not in used]


def train_unigram(texts: Sequence[str], size: int, byte_fallback: bool) -> SentencePieceModel:
    """A unigram model of this size, or of as many tokens as occur five times.

    Raises:
        ValueError: There is no text.
    """

    def train(size: int) -> bytes:
        try:
            return train_sentencepiece(texts, size, byte_fallback=byte_fallback)
        except VocabularySizeError as error:
            # The text has fewer tokens, or more characters.
            return train_sentencepiece(texts, error.limit, byte_fallback=byte_fallback)

    model = train(size)
    learned, counts = read_model(model), count_tokens(to_fast(model), texts)
    # Single characters stay at any size.
    rare = sum(
        normal and len(token) > 1 and counts[number] < FREQUENT
        for number, (token, normal) in enumerate(zip(learned.pieces, learned.normal))
    )
    return read_model(train(len(learned.pieces) - rare)) if rare else learned


__all__ = ["FREQUENT", "grow_bpe", "grow_unigram", "next_merges"]
