"""Old language pairs are replayed while a translator learns a new one."""

import json
import re

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer, pipeline

from tests.tasks.new_pairs import each_family, new_pair
from zoo.commands.card import main as card
from zoo.commands.evaluate import main as evaluate
from zoo.commands.train import main as train
from zoo.data.tokenizer import language_ids
from zoo.record import RunRecord
from zoo.tasks.translation import TASK
from zoo.tasks.translation.arguments import TranslationArguments
from zoo.training.build import build
from zoo.training.command_line import parse_run


def load(parent, **given):
    """The data of a child, with the parent's tokenizer."""
    files = {"train_file": str(parent.parent / "ru.tsv"), "source_lang": "en", "target_lang": "ru"}
    arguments = TranslationArguments(**{**files, "vocabulary": "extend", **given})
    return TASK(arguments).load_data(AutoConfig.from_pretrained(parent), AutoTokenizer.from_pretrained(parent))


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


def test_metrics_before_and_after_are_of_every_pair():
    names = ["n", "bleu", "bleu_low", "bleu_13a_lowercase", "chrf"]
    found = {f"{name}{end}": 1.0 for end in ("", "_en-pt_BR", "_zh_Hans-en") for name in names}
    assert TASK(TranslationArguments()).compared_metrics(found) == ["bleu", "bleu_en-pt_BR", "bleu_zh_Hans-en"]


@each_family
def test_rows_of_several_directions_begin_with_their_tags(parent):
    data, old = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"]), AutoTokenizer.from_pretrained(parent)
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


@each_family
def test_replay_is_learned_from_the_parent(parent, tmp_path):
    """The loss of a batch by hand: labels of the new pair, the parent's probabilities of the replayed one."""
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
    assert not trainer.teacher.rows(strange)[2]  # the parent does not have this token
    assert build(parse_run(new_pair(parent, *keep, "--keep_targets", "truth"))).task.teacher is None
    assert build(parse_run(new_pair(parent, *keep, "--vocabulary", "replace"))).task.teacher is None
    with pytest.raises(
        ValueError, match="keep_targets=parent: vocabulary=replace drops the tokens of the parent; use --keep_targets"
    ):
        build(parse_run(new_pair(parent, *keep, "--vocabulary", "replace", "--keep_targets", "parent")))


