"""The rule of docs/verdict.md, case by case, on tables of metrics written by hand."""

import json
import math

import pandas as pd
import pytest

from pipelines.judgement import Margin
from pipelines.schema import ALL_SEEDS
from pipelines.verdict.evidence import Estimate
from pipelines.verdict.rule import decide


def dataset(kind="exclusive", *, overlap=0.0, ceiling=1.0, shares=(0.5, 0.5), absent_in_val=None, absent_in_test=None):
    return {
        "kind": kind,
        "exclusive": overlap == 0.0,
        "overlap_share_labelled": overlap,
        "ceiling_macro_dice": ceiling,
        "ceiling_macro_iou": ceiling,
        "class_facts": [{"name": f"c{k}", "share": share} for k, share in enumerate(shares)],
        "splits": [
            {"split": split, "images": 40, "class_pixels": {f"c{k}": 100 for k in range(len(shares))} | absent}
            for split, absent in (("train", {}), ("val", absent_in_val or {}), ("test", absent_in_test or {}))
        ],
    }


def facts(warning=None, count=40):
    return {"replicates": 2000, "resampling": {"test": {"unit": "images", "count": count, "warning": warning}}}


def metrics(dice, *, seeds=3, brier=(0.0, -0.0001, 0.0001), powerset=None, levels=(0.8, 0.8)):
    """dice, brier, powerset: (value, low, high) of the macro difference sigmoid minus softmax (or label sets)."""
    rows = []

    def add(head, metric, numbers, *, seed, variant="raw", class_name="macro"):
        value, low, high = numbers
        rows.append(
            {"head": head, "seed": seed, "split": "test", "variant": variant, "region": "all", "class": class_name,
             "metric": metric, "value": value, "low": low, "high": high, "images": 40}
        )  # fmt: skip

    gaps = {"difference": dice} | ({} if powerset is None else {"difference-powerset": powerset})
    for seed in (*range(seeds), ALL_SEEDS):
        for head, gap in gaps.items():
            for variant in ("raw", "temperature"):
                add(head, "dice", gap, seed=seed, variant=variant)
                add(head, "brier", brier, seed=seed, variant=variant)
                add(head, "classwise_ece", (0.001, -0.001, 0.002), seed=seed, variant=variant)
        for head, level in zip(("sigmoid", "softmax", "softmax-powerset"), (*levels, levels[1]), strict=True):
            for variant in ("raw", "temperature"):
                add(head, "dice", (level, level, level), seed=seed, variant=variant)
                add(head, "brier", (0.05, 0.04, 0.06), seed=seed, variant=variant)
                add(head, "classwise_ece", (0.03 if variant == "raw" else 0.01, 0, 1), seed=seed, variant=variant)
    return pd.DataFrame(rows)


BETTER, WORSE, SAME, OPEN = (0.05, 0.03, 0.07), (-0.05, -0.07, -0.03), (0.001, -0.004, 0.006), (0.012, -0.005, 0.03)
OVERLAP = {"kind": "overlapping", "overlap": 0.4, "ceiling": 0.85}


def answer(data, table, **options):
    return decide(data, table, facts(), **options).answer


# Exclusive truth: measured only, three seeds needed ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("gap", "expected"),
    [(BETTER, "sigmoid"), (WORSE, "softmax"), (SAME, "no practical difference"), (OPEN, "not enough evidence")],
)
def test_exclusive_truth_with_three_seeds_follows_the_interval(gap, expected):
    assert answer(dataset(), metrics(gap)) == expected


@pytest.mark.parametrize("gap", [BETTER, WORSE, SAME, OPEN])
@pytest.mark.parametrize("seeds", [1, 2])
def test_exclusive_truth_with_fewer_than_three_seeds_is_never_settled(gap, seeds):
    judged = decide(dataset(), metrics(gap, seeds=seeds), facts())
    assert judged.answer == "not enough evidence"
    assert judged.confidence == "tentative"
    assert any("seed" in item for item in judged.would_change)


