"""Replicates of many images at once against a plain computation of each, one after another."""

from functools import cache

import numpy as np
import pytest
from arrays import counts_of, example
from scipy.linalg import eigh
from scipy.optimize import brentq
from scipy.special import expit, logit

from pipelines.counting.grid import EDGES, STEPS, rebin
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.base import OUTCOMES_AT_HALF, SCORES
from pipelines.metrics.estimates import estimate_head

ABSENT, EVERYWHERE, SEPARATED, FIRST_MIXED = 0, 1, 2, 3


def edge_images():
    """Without the class, with it everywhere, with it wherever p > 0.5, and five with noise."""
    shown = [example("binary", seed=k) for k in range(8)]
    (log_odds, truth, valid), everywhere, apart = shown[ABSENT], shown[EVERYWHERE], shown[SEPARATED]
    return [
        (log_odds, np.zeros_like(truth), valid),
        (everywhere[0], np.ones_like(truth) & everywhere[2], everywhere[2]),
        (np.where(apart[1], 3, -3).astype(np.float16) + apart[0] / np.float16(8), apart[1], apart[2]),
        *shown[FIRST_MIXED:],
    ]


def draws() -> np.ndarray:
    """(9, 8) how often each image stands in each replicate: six at random, three of one image alone."""
    alone = 8.0 * np.eye(8)[[ABSENT, EVERYWHERE, SEPARATED]]
    mixed = np.random.default_rng(0).multinomial(8, np.full(8, 1 / 8), size=6)
    return np.concatenate([alone, mixed])


@pytest.mark.parametrize("kind", ["binary", "exclusive"])
def test_each_replicate_equals_the_metric_of_its_own_sums(kind):
    images = edge_images() if kind == "binary" else [example(kind, seed=k) for k in range(8)]
    counts, weights, setting = counts_of(kind, images), draws(), Setting(kind, background=True)
    found = estimate_head(lambda: [counts], setting, weights.astype(np.float32), units=8)
    outcomes = np.einsum("bn,nsck->bck", weights, OUTCOMES_AT_HALF.terms(counts, setting))
    there = outcomes[..., 0] + outcomes[..., 2] > 0
    plain = [one for one in METRICS.values() if one.gaps is None]  # replicates of the others are moved to their center
    compared = 0
    for (name, region), estimate in found.by_key.items():
        metric = METRICS[name]
        if metric not in plain:
            continue
        terms = metric.source.terms(counts, setting)
        for row, occurs, replicate in zip(weights, there, estimate.replicates, strict=True):
            sums = np.tensordot(row, terms, axes=1)[None]
            expected = metric.value(metric.source.pick(sums, region), setting)[0]
            if metric.per_class:
                expected, replicate = np.where(occurs, expected, np.nan), replicate[:-1]
            assert replicate == pytest.approx(np.atleast_1d(expected), rel=1e-6, abs=2e-6, nan_ok=True), (name, region)
            compared += 1
    assert compared > 9 * 60


# The two iterations, slowly ----------------------------------------------------------------------------------------


@cache
def heat() -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues and vectors of the second difference that reflects at both ends."""
    second = np.diag(np.full(STEPS, -2.0)) + np.eye(STEPS, k=1) + np.eye(STEPS, k=-1)
    second[0, 0] = second[-1, -1] = -1.0
    return eigh(second)


def plain_smooth_ece(hist: np.ndarray) -> float:
    rates, vectors = heat()
    residual = rebin(hist[1] - hist[2] - hist[3], STEPS) / hist[:2].sum()
    modes = vectors.T @ residual

    def excess(sigma: float) -> float:
        return float(np.abs(vectors @ (modes * np.exp(rates * (sigma * STEPS) ** 2 / 2))).sum()) - sigma

    return float(brentq(excess, 0.0, 1.0, xtol=1e-12))


def plain_line(hist: np.ndarray) -> tuple[float, float]:
    """Intercept and slope by Newton's method over the cells from (0, 1), never stopped early; NaN if separated."""
    cells = np.flatnonzero(hist[:2].sum(axis=0) > 0)
    without, there = (np.flatnonzero(one > 0) for one in hist[:2])
    if not len(without) or not len(there) or without[-1] <= there[0] or there[-1] <= without[0]:
        return np.nan, np.nan
    lowest, highest = np.append(-np.inf, EDGES)[cells], np.append(EDGES, np.inf)[cells]
    pixels, hits = hist[:2, cells].sum(axis=0), hist[1, cells]
    x = np.clip(logit(hist[2:, cells].sum(axis=0) / pixels), lowest, highest)
    design, line = np.stack([np.ones(len(x)), x], axis=1), np.array([0.0, 1.0])
    for _ in range(1000):
        p = expit(design @ line)
        step = np.linalg.solve((design.T * (pixels * p * (1 - p))) @ design, design.T @ (hits - pixels * p))
        change = np.abs(design @ step).max()
        line = line + step * (np.log1p(change) / change if change > 0 else 1.0)
    return float(line[0]), float(line[1])


def test_the_line_and_the_smooth_gap_of_replicates_equal_a_plain_search_for_each():
    counts, weights, setting = counts_of("binary", edge_images()), draws(), Setting("binary")
    found = estimate_head(lambda: [counts], setting, weights.astype(np.float32), units=8).by_key
    names = ("calibration_intercept", "calibration_slope", "smooth_ece")
    values = [found[name, "all"].replicates[:, 0] for name in names]
    sums = SCORES.pick(np.tensordot(weights, SCORES.terms(counts, setting), axes=1), "all")[:, 0]
    for number, (hist, intercept, slope, smooth) in enumerate(zip(sums, *values, strict=True)):
        assert (intercept, slope) == pytest.approx(plain_line(hist), rel=1e-5, abs=1e-6, nan_ok=True)
        absent = number == ABSENT  # a replicate without the class says nothing of it
        assert np.isnan(smooth) if absent else smooth == pytest.approx(plain_smooth_ece(hist), abs=3e-6)
    undefined = np.isnan(values[1])
    assert undefined.tolist() == [True] * 3 + [False] * 6


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_a_line_of_almost_separated_truth_is_found_and_of_separated_truth_is_not(share):
    hist = np.zeros((2, 4, len(EDGES) + 1))
    centres = expit((EDGES[1:] + EDGES[:-1]) / 2)
    hist[:, 0, 1:171], hist[:, 1, 171:-1] = 1000.0, 1000.0
    hist[1, 1, 150], hist[1, 0, 190] = 1000 * share, 1000 * share  # the second one overlaps a little
    hist[:, 2:, 1:-1] = hist[:, :2, 1:-1] * centres
    line = METRICS["calibration_slope"].source.pick(np.stack([hist, np.zeros_like(hist)])[None], "all")[0]
    assert np.isnan(line[0]).all()
    assert line[1] == pytest.approx(plain_line(hist[1]), rel=1e-6, abs=1e-8)
