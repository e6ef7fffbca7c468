"""DICOM series as pydicom writes them, segmentations as highdicom does, against the arrays that both were made of."""

import builtins

import numpy as np
import pytest

from pipelines.datasets.check import check_dataset
from pipelines.datasets.opening import open_dataset, recognise
from pipelines.errors import DatasetError
from pipelines.reading import DataReading

pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed (requirements-dev.txt)")
hd = pytest.importorskip("highdicom", reason="highdicom is not installed (requirements-dev.txt)")

ROWS, COLUMNS, SLICES = 11, 13, 4  # 143 bits a frame: frames do not begin at a byte


def hounsfield(patient):
    return np.random.default_rng(patient).integers(-1000, 1500, (SLICES, ROWS, COLUMNS))


def masks(patient, segments=2, *, overlapping=False):
    """(SLICES, ROWS, COLUMNS, segments) bool; the last slice is empty."""
    rng = np.random.default_rng(50 + patient)
    if overlapping:
        found = rng.random((SLICES, ROWS, COLUMNS, segments)) < 0.4
    else:
        found = rng.integers(0, segments + 1, (SLICES, ROWS, COLUMNS, 1)) == np.arange(1, segments + 1)
    found[-1] = False
    return found


def series(folder, patient, *, values=None, modality="CT", photometric="MONOCHROME2", slope=1, intercept=-1024):
    """Write a series of one file a slice; returns its data sets, in order."""
    from pydicom.uid import generate_uid

    folder.mkdir(parents=True, exist_ok=True)
    values = hounsfield(patient) if values is None else values
    study, one, frame = (generate_uid() for _ in range(3))
    found = []
    for number in range(SLICES):
        file = pydicom.FileDataset("", {}, preamble=b"\0" * 128)
        file.file_meta = pydicom.dataset.FileMetaDataset()
        file.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
        file.SOPClassUID = pydicom.uid.CTImageStorage if modality == "CT" else pydicom.uid.MRImageStorage
        file.file_meta.MediaStorageSOPClassUID = file.SOPClassUID
        file.SOPInstanceUID = file.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        file.StudyInstanceUID, file.SeriesInstanceUID, file.FrameOfReferenceUID = study, one, frame
        file.PatientID, file.PatientName, file.PatientBirthDate, file.PatientSex = f"P{patient}", "A^B", "", ""
        file.StudyDate, file.StudyTime, file.StudyID, file.AccessionNumber = "20200101", "120000", "1", ""
        file.ReferringPhysicianName, file.PositionReferenceIndicator = "", ""
        file.Modality, file.SeriesNumber, file.InstanceNumber = modality, 3, number + 1
        file.ImagePositionPatient, file.ImageOrientationPatient = [1.5, -2, 3.0 * number], [1, 0, 0, 0, 1, 0]
        file.PixelSpacing, file.SliceThickness = [0.7, 0.7], 3
        file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = ROWS, COLUMNS, 1, photometric
        file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
        file.RescaleSlope, file.RescaleIntercept = slope, intercept
        file.WindowCenter, file.WindowWidth = [40, 400], [400, 1000]
        file.PixelData = ((values[number] - intercept) / slope).round().astype("<u2").tobytes()
        file.save_as(folder / f"im{SLICES - number}.dcm", enforce_file_format=True)
        found.append(file)
    return found


def segmentation(path, images, layers, *, kind="BINARY", labels=("liver", "tumour", "vessel"), **more):
    """Write a segmentation of layers, (slices, rows, columns, segments)."""
    code = hd.sr.CodedConcept("85756007", "SCT", "Tissue")
    described = [
        hd.seg.SegmentDescription(
            segment_number=number + 1,
            segment_label=labels[number],
            segmented_property_category=code,
            segmented_property_type=code,
            algorithm_type="MANUAL",
        )
        for number in range(layers.shape[-1])
    ]
    made = hd.seg.Segmentation(
        source_images=images,
        pixel_array=layers.astype(np.float32 if kind == "FRACTIONAL" else np.uint8),
        segmentation_type=kind,
        segment_descriptions=described,
        series_instance_uid=hd.UID(),
        series_number=9,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="x",
        manufacturer_model_name="x",
        software_versions="1",
        device_serial_number="1",
        **more,
    )
    made.save_as(path)
    return made


def dataset(root, *, patients=3, overlapping=False, kind="BINARY", **more):
    for patient in range(1, patients + 1):
        images = series(root / f"p{patient}", patient)
        layers = masks(patient, overlapping=overlapping)
        layers = layers if kind != "LABELMAP" else (layers * np.arange(1, 3)).sum(axis=-1)[..., None]
        write = segmentation if kind != "LABELMAP" else label_map
        write(root / f"p{patient}" / "seg.dcm", images, layers, kind=kind, **more)
    return root


