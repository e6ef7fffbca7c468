"""Pictures with mask images: indexed, coloured, one mask a class, one mask an object."""

import os
import time

import imagecodecs
import numpy as np
import pytest
from make_dataset import exclusive, overlapping, picture, save
from mask_layouts import (
    COUNT,
    GREEN,
    INSTANCES,
    ONE_MASK,
    PER_CLASS,
    RED,
    color_mask,
    data_science_bowl,
    index_mask,
    rows,
    save_image,
    with_palette,
)
from PIL import Image, ImageFilter
from places import shared_data

from pipelines import links
from pipelines.datasets.check import check_dataset
from pipelines.datasets.formats.masks import reading
from pipelines.datasets.opening import FORMATS, open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading


def formats(root) -> list[str]:
    return [one.format for one in recognise(root)]


def pairs(root, masks, *, suffix="png", **options):
    """Pictures and masks side by side, one pair a mask."""
    for index, mask in enumerate(masks):
        save(root / "images" / f"{index:02d}.png", picture(index))
        image = mask if isinstance(mask, Image.Image) else Image.fromarray(mask)
        save_image(root / "masks" / f"{index:02d}.{suffix}", image, **options)
    return root


def source(root, form="indexed", **options):
    return open_source(root, DataReading(format=form, options=options))[1]


def codes(findings) -> list[str]:
    return [one.code for one in findings]


# Layouts


@pytest.mark.parametrize("layout", ONE_MASK)
def test_one_mask_a_picture_is_found_in_every_usual_layout(tmp_path, layout):
    ONE_MASK[layout](tmp_path)
    assert formats(tmp_path) == ["indexed"]
    dataset = open_dataset(tmp_path)
    assert len(dataset.names()) == COUNT
    assert (dataset.kind, dataset.classes) == ("exclusive", ("background", "class 1", "class 2"))
    for name in dataset.names():
        assert dataset.read(name).truth.sum(axis=(1, 2)).tolist() == [8, 16, 24]  # 1, 2 and 3 rows of 8
    if "{split}" in layout or "split" in layout:
        assert len(dataset.images("train")) == 8


@pytest.mark.parametrize("layout", PER_CLASS)
def test_one_mask_a_class_is_found_in_every_usual_layout(tmp_path, layout):
    PER_CLASS[layout](tmp_path)
    assert formats(tmp_path) == ["per_class"]
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, dataset.classes, len(dataset.names())) == ("overlapping", ("cell", "nucleus"), COUNT)
    truth = dataset.read(dataset.names()[5]).truth
    assert truth.sum(axis=(1, 2)).tolist() == [32, 24]  # rows 0-3 and 3-5 of 8
    assert (truth[0] & truth[1]).sum() == 8  # row 3


@pytest.mark.parametrize("layout", INSTANCES)
def test_masks_of_objects_are_united_by_class(tmp_path, layout):
    INSTANCES[layout](tmp_path)
    assert formats(tmp_path) == ["instances"]
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, dataset.classes, len(dataset.names())) == ("binary", ("cell",), COUNT)
    assert dataset.read("p3").truth.sum() == 48  # rows 0-3 and 3-5 of 8 together are all 6


def test_a_folder_a_picture_with_a_mask_an_object_is_read_as_in_the_data_science_bowl(tmp_path):
    data_science_bowl(tmp_path)
    assert formats(tmp_path) == ["instances"]
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, dataset.classes, len(dataset.names())) == ("binary", ("object",), COUNT)
    assert all(dataset.read(name).truth.sum() == 24 for name in dataset.names())  # 3 rows of 8


def test_numbered_masks_in_folders_named_after_numbered_pictures_belong_to_the_folder(tmp_path):
    # masks/2/1.png is the first object of picture 2, not a mask of picture 1.
    for index in range(4):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        for number in range(4):
            save(tmp_path / "masks" / str(index) / f"{number}.png", rows(number, number) * (number <= index))
    dataset = open_dataset(tmp_path)
    assert [int(dataset.read(name).truth.sum()) for name in "0123"] == [8, 16, 24, 32]


