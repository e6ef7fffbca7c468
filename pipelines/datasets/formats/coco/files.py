"""COCO's JSON files to what they list: pictures, categories, and where in the file annotations stand."""

import posixpath
import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Severity
from pipelines.datasets.formats import json_file
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

_LISTS: Final = ("images", "annotations", "categories")
_HINTS: Final = (*_LISTS, "file_name", "image_id", "category_id", "segmentation", "iscrowd")
_MOST_FILES: Final = 200  # JSON files that are looked into
_MOST_ANNOTATIONS: Final = 5_000_000


@dataclass
class Document:
    """What one JSON file lists. places: image to start, end, start, end, … of its annotations, bytes in the file."""

    path: Path
    title: str
    images: dict[Any, tuple[str, Any, Any, Any]] = field(default_factory=dict)  # id: file, height, width, video
    categories: dict[Any, tuple[str, str]] = field(default_factory=dict)  # id: name, supercategory
    places: dict[Any, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    used: Counter[Any] = field(default_factory=Counter)
    crowds: int = 0
    lost: int = 0  # annotations of images that are not listed
    panoptic: bool = False  # whether annotations name segments in a picture of their own
    split: str | None = None


def json_files(root: Path) -> list[Path]:
    """JSON files at the top, in annotations/ and in the folders of splits, where COCO's tools put them."""
    return list(islice(listing.walk(root, suffixes=(".json",), depth=2), _MOST_FILES))


def like_coco(path: Path) -> bool:
    """Whether the head and the end of a file look like COCO's; never raises."""
    said = json_file.ends(path)
    if b'"shapes"' in said and b'"imagePath"' in said:
        return False
    hits = {hint for hint in _HINTS if f'"{hint}"'.encode() in said}
    whole = len(said) < 2 * json_file.HEAD
    return hits >= set(_LISTS) if whole else bool(hits & set(_LISTS)) and len(hits) >= 3


def chosen_files(root: Path, pattern: str | None, findings: list[Finding]) -> list[Path]:
    """The JSON files to take: those asked for, else instances_*.json, else all but panoptic_*.json, else these.

    Raises DatasetError, one line, when there is none.
    """
    every = [path for path in json_files(root) if like_coco(path)]
    if pattern is not None:
        taken = [path for path in every if fnmatch(path.name, pattern) or fnmatch(listing.shown(path, root), pattern)]
        if not taken:
            raise DatasetError(
                f"no JSON file with images, annotations and categories is called {pattern[:80]!r}; found are "
                f"{', '.join(listing.shown(path, root) for path in every[:10]) or 'none'}"
            )
    else:
        instances = [path for path in every if path.name.lower().startswith("instances")]
        taken = instances or [path for path in every if not path.name.lower().startswith("panoptic")] or every
    if not taken:
        raise DatasetError(
            f"{printable(root.name)} holds no JSON file with images, annotations and categories; put it there or into "
            "annotations/"
        )
    left = [listing.shown(path, root) for path in every if path not in taken]
    if left and pattern is None:
        some = ", ".join(left[:5]) + (" and others" if len(left) > 5 else "")
        problem = f"{some} are not read; the option annotations names the files to take"
        findings.append(_finding("FILE-UNUSED", "note", problem))
    return taken


def read_document(path: Path, root: Path) -> Document:
    """Index a COCO file; only places of annotations are kept. Raises DatasetError, one line."""
    found = Document(path, listing.shown(path, root))
    found.split = listing.split_of(path, root) or listing.split_named(path.stem)
    there: set[str] = set()
    total = drawn = 0
    for member in json_file.members(path, lists=_LISTS):
        if member.key not in _LISTS:
            continue
        there.add(member.key)
        if not isinstance(member.value, dict):
            raise DatasetError(f"{found.title}: {member.key} must be a list of objects; export it again")
        value: dict[str, Any] = member.value
        if member.key == "annotations":
            found.places[key_of(value.get("image_id"))].extend((member.start, member.end))
            total += 1
            segments = value.get("segments_info")
            found.panoptic |= isinstance(segments, list)
            drawn += bool(segments or value.get("segmentation"))
            if total > _MOST_ANNOTATIONS:
                raise DatasetError(
                    f"{found.title} has more than {_MOST_ANNOTATIONS:,} annotations; split it into parts"
                )
            for one in segments if isinstance(segments, list) else [value]:
                if isinstance(one, dict):
                    found.used[key_of(one.get("category_id"))] += 1
                    found.crowds += is_crowd(one)
        elif member.key == "images":
            _add_image(found, value)
        else:
            _add_category(found, value)
    lacking = [key for key in _LISTS if key not in there and key != "annotations"]
    if lacking:
        raise DatasetError(f"{found.title} has no {lacking[0]}; a COCO file holds images, annotations and categories")
    if total and not drawn:
        raise DatasetError(
            f"{found.title} holds boxes or captions, no outlines or masks (segmentation); take the file that has them"
        )
    found.lost = sum(len(some) // 2 for key, some in found.places.items() if key not in found.images)
    return found


def _add_image(found: Document, value: dict[str, Any]) -> None:
    key, name = key_of(value.get("id")), value.get("file_name")
    if key is None or not isinstance(name, str) or not name or len(name) > 1000:
        raise DatasetError(f"{found.title}: an image has no id or no file_name; export it again")
    if key in found.images:
        raise DatasetError(f"{found.title}: the id {printable(str(key)[:50])} belongs to two images; give each its own")
    if len(found.images) >= listing.MAX_FILES:
        raise DatasetError(f"{found.title} lists more than {listing.MAX_FILES:,} images; split it into parts")
    video = value.get("video_id")
    found.images[key] = (name, value.get("height"), value.get("width"), video)


def _add_category(found: Document, value: dict[str, Any]) -> None:
    key, name, parent = key_of(value.get("id")), value.get("name"), value.get("supercategory")
    if key is None or not isinstance(name, str) or not 0 < len(name) <= 500:
        raise DatasetError(f"{found.title}: a category has no id or no name of 1 to 500 letters; correct it")
    if key in found.categories:
        raise DatasetError(
            f"{found.title}: the id {printable(str(key)[:50])} belongs to two categories; give each its own"
        )
    if len(found.categories) >= MAX_LABELS:
        raise DatasetError(f"{found.title} has more than {MAX_LABELS:,} categories; leave some out")
    found.categories[key] = (name, parent if isinstance(parent, str) else "")


class PictureFiles:
    """Pictures inside a data set by the names that a JSON file may give them. Its size is their number."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_path = {path.relative_to(root).as_posix(): path for path in listing.images(root)}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self._by_path.values():
            self._by_name[path.name].append(path)

    def __len__(self) -> int:
        return len(self._by_path)

    def paths(self) -> Iterable[Path]:
        """Every picture."""
        return self._by_path.values()

    def find(self, name: str, document: Document) -> tuple[Path | None, bool]:
        """The picture of that name, None if there is none, and whether the name leads out of the data set."""
        asked = name.replace("\\", "/")
        beside = document.path.parent.relative_to(self._root).as_posix()
        split = re.sub(r"^(instances|panoptic|stuff|person_keypoints|annotations?)_", "", document.path.stem)
        escapes = True
        for place in (beside, "", "images", split, f"images/{split}", f"{beside}/images", f"{beside}/.."):
            wanted = posixpath.normpath(posixpath.join(place, asked))
            if not wanted.startswith(("/", "..")) and asked[1:2] != ":":
                escapes = False
                if wanted in self._by_path:
                    return self._by_path[wanted], False
        # Of another machine, or below a folder that was left out: its last parts tell.
        ending = "/" + posixpath.normpath(asked).lstrip("./")
        same = self._by_name.get(posixpath.basename(asked), [])
        fitting = [path for path in same if f"/{path.relative_to(self._root).as_posix()}".endswith(ending)] or same
        return (fitting[0] if len(fitting) == 1 else None), escapes

    def segments(self, name: str, document: Document) -> Path | None:
        """The picture of panoptic segments of that name: in a folder called like the JSON file, as COCO has it."""
        beside = document.path.parent.relative_to(self._root).as_posix()
        for place in (f"{beside}/{document.path.stem}", document.path.stem, f"panoptic/{document.path.stem}", beside):
            wanted = posixpath.normpath(posixpath.join(place, name.replace("\\", "/")))
            if wanted in self._by_path:
                return self._by_path[wanted]
        return None


def printable(text: str) -> str:
    """A text from a file for a message."""
    return text if text.isprintable() else repr(text)[1:-1]


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation or a segment stands for a crowd that nobody told apart."""
    return annotation.get("iscrowd") in (1, "1")


def key_of(value: Any) -> Any:
    """An id that can be looked up: whole numbers and texts; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


def _finding(code: str, severity: Severity, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)
