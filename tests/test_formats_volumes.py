"""NRRD and MetaImage volumes, as SimpleITK writes them where it is installed, and headers written here by hand."""

import gzip
import json
import random
import zlib

import numpy as np
import pytest
from fuzzing import trials
from places import shared_cases

from pipelines.datasets.formats import itk, nifti
from pipelines.datasets.opening import open_dataset
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

X, Y, Z = 7, 5, 4
VOLUME = np.random.default_rng(0).integers(-900, 900, (X, Y, Z)).astype(np.int16)
LABELS = np.random.default_rng(1).integers(0, 3, (X, Y, Z)).astype(np.uint8)
BODY = VOLUME.tobytes(order="F")


def nrrd(body=BODY, **fields):
    said = {"type": "short", "dimension": 3, "sizes": f"{X} {Y} {Z}", "encoding": "raw", "endian": "little"}
    said |= {key.replace("_", " "): value for key, value in fields.items()}
    lines = "".join(f"{key}: {value}\n" for key, value in said.items() if value is not None)
    return f"NRRD0004\n# by hand\n{lines}key:=value\n\n".encode() + body


def mha(body=BODY, **fields):
    said = {"ObjectType": "Image", "NDims": 3, "BinaryData": "True", "BinaryDataByteOrderMSB": "False"}
    said |= {"DimSize": f"{X} {Y} {Z}", "ElementType": "MET_SHORT"} | fields
    data = said.pop("ElementDataFile", "LOCAL")
    return (
        "".join(f"{key} = {value}\n" for key, value in said.items()).encode()
        + f"ElementDataFile = {data}\n".encode()
        + body
    )


def planes(path, channel=0):
    """(X, Y, Z) as slices give it."""
    head = nifti.read_head(path)
    return np.stack([nifti.read_plane(path, z, channel) for z in range(head.slices)], axis=2).swapaxes(0, 1)


FILES = {
    "raw.nrrd": nrrd(),
    "gzip.nrrd": nrrd(gzip.compress(BODY), encoding="gzip"),
    "big.nrrd": nrrd(VOLUME.astype(">i2").tobytes(order="F"), endian="big", type="int16"),
    "skip.nrrd": nrrd(b"header of its own" + BODY, byte_skip=17),
    "end.nrrd": nrrd(b"anything" + BODY, byte_skip=-1),
    "windows.nrrd": nrrd().replace(b"\n", b"\r\n", 9).partition(b"\r\n\r\n")[0] + b"\r\n\r\n" + BODY,
    "raw.mha": mha(),
    "zlib.mha": mha(zlib.compress(BODY), CompressedData="True"),
    "big.mha": mha(VOLUME.astype(">i2").tobytes(order="F"), BinaryDataByteOrderMSB="True"),
}


@pytest.mark.parametrize("name", FILES)
def test_values_come_back_however_they_are_packed(name, tmp_path):
    (tmp_path / name).write_bytes(FILES[name])
    np.testing.assert_array_equal(planes(tmp_path / name), VOLUME)


@pytest.mark.parametrize(
    ("name", "header"), [("x.nhdr", nrrd(b"", data_file="x.raw")), ("x.mhd", mha(b"", ElementDataFile="x.raw"))]
)
def test_values_in_a_file_beside_the_header_belong_to_the_set(name, header, tmp_path):
    (tmp_path / name).write_bytes(header)
    (tmp_path / "x.raw").write_bytes(BODY)
    np.testing.assert_array_equal(planes(tmp_path / name), VOLUME)
    assert nifti.parts(tmp_path / name) == (tmp_path / name, tmp_path / "x.raw")


def test_channels_may_be_any_axis(tmp_path):
    several = np.random.default_rng(2).normal(size=(3, X, Y, Z)).astype(np.float32)
    first = several.tobytes(order="F")
    last = np.moveaxis(several, 0, -1).tobytes(order="F")
    four = {"type": "float", "dimension": 4}
    (tmp_path / "kinds.nrrd").write_bytes(
        nrrd(first, sizes=f"3 {X} {Y} {Z}", kinds="vector domain domain domain", **four)
    )
    (tmp_path / "none.nrrd").write_bytes(
        nrrd(first, sizes=f"3 {X} {Y} {Z}", space_directions="none (1,0,0) (0,1,0) (0,0,1)", **four)
    )
    (tmp_path / "last.nrrd").write_bytes(nrrd(last, sizes=f"{X} {Y} {Z} 3", **four))
    (tmp_path / "x.mha").write_bytes(mha(first, ElementType="MET_FLOAT", ElementNumberOfChannels=3))
    for path in tmp_path.iterdir():
        assert nifti.read_head(path) == nifti.Head(Z, 3, flat=False)
        for channel in range(3):
            np.testing.assert_array_equal(planes(path, channel), several[channel])


@pytest.mark.parametrize("suffix", itk.SUFFIXES)
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
def test_what_simpleitk_writes_is_read_as_simpleitk_reads_it(suffix, packed, dtype, tmp_path):
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed (requirements-dev.txt)")
    values = np.abs(VOLUME).astype(dtype)
    image = sitk.GetImageFromArray(values.T)  # (Z, Y, X)
    image.SetSpacing((0.5, 0.7, 3.0))
    path = tmp_path / f"x{suffix}"
    sitk.WriteImage(image, str(path), useCompression=packed)
    np.testing.assert_array_equal(planes(path), sitk.GetArrayFromImage(sitk.ReadImage(str(path))).T)