def test_a_second_mask_of_a_picture_is_another_object_as_in_busi(tmp_path):
    for index in range(6):
        save(tmp_path / "benign" / f"benign ({index}).png", picture(index))
        save(tmp_path / "benign" / f"benign ({index})_mask.png", rows(0, 1))
    save(tmp_path / "benign" / "benign (2)_mask_1.png", rows(5, 5))
    dataset = open_dataset(tmp_path)
    assert dataset.names() == tuple(f"benign ({index})" for index in range(6))
    assert [int(dataset.read(f"benign ({index})").truth.sum()) for index in (1, 2)] == [16, 24]


def test_one_picture_a_folder_is_still_a_picture_with_its_mask(tmp_path):
    for index, kind in enumerate(("cat", "dog", "cow")):
        save(tmp_path / "images" / kind / f"{index}.jpg", picture(index))
        save(tmp_path / "masks" / kind / f"{index}.png", index_mask(1, 2))
    assert formats(tmp_path) == ["indexed"]
    assert open_dataset(tmp_path).read("1").truth.sum(axis=(1, 2)).tolist() == [8, 16, 24]


def test_derived_masks_beside_label_maps_are_passed_over(tmp_path):
    ONE_MASK["cityscapes"](tmp_path)
    for index in range(COUNT):
        folder = tmp_path / "gtFine" / ("train" if index < 8 else "val") / "ulm"
        save(folder / f"ulm_{index:03}_gtFine_color.png", color_mask())
        save(folder / f"ulm_{index:03}_gtFine_instanceIds.png", index_mask(7, 9))
    assert formats(tmp_path) == ["indexed"]
    assert open_dataset(tmp_path).classes == ("background", "class 1", "class 2")


def test_the_folders_of_an_older_labelme2voc_are_indexed_with_their_names(tmp_path):
    for index in range(4):
        save(tmp_path / "JPEGImages" / f"{index}.jpg", picture(index))
        mask = with_palette(index_mask(1, 2), (0, 0, 0), (128, 0, 0), (0, 128, 0))
        save_image(tmp_path / "SegmentationClassPNG" / f"{index}.png", mask)
        save(tmp_path / "SegmentationClassVisualization" / f"{index}.jpg", picture(index))
    (tmp_path / "class_names.txt").write_text("_background_\ncat\ndog\n")
    assert formats(tmp_path) == ["indexed"]
    dataset = open_dataset(tmp_path)
    assert (dataset.classes, dataset.background) == (("_background_", "cat", "dog"), "_background_")


def test_one_folder_of_trimaps_without_a_zero_is_indexed(tmp_path):
    # As the Oxford pets: annotations/trimaps/<stem>.png with 1, 2 and 3.
    mask = np.repeat(np.array([1, 1, 2, 2, 3, 3], np.uint8)[:, None], 8, axis=1)
    for index in range(4):
        save(tmp_path / "images" / f"cat_{index}.jpg", picture(index))
        save(tmp_path / "annotations" / "trimaps" / f"cat_{index}.png", mask)
    assert formats(tmp_path) == ["indexed"]
    dataset = open_dataset(tmp_path)
    assert (dataset.classes, dataset.background) == (("class 1", "class 2", "class 3"), None)


def test_one_folder_of_binary_masks_names_the_class(tmp_path):
    for index in range(4):
        save(tmp_path / "images" / f"{index}.jpg", picture(index))
        save(tmp_path / "masks" / "vessel" / f"{index}.png", rows(0, 1))
    assert formats(tmp_path) == ["per_class"]
    assert open_dataset(tmp_path).classes == ("vessel",)


def test_pictures_without_masks_are_no_data_set(tmp_path):
    for index in range(20):
        save(tmp_path / f"frame_{index}.png", picture(index))
    assert formats(tmp_path) == []
    with pytest.raises(DatasetError, match=r"20 pictures and no mask that belongs to one.* images and masks$"):
        source(tmp_path)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "frame_1.npy").touch()
    with pytest.raises(DatasetError, match=r"files of the kinds \.npy are not read; save them as PNG"):
        source(tmp_path)


def test_several_masks_a_picture_are_not_read_as_one(tmp_path):
    PER_CLASS["folders by class"](tmp_path)
    for form in ("indexed", "colored", "tiff"):
        with pytest.raises(
            DatasetError, match=r"p0 has several masks, such as masks/cell/p0\.png and masks/nucleus/p0\.png"
        ):
            source(tmp_path, form)
    assert source(tmp_path, "indexed", masks="masks/cell").truth("p0").layers[1].sum() == 32


