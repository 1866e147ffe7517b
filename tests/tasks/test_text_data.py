"""From files to splits, batches and tokens."""

import numpy as np
import pytest
import torch

from tests.tasks.pairs import pairs, write_tsv
from zoo.data.parallel_text import ParallelText
from zoo.models.transformer_seq2seq import TransformerSeq2SeqConfig, TransformerSeq2SeqForConditionalGeneration
from zoo.tasks.text.dataset import TextDataset, collate
from zoo.tasks.text.generation import decode, perplexity
from zoo.tasks.text.report import length_bins, sample_rows
from zoo.tasks.text.splits import set_aside
from zoo.tasks.translation import TASK
from zoo.tasks.translation.arguments import TranslationArguments
from zoo.tasks.translation.new_pair import replay
from zoo.tasks.translation.new_pair.replay import OldPair

CONFIG = TransformerSeq2SeqConfig(vocab_size=70, max_position_embeddings=64)
LENGTHS = {"max_source_length": 32, "max_target_length": 32}
OPTIONS = {"source_lang": "en", "target_lang": "eo", "byte_fallback": False, **LENGTHS}


def load(path, **fields):
    files = path if isinstance(path, list) else str(path)
    return TASK(TranslationArguments(train_file=files, **{**OPTIONS, **fields})).load_data(CONFIG)


@pytest.fixture
def mine(tmp_path):
    return write_tsv(tmp_path / "mine.tsv", pairs(200))


def test_splits_are_set_aside_and_share_no_source(mine):
    data = load(mine, validation_size=20, test_size=0.1)
    sizes = {name: len(split) for name, split in data.splits().items()}
    assert sizes == {"train": 160, "validation": 20, "test": 20}
    sources = [set(split.sources) for split in data.splits().values()]
    assert not sources[0] & sources[1] and not sources[0] & sources[2] and not sources[1] & sources[2]
    again = load(mine, validation_size=20, test_size=0.1)
    assert again.fingerprint == data.fingerprint
    assert load(mine, validation_size=20, test_size=0.1, split_seed=1).fingerprint["test"] != data.fingerprint["test"]


def test_translations_of_one_source_stay_together():
    text = ParallelText([f"word {row // 4}" for row in range(80)], [f"wort {row}" for row in range(80)], "mine")
    splits = set_aside(text, {"test": 10, "validation": 0.1}, 0)
    assert sum(map(len, splits.values())) == 80 and len(splits["test"]) == 12
    seen = [set(split.source) for split in splits.values()]
    assert sum(map(len, seen)) == len(set().union(*seen)) == 20
    with pytest.raises(ValueError, match="mine: 80 pairs are too few to set aside"):
        set_aside(text, {"test": 100}, 0)


def test_pairs_with_an_empty_side_are_never_set_aside():
    """Aligned files of documents have thousands of empty lines."""
    sources = [f"word {row}" for row in range(60)] + [""] * 30 + ["without"] * 10
    text = ParallelText(sources, [f"wort {row}" for row in range(60)] + [""] * 40, "mine")
    for seed in range(20):
        splits = set_aside(text, {"test": 10, "validation": 0.1}, seed)
        assert {name: len(split) for name, split in splits.items()} == {"test": 10, "validation": 10, "train": 80}
        assert all(splits["test"].source + splits["test"].target + splits["validation"].target)


def test_files_of_their_own_are_not_cut_off(mine, tmp_path):
    write_tsv(tmp_path / "validation.tsv", pairs(10, seed=5))
    data = load(mine, validation_file=str(tmp_path / "validation.tsv"))
    assert len(data.validation) == 10 and data.test is None
    write_tsv(tmp_path / "test.tsv", pairs(7, seed=6))
    data = load(mine, test_file=str(tmp_path / "test.tsv"), validation_size=30)
    assert len(data.validation) == 30 and len(data.test) == 7


