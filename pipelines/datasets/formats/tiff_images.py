"""TIFF files to pictures and masks: by channel, page and range, within bounds."""

import logging
import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipelines.arrays import Float32Array
from pipelines.datasets import imageio
from pipelines.datasets.files import damage_named, readable
from pipelines.datasets.options import channel_numbers, choice, limits
from pipelines.errors import DatasetError
from pipelines.sentences import path_tail

# The file ------------------------------------------------------------------------------------------------------------

Pages: TypeAlias = Literal["", "channels", "slices"]
Range: TypeAlias = tuple[float, float] | Literal["dtype", "percentile"]  # values that become black and white

SUFFIXES: Final = (".tif", ".tiff")
MAX_BYTES: Final = 2**29  # of decoded values in one file: 512 MB
MAX_CHANNELS: Final = 4096
MAX_PAGES: Final = 10_000

# Compressions whose decoders are widely used and bounded by the size of a strip or tile.
_COMPRESSIONS: Final = {1, 5, 7, 8, 32773, 32946, 34925, 34926, 50000}
_PILLOW_COMPRESSIONS: Final = {1, 5, 7, 8, 32773, 32946}
_RGB, _PALETTE, _CMYK, _YCBCR = 2, 3, 5, 6
# Formats of instruments and of slide scanners store series in ways of their own; their pages are read as pages.
_KINDS: Final = "lsm mmstack ndtiff fluoview stk sis svs scn qpi ndpi bif avs eer philips scanimage nih mdgel"
_PLAIN: Final[dict[str, Any]] = {f"is_{kind}": False for kind in _KINDS.split()}

logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # damage that matters raises; the rest is chatter


@dataclass(frozen=True)
class TiffHead:
    """What a TIFF file holds. shape: (height, width) as stored. orientation: its tag, 1 to 8, as EXIF's."""

    shape: tuple[int, int]
    channels: int
    slices: int
    dtype: np.dtype[Any]
    photometric: int
    ordinary: bool
    orientation: int


def is_tiff(path: Path) -> bool:
    """Whether the name of a file says TIFF."""
    return path.suffix.lower() in SUFFIXES


def read_head(path: Path, pages: Pages = "") -> TiffHead:
    """What a TIFF file holds, told without its pixels. Raises DatasetError, one line."""
    return _with_file(path, lambda tif: _head(path, tif, pages))


def read_channels(path: Path, *, page: int | None = None, pages: Pages = "") -> NDArray[Any]:
    """The values of a TIFF file, (H, W, C), upright by its orientation. page: which slice of a stack, from 0.

    Raises DatasetError for damage, for more than MAX_BYTES of values, and for a stack unless `pages` says what its
    pages are.
    """
    return _with_file(path, lambda tif: _values(path, tif, page, pages))


