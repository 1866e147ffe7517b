"""Kept pairs learned from the model that a run goes on with, instead of from their targets."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.nn.functional import log_softmax, pad
from transformers import PreTrainedModel

from zoo.data.tokenizer import language_ids

from ..text.dataset import TextDataset

IGNORED = -100


class Teacher:
    """What the parent says of the rows of kept pairs.

    The distribution over the next token says more than the one true token does, so fewer pairs keep what was learned:
    learning without forgetting (Li & Hoiem, 2016, arXiv:1606.09282).

    Args:
        parent: Trained weights; they stay as they are.
        tags: Ids of the tags that kept rows begin with.
        knows_tags: Whether the parent reads these tags; else it gets the sources without them.
        weight: Of a kept token's loss beside that of a new one.
    """

    def __init__(self, parent: PreTrainedModel, tags: Sequence[int], knows_tags: bool, weight: float = 1.0):
        self.parent, self.weight = parent.eval().requires_grad_(False), weight
        self.pieces = parent.config.vocab_size
        self.tags, self.first = torch.tensor(list(tags)), 0 if knows_tags else 1

    def rows(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(batch,) which rows it answers for: those with a tag, and no piece that the parent has not."""
        source, labels = inputs["input_ids"], inputs["labels"]
        tagged = torch.isin(source[:, 0], self.tags.to(source.device))
        known = (source[:, self.first :] < self.pieces).all(1) & (labels < self.pieces).all(1)
        return tagged & known

    @torch.no_grad()
    def __call__(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        """(batch, length, pieces of the parent) probabilities of the next token of rows that it answers for."""
        self.parent.to(inputs["labels"].device)
        return (
            self.parent(
                input_ids=inputs["input_ids"][:, self.first :],
                attention_mask=inputs["attention_mask"][:, self.first :],
                decoder_input_ids=inputs["decoder_input_ids"],
            )
            .logits.float()
            .softmax(-1)
        )

    def loss(self, logits: torch.Tensor, said: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy of (batch, length, pieces) logits with what the parent said, summed over tokens."""
        likely = log_softmax(logits.float(), -1)
        said = pad(said.float(), (0, logits.shape[-1] - said.shape[-1]))  # new pieces: the parent says none
        return -self.weight * (said * likely).sum(-1).masked_fill(labels == IGNORED, 0).sum()


def build_teacher(
    arguments: Any, parent: PreTrainedModel | None, processor: Any, train: TextDataset, learned: Mapping[str, Any]
) -> tuple[Teacher | None, list[str]]:
    """(teacher of a run with kept pairs, what a person is told of it).

    A kept pair is learned from the parent if the parent knows its target language: by its tag, or, without tags, as
    its only pair. Other kept pairs are learned from their targets, as all are without a parent.

    Args:
        arguments: The data section.
        parent: Weights that the run goes on with, if it does.
        processor: Their tokenizer.
        train: Training rows.
        learned: The `data` section of the parent's recipe.

    Raises:
        ValueError: keep_targets=parent, and there is nothing to learn from the parent; the message says why.
    """
    if arguments.keep_targets == "parent" and not arguments.keep_pair:
        raise ValueError("keep_targets=parent speaks of kept pairs, and there are none; name them with --keep_pair")
    if not arguments.keep_pair or arguments.keep_targets == "truth":
        return None, []
    new, *kept = dict.fromkeys(train.directions)
    tags = language_ids(processor) if parent is not None else {}
    # Without tags nor a recipe, a model is taken at its user's word, if that is one word.
    word = {pair.target for pair in kept}
    knows: set[str | None] = {*tags} or {learned.get("target_lang") or (word.pop() if len(word) == 1 else None)}
    reads = None if tags else learned.get("source_lang")
    taught = [
        pair
        for pair in kept
        if pair.target in knows and pair.target != new.target and reads in (None, "", pair.source)
    ]
    if parent is None:
        reason = "the run starts from random weights"
    elif arguments.vocabulary == "replace":
        reason = "vocabulary=replace drops the pieces of the parent"
    elif not taught:
        names = ", ".join(pair.name for pair in kept)
        reason = f"the parent is not known to translate {names}, or the new pair has the same target language"
    else:
        told = [f"kept pairs: {', '.join(pair.name for pair in taught)} as the parent translates them"]
        rest = [pair.name for pair in kept if pair not in taught]
        told += [f"  {', '.join(rest)}: from their targets"] if rest else []
        numbers = sorted({number for pair in taught for number in pair.tag})
        assert parent is not None
        return Teacher(parent, numbers, bool(tags), arguments.keep_weight), told
    if arguments.keep_targets == "parent":
        raise ValueError(f"keep_targets=parent: {reason}; use --keep_targets truth")
    return None, [f"kept pairs: from their targets, since {reason}"] if parent is not None else []


__all__ = ["Teacher", "build_teacher"]
