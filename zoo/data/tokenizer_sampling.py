"""Tokenizes training texts differently each time: subword regularisation and BPE-dropout."""

import json
import math
import random
import re

from transformers import PreTrainedTokenizerFast

from .tokenizer import sentencepiece_type

# Tokenizations that are drawn of each word. Choosing one of these is far faster than drawing a new one, and few words
# have more likely ones.
_DRAWS_BITS = 6
_DRAWS = 1 << _DRAWS_BITS
# Words in the cache, which is emptied above it.
_MOST_WORDS = 200_000
# SentencePiece scores a character without a token so much below the least score.
_UNKNOWN_PENALTY = 10.0


class SubwordSampler:
    """Tokenizes a text differently for each key, and the same way for the same key.

    A unigram tokenizer draws a segmentation with probability P(segmentation)**amount (Kudo, 2018); a BPE tokenizer
    leaves out each possible merge with probability `amount` at each step (Provilkov et al., 2020). The tokens of a
    word are one of 64 tokenizations that depend on the word alone; the key draws which. So neither the order of texts
    nor the number of processes changes the tokens, and a resumed run sees what the first would have seen.

    Args:
        tokenizer: A fast tokenizer with SentencePiece's tokens.
        amount: Unigram: above 0; 0.1 to 0.5 is usual, and less is more random. BPE: above 0 and at most 1; 0.1 is
            usual, and more is more random.
        seed: Seed of the run.

    Raises:
        ValueError: The tokenizer is of another kind, or the amount makes no sense for it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, amount: float, seed: int = 0):
        kind = sentencepiece_type(tokenizer)
        if kind is None:
            raise ValueError("sampling needs a fast SentencePiece tokenizer (unigram or BPE)")
        if not 0 < amount <= (1 if kind == "bpe" else math.inf):
            raise ValueError(
                f"amount={amount}: expected above 0" + (" and at most 1 for BPE" if kind == "bpe" else "")
            )
        self.seed, self.amount = seed, amount
        self._backend = tokenizer.backend_tokenizer
        settings = json.loads(self._backend.to_str())["model"]
        self._ids: dict[str, int] = tokenizer.get_vocab()
        self._end = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
        self._unknown = tokenizer.unk_token_id
        self._added: dict[str, int] = tokenizer.get_added_vocab()
        pattern = "|".join(re.escape(token) for token in sorted(self._added, key=len, reverse=True))
        self._tokens = re.compile(f"({pattern})") if pattern else None
        self._byte_fallback = settings["byte_fallback"] and "<0x00>" in self._ids
        if kind == "unigram":
            hidden = {*self._added, *(f"<0x{byte:02X}>" for byte in range(256))}
            self._scores = {token: score for token, score in settings["vocab"] if token not in hidden}
            self._unknown_score = min(self._scores.values()) - _UNKNOWN_PENALTY
            self._longest = max(map(len, self._scores))
            self._sample = self._sample_unigram
        else:
            pairs = [merge if isinstance(merge, list) else merge.split(" ") for merge in settings["merges"]]
            self._ranks = {(left, right): rank for rank, (left, right) in enumerate(pairs)}
            self._sample = self._sample_bpe
        self._drawn: dict[str, list[list[int] | None]] = {}

    def __call__(self, text: str, *key: int) -> list[int]:
        """The ids of a text and EOS.

        Args:
            text: A text; special tokens and language tags are recognized.
            key: Integers that identify this draw, such as the epoch, the row and the side.
        """
        draw = random.Random(repr((self.seed, *key)))
        ids: list[int] = []
        parts = self._tokens.split(text) if self._tokens else [text]
        for number, part in enumerate(parts):
            if number % 2:  # a match of the pattern
                ids.append(self._added[part])
                continue
            normal = self._backend.normalizer.normalize_str(part)
            for word, _ in self._backend.pre_tokenizer.pre_tokenize_str(normal) if normal else ():
                ids += self._draw(word, draw.getrandbits(_DRAWS_BITS))
        return ids + self._end

    def _draw(self, word: str, number: int) -> list[int]:
        drawn = self._drawn.get(word)
        if drawn is None:
            if len(self._drawn) >= _MOST_WORDS:
                self._drawn.clear()
            drawn = self._drawn[word] = [None] * _DRAWS
        ids = drawn[number]
        if ids is None:
            tokens = self._sample(word, random.Random(f"{number} {word}"))
            ids = drawn[number] = [number for token in tokens for number in self._token_ids(token)]
        return ids

    def _token_ids(self, token: str) -> list[int]:
        if token in self._ids:
            return [self._ids[token]]
        if self._byte_fallback:
            return [self._ids[f"<0x{byte:02X}>"] for byte in token.encode()]
        return [self._unknown]

    def _sample_unigram(self, word: str, draw: random.Random) -> list[str]:
        """Forward filtering and backward sampling on the lattice of all segmentations."""
        # ways[end]: (start, log weight) of each token that ends there; total[end]: log of the sum so far
        total = [0.0]
        ways: list[list[tuple[int, float]]] = [[]]
        for end in range(1, len(word) + 1):
            options = []
            for start in range(max(0, end - self._longest), end):
                score = self._scores.get(word[start:end])
                if score is None and start == end - 1:
                    score = self._unknown_score
                if score is not None:
                    options.append((start, total[start] + self.amount * score))
            most = max(weight for _, weight in options)
            total.append(most + math.log(sum(math.exp(weight - most) for _, weight in options)))
            ways.append(options)
        tokens: list[str] = []
        end = len(word)
        while end:
            starts = [start for start, _ in ways[end]]
            start = draw.choices(starts, [math.exp(weight - total[end]) for _, weight in ways[end]])[0]
            tokens.append(word[start:end])
            end = start
        return tokens[::-1]

    def _sample_bpe(self, word: str, draw: random.Random) -> list[str]:
        """Merge the best of the pairs that are not left out this time, until none is."""
        tokens = list(word)
        while True:
            merges = [
                (rank, place)
                for place, pair in enumerate(zip(tokens, tokens[1:]))
                if (rank := self._ranks.get(pair)) is not None and draw.random() >= self.amount
            ]
            if not merges:
                return tokens
            _, place = min(merges)
            tokens[place : place + 2] = ["".join(tokens[place : place + 2])]


__all__ = ["SubwordSampler"]
