"""Arrays that Arrow keeps as lists of lists of numbers, as `datasets` stores its features Array2D and Array3D."""

from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.datasets import imageio

MAX_VALUES: Final = 1 << 28  # of one cell, and of a parquet file's row group
_LISTS: Final = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)


def is_nested(kind: pa.DataType) -> bool:
    """Whether cells of a type can be (H, W) or (H, W, B) arrays of numbers.

    >>> is_nested(pa.list_(pa.list_(pa.uint8()))), is_nested(pa.list_(pa.uint8()))
    (True, False)
    """
    if isinstance(kind, pa.BaseExtensionType):  # where `datasets` is loaded, it has names for them
        kind = kind.storage_type
    axes = 0
    while _is_list(kind):
        axes, kind = axes + 1, kind.value_type
    return axes in (2, 3) and (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind))


def to_array(cell: Any) -> NDArray[Any]:
    """The array in a cell, a scalar of such a type. Raises ValueError for lists of different lengths and nothing."""
    cell = cell.value if isinstance(cell, pa.ExtensionScalar) else cell
    if cell is None or cell.values is None:
        raise ValueError("the cell is empty")
    values, shape = cell.values, []
    count = 1
    while True:
        if len(values) % count or values.null_count or not len(values):
            raise ValueError("its lists are empty or of different lengths")
        shape.append(len(values) // count)
        count = len(values)
        if not _is_list(values.type):
            break
        lengths = values.value_lengths()
        if len(lengths.unique()) != 1:
            raise ValueError("its lists are of different lengths")
        values = values.flatten()
    if count > MAX_VALUES:
        raise ValueError(f"an array holds {count:,} values, allowed are {MAX_VALUES:,}")
    return np.asarray(values.to_numpy(zero_copy_only=False)).reshape(shape)


def bands_last(values: NDArray[Any]) -> NDArray[Any]:
    """An array (H, W), (H, W, B) or (B, H, W) as (H, W, B): of the first and last axis the shorter holds bands.

    Raises ValueError for more than imageio.MAX_PIXELS pixels.

    >>> bands_last(np.zeros((4, 20, 30))).shape, bands_last(np.zeros((20, 30, 4))).shape
    ((20, 30, 4), (20, 30, 4))
    """
    if values.ndim == 2:
        values = values[:, :, None]
    elif values.shape[0] < values.shape[2]:
        values = np.moveaxis(values, 0, 2)
    if values.shape[0] * values.shape[1] > imageio.MAX_PIXELS:
        raise ValueError(f"an array is {values.shape[1]}×{values.shape[0]}, more than {imageio.MAX_PIXELS:,} pixels")
    return values


def _is_list(kind: pa.DataType) -> bool:
    return any(known(kind) for known in _LISTS)
