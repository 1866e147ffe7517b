"""Transcripts of speech: their normalisation, and tokenizers of characters or of BPE."""

import re
import unicodedata
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

PAD, UNK, BOS, EOS = "<pad>", "<unk>", "<s>", "</s>"
SPACE = "▁"


def normalize_text(text: str, how: str) -> str:
    """A text in Unicode's composed form with one space between words.

    Args:
        text: Any text.
        how: "none"; "lower" for lower case; "words" to drop punctuation other than apostrophes within words, too.
    """
    text = unicodedata.normalize("NFC", text)
    if how != "none":
        text = text.lower()
    if how == "words":
        text = re.sub(r"[’‘`´]", "'", text)
        text = re.sub(r"[^\w'\s]|_|(?<!\w)'|'(?!\w)", " ", text)
    return " ".join(text.split())


def train_tokenizer(texts: Sequence[str], kind: str = "characters", vocab_size: int = 300) -> PreTrainedTokenizerFast:
    """A tokenizer of the characters of these texts, or of BPE's merges of them.

    It ends every text with `</s>`; `<pad>` is the blank of CTC as well.

    Args:
        texts: Normalised texts of the training split.
        kind: "characters" or "bpe".
        vocab_size: Tokens of bpe, special tokens included.

    Raises:
        ValueError: There is no text, or BPE cannot make so few tokens.
    """
    alphabet = sorted({character for text in texts for character in text.replace(" ", SPACE)})
    if not alphabet:
        raise ValueError("the training texts are empty")
    alphabet = sorted({*alphabet, SPACE})  # texts of one word are joined
    smallest = len(alphabet) + 4
    if kind == "bpe" and vocab_size < smallest + 1:
        raise ValueError(f"vocabulary_size={vocab_size} is too small: {len(alphabet)} characters and 4 special tokens")
    # Words of BPE begin with their space; a single word of characters needs none.
    scheme = "always" if kind == "bpe" else "never"
    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Strip(), normalizers.Replace(Regex(r"\s+"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, scheme, split=True)
    tokenizer.decoder = decoders.Metaspace(SPACE, scheme)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size if kind == "bpe" else smallest,
        special_tokens=[PAD, UNK, BOS, EOS],
        initial_alphabet=alphabet,
        min_frequency=2,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"$A {EOS}", special_tokens=[(EOS, tokenizer.token_to_id(EOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        unk_token=UNK,
        bos_token=BOS,
        eos_token=EOS,
        clean_up_tokenization_spaces=False,
    )


__all__ = ["normalize_text", "train_tokenizer"]
