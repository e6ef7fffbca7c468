"""What a user says of outputs, field by field, to what does not match, and to the command that imports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from pipelines.channels import Declaration, Values, align
from pipelines.config import build
from pipelines.errors import ConfigError
from pipelines.imports.trial import Asked, AskedHead, Truth
from pipelines.reading import DataReading
from pipelines.schema import BACKGROUND_CHANNEL, HEADS, Head, Split

_FLAGS: Final[dict[Head, str]] = {"sigmoid": "sigmoid", "softmax": "softmax", "softmax-powerset": "powerset"}
_DEPTH: Final = 2  # folders within an upload that are offered
_OFFERED: Final = 60
_STARTS: Final[dict[Head, tuple[str, ...]]] = {
    "sigmoid": ("sigmoid", "head=sigmoid"), "softmax": ("softmax", "head=softmax"),
    "softmax-powerset": ("powerset", "softmax-powerset", "head=softmax-powerset"),
}  # fmt: skip


@dataclass(frozen=True)
class SaidHead:
    """What was said of one head's outputs. channels: names in the order of the files; None where files name them."""

    path: Path
    format: str | None = None
    values: Values | None = None
    channels: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Said:
    """Everything that was said. reading: how the data set is read; None: as its files say; reading_file: the same, kept
    for the command line.
    """

    dataset: Path
    heads: Mapping[Head, SaidHead] = field(default_factory=dict)
    background: str | None = None
    seed: int | None = None
    size: tuple[int, int] | None = None
    splits: tuple[Split, ...] = ("val", "test")
    reading: DataReading | None = None
    reading_file: Path | None = None

    def asked(self) -> Asked:
        """The same, as a look at the first images takes it. Raises ConfigError for what makes no sense."""
        heads = {
            head: AskedHead(path=str(one.path), format=one.format, values=one.values, classes=one.channels)
            for head, one in self.heads.items()
        }
        return build(
            Asked,
            {
                "dataset": str(self.dataset), "heads": heads, "background": self.background, "seed": self.seed,
                "size": self.size, "splits": self.splits, "reading": self.reading,
            },
        )  # fmt: skip

    def arguments(self, name: str) -> list[str]:
        """The command line after `python -m pipelines`; values are joined to options, so that none becomes one."""
        words = ["import", f"--name={name}", f"--dataset={self.dataset}", f"--splits={','.join(self.splits)}"]
        for head in HEADS:
            if head not in self.heads:
                continue
            one, flag = self.heads[head], _FLAGS[head]
            given: dict[str, Any] = {"": one.path, "-values": one.values, "-format": one.format}
            given["-classes"] = ",".join(one.channels) if one.channels else None
            words += [f"--{flag}{part}={value}" for part, value in given.items() if value is not None]
        size = None if self.size is None else f"{self.size[0]}x{self.size[1]}"
        rest = {"reading": self.reading_file, "background": self.background, "seed": self.seed, "size": size}
        return words + [f"--{option}={value}" for option, value in rest.items() if value is not None]


class Place(NamedTuple):
    """Somewhere outputs may lie. key: stays the same from one look to the next; label: for people."""

    key: str
    label: str
    path: Path


def places(key: str, label: str, root: Path) -> list[Place]:
    """A folder, or a file, and the folders within it that may be those of one head."""
    found = [Place(key, label, root)]
    folders = [root] if root.is_dir() else []
    for _ in range(_DEPTH):
        folders = [one for folder in folders for one in sorted(folder.iterdir()) if _is_offered(one)]
        for one in folders:
            inside = one.relative_to(root).as_posix()
            found.append(Place(f"{key}/{inside}", f"{label} / {inside}", one))
    return found[:_OFFERED]


def _is_offered(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def place_of(head: Head, offered: Sequence[Place]) -> Place | None:
    """The first place that is called after a head; None when there is none: then only people can tell."""
    for name in _STARTS[head]:
        for place in offered:
            if place.path.stem.casefold() == name:
                return place
    return None


def split_names(text: str) -> tuple[str, ...]:
    """Names that were typed or pasted: between commas or on lines of their own, with or without quotes and brackets."""
    parts = text.replace("\n", ",").strip().strip("[]()").split(",")
    return tuple(name for part in parts if (name := part.strip().strip("'\"").strip()))


def usual_names(head: Head, truth: Truth, count: int) -> tuple[str, ...]:
    """The data set's classes in its order, after a background channel where a head of so many channels has one."""
    if head == "softmax-powerset" or count not in (len(truth.classes), len(truth.classes) + 1):
        return ()
    return truth.classes if count == len(truth.classes) else (BACKGROUND_CHANNEL, *truth.classes)


class Matched(NamedTuple):
    """rows: of each channel its number from 0, its name and what it stands for. problem: one line, if there is one."""

    rows: tuple[tuple[int, str, str], ...]
    problem: str | None


def match(head: Head, names: Sequence[str], truth: Truth, *, background: str | None) -> Matched:
    """Channels, in the order of the files, to the data set's classes by name."""
    rows = tuple((number, name, _stands_for(head, name, truth, background)) for number, name in enumerate(names))
    blank = [number for number, name in enumerate(names) if not name]
    if blank:
        numbers = ", ".join(map(str, blank[:8])) + (" …" if len(blank) > 8 else "")
        return Matched(rows, f"{'channels' if len(blank) > 1 else 'channel'} {numbers} has no name yet; name every one")
    if any("," in name for name in names):
        return Matched(rows, "a channel's name must not hold a comma; call it as the data set calls its class")
    try:
        declared = build(
            Declaration,
            {
                "head": "sigmoid" if head == "sigmoid" else "softmax", "values": "logits", "classes": tuple(names),
                "background": background if background in names else None,
            },
        )  # fmt: skip
        align(declared, head, kind=truth.kind, classes=truth.classes, background=truth.background)
    except ConfigError as error:
        return Matched(rows, str(error))
    return Matched(rows, None)


def _stands_for(head: Head, name: str, truth: Truth, background: str | None) -> str:
    if not name:
        return "not named yet"
    if name in (background, BACKGROUND_CHANNEL) and name not in truth.classes:
        return "nothing is there"
    if name in truth.classes:
        return f"class {name}"
    parts = [part.strip() for part in name.split("+")]
    if head == "softmax-powerset" and set(parts) <= set(truth.classes) and len(set(parts)) == len(parts):
        return f"label set of {' and '.join(parts)}"
    close = [one for one in truth.classes if one.casefold() == name.casefold()]
    return f"no class; the data set writes {close[0]}" if close else "no class of the data set"


def strange_names(heads: Mapping[Head, Sequence[str]], truth: Truth) -> list[str]:
    """Channel names that are no class, one of which may be what is called background elsewhere."""
    known = {BACKGROUND_CHANNEL, *truth.classes}
    every = [name for head, names in heads.items() if head != "softmax-powerset" for name in names]
    return [name for name in dict.fromkeys(every) if name and name not in known]
