"""safetensors files to outputs: a file an image, or one file with a tensor an image. PyTorch is not needed."""

import json
import math
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError, ShapeError
from pipelines.imports.readers.arrays import IMAGE_BYTES, only_array
from pipelines.imports.sources import Files, FileSource, Names, OutputSource, Said, stem
from pipelines.misuse import check_form
from pipelines.sentences import one_line

SUFFIX: Final = ".safetensors"
_SIZES: Final = {"64": 8, "32": 4, "16": 2, "8": 1}  # bits and bytes
_DTYPES: Final = {"BF16": "<u2", "F64": "<f8", "F32": "<f4", "F16": "<f2"} | {
    f"{kind}{bits}": f"<{kind.lower()}{size}" for kind in "IU" for bits, size in _SIZES.items()
}
_HEADER_BYTES: Final = 2**26  # of one file's table of tensors


class _Tensor(NamedTuple):
    """Where one tensor lies: its dtype as the format calls it, its shape, and its bytes in the file."""

    path: Path
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int


def recognise(files: Files) -> bool:
    """Whether there are safetensors files."""
    return any(name.lower().endswith(SUFFIX) for name in files)


def open_tensors(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open safetensors files; reads their tables only. Raises ConfigError or DatasetError."""
    known = Names(dataset.names())
    found: list[tuple[str, _Tensor]] = []
    for name, path in files.items():
        if name.lower().endswith(SUFFIX):
            tensors = _table(path)
            if known.image(stem(name)) is None:
                found += tensors.items()
            else:
                found.append((stem(name), tensors[only_array(tuple(tensors), name, said)]))
    return _Tensors(said.declare(), found, dataset.names())


def _table(path: Path) -> dict[str, _Tensor]:
    """Every tensor of a file. The library checks the table; our own look at it finds where the bytes are."""
    name = one_line(path.name)
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > _HEADER_BYTES:
                raise DatasetError(f"{name} claims a table of {length:,} bytes; save it again with safetensors")
            with safe_open(path, framework="numpy"):
                pass
            table = json.loads(file.read(length))
        return {
            key: _Tensor(
                path, one["dtype"], tuple(one["shape"]), *(8 + length + offset for offset in one["data_offsets"])
            )
            for key, one in table.items()
            if key != "__metadata__"
        }
    except (SafetensorError, OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise DatasetError(
            f"{name} is damaged or no safetensors file ({one_line(str(error))}); save it again with safetensors"
        ) from None


class _Tensors(FileSource[_Tensor]):
    def size_of(self, place: _Tensor) -> tuple[int, int] | None:
        return (place.shape[-2], place.shape[-1]) if len(place.shape) >= 2 else None

    def load(self, place: _Tensor, item: Item) -> NDArray[Any]:
        path, dtype, shape, start, end = place
        name = one_line(path.name)
        if dtype not in _DTYPES:
            raise DatasetError(f"{name} holds {one_line(dtype)} values; save them as float32, float16 or bfloat16")
        stored = np.dtype(_DTYPES[dtype])
        try:
            check_form(shape, stored)
        except ShapeError as error:
            raise ShapeError(f"{name}: {error}") from None
        size = math.prod(shape) * stored.itemsize
        if size > IMAGE_BYTES or size != end - start:
            raise DatasetError(
                f"{name} has a tensor of shape {shape}, {size:,} bytes; at most {IMAGE_BYTES:,} are read"
            )
        try:
            with path.open("rb") as file:
                file.seek(start)
                values = np.frombuffer(file.read(size), stored).reshape(shape)
        except (OSError, ValueError) as error:
            raise DatasetError(f"{name} cannot be read ({error}); copy it again") from None
        if dtype == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values
