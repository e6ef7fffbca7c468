"""TIFF files to pictures and masks: by channel, page and range, within bounds."""

import html
import logging
import mmap
import re
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, cast

import numpy as np
import tifffile
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import bands, imageio
from pipelines.datasets.bands import MAX_BANDS, RGB, Bands, choose_bands
from pipelines.datasets.base import Finding
from pipelines.datasets.files import check_kind, damage_named, readable
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

# Compressions whose decoders are widely used and bounded by the size of a strip or tile; 2, 3 and 4 are those of fax.
_COMPRESSIONS: Final = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 34926, 50000}
_PILLOW_COMPRESSIONS: Final = {1, 5, 7, 8, 32773, 32946}
_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 2, 3, 5, 6
_ALPHA: Final = (1, 2)  # of ExtraSamples: associated and unassociated
_GDAL_METADATA: Final = 42112
_MOST_METADATA: Final = 1 << 20
_GDAL_ITEM: Final = re.compile(r"<Item\s([^<>]*)>([^<>]*)</Item>")
_ATTRIBUTE: Final = re.compile(r'(\w+)="([^"]*)"')
_COLORS: Final = ("Red", "Green", "Blue")  # of GDAL's colour interpretation; others say nothing
# Formats of instruments and of slide scanners store series in ways of their own; their pages are read as pages.
_KINDS: Final = "lsm mmstack ndtiff fluoview stk sis svs scn qpi ndpi bif avs eer philips scanimage nih mdgel"
_PLAIN: Final[dict[str, Any]] = {f"is_{kind}": False for kind in _KINDS.split()}

_TRIED: Final = 20  # pictures, to find one that can be read
_LOOKED_AT: Final = 4  # pictures whose transparency is looked at

logging.getLogger("tifffile").setLevel(logging.CRITICAL + 1)  # damage that matters raises; the rest is chatter


@dataclass(frozen=True)
class TiffHead:
    """What a TIFF file holds. shape: (height, width) as stored. orientation: its tag, 1 to 8, as EXIF's.

    ordinary: whether Pillow reads all that is in it. alpha: whether the last channel is tagged as transparency.
    names: of the channels, as GDAL notes them, "" where it does not; () where there are none.
    """

    shape: tuple[int, int]
    channels: int
    slices: int
    dtype: np.dtype[Any]
    photometric: int
    ordinary: bool
    orientation: int
    alpha: bool
    names: tuple[str, ...]


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
    with file, damage_named(path, "is no TIFF file that can be read ({}); save it again", parts=3):
        check_kind(path, file.peek(64), parts=3)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
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
    return TiffHead(
        (height, width),
        channels,
        slices,
        dtype,
        photometric=int(page.photometric),
        ordinary=_ordinary(tif, page, dtype),
        orientation=_orientation(page),
        alpha=channels == page.samplesperpixel and bool(page.extrasamples) and int(page.extrasamples[-1]) in _ALPHA,
        names=_names(page, channels),
    )


def _orientation(page: Any) -> int:
    tag = page.tags.get(274)
    return int(tag.value) if tag is not None and tag.value in range(1, 9) else 1


def _names(page: Any, channels: int) -> tuple[str, ...]:
    """Descriptions of the channels, or else their colours, in the metadata that GDAL writes."""
    tag = page.tags.get(_GDAL_METADATA)
    text = tag.value[:_MOST_METADATA] if tag is not None and isinstance(tag.value, str) else ""
    noted: dict[str, dict[int, str]] = {"description": {}, "colorinterp": {}}
    for attributes, value in _GDAL_ITEM.findall(text):
        of = dict(_ATTRIBUTE.findall(attributes))
        if of.get("role") in noted and of.get("sample", "").isdecimal():
            noted[of["role"]][int(of["sample"][:6])] = html.unescape(value).strip()
    names = noted["description"] or {at: name for at, name in noted["colorinterp"].items() if name in _COLORS}
    return tuple(names.get(index, "") for index in range(channels)) if names else ()


def _ordinary(tif: tifffile.TiffFile, page: Any, dtype: np.dtype[Any]) -> bool:
    """Whether Pillow reads all that is in the file."""
    if len(tif.pages) != 1 or page.compression not in _PILLOW_COMPRESSIONS or page.planarconfig != 1:
        return False
    if page.predictor != 1 and page.predictor != 2:
        return False
    if page.samplesperpixel == 1:
        return bool(dtype == np.uint8 or dtype == np.bool_ or (dtype == np.uint16 and page.photometric == 1))
    if dtype != np.uint8 or page.samplesperpixel > 4 or page.photometric not in (_RGB, _PALETTE, _CMYK, _YCBCR):
        return False
    return all(int(kind) in _ALPHA for kind in page.extrasamples)  # Pillow drops a fourth band


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

