"""Thresholds of single classes to what was called: against pixels, by hand, and as paired differences of two heads."""

import numpy as np
import pytest
from arrays import counts_of, example
from histograms import random_histogram, written
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.counting.grid import CELLS, HALF_CELL, first_cell_above
from pipelines.errors import ShapeError
from pipelines.metrics import decisions
from pipelines.metrics.base import OUTCOMES_AT_HALF, SCORES, TOP, Setting
from pipelines.metrics.inference import Resampling, totals, unit_weights
from pipelines.metrics.segmentation import dice
from pipelines.metrics.thresholds import CUT_LOG_ODDS, CUT_P, best_threshold, expected_cost

SETTING = Setting("overlapping")


def outcomes_at(called, cuts):
    """Outcomes of each class at its own cut: (..., C, 2, CELLS + 1) and (C,) to (..., C, 4)."""
    return decisions.outcomes_of(decisions.called_at(called, cuts), called[..., 0].astype(np.float64))


def images(kind="overlapping", *, count=5, classes=3):
    return [example(kind, seed=seed, classes=classes) for seed in range(count)]


def weights(count, *, units=None, replicates=400):
    units = np.arange(count) if units is None else np.array(units)
    drawn = Resampling("groups", units, int(units.max()) + 1, None)
    return unit_weights(drawn, replicates=replicates, rng=np.random.default_rng(0))


def outcomes_by_pixel(some, cuts):
    """(N, C, 4) by comparing every pixel's log-odds with its class's threshold."""
    found = []
    for log_odds, truth, valid in some:
        called = log_odds.astype(np.float64) > CUT_LOG_ODDS[list(cuts)][:, None, None]
        kinds = (called & truth, called & ~truth, ~called & truth, ~called & ~truth)
        found.append([[int((kind[c] & valid).sum()) for kind in kinds] for c in range(len(truth))])
    return np.array(found, np.float64)


# Outcomes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(HALF_CELL,) * 3, (5, 171, 330), (0, CELLS, 60)])
def test_outcomes_at_cuts_are_those_of_the_pixels(cuts):
    some = images()
    called = decisions.called_by_cut(counts_of("overlapping", some))
    assert called.shape == (5, 3, 2, CELLS + 1)
    found = outcomes_at(called, np.array(cuts))
    assert np.array_equal(found, outcomes_by_pixel(some, cuts))
    # Axes in front of the images, such as seeds, change nothing.
    assert np.array_equal(outcomes_at(np.stack([called, called]), np.array(cuts))[1], found)


def test_sums_equal_those_of_the_metrics():
    counts = counts_of("exclusive", images("exclusive"))
    assert np.array_equal(decisions.score_sums(counts), SCORES.terms(counts, SETTING).sum(axis=(0, 1)))
    assert np.array_equal(decisions.top_sums(counts), TOP.terms(counts, Setting("exclusive")).sum(axis=(0, 1)))
    half = outcomes_at(decisions.called_by_cut(counts), np.full(3, HALF_CELL))
    assert np.array_equal(half, OUTCOMES_AT_HALF.terms(counts, SETTING).sum(axis=1))
    with pytest.raises(ShapeError, match="one true class"):
        decisions.top_sums(counts_of("overlapping", images()))


# Scores and costs ---------------------------------------------------------------------------------------------------


def test_mean_scores_leave_out_classes_without_truth():
    # a: TP 3, FP 1, FN 1 -> Dice 6/8, IoU 3/5, precision 3/4, recall 3/4; b: not there, called once; c: missed.
    sums = np.array([[3, 1, 1, 5], [0, 1, 0, 9], [0, 0, 2, 8]], float)
    assert decisions.mean_scores(sums[:2]) == pytest.approx([6 / 8, 3 / 5, 3 / 4, 3 / 4])
    # c has Dice, IoU and recall 0; its precision is not defined and left out.
    assert decisions.mean_scores(sums) == pytest.approx([6 / 16, 3 / 10, 3 / 4, 3 / 8])
    assert np.isnan(decisions.mean_scores(sums[1:2])).all()


def test_mean_cost_is_the_mean_of_the_classes_expected_costs():
    counts = counts_of("overlapping", images())
    called = decisions.called_by_cut(counts)
    terms = decisions.cost_terms(
        outcomes_at(called, np.full(3, first_cell_above(0.3))), [0, 2], cost_fp=2.0, cost_fn=7.0
    )
    each = expected_cost(decisions.score_sums(counts), cost_fp=2.0, cost_fn=7.0, threshold=0.3)
    assert decisions.mean_cost(terms.sum(axis=0)) == pytest.approx((each[0] + each[2]) / 2)
    assert np.isnan(decisions.mean_cost(np.zeros(2)))


