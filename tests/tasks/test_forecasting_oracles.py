"""Our metrics and conformal intervals against libraries that lack missing values or vectors of steps."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin

from zoo.tasks.forecasting import metrics
from zoo.tasks.forecasting.conformal import ConformalIntervals

REASON = "install the libraries to compare with: pip install primer-zoo[test]"
WINDOWS, HORIZON, SEASON = 40, 6, 4
LEVELS = [0.1, 0.25, 0.5, 0.75, 0.9]
QUANTILES = [f"q{level:g}" for level in LEVELS]


@pytest.fixture(scope="module")
def arrays():
    """(truth, point, quantiles, histories), one series a window."""
    random = np.random.default_rng(0)
    truth = random.gamma(3, 10, (WINDOWS, HORIZON))
    point = truth + random.normal(scale=4, size=truth.shape)
    quantiles = np.sort(point + random.normal(scale=5, size=(len(LEVELS), *truth.shape)), axis=0)
    return truth, point, quantiles, random.gamma(3, 10, (WINDOWS, 30))


def test_point_metrics_of_utilsforecast(arrays):
    losses = pytest.importorskip("utilsforecast.losses", reason=REASON)
    truth, point, _, histories = arrays
    ids = np.repeat(np.arange(WINDOWS), HORIZON)
    frame = pd.DataFrame({"unique_id": ids, "y": truth.ravel(), "model": point.ravel()})
    train = pd.DataFrame({"unique_id": np.repeat(np.arange(WINDOWS), 30), "y": histories.ravel()})

    def oracle(name, *arguments):
        return getattr(losses, name)(frame, ["model"], *arguments)["model"].to_numpy().mean()

    scales = [metrics.seasonal_scales(history[:, None], SEASON) for history in histories]
    scale, squared_scale = (np.concatenate([pair[k] for pair in scales])[:, None] for k in (0, 1))
    found = metrics.forecasting_metrics(point, truth, scale=scale, squared_scale=squared_scale)
    for name in ("mae", "mse"):
        assert found[name] == pytest.approx(oracle(name))
    assert found["mape"] == pytest.approx(100 * oracle("mape"))
    assert found["smape"] == pytest.approx(200 * oracle("smape"))
    assert found["mase"] == pytest.approx(oracle("mase", SEASON, train))
    assert found["rmsse"] == pytest.approx(oracle("rmsse", SEASON, train))


def test_quantile_metrics_of_utilsforecast(arrays):
    losses = pytest.importorskip("utilsforecast.losses", reason=REASON)
    truth, _, quantiles, _ = arrays
    # One id: its metrics are sums over all cells before the division, as ours are.
    frame = pd.DataFrame({"unique_id": 0, "y": truth.ravel(), **dict(zip(QUANTILES, quantiles.reshape(5, -1)))})
    found = metrics.forecasting_metrics(quantiles[2], truth, quantiles=quantiles, quantile_levels=LEVELS)
    models = {"model": QUANTILES}
    assert found["crps"] == pytest.approx(2 * losses.mqloss(frame, models, np.array(LEVELS))["model"].item())
    assert found["wql"] == pytest.approx(losses.scaled_crps(frame, models, np.array(LEVELS))["model"].item())
    for level, low, high in ((80, "q0.1", "q0.9"), (50, "q0.25", "q0.75")):
        frame[f"model-lo-{level}"], frame[f"model-hi-{level}"] = frame[low], frame[high]
        expected = losses.coverage(frame, ["model"], level)["model"].item()
        assert found[f"coverage_{level}"] == pytest.approx(expected)


def test_scores_of_scoringrules(arrays):
    scoringrules = pytest.importorskip("scoringrules", reason=REASON)
    truth, _, quantiles, _ = arrays
    expected = scoringrules.crps_quantile(truth, np.moveaxis(quantiles, 0, -1), np.array(LEVELS)).mean()
    assert metrics.crps(quantiles, truth, LEVELS) == pytest.approx(expected)
    expected = scoringrules.interval_score(truth, quantiles[0], quantiles[4], 0.2).mean()
    assert metrics.msis(quantiles[0], quantiles[4], truth, np.ones(1), 0.8) == pytest.approx(expected)


class Column(RegressorMixin, BaseEstimator):
    """A fitted regressor that returns a column of its input."""

    fitted_ = True  # MAPIE looks for it

    def __init__(self, column: int = 0):
        self.column = column

    def fit(self, X, y):
        return self

    def predict(self, X):
        return np.asarray(X)[:, self.column]

    def __sklearn_is_fitted__(self):
        return True


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_conformal_intervals_of_mapie(arrays, level):
    mapie = pytest.importorskip("mapie.regression", reason=REASON)
    truth, point, quantiles, _ = arrays
    split = mapie.SplitConformalRegressor(Column(), confidence_level=level, prefit=True)
    split.conformalize(point[:, :1], truth[:, 0])
    _, ends = split.predict_interval(point[:, :1])
    ours = ConformalIntervals.fit(point, point, truth, level)
    lower, upper = ours.apply(point, point)
    np.testing.assert_allclose(ends[:, 0, 0], lower[:, 0])
    np.testing.assert_allclose(ends[:, 1, 0], upper[:, 0])

    columns = np.stack([quantiles[0, :, 0], quantiles[4, :, 0], quantiles[2, :, 0]], axis=1)
    quantile = mapie.ConformalizedQuantileRegressor(
        [Column(0), Column(1), Column(2)], confidence_level=level, prefit=True
    )
    quantile.conformalize(columns, truth[:, 0])
    _, ends = quantile.predict_interval(columns, symmetric_correction=True)
    lower, upper = ConformalIntervals.fit(quantiles[0], quantiles[4], truth, level).apply(quantiles[0], quantiles[4])
    np.testing.assert_allclose(ends[:, 0, 0], lower[:, 0])
    np.testing.assert_allclose(ends[:, 1, 0], upper[:, 0])