BAND_OPTIONS: Final[dict[str, str]] = {
    **bands.OPTIONS,
    "range": 'values that become 0 and 1 in every band, such as 0,4095; "dtype" takes all that an '
    'integer can hold; "percentile" takes the 1st and 99th of each picture, three bands together and others each by '
    "itself",
}
OPTIONS: Final[dict[str, str]] = {name: f"TIFF pictures: {text}" for name, text in BAND_OPTIONS.items()}


@dataclass(frozen=True)
class PictureOptions:
    """How to make bands of TIFF files. channels: from 0; (): all but transparency. limits: values that become 0 and 1.

    alpha_is_band: a last channel that is tagged as transparency is a band like the others.
    """

    channels: tuple[int, ...] = ()
    limits: Range = "dtype"
    pages: Pages = ""
    alpha_is_band: bool = False


def parse_options(options: Mapping[str, str]) -> PictureOptions:
    """Options channels, range and pages. Raises DatasetError, one line.

    >>> parse_options({"channels": "4,3,2", "range": "0,4095"}).channels
    (3, 2, 1)
    """
    given = options.get("range", "dtype").strip()
    black_white = cast("Range | None", given if given in ("dtype", "percentile") else limits(given))
    if black_white is None:
        raise DatasetError(f'range must be "dtype", "percentile" or two numbers such as 0,4095, got {given[:50]!r}')
    pages = choice(options, "pages", ["channels", "slices"])
    return PictureOptions(channel_numbers(options, "channels", MAX_BANDS), black_white, cast("Pages", pages))


def open_bands(
    paths: Sequence[Path], options: Mapping[str, str], findings: list[Finding]
) -> tuple[PictureOptions, Bands]:
    """How the pictures of a data set are read, and their bands: those of the first that can be read.

    paths: of pictures of any kind; ordinary ones are red, green and blue. Raises DatasetError for options that do not
    fit the first TIFF picture, and for one with more channels than bands can be.
    """
    chosen = parse_options(options)
    for path in paths[:_TRIED]:
        if not is_tiff(path):
            return chosen, RGB
        try:
            head = read_head(path, chosen.pages)
        except DatasetError:  # the check lists it
            continue
        if head.alpha and not chosen.channels and any(_marks_more(path, chosen) for path in paths[:_LOOKED_AT]):
            chosen = replace(chosen, alpha_is_band=True)
            problem = (
                f"channel {head.channels} of {path_tail(path, 3)} is tagged as transparency, but holds other values "
                "than 0 and the largest: it is read as a band; pick others with the option channels"
            )
            findings.append(Finding.note("ALPHA-BAND", problem))
        where = path_tail(path, 3)
        if _as_photograph(head, chosen):
            return chosen, choose_bands(3, options, rgb=True, where=where)
        rgb = head.photometric == _RGB and head.dtype.kind == "u"
        count = head.channels - (head.alpha and not chosen.alpha_is_band)
        return chosen, choose_bands(count, options, names=head.names, rgb=rgb, where=where)
    return chosen, RGB


def _as_photograph(head: TiffHead, options: PictureOptions) -> bool:
    """Whether a file is read as photographs are: red, green and blue, also where it is grey."""
    if options.channels or options.pages or not head.ordinary or (head.alpha and options.alpha_is_band):
        return False
    return options.limits == "dtype" or head.channels == 1


def _marks_more(path: Path, options: PictureOptions) -> bool:
    """Whether the last channel of a file holds more than transparency does as a rule: 0 and the largest value."""
    try:
        head = read_head(path, options.pages) if is_tiff(path) else None
        if head is None or not head.alpha:
            return False
        last = read_channels(path, page=0 if head.slices > 1 else None, pages=options.pages)[:, :, -1]
    except DatasetError:  # the check lists it
        return False
    largest = np.iinfo(head.dtype).max if head.dtype.kind in "iu" else 1
    return bool(((last != 0) & (last != largest)).any())


def read_picture(
    path: Path, options: PictureOptions, *, size: tuple[int, int] | None = None, page: int | None = None
) -> tuple[Float32Array, tuple[int, int], int]:
    """A picture as `imageio.read_picture` gives it, from any image file; of TIFF files every band, or those chosen.

    Values that are not finite become 0, each band by itself.
    """
    if not is_tiff(path):
        return imageio.read_picture(path, size=size)
    head = _file_head(path, options, page)
    photograph = _as_photograph(head, options) and page is None
    if photograph and options.limits == "dtype":
        return imageio.read_picture(path, size=size)
    values = read_channels(path, page=page, pages=options.pages)
    own = (values.shape[0], values.shape[1])
    chosen = options.channels or tuple(range(values.shape[2] - (head.alpha and not options.alpha_is_band)))
    if max(chosen) >= values.shape[2]:
        raise DatasetError(
            f"{path_tail(path, 3)} has {values.shape[2]} channels, asked for is channel {max(chosen) + 1}; correct "
            "channels"
        )
    image = np.ascontiguousarray(values[:, :, list(chosen)], np.float32)
    scale_bands(path, image, values.dtype, options.limits)
    image = imageio.resize(image, size)
    return (np.repeat(image, 3, axis=2) if photograph and image.shape[2] == 1 else image), own, head.orientation