def test_one_seed_says_where_it_leans():
    assert "leans to softmax" in decide(dataset(), metrics(WORSE, seeds=1), facts()).headline
    assert "leans to no practical difference" in decide(dataset(), metrics(SAME, seeds=1), facts()).headline


# Nothing to find: Dice has no value --------------------------------------------------------------------------------

NOTHING = (math.nan, math.nan, math.nan)


@pytest.mark.parametrize("seeds", [1, 3])
@pytest.mark.parametrize("powerset", [None, NOTHING])
def test_a_test_split_with_nothing_to_find_is_said_in_words_everywhere(seeds, powerset):
    data = dataset("binary", shares=(0.1,), absent_in_test={"c0": 0})
    table = metrics(NOTHING, seeds=seeds, brier=NOTHING, powerset=powerset, levels=(math.nan, math.nan))
    judged = decide(data, table, facts())
    why = "no pixel of test carries c0, so Dice has no value"
    assert (judged.answer, judged.confidence) == ("not enough evidence", "tentative")
    assert judged.headline == f"Not known: {why}."
    assert judged.reasons[0].code == "DICE-UNDEFINED"
    assert judged.reasons[0].text.lower().startswith(why.lower())
    assert judged.would_change == ("Images in test with c0: without them nothing is measured.",)
    assert "nan" not in judged.text().lower()
    json.loads(judged.model_dump_json(), parse_constant=pytest.fail)


def test_one_head_alone_says_the_same():
    data = dataset("binary", shares=(0.1,), absent_in_test={"c0": 0})
    table = metrics(NOTHING, brier=NOTHING, levels=(math.nan, math.nan))
    judged = decide(data, table[table["head"] == "sigmoid"], facts())
    assert judged.headline == "Only the sigmoid head is here, and no pixel of test carries c0, so Dice has no value."
    assert judged.reasons[0].code == "DICE-UNDEFINED"
    assert "nan" not in judged.text().lower()


def test_classes_that_val_or_test_lacks_are_named_with_what_follows():
    data = dataset(shares=(0.4, 0.3, 0.3), absent_in_val={"c1": 0, "c2": 0}, absent_in_test={"c2": 0})
    judged = decide(data, metrics(SAME), facts())
    (reason,) = [one for one in judged.reasons if one.code == "ABSENT-CLASSES"]
    assert reason.text == (
        "No pixel of test carries c2: no score there, and macro is the mean of the others. No pixel of val carries c1 "
        "or c2, so their thresholds could not be tuned and stay at 0.5; a temperature of a class's own stays at 1."
    )
    assert not [one for one in decide(dataset(), metrics(SAME), facts()).reasons if one.code == "ABSENT-CLASSES"]


# Equal accuracy: the proper score decides --------------------------------------------------------------------------


def test_equal_dice_and_a_brier_difference_beyond_five_percent_decides():
    # margin: 5% of 0.05 = 0.0025; sigmoid minus softmax 0.004 [0.003, 0.005]: sigmoid's Brier score is worse
    assert answer(dataset(), metrics(SAME, brier=(0.004, 0.003, 0.005))) == "softmax"
    assert answer(dataset(), metrics(SAME, brier=(-0.004, -0.005, -0.003))) == "sigmoid"


def test_equal_dice_and_a_brier_interval_over_its_margin_is_no_practical_difference():
    assert answer(dataset(), metrics(SAME, brier=(0.002, -0.001, 0.005))) == "no practical difference"


def test_brier_does_not_override_dice():
    assert answer(dataset(), metrics(BETTER, brier=(0.004, 0.003, 0.005))) == "sigmoid"


# Overlapping truth -------------------------------------------------------------------------------------------------


def test_overlap_that_binds_and_a_measurement_that_agrees_needs_no_further_seed():
    judged = decide(dataset(**OVERLAP), metrics(BETTER, seeds=1), facts())
    assert judged.answer == "sigmoid"
    assert judged.confidence == "tentative"
    assert judged.reasons[0].supports == "sigmoid"
    assert "0.850" in judged.reasons[0].text


