"""YOLO's label files against pycocotools, and against Pillow's polygons within the pixels of their outlines."""

from pathlib import Path

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from PIL import Image, ImageDraw
from places import shared_cases
from pycocotools import mask as coco_mask

from pipelines.datasets.formats import yolo
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HEIGHT, WIDTH = 32, 64  # powers of 2: shares of them are exact
YAML = "path: ../datasets/cells\ntrain: images/train\nval: images/val\ntest:\nnames:\n  0: cell\n  1: nucleus\n"
TRIANGLE = (4.0, 3.0, 40.0, 6.0, 20.0, 30.0)


def line(class_, outline=TRIANGLE) -> str:
    shares = [value / (HEIGHT if place % 2 else WIDTH) for place, value in enumerate(outline)]
    return " ".join(map(str, (class_, *shares)))


def by_pycocotools(outline) -> np.ndarray:
    return coco_mask.decode(coco_mask.frPyObjects([list(outline)], HEIGHT, WIDTH))[:, :, 0].astype(bool)


def put(root: Path, name: str, text: str | None, *, split="train", order=("{kind}", "{split}")) -> None:
    folder = "/".join(order)
    seed = sum(map(ord, name + split))
    save(root / folder.format(kind="images", split=split) / f"{name}.png", picture(seed, HEIGHT, WIDTH))
    if text is not None:
        path = root / folder.format(kind="labels", split=split) / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def small(root: Path, text: str, yaml: str | None = YAML) -> Path:
    put(root, "a", text)
    put(root, "b", line(1), split="val")
    if yaml is not None:
        (root / "data.yaml").write_text(yaml)
    return root


def codes(source) -> dict[str, str]:
    return {row.code: row.message for row in source.findings}


@pytest.mark.parametrize("order", [("{kind}", "{split}"), ("{split}", "{kind}")])
@pytest.mark.parametrize(
    "entries", ["train: {0}\nval: {1}\n", "train: ../{0}\nval: [../{1}]\n", "train: /x/y/{0}\nval: {1}\n"]
)
def test_outlines_splits_and_names(tmp_path, order, entries):
    folders = ["/".join(order).format(kind="images", split=split) for split in ("train", "val")]
    (tmp_path / "data.yaml").write_text(entries.format(*folders) + "nc: 2\nnames: [cell, nucleus]\n")
    second = (50, 2, 60, 2, 60, 12, 50, 12)
    for split in ("train", "val"):
        put(tmp_path, f"{split}0", f"{line(1)}\n\n{line(1, second)}\n{line(0, second)}\n", split=split, order=order)
        put(tmp_path, f"{split}1", None, split=split, order=order)
        put(tmp_path, f"{split}2", "", split=split, order=order)
    assert [row.format for row in recognise(tmp_path)] == ["yolo"]
    _, source = open_source(tmp_path)
    assert [label.name for label in source.labels] == ["cell", "nucleus"]
    assert source.splits == {split: tuple(f"{split}{n}" for n in range(3)) for split in ("train", "val")}
    truth = source.truth("train0")
    np.testing.assert_array_equal(truth.layers[1], by_pycocotools(TRIANGLE) | by_pycocotools(second))
    np.testing.assert_array_equal(truth.layers[0], by_pycocotools(second))
    for name in ("val1", "val2"):
        assert not source.truth(name).layers.any()
    assert codes(source) == {"LABELS-NONE": "2 pictures have no label file: nothing is on them"}
    assert len(list(source.files())) == 1 + 4 + 6


@pytest.mark.parametrize("seed", range(10))
def test_outlines_lie_where_pillow_draws_them(tmp_path, seed):
    """Two ways to fill differ on the outline alone: on pixels that Pillow's line of width 3 covers."""
    rng = np.random.default_rng(seed)
    angles = np.sort(rng.uniform(0, 2 * np.pi, 9))
    outline = np.stack([32 + 25 * np.cos(angles), 16 + 13 * np.sin(angles)], 1).round(3).ravel().tolist()
    root = small(tmp_path / "set", line(0, outline))
    filled, edge = Image.new("1", (WIDTH, HEIGHT)), Image.new("1", (WIDTH, HEIGHT))
    ImageDraw.Draw(filled).polygon(outline, fill=1)
    ImageDraw.Draw(edge).line([*outline, *outline[:2]], fill=1, width=3)
    drawn = open_source(root)[1].truth("a").layers[0]
    assert drawn.any()
    assert not ((drawn != np.asarray(filled)) & ~np.asarray(edge)).any()


