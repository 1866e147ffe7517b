"""Sound to log-mel spectrograms."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import BatchFeature, SequenceFeatureExtractor
from transformers.audio_utils import mel_filter_bank
from transformers.utils import logging

try:
    import soxr
except ImportError:  # needed for sound of another rate only
    soxr = None

logger = logging.get_logger(__name__)


class SpeechTransformerFeatureExtractor(SequenceFeatureExtractor):
    r"""
    Log-mel spectrograms with zero mean and unit variance in each bin of an utterance.

    Args:
        feature_size (`int`, defaults to 80): Mel bins.
        sampling_rate (`int`, defaults to 16000): Samples a second that the model hears; other sound is resampled.
        n_fft (`int`, defaults to 512): Points of the Fourier transform.
        win_length (`int`, *optional*): Samples of a frame; 25 ms by default.
        hop_length (`int`, *optional*): Samples from frame to frame; 10 ms by default.
        mel_floor (`float`, defaults to 1e-6): Lowest power, which keeps the logarithm of silence finite.
        do_normalize (`bool`, defaults to `True`): Whether mean and variance are normalised.
        padding_value (`float`, defaults to 0.0): Value of padding frames.

    Example:

    ```python
    >>> import numpy as np
    >>> from zoo.models.speech_transformer import SpeechTransformerFeatureExtractor
    >>> extractor = SpeechTransformerFeatureExtractor()
    >>> extractor(np.random.randn(8000), sampling_rate=8000, return_tensors="pt")["input_features"].shape
    torch.Size([1, 100, 80])
    ```
    """

    model_input_names = ["input_features", "attention_mask"]

    def __init__(
        self,
        feature_size: int = 80,
        sampling_rate: int = 16000,
        n_fft: int = 512,
        win_length: int | None = None,
        hop_length: int | None = None,
        mel_floor: float = 1e-6,
        do_normalize: bool = True,
        padding_value: float = 0.0,
        **kwargs: Any,
    ):
        super().__init__(feature_size, sampling_rate, padding_value, **kwargs)
        self.n_fft, self.mel_floor, self.do_normalize = n_fft, mel_floor, do_normalize
        self.win_length = sampling_rate // 40 if win_length is None else win_length
        self.hop_length = sampling_rate // 100 if hop_length is None else hop_length
        if not 0 < self.hop_length <= self.win_length <= n_fft:
            raise ValueError(
                f"hop_length={self.hop_length} <= win_length={self.win_length} <= n_fft={n_fft} must hold, all above 0"
            )
        # transformers leaves `mel_filters` out of the saved file.
        self.mel_filters = mel_filter_bank(
            1 + n_fft // 2, feature_size, 0.0, sampling_rate / 2, sampling_rate, norm="slaney", mel_scale="slaney"
        ).astype(np.float32)

    def count_frames(self, samples: int) -> int:
        """Frames of so many samples."""
        return -(-samples // self.hop_length)

    def prepare(self, speech: Any, sampling_rate: int | None = None) -> np.ndarray:
        """Mono samples at the model's rate.

        Args:
            speech (`np.ndarray`, `torch.Tensor` or `list[float]` of shape `(samples,)`, `(channels, samples)` or
                `(samples, channels)`): Channels are averaged; the shorter axis is theirs.
            sampling_rate (`int`, *optional*): Rate of the sound; the model's by default.

        Raises:
            ValueError: The sound is empty or not finite.
        """
        if isinstance(speech, torch.Tensor):
            speech = speech.detach().cpu().numpy()
        samples = np.asarray(speech)
        if samples.dtype.kind == "i" and samples.dtype.itemsize in (2, 4):  # PCM
            samples = samples / -float(np.iinfo(samples.dtype).min)
        samples = samples.astype(np.float32)
        if samples.ndim == 2:
            samples = samples.mean(axis=int(np.argmin(samples.shape)))
        if samples.ndim != 1:
            raise ValueError(f"expected sound of one or two axes, got the shape {samples.shape}")
        if not len(samples):
            raise ValueError("the sound is empty")
        if not np.isfinite(samples).all():
            raise ValueError("the sound has samples that are NaN or infinite")
        if sampling_rate is not None and sampling_rate != self.sampling_rate:
            if soxr is None:
                raise ImportError(f"sound at {sampling_rate} Hz must be resampled: pip install soxr")
            samples = soxr.resample(samples, sampling_rate, self.sampling_rate)
        return samples if len(samples) else np.zeros(1, np.float32)

    @torch.no_grad()
    def log_mel(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Log-mel spectrograms without normalisation.

        Args:
            waveforms (list of `np.ndarray` of shape `(samples,)`): From `prepare`.

        Returns:
            A list of `np.ndarray` of shape `(frames, feature_size)`, float32. Frame t is centred at sample
            `(t + 0.5) * hop_length`; outside the sound is silence.
        """
        counts = [self.count_frames(len(waveform)) for waveform in waveforms]
        before = (self.n_fft - self.hop_length) // 2
        padded = torch.zeros(len(waveforms), (max(counts) - 1) * self.hop_length + self.n_fft)
        for row, waveform in zip(padded, waveforms):
            kept = torch.from_numpy(np.ascontiguousarray(waveform, np.float32))[: len(row) - before]
            row[before : before + len(kept)] = kept
        window = torch.hann_window(self.win_length)
        spectrum = torch.stft(
            padded, self.n_fft, self.hop_length, self.win_length, window, center=False, return_complex=True
        )
        power = spectrum.real.square().addcmul_(spectrum.imag, spectrum.imag)  # (batch, frequencies, frames)
        mel = torch.from_numpy(self.mel_filters).t().contiguous() @ power  # 3 times as fast as power @ filters
        features = mel.clamp_(min=self.mel_floor).log_().transpose(1, 2).contiguous()
        return [row[:count].numpy() for row, count in zip(features, counts)]

    def normalize(self, features: np.ndarray) -> np.ndarray:
        """One log-mel spectrogram of shape `(frames, feature_size)` with zero mean and unit variance in each bin."""
        if not self.do_normalize:
            return features
        # A bin that hardly moves, such as one above the band of a telephone, is not blown up.
        return (features - features.mean(0)) / np.maximum(features.std(0), 0.1)

    def __call__(
        self,
        raw_speech: Any,
        sampling_rate: int | None = None,
        padding: bool | str = True,
        max_length: int | None = None,
        truncation: bool = False,
        pad_to_multiple_of: int | None = None,
        return_attention_mask: bool | None = None,
        return_tensors: str | None = None,
        **kwargs: Any,
    ) -> BatchFeature:
        """Prepare one or several utterances for the model.

        Args:
            raw_speech (`np.ndarray`, `torch.Tensor`, `list[float]`, or a list of them): An utterance of shape
                `(samples,)`, or several: a list, whose items may have two axes (see `prepare`), or an array of shape
                `(batch, samples)`.
            sampling_rate (`int`, *optional*): Rate of the sound, which is resampled to the model's.
            padding (`bool` or `str`, defaults to `True`): See `SequenceFeatureExtractor.pad`; so are the next four.

        Returns:
            `input_features` of shape `(batch, frames, feature_size)` and `attention_mask` of shape `(batch, frames)`,
            1 on real frames.

        Raises:
            ValueError: An utterance is empty or not finite.
        """
        if sampling_rate is None:
            logger.warning_once(
                f"sampling_rate is not given: the sound is taken to have {self.sampling_rate:,} samples a second"
            )
        several = isinstance(raw_speech, (list, tuple)) and (not raw_speech or np.ndim(raw_speech[0]) > 0)
        if isinstance(raw_speech, (np.ndarray, torch.Tensor)) and raw_speech.ndim > 1:
            several = True
        waveforms = [self.prepare(speech, sampling_rate) for speech in (raw_speech if several else [raw_speech])]
        features = [self.normalize(row) for row in self.log_mel(waveforms)]
        return self.pad(
            BatchFeature({"input_features": features}),
            padding=padding,
            max_length=max_length,
            truncation=truncation,
            pad_to_multiple_of=pad_to_multiple_of,
            return_attention_mask=return_attention_mask,
            return_tensors=return_tensors,
        )


__all__ = ["SpeechTransformerFeatureExtractor"]
