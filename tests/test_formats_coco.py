"""COCO as pycocotools writes and reads it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from places import REPO, shared_cases
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from pipelines import links
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import ClassRule, DataReading

# pycocotools.mask.decode still offers NumPy arrays the old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HEIGHT, WIDTH = 24, 32


def encoded(mask: np.ndarray) -> dict:
    run = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [int(n) for n in run["size"]], "counts": run["counts"].decode()}


def uncompressed(mask: np.ndarray) -> dict:
    flat = mask.ravel(order="F").astype(np.int8)
    change = np.flatnonzero(np.diff(flat)) + 1
    edges = np.concatenate(([0], change, [flat.size]))
    counts = np.diff(edges).tolist()
    return {"size": list(mask.shape), "counts": ([0] if flat[0] else []) + counts}


def blob(seed: int, share: float = 0.4) -> np.ndarray:
    return np.random.default_rng(seed).random((HEIGHT, WIDTH)) < share


def document(images: int = 3, *, prefix: str = "im") -> dict:
    """Images with a polygon "cell", a compressed "nucleus", an uncompressed "other" and a crowd; the last has none."""
    found = {
        "info": {"description": "drawn for a test"},
        "licenses": [],
        "images": [
            {"id": 10 + n, "file_name": f"{prefix}{n}.png", "height": HEIGHT, "width": WIDTH} for n in range(images)
        ],
        "annotations": [],
        "categories": [
            {"id": 1, "name": "cell", "supercategory": "tissue"},
            {"id": 7, "name": "nucleus", "supercategory": "tissue"},
            {"id": 90, "name": "other thing", "supercategory": "tissue"},
        ],
    }
    rows = [
        (1, [[2.5, 3.0, 20.25, 4.5, 18.0, 19.75, 3.0, 15.5], [24, 10, 30, 10, 30, 20]], 0),
        (7, encoded(blob(1)), 0),
        (90, uncompressed(blob(2, 0.1)), 0),
        (1, uncompressed(blob(3, 0.05)), 1),
    ]
    for image in range(images - 1):
        for category, segmentation, crowd in rows:
            found["annotations"].append(
                {"id": len(found["annotations"]) + 1, "image_id": 10 + image, "category_id": category,
                 "segmentation": segmentation, "iscrowd": crowd, "area": 5.0, "bbox": [0, 0, 1, 1]}
            )  # fmt: skip
    return found


def write(path: Path, value: dict) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def coco_2017(root: Path) -> Path:
    """The tree of the COCO download, with captions and keypoints beside the instances."""
    for split, count in (("train2017", 5), ("val2017", 3)):
        content = document(count, prefix=f"{split}-")
        write(root / "annotations" / f"instances_{split}.json", content)
        write(root / "annotations" / f"person_keypoints_{split}.json", content)
        for seed, image in enumerate(content["images"]):
            save(root / split / image["file_name"], picture(seed, HEIGHT, WIDTH))
    return root


def masks_by_pycocotools(path: Path) -> dict[str, dict[str, np.ndarray]]:
    """Independent reader: file name to category to union of annToMask, without crowds."""
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(path)
    names = {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    found = {}
    for image in coco.loadImgs(coco.getImgIds()):
        layers = {name: np.zeros((image["height"], image["width"]), bool) for name in names.values()}
        for one in coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]], iscrowd=False)):
            layers[names[one["category_id"]]] |= coco.annToMask(one).astype(bool)
        found[image["file_name"].rsplit(".", 1)[0]] = layers
    return found


def test_coco_tree_is_read_as_pycocotools_reads_it(tmp_path):
    root = coco_2017(tmp_path / "coco")
    found = recognise(root)[0]
    assert (found.format, found.reason) == (
        "coco", "annotations/instances_train2017.json holds images, annotations and categories",
    )  # fmt: skip
    chosen, source = open_source(root)
    assert chosen == "coco"
    assert [label.name for label in source.labels] == ["cell", "nucleus", "other thing", "iscrowd"]
    assert source.splits == {
        "train": tuple(f"train2017-{n}" for n in range(5)), "val": tuple(f"val2017-{n}" for n in range(3)),
    }  # fmt: skip
    expected = {}
    for split in ("train2017", "val2017"):
        expected |= masks_by_pycocotools(root / "annotations" / f"instances_{split}.json")
    assert source.names() == tuple(sorted(expected))
    for name, layers in expected.items():
        truth = source.truth(name)
        assert truth.findings == ()
        assert truth.valid.all()
        for index, label in enumerate(source.labels[:3]):
            np.testing.assert_array_equal(truth.layers[index], layers[label.name], err_msg=f"{name} {label.name}")
        np.testing.assert_array_equal(truth.layers[3], blob(3, 0.05) if layers["cell"].any() else False)
    assert [one.code for one in source.findings] == ["FILE-UNUSED", "CROWDS"]
    dataset = open_dataset(root)
    assert dataset.kind == "overlapping"
    item = dataset.read("train2017-0")
    np.testing.assert_array_equal(item.valid, ~blob(3, 0.05))
    np.testing.assert_array_equal(np.rint(item.image * 255), picture(0, HEIGHT, WIDTH))
    assert not dataset.read("train2017-4").truth.any(), "an image without annotations is background"


@pytest.mark.parametrize(("crowd", "labels"), [("class", 3), ("drop", 3), ("ignore", 4)])
def test_crowds_are_what_the_option_says(tmp_path, crowd, labels):
    root = coco_2017(tmp_path / "coco")
    _, source = open_source(root, DataReading(format="coco", options={"crowd": crowd}))
    truth = source.truth("val2017-0")
    polygon = masks_by_pycocotools(root / "annotations" / "instances_val2017.json")["val2017-0"]["cell"]
    assert len(source.labels) == labels
    np.testing.assert_array_equal(truth.layers[0], polygon | blob(3, 0.05) if crowd == "class" else polygon)
    with pytest.raises(DatasetError, match="crowd must be ignore, class, drop"):
        open_source(root, DataReading(format="coco", options={"crowd": "maybe"}))


def test_roboflow_folders_give_splits_and_groups_of_augmented_copies(tmp_path):
    root = tmp_path / "export"
    for split in ("train", "valid", "test"):
        content = document(3)
        content["categories"].insert(0, {"id": 0, "name": "tissue", "supercategory": "none"})
        for number, image in enumerate(content["images"]):
            image["file_name"] = f"{split}{number // 2}_jpg.rf.{number:032x}.png"
            save(root / split / image["file_name"], picture(number, HEIGHT, WIDTH))
        write(root / split / "_annotations.coco.json", content)
    dataset = open_dataset(root)
    assert dataset.classes == ("cell", "nucleus", "other thing")
    assert [len(dataset.images(split)) for split in ("train", "val", "test")] == [3, 3, 3]
    assert set(dataset.groups.values()) == {f"{split}{n}_jpg" for split in ("train", "valid", "test") for n in (0, 1)}
    assert "LABEL-EMPTY" in {one.code for one in dataset.structure()}
    assert dataset.read("train0_jpg.rf." + f"{0:032x}").truth.any()


def test_hundreds_of_instances_are_united(tmp_path):
    content = document(2)
    boxes = [(x, y) for y in range(HEIGHT - 2) for x in range(WIDTH - 2)]
    content["annotations"] = [
        {"id": n, "image_id": 10, "category_id": 1, "segmentation": [[x, y, x + 2, y, x + 2, y + 2, x, y + 2]]}
        | {"iscrowd": 0}
        for n, (x, y) in enumerate(boxes)
    ]
    path = write(tmp_path / "labels.json", content)
    save(tmp_path / "im0.png", picture(0, HEIGHT, WIDTH))
    assert len(boxes) > 512
    found = open_source(tmp_path)[1].truth("im0").layers[0]
    np.testing.assert_array_equal(found, masks_by_pycocotools(path)["im0"]["cell"])


def panoptic(root: Path) -> np.ndarray:
    """Two images; ids as colours, R + 256 G + 65536 B, as COCO's panoptic task has them. Returns the first's ids."""
    ids = np.random.default_rng(0).choice([0, 7, 300, 70_000], (HEIGHT, WIDTH))
    content = document(2)
    content["annotations"] = []
    for number in range(2):
        save(root / "val2017" / f"im{number}.png", picture(number, HEIGHT, WIDTH))
        colors = np.stack([ids % 256, ids // 256 % 256, ids // 65536], axis=-1).astype(np.uint8)
        save(root / "annotations" / "panoptic_val2017" / f"im{number}.png", colors)
        content["annotations"].append({
            "image_id": 10 + number, "file_name": f"im{number}.png", "segments_info": [
                {"id": 7, "category_id": 1, "iscrowd": 0, "area": 5, "bbox": [0, 0, 1, 1]},
                {"id": 300, "category_id": 7, "iscrowd": 0}, {"id": 70_000, "category_id": 1, "iscrowd": number},
            ],
        })  # fmt: skip
    write(root / "annotations" / "panoptic_val2017.json", content)
    return ids


def test_panoptic_segments(tmp_path):
    ids = panoptic(tmp_path)
    dataset = open_dataset(tmp_path)
    assert (dataset.names(), dataset.kind) == (("im0", "im1"), "exclusive")
    first, second = dataset.source.truth("im0"), dataset.source.truth("im1")
    np.testing.assert_array_equal(first.layers[0], (ids == 7) | (ids == 70_000))
    np.testing.assert_array_equal(first.layers[1], ids == 300)
    np.testing.assert_array_equal(first.valid, ids != 0)
    np.testing.assert_array_equal(second.layers[0], ids == 7)
    np.testing.assert_array_equal(second.layers[3], ids == 70_000)  # the crowd, ignored
    assert sum(path.parent.name == "panoptic_val2017" for path in dataset.source.files()) == 2
    _, dropped = open_source(tmp_path, DataReading(format="coco", options={"crowd": "drop"}))
    np.testing.assert_array_equal(dropped.truth("im1").layers.any(axis=0), (ids == 7) | (ids == 300))


def test_broken_panoptic_segments_are_told(tmp_path):
    panoptic(tmp_path)
    path = tmp_path / "annotations" / "panoptic_val2017.json"
    good = json.loads(path.read_text())
    for change, said in (
        ({"segments_info": [{"id": 7, "category_id": 1}]}, "holds the segments 300, 70000, which are not listed"),
        ({"segments_info": [{"id": 7, "category_id": 5}]}, "its category does not exist"),
        ({"segments_info": [{"id": 1 << 40, "category_id": 1}]}, "no id from 1 to"),
        ({"segments_info": ["x"]}, "no id from 1 to"),
        ({"file_name": "../../../etc/passwd"}, "is not there"),
        ({"file_name": None}, "is not there"),
    ):
        annotations = [good["annotations"][0] | change, *good["annotations"][1:]]
        write(path, good | {"annotations": annotations})
        (finding,) = open_dataset(tmp_path).examine("im0").findings
        assert said in finding.message, finding
    write(path, good)
    save(tmp_path / "annotations" / "panoptic_val2017" / "im0.png", picture(0, 5, 6))
    assert "is 6×5, its image is 32×24" in open_dataset(tmp_path).examine("im0").findings[0].message


def test_boxes_alone_are_refused_and_lost_annotations_told(tmp_path):
    content = document(2)
    save(tmp_path / "im0.png", picture(0, HEIGHT, WIDTH))
    content["annotations"].append(content["annotations"][0] | {"image_id": 999})
    write(tmp_path / "labels.json", content)
    told = {one.code: one.message for one in open_dataset(tmp_path).structure()}
    assert told["ANNOTATION-LOST"].startswith("1 annotations belong to images that their file does not list")
    for one in content["annotations"]:
        one["segmentation"] = []
    write(tmp_path / "labels.json", content)
    with pytest.raises(DatasetError, match="holds boxes or captions, no outlines"):
        open_dataset(tmp_path)


def test_two_files_about_one_image_are_united(tmp_path):
    root = tmp_path / "set"
    cells, nuclei = document(2), document(2)
    cells["annotations"] = [one for one in cells["annotations"] if one["category_id"] == 1 and not one["iscrowd"]]
    nuclei["annotations"] = [one for one in nuclei["annotations"] if one["category_id"] == 7]
    nuclei["categories"] = [{"id": 7, "name": "nucleus"}]
    write(root / "cells.json", cells)
    write(root / "nuclei.json", nuclei)
    for number in range(2):
        save(root / "images" / f"im{number}.png", picture(number, HEIGHT, WIDTH))
    _, source = open_source(root)
    assert [label.name for label in source.labels] == ["cell", "nucleus", "other thing"]
    assert source.truth("im0").layers[:2].any(axis=(1, 2)).all()
    assert source.splits == {}
    _, only = open_source(root, DataReading(format="coco", options={"annotations": "nuclei*"}))
    assert [label.name for label in only.labels] == ["nucleus"]
    assert only.exclusive


def test_paths_outside_are_never_read(tmp_path, monkeypatch):
    root = tmp_path / "set"
    monkeypatch.setenv(links.ROOTS, str(root))
    save(tmp_path / "secret.png", picture(9, HEIGHT, WIDTH))
    content = document(3)
    content["images"][0]["file_name"] = "../../../secret.png"
    content["images"][1]["file_name"] = "C:\\Users\\me\\im1.png"
    save(root / "im1.png", picture(1, HEIGHT, WIDTH))
    save(root / "im2.png", picture(2, HEIGHT, WIDTH))
    (root / "secret.png").symlink_to(tmp_path / "secret.png")
    write(root / "labels.json", content)
    dataset = open_dataset(root)
    assert dataset.names() == ("im1", "im2")
    told = {one.code: one for one in dataset.structure()}
    assert told["IMAGE-OUTSIDE"].severity == "error"
    assert "../secret.png" in told["IMAGE-OUTSIDE"].message
    assert told["IMAGE-ELSEWHERE"].severity == "note"


def test_missing_images_and_unlisted_pictures_are_told(tmp_path):
    root = tmp_path / "set"
    write(root / "labels.json", document(3))
    save(root / "im0.png", picture(0, HEIGHT, WIDTH))
    save(root / "more.png", picture(0, HEIGHT, WIDTH))
    told = {one.code: one.message for one in open_dataset(root).structure()}
    assert told["IMAGE-MISSING"].startswith("2 images are listed but not there")
    assert "im1.png, im2.png" in told["IMAGE-MISSING"]
    assert told["IMAGE-UNLISTED"].startswith("1 pictures")
    (root / "im0.png").unlink()
    with pytest.raises(DatasetError, match="none of the images"):
        open_dataset(root)


@pytest.mark.parametrize(
    ("segmentation", "said"),
    [
        ([[0, 0, 5, 5]], None),  # two points: no area
        ([], None),
        ([[0, 0, 9, 0, float("nan"), 9]], "not finite"),
        ([[0, 0, 9, 0, 1e12, 9]], "far outside"),
        ([[0, 0, 900000, 0] * 6], "longer than"),
        ([[0, 0, 9, "x", 3, 3]], "else than numbers"),
        ([[0, 0, 9]], "holds 3 numbers, and one has no pair"),
        ([0, 0, 9, 9, 5], "holds 5 numbers, and one has no pair"),
        ([0, 0, 5, 5], None),  # two points
        ({}, None),
        (None, None),
        ([[[1, 2], [3, 4]], [5]], "holds 1 numbers"),
        ([{"x": 1, "y": 2}], "else than numbers"),
        ([[[[[[1, 2]]]]]], "else than numbers"),
        ([["1_0", 0, 9, 0, 9, 9]], "else than numbers"),
        ({"size": [HEIGHT, WIDTH], "counts": "b''"}, "no whole COCO text"),
        ({"size": [HEIGHT, WIDTH], "counts": ["768", "x"]}, "not whole numbers"),
        ({"size": [HEIGHT, WIDTH + 1], "counts": [HEIGHT * (WIDTH + 1)]}, "33×24, its image is 32×24"),
        ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "cover 10 pixels, its image has 768"),
        ({"size": [HEIGHT, WIDTH], "counts": [-5, 773]}, "not whole numbers"),
        ({"size": [HEIGHT, WIDTH], "counts": "o"}, "no whole COCO text"),
        ({"size": [HEIGHT, WIDTH], "counts": "\x7f\x01"}, "no whole COCO text"),
        ({"size": [HEIGHT, WIDTH], "counts": "é"}, "no whole COCO text"),
        ({"size": [HEIGHT, WIDTH], "counts": "o" * 60 + "0"}, "without an end"),
        ({"size": [HEIGHT, WIDTH], "counts": ""}, "empty"),
        ({"size": [HEIGHT, WIDTH], "counts": "1" + " " * 1_000_000 + "x"}, "no whole COCO text"),  # in linear time
        ({"size": [HEIGHT, WIDTH]}, "missing"),
        ({"counts": "0"}, "size of its run lengths is missing"),
        ("polygon", "neither polygons nor run lengths"),
    ],
)
def test_a_broken_segmentation_is_told_and_the_rest_is_read(tmp_path, segmentation, said):
    root = tmp_path / "set"
    content = document(2)
    content["annotations"][0]["segmentation"] = segmentation
    write(root / "labels.json", content)
    for number in range(2):
        save(root / f"im{number}.png", picture(number, HEIGHT, WIDTH))
    found = open_dataset(root).examine("im0")
    if said is None:
        assert found.item is not None
        assert [one.code for one in found.findings] == ["NO-AREA"]
    else:
        (finding,) = found.findings
        assert (finding.code, finding.severity) == ("ANNOTATION", "error")
        assert said in finding.message
        assert finding.message.startswith("annotation 1 of im0 (labels.json): ")


def set_with(root: Path, change, images: int = 2) -> Path:
    """A set whose JSON was changed, as other tools may write it."""
    content = document(images)
    content["annotations"] = [row for row in content["annotations"] if not row["iscrowd"]]
    change(content)
    write(root / "labels.json", content)
    for number in range(images):
        save(root / f"im{number}.png", picture(number, HEIGHT, WIDTH))
    return root


def each(content, change) -> None:
    for row in content["annotations"]:
        row |= change(row)


def as_text(value):
    if isinstance(value, list):
        return [as_text(part) for part in value]
    return str(value)


def polygons_as(form):
    return lambda content: each(
        content, lambda row: {"segmentation": form(row["segmentation"])} if row["category_id"] == 1 else {}
    )


def ids_as(form):
    def change(content):
        each(content, lambda row: {"image_id": form(row["image_id"]), "category_id": form(row["category_id"])})

    return change


def counts_as(form):
    def change(content):
        for row in content["annotations"]:
            if row["category_id"] == 7:
                row["segmentation"]["counts"] = form(row["segmentation"]["counts"])

    return change


def counts_as_numbers(content):
    for row in content["annotations"]:
        if row["category_id"] == 90:
            row["segmentation"]["counts"] = " ".join(map(str, row["segmentation"]["counts"]))


def ids_of_files(ending):
    return lambda content: each(content, lambda row: {"image_id": f"im{row['image_id'] - 10}{ending}"})


def ids_of_names(content):
    names = {row["id"]: row["name"] for row in content["categories"]}
    each(content, lambda row: {"category_id": names[row["category_id"]]})


def runs_in_a_list(row):
    return (
        {"segmentation": [row["segmentation"], {"size": [HEIGHT, WIDTH], "counts": [HEIGHT * WIDTH]}]}
        if isinstance(row["segmentation"], dict)
        else {}
    )


def sizes_as_text(content):
    for row in (*content["images"], *(row["segmentation"] for row in content["annotations"] if row["category_id"] > 1)):
        row |= {key: as_text(row[key]) for key in ("height", "width", "size") if key in row}


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (ids_as(str), "ids as text"),
        (ids_as(float), None),
        (ids_as(lambda value: f"{value}.0"), "ids as text"),
        (ids_as(lambda value: f"{value:06}"), "ids as text"),
        (polygons_as(as_text), "numbers as text"),
        (polygons_as(lambda parts: [[parts[0][n : n + 2] for n in range(0, 8, 2)], parts[1]]), "lists of points"),
        (polygons_as(lambda parts: [[[xy[n : n + 2]] for n in range(0, len(xy), 2)] for xy in parts]), "of points"),
        (counts_as(lambda text: str(text.encode())), "Python shows bytes"),
        (sizes_as_text, None),
        (polygons_as(json.dumps), "read as JSON"),
        (counts_as_numbers, "numbers as text"),
        (ids_of_files(".png"), "name their image by its file"),
        (ids_of_files(""), "name their image by its file"),
        (ids_of_names, "name their category by its name"),
        (lambda content: each(content, lambda row: runs_in_a_list(row)), "they are united"),
        (lambda content: [row.pop("height") for row in content["images"]], None),
        (lambda content: each(content, lambda row: {"iscrowd": False}), None),
        (lambda content: each(content, lambda row: {"iscrowd": None}), None),
        (lambda content: each(content, lambda row: {"iscrowd": "0"}), None),
        (lambda content: each(content, lambda row: {"id": 1}), None),
        (lambda content: each(content, lambda row: {"iscrowd": 1}), "all 3 annotations have iscrowd = 1"),
        (lambda content: each(content, lambda row: {"iscrowd": "true"}), "all 3 annotations have iscrowd = 1"),
        (
            lambda content: each(
                content,
                lambda row: {
                    "iscrowd": int(row["category_id"] > 1),  # outlines are none
                    "attributes": {"occluded": False},
                },
            ),
            "which CVAT sets on every mask",
        ),
    ],
)  # fmt: skip
def test_what_other_tools_write_is_read_where_its_meaning_is_clear(tmp_path, change, note):
    expected = open_dataset(set_with(tmp_path / "coco", lambda content: None)).read("im0")
    dataset = open_dataset(set_with(tmp_path / "other", change))
    assert dataset.classes == ("cell", "nucleus", "other thing")
    item = dataset.read("im0")
    np.testing.assert_array_equal(item.truth, expected.truth)
    assert item.valid.all()
    told = [row.message for row in dataset.structure() if row.code in ("COCO-UNUSUAL", "CROWDS")]
    assert len(told) == (note is not None)
    assert note is None or note in told[0]


@pytest.mark.parametrize("form", [lambda parts: parts[0], lambda parts: as_text(parts[0])])
def test_one_flat_list_is_one_polygon(tmp_path, form):
    first = open_dataset(set_with(tmp_path / "coco", polygons_as(lambda parts: parts[:1]))).read("im0")
    dataset = open_dataset(set_with(tmp_path / "flat", polygons_as(form)))
    np.testing.assert_array_equal(dataset.read("im0").truth, first.truth)
    assert any("one flat list of numbers" in row.message for row in dataset.structure())


def test_a_missing_category_is_the_only_one(tmp_path):
    def one_category(content):
        content["categories"] = [{"id": 1, "name": "cell"}]
        each(content, lambda row: {"category_id": None})

    dataset = open_dataset(set_with(tmp_path / "one", one_category))
    assert dataset.read("im0").truth.any()
    assert any("the only one there is" in row.message for row in dataset.structure())
    several = open_dataset(
        set_with(tmp_path / "several", lambda content: each(content, lambda row: {"category_id": None}))
    )
    assert "its category does not exist" in several.examine("im0").findings[0].message


def test_annotations_of_no_listed_image_are_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"no annotation belongs to an image that it lists \(one says image_id x1"):
        open_dataset(set_with(tmp_path / "set", lambda content: each(content, lambda row: {"image_id": "x1"})))


def test_a_file_without_categories_is_told(tmp_path):
    with pytest.raises(DatasetError, match=r"labels.json has no categories; a COCO file holds"):
        open_dataset(set_with(tmp_path / "set", lambda content: content.pop("categories")))


def test_crowds_beside_others_are_crowds_whoever_drew_them(tmp_path):
    """An outline that is a crowd, or one crowd that CVAT did not write: iscrowd means what COCO means by it."""
    dataset = open_dataset(set_with(tmp_path / "mixed", lambda content: content["annotations"][1].update(iscrowd=1)))
    (told,) = [row.message for row in dataset.structure() if row.code == "CROWDS"]
    assert told.startswith("1 annotations are crowds (iscrowd = 1): their pixels are ignored")
    assert not dataset.read("im0").valid.all()


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_tables_that_are_objects_are_refused(tmp_path, key):
    def keyed(content):
        content[key] = {str(row["id"]): row for row in content[key]}

    with pytest.raises(DatasetError, match=f"{key} must be a list of objects"):
        open_dataset(set_with(tmp_path / "set", keyed))


@pytest.mark.parametrize(
    ("case", "pixels"),
    [
        ("cvat_coco_crowd", {"cell": 907, "nucleus": 980}),
        ("coco_string_ids", {"cell": 2400, "nucleus": 160}),
        ("coco_flat_polygon", {"cell": 2400, "nucleus": 160}),
    ],
)
def test_cases_of_public_reports(case, pixels):
    root = shared_cases() / case / "data"
    if not root.is_dir():
        pytest.skip("the shared cases are not here")
    dataset = open_dataset(root)
    items = [dataset.read(name) for name in dataset.names()]
    counted = np.sum([item.truth.sum(axis=(1, 2)) for item in items], axis=0)
    assert {name: counted[dataset.classes.index(name)] for name in pixels} == pixels
    assert all(item.valid.all() for item in items)


@pytest.mark.parametrize("seed", range(20))
def test_run_lengths_are_pycocotools_own(seed):
    rng = np.random.default_rng(seed)
    mask = rng.random((int(rng.integers(1, 200)), int(rng.integers(1, 200)))) < rng.random()
    counts = polygons.run_lengths(encoded(mask)["counts"])
    assert counts.tolist() == uncompressed(mask)["counts"]
    (run,), _ = polygons.coco_runs(encoded(mask), mask.shape)
    np.testing.assert_array_equal(polygons.union([run]), mask)


def test_big_files_are_indexed_without_being_loaded(tmp_path):
    """A file of 4.5 MB is opened with less than 4 MB: annotations stay on disk."""
    import tracemalloc

    content = document(2)
    content["annotations"] *= 3_000
    path = write(tmp_path / "labels.json", content)
    save(tmp_path / "im0.png", picture(0, HEIGHT, WIDTH))
    assert path.stat().st_size > 4_500_000
    tracemalloc.start()
    open_source(tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4_000_000, peak


def test_json_files_are_scanned_as_json_reads_them(tmp_path):
    value = {
        "a": [1, -2.5, 1e3, "x\"y\\", "é\u2028", None, True, [], {}, [[1], {"k": "é"}]], "ü": {"deep": [1, [2]]},
        "images": [], "text": "é" * 10, "last": 12,
    }  # fmt: skip
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=3), "\ufeff" + json.dumps(value)):
        path = tmp_path / "some.json"
        path.write_text(text, encoding="utf-8")
        found = list(json_file.members(path, lists=("a", "images"), texts=("text",)))
        assert [one.value for one in found if one.key == "a"] == value["a"]
        assert {one.key: one.value for one in found if one.key != "a"} == {
            key: value[key] for key in ("ü", "text", "last")
        }
        spans = [(one.start, one.end) for one in found]
        assert list(json_file.pieces(path, spans)) == [one.value for one in found]


@pytest.mark.parametrize("size", [100, 1 << 20, (1 << 20) + 1, 5 << 20])
def test_values_across_windows_are_whole(tmp_path, size):
    path = tmp_path / "some.json"
    rows = [{"n": 1234567, "s": "é" if n % 2 else "e"} for n in range(size // 25)]
    path.write_text(json.dumps({"rows": rows, "one": list(range(size // 10)), "n": 98765}, ensure_ascii=False))
    found = list(json_file.members(path, lists=("rows",)))
    assert [one.value for one in found[:-2]] == rows
    assert found[-2].value == list(range(size // 10))
    assert found[-1].value == 98765


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"[]", "expected {"),
        (b"{", "is not valid JSON"),
        (b'{"images": [1, 2', "is not valid JSON"),
        (b'{"images": [1 2]}', "is not valid JSON"),
        (b'{"images": [] "b": 1}', "is not valid JSON"),
        (b'{"images": []} x', "more after the end"),
        (b'{"images": [], "images": []}', "twice"),
        (b'{"a": ' + b"[" * 200_000, "nested too deeply"),
        (b'{"a": "\xff\xfe"}', "not UTF-8"),
        (b'{"a": [' + b"1," * (10 << 20) + b"1]}", "more than 16,777,216 bytes"),
        (b'{"a": "' + b"x" * 100, "does not end"),
        (b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    ],
)
def test_broken_json_is_one_line(tmp_path, content, said):
    path = tmp_path / "some.json"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=said) as caught:
        list(json_file.members(path, lists=("images",)))
    assert str(caught.value).isprintable()
    assert "some.json" in str(caught.value)


def test_other_json_is_not_taken_for_coco(tmp_path):
    save(tmp_path / "a.png", picture(0))
    for number, content in enumerate(({}, {"images": [], "annotations": []}, {"shapes": [], "imagePath": "a.png"})):
        write(tmp_path / f"{number}.json", content)
    (tmp_path / "bad.json").write_bytes(b"\x00\xff images annotations categories")
    assert "coco" not in [one.format for one in recognise(tmp_path)]


def test_recognising_ten_thousand_files_is_fast(tmp_path):
    import time

    for number in range(10_000):
        (tmp_path / f"{number}.png").touch()
    write(tmp_path / "z.json", document())
    from pipelines.datasets.formats import coco

    took = []
    for _ in range(3):
        begin = time.process_time()
        assert coco.FORMAT.recognise(tmp_path)
        took.append(time.process_time() - begin)
    assert min(took) < 0.2


def test_names_may_be_hostile(tmp_path):
    content = document(2)
    content["categories"][0]["name"] = "<img src=x onerror=alert(1)>\n![](http://x)"
    content["images"][0]["file_name"] = "im\n0.png"
    write(tmp_path / "labels.json", content)
    for image in content["images"]:
        save(tmp_path / image["file_name"], picture(0, HEIGHT, WIDTH))
    dataset = open_dataset(tmp_path)
    assert dataset.names() == ("im1",)
    assert dataset.classes[-3].startswith("_img src_x onerror")
    assert {"FILE-NAME", "LABEL-RENAMED"} <= {one.code for one in dataset.structure()}
    assert all(one.message.isprintable() for one in dataset.structure())


def test_too_many_labels_for_the_size_are_refused(tmp_path):
    content = document(2)
    content["categories"] = [{"id": n, "name": f"label {n}"} for n in range(4000)]
    content["images"][0] |= {"height": 8000, "width": 8000}
    write(tmp_path / "labels.json", content)
    save(tmp_path / "im0.png", picture(0, HEIGHT, WIDTH))
    rule = ClassRule(name="a", labels=("label 1",))
    found = open_dataset(tmp_path, DataReading(format="coco", kind="binary", classes=(rule,))).examine("im0")
    assert any(" labels, more than 1,073,741,824 values" in one.message for one in found.findings)


def test_broken_files_never_end_in_a_traceback(tmp_path):
    root = tmp_path / "good" / "set"
    content = document(3)
    write(root / "annotations" / "instances_train.json", content)
    for number, image in enumerate(content["images"]):
        save(root / "train" / image["file_name"], picture(number, HEIGHT, WIDTH))
    ended = mutate_folder(
        root, tmp_path / "bad", 400, 0, DataReading(format="coco"), structural=lambda path: path.suffix == ".json"
    )
    assert ended["refused"] > trials(20), ended
    assert ended["findings"] > trials(100), ended


def test_hostile_segmentations_do_not_crash_the_process(tmp_path):
    """In a process of its own: compiled code must never see what would end it."""
    script = tmp_path / "fuzz.py"
    script.write_text(FUZZ)
    done = subprocess.run(
        [sys.executable, str(script)], cwd=REPO, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": f"{REPO}:{REPO / 'tests'}"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused = map(int, done.stdout.split())
    assert read > trials(100)
    assert refused > trials(1000)
    assert read + refused == trials(6000)


FUZZ = """
import numpy as np
from pycocotools import mask as coco_mask
from pipelines.datasets.formats import polygons
from pipelines.errors import DatasetError
from format_mutations import NASTY, restructured
from fuzzing import trials

