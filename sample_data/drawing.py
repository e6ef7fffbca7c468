"""Random numbers to textures, soft shapes and camera effects that the sample data sets are drawn with."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, special

Field = NDArray[np.float64]  # (H, W)
Picture = NDArray[np.float64]  # (H, W, 3), 0 black to 1 white
Random = np.random.Generator

SIZE = 128  # height and width of every sample image, pixels


def fractal(rng: Random, shape: tuple[int, int], *, slope: float = 2.0, coarsest: float = 1e9) -> Field:
    """Noise with power f^-slope, mean 0 and deviation 1: slope 1 is grainy, 2 cloudy, 3 smooth.

    coarsest: longest wave kept, pixels.
    """
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    frequency = np.hypot(fy, fx)
    frequency[0, 0] = np.inf
    power = frequency ** (-slope / 2) * (frequency >= 1 / coarsest)
    field = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(shape)) * power, s=shape)
    return (field - field.mean()) / field.std()


def smooth_normal(rng: Random, shape: tuple[int, int], sigma: float) -> Field:
    """A smooth field that is exactly standard normal at every single pixel.

    White noise under a Gaussian kernel with wrapped edges has the same variance everywhere, the kernel's sum of
    squares; the field is divided by its root.
    """
    kernel = np.zeros(shape)
    kernel[0, 0] = 1.0
    kernel = ndimage.gaussian_filter(kernel, sigma, mode="wrap")
    noise = ndimage.gaussian_filter(rng.standard_normal(shape), sigma, mode="wrap")
    return noise / np.sqrt((kernel**2).sum())


def uniform_field(rng: Random, shape: tuple[int, int], *, scales: Sequence[tuple[float, float]]) -> Field:
    """A field that is uniform on [0, 1] at every pixel and smooth on several scales: Phi of a standard normal sum.

    scales: (sigma in pixels, share of the variance) of each part; the shares add up to 1.
    """
    return special.ndtr(sum(np.sqrt(share) * smooth_normal(rng, shape, sigma) for sigma, share in scales))


def grid(shape: tuple[int, int]) -> tuple[Field, Field]:
    """Row and column of each pixel."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.float64)
    return rows, columns


def warp(field: Field, down: Field, right: Field, *, order: Literal[0, 1] = 1) -> Field:
    """The field as seen after moving its points by (down, right) pixels; edges are mirrored."""
    rows, columns = grid((field.shape[0], field.shape[1]))
    return ndimage.map_coordinates(field, np.stack([rows + down, columns + right]), order=order, mode="mirror")


def edge(distance: Field, softness: float) -> Field:
    """1 inside (distance below 0), 0 outside, a logistic ramp `softness` pixels wide between."""
    return special.expit(-distance / softness)


def distance_to_polyline(shape: tuple[int, int], points: NDArray[np.float64]) -> tuple[Field, NDArray[np.int64]]:
    """Distance of each pixel to a dense line of (row, column) points, and the index of the nearest point."""
    canvas = np.full(shape, -1, np.int64)
    rows, columns = np.round(points).astype(np.int64).T
    inside = (rows >= 0) & (rows < shape[0]) & (columns >= 0) & (columns < shape[1])
    if not inside.any():
        return np.full(shape, 1e6), np.zeros(shape, np.int64)
    canvas[rows[inside], columns[inside]] = np.flatnonzero(inside)
    (near_rows, near_columns) = ndimage.distance_transform_edt(canvas < 0, return_distances=False, return_indices=True)
    nearest = canvas[near_rows, near_columns]
    here_rows, here_columns = grid(shape)
    return np.hypot(here_rows - points[nearest, 0], here_columns - points[nearest, 1]), nearest


def wandering_line(
    rng: Random, start: tuple[float, float], heading: float, length: float, *, wander: float, step: float = 0.5
) -> NDArray[np.float64]:
    """A smooth random walk, (N, 2) rows and columns. heading: radians; wander: radians of turn per root pixel."""
    count = max(int(length / step), 2)
    turn = ndimage.gaussian_filter1d(rng.standard_normal(count), 12 / step, mode="nearest") * np.sqrt(12 / step)
    angle = heading + np.cumsum(turn) * wander * step
    return np.asarray(start) + np.cumsum(np.stack([np.sin(angle), np.cos(angle)], axis=1) * step, axis=0)


def blend(under: Picture, over: Picture | Sequence[float], alpha: Field) -> Picture:
    """Lay `over` on `under` with opacity alpha in [0, 1]."""
    return under + (np.asarray(over) - under) * alpha[..., None]


def camera(rng: Random, picture: Picture, *, blur: float, noise: float) -> NDArray[np.uint8]:
    """What a sensor makes of it: lens blur, shot and read noise, 8 bits."""
    seen = ndimage.gaussian_filter(picture, (blur, blur, 0))
    shot = rng.standard_normal(seen.shape) * noise * np.sqrt(np.clip(seen, 0.02, 1))
    # Neighbouring pixels share noise (demosaicing), which also keeps JPEG files small.
    shot = ndimage.gaussian_filter(shot, (0.6, 0.6, 0)) * 1.9
    return (np.clip(seen + shot, 0, 1) * 255 + 0.5).astype(np.uint8)