@pytest.mark.parametrize(
    ("images", "masks"), [("JPEGImages", "Annotations"), ("images_png", "masks"), ("a/images", "a/gt")]
)
def test_frames_of_videos_are_grouped_by_their_folder(tmp_path, images, masks):
    for video in ("bear", "cow", "dog"):
        for frame in range(4):
            save(tmp_path / images / video / f"{frame:05}.jpg", picture(frame))
            save(tmp_path / masks / video / f"{frame:05}.png", index_mask(1))
    dataset = open_dataset(tmp_path)
    assert len(dataset.names()) == 12
    assert {group.removeprefix("a/") for group in dataset.groups.values()} == {"bear", "cow", "dog"}
    assert "GROUPS-GUESSED" in codes(dataset.structure())
    assert all(len({dataset.groups[name] for name in dataset.images(split)}) == 1 for split in ("train", "val", "test"))


def test_lists_beside_the_folders_say_the_splits(tmp_path):
    pairs(tmp_path, [index_mask(1, 2)] * 6)
    for split, lines in {"train": "00\n01.png\nimages/02.png\n", "val": "03\n", "test": "04\n05\nnot there\n"}.items():
        (tmp_path / f"{split}.txt").write_text(lines)
    dataset = open_dataset(tmp_path)
    assert [dataset.images(split) for split in ("train", "val", "test")] == [("00", "01", "02"), ("03",), ("04", "05")]


def test_pictures_without_a_mask_are_left_out_and_said(tmp_path):
    pairs(tmp_path, [index_mask(1, 2)] * 5)
    save(tmp_path / "images" / "bare.png", picture(9))
    save(tmp_path / "masks" / "alone.png", index_mask(1, 2))
    dataset = open_dataset(tmp_path)
    assert "bare" not in dataset.names()
    said = [one.message for one in dataset.structure() if one.code == "PAIR-MISSING"]
    assert said == [
        "1 pictures have no mask and are left out, such as bare; add masks or remove them",
        "1 masks belong to no picture and are left out, such as masks/alone.png; add the pictures",
    ]


def test_the_folders_may_be_named_when_their_names_say_nothing(tmp_path):
    for index in range(4):
        save(tmp_path / "set" / "a" / f"{index}.png", picture(index))
        save(tmp_path / "set" / "b" / f"{index}.png", index_mask(1, 2))
    assert formats(tmp_path) == []
    found = source(tmp_path, images="set/a", masks="set/b")
    assert found.names() == ("0", "1", "2", "3")
    assert found.truth("0").layers.sum(axis=(1, 2)).tolist() == [8, 16, 24]
    for wrong in ("set/c", "../..", "/etc"):
        with pytest.raises(DatasetError, match="option masks must name a folder inside"):
            source(tmp_path, images="set/a", masks=wrong)


def test_folders_of_the_native_format_are_left_to_it(tmp_path):
    for write in (exclusive, overlapping):
        assert formats(write(tmp_path / write.__name__)) == ["native"]


def test_ten_thousand_files_are_recognised_at_once(tmp_path):
    first = save(tmp_path / "images" / "a.png", picture(0))
    mask = save(tmp_path / "masks" / "a.png", index_mask(1, 2))
    for index in range(5000):
        os.link(first, tmp_path / "images" / f"{index:05}.png")
        os.link(mask, tmp_path / "masks" / f"{index:05}.png")
    for form in ("voc", "tiff", "indexed", "colored", "per_class", "instances"):
        begun = time.process_time()
        found = FORMATS[form].recognise(tmp_path)
        assert time.process_time() - begun < 0.2, form
        assert (found is not None) == (form == "indexed")


def test_a_mask_is_looked_at_once_in_a_process(tmp_path):
    root = pairs(tmp_path, [index_mask(1, 2)] * 3)
    paths = sorted((root / "masks").iterdir())
    first = reading.count_files(paths, "index")
    again = reading.count_files(paths, "index")
    assert first.total() == again.total() == {0: 24, 1: 48, 2: 72}  # three masks of 1, 2 and 3 rows of 8
    assert all(again.files[path] is first.files[path] for path in paths)


