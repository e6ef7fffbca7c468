"""An image's truth and the probabilities of its heads to one block of bytes, small enough to be sent for every image.

Probabilities travel as one byte each: the cell of a fixed grid of p, whose edges are every k/200 and a few in both
tails. Cells are right-closed like those of the statistics, so that "p above k/200" reads off the byte exactly as it
does off the stored log-odds. The largest log-odds of a pixel cannot be read off the bytes, so that class travels too.
"""

import json
import math
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from pipelines.arrays import BoolArray, Float16Array, Float64Array, UInt8Array

_TAIL: Final = np.array([1e-6, 1e-5, 1e-4, 5e-4, 1e-3, 2e-3])
EDGES: Final[Float64Array] = np.concatenate([_TAIL, np.arange(1, 200) / 200, 1 - _TAIL[::-1]])  # of p, ascending
MOST_CODES: Final = 8_000_000  # bytes of one head before compression; above it only every second, third, … pixel goes


def _cell_table() -> UInt8Array:
    values = np.arange(65536, dtype=np.uint16).view(np.float16).astype(np.float64)
    # As heads.decide cuts: a value equal to the cut lies below it.
    cells = np.searchsorted(np.log(EDGES) - np.log1p(-EDGES), values, side="left").astype(np.uint8)
    cells[np.isnan(values)] = 0
    return cells


_CELLS: Final = _cell_table()


def codes(log_odds: Float16Array) -> UInt8Array:
    """Cell of each p, the same shape: the number of EDGES that p is above, so that p > EDGES[k] is code > k."""
    return _CELLS[np.ascontiguousarray(log_odds).view(np.uint16)]


def step_of(classes: int, height: int, width: int) -> int:
    """Every how manieth row and column of an image is sent."""
    return max(1, math.ceil(math.sqrt(classes * height * width / MOST_CODES)))


def pack(header: Mapping[str, Any], parts: Sequence[bytes]) -> bytes:
    """Length of the header (uint32, little-endian), header as JSON with the lengths of the parts, the parts."""
    text = json.dumps(dict(header) | {"parts": [len(part) for part in parts]}).encode()
    return b"".join([len(text).to_bytes(4, "little"), text, *parts])


def unpack(block: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Header and parts of `pack`."""
    start = 4 + int.from_bytes(block[:4], "little")
    header: dict[str, Any] = json.loads(block[4:start])
    parts = []
    for length in header["parts"]:
        parts.append(block[start : start + length])
        start += length
    return header, parts


def truth_part(truth: BoolArray, valid: BoolArray) -> bytes:
    """Truth (C, H, W) and valid (H, W) as one bit each, deflated: C + 1 planes, each filled up to whole bytes."""
    planes = np.concatenate([truth, valid[None]]).reshape(len(truth) + 1, -1)
    return zlib.compress(np.packbits(planes, axis=1).tobytes(), 1)


def soft_part(soft: Float16Array) -> bytes:
    """A soft truth (C, H, W) in percent, one byte each, deflated."""
    return zlib.compress(np.rint(soft.astype(np.float64) * 100).astype(np.uint8).tobytes(), 1)


def codes_part(log_odds: Float16Array) -> bytes:
    """Codes (C, H, W) as one byte each, deflated.

    Level 1: a fifth of the time of level 6 for a tenth more bytes. Sending them bare is no faster even on one machine.
    """
    return zlib.compress(codes(log_odds).tobytes(), 1)


def largest_part(log_odds: Float16Array) -> bytes:
    """The class of the largest log-odds, (H, W) as little-endian uint16, deflated."""
    return zlib.compress(log_odds.argmax(axis=0).astype("<u2").tobytes(), 1)
