"""Masks that are no class: of other observers, soft ones, fields of view, pictures derived from masks."""

import json

import imagecodecs
import numpy as np
import pytest
import tifffile
from make_dataset import overlapping, picture, save
from mask_layouts import color_mask, index_mask, rows
from PIL import Image
from places import shared_cases

from pipelines.datasets.check import check_dataset
from pipelines.datasets.formats.masks.names import RoleName, role_named
from pipelines.datasets.opening import open_dataset, recognise, recognised_text
from pipelines.errors import DatasetError
from pipelines.reading import DataReading
from pipelines.schema import SPLITS

COUNT = 4
FIRST, SECOND, VIEW = rows(1, 1), rows(1, 2), rows(0, 4)  # 8, 16 and 40 of 48 pixels
needs_cases = pytest.mark.skipif(not shared_cases().is_dir(), reason="the cases beside the checkout are not there")


def messages(dataset, code) -> list[str]:
    return [finding.message for finding in dataset.structure() if finding.code == code]


def formats(root) -> list[str]:
    return [one.format for one in recognise(root)]


def read(root, **options):
    return open_dataset(root, DataReading(options=options))


def write(root, **files):
    """COUNT pictures, and masks by a pattern of paths each, such as {"masks/{i}.png": FIRST}."""
    for index in range(COUNT):
        for pattern, values in files.items():
            made = picture(index) if values is None else values
            save(root / pattern.format(i=index), made)
    return root


def foreground(dataset) -> set[tuple[int, int]]:
    """Pixels of the only class and pixels that count, over all images."""
    assert (dataset.kind, len(dataset.classes)) == ("binary", 1)
    items = [dataset.read(name) for name in dataset.names()]
    return {(int(item.truth.sum()), int(item.valid.sum())) for item in items}


def drive(root):
    """The tree of DRIVE: names of pictures end in their split, mask/ is the field of view, test has two observers."""
    for index in range(COUNT):
        for split, stem in (("training", f"2{index}_training"), ("test", f"0{index}_test")):
            number = stem.split("_")[0]
            save(root / split / "images" / f"{stem}.tif", picture(index))
            save(root / split / "1st_manual" / f"{number}_manual1.png", FIRST)
            save(root / split / "mask" / f"{stem}_mask.png", VIEW)
        save(root / "test" / "2nd_manual" / f"0{index}_manual2.png", SECOND)
    return root


OBSERVERS = {
    "CHASE_DB1": ("Image_{i}L.jpg", "Image_{i}L_1stHO.png", "Image_{i}L_2ndHO.png"),
    "STARE": ("images/im{i}.png", "labels-ah/im{i}.ah.png", "labels-vk/im{i}.vk.png"),
    "HRF": ("images/{i}_dr.jpg", "manual1/{i}_dr.png", "manual2/{i}_dr.png"),
    "folders of two observers": ("images/{i}.png", "masks/{i}.png", "masks_2nd_observer/{i}.png"),
    "folders of annotators": ("images/{i}.png", "annotator_1/{i}.png", "annotator_2/{i}.png"),
    "a folder for each expert": ("images/{i}.png", "masks/expert1/{i}.png", "masks/expert2/{i}.png"),
    "suffixes": ("images/{i}.png", "masks/{i}_rater1.png", "masks/{i}_rater2.png"),
    "consensus and readers": ("images/{i}.png", "masks/{i}.png", "masks_reader3/{i}.png"),
    "letters": ("images/{i}.png", "masks/expert_A/{i}.png", "masks/expert_B/{i}.png"),
    "letters at the end": ("images/{i}.png", "masks/{i}_raterA.png", "masks/{i}_raterB.png"),
    "names": ("images/{i}.png", "masks/annotator_alice/{i}.png", "masks/annotator_bob/{i}.png"),
}


PEOPLE = {
    "folders of two observers": ("first", "2"), "consensus and readers": ("first", "3"), "letters": ("a", "b"),
    "letters at the end": ("a", "b"), "names": ("alice", "bob"),
}  # fmt: skip


