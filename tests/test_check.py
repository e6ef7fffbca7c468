"""What `check` tells about a data set: facts, findings and the ceiling of one label a pixel."""

import functools
import json
import math
import tracemalloc

import numpy as np
import pytest
from make_dataset import EXCLUSIVE, OVERLAPPING, exclusive, overlapping, picture, save, tables
from PIL import Image
from places import shared_data

from pipelines.datasets.check import CheckReport, check_dataset
from pipelines.datasets.opening import open_dataset
from pipelines.progress import Progress

SHARED = shared_data()
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets beside the checkout are not there")


@functools.cache
def real(name):
    """A real set's report, read once for all tests."""
    return check_dataset(open_dataset(SHARED / name))


def codes(report, severity=None):
    return [one.code for one in report.findings if severity in (None, one.severity)]


def message(report, code):
    return next(one.message for one in report.findings if one.code == code)


def test_a_sound_set_has_no_error_and_right_numbers(tmp_path):
    report = check_dataset(open_dataset(exclusive(tmp_path / "set")))
    assert report.ok
    assert codes(report) == ["TEST-FEW"]
    assert (report.images, report.sizes) == (12, ((6, 8, 12),))
    # Per image: 16 grass, 16 tree, 8 lake, 8 ignored of 48.
    assert [one.pixels for one in report.class_facts] == [192, 192, 96]
    assert [one.share for one in report.class_facts] == pytest.approx([0.4, 0.4, 0.2])
    assert report.ignored_share == pytest.approx(8 / 48)
    assert report.labels_per_pixel == (0, 480)
    assert report.exclusive
    assert (report.ceiling_macro_dice, report.ceiling_macro_iou, report.priority_macro_dice) == (1, 1, 1)
    assert [one.images for one in report.splits] == [8, 2, 2]
    assert report.splits[0].set_counts == {"grass": 128, "tree": 128, "lake": 64}


def test_from_no_pixel_nothing_is_claimed(tmp_path):
    root = overlapping(tmp_path / "set", images=6)
    for path in root.glob("masks/*/*.png"):
        path.write_bytes(b"")
    report = check_dataset(open_dataset(root))
    assert (report.images, report.images_read, report.valid_pixels) == (6, 0, 0)
    assert "The truth says nothing yet: not one of its images could be read." in report.text()
    assert "can be perfect" not in report.text()
    assert "nan" not in report.text()
    strict = json.loads(report.model_dump_json(), parse_constant=pytest.fail)
    assert strict["ceiling_macro_dice"] is None
    again = CheckReport.model_validate_json(report.model_dump_json())
    assert math.isnan(again.ceiling_macro_dice)
    assert math.isnan(again.class_facts[0].priority_iou)


def test_from_some_of_the_images_the_claim_is_of_those(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "masks" / "im03.png").write_bytes(b"")
    report = check_dataset(open_dataset(root))
    assert "1 of the 12 images could not be read; of the others: No pixel carries two" in " ".join(
        report.text().split()
    )


def test_a_set_whose_every_pixel_is_ignored_says_so(tmp_path):
    root = exclusive(tmp_path / "set")
    for path in (root / "masks").iterdir():
        save(path, np.full((6, 8), 9, np.uint8))
    assert "The truth says nothing yet: not one pixel of it counts." in check_dataset(open_dataset(root)).text()


def test_an_overlapping_set_with_a_class_that_never_occurs_names_another_as_the_worst(tmp_path):
    root = overlapping(tmp_path / "set")
    tables(root, OVERLAPPING.replace('"cell"', '"aaa", "cell"'), None)
    for path in (root / "images").iterdir():
        save(root / "masks" / "aaa" / path.name, np.zeros((6, 8), np.uint8))
    # Of 36 pixels with a label 4 carry both; the best macro Dice gives all 4 to nucleus, so cell has 28 of its 32.
    assert "(cell: Dice 0.933)" in " ".join(check_dataset(open_dataset(root)).text().split())  # 2 · 28 / (28 + 32)


