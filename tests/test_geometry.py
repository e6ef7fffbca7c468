"""Pixels on and near outlines, by hand and against slower ways."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_surface_dice
from scipy import ndimage

from pipelines.counting.outlines import TrueSurfaces, count_geometry, regions
from pipelines.errors import ShapeError
from pipelines.metrics.base import Setting
from pipelines.metrics.segmentation import METRICS, boundary_iou, surface_dice


def count(called, truth, valid=None, *, width=2, tolerance=1.0):
    valid = np.ones(truth.shape[1:], bool) if valid is None else valid
    return count_geometry(called, TrueSurfaces(truth, valid, width=width, tolerance=tolerance))


def picture(*rows):
    """(1, H, W) bool from rows of characters, # in the mask."""
    return np.array([[[letter == "#" for letter in row] for row in rows]])


def scene(seed, *, classes=3, size=(14, 17), ignored=0.1, rim=0):
    """called, truth (C, H, W), valid (H, W): blocks of classes, wrong here and there; rim: width of an empty frame."""
    rng = np.random.default_rng(seed)
    coarse = rng.random((classes, -(-size[0] // 5), -(-size[1] // 5))) < 0.4
    truth = np.kron(coarse, np.ones((1, 5, 5), bool))[:, : size[0], : size[1]]
    called = np.roll(truth, rng.integers(-2, 3, 2), axis=(1, 2)) ^ (rng.random(truth.shape) < 0.05)
    inside = np.pad(np.ones((size[0] - 2 * rim, size[1] - 2 * rim), bool), rim)
    return called & inside, truth & inside, rng.random(size) >= ignored


# By hand -----------------------------------------------------------------------------------------------------------


def test_a_square_moved_by_one_column_by_hand():
    #   truth     called
    #   .......   .......
    #   .####..   ..####.     surface: the 12 pixels around a square of 16, the band of width 1
    #   .####..   ..####.     in common: columns 2 to 4 of the top and the bottom row (2 * 3) and, of the sides,
    #   .####..   ..####.     none: column 1 is in truth alone, column 4 is a side of the truth but inside the called
    #   .####..   ..####.
    #   .......   .......
    truth = picture(".......", ".####..", ".####..", ".####..", ".####..", ".......")
    called = np.roll(truth, 1, axis=2)
    one = count(called, truth, width=1, tolerance=0)
    # both bands: columns 2..4, top and bottom -> 6
    assert one.boundary.tolist() == [[6, 12, 12]]
    # within 0 pixels: the same 6, from either side
    assert one.surface.tolist() == [[12, 6, 12, 6]]
    assert boundary_iou(one.boundary.astype(float)) == pytest.approx([6 / (12 + 12 - 6)])
    assert surface_dice(one.surface.astype(float)) == pytest.approx([(6 + 6) / (12 + 12)])
    # width 2: the whole squares (their innermost pixels are 1 from the surface); 4 rows * 3 columns are in both
    assert count(called, truth, width=2).boundary.tolist() == [[12, 16, 16]]
    # a move by one pixel lies within a tolerance of 1
    assert surface_dice(count(called, truth, tolerance=1).surface.astype(float)).tolist() == [1.0]


def test_the_band_ends_before_its_width_and_the_tolerance_includes_its_own():
    # One row; truth is everything right of column 1, called everything right of column 4.
    #   truth   ..########   surface: column 2      band of width 3: columns 2, 3, 4 (2 < 3 pixels away, not 3)
    #   called  .....#####   surface: column 5      band of width 3: columns 5, 6, 7
    truth, called = picture("..########"), picture(".....#####")
    assert count(called, truth, width=3).boundary.tolist() == [[0, 3, 3]]
    assert count(called, truth, width=4).boundary.tolist() == [[1, 4, 4]]  # column 5 in both
    assert count(called, truth, tolerance=3).surface.tolist() == [[1, 1, 1, 1]]  # exactly 3 apart
    assert count(called, truth, tolerance=2.99).surface.tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize(("dy", "dx"), [(1, 1), (2, 1), (2, 3), (5, 5), (4, 7)])
def test_distances_are_euclidean_and_a_root_as_tolerance_is_exact(dy, dx):
    # Two single pixels, each of which is its own surface, sqrt(dy² + dx²) apart.
    truth, called = np.zeros((1, 9, 9), bool), np.zeros((1, 9, 9), bool)
    truth[0, 1, 1] = called[0, 1 + dy, 1 + dx] = True
    apart = np.sqrt(dy**2 + dx**2)
    assert count(called, truth, tolerance=apart).surface.tolist() == [[1, 1, 1, 1]]
    assert count(called, truth, tolerance=np.nextafter(apart, 0)).surface.tolist() == [[1, 0, 1, 0]]


def test_the_rim_of_the_ignored_area_is_no_outline():
    # x is ignored, # in the mask:  ##xx..   no # has a valid neighbour outside the mask -> no surface
    #                               ##xx..
    truth = picture("####..", "####..")
    valid = np.array([[True, True, False, False, True, True]] * 2)
    assert count(truth, truth, valid).surface.sum() == 0
    assert count(truth, truth, valid).boundary.sum() == 0
    # One column of x alone: the mask's pixels on the right of it have a valid neighbour outside it, and only they.
    valid = np.array([[True, False, True, True, True, True]] * 2)
    assert count(truth, truth, valid, width=1).boundary.tolist() == [[2, 2, 2]]
    # width 3 reaches across the ignored column (no pixel counts there): columns 3, 2 -> 4 pixels; column 0 is 3 away
    assert count(truth, truth, valid, width=3).boundary.tolist() == [[4, 4, 4]]
    assert count(truth, truth, valid, width=4).boundary.tolist() == [[6, 6, 6]]


def test_the_rim_of_the_image_is_no_outline():
    #   ##..   the outline runs between columns 1 and 2: two surface pixels, not the four of the mask
    #   ##..
    truth = picture("##..", "##..")
    assert count(truth, truth).surface.tolist() == [[2, 2, 2, 2]]


def test_values_of_sums_by_hand_and_without_an_outline():
    # two classes, of which the second has no outline
    assert boundary_iou(np.array([[3.0, 5.0, 4.0], [0.0, 0.0, 0.0]])) == pytest.approx([3 / 6, np.nan], nan_ok=True)
    terms = np.array([[10.0, 7.0, 6.0, 5.0], [0.0, 0.0, 0.0, 0.0]])
    assert surface_dice(terms) == pytest.approx([12 / 16, np.nan], nan_ok=True)
    assert surface_dice(np.zeros((2, 5, 3, 4))).shape == (2, 5, 3)


# Against slower ways and other libraries -----------------------------------------------------------------------------


def slow_outline(mask, valid, width):
    """Surface, band and distance to the surface by scipy, one class at a time."""
    cross = ndimage.generate_binary_structure(2, 1)
    surface = mask & valid & ndimage.binary_dilation(~mask & valid, cross)
    away = ndimage.distance_transform_edt(~surface) if surface.any() else np.full(mask.shape, np.inf)
    return surface, mask & valid & (away < width), away


def slow_count(called, truth, valid, *, width, tolerance):
    boundary, surface = [], []
    for mine, true in zip(called, truth, strict=True):
        on, band, away = slow_outline(mine, valid, width)
        true_on, true_band, true_away = slow_outline(true, valid, width)
        boundary.append([(band & true_band).sum(), band.sum(), true_band.sum()])
        found, right = (true_on & (away <= tolerance)).sum(), (on & (true_away <= tolerance)).sum()
        surface.append([true_on.sum(), found, on.sum(), right])
    return boundary, surface


@pytest.mark.parametrize(("width", "tolerance"), [(1, 0), (2, 1), (3, 2**0.5), (4, 2.5), (6, 13**0.5), (40, 40)])
@pytest.mark.parametrize(("classes", "size", "ignored"), [(1, (14, 17), 0.0), (3, (23, 9), 0.15), (64, (11, 13), 0.05)])
def test_counts_equal_those_by_distance_transforms(classes, size, ignored, width, tolerance):
    for seed in range(3):
        called, truth, valid = scene(seed, classes=classes, size=size, ignored=ignored)
        found = count(called, truth, valid, width=width, tolerance=tolerance)
        boundary, surface = slow_count(called, truth, valid, width=width, tolerance=tolerance)
        assert found.boundary.tolist() == boundary
        assert found.surface.tolist() == surface
        assert found.boundary.dtype == found.surface.dtype == np.int64


# MONAI 1.6 passes an argument to itself that it warns of.
MONAI_WARNS = pytest.mark.filterwarnings("ignore:.*always_return_as_numpy:FutureWarning")


def monai_surface_dice(called, truth, tolerance):
    batch = (torch.tensor(one[None].astype(np.uint8)) for one in (called, truth))
    return compute_surface_dice(*batch, [tolerance] * len(called), include_background=True)[0].tolist()


@MONAI_WARNS
@pytest.mark.parametrize("tolerance", [0.0, 1.0, 2.0, 3.5])
@pytest.mark.parametrize("seed", range(4))
def test_surface_dice_equals_monai_where_no_mask_touches_the_rim(seed, tolerance):
    called, truth, _ = scene(seed, classes=4, size=(30, 34), rim=1)
    assert truth.any(axis=(1, 2)).all()
    found = surface_dice(count(called, truth, tolerance=tolerance).surface.astype(float))
    assert found == pytest.approx(monai_surface_dice(called, truth, tolerance), abs=1e-6)


@MONAI_WARNS
def test_monai_counts_the_rim_of_the_image_and_so_rewards_touching_it():
    #   truth    called    The called outline is two columns off, beyond a tolerance of 1: nothing of it is right.
    #   #####..  ###....   MONAI erodes as if all were empty beyond the image, so that both masks have surface along
    #   #####..  ###....   three sides of the image too, and those agree whatever the network does.
    #   #####..  ###....
    #   #####..  ###....
    #   #####..  ###....
    truth, called = picture(*["#####.."] * 5), picture(*["###...."] * 5)
    ours = count(called, truth, tolerance=1.0)
    assert ours.surface.tolist() == [[5, 0, 5, 0]]
    assert surface_dice(ours.surface.astype(float)).tolist() == [0.0]
    # MONAI: truth, the 16 pixels around 5 x 5: its left side (5) and columns 1 to 3 of top and bottom (6) are within
    # 1 of called. Called, the 12 around 5 x 3: its left side (5), columns 1 and 2 of top and bottom (4), and of its
    # right side the pixels next to the corners (2) are within 1 of truth.
    assert monai_surface_dice(called, truth, 1.0) == pytest.approx([(11 + 11) / (16 + 12)])


def papers_band(mask, d):
    """The boundary IoU code's mask_to_boundary: empty surroundings, d erosions by 3x3."""
    padded = np.pad(mask, 1)
    return mask & ~ndimage.binary_erosion(padded, np.ones((3, 3), bool), iterations=d)[1:-1, 1:-1]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_boundary_iou_equals_the_papers_code_on_rectangles_inside_the_image(width):
    # On a rectangle the nearest outline is straight ahead, so that Euclidean and chessboard distances agree.
    truth, called = np.zeros((2, 1, 20, 24), bool)
    truth[0, 3:15, 4:19] = True
    called[0, 5:16, 3:20] = True
    band, true_band = papers_band(called[0], width), papers_band(truth[0], width)
    expected = [(band & true_band).sum(), band.sum(), true_band.sum()]
    assert count(called, truth, width=width).boundary.tolist() == [expected]


def test_the_papers_code_takes_the_rim_of_the_image_for_an_outline():
    # A class that fills the image has no outline to get right or wrong; there the paper's code gives it 1.
    everything = np.ones((1, 5, 6), bool)
    assert papers_band(everything[0], 1).sum() == 18  # 5 x 6, less the inner 3 x 4
    assert count(everything, everything, width=1).boundary.tolist() == [[0, 0, 0]]


# By property --------------------------------------------------------------------------------------------------------

SEEDS = st.integers(0, 10_000)
WIDTHS = st.integers(1, 6)
TOLERANCES = st.floats(0, 6)


@settings(max_examples=40, deadline=None)
@given(SEEDS, WIDTHS, TOLERANCES)
def test_swapping_truth_and_called_swaps_their_columns(seed, width, tolerance):
    called, truth, valid = scene(seed)
    one = count(called, truth, valid, width=width, tolerance=tolerance)
    other = count(truth, called, valid, width=width, tolerance=tolerance)
    assert one.boundary[:, [0, 2, 1]].tolist() == other.boundary.tolist()
    assert one.surface[:, [2, 3, 0, 1]].tolist() == other.surface.tolist()


@settings(max_examples=40, deadline=None)
@given(SEEDS, WIDTHS, TOLERANCES)
def test_a_perfect_prediction_scores_1_and_values_lie_in_0_to_1(seed, width, tolerance):
    called, truth, valid = scene(seed)
    perfect = count(truth, truth, valid, width=width, tolerance=tolerance)
    some = count(called, truth, valid, width=width, tolerance=tolerance)
    for value, name in ((boundary_iou, "boundary"), (surface_dice, "surface")):
        best, found = (value(getattr(one, name).astype(float)) for one in (perfect, some))
        assert ((best == 1) | np.isnan(best)).all()
        assert ((found >= 0) & (found <= 1) | np.isnan(found)).all()
        assert (np.isnan(best) == (perfect.surface[:, 0] == 0)).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, WIDTHS, TOLERANCES, st.integers(0, 7))
def test_flipping_and_transposing_change_nothing(seed, width, tolerance, symmetry):
    called, truth, valid = scene(seed)

    def turned(array):
        array = array[..., ::-1, :] if symmetry & 1 else array
        array = array[..., ::-1] if symmetry & 2 else array
        return array.swapaxes(-1, -2) if symmetry & 4 else array

    one = count(called, truth, valid, width=width, tolerance=tolerance)
    other = count(turned(called), turned(truth), turned(valid), width=width, tolerance=tolerance)
    assert one.boundary.tolist() == other.boundary.tolist()
    assert one.surface.tolist() == other.surface.tolist()


@settings(max_examples=40, deadline=None)
@given(SEEDS, st.integers(-3, 3), st.integers(-3, 3))
def test_a_shift_within_tolerance_keeps_surface_dice_at_1(seed, dy, dx):
    _, truth, valid = scene(seed, size=(20, 22), ignored=0.0, rim=4)
    called = np.roll(truth, (dy, dx), axis=(1, 2))
    found = surface_dice(count(called, truth, valid, tolerance=np.hypot(dy, dx) + 1e-9).surface.astype(float))
    assert ((found == 1) | np.isnan(found)).all()


@settings(max_examples=40, deadline=None)
@given(SEEDS, WIDTHS, TOLERANCES)
def test_wider_bands_and_tolerances_hold_more_and_ignored_pixels_say_nothing(seed, width, tolerance):
    called, truth, valid = scene(seed)
    one = count(called, truth, valid, width=width, tolerance=tolerance)
    more = count(called, truth, valid, width=width + 1, tolerance=tolerance + 1)
    assert (more.boundary >= one.boundary).all()
    assert (more.surface[:, [1, 3]] >= one.surface[:, [1, 3]]).all()
    assert (more.surface[:, [0, 2]] == one.surface[:, [0, 2]]).all()
    other = count(called ^ ~valid, truth ^ ~valid, valid, width=width, tolerance=tolerance)
    assert one.boundary.tolist() == other.boundary.tolist()
    assert one.surface.tolist() == other.surface.tolist()


@settings(max_examples=25, deadline=None)
@given(SEEDS, SEEDS)
def test_two_images_far_apart_in_one_frame_count_as_their_sum(one_seed, other_seed):
    scenes = [scene(seed) for seed in (one_seed, other_seed)]
    parts = [count(*one, width=3, tolerance=2) for one in scenes]
    gap = 6  # ignored columns between them, wider than either reaches
    wide = [
        np.concatenate([a, np.zeros((*a.shape[:-1], gap), bool), b], axis=-1)
        for a, b in zip(scenes[0], scenes[1], strict=True)
    ]
    whole = count(*wide, width=3, tolerance=2)
    assert whole.boundary.tolist() == (parts[0].boundary + parts[1].boundary).tolist()
    assert whole.surface.tolist() == (parts[0].surface + parts[1].surface).tolist()


def test_one_prepared_truth_serves_several_heads_and_any_memory_order():
    called, truth, valid = scene(1)
    prepared = TrueSurfaces(truth, valid, width=3, tolerance=2)
    fresh = [count(calls, truth, valid, width=3, tolerance=2) for calls in (called, truth, ~called)]
    for calls, expected in zip((called, truth, np.asfortranarray(~called)), fresh, strict=True):
        found = count_geometry(calls, prepared)
        assert found.boundary.tolist() == expected.boundary.tolist()
        assert found.surface.tolist() == expected.surface.tolist()


# At the edges -------------------------------------------------------------------------------------------------------


def test_a_class_absent_in_one_mask_scores_0_and_in_both_is_undefined():
    called, truth = np.zeros((2, 3, 6, 6), bool)
    truth[0, 2:4, 2:4] = True  # class 0: only there; class 1: only called; class 2: neither
    called[1, 2:4, 2:4] = True
    found = count(called, truth, width=3, tolerance=3)
    assert found.boundary.tolist() == [[0, 0, 4], [0, 4, 0], [0, 0, 0]]
    assert found.surface.tolist() == [[4, 0, 0, 0], [0, 0, 4, 0], [0, 0, 0, 0]]
    assert boundary_iou(found.boundary.astype(float)) == pytest.approx([0, 0, np.nan], nan_ok=True)
    assert surface_dice(found.surface.astype(float)) == pytest.approx([0, 0, np.nan], nan_ok=True)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 1, 1), (2, 1, 7), (2, 7, 1), (2, 0, 5), (2, 5, 0), (0, 3, 3)])
