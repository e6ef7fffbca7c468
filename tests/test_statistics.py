import numpy as np
import pytest
from arrays import counts_of, example, probabilities
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.counting import grid
from pipelines.counting.counts import PER_IMAGE, POOLED, Counts, merge, stack
from pipelines.counting.image import count_image
from pipelines.counting.kernels import BOUNDARY, IGNORED, INTERIOR
from pipelines.counting.outlines import label_masks, regions
from pipelines.errors import ShapeError
from pipelines.schema import KINDS


def test_every_p_of_k_over_300_is_an_edge_and_cells_are_right_closed():
    for k in range(1, 300):
        at = np.float64(np.log(k / 300) - np.log1p(-k / 300))
        assert np.isclose(grid.EDGES, at, atol=1e-12).any(), k
    half = np.array([0.0, -0.0, np.nextafter(np.float16(0), np.float16(1))], np.float16).view(np.uint16)
    below, below_too, above = (int(grid.CELL_TABLE[bits]) for bits in half)
    # p = 0.5 exactly closes its cell from the right, so it is not "p > 0.5"; the next float16 is.
    assert below == below_too == grid.HALF_CELL - 1
    assert above == grid.HALF_CELL


@pytest.mark.parametrize("bins", [10, 12, 15, 20, 25, 30, 50, 60, 75, 100, 150, 300])
def test_rebinning_equals_binning_every_float16_by_its_probability(bins):
    values = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64)
    finite = np.isfinite(values)
    p = probabilities(values[finite])
    # right-closed with 0 in the first: bin = ceil(p * bins) - 1, at least 0
    expected = np.bincount(np.clip(np.ceil(p * bins - 1e-12).astype(int) - 1, 0, bins - 1), minlength=bins)
    cells = np.bincount(grid.CELL_TABLE[finite], minlength=grid.CELLS)
    assert grid.rebin(cells, bins).tolist() == expected.tolist()


def test_bins_and_thresholds_off_the_grid_are_refused():
    with pytest.raises(ShapeError, match="bins must divide 300"):
        grid.bin_of_cell(7)
    with pytest.raises(ShapeError, match="k/300"):
        grid.first_cell_above(0.501)
    assert grid.first_cell_above(0.5) == grid.HALF_CELL


def test_boundary_band_by_hand():
    # One row, left three pixels class 0, right five class 1: the boundary runs between columns 2 and 3.
    truth = np.zeros((2, 1, 8), bool)
    truth[0, 0, :3] = True
    truth[1, 0, 3:] = True
    valid = np.ones((1, 8), bool)
    assert np.flatnonzero(regions(truth, valid, width=1)[0] == BOUNDARY).tolist() == [2, 3]
    # width 3: centres less than 3 pixels from column 2 or 3 -> columns 0..5
    assert np.flatnonzero(regions(truth, valid, width=3)[0] == BOUNDARY).tolist() == [0, 1, 2, 3, 4, 5]


def test_the_rim_of_the_ignored_area_is_no_boundary():
    truth = np.zeros((2, 1, 6), bool)
    truth[0, 0, :2] = True
    truth[1, 0, 4:] = True
    valid = np.array([[True, True, False, False, True, True]])
    assert regions(truth, valid, width=3)[0].tolist() == [INTERIOR, INTERIOR, IGNORED, IGNORED, INTERIOR, INTERIOR]


