"""nnU-Net raw data sets with volumes as nibabel, tifffile and Pillow write them."""

import gzip
import json
import struct
import time
from pathlib import Path

import nibabel
import numpy as np
import pytest
import tifffile
from format_mutations import ends_well, mutate_folder
from fuzzing import trials
from make_dataset import picture, save

from pipelines import links
from pipelines.datasets.formats import nifti
from pipelines.datasets.opening import open_dataset, open_source, recognise
from pipelines.errors import DatasetError
from pipelines.imports.readers.nnunet import open_nnunet
from pipelines.imports.sources import Said
from pipelines.reading import DataReading

X, Y, Z = 10, 14, 5


def save_nifti(path: Path, values: np.ndarray, **header) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([0.5, 0.7, 3.0, 1.0]))
    if header:
        image.header.set_slope_inter(header["slope"], header["inter"])
    nibabel.save(image, path)
    return path


def write(path: Path, value) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value))
    return path


def intensities(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 2000, (X, Y, Z)).astype(np.int16)


def label_map(seed: int, top: int = 3) -> np.ndarray:
    """(X, Y, Z) with values to `top`; slice 0 is empty."""
    found = np.random.default_rng(seed + 100).integers(0, top + 1, (X, Y, Z)).astype(np.uint8)
    found[:, :, 0] = 0
    return found


def dataset_json(**other) -> dict:
    return {
        "channel_names": {"0": "CT"}, "labels": {"background": 0, "liver": 1, "tumour": 2, "vessel": 3},
        "numTraining": 4, "file_ending": ".nii.gz",
    } | other  # fmt: skip


def raw(root: Path, *, cases: int = 4, top: int = 3, **other) -> Path:
    write(root / "dataset.json", dataset_json(**other))
    for number in range(cases):
        save_nifti(root / "imagesTr" / f"case_{number:03d}_0000.nii.gz", intensities(number))
        save_nifti(root / "labelsTr" / f"case_{number:03d}.nii.gz", label_map(number, top))
    return root


def said(**options) -> DataReading:
    return DataReading(format="nnunet", options=options)


def test_volumes_are_cut_along_their_last_axis(tmp_path):
    root = raw(tmp_path / "Dataset001_Liver")
    assert recognise(root)[0].format == "nnunet"
    _, source = open_source(root)
    assert source.names() == tuple(f"case_{case:03d}_z{z:04d}" for case in range(4) for z in range(Z))
    assert [(one.name, one.role) for one in source.labels] == [
        ("background", "background"), ("liver", "class"), ("tumour", "class"), ("vessel", "class"),
    ]  # fmt: skip
    assert source.exclusive
    assert source.complete
    assert set(source.groups.values()) == {f"case_{case:03d}" for case in range(4)}
    for case in range(4):
        expected = np.asarray(nibabel.load(root / "labelsTr" / f"case_{case:03d}.nii.gz").dataobj)
        for z in range(Z):
            truth = source.truth(f"case_{case:03d}_z{z:04d}")
            assert truth.layers.shape == (4, Y, X)
            np.testing.assert_array_equal(truth.layers.argmax(axis=0), expected[:, :, z].T)
            assert (truth.layers.sum(axis=0) == 1).all()
    assert "20 of 20 slices of 4 volumes are taken (all)" in source.findings[0].message
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.background) == ("exclusive", "background")
    for name in dataset.names():
        assert dataset.read(name).image.shape == (Y, X, 1)
    assert dataset.bands.names == ("CT",)


def test_predictions_of_nnunet_are_imported_the_right_way_up(tmp_path):
    """Axes (C, Z, Y, X) as nnU-Net exports them: those of the file in reverse."""
    root = raw(tmp_path / "Dataset001_Liver")
    dataset = open_dataset(root)
    files = {}
    for case in range(4):
        values = label_map(case).transpose(2, 1, 0)  # SimpleITK's and nnU-Net's order
        one_hot = np.moveaxis(np.eye(4, dtype=np.float32)[values], -1, 0) * 0.8 + 0.05
        path = tmp_path / "predictions" / f"case_{case:03d}.npz"
        path.parent.mkdir(exist_ok=True)
        np.savez_compressed(path, probabilities=one_hot)
        files[path.name] = path
    outputs = open_nnunet(files, Said(head="softmax", classes=dataset.classes), dataset)
    assert outputs.absent(dataset.names()) == ()
    assert outputs.surplus(dataset.names()) == ()
    for name in dataset.names():
        item = dataset.read(name)
        np.testing.assert_array_equal(outputs.read(item).argmax(axis=0), item.truth.argmax(axis=0))


