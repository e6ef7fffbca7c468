"""What every import offers: the outputs of one head and seed, image by image, whether read from files or computed."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final, Self

from numpy.typing import NDArray

from pipelines.datasets.base import Item
from pipelines.misuse.declaration import Declaration

# Names in words ------------------------------------------------------------------------------------------------------

_NAMED: Final = 100  # names in one message
_LETTERS: Final = 120


def printable(text: str) -> str:
    """A text from outside for one line of a message: no control characters, not too long."""
    kept = "".join(letter if letter.isprintable() else " " for letter in text)
    return kept if len(kept) <= _LETTERS else f"{kept[: _LETTERS - 1]}…"


def named(words: Sequence[str]) -> str:
    """Names in one line; a very long list is cut and counted."""
    shown = ", ".join(printable(word) for word in words[:_NAMED])
    return shown if len(words) <= _NAMED else f"{shown} and {len(words) - _NAMED} more"


# Sources -------------------------------------------------------------------------------------------------------------


class OutputSource(ABC):
    """Outputs of one head and seed over images.

    declaration: what the arrays are said to be; `classes` names every channel in the order of `read`.
    size: (height, width) the images are to be read at, None for their own.
    step: distance between two values that the files can tell apart, 1/255 for 8-bit maps; 0 for floating point.
    keeps_shift: whether softmax logits are the network's own, and not only known up to a shift of each pixel.
    """

    declaration: Declaration
    size: tuple[int, int] | None = None
    step: float = 0.0
    keeps_shift: bool = True

    @abstractmethod
    def absent(self, names: Sequence[str]) -> tuple[str, ...]:
        """Those of the images that there is no output for, in the order given."""

    def surplus(self, names: Sequence[str]) -> tuple[str, ...]:
        """Outputs that belong to none of these images, sorted."""
        return ()

    @abstractmethod
    def read(self, item: Item) -> NDArray[Any]:
        """Values of one image as declared, (K, H, W), at the size of the item.

        Another size is told by the caller, for all images at once; so it is returned as it is. Raises PipelineError
        for what cannot be read or computed.
        """

    def findings(self) -> tuple[dict[str, str], ...]:
        """What else is to be known about what was read since this was last asked: code, severity, message."""
        return ()

    def close(self) -> None:
        """Free what the source holds: files, a process."""
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
