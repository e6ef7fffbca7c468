"""Random numbers to land seen from above: one class a pixel, rare roads and buildings, clouds that hide the truth."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from sample_data.drawing import (
    SIZE,
    Field,
    Picture,
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

CLASSES = ("soil", "field", "forest", "water", "road", "building")
IGNORED = 255  # under a cloud
TILES = 2  # cut from one scene
_SOIL, _FIELD, _FOREST, _WATER, _ROAD, _BUILDING = range(6)
_SHAPE = (SIZE, TILES * SIZE)


@dataclass(frozen=True)
class _Land:
    """classes: (H, W) class index. parcels: (H, W) index of the plot. heights: relief, standard normal."""

    classes: NDArray[np.int64]
    parcels: NDArray[np.int64]
    heights: Field
    tilt: Field  # (H, W) row direction of each plot, radians
    growth: Field  # (H, W) how green each plot is, [0, 1]


def draw_landcover(rng: Random) -> list[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """One scene as tiles side by side: images (H, W, 3) uint8 and masks (H, W) uint8, IGNORED under clouds."""
    land = _land(rng)
    picture = _paint(rng, land)
    picture, cloud = _sky(rng, picture)
    image = camera(rng, picture * rng.uniform(1.1, 1.3), blur=rng.uniform(0.55, 0.9), noise=0.03)
    mask = _outline(rng, land.classes).astype(np.uint8)
    mask[ndimage.binary_closing(ndimage.gaussian_filter(cloud, 1.0) > 0.6, iterations=2)] = IGNORED
    cuts = [slice(SIZE * tile, SIZE * (tile + 1)) for tile in range(TILES)]
    return [(image[:, cut], mask[:, cut]) for cut in cuts]


def _land(rng: Random) -> _Land:
    heights = fractal(rng, _SHAPE, slope=3.2)
    moisture = fractal(rng, _SHAPE, slope=2.6)
    parcels, tilt = _parcels(rng)
    growth = rng.beta(1.1, 1.0, parcels.max() + 1)[parcels]
    classes = np.where(growth > 0.46, _FIELD, _SOIL)
    wooded = ndimage.gaussian_filter(moisture + 0.2 * fractal(rng, _SHAPE, slope=1.8), 1.8)
    classes = np.where(wooded > rng.uniform(0.3, 1.0), _FOREST, classes)
    if rng.random() < 0.55:
        level = ndimage.gaussian_filter(heights, 2.0)
        classes = np.where(level < np.quantile(level, rng.uniform(0.02, 0.12)), _WATER, classes)
    if rng.random() < 0.6:
        start = (rng.uniform(0, _SHAPE[0]), -5.0)
        river = wandering_line(rng, start, rng.normal(0, 0.3), 340, wander=0.03)
        distance, _ = distance_to_polyline(_SHAPE, river)
        classes = np.where(distance < rng.uniform(2.5, 6) + fractal(rng, _SHAPE, slope=2.4), _WATER, classes)
    classes = _settle(rng, classes)
    return _Land(classes, parcels, heights, tilt, growth)


def _parcels(rng: Random) -> tuple[NDArray[np.int64], Field]:
    """Plots between gently bent, roughly perpendicular borders, and the direction of the rows in each."""
    rows, columns = grid(_SHAPE)
    turn = rng.uniform(0, np.pi)
    bend = 5 * smooth_normal(rng, _SHAPE, 30)
    along = rows * np.sin(turn) + columns * np.cos(turn) + bend
    across = rows * np.cos(turn) - columns * np.sin(turn) + 4 * smooth_normal(rng, _SHAPE, 25)
    strip = np.floor(across / rng.uniform(26, 44)).astype(np.int64)
    strip -= strip.min()
    width = rng.uniform(22, 60, strip.max() + 1)[strip]
    plot = np.floor(along / width + rng.uniform(0, 9, strip.max() + 1)[strip]).astype(np.int64)
    _, parcels = np.unique((strip * 1000 + plot - plot.min()).ravel(), return_inverse=True)
    parcels = parcels.reshape(_SHAPE).astype(np.int64)
    leaning = turn + np.where(rng.random(parcels.max() + 1) < 0.5, 0, np.pi / 2)
    return parcels, leaning[parcels]


def _settle(rng: Random, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Roads across the scene and houses along them."""
    for _ in range(int(rng.integers(1, 3))):
        heading = rng.choice([0.0, np.pi / 2]) + rng.normal(0, 0.25)
        start = (-4.0, rng.uniform(20, _SHAPE[1] - 20)) if heading > 0.8 else (rng.uniform(10, _SHAPE[0] - 10), -4.0)
        line = wandering_line(rng, start, heading, 330, wander=0.012)
        distance, _ = distance_to_polyline(_SHAPE, line)
        classes = np.where(distance < rng.uniform(1.1, 2.0), _ROAD, classes)
        classes = _houses(rng, classes, line)
    return classes