def test_overlap_pairs_nesting_and_ceiling_by_hand(tmp_path):
    # Per image of 48 pixels: cell 32, nucleus 4 inside it, so 16 without a label, 28 with one, 4 with two.
    report = check_dataset(open_dataset(overlapping(tmp_path / "set")))
    assert report.labels_per_pixel == (192, 336, 48)
    assert not report.exclusive
    assert report.overlap_share == pytest.approx(4 / 48)
    assert report.overlap_share_labelled == pytest.approx(4 / 32)
    (pair,) = report.pairs
    assert (pair.first, pair.second, pair.pixels) == ("cell", "nucleus", 48)
    assert (pair.share_of_first, pair.share_of_second, pair.iou) == pytest.approx((4 / 32, 1, 4 / 32))
    (nested,) = report.nested
    assert (nested.inner, nested.outer, nested.share) == ("nucleus", "cell", 1.0)
    # The nucleus takes its 4; the cell keeps 28 of 32: IoU 0.875, Dice 56 / 60.
    assert report.class_facts[0].ceiling_iou == report.class_facts[0].priority_iou == pytest.approx(0.875)
    assert report.class_facts[0].ceiling_dice == pytest.approx(56 / 60)
    assert report.class_facts[1].ceiling_dice == pytest.approx(1)
    assert report.priority == ("nucleus", "cell")
    assert report.ceiling_macro_iou == pytest.approx((0.875 + 1) / 2)


def test_everything_wrong_is_told_at_once(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "masks" / "im00.png").unlink()
    save(root / "masks" / "orphan.png", np.zeros((6, 8), np.uint8))
    save(root / "masks" / "im01.png", np.zeros((5, 8), np.uint8))
    save(root / "masks" / "im02.png", np.full((6, 8), 7, np.uint8))
    (root / "images" / "im03.png").write_bytes((root / "images" / "im03.png").read_bytes()[:-20])
    save(root / "masks" / "im04.png", np.full((6, 8), 9, np.uint8))
    save(root / "masks" / "im05.png", picture(1))
    (root / "images" / "notes.txt").write_text("hello")
    train = (root / "splits" / "train.txt").read_text()
    (root / "splits" / "train.txt").write_text(train + "im11\nghost\n")
    save(root / "images" / "spare.png", picture(50))
    save(root / "masks" / "spare.png", np.zeros((6, 8), np.uint8))
    save(root / "images" / "im08.png", picture(6))  # val's first is train's im06 again
    report = check_dataset(open_dataset(root))
    assert not report.ok
    expected = {
        "PAIR-MISSING", "PAIR-SIZE", "MASK-VALUES", "IMAGE-UNREADABLE", "ALL-IGNORED", "MASK-UNREADABLE", "FILE-TYPE",
        "SPLIT-LEAK", "SPLIT-ABSENT", "SPLIT-NONE", "COPY-LEAK", "TEST-FEW", "LEAVE-OUT",
    }  # fmt: skip
    assert set(codes(report)) == expected
    assert codes(report).count("PAIR-MISSING") == 2  # an image without mask, a mask without image
    assert message(report, "MASK-VALUES") == (
        "masks/im02.png holds 7, allowed are the class indices 0 to 2 or 9 (ignored); correct the mask or dataset.toml"
    )
    assert "masks/im01.png is 8×5, its image im01.png is 8×6" in message(report, "PAIR-SIZE")
    assert "truncated" in message(report, "IMAGE-UNREADABLE")
    assert "5 images have errors" in message(report, "LEAVE-OUT")
    assert "option leave_out=im00, im01, im02, im03, im05" in message(report, "LEAVE-OUT")
    assert "im06 and im08 are the same picture, in train and val" in message(report, "COPY-LEAK")
    assert "im11 is in train and test" in message(report, "SPLIT-LEAK")
    assert all("\n" not in one.message for one in report.findings)


def test_damage_in_one_image_does_not_change_the_counts_of_the_others(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "images" / "im00.png").write_bytes(b"nothing")
    assert [one.pixels for one in check_dataset(open_dataset(root)).class_facts] == [176, 176, 88]  # 11 of 12 images