def test_overlap_alone_without_a_measured_difference_is_not_enough():
    assert answer(dataset(**OVERLAP), metrics(OPEN)) == "not enough evidence"
    assert answer(dataset(**OVERLAP), metrics(SAME, seeds=1)) == "not enough evidence"


def test_overlap_that_binds_and_pairs_that_all_agree_are_enough_though_their_mean_is_open():
    table = metrics(BETTER)
    mean = (table["head"] == "difference") & (table["metric"] == "dice") & (table["seed"] == ALL_SEEDS)
    table.loc[mean, ["value", "low", "high"]] = (0.044, 0.008, 0.080)
    judged = decide(dataset(**OVERLAP), table, facts())
    assert (judged.answer, judged.confidence, judged.images_needed) == ("sigmoid", "tentative", None)
    assert judged.headline == "Sigmoid: better in all 3 trained pairs, by 0.044 Dice on average."
    assert any("More seeds" in item for item in judged.would_change)
    assert answer(dataset(), table) == "not enough evidence"  # without theory a measurement alone must settle it
    one = (table["head"] == "difference") & (table["metric"] == "dice") & (table["seed"] == 1)
    table.loc[one, "low"] = 0.005
    assert answer(dataset(**OVERLAP), table) == "not enough evidence"


def test_a_softmax_that_beats_sigmoid_in_spite_of_the_ceiling_needs_three_seeds():
    assert answer(dataset(**OVERLAP), metrics(WORSE, seeds=1)) == "not enough evidence"
    assert answer(dataset(**OVERLAP), metrics(WORSE)) == "softmax"


def test_label_sets_are_named_only_when_they_beat_sigmoid_by_the_margin():
    equal = decide(dataset(**OVERLAP), metrics(BETTER, powerset=SAME), facts())
    assert (equal.answer, equal.contender) == ("sigmoid", "softmax")
    better = decide(dataset(**OVERLAP), metrics(BETTER, powerset=WORSE), facts())
    assert (better.answer, better.contender) == ("softmax", "softmax-powerset")
    assert "label sets" in better.headline
    one_seed = decide(dataset(**OVERLAP), metrics(BETTER, powerset=WORSE, seeds=1), facts())
    assert one_seed.answer == "not enough evidence"


def test_both_contenders_get_a_reason():
    codes = [reason.code for reason in decide(dataset(**OVERLAP), metrics(BETTER, powerset=SAME), facts()).reasons]
    assert {"DICE-SOFTMAX", "DICE-SOFTMAX-POWERSET"} <= set(codes)


def test_little_overlap_counts_as_no_reason_for_sigmoid():
    judged = decide(dataset("overlapping", overlap=0.001, ceiling=0.998), metrics(BETTER, seeds=1), facts())
    assert judged.reasons[0].supports == "neither"
    assert judged.answer == "not enough evidence"  # nothing backs a single seed


# One class ---------------------------------------------------------------------------------------------------------


def test_one_class_measured_equal_needs_one_seed_because_theory_agrees():
    judged = decide(dataset("binary", shares=(0.3,)), metrics(SAME, seeds=1), facts())
    assert judged.answer == "no practical difference"
    assert "two-class softmax is the sigmoid" in judged.reasons[0].text


def test_one_class_measured_different_needs_three_seeds():
    assert answer(dataset("binary", shares=(0.3,)), metrics(WORSE, seeds=1)) == "not enough evidence"
    assert answer(dataset("binary", shares=(0.3,)), metrics(WORSE)) == "softmax"


# Margins, intervals, warnings --------------------------------------------------------------------------------------


def test_a_wider_margin_turns_a_difference_into_none_and_a_narrower_one_opens_it():
    table = metrics((0.02, 0.015, 0.025))
    assert answer(dataset(), table) == "sigmoid"
    assert answer(dataset(), table, margin=Margin(dice=0.03)) == "no practical difference"
    assert answer(dataset(), table, margin=Margin(dice=0.02)) == "not enough evidence"