def test_links_out_of_the_allowed_folders_are_not_followed(tmp_path, monkeypatch):
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "set"))
    outside = save(tmp_path / "outside" / "secret.png", picture(0))
    root = pairs(tmp_path / "set", [index_mask(1, 2)] * 3)
    (root / "images" / "secret.png").symlink_to(outside)
    save(root / "masks" / "secret.png", index_mask(1, 2))
    (root / "more").symlink_to(outside.parent)
    dataset = open_dataset(root)
    assert dataset.names() == ("00", "01", "02")
    (note,) = [one for one in dataset.structure() if one.code == "LINKS"]
    assert note.message.startswith("2 links are passed over, such as more: leading nowhere")


# Indexed


def test_palette_indices_are_labels_with_their_colours(tmp_path):
    pairs(tmp_path, [with_palette(index_mask(1, 2), (0, 0, 0), RED, GREEN)] * 3)
    found = source(tmp_path)
    assert [(one.name, one.color, one.role) for one in found.labels] == [
        ("background", "#000000", "background"), ("class 1", "#ff0000", "class"), ("class 2", "#00ff00", "class"),
    ]  # fmt: skip


@pytest.mark.parametrize("value", [1, 255, 128])
def test_masks_of_two_values_are_binary(tmp_path, value):
    dataset = open_dataset(pairs(tmp_path, [rows(0, 1, value)] * 3))
    assert (dataset.kind, dataset.classes) == ("binary", ("foreground",))
    assert dataset.read("00").truth.sum() == 16


def sixteen(values):
    """A 16-bit RGB PNG whose channels are equal."""
    return imagecodecs.png_encode(np.repeat(values.astype(np.uint16)[:, :, None], 3, axis=2))


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ((0, 1, 2), ["background", "class 1", "class 2"]),
        ((0, 1, 300), ["background", "class 1", "class 300"]),
        ((0, 257, 514), ["background", "class 1", "class 2"]),
        ((0, 257, 65535), ["background", "class 1", "value 255"]),
    ],
)
def test_masks_of_16_bit_colours_keep_every_value(tmp_path, values, names):
    root = pairs(tmp_path, [rows(0, 1)] * 3)
    for path in (root / "masks").iterdir():
        path.write_bytes(sixteen(np.repeat(np.array(values)[:, None], 2, axis=0).repeat(8, axis=1)))
    found = source(tmp_path)
    assert [one.name for one in found.labels] == names
    np.testing.assert_array_equal(found.truth("00").layers.sum(axis=(1, 2)), [16, 16, 16])
    assert ("VALUES-STRETCHED" in codes(found.findings)) == (257 in values)


def test_the_case_of_16_bit_colours_has_the_counts_of_its_masks():
    root = shared_data().parent / "cases" / "png16_rgb" / "data"
    if not root.is_dir():
        pytest.skip("the folder shared/cases is not beside this checkout")
    assert [one.pixels for one in check_dataset(open_dataset(root)).class_facts] == [8447, 591, 538, 664]


def test_one_bit_masks_and_grey_rgb_masks_are_binary_too(tmp_path):
    one_bit = Image.fromarray(rows(0, 1)).convert("1")
    grey = Image.fromarray(rows(0, 1, 1)).convert("RGB")
    for name, mask in (("bits", one_bit), ("grey", grey)):
        dataset = open_dataset(pairs(tmp_path / name, [mask] * 3))
        assert (dataset.kind, dataset.read("00").truth.sum()) == ("binary", 16)


def test_255_beside_a_label_map_is_left_out_and_said(tmp_path):
    dataset = open_dataset(pairs(tmp_path, [index_mask(1, 2, 255)] * 3))
    assert dataset.classes == ("background", "class 1", "class 2")
    item = dataset.read("00")
    assert item.truth.sum(axis=(1, 2)).tolist() == [8, 16, 16]
    assert item.valid.sum() == 40
    assert "VALUE-IGNORED" in codes(dataset.structure())


def test_255_is_a_class_where_grey_levels_are_far_apart(tmp_path):
    dataset = open_dataset(pairs(tmp_path, [index_mask(85, 170, 255)] * 3))
    assert dataset.classes == ("background", "class 85", "class 170", "class 255")
    assert dataset.read("00").valid.all()


