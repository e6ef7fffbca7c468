"""Random numbers to a retina with branching vessels, as one foreground class with the things that imitate it."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sample_data.drawing import (
    SIZE,
    Field,
    Random,
    blend,
    camera,
    distance_to_polyline,
    edge,
    fractal,
    grid,
    smooth_normal,
    wandering_line,
    warp,
)

CLASSES = ("vessel",)
_SHAPE = (SIZE, SIZE)
_THINNEST = 1.0  # half width, pixels


def draw_vessels(rng: Random) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """One image, (H, W, 3) uint8, and its mask, (H, W) uint8 of 0 and 1."""
    disc = (rng.uniform(-30, SIZE + 30), rng.choice([rng.uniform(-25, 15), rng.uniform(SIZE - 15, SIZE + 25)]))
    distance, width, depth = _tree(rng, disc)
    # The label follows a slightly shaky hand: the outline moves by about half a pixel.
    shaken = warp(distance - width, 0.6 * smooth_normal(rng, _SHAPE, 4), 0.6 * smooth_normal(rng, _SHAPE, 4))
    labelled = shaken + 0.25 * smooth_normal(rng, _SHAPE, 3) < 0
    return _render(rng, distance, width, depth, disc), labelled.astype(np.uint8)


def _tree(rng: Random, disc: tuple[float, float]) -> tuple[Field, Field, Field]:
    """Distance to the nearest vessel's middle, its half width, and how dark it is, at each pixel."""
    distance, width, depth = np.full(_SHAPE, 1e6), np.ones(_SHAPE), np.zeros(_SHAPE)
    queue: list[tuple[NDArray[np.float64], float, float, int]] = []
    aims = np.linspace(-0.1, 1.1, int(rng.integers(3, 6))) * SIZE
    for aim in aims:
        heading = np.arctan2(aim - disc[0], SIZE / 2 - disc[1]) + rng.normal(0, 0.2)
        queue.append((np.asarray(disc) + rng.uniform(-5, 5, 2), heading, rng.uniform(1.5, 2.5), 0))
    while queue:
        start, heading, half, level = queue.pop()
        long = rng.uniform(*((110, 210), (35, 95), (18, 50))[level])
        line = wandering_line(rng, (start[0], start[1]), heading, long, wander=0.022)
        here, at = distance_to_polyline(_SHAPE, line)
        taper = np.maximum(half * (1 - 0.5 * at / len(line)), _THINNEST)
        darkness = rng.uniform(0.6, 1.0) * (0.6 + 0.4 * min(half / 2.2, 1))
        nearer = here - taper < distance - width
        distance, width = np.where(nearer, here, distance), np.where(nearer, taper, width)
        depth = np.where(nearer, darkness, depth)
        if level < 2:
            queue += _branches(rng, line, half, level)
    return distance, width, depth


def _branches(
    rng: Random, line: NDArray[np.float64], half: float, level: int
) -> list[tuple[NDArray[np.float64], float, float, int]]:
    """Side branches, well apart along the line: start, heading, half width, level."""
    gap = rng.uniform(40, 80)  # in steps of half a pixel
    found = []
    for place in np.arange(gap * rng.uniform(0.5, 1), 0.9 * len(line), gap):
        here = min(int(place + rng.uniform(-0.2, 0.2) * gap), len(line) - 2)
        if rng.random() < (0.75, 0.5)[level]:
            ahead = line[here + 1] - line[here - 1]
            turn = rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.95)
            found.append((line[here], float(np.arctan2(*ahead) + turn), half * rng.uniform(0.45, 0.75), level + 1))
    return found


def _render(rng: Random, distance: Field, width: Field, depth: Field, disc: tuple[float, float]) -> NDArray[np.uint8]:
    rows, columns = grid(_SHAPE)
    tone = np.array([rng.uniform(0.68, 0.84), rng.uniform(0.34, 0.46), rng.uniform(0.14, 0.24)])
    picture = np.broadcast_to(tone, (*_SHAPE, 3)) * (1 + 0.07 * fractal(rng, _SHAPE, slope=2.6))[..., None]
    picture = picture * (1 + 0.035 * fractal(rng, _SHAPE, slope=1.0, coarsest=12))[..., None]
    picture = _choroid(rng, picture)
    glow = np.exp(-(np.hypot(rows - disc[0], columns - disc[1]) ** 2) / (2 * rng.uniform(11, 16) ** 2))
    picture = blend(picture, (0.97, 0.83, 0.55), np.clip(1.15 * glow, 0, 0.92))
    picture = _lesions(rng, picture)
    strength = depth * rng.uniform(0.55, 0.85) * np.clip(1 + 0.22 * fractal(rng, _SHAPE, slope=2.2), 0.45, 1.3)
    opacity = np.clip(edge(distance - width, 0.55) * strength, 0, 0.85)
    picture = blend(picture, tone * np.array([0.55, 0.26, 0.3]), opacity)
    reflex = edge(distance - 0.35 * width, 0.3) * (width > 1.5) * 0.22  # light reflected along wide vessels
    picture = blend(picture, (0.95, 0.6, 0.4), reflex)
    centre = (rng.uniform(30, 98), rng.uniform(30, 98))
    shade = 1.08 - rng.uniform(0.25, 0.5) * (np.hypot(rows - centre[0], columns - centre[1]) / 90) ** 2
    picture = picture * shade[..., None]
    return camera(rng, picture, blur=rng.uniform(0.5, 0.95), noise=0.026)


def _choroid(rng: Random, picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Broad, faint bands of deeper vessels: not part of the truth."""
    for _ in range(int(rng.integers(1, 5))):
        start = (rng.uniform(0, SIZE), rng.uniform(0, SIZE))
        line = wandering_line(rng, start, rng.uniform(0, 2 * np.pi), rng.uniform(70, 160), wander=0.02)
        distance, _ = distance_to_polyline(_SHAPE, line)
        band = edge(distance - rng.uniform(1.5, 3.5), rng.uniform(1.2, 2.2)) * rng.uniform(0.08, 0.24)
        picture = blend(picture, (0.45, 0.16, 0.1), band)
    return picture


def _lesions(rng: Random, picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """Dark bleedings, some drawn out like a piece of vessel, and bright deposits: not part of the truth."""
    rows, columns = grid(_SHAPE)
    rough = ndimage.gaussian_filter(rng.standard_normal(_SHAPE), 2) * 4
    for _ in range(int(rng.integers(1, 6))):
        row, column, tilt = rng.uniform(0, SIZE), rng.uniform(0, SIZE), rng.uniform(0, np.pi)
        along = (rows - row) * np.sin(tilt) + (columns - column) * np.cos(tilt)
        across = (rows - row) * np.cos(tilt) - (columns - column) * np.sin(tilt)
        long = rng.uniform(1.0, 3.5)
        far = np.hypot(along / long, across) + rough * 0.6
        dark = rng.random() < 0.65
        spot = edge(far - rng.uniform(1.3, 3.0), 0.6) * rng.uniform(0.3, 0.7)
        picture = blend(picture, (0.42, 0.1, 0.07) if dark else (0.95, 0.86, 0.5), spot)
    return picture
