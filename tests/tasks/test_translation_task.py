"""Translation from a file of pairs to a run, its record and its evaluation."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from tests.tasks.pairs import pairs, write_tsv
from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.hub.card import render_card
from zoo.record import RunRecord
from zoo.training.averaging import mean_weights

RECIPE = {
    "family": "rnn_seq2seq",
    "task": "translation",
    "data": {
        "tokenizer_type": "bpe",
        "byte_fallback": False,
        "tokenizer_sampling": 0.05,
        "source_lang": "en",
        "target_lang": "eo",
        "num_beams": 2,
        "max_target_length": 24,
        "test_size": 40,
        "validation_size": 40,
    },
    "model": {
        "vocab_size": 110,
        "embedding_size": 32,
        "hidden_size": 48,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "dropout": 0.05,
        "scale_embedding": False,  # in eight epochs of a toy language it learns sooner without
    },
    "training": {
        "num_train_epochs": 8,
        "batch_tokens": 200,
        "learning_rate": "2e-2",
        "lr_scheduler_type": "linear",
        "warmup_steps": 20,
        "label_smoothing_factor": 0.1,
        "predict_with_generate": True,
        "generation_num_beams": 1,
        "generation_samples": 20,
        "average_checkpoints": 3,
        "early_stopping_patience": 5,
        "metric_for_best_model": "bleu",
        "load_best_model_at_end": True,
        "use_cpu": True,
        "disable_tqdm": True,
    },
    "publish": {"title": "Tiny", "license": "apache-2.0", "summary": "A test.", "limits": ["All."]},
}


def same_weights(first: Path, second: Path) -> bool:
    one, two = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run."""
    folder = tmp_path_factory.mktemp("translation")
    write_tsv(folder / "mine.tsv", pairs(480))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(RECIPE))
    flags = ["--train_file", str(folder / "mine.tsv"), "--output_dir", str(folder / "run")]
    assert train([str(folder / "tiny.yaml"), *flags]) == 0
    return folder / "run"


def test_a_run_is_complete_and_learns(run):
    names = {path.name for path in run.iterdir()}
    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "results.json"} <= names
    record = RunRecord.read(run)
    assert record.data["splits"]["test"]["n"] == record.metrics["test"]["n"] == 40
    assert record.metrics["validation"]["n"] == 40 and record.metrics["train"]["n"] == 200
    assert set(record.baselines) == {"copy_source", "nearest_neighbour", "token_frequencies"}
    test = record.metrics["test"]
    assert test["bleu"] > 90 > 10 > record.baselines["copy_source"]["bleu"]
    assert test["bleu_low"] <= test["bleu"] <= test["bleu_high"] and test["perplexity"] < 1.5
    assert {"bleu_13a_lowercase", "bleu_moses_lowercase", "chrf", "length_ratio"} <= set(test)
    assert record.fit["verdict"] == "good fit" and record.fit["metric"] == "bleu"
    assert "tok:13a" in record.tables["signatures"]["bleu"]
    cleaning = record.data["notes"]["cleaning"]
    assert cleaning["read"] == cleaning["kept"] == 400 and cleaning["duplicate"] == 0
    assert 0 <= record.compute["padding_share"] < 0.1
    assert record.compute["train_tokens"] == pytest.approx(
        3200 * sum(record.data["notes"]["tokens_per_text"]), rel=0.01
    )


