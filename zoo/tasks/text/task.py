"""TextTask: what translation and summarization share."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import Tensor
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from zoo.tasks.base import Report, TaskData

from .arguments import TextArguments
from .dataset import TextDataset, collate
from .generation import GenerationTask, check_tokenizer, fields_of
from .splits import DROPPED, Corpus, NamedSplits, read_corpus, read_splits, take

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText


class TextTask(GenerationTask):
    """A model reads a text and generates another one.

    A subclass names its data sets (`read_named`), its metrics (`text_metrics`), baselines and report. One that trains
    on several kinds of pairs returns more than one corpus from `read_corpora`.
    """

    auto_class = AutoModelForSeq2SeqLM
    auto_processor = AutoTokenizer
    best_value = 100.0
    config_fields: ClassVar[tuple[str, ...]] = ("vocab_size", "max_position_embeddings")
    arguments: TextArguments

    # Data

    def read_named(self, arguments: TextArguments) -> NamedSplits | None:
        """The splits of a data set that the task knows by name, and notes; None for another name."""
        return None

    def read_corpora(self, splits: "Mapping[str, ParallelText]") -> list[Corpus]:
        """The corpora of a run, the one that metrics under plain names are of first."""
        return [read_corpus(self.arguments, splits, self.read_named)]

    def make_tokenizer(
        self,
        config: PreTrainedConfig,
        processor: PreTrainedTokenizerFast | None,
        corpora: Sequence[Corpus],
        train: "ParallelText",
    ) -> tuple[PreTrainedTokenizerFast, dict[str, Any], list[str]]:
        """The tokenizer of a run, notes for the record and warnings.

        It is trained on the texts of all corpora (`train`), or is that of the weights that the run starts from.

        Raises:
            ValueError: The texts are too few for the vocabulary, or weights and tokenizer do not belong together.
        """
        if processor is not None:
            check_tokenizer(config, processor)
            return processor, {}, []
        return self.train_tokenizer(config.vocab_size, train), {}, []

    def train_tokenizer(
        self, vocab_size: int, train: "ParallelText", languages: Sequence[str] = ()
    ) -> PreTrainedTokenizerFast:
        """A new tokenizer for the texts of both sides."""
        from zoo.data.tokenizer import train_tokenizer

        arguments = self.arguments
        tokenizer = train_tokenizer(
            [*train.source, *train.target],
            vocab_size=vocab_size,
            model_type=arguments.tokenizer_type,
            byte_fallback=arguments.byte_fallback,
            languages=languages,
            special_tokens=arguments.special_tokens or (),
        )
        tokenizer.model_max_length = arguments.max_source_length  # a pipeline splits what is longer
        return tokenizer

    def make_rows(
        self, texts: "Sequence[ParallelText | None]", tokenizer: PreTrainedTokenizerFast, training: bool = False
    ) -> TextDataset | None:
        """The rows of a split, from the pairs of each corpus; None for a corpus without the split."""
        from zoo.data.parallel_text import concatenate

        present = {number: text for number, text in enumerate(texts) if text}
        if not present:
            return None
        resample = None
        if training and self.arguments.tokenizer_sampling:
            from zoo.data.tokenizer_sampling import SubwordSampler

            resample = SubwordSampler(tokenizer, self.arguments.tokenizer_sampling, self.seed)
        return self.make_dataset(
            concatenate(list(present.values())),
            np.repeat(list(present), [len(text) for text in present.values()]),
            tokenizer=tokenizer,
            limits=(self.arguments.max_source_length, self.arguments.max_target_length),
            training=training,
            resample=resample,
        )

    def make_dataset(self, pairs: "ParallelText", corpus: np.ndarray, **options: Any) -> TextDataset:
        """The rows of a split; `corpus` (`np.ndarray` of shape `(rows,)`) is the number of each row's corpus."""
        return TextDataset(pairs.source, pairs.target, **options)

    def load_data(self, config: PreTrainedConfig, processor: PreTrainedTokenizerFast | None = None) -> TaskData:
        """Read, clean and tokenize the pairs of a run; see `Task.load_data`.

        Training pairs are cleaned, and those that are in validation or test too are dropped; validation and test stay
        as they are.
        """
        from zoo.data.parallel_text import concatenate

        arguments = self.arguments
        check_positions(config, arguments)
        texts, notes = read_splits(arguments, self.read_named)
        if "train" not in texts:  # an own test split of a saved model
            if processor is None:
                raise ValueError("--validation_file and --test_file need --train_file")
            return TaskData(
                train=None,
                validation=None,
                test=self.make_rows([take(texts["test"], arguments.max_predict_samples)], processor),
                model_fields=fields_of(processor),
                fingerprint={"test": texts["test"].fingerprint()},
                source=texts["test"].origin,
                notes=notes,
                processor=processor,
            )
        corpora = self.read_corpora(texts)
        texts["train"] = concatenate([corpus.train for corpus in corpora])
        tokenizer, tokenizer_notes, warnings = self.make_tokenizer(config, processor, corpora, texts["train"])
        train: Any = self.make_rows([corpus.train for corpus in corpora], tokenizer, training=True)
        train.own = corpora[0].own
        if arguments.over_long == "drop" and train.is_long.any():
            train = self.drop_long(train, corpora)
        splits = {"train": train}
        for split, limit in (("validation", arguments.max_eval_samples), ("test", arguments.max_predict_samples)):
            parts = [corpus.splits.get(split) for corpus in corpora]
            rows = self.make_rows([part and take(part, limit) for part in parts], tokenizer)
            if rows is not None:
                splits[split] = rows
        notes |= {**corpora[0].notes, **tokenizer_notes}
        truncated = {split: int(rows.is_long.sum()) for split, rows in splits.items() if rows.is_long.any()}
        if truncated:
            notes["truncated"] = truncated
        notes["tokens_per_text"] = [round(int(count) / len(train), 2) for count in train.lengths.sum(axis=0)]
        return TaskData(
            train=splits["train"],
            validation=splits.get("validation"),
            test=splits.get("test"),
            model_fields=fields_of(tokenizer),
            fingerprint={split: pairs.fingerprint() for split, pairs in texts.items()},
            source=texts["train"].origin,
            notes=notes,
            processor=tokenizer,
            warnings=[*(warning for corpus in corpora for warning in corpus.warnings), *warnings],
        )

    def drop_long(self, rows: TextDataset, corpora: Sequence[Corpus]) -> TextDataset:
        """Training rows without those that have more tokens than the limits; each corpus counts its own.

        Raises:
            ValueError: Every row of a corpus is too long.
        """
        arguments, is_long = self.arguments, rows.is_long
        limits = f"max_source_length={arguments.max_source_length} or max_target_length={arguments.max_target_length}"
        ends = np.cumsum([len(corpus.train) for corpus in corpora])
        for corpus, long in zip(corpora, np.split(is_long, ends)):
            origin, share = corpus.train.origin, long.mean() if len(long) else 0
            if share == 1:
                raise ValueError(f"{origin}: every pair has more than {limits} tokens")
            if share >= DROPPED:
                corpus.warnings.append(
                    f"warning: {origin}: {share:.0%} of {len(long):,} training pairs were dropped, which have more "
                    f"than {limits} tokens"
                )
            corpus.count_long(long)
        return rows.select(np.flatnonzero(~is_long), rows.resample)

    def collate(self, rows: Any) -> dict[str, Tensor]:
        """Rows of a data set as arguments of the model's forward."""
        return collate(rows, self.processor.pad_token_id, self.config.decoder_start_token_id)

    def attention_report(self, model: PreTrainedModel, rows: TextDataset, folder: Path) -> Report:
        """Attention maps of some texts."""
        from .report import attention_report

        return attention_report(model, self.processor, rows, folder)


def check_positions(config: PreTrainedConfig, arguments: TextArguments) -> None:
    """Raise a ValueError if the limits are above the positions that the model has."""
    most = getattr(config, "max_position_embeddings", None)
    for name in ("max_source_length", "max_target_length"):
        # The decoder also reads BOS, but not EOS.
        if most is not None and getattr(arguments, name) > most:
            raise ValueError(f"{name}={getattr(arguments, name)} is above the model's max_position_embeddings={most}")


__all__ = ["TextTask"]
