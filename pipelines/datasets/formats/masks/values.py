"""What the values of masks mean: labels from the values that masks hold and from tables that name them."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.base import Finding, Label, Truth, blank_layers, distinct
from pipelines.datasets.formats import tiff_images
from pipelines.datasets.formats.masks.reading import FEW, MOST, Counts, MaskValues, blurred, palette_of
from pipelines.datasets.formats.masks.tables import Named, Names, role_of
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.sentences import first_of

BACKGROUND: Final = "background"
FOREGROUND: Final = "foreground"
_STRETCH: Final = 257  # 65535 / 255
_PALETTES: Final = 50  # files whose palettes are compared; later ones are only asked for values not met before
_COMPARED: Final = 256  # values
_NEARLY_WHITE: Final = frozenset(range(250, 256))
_TOPS: Final = (2**31 - 1, 65535, 32767, 255)  # of the types that masks are saved in
_CLOSE: Final = 16  # neighbouring values of label maps are closer; those of pictures of label maps are further apart


@dataclass(frozen=True)
class ValueLabels:
    """Labels, and which mask values carry each.

    colors: values are colours, 0xRRGGBB. nearest: whether other colours go to the nearest of them. threshold: values
    are 0 below it and 1 from it on. table: the file that names the values, for messages.
    """

    labels: tuple[Label, ...]
    values: tuple[tuple[int, ...], ...]
    colors: bool = False
    nearest: bool = False
    threshold: float | None = None
    table: str = "the table of names"

    @classmethod
    def two(cls, threshold: float | None = None) -> Self:
        """Background and foreground: 0 and 1, or below a threshold and from it on."""
        labels = (Label(BACKGROUND, None, "background"), Label(FOREGROUND))
        return cls(labels, ((0,), (1,)), threshold=threshold)

    def truth(self, values: NDArray[Any], where: str) -> Truth:
        """Layers of a mask (H, W). where: the mask, for messages. Raises DatasetError when they would not fit."""
        if self.threshold is not None:
            valid, marked = tiff_images.has_value(values), values >= self.threshold
            return Truth(np.stack([valid & ~marked, valid & marked]), valid)
        layers = blank_layers(len(self.labels), values.shape, where)
        known = np.array(sorted(set(itertools.chain(*self.values))), np.int64)
        if len(known) <= _COMPARED:
            for layer, carrying in zip(layers, self.values, strict=True):
                for value in carrying:
                    layer |= values == value
            valid = np.asarray(layers.any(axis=0), np.bool_)
        else:  # looking the value of each pixel up is faster
            place = np.minimum(np.searchsorted(known, values), len(known) - 1)
            valid = np.asarray(known[place] == values, np.bool_)
            for layer, carrying in zip(layers, self.values, strict=True):
                np.logical_and(np.isin(known, carrying)[place], valid, out=layer)
        if valid.all():
            return Truth(layers, valid)
        if self.nearest:
            chosen = _closest(values[~valid], [carrying[0] for carrying in self.values])
            for index, layer in enumerate(layers):
                layer[~valid] = chosen == index
            return Truth(layers, np.ones(values.shape, np.bool_))
        wrong = np.unique(values[~valid])
        held = first_of([f"#{value:06x}" if self.colors else spoken(int(value)) for value in wrong], 8)
        problem = f"{where} holds {held}, which no label has; correct the mask or {self.table}"
        if len(wrong) > FEW:
            problem = (
                f"{where} holds {len(wrong):,} values that no label has, such as {held.split(' and ')[0]}, as masks do "
                "that were saved as JPEG or resized with smooth edges; save it anew from where it was made"
            )
        if self.colors and len(wrong) > FEW:
            problem += ", or say nearest=yes, which takes the nearest colour"
        elif not self.colors and len(self.labels) == 2 and known.max() >= 128:
            problem += ", or say threshold=128, which reads soft masks"
        return Truth(layers, valid, (Finding.error("MASK-VALUES", problem),))


def spoken(value: int) -> str:
    """A mask's value for messages."""
    return "NaN" if value == tiff_images.NO_DATA else str(value)


