import numpy as np
import pytest
import torch
import torchmetrics.functional.classification as tm
from arrays import counts_of, example, probabilities
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from pipelines.counting.counts import PER_IMAGE, POOLED, Counts, merge
from pipelines.errors import ShapeError
from pipelines.metrics import METRICS, Setting, inference, segmentation
from pipelines.metrics.calibration import ece_of_bins
from pipelines.metrics.estimates import estimate_head, metrics_table
from pipelines.metrics.inference import choose_units, percentile_interval, totals, unit_weights
from pipelines.metrics.segmentation import dice, iou
from pipelines.schema import ALL_SEEDS, KINDS, REGIONS


def value(counts: Counts, name: str, kind, *, region="all", bins=15, background=False):
    return METRICS[name].pooled(counts, region, setting_of(kind, counts, bins=bins, background=background))


def setting_of(kind, counts, *, bins=15, background=False):
    """With thresholds, so that every metric of the kind applies: p > 0.5, 0.4, 0.3 for the first three classes."""
    return Setting(kind, bins, background, thresholds=(150, 120, 90)[: counts.classes])


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
    assert ece_of_bins(np.array([[4, 3, 2.0], [6, 3, 5.4]])) == pytest.approx(0.34)
    assert np.isnan(ece_of_bins(np.zeros((2, 3))))


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


# TP 3, FP 1, FN 2, TN 4 of 10 pixels
OUTCOMES = np.array([3.0, 1.0, 2.0, 4.0])


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (segmentation.precision, 3 / 4),
        (segmentation.recall, 3 / 5),
        (segmentation.specificity, 4 / 5),
        (segmentation.balanced_accuracy, (3 / 5 + 4 / 5) / 2),
        (segmentation.accuracy, 7 / 10),
        # (3·4 − 1·2) / sqrt(4·5·5·6) = 10 / sqrt(600)
        (segmentation.mcc, 10 / 600**0.5),
        # observed 7/10, by chance (4·5 + 6·5) / 100 = 1/2 -> (0.7 − 0.5) / 0.5
        (segmentation.kappa, 0.4),
    ],
)
def test_outcome_metrics_by_hand(function, expected):
    assert function(OUTCOMES) == pytest.approx(expected)
    assert np.isnan(function(np.zeros(4)))


def test_confusion_metrics_by_hand():
    # rows true a, b: 6 of a called a, 2 called b; 1 of b called a, 1 called b
    confusion = np.array([[6.0, 2.0], [1.0, 1.0]])
    assert segmentation.pixel_accuracy(confusion) == pytest.approx(7 / 10)
    # IoU of a 6/9 with weight 8/10, of b 1/4 with weight 2/10
    assert segmentation.frequency_weighted_iou(confusion) == pytest.approx(0.8 * 6 / 9 + 0.2 * 1 / 4)
    # by chance (8·7 + 2·3) / 100 = 0.62
    assert segmentation.categorical_kappa(confusion) == pytest.approx((0.7 - 0.62) / 0.38)
    for function in (segmentation.pixel_accuracy, segmentation.frequency_weighted_iou, segmentation.categorical_mcc):
        assert np.isnan(function(np.zeros((2, 2))))


def test_volume_bias_by_hand():
    # p 0.5 and 0.5 where one is there: sum p 1.0, sum y 1 -> 0; a second image p 0.5, 0.5, none there: (1 − 0) / 2
    half, seen = np.zeros((1, 1, 2), np.float16), np.ones((1, 2), bool)
    images = [(half, np.array([[[True, False]]]), seen), (half, np.zeros((1, 1, 2), bool), seen)]
    counts = counts_of("binary", images)
    assert value(counts, "volume_bias", "binary") == pytest.approx([(2.0 - 1) / 4])
    assert value(counts, "volume_bias_image_mean", "binary") == pytest.approx([(0 + 0.5) / 2])


def test_a_tuned_threshold_calls_what_lies_above_it():
    # p = sigmoid(-0.3) = 0.4256: not called at 0.5, called at 0.4 (k = 120), not at 0.45 (k = 135)
    counts = counts_of(
        "binary", [(np.full((1, 1, 1), -0.3, np.float16), np.ones((1, 1, 1), bool), np.ones((1, 1), bool))]
    )
    for step, expected in ((150, 0.0), (120, 1.0), (135, 0.0)):
        setting = Setting("binary", thresholds=(step,))
        assert METRICS["dice_tuned"].pooled(counts, "all", setting) == pytest.approx([expected])
    assert not METRICS["dice_tuned"].applies(Setting("binary"), "all")


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