@pytest.mark.parametrize("layout", OBSERVERS)
def test_another_observer_is_no_class(tmp_path, layout):
    images, first, second = OBSERVERS[layout]
    write(tmp_path, **{images: None, first: FIRST, second: SECOND})
    assert formats(tmp_path) == ["indexed"]
    dataset = open_dataset(tmp_path)
    assert len(dataset.names()) == COUNT
    assert foreground(dataset) == {(8, 48)}
    [note] = messages(dataset, "OBSERVERS")
    own, number = PEOPLE.get(layout, ("1", "2"))
    assert note.startswith(
        f"2 observers marked the pictures ({own}: 4, {number}: 4 of 4); the truth is that of {own}, "
    )
    assert f"the option observer takes {own}, {number} or majority; the option extra_masks=classes" in note
    assert note.split(";")[0] in recognised_text(dataset)
    assert foreground(read(tmp_path, observer=own)) == {(8, 48)}
    assert foreground(read(tmp_path, observer=number)) == {(16, 48)}
    assert foreground(read(tmp_path, observer="majority")) == {(int(((FIRST > 0) | (SECOND > 0)).sum()), 48)}
    for option in (own, number, "majority"):
        chosen = read(tmp_path, observer=option)
        item = chosen.read(chosen.names()[0])
        assert {who: int(layers.sum()) for who, layers in item.observers.items()} == {own: 8, number: 16}
        np.testing.assert_array_equal(item.soft[0], ((FIRST > 0) + (SECOND > 0).astype(np.float32)) / 2)
    both = open_dataset(tmp_path, DataReading(format="per_class", options={"extra_masks": "classes"}))
    assert len(both.classes) == 2
    assert sorted(both.read(both.names()[0]).truth.sum(axis=(1, 2)).tolist()) == [8, 16]


def test_the_mask_beside_the_first_manual_is_the_field_of_view(tmp_path):
    dataset = open_dataset(drive(tmp_path))
    assert len(dataset.images("train")) + len(dataset.images("val")) == COUNT  # training gives both
    assert set(dataset.images("test")) == {f"0{index}_test" for index in range(COUNT)}
    assert foreground(dataset) == {(8, 40)}
    assert messages(dataset, "FIELD-OF-VIEW") == [
        "8 fields of view, such as test/mask/00_test_mask.png, mark where pixels count: those outside are left out of "
        "everything; the option field_of_view=none counts all"
    ]
    [note] = messages(dataset, "OBSERVERS")
    assert note.startswith("2 observers marked the pictures (1: 8, 2: 4 of 8); the truth is that of 1, ")
    assert foreground(read(tmp_path, field_of_view="none")) == {(8, 48)}
    second = read(tmp_path, observer="2")
    assert foreground(second) == {(16, 40)}
    assert len(second.names()) == COUNT  # of test alone


def test_a_mask_that_does_not_hold_the_first_manual_is_the_truth(tmp_path):
    # A consensus: beside it, the first observer is another observer.
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": rows(2, 3), "manual1/{i}.png": rows(1, 3)})
    dataset = open_dataset(tmp_path)
    assert foreground(dataset) == {(16, 48)}
    assert messages(dataset, "FIELD-OF-VIEW") == []
    assert "(first: 4, 1: 4 of 4); the truth is that of first," in messages(dataset, "OBSERVERS")[0]


def test_manual_and_mask_alone_are_truth_and_field_of_view(tmp_path):
    write(tmp_path, **{"images/{i}.jpg": None, "manual/{i}.png": FIRST, "mask/{i}.png": VIEW})
    assert foreground(open_dataset(tmp_path)) == {(8, 40)}


@pytest.mark.parametrize(
    "view", ["fov/{i}.png", "field_of_view/{i}.png", "masks/fov/{i}.png", "masks/{i}_fov.png", "FOV masks/{i}.png"]
)
def test_pixels_outside_the_field_of_view_count_nowhere(tmp_path, view):
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": rows(4, 5), view: VIEW})
    dataset = open_dataset(tmp_path)
    assert foreground(dataset) == {(8, 40)}  # row 4 of rows 4 and 5
    report = check_dataset(dataset)
    assert report.ignored_share == pytest.approx(8 / 48)
    assert foreground(read(tmp_path, field_of_view="none")) == {(16, 48)}
    # By the option masks as well.
    if not view.startswith("masks"):
        assert foreground(read(tmp_path, masks="masks")) == {(8, 40)}


def test_a_field_of_view_counts_in_the_fingerprint_and_may_lack_or_not_fit(tmp_path):
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": FIRST, "fov/{i}.png": VIEW})
    before = open_dataset(tmp_path).fingerprint()
    save(tmp_path / "fov" / "0.png", rows(0, 3))
    assert open_dataset(tmp_path).fingerprint() != before
    save(tmp_path / "fov" / "0.png", np.full((5, 8), 255, np.uint8))
    (tmp_path / "fov" / "1.png").unlink()
    dataset = open_dataset(tmp_path)
    assert [finding.message for finding in dataset.examine("0").findings] == [
        "fov/0.png is 8×5, but the truth of 0 is 8×6; save the field of view at the size of the picture"
    ]
    assert messages(dataset, "FIELD-MISSING") == [
        "1 pictures have no field of view and count wholly, such as images/1.png; add the files"
    ]
    assert dataset.read("1").valid.all()


