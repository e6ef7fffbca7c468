"""Supervisely's files as its SDK wrote them, against the pixels that it drew (fixtures/supervisely)."""

import base64
import io
import json
import shutil
import zlib
from pathlib import Path

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from PIL import Image, ImageDraw
from places import REPO, shared_cases

from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

FIXTURE = REPO / "tests" / "fixtures" / "supervisely"
HEIGHT, WIDTH = 48, 64
META = {"classes": [{"title": "cell", "shape": "any", "color": "#ff0000", "id": 7}], "tags": []}


@pytest.fixture
def root(tmp_path) -> Path:
    """A project with one data set of one picture, and its objects by the SDK."""
    place = tmp_path / "project"
    save(place / "ds0" / "img" / "a.png", picture(0, HEIGHT, WIDTH))
    (place / "ds0" / "ann").mkdir()
    shutil.copyfile(FIXTURE / "meta.json", place / "meta.json")
    shutil.copyfile(FIXTURE / "a.png.json", place / "ds0" / "ann" / "a.png.json")
    return place


def packed(picture_: Image.Image, **options) -> str:
    stream = io.BytesIO()
    picture_.save(stream, "PNG", **options)
    return base64.b64encode(zlib.compress(stream.getvalue())).decode()


def bitmap(pixels: np.ndarray, origin=(0, 0), **other) -> dict:
    data = packed(Image.fromarray(pixels.astype(np.uint8) * 255))
    given = {"classTitle": "cell", "geometryType": "bitmap", "bitmap": {"data": data, "origin": list(origin)}}
    return given | other


def polygon(*points, interior=(), **other) -> dict:
    inside = [list(hole) for hole in interior]
    given = {"exterior": [list(point) for point in points], "interior": inside}
    return {"classTitle": "cell", "geometryType": "polygon", "points": given} | other


SQUARE = bitmap(np.ones((4, 5)), (2, 3))


def small(root: Path, *objects, name="a.png", folder="ds0", size=(HEIGHT, WIDTH), **other) -> Path:
    save(root / folder / "img" / name, picture(len(name), HEIGHT, WIDTH))
    sheet = {"size": {"height": size[0], "width": size[1]}, "tags": [], "objects": list(objects)} | other
    path = root / folder / "ann" / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(sheet))
    (root / "meta.json").write_text(json.dumps(META))
    return root


def opened(root: Path, **options):
    return open_source(root, DataReading(format="supervisely", options=options))[1]


def codes(source) -> dict[str, str]:
    return {row.code: row.message for row in source.findings}


def test_pixels_are_those_that_the_sdk_draws(root):
    """Bitmaps and rectangles exactly; a polygon on all but pixels of its outline, which the SDK counts as inside."""
    assert [row.format for row in recognise(root)] == ["supervisely"]
    _, source = open_source(root)
    assert [(label.name, label.color) for label in source.labels] == [("cell", "#FF0000"), ("nucleus", "#0080FF")]
    truth = source.truth("a")
    assert truth.findings == ()
    with np.load(FIXTURE / "a.npz") as drawn:
        np.testing.assert_array_equal(truth.layers[0], drawn["bitmaps"])
        edge = Image.new("1", (WIDTH, HEIGHT))
        points = json.loads((FIXTURE / "a.png.json").read_text())["objects"][2]["points"]
        for outline in (points["exterior"], *points["interior"]):
            closed = [tuple(point) for point in (*outline, outline[0])]
            ImageDraw.Draw(edge).line(closed, fill=1, width=3)
        inside = ~np.asarray(edge)
        expected = drawn["ring"] | drawn["rectangle"]
        np.testing.assert_array_equal(truth.layers[1][inside], expected[inside])
        np.testing.assert_array_equal(truth.layers[1][40:46, 2:13], True)
        alone = opened(root, boxes="skip").truth("a").layers[1]
        assert (alone != drawn["ring"]).mean() < 0.04
    told = codes(source)
    assert told["NO-AREA"] == "objects without area are passed over: 1 line"
    assert told["BOXES"].startswith("1 rectangles are filled")
    assert {path.name for path in source.files()} == {"meta.json", "a.png", "a.png.json"}


def test_a_hole_shows_the_object_below(tmp_path):
    """5×5 pixels without the 1×1 in their middle, over a bitmap of the middle."""
    hole = [[4, 4], [5, 4], [5, 5], [4, 5]]
    ring = polygon((2, 2), (7, 2), (7, 7), (2, 7), interior=[hole])
    source = opened(small(tmp_path, ring))
    assert source.truth("a").layers.sum() == 24
    source = opened(small(tmp_path, ring, bitmap(np.ones((1, 1)), (4, 4))))
    assert source.truth("a").layers.sum() == 25


