"""Splits that a data set gives hold: none is lost, reshuffled or completed without a word."""

import json

import numpy as np
import pytest
from make_dataset import exclusive, picture, save
from mask_layouts import index_mask, rows
from places import shared_cases

from pipelines.datasets import splits
from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset, recognised_text
from pipelines.datasets.splits import complete_splits
from pipelines.reading import DataReading, SplitRule
from pipelines.schema import SPLITS

# Mask value by split: a mask of another split would show.
VALUES = {"train": 1, "val": 2, "test": 3}
SAME_NAMES = {
    "words, split above": ("{split}/images/image_{i}.png", "{split}/masks/mask_{i}.png"),
    "words, split below": ("images/{split}/img_{i}.jpg", "labels/{split}/label_{i}.png"),
    "suffixes": ("images/{split}/{i}_img.png", "masks/{split}/{i}_mask.png"),
    "words glued to numbers": ("{split}/images/img{i}.png", "{split}/masks/mask{i}.png"),
    "deeper": ("data/v1/{split}/images/image_{i}.png", "data/v1/{split}/masks/mask_{i}.png"),
    "years": ("images/{split}2017/{i}.jpg", "annotations/{split}2017/{i}.png"),
    "names of data sets": ("{split}Dataset/image/{i}.png", "{split}Dataset/masks/{i}.png"),
    "split named by the masks alone": ("images/{split}_{i}.png", "masks/{split}/{split}_{i}.png"),
}


def codes(dataset) -> list[str]:
    return [finding.code for finding in dataset.structure()]


def messages(dataset, code) -> list[str]:
    return [finding.message for finding in dataset.structure() if finding.code == code]


def sizes(dataset) -> list[int]:
    return [len(dataset.images(split)) for split in SPLITS]


def write(root, image, mask, splits=SPLITS, count=4):
    for at, split in enumerate(splits):
        for index in range(count):
            said = {"split": split, "i": index}
            save(root / image.format(**said), picture(10 * at + index))
            save(root / mask.format(**said), rows(0, 1, VALUES[split]))
    return root


@pytest.mark.parametrize("layout", SAME_NAMES)
def test_a_picture_has_the_mask_of_its_own_split(tmp_path, layout):
    dataset = open_dataset(write(tmp_path, *SAME_NAMES[layout]))
    assert sizes(dataset) == [4, 4, 4]
    assert dataset.classes == ("background", "class 1", "class 2", "class 3")
    for split in SPLITS:
        for name in dataset.images(split):
            wanted = [32, 0, 0, 0]  # rows 2-5 of 8 pixels are background
            wanted[VALUES[split]] = 16  # rows 0-1 carry the split's value
            assert dataset.read(name).truth.sum(axis=(1, 2)).tolist() == wanted
    assert codes(dataset) == []
    assert recognised_text(dataset).endswith("; splits as the data set gives them: train 4, val 4, test 4")


@pytest.mark.parametrize("case", ["samename_words_tt", "samename_words_tvt", "samename_suffix"])
@pytest.mark.skipif(not shared_cases().is_dir(), reason="the cases beside the checkout are not there")
def test_counts_of_sets_with_equal_names_in_every_split(case):
    expected = json.loads((shared_cases() / case / "expect.json").read_text())
    report = check_dataset(open_dataset(shared_cases() / case / "data"))
    assert report.images == expected["images"]
    assert [facts.pixels for facts in report.class_facts] == list(expected["counts"].values())
    given = {"samename_words_tt": (None, None, 6), "samename_words_tvt": (6, 6, 6), "samename_suffix": (6, None, None)}
    for split, images in zip(report.splits, given[case], strict=True):
        assert images in (None, split.images)


def test_a_mask_of_one_split_belongs_to_no_picture_of_another(tmp_path):
    write(tmp_path, "{split}/images/image_{i}.png", "{split}/masks/mask_{i}.png", ("train", "test"))
    (tmp_path / "test" / "images" / "image_2.png").unlink()
    dataset = open_dataset(tmp_path)
    assert dataset.read("train__images__image_0").truth.sum(axis=(1, 2)).tolist() == [32, 16, 0]
    assert messages(dataset, "PAIR-MISSING") == [
        "1 masks belong to no picture and are left out, such as test/masks/mask_2.png; add the pictures"
    ]
    assert len(dataset.images("test")) == 3


