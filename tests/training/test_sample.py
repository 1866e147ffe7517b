"""How far the metric of a sample may be from the record by chance."""

import pytest

from zoo.training.sample import chance_of


def test_chance_follows_the_recorded_interval():
    recorded = {"mse": 0.4, "mse_low": 0.3, "mse_high": 0.3 + 2 * 1.96 * 0.05, "n": 400}
    assert chance_of(recorded, "mse", 100) == pytest.approx(3 * 0.05 * 2)
    assert chance_of(recorded | {"blocks": 12}, "mse", 100) == pytest.approx(3 * 0.05)
    assert chance_of(recorded, "mae", 100) == 0