def test_more_images_shrink_the_interval_with_the_root_of_their_number():
    # half width 0.0175, room to the margin |0.012 - 0.01| = 0.002: 76.6 times the 40 images, minus them
    assert Estimate(0.012, -0.0055, 0.0295).more_units(0.01, 40) == math.ceil(40 * ((0.0175 / 0.002) ** 2 - 1))
    assert Estimate(0.0101, -0.02, 0.04).more_units(0.01, 40) is None  # too close to the margin
    assert decide(dataset(), metrics((0.0, -0.02, 0.02)), facts()).images_needed == 120  # twice the width: 4 × 40 - 40


def test_what_comes_from_the_seeds_is_not_shrunk_by_images():
    # room (0.02 / 0.03)² = 0.444 of the squared width; 0.2 of it stays: the images' 0.8 must shrink to 0.244
    assert Estimate(0.0, -0.03, 0.03).more_units(0.02, 50, fixed=0.2) == math.ceil(50 * (0.8 / (4 / 9 - 0.2) - 1))
    assert Estimate(0.0, -0.03, 0.03).more_units(0.02, 50, fixed=0.5) is None


def test_an_open_question_of_the_seeds_asks_for_seeds():
    table = metrics((0.0, -0.02, 0.02)).assign(standard_error=0.01)
    spread = {0: -0.02, 1: 0.0, 2: 0.02}  # variance 0.0004 / 3 seeds: more than 0.01²
    at = (table["head"] == "difference") & (table["metric"] == "dice")
    table.loc[at, "value"] = table.loc[at, "seed"].map(spread | {ALL_SEEDS: 0.0})
    judged = decide(dataset(), table, facts())
    assert judged.images_needed is None
    assert any("More seeds" in item for item in judged.would_change)


def test_a_skewed_interval_is_judged_by_the_side_that_crosses_the_margin():
    # 0.02 [0.008, 0.025]: down to the margin 0.01 there is room for 0.010, the lower side is 0.012 wide: 1.44 times 40
    assert Estimate(0.02, 0.008, 0.025).more_units(0.01, 40) == 18


def test_an_open_brier_question_is_no_strong_answer_and_is_said():
    judged = decide(dataset(), metrics(SAME, brier=(0.002, -0.001, 0.005)), facts())
    assert judged.confidence == "tentative"
    assert any("probabilities" in item for item in judged.would_change)
    assert decide(dataset(), metrics(SAME), facts()).confidence == "strong"


def test_a_verdict_on_validation_is_tentative_and_says_why():
    table = metrics(BETTER).assign(split="val")
    judged = decide(dataset(), table, {"resampling": {"val": facts()["resampling"]["test"]}})
    assert judged.confidence == "tentative"
    assert any(reason.code == "NOT-TEST" for reason in judged.reasons)


def test_without_intervals_nothing_is_settled():
    nan = float("nan")
    assert answer(dataset(), metrics((0.3, nan, nan))) == "not enough evidence"


def test_a_warning_about_groups_is_a_reason_for_caution_and_makes_the_verdict_tentative():
    judged = decide(dataset(), metrics(BETTER), facts(warning="2 groups in this split"))
    assert judged.confidence == "tentative"
    assert [reason.supports for reason in judged.reasons if reason.code == "INTERVALS"] == ["caution"]


def test_temperature_that_matters_more_than_the_head_is_said():
    text = next(
        reason.text for reason in decide(dataset(), metrics(SAME), facts()).reasons if reason.code == "TEMPERATURE"
    )
    # raw 0.03 to 0.01 after temperature, against a difference of heads of 0.001
    assert "-0.0200" in text
    assert "more than the head" in text


def test_an_open_question_is_never_strong():
    assert decide(dataset(), metrics(BETTER), facts()).confidence == "strong"
    assert decide(dataset(), metrics(OPEN), facts()).confidence == "tentative"


def test_rare_classes_are_named():
    judged = decide(dataset(shares=(0.99, 0.002)), metrics(SAME), facts())
    assert any(reason.code == "RARE-CLASSES" and "c1" in reason.text for reason in judged.reasons)


