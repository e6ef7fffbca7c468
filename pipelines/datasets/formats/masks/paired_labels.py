"""Values that masks hold to labels: names from a table, colours from palettes, background and ignored values told."""

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray
from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding, Label, Truth
from pipelines.datasets.formats.masks.paired_names import Named, Names, distinct, role_of
from pipelines.datasets.formats.masks.paired_values import MOST, Counts, Seen, blurred, palette_of
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

LOSSY: Final = (".jpg", ".jpeg", ".webp")
MAX_LAYERS_BYTES: Final = 2**30
BACKGROUND: Final = "background"
_FOREGROUND: Final = "foreground"
_IGNORED: Final = "ignored"
_STRETCH: Final = 257  # 65535 / 255
_PALETTES: Final = 50  # files whose palettes are compared; later ones are only asked for values not met before
_CLOSE: Final = 16  # neighbouring values of label maps are closer; those of pictures of label maps are further apart


@dataclass(frozen=True)
class ValueLabels:
    """Labels, and which mask values carry each."""

    labels: tuple[Label, ...]
    values: tuple[tuple[int, ...], ...]

    def truth(self, values: NDArray[Any], where: str) -> Truth:
        """Layers of a mask (H, W). where: the mask, for messages. Raises DatasetError when they would not fit."""
        layers = empty_layers(len(self.labels), values.shape, where)
        for layer, some in zip(layers, self.values, strict=True):
            for value in some:
                layer |= values == value
        valid = np.asarray(layers.any(axis=0), np.bool_)
        if valid.all():
            return Truth(layers, valid)
        wrong = [int(value) for value in np.unique(values[~valid])]
        return Truth(layers, valid, (wrong_values(where, imageio.list_values(wrong)),))


