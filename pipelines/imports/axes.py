"""Which axes of an output are channels, height and width: told by sizes, and where these do not tell, by the truth."""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.datasets.base import Finding, Item, Size
from pipelines.sentences import count_of

Axes: TypeAlias = Literal["C, H, W", "H, W, C", "C, W, H", "W, H, C"]

# How to transpose each to (C, H, W), the likeliest first: where sizes fit several, they say nothing against the first.
_ORDERS: Final[dict[Axes, tuple[int, int, int]]] = {
    "C, H, W": (0, 1, 2),
    "H, W, C": (2, 0, 1),
    "C, W, H": (0, 2, 1),
    "W, H, C": (2, 1, 0),
}
SWAPPED: Final[tuple[Axes, ...]] = ("C, W, H", "W, H, C")
TRANSPOSE: Final = "np.swapaxes(array, -1, -2)"  # of (C, W, H), in messages


def arrange(values: NDArray[Any], channels: int, size: Size) -> tuple[NDArray[Any], Axes]:
    """An output as (C, H, W), and how its axes lay.

    values: (H, W) of one channel, or three axes of which sizes tell which is which; a first axis of length 1 before
    those is left out. channels: that there ought to be; 0 where nobody said. size: (height, width) of the truth.
    What fits no way, of another size or with other channels, is taken as (C, H, W), and told by who reads it.

    >>> values, axes = arrange(np.zeros((40, 32, 3)), channels=3, size=(32, 40))
    >>> values.shape, axes
    ((3, 32, 40), 'W, H, C')
    """
    if values.ndim == 2:
        values = values[None]
    elif values.ndim == 4 and len(values) == 1:
        values = values[0]
    lengths: Sequence[int] = (channels, *values.shape) if channels else values.shape
    for count in lengths:
        for axes, order in _ORDERS.items():
            if tuple(values.shape[axis] for axis in order) == (count, *size):
                return values.transpose(order), axes
    return values, "C, H, W"


def seems_swapped(shape: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Whether an output, (height, width), has the proportions of its truth with height and width swapped.

    >>> seems_swapped((20, 16), size=(32, 40)), seems_swapped((16, 20), size=(32, 40))
    (True, False)
    """
    ratio, wanted = (np.log(height / max(1, width)) if height else 0.0 for height, width in (shape, size))
    return bool(abs(wanted) > 0.02 and abs(ratio + wanted) < 0.25 * abs(wanted))


# Where sizes do not tell ---------------------------------------------------------------------------------------------

_MOST_VOTES: Final = 16  # images that are looked at
_FEWEST_VOTES: Final = 3
_CLEARLY: Final = 0.2  # of Dice


class SwapCheck:
    """Whether the decisions on square images agree much better with the truth once height and width are swapped.

    classes: of the truth, in order. background: the one that means "nothing here"; it agrees anyway and is left out.
    """

    def __init__(self, classes: Sequence[str], background: str | None) -> None:
        self._chosen = [index for index, name in enumerate(classes) if name != background]
        self._dice: list[tuple[float, float]] = []  # of each image, as it is and swapped

    def wants(self, item: Item) -> bool:
        """Whether the decisions on this image would tell anything more."""
        height, width = item.valid.shape
        return height == width and len(self._dice) < _MOST_VOTES

    def add(self, item: Item, decided: BoolArray) -> None:
        """Compare the classes called present, (C, S, S), with the truth of the image."""
        truth, decided = item.truth[self._chosen], decided[self._chosen]
        if truth.any():
            swapped = decided.swapaxes(-1, -2)
            self._dice.append((_dice(decided & item.valid, truth), _dice(swapped & item.valid, truth)))

    def findings(self) -> tuple[Finding, ...]:
        """A warning if every image that was looked at, of three at least, speaks for the other order of the axes."""
        votes = [swapped > as_it_is for as_it_is, swapped in self._dice]
        if len(votes) < _FEWEST_VOTES or not all(votes):
            return ()
        as_it_is, swapped = np.mean(self._dice, axis=0)
        if swapped < as_it_is + _CLEARLY:
            return ()
        message = (
            f"on {count_of(len(votes), 'square image')}, whose sizes tell nothing, decisions agree much better with "
            f"the truth once height and width are swapped (Dice {swapped:.2f} instead of {as_it_is:.2f}): most likely "
            f"these are (C, W, H); every score would be wrong; save {TRANSPOSE} and import that"
        )
        return (Finding.warning("OUTPUT-SWAPPED", message),)


def _dice(decided: BoolArray, truth: BoolArray) -> float:
    return 2 * int((decided & truth).sum()) / max(1, int(decided.sum()) + int(truth.sum()))
