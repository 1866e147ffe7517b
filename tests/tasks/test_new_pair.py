"""A trained translator goes on with another language pair."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

from tests.tasks.pairs import pairs, write_tsv
from zoo.commands.card import main as card
from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.data.tokenizer import language_ids
from zoo.record import RunRecord
from zoo.tasks.translation import checks
from zoo.tasks.translation.batches import TranslationArguments, load_data
from zoo.training.build import build
from zoo.training.command_line import parse_run
from zoo.training.run import of_directions

# What has no letter in common with the parent's languages.
FOREIGN = str.maketrans("abcdefghijklmnopqrstuvwxyz", "абцдефгхийклмнопярстувжьыз")
MODELS = {
    "rnn_seq2seq": {"embedding_size": 24, "hidden_size": 32, "decoder_layers": 1, "dropout": 0.0},
    "transformer_seq2seq": {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_ffn_dim": 32,
        "decoder_ffn_dim": 32,
        "dropout": 0.0,
    },
}
QUICK = ["--use_cpu", "true", "--disable_tqdm", "true", "--num_train_epochs", "1", "--batch_tokens", "400"]
QUICK += "--generation_max_length 12 --num_beams 1 --max_target_length 24 --average_checkpoints 0".split()


def foreign_pairs(count: int, seed: int = 5) -> list[tuple[str, str]]:
    """English and a third language."""
    return [(source, source.lower().translate(FOREIGN)) for source, _ in pairs(count, seed)]


@pytest.fixture(scope="module", params=MODELS)
def parent(request, tmp_path_factory) -> Path:
    """A translator from English to Esperanto that has learned a little."""
    folder = tmp_path_factory.mktemp(request.param)
    recipe = {
        "family": request.param,
        "task": "translation",
        "data": {"tokenizer_type": "bpe" if request.param == "rnn_seq2seq" else "unigram", "test_size": 20},
        "model": {**MODELS[request.param], "vocab_size": 330},
        "training": {"learning_rate": "1e-2"},
        "publish": {"title": "Parent", "license": "apache-2.0", "summary": "A test.", "limits": ["All."]},
    }
    (folder / "parent.yaml").write_text(yaml.safe_dump(recipe))
    write_tsv(folder / "eo.tsv", pairs(300))
    write_tsv(folder / "ru.tsv", foreign_pairs(200), "en\tru")
    flags = ["--train_file", str(folder / "eo.tsv"), "--source_lang", "en", "--target_lang", "eo"]
    quick = [flag for flag in QUICK if flag != "--average_checkpoints"][:-1]
    assert (
        train([str(folder / "parent.yaml"), *flags, *quick, "--skip_test", "--output_dir", str(folder / "run")]) == 0
    )
    return folder / "run"


def new_pair(parent: Path, *flags: str) -> list[str]:
    """The command of a child."""
    given = ["--model_name_or_path", str(parent), "--train_file", str(parent.parent / "ru.tsv")]
    return ["translator-new-pair", *given, "--source_lang", "en", "--target_lang", "ru", *QUICK, *flags]


@pytest.mark.parametrize("vocabulary", ["extend", "replace", "keep"])
def test_a_child_of_either_family_by_one_command(parent, vocabulary, tmp_path, capsys):
    # Kept pieces spell Russian in bytes, two a letter.
    flags = ["--vocabulary", vocabulary, "--max_target_length", "128" if vocabulary == "keep" else "24"]
    assert train(new_pair(parent, *flags, "--output_dir", str(tmp_path / "run"))) == 0
    printed = capsys.readouterr().out
    before, after = AutoTokenizer.from_pretrained(parent), AutoTokenizer.from_pretrained(tmp_path / "run")
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "run")
    record = RunRecord.read(tmp_path / "run")
    notes = record.data["notes"]["vocabulary"]
    assert f"vocabulary: {vocabulary}\n  before, {len(before):,} pieces" in printed and "pieces a word" in printed
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
    flags = [
        "--max_train_samples",
        "10",
        "--vocabulary",
        "replace",
        "--skip_test",
        "--output_dir",
        str(tmp_path / "run"),
    ]
    assert train(new_pair(parent, *flags)) == 0
    record = RunRecord.read(tmp_path / "run")
    cleaning = record.data["notes"]["cleaning"]  # so small a vocabulary makes some targets longer than 24 pieces
    assert record.data["splits"]["train"]["n"] + cleaning.get("over_long", 0) == 10
    whole = 330  # of all 180 pairs
    assert record.data["notes"]["vocabulary"]["pieces"]["after"] < whole


def test_a_pair_is_kept_with_tags_and_the_record_tells_before_from_after(parent, tmp_path, capsys):
    keep = ["--keep_pair", f"en-eo:{parent.parent / 'eo.tsv'}", "--keep_ratio", "0.2"]
    assert train(new_pair(parent, *keep, "--output_dir", str(tmp_path / "run"))) == 0
    record = RunRecord.read(tmp_path / "run")
    kept = record.data["notes"]["kept_pairs"][0]
    assert kept["pair"] == "en-eo" and kept["wanted"] == 45  # beside 180 new ones
    assert kept["train"] == 45 - kept["cleaning"].get("over_long", 0) > 30
    assert "test bleu_en-eo:" in capsys.readouterr().out
    assert any("eval_bleu_en-eo" in entry and "eval_bleu" in entry for entry in record.history)
    for split in ("validation", "test"):
        assert record.before[split].keys() == record.metrics[split].keys()
        assert record.metrics[split]["n_en-eo"] > 5 and record.metrics[split]["n"] > 5
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run")
    assert list(language_ids(tokenizer)) == ["ru", "eo"]
    translate = pipeline("translation", model=str(tmp_path / "run"))
    assert "translation_text" in translate("The dog sees a cat.", tgt_lang="eo")[0]
    assert card([str(tmp_path / "run")]) == 0
    text, found = (tmp_path / "run/README.md").read_text(), [record.before["test"], record.metrics["test"]]
    for pair, end in (("en-ru", ""), ("en-eo", "_en-eo")):
        cells = [f"{scores[name + end]:.2f}" for name in ("bleu", "chrf") for scores in found]
        assert f"| {pair} | {found[1]['n' + end]} | {' | '.join(cells)} |" in text
    assert "It also translates en-eo: `tgt_lang` chooses" in text and ', tgt_lang="ru")' in text
    assert evaluate([str(tmp_path / "run"), "--output_dir", str(tmp_path / "out")]) == 0
    measured = json.loads((tmp_path / "out/evaluation.json").read_text())["metrics"]["test"]
    assert measured == pytest.approx(record.metrics["test"], rel=1e-4)


def test_figures_before_and_after_are_of_every_pair():
    names = ["n", "bleu", "bleu_low", "bleu_13a_lowercase", "chrf"]
    found = {f"{name}{end}": 1.0 for end in ("", "_en-pt_BR", "_zh_Hans-en") for name in names}
    assert of_directions("bleu", found) == ["bleu", "bleu_en-pt_BR", "bleu_zh_Hans-en"]


def test_rows_of_several_directions_begin_with_their_tags(parent):
    arguments = TranslationArguments(
        train_file=str(parent.parent / "ru.tsv"),
        source_lang="en",
        target_lang="ru",
        keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"],
        vocabulary="extend",
    )
    config, old = AutoConfig.from_pretrained(parent), AutoTokenizer.from_pretrained(parent)
    data = load_data(arguments, config, old)
    tags = language_ids(data.processor)
    for split in data.splits().values():
        for row in (0, len(split) - 1):
            tag = tags["ru" if split.direction[row] == 0 else "eo"]
            assert split[row][0].tolist() == [tag, *data.processor(split.sources[row])["input_ids"]]
            assert split[row][1].tolist() == data.processor(split.targets[row])["input_ids"]
        assert set(split.direction) == {0, 1} and (np.diff(split.direction) >= 0).all()
    view = data.validation.with_tokenizer(old)
    assert view[0][0].tolist() == old(view.sources[0])["input_ids"]  # the parent knows no tags
    assert all(number < data.train.own for number in data.train.measured.numbers)


def test_kept_pairs_are_learned_from_the_parent(parent, tmp_path):
    """The loss of a batch by hand: labels of the new pair, the parent's own opinion of the kept one."""
    keep = ["--keep_pair", f"en-eo:{parent.parent / 'eo.tsv'}", "--keep_ratio", "0.5", "--output_dir", str(tmp_path)]
    parts = build(parse_run(new_pair(parent, *keep, "--keep_weight", "3")))
    rows, trainer, model = parts.data.train, parts.trainer, parts.model.eval()
    batch = trainer.data_collator([rows[row] for row in (0, 1, len(rows) - 2, len(rows) - 1)])
    taught = trainer.teacher.rows(batch)
    assert taught.tolist() == [False, False, True, True]
    labels, old = batch["labels"], AutoModelForSeq2SeqLM.from_pretrained(parent)
    with torch.no_grad():
        likely = model(**batch, skip_logits=False).logits.log_softmax(-1)
        untagged = {"input_ids": batch["input_ids"][2:, 1:], "attention_mask": batch["attention_mask"][2:, 1:]}
        said = old(**untagged, decoder_input_ids=batch["decoder_input_ids"][2:]).logits.softmax(-1)
    true = labels[:2].clamp(min=0)
    smooth = 0.1 * likely[:2].mean(-1) + 0.9 * likely[:2].gather(-1, true[..., None])[..., 0]
    said_of_kept = (said * likely[2:, :, : said.shape[-1]]).sum(-1)[labels[2:] != -100].sum()
    by_hand = -smooth[labels[:2] != -100].sum() - 3 * said_of_kept
    model.train()  # without dropout
    loss = trainer.compute_loss(model, dict(batch), num_items_in_batch=torch.tensor(50.0))
    assert loss.item() == pytest.approx(by_hand.item() / 50, rel=1e-4)
    loss.backward()
    assert all(value.grad is None for value in trainer.teacher.parent.parameters())
    strange = {**batch, "labels": labels.masked_fill(labels == labels[2, 0], len(parts.processor) - 1)}
    assert not trainer.teacher.rows(strange)[2]  # the parent has no such piece
    assert build(parse_run(new_pair(parent, *keep, "--keep_targets", "truth"))).trainer.teacher is None
    assert build(parse_run(new_pair(parent, *keep, "--vocabulary", "replace"))).trainer.teacher is None
    with pytest.raises(
        ValueError, match="keep_targets=parent: vocabulary=replace drops the pieces of the parent; use --keep_targets"
    ):
        build(parse_run(new_pair(parent, *keep, "--vocabulary", "replace", "--keep_targets", "parent")))


