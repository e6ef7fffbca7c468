import numpy as np
import pytest
import relplot
import torch
import torchmetrics.functional.classification as tm
from histograms import histogram, random_histogram, rounded, sample, written
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dct, idct
from scipy.optimize import brentq
from scipy.special import expit, logit
from sklearn import metrics as sk
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from pipelines.counting import grid
from pipelines.errors import ShapeError
from pipelines.metrics.calibration import (
    adaptive_ece,
    average_calibration_error,
    binned,
    debiased_ece_l2,
    ece_of_bins,
    maximum_calibration_error,
    recalibration_line,
    smooth_ece,
)
from pipelines.metrics.proper import corp

SEEDS = st.integers(0, 10_000)
# bin (0.2, 0.267]: 4 pixels, mean p 0.25, 2 there; bin (0.867, 0.933]: 6 pixels, mean p 0.9, 3 there
TWO_BINS = written({0.251: (1, 1), 0.249: (1, 1), 0.9: (3, 3)})


def calibration_intercept(hist):
    return recalibration_line(hist)[..., 0]


def calibration_slope(hist):
    return recalibration_line(hist)[..., 1]


def p_of(log_odds):
    return expit(log_odds.astype(np.float64))


# Equal-width bins --------------------------------------------------------------------------------------------------


def test_mean_and_largest_gap_by_hand():
    # gaps |0.5 - 0.25| and |0.5 - 0.9|
    assert average_calibration_error(TWO_BINS) == pytest.approx((0.25 + 0.4) / 2)
    assert maximum_calibration_error(TWO_BINS) == pytest.approx(0.4)


def test_debiased_error_by_hand():
    # 0.4 (0.25² - 0.25/3) + 0.6 (0.4² - 0.25/5) = 0.4 * -0.0208333 + 0.6 * 0.11
    assert debiased_ece_l2(TWO_BINS) == pytest.approx(np.sqrt(0.4 * (0.0625 - 0.25 / 3) + 0.6 * (0.16 - 0.05)))
    # one bin of 4, mean p 0.5 = mean y: 0 - 0.25/3 < 0 is clipped
    assert debiased_ece_l2(written({0.5: (2, 2)})) == 0


def test_a_bin_of_one_pixel_has_no_variance_and_gives_nothing():
    # bin of 1: nothing, though its gap is 0.9; bin of 3 at 0.2, none there: (3/4) 0.2²
    assert debiased_ece_l2(written({0.9: (1, 0), 0.2: (3, 0)})) == pytest.approx(np.sqrt(3 / 4 * 0.04))
    assert debiased_ece_l2(written({0.9: (1, 0)})) == 0
    assert debiased_ece_l2(0.5 * written({0.9: (1, 1)})) == 0  # a weight of one pixel


@pytest.mark.parametrize("bins", [10, 15, 100])
def test_largest_gap_equals_torchmetrics(bins):
    log_odds, truth = sample(seed=1)
    expected = tm.binary_calibration_error(
        torch.tensor(p_of(log_odds)), torch.tensor(truth.astype(int)), n_bins=bins, norm="max"
    )
    found = maximum_calibration_error(histogram(log_odds, truth), bins=bins)
    assert found == pytest.approx(float(expected), abs=1e-6)


@pytest.mark.parametrize("bins", [10, 15, 300])
def test_all_three_equal_a_slow_loop(bins):
    # torchmetrics' norm="l2" debiases otherwise (it divides by the number of all pixels), so a loop says what is meant
    log_odds, truth = sample(seed=2, pixels=600)
    p = p_of(log_odds)
    at = np.clip(np.ceil(p * bins).astype(int) - 1, 0, bins - 1)
    gaps, square = [], 0.0
    for b in np.unique(at):
        y, n = truth[at == b].mean(), (at == b).sum()
        gaps.append(abs(y - p[at == b].mean()))
        square += n / len(p) * (gaps[-1] ** 2 - y * (1 - y) / (n - 1)) if n > 1 else 0.0
    hist = histogram(log_odds, truth)
    assert average_calibration_error(hist, bins=bins) == pytest.approx(np.mean(gaps), abs=1e-6)
    assert maximum_calibration_error(hist, bins=bins) == pytest.approx(max(gaps), abs=1e-6)
    assert debiased_ece_l2(hist, bins=bins) == pytest.approx(np.sqrt(max(square, 0)), abs=1e-6)


