"""The numbers of a real run against a slow computation from its predictions parquet, pixel by pixel.

Independent of the pipeline's own statistics: pandas reads the parquet files, numpy, scikit-learn and torchmetrics
compute, in float64, from all pixels at once; no cell, bin or count of the project's is used.
"""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics.functional.classification as tm
from scipy.ndimage import distance_transform_edt
from scipy.special import expit, log_softmax, logit, softmax
from sklearn import metrics as sk

from pipelines.counting import grid
from pipelines.schema import HEADS, SWAP_DIFFERENCES
from pipelines.store.runs import Run

KINDS = {"landcover": "exclusive", "cells": "overlapping", "vessels": "binary"}


@pytest.fixture(scope="module", params=list(KINDS))
def run(request, real_runs):
    return Run(real_runs / request.param)


def pixels(run, head, *, split="test", seed=0):
    """Valid pixels: p (C, M) and truth (C, M), their image (M,), logits (K, M) if softmax, from parquet by pandas."""
    folder = run.folder / "predictions" / f"split={split}" / f"head={head}" / f"seed={seed}"
    frame = pd.read_parquet(folder, engine="pyarrow", partitioning=None)
    frame = frame[frame["valid"]]
    classes = run.dataset["classes"]
    log_odds = np.stack([frame[f"log_odds_{name}"].to_numpy(np.float64) for name in classes])
    truth = np.stack([frame[f"truth_{name}"].to_numpy(bool) for name in classes])
    return log_odds, truth, frame["image"].to_numpy()


def value(run, metric, *, head, class_name="macro", variant="raw", seed=0, region="all"):
    rows = run.metrics()
    found = rows[
        (rows["head"] == head) & (rows["metric"] == metric) & (rows["class"] == class_name) & (rows["seed"] == seed)
        & (rows["variant"] == variant) & (rows["region"] == region) & (rows["split"] == "test")
    ]  # fmt: skip
    assert len(found) == 1, (head, metric, class_name)
    return found["value"].iloc[0]


def close(found, expected):
    assert found == pytest.approx(expected, abs=1e-6, nan_ok=True)


def test_dice_and_iou_pooled_and_by_image(run):
    kind = run.dataset["kind"]
    for head in run.heads:
        log_odds, truth, image = pixels(run, head)
        called = log_odds > 0
        if kind == "exclusive":
            called = np.arange(len(truth))[:, None] == log_odds.argmax(axis=0)
        for c, name in enumerate(run.dataset["classes"]):
            close(
                value(run, "dice", head=head, class_name=name), sk.f1_score(truth[c], called[c], zero_division=np.nan)
            )
            close(value(run, "iou", head=head, class_name=name), sk.jaccard_score(truth[c], called[c], zero_division=0))
            frame = pd.DataFrame({"image": image, "t": truth[c], "p": called[c]})
            sums = frame.assign(both=frame["t"] & frame["p"]).groupby("image", observed=True).sum()
            by_image = (2 * sums["both"] / (sums["t"] + sums["p"]))[sums["t"] + sums["p"] > 0]
            close(value(run, "dice_image_mean", head=head, class_name=name), by_image.mean())


def test_brier_nll_and_ece_of_each_class_and_their_macro_mean(run):
    for head in run.heads:
        log_odds, truth, _ = pixels(run, head)
        p = expit(log_odds)
        eces = []
        for c, name in enumerate(run.dataset["classes"]):
            close(value(run, "brier", head=head, class_name=name), np.mean((p[c] - truth[c]) ** 2))
            nll = np.mean(np.logaddexp(0, np.where(truth[c], -log_odds[c], log_odds[c])))
            close(value(run, "nll", head=head, class_name=name), nll)
            ece = tm.binary_calibration_error(torch.tensor(p[c]), torch.tensor(truth[c].astype(int)), n_bins=15)
            eces.append(float(ece))
            close(value(run, "classwise_ece", head=head, class_name=name), eces[-1])
        present = truth.any(axis=1)
        close(value(run, "classwise_ece", head=head), np.mean(np.array(eces)[present]))


