"""DICOM: series of single-frame images, with segmentations (DICOM-SEG) that refer to them; read by pydicom.

A segmentation says of each of its frames which segment it shows and on which image. Images that it was made of and that
have no frame carry no label.
"""

import warnings
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float32Array
from pipelines.datasets import bands, imageio, listing
from pipelines.datasets.bands import choose_bands
from pipelines.datasets.base import Finding, Format, Label, Picture, Source, Truth, blank_layers, distinct, source_name
from pipelines.datasets.files import damage_named
from pipelines.datasets.options import limits
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.sentences import count_of, path_tail, printable

MAX_BYTES: Final = 512 << 20  # of a file
_LOOKED_AT: Final = 50  # files, to recognise a folder
_MOST_IMAGES: Final = 100_000
_MOST_FRAMES: Final = 100_000  # of a segmentation
_SEGMENTATIONS: Final = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")  # segments, label maps
_DIRECTORY: Final = "1.2.840.10008.1.3.10"  # DICOMDIR
_DEFLATED: Final = "1.2.840.10008.1.2.1.99"  # the whole file is packed, so that nothing bounds what comes out
_PERCENTILES: Final = (0.5, 99.5)  # of a series
_SAMPLED: Final = 16  # images of a series that these are taken of
_NEAR: Final = 1e-2  # mm, and of direction cosines: that two planes may differ by
_DAMAGED: Final = "cannot be read as DICOM ({}); export it again"
_HEADER: Final = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "PatientID", "SeriesNumber"),
    *("InstanceNumber", "Modality", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "BitsAllocated"),
    *("PhotometricInterpretation", "ImagePositionPatient", "ImageOrientationPatient"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"),
)


class Image(NamedTuple):
    """What a file's header says of its image. plane: position and row and column directions, () where it has none."""

    path: Path
    series: str
    patient: str
    number: int
    modality: str
    size: tuple[int, int]
    colors: bool
    inverted: bool
    slope: float
    intercept: float
    window: tuple[float, float] | None
    plane: tuple[float, ...]


@dataclass(frozen=True)
class Frame:
    """One frame of a segmentation: which segment it shows, None in a label map; index counts from 0."""

    path: Path
    index: int
    segment: int | None


# Headers -------------------------------------------------------------------------------------------------------------


def _recognise(root: Path) -> str | None:
    for number, path in enumerate(_files(root)):
        if _is_dicom(path):
            return f"{path.name} is a DICOM file"
        if number >= _LOOKED_AT:
            break
    return None


def _files(root: Path) -> Iterator[Path]:
    """Files that may be DICOM by their names: .dcm, .ima, or a number or UID."""
    for path in listing.walk(root):
        suffix = path.suffix.lower()
        if suffix in ("", ".dcm", ".dicom", ".ima") or suffix[1:].isdecimal():
            yield path


