"""Tables behind the figures, against numbers worked out by hand."""

import numpy as np
import pytest
from arrays import counts_of, example

from pipelines.counting.counts import stack
from pipelines.counting.grid import in_bins
from pipelines.counting.image import count_image
from pipelines.counting.outlines import label_masks
from pipelines.errors import ShapeError
from pipelines.metrics import Setting, calibration, confusion, inference, overlap
from pipelines.metrics.base import SCORES, TOP
from pipelines.metrics.calibration import binned


def log_odds(p):
    p = np.asarray(p, np.float64)
    return (np.log(p) - np.log1p(-p)).astype(np.float16)


def counted(images, *, exclusive, softmax=False):
    """images: (name, p (C, H, W), truth (C, H, W)) to Counts, all pixels valid and interior."""
    parts = []
    for _, p, truth in images:
        truth = np.asarray(truth, bool)
        region = np.zeros(truth.shape[1:], np.uint8)
        parts.append(count_image(log_odds(p), label_masks(truth), region, exclusive=exclusive, softmax=softmax))
    return stack([name for name, _, _ in images], parts)


def reliability(counts, names, *, bins, units=None):
    by_image = calibration.reliability_steps(counts)
    steps = calibration.resampled_steps(by_image.sum(axis=0), by_image[:, :, :2].astype(np.float32), units)
    return calibration.reliability(steps, names=names, bins=bins)


def label_rates(counts, **thresholds):
    return overlap.rates_of(overlap.label_cuts(counts, **thresholds), **thresholds)


def test_bins_must_divide_the_grid():
    with pytest.raises(ShapeError, match="divide 300"):
        calibration.reliability(calibration.Steps(np.zeros((1, 3, 300)), np.zeros((1, 1, 2, 300))), names=["x"], bins=7)


@pytest.mark.parametrize("region", ["all", "foreground", "boundary", "interior"])
@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
def test_steps_are_the_bins_of_the_metrics(kind, region):
    counts = counts_of(kind, [example(kind, seed=seed) for seed in range(4)])
    steps = calibration.reliability_steps(counts, region=region)
    setting = Setting(kind)
    classes = SCORES.pick(SCORES.terms(counts, setting), region)
    tops = TOP.pick(TOP.terms(counts, setting), region) if kind == "exclusive" else None
    for bins in (300, 15):
        found = np.moveaxis(in_bins(steps, bins), 2, 3)
        assert np.array_equal(found[:, :3], binned(classes, bins=bins))
        if tops is not None:
            assert np.array_equal(found[:, 3], binned(tops, bins=bins))


def test_bands_are_those_of_each_number_of_bins_resampled_by_itself():
    counts = counts_of("overlapping", [example("overlapping", seed=seed) for seed in range(9)])
    by_image = calibration.reliability_steps(counts)
    table = reliability(counts, ["a", "b", "c"], bins=12)
    terms = in_bins(by_image, 12)
    low, high = inference.band(terms[:, :, 1], terms[:, :, 0], None)
    assert np.array_equal(table["low"], low.reshape(-1), equal_nan=True)  # few pixels: float32 is exact
    assert np.array_equal(table["high"], high.reshape(-1), equal_nan=True)


def test_reliability_puts_mean_p_beside_the_observed_share():
    # Bin 2 of 10 holds p = 0.22 and 0.28 with one hit: mean p 0.25, observed 1/2. Bin 9 holds p = 0.95, a hit.
    counts = counted([("a", [[[0.22, 0.28, 0.95]]], [[[0, 1, 1]]])], exclusive=False)
    table = reliability(counts, ["x"], bins=10).set_index("bin")
    assert table.loc[2, "pixels"] == 2
    assert table.loc[2, "mean_p"] == pytest.approx(0.25, abs=2e-4)
    assert table.loc[2, "observed"] == 0.5
    assert table.loc[2, "share"] == pytest.approx(2 / 3)
    assert table.loc[9, "observed"] == 1.0
    assert np.isnan(table.loc[5, "observed"])
    assert table["pixels"].sum() == 3


