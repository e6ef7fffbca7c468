import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from arrays import counts_of, example, probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipelines.errors import ShapeError
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.bootstrap import choose_units, interval, seed_weights, totals, unit_weights
from pipelines.metrics.calibration import expected_calibration_error
from pipelines.metrics.segmentation import dice, iou
from pipelines.metrics.table import collect_terms, metrics_table
from pipelines.schema import ALL_SEEDS, KINDS, REGIONS
from pipelines.statistics import merge
from pipelines.statistics.counts import PER_IMAGE, POOLED, Counts


def value(counts: Counts, name: str, kind, *, region="all", bins=15, background=False):
    metric = METRICS[name]
    return metric.value(metric.terms(counts, region, Setting(kind, bins, background)).sum(axis=0))


def flat(images, kind):
    """Valid pixels of all images: p (C, M) float64, truth (C, M) bool."""
    p = np.concatenate([probabilities(log_odds)[:, valid] for log_odds, _, valid in images], axis=1)
    truth = np.concatenate([truth[:, valid] for _, truth, valid in images], axis=1)
    return p, truth


# By hand -----------------------------------------------------------------------------------------------------------


def test_dice_and_iou_by_hand():
    # TP 3, FP 1, FN 2 -> Dice 6/9, IoU 3/6
    terms = np.array([3.0, 1.0, 2.0])
    assert dice(terms) == pytest.approx(6 / 9)
    assert iou(terms) == pytest.approx(3 / 6)
    assert np.isnan(dice(np.zeros(3)))  # neither there nor called


def test_ece_by_hand():
    # bin A: 4 pixels, 3 there, sum p 2.0; bin B: 6 pixels, 3 there, sum p 5.4 -> (|3-2| + |3-5.4|) / 10 = 0.34
    assert expected_calibration_error(np.array([4, 3, 2.0, 6, 3, 5.4])) == pytest.approx(0.34)
    assert np.isnan(expected_calibration_error(np.zeros(6)))


def test_image_mean_leaves_out_images_without_the_class():
    # image 0: TP 1, FN 1 -> 2/3; image 1: class absent and not called -> out; image 2: FP 1 -> 0. Mean 1/3.
    there = np.array([[[True, True]]]), np.array([[[False, False]]])
    images = [
        (np.array([[[3.0, -3.0]]], np.float16), there[0], np.ones((1, 2), bool)),
        (np.array([[[-3.0, -3.0]]], np.float16), there[1], np.ones((1, 2), bool)),
        (np.array([[[3.0, -3.0]]], np.float16), there[1], np.ones((1, 2), bool)),
    ]
    counts = counts_of("binary", images)
    assert value(counts, "dice_image_mean", "binary") == pytest.approx([(2 / 3 + 0) / 2])
    # pooled: TP 1, FP 1, FN 1 -> 2/4
    assert value(counts, "dice", "binary") == pytest.approx([0.5])


def test_overlap_no_label_and_recall_by_hand():
    # four pixels, two classes; called: both, first, none, both; truth: both, both, none, second
    log_odds = np.array([[[1, 1, -1, 1]], [[1, -1, -1, 1]]], np.float16)
    truth = np.array([[[1, 1, 0, 0]], [[1, 1, 0, 1]]], bool)
    counts = counts_of("overlapping", [(log_odds, truth, np.ones((1, 4), bool))])
    assert value(counts, "overlap_rate", "overlapping") == pytest.approx(2 / 4)
    assert value(counts, "no_label_rate", "overlapping") == pytest.approx(1 / 4)
    assert value(counts, "overlap_recall", "overlapping") == pytest.approx(1 / 2)


def test_p_of_exactly_one_half_is_not_called_present():
    counts = counts_of("binary", [(np.zeros((1, 1, 2), np.float16), np.ones((1, 1, 2), bool), np.ones((1, 2), bool))])
    assert value(counts, "dice", "binary") == pytest.approx([0.0])
    assert value(counts, "no_label_rate", "binary") == pytest.approx(1.0)


