"""Folders of masks as people have them: one odd file among good ones, names and values that other programs write."""

import json
import re
import unicodedata

import numpy as np
import pytest
import tifffile
from make_dataset import exclusive, picture, save
from mask_layouts import GREEN, RED, color_mask, index_mask, rows, save_image, with_palette
from PIL import Image
from places import shared_cases

from pipelines.datasets.base import Finding
from pipelines.datasets.check import CheckReport, check_dataset
from pipelines.datasets.formats.tiff_images import read_mask
from pipelines.datasets.opening import open_dataset, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading
from pipelines.stages import check_ok


def opened(root, **options):
    return open_dataset(root, DataReading(options=options))


def check(root, **options) -> CheckReport:
    return check_dataset(opened(root, **options))


def pixels(report: CheckReport) -> dict[str, int]:
    return {facts.name: facts.pixels for facts in report.class_facts}


def ignored(report: CheckReport) -> int:
    return sum(split.ignored_pixels for split in report.splits)


def only(findings, code: str) -> str:
    (message,) = [finding.message for finding in findings if finding.code == code]
    return message


def errors(report: CheckReport) -> list[Finding]:
    return [finding for finding in report.findings if finding.severity == "error"]


def write_set(root, masks, *, suffix="png", **options):
    """Pictures a0, a1, … and their masks: arrays, images or the bytes of a file."""
    (root / "masks").mkdir(parents=True)
    for index, mask in enumerate(masks):
        save(root / "images" / f"a{index}.png", picture(index))
        path = root / "masks" / f"a{index}.{suffix}"
        if isinstance(mask, bytes):
            path.write_bytes(mask)
        elif isinstance(mask, Image.Image):
            mask.save(path, **options)
        elif suffix == "tif":
            tifffile.imwrite(path, mask, **options)
        else:
            save(path, mask)
    return root


def file_bytes(folder, mask, suffix="png", **options) -> bytes:
    return save_image(folder / f"odd.{suffix}", Image.fromarray(mask), **options).read_bytes()


def case(name: str):
    """The data of a shared case, and its true counts by value."""
    root = shared_cases() / name
    if not root.is_dir():
        pytest.skip("the folder shared/cases is not beside this checkout")
    truth = root / "expect.json"
    counts = json.loads(truth.read_text())["counts"] if truth.is_file() else {}
    return root / "data", {int(value): n for value, n in counts.items()}


# One odd file among good ones

GOOD = [index_mask(1, 2)] * 7  # 0, 1 and 2 in 8, 16 and 24 pixels
COUNTS = {"background": 7 * 8, "class 1": 7 * 16, "class 2": 7 * 24}
SOFT = np.linspace(0, 255, 48).astype(np.uint8).reshape(6, 8)  # 48 values 0, 5, 10, 16, …, as smooth edges have
ODD = {
    "empty": (lambda folder: b"", r"masks/a{}\.png is empty \(0 bytes\); copy or save it again"),
    "cut": (
        lambda folder: file_bytes(folder, index_mask(1, 2))[:-20],
        r"masks/a{}\.png is truncated \(no IEND chunk at its end\); copy or save it again",
    ),
    "text": (lambda folder: b"not a picture", r"masks/a{}\.png is not a readable PNG, JPEG, .*; save it again"),
    "soft": (
        lambda folder: file_bytes(folder, SOFT),
        r"masks/a{}\.png holds 47 values that no label has, such as 5, 10, .* saved as JPEG .*; save it anew",
    ),
    "colours": (
        lambda folder: file_bytes(folder, color_mask()),
        r"masks/a{}\.png is a colour image \(mode RGB\), but a mask has one channel",
    ),
    "larger": (
        lambda folder: file_bytes(folder, np.pad(index_mask(1, 2), ((0, 0), (0, 1)), mode="edge")),
        r"the truth of a{} is 9×6, its image is 8×6; resize the mask",
    ),
}


