"""dataset.toml to a validated description: name, kind, classes, colours."""

import colorsys
import re
import tomllib
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipelines import links
from pipelines.errors import DatasetError
from pipelines.schema import BACKGROUND_CHANNEL, RESERVED_CLASS_NAMES, Kind

DESCRIPTION: Final = "dataset.toml"
MAX_CLASSES: Final = 64
IGNORE_LAYER: Final = "_ignore"  # masks/_ignore/<stem>.png: pixels to ignore where labels may overlap

_MAX_BYTES: Final = 1 << 20
# Letters, digits, space, _ . - ; no space or dot at either end, so that a name is also a safe folder name.
_CLASS_NAME: Final = re.compile(r"[\w-]([\w .-]{0,62}[\w-])?")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
# Paul Tol's "muted", then what Okabe & Ito (2008) add: told apart by colour-blind readers. Their blue, vermillion and
# green are left out: the dashboard keeps those for the heads.
_PALETTE: Final = (
    "#ddcc77", "#88ccee", "#aa4499", "#117733", "#cc6677", "#332288", "#44aa99", "#999933", "#882255",
    "#e69f00", "#56b4e9", "#f0e442", "#cc79a7",
)  # fmt: skip
_BACKGROUND_COLOR: Final = "#bbbbbb"


class Description(BaseModel):
    """What dataset.toml says. The order of the classes is their index order."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=100)]
    kind: Kind
    classes: Annotated[tuple[str, ...], Field(min_length=1, max_length=MAX_CLASSES)]
    ignore_index: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    colors: tuple[str, ...] | None = None
    background: str | None = None
    priority: tuple[str, ...] | None = None

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError("the name must be one printable line")
        return name

    @field_validator("classes")
    @classmethod
    def _class_names(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        seen: dict[str, str] = {}
        for name in classes:
            if not _CLASS_NAME.fullmatch(name):
                raise ValueError(
                    f"class name {name!r} must be 1 to 64 letters, digits, spaces or _ . - "
                    "without a space or dot at its ends"
                )
            if name.casefold() in RESERVED_CLASS_NAMES:
                raise ValueError(f"class name {name!r} is reserved; call the class something else")
            if name.casefold() in seen:
                raise ValueError(f"class names {seen[name.casefold()]!r} and {name!r} are the same but for case")
            seen[name.casefold()] = name
        return classes

    @model_validator(mode="after")
    def _consistent(self) -> "Description":
        problem = _contradiction(self)
        if problem:
            raise ValueError(problem)
        return self

    def class_colors(self) -> tuple[str, ...]:
        """Colour per class, "#rrggbb": the given ones, else stable ones that colour-blind readers can tell apart."""
        if self.colors is not None:
            return tuple(color.lower() for color in self.colors)
        background = self.background_class()
        spare = iter(default_colors(len(self.classes)))
        return tuple(_BACKGROUND_COLOR if name == background else next(spare) for name in self.classes)

    def background_class(self) -> str | None:
        """The class of exclusive truth that means "nothing here", if there is one."""
        if self.kind != "exclusive" or self.background is not None:
            return self.background
        return next((name for name in self.classes if name.casefold() == BACKGROUND_CHANNEL), None)


def _contradiction(given: Description) -> str | None:
    """The first rule between fields that is broken, or None."""
    count, kind = len(given.classes), given.kind
    folded = {name.casefold() for name in given.classes}
    if kind == "exclusive" and count < 2:
        return f"kind exclusive needs two classes or more, got {count}; one foreground class is kind binary"
    if kind == "binary" and count != 1:
        return f"kind binary has exactly one class, the foreground, got {count}; several classes are kind exclusive"
    if kind != "exclusive" and BACKGROUND_CHANNEL in folded:
        return f"kind {kind} has no class called background: it is what carries no label; take it out of classes"
    if kind == "overlapping" and IGNORE_LAYER in folded:
        return f"class name {IGNORE_LAYER} is the layer of ignored pixels; call the class something else"
    taken = {"exclusive": count, "binary": 2, "overlapping": 0}[kind]
    if kind == "overlapping" and given.ignore_index is not None:
        return f"kind overlapping has no ignore_index; put ignored pixels into masks/{IGNORE_LAYER}/<stem>.png as 255"
    if given.ignore_index is not None and given.ignore_index < taken:
        return (
            f"ignore_index {given.ignore_index} is the value of a class (0 to {taken - 1}); choose another, such as 255"
        )
    if given.colors is not None and len(given.colors) != count:
        return f"colors must name one colour a class ({count}), got {len(given.colors)}"
    wrong = [color for color in given.colors or () if not _COLOR.fullmatch(color)]
    if wrong:
        return f"color {wrong[0]!r} must look like '#1f77b4'"
    if given.background is not None and (kind != "exclusive" or given.background not in given.classes):
        return f"background must be one of the classes of an exclusive set, got {given.background!r}"
    if given.priority is not None and (kind != "overlapping" or sorted(given.priority) != sorted(given.classes)):
        return "priority must name each class of an overlapping set once"
    return None


def read_description(root: Path) -> Description:
    """The validated dataset.toml of a data set folder. Raises DatasetError, one line with every problem."""
    path = root / DESCRIPTION
    if not (path.is_file() and links.of(root).follows(path)):
        raise DatasetError(f"{root.name}/{DESCRIPTION} is missing; write one with name, kind and classes")
    if path.stat().st_size > _MAX_BYTES:
        raise DatasetError(f"{root.name}/{DESCRIPTION} is larger than {_MAX_BYTES:,} bytes; it needs a few lines only")
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DatasetError(f"{root.name}/{DESCRIPTION} is not valid TOML ({error}); correct it") from None
    try:
        return Description.model_validate(values)
    except ValidationError as error:
        problems = "; ".join(_problem(one["loc"], one["msg"]) for one in error.errors())
        raise DatasetError(f"{root.name}/{DESCRIPTION}: {problems}") from None


def _problem(where: tuple[int | str, ...], message: str) -> str:
    text = message.removeprefix("Value error, ")
    return f"{'.'.join(str(part) for part in where)}: {text}" if where else text


def default_colors(count: int) -> tuple[str, ...]:
    """The first `count` colours, "#rrggbb": a colour-blind-safe palette of 16, then hues a golden angle apart."""
    colors = list(_PALETTE[:count])
    for index in range(len(colors), count):
        hue, lightness = (index * 0.61803398875) % 1, (0.35, 0.5, 0.65, 0.8)[index % 4]
        red, green, blue = colorsys.hls_to_rgb(hue, lightness, 0.65)
        colors.append(f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}")
    return tuple(colors)
