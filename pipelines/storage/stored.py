"""Files of counts to Counts whose arrays are read when they are first asked for, and kept while there is room.

A page looks at a few of the arrays, and with thousands of images all of them together are gigabytes. What it makes of
them image by image is smaller still: `map_blocks` keeps nothing else.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from pipelines.arrays import Int64Array
from pipelines.engine import map_in_order
from pipelines.errors import RunError, ShapeError
from pipelines.statistics.bins import BINNED, image_bins
from pipelines.statistics.counts import PER_IMAGE, POOLED, SUMMED, Counts
from pipelines.statistics.sets import add_sets
from pipelines.storage import files
from pipelines.storage.counts import (
    BINS_FILE,
    IMAGES_FILE,
    POOLED_FILE,
    SETS_FILE,
    arrays_of,
    read_sets,
    row_groups,
    shapes_of,
)  # fmt: skip
from pipelines.storage.recent import Recent

KEPT_BYTES: Final = 2**29  # of arrays, in the whole process: two of the largest, of 2,000 images with eleven classes
ALL_IMAGES: Final = "all images"
_CHUNK: Final = 8  # row groups that a thread reads in one go
Result = TypeVar("Result")

_ARRAYS: Final = Recent(KEPT_BYTES)


class StoredCounts(Counts):
    """Counts of a split, head and variant from one folder, or several of the same images (seeds) added up.

    Arrays are those of Counts, read-only, each read when it is first asked for. whole: the images added up to one
    called ALL_IMAGES, from sums that were made when the counts were written. known: arrays that need not be read.
    Raises RunError when a file is missing, damaged or of another grid, ShapeError when images differ.
    """

    def __init__(self, folders: Sequence[Path] = (), *, whole: bool = False, **known: Any) -> None:
        # Of a frozen dataclass: attributes are set beside its fields, which stay unset until they are asked for.
        self.__dict__.update(known, _folders=tuple(folders), _whole=whole, _key=object(), _reading=threading.RLock())
        if folders:
            names = _images(folders)
            self.__dict__["images"] = (ALL_IMAGES,) if whole else names

    def __getattr__(self, name: str) -> Any:
        folders = self.__dict__.get("_folders", ())
        if not folders or name not in (*PER_IMAGE, *POOLED):
            raise AttributeError(name)
        with self._reading:  # or two sessions would read the same array twice
            return _ARRAYS.get((self._key, name), lambda: self._read(name, folders))

    def _read(self, name: str, folders: Sequence[Path]) -> Any:
        if name in ("sets", "set_pixels"):
            every = [read_sets(folder) for folder in folders]
            array = add_sets([one["sets"] for one in every], [one["set_pixels"] for one in every])[name == "set_pixels"]
        elif name in SUMMED:
            array = np.sum([_sum(folder, name) for folder in folders], axis=0)
        else:
            parts = (_sum(folder, name)[None] if self._whole else _by_image(folder, name) for folder in folders)
            array = next(parts)
            for part in parts:
                array += part
        array.flags.writeable = False  # all sessions share it
        return array


def read_counts(*folders: Path, whole: bool = False) -> Counts:
    """Counts of one split, head and variant: of one seed, or of several added up (StoredCounts)."""
    return StoredCounts(folders, whole=whole)


def map_blocks(folders: Sequence[Path], names: Sequence[str], function: Callable[[Counts], Result]) -> list[Result]:
    """What a function makes of the images block by block, in their order, from a few arrays of one or more folders.

    names: of PER_IMAGE arrays, the only ones that the blocks have; those of several folders (seeds) are added up.
    Blocks are read and worked on by all cores and forgotten, so that nothing of the size of the arrays is made.
    Raises as StoredCounts does.
    """
    _images(folders)
    with files.open_parquet(folders[0] / IMAGES_FILE) as file:
        groups = file.num_row_groups

    def run(start: int) -> list[Result]:
        chunk = range(start, min(start + _CHUNK, groups))
        parts = zip(*(_blocks(folder, names, chunk) for folder in folders), strict=True)
        return [function(_added(list(some))) for some in parts]

    found = [one for some in map_in_order(run, range(0, groups, _CHUNK)) for one in some]
    if not found:
        raise RunError(f"there are no images in {folders[0].name}; run evaluate again")
    return found


def read_bins(folders: Sequence[Path], bins: int) -> Int64Array:
    """`statistics.bins.image_bins` of all images, seeds added up: as they were stored, or made from the counts.

    They are made where they were not stored, or in another number of bins. Raises as StoredCounts does.
    """
    if not all(_has_bins(folder, bins) for folder in folders):
        return np.concatenate(map_blocks(folders, BINNED, partial(image_bins, bins=bins)))
    _images(folders)
    return np.sum([_arrays_by_image(folder / BINS_FILE, "bins") for folder in folders], axis=0)


def _has_bins(folder: Path, bins: int) -> bool:
    if not (folder / BINS_FILE).exists():
        return False
    with files.open_parquet(folder / BINS_FILE) as file, files.reading(folder / BINS_FILE):
        return shapes_of(file.schema_arrow)["bins"][-1] == bins


def _blocks(folder: Path, names: Sequence[str], groups: range) -> Iterator[Counts]:
    """Some row groups as Counts with some of the arrays. Each caller reads by a file of its own: threads share none."""
    path = folder / IMAGES_FILE
    with files.open_parquet(path) as file, files.reading(path):
        every = shapes_of(file.schema_arrow)
        shapes = {name: every[name] for name in names}
        for table in row_groups(file, ["image", *names], groups):
            arrays: dict[str, Any] = {"images": tuple(table["image"].to_pylist()), **arrays_of(table, shapes)}
            yield StoredCounts(**arrays)


def _added(blocks: Sequence[Counts]) -> Counts:
    """The same images of several seeds as one block."""
    if len(blocks) == 1:
        return blocks[0]
    names = [name for name in PER_IMAGE if name in vars(blocks[0])]
    sums: dict[str, Any] = {name: np.sum([getattr(one, name) for one in blocks], axis=0) for name in names}
    return StoredCounts(images=blocks[0].images, **sums)


def _images(folders: Sequence[Path]) -> tuple[str, ...]:
    """Names of the images of all folders. Raises RunError as _check does, ShapeError when they differ."""
    names = [_check(folder) for folder in folders]
    if any(other != names[0] for other in names):
        raise ShapeError("expected counts of the same images in the same order; count the same split")
    return names[0]


def _check(folder: Path) -> tuple[str, ...]:
    """Names of the images. Raises RunError when a file is missing, damaged or of another grid."""
    for name in (IMAGES_FILE, POOLED_FILE):
        with files.open_parquet(folder / name) as file, files.reading(folder / name):
            shapes_of(file.schema_arrow)
    files.open_parquet(folder / SETS_FILE).close()
    table = files.read_table(folder / IMAGES_FILE, columns=["image"])
    with files.reading(folder / IMAGES_FILE):
        return tuple(table["image"].to_pylist())


def _by_image(folder: Path, name: str) -> Int64Array:
    """An array of all images, (N, ...)."""
    return _arrays_by_image(folder / IMAGES_FILE, name)


def _arrays_by_image(path: Path, name: str) -> Int64Array:
    """An array of all images, (N, ...), read block by block into its place."""
    with files.open_parquet(path) as file, files.reading(path):
        shape = {name: shapes_of(file.schema_arrow)[name]}
        out = np.zeros((file.metadata.num_rows, *shape[name]), np.int64)
        start = 0
        for table in row_groups(file, [name]) if out.size else ():
            out[start : start + table.num_rows] = arrays_of(table, shape)[name]
            start += table.num_rows
    return out


def _sum(folder: Path, name: str) -> Int64Array:
    """The sum of an array over the images, as it was written or, in runs that are older than those sums, added up."""
    table = files.read_table(folder / POOLED_FILE)
    with files.reading(folder / POOLED_FILE):
        shapes = shapes_of(table.schema)
        if name in shapes:
            return arrays_of(table, {name: shapes[name]})[name][0].copy()
    if name in SUMMED:
        raise RunError(f"{POOLED_FILE} of {folder.name} has no {name}; run evaluate again")
    path = folder / IMAGES_FILE
    with files.open_parquet(path) as file, files.reading(path):
        shape = {name: shapes_of(file.schema_arrow)[name]}
        out = np.zeros(shape[name], np.int64)
        for table in row_groups(file, [name]) if out.size else ():
            out += arrays_of(table, shape)[name].sum(axis=0)
    return out
