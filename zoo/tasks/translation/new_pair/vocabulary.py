"""Changes the vocabulary of a trained model, and says where the embedding of each new token comes from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from zoo.data.tokenizer import TextFit, count_tokens, language_ids, language_tag, sentencepiece_type, text_fit

from .vocabulary_growth import Settings, grow_bpe, grow_unigram

BYTES = frozenset(f"<0x{byte:02X}>" for byte in range(256))
# By default an extended vocabulary has so many times the old one's tokens at most.
EXTENDED = 1.5
# The vocabulary does not know a side whose tokens are shorter than this share of the other side's.
FITTING = 0.85
# A vocabulary does not fit a language above these: tokens a word (with fewer characters a token), share of bytes.
MOST_TOKENS, FEWEST_CHARACTERS, MOST_BYTES = 2.2, 2.0, 0.02


@dataclass(frozen=True)
class RowOrigins:
    """Where each row of a new vocabulary comes from.

    Args:
        rows: For each new id the old ids whose mean row it begins with; one id for a copy.
        noisy: New ids whose rows get noise, too, because many of them begin with the same mean.
        old_size: Tokens of the old vocabulary.
        fresh: Ids of the tokens that the old vocabulary does not have.
    """

    rows: tuple[tuple[int, ...], ...]
    noisy: frozenset[int]
    old_size: int
    fresh: tuple[int, ...] = ()

    @property
    def copied(self) -> int:
        """How many tokens both vocabularies have."""
        return len(self.rows) - len(self.fresh)


def change_vocabulary(
    tokenizer: PreTrainedTokenizerFast,
    sides: Sequence[Sequence[str]],
    mode: str,
    *,
    size: int | None = None,
    new_rows: str = "compose",
    languages: Sequence[str] = (),
    known: Sequence[str] = (),
) -> tuple[PreTrainedTokenizerFast, RowOrigins | None]:
    """Keep, extend or replace the vocabulary of a model that is trained on other texts.

    - "keep": the tokenizer as it is.
    - "extend": tokens that are trained on the new texts are appended; old ids stay. Only sides that the old vocabulary
      splits into markedly shorter tokens are learned from. The other sides, and `known`, are tokenized as before: a
      token that would change them is left out, so that the model still reads the languages that it knows.
    - "replace": a new joint vocabulary of the new texts, of the same kind.

    New rows begin as (`new_rows`) "mean": the mean of all old tokens' rows and noise; "rank": the row of an old token
    that the new vocabulary does not need and that is as frequent among its like (Aji et al., 2020); "compose": the
    mean of the old tokens that spell the new one (Gee et al., 2022). Language tags get mean and noise.

    Args:
        tokenizer: The old one.
        sides: The new texts: sources, targets.
        mode: "keep", "extend" or "replace".
        size: Tokens of the new vocabulary at most; those that occur less than five times are left out in any case.
            Default: the old one's size ("replace"), or half as many again ("extend").
        new_rows: "mean", "rank" or "compose".
        languages: Languages that need a tag; new ones are appended.
        known: Texts that an extended vocabulary tokenizes as the old one did.

    Returns:
        The tokenizer, and the origins of its rows: None if the vocabulary stays.

    Raises:
        ValueError: The tokenizer is of another kind, or the size is too small.
    """
    tags = [language_tag(name) for name in languages if name not in language_ids(tokenizer)]
    if mode == "keep" and not tags:
        return tokenizer, None
    kind = sentencepiece_type(tokenizer)
    if kind is None:
        kind_name = type(getattr(getattr(tokenizer, "backend_tokenizer", tokenizer), "model", tokenizer)).__name__
        raise ValueError(
            f"the model's tokenizer ({kind_name}) is not a SentencePiece tokenizer (unigram or BPE), so its "
            "vocabulary cannot be changed: use --vocabulary keep without --keep_pair, or start from another model"
        )
    settings = json.loads(tokenizer.backend_tokenizer.to_str())
    append_added(settings, len(tokenizer))
    if mode == "replace":
        empty(settings)
    for tag in tags:
        append(settings, tag)
    if mode != "keep":
        replacing, staying = mode == "replace", len(tokens_of(settings))
        most = (size or int((1 if replacing else EXTENDED) * len(tokenizer))) - staying
        if most < 0:
            raise ValueError(f"vocabulary_size={size} is less than the {staying:,} tokens that stay")
        unknown = list(sides) if replacing else unknown_sides(tokenizer, sides)
        kept = [] if replacing else [*(side for side in sides if side not in unknown), known]
        grow = grow_bpe if kind == "bpe" else grow_unigram
        grow(settings, list(chain.from_iterable(unknown)), most, list(chain.from_iterable(kept)))
    new = build(settings, tokenizer, tags)
    return new, find_origins(tokenizer, new, new_rows, sides)


def unknown_sides(tokenizer: PreTrainedTokenizerFast, sides: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """The sides that the vocabulary fits markedly worse than the best; all if it fits all alike."""
    measured = [text_fit(tokenizer, side[:4000]) for side in sides]
    # UNK of a vocabulary without bytes is a whole word: long, but unknown.
    fits = [0.0 if fit.unknown_share > MOST_BYTES else fit.characters_per_token for fit in measured]
    return [side for side, fit in zip(sides, fits) if fit < FITTING * max(fits)] or list(sides)


def tokens_of(settings: Settings) -> list[str]:
    """The tokens of a tokenizer as JSON, in the order of their ids."""
    vocabulary = settings["model"]["vocab"]
    if isinstance(vocabulary, dict):
        return sorted(vocabulary, key=vocabulary.__getitem__)
    return [token for token, _ in vocabulary]


def append(settings: Settings, token: str) -> None:
    """Append a token that no text is tokenized into."""
    vocabulary = settings["model"]["vocab"]
    if isinstance(vocabulary, dict):
        vocabulary[token] = len(vocabulary)
    else:
        vocabulary.append([token, 0.0])


def append_added(settings: Settings, size: int) -> None:
    """Make added tokens part of the model, so that new tokens come after them.

    Raises:
        ValueError: Ids are not 0, 1, 2...
    """
    for added in sorted(settings["added_tokens"], key=lambda token: token["id"]):
        if added["id"] >= len(settings["model"]["vocab"]):
            append(settings, added["content"])
    if len(settings["model"]["vocab"]) != size:
        raise ValueError(f"the ids of the tokenizer's {size:,} tokens are not 0 to {size - 1:,}: it cannot be changed")


def empty(settings: Settings) -> None:
    """Remove all tokens but special tokens, tags and bytes, and renumber these."""
    model = settings["model"]
    kept = {token["content"] for token in settings["added_tokens"]} | (BYTES if model["byte_fallback"] else set())
    ids = {token: number for number, token in enumerate(token for token in tokens_of(settings) if token in kept)}
    if isinstance(model["vocab"], dict):
        model["vocab"], model["merges"] = ids, []
    else:
        unknown = model["vocab"][model["unk_id"]][0]
        model["vocab"] = [[token, score] for token, score in model["vocab"] if token in kept]
        model["unk_id"] = ids[unknown]
    for token in settings["added_tokens"]:
        token["id"] = ids[token["content"]]
    for special in (settings["post_processor"] or {}).get("special_tokens", {}).values():
        special["ids"] = [ids[token] for token in special["tokens"]]


def build(settings: Settings, old: PreTrainedTokenizerFast, tags: Sequence[str]) -> PreTrainedTokenizerFast:
    """The tokenizer that JSON describes, with the special tokens and limits of the old one and new tags."""
    backend = Tokenizer.from_str(json.dumps(settings))
    backend.add_special_tokens([AddedToken(tag, normalized=False, special=True) for tag in tags])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=old.pad_token,
        unk_token=old.unk_token,
        bos_token=old.bos_token,
        eos_token=old.eos_token,
        extra_special_tokens=[*old.extra_special_tokens, *tags],
        model_input_names=old.model_input_names,
        model_max_length=old.model_max_length,
        padding_side=old.padding_side,
        clean_up_tokenization_spaces=False,
    )


def find_origins(
    old: PreTrainedTokenizerFast, new: PreTrainedTokenizerFast, method: str, sides: Sequence[Sequence[str]]
) -> RowOrigins:
    """Where the rows of the new tokenizer's tokens come from; see `change_vocabulary`."""
    known, wanted = old.get_vocab(), new.get_vocab()
    # The rows of special tokens and bytes know nothing of words.
    hidden = BYTES | set(old.get_added_vocab())
    words = tuple(sorted(number for token, number in known.items() if token not in hidden)) or tuple(range(len(old)))
    rows: list[tuple[int, ...]] = [words] * len(new)
    for token in known.keys() & wanted.keys():
        rows[wanted[token]] = (known[token],)
    fresh = sorted(number for token, number in wanted.items() if token not in known)
    tags = set(new.get_added_vocab().values())
    from_text = {number: token for token, number in wanted.items() if token not in known and number not in tags}
    if method == "compose":
        model = old.backend_tokenizer.model
        for number, token in from_text.items():
            parts = [part.id for part in model.tokenize(token) if part.id != old.unk_token_id]
            rows[number] = tuple(parts) or words
    elif method == "rank":
        texts = list(chain.from_iterable(sides))
        needed = count_tokens(old, texts) if set(known) <= set(wanted) else {}
        spare = [
            number
            for token, number in sorted(known.items(), key=lambda item: item[1])  # ids are in the order of frequency
            if token not in hidden and (number not in needed if needed else token not in wanted)
        ] or list(words)
        counts = count_tokens(new, texts)
        ranked = sorted(from_text, key=lambda number: (-counts[number], number))
        for rank, number in enumerate(ranked):
            rows[number] = (spare[rank * len(spare) // max(len(spare), len(ranked))],)
    noisy = frozenset(number for number in fresh if rows[number] == words)
    return RowOrigins(tuple(rows), noisy, len(old), tuple(fresh))


def describe_fit(fit: TextFit) -> str:
    """How well a vocabulary fits a text, in one line."""
    return (
        f"{fit.tokens_per_word:.2f} tokens a word, {fit.characters_per_token:.2f} characters a token, "
        f"{fit.byte_share:.1%} of the tokens are bytes, {fit.unknown_share:.1%} unknown"
    )


def fits_badly(fit: TextFit) -> bool:
    """Whether a vocabulary does not fit the language of a text."""
    # Languages without spaces have many tokens a word with any vocabulary.
    is_split = fit.tokens_per_word > MOST_TOKENS and fit.characters_per_token < FEWEST_CHARACTERS
    return is_split or fit.byte_share + fit.unknown_share > MOST_BYTES


__all__ = ["RowOrigins", "change_vocabulary", "describe_fit", "fits_badly"]