def called_by(run, log_odds):
    if run.dataset["kind"] == "exclusive":
        return np.arange(len(log_odds))[:, None] == log_odds.argmax(axis=0)
    return log_odds > 0


def test_outcome_metrics_of_each_class(run):
    by_name = {
        "precision": partial(sk.precision_score, zero_division=np.nan), "recall": sk.recall_score,
        "specificity": partial(sk.recall_score, pos_label=False), "balanced_accuracy": sk.balanced_accuracy_score,
        "accuracy": sk.accuracy_score, "kappa": sk.cohen_kappa_score,
    }  # fmt: skip
    for head in run.heads:
        log_odds, truth, _ = pixels(run, head)
        called = called_by(run, log_odds)
        for c, name in enumerate(run.dataset["classes"]):
            for metric, function in by_name.items():
                close(value(run, metric, head=head, class_name=name), function(truth[c], called[c]))
            if 0 < called[c].mean() < 1:  # scikit-learn says 0 where the correlation is 0/0
                close(value(run, "mcc", head=head, class_name=name), sk.matthews_corrcoef(truth[c], called[c]))


def test_ranking_of_each_class_is_that_of_p_rounded_to_its_cell(run):
    for head in run.heads:
        log_odds, truth, _ = pixels(run, head)
        for c, name in enumerate(run.dataset["classes"]):
            auroc = value(run, "auroc", head=head, class_name=name)
            assert auroc == pytest.approx(sk.roc_auc_score(truth[c], log_odds[c]), abs=2e-3)
            cells = np.searchsorted(grid.EDGES, log_odds[c], side="left")
            close(auroc, sk.roc_auc_score(truth[c], cells))
            precision = value(run, "average_precision", head=head, class_name=name)
            close(precision, sk.average_precision_score(truth[c], cells))


def test_volume_bias_pooled_and_by_image(run):
    for head in run.heads:
        log_odds, truth, image = pixels(run, head)
        for c, name in enumerate(run.dataset["classes"]):
            gap = expit(log_odds[c]) - truth[c]
            close(value(run, "volume_bias", head=head, class_name=name), gap.mean())
            by_image = pd.Series(gap).groupby(image).mean().abs().mean()
            close(value(run, "volume_bias_image_mean", head=head, class_name=name), by_image)


def test_thresholds_are_the_best_on_validation_and_used_on_test(run):
    for head in run.heads:
        val, val_truth, _ = pixels(run, head, split="val")
        test, test_truth, _ = pixels(run, head)
        tuned = run.facts["thresholds"]["raw"][head]["0"]
        for c, name in enumerate(run.dataset["classes"]):
            cut = logit(tuned[name])
            close(
                value(run, "dice_tuned", head=head, class_name=name),
                sk.f1_score(test_truth[c], test[c] > cut, zero_division=np.nan),
            )
            best = sk.f1_score(val_truth[c], val[c] > cut, zero_division=0)
            for other in np.arange(1, 300, 7) / 300:
                assert best >= sk.f1_score(val_truth[c], val[c] > logit(other), zero_division=0) - 1e-12
    rows = run.metrics()
    assert "dice_tuned" not in set(rows[rows["split"] == "val"]["metric"])  # never on what it was tuned on


def test_costs_and_selective_prediction(run):
    for head in run.heads:
        log_odds, truth, _ = pixels(run, head)
        for c, name in enumerate(run.dataset["classes"]):
            wrong = (log_odds[c] > 0) != truth[c]
            close(value(run, "expected_cost", head=head, class_name=name), wrong.mean())  # costs 1:1
            order = np.argsort(-np.abs(log_odds[c]), kind="stable")
            risk = np.cumsum(wrong[order]) / np.arange(1, len(order) + 1)
            assert value(run, "aurc", head=head, class_name=name) == pytest.approx(risk.mean(), abs=2e-3)


