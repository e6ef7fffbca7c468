"""BraTS folders: names and values of every year, regions and parts."""

import nibabel
import numpy as np
import pytest

from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

SIZE = (6, 5, 3)
OLD = ("t1", "t1ce", "t2", "flair")
NEW = ("t1n", "t1c", "t2w", "t2f")


def volume(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def intensities(case, band):
    return np.random.default_rng([case, band]).integers(0, 800, SIZE).astype(np.int16)


def label_map(case, values):
    return np.random.default_rng(100 + case).choice(values, SIZE).astype(np.uint8)


def write(root, words, values, *, name="BraTS20_Training_{:03}", mark="_", cases=3, ending=".nii.gz"):
    for case in range(1, cases + 1):
        stem = name.format(case)
        for band, word in enumerate(words):
            volume(root / stem / f"{stem}{mark}{word}{ending}", intensities(case, band))
        volume(root / stem / f"{stem}{mark}seg{ending}", label_map(case, values))
    return root


def old(root, **more):
    return write(root, OLD, (0, 1, 2, 4), **more)


@pytest.mark.parametrize(
    ("words", "values", "name", "mark", "regions"),
    [
        (OLD, (0, 1, 2, 4), "BraTS20_Training_{:03}", "_", [{1, 2, 4}, {1, 4}, {4}]),
        (OLD, (0, 1, 2, 3), "BraTS20_Training_{:03}", "_", [{1, 2, 3}, {1, 3}, {3}]),  # renumbered by someone
        (OLD, (0, 1, 2, 3, 4), "brats_2013_pat{:04}", "_", [{1, 2, 3, 4}, {1, 3, 4}, {4}]),
        (NEW, (0, 1, 2, 3), "BraTS-GLI-{:05}-000", "-", [{1, 2, 3}, {1, 3}, {3}]),
        (NEW, (0, 1, 2, 3, 4), "BraTS-GLI-{:05}-100", "-", [{1, 2, 3}, {1, 3}, {3}, {4}]),
        (NEW, (0, 1, 2, 3, 4), "BraTS-PED-{:05}-000", "-", [{1, 2, 3, 4}, {1, 2, 3}, {1}]),
    ],
)
def test_regions_are_nested_whatever_the_year(words, values, name, mark, regions, tmp_path):
    root = write(tmp_path / "set", words, values, name=name, mark=mark)
    assert recognise(root)[0].format == "brats"
    found = open_dataset(root)
    assert found.kind == "overlapping"
    assert found.classes[:3] == ("whole tumour", "tumour core", "enhancing tumour")
    assert found.priority[:1] == (("resection cavity",) if len(regions) == 4 else ("enhancing tumour",))
    stem = name.format(2)
    truth = found.read(f"{stem}_z0001").truth
    plane = label_map(2, values)[:, :, 1].T
    np.testing.assert_array_equal(truth, [np.isin(plane, list(region)) for region in regions])
    assert set(found.groups.values()) == {name.format(case) for case in (1, 2, 3)}


def test_sequences_are_bands_in_one_order(tmp_path):
    root = old(tmp_path / "set", ending=".nii")
    found = open_dataset(root, DataReading(options={"window": "0,800"}))
    assert found.bands.names == ("T1", "T1 contrast", "T2", "FLAIR")
    image = found.read("BraTS20_Training_003_z0002").image
    for band in range(4):
        np.testing.assert_allclose(image[:, :, band], intensities(3, band)[:, :, 2].T / 800, atol=1e-6)


def test_parts_are_one_label_a_pixel(tmp_path):
    root = old(tmp_path / "set")
    found = open_dataset(root, DataReading(options={"labels": "parts"}))
    assert found.kind == "exclusive"
    assert found.classes == ("background", "necrotic core", "oedema", "enhancing tumour")
    plane = label_map(1, (0, 1, 2, 4))[:, :, 0].T
    np.testing.assert_array_equal(
        found.read("BraTS20_Training_001_z0000").truth, [plane == value for value in (0, 1, 2, 4)]
    )
    with pytest.raises(DatasetError, match="labels must be regions, parts or left out"):
        open_dataset(root, DataReading(options={"labels": "all"}))


def test_cases_that_are_not_whole_are_told(tmp_path):
    root = old(tmp_path / "set", cases=5)
    folder = root / f"BraTS20_Training_{1:03}"
    (folder / "BraTS20_Training_001_seg.nii.gz").rename(folder / "W39_1998.09.19_Segm.nii.gz")  # as one of 2020 is
    (root / "BraTS20_Training_002" / "BraTS20_Training_002_seg.nii.gz").unlink()
    (root / "BraTS20_Training_003" / "BraTS20_Training_003_flair.nii.gz").unlink()
    volume(root / "BraTS20_Training_004" / "BraTS20_Training_004_t2.nii.gz", np.zeros((6, 5, 2), np.int16))
    found = open_dataset(root)
    assert set(found.groups.values()) == {"BraTS20_Training_001", "BraTS20_Training_005"}
    told = {finding.code: finding.message for finding in found.structure()}
    assert "left out, without a label map (seg): 1 case, such as BraTS20_Training_002" in told["CASE-UNLABELLED"]
    errors = [finding.message for finding in found.structure() if finding.code == "CASE-UNREADABLE"]
    assert "case BraTS20_Training_003 is left out: it has no volume of FLAIR" in errors[0]
    assert "case BraTS20_Training_004 is left out: its images have 3, 3, 2, 3 slices" in errors[1]
    assert "1 necrotic core, 2 oedema, 4 enhancing tumour" in told["BRATS-VALUES"]


def test_a_value_that_no_year_has_is_an_error_and_one_folder_for_all_will_do(tmp_path):
    for case in (1, 2, 3):
        for band, word in enumerate(OLD):
            volume(tmp_path / "set" / f"c{case}_{word}.nii.gz", intensities(case, band))
        volume(tmp_path / "set" / f"c{case}_seg.nii.gz", label_map(case, (0, 1, 2, 4, 7)))
    found = open_dataset(tmp_path / "set")
    assert set(found.groups.values()) == {"c1", "c2", "c3"}
    wrong = [finding for finding in check_dataset(found).findings if finding.code == "MASK-VALUES"]
    assert "holds 7, which no label has" in wrong[0].message


def test_a_folder_of_one_sequence_is_volumes(tmp_path):
    volume(tmp_path / "set" / "a_t1.nii.gz", intensities(1, 0))
    volume(tmp_path / "set" / "a_seg.nii.gz", label_map(1, (0, 1)))
    assert [one.format for one in recognise(tmp_path / "set")] == ["volumes"]