def two_heads(*, count=12, seeds=2):
    """(S, N, 3, 4) outcomes of two heads, the second with noisier scores."""
    found = []
    for noise in (0.0, 1.5):
        by_seed = []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, int(10 * noise)])
            some = [
                ((x + noise * rng.normal(size=x.shape)).astype(np.float16), t, v) for x, t, v in images(count=count)
            ]
            by_seed.append(outcomes_by_pixel(some, (HALF_CELL,) * 3))
        found.append(np.stack(by_seed))
    return found


@pytest.mark.parametrize("seeds", [1, 2])
def test_paired_difference_turns_round_with_the_heads_and_is_nothing_of_one_with_itself(seeds):
    first, second = two_heads(seeds=seeds)
    ours, theirs = (decisions.resampled(one, weights(12)) for one in (first, second))
    there = decisions.paired(ours, theirs, decisions.mean_scores, units=12)
    back = decisions.paired(theirs, ours, decisions.mean_scores, units=12)
    assert there.difference == pytest.approx(there.first - there.second)
    assert back.difference == pytest.approx(-there.difference)
    assert back.low == pytest.approx(-there.high)
    assert back.high == pytest.approx(-there.low)
    assert (there.low < there.difference).all()
    assert (there.difference < there.high).all()
    assert there.first[0] == pytest.approx(np.mean([dice(one.sum(axis=0)).mean() for one in first]))
    same = decisions.paired(ours, ours, decisions.mean_scores, units=12)
    assert not np.any([same.difference, same.low, same.high])


def test_a_difference_of_few_seeds_stays_within_what_is_possible():
    # One seed finds everything, the other nothing: t of one degree of freedom alone would reach far beyond 1.
    found, missed = np.array([100.0, 0, 0, 100]), np.array([0.0, 0, 100, 100])
    ours = np.stack([np.tile(found, (12, 1, 1)), np.tile(missed, (12, 1, 1))])
    theirs = np.tile(missed, (2, 12, 1, 1))
    sums = [decisions.resampled(one, weights(12)) for one in (ours, theirs)]
    recall = decisions.SCORE_NAMES.index("recall")
    free, held = (decisions.paired(*sums, decisions.mean_scores, units=12, most=most) for most in (np.inf, 1.0))
    assert free.difference[recall] == held.difference[recall] == 0.5
    assert free.high[recall] > 1 > 0 > free.low[recall]
    assert (held.low[recall], held.high[recall]) == (max(free.low[recall], -1), 1)


def test_a_difference_that_all_images_share_has_no_spread_however_much_they_differ():
    # The images differ far more than the heads do; drawing the same ones for both takes that out.
    hard = np.linspace(0, 80, 12)
    outcomes = [np.stack([100 - hard - k, 0 * hard, hard + k, 100 + 0 * hard], axis=-1)[None, :, None] for k in (0, 2)]
    sums = (decisions.resampled(one, weights(12)) for one in outcomes)
    found = decisions.paired(*sums, decisions.mean_scores, units=12)
    recall = decisions.SCORE_NAMES.index("recall")
    assert found.difference[recall] == pytest.approx(0.02)
    assert (found.low[recall], found.high[recall]) == pytest.approx((0.02, 0.02))


def test_totals_in_pieces_are_those_of_the_whole():
    rng = np.random.default_rng(0)
    for shape in ((12, 2, 3), (700, 2, 40, 4), (3, 0)):
        terms, drawn = rng.integers(0, 100, shape).astype(float), weights(shape[0], replicates=30)
        found = decisions._totals(terms, drawn)
        assert found.shape == (30, *shape[1:])
        assert np.array_equal(found, totals(terms, drawn))  # whole numbers: no rounding


def test_outcomes_resampled_are_those_of_the_pixels_called_resampled():
    some = images(count=7)
    called = decisions.called_by_cut(counts_of("overlapping", some))[None]
    cuts, drawn = np.array([5, 171, 330]), weights(7, replicates=30)
    outcomes = decisions.resampled(outcomes_by_pixel(some, cuts)[None], drawn)
    picked = decisions.resampled(decisions.called_at(called, cuts), drawn)
    whole = decisions.resampled(decisions.called_at(called, np.zeros(3, np.int64)), drawn)
    assert np.array_equal(decisions.outcomes_of(picked, whole), outcomes)
    # The cost of summed outcomes is the sum of the images' costs.
    first, second = (
        decisions.cost_terms(one, [0, 2], cost_fp=2.0, cost_fn=7.0)
        for one in (outcomes, outcomes_by_pixel(some, cuts)[None])
    )
    assert first == pytest.approx(decisions.resampled(second, drawn))