def test_intensities_are_scaled_by_the_percentiles_of_the_case(tmp_path):
    root = raw(tmp_path / "set")
    low, high = np.percentile(intensities(2), (0.5, 99.5))
    expected = np.clip((intensities(2)[:, :, 3].T - low) / (high - low), 0, 1)
    image = open_dataset(root).read("case_002_z0003").image
    np.testing.assert_allclose(image, expected[:, :, None], atol=1e-6)
    image = open_dataset(root, said(window="-160,240")).read("case_002_z0003").image
    np.testing.assert_allclose(image[:, :, 0], np.clip((intensities(2)[:, :, 3].T + 160) / 400, 0, 1), atol=1e-6)
    assert open_dataset(root).read("case_002_z0003", size=(7, 5)).image.shape == (7, 5, 1)


def test_scale_and_offset_of_the_file_are_applied(tmp_path):
    root = raw(tmp_path / "set")
    path = root / "imagesTr" / "case_001_0000.nii.gz"
    save_nifti(path, intensities(1), slope=2.0, inter=-10.0)
    stored = nibabel.load(path)
    assert stored.dataobj.slope == 2.0
    image = open_dataset(root, said(window="-1000,1000")).read("case_001_z0001").image
    np.testing.assert_allclose(
        image[:, :, 0], np.clip((np.asarray(stored.dataobj)[:, :, 1].T + 1000) / 2000, 0, 1), atol=1e-6
    )


@pytest.mark.parametrize(("slices", "count"), [("all", 20), ("labelled", 16), ("every:2", 12), ("every:99", 4)])
def test_slices_are_those_that_the_option_says(tmp_path, slices, count):
    root = raw(tmp_path / "set")
    _, source = open_source(root, said(slices=slices))
    assert len(source.names()) == count
    assert f"{count} of 20 slices" in source.findings[0].message
    if slices == "labelled":
        assert not any(name.endswith("_z0000") for name in source.names())


def test_regions_overlap_and_their_order_is_told(tmp_path):
    labels = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    root = raw(tmp_path / "set", top=4, labels=labels, regions_class_order=[1, 2, 3])
    dataset = open_dataset(root)
    assert (dataset.kind, dataset.classes) == ("overlapping", ("whole", "core", "enhancing"))
    for name in dataset.names():
        case, z = int(name[5:8]), int(name[-4:])
        values = label_map(case, 4)[:, :, z].T
        item = dataset.read(name)
        np.testing.assert_array_equal(item.valid, values != 4)
        for layer, some in zip(item.truth, ([1, 2, 3], [2, 3], [3]), strict=True):
            np.testing.assert_array_equal(layer, np.isin(values, some))
    (told,) = [one.message for one in dataset.structure() if one.code == "REGION-ORDER"]
    assert "the first of enhancing, core, whole" in told


def test_hundreds_of_values_are_told_apart(tmp_path):
    labels = {"background": 0} | {f"l{n}": n for n in range(1, 400)} | {"odd": list(range(1, 400, 2))}
    root = raw(tmp_path / "set", cases=1, labels=labels)
    values = np.random.default_rng(0).integers(0, 402, (X, Y, Z)).astype(np.int16)
    values[:2, 0] = [[400], [401]]
    save_nifti(root / "labelsTr" / "case_000.nii.gz", values)
    truth = open_source(root)[1].truth("case_000_z0001")
    plane = values[:, :, 1].T
    assert "holds 400, 401," in truth.findings[0].message
    for value in (0, 1, 200, 399):
        np.testing.assert_array_equal(truth.layers[value], plane == value)
    np.testing.assert_array_equal(truth.layers[400], (plane % 2 == 1) & (plane < 400))


