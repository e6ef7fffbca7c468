"""labelme's files as labelme 6.3.1 wrote them, against the pixels that it drew (fixtures/labelme)."""

import base64
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from PIL import Image
from places import REPO

from pipelines import links
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

FIXTURE = REPO / "tests" / "fixtures" / "labelme"
HEIGHT, WIDTH = 48, 64


@pytest.fixture
def root(tmp_path) -> Path:
    place = tmp_path / "sheets"
    place.mkdir()
    for path in FIXTURE.iterdir():
        if path.suffix in (".json", ".png"):
            shutil.copyfile(path, place / path.name)
    return place


def png(values) -> str:
    stream = io.BytesIO()
    Image.fromarray(np.asarray(values)).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def sheet(shapes, **other) -> dict:
    return {
        "version": "5.0.1", "flags": {}, "shapes": shapes, "imagePath": "a.png", "imageData": None,
        "imageHeight": HEIGHT, "imageWidth": WIDTH,
    } | other  # fmt: skip


def shape(label="cell", points=((1, 1), (20, 1), (20, 20)), kind="polygon", **other) -> dict:
    return {"label": label, "points": [list(one) for one in points], "shape_type": kind, "flags": {}} | other


def write(path: Path, value) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def small(root: Path, shapes, **other) -> Path:
    save(root / "a.png", picture(0, HEIGHT, WIDTH))
    write(root / "a.json", sheet(shapes, **other))
    write(root / "b.json", sheet([shape()], imagePath="a.png"))
    return root


@pytest.mark.parametrize("name", ["outlines", "masks", "empty"])
def test_pixels_are_those_that_labelme_draws(root, name):
    found = recognise(root)[0]
    assert found.format == "labelme"
    _, source = open_source(root)
    assert source.names() == ("empty", "masks", "outlines")
    truth = source.truth(name)
    assert truth.findings == ()
    assert truth.valid.all()
    with np.load(FIXTURE / f"{name}.npz") as drawn:
        for index, label in enumerate(source.labels):
            expected = drawn[label.name] if label.name in drawn else np.zeros((HEIGHT, WIDTH), bool)
            np.testing.assert_array_equal(truth.layers[index], expected, err_msg=label.name)


def test_roles_kind_and_notes(root):
    _, source = open_source(root)
    assert [(label.name, label.role) for label in source.labels] == [
        ("__ignore__", "ignore"), ("_background_", "background"), ("cell", "class"), ("nucleus", "class"),
        ("vessel", "class"),
    ]  # fmt: skip
    assert {one.code: one.message.split()[0] for one in source.findings} == {"POINTS": "1", "LINES": "2"}
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.classes) == ("overlapping", ("cell", "nucleus", "vessel"))
    item = dataset.read("outlines")
    with np.load(FIXTURE / "outlines.npz") as drawn:
        np.testing.assert_array_equal(item.valid, ~drawn["__ignore__"])
    assert not dataset.read("empty").truth.any()


def test_picture_inside_the_file_is_read(root):
    """labelme wrote it from blocks of 8×8 pixels, seed 1."""
    expected = np.repeat(np.repeat(np.random.default_rng(1).integers(0, 256, (6, 8, 3)), 8, 0), 8, 1)
    found = open_dataset(root).read("masks").image
    np.testing.assert_array_equal(np.rint(found * 255), expected)
    assert not (root / "masks.png").exists()


def test_labels_txt_gives_the_order(root):
    (root / "labels.txt").write_text("__ignore__\n_background_\nvessel\nnucleus\nunseen\n")
    assert [label.name for label in open_source(root)[1].labels] == [
        "__ignore__", "_background_", "vessel", "nucleus", "cell",
    ]  # fmt: skip


def test_line_width_can_be_said(root):
    wide = open_source(root, DataReading(format="labelme", options={"line_width": "20"}))[1].truth("outlines").layers
    narrow = open_source(root)[1].truth("outlines").layers
    assert wide[4].sum() > 1.5 * narrow[4].sum()
    np.testing.assert_array_equal(wide[:4], narrow[:4])
    for bad in ("0", "1001", "-1", "²", "", "x"):
        with pytest.raises(DatasetError, match="line_width"):
            open_source(root, DataReading(format="labelme", options={"line_width": bad}))


def test_splits_from_folders_and_windows_paths(tmp_path):
    for number, split in enumerate(("train", "train", "val", "test")):
        save(tmp_path / "pictures" / f"{number}.png", picture(number, HEIGHT, WIDTH))
        asked = f"..\\pictures\\{number}.png"
        write(tmp_path / split / f"{number}.json", sheet([shape()], imagePath=f"..\\{asked}" if number == 9 else asked))
    dataset = open_dataset(tmp_path)
    assert [dataset.images(split) for split in ("train", "val", "test")] == [("0", "1"), ("2",), ("3",)]
    assert dataset.read("2").image.shape == (HEIGHT, WIDTH, 3)
    assert dataset.kind == "binary"


