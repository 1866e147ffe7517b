"""Tokenizers of SentencePiece tokens, trained from texts and saved as plain `PreTrainedTokenizerFast`."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from .sentencepiece_model import BOS, EOS, PAD, UNK, SentencePieceModel, read_model, train_sentencepiece

# What SentencePiece writes for a space.
SPACE = "▁"
_TAG = re.compile(r">>(\S+)<<")
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def train_tokenizer(
    texts: Sequence[str],
    vocab_size: int,
    model_type: str = "unigram",
    *,
    byte_fallback: bool = True,
    languages: Sequence[str] = (),
    special_tokens: Sequence[str] = (),
    normalization: str = "nmt_nfkc",
    character_coverage: float | None = None,
) -> PreTrainedTokenizerFast:
    """A tokenizer for these texts: SentencePiece's tokens and its way of cutting, ids and all.

    The result needs neither SentencePiece nor this library: `AutoTokenizer` loads what `save_pretrained` wrote. It
    ends every text with `</s>`; source and target have the same tokens (`tokenizer(source, text_target=target)`).

    Args:
        texts: Source and target texts of the training split.
        vocab_size: Of everything: 4 signs, tags, special tokens, 256 bytes with `byte_fallback`, tokens.
        model_type: "unigram" or "bpe".
        byte_fallback: Whether characters that are not in the vocabulary are spelt in bytes and so come back.
        languages: A tag for each, such as `>>de<<`, which a person puts before a source to choose the target language
            of a model with several.
        special_tokens: Further tokens that are never cut and that decoding can skip.
        normalization: What becomes of a text before it is cut, and so what decoding gives back. "nmt_nfkc" unifies
            spaces, ligatures, fractions and full-width letters ("…" becomes "..."); "identity" changes nothing but
            that runs of spaces become one.
        character_coverage: Share of the characters of the texts that must be tokens; see `train_sentencepiece`.

    Raises:
        VocabularySizeError: The texts cannot give so many tokens, or so few.
        ValueError: There is no text, or an argument makes no sense.
    """
    control = [*map(language_tag, languages), *special_tokens]
    model = train_sentencepiece(
        texts,
        vocab_size,
        model_type,
        byte_fallback=byte_fallback,
        control_tokens=control,
        normalization=normalization,
        character_coverage=character_coverage,
    )
    return to_fast(model, control)


def to_fast(model: bytes, special_tokens: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A SentencePiece model as a fast tokenizer that cuts every text as SentencePiece does.

    Two differences are left. After a character that normalisation replaces (a ligature, a fraction), tokenizers' own
    normaliser drops a combining accent that SentencePiece keeps. And a "▁" in a text is a space here whatever the
    rules of normalisation are, where SentencePiece without rules may or may not take it for one.

    Args:
        model: Content of a `.model` file with the signs `<pad>`, `<unk>`, `<s>`, `</s>`.
        special_tokens: Which other control tokens of the model stand for themselves in a text.

    Raises:
        ValueError: It is not such a model.
    """
    parts = read_model(model)
    missing = [token for token in (PAD, UNK, BOS, EOS, *special_tokens) if token not in parts.pieces]
    if missing:
        raise ValueError(f"the SentencePiece model has no token {missing[0]!r}: train it with train_sentencepiece")
    tokenizer = Tokenizer(_model(parts))
    tokenizer.normalizer = normalizers.Sequence(
        [
            *([normalizers.Precompiled(parts.charsmap)] if parts.charsmap else []),
            normalizers.Replace(SPACE, " "),  # as the rules of NMT have it
            # only U+0020: which other spaces become one is the business of the rules before
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Prepend(SPACE),
            normalizers.Replace(" ", SPACE),
        ]
    )
    # No token crosses a space, so cutting at spaces first changes nothing and makes long texts faster.
    spaces = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True)
    # tokenizers' unigram model would take "<0x41>" in a text for the byte token of that name.
    bytes_in_text = pre_tokenizers.Split(Regex("<(?=0x[0-9A-F]{2}>)"), "merged_with_previous")
    guarded = parts.model_type == "unigram" and parts.byte_fallback
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([spaces, bytes_in_text]) if guarded else spaces
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Metaspace(replacement=SPACE, prepend_scheme="always", split=True),
            decoders.Fuse(),
        ]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, parts.pieces.index(EOS))]
    )
    tokenizer.add_special_tokens(
        [AddedToken(token, normalized=False, special=True) for token in (PAD, UNK, BOS, EOS, *special_tokens)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        extra_special_tokens=list(special_tokens),
        model_input_names=["input_ids", "attention_mask"],
        padding_side="right",
        clean_up_tokenization_spaces=False,
    )


def _model(parts: SentencePieceModel) -> models.Model:
    if parts.model_type == "unigram":
        return models.Unigram(
            list(zip(parts.pieces, parts.scores)), unk_id=parts.unk_id, byte_fallback=parts.byte_fallback
        )
    return models.BPE(
        vocab={piece: number for number, piece in enumerate(parts.pieces)},
        merges=_merges(parts),
        unk_token=parts.pieces[parts.unk_id],
        fuse_unk=True,
        byte_fallback=parts.byte_fallback,
    )


def _merges(parts: SentencePieceModel) -> list[tuple[str, str]]:
    """Each way to cut a token in two, in the order of the scores: SentencePiece joins any two neighbours whose text is
    a token, the best score first."""
    scores = {piece: score for piece, score, normal in zip(parts.pieces, parts.scores, parts.normal) if normal}
    found = [
        (-score, cut, piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in scores and piece[cut:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(found)]


def language_tag(language: str) -> str:
    """The token that chooses a target language.

    Raises:
        ValueError: The language is empty or holds a space.
    """
    tag = f">>{language}<<"
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{language!r} is no language code: expected letters such as de or pt_BR")
    return tag


def language_ids(tokenizer: Any) -> dict[str, int]:
    """The languages that a tokenizer has tags for, with the ids of the tags."""
    added = tokenizer.get_added_vocab()
    tags = {match[1]: added[token] for token in added if (match := _TAG.fullmatch(token))}
    return dict(sorted(tags.items(), key=lambda item: item[1]))


def sentencepiece_type(tokenizer: Any) -> str | None:
    """ "unigram" or "bpe" if a fast tokenizer cuts into SentencePiece's tokens, else None.

    None for WordPiece (BERT), for BPE of bytes (GPT-2, BART) and for slow tokenizers: their vocabulary cannot be
    extended or replaced as this library does it.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    settings = json.loads(backend.to_str())
    kind = settings["model"]["type"].lower()
    if kind not in ("unigram", "bpe") or (
        kind == "bpe"
        and SPACE not in json.dumps([settings["pre_tokenizer"], settings["normalizer"]], ensure_ascii=False)
    ):
        return None
    return kind


@dataclass(frozen=True)
class TextFit:
    """How well a vocabulary fits a text.

    Args:
        words: Of the text, between spaces.
        characters: Of the text, without spaces.
        tokens: That the text becomes, without the EOS.
        byte_share: Share of the tokens that are bytes: characters that the vocabulary does not know.
        unknown_share: Share of the tokens that are UNK; 0 with byte fallback.
    """

    words: int
    characters: int
    pieces: int
    byte_share: float
    unknown_share: float

    @property
    def pieces_per_word(self) -> float:
        """About 1.3 for a vocabulary of the language; 3 and more for a foreign one."""
        return self.pieces / max(self.words, 1)

    @property
    def characters_per_piece(self) -> float:
        """The same for languages that write no spaces."""
        return self.characters / max(self.pieces, 1)


def text_fit(tokenizer: Any, texts: Iterable[str]) -> TextFit:
    """Measure how a tokenizer cuts these texts."""
    texts = list(texts)
    vocabulary = tokenizer.get_vocab()
    bytes_of = {number for piece, number in vocabulary.items() if _BYTE.fullmatch(piece)}
    words = characters = pieces = spelt = unknown = 0
    for first in range(0, len(texts), 4096):
        chunk = texts[first : first + 4096]
        split = [text.split() for text in chunk]
        words += sum(map(len, split))
        characters += sum(len(word) for text in split for word in text)
        found = tokenizer(chunk, add_special_tokens=False, return_attention_mask=False, verbose=False)
        for ids in found["input_ids"]:
            pieces += len(ids)
            spelt += sum(number in bytes_of for number in ids)
            unknown += ids.count(tokenizer.unk_token_id)
    return TextFit(words, characters, pieces, spelt / max(pieces, 1), unknown / max(pieces, 1))


__all__ = ["SPACE", "TextFit", "language_ids", "language_tag", "sentencepiece_type", "text_fit", "to_fast",
           "train_tokenizer"]  # fmt: skip