@pytest.mark.parametrize(
    "make",
    [
        lambda mask: packed(Image.fromarray(mask.astype(np.uint8) * 255)),
        lambda mask: packed(Image.fromarray(mask)),
        lambda mask: packed(Image.fromarray(np.dstack([0 * mask, 0 * mask, 0 * mask, mask * 255]).astype(np.uint8))),
        lambda mask: packed(Image.fromarray(np.dstack([0 * mask + 9, mask * 128]).astype(np.uint8), "LA")),
        lambda mask: packed(Image.fromarray(mask.astype(np.uint8)).convert("P"), transparency=0),
    ],
    ids=["grey", "1 bit", "black with alpha", "grey with alpha", "palette"],
)
@pytest.mark.filterwarnings("ignore:'mode' parameter:DeprecationWarning")
def test_bitmaps_of_every_kind(tmp_path, make):
    mask = np.random.default_rng(1).random((6, 9)) < 0.5
    thing = SQUARE | {"bitmap": {"data": make(mask), "origin": [10, 20]}}
    layer = opened(small(tmp_path, thing)).truth("a").layers[0]
    np.testing.assert_array_equal(layer[20:26, 10:19], mask)
    assert layer.sum() == mask.sum()


def test_old_files_name_no_kind_and_classes_by_number(tmp_path):
    old = {key: value for key, value in SQUARE.items() if key not in ("geometryType", "classTitle")} | {"classId": 7}
    assert opened(small(tmp_path, old)).truth("a").layers.sum() == 20


def test_data_sets_give_names_and_splits(tmp_path):
    for folder, name in (("train", "a.png"), ("train", "b.png"), ("val", "a.png"), ("test", "c.png")):
        small(tmp_path, SQUARE, name=name, folder=folder)
    _, source = open_source(tmp_path)
    assert source.names() == ("b", "c", "train__img__a", "val__img__a")
    assert source.splits == {"train": ("b", "train__img__a"), "val": ("val__img__a",), "test": ("c",)}


def test_masks_that_the_export_adds_are_not_taken_instead(tmp_path):
    root = small(tmp_path, SQUARE)
    save(root / "ds0" / "masks_human" / "a.png", picture(3, HEIGHT, WIDTH))
    save(root / "ds0" / "masks_machine" / "a.png", np.ones((HEIGHT, WIDTH), np.uint8))
    dataset = open_dataset(root)
    assert dataset.spec.format == "supervisely"
    assert dataset.names() == ("a",)


def test_tags_give_splits(tmp_path):
    for number, tag in enumerate(("train", "train", "val", "test")):
        small(tmp_path, SQUARE, name=f"{number}.png", tags=[{"name": tag}, {"name": "blurred"}])
    assert open_source(tmp_path)[1].splits == {"train": ("0", "1"), "val": ("2",), "test": ("3",)}


def test_without_meta_classes_are_those_of_the_objects(tmp_path):
    root = small(tmp_path, SQUARE, SQUARE | {"classTitle": "other"})
    (root / "meta.json").unlink()
    assert recognise(root)[0].reason == "ds0/ann/a.png.json holds the objects of a picture in img"
    assert [label.name for label in opened(root).labels] == ["cell", "other"]


def test_pictures_and_files_alone_are_told(tmp_path):
    root = small(tmp_path, SQUARE)
    save(root / "ds0" / "img" / "more.png", picture(5, HEIGHT, WIDTH))
    (root / "ds0" / "ann" / "gone.png.json").write_text("{}")
    source = opened(root)
    assert source.names() == ("a",)
    assert codes(source)["IMAGE-UNLISTED"].startswith("1 pictures have no file in ann")
    assert codes(source)["IMAGE-MISSING"].endswith("add them: ds0/ann/gone.png.json")
    (root / "ds0" / "ann" / "more.png.json").write_text('{"objects": 1}')
    assert codes(opened(root))["ANNOTATION"].startswith("ds0/ann/more.png.json is left out: more.png.json has no list")


