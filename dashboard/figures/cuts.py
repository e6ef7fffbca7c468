"""Cuts of the scores to text and back: how a threshold is written on screen, and all of them in a link.

A cut is one of the edges of metrics.thresholds.CUT_P between 0 and 1: every k/300, and finer ones in the tails.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Final, TypeAlias, get_args

from pipelines.counting.grid import HALF_CELL, first_cell_above
from pipelines.metrics.decisions import nearest_cut
from pipelines.metrics.thresholds import CUT_LOG_ODDS, CUT_P
from pipelines.schema import Head

Cuts: TypeAlias = Mapping[Head, tuple[int, ...]]  # of each class
INNER: Final = range(1, len(CUT_P) - 1)
_FIRST, _LAST = first_cell_above(1 / 300), first_cell_above(299 / 300)


def cut_text(cut: int) -> str:
    """A threshold as people write it, such as "0.320", "0.00055" or "1 − 0.00055"."""
    p = float(CUT_P[cut])
    if cut < _FIRST:
        return _small(p)
    return f"1 − {_small(1 / (1 + math.exp(float(CUT_LOG_ODDS[cut]))))}" if cut > _LAST else f"{p:.3f}"


def _small(p: float) -> str:
    if p >= 1e-4:
        return f"{p:.2g}"
    exponent = math.floor(math.log10(p))
    return f"{p / 10**exponent:.1f} · 10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


def link_text(cuts: Cuts) -> str:
    """Cuts in a link, of unreserved characters only: "sigmoid_0.5_0.32~softmax_0.18"; one number stands for all.

    Thresholds in the tails are written as log-odds, "L-7.5". Empty where all are 0.5.
    """
    if all(set(some) <= {HALF_CELL} for some in cuts.values()):
        return ""
    return "~".join("_".join([head, *_shortest(some)]) for head, some in cuts.items())


def _shortest(some: Sequence[int]) -> list[str]:
    written = some if len(set(some)) > 1 else some[:1]
    return [f"{CUT_P[cut]:.4g}" if _FIRST <= cut <= _LAST else f"L{CUT_LOG_ODDS[cut]:g}" for cut in written]


def cuts_of_link(text: str, *, classes: int) -> dict[Head, tuple[int, ...]]:
    """What `link_text` wrote. Heads whose part is not one threshold, or one for each class, are left out."""
    found: dict[Head, tuple[int, ...]] = {}
    for part in text.split("~"):
        head, *numbers = part.split("_")
        cuts = [_cut(number) for number in numbers]
        known = [cut for cut in cuts if cut is not None]
        if head in get_args(Head) and len(known) == len(cuts) and len(cuts) in (1, classes):
            found[head] = tuple(known * classes if len(known) == 1 else known)  # type: ignore[index]
    return found


def _cut(number: str) -> int | None:
    """The nearest cut to a threshold, or to log-odds after an "L"; None for anything else."""
    try:
        value = float(number.removeprefix("L"))
    except ValueError:
        return None
    if not math.isfinite(value):
        return None
    if number.startswith("L"):
        return nearest_cut(1 / (1 + math.exp(-min(max(value, -30.0), 30.0))))
    return nearest_cut(value) if 0 < value < 1 else None