def test_masks_of_0_1_and_masks_of_0_255_in_one_set_mean_the_same(tmp_path):
    dataset = open_dataset(pairs(tmp_path, [rows(0, 1, 1), rows(0, 2, 255), rows(0, 0, 1)]))
    assert (dataset.kind, dataset.classes) == ("binary", ("foreground",))
    assert [int(dataset.read(name).truth.sum()) for name in dataset.names()] == [16, 24, 8]
    assert "MASK-VALUES" in codes(dataset.structure())


def test_sixteen_bit_values_are_not_cut_to_eight(tmp_path):
    mask = index_mask(44, 1).astype(np.uint16)
    mask[4] = 300
    dataset = open_dataset(pairs(tmp_path, [mask] * 3))
    assert dataset.classes == ("background", "class 1", "class 44", "class 300")
    assert dataset.read("00").truth.sum(axis=(1, 2)).tolist() == [8, 16, 16, 8]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("classes.txt", "soil\ngrass\ntree\n"),
        ("labels.txt", "0 soil\n1 grass\n2 tree\n"),
        ("labels.txt", "2: tree\n0: soil\n1: grass\n"),
        ("classes.csv", "value,name\n0,soil\n1,grass\n2,tree\n"),
        ("classes.csv", "Name;ID;Color\ntree;2;#00ff00\nsoil;0;#000000\ngrass;1;#0000ff\n"),
        ("masks/_classes.csv", "Pixel Value, Class\n0, soil\n1, grass\n2, tree\n"),
        ("label_colors.txt", "0 0 0\tsoil\n0 0 255\tgrass\n0 255 0\ttree\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nsoil:0,0,0::\ngrass:0,0,255::\ntree:0,255,0::\n"),
    ],
)
def test_a_file_names_the_values(tmp_path, file, text):
    pairs(tmp_path, [index_mask(1, 2)] * 3)
    (tmp_path / file).write_text(text)
    found = source(tmp_path)
    assert [one.name for one in found.labels] == ["soil", "grass", "tree"]
    assert found.labels[0].role == "class"  # a names file says that 0 is something
    if "255" in text or "#" in text.splitlines()[1]:
        assert found.labels[2].color == "#00ff00"
    assert tmp_path / file in list(found.files())


def test_names_without_values_begin_at_1_where_the_masks_do(tmp_path):
    pairs(tmp_path, [index_mask(1, 2)] * 3)
    (tmp_path / "classes.txt").write_text("grass\ntree\n")
    found = source(tmp_path)
    assert [(one.name, one.role) for one in found.labels] == [
        ("background", "background"), ("grass", "class"), ("tree", "class"),
    ]  # fmt: skip
    assert "NAMES-GUESSED" in codes(found.findings)


def test_a_single_name_names_the_foreground(tmp_path):
    pairs(tmp_path, [rows(0, 1)] * 3)
    (tmp_path / "classes.txt").write_text("background\nvessel\n")
    dataset = open_dataset(tmp_path)
    assert (dataset.kind, dataset.classes) == ("binary", ("vessel",))
    assert dataset.read("00").truth.sum() == 16


@pytest.mark.parametrize(
    ("option", "labels", "became", "valid"),
    [
        ("", [("value 7", "ignore")], "are left out of everything; name them there, or say unnamed=classes or", 24),
        ("classes", [("class 7", "class")], "are classes; name them there, or say unnamed=background", 48),
        ("background", [], "are background; name them there, or say unnamed=classes", 48),
    ],
)
def test_values_that_a_names_file_leaves_out_are_told_with_their_share(tmp_path, option, labels, became, valid):
    pairs(tmp_path, [index_mask(1, 7)] * 3)  # 1 in 2 rows of 6, 7 in 3
    (tmp_path / "classes.txt").write_text("0 background\n1 grass\n")
    found = source(tmp_path, unnamed=option)
    named = [("background", "background"), ("grass", "class")]
    assert [(one.name, one.role) for one in found.labels] == [*named, *labels]
    (warning,) = [one for one in found.findings if one.code == "MASK-VALUES"]
    assert f"the masks hold 7 (50%), which classes.txt does not name and which {became}" in warning.message
    assert open_dataset(tmp_path, DataReading(options={"unnamed": option})).read("00").valid.sum() == valid


def test_a_void_name_is_left_out(tmp_path):
    pairs(tmp_path, [index_mask(1, 2)] * 3)
    (tmp_path / "classes.txt").write_text("0 soil\n1 grass\n2 void\n")
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("soil", "grass")
    assert dataset.read("00").valid.sum() == 24


