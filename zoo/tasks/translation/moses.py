"""Tokens as in Moses' tokenizer.perl on lower-cased text, which BLEU figures of older papers are counted in.

Written anew from the rules, for languages with spaces. What it leaves out: the lists of abbreviations (with
lower-cased text they decide only about a full stop at the end of a line), and escaping, which changes no count.
"""

import re
from functools import lru_cache

# Languages in which an apostrophe belongs to the word before it (l'eau), and in which it begins a suffix (dog's).
BEFORE, AFTER = {"fr", "it", "ca", "ga"}, {"en"}
PUNCTUATION = str.maketrans(
    {
        "„": '"', "“": '"', "”": '"', "«": '"', "»": '"', "’": "'", "‘": "'", "‚": "'", "´": "'", "`": "'",
        "–": "-", "—": " - ", "…": "...", "\u00a0": " ", "\u00ad": "",
    }
)  # fmt: skip
# A sign that is neither letter, digit, space nor one of . ' , - (the class \w holds _ too, which is a sign).
SIGN = re.compile(r"([^\w\s.',-]|_)")
DOTS = re.compile(r"(\.{2,})")
COMMA = re.compile(r"(?<!\d),|,(?!\d)")
LETTER, DIGIT = r"[^\W\d_]", r"\d"


@lru_cache(maxsize=8)
def apostrophes(language: str) -> tuple[tuple[re.Pattern, str], ...]:
    """Pattern and replacement, one after the other."""
    if language not in BEFORE | AFTER:
        return ((re.compile("'"), " ' "),)
    between = (rf"(?<={LETTER})'(?={LETTER})", "' " if language in BEFORE else " '")
    # \0 stands for an apostrophe that is done with.
    rules = [between, (rf"(?<={DIGIT})'(?=s)", " '"), (r"'", " ' ")]
    done = [(re.compile(pattern), new.replace("'", "\0")) for pattern, new in rules]
    return (*done, (re.compile("\0"), "'"))


def full_stop(word: str, last: bool, following: str) -> str:
    """A word that ends in one full stop, with a space before the stop where it ends a sentence."""
    stem = word[:-1]
    if not word.endswith(".") or stem.endswith(".") or not stem:
        return word
    abbreviation = "." in stem and any(letter.isalpha() for letter in stem)
    if abbreviation or (not last and following[:1].islower()):
        return word
    return f"{stem} ."


def moses_tokens(text: str, language: str = "en") -> str:
    """The text in lower case with spaces between its tokens.

    Args:
        text: One segment.
        language: Two letters; decides what becomes of an apostrophe.
    """
    text = SIGN.sub(r" \1 ", text.lower().translate(PUNCTUATION))
    text = COMMA.sub(" , ", DOTS.sub(r" \1 ", text))
    for pattern, new in apostrophes(language):
        text = pattern.sub(new, text)
    words = text.split()
    following = [*words[1:], ""]
    return " ".join(full_stop(word, row == len(words) - 1, following[row]) for row, word in enumerate(words))


__all__ = ["moses_tokens"]
