"""Volumes and label maps that are paired by their names alone."""

import nibabel
import numpy as np
import pytest
from test_formats_volumes import mha, nrrd

from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

SIZE = (7, 5, 4)


def intensities(case, band=0):
    return np.random.default_rng([case, band]).integers(-900, 900, SIZE).astype(np.int16)


def label_map(case):
    return np.random.default_rng(100 + case).integers(0, 3, SIZE).astype(np.uint8)


def save(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    ending = path.name.partition(".")[2]
    if ending == "nrrd":
        path.write_bytes(nrrd(values.tobytes(order="F"), type={"int16": "short", "uint8": "uchar"}[str(values.dtype)]))
    elif ending == "mha":
        kind = {"int16": "MET_SHORT", "uint8": "MET_UCHAR"}[str(values.dtype)]
        path.write_bytes(mha(values.tobytes(order="F"), ElementType=kind))
    else:
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


LAYOUTS = {
    "two folders": ("images/c{}.nrrd", "labels/c{}.nrrd", "c{}"),
    "nnU-Net's without its table": ("imagesTr/c{}_0000.nii.gz", "labelsTr/c{}.nii.gz", "c{}"),
    "PROMISE12": ("Case0{}.mha", "Case0{}_segmentation.mha", "Case0{}"),
    "LiTS": ("volume-{}.nii", "segmentation-{}.nii", "{}"),
    "KiTS": ("case_{}/imaging.nii.gz", "case_{}/segmentation.nii.gz", "case_{}"),
    "Slicer": ("p{}/CT.nrrd", "p{}/CT-label.nrrd", "p{}_CT"),
    "suffix": ("p{}_img.nii.gz", "p{}_gt.nii.gz", "p{}"),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_volumes_are_paired_by_what_their_names_share(layout, tmp_path):
    image, label, name = LAYOUTS[layout]
    for case in (1, 2, 3):
        save(tmp_path / "set" / image.format(case), intensities(case))
        save(tmp_path / "set" / label.format(case), label_map(case))
    assert [one.format for one in recognise(tmp_path / "set")] == ["volumes"]
    found = open_dataset(tmp_path / "set", DataReading(options={"window": "-900,900"}))
    assert (found.kind, found.classes) == ("exclusive", ("background", "class 1", "class 2"))
    assert set(found.groups.values()) == {name.format(case) for case in (1, 2, 3)}
    item = found.read(f"{name.format(2)}_z0003")
    np.testing.assert_allclose(item.image[:, :, 0], (intensities(2)[:, :, 3].T + 900.0) / 1800, atol=1e-6)
    np.testing.assert_array_equal(item.truth, [value == label_map(2)[:, :, 3].T for value in range(3)])


def test_several_volumes_of_a_case_are_bands(tmp_path):
    for case in (1, 2, 3):
        for band, word in enumerate(("T1", "T2")):
            save(tmp_path / "set" / f"p{case}" / f"{word}.nii.gz", intensities(case, band))
        save(tmp_path / "set" / f"p{case}" / "label.nii.gz", label_map(case))
    (tmp_path / "set" / "p3" / "T2.nii.gz").unlink()
    found = open_dataset(tmp_path / "set", DataReading(options={"window": "-900,900"}))
    assert found.bands.names == ("T1", "T2")
    image = found.read("p1_z0000").image
    for band in range(2):
        np.testing.assert_allclose(image[:, :, band], (intensities(1, band)[:, :, 0].T + 900.0) / 1800, atol=1e-6)
    told = {finding.code: finding.message for finding in found.structure()}
    assert told["CASE-UNREADABLE"] == "case p3 is left out: it has no volume of T2; put it there"


def test_folders_of_splits_are_splits_and_names_are_those_that_are_given(tmp_path):
    for number, split in enumerate(("train", "val", "test")):
        save(tmp_path / "set" / split / "images" / "a.nrrd", intensities(number))
        save(tmp_path / "set" / split / "labels" / "a.nrrd", label_map(number))
    found = open_dataset(tmp_path / "set", DataReading(options={"labels": "liver=1, tumour=2"}))
    assert found.classes == ("background", "liver", "tumour")
    assert {split: len(found.images(split)) for split in ("train", "val", "test")} == {"train": 4, "val": 4, "test": 4}
    assert found.images("val")[0] == "val_a_z0000"
    few = open_dataset(tmp_path / "set", DataReading(options={"labels": "liver=1"}))
    wrong = [finding.message for finding in check_dataset(few).findings if finding.code == "MASK-VALUES"]
    assert wrong[0].endswith("holds 2, which no label has; correct the mask or the option labels")
    with pytest.raises(DatasetError, match="labels has 'liver', expected name=value"):
        open_dataset(tmp_path / "set", DataReading(options={"labels": "liver"}))


def test_what_has_no_partner_is_told(tmp_path):
    for case in (1, 2, 3, 4):
        save(tmp_path / "set" / "images" / f"c{case}.nrrd", intensities(case))
    for case in (1, 2, 3, 5):
        save(tmp_path / "set" / "labels" / f"c{case}.nrrd", label_map(case))
    save(tmp_path / "set" / "images" / "c1_img.nrrd", intensities(9))
    told = {finding.code: finding.message for finding in open_dataset(tmp_path / "set").structure()}
    assert told["CASE-UNLABELLED"] == "left out, without a label map: 1 volume, such as c4.nrrd"
    assert told["PAIR-MISSING"] == "left out, without an image: 1 label map, such as c5.nrrd"
    assert told["NAME-TWICE"] == "left out, called as others are: 1 file, such as c1_img.nrrd; rename them"
    assert told["LABEL-VALUES"].endswith("0 background, 1 class 1, 2 class 2")


def test_volumes_alone_are_no_data_set(tmp_path):
    save(tmp_path / "set" / "images" / "c1.nrrd", intensities(1))
    save(tmp_path / "set" / "labels" / "x1.nrrd", label_map(1))
    assert recognise(tmp_path / "set") == ()
