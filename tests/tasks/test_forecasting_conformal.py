"""Conformal intervals: by hand, and where their guarantee must hold."""

import json

import numpy as np
import pytest

from zoo.tasks.forecasting.conformal import Calibration, ConformalIntervals, Outcomes, recency, window_spread
from zoo.tasks.forecasting.forecast import Forecast

NAN = np.nan


def test_margin_is_the_finite_sample_quantile():
    truth = np.arange(1.0, 20)[:, None]  # residuals 1..19
    point = np.zeros_like(truth)
    assert ConformalIntervals.fit(point, point, truth, 0.8).margins.tolist() == [16]  # ceil(20 * 0.8)
    assert ConformalIntervals.fit(point, point, truth, 0.95).margins.tolist() == [19]
    with pytest.raises(ValueError, match="need 19 calibration windows at every step; one has 18"):
        ConformalIntervals.fit(point[:18], point[:18], truth[:18], 0.95)
    truth[0] = NAN
    with pytest.raises(ValueError, match="one has 18"):
        ConformalIntervals.fit(point, point, truth, 0.95)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_coverage_holds_at_every_step_for_intervals_of_any_width(level):
    random = np.random.default_rng(0)
    spread = np.array([1.0, 4, 9])[:, None]  # errors grow with the horizon
    size = random.gamma(2, 5, (4000, 1, 1))
    truth = random.normal(size=(4000, 3, 2)) * spread * size
    half = np.full_like(truth, 2.0) * size  # far too wide at the first step, too narrow at the last
    fitted = ConformalIntervals.fit(-half[:2000], half[:2000], truth[:2000], level, scale=size[:2000])
    assert fitted.margins.shape == (3, 2) and fitted.margins[0, 0] < fitted.margins[2, 0]
    lower, upper = fitted.apply(-half[2000:], half[2000:], scale=size[2000:])
    inside = ((lower <= truth[2000:]) & (truth[2000:] <= upper)).mean(0)
    assert np.abs(inside - level).max() < 0.03
    assert fitted.apply(-half[:, :2], half[:, :2])[0].shape == (4000, 2, 2)  # a shorter horizon


def test_narrowed_ends_do_not_cross():
    fitted = ConformalIntervals(0.8, np.array([-5.0]))
    lower, upper = fitted.apply(np.array([[0.0]]), np.array([[4.0]]))
    assert lower == upper == 2
    with pytest.raises(ValueError, match="calibrated for 1 steps, asked for 2"):
        fitted.apply(np.zeros((1, 2)), np.ones((1, 2)))


def test_arguments_that_do_not_fit():
    ends = np.zeros((30, 2))
    with pytest.raises(ValueError, match="do not fit"):
        ConformalIntervals.fit(ends, ends, ends[:5], 0.8)
    with pytest.raises(ValueError, match="do not fit"):
        ConformalIntervals.fit(ends, ends, ends, 80)
    with pytest.raises(ValueError, match="not positive"):
        ConformalIntervals.fit(ends, ends, ends, 0.8, scale=np.zeros((30, 1)))


def test_weights_are_those_of_barber_et_al():
    truth = np.arange(1.0, 6)[:, None]  # residuals 1..5
    point, weights = np.zeros_like(truth), np.array([1.0, 0.5, 0.25, 0.25, 1.0])
    # Of a total of 4 (the window to come counts 1), 1 and 2 hold 1.5, 1 to 3 hold 1.75, 1 to 4 hold 2.
    assert ConformalIntervals.fit(point, point, truth, 0.4, weights=weights).margins.tolist() == [3]
    assert ConformalIntervals.fit(point, point, truth, 0.375, weights=weights).margins.tolist() == [2]
    with pytest.raises(ValueError, match="need 4 calibration windows at every step; one has 3"):
        ConformalIntervals.fit(point, point, truth, 0.8, weights=weights)


def test_recent_windows_count_more():
    assert recency(np.array([10, 40, 70, 100]), None) == pytest.approx([1, 0.5, 0.25, 0.125])
    assert recency(np.array([0, 10]), 5.0) == pytest.approx([1, 0.25])
    assert recency(np.array([3, 3, 3]), None) is None and recency(np.array([0, 9]), 0) is None


