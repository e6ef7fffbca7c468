import numpy as np
import pytest
from histograms import cell, histogram, random_histogram, rounded, sample, written
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn import metrics as sk

from pipelines.counting import grid
from pipelines.errors import ConfigError, ShapeError
from pipelines.metrics import calibration, proper, thresholds
from pipelines.metrics.base import SCORES, TOP, Setting
from pipelines.metrics.thresholds import (
    CUT_LOG_ODDS,
    CUT_P,
    aurc,
    auroc,
    average_precision,
    bayes_threshold,
    best_threshold,
    cheapest_cut,
    cost_curve,
    cut_at,
    dice_curve,
    expected_cost,
    greatest,
    iou_curve,
    near_greatest,
    pr_curve,
    risk_at,
    risk_coverage,
    roc_curve,
    top_label_aurc,
    top_label_risk_coverage,
)

MODULES = (thresholds, calibration, proper)
ALL = {
    metric.name: metric
    for module in MODULES
    for metric in module.METRICS
    if metric.source.summed in (SCORES, TOP) and metric.source.origin is None  # of histograms, and no mean over images
}
SETTING = Setting("exclusive")
EMPTY = np.zeros((4, grid.CELLS))
SEEDS = st.integers(0, 10_000)


def value(name, hist):
    metric = ALL[name]
    if metric.source.base is None:
        return metric.value(hist, SETTING)
    # a source that is a function of another one: as sums of the interior, with a boundary that holds nothing
    flat = hist.reshape(-1, 1, *hist.shape[-2:])
    terms = metric.source.pick(np.stack([flat, np.zeros_like(flat)], axis=1), "all")
    return metric.value(terms, SETTING).reshape(hist.shape[:-2])


# Every metric of these modules -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_nothing_counted_gives_nan(name):
    assert np.isnan(value(name, EMPTY))
    assert np.isnan(value(name, np.zeros((2, 3, 4, grid.CELLS)))).all()
    assert value(name, np.zeros((0, 3, 4, grid.CELLS))).shape == (0, 3)


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=25, deadline=None)
@given(seed=SEEDS)
def test_values_lie_in_bounds(name, seed):
    found = value(name, random_histogram(seed))
    assert np.isnan(found) or ALL[name].bounds[0] <= found <= ALL[name].bounds[1]


@pytest.mark.parametrize("name", ALL)
def test_every_row_of_a_stack_is_worked_on_alone(name):
    # more rows than one block of the loops holds, cut out of a larger array as a region is
    whole = np.stack([random_histogram(seed) for seed in range(60)]).reshape(10, 2, 3, 4, grid.CELLS)
    stack = np.concatenate([whole] * 40)[:, 1]
    found = value(name, stack)
    assert found.shape == (400, 3)
    assert np.array_equal(found[:10], [[value(name, one) for one in row] for row in whole[:, 1]], equal_nan=True)
    assert np.array_equal(found[-10:], found[:10], equal_nan=True)


@pytest.mark.parametrize("name", [name for name in ALL if name != "debiased_ece_l2"])
@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, factor=st.sampled_from([0.5, 3.0, 1e6]))
def test_only_shares_of_pixels_matter(name, seed, factor):
    # not for the debiased error, which subtracts a variance that falls with the number of pixels
    hist = random_histogram(seed)
    assert value(name, factor * hist) == pytest.approx(value(name, hist), abs=2e-6, nan_ok=True)


