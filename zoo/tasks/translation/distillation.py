"""Kept pairs learned from the model that a run goes on with, instead of from their targets."""

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import log_softmax, pad
from transformers import PreTrainedModel

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
        return self.parent(
            input_ids=inputs["input_ids"][:, self.first :],
            attention_mask=inputs["attention_mask"][:, self.first :],
            decoder_input_ids=inputs["decoder_input_ids"],
        ).logits.softmax(-1)

    def loss(self, logits: torch.Tensor, said: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Weighted cross-entropy of (batch, length, pieces) logits with what the parent said, summed over tokens."""
        likely = log_softmax(logits.float(), -1)
        said = pad(said.float(), (0, logits.shape[-1] - said.shape[-1]))  # new pieces: the parent says none
        return -self.weight * (said * likely).sum(-1).masked_fill(labels == IGNORED, 0).sum()


def build_teacher(arguments: Any, parent: PreTrainedModel, processor: Any, train: Any) -> Teacher | None:
    """The teacher of a run with kept pairs, unless the recipe wants none, or none is possible and none is asked for.

    Args:
        arguments: The data section.
        parent: Weights that the run goes on with.
        processor: Their tokenizer.
        train: Training rows.

    Raises:
        ValueError: It is asked for, and its pieces have other ids in the new vocabulary, or kept rows cannot be told
            from the others.
    """
    if not arguments.keep_pair or arguments.keep_targets == "truth":
        return None
    new, *kept = train.directions
    if arguments.vocabulary == "replace":
        reason = "needs the parent's pieces, and vocabulary=replace drops them"
    elif any(direction.tag == new.tag for direction in kept):
        reason = f"tells kept pairs by their tag, and {new.target} is the target of the new pair, too"
    else:
        reason = ""
    if reason and arguments.keep_targets == "parent":
        raise ValueError(f"keep_targets=parent {reason}: --keep_targets truth")
    if reason:
        return None
    tags = {number for direction in kept for number in direction.tag}
    return Teacher(parent, sorted(tags), max(tags) < len(processor), arguments.keep_weight)


__all__ = ["Teacher", "build_teacher"]
