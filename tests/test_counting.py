"""Counts of pixels against plain numpy, against other libraries and by hand."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_counts import NLL_TABLE, plain_counts
from scipy.special import expit
from scipy.stats import poisson_binom

from pipelines.counting import grid
from pipelines.counting.counts import PER_IMAGE, POOLED, add_sets
from pipelines.counting.image import count_image
from pipelines.counting.kernels import BLOCK, IGNORED
from pipelines.errors import ShapeError

FIELDS = PER_IMAGE + POOLED
EXTREMES = np.array([0.0, -0.0, 512.0, -512.0, 6e-8, -6e-8, 1.0, -5.703, 87.5, -87.5], np.float16)


def random_image(seed, *, classes, pixels, exclusive, ignored=0.1):
    """log_odds (C, N) with ties, zeros of both signs and extremes; masks and region (N,)."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(0, 4, (classes, pixels)).astype(np.float16)
    log_odds = np.where(rng.random(log_odds.shape) < 0.2, rng.choice(EXTREMES, log_odds.shape), log_odds)
    log_odds[:, rng.random(pixels) < 0.05] = np.float16(0.25)  # all classes tie
    runs = np.sort(rng.integers(0, pixels + 1, pixels // 10 + 1))  # neighbours mostly share their labels
    of_run = np.searchsorted(runs, np.arange(pixels))
    if exclusive:
        masks = np.uint64(1) << rng.integers(0, classes, len(runs) + 1).astype(np.uint64)
    else:
        drawn = rng.random((classes, len(runs) + 1)) < 0.3
        masks = (drawn.astype(np.uint64) << np.arange(classes, dtype=np.uint64)[:, None]).sum(axis=0, dtype=np.uint64)
    region = np.where(rng.random(pixels) < ignored, IGNORED, rng.integers(0, 2, pixels)).astype(np.uint8)
    return log_odds, masks[of_run], region


def check_against_plain(image, *, exclusive, **options):
    found = count_image(*image, exclusive=exclusive, **options)
    plain = plain_counts(*image, exclusive=exclusive, **options)
    for name in set(plain) & set(FIELDS):
        assert np.array_equal(getattr(found, name), plain[name]), name
    assert found.mass.sum(axis=1).tolist() == (plain["pixels"] * 2**30).tolist()
    return found, plain


@pytest.mark.parametrize(
    ("exclusive", "classes"),
    # few classes have a counter for each pair of label sets, many a hash table
    [
        (True, 1),
        (True, 2),
        (True, 5),
        (True, 12),
        (True, 13),
        (False, 1),
        (False, 2),
        (False, 3),
        (False, 8),
        (False, 9),
    ],
)
def test_all_counts_equal_plain_numpy(exclusive, classes):
    # more than one block, whose last word is not full
    image = random_image(classes, classes=classes, pixels=BLOCK + 77, exclusive=exclusive)
    found, plain = check_against_plain(image, exclusive=exclusive, background=0)
    pixels = plain["pixels"]
    if exclusive or classes > 1:  # rounded to 2**-30 and from float32 odds: far below 1e-6 of a pixel
        assert np.abs(found.mass * grid.P_UNIT - plain["independent"][:, :3]).max() / pixels.min() < 1e-6
    if exclusive:
        nll, off_one = (found.categorical * [grid.NLL_UNIT, grid.P_UNIT]).T
        assert np.allclose(nll, plain["independent"][:, 3], rtol=1e-7, atol=1e-6 * pixels.min())
        assert np.abs(off_one - (pixels - plain["independent"][:, 1])).max() / pixels.min() < 1e-6


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6), classes=st.integers(1, 6), pixels=st.integers(0, 200), exclusive=st.booleans(),
    ignored=st.sampled_from([0.0, 0.3, 1.0]),
)  # fmt: skip
def test_all_counts_equal_plain_numpy_at_any_size(seed, classes, pixels, exclusive, ignored):
    image = random_image(seed, classes=classes, pixels=pixels, exclusive=exclusive, ignored=ignored)
    check_against_plain(image, exclusive=exclusive, background=classes - 1)


def test_counts_of_as_many_classes_as_a_label_set_holds():
    check_against_plain(random_image(0, classes=64, pixels=40, exclusive=True), exclusive=True)
    check_against_plain(random_image(0, classes=64, pixels=40, exclusive=False), exclusive=False)
    with pytest.raises(ShapeError, match="1 to 64 classes, got 65"):
        count_image(np.zeros((65, 1), np.float16), np.ones(1, np.uint64), np.zeros(1, np.uint8), exclusive=True)


def test_infinite_log_odds_count_as_the_largest_float16():
    infinite = np.array([[np.inf, -np.inf], [-np.inf, np.inf]], np.float16)
    largest = np.array([[65504, -65504], [-65504, 65504]], np.float16)
    masks, region = np.array([1, 1], np.uint64), np.zeros(2, np.uint8)
    one, other = (count_image(values, masks, region, exclusive=True) for values in (infinite, largest))
    for name in FIELDS:
        assert np.array_equal(getattr(one, name), getattr(other, name)), name
    # pixel 0 is certain and right, pixel 1 certain and wrong: 0 + (65504 + 65504) nats
    assert one.categorical[0, 0] * grid.NLL_UNIT == 2 * 65504


