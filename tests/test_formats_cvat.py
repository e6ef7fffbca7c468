"""CVAT's XML, in the form of its own documentation, against pycocotools, Pillow and masks that were written into it."""

from itertools import groupby
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import pytest
from format_mutations import mutate_folder
from fuzzing import trials
from make_dataset import picture, save
from PIL import Image, ImageDraw
from places import shared_cases
from pycocotools import mask as coco_mask

from pipelines.datasets.formats import cvat
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

HEIGHT, WIDTH = 24, 32
META = """<meta><task><id>4</id><name>segmentation</name><size>2</size><labels>
<label><name>cell</name><color>#fa3253</color><type>any</type><attributes><attribute><name>kind</name>
<mutable>False</mutable><input_type>text</input_type></attribute></attributes></label>
<label><name>nucleus</name><color>#2a7dd1</color><type>mask</type><attributes></attributes></label>
<label><name>blurred</name><color>#ff00ff</color><type>tag</type><attributes></attributes></label>
</labels></task><dumped>2026-01-01</dumped></meta>"""


def tag(kind: str, label="cell", text="", **attributes) -> str:
    given = {"label": label, "source": "manual", "occluded": "0", "z_order": "0"} | attributes
    return f"<{kind} {' '.join(f'{key}={quoteattr(str(value))}' for key, value in given.items())}>{text}</{kind}>"


def polygon(*numbers, **other) -> str:
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return tag("polygon", points=";".join(f"{x:.2f},{y:.2f}" for x, y in pairs), **other)


def mask(pixels: np.ndarray, left: int, top: int, **other) -> str:
    """As CVAT writes it: runs along the rows of a box, the first outside."""
    runs = [(value, len(list(group))) for value, group in groupby(pixels.ravel().tolist())]
    counts = ([0] if runs[0][0] else []) + [count for _, count in runs]
    size = {"left": left, "top": top, "width": pixels.shape[1], "height": pixels.shape[0]}
    return tag("mask", rle=", ".join(map(str, counts)), **size, **other)


def document(*shapes: str, meta: str = META, head='<?xml version="1.0" encoding="utf-8"?>\n', **other) -> str:
    given = {"id": 0, "name": "a.png", "width": WIDTH, "height": HEIGHT} | other
    image = " ".join(f"{key}={quoteattr(str(value))}" for key, value in given.items())
    other_image = f'<image id="1" name="b.png" width="{WIDTH}" height="{HEIGHT}"/>'
    inside = "\n".join(shapes)
    return f"{head}<annotations><version>1.1</version>{meta}<image {image}>{inside}</image>{other_image}</annotations>"


def small(root: Path, *shapes: str, **other) -> Path:
    for number, name in enumerate("ab"):
        save(root / "images" / f"{name}.png", picture(number, HEIGHT, WIDTH))
    (root / "annotations.xml").write_text(document(*shapes, **other))
    return root


def opened(root: Path, **options):
    return open_source(root, DataReading(format="cvat", options=options))[1]


def layers(root: Path, **options) -> np.ndarray:
    truth = opened(root, **options).truth("a")
    assert truth.findings == ()
    return truth.layers


def codes(source) -> dict[str, str]:
    return {row.code: row.message for row in source.findings}


def by_pycocotools(*outline) -> np.ndarray:
    return coco_mask.decode(coco_mask.frPyObjects([list(outline)], HEIGHT, WIDTH))[:, :, 0].astype(bool)


def test_polygons_masks_labels_and_colours(tmp_path):
    pixels = np.random.default_rng(0).random((7, 9)) < 0.5
    first, second = (2.5, 3, 20.25, 4.5, 18, 19.75, 3, 15.5), (24, 10, 30, 10, 30, 20)
    attribute = '<attribute name="kind">round</attribute>'
    shapes = (polygon(*first, text=attribute), polygon(*second), mask(pixels, 5, 6, label="nucleus"))
    root = small(tmp_path / "set", *shapes)
    assert [(row.format, row.reason) for row in recognise(root)] == [
        ("cvat", "annotations.xml holds annotations of images")
    ]
    _, source = open_source(root)
    assert [(label.name, label.color) for label in source.labels] == [("cell", "#fa3253"), ("nucleus", "#2a7dd1")]
    expected = np.zeros((2, HEIGHT, WIDTH), bool)
    expected[0] = by_pycocotools(*first) | by_pycocotools(*second)
    expected[1, 6:13, 5:14] = pixels
    np.testing.assert_array_equal(layers(root), expected)
    assert not source.truth("b").layers.any()
    assert source.findings == ()
    assert {path.name for path in source.files()} == {"annotations.xml", "a.png", "b.png"}


