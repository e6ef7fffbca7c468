"""Label Studio's exports: brushes against its own decoder (fixtures/labelstudio), polygons against pycocotools."""

import json
from pathlib import Path

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from places import REPO
from pycocotools import mask as coco_mask

from pipelines.datasets.formats import json_file, labelstudio
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

FIXTURE = REPO / "tests" / "fixtures" / "labelstudio"
BRUSHES = json.loads((FIXTURE / "brushes.json").read_text())
HEIGHT, WIDTH = 37, 53  # of the brush called disc


def region(kind: str, value: dict, label="cell", **other) -> dict:
    given = {
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": 0,
        "from_name": "tag",
        "to_name": "img",
    }
    labelled = value | {f"{kind}labels": [label] if isinstance(label, str) else label}
    return given | {"id": "x1", "type": f"{kind}labels", "value": labelled} | other


def brush(name="disc", label="cell", **other) -> dict:
    return region("brush", {"format": "rle", "rle": BRUSHES[name]["rle"]}, label, **other)


def polygon(*points, label="cell", **other) -> dict:
    shares = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in points]
    return region("polygon", {"points": shares, "closed": True}, label, **other)


def rectangle(x, y, width, height, rotation=0, label="cell") -> dict:
    value = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 100 * width / WIDTH, "height": 100 * height / HEIGHT}
    return region("rectangle", value | {"rotation": rotation}, label)


def task(*results, number=0, name="a.png", **other) -> dict:
    annotation = {"id": 7, "result": list(results), "was_cancelled": False, "ground_truth": False, "lead_time": 3.5}
    data = {"image": f"/data/upload/1/0a1b2c3d-{name}"}
    return {"id": number, "annotations": [annotation], "predictions": [], "data": data, "project": 1} | other


def project(root: Path, *tasks, pictures=("a.png",)) -> Path:
    for number, name in enumerate(pictures):
        save(root / "images" / name, picture(number, HEIGHT, WIDTH))
    (root / "project-1.json").write_text(json.dumps(list(tasks)))
    return root


def opened(root: Path, **options):
    return open_source(root, DataReading(format="labelstudio", options=options))[1]


def codes(source) -> dict[str, str]:
    return {row.code: row.message for row in source.findings}


def alpha(name: str) -> np.ndarray:
    with np.load(FIXTURE / "brushes.npz") as drawn:
        return drawn[name]


def by_pycocotools(outline) -> np.ndarray:
    run = coco_mask.frPyObjects([np.asarray(outline, float).ravel().tolist()], HEIGHT, WIDTH)
    return coco_mask.decode(run)[:, :, 0].astype(bool)


@pytest.mark.parametrize("name", BRUSHES)
def test_brushes_are_those_that_label_studio_decodes(name):
    row = BRUSHES[name]
    size = (row["original_height"], row["original_width"])
    expected = alpha(name)
    decoded = labelstudio.decode_brush(row["rle"], size)
    np.testing.assert_array_equal(decoded, expected > expected.max() // 2)
    assert decoded.sum() == {"none": 0, "all": 72, "long": 280 * 300}.get(name, decoded.sum())


def test_an_encoding_by_hand():
    """1×2 pixels, alpha 0 and 255, values of 8 bits, lengths of 1, 2, 3 and 4 bits; both ways to write a run."""
    head = f"{8:032b}{7:05b}" + "".join(f"{bits - 1:04b}" for bits in (1, 2, 3, 4))
    repeated = "1" + "01" + f"{3:02b}" + f"{0:08b}"  # four times 0
    written = "0" + "10" + f"{3:03b}" + "".join(f"{value:08b}" for value in (1, 2, 3, 255))
    bits = head + repeated + written
    bits += "0" * (-len(bits) % 8)
    runs = [int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)]
    np.testing.assert_array_equal(labelstudio.decode_brush(runs, (1, 2)), [[False, True]])