def test_two_aligned_files(tmp_path):
    rows = pairs(50)
    for side, name in enumerate(("train.en", "train.eo")):
        (tmp_path / name).write_text("".join(row[side] + "\n" for row in rows))
    files = [str(tmp_path / "train.en"), str(tmp_path / "train.eo")]
    data = load(files, validation_size=5, test_size=5)
    assert dict(zip(data.train.sources, data.train.targets)).items() <= dict(rows).items() and len(data.train) == 40


def test_cleaning_and_overlap_are_counted(tmp_path):
    rows = pairs(100)
    test = [(rows[0][0].upper(), "something else")]
    dirty = [("same", "same"), rows[1], ("a", "b " * 300)]
    write_tsv(tmp_path / "train.tsv", rows + dirty)
    write_tsv(tmp_path / "test.tsv", test)
    files = {"test_file": str(tmp_path / "test.tsv"), "validation_size": 0}
    cleaning = load(tmp_path / "train.tsv", **files).notes["cleaning"]
    assert cleaning == {
        "read": 103, "empty": 0, "identical": 1, "too_long": 0, "length_ratio": 1, "duplicate": 1,
        "in_validation_or_test": 1, "kept": 99,
    }  # fmt: skip
    kept = load(tmp_path / "train.tsv", drop_overlap="pair", drop_duplicates=False, **files).notes["cleaning"]
    assert kept["in_validation_or_test"] == 0 and kept["kept"] == 101


def test_many_dropped_pairs_are_a_warning(tmp_path):
    rows = pairs(90)
    write_tsv(tmp_path / "few.tsv", [*rows, ("same", "same")])
    assert load(tmp_path / "few.tsv", validation_size=0, test_size=0).warnings == []
    write_tsv(tmp_path / "many.tsv", rows + [(f"copied {row}", f"copied {row}") for row in range(10)] + rows[:1])
    (warning,) = load(tmp_path / "many.tsv", validation_size=0, test_size=0).warnings
    assert warning == "warning: many.tsv: 11% of 101 training pairs were dropped (identical 10, duplicate 1)"


def test_tags_and_special_tokens_of_a_new_tokenizer(mine):
    data = load(mine, language_tags=True, special_tokens=["<sep>"])
    tag, sep = data.processor.convert_tokens_to_ids([">>eo<<", "<sep>"])
    assert all(data.train[row][0][0] == tag for row in range(len(data.train)))
    assert data.train.sources[0] in data.processor.decode(data.train[0][0], skip_special_tokens=True)
    assert data.processor("<sep>", add_special_tokens=False)["input_ids"] == [sep]
    assert ">>eo<<" not in load(mine).processor.get_vocab()
    with pytest.raises(ValueError, match="language_tags needs the target's language"):
        TranslationArguments(language_tags=True)


def test_no_pair_is_trained_on_that_the_opposite_direction_is_tested_on(tmp_path, monkeypatch):
    """Into both directions at once: the test pairs of one are copies of training pairs of the other, turned round."""
    rows = pairs(40)
    new = {"train": rows[:20], "test": rows[20:25], "validation": rows[25:30]}
    old = {"train": [row[::-1] for row in rows[20:35]], "test": [row[::-1] for row in rows[:4]]}
    for name, part in new.items():
        write_tsv(tmp_path / f"{name}.tsv", part)
    pair = OldPair("eo", "en", {name: ParallelText(*map(list, zip(*part)), name) for name, part in old.items()})
    monkeypatch.setattr(replay, "read_old_pairs", lambda *arguments: [pair])
    files = {f"{name}_file": str(tmp_path / f"{name}.tsv") for name in new if name != "train"}
    data = load(tmp_path / "train.tsv", **files, keep_ratio=0.2)
    held = {frozenset(row) for row in [*new["test"], *new["validation"], *rows[:4]]}
    trained = [frozenset(row) for row in zip(data.train.sources, data.train.targets)]
    assert len(trained) == 16 + 4 and not held & set(trained)
    assert data.notes["cleaning"]["in_validation_or_test"] == 4
    assert data.notes["kept_pairs"][0]["cleaning"]["in_validation_or_test"] == 10