BOMB = base64.b64encode(zlib.compress(b"\0" * (65 << 20), 9)).decode()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (SQUARE | {"bitmap": None}, "no data and origin"),
        (SQUARE | {"bitmap": {"data": 5, "origin": [0, 0]}}, "has no data"),
        (SQUARE | {"bitmap": {"data": "%%", "origin": [0, 0]}}, "no zlib in base64"),
        (SQUARE | {"bitmap": {"data": "aGVsbG8=", "origin": [0, 0]}}, "no zlib in base64"),
        (SQUARE | {"bitmap": {"data": BOMB, "origin": [0, 0]}}, "unpacks to more than 67,108,864 bytes"),
        (SQUARE | {"bitmap": {"data": SQUARE["bitmap"]["data"][:40], "origin": [0, 0]}}, "is cut off"),
        (
            SQUARE | {"bitmap": {"data": base64.b64encode(zlib.compress(b"hello")).decode(), "origin": [0, 0]}},
            "no readable PNG",
        ),
        (bitmap(np.ones((4, 5)), (60, 3)), "5×4 at 60, 3 reaches out of the image of 64×48"),
        (bitmap(np.ones((4, 5)), (-1, 3)), "reaches out"),
        (bitmap(np.ones((4, 5)), (0.5, 3)), "not two whole numbers"),
        (bitmap(np.ones((4, 5)), ("x", 3)), "not two whole numbers"),
        (polygon((1, 1), (5, float("nan")), (5, 5)), "not finite"),
        (polygon((1, 1), (5, 1e300), (5, 5)), "far outside"),
        (polygon((1, 1), (5,), (5, 5)), "pairs of numbers"),
        (polygon((1, 1), (5, 5), (5, 9), geometryType="rectangle"), "a rectangle has two points, here are 3"),
        (polygon(points=None), "a list of at most"),
        (SQUARE | {"classTitle": ""}, "no class of 1 to 500 letters"),
        ("object", "no object with a class"),
    ],
)  # fmt: skip
def test_a_broken_object_is_told(tmp_path, bad, said):
    dataset = open_dataset(small(tmp_path, SQUARE, bad))
    (finding,) = dataset.examine("a").findings
    assert finding.severity == "error"
    assert finding.message.startswith("ds0/ann/a.png.json, object 2: ")
    assert said in finding.message


@pytest.mark.parametrize(("side", "said"), [(9000, "its size is given as 9000×9000"), (100_000, "decompression bomb")])
def test_a_picture_larger_than_allowed_is_not_unpacked(tmp_path, side, said):
    """A PNG whose head says more pixels than an image may have."""
    content = bytearray(zlib.decompress(base64.b64decode(SQUARE["bitmap"]["data"])))
    content[16:24] = side.to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(bytes(content[12:29])).to_bytes(4, "big")
    data = base64.b64encode(zlib.compress(bytes(content))).decode()
    dataset = open_dataset(small(tmp_path, SQUARE | {"bitmap": {"data": data, "origin": [0, 0]}}))
    assert said in dataset.examine("a").findings[0].message


def test_sizes_are_checked(tmp_path):
    assert [row.code for row in open_dataset(small(tmp_path, SQUARE, size=(9, 9))).examine("a").findings] == [
        "PAIR-SIZE"
    ]
    dataset = open_dataset(small(tmp_path, SQUARE, size=(10**9, 10**9)))
    assert "at most 67,108,864 pixels" in dataset.examine("a").findings[0].message
    assert open_dataset(small(tmp_path, SQUARE, size=(None, None))).read("a").truth.sum() == 20


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ('{"classes": [{"title": ""}]}', "a class has no title"),
        ('{"classes": [5]}', "a class has no title"),
        ('{"classes": [', "is not valid JSON"),
        ('{"classes": {"a": 1}}', "classes must be a list"),
        ('{"classes": 5}', "classes must be a list"),
    ],
)
def test_a_broken_meta_is_one_line(tmp_path, meta, said):
    root = small(tmp_path, SQUARE)
    (root / "meta.json").write_text(meta)
    with pytest.raises(DatasetError, match=said) as caught:
        opened(root)
    assert str(caught.value).isprintable()


def test_nothing_with_an_area_is_refused(tmp_path):
    root = small(tmp_path, polygon((1, 1), geometryType="point"))
    (root / "meta.json").write_text('{"classes": [{"title": "dot", "shape": "point"}]}')
    with pytest.raises(DatasetError, match="no class with an area"):
        opened(root)


def test_supervisely_of_the_shared_cases():
    root = shared_cases() / "supervisely" / "data"
    if not root.is_dir():
        pytest.skip("the shared cases are not here")
    source = open_source(root)[1]
    expected = np.zeros((1, 32, 40), bool)
    expected[0, 4:14, 6:30] = True
    assert len(source.names()) == 10
    for name in source.names():
        np.testing.assert_array_equal(source.truth(name).layers, expected)


def test_broken_files_never_end_in_a_traceback(root, tmp_path):
    small(root, SQUARE, polygon((1, 1), (9, 1), (9, 9)), name="b.png")
    shutil.copyfile(FIXTURE / "meta.json", root / "meta.json")
    ended = mutate_folder(
        root, tmp_path / "bad", 400, 8, DataReading(format="supervisely"),
        which=lambda path: path.suffix == ".json", structural=lambda path: path.suffix == ".json",
    )  # fmt: skip
    assert ended["findings"] > trials(60), ended
    assert ended["refused"] > trials(20), ended
