"""Colours of masks to labels: by a table that is given, else by the colours that masks hold."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets.base import Finding, Label, Role
from pipelines.datasets.formats.masks import reading, tables, values
from pipelines.datasets.formats.masks.reading import Counts, MaskValues
from pipelines.datasets.formats.masks.tables import Named, Names
from pipelines.datasets.formats.masks.values import BACKGROUND, ValueLabels
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.sentences import printable

OPTIONS: Final[dict[str, str]] = {
    "colors": 'the table of colours, such as "sky=#0000ff, road=#808080"; else a file or the masks give it',
    "nearest": "yes: other colours count as the nearest of the table (JPEG, smooth edges); no: never",
}
_CLOSE: Final = 24  # distance in RGB
_MAX_COLORS: Final = 256  # without a table; more are no label colours


def read_colors(
    root: Path, masks: Sequence[Path], folders: Sequence[Path], options: Mapping[str, str]
) -> tuple[ValueLabels, Names | None, list[Finding]]:
    """Labels of masks by the option colors, else by a table in one of the folders, else by the colours they hold.

    Also returns the table in a file and what was found and guessed. Raises DatasetError when colours are blurred and no
    table says which of them are meant, or for an option that is none.
    """
    seen = reading.count_files(masks, "color")
    findings = seen.findings(root)
    table: tuple[Named, ...] = ()
    names = None
    if options.get("colors"):
        table = tables.parse_colors(options["colors"])
    elif (names := tables.find_names(root, folders, options)) is not None:
        bare = next((row for row in names.rows if row.color is None), None)
        if bare is None:
            table = names.rows
        else:
            problem = (
                f"{names.path.name} gives {printable(bare.name[:60])} no colour, so its names are not used; write "
                "name,r,g,b there, or say colors="
            )
            findings.append(Finding.warning("NAMES-UNUSED", problem))
            names = None
    where = "the option colors" if names is None else names.path.name
    return _color_labels(seen, table, where, options, findings), names, findings


def _color_labels(
    seen: MaskValues, table: Sequence[Named], where: str, options: Mapping[str, str], findings: list[Finding]
) -> ValueLabels:
    """Labels of the colours. table: those that are named, where: what names them."""
    nearest = {"yes": True, "no": False}.get(choice(options, "nearest", ["yes", "no"]))
    usual = seen if table else seen.usual()
    total, crowded, lossy = usual.total(), usual.crowded, usual.lossy is not None
    if not total and not table:
        raise DatasetError(f"none of the masks can be read, so there are no colours: {seen.problem}")
    rows = [(_code_of(row.color), row) for row in table if row.color is not None]
    _check_twice(rows)
    soft = crowded or lossy or reading.blurred(total)
    if not rows:
        if crowded or len(total) > _MAX_COLORS or (soft and len(total) > 12) or (lossy and _too_close(total)):
            raise DatasetError(_blurred_message(total, crowded))
        rows = [(code, Named(_name(code, total))) for code in total]
    known = {code for code, _ in rows}
    others = [code for code in seen.total() if code not in known]
    if table and others and nearest is None:
        nearest = soft or len(others) > len(rows) + 16
    if nearest and 0 not in known and (0 in total or crowded):
        rows = [(0, Named(BACKGROUND)), *rows]
    if nearest and (others or seen.crowded):
        many = "thousands of" if seen.crowded else str(len(others))
        problem = f"{many} colours of the masks are no label's; their pixels go to the nearest colour that is"
        findings.append(Finding.note("COLORS-NEAREST", problem))
    elif others and table:
        return _with_unnamed(rows, others, total, where, options, findings)
    return values.labels_of(_labels(rows), colors=True, nearest=bool(nearest))


def _labels(rows: Iterable[tuple[int, Named]]) -> dict[int, Label]:
    return {code: Label(row.name, f"#{code:06x}", tables.role_of(row.name)) for code, row in rows}


def _too_close(total: Counts) -> bool:
    """Whether two colours differ by less than compression changes them."""
    colors = np.array([(code >> 16, (code >> 8) & 255, code & 255) for code in total], np.int64)
    distances = ((colors[:, None] - colors[None]) ** 2).sum(axis=2)
    return bool((distances[~np.eye(len(colors), dtype=np.bool_)] < _CLOSE**2).any())


def _code_of(color: str) -> int:
    """A colour "#rrggbb" as a number."""
    return int(color[1:], 16)


def _name(code: int, total: Counts) -> str:
    red, green, blue = code >> 16, (code >> 8) & 255, code & 255
    if code == 0:
        return BACKGROUND
    if all(other >> 16 == (other >> 8) & 255 == other & 255 for other in total):
        return f"class {red}"
    return f"{red:02x}{green:02x}{blue:02x}"


def _with_unnamed(
    rows: list[tuple[int, Named]],
    others: Sequence[int],
    total: Counts,
    where: str,
    options: Mapping[str, str],
    findings: list[Finding],
) -> ValueLabels:
    """Labels with the colours that a table leaves out: black is the background, others are what the option says."""
    unnamed = choice(options, "unnamed", ["classes", "background"])
    codes = [code for code in others if code != 0]
    if codes:
        findings.append(values.unnamed_finding(values.shares(codes, total, "#{:06x}".format), where, unnamed))
    empty = [(0, Named(BACKGROUND))] if 0 in others else []
    role: Role = "class" if unnamed == "classes" else "ignore"
    every = _labels([*empty, *rows]) | {code: Label(f"{code:06x}", f"#{code:06x}", role) for code in codes}
    return values.labels_of(every, background=codes if unnamed == "background" else (), colors=True)


def _check_twice(rows: Sequence[tuple[int, Named]]) -> None:
    seen: dict[int, str] = {}
    for code, row in rows:
        if code in seen:
            first, second = printable(seen[code][:60]), printable(row.name[:60])
            raise DatasetError(
                f"the table gives #{code:06x} to {first} and to {second}; give each class its own colour"
            )
        seen[code] = row.name


def _blurred_message(total: Counts, crowded: bool) -> str:
    common = ", ".join(f"#{code:06x}" for code in sorted(total, key=lambda code: -total[code])[:6])
    held = f"more than {reading.MOST:,}" if crowded else f"{len(total):,}"
    return (
        f"the masks hold {held} colours, as smoothed or JPEG masks do (the commonest: {common}); say which are labels, "
        'such as colors="sky=#0000ff, road=#808080", and each pixel goes to the nearest'
    )