@pytest.mark.parametrize("kind", KINDS)
def test_counts_equal_a_slow_count_pixel_by_pixel(kind):
    log_odds, truth, valid = example(kind, seed=3)
    counts = counts_of(kind, [(log_odds, truth, valid)])
    region = regions(truth, valid, width=2)
    p = probabilities(log_odds)
    classes = truth.shape[0]
    score = np.zeros((classes, 2, 2, grid.CELLS), np.int64)
    score_p, brier = np.zeros(score.shape), np.zeros((classes, 2, 2, 2))
    ranks = np.zeros((2, 4, min(classes, 3), grid.CELLS), np.int64)
    joint = np.zeros((classes + 1, classes, grid.CELLS), np.int64)
    for y, x in zip(*np.nonzero(valid), strict=True):
        cells = np.searchsorted(grid.EDGES, log_odds[:, y, x].astype(np.float64), side="left").tolist()
        labels = [c for c in range(classes) if truth[c, y, x]]
        for c in range(classes):
            there = int(truth[c, y, x])
            score[c, region[y, x], there, cells[c]] += 1
            score_p[c, region[y, x], there, cells[c]] += p[c, y, x]
            brier[c, region[y, x], there, int(p[c, y, x] > 0.5)] += (p[c, y, x] - there) ** 2
            for t in labels or [classes]:
                joint[t, c, cells[c]] += 1
        for k, cell in enumerate(sorted(cells, reverse=True)[:3]):
            ranks[region[y, x], min(len(labels), 3), k, cell] += 1
    assert np.array_equal(counts.score[0], score)
    assert np.array_equal(counts.ranks[0], ranks)
    assert np.array_equal(counts.joint, joint)
    assert np.abs(counts.score_p[0] * grid.P_UNIT - score_p).max() < 1e-6
    assert np.abs(counts.squared_error[0] * grid.P_UNIT - brier).max() < 1e-6


def test_pairs_hold_the_smaller_score_of_each_pair_by_joint_presence():
    log_odds, truth, valid = example("overlapping", seed=5)
    counts = counts_of("overlapping", [(log_odds, truth, valid)])
    for number, (a, b) in enumerate([(0, 1), (0, 2), (1, 2)]):
        smaller = np.minimum(log_odds[a], log_odds[b])[valid].astype(np.float64)
        both = (truth[a] & truth[b])[valid]
        cells = np.searchsorted(grid.EDGES, smaller, side="left")
        for there in (0, 1):
            slow = np.bincount(cells[both == bool(there)], minlength=grid.CELLS)
            found = counts.pairs[number, there]
            first = int(np.searchsorted(grid.STEP_OF_CELL, 1))
            assert found[first:].tolist() == slow[first:].tolist()
            assert found[0] == slow[:first].sum()  # p <= 1/300 is one cell
            assert found.sum() == slow.sum()


def test_argmax_confusion_and_top_label_by_hand():
    # Two pixels, three classes. Pixel 0: truth 0, argmax 0. Pixel 1: truth 2, tie of classes 1 and 2 -> the first, 1.
    log_odds = np.array([[[2.0, -1.0]], [[-1.0, 0.5]], [[-3.0, 0.5]]], np.float16)
    truth = np.array([[[True, False]], [[False, False]], [[False, True]]])
    counts = counts_of("exclusive", [(log_odds, truth, np.ones((1, 2), bool))])
    assert counts.confusion[0].sum(axis=0).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    by_correct = counts.top[0].sum(axis=(0, 1, 3))
    assert by_correct.tolist() == [1, 1]
    # sum of the largest p: sigmoid(2) + sigmoid(0.5) = 0.880797 + 0.622459
    assert counts.top_p.sum() * grid.P_UNIT == pytest.approx(0.8807970780 + 0.6224593312, abs=1e-8)


def test_categorical_reading_of_sigmoid_is_softmax_of_its_logits():
    log_odds, truth, valid = example("exclusive", seed=9, ignored=0.0)
    counts = counts_of("exclusive", [(log_odds, truth, valid)])
    z = log_odds.astype(np.float64)
    log_p = z - np.log(np.exp(z).sum(axis=0))
    p = probabilities(z)
    one = sum(p[k] * np.prod([1 - p[j] for j in range(3) if j != k], axis=0) for k in range(3))
    nll, off = counts.categorical[0].sum(axis=0) * [grid.NLL_UNIT, grid.P_UNIT]
    assert nll == pytest.approx(-log_p[truth].sum(), rel=1e-6)
    assert off == pytest.approx((1 - one).sum(), rel=1e-6)


