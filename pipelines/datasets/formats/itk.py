"""NRRD and MetaImage files (.nrrd, .nhdr, .mha, .mhd): a text header, then values, plain or deflated.

Both are the formats that ITK, 3D Slicer and nnU-Net's SimpleITKIO write. The headers are read here, so that nothing is
unpacked before its size is known, and no header leads to a file outside of its folder.
"""

import bz2
import gzip
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.files import damage_named
from pipelines.errors import DatasetError
from pipelines.sentences import path_tail, printable

SUFFIXES: Final = (".nrrd", ".nhdr", ".mha", ".mhd")
_MOST_HEADER: Final = 1 << 20  # bytes
_MOST_AXES: Final = 16
_DAMAGED: Final = "is damaged or truncated ({}); copy or export it again"

# Type words of NRRD (http://teem.sourceforge.net/nrrd/format.html) and of MetaImage to NumPy's.
_NRRD_TYPES: Final = {
    word: kind
    for kind, words in {
        "i1": ("signed char", "int8", "int8_t"),
        "u1": ("uchar", "unsigned char", "uint8", "uint8_t"),
        "i2": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
        "u2": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
        "i4": ("int", "signed int", "int32", "int32_t"),
        "u4": ("uint", "unsigned int", "uint32", "uint32_t"),
        "i8": ("longlong", "long long", "long long int", "signed long long", "int64", "int64_t"),
        "u8": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
        "f4": ("float",),
        "f8": ("double",),
    }.items()
    for word in words
}
_META_TYPES: Final = {
    **{"MET_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2", "MET_INT": "i4", "MET_UINT": "u4"},
    **{"MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8", "MET_ULONG_LONG": "u8"},
    **{"MET_FLOAT": "f4", "MET_DOUBLE": "f8"},
}
_SAMPLES: Final = ("domain", "space", "time")  # kinds of axes that NRRD counts pixels along


@dataclass(frozen=True)
class Header:
    """What a file holds. axes: lengths of the axes of pixels, the fastest first. channels: values a pixel.

    channel_axis: their place among the axes as stored. dtype: with its byte order. data, offset: the file of the values
    and the byte they begin at, -1 to count from its end. packing: "raw", "gzip", "zlib" or "bzip2".
    """

    axes: tuple[int, ...]
    channels: int
    channel_axis: int
    dtype: np.dtype[Any]
    data: Path
    offset: int
    packing: str


def read_header(path: Path) -> Header:
    """The header of a file. Raises DatasetError, one line, for what it does not hold."""
    with damage_named(path, _DAMAGED), path.open("rb") as file:
        start = file.read(_MOST_HEADER)
    return _meta_header(path, start) if path.suffix.lower() in (".mha", ".mhd") else _nrrd_header(path, start)


def read_values(header: Header) -> NDArray[Any]:
    """Values by pixel axes and channel, (X, Y, …, C); allocates what the header says. Raises DatasetError."""
    shape = list(header.axes)
    shape.insert(header.channel_axis, header.channels)
    needed = math.prod(shape) * header.dtype.itemsize
    with damage_named(header.data, _DAMAGED), header.data.open("rb") as file:
        if header.offset < 0:
            file.seek(-needed, 2)
        else:
            file.seek(header.offset)
        content = _unpacked(file, header.packing, needed)
    if len(content) != needed:
        raise DatasetError(
            f"{path_tail(header.data)} holds {len(content):,} bytes of values, expected {needed:,}; copy or export it "
            "again"
        )
    return np.moveaxis(np.frombuffer(content, header.dtype).reshape(shape, order="F"), header.channel_axis, -1)


def _unpacked(file: IO[bytes], packing: str, needed: int) -> bytes:
    """So many bytes and no more, whatever else would come out."""
    if packing == "gzip":
        with gzip.open(file) as packed:
            return packed.read(needed)
    if packing == "bzip2":
        with bz2.open(file) as packed:
            return packed.read(needed)
    if packing == "zlib":
        return zlib.decompressobj().decompress(file.read(needed + _MOST_HEADER), needed)
    return file.read(needed)


def data_file(path: Path) -> Path | None:
    """The file beside a header that holds its values; None where they are in the same file. Raises DatasetError."""
    data = read_header(path).data
    return None if data == path else data


# NRRD ----------------------------------------------------------------------------------------------------------------