def label_map(path, images, layers, *, kind):
    flat = layers[..., 0]
    bits = np.stack([flat == number for number in (1, 2)], axis=-1)
    return segmentation(path, images, bits, kind=kind)


@pytest.mark.parametrize("kind", ["BINARY", "FRACTIONAL", "LABELMAP"])
@pytest.mark.parametrize("omit", [True, False])
def test_segments_come_back_as_they_were_written(kind, omit, tmp_path):
    more = {} if kind == "LABELMAP" else {"omit_empty_frames": omit}
    root = dataset(tmp_path / "set", kind=kind, **more)
    assert [one.format for one in recognise(root)] == ["dicom"]
    found = open_dataset(root)
    assert (found.kind, found.classes) == ("exclusive", ("background", "liver", "tumour"))
    assert len(found.names()) == 3 * SLICES
    assert found.groups["P2_s1_0003"] == "P2"
    for patient in (1, 2, 3):
        names = [name for name in found.names() if found.groups[name] == f"P{patient}"]
        expected = masks(patient)
        for number, name in enumerate(names):
            truth = found.source.truth(name).layers
            np.testing.assert_array_equal(truth, np.moveaxis(expected[number], -1, 0))


def test_labels_overlap_only_where_segments_do(tmp_path):
    assert open_dataset(dataset(tmp_path / "apart")).kind == "exclusive"
    found = open_dataset(dataset(tmp_path / "over", overlapping=True))
    assert (found.kind, found.classes) == ("overlapping", ("liver", "tumour"))


def test_intensities_are_rescaled_and_windowed(tmp_path):
    root = dataset(tmp_path / "set")
    name = "P1_s1_0002"
    expected = hounsfield(1)[1]
    for window, low, high in (("-160,240", -160, 240), ("file", -160, 240)):
        found = open_dataset(root, DataReading(options={"window": window}))
        image = found.read(name).image
        assert image.shape == (ROWS, COLUMNS, 1)
        np.testing.assert_allclose(image[:, :, 0], np.clip((expected - low) / (high - low), 0, 1), atol=1e-5)
    low, high = np.percentile(hounsfield(1)[:, ::4, ::4], (0.5, 99.5))
    image = open_dataset(root).read(name).image
    np.testing.assert_allclose(image[:, :, 0], np.clip((expected - low) / (high - low), 0, 1), atol=1e-5)
    with pytest.raises(DatasetError, match="window is 'wide', expected file"):
        open_dataset(root, DataReading(options={"window": "wide"}))


def test_low_values_that_are_shown_bright_are_turned(tmp_path):
    values = np.random.default_rng(4).integers(0, 4000, (SLICES, ROWS, COLUMNS))
    for patient in (1, 2, 3):
        images = series(
            tmp_path / "set" / str(patient),
            patient,
            values=values,
            modality="MR",
            photometric="MONOCHROME1",
            intercept=0,
        )
        segmentation(tmp_path / "set" / str(patient) / "seg.dcm", images, masks(1, 1))
    found = open_dataset(tmp_path / "set", DataReading(options={"window": "0,4000"}))
    assert (found.kind, found.bands.names) == ("binary", ("MR",))
    np.testing.assert_allclose(found.read(found.names()[0]).image[:, :, 0], 1 - values[0] / 4000, atol=1e-5)


def test_several_segmentations_of_a_series_are_united_and_other_series_left_out(tmp_path):
    images = series(tmp_path / "set" / "a", 1)
    layers = masks(1)
    segmentation(tmp_path / "set" / "one.dcm", images, layers[..., :1], labels=("liver",))
    segmentation(tmp_path / "set" / "two.dcm", images, layers[..., 1:], labels=("tumour",))
    series(tmp_path / "set" / "b", 2)
    found = open_dataset(tmp_path / "set")
    assert [label.name for label in found.source.labels] == ["liver", "tumour"]
    np.testing.assert_array_equal(found.source.truth(found.names()[0]).layers, np.moveaxis(layers[0], -1, 0))
    told = {finding.code: finding.message for finding in found.structure()}
    assert told["IMAGE-UNUSED"] == "4 images that no segmentation refers to: left out"
    assert "segments of one label are united" in told["SEGMENTATIONS-UNITED"]