def test_own_texts_alone_measure_a_model(run, tmp_path, capsys):
    """The pairs of its training may be on another machine."""
    copy = shutil.copytree(run, tmp_path / "run")
    recipe = (copy / "recipe.yaml").read_text()
    (copy / "recipe.yaml").write_text(recipe.replace("mine.tsv", "gone.tsv"))
    texts = pairs(500)[480:]
    write_tsv(tmp_path / "test.tsv", texts)
    flags = ["--test_file", str(tmp_path / "test.tsv"), "--output_dir", str(tmp_path / "out")]
    assert evaluate([str(copy)]) == 1 and "gone.tsv" in capsys.readouterr().err
    assert evaluate([str(copy), *flags]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    assert [*measured] == ["test"] and measured["test"]["n"] == 20 and measured["test"]["bleu"] > 80
    assert "its record says" not in capsys.readouterr().out  # that is of other texts
    assert evaluate([str(copy), *flags, "--split", "validation"]) == 2
    assert (
        train([str(run.parent / "tiny.yaml"), *flags[:2], "--model_name_or_path", str(run), "--output_dir", "x"]) == 2
    )
    assert "there is no training data" in capsys.readouterr().err


def test_model_and_tokenizer_load_by_the_auto_classes(run):
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(run), AutoTokenizer.from_pretrained(run)
    settings = model.generation_config
    assert (settings.num_beams, settings.max_length, settings.early_stopping) == (2, 25, True)
    assert model.config.vocab_size == len(tokenizer)
    inputs = tokenizer(["The old dog sees a cat."], return_tensors="pt")
    assert model.generate(**inputs).shape[1] <= 25


def test_the_loss_of_an_evaluation_is_the_mean_over_tokens(run):
    """Measured again with no batches at all."""
    record = RunRecord.read(run)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(run).eval(), AutoTokenizer.from_pretrained(run)
    from zoo.registry import load_task

    task_class = load_task("translation")
    data = task_class(task_class.arguments_class(**record.recipe["data"])).load_data(model.config, tokenizer)
    total, count = 0.0, 0
    for source, target in (data.test[row] for row in range(len(data.test))):
        labels = torch.tensor(target)[None].long()
        with torch.no_grad():
            loss = model(input_ids=torch.tensor(source)[None].long(), labels=labels).loss
        total, count = total + float(loss) * labels.numel(), count + labels.numel()
    assert record.metrics["test"]["perplexity"] == pytest.approx(math.exp(total / count), rel=1e-4)


def test_validation_decides_between_average_and_single_weights(run):
    averaging = RunRecord.read(run).averaging
    better = max(("average", "single"), key=lambda name: (averaging[name], name == "average"))
    assert averaging["chosen"] == better and len(averaging["steps"]) == 3
    mean = mean_weights([run / "averaging" / f"step-{step}.safetensors" for step in averaging["steps"]])
    saved = load_file(run / "model.safetensors")
    assert all(torch.equal(saved[name], mean[name]) for name in saved) == (averaging["chosen"] == "average")


def test_evaluation_measures_what_the_record_says(run, tmp_path, capsys):
    assert evaluate([str(run), "--split", "all", "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    recorded = json.loads((run / "results.json").read_text())["metrics"]
    assert measured.keys() == recorded.keys()
    for split in measured:
        assert measured[split] == pytest.approx(recorded[split], rel=1e-4)
    assert "test: bleu" in capsys.readouterr().out


def test_a_resumed_run_ends_at_the_same_weights(run, tmp_path):
    """In mid-epoch, with dropout, sampled tokens, batches by tokens, a schedule and averaging at work."""
    flags = ["--save_strategy", "steps", "--save_steps", "5", "--eval_strategy", "steps", "--eval_steps", "5"]
    flags += ["--train_file", str(run.parent / "mine.tsv"), "--skip_test"]
    flags += "--max_steps 30 --save_total_limit 9 --generation_max_length 12 --max_train_samples 200".split()
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    recipe = str(run.parent / "tiny.yaml")
    assert train([recipe, *flags, "--output_dir", str(whole)]) == 0
    resumed.mkdir()
    shutil.copy(whole / "recipe.yaml", resumed)
    for step in (10, 15):  # the second one is in the middle of an epoch
        shutil.copytree(whole / f"checkpoint-{step}", resumed / f"checkpoint-{step}")
    shutil.copytree(whole / "averaging", resumed / "averaging")
    assert train([recipe, *flags, "--output_dir", str(resumed), "--resume_from_checkpoint", "last"]) == 0
    first, second = RunRecord.read(whole), RunRecord.read(resumed)
    assert same_weights(whole, resumed)
    assert first.metrics == second.metrics and first.averaging == second.averaging
    assert first.compute["batches_per_epoch"] > 1 and 15 % first.compute["batches_per_epoch"]


def test_a_run_that_stopped_early_does_not_go_on_when_resumed(run, tmp_path):
    flags = ["--train_file", str(run.parent / "mine.tsv"), "--skip_test", "--max_train_samples", "60"]
    # No progress of a whole BLEU point after the first evaluation: nothing is learnt at this rate.
    flags += ["--learning_rate", "1e-9", "--early_stopping_patience", "2", "--early_stopping_threshold", "50"]
    flags += ["--output_dir", str(tmp_path / "run"), "--generation_max_length", "12"]
    recipe = str(run.parent / "tiny.yaml")
    assert train([recipe, *flags]) == 0
    first = RunRecord.read(tmp_path / "run")
    assert max(entry["epoch"] for entry in first.history) == 3
    weights = (tmp_path / "run/model.safetensors").read_bytes()
    assert train([recipe, *flags, "--resume_from_checkpoint", "last"]) == 0
    assert (tmp_path / "run/model.safetensors").read_bytes() == weights
    assert RunRecord.read(tmp_path / "run").metrics == first.metrics


def test_training_on_from_saved_weights_keeps_their_tokenizer(run, tmp_path):
    write_tsv(tmp_path / "more.tsv", pairs(100, seed=9))
    flags = ["--model_name_or_path", str(run), "--train_file", str(tmp_path / "more.tsv"), "--num_train_epochs", "1"]
    flags += ["--output_dir", str(tmp_path / "more"), "--learning_rate", "1e-5", "--test_size", "10"]
    assert train([str(run.parent / "tiny.yaml"), *flags]) == 0
    assert (tmp_path / "more/tokenizer.json").read_bytes() == (run / "tokenizer.json").read_bytes()
    assert RunRecord.read(tmp_path / "more").metrics["test"]["bleu"] > 80


def test_the_transformer_trains_by_loss_alone(run, tmp_path):
    """Without generation during training; the final figures are generated all the same."""
    sizes = {"vocab_size": 70, "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32}
    training = {name: value for name, value in RECIPE["training"].items() if "generat" not in name}
    recipe = {
        **RECIPE,
        "family": "transformer_seq2seq",
        "data": {**RECIPE["data"], "tokenizer_type": "unigram"},
        "model": {**sizes, "decoder_ffn_dim": 32, "dropout": 0.0},
        "training": {
            **training,
            "predict_with_generate": False,
            "metric_for_best_model": "perplexity",
            "greater_is_better": False,
        },
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    flags = ["--train_file", str(run.parent / "mine.tsv"), "--output_dir", str(tmp_path / "run"), "--bf16", "true"]
    assert train([str(tmp_path / "tiny.yaml"), *flags, "--num_train_epochs", "2", "--max_train_samples", "100"]) == 0
    record = RunRecord.read(tmp_path / "run")
    assert "bleu" in record.metrics["test"] and record.fit["metric"] == "perplexity"
    assert not any("eval_bleu" in entry for entry in record.history)
    # The final figures are of the saved weights in their own precision, as others will measure them.
    assert evaluate([str(tmp_path / "run"), "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    assert measured["test"]["perplexity"] == pytest.approx(record.metrics["test"]["perplexity"], rel=1e-5)


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 1, "name the data: --train_file mine.tsv, two aligned files, or --dataset_name"),
        (["--train_file", "/nowhere.tsv"], 1, "/nowhere.tsv"),
        (["--train_file", "mine.tsv", "--data_dir", "/mine"], 2, "--train_file and --data_dir both name the data"),
        (["--train_file", "MINE", "--dataset_name", "multi30k"], 2, "both name the data; leave one out"),
        (["--test_file", "MINE"], 1, "need --train_file"),
        (["--train_file", "MINE", "--source_column", "fr"], 1, "'fr'"),
        (["--train_file", "MINE", "MINE", "MINE"], 2, "one file, or two aligned files"),
        (["--train_file", "MINE", "--max_target_length", "1"], 2, "max_target_length=1 must be at least 2"),
        (["--train_file", "MINE", "--max_source_length", "2"], 1, "every pair has more than max_source_length=2"),
        (["--train_file", "MINE", "--tokenizer_type", "word"], 2, "tokenizer_type='word' is not one of"),
        (["--train_file", "MINE", "--model_overrides", "vocab_size=9000"], 1, "vocab"),
        (["--dataset_name", "multi30k", "--target_lang", "xx"], 1, "multi30k has no pair en-xx"),
        (["--train_file", "MINE", "--eval_strategy", "no", "--load_best_model_at_end", "false",
          "--save_strategy", "no"], 2, "early_stopping_patience evaluates on the validation split"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(run, tmp_path, capsys, flags, code, message):
    flags = [str(run.parent / "mine.tsv") if flag == "MINE" else flag for flag in flags]
    assert train([str(run.parent / "tiny.yaml"), *flags, "--output_dir", str(tmp_path / "run")]) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1] and error[-1].startswith("error: ") and "Traceback" not in "\n".join(error)


@pytest.mark.slow
def test_two_processes_measure_what_one_measures(run, tmp_path):
    """Rows are sorted, dealt to the processes and gathered again; the record must be in the data's own order."""
    root = Path(__file__).parents[2]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "scripts/accelerate/multi_cpu.yaml"]
    flags = ["--train_file", str(run.parent / "mine.tsv"), "--output_dir", str(tmp_path / "run")]
    flags += ["--num_train_epochs", "5", "--per_device_eval_batch_size", "7", "--validation_size", "39"]
    command = [*launch, "scripts/train.py", str(run.parent / "tiny.yaml"), *flags]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    record = RunRecord.read(tmp_path / "run")
    assert record.compute["processes"] == 2 and record.metrics["validation"]["n"] == 39
    assert record.compute["batches_per_epoch"] % 2 == 0
    assert record.metrics["test"]["perplexity"] < 0.2 * record.baselines["token_frequencies"]["perplexity"]
    assert evaluate([str(tmp_path / "run"), "--split", "all", "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]
    for split, metrics in record.metrics.items():
        assert measured[split] == pytest.approx(metrics, rel=1e-4)


def test_batches_by_tokens_need_rows_with_lengths(tiny_recipe, tmp_path, capsys):
    assert train([str(tiny_recipe), "--batch_tokens", "100", "--output_dir", str(tmp_path / "run")]) == 1
    assert "the rows of this data have no lengths" in capsys.readouterr().err


def test_the_card_says_what_the_record_says(run):
    record = RunRecord.read(run)
    card = render_card(record)
    assert "pipeline_tag: translation" in card and "baseline: nearest neighbour" in card
    assert f"{record.metrics['test']['bleu']:.2f}" in card and record.tables["signatures"]["chrf"] in card
    assert "400 training pairs were read" in card