def test_a_class_missing_everywhere_is_an_error_and_in_one_split_a_warning(tmp_path):
    root = exclusive(tmp_path / "set", toml=EXCLUSIVE.replace('"lake"', '"lake", "road"'))
    report = check_dataset(open_dataset(root))
    assert "class road" in message(report, "CLASS-EMPTY")
    assert codes(report, "error") == ["CLASS-EMPTY"]
    assert np.isnan(report.class_facts[3].ceiling_dice)
    save(root / "masks" / "im00.png", np.full((6, 8), 3, np.uint8))
    report = check_dataset(open_dataset(root))
    assert report.ok
    assert [one.message.split(" carries")[0] for one in report.findings if one.code == "CLASS-ABSENT"] == [
        "no pixel of val",
        "no pixel of test",
    ]


def test_a_group_in_two_splits_is_a_leak(tmp_path):
    root = exclusive(tmp_path / "set")
    rows = [f"im{index:02d},p{index // 3}" for index in range(12)]  # im06, im07 in train, im08 in val: all p2
    (root / "groups.csv").write_text("image,group\n" + "\n".join(rows))
    report = check_dataset(open_dataset(root))
    assert "group p2 is in train and val" in message(report, "GROUP-LEAK")
    assert "test has 1 group," in message(report, "TEST-FEW")
    assert [one.groups for one in report.splits] == [3, 2, 1]


def test_values_of_a_class_layer_other_than_0_and_255_are_named(tmp_path):
    root = overlapping(tmp_path / "set")
    save(root / "masks" / "cell" / "im00.png", np.array([[0, 17, 128, 255] * 2] * 6, np.uint8))
    report = check_dataset(open_dataset(root))
    assert "masks/cell/im00.png holds 17, 128, allowed are 0 and 255" in message(report, "MASK-VALUES")


def test_a_mask_of_the_stored_size_is_turned_with_its_picture_and_another_size_is_refused(tmp_path):
    root = exclusive(tmp_path / "set")
    exif = Image.Exif()
    exif[0x0112] = 6
    save(root / "images" / "im00.png", picture(0), exif=exif)  # stored 8×6, upright 6×8
    found = check_dataset(open_dataset(root))
    assert "PAIR-SIZE" not in codes(found)
    assert message(found, "EXIF-TURNED").startswith("1 picture is turned upright by EXIF; the truth of 1 was taken as")
    save(root / "masks" / "im00.png", np.zeros((8, 6), np.uint8))
    assert "PAIR-SIZE" not in codes(check_dataset(open_dataset(root)))
    save(root / "masks" / "im00.png", np.zeros((8, 7), np.uint8))
    assert "masks/im00.png is 7×8, its image im00.png is 6×8" in message(check_dataset(open_dataset(root)), "PAIR-SIZE")


def test_names_that_collide_are_found(tmp_path):
    root = exclusive(tmp_path / "set")
    save(root / "images" / "im00.bmp", picture(60))
    save(root / "images" / "IM01.png", picture(61))
    save(root / "masks" / "IM01.png", np.zeros((6, 8), np.uint8))
    report = check_dataset(open_dataset(root))
    assert "share the name im00" in message(report, "NAME-TWICE")
    assert codes(report, "warning").count("NAME-CASE") == 2  # among the images and among the masks


def test_a_layout_of_the_other_kind_is_explained_once(tmp_path):
    report = check_dataset(open_dataset(tables(overlapping(tmp_path / "set"), EXCLUSIVE, None)))
    assert "masks/ holds folders (cell, nucleus)" in message(report, "MASK-LAYOUT")


def test_declared_overlap_that_never_happens_is_noted(tmp_path):
    root = overlapping(tmp_path / "set")
    for path in (root / "masks" / "nucleus").iterdir():
        mask = np.zeros((6, 8), np.uint8)
        mask[5] = 255
        save(path, mask)
    report = check_dataset(open_dataset(root))
    assert codes(report, "note") == ["KIND-NO-OVERLAP"]
    assert report.exclusive
    assert report.ceiling_macro_dice == 1


def test_an_empty_split_is_an_error(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "splits" / "val.txt").write_text("")
    assert "SPLIT-EMPTY" in codes(check_dataset(open_dataset(root)), "error")


def test_counts_follow_the_size_that_training_will_use(tmp_path):
    report = check_dataset(open_dataset(exclusive(tmp_path / "set")), size=(12, 16))
    assert report.sizes == ((12, 16, 12),)
    assert [one.pixels for one in report.class_facts] == [768, 768, 384]  # four times 192, 192, 96


