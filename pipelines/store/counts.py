"""Counts of a run: written in blocks of images, read back array by array when they are asked for."""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.arrays import Int64Array
from pipelines.counting.counts import BINNED, PER_IMAGE, POOLED, SUMMED, Counts, add_sets, image_bins, pool, pooled
from pipelines.engine import map_in_order
from pipelines.errors import RunError, ShapeError
from pipelines.store import files

# What was asked for last ---------------------------------------------------------------------------------------------


class Recent:
    """Values with `nbytes` that were asked for last, of at most so many bytes together; a larger one is not kept."""

    def __init__(self, most: int) -> None:
        self._most, self._lock = most, threading.Lock()
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value kept under a key, or a new one. Two threads that ask at once may both make it."""
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        value = make()
        with self._lock:
            if key not in self._kept and value.nbytes <= self._most:
                self._kept[key] = value
                self.bytes += value.nbytes
            while self.bytes > self._most:
                _, oldest = self._kept.popitem(last=False)
                self.bytes -= oldest.nbytes
        return value


# Files of counts -----------------------------------------------------------------------------------------------------

GRID_VERSION: Final = "2"
IMAGES_FILE, POOLED_FILE, SETS_FILE, BINS_FILE = "images.parquet", "pooled.parquet", "sets.parquet", "bins.parquet"
USUAL_BINS: Final = 15


class CountsWriter(files.Writer):
    """Writes blocks of images as they come, one row group a block; the files appear only when all went well.

    Leaves images.parquet (an `image` column and one fixed-size list of int64 per array of ImageCounts, its shape in
    the schema's metadata), pooled.parquet (one row: what is kept only as a sum, and the sums over the images of what is
    kept by image), sets.parquet (one row a pair of label sets: `truth` and `called`, uint64 with bit c for class c,
    and `pixels`) and bins.parquet (as images.parquet, of one array `bins`: counts.image_bins in so many bins).
    """

    def __init__(self, folder: Path, *, bins: int = USUAL_BINS) -> None:
        self._folder, self._number = folder, bins
        self._images, self._bins = _Rows(folder / IMAGES_FILE), _Rows(folder / BINS_FILE)
        self._pooled: dict[str, Any] = {}
        self._sums: dict[str, Int64Array] = {}

    def write(self, block: Counts) -> None:
        """Add a block. Raises RunError when the disk refuses."""
        self._images.write(block.images, {name: getattr(block, name) for name in PER_IMAGE})
        self._bins.write(block.images, {"bins": image_bins(block, self._number)})
        self._pooled = pool([self._pooled, pooled(block)]) if self._pooled else pooled(block)
        sums = {name: getattr(block, name).sum(axis=0) for name in PER_IMAGE}
        self._sums = {name: self._sums[name] + total for name, total in sums.items()} if self._sums else sums

    def close(self) -> None:
        """Finish the files. Raises RunError when there was no block or the disk refuses."""
        if not self._pooled:
            raise RunError(f"{self._folder.parent.name}: there is nothing to count; the split is empty")
        self._images.close()
        self._bins.close()
        sets, pixels = self._pooled["sets"], self._pooled["set_pixels"]
        columns = {"truth": sets[:, 0], "called": sets[:, 1], "pixels": pixels}
        files.write_table(self._folder / SETS_FILE, pa.table(columns))
        whole = {name: self._pooled[name][None] for name in SUMMED}
        whole |= {name: total[None] for name, total in self._sums.items()}
        files.write_table(self._folder / POOLED_FILE, _table(("all",), whole))

    def discard(self) -> None:
        """Leave nothing behind."""
        self._images.discard()
        self._bins.discard()


class _Rows(files.TableWriter):
    """A file of arrays by image, one row group a block."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, name="counts")

    def write(self, images: Sequence[str], arrays: dict[str, Int64Array]) -> None:
        """Add a block. Raises RunError when the disk refuses."""
        table = _table(images, arrays)
        # Counts are small numbers in eight bytes: bytes of one place side by side are read in half the time.
        split = [f"{name}.list.element" for name in table.column_names[1:]]
        self.add(table, use_dictionary=False, use_byte_stream_split=split)