def value_labels(
    seen: Seen, names: Names | None, *, colors: Mapping[int, str] | None = None
) -> tuple[ValueLabels, list[Finding]]:
    """A label for every value, and findings about what was guessed.

    0 is the background unless a table says otherwise. 255 is left out where the others are close together and end
    below it. 8-bit values that a program made 16 (0, 257, 514, … 65535) are named as those of 8 bits.
    Raises DatasetError when there are too many values for labels.
    """
    total = seen.total()
    if len(total) > 2 and max(total) > 255 and all(value % _STRETCH == 0 for value in total):
        eight = {
            path: counts and {value // _STRETCH: n for value, n in counts.items()}
            for path, counts in seen.files.items()
        }
        made, notes = value_labels(Seen(eight, seen.unreadable), names, colors=colors)
        problem = f"the masks' values are 8-bit values made 16, all multiples of {_STRETCH}: {_STRETCH} is read as 1"
        stretched = tuple(tuple(value * _STRETCH for value in some) for some in made.values)
        return ValueLabels(made.labels, stretched), [Finding.note("VALUES-STRETCHED", problem), *notes]
    _check_count(seen, total)
    findings: list[Finding] = []
    named: dict[int, Named] = {}
    if names is not None:
        named, said = names.by_value(total)
        if said:
            findings.append(Finding.note("NAMES-GUESSED", said))
    foreground = _foreground(seen, total, named, findings)
    if foreground:
        rows = [row for value, row in sorted(named.items()) if role_of(row.name) == "class" and value != 0]
        empty = named.get(0)
        one = rows[0] if len(rows) == 1 else Named(_FOREGROUND)
        two = (
            Label(empty.name if empty else BACKGROUND, empty.color if empty else None, "background"),
            Label(one.name, one.color),
        )
        return ValueLabels(two, ((0,), foreground)), findings
    colors = colors if colors is not None else _palette_colors(seen, findings)
    ignored = {value for value in total if value < 0 and value not in named}
    if 255 in total and 255 not in named and _stands_apart(total):
        ignored.add(255)
    if ignored:
        some = imageio.list_values(sorted(ignored))
        problem = (
            f"the mask value {some} lies outside the others and is left out of everything; edit the classes if not"
        )
        findings.append(Finding.note("VALUE-IGNORED", problem))
    values = sorted({*total, *named})
    unnamed = [value for value in values if named and value not in named and value not in ignored and value != 0]
    if names is not None and unnamed:
        problem = (
            f"the masks hold {imageio.list_values(unnamed)}, which {names.path.name} does not name; name them there, "
            "or merge or drop them in the table of classes"
        )
        findings.append(Finding.warning("MASK-VALUES", problem))
    every = [_label(value, named, colors, ignored) for value in values]
    spoken = distinct(label.name for label in every)
    labels = tuple(Label(name, one.color, one.role) for name, one in zip(spoken, every, strict=True))
    return ValueLabels(labels, tuple((value,) for value in values)), findings


def empty_layers(count: int, shape: tuple[int, ...], where: str) -> BoolArray:
    """(count, H, W) bool, all False. Raises DatasetError for more than MAX_LAYERS_BYTES."""
    if count * int(np.prod(shape)) > MAX_LAYERS_BYTES:
        raise DatasetError(
            f"{where} is {shape[1]}×{shape[0]} with {count} labels, more than {MAX_LAYERS_BYTES:,} values; cut it into "
            "tiles, or leave labels out of the masks"
        )
    return np.zeros((count, *shape), np.bool_)


def wrong_values(where: str, some: str) -> Finding:
    """The finding for a mask that holds what no label has."""
    problem = f"{where} holds {some}, which no label has; correct the mask or the table of names"
    return Finding.error("MASK-VALUES", problem)


def unreadable(seen: Seen, root: Path) -> list[Finding]:
    """One finding for masks that could not be looked at; each says why when it is read."""
    if not seen.unreadable:
        return []
    some = ", ".join(listing.shown(path, root) for path in seen.unreadable[:3])
    problem = f"{len(seen.unreadable)} masks cannot be read and named no labels, such as {some}; save them again"
    return [Finding.warning("MASK-UNREADABLE", problem)]


def _check_count(seen: Seen, total: Counts) -> None:
    crowded = next((path for path, counts in seen.files.items() if counts is None), None)
    if crowded is not None or len(total) > MAX_LABELS:
        held = f"more than {MOST:,}" if crowded is not None else f"{len(total):,}"
        raise DatasetError(
            f"the masks hold {held} different values, allowed are {MAX_LABELS:,} labels; if each value is one object, "
            "read them in the format instances with maps=the name of the objects"
        )
    if not total:
        raise DatasetError(f"none of the masks can be read, so there are no labels: {seen.problem}")
    common = sorted(total, key=lambda value: -total[value])[:2]
    lossy = next((path for path in seen.files if path.suffix.lower() in LOSSY), None)
    if len(total) > 2 and (lossy or blurred(total)) and min(common) < 6 and max(common) > 249:
        raise DatasetError(
            f"the masks hold {len(total)} grey levels, as smoothed or JPEG masks do; say where the "
            "foreground begins, such as threshold=128, or save label maps as PNG"
        )
    if len(total) > 2 and lossy is not None:
        raise DatasetError(
            f"{lossy.name} is a JPEG or WebP file, which changes the values of a label map; save the masks as PNG from "
            "where they were made"
        )


def _foreground(seen: Seen, total: Counts, named: Mapping[int, Named], findings: list[Finding]) -> tuple[int, ...]:
    """Values of the only class, if there is one beside 0."""
    if len(named) > 2 or any(value not in (0, 1) and value in total for value in named):
        return ()
    others = set(total) - {0}
    if len(others) == 1 and 0 in total and min(others) > 0:
        return tuple(others)
    files = [set(counts) for counts in seen.files.values() if counts]
    if others == {1, 255} and all(one <= {0, 1} or one <= {0, 255} for one in files):
        problem = "some masks hold 0 and 1, others 0 and 255; both are read as background and foreground"
        findings.append(Finding.warning("MASK-VALUES", problem))
        return (1, 255)
    return ()


def _stands_apart(total: Counts) -> bool:
    others = sorted(value for value in total if 0 <= value < 255)
    gaps = [after - before for before, after in itertools.pairwise(others)]
    return bool(gaps) and min(gaps) <= _CLOSE and others[-1] < 254 and max(total) == 255


def _palette_colors(seen: Seen, findings: list[Finding]) -> dict[int, str]:
    """Colours of values by the palettes of the first files that hold them; {} where palettes are grey."""
    colors: dict[int, str] = {}
    conflict: Path | None = None
    looked: set[int] = set()
    for index, (path, counts) in enumerate(seen.files.items()):
        if index >= _PALETTES and looked >= set(counts or ()):
            continue
        looked |= set(counts or ())
        palette = palette_of(path)
        for value in counts or ():
            if 0 <= value < len(palette) and colors.setdefault(value, palette[value]) != palette[value]:
                conflict = conflict or path
    if conflict is not None:
        problem = (
            f"palettes differ between masks, first in {conflict.name}: a value has several colours; if the colours are "
            "the labels, read them in the format colored"
        )
        findings.append(Finding.warning("PALETTES-DIFFER", problem))
    grey = all(color[1:3] == color[3:5] == color[5:7] for color in colors.values())
    return {} if grey else colors


def _label(value: int, named: Mapping[int, Named], colors: Mapping[int, str], ignored: Iterable[int]) -> Label:
    row = named.get(value)
    color = (row.color if row is not None else None) or colors.get(value)
    if row is not None:
        return Label(row.name, color, role_of(row.name))
    if value in set(ignored):
        return Label(_IGNORED, color, "ignore")
    return Label(BACKGROUND, color, "background") if value == 0 else Label(f"class {value}", color)