def test_debiasing_takes_noise_away():
    # calibrated, 30 pixels a bin: the plain root mean square gap is about sqrt(mean p (1 - p) / 30) = 0.08
    squares, plain = [], []
    for seed in range(200):
        hist = histogram(*sample(seed=seed, pixels=450, a=0.0, b=1.0))
        squares.append(debiased_ece_l2(hist) ** 2)
        bins = binned(hist, bins=15)
        plain.append(((bins[:, 1] - bins[:, 2]) ** 2 / bins[:, 0]).sum() / bins[:, 0].sum())
    assert np.mean(squares) < 0.4 * np.mean(plain)  # clipping at 0 keeps it from falling to nothing


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_average_is_at_most_the_largest_and_so_is_the_debiased(seed):
    hist = random_histogram(seed)
    assert average_calibration_error(hist) <= maximum_calibration_error(hist)
    assert debiased_ece_l2(hist) <= maximum_calibration_error(hist)


@pytest.mark.parametrize("metric", [average_calibration_error, maximum_calibration_error, debiased_ece_l2])
def test_bins_that_do_not_divide_300_are_refused(metric):
    with pytest.raises(ShapeError, match="divide"):
        metric(TWO_BINS, bins=7)


# Equal-mass bins ---------------------------------------------------------------------------------------------------


def test_adaptive_bins_by_hand():
    # two bins of 10 pixels; middles of mass: 0.1 -> 1/10, 0.3 -> 3.5/10, 0.6 -> 6/10, 0.9 -> 8.5/10, so cells pair up.
    # sums y - p: 0.1: 0 - 0.2; 0.3: 2 - 0.9; 0.6: 1 - 1.2; 0.9: 3 - 2.7 -> |0.9| + |0.1| over 10
    hist = written({0.1: (2, 0), 0.3: (1, 2), 0.6: (1, 1), 0.9: (0, 3)})
    assert adaptive_ece(hist, bins=2) == pytest.approx((0.9 + 0.1) / 10)
    assert adaptive_ece(hist, bins=1) == pytest.approx(abs(6 - 5.0) / 10)


def test_a_cell_on_a_quantile_is_in_the_bin_above():
    # 3 equal cells, 2 bins: the middle of the second is 1/2, so it joins the third. |0.2| + |0.5 + 0.1| - all without
    hist = written({0.2: (1, 0), 0.5: (1, 0), 0.9: (0, 1)})
    assert adaptive_ece(hist, bins=2) == pytest.approx((0.2 + abs(-0.5 + 0.1)) / 3)


def test_a_cell_is_never_split():
    # 90 of 100 pixels in one cell: one bin holds them, the ten others fall into another
    hist = written({0.001: (90, 0), 0.4: (3, 2), 0.7: (0, 5)})
    assert adaptive_ece(hist) == pytest.approx((90 * 0.001 + abs(7 - 2.0 - 3.5)) / 100)


def test_bins_of_equal_mass_by_a_slow_loop():
    log_odds, truth = sample(seed=3)
    p, (_, at) = p_of(log_odds), rounded(log_odds, truth)
    n = np.bincount(at, minlength=grid.CELLS)
    bin_of = (15 * (2 * np.cumsum(n) - n)) // (2 * n.sum())
    gaps = [abs(truth[bin_of[at] == b].sum() - p[bin_of[at] == b].sum()) for b in range(15)]
    masses = np.bincount(bin_of[at], minlength=15)
    assert np.all(abs(masses - len(p) / 15) <= n.max())  # about equal: off by a cell at most
    assert adaptive_ece(histogram(log_odds, truth)) == pytest.approx(sum(gaps) / len(p), abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS, bins=st.integers(1, 40))
def test_adaptive_lies_between_one_bin_and_every_cell(seed, bins):
    hist = random_histogram(seed)
    residual = hist[1] - hist[2] - hist[3]
    found = float(adaptive_ece(hist, bins=bins)) * hist[:2].sum()
    assert abs(residual.sum()) - 1e-9 <= found <= np.abs(residual).sum() + 1e-9


def test_fewer_than_one_bin_is_refused():
    with pytest.raises(ShapeError, match="at least 1"):
        adaptive_ece(TWO_BINS, bins=0)


# Smooth ------------------------------------------------------------------------------------------------------------


