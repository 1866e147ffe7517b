"""TranslationTask: its data, BLEU and chrF, baselines and report, and what continued translation adds."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from zoo.tasks.base import Parent, Report, TaskData

from ..text.arguments import TextArguments
from ..text.dataset import TextDataset
from ..text.pipeline import TranslationPipeline
from ..text.splits import Corpus, NamedSplits, read_corpus
from ..text.task import TextTask
from .arguments import TranslationArguments
from .dataset import Direction, TranslationDataset

if TYPE_CHECKING:
    from zoo.data.parallel_text import ParallelText
    from zoo.record import RunRecord
    from zoo.training.trainer import Prediction, ZooTrainer

    from .new_pair.replay import ReplayCorpus
    from .new_pair.teacher import Teacher
    from .new_pair.vocabulary import RowOrigins

# The metrics that training looks at.
QUICK = ("bleu", "chrf")


@dataclass
class TranslationData(TaskData):
    """The data of a translator.

    Args:
        origins: Where the rows of a changed vocabulary come from.
    """

    origins: "RowOrigins | None" = None


class TranslationTask(TextTask):
    """A text in one language in, the text in another out."""

    name = "translation"
    arguments_class = TranslationArguments
    metric = "bleu"
    pipelines = {"translation": TranslationPipeline}
    # Nobody reaches more than half of 100 BLEU against one reference. Well regularised nets on Multi30k have a gap of
    # 5 or 6, nets that could do with more dropout one of 12 and more (docs/experiments/log.md).
    skill = 0.2
    study_sections = ("by_pairs",)
    arguments: TranslationArguments

    def __init__(self, arguments: TranslationArguments, seed: int = 0, fixed_fields: Collection[str] | None = None):
        super().__init__(arguments, seed, fixed_fields)
        self.teacher: Teacher | None = None
        self.replay: list[ReplayCorpus] = []
        self.first_replayed = 0  # number of the first row to replay
        self.origins: RowOrigins | None = None

    # Data

    def read_named(self, arguments: TextArguments) -> NamedSplits | None:
        """A parallel corpus that the library knows."""
        from zoo.data.named_pairs import NAMED_PAIRS, load_named_pairs

        name = arguments.dataset_name or ""
        if name not in NAMED_PAIRS:
            return None
        source, target = arguments.languages
        if not source or not target:
            raise ValueError(f"{name}: say which languages, e.g. --source_lang en --target_lang de")
        named = NAMED_PAIRS[name]
        splits = load_named_pairs(name, source, target, arguments.data_dir)
        return splits, {"licence": named.licence, "homepage": named.homepage}

    def read_corpora(self, splits: "Mapping[str, ParallelText]") -> list[Corpus]:
        """The new language pair, and the old ones to replay."""
        from .new_pair.replay import measured_reversed, read_old_pairs, replay_corpora

        old = read_old_pairs(self.arguments, self.read_named)
        source, target = self.arguments.languages
        held_out = measured_reversed(source or "", target or "", old)
        new = read_corpus(self.arguments, splits, self.read_named, held_out)
        self.replay, self.first_replayed = replay_corpora(self.arguments, old, splits, len(new.train)), len(new.train)
        if self.replay:
            new.notes["kept_pairs"] = [corpus.notes for corpus in self.replay]
        return [new, *self.replay]

    def make_tokenizer(
        self,
        config: PreTrainedConfig,
        processor: PreTrainedTokenizerFast | None,
        corpora: Sequence[Corpus],
        train: "ParallelText",
    ) -> tuple[PreTrainedTokenizerFast, dict[str, Any], list[str]]:
        """The tokenizer of a run, with language tags where it needs them."""
        from zoo.data.tokenizer import language_ids

        arguments = self.arguments
        notes: dict[str, Any] = {}
        lines: list[str] = []
        has_tags = bool(self.replay) or arguments.language_tags or bool(processor and language_ids(processor))
        targets = [arguments.target_lang, *(corpus.pair.target for corpus in self.replay)]
        languages = list(dict.fromkeys(filter(None, targets))) if has_tags else []
        if processor is None:
            tokenizer = self.train_tokenizer(config.vocab_size, train, languages)
        else:
            from .new_pair.tokenizer import adapt_tokenizer

            super().make_tokenizer(config, processor, corpora, train)  # checks it
            if arguments.vocabulary != "replace":
                train = corpora[0].train.select(range(corpora[0].own // arguments.repeat_train))
            known = [text for corpus in self.replay for text in corpus.rounds]
            tokenizer, self.origins, notes["vocabulary"], lines = adapt_tokenizer(
                arguments, processor, train, languages, known
            )
        if has_tags:
            notes["tags"] = list(language_ids(tokenizer))
        return tokenizer, notes, lines

    def make_dataset(self, pairs: "ParallelText", corpus: np.ndarray, **options: Any) -> TranslationDataset:
        """Rows with their directions: corpus 0 is the new language pair, the others are those to replay."""
        from .new_pair.replay import ReplayDataset

        languages = [self.arguments.languages, *((old.pair.source, old.pair.target) for old in self.replay)]
        dataset_class = ReplayDataset if options["training"] and self.replay else TranslationDataset
        return dataset_class(
            pairs.source,
            pairs.target,
            directions=[Direction.of(source, target, options["tokenizer"]) for source, target in languages],
            direction=corpus,
            **options,
        )

    def load_data(self, config: PreTrainedConfig, processor: PreTrainedTokenizerFast | None = None) -> TaskData:
        """Read, clean and tokenize the pairs of a run; those to replay come last in every split."""
        from zoo.data.tokenizer import language_ids

        tags = language_ids(processor) if processor is not None else {}
        if tags and not self.arguments.target_lang:
            raise ValueError(
                f"the model has tags of target languages ({', '.join(tags)}): say which one the targets are in, or "
                "name a new one, with --target_lang"
            )
        self.replay, self.origins = [], None
        data = super().load_data(config, processor)
        if self.replay:
            train: Any = data.train
            train.add_rounds(self.replay, first=self.first_replayed)
        source, target = self.arguments.languages
        notes = {**data.notes, "source_lang": source, "target_lang": target}
        return TranslationData(**{**vars(data), "notes": notes}, origins=self.origins)

    def parent_view(self, dataset: Any, processor: PreTrainedTokenizerFast) -> TranslationDataset | None:
        """The rows as the parent reads them, if old language pairs are replayed."""
        return dataset.with_tokenizer(processor) if len(dataset.directions) > 1 else None

    # Model and Trainer

    def make_model(
        self, model_class: type[PreTrainedModel], config: PreTrainedConfig, data: TaskData, parent: Parent | None
    ) -> PreTrainedModel:
        """A new model, or the parent's weights, moved to a changed vocabulary."""
        origins = getattr(data, "origins", None)
        if parent is None or origins is None:
            return super().make_model(model_class, config, data, parent)
        from .new_pair.transplant import transplant

        model = model_class(config)
        transplant(parent.load_model(model_class), model, origins, self.seed)
        return model

    def before_training(self, model: PreTrainedModel, data: TaskData, parent: Parent | None) -> list[str]:
        """Check the pairs against the parent, and let it teach what is replayed."""
        from .new_pair.checks import check_pairs
        from .new_pair.teacher import make_teacher

        train: Any = data.train
        warnings = [] if parent is None else check_pairs(parent, type(model), train)
        self.teacher, lines = make_teacher(self.arguments, parent, type(model), train)
        return [*warnings, *lines]

    def trainable_rows(self, model: PreTrainedModel, data: TaskData) -> Mapping[str, Sequence[int]]:
        """The rows of new tokens in embeddings and output layers."""
        origins = getattr(data, "origins", None)
        if origins is None:
            return {}
        from .new_pair.transplant import vocabulary_tensors

        return dict.fromkeys(vocabulary_tensors(model), origins.fresh)

    def make_trainer(self, **kwargs: Any) -> "ZooTrainer":
        """A Trainer that generates; with replay one that learns from the parent.

        Raises:
            ValueError: There are other teachers beside the parent, or `r_drop_alpha` is set.
        """
        if self.teacher is None:
            return super().make_trainer(**kwargs)
        if kwargs.get("distillation") is not None:
            raise ValueError(
                "teachers: with keep_pair a run learns from its parent; use --keep_targets truth to have teachers, too"
            )
        if kwargs["args"].r_drop_alpha:
            raise ValueError(
                "r_drop_alpha: with keep_pair a run learns from its parent; add --keep_targets truth for R-Drop"
            )
        from .new_pair.teacher import ReplayTrainer

        return ReplayTrainer(teacher=self.teacher, data_collator=self.collate, compute_metrics=self.evaluate, **kwargs)

    # Metrics

    def text_metrics(
        self, predictions: Sequence[str], dataset: TextDataset, intervals: bool = False
    ) -> dict[str, float]:
        """BLEU and chrF; with intervals every metric of the record."""
        from .metrics import translation_metrics

        if intervals:
            return translation_metrics(predictions, dataset.targets, language_of(dataset), intervals=True)
        metrics = translation_metrics(predictions, dataset.targets, language_of(dataset), names=QUICK)
        return {name: metrics[name] for name in QUICK}

    def evaluate(self, prediction: "Prediction", intervals: bool = False) -> dict[str, float]:
        """The metrics of each direction: plain names for the first, such as bleu_en-de for the others."""
        metrics: dict[str, float] = {}
        for number, part in directions_of(prediction).items():
            name = part.dataset.directions[number].name  # type: ignore[attr-defined]
            values = super().evaluate(part, intervals)
            metrics |= values if number == 0 else {f"{metric}_{name}": value for metric, value in values.items()}
        return metrics

    def compared_metrics(self, metrics: Mapping[str, float]) -> list[str]:
        """The metric of every direction: bleu, bleu_en-pt_BR, but not bleu_low."""
        # Every direction has one chrF, and no other metric begins with its name.
        return [name.replace("chrf", self.metric) for name in metrics if name.startswith("chrf")]

    def baselines(self, train: Any, dataset: Any) -> dict[str, dict[str, float]]:
        """The source itself, the translation of the nearest training source, and the frequencies of target tokens."""
        from ..text.baselines import nearest_targets, token_frequencies
        from .metrics import translation_metrics

        train, dataset = (rows.select(rows.rows_of(0)) for rows in (train, dataset))
        texts = {"copy_source": list(dataset.sources), "nearest_neighbour": nearest_targets(train, dataset)}
        language = language_of(dataset)
        metrics = {name: translation_metrics(lines, dataset.targets, language) for name, lines in texts.items()}
        return {**metrics, "token_frequencies": token_frequencies(train, dataset)}

    def report(self, prediction: "Prediction", model: PreTrainedModel, folder: Path) -> Report:
        """Tables and plots of the first direction, and attention maps."""
        return super().report(directions_of(prediction).get(0, prediction), model, folder)

    def text_report(
        self, metrics: Mapping[str, float], texts: Sequence[str], rows: TextDataset, folder: Path
    ) -> Report:
        """BLEU by length of the source, and the best and the worst sentences."""
        from ..text.report import by_length, draw_by_length, sample_rows
        from .metrics import TOKENIZERS, bleu_of, sentence_chrf, sentence_counts, signatures

        language = language_of(rows)
        tokens = TOKENIZERS.get(language, "13a")
        counts = sentence_counts("bleu", texts, rows.targets, language)
        lengths = by_length(rows.sources, "bleu", lambda chosen: bleu_of(counts[chosen].sum(0)))
        plot = folder / "bleu_by_length.png"
        draw_by_length(lengths, "bleu", "BLEU", metrics["bleu"], plot)
        samples = sample_rows(sentence_chrf(texts, rows.targets), "chrf", texts, rows)
        interval = f"({metrics['bleu_low']:.2f} to {metrics['bleu_high']:.2f})"
        lines = [
            f"{metrics['n']:,} sentences",
            f"{f'BLEU (cased, {tokens})':33} {metrics['bleu']:.2f}  {interval}",
            f"{f'BLEU (lower case, {tokens})':33} {metrics['bleu_13a_lowercase']:.2f}",
            f"BLEU (lower case, Moses tokens)   {metrics['bleu_moses_lowercase']:.2f}",
            f"chrF                              {metrics['chrf']:.2f}",
            f"perplexity of a target token      {metrics['perplexity']:.3f}",
        ]
        tables = {"signatures": signatures(language), "by_length": lengths, "samples": samples}
        return Report("\n".join(lines), tables, {"bleu_by_length": plot})

    @classmethod
    def study_section(
        cls, name: str, results: "Sequence[tuple[RunRecord, float]]", metric: str, split: str, plot: Path
    ) -> str:
        """The part of a study's page that compares children with models from scratch by their number of pairs."""
        from .new_pair.by_pairs import by_pairs

        return by_pairs(results, metric, split, plot)


def language_of(rows: Any) -> str:
    """Language of the targets of rows of one direction; two letters."""
    direction = rows.directions[rows.direction[0] if len(rows) else 0]
    return (direction.target or "en")[:2]


def directions_of(prediction: "Prediction") -> "dict[int, Prediction]":
    """The predictions of each direction that has rows."""
    dataset: Any = prediction.dataset
    parts = {number: dataset.rows_of(number) for number in range(len(dataset.directions))}
    parts = {number: rows for number, rows in parts.items() if len(rows)}
    if len(parts) == 1:
        return dict.fromkeys(parts, prediction)
    return {
        number: replace(
            prediction,
            predictions=None if prediction.predictions is None else prediction.predictions[rows],
            label_ids=prediction.label_ids[rows],
            losses=None if prediction.losses is None else prediction.losses[rows],
            dataset=dataset.select(rows),
        )
        for number, rows in parts.items()
    }


__all__ = ["TranslationTask"]