@pytest.mark.parametrize("at", [0, 3])
@pytest.mark.parametrize("kind", ODD)
def test_one_bad_mask_is_named_with_its_cause_and_the_others_are_counted(tmp_path, kind, at):
    make, problem = ODD[kind]
    root = write_set(tmp_path / "set", [*GOOD[:at], make(tmp_path), *GOOD[at:]])
    assert recognise(root)[0].format == "indexed"
    report = check(root)
    assert pixels(report) == COUNTS
    (error,) = errors(report)
    assert re.search(problem.format(at), error.message)
    assert only(report.findings, "LEAVE-OUT").endswith(f"or do without it by the option leave_out=a{at}")


def test_one_bad_picture_is_named_and_the_others_are_counted(tmp_path):
    root = write_set(tmp_path, [*GOOD, index_mask(1, 2)])
    (root / "images" / "a4.png").write_bytes(b"")
    report = check(root)
    assert pixels(report) == COUNTS
    assert [error.message for error in errors(report)] == [
        f"{root.name}/images/a4.png is empty (0 bytes); copy or save it again"
    ]


def test_files_that_systems_leave_behind_are_no_masks(tmp_path):
    root = write_set(tmp_path, GOOD)
    for folder in ("images", "masks"):
        for name in ("Thumbs.db", ".DS_Store", "._a0.png", "desktop.ini"):
            (root / folder / name).write_bytes(b"\0" * 100)
    report = check(root)
    assert pixels(report) == COUNTS
    assert report.ok


def test_a_set_does_without_the_images_that_leave_out_names(tmp_path):
    root = write_set(tmp_path, [b"", *GOOD, b""])
    whole, rest = check(root), check(root, leave_out="a0, a8")
    assert only(whole.findings, "LEAVE-OUT").endswith("leave_out=a0, a8")
    with pytest.raises(DatasetError, match=r"a0\.png is empty \(0 bytes\).*and 1 more.* leave_out=a0, a8$"):
        check_ok(whole)  # what a run says
    check_ok(rest)
    assert (whole.ok, rest.ok) == (False, True)
    assert (rest.images, rest.images_read) == (7, 7)
    assert pixels(rest) == pixels(whole) == COUNTS
    assert only(rest.findings, "LEFT-OUT") == "2 images left out as leave_out says: a0, a8"
    assert opened(root, leave_out="*0,*8").names() == tuple(f"a{index}" for index in range(1, 8))
    with pytest.raises(DatasetError, match="leave_out names 'b1', but no image is called so"):
        opened(root, leave_out="a1, b1")
    with pytest.raises(DatasetError, match="leave_out names every image"):
        opened(root, leave_out="*")


def test_leave_out_keeps_what_a_folder_says_of_itself(tmp_path):
    whole = open_dataset(exclusive(tmp_path / "set"))
    rest = opened(tmp_path / "set", leave_out="im00")
    assert rest.names() == whole.names()[1:]
    assert (rest.classes, rest.kind, rest.background) == (whole.classes, whole.kind, whole.background)
    assert [name for name in whole.images("train") if name != "im00"] == list(rest.images("train"))
    assert rest.fingerprint() != whole.fingerprint()
    again = open_dataset(tmp_path / "set", rest.spec)
    assert (again.names(), again.fingerprint()) == (rest.names(), rest.fingerprint())


def test_one_jpeg_among_label_maps_names_no_labels(tmp_path):
    blocks = np.kron(index_mask(1, 2), np.ones((8, 8), np.uint8)) * 40
    root = write_set(tmp_path, GOOD)
    save(root / "images" / "a7.png", picture(7, *blocks.shape))
    save_image(root / "masks" / "a7.jpg", Image.fromarray(blocks), quality=20)
    report = check(root)
    assert pixels(report) == COUNTS
    assert "masks/a7.jpg holds " in only(errors(report), "MASK-VALUES")