def test_a_mask_that_changes_after_opening_gives_its_value_as_an_error(tmp_path):
    dataset = open_dataset(pairs(tmp_path, [index_mask(1, 2)] * 3))
    save(tmp_path / "masks" / "01.png", index_mask(1, 9))
    found = dataset.examine("01")
    assert found.item is None
    assert [one.message for one in found.findings] == [
        "masks/01.png holds 9, which no label has; correct the mask or the table of names"
    ]
    assert open_dataset(tmp_path).classes[-1] == "class 9"  # opened again, it is seen anew


def test_smooth_grey_masks_are_refused_and_read_with_a_threshold(tmp_path):
    big = np.zeros((64, 64), np.uint8)
    big[16:48, 16:48] = 255
    smooth = Image.fromarray(big).filter(ImageFilter.GaussianBlur(0.9)).rotate(7, Image.Resampling.BICUBIC)
    for index in range(3):
        save(tmp_path / "images" / f"{index}.png", picture(index, 64, 64))
        save_image(tmp_path / "masks" / f"{index}.png", smooth)
    with pytest.raises(DatasetError, match=r"grey levels, as smoothed.*threshold=128"):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, DataReading(options={"threshold": "128"}))
    assert (dataset.kind, dataset.classes) == ("binary", ("foreground",))
    assert 990 < dataset.read("0").truth.sum() < 1060  # 32 × 32 = 1024
    for wrong in ("0", "x", "70000", "१"):
        with pytest.raises(DatasetError, match="threshold must be a number above 0 and at most 65535"):
            open_dataset(tmp_path, DataReading(options={"threshold": wrong}))


def test_grey_jpeg_masks_need_a_threshold_and_label_maps_as_jpeg_are_refused(tmp_path):
    big = np.zeros((64, 64), np.uint8)
    big[13:45, 13:45] = 255  # not on the edges of JPEG's blocks
    for index in range(3):
        save(tmp_path / "images" / f"{index}.jpg", picture(index, 64, 64))
        save_image(tmp_path / "masks" / f"{index}.jpg", Image.fromarray(big).convert("RGB"), quality=90)
    assert formats(tmp_path) == ["indexed"]
    with pytest.raises(DatasetError, match="threshold=128"):
        open_dataset(tmp_path)
    assert open_dataset(tmp_path, DataReading(options={"threshold": "128"})).read("0").truth.sum() == 1024
    for index in range(3):
        save(tmp_path / "masks" / f"{index}.jpg", big // 51 + np.eye(64, dtype=np.uint8) * 3)
    with pytest.raises(DatasetError, match="which changes the values of a label map"):
        open_dataset(tmp_path)


def test_palettes_that_differ_between_files_are_read_by_their_colours(tmp_path):
    # 1 is red in one file and green in the other: only colours can be meant.
    pairs(tmp_path, [with_palette(index_mask(1, 2), (0, 0, 0), RED, GREEN)] * 2)
    save(tmp_path / "images" / "02.png", picture(2))
    save_image(tmp_path / "masks" / "02.png", with_palette(index_mask(2, 1), (0, 0, 0), GREEN, RED))
    assert formats(tmp_path) == ["colored"]
    dataset = open_dataset(tmp_path)
    first, last = dataset.read("00").truth, dataset.read("02").truth
    assert (first == last).all()
    assert "PALETTES-DIFFER" in codes(source(tmp_path).findings)


# Colours


def test_colours_are_found_and_black_is_the_background(tmp_path):
    root = pairs(tmp_path, [color_mask()] * 3)
    assert formats(root) == ["colored"]
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.background) == ("exclusive", "background")
    assert dataset.classes == ("background", "00ff00", "ff0000")
    assert dataset.colors == ("#000000", "#00ff00", "#ff0000")
    assert dataset.read("00").truth.sum(axis=(1, 2)).tolist() == [16, 16, 16]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("class_dict.csv", "name,r,g,b\nroad,255,0,0\ntree,0,255,0\nunknown,0,0,0\n"),
        ("classes.csv", "name,red,green,blue\nroad,255,0,0\ntree,0,255,0\nunknown,0,0,0\n"),
        ("labelmap.txt", "# label:color_rgb:parts:actions\nroad:255,0,0::\ntree:0,255,0::\nunknown:0,0,0::\n"),
        ("label_colors.txt", "255 0 0\troad\n0 255 0\ttree\n0 0 0\tunknown\n"),
    ],
)
def test_a_file_names_the_colours(tmp_path, file, text):
    root = pairs(tmp_path, [color_mask()] * 3)
    (root / file).write_text(text)
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.classes) == ("exclusive", ("road", "tree"))
    item = dataset.read("00")
    assert item.truth.sum(axis=(1, 2)).tolist() == [16, 16]
    assert item.valid.sum() == 32  # unknown is left out


