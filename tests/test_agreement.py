"""Where two heads agree, and who is right where they do not, by hand and against slower ways."""

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.counting.kernels import BOUNDARY, IGNORED, INTERIOR
from pipelines.counting.outlines import count_agreement, label_masks
from pipelines.errors import ShapeError
from pipelines.metrics import agreement as measures

OF_CLASSES = (
    measures.agreement_rate,
    measures.dice_between,
    measures.kappa_between,
    measures.first_right_share_of_disagreements,
    measures.shared_error_share,
)
OF_SETS = (
    measures.same_set_rate,
    measures.either_right_rate,
    measures.shared_set_error_share,
)


def scene(seed, *, classes=3, size=(9, 11)):
    """first, second, truth (C, H, W) bool, region (H, W): heads that are right at most pixels."""
    rng = np.random.default_rng(seed)
    truth = rng.random((classes, *size)) < 0.4
    first, second = (truth ^ (rng.random(truth.shape) < share) for share in (0.2, 0.3))
    region = rng.choice(np.array([INTERIOR, BOUNDARY, IGNORED], np.uint8), size)
    return first, second, truth, region


def count(first, second, truth, region):
    return count_agreement(first, second, label_masks(truth), region)


# By hand -----------------------------------------------------------------------------------------------------------


def row(*sets):
    """(2, 1, W) bool from label sets of classes a and b, written as strings."""
    return np.array([[[name in one for one in sets]] for name in "ab"])


# Eight pixels, of which the last is ignored and the sixth and seventh lie at a boundary.
TRUTH = row("a", "a", "", "ab", "ab", "b", "b", "a")
FIRST = row("a", "b", "", "ab", "a", "a", "", "")
SECOND = row("a", "b", "a", "a", "ab", "b", "a", "b")
REGION = np.array([[INTERIOR] * 5 + [BOUNDARY] * 2 + [IGNORED]], np.uint8)


def test_decisions_of_seven_pixels_by_hand():
    found = count(FIRST, SECOND, TRUTH, REGION)
    # interior: pixel 0 both right; 1 both say b; 2 and 3 only the first right; 4 only the second
    # boundary: 5 only the second right; 6 wrong with different sets
    assert found.by_pixel.tolist() == [[1, 1, 2, 1, 0], [0, 0, 0, 1, 1]]
    # class a, interior; there (pixels 0, 1, 3, 4): called by both in 0, 3, 4, by neither in 1; not there (2): second
    assert found.by_class[0, INTERIOR].tolist() == [[[0, 1], [0, 0]], [[1, 0], [0, 3]]]
    # class a, boundary; not there in either: pixel 5 first, pixel 6 second
    assert found.by_class[0, BOUNDARY].tolist() == [[[0, 1], [1, 0]], [[0, 0], [0, 0]]]
    # class b, interior; there (3, 4): first in 3, second in 4; not there (0, 1, 2): both in 1, neither in 0 and 2
    assert found.by_class[1, INTERIOR].tolist() == [[[2, 0], [0, 1]], [[0, 1], [1, 0]]]
    assert found.by_class[1, BOUNDARY].tolist() == [[[0, 0], [0, 0]], [[1, 1], [0, 0]]]
    assert found.by_class.dtype == found.by_pixel.dtype == np.int64


def test_values_of_a_class_by_hand():
    # not there: 50 called by neither, 4 by the second, 6 by the first, 5 by both; there: 3, 8, 12, 12
    terms = np.array([[[50.0, 4], [6, 5]], [[3, 8], [12, 12]]])
    # both say no 53 or yes 17, of 100
    assert measures.agreement_rate(terms) == pytest.approx(0.70)
    # only the second 12, only the first 18
    assert measures.dice_between(terms) == pytest.approx(2 * 17 / (2 * 17 + 12 + 18))
    # the first calls 35, the second 29: by chance both 0.35 * 0.29, neither 0.65 * 0.71
    chance = 0.35 * 0.29 + 0.65 * 0.71
    assert measures.kappa_between(terms) == pytest.approx((0.70 - chance) / (1 - chance))
    # of 30 disagreements the first is right in 12 (there, only the first) and 4 (not there, only the second)
    assert measures.first_right_share_of_disagreements(terms) == pytest.approx(16 / 30)
    # both wrong in 5 and 3; at least one wrong in 100 less 50 and 12
    assert measures.shared_error_share(terms) == pytest.approx(8 / 38)