def test_one_mask_in_other_values_than_all_the_rest_names_no_labels(tmp_path):
    masks = [index_mask(1, 2)] * 7
    report = check(write_set(tmp_path / "scaled", [*masks, index_mask(100, 200)]))
    assert list(pixels(report)) == ["background", "class 1", "class 2"]
    assert only(errors(report), "MASK-VALUES").startswith("masks/a7.png holds 100, 200, which no label has")
    one_more = check(write_set(tmp_path / "rare", [*masks, index_mask(1, 5)]))  # shares 1 with the others
    assert list(pixels(one_more)) == ["background", "class 1", "class 2", "class 5"]
    assert one_more.ok


def test_one_soft_binary_mask_is_named_with_the_threshold_that_reads_it(tmp_path):
    root = write_set(tmp_path, [*[rows(0, 2)] * 7, SOFT])
    report = check(root)
    assert pixels(report) == {"foreground": 7 * 24}
    assert "or say threshold=128, which reads soft masks" in only(errors(report), "MASK-VALUES")
    assert pixels(check(root, threshold="128")) == {"foreground": 7 * 24 + int((SOFT >= 128).sum())}


def test_a_jpeg_among_binary_masks_is_named_with_the_threshold_too(tmp_path):
    square = np.zeros((64, 64), np.uint8)
    square[13:45, 13:45] = 255  # not on the edges of JPEG's blocks
    root = write_set(tmp_path, [])
    for index in range(5):
        save(root / "images" / f"a{index}.png", picture(index, 64, 64))
        save_image(root / "masks" / f"a{index}.{'jpg' if index == 2 else 'png'}", Image.fromarray(square))
    report = check(root)
    assert pixels(report) == {"foreground": 4 * 1024}
    message = only(errors(report), "MASK-VALUES")
    assert re.fullmatch(r"masks/a2\.jpg holds .* no label has, .*, or say threshold=128, .*", message)
    assert pixels(check(root, threshold="128")) == {"foreground": 5 * 1024}


def test_one_label_map_among_masks_in_colours_names_no_labels(tmp_path):
    report = check(write_set(tmp_path, [index_mask(1, 2), *[color_mask()] * 7]))
    assert pixels(report) == {"background": 112, "00ff00": 112, "ff0000": 112}
    assert only(errors(report), "MASK-VALUES").startswith("masks/a0.png holds #010101, #020202, which no label has")


def test_one_soft_mask_in_colours_is_named_and_read_by_the_nearest_colour_if_asked(tmp_path):
    soft = np.stack([SOFT, 255 - SOFT, np.zeros_like(SOFT)], axis=2)  # from green to red
    root = write_set(tmp_path, [*[color_mask()] * 7, soft])  # 16 pixels each of red, green and black
    report = check(root)
    assert pixels(report) == {"background": 112, "00ff00": 112, "ff0000": 112}
    assert "masks/a7.png holds 46 values that no label has" in only(errors(report), "MASK-VALUES")
    assert "or say nearest=yes, which takes the nearest colour" in only(errors(report), "MASK-VALUES")
    red = int((SOFT >= 128).sum())
    assert pixels(check(root, nearest="yes")) == {"background": 112, "00ff00": 112 + 48 - red, "ff0000": 112 + red}


def test_large_masks_are_recognised_as_small_ones_are(tmp_path):
    values = np.zeros((1100, 1000), np.float32)  # 4.4 MB each
    values[:10], values[10:30] = 1, 2
    for index in range(3):
        save(tmp_path / "images" / f"a{index}.png", picture(index, *values.shape))
        (tmp_path / "masks").mkdir(exist_ok=True)
        tifffile.imwrite(tmp_path / "masks" / f"a{index}.tif", values)
    report = check(tmp_path)
    assert pixels(report) == {"background": 3 * 1_070_000, "class 1": 30_000, "class 2": 60_000}


