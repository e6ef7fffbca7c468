"""COCO: one or several JSON files with images, annotations and categories, beside folders of pictures, to truth."""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding, Severity
from pipelines.datasets.format import Format
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.coco.drawing import Drawing, UnknownLabelError
from pipelines.datasets.formats.coco.files import (
    Document,
    PictureFiles,
    chosen_files,
    is_crowd,
    json_files,
    key_of,
    like_coco,
    printable,
    read_document,
)
from pipelines.datasets.source import FileSource, Label, Role, Source, Truth
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import Split

_CROWD: Final = ("ignore", "class", "drop")
_CROWD_LABEL: Final = "iscrowd"
_MOST_FINDINGS: Final = 10  # of one image
_AUGMENTED: Final = re.compile(r"(.+)\.rf\.[0-9a-f]{8,}")  # Roboflow's copies of one picture


def _recognise(root: Path) -> str | None:
    found = next((path for path in json_files(root) if like_coco(path)), None)
    return None if found is None else f"{listing.shown(found, root)} holds images, annotations and categories"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    return CocoSource(root, crowd=options.get("crowd", "ignore"), pattern=options.get("annotations"))


class CocoSource(FileSource):
    """Images of COCO files. crowd: what regions with iscrowd = 1 are. pattern: names of the JSON files to take."""

    def __init__(self, root: Path, *, crowd: str = "ignore", pattern: str | None = None) -> None:
        if crowd not in _CROWD:
            raise DatasetError(f"crowd is {crowd[:50]!r}, expected {', '.join(_CROWD)}; correct the option")
        self.root = root
        self.name = printable(root.name)[:100] or "COCO"
        self._crowd = crowd
        findings: list[Finding] = []
        self._documents = [read_document(path, root) for path in chosen_files(root, pattern, findings)]
        self._labels = self._name_labels(findings)
        self._find_images(findings)
        if not self.images:
            raise DatasetError(
                f"none of the images that {self._documents[0].title} lists lie in {self.name}; put them there, "
                "under the names it gives them" + (f" ({findings[-1].message})" if findings else "")
            )
        self.findings = tuple(findings)

    def _name_labels(self, findings: list[Finding]) -> dict[str, int]:
        """Labels of all files, by name: the index of each."""
        names: dict[str, None] = {}
        above = {parent for one in self._documents for _, parent in one.categories.values()}
        for document in self._documents:
            if not document.categories:
                raise DatasetError(f"{document.title} has no categories; add them, with id and name")
            twice = [
                name for name, count in Counter(name for name, _ in document.categories.values()).items() if count > 1
            ]
            if twice:
                problem = f"{document.title} gives the name {twice[0][:60]!r} to several categories; they are one label"
                findings.append(_finding("LABEL-TWICE", "note", problem))
            for key, (name, _) in document.categories.items():
                if name in above and not document.used[key] and len(document.categories) > 1:
                    problem = (
                        f"the category {name[:60]!r} only stands above others and has no annotation; it is left out"
                    )
                    findings.append(_finding("LABEL-EMPTY", "note", problem))
                else:
                    names[name] = None
        if len(names) + 1 > MAX_LABELS:
            raise DatasetError(f"there are {len(names):,} categories, allowed are {MAX_LABELS - 1:,}; leave some out")
        self.labels = tuple(Label(name, role=_role(name)) for name in names)
        crowds = sum(one.crowds for one in self._documents)
        if crowds and self._crowd == "ignore":
            free = next(
                f"{_CROWD_LABEL}{'_' * n}" for n in range(len(names) + 1) if f"{_CROWD_LABEL}{'_' * n}" not in names
            )
            self.labels += (Label(free, role="ignore"),)
        if crowds:
            done = {
                "ignore": "their pixels are ignored",
                "class": "they count like others",
                "drop": "they are left out",
            }
            problem = (
                f"{crowds:,} annotations are crowds (iscrowd = 1): {done[self._crowd]}; the option crowd changes that"
            )
            findings.append(_finding("CROWDS", "note", problem))
        self.exclusive = len(self.labels) == 1
        return {label.name: index for index, label in enumerate(self.labels)}

    def _find_images(self, findings: list[Finding]) -> None:
        """Set images, and where each of them stands in which files."""
        files = self._pictures = PictureFiles(self.root)
        stands: dict[Path, list[tuple[Document, Any]]] = defaultdict(list)
        missing: list[str] = []
        outside: list[str] = []
        elsewhere: list[str] = []
        for document in self._documents:
            for key, (name, *_) in document.images.items():
                path, escapes = files.find(name, document)
                if path is not None:
                    stands[path].append((document, key))
                    elsewhere += [name] if escapes else []
                else:
                    (outside if escapes else missing).append(name)
        _list(findings, "IMAGE-OUTSIDE", outside, "have a path that leads out of the data set; put them into it")
        if elsewhere:
            problem = f"{len(elsewhere):,} images have paths of another machine and were found by their names"
            findings.append(_finding("IMAGE-ELSEWHERE", "note", f"{problem}, such as {printable(elsewhere[0][-80:])}"))
        _list(findings, "IMAGE-MISSING", missing, "are listed but not there; add them or take them out of the JSON")
        unlisted = len(files) - len(stands)
        if unlisted and stands:
            folder = {path.parent for path in stands}
            left = sum(path.parent in folder for path in files.paths()) - len(stands)
            if left:
                findings.append(
                    _finding("IMAGE-UNLISTED", "note", f"{left:,} pictures beside the others are in no JSON file")
                )
        lost = sum(document.lost for document in self._documents)
        if lost:
            problem = f"{lost:,} annotations belong to images that their file does not list, and are passed over"
            findings.append(_finding("ANNOTATION-LOST", "warning", problem))
        self.images = listing.by_name(sorted(stands), self.root, findings)
        self._stands = {name: stands[path] for name, path in self.images.items()}
        self._extra = self._segment_files()
        self._sort()

    def _sort(self) -> None:
        """Set groups and splits."""
        splits: dict[str, list[str]] = defaultdict(list)
        groups: dict[str, str] = {}
        for name, some in self._stands.items():
            for split in dict.fromkeys(document.split for document, _ in some):
                if split is not None:
                    splits[split].append(name)
            video = some[0][0].images[some[0][1]][3]
            copy = _AUGMENTED.fullmatch(name)
            if copy is not None:
                groups[name] = copy[1]
            elif isinstance(video, (int, str)) and len(str(video)) < 100 and str(video).isprintable():
                groups[name] = f"video {video}"
        self.groups = groups
        self.splits: Mapping[Split, tuple[str, ...]] = {
            split: tuple(splits[split]) for split in ("train", "val", "test") if splits.get(split)
        }

    def truth(self, name: str) -> Truth:
        """Pixels of every category, where its instances are united, and of crowds. Raises DatasetError, one line."""
        size = self._size(name)
        drawing = Drawing(size, len(self.labels))
        for document, one in self._annotations(name):
            told = f"annotation {printable(str(one.get('id', '?')))[:20]} of {name} ({document.title})"
            try:
                if isinstance(one.get("segments_info"), list):
                    self._segments(one, document, drawing)
                elif not (is_crowd(one) and self._crowd == "drop"):
                    drawing.instance(one.get("segmentation") or [], self._label_of(one, document))
            except UnknownLabelError as error:
                drawing.findings.append(_finding("MASK-VALUES", "error", f"{told}: {error}"))
            except DatasetError as error:
                drawing.findings.append(_finding("ANNOTATION", "error", f"{told}: {error}"))
            if len(drawing.findings) >= _MOST_FINDINGS:
                raise DatasetError(
                    f"{drawing.findings[0].message} (and at least {_MOST_FINDINGS - 1} more of this image)"
                )
        return drawing.truth(name)

    def _segments(self, annotation: dict[str, Any], document: Document, drawing: Drawing) -> None:
        """Segments of a panoptic picture, whose colours are ids; 0 is what nobody labelled."""
        called = annotation.get("file_name")
        path = self._pictures.segments(called, document) if isinstance(called, str) else None
        if path is None:
            raise DatasetError(
                f"its picture of segments, {str(called)[-80:]!r}, is not there; put it beside the JSON file"
            )
        labels: dict[int, int | None] = {}
        for one in annotation["segments_info"]:
            number = key_of(one.get("id")) if isinstance(one, dict) else None
            if not isinstance(number, int) or not 0 < number < 1 << 24:
                raise DatasetError("a segment has no id from 1 to 16,777,215; export it again")
            dropped = is_crowd(one) and self._crowd == "drop"
            labels[number] = None if dropped else self._label_of(one, document)
        drawing.segments(imageio.read_colors(path), labels)

    def _segment_files(self) -> tuple[Path, ...]:
        """Panoptic pictures of the images."""
        found: list[Path] = []
        for name in self.images if any(document.panoptic for document in self._documents) else ():
            for document, one in self._annotations(name):
                called = one.get("file_name")
                path = self._pictures.segments(called, document) if isinstance(called, str) else None
                found += [path] if path is not None else []
        return tuple(dict.fromkeys(found))

    def _annotations(self, name: str) -> Iterator[tuple[Document, dict[str, Any]]]:
        for document, key in self._stands[name]:
            places = document.places.get(key, array("q"))
            for one in json_file.pieces(document.path, zip(places[::2], places[1::2], strict=True)):
                if not isinstance(one, dict):
                    raise DatasetError(f"{document.title} has changed since it was opened; open it again")
                yield document, one

    def _size(self, name: str) -> tuple[int, int]:
        """Height and width of an image as its first file tells them, else as the picture has them."""
        told = [document.images[key][1:3] for document, key in self._stands[name]]
        given = [one for one in told if one != (None, None)]
        if not given:
            return self._size_of_runs(name)
        try:
            sizes = [polygons.checked_size(*one) for one in given]
        except DatasetError as error:
            raise DatasetError(f"image {name} in {self._stands[name][0][0].title}: {error}") from None
        if len(set(sizes)) > 1:
            raise DatasetError(f"{name} has different sizes in different JSON files; correct its height and width")
        return sizes[0]

    def _size_of_runs(self, name: str) -> tuple[int, int]:
        """The picture's size, as stored where EXIF turns it and run lengths have that size."""
        own, orientation = self.head(name)
        if orientation > 4:
            for _, one in self._annotations(name):
                runs = one.get("segmentation")
                if isinstance(runs, dict) and runs.get("size") == list(own[::-1]):
                    return own[::-1]
        return own

    def _label_of(self, annotation: Mapping[str, Any], document: Document) -> int:
        if is_crowd(annotation) and self._crowd == "ignore":
            return len(self.labels) - 1
        category = document.categories.get(key_of(annotation.get("category_id")))
        label = None if category is None else self._labels.get(category[0])
        if label is None:
            raise UnknownLabelError("its category does not exist; add the category or correct it")
        return label

    def files(self) -> Iterable[Path]:
        """JSON files and pictures."""
        yield from (document.path for document in self._documents)
        yield from self.images.values()
        yield from self._extra


def _role(name: str) -> Role:
    return "background" if name.strip("_ ").casefold() == "background" else "class"


def _list(findings: list[Finding], code: str, names: list[str], problem: str) -> None:
    if names:
        some = ", ".join(printable(name[-80:]) for name in names[:5]) + (" …" if len(names) > 5 else "")
        findings.append(_finding(code, "error", f"{len(names):,} images {problem}: {some}"))


def _finding(code: str, severity: Severity, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)


FORMAT = Format(
    "COCO JSON of images, annotations and categories, with folders of pictures",
    _recognise,
    _open,
    {
        "crowd": "what regions with iscrowd = 1 are: ignore (their pixels do not count), class (like others) or drop",
        "annotations": "names of the JSON files to take, such as instances_*.json",
    },
)