def dataset(root, ending, volume, labels):
    for number in range(3):
        for folder, name, content in (("imagesTr", f"c{number}_0000", volume), ("labelsTr", f"c{number}", labels)):
            (root / folder).mkdir(parents=True, exist_ok=True)
            (root / folder / f"{name}{ending}").write_bytes(content)
    told = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "a": 1, "b": 2}, "file_ending": ending}
    (root / "dataset.json").write_text(json.dumps(told))
    return root


@pytest.mark.parametrize("ending", [".nrrd", ".mha"])
def test_nnunet_data_sets_may_hold_them(ending, tmp_path):
    write, kind = (nrrd, {"type": "uchar"}) if ending == ".nrrd" else (mha, {"ElementType": "MET_UCHAR"})
    root = dataset(tmp_path / "set", ending, write(), write(LABELS.tobytes(order="F"), **kind))
    found = open_dataset(root, DataReading(options={"window": "-900,900"}))
    item = found.read("c1_z0002")
    np.testing.assert_allclose(item.image[:, :, 0], (VOLUME[:, :, 2].T + 900.0) / 1800, atol=1e-6)
    np.testing.assert_array_equal(item.truth, [value == LABELS[:, :, 2].T for value in range(3)])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("x.nrrd", b"NIFTI", "is no NRRD file"),
        ("x.mha", b"NIFTI", "is no MetaImage file"),
        ("x.nrrd", nrrd(sizes="4000000 4000000 4000000"), "allowed are 536,870,912"),
        ("x.mha", mha(DimSize="4000000 4000000 4"), "allowed are 536,870,912"),
        ("x.nrrd", nrrd(sizes="7 5 -4"), "lengths of axes"),
        ("x.nrrd", nrrd(sizes="7"), "expected (X, Y)"),
        ("x.nrrd", nrrd(type="block"), "whole or floating-point numbers"),
        ("x.mha", mha(ElementType="MET_OTHER"), "whole or floating-point numbers"),
        ("x.nrrd", nrrd(encoding="hex"), "expected raw or gzip"),
        ("x.nrrd", nrrd(BODY[:-1]), "279 bytes of values, expected 280"),
        ("x.nrrd", nrrd(b"no gzip", encoding="gzip"), "is damaged or truncated"),
        ("x.mha", mha(b"no zlib", CompressedData="True"), "is damaged or truncated"),
        ("x.nrrd", nrrd(byte_skip="x"), "expected a whole number"),
        ("x.nhdr", nrrd(b"", data_file="../x.raw"), "expected a file in the same folder"),
        ("x.nhdr", nrrd(b"", data_file="/etc/passwd"), "expected a file in the same folder"),
        ("x.nhdr", nrrd(b"", data_file="x%03d.raw 1 4 1"), "expected a file in the same folder"),
        ("x.mhd", mha(b"", ElementDataFile="LIST"), "expected a file in the same folder"),
        ("x.mhd", mha(b"", ElementDataFile="y.raw"), "which is not beside it"),
        ("x.mhd", mha(b"", ElementDataFile="link.raw"), "which is not beside it"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_one_line(name, content, said, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.raw").write_bytes(BODY)
    (tmp_path / "link.raw").symlink_to(tmp_path / "other" / "x.raw")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DatasetError) as refused:
        planes(tmp_path / name)
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_nothing_more_is_unpacked_than_the_header_says(tmp_path):
    (tmp_path / "x.nrrd").write_bytes(nrrd(gzip.compress(BODY + bytes(10**8)), encoding="gzip"))
    (tmp_path / "x.mha").write_bytes(mha(zlib.compress(BODY + bytes(10**8)), CompressedData="True"))
    for path in tmp_path.iterdir():
        np.testing.assert_array_equal(planes(path), VOLUME)


@pytest.mark.skipif(not shared_cases().is_dir(), reason="the cases beside the checkout are not there")
def test_the_case_with_nrrd_is_read():
    found = open_dataset(shared_cases() / "nrrd_nnunet" / "data")
    assert (found.kind, found.classes, len(found.names())) == ("binary", ("a",), 12)
    assert sum(int(found.read(name).truth.sum()) for name in found.names()) == 6864


@pytest.mark.parametrize("name", FILES)
def test_damage_anywhere_ends_in_one_line(name, tmp_path):
    sound, rng = FILES[name], random.Random(name)
    path, told = tmp_path / name, []
    for _ in range(trials(400, 100)):
        broken = bytearray(sound)
        for _ in range(rng.choice([1, 3, 9])):
            broken[rng.randrange(min(len(broken), 200))] = rng.choice(
                [0, 9, 10, 32, 45, 48, 57, 255, rng.randrange(256)]
            )
        path.write_bytes(bytes(broken[: rng.choice([len(broken), rng.randrange(len(broken))])]))
        try:
            planes(path)
        except DatasetError as error:
            told.append(str(error))
    assert len(set(told)) > 5
    assert all(line.isprintable() and ("; " in line or "expected" in line) for line in told)