def test_the_spread_of_a_window_is_positive_and_scales_with_it():
    random = np.random.default_rng(0)
    values = random.normal(size=(5, 30, 1))
    values[1], values[2], values[3] = 4.0, 0.0, 1e6 + random.normal(size=(30, 1)) * 0.01
    observed = np.ones(values.shape, bool)
    observed[4] = False
    values[0, 5], observed[0, 5] = 1e9, False
    spread = window_spread(values, observed)
    assert spread.shape == (5, 1, 1)
    assert spread[0, 0, 0] == pytest.approx(np.delete(values[0, :, 0], 5).std())
    assert spread[1:, 0, 0].tolist() == pytest.approx([4, 1, 1e6, 1])
    assert window_spread(3 * values, observed)[0] == pytest.approx(3 * spread[0])


def simulated(windows: int, seed: int):
    """Exchangeable windows of very different size whose errors are skewed and grow with the horizon."""
    random = np.random.default_rng(seed)
    size = random.gamma(2, 5, (windows, 1, 1))
    truth = random.gumbel(size=(windows, 4, 2)) * np.array([1, 2, 3, 4.0])[:, None] * size
    return np.zeros_like(truth), truth, size


@pytest.mark.parametrize("start", ["point", "quantiles"])
def test_the_guarantee_holds_on_average_over_calibration_sets(start):
    """Coverage of a new window is between level and level + 1 / (n + 1) at every step, whatever the model says."""
    inside: dict[float, list] = {0.5: [], 0.8: [], 0.95: []}
    levels = [] if start == "point" else [0.1, 0.25, 0.5, 0.9]
    for seed in range(200):
        point, truth, size = simulated(39 + 20, seed)
        # Levels that are far off, of which 10% and 90% alone are a pair.
        quantiles = None if start == "point" else np.stack([point + shift * size for shift in (-9, -1, 0, 1)])
        old, new = slice(0, 39), slice(39, None)
        forecast = Forecast(point, quantiles, levels)
        fitted = Calibration.fit(forecast.take(old), truth[old], size[old], list(inside))
        assert fitted.from_point == (start == "point") and fitted.windows == 39
        found = fitted.apply(forecast.take(new), size[new])
        assert (np.diff(found.quantiles, axis=0) >= 0).all()
        for level, covered in inside.items():
            low, high = found.intervals()[level]
            covered.append(((low <= truth[new]) & (truth[new] <= high)).mean(0))
    for level, covered in inside.items():
        by_step = np.mean(covered, axis=0)  # (steps, channels); its standard error is about 0.01
        assert (by_step > level - 0.025).all() and (by_step < level + 1 / 40 + 0.025).all()


def test_old_windows_count_less_where_the_errors_drift():
    point, truth, size = simulated(3000, 0)
    truth *= np.linspace(3, 1, 3000)[:, None, None]  # errors shrink to a third
    calibrated, later = slice(0, 2400), slice(2400, None)
    covered = {}
    for half_life in (0, 300):
        weights = recency(np.arange(2400)[::-1], half_life)
        fitted = Calibration.fit(
            Forecast(point[calibrated]), truth[calibrated], size[calibrated], [0.8], weights=weights
        )
        low, high = fitted.apply(Forecast(point[later]), size[later]).quantiles
        covered[half_life] = ((low <= truth[later]) & (truth[later] <= high)).mean()
    assert 0.8 < covered[300] < covered[0] - 0.04


def test_too_few_windows_share_their_margins_or_leave_the_level_out():
    point, truth, size = simulated(12, 0)
    weights = recency(np.arange(12), 2.0)
    fitted = Calibration.fit(Forecast(point), truth, size, [0.5, 0.95, 0.99], weights=weights)
    assert [interval.level for interval in fitted.intervals] == [0.5, 0.95]  # 12 * 4 scores are too few for 99%
    assert np.ptp(fitted.intervals[0].margins[:, 0]) > 0 == np.ptp(fitted.intervals[1].margins[:, 0])
    nothing = Calibration.fit(Forecast(point[:1]), truth[:1], size[:1], [0.95])
    assert nothing.intervals == () and nothing.apply(Forecast(point), size).quantiles is None


