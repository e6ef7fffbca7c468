"""Counts to parquet, one row an image, and back."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.arrays import Int64Array
from pipelines.errors import RunError
from pipelines.statistics.counts import PER_IMAGE, POOLED, Counts
from pipelines.storage import files

GRID_VERSION: Final = "1"
_IMAGES, _POOLED = "images.parquet", "pooled.parquet"


def write_counts(folder: Path, blocks: Iterable[Counts]) -> None:
    """Write blocks of images as they come: one block in memory at a time, one row group a block.

    Leaves images.parquet (an `image` column and one fixed-size list of int64 per array of ImageCounts, its shape in
    the schema's metadata) and pooled.parquet (one row). Raises RunError when there is no block.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / (_IMAGES + ".new")
    writer: pq.ParquetWriter | None = None
    pooled: dict[str, Int64Array] = {}
    try:
        for block in blocks:
            table = _table(block.images, {name: getattr(block, name) for name in PER_IMAGE})
            if writer is None:
                writer = pq.ParquetWriter(temporary, table.schema, use_dictionary=False, **files.COMPRESSION)
            writer.write_table(table)
            for name in POOLED:
                pooled[name] = pooled.get(name, 0) + getattr(block, name)
        if writer is None:
            raise RunError(f"{folder.name}: there is nothing to count; the split is empty")
        writer.close()
        files.sync_file(temporary)
        temporary.replace(folder / _IMAGES)
    except OSError as error:
        raise RunError(f"counts could not be written ({error}); free some space and resume") from None
    finally:
        if writer is not None:
            writer.close()
        temporary.unlink(missing_ok=True)
    files.write_table(folder / _POOLED, _table(("all",), {name: pooled[name][None] for name in POOLED}))


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
    return Counts(images=images, joint=parts[0].joint, pairs=parts[0].pairs, **values)


def iter_counts(folder: Path) -> Iterator[Counts]:
    """The same in blocks of images; each block carries the joint and pairs counts of the whole."""
    pooled = _arrays(files.read_table(folder / _POOLED))
    shared = {name: pooled[name][0] for name in POOLED}
    with files.open_parquet(folder / _IMAGES) as file:
        for group in range(file.num_row_groups):
            try:
                table = file.read_row_group(group)
            except (OSError, pa.ArrowInvalid) as error:
                raise RunError(f"the counts in {folder.name} are damaged ({error}); run evaluate again") from None
            yield Counts(images=tuple(table["image"].to_pylist()), **shared, **_arrays(table))


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
