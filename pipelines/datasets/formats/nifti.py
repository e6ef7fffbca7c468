"""NIfTI, NRRD, MetaImage, TIFF, PNG and BMP files of a case to slices: (H, W) arrays, a channel and slice at a time."""

import gzip
import logging
import math
import threading
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float32Array
from pipelines.datasets import imageio
from pipelines.datasets.base import Size
from pipelines.datasets.files import damage_named, readable
from pipelines.datasets.formats import itk, tiff_images
from pipelines.errors import DatasetError
from pipelines.sentences import path_tail

NIFTI: Final = (".nii.gz", ".nii")
VOLUMES: Final = (*NIFTI, *itk.SUFFIXES)
SUFFIXES: Final = (*VOLUMES, ".png", ".bmp", ".tif", ".tiff")
MAX_BYTES: Final = 512 << 20  # of the decoded values of one volume
MAX_SLICES: Final = 10_000
MAX_CHANNELS: Final = 64

_KEPT: Final = 512 << 20  # bytes of volumes that stay unpacked, besides the one in use
_MOST_HEADER: Final = 16 << 20  # bytes before the values: header and extensions
_SAMPLE: Final = 1 << 20  # voxels of a channel that its percentiles are taken of
_NIFTI_1: Final = (b"\x5c\x01\0\0", b"\0\0\x01\x5c")  # 348, the header's size
_NIFTI_2: Final = (b"\x1c\x02\0\0", b"\0\0\x02\x1c")  # 540
_DAMAGED: Final = "is damaged or truncated ({}); copy or export it again"


@dataclass(frozen=True)
class Head:
    """What a file holds, told without its values. flat: an image, not a volume, even if that had one slice."""

    slices: int
    channels: int
    flat: bool


@dataclass(frozen=True)
class _Volume:
    """values: (X, Y, Z, C) as stored; a value v means slope · v + inter."""

    values: NDArray[Any]
    slope: float
    inter: float


def suffix(path: Path) -> str:
    """The ending of a file's name, lower case; ".nii.gz" is one."""
    name = path.name.lower()
    return next((known for known in SUFFIXES if name.endswith(known)), path.suffix.lower())


def read_head(path: Path) -> Head:
    """Slices and channels of a file. Raises DatasetError, one line, when it can't be read or is too large."""
    if suffix(path) in VOLUMES:
        stored, dtype = _stored(path)
        shape = _checked(path, stored, dtype)
        return Head(shape[2], shape[3], flat=len(stored) == 2)
    if tiff_images.is_tiff(path):
        head = tiff_images.read_head(path, "slices")
        return Head(head.slices, head.channels, flat=head.slices == 1)
    return Head(1, 3, flat=True)


def read_plane(path: Path, index: int, channel: int) -> NDArray[Any]:
    """One slice of one channel, (H, W), in its own units. Raises DatasetError, one line."""
    if suffix(path) in VOLUMES:
        volume = _volumes.get(path)
        if index >= volume.values.shape[2] or channel >= volume.values.shape[3]:
            raise DatasetError(
                f"{path_tail(path)} has no slice {index} of channel {channel + 1}; export the case again"
            )
        plane = np.asarray(volume.values[:, :, index, channel]).T
        if (volume.slope, volume.inter) == (1.0, 0.0):
            return plane
        with np.errstate(over="ignore", invalid="ignore"):
            return plane * volume.slope + volume.inter
    if tiff_images.is_tiff(path):
        return tiff_images.read_channels(path, **_page(path, index))[:, :, channel]
    image, _, _ = imageio.read_picture(path)
    return image[:, :, channel]


def read_values(path: Path, index: int) -> NDArray[Any]:
    """One slice of a label map, (H, W), whole numbers. Raises DatasetError, one line."""
    if suffix(path) in VOLUMES:
        return tiff_images.whole_numbers(path, read_plane(path, index, 0))
    if tiff_images.is_tiff(path):
        return tiff_images.read_mask(path, **_page(path, index))
    return imageio.read_mask(path)


