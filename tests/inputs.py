"""Random inputs of a tiny model, one function a task: what the contract tests feed to every family."""

import torch


def image_classification(config, rows: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (rows, config.num_channels, config.image_size, config.image_size)
    return {
        "pixel_values": torch.randn(shape, generator=generator),
        "labels": torch.arange(rows) % config.num_labels,
    }


def forecasting(config, rows: int) -> dict[str, torch.Tensor]:
    """Waves whose past tells their future."""
    generator = torch.Generator().manual_seed(0)
    past, future = config.context_length, config.prediction_length
    shape = (rows, 1, config.input_size)
    phase, size = torch.rand(shape, generator=generator) * 6.28, 0.5 + torch.rand(shape, generator=generator)
    waves = size * torch.sin(torch.arange(past + future)[None, :, None] * 0.7 + phase)
    return {"past_values": waves[:, :past], "future_values": waves[:, past:]}


def text(config, rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Sentences of three to seven tokens and their reversal, each with its end sign, padded on the right."""
    generator = torch.Generator().manual_seed(seed)
    end, longest = config.eos_token_id, 7
    lengths = torch.randint(3, longest + 1, (rows,), generator=generator).tolist()
    input_ids = torch.full((rows, longest + 1), config.pad_token_id)
    labels = torch.full((rows, longest + 1), -100)
    for row, length in enumerate(lengths):
        sentence = torch.randint(10, config.vocab_size, (length,), generator=generator)
        input_ids[row, : length + 1] = torch.cat([sentence, torch.tensor([end])])
        labels[row, : length + 1] = torch.cat([sentence.flip(0), torch.tensor([end])])
    decoder_input_ids = labels.roll(1, dims=1).masked_fill(labels.roll(1, dims=1) == -100, config.pad_token_id)
    decoder_input_ids[:, 0] = config.decoder_start_token_id
    mask = (torch.arange(longest + 1) <= torch.tensor(lengths)[:, None]).long()
    return {
        "input_ids": input_ids,
        "attention_mask": mask,
        "decoder_input_ids": decoder_input_ids,
        "labels": labels,
    }


def speech_recognition(config, rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """Sound that has a tone of eight frames for each token of a text, padded on the right, and the text."""
    source = text(config, rows, seed)
    tokens, mask = source["input_ids"], source["attention_mask"]
    generator = torch.Generator().manual_seed(seed)
    tones = torch.randn(config.vocab_size, config.num_mel_bins, generator=torch.Generator().manual_seed(1))
    features = tones[tokens].repeat_interleave(8, dim=1)
    decoder_input_ids = tokens.roll(1, dims=1)
    decoder_input_ids[:, 0] = config.decoder_start_token_id
    return {
        "input_features": features + 0.1 * torch.randn(features.shape, generator=generator),
        "attention_mask": mask.repeat_interleave(8, dim=1),
        "decoder_input_ids": decoder_input_ids,
        "labels": tokens.masked_fill(mask == 0, -100),
    }


# The inputs whose second axis has any length -> the inputs that share it have one name.
LENGTHS = {
    "input_ids": "source",
    "attention_mask": "source",
    "input_features": "source",
    "decoder_input_ids": "target",
    "decoder_attention_mask": "target",
    "past_values": "past",
}

INPUTS = {
    "forecasting": forecasting,
    "image_classification": image_classification,
    "speech_recognition": speech_recognition,
    "summarization": text,
    "translation": text,
}