def test_pairs_that_the_parent_cannot_teach(parent, tmp_path):
    """Each is a warning, or an error with --keep_targets parent."""
    given, folder = f"en-eo:{parent.parent / 'eo.tsv'}", ["--output_dir", str(tmp_path)]
    (tmp_path / "xx.tsv").write_text((parent.parent / "eo.tsv").read_text().replace("en\teo", "en\tmt"))
    both = build(parse_run(new_pair(parent, "--keep_pair", given, f"en-mt:{tmp_path / 'xx.tsv'}", *folder)))
    assert both.task.teacher.tags.tolist() == [language_ids(both.processor)["eo"]]
    # The trials of a search share the data.
    again = build(parse_run(new_pair(parent, "--keep_pair", given, *folder)), shared_data=both.data)
    assert again.data is both.data and again.warnings == both.warnings
    warnings = "\n".join(both.warnings)
    assert "replay: en-eo as the parent translates them\n  en-mt: from their targets" in warnings
    (tmp_path / "yy.tsv").write_text((parent.parent / "eo.tsv").read_text().replace("en\teo", "mt\teo"))
    unread = build(parse_run(new_pair(parent, "--keep_pair", f"mt-eo:{tmp_path / 'yy.tsv'}", *folder)))
    assert unread.task.teacher is None
    strange = new_pair(parent, "--keep_pair", f"en-mt:{tmp_path / 'xx.tsv'}", *folder)
    parts = build(parse_run(strange))
    assert parts.task.teacher is None
    assert "replay: from targets, since the parent is not known to translate en-mt" in "\n".join(parts.warnings)
    for command, reason in (
        (strange, "the parent is not known to translate en-mt"),
        (new_pair(parent, "--keep_pair", given, "--random_weights", *folder), "the run starts from random weights"),
        (new_pair(parent, *folder), "needs language pairs to replay"),
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


def test_a_flag_for_several_pairs_may_be_repeated(parent):
    flags = ["--keep_pair", "en-eo:a.tsv", "--keep_pair", "eo-ru:b.tsv", "en-fr:c.tsv"]
    assert parse_run(new_pair(parent, *flags)).data.keep_pair == ["en-eo:a.tsv", "eo-ru:b.tsv", "en-fr:c.tsv"]


@each_family
def test_pairs_that_are_too_long_are_counted_for_their_own_pair(parent):
    keep = {"keep_pair": [f"en-eo:{parent.parent / 'eo.tsv'}"], "vocabulary": "keep"}
    with pytest.raises(ValueError, match="ru.tsv: every pair has more than max_source_length=128 or max_target"):
        load(parent, **keep, max_target_length=20)  # in bytes all of the new pair is longer, the kept one is not
    data = load(parent, **keep, max_target_length=45, keep_ratio=0.6)
    new, kept = (len(data.train.rows_of(number)) for number in (0, 1))
    cleaning, (note,) = data.notes["cleaning"], data.notes["kept_pairs"]
    assert new == cleaning["kept"] == 180 - cleaning["over_long"] and cleaning["over_long"] > 40
    assert kept == note["train"]
    (warning,) = (line for line in data.warnings if "max_target_length" in line)
    assert re.match(r"warning: ru.tsv: \d\d% of 180 training pairs were dropped, which have more than", warning)


def test_each_epoch_replays_other_pairs(parent):
    """As many and about as long ones; the new pair's rows stay, and what is over-long does not come."""
    rows = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"], keep_ratio=0.2).train
    tokenizer, own, kept = rows.tokenizer, rows.rows_of(0), rows.rows_of(1)
    assert len(rows.rounds) > 1 and all(len(part) == 45 for part in rows.rounds)
    seen: list[list[str]] = []
    for epoch in range(len(rows.rounds) + 1):
        rows.set_epoch(epoch)
        assert all(np.array_equal(rows[row][0], rows.encoded.sources[row]) for row in own[:9])
        seen.append([tokenizer.decode(rows[row][0], skip_special_tokens=True) for row in kept])
        assert len(set(seen[-1])) == len(kept) and all(rows[row][0][0] == rows.encoded.sources[row][0] for row in kept)
        lengths = np.array([[len(rows[row][0]), len(rows.encoded.sources[row])] for row in kept])
        assert np.abs(np.subtract(*lengths.T)).mean() < 0.25 * lengths.mean()
    assert not {*seen[0]} & {*seen[1]} and not {*seen[1]} & {*seen[2]}
    rows.set_epoch(len(rows.rounds) + 1)
    assert [tokenizer.decode(rows[row][0], skip_special_tokens=True) for row in kept] == seen[0]
    limit = int(np.percentile(rows.lengths[kept, 1], 80))
    short = load(
        parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"], keep_ratio=0.2, max_target_length=limit
    ).train
    assert any(part.is_long.any() for part in short.rounds)
    for epoch in range(len(short.rounds) + 1):
        short.set_epoch(epoch)
        assert {int(short[row][1][-1]) for row in range(len(short))} == {tokenizer.eos_token_id}
        assert not any(one.is_long[row] for one, row in map(short.row_of_epoch, range(len(short))))


def test_too_few_pairs_to_replay_are_a_warning(parent):
    data = load(parent, keep_pair=[f"en-eo:{parent.parent / 'eo.tsv'}"], keep_ratio=0.9)
    wanted = "warning: eo.tsv: keep_ratio=0.9 asks for 1,620 training pairs of en-eo, and there are 2"
    assert any(warning.startswith(wanted) for warning in data.warnings)


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
