"""Knowledge distillation: what a model learns from trained ones."""

import copy
from types import SimpleNamespace

import pytest
import torch
import yaml
from transformers import AutoImageProcessor, AutoTokenizer

from tests import inputs
from zoo.commands.train import main as train
from zoo.models.fashion_cnn import FashionCNNConfig, FashionCNNForImageClassification
from zoo.models.lstm_forecaster import LSTMForecasterConfig, LSTMForecasterForPrediction
from zoo.models.rnn_seq2seq import RNNSeq2SeqConfig, RNNSeq2SeqForConditionalGeneration
from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig, TransformerSeq2SeqForConditionalGeneration
from zoo.record import RunRecord
from zoo.tasks.forecasting import ForecastingTask
from zoo.tasks.translation import TranslationTask
from zoo.tasks.translation.new_pair.teacher import Teacher
from zoo.training.arguments import ZooSeq2SeqTrainingArguments, ZooTrainingArguments
from zoo.training.distillation import Distillation, soft_label_loss
from zoo.training.trainer import ZooSeq2SeqTrainer, ZooTrainer


def outputs(*logits: torch.Tensor) -> list[SimpleNamespace]:
    return [SimpleNamespace(logits=values) for values in logits]


def classifier(seed: int = 0, **fields) -> FashionCNNForImageClassification:
    torch.manual_seed(seed)
    return FashionCNNForImageClassification(FashionCNNConfig(stage_channels=[8, 8], **fields))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_loss_is_the_divergence_from_the_mean_of_the_teachers(temperature):
    torch.manual_seed(0)
    student, first, second = (torch.randn(2, 3, 5) for _ in range(3))
    labels = torch.tensor([[1, 2, -100], [4, -100, -100]])
    loss = soft_label_loss(*outputs(student), outputs(first, second), {"labels": labels}, temperature)
    taught = ((first / temperature).softmax(-1) + (second / temperature).softmax(-1)) / 2
    kept = labels != -100
    oracle = torch.distributions.kl_divergence(
        torch.distributions.Categorical(taught[kept]),
        torch.distributions.Categorical(logits=student[kept] / temperature),
    )
    torch.testing.assert_close(loss, temperature**2 * oracle.mean())


