import numpy as np
import pytest
from arrays import counts_of, example

from pipelines.errors import ShapeError
from pipelines.metrics import Setting
from pipelines.metrics.estimates import by_image, pooled_and_by_image

CLASSES = ("a", "b", "c")


def table(counts, name="classwise_ece", kind="overlapping", region="all", classes=CLASSES):
    return pooled_and_by_image(counts, name, setting=Setting(kind), classes=classes, region=region)


def test_two_images_that_err_in_opposite_directions_are_calibrated_together_and_not_alone():
    # p = 0.5 everywhere; there in every pixel of the first image and in none of the second:
    # gaps +0.5 and -0.5, pooled 0, each image alone 0.5
    half, seen = np.zeros((1, 2, 2), np.float16), np.ones((2, 2), bool)
    images = [(half, np.full((1, 2, 2), there), seen) for there in (True, False)]
    row = table(counts_of("binary", images), kind="binary", classes=("a",)).iloc[0]
    assert row["pooled"] == pytest.approx(0.0, abs=1e-9)
    assert [row["images"], row["mean"], row["p5"], row["p50"], row["p95"]] == pytest.approx([2, 0.5, 0.5, 0.5, 0.5])


def test_rows_equal_each_image_counted_alone():
    images = [example("overlapping", seed=seed) for seed in range(5)]
    rows = by_image(
        counts_of("overlapping", images), "brier", setting=Setting("overlapping"), classes=CLASSES, region="boundary"
    )
    assert list(rows["image"]) == [str(k) for k in range(5) for _ in CLASSES]
    for k, one in enumerate(images):
        alone = table(counts_of("overlapping", [one]), "brier", region="boundary")
        assert rows[rows["image"] == str(k)]["value"].tolist() == pytest.approx(alone["pooled"].tolist())


def test_quantiles_are_numpys_over_the_images_that_define_the_metric():
    images = [example("overlapping", seed=seed) for seed in range(7)]
    counts = counts_of("overlapping", images)
    values = by_image(counts, "dice", setting=Setting("overlapping"), classes=CLASSES, region="all")
    mine = table(counts, "dice").set_index("class")
    for name in CLASSES:
        own = values[values["class"] == name]["value"].dropna()
        assert mine.loc[name, "p25"] == pytest.approx(np.quantile(own, 0.25))
        assert mine.loc[name, "mean"] == pytest.approx(own.mean())


def test_an_image_without_pixels_is_left_out_and_none_at_all_gives_nan():
    log_odds, truth, _ = example("overlapping", seed=0)
    empty = (log_odds, np.zeros_like(truth), np.zeros(truth.shape[1:], bool))
    both = table(counts_of("overlapping", [empty, example("overlapping", seed=1)]))
    assert both["images"].tolist() == [1, 1, 1]
    none = table(counts_of("overlapping", [empty]))
    assert none["images"].tolist() == [0, 0, 0]
    assert none[["pooled", "mean", "p50"]].isna().all(axis=None)


def test_a_metric_without_classes_has_one_row_and_one_that_does_not_exist_is_refused():
    counts = counts_of("exclusive", [example("exclusive", seed=0)])
    assert table(counts, "top_label_ece", kind="exclusive")["class"].tolist() == ["all"]
    with pytest.raises(ShapeError, match="does not exist"):
        table(counts, "overlap_recall", kind="exclusive")