def test_long_training_pairs_are_dropped_or_cut_and_test_pairs_are_cut(mine):
    lengths = load(mine).train.lengths
    limit = int(np.median(lengths[:, 0]))
    data = load(mine, max_source_length=limit)
    counts = data.notes["cleaning"]
    assert counts["over_long"] > 0 and counts["kept"] == len(data.train) < len(lengths)
    assert data.train.lengths[:, 0].max() == limit
    assert data.notes["truncated"]["test"] > 0
    longest = int(data.test.lengths[:, 0].argmax())
    source, _ = data.test[longest]
    assert len(source) == limit and source[-1] == data.processor.eos_token_id
    cut = load(mine, max_source_length=limit, over_long="truncate")
    assert len(cut.train) == len(lengths) and cut.notes["truncated"]["train"] == counts["over_long"]


def test_a_model_with_few_positions_is_told(mine):
    with pytest.raises(ValueError, match="max_source_length=128 is above the model's max_position_embeddings=64"):
        load(mine, max_source_length=128)


def test_the_tokenizer_has_seen_training_texts_alone(tmp_path):
    write_tsv(tmp_path / "train.tsv", pairs(100))
    write_tsv(tmp_path / "test.tsv", [("Zebra 9 runs.", "Zebro 9 kuras.")])
    data = load(tmp_path / "train.tsv", test_file=str(tmp_path / "test.tsv"), validation_size=0)
    assert not {"z", "Z", "9"} & {piece.strip("▁") for piece in data.processor.get_vocab()}
    assert data.model_fields["vocab_size"] == len(data.processor)
    assert data.model_fields["decoder_start_token_id"] == data.processor.bos_token_id
    assert data.processor.model_max_length == 32


def test_limits_take_rows_from_everywhere(mine):
    data = load(mine, max_train_samples=20, max_predict_samples=3, test_size=20)
    assert len(data.train) == 20 and len(data.test) == 3
    whole = load(mine, test_size=20)
    assert data.train.sources[0] == whole.train.sources[0] and data.train.sources[-1] == whole.train.sources[-1]