def _page(path: Path, index: int) -> dict[str, Any]:
    """How a slice of a TIFF file is asked for."""
    stacked = tiff_images.read_head(path, "slices").slices > 1
    return {"page": index, "pages": "slices"} if stacked else {}


def percentiles(path: Path, channel: int, low: float, high: float) -> tuple[float, float]:
    """Two percentiles of a channel over all slices of a file, of at most about a million of its voxels."""
    if suffix(path) in VOLUMES:
        volume = _volumes.get(path)
        values = volume.values[..., channel]
        step = max(1, math.ceil((values.size / _SAMPLE) ** (1 / 3)))
        sample = values[::step, ::step, ::step].astype(np.float64).ravel() * volume.slope + volume.inter
    else:
        slices = read_head(path).slices
        chosen = range(0, slices, max(1, slices // 16))
        sample = np.concatenate([_sampled(read_plane(path, index, channel), len(chosen)) for index in chosen])
    sample = sample[np.isfinite(sample)]
    if not sample.size:
        return 0.0, 1.0
    limits = np.percentile(sample, (low, high))
    return float(limits[0]), float(limits[1])


def _sampled(plane: NDArray[Any], planes: int) -> NDArray[Any]:
    step = max(1, plane.size * planes // _SAMPLE)
    return plane.astype(np.float64).ravel()[::step]


def parts(path: Path) -> tuple[Path, ...]:
    """The files that a file consists of: itself, and that of its values where these lie beside it."""
    data = itk.data_file(path) if suffix(path) in (".nhdr", ".mhd") else None
    return (path,) if data is None else (path, data)


def eight_bits(path: Path) -> bool:
    """Whether the values of a file go from 0 to 255 by their type, so that no window is needed."""
    return tiff_images.is_tiff(path) and tiff_images.read_head(path, "slices").dtype == np.uint8


def is_picture(path: Path) -> bool:
    """Whether a file is an ordinary picture, whose values are a share of the largest."""
    return suffix(path) in (".png", ".bmp")


def orientation_of(path: Path) -> int:
    """EXIF's orientation that the slices of a file were turned upright by; 1 for volumes. Raises DatasetError."""
    if suffix(path) in VOLUMES:
        return 1
    if tiff_images.is_tiff(path):
        return tiff_images.read_head(path, "slices").orientation
    return imageio.read_head(path)[1]


def as_image(channels: list[Float32Array], size: Size | None) -> tuple[Float32Array, Size]:
    """Channels, (H, W) in [0, 1], as the bands of an image, (H, W, B), and its size before resizing.

    Raises DatasetError when their sizes differ.
    """
    if len({channel.shape for channel in channels}) > 1:
        raise DatasetError("the channels of a case have different sizes; export it again")
    image = np.stack(channels, axis=2)
    return imageio.resize(image, size), (image.shape[0], image.shape[1])


def forget() -> None:
    """Free the volumes that are kept unpacked."""
    _volumes.clear()


class _Volumes:
    """Volumes that were unpacked last: slices of one case follow one another."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, int, int], _Volume] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, path: Path) -> _Volume:
        with readable(path):
            facts = path.stat()
        key = (str(path), facts.st_mtime_ns, facts.st_size)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            stored, dtype = _stored(path)
            self._make_room(_size(_checked(path, stored, dtype), dtype))
            volume = self._kept[key] = _load(path)
            return volume

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()

    def _make_room(self, wanted: int) -> None:
        while self._kept and sum(volume.values.nbytes for volume in self._kept.values()) + wanted > _KEPT:
            self._kept.popitem(last=False)


_volumes: Final = _Volumes()


def _nifti_header(path: Path) -> Any:
    """The header of a NIfTI file, from its first bytes alone. Raises DatasetError."""
    import nibabel  # slow to import, and most data sets hold no volumes

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)  # what matters raises
    with damage_named(path, _DAMAGED):
        with _opened(path) as file:
            start = file.read(540)
        if start[:4] not in (*_NIFTI_1, *_NIFTI_2):
            raise DatasetError(f"{path_tail(path)} is no NIfTI file; export it again")
        second = start[:4] in _NIFTI_2
        kind: Any = nibabel.Nifti2Header if second else nibabel.Nifti1Header
        header = kind(start if second else start[:348], check=False)
        if header["magic"].item()[:3] not in (b"n+1", b"n+2"):
            raise DatasetError(f"{path_tail(path)} is no NIfTI file of one piece; save it as .nii.gz")
        return header


def _opened(path: Path) -> Any:
    return gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb")


def _stored(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Axes, (X, Y), (X, Y, Z) or (X, Y, Z, …, channels), and type of a volume's values, by its header alone."""
    if suffix(path) not in NIFTI:
        head = itk.read_header(path)
        several = (*(1,) * (3 - len(head.axes)), head.channels) if head.channels > 1 else ()
        return (*head.axes, *several), head.dtype
    header = _nifti_header(path)
    with damage_named(path, _DAMAGED):
        begin = float(header["vox_offset"])
        stored, dtype = tuple(int(length) for length in header.get_data_shape()), header.get_data_dtype()
    if not 0 <= begin <= _MOST_HEADER:
        raise DatasetError(f"{path_tail(path)} has its values at byte {begin:.0f}; it is damaged, export it again")
    return stored, dtype


def _checked(path: Path, stored: tuple[int, ...], dtype: np.dtype[Any]) -> tuple[int, int, int, int]:
    """(X, Y, Z, C). Raises DatasetError, before anything is unpacked, for what is too large or has other axes."""
    shape = (*stored, *(1,) * (3 - len(stored)))
    if len(stored) < 2 or any(length < 1 for length in shape) or (len(shape) > 4 and math.prod(shape[3:-1]) != 1):
        raise DatasetError(
            f"{path_tail(path)} has the shape {stored}, expected (X, Y), (X, Y, Z) or (X, Y, Z, channels)"
        )
    padded = (*shape[:3], shape[-1] if len(shape) > 3 else 1)
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise DatasetError(f"{path_tail(path)} holds values of the type {dtype}; save whole or floating-point numbers")
    if _size(padded, dtype) > MAX_BYTES:
        raise DatasetError(
            f"{path_tail(path)} holds {_size(padded, dtype):,} bytes of {dtype}, allowed are {MAX_BYTES:,}; save it as "
            "int16 or float32, or cut it"
        )
    if padded[0] * padded[1] > imageio.MAX_PIXELS or padded[2] > MAX_SLICES or padded[3] > MAX_CHANNELS:
        raise DatasetError(
            f"{path_tail(path)} has the shape {padded}, allowed are {imageio.MAX_PIXELS:,} pixels, {MAX_SLICES:,} "
            f"slices and {MAX_CHANNELS} channels; cut it"
        )
    return padded  # type: ignore[return-value]


def _size(shape: tuple[int, ...], dtype: np.dtype[Any]) -> int:
    return math.prod(shape) * dtype.itemsize


def _load(path: Path) -> _Volume:
    shape = _checked(path, *_stored(path))
    if suffix(path) not in NIFTI:
        return _Volume(itk.read_values(itk.read_header(path)).reshape(shape), 1.0, 0.0)
    import nibabel

    with damage_named(path, _DAMAGED), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Any = nibabel.load(path, mmap=False)
        proxy = image.dataobj
        values = np.asanyarray(proxy.get_unscaled()).reshape(shape, order="F")
        slope, inter = float(proxy.slope), float(proxy.inter)
    if not (math.isfinite(slope) and math.isfinite(inter)):
        raise DatasetError(f"{path_tail(path)} scales its values by {slope} and {inter}; export it again")
    return _Volume(values, slope, inter)
