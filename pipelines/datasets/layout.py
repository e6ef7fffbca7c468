"""A native data set's folder listing, split lists and group table, and everything that is wrong with them."""

import csv
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines import links
from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Severity
from pipelines.datasets.description import IGNORE_LAYER
from pipelines.datasets.imageio import IMAGE_SUFFIXES, MASK_SUFFIXES
from pipelines.errors import DatasetError
from pipelines.schema import SPLITS, Split

_FOLDERS: Final = ("images", "masks", "splits", "probabilities")
_MAX_NAME: Final = 200
_MAX_TABLE: Final = 1 << 26  # bytes of a split list or group table


@dataclass(frozen=True)
class Layout:
    """Files by name, read from the folder without opening images.

    images: name (the file's stem) to file, sorted. masks: (layer, name) to file; the layer is a folder under
    masks/, or "" for masks/ itself. splits: None when the set brings no lists. groups: image to group.
    """

    images: Mapping[str, Path]
    masks: Mapping[tuple[str, str], Path]
    splits: Mapping[Split, tuple[str, ...]] | None
    groups: Mapping[str, str]
    findings: tuple[Finding, ...]


def read_layout(root: Path, layers: Sequence[str]) -> Layout:
    """List a data set folder. layers: mask folders that are expected. Raises DatasetError without images/ or masks/."""
    for folder in ("images", "masks"):
        if not _is_folder(root / folder):
            raise DatasetError(f"{root.name}/{folder} is missing; put the {folder} there, one file an image")
    findings: list[Finding] = []
    images = _files(root / "images", IMAGE_SUFFIXES, findings)
    if not images:
        raise DatasetError(f"{root.name}/images holds no image ({', '.join(IMAGE_SUFFIXES)}); put the images there")
    masks: dict[tuple[str, str], Path] = {}
    for layer in (*layers, IGNORE_LAYER) if "" not in layers else layers:
        place = root / "masks" / layer
        if _is_folder(place):
            masks |= {(layer, name): path for name, path in _files(place, MASK_SUFFIXES, findings).items()}
    _check_layers(root, layers, masks, findings)
    _check_partners(images, masks, findings)
    _check_others(root, findings)
    lists = _read_splits(root, images, findings)
    groups = _read_groups(root, images, findings)
    return Layout(images=images, masks=masks, splits=lists, groups=groups, findings=tuple(findings))


def _files(folder: Path, suffixes: tuple[str, ...], findings: list[Finding]) -> dict[str, Path]:
    """Files of a folder by stem, sorted; hidden files and folders are passed over."""
    found: dict[str, Path] = {}
    folded: dict[str, str] = {}
    where = "/".join(folder.parts[-2:]) if folder.parent.name == "masks" else folder.name
    for path in sorted(folder.iterdir(), key=lambda one: one.name):
        if path.name.startswith(".") or path.is_dir() or not links.of(folder).follows(path):
            continue
        if path.suffix.lower() not in suffixes:
            problem = (
                f"{where}/{path.name} is passed over: only {', '.join(suffixes)} are read here; convert or remove it"
            )
            _add(findings, "FILE-TYPE", "warning", problem)
        elif not path.stem.isprintable() or len(path.stem) > _MAX_NAME:
            problem = (
                f"{where}/{path.name!r}: a name is one printable line of at most {_MAX_NAME} characters; rename it"
            )
            _add(findings, "FILE-NAME", "error", problem)
        elif path.stem in found:
            problem = (
                f"{where}/{path.name} and {found[path.stem].name} share the name {path.stem}; keep one or rename it"
            )
            _add(findings, "NAME-TWICE", "error", problem)
        else:
            if path.stem.casefold() in folded:
                other = found[folded[path.stem.casefold()]].name
                problem = (
                    f"{where}/{path.name} and {other} differ by case only, which not every disk keeps apart; rename one"
                )
                _add(findings, "NAME-CASE", "warning", problem)
            found[path.stem] = path
            folded[path.stem.casefold()] = path.stem
    return dict(sorted(found.items()))


def _check_layers(
    root: Path, layers: Sequence[str], masks: Mapping[tuple[str, str], Path], findings: list[Finding]
) -> None:
    """Say once what a whole missing or misplaced mask folder means."""
    folders = sorted(path.name for path in (root / "masks").iterdir() if _is_folder(path))
    if "" in layers and not masks and folders:
        problem = (
            f"masks/ holds folders ({', '.join(folders[:5])}) but no mask files; one mask a class is for "
            'kind = "overlapping", else put masks/<stem>.png with the class index as value'
        )
        _add(findings, "MASK-LAYOUT", "error", problem)
    if "" not in layers:
        for layer in layers:
            if layer not in folders:
                problem = f"masks/{layer} is missing; kind overlapping needs one folder a class with 0 and 255"
                _add(findings, "MASK-LAYOUT", "error", problem)
        for extra in sorted(set(folders) - {*layers, IGNORE_LAYER}):
            problem = f"masks/{extra} belongs to no class and is passed over; add the class or remove the folder"
            _add(findings, "MASK-LAYOUT", "warning", problem)


