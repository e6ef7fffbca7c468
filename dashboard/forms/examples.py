"""Files of validation examples to small pictures: the image, its truth, and what each head says of it."""

import io
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import pyarrow as pa
from PIL import Image

from dashboard.pictures import label_picture, png
from dashboard.theme import HEAD_SHORT
from pipelines.arrays import UInt8Array
from pipelines.errors import RunError
from pipelines.layouts import EXAMPLES_SCHEMA
from pipelines.schema import HEADS
from pipelines.store import files

_FILE: Final = re.compile(r"seed=(\d+)-epoch=(\d+)\.parquet")
_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_MOST_CLASSES: Final = 64
_SIDE: Final = 256  # pixels at most: what is larger is none of our files


class Shown(NamedTuple):
    """One picture. title: what it shows; picture: a PNG file."""

    title: str
    picture: bytes


class Row(NamedTuple):
    """One image: itself, its truth and each head's decisions, left to right."""

    image: str
    pictures: tuple[Shown, ...]


class Examples(NamedTuple):
    """The examples of one epoch, with the classes and their colours."""

    rows: tuple[Row, ...]
    classes: tuple[str, ...]
    colors: tuple[str, ...]


def available(paths: Sequence[Path]) -> dict[int, dict[int, Path]]:
    """Files by seed and epoch."""
    found: dict[int, dict[int, Path]] = {}
    for path in paths:
        match = _FILE.fullmatch(path.name)
        if match is not None:
            found.setdefault(int(match[1]), {})[int(match[2])] = path
    return {seed: dict(sorted(of_seed.items())) for seed, of_seed in sorted(found.items())}


def read_examples(path: Path) -> Examples | None:
    """Pictures of one file; None when it has gone or is damaged."""
    try:
        table = files.read_table(path)
        if not table.schema.equals(EXAMPLES_SCHEMA):
            return None
        about = table.schema.metadata or {}
        classes = tuple(about[b"classes"].decode().split("\n"))
        colors = tuple(about[b"colors"].decode().split("\n"))
        fit = len(classes) == len(colors) <= _MOST_CLASSES and all(map(_COLOR.fullmatch, colors))
        if not fit:
            return None
        background = about.get(b"background", b"").decode()
        drawn = [at for at, name in enumerate(classes) if name != background]
        return Examples(
            tuple(_rows(table, len(classes), drawn, colors)),
            tuple(classes[at] for at in drawn),
            tuple(colors[at] for at in drawn),
        )
    except (RunError, OSError, ValueError, KeyError):
        return None


def _rows(table: pa.Table, classes: int, drawn: Sequence[int], colors: Sequence[str]) -> list[Row]:
    by_image: dict[str, dict[str, dict[str, object]]] = {}
    for entry in table.to_pylist():
        by_image.setdefault(entry["image"], {})[entry["shows"]] = entry
    rows = []
    for image, shows in by_image.items():
        truth = shows.get("truth")
        if truth is None:
            continue
        picture = _picture(truth)
        made = [Shown("Image", png(picture)), Shown("Truth", _labels(picture, truth, classes, drawn, colors))]
        made += [
            Shown(HEAD_SHORT[head], _labels(picture, shows[head], classes, drawn, colors))
            for head in HEADS
            if head in shows
        ]
        rows.append(Row(image, tuple(made)))
    return rows


def _picture(entry: dict[str, object]) -> UInt8Array:
    with Image.open(io.BytesIO(entry["jpeg"]), formats=["JPEG"]) as opened:  # type: ignore[arg-type]
        if opened.size != (entry["width"], entry["height"]) or max(opened.size) > _SIDE:
            raise ValueError("not the picture of these labels")
        return np.asarray(opened.convert("RGB"))


def _labels(
    picture: UInt8Array, entry: dict[str, object], classes: int, drawn: Sequence[int], colors: Sequence[str]
) -> bytes:
    height, width = picture.shape[:2]
    bits = np.unpackbits(np.frombuffer(entry["labels"], np.uint8))  # type: ignore[call-overload]
    planes = bits[: classes * height * width].reshape(classes, height, width).astype(np.bool_)
    everywhere = np.ones((height, width), np.bool_)
    shown = label_picture(picture, planes[list(drawn)], [colors[at] for at in drawn], valid=everywhere, outlines=False)
    factor = shown.shape[0] // height
    return png(shown[::factor, ::factor])