def exact_smooth_ece(p, y, nodes=60_000):
    """The reflected Gaussian on so many nodes that their distance does not matter, the fixed point by scipy."""
    place = p * nodes - 0.5
    low = np.floor(place).astype(int)
    residual = np.bincount(np.clip(low, 0, nodes - 1), (y - p) * (1 - place + low), nodes)
    residual += np.bincount(np.clip(low + 1, 0, nodes - 1), (y - p) * (place - low), nodes)
    modes = dct(residual / len(p), norm="ortho")
    rates = (np.pi * np.arange(nodes)) ** 2 / 2
    return brentq(lambda s: np.abs(idct(modes * np.exp(-rates * s * s), norm="ortho")).sum() - s, 1e-9, 1.0, xtol=1e-8)


CASES = {
    "plain": {},
    "rare": {"centre": -6, "spread": 3, "a": 0.0, "b": 0.8},
    "saturated": {"spread": 8, "a": 0.0, "b": 0.6},
    "bad": {"centre": 1, "a": -2, "b": 0.3},
}


@pytest.mark.parametrize("case", CASES)
def test_smooth_ece_equals_the_exact_kernel_on_raw_scores(case):
    log_odds, truth = sample(seed=4, pixels=50_000, **CASES[case])
    found = smooth_ece(histogram(log_odds, truth))
    assert found == pytest.approx(exact_smooth_ece(p_of(log_odds), truth), abs=5e-5)


def test_smooth_ece_of_noise_is_off_by_a_hundredth_of_itself():
    log_odds, truth = sample(seed=5, pixels=20_000, a=0.0, b=1.0)
    expected = exact_smooth_ece(p_of(log_odds), truth)
    assert smooth_ece(histogram(log_odds, truth)) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("case", ["plain", "bad"])
def test_smooth_ece_equals_relplot_away_from_the_ends(case):
    log_odds, truth = sample(seed=6, pixels=50_000, **CASES[case])
    inside = abs(log_odds) < 5
    log_odds, truth = log_odds[inside], truth[inside]
    expected = relplot.smECE(p_of(log_odds), truth.astype(float))
    assert smooth_ece(histogram(log_odds, truth)) == pytest.approx(expected, abs=1e-3)


def test_relplot_counts_pixels_at_the_very_ends_half():
    # 900 pixels right at 0, 100 at 0.5 with none there: exactly, with the zeros in the middle of the kernel's weight,
    # the residual -50 is spread but not cancelled, so smECE_sigma = 50/1000 at every sigma.
    p, y = np.repeat([0.0, 0.5], [900, 100]), np.zeros(1000)
    assert smooth_ece(written({0.0: (900, 0), 0.5: (100, 0)})) == pytest.approx(0.05, abs=1e-6)
    assert exact_smooth_ece(p, y) == pytest.approx(0.05, abs=1e-6)
    # relplot divides by 900/2 + 100 pixels
    assert relplot.smECE(p, y) == pytest.approx(50 / 550, abs=2e-3)


def test_smooth_ece_by_hand():
    assert smooth_ece(written({0.3: (10, 0)})) == pytest.approx(0.3, abs=1e-6)  # one residual, spread but not cancelled
    assert smooth_ece(written({0.3: (7, 3)})) == pytest.approx(0.0, abs=1e-6)
    assert smooth_ece(written({0.0: (5, 0), 1.0: (0, 5)})) == 0
    # Residuals of 1/2 at 0 and -1/2 at 1 spread as heat with closed ends: sum over odd k of
    # 2 exp(-(k pi s)²/2) cos(k pi t), positive below 1/2; twice its integral up to there is the sum of
    # 4/(k pi) sin(k pi/2) exp(-(k pi s)²/2)
    odd = np.arange(1, 200, 2)

    def error(s):
        return (4 / (np.pi * odd) * np.sin(np.pi * odd / 2) * np.exp(-((np.pi * odd * s) ** 2) / 2)).sum()

    expected = brentq(lambda s: error(s) - s, 1e-3, 1)
    assert smooth_ece(written({0.0: (0, 5), 1.0: (5, 0)})) == pytest.approx(expected, abs=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=SEEDS)
def test_smooth_ece_lies_between_no_bins_and_300(seed):
    hist = random_histogram(seed)
    bounds = [float(ece_of_bins(binned(hist, bins=bins))) for bins in (1, 300)]
    assert bounds[0] - 2e-6 <= smooth_ece(hist) <= bounds[1] + 2e-6