def value_labels(
    seen: MaskValues,
    names: Names | None,
    *,
    colors: Mapping[int, str] | None = None,
    unnamed: str = "",
) -> tuple[ValueLabels, list[Finding]]:
    """A label for every value, and findings about what was guessed.

    unnamed: what the option of this name says. 0 is the background unless a table says otherwise. The largest value of
    a type (255, 65535), and 254 beside 255, are left out where the others are close together and end below; so are NaN
    and values below 0. 8-bit values that a program made 16 (0, 257, 514, … 65535) are named as those of 8 bits. A file
    unlike all others names none.
    Raises DatasetError when there are too many values for labels.
    """
    seen = seen.usual()
    total = seen.total()
    if len(total) > 2 and max(total) > 255 and all(value % _STRETCH == 0 for value in total):
        eight = {
            path: counts and {value // _STRETCH: n for value, n in counts.items()}
            for path, counts in seen.files.items()
        }
        labels, notes = value_labels(MaskValues(eight, seen.unreadable), names, colors=colors, unnamed=unnamed)
        problem = f"the masks' values are 8-bit values made 16, all multiples of {_STRETCH}: {_STRETCH} is read as 1"
        stretched = tuple(tuple(value * _STRETCH for value in carrying) for carrying in labels.values)
        return ValueLabels(labels.labels, stretched), [Finding.note("VALUES-STRETCHED", problem), *notes]
    _check_count(seen, total)
    findings: list[Finding] = []
    named: dict[int, Named] = {}
    if names is not None:
        named, said = names.by_value(total.keys() - (_void(total) or {255}))
        if said:
            findings.append(Finding.note("NAMES-GUESSED", said))
    foreground = _foreground(seen, total, named, findings)
    if foreground:
        rows = [row for value, row in sorted(named.items()) if role_of(row.name) == "class" and value != 0]
        empty = named.get(0, Named(BACKGROUND))
        only = rows[0] if len(rows) == 1 else Named(FOREGROUND)
        two = (Label(empty.name, empty.color, "background"), Label(only.name, only.color))
        if names is None and _white_is_zero(seen, foreground):
            problem = f"the palettes show 0 white and {foreground[0]} black, so 0 was taken for the foreground"
            return ValueLabels(two, (foreground, (0,))), [*findings, Finding.note("PALETTE-READ", problem)]
        return ValueLabels(two, ((0,), foreground)), findings
    colors = colors if colors is not None else _palette_colors(seen, findings)
    ignored = {value for value in total if value < 0 and value not in named}
    ignored |= {value for value in _void(total) if value not in named and (value in _TOPS or not named)}
    if ignored:
        problem = f"the mask values {shares(ignored, total)} lie outside the others and are left out of everything"
        if ignored == {tiff_images.NO_DATA}:
            problem = f"pixels without a value ({shares(ignored, total)}) are left out of everything"
        findings.append(Finding.note("VALUE-IGNORED", f"{problem}; edit the classes if not"))
    values = sorted({*total, *named})
    others = [value for value in values if named and value not in named and value not in ignored and value != 0]
    if names is not None and others:
        findings.append(unnamed_finding(shares(others, total), names.path.name, unnamed))
        ignored |= set(others if unnamed == "" else ())
    every = {value: _label(value, named, colors, ignored=value in ignored) for value in values}
    return labels_of(every, background=others if unnamed == "background" else ()), findings


def labels_of(
    every: Mapping[int, Label], *, background: Iterable[int] = (), colors: bool = False, nearest: bool = False
) -> ValueLabels:
    """A label for each value, under names that differ; background: values that are part of the background's label."""
    labels: list[tuple[Label, tuple[int, ...]]] = []
    united = tuple(background)
    for value, label in every.items():
        if value not in united:
            labels.append((label, (value,)))
    if united:
        empty = next((at for at, (label, _) in enumerate(labels) if label.role == "background"), None)
        if empty is None:
            labels.insert(0, (Label(BACKGROUND, None, "background"), united))
        else:
            labels[empty] = (labels[empty][0], (*labels[empty][1], *united))
    names = distinct(label.name for label, _ in labels)
    named = tuple(Label(name, label.color, label.role) for name, (label, _) in zip(names, labels, strict=True))
    return ValueLabels(named, tuple(values for _, values in labels), colors=colors, nearest=nearest)


_UNNAMED: Final = {"": "are left out of everything", "classes": "are classes", "background": "are background"}


def unnamed_finding(shares: str, table: str, unnamed: str) -> Finding:
    """A warning on values or colours that a table does not name, and what became of them by the option unnamed."""
    others = " or ".join(f"unnamed={word}" for word in _UNNAMED if word not in ("", unnamed))
    problem = f"the masks hold {shares}, which {table} does not name and which {_UNNAMED[unnamed]}"
    return Finding.warning("MASK-VALUES", f"{problem}; name them there, or say {others}")


def shares(values: Iterable[int], total: Counts, word: Callable[[int], str] = spoken) -> str:
    """Values with their shares of all pixels, such as "254 (3.1%) and 255 (6.2%)". word: what a value is called."""
    pixels = max(1, sum(total.values()))
    return first_of([f"{word(value)} ({100 * total.get(value, 0) / pixels:.2g}%)" for value in sorted(values)], 8)


def _closest(codes: NDArray[Any], known: Sequence[int]) -> NDArray[np.int64]:
    """Index of the nearest known colour, by squared distance in RGB."""
    distinct, inverse = np.unique(codes, return_inverse=True)
    best = np.full(distinct.shape, np.iinfo(np.int64).max, np.int64)
    chosen = np.zeros(distinct.shape, np.int64)
    for index, code in enumerate(known):
        distance = np.zeros(distinct.shape, np.int64)
        for shift in (16, 8, 0):
            distance += (((distinct >> shift) & 255).astype(np.int64) - ((code >> shift) & 255)) ** 2
        chosen[distance < best] = index
        best = np.minimum(best, distance)
    return chosen[inverse]


def _check_count(seen: MaskValues, total: Counts) -> None:
    if seen.crowded or len(total) > MAX_LABELS:
        held = f"more than {MOST:,}" if seen.crowded else f"{len(total):,}"
        raise DatasetError(
            f"the masks hold {held} different values, allowed are {MAX_LABELS:,} labels; if each value is one object, "
            "read them in the format instances with maps=the name of the objects"
        )
    if not total:
        raise DatasetError(f"none of the masks can be read, so there are no labels: {seen.problem}")
    common = sorted(total, key=lambda value: -total[value])[:2]
    if len(total) > 2 and (seen.lossy or blurred(total)) and min(common) < 6 and max(common) > 249:
        raise DatasetError(
            f"the masks hold {len(total)} grey levels, as smoothed or JPEG masks do; say where the "
            "foreground begins, such as threshold=128, or save label maps as PNG"
        )
    if len(total) > 2 and seen.lossy is not None:
        raise DatasetError(
            f"{seen.lossy.name} is a JPEG or WebP file, which changes the values of a label map; save the masks as PNG "
            "from where they were made"
        )


def _foreground(
    seen: MaskValues, total: Counts, named: Mapping[int, Named], findings: list[Finding]
) -> tuple[int, ...]:
    """Values of the only class, if there is one beside 0."""
    if len(named) > 2 or any(value not in (0, 1) and value in total for value in named):
        return ()
    others = set(total) - {0}
    if len(others) == 1 and 0 in total and min(others) > 0:
        return tuple(others)
    files = [set(counts) for counts in seen.files.values() if counts]
    if others == {1, 255} and all(values <= {0, 1} or values <= {0, 255} for values in files):
        problem = "some masks hold 0 and 1, others 0 and 255; both are read as background and foreground"
        findings.append(Finding.warning("MASK-VALUES", problem))
        return (1, 255)
    if 0 in total and len(others) > 1 and others <= _NEARLY_WHITE:
        problem = f"the masks hold {first_of(sorted(others), 8)} beside 0; all of them are read as foreground"
        findings.append(Finding.warning("MASK-VALUES", problem))
        return tuple(sorted(others))
    return ()


def _white_is_zero(seen: MaskValues, foreground: tuple[int, ...]) -> bool:
    """Whether masks of two values have palettes in which 0 is white and the other black."""
    palettes = [palette for path in itertools.islice(seen.files, _PALETTES) if (palette := palette_of(path))]
    last = foreground[0]
    return bool(palettes) and all(
        len(palette) > last and (palette[0], palette[last]) == ("#ffffff", "#000000") for palette in palettes
    )


def _void(total: Counts) -> set[int]:
    """Largest values of integer types, and 254 beside 255, where they stand apart from the values of a label map."""
    others = sorted(value for value in total if value >= 0)
    void = {others.pop() for top in _TOPS if others[-1:] == [top]}
    if 255 in void and others[-1:] == [254] and 254 - max(others[:-1], default=254) > _CLOSE:
        void.add(others.pop())
    gaps = [after - before for before, after in itertools.pairwise(others)]
    apart = bool(gaps) and min(gaps) <= _CLOSE and others[-1] + 1 < min(void, default=0)
    return void if apart else set()


def _palette_colors(seen: MaskValues, findings: list[Finding]) -> dict[int, str]:
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


def _label(value: int, named: Mapping[int, Named], colors: Mapping[int, str], *, ignored: bool) -> Label:
    row = named.get(value)
    color = (row.color if row is not None else None) or colors.get(value)
    if row is not None:
        return Label(row.name, color, role_of(row.name))
    if ignored:
        return Label("no value" if value == tiff_images.NO_DATA else f"value {value}", color, "ignore")
    return Label(BACKGROUND, color, "background") if value == 0 else Label(f"class {value}", color)
