"""ZooTrainer and ZooSeq2SeqTrainer by themselves, without a recipe."""

import doctest

import numpy as np
import pytest
import torch
from transformers import MarianConfig, MarianMTModel

from zoo.models.fashion_cnn import FashionCNNConfig, FashionCNNForImageClassification
from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig, TransformerSeq2SeqForConditionalGeneration
from zoo.training import trainer as module
from zoo.training.arguments import ZooSeq2SeqTrainingArguments, ZooTrainingArguments
from zoo.training.callbacks import EMACallback, StopEarlyCallback
from zoo.training.optimizers import MuonWithAdamW
from zoo.training.trainer import ZooSeq2SeqTrainer, ZooTrainer

QUIET = {"use_cpu": True, "disable_tqdm": True}


def test_the_docstring_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(module)
    assert result.attempted > 5 and not result.failed


class Sentences(torch.utils.data.Dataset):
    """Rows of different lengths; the first token of each is its number."""

    def __init__(self, lengths):
        self.lengths = np.array(lengths)

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, row):
        return [4 + row] * self.lengths[row]

    def __getitems__(self, rows):
        return [self[int(row)] for row in rows]

    def take(self, rows):
        return Sentences(self.lengths[:rows])


def collate(rows):
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    start = torch.full((len(rows), 1), 2)
    return {
        "input_ids": ids,
        "attention_mask": (ids != 0).long(),
        "decoder_input_ids": torch.cat([start, ids[:, :-1]], 1),
        "labels": ids.masked_fill(ids == 0, -100),
    }


def make_model(dropout=0.0):
    torch.manual_seed(0)
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    model = TransformerSeq2SeqForConditionalGeneration(
        TransformerSeq2SeqConfig(vocab_size=40, dropout=dropout, **sizes)
    )
    model.generation_config.update(max_length=6, num_beams=2, decoder_start_token_id=2, pad_token_id=0)
    return model


def make_trainer(folder, compute_metrics=None, model=None, train=None, **arguments):
    args = ZooSeq2SeqTrainingArguments(str(folder), **{"num_train_epochs": 1, **QUIET, **arguments})
    return ZooSeq2SeqTrainer(
        model or make_model(),
        args,
        train_dataset=train or Sentences([3, 9, 5, 7] * 4),
        eval_dataset=Sentences([3, 9, 5, 7, 2, 11]),
        data_collator=collate,
        compute_metrics=compute_metrics,
    )


def test_metrics_see_every_row_in_the_order_of_the_data(tmp_path):
    """Though rows are evaluated by length, in batches, and training drops its last batch."""
    seen = []
    trainer = make_trainer(
        tmp_path,
        lambda prediction: seen.append(prediction) or {"rows": len(prediction.predictions)},
        per_device_eval_batch_size=2,
        dataloader_drop_last=True,
        train_sampling_strategy="group_by_length",
    )
    metrics = trainer.evaluate()
    (prediction,) = seen
    assert metrics["eval_rows"] == 6 and prediction.label_ids[:, 0].tolist() == [4, 5, 6, 7, 8, 9]
    assert prediction.dataset is trainer.eval_dataset and prediction.losses.shape == (6,)
    whole = trainer.predict_rows(trainer.eval_dataset)
    np.testing.assert_allclose(whole.losses, prediction.losses, rtol=1e-5)
    # The loss is a mean over tokens, not over batches of different length.
    assert metrics["eval_loss"] == pytest.approx(prediction.losses.sum() / 37)


@pytest.mark.parametrize(("size", "batches"), [(32, 1), (8, 2), (6, 2)])
def test_fewer_rows_than_a_batch_are_not_dropped(tmp_path, size, batches):
    trainer = make_trainer(tmp_path, per_device_train_batch_size=size, dataloader_drop_last=True)
    assert len(trainer.get_train_dataloader()) == batches
    assert trainer.args.dataloader_drop_last


def test_the_text_of_a_row_does_not_depend_on_its_batch(tmp_path):
    trainer = make_trainer(tmp_path, per_device_eval_batch_size=1)
    alone = trainer.predict_rows(trainer.eval_dataset).predictions
    trainer.args.per_device_eval_batch_size = 16
    together = trainer.predict_rows(trainer.eval_dataset).predictions
    width = min(alone.shape[1], together.shape[1])
    assert (alone[:, :width] == together[:, :width]).all()


def test_a_sample_is_generated_for_during_training_and_the_loss_is_of_all_rows(tmp_path):
    rows = []

    def compute_metrics(prediction):
        rows.append((len(prediction.losses), prediction.predictions is not None))
        return {"metric": 1.0, "generated": float(prediction.predictions is not None)}

    trainer = make_trainer(tmp_path, compute_metrics, generation_samples=2, metric_for_best_model="metric")
    trainer.train()
    assert rows == [(6, False), (2, True)]
    (logged,) = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
    losses = trainer.predict_rows(trainer.eval_dataset).losses
    assert logged["eval_loss"] == pytest.approx(losses.sum() / 37, rel=1e-4)
    rows.clear()
    trainer.evaluate()  # after training: all rows
    assert rows == [(6, True)]


def test_final_predictions_use_the_models_own_generation_settings(tmp_path):
    trainer = make_trainer(tmp_path, predict_with_generate=False, generation_max_length=3, generation_num_beams=1)
    assert trainer.predict(trainer.eval_dataset).predictions is None
    tokens = trainer.predict_rows(trainer.eval_dataset).predictions
    assert tokens.shape == (6, 6)
    assert trainer.predict_rows(trainer.eval_dataset, max_length=4).predictions.shape == (6, 4)