def test_folds_and_a_labelled_test_set_are_splits(tmp_path):
    root = raw(tmp_path / "set")
    save_nifti(root / "imagesTs" / "case_900_0000.nii.gz", intensities(9))
    save_nifti(root / "imagesTs" / "case_901_0000.nii.gz", intensities(9))  # without labels: not used
    save_nifti(root / "labelsTs" / "case_900.nii.gz", label_map(9))
    cases = [f"case_{number:03d}" for number in range(4)]
    assert {split: len(some) for split, some in open_source(root)[1].splits.items()} == {"train": 20, "test": 5}
    folds = [{"train": cases[:3], "val": cases[3:]}, {"train": cases[1:], "val": [*cases[:1], "gone"]}]
    write(root / "splits_final.json", folds)
    for fold, val in ((0, "case_003"), (1, "case_000")):
        _, source = open_source(root, said(fold=str(fold)))
        assert {source.groups[name] for name in source.splits["val"]} == {val}
        assert {source.groups[name] for name in source.splits["test"]} == {"case_900"}
        assert len(source.splits["train"]) == 15
    assert "SPLIT-ABSENT" in {one.code for one in source.findings}
    with pytest.raises(DatasetError, match="has 2 folds, asked for is fold 2"):
        open_source(root, said(fold="2"))


def test_several_channels_and_their_choice(tmp_path):
    root = raw(tmp_path / "set", cases=1, channel_names={"0": "T1", "1": "T2", "2": "FLAIR", "3": "T1c"})
    for channel in (1, 2, 3):
        save_nifti(root / "imagesTr" / f"case_000_{channel:04d}.nii.gz", intensities(channel))
    for chosen, channels in (("4,2", (3, 1)), ("", (0, 1, 2, 3))):
        dataset = open_dataset(root, said(window="-1000,2000", channels=chosen))
        read = dataset.read("case_000_z0002").image
        expected = [(intensities(channel)[:, :, 2].T + 1000) / 3000 for channel in channels]
        np.testing.assert_allclose(read, np.stack(expected, axis=2), atol=1e-6)
        assert dataset.bands.names == tuple(("T1", "T2", "FLAIR", "T1c")[channel] for channel in channels)
        assert dataset.bands.colors == ()
    with pytest.raises(DatasetError, match="has 4 channels, asked for is channel 5"):
        open_dataset(root, said(channels="5")).read("case_000_z0002")


