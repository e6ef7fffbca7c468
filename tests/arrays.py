"""Small log-odds with truth for tests of counts and metrics, seeded."""

from dataclasses import replace

import numpy as np
from scipy.special import expit

from pipelines.counting.counts import Counts, stack
from pipelines.counting.image import count_image
from pipelines.counting.outlines import TrueSurfaces, count_geometry, label_masks, regions
from pipelines.heads import decide
from pipelines.schema import Kind


def example(kind: Kind, *, seed: int, size: tuple[int, int] = (18, 20), classes: int = 3, ignored: float = 0.1):
    """log_odds (C, H, W) float16, truth (C, H, W) bool, valid (H, W) bool; the log-odds know something of the truth."""
    rng = np.random.default_rng(seed)
    coarse = (-(-size[0] // 6), -(-size[1] // 6))
    count = 1 if kind == "binary" else classes
    if kind == "exclusive":
        truth = np.arange(count)[:, None, None] == _blocks(rng.integers(0, count, coarse), size)
    else:
        truth = _blocks(rng.random((count, *coarse)) < 0.4, size)
    valid = rng.random(size) >= ignored
    log_odds = rng.normal(0, 3, truth.shape) + np.where(truth, 2.0, -2.0)
    return log_odds.astype(np.float16), truth & valid, valid


def _blocks(small: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Each value as a block of 6×6 pixels, so that there is an interior besides the boundary band."""
    return small.repeat(6, axis=-2).repeat(6, axis=-1)[..., : size[0], : size[1]]


def counts_of(kind: Kind, images, *, width: int = 2, softmax: bool = False, background: int = -1) -> Counts:
    """Counts of images given as (log_odds, truth, valid), named 0, 1, …"""
    counted = []
    for log_odds, truth, valid in images:
        one = count_image(
            log_odds, label_masks(truth), regions(truth, valid, width=width), exclusive=kind == "exclusive",
            softmax=softmax, background=background,
        )  # fmt: skip
        called = decide(log_odds, rule="argmax" if kind == "exclusive" else "threshold")
        geometry = count_geometry(called, TrueSurfaces(truth, valid, width=width, tolerance=2.0))
        counted.append(replace(one, **geometry._asdict()))
    return stack([str(number) for number in range(len(counted))], counted)


def probabilities(log_odds: np.ndarray) -> np.ndarray:
    """Sigmoid in float64."""
    return expit(log_odds.astype(np.float64))
