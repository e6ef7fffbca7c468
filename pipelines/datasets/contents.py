"""What a folder holds, in words, where no format knows it: files by endings, files of annotations by kind."""

import csv
import re
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Final

from pipelines.datasets import imageio, listing
from pipelines.datasets.formats import json_file
from pipelines.sentences import count_of, first_of, listed, printable

_MOST: Final = 5000  # files that are counted
_NAMED: Final = 6  # endings, keys and columns that are named
_EXAMPLES: Final = 3  # files of one ending that are looked at, and kinds that are told
_HEAD: Final = 1 << 14
_LONGEST: Final = 40  # of a key or a column

# Whose a JSON file is, by words that its first or last bytes hold; the first that fits.
_JSON: Final = {
    "COCO's": (b'"images"', b'"annotations"', b'"categories"'),
    "labelme's": (b'"shapes"', b'"imagePath"'),
    "the VGG Image Annotator's": (b'"regions"', b'"region_attributes"'),
    "Supervisely's": (b'"objects"', b'"classTitle"'),
    "Label Studio's": (b'"from_name"',),
    "Cityscapes' polygons": (b'"imgHeight"', b'"polygon"'),
    "nnU-Net's": (b'"labels"', b'"numTraining"'),
    "GeoJSON": (b'"FeatureCollection"',),
}
_XML: Final = {  # by its outermost element
    "annotations": "CVAT's",
    "annotation": "Pascal VOC's, of boxes",
    "ASAP_Annotations": "ASAP's",
    "Annotations": "Aperio ImageScope's",
}
_ENDINGS: Final = {
    **dict.fromkeys((".dcm", ".ima"), "DICOM"),
    **dict.fromkeys((".nii", ".nii.gz", ".mha", ".mhd", ".nrrd"), "a volume"),
    **dict.fromkeys((".npy", ".npz", ".h5", ".hdf5", ".mat"), "a file of arrays"),
    **dict.fromkeys((".svs", ".ndpi", ".mrxs", ".scn"), "a slide"),
    **dict.fromkeys((".zip", ".tar", ".gz", ".tgz", ".rar", ".7z"), "an archive, which must be unpacked"),
}
_ELEMENT: Final = re.compile(r"<([A-Za-z_][\w.-]{0,40})[\s/>]")
_KEY: Final = re.compile(rb'"([^"\\]{1,40})"\s*:')
_NUMBERS: Final = re.compile(r"\d{1,5}( -?\d{0,9}\.?\d{1,20}(e-?\d{1,3})?){3,}\s*", re.IGNORECASE)


def summary(root: Path) -> str:
    """Files by ending, in how many folders they lie, and the kinds of some that may hold annotations.

    Such as "12 .jpg and 1 .csv in 2 folders; labels.csv is a table with the columns image, x, y".
    """
    endings: Counter[str] = Counter()
    folders: set[Path] = set()
    kinds: dict[str, str] = {}
    files = list(islice(listing.walk(root), _MOST + 1))
    for path in files[:_MOST]:
        ending = _ending(path)
        endings[ending] += 1
        folders.add(path.parent)
        if endings[ending] <= _EXAMPLES and ending not in imageio.IMAGE_SUFFIXES:
            kind = _kind(path, ending)
            if kind is not None:
                kinds.setdefault(kind, f"{listing.shown(path, root)} is {kind}")
    if not files:
        return "nothing"
    counts = [f"{count:,} {ending or 'without ending'}" for ending, count in endings.most_common(_NAMED)]
    others = endings.total() - sum(count for _, count in endings.most_common(_NAMED))
    counts += [f"{others:,} others"] if others else []
    more = "at least " if len(files) > _MOST else ""
    where = "" if folders == {root} else f" in {count_of(len(folders), 'folder')}"
    return "; ".join([f"{more}{listed(counts)}{where}", *islice(kinds.values(), _EXAMPLES)])


def _ending(path: Path) -> str:
    name = path.name.lower()
    return ".nii.gz" if name.endswith(".nii.gz") else printable(path.suffix.lower()[:12])


def _kind(path: Path, ending: str) -> str | None:
    """What kind of file one is, by its first bytes; None where that says nothing."""
    if ending in (".json", ".geojson"):
        return _kind_of_json(json_file.ends(path) or json_file.ends(path, b"["))
    if ending not in (".xml", ".csv", ".tsv", ".txt"):
        return _ENDINGS.get(ending)
    try:
        with path.open("rb") as file:
            head = file.read(_HEAD).decode("utf-8-sig", errors="replace")
    except OSError:
        return None
    if ending == ".xml":
        element = _ELEMENT.search(head)
        return None if element is None else f"XML ({_XML.get(element[1], f'<{element[1]}>')})"
    lines = head.splitlines()[:10]
    if ending == ".txt":
        numbers = bool(lines) and all(map(_NUMBERS.fullmatch, lines))
        return "lines of a class and coordinates" if numbers else None
    return _kind_of_table(lines)


def _kind_of_json(content: bytes) -> str:
    whose = next((whose for whose, words in _JSON.items() if all(word in content for word in words)), None)
    if whose is not None:
        return f"JSON ({whose})"
    keys = dict.fromkeys(printable(key.decode(errors="replace")) for key in _KEY.findall(content[:_HEAD]))
    return f"JSON with the keys {first_of(list(keys), _NAMED)}" if keys else "JSON without keys, or damaged"


def _kind_of_table(lines: list[str]) -> str | None:
    if not lines:
        return "an empty table"
    try:
        columns = next(csv.reader(lines[:1], delimiter=max(",;\t", key=lines[0].count)), [])
    except csv.Error:
        return None
    return f"a table with the columns {first_of([printable(column[:_LONGEST]) for column in columns], _NAMED)}"