def read_picture_head(path: Path, options: PictureOptions, *, page: int | None = None) -> tuple[tuple[int, int], int]:
    """A picture's (height, width), upright, and its orientation, as `read_picture` gives them, without its pixels."""
    if not is_tiff(path):
        return imageio.read_head(path)
    head = _file_head(path, options, page)
    return (head.shape[::-1] if head.orientation > 4 else head.shape), head.orientation


def _file_head(path: Path, options: PictureOptions, page: int | None) -> TiffHead:
    return read_head(path, options.pages if page is None else "slices")


NO_DATA: Final = int(np.iinfo(np.int32).min)  # the whole number that stands for NaN
_NO_VALUE: Final = 3.4e38  # and beyond: the least float32, as GDAL marks pixels without a value


def read_mask(path: Path, *, page: int | None = None, pages: Pages = "") -> NDArray[Any]:
    """The raw values of a one-channel mask from any image file, (H, W) uint8, uint16 or int32, upright.

    Pixels without a value (NaN) are NO_DATA. Raises DatasetError for several channels, for values that are no whole
    numbers and for damage.
    """
    return whole_numbers(path, read_plane(path, page=page, pages=pages))


def read_plane(path: Path, *, page: int | None = None, pages: Pages = "") -> NDArray[Any]:
    """The values of a one-channel mask from any image file, (H, W), upright, floats as stored.

    Of one bit, 1 is what is shown white. Raises DatasetError for several channels and for damage.
    """
    if not is_tiff(path):
        return imageio.read_mask(path)
    values = read_channels(path, page=page, pages=pages)
    if values.shape[2] != 1:
        raise DatasetError(
            f"{path_tail(path, 3)} has {values.shape[2]} channels, but a mask has one channel whose value is the "
            "class; save one channel, or read it in the format tiff, a class a channel"
        )
    plane = values[:, :, 0]
    if plane.dtype == np.bool_:
        plane = plane.astype(np.uint8)
        return 1 - plane if read_head(path, pages).photometric == _WHITE_IS_ZERO else plane
    return plane


def has_value(values: NDArray[Any]) -> BoolArray:
    """Which values of a mask are there: not NaN, infinite or what stands for them; the shape of the values.

    The largest number of 32 or 64 bits without a sign stands for -1.
    """
    if values.dtype in (np.uint32, np.uint64):
        return np.asarray(values != np.iinfo(values.dtype).max, np.bool_)
    if values.dtype.kind == "f":
        return np.asarray(np.abs(values) < _NO_VALUE, np.bool_)  # NaN is not
    return np.asarray(values != NO_DATA, np.bool_)


def whole_numbers(path: Path, values: NDArray[Any], advice: str = "save them as whole numbers") -> NDArray[Any]:
    """Values as uint8, uint16 or int32 without changing any; NaN as NO_DATA.

    Raises DatasetError, with an advice, where they are no whole numbers.
    """
    if values.dtype in (np.uint8, np.uint16, np.int32):
        return values
    if values.dtype == np.bool_:
        return values.astype(np.uint8)
    there = values
    if values.dtype.kind == "f" or values.dtype in (np.uint32, np.uint64):
        there = values.astype(np.promote_types(values.dtype, np.float32 if values.dtype.kind == "f" else np.int64))
        there[~has_value(values)] = NO_DATA
    limit = np.iinfo(np.int32)
    if there.size and (there.min() < limit.min or there.max() > limit.max):
        raise DatasetError(
            f"{path_tail(path, 3)} holds values from {there.min():.12g} to {there.max():.12g}, but a mask's values are "
            f"classes, at most {limit.max:,}; save them as smaller whole numbers"
        )
    whole = there.astype(np.int32)
    if not np.array_equal(whole, there):
        between = float(there[whole != there].flat[0])
        raise DatasetError(
            f"{path_tail(path, 3)} holds values that are no whole numbers, such as {between:.6g} ({values.dtype}), but "
            f"a mask's values are classes; {advice}"
        )
    return whole


def scale_bands(path: Path, image: Float32Array, dtype: np.dtype[Any], limits: Range) -> None:
    """Bring the bands of an image to [0, 1] in place. Percentiles are those of each band, of three bands together."""
    if limits == "percentile" and image.shape[2] not in (1, 3):
        for band in range(image.shape[2]):
            scale_bands(path, image[:, :, band : band + 1], dtype, limits)
        return
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