def test_full_images_of_any_size_have_no_outline(shape):
    everything = np.ones(shape, bool)
    found = count(everything, everything, width=3, tolerance=2)
    assert found.boundary.tolist() == [[0] * 3] * shape[0]
    assert found.surface.tolist() == [[0] * 4] * shape[0]


def test_ignored_pixels_alone_count_nothing():
    called, truth, valid = scene(3)
    found = count(called, truth, np.zeros_like(valid))
    assert found.boundary.sum() == found.surface.sum() == 0


def test_a_hole_in_a_class_that_fills_the_image_is_an_outline_of_the_called_mask_alone():
    #   truth  #####   called  #####
    #          #####           ##.##     four pixels around the hole
    #          #####           #####
    truth, called = picture(*["#####"] * 3), picture("#####", "##.##", "#####")
    assert count(called, truth, width=1).boundary.tolist() == [[0, 4, 0]]
    assert count(called, truth, tolerance=9).surface.tolist() == [[0, 0, 4, 0]]


def test_what_is_not_as_documented_is_refused():
    truth, valid = np.zeros((2, 4, 5), bool), np.ones((4, 5), bool)
    with pytest.raises(ShapeError, match="at most 64 classes"):
        TrueSurfaces(np.zeros((65, 4, 5), bool), valid, width=1, tolerance=1)
    with pytest.raises(ShapeError, match=r"\(C, H, W\) bool"):
        TrueSurfaces(truth.astype(np.uint8), valid, width=1, tolerance=1)
    with pytest.raises(ShapeError, match="valid must be"):
        TrueSurfaces(truth, valid.T, width=1, tolerance=1)
    with pytest.raises(ShapeError, match="at least 1 pixel"):
        TrueSurfaces(truth, valid, width=0, tolerance=1)
    for tolerance in (-1.0, np.inf, np.nan):
        with pytest.raises(ShapeError, match="at least 0 pixels and finite"):
            TrueSurfaces(truth, valid, width=1, tolerance=tolerance)
    prepared = TrueSurfaces(truth, valid, width=1, tolerance=1)
    for wrong in (truth[:1], truth.astype(np.float16)):
        with pytest.raises(ShapeError, match="called must be"):
            count_geometry(wrong, prepared)