@pytest.mark.parametrize("seed", range(8))
def test_masks_come_back(tmp_path, seed):
    rng = np.random.default_rng(seed)
    height, width = int(rng.integers(1, HEIGHT)), int(rng.integers(1, WIDTH))
    top, left = int(rng.integers(0, HEIGHT - height + 1)), int(rng.integers(0, WIDTH - width + 1))
    pixels = rng.random((height, width)) < rng.random()
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[top : top + height, left : left + width] = pixels
    np.testing.assert_array_equal(layers(small(tmp_path / "set", mask(pixels, left, top)))[0], expected)


@pytest.mark.parametrize("turned", [0, 30, 90, 200.5])
def test_ellipses_and_turned_boxes_are_those_of_pillow(tmp_path, turned):
    """Pillow turns its own drawing, on a canvas ten times as wide: they differ on less than a pixel of the outline."""
    box = tag("box", xtl=6, ytl=8, xbr=26, ybr=14, rotation=turned)
    ellipse = tag("ellipse", label="nucleus", cx=16, cy=11, rx=10, ry=4, rotation=turned)
    drawn = layers(small(tmp_path / "set", box, ellipse))
    for layer, shape, corners in ((drawn[0], "rectangle", (6, 8, 26, 14)), (drawn[1], "ellipse", (6, 7, 26, 15))):
        canvas = Image.new("L", (WIDTH * 10, HEIGHT * 10))
        getattr(ImageDraw.Draw(canvas), shape)(
            [10 * side - (place > 1) for place, side in enumerate(corners)], fill=255
        )
        canvas = canvas.rotate(-turned, center=(160, 110))  # Pillow turns counterclockwise
        share = np.asarray(canvas).reshape(HEIGHT, 10, WIDTH, 10).mean(axis=(1, 3)) / 255
        assert layer[share > 0.75].all()
        assert not layer[share < 0.25].any()


def test_boxes_may_be_skipped_and_shapes_without_area_are_counted(tmp_path):
    root = small(
        tmp_path / "set", tag("box", xtl=2, ytl=3, xbr=12, ybr=9), polygon(20, 2, 30, 2, 30, 9),
        tag("polyline", points="1,2;3,4"), tag("points", points="1,2"), tag("tag", label="blurred"),
        tag("skeleton", text=tag("points", label="eye", points="1,1")), tag("cuboid", xtl1=1),
    )  # fmt: skip
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[3:9, 2:12] = True
    triangle = by_pycocotools(20, 2, 30, 2, 30, 9)
    np.testing.assert_array_equal(layers(root)[0], expected | triangle)
    np.testing.assert_array_equal(layers(root, boxes="skip")[0], triangle)
    told = codes(opened(root))
    assert told["BOXES"].startswith("1 boxes are filled")
    passed = "1 cuboid, 1 points, 1 polyline, 1 skeleton and 1 tag"
    assert told["NO-AREA"] == f"shapes without area are passed over: {passed}"


def test_shapes_on_top_may_take_the_pixels(tmp_path):
    below, above = (2, 2, 20, 2, 20, 20, 2, 20), (10, 10, 28, 10, 28, 22, 10, 22)
    root = small(tmp_path / "set", polygon(*above, label="nucleus", z_order=3), polygon(*below, z_order=-1))
    source = opened(root)
    assert "keep all labels" in codes(source)["Z-ORDER"]
    np.testing.assert_array_equal(source.truth("a").layers, [by_pycocotools(*below), by_pycocotools(*above)])
    top = opened(root, overlap="top")
    assert top.exclusive
    expected = [by_pycocotools(*below) & ~by_pycocotools(*above), by_pycocotools(*above)]
    np.testing.assert_array_equal(top.truth("a").layers, expected)
    assert open_dataset(root, DataReading(format="cvat", options={"overlap": "top"})).kind == "exclusive"


