"""NumPy files to outputs: a file an image, an archive with an array an image, or one stack with a list of names.

Files are read image by image, in bounded memory and without unpickling.
"""

import io
import lzma
import math
import shutil
import struct
import tempfile
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError, ShapeError
from pipelines.imports.sources import Files, FileSource, Names, OutputSource, Said, named, stem
from pipelines.misuse import check_form
from pipelines.sentences import count_of, one_line

SUFFIXES: Final = (".npy", ".npz")
_LIST_BYTES: Final = 2**26


class _Place(NamedTuple):
    """An array: of which file, its name there, its number in a stack (None: the only one), its (height, width).

    plane: whether an image of the stack is (H, W), without an axis of channels.
    """

    path: Path
    array: str | None = None
    image: int | None = None
    size: tuple[int, int] | None = None
    plane: bool = False


def recognise(files: Files) -> bool:
    """Whether there are NumPy files."""
    return any(name.lower().endswith(SUFFIXES) for name in files)


def open_arrays(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open .npy and .npz files; reads names and headers only. Raises ConfigError, DatasetError or ShapeError."""
    known = Names(dataset.names())
    found: list[tuple[str, _Place]] = []
    for name, path in files.items():
        if name.lower().endswith(SUFFIXES):
            found += _inside(name, path, files, known, said)
    return _Arrays(said.declare(), found, dataset.names())


def _inside(name: str, path: Path, files: Files, known: Names, said: Said) -> list[tuple[str, _Place]]:
    """Outputs in one file, with the names they go by."""
    names = files.get(f"{stem(name)}.txt")
    if name.lower().endswith(".npy"):
        if names is not None:
            return _stack(path, names)
        if known.image(stem(name)) is None and _is_stack(array_shapes(path)[""], said, alone=len(files) == 1):
            raise DatasetError(
                f"{one_line(name)} is called after no image, and is most likely a stack of several; write their names, "
                f"in order and one a line, into {one_line(stem(name))}.txt beside it"
            )
        return [(stem(name), _Place(path))]
    if known.image(stem(name)) is None:  # an archive of images, not the file of one
        return [(key, _Place(path, key, None, _size(shape))) for key, shape in array_shapes(path).items()]
    shapes = array_shapes(path)
    array = only_array(tuple(shapes), name, said)
    return [(stem(name), _Place(path, array, None, _size(shapes[array])))]


def _is_stack(shape: tuple[int, ...], said: Said, *, alone: bool) -> bool:
    """Whether an array is several images: by its axes, or as the only one, (N, H, W), by its number of channels."""
    return (len(shape) == 4 and shape[0] > 1) or (
        alone and len(shape) == 3 and shape[0] not in (1, len(said.classes or ()))
    )


def _size(shape: tuple[int, ...]) -> tuple[int, int]:
    return shape[-2], shape[-1]


def only_array(arrays: tuple[str, ...], name: str, said: Said) -> str:
    """Which array of one image's file to take: the only one, or the one called after the head or the values."""
    if len(arrays) == 1:
        return arrays[0]
    for wanted in (said.head, said.values):
        if wanted in arrays:
            return str(wanted)
    raise DatasetError(
        f"{one_line(name)} holds {len(arrays)} arrays ({named(arrays[:10])}), none of them called {said.head}; save "
        "one array an image, or name it after the head"
    )


def _stack(path: Path, names: Path) -> list[tuple[str, _Place]]:
    shape, lines = array_shapes(path)[""], read_names(names)
    plane = check_stack(shape, lines, path.name, names.name)
    return [(line, _Place(path, None, number, _size(shape), plane)) for number, line in enumerate(lines)]


def read_names(path: Path) -> list[str]:
    """The lines of a list of names. Raises DatasetError when it cannot be read."""
    try:
        if path.stat().st_size > _LIST_BYTES:
            raise DatasetError(f"{path.name} has more than {_LIST_BYTES:,} bytes; write one name a line")
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path.name} cannot be read ({error}); save it as UTF-8 text") from None


def check_stack(shape: tuple[int, ...], lines: list[str], name: str, names: str) -> bool:
    """Whether a stack with so many names is (N, H, W), without an axis of channels, rather than (N, C, H, W).

    Raises DatasetError when it has another number of images.
    """
    plane = len(shape) == 3 and len(lines) == shape[0]
    count = shape[0] if len(shape) == 4 or plane else 1
    if len(lines) != count:
        raise DatasetError(
            f"{name} holds {count_of(count, 'image')} in its shape {shape}, {names} has {len(lines)} names; write one "
            "name for each, in order"
        )
    return plane


