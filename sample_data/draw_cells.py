"""Random numbers to stained cells under a microscope, with label probabilities that are known by construction.

Every label has a probability map p, soft at borders and below 1 for doubtful cells. The truth is drawn from it as
U < p with U uniform at every pixel and smooth in space, so that P(label) = p exactly, pixel by pixel, while borders
wander as an annotator's hand does. Cell and nucleus share one U and p_nucleus <= p_cell, so nuclei lie inside cells.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sample_data.drawing import (
    SIZE,
    Field,
    Picture,
    Random,
    camera,
    distance_to_polyline,
    edge,
    fractal,
    grid,
    uniform_field,
    wandering_line,
)

CLASSES = ("cell", "nucleus", "fibre")
_SHAPE = (SIZE, SIZE)
# Fine tremor at borders, and whole doubtful cells taken or left.
_HAND = ((2.5, 0.2), (8.0, 0.3), (18.0, 0.5))
# Optical density of the stains for red, green and blue: haematoxylin (blue), eosin (pink), a brown marker.
_HAEMATOXYLIN = np.array([0.62, 0.68, 0.30])
_EOSIN = np.array([0.10, 0.62, 0.28])
_BROWN = np.array([0.30, 0.50, 0.72])


@dataclass(frozen=True)
class Cells:
    """image: (H, W, 3) uint8. probs: (C, H, W) uint8, p = value / 255. truth: (C, H, W) bool."""

    image: NDArray[np.uint8]
    probs: NDArray[np.uint8]
    truth: NDArray[np.bool_]


@dataclass(frozen=True)
class _Body:
    """One cell: where it is, what it looks like and how sure an annotator is of it."""

    inside: Field  # opacity of the cell, [0, 1]
    core: Field  # opacity of the nucleus, [0, 1]
    sure: float  # probability that the cell is labelled at its middle
    sure_core: float
    stain: float
    stain_core: float


def draw_cells(rng: Random, hand_rng: Random, *, opposite: bool) -> Cells:
    """One image of 5 to 14 cells, some touching, some faint, crossed by fibres.

    rng draws the scene, hand_rng the annotator. opposite: label where U > 1 - p instead of where U < p, which has the
    same probability. Two images with the same hand and opposite readings cancel each other's luck, so that a small set
    lies closer to its probabilities than independent images would.
    """
    bodies = _bodies(rng)
    fibres = _fibres(rng)
    p_cell, p_core = np.zeros(_SHAPE), np.zeros(_SHAPE)
    for body in bodies:
        p_cell = np.maximum(p_cell, body.inside * body.sure)
        p_core = np.maximum(p_core, body.core * body.sure_core)
    p_fibre = np.max([opacity * sure for opacity, sure, _ in fibres], axis=0)
    probs = np.stack([p_cell, np.minimum(p_core, p_cell), p_fibre])
    levels = np.floor(_sharpen(probs) * 255 + 0.5).astype(np.uint8)
    hand, other = (uniform_field(hand_rng, _SHAPE, scales=_HAND) for _ in range(2))
    draws = np.stack([hand, hand, other])
    truth = (1 - draws if opposite else draws) < levels / 255.0
    return Cells(_render(rng, bodies, fibres), levels, truth)


def _sharpen(probs: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut the tails of soft edges: below 8% is 0 and above 92% is 1, as far from a border nobody doubts."""
    return np.clip((probs - 0.08) / 0.84, 0, 1)


def _bodies(rng: Random) -> list[_Body]:
    count = int(rng.integers(5, 15))
    centres: list[tuple[float, float]] = []
    for _ in range(count):
        if centres and rng.random() < 0.35:  # touching its neighbour
            row, column = centres[int(rng.integers(len(centres)))]
            angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(16, 26)
            centres.append((row + far * np.sin(angle), column + far * np.cos(angle)))
        else:
            centres.append((rng.uniform(-4, SIZE + 4), rng.uniform(-4, SIZE + 4)))
    return [_body(rng, centre) for centre in centres]


def _body(rng: Random, centre: tuple[float, float]) -> _Body:
    radius = rng.uniform(9, 18)
    faint = rng.random() < 0.22  # out of focus or hardly stained: annotators disagree
    softness = rng.uniform(1.6, 2.6) if faint else rng.uniform(0.7, 1.5)
    inside = edge(_blob(rng, centre, radius, wobble=0.13), softness)
    off = rng.uniform(-0.22, 0.22, 2) * radius
    core_radius = radius * rng.uniform(0.34, 0.55)
    core_centre = (centre[0] + off[0], centre[1] + off[1])
    core = edge(_blob(rng, core_centre, core_radius, wobble=0.16), softness * 0.65) * inside
    return _Body(
        inside=inside,
        core=core,
        sure=rng.uniform(0.45, 0.85) if faint else 1.0,
        sure_core=rng.uniform(0.4, 0.8) if faint else 1.0,
        stain=rng.uniform(0.10, 0.2) if faint else rng.uniform(0.28, 0.55),
        stain_core=rng.uniform(0.18, 0.4) if faint else rng.uniform(0.6, 1.1),
    )