@pytest.mark.parametrize("level", [-400.0, -80.0, -60.0, 60.0, 80.0, 400.0])
def test_categorical_likelihood_of_log_odds_far_from_0(level):
    # Three equal log-odds: softmax gives 1/3 each, whatever their level; float32 odds end at exp(±87).
    image = np.full((3, 5), level, np.float16), np.full(5, 2, np.uint64), np.zeros(5, np.uint8)
    found = count_image(*image, exclusive=True)
    assert found.categorical[0, 0] * grid.NLL_UNIT == pytest.approx(5 * np.log(3), abs=1e-6)
    # no label if all are improbable, three if all are probable
    assert found.mass[0].tolist() == [5 * 2**30 if level < 0 else 0, 0, 0 if level < 0 else 5 * 2**30]


def test_ignored_pixels_may_hold_anything():
    log_odds, masks, region = random_image(1, classes=3, pixels=500, exclusive=True)
    spoilt, strange = log_odds.copy(), masks.copy()
    spoilt[:, region == IGNORED] = np.nan
    strange[region == IGNORED] = np.uint64(2**64 - 1)
    before, after = (
        count_image(log_odds, masks, region, exclusive=True),
        count_image(spoilt, strange, region, exclusive=True),
    )
    for name in FIELDS:
        assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_labels_and_regions_that_do_not_exist_are_refused():
    log_odds = np.zeros((2, 3), np.float16)
    masks, region = np.array([1, 2, 4], np.uint64), np.array([0, 1, 0], np.uint8)
    with pytest.raises(ShapeError, match="beyond the 2 classes at 1 pixels"):
        count_image(log_odds, masks, region, exclusive=True)
    with pytest.raises(ShapeError, match="others at 1 pixels"):
        count_image(log_odds, masks & np.uint64(3), np.array([0, 2, 0], np.uint8), exclusive=False)
    with pytest.raises(ShapeError, match="must be"):
        count_image(log_odds.astype(np.float32), masks, region, exclusive=True)


def test_tables_of_the_loops_hold_what_those_of_the_grid_do():
    numbers = ~np.isnan(np.arange(65536, dtype=np.uint16).view(np.float16))
    found = np.zeros(65536, np.int64)
    for start, stop, cell, called, first, step in grid.SEGMENTS:
        found[start:stop] += 1
        assert (grid.CELL_TABLE[start:stop] == cell).all()
        assert called == ((np.arange(start, stop, dtype=np.uint16).view(np.float16) > 0).all())
        log_odds = (first + step * np.arange(stop - start)) * grid.NLL_UNIT
        assert np.array_equal(log_odds, grid.LOG_ODDS[start:stop])
    assert np.array_equal(found, numbers)  # every number stands in one segment
    # -log P(y) is softplus(-|l|), and |l| if the sign of l speaks against y
    against = np.stack([np.maximum(grid.LOG_ODDS, 0), np.maximum(-grid.LOG_ODDS, 0)]) / grid.NLL_UNIT
    assert np.array_equal(grid.SOFTPLUS + against, NLL_TABLE)
    values = np.arange(65536, dtype=np.uint16).view(np.float16)
    keys = grid.KEY_OF_PATTERN.astype(np.int64)
    order = np.argsort(values[numbers], kind="stable")
    assert (np.diff(keys[numbers][order]) >= 0).all()
    assert len(np.unique(keys[numbers])) == numbers.sum() - 1  # -0 and 0 share one
    assert np.array_equal(grid.GRID.cell[keys[numbers]], grid.CELL_TABLE[numbers])


# Number of labels ----------------------------------------------------------------------------------------------------


def one_pixel(p, **options):
    log_odds = (np.log(p) - np.log1p(-np.asarray(p))).astype(np.float16)[:, None]
    found = count_image(log_odds, np.zeros(1, np.uint64), np.zeros(1, np.uint8), exclusive=False, **options)
    return found.mass[0] * grid.P_UNIT


def test_number_of_labels_by_hand():
    # p = 0.5 twice: none 0.25, one 0.5, two 0.25
    assert one_pixel([0.5, 0.5]).tolist() == [0.25, 0.5, 0.25]
    assert one_pixel([0.5]).tolist() == [0.5, 0.5, 0]
    exclusive = count_image(
        np.zeros((2, 1), np.float16), np.ones(1, np.uint64), np.zeros(1, np.uint8), exclusive=True, softmax=True
    )
    assert exclusive.mass[0].tolist() == [0, 2**30, 0]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-12, 12, width=16), min_size=2, max_size=5))