def test_metrics_pool_over_pixels_or_average_over_images():
    counts = SimpleNamespace(
        images=("0", "1"),
        classes=2,
        boundary=np.array([[[2, 4, 4], [0, 0, 0]], [[1, 1, 2], [3, 3, 3]]]),
        surface=np.array([[[4, 1, 6, 4], [0, 0, 0, 0]], [[2, 2, 2, 1], [5, 0, 0, 0]]]),
    )
    expected = {
        "boundary_iou": [3 / (5 + 6 - 3), 3 / 3],
        "boundary_iou_image_mean": [(2 / 6 + 1 / 2) / 2, 3 / 3],  # the second class has no outline in image 0
        "surface_dice": [(3 + 5) / (6 + 8), 0 / 5],
        "surface_dice_image_mean": [(5 / 10 + 3 / 4) / 2, 0 / 5],
    }
    by_name = {metric.name: metric for metric in METRICS if metric.name in expected}
    assert set(by_name) == set(expected)
    for name, values in expected.items():
        assert by_name[name].pooled(counts, "all", Setting("overlapping")) == pytest.approx(values), name
        assert by_name[name].bounds == (0.0, 1.0)
        for region in ("foreground", "boundary", "interior"):  # outlines are not counted by region
            assert not by_name[name].applies(Setting("overlapping"), region)


@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_regions_equal_a_distance_transform(width):
    rng = np.random.default_rng(width)
    for ignored in (0.0, 0.2):
        truth = ndimage.gaussian_filter(rng.normal(size=(3, 40, 31)), (0, 2, 2)) > 0.05
        valid = rng.random((40, 31)) >= ignored
        edge = np.zeros(valid.shape, bool)
        for ahead, behind in ((np.s_[..., 1:, :], np.s_[..., :-1, :]), (np.s_[..., 1:], np.s_[..., :-1])):
            differ = (truth[ahead] != truth[behind]).any(axis=0) & valid[ahead] & valid[behind]
            edge[ahead] |= differ
            edge[behind] |= differ
        expected = np.where(ndimage.distance_transform_edt(~edge) < width, 1, 0)
        expected[~valid] = 255
        assert np.array_equal(regions(truth & valid, valid, width=width), expected)
    one_class = np.ones((1, 5, 6), bool)
    assert (regions(one_class, np.ones((5, 6), bool), width=3) == 0).all()
