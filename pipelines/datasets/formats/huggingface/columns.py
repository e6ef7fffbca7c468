"""Columns of Hugging Face data sets to those of pictures and of masks, and to names of the masks' values."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from pipelines.datasets import listing
from pipelines.datasets.formats import json_file
from pipelines.datasets.formats.huggingface.rows import holds_pictures, short, told
from pipelines.datasets.formats.masks.paired_names import Named, Names, distinct, find_names
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS

_IMAGES: Final = ("image", "images", "img", "picture", "photo", "pixel_values", "input", "rgb")
_MASKS: Final = (
    "mask", "masks", "label", "labels", "annotation", "annotations", "segmentation", "segmentation_mask", "seg",
    "semantic_segmentation", "semantic_mask", "seg_map", "label_map", "ground_truth", "groundtruth", "gt", "target",
)  # fmt: skip
_LIKE_MASKS: Final = ("mask", "seg", "label", "annot")


def choose(schema: pa.Schema, options: Mapping[str, str], path: Path) -> tuple[str, str]:
    """The columns of images and masks, as the options say or by their names. Raises DatasetError, one line."""
    with told(path):  # names need not be text
        names = list(schema.names)
        every = [name for name in names if names.count(name) == 1 and holds_pictures(schema.field(name).type)]
    some = [printable(name)[:40] for name in every[:10]]
    listed = ", ".join(some) or "none"
    asked = {key: options.get(key, "").strip() for key in ("image", "mask")}
    for key, name in asked.items():
        if name and (name not in every or "." in name):
            raise DatasetError(
                f"{short(path)} has no column {name[:60]!r} of pictures for {key}; such columns are {listed}"
            )
    open_ = [name for name in every if name not in asked.values() and "." not in name]
    image = asked["image"] or _first(open_, _IMAGES)
    mask = asked["mask"] or _first([name for name in open_ if name != image], _MASKS, like=_LIKE_MASKS)
    left = [name for name in open_ if name not in (image, mask)]
    image = image or (left[0] if mask and len(left) == 1 else "")
    mask = mask or (left[0] if asked["image"] and len(left) == 1 else "")
    if not image or not mask or image == mask:
        raise DatasetError(
            f"{short(path)} has no two columns that are known as image and mask; its columns of pictures are {listed}; "
            "name them with the options image and mask"
        )
    return image, mask


def _first(names: list[str], known: tuple[str, ...], like: tuple[str, ...] = ()) -> str:
    folded = {name.casefold(): name for name in reversed(names)}
    exact = next((folded[one] for one in known if one in folded), "")
    return exact or next((name for name in names if any(part in name.casefold() for part in like)), "")


def class_names(
    root: Path, schema: pa.Schema, mask: str, options: Mapping[str, str]
) -> tuple[Names | None, Path | None]:
    """Names of the mask's values, and the file they stand in beside the shards.

    From the option classes, from id2label.json, from a feature that names the mask's classes, or from a text file.
    Raises DatasetError, one line.
    """
    said = options.get("classes", "").strip()
    if said:
        names = [one.strip() for one in said.split(",")]
        if not all(0 < len(one) <= 200 for one in names) or len(names) > MAX_LABELS:
            raise DatasetError("classes must be names with commas between them, in the order of values from 0")
        return _names(names, Path("classes")), None
    path = listing.child(root, "id2label.json")
    if path is not None and path.is_file():
        return _id2label(path), path
    given = _feature_names(schema, mask)
    if given:
        return _names(given, Path("features")), None
    found = find_names(root, (), {})
    return found, None if found is None else found.path


def _features(schema: pa.Schema) -> dict[str, Any]:
    """What `datasets` notes about columns in the schema; {} where that is missing or broken."""
    noted = (schema.metadata or {}).get(b"huggingface", b"")
    try:
        found = json.loads(noted)["info"]["features"] if len(noted) < json_file.MAX_VALUE else {}
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _feature_names(schema: pa.Schema, mask: str) -> list[str]:
    """Names of a ClassLabel feature that belongs to the mask: of a list of classes, or called after the mask.

    A ClassLabel of the whole picture, such as its scene, names other things.
    """
    wanted = ("classes", "class_names", f"{mask}_classes", f"{mask}_names", f"{mask}_labels", f"{mask}_class")
    for column, feature in _features(schema).items():
        inner = feature.get("feature", feature) if isinstance(feature, dict) else feature
        names = inner.get("names") if isinstance(inner, dict) and inner.get("_type") == "ClassLabel" else None
        if column.casefold() in wanted and isinstance(names, list) and all(isinstance(one, str) for one in names):
            return names if 0 < len(names) <= MAX_LABELS and all(0 < len(one) <= 200 for one in names) else []
    return []


def _names(names: list[str], path: Path) -> Names:
    return Names(tuple(Named(name, value) for value, name in enumerate(distinct(names))), path)


def _id2label(path: Path) -> Names:
    rows = []
    for value, name in json_file.read_object(path).items():
        if (
            not (value.isascii() and value.isdecimal() and len(value) < 10)
            or not isinstance(name, str)
            or not 0 < len(name) <= 200
        ):
            raise DatasetError(f'{path.name} must give each value a name, such as {{"0": "wall"}}; correct it')
        rows.append((int(value), name))
    if not 0 < len(rows) <= MAX_LABELS:
        raise DatasetError(f"{path.name} names {len(rows):,} classes, expected 1 to {MAX_LABELS:,}; correct it")
    spoken = distinct(name for _, name in rows)
    return Names(tuple(Named(name, value) for (value, _), name in zip(rows, spoken, strict=True)), path)


def printable(text: str) -> str:
    """A text from a file for a message."""
    return text if text.isprintable() else repr(text)[1:-1]
