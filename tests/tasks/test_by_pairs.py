"""The section of a study that compares children with models from scratch."""

from zoo.record import RunRecord
from zoo.tasks.translation.new_pair.by_pairs import by_pairs

CHILD = {"model_name_or_path": "parent"}
RANDOM = {**CHILD, "training": {"random_weights": True}}


def result(recipe: dict, pairs: int, value: float, curve=()) -> tuple[RunRecord, float]:
    record = RunRecord("m", "c", recipe, {"splits": {"train": {"n": pairs}}}, 0, {})
    record.history = [{"step": step, "eval_bleu": bleu} for step, bleu in curve]
    return record, value


def test_the_section_compares_with_the_best_from_scratch(tmp_path):
    results = [
        result(CHILD, 1000, 20.0, [(10, 5.0), (20, 20.0)]),
        result({**CHILD, "data": {"vocabulary": "replace"}}, 1000, 22.0),
        result(RANDOM, 1000, 9.0),
        result({**RANDOM, "data": {"vocabulary": "replace"}}, 1000, 11.5),
        result(CHILD, 5000, 40.0),
        result({"data": {"vocabulary": "extend"}}, 29000, 50.0),
    ]
    plot = tmp_path / "pictures/pairs.png"
    lines = by_pairs(results, "bleu", "test", plot).splitlines()
    assert lines[4:9] == [
        "| pairs | child | from scratch | from scratch, own vocabulary | child ahead |",
        "|---|---|---|---|---|",
        "| 1,000 | 21.00 | 9.00 | 11.50 | +9.50 |",
        "| 5,000 | 40.00 |  |  |  |",
        "| 29,000 |  | 50.00 |  |  |",
    ]
    assert lines[-1] == "![By number of pairs, and during training](pairs.png)"
    assert plot.stat().st_size > 10_000
    assert by_pairs([], "bleu", "test", plot) == ""
