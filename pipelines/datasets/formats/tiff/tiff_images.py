"""TIFF files of any number of channels to pictures and mask values: through Pillow where it can, else tifffile."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.arrays import Float32Array
from pipelines.datasets import imageio
from pipelines.datasets.formats.tiff.tiff_file import (
    MAX_CHANNELS,
    Pages,
    TiffHead,
    is_tiff,
    read_channels,
    read_head,
    short,
)
from pipelines.errors import DatasetError

__all__ = [
    "OPTIONS", "Pages", "TiffReading", "is_tiff", "parse_options", "read_channels", "read_head", "read_mask",
    "read_picture", "read_picture_head", "whole_numbers",
]  # fmt: skip

OPTIONS: Final[dict[str, str]] = {
    "channels": "TIFF pictures: the channels taken as red, green and blue, from 1, such as 4,3,2; one is grey",
    "range": 'TIFF pictures: values that become black and white, such as 0,4095; "dtype" takes all that an integer can '
    'hold; "percentile" takes the 1st and 99th of each picture',
}


@dataclass(frozen=True)
class TiffReading:
    """How to make pictures of TIFF files. channels: from 0; (): the first three. limits: black and white."""

    channels: tuple[int, ...] = ()
    limits: tuple[float, float] | Literal["dtype", "percentile"] = "dtype"
    pages: Pages = ""

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for that differs from an ordinary picture."""
        return not self.channels and self.limits == "dtype"


def parse_options(options: Mapping[str, str]) -> TiffReading:
    """Options channels, range and pages. Raises DatasetError, one line."""
    said, limits, pages = options.get("channels", ""), options.get("range", "dtype"), options.get("pages", "")
    try:
        channels = tuple(int(one) - 1 for one in said.split(",")) if said.strip() else ()
    except ValueError:
        channels = (-1,)
    if len(channels) > 3 or any(not 0 <= one < MAX_CHANNELS for one in channels):
        raise DatasetError(f"channels must be one to three numbers from 1, such as 4,3,2, got {said[:50]!r}")
    if pages not in ("", "channels", "slices"):
        raise DatasetError(f"pages must be channels or slices, got {pages[:50]!r}")
    return TiffReading(channels, _limits(limits.strip()), pages)  # type: ignore[arg-type]


def read_picture(
    path: Path, reading: TiffReading, *, size: tuple[int, int] | None = None, page: int | None = None
) -> tuple[Float32Array, tuple[int, int], int]:
    """A picture as `imageio.read_picture` gives it, from any image file; TIFF files may have any number of channels.

    One channel is repeated to three, two are red and green. Values that are not finite become black.
    """
    if not is_tiff(path):
        return imageio.read_picture(path, size=size)
    if reading.plain and page is None and not reading.pages and read_head(path).ordinary:
        return imageio.read_picture(path, size=size)
    values = read_channels(path, page=page, pages=reading.pages)
    own = (values.shape[0], values.shape[1])
    chosen = reading.channels or tuple(range(min(3, values.shape[2])))
    if max(chosen) >= values.shape[2]:
        raise DatasetError(
            f"{short(path)} has {values.shape[2]} channels, asked for is channel {max(chosen) + 1}; correct channels"
        )
    image = np.zeros((*own, 3), np.float32)
    used = image[:, :, : len(chosen)]
    for index, channel in enumerate(chosen):
        used[:, :, index] = values[:, :, channel]
    _scale(path, used, values.dtype, reading.limits)
    if len(chosen) == 1:
        image[:, :, 1:] = used
    if size is not None and size != own:
        layers = [
            Image.fromarray(image[:, :, index]).resize((size[1], size[0]), Image.Resampling.BILINEAR)
            for index in range(3)
        ]
        image = np.clip(np.stack([np.asarray(layer) for layer in layers], axis=2), 0, 1)
    return image, own, _file_head(path, reading, page).orientation


def read_picture_head(path: Path, reading: TiffReading, *, page: int | None = None) -> tuple[tuple[int, int], int]:
    """A picture's (height, width), upright, and its orientation, as `read_picture` gives them, without its pixels."""
    if not is_tiff(path):
        return imageio.read_head(path)
    head = _file_head(path, reading, page)
    return (head.shape[::-1] if head.orientation > 4 else head.shape), head.orientation


def _file_head(path: Path, reading: TiffReading, page: int | None) -> TiffHead:
    return read_head(path, reading.pages if page is None else "slices")


def read_mask(path: Path, *, page: int | None = None, pages: Pages = "") -> NDArray[Any]:
    """The raw values of a one-channel mask from any image file, (H, W) uint8, uint16 or int32, upright.

    Raises DatasetError for several channels, for values that are no whole numbers and for damage.
    """
    if not is_tiff(path):
        return imageio.read_mask(path)
    values = read_channels(path, page=page, pages=pages)
    if values.shape[2] != 1:
        raise DatasetError(
            f"{short(path)} has {values.shape[2]} channels, but a mask has one channel whose value is the class; save "
            "one channel, or read it in the format tiff, a class a channel"
        )
    return whole_numbers(path, values[:, :, 0])


def whole_numbers(path: Path, values: NDArray[Any]) -> NDArray[Any]:
    """Values as uint8, uint16 or int32 without changing any. Raises DatasetError where that cannot be."""
    if values.dtype in (np.uint8, np.uint16, np.int32):
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    limit = np.iinfo(np.int32)
    kept = values.size == 0 or bool(
        np.isfinite(values).all() and values.min() >= limit.min and values.max() <= limit.max
    )
    whole = values.astype(np.int32) if kept else None
    if whole is None or not np.array_equal(whole, values):
        raise DatasetError(
            f"{short(path)} holds values that are no whole numbers ({values.dtype}), but a mask's values are classes; "
            "save them as whole numbers"
        )
    return whole


def _limits(text: str) -> tuple[float, float] | Literal["dtype", "percentile"]:
    if text == "dtype":
        return "dtype"
    if text == "percentile":
        return "percentile"
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not (np.isfinite([low, high]).all() and low < high):
        raise DatasetError(f'range must be "dtype", "percentile" or two numbers such as 0,4095, got {text[:50]!r}')
    return low, high


def _scale(
    path: Path, image: Float32Array, dtype: np.dtype[Any], limits: tuple[float, float] | Literal["dtype", "percentile"]
) -> None:
    """Bring values to [0, 1] in place."""
    finite = np.isfinite(image)
    if limits == "percentile":
        some = image[finite]
        low, high = (float(one) for one in np.percentile(some, (1, 99))) if some.size else (0.0, 1.0)
        high = high if high > low else low + 1.0
    elif limits != "dtype":
        low, high = limits
    elif dtype == np.bool_:
        low, high = 0.0, 1.0
    elif dtype.kind in "iu":
        low, high = float(np.iinfo(dtype).min), float(np.iinfo(dtype).max)
    else:
        low, high = 0.0, 1.0
        least, most = (float(image[finite].min()), float(image[finite].max())) if finite.any() else (0.0, 1.0)
        if least < -1e-3 or most > 1 + 1e-3:
            raise DatasetError(
                f"{short(path)} holds values from {least:.6g} to {most:.6g} ({dtype}), whose range is not known; say "
                "which become black and white, such as range=0,4000, or range=percentile"
            )
    image[~finite] = low
    image -= np.float32(low)
    image /= np.float32(high - low)
    np.clip(image, 0, 1, out=image)