def test_frames_without_a_reference_are_placed_by_their_position_and_askew_ones_refused(tmp_path):
    root = dataset(tmp_path / "set", patients=1)
    path = root / "p1" / "seg.dcm"
    changed = pydicom.dcmread(path)
    for group in changed.PerFrameFunctionalGroupsSequence:
        del group.DerivationImageSequence
    changed.save_as(path)
    found = open_dataset(root)
    for number, name in enumerate(found.names()):
        np.testing.assert_array_equal(found.source.truth(name).layers, np.moveaxis(masks(1)[number], -1, 0))
    changed = segmentation(path, [pydicom.dcmread(root / "p1" / f"im{4 - k}.dcm") for k in range(4)], masks(1))
    changed.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = [-1, 0, 0, 0, 1, 0]
    changed.save_as(path)
    told = [finding.message for finding in open_dataset(root).structure() if finding.code == "FRAME-PLACE"]
    assert told[0].startswith("6 frames of segmentations lie on no image, or turned or shifted against it")


def test_what_is_missing_is_told(tmp_path):
    images = series(tmp_path / "bare", 1)
    with pytest.raises(DatasetError, match=r"has 4 DICOM images and no DICOM segmentation \(SEG\)"):
        open_dataset(tmp_path / "bare")
    root = dataset(tmp_path / "set")
    (root / "p1" / "im1.dcm").unlink()
    (root / "p2" / "im1.dcm").write_bytes((root / "p2" / "im1.dcm").read_bytes()[:200])
    found = open_dataset(root)
    told = {finding.code: finding.message for finding in found.structure()}
    assert told["IMAGE-MISSING"] == "2 images that segmentations refer to are not here; put the whole series there"
    assert "p2/im1.dcm" in told["DICOM-UNREADABLE"]
    (tmp_path / "alone").mkdir()
    segmentation(tmp_path / "alone" / "seg.dcm", images, masks(1))
    with pytest.raises(DatasetError, match="none of the images that its segmentations refer to is here"):
        open_dataset(tmp_path / "alone")


def test_what_else_lies_beside_a_series_does_not_stand_in_the_way(tmp_path):
    root = dataset(tmp_path / "set")
    for name in ("LICENSE", "README", "CHANGES", "VERSION", "A1"):
        (root / name).write_text("text")
    other = pydicom.dcmread(root / "p1" / "im1.dcm")
    other.SOPInstanceUID = other.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    other.NumberOfFrames = 3  # a dose, or an enhanced image
    other.save_as(root / "dose.dcm")
    for name in ("Rows", "Columns", "PixelData", "NumberOfFrames", "SOPClassUID"):
        delattr(other, name)
    other.file_meta.MediaStorageSOPClassUID = pydicom.uid.MediaStorageDirectoryStorage
    other.save_as(root / "DICOMDIR")
    found = open_dataset(root)
    assert recognise(root)[0].format == "dicom"
    assert len(found.names()) == 3 * SLICES
    (told,) = [finding for finding in found.structure() if finding.code == "DICOM-UNREADABLE"]
    assert (told.severity, "has several frames; export it with one image a file" in told.message) == ("warning", True)


def test_images_may_be_compressed(tmp_path):
    root = dataset(tmp_path / "set")
    for path in root.rglob("im*.dcm"):
        packed = pydicom.dcmread(path)
        packed.compress(pydicom.uid.RLELossless, generate_instance_uid=False)
        packed.save_as(path)
    image = open_dataset(root, DataReading(options={"window": "-160,240"})).read("P2_s1_0003").image
    np.testing.assert_allclose(image[:, :, 0], np.clip((hounsfield(2)[2] + 160) / 400, 0, 1), atol=1e-5)


def test_without_pydicom_the_line_says_what_to_install(tmp_path, monkeypatch):
    root = dataset(tmp_path / "set", patients=1)
    plain = builtins.__import__

    def refuse(name, *more):
        if name.partition(".")[0] == "pydicom":
            raise ModuleNotFoundError(name)
        return plain(name, *more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    assert [one.format for one in recognise(root)] == ["dicom"]
    with pytest.raises(DatasetError, match=r"pip install -r requirements-dicom\.txt"):
        open_dataset(root)


def test_damaged_and_deflated_files_end_in_one_line(tmp_path):
    root = dataset(tmp_path / "set", patients=2)
    sound = (root / "p1" / "seg.dcm").read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(sound)
        for place in rng.integers(132, len(sound), 6):
            broken[place] = rng.integers(256)
        (root / "p1" / "seg.dcm").write_bytes(bytes(broken[: rng.integers(len(sound) // 2, len(sound))]))
        report = check_dataset(open_dataset(root))
        assert all("\n" not in finding.message for finding in report.findings)
    deflated = pydicom.dcmread(root / "p2" / "im2.dcm")
    deflated.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    deflated.save_as(root / "p2" / "im2.dcm")
    told = [finding.message for finding in open_dataset(root).structure() if finding.code == "DICOM-UNREADABLE"]
    assert any("is deflated as a whole; export it as Explicit VR Little Endian" in line for line in told)