def _nrrd_header(path: Path, start: bytes) -> Header:
    if not start.startswith(b"NRRD000"):
        raise DatasetError(f"{path_tail(path)} is no NRRD file; export it again")
    end = re.search(rb"\r?\n\r?\n", start)
    if end is None and not path.name.lower().endswith(".nhdr"):
        raise DatasetError(f"{path_tail(path)} has a header without an end; it is damaged, export it again")
    text = start if end is None else start[: end.start()]
    fields = _fields(text, r"([^:#][^:]*):\s(.*)")  # "key:=value" is told apart by the blank
    axes = _numbers(path, fields, "sizes")
    encoding = fields.get("encoding", "").lower()
    packing = {"raw": "raw", "gzip": "gzip", "gz": "gzip", "bzip2": "bzip2", "bz2": "bzip2"}.get(encoding)
    if packing is None:
        raise _unread(path, "encoding", encoding, "raw or gzip")
    dtype = _dtype(path, fields, "type", _NRRD_TYPES, big=fields.get("endian", "").lower() == "big")
    name = fields.get("data file", fields.get("datafile"))
    data, offset = (path, end.end() if end else 0) if name is None else (_beside(path, name), 0)
    skip = _skipped(path, fields.get("byte skip", fields.get("byteskip", "0")))
    lines = _skipped(path, fields.get("line skip", fields.get("lineskip", "0")))
    if lines or (skip and packing != "raw"):
        raise _unread(path, "line skip or byte skip", f"{lines}, {skip}", "none")
    place = _channel_axis(fields, len(axes))
    channels = 1 if place is None else axes[place]
    pixels = tuple(length for axis, length in enumerate(axes) if axis != place)
    at = len(pixels) if place is None else place
    return Header(pixels, channels, at, dtype, data, -1 if skip == -1 else offset + skip, packing)


def _channel_axis(fields: Mapping[str, str], axes: int) -> int | None:
    """The axis of channels: that of another kind than pixels, or without a direction; None where there is none."""
    kinds = fields.get("kinds", "").lower().split()
    if len(kinds) == axes:
        return next((axis for axis, kind in enumerate(kinds) if kind not in (*_SAMPLES, "???", "none")), None)
    directions = re.findall(r"none|\([^)]*\)", fields.get("space directions", "").lower())
    return directions.index("none") if len(directions) == axes and "none" in directions else None


# MetaImage -----------------------------------------------------------------------------------------------------------


def _meta_header(path: Path, start: bytes) -> Header:
    end = re.search(rb"^ElementDataFile[ \t]*=[^\n]*(\n|\Z)", start, re.MULTILINE)
    if end is None:
        raise DatasetError(f"{path_tail(path)} is no MetaImage file; export it again")
    fields = _fields(start[: end.end()], r"([^=]+?)\s*=(.*)")
    axes = _numbers(path, fields, "dimsize")
    if fields.get("binarydata", "true").lower() != "true":
        raise _unread(path, "BinaryData", fields["binarydata"], "True")
    big = fields.get("binarydatabyteordermsb", fields.get("elementbyteordermsb", "")).lower() == "true"
    dtype = _dtype(
        path, {**fields, "elementtype": fields.get("elementtype", "").upper()}, "elementtype", _META_TYPES, big
    )
    name = fields["elementdatafile"]
    local = name.upper() == "LOCAL"
    channels = _numbers(path, {"elementnumberofchannels": "1", **fields}, "elementnumberofchannels")[0]
    offset = end.end() if local else _skipped(path, fields.get("headersize", "0"))
    packed = fields.get("compresseddata", "").lower() == "true"
    return Header(axes, channels, 0, dtype, path if local else _beside(path, name), offset, "zlib" if packed else "raw")


# Of both -------------------------------------------------------------------------------------------------------------


def _fields(text: bytes, pattern: str) -> dict[str, str]:
    """Lines of a header by their key in lower case; the first of a key counts."""
    found: dict[str, str] = {}
    for line in text.decode("latin-1").splitlines():
        match = re.fullmatch(pattern, line.strip())
        if match is not None:
            found.setdefault(match[1].strip().lower(), match[2].strip())
    return found


def _numbers(path: Path, fields: Mapping[str, str], key: str) -> tuple[int, ...]:
    words = fields.get(key, "").split()
    if not 0 < len(words) <= _MOST_AXES or not all(re.fullmatch(r"[1-9]\d{0,9}", word) for word in words):
        raise _unread(path, key, fields.get(key, ""), "lengths of axes")
    return tuple(map(int, words))


def _skipped(path: Path, text: str) -> int:
    """Bytes or lines before the values; -1: whatever comes before as many bytes as the values take."""
    if re.fullmatch(r"-1|\d{1,9}", text) is None:
        raise _unread(path, "length of a header", text, "a whole number")
    return int(text)


def _dtype(path: Path, fields: Mapping[str, str], key: str, types: Mapping[str, str], big: bool) -> np.dtype[Any]:
    kind = types.get(fields.get(key, ""))
    if kind is None:
        raise _unread(path, key, fields.get(key, ""), "whole or floating-point numbers")
    return np.dtype(kind).newbyteorder(">" if big else "<")


def _beside(path: Path, name: str) -> Path:
    """A file in the folder of its header; lists and patterns of files are not read."""
    if not name or name.startswith(".") or re.search(r"[/\\%\0]", name) or name.upper().startswith("LIST"):
        raise _unread(path, "data file", name, "a file in the same folder")
    data = path.with_name(name)
    if data.resolve().parent != path.resolve().parent or not data.is_file():
        raise DatasetError(
            f"{path_tail(path)} names {printable(name)[:60]} as its data, which is not beside it; put it there"
        )
    return data


def _unread(path: Path, key: str, given: str, expected: str) -> DatasetError:
    return DatasetError(
        f"{path_tail(path)} has the {key} {printable(given)[:40]!r}, expected {expected}; save it again, as .nrrd or "
        ".mha of one file"
    )