def test_number_of_independent_labels_is_poisson_binomial(log_odds):
    p = expit(np.array(log_odds, np.float64))
    none, one = poisson_binom.pmf([0, 1], p)
    found = one_pixel_of(log_odds)
    assert found == pytest.approx([none, one, 1 - none - one], abs=1e-6)
    by_sets = np.zeros(len(p) + 1)
    for chosen in product([0, 1], repeat=len(p)):
        by_sets[sum(chosen)] += np.prod(np.where(chosen, p, 1 - p))
    assert found == pytest.approx([by_sets[0], by_sets[1], by_sets[2:].sum()], abs=1e-6)


def one_pixel_of(log_odds):
    values = np.array(log_odds, np.float16)[:, None]
    return (
        count_image(values, np.zeros(1, np.uint64), np.zeros(1, np.uint8), exclusive=False).mass[0] * grid.P_UNIT
    ).tolist()


def logit16(p):
    return (np.log(p) - np.log1p(-np.asarray(p))).astype(np.float16)[:, None]


def test_number_of_labels_of_a_softmax_by_priority_is_the_background_or_one():
    found = one_pixel([0.3, 0.1], softmax=True, channels=logit16([0.6]), channel_labels=(0,))
    assert found == pytest.approx([0.6, 0.4, 0], abs=1e-4)  # float16


def test_number_of_labels_of_a_powerset_is_that_of_its_sets():
    # {}: 0.1, {a}: 0.2, {b}: 0.3, {a, b}: 0.3, {a, b, c}: 0.1 -> none 0.1, one 0.5, more 0.4
    channels = logit16([0.1, 0.2, 0.3, 0.3, 0.1])
    found = one_pixel([0.6, 0.7, 0.1], softmax=True, channels=channels, channel_labels=(0, 1, 1, 2, 3))
    assert found == pytest.approx([0.1, 0.5, 0.4], abs=1e-4)
    assert found.sum() == 1
    # shares that add up to 0.5 only are doubled
    half = logit16([0.1, 0.15, 0.25])
    assert one_pixel([0.4, 0.4], softmax=True, channels=half, channel_labels=(0, 1, 2)) == pytest.approx(
        [0.2, 0.3, 0.5], abs=1e-3
    )


def test_a_softmax_on_overlapping_truth_without_its_other_channels_is_refused():
    with pytest.raises(ShapeError, match="needs its channels that are not classes"):
        one_pixel([0.3, 0.1], softmax=True)
    with pytest.raises(ShapeError, match="for 2 numbers of labels"):
        one_pixel([0.3, 0.1], softmax=True, channels=logit16([0.6]), channel_labels=(0, 1))
    with pytest.raises(ShapeError, match="not numbers at 1 pixels"):
        one_pixel([0.3, 0.1], softmax=True, channels=np.full((1, 1), np.nan, np.float16), channel_labels=(0,))


# Pairs and sets of labels --------------------------------------------------------------------------------------------


def test_pair_mass_by_hand():
    # p = (0.5, 0.5): 0.25, max(0, 0) = 0, 0.5; the ignored pixel adds nothing
    log_odds, masks = np.zeros((2, 2), np.float16), np.zeros(2, np.uint64)
    found = count_image(log_odds, masks, np.array([0, IGNORED], np.uint8), exclusive=False)
    assert (found.pair_mass * grid.P_UNIT).tolist() == [[0.25, 0.0, 0.5]]
    assert count_image(log_odds, masks + np.uint64(1), np.zeros(2, np.uint8), exclusive=True).pair_mass.shape == (0, 3)


def test_label_sets_by_hand():
    # truth a, a, none, a+b; called at p > 0.5: a, a, none (p = 0.5 is not above), b
    log_odds = np.array([[1, 2, 0, -1], [-1, -2, 0, 3]], np.float16)
    found = count_image(log_odds, np.array([1, 1, 0, 3], np.uint64), np.zeros(4, np.uint8), exclusive=False)
    assert found.sets.tolist() == [[0, 0], [1, 1], [3, 2]]
    assert found.set_pixels.tolist() == [1, 2, 1]


rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 9)), max_size=12)


@settings(max_examples=60, deadline=None)
@given(st.lists(rows, min_size=1, max_size=5), st.integers(1, 16), st.randoms())
def test_bounded_sets_do_not_depend_on_the_order_of_merging(parts, most, random):
    arrays = [
        (np.array([row[:2] for row in part], np.uint64).reshape(-1, 2), np.array([row[2] for row in part], np.int64))
        for part in parts
    ]
    sums = {}
    for part in parts:
        for true, called, pixels in part:
            sums[true, called] = sums.get((true, called), 0) + pixels
    expected = sorted(sums.items())[:most]
    random.shuffle(arrays)
    total = add_sets([np.zeros((0, 2), np.uint64)], [np.zeros(0, np.int64)], most=most)
    for sets, pixels in arrays:  # bounded at every step
        total = add_sets([total[0], sets], [total[1], pixels], most=most)
    assert [tuple(row) for row in total[0].tolist()] == [row for row, _ in expected]
    assert total[1].tolist() == [pixels for _, pixels in expected]


def test_sets_without_pixels_are_refused():
    with pytest.raises(ShapeError, match="got 0 and 0"):
        add_sets([], [])