def test_labels_without_a_table_are_those_of_the_shapes(tmp_path):
    root = small(tmp_path / "set", polygon(2, 2, 9, 2, 9, 9, label="b"), polygon(2, 2, 9, 2, 9, 9, label="a"), meta="")
    assert [(label.name, label.color) for label in open_source(root)[1].labels] == [("b", None), ("a", None)]


def test_subsets_are_splits(tmp_path):
    images = []
    for number, subset in enumerate(("Train", "Train", "Validation", "Test")):
        save(tmp_path / "images" / subset / f"{number}.png", picture(number, HEIGHT, WIDTH))
        size = f'width="{WIDTH}" height="{HEIGHT}"'
        shape = polygon(2, 2, 9, 2, 9, 9)
        images.append(f'<image id="{number}" name="{number}.png" subset="{subset}" {size}>{shape}</image>')
    (tmp_path / "annotations.xml").write_text(f"<annotations>{''.join(images)}</annotations>")
    source = open_source(tmp_path)[1]
    assert source.splits == {"train": ("0", "1"), "val": ("2",), "test": ("3",)}
    assert source.findings == ()


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        (tag("polygon", points="1,2;3"), "its points are not x,y;x,y;…"),
        (tag("polygon", points="1,2;3,x;5,6"), "else than numbers"),
        (tag("polygon", points="1,2;3,nan;5,6"), "not finite"),
        (tag("polygon", points="1,2;3,1e9;5,6"), "far outside"),
        (tag("mask", rle="1, 2", left=0, top=0, width=2, height=2), "cover 3 pixels, its box of 2×2 has 4"),
        (tag("mask", rle="1, x", left=0, top=0, width=2, height=2), "not whole numbers with commas"),
        (tag("mask", rle="", left=0, top=0, width=2, height=2), "not whole numbers with commas"),
        (tag("mask", rle="0, 4", left=31, top=0, width=2, height=2), "2×2 at 31, 0 reaches out of the image of 32×24"),
        (tag("mask", rle="0, 4", left=-1, top=0, width=2, height=2), "reaches out of the image"),
        (tag("mask", rle="0, 4", left=0.5, top=0, width=2, height=2), "expected whole pixels"),
        (tag("mask", rle="0, 4", left=0, top=0, width=2), "its height is missing"),
        (tag("mask", rle="0, 4", left=0, top=0, width=10**9, height=10**9), "its size is given as"),
        (tag("box", xtl=1, ytl=2, xbr="inf", ybr=3), "its xbr is missing or no number"),
        (tag("ellipse", cx=1, cy=2, rx=1e300, ry=3), "far outside"),
        (tag("box", label="", xtl=1, ytl=2, xbr=5, ybr=5), "no label of 1 to 500 letters"),
    ],
)
def test_a_broken_shape_is_told(tmp_path, bad, said):
    dataset = open_dataset(small(tmp_path / "set", polygon(2, 2, 9, 2, 9, 9), bad))
    (finding,) = dataset.examine("a").findings
    assert finding.severity == "error"
    assert finding.message.startswith(f"{bad[1:].split()[0]} 2 of a (annotations.xml): ")
    assert said in finding.message
    assert dataset.examine("b").item is not None


