"""Small data sets on disk, written file by file, for the tests that read them."""

from pathlib import Path

import numpy as np
from PIL import Image

EXCLUSIVE = 'name = "Small"\nkind = "exclusive"\nclasses = ["grass", "tree", "lake"]\nignore_index = 9\n'
OVERLAPPING = 'name = "Small"\nkind = "overlapping"\nclasses = ["cell", "nucleus"]\n'
BINARY = 'name = "Small"\nkind = "binary"\nclasses = ["vessel"]\n'


def save(path: Path, values, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(values)).save(path, **options)
    return path


def picture(seed: int, height: int = 6, width: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def exclusive(root: Path, *, images: int = 12, toml: str = EXCLUSIVE) -> Path:
    """12 images of 8×6: rows 0-1 grass, 2-3 tree, 4 lake, 5 ignored; 8 train, 2 val, 2 test."""
    mask = np.repeat(np.array([0, 0, 1, 1, 2, 9], np.uint8)[:, None], 8, axis=1)
    names = [f"im{index:02d}" for index in range(images)]
    for index, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(index))
        save(root / "masks" / f"{name}.png", mask)
    return tables(root, toml, {"train": names[:-4], "val": names[-4:-2], "test": names[-2:]})


def overlapping(root: Path, *, images: int = 12) -> Path:
    """Cell covers rows 0-3 (32 pixels), nucleus columns 0-1 of rows 2-3 (4 pixels, all inside)."""
    cell, nucleus = np.zeros((6, 8), np.uint8), np.zeros((6, 8), np.uint8)
    cell[:4], nucleus[2:4, :2] = 255, 255
    names = [f"im{index:02d}" for index in range(images)]
    for index, name in enumerate(names):
        save(root / "images" / f"{name}.png", picture(index))
        save(root / "masks" / "cell" / f"{name}.png", cell)
        save(root / "masks" / "nucleus" / f"{name}.png", nucleus)
    return tables(root, OVERLAPPING, {"train": names[:-4], "val": names[-4:-2], "test": names[-2:]})


def tables(root: Path, toml: str, splits: dict[str, list[str]] | None) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    (root / "dataset.toml").write_text(toml)
    if splits is not None:
        (root / "splits").mkdir(exist_ok=True)
        for split, names in splits.items():
            (root / "splits" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root