def test_slices_of_a_stack_have_the_field_of_view_of_their_page_or_of_the_stack(tmp_path):
    for folder in ("images", "masks", "fov"):
        (tmp_path / folder).mkdir()
    pages = np.stack([rows(0, 1, 1), rows(2, 3, 1)])
    views = np.stack([rows(0, 2, 1), rows(2, 2, 1)])
    for stem, view in (("a", views), ("b", VIEW)):
        tifffile.imwrite(
            tmp_path / "images" / f"{stem}.tif", np.stack([picture(0)[:, :, 0]] * 2), photometric="minisblack"
        )
        tifffile.imwrite(tmp_path / "masks" / f"{stem}.tif", pages, photometric="minisblack")
        tifffile.imwrite(tmp_path / "fov" / f"{stem}.tif", view, photometric="minisblack")
    dataset = open_dataset(tmp_path, DataReading(format="tiff", options={"pages": "slices"}))
    counts = [(int(item.truth.sum()), int(item.valid.sum())) for item in map(dataset.read, dataset.names())]
    assert counts == [(16, 24), (8, 8), (16, 40), (16, 40)]


def test_a_region_of_interest_is_left_open(tmp_path):
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": FIRST, "masks/roi/{i}.png": VIEW})
    dataset = open_dataset(tmp_path)
    assert foreground(dataset) == {(8, 48)}
    assert messages(dataset, "MASKS-UNUSED") == [
        "4 masks of a region of interest, such as masks/roi/0.png, are left out; the option extra_masks=classes, "
        "in the format per_class, reads the classes object, roi, or field_of_view=roi leaves out the pixels outside of "
        "it"
    ]
    assert foreground(read(tmp_path, field_of_view="roi")) == {(8, 40)}
    reading = DataReading(format="per_class", options={"extra_masks": "classes"})
    assert open_dataset(tmp_path, reading).classes == ("object", "roi")
    for index in range(COUNT):
        (tmp_path / "masks" / f"{index}.png").unlink()
    assert read(tmp_path).classes == ("roi",)  # alone it is what there is


def test_soft_masks_are_probabilities_of_a_class_and_none_of_their_own(tmp_path):
    soft = np.where(FIRST, 191, 64).astype(np.uint8)
    write(tmp_path, **{"images/{i}.png": None, "masks/lesion/{i}.png": FIRST, "masks_soft/lesion/{i}.png": soft})
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("lesion",)
    assert foreground(dataset) == {(8, 48)}
    assert messages(dataset, "SOFT-TRUTH") == [
        "4 grey masks, such as masks_soft/lesion/0.png, say how probable classes are (white is certain); the truth is "
        "that of the other masks, and calibration is measured against both; the option soft=none leaves them out"
    ]
    np.testing.assert_array_equal(dataset.read("0").soft[0], soft.astype(np.float32) / 255)
    assert read(tmp_path, soft="none").read("0").soft is None


def test_soft_exudates_are_a_class(tmp_path):
    write(
        tmp_path,
        **{"images/{i}.png": None, "masks/Soft Exudates/{i}.png": FIRST, "masks/Hard Exudates/{i}.png": SECOND},
    )
    assert open_dataset(tmp_path).classes == ("Hard Exudates", "Soft Exudates")


def test_observers_of_several_classes_keep_the_classes(tmp_path):
    write(
        tmp_path,
        **{
            "images/{i}.png": None,
            "masks/expert1/cup/{i}.png": FIRST, "masks/expert1/disc/{i}.png": VIEW,
            "masks/expert2/cup/{i}.png": SECOND, "masks/expert2/disc/{i}.png": VIEW,
        },
    )  # fmt: skip
    for options, cup in (({}, 8), ({"observer": "2"}, 16), ({"observer": "expert2"}, 16)):
        dataset = read(tmp_path, **options)
        assert (dataset.kind, dataset.classes) == ("overlapping", ("cup", "disc"))
        assert dataset.read("0").truth.sum(axis=(1, 2)).tolist() == [cup, 40]


DERIVED = {
    "labels_color/{i}.png": color_mask(),
    "labels/{i}_color.png": color_mask(),
    "labels/overlay_vis/{i}.png": picture(0),
    "labels_vis/{i}.png": picture(0),
    "labels/{i}_vis.png": picture(0),
    "labels_preview/{i}.jpg": picture(0),
    "labels/predictions/{i}.png": index_mask(2, 1),
    "labels/pred/{i}.png": index_mask(2, 1),
    "labels/instances/{i}.png": index_mask(7, 9),
    "labels/visualisation/{i}.png": picture(0),
}


