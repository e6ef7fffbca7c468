"""Mask files to the values or colours they hold, each file looked at once in a process."""

import threading
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pipelines.datasets import imageio
from pipelines.datasets.formats import tiff_images
from pipelines.errors import DatasetError

How: TypeAlias = Literal["index", "color"]
Counts: TypeAlias = dict[int, int]  # value, or colour as 0xRRGGBB, to number of pixels

MOST: Final = 4096  # different values of one file; more are not told apart
_KEPT: Final = 200_000
_cache: OrderedDict[tuple[str, How, int, int], Counts | None] = OrderedDict()
_lock: Final = threading.Lock()


@dataclass(frozen=True)
class Seen:
    """What the masks of a data set hold: each file's counts; None for one with more than MOST values.

    unreadable: files that cannot be read; examining their image says why. problem: of the first of them.
    """

    files: dict[Path, Counts | None]
    unreadable: tuple[Path, ...]
    problem: str = "there is none"

    def total(self) -> Counts:
        """Pixels by value over all files that could be counted, ascending by value."""
        total: Counts = {}
        for counts in self.files.values():
            for value, pixels in (counts or {}).items():
                total[value] = total.get(value, 0) + pixels
        return dict(sorted(total.items()))


def look(paths: Iterable[Path], how: How) -> Seen:
    """Look at every mask once; what was seen is kept as long as the file does not change."""
    files: dict[Path, Counts | None] = {}
    unreadable: dict[Path, str] = {}
    for path in paths:
        try:
            known = path.stat()
            files[path] = _counts(path, how, known.st_size, known.st_mtime_ns)
        except (DatasetError, OSError) as error:
            unreadable[path] = str(error)
    return Seen(files, tuple(unreadable), *list(unreadable.values())[:1])


def read_index(path: Path) -> NDArray[Any]:
    """Mask values (H, W); a colour image whose three channels are equal is taken as grey. Raises DatasetError."""
    if mode_of(path) in ("RGB", "RGBA", "LA", "CMYK"):
        grey = imageio.read_grey(path)
        if grey is not None:
            return grey
    return tiff_images.read_mask(path)


def read_codes(path: Path) -> NDArray[np.int32]:
    """Mask colours (H, W) int32 as 0xRRGGBB. Raises DatasetError."""
    colors = imageio.read_colors(path)
    codes = colors[:, :, 0].astype(np.int32)
    for channel in (1, 2):
        codes <<= 8
        codes |= colors[:, :, channel]
    return codes


def mode_of(path: Path) -> str | None:
    """Pillow's mode of an image file, told by its head; None when Pillow cannot tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=imageio.FORMATS) as picture:
                return picture.mode
    except Exception:  # the head of a damaged file raises anything; reading it whole says what is wrong
        return None


def palette_of(path: Path) -> list[str]:
    """Colours "#rrggbb" of a palette image by value; [] for others."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(path, formats=imageio.FORMATS) as picture:
                if picture.mode != "P":
                    return []
                flat = picture.getpalette("RGB") or []
    except Exception:  # as above
        return []
    return [f"#{flat[at]:02x}{flat[at + 1]:02x}{flat[at + 2]:02x}" for at in range(0, len(flat) - 2, 3)]


def blurred(total: Counts) -> bool:
    """Whether values look like the edges of smoothed or JPEG-compressed masks: many, and most of them rare."""
    pixels = sum(total.values())
    rare = sum(count < 1e-3 * pixels for count in total.values())
    return len(total) > 12 and rare > 0.6 * len(total)


def _counts(path: Path, how: How, size: int, changed: int) -> Counts | None:
    key = (str(path), how, size, changed)
    with _lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    made = _READERS[how](path)
    with _lock:
        _cache[key] = made
        while len(_cache) > _KEPT:
            _cache.popitem(last=False)
    return made


def _index_counts(path: Path) -> Counts | None:
    values = read_index(path)
    if values.dtype == np.uint8:  # Pillow counts three times faster than bincount, ten times faster than sorting
        return {value: count for value, count in enumerate(Image.fromarray(values).histogram()) if count}
    found, counts = np.unique(values, return_counts=True)
    if len(found) > MOST:
        return None
    return {int(value): int(count) for value, count in zip(found, counts, strict=True)}


def _color_counts(path: Path) -> Counts | None:
    found = Image.fromarray(imageio.read_colors(path)).getcolors(MOST)
    if found is None:
        return None
    colors = cast("list[tuple[int, tuple[int, int, int]]]", found)
    return {(red << 16) | (green << 8) | blue: count for count, (red, green, blue) in colors}


_READERS: Final[dict[How, Callable[[Path], Counts | None]]] = {"index": _index_counts, "color": _color_counts}