def test_a_mask_outside_of_the_splits_belongs_to_none_of_two_pictures_of_its_name(tmp_path):
    write(tmp_path, "{split}/images/{i}.png", "{split}/masks/{i}.png", ("train", "test"))
    save(tmp_path / "train" / "images" / "x.png", picture(50))
    save(tmp_path / "test" / "images" / "x.png", picture(51))
    save(tmp_path / "masks" / "x.png", rows(0, 1))
    dataset = open_dataset(tmp_path)
    assert not [name for name in dataset.names() if name.endswith("x")]
    assert len(messages(dataset, "PAIR-MISSING")) == 2  # pictures without a mask, a mask without a picture


def with_lists(root, **lists):
    for index in range(10):
        save(root / "images" / f"i{index}.png", picture(index))
        save(root / "masks" / f"i{index}.png", index_mask(1, 2))
        save(root / "fov" / f"i{index}.png", np.full((6, 8), 255, np.uint8))
    for name, members in lists.items():
        path = root / "splits" / f"{name}.txt"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(f"{member}\n" for member in members))
    return root


LISTS = {"train": ["i0", "i1", "i2"], "val": ["i3", "i4"], "test": ["i5", "i6", "i7", "i8", "i9"]}


def test_the_option_masks_keeps_the_splits(tmp_path):
    root = with_lists(tmp_path, **LISTS)
    for options in ({}, {"masks": "masks"}, {"images": "images", "masks": "masks"}):
        dataset = open_dataset(root, DataReading(options=options))
        assert {split: list(dataset.images(split)) for split in SPLITS} == LISTS
        assert "SPLIT-MADE" not in codes(dataset)


def test_images_that_the_lists_leave_out_stay_out_and_are_named(tmp_path):
    report = check_dataset(open_dataset(with_lists(tmp_path, **LISTS | {"test": LISTS["test"][:3]})))
    assert [split.images for split in report.splits] == [3, 2, 3]
    unused = [finding.message for finding in report.findings if finding.code == "SPLIT-NONE"]
    assert [message.split()[0] for message in unused] == ["i8", "i9"]


def test_lines_that_name_no_image_are_counted(tmp_path):
    dataset = open_dataset(with_lists(tmp_path, **LISTS | {"val": ["i3", "gone", "i4", "lost"]}))
    assert sizes(dataset) == [3, 2, 5]
    assert messages(dataset, "SPLIT-ABSENT") == [
        "val.txt names 4 images of which 2 are not here with a mask, such as 'gone': correct the list"
    ]


def test_a_list_that_names_nothing_is_no_split_and_that_is_said(tmp_path):
    dataset = open_dataset(with_lists(tmp_path, **LISTS | {"val": ["gone"]}))
    assert messages(dataset, "SPLIT-ABSENT") == [
        "val.txt names 1 images of which 1 are not here with a mask, such as 'gone'; so it gives no val split: "
        "correct the list"
    ]
    assert list(dataset.images("test")) == LISTS["test"]
    assert "the data set gives train (3) and test (5) alone; it has no val" in recognised_text(dataset)


@pytest.mark.parametrize("names", ["{split}", "{split}_list", "{split}_ids"])
@pytest.mark.parametrize("long", [{}, {"val": "validation"}, {"train": "training", "val": "valid", "test": "testing"}])
def test_lists_have_many_names(tmp_path, names, long):
    root = with_lists(tmp_path, **{names.format(split=long.get(split, split)): LISTS[split] for split in SPLITS})
    (root / "splits" / "test_results.txt").write_text("0.9\n")  # no list
    dataset = open_dataset(root)
    assert {split: list(dataset.images(split)) for split in SPLITS} == LISTS
    assert codes(dataset) == ["FIELD-OF-VIEW"]


@pytest.mark.parametrize("line", ["{i}", "{i}.png", "{split}/images/{i}.png", "/home/me/set/{split}/images/{i}.png",
                                  "{split}/images/{i}.png {split}/masks/{i}.png"])  # fmt: skip
