"""Counts to parquet, one row an image for what is kept by image and one in all for what is not, and back."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.arrays import Int64Array
from pipelines.errors import RunError
from pipelines.statistics.counts import PER_IMAGE, SUMMED, Counts, pool, pooled
from pipelines.storage import files

GRID_VERSION: Final = "2"
_IMAGES, _POOLED, _SETS = "images.parquet", "pooled.parquet", "sets.parquet"


class CountsWriter:
    """Writes blocks of images as they come, one row group a block; the files appear only when all went well.

    Leaves images.parquet (an `image` column and one fixed-size list of int64 per array of ImageCounts, its shape in
    the schema's metadata), pooled.parquet (one row) and sets.parquet (one row a pair of label sets: `truth` and
    `called`, uint64 with bit c for class c, and `pixels`).
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._temporary = folder, folder / (_IMAGES + ".new")
        self._writer: pq.ParquetWriter | None = None
        self._pooled: dict[str, Any] = {}

    def write(self, block: Counts) -> None:
        """Add a block. Raises RunError when the disk refuses."""
        table = _table(block.images, {name: getattr(block, name) for name in PER_IMAGE})
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
        self._pooled = pool([self._pooled, pooled(block)]) if self._pooled else pooled(block)

    def close(self) -> None:
        """Finish the files. Raises RunError when there was no block or the disk refuses."""
        if self._writer is None:
            raise RunError(f"{self._folder.parent.name}: there is nothing to count; the split is empty")
        try:
            self._writer.close()
            files.sync_file(self._temporary)
            self._temporary.replace(self._folder / _IMAGES)
        except OSError as error:
            raise RunError(f"counts could not be written ({error}); free some space and resume") from None
        sets, pixels = self._pooled["sets"], self._pooled["set_pixels"]
        columns = {"truth": sets[:, 0], "called": sets[:, 1], "pixels": pixels}
        files.write_table(self._folder / _SETS, pa.table(columns))
        files.write_table(self._folder / _POOLED, _table(("all",), {name: self._pooled[name][None] for name in SUMMED}))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        elif self._writer is not None:
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


def read_counts(folder: Path) -> Counts:
    """All images of one split, head, seed and variant."""
    parts = list(iter_counts(folder))
    if len(parts) == 1:
        return parts[0]
    values = {name: np.concatenate([getattr(part, name) for part in parts]) for name in PER_IMAGE}
    images = tuple(image for part in parts for image in part.images)
    return Counts(images=images, **values, **pooled(parts[0]))


def iter_counts(folder: Path) -> Iterator[Counts]:
    """The same in blocks of images; each block carries the pooled counts of the whole."""
    shared: dict[str, Any] = {name: array[0] for name, array in _arrays(files.read_table(folder / _POOLED)).items()}
    sets = files.read_table(folder / _SETS)
    shared["sets"] = np.stack([sets[name].to_numpy() for name in ("truth", "called")], axis=-1)
    shared["set_pixels"] = sets["pixels"].to_numpy()
    with files.open_parquet(folder / _IMAGES) as file:
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group)
            except (OSError, pa.ArrowInvalid) as error:
                raise RunError(f"the counts in {folder.name} are damaged ({error}); run evaluate again") from None
            yield Counts(images=tuple(table["image"].to_pylist()), **(shared | _arrays(table)))


def _arrays(table: pa.Table) -> dict[str, Int64Array]:
    metadata = table.schema.metadata or {}
    if metadata.get(b"grid") != GRID_VERSION.encode():
        raise RunError("these counts were made on another grid of scores; run evaluate again")
    shapes: dict[str, list[int]] = json.loads(metadata[b"shapes"])
    out: dict[str, Int64Array] = {}
    for name, shape in shapes.items():
        if name in table.column_names:
            flat = table[name].combine_chunks().flatten().to_numpy()
            out[name] = flat.reshape(table.num_rows, *shape)
        else:
            out[name] = np.zeros((table.num_rows, *shape), np.int64)
    return out
