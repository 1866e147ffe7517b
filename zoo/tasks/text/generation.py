"""GenerationTask: what all tasks share whose models generate a text, from a text or from sound."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from zoo.tasks.base import Report, Task

if TYPE_CHECKING:
    from zoo.training.arguments import ZooTrainingArguments
    from zoo.training.trainer import Prediction, ZooTrainer

IGNORED = -100


def spread(rows: int, limit: int) -> np.ndarray:
    """Numbers of at most `limit` of so many rows, evenly spread."""
    return np.linspace(0, rows - 1, min(limit, rows)).astype(np.int64)


def pad(texts: Sequence[Sequence[int] | np.ndarray], value: int) -> torch.Tensor:
    """Ids padded on the right, of shape `(rows, longest)`."""
    padded = np.full((len(texts), max(len(text) for text in texts)), value, np.int64)
    for row, text in enumerate(texts):
        padded[row, : len(text)] = text
    return torch.from_numpy(padded)


def mask_of(lengths: Sequence[int]) -> torch.Tensor:
    """1 on what is no padding, of shape `(rows, longest)`."""
    counts = torch.tensor(lengths)
    return (torch.arange(int(counts.max())) < counts[:, None]).long()


def shift_right(labels: torch.Tensor, pad_token_id: int, decoder_start_token_id: int) -> torch.Tensor:
    """What the decoder reads to predict labels of shape `(rows, length)`, as in Bart and Marian.

    With label smoothing the Trainer takes the labels away from the model, which could not shift them itself.
    """
    shifted = labels.masked_fill(labels == IGNORED, pad_token_id).roll(1, dims=1)
    shifted[:, 0] = decoder_start_token_id
    return shifted


def decode(tokens: np.ndarray, tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Generated tokens of shape `(rows, length)`, padded with -100 or PAD, as texts."""
    tokens = np.where(tokens == IGNORED, tokenizer.pad_token_id, tokens)
    return [text.strip() for text in tokenizer.batch_decode(tokens, skip_special_tokens=True)]


def perplexity(losses: np.ndarray, label_ids: np.ndarray) -> float:
    """Exponential of the mean loss of a target token, EOS included.

    Args:
        losses: Summed loss of each row, of shape `(rows,)`.
        label_ids: Labels padded with -100, of shape `(rows, length)`.
    """
    return float(np.exp(losses.sum(dtype=np.float64) / max(int((label_ids != IGNORED).sum()), 1)))


def fields_of(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    """The config fields that follow from the tokenizer."""
    return {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "decoder_start_token_id": tokenizer.bos_token_id,
    }


def check_tokenizer(config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast) -> None:
    """Raise a ValueError if weights and tokenizer were not made for each other; the model would learn nothing."""
    fields = fields_of(tokenizer)
    for name in ("vocab_size", "pad_token_id", "bos_token_id", "eos_token_id"):
        ours, theirs = getattr(config, name, None), fields[name]
        if ours is not None and ours != theirs:
            raise ValueError(
                f"the model has {name}={ours}, its tokenizer {name}={theirs}: they do not belong together; take both "
                "from one folder"
            )


class GenerationTask(Task):
    """A model that generates a text: settings of `generate()`, the Trainer, metrics of texts and their perplexity.

    A data set has a `tokenizer`, and in `measured` the rows that are measured. Data arguments that evaluation alone
    uses and that `generate()` knows, such as `num_beams`, are saved with the model.
    """

    gap = 0.1

    @classmethod
    def training_arguments_class(cls) -> "type[ZooTrainingArguments]":
        """The class of the recipe's `training` section."""
        from zoo.training.arguments import ZooSeq2SeqTrainingArguments

        return ZooSeq2SeqTrainingArguments

    def attach(self, model: PreTrainedModel, processor: Any) -> None:
        """Give the model its generation settings, before a Seq2SeqTrainer fills in its own (20 tokens, greedy)."""
        super().attach(model, processor)
        generation: Any = model.generation_config
        names = [name for name in self.arguments.names("used_by", "evaluation") if hasattr(generation, name)]
        settings = {name: getattr(self.arguments, name) for name in names}
        if self.arguments.num_beams == 1:
            # transformers saves no beam settings without beams: those of the weights that a run starts from must go.
            settings |= dict.fromkeys(("length_penalty", "early_stopping"))
        tokenizer = getattr(processor, "tokenizer", processor)
        generation.update(
            **settings,
            max_length=self.arguments.max_target_length + 1,  # BOS, which starts the decoder, counts
            use_cache=True,  # the Trainer sets it to False in the config, which generation settings are made from
            decoder_start_token_id=model.config.decoder_start_token_id,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )

    def check_teacher(self, config: PreTrainedConfig, processor: Any) -> None:
        """Raise a ValueError if a teacher has another vocabulary, or cannot read texts as long as the model can."""
        mine, theirs = (getattr(part, "tokenizer", part).get_vocab() for part in (self.processor, processor))
        if mine != theirs:
            raise ValueError("has another vocabulary than the model; both must have the same")
        needed, readable = (getattr(part, "max_position_embeddings", None) for part in (self.config, config))
        if needed and readable and readable < needed:
            raise ValueError(f"has max_position_embeddings={readable}, the model {needed}: it must have as many")

    def make_trainer(self, **kwargs: Any) -> "ZooTrainer":
        """A Trainer that generates."""
        from zoo.training.trainer import ZooSeq2SeqTrainer

        return ZooSeq2SeqTrainer(data_collator=self.collate, compute_metrics=self.evaluate, **kwargs)

    def views(self, dataset: Dataset) -> list[Dataset]:
        """The rows that are measured: a sample of the training rows, and all others."""
        return [dataset.measured]  # type: ignore[attr-defined]

    @abstractmethod
    def text_metrics(self, predictions: Sequence[str], dataset: Any, intervals: bool = False) -> dict[str, float]:
        """The metrics of generated texts; see `Task.evaluate`."""

    def evaluate(self, prediction: "Prediction", intervals: bool = False) -> dict[str, float]:
        """Metrics of the generated texts, if there are any, and the perplexity of the targets."""
        metrics: dict[str, float] = {}
        rows: Any = prediction.dataset
        if prediction.predictions is not None:
            metrics |= self.text_metrics(decode(prediction.predictions, rows.tokenizer), rows, intervals)
        if prediction.losses is not None:
            metrics["perplexity"] = perplexity(prediction.losses, prediction.label_ids)
        return metrics

    @abstractmethod
    def text_report(self, metrics: Mapping[str, float], texts: Sequence[str], rows: Any, folder: Path) -> Report:
        """Tables and plots of generated texts, one for each row; plots go to `folder`."""

    @abstractmethod
    def attention_report(self, model: PreTrainedModel, rows: Any, folder: Path) -> Report:
        """What the decoder looks at in some rows; nothing for a model without attention."""

    def report(self, prediction: "Prediction", model: PreTrainedModel, folder: Path) -> Report:
        """Tables and plots of the texts, and attention maps of some."""
        rows: Any = prediction.dataset
        texts = decode(prediction.predictions, rows.tokenizer)
        report = self.text_report(self.evaluate(prediction, intervals=True), texts, rows, folder)
        return report + self.attention_report(model, rows, folder)


__all__ = [
    "GenerationTask",
    "IGNORED",
    "check_tokenizer",
    "decode",
    "fields_of",
    "mask_of",
    "pad",
    "perplexity",
    "shift_right",
    "spread",
]