def test_a_report_comes_back_from_json(tmp_path):
    for make in (exclusive, overlapping):
        report = check_dataset(open_dataset(make(tmp_path / make.__name__)))
        assert CheckReport.model_validate_json(report.model_dump_json()) == report


def test_the_text_has_aligned_columns_and_every_part(tmp_path):
    text = check_dataset(open_dataset(overlapping(tmp_path / "set"))).text()
    for part in (
        "overlapping, 2 classes, 12 images",
        "nucleus lies inside cell",
        "What the truth alone says",
        "TEST-FEW",
    ):
        assert part in text
    lines = text.splitlines()
    head = next(index for index, line in enumerate(lines) if line.startswith("split "))
    assert len({len(line) for line in lines[head + 1 : head + 5]}) == 1


def test_many_findings_of_one_code_are_all_kept_and_counted_in_the_text(tmp_path):
    root = exclusive(tmp_path / "set", images=30)
    for path in (root / "masks").iterdir():
        path.unlink()
    report = check_dataset(open_dataset(root))
    assert codes(report).count("PAIR-MISSING") == 30
    assert "and 22 more of this kind" in report.text()


def test_progress_reaches_its_total(tmp_path):
    progress = Progress()
    check_dataset(open_dataset(exclusive(tmp_path / "set")), progress=progress)
    assert (progress.state["done"], progress.state["total"]) == (12, 12)


def test_memory_does_not_grow_with_the_number_of_images(tmp_path):
    def peak(images):
        root = tmp_path / f"set{images}"
        for index in range(images):
            save(root / "images" / f"{index:03d}.png", np.full((256, 256, 3), index, np.uint8))
            save(root / "masks" / f"{index:03d}.png", np.full((256, 256), index % 3, np.uint8))
        names = [f"{index:03d}" for index in range(images)]
        tables(root, EXCLUSIVE, {"train": names[:-2], "val": names[-2:-1], "test": names[-1:]})
        tracemalloc.start()
        check_dataset(open_dataset(root))
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(4)  # imports and caches
    assert peak(40) < peak(4) + 400_000  # one more image in memory would be 786,432 bytes


@needs_shared
@pytest.mark.parametrize(
    ("name", "exclusive_truth", "codes_found"),
    [
        ("wbc_nested", False, {"COPY-LEAK"}),
        ("wbc_exclusive", True, {"COPY-LEAK"}),
        ("nuclei", True, set()),
    ],
)
def test_real_sets_read_without_errors(name, exclusive_truth, codes_found):
    report = real(name)
    assert report.ok
    assert report.exclusive == exclusive_truth
    assert set(codes(report)) == codes_found
    assert CheckReport.model_validate_json(report.model_dump_json()) == report


@needs_shared
def test_nested_and_exclusive_codings_of_one_truth_agree():
    nested, flat = real("wbc_nested"), real("wbc_exclusive")
    # cell = cytoplasm + nucleus, and the nucleus is the pixels with two labels.
    by_name = {one.name: one.pixels for one in flat.class_facts}
    assert nested.labels_per_pixel == (by_name["background"], by_name["cytoplasm"], by_name["nucleus"])
    test = nested.splits[2]
    assert test.set_counts["cell+nucleus"] / test.valid_pixels == pytest.approx(0.107, abs=5e-4)  # its README
    assert nested.nested[0].inner == "nucleus"


def test_a_split_without_a_pixel_that_counts_is_an_error(tmp_path):
    root = tmp_path / "set"
    for folder in ("images", "masks", "splits"):
        (root / folder).mkdir(parents=True)
    (root / "dataset.toml").write_text('name = "x"\nkind = "binary"\nclasses = ["a"]\nignore_index = 255\n')
    rng = np.random.default_rng(0)
    for split in ("train", "val", "test"):
        (root / "splits" / f"{split}.txt").write_text(f"{split}\n")
        picture = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(picture).save(root / "images" / f"{split}.png")
        mask = np.full((8, 8), 255, np.uint8) if split == "val" else (picture[..., 0] > 128).astype(np.uint8)
        Image.fromarray(mask).save(root / "masks" / f"{split}.png")
    errors = [finding.code for finding in check_dataset(open_dataset(root)).findings if finding.severity == "error"]
    assert "SPLIT-IGNORED" in errors
