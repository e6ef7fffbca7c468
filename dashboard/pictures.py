"""An image with its truth and predictions to pictures of labels and comparisons, (H, W, 3) uint8."""

import io
from collections.abc import Sequence
from typing import Final

import numpy as np
from PIL import Image

from pipelines.arrays import BoolArray, UInt8Array

_FILL: Final = 0.55  # opacity of a label's area
_FADE: Final = 0.65  # how far the image under a comparison is drawn towards grey
# Dark to light through violet, green and yellow: the order is kept in grey and for colour-blind readers (viridis).
_SCALE: Final = np.array(
    [
        [68, 1, 84],
        [72, 40, 120],
        [62, 74, 137],
        [49, 104, 142],
        [38, 130, 142],
        [31, 158, 137],
        [53, 183, 121],
        [109, 205, 89],
        [180, 222, 44],
        [253, 231, 37],
    ],
    np.float64,
)


def rgb(color: str) -> UInt8Array:
    """A colour "#rrggbb" as (3,) uint8."""
    return np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)], np.uint8)


def enlarge(picture: UInt8Array, *, least: int = 420) -> UInt8Array:
    """Repeat whole pixels until the longer side has at least `least`, so that browsers do not blur small pictures."""
    factor = max(1, -(-least // max(picture.shape[:2])))
    return picture.repeat(factor, axis=0).repeat(factor, axis=1)


def label_picture(
    image: UInt8Array, labels: BoolArray, colors: Sequence[str], *, valid: BoolArray, outlines: bool = True
) -> UInt8Array:
    """Labels over the greyed image: areas blended where several overlap, each outlined in its own colour.

    image: (H, W, 3) uint8; labels: (C, H, W) bool; valid: (H, W) bool, False is hatched. Returns the picture enlarged,
    with outlines a third of an image pixel thin where there is room.
    """
    grey = _grey(image)
    palette = np.stack([rgb(color) for color in colors]).astype(np.float64)
    many = labels.sum(axis=0)
    blended = np.einsum("chw,ck->hwk", labels.astype(np.float64), palette) / np.maximum(many, 1)[..., None]
    out = np.where(many[..., None] > 0, (1 - _FILL) * grey + _FILL * blended, grey)
    out[~valid] = 0.5 * out[~valid] + 0.5 * _hatch(valid.shape)[~valid]
    big = enlarge(np.rint(out).astype(np.uint8))
    factor = big.shape[0] // image.shape[0]
    for index in range(len(colors) if outlines else 0):
        mask = labels[index].repeat(factor, axis=0).repeat(factor, axis=1)
        big[outline(mask, width=max(1, factor // 3))] = palette[index].astype(np.uint8)
    return big


def outline(mask: BoolArray, *, width: int = 1) -> BoolArray:
    """Pixels of a mask (H, W) fewer than `width` steps from the outside; the rim of the image is no outside."""
    inside = mask
    for _ in range(width):
        padded = np.pad(inside, 1, mode="edge")
        inside = inside & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return mask & ~inside


def comparison(truth: BoolArray, first: BoolArray, second: BoolArray, valid: BoolArray) -> UInt8Array:
    """(H, W) uint8: 0 both heads give the same labels, 1 they differ and only the first is right, 2 only the second,
    3 neither; 0 where not valid. Right means every label of the pixel.
    """
    differ = (first != second).any(axis=0) & valid
    first_right = (first == truth).all(axis=0)
    second_right = (second == truth).all(axis=0)
    out = np.where(first_right, 1, np.where(second_right, 2, 3))
    return np.where(differ, out, 0).astype(np.uint8)


def comparison_picture(image: UInt8Array, codes: UInt8Array, colors: Sequence[str]) -> UInt8Array:
    """Codes of `comparison` over the faded image. colors: of codes 1, 2 and 3."""
    out = (1 - _FADE) * _grey(image) + _FADE * 235
    for code, color in enumerate(colors, start=1):
        out[codes == code] = rgb(color)
    return enlarge(np.rint(out).astype(np.uint8))


def shrink(picture: UInt8Array, *, most: int = 200) -> UInt8Array:
    """A small copy whose longer side has `most` pixels at most, each the mean of the pixels it stands for."""
    factor = max(picture.shape[:2]) / most
    if factor <= 1:
        return enlarge(picture, least=most // 2)
    size = (max(1, round(picture.shape[1] / factor)), max(1, round(picture.shape[0] / factor)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def jpeg(picture: UInt8Array, *, quality: int = 90) -> bytes:
    """A picture as a JPEG file whose colours are as sharp as its brightness: a fifth of the bytes of a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def png(picture: UInt8Array) -> bytes:
    """A picture as a PNG file, packed for speed: a quarter of the time for a tenth more bytes."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def scale() -> list[list[int]]:
    """Colours of a scale from dark to light at equal steps, rows of red, green and blue from 0 to 255."""
    return _SCALE.astype(int).tolist()


def _grey(image: UInt8Array) -> np.ndarray:
    """(H, W, 3) float64 in grey, by Rec. 601 luma."""
    return np.repeat((image @ np.array([0.299, 0.587, 0.114]))[..., None], 3, axis=-1)


def _hatch(shape: tuple[int, ...]) -> np.ndarray:
    """Diagonal stripes, (H, W, 3)."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.where(((x + y) % 6 < 3)[..., None], 200.0, 90.0) * np.ones(3)