def test_regions_of_every_kind(tmp_path):
    outline = ((3, 4), (30, 6), (20, 33))
    results = (
        brush(), brush("smooth", "nucleus"), polygon(*outline, label="wall"), rectangle(40, 2, 8, 10, label="box"),
        region("keypoint", {"x": 5, "y": 5}), {"type": "choices", "value": {"choices": ["good"]}},
    )  # fmt: skip
    root = project(tmp_path, task(*results), task(number=1, name="b.png"), pictures=("a.png", "b.png"))
    assert [(row.format, row.reason) for row in recognise(root)] == [
        ("labelstudio", "project-1.json holds tasks with annotations")
    ]
    _, source = open_source(root)
    assert [label.name for label in source.labels] == ["box", "cell", "nucleus", "wall"]
    truth = source.truth("a")
    assert truth.findings == ()
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[2:12, 40:48] = True
    np.testing.assert_array_equal(truth.layers[0], box)
    np.testing.assert_array_equal(truth.layers[1], alpha("disc") > 0)
    np.testing.assert_array_equal(truth.layers[2], alpha("smooth") > 127)
    np.testing.assert_array_equal(truth.layers[3], by_pycocotools(outline))
    assert not source.truth("b").layers.any()
    told = codes(source)
    assert told["NO-AREA"] == "results without area are passed over: 1 choices and 1 keypoint"
    assert told["BOXES"].startswith("1 rectangles are filled")
    assert not opened(root, boxes="skip").truth("a").layers[0].any()
    assert {path.name for path in source.files()} == {"project-1.json", "a.png", "b.png"}


def test_turned_rectangles_turn_around_their_first_corner(tmp_path):
    """A quarter turn clockwise of 8×10 at 20, 5 covers 10 pixels to the left and 8 down."""
    layer = opened(project(tmp_path, task(rectangle(20, 5, 8, 10, rotation=90)))).truth("a").layers[0]
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[5:13, 10:20] = True
    np.testing.assert_array_equal(layer, expected)


def test_ellipses(tmp_path):
    value = {"x": 100 * 20 / WIDTH, "y": 50, "radiusX": 100 * 12 / WIDTH, "radiusY": 100 * 5 / HEIGHT, "rotation": 0}
    layer = opened(project(tmp_path, task(region("ellipse", value)))).truth("a").layers[0]
    y, x = np.indices((HEIGHT, WIDTH)) + 0.5
    reach = np.hypot((x - 20) / 12, (y - 18.5) / 5)
    assert layer[reach < 0.9].all()
    assert not layer[reach > 1.1].any()


def test_the_short_export(tmp_path):
    """JSON-MIN has regions under the names of their controls."""
    rows = [
        {"image": "http://host/data/upload/9/0a1b2c3d-a.png", "id": 1, "annotation_id": 2, "lead_time": 1,
         "tag": [{"format": "rle", "rle": BRUSHES["disc"]["rle"], "brushlabels": ["cell"], "original_width": WIDTH,
                  "original_height": HEIGHT}]},
        {"image": "s3://bucket/some/b.png", "id": 2, "annotation_id": 3, "lead_time": 1},
    ]  # fmt: skip
    source = open_source(project(tmp_path, *rows, pictures=("a.png", "b.png")))[1]
    np.testing.assert_array_equal(source.truth("a").layers[0], alpha("disc") > 0)
    assert not source.truth("b").layers.any()


def test_one_of_several_annotations(tmp_path):
    row = task(brush("disc"))
    more = {"result": [brush("smooth", "nucleus")], "was_cancelled": False}
    cancelled = {"result": [brush("smooth", "nucleus")], "was_cancelled": True}
    root = project(tmp_path, row | {"annotations": [cancelled, *row["annotations"], more]})
    source = open_source(root)[1]
    assert [label.name for label in source.labels] == ["cell"]
    assert codes(source)["SEVERAL"].startswith("1 tasks have several annotations: number 1 is read")
    assert [label.name for label in opened(root, annotation="2").labels] == ["nucleus"]
    project(root, row | {"annotations": [*row["annotations"], more | {"ground_truth": True}]})
    assert [label.name for label in opened(root).labels] == ["nucleus"]