def test_every_answer_has_a_headline_reasons_and_a_text():
    for gap in (BETTER, WORSE, SAME, OPEN):
        judged = decide(dataset(), metrics(gap), facts())
        assert judged.headline
        assert len(judged.reasons) >= 4
        assert judged.headline in judged.text()


# Threshold, temperature and training against the head --------------------------------------------------------------


def with_rows(table, *rows):
    """The table with further rows of all seeds: (head, metric, variant, (value, low, high))."""
    added = [
        {"head": head, "seed": ALL_SEEDS, "split": "test", "variant": variant, "region": "all", "class": "macro",
         "metric": metric, "value": value, "low": low, "high": high, "images": 40}
        for head, metric, variant, (value, low, high) in rows
    ]  # fmt: skip
    replaced = pd.DataFrame(added)
    keys = ["head", "seed", "variant", "class", "metric"]
    old = table.merge(replaced[keys], on=keys, how="left", indicator=True)["_merge"] == "left_only"
    return pd.concat([table[old.to_numpy()], replaced], ignore_index=True)


def tuned(gap, *, dice=BETTER, **options):
    """Sigmoid 0.80, softmax 0.75 at p > 0.5; at tuned thresholds 0.81 and 0.81 minus the gap."""
    level = 0.81 - gap[0]
    return with_rows(
        metrics(dice, levels=(0.80, 0.75), **options),
        ("sigmoid", "dice_tuned", "raw", (0.81, 0.80, 0.82)),
        ("softmax", "dice_tuned", "raw", (level, level, level)),
        ("difference", "dice_tuned", "raw", gap),
    )


def reason_of(judged, code):
    return next((reason for reason in judged.reasons if reason.code == code), None)


@pytest.mark.parametrize("data", [dataset(**OVERLAP), dataset("binary", shares=(0.3,))])
def test_a_difference_that_tuned_thresholds_remove_is_the_thresholds(data):
    judged = decide(data, tuned(SAME), facts())
    assert judged.answer == "no practical difference"
    assert "thresholds" in judged.headline
    found = reason_of(judged, "THRESHOLD-DECIDES")
    # 0.81 - 0.80 = +0.010 for sigmoid, 0.809 - 0.75 = +0.059 for softmax
    assert "+0.010 (sigmoid) and +0.059 (softmax)" in found.text


def test_labels_equal_at_tuned_thresholds_leave_the_choice_to_the_probabilities():
    judged = decide(dataset(**OVERLAP), tuned(SAME, brier=(-0.004, -0.005, -0.003)), facts())
    assert judged.answer == "sigmoid"
    assert "probabilities" in judged.headline
    assert "threshold" in judged.headline


def test_one_seed_does_not_settle_what_thresholds_explain():
    assert decide(dataset(**OVERLAP), tuned(SAME, seeds=1), facts()).answer == "not enough evidence"


def test_a_difference_that_stays_at_tuned_thresholds_is_the_heads():
    judged = decide(dataset(**OVERLAP), tuned(BETTER), facts())
    assert judged.answer == "sigmoid"
    assert "no more than the head" in reason_of(judged, "THRESHOLD").text


def test_exclusive_labels_are_read_by_argmax_so_no_threshold_explains_them():
    assert decide(dataset(), tuned(SAME), facts()).answer == "sigmoid"


def test_a_brier_difference_that_temperature_removes_is_the_temperatures():
    # margin 5% of 0.05 = 0.0025: raw 0.004 lies above it, after temperature 0.0000 inside
    table = with_rows(metrics(SAME), ("difference", "brier", "raw", (0.004, 0.003, 0.005)))
    judged = decide(dataset(), table, facts())
    assert judged.answer == "no practical difference"
    assert "+0.0040" in reason_of(judged, "TEMPERATURE-DECIDES").text
    assert reason_of(judged, "TEMPERATURE") is None