@pytest.mark.parametrize("kind", KINDS)
def test_outcome_metrics_equal_scikit_learn(kind):
    images = [example(kind, seed=seed) for seed in range(4)]
    p, truth = flat(images, kind)
    called = p > 0.5 if kind != "exclusive" else np.arange(len(p))[:, None] == p.argmax(axis=0)
    counts = counts_of(kind, images)
    by_name = {
        "precision": sk.precision_score, "recall": sk.recall_score, "balanced_accuracy": sk.balanced_accuracy_score,
        "accuracy": sk.accuracy_score, "mcc": sk.matthews_corrcoef, "kappa": sk.cohen_kappa_score,
    }  # fmt: skip
    for name, function in by_name.items():
        for c in range(len(p)):
            assert value(counts, name, kind)[c] == pytest.approx(function(truth[c], called[c]), abs=1e-12), name
    for c in range(len(p)):
        expected = sk.recall_score(truth[c], called[c], pos_label=False)
        assert value(counts, "specificity", kind)[c] == pytest.approx(expected, abs=1e-12)


def test_confusion_metrics_equal_scikit_learn():
    images = [example("exclusive", seed=seed) for seed in range(4)]
    p, truth = flat(images, "exclusive")
    there, called = truth.argmax(axis=0), p.argmax(axis=0)
    counts = counts_of("exclusive", images)
    assert value(counts, "pixel_accuracy", "exclusive") == pytest.approx(sk.accuracy_score(there, called))
    assert value(counts, "categorical_kappa", "exclusive") == pytest.approx(sk.cohen_kappa_score(there, called))
    assert value(counts, "categorical_mcc", "exclusive") == pytest.approx(sk.matthews_corrcoef(there, called))
    weighted = sk.jaccard_score(there, called, average="weighted")
    assert value(counts, "frequency_weighted_iou", "exclusive") == pytest.approx(weighted)


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
        if metric.applies(setting_of(kind, counts), region) and metric.better != "neither":
            best = metric.bounds[1] if metric.better == "higher" else metric.bounds[0]
            assert value(counts, name, kind, region=region) == pytest.approx(best, abs=1e-6), region


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
@settings(max_examples=10, deadline=None)
@given(seeds=st.lists(st.integers(0, 1000), min_size=2, max_size=4, unique=True))
def test_values_lie_in_bounds_and_order_of_images_does_not_matter(name, kind, seeds):
    metric = METRICS[name]
    images = [example(kind, seed=seed, size=(6, 8)) for seed in seeds]
    counts = counts_of(kind, images)
    if not metric.applies(setting_of(kind, counts), "all"):
        return
    found = value(counts, name, kind)
    assert np.all((found >= metric.bounds[0]) & (found <= metric.bounds[1]) | np.isnan(found))
    assert np.allclose(value(counts_of(kind, images[::-1]), name, kind), found, equal_nan=True)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
def test_terms_of_merged_parts_are_those_of_the_whole(name, kind):
    metric = METRICS[name]
    images = [example(kind, seed=seed) for seed in range(4)]
    setting = setting_of(kind, counts_of(kind, images))
    if not metric.applies(setting, "all"):
        return
    parts = [counts_of(kind, images[:1]), counts_of(kind, images[1:])]
    later = {field: getattr(parts[1], field) for field in (*PER_IMAGE, *POOLED)}
    merged = merge([parts[0], Counts(images=("1", "2", "3"), **later)])
    whole = metric.terms(counts_of(kind, images), "all", setting)
    assert np.array_equal(metric.terms(merged, "all", setting), whole)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", METRICS)