def test_the_cases_of_one_bad_mask_have_the_counts_of_the_others():
    for name, bad in (("bad_zero_mask", "V2"), ("one_jpg_like_mask", "V3")):
        root, expected = case(name)
        report = check(root)
        good = np.concatenate(
            [np.asarray(Image.open(path)).ravel() for path in sorted((root / "masks").iterdir()) if path.stem != bad]
        )
        counts = np.bincount(good, minlength=4)
        assert list(pixels(report).values()) == counts.tolist()
        assert (counts <= list(expected.values())).all()
        assert sum(expected.values()) - counts.sum() == 32 * 40  # the pixels of the bad one
        assert f"masks/{bad}.png" in errors(report)[0].message
        assert pixels(check(root, leave_out=bad)) == pixels(report)


# Names


@pytest.mark.parametrize(("of_pictures", "of_masks"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_accents_pair_however_they_are_written(tmp_path, of_pictures, of_masks):
    for index in range(4):
        name = f"Zürich été {index}"
        save(tmp_path / "images" / f"{unicodedata.normalize(of_pictures, name)}.png", picture(index))
        save(tmp_path / "masks" / f"{unicodedata.normalize(of_masks, name)}.png", index_mask(1, 2))
    (tmp_path / "test.txt").write_text(unicodedata.normalize(of_masks, "Zürich été 3\n"))
    dataset = open_dataset(tmp_path)
    assert dataset.names() == tuple(f"Zürich été {index}" for index in range(4))  # composed
    assert dataset.images("test") == ("Zürich été 3",)
    assert pixels(check_dataset(dataset)) == {"background": 32, "class 1": 64, "class 2": 96}


def test_the_case_of_accents_has_its_counts():
    root, expected = case("uni_nfd")
    assert list(pixels(check(root)).values()) == list(expected.values())


def flood(root, pictures: str, masks: str, count: int = 4):
    for index in range(count):
        save(root / pictures.format(index), picture(index))
        save(root / masks.format(index), index_mask(1, 2))
    return root


def test_names_that_end_or_begin_in_two_words_pair_where_one_says_mask(tmp_path):
    for at, (pictures, masks) in enumerate(
        [
            ("S2Hand/Ghana_{}_S2Hand.png", "LabelHand/Ghana_{}_LabelHand.png"),
            ("x/{}_S2.png", "x/{}_GroundTruth.png"),
            ("a/S2_{}.png", "b/LabelHand_{}.png"),
        ]
    ):
        dataset = open_dataset(flood(tmp_path / str(at), pictures, masks))
        assert len(dataset.names()) == 4
        assert pixels(check_dataset(dataset)) == {"background": 32, "class 1": 64, "class 2": 96}


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("*_S2.png", "*_LULC.png"),
        ("S2/*_S2.png", "LULC\\*_LULC.png"),
        ("S2/*_S2.*", "*_LULC.*"),
        ("*2.png", "*LULC.png"),
    ],
)
def test_patterns_pair_where_names_leave_it_open(tmp_path, images, masks):
    flood(tmp_path, "S2/{}_S2.png", "LULC/{}_LULC.png")
    with pytest.raises(DatasetError, match="in no known format"):
        open_dataset(tmp_path)
    reading = DataReading(format="indexed", options={"images": images, "masks": masks})
    if images == "*2.png":  # what stands for * differs: 0_S and 0_
        with pytest.raises(DatasetError, match="has 4 pictures and no mask that belongs to one"):
            open_dataset(tmp_path, reading)
        return
    dataset = open_dataset(tmp_path, reading)
    assert dataset.names() == ("0_S2", "1_S2", "2_S2", "3_S2")
    assert pixels(check_dataset(dataset)) == {"background": 32, "class 1": 64, "class 2": 96}


def test_patterns_pair_nothing_but_what_stands_for_the_star(tmp_path):
    for name in ("a_1", "b_1"):
        save(tmp_path / f"{name}.jpg", picture(1))
    save(tmp_path / "a_1.png", index_mask(1, 2))
    save(tmp_path / "b_1_2.png", index_mask(1, 2))  # no mask of b_1
    reading = DataReading(format="indexed", options={"images": "*.jpg", "masks": "*.png"})
    assert open_dataset(tmp_path, reading).names() == ("a_1",)


