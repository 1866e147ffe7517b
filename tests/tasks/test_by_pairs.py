"""The section of a study that compares children with models from scratch."""

import pytest

from zoo.tasks.translation.new_pair.by_pairs import CHILD, OWN, SCRATCH, Point, draw, kind_of, means, table


@pytest.mark.parametrize(
    ("recipe", "kind"),
    [
        ({"model_name_or_path": "parent"}, CHILD),
        ({"model_name_or_path": "parent", "data": {"vocabulary": "replace"}}, CHILD),
        ({"model_name_or_path": "parent", "training": {"random_weights": True}}, SCRATCH),
        ({"data": {"vocabulary": "extend"}}, SCRATCH),
        ({"model_name_or_path": "p", "data": {"vocabulary": "replace"}, "training": {"random_weights": True}}, OWN),
    ],
)
def test_how_a_run_began(recipe, kind):
    assert kind_of(recipe) == kind


def test_the_table_compares_with_the_best_from_scratch():
    points = [
        Point(CHILD, 1000, 20.0), Point(CHILD, 1000, 22.0), Point(SCRATCH, 1000, 9.0), Point(OWN, 1000, 11.5),
        Point(CHILD, 5000, 40.0), Point(SCRATCH, 29000, 50.0),
    ]  # fmt: skip
    assert means(points)[CHILD] == {1000: 21.0, 5000: 40.0}
    assert table(points).splitlines() == [
        "| pairs | child | from scratch | from scratch, own vocabulary | child ahead |",
        "|---|---|---|---|---|",
        "| 1,000 | 21.00 | 9.00 | 11.50 | +9.50 |",
        "| 5,000 | 40.00 |  |  |  |",
        "| 29,000 |  | 50.00 |  |  |",
    ]


def test_the_picture(tmp_path):
    draw([Point(CHILD, 1000, 20.0, [(10, 5.0), (20, 20.0)]), Point(SCRATCH, 1000, 9.0)], "bleu", "test",
         tmp_path / "pictures/pairs.png")  # fmt: skip
    assert (tmp_path / "pictures/pairs.png").stat().st_size > 10_000
