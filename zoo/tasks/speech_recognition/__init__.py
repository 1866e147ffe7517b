"""Speech recognition: sound in, the text that is said out."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import AutoModelForSpeechSeq2Seq, AutoProcessor, PreTrainedConfig, PreTrainedModel
from transformers.models.auto.feature_extraction_auto import FEATURE_EXTRACTOR_MAPPING

from zoo.tasks.base import Report, Task, TaskData

from .arguments import SpeechRecognitionArguments
from .augment import Augmentation, join, random_numbers
from .dataset import SpeechDataset
from .pipeline import SpeechRecognitionPipeline

if TYPE_CHECKING:
    from zoo.models.base import Family
    from zoo.training.arguments import ZooTrainingArguments
    from zoo.training.trainer import Prediction, ZooTrainer

IGNORED = -100
GROUP = re.compile(r"(\w+)<([\d.]+)")


class SpeechRecognitionTask(Task):
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
    gap = 0.1

    arguments: SpeechRecognitionArguments

    @classmethod
    def training_arguments_class(cls) -> "type[ZooTrainingArguments]":
        """Arguments with generation."""
        from zoo.training.arguments import ZooSeq2SeqTrainingArguments

        return ZooSeq2SeqTrainingArguments

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
        from .loading import complete, describe_problems, describe_rates, find_problems, load_features, read
        from .texts import train_tokenizer

        arguments = self.arguments
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
        splits, source, notes = read(arguments)
        splits = complete(splits, arguments)
        extractor = self.make_feature_extractor(config) if processor is None else processor.feature_extractor
        if processor is not None:
            tokenizer = processor.tokenizer
        elif "train" in splits:
            tokenizer = train_tokenizer(splits["train"].texts, arguments.tokenizer_type, arguments.vocabulary_size)
        else:
            raise ValueError("a test split alone needs a trained model: its processor has the vocabulary")
        features = {name: load_features(split, extractor, arguments.max_seconds) for name, split in splits.items()}
        datasets: dict[str, SpeechDataset] = {}
        warnings = describe_rates(features, extractor.sampling_rate)
        left_out = {}
        for name, split in splits.items():
            problems = find_problems(
                split, features[name], tokenizer, arguments.max_target_length, config.frames_per_position
            )
            warnings += describe_problems(name, split, problems)
            rows = np.flatnonzero([not problem for problem in problems])
            own = len(split) - split.extra
            left_out[name] = len(split) - len(rows)
            datasets[name] = SpeechDataset(
                features[name],
                split,
                rows[rows < own],
                arguments.join_clips,
                training=name == "train",
                seed=arguments.split_seed,
                extra=rows[rows >= own],
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
        speakers = {name: len(part.by_speaker) for name, part in datasets.items() if part.split.speakers is not None}
        return TaskData(
            train=datasets.get("train"),
            validation=datasets.get("validation"),
            test=datasets.get("test"),
            model_fields={
                "vocab_size": len(tokenizer),
                "pad_token_id": tokenizer.pad_token_id,
                "bos_token_id": tokenizer.bos_token_id,
                "eos_token_id": tokenizer.eos_token_id,
            },
            fingerprint={name: split.fingerprint() for name, split in splits.items()},
            source=source,
            notes={
                **notes,
                "hours": {name: round(float(count) / 360_000, 3) for name, count in frames.items()},
                "speakers": speakers,
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
        arguments, tokenizer = self.arguments, processor.tokenizer
        self.augmentation = Augmentation(
            arguments.speed_perturbation,
            arguments.frequency_warp,
            arguments.gain,
            arguments.noise,
            arguments.frequency_masks,
            arguments.time_masks,
            processor.feature_extractor.sampling_rate,
        )
        settings: dict[str, Any] = {"num_beams": arguments.num_beams, "length_penalty": arguments.length_penalty}
        if arguments.num_beams == 1:  # transformers saves no beam settings without beams
            settings["length_penalty"] = None
        if hasattr(model.config, "ctc_decoding_weight"):
            model.config.ctc_decoding_weight = arguments.ctc_weight
        model.generation_config.update(  # type: ignore[union-attr]
            **settings,
            max_length=arguments.max_target_length + 1,  # the token that starts the decoder counts
            decoder_start_token_id=model.config.decoder_start_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )

    def prepare(self, row: dict[str, Any]) -> np.ndarray:
        """The spectrogram of one row: joined, augmented in training, normalised."""
        extractor, augmentation = self.processor.feature_extractor, self.augmentation
        training, clips = row["training"], row["clips"]
        random = random_numbers(self.seed if training else 0, *row["key"])
        if training and len(clips) > 1:
            clips = [augmentation.loudness(clip, random) for clip in clips]
        features = join(clips, random, round(100 * self.arguments.join_pause))
        if not training:
            return extractor.normalize(features)
        features = augmentation.change(features, random)[: self.config.max_source_positions]
        return augmentation.mask(extractor.normalize(features), random)

    def collate(self, rows: list[dict[str, Any]]) -> dict[str, Tensor]:
        """Rows of a `SpeechDataset` -> padded spectrograms, their mask, labels and what the decoder reads."""
        features = [self.prepare(row) for row in rows]
        longest = max(map(len, features))
        padded = np.zeros((len(rows), longest, features[0].shape[1]), np.float32)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for place, part in enumerate(features):
            padded[place, : len(part)] = part
            mask[place, : len(part)] = 1
        tokens = self.processor.tokenizer([row["text"] for row in rows], padding=True, return_tensors="pt")
        labels = tokens["input_ids"].masked_fill(tokens["attention_mask"] == 0, IGNORED)
        start = torch.full_like(labels[:, :1], self.config.decoder_start_token_id)
        return {
            "input_features": torch.from_numpy(padded),
            "attention_mask": mask,
            "decoder_input_ids": torch.cat([start, tokens["input_ids"][:, :-1]], dim=1),
            "labels": labels,
        }

    def make_trainer(self, **kwargs: Any) -> "ZooTrainer":
        """The Trainer that generates."""
        from zoo.training.trainer import ZooSeq2SeqTrainer

        return ZooSeq2SeqTrainer(data_collator=self.collate, compute_metrics=self.evaluate, **kwargs)

    def views(self, dataset: Dataset) -> list[Dataset]:
        """The rows that are measured; training data without augmentation."""
        assert isinstance(dataset, SpeechDataset)
        return [dataset.measured]

    def decode(self, tokens: np.ndarray) -> list[str]:
        """Generated tokens, padded with -100, as texts."""
        tokenizer = self.processor.tokenizer
        tokens = np.where(tokens == IGNORED, tokenizer.pad_token_id, tokens)
        return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]

    def groups(self, dataset: SpeechDataset) -> dict[str, np.ndarray]:
        """Name -> mask of the rows of each group: alone and joined, and those of `group_columns`.

        Raises:
            ValueError: A column is missing.
        """
        found: dict[str, np.ndarray] = {}
        if self.arguments.join_clips > 1:
            single = np.array([len(string) == 1 for string in dataset.strings])
            found |= {"single": single, "joined": ~single}
        for text in self.arguments.group_columns or ():
            match = GROUP.fullmatch(text)
            column = match[1] if match else text
            if column not in dataset.split.columns:
                known = ", ".join(dataset.split.columns) or "no further columns"
                raise ValueError(f"group_columns={text}: the data has {known}")
            values = [dataset.split.columns[column][string[0]] for string in dataset.strings]
            if match:
                below = np.array([float(value) < float(match[2]) for value in values])
                found |= {f"{column}_below_{match[2]}": below, f"{column}_from_{match[2]}": ~below}
            else:
                found |= {
                    f"{column}_{value}": np.array([v == value for v in values])
                    for value in sorted(set(values), key=str)
                }
        return found

    def evaluate(self, prediction: "Prediction", intervals: bool = False) -> dict[str, Any]:
        """WER, CER and sentence accuracy in percent, and the perplexity of a token of the truth."""
        from .metrics import speech_metrics

        dataset = prediction.dataset
        assert isinstance(dataset, SpeechDataset)
        metrics: dict[str, Any] = {}
        if prediction.predictions is not None:
            groups = self.groups(dataset) if intervals else None
            metrics = speech_metrics(dataset.texts, self.decode(prediction.predictions), groups, intervals)
        if prediction.losses is not None:
            tokens = max(int((prediction.label_ids != IGNORED).sum()), 1)
            metrics["perplexity"] = float(np.exp(prediction.losses.sum(dtype=np.float64) / tokens))
        return metrics

    def baselines(self, train: Dataset, dataset: Dataset) -> dict[str, dict[str, float]]:
        """Always the most frequent text of the training data."""
        from .metrics import speech_metrics

        assert isinstance(train, SpeechDataset) and isinstance(dataset, SpeechDataset)
        [(text, _)] = Counter(train.split.texts[row] for row in train.utterances).most_common(1)
        return {"most_frequent_text": speech_metrics(dataset.texts, [text] * len(dataset), with_intervals=True)}

    def report(self, prediction: "Prediction", model: PreTrainedModel, folder: Path) -> Report:
        """Best, median and worst utterances, WER by length and speaker, attention under a spectrogram."""
        from .report import report

        assert isinstance(prediction.dataset, SpeechDataset)
        return report(self, prediction.dataset, self.decode(prediction.predictions), model, folder)


TASK = SpeechRecognitionTask

__all__ = ["TASK", "SpeechRecognitionTask"]