def test_kept_pairs_that_the_parent_cannot_teach(parent, tmp_path):
    """Each is told; who asks for the parent's opinion where it has none is refused."""
    given, folder = f"en-eo:{parent.parent / 'eo.tsv'}", ["--output_dir", str(tmp_path)]
    (tmp_path / "xx.tsv").write_text((parent.parent / "eo.tsv").read_text().replace("en\teo", "en\tmt"))
    both = build(parse_run(new_pair(parent, "--keep_pair", given, f"en-mt:{tmp_path / 'xx.tsv'}", *folder)))
    assert both.trainer.teacher.tags.tolist() == [language_ids(both.processor)["eo"]]
    again = build(parse_run(new_pair(parent, "--keep_pair", given, *folder)), shared_data=both.data).data
    assert sum("from their targets" in line for line in both.data.remarks) == 1 and again is not both.data
    told = "\n".join(both.data.remarks)
    assert "kept pairs: en-eo as the parent translates them\n  en-mt: from their targets" in told
    (tmp_path / "yy.tsv").write_text((parent.parent / "eo.tsv").read_text().replace("en\teo", "mt\teo"))
    unread = build(parse_run(new_pair(parent, "--keep_pair", f"mt-eo:{tmp_path / 'yy.tsv'}", *folder)))
    assert unread.trainer.teacher is None
    strange = new_pair(parent, "--keep_pair", f"en-mt:{tmp_path / 'xx.tsv'}", *folder)
    parts = build(parse_run(strange))
    assert (
        parts.trainer.teacher is None
        and "from their targets, since the parent is not known to translate en-mt" in "\n".join(parts.data.remarks)
    )
    for command, reason in (
        (strange, "the parent is not known to translate en-mt"),
        (new_pair(parent, "--keep_pair", given, "--random_weights", *folder), "the run starts from random weights"),
        (new_pair(parent, *folder), "speaks of kept pairs, and there are none"),
    ):
        with pytest.raises(ValueError, match=f"keep_targets=parent:? {reason}"):
            build(parse_run([*command, "--keep_targets", "parent"]))