class _Arrays(FileSource[_Place]):
    def size_of(self, place: _Place) -> tuple[int, int] | None:
        return place.size or _size(array_shapes(place.path)[""])

    def load(self, place: _Place, item: Item) -> NDArray[Any]:
        found = list(read_outputs(place.path, array=place.array, image=place.image, planes=place.plane))
        if len(found) != 1:
            raise DatasetError(
                f"{place.path.name} holds {len(found)} images, but belongs to one; save them one by one, or as a stack "
                "with a list of names"
            )
        return found[0]


# What .npy and .npz files hold ----------------------------------------------------------------------------------------

IMAGE_BYTES: Final = 2**30  # largest piece read into memory at once
ARCHIVE_BYTES: Final = 2**36  # of all arrays in one .npz, unpacked
ARCHIVE_ARRAYS: Final = 100_000
VOLUME_BYTES: Final = 2**34  # of one array that is unpacked into a temporary file
_HEADER_BYTES: Final = 2**14  # numpy refuses headers above 10,000 bytes
_HEADERS: Final = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
# Damage surfaces as a dozen types, depending on the byte; a wrong password and an unknown method are RuntimeErrors.
_DAMAGE: Final = (
    *(OSError, ValueError, TypeError, LookupError, SyntaxError, EOFError, RuntimeError, OverflowError, MemoryError),
    *(struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tokenize.TokenError),
)


def read_outputs(
    path: Path, *, array: str | None = None, image: int | None = None, planes: bool = False
) -> Iterator[NDArray[Any]]:
    """Every image of a file, (C, H, W), or (H, W) of one channel, in the order of the file.

    A .npy holds one image, (C, H, W) or (H, W), or several, (N, C, H, W); so does each array of a .npz.
    array: only this one of a .npz; image: only this one of each array, the others are not read. planes: whether images
    have no axis of channels, so that three axes are (N, H, W).
    Raises DatasetError for a missing, damaged, pickled or too large file, ShapeError for other arrays.
    """
    with _told(path):
        for stream, name, size, _ in _streams(path, array):
            yield from _array(stream, name, size, image, 2 if planes else 3)


def array_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of each array of a .npz, from its headers; of a .npy, whose array has no name, under "".

    Raises as `read_outputs`.
    """
    with _told(path):
        found: dict[str, tuple[int, ...]] = {}
        for stream, name, _, key in _streams(path, None):
            if key in found:
                raise DatasetError(f"{name} is there twice; save it again with numpy.savez")
            found[key] = _header(stream.read(_HEADER_BYTES), name)[0]
        return found


def map_array(path: Path, array: str) -> NDArray[Any]:
    """One array of a .npz, read-only, unpacked into a temporary file that goes when the array does.

    For arrays that are read piece by piece, when unpacking them anew for each piece would take too long.
    Raises as `read_outputs`.
    """
    with _told(path):
        for stream, name, size, _ in _streams(path, array):
            return _mapped(stream, name, size)
    raise DatasetError(f"{one_line(path.name)} has no array {one_line(array)}; save it again")


def _mapped(stream: IO[bytes], name: str, size: int) -> NDArray[Any]:
    shape, fortran, dtype, offset = _header(stream.read(_HEADER_BYTES), name)
    needed = math.prod(shape) * dtype.itemsize
    if needed > size - offset:
        raise DatasetError(f"{name} is cut short: shape {shape} takes {needed:,} bytes; copy it again")
    if size > VOLUME_BYTES:
        raise DatasetError(f"{name} has {size:,} bytes, at most {VOLUME_BYTES:,} are unpacked; save it in float16")
    if not needed:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as unpacked:
        stream.seek(0)
        shutil.copyfileobj(stream, unpacked, 2**20)
        unpacked.flush()
        return np.memmap(unpacked, dtype, "r", offset, shape, "F" if fortran else "C")


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn what reading a damaged file raises into one line with its name."""
    name = one_line(path.name)
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"{name} is not there; give the path of a .npy or .npz file") from None
    except _DAMAGE as error:
        reason = one_line(str(error)) or type(error).__name__
        raise DatasetError(f"{name} cannot be read ({reason}); save it again with numpy.save or numpy.savez") from None