def _with_file(path: Path, read: Callable[[tifffile.TiffFile], Any]) -> Any:
    with readable(path, parts=3):
        if path.stat().st_size > imageio.MAX_BYTES:
            raise DatasetError(f"{path_tail(path, 3)} is larger than {imageio.MAX_BYTES:,} bytes; cut it into tiles")
        file = path.open("rb")
    # tifffile and its codecs raise a dozen types, their own and others', on damage.
    with (
        file,
        damage_named(path, "is no TIFF file that can be read ({}); save it again", parts=3),
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        _check_pages(path, content)
        with tifffile.TiffFile(file, _multifile=False, **_PLAIN) as tif:
            return read(tif)


def _check_pages(path: Path, content: mmap.mmap) -> None:
    """Follow the chain of pages once: tifffile would follow a circle for ever."""
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        raise DatasetError(f"{path_tail(path, 3)} is no TIFF file; save it again")
    big = struct.unpack(order + "H", content[2:4])[0] == 43
    at = struct.unpack_from(order + ("Q" if big else "I"), content, 8 if big else 4)[0]
    seen: set[int] = set()
    while at:
        if at in seen or len(seen) >= MAX_PAGES:
            problem = "its pages go round in a circle" if at in seen else f"it has more than {MAX_PAGES:,} pages"
            raise DatasetError(f"{path_tail(path, 3)} cannot be read: {problem}; save its images one by one")
        seen.add(at)
        count = struct.unpack_from(order + ("Q" if big else "H"), content, at)[0]
        after = at + (8 + 20 * count if big else 2 + 12 * count)
        at = struct.unpack_from(order + ("Q" if big else "I"), content, after)[0]


def _head(path: Path, tif: tifffile.TiffFile, pages: Pages) -> TiffHead:
    page: Any = tif.pages[0]
    axes, shape = _axes(path, tif, pages)
    sizes = dict(zip(axes, shape, strict=True))
    height, width, channels = sizes["Y"], sizes["X"], sizes.get("C", 1)
    slices = sizes.get("Z", 1)
    if min(height, width, channels) < 1:
        raise DatasetError(f"{path_tail(path, 3)} is empty ({width}×{height}); save it again")
    if height * width > imageio.MAX_PIXELS:
        raise DatasetError(
            f"{path_tail(path, 3)} is {width}×{height}, more than {imageio.MAX_PIXELS:,} pixels; cut it into tiles"
        )
    if channels > MAX_CHANNELS:
        raise DatasetError(f"{path_tail(path, 3)} has {channels} channels, allowed are {MAX_CHANNELS}; leave some out")
    dtype = np.dtype(page.dtype) if page.dtype is not None else None
    if dtype is None or dtype.kind not in "biuf":
        raise DatasetError(
            f"{path_tail(path, 3)} holds values of a kind that is no picture; save 8 or 16 bit or float32"
        )
    if page.compression not in _COMPRESSIONS:
        raise DatasetError(
            f"{path_tail(path, 3)} is compressed in a way that is not read here ({int(page.compression)}); save it "
            "uncompressed, or with deflate, LZW or zstd"
        )
    if page.is_tiled and int(np.prod(page.chunks)) * dtype.itemsize > MAX_BYTES:
        raise DatasetError(
            f"{path_tail(path, 3)} has tiles of more than {MAX_BYTES:,} bytes; save it with smaller tiles"
        )
    ordinary = _ordinary(tif, page, dtype)
    return TiffHead((height, width), channels, slices, dtype, int(page.photometric), ordinary, _orientation(page))


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def _ordinary(tif: tifffile.TiffFile, page: Any, dtype: np.dtype[Any]) -> bool:
    """Whether Pillow reads all that is in the file."""
    if len(tif.pages) != 1 or page.compression not in _PILLOW_COMPRESSIONS or page.planarconfig != 1:
        return False
    if page.predictor != 1 and page.predictor != 2:
        return False
    if page.samplesperpixel == 1:
        return bool(dtype == np.uint8 or dtype == np.bool_ or (dtype == np.uint16 and page.photometric == 1))
    return bool(dtype == np.uint8 and page.photometric in (_RGB, _PALETTE, _CMYK, _YCBCR) and page.samplesperpixel <= 4)


def _axes(path: Path, tif: tifffile.TiffFile, pages: Pages) -> tuple[str, tuple[int, ...]]:
    """Letters Y, X, at most one C (channel) and at most one Z (slice) for the axes of the file's array, and its shape.

    Raises DatasetError for a stack whose pages nobody has explained.
    """
    series = tif.series
    if len(series) != 1 and pages == "":
        raise DatasetError(f"{path_tail(path, 3)} holds {len(series)} images of different sizes; save them one by one")
    axes = series[0].axes.replace("S", "C")
    shape = tuple(int(length) for length in series[0].shape)
    if len(shape) == 3 and shape[2] == 1 and tif.is_shaped:
        axes = "YXC"  # an array (H, W, 1), which tifffile writes as H pages
    kept = [(axis, length) for axis, length in zip(axes, shape, strict=True) if length != 1 or axis in "YX"]
    axes, shape = "".join(axis for axis, _ in kept), tuple(length for _, length in kept)
    others = [axis for axis in axes if axis not in "YXC"]
    if others and pages == "channels" and len(axes) == 3:
        # Arrays saved without a word on their axes: (C, H, W) or (H, W, C), the shortest axis holds the channels.
        least = int(np.argmin(shape))
        axes = "YX"[:least] + "C" + "YX"[least:]
    elif len(others) == 1 and pages == "slices" and axes.count("C") <= 1:
        axes = axes.replace(others[0], "Z")
    elif others:
        ways = "×".join(str(length) for length in shape)
        raise DatasetError(
            f"{path_tail(path, 3)} is a stack of {len(tif.pages)} pages ({ways}), but one file is one image; say what "
            "its pages are with pages=channels or pages=slices, or save them one by one"
        )
    if sorted(axes.replace("Z", "").replace("C", "")) != ["X", "Y"] or axes.count("C") > 1:
        raise DatasetError(
            f"{path_tail(path, 3)} holds an array with the axes {axes[:20]}; save height, width and channels"
        )
    return axes, shape


def _values(path: Path, tif: tifffile.TiffFile, page: int | None, pages: Pages) -> NDArray[Any]:
    head = _head(path, tif, pages)
    alone = (
        page is not None
        and head.channels == 1
        and tif.series[0].axes.endswith("YX")
        and len(tif.series[0].pages) == head.slices > 1
    )
    count = head.shape[0] * head.shape[1] * head.channels * (1 if alone else head.slices)
    if count * head.dtype.itemsize > MAX_BYTES:
        raise DatasetError(
            f"{path_tail(path, 3)} holds {count * head.dtype.itemsize:,} bytes of values, allowed are {MAX_BYTES:,}; "
            "cut it into tiles, or leave channels out"
        )
    if head.slices > 1 and page is None:
        raise DatasetError(f"{path_tail(path, 3)} is a stack of {head.slices} slices; choose one of them")
    if page is not None and not 0 <= page < head.slices:
        raise DatasetError(
            f"{path_tail(path, 3)} has {head.slices} slices, asked for is slice {page + 1}; save it again"
        )
    axes, shape = _axes(path, tif, pages)
    if alone:
        plane = np.asarray(tif.asarray(key=page, series=0)).reshape(head.shape)
        return np.ascontiguousarray(imageio.turn(plane, head.orientation)[:, :, None])
    values = np.asarray(tif.series[0].asarray(maxworkers=1)).reshape(shape)
    if "Z" in axes:
        values = values.take(page or 0, axis=axes.index("Z"))
        axes = axes.replace("Z", "")
    if "C" not in axes:
        values, axes = values[..., None], axes + "C"
    upright = imageio.turn(values.transpose([axes.index(axis) for axis in "CYX"]), head.orientation)
    return np.ascontiguousarray(upright.transpose(1, 2, 0))


# Pictures and masks --------------------------------------------------------------------------------------------------

OPTIONS: Final[dict[str, str]] = {
    "channels": "TIFF pictures: the channels taken as red, green and blue, from 1, such as 4,3,2; one is grey",
    "range": 'TIFF pictures: values that become black and white, such as 0,4095; "dtype" takes all that an integer can '
    'hold; "percentile" takes the 1st and 99th of each picture',
}


@dataclass(frozen=True)
class PictureOptions:
    """How to make pictures of TIFF files. channels: from 0; (): the first three. limits: black and white."""

    channels: tuple[int, ...] = ()
    limits: Range = "dtype"
    pages: Pages = ""

    @property
    def plain(self) -> bool:
        """Whether nothing is asked for that differs from an ordinary picture."""
        return not self.channels and self.limits == "dtype"


def parse_options(options: Mapping[str, str]) -> PictureOptions:
    """Options channels, range and pages. Raises DatasetError, one line."""
    given = options.get("range", "dtype").strip()
    black_white = cast("Range | None", given if given in ("dtype", "percentile") else limits(given))
    if black_white is None:
        raise DatasetError(f'range must be "dtype", "percentile" or two numbers such as 0,4095, got {given[:50]!r}')
    pages = choice(options, "pages", ["channels", "slices"])
    return PictureOptions(channel_numbers(options), black_white, cast("Pages", pages))


def read_picture(
    path: Path, options: PictureOptions, *, size: tuple[int, int] | None = None, page: int | None = None
) -> tuple[Float32Array, tuple[int, int], int]:
    """A picture as `imageio.read_picture` gives it, from any image file; TIFF files may have any number of channels.

    One channel is repeated to three, two are red and green. Values that are not finite become black.
    """
    if not is_tiff(path):
        return imageio.read_picture(path, size=size)
    if options.plain and page is None and not options.pages and read_head(path).ordinary:
        return imageio.read_picture(path, size=size)
    values = read_channels(path, page=page, pages=options.pages)
    own = (values.shape[0], values.shape[1])
    chosen = options.channels or tuple(range(min(3, values.shape[2])))
    if max(chosen) >= values.shape[2]:
        raise DatasetError(
            f"{path_tail(path, 3)} has {values.shape[2]} channels, asked for is channel {max(chosen) + 1}; correct "
            "channels"
        )
    image = values[:, :, list(chosen)].astype(np.float32)
    _scale(path, image, values.dtype, options.limits)
    return imageio.as_rgb(image, size), own, _file_head(path, options, page).orientation


def read_picture_head(path: Path, options: PictureOptions, *, page: int | None = None) -> tuple[tuple[int, int], int]:
    """A picture's (height, width), upright, and its orientation, as `read_picture` gives them, without its pixels."""
    if not is_tiff(path):
        return imageio.read_head(path)
    head = _file_head(path, options, page)
    return (head.shape[::-1] if head.orientation > 4 else head.shape), head.orientation


def _file_head(path: Path, options: PictureOptions, page: int | None) -> TiffHead:
    return read_head(path, options.pages if page is None else "slices")


def read_mask(path: Path, *, page: int | None = None, pages: Pages = "") -> NDArray[Any]:
    """The raw values of a one-channel mask from any image file, (H, W) uint8, uint16 or int32, upright.

    Raises DatasetError for several channels, for values that are no whole numbers and for damage.
    """
    if not is_tiff(path):
        return imageio.read_mask(path)
    values = read_channels(path, page=page, pages=pages)
    if values.shape[2] != 1:
        raise DatasetError(
            f"{path_tail(path, 3)} has {values.shape[2]} channels, but a mask has one channel whose value is the "
            "class; save one channel, or read it in the format tiff, a class a channel"
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
            f"{path_tail(path, 3)} holds values that are no whole numbers ({values.dtype}), but a mask's values are "
            "classes; save them as whole numbers"
        )
    return whole


def _scale(path: Path, image: Float32Array, dtype: np.dtype[Any], limits: Range) -> None:
    """Bring values to [0, 1] in place."""
    finite = np.isfinite(image)
    if limits == "percentile":
        values = image[finite]
        low, high = (float(limit) for limit in np.percentile(values, (1, 99))) if values.size else (0.0, 1.0)
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
                f"{path_tail(path, 3)} holds values from {least:.6g} to {most:.6g} ({dtype}), whose range is not "
                "known; say which become black and white, such as range=0,4000, or range=percentile"
            )
    image[~finite] = low
    image -= np.float32(low)
    image /= np.float32(high - low)
    np.clip(image, 0, 1, out=image)
