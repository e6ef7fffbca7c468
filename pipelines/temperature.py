"""Validation predictions to the temperature that minimises a head's negative log-likelihood.

Sigmoid, and softmax on overlapping truth, minimise the mean over classes of the one-class NLL, the space both heads
share there; softmax on exclusive or binary truth minimises the categorical NLL (Guo et al. 2017, section 4.2). A
soft truth takes the place of 0 and 1: a class that a third of the observers marked is to be said with p = 1/3.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from scipy import optimize

from pipelines import heads
from pipelines.arrays import BoolArray, Float32Array
from pipelines.errors import RunError
from pipelines.heads import HeadSpec
from pipelines.progress import Progress
from pipelines.schema import Head, Split
from pipelines.store.files import predictions_folder
from pipelines.store.predictions import Prediction, PredictionReader

PIXEL_BUDGET = 500_000  # pixels kept for the fit, evenly spaced over all valid pixels: memory stays flat
_BOUNDS = (np.log(0.05), np.log(20.0))


@dataclass(frozen=True)
class Temperature:
    """Fitted temperatures of one head and seed: one for all its logits; by_class: for sigmoid, one a class."""

    common: float
    by_class: tuple[float, ...] | None = None


@dataclass
class Sample:
    """Evenly spaced valid pixels: log_odds (C, M), extra (E, M) float32, truth (C, M) float32 in [0, 1]."""

    log_odds: Float32Array
    extra: Float32Array
    truth: Float32Array


Temperatures: TypeAlias = dict[Head, dict[int, Temperature]]


def fit_temperatures(
    folder: Path, contenders: Sequence[Head], seeds: Sequence[int], splits: Sequence[Split], progress: Progress
) -> Temperatures:
    """Temperatures of every head and seed; none without validation predictions."""
    if "val" not in splits:
        return {}
    temperatures: Temperatures = {head: {} for head in contenders}
    with progress.stage("temperature", len(contenders) * len(seeds)):
        for head in contenders:
            for seed in seeds:
                with PredictionReader(folder / predictions_folder("val", head, seed)) as reader:
                    pixels = sum(int(reader.valid(image).sum()) for image in reader.images)
                    sample = sample_pixels(reader, valid_pixels=pixels)
                    temperatures[head][seed] = _fit(reader.spec, sample)
                progress.advance()
    return temperatures


def _fit(spec: HeadSpec, sample: Sample) -> Temperature:
    common = fit_temperature(spec, sample)
    if spec.is_softmax or len(spec.classes) < 2:
        return Temperature(common)
    return Temperature(common, fit_by_class(sample))


def sample_pixels(predictions: Iterable[Prediction], *, valid_pixels: int, budget: int = PIXEL_BUDGET) -> Sample:
    """Every k-th valid pixel in reading order, k the smallest that keeps at most `budget` of valid_pixels."""
    step = max(1, -(-valid_pixels // budget))
    parts: list[Sample] = []
    seen = 0
    for prediction in predictions:
        valid = prediction.valid
        index = np.flatnonzero(valid)
        index = index[(-seen) % step :: step]
        seen += int(prediction.valid.sum())
        log_odds, extra = (
            array.reshape(len(array), valid.size)[:, index] for array in (prediction.log_odds, prediction.extra)
        )
        given = prediction.truth if prediction.soft is None else prediction.soft
        truth = given.reshape(-1, valid.size)[:, index].astype(np.float32)
        parts.append(Sample(log_odds.astype(np.float32), extra.astype(np.float32), truth))
    if not parts or not seen:
        raise RunError("there is no valid validation pixel to fit a temperature on; add validation images")
    joined = [
        np.concatenate([getattr(part, name) for part in parts], axis=1) for name in ("log_odds", "extra", "truth")
    ]
    return Sample(*joined)


def fit_temperature(spec: HeadSpec, sample: Sample) -> float:
    """Temperature in [0.05, 20] that minimises the NLL of the sample; found by Brent's method in log T.

    1 where no class is both there and not: the lowest NLL is then that of a network that says the same everywhere.
    """
    if not _both(sample.truth).any():
        return 1.0
    return _minimise(lambda t: mean_nll(spec, sample, t))


def fit_by_class(sample: Sample) -> tuple[float, ...]:
    """For a sigmoid head, the temperature in [0.05, 20] of each class that minimises that class's NLL.

    1 for a class that the sample has no pixel with, or none without.
    """
    rows = zip(sample.log_odds, sample.truth, _both(sample.truth), strict=True)
    return tuple(_minimise(partial(_class_nll, row, truth)) if known else 1.0 for row, truth, known in rows)


def _both(truth: Float32Array) -> BoolArray:
    """(C,) bool: classes that some pixels carry, if only in part, and others do not. truth: (C, M) in [0, 1]."""
    return np.asarray((truth > 0).any(axis=1) & (truth < 1).any(axis=1), np.bool_)


def _class_nll(log_odds: Float32Array, truth: Float32Array, temperature: float) -> float:
    """Mean of -s log p - (1 - s) log(1 - p) at p = σ(l / T), with nothing of it lost where p is near 0 or 1."""
    scaled = log_odds / np.float32(temperature)
    size = np.abs(scaled)
    against = np.where(scaled > 0, 1 - truth, truth)  # what of the truth the sign of l speaks against
    return float((size * against + np.log1p(np.exp(-size))).mean(dtype=np.float64))


def _minimise(nll: Callable[[float], float]) -> float:
    """Brent's method in log T."""
    result = optimize.minimize_scalar(
        lambda log_t: nll(float(np.exp(log_t))), bounds=_BOUNDS, method="bounded", options={"xatol": 1e-4}
    )
    return float(np.exp(result.x))


def mean_nll(spec: HeadSpec, sample: Sample, temperature: float) -> float:
    """The NLL in nats a pixel that the fit minimises, at one temperature."""
    if spec.is_softmax and spec.kind == "exclusive":
        log_p = heads.channel_log_probs(spec, sample.log_odds, sample.extra) / np.float32(temperature)
        return float((heads.logsumexp(log_p) - (sample.truth * log_p).sum(axis=0)).mean(dtype=np.float64))
    scaled = heads.at_temperature(spec, sample.log_odds, sample.extra, temperature)
    return _class_nll(scaled, sample.truth, 1.0)
