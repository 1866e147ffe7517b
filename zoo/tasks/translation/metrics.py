"""Translation metrics from texts, as an `evaluate` module that needs no network.

Three numbers are called BLEU in papers, and they differ by points:

- `bleu`: sacrebleu's default, cased, on the plain texts, which it tokenizes itself (13a).
- `bleu_13a_lowercase`: the same on lower-cased texts.
- `bleu_moses_lowercase`: what most papers on Multi30k report: `multi-bleu.perl`, or anything that counts given tokens,
  on lower-cased texts that Moses' tokenizer split. Here both sides are lower-cased, tokenized by `moses.py` and
  counted by sacrebleu as they are (tokenize none, no smoothing), which is multi-bleu's formula. Moses splits
  apostrophes (dog 's) and leaves a full stop before a lower-case word alone; 13a does neither, so that the second and
  the third number differ by some tenths.

All are corpus BLEU with one reference, in 0..100. Their intervals are percentiles of 1,000 bootstrap samples of the
sentences (Koehn, 2004).
"""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np
from sacrebleu.metrics import BLEU, CHRF

_DESCRIPTION = """
BLEU (cased 13a; lower-cased 13a; lower-cased Moses tokens) and chrF of translations, with sacrebleu's signatures.
"""
_CITATION = """
Papineni, K. et al. (2002), BLEU, ACL. Popovic, M. (2015), chrF, WMT.
Post, M. (2018), A Call for Clarity in Reporting BLEU Scores, WMT. Koehn, P. (2004), EMNLP:388-395 (bootstrap).
"""
_KWARGS_DESCRIPTION = """
Args:
    predictions: Translations.
    references: One reference each.
    language: Two letters, of the target language: Moses splits apostrophes by it.
Returns:
    n, bleu, bleu_low, bleu_high, bleu_13a_lowercase, bleu_moses_lowercase, bleu_moses_lowercase_low, ..._high, chrf,
    length_ratio (of 13a tokens), signatures.
"""
SAMPLES = 1000


BLEUS: dict[str, dict[str, Any]] = {
    "bleu": {},
    "bleu_13a_lowercase": {"lowercase": True},
    "bleu_moses_lowercase": {"tokenize": "none", "smooth_method": "none", "force": True},
}


def counters() -> dict[str, Any]:
    """The metrics by name."""
    return {**{name: BLEU(**options) for name, options in BLEUS.items()}, "chrf": CHRF()}


def sentence_counts(name: str, predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(sentences, 10): matches and totals of 1 to 4 tokens, and the lengths; sums of rows give the corpus BLEU."""
    rows, bleu = [], BLEU(**BLEUS[name], effective_order=True)
    for prediction, reference in zip(predictions, references):
        found = bleu.sentence_score(prediction, [reference])
        rows.append([*found.counts, *found.totals, found.sys_len, found.ref_len])
    return np.array(rows, dtype=np.int64)


def sentence_chrf(predictions: Sequence[str], references: Sequence[str]) -> np.ndarray:
    """(sentences,) chrF of each sentence alone, in 0..100."""
    chrf = CHRF()
    return np.array([chrf.sentence_score(text, [truth]).score for text, truth in zip(predictions, references)])


def bleu_of(counts: np.ndarray, smooth_method: str) -> float:
    """BLEU of summed counts."""
    matches, totals = counts[:4].tolist(), counts[4:8].tolist()
    return BLEU.compute_bleu(matches, totals, int(counts[8]), int(counts[9]), smooth_method=smooth_method).score


def bootstrap(counts: np.ndarray, smooth_method: str, seed: int = 12345) -> tuple[float, float]:
    """The 2.5% and 97.5% percentiles of BLEU over samples of the sentences with replacement."""
    n = len(counts)
    random = np.random.default_rng(seed)
    scores = [bleu_of(random.multinomial(n, [1 / n] * n) @ counts, smooth_method) for _ in range(SAMPLES)]
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)


def check(predictions: Sequence[str], references: Sequence[str]) -> None:
    """Raise a ValueError if there is nothing to score, or the numbers of texts differ."""
    if not len(predictions) or len(predictions) != len(references):
        raise ValueError(f"expected as many translations as references, got {len(predictions)} and {len(references)}")


def quick_metrics(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """What training looks at: cased BLEU and chrF."""
    check(predictions, references)
    return {name: counters()[name].corpus_score(predictions, [references]).score for name in ("bleu", "chrf")}


def translation_metrics(
    predictions: Sequence[str], references: Sequence[str], language: str = "en", intervals: bool = True
) -> dict[str, Any]:
    """All metrics; see the module.

    Args:
        predictions: Translations.
        references: As many.
        language: Of both.
        intervals: Whether to draw the bootstrap samples.

    Raises:
        ValueError: There is nothing to score, or the numbers of texts differ.
    """
    from zoo.tasks.translation.moses import moses_tokens  # evaluate copies this file alone

    predictions, references = list(predictions), list(references)
    check(predictions, references)
    tokenized = [[moses_tokens(text, language) for text in texts] for texts in (predictions, references)]
    found: dict[str, Any] = {"n": len(predictions)}
    for name, metric in counters().items():
        texts = tokenized if "moses" in name else (predictions, references)
        score = metric.corpus_score(texts[0], [texts[1]])
        found[name] = score.score
        if intervals and name in ("bleu", "bleu_moses_lowercase"):
            counts = sentence_counts(name, *texts)
            found[f"{name}_low"], found[f"{name}_high"] = bootstrap(counts, metric.smooth_method)
        if name == "bleu":
            found["length_ratio"] = score.sys_len / max(score.ref_len, 1)
    return found


def signatures() -> dict[str, str]:
    """sacrebleu's signature of each metric; Moses' tokens are made before it, so that its own says `tok:none`."""
    found = {}
    for name, metric in counters().items():
        metric.corpus_score(["a"], [["a"]])
        found[name] = str(metric.get_signature())
    found["bleu_moses_lowercase"] += " on lower-cased Moses tokens"
    return found


class TranslationMetric(evaluate.Metric):
    """`evaluate.load("zoo/tasks/translation/metrics.py")`, or use the class itself."""

    def _info(self) -> evaluate.MetricInfo:
        texts = datasets.Value("string")
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_KWARGS_DESCRIPTION,
            features=datasets.Features({"predictions": texts, "references": texts}),
        )

    def _compute(self, predictions, references, language: str = "en") -> dict[str, Any]:
        return {**translation_metrics(predictions, references, language), "signatures": signatures()}
