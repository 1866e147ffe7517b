"""The `data` section of a speech recognition recipe."""

from dataclasses import dataclass, field
from typing import Any

from zoo.tasks.base import DataArguments

TEXT_NORMALIZATIONS = ("none", "lower", "words")
TOKENIZERS = ("characters", "bpe")


def _source(help: str, source: str = "train") -> Any:
    return field(default=None, metadata={"help": help, "source": source})


def _augmentation(help: str, default: Any) -> Any:
    return field(default=default, metadata={"help": help, "loading": False, "used_by": "training"})


def _generation(help: str, default: Any) -> Any:
    return field(default=default, metadata={"help": help, "loading": False, "used_by": "evaluation"})


@dataclass
class SpeechRecognitionArguments(DataArguments):
    """The `data` section of a speech recognition recipe."""

    dataset_name: str | None = _source("fsdd, arabic-speech-commands, speechocean762, or a data set of the Hub.")
    dataset_config_name: str | None = _source("Configuration of the Hub data set.")
    data_dir: str | None = _source("Folder with the Parquet files of a known data set.")
    train_dir: str | None = _source(
        "Own speech: a folder of audio files with metadata.csv or .tsv (file_name, text, speaker_id), or a CSV, TSV, "
        "JSONL or Parquet file."
    )
    validation_dir: str | None = _source("Own validation speech, in the same layout; default: set aside.")
    test_dir: str | None = _source("Own test speech, in the same layout; default: set aside.", "test")
    extra_train_dir: str | None = field(
        default=None,
        metadata={
            "help": "More training speech in the layout of train_dir, such as synthetic speech; nothing of it is "
            "measured.",
            "used_by": "training",
        },
    )
    extra_epochs: int = field(
        default=1,
        metadata={"help": "Epochs in which each extra utterance occurs once: each epoch has a part of them."},
    )
    audio_column: str | None = field(
        default=None, metadata={"help": "Column of the sound or its path; default: file_name, path, audio or file."}
    )
    text_column: str | None = field(
        default=None, metadata={"help": "Column of what is said; default: text, sentence or transcription."}
    )
    speaker_column: str | None = field(
        default=None, metadata={"help": "Column of the speaker; default: speaker_id, speaker or client_id, if any."}
    )
    validation_size: float = field(
        default=0.1,
        metadata={"help": "Share of the utterances to set aside without validation data: whole speakers, if known."},
    )
    test_size: float = field(default=0.1, metadata={"help": "The same for the test split."})
    split_seed: int = field(default=0, metadata={"help": "Seed of the speakers that are set aside."})
    max_train_samples: int | None = field(
        default=None, metadata={"help": "Use at most this many training utterances."}
    )
    max_eval_samples: int | None = field(default=None, metadata={"help": "Use at most this many for validation."})
    max_predict_samples: int | None = field(default=None, metadata={"help": "Use at most this many for the test."})

    sampling_rate: int = field(default=16000, metadata={"help": "Samples a second that a new model hears."})
    max_seconds: float = field(default=20.0, metadata={"help": "Leave out longer utterances."})
    text_normalization: str = field(
        default="lower",
        metadata={
            "help": "Of all texts: none, lower (lower case, one space between words), or words (also without "
            "punctuation other than apostrophes). Metrics compare the normalised texts."
        },
    )
    tokenizer_type: str = field(default="characters", metadata={"help": "Tokens of a new model: characters or bpe."})
    vocabulary_size: int = field(default=300, metadata={"help": "Tokens of bpe."})
    max_target_length: int = field(
        default=200, metadata={"help": "Tokens of a text with its EOS; utterances with longer ones are left out."}
    )
    join_clips: int = field(
        default=1,
        metadata={
            "help": "Join up to this many utterances of a speaker to one, others in each epoch; validation and test "
            "then have each utterance alone and once in a joined string."
        },
    )
    join_pause: float = field(default=0.1, metadata={"help": "Seconds of silence between joined ones, at most."})
    group_columns: list[str] | None = field(
        default=None,
        metadata={
            "help": "Columns whose values get a word error rate each, such as gender; age<18 makes two groups of a "
            "column of numbers."
        },
    )

    speed_perturbation: float = _augmentation(
        "Play training utterances up to this share faster or slower, pitch included; 0.1 is usual.", 0.0
    )
    frequency_warp: float = _augmentation("Also shift their formants by up to this share: other vocal tracts.", 0.0)
    gain: float = _augmentation("Change the loudness of joined utterances by up to this many dB.", 0.0)
    noise: float | None = _augmentation(
        "Add noise to half of the training utterances, this many dB or more below the speech.", None
    )
    frequency_masks: int = _augmentation("Bands of up to a fifth of the mel bins to hide (SpecAugment).", 0)
    time_masks: int = _augmentation("Spans of up to 0.12 s to hide in each second (SpecAugment).", 0)

    num_beams: int = _generation("Beams of the final metrics and of the saved model.", 5)
    ctc_weight: float = _generation("Share of CTC's score beside the decoder's; the model needs ctc_loss_weight.", 0.0)
    length_penalty: float = _generation("Above 0, beam search prefers longer texts.", 1.0)

    def __post_init__(self):
        for name, known in (("text_normalization", TEXT_NORMALIZATIONS), ("tokenizer_type", TOKENIZERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {', '.join(known)}")
        if isinstance(self.group_columns, str):
            self.group_columns = [self.group_columns]
        positive = ("max_train_samples", "max_eval_samples", "max_predict_samples", "join_clips", "num_beams",
                    "vocabulary_size", "sampling_rate", "extra_epochs")  # fmt: skip
        for name in positive:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} must be at least 1")
        if self.max_target_length < 2:
            raise ValueError(f"max_target_length={self.max_target_length} must be at least 2: a token and the EOS")
        for name in ("gain", "join_pause", "frequency_masks", "time_masks"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)} must not be negative")
        if self.max_seconds <= 0:
            raise ValueError(f"max_seconds={self.max_seconds} must be above 0")
        for name in ("validation_size", "test_size", "speed_perturbation", "frequency_warp", "ctc_weight"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share: at least 0 and below 1")


__all__ = ["SpeechRecognitionArguments"]