def test_the_collator_makes_what_models_read():
    rows = [(np.array([5, 6, 3]), np.array([7, 3])), (np.array([5, 3]), np.array([8, 9, 3]))]
    batch = collate(rows, pad_token_id=0, decoder_start_token_id=2)
    assert batch["input_ids"].tolist() == [[5, 6, 3], [5, 3, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["labels"].tolist() == [[7, 3, -100], [8, 9, 3]]
    assert batch["decoder_input_ids"].tolist() == [[2, 7, 3], [2, 8, 9]]
    tiny = {"vocab_size": 20, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1}
    model = TransformerSeq2SeqForConditionalGeneration(TransformerSeq2SeqConfig(**tiny))
    shifted = model.prepare_decoder_input_ids_from_labels(batch["labels"])
    real = batch["labels"] != -100
    assert torch.equal(shifted[real], batch["decoder_input_ids"][real])


def test_sampled_tokens_follow_from_seed_epoch_and_row(mine):
    torch.manual_seed(3)
    data = load(mine, tokenizer_sampling=0.2, tokenizer_type="bpe")
    rows = data.train

    def tokens(epoch, row=0):
        rows.set_epoch(epoch)
        return [ids.tolist() for ids in rows[row]]

    assert tokens(1) == tokens(1)
    assert len({str(tokens(epoch)) for epoch in range(10)}) > 1
    text = data.processor.decode(tokens(4)[0], skip_special_tokens=True)
    assert text.strip() == rows.sources[0]
    # A sample of the rows draws what the whole draws, and what is measured is not sampled.
    part = rows.take(5)
    part.set_epoch(2)
    rows.set_epoch(2)
    assert all(part[4][side].tolist() == rows[len(rows) - 1][side].tolist() for side in (0, 1))
    assert rows.measured.resample is None and data.validation.resample is None


def test_decoding_and_perplexity_leave_out_padding(mine):
    tokenizer = load(mine).processor
    ids = tokenizer("The dog sees a cat.")["input_ids"]
    assert decode(np.array([[2, *ids, 0, -100]]), tokenizer) == ["The dog sees a cat."]
    labels = np.array([[5, 3, -100], [5, 6, 3]])
    assert perplexity(np.array([2 * np.log(4), 3 * np.log(4)]), labels) == pytest.approx(4)


def test_bins_by_length_hold_every_row_once():
    lengths = np.random.default_rng(0).integers(3, 30, 300)
    bins = length_bins(lengths)
    assert sorted(np.concatenate([rows for _, _, rows in bins]).tolist()) == list(range(300))
    assert all(first[1] < second[0] for first, second in zip(bins, bins[1:]))
    assert min(len(rows) for _, _, rows in bins) >= 10
    assert len(length_bins(np.full(50, 7))) == 1 and len(length_bins(np.arange(5))) == 1


def test_samples_are_best_middle_and_worst(mine):
    rows = load(mine).test
    scores = np.arange(len(rows), dtype=float)
    table = sample_rows(scores, "chrf", list(rows.targets), rows)
    assert [row["kind"] for row in table] == ["best"] * 3 + ["median"] * 3 + ["worst"] * 3
    assert table[0]["chrf"] == len(rows) - 1 and table[-1]["chrf"] == 0
    assert table[0]["source"] == rows.sources[-1]


def test_what_is_measured_of_training_is_a_sample():
    rows = TextDataset([str(n) for n in range(3000)], [""] * 3000, None, (8, 8), training=True)
    assert len(rows.measured) == 200 and rows.measured.numbers[-1] == 2999


def test_further_training_pairs_are_cleaned_and_never_measured(tmp_path):
    own, extra = pairs(40), pairs(90, seed=9)
    write_tsv(tmp_path / "own.tsv", own)
    write_tsv(tmp_path / "test.tsv", extra[:3])
    write_tsv(tmp_path / "extra.tsv", [*extra, ("same", "same")])
    options = {"test_file": str(tmp_path / "test.tsv"), "validation_size": 0, "drop_overlap": "pair"}
    data = load(tmp_path / "own.tsv", **options, extra_train=str(tmp_path / "extra.tsv"), repeat_train=2)
    assert len(data.train) == 2 * 40 + 87 and data.source == "own.tsv + extra.tsv"
    (counts,) = data.notes["extra_train"]
    assert counts["source"] == "extra.tsv" and counts["cleaning"]["identical"] == 1
    assert counts["cleaning"]["in_validation_or_test"] == 3 and counts["cleaning"]["kept"] == 87
    assert data.notes["cleaning"]["kept"] == 40 and len(data.test) == 3
    # A pair that is repeated and too long counts once.
    limit = int(np.median(data.train.lengths[:, 0]))
    short = load(
        tmp_path / "own.tsv",
        **options,
        extra_train=str(tmp_path / "extra.tsv"),
        repeat_train=2,
        max_source_length=limit,
    )
    kept = [part["cleaning"] for part in (short.notes, *short.notes["extra_train"])]
    assert [part["kept"] + part["over_long"] for part in kept] == [40, 87]
    assert len(short.train) == 2 * kept[0]["kept"] + kept[1]["kept"]
    measured = data.train.measured
    assert len(measured) == 80 and set(zip(measured.sources, measured.targets)) == set(own)
    assert data.train.take(50).own == 80
    with pytest.raises(ValueError, match="extra_train: nothing.tsv is neither a file nor a data set"):
        load(tmp_path / "own.tsv", extra_train="nothing.tsv")
    with pytest.raises(ValueError, match="repeat_train=0 must be at least 1"):
        load(tmp_path / "own.tsv", repeat_train=0)
