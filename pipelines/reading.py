"""How a data set is to be read: format, classes made of its labels, kind, splits; as settings that a run keeps."""

import json
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines.errors import DatasetError
from pipelines.schema import Kind

NO_BACKGROUND: Final = ""  # DataReading.background: pixels without a class are ignored
MAX_LABELS: Final = 4096
_MAX_BYTES: Final = 1 << 22

Text = Annotated[str, Field(min_length=1, max_length=500)]


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class ClassRule(_Settings):
    """One class and the labels of the data set that make it up: several are merged, one label may be in several.

    color: "#rrggbb"; None takes the data set's own, else a stable one.
    """

    name: Text
    labels: Annotated[tuple[Text, ...], Field(min_length=1, max_length=MAX_LABELS)]
    color: Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")] | None = None


class SplitRule(_Settings):
    """How images come to training, validation and test.

    by: "given" takes the data set's own lists, as far as it has them; "fraction" makes new ones by shares and seed.
    groups: images of one group stay together. "given": the data set's own; "name": the first `parts` parts of an
    image's name, cut at `separator`; "none": every image for itself.
    """

    by: Literal["given", "fraction"] = "given"
    shares: tuple[float, float, float] = (0.70, 0.15, 0.15)
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    groups: Literal["given", "name", "none"] = "given"
    separator: Annotated[str, Field(min_length=1, max_length=5)] = "_"
    parts: Annotated[int, Field(ge=1, le=20)] = 1

    @field_validator("shares")
    @classmethod
    def _parts_of_a_whole(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            raise ValueError(f"the three shares must be positive and add up to 1, got {shares}")
        return shares


class DataReading(_Settings):
    """What is said about a data set beside its files; everything that is left out is taken from them.

    format: a name in datasets.opening.FORMATS. options: of the format, such as {"channels": "3,2,1"}.
    classes: in index order; () makes a class of every label. Labels in no class carry none; labels in `ignore` mark
    pixels to leave out. background: on exclusive truth, the class of pixels that carry none of the others; "": there is
    none, they are ignored; None: as the data set has it. priority: class names, first wins: who gets a pixel of several
    labels on exclusive truth, and under a softmax on overlapping truth.
    """

    format: str | None = None
    options: dict[Annotated[str, Field(max_length=50)], Annotated[str, Field(max_length=10_000)]] = {}
    kind: Kind | None = None
    classes: tuple[ClassRule, ...] = ()
    ignore: Annotated[tuple[Text, ...], Field(max_length=MAX_LABELS)] | None = None
    background: Annotated[str, Field(max_length=64)] | None = None
    priority: tuple[str, ...] | None = None
    splits: SplitRule = SplitRule()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = [rule.name for rule in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(
                f"class names must differ, got {', '.join(names)}; merge labels by naming them in one class"
            )
        both = sorted({label for rule in self.classes for label in rule.labels} & set(self.ignore or ()))
        if both:
            raise ValueError(f"label {both[0]!r} is in a class and ignored; choose one")
        return self


def read_reading(path: Path) -> DataReading:
    """The reading in a JSON file. Raises DatasetError, one line."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DatasetError(f"{path.name} is larger than {_MAX_BYTES:,} bytes; a reading is a small JSON file")
        content = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}); give the JSON file of a reading") from None
    except UnicodeDecodeError:
        raise DatasetError(f"{path.name} is not UTF-8 text; save it as UTF-8") from None
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path.name} is not valid JSON ({error}); correct it") from None
    return parse_reading(values, path.name)


def parse_reading(values: Any, where: str) -> DataReading:
    """Values as a reading. Raises DatasetError that begins with `where`."""
    try:
        return DataReading.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise DatasetError(f"{where}: {place + ': ' if place else ''}{message}; correct it") from None


def write_reading(path: Path, reading: DataReading) -> None:
    """Write a reading as JSON, to be edited and given back with --reading."""
    path.write_text(json.dumps(reading.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
