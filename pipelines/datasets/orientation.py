"""EXIF orientation: pictures are read upright, and truth that was drawn on the stored pixels is turned with them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Literal, TypeAlias, cast

import numpy as np

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import imageio
from pipelines.datasets.base import Finding, Picture, Source, Truth, Turn
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.sentences import count_of

OPTION: Final = "orientation"
OPTIONS: Final[dict[str, str]] = {
    OPTION: "what the truth of pictures that EXIF turns was drawn on where its size does not tell: upright (as viewers "
    "show the picture) or stored (the pixels as they lie in the file)"
}
_MOST_VOTES: Final = 16  # images that speak for the others
_FEWEST_VOTES: Final = 8  # where colours speak: fewer, or less agreement, are chance
_AGREEMENT: Final = 0.9
_SIDE: Final = 256  # pixels of the longer side, for colours

Drawn: TypeAlias = Literal["upright", "stored"]


class Alignment:
    """Lays the truth of a data set on its pictures, image by image.

    The size of a truth decides where the orientation swaps height and width. Where it does not, in this order: the
    option; the sizes of other images; on which side of the turn the classes of most images differ more in colour.
    Where nothing tells, the truth is taken as upright.
    """

    def __init__(self, source: Source, options: Mapping[str, str]) -> None:
        """options: of the format, this one among them. Raises DatasetError for a value that it does not have."""
        self._option = cast("Drawn | None", choice(options, OPTION, ["upright", "stored"]) or None)
        self._source = source
        self._of_others: Turn | None = None

    def align(self, picture: Picture, truth: Truth) -> tuple[Truth, Turn | None]:
        """Truth upright as its picture is, and how that was decided; None for a picture that EXIF does not turn.

        picture: at its own size or resized. A truth that fits the picture neither way comes back as it is.
        """
        if picture.orientation == 1:
            return truth, None
        turned = _turned(truth, picture.orientation)
        drawn = _by_size(picture.own, truth.valid.shape, picture.orientation)
        if drawn is not None:
            return (turned if drawn == "stored" else truth), Turn(drawn, "size")
        if np.array_equal(turned.layers, truth.layers) and np.array_equal(turned.valid, truth.valid):
            return truth, Turn("upright", "same")
        if self._option is not None:
            turn = Turn(self._option, "option")
        else:
            self._of_others = self._of_others or self._ask_others()
            turn = replace(self._of_others, stored_fits=_gain(picture, truth, turned) > 0)
        return (turned if turn.drawn == "stored" else truth), turn

    def _ask_others(self) -> Turn:
        """What tells about images whose own size does not."""
        sizes: list[Drawn] = []
        unsized: list[str] = []
        for name in self._source.names():
            try:
                own, orientation = self._source.head(name)
                if orientation > 4 and own[0] != own[1]:
                    truth = self._source.truth(name)
                    drawn = _by_size(own, truth.valid.shape, orientation)
                    sizes += [drawn] if drawn is not None and truth.layers.any() else []
                elif orientation > 1:
                    unsized.append(name)
            except DatasetError:  # the check lists it
                continue
            if len(sizes) == _MOST_VOTES:
                break
        if len(set(sizes)) == 1:
            return Turn(sizes[0], "others")
        gains = [self._gain_of(name) for name in unsized[:: max(1, len(unsized) // _MOST_VOTES)]]
        stored, upright = sum(gain > 0 for gain in gains), sum(gain < 0 for gain in gains)
        votes = stored + upright
        if votes >= _FEWEST_VOTES and max(stored, upright) >= _AGREEMENT * votes:
            return Turn("stored" if stored > upright else "upright", "colors")
        return Turn("upright", "default")

    def _gain_of(self, name: str) -> float:
        """As `_gain`, of a picture made small; 0 where its colours tell nothing."""
        try:
            own, orientation = self._source.head(name)
            picture = self._source.picture(name, size=imageio.fitted(own, _SIDE))
            truth = self._source.truth(name)
        except DatasetError:
            return 0.0
        turned = _turned(truth, orientation)
        same = truth.valid.shape != own or np.array_equal(turned.layers, truth.layers)
        return 0.0 if same else _gain(picture, truth, turned)


def findings(turns: Mapping[str, Turn]) -> list[Finding]:
    """How many pictures EXIF turns, and where the sizes did not tell how truth lies on them. turns: by image."""
    if not turns:
        return []
    along = sum(turn.drawn == "stored" for turn in turns.values())
    problem = (
        f"{count_of(len(turns), 'picture is', 'pictures are')} turned upright by EXIF; the truth of {along:,} was "
        f"taken as drawn on the stored pixels and turned along, that of {len(turns) - along:,} as upright already"
    )
    made = [Finding.note("EXIF-TURNED", problem)]
    unsized = {name: turn for name, turn in turns.items() if turn.by in _REASONS}
    if unsized:
        name, turn = next(iter(unsized.items()))
        stored = sum(turn.stored_fits for turn in unsized.values())
        problem = (
            f"{count_of(len(unsized), 'picture is', 'pictures are')} turned by EXIF, such as {name}, whose size does "
            "not tell whether the truth was drawn on the stored or on the upright picture; it was taken as "
            f"{turn.drawn}, {_REASONS[turn.by]} (classes differ more in colour as stored in {stored:,} of "
            f"{len(unsized):,}); look at some, and settle it with the option orientation of the reading, stored "
            "or upright"
        )
        made.append(Finding.warning("EXIF-UNDECIDED", problem))
    return made


_REASONS: Final = {
    "others": "as that of other images is, by its size",
    "colors": "as colours tell",
    "default": "since nothing tells otherwise",
}


def _by_size(own: tuple[int, int], shape: tuple[int, ...], orientation: int) -> Drawn | None:
    """What a truth of this shape was drawn on; None where both pictures have its shape."""
    if shape != own:
        return "stored" if orientation > 4 and shape == own[::-1] else "upright"
    return "upright" if orientation > 4 and own[0] != own[1] else None


def _turned(truth: Truth, orientation: int) -> Truth:
    return truth.moved(lambda pixels: np.ascontiguousarray(imageio.turn(pixels, orientation)))


def _gain(picture: Picture, truth: Truth, turned: Truth) -> float:
    """By how much more labels explain of a picture's colours with its truth turned along; below 0: by how much less."""
    return _contrast(picture.image, turned.layers) - _contrast(picture.image, truth.layers)


def _contrast(image: Float32Array, layers: BoolArray) -> float:
    """Share of the variance of an image's bands, (H, W, B), that its first labels explain; 0 for a flat image."""
    size = imageio.fitted(image.shape[:2], _SIDE)
    layers, channels = imageio.resize_mask(layers, size), imageio.resize_mask(np.moveaxis(image, 2, 0), size)
    label = np.where(layers.any(axis=0), layers.argmax(axis=0), len(layers)).ravel()
    pixels = channels.reshape(len(channels), -1).astype(np.float64)
    pixels -= pixels.mean(axis=1, keepdims=True)
    counts = np.maximum(np.bincount(label, minlength=len(layers) + 1), 1)
    sums = np.stack([np.bincount(label, channel, len(layers) + 1) for channel in pixels])
    whole = float((pixels**2).sum())
    return float((sums**2 / counts).sum()) / whole if whole else 0.0