def test_a_model_learns_what_its_teacher_answers_and_not_the_labels(tmp_path):
    teacher, student = classifier(seed=1), classifier(seed=2)
    images = torch.randn(64, 1, 28, 28)
    rows = [{"pixel_values": image, "labels": torch.tensor(0)} for image in images]
    arguments = ZooTrainingArguments(
        str(tmp_path), num_train_epochs=12, per_device_train_batch_size=16, learning_rate=0.02, eval_strategy="no",
        save_strategy="no", use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    before = copy.deepcopy(teacher.state_dict())
    trainer = ZooTrainer(student, arguments, train_dataset=rows, distillation=Distillation([teacher], weight=1.0))
    trainer.train()
    with torch.no_grad():
        answers, learned = (model.eval()(images).logits for model in (teacher, student))
    assert (answers.softmax(-1) - learned.softmax(-1)).abs().max() < 0.1
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    # Evaluations measure the labels alone.
    assert trainer.evaluate(rows[:4])["eval_loss"] == pytest.approx(
        -float(learned.log_softmax(-1)[:4, 0].mean()), rel=1e-4
    )


def gradient(trainer: ZooTrainer) -> torch.Tensor:
    """What one optimizer step sees."""
    seen = []
    trainer.create_optimizer().register_step_pre_hook(
        lambda *_: seen.append(torch.cat([value.grad.flatten().clone() for value in trainer.model.parameters()]))
    )
    trainer.train()
    return seen[0]


@pytest.mark.parametrize("family", ["rnn", "transformer"])
def test_accumulated_batches_are_one_large_batch(tmp_path, family):
    """Whether or not the model divides its own loss by the tokens of all batches."""
    config = TransformerSeq2SeqConfig(vocab_size=20, d_model=16, encoder_layers=1, decoder_layers=1, dropout=0.0)
    rnn = RNNSeq2SeqConfig(vocab_size=20, embedding_size=8, hidden_size=8, dropout=0.0)
    torch.manual_seed(0)
    teacher = RNNSeq2SeqForConditionalGeneration(rnn)
    batch = inputs.text(config, 4, seed=3)  # sentences of different lengths
    rows = [{name: value[row] for name, value in batch.items()} for row in range(4)]
    gradients = []
    for size, steps in ((4, 1), (1, 4)):
        torch.manual_seed(1)
        student = (
            RNNSeq2SeqForConditionalGeneration(rnn)
            if family == "rnn"
            else TransformerSeq2SeqForConditionalGeneration(config)
        )
        arguments = ZooSeq2SeqTrainingArguments(
            str(tmp_path / str(size)), max_steps=1, per_device_train_batch_size=size, eval_strategy="no",
            gradient_accumulation_steps=steps, save_strategy="no", max_grad_norm=0.0, use_cpu=True, disable_tqdm=True,
            label_smoothing_factor=0.1,
        )  # fmt: skip
        distillation = Distillation([teacher], weight=0.7, temperature=2.0)
        gradients.append(
            gradient(ZooSeq2SeqTrainer(student, arguments, train_dataset=rows, distillation=distillation))
        )
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("log_values", [False, True])
def test_a_forecaster_learns_the_mean_quantiles_of_its_teachers(log_values):
    config = LSTMForecasterConfig(
        context_length=16, prediction_length=4, patch_length=4, hidden_size=8, head="quantile", quantiles=[0.1, 0.5],
        scale_loss=True, log_values=log_values,
    )  # fmt: skip
    torch.manual_seed(0)
    models = [LSTMForecasterForPrediction(config).eval() for _ in range(3)]
    task = ForecastingTask(None)
    task.config = config
    batch = {name: value.squeeze(-1).abs() + 1 for name, value in inputs.forecasting(config, 3).items()}
    student, *teachers = (model(**batch) for model in models)
    loss = task.distillation_loss(student, teachers, batch, 1.0)
    read = torch.log if log_values else lambda values: values
    mean = torch.stack([read(teacher.quantile_outputs) for teacher in teachers]).mean(0)
    values = read(batch["past_values"])
    unit = values.std(dim=1, correction=0)[:, None, None]
    torch.testing.assert_close(loss, ((read(student.quantile_outputs) - mean) / unit).abs().mean())
    torch.testing.assert_close(task.distillation_loss(student, [student], batch, 1.0), torch.tensor(0.0))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--teachers", "fashion-cnn", "--teacher_weight", "0"], "teacher_weight=0.0 must be above 0 and at most 1"),
        (["--teachers", "fashion-cnn", "--teacher_temperature", "0"], "teacher_temperature=0.0 must be above 0"),
        (["--teacher_weight", "0.9"], "teacher_weight and teacher_temperature are of teachers: name them"),
        (["--teachers", "nothing"], "'nothing' is neither a folder nor a shipped model"),
    ],
)
def test_wrong_fields_are_named(tiny_recipe, tmp_path, capsys, flags, message):
    assert train([str(tiny_recipe), "--output_dir", str(tmp_path / "run"), *flags]) == 2
    assert message in capsys.readouterr().err


def test_a_teacher_of_other_labels_or_another_task_is_refused(finished, tiny_recipe, tmp_path, capsys):
    classifier(num_labels=3).save_pretrained(tmp_path / "three")
    AutoImageProcessor.from_pretrained(finished / "run").save_pretrained(tmp_path / "three")
    config = LSTMForecasterConfig(context_length=8, prediction_length=4, patch_length=4, hidden_size=4)
    LSTMForecasterForPrediction(config).save_pretrained(tmp_path / "series")
    for name, message in (
        ("three", "has id2label={0: 'LABEL_0', 1: 'LABEL_1', 2: 'LABEL_2'}, the model {0: 'T-shirt/top'"),
        ("series", "the family lstm_forecaster can do forecasting, not image_classification"),
    ):
        flags = ["--teachers", str(tmp_path / name), "--output_dir", str(tmp_path / "run")]
        assert train([str(tiny_recipe), *flags]) == 2
        assert message in capsys.readouterr().err