def _streams(path: Path, array: str | None) -> Iterator[tuple[IO[bytes], str, int, str]]:
    """Each .npy of a file, open at its start: the stream, its name in messages, its bytes, its name in the file."""
    name = one_line(path.name)
    with path.open("rb") as file:
        start = file.read(len(npy.MAGIC_PREFIX))
        file.seek(0)
        if start == npy.MAGIC_PREFIX:
            yield file, name, path.stat().st_size, ""
        elif start[:2] == b"PK":
            yield from _archive(file, name, array)
        else:
            raise DatasetError(f"{name} is neither .npy nor .npz; save the outputs with numpy.save or numpy.savez")


def _archive(file: IO[bytes], name: str, array: str | None) -> Iterator[tuple[IO[bytes], str, int, str]]:
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        size = sum(member.file_size for member in members)
        if len(members) > ARCHIVE_ARRAYS or size > ARCHIVE_BYTES:
            raise DatasetError(
                f"{name} unpacks to {len(members):,} arrays and {size:,} bytes, but at most {ARCHIVE_ARRAYS:,} and "
                f"{ARCHIVE_BYTES:,} are read; split it into several files"
            )
        for member in members:
            key = member.filename.removesuffix(".npy")
            if array not in (None, key):
                continue
            inside = f"{name}/{one_line(member.filename)}"
            if not member.filename.endswith(".npy"):
                raise DatasetError(f"{inside} is not an array; put nothing but arrays into the .npz")
            with archive.open(member) as stream:
                yield stream, inside, member.file_size, key


def _array(stream: IO[bytes], name: str, size: int, only: int | None, axes: int) -> Iterator[NDArray[Any]]:
    """Images of one .npy stream of that many bytes; only: the number of the one that is wanted; axes: that each has."""
    stream.seek(0)
    shape, fortran, dtype, offset = _header(stream.read(_HEADER_BYTES), name)
    stream.seek(offset)
    image, count = shape[-axes:], math.prod(shape[:-axes])
    if fortran and len(shape) > axes:  # the images lie interleaved
        image, count = shape, 1
    needed = math.prod(image) * dtype.itemsize
    if needed > IMAGE_BYTES:
        raise DatasetError(
            f"{name} holds a piece of shape {image} and {needed:,} bytes, but at most {IMAGE_BYTES:,} are read at "
            "once; save every image as its own array in C order, in float16 if need be"
        )
    if needed * count > size - offset:
        raise DatasetError(
            f"{name} is cut short: shape {shape} takes {needed * count:,} bytes, {size - offset:,} are there; "
            "copy it again"
        )
    if only is not None:
        images = math.prod(shape[:-axes])
        if not 0 <= only < images:
            raise DatasetError(f"{name} has {images:,} images, there is no number {only}; count from 0")
        stream.seek(offset + (only * needed if count > 1 else 0))
        values = np.frombuffer(stream.read(needed), dtype).reshape(image, order="F" if fortran else "C")
        yield values[only] if values.ndim > axes else values
        return
    for _ in range(count if needed else min(count, 1)):  # a billion images without a pixel are one
        values = np.frombuffer(stream.read(needed), dtype).reshape(image, order="F" if fortran else "C")
        yield from values if values.ndim > axes else (values,)
    stream.read(1)  # a .npz compares its checksum at the end only


def _header(start: bytes, name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """Shape, whether in Fortran order, dtype, and where the data begins."""
    buffer = io.BytesIO(start)
    version = npy.read_magic(buffer)
    if version not in _HEADERS:
        raise DatasetError(f"{name} has format version {version}, which plain arrays do not need; save it again")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python 2 wrote numbers with an L; they are read all the same
        shape, fortran, dtype = _HEADERS[version](buffer)
    if dtype.hasobject:
        raise DatasetError(f"{name} holds Python objects, which are never unpickled; save a plain array of float32")
    if min(shape, default=0) < 0:
        raise DatasetError(f"{name} has a negative length in its shape {shape}; save it again")
    try:
        check_form(shape, dtype)
    except ShapeError as error:
        raise ShapeError(f"{name}: {error}") from None
    return shape, fortran, dtype, buffer.tell()