def test_background_in_truth_and_argmax_is_not_foreground():
    log_odds = np.array([[[2.0, 2.0, -2.0]], [[-2.0, -2.0, 2.0]]], np.float16)
    truth = np.array([[[True, False, True]], [[False, True, False]]])
    counts = counts_of("exclusive", [(log_odds, truth, np.ones((1, 3), bool))], background=0)
    # only pixel 0 is background for both; pixels 1 and 2 are foreground
    assert counts.top[0].sum(axis=(0, 2, 3)).tolist() == [1, 2]


@settings(max_examples=25, deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.integers(0, 10_000), min_size=2, max_size=4, unique=True), st.data())
def test_merging_two_parts_equals_counting_the_whole(kind, seeds, data):
    images = [example(kind, seed=seed, size=(5, 7)) for seed in seeds]
    cut = data.draw(st.integers(1, len(images) - 1))
    whole = counts_of(kind, images)
    first, rest = counts_of(kind, images[:cut]), counts_of(kind, images[cut:])
    renamed = Counts(
        images=tuple(str(cut + int(name)) for name in rest.images),
        **{name: getattr(rest, name) for name in (*PER_IMAGE, *POOLED)},
    )
    merged = merge([first, renamed])
    assert merged.images == whole.images
    for name in (*PER_IMAGE, *POOLED):
        assert getattr(merged, name).dtype == (np.uint64 if name == "sets" else np.int64)
        assert np.array_equal(getattr(merged, name), getattr(whole, name)), name


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_counts_do_not_depend_on_where_a_pixel_stands(seed, shuffle):
    log_odds, truth, valid = example("overlapping", seed=seed, size=(4, 9))
    region = regions(truth, valid, width=2)
    order = np.random.default_rng(shuffle).permutation(valid.size)
    flat = [array.reshape(*array.shape[:-2], -1)[..., order] for array in (log_odds, label_masks(truth), region)]
    there = count_image(log_odds, label_masks(truth), region, exclusive=False)
    moved = count_image(*flat, exclusive=False)
    for name in PER_IMAGE + POOLED:
        assert np.array_equal(getattr(there, name), getattr(moved, name)), name


def test_merging_the_same_image_twice_is_refused():
    part = counts_of("binary", [example("binary", seed=1)])
    with pytest.raises(ShapeError, match="two of the parts"):
        merge([part, part])
    with pytest.raises(ShapeError, match="at least one image"):
        stack([], [])


def test_an_image_of_ignored_pixels_counts_nothing():
    log_odds, truth, _ = example("exclusive", seed=1)
    counts = counts_of("exclusive", [(log_odds, np.zeros_like(truth), np.zeros(truth.shape[1:], bool))])
    assert all(getattr(counts, name).sum() == 0 for name in (*PER_IMAGE, *POOLED))


def test_values_that_are_not_numbers_are_refused_unless_ignored():
    log_odds, truth, valid = example("binary", seed=1, ignored=0.0)
    log_odds[0, 0, 0] = np.nan
    with pytest.raises(ShapeError, match="1 log-odds are not numbers"):
        counts_of("binary", [(log_odds, truth, valid)])
    valid[0, 0] = False
    assert counts_of("binary", [(log_odds, truth & valid, valid)]).pixels.tolist() == [valid.sum()]


def test_exclusive_truth_with_two_labels_or_none_is_refused():
    log_odds, truth, valid = example("exclusive", seed=1, ignored=0.0)
    truth[:, 0, 0] = True
    with pytest.raises(ShapeError, match="exactly one class"):
        counts_of("exclusive", [(log_odds, truth, valid)])
    truth[:, 0, 0] = False
    with pytest.raises(ShapeError, match="exactly one class"):
        counts_of("exclusive", [(log_odds, truth, valid)])


def test_probabilities_of_0_and_1_fall_into_the_outermost_cells():
    log_odds = np.array([[[-512.0, 512.0]]], np.float16)
    truth = np.array([[[False, True]]])
    counts = counts_of("binary", [(log_odds, truth, np.ones((1, 2), bool))])
    assert counts.score[0, 0].sum(axis=0)[0, 0] == 1
    assert counts.score[0, 0].sum(axis=0)[1, -1] == 1
    assert counts.nll.sum() == 0  # both certain and right