def test_values_of_label_sets_by_hand():
    # both right 80, same and wrong 5, only the first right 6, only the second 3, both wrong and different 6
    terms = np.array([80.0, 5, 6, 3, 6])
    assert measures.same_set_rate(terms) == pytest.approx(0.85)
    assert measures.either_right_rate(terms) == pytest.approx(0.89)
    assert measures.shared_set_error_share(terms) == pytest.approx(11 / 20)


# Against slower ways and scikit-learn --------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 3, 64])
def test_counts_equal_a_slow_count_pixel_by_pixel(classes):
    first, second, truth, region = scene(classes, classes=classes)
    if classes > 3:  # whole sets of many classes are hardly ever right by chance
        first[:, :3], second[:, 2:5] = truth[:, :3], truth[:, 2:5]
    found = count(first, second, truth, region)
    by_class, by_pixel = np.zeros((classes, 2, 2, 2, 2), int), np.zeros((2, 5), int)
    for y, x in zip(*np.nonzero(region != IGNORED), strict=True):
        one, other, true = (array[:, y, x].tolist() for array in (first, second, truth))
        for c in range(classes):
            by_class[c, region[y, x], int(true[c]), int(one[c]), int(other[c])] += 1
        rights = (one == true, other == true)
        column = {(True, True): 0, (True, False): 2, (False, True): 3, (False, False): 1 if one == other else 4}[rights]
        by_pixel[region[y, x], column] += 1
    assert np.array_equal(found.by_class, by_class)
    assert np.array_equal(found.by_pixel, by_pixel)
    assert classes == 1 or (by_pixel.sum(axis=0)[[0, 2, 3, 4]] > 0).all()  # the pictures hold what is to be counted


@pytest.mark.parametrize("seed", range(4))
def test_kappa_and_dice_between_heads_equal_scikit_learn(seed):
    first, second, truth, region = scene(seed)
    terms = count(first, second, truth, region).by_class.sum(axis=1).astype(float)
    kept = region != IGNORED
    for c in range(3):
        one, other = first[c, kept], second[c, kept]
        assert measures.kappa_between(terms)[c] == pytest.approx(sk.cohen_kappa_score(one, other), abs=1e-12)
        assert measures.dice_between(terms)[c] == pytest.approx(sk.f1_score(one, other), abs=1e-12)
        assert measures.agreement_rate(terms)[c] == pytest.approx(sk.accuracy_score(one, other), abs=1e-12)


# By property --------------------------------------------------------------------------------------------------------

SEEDS = st.integers(0, 10_000)


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_swapping_the_heads_swaps_who_is_right_and_nothing_else(seed):
    first, second, truth, region = scene(seed)
    one, other = count(first, second, truth, region), count(second, first, truth, region)
    assert np.array_equal(one.by_class, other.by_class.swapaxes(-1, -2))
    assert np.array_equal(one.by_pixel, other.by_pixel[:, [0, 1, 3, 2, 4]])
    for value in OF_CLASSES:
        mine, theirs = value(one.by_class.astype(float)), value(other.by_class.astype(float))
        if value is measures.first_right_share_of_disagreements:
            theirs = 1 - theirs
        assert np.allclose(mine, theirs, equal_nan=True), value


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_values_lie_in_bounds_and_tables_add_up_to_the_pixels(seed):
    found = count(*scene(seed))
    region = scene(seed)[-1]
    pixels = [(region == INTERIOR).sum(), (region == BOUNDARY).sum()]
    assert found.by_pixel.sum(axis=-1).tolist() == pixels
    assert found.by_class.sum(axis=(-3, -2, -1)).tolist() == [pixels] * 3
    for values, terms in ((OF_CLASSES, found.by_class), (OF_SETS, found.by_pixel)):
        for value in values:
            lowest = -1 if value is measures.kappa_between else 0
            got = value(terms.astype(float))
            assert ((got >= lowest) & (got <= 1) | np.isnan(got)).all(), value


