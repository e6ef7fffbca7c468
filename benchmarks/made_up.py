"""A seed, or the truth of a data set, to images with log-odds like a trained network's."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import ndimage

from pipelines.counting.outlines import label_masks, regions
from pipelines.datasets.opening import open_dataset
from pipelines.schema import LOG_ODDS_LIMIT

SIZE: Final = (360, 480)  # CamVid's, as are the number of classes and the share of ignored pixels
CLASSES: Final = 11
IGNORED_SHARE: Final = 0.038


@dataclass(frozen=True)
class Image:
    """log_odds (C, H, W) float16; truth (H, W) int64 with -1 where ignored; masks, region of count_image."""

    log_odds: np.ndarray
    truth: np.ndarray
    masks: np.ndarray
    region: np.ndarray


def smooth(rng: np.random.Generator, shape: tuple[int, ...], sigma: float) -> np.ndarray:
    """Gaussian fields of mean 0 and standard deviation 1, smooth over the last two axes."""
    field = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), (0,) * (len(shape) - 2) + (sigma, sigma))
    return (field - field.mean()) / field.std()


def made_up_truth(rng: np.random.Generator) -> np.ndarray:
    """Regions of CLASSES classes, (H, W) int64, with -1 at patches of ignored pixels."""
    truth = smooth(rng, (CLASSES, *SIZE), 16).argmax(axis=0)
    patches = smooth(rng, SIZE, 6)
    truth[patches > np.quantile(patches, 1 - IGNORED_SHARE)] = -1
    return truth


def log_odds_for(truth: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Log-odds of a softmax that knows the truth but for its boundaries and some patches, (C, H, W) float16.

    The truth blurred over 3 pixels, mixed with small probabilities that vary smoothly by class, plus smooth errors and
    a little noise: right at 19 pixels of 20, half of all |l| above 6, uncertain near boundaries.
    """
    classes = np.arange(CLASSES)[:, None, None]
    blurred = ndimage.gaussian_filter((truth == classes).astype(np.float32), (0, 3, 3))
    small = np.exp(-7.0 + 1.5 * smooth(rng, (CLASSES, *truth.shape), 12))
    wrong = np.maximum(smooth(rng, (CLASSES, *truth.shape), 8) - 2.0, 0.0)
    logits = np.log(blurred + small) + 6.0 * wrong + 0.15 * rng.standard_normal(blurred.shape, np.float32)
    p = np.exp(logits - logits.max(axis=0))
    log_odds = np.log(p) - np.log(np.maximum(p.sum(axis=0) - p, 1e-30))
    return np.clip(log_odds, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT).astype(np.float16)


def images_of(count: int, data: str | None) -> list[Image]:
    """Images of a data set's test split, repeated where it has fewer, or made-up ones; log-odds are always made up."""
    rng = np.random.default_rng(0)
    dataset = open_dataset(data) if data else None
    names = dataset.images("test") if dataset else ()
    out = []
    for number in range(count):
        if dataset:
            item = dataset.read(names[number % len(names)])
            truth = np.where(item.valid, item.truth.argmax(axis=0), -1)
        else:
            truth = made_up_truth(rng)
        there = truth == np.arange(CLASSES)[:, None, None]
        region = regions(there, truth >= 0, width=3)
        out.append(Image(log_odds_for(truth, rng), truth, label_masks(there), region))
    return out


def described(images: Sequence[Image]) -> str:
    """What the log-odds are like, in one line."""
    some = images[:8]
    values = np.stack([one.log_odds for one in some]).astype(np.float32)
    active = (values > np.log(1 / 299)).sum(axis=1)
    right = np.concatenate([(one.log_odds.argmax(axis=0) == one.truth)[one.truth >= 0] for one in some])
    return (
        f"{len(images)} images of {values.shape[1]} classes, {values.shape[2]}x{values.shape[3]}; "
        f"median |l| {np.median(np.abs(values)):.1f}, argmax right at {right.mean():.0%} of the pixels, "
        f"p > 1/300 for {active.mean():.1f} classes a pixel"
    )
