"""SentencePiece tokenizers, trained from texts and saved as plain `PreTrainedTokenizerFast`."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from .sentencepiece_model import BOS, EOS, PAD, UNK, SentencePieceModel, read_model, train_sentencepiece

# SentencePiece's character for a space.
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
) -> PreTrainedTokenizerFast:
    """Train a tokenizer that gives the same ids as SentencePiece.

    The result needs neither SentencePiece nor this library: `AutoTokenizer` loads what `save_pretrained` wrote. It
    ends every text with EOS; source and target have one vocabulary (`tokenizer(source, text_target=target)`). Spaces,
    ligatures, fractions and full-width letters are unified first ("…" becomes "..."), which decoding does not undo.

    Args:
        texts: Source and target texts of the training split.
        vocab_size: Of all tokens: PAD, UNK, BOS, EOS, tags, special tokens, 256 bytes with `byte_fallback`, the rest.
        model_type: "unigram" or "bpe".
        byte_fallback: Whether characters that are not in the vocabulary become bytes, which decoding restores.
        languages: Languages that get a tag, such as `>>de<<`: before a source it chooses the target language.
        special_tokens: Further tokens that are never split and that decoding can skip.

    Raises:
        VocabularySizeError: The texts cannot give so many tokens, or so few.
        ValueError: There is no text, or an argument makes no sense.
    """
    control = [*map(language_tag, languages), *special_tokens]
    model = train_sentencepiece(texts, vocab_size, model_type, byte_fallback=byte_fallback, control_tokens=control)
    return to_fast(model, control)


def to_fast(model: bytes, special_tokens: Sequence[str] = ()) -> PreTrainedTokenizerFast:
    """A SentencePiece model as a fast tokenizer that gives the same ids.

    One difference is left: after a character that normalization replaces (a ligature, a fraction), tokenizers drops a
    combining accent that SentencePiece keeps.

    Args:
        model: What `train_sentencepiece` made.
        special_tokens: Other control tokens of the model that are recognized in texts.
    """
    parts = read_model(model)
    tokenizer = Tokenizer(_model(parts))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Precompiled(parts.charsmap),
            normalizers.Replace(SPACE, " "),  # as in the NMT rules
            # Only U+0020: the rules before decide which other spaces become one.
            normalizers.Replace(Regex(r"\A +| +\z"), ""),
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Prepend(SPACE),
            normalizers.Replace(" ", SPACE),
        ]
    )
    # No token crosses a space, so splitting at spaces first changes nothing and is faster for long texts.
    spaces = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="never", split=True)
    # tokenizers' unigram model would read "<0x41>" in a text as the byte token of that name.
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
    """Each way to split a token in two, best score first: SentencePiece joins any two that spell a token."""
    scores = {token: score for token, score, normal in zip(parts.pieces, parts.scores, parts.normal) if normal}
    merges = [
        (-score, end, token[:end], token[end:])
        for token, score in scores.items()
        for end in range(1, len(token))
        if token[:end] in scores and token[end:] in scores
    ]
    return [(left, right) for _, _, left, right in sorted(merges)]


def language_tag(language: str) -> str:
    """The token that chooses a target language.

    Raises:
        ValueError: The language is empty or holds a space.
    """
    tag = f">>{language}<<"
    if not _TAG.fullmatch(tag):
        raise ValueError(f"{language!r} is not a language code: expected letters such as de or pt_BR")
    return tag


def language_ids(tokenizer: PreTrainedTokenizerFast) -> dict[str, int]:
    """The languages that a tokenizer has tags for, with the ids of the tags."""
    added = tokenizer.get_added_vocab()
    tags = {match[1]: added[token] for token in added if (match := _TAG.fullmatch(token))}
    return dict(sorted(tags.items(), key=lambda item: item[1]))


def sentencepiece_type(tokenizer: object) -> str | None:
    """ "unigram" or "bpe" of a fast SentencePiece tokenizer, else None.

    None for WordPiece (BERT), BPE of bytes (GPT-2, BART) and slow tokenizers: this library cannot change their
    vocabulary.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return None
    settings = json.loads(backend.to_str())
    kind = settings["model"]["type"].lower()
    has_spaces = SPACE in json.dumps([settings["pre_tokenizer"], settings["normalizer"]], ensure_ascii=False)
    return kind if kind == "unigram" or (kind == "bpe" and has_spaces) else None


@dataclass(frozen=True)
class TextFit:
    """How well a vocabulary fits a text.

    Args:
        words: Words of the text, between spaces.
        characters: Characters of the text, without spaces.
        tokens: Tokens of the text, without EOS.
        byte_share: Share of the tokens that are bytes, of characters that the vocabulary does not have.
        unknown_share: Share of the tokens that are UNK; 0 with byte fallback.
    """

    words: int
    characters: int
    tokens: int
    byte_share: float
    unknown_share: float

    @property
    def tokens_per_word(self) -> float:
        """Tokens a word: about 1.3 for a vocabulary of the language, 3 and more for a foreign one."""
        return self.tokens / max(self.words, 1)

    @property
    def characters_per_token(self) -> float:
        """Characters a token, for languages without spaces."""
        return self.characters / max(self.tokens, 1)


def count_tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Counter[int]:
    """How often the texts have each token, EOS left out."""
    counts = Counter[int]()
    for first in range(0, len(texts), 4096):
        chunk = list(texts[first : first + 4096])
        batch = tokenizer(chunk, add_special_tokens=False, return_attention_mask=False, verbose=False)
        counts.update(chain.from_iterable(batch["input_ids"]))
    return counts


def text_fit(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> TextFit:
    """Measure how well a tokenizer fits texts."""
    words = [word for text in texts for word in text.split()]
    counts = count_tokens(tokenizer, texts)
    total = counts.total()
    in_bytes = sum(counts[number] for token, number in tokenizer.get_vocab().items() if _BYTE.fullmatch(token))
    unknown = counts[tokenizer.unk_token_id]
    return TextFit(len(words), sum(map(len, words)), total, in_bytes / max(total, 1), unknown / max(total, 1))


__all__ = ["SPACE", "TextFit", "count_tokens", "language_ids", "language_tag", "sentencepiece_type", "text_fit",
           "to_fast", "train_tokenizer"]  # fmt: skip