def test_tasks_that_nobody_labelled_are_left_out(tmp_path):
    rows = (task(brush()), task(number=1, name="b.png", annotations=[]), task(brush(), number=2))
    source = open_source(project(tmp_path, *rows, pictures=("a.png", "b.png")))[1]
    assert source.names() == ("a",)
    assert codes(source)["IMAGE-UNLABELLED"].startswith("1 tasks have no annotation")
    assert codes(source)["TASK-TWICE"].startswith("1 tasks are about the picture of another")


@pytest.mark.parametrize(
    ("row", "names"),
    [
        ({"data": {"image": "/data/upload/1/0a1b2c3d-a%20b.png"}}, ("data/upload/1/0a1b2c3d-a b.png", "a b.png")),
        ({"data": {"text": "x", "photo": "https://h/x/y.jpg?sig=1"}}, ("x/y.jpg",)),
        ({"data": {"image": "/data/local-files/?d=images%5Ca.png"}}, ("images/a.png",)),
        ({"data": {"image": "gs://bucket/deadbeef-c.tif"}}, ("deadbeef-c.tif", "c.tif")),
        ({"data": {"id": 5}, "file_upload": "0a1b2c3d-a.png"}, ("0a1b2c3d-a.png", "a.png")),
        ({"data": {"image": "data:image/png;base64,AAAA"}}, ()),
        ({"data": {"image": "http://[broken/a.png"}}, ()),
        ({"data": {}}, ()),
        ({}, ()),
    ],
)
def test_names_of_pictures(row, names):
    assert labelstudio.picture_names(row) == names


def test_a_name_that_only_looks_uploaded_is_found(tmp_path):
    row = task(brush(), data={"image": "/data/local-files/?d=deadbeef-a.png"})
    assert open_source(project(tmp_path, row, pictures=("deadbeef-a.png", "a.png")))[1].names() == ("deadbeef-a",)


def test_paths_never_lead_outside(tmp_path):
    save(tmp_path / "secret.png", picture(9))
    rows = (task(brush()), task(brush(), data={"image": "/data/local-files/?d=../../../secret.png"}))
    source = open_source(project(tmp_path / "set", *rows))[1]
    assert source.names() == ("a",)
    assert "IMAGE-OUTSIDE" in codes(source)


RUNS = BRUSHES["disc"]["rle"]


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (brush(label=[]), "no label of 1 to 500 letters"),
        (brush("noise"), "2,852 values of 8 bits, expected 7,844 of 8 for 53×37 pixels"),
        (brush() | {"value": {"format": "rle", "rle": RUNS[:-20], "brushlabels": ["cell"]}}, "end too early"),
        (brush() | {"value": {"format": "rle", "rle": RUNS[:6], "brushlabels": ["cell"]}}, "end too early"),
        (brush() | {"value": {"format": "rle", "rle": [], "brushlabels": ["cell"]}}, "end too early"),
        (brush() | {"value": {"format": "rle", "rle": "AAAA", "brushlabels": ["cell"]}}, "not a list of bytes"),
        (brush() | {"value": {"format": "rle", "rle": [1, 256], "brushlabels": ["cell"]}}, "not a list of bytes"),
        (brush() | {"value": {"format": "rle", "rle": [1, None], "brushlabels": ["cell"]}}, "not a list of bytes"),
        (
            brush() | {"value": {"format": "rle", "rle": [255] * 99, "brushlabels": ["cell"]}},
            "4,294,967,295 values of 32",
        ),
        (polygon((1, 1), (5, float("nan")), (5, 5)), "not finite"),
        (polygon((1, 1), (5, 1e300), (5, 5)), "far outside"),
        (region("polygon", {"points": [[1]]}), "pairs of numbers"),
        (region("rectangle", {"x": 1, "y": 2, "width": None}), "lacks one of the numbers x, y, width and height"),
        (polygon((1, 1), (9, 9), (9, 1), image_rotation=90), "was turned by 90° in Label Studio"),
    ],
)
def test_a_broken_region_is_told(tmp_path, bad, said):
    dataset = open_dataset(project(tmp_path, task(brush(), bad)))
    (finding,) = dataset.examine("a").findings
    assert finding.severity == "error"
    assert finding.message.startswith("region 2 of a (project-1.json): ")
    assert said in finding.message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (json.dumps([task(brush())])[:-1], "is not valid JSON"),
        (json.dumps([task(brush())]) + "]", "more after the end"),
        (json.dumps([task()]), "no labelled brush, polygon, ellipse or rectangle"),
        (json.dumps([task(brush(), data={"image": "x.png"})]), "none of the pictures of project-1.json lie"),
        (json.dumps([task(*(rectangle(1, 1, 5, 5, label=f"l{n}") for n in range(4200)))]), "more than 4,096 labels"),
    ],
)  # fmt: skip
def test_broken_exports_are_one_line(tmp_path, content, said):
    root = project(tmp_path)
    (root / "project-1.json").write_text(content)
    with pytest.raises(DatasetError, match=said) as caught:
        opened(root)
    assert str(caught.value).isprintable()


