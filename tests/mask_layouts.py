"""Data sets of pictures and mask images on disk in the layouts that people use, for the tests that read them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from make_dataset import picture, save
from PIL import Image

COUNT = 12
RED, GREEN = (255, 0, 0), (0, 255, 0)


def index_mask(*values: int) -> np.ndarray:
    """6×8 pixels: rows 0-1 hold the first value, 2-3 the second, 4 the third, 5 is 0; fewer values repeat the last."""
    some = [*values, *[values[-1]] * (3 - len(values))]
    return np.repeat(np.array([some[0], some[0], some[1], some[1], some[2], 0], np.uint8)[:, None], 8, axis=1)


def color_mask(first=RED, second=GREEN, rest=(0, 0, 0)) -> np.ndarray:
    """6×8 pixels: rows 0-1 of the first colour, 2-3 of the second, 4-5 of the rest."""
    mask = np.empty((6, 8, 3), np.uint8)
    mask[:2], mask[2:4], mask[4:] = first, second, rest
    return mask


def rows(first: int, last: int, value: int = 255) -> np.ndarray:
    """6×8 pixels with a value in some rows, 0 elsewhere."""
    mask = np.zeros((6, 8), np.uint8)
    mask[first : last + 1] = value
    return mask


def with_palette(values: np.ndarray, *colors: tuple[int, int, int]) -> Image.Image:
    image = Image.fromarray(values)
    image.putpalette([channel for color in colors for channel in color])
    return image


def save_image(path: Path, image: Image.Image, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def _pairs(image: str, mask: str) -> Callable[[Path], None]:
    def write(root: Path) -> None:
        for index in range(COUNT):
            split = "train" if index < 8 else "val"
            said = {"i": index, "split": split, "long": {"train": "training", "val": "validation"}[split]}
            save(root / image.format(**said), picture(index))
            save(root / mask.format(**said), index_mask(1, 2))

    return write


ONE_MASK: dict[str, Callable[[Path], None]] = {
    "side by side": _pairs("images/{i:03}.jpg", "masks/{i:03}.png"),
    "labels": _pairs("imgs/{i:03}.png", "Labels/{i:03}.png"),
    "pictures at the top": _pairs("{i:03}.jpg", "annotations/{i:03}.png"),
    "split folders above": _pairs("{split}/images/{i:03}.jpg", "{split}/masks/{i:03}.png"),
    "split folders below": _pairs("images/{long}/{i:03}.jpg", "annotations/{long}/{i:03}.png"),
    "split folders of pictures alone": _pairs("images/{split}/{i:03}.jpg", "masks/{i:03}.png"),
    "compound folders": _pairs("{split}_images/{i:03}.jpg", "{split}_masks/{i:03}.png"),
    "camvid folders": _pairs("{split}/{i:03}.png", "{split}annot/{i:03}.png"),
    "cvat's camvid folders": _pairs("default/{i:03}.png", "defaultannot/{i:03}.png"),
    "glued words": _pairs("{split}images/{i:03}.png", "{split}masks/{i:03}.png"),
    "one folder with suffixes": _pairs("img_{i}.png", "img_{i}_mask.png"),
    "one folder with jpg and png": _pairs("{i}.jpg", "{i}.png"),
    "sat and mask": _pairs("{split}/{i}_sat.jpg", "{split}/{i}_mask.png"),
    "suffix in a folder": _pairs("images/ISIC_{i}.jpg", "masks/ISIC_{i}_segmentation.png"),
    "prefixes": _pairs("images/image_{i}.jpg", "masks/mask_{i}.png"),
    "words glued to numbers": _pairs("images/img{i}.jpg", "masks/mask{i}.png"),
    "cityscapes": _pairs(
        "leftImg8bit/{split}/ulm/ulm_{i:03}_leftImg8bit.png", "gtFine/{split}/ulm/ulm_{i:03}_gtFine_labelIds.png"
    ),
}


def _classes(*masks: str, image: str = "images/p{i}.jpg") -> Callable[[Path], None]:
    """Pictures with a mask in rows 0-3 for the first file and in rows 3-5 for the second."""

    def write(root: Path) -> None:
        for index in range(COUNT):
            save(root / image.format(i=index), picture(index))
            for mask, some in zip(masks, (rows(0, 3), rows(3, 5)), strict=True):
                save(root / mask.format(i=index), some)

    return write


PER_CLASS: dict[str, Callable[[Path], None]] = {
    "folders by class": _classes("masks/cell/p{i}.png", "masks/nucleus/p{i}.png"),
    "folders beside the pictures": _classes("cell/p{i}.png", "nucleus/p{i}.png"),
    "suffixes": _classes("masks/p{i}_cell.png", "masks/p{i}_nucleus.png"),
    "suffixes and a word": _classes("masks/p{i}_cell_mask.png", "masks/p{i}_nucleus_mask.png"),
    "folders by picture": _classes("masks/p{i}/cell.png", "masks/p{i}/nucleus.png"),
    "one folder": _classes("p{i}_cell.png", "p{i}_nucleus.png", image="p{i}.png"),
    "compound folders": _classes("cell_masks/p{i}.png", "nucleus_masks/p{i}.png"),
}

INSTANCES: dict[str, Callable[[Path], None]] = {
    "picture, class, number": _classes("masks/p{i}/cell/1.png", "masks/p{i}/cell/2.png"),
    "class, picture and number": _classes("masks/cell/p{i}_1.png", "masks/cell/p{i}_2.png"),
    "class, picture, number": _classes("masks/cell/p{i}/1.png", "masks/cell/p{i}/2.png"),
}


def data_science_bowl(root: Path) -> None:
    """<id>/images/<id>.png and <id>/masks/<another id>.png, several a picture, as in DSB 2018."""
    for index in range(COUNT):
        name = f"{index * 7919 + 4096:08x}"
        save(root / "stage1_train" / name / "images" / f"{name}.png", picture(index))
        for number in range(3):
            other = f"{(index * 31 + number) * 104729 + 77:08x}"
            save(root / "stage1_train" / name / "masks" / f"{other}.png", rows(number, number))


def _indexed(root: Path) -> None:
    for index in range(3):
        save(root / "images" / f"{index}.png", picture(index))
        mask = with_palette(index_mask(1, 2, 255), (0, 0, 0), (255, 0, 0), (0, 255, 0))
        save_image(root / "masks" / f"{index}.png", mask)
    (root / "classes.txt").write_text("0 soil\n1 grass\n2 tree\n")
    (root / "train.txt").write_text("0\n1\n")


def _colored(root: Path) -> None:
    for index in range(3):
        save(root / "images" / f"{index}.jpg", picture(index))
        save(root / "masks" / f"{index}.png", color_mask())
    (root / "class_dict.csv").write_text("name,r,g,b\nroad,255,0,0\ntree,0,255,0\n")


def _per_class(root: Path) -> None:
    for index in range(3):
        save(root / "images" / f"p{index}.bmp", picture(index))
        save(root / "masks" / "cell" / f"p{index}.png", rows(0, 3))
        save(root / "masks" / "nucleus" / f"p{index}.bmp", rows(3, 5))


def _instances(root: Path) -> None:
    for index in range(3):
        save(root / "images" / f"p{index}.webp", picture(index))
        for number in range(2):
            save(root / "masks" / f"p{index}" / "cell" / f"{number}.png", rows(number, number))


def _voc(root: Path) -> None:
    for index in range(3):
        save(root / "JPEGImages" / f"{index}.jpg", picture(index))
        save_image(
            root / "SegmentationClass" / f"{index}.png",
            with_palette(index_mask(1, 2), (0, 0, 0), (128, 0, 0), (0, 128, 0)),
        )
    (root / "ImageSets" / "Segmentation").mkdir(parents=True)
    (root / "ImageSets" / "Segmentation" / "train.txt").write_text("0\n1\n")
    (root / "labelmap.txt").write_text("background:0,0,0::\ncar:128,0,0::\nroad:0,128,0::\n")


def _tiff(root: Path) -> None:
    compressions = [None, "deflate", "lzw"]
    for index, compression in enumerate(compressions):
        (root / "images").mkdir(parents=True, exist_ok=True)
        (root / "masks").mkdir(parents=True, exist_ok=True)
        values = np.random.default_rng(index).integers(0, 65536, (6, 8, 5)).astype(np.uint16)
        tifffile.imwrite(root / "images" / f"{index}.tif", values, planarconfig="contig", compression=compression)
        layers = np.stack([rows(0, 3), rows(3, 5)])
        tifffile.imwrite(
            root / "masks" / f"{index}.tif", layers, photometric="minisblack", planarconfig="separate",
            compression=compression, bigtiff=index == 2,
        )  # fmt: skip


# A small folder in each format.
FOLDERS: dict[str, Callable[[Path], None]] = {
    "indexed": _indexed,
    "colored": _colored,
    "per_class": _per_class,
    "instances": _instances,
    "voc": _voc,
    "tiff": _tiff,
}
