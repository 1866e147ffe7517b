"""Trains SentencePiece models from texts in memory, and reads them."""

import io
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MODEL_TYPES = ("unigram", "bpe")
PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<s>", "</s>"
# A vocabulary is trained on so many texts at most: more take longer and change nothing.
_MOST_TEXTS = 1_000_000
# SentencePiece accepts no lower share of characters.
_LEAST_COVERAGE = 0.98
# A character needs so many occurrences for a token of its own.
_FREQUENT = 5
# Scores are rounded to multiples of this. Their sums are then exact in SentencePiece's 32-bit floats as in tokenizers'
# 64-bit floats, so that both choose the same of two segmentations of equal score (0|00 and 00|0).
_SCORE_STEP = 1 / 1024
# Fields of SentencePiece's ModelProto (sentencepiece_model.proto) and its parts.
_PIECES, _TRAINER, _NORMALIZER = 1, 2, 3
_PIECE_SCORE, _MODEL_TYPE, _CHARSMAP = 2, 3, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class VocabularySizeError(ValueError):
    """The texts do not have so many tokens, or more characters; `limit` is the nearest size that they allow."""

    def __init__(self, message: str, limit: int):
        super().__init__(message)
        self.limit = limit


@dataclass(frozen=True)
class SentencePieceModel:
    """The parts of a SentencePiece model that a fast tokenizer needs.

    Args:
        model_type: "unigram" or "bpe".
        pieces: Tokens in the order of their ids.
        scores: Log probabilities of unigram; minus the number of the merge in BPE.
        normal: For each token whether text is tokenized into it: not so for control tokens, bytes and UNK.
        unk_id: Id of UNK.
        byte_fallback: Whether unknown characters become bytes.
        charsmap: The compiled rules of normalization.
    """

    model_type: str
    pieces: list[str]
    scores: list[float]
    normal: list[bool]
    unk_id: int
    byte_fallback: bool
    charsmap: bytes


