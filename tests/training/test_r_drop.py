"""R-Drop: the same rows twice, with different dropout."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from tests import inputs
from tests.training.test_distillation import classifier, gradient
from zoo.commands.train import main as train
from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction
from zoo.models.rnn_seq2seq import RNNSeq2SeqConfig, RNNSeq2SeqForConditionalGeneration
from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig, TransformerSeq2SeqForConditionalGeneration
from zoo.record import RunRecord
from zoo.tasks.forecasting import ForecastingTask
from zoo.tasks.translation import TranslationTask
from zoo.tasks.translation.new_pair.teacher import Teacher
from zoo.training.arguments import ZooSeq2SeqTrainingArguments, ZooTrainingArguments
from zoo.training.distillation import Distillation
from zoo.training.r_drop import RDrop, symmetric_divergence
from zoo.training.trainer import ZooSeq2SeqTrainer, ZooTrainer


def arguments(folder, **fields) -> ZooTrainingArguments:
    fields = {"max_steps": 1, "eval_strategy": "no", "save_strategy": "no", "use_cpu": True, **fields}
    return ZooTrainingArguments(str(folder), disable_tqdm=True, **fields)


def image_batch(rows: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(5)
    return {"pixel_values": torch.randn(rows, 1, 28, 28), "labels": torch.arange(rows)}


def test_the_loss_is_that_of_the_paper_halved(tmp_path):
    """Equations 2 to 4 written out, with the two passes that the Trainer sees."""
    model, batch = classifier(classifier_dropout=0.5), image_batch()
    trainer = ZooTrainer(model.train(), arguments(tmp_path, r_drop_alpha=0.6))
    torch.manual_seed(0)
    loss = trainer.compute_loss(model, batch)
    torch.manual_seed(0)
    logits = model(pixel_values=batch["pixel_values"].repeat(2, 1, 1, 1)).logits
    first, second = (part.log_softmax(-1) for part in logits.chunk(2))
    labels = sum(cross_entropy(part, batch["labels"]) for part in (first, second))
    divergence = sum(
        kl_div(p, q, log_target=True, reduction="batchmean") for p, q in ((first, second), (second, first))
    )
    assert divergence > 1e-3
    torch.testing.assert_close(loss, (labels + 0.6 / 2 * divergence) / 2)


def test_gradients_reach_both_passes():
    logits = torch.randn(4, 3, requires_grad=True)
    outputs = classifier()(pixel_values=torch.randn(4, 1, 28, 28))
    outputs = type(outputs)(logits=logits)
    RDrop(1.0).loss(outputs, {"labels": torch.tensor([0, 1])}).backward()
    assert (logits.grad.abs().sum(1) > 0).all()


def translator(family: str) -> RNNSeq2SeqForConditionalGeneration | TransformerSeq2SeqForConditionalGeneration:
    torch.manual_seed(1)
    if family == "rnn":
        config = RNNSeq2SeqConfig(vocab_size=20, embedding_size=8, hidden_size=8, dropout=0.0)
        return RNNSeq2SeqForConditionalGeneration(config)
    config = TransformerSeq2SeqConfig(vocab_size=20, d_model=16, encoder_layers=1, decoder_layers=1, dropout=0.0)
    return TransformerSeq2SeqForConditionalGeneration(config)


def sentences() -> list[dict[str, torch.Tensor]]:
    """Rows of different lengths."""
    batch = inputs.text(translator("transformer").config, 4, seed=3)
    return [{name: value[row] for name, value in batch.items()} for row in range(4)]


def translator_arguments(folder, size: int, **fields) -> ZooSeq2SeqTrainingArguments:
    return ZooSeq2SeqTrainingArguments(
        str(folder), max_steps=1, per_device_train_batch_size=size, gradient_accumulation_steps=4 // size,
        eval_strategy="no", save_strategy="no", max_grad_norm=0.0, use_cpu=True, disable_tqdm=True,
        label_smoothing_factor=0.1, **fields,
    )  # fmt: skip


@pytest.mark.parametrize("family", ["cnn", "rnn", "transformer"])
def test_without_dropout_it_changes_nothing(tmp_path, family):
    gradients = []
    for alpha in (0.0, 5.0):
        if family == "cnn":
            batch = image_batch()
            trainer = ZooTrainer(
                classifier(classifier_dropout=0.0, conv_dropout=0.0),
                arguments(tmp_path, r_drop_alpha=alpha, max_grad_norm=0.0),
                train_dataset=[{name: value[row] for name, value in batch.items()} for row in range(6)],
            )
        else:
            settings = translator_arguments(tmp_path, 2, r_drop_alpha=alpha)
            trainer = ZooSeq2SeqTrainer(translator(family), settings, train_dataset=sentences())
        gradients.append(gradient(trainer))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", ["rnn", "transformer"])
@pytest.mark.parametrize("taught", [False, True], ids=["labels", "teacher"])
def test_accumulated_batches_are_one_large_batch(tmp_path, monkeypatch, family, taught):
    """Whether or not the model divides its own loss by the tokens of all batches; with teachers, too."""

    # Dropout would differ between one batch and four, so the second pass reads other tokens instead.
    def different(self, batch):
        second = {**batch, "input_ids": (batch["input_ids"] + 1) % 20}
        return {
            name: torch.cat([value, second[name]]) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
        }

    monkeypatch.setattr(RDrop, "twice", different)
    distillation = Distillation([translator("rnn")], weight=0.7) if taught else None
    gradients = []
    for size in (4, 1):
        settings = translator_arguments(tmp_path / str(size), size, r_drop_alpha=5.0)
        trainer = ZooSeq2SeqTrainer(translator(family), settings, train_dataset=sentences(), distillation=distillation)
        gradients.append(gradient(trainer))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


def test_a_forecaster_compares_its_forecasts():
    config = LSTMForecasterConfig(context_length=16, prediction_length=4, patch_length=4, hidden_size=8, dropout=0.5)
    torch.manual_seed(0)
    model = LSTMForecasterForPrediction(config).train()
    task = ForecastingTask(None)
    task.config = config
    batch = {name: value.squeeze(-1) for name, value in inputs.forecasting(config, 3).items()}
    r_drop = RDrop(2.0, task.output_distance)
    outputs = model(**r_drop.twice(batch))
    first, second = outputs.prediction_outputs.chunk(2)
    torch.testing.assert_close(r_drop.loss(outputs, batch), (first - second).abs().mean())  # 2.0 / 2


def test_replay_learns_from_the_parent_alone(tmp_path):
    task = TranslationTask(None)
    task.teacher = Teacher(RNNSeq2SeqForConditionalGeneration(RNNSeq2SeqConfig(vocab_size=20)), [4], True)
    with pytest.raises(ValueError, match="r_drop_alpha: with keep_pair a run learns from its parent"):
        task.make_trainer(args=arguments(tmp_path, r_drop_alpha=1.0))


def test_a_distribution_is_refused():
    task = ForecastingTask(None)
    task.config = LSTMForecasterConfig(context_length=16, prediction_length=4, patch_length=4, head="normal")
    with pytest.raises(ValueError, match="r_drop_alpha: head=normal has neither points nor quantiles"):
        task.output_distance({}, {}, {})


@pytest.mark.parametrize("outputs", [{"logits": torch.zeros(2, 1)}, {"predictions": torch.zeros(2, 4)}])
def test_outputs_without_classes_are_refused(outputs):
    with pytest.raises(ValueError, match="this model gives none: set distance_func"):
        symmetric_divergence(outputs, outputs, {})


def test_only_rows_are_doubled():
    batch = {"labels": torch.tensor([1, 2, 3]), "positions": torch.arange(5)[None], "label_smoothing": 0.1}
    twice = RDrop(1.0).twice(batch)
    assert twice["labels"].tolist() == [1, 2, 3, 1, 2, 3]
    assert twice["positions"] is batch["positions"] and twice["label_smoothing"] == 0.1


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing.:FutureWarning")
def test_a_model_in_peft_gives_its_logits(tmp_path):
    peft = pytest.importorskip("peft")
    model = peft.get_peft_model(translator("transformer"), peft.LoraConfig(target_modules=["q_proj"]))
    settings = translator_arguments(tmp_path, 2, r_drop_alpha=5.0)
    assert ZooSeq2SeqTrainer(model, settings, train_dataset=sentences()).train().training_loss > 0


def test_a_run_records_it(tiny_recipe, tmp_path):
    flags = ["--r_drop_alpha", "0.6", "--max_steps", "2", "--disable_tqdm", "true", "--skip_test"]
    assert train([str(tiny_recipe), "--output_dir", str(tmp_path / "run"), *flags]) == 0
    assert RunRecord.read(tmp_path / "run").recipe["training"]["r_drop_alpha"] == 0.6


def test_a_negative_weight_is_an_error(tiny_recipe, tmp_path, capsys):
    assert train([str(tiny_recipe), "--output_dir", str(tmp_path / "wrong"), "--r_drop_alpha", "-1"]) == 2
    assert "r_drop_alpha=-1.0 must not be negative" in capsys.readouterr().err
    with pytest.raises(ValueError, match="alpha=0 must be positive"):
        RDrop(0)