def test_no_pixel_gives_nan(name, kind):
    metric = METRICS[name]
    log_odds, truth, _ = example(kind, seed=1)
    counts = counts_of(kind, [(log_odds, np.zeros_like(truth), np.zeros(truth.shape[1:], bool))])
    for region in REGIONS:
        if metric.applies(setting_of(kind, counts), region):
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
    low, high = percentile_interval(drawn[:, 0] / drawn[:, 1])
    error = x.std() / 20
    assert low == pytest.approx(x.mean() - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(x.mean() + 1.96 * error, abs=0.2 * error)


def estimates(images, kind, *, replicates=300):
    counts = counts_of(kind, images)
    weights = unit_weights(choose_units(counts.images, {}), replicates=replicates, rng=np.random.default_rng(0))
    return estimate_head(lambda: [counts], Setting(kind), weights.astype(np.float32), units=len(images))


def table_of(by_head, images):
    return metrics_table(
        by_head, classes=("a", "b", "c"), split="test", variant="raw", stream=(0, 1),
        units=choose_units([str(k) for k in range(images)], {}),
    ).to_pandas()  # fmt: skip


def table(by_head, kind="overlapping", images=12):
    found = {
        head: {
            seed: estimates([example(kind, seed=shift + k) for k in range(images)], kind) for seed, shift in by.items()
        }
        for head, by in by_head.items()
    }
    return table_of(found, images)


def test_the_difference_of_equal_heads_is_exactly_zero_with_no_width():
    rows = table({"sigmoid": {0: 0}, "softmax": {0: 0}})
    gaps = rows[rows["head"] == "difference"]
    assert len(gaps) > 0
    assert (gaps[["value", "low", "high"]].dropna() == 0).all(axis=None)


def test_no_interval_leaves_what_its_value_cannot_leave():
    # Two seeds and two images have intervals tens of times as wide as their spread.
    rows = table({"sigmoid": {0: 0, 1: 100}, "softmax": {0: 50, 1: 150}}, images=2)
    cut = 0
    for name, of_metric in rows[rows["metric"].isin(METRICS)].groupby("metric"):
        metric = METRICS[name]
        for of_difference, (low, high) in ((False, metric.bounds), (True, metric.difference_bounds)):
            known = of_metric[(of_metric["head"] == "difference") == of_difference].dropna(subset=["low"])
            assert ((known["low"] >= low) & (known["high"] <= high)).all(), name
            cut += (known["low"] == low).sum() if of_difference and low > -np.inf else 0
    assert cut > 20
    assert METRICS["dice"].difference_bounds == (-1, 1)
    assert METRICS["nll"].difference_bounds == (-np.inf, np.inf)
    assert METRICS["mcc"].difference_bounds == (-2, 2)


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
    rows = table_of(
        {
            "sigmoid": {0: estimates(noisy, "exclusive", replicates=500)},
            "softmax": {0: estimates(images, "exclusive", replicates=500)},
        },
        20,
    )
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


def test_the_bias_of_a_folded_metric_is_taken_off_its_interval_and_not_off_its_value():
    found = {
        head: {0: estimates([example("overlapping", seed=shift + k) for k in range(12)], "overlapping")}
        for head, shift in (("sigmoid", 0), ("softmax", 40))
    }
    rows = table_of(found, 12).set_index(["head", "seed", "region", "class", "metric"])
    raw = found["sigmoid"][0].by_key["maximum_calibration_error", "all"]
    row = rows.loc[("sigmoid", 0, "all", "macro", "maximum_calibration_error")]
    assert row["value"] == pytest.approx(raw.value[-1])
    # the replicates' mean lies above the value by the bias; the interval lies around value − bias, replicates as wide
    bias = raw.replicates[:, -1].mean(dtype=np.float64) - raw.value[-1]
    assert bias > 0.003
    low, high = inference.interval(raw.value[-1] - bias, raw.replicates[:, -1] - 2 * bias, units=12, bounds=(0, 1))
    assert (row["low"], row["high"]) == pytest.approx((float(low), float(high)), abs=1e-6)
    gap = rows.loc[("difference", 0, "all", "macro", "maximum_calibration_error")]
    assert gap["low"] < gap["value"] < gap["high"]


def test_heads_counted_on_different_images_are_refused():
    one = estimates([example("binary", seed=0)], "binary")
    two = estimates([example("binary", seed=k) for k in (0, 1)], "binary")
    with pytest.raises(ShapeError, match="different images"):
        table_of({"sigmoid": {0: one}, "softmax": {0: two}}, 1)


def test_blocks_of_images_and_several_passes_give_what_one_pass_over_all_gives():
    images = [example("overlapping", seed=k) for k in range(7)]
    whole = counts_of("overlapping", images)
    parts = [renamed(counts_of("overlapping", images[a:b]), range(a, b)) for a, b in ((0, 3), (3, 4), (4, 7))]
    weights = unit_weights(choose_units(whole.images, {}), replicates=40, rng=np.random.default_rng(0))
    options = {"setting": Setting("overlapping"), "units": 7, "weights": weights.astype(np.float32)}
    at_once = estimate_head(lambda: [whole], **options)
    in_parts = estimate_head(lambda: parts, **options, memory=200_000)  # room for a few replicates a pass
    assert in_parts.images == at_once.images
    for key, found in at_once.by_key.items():
        assert np.allclose(in_parts.by_key[key].value, found.value, rtol=1e-12, equal_nan=True), key
        assert np.allclose(in_parts.by_key[key].replicates, found.replicates, rtol=1e-4, atol=1e-6, equal_nan=True), key


def renamed(counts, numbers):
    later = {field: getattr(counts, field) for field in (*PER_IMAGE, *POOLED)}
    return Counts(images=tuple(str(k) for k in numbers), **later)


@pytest.mark.parametrize("kind", KINDS)
def test_a_replicate_that_draws_every_image_once_is_the_value(kind):
    counts = counts_of(kind, [example(kind, seed=k) for k in range(5)])
    found = estimate_head(lambda: [counts], setting_of(kind, counts), np.ones((2, 5), np.float32), units=5)
    assert len(found.by_key) > 30
    for key, one in found.by_key.items():
        assert one.replicates[0] == pytest.approx(one.value, rel=1e-4, abs=2e-6, nan_ok=True), key


def test_weights_for_another_number_of_images_are_refused():
    counts = counts_of("binary", [example("binary", seed=0)])
    with pytest.raises(ShapeError, match="weights for 3 images"):
        estimate_head(lambda: [counts], Setting("binary"), np.ones((1, 3), np.float32), units=3)
