"""Counts to parquet, one row an image for what is kept by image and one in all for sums over images, and back."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.arrays import Int64Array
from pipelines.errors import RunError
from pipelines.statistics.bins import image_bins
from pipelines.statistics.counts import PER_IMAGE, SUMMED, Counts, pool, pooled
from pipelines.storage import files

GRID_VERSION: Final = "2"
IMAGES_FILE, POOLED_FILE, SETS_FILE, BINS_FILE = "images.parquet", "pooled.parquet", "sets.parquet", "bins.parquet"
USUAL_BINS: Final = 15


class CountsWriter:
    """Writes blocks of images as they come, one row group a block; the files appear only when all went well.

    Leaves images.parquet (an `image` column and one fixed-size list of int64 per array of ImageCounts, its shape in
    the schema's metadata), pooled.parquet (one row: what is kept only as a sum, and the sums over the images of what is
    kept by image), sets.parquet (one row a pair of label sets: `truth` and `called`, uint64 with bit c for class c,
    and `pixels`) and bins.parquet (as images.parquet, of one array `bins`: statistics.bins in so many bins).
    """

    def __init__(self, folder: Path, *, bins: int = USUAL_BINS) -> None:
        folder.mkdir(parents=True, exist_ok=True)
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
        self._sums = {name: self._sums[name] + one for name, one in sums.items()} if self._sums else sums

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
        whole |= {name: one[None] for name, one in self._sums.items()}
        files.write_table(self._folder / POOLED_FILE, _table(("all",), whole))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._images.discard()
            self._bins.discard()


class _Rows:
    """A file of arrays by image, one row group a block, under a temporary name until it is closed."""

    def __init__(self, path: Path) -> None:
        self._path, self._temporary = path, path.with_name(path.name + ".new")
        self._writer: pq.ParquetWriter | None = None

    def write(self, images: Sequence[str], arrays: dict[str, Int64Array]) -> None:
        """Add a block. Raises RunError when the disk refuses."""
        table = _table(images, arrays)
        try:
            if self._writer is None:
                # Counts are small numbers in eight bytes: bytes of one place side by side are read in half the time.
                split = [f"{name}.list.element" for name in table.column_names[1:]]
                self._writer = pq.ParquetWriter(
                    self._temporary,
                    table.schema,
                    use_dictionary=False,
                    use_byte_stream_split=split,
                    **files.COMPRESSION,
                )
            self._writer.write_table(table)
        except OSError as error:
            raise RunError(f"counts could not be written ({error}); free some space and resume") from None

    def close(self) -> None:
        """Give the file its name. Raises RunError when the disk refuses."""
        try:
            if self._writer is not None:
                self._writer.close()
            files.sync_file(self._temporary)
            self._temporary.replace(self._path)
        except OSError as error:
            raise RunError(f"counts could not be written ({error}); free some space and resume") from None

    def discard(self) -> None:
        """Leave nothing behind."""
        if self._writer is not None:
            self._writer.close()
        self._temporary.unlink(missing_ok=True)


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