def test_sizes_are_those_of_the_regions(tmp_path):
    root = project(tmp_path, task(polygon((1, 1), (5, 1), (5, 5), original_width=WIDTH + 1)))
    assert [row.code for row in open_dataset(root).examine("a").findings] == ["PAIR-SIZE"]
    project(root, task(polygon((1, 1), (5, 1), (5, 5), original_width=10**9)))
    assert "at most 67,108,864 pixels" in open_dataset(root).examine("a").findings[0].message
    project(root, task(polygon((1, 1), (5, 1), (5, 5)), polygon((1, 1), (5, 1), (5, 5), original_width=9)))
    assert "regions for several sizes" in open_dataset(root).examine("a").findings[0].message


def test_an_export_is_known_by_its_end_where_a_brush_fills_its_head(tmp_path):
    large = brush() | {"value": {"format": "rle", "rle": [7] * 40_000, "brushlabels": ["cell"]}}
    rows = {
        "tag": [{key: large["value"][key] for key in ("format", "rle", "brushlabels")}],
        "image": "x/a.png",
        "id": 1,
    }
    assert recognise(project(tmp_path, rows | {"annotation_id": 1, "lead_time": 3}))[0].format == "labelstudio"


@pytest.mark.parametrize(
    "content",
    ["[]", "[1, 2]", '[{"image": "a.png", "label": 3}]', '{"annotations": []}', "", '[{"id": 1, "annotations": []}]'],
)
def test_other_json_is_not_taken(tmp_path, content):
    project(tmp_path)
    (tmp_path / "project-1.json").write_text(content)
    assert recognise(tmp_path) == ()


def test_elements_of_a_list_come_one_by_one(tmp_path):
    value = [{"a": 1}, 2, "x", None, [3], {"é": "ü"}]
    path = tmp_path / "some.json"
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False, indent=2)):
        path.write_text(text, encoding="utf-8")
        found = list(json_file.elements(path))
        assert [one.value for one in found] == value
        assert list(json_file.pieces(path, [(one.start, one.end) for one in found])) == value


def test_broken_copies_never_end_in_a_traceback(tmp_path):
    rows = (task(brush(), polygon((1, 1), (9, 1), (9, 9))), task(rectangle(1, 1, 5, 5), number=1, name="b.png"))
    root = project(tmp_path / "good", *rows, pictures=("a.png", "b.png"))
    ended = mutate_folder(
        root, tmp_path / "bad", 400, 9, DataReading(format="labelstudio"),
        which=lambda path: path.suffix == ".json", structural=lambda path: path.suffix == ".json",
    )  # fmt: skip
    assert ended["findings"] > trials(40), ended
    assert ended["refused"] > trials(40), ended
