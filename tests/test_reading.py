"""What is said of a data set beside its files: classes made of labels, kinds found out, splits completed."""

import doctest
import importlib
import json
import pkgutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from make_dataset import exclusive, overlapping, picture

from pipelines import datasets
from pipelines.datasets.base import Format, Label, Picture, Source, Truth
from pipelines.datasets.classes import Description, safe_class_name
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import FORMATS, open_dataset, recognise, recognised_text
from pipelines.datasets.splits import complete_splits, groups_by_name
from pipelines.errors import DatasetError
from pipelines.reading import DataReading, SplitRule, parse_reading, read_reading, write_reading

SAMPLES = Path(__file__).parents[1] / "sample_data"
MODULES = [module.name for module in pkgutil.walk_packages(datasets.__path__, f"{datasets.__name__}.")]
ROWS = {"sky": (0, 1), "wall": (1, 3), "door": (3, 4), "void": (5, 6)}  # rows of 6; row 4 carries nothing


class Stripes(Source):
    """Eight images of 6×8, each label on whole rows; with door_on_wall, the door lies on the wall's last row too."""

    def __init__(self, root, *, door_on_wall=False, exclusive=False, complete=False, splits=None, names=8, roles=None):
        self.root, self.name = root, "stripes"
        roles = {"void": "ignore"} | (roles or {})
        self.labels = tuple(Label(name, None, roles.get(name, "class")) for name in ROWS)
        self.exclusive, self.complete, self.splits, self.groups = exclusive, complete, splits or {}, {}
        self._names = tuple(f"a_{index // 2}_{index % 2}" for index in range(names))
        self._door = (2, 4) if door_on_wall else ROWS["door"]

    def names(self):
        return self._names

    def picture(self, name, *, size=None):
        return Picture(picture(1).astype(np.float32) / 255, (6, 8))

    def truth(self, name):
        layers = np.zeros((len(ROWS), 6, 8), np.bool_)
        for layer, (label, rows) in zip(layers, ROWS.items(), strict=True):
            layer[slice(*(self._door if label == "door" else rows))] = True
        return Truth(layers, np.ones((6, 8), np.bool_))

    def files(self):
        return [self.root / "one.txt"]


def rules(**classes):
    return [{"name": name, "labels": labels} for name, labels in classes.items()]


def said(**values):
    return parse_reading(values, "test")


def rows_of(dataset, name):
    """Rows of an image that carry a class, of column 0."""
    truth = dataset.read("a_0_0").truth
    return np.flatnonzero(truth[dataset.classes.index(name), :, 0]).tolist()


def ignored_rows(dataset):
    return np.flatnonzero(~dataset.read("a_0_0").valid[:, 0]).tolist()


def test_without_a_word_every_label_is_a_class_and_the_rest_is_background(tmp_path):
    dataset = Dataset(Stripes(tmp_path), DataReading())
    assert (dataset.kind, dataset.classes) == ("exclusive", ("background", "sky", "wall", "door"))
    assert dataset.background == "background"
    assert [rows_of(dataset, name) for name in dataset.classes] == [[4], [0], [1, 2], [3]]
    assert ignored_rows(dataset) == [5]


def test_a_pixel_with_two_labels_makes_the_truth_overlapping(tmp_path):
    dataset = Dataset(Stripes(tmp_path, door_on_wall=True), DataReading())
    assert (dataset.kind, dataset.classes, dataset.background) == ("overlapping", ("sky", "wall", "door"), None)
    assert (rows_of(dataset, "wall"), rows_of(dataset, "door")) == ([1, 2], [2, 3])


def test_a_label_that_is_the_background_by_itself_takes_what_is_left(tmp_path):
    dataset = Dataset(Stripes(tmp_path, roles={"sky": "background"}), DataReading())
    assert (dataset.classes, dataset.background) == (("sky", "wall", "door"), "sky")
    assert rows_of(dataset, "sky") == [0, 4]


def test_labels_are_merged_dropped_ignored_and_nested(tmp_path):
    merged = Dataset(Stripes(tmp_path), said(classes=rules(house=["wall", "door"], sky=["sky"]), ignore=["void"]))
    assert merged.classes == ("background", "house", "sky")
    assert rows_of(merged, "house") == [1, 2, 3]

    dropped = Dataset(Stripes(tmp_path), said(classes=rules(wall=["wall"], sky=["sky"]), ignore=["void"]))
    assert rows_of(dropped, "background") == [3, 4]
    assert "door" in next(one.message for one in dropped.structure() if one.code == "LABEL-UNUSED")

    ignored = Dataset(Stripes(tmp_path), said(classes=rules(wall=["wall"], sky=["sky"]), ignore=["void", "door"]))
    assert ignored_rows(ignored) == [3, 5]

    # A region that holds another: cell = cytoplasm + nucleus.
    nested = Dataset(Stripes(tmp_path), said(classes=rules(house=["wall", "door"], door=["door"]), ignore=["void"]))
    assert nested.kind == "overlapping"
    assert (rows_of(nested, "house"), rows_of(nested, "door")) == ([1, 2, 3], [3])


