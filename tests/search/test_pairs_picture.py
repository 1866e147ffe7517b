"""Child against scratch, from records."""

import pytest

from zoo.record import RunRecord
from zoo.search.pairs_picture import curves, draw_by_pairs


def record(size: int, bleu: float, scratch: bool) -> RunRecord:
    return RunRecord(
        model_id="x",
        command="",
        recipe={"model_name_or_path": "parent", "training": {"random_weights": True} if scratch else {}},
        data={"splits": {"train": {"n": size}}},
        seed=1,
        metrics={"validation": {"bleu": bleu}},
        history=[{"step": 10, "eval_bleu": bleu / 2}, {"step": 10, "loss": 3.0}, {"step": 20, "eval_bleu": bleu}],
    )


def test_the_picture_and_its_table(tmp_path):
    records = [record(1000, 20, False), record(1000, 22, False), record(1000, 9, True), record(5000, 40, False)]
    table = draw_by_pairs(records, tmp_path / "pictures/pairs.png")
    assert table == [{"pairs": 1000, "child": 21.0, "scratch": 9.0, "ahead": 12.0}]
    assert (tmp_path / "pictures/pairs.png").stat().st_size > 10_000
    assert curves(records, "bleu")[2] == (True, 1000, [(10, 4.5), (20, 9)])
    with pytest.raises(ValueError, match="no run has figures of the test split"):
        draw_by_pairs(records, tmp_path / "x.png", split="test")