def _is_dicom(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(132)[128:] == b"DICM"
    except OSError:
        return False


def _pydicom() -> Any:
    try:
        import pydicom
    except ModuleNotFoundError:
        raise DatasetError(
            "this is DICOM, which needs pydicom, and that is not installed: python -m pip install -r "
            "requirements-dicom.txt"
        ) from None
    return pydicom


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """What pydicom raises in one line, what it warns of in none; files that are too large are refused."""
    with damage_named(path, _DAMAGED), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if path.stat().st_size > MAX_BYTES:
            raise DatasetError(f"{path_tail(path)} has more than {MAX_BYTES:,} bytes; export it in parts")
        syntax = _pydicom().filereader.read_file_meta_info(path).get("TransferSyntaxUID")
        if syntax == _DEFLATED:
            raise DatasetError(f"{path_tail(path)} is deflated as a whole; export it as Explicit VR Little Endian")
        yield


def _image(path: Path, head: Any) -> Image:
    """Raises DatasetError for images of several frames and of too many pixels."""
    rows, columns, samples = int(head.Rows), int(head.Columns), int(head.get("SamplesPerPixel", 1))
    if int(head.get("NumberOfFrames") or 1) > 1:
        raise DatasetError(f"{path_tail(path)} has several frames; export it with one image a file")
    if not 0 < rows * columns <= imageio.MAX_PIXELS or samples not in (1, 3):
        raise DatasetError(f"{path_tail(path)} is {columns}×{rows} with {samples} samples a pixel; export it smaller")
    window = None
    if head.get("WindowWidth") not in (None, "") and head.get("WindowCenter") not in (None, ""):
        center, width = (float(np.atleast_1d(head[name].value)[0]) for name in ("WindowCenter", "WindowWidth"))
        window = (center - width / 2, center + width / 2)
    slope, intercept = float(head.get("RescaleSlope") or 1), float(head.get("RescaleIntercept") or 0)
    if not np.isfinite([slope, intercept, *(window or ())]).all():
        raise DatasetError(f"{path_tail(path)} scales its values by {slope} and {intercept}; export it again")
    place = (*(head.get("ImagePositionPatient") or ()), *(head.get("ImageOrientationPatient") or ()))
    return Image(
        path=path,
        series=str(head.SeriesInstanceUID),
        patient=printable(str(head.get("PatientID") or head.get("StudyInstanceUID") or "")).strip()[:64] or "unknown",
        number=int(head.get("InstanceNumber") or 0),
        modality=printable(str(head.get("Modality") or "")) or "image",
        size=(rows, columns),
        colors=samples == 3,
        inverted=head.get("PhotometricInterpretation") == "MONOCHROME1",
        slope=slope,
        intercept=intercept,
        window=window,
        plane=tuple(map(float, place)) if len(place) == 9 else (),
    )


def _pixels(path: Path, dataset: Any = None, index: int | None = None) -> NDArray[Any]:
    """Values of an image, or of one frame of a file that is read already."""
    from pydicom.pixels.utils import pixel_array

    with _reading(path):
        if index is None or int(dataset.BitsAllocated) > 1 or dataset.file_meta.TransferSyntaxUID.is_compressed:
            return np.asarray(pixel_array(path if dataset is None else dataset, index=index))
        # One bit a pixel: pydicom 3.0 loses those of frames that do not begin at a byte.
        rows, columns = int(dataset.Rows), int(dataset.Columns)
        begin, end = index * rows * columns, (index + 1) * rows * columns
        bits = np.unpackbits(np.frombuffer(dataset.PixelData, np.uint8)[begin // 8 : -(-end // 8)], bitorder="little")
        return bits[begin % 8 :][: end - begin].reshape(rows, columns)


# Segmentations -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Segmentation:
    """segments: number to label. frames: by the instance each lies on. sources: instances that it was made of.

    alone: whether it says that its segments do not overlap. half: the value from which on a fraction counts; 1 if
    frames are bits. unplaced: frames of which nothing says where they lie, or that lie askew to their images.
    """

    path: Path
    segments: Mapping[int, str]
    frames: Mapping[str, Sequence[Frame]]
    sources: frozenset[str]
    alone: bool
    half: float
    unplaced: int


def _segmentation(path: Path, images: Mapping[str, Image]) -> Segmentation:
    with _reading(path):
        head = _pydicom().dcmread(path, stop_before_pixels=True)
        kind = str(head.SegmentationType)
        if int(head.NumberOfFrames) > _MOST_FRAMES or len(head.SegmentSequence) > MAX_LABELS:
            raise DatasetError(f"{path_tail(path)} has more than {_MOST_FRAMES:,} frames or {MAX_LABELS:,} segments")
        segments = {
            int(one.get("SegmentNumber", 0)): printable(str(one.get("SegmentLabel") or "")).strip()[:200]
            or f"segment {one.get('SegmentNumber', 0)}"
            for one in head.SegmentSequence
            if not (kind == "LABELMAP" and int(one.get("SegmentNumber", 0)) == 0)  # the background
        }
        frames: dict[str, list[Frame]] = defaultdict(list)
        unplaced = 0
        shared = head.SharedFunctionalGroupsSequence[0] if head.get("SharedFunctionalGroupsSequence") else None
        positions = {image.plane[:3]: uid for uid, image in images.items() if image.plane}
        for index, group in enumerate(head.PerFrameFunctionalGroupsSequence):
            plane = _plane(group, shared)
            uid = _source_of(group, shared)
            if uid is None and plane:
                uid = next((uid for place, uid in positions.items() if np.allclose(place, plane[:3], atol=_NEAR)), None)
            if uid is None or (uid in images and _askew(plane, images[uid].plane)):
                unplaced += 1
                continue
            number = None
            if kind != "LABELMAP":
                number = int(_first(group, shared, "SegmentIdentificationSequence").ReferencedSegmentNumber)
            frames[uid].append(Frame(path, index, number))
        sources = {
            str(one.ReferencedSOPInstanceUID)
            for series in head.get("ReferencedSeriesSequence") or ()
            for one in series.get("ReferencedInstanceSequence") or ()
        }
        half = float(head.get("MaximumFractionalValue") or 1) / 2 if kind == "FRACTIONAL" else 1
        alone = kind == "LABELMAP" or str(head.get("SegmentsOverlap") or "") == "NO" or len(segments) == 1
    return Segmentation(path, segments, frames, frozenset(sources | set(frames)), alone, half, unplaced)


def _first(group: Any, shared: Any, name: str) -> Any:
    """The first item of a functional group of a frame, or of all frames; None where neither has it."""
    for one in (group, shared):
        if one is not None and one.get(name):
            return one.get(name)[0]
    return None


def _source_of(group: Any, shared: Any) -> str | None:
    derivation = _first(group, shared, "DerivationImageSequence")
    source = None if derivation is None else derivation.get("SourceImageSequence")
    return str(source[0].ReferencedSOPInstanceUID) if source else None


def _plane(group: Any, shared: Any) -> tuple[float, ...]:
    position = _first(group, shared, "PlanePositionSequence")
    orientation = _first(group, shared, "PlaneOrientationSequence")
    if position is None or orientation is None:
        return ()
    return tuple(map(float, (*position.ImagePositionPatient, *orientation.ImageOrientationPatient)))


def _askew(plane: tuple[float, ...], image: tuple[float, ...]) -> bool:
    """Whether a frame lies otherwise than its image, so that pixels do not lie on pixels."""
    return bool(plane and image and not np.allclose(plane, image, atol=_NEAR))


# The source ----------------------------------------------------------------------------------------------------------


class DicomSource(Source):
    """Images that a segmentation was made of; patients are groups, and segments of one label are united."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        _pydicom()
        self.root = root
        self.name = source_name(root, "DICOM")
        window = options.get("window", "").strip()
        if window not in ("", "file") and limits(window) is None:
            raise DatasetError(
                f"window is {window[:30]!r}, expected file, or the lowest and highest intensity such as -160,240; "
                "correct it"
            )
        self._own_window, self._window = window == "file", limits(window)
        findings: list[Finding] = []
        images, paths = _headers(root, findings)
        segmentations = [one for path in paths if (one := _opened(path, images, findings)) is not None]
        if not segmentations:
            why = f" ({findings[-1].message})" if findings else ""
            raise DatasetError(
                f"{self.name} has {count_of(len(images), 'DICOM image')} and no DICOM segmentation (SEG) of them{why}; "
                "put it beside them, or export masks in another format"
            )
        self._segmentations = {one.path: one for one in segmentations}
        names = dict.fromkeys(label for one in segmentations for label in one.segments.values())
        self.labels = tuple(map(Label, names))
        used = {uid for one in segmentations for uid in one.sources}
        self._images = _named({uid: images[uid] for uid in used if uid in images})
        if not self._images:
            raise DatasetError(
                f"{self.name}: none of the images that its segmentations refer to is here; put the series beside them"
            )
        of_image = [one.sources & set(images) for one in segmentations]
        once = sum(map(len, of_image)) == len(frozenset().union(*of_image))
        self.exclusive = once and all(one.alone for one in segmentations)
        self._frames: dict[str, list[Frame]] = defaultdict(list)
        for one in segmentations:
            for uid, frames in one.frames.items():
                self._frames[uid] += frames
        self.groups = {name: image.patient for name, (_, image) in self._images.items()}
        colors = {image.colors for _, image in self._images.values()}
        if len(colors) > 1:
            raise DatasetError(f"{self.name} has grey images and images in colours; give a folder of one kind")
        if colors == {False}:
            modality = next(iter(self._images.values()))[1].modality
            self.bands = choose_bands(1, options, names=[modality], where=self.name)
        findings += _counted(segmentations, images, used, once)
        self.findings = tuple(findings)
        self._limits: dict[str, tuple[float, float]] = {}
        self._kept: OrderedDict[Path, Any] = OrderedDict()  # the segmentation that was read last

    def names(self) -> tuple[str, ...]:
        """Every image that a segmentation was made of, sorted."""
        return tuple(self._images)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """An image, 0 at its window's low end, or 1 there where low values are shown bright (MONOCHROME1)."""
        _, image = self._images[name]
        values = _values(image)
        if image.colors:
            scaled = values / np.float32(255)
        else:
            low, high = self._range(image)
            scaled = np.clip((values - low) / (high - low), 0, 1)[:, :, None]
            scaled = 1 - scaled if image.inverted else scaled
        return Picture(imageio.resize(scaled.astype(np.float32), size), image.size)

    def head(self, name: str) -> tuple[tuple[int, int], int]:
        """(height, width) by the header, and no orientation of EXIF's."""
        return self._images[name][1].size, 1

    def _range(self, image: Image) -> tuple[float, float]:
        """The intensities that become 0 and 1."""
        if self._window is not None:
            return self._window
        if self._own_window and image.window is not None and image.window[1] > image.window[0]:
            return image.window
        if image.series not in self._limits:
            of_series = [one for _, one in self._images.values() if one.series == image.series]
            sampled = [_values(one)[::4, ::4].ravel() for one in of_series[:: max(1, len(of_series) // _SAMPLED)]]
            low, high = map(float, np.percentile(np.concatenate(sampled), _PERCENTILES))
            self._limits[image.series] = (low, high if high > low else low + 1)
        return self._limits[image.series]

    def truth(self, name: str) -> Truth:
        """Segments of an image. Raises DatasetError for frames that cannot be read or have another size."""
        uid, image = self._images[name]
        place = {label.name: index for index, label in enumerate(self.labels)}
        layers = blank_layers(len(self.labels), image.size, name)
        for frame in self._frames.get(uid, ()):
            segmentation = self._segmentations[frame.path]
            values = _pixels(frame.path, self._dataset(frame.path), frame.index)
            if values.shape != image.size:
                raise DatasetError(
                    f"the segmentation {path_tail(frame.path)} has frames of {values.shape[1]}×{values.shape[0]} on "
                    f"{name}, which is {image.size[1]}×{image.size[0]}; export it at the size of the images"
                )
            if frame.segment is None:
                for number, label in segmentation.segments.items():
                    layers[place[label]] |= values == number
            elif frame.segment in segmentation.segments:
                layers[place[segmentation.segments[frame.segment]]] |= values >= segmentation.half
        return Truth(layers, np.ones(image.size, np.bool_))

    def _dataset(self, path: Path) -> Any:
        if path not in self._kept:
            self._kept.clear()
            with _reading(path):
                self._kept[path] = _pydicom().dcmread(path)
        return self._kept[path]

    def files(self) -> Iterable[Path]:
        """Images and segmentations."""
        return [*(image.path for _, image in self._images.values()), *self._segmentations]


def _headers(root: Path, findings: list[Finding]) -> tuple[dict[str, Image], list[Path]]:
    """Images by instance, and the files of segmentations."""
    images: dict[str, Image] = {}
    segmentations: list[Path] = []
    for path in _files(root):
        if not _is_dicom(path):
            continue
        try:
            with _reading(path):
                head = _pydicom().dcmread(path, stop_before_pixels=True, specific_tags=list(_HEADER))
                if head.file_meta.get("MediaStorageSOPClassUID") == _DIRECTORY:
                    continue
                if head.SOPClassUID in _SEGMENTATIONS:
                    segmentations.append(path)
                elif "Rows" in head:  # else no image, such as a report
                    images[str(head.SOPInstanceUID)] = _image(path, head)
        except DatasetError as error:
            findings.append(Finding.warning("DICOM-UNREADABLE", f"left out: {error}"))
        if len(images) > _MOST_IMAGES:
            raise DatasetError(f"there are more than {_MOST_IMAGES:,} DICOM images; give the folder of fewer")
    return images, segmentations


def _opened(path: Path, images: Mapping[str, Image], findings: list[Finding]) -> Segmentation | None:
    try:
        return _segmentation(path, images)
    except DatasetError as error:
        findings.append(Finding.error("DICOM-UNREADABLE", f"left out: {error}"))
        return None


def _named(images: Mapping[str, Image]) -> dict[str, tuple[str, Image]]:
    """Images by name, sorted: patient, number of the series, number in the series."""
    series: dict[str, int] = {}
    for patient in {image.patient for image in images.values()}:
        of_patient = sorted({image.series for image in images.values() if image.patient == patient})
        series |= {uid: number for number, uid in enumerate(of_patient, 1)}
    rows = sorted(images.items(), key=lambda row: (row[1].patient, series[row[1].series], row[1].number, row[0]))
    patients = [image.patient.replace("/", "-").replace("\\", "-") for _, image in rows]
    names = distinct(
        f"{patient}_s{series[image.series]}_{image.number:04d}"
        for patient, (_, image) in zip(patients, rows, strict=True)
    )
    return dict(sorted(zip(names, rows, strict=True)))


def _counted(
    segmentations: Sequence[Segmentation], images: Mapping[str, Image], used: set[str], once: bool
) -> Iterator[Finding]:
    """What was left out, and what was decided."""
    unplaced = sum(one.unplaced for one in segmentations)
    if unplaced:
        problem = f"{count_of(unplaced, 'frame')} of segmentations lie on no image, or turned or shifted against it"
        yield Finding.error("FRAME-PLACE", f"{problem}; resample them to the images, and export again")
    absent = len(used - set(images))
    if absent:
        problem = f"{count_of(absent, 'image')} that segmentations refer to are not here"
        yield Finding.warning("IMAGE-MISSING", f"{problem}; put the whole series there")
    bare = len(set(images) - used)
    if bare:
        yield Finding.note("IMAGE-UNUSED", f"{count_of(bare, 'image')} that no segmentation refers to: left out")
    if not once:
        problem = "several segmentations refer to the same images; segments of one label are united"
        yield Finding.note("SEGMENTATIONS-UNITED", problem)
    fractional = sum(one.half != 1 for one in segmentations)
    if fractional:
        problem = f"{count_of(fractional, 'segmentation')} with fractions: from one half on a pixel carries the label"
        yield Finding.note("SEGMENTATION-FRACTIONS", problem)


def _values(image: Image) -> Float32Array:
    """(H, W) in the units of the modality, such as Hounsfield's, or (H, W, 3) of 0 to 255. Raises DatasetError."""
    values = _pixels(image.path)
    if values.shape[:2] != image.size or (values.ndim == 3) != image.colors:
        raise DatasetError(
            f"{path_tail(image.path)} holds {values.shape} values, not what its header says; export it again"
        )
    if image.colors:
        return (values if values.dtype == np.uint8 else values / (np.iinfo(values.dtype).max / 255)).astype(np.float32)
    return (values.astype(np.float64) * image.slope + image.intercept).astype(np.float32)


FORMAT = Format(
    "DICOM series with segmentations (DICOM-SEG)",
    _recognise,
    DicomSource,
    {
        "window": "intensities that become 0 and 1, such as -160,240, or file for the window that each image names; "
        "the 0.5th and 99.5th percentile of the series if nothing is said",
        **bands.OPTIONS,
    },
)
