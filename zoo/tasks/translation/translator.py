"""The translation pipeline of a saved model."""

import json
from pathlib import Path

from transformers import AutoConfig, Pipeline, PreTrainedModel, pipeline

from zoo.record import RECORD_NAME


def load(model: str, exported: PreTrainedModel | None = None, task: str = "translation") -> Pipeline:
    """Load a translator.

    Args:
        model: Folder or Hub id.
        exported: The model of an exported folder, which runs outside PyTorch.
        task: What the model was trained for, if it has no record.

    Raises:
        ValueError: The model is not a translator.
    """
    config = AutoConfig.from_pretrained(model, trust_remote_code=False)
    record = Path(model) / RECORD_NAME
    if record.is_file():
        task = json.loads(record.read_text(encoding="utf-8"))["recipe"]["task"]
    if not getattr(config, "is_encoder_decoder", False) or task != "translation":
        raise ValueError(f"{model} is not a translator (model type {config.model_type}, task {task})")
    return pipeline("translation", model=exported or model, tokenizer=model)


__all__ = ["load"]