def test_names_without_colours_are_not_used_for_colours_and_that_is_said(tmp_path):
    root = pairs(tmp_path, [color_mask()] * 3)
    (root / "classes.txt").write_text("road\ntree\n")
    dataset = open_dataset(root)
    assert dataset.classes == ("background", "00ff00", "ff0000")
    said = [one.message for one in dataset.structure() if one.code == "NAMES-UNUSED"]
    assert said == [
        "classes.txt gives road no colour, so its names are not used; write name,r,g,b there, or say colors="
    ]


def test_colours_given_as_an_option_win_and_unnamed_black_is_background(tmp_path):
    root = pairs(tmp_path, [color_mask()] * 3)
    reading = DataReading(options={"colors": "road=#FF0000, tree = #00ff00"})
    dataset = open_dataset(root, reading)
    assert dataset.classes == ("background", "road", "tree")
    for wrong in ("road", "road=red", "a=#ff0000, b=#ff0000", "=#000000"):
        with pytest.raises(DatasetError):
            open_dataset(root, DataReading(options={"colors": wrong}))


def test_jpeg_masks_are_refused_without_a_table_and_cleaned_with_one(tmp_path):
    big = np.zeros((64, 64, 3), np.uint8)
    big[16:48, 16:48], big[:8] = RED, GREEN
    for index in range(3):
        save(tmp_path / "images" / f"{index}.png", picture(index, 64, 64))
        save(tmp_path / "masks" / f"{index}.jpg", big, quality=85)
    assert formats(tmp_path) == ["colored"]
    with pytest.raises(
        DatasetError, match=r"as smoothed or JPEG masks do \(the commonest: #000000.*say which are labels"
    ):
        open_dataset(tmp_path)
    dataset = open_dataset(tmp_path, DataReading(options={"colors": "road=#ff0000,tree=#00ff00,rest=#000000"}))
    truth = dataset.read("0").truth
    assert (truth.sum(axis=0) == 1).all()
    assert abs(int(truth[0].sum()) - 1024) < 60
    assert abs(int(truth[1].sum()) - 512) < 40
    assert "COLORS-NEAREST" in codes(dataset.structure())
    # Black that the table leaves out stays background, and is no tree or road.
    without = open_dataset(tmp_path, DataReading(options={"colors": "road=#ff0000,tree=#00ff00"}))
    assert without.classes == ("background", "road", "tree")
    assert (without.read("0").truth[0] == truth[2]).all()


def test_colours_outside_a_table_are_errors_once_nearest_is_refused(tmp_path):
    root = pairs(tmp_path, [color_mask()] * 3)
    found = source(root, "colored", colors="road=#ff0000", nearest="no")
    assert [one.name for one in found.labels] == ["background", "road", "00ff00"]
    nearest = source(root, "colored", colors="road=#ff0000,rest=#000000", nearest="yes")
    assert [one.name for one in nearest.labels] == ["road", "rest"]
    # #00ff00 is 255 away from black and 255·√2 from red: squared distances 65,025 and 130,050.
    assert nearest.truth("00").layers.sum(axis=(1, 2)).tolist() == [16, 32]
    save(root / "masks" / "00.png", color_mask((1, 2, 3)))
    assert [one.message for one in found.truth("00").findings] == [
        "masks/00.png holds #010203, which no label has; correct the mask or the table of names"
    ]


def test_transparent_pixels_are_background(tmp_path):
    mask = np.dstack([color_mask(), np.full((6, 8), 255, np.uint8)])
    mask[2:4, :, 3] = 0
    dataset = open_dataset(pairs(tmp_path, [mask] * 3))
    assert (dataset.kind, dataset.classes) == ("binary", ("ff0000",))
    assert dataset.read("00").truth.sum() == 16
    assert dataset.read("00").valid.all()