def test_the_swap_test_tells_training_from_reading():
    rows = {
        "reading-of-sigmoid": (0.002, 0.001, 0.003), "reading-of-softmax": (-0.004, -0.005, -0.003),
        "training-read-as-softmax": (0.05, 0.04, 0.06), "training-read-as-sigmoid": (0.044, 0.03, 0.05),
    }  # fmt: skip
    table = with_rows(metrics(BETTER), *((row, "dice", "raw", gap) for row, gap in rows.items()))
    found = reason_of(decide(dataset(**OVERLAP), table, facts()), "SWAP")
    # training (0.05 + 0.044) / 2 = 0.047 against reading (0.002 + 0.004) / 2 = 0.003
    assert found.value == pytest.approx(0.044)
    assert "Training accounts for more" in found.text


def test_on_exclusive_truth_the_swap_test_looks_at_probabilities_because_argmax_stays():
    rows = {
        "reading-of-sigmoid": (-0.02, -0.03, -0.01), "reading-of-softmax": (-0.01, -0.02, -0.005),
        "training-read-as-softmax": (0.001, 0.0, 0.002), "training-read-as-sigmoid": (0.002, 0.001, 0.003),
    }  # fmt: skip
    table = with_rows(metrics(SAME), *((row, "brier", "raw", gap) for row, gap in rows.items()))
    found = reason_of(decide(dataset(), table, facts()), "SWAP")
    # reading (0.02 + 0.01) / 2 = 0.015 against training (0.001 + 0.002) / 2 = 0.0015
    assert found.value == pytest.approx(0.0015 - 0.015)
    assert "Brier score by -0.020 [-0.030, -0.010]" in found.text
    assert "Reading the output accounts for more" in found.text


def test_classes_are_named_after_holms_correction():
    table = metrics(SAME)
    both = [("c0", 0.05, 0.003), ("c1", 0.04, 0.2)]
    rows = [
        {"head": "difference", "seed": ALL_SEEDS, "split": "test", "variant": "raw", "region": "all", "class": name,
         "metric": "dice", "value": value, "low": value - 0.01, "high": value + 0.01, "images": 40, "p_holm": p}
        for name, value, p in both
    ]  # fmt: skip
    found = reason_of(decide(dataset(), pd.concat([table, pd.DataFrame(rows)], ignore_index=True), facts()), "CLASS")
    assert "Holm" in found.text
    assert found.text.endswith("c0.")


@pytest.mark.parametrize(("replicates", "said"), [(79, "correction for the number of classes: none."), (78, None)])
def test_too_few_replicates_for_holms_correction_are_said(replicates, said):
    # Of 2 classes the smallest corrected p is 2 * 2 / (B + 1), which is 0.05 at B = 79.
    table = metrics(SAME)
    rows = [
        {"head": "difference", "seed": ALL_SEEDS, "split": "test", "variant": "raw", "region": "all", "class": name,
         "metric": "dice", "value": 0.05, "low": 0.04, "high": 0.06, "images": 40, "p_holm": 0.06}
        for name in ("c0", "c1")
    ]  # fmt: skip
    table = pd.concat([table, pd.DataFrame(rows)], ignore_index=True)
    text = reason_of(decide(dataset(), table, facts() | {"replicates": replicates}), "CLASS").text
    assert text.endswith(said or "78 replicates cannot show; evaluate with 80 or more.")


def test_outputs_that_are_something_else_get_no_verdict_and_the_reason_comes_first():
    found = {"code": "PROBABILITIES-AS-LOGITS", "severity": "error", "message": "all logits lie in 0 to 1"}
    wrong = facts() | {"findings": {"test": {"sigmoid": [], "softmax": [found]}}}
    judged = decide(dataset(), metrics(BETTER), wrong)
    assert judged.answer == "not enough evidence"
    assert judged.confidence == "tentative"
    assert judged.reasons[0].code == "OUTPUTS-PROBABILITIES-AS-LOGITS"
    assert "not what they are said to be" in judged.headline
    doubtful = facts() | {"findings": {"test": {"softmax": [found | {"severity": "warning"}]}}}
    assert decide(dataset(), metrics(BETTER), doubtful).answer == "sigmoid"