def test_version_1_and_decathlon_files(tmp_path):
    root = tmp_path / "Task004"
    write(root / "dataset.json", {
        "modality": {"0": "MRI", "1": "T2"}, "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
        "training": [{"image": "./imagesTr/h_001.nii.gz", "label": "./labelsTr/h_001.nii.gz"},
                     {"image": "./imagesTr/h_009.nii.gz", "label": "./labelsTr/h_009.nii.gz"}],
    })  # fmt: skip
    both = np.stack([intensities(1), intensities(2)], axis=-1)
    save_nifti(root / "imagesTr" / "h_001.nii.gz", both)
    (root / "imagesTr" / "._h_001.nii.gz").write_bytes(b"what macOS adds")
    save_nifti(root / "labelsTr" / "h_001.nii.gz", label_map(1, 2).astype(np.float32))
    save_nifti(root / "imagesTr" / "h_0002.nii.gz", both)  # named like a channel, and no channel
    save_nifti(root / "labelsTr" / "h_0002.nii.gz", label_map(2, 2))
    dataset = open_dataset(root, said(window="-1000,2000"))
    assert dataset.classes == ("background", "Anterior", "Posterior")
    assert len(dataset.names()) == 10
    assert dataset.bands.names == ("MRI", "T2")
    item = dataset.read("h_001_z0004")
    np.testing.assert_allclose(item.image[:, :, 1], (intensities(2)[:, :, 4].T + 1000) / 3000, atol=1e-6)
    np.testing.assert_array_equal(item.truth.argmax(axis=0), label_map(1, 2)[:, :, 4].T)
    assert "1 label maps that are not here, such as h_009.nii.gz" in " ".join(
        one.message for one in dataset.structure()
    )


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp"])
def test_flat_images(tmp_path, ending):
    root = tmp_path / "roads"
    write(root / "dataset.json", dataset_json(file_ending=ending, labels={"background": 0, "road": 1}))
    for number in range(3):
        save(root / "imagesTr" / f"r{number}_0000{ending}", picture(number, Y, X))
        save(root / "labelsTr" / f"r{number}{ending}", label_map(number, 1)[:, :, 1].T)
    dataset = open_dataset(root)
    assert (dataset.names(), dataset.kind, dict(dataset.groups)) == (("r0", "r1", "r2"), "binary", {})
    item = dataset.read("r1")
    np.testing.assert_array_equal(np.rint(item.image * 255), picture(1, Y, X))
    np.testing.assert_array_equal(item.truth[0], label_map(1, 1)[:, :, 1].T == 1)
    for number in range(3):
        for channel in (0, 1):
            save(root / "imagesTr" / f"r{number}_{channel:04d}{ending}", picture(8, Y, X)[:, :, channel])
    image = open_dataset(root).read("r1").image
    np.testing.assert_array_equal(np.rint(image * 255), picture(8, Y, X)[:, :, :2])
    (root / "imagesTr" / f"r2_0001{ending}").unlink()
    (finding,) = open_dataset(root).examine("r2").findings
    assert finding.code == "BANDS"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_tiff_stacks(tmp_path, dtype):
    root = tmp_path / "cells"
    write(root / "dataset.json", dataset_json(file_ending=".tif"))
    values = np.random.default_rng(0).integers(0, 256, (Z, Y, X)).astype(dtype)
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir()
    tifffile.imwrite(root / "imagesTr" / "c_0000.tif", values)
    tifffile.imwrite(root / "labelsTr" / "c.tif", label_map(3).transpose(2, 1, 0))
    dataset = open_dataset(root)
    assert dataset.names() == tuple(f"c_z{z:04d}" for z in range(Z))
    for z, name in enumerate(dataset.names()):
        item = dataset.read(name)
        np.testing.assert_array_equal(item.truth.argmax(axis=0), label_map(3)[:, :, z].T)
        low, high = (0, 255) if dtype == np.uint8 else np.percentile(values, (0.5, 99.5))
        np.testing.assert_allclose(item.image[:, :, 0], np.clip((values[z] - low) / (high - low), 0, 1), atol=1e-3)


def test_files_that_dataset_json_lists(tmp_path, monkeypatch):
    monkeypatch.setenv(links.ROOTS, str(tmp_path / "set"))
    root = raw(tmp_path / "set", cases=2)
    save_nifti(tmp_path / "out.nii.gz", intensities(0))
    entries = {
        "one": {"images": ["imagesTr/case_000_0000.nii.gz"], "label": "./labelsTr/case_000.nii.gz"},
        "two": {"images": ["../out.nii.gz"], "label": "labelsTr/case_001.nii.gz"},
        "three": {"images": [str(tmp_path / "out.nii.gz")], "label": "labelsTr/case_001.nii.gz"},
        "four": {"images": ["link.nii.gz"], "label": "labelsTr/case_001.nii.gz"},
    }
    (root / "link.nii.gz").symlink_to(tmp_path / "out.nii.gz")
    write(root / "dataset.json", dataset_json(dataset=entries))
    dataset = open_dataset(root)
    assert dataset.names() == tuple(f"one_z{z:04d}" for z in range(Z))
    assert [one.code for one in dataset.structure() if one.severity == "error"] == ["CASE-MISSING"] * 3


def test_a_volume_is_unpacked_once(tmp_path, monkeypatch):
    root = raw(tmp_path / "set")
    dataset = open_dataset(root)
    nifti.forget()
    loaded = []
    whole = nifti._load
    monkeypatch.setattr(nifti, "_load", lambda path: loaded.append(path.name) or whole(path))
    for name in dataset.names():
        dataset.read(name)
    assert len(loaded) == 8
    assert len(set(loaded)) == 8
    save_nifti(root / "labelsTr" / "case_000.nii.gz", label_map(7))
    np.testing.assert_array_equal(dataset.read("case_000_z0002").truth.argmax(axis=0), label_map(7)[:, :, 2].T)


