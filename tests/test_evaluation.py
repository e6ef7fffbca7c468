"""The numbers of a real run against a slow computation from its predictions parquet, pixel by pixel.

Independent of the pipeline's own statistics: pandas reads the parquet files, numpy, scikit-learn and torchmetrics
compute, in float64, from all pixels at once; no cell, bin or count of the project's is used.
"""

import numpy as np
import pandas as pd
import pytest
import torch
import torchmetrics.functional.classification as tm
from scipy.special import expit, log_softmax
from sklearn import metrics as sk

from pipelines.schema import HEADS
from pipelines.storage import Run

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