def test_no_background_means_that_pixels_without_a_class_do_not_count(tmp_path):
    dataset = Dataset(Stripes(tmp_path), said(background=""))
    assert dataset.classes == ("sky", "wall", "door")
    assert ignored_rows(dataset) == [4, 5]


def test_the_background_may_be_any_class_and_keeps_its_place(tmp_path):
    reading = said(classes=rules(wall=["wall"], sky=["sky"], door=["door"]), background="sky", ignore=["void"])
    dataset = Dataset(Stripes(tmp_path), reading)
    assert (dataset.classes, dataset.background) == (("wall", "sky", "door"), "sky")
    assert rows_of(dataset, "sky") == [0, 4]


@pytest.mark.parametrize(
    ("priority", "wall", "door"), [(None, [1, 2], [3]), (("door", "wall"), [1], [2, 3]), (("wall",), [1, 2], [3])]
)
def test_a_pixel_of_several_labels_goes_to_the_first_in_the_order(tmp_path, priority, wall, door):
    dataset = Dataset(Stripes(tmp_path, door_on_wall=True), said(kind="exclusive", priority=priority))
    assert (rows_of(dataset, "wall"), rows_of(dataset, "door")) == (wall, door)
    notes = [one for one in dataset.examine("a_0_0").findings if one.code == "OVERLAP-RESOLVED"]
    assert "20.0%" in notes[0].message  # one row of the five that count


def test_the_files_may_say_who_wins_and_the_reader_says_otherwise(tmp_path):
    source = Stripes(tmp_path, door_on_wall=True)
    source.priority = ("door", "wall", "sky")
    assert Dataset(source, DataReading()).priority == ("door", "wall", "sky")
    assert Dataset(source, said(priority=("wall",))).priority == ("wall", "sky", "door")
    assert rows_of(Dataset(source, said(kind="exclusive")), "door") == [2, 3]


def test_the_priority_of_overlapping_truth_names_every_class(tmp_path):
    dataset = Dataset(Stripes(tmp_path, door_on_wall=True), said(priority=("door",)))
    assert dataset.priority == ("door", "sky", "wall")


def test_one_class_is_binary(tmp_path):
    dataset = Dataset(Stripes(tmp_path), said(classes=rules(house=["wall", "door"])))
    assert (dataset.kind, dataset.classes, dataset.background) == ("binary", ("house",), None)
    assert rows_of(dataset, "house") == [1, 2, 3]
    assert ignored_rows(dataset) == [5]


@pytest.mark.parametrize(
    ("reading", "words"),
    [
        ({"classes": rules(a=["tree"])}, "no label 'tree'; its labels are sky, wall, door, void"),
        ({"classes": rules(a=["wall"], b=["sky"]), "kind": "binary"}, "binary truth has one class, here are 2"),
        ({"classes": rules(a=["wall"]), "kind": "exclusive", "background": ""}, "choose binary"),
        ({"classes": rules(**{"a/b": ["wall"], "c": ["sky"]})}, "class name 'a/b' must be"),
        ({"classes": rules(macro=["wall"], c=["sky"])}, "reserved"),
        ({"ignore": ["sky", "wall", "door", "void"]}, "no class besides the background"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, reading, words):
    with pytest.raises(DatasetError) as caught:
        Dataset(Stripes(tmp_path), said(**reading))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"clases": []}, "clases"),
        ({"classes": [{"name": "a", "labels": []}]}, "classes.0.labels"),
        ({"classes": rules(a=["x"]) + rules(a=["y"])}, "must differ"),
        ({"classes": rules(a=["x"]), "ignore": ["x"]}, "in a class and ignored"),
        ({"splits": {"shares": [0.5, 0.5, 0.5]}}, "add up to 1"),
        ({"classes": [{"name": "a", "labels": ["x"], "color": "red"}]}, "color"),
        ([], "valid dictionary"),
    ],
)
def test_a_reading_that_makes_no_sense_is_one_line(values, words):
    with pytest.raises(DatasetError, match=words):
        parse_reading(values, "reading.json")