def test_kept_volumes_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(nifti, "_KEPT", 3000)
    root = raw(tmp_path / "set")
    dataset = open_dataset(root)
    for name in dataset.names():
        dataset.read(name)
        assert sum(one.values.nbytes for one in nifti._volumes._kept.values()) <= 3000


@pytest.mark.filterwarnings("ignore::DeprecationWarning:nibabel")
def test_big_endian_and_nifti_2(tmp_path):
    header = nibabel.Nifti1Header(endianness=">")
    image = nibabel.Nifti1Image(intensities(0).astype(">i2"), np.eye(4), header)
    assert image.header.endianness == ">"
    nibabel.save(image, tmp_path / "big.nii.gz")
    nibabel.save(nibabel.Nifti2Image(intensities(0), np.eye(4)), tmp_path / "two.nii")
    for name in ("big.nii.gz", "two.nii"):
        np.testing.assert_array_equal(nifti.read_plane(tmp_path / name, 2, 0), intensities(0)[:, :, 2].T)


@pytest.mark.parametrize(
    ("shape", "kind", "said_of_it"),
    [
        ((30000, 30000, 900), np.int16, "allowed are"),
        ((32767, 4000, 4), np.uint8, "67,108,864 pixels"),
        ((4, 4, 20000), np.uint8, "10,000 slices"),
        ((4, 4, 4, 100), np.uint8, "64 channels"),
    ],
)
def test_huge_headers_are_refused_before_anything_is_unpacked(tmp_path, shape, kind, said_of_it):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(kind)
    header.set_data_shape(shape)
    header["vox_offset"] = 352
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock.replace(b"ni1\0", b"n+1\0") + bytes(1 << 20)))
    begin = time.perf_counter()
    with pytest.raises(DatasetError, match=said_of_it):
        nifti.read_plane(path, 0, 0)
    assert time.perf_counter() - begin < 1.5


@pytest.mark.parametrize(
    ("change", "said_of_it"),
    [
        (lambda block: block[:200], "damaged or truncated|no NIfTI"),
        (lambda block: b"", "no NIfTI|damaged"),
        (lambda block: b"\0" * 400, "no NIfTI"),
        (lambda block: block[:344] + b"ni1\0" + block[348:], "one piece"),
        (lambda block: block[:108] + struct.pack("<f", 1e12) + block[112:], "at byte"),
        (lambda block: block[:108] + struct.pack("<f", float("nan")) + block[112:], "at byte"),
        (lambda block: block[:70] + struct.pack("<h", 32) + block[72:], "type complex64"),
        (lambda block: block[:70] + struct.pack("<h", 9999) + block[72:], "damaged"),
        (lambda block: block[:40] + struct.pack("<8h", 9, 1, 1, 1, 1, 1, 1, 1) + block[56:], "."),
        (lambda block: block[:42] + struct.pack("<h", -5) + block[44:], "."),
        (lambda block: block[:-30], "damaged or truncated"),
    ],
)
def test_broken_headers_are_one_line(tmp_path, change, said_of_it):
    whole = gzip.decompress(save_nifti(tmp_path / "good.nii.gz", intensities(0)).read_bytes())
    for name, pack in (("a.nii.gz", gzip.compress), ("a.nii", bytes)):
        (tmp_path / name).write_bytes(pack(change(whole)))
        with pytest.raises(DatasetError, match=said_of_it) as caught:
            nifti.read_plane(tmp_path / name, 0, 0)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("change", "said_of_it"),
    [
        ({"labels": {}}, "has no labels"),
        ({"labels": [1, 2]}, "has no labels"),
        ({"labels": {"background": 0}}, "no label besides"),
        ({"labels": {"background": 0, "a": -1}}, "gives the label 'a' no value"),
        ({"labels": {"background": 0, "a": True}}, "gives the label 'a' no value"),
        ({"labels": {"background": 0, "a": []}}, "gives the label 'a' no value"),
        ({"labels": {"background": 0, "a": 10**40}}, "gives the label 'a' no value"),
        ({"labels": {"zero": "background", "1": "a"}}, "expected a whole number and its name"),
        ({"labels": {f"l{n}": n for n in range(5000)}}, "allowed are 4,096"),
        ({"labels": {"background": 0, "a": list(range(70_000))}}, "more than 16,384 values"),
        ({"file_ending": 5}, "file_ending"),
        ({"file_ending": ".mha"}, "no case"),
        ({"dataset": {"a": 5}}, "no images and label"),
    ],
)
def test_a_broken_table_is_one_line(tmp_path, change, said_of_it):
    root = raw(tmp_path / "set", cases=1, **change)
    with pytest.raises(DatasetError, match=said_of_it) as caught:
        open_source(root, said())
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "options",
    [
        {"slices": "some"}, {"slices": "every:0"}, {"window": "5"}, {"window": "5,1"}, {"window": "nan,1"},
        {"window": "a,b"}, {"channels": "0"}, {"channels": ",".join("1" * 17)},
        {"display": "1,2,3,4"}, {"channels": "²"}, {"fold": "-1"}, {"fold": "²"},
    ],
)  # fmt: skip
def test_options_are_checked(tmp_path, options):
    root = raw(tmp_path / "set", cases=1)
    with pytest.raises(DatasetError, match=f"{next(iter(options))} (is .* correct it|must be .* got)"):
        open_source(root, said(**options))