@settings(max_examples=30, deadline=None)
@given(SEEDS, SEEDS)
def test_counts_do_not_depend_on_where_a_pixel_stands_and_images_add_up(seed, shuffle):
    arrays = scene(seed)
    whole = count(*arrays)
    order = np.random.default_rng(shuffle).permutation(arrays[-1].size)
    moved = [array.reshape(*array.shape[:-2], 1, -1)[..., order] for array in arrays]
    there = count(*moved)
    halves = [count(*(array[..., part] for array in arrays)) for part in (slice(None, 4), slice(4, None))]
    for name in ("by_class", "by_pixel"):
        assert np.array_equal(getattr(there, name), getattr(whole, name))
        assert np.array_equal(sum(getattr(half, name) for half in halves), getattr(whole, name))


def test_a_head_agrees_with_itself_fully():
    first, _, truth, region = scene(5)
    found = count(first, first, truth, region)
    assert found.by_pixel[:, 2:].sum() == 0
    terms = found.by_class.sum(axis=1).astype(float)
    for value in (measures.agreement_rate, measures.dice_between, measures.kappa_between, measures.shared_error_share):
        assert value(terms).tolist() == [1.0] * 3
    assert np.isnan(measures.first_right_share_of_disagreements(terms)).all()


def test_one_class_alone_makes_both_tables_tell_the_same():
    found = count(*scene(6, classes=1))
    terms, sets = found.by_class[0].astype(float), found.by_pixel.astype(float)
    assert measures.agreement_rate(terms) == pytest.approx(measures.same_set_rate(sets))
    assert measures.shared_error_share(terms) == pytest.approx(measures.shared_set_error_share(sets))
    assert sets[:, 4].tolist() == [0, 0]  # two ways to be wrong need two classes
    shares = sets[:, 2] / sets[:, 2:].sum(axis=1)  # of the pixels whose sets differ, where the first head is right
    assert measures.first_right_share_of_disagreements(terms) == pytest.approx(shares)


# At the edges -------------------------------------------------------------------------------------------------------


def test_no_pixel_gives_nan():
    first, second, truth, region = scene(7)
    found = count(first, second, truth, np.full_like(region, IGNORED))
    assert found.by_class.sum() == found.by_pixel.sum() == 0
    for values, terms in ((OF_CLASSES, found.by_class), (OF_SETS, found.by_pixel)):
        for value in values:
            assert np.isnan(value(terms.astype(float))).all(), value


@pytest.mark.parametrize("shape", [(2, 0, 4), (2, 3, 0), (0, 2, 2)])
def test_images_without_a_pixel_or_a_class_have_tables_too(shape):
    nothing = np.zeros(shape, bool)
    found = count_agreement(nothing, nothing, np.zeros(shape[1:], np.uint64), np.zeros(shape[1:], np.uint8))
    assert found.by_class.shape == (shape[0], 2, 2, 2, 2)
    assert found.by_pixel.sum() == shape[1] * shape[2]  # without classes all agree on the empty set


@pytest.mark.parametrize("call", [False, True])
def test_two_heads_that_never_differ_for_want_of_anything_to_call_have_no_kappa(call):
    calls = np.full((1, 3, 3), call)
    terms = count(calls, calls, ~calls, np.zeros((3, 3), np.uint8)).by_class.sum(axis=1).astype(float)
    assert np.isnan(measures.kappa_between(terms)).all()
    assert measures.agreement_rate(terms).tolist() == [1.0]
    assert measures.shared_error_share(terms).tolist() == [1.0]
    assert measures.dice_between(terms) == pytest.approx([1.0 if call else np.nan], nan_ok=True)


def test_what_is_not_as_documented_is_refused():
    first, second, truth, region = scene(8)
    masks = label_masks(truth)
    many = np.zeros((65, *region.shape), bool)
    for wrong, match in (
        ((many, many, masks, region), "at most 64 classes"),
        ((first.astype(np.uint8), second, masks, region), "first must be"),
        ((first, second[:2], masks, region), "second must be"),
        ((first, second, masks.astype(np.int64), region), "masks must be"),
        ((first, second, masks[1:], region), "masks must be"),
        ((first, second, masks, region.astype(bool)), "region must be"),
    ):
        with pytest.raises(ShapeError, match=match):
            count_agreement(*wrong)