@pytest.mark.parametrize(
    ("images", "masks", "problem"),
    [
        ("*_S2.png", "LULC", "images and masks must both be patterns with"),
        ("*_S3.png", "*_LULC.png", r"no picture file, such as .*, is called as images=\*_S3\.png says"),
        ("*/*_S2.png", "*_LULC.png", "has 4 pictures and no mask that belongs to one"),
        ("*_S*.png", "*_LULC.png", "has 4 pictures and no mask that belongs to one"),
    ],
)
def test_patterns_that_fit_nothing_are_refused(tmp_path, images, masks, problem):
    flood(tmp_path, "S2/{}_S2.png", "LULC/{}_LULC.png")
    with pytest.raises(DatasetError, match=problem):
        open_dataset(tmp_path, DataReading(format="indexed", options={"images": images, "masks": masks}))


def test_a_pattern_that_takes_two_files_for_one_is_refused(tmp_path):
    for region in ("Ghana", "India"):
        flood(tmp_path, f"{region}/S2/{{}}_S2.png", f"{region}/LULC/{{}}_LULC.png")
    options = {"images": "*_S2.png", "masks": "*_LULC.png"}
    with pytest.raises(DatasetError, match=r"takes Ghana/LULC/0_LULC\.png and India/LULC/0_LULC\.png for one"):
        open_dataset(tmp_path, DataReading(format="indexed", options=options))
    options = {"images": "*/S2/*_S2.png", "masks": "*/LULC/*_LULC.png"}
    assert len(open_dataset(tmp_path, DataReading(format="indexed", options=options)).names()) == 8


def test_the_case_of_sen1floods_pairs_and_leaves_out_values_below_0():
    root, expected = case("sen1floods")
    report = check(root, range="percentile")  # beside the masks nothing is asked here
    assert pixels(report) == {"class 1": expected[1]}
    assert report.valid_pixels == expected[0] + expected[1]
    assert ignored(report) == expected[-1] + expected[-32768]
    assert "-32768 (3.1%), -1 (9.4%)" in only(report.findings, "VALUE-IGNORED")


# Values


def test_floats_are_labels_and_pixels_without_a_value_are_left_out(tmp_path):
    mask = index_mask(1, 2).astype(np.float32)
    mask[0, :3] = np.nan, -np.inf, np.finfo(np.float32).min  # of 1
    report = check(write_set(tmp_path, [mask] * 3, suffix="tif"))
    assert pixels(report) == {"background": 24, "class 1": 39, "class 2": 72}
    assert ignored(report) == 9
    assert only(report.findings, "VALUE-IGNORED").startswith("pixels without a value (NaN (6.2%)) are left out")


def test_fractions_are_refused_and_read_with_a_threshold(tmp_path):
    mask = rows(0, 2, 1).astype(np.float32)  # 24 pixels of 1
    mask[0], mask[5, 0] = 0.5, np.nan  # 8 of 0.5
    root = write_set(tmp_path, [mask] * 3, suffix="tif")
    with pytest.raises(DatasetError, match=r"such as 0\.5 \(float32\).*say from which value .* such as threshold=0\.5"):
        open_dataset(root)
    for threshold, marked in (("0.5", 24), ("0.51", 16), ("1", 16)):
        report = check(root, threshold=threshold)
        assert pixels(report) == {"foreground": 3 * marked}
        assert ignored(report) == 3


@pytest.mark.parametrize(
    ("scale", "said"),
    [(1, None), (255, "threshold=0.5 is 127.5 of 255"), (65535, "threshold=0.5 is 32767.5 of 65535")],
)
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_a_threshold_below_1_is_a_share_of_what_masks_reach(tmp_path, scale, said, dtype):
    mask = rows(0, 2, 1) * np.float64(scale)
    mask[0] = np.floor(scale * 0.4)
    report = check(write_set(tmp_path, [mask.astype(dtype)] * 3, suffix="tif"), threshold="0.5")
    assert pixels(report) == {"foreground": 3 * 16}
    told = [finding.message for finding in report.findings if finding.code == "THRESHOLD-SHARE"]
    assert told == ([] if said is None else [f"the masks hold values up to {scale}, so {said}"])


