"""Replay learned from the parent instead of from targets, and the Trainer that does so."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy, log_softmax, pad
from transformers import PreTrainedModel, Trainer

from zoo.data.tokenizer import language_ids
from zoo.tasks.base import Parent
from zoo.training.trainer import ZooSeq2SeqTrainer

from ...text.generation import IGNORED
from ..arguments import TranslationArguments
from ..dataset import Direction, TranslationDataset


class Teacher:
    """The parent's next-token distributions for replayed rows.

    A distribution says more than the one true token does, so that fewer pairs keep what was learned: learning without
    forgetting (Li & Hoiem, 2016, arXiv:1606.09282).

    Args:
        parent: Trained weights; they are frozen.
        tags: Ids of the language tags that replayed rows begin with.
        knows_tags: Whether the parent reads these tags; else it gets the sources without them.
        weight: Weight of a replayed token in the loss beside a new one.
    """

    def __init__(self, parent: PreTrainedModel, tags: Sequence[int], knows_tags: bool, weight: float = 1.0):
        self.parent, self.weight = parent.eval().requires_grad_(False), weight
        self.vocab_size = parent.config.vocab_size
        self.tags, self.first = torch.tensor(list(tags)), 0 if knows_tags else 1

    def rows(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Whether the parent teaches each row, of shape `(batch,)`: with a tag, and only tokens that it knows."""
        source, labels = inputs["input_ids"], inputs["labels"]
        tagged = torch.isin(source[:, 0], self.tags.to(source.device))
        known = (source[:, self.first :] < self.vocab_size).all(1) & (labels < self.vocab_size).all(1)
        return tagged & known

    @torch.no_grad()
    def __call__(self, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Probabilities of the next token, of shape `(batch, length, parent's vocabulary)`."""
        self.parent.to(inputs["labels"].device)
        logits = self.parent(
            input_ids=inputs["input_ids"][:, self.first :],
            attention_mask=inputs["attention_mask"][:, self.first :],
            decoder_input_ids=inputs["decoder_input_ids"],
        ).logits
        return logits.float().softmax(-1)

    def loss(self, logits: torch.Tensor, probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Weighted cross entropy with the parent's probabilities, summed over tokens.

        Args:
            logits (`torch.Tensor` of shape `(batch, length, vocabulary)`): Of the model that learns.
            probabilities (`torch.Tensor` of shape `(batch, length, parent's vocabulary)`): Of the parent.
            labels (`torch.Tensor` of shape `(batch, length)`): Padding is -100.
        """
        new = logits.shape[-1] - probabilities.shape[-1]
        probabilities = pad(probabilities.float(), (0, new))  # the parent gives new tokens none
        likely = log_softmax(logits.float(), -1)
        return -self.weight * (probabilities * likely).sum(-1).masked_fill(labels == IGNORED, 0).sum()


class ReplayTrainer(ZooSeq2SeqTrainer):
    """A `ZooSeq2SeqTrainer` whose replayed rows are learned from a teacher."""

    def __init__(self, *args: Any, teacher: Teacher, **options: Any):
        super().__init__(*args, **options)
        self.teacher = teacher

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Any:
        """The Trainer's loss of new rows, and the teacher's of replayed ones.

        The model runs once, whatever the rows are: processes that ran it a different number of times would wait for
        each other for ever.
        """
        if return_outputs or not model.training:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        rows = self.teacher.rows(inputs)
        probabilities = self.teacher({name: value[rows] for name, value in inputs.items()}) if rows.any() else None
        total = (inputs["labels"] != IGNORED).sum() if num_items_in_batch is None else num_items_in_batch

        def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any) -> torch.Tensor:
            logits, smoothing = outputs.logits.float(), self.args.label_smoothing_factor
            others = logits[~rows].flatten(0, 1), labels[~rows].flatten()
            summed = cross_entropy(*others, ignore_index=IGNORED, label_smoothing=smoothing, reduction="sum")
            if probabilities is not None:
                summed = summed + self.teacher.loss(logits[rows], probabilities, labels[rows])
            return summed / num_items_in_batch

        # Through transformers' own hook, which scales this loss as it does every other.
        self.compute_loss_func: Any = loss
        try:
            return Trainer.compute_loss(self, model, dict(inputs), num_items_in_batch=total)
        finally:
            self.compute_loss_func = None


def make_teacher(
    arguments: TranslationArguments,
    parent: Parent | None,
    model_class: type[PreTrainedModel],
    train: TranslationDataset,
) -> tuple[Teacher | None, list[str]]:
    """The teacher of a run with replay, and what to tell the user.

    The parent teaches an old language pair if it knows its target language: by a tag, or, without tags, as its only
    pair. Other old pairs are learned from their targets, as all are without a parent.

    Raises:
        ValueError: keep_targets=parent, and the parent can teach nothing; the message says why.
    """
    if arguments.keep_targets == "parent" and not arguments.keep_pair:
        raise ValueError("keep_targets=parent needs language pairs to replay: name them with --keep_pair")
    if not arguments.keep_pair or arguments.keep_targets == "truth":
        return None, []
    new, *old = dict.fromkeys(train.directions)
    taught = [pair for pair in old if parent is not None and teaches(parent, pair, new, old)]
    if parent is None:
        reason = "the run starts from random weights"
    elif arguments.vocabulary == "replace":
        reason = "vocabulary=replace drops the tokens of the parent"
    elif not taught:
        names = ", ".join(pair.name for pair in old)
        reason = f"the parent is not known to translate {names}, or the new pair has the same target language"
    else:
        lines = [f"replay: {', '.join(pair.name for pair in taught)} as the parent translates them"]
        rest = [pair.name for pair in old if pair not in taught]
        lines += [f"  {', '.join(rest)}: from their targets"] if rest else []
        tags = sorted({number for pair in taught for number in pair.tag})
        knows_tags = bool(language_ids(parent.processor))
        return Teacher(parent.load_model(model_class), tags, knows_tags, arguments.keep_weight), lines
    if arguments.keep_targets == "parent":
        raise ValueError(f"keep_targets=parent: {reason}; use --keep_targets truth")
    return None, [f"replay: from targets, since {reason}"] if parent is not None else []


def teaches(parent: Parent, pair: Direction, new: Direction, old: Sequence[Direction]) -> bool:
    """Whether a parent is known to translate an old language pair, and not into the new one's target language."""
    tags = language_ids(parent.processor)
    # Without tags nor a recipe, the user is right about what a model translates, if only one language is named.
    only = {pair.target for pair in old}
    knows: set[str | None] = {*tags} or {parent.data.get("target_lang") or (only.pop() if len(only) == 1 else None)}
    reads = None if tags else parent.data.get("source_lang")
    return pair.target in knows and pair.target != new.target and reads in (None, "", pair.source)


__all__ = ["ReplayTrainer", "Teacher", "make_teacher"]
