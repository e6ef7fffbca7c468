from dataclasses import replace

import numpy as np
import pytest
from arrays import counts_of, example, probabilities
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ShapeError
from pipelines.metrics import overlap

HALF = np.float16(0.0)  # log-odds of p = 0.5


def one_row(log_odds, truth):
    """Overlapping counts of a picture with one row of pixels, one list a class."""
    truth = np.array(truth, bool)[:, None]
    return counts_of("overlapping", [(np.array(log_odds, np.float16)[:, None], truth, np.ones(truth.shape[1:], bool))])


def test_pair_probabilities_by_hand():
    # Two pixels: p_a = 0.5 and 0.5, p_b = 0.5 and sigmoid(2) = 0.880797; both there in the second alone.
    counts = one_row([[0, 0], [0, 2]], [[0, 1], [0, 1]])
    row = overlap.pair_probabilities(counts, classes=("a", "b")).iloc[0]
    q = 1 / (1 + np.exp(-2))
    assert row["observed"] == 1 / 2
    assert row["independent"] == pytest.approx((0.25 + 0.5 * q) / 2, abs=1e-8)
    assert row["lowest"] == pytest.approx((0 + (0.5 + q - 1)) / 2, abs=1e-8)
    assert row["highest"] == pytest.approx((0.5 + 0.5) / 2, abs=1e-8)
    assert bool(row["inside"]) is True  # 0.190 <= 0.5 <= 0.5


def test_a_joint_share_that_no_joint_law_with_these_marginals_has_is_found():
    # p_a = p_b = 0.1 everywhere, both there everywhere: at most 0.1 could be
    low = float(np.log(0.1 / 0.9))
    row = overlap.pair_probabilities(one_row([[low] * 3, [low] * 3], [[1] * 3, [1] * 3]), classes=("a", "b")).iloc[0]
    assert row["highest"] < 0.11
    assert bool(row["inside"]) is False


def test_pair_probabilities_need_labels_that_may_share_a_pixel():
    counts = counts_of("exclusive", [example("exclusive", seed=0)])
    with pytest.raises(ShapeError, match="share a pixel"):
        overlap.pair_probabilities(counts, classes=("a", "b", "c"))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 1000), min_size=1, max_size=3, unique=True))
def test_pair_probabilities_equal_a_plain_computation_and_are_ordered(seeds):
    images = [example("overlapping", seed=seed, size=(6, 9)) for seed in seeds]
    table = overlap.pair_probabilities(counts_of("overlapping", images), classes=("a", "b", "c"))
    p = np.concatenate([probabilities(log_odds)[:, valid] for log_odds, _, valid in images], axis=1)
    y = np.concatenate([truth[:, valid] for _, truth, valid in images], axis=1)
    for row, (a, b) in zip(table.to_dict("records"), [(0, 1), (0, 2), (1, 2)], strict=True):
        assert row["observed"] == pytest.approx((y[a] & y[b]).mean())
        assert row["independent"] == pytest.approx((p[a] * p[b]).mean(), abs=1e-7)
        assert row["lowest"] == pytest.approx(np.maximum(0, p[a] + p[b] - 1).mean(), abs=1e-7)
        assert row["highest"] == pytest.approx(np.minimum(p[a], p[b]).mean(), abs=1e-7)
        assert row["lowest"] <= row["independent"] + 1e-8 <= row["highest"] + 2e-8


def test_pair_decisions_by_hand():
    # Four pixels; a called in the first two, b in the second and third: both in one; by chance 2·2/4 = 1 -> lift 1.
    # Truth: a in the first two, b in the first two: both in two; by chance 1 -> lift 2.
    counts = one_row([[1, 1, -1, -1], [-1, 1, 1, -1]], [[1, 1, 0, 0], [1, 1, 0, 0]])
    row = overlap.pair_decisions(counts, classes=("a", "b")).iloc[0]
    assert (row["called"], row["expected"], row["lift"]) == (1, 1.0, 1.0)
    assert (row["true"], row["true_expected"], row["true_lift"]) == (2, 1.0, 2.0)


def test_label_sets_by_hand():
    # truth: a+b, a, none, a+b; called: a+b, a+b, none, b
    counts = one_row([[1, 1, -1, -1], [1, 1, -1, 1]], [[1, 1, 0, 1], [1, 0, 0, 1]])
    table = overlap.label_set_confusion(counts, classes=("a", "b")).set_index(["truth", "called"])
    assert table["pixels"].to_dict() == {("a+b", "a+b"): 1, ("a+b", "b"): 1, ("a", "a+b"): 1, ("none", "none"): 1}
    assert table.loc[("a+b", "b"), "share"] == 1 / 2
    assert table["right"].to_dict()[("a+b", "a+b")] is True
    assert table["right"].to_dict()[("a", "a+b")] is False
    assert overlap.exact_match(counts) == 2 / 4


def test_sets_beyond_the_commonest_are_pooled_and_no_pixel_is_lost():
    counts = counts_of("overlapping", [example("overlapping", seed=seed) for seed in range(3)])
    whole = overlap.label_set_confusion(counts, classes=("a", "b", "c"))
    some = overlap.label_set_confusion(counts, classes=("a", "b", "c"), most=2)
    assert set(some["truth"]) | set(some["called"]) <= {*whole["truth"][:1], *whole["truth"], overlap.REST}
    assert len(set(some["truth"]) | set(some["called"])) == 3
    assert some["pixels"].sum() == whole["pixels"].sum() == counts.pixels.sum()
    by_truth = whole.groupby("truth")["pixels"].sum()
    assert (whole["truth_pixels"] == whole["truth"].map(by_truth)).all()


def test_pixels_of_sets_that_counting_did_not_keep_are_among_the_rest():
    counts = counts_of("overlapping", [example("overlapping", seed=0)])
    short = replace(counts, sets=counts.sets[:-3], set_pixels=counts.set_pixels[:-3])
    table = overlap.label_set_confusion(short, classes=("a", "b", "c"))
    rest = table[(table["truth"] == overlap.REST) & (table["called"] == overlap.REST)]
    assert rest["pixels"].item() == counts.set_pixels[-3:].sum()
    assert table["pixels"].sum() == counts.pixels.sum()


def test_no_pixel_gives_empty_tables_and_nan():
    log_odds, truth, _ = example("overlapping", seed=0)
    counts = counts_of("overlapping", [(log_odds, np.zeros_like(truth), np.zeros(truth.shape[1:], bool))])
    assert overlap.label_set_confusion(counts, classes=("a", "b", "c")).empty
    assert np.isnan(overlap.exact_match(counts))
    assert (overlap.pair_probabilities(counts, classes=("a", "b", "c"))["observed"] == 0).all()
