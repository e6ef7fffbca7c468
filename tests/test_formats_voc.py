"""Pascal VOC trees, read back beside torchvision's own reader."""

import numpy as np
import pytest
from make_dataset import picture, save
from mask_layouts import color_mask, save_image
from PIL import Image
from torchvision.datasets import VOCSegmentation

from pipelines.datasets.formats.voc import CLASSES, voc_color
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

YEAR = "VOCdevkit/VOC2012"


def palette() -> list[int]:
    """VOC's palette as its development kit computes it: three bits of the index at a time, most significant first."""
    flat = []
    for index in range(256):
        left, red, green, blue = index, 0, 0, 0
        for shift in range(7, -1, -1):
            red |= (left & 1) << shift
            green |= (left >> 1 & 1) << shift
            blue |= (left >> 2 & 1) << shift
            left >>= 3
        flat += [red, green, blue]
    return flat


def voc_mask(*values: int) -> Image.Image:
    """Rows of a palette image: two rows a value, the border (255) in the last one."""
    mask = np.full((2 * len(values) + 1, 8), 255, np.uint8)
    for index, value in enumerate(values):
        mask[2 * index : 2 * index + 2] = value
    image = Image.fromarray(mask)
    image.putpalette(palette())
    return image


@pytest.fixture
def tree(tmp_path):
    base = tmp_path / YEAR
    lists = {"train": range(6), "val": range(6, 9), "trainval": range(9), "test": range(9, 12)}
    for index in range(14):  # the last two have no mask, as most pictures of VOC
        save(base / "JPEGImages" / f"2007_{index:06}.jpg", picture(index, 7, 8), quality=95)
        if index < 12:
            mask = voc_mask(0, 15, 1 + index % 3)
            save_image(base / "SegmentationClass" / f"2007_{index:06}.png", mask)
            save_image(base / "SegmentationObject" / f"2007_{index:06}.png", voc_mask(0, 1, 2))
    for split, some in lists.items():
        path = base / "ImageSets" / "Segmentation" / f"{split}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"2007_{index:06}\n" for index in some))
    return tmp_path


def test_colours_of_the_palette_are_those_of_the_development_kit():
    flat = palette()
    assert [voc_color(index) for index in range(256)] == [
        "#{:02x}{:02x}{:02x}".format(*flat[3 * index : 3 * index + 3]) for index in range(256)
    ]
    assert voc_color(15) == "#c08080"  # person, (192, 128, 128)


@pytest.mark.parametrize("inside", [".", "VOCdevkit", YEAR])
def test_a_tree_is_found_from_each_of_its_folders(tree, inside):
    found = recognise(tree / inside)
    assert [one.format for one in found] == ["voc"]
    dataset = open_dataset(tree / inside)
    assert dataset.kind == "exclusive"
    assert dataset.classes == ("background", "aeroplane", "bicycle", "bird", "person")
    assert dataset.colors[4] == "#c08080"
    assert [len(dataset.images(split)) for split in ("train", "val", "test")] == [6, 3, 3]
    codes = [one.code for one in dataset.structure()]
    assert codes == ["PAIR-MISSING", "NAMES-GUESSED", "VALUE-IGNORED"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_torchvision_reads_the_same_pictures_and_labels(tree, split):
    other = VOCSegmentation(str(tree), year="2012", image_set=split)
    dataset = open_dataset(tree)
    assert len(other) == len(dataset.images(split))
    for index, name in enumerate(dataset.images(split)):
        image, target = other[index]
        item = dataset.read(name)
        np.testing.assert_allclose(item.image, np.asarray(image) / 255, atol=1e-6)
        values = np.asarray(target)
        assert (item.valid == (values != 255)).all()
        for layer, label in zip(item.truth, dataset.classes, strict=True):
            assert (layer == (values == CLASSES.index(label))).all()


def test_a_tree_with_its_own_classes_takes_their_names(tree):
    base = tree / YEAR
    (base / "classes.txt").write_text("\n".join(["nothing", *(f"kind {index}" for index in range(1, 21))]))
    labels = open_source(tree)[1].labels
    assert [one.name for one in labels if one.name in ("nothing", "kind 15")] == ["nothing", "kind 15"]
    assert labels[0].role == "background"


def test_values_of_another_palette_are_not_taken_for_vocs_classes(tree):
    base = tree / YEAR
    for path in (base / "SegmentationClass").iterdir():
        image = Image.open(path)
        image.putpalette([channel for index in range(256) for channel in (index, 255 - index, 7)])
        image.save(path)
    assert open_dataset(tree).classes == ("background", "class 1", "class 2", "class 3", "class 15")


def test_masks_in_colours_take_the_table_of_a_labelmap(tmp_path):
    # As CVAT exports "Segmentation mask 1.1": RGB masks, labelmap.txt, one list called default.
    for index in range(6):
        save(tmp_path / "JPEGImages" / f"{index}.png", picture(index))
        save(tmp_path / "SegmentationClass" / f"{index}.png", color_mask((250, 50, 83), (51, 221, 255)))
    (tmp_path / "labelmap.txt").write_text(
        "# label:color_rgb:parts:actions\nbackground:0,0,0::\ncar:250,50,83::\nroad surface:51,221,255::\n"
    )
    (tmp_path / "ImageSets" / "Segmentation").mkdir(parents=True)
    (tmp_path / "ImageSets" / "Segmentation" / "default.txt").write_text("0\n1\n2\n3\n4\n5\n")
    assert [one.format for one in recognise(tmp_path)] == ["voc"]
    dataset = open_dataset(tmp_path)
    assert (dataset.classes, dataset.background) == (("background", "car", "road surface"), "background")
    assert dataset.colors[1] == "#fa3253"
    assert dataset.read("0").truth.sum(axis=(1, 2)).tolist() == [16, 16, 16]


def test_palette_masks_of_a_labelmap_are_matched_by_colour(tmp_path):
    # The palette has them in an order of its own: 0 road, 1 car, 2 background.
    values = np.repeat(np.array([0, 1, 1, 2], np.uint8)[:, None], 8, axis=1)
    image = Image.fromarray(values)
    image.putpalette([51, 221, 255, 250, 50, 83, 0, 0, 0])
    for index in range(3):
        save(tmp_path / "JPEGImages" / f"{index}.png", picture(index, 4, 8))
        save_image(tmp_path / "SegmentationClass" / f"{index}.png", image)
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ncar:250,50,83::\nroad:51,221,255::\n")
    dataset = open_dataset(tmp_path)
    found = dict(zip(dataset.classes, dataset.read("0").truth.sum(axis=(1, 2)).tolist(), strict=True))
    assert found == {"background": 8, "car": 16, "road": 8}


def test_a_tree_without_pictures_says_what_is_missing(tree):
    for path in (tree / YEAR / "JPEGImages").iterdir():
        path.unlink()
    (tree / YEAR / "JPEGImages").rmdir()
    assert recognise(tree) == ()
    with pytest.raises(DatasetError, match="no folder JPEGImages; add the pictures"):
        open_source(tree, DataReading(format="voc"))