def _blob(rng: Random, centre: tuple[float, float], radius: float, *, wobble: float) -> Field:
    """Signed distance to a closed, irregular outline: negative inside."""
    rows, columns = grid(_SHAPE)
    down, right = rows - centre[0], columns - centre[1]
    tilt, stretch = rng.uniform(0, np.pi), rng.uniform(0.75, 1.0)
    along = down * np.sin(tilt) + right * np.cos(tilt)
    across = (down * np.cos(tilt) - right * np.sin(tilt)) / stretch
    angle = np.arctan2(across, along)
    outline = np.full(_SHAPE, radius)
    for wave in range(2, 7):
        outline += radius * wobble * rng.standard_normal() / wave * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.hypot(along, across) - outline


def _fibres(rng: Random) -> list[tuple[Field, float, float]]:
    """Opacity, certainty and stain of each strand."""
    strands = []
    for _ in range(int(rng.integers(2, 5))):
        start = (rng.uniform(0, SIZE), rng.uniform(0, SIZE))
        heading = rng.uniform(0, 2 * np.pi)
        line = wandering_line(rng, start, heading, rng.uniform(60, 150), wander=0.035)
        distance, at = distance_to_polyline(_SHAPE, line)
        width = rng.uniform(1.8, 3.8) * (0.75 + 0.25 * np.sin(at / rng.uniform(20, 50) + rng.uniform(0, 6)))
        faint = rng.random() < 0.3
        sure, stain = (rng.uniform(0.5, 0.85), rng.uniform(0.16, 0.26)) if faint else (1.0, rng.uniform(0.32, 0.6))
        strands.append((edge(distance - width, rng.uniform(0.4, 0.8)), sure, stain))
    return strands


def _render(rng: Random, bodies: list[_Body], fibres: list[tuple[Field, float, float]]) -> NDArray[np.uint8]:
    """Stain densities add up and light fades exponentially with them (Beer and Lambert)."""
    tissue = 0.5 + 0.5 * fractal(rng, _SHAPE, slope=2.2)
    density: Picture = (np.clip(tissue, 0, None) * rng.uniform(0.05, 0.13))[..., None] * _EOSIN
    grain = 1 + 0.28 * fractal(rng, _SHAPE, slope=1.4, coarsest=24)
    clumps = 1 + 0.34 * fractal(rng, _SHAPE, slope=1.2, coarsest=9)
    for body in bodies:
        rim = 1 + 0.5 * np.exp(-(((body.inside - 0.55) / 0.22) ** 2))  # the membrane takes more stain
        density = density + (body.inside * body.stain * grain * rim)[..., None] * (0.75 * _EOSIN + 0.25 * _HAEMATOXYLIN)
        density = density + (body.core * body.stain_core * clumps)[..., None] * _HAEMATOXYLIN
    streak = 1 + 0.3 * fractal(rng, _SHAPE, slope=1.5, coarsest=16)
    for opacity, _, stain in fibres:
        density = density + (opacity * stain * streak)[..., None] * _BROWN
    density = density + _debris(rng)
    rows, columns = grid(_SHAPE)
    lamp = rng.uniform(0.86, 0.97) - (
        ((rows - rng.uniform(30, 98)) ** 2 + (columns - rng.uniform(30, 98)) ** 2) * rng.uniform(0.4, 1.6) * 1e-5
    )
    tint = np.array([1.0, rng.uniform(0.95, 0.99), rng.uniform(0.95, 1.0)])
    light = (lamp * (1 + 0.012 * fractal(rng, _SHAPE, slope=3)))[..., None] * tint
    return camera(rng, light * np.exp(-1.25 * density), blur=rng.uniform(0.5, 1.0), noise=0.028)


def _debris(rng: Random) -> Picture:
    """Specks that look like small nuclei or bits of fibre and are no part of the truth."""
    total = np.zeros((*_SHAPE, 3))
    for _ in range(int(rng.integers(3, 9))):
        centre = (rng.uniform(0, SIZE), rng.uniform(0, SIZE))
        speck = edge(_blob(rng, centre, rng.uniform(1.2, 4.0), wobble=0.3), rng.uniform(0.5, 1.2))
        stain = _HAEMATOXYLIN if rng.random() < 0.6 else _BROWN
        total += (speck * rng.uniform(0.15, 0.6))[..., None] * stain
    return ndimage.gaussian_filter(total, (0.5, 0.5, 0))