def test_lists_tell_pictures_of_one_name_apart(tmp_path, line):
    root = write(tmp_path / "top", "{split}/images/{i}.png", "{split}/masks/{i}.png")
    for split in SPLITS:
        (root / f"{split}.txt").write_text("".join(line.format(split=split, i=index) + "\n" for index in range(3)))
    for place in (root, tmp_path):  # also where an archive has one folder at its top
        dataset = open_dataset(place)
        assert sizes(dataset) == [3, 3, 3]  # without the fourth, which no list names
        for split in SPLITS:
            assert all(f"{split}__images" in name for name in dataset.images(split))


def test_a_split_folder_without_a_list_counts_beside_the_lists(tmp_path):
    write(tmp_path, "images/{split}/{split}{i}.png", "masks/{split}/{split}{i}.png", ("train", "test"))
    (tmp_path / "train.txt").write_text("train0\ntrain1\n")
    (tmp_path / "val.txt").write_text("train2\n")
    assert sizes(open_dataset(tmp_path)) == [2, 1, 4]


def test_names_of_images_may_say_their_split(tmp_path):
    # As GlaS: train_1.bmp, testA_1.bmp, testB_1.bmp with _anno.bmp beside them.
    for stem in ("train_1", "train_2", "train_3", "testA_1", "testB_1"):
        save(tmp_path / f"{stem}.bmp", picture(len(stem)))
        save(tmp_path / f"{stem}_annot.bmp", index_mask(1, 2))
    dataset = open_dataset(tmp_path)
    assert dataset.images("test") == ("testA_1", "testB_1")
    assert len(dataset.images("train")) + len(dataset.images("val")) == 3
    assert codes(dataset) == ["SPLITS-GUESSED", "SPLIT-MADE"]
    save(tmp_path / "other.bmp", picture(9))
    save(tmp_path / "other_annot.bmp", index_mask(1, 2))
    assert codes(open_dataset(tmp_path)) == ["SPLIT-MADE"]  # not all do


def test_two_lists_of_one_split_are_named(tmp_path):
    dataset = open_dataset(with_lists(tmp_path, **LISTS, valid=["i9"]))
    assert list(dataset.images("val")) == LISTS["val"]
    assert messages(dataset, "SPLIT-TWICE") == ["val.txt and valid.txt both list val, and the first is read; keep one"]


def test_a_split_without_masks_is_lost_with_a_warning(tmp_path):
    write(tmp_path, "{split}/images/{split}{i}.png", "{split}/masks/{split}{i}.png")
    for path in (tmp_path / "test" / "masks").iterdir():
        path.unlink()
    dataset = open_dataset(tmp_path)
    assert messages(dataset, "SPLIT-LOST") == [
        "the data set gives 4 images for test, but none of them has a mask, so it has no test split; add the masks"
    ]
    assert "2 of the 4 images of val are test now" in recognised_text(dataset)


def test_folders_of_one_split_may_hold_the_same_names(tmp_path):
    for number in (1, 2):
        for index in range(3):
            save(tmp_path / "images" / f"test{number}" / f"{index}.png", picture(10 * number + index))
            save(tmp_path / "masks" / f"test{number}" / f"{index}.png", rows(0, 1, number))
    dataset = open_dataset(tmp_path)
    for name in dataset.names():
        assert dataset.read(name).truth.sum(axis=(1, 2)).tolist() == ([32, 16, 0] if "test1" in name else [32, 0, 16])


NAMES = tuple(f"n{index:02}" for index in range(20))