def test_what_the_model_file_keeps():
    point, truth, size = simulated(50, 0)
    fitted = Calibration.fit(Forecast(point), truth, size, [0.8])
    again = Calibration.from_dict(json.loads(json.dumps(fitted.to_dict())))
    np.testing.assert_allclose(again.intervals[0].margins, fitted.intervals[0].margins, rtol=1e-5)
    assert len(json.dumps(fitted.to_dict())) < 50 + 8 * 10 + 80
    found = again.apply(Forecast(np.zeros((1, 9, 2))), np.ones((1, 1, 2)))
    assert found.levels == [0.1, 0.9] and found.quantiles.shape == (2, 1, 9, 2)
    assert (
        found.quantiles[:, 0, 4:] == found.quantiles[:, 0, 3:4]
    ).all()  # steps after the calibrated ones take the last one's margins


def test_levels_that_no_interval_replaces_are_kept_in_order():
    point = np.zeros((1, 1, 1))
    quantiles = np.array([-1.0, -0.5, 0.0, 0.2, 1.0])[:, None, None, None]
    fitted = Calibration((ConformalIntervals(0.8, np.full((1, 1), -0.9)),), False, 50)
    found = fitted.apply(Forecast(point, quantiles, [0.1, 0.3, 0.5, 0.6, 0.9]), np.ones((1, 1, 1)))
    assert found.levels == [0.1, 0.3, 0.5, 0.6, 0.9]
    assert found.quantiles.ravel() == pytest.approx([-0.5, -0.1, 0, 0.1, 0.2])


def test_counts_have_no_end_below_zero():
    """Neither from the model's own quantiles nor from the point forecast; what is covered stays the same."""
    point, truth, size = simulated(400, 0)
    truth = np.abs(truth)
    for quantiles, levels in ((None, []), (np.stack([point - 1, point + 1]), [0.1, 0.9])):
        forecast = Forecast(point, quantiles, levels)
        free, floored = (Calibration.fit(forecast, truth, size, [0.8], floor=floor) for floor in (None, 0.0))
        floored = Calibration.from_dict(json.loads(json.dumps(floored.to_dict())))
        low, high = free.apply(forecast, size).quantiles
        raised, same = floored.apply(forecast, size).quantiles
        assert low.min() < 0 == raised.min()
        covered = [(ends[0] <= truth) & (truth <= ends[1]) for ends in ((low, high), (raised, same))]
        assert abs(covered[0].mean() - covered[1].mean()) < 1e-3


def test_margins_of_own_intervals_are_shares_of_their_half_width():
    point, truth, size = simulated(400, 0)
    forecast, spread = Forecast(point, np.stack([point - size, point + size]), [0.1, 0.9]), np.ones_like(size)
    fitted = Calibration.fit(forecast, truth, spread, [0.8])
    low, high = fitted.apply(forecast, spread).quantiles
    widened = (high - low) / (2 * size)
    np.testing.assert_allclose(widened, np.broadcast_to(widened[:1], widened.shape))
    # The file of an older model has margins in units of the spread.
    content = fitted.to_dict()
    del content["relative"]
    low, high = Calibration.from_dict(content).apply(forecast, spread).quantiles
    np.testing.assert_allclose(high - low - 2 * size, np.broadcast_to((high - low - 2 * size)[:1], low.shape))


def outcomes_of(truth):
    """One series, a window at each row."""
    return Outcomes(truth, np.zeros(len(truth), int), np.arange(len(truth)))


def test_margins_move_by_hand():
    fitted = ConformalIntervals(0.8, np.array([[10.0], [10.0]]))
    truth = np.array([[11.0, 5], [NAN, 11], [5, 5], [5, 5]])[..., None]
    point, scale = np.zeros_like(truth), np.ones((4, 1, 1))
    found = fitted.follow(point, point, scale, outcomes_of(truth), 0.1)[..., 0]
    miss, hit = 1 + 0.1 * 0.8, 1 - 0.1 * 0.2
    # Step 1 knows the window before, step 2 the one before that; what is missing moves nothing.
    assert found[:, 0].tolist() == pytest.approx([10, 10 * miss, 10 * miss, 10 * miss * hit])
    assert found[:, 1].tolist() == pytest.approx([10, 10, 10 * hit, 10 * hit * miss])
    # The unit of a move is half the interval: 2 of the model's own and the margin; the scale of a window is its unit.
    found = fitted.follow(point - 4, point + 4, 2 * scale, outcomes_of(truth), 0.1)[..., 0]
    assert found[1, 0] == pytest.approx(10 - 0.1 * 0.2 * (10 + 2))
    np.testing.assert_array_equal(fitted.follow(point, point, scale, outcomes_of(truth), 0.0), point + 10)