def test_data_of_one_kept_pair_have_equal_shares(parent, tmp_path):
    lines = (parent.parent / "eo.tsv").read_text().splitlines(keepends=True)
    (tmp_path / "more.tsv").write_text(lines[0] + "".join(line.replace("\t", " now\tnun ") for line in lines[1:]))
    data = load(
        parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}", f"en-eo:{tmp_path / 'more.tsv'}"], keep_ratio=0.4
    )
    assert [note["train"] for note in data.notes["kept_pairs"]] == [60, 60]  # beside 180 new ones
    assert [len(data.train.rows_of(number)) for number in (1, 2)] == [60, 60]
    assert len(data.validation.rows_of(1)) > 0 and len(data.validation.rows_of(2)) == 0
    assert list(language_ids(data.processor)) == ["ru", "eo"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--keep_pair", "eo.tsv"], "keep_pair='eo.tsv' is not SOURCE-TARGET:FILE"),
        (["--keep_pair", "en-ru:multi30k"], "the tag >>ru<< cannot stand for two of them"),
        (["--keep_weight", "0"], "keep_weight=0.0 must be above 0"),
        (["--keep_targets", "mine"], "keep_targets='mine' is not one of parent, truth"),
        (["--keep_pair", "en-eo:x.tsv", "--keep_ratio", "1"], "keep_ratio=1.0 must be above 0 and below 1"),
        (["--keep_pair", "en-eo:x.tsv"], "x.tsv is neither a file nor a data set that the library knows by name"),
    ],
)
def test_kept_pairs_that_make_no_sense(parent, tmp_path, capsys, flags, message):
    assert train(new_pair(parent, *flags, "--output_dir", str(tmp_path / "run"))) in (1, 2)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "flags", "code", "message"),
    [
        ("", [], 1, "is empty"),
        ("A dog.\tпес.\n", [], 1, "1 pairs are too few to set aside 1 for test, 1 for validation"),
        ("A dog.\tA dog.\nA cat.\tA cat.\nA man.\tA man.\nA fox.\tA fox.\n", [], 1, "no pair is left after cleaning"),
        (None, ["--vocabulary", "grow"], 2, "vocabulary='grow' is not one of keep, extend, replace"),
        (None, ["--lora_rank", "2", "--random_weights", "true"], 2, "weights: leave --random_weights out"),
        (None, ["--vocabulary_size", "50"], 1, "vocabulary_size=50 is less than the"),
        (None, ["--model_name_or_path", "model_cards/fashion-cnn"], 2, "the family fashion_cnn does image_class"),
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
    flags = [
        "--vocabulary",
        "keep",
        "--max_target_length",
        "128",
        "--skip_test",
        "--output_dir",
        str(tmp_path / "run"),
    ]
    assert train([*new_pair(parent), "--model_name_or_path", str(tmp_path / "parent"), *flags]) == 0
    saved = json.loads((tmp_path / "run/generation_config.json").read_text())
    assert saved["num_beams"] == 1 and not saved.keys() & {"early_stopping", "length_penalty"}


def test_a_flag_for_several_pairs_may_stand_several_times(parent):
    flags = ["--keep_pair", "en-eo:a.tsv", "--keep_pair", "eo-ru:b.tsv", "en-fr:c.tsv"]
    assert parse_run(new_pair(parent, *flags)).data.keep_pair == ["en-eo:a.tsv", "eo-ru:b.tsv", "en-fr:c.tsv"]


def load(parent, **given):
    """The data of a child, with the parent's tokenizer."""
    files = {"train_file": str(parent.parent / "ru.tsv"), "source_lang": "en", "target_lang": "ru"}
    arguments = TranslationArguments(**{**files, "vocabulary": "extend", **given})
    return load_data(arguments, AutoConfig.from_pretrained(parent), AutoTokenizer.from_pretrained(parent))


def test_pairs_that_are_too_long_are_told_and_counted_for_their_own_pair(parent):
    keep = {"keep_pair": [f"en-eo:{parent.parent / 'eo.tsv'}"], "vocabulary": "keep"}
    with pytest.raises(ValueError, match="ru.tsv: every pair has more than max_source_length=128 or max_target"):
        load(parent, **keep, max_target_length=20)  # in bytes all of the new pair is longer, the kept one is not
    data = load(parent, **keep, max_target_length=45, keep_ratio=0.6)
    new, kept = (len(data.train.rows_of(number)) for number in (0, 1))
    cleaning, (note,) = data.notes["cleaning"], data.notes["kept_pairs"]
    assert new == cleaning["kept"] == 180 - cleaning["over_long"] and cleaning["over_long"] > 40
    assert kept == note["train"]
    (told,) = (remark for remark in data.remarks if "max_target_length" in remark)
    assert re.match(r"warning: ru.tsv: \d\d% of 180 training pairs were dropped, which have more than", told)


def test_each_epoch_sees_other_kept_pairs(parent):
    """As many and about as long ones; the new pair's rows stay, and what is over-long does not come."""
    rows = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"], keep_ratio=0.2).train
    tokenizer, own, kept = rows.tokenizer, rows.rows_of(0), rows.rows_of(1)
    assert len(rows.rounds) > 1 and all(len(part) == 45 for part in rows.rounds)
    seen: list[list[str]] = []
    for epoch in range(len(rows.rounds) + 1):
        rows.set_epoch(epoch)
        assert all(np.array_equal(rows[row][0], rows.encoded[0][0][row]) for row in own[:9])
        seen.append([tokenizer.decode(rows[row][0], skip_special_tokens=True) for row in kept])
        assert len(set(seen[-1])) == len(kept) and all(rows[row][0][0] == rows.encoded[0][0][row][0] for row in kept)
        lengths = np.array([[len(rows[row][0]), len(rows.encoded[0][0][row])] for row in kept])
        assert np.abs(np.subtract(*lengths.T)).mean() < 0.25 * lengths.mean()
    assert not {*seen[0]} & {*seen[1]} and not {*seen[1]} & {*seen[2]}
    rows.set_epoch(len(rows.rounds) + 1)
    assert [tokenizer.decode(rows[row][0], skip_special_tokens=True) for row in kept] == seen[0]
    limit = int(np.percentile(rows.lengths[kept, 1], 80))
    short = load(
        parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"], keep_ratio=0.2, max_target_length=limit
    ).train
    assert any(part.long.any() for part in short.rounds)
    for epoch in range(len(short.rounds) + 1):
        short.set_epoch(epoch)
        assert {int(short[row][1][-1]) for row in range(len(short))} == {tokenizer.eos_token_id}
        assert not any(one.is_cut(row) for one, row in map(short.row_of_epoch, range(len(short))))


def test_kept_pairs_that_are_too_few_are_told(parent):
    data = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"], keep_ratio=0.9)
    wanted = "warning: eo.tsv: keep_ratio=0.9 asks for 1,620 training pairs of en-eo, and there are 2"
    assert any(remark.startswith(wanted) for remark in data.remarks)


def test_a_kept_pair_of_two_aligned_files(parent, tmp_path):
    """The same pairs as from one file, and a second file that is not there is told."""
    sources, targets = zip(*(line.split("\t") for line in (parent.parent / "eo.tsv").read_text().splitlines()[1:]))
    (tmp_path / "old.en").write_text("\n".join(sources) + "\n")
    (tmp_path / "old.eo").write_text("\n".join(targets) + "\n")
    one = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"]).train
    two = load(parent, keep_pair=[f"en-eo:{tmp_path / 'old.en'},{tmp_path / 'old.eo'}"]).train
    assert len(one.rows_of(1)) > 0 and len(one) == len(two)
    kept = [[(pairs.sources[row], pairs.targets[row]) for row in pairs.rows_of(1)] for pairs in (one, two)]
    assert kept[0] == kept[1]
    with pytest.raises(ValueError, match=r"no\.eo is not a file"):
        load(parent, keep_pair=[f"en-eo:{tmp_path / 'old.en'},{tmp_path / 'no.eo'}"])


def test_a_sample_of_validation_has_as_many_rows_of_each_pair(parent):
    """Else a large kept pair would leave but some rows of the new one to choose between checkpoints by."""
    rows = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"]).train
    few = rows.select(np.r_[rows.rows_of(0)[:30], rows.rows_of(1)[:20]])
    for limit, counts in ((20, (10, 10)), (45, (25, 20)), (50, (30, 20)), (99, (30, 20))):
        part = few.take(limit)
        assert tuple(len(part.rows_of(number)) for number in (0, 1)) == counts
        assert (np.diff(part.direction) >= 0).all()


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
    (other / "config.json").write_text(json.dumps({**config, "vocab_size": config["vocab_size"] + 7}))
    assert (
        train([*new_pair(other), "--train_file", str(parent.parent / "ru.tsv"), "--output_dir", str(tmp_path / "r")])
        == 1
    )
    assert "they do not belong together" in capsys.readouterr().err
    (other / "config.json").write_text(json.dumps({**config, "eos_token_id": 2}))
    assert (
        train([*new_pair(other), "--train_file", str(parent.parent / "ru.tsv"), "--output_dir", str(tmp_path / "r")])
        == 1
    )
    assert "the model has eos_token_id=2, its tokenizer eos_token_id=3" in capsys.readouterr().err


def test_every_command_of_the_page_runs(parent, tmp_path, monkeypatch, capsys):
    """docs/new_language_pair.md from top to bottom, with a tiny parent and few pairs."""
    page = (Path(__file__).parents[2] / "docs/new_language_pair.md").read_text()
    lines = [line for block in re.findall(r"```bash\n(.*?)```", page, flags=re.S) for line in block.splitlines()]
    for name, file in (("mine", "ru"), ("old", "eo")):
        rows = (parent.parent / f"{file}.tsv").read_text().splitlines()[1:80]
        (tmp_path / f"{name}.tsv").write_text("\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    run = {"train.py": train, "evaluate.py": evaluate, "card": card}
    ran = []
    for line in lines:
        words = shlex.split(line.replace("model_cards/transformer-translator-en-de", str(parent)))
        place = next(place for place, word in enumerate(words) if word.rpartition("/")[2] in run)
        name, flags = words[place].rpartition("/")[2], words[place + 1 :]
        assert run[name]([*flags, *(QUICK if name == "train.py" else [])]) == 0, line
        ran.append(name)
    assert ran == ["train.py"] * 3 + ["evaluate.py", "card"]
    for folder in ("mine", "both", "lora"):
        model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path / "runs" / folder)
        assert len(AutoTokenizer.from_pretrained(tmp_path / "runs" / folder)) == model.config.vocab_size
        assert not any("lora" in name for name in model.state_dict())
    assert (tmp_path / "runs/mine/README.md").is_file()


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
    for name in tables:  # a row for each piece: those of old pieces stay
        assert torch.equal(new[name][: len(old[name])], old[name]) and len(new[name]) > len(old[name])
    same = {name: value.shape == new[name].shape and torch.equal(value, new[name]) for name, value in old.items()}
    changed = [name for name, value in old.items() if value.shape == new[name].shape and not same[name]]
    assert changed and all(name.endswith("weight") and "norm" not in name for name in changed)


def test_swapped_columns_are_told(parent, monkeypatch):
    """The model's own uncertainty decides; here it is told what to be, since tiny parents are sure of nothing."""
    data = load_data(
        TranslationArguments(train_file=str(parent.parent / "ru.tsv"), source_lang="en", target_lang="ru"),
        AutoConfig.from_pretrained(parent),
        AutoTokenizer.from_pretrained(parent),
    )
    surer = {True: 0.4, False: 1.8}
    monkeypatch.setattr(checks, "uncertainty", lambda model, tokenizer, texts: surer[texts[0].isascii()])
    model = torch.nn.Identity()
    assert checks.check_parent(model, data.processor, data.train, {"source_lang": "en", "target_lang": "eo"}) == []
    data.train.sources, data.train.targets = data.train.targets, data.train.sources
    (warning,) = checks.check_parent(model, data.processor, data.train, {"source_lang": "en", "target_lang": "eo"})
    assert "the columns look swapped" in warning and "(0.40 nats a token)" in warning
    assert (
        checks.check_parent(model, data.processor, data.train, {"source_lang": "fr", "target_lang": "eo"}) == []
    )  # it cannot tell


def test_a_model_is_surer_of_what_it_knows(parent):
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(parent), AutoTokenizer.from_pretrained(parent)
    values = [checks.uncertainty(model, tokenizer, [pair[side] for pair in pairs(8)]) for side in (0, 1)]
    assert all(0 < value < 20 for value in values)