def test_reliability_bands_resample_images_and_close_when_all_images_agree():
    # Every image: two pixels at p = 0.55, one of them a hit -> 1/2 in each replicate.
    same = [(f"i{k}", [[[0.55, 0.55]]], [[[0, 1]]]) for k in range(5)]
    row = reliability(counted(same, exclusive=False), ["x"], bins=10).loc[5]
    assert (row["low"], row["high"]) == (0.5, 0.5)
    # Now images are all hits or all misses: the band must be wide.
    mixed = [(f"i{k}", [[[0.55, 0.55]]], [[[k % 2, k % 2]]]) for k in range(6)]
    row = reliability(counted(mixed, exclusive=False), ["x"], bins=10).loc[5]
    assert row["observed"] == 0.5
    assert row["high"] - row["low"] > 0.5


def test_bands_resample_groups_where_they_are_known():
    # Images of a group agree, groups differ: 2 groups of 3 must vary more than 6 images drawn one by one.
    images = [(f"i{k}", [[[0.55, 0.55]]], [[[k // 3, k // 3]]]) for k in range(6)]
    counts = counted(images, exclusive=False)
    alone = reliability(counts, ["x"], bins=10).loc[5]
    grouped = reliability(counts, ["x"], bins=10, units=(0, 0, 0, 1, 1, 1)).loc[5]
    assert (grouped["low"], grouped["high"]) == (0.0, 1.0)  # both draws from one group: a quarter each
    assert alone["high"] - alone["low"] < 1


def test_one_image_gives_no_band():
    counts = counted([("i", [[[0.55, 0.55]], [[0.2, 0.3]]], [[[0, 1]], [[0, 0]]])], exclusive=False)
    assert reliability(counts, ["x", "y"], bins=10)[["low", "high"]].isna().all(axis=None)
    assert label_rates(counts)[["low", "high"]].isna().all(axis=None)


def test_top_label_reliability_asks_whether_the_argmax_is_right():
    # Pixel 1: argmax a at 0.85, right. Pixel 2: argmax b at 0.85, wrong -> bin 8 observed 1/2.
    p = [[[0.85, 0.15]], [[0.15, 0.85]]]
    counts = counted([("i", p, [[[1, 1]], [[0, 0]]])], exclusive=True)
    table = reliability(counts, ["a", "b", calibration.TOP_LABEL], bins=10).set_index(["class", "bin"])
    assert table.loc[(calibration.TOP_LABEL, 8), "pixels"] == 2
    assert table.loc[(calibration.TOP_LABEL, 8), "observed"] == 0.5
    assert table.loc[("a", 8), "observed"] == 1.0  # a is called at 0.85 once, rightly
    assert table.loc[("b", 8), "observed"] == 0.0


def test_truth_that_overlaps_has_neither_top_label_nor_argmax_confusion():
    counts = counted([("i", [[[0.9]], [[0.9]]], [[[1]], [[1]]])], exclusive=False)
    assert calibration.reliability_steps(counts).shape == (1, 2, 3, 300)
    with pytest.raises(ShapeError, match="use a threshold"):
        confusion.argmax_confusion(counts, classes=["a", "b"])


def test_argmax_confusion_counts_rows_by_truth():
    # Truth a, a, b; argmax a, b, b.
    p = [[[0.9, 0.2, 0.1]], [[0.1, 0.8, 0.9]]]
    counts = counted([("i", p, [[[1, 1, 0]], [[0, 0, 1]]])], exclusive=True)
    table = confusion.argmax_confusion(counts, classes=["a", "b"]).set_index(["truth", "predicted"])
    assert table["pixels"].to_dict() == {("a", "a"): 1, ("a", "b"): 1, ("b", "a"): 0, ("b", "b"): 1}
    assert table.loc[("a", "b"), "share"] == 0.5


def test_threshold_confusion_of_overlapping_truth_counts_a_pixel_once_for_each_of_its_labels():
    # Pixel 1 carries a and b and is called both; pixel 2 carries nothing and is called a.
    p = [[[0.9, 0.7]], [[0.8, 0.1]]]
    counts = counted([("i", p, [[[1, 0]], [[1, 0]]])], exclusive=False)
    table = confusion.threshold_confusion(counts, kind="overlapping", classes=["a", "b"], threshold=0.5)
    cells = table.set_index(["truth", "predicted"])["pixels"].to_dict()
    assert cells == {
        ("a", "a"): 1, ("a", "b"): 1, ("b", "a"): 1, ("b", "b"): 1,
        (confusion.NO_LABEL, "a"): 1, (confusion.NO_LABEL, "b"): 0,
    }  # fmt: skip


def test_threshold_confusion_of_binary_truth_is_two_by_two():
    # p = 0.9 hit, 0.6 miss-called, 0.4 missed, 0.1 right.
    counts = counted([("i", [[[0.9, 0.6, 0.4, 0.1]]], [[[1, 0, 1, 0]]])], exclusive=False)
    table = confusion.threshold_confusion(counts, kind="binary", classes=["x"], threshold=0.5)
    cells = table.set_index(["truth", "predicted"])["pixels"].to_dict()
    assert cells == {("background", "background"): 1, ("background", "x"): 1, ("x", "background"): 1, ("x", "x"): 1}
    assert table["share"].tolist() == [0.5] * 4


def test_label_rates_are_the_shares_of_pixels_with_several_labels_and_none():
    # p of (a, b): (0.9, 0.8), (0.6, 0.1), (0.3, 0.3), (0.7, 0.6); truth has two labels on the first pixel only.
    p = [[[0.9, 0.6, 0.3, 0.7]], [[0.8, 0.1, 0.3, 0.6]]]
    counts = counted([("i", p, [[[1, 1, 0, 0]], [[1, 0, 0, 1]]])], exclusive=False)
    table = label_rates(counts, thresholds=[0.5, 0.75])
    several = table[table["rate"] == "overlap"].set_index("threshold")
    none = table[table["rate"] == "no label"].set_index("threshold")
    assert several["value"].to_dict() == {0.5: 0.5, 0.75: 0.25}
    assert none["value"].to_dict() == {0.5: 0.25, 0.75: 0.75}
    assert several["truth"].iloc[0] == 0.25
    assert none["truth"].iloc[0] == 0.25


def test_one_class_has_no_overlap_rate():
    counts = counted([("i", [[[0.9, 0.1]]], [[[1, 0]]])], exclusive=False)
    assert set(label_rates(counts)["rate"]) == {"no label"}
    assert overlap.predicted_labels(counts, threshold=0.5)["predicted_labels"].unique().tolist() == ["0", "1"]


def test_predicted_labels_split_each_true_number_of_labels():
    # Two pixels with two true labels: one is given both, one only the first. One pixel with none is given none.
    p = [[[0.9, 0.9, 0.1]], [[0.9, 0.2, 0.1]]]
    counts = counted([("i", p, [[[1, 1, 0]], [[1, 1, 0]]])], exclusive=False)
    table = overlap.predicted_labels(counts, threshold=0.5)
    cells = table.set_index(["true_labels", "predicted_labels"])["share"].to_dict()
    assert cells == {
        ("0", "0"): 1.0,
        ("0", "1"): 0.0,
        ("0", "2"): 0.0,
        ("2", "0"): 0.0,
        ("2", "1"): 0.5,
        ("2", "2"): 0.5,
    }


def test_pair_overlap_is_a_share_of_the_first_class():
    # a is called at pixels 1, 2 and b at 1 -> half of a is also b, all of b is also a. Truth: a at 1, 2, 3; b at 3.
    p = [[[0.9, 0.9, 0.1]], [[0.8, 0.1, 0.1]]]
    counts = counted([("i", p, [[[1, 1, 1]], [[0, 0, 1]]])], exclusive=False)
    table = overlap.pair_overlap(counts, classes=["a", "b"], threshold=0.5).set_index(["first", "second"])
    assert table["predicted_share"].to_dict() == {("a", "b"): 0.5, ("b", "a"): 1.0}
    assert table["truth_share"].to_dict() == {("a", "b"): pytest.approx(1 / 3), ("b", "a"): 1.0}


def test_pairs_of_four_classes_stand_in_their_own_cells():
    # Only c and d are called together: (c, d) and (d, c) are 1, all others 0 or not defined.
    p = np.full((4, 1, 1), 0.1)
    p[2:] = 0.9
    counts = counted([("i", p, np.zeros((4, 1, 1), bool))], exclusive=False)
    table = overlap.pair_overlap(counts, classes=list("abcd"), threshold=0.5).set_index(["first", "second"])
    assert {pair for pair, value in table["predicted"].items() if value} == {("c", "d"), ("d", "c")}
    assert table.index[0] == ("a", "b")
    assert table.index[-1] == ("d", "c")
