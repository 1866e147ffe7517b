"""Baselines: the first words of the source, the target of the nearest training source, token frequencies."""

from collections.abc import Sequence

import numpy as np

from .dataset import TextDataset

# Queries that are compared with all training sources at once.
CHUNK = 256


def nearest(train: Sequence[str], queries: Sequence[str], excluded: np.ndarray | None = None) -> np.ndarray:
    """The training text with the highest cosine of TF-IDF over words and word pairs.

    Args:
        train: Texts to choose from.
        queries: Texts to find the nearest of.
        excluded (`np.ndarray` of shape `(queries,)`): A training text that may not be chosen, -1 for none.

    Returns:
        Numbers of training texts, of shape `(queries,)`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(token_pattern=r"(?u)\w+", ngram_range=(1, 2), sublinear_tf=True, dtype=np.float32)
    try:
        known = vectorizer.fit_transform(train).T.tocsr()
    except ValueError:  # texts without a single word
        return np.zeros(len(queries), np.int64)
    rows = []
    for first in range(0, len(queries), CHUNK):
        similarity = (vectorizer.transform(queries[first : first + CHUNK]) @ known).toarray()
        if excluded is not None:
            own = np.flatnonzero(excluded[first : first + CHUNK] >= 0)
            similarity[own, excluded[first + own]] = -1
        rows.append(similarity.argmax(1))
    return np.concatenate(rows)


def nearest_targets(train: TextDataset, dataset: TextDataset) -> list[str]:
    """The target of the nearest training source of each row; a training pair is not its own neighbour."""
    excluded = None
    if dataset.training:
        places = {int(number): place for place, number in enumerate(train.numbers)}
        excluded = np.array([places.get(int(number), -1) for number in dataset.numbers])
    return [train.targets[row] for row in nearest(train.sources, dataset.sources, excluded)]


def token_frequencies(train: TextDataset, dataset: TextDataset) -> dict[str, float]:
    """Perplexity of target tokens under their frequencies in training targets, smoothed by one."""
    frequencies = np.bincount(train.encoded.targets.ids, minlength=len(train.tokenizer)) + 1.0
    seen = np.bincount(dataset.encoded.targets.ids, minlength=len(train.tokenizer))
    loss = -(seen @ np.log(frequencies / frequencies.sum())) / seen.sum()
    return {"n": len(dataset), "perplexity": float(np.exp(loss))}


def lead(texts: Sequence[str], words: int) -> list[str]:
    """The first words of each text."""
    return [" ".join(text.split()[:words]) for text in texts]


__all__ = ["lead", "nearest", "nearest_targets", "token_frequencies"]
