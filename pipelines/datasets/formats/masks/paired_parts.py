"""Image files to their part, picture or mask: by what is said, by words in folder names, or in file names."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from pipelines.datasets.formats.masks import paired_tree
from pipelines.datasets.formats.masks.paired_matching import cuts, pair, says_mask
from pipelines.datasets.formats.masks.paired_names import shown
from pipelines.datasets.formats.masks.paired_roles import named
from pipelines.datasets.formats.masks.paired_tree import Entry, Part
from pipelines.datasets.splits import split_word
from pipelines.errors import DatasetError

OPTIONS: Final[dict[str, str]] = {
    "images": "the folder of the pictures, from the top, such as data/rgb; else told by its name",
    "masks": "the folder of the masks, from the top; else told by its name",
}
_LOSSY: Final = (".jpg", ".jpeg", ".webp")


def parted(root: Path, every: Sequence[Entry], options: Mapping[str, str]) -> list[Entry]:
    """Give every file its part: by the options, else by words in folder names, else by words in file names."""
    field = options.get("field_of_view", "")
    every = [
        _with(one, "mask") if not one.part and (_is_field(one, field) or "observer" in _kinds(one)) else one
        for one in every
    ]
    if options.get("images") or options.get("masks"):
        return _as_said(root, every, options)
    parts = {one.part for one in every}
    if {"image", "mask"} <= parts:
        return [one for one in every if one.part]
    if "mask" in parts and "" in parts:
        return [one if one.part else _with(one, "image") for one in every]
    if "image" in parts and "" in parts:
        beside = [one if one.part else _with(one, "mask") for one in every]
        found, _ = pair([one for one in beside if one.part == "image"], [one for one in beside if one.part == "mask"])
        wanted = {one.entry.path for one in found}
        if wanted:
            return [one for one in beside if one.part == "image" or one.path in wanted]
    return _by_file_names([_with(one, "") for one in every])


def _kinds(one: Entry) -> set[str]:
    """What the names of folders say that masks are beside the truth."""
    return {about.kind for name in one.folders if (about := named(name)) is not None}


def _is_field(one: Entry, option: str) -> bool:
    """Whether a folder is one of fields of view, by the option or by its name."""
    folders = "/".join(one.folders).casefold()
    wanted = option.strip().strip("/").casefold()
    return "field" in _kinds(one) or (bool(wanted) and (wanted == folders or wanted in folders.split("/")))


def _as_said(root: Path, every: Sequence[Entry], options: Mapping[str, str]) -> list[Entry]:
    said = {part: _folder(root, part, options.get(part, "")) for part in ("images", "masks")}
    of_images = any(one.part == "image" for one in every)
    made = []
    for one in every:
        inside = {
            part: folder is not None and one.folders[: len(folder)] == folder for part, folder in said.items()
        }  # fmt: skip
        if inside["images"] and inside["masks"]:  # the longer path is the closer one
            inside["images"] = len(said["images"] or ()) > len(said["masks"] or ())
            inside["masks"] = not inside["images"]
        if inside["masks"] or (said["masks"] is None and one.part == "mask" and not inside["images"]):
            made.append(_with(one, "mask", _beyond(one, said["masks"])))
        elif not inside["images"] and _is_field(one, options.get("field_of_view", "")):
            made.append(_with(one, "mask"))  # fields of view go with the masks that are named
        elif inside["images"] or (said["images"] is None and one.part == ("image" if of_images else "")):
            made.append(_with(one, "image", _beyond(one, said["images"])))
    return made


def _folder(root: Path, option: str, text: str) -> tuple[str, ...] | None:
    if not text:
        return None
    folder = tuple(part for part in text.replace("\\", "/").split("/") if part not in ("", "."))
    if ".." in folder or not root.joinpath(*folder).is_dir():
        raise DatasetError(f"the option {option} must name a folder inside {shown(root.name)}, got {text[:80]!r}")
    return folder


def _beyond(one: Entry, folder: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Folders below the one that was named; None leaves them as they were told."""
    if folder is None:
        return None
    below = one.folders[len(folder) :]
    return tuple(name for name in below if name[-1].isdigit() or not any(map(split_word, paired_tree.words(name))))


def _with(one: Entry, part: Part, parts: tuple[str, ...] | None = None) -> Entry:
    return Entry(
        one.path,
        one.folders,
        one.parts if parts is None else parts,
        one.own if parts is None else parts,
        one.stem,
        part,
        one.split,
    )


def _by_file_names(every: Sequence[Entry]) -> list[Entry]:
    """Pictures and masks in one folder: a_mask.png or a.png belong to a.jpg, and a_cell.png and a_nucleus.png do."""
    twins = _twins(every)
    if twins:
        return [_with(one, "mask" if one.path in twins else "image") for one in every]
    worded = [one for one in every if says_mask(one.stem)]
    if worded:
        masks = {one.path for one in worded}
        pictures = [_with(one, "image") for one in every if one.path not in masks]
        found, _ = pair(pictures, [_with(one, "mask") for one in worded])
        if found:
            return [*pictures, *(_with(one, "mask") for one in worded)]
    stems = {(one.folders, one.stem) for one in every}
    bases: dict[str, list[Entry]] = defaultdict(list)
    for one in every:
        for base, item in cuts(one.stem):
            if (one.folders, base) in stems and not item.isdigit():
                bases[item].append(one)
                break
    masks = {one.path for some in bases.values() if len(some) > 1 for one in some}
    return [_with(one, "mask" if one.path in masks else "image") for one in every]


def _twins(every: Sequence[Entry]) -> set[Path]:
    """The PNG files where nearly all names stand for a JPEG picture and a PNG mask."""
    kinds: dict[tuple[tuple[str, ...], str], list[Entry]] = defaultdict(list)
    for one in every:
        kinds[(one.folders, one.stem)].append(one)
    masks = set()
    for some in kinds.values():
        exact = [one.path for one in some if not one.path.name.lower().endswith(_LOSSY)]
        if len(some) == 2 and len(exact) == 1:
            masks.add(exact[0])
    return masks if len(masks) >= 0.9 * len(kinds) else set()