def test_a_teacher_of_another_vocabulary_is_refused(translator, tmp_path, capsys):
    """The same vocabulary is accepted, whatever order the tokens come in."""
    own = AutoTokenizer.from_pretrained(translator)
    shuffled = SimpleNamespace(get_vocab=lambda: dict(reversed(own.get_vocab().items())))
    task = TranslationTask(None)
    task.config, task.processor = TransformerSeq2SeqConfig(), own
    task.check_teacher(TransformerSeq2SeqConfig(), shuffled)
    with pytest.raises(ValueError, match="has max_position_embeddings=8, the model"):
        task.check_teacher(TransformerSeq2SeqConfig(max_position_embeddings=8), own)
    recipe = yaml.safe_load((translator / "recipe.yaml").read_text())
    recipe["data"]["tokenizer_type"] = "bpe"
    (tmp_path / "other.yaml").write_text(yaml.safe_dump(recipe))
    flags = ["--teachers", str(translator), "--output_dir", str(tmp_path / "run")]
    assert train([str(tmp_path / "other.yaml"), *flags]) == 2
    assert "has another vocabulary than the model; both must have the same" in capsys.readouterr().err


@pytest.mark.parametrize(("field", "value"), [("head", "normal"), ("decoding", "recursive")])
def test_a_forecast_that_training_does_not_return_cannot_be_taught(field, value):
    config = LSTMForecasterConfig(**{field: value})
    task = ForecastingTask(None)
    task.config = config
    with pytest.raises(ValueError, match=f"cannot teach a model with .*{value}"):
        task.check_teacher(config, None)


def test_a_learned_scale_is_no_way_to_a_small_loss():
    config = LSTMForecasterConfig(
        context_length=8, prediction_length=4, patch_length=4, scaling="revin", scale_loss=True
    )
    torch.manual_seed(0)
    student, teacher = (LSTMForecasterForPrediction(config) for _ in range(2))
    task = ForecastingTask(None)
    task.config = config
    batch = inputs.forecasting(config, 4)
    task.distillation_loss(student(**batch), [teacher.eval()(**batch)], batch, 1.0).backward()
    learned = student.model.scaler.log_weight.grad.clone()
    student.zero_grad()
    outputs = student(**batch)
    unit = outputs.scale.detach()
    ((outputs.prediction_outputs - teacher(**batch).prediction_outputs.detach()) / unit).abs().mean().backward()
    torch.testing.assert_close(learned, student.model.scaler.log_weight.grad)


def test_the_trainer_says_who_loads_teachers(tmp_path):
    with pytest.raises(ValueError, match="give distillation=zoo.Distillation"):
        ZooTrainer(classifier(), ZooTrainingArguments(str(tmp_path), teachers=["fashion-cnn"], eval_strategy="no"))
    model = classifier()
    with pytest.raises(ValueError, match="the model is its own teacher"):
        ZooTrainer(model, ZooTrainingArguments(str(tmp_path), eval_strategy="no"), distillation=Distillation([model]))


def test_a_teacher_in_half_precision_teaches(finished, tiny_recipe, tmp_path):
    model = FashionCNNForImageClassification.from_pretrained(finished / "run").half()
    model.save_pretrained(tmp_path / "half")
    AutoImageProcessor.from_pretrained(finished / "run").save_pretrained(tmp_path / "half")
    flags = ["--teachers", str(tmp_path / "half"), "--num_train_epochs", "1", "--skip_test"]
    assert train([str(tiny_recipe), "--output_dir", str(tmp_path / "run"), *flags]) == 0


def test_replay_has_one_teacher():
    task = TranslationTask(None)
    task.teacher = Teacher(RNNSeq2SeqForConditionalGeneration(RNNSeq2SeqConfig(vocab_size=20)), [4], True)
    with pytest.raises(ValueError, match="use --keep_targets truth to have teachers, too"):
        task.make_trainer(distillation=Distillation([classifier()]))


def test_a_run_with_teachers_says_so_in_its_record(finished, tmp_path):
    teachers = [str(finished / "run")] * 2
    flags = ["--teachers", *teachers, "--teacher_weight", "0.9", "--num_train_epochs", "1", "--disable_tqdm", "true"]
    assert train([str(finished / "tiny.yaml"), "--output_dir", str(tmp_path / "run"), *flags]) == 0
    record = RunRecord.read(tmp_path / "run")
    assert record.origins == {teachers[0]: RunRecord.read(finished / "run").weights_sha256}
    training = record.recipe["training"]
    assert training["teachers"] == teachers and training["teacher_weight"] == 0.9