def test_masks_of_classes_may_be_floats_with_pixels_without_a_value(tmp_path):
    for index in range(3):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        for name, first in (("cell", 0), ("nucleus", 1)):
            mask = rows(first, 2).astype(np.float32)
            mask[5, 0] = np.nan
            path = tmp_path / "masks" / name / f"{index}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, mask)
    for options in ({}, {"threshold": "128"}, {"threshold": "0.5"}):
        report = check(tmp_path, **options)
        assert pixels(report) == {"cell": 72, "nucleus": 48}
        assert ignored(report) == 3


def test_the_cases_of_floats_have_the_counts_of_their_masks():
    root, _ = case("float_mask_tif")
    masks = np.stack([tifffile.imread(path) for path in (root / "masks").iterdir()])
    report = check(root)
    assert list(pixels(report).values()) == [int((masks == value).sum()) for value in (0, 1, 2)]
    assert ignored(report) == np.isnan(masks).sum() == 1440
    root, _ = case("float_mask_prob")
    masks = np.stack([tifffile.imread(path) for path in (root / "masks").iterdir()])
    assert pixels(check(root, threshold="0.5")) == {"foreground": int((masks >= 0.5).sum())}
    assert pixels(check(root, threshold="0.6")) == {"foreground": int((masks >= 0.6).sum())}


def test_254_beside_255_is_no_class_in_silence(tmp_path):
    mask = index_mask(1, 2)
    mask[5, :2], mask[5, 2] = 255, 254
    report = check(write_set(tmp_path / "bare", [mask] * 3))
    assert pixels(report) == {"background": 15, "class 1": 48, "class 2": 72}
    assert "254 (2.1%), 255 (4.2%) lie outside" in only(report.findings, "VALUE-IGNORED")
    named = write_set(tmp_path / "named", [mask] * 3)
    (named / "classes.txt").write_text("bg\nroad\ntree\n")
    report = check(named)
    assert pixels(report) == {"bg": 15, "road": 48, "tree": 72}
    assert ignored(report) == 9
    assert only(report.findings, "MASK-VALUES").startswith("the masks hold 254 (2.1%), which classes.txt does not name")
    assert pixels(check(named, unnamed="classes"))["class 254"] == 3
    assert pixels(check(named, unnamed="background"))["bg"] == 18


def test_every_value_up_to_255_is_a_class_where_none_stands_apart(tmp_path):
    mask = index_mask(249, 254)
    mask[5] = [251, 252, 253, 255, 0, 0, 0, 250]
    assert list(pixels(check(write_set(tmp_path, [mask] * 3)))) == [
        "background", *(f"class {value}" for value in range(249, 256)),
    ]  # fmt: skip


def test_the_case_of_two_void_values_has_its_counts():
    root, expected = case("void_0_255")
    report = check(root)
    assert list(pixels(report).values()) == [expected[0], expected[1], expected[2]]
    assert ignored(report) == expected[254] + expected[255]
    assert "254 (3.1%)" in only(report.findings, "MASK-VALUES")


def test_colours_that_a_table_lacks_are_left_out_with_their_share(tmp_path):
    root = write_set(tmp_path, [color_mask()] * 3)  # a third each of red, green and black
    (root / "label_colors.txt").write_text("255 0 0 house\n0 0 255 lake\n")
    report = check(root)
    assert pixels(report) == {"background": 48, "house": 48, "lake": 0}
    assert "#00ff00 (33%), which label_colors.txt does not name" in only(report.findings, "MASK-VALUES")
    assert pixels(check(root, unnamed="classes"))["00ff00"] == 48
    assert pixels(check(root, unnamed="background"))["background"] == 96


def alpha_only(values) -> Image.Image:
    """A mask that is black everywhere and as opaque as the values say."""
    return Image.fromarray(np.dstack([np.zeros((*values.shape, 3), np.uint8), values]))


