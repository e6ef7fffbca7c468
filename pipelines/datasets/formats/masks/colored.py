"""Pictures with one mask each, whose colour is the label: RGB images with a table of colours, given or found."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.datasets.base import Finding, Format, Label, Source, Truth
from pipelines.datasets.formats.masks import paired, paired_names, paired_values
from pipelines.datasets.formats.masks.indexed import holds_indices
from pipelines.datasets.formats.masks.paired import Match
from pipelines.datasets.formats.masks.paired_labels import BACKGROUND, LOSSY, empty_layers, unreadable, wrong_values
from pipelines.datasets.formats.masks.paired_names import Named, distinct, role_of
from pipelines.datasets.formats.masks.paired_source import (
    OPTIONS,
    MaskSource,
    first_masks,
    mostly_paired,
    one_each,
    sampled,
)
from pipelines.datasets.formats.masks.paired_values import Counts, Seen
from pipelines.errors import DatasetError

_CLOSE: Final = 24  # distance in RGB
MAX_COLORS: Final = 256  # without a table; more are no label colours
_COLOR_MODES: Final = frozenset({"RGB", "RGBA", "P", "PA", "LA", "CMYK"})


class ColoredSource(MaskSource):
    """One mask an image; labels are the colours of all masks, or those of a table."""

    exclusive = True
    complete = True

    def __init__(self, root: Path, found: Match, options: Mapping[str, str]) -> None:
        super().__init__(root, found, options)
        self.only_one_each()
        seen = paired_values.look(self.mask_paths(), "color")
        table, tables, notes = read_color_table(root, self.names_folders(), options)
        nearest = read_nearest(options)
        total = seen.total()
        lossy = any(path.suffix.lower() in LOSSY for path in seen.files)
        self._codes, self.labels, self._nearest, findings = color_labels(seen, total, table, nearest, lossy)
        self.findings = (*self.findings, *unreadable(seen, root), *notes, *findings)
        self.tables = tables

    def marked(self, name: str) -> Truth:
        """Truth of an image by its masks. Raises DatasetError when its mask cannot be read."""
        path = self.masks[name][0].path
        return decode_colors(paired_values.read_codes(path), self._codes, self.shown(path), nearest=self._nearest)


def read_color_table(
    root: Path, folders: Sequence[Path], options: Mapping[str, str]
) -> tuple[tuple[Named, ...], tuple[Path, ...], list[Finding]]:
    """Names with colours from the option colors, else a file; that file; a note if its names have no colours."""
    if options.get("colors"):
        return paired_names.parse_colors(options["colors"]), (), []
    names = paired_names.find_names(root, folders, options)
    if names is None:
        return (), (), []
    bare = next((row for row in names.rows if row.color is None), None)
    if bare is not None:
        problem = (
            f"{names.path.name} gives {paired_names.shown(bare.name)} no colour, so its names are not used; write "
            "name,r,g,b there, or say colors="
        )
        return (), (), [Finding.warning("NAMES-UNUSED", problem)]
    return names.rows, (names.path,), []


def read_nearest(options: Mapping[str, str]) -> bool | None:
    """The option nearest. Raises DatasetError unless it is yes or no."""
    said = options.get("nearest", "").strip().casefold()
    if said not in ("", "yes", "no"):
        raise DatasetError(f"nearest must be yes or no, got {said[:50]!r}")
    return {"yes": True, "no": False}.get(said)


def color_labels(
    seen: Seen, total: Counts, table: Sequence[Named], nearest: bool | None, lossy: bool
) -> tuple[tuple[int, ...], tuple[Label, ...], bool, list[Finding]]:
    """Colours as 0xRRGGBB, their labels, whether other colours go to the nearest of them, and what was guessed.

    Raises DatasetError when colours are blurred and no table says which of them are meant.
    """
    findings: list[Finding] = []
    crowded = any(counts is None for counts in seen.files.values())
    if not total and not table:
        raise DatasetError(f"none of the masks can be read, so there are no colours: {seen.problem}")
    rows = [(code_of(row.color), row) for row in table if row.color is not None]
    _check_twice(rows)
    known = {code for code, _ in rows}
    others = [code for code in total if code not in known]
    soft = crowded or lossy or paired_values.blurred(total)
    if not rows:
        if crowded or len(total) > MAX_COLORS or (soft and len(total) > 12) or (lossy and _too_close(total)):
            raise DatasetError(_blurred_message(total, crowded))
        rows = [(code, Named(_name(code, total))) for code in total]
    elif others and nearest is None:
        nearest = soft or len(others) > len(rows) + 16
    if nearest and 0 not in known and (0 in total or crowded):
        rows = [(0, Named(BACKGROUND)), *rows]
    if nearest and (others or crowded):
        many = "thousands of" if crowded else str(len(others))
        problem = f"{many} colours of the masks are not in the table; their pixels go to the nearest colour that is"
        findings.append(Finding.note("COLORS-NEAREST", problem))
    elif others and table:
        rows = _with_unnamed(rows, others, findings)
    labels = [_label(code, row) for code, row in rows]
    spoken = distinct(label.name for label in labels)
    made = tuple(Label(name, one.color, one.role) for name, one in zip(spoken, labels, strict=True))
    return tuple(code for code, _ in rows), made, bool(nearest), findings


def decode_colors(codes: NDArray[np.int32], known: Sequence[int], where: str, *, nearest: bool) -> Truth:
    """Layers of a mask of colours (H, W) as 0xRRGGBB, one a known colour. Raises DatasetError."""
    layers = empty_layers(len(known), codes.shape, where)
    for layer, code in zip(layers, known, strict=True):
        np.equal(codes, code, out=layer)
    valid = np.asarray(layers.any(axis=0), np.bool_)
    if valid.all():
        return Truth(layers, valid)
    if nearest:
        left = codes[~valid]
        chosen = _closest(left, known)
        for index, layer in enumerate(layers):
            layer[~valid] = chosen == index
        return Truth(layers, np.ones(codes.shape, np.bool_))
    wrong = np.unique(codes[~valid])
    some = ", ".join(f"#{int(code):06x}" for code in wrong[:5])
    more = f" and {len(wrong) - 5} more colours" if len(wrong) > 5 else ""
    return Truth(layers, valid, (wrong_values(where, f"{some}{more}"),))


def _too_close(total: Counts) -> bool:
    """Whether two colours differ by less than compression changes them."""
    colors = np.array([(code >> 16, (code >> 8) & 255, code & 255) for code in total], np.int64)
    distances = ((colors[:, None] - colors[None]) ** 2).sum(axis=2)
    return bool((distances[~np.eye(len(colors), dtype=np.bool_)] < _CLOSE**2).any())


def code_of(color: str) -> int:
    """A colour "#rrggbb" as a number."""
    return int(color[1:], 16)


def _closest(codes: NDArray[np.int32], known: Sequence[int]) -> NDArray[np.int64]:
    """Index of the nearest known colour, by squared distance in RGB."""
    found, inverse = np.unique(codes, return_inverse=True)
    best = np.full(found.shape, np.iinfo(np.int64).max, np.int64)
    chosen = np.zeros(found.shape, np.int64)
    for index, code in enumerate(known):
        distance = np.zeros(found.shape, np.int64)
        for shift in (16, 8, 0):
            distance += (((found >> shift) & 255).astype(np.int64) - ((code >> shift) & 255)) ** 2
        chosen[distance < best] = index
        best = np.minimum(best, distance)
    return chosen[inverse]


def _name(code: int, total: Counts) -> str:
    red, green, blue = code >> 16, (code >> 8) & 255, code & 255
    if code == 0:
        return BACKGROUND
    if all(one >> 16 == (one >> 8) & 255 == one & 255 for one in total):
        return f"class {red}"
    return f"{red:02x}{green:02x}{blue:02x}"


def _label(code: int, row: Named) -> Label:
    return Label(row.name, f"#{code:06x}", role_of(row.name))


def _with_unnamed(
    rows: list[tuple[int, Named]], others: Sequence[int], findings: list[Finding]
) -> list[tuple[int, Named]]:
    """Colours of masks that a table leaves out: black is the background, others become labels of their own."""
    unnamed = [code for code in others if code != 0]
    if unnamed:
        some = ", ".join(f"#{code:06x}" for code in unnamed[:5])
        problem = (
            f"the masks hold {len(unnamed)} colours that the table does not name, such as {some}; name them there, or "
            "merge or drop them in the table of classes"
        )
        findings.append(Finding.warning("MASK-VALUES", problem))
    empty = [(0, Named(BACKGROUND))] if 0 in others else []
    return [*empty, *rows, *((code, Named(f"{code:06x}")) for code in unnamed)]


def _check_twice(rows: Sequence[tuple[int, Named]]) -> None:
    seen: dict[int, str] = {}
    for code, row in rows:
        if code in seen:
            first, second = paired_names.shown(seen[code]), paired_names.shown(row.name)
            raise DatasetError(
                f"the table gives #{code:06x} to {first} and to {second}; give each class its own colour"
            )
        seen[code] = row.name


def _blurred_message(total: Counts, crowded: bool) -> str:
    common = ", ".join(f"#{code:06x}" for code in sorted(total, key=lambda code: -total[code])[:6])
    held = f"more than {paired_values.MOST:,}" if crowded else f"{len(total):,}"
    return (
        f"the masks hold {held} colours, as smoothed or JPEG masks do (the commonest: {common}); say which are labels, "
        'such as colors="sky=#0000ff, road=#808080", and each pixel goes to the nearest'
    )


def _recognise(root: Path) -> str | None:
    found = sampled(root)
    if found is None or not one_each(found) or not mostly_paired(found):
        return None
    some = first_masks(found)
    modes = [paired_values.mode_of(path) for path in some]
    if not all(mode in _COLOR_MODES for mode in modes) or holds_indices(some):
        return None
    return f"every picture has one mask in colours, such as {some[0].relative_to(root).as_posix()[:100]!r}"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    return ColoredSource(root, paired.match(root, options), options)


FORMAT = Format(
    "pictures with one mask each, whose colour is the label",
    _recognise,
    _open,
    {
        **OPTIONS,
        "colors": 'the table of colours, such as "sky=#0000ff, road=#808080"; else a file or the masks give it',
        "nearest": "yes: other colours count as the nearest of the table (JPEG, smooth edges); no: never",
    },
)