def train_sentencepiece(
    texts: Sequence[str],
    vocab_size: int,
    model_type: str = "unigram",
    *,
    byte_fallback: bool = True,
    control_tokens: Sequence[str] = (),
) -> bytes:
    """A SentencePiece model (the content of a `.model` file); the same texts give the same bytes.

    Ids: 0 `<pad>`, 1 `<unk>`, 2 `<s>`, 3 `</s>`, then `control_tokens`, then with `byte_fallback` the 256 bytes, then
    tokens. All of them count in `vocab_size`.

    Args:
        texts: Source and target texts; of more than a million, every second, third... is read.
        model_type: "unigram" (Kudo, 2018) or "bpe" (Sennrich et al., 2016).
        byte_fallback: Whether rare characters become UTF-8 bytes: those that occur less than five times, since the
            embedding of a character that was seen twice learned nothing, but at most 2% of the text, SentencePiece's
            own limit.
        control_tokens: Tokens that no text is tokenized into.

    Raises:
        VocabularySizeError: The texts cannot give so many tokens, or so few.
        ValueError: There is no text, an unknown model type, or a control token that is given twice.
    """
    import sentencepiece

    if model_type not in MODEL_TYPES:
        raise ValueError(f"model_type={model_type!r}: expected one of {', '.join(MODEL_TYPES)}")
    named = [PAD, UNK, BOS, EOS, *control_tokens]
    twice = next((token for number, token in enumerate(named) if token in named[:number]), None)
    if twice is not None:
        raise ValueError(f"the special token {twice!r} is given twice")
    if not any(text.strip() for text in texts):
        raise ValueError("there is no text to train a tokenizer on")
    texts = texts[:: -(-len(texts) // _MOST_TEXTS)]
    written = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(texts),
            model_writer=written,
            vocab_size=vocab_size,
            model_type=model_type,
            byte_fallback=byte_fallback,
            pad_id=0,
            unk_id=1,
            bos_id=2,
            eos_id=3,
            pad_piece=PAD,
            unk_piece=UNK,
            bos_piece=BOS,
            eos_piece=EOS,
            control_symbols=list(control_tokens),
            normalization_rule_name="nmt_nfkc",
            character_coverage=_share_of_frequent_characters(texts) if byte_fallback else 1.0,
            # Longer texts are left out by default, whole documents that are to be summarized first of all.
            max_sentence_length=1 << 24,
            # Sums over threads make the result depend on their number, not on the machine's.
            num_threads=16,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        raise _explained(error, vocab_size) from error
    model = written.getvalue()
    return _rounded(model) if model_type == "unigram" else model


def _share_of_frequent_characters(texts: Sequence[str]) -> float:
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    frequent = sum(count for count in counts.values() if count >= _FREQUENT)
    return max((frequent or counts.total()) / counts.total(), _LEAST_COVERAGE)


def _explained(error: Exception, vocab_size: int) -> ValueError:
    """SentencePiece's message, which quotes its source, for people."""
    message = " ".join(str(error).split())
    if match := re.search(r"value <= (\d+)", message):
        text = (
            f"the text is too small for vocab_size={vocab_size}: it gives {match[1]} tokens at most; set vocab_size to"
        )
        return VocabularySizeError(f"{text} {match[1]} or less, or add text", int(match[1]))
    if match := re.search(r"required_chars\. \d+ vs (\d+)", message):
        text = f"vocab_size={vocab_size} does not hold the characters of the text with bytes and special tokens"
        return VocabularySizeError(f"{text}: set it above {match[1]}", int(match[1]) + 1)
    return ValueError(f"SentencePiece cannot train on this text with vocab_size={vocab_size}: {message}")


def read_model(model: bytes) -> SentencePieceModel:
    """What a fast tokenizer needs of a model that `train_sentencepiece` made."""
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_proto=model)
    ids = range(processor.get_piece_size())
    model_type = MODEL_TYPES[int(_part(model, _TRAINER).get(_MODEL_TYPE, 1)) - 1]
    charsmap = _part(model, _NORMALIZER)[_CHARSMAP]
    assert isinstance(charsmap, bytes)
    return SentencePieceModel(
        model_type=model_type,
        pieces=[processor.id_to_piece(i) for i in ids],
        scores=[processor.get_score(i) for i in ids],
        normal=[not (processor.is_control(i) or processor.is_unknown(i) or processor.is_byte(i)) for i in ids],
        unk_id=processor.unk_id(),
        byte_fallback=any(processor.is_byte(i) for i in ids),
        charsmap=charsmap,
    )


def _part(model: bytes, number: int) -> dict[int, int | bytes]:
    """Field number -> value of a part that occurs once in a message."""
    part = next(value for field, _, _, value in _fields(model) if field == number)
    assert isinstance(part, bytes)
    return {field: value for field, _, _, value in _fields(part)}


def _fields(message: bytes) -> Iterator[tuple[int, int, int, int | bytes]]:
    """(field number, wire type, place of its value, value) of a protobuf message; a parser by hand, because the
    package protobuf would be one more dependency."""
    position = 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte, position = message[position], position + 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while position < len(message):
        field, kind = divmod(varint(), 8)
        at = position
        if kind == _VARINT:
            yield field, kind, at, varint()
        else:
            size = varint() if kind == _BYTES else {_FIXED32: 4, _FIXED64: 8}[kind]
            at, position = position, position + size
            yield field, kind, at, message[at:position]


def _rounded(model: bytes) -> bytes:
    """The model with every score rounded to a multiple of `_SCORE_STEP`, in place."""
    changed = bytearray(model)
    for field, _, piece_at, piece in _fields(model):
        if field != _PIECES or not isinstance(piece, bytes):
            continue
        for part, kind, at, value in _fields(piece):
            if part == _PIECE_SCORE and kind == _FIXED32 and isinstance(value, bytes):
                score = round(struct.unpack("<f", value)[0] / _SCORE_STEP) * _SCORE_STEP
                changed[piece_at + at : piece_at + at + 4] = struct.pack("<f", score)
    return bytes(changed)


__all__ = ["BOS", "EOS", "MODEL_TYPES", "PAD", "UNK", "SentencePieceModel", "VocabularySizeError", "read_model",
           "train_sentencepiece"]  # fmt: skip
