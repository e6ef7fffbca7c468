"""A folder that no format knows: what was seen in it, which format comes nearest, and why it is not that one."""

import json

import numpy as np
import pytest
from make_dataset import picture, save
from mask_layouts import index_mask

from pipelines.datasets.opening import open_dataset
from pipelines.errors import DatasetError
from pipelines.reading import DataReading


def refusal(root) -> str:
    with pytest.raises(DatasetError, match="is in no known format") as caught:
        open_dataset(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def pictures(root, count: int = 4, suffix: str = "jpg"):
    for index in range(count):
        save(root / f"a{index}.{suffix}", picture(index))
    return root


def test_an_empty_folder_holds_nothing(tmp_path):
    assert "(it holds nothing); known are native" in refusal(tmp_path)


def test_files_are_counted_by_their_endings(tmp_path):
    pictures(tmp_path / "scans")
    for name in ("a.dcm", "b.dcm", "notes", ".hidden.png"):
        (tmp_path / name).write_bytes(b"\0\1")
    said = refusal(tmp_path)
    assert (
        "(it holds a.dcm, b.dcm, notes, scans: 4 .jpg, 2 .dcm and 1 without ending in 2 folders; a.dcm is DICOM)"
        in said
    )
    assert "nearest is indexed: there are picture files, such as scans/a0.jpg, but no file or folder says mask" in said


@pytest.mark.parametrize(
    ("name", "text", "kind"),
    [
        (
            "boxes.xml",
            '<?xml version="1.0"?>\n<annotation><folder>a</folder></annotation>',
            "XML (Pascal VOC's, of boxes)",
        ),
        ("slide.xml", "<Annotations MicronsPerPixel='1'/>", "XML (Aperio ImageScope's)"),
        ("map.xml", "<!-- a map --><kml xmlns='x'></kml>", "XML (<kml>)"),
        ("labels.csv", "image;x;y\n1;2;3\n", "a table with the columns image, x, y"),
        ("labels.tsv", "image\tclass\n", "a table with the columns image, class"),
        ("labels.csv", "", "an empty table"),
        ("a.txt", "0 0.5 0.5 0.1 0.1\n1 0.25 0.5 0.1 1e-05\n", "lines of a class and coordinates"),
        ("map.geojson", json.dumps({"type": "FeatureCollection", "features": []}), "JSON (GeoJSON)"),
        (
            "via.json",
            json.dumps({"a.jpg9": {"regions": [{"region_attributes": {}}]}}),
            "JSON (the VGG Image Annotator's)",
        ),
        ("own.json", json.dumps({"masks": [1], "info": {"by": 1}}), "JSON with the keys masks, info, by"),
        ("own.json", "{", "JSON without keys, or damaged"),
    ],
)
def test_a_file_of_annotations_is_told_by_its_kind(tmp_path, name, text, kind):
    pictures(tmp_path / "data")
    (tmp_path / name).write_text(text)
    assert f"; {name} is {kind})" in refusal(tmp_path)


def test_a_text_that_is_no_annotation_says_nothing(tmp_path):
    pictures(tmp_path)
    (tmp_path / "README.txt").write_text("10 pictures of cells\n")
    assert "a0.jpg, a1.jpg, a2.jpg, a3.jpg: 4 .jpg and 1 .txt); nearest" in refusal(tmp_path)


def test_hostile_texts_are_shown_harmlessly_and_in_bounded_time(tmp_path):
    pictures(tmp_path)
    (tmp_path / "a.csv").write_text(",".join(["x" * 10_000, "a\x1b[31mb", *map(str, range(10_000))]))
    (tmp_path / "b.xml").write_text("<" * 100_000 + "<!--" * 100_000)
    (tmp_path / "c.json").write_text("[" * 100_000)
    (tmp_path / "d.txt").write_text("1 " * 100_000)
    (tmp_path / "e.txt").write_text("1 1.1111111111111111" * 10_000)
    said = refusal(tmp_path)
    assert said.isprintable()
    assert len(said) < 2000
    assert f"columns {'x' * 40}, a" in said


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"a note"])
def test_masks_that_cannot_be_read_are_named(tmp_path, content):
    for index in range(4):
        save(tmp_path / "images" / f"a{index}.png", picture(index))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"a{index}.png").write_bytes(content)
    said = refusal(tmp_path)
    assert "nearest is indexed: none of the masks that were looked at can be read: " in said
    assert "masks/a0.png is " in said


def test_masks_that_are_not_called_as_pictures_are_told(tmp_path):
    for index in range(4):
        save(tmp_path / "images" / f"cat{index}.png", picture(index))
        save(tmp_path / "masks" / f"{index + 7}.png", index_mask(1, 2))
    assert (
        "nearest is indexed: masks, such as masks/10.png, are not called as a picture is, such as images/cat0.png"
        in refusal(tmp_path)
    )


def test_what_is_said_of_folders_and_names_that_pair_reads_them(tmp_path):
    for index in range(4):
        save(tmp_path / "folders" / "x" / f"{index}.png", picture(index))
        save(tmp_path / "folders" / "y" / f"{index}.png", index_mask(1, 2))
        save(tmp_path / "names" / f"{index}_S2.png", picture(index))
        save(tmp_path / "names" / f"{index}_LULC.png", index_mask(1, 2))
    said = refusal(tmp_path / "folders")
    assert "x and y hold files of the same names; if the second are masks, say images=x and masks=y with" in said
    options = {"images": "x", "masks": "y"}
    assert len(open_dataset(tmp_path / "folders", DataReading(format="indexed", options=options)).names()) == 4
    said = refusal(tmp_path / "names")
    assert "_LULC.png and _S2.png follow the same names" in said
    options = {"images": "*_S2.png", "masks": "*_LULC.png"}
    assert len(open_dataset(tmp_path / "names", DataReading(format="indexed", options=options)).names()) == 4


def test_the_nearest_format_is_one_that_lacks_a_part(tmp_path):
    pictures(tmp_path / "voc" / "JPEGImages")
    (tmp_path / "voc" / "Annotations").mkdir()
    (tmp_path / "voc" / "Annotations" / "a0.xml").write_text("<annotation/>")
    said = refusal(tmp_path / "voc")
    assert (
        "nearest is voc: JPEGImages has no SegmentationClass with masks beside it, but Annotations, which holds" in said
    )
    (tmp_path / "nnunet" / "imagesTr").mkdir(parents=True)
    (tmp_path / "nnunet" / "labelsTr").mkdir()
    np.save(tmp_path / "nnunet" / "imagesTr" / "a.npy", np.zeros(3))
    said = refusal(tmp_path / "nnunet")
    assert (
        "nearest is nnunet: it has imagesTr and labelsTr, where labelsTr and a dataset.json that names labels" in said
    )
    pictures(tmp_path / "coco")
    (tmp_path / "coco" / "a.json").write_text(json.dumps({"images": [], "annotations": [], "note": 1}))
    said = refusal(tmp_path / "coco")
    assert (
        "nearest is coco: a.json holds images and annotations, but COCO needs images, annotations and categories"
        in said
    )


def test_a_folder_of_folders_is_looked_at_within_limits(tmp_path):
    for index in range(120):
        (tmp_path / f"{index:03}").mkdir()
        for name in range(50):
            (tmp_path / f"{index:03}" / f"{name}.bin").touch()
    assert "at least 5,000 .bin in 100 folders" in refusal(tmp_path)