LAUGHS = '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;&x;&x;">]>'


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (document(head=LAUGHS), "declares a document type"),
        (document(head='<!DOCTYPE a SYSTEM "file:///etc/passwd">'), "declares a document type"),
        (document(polygon(1, 1, 5, 1, 5, 5, label="L")).replace('"L"', '"&x;"'), "undefined entity"),
        (document(head='<?xml version="1.0" encoding="latin-1"?>'), "is in latin-1, expected UTF-8"),
        ("<annotations><version>1.1</version>", "is not valid XML"),
        ("<annotations><version>1.1</version></annotations>", "lists no images"),
        ('<annotations><version>1.1</version><track id="0"/></annotations>', "holds tracks of a video"),
        ("<annotations><version>1.1</version>" + "<a>" * 1000, "nested too deeply"),
        ("<b><annotations><version>1.1</version></annotations></b>", "begins with 'b', expected annotations"),
        (document(meta=""), "no polygon, mask, box or ellipse"),
        (document(polygon(1, 1, 5, 1, 5, 5), name=""), "an image has no name"),
        (document(polygon(1, 1, 5, 1, 5, 5), name="gone.png").replace("b.png", "c.png"), "none of the images"),
        (document(*(polygon(1, 1, 5, 1, 5, 5, label=f"l{n}") for n in range(4200))), "more than 4,096 labels"),
        (document("<tag/>" * 100_001), "an image has more than 100,000 shapes"),
        (document(f'<polygon points="{"1,1;" * 5_000_000}"/>'), "a tag of more than 16,777,216 bytes"),
    ],
)
def test_broken_files_are_one_line(tmp_path, content, said):
    root = small(tmp_path / "set")
    (root / "annotations.xml").write_text(content)
    with pytest.raises(DatasetError, match=said) as caught:
        open_source(root, DataReading(format="cvat"))
    assert str(caught.value).isprintable()


def test_utf16_is_told_and_bytes_are_counted_as_utf8(tmp_path):
    root = small(tmp_path / "set", polygon(2, 2, 9, 2, 9, 9, label="zelle ü 細胞", text="é" * 50), meta="é")
    assert layers(root).sum() == by_pycocotools(2, 2, 9, 2, 9, 9).sum()
    (root / "annotations.xml").write_text((root / "annotations.xml").read_text(), encoding="utf-16")
    with pytest.raises(DatasetError, match="is in UTF-16, expected UTF-8"):
        open_source(root, DataReading(format="cvat"))


def test_sizes_and_paths_are_checked(tmp_path):
    root = small(tmp_path / "set", polygon(2, 2, 9, 2, 9, 9), width=WIDTH + 1)
    assert [row.code for row in open_dataset(root).examine("a").findings] == ["PAIR-SIZE"]
    small(root, polygon(2, 2, 9, 2, 9, 9), width="9" * 30)
    assert "expected whole numbers and at most" in open_dataset(root).examine("a").findings[0].message
    save(tmp_path / "secret.png", picture(0))
    small(root, polygon(2, 2, 9, 2, 9, 9), name="../../../secret.png")
    source = opened(root)
    assert "../../../secret.png" in codes(source)["IMAGE-OUTSIDE"]
    assert source.names() == ("b",)


def test_annotations_of_pascal_voc_are_not_taken(tmp_path):
    save(tmp_path / "JPEGImages" / "a.png", picture(0))
    (tmp_path / "a.xml").write_text(
        "<annotation><filename>a.png</filename><object><name>cat</name></object></annotation>"
    )
    assert recognise(tmp_path) == ()


def test_a_large_file_is_indexed_within_little_memory(tmp_path):
    import tracemalloc

    shape = polygon(*range(2000))
    root = small(tmp_path / "set", *[shape] * 800)
    assert (root / "annotations.xml").stat().st_size > 8_000_000
    tracemalloc.start()
    opened(root)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8_000_000, peak


def test_cvat_of_the_shared_cases():
    root = shared_cases() / "cvat_images_xml" / "data"
    if not root.is_dir():
        pytest.skip("the shared cases are not here")
    source = open_source(root)[1]
    expected = np.zeros((32, 40), bool)
    expected[4:14, 6:30] = True
    assert len(source.names()) == 10
    for name in source.names():
        np.testing.assert_array_equal(source.truth(name).layers, expected[None])


def test_broken_copies_never_end_in_a_traceback(tmp_path):
    pixels = np.random.default_rng(0).random((7, 9)) < 0.5
    shapes = (polygon(2, 2, 9, 2, 9, 9), mask(pixels, 5, 6, label="nucleus"), tag("box", xtl=1, ytl=2, xbr=5, ybr=5))
    root = small(tmp_path / "good", *shapes)
    ended = mutate_folder(
        root, tmp_path / "bad", 400, 7, DataReading(format="cvat"), which=lambda path: path.suffix == ".xml"
    )
    assert ended["refused"] > trials(100), ended
    assert ended["findings"] > trials(10), ended


def test_runs_of_a_mask():
    np.testing.assert_array_equal(cvat.mask_of("0,1,2,1", (2, 2)), [[1, 0], [0, 1]])
