"""Runs of one data set with several losses: what the grid and its effects say, by hand, anew and at the edges."""

import json
import shutil
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from counted_runs import HEADS, images_of, outputs_of, tuned, two_runs, write_run
from synthetic import make_run
from typer.testing import CliRunner

from pipelines import cli
from pipelines.comparison.compare import as_json, compare, text
from pipelines.comparison.effects import MEAN, conclude, margin_of
from pipelines.comparison.matching import MEASURES
from pipelines.counting.counts import Counts
from pipelines.errors import PipelineError, RunError
from pipelines.judgement import Margin
from pipelines.metrics import METRICS, Setting, inference
from pipelines.metrics.inference import choose_units, unit_weights
from pipelines.store.counts import CountsWriter
from pipelines.store.files import counts_folder
from pipelines.store.manage import RunWriter
from pipelines.store.runs import Run

REPLICATES = 200


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of the two runs that most tests look at."""
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def base(folder):
    return compare(two_runs(folder), replicates=REPLICATES)


def main_of(comparison, measure, factor):
    rows = comparison.effects
    return rows[(rows["measure"] == measure) & (rows["factor"] == factor)].iloc[0]


def contrast(comparison, measure, factor, *, run="", head="", at="as trained"):
    rows = comparison.contrasts
    keys = {"measure": measure, "factor": factor, "run": run, "head": head, "at": at}
    found = rows[np.logical_and.reduce([rows[name] == value for name, value in keys.items()])]
    assert len(found) == 1
    return found.iloc[0]


# By hand -----------------------------------------------------------------------------------------------------------

SEEN = np.ones((1, 10), bool)
FOUR = np.arange(10) < 4  # the truth of every image below: 4 of 10 pixels


def hits(count, *, unsure=0, images=10, sure=3.0):
    """Images in which `count` of the 4 true pixels have p > 0.5, `unsure` of the others p = 0.426, the rest p < 0.1."""
    log_odds = np.full(10, -sure)
    log_odds[:count] = sure
    log_odds[count : count + unsure] = -0.3
    return [(log_odds[None, None].astype(np.float16), FOUR[None, None], SEEN)] * images


def test_effects_of_known_hits_by_hand(tmp_path):
    # Dice 2TP / (TP + 4) without a false positive: 4 hits 1, 3 hits 6/7, 2 hits 4/6, 1 hit 2/5
    made = [
        write_run(
            tmp_path, loss, {("sigmoid", 0, "raw"): hits(one), ("softmax", 0, "raw"): hits(other)},
            kind="binary", loss=loss, images=10, splits=("test",),
        )
        for loss, one, other in (("ce", 4, 3), ("dice", 2, 1))
    ]  # fmt: skip
    found = compare(made, replicates=REPLICATES)
    assert contrast(found, "dice", "head", run="ce")["gain"] == pytest.approx(1 - 6 / 7)
    assert contrast(found, "dice", "head", run="dice")["gain"] == pytest.approx(4 / 6 - 2 / 5)
    assert contrast(found, "dice", "loss", head="sigmoid")["gain"] == pytest.approx(1 - 4 / 6)
    assert contrast(found, "dice", "loss", head="softmax")["gain"] == pytest.approx(6 / 7 - 2 / 5)
    head, loss = main_of(found, "dice", "head"), main_of(found, "dice", "loss")
    assert head["gain"] == pytest.approx((1 - 6 / 7 + 4 / 6 - 2 / 5) / 2)  # 0.205
    assert loss["gain"] == pytest.approx((1 - 4 / 6 + 6 / 7 - 2 / 5) / 2)  # 0.395
    assert (loss["first"], loss["second"]) == ("ce", "dice")
    # Every image is the same, so that every replicate is.
    assert [head["low"], head["high"]] == pytest.approx([head["gain"]] * 2, abs=1e-6)
    gap = found.gaps[found.gaps["measure"] == "dice"].iloc[0]
    assert (gap["larger"], gap["smaller"]) == ("loss", "head")
    assert [gap["gap"], gap["low"]] == pytest.approx([loss["gain"] - head["gain"]] * 2, abs=1e-6)
    assert conclude(found, "dice", Margin()).sentences == (
        "The loss moves macro Dice by 0.395 (ce over dice), the head by 0.205 (sigmoid over softmax): choose the loss "
        "first, as far as one seed can tell.",
    )


def test_tuned_thresholds_by_hand(tmp_path):
    # 2 sure hits and 2 at p = 0.426: Dice 4/6 at p > 0.5, 1 at p > 0.4; as good as 4 sure hits. Sigmoid only.
    outputs = {("sigmoid", 0, "raw"): hits(2, unsure=2), ("softmax", 0, "raw"): hits(4)}
    run = write_run(tmp_path, "one", outputs, kind="binary", images=10, thresholds=tuned("binary", outputs, step=120))
    found = compare([run], replicates=REPLICATES)
    assert contrast(found, "dice", "threshold", run="ce", head="sigmoid")["gain"] == pytest.approx(1 - 4 / 6)
    assert contrast(found, "dice", "threshold", run="ce", head="softmax")["gain"] == pytest.approx(0)
    assert main_of(found, "dice", "threshold")["gain"] == pytest.approx((1 - 4 / 6) / 2)
    assert main_of(found, "dice", "head")["gain"] == pytest.approx(4 / 6 - 1)
    assert contrast(found, "dice", "head", run=MEAN, at="tuned thresholds")["gain"] == pytest.approx(0)
    said = conclude(found, "dice", Margin()).sentences
    assert "At tuned thresholds: the head by 0.000 (inside the margin)." in said
    assert "What looked like the head was the threshold." in said


def test_sizes_are_compared_whatever_their_direction(tmp_path):
    # Softmax is better by 1 - 4/6 = 1/3, a loss by (4/6 - 2/5 + 1 - 1) / 2 = 0.133; sizes differ by 0.2.
    made = [
        write_run(
            tmp_path, loss, {("sigmoid", 0, "raw"): hits(one), ("softmax", 0, "raw"): hits(4)},
            kind="binary", loss=loss, images=10, splits=("test",),
        )
        for loss, one in (("ce", 2), ("dice", 1))
    ]  # fmt: skip
    found = compare(made, replicates=REPLICATES)
    head = (4 / 6 + 2 / 5) / 2 - 1
    loss = (4 / 6 - 2 / 5) / 2
    assert main_of(found, "dice", "head")["gain"] == pytest.approx(head)
    gap = found.gaps[found.gaps["measure"] == "dice"].iloc[0]
    assert (gap["larger"], gap["smaller"]) == ("head", "loss")
    assert [gap["gap"], gap["low"], gap["high"]] == pytest.approx([-head - loss] * 3, abs=1e-6)


def test_temperature_that_makes_the_heads_equal_is_told_by_hand(tmp_path):
    # p = 0.75 where right: Brier 0.0625; p = 0.9526: 0.0022. A temperature takes sigmoid from one to the other.
    unsure, sure = hits(4, sure=np.log(3)), hits(4)
    outputs = {("sigmoid", 0, "raw"): unsure, ("sigmoid", 0, "temperature"): sure}
    outputs |= {("softmax", 0, "raw"): sure, ("softmax", 0, "temperature"): sure}
    found = compare([write_run(tmp_path, "one", outputs, kind="binary", images=10, splits=("test",))])
    assert contrast(found, "brier", "head", run=MEAN)["gain"] == pytest.approx(0.0022 - 0.0625, abs=1e-4)
    assert contrast(found, "brier", "head", run=MEAN, at="fitted temperature")["gain"] == 0
    assert "What looked like the head was the temperature." in conclude(found, "brier", Margin()).sentences


def test_temperature_that_makes_it_worse_by_hand(tmp_path):
    # all 10 pixels right at p = 0.75 or 0.25, up to float16: Brier 0.25² = 0.0625; at p = 0.5: 0.25
    raw = {("sigmoid", 0, "raw"): hits(4, sure=np.log(3)), ("sigmoid", 0, "temperature"): hits(4, sure=0.0)}
    run = write_run(tmp_path, "one", raw, kind="binary", images=10, splits=("test",))
    found = compare([run], replicates=REPLICATES)
    effect = main_of(found, "brier", "temperature")
    assert effect["gain"] == pytest.approx(0.0625 - 0.25, abs=1e-4)
    assert (effect["first"], effect["second"]) == ("fitted", "as trained")
    assert conclude(found, "brier", Margin()).sentences == (
        "Fitting a temperature moves the macro Brier score by 0.1875 (for the worse): keep the temperature at 1, as "
        "far as one seed can tell.",
    )


def test_gain_of_lower_is_better_is_turned_round(tmp_path):
    # sigmoid: p = 0.75 where right, Brier 0.0625; softmax: p = 0.953, Brier 0.0022. Sigmoid's gain is negative.
    outputs = {("sigmoid", 0, "raw"): hits(4, sure=np.log(3)), ("softmax", 0, "raw"): hits(4)}
    found = compare([write_run(tmp_path, "one", outputs, kind="binary", images=10, splits=("test",))])
    row = found.table.set_index("head")["brier"]
    assert row["sigmoid"] > row["softmax"]
    assert main_of(found, "brier", "head")["gain"] == pytest.approx(row["softmax"] - row["sigmoid"])


# Anew, slowly ------------------------------------------------------------------------------------------------------


def by_class(counts: Counts, weights, name, setting, *, gaps=False) -> np.ndarray:
    """One metric of each class, or its gaps, over images that stand so often; NaN for a class they have nothing of."""
    metric = METRICS[name]
    terms = metric.source.terms(counts, setting)
    labels = METRICS["dice_tuned"].source.terms(counts, setting).sum(axis=1)
    total = sum(weight * terms[image] for image, weight in enumerate(weights))
    there = sum(weight * (labels[image, :, 0] + labels[image, :, 2]) for image, weight in enumerate(weights))
    picked = metric.source.pick(total[None], "all")
    value = (metric.gaps if gaps else metric.value)(picked, setting)[0]
    return np.where((there > 0).reshape(-1, *[1] * (value.ndim - 1)), value, np.nan)


def macro(counts: Counts, weights, name, setting, *, units) -> tuple[float, float, np.ndarray]:
    """Macro value, what its replicates lie around, and the replicates, one after another."""
    value = by_class(counts, np.ones(weights.shape[1]), name, setting)
    drawn = np.array([by_class(counts, row, name, setting) for row in weights])
    center = value
    if METRICS[name].gaps is not None:
        gaps = by_class(counts, np.ones(weights.shape[1]), name, setting, gaps=True)
        drawn_gaps = np.array([by_class(counts, row, name, setting, gaps=True) for row in weights])
        center, drawn = inference.calibration_error(gaps, drawn_gaps, units=units)
    return np.nanmean(value), np.nanmean(center), np.nanmean(drawn, axis=1)


@pytest.mark.parametrize("kind", ["overlapping", "exclusive"])
def test_effects_equal_a_slow_recomputation_from_the_counts(folder, tmp_path, kind):
    runs = two_runs(folder) if kind == "overlapping" else two_runs(tmp_path, kind)
    found = compare(runs, replicates=30, bootstrap_seed=5)
    units = choose_units([str(number) for number in range(12)], {})
    weights = unit_weights(units, replicates=30, rng=np.random.default_rng(5))
    setting = Setting(kind, thresholds=(120,) * 3)

    def cell(run, head, name, variant="raw"):
        """(S, 32): in each seed the value, the center and the replicates."""
        counts = [run.counts("test", head, seed, variant=variant) for seed in run.seeds]
        parts = [macro(one, weights, name, setting, units=12) for one in counts]
        return np.array([[value, center, *drawn] for value, center, drawn in parts])

    def check(row, by_seed):
        center, drawn, degrees = inference.over_seeds(
            by_seed[:, 1], by_seed[:, 2:].T, units=12, rng=np.random.default_rng([5, 1])
        )
        low, high = inference.interval(center, drawn, units=degrees)
        assert [row["gain"], row["low"], row["high"]] == pytest.approx(
            [by_seed[:, 0].mean(), float(low), float(high)], abs=5e-6
        )

    ce, dice = runs
    check(contrast(found, "dice", "head", run="dice"), cell(dice, "sigmoid", "dice") - cell(dice, "softmax", "dice"))
    check(
        contrast(found, "iou", "head", run="ce", at="tuned thresholds"),
        cell(ce, "sigmoid", "iou_tuned") - cell(ce, "softmax", "iou_tuned"),
    )
    by_head = [cell(ce, head, "classwise_ece") - cell(dice, head, "classwise_ece") for head in HEADS]
    row = contrast(found, "classwise_ece", "loss", head=MEAN)
    check(row, np.mean(by_head, axis=0) * (-1 if row["first"] == "ce" else 1))
    check(
        contrast(found, "brier", "temperature", run="ce", head="softmax"),
        cell(ce, "softmax", "brier") - cell(ce, "softmax", "brier", "temperature"),
    )


@pytest.mark.parametrize(("kind", "seeds"), [("overlapping", (0,)), ("exclusive", (0, 1))])
def test_grid_of_one_run_equals_its_own_metrics_table(tmp_path, kind, seeds):
    run = make_run(tmp_path, "one", kind=kind, classes=("a", "b"), images=3, size=(16, 24), seeds=seeds)
    found = compare([run], replicates=100).table
    stored = run.metrics().query("split == 'test' and seed == -1 and region == 'all' and `class` == 'macro'")
    stored = stored.set_index(["head", "variant", "metric"])
    suffixes = {"argmax": "", "p > 0.5": "_threshold" if kind == "exclusive" else "", "tuned": "_tuned"}
    assert len(found) == len(run.heads) * 2 * (3 if kind == "exclusive" else 2)
    for row in found.to_dict("records"):
        variant = {"as trained": "raw", "fitted": "temperature"}[row["temperature"]]
        for name in MEASURES:
            key = name + suffixes[row["threshold"]] if name in ("dice", "iou") else name
            expected = stored.loc[(row["head"], variant, key), ["value", "low", "high"]]
            mine = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
            assert mine == pytest.approx(list(expected), abs=1e-5), key


def test_interval_of_several_losses_holds_for_all_their_pairs(tmp_path):
    runs = [
        write_run(tmp_path, loss, outputs_of("binary", seed=number), kind="binary", loss=loss)
        for number, loss in enumerate(("ce", "dice", "focal"))
    ]
    found = compare(runs, replicates=REPLICATES)
    rows = found.contrasts
    three = rows[(rows["measure"] == "dice") & (rows["factor"] == "loss") & (rows["head"] == MEAN)]
    assert set(three["pairs"]) == {3}
    assert len(three) == 3
    assert (three["gain"] >= 0).all()  # the better one first
    effect = main_of(found, "dice", "loss")
    assert effect["gain"] == three["gain"].max()
    pair = compare([one for one in runs if one.name in (effect["first"], effect["second"])], replicates=REPLICATES)
    alone = main_of(pair, "dice", "loss")
    assert alone["gain"] == pytest.approx(effect["gain"])
    assert effect["high"] - effect["low"] > alone["high"] - alone["low"]


# Properties --------------------------------------------------------------------------------------------------------


def test_order_of_the_runs_does_not_matter(base, folder):
    one, other = base, compare(two_runs(folder)[::-1], replicates=REPLICATES)
    assert one.labels == other.labels == ("ce", "dice")
    for name in ("table", "contrasts", "effects", "gaps"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    assert text(one, Margin()) == text(other, Margin())


def test_identical_runs_have_no_effect_of_the_loss(tmp_path):
    found = compare(two_runs(tmp_path, same=True), replicates=REPLICATES)
    rows = found.contrasts[found.contrasts["factor"] == "loss"]
    assert len(rows) == 2 * 2 * len(MEASURES) + 2 * len(MEASURES)  # each head and the mean, two settings
    assert (rows[["gain", "low", "high"]] == 0).all(axis=None)
    said = conclude(found, "dice", Margin()).sentences[0]
    assert "the loss by 0.000 (inside the margin)" in said
    heads = found.contrasts[(found.contrasts["factor"] == "head") & (found.contrasts["run"] != MEAN)]
    assert set(heads.groupby(["measure", "at"])["gain"].nunique()) == {1}


def test_averages_are_means_of_what_they_average(base):
    found = base
    for measure in MEASURES:
        for factor, name in (("head", "run"), ("loss", "head")):
            rows = found.contrasts
            rows = rows[(rows["measure"] == measure) & (rows["factor"] == factor) & (rows["at"] == "as trained")]
            parts = rows[rows[name] != MEAN]["gain"]
            assert len(parts) == 2
            assert rows[rows[name] == MEAN]["gain"].item() == pytest.approx(parts.mean(), abs=1e-12)


def test_effects_are_ranked_by_size(base):
    found = base
    for measure in MEASURES:
        sizes = found.effects[found.effects["measure"] == measure]["gain"].abs()
        assert list(sizes) == sorted(sizes, reverse=True)
        assert (found.gaps[found.gaps["measure"] == measure]["gap"] >= 0).all()


def test_a_raised_threshold_of_one_head_is_told_as_the_threshold(tmp_path):
    # Sigmoid's log-odds are softmax's lowered by 1.5; at thresholds lowered likewise the heads agree.
    step = {"sigmoid": 55, "softmax": 150}  # 55/300 = 1 / (1 + exp(1.5)), within a step
    made = []
    for number, loss in enumerate(("ce", "dice")):
        softmax = images_of("overlapping", seed=number)
        sigmoid = [((log_odds - 1.5).astype(np.float16), truth, valid) for log_odds, truth, valid in softmax]
        outputs = {("sigmoid", 0, "raw"): sigmoid, ("softmax", 0, "raw"): softmax}
        steps = {head: tuned("overlapping", [(head, 0, "raw")], step=step[head])["raw"][head] for head in HEADS}
        made.append(write_run(tmp_path, loss, outputs, loss=loss, thresholds={"raw": steps}))
    found = compare(made, replicates=REPLICATES)
    said = conclude(found, "dice", Margin()).sentences
    assert abs(contrast(found, "dice", "head", run=MEAN)["gain"]) > 0.05
    assert abs(contrast(found, "dice", "head", run=MEAN, at="tuned thresholds")["gain"]) < 0.002
    assert "What looked like the head was the threshold." in said


# Sentences ---------------------------------------------------------------------------------------------------------


def told(base, effects, *, gaps=(), contrasts=(), seeds=(0, 1, 2)):
    """A comparison with other numbers. effects: (factor, first, second, gain, low, high) of macro Dice."""
    rows = [
        ("dice", factor, first, second, "as trained", *_where(factor), gain, low, high, 1)
        for factor, first, second, gain, low, high in effects
    ]
    columns = list(base.contrasts.columns)
    table = pd.DataFrame(rows, columns=columns)
    more = pd.DataFrame([("dice", *row, 1) for row in contrasts], columns=columns)
    pairs = [(a, b) for a, b in combinations([row[0] for row in effects], 2)]
    lows = dict(gaps)
    gap_rows = [("dice", a, b, 0.0, lows.get((a, b), 0.001), 1.0) for a, b in pairs]
    return replace(
        base, effects=table, contrasts=pd.concat([table, more], ignore_index=True),
        gaps=pd.DataFrame(gap_rows, columns=list(base.gaps.columns)),
        runs=tuple(run._replace(seeds=seeds) for run in base.runs),
    )  # fmt: skip


def _where(factor):
    return {"loss": ("", MEAN), "head": (MEAN, "")}.get(factor, (MEAN, MEAN))


LOSS = ("loss", "dice", "ce", 0.052, 0.041, 0.066)
TUNED = ("threshold", "tuned", "p > 0.5", 0.021, 0.015, 0.03)
HEAD = ("head", "sigmoid", "softmax", 0.004, -0.002, 0.008)


def test_the_largest_effect_that_is_told_apart_is_to_be_chosen_first(base):
    found = conclude(told(base, [LOSS, TUNED, HEAD]), "dice", Margin())
    assert found.sentences == (
        "The loss moves macro Dice by 0.052 (dice over ce), tuning thresholds by 0.021, the head by 0.004 (inside the "
        "margin): choose the loss first.",
    )
    assert [one.position for one in found.effects] == ["above", "above", "inside"]


def test_effects_that_are_not_told_apart_are_not_ranked_in_words(base):
    close = told(base, [LOSS, TUNED, HEAD], gaps=[(("loss", "threshold"), -0.001)])
    said = conclude(close, "dice", Margin()).sentences[0]
    assert said.endswith(": the loss and tuning thresholds are not told apart by these images and seeds.")


def test_an_effect_inside_the_margin_is_no_rival_however_close(base):
    close = told(base, [LOSS, HEAD], gaps=[(("loss", "head"), -0.001)])
    assert conclude(close, "dice", Margin()).sentences[0].endswith(": choose the loss first.")


def test_nothing_beyond_the_margin_is_said_to_matter_or_not_to_be_settled(base):
    small = told(base, [HEAD])
    assert "none of it matters in practice" in conclude(small, "dice", Margin()).sentences[0]
    open_ = told(base, [("loss", "dice", "ce", 0.02, -0.01, 0.05), HEAD])
    said = conclude(open_, "dice", Margin()).sentences[0]
    assert "the loss" in said.lower()
    assert "(not settled: -0.010 to 0.050)" in said
    assert said.endswith("these images and seeds do not settle whether any of it matters.")


def test_an_unsettled_loss_of_the_first_is_told_as_a_gain_of_the_second(base):
    said = conclude(told(base, [("head", "sigmoid", "softmax", -0.02, -0.05, 0.01)]), "dice", Margin()).sentences[0]
    assert "The head moves macro Dice by 0.020 (not settled: -0.010 to 0.050)" in said


def test_a_smaller_effect_may_be_the_only_one_that_is_settled(base):
    mixed = told(base, [("loss", "dice", "ce", 0.03, -0.01, 0.07), TUNED])
    said = conclude(mixed, "dice", Margin()).sentences[0]
    assert said.endswith(": these images and seeds settle it only for tuning thresholds.")


def test_the_margin_decides_what_matters(base):
    wide = conclude(told(base, [LOSS, TUNED, HEAD]), "dice", Margin(dice=0.07))
    assert [one.position for one in wide.effects] == ["inside"] * 3
    assert "none of it matters in practice" in wide.sentences[0]


def test_one_seed_is_said_in_the_sentence(base):
    said = conclude(told(base, [LOSS, TUNED], seeds=(0,)), "dice", Margin()).sentences[0]
    assert said.endswith("choose the loss first, as far as one seed can tell.")


def test_thresholds_that_harm_are_to_be_left_alone(base):
    harm = ("threshold", "tuned", "p > 0.5", -0.08, -0.1, -0.06)
    said = conclude(told(base, [harm, LOSS]), "dice", Margin()).sentences[0]
    assert "Tuning thresholds moves macro Dice by 0.080 (for the worse)" in said
    assert said.endswith(": keep the thresholds as they were.")


def test_an_average_that_hides_opposite_effects_is_said_to(base):
    opposite = [
        ("head", "sigmoid", "softmax", "as trained", "ce", "", 0.05, 0.04, 0.06),
        ("head", "sigmoid", "softmax", "as trained", "dice", "", -0.045, -0.05, -0.04),
    ]
    said = conclude(told(base, [LOSS, HEAD], contrasts=opposite), "dice", Margin()).sentences
    assert (
        "What the head does depends on the rest, and its average hides it: sigmoid over softmax gains +0.050 with ce, "
        "and -0.045 with dice."
    ) in said


def test_only_what_mattered_can_turn_out_to_be_the_threshold(base):
    left = [
        ("head", "sigmoid", "softmax", "tuned thresholds", MEAN, "", 0.001, 0.0, 0.002),
        ("loss", "dice", "ce", "tuned thresholds", "", MEAN, 0.002, -0.001, 0.004),
    ]
    said = conclude(told(base, [LOSS, HEAD], contrasts=left), "dice", Margin()).sentences
    assert "What looked like the loss was the threshold." in said


def test_without_numbers_nothing_is_said(base):
    assert conclude(told(base, []), "dice", Margin()).sentences == ("Nothing can be said about macro Dice.",)


# Edges -------------------------------------------------------------------------------------------------------------


def one_run(tmp_path, name, **options):
    kind = options.get("kind", "binary")
    outputs = outputs_of(kind, seed=len(name), images=options.get("images", 12))
    return write_run(tmp_path, name, outputs, **{"kind": kind, "splits": ("test",)} | options)


def test_no_run_and_a_run_named_twice_are_refused(tmp_path):
    with pytest.raises(RunError, match="there is no run to compare"):
        compare([])
    run = one_run(tmp_path, "one")
    with pytest.raises(RunError, match="one is named twice"):
        compare([run, run])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"fingerprint": "g"}, "files of Blobs have changed"),
        ({"kind": "overlapping"}, "kind of truth binary and overlapping"),
        ({"images": 11}, "test images 12 and 11"),
    ],
)
def test_runs_of_other_data_are_refused_with_the_reason(tmp_path, other, said):
    runs = [one_run(tmp_path, "one"), one_run(tmp_path, "two", loss="dice", **other)]
    with pytest.raises(RunError, match=said):
        compare(runs)


def test_other_groups_and_other_splits_are_refused(tmp_path):
    groups = {str(number): f"g{number % 10}" for number in range(12)}
    one = one_run(tmp_path, "one")
    with pytest.raises(RunError, match="do not resample the same groups"):
        compare([one, one_run(tmp_path, "two", groups=groups)])
    with pytest.raises(RunError, match="no split in common"):
        compare([one, one_run(tmp_path, "three", splits=("val",))])


def test_counts_of_other_images_are_refused(tmp_path):
    runs = [one_run(tmp_path, "one"), one_run(tmp_path, "two", loss="dice")]
    counts = runs[1].counts("test", "softmax", 0)
    other = replace(counts, images=counts.images[::-1])
    with RunWriter.open(tmp_path, "two", copy_of=runs[1].folder) as run:
        folder = run.folder / counts_folder("test", "softmax", 0, "raw")
        shutil.rmtree(folder)  # links: the files of the run they are of stay
        with CountsWriter(folder) as writer:
            writer.write(other)
        changed = Run(run.commit(data_fingerprint=runs[1].manifest["data_fingerprint"]))
    with pytest.raises(RunError, match="two was counted on other images"):
        compare([runs[0], changed])


def test_groups_are_resampled_where_evaluation_did(tmp_path):
    groups = {str(number): f"g{number % 10}" for number in range(20)}
    found = compare([one_run(tmp_path, "one", groups=groups, images=20)], replicates=REPLICATES)
    assert (found.unit, found.units, found.images) == ("groups", 10, 20)
    assert "20 images in 10 groups" in text(found, Margin())


def test_runs_that_share_a_loss_are_called_by_their_names(tmp_path):
    runs = [one_run(tmp_path, name, loss=loss) for name, loss in (("one", "ce"), ("two", "dice"), ("three", "dice"))]
    found = compare(runs, replicates=REPLICATES)
    assert found.labels == ("ce", "dice (three)", "dice (two)")
    assert found.factor == "run"


def test_what_differs_beside_the_loss_is_listed_and_the_factor_is_the_run(tmp_path):
    runs = [one_run(tmp_path, "one"), one_run(tmp_path, "two", loss="dice", encoder="resnet34", epochs=3, threads=4)]
    found = compare(runs, replicates=REPLICATES)
    assert found.factor == "run"
    note = next(one for one in found.notes if one.startswith("It is not the loss alone"))
    assert "encoder (ce: resnet18; dice: resnet34)" in note
    assert "epochs (ce: 2; dice: 3)" in note
    assert "threads" not in note
    assert "choice of run" in conclude(found, "dice", Margin()).sentences[0]


def test_other_seeds_are_listed_and_paired_by_their_places(tmp_path):
    runs = [
        write_run(tmp_path, loss, outputs_of("binary", seed=0, seeds=seeds), kind="binary", loss=loss)
        for loss, seeds in (("ce", (0, 1)), ("dice", (2, 3, 4)))
    ]
    found = compare(runs, replicates=REPLICATES)
    assert [run.seeds for run in found.runs] == [(0, 1), (2, 3)]
    assert any("seeds (ce: 0, 1; dice: 2, 3)" in note for note in found.notes)
    assert any("left out (dice: 4)" in note for note in found.notes)
    assert "2 seeds are few" in " ".join(found.notes)


def test_only_seeds_that_all_runs_share_are_compared(tmp_path):
    seeds = {"ce": (0, 1, 2), "dice": (1, 2, 3)}
    outputs = {loss: outputs_of("binary", seed=0, seeds=some) for loss, some in seeds.items()}
    runs = [write_run(tmp_path, loss, outputs[loss], kind="binary", loss=loss) for loss in seeds]
    found = compare(runs, replicates=REPLICATES)
    assert {run.seeds for run in found.runs} == {(1, 2)}
    assert any("left out (ce: 0; dice: 3)" in note for note in found.notes)
    assert found.factor == "loss"
    # Both runs hold the same outputs of the shared seeds.
    assert main_of(found, "dice", "loss")["gain"] == 0


def test_seeds_widen_the_interval_by_how_much_they_differ(tmp_path):
    # Every image is the same and so is every replicate: all uncertainty is the seeds'. Hits 4, 3 and 2 of 4 against 2.
    outputs = {("sigmoid", seed, "raw"): hits(4 - seed) for seed in range(3)}
    outputs |= {("softmax", seed, "raw"): hits(2) for seed in range(3)}
    found = compare([write_run(tmp_path, "one", outputs, kind="binary", images=10, splits=("test",))])
    head = main_of(found, "dice", "head")
    gains = np.array([1, 6 / 7, 4 / 6]) - 4 / 6
    assert head["gain"] == pytest.approx(gains.mean())
    # Student's t with 2 degrees of freedom: mean ± 4.30 s / √3, up to what 2,000 draws leave of it
    half = 4.303 * gains.std(ddof=1) / np.sqrt(3)
    assert head["high"] - head["gain"] == pytest.approx(half, rel=0.1)
    assert head["gain"] - head["low"] == pytest.approx(half, rel=0.1)


def test_loaded_networks_say_that_their_training_is_not_known(tmp_path):
    runs = [one_run(tmp_path, "one"), one_run(tmp_path, "two", loss="dice", loaded=True)]
    found = compare(runs, replicates=REPLICATES)
    assert found.labels == ("ce", "two")
    assert "two: loaded" in " ".join(found.notes)


def test_without_validation_there_is_no_threshold_and_no_temperature_but_a_note(tmp_path):
    found = compare([one_run(tmp_path, "one"), one_run(tmp_path, "two", loss="dice")], replicates=REPLICATES)
    assert set(found.contrasts["factor"]) == {"loss", "head"}
    assert set(found.table["threshold"]) == {"p > 0.5"}
    assert "No thresholds were tuned in ce, dice" in found.notes[0]


def test_thresholds_are_never_judged_on_the_split_they_were_tuned_on(tmp_path):
    outputs = outputs_of("binary", seed=0)
    run = write_run(tmp_path, "one", outputs, kind="binary", splits=("val",), thresholds=tuned("binary", outputs))
    found = compare([run], replicates=REPLICATES)
    assert "threshold" not in set(found.contrasts["factor"])
    assert any("no test predictions" in note for note in found.notes)
    assert any("Judged on val" in note for note in found.notes)


def test_tuned_thresholds_that_lack_a_head_are_an_error_with_what_to_do(tmp_path):
    outputs = outputs_of("binary", seed=0)
    noted = tuned("binary", outputs)
    del noted["raw"]["softmax"]
    run = write_run(tmp_path, "one", outputs, kind="binary", thresholds=noted)
    with pytest.raises(RunError, match="no tuned thresholds for softmax, seed 0, raw; run evaluate"):
        compare([run])


def test_one_run_alone_tells_the_head_from_threshold_and_temperature(tmp_path):
    outputs = outputs_of("overlapping", seed=0, temperature=1.5)
    run = write_run(tmp_path, "one", outputs, thresholds=tuned("overlapping", outputs))
    found = compare([run], replicates=REPLICATES)
    assert set(found.effects["factor"]) == {"head", "threshold", "temperature"}
    assert len(found.table) == 2 * 2 * 2
    assert not any("argmax" in note for note in found.notes)


def test_one_head_alone_has_nothing_to_be_compared_with(tmp_path):
    run = write_run(tmp_path, "one", outputs_of("binary", seed=0, heads=("sigmoid",)), kind="binary", splits=("test",))
    with pytest.raises(RunError, match="nothing to compare"):
        compare([run])


def test_heads_that_not_every_run_has_are_left_out(tmp_path):
    runs = [
        write_run(tmp_path, loss, outputs_of("overlapping", seed=0, heads=heads), loss=loss)
        for loss, heads in (("ce", (*HEADS, "softmax-powerset")), ("dice", HEADS))
    ]
    found = compare(runs, replicates=REPLICATES)
    assert found.heads == HEADS
    assert "Not every run has softmax-powerset: left out." in found.notes
    with pytest.raises(RunError, match="no head in common"):
        compare([
            write_run(tmp_path, head, outputs_of("binary", seed=0, heads=(head,)), kind="binary", loss=loss)
            for loss, head in (("ce", "sigmoid"), ("dice", "softmax"))
        ])  # fmt: skip


def test_three_heads_have_three_pairs(tmp_path):
    heads = (*HEADS, "softmax-powerset")
    found = compare([write_run(tmp_path, "one", outputs_of("overlapping", seed=0, heads=heads))], replicates=REPLICATES)
    rows = found.contrasts[(found.contrasts["factor"] == "head") & (found.contrasts["measure"] == "dice")]
    assert {(row["first"], row["second"]) for row in rows.to_dict("records")} == set(combinations(heads, 2))


def test_one_image_has_values_but_no_interval(tmp_path):
    found = compare([one_run(tmp_path, "one", images=1), one_run(tmp_path, "two", loss="dice", images=1)])
    assert found.table["dice"].notna().all()
    assert found.contrasts[["low", "high"]].isna().all(axis=None)
    said = conclude(found, "dice", Margin()).sentences[0]
    assert said.endswith("one image has no spread, so nothing can be said of others.")
    assert all(one.position == "open" for one in conclude(found, "dice", Margin()).effects)
    assert any("One image has no spread" in note for note in found.notes)


def test_without_any_truth_nothing_is_compared(tmp_path):
    empty = [(log_odds, np.zeros_like(truth), valid) for log_odds, truth, valid in images_of("binary", seed=0)]
    outputs = {(head, 0, "raw"): empty for head in HEADS}
    found = compare([write_run(tmp_path, "one", outputs, kind="binary", splits=("test",))], replicates=REPLICATES)
    assert found.contrasts.empty
    assert conclude(found, "dice", Margin()).sentences == ("Nothing can be said about macro Dice.",)
    assert "none" in text(found, Margin())


def test_exclusive_truth_has_argmax_beside_both_thresholds(tmp_path):
    outputs = outputs_of("exclusive", seed=0)
    run = write_run(tmp_path, "one", outputs, kind="exclusive", thresholds=tuned("exclusive", outputs))
    found = compare([run], replicates=REPLICATES)
    assert set(found.table["threshold"]) == {"argmax", "p > 0.5", "tuned"}
    assert any("tuned thresholds call each class against the rest" in note for note in found.notes)
    assert (main_of(found, "dice", "threshold")["first"], main_of(found, "dice", "threshold")["second"]) == (
        "tuned", "argmax",
    )  # fmt: skip
    cell = found.table.set_index(["head", "threshold"])["dice"]
    gain = np.mean([cell[head, "tuned"] - cell[head, "argmax"] for head in HEADS])
    assert main_of(found, "dice", "threshold")["gain"] == pytest.approx(gain)


def test_margin_of_brier_is_a_share_of_its_mean_as_trained(base):
    raw = base.table[base.table["temperature"] == "as trained"]["brier"].mean()
    assert margin_of(base, "brier", Margin(brier_relative=0.1)) == pytest.approx(0.1 * raw)
    assert margin_of(base, "iou", Margin(dice=0.02)) == 0.02
    assert margin_of(base, "classwise_ece", Margin(classwise_ece=0.03)) == 0.03


# Command line ------------------------------------------------------------------------------------------------------


def test_the_command_prints_the_grid_and_the_sentence_and_gives_json(folder):
    two_runs(folder)
    runner = CliRunner()
    shown = runner.invoke(cli.app, ["compare", "run-ce", "run-dice", "--runs", str(folder)])
    assert shown.exit_code == 0, shown.output
    found = compare([Run(folder / "run-ce"), Run(folder / "run-dice")])
    assert shown.stdout.strip() == text(found, Margin())
    told_json = json.loads(
        runner.invoke(
            cli.app, ["compare", "run-ce", "run-dice", "--json", "--margin", "0.3", "--runs", str(folder)]
        ).stdout
    )
    assert told_json == json.loads(json.dumps(as_json(found, Margin(dice=0.3))))
    assert {one["measure"] for one in told_json["conclusions"]} == set(MEASURES)
    assert len(told_json["table"]) == 16
    assert "none of it matters in practice" in told_json["conclusions"][0]["sentences"][0]


@pytest.mark.parametrize(
    ("arguments", "said"), [(["one", "nothing"], "no run nothing"), (["one", "one"], "named twice"),
                            (["one", "--margin", "2"], "dice")]
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(tmp_path, arguments, said):
    one_run(tmp_path, "one")
    done = CliRunner().invoke(cli.app, ["compare", *arguments, "--runs", str(tmp_path)])
    assert isinstance(done.exception, PipelineError)
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