def _table(images: Sequence[str], arrays: dict[str, Int64Array]) -> pa.Table:
    columns: list[pa.Array] = [pa.array(list(images), pa.string())]
    fields = [pa.field("image", pa.string(), nullable=False)]
    for name, array in arrays.items():
        size = int(np.prod(array.shape[1:]))
        if size == 0:
            continue
        columns.append(pa.FixedSizeListArray.from_arrays(pa.array(array.reshape(-1)), size))
        fields.append(pa.field(name, pa.list_(pa.int64(), size), nullable=False))
    shapes = {name: array.shape[1:] for name, array in arrays.items()}
    metadata = {"shapes": json.dumps(shapes), "grid": GRID_VERSION}
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata=metadata))


def iter_counts(folder: Path) -> Iterator[Counts]:
    """All images of one split, head, seed and variant in blocks; each block carries the pooled counts of the whole."""
    table = files.read_table(folder / POOLED_FILE)
    with files.reading(folder / POOLED_FILE):
        shared: dict[str, Any] = {name: array[0] for name, array in arrays_of(table, shapes_of(table.schema)).items()}
    shared |= read_sets(folder)
    path = folder / IMAGES_FILE
    with files.open_parquet(path) as file, files.reading(path):
        for table in row_groups(file):
            arrays = arrays_of(table, shapes_of(table.schema))
            yield Counts(images=tuple(table["image"].to_pylist()), **(shared | arrays))


def read_sets(folder: Path) -> dict[str, Any]:
    """`sets` and `set_pixels` of Counts."""
    table = files.read_table(folder / SETS_FILE)
    with files.reading(folder / SETS_FILE):
        sets = np.stack([table[name].to_numpy() for name in ("truth", "called")], axis=-1)
        return {"sets": sets, "set_pixels": table["pixels"].to_numpy()}


def row_groups(
    file: pq.ParquetFile, columns: list[str] | None = None, groups: range | None = None
) -> Iterator[pa.Table]:
    """Each row group of a file of counts, or some of them; to be called inside `files.reading`."""
    for group in range(file.num_row_groups) if groups is None else groups:
        yield file.read_row_group(group, columns=columns)


def shapes_of(schema: pa.Schema) -> dict[str, tuple[int, ...]]:
    """Shape of each array by name, without the images' axis; to be called inside `files.reading`.

    Raises RunError when the grid of scores is another one.
    """
    metadata = schema.metadata or {}
    if metadata.get(b"grid") != GRID_VERSION.encode():
        raise RunError("these counts were made on another grid of scores; run evaluate again")
    return {name: tuple(shape) for name, shape in json.loads(metadata[b"shapes"]).items()}


def arrays_of(table: pa.Table, shapes: Mapping[str, Sequence[int]]) -> dict[str, Int64Array]:
    """The arrays of some shapes, (N, ...) each; those without a number have no column."""
    out: dict[str, Int64Array] = {}
    for name, shape in shapes.items():
        if name in table.column_names:
            flat = table[name].combine_chunks().flatten().to_numpy()
            out[name] = flat.reshape(table.num_rows, *shape)
        else:
            out[name] = np.zeros((table.num_rows, *shape), np.int64)
    return out


# Counts that are read when they are needed ---------------------------------------------------------------------------
#
# A page looks at a few of the arrays, and with thousands of images all of them together are gigabytes. What it makes of
# them image by image is smaller still: `map_blocks` keeps nothing else.

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
            parts = (
                _sum(folder, name)[None] if self._whole else _by_image(folder / IMAGES_FILE, name) for folder in folders
            )
            array = next(parts)
            for part in parts:
                array += part
        array.flags.writeable = False  # all sessions share it
        return array


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
        return [function(_added(list(blocks))) for blocks in parts]

    results = [result for blocks in map_in_order(run, range(0, groups, _CHUNK)) for result in blocks]
    if not results:
        raise RunError(f"there are no images in {folders[0].name}; run evaluate again")
    return results


def read_bins(folders: Sequence[Path], bins: int) -> Int64Array:
    """`counts.image_bins` of all images, seeds added up: as they were stored, or made from the counts.

    They are made where they were not stored, or in another number of bins. Raises as StoredCounts does.
    """
    if not all(_has_bins(folder, bins) for folder in folders):
        return np.concatenate(map_blocks(folders, BINNED, partial(image_bins, bins=bins)))
    _images(folders)
    return np.sum([_by_image(folder / BINS_FILE, "bins") for folder in folders], axis=0)


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
    sums: dict[str, Any] = {name: np.sum([getattr(block, name) for block in blocks], axis=0) for name in names}
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


def _by_image(path: Path, name: str) -> Int64Array:
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