def test_one_image_gives_values_without_an_interval():
    first, second = two_heads(count=1)
    first, second = (decisions.resampled(one, weights(1)) for one in (first, second))
    assert first.shape == (1, 2, 3, 4)  # all images, and no replicate
    found = decisions.paired(first, second, decisions.mean_scores, units=1)
    assert np.isfinite(found.difference).all()
    assert np.isnan([found.low, found.high]).all()
    with pytest.raises(ShapeError, match="same seeds"):
        decisions.paired(first, second[:, :0], decisions.mean_scores, units=1)


# Labels -------------------------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 500), cuts=st.tuples(*[st.integers(1, CELLS - 1)] * 3))
def test_labels_lie_within_their_bounds(seed, cuts):
    some = [example("overlapping", seed=seed)]
    counts = counts_of("overlapping", some)
    (log_odds, _, valid) = some[0]
    labels = (log_odds.astype(np.float64) > CUT_LOG_ODDS[list(cuts)][:, None, None]).sum(axis=0)[valid]
    outcomes = outcomes_at(decisions.called_by_cut(counts)[0], np.array(cuts))
    called = (outcomes[:, 0] + outcomes[:, 1]) / outcomes.sum(axis=-1)
    assert called.sum() == pytest.approx(labels.mean())
    found = decisions.label_bounds(decisions.labels_by_cut(counts), called, cuts)
    for (low, high), share in zip(found, ((labels == 0).mean(), (labels > 1).mean()), strict=True):
        assert low - 1e-12 <= share <= high + 1e-12
        if len(set(cuts)) == 1:
            assert low == high


def test_labels_are_known_where_all_thresholds_are_the_same():
    some = images(count=2)
    counts = counts_of("overlapping", some)
    for cut in (60, HALF_CELL, 300):
        labels = np.concatenate([(x.astype(np.float64) > CUT_LOG_ODDS[cut]).sum(axis=0)[v] for x, _, v in some])
        none, several = decisions.label_bounds(decisions.labels_by_cut(counts), np.zeros(3), (cut,) * 3)
        assert none == pytest.approx(((labels == 0).mean(),) * 2)
        assert several == pytest.approx(((labels > 1).mean(),) * 2)


def test_one_class_has_no_two_labels():
    counts = counts_of("binary", images("binary", count=2))
    none, several = decisions.label_bounds(decisions.labels_by_cut(counts), np.array([0.4]), (HALF_CELL,))
    assert several == (0, 0)
    assert none.low == none.high == pytest.approx(1 - decisions.labels_by_cut(counts)[0, HALF_CELL])


# Choices ------------------------------------------------------------------------------------------------------------


def test_choices_of_one_seed_are_those_of_the_metrics():
    hist = np.stack([random_histogram(3), random_histogram(4), written({0.3: (7, 0)})])
    table = decisions.threshold_choices(hist[None], (0.2, 0.5, 0.5), classes=["a", "b", "unseen"])
    threshold, best = best_threshold(hist)
    assert table["best"].to_numpy() == pytest.approx(threshold, nan_ok=True)
    assert table["dice_best"].to_numpy() == pytest.approx(best, nan_ok=True)
    assert table["half_optimum"].to_numpy() == pytest.approx(best_threshold(hist)[1] / 2, nan_ok=True)
    assert table["off"].to_numpy() == pytest.approx(threshold - best / 2, nan_ok=True)
    seen = table[:2]
    assert ((seen["best_low"] <= seen["best"]) & (seen["best"] <= seen["best_high"])).all()
    assert (seen["dice_tuned"] <= seen["dice_best"]).all()
    assert seen["dice_half"].iloc[1] == seen["dice_tuned"].iloc[1]
    assert np.isnan(table.iloc[2][["best", "dice_half", "dice_tuned"]].to_numpy(float)).all()
    assert decisions.threshold_choices(hist[None], None, classes=["a", "b", "c"])["dice_tuned"].isna().all()


def test_choices_of_several_seeds_average_their_dice():
    # Dice 1 at p in [0.2, 0.6) in one seed, in [0.5, 0.8) in the other: at 0.5 both have it.
    one, other = written({0.199: (5, 0), 0.601: (0, 3)}), written({0.501: (5, 0), 0.801: (0, 3)})
    table = decisions.threshold_choices(np.stack([one, other])[:, None], None, classes=["a"])
    assert table["best"].item() == pytest.approx(151 / 300)  # the first step above 0.501
    assert table["dice_best"].item() == 1


def test_the_nearest_cut_is_found_by_log_odds_and_stays_inside():
    assert all(decisions.nearest_cut(float(CUT_P[cut])) == cut for cut in range(1, CELLS))
    assert decisions.nearest_cut(0.5012) == HALF_CELL
    assert decisions.nearest_cut(0.0) == 1
    assert decisions.nearest_cut(1.0) == CELLS - 1