def test_transparency_is_the_mask_where_nothing_else_tells(tmp_path):
    masks = [alpha_only(rows(0, 1)), alpha_only(rows(0, 3)), alpha_only(rows(0, 5)), alpha_only(rows(0, 1, 0))]
    report = check(write_set(tmp_path / "whole", masks))  # 2, 4, 6 and no rows
    assert pixels(report) == {"foreground": 8 * 12}
    assert "how opaque a pixel is" in only(report.findings, "ALPHA-READ")
    soft = write_set(tmp_path / "soft", [alpha_only(SOFT)] * 3)
    assert pixels(check(soft, threshold="0.5")) == {"foreground": 3 * int((SOFT >= 127.5).sum())}
    grey = Image.merge("LA", [Image.fromarray(rows(0, 1, 0)), Image.fromarray(rows(0, 1))])
    assert pixels(check(write_set(tmp_path / "grey", [grey] * 3))) == {"foreground": 48}


def test_transparency_is_not_the_mask_where_colours_tell(tmp_path):
    values = np.dstack([rows(0, 1)] * 3 + [np.full((6, 8), 255, np.uint8)])
    opaque = Image.fromarray(values)
    assert pixels(check(write_set(tmp_path, [opaque, alpha_only(rows(0, 5)), opaque]))) == {"foreground": 32}


def test_classes_whose_masks_tell_by_transparency_alone(tmp_path):
    for index in range(3):
        save(tmp_path / "images" / f"{index}.png", picture(index))
        save_image(tmp_path / "masks" / "cell" / f"{index}.png", alpha_only(rows(0, 2)))
        save_image(tmp_path / "masks" / "nucleus" / f"{index}.png", alpha_only(rows(1, 2)))
    assert pixels(check(tmp_path)) == {"cell": 72, "nucleus": 48}


def test_the_case_of_transparent_masks_has_its_counts():
    root, expected = case("rgba_alpha_only")
    assert pixels(check(root)) == {"foreground": expected[1]}


@pytest.mark.parametrize("compression", [None, "group3", "group4", "tiff_ccitt"])
@pytest.mark.parametrize("white", [0, 1])
def test_in_masks_of_one_bit_white_is_foreground_however_it_is_stored(tmp_path, compression, white):
    mask = Image.fromarray(rows(0, 1)).convert("1")
    path = save_image(tmp_path / "a.tif", mask, compression=compression, tiffinfo={262: white})
    assert np.asarray(Image.open(path)).sum() == 16
    assert read_mask(path).sum() == 16


def test_the_case_of_one_bit_masks_has_its_counts():
    root, expected = case("mask_tif1_g4")
    assert pixels(check(root)) == {"foreground": expected[1]}


def test_masks_as_gif_are_read_and_an_animation_among_them_is_named(tmp_path):
    root = write_set(tmp_path, [Image.fromarray(rows(0, 1))] * 3, suffix="gif")
    assert pixels(check(root)) == {"foreground": 48}
    frames = [Image.fromarray(rows(0, last)) for last in (1, 2)]
    frames[0].save(root / "masks" / "a2.gif", save_all=True, append_images=frames[1:])
    report = check(root)
    assert pixels(report) == {"foreground": 32}
    assert "masks/a2.gif is an animation" in only(errors(report), "MASK-UNREADABLE")


def test_the_case_of_gifs_has_its_counts():
    root, expected = case("carvana_gif")
    report = check(root)
    assert pixels(report) == {"foreground": expected[1]}
    assert report.valid_pixels == expected[0] + expected[1]