def _houses(rng: Random, classes: NDArray[np.int64], road: NDArray[np.float64]) -> NDArray[np.int64]:
    rows, columns = grid(_SHAPE)
    inside = np.flatnonzero(((road > 4) & (road < np.array(_SHAPE) - 4)).all(axis=1))
    if inside.size < 20:
        return classes
    village = int(rng.choice(inside[5:-5]))
    for _ in range(int(rng.integers(3, 13))):
        at = int(np.clip(village + rng.normal(0, 60), inside[0] + 1, inside[-1] - 1))
        ahead = np.arctan2(*(road[at + 1] - road[at - 1])) + rng.normal(0, 0.12)
        side = rng.choice([-1.0, 1.0]) * rng.uniform(5.5, 15)
        row, column = road[at][0] + side * np.cos(ahead), road[at][1] - side * np.sin(ahead)
        along = np.abs((rows - row) * np.sin(ahead) + (columns - column) * np.cos(ahead))
        across = np.abs((rows - row) * np.cos(ahead) - (columns - column) * np.sin(ahead))
        house = (along < rng.uniform(2.2, 4.8)) & (across < rng.uniform(1.7, 3.2))
        if not np.isin(classes[house], (_ROAD, _WATER)).any():
            classes = np.where(house, _BUILDING, classes)
    return classes


def _paint(rng: Random, land: _Land) -> Picture:
    """Each class's own look, mixed across soft borders, under one sun."""
    looks = [_soil(rng, land), _crop(rng, land), _canopy(rng), _water(rng), _asphalt(rng), _roofs(rng, land)]
    weights = np.stack([ndimage.gaussian_filter((land.classes == index) * 1.0, 0.7) for index in range(len(CLASSES))])
    picture = np.einsum("chw,chwk->hwk", weights, np.stack(looks))
    picture = _lone_trees(rng, land, picture)
    tall = (land.classes == _FOREST) * 1.6 + (land.classes == _BUILDING) * 2.2
    tall = tall + 0.5 * (land.classes == _FOREST) * fractal(rng, _SHAPE, slope=1.4, coarsest=10)
    reach = rng.uniform(1.2, 2.6)
    shadow = np.clip(np.max([ndimage.shift(tall, (k * reach / 2, k * reach / 2)) for k in (1, 2)], axis=0) - tall, 0, 2)
    picture = picture * (1 - 0.24 * ndimage.gaussian_filter(shadow, 0.6))[..., None]
    slope = ndimage.gaussian_filter(land.heights, 2.0)
    sun = np.gradient(slope, axis=0) + np.gradient(slope, axis=1)
    return picture * (1 + 0.9 * np.clip(sun, -0.25, 0.25))[..., None]


def _tone(rng: Random, colour: tuple[float, float, float], field: Field, *, by: float) -> Picture:
    """A colour that varies in brightness with a field, and from scene to scene in hue."""
    base = np.array(colour) * rng.uniform(0.9, 1.1) * rng.uniform(0.95, 1.05, 3)
    return base * (1 + by * field)[..., None]


def _rows(land: _Land, spacing: float) -> Field:
    rows, columns = grid(_SHAPE)
    return np.sin((rows * np.sin(land.tilt) + columns * np.cos(land.tilt)) * 2 * np.pi / spacing)


def _soil(rng: Random, land: _Land) -> Picture:
    bare = _tone(rng, (0.52, 0.42, 0.31), fractal(rng, _SHAPE, slope=1.8), by=0.09)
    bare = bare * (1 + 0.05 * _rows(land, rng.uniform(3.5, 6)) * (land.parcels % 3 == 0))[..., None]
    bare = bare * (1 + 0.14 * np.sin(land.parcels * 2.4))[..., None]
    weeds = np.clip(land.growth * 1.1 + 0.16 * fractal(rng, _SHAPE, slope=1.7), 0, 0.75)
    return blend(bare, (0.36, 0.42, 0.22), weeds)


def _crop(rng: Random, land: _Land) -> Picture:
    hue = 0.5 + 0.5 * np.sin(land.parcels * 1.7 + rng.uniform(0, 6))
    green = np.stack([0.30 + 0.26 * hue, 0.44 + 0.10 * hue, 0.18 + 0.05 * hue], axis=-1)
    lines = _rows(land, rng.uniform(3.2, 5.5)) * (0.03 + 0.06 * (land.parcels % 4 == 1))
    green = green * (1 + lines + 0.06 * fractal(rng, _SHAPE, slope=1.8))[..., None]
    gaps = np.clip(0.75 - land.growth + 0.18 * fractal(rng, _SHAPE, slope=1.6), 0, 0.8)
    return blend(green, (0.50, 0.42, 0.29), gaps)


