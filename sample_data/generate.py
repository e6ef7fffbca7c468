"""A seed to the three sample data sets in this folder: landcover, cells and vessels.

Run `python -m sample_data.generate` from the repository root, or this file from anywhere. The folders are rewritten,
byte for byte the same with the same library versions.
"""

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

if __package__ in (None, ""):  # run as a file: make the sibling modules importable
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from sample_data import draw_cells, draw_landcover, draw_vessels

SEED: Final = 20240
HERE: Final = Path(__file__).resolve().parent
JPEG_QUALITY: Final = 90
COUNTS: Final = {"train": 60, "val": 20, "test": 40}  # images

TOML: Final = {
    "landcover": f"""\
name = "Land cover (generated)"
kind = "exclusive"
classes = ["soil", "field", "forest", "water", "road", "building"]
colors = ["#c8a05a", "#b8d64a", "#117733", "#88ccee", "#999999", "#cc6677"]
ignore_index = {draw_landcover.IGNORED}
""",
    "cells": """\
name = "Stained cells (generated)"
kind = "overlapping"
classes = ["cell", "nucleus", "fibre"]
colors = ["#cc79a7", "#332288", "#e69f00"]
""",
    "vessels": """\
name = "Retinal vessels (generated)"
kind = "binary"
classes = ["vessel"]
colors = ["#aa4499"]
""",
}


@dataclass(frozen=True)
class Sample:
    """One image and what goes with it. layers: path below the data set's folder to 8-bit values, (H, W)."""

    name: str
    image: NDArray[np.uint8]
    layers: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    group: str | None = None


def samples(dataset: str, split: str, count: int) -> Iterator[Sample]:
    """The first `count` images of a split. Each depends on the seed and its own number only."""
    part = list(COUNTS).index(split)
    if dataset == "landcover":
        for scene in range(-(-count // draw_landcover.TILES)):
            tiles = draw_landcover.draw_landcover(_random(dataset, part, scene))
            for tile, (image, mask) in enumerate(tiles[: count - scene * draw_landcover.TILES]):
                name = f"{split}_{scene:02d}{'abcd'[tile]}"
                yield Sample(name, image, {f"masks/{name}.png": mask}, group=f"{split}_scene_{scene:02d}")
        return
    for index in range(count):
        name = f"{split}_{index:03d}"
        if dataset == "vessels":
            image, mask = draw_vessels.draw_vessels(_random(dataset, part, index))
            yield Sample(name, image, {f"masks/{name}.png": mask})
        else:
            hand = _random("hand", part, index // 2)  # two images share a hand, read in opposite ways
            cells = draw_cells.draw_cells(_random(dataset, part, index), hand, opposite=index % 2 == 1)
            layers = {}
            for one, probs, truth in zip(draw_cells.CLASSES, cells.probs, cells.truth, strict=True):
                layers[f"masks/{one}/{name}.png"] = truth.astype(np.uint8) * np.uint8(255)
                layers[f"probabilities/{one}/{name}.png"] = probs
            yield Sample(name, cells.image, layers)


def _random(purpose: str, part: int, index: int) -> np.random.Generator:
    return np.random.default_rng([SEED, [*TOML, "hand"].index(purpose), part, index])


def write(dataset: str, root: Path, *, counts: dict[str, int] = COUNTS) -> None:
    """Write one data set into the folder root, which must not exist. counts: images by split."""
    (root / "splits").mkdir(parents=True)
    (root / "dataset.toml").write_text(TOML[dataset], encoding="utf-8", newline="\n")
    groups = ["image,group"]
    for split, count in counts.items():
        names = []
        for sample in samples(dataset, split, count):
            _write_sample(root, sample)
            names.append(sample.name)
            if sample.group is not None:
                groups.append(f"{sample.name},{sample.group}")
        (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n", encoding="utf-8", newline="\n")
    if len(groups) > 1:
        (root / "groups.csv").write_text("\n".join(groups) + "\n", encoding="utf-8", newline="\n")


def _write_sample(root: Path, sample: Sample) -> None:
    picture = root / "images" / f"{sample.name}.jpg"
    picture.parent.mkdir(exist_ok=True)
    Image.fromarray(sample.image).save(picture, quality=JPEG_QUALITY, subsampling="4:4:4", optimize=True)
    for where, values in sample.layers.items():
        path = root / where
        path.parent.mkdir(parents=True, exist_ok=True)
        # A layer of 0 and 255 takes one bit a pixel, which reads back as 0 and 1.
        two_valued = not np.isin(values, (0, 255), invert=True).any() and where.startswith("masks/")
        layer = Image.fromarray(values)
        (layer.convert("1", dither=Image.Dither.NONE) if two_valued else layer).save(path, optimize=True)


def main() -> None:
    """Rewrite the three folders beside this file."""
    for dataset in TOML:
        root = HERE / dataset
        if root.exists():
            shutil.rmtree(root)
        write(dataset, root)
        size = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        print(f"{dataset}: {sum(COUNTS.values())} images, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