def _check_others(root: Path, findings: list[Finding]) -> None:
    """Folders of pictures that are no part of the format, such as those of another observer or of fields of view."""
    for folder in listing.folders(root):
        first = next(iter(listing.walk(folder, suffixes=IMAGE_SUFFIXES, depth=1)), None)
        if folder.name not in _FOLDERS and first is not None:
            some = listing.shown(first, root)
            problem = f"{listing.shown(folder, root)}/ is no part of a native folder and is not read, such as {some}"
            _add(findings, "FILE-UNUSED", "note", problem)


def _check_partners(images: Mapping[str, Path], masks: Mapping[tuple[str, str], Path], findings: list[Finding]) -> None:
    """Masks without an image; an image without a mask is found when it is read."""
    for (layer, name), path in masks.items():
        if name not in images:
            where = f"masks/{layer}/{path.name}" if layer else f"masks/{path.name}"
            _add(findings, "PAIR-MISSING", "error", f"{where} has no image of that name; add the image or remove it")


def _read_splits(
    root: Path, images: Mapping[str, Path], findings: list[Finding]
) -> dict[Split, tuple[str, ...]] | None:
    folder = root / "splits"
    if not _is_folder(folder):
        return None
    lists: dict[Split, tuple[str, ...]] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        if not (path.is_file() and links.of(root).follows(path)):
            problem = f"splits/{split}.txt is missing; add it, or remove splits/ to have the images split for you"
            _add(findings, "SPLIT-MISSING", "error", problem)
            lists[split] = ()
            continue
        lines = [line.strip() for line in _text(path).splitlines()]
        wanted = [_resolve(line, images) for line in lines if line]
        for name, count in Counter(wanted).items():
            if name not in images:
                problem = (
                    f"splits/{split}.txt names {name[:_MAX_NAME]!r}, which is no image here; add it or remove the line"
                )
                _add(findings, "SPLIT-ABSENT", "error", problem)
            if count > 1:
                problem = (
                    f"splits/{split}.txt names {name[:_MAX_NAME]!r} {count} times; it is used once, remove the others"
                )
                _add(findings, "SPLIT-TWICE", "warning", problem)
        lists[split] = tuple(dict.fromkeys(wanted))
    return lists


def _read_groups(root: Path, images: Mapping[str, Path], findings: list[Finding]) -> dict[str, str]:
    path = root / "groups.csv"
    if not (path.is_file() and links.of(root).follows(path)):
        return {}
    reader = csv.DictReader(_text(path).splitlines(), strict=True)
    try:
        if reader.fieldnames is None or not {"image", "group"} <= set(reader.fieldnames):
            raise DatasetError(f"{root.name}/groups.csv must begin with the line image,group; add it")
        rows = [(_resolve((row["image"] or "").strip(), images), (row["group"] or "").strip()) for row in reader]
    except csv.Error as error:
        raise DatasetError(f"{root.name}/groups.csv line {reader.line_num}: {error}; correct it") from None
    groups: dict[str, str] = {}
    for name, group in rows:
        if name not in images:
            problem = f"groups.csv names {name[:_MAX_NAME]!r}, but there is no such image; add it or remove the line"
            _add(findings, "GROUP-ABSENT", "warning", problem)
        elif not group or not group.isprintable() or len(group) > _MAX_NAME:
            _add(findings, "GROUP-NAME", "error", f"groups.csv gives {name} the group {group[:50]!r}; name a group")
        elif groups.setdefault(name, group) != group:
            problem = f"groups.csv puts {name} in two groups, {groups[name]} and {group}; keep one"
            _add(findings, "GROUP-TWICE", "error", problem)
    _fill_groups(groups, images, findings)
    return groups


def _fill_groups(groups: dict[str, str], images: Iterable[str], findings: list[Finding]) -> None:
    """An image that the table leaves out becomes a group of its own."""
    for name in [name for name in images if name not in groups]:
        problem = f"groups.csv does not name {name}, which becomes a group of its own; add a line for it"
        _add(findings, "GROUP-MISSING", "warning", problem)
        groups[name] = f"image {name}"


def _is_folder(path: Path) -> bool:
    return path.is_dir() and links.of(path).follows(path)


def _resolve(line: str, images: Mapping[str, Path]) -> str:
    """The image a list means: its name, with or without the file's ending."""
    if line in images:
        return line
    stem, dot, suffix = line.rpartition(".")
    return stem if dot and stem in images and f".{suffix.lower()}" in IMAGE_SUFFIXES else line


def _text(path: Path) -> str:
    where = "/".join(path.parts[-2:])
    if path.stat().st_size > _MAX_TABLE:
        raise DatasetError(f"{where} is larger than {_MAX_TABLE:,} bytes; it needs one short line an image")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"{where} is not UTF-8 text; save it as UTF-8") from None


def _add(findings: list[Finding], code: str, severity: Severity, message: str) -> None:
    findings.append(Finding(code=code, severity=severity, message=message))