rng = np.random.default_rng(5)
read = refused = 0
for number in range(trials(6000)):
    size = (int(rng.integers(1, 40)), int(rng.integers(1, 40)))
    kind = number % 4
    if kind == 0:
        letters = rng.integers(0 if rng.random() < 0.2 else 48, 112, int(rng.integers(0, 60)))
        value = {"size": list(size), "counts": "".join(map(chr, letters))}
    elif kind == 1:
        low = int(rng.integers(-1, 1))
        counts = rng.integers(low, size[0] * size[1] // 2 + 2, int(rng.integers(6))).tolist()
        if rng.random() < 0.5:
            counts.append(size[0] * size[1] - sum(counts))
        value = {"size": list(size), "counts": counts}
    elif kind == 2:
        scale = 10.0 ** rng.integers(-3, 12)
        value = [(rng.normal(size=int(rng.integers(0, 12))) * scale).tolist() for _ in range(int(rng.integers(0, 3)))]
    else:
        run = coco_mask.encode(np.asfortranarray((rng.random(size) < 0.5).astype(np.uint8)))
        text = bytearray(run["counts"])
        text[int(rng.integers(len(text)))] = int(rng.integers(48, 112))
        value = restructured({"size": list(size), "counts": text.decode()}, rng) or NASTY[0]
    try:
        runs, _ = polygons.coco_runs(value, size)
        if runs:
            assert polygons.union(runs).shape == size
        read += 1
    except DatasetError as error:
        assert str(error).isprintable()
        refused += 1
print(read, refused)
"""
