"""Validation predictions to the temperature that minimises a head's negative log-likelihood.

Sigmoid, and softmax on overlapping truth, minimise the mean over classes of the one-class NLL, the space both heads
share there; softmax on exclusive or binary truth minimises the categorical NLL (Guo et al. 2017, section 4.2).
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
    """Evenly spaced valid pixels: log_odds (C, M), extra (E, M) float32, truth (C, M) bool."""

    log_odds: Float32Array
    extra: Float32Array
    truth: BoolArray


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
        truth = prediction.truth.reshape(-1, valid.size)[:, index]
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
    signed = np.where(sample.truth, -sample.log_odds, sample.log_odds)
    known = _both(sample.truth)
    return tuple(_minimise(partial(_class_nll, row)) if k else 1.0 for row, k in zip(signed, known, strict=True))


def _both(truth: BoolArray) -> BoolArray:
    """(C,) bool: classes that some pixels carry and others do not. truth: (C, M) bool."""
    there = np.count_nonzero(truth, axis=1)
    return (there > 0) & (there < truth.shape[1])


def _class_nll(signed: Float32Array, temperature: float) -> float:
    """Mean of log(1 + exp(±l / T)), the sign minus where the class is there."""
    return float(heads.softplus(signed / np.float32(temperature)).mean(dtype=np.float64))


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
        truth = np.take_along_axis(log_p, sample.truth.argmax(axis=0)[None], axis=0)[0]
        return float((heads.logsumexp(log_p) - truth).mean(dtype=np.float64))
    scaled = heads.at_temperature(spec, sample.log_odds, sample.extra, temperature)
    return float(heads.softplus(np.where(sample.truth, -scaled, scaled)).mean(dtype=np.float64))