@pytest.mark.parametrize("derived", DERIVED)
def test_pictures_derived_from_masks_are_no_classes(tmp_path, derived):
    write(tmp_path, **{"images/{i}.png": None, "labels/{i}.png": index_mask(1, 2), derived: DERIVED[derived]})
    assert formats(tmp_path) == ["indexed"]
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("background", "class 1", "class 2")
    assert dataset.read("0").truth.sum(axis=(1, 2)).tolist() == [8, 16, 24]


@pytest.mark.parametrize("folder", ["preds", "overlays", "results", "instances"])
def test_folders_beside_pictures_and_masks_are_named(tmp_path, folder):
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": FIRST, f"{folder}/{{i}}.png": SECOND})
    dataset = open_dataset(tmp_path)
    assert foreground(dataset) == {(8, 48)}
    if folder != "overlays":  # passed over by its name wherever it is
        [note] = messages(dataset, "FILE-UNUSED")
        assert note.startswith(f"4 picture files, such as {folder}/0.png, are not read")


def test_semantic_masks_beside_instances_are_read(tmp_path):
    write(
        tmp_path,
        **{"images/{i}.png": None, "semantic/{i}.png": index_mask(1, 2), "instances/{i}.png": index_mask(7, 9)},
    )
    assert open_dataset(tmp_path).classes == ("background", "class 1", "class 2")


def test_numbered_masks_that_are_alike_may_be_of_several_observers(tmp_path):
    # As from LIDC: two rows of four in both.
    masks = {"masks/p{i}_1.png": rows(1, 3), "masks/p{i}_2.png": rows(2, 4)}
    write(tmp_path, **{"images/p{i}.png": None}, **masks)
    dataset = open_dataset(tmp_path)
    assert dataset.read("p0").truth.sum() == 32  # united, as objects are: rows 1-4
    [warning] = messages(dataset, "MASKS-ALIKE")
    assert "masks/p0_1.png and masks/p0_2.png mark nearly the same pixels (IoU 0.50)" in warning  # 16 of 32
    assert "observer=1" in warning
    chosen = read(tmp_path, observer="1")
    assert foreground(chosen) == {(24, 48)}
    assert messages(chosen, "MASKS-ALIKE") == []


def test_masks_of_two_people_may_lie_in_one_another(tmp_path):
    smaller = rows(0, 5)
    smaller[0] = 0
    smaller[0, :2] = 255
    masks = {"masks/a1/{i}.png": rows(0, 5), "masks/a2/{i}.png": smaller}  # IoU 42/48
    write(tmp_path, **{"images/{i}.png": None}, **masks)
    [warning] = messages(open_dataset(tmp_path), "MASKS-ALIKE")
    assert "(IoU 0.88)" in warning


def test_a_class_behind_a_word_for_people_is_that_class(tmp_path):
    masks = {"masks/annotator_cup/{i}.png": FIRST, "masks/cup/{i}.png": SECOND, "masks/disc/{i}.png": VIEW}
    write(tmp_path, **{"images/{i}.png": None}, **masks)
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("cup", "disc")
    assert dataset.read("0").truth.sum(axis=(1, 2)).tolist() == [16, 40]


def test_classes_that_lie_in_one_another_are_no_observers(tmp_path):
    write(tmp_path, **{"images/{i}.png": None, "masks/cell/{i}.png": rows(0, 3), "masks/nucleus/{i}.png": rows(1, 3)})
    assert messages(open_dataset(tmp_path), "MASKS-ALIKE") == []


