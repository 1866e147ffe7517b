"""Speech recognition: sound in, the text that is said out."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

from zoo.tasks.base import Report, TaskData

from ..text.generation import (
    IGNORED,
    GenerationTask,
    check_tokenizer,
    fields_of,
    mask_of,
    pad,
    shift_right,
)
from .arguments import SpeechRecognitionArguments
from .augment import Augmentation, join, random_numbers
from .dataset import Row, SpeechDataset
from .pipeline import SpeechRecognitionPipeline

if TYPE_CHECKING:
    from zoo.models.base import Family


class SpeechRecognitionTask(GenerationTask):
    """Speech recognition: the word error rate chooses the checkpoint."""

    name = "speech_recognition"
    auto_class = AutoModelForSpeechSeq2Seq
    auto_processor = AutoProcessor
    arguments_class = SpeechRecognitionArguments
    metric = "wer"
    greater_is_better = False
    opposite_metrics = ("sentence_accuracy",)
    pipelines = {"automatic-speech-recognition": SpeechRecognitionPipeline}
    pipeline_tag = "automatic-speech-recognition"
    config_fields = ("num_mel_bins", "max_source_positions", "max_target_positions")
    # A baseline that hears nothing has about 100% WER. Of read speech by unseen voices small nets get half right.
    skill = 0.7

    arguments: SpeechRecognitionArguments

    def make_feature_extractor(self, config: PreTrainedConfig) -> Any:
        """What the family of this config makes features with."""
        extractor_class: Any = FEATURE_EXTRACTOR_MAPPING[type(config)]
        return extractor_class(feature_size=config.num_mel_bins, sampling_rate=self.arguments.sampling_rate)

    def load_data(self, config: PreTrainedConfig, processor: Any = None) -> TaskData:
        """Read, check and split the utterances, and compute their features or find them in the cache.

        Raises:
            FileNotFoundError: The data is nowhere.
            ValueError: The data is damaged or does not fit the model.
        """
        from zoo.data.audio_checks import describe_characters, describe_problems, describe_rates, find_problems
        from zoo.data.audio_features import load_features
        from zoo.data.transcripts import train_tokenizer

        from .loading import complete, describe_groups, read

        arguments = self.arguments
        check_limits(config, arguments)
        splits, source, notes = read(arguments)
        splits = complete(splits, arguments)
        if processor is not None:
            extractor, tokenizer = processor.feature_extractor, processor.tokenizer
            check_tokenizer(config, tokenizer)
        elif "train" in splits:
            extractor = self.make_feature_extractor(config)
            tokenizer = train_tokenizer(splits["train"].texts, arguments.tokenizer_type, arguments.vocabulary_size)
        else:
            raise ValueError("a test split alone needs a trained model: its processor has the vocabulary")
        features = {name: load_features(split, extractor, arguments.max_seconds) for name, split in splits.items()}
        warnings = describe_rates(features.values(), extractor.sampling_rate)
        warnings += describe_groups(arguments.group_columns or (), splits.values())
        datasets: dict[str, SpeechDataset] = {}
        left_out: dict[str, int] = {}
        for name, split in splits.items():
            positions = (arguments.max_target_length, config.frames_per_position)
            problems = find_problems(split, features[name], tokenizer, *positions)
            warnings += describe_problems(name, split, problems)
            usable = np.flatnonzero([not problem for problem in problems])
            warnings += describe_characters(name, split.take(usable), tokenizer)
            left_out[name] = len(split) - len(usable)
            datasets[name] = SpeechDataset(
                features[name],
                split,
                tokenizer,
                usable,
                arguments.join_clips,
                training=name == "train",
                seed=arguments.split_seed,
                extra_epochs=arguments.extra_epochs,
            )
            longest = int(datasets[name].lengths.max() + 100 * arguments.join_pause * (arguments.join_clips - 1))
            if name != "train" and longest > config.max_source_positions:
                raise ValueError(
                    f"joined to {longest} frames, utterances of {name} are longer than max_source_positions="
                    f"{config.max_source_positions} of the model"
                )
        frames = {name: part.features.lengths[part.utterances].sum() for name, part in datasets.items()}
        if arguments.extra_train_dir is not None and "train" in datasets:
            frames["extra_train"] = datasets["train"].features.lengths[datasets["train"].extra].sum()
        return TaskData(
            train=datasets.get("train"),
            validation=datasets.get("validation"),
            test=datasets.get("test"),
            model_fields=fields_of(tokenizer),
            fingerprint={name: split.fingerprint() for name, split in splits.items()},
            source=source,
            notes={
                **notes,
                # Frames of 10 ms.
                "hours": {name: round(float(count) / 360_000, 3) for name, count in frames.items()},
                "speakers": {name: len(part.by_speaker) for name, part in datasets.items() if part.speakers},
                "left_out": left_out,
                "text_normalization": arguments.text_normalization,
            },
            processor=tokenizer,
            warnings=warnings,
        )

    def make_processor(self, family: "Family", config: PreTrainedConfig, data: TaskData) -> Any:
        """Feature extractor and tokenizer in one."""
        return family.processor_class(self.make_feature_extractor(config), data.processor)

    def attach(self, model: PreTrainedModel, processor: Any) -> None:
        """Keep the processor, prepare augmentation, and write the generation settings into the model."""
        super().attach(model, processor)
        arguments = self.arguments
        if hasattr(model.config, "ctc_decoding_weight"):
            model.config.ctc_decoding_weight = arguments.ctc_weight
        self.augmentation = Augmentation(
            arguments.speed_perturbation,
            arguments.frequency_warp,
            arguments.gain,
            arguments.noise,
            arguments.frequency_masks,
            arguments.time_masks,
            processor.feature_extractor.sampling_rate,
        )

    def prepare(self, row: Row) -> Tensor:
        """The spectrogram `(frames, bins)` of one row: joined, augmented in training, normalised."""
        extractor, augmentation, clips = self.processor.feature_extractor, self.augmentation, row.clips
        random = random_numbers(self.seed if row.training else 0, *row.key)
        if row.training and len(clips) > 1:
            clips = [augmentation.loudness(clip, random) for clip in clips]
        features = join(clips, random, round(100 * self.arguments.join_pause))
        if row.training:
            features = augmentation.change(features, random)[: self.config.max_source_positions]
        features = extractor.normalize(features)
        return torch.from_numpy(augmentation.mask(features, random) if row.training else features)

    def collate(self, rows: Sequence[Row]) -> dict[str, Tensor]:
        """Rows of a `SpeechDataset` -> padded spectrograms, their mask, labels and what the decoder reads."""
        features = [self.prepare(row) for row in rows]
        labels = pad(self.processor.tokenizer([row.text for row in rows])["input_ids"], IGNORED)
        return {
            "input_features": pad_sequence(features, batch_first=True),
            "attention_mask": mask_of([len(part) for part in features]),
            "decoder_input_ids": shift_right(labels, self.config.pad_token_id, self.config.decoder_start_token_id),
            "labels": labels,
        }

    def text_metrics(self, predictions: Sequence[str], dataset: Any, intervals: bool = False) -> dict[str, float]:
        """WER, CER and sentence accuracy in percent."""
        from .metrics import speech_metrics

        groups = dataset.groups(self.arguments.group_columns or ()) if intervals else {}
        return speech_metrics(dataset.texts, predictions, groups, intervals)

    def parent_view(self, dataset: Dataset, processor: Any) -> Dataset:
        """The same rows: a run on a few recordings of one's own may make a recognizer worse."""
        return dataset

    def baselines(self, train: Dataset, dataset: Dataset) -> dict[str, dict[str, float]]:
        """Always the most frequent text of the training data."""
        from .metrics import speech_metrics

        assert isinstance(train, SpeechDataset) and isinstance(dataset, SpeechDataset)
        [(text, _)] = Counter(train.split.texts[row] for row in train.utterances).most_common(1)
        return {"most_frequent_text": speech_metrics(dataset.texts, [text] * len(dataset), with_intervals=True)}

    def text_report(self, metrics: Mapping[str, float], texts: Sequence[str], rows: Any, folder: Path) -> Report:
        """Errors by length, speaker and word, and the best, median and worst utterances."""
        from .report import text_report

        return text_report(metrics, texts, rows, folder)

    def attention_report(self, model: PreTrainedModel, rows: Any, folder: Path) -> Report:
        """Attention under the spectrogram of an utterance."""
        from .report import attention_report

        return attention_report(model, self.collate([rows[rows.middle]]), rows.tokenizer, folder)


def check_limits(config: PreTrainedConfig, arguments: SpeechRecognitionArguments) -> None:
    """Raise a ValueError if the model reads less sound, or writes less text, than the arguments let through."""
    if arguments.max_seconds * 100 > config.max_source_positions:
        raise ValueError(
            f"max_seconds={arguments.max_seconds:g} is longer than max_source_positions="
            f"{config.max_source_positions} frames of 10 ms that the model reads"
        )
    if arguments.max_target_length > config.max_target_positions:
        raise ValueError(
            f"max_target_length={arguments.max_target_length} is more than max_target_positions="
            f"{config.max_target_positions} of the model"
        )


TASK = SpeechRecognitionTask

__all__ = ["TASK", "SpeechRecognitionTask"]
