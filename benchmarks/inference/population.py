"""A generative model of images and pairs of heads to a finite population of per-image sums whose metrics are the truth.

Truth and networks' logits are smooth random fields, so pixels of an image are alike. Every image has its own prevalence
of the classes, its own difficulty and its own luck: the noise that turns probabilities into truth has a part that all
of the image's pixels share. Without head noise the network's logits are exactly calibrated over images, although no
single image is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numba
import numpy as np
from scipy.special import ndtr

from pipelines.arrays import BoolArray, Float32Array, Float64Array
from pipelines.counting import grid

Form: TypeAlias = Literal["sigmoid", "softmax"]
SIDE = 40  # pixels
BINS = 15
_COARSE = 6  # knots of a smooth field a side
_BLOCK = 100  # images made at a time


@dataclass(frozen=True)
class Scenario:
    """A pair of heads, sigmoid first. Pairs of numbers are (sigmoid, softmax).

    offsets: log prevalence of each class; noise: sd of the smooth noise on a head's logits; slope: what its logits are
    multiplied with, 1 is calibrated without noise; overlap: sd of the noise that a head adds to each class on its own,
    so that several classes or none may be called; shared: share of the noise's variance that both heads have in common.
    forms: how log-odds are read off logits of overlapping truth; exclusive truth always has the softmax's.
    seed_bias, seed_slope: sd of what one training adds to each class's logits and of the log of its slope, for each
    head on its own; seed_noise: share of the noise's variance that one training does not share with another.
    """

    name: str
    kind: Literal["exclusive", "overlapping"] = "exclusive"
    offsets: tuple[float, ...] = (0.8, 0.2, 0.0, -0.5)
    noise: tuple[float, float] = (1.0, 1.0)
    slope: tuple[float, float] = (0.8, 0.8)
    overlap: tuple[float, float] = (0.3, 0.0)
    shared: float = 0.5
    forms: tuple[Form, Form] = ("sigmoid", "softmax")
    seed_bias: float = 0.0
    seed_slope: float = 0.0
    seed_noise: float = 0.0


@dataclass(frozen=True)
class Population:
    """Sums of every image, head and seed: what each metric needs and no more.

    terms: (M, S, 2, C, F) float32 with F = 4 + BINS: true positives, false positives, false negatives, squared error in
    pixels, then Σy − Σp of each bin. overlap: (M, S, 2) share of pixels with two or more classes at p > 0.5.
    present: (M, C) pixels of the class in the truth. Every image has SIDE² valid pixels.
    """

    scenario: Scenario
    terms: Float32Array
    overlap: Float32Array
    present: Float32Array

    @property
    def images(self) -> int:
        """M."""
        return self.terms.shape[0]

    @property
    def seeds(self) -> int:
        """S."""
        return self.terms.shape[1]

    def mirrored(self, *, by: Literal["images", "seeds"]) -> "Population":
        """Twice the images or seeds, the second half with the heads exchanged: both heads are exactly equal then."""
        axis = 0 if by == "images" else 1
        return Population(
            self.scenario,
            np.concatenate([self.terms, self.terms[:, :, ::-1]], axis=axis),
            np.concatenate([self.overlap, self.overlap[:, :, ::-1]], axis=axis),
            np.concatenate([self.present, self.present]) if by == "images" else self.present,
        )

    @property
    def without_gaps(self) -> "Population":
        """The same without the sums of bins, whose metrics are then 0: a fifth of the work."""
        return Population(self.scenario, self.terms[..., :4], self.overlap, self.present)


def _smoother(knots: int) -> Float64Array:
    """(SIDE, knots) linear interpolation whose rows have length 1, so that a field of unit noise has unit variance."""
    at = np.linspace(0, knots - 1, SIDE)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(knots)), 0)
    return weights / np.linalg.norm(weights, axis=1, keepdims=True)


def _fields(rng: np.random.Generator, *shape: int, knots: int = _COARSE) -> Float32Array:
    """Smooth Gaussian fields of unit variance, (*shape, SIDE²)."""
    smooth = _smoother(knots).astype(np.float32)
    rough = rng.standard_normal((*shape, knots, knots), dtype=np.float32)
    return np.matmul(np.matmul(smooth, rough), smooth.T).reshape(*shape, SIDE * SIDE)


def build(scenario: Scenario, *, images: int, seeds: int = 1, rng: np.random.Generator) -> Population:
    """A population of images × seeds for both heads."""
    classes = len(scenario.offsets)
    bias = scenario.seed_bias * rng.standard_normal((seeds, 2, classes)).astype(np.float32)
    slope = np.exp(scenario.seed_slope * rng.standard_normal((seeds, 2)))
    blocks = list(_blocks(scenario, images, bias, slope, rng))
    terms, overlap, present = (np.concatenate([block[k] for block in blocks]) for k in range(3))
    return Population(scenario, terms, overlap, present)


def _blocks(
    scenario: Scenario, images: int, bias: Float32Array, slope: Float64Array, rng: np.random.Generator
) -> Iterator[tuple[Float32Array, Float32Array, Float32Array]]:
    classes, seeds = len(scenario.offsets), len(bias)
    for start in range(0, images, _BLOCK):
        size = min(_BLOCK, images - start)
        signal, truth = _scene(scenario, size, rng)
        common = _head_noise(rng, size, classes)
        terms = np.empty((size, seeds, 2, classes, 4 + BINS), np.float32)
        overlap = np.empty((size, seeds, 2), np.float32)
        for head in range(2):
            own = _head_noise(rng, size, classes)
            noise = np.sqrt(scenario.shared) * common + np.sqrt(1 - scenario.shared) * own
            for seed in range(seeds):
                mixed = noise
                if scenario.seed_noise:
                    fresh = _head_noise(rng, size, classes)
                    mixed = np.sqrt(1 - scenario.seed_noise) * noise + np.sqrt(scenario.seed_noise) * fresh
                logits = signal + scenario.noise[head] * mixed + bias[seed, head][:, None]
                logits *= np.float32(scenario.slope[head] * slope[seed, head])
                log_odds = _log_odds(scenario, logits, head, rng)
                terms[:, seed, head], overlap[:, seed, head] = sums(log_odds, truth, kind=scenario.kind)
        yield terms, overlap, truth.sum(axis=2).astype(np.float32)


def _scene(scenario: Scenario, size: int, rng: np.random.Generator) -> tuple[Float32Array, BoolArray]:
    """The logits that are exactly calibrated over images, and the truth, both (N, C, SIDE²)."""
    classes = len(scenario.offsets)
    contrast = 3.5 * np.exp(0.3 * rng.standard_normal((size, 1, 1), dtype=np.float32))
    prevalence = np.array(scenario.offsets, np.float32)[:, None] + rng.standard_normal((size, classes, 1), np.float32)
    signal = contrast * _fields(rng, size, classes) + 1.5 * prevalence
    luck = 0.5 * rng.standard_normal((size, classes, 1), dtype=np.float32)
    luck = luck + np.sqrt(0.5) * _fields(rng, size, classes, knots=12)
    luck += 0.5 * rng.standard_normal(luck.shape, dtype=np.float32)
    chance = np.clip(ndtr(luck), 1e-7, 1 - 1e-7)
    if scenario.kind == "exclusive":  # the largest of logits with Gumbel noise is a draw from their softmax
        winner = (signal - np.log(-np.log(chance))).argmax(axis=1)
        return signal, winner[:, None] == np.arange(classes)[:, None]
    return signal, signal + np.log(chance / (1 - chance)) > 0


def _head_noise(rng: np.random.Generator, size: int, classes: int) -> Float32Array:
    """(N, C, SIDE²) of unit variance, a part of it shared by all pixels of an image."""
    whole = rng.standard_normal((size, classes, 1), dtype=np.float32)
    return np.float32(0.5) * whole + np.float32(np.sqrt(0.75)) * _fields(rng, size, classes)


def _log_odds(scenario: Scenario, logits: Float32Array, head: int, rng: np.random.Generator) -> Float32Array:
    """Log-odds that each class is there: of a softmax over classes (and background), or of each class on its own."""
    log_odds = logits
    if scenario.kind == "exclusive" or scenario.forms[head] == "softmax":
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))
        rest = exp.sum(axis=1, keepdims=True) - exp
        if scenario.kind == "overlapping":
            rest += np.exp(-logits.max(axis=1, keepdims=True))  # a background channel whose logit is 0
        log_odds = np.log(exp) - np.log(np.maximum(rest, 1e-30))
    if scenario.overlap[head]:
        log_odds = log_odds + np.float32(scenario.overlap[head]) * _fields(rng, *logits.shape[:2], knots=12)
    return log_odds


def sums(
    log_odds: Float32Array, truth: BoolArray, *, kind: Literal["exclusive", "overlapping"]
) -> tuple[Float32Array, Float32Array]:
    """Population.terms (N, C, F) and overlap (N,) of images, read as the counting kernel reads them: from float16.

    log_odds, truth: (N, C, pixels).
    """
    bits = np.ascontiguousarray(log_odds, np.float16).view(np.uint16)
    terms = np.zeros((*truth.shape[:2], 4 + BINS), np.int64)
    overlap = np.zeros(len(truth), np.int64)
    _sum(bits, truth, kind == "exclusive", _BIN_TABLE, grid.P_TABLE, grid.SQUARED_ERROR_TABLE, terms, overlap)
    scaled = terms.astype(np.float64)
    scaled[..., 3:] *= grid.P_UNIT
    return scaled.astype(np.float32), (overlap / truth.shape[2]).astype(np.float32)


_BIN_TABLE = np.append(grid.bin_of_cell(BINS), 0)[np.minimum(grid.CELL_TABLE, grid.CELLS)]


@numba.njit(nogil=True, cache=True)
def _sum(bits, truth, exclusive, bin_table, p_table, error_table, terms, overlap):
    one = np.int64(2**30)  # 1 in units of P_UNIT
    half = np.int64(2**29)
    images, classes, pixels = bits.shape
    for i in range(images):
        for x in range(pixels):
            winner, best, claims = -1, np.int64(-1), 0
            for c in range(classes):
                b = bits[i, c, x]
                p = p_table[b]
                y = np.int64(truth[i, c, x])
                terms[i, c, 3] += error_table[y, b]
                terms[i, c, 4 + bin_table[b]] += y * one - p
                claims += p > half
                order = np.int64(0x8000) - np.int64(b) if b & 0x8000 else np.int64(b)
                if winner < 0 or order > best:
                    winner, best = c, order
            for c in range(classes):
                called = winner == c if exclusive else p_table[bits[i, c, x]] > half
                there = truth[i, c, x]
                terms[i, c, 0] += called and there
                terms[i, c, 1] += called and not there
                terms[i, c, 2] += there and not called
            overlap[i] += claims >= 2