@pytest.mark.parametrize("smooths", [True, False])
def test_label_smoothing_is_the_models_own_or_transformers(tmp_path, monkeypatch, smooths):
    monkeypatch.setattr(TransformerSeq2SeqForConditionalGeneration, "accepts_label_smoothing", smooths, raising=False)
    trainer = make_trainer(tmp_path, label_smoothing_factor=0.2)
    assert (trainer.label_smoother is None) == smooths
    batch = collate([[5, 6, 7], [8, 9]])
    trainer.model.train()
    loss = trainer.compute_loss(trainer.model, dict(batch))
    logits = trainer.model.eval()(**batch).logits
    expected = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch["labels"].flatten(), label_smoothing=0.2)
    torch.testing.assert_close(loss, expected)


def test_another_librarys_model_trains_too(tmp_path):
    """Marian returns no smoothed loss and makes its decoder inputs from the labels."""
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 32}
    tokens = {"vocab_size": 40, "pad_token_id": 0, "decoder_start_token_id": 2, "eos_token_id": 3}
    model = MarianMTModel(MarianConfig(**sizes, **heads, **tokens))
    model.generation_config.update(max_length=6, bad_words_ids=None, forced_eos_token_id=None)
    trainer = make_trainer(tmp_path, model=model, label_smoothing_factor=0.1)
    trainer.train()
    assert len(trainer.predict_rows(trainer.eval_dataset).predictions) == 6


def test_the_config_keeps_its_cache(tmp_path):
    """transformers sets use_cache=False: what starts from the saved model would generate without a cache."""
    trainer = make_trainer(tmp_path)
    assert trainer.model.config.use_cache
    trainer.save_model()
    assert TransformerSeq2SeqConfig.from_pretrained(tmp_path).use_cache
    images = FashionCNNForImageClassification(FashionCNNConfig(stage_channels=[4]))
    trainer = ZooTrainer(images, ZooTrainingArguments(str(tmp_path), eval_strategy="no", **QUIET))
    assert "use_cache" not in trainer.model.config.to_dict()


def test_the_arguments_are_read_by_the_trainer_itself(tmp_path):
    arguments = {"ema_decay": 0.5, "early_stopping_patience": 2, "muon_learning_rate": 0.01, "batch_tokens": 20}
    trainer = make_trainer(tmp_path, **arguments)
    kinds = {type(callback) for callback in trainer.callback_handler.callbacks}
    assert {EMACallback, StopEarlyCallback} <= kinds
    assert isinstance(trainer.create_optimizer(), MuonWithAdamW)
    assert all(batch["input_ids"].numel() <= 20 for batch in trainer.get_train_dataloader())
    with pytest.raises(ValueError, match="batch_tokens=20: the rows of this data have no lengths"):
        ZooTrainer(make_model(), ZooTrainingArguments(str(tmp_path), batch_tokens=20), train_dataset=[1])


def test_an_unknown_primary_metric_is_one_line_that_names_the_known_ones(tmp_path):
    trainer = make_trainer(tmp_path, lambda prediction: {"chrf": 1.0}, metric_for_best_model="bleu")
    with pytest.raises(ValueError, match="metric_for_best_model=bleu: evaluations have only chrf, loss"):
        trainer.train()


def test_checkpoints_are_averaged_by_the_primary_metric(tmp_path):
    """The average wins by the metric, whatever the loss is."""
    values = iter([3.0, 9.0, 5.0, 1.0, 2.0])  # three evaluations, then the last checkpoint and the average
    trainer = make_trainer(
        tmp_path,
        lambda prediction: {"bleu": next(values)},
        num_train_epochs=3,
        average_checkpoints=2,
        average_checkpoints_by="best",
        metric_for_best_model="bleu",
        learning_rate=0.05,
    )
    trainer.train()
    steps = [entry["step"] for entry in trainer.state.log_history if "eval_bleu" in entry]
    assert trainer.averaging == {
        "steps": steps[1:], "by": "best", "metric": "bleu", "single": 1.0, "average": 2.0, "chosen": "average",
    }  # fmt: skip


def test_a_run_that_reached_its_last_step_does_not_train_on(tmp_path):
    """transformers' Trainer would add a step."""
    settings = {"max_steps": 3, "save_strategy": "steps", "save_steps": 3, "eval_strategy": "no"}
    first, second = make_trainer(tmp_path, **settings), make_trainer(tmp_path, **settings)
    first.train()
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step == 3
    for name, weight in first.model.state_dict().items():
        torch.testing.assert_close(second.model.state_dict()[name], weight)


def test_a_run_that_stopped_early_does_not_train_on(tmp_path):
    values = iter([3.0, 2.0, 1.0])
    settings = {"num_train_epochs": 5, "early_stopping_patience": 1, "metric_for_best_model": "bleu"}
    first = make_trainer(tmp_path, lambda prediction: {"bleu": next(values)}, load_best_model_at_end=True, **settings)
    first.train()
    steps = first.state.global_step
    settings["disable_tqdm"] = False  # transformers' bar of training cannot be closed before it was opened
    second = make_trainer(tmp_path, lambda prediction: {"bleu": 0.0}, load_best_model_at_end=True, **settings)
    second.train(resume_from_checkpoint=True)
    assert second.state.global_step == steps < second.state.max_steps
    for one, two in zip(first.model.parameters(), second.model.parameters()):
        assert torch.equal(one, two)
    with pytest.raises(ValueError, match="holds no checkpoint to resume from"):
        make_trainer(tmp_path / "new", **settings).train(resume_from_checkpoint=True)
