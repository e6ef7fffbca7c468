"""Data sets of annotation tools as they come: a zip is unpacked, and its one format is recognised."""

import zipfile

import pytest
from places import shared_cases

from pipelines.datasets.opening import open_dataset, recognise
from pipelines.uploads import Limits, root_of, unpack

CASES = {
    "cvat_coco_crowd": "coco",
    "severstal_rle": "rle",
    "yolo_seg": "yolo",
    "cvat_images_xml": "cvat",
    "supervisely": "supervisely",
}


@pytest.mark.parametrize("case", CASES)
def test_a_zip_is_recognised_as_its_one_format(tmp_path, case):
    data = shared_cases() / case / "data"
    if not data.is_dir():
        pytest.skip("the shared cases are not here")
    archive = tmp_path / "made.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as made:
        for path in sorted(path for path in data.rglob("*") if path.is_file()):
            made.write(path, f"my set/{path.relative_to(data)}")
    root = root_of(unpack(archive, tmp_path / "unpacked", limits=Limits(free_bytes=0)).folder)
    assert [row.format for row in recognise(root)] == [CASES[case]]
    dataset = open_dataset(root)
    assert [row.message for row in dataset.structure() if row.severity == "error"] == []
    assert all(dataset.examine(name).item is not None for name in dataset.names())