# Soft truth and observers --------------------------------------------------------------------------------------------


def with_soft(table, *, brier=(0.0, -0.0001, 0.0001), ece=None, observers=None):
    """The table with scores against soft truth; ece: by class, hard and soft difference; observers: their Dice."""
    soft = table[table["metric"].isin(["brier", "classwise_ece"])].copy()
    soft["metric"] = "soft_" + soft["metric"]
    gaps = (soft["metric"] == "soft_brier") & (soft["head"] == "difference")
    soft.loc[gaps, ["value", "low", "high"]] = brier
    rows = []
    common = {"seed": ALL_SEEDS, "split": "test", "region": "all", "images": 40}
    for name, pair in (ece or {}).items():
        for metric, (value, low, high) in zip(("classwise_ece", "soft_classwise_ece"), pair, strict=True):
            numbers = {"value": value, "low": low, "high": high}
            rows.append(
                {**common, "head": "difference", "variant": "temperature", "class": name, "metric": metric, **numbers}
            )
    if observers is not None:
        numbers = dict(zip(("value", "low", "high"), observers, strict=True))
        rows.append(
            {**common, "head": "observers", "variant": "raw", "class": "macro", "metric": "observer_dice", **numbers}
        )
    return pd.concat([table, soft, pd.DataFrame(rows)], ignore_index=True)


def soft_facts():
    return facts() | {"soft_truth": True}


def codes_of(verdict):
    return {reason.code: reason for reason in verdict.reasons}


def test_brier_against_the_soft_truth_decides_where_there_is_one():
    hard = metrics(SAME, brier=(0.01, 0.009, 0.011))  # against hard truth softmax would be the answer
    table = with_soft(hard, brier=(-0.01, -0.011, -0.009))
    assert decide(dataset(), hard, facts()).answer == "softmax"
    verdict = decide(dataset(), table, soft_facts())
    assert verdict.answer == "sigmoid"
    assert codes_of(verdict)["BRIER-SOFTMAX"].text.startswith(
        "Brier score against the soft truth, sigmoid minus softmax"
    )


def test_an_order_that_doubt_turns_round_is_said_only_beyond_noise():
    lower, higher, unsure = (-0.02, -0.03, -0.01), (0.02, 0.01, 0.03), (0.02, -0.01, 0.03)
    turned = decide(
        dataset(), with_soft(metrics(SAME), ece={"c0": (higher, lower), "c1": (lower, lower)}), soft_facts()
    )
    assert "c0 (softmax against hard truth)" in codes_of(turned)["SOFT-TRUTH"].text
    assert "c1" not in codes_of(turned)["SOFT-TRUTH"].text
    for ece in ({"c0": (unsure, lower)}, {"c0": (higher, higher)}):
        assert "SOFT-TRUTH" not in codes_of(decide(dataset(), with_soft(metrics(SAME), ece=ece), soft_facts()))


@pytest.mark.parametrize(
    ("gap", "said"),
    [
        (SAME, "people by 0.130: the heads differ less than people do."),
        ((0.2, 0.18, 0.22), "people by 0.130: the heads differ more than people do."),
        ((0.1, 0.02, 0.2), "people by 0.130: whether the heads differ less than people do is open."),
    ],
)
def test_how_far_people_differ_stands_beside_how_far_the_heads_do(gap, said):
    verdict = decide(dataset(), with_soft(metrics(gap), observers=(0.87, 0.85, 0.89)), soft_facts())
    reason = codes_of(verdict)["OBSERVERS"]
    assert reason.title == "Two observers differ by 0.130 Dice"
    assert reason.text.startswith("One observer's macro Dice with the majority of the others is 0.870 [0.850, 0.890].")
    assert reason.text.endswith(said)


def test_runs_without_observers_say_nothing_of_them():
    assert {"OBSERVERS", "SOFT-TRUTH"}.isdisjoint(codes_of(decide(dataset(), metrics(SAME), facts())))