def test_values_without_a_name_and_other_depths_are_told(tmp_path):
    root = raw(tmp_path / "set", top=7)
    (finding,) = open_dataset(root).examine("case_000_z0002").findings
    assert finding.code == "MASK-VALUES"
    assert finding.message.endswith("which no label has; correct the mask or dataset.json")
    assert "holds 4, 5, 6, 7" in finding.message
    save_nifti(root / "labelsTr" / "case_001.nii.gz", label_map(1)[:, :, :3])
    save_nifti(root / "labelsTr" / "case_002.nii.gz", label_map(1)[:5])
    save_nifti(root / "labelsTr" / "case_003.nii.gz", label_map(1) + np.float32(0.5))
    (root / "labelsTr" / "case_004.nii.gz").write_bytes(b"x")
    dataset = open_dataset(root)
    told = {one.code: one.message for one in dataset.structure()}
    assert told["CASE-UNREADABLE"] == (
        "case case_001 is left out: its images have 5 slices, its label map 3; export the case again"
    )
    assert told["PAIR-MISSING"].startswith("labelsTr/case_004.nii.gz has no image")
    assert [one.code for one in dataset.examine("case_002_z0001").findings] == ["PAIR-SIZE"]
    assert "no whole numbers" in dataset.examine("case_003_z0001").findings[0].message


def test_broken_files_never_end_in_a_traceback(tmp_path):
    root = raw(tmp_path / "good" / "set", cases=2)
    write(root / "splits_final.json", [{"train": ["case_000"], "val": ["case_001"]}])
    ended = mutate_folder(
        root, tmp_path / "bad", 300, 2, DataReading(format="nnunet"), structural=lambda path: path.suffix == ".json"
    )
    assert ended["refused"] > trials(20), ended
    assert ended["whole"] > trials(5), ended


def test_broken_bytes_inside_gzip_never_end_in_a_traceback(tmp_path):
    """Damage that the checksum of gzip does not see, because it was packed afterwards."""
    root = raw(tmp_path / "set", cases=2)
    rng = np.random.default_rng(4)
    path = root / "labelsTr" / "case_001.nii.gz"
    whole = gzip.decompress(path.read_bytes())
    ended = set()
    for _ in range(trials(250)):
        some = bytearray(whole)
        for _ in range(int(rng.integers(1, 6))):
            some[int(rng.integers(352))] = int(rng.integers(256))
        path.write_bytes(gzip.compress(bytes(some), 1))
        ended.add(ends_well(root, DataReading(format="nnunet")))
    assert ended >= {"whole", "findings"}, ended