# One mask a class, one mask an object


def test_a_class_without_a_mask_is_not_in_the_picture(tmp_path):
    PER_CLASS["folders by class"](tmp_path)
    (tmp_path / "masks" / "nucleus" / "p4.png").unlink()
    assert open_dataset(tmp_path).read("p4").truth.sum(axis=(1, 2)).tolist() == [32, 0]


def test_pictures_without_any_mask_may_count_as_empty(tmp_path):
    PER_CLASS["folders by class"](tmp_path)
    for name in ("cell", "nucleus"):
        (tmp_path / "masks" / name / "p4.png").unlink()
    assert "p4" not in open_dataset(tmp_path).names()
    dataset = open_dataset(tmp_path, DataReading(options={"missing": "empty"}))
    assert dataset.read("p4").truth.shape == (2, 6, 8)
    assert not dataset.read("p4").truth.any()
    with pytest.raises(DatasetError, match="missing must be empty or left out"):
        open_dataset(tmp_path, DataReading(options={"missing": "maybe"}))


def test_soft_masks_of_a_class_are_errors_until_a_threshold_is_given(tmp_path):
    PER_CLASS["folders by class"](tmp_path)
    soft = rows(0, 3)
    soft[1], soft[2] = 100, 200
    save(tmp_path / "masks" / "cell" / "p0.png", soft)
    found = open_dataset(tmp_path).examine("p0")
    assert found.item is None
    assert "masks/cell/p0.png holds 0, 100, 200, 255, allowed are 0 and one other value" in found.findings[0].message
    dataset = open_dataset(tmp_path, DataReading(options={"threshold": "128"}))
    assert dataset.read("p0").truth[0].sum() == 24  # rows 0, 2 and 3


def test_masks_of_different_sizes_are_named(tmp_path):
    PER_CLASS["folders by class"](tmp_path)
    save(tmp_path / "masks" / "nucleus" / "p0.png", np.zeros((5, 8), np.uint8))
    found = open_dataset(tmp_path).examine("p0")
    assert [one.message for one in found.findings] == [
        "the masks of p0 differ in size: masks/nucleus/p0.png is 8×5, another 8×6; save them at the size of the picture"
    ]


def test_an_ignore_folder_marks_pixels_to_leave_out(tmp_path):
    PER_CLASS["folders by class"](tmp_path)
    for index in range(COUNT):
        save(tmp_path / "masks" / "ignore" / f"p{index}.png", rows(5, 5))
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("cell", "nucleus")
    assert dataset.read("p0").valid.sum() == 40


def test_label_maps_of_objects_are_one_class_if_an_option_says_so(tmp_path):
    mask = index_mask(1, 2, 3).astype(np.uint16)
    mask[5, :4] = 40_000
    root = pairs(tmp_path, [mask] * 3)
    dataset = open_dataset(root, DataReading(format="instances", options={"maps": "cell"}))
    assert (dataset.kind, dataset.classes) == ("binary", ("cell",))
    assert dataset.read("00").truth.sum() == 44
    with pytest.raises(DatasetError, match="maps must be the name of the objects"):
        open_dataset(root, DataReading(format="instances", options={"maps": " "}))


def test_too_many_values_point_to_instances(tmp_path):
    many = np.arange(48, dtype=np.uint16).reshape(6, 8)
    pairs(tmp_path, [many + np.uint16(48 * index) for index in range(90)])  # 90 × 48 = 4,320 values
    with pytest.raises(DatasetError, match="read them in the format instances with maps="):
        open_dataset(tmp_path)


def test_a_damaged_mask_is_named_and_the_rest_can_be_read(tmp_path):
    root = pairs(tmp_path, [index_mask(1, 2)] * 4)
    whole = (root / "masks" / "02.png").read_bytes()
    (root / "masks" / "02.png").write_bytes(whole[:-20])
    dataset = open_dataset(root)
    assert "MASK-UNREADABLE" in codes(dataset.structure())
    assert codes(dataset.examine("02").findings) == ["MASK-UNREADABLE"]
    assert dataset.read("01").truth.any()


def test_every_option_that_is_not_known_is_refused(tmp_path):
    pairs(tmp_path, [index_mask(1, 2)] * 2)
    with pytest.raises(DatasetError, match="has no option 'colour'"):
        source(tmp_path, colour="x")