@pytest.mark.parametrize(
    ("given", "lengths", "words"),
    [
        # 15 / (70 + 15) of 16 are 2.8, by whole images 3.
        ({"train": 16, "test": 4}, (13, 3, 4), "gives train (16) and test (4) alone; it has no val: 3 of the 16"),
        ({"train": 12, "val": 8}, (12, 4, 4), "gives train (12) and val (8) alone; it has no test: 4 of the 8"),
        ({"val": 4, "test": 6}, (10, 4, 6), "train is the 10 images in neither"),
        # 70 / 85 of 12 are 9.9
        ({"val": 12, "test": 8}, (10, 2, 8), "it has no train: 10 of the 12 images of val are train now"),
        # 15 / 85 of the other 12 are 2.1
        ({"test": 8}, (10, 2, 8), "gives test (8) alone; train and val are 10 and 2 of the 12 images that it leaves"),
        ({"train": 14}, (14, 3, 3), "gives train (14) alone; val and test are 3 and 3 of the 6 images"),
        ({"val": 3}, (14, 3, 3), "train and test are 14 and 3 of the 17 images"),
        ({"test": 20}, (14, 3, 3), "gives test (20) alone; all images were split 70 / 15 / 15%"),
    ],
)
def test_given_splits_stay_when_others_are_made(given, lengths, words):
    start, lists = 0, {}
    for split, count in given.items():
        lists[split] = NAMES[start : start + count]
        start += count
    made, said = complete_splits(lists, NAMES, {}, SplitRule())
    assert tuple(len(made[split]) for split in SPLITS) == lengths
    assert words in said
    assert sorted(name for names in made.values() for name in names) == list(NAMES)
    if "test" in given and given["test"] < len(NAMES):
        assert made["test"] == lists["test"]


def test_a_native_folder_without_lists_says_that_its_splits_are_made(tmp_path):
    root = exclusive(tmp_path / "set", images=20)
    for path in (root / "splits").iterdir():
        path.unlink()
    (root / "splits").rmdir()
    dataset = open_dataset(root)
    made = "images were split 70 / 15 / 15% into train, val and test, whole groups, by seed 0"
    assert messages(dataset, "SPLIT-MADE") == [made]
    assert made in recognised_text(dataset)
    described = open_dataset(root, DataReading(format="native", splits=SplitRule(by="fraction", seed=3)))
    assert codes(described) == ["SPLIT-MADE"]
    assert "seed 3" in recognised_text(described)
    assert open_dataset(root, DataReading(format="native", kind="exclusive")).images("test") == dataset.images("test")


@pytest.mark.parametrize(
    ("name", "split"),
    [("train", "train"), ("Training", "train"), ("train2017", "train"), ("TrainDataset", "train"), ("valid", "val"),
     ("val_set", "val"), ("dev", "val"), ("test-images", "test"), ("train_val", None), ("trainval", None),
     ("testA", "test"), ("strain", None), ("contest", None), ("latest", None), ("value", None)],
)  # fmt: skip
def test_words_of_names_say_the_split(name, split):
    assert splits.split_named(name) == split


def test_labelme_keeps_the_folders_of_splits(tmp_path):
    for split in ("train2024", "val2024", "test2024"):
        for index in range(2):
            save(tmp_path / split / f"{split}_{index}.png", picture(index))
            content = {
                "version": "5.0.1", "flags": {}, "imagePath": f"{split}_{index}.png", "imageHeight": 6, "imageWidth": 8,
                "imageData": None,
                "shapes": [{"label": "cell", "points": [[0, 0], [4, 0], [4, 4]], "shape_type": "polygon"}],
            }  # fmt: skip
            (tmp_path / split / f"{split}_{index}.json").write_text(json.dumps(content))
    assert sizes(open_dataset(tmp_path)) == [2, 2, 2]


def test_tables_that_may_be_split_lists_are_named(tmp_path):
    for index in range(6):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        save(tmp_path / "masks" / f"{index}.png", rows(0, 1, 1))
    (tmp_path / "test_list.csv").write_text("image\n4\n5\n")
    (tmp_path / "notes_on_test.csv").write_text("image,quality\n4,good\n")
    (tmp_path / "train.csv").write_text("image\n0\n1\n")
    (told,) = messages(open_dataset(tmp_path), "SPLIT-LOST")
    assert told.startswith("test_list.csv, train.csv may list the images of a split, but no table is read")
    (tmp_path / "test.txt").write_text("4\n5\n")
    (tmp_path / "train.csv").unlink()
    assert messages(open_dataset(tmp_path), "SPLIT-LOST") == []  # the list that is read counts
