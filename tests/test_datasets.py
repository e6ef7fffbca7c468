"""The native folder format, its tables and its splits."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_dataset import BINARY, EXCLUSIVE, OVERLAPPING, exclusive, overlapping, picture, save, tables

from pipelines.datasets.classes import Description, default_colors
from pipelines.datasets.facts import count_label_sets, scan
from pipelines.datasets.formats.native import decode_index, decode_layer
from pipelines.datasets.opening import FORMATS, open_dataset
from pipelines.datasets.splits import seeded_split
from pipelines.errors import DatasetError
from pipelines.reading import DataReading


def test_exclusive_truth_has_one_class_where_valid_and_none_where_not(tmp_path):
    dataset = open_dataset(exclusive(tmp_path / "set"))
    item = dataset.read("im00")
    assert (dataset.kind, dataset.classes, dataset.background) == ("exclusive", ("grass", "tree", "lake"), None)
    assert item.image.shape == (6, 8, 3)
    assert item.truth.shape == (3, 6, 8)
    assert item.truth.sum(axis=(1, 2)).tolist() == [16, 16, 8]  # two rows, two rows, one row of 8
    assert item.valid.sum() == 40  # the last row of 6 is ignored
    assert not item.truth[:, ~item.valid].any()


def test_overlapping_truth_keeps_every_label(tmp_path):
    dataset = open_dataset(overlapping(tmp_path / "set"))
    item = dataset.read("im03")
    assert item.truth.sum(axis=(1, 2)).tolist() == [32, 4]
    assert (item.truth[0] & item.truth[1]).sum() == 4
    assert item.valid.all()


def test_overlapping_truth_can_ignore_pixels(tmp_path):
    root = overlapping(tmp_path / "set")
    ignored = np.zeros((6, 8), np.uint8)
    ignored[0] = 255
    save(root / "masks" / "_ignore" / "im00.png", ignored)
    item = open_dataset(root).read("im00")
    assert item.valid.sum() == 40
    assert item.truth.sum(axis=(1, 2)).tolist() == [24, 4]  # the cell loses its first row of 8


@pytest.mark.parametrize("foreground", [1, 255])
def test_binary_foreground_is_1_or_255(tmp_path, foreground):
    root = tables(tmp_path / "set", BINARY, {"train": ["a"], "val": [], "test": []})
    save(root / "images" / "a.png", picture(0))
    mask = np.zeros((6, 8), np.uint8)
    mask[0] = foreground
    save(root / "masks" / "a.png", mask)
    item = open_dataset(root).read("a")
    assert item.truth.shape == (1, 6, 8)
    assert item.truth.sum() == 8


def test_255_beside_1_is_no_foreground():
    truth, valid, wrong = decode_index(np.array([[0, 1, 255]], np.uint8), kind="binary", classes=1, ignore_index=None)
    assert wrong == (255,)
    assert truth.tolist() == [[[False, True, False]]]
    assert valid.tolist() == [[True, True, False]]


def test_a_declared_ignore_index_of_255_is_ignored_not_foreground():
    truth, valid, wrong = decode_index(np.array([[0, 255]], np.uint8), kind="binary", classes=1, ignore_index=255)
    assert (truth.any(), valid.tolist(), wrong) == (False, [[True, False]], ())


def test_class_300_is_not_class_44():
    values = np.array([[44, 300]], np.uint16)
    _, _, wrong = decode_index(values, kind="exclusive", classes=64, ignore_index=None)
    assert wrong == (300,)


@pytest.mark.parametrize(
    ("values", "wrong"), [([0, 255], ()), ([0, 1], ()), ([255], ()), ([0, 1, 255], (1,)), ([0, 7], (7,))]
)
def test_a_layer_is_0_and_255_or_0_and_1(values, wrong):
    assert decode_layer(np.array([values], np.uint8))[1] == wrong


def test_resizing_happens_to_image_truth_and_valid_alike(tmp_path):
    item = open_dataset(exclusive(tmp_path / "set")).read("im00", size=(12, 16))
    assert (item.image.shape, item.truth.shape, item.valid.shape) == ((12, 16, 3), (3, 12, 16), (12, 16))
    assert item.truth.sum(axis=(1, 2)).tolist() == [64, 64, 32]  # every pixel becomes four


def test_read_says_what_is_wrong_and_what_to_do(tmp_path):
    root = exclusive(tmp_path / "set")
    save(root / "masks" / "im00.png", np.zeros((6, 7), np.uint8))
    with pytest.raises(DatasetError, match=r"PAIR-SIZE: masks/im00.png is 7×6, its image im00.png is 8×6; resize"):
        open_dataset(root).read("im00")
    with pytest.raises(DatasetError, match="no image 'nobody'"):
        open_dataset(root).read("nobody")


def test_a_split_list_cannot_leave_the_folder(tmp_path):
    root = exclusive(tmp_path / "set")
    save(tmp_path / "secret.png", picture(9))
    (root / "splits" / "train.txt").write_text("../../secret\n/etc/passwd\n")
    dataset = open_dataset(root)
    for name in dataset.images("train"):
        with pytest.raises(DatasetError, match="no image"):
            dataset.read(name)


def test_lists_may_name_files_with_their_ending(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "splits" / "test.txt").write_text("im10.png\n\nim11\n")
    assert open_dataset(root).images("test") == ("im10", "im11")


def test_groups_are_read_and_an_unnamed_image_is_its_own(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "groups.csv").write_text("image,group\nim00,p1\nim01.png,p1\n")
    groups = open_dataset(root).groups
    assert groups["im00"] == groups["im01"] == "p1"
    assert len(set(groups.values())) == 11  # p1 and ten images that the table leaves out
    assert not open_dataset(overlapping(tmp_path / "other")).groups


def test_the_fingerprint_sees_every_changed_byte_and_nothing_else(tmp_path):
    root = exclusive(tmp_path / "set")
    first = open_dataset(root).fingerprint()
    assert first == open_dataset(exclusive(tmp_path / "copy")).fingerprint()
    (root / "notes.txt").write_text("no part of the data")
    assert open_dataset(root).fingerprint() == first
    seen = {first}
    for path in (root / "masks" / "im00.png", root / "images" / "im03.png"):
        values = picture(77) if path.parent.name == "images" else np.ones((6, 8), np.uint8)
        save(path, values)
        seen.add(open_dataset(root).fingerprint())
    (root / "splits" / "val.txt").write_text("im08\n")
    seen.add(open_dataset(root).fingerprint())
    assert len(seen) == 4


def test_a_format_that_nobody_knows_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(DatasetError, match="available formats are native"):
        open_dataset(tmp_path, DataReading(format="nobodys"))
    with pytest.raises(DatasetError, match="in no known format"):
        open_dataset(tmp_path)
    with pytest.raises(DatasetError, match="not a folder"):
        open_dataset(tmp_path / "none")


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_every_format_can_open_and_recognise(name):
    assert callable(FORMATS[name].open)
    assert not FORMATS[name].recognise(Path("/nonexistent"))


BAD = {
    "kind": ('name = "a"\nkind = "fuzzy"\nclasses = ["a"]', "kind"),
    "typo": (EXCLUSIVE + "ignore_indx = 3\n", "ignore_indx"),
    "one class": ('name = "a"\nkind = "exclusive"\nclasses = ["a"]', "two classes or more"),
    "two in binary": ('name = "a"\nkind = "binary"\nclasses = ["a", "b"]', "exactly one class"),
    "background": ('name = "a"\nkind = "overlapping"\nclasses = ["a", "Background"]', "no class called background"),
    "case": ('name = "a"\nkind = "overlapping"\nclasses = ["Cell", "cell"]', "the same but for case"),
    "reserved": ('name = "a"\nkind = "overlapping"\nclasses = ["macro", "b"]', "reserved"),
    "path": ('name = "a"\nkind = "overlapping"\nclasses = ["..", "b"]', "letters, digits"),
    "slash": ('name = "a"\nkind = "overlapping"\nclasses = ["a/b", "b"]', "letters, digits"),
    "markdown": ('name = "a"\nkind = "overlapping"\nclasses = ["![x](http://x)", "b"]', "letters, digits"),
    "space": ('name = "a"\nkind = "overlapping"\nclasses = [" a", "b"]', "letters, digits"),
    "ignore": ('name = "a"\nkind = "exclusive"\nclasses = ["a", "b"]\nignore_index = 1', "is the value of a class"),
    "color": ('name = "a"\nkind = "binary"\nclasses = ["a"]\ncolors = ["red"]', "must look like"),
    "colors": ('name = "a"\nkind = "binary"\nclasses = ["a"]\ncolors = []', "one colour a class"),
    "priority": (OVERLAPPING + 'priority = ["cell"]', "priority must name each class"),
    "toml": ("name = ", "not valid TOML"),
    "65": (f'name = "a"\nkind = "exclusive"\nclasses = {[f"c{k}" for k in range(65)]}', "64"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_wrong_dataset_toml_is_one_clear_line(tmp_path, case):
    toml, said = BAD[case]
    root = exclusive(tmp_path / "set", images=5, toml=toml)
    with pytest.raises(DatasetError, match=said) as caught:
        open_dataset(root)
    assert "\n" not in str(caught.value)


def test_all_problems_of_a_dataset_toml_are_in_its_one_line(tmp_path):
    root = exclusive(tmp_path / "set", toml='kind = "fuzzy"\nclasses = []\n')
    with pytest.raises(DatasetError, match=r"name: .*; kind: .*; classes: "):
        open_dataset(root)


@pytest.mark.parametrize("folder", ["images", "masks"])
def test_a_missing_folder_is_named(tmp_path, folder):
    root = exclusive(tmp_path / "set")
    (root / folder).rename(root / "elsewhere")
    with pytest.raises(DatasetError, match=f"{folder} is missing"):
        open_dataset(root)


def test_colours_are_stable_distinct_and_leave_grey_to_the_background():
    assert len(set(default_colors(64))) == 64
    assert default_colors(5) == default_colors(64)[:5]
    given = Description(name="a", kind="exclusive", classes=("x", "Background", "y"))
    assert given.class_colors() == (default_colors(2)[0], "#bbbbbb", default_colors(2)[1])
    assert given.background_class() == "Background"


def test_without_lists_images_are_split_70_15_15_and_always_the_same_way(tmp_path):
    root = exclusive(tmp_path / "set", images=40)
    for path in (root / "splits").iterdir():
        path.unlink()
    (root / "splits").rmdir()
    dataset = open_dataset(root)
    sizes = [len(dataset.images(split)) for split in ("train", "val", "test")]
    assert sizes == [28, 6, 6]  # 0.7, 0.15 and 0.15 of 40
    assert dataset.images("test") == open_dataset(root).images("test")


@given(
    st.dictionaries(st.text("abc", min_size=1, max_size=4), st.sampled_from("ABCDEFG"), min_size=1),
    st.randoms(use_true_random=False),
)
def test_a_seeded_split_keeps_groups_whole_and_ignores_order(groups, random):
    names = list(groups)
    split = seeded_split(names, groups)
    random.shuffle(names)
    assert seeded_split(names, groups) == split
    assert sorted(name for part in split.values() for name in part) == sorted(groups)
    where = {}
    for part, members in split.items():
        for name in members:
            assert where.setdefault(groups[name], part) == part
    assert sum(bool(members) for members in split.values()) == min(3, len(set(groups.values())))


def test_scan_counts_by_hand(tmp_path):
    facts = scan(open_dataset(overlapping(tmp_path / "set")), "val")
    # Two images of 48 pixels: 28 cell alone, 4 both, 16 none.
    assert facts.set_counts == {(0,): 56, (): 32, (0, 1): 8}
    assert (facts.images, facts.valid_pixels, facts.ignored_pixels) == (2, 96, 0)
    assert facts.class_pixels == (64, 8)
    assert facts.class_images == (2, 2)
    assert facts.sizes == {(6, 8): 2}
    both = np.concatenate([picture(8).reshape(-1, 3), picture(9).reshape(-1, 3)]) / 255
    np.testing.assert_allclose(facts.mean, both.mean(axis=0), atol=1e-7)
    np.testing.assert_allclose(facts.std, both.std(axis=0), atol=1e-7)
    assert all(type(n) is int for n in facts.set_counts.values())


@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_label_sets_count_every_valid_pixel_once(classes, seed):
    rng = np.random.default_rng(seed)
    truth, valid = rng.random((classes, 5, 7)) < 0.3, rng.random((5, 7)) < 0.8
    slow = {}
    for row, column in zip(*np.nonzero(valid), strict=True):
        members = tuple(int(index) for index in np.flatnonzero(truth[:, row, column]))
        slow[members] = slow.get(members, 0) + 1
    assert count_label_sets(truth, valid) == slow


def test_sixty_four_classes_fit_a_label_set():
    truth = np.ones((64, 1, 2), np.bool_)
    assert count_label_sets(truth, np.ones((1, 2), np.bool_)) == {tuple(range(64)): 2}


def test_known_probabilities_are_read_by_class(tmp_path):
    root = overlapping(tmp_path / "set")
    assert open_dataset(root).probabilities("im00") is None
    for index, name in enumerate(("cell", "nucleus")):
        save(root / "probabilities" / name / "im00.png", np.full((6, 8), 51 * (index + 1), np.uint8))
    probs = open_dataset(root).probabilities("im00")
    assert probs.shape == (2, 6, 8)
    np.testing.assert_allclose(probs[:, 0, 0], [0.2, 0.4], rtol=1e-6)  # 51 / 255 = 0.2