@pytest.mark.parametrize("name", ALL)
def test_merged_halves_are_the_whole(name):
    log_odds, truth = sample(seed=1)
    parts = histogram(log_odds[:1000], truth[:1000]) + histogram(log_odds[1000:], truth[1000:])
    assert value(name, parts) == pytest.approx(value(name, histogram(log_odds, truth)), abs=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_single_precision_sums_change_little(name):
    hist = histogram(*sample(seed=2, spread=6.0))
    assert value(name, hist.astype(np.float32)) == pytest.approx(value(name, hist), abs=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_a_perfect_prediction_scores_best(name):
    top = name == "top_label_aurc"  # right at every p
    hist = written({0.6: (0, 70), 1.0: (0, 30)} if top else {0.0: (70, 0), 1.0: (0, 30)})
    if ALL[name].better != "neither":
        best = ALL[name].bounds[1] if ALL[name].better == "higher" else ALL[name].bounds[0]
        assert value(name, hist) == best


@pytest.mark.parametrize("name", ALL)
def test_an_array_that_is_no_histogram_is_refused(name):
    if name == "expected_cost":
        return  # slices and sums: any cells will do
    for shape in ((4,), (4, 300), (2, grid.CELLS)):
        with pytest.raises(ShapeError, match="histogram must be"):
            value(name, np.zeros(shape))


# Ranking -----------------------------------------------------------------------------------------------------------


def test_auroc_and_average_precision_by_hand():
    # with: 0.9, 0.5, 0.5; without: 0.5, 0.2. Pairs won: 0.9 both, each 0.5 beats 0.2 and ties one: 2 + 2 (1 + 1/2) of 6
    hist = written({0.9: (0, 1), 0.501: (1, 2), 0.2: (1, 0)})
    assert auroc(hist) == pytest.approx(5 / 6)
    # from the top: recall 1/3 at precision 1, then recall 1 at precision 3/4: 1/3 + 2/3 * 3/4
    assert average_precision(hist) == pytest.approx(1 / 3 + 2 / 3 * 3 / 4)


def test_ranking_with_one_kind_of_pixel_or_one_cell():
    assert np.isnan(auroc(written({0.3: (5, 0), 0.7: (2, 0)})))
    assert np.isnan(average_precision(written({0.3: (5, 0)})))
    assert np.isnan(auroc(written({0.3: (0, 5)})))
    assert average_precision(written({0.3: (0, 5)})) == 1
    ties = written({0.3: (6, 2)})
    assert auroc(ties) == 0.5
    assert average_precision(ties) == 2 / 8  # the share of the class
    assert auroc(written({0.0: (0, 3), 1.0: (4, 0)})) == 0


@pytest.mark.parametrize(("centre", "spread"), [(0, 2), (-4, 3), (0, 12)])
def test_ranking_equals_scikit_learn_on_scores_rounded_to_cells(centre, spread):
    log_odds, truth = sample(seed=3, centre=centre, spread=spread)
    hist, (_, at) = histogram(log_odds, truth), rounded(log_odds, truth)
    assert auroc(hist) == pytest.approx(sk.roc_auc_score(truth, at), abs=1e-12)
    assert average_precision(hist) == pytest.approx(sk.average_precision_score(truth, at), abs=1e-12)
    # raw scores tell pixels of one cell apart
    assert auroc(hist) == pytest.approx(sk.roc_auc_score(truth, log_odds), abs=2e-3)
    assert average_precision(hist) == pytest.approx(sk.average_precision_score(truth, log_odds), abs=0.02)


def test_curves_equal_scikit_learn_and_enclose_the_areas():
    log_odds, truth = sample(seed=4)
    hist, (_, at) = histogram(log_odds, truth), rounded(log_odds, truth)
    fpr, tpr = roc_curve(hist)
    false, true, cuts = sk.roc_curve(truth, at, drop_intermediate=False)
    k = cuts[1:].astype(int)  # scikit-learn calls scores >= the threshold, as a cut does cells
    assert fpr[k] == pytest.approx(false[1:])
    assert tpr[k] == pytest.approx(true[1:])
    assert (fpr[0], tpr[0], fpr[-1], tpr[-1]) == (1, 1, 0, 0)
    assert sk.auc(fpr, tpr) == pytest.approx(auroc(hist))
    precision, recall = pr_curve(hist)
    expected, _, cuts = sk.precision_recall_curve(truth, at)
    assert precision[cuts] == pytest.approx(expected[:-1])
    assert np.isnan(precision[-1])
    steps = -np.diff(recall) * precision[:-1]
    assert np.nansum(steps) == pytest.approx(average_precision(hist))
    with pytest.raises(ShapeError, match="histogram must be"):
        roc_curve(np.zeros((4, 300)))


# Selective prediction ----------------------------------------------------------------------------------------------


def test_top_label_aurc_by_hand():
    # 3 pixels at 0.9, all right; 2 at 0.6, one wrong. Among the first m the risk is 0 up to m = 3, then (m - 3) / 2m;
    # its integral from 3 to 5 is (5 - 3 - 3 ln(5/3)) / 2, divided by 5 pixels
    hist = written({0.9: (0, 3), 0.6: (1, 1)})
    assert top_label_aurc(hist) == pytest.approx((2 - 3 * np.log(5 / 3)) / 2 / 5)
    coverage, risk = top_label_risk_coverage(hist)
    assert coverage[[-cell(0.9) - 1, -1]].tolist() == [3 / 5, 1]
    assert risk[-cell(0.6) - 1 :].tolist() == [1 / 5] * (cell(0.6) + 1)


def test_aurc_of_a_class_takes_confidence_from_both_ends():
    # confidence 0.9: one absent called absent, one absent called present (wrong); 0.7: one present missed, one right
    one = written({0.101: (1, 0), 0.899: (1, 0), 0.301: (0, 1), 0.699: (0, 1)})
    # as a top-label histogram: rows wrong, right
    same = written({0.899: (1, 1), 0.699: (1, 1)})
    assert aurc(one) == pytest.approx(top_label_aurc(same)) == 0.5
    coverage, risk = risk_coverage(one)
    assert coverage.shape == (grid.CELLS // 2,)
    assert (coverage[-1], risk[-1]) == (1, 0.5)
    assert np.isnan(risk[0])


def test_all_ties_have_the_error_rate_as_area():
    assert aurc(written({0.3: (3, 1)})) == pytest.approx(1 / 4)
    assert aurc(written({0.7: (3, 1)})) == pytest.approx(3 / 4)
    half = histogram(np.zeros(4, np.float16), np.array([True, False, False, False]))
    assert aurc(half) == pytest.approx(1 / 4)  # p = 0.5 is called absent
    assert aurc(written({0.0: (0, 2), 1.0: (3, 0)})) == 1


def test_mirrored_cells_span_the_same_confidences():
    assert pytest.approx(1 - expit(grid.EDGES), abs=1e-15) == expit(grid.EDGES)[::-1]


@pytest.mark.parametrize("centre", [0, -3])
def test_aurc_is_the_mean_over_prefixes_of_random_orders(centre):
    # the mean over pixels k of the errors among the first k, divided by k (Geifman & El-Yaniv), ties in random order
    log_odds, truth = sample(seed=5, centre=centre, pixels=6000)
    _, at = rounded(log_odds, truth)
    block = np.minimum(at, grid.CELLS - 1 - at)
    wrong = truth != (log_odds > 0)
    rng = np.random.default_rng(0)
    areas = []
    for _ in range(60):
        order = np.lexsort((rng.random(len(block)), block))
        areas.append((np.cumsum(wrong[order]) / np.arange(1, len(block) + 1)).mean())
    spread = np.std(areas) / np.sqrt(len(areas))
    assert aurc(histogram(log_odds, truth)) == pytest.approx(np.mean(areas), abs=4 * spread + 2 / len(block))


def test_the_area_lies_under_the_curve_of_the_table():
    hist = histogram(*sample(seed=6))
    coverage, risk = risk_coverage(hist)
    # the risk moves monotonically inside a block, so both rectangles enclose its part
    width, low = np.diff(coverage, prepend=0), np.concatenate([risk[:1], risk[:-1]])
    bounds = [np.nansum(width * np.fmin(risk, low)), np.nansum(width * np.fmax(risk, low))]
    assert bounds[0] <= aurc(hist) <= bounds[1]
    assert bounds[1] - bounds[0] < 0.005


def test_risk_at_any_coverage_by_hand():
    # 3 pixels at 0.9, all right; 2 at 0.6, one wrong: errors 0 up to 3/5, then 1/2 a pixel: 0.25 of 3.5, 0.5 of 4
    hist = written({0.899: (0, 3), 0.599: (1, 1)})
    found = risk_at(*top_label_risk_coverage(hist), np.array([0.2, 0.6, 0.7, 0.8, 1.0]))
    assert found == pytest.approx([0, 0, 0.25 / 3.5, 0.5 / 4, 1 / 5])


def test_risk_at_encloses_the_area_and_keeps_the_axes_in_front():
    hist = np.stack([random_histogram(1), random_histogram(2), EMPTY])
    at = (np.arange(20_000) + 0.5) / 20_000
    risk = risk_at(*risk_coverage(hist), at)
    assert risk.shape == (3, 20_000)
    assert risk[:2].mean(axis=-1) == pytest.approx(aurc(hist[:2]), abs=1e-4)
    assert np.isnan(risk[2]).all()


# Thresholds --------------------------------------------------------------------------------------------------------


def test_dice_and_iou_at_every_cut_by_hand():
    # called from 0.5 up: TP 3, FP 1, FN 2 -> Dice 6/9, IoU 3/6; called everywhere: TP 5, FP 5 -> 10/15, 5/10
    hist = written({0.8: (1, 3), 0.4: (4, 2)})
    half = grid.HALF_CELL
    assert (dice_curve(hist)[half], iou_curve(hist)[half]) == (6 / 9, 3 / 6)
    assert (dice_curve(hist)[0], iou_curve(hist)[0]) == (10 / 15, 5 / 10)
    assert dice_curve(hist)[-1] == 0  # called nowhere: five missed
    assert np.isnan(dice_curve(written({0.2: (3, 0)}))[-1])  # neither there nor called
    assert dice_curve(np.stack([hist, hist])).shape == (2, grid.CELLS + 1)


def test_curves_equal_scikit_learn():
    log_odds, truth = sample(seed=7)
    p = expit(log_odds.astype(np.float64))
    dice, iou = dice_curve(histogram(log_odds, truth)), iou_curve(histogram(log_odds, truth))
    for threshold in (1 / 300, 0.1, 0.5, 0.77, 299 / 300):
        cut = cut_at(threshold)
        assert dice[cut] == pytest.approx(sk.f1_score(truth, p > threshold))
        assert iou[cut] == pytest.approx(sk.jaccard_score(truth, p > threshold))


def test_cuts_are_the_edges_of_cells_and_everything():
    assert len(CUT_P) == len(CUT_LOG_ODDS) == grid.CELLS + 1
    assert (CUT_P[0], CUT_P[-1]) == (0, 1)
    assert CUT_P[1:-1] == pytest.approx(expit(grid.EDGES), abs=1e-15)
    assert [cut_at(float(p)) for p in CUT_P[1:-1]] == list(range(1, grid.CELLS))
    assert all(cut_at(k / 300) == grid.first_cell_above(k / 300) for k in range(1, 300))
    for wrong in (0.0, 1.0, 0.5001, float("nan"), -1.0):
        with pytest.raises(ShapeError, match="edge of a cell"):
            cut_at(wrong)


def test_the_best_threshold_is_the_first_of_equal_ones():
    # from 0.2 (below) to 0.6 everything called is right: every threshold in [61/300, 180/300) has Dice 1
    hist = written({0.2017: (5, 0), 0.601: (0, 3)})
    threshold, dice = best_threshold(hist)
    assert (threshold, dice) == (61 / 300, 1)
    # below 0.3: TP 2, FP 2 -> 4/6; from 0.3 to 0.7: TP 1, FN 1 -> 2/3
    assert best_threshold(written({0.301: (2, 1), 0.701: (0, 1)})) == (1 / 300, 2 / 3)


def test_the_best_threshold_over_all_by_brute_force():
    hist = np.stack([random_histogram(seed) for seed in range(5)])
    for one, threshold, dice in zip(hist, *best_threshold(hist), strict=True):
        every = [dice_curve(one)[grid.first_cell_above(k / 300)] for k in range(1, 300)]
        assert dice == max(every)
        assert threshold == (every.index(max(every)) + 1) / 300


def test_without_the_class_no_threshold_is_best():
    assert np.isnan(best_threshold(written({0.3: (5, 0)}))).all()
    assert np.isnan(best_threshold(written({0.3: (5, 0)}))[1] / 2)
    assert best_threshold(written({0.3: (0, 5)})) == (1 / 300, 1)


@pytest.mark.parametrize("centre", [0, -2])
def test_the_best_threshold_of_a_calibrated_score_is_half_the_best_dice(centre):
    # expected counts, free of noise: in a cell with mean p, a share p of the pixels has the class
    log_odds, _ = sample(seed=8, pixels=200_000, centre=centre)
    whole = histogram(log_odds, np.zeros(len(log_odds), bool))
    n, sum_p = whole[0], whole[2]
    share = np.divide(sum_p, n, out=np.zeros_like(n), where=n > 0)
    hist = np.stack([n - sum_p, sum_p, sum_p * (1 - share), sum_p * share])
    assert best_threshold(hist)[1] / 2 == pytest.approx(best_threshold(hist)[0], abs=1 / 300)


@pytest.mark.parametrize("within", [0.0, 0.005, 0.1, 2.0])
def test_thresholds_near_the_greatest_by_brute_force(within):
    for seed in range(5):
        curve = dice_curve(random_histogram(seed))
        steps = [float(curve[grid.first_cell_above(k / 300)]) for k in range(1, 300)]
        threshold, best = greatest(curve)
        at = round(float(threshold) * 300) - 1
        low = high = at
        while low > 0 and steps[low - 1] >= best - within:
            low -= 1
        while high < 298 and steps[high + 1] >= best - within:
            high += 1
        assert near_greatest(curve, within=within) == ((low + 1) / 300, (high + 1) / 300)


def test_a_score_that_is_nowhere_defined_has_no_greatest():
    curve = np.full((2, grid.CELLS + 1), np.nan)
    curve[1, grid.first_cell_above(0.4)] = 0.0
    threshold, best = greatest(curve)
    assert np.isnan([threshold[0], best[0]]).all()
    assert (threshold[1], best[1]) == (0.4, 0)
    low, high = near_greatest(curve, within=0.5)
    assert np.isnan([low[0], high[0]]).all()
    assert (low[1], high[1]) == (0.4, 0.4)  # NaN is not near


def test_cost_at_every_cut_is_the_expected_cost():
    hist = random_histogram(6)
    curve = cost_curve(hist, cost_fp=2.0, cost_fn=3.0)
    each = [float(expected_cost(hist, cost_fp=2.0, cost_fn=3.0, threshold=float(p))) for p in CUT_P[1:-1]]
    assert curve[1:-1] == pytest.approx(each)
    without, there = hist[:2].sum(axis=-1)
    assert curve[[0, -1]] == pytest.approx([2 * without / (without + there), 3 * there / (without + there)])
    with pytest.raises(ConfigError, match="costs must be"):
        cost_curve(hist, cost_fp=0.0, cost_fn=1.0)


def test_the_cheapest_of_equal_cuts_is_the_nearest_to_the_one_named():
    # nothing between 0.2 and 0.6: every cut there has no mistake
    hist = written({0.2017: (5, 0), 0.601: (0, 3)})
    costs = cost_curve(hist, cost_fp=1.0, cost_fn=4.0)
    first, last = cell(0.2017) + 1, cell(0.601)
    assert cheapest_cut(costs, near=cut_at(0.4)) == cut_at(0.4)
    assert cheapest_cut(costs, near=1) == first
    assert cheapest_cut(costs, near=grid.CELLS) == last
    stacked = np.stack([costs, np.full_like(costs, np.nan)])
    assert cheapest_cut(stacked, near=77).tolist() == [first, 77]


def test_cost_by_hand_and_its_bayes_threshold():
    # called above 0.5: FP 1, FN 2 of 10 pixels, costs 3 and 5
    hist = written({0.8: (1, 3), 0.4: (4, 2)})
    assert expected_cost(hist, cost_fp=3, cost_fn=5, threshold=0.5) == pytest.approx((3 * 1 + 5 * 2) / 10)
    assert bayes_threshold(cost_fp=1, cost_fn=1) == 0.5
    assert bayes_threshold(cost_fp=3, cost_fn=1) == 0.75
    assert bayes_threshold(cost_fp=1, cost_fn=3) == 0.25
    # outside the steps of 1/300: odds 1/1000, log-odds -6.91, nearest edge -7
    assert bayes_threshold(cost_fp=1, cost_fn=1000) == pytest.approx(expit(-7.0))
    assert bayes_threshold(cost_fp=1, cost_fn=1e12) == pytest.approx(expit(-16.0))
    assert bayes_threshold(cost_fp=1e300, cost_fn=1e-300) == pytest.approx(expit(16.0))
    for costs in ({"cost_fp": 0, "cost_fn": 1}, {"cost_fp": 1, "cost_fn": float("nan")}):
        with pytest.raises(ConfigError, match="costs must be"):
            bayes_threshold(**costs)
    with pytest.raises(ShapeError, match="edge of a cell"):
        expected_cost(hist, cost_fp=1, cost_fn=1, threshold=0.123)


def test_equal_costs_give_the_error_rate():
    log_odds, truth = sample(seed=9)
    found = ALL["expected_cost"].value(histogram(log_odds, truth), SETTING)
    assert found == pytest.approx(1 - sk.accuracy_score(truth, log_odds > 0))


@pytest.mark.parametrize("cost_fn", [0.2, 1.0, 9.0])
def test_the_bayes_threshold_costs_least_for_a_calibrated_score(cost_fn):
    log_odds, truth = sample(seed=10, pixels=100_000, a=0.0, b=1.0)
    hist = histogram(log_odds, truth)
    costs = [
        float(expected_cost(hist, cost_fp=1, cost_fn=cost_fn, threshold=float(threshold))) for threshold in CUT_P[1:-1]
    ]
    bayes = Setting("exclusive", cost_fn=cost_fn)
    assert ALL["expected_cost"].value(hist, bayes) == pytest.approx(min(costs), rel=0.01)