def test_each_series_moves_alone_and_in_the_order_of_time():
    fitted = ConformalIntervals(0.8, np.full((1, 1), 1.0))
    truth = np.array([9.0, 0, 9, 0, 0])[:, None, None]
    outcomes = Outcomes(truth, np.array([1, 0, 1, 0, 1]), np.array([5, 0, 4, 1, 6]))
    point = np.zeros_like(truth)
    found = fitted.follow(point, point, np.ones((5, 1, 1)), outcomes, 0.5)[:, 0, 0]
    assert found.tolist() == pytest.approx([1.4, 1, 1, 0.9, 1.96])


def test_margins_know_nothing_of_the_future():
    point, truth, size = simulated(60, 0)
    fitted = ConformalIntervals(0.8, np.full(truth.shape[1:], 2.0))
    now, found = 30, []
    for future in (0.0, 1e9):  # within every interval, and outside
        changed = truth.copy()
        for step in range(truth.shape[1]):
            changed[now - step :, step] = future  # all that happens at row 30 and later
        found.append(fitted.follow(point, point, size, outcomes_of(changed), 0.05))
    np.testing.assert_array_equal(found[0][: now + 1], found[1][: now + 1])
    assert (found[0][now + 1] < found[1][now + 1]).all()  # and what has happened is used at once


@pytest.mark.parametrize("factor", [0.5, 3])
def test_intervals_that_follow_cover_what_they_say_when_errors_change(factor):
    point, truth, size = simulated(4000, 0)
    truth[1000:] *= factor
    old, new = slice(0, 1000), slice(1000, None)
    fitted = Calibration.fit(Forecast(point[old]), truth[old], size[old], [0.8, 0.95], rate=0.01)
    covered = {}
    for name, outcomes in (("fixed", None), ("follow", outcomes_of(truth[new]))):
        intervals = fitted.apply(Forecast(point[new]), size[new], outcomes).intervals()
        for level in (0.8, 0.95):
            low, high = intervals[level]
            covered[name, level] = ((low <= truth[new]) & (truth[new] <= high))[2000:].mean()
    for level in (0.8, 0.95):
        assert abs(covered["fixed", level] - level) > 0.03 and abs(covered["follow", level] - level) < 0.02


@pytest.mark.parametrize(("half", "margin"), [(0.0, 0.0), (0.5, -0.9)])  # a point; an interval that was narrowed away
def test_an_interval_without_width_grows_again(half, margin):
    truth = np.full((3000, 1, 1), 5.0)
    point, scale = np.zeros_like(truth), np.ones_like(truth)
    fitted = ConformalIntervals(0.8, np.full((1, 1), margin))
    found = fitted.follow(point - half, point + half, scale, outcomes_of(truth), 0.01)
    assert found[-1] + half == pytest.approx(5, rel=0.1)


def test_quantiles_of_some_windows_are_those_of_all():
    point, truth, size = simulated(60, 0)
    model = np.stack([point - size, point, point + size])
    for quantiles, levels in ((None, []), (model, [0.1, 0.5, 0.9])):
        forecast = Forecast(point, quantiles, levels)
        fitted = Calibration.fit(forecast, truth, size, [0.5, 0.8], rate=0.05)
        every = fitted.apply(forecast, size, outcomes_of(truth))
        some = fitted.apply(forecast, size, outcomes_of(truth), np.array([7, 59]))
        np.testing.assert_array_equal(some.quantiles, every.quantiles[:, [7, 59]])


def test_the_file_of_an_older_model_has_no_rate():
    content = Calibration((ConformalIntervals(0.8, np.ones((2, 1))),), True, 50, rate=0.3).to_dict()
    assert Calibration.from_dict(content).rate == 0.3
    del content["rate"]
    assert Calibration.from_dict(content).rate == 0