def _canopy(rng: Random) -> Picture:
    """Crowns as bumps lit from the upper left, with dark gaps."""
    bumps = fractal(rng, _SHAPE, slope=0.8, coarsest=9)
    bumps = ndimage.gaussian_filter(bumps, 0.9)
    bumps /= bumps.std()
    lit = -(np.gradient(bumps, axis=0) + np.gradient(bumps, axis=1))
    shade = 0.14 * lit / lit.std() + 0.13 * bumps + 0.10 * fractal(rng, _SHAPE, slope=2.2)
    return _tone(rng, (0.20, 0.31, 0.16), shade, by=1.0)


def _water(rng: Random) -> Picture:
    return _tone(rng, (0.17, 0.27, 0.31), 0.6 * fractal(rng, _SHAPE, slope=2.6) + 0.25 * fractal(rng, _SHAPE), by=0.16)


def _asphalt(rng: Random) -> Picture:
    worn = rng.random()  # from dark tar to a pale track that looks like soil
    colour = (0.44 + 0.2 * worn, 0.43 + 0.14 * worn, 0.42 + 0.02 * worn)
    return _tone(rng, colour, fractal(rng, _SHAPE, slope=1.5), by=0.05)


def _roofs(rng: Random, land: _Land) -> Picture:
    """One colour a house: tiles, slate or sheet metal."""
    houses, count = ndimage.label(land.classes == _BUILDING)
    palette = np.array([(0.62, 0.33, 0.26), (0.55, 0.38, 0.32), (0.45, 0.45, 0.48), (0.78, 0.77, 0.74)])
    colours = palette[rng.integers(0, 4, count + 1)] * rng.uniform(0.85, 1.1, (count + 1, 1))
    rows, columns = grid(_SHAPE)
    ridge = 1 + 0.08 * np.sign(np.sin((rows + columns) * 0.7))
    return ndimage.gaussian_filter(colours[houses], (0.3, 0.3, 0)) * ridge[..., None]


def _lone_trees(rng: Random, land: _Land, picture: Picture) -> Picture:
    """Single trees and hedges along plots, which the truth counts to the plot they stand in."""
    rows, columns = grid(_SHAPE)
    border = ndimage.maximum_filter(land.parcels, 3) != ndimage.minimum_filter(land.parcels, 3)
    hedge = border & (fractal(rng, _SHAPE, slope=2) > 0.9) & (land.classes <= _FIELD)
    crowns = 0.7 * ndimage.gaussian_filter(hedge * 1.0, 0.9)
    for _ in range(int(rng.integers(4, 16))):
        row, column = rng.uniform(0, _SHAPE[0]), rng.uniform(0, _SHAPE[1])
        crown = edge(np.hypot(rows - row, columns - column) - rng.uniform(1.2, 2.6), 0.5)
        crowns = np.maximum(crowns, 0.85 * crown * (land.classes <= _FIELD))
    return blend(picture, (0.2, 0.29, 0.15), np.clip(crowns, 0, 0.85))


def _sky(rng: Random, picture: Picture) -> tuple[Picture, Field]:
    """Haze, now and then a cloud with its shadow; also the cloud's opacity."""
    light = 1 + 0.06 * fractal(rng, _SHAPE, slope=3.4)
    picture = blend(picture * light[..., None], (0.74, 0.78, 0.84), np.full(_SHAPE, rng.uniform(0.02, 0.16)))
    if rng.random() > 0.35:
        return picture, np.zeros(_SHAPE)
    field = fractal(rng, _SHAPE, slope=3.0) + 0.12 * fractal(rng, _SHAPE, slope=1.8)
    cloud = np.clip((field - rng.uniform(1.35, 1.8)) * 1.6, 0, 0.97)
    shadow = ndimage.gaussian_filter(ndimage.shift(cloud, (14, 18)), 1.5)
    picture = picture * (1 - 0.4 * shadow)[..., None]
    return blend(picture, (0.93, 0.94, 0.96), cloud), cloud


def _outline(rng: Random, classes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The map as a hand draws it: every border is off by about half a pixel, smoothly."""
    down, right = 0.6 * smooth_normal(rng, _SHAPE, 5), 0.6 * smooth_normal(rng, _SHAPE, 5)
    drawn = warp(classes.astype(np.float64), down, right, order=0)
    return drawn.astype(np.int64)
