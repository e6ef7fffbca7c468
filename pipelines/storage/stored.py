"""Files of counts to Counts whose arrays are read when they are first asked for, and kept while there is room.

A page looks at a few of the arrays, and with thousands of images all of them together are gigabytes.
"""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines.arrays import Int64Array
from pipelines.errors import RunError, ShapeError
from pipelines.statistics.counts import PER_IMAGE, POOLED, SUMMED, Counts
from pipelines.statistics.sets import add_sets
from pipelines.storage import files
from pipelines.storage.counts import (
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
            names = [_check(folder) for folder in folders]
            if any(other != names[0] for other in names):
                raise ShapeError("expected counts of the same images in the same order; count the same split")
            self.__dict__["images"] = (ALL_IMAGES,) if whole else names[0]

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


def _check(folder: Path) -> tuple[str, ...]:
    """Names of the images. Raises RunError when a file is missing, damaged or of another grid."""
    for name in (IMAGES_FILE, POOLED_FILE):
        with files.open_parquet(folder / name) as file:
            shapes_of(file.schema_arrow)
    files.open_parquet(folder / SETS_FILE).close()
    return tuple(files.read_table(folder / IMAGES_FILE, columns=["image"])["image"].to_pylist())


def _by_image(folder: Path, name: str) -> Int64Array:
    """An array of all images, (N, ...), read block by block into its place."""
    with files.open_parquet(folder / IMAGES_FILE) as file:
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
    shapes = shapes_of(table.schema)
    if name in shapes:
        return arrays_of(table, {name: shapes[name]})[name][0].copy()
    if name in SUMMED:
        raise RunError(f"{POOLED_FILE} of {folder.name} has no {name}; run evaluate again")
    with files.open_parquet(folder / IMAGES_FILE) as file:
        shape = {name: shapes_of(file.schema_arrow)[name]}
        out = np.zeros(shape[name], np.int64)
        for table in row_groups(file, [name]) if out.size else ():
            out += arrays_of(table, shape)[name].sum(axis=0)
    return out
