"""A trained translator goes on with another language pair."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

from tests.tasks.new_pairs import QUICK, each_family, new_pair
from tests.tasks.pairs import pairs
from zoo.commands.card import main as card
from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.record import RunRecord
from zoo.tasks.base import Parent
from zoo.tasks.translation import TASK
from zoo.tasks.translation.arguments import TranslationArguments
from zoo.tasks.translation.new_pair import checks


@each_family
@pytest.mark.parametrize("vocabulary", ["extend", "replace", "keep"])
def test_a_child_of_either_family_by_one_command(parent, vocabulary, tmp_path, capsys):
    # The old tokens spell Russian in bytes, two a letter.
    flags = ["--vocabulary", vocabulary, "--max_target_length", "128" if vocabulary == "keep" else "24"]
    assert train(new_pair(parent, *flags, "--output_dir", str(tmp_path / "run"))) == 0
    printed = capsys.readouterr().out
    before, after = AutoTokenizer.from_pretrained(parent), AutoTokenizer.from_pretrained(tmp_path / "run")
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "run")
    record = RunRecord.read(tmp_path / "run")
    notes = record.data["notes"]["vocabulary"]
    assert f"vocabulary: {vocabulary}\n  before, {len(before):,} tokens" in printed and "tokens a word" in printed
    assert ("warning: the vocabulary does not fit ru" in printed) == (vocabulary == "keep")
    assert notes["fit"]["before"]["target"]["byte_share"] > 0.3
    assert (after.get_vocab() == before.get_vocab()) == (vocabulary == "keep")
    assert len(after) == model.config.vocab_size == model.get_output_embeddings().weight.shape[0]
    assert model.config.model_type == record.recipe["family"] == parent.parent.name[:-1]
    for name in ("pad", "bos", "eos"):
        number = getattr(after, f"{name}_token_id")
        assert number == getattr(model.config, f"{name}_token_id")
        assert number == getattr(model.generation_config, f"{name}_token_id")
    assert "translation_text" in pipeline("translation", model=str(tmp_path / "run"))("The dog sees a cat.")[0]
    assert record.metrics["test"]["n"] > 5
    # What is measured again is the child with its own vocabulary, which is not changed a second time.
    assert evaluate([str(tmp_path / "run"), "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]["test"]
    assert measured == pytest.approx(record.metrics["test"], rel=1e-4)


def test_random_weights_take_everything_but_the_weights(parent, tmp_path):
    runs = {}
    for name, flags in {"child": [], "scratch": ["--random_weights", "true"]}.items():
        folder = tmp_path / name
        assert train(new_pair(parent, *flags, "--skip_test", "--output_dir", str(folder))) == 0
        runs[name] = RunRecord.read(folder)
    texts = [(tmp_path / name / "tokenizer.json").read_text() for name in runs]
    assert texts[0] == texts[1]
    losses = [[entry["eval_loss"] for entry in record.history if "eval_loss" in entry][0] for record in runs.values()]
    assert losses[0] != losses[1]
    steps = [max(entry["step"] for entry in record.history) for record in runs.values()]
    assert steps[0] == steps[1] and runs["child"].compute["parameters"] == runs["scratch"].compute["parameters"]


def test_the_tokenizer_learns_from_the_pairs_that_training_sees(parent, tmp_path):
    flags = ["--max_train_samples", "10", "--vocabulary", "replace", "--skip_test", "--output_dir"]
    flags.append(str(tmp_path / "run"))
    assert train(new_pair(parent, *flags)) == 0
    record = RunRecord.read(tmp_path / "run")
    cleaning = record.data["notes"]["cleaning"]  # so small a vocabulary makes some targets longer than 24 tokens
    assert record.data["splits"]["train"]["n"] + cleaning.get("over_long", 0) == 10
    whole = 330  # of all 180 pairs
    assert record.data["notes"]["vocabulary"]["tokens"]["after"] < whole


@pytest.mark.parametrize(
    ("content", "flags", "code", "message"),
    [
        ("", [], 1, "is empty"),
        ("A dog.\tпес.\n", [], 1, "1 pairs are too few to set aside 1 for test, 1 for validation"),
        ("A dog.\tA dog.\nA cat.\tA cat.\nA man.\tA man.\nA fox.\tA fox.\n", [], 1, "no pair is left after cleaning"),
        (None, ["--vocabulary", "grow"], 2, "vocabulary='grow' is not one of keep, extend, replace"),
        (None, ["--lora_rank", "2", "--random_weights", "true"], 2, "weights: leave --random_weights out"),
        (None, ["--vocabulary_size", "50"], 1, "vocabulary_size=50 is less than the"),
        (None, ["--model_name_or_path", "model_cards/fashion-cnn"], 2, "the family fashion_cnn can do image_class"),
        (None, ["--model_name_or_path", "/nowhere/at/all"], 2, "cannot load --model_name_or_path /nowhere/at/all"),
        (None, ["--model_name_or_path", "fashion-cn"], 2, "did you mean 'fashion-cnn'?"),
        (None, ["--model_name_or_path", ""], 2, "takes its family: name it with --model_name_or_path"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line(parent, tmp_path, capsys, content, flags, code, message):
    flags = [*flags, "--output_dir", str(tmp_path / "run")]
    if content is not None:
        (tmp_path / "mine.tsv").write_text(content)
        flags += ["--train_file", str(tmp_path / "mine.tsv")]
    assert train(new_pair(parent, *flags)) == code
    error = capsys.readouterr().err.strip().splitlines()
    assert message in error[-1] and error[-1].startswith("error: ")


def test_settings_of_beams_that_the_parent_has_do_not_stay_without_beams(parent, tmp_path):
    shutil.copytree(parent, tmp_path / "parent")
    settings = json.loads((parent / "generation_config.json").read_text())
    beams = {**settings, "num_beams": 5, "early_stopping": True, "length_penalty": 1.2}
    (tmp_path / "parent/generation_config.json").write_text(json.dumps(beams))
    flags = ["--vocabulary", "keep", "--max_target_length", "128", "--skip_test", "--output_dir"]
    flags.append(str(tmp_path / "run"))
    assert train([*new_pair(parent), "--model_name_or_path", str(tmp_path / "parent"), *flags]) == 0
    saved = json.loads((tmp_path / "run/generation_config.json").read_text())
    assert saved["num_beams"] == 1 and not saved.keys() & {"early_stopping", "length_penalty"}


def test_a_child_of_a_model_with_tags(parent, tmp_path, capsys):
    keep = ["--keep_pair", f"en-eo:{parent.parent / 'eo.tsv'}"]
    assert train(new_pair(parent, *keep, "--skip_test", "--output_dir", str(tmp_path / "run"))) == 0
    assert "tag >>" not in capsys.readouterr().out
    given = ["--model_name_or_path", str(tmp_path / "run"), "--train_file", str(parent.parent / "eo.tsv")]
    command = ["translator-new-pair", *given, *QUICK, "--skip_test", "--output_dir", str(tmp_path / "child")]
    assert train(command) == 1  # without a tag it would learn what nobody can ask for
    assert "the model has tags of target languages (ru, eo): say which one" in capsys.readouterr().err
    assert train([*command, "--source_lang", "en", "--target_lang", "eo"]) == 0
    assert "tag >>" not in capsys.readouterr().out  # the parent's own recipe says which language it is
    assert card([str(tmp_path / "child")]) == 0
    text = (tmp_path / "child/README.md").read_text()
    assert ', tgt_lang="eo")' in text
    with pytest.raises(ValueError, match="the model translates into ru, eo"):
        pipeline("translation", model=str(tmp_path / "child"))("The dog sees a cat.")


def test_a_tokenizer_of_another_model_is_refused(parent, tmp_path, capsys):
    other = tmp_path / "other"
    other.mkdir()
    for file in ("model.safetensors", "generation_config.json", "tokenizer.json", "tokenizer_config.json"):
        (other / file).write_bytes((parent / file).read_bytes())
    config = json.loads((parent / "config.json").read_text())
    given = ["--train_file", str(parent.parent / "ru.tsv"), "--output_dir", str(tmp_path / "run")]
    for change, message in (
        ({"vocab_size": config["vocab_size"] + 7}, "they do not belong together"),
        ({"eos_token_id": 2}, "the model has eos_token_id=2, its tokenizer eos_token_id=3"),
    ):
        (other / "config.json").write_text(json.dumps({**config, **change}))
        assert train([*new_pair(other), *given]) == 1 and message in capsys.readouterr().err


def test_every_command_of_the_page_runs(parent, tmp_path, monkeypatch, capsys):
    """docs/guides/new_language_pair.md from top to bottom, with a tiny parent and few pairs."""
    page = (Path(__file__).parents[2] / "docs/guides/new_language_pair.md").read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, flags=re.S) for line in block.splitlines()]
    for name, file in (("mine", "ru"), ("old", "eo")):
        rows = (parent.parent / f"{file}.tsv").read_text().splitlines()[1:80]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    run = {"train": train, "evaluate": evaluate, "card": card}
    ran = []
    for line in lines:
        _, name, *flags = shlex.split(line.replace("transformer-translator-en-de", str(parent)))
        assert run[name]([*flags, *(QUICK if name == "train" else [])]) == 0, line
        ran.append(name)
    assert ran == ["train", "evaluate", "card", "train"]
    for folder in ("mine", "both"):
        model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "runs" / folder)
        assert len(AutoTokenizer.from_pretrained(tmp_path / "runs" / folder)) == model.config.vocab_size
    assert (tmp_path / "runs/mine/README.md").is_file()


@each_family
@pytest.mark.parametrize("tied", [True, False])
def test_lora_trains_less_and_saves_a_plain_model(parent, tied, tmp_path):
    if not tied:
        model = AutoModelForSeq2SeqLM.from_pretrained(parent)
        model = type(model)(type(model.config)(**{**model.config.to_dict(), "tie_word_embeddings": False}))
        model.save_pretrained(tmp_path / "parent")
        AutoTokenizer.from_pretrained(parent).save_pretrained(tmp_path / "parent")
    old_folder = parent if tied else tmp_path / "parent"
    # What is frozen does not decay either.
    flags = ["--lora_rank", "2", "--weight_decay", "0.1", "--skip_test", "--output_dir", str(tmp_path / "run")]
    given = ["--model_name_or_path", str(old_folder)]
    assert train([*new_pair(parent), *given, *flags]) == 0
    old, new = (load_file(folder / "model.safetensors") for folder in (old_folder, tmp_path / "run"))
    assert old.keys() == new.keys()
    tables = [name for name, value in old.items() if value.shape[:1] != new[name].shape[:1]]
    assert len(tables) > (1 if "lm_head.bias" in old else 0) + (not tied)
    for name in tables:  # a row for each token: those of old tokens stay
        assert torch.equal(new[name][: len(old[name])], old[name]) and len(new[name]) > len(old[name])
    same = {name: value.shape == new[name].shape and torch.equal(value, new[name]) for name, value in old.items()}
    changed = [name for name, value in old.items() if value.shape == new[name].shape and not same[name]]
    assert changed and all(name.endswith("weight") and "norm" not in name for name in changed)


def test_swapped_columns_are_a_warning(parent, monkeypatch):
    """The model's own uncertainty decides; here it is set, since tiny parents are sure of nothing."""
    arguments = TranslationArguments(train_file=str(parent.parent / "ru.tsv"), source_lang="en", target_lang="ru")
    tokenizer = AutoTokenizer.from_pretrained(parent)
    train = TASK(arguments).load_data(AutoConfig.from_pretrained(parent), tokenizer).train
    english, french = (
        Parent(str(parent), tokenizer, {"source_lang": lang, "target_lang": "eo"}) for lang in ("en", "fr")
    )
    surer = {True: 0.4, False: 1.8}
    monkeypatch.setattr(checks, "uncertainty", lambda model, tokenizer, texts: surer[texts[0].isascii()])
    assert checks.check_pairs(english, AutoModelForSeq2SeqLM, train) == []
    train.sources, train.targets = train.targets, train.sources
    (warning,) = checks.check_pairs(english, AutoModelForSeq2SeqLM, train)
    assert "the columns look swapped" in warning and "(0.40 nats a token)" in warning
    assert checks.check_pairs(french, AutoModelForSeq2SeqLM, train) == []  # it cannot tell


@each_family
def test_a_model_is_surer_of_what_it_knows(parent):
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(parent), AutoTokenizer.from_pretrained(parent)
    values = [checks.uncertainty(model, tokenizer, [pair[side] for pair in pairs(8)]) for side in (0, 1)]
    assert all(0 < value < 20 for value in values)