def test_masks_that_hold_all_others_may_be_fields_of_view(tmp_path):
    # As LES-AV: vessel-segmentations beside masks, which are fields of view; cells with nuclei look the same.
    write(tmp_path, **{"images/{i}.png": None, "vessel-segmentations/{i}.png": FIRST, "masks/{i}.png": VIEW})
    dataset = open_dataset(tmp_path)
    assert dataset.classes == ("object", "vessel")
    assert messages(dataset, "MASKS-ALIKE") == [
        "masks such as masks/0.png hold all that the others mark and are recognised as a class; if they are "
        "fields of view, say field_of_view=masks"
    ]
    chosen = read(tmp_path, field_of_view="masks")
    assert foreground(chosen) == {(8, 40)}


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"observer": "7"}, "observer must be first, majority or 2, or the name of one who made masks, got '7'"),
        ({"soft": "elsewhere"}, "soft must be a folder or the ending of names of masks, got 'elsewhere'"),
        ({"field_of_view": "elsewhere"}, "field_of_view must be a folder or the ending of names"),
        ({"extra_masks": "yes"}, "extra_masks must be classes or left out, got 'yes'"),
    ],
)
def test_options_that_name_nothing_are_refused(tmp_path, options, problem):
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": FIRST, "masks_2nd_observer/{i}.png": SECOND})
    with pytest.raises(DatasetError, match=problem):
        read(tmp_path, **options)


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("2nd_observer", "observer", 2), ("1stHO", "observer", 1), ("manual1", "observer", 1),
        ("second-annotator", "observer", 2), ("Observer 3", "observer", 3), ("raters", "observer", 1),
        ("2nd", "observer", 2), ("masks_reader12", "observer", 12), ("fov", "field", None),
        ("field of view", "field", None), ("soft", "soft", None), ("SoftMap", "soft", None), ("ROI", "region", None),
        ("labels_color", None, None), ("color", "derived", None), ("vis", "derived", None),
        ("soft_tissue", None, None), ("manual", None, None), ("human", None, None), ("expert", None, None),
        ("second_molar", None, None), ("readers", None, None), ("colorectal", None, None), ("television", None, None),
        ("2", None, None), ("cell", None, None), ("photo", None, None), ("ho", None, None),
    ],
)  # fmt: skip
def test_names_of_masks_that_are_no_class(text, kind, number):
    said = role_named(text)
    assert (said and said.role) == kind
    assert ((said and said.who) or None) == (None if number is None else str(number))


def test_a_class_may_stand_beside_the_observer_in_a_name():
    assert role_named("cup_expert2") == RoleName("observer", "cup", "2")
    assert role_named("lesion_soft", frozenset({"lesion"})) == RoleName("soft", "lesion")
    assert role_named("lesion_soft") is None


def test_native_folders_name_what_they_do_not_read(tmp_path):
    root = overlapping(tmp_path / "set")
    assert messages(open_dataset(root), "FILE-UNUSED") == []
    save(root / "fov" / "im00.png", VIEW)
    assert messages(open_dataset(root), "FILE-UNUSED") == [
        "fov/ is no part of a native folder and is not read, such as fov/im00.png"
    ]


@needs_cases
def test_case_of_two_observers_with_fields_of_view():
    root = shared_cases() / "two_observers" / "data"
    dataset = open_dataset(root)
    for split in SPLITS:
        assert list(dataset.images(split)) == (root / "splits" / f"{split}.txt").read_text().split()
    for name in dataset.names():
        mask, view = (np.asarray(Image.open(root / folder / f"{name}.png")) > 0 for folder in ("masks", "fov"))
        item = dataset.read(name)
        assert (item.truth[0] == (mask & view)).all()
        assert (item.valid == view).all()


@needs_cases
def test_cases_of_soft_masks_and_of_chase():
    soft = check_dataset(open_dataset(shared_cases() / "soft_masks" / "data"))
    assert (soft.kind, soft.classes, soft.ok) == ("binary", ("lesion",), True)
    expected = json.loads((shared_cases() / "chase" / "expect.json").read_text())["counts"]
    chase = check_dataset(open_dataset(shared_cases() / "chase" / "data"))
    assert (chase.kind, chase.class_facts[0].pixels) == ("binary", expected["1"])
    assert sum(chase.labels_per_pixel) - expected["1"] == expected["0"]


def test_tissue_in_the_name_of_a_mask_folder_is_part_of_the_class(tmp_path):
    for classes in (["bone", "soft_tissue"], ["tissue", "tumor"]):
        masks = {f"masks/{name}/{{i}}.png": FIRST for name in classes}
        data = write(tmp_path / classes[0], **{"images/{i}.png": None}, **masks)
        assert sorted(read(data).classes) == classes


def test_masks_of_which_none_can_be_read_say_why(tmp_path):
    write(tmp_path, **{"images/{i}.png": None, "masks/{i}.png": FIRST})
    deep = np.zeros((*FIRST.shape, 3), np.uint16)
    deep[0, 0] = 300  # more than 8 bits hold, and no multiple of 257
    deep[0, 1] = 1, 2, 3
    for path in (tmp_path / "masks").iterdir():
        path.write_bytes(imagecodecs.png_encode(deep))
    with pytest.raises(DatasetError, match=r"none of the masks can be read, .* colours of 16 bits that 8 bits cannot"):
        open_dataset(tmp_path, DataReading(format="colored"))