def test_surfaces_against_distance_transforms(run):
    width, tolerance = run.facts["boundary_width"], run.facts["surface_tolerance"]
    for head in run.heads:
        sums = np.zeros((len(run.dataset["classes"]), 7))
        with run.predictions("test", head, 0) as reader:
            for one in reader:
                called = called_by(run, one.log_odds.reshape(len(one.truth), -1).astype(np.float64))
                called = called.reshape(one.truth.shape)
                sums += [
                    slow_surfaces(p, t, one.valid, width, tolerance) for p, t in zip(called, one.truth, strict=True)
                ]
        for c, name in enumerate(run.dataset["classes"]):
            both, mine, theirs, true, found, claimed, right = sums[c]
            if mine + theirs:
                close(value(run, "boundary_iou", head=head, class_name=name), both / (mine + theirs - both))
                close(value(run, "surface_dice", head=head, class_name=name), (found + right) / (true + claimed))


def slow_surfaces(called, truth, valid, width, tolerance):
    def surface(mask):
        mask = mask & valid
        outside = valid & ~mask
        near = np.zeros_like(mask)
        near[1:] |= outside[:-1]
        near[:-1] |= outside[1:]
        near[:, 1:] |= outside[:, :-1]
        near[:, :-1] |= outside[:, 1:]
        return mask & near

    def distance(mask):
        return distance_transform_edt(~mask) if mask.any() else np.full(mask.shape, np.inf)

    mine, theirs = surface(called), surface(truth)
    band, true_band = (called & valid & (distance(mine) < width)), (truth & valid & (distance(theirs) < width))
    return [
        (band & true_band).sum(), band.sum(), true_band.sum(),
        theirs.sum(), (theirs & (distance(mine) <= tolerance)).sum(),
        mine.sum(), (mine & (distance(theirs) <= tolerance)).sum(),
    ]  # fmt: skip


def test_expected_overlap_against_a_product_over_pixels(run):
    if run.dataset["kind"] == "binary":
        return
    log_odds, truth, _ = pixels(run, "sigmoid")
    p = expit(log_odds)
    none = np.prod(1 - p, axis=0)
    one = sum(p[k] * np.prod(np.delete(1 - p, k, axis=0), axis=0) for k in range(len(p)))
    close(value(run, "no_label_mass", head="sigmoid", class_name="all"), none.mean())
    close(value(run, "one_label_mass", head="sigmoid", class_name="all"), one.mean())
    several = value(run, "overlap_mass", head="sigmoid", class_name="all")
    close(several, (1 - none - one).mean())
    true = (truth.sum(axis=0) >= 2).mean()
    close(value(run, "overlap_bias", head="sigmoid", class_name="all"), several - true)
    if run.dataset["kind"] == "exclusive":
        assert value(run, "one_label_mass", head="softmax", class_name="all") == 1


def test_the_swap_test_against_scipy_on_the_stored_pixels(run):
    rows = run.metrics()
    if run.dataset["kind"] == "binary":
        assert not set(SWAP_DIFFERENCES) & set(rows["head"])
        return
    z, truth, _ = pixels(run, "sigmoid")
    logits = z if run.dataset["kind"] == "exclusive" else np.concatenate([np.zeros_like(z[:1]), z])
    p = softmax(logits, axis=0)[-len(z) :]
    by_class = [((p[c] - truth[c]) ** 2).mean() for c in range(len(p))]
    for c, name in enumerate(run.dataset["classes"]):
        found = value(run, "brier", head="sigmoid-as-softmax", class_name=name)
        assert found == pytest.approx(by_class[c], abs=2e-4)  # its log-odds are rounded to float16 once more
    reading = value(run, "brier", head="reading-of-sigmoid")
    close(reading, value(run, "brier", head="sigmoid") - value(run, "brier", head="sigmoid-as-softmax"))
    total = value(run, "dice", head="difference")
    close(total, value(run, "dice", head="reading-of-sigmoid") + value(run, "dice", head="training-read-as-softmax"))
    close(total, value(run, "dice", head="reading-of-softmax") + value(run, "dice", head="training-read-as-sigmoid"))


