"""The `data` section of a speech recognition recipe."""

from dataclasses import dataclass

from zoo.tasks.base import DataArguments, option

_AUGMENTATION = {"loading": False, "used_by": "training"}
_GENERATION = {"loading": False, "used_by": "evaluation"}
SHARES = ("validation_size", "test_size", "speed_perturbation", "frequency_warp", "ctc_weight")
LEAST = {
    **dict.fromkeys(("max_train_samples", "max_eval_samples", "max_predict_samples", "extra_epochs", "join_clips"), 1),
    **dict.fromkeys(("num_beams", "vocabulary_size", "sampling_rate"), 1),
    **dict.fromkeys(("gain", "join_pause", "frequency_masks", "time_masks", *SHARES), 0),
    "max_target_length": 2,  # a token and EOS
    "max_seconds": 0.01,  # a frame
}
CHOICES = {"text_normalization": ("none", "lower", "words"), "tokenizer_type": ("characters", "bpe")}


@dataclass
class SpeechRecognitionArguments(DataArguments):
    """The `data` section of a speech recognition recipe."""

    dataset_name: str | None = option(
        None, "fsdd, arabic-speech-commands, speechocean762, or a data set of the Hub.", source="train"
    )
    dataset_config_name: str | None = option(None, "Configuration of the Hub data set.", source="train")
    data_dir: str | None = option(None, "Folder with the Parquet files of a known data set.", source="train")
    train_dir: str | None = option(
        None,
        "Own speech: a folder of audio files with metadata.csv or .tsv (file_name, text, speaker_id), or a CSV, TSV, "
        "JSONL or Parquet file.",
        source="train",
    )
    validation_dir: str | None = option(
        None, "Own validation speech, in the same layout; default: set aside.", source="train"
    )
    test_dir: str | None = option(None, "Own test speech, in the same layout; default: set aside.", source="test")
    extra_train_dir: str | None = option(
        None,
        "More training speech in the layout of train_dir, such as synthetic speech; nothing of it is measured.",
        used_by="training",
    )
    extra_epochs: int = option(1, "Epochs in which each extra utterance occurs once: each epoch has a part of them.")
    audio_column: str | None = option(
        None, "Column of the sound or its path; default: file_name, path, audio or file."
    )
    text_column: str | None = option(
        None, "Column of what is said; default: text, sentence, transcription or transcript."
    )
    speaker_column: str | None = option(
        None, "Column of the speaker; default: speaker_id, speaker or client_id, if any."
    )
    validation_size: float = option(
        0.1, "Share of the utterances for validation, if the data has no such split; whole speakers, if known."
    )
    test_size: float = option(0.1, "The same for the test split.")
    split_seed: int = option(0, "Seed of the speakers that are set aside.")
    max_train_samples: int | None = option(None, "Use at most this many training utterances.")
    max_eval_samples: int | None = option(None, "Use at most this many for validation.")
    max_predict_samples: int | None = option(None, "Use at most this many for the test.")

    sampling_rate: int = option(16000, "Samples a second that a new model hears.")
    max_seconds: float = option(20.0, "Leave out longer utterances.")
    text_normalization: str = option(
        "lower",
        "Of all texts: none, lower (lower case, one space between words), or words (also without punctuation other "
        "than apostrophes). Metrics compare the normalised texts.",
    )
    tokenizer_type: str = option("characters", "Tokens of a new model: characters or bpe.")
    vocabulary_size: int = option(300, "Tokens of bpe.")
    max_target_length: int = option(200, "Tokens of a text with its EOS; utterances with longer ones are left out.")
    join_clips: int = option(
        1,
        "Join up to this many utterances of a speaker to one, others in each epoch; validation and test then have "
        "each utterance alone and once in a joined string.",
    )
    join_pause: float = option(0.1, "Seconds of silence between joined ones, at most.")
    group_columns: list[str] | None = option(
        None,
        "Columns whose values get a word error rate each, such as gender; age<18 makes two groups of a column of "
        "numbers.",
    )

    speed_perturbation: float = option(
        0.0,
        "Play training utterances up to this share faster or slower, pitch included; 0.1 is usual.",
        **_AUGMENTATION,
    )
    frequency_warp: float = option(
        0.0, "Also shift their formants by up to this share: other vocal tracts.", **_AUGMENTATION
    )
    gain: float = option(0.0, "Change the loudness of joined utterances by up to this many dB.", **_AUGMENTATION)
    noise: float | None = option(
        None,
        "Add noise to half of the training utterances, this many dB or more below the speech.",
        **_AUGMENTATION,
    )
    frequency_masks: int = option(0, "Bands of up to a fifth of the mel bins to hide (SpecAugment).", **_AUGMENTATION)
    time_masks: int = option(0, "Spans of up to 0.12 s to hide in each second (SpecAugment).", **_AUGMENTATION)

    num_beams: int = option(5, "Beams of the final metrics and of the saved model.", **_GENERATION)
    ctc_weight: float = option(
        0.0, "Share of CTC's score beside the decoder's; the model needs ctc_loss_weight.", **_GENERATION
    )
    length_penalty: float = option(1.0, "Above 0, beam search prefers longer texts.", **_GENERATION)

    @property
    def columns(self) -> dict[str, str | None]:
        """The columns that are named."""
        return {name: getattr(self, name) for name in ("audio_column", "text_column", "speaker_column")}

    def __post_init__(self):
        if isinstance(self.group_columns, str):
            self.group_columns = [self.group_columns]
        self.check(LEAST, CHOICES)
        for name in SHARES:
            if getattr(self, name) >= 1:
                raise ValueError(f"{name}={getattr(self, name)} is a share: at least 0 and below 1")


__all__ = ["SpeechRecognitionArguments"]
