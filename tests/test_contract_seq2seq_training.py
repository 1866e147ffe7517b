"""Training and changing every family that generates: vocabulary, Seq2SeqTrainer, adapters."""

import pytest
import torch
from transformers import (
    DataCollatorForSeq2Seq,
    GenerationConfig,
    PreTrainedTokenizerFast,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    default_data_collator,
    set_seed,
)

from tests.test_contract_generation import LENGTH, every_family, generating_class, inputs_of, sources
from zoo.registry import load_family


@every_family
@pytest.mark.parametrize("tie", [True, False])
@pytest.mark.parametrize("change", [+5, -3])
def test_the_vocabulary_can_be_resized(name, tie, change, tmp_path):
    family = load_family(name)
    set_seed(0)
    model = generating_class(name)(family.config_class(**{**family.tiny, "tie_word_embeddings": tie})).eval()
    inputs = inputs_of(model, 2)
    words = model.config.vocab_size
    kept = min(words, words + change)
    inputs = {key: value if value.is_floating_point() else value.clamp(max=kept - 1) for key, value in inputs.items()}
    before = model(**inputs).logits
    model.resize_token_embeddings(words + change)
    after = model(**inputs).logits
    assert model.config.vocab_size == after.shape[-1] == words + change
    torch.testing.assert_close(after[..., :kept], before[..., :kept])
    is_tied = model.get_input_embeddings().weight is model.get_output_embeddings().weight
    assert is_tied == tie
    assert model.generate(**sources(model), max_new_tokens=3).shape[0] == 4
    model.save_pretrained(tmp_path)
    loaded = type(model).from_pretrained(tmp_path).eval()
    torch.testing.assert_close(loaded(**inputs).logits, after)


def tokenizer_of(config) -> PreTrainedTokenizerFast:
    """As many one-letter words as the model has tokens, special ones where the model wants them."""
    from tokenizers import Tokenizer, models

    words = {chr(0x4E00 + token): token for token in range(config.vocab_size)}
    tokens = [chr(0x4E00 + token) for token in (config.pad_token_id, config.eos_token_id)]
    tokenizer = Tokenizer(models.WordLevel(words, unk_token=tokens[0]))
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=tokens[0], eos_token=tokens[1])


@every_family
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_seq2seq_trainer_trains_and_generates(name, label_smoothing, tmp_path):
    """With transformers' own collator, which asks the model for its decoder inputs, and label smoothing."""
    set_seed(0)
    family = load_family(name)
    model = generating_class(name)(family.config_class(**family.tiny))
    # max_length, to which the Trainer fills up what was generated, and which it sets to 20 where it is not set.
    settings = {**model.generation_config.to_dict(), "max_length": LENGTH + 1, "num_beams": 2}
    tokenizer = tokenizer_of(model.config)
    inputs = inputs_of(model, 12)
    has_sound = "input_features" in inputs
    if has_sound:
        rows = [dict(zip(inputs, values)) for values in zip(*inputs.values())]
    else:
        rows = [
            {"input_ids": source[mask.bool()].tolist(), "labels": labels[labels != -100].tolist()}
            for source, mask, labels in zip(inputs["input_ids"], inputs["attention_mask"], inputs["labels"])
        ]
    lengths = []
    trainer = Seq2SeqTrainer(
        model=model,
        args=Seq2SeqTrainingArguments(
            output_dir=str(tmp_path),
            per_device_train_batch_size=4,
            per_device_eval_batch_size=4,
            max_steps=3,
            learning_rate=1e-2,
            label_smoothing_factor=label_smoothing,
            predict_with_generate=True,
            generation_config=GenerationConfig.from_dict(settings),
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            save_strategy="no",
        ),
        train_dataset=rows,
        eval_dataset=rows,
        # transformers' collator pads text; these rows of sound have one length.
        data_collator=default_data_collator if has_sound else DataCollatorForSeq2Seq(tokenizer, model=model),
        processing_class=tokenizer,
        compute_metrics=lambda predictions: lengths.append(predictions.predictions.shape) or {"seen": 1.0},
    )
    trainer.train()
    metrics = trainer.evaluate()
    assert metrics["eval_loss"] > 0 and lengths[0][0] == 12 and 2 <= lengths[0][1] <= LENGTH + 1


@every_family
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")  # PEFT asks for it
def test_low_rank_adapters_attach(name):
    """PEFT finds the linear layers by name, trains its own weights alone, and the adapted model generates."""
    peft = pytest.importorskip("peft")
    family = load_family(name)
    set_seed(0)
    model = generating_class(name)(family.config_class(**family.tiny))
    # PEFT's wrapper of this task hands on `input_ids` by name.
    task_type = "SEQ_2_SEQ_LM" if model.main_input_name == "input_ids" else None
    config = peft.LoraConfig(task_type=task_type, target_modules="all-linear", r=2)
    adapted = peft.get_peft_model(model, config)
    adapted(**inputs_of(model, 4)).loss.backward()
    trainable = {name for name, parameter in adapted.named_parameters() if parameter.requires_grad}
    assert len(trainable) >= 4 and all("lora_" in name for name in trainable)
    reached = [name for name, p in adapted.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    assert set(reached) == {name for name in trainable if "lora_B" in name}  # A waits for B, which begins at zero
    assert adapted.generate(**sources(model), num_beams=2, max_new_tokens=3).shape[0] == 4
