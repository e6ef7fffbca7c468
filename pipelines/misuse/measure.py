"""One image's outputs to the counts that tell misuse."""

import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float64Array
from pipelines.misuse import limits
from pipelines.misuse.declaration import Declaration
from pipelines.misuse.evidence import Evidence

_BLOCK: Final = 2**17  # values measured at once: 1 MB of float64


def measure(image: NDArray[Any], declaration: Declaration) -> Evidence:
    """Count one image. image: (C, H, W), C >= 1, of a bool, integer or float dtype."""
    channels, height, width = image.shape
    nothing = ((math.inf,) * channels, (-math.inf,) * channels)
    named = len(declaration.classes)
    mistaken = int(bool(named) and channels != named and width == named)
    total = Evidence(*nothing, images=1, pixels=height * width, last_axis=mistaken)
    for block in _blocks(image):
        total = total + _measure_block(block, declaration)
    return total


def _blocks(image: NDArray[Any]) -> Iterator[Float64Array]:
    """An image as (C, P) float64 blocks of about _BLOCK values."""
    channels, height, width = image.shape
    columns = max(1, min(width, _BLOCK // channels))
    lines = max(1, _BLOCK // (channels * columns))
    for top in range(0, height, lines):
        for left in range(0, width, columns):
            part = image[:, top : top + lines, left : left + columns]
            with np.errstate(over="ignore"):  # extended precision beyond float64 becomes infinite
                block = part.reshape(channels, -1).astype(np.float64)
            yield block


def _measure_block(block: Float64Array, declaration: Declaration) -> Evidence:
    finite = np.isfinite(block)
    values, rows = block, block
    if not finite.all():
        values, rows = np.where(finite, block, np.nan), block[:, finite.all(axis=0)]  # a NaN fails every comparison
    nan = _count(np.isnan(block))
    counts = {"nan": nan, "infinite": block.size - _count(finite) - nan, "ones": _count(values == 1)}
    counts |= {"below": _count(values < -limits.SLACK), "above": _count(values > 1 + limits.SLACK)}
    deviation = _deviation(rows)
    counts |= _sums(rows, deviation)
    log_row_error = 0.0
    if declaration.values == "probabilities":
        counts |= _of_probabilities(values, rows, declaration)
    elif declaration.head == "sigmoid":  # of a softmax, log-probabilities are logits
        log_row_error = float(_deviation(np.exp(np.minimum(rows, 1))).max(initial=0.0))  # exp(1) is too much already
    return Evidence(
        low=tuple(np.fmin.reduce(values, axis=1, initial=np.inf).tolist()),
        high=tuple(np.fmax.reduce(values, axis=1, initial=-np.inf).tolist()),
        row_error=float(deviation.max(initial=0.0)),
        log_row_error=log_row_error,
        **counts,
    )


def _deviation(rows: Float64Array) -> Float64Array:
    return np.abs(_row_sum(rows) - 1)


def _sums(rows: Float64Array, deviation: Float64Array) -> dict[str, int]:
    return {
        "rows": rows.shape[1],
        "rows_zero": _count(~rows.any(axis=0)),
        "rows_off": _count(deviation > limits.ROW_TOLERANCE),
        "rows_unsure": _count(rows.max(axis=0) < 1 - limits.CONFIDENT),
    }


def _of_probabilities(values: Float64Array, rows: Float64Array, declaration: Declaration) -> dict[str, int]:
    counts = {"hard": _count((values == 0) | (values == 1)), "whole": _count(values == np.rint(values))}
    if declaration.head == "sigmoid":
        return counts
    inner = _inner_softmax(rows)
    possible = inner.min(axis=0) >= -limits.INVERTED_SLACK
    confident = inner.max(axis=0) >= 1 - limits.CONFIDENT
    return counts | {"rows_not_twice": _count(~possible), "rows_twice_confident": _count(possible & confident)}


def _row_sum(rows: Float64Array) -> Float64Array:
    """Sum of each column of (C, P), channel after channel: the last bit does not depend on the memory layout."""
    total = rows[0].copy()
    with np.errstate(over="ignore"):
        for channel in rows[1:]:
            total += channel
    return total


def _inner_softmax(rows: Float64Array) -> Float64Array:
    """The q that add up to 1 and whose softmax the rows are: q_c = log p_c + (1 - sum_k log p_k) / K, (C, P).

    Where p is a softmax of probabilities, these are they; otherwise some q_c is negative as soon as one channel lies
    more than 1/K below the mean log p. Rows with a p of 0 or below give strongly negative q.
    """
    log_p = np.log(np.maximum(rows, np.finfo(np.float64).tiny))
    return log_p + (1 - _row_sum(log_p)) / len(rows)


def _count(flags: BoolArray | np.bool_) -> int:
    return int(np.count_nonzero(flags))