# Against independent libraries -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_threshold_dice_and_iou_equal_scikit_learn(kind):
    images = [example(kind, seed=seed) for seed in range(4)]
    p, truth = flat(images, kind)
    counts = counts_of(kind, images)
    names = ("dice_threshold", "iou_threshold") if kind == "exclusive" else ("dice", "iou")
    for c in range(len(p)):
        assert value(counts, names[0], kind)[c] == pytest.approx(sk.f1_score(truth[c], p[c] > 0.5), abs=1e-12)
        assert value(counts, names[1], kind)[c] == pytest.approx(sk.jaccard_score(truth[c], p[c] > 0.5), abs=1e-12)


def test_argmax_dice_equals_torchmetrics():
    images = [example("exclusive", seed=seed) for seed in range(4)]
    p, truth = flat(images, "exclusive")
    expected = tm.multiclass_f1_score(
        torch.tensor(p.argmax(axis=0)), torch.tensor(truth.argmax(axis=0)), num_classes=3, average="none"
    )
    assert value(counts_of("exclusive", images), "dice", "exclusive") == pytest.approx(expected.numpy(), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_brier_and_nll_equal_scikit_learn(kind):
    images = [example(kind, seed=seed) for seed in range(4)]
    p, truth = flat(images, kind)
    counts = counts_of(kind, images)
    for c in range(len(p)):
        assert value(counts, "brier", kind)[c] == pytest.approx(sk.brier_score_loss(truth[c], p[c]), abs=1e-7)
        assert value(counts, "nll", kind)[c] == pytest.approx(sk.log_loss(truth[c], p[c]), abs=1e-6)


@pytest.mark.parametrize("bins", [10, 15, 100])
def test_class_ece_equals_torchmetrics(bins):
    # float64: torchmetrics counts in the dtype of its input, and float32 stops at 2^24 pixels
    images = [example("overlapping", seed=seed) for seed in range(4)]
    p, truth = flat(images, "overlapping")
    found = value(counts_of("overlapping", images), "classwise_ece", "overlapping", bins=bins)
    for c in range(3):
        # torchmetrics' binary calibration error takes p as it is and y as its accuracy: one class against the rest
        expected = tm.binary_calibration_error(torch.tensor(p[c]), torch.tensor(truth[c].astype(int)), n_bins=bins)
        assert found[c] == pytest.approx(float(expected), abs=1e-6)


def test_top_label_ece_by_a_slow_loop():
    # torchmetrics' multiclass form renormalises rows that do not add up to 1 (it takes them for logits only outside
    # [0, 1]) and bins left-closed; a loop says what is meant.
    images = [example("exclusive", seed=seed) for seed in range(4)]
    p, truth = flat(images, "exclusive")
    top, right = p.max(axis=0), truth[p.argmax(axis=0), np.arange(p.shape[1])]
    bin_of = np.clip(np.ceil(top * 15).astype(int) - 1, 0, 14)
    gaps = [abs(right[bin_of == b].sum() - top[bin_of == b].sum()) for b in range(15)]
    found = value(counts_of("exclusive", images), "top_label_ece", "exclusive")
    assert found == pytest.approx(sum(gaps) / len(top), abs=1e-7)


def test_foreground_is_truth_and_what_is_called():
    images = [example("overlapping", seed=seed) for seed in range(3)]
    p, truth = flat(images, "overlapping")
    counts = counts_of("overlapping", images)
    for c in range(3):
        front = truth[c] | (p[c] > 0.5)
        brier = ((p[c] - truth[c]) ** 2)[front].mean()
        assert value(counts, "brier", "overlapping", region="foreground")[c] == pytest.approx(brier, abs=1e-7)


# By property, over the registry ------------------------------------------------------------------------------------


def perfect(kind, seed):
    _, truth, valid = example(kind, seed=seed)
    return np.where(truth, 60.0, -60.0).astype(np.float16), truth, valid


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
def test_a_perfect_prediction_scores_best(name, kind):
    metric = METRICS[name]
    counts = counts_of(kind, [perfect(kind, seed) for seed in range(3)])
    for region in REGIONS:
        if metric.applies(Setting(kind), region) and metric.better != "neither":
            best = metric.bounds[1] if metric.better == "higher" else metric.bounds[0]
            assert value(counts, name, kind, region=region) == pytest.approx(best, abs=1e-6), region


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=10, deadline=None)
@given(seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=4, unique=True))
def test_values_lie_in_bounds_and_order_of_images_does_not_matter(name, kind, seeds):
    metric = METRICS[name]
    if not metric.applies(Setting(kind), "all"):
        return
    images = [example(kind, seed=seed, size=(6, 8)) for seed in seeds]
    found = value(counts_of(kind, images), name, kind)
    assert np.all((found >= metric.bounds[0]) & (found <= metric.bounds[1]) | np.isnan(found))
    assert np.allclose(value(counts_of(kind, images[::-1]), name, kind), found, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
def test_terms_of_merged_parts_are_those_of_the_whole(name, kind):
    metric = METRICS[name]
    if not metric.applies(Setting(kind), "all"):
        return
    images = [example(kind, seed=seed) for seed in range(4)]
    parts = [counts_of(kind, images[:1]), counts_of(kind, images[1:])]
    later = {field: getattr(parts[1], field) for field in (*PER_IMAGE, *POOLED)}
    merged = merge([parts[0], Counts(images=("1", "2", "3"), **later)])
    whole = metric.terms(counts_of(kind, images), "all", Setting(kind))
    assert np.array_equal(metric.terms(merged, "all", Setting(kind)), whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
def test_no_pixel_gives_nan(name, kind):
    metric = METRICS[name]
    log_odds, truth, _ = example(kind, seed=1)
    counts = counts_of(kind, [(log_odds, np.zeros_like(truth), np.zeros(truth.shape[1:], bool))])
    for region in REGIONS:
        if metric.applies(Setting(kind), region):
            assert np.isnan(value(counts, name, kind, region=region)).all()


# Uncertainty -------------------------------------------------------------------------------------------------------


def test_groups_are_resampled_whole_and_only_if_there_are_ten():
    images = [f"i{k}" for k in range(30)]
    units = choose_units(images, {image: f"g{k % 10}" for k, image in enumerate(images)})
    assert (units.unit, units.count, units.warning) == ("groups", 10, None)
    weights = unit_weights(units, replicates=50, rng=np.random.default_rng(0))
    assert np.array_equal(weights[:, 3], weights[:, 13])  # images 3 and 13 share group g3
    few = choose_units(images, {image: f"g{k % 9}" for k, image in enumerate(images)})
    assert few.unit == "images"
    assert few.warning is not None
    assert "9 groups" in few.warning


def test_replicates_are_weighted_sums_in_one_product():
    terms = np.arange(12.0).reshape(3, 2, 2)
    weights = np.array([[1.0, 1.0, 1.0], [0.0, 2.0, 1.0]])
    # second replicate: 2 * image 1 + image 2 = 2 * [[4, 5], [6, 7]] + [[8, 9], [10, 11]]
    assert totals(terms, weights)[1].tolist() == [[16, 19], [22, 25]]


def test_the_interval_of_a_mean_is_about_two_standard_errors():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(400, 1))
    units = choose_units([str(k) for k in range(400)], {})
    drawn = totals(np.concatenate([x, np.ones_like(x)], axis=1), unit_weights(units, replicates=4000, rng=rng))
    low, high = interval(drawn[:, 0] / drawn[:, 1])
    error = x.std() / 20
    assert low == pytest.approx(x.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(x.mean() + 1.96 * error, abs=0.2 * error)


def test_seed_weights_add_up_to_one():
    weights = seed_weights(3, replicates=100, rng=np.random.default_rng(0))
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert len(np.unique(weights[:, 0])) > 1


def table(by_head, kind="overlapping", images=12):
    terms = {}
    for head, seeds in by_head.items():
        terms[head] = {
            seed: collect_terms(
                [counts_of(kind, [example(kind, seed=shift + k) for k in range(images)])], Setting(kind)
            )
            for seed, shift in seeds.items()
        }
    names = [str(k) for k in range(images)]
    return metrics_table(
        terms, setting=Setting(kind), classes=("a", "b", "c"), split="test", variant="raw",
        resampling=choose_units(names, {}), replicates=300, rng=np.random.default_rng(0),
    ).to_pandas()  # fmt: skip


def test_the_difference_of_equal_heads_is_exactly_zero_with_no_width():
    rows = table({"sigmoid": {0: 0}, "softmax": {0: 0}})
    gaps = rows[rows["head"] == "difference"]
    assert len(gaps) > 0
    assert (gaps[["value", "low", "high"]].dropna() == 0).all(axis=None)


def test_seed_rows_average_and_their_interval_is_wider_than_one_seed_alone():
    rows = table({"sigmoid": {0: 0, 1: 100, 2: 200}, "softmax": {0: 50, 1: 150, 2: 250}}).set_index(
        ["head", "seed", "region", "class", "metric"]
    )
    at = ("all", "macro", "dice")
    single = [rows.loc[("sigmoid", seed, *at)] for seed in (0, 1, 2)]
    pooled = rows.loc[("sigmoid", ALL_SEEDS, *at)]
    assert pooled["value"] == pytest.approx(np.mean([row["value"] for row in single]))
    gap = rows.loc[("difference", ALL_SEEDS, *at)]
    assert gap["value"] == pytest.approx(pooled["value"] - rows.loc[("softmax", ALL_SEEDS, *at)]["value"])
    assert gap["low"] < gap["value"] < gap["high"]


def test_a_replicate_without_a_class_leaves_it_out_for_both_heads():
    # c is true in one image of 20; the heads differ in one false positive of c in each of the other 19.
    rng = np.random.default_rng(0)
    images, noisy = [], []
    for number in range(20):
        label = rng.integers(0, 2, (6, 6))
        if number == 0:
            label[:2, :2] = 2
        truth = np.arange(3)[:, None, None] == label
        log_odds = np.where(truth, 5.0, -5.0).astype(np.float16)
        wrong = log_odds.copy()
        if number:
            wrong[2, 5, 5] = 9.0
        images.append((log_odds, truth, np.ones((6, 6), bool)))
        noisy.append((wrong, truth, np.ones((6, 6), bool)))
    setting = Setting("exclusive")
    terms = {
        "sigmoid": {0: collect_terms([counts_of("exclusive", noisy)], setting)},
        "softmax": {0: collect_terms([counts_of("exclusive", images)], setting)},
    }
    rows = metrics_table(
        terms, setting=setting, classes=("a", "b", "c"), split="test", variant="raw",
        resampling=choose_units([str(k) for k in range(20)], {}), replicates=500, rng=np.random.default_rng(0),
    ).to_pandas()  # fmt: skip
    gap = rows[(rows["head"] == "difference") & (rows["metric"] == "dice") & (rows["region"] == "all")]
    gap = gap[gap["seed"] == 0].set_index("class")
    # Only c differs much, so the macro interval is about a third of c's; with c at 0 in one head and missing in the
    # other it would reach down to -1/3.
    assert gap.loc["c", "low"] > -0.95
    assert gap.loc["macro", "low"] > gap.loc["c", "low"] / 3 - 0.05


def test_one_image_has_values_and_no_intervals():
    rows = table({"sigmoid": {0: 0}, "softmax": {0: 7}}, images=1)
    assert rows["value"].notna().any()
    assert rows[["low", "high"]].isna().all(axis=None)


def test_heads_counted_on_different_images_are_refused():
    one = collect_terms([counts_of("binary", [example("binary", seed=0)])], Setting("binary"))
    two = collect_terms([counts_of("binary", [example("binary", seed=k) for k in (0, 1)])], Setting("binary"))
    with pytest.raises(ShapeError, match="different images"):
        metrics_table(
            {"sigmoid": {0: one}, "softmax": {0: two}}, setting=Setting("binary"), classes=("a",), split="test",
            variant="raw", resampling=choose_units(["0"], {}), replicates=100, rng=np.random.default_rng(0),
        )  # fmt: skip
