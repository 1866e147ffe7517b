"""Whether new pairs look as a translator that goes on with them expects them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from zoo.data.tokenizer import language_ids

from ..text.dataset import IGNORED, TextDataset, pad

# Pairs that are looked at, and tokens that the model may write for each.
ROWS, TOKENS = 48, 40
# A side that the model reads with less than this share of the other's uncertainty is the one that it knows.
SURER = 0.6


@torch.no_grad()
def uncertainty(model: Any, tokenizer: Any, texts: list[str]) -> float:
    """Mean loss in nats of the tokens that the model itself writes for texts, greedily.

    The true targets would not do: a translator into German finds English and French targets equally unlikely.
    """
    # A model that tells target languages by tags reads no source without one.
    tags = [*language_ids(tokenizer).values()][:1]
    ids = [np.array([*tags, *found][:TOKENS]) for found in tokenizer(texts, verbose=False)["input_ids"]]
    input_ids = pad(ids, tokenizer.pad_token_id).to(model.device)
    mask = (input_ids != tokenizer.pad_token_id).long()
    written = model.generate(
        input_ids=input_ids, attention_mask=mask, max_length=TOKENS, num_beams=1, do_sample=False,
        early_stopping=False, length_penalty=1.0,
    )[:, 1:]  # fmt: skip
    labels = written.masked_fill(written == tokenizer.pad_token_id, IGNORED)
    return float(model(input_ids=input_ids, attention_mask=mask, labels=labels).loss)


def check_parent(model: Any, tokenizer: Any, train: TextDataset, learned: Mapping[str, Any]) -> list[str]:
    """Warnings: the columns look swapped, or the model's tag of the target language may mean another one.

    Args:
        model: That the run goes on with.
        tokenizer: Its tokenizer.
        train: The new training rows.
        learned: The `data` section of the model's own recipe; empty if it is not known.
    """
    direction, remarks = train.directions[0], []
    kept = [text.partition(":")[0].partition("-")[2] for text in learned.get("keep_pair") or ()]
    if direction.target in language_ids(tokenizer) and direction.target not in [learned.get("target_lang"), *kept]:
        remarks.append(
            f"warning: the model already has a tag >>{direction.target}<<: if it stands for another language than the "
            "targets', choose another --target_lang"
        )
    # Only a model that reads the sources' language can tell.
    known = learned.get("source_lang")
    if None not in (known, direction.source) and known != direction.source:
        return remarks
    rows = train.rows_of(0)
    rows = rows[:: max(len(rows) // ROWS, 1)][:ROWS]
    was_training = model.training
    model.eval()
    sources, targets = (
        uncertainty(model, tokenizer, [texts[row] for row in rows]) for texts in (train.sources, train.targets)
    )
    model.train(was_training)
    if targets < SURER * sources:
        remarks.append(
            f"warning: the columns look swapped: the model is surer of what it makes of the targets ({targets:.2f} "
            f"nats a token) than of the sources ({sources:.2f}); see --source_column and --target_column"
        )
    return remarks


__all__ = ["check_parent", "uncertainty"]