def test_a_reading_goes_to_a_file_and_comes_back(tmp_path):
    reading = said(
        classes=rules(a=["wall", "<b>"]), background="", priority=["a"], splits={"groups": "name", "parts": 2}
    )
    write_reading(tmp_path / "reading.json", reading)
    assert read_reading(tmp_path / "reading.json") == reading
    for content in (b"{", b"\xff\xfe\x00", b"[" * 100_000):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(DatasetError, match=r"bad\.json"):
            read_reading(tmp_path / "bad.json")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_reading(tmp_path / "none.json")


@pytest.mark.parametrize("options", [{}, {"door_on_wall": True}, {"exclusive": True}, {"roles": {"sky": "background"}}])
def test_what_was_found_out_can_be_said_and_gives_the_same(tmp_path, options):
    first = Dataset(Stripes(tmp_path, **options), DataReading())
    again = Dataset(Stripes(tmp_path, **options), first.full_spec)
    assert again.full_spec == first.full_spec
    assert (again.kind, again.classes, again.colors, again.background) == (
        first.kind, first.classes, first.colors, first.background,
    )  # fmt: skip
    assert np.array_equal(first.read("a_0_0").truth, again.read("a_0_0").truth)


@pytest.mark.parametrize("name", ["cells", "landcover", "vessels"])
def test_a_native_folder_read_through_its_table_of_classes_is_the_same_set(name):
    native = open_dataset(SAMPLES / name)
    reading = native.full_spec
    read = open_dataset(SAMPLES / name, reading)
    assert isinstance(read, Dataset)
    assert native.spec == DataReading(format="native")
    for attribute in ("name", "kind", "classes", "colors", "background", "groups"):
        assert getattr(read, attribute) == getattr(native, attribute), attribute
    for split in ("train", "val", "test"):
        assert read.images(split) == native.images(split)
    for image in native.names()[:3]:
        one, other = native.read(image, size=(64, 48)), read.read(image, size=(64, 48))
        assert np.array_equal(one.truth, other.truth)
        assert np.array_equal(one.valid, other.valid)
        assert np.array_equal(one.image, other.image)


def test_a_broken_native_folder_says_the_same_through_its_table(tmp_path):
    root = exclusive(tmp_path / "set")
    (root / "masks" / "im03.png").write_bytes(b"broken")
    read = open_dataset(root, open_dataset(root).full_spec)
    assert [one.code for one in read.examine("im03").findings] == ["MASK-UNREADABLE"]
    (root / "images" / "im04.png").write_bytes(b"broken")
    assert [one.code for one in read.examine("im04").findings] == ["IMAGE-UNREADABLE"]
    assert [one.code for one in read.examine("nobody").findings] == ["IMAGE-MISSING"]


def test_a_mask_of_another_size_than_its_picture_is_found(tmp_path):
    source = Stripes(tmp_path)
    source.picture = lambda name, size=None: Picture(np.zeros((8, 6, 3), np.float32), (8, 6), orientation=3)
    found = Dataset(source, DataReading()).examine("a_0_0")
    assert [one.code for one in found.findings] == ["PAIR-SIZE"]
    assert "its image is 6×8" in found.findings[0].message


def test_the_fingerprint_follows_files_and_reading(tmp_path):
    (tmp_path / "one.txt").write_text("x")
    prints = {Dataset(Stripes(tmp_path), DataReading()).fingerprint()}
    assert Dataset(Stripes(tmp_path), DataReading()).fingerprint() in prints
    prints.add(Dataset(Stripes(tmp_path), said(background="")).fingerprint())
    prints.add(Dataset(Stripes(tmp_path), said(splits={"seed": 1})).fingerprint())
    (tmp_path / "one.txt").write_text("y")
    prints.add(Dataset(Stripes(tmp_path), DataReading()).fingerprint())
    assert len(prints) == 4


NAMES = tuple(f"p{index // 4}_{index % 4}" for index in range(40))
GROUPS = groups_by_name(NAMES, "_", 1)


@pytest.mark.parametrize(
    ("given_lists", "made"),
    [
        ({}, "70 / 15 / 15%"),
        ({"train": NAMES}, "70 / 15 / 15%"),
        ({"train": NAMES[:28], "val": NAMES[28:]}, "it has no test"),
        ({"train": NAMES[:28], "test": NAMES[28:]}, "it has no val"),
        ({"train": NAMES[:20], "val": NAMES[20:32], "test": NAMES[32:]}, None),
    ],
)
def test_lists_that_are_missing_are_made_of_whole_groups_and_said(given_lists, made):
    lists, words = complete_splits(given_lists, NAMES, GROUPS, SplitRule())
    assert sorted(name for some in lists.values() for name in some) == sorted(NAMES)
    assert all(lists.values())
    for group in set(GROUPS.values()):
        assert sum(any(GROUPS[name] == group for name in some) for some in lists.values()) == 1
    assert (words is None) if made is None else made in words
    if "test" in given_lists:
        assert lists["test"] == given_lists["test"]