@settings(max_examples=20, deadline=None)
@given(seed=SEEDS)
def test_smooth_ece_is_the_same_seen_from_the_other_class(seed):
    # p to 1 - p and truth turned over; cells that are right-closed become left-closed, which these p do not touch
    hist = random_histogram(seed)
    other = np.stack([hist[1], hist[0], hist[1] - hist[3], hist[0] - hist[2]])[:, ::-1]
    assert smooth_ece(other) == pytest.approx(smooth_ece(hist), abs=2e-6)


# Slope and intercept -----------------------------------------------------------------------------------------------


def test_slope_and_intercept_through_two_points():
    # two cells fit exactly: shares 1/4 and 3/4 at log-odds x1, x2: b = 2 ln 3 / (x2 - x1), a = -ln 3 - b x1
    hist = written({0.101: (3, 1), 0.95: (1, 3)})
    x = logit([0.101, 0.95])
    slope = 2 * np.log(3) / (x[1] - x[0])
    assert calibration_slope(hist) == pytest.approx(slope)
    assert calibration_intercept(hist) == pytest.approx(-np.log(3) - slope * x[0])


@pytest.mark.parametrize(("factor", "shift"), [(1.0, 0.0), (0.5, 0.3), (2.0, -1.0), (-0.5, 0.0), (0.02, 2.0)])
def test_expected_counts_give_back_the_line_they_were_made_from(factor, shift):
    x = np.linspace(-4, 4, 41)
    share = expit(shift + factor * x)
    hist = sum(written({p: (1000 * (1 - s), 1000 * s)}) for p, s in zip(expit(x), share, strict=True))
    assert calibration_slope(hist) == pytest.approx(factor, abs=1e-9)
    assert calibration_intercept(hist) == pytest.approx(shift, abs=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_slope_and_intercept_equal_scikit_learn(case):
    log_odds, truth = sample(seed=7, pixels=20_000, **CASES[case])
    hist = histogram(log_odds, truth)
    # on the cells, the same numbers
    x = logit(np.clip(rounded(log_odds, truth)[0], 2.0**-30, 1 - 2.0**-30))[:, None]
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(x, truth)
    assert calibration_slope(hist) == pytest.approx(fit.coef_[0, 0], abs=1e-5)
    assert calibration_intercept(hist) == pytest.approx(fit.intercept_[0], abs=1e-5)
    # on raw log-odds, what rounding to cells moves
    fit = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(log_odds.astype(float)[:, None], truth)
    assert calibration_slope(hist) == pytest.approx(fit.coef_[0, 0], abs=1e-3)
    assert calibration_intercept(hist) == pytest.approx(fit.intercept_[0], abs=3e-3)


@pytest.mark.parametrize(
    "pixels",
    [
        {0.3: (5, 0), 0.7: (5, 0)},  # one kind of pixel
        {0.3: (0, 5), 0.7: (0, 5)},
        {0.3: (5, 5)},  # one cell
        {0.3: (5, 0), 0.7: (0, 5)},  # separated
        {0.3: (0, 5), 0.7: (5, 0)},  # separated, upside down
        {0.3: (5, 0), 0.5: (2, 2), 0.7: (0, 5)},  # overlapping in one cell only: the slope runs to infinity still
        {0.0: (5, 0), 1.0: (0, 5)},
    ],
)
def test_no_finite_line_gives_nan(pixels):
    assert np.isnan(calibration_slope(written(pixels)))
    assert np.isnan(calibration_intercept(written(pixels)))


def test_saturated_scores_stay_finite():
    # a millionth wrong at both ends: log-odds of the truth ±13.8, of p ±20.8 -> slope about 0.66
    n = 1_000_000
    hist = written({0.0: (n - 1, 1), 1.0: (1, n - 1)})
    assert calibration_slope(hist) == pytest.approx(np.log(n - 1) / (30 * np.log(2)), rel=1e-6)
    assert calibration_intercept(hist) == pytest.approx(0.0, abs=1e-6)


def test_a_mean_that_rounding_brought_out_of_its_cell_is_put_back():
    # sums in single precision know 1 - p only to 10⁻⁷: the last cell begins at log-odds 16, the mean says 14.5
    hist = written({0.101: (3, 1), 1.0: (1, 3)})
    hist[2:, -1] *= 1 - 5e-7
    assert calibration_slope(hist) == pytest.approx(2 * np.log(3) / (16 - logit(0.101)))
    hist[2:, -1] = [1.1, 3.3]  # above the number of pixels: p = 1 - 2^-30
    assert calibration_slope(hist) == pytest.approx(2 * np.log(3) / (30 * np.log(2) - logit(0.101)))


@settings(max_examples=60, deadline=None)
@given(seed=SEEDS, filled=st.sampled_from([0.01, 0.05, 0.3]))
def test_at_the_line_found_the_likelihood_is_flat(seed, filled):
    hist = random_histogram(seed, filled=filled)
    slope, intercept = calibration_slope(hist), calibration_intercept(hist)
    n, there = hist[:2].sum(axis=0), hist[1]
    used = n > 0
    mean = hist[2:].sum(axis=0)[used] / n[used]
    x = logit(np.clip(mean, 2.0**-30, 1 - 2.0**-30))
    if np.isnan(slope):  # only where cells of the two kinds do not overlap in both directions
        low, high = np.flatnonzero(hist[0]), np.flatnonzero(hist[1])
        assert not (low.size and high.size) or low.max() <= high.min() or high.max() <= low.min()
        return
    left = there[used] - n[used] * expit(intercept + slope * x)
    assert left.sum() == pytest.approx(0, abs=1e-6 * n.sum())
    assert (left * x).sum() == pytest.approx(0, abs=1e-6 * n.sum())


# CORP --------------------------------------------------------------------------------------------------------------


def parts(hist):
    return tuple(corp(hist).tolist())


def test_corp_by_hand():
    # cells 0.2: 1 of 4 there; 0.4: 2 of 4; 0.6: 1 of 4 -> the last two violate and pool to 3/8; mean 4/12
    # score: 0.2: 0.64 + 3 * 0.04; 0.4: 2 * 0.36 + 2 * 0.16; 0.6: 0.16 + 3 * 0.36, together 3.04, over 12
    # recalibrated: 4 * 3/16 + 8 * 15/64 = 2.625 over 12; uncertainty 1/3 * 2/3
    hist = written({0.2: (3, 1), 0.4: (2, 2), 0.6: (3, 1)})
    assert parts(hist) == pytest.approx(((3.04 - 2.625) / 12, 2 / 9 - 2.625 / 12, 2 / 9))


@pytest.mark.parametrize("case", CASES)
def test_corp_equals_isotonic_regression_of_scikit_learn(case):
    log_odds, truth = sample(seed=8, pixels=20_000, **CASES[case])
    p, (mean, _) = p_of(log_odds), rounded(log_odds, truth)
    found = parts(histogram(log_odds, truth))
    fitted = IsotonicRegression().fit(mean, truth).predict(mean)
    uncertainty = truth.mean() * (1 - truth.mean())
    recalibrated = ((fitted - truth) ** 2).mean()
    score = ((mean - truth) ** 2).mean()
    assert found == pytest.approx((score - recalibrated, uncertainty - recalibrated, uncertainty), abs=1e-9)
    # raw p: the score to 10⁻⁵, the parts to what isotonic regression gains from pixels of one cell
    fitted = IsotonicRegression().fit(p, truth).predict(p)
    raw = ((p - truth) ** 2).mean() - ((fitted - truth) ** 2).mean()
    assert found[0] == pytest.approx(raw, abs=1e-3)
    assert found[0] - found[1] + found[2] == pytest.approx(sk.brier_score_loss(truth, p), abs=2e-5)


def test_corp_of_extremes():
    assert parts(written({0.0: (6, 0), 1.0: (0, 4)})) == pytest.approx((0, 0.24, 0.24))
    assert parts(written({0.3: (7, 3)})) == pytest.approx((0, 0, 0.21))  # all ties at the share itself
    assert parts(written({0.2: (0, 4), 0.9: (6, 0)})) == pytest.approx(((4 * 0.64 + 6 * 0.81) / 10 - 0.24, 0, 0.24))
    assert parts(written({0.3: (5, 0)})) == pytest.approx((0.09, 0, 0))  # one kind of pixel


@settings(max_examples=40, deadline=None)
@given(seed=SEEDS)
def test_corp_parts_add_up_and_none_is_negative(seed):
    hist = random_histogram(seed)
    n = hist[:2].sum(axis=0)
    mean = np.divide(hist[2:].sum(axis=0), n, out=np.zeros_like(n), where=n > 0)
    score = (hist[0] * mean**2 + hist[1] * (1 - mean) ** 2).sum() / n.sum()
    miscalibration, discrimination, uncertainty = parts(hist)
    assert min(miscalibration, discrimination) >= 0
    assert discrimination <= uncertainty
    assert miscalibration - discrimination + uncertainty == pytest.approx(score, abs=1e-12)