def test_paths_outside_are_never_read(tmp_path, monkeypatch):
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "set"))
    save(tmp_path / "secret.png", picture(9, HEIGHT, WIDTH))
    root = tmp_path / "set"
    root.mkdir()
    (root / "b.png").symlink_to(tmp_path / "secret.png")
    write(root / "a.json", sheet([shape()], imagePath="../secret.png"))
    write(root / "b.json", sheet([shape()], imagePath=str(tmp_path / "secret.png")))
    dataset = open_dataset(root)
    assert [one.code for one in dataset.structure() if one.severity == "error"] == ["IMAGE-MISSING"]
    for name in ("a", "b"):
        assert [one.code for one in dataset.examine(name).findings] == ["IMAGE-UNREADABLE"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (shape(points=((1, 1), (2, 2))), "a polygon has at least 3 points, here are 2"),
        (shape(kind="circle"), "a circle has 2 points, here are 3"),
        (shape(points=((float("nan"), 1), (2, 2), (3, 3))), "not finite"),
        (shape(points=((1e9, 1), (2, 2), (3, 3))), "far outside"),
        (shape(points=((-9e5, 1), (9e5, 2)) * 3), "longer than"),
        (shape(points="abc"), "pairs of numbers"),
        (shape(points=((1, "x"), (2, 2), (3, 3))), "pairs of numbers"),
        (shape() | {"points": None}, "list of at most"),
        (shape(label=""), "no label"),
        (shape(label=5), "no label"),
        ("shape", "no label"),
        (shape(kind="spline"), "of the kind 'spline' are not known"),
        (shape(points=((1, 1), (4, 3)), kind="mask"), "its mask is missing"),
        (shape(points=((1, 1), (4, 3)), kind="mask", mask="%%"), "not valid base64"),
        (shape(points=((1, 1), (4, 3)), kind="mask", mask="aGVsbG8="), "not a readable"),
        (shape(points=((1, 1), (4, 3)), kind="mask", mask=png(np.ones((9, 9), np.uint8))), "9×9, its corners span 4×3"),
        (shape(points=((61, 1), (64, 3)), kind="mask", mask=png(np.ones((3, 4), np.uint8))), "out of the image"),
    ],
)
def test_a_broken_shape_is_told(tmp_path, bad, said):
    root = small(tmp_path / "set", [shape(), bad])
    (finding,) = open_dataset(root).examine("a").findings
    assert (finding.code, finding.severity) == ("ANNOTATION", "error")
    assert finding.message.startswith("a.json, shape 2: ")
    assert said in finding.message


def test_a_shape_may_reach_out_of_the_image(tmp_path):
    root = small(tmp_path / "set", [shape(points=((-100, -100), (32, -100), (32, 500), (-100, 500)))])
    truth = open_source(root)[1].truth("a")
    np.testing.assert_array_equal(truth.layers[0], np.broadcast_to(np.arange(WIDTH) <= 32, (HEIGHT, WIDTH)))


def test_size_comes_from_the_picture_if_the_file_has_none(tmp_path):
    root = small(tmp_path / "set", [shape()], imageHeight=None, imageWidth=None)
    assert open_dataset(root).read("a").truth.shape == (1, HEIGHT, WIDTH)
    small(root, [shape()], imageHeight=HEIGHT + 1)
    assert [one.code for one in open_dataset(root).examine("a").findings] == ["PAIR-SIZE"]
    small(root, [shape()], imageHeight=10**9, imageWidth=10**9)
    (finding,) = open_dataset(root).examine("a").findings
    assert finding.code == "MASK-UNREADABLE"
    assert "at most 67,108,864 pixels" in finding.message


def test_a_file_that_cannot_be_read_is_left_out_and_told(root):
    (root / "broken.json").write_text('{"shapes": [], "imagePath": "a.png"')
    dataset = open_dataset(root)
    assert "broken" not in dataset.names()
    assert [one.message.split(":")[0] for one in dataset.structure() if one.code == "LABELME"] == [
        "broken.json is left out"
    ]
    for path in root.glob("*.json"):
        path.write_text('{"shapes": [], "imagePath": 1}')
    with pytest.raises(DatasetError, match="no labelme file of sheets holds a shape"):
        open_dataset(root)


def test_broken_files_never_end_in_a_traceback(root, tmp_path):
    ended = mutate_folder(
        root, tmp_path / "bad", 300, 3, DataReading(format="labelme"), structural=lambda path: path.suffix == ".json"
    )
    assert ended["findings"] > trials(60), ended
    assert ended["whole"] > trials(10), ended