def test_agreement_of_the_heads_against_the_stored_pixels(run):
    first, truth, _ = pixels(run, "sigmoid")
    second, _, _ = pixels(run, "softmax")
    mine, theirs = called_by(run, first), called_by(run, second)
    for c, name in enumerate(run.dataset["classes"]):
        close(value(run, "agreement_rate", head="agreement", class_name=name), (mine[c] == theirs[c]).mean())
        differ = mine[c] != theirs[c]
        if differ.any():
            right = (mine[c] == truth[c])[differ].mean()
            close(value(run, "sigmoid_right_share", head="agreement", class_name=name), right)
    close(value(run, "same_set_rate", head="agreement", class_name="all"), (mine == theirs).all(axis=0).mean())
    either = (mine == truth).all(axis=0) | (theirs == truth).all(axis=0)
    close(value(run, "either_right_rate", head="agreement", class_name="all"), either.mean())


def test_a_temperature_for_each_class_has_its_rows_and_softmax_keeps_its_one(run):
    rows = run.metrics()
    if len(run.dataset["classes"]) == 1:
        assert "temperature-by-class" not in set(rows["variant"])
        return
    fitted = run.facts["temperature_by_class"]["sigmoid"]["0"]
    log_odds, truth, _ = pixels(run, "sigmoid")
    for c, name in enumerate(run.dataset["classes"]):
        brier = ((expit(log_odds[c] / fitted[name]) - truth[c]) ** 2).mean()
        found = value(run, "brier", head="sigmoid", class_name=name, variant="temperature-by-class")
        assert found == pytest.approx(brier, abs=2e-4)
    same = [value(run, "brier", head="softmax", variant=one) for one in ("temperature", "temperature-by-class")]
    assert same[0] == same[1]


def test_differences_have_p_values_and_classes_corrected_ones(run):
    rows = run.metrics()
    gaps = rows[(rows["head"] == "difference") & rows["low"].notna()]
    assert gaps["p_value"].between(0, 1).all()
    by_class = gaps[~gaps["class"].isin(["macro", "all"])]
    assert (by_class["p_holm"] >= by_class["p_value"]).all()
    # the interval and the p-value are two readings of the same replicates
    settled = (gaps["low"] > 0) | (gaps["high"] < 0)
    clear = (gaps["p_value"] < 0.045) | (gaps["p_value"] > 0.055)
    assert (settled == (gaps["p_value"] < 0.05))[clear].all()
    assert rows[rows["head"] == "sigmoid"]["p_value"].isna().all()


def test_overlap_rates(run):
    for head in run.heads:
        log_odds, truth, _ = pixels(run, head)
        called, labels = (log_odds > 0).sum(axis=0), truth.sum(axis=0)
        close(value(run, "overlap_rate", head=head, class_name="all"), (called >= 2).mean())
        close(value(run, "no_label_rate", head=head, class_name="all"), (called == 0).mean())
        if run.dataset["kind"] == "overlapping":
            close(value(run, "overlap_recall", head=head, class_name="all"), (called >= 2)[labels >= 2].mean())


def test_top_label_ece_and_categorical_nll_of_exclusive_truth(run):
    if run.dataset["kind"] != "exclusive":
        assert "top_label_ece" not in set(run.metrics()["metric"])
        return
    for head in run.heads:
        log_odds, truth, _ = pixels(run, head)
        top = expit(log_odds.max(axis=0))
        right = truth[log_odds.argmax(axis=0), np.arange(truth.shape[1])]
        which = np.clip(np.ceil(top * 15).astype(int) - 1, 0, 14)
        gaps = [abs(right[which == b].sum() - top[which == b].sum()) for b in range(15)]
        close(value(run, "top_label_ece", head=head, class_name="all"), sum(gaps) / len(top))
        log_p = np.log(expit(log_odds)) if head == "softmax" else log_softmax(log_odds, axis=0)
        close(value(run, "categorical_nll", head=head, class_name="all"), -log_p.T[truth.T].mean())


