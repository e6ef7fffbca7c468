"""Images and their groups to bootstrap weights: what is resampled, and how often each image stands in a replicate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pipelines.arrays import Float64Array
from pipelines.errors import ShapeError

FEWEST_GROUPS = 10
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Resampling:
    """What is drawn.

    unit: "images" or "groups"; of_image: (N,) the unit of each image; count: how many units; warning: why an interval
    from them should not be trusted, None if it can be.
    """

    unit: Literal["images", "groups"]
    of_image: np.ndarray
    count: int
    warning: str | None


def choose_units(images: Sequence[str], groups: Mapping[str, str]) -> Resampling:
    """Groups where they are given and at least FEWEST_GROUPS of them occur, else images, with a warning if need be.

    groups: image to group (patient, video, scene); empty when none are known.
    """
    every = np.arange(len(images))
    few = _few(len(images))
    if not groups:
        return Resampling("images", every, len(images), few)
    names = sorted({groups[image] for image in images if image in groups})
    if len(names) < FEWEST_GROUPS or any(image not in groups for image in images):
        warning = (
            f"{len(names)} groups in this split, at least {FEWEST_GROUPS} are needed to resample them: images are "
            "resampled instead, and intervals are too narrow if images of a group are alike"
        )
        return Resampling("images", every, len(images), warning)
    index = {name: number for number, name in enumerate(names)}
    return Resampling("groups", np.array([index[groups[image]] for image in images]), len(names), None)


def _few(images: int) -> str | None:
    if images >= FEWEST_GROUPS:
        return None
    if images < 2:
        return "one image has no spread to resample, so there is no interval"
    return f"only {images} images: intervals from so few are too narrow"


def unit_weights(resampling: Resampling, *, replicates: int, rng: np.random.Generator) -> Float64Array:
    """(B, N) how often each image stands in each replicate; images of one unit share their number.

    One unit has no spread to resample: there is no replicate then, (0, N).
    """
    if resampling.count == 0:
        raise ShapeError("there is no image to resample")
    if resampling.count == 1:
        return np.empty((0, len(resampling.of_image)))
    drawn = rng.multinomial(resampling.count, np.full(resampling.count, 1 / resampling.count), size=replicates)
    return drawn[:, resampling.of_image].astype(np.float64)


def totals(terms: Float64Array, weights: Float64Array) -> Float64Array:
    """(N, ...) terms and (B, N) weights to (B, ...) weighted sums: one matrix product."""
    flat = weights @ terms.reshape(terms.shape[0], -1)
    return flat.reshape(weights.shape[0], *terms.shape[1:])


def interval(replicates: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Percentile interval over the first axis, (B, ...) to two arrays (...); replicates that are NaN are left out.

    NaN where every replicate is, or where all are equal for want of units is not hidden: low = high then.
    """
    tail = 100 * (1 - CONFIDENCE) / 2
    out = np.full((2, *replicates.shape[1:]), np.nan)
    if not len(replicates):
        return out[0], out[1]
    missing = np.isnan(replicates)
    whole = ~missing.any(axis=0)
    some = ~missing.all(axis=0) & ~whole
    for chosen, percentile in ((whole, np.percentile), (some, np.nanpercentile)):
        if chosen.any():  # nanpercentile is many times slower: only where it is needed
            out[:, chosen] = percentile(replicates[:, chosen], [tail, 100 - tail], axis=0)
    return out[0], out[1]
