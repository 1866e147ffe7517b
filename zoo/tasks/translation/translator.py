"""The translation pipeline of a saved model."""

import json
from pathlib import Path

from transformers import AutoConfig, Pipeline, pipeline

from zoo.record import RECORD_NAME


def load(model: str) -> Pipeline:
    """Load a translator.

    Args:
        model: Folder or Hub id.

    Raises:
        ValueError: The model is not a translator.
    """
    config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    record = Path(model) / RECORD_NAME
    task = json.loads(record.read_text(encoding="utf-8"))["recipe"]["task"] if record.is_file() else "translation"
    if not getattr(config, "is_encoder_decoder", False) or task != "translation":
        raise ValueError(f"{model} is not a translator (model type {config.model_type}, task {task})")
    return pipeline("translation", model=model)


__all__ = ["load"]