def test_differences_are_sigmoid_minus_the_contender_and_inside_their_interval(run):
    rows = run.metrics()
    gap = rows[(rows["head"] == "difference") & (rows["metric"] == "dice") & (rows["class"] == "macro")]
    for row in gap[gap["seed"] == 0].itertuples():
        if row.split == "test" and row.region == "all" and row.variant == "raw":
            expected = value(run, "dice", head="sigmoid") - value(run, "dice", head="softmax")
            assert row.value == pytest.approx(expected, abs=1e-12)
            assert row.low <= row.value <= row.high


def test_the_fitted_temperature_is_no_worse_than_its_neighbours_on_validation(run):
    for head in run.heads:
        if head == "softmax-powerset" or (head == "softmax" and run.dataset["kind"] != "binary"):
            continue  # their temperature acts on joint logits; the two below are independent of the class of head
        log_odds, truth, _ = pixels(run, head, split="val")
        t = run.facts["temperature"][head]["0"]

        def nll(scale, log_odds=log_odds, truth=truth):
            z = log_odds / scale
            return np.logaddexp(0, np.where(truth, -z, z)).mean()

        assert nll(t) <= min(nll(t * 1.02), nll(t / 1.02)) + 1e-9


def test_image_scores_hold_every_image_and_head_once_with_the_slow_disagreement(run):
    scores = run.image_scores()
    test = scores[(scores["split"] == "test") & (scores["seed"] == 0)]
    assert len(test) == 40 * len(run.heads)
    assert not test.duplicated(["image", "head"]).any()
    mine, _, image = pixels(run, "softmax")
    theirs, _, _ = pixels(run, "sigmoid")
    if run.dataset["kind"] == "exclusive":
        differs = mine.argmax(axis=0) != theirs.argmax(axis=0)
    else:
        differs = ((mine > 0) != (theirs > 0)).any(axis=0)
    expected = pd.Series(differs).groupby(image).mean()
    found = test[test["head"] == "softmax"].set_index("image")["disagreement"]
    assert np.allclose(found.sort_index(), expected.sort_index())


def test_groups_are_resampled_where_there_are_enough(run):
    resampling = run.facts["resampling"]["test"]
    if run.name == "landcover":  # 40 test images of 20 scenes
        assert (resampling["unit"], resampling["count"]) == ("groups", 20)
        assert sorted(resampling["of_image"]) == [scene for scene in range(20) for _ in range(2)]
    else:
        assert (resampling["unit"], resampling["count"]) == ("images", 40)
        assert resampling["of_image"] == list(range(40))
    assert resampling["warning"] is None


def test_both_heads_see_the_same_truth_and_softmax_logits_come_back(run):
    readers = [run.predictions("test", head, 0) for head in run.heads]
    name = readers[0].images[0]
    ones = [reader.read(name) for reader in readers]
    for one in ones[1:]:
        assert np.array_equal(one.truth, ones[0].truth)
        assert np.array_equal(one.valid, ones[0].valid)
    softmax = ones[1]
    assert softmax.logsumexp is not None
    if run.dataset["kind"] == "exclusive":
        p = expit(softmax.log_odds.astype(np.float64))
        assert np.abs(p.sum(axis=0) - 1).max() < 5e-3  # float16 log-odds
    for reader in readers:
        reader.close()


def test_the_run_is_whole_and_names_its_parts(run):
    assert run.verify() == []
    assert run.splits == ("test", "val")
    assert run.heads == tuple(head for head in HEADS if head in run.heads)
    assert run.heads == (HEADS if run.dataset["kind"] == "overlapping" else ("sigmoid", "softmax"))
    assert run.preview("test", run.image_scores().query("split == 'test'")["image"].iloc[0])[:2] == b"\xff\xd8"
