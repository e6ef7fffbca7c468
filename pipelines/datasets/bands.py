"""The bands of a data set's images: how many, what each is called, and which of them make a picture for people."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.datasets.options import channel_numbers
from pipelines.errors import DatasetError
from pipelines.sentences import printable

# The list of runs names bands, and comes without the libraries that compute.
if TYPE_CHECKING:
    from pipelines.arrays import Float32Array

MAX_BANDS: Final = 16
OPTIONS: Final[dict[str, str]] = {
    "channels": f"the channels that the network sees, from 1, such as 4,3,2 or 1,2,3,8; 1 to {MAX_BANDS}; all if "
    "nothing is said",
    "display": "which of these channels are shown as red, green and blue, such as 4,3,2; one is shown as grey",
}
# Words for a colour, and its number where bands are numbered as on Sentinel-2 and Landsat 8 and 9.
_COLORS: Final = (("red", "r", "b4", "b04"), ("green", "g", "b3", "b03"), ("blue", "b", "b2", "b02"))


class Bands(BaseModel):
    """What the last axis of a data set's images holds; the same for each of its images.

    names: of every band, in order. display: the bands that are shown as red, green and blue, from 0; one is shown as
    grey, two as red and green. colors: the bands, none, one or three, that are light as a camera sees it, so that
    brightness and contrast may change in training; the others are measurements.

    >>> Bands(names=("red", "green", "blue", "near infrared"), display=(0, 1, 2), colors=(0, 1, 2)).count
    4
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_BANDS)]
    display: Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1, max_length=3)]
    colors: tuple[Annotated[int, Field(ge=0)], ...] = ()

    @model_validator(mode="after")
    def _of_these(self) -> Self:
        if max(self.display + self.colors) >= self.count:
            raise ValueError(f"there are {self.count} bands, but band {max(self.display + self.colors) + 1} is named")
        return self

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.names)

    @property
    def are_rgb(self) -> bool:
        """Whether these are the red, green and blue of photographs."""
        return self == RGB

    def picture(self, image: "Float32Array") -> "Float32Array":
        """An image for people, (H, W, bands) float32 in [0, 1] to (H, W, 3).

        >>> import numpy as np
        >>> Bands(names=("VV", "VH"), display=(0, 1)).picture(np.array([[[0.25, 0.5]]], np.float32)).tolist()
        [[[0.25, 0.5, 0.0]]]
        """
        return image if self.are_rgb else as_colors(image[:, :, list(self.display)])

    def text(self) -> str:
        """In words: "4 bands: red, green, blue, band 4; shown are red, green, blue".

        >>> Bands(names=("T1", "T2"), display=(0,)).text()
        '2 bands: T1, T2; shown is T1'
        """
        if self.are_rgb:
            return "red, green, blue"
        shown = ", ".join(self.names[index] for index in self.display)
        bands = f"{self.count} bands" if self.count > 1 else "1 band"
        return f"{bands}: {', '.join(self.names)}; shown {'are' if len(self.display) > 1 else 'is'} {shown}"


RGB: Final = Bands(names=("red", "green", "blue"), display=(0, 1, 2), colors=(0, 1, 2))


def stored_bands(report: Mapping[str, Any]) -> Bands:
    """The bands in the stored report of a check; those of before they were kept are red, green and blue."""
    return Bands.model_validate(report.get("bands", RGB))


def as_colors(values: "Float32Array") -> "Float32Array":
    """One to three bands, (H, W, C), as (H, W, 3): one is grey, two are red and green."""
    import numpy as np

    if values.shape[2] == 1:
        return np.repeat(values, 3, axis=2)
    return np.pad(values, ((0, 0), (0, 0), (0, 3 - values.shape[2]))) if values.shape[2] < 3 else values


def choose_bands(
    channels: int, options: Mapping[str, str], *, names: Sequence[str] = (), rgb: bool = False, where: str
) -> Bands:
    """The bands that a data set's files hold, or that the options channels and display pick.

    channels: of a file; names: of these, as far as the files say; rgb: whether the first three are a camera's colours.
    where: the first file, for messages. Raises DatasetError, one line, where they are too many or the options do not
    fit.
    """
    chosen = channel_numbers(options, "channels", MAX_BANDS) or tuple(range(channels))
    if len(chosen) > MAX_BANDS:
        raise DatasetError(
            f"{where} has {channels} channels, and a network takes up to {MAX_BANDS}; pick them with channels, such as "
            "channels=4,3,2,8"
        )
    display = channel_numbers(options, "display", 3)
    absent = next((number for number in display if number not in chosen), None)
    if absent is not None:
        listed = ", ".join(str(number + 1) for number in chosen)
        raise DatasetError(f"display names channel {absent + 1}, but the channels read are {listed}; correct display")
    known = dict(enumerate(("red", "green", "blue") if rgb else ()))
    known |= {index: printable(name.strip())[:60] for index, name in enumerate(names) if name.strip()}
    called = tuple(known.get(number, f"band {number + 1}") for number in chosen)
    places = tuple(chosen.index(number) for number in display) or _usual(called, chosen, channels)
    if len(chosen) in (1, 3):  # grey, or taken as red, green and blue
        return Bands(names=called, display=places, colors=tuple(range(len(chosen))))
    colors = tuple(chosen.index(color) for color in range(3)) if rgb and {0, 1, 2} <= set(chosen) else ()
    return Bands(names=called, display=places, colors=colors)


def _usual(names: Sequence[str], chosen: Sequence[int], channels: int) -> tuple[int, ...]:
    """The bands that are shown where nobody says: red, green and blue by name, or the first three.

    Of 12 and 13 channels, as Sentinel-2 has them, the fourth, third and second: there they are red, green and blue.
    """
    folded = [name.casefold() for name in names]
    found = [next((folded.index(word) for word in words if word in folded), None) for words in _COLORS]
    if None not in found:
        return tuple(place for place in found if place is not None)
    if channels in (12, 13) and tuple(chosen) == tuple(range(channels)):
        return 3, 2, 1
    return tuple(range(min(3, len(names))))
