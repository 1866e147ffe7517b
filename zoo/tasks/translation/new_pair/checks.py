"""Checks of new pairs against the translator that a run starts from."""

from collections.abc import Sequence

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from zoo.data.tokenizer import language_ids
from zoo.tasks.base import Parent

from ...text.generation import IGNORED, pad
from ..dataset import TranslationDataset

# Pairs that are looked at, and tokens that the model may generate for each.
ROWS, TOKENS = 48, 40
# The columns look swapped if the model's uncertainty of the targets is below this share of that of the sources.
SURER = 0.6


@torch.no_grad()
def uncertainty(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> float:
    """Mean loss in nats of the tokens that the model itself generates for texts, greedily.

    The true targets would not do: a translator into German finds English and French targets equally unlikely.
    """
    # A model with language tags reads no source without one.
    tags = [*language_ids(tokenizer).values()][:1]
    rows = [np.array([*tags, *ids][:TOKENS]) for ids in tokenizer(list(texts), verbose=False)["input_ids"]]
    input_ids = pad(rows, tokenizer.pad_token_id).to(model.device)
    mask = (input_ids != tokenizer.pad_token_id).long()
    generated = model.generate(
        input_ids=input_ids, attention_mask=mask, max_length=TOKENS, num_beams=1, do_sample=False,
        early_stopping=False, length_penalty=1.0,
    )[:, 1:]  # fmt: skip
    labels = generated.masked_fill(generated == tokenizer.pad_token_id, IGNORED)
    return float(model(input_ids=input_ids, attention_mask=mask, labels=labels).loss)


def check_pairs(parent: Parent, model_class: type[PreTrainedModel], train: TranslationDataset) -> list[str]:
    """Warnings: the columns look swapped, or the parent's tag of the target language may mean another one."""
    direction, warnings = train.directions[0], []
    replayed = [text.partition(":")[0].partition("-")[2] for text in parent.data.get("keep_pair") or ()]
    tags = language_ids(parent.processor)
    if direction.target in tags and direction.target not in [parent.data.get("target_lang"), *replayed]:
        warnings.append(
            f"warning: the model already has a tag >>{direction.target}<<: if it stands for another language than the "
            "targets', choose another --target_lang"
        )
    # Only a model that reads the sources' language can tell.
    reads = parent.data.get("source_lang")
    if None not in (reads, direction.source) and reads != direction.source:
        return warnings
    rows = train.rows_of(0)
    rows = rows[:: max(len(rows) // ROWS, 1)][:ROWS]
    model = parent.load_model(model_class).eval()
    sources, targets = (
        uncertainty(model, parent.processor, [texts[row] for row in rows]) for texts in (train.sources, train.targets)
    )
    if targets < SURER * sources:
        warnings.append(
            f"warning: the columns look swapped: the model is surer of what it makes of the targets ({targets:.2f} "
            f"nats a token) than of the sources ({sources:.2f}); see --source_column and --target_column"
        )
    return warnings


__all__ = ["check_pairs", "uncertainty"]
