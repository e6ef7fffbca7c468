"""Score histograms (4, CELLS) for tests, from log-odds with truth or from numbers written down."""

from collections.abc import Mapping

import numpy as np
from scipy.special import expit

from pipelines.counting import grid

Sample = tuple[np.ndarray, np.ndarray]


def sample(*, seed: int, pixels: int = 4000, centre: float = 0.0, spread: float = 2.0, a: float = 0.3, b: float = 0.7):
    """Log-odds (pixels,) float16 and truth (pixels,) bool with logit P(y) = a + b l."""
    rng = np.random.default_rng(seed)
    log_odds = rng.normal(centre, spread, pixels).astype(np.float16)
    return log_odds, rng.random(pixels) < expit(a + b * log_odds.astype(np.float64))


def histogram(log_odds: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels without and with the class by cell, and their sums of p, (4, CELLS) float64."""
    bits = log_odds.astype(np.float16).view(np.uint16)
    cells, p = grid.CELL_TABLE[bits], grid.P_TABLE[bits] * grid.P_UNIT
    counts = [np.bincount(cells[truth == y], minlength=grid.CELLS) for y in (False, True)]
    sums = [np.bincount(cells[truth == y], p[truth == y], grid.CELLS) for y in (False, True)]
    return np.stack([*counts, *sums]).astype(np.float64)


def cell(p: float) -> int:
    """Cell of a p strictly inside a cell, or 0 and 1."""
    return int(np.searchsorted(expit(grid.EDGES), p))


def written(pixels: Mapping[float, tuple[float, float]]) -> np.ndarray:
    """Histogram of pixels all at the p given: {p: (without, with)}."""
    hist = np.zeros((4, grid.CELLS))
    for p, (without, there) in pixels.items():
        hist[:, cell(p)] += [without, there, without * p, there * p]
    return hist


def rounded(log_odds: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p rounded to the mean p of its cell, and the cell, for each pixel."""
    hist = histogram(log_odds, truth)
    at = grid.CELL_TABLE[log_odds.view(np.uint16)].astype(np.int64)
    with np.errstate(invalid="ignore"):
        means = hist[2:].sum(axis=0) / hist[:2].sum(axis=0)
    return means[at], at


def random_histogram(seed: int, *, filled: float = 0.2, most: int = 6) -> np.ndarray:
    """Few pixels in cells drawn at random, with mean p inside each cell; some have one kind of truth only."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, most, (2, grid.CELLS)) * (rng.random((2, grid.CELLS)) < filled)
    edges = np.concatenate([[0.0], expit(grid.EDGES), [1.0]])
    p = edges[:-1] + rng.random((2, grid.CELLS)) * np.diff(edges)
    return np.concatenate([counts, counts * p]).astype(np.float64)
