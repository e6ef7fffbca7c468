"""COCO JSON with folders of pictures: polygons, run lengths and panoptic PNGs."""

import re
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatch
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Final

from pipelines.datasets import imageio, listing, splits
from pipelines.datasets.base import Finding, Format, Label, Size, Truth, source_name
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.drawing import Drawing, UnknownLabelError, label_named
from pipelines.datasets.listing import FileSource
from pipelines.datasets.options import choice
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import SPLITS
from pipelines.sentences import first_of, listed, printable

# Files and their tables ----------------------------------------------------------------------------------------------

_LISTS: Final = ("images", "annotations", "categories")
_HINTS: Final = (*_LISTS, "file_name", "image_id", "category_id", "segmentation", "iscrowd")
_MOST_FILES: Final = 200  # JSON files that are looked into
_MOST_ANNOTATIONS: Final = 5_000_000
_WHOLE: Final = re.compile(r"-?[0-9]{1,30}(\.0+)?")


@dataclass
class Document:
    """What one JSON file lists. places: image to start, end, start, end, … of its annotations, bytes in the file.

    images: id to file, height, width and video. categories: id to name and supercategory. used: annotations by
    category. drawn: annotations and segments with an outline or a mask, and crowds of them, of which exported as
    masks by CVAT. lost: annotations of images that are not listed. panoptic: annotations name segments in a picture of
    their own. unusual: annotations by what is not as COCO has it and was read all the same.
    """

    path: Path
    title: str
    split: str | None
    images: dict[Any, tuple[str, Any, Any, Any]] = field(default_factory=dict)
    categories: dict[Any, tuple[str, str]] = field(default_factory=dict)
    places: dict[Any, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("q")))
    used: Counter[Any] = field(default_factory=Counter)
    drawn: int = 0
    crowds: int = 0
    masks: int = 0
    lost: int = 0
    panoptic: bool = False
    unusual: Counter[str] = field(default_factory=Counter)

    def add_image(self, value: dict[str, Any]) -> None:
        """Index an image. Raises DatasetError, one line."""
        key, name = key_of(value.get("id")), value.get("file_name")
        if key is None or not isinstance(name, str) or not name or len(name) > 1000:
            raise DatasetError(f"{self.title}: an image has no id or no file_name; export it again")
        self._check_new(key, self.images, "images")
        if len(self.images) >= listing.MAX_FILES:
            raise DatasetError(f"{self.title} lists more than {listing.MAX_FILES:,} images; split it into parts")
        self.images[key] = (name, value.get("height"), value.get("width"), value.get("video_id"))
        self.unusual[_TEXT_IDS] += isinstance(value["id"], str) and isinstance(key, int)

    def add_category(self, value: dict[str, Any]) -> None:
        """Index a category. Raises DatasetError, one line."""
        key, name, parent = key_of(value.get("id")), value.get("name"), value.get("supercategory")
        if key is None or not isinstance(name, str) or not 0 < len(name) <= 500:
            raise DatasetError(f"{self.title}: a category has no id or no name of 1 to 500 letters; correct it")
        self._check_new(key, self.categories, "categories")
        if len(self.categories) >= MAX_LABELS:
            raise DatasetError(f"{self.title} has more than {MAX_LABELS:,} categories; leave some out")
        self.categories[key] = (name, parent if isinstance(parent, str) else "")

    def add_annotation(self, value: dict[str, Any], start: int, end: int) -> None:
        """Index an annotation and where it stands."""
        self.places[key_of(value.get("image_id"))].extend((start, end))
        segments = value.get("segments_info")
        self.panoptic |= isinstance(segments, list)
        for marked in segments if isinstance(segments, list) else [value]:
            if isinstance(marked, dict):
                self.used[key_of(marked.get("category_id"))] += 1
                if isinstance(segments, list) or value.get("segmentation"):
                    self.drawn += 1
                    self.crowds += is_crowd(marked)
                    self.masks += is_crowd(marked) and _is_cvat_mask(marked)
        ids = (value.get("image_id"), value.get("category_id"))
        self.unusual[_TEXT_IDS] += any(isinstance(given, str) and isinstance(key_of(given), int) for given in ids)
        self.unusual[_ONLY_CATEGORY] += segments is None and value.get("category_id") is None
        shape = _unusual_shape(value.get("segmentation"))
        if shape is not None:
            self.unusual[shape] += 1

    def resolve(self) -> None:
        """Give annotations that name the file of their image, or its stem, to the id of that image; count the lost."""
        strange = [key for key in self.places if isinstance(key, str) and key not in self.images]
        ids: dict[str, list[Any]] = defaultdict(list)
        for key, (name, *_) in self.images.items() if strange else ():
            last = PurePosixPath(name.replace("\\", "/"))
            for alias in {name, last.name, last.stem}:
                ids[alias].append(key)
        for alias in strange:
            if len(ids[alias]) == 1:
                places = self.places.pop(alias)
                self.unusual[_FILE_IDS] += len(places) // 2
                self.places[ids[alias][0]].extend(places)
        self.lost = sum(len(places) // 2 for key, places in self.places.items() if key not in self.images)
        names = {name for name, _ in self.categories.values()}
        self.unusual[_NAME_IDS] += sum(n for key, n in self.used.items() if key in names and key not in self.categories)

    def category_of(self, given: Any) -> tuple[str, str] | None:
        """The category that an annotation names by its id, or by its name; where it names none, the only one."""
        key = key_of(given)
        if key in self.categories:
            return self.categories[key]
        named = [
            row for row in self.categories.values() if row[0] == given or (given is None and len(self.categories) == 1)
        ]
        return named[0] if named else None

    def _check_new(self, key: Any, table: Mapping[Any, Any], what: str) -> None:
        if key in table:
            shown = printable(str(key)[:50])
            raise DatasetError(f"{self.title}: the id {shown} belongs to two {what}; give each its own")


def json_files(root: Path) -> list[Path]:
    """JSON files at the top, in annotations/ and in the folders of splits, where COCO's tools put them."""
    return list(islice(listing.walk(root, suffixes=(".json",), depth=2), _MOST_FILES))


def like_coco(path: Path) -> bool:
    """Whether the head and the end of a file look like COCO's; never raises."""
    content = json_file.ends(path)
    if b'"shapes"' in content and b'"imagePath"' in content:
        return False
    hits = {hint for hint in _HINTS if f'"{hint}"'.encode() in content}
    whole = len(content) < 2 * json_file.HEAD
    if whole:  # one that lacks categories is told when it is read
        return hits >= set(_LISTS) or (hits >= {"images", "annotations"} and len(hits) > 3)
    return bool(hits & set(_LISTS)) and len(hits) >= 3


def choose_files(root: Path, pattern: str | None, findings: list[Finding]) -> list[Path]:
    """The JSON files to take: those asked for, else instances_*.json, else all but panoptic_*.json, else these.

    Raises DatasetError, one line, when there is none.
    """
    titles = {path: listing.shown(path, root) for path in json_files(root) if like_coco(path)}
    if pattern is not None:
        taken = [path for path, title in titles.items() if fnmatch(path.name, pattern) or fnmatch(title, pattern)]
        if not taken:
            raise DatasetError(
                f"no JSON file with images, annotations and categories is called {pattern[:80]!r}; found are "
                f"{', '.join(list(titles.values())[:10]) or 'none'}"
            )
        return taken
    instances = [path for path in titles if path.name.lower().startswith("instances")]
    taken = instances or [path for path in titles if not path.name.lower().startswith("panoptic")] or [*titles]
    if not taken:
        raise DatasetError(
            f"{printable(root.name)} holds no JSON file with images, annotations and categories; put it there or into "
            "annotations/"
        )
    left = [title for path, title in titles.items() if path not in taken]
    if left:
        problem = f"{first_of(left, 5)} are not read; the option annotations names the files to take"
        findings.append(Finding.note("FILE-UNUSED", problem))
    return taken


def read_document(path: Path, root: Path) -> Document:
    """Index a COCO file; only places of annotations are kept. Raises DatasetError, one line."""
    split = splits.split_of(path, root) or splits.split_named(path.stem)
    document = Document(path, listing.shown(path, root), split)
    title = document.title
    there: set[str] = set()
    total = 0
    for member in json_file.members(path, lists=_LISTS):
        if member.key not in _LISTS:
            continue
        there.add(member.key)
        value = member.value
        if not isinstance(value, dict) or (value and all(isinstance(inner, dict) for inner in value.values())):
            raise DatasetError(f"{title}: {member.key} must be a list of objects; export it again")
        if member.key == "images":
            document.add_image(value)
        elif member.key == "categories":
            document.add_category(value)
        else:
            document.add_annotation(value, member.start, member.end)
            total += 1
            if total > _MOST_ANNOTATIONS:
                raise DatasetError(f"{title} has more than {_MOST_ANNOTATIONS:,} annotations; split it into parts")
    lacking = [key for key in _LISTS if key not in there and key != "annotations"]
    if lacking:
        raise DatasetError(f"{title} has no {lacking[0]}; a COCO file holds images, annotations and categories")
    if total and not document.drawn:
        raise DatasetError(
            f"{title} holds boxes or captions, no outlines or masks (segmentation); take the file that has them"
        )
    document.resolve()
    if document.lost and document.lost == total:
        asked, listed = (printable(str(next(iter(keys), "none"))[:50]) for keys in (document.places, document.images))
        raise DatasetError(
            f"{title}: no annotation belongs to an image that it lists (one says image_id {asked}, an image has the id "
            f"{listed}); correct image_id"
        )
    return document


def _folders(document: Document, root: Path) -> tuple[str, ...]:
    """Where pictures may lie that a file names: the paths from the top to which its names may be added."""
    beside = document.path.parent.relative_to(root).as_posix()
    split = re.sub(r"^(instances|panoptic|stuff|person_keypoints|annotations?)_", "", document.path.stem)
    return (beside, "", "images", split, f"images/{split}", f"{beside}/images", f"{beside}/..")


def is_crowd(annotation: Mapping[str, Any]) -> bool:
    """Whether an annotation or a segment stands for a crowd that nobody told apart."""
    return annotation.get("iscrowd") in (1, "1", "true", "True")


def key_of(value: Any) -> Any:
    """An id that can be looked up: whole numbers, also as text or with a decimal point, and texts; else None.

    >>> key_of("7"), key_of(7.0), key_of("img_7"), key_of(None)
    (7, 7, 'img_7', None)
    """
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and _WHOLE.fullmatch(value):
        return int(value.partition(".")[0])
    return value if isinstance(value, (int, str)) and not isinstance(value, bool) else None


# What other tools write and is read all the same; what is done with it.
_TEXT_IDS: Final = 'have ids as text, such as "1": they are taken as the numbers'
_ONLY_CATEGORY: Final = "name no category: they are taken as the only one there is"
_FLAT: Final = "have one flat list of numbers as their segmentation: it is taken as one polygon"
_PAIRS: Final = "have outlines in lists of points: their pairs are taken as x and y"
_TEXT_NUMBERS: Final = "have numbers as text: they are taken as the numbers"
_TEXT_JSON: Final = "have their segmentation as text: it is read as JSON"
_SEVERAL_RUNS: Final = "have a list of run lengths: they are united"
_FILE_IDS: Final = "name their image by its file instead of its id"
_NAME_IDS: Final = "name their category by its name instead of its id"
_TEXT_BYTES: Final = "have run lengths as Python shows bytes (b'…'): they are taken without the b and the quotes"


def _unusual_shape(segmentation: Any) -> str | None:
    """What is unusual about a segmentation, told by its first values; None for one as COCO has it."""
    if isinstance(segmentation, dict):
        counts = segmentation.get("counts")
        if isinstance(counts, str) and polygons.is_bytes_text(counts):
            return _TEXT_BYTES
        if isinstance(counts, str):
            return _TEXT_NUMBERS if " " in counts or "," in counts else None
        return _TEXT_NUMBERS if isinstance(counts, list) and counts and isinstance(counts[0], str) else None
    if isinstance(segmentation, str):
        return _TEXT_JSON if segmentation.lstrip().startswith(("[", "{")) else None
    depth = 0
    first = segmentation
    while isinstance(first, list) and first:
        widest, first, depth = len(first), first[0], depth + 1
    if isinstance(first, dict):
        return _SEVERAL_RUNS if "counts" in first else None
    if depth == 1:
        return _FLAT if polygons.as_number(first) is not None else None
    if depth > 2 or (depth == 2 and widest == 2 and len(segmentation) > 2):
        return _PAIRS
    return _TEXT_NUMBERS if depth and isinstance(first, str) else None


def _is_cvat_mask(annotation: Mapping[str, Any]) -> bool:
    """Whether CVAT, or Datumaro behind it, wrote an annotation: it sets iscrowd on all that was drawn as a mask."""
    attributes = annotation.get("attributes")
    return isinstance(attributes, dict) and "occluded" in attributes


# The source ----------------------------------------------------------------------------------------------------------

_CROWD: Final = {
    "ignore": "their pixels are ignored",
    "class": "they count like others",
    "drop": "they are left out",
}
_ALL_CROWDS: Final = (
    "all {:,} annotations have iscrowd = 1, which then tells no crowds from others: they count like others; the option "
    "crowd=ignore ignores their pixels"
)
_CVAT_MASKS: Final = (
    "{:,} annotations have iscrowd = 1, which CVAT sets on every mask: they count like others; the option crowd=ignore "
    "ignores their pixels"
)
_CROWD_LABEL: Final = "iscrowd"


def _recognise(root: Path) -> str | None:
    first = next((path for path in json_files(root) if like_coco(path)), None)
    return None if first is None else f"{listing.shown(first, root)} holds images, annotations and categories"


def _why_not(root: Path) -> str | None:
    for path in json_files(root):
        content = json_file.ends(path)
        there = [word for word in ("images", "annotations", "categories") if f'"{word}"'.encode() in content]
        if "annotations" in there and len(there) > 1:
            return (
                f"{listing.shown(path, root)} holds {listed(there)}, but COCO needs images, annotations and categories"
            )
    return None


class CocoSource(FileSource):
    """Images of COCO files."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "COCO")
        crowd = choice(options, "crowd", list(_CROWD))
        pattern = options.get("annotations")
        findings: list[Finding] = []
        self._documents = [read_document(path, root) for path in choose_files(root, pattern, findings)]
        self._crowd = self._crowds_meant(crowd, findings)
        self._labels = self._name_labels(findings)
        self._find_images(findings)
        if not self.images:
            raise DatasetError(
                f"none of the images that {self._documents[0].title} lists lie in {self.name}; put them there, "
                "under the names it gives them" + (f" ({findings[-1].message})" if findings else "")
            )
        self.findings = tuple(findings)

    def _crowds_meant(self, option: str, findings: list[Finding]) -> str:
        """What crowds are: as the option says, else ignored unless iscrowd tells no crowds."""
        drawn = sum(document.drawn for document in self._documents)
        crowds = sum(document.crowds for document in self._documents)
        masks = sum(document.masks for document in self._documents)
        meaning = option or ("class" if crowds in (masks, drawn) else "ignore")
        if option or meaning == "ignore":
            problem = (
                f"{crowds:,} annotations are crowds (iscrowd = 1): {_CROWD[meaning]}; the option crowd changes that"
            )
        else:
            problem = (_CVAT_MASKS if crowds == masks else _ALL_CROWDS).format(crowds)
        if crowds:
            findings.append(Finding.note("CROWDS", problem))
        return meaning

    def _name_labels(self, findings: list[Finding]) -> dict[str, int]:
        """Labels of all files, by name: the index of each."""
        names: dict[str, None] = {}
        above = {parent for document in self._documents for _, parent in document.categories.values()}
        for document in self._documents:
            if not document.categories:
                raise DatasetError(f"{document.title} has no categories; add them, with id and name")
            for unusual, count in document.unusual.items():
                if count and (unusual != _ONLY_CATEGORY or len(document.categories) == 1):
                    problem = f"{document.title}: {count:,} {'entries' if unusual == _TEXT_IDS else 'annotations'}"
                    findings.append(Finding.note("COCO-UNUSUAL", f"{problem} {unusual}"))
            counts = Counter(name for name, _ in document.categories.values())
            twice = [name for name, count in counts.items() if count > 1]
            if twice:
                problem = f"{document.title} gives the name {twice[0][:60]!r} to several categories; they are one label"
                findings.append(Finding.note("LABEL-TWICE", problem))
            for key, (name, _) in document.categories.items():
                if name in above and not (document.used[key] or document.used[name]) and len(document.categories) > 1:
                    problem = f"the category {name[:60]!r} only stands above others and has no annotation"
                    findings.append(Finding.note("LABEL-EMPTY", f"{problem}; it is left out"))
                else:
                    names[name] = None
        if len(names) + 1 > MAX_LABELS:
            raise DatasetError(f"there are {len(names):,} categories, allowed are {MAX_LABELS - 1:,}; leave some out")
        self.labels = tuple(label_named(name) for name in names)
        if self._crowd == "ignore" and any(document.crowds for document in self._documents):
            name = _CROWD_LABEL
            while name in names:
                name += "_"
            self.labels += (Label(name, role="ignore"),)
        self.exclusive = len(self.labels) == 1
        return {label.name: index for index, label in enumerate(self.labels)}

    def _find_images(self, findings: list[Finding]) -> None:
        """Set images, and where each of them stands in which files."""
        self._pictures = listing.PictureFiles(self.root)
        wanted = (
            ((document, key), name, _folders(document, self.root))
            for document in self._documents
            for key, (name, *_) in document.images.items()
        )
        stands = self._pictures.match(wanted, "the JSON", findings)
        lost = sum(document.lost for document in self._documents)
        if lost:
            problem = f"{lost:,} annotations belong to images that their file does not list, and are passed over"
            findings.append(Finding.warning("ANNOTATION-LOST", problem))
        self.images = listing.by_name(sorted(stands), self.root, findings)
        self._stands = {name: stands[path] for name, path in self.images.items()}
        self._extra = self._segment_files()
        self._sort()

    def _sort(self) -> None:
        """Set groups and splits."""
        named: dict[str, list[str]] = defaultdict(list)
        groups: dict[str, str] = {}
        for name, stands in self._stands.items():
            for split in dict.fromkeys(document.split for document, _ in stands if document.split is not None):
                named[split].append(name)
            document, key = stands[0]
            video = document.images[key][3]
            if isinstance(video, (int, str)) and len(str(video)) < 100 and str(video).isprintable():
                groups[name] = f"video {video}"
        self.groups = groups | splits.groups_of_copies(self._stands)
        self.splits = {split: tuple(named[split]) for split in SPLITS if split in named}

    def truth(self, name: str) -> Truth:
        """Pixels of every category, where its instances are united, and of crowds. Raises DatasetError, one line."""
        drawing = Drawing(self._size(name), len(self.labels))
        for document, annotation in self._annotations(name):
            where = f"annotation {printable(str(annotation.get('id', '?')))[:20]} of {name} ({document.title})"
            with drawing.shape(where):
                if isinstance(annotation.get("segments_info"), list):
                    self._draw_segments(annotation, document, drawing)
                elif not (is_crowd(annotation) and self._crowd == "drop"):
                    drawing.instance(annotation.get("segmentation") or [], self._label_of(annotation, document))
        return drawing.truth(name)

    def _draw_segments(self, annotation: dict[str, Any], document: Document, drawing: Drawing) -> None:
        """Segments of a panoptic picture, whose colours are ids; 0 is what nobody labelled."""
        path = self._segments_of(annotation, document)
        if path is None:
            name = str(annotation.get("file_name"))[-80:]
            raise DatasetError(f"its picture of segments, {name!r}, is not there; put it beside the JSON file")
        labels: dict[int, int | None] = {}
        for segment in annotation["segments_info"]:
            number = key_of(segment.get("id")) if isinstance(segment, dict) else None
            if not isinstance(number, int) or not 0 < number < 1 << 24:
                raise DatasetError("a segment has no id from 1 to 16,777,215; export it again")
            dropped = is_crowd(segment) and self._crowd == "drop"
            labels[number] = None if dropped else self._label_of(segment, document)
        drawing.segments(imageio.read_colors(path), labels)

    def _segments_of(self, annotation: dict[str, Any], document: Document) -> Path | None:
        """The picture of panoptic segments, in a folder called like the JSON file, as COCO has it."""
        name, stem = annotation.get("file_name"), document.path.stem
        beside = document.path.parent.relative_to(self.root).as_posix()
        places = (f"{beside}/{stem}", stem, f"panoptic/{stem}", beside)
        return self._pictures.at(name, places)[0] if isinstance(name, str) else None

    def _segment_files(self) -> tuple[Path, ...]:
        """Panoptic pictures of the images."""
        if not any(document.panoptic for document in self._documents):
            return ()
        every = (self._segments_of(row, document) for name in self.images for document, row in self._annotations(name))
        return tuple(dict.fromkeys(path for path in every if path is not None))

    def _annotations(self, name: str) -> Iterator[tuple[Document, dict[str, Any]]]:
        for document, key in self._stands[name]:
            places = document.places.get(key, array("q"))
            for annotation in json_file.pieces(document.path, zip(places[::2], places[1::2], strict=True)):
                if not isinstance(annotation, dict):
                    raise DatasetError(f"{document.title} has changed since it was opened; open it again")
                yield document, annotation

    def _size(self, name: str) -> Size:
        """Height and width of an image as its first file tells them, else as the picture has them.

        That is as stored where EXIF turns it and run lengths have that size.
        """
        rows = [document.images[key][1:3] for document, key in self._stands[name]]
        given = [row for row in rows if None not in row]
        if given:
            try:
                sizes = {polygons.checked_size(*row) for row in given}
            except DatasetError as error:
                raise DatasetError(f"image {name} in {self._stands[name][0][0].title}: {error}") from None
            if len(sizes) > 1:
                raise DatasetError(f"{name} has different sizes in different JSON files; correct its height and width")
            return sizes.pop()
        own, orientation = self.head(name)
        for _, annotation in self._annotations(name) if orientation > 4 else ():
            runs = annotation.get("segmentation")
            if isinstance(runs, dict) and runs.get("size") == list(own[::-1]):
                return own[::-1]
        return own

    def _label_of(self, annotation: Mapping[str, Any], document: Document) -> int:
        if is_crowd(annotation) and self._crowd == "ignore":
            return len(self.labels) - 1
        category = document.category_of(annotation.get("category_id"))
        label = None if category is None else self._labels.get(category[0])
        if label is None:
            raise UnknownLabelError("its category does not exist; add the category or correct it")
        return label

    def files(self) -> Iterable[Path]:
        """JSON files and pictures."""
        yield from (document.path for document in self._documents)
        yield from self.images.values()
        yield from self._extra


FORMAT = Format(
    "COCO JSON of images, annotations and categories, with folders of pictures",
    _recognise,
    CocoSource,
    {
        "crowd": "what regions with iscrowd = 1 are: ignore (their pixels do not count), class (like others) or drop",
        "annotations": "names of the JSON files to take, such as instances_*.json",
    },
    _why_not,
)