def test_masks_with_a_palette_and_one_in_its_colours_mean_the_same(tmp_path):
    palette = ((0, 0, 0), RED, GREEN)
    one = Image.fromarray(color_mask())  # 1, 2 and 0 in two rows each
    root = write_set(tmp_path, [*[with_palette(index_mask(1, 2), *palette)] * 3, one])
    (root / "classes.txt").write_text("soil\nhouse\ntree\n")
    report = check(root)
    assert pixels(report) == {"soil": 3 * 8 + 16, "house": 3 * 16 + 16, "tree": 3 * 24 + 16}
    assert only(report.findings, "PALETTE-READ").endswith("in the palette of the others: masks/a3.png")
    Image.fromarray(color_mask(first=(9, 9, 200))).save(root / "masks" / "a3.png")
    report = check(root)
    assert pixels(report) == {"soil": 24, "house": 48, "tree": 72}
    assert "a3.png is in colours, such as #0909c8, that the palette" in only(errors(report), "MASK-UNREADABLE")


@pytest.mark.parametrize(
    ("dtype", "top"), [(np.uint16, 65535), (np.int16, 32767), (np.int32, 2**31 - 1), (np.int16, -9999)]
)
def test_the_largest_value_of_a_type_beside_a_label_map_is_left_out(tmp_path, dtype, top):
    mask = index_mask(1, 2).astype(dtype)
    mask[5, :3] = top
    report = check(write_set(tmp_path, [mask] * 3, suffix="tif"))
    assert pixels(report) == {"background": 15, "class 1": 48, "class 2": 72}
    assert f"{top} (6.2%) lie outside the others" in only(report.findings, "VALUE-IGNORED")


def test_minus_1_in_32_bits_without_a_sign_is_no_value(tmp_path):
    mask = index_mask(1, 2).astype(np.uint32)
    mask[5, :3] = 2**32 - 1
    report = check(write_set(tmp_path, [mask] * 3, suffix="tif"))
    assert pixels(report) == {"background": 15, "class 1": 48, "class 2": 72}
    assert ignored(report) == 9


def test_values_that_are_nearly_white_are_one_foreground_with_a_warning(tmp_path):
    report = check(write_set(tmp_path, [rows(0, 1), rows(0, 1, 254), rows(0, 2)]))
    assert pixels(report) == {"foreground": 16 + 16 + 24}
    assert "the masks hold 254, 255 beside 0; all of them are read as foreground" in only(
        report.findings, "MASK-VALUES"
    )


def test_white_is_the_foreground_where_palettes_show_0_white_and_1_black(tmp_path):
    mask = with_palette(rows(2, 5, 1), (255, 255, 255), (0, 0, 0))  # white in 2 rows of 6
    report = check(write_set(tmp_path / "swapped", [mask] * 3))
    assert pixels(report) == {"foreground": 48}
    assert "0 was taken for the foreground" in only(report.findings, "PALETTE-READ")
    mask = with_palette(rows(2, 5, 1), (0, 0, 0), (255, 255, 255))
    assert pixels(check(write_set(tmp_path / "usual", [mask] * 3))) == {"foreground": 96}


def test_one_bad_mask_of_a_class_or_an_object_is_named_too(tmp_path):
    for index in range(4):
        save(tmp_path / "classes" / "images" / f"{index}.png", picture(index))
        save(tmp_path / "objects" / "images" / f"{index}.png", picture(index))
        for number, name in enumerate(("cell", "nucleus")):
            save(tmp_path / "classes" / "masks" / name / f"{index}.png", rows(0, 1))
            save(tmp_path / "objects" / "masks" / str(index) / f"{number}.png", rows(0, 1))
    (tmp_path / "classes" / "masks" / "nucleus" / "0.png").write_bytes(b"")
    (tmp_path / "objects" / "masks" / "0" / "1.png").write_bytes(b"")
    report = check(tmp_path / "classes")
    assert pixels(report) == {"cell": 48, "nucleus": 48}
    assert "nucleus/0.png is empty (0 bytes)" in only(errors(report), "MASK-UNREADABLE")
    report = check(tmp_path / "objects")
    assert pixels(report) == {"object": 48}
    assert "masks/0/1.png is empty (0 bytes)" in only(errors(report), "MASK-UNREADABLE")
    assert check(tmp_path / "objects", leave_out="0").ok
