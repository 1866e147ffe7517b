"""`pipeline("automatic-speech-recognition", ...)` that reads audio files without ffmpeg, torchaudio or torchcodec.

It is transformers' pipeline for every model; what it adds is reading and resampling, and for models that transformers
does not know by name the right way to decode them. This file imports nothing of the library, so that
`pipeline.save_pretrained` can put it beside a model.
"""

import io
import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from transformers.pipelines.automatic_speech_recognition import AutomaticSpeechRecognitionPipeline

# Where long sound is divided: at the quietest moment of so many seconds, in the last half of what the model reads.
QUIET = 0.1


class SpeechRecognitionPipeline(AutomaticSpeechRecognitionPipeline):
    """Write down what is said.

    ```python
    >>> recognize = pipeline("automatic-speech-recognition", model=zoo.pretrained("speech-commands-arabic"))
    >>> recognize("command.wav")
    {"text": ...}
    ```

    A sound is the path of an audio file (WAV, FLAC, Ogg, Opus, MP3, ...), its content as bytes, samples at the model's
    rate as an array or a tensor, or a mapping with "array" and "sampling_rate", or with "bytes" or "path". Channels
    are averaged. What is longer than the model reads is divided at quiet moments, with a warning.

    Args of a call:
        batch_size: Sounds at once.
        generate_kwargs: Anything that `generate()` takes, such as `{"num_beams": 1}`.
    """

    def __init__(self, model: Any, *args: Any, **kwargs: Any):
        self.type: str
        super().__init__(model, *args, **kwargs)
        # Models whose names transformers does not know are CTC models to it, with a tokenizer that merges repetitions.
        self.is_unknown = self.type == "ctc" and not type(model).__module__.startswith("transformers.models.")
        if self.is_unknown and model.can_generate():
            self.type = "seq2seq"

    @property
    def limit(self) -> int | None:
        """Samples that the model reads at most, if it says so and transformers does not know it."""
        hop = getattr(self.feature_extractor, "hop_length", None)
        frames = getattr(self.model.config, "max_source_positions", None)
        return None if hop is None or frames is None or not self.is_unknown else hop * frames

    def read(self, sound: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """(mono samples at the model's rate, further items of a mapping).

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: It is not sound, or there is none in it.
        """
        rate, extra, name = self.feature_extractor.sampling_rate, {}, "the sound"  # type: ignore[union-attr]
        if isinstance(sound, Mapping):
            extra = dict(sound)
            samples = next((extra.pop(key) for key in ("array", "raw") if extra.get(key) is not None), None)
            path, content = extra.pop("path", None), extra.pop("bytes", None)
            if samples is not None and "sampling_rate" not in extra:
                raise ValueError('a mapping with "array" or "raw" needs "sampling_rate"')
            given = extra.pop("sampling_rate", rate)
            sound = samples if samples is not None else content if content is not None else path
            rate = given if samples is not None else rate
        if isinstance(sound, (str, os.PathLike)):
            name = str(sound)
            if name.startswith(("http://", "https://")):
                from huggingface_hub.utils import httpx

                sound = httpx.get(name, follow_redirects=True).raise_for_status().content
            elif not os.path.isfile(name):
                raise FileNotFoundError(f"{name} does not exist")
        if isinstance(sound, (str, bytes, os.PathLike)):
            samples, rate = self.decode_file(sound, name)
        elif isinstance(sound, torch.Tensor):
            samples = sound.detach().cpu().float().numpy()
        elif isinstance(sound, np.ndarray):
            samples = sound
        else:
            raise TypeError(
                f"expected a path, bytes, an array, or a mapping with one of them, got {type(sound).__name__}"
            )
        samples = np.asarray(samples)
        if samples.dtype.kind == "i":  # PCM
            samples = samples / -float(np.iinfo(samples.dtype).min)
        samples = samples.astype(np.float32)
        if samples.ndim == 2:
            samples = samples.mean(axis=int(np.argmin(samples.shape)))
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"{name} has no samples" if not samples.size else f"{name} has {samples.ndim} axes")
        if not np.isfinite(samples).all():
            raise ValueError(f"{name} has samples that are NaN or infinite")
        if rate != self.feature_extractor.sampling_rate:  # type: ignore[union-attr]
            import soxr

            samples = soxr.resample(samples, rate, self.feature_extractor.sampling_rate)  # type: ignore[union-attr]
        return samples, extra

    @staticmethod
    def decode_file(sound: Any, name: str) -> tuple[np.ndarray, int]:
        """(`(samples, channels)`, rate) of a path or of an audio file's content."""
        import soundfile

        try:
            with soundfile.SoundFile(io.BytesIO(sound) if isinstance(sound, bytes) else sound) as file:
                samples, expected, rate = file.read(dtype="float32", always_2d=True), file.frames, file.samplerate
        except (soundfile.SoundFileError, RuntimeError) as error:
            reason = str(error).split(": ", 1)[-1].strip(" .")
            raise ValueError(f"{name} cannot be decoded as sound: {reason}") from None
        if len(samples) < expected:
            raise ValueError(f"{name} is truncated: {len(samples):,} of {expected:,} samples are there")
        return samples, rate

    def divide(self, samples: np.ndarray) -> list[np.ndarray]:
        """The sound in parts that the model reads."""
        limit = self.limit
        if limit is None or len(samples) <= limit:
            return [samples]
        rate = self.feature_extractor.sampling_rate  # type: ignore[union-attr]
        quiet = min(max(1, int(QUIET * rate)), max(1, limit // 4))
        parts, start = [], 0
        while len(samples) - start > limit:
            power = np.square(samples[start + limit // 2 : start + limit])
            sums = np.cumsum(np.r_[0.0, power])
            place = int(np.argmin(sums[quiet:] - sums[:-quiet])) + quiet // 2
            parts.append(samples[start : start + limit // 2 + place])
            start += limit // 2 + place
        parts.append(samples[start:])
        warnings.warn(
            f"{len(samples) / rate:,.1f} seconds of sound are more than the {limit / rate:g} that the model reads: "
            f"they are divided at quiet moments into {len(parts)} parts",
            stacklevel=4,
        )
        return parts

    def preprocess(self, inputs: Any, chunk_length_s: float = 0, stride_length_s: Any = None) -> Iterator[Any]:
        """The parts of a sound as the model's inputs."""
        samples, extra = self.read(inputs)
        parts = [samples] if chunk_length_s else self.divide(samples)
        rate = self.feature_extractor.sampling_rate  # type: ignore[union-attr]
        for number, part in enumerate(parts, 1):
            sound = {"array": part, "sampling_rate": rate, **extra}
            for item in super().preprocess(sound, chunk_length_s, stride_length_s):
                yield {**item, "is_last": item["is_last"] and number == len(parts)}

    def postprocess(self, model_outputs: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The text of all parts."""
        if not self.is_unknown or any("stride" in part for part in model_outputs):
            return super().postprocess(model_outputs, *args, **kwargs)
        assert self.tokenizer is not None
        texts = []
        for output in model_outputs:
            tokens = output["tokens"].flatten().tolist()
            if self.type == "ctc":  # a common tokenizer does not merge repeated tokens
                tokens = [token for place, token in enumerate(tokens) if place == 0 or token != tokens[place - 1]]
            texts.append(self.tokenizer.decode(tokens, skip_special_tokens=True).strip())
        own = ("tokens", "logits", "is_last")
        extra = {key: [output[key] for output in model_outputs] for key in model_outputs[0] if key not in own}
        return {"text": " ".join(text for text in texts if text), **extra}


__all__ = ["SpeechRecognitionPipeline"]