def test_lists_give_splits(tmp_path):
    for name in "abcd":
        put(tmp_path, name, line(0), split=".")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists" / "first.txt").write_text("./images/a.png\n/home/me/cells/images/b.png\n\nimages/gone.png\n")
    (tmp_path / "lists" / "second.txt").write_text("./images/c.png\n")
    (tmp_path / "data.yaml").write_text("train: lists/first.txt\nval: lists/second.txt\nnames: {0: cell}\n")
    _, source = open_source(tmp_path)
    assert source.splits == {"train": ("a", "b"), "val": ("c",)}
    assert codes(source)["SPLIT-ABSENT"].startswith("lists/first.txt names 1 images that are not here")
    assert {path.name for path in source.files()} >= {"first.txt", "second.txt", "data.yaml"}


def test_entries_that_lead_nowhere_are_told(tmp_path):
    root = small(tmp_path / "set", line(0), YAML.replace("images/val", "images/gone"))
    _, source = open_source(root)
    assert source.splits == {"train": ("a",)}
    assert "data.yaml gives val as ../datasets/cells/images/gone" in codes(source)["SPLIT-ABSENT"]


def test_without_yaml_classes_have_numbers(tmp_path):
    root = small(tmp_path / "set", f"{line(7)}\n{line(2)}\n", None)
    assert recognise(root)[0].reason == "labels/train/a.txt holds a class and coordinates a line"
    _, source = open_source(root)
    assert [label.name for label in source.labels] == ["class 1", "class 2", "class 7"]
    assert "no data.yaml or classes.txt names the classes 1, 2, 7" in codes(source)["NAMES-NONE"]
    assert source.splits == {"train": ("a",), "val": ("b",)}


def test_names_may_stand_in_a_file_of_their_own(tmp_path):
    root = small(tmp_path / "set", line(0), None)
    (root / "classes.txt").write_text("cell\nnucleus\n")
    _, source = open_source(root)
    assert [label.name for label in source.labels] == ["cell", "nucleus"]
    assert root / "classes.txt" in source.files()


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        ("names: [yes, 1, null]\n", ["yes", "1", "null"]),
        ("names: {'0': a, 1: b, 5: c}\n", ["a", "b", "c"]),
        ("names: [a, a, b]\n", ["a", "a 2", "b"]),
        ("nc: 3\n", ["class 0", "class 1", "class 2"]),
    ],
)
def test_names_of_every_form(tmp_path, names, labels):
    root = small(tmp_path / "set", line(0), "train: images/train\nval: images/val\n" + names)
    assert [label.name for label in open_source(root)[1].labels] == labels


def test_copies_of_one_picture_are_a_group(tmp_path):
    for number in range(3):
        put(tmp_path, f"x{number // 2}_jpg.rf.{number:032x}", line(0))
    assert set(open_dataset(tmp_path).groups.values()) == {"x0_jpg", "x1_jpg"}


def test_equal_names_in_two_splits_are_two_images(tmp_path):
    for split in ("train", "val"):
        put(tmp_path, "a", line(0), split=split)
    source = open_source(tmp_path)[1]
    assert source.names() == ("images__train__a", "images__val__a")
    assert source.splits == {"train": ("images__train__a",), "val": ("images__val__a",)}


def test_pictures_where_none_has_labels_are_left_out(tmp_path):
    root = small(tmp_path / "set", line(0))
    put(root, "t", None, split="test")
    _, source = open_source(root)
    assert source.names() == ("a", "b")
    assert codes(source)["IMAGE-UNLISTED"].startswith("1 pictures lie where no picture has a label file")


