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
# A peak below this, where full scale is 1, is silence: a quarter of a step of 8-bit sound.
SILENCE = 1 / 512


class SpeechRecognitionPipeline(AutomaticSpeechRecognitionPipeline):
    """Write down what is said.

    ```python
    >>> recognize = pipeline("automatic-speech-recognition", model=zoo.pretrained("speech-commands-arabic"))
    >>> recognize("command.wav")
    {"text": ...}
    ```

    A sound is the path of an audio file (WAV, FLAC, Ogg, Opus, MP3, ...), its content as bytes, samples at the model's
    rate as an array or a tensor, or a mapping with "array" and "sampling_rate", or with "bytes" or "path". Channels
    are averaged. What is longer than the model reads is divided at quiet moments, with a warning. Silence has no
    text, with a warning.

    Args of a call:
        batch_size: Sounds at once.
        generate_kwargs: Anything that `generate()` takes, such as `{"num_beams": 1}`.
    """

    def __init__(self, model: Any, *args: Any, **kwargs: Any):
        self.type: str
        super().__init__(model, *args, **kwargs)
        # transformers goes by the class's name: it takes a model that it does not list for CTC, with a tokenizer that
        # merges repetitions.
        self.is_unknown = self.type == "ctc" and not type(model).__module__.startswith("transformers.models.")
        if self.is_unknown and model.can_generate():
            self.type = "seq2seq"

    @property
    def limit(self) -> int | None:
        """The most samples that the model reads; None if its config does not say, or transformers knows the model."""
        hop = getattr(self.feature_extractor, "hop_length", None)
        frames = getattr(self.model.config, "max_source_positions", None)
        return None if hop is None or frames is None or not self.is_unknown else hop * frames

    @property
    def rate(self) -> int:
        """Samples a second that the model hears."""
        return self.feature_extractor.sampling_rate  # type: ignore[union-attr]

    def read(self, sound: Any) -> tuple[np.ndarray, dict[str, Any]]:
        """(mono samples at the model's rate, further items of a mapping).

        Raises:
            FileNotFoundError: The file does not exist.
            TypeError: It is not a path, bytes, an array or a mapping with one of them.
            ValueError: It is not sound, or there is none in it.
        """
        rate, extra, name = self.rate, {}, "the sound"
        if isinstance(sound, Mapping):
            extra = dict(sound)
            arrays = [extra.pop(key, None) for key in ("array", "raw")]
            others = [extra.pop(key, None) for key in ("bytes", "path")]
            has_array = any(array is not None for array in arrays)
            if has_array and "sampling_rate" not in extra:
                raise ValueError('a mapping with "array" or "raw" needs "sampling_rate"')
            rate = extra.pop("sampling_rate", rate) if has_array else rate
            sound = next((value for value in (*arrays, *others) if value is not None), None)
        if isinstance(sound, (str, os.PathLike)):
            name = str(sound)
            if name.startswith(("http://", "https://")):
                from huggingface_hub.utils import httpx

                sound = httpx.get(name, follow_redirects=True).raise_for_status().content
            elif not os.path.isfile(name):
                raise FileNotFoundError(f"{name} {'is a folder' if os.path.isdir(name) else 'does not exist'}")
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
        if samples.dtype.kind == "i":  # PCM
            samples = samples / -float(np.iinfo(samples.dtype).min)
        samples = samples.astype(np.float32)
        if samples.ndim == 2:
            samples = samples.mean(axis=int(np.argmin(samples.shape)))
        if samples.ndim != 1 or not len(samples):
            raise ValueError(f"{name} has no samples" if not samples.size else f"{name} has {samples.ndim} axes")
        if not np.isfinite(samples).all():
            raise ValueError(f"{name} has samples that are NaN or infinite")
        if np.abs(samples).max() < SILENCE:
            warnings.warn(f"{name} is silent", stacklevel=4)
        if rate != self.rate:
            import soxr

            samples = soxr.resample(samples, rate, self.rate)
        return samples, extra

    @staticmethod
    def decode_file(sound: Any, name: str) -> tuple[np.ndarray, int]:
        """(`(samples, channels)`, rate) of a path or of an audio file's content."""
        import soundfile

        if not (len(sound) if isinstance(sound, bytes) else os.path.getsize(sound)):
            raise ValueError(f"{name} is empty: it has 0 bytes")
        try:
            with soundfile.SoundFile(io.BytesIO(sound) if isinstance(sound, bytes) else sound) as file:
                samples, expected, rate = file.read(dtype="float32", always_2d=True), file.frames, file.samplerate
        except (soundfile.SoundFileError, RuntimeError) as error:
            reason = str(error).split(": ", 1)[-1].strip(" .")
            raise ValueError(f"{name} is damaged, or not WAV, FLAC, Ogg, Opus or MP3 ({reason})") from None
        if len(samples) < expected:
            raise ValueError(f"{name} is truncated: {len(samples):,} of {expected:,} samples are there")
        return samples, rate

    def divide(self, samples: np.ndarray) -> list[np.ndarray]:
        """The sound in parts that the model reads."""
        limit = self.limit
        if limit is None or len(samples) <= limit:
            return [samples]
        quiet = min(max(1, int(QUIET * self.rate)), max(1, limit // 4))
        parts, start = [], 0
        while len(samples) - start > limit:
            power = np.square(samples[start + limit // 2 : start + limit])
            sums = np.cumsum(np.r_[0.0, power])
            place = int(np.argmin(sums[quiet:] - sums[:-quiet])) + quiet // 2
            parts.append(samples[start : start + limit // 2 + place])
            start += limit // 2 + place
        parts.append(samples[start:])
        warnings.warn(
            f"{len(samples) / self.rate:,.1f} seconds of sound are more than the {limit / self.rate:g} that the model "
            f"reads: they are divided at quiet moments into {len(parts)} parts",
            stacklevel=4,
        )
        return parts

    def preprocess(self, inputs: Any, chunk_length_s: float = 0, stride_length_s: Any = None) -> Iterator[Any]:
        """The parts of a sound as the model's inputs."""
        samples, extra = self.read(inputs)
        parts = [samples] if chunk_length_s else self.divide(samples)
        if self.is_unknown:
            # Nothing is said in silent parts, but a model that was never trained on silence hears something.
            parts = [part for part in parts if np.abs(part).max() >= SILENCE]
            extra |= {"silent": not parts}
        for number, part in enumerate(parts or [samples[: self.rate]], 1):
            sound = {"array": part, "sampling_rate": self.rate, **extra}
            for item in super().preprocess(sound, chunk_length_s, stride_length_s):
                yield {**item, "is_last": item["is_last"] and number == max(len(parts), 1)}

    def postprocess(self, model_outputs: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """The text of all parts; none if they are silent."""
        silent = [output.pop("silent", False) for output in model_outputs]
        if any(silent):
            return {"text": ""}
        if not self.is_unknown or any("stride" in part for part in model_outputs):
            return super().postprocess(model_outputs, *args, **kwargs)
        assert self.tokenizer is not None
        texts = []
        for output in model_outputs:
            tokens = output["tokens"].flatten().tolist()
            if self.type == "ctc":  # an ordinary tokenizer does not merge repeated tokens
                tokens = [token for place, token in enumerate(tokens) if place == 0 or token != tokens[place - 1]]
            texts.append(self.tokenizer.decode(tokens, skip_special_tokens=True).strip())
        own = ("tokens", "logits", "is_last")
        extra = {key: [output[key] for output in model_outputs] for key in model_outputs[0] if key not in own}
        return {"text": " ".join(text for text in texts if text), **extra}


__all__ = ["SpeechRecognitionPipeline"]
