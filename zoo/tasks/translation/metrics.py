"""BLEU, three ways, and chrF of translations.

Three numbers are called BLEU in papers, and they differ by points:

- `bleu`: sacrebleu's default, cased, on plain texts, which it tokenizes itself (13a).
- `bleu_13a_lowercase`: the same on lower-cased texts.
- `bleu_moses_lowercase`: what most papers on Multi30k report: `multi-bleu.perl`, or anything that counts given tokens,
  on lower-cased texts tokenized by Moses. Here sacremoses normalizes and tokenizes both sides, and sacrebleu counts
  the tokens as they are (tokenize none, no smoothing), which is multi-bleu's formula. Moses splits apostrophes
  (dog 's) and keeps a full stop before a lower-case word; 13a does neither.

In languages without spaces between words 13a would count a whole sentence as one token. The first two then count
characters; Chinese is tokenized as sacrebleu does.

All are corpus BLEU with one reference, in 0..100. Intervals are percentiles of 1,000 bootstrap samples of the
sentences (Koehn, 2004); sacrebleu's own bootstrap gives a half width around another mean.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from sacrebleu.metrics import BLEU, CHRF

SAMPLES = 1000
BLEUS: dict[str, dict[str, Any]] = {
    "bleu": {},
    "bleu_13a_lowercase": {"lowercase": True},
    "bleu_moses_lowercase": {"tokenize": "none", "smooth_method": "none", "force": True},
}


# Language -> sacrebleu's tokenizer, where it is not 13a. (Its own of Japanese needs MeCab.)
TOKENIZERS = {"zh": "zh", **dict.fromkeys(("bo", "dz", "ja", "km", "lo", "my", "th"), "char")}


def bleu_scorer(name: str, language: str = "en", **options: Any) -> BLEU:
    """One of the three BLEUs for texts of a language."""
    return BLEU(**{"tokenize": TOKENIZERS.get(language, "13a"), **BLEUS[name], **options})


def scorers(language: str = "en") -> dict[str, BLEU | CHRF]:
    """sacrebleu's metrics by name."""
    return {**{name: bleu_scorer(name, language) for name in BLEUS}, "chrf": CHRF()}


@lru_cache(maxsize=8)
def moses(language: str) -> tuple[Any, Any]:
    """Moses' punctuation normalizer and tokenizer of a language."""
    from sacremoses import MosesPunctNormalizer, MosesTokenizer

    return MosesPunctNormalizer(language), MosesTokenizer(language)


def moses_tokens(text: str, language: str = "en") -> str:
    """A sentence in lower case with spaces between Moses' tokens; the language decides how apostrophes are split."""
    normalizer, tokenizer = moses(language)
    return tokenizer.tokenize(normalizer.normalize(text.lower()), return_str=True, escape=False)


def sentence_counts(
    name: str, predictions: Sequence[str], references: Sequence[str], language: str = "en"
) -> np.ndarray:
    """Counts of each sentence, whose sums give the corpus BLEU: matches and totals of 1 to 4 tokens, and both lengths,
    of shape `(sentences, 10)`."""
    bleu = bleu_scorer(name, language, effective_order=True)
    scores = [bleu.sentence_score(text, [reference]) for text, reference in zip(predictions, references)]
    return np.array([[*score.counts, *score.totals, score.sys_len, score.ref_len] for score in scores], np.int64)


def sentence_chrf(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """chrF of each sentence, of shape `(sentences,)`, in 0..100."""
    chrf = CHRF()
    return np.array([chrf.sentence_score(text, [truth]).score for text, truth in zip(predictions, references)])


def bleu_of(counts: np.ndarray, smooth_method: str = "exp") -> float:
    """BLEU of summed counts, of shape `(10,)`."""
    matches, totals = counts[:4].tolist(), counts[4:8].tolist()
    return BLEU.compute_bleu(matches, totals, int(counts[8]), int(counts[9]), smooth_method=smooth_method).score


def bootstrap(counts: np.ndarray, smooth_method: str, seed: int = 12345) -> list[float]:
    """The 2.5% and 97.5% percentiles of BLEU over samples of the sentences with replacement."""
    n = len(counts)
    random = np.random.default_rng(seed)
    scores = [bleu_of(random.multinomial(n, [1 / n] * n) @ counts, smooth_method) for _ in range(SAMPLES)]
    return np.percentile(scores, [2.5, 97.5]).tolist()


def translation_metrics(
    predictions: Sequence[str],
    references: Sequence[str],
    language: str = "en",
    names: Sequence[str] = (*BLEUS, "chrf"),
    intervals: bool = False,
) -> dict[str, float]:
    """The metrics of translations.

    Args:
        predictions: Translations.
        references: One reference each.
        language: Two letters, of both.
        names: Which metrics; all by default.
        intervals: Whether to add 95% intervals of `bleu` and `bleu_moses_lowercase` (`..._low`, `..._high`).

    Returns:
        `n`, the metrics, and `length_ratio`, of the tokens of `bleu`.

    Raises:
        ValueError: There is nothing to score, or the numbers of texts differ.
    """
    predictions, references = list(predictions), list(references)
    if not predictions or len(predictions) != len(references):
        raise ValueError(f"expected as many translations as references, got {len(predictions)} and {len(references)}")
    metrics: dict[str, float] = {"n": len(predictions)}
    for name, scorer in scorers(language).items():
        if name not in names:
            continue
        texts = predictions, references
        if name == "bleu_moses_lowercase":
            texts = tuple([moses_tokens(text, language) for text in side] for side in texts)  # type: ignore[assignment]
        score: Any = scorer.corpus_score(texts[0], [texts[1]])
        metrics[name] = score.score
        if intervals and name in ("bleu", "bleu_moses_lowercase"):
            counts = sentence_counts(name, *texts, language)
            metrics[f"{name}_low"], metrics[f"{name}_high"] = bootstrap(counts, scorer.smooth_method)  # type: ignore[union-attr]
        if name == "bleu":
            metrics["length_ratio"] = score.sys_len / max(score.ref_len, 1)
    return metrics


def signatures(language: str = "en") -> dict[str, str]:
    """sacrebleu's signature of each metric; Moses tokenizes before it, so that its own says `tok:none`."""
    texts = {}
    for name, scorer in scorers(language).items():
        scorer.corpus_score(["a"], [["a"]])
        texts[name] = str(scorer.get_signature())
    texts["bleu_moses_lowercase"] += " on lower-cased Moses tokens"
    return texts


__all__ = ["bleu_of", "moses_tokens", "sentence_chrf", "sentence_counts", "signatures", "translation_metrics"]
