"""Joining and augmentation of log-mel spectrograms, the same whatever the batch size, the process or an interruption.

Every random number follows from (seed, epoch, row), not from a generator's state: a run that is resumed, or split over
several processes, hears what an uninterrupted single process hears.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from transformers.audio_utils import hertz_to_mel, mel_to_hertz

# Share of the bins that a frequency mask hides at most, and frames that a time mask hides at most.
MASKED_BINS, MASKED_FRAMES = 0.2, 12
# Natural logarithm of power, of one decibel.
DECIBEL = float(np.log(10) / 10)
# Noise is up to this many decibels weaker than the loudest.
NOISE_RANGE = 25


def random_numbers(*key: int) -> np.random.Generator:
    """A generator whose numbers follow from the key."""
    return np.random.Generator(np.random.PCG64(list(key)))


def join(clips: Sequence[np.ndarray], random: np.random.Generator, pause: int = 0) -> np.ndarray:
    """One spectrogram of several.

    Args:
        clips (list of `np.ndarray` of shape `(frames, bins)`): Spectrograms without normalisation.
        random: Draws the pauses.
        pause: Most frames of a pause, which is as quiet as the quietest frames before it.
    """
    parts = [np.asarray(clips[0], np.float32)]
    for clip in clips[1:]:
        frames = int(random.integers(0, pause + 1))
        if frames:
            quiet = np.quantile(parts[-1], 0.05, axis=0)
            parts.append((quiet + 0.3 * random.standard_normal((frames, len(quiet)))).astype(np.float32))
        parts.append(np.asarray(clip, np.float32))
    return np.concatenate(parts)


def interpolate(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Rows of `values` at fractional places, linearly."""
    low = np.floor(places).astype(np.int64)
    share = (places - low).astype(np.float32)[:, None]
    return values[low] * (1 - share) + values[np.minimum(low + 1, len(values) - 1)] * share


@lru_cache(maxsize=4)
def mel_places(bins: int, sampling_rate: int) -> tuple[np.ndarray, float]:
    """(centre frequency of each mel bin in Hz, width of a bin in mel)."""
    edges = np.linspace(0.0, hertz_to_mel(sampling_rate / 2, "slaney"), bins + 2)
    return mel_to_hertz(edges[1:-1], "slaney"), float(edges[1])


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training utterances. 0 and None switch a change off.

    Args:
        speed: Play up to this share faster or slower, pitch included (Ko et al., 2015).
        frequency_warp: Scale frequencies by up to this share, too (Jaitly and Hinton, 2013: other vocal tracts).
        gain: Change the loudness of each joined utterance by up to this many decibels; alone it would be normalised
            away.
        noise: Least decibels between speech and noise, in half of the utterances.
        frequency_masks: Bands to hide (Park et al., 2019, arXiv:1904.08779: SpecAugment).
        time_masks: Spans to hide in each second.
        sampling_rate: Of the sound.
    """

    speed: float = 0.0
    frequency_warp: float = 0.0
    gain: float = 0.0
    noise: float | None = None
    frequency_masks: int = 0
    time_masks: int = 0
    sampling_rate: int = 16000

    def loudness(self, clip: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """One utterance of a string, louder or softer."""
        return np.asarray(clip, np.float32) + np.float32(random.uniform(-self.gain, self.gain) * DECIBEL)

    def warp(self, features: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Other speed, other pitch: `(frames, bins)` -> `(other frames, bins)`."""
        speed = 1 + random.uniform(-self.speed, self.speed)
        frames = max(1, round(len(features) / speed))
        if frames != len(features):
            features = interpolate(features, np.linspace(0, len(features) - 1, frames))
        scale = speed * (1 + random.uniform(-self.frequency_warp, self.frequency_warp))
        if scale != 1:
            bins = features.shape[1]
            centres, width = mel_places(bins, self.sampling_rate)
            places = np.clip(hertz_to_mel(centres / scale, "slaney") / width - 1, 0, bins - 1)
            features = interpolate(features.T, places).T
        return features

    def add_noise(self, features: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """Steady noise of any colour below the speech, in half of the utterances."""
        if self.noise is None or random.random() < 0.5:
            return features
        speech = np.quantile(features.mean(1), 0.95)
        level = speech - DECIBEL * random.uniform(self.noise, self.noise + NOISE_RANGE)
        colour = random.uniform(-3, 3) * np.linspace(-1, 1, features.shape[1])
        # The power of noise in a mel bin is a mean of a few exponential ones.
        power = random.gamma(3.0, 1 / 3, features.shape).astype(np.float32)
        noise = level + colour.astype(np.float32) + np.log(power + 1e-4)
        return np.logaddexp(features, noise).astype(np.float32)

    def change(self, features: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """All changes before normalisation, to `(frames, bins)`."""
        return self.add_noise(self.warp(features, random), random)

    def mask(self, features: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """SpecAugment of a normalised spectrogram: bands and spans of zeros, the mean."""
        if not self.frequency_masks and not self.time_masks:
            return features
        features = features.copy()
        frames, bins = features.shape
        for _ in range(self.frequency_masks):
            width = int(random.integers(0, int(MASKED_BINS * bins) + 1))
            start = int(random.integers(0, bins - width + 1))
            features[:, start : start + width] = 0
        for _ in range(round(self.time_masks * frames / 100)):
            width = int(random.integers(0, min(MASKED_FRAMES, frames) + 1))
            start = int(random.integers(0, frames - width + 1))
            features[start : start + width] = 0
        return features


__all__ = ["Augmentation", "join", "random_numbers"]
