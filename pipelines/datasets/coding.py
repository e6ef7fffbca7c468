"""Raw mask values to truth: which classes each pixel carries and which pixels are to be ignored."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.schema import Kind

_SHOWN: Final = 8  # values named in a message


def decode_index(
    values: NDArray[Any], *, kind: Kind, classes: int, ignore_index: int | None
) -> tuple[BoolArray, BoolArray, tuple[int, ...]]:
    """Truth of a mask whose value is the class.

    values: (H, W) integers. Binary: 0 background, 1 foreground; 255 is foreground too in a file without any 1.
    Returns truth (classes, H, W) bool, valid (H, W) bool, and the values that are no class, smallest first (their
    pixels come as not valid).
    """
    valid = np.ones(values.shape, np.bool_) if ignore_index is None else values != ignore_index
    if kind == "binary":
        present = set(_distinct(values)) - {ignore_index}
        foreground = 255 if 255 in present and 1 not in present else 1
        truth = (values == foreground)[None] & valid
        wrong = tuple(sorted(present - {0, foreground}))
    else:
        indices = np.arange(classes, dtype=values.dtype if classes <= np.iinfo(values.dtype).max else np.int64)
        truth = values[None] == indices[:, None, None]
        wrong = ()
        known = truth.any(axis=0)
        if not (known | ~valid).all():
            wrong = tuple(_distinct(values[~known & valid]))
    if wrong:
        valid = valid & ~np.isin(values, wrong)
        truth = truth & valid
    return truth, valid, wrong


def decode_layer(values: NDArray[Any]) -> tuple[BoolArray, tuple[int, ...]]:
    """One class's own mask, (H, W) of 0 and 255 (or of 0 and 1), to bool; and the values that are neither."""
    present = set(_distinct(values))
    wrong = present - ({0, 1} if 255 not in present else {0, 255})
    return values != 0, tuple(sorted(wrong))


def list_values(values: Sequence[int]) -> str:
    """Values for a message: "7, 12, 13" and how many more there are."""
    shown = ", ".join(str(value) for value in values[:_SHOWN])
    return shown if len(values) <= _SHOWN else f"{shown} and {len(values) - _SHOWN} more"


def _distinct(values: NDArray[Any]) -> list[int]:
    """The different values of an integer array, ascending."""
    if values.dtype == np.uint8:  # counting is ten times faster than sorting
        found = np.flatnonzero(np.bincount(values.ravel(), minlength=256))
    else:
        found = np.unique(values)
    return [int(value) for value in found]