def test_boxes_are_told(tmp_path):
    root = small(tmp_path / "set", f"0 0.5 0.5 0.2 0.2\n{line(0)}\n")
    dataset = open_dataset(root)
    np.testing.assert_array_equal(dataset.source.truth("a").layers[0], by_pycocotools(TRIANGLE))
    assert codes(dataset.source)["BOXES"].startswith("1 lines are boxes")
    for path in root.rglob("*.txt"):
        path.write_text("0 0.5 0.5 0.2 0.2\n")
    with pytest.raises(DatasetError, match=r"hold boxes \(2 lines of class, centre, width and height\), no outlines"):
        open_dataset(root)
    for path in root.rglob("*.txt"):
        path.write_text("")
    with pytest.raises(DatasetError, match="hold nothing; export it for segmentation"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ("0 4 3 40 6 20 30", "must be shares of the picture's width and height, 0 to 1, but one is 4"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "7 numbers after the class, expected x y of three points"),
        ("0 0.1 0.1 0.2", "3 numbers after the class"),
        ("0 0.1 0.1 nan 0.2 0.3 0.3", "one is nan"),
        ("0 0.1 0.1 1e400 0.2 0.3 0.3", "one is inf"),
        ("0 0.1 0.1 x 0.2 0.3 0.3", "something else than numbers"),
        ("9 0.1 0.1 0.2 0.2 0.3 0.3", "there is no class 9, but 0, 1"),
        ("-1 0.1 0.1 0.2 0.2 0.3 0.3", "it begins with '-1', expected the number of a class"),
        ("cell 0.1 0.1 0.2 0.2 0.3 0.3", "it begins with 'cell'"),
        ("9999999999 0.1 0.1 0.2 0.2 0.3 0.3", "it begins with '9999999999'"),
    ],
)
def test_a_broken_line_is_told(tmp_path, bad, said):
    dataset = open_dataset(small(tmp_path / "set", f"{line(0)}\n\n{bad}\n"))
    (finding,) = dataset.examine("a").findings
    assert finding.severity == "error"
    assert finding.message.startswith("labels/train/a.txt, line 3: ")
    assert said in finding.message
    assert dataset.examine("b").item is not None


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("train: a\nnames: [", "is not readable YAML"),
        ("train: a\nnames: &a [*a, *a]\n", "is not readable YAML"),
        ("train: a\nnames: {x: cell}\n", "names by number, from 0, here is x"),
        ("train: a\nnames: !!python/object/apply:os.system ['true']\n", None),
        ("train: a\nnames:\n" + "".join(f"- n{number}\n" for number in range(5000)), "here is 5000"),
        ("train: a\nkpt_shape: [17, 3]\nnames: [a]\n", "describes key points"),
        ("train: a\nnames: " + "[" * 5000, "is not readable YAML"),
        ("train: a\nnames: [a]\n#" + "x" * (1 << 18), "is larger than"),
    ],
)
def test_a_broken_yaml_is_one_line(tmp_path, yaml, said):
    root = small(tmp_path / "set", line(0), yaml)
    if said is None:  # what a tag asks for is not done
        assert [label.name for label in open_source(root)[1].labels] == ["true"]
        return
    with pytest.raises(DatasetError, match=said) as caught:
        open_source(root)
    assert str(caught.value).isprintable()


def test_aliases_are_not_expanded(tmp_path):
    """A billion laughs: ten times ten lists in lists, nine levels deep."""
    levels = "".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]\n" for n in range(1, 10))
    root = small(tmp_path / "set", line(0), f"train: images/train\nl0: &l0 lol\n{levels}names: *l9\n")
    with pytest.raises(DatasetError, match="names by number"):
        open_source(root)


@pytest.mark.parametrize(
    "entry", ["/etc", "../../../../etc/passwd", "../../outside.txt", "C:/Windows", "a" * 5000, "b" * 300, "\\x00"]
)
def test_entries_never_lead_outside(tmp_path, entry):
    (tmp_path / "outside.txt").write_text("images/train/a.png\n")
    root = small(tmp_path / "set", line(0), f'train: "{entry}"\nval: images/val\nnames: [cell, nucleus]\n')
    _, source = open_source(root)
    assert source.splits == {"val": ("b",)}
    assert all(path.is_relative_to(root) for path in source.files())


def test_too_many_lines_are_refused(tmp_path):
    dataset = open_dataset(small(tmp_path / "set", f"{line(0)}\n" + "0\n" * 100_001))
    assert "train/a.txt has more than 100,000 lines" in str(dataset.examine("a").findings)


@pytest.mark.parametrize("text", ["a list of words\n", "", "0\n1\n", "im0 0.5 0.5\n", "0 0.5\n"])
def test_other_texts_are_not_taken(tmp_path, text):
    put(tmp_path, "a", text)
    assert recognise(tmp_path) == ()


def test_keys_of_label_files():
    assert yolo.label_key(Path("images/images/a.b.jpg")) == "images/labels/a.b"
    assert yolo.label_key(Path("Images/a.JPG")) == "labels/a"


def test_yolo_of_the_shared_cases():
    root = shared_cases() / "yolo_seg" / "data"
    if not root.is_dir():
        pytest.skip("the shared cases are not here")
    source = open_source(root)[1]
    assert {name: int(source.truth(name).layers.sum()) for name in source.names()} == dict.fromkeys(
        source.names(), 24 * 10
    )  # corners at 6, 4 and 30, 14
    assert {split: len(names) for split, names in source.splits.items()} == {"train": 5, "val": 5}


def test_broken_files_never_end_in_a_traceback(tmp_path):
    root = small(tmp_path / "good", f"{line(0)}\n{line(1)}\n")
    ended = mutate_folder(
        root, tmp_path / "bad", 300, 6, DataReading(format="yolo"), which=lambda path: path.suffix in (".txt", ".yaml")
    )
    assert ended["findings"] > trials(60), ended
    assert ended["refused"] > trials(10), ended