def test_new_shares_and_seeds_give_other_lists_whatever_the_files_say():
    given_lists = {"train": NAMES[:20], "val": NAMES[20:32], "test": NAMES[32:]}
    lists, _ = complete_splits(given_lists, NAMES, {}, SplitRule(by="fraction", shares=(0.5, 0.25, 0.25), seed=3))
    assert [len(lists[split]) for split in ("train", "val", "test")] == [20, 10, 10]
    other, _ = complete_splits(given_lists, NAMES, {}, SplitRule(by="fraction", shares=(0.5, 0.25, 0.25), seed=4))
    assert other != lists


def test_groups_come_from_names_if_asked(tmp_path):
    dataset = Dataset(Stripes(tmp_path), said(splits={"groups": "name", "separator": "_", "parts": 2}))
    assert dataset.groups["a_0_0"] == dataset.groups["a_0_1"] == "a_0"
    assert len(set(dataset.groups.values())) == 4
    assert Dataset(Stripes(tmp_path), said(splits={"groups": "none"})).groups == {}


@given(st.lists(st.text(max_size=100), min_size=1, max_size=20))
def test_any_text_becomes_a_name_that_classes_may_have(labels):
    taken = set()
    for label in labels:
        name = safe_class_name(label, taken)
        taken.add(name.casefold())
    Description(name="a", kind="overlapping", classes=["x"])  # the rules that names are held against
    assert len(taken) == len(labels)
    for name in taken:
        if name != "background":
            Description(name="a", kind="binary", classes=[name])


@pytest.mark.parametrize("label", ["cell", "my class", "Zellkern ß", "a-b.c_d"])
def test_a_name_that_is_allowed_stays(label):
    assert safe_class_name(label) == label


def test_recognised_formats_are_said(tmp_path):
    root = overlapping(tmp_path / "set")
    assert recognise(root)[0].format == "native"
    assert "set is recognised as native" in recognised_text(open_dataset(root))
    assert "dataset.toml" in recognised_text(open_dataset(root))


def test_options_of_a_format_are_known(tmp_path):
    with pytest.raises(DatasetError, match="native has no option 'x'"):
        open_dataset(exclusive(tmp_path / "set"), DataReading(options={"x": "1"}))


def test_a_run_keeps_how_its_data_set_was_read(tmp_path, monkeypatch):
    from pipelines.config import RunConfig

    config = RunConfig(dataset="x", reading=said(classes=rules(a=["wall"]), background=""))
    assert RunConfig.model_validate(json.loads(json.dumps(config.model_dump(mode="json")))) == config


def test_a_format_is_one_entry_of_the_registry(tmp_path, monkeypatch):
    """What a new format needs: how to know a folder, how to open it, and its options; all else follows."""

    def recognise_stripes(root):
        return "it holds stripes.txt" if (root / "stripes.txt").is_file() else None

    def open_stripes(root, options):
        return Stripes(root, door_on_wall=options.get("door") == "wall")

    entry = Format("stripes, for this test", recognise_stripes, open_stripes, {"door": "wall: it lies on the wall"})
    monkeypatch.setitem(FORMATS, "stripes", entry)
    for file in ("stripes.txt", "one.txt"):
        (tmp_path / file).write_text("")
    assert [(row.format, row.reason) for row in recognise(tmp_path)] == [("stripes", "it holds stripes.txt")]
    dataset = open_dataset(tmp_path)
    assert dataset.spec.format == "stripes"
    assert "is recognised as stripes (stripes, for this test): it holds stripes.txt" in recognised_text(dataset)
    assert rows_of(open_dataset(tmp_path, said(options={"door": "wall"})), "door") == [2, 3]
    with pytest.raises(DatasetError, match=r"the format stripes has no option 'window'; its options are door"):
        open_dataset(tmp_path, said(options={"window": "wall"}))
    assert open_dataset(tmp_path, dataset.spec).fingerprint() == dataset.fingerprint()


@pytest.mark.parametrize("module", MODULES)
def test_examples_in_docstrings_of_data_sets_hold(module):
    assert doctest.testmod(importlib.import_module(module)).failed == 0
