"""Cases of volumes or pictures with label maps, cut into slices: what the formats of such cases have in common."""

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.arrays import Float32Array
from pipelines.datasets import bands, imageio, listing
from pipelines.datasets.bands import MAX_BANDS, choose_bands
from pipelines.datasets.base import Finding, Picture, Source, Truth, source_name
from pipelines.datasets.formats import nifti
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.datasets.options import channel_numbers, limits
from pipelines.errors import DatasetError

OPTIONS: Final[dict[str, str]] = {
    "slices": "of volumes: all, labelled (those that carry a label), or every:N such as every:5",
    "window": "intensities that become 0 and 1 in every band, such as -160,240; the 0.5th and 99.5th percentile of "
    "each channel of a case if nothing is said",
    **bands.OPTIONS,
}
_MOST_IMAGES: Final = 500_000
_WINDOW: Final = (0.5, 99.5)  # percentiles of a case
_MOST_WINDOWS: Final = 4096


@dataclass(frozen=True)
class Case:
    """channels: (file, channel in it). slices: of the label map. flat: an image rather than a volume."""

    name: str
    channels: tuple[tuple[Path, int], ...]
    label: Path
    slices: int
    flat: bool
    test: bool

    @property
    def photograph(self) -> bool:
        """Whether it is one ordinary picture, in colours or grey."""
        return len({path for path, _ in self.channels}) == 1 and nifti.is_picture(self.channels[0][0])

    def image(self, index: int) -> str:
        """The name of a slice, as the import of nnU-Net's predictions has it; that of a flat image is the case's."""
        return self.name if self.flat else f"{self.name}_z{index:04d}"


def read_case(
    name: str, images: Sequence[Path], label: Path, findings: list[Finding], *, test: bool = False
) -> Case | None:
    """A case by the heads of its files; None for one that cannot be read, and findings say why."""
    if not listing.usable(f"{name}_z00000"):
        problem = f"{name[:50]!r}: a case's name is one printable line of at most {listing.MAX_NAME - 7} characters"
        findings.append(Finding.error("FILE-NAME", f"{problem}; rename it"))
        return None
    try:
        if nifti.suffix(label) not in nifti.SUFFIXES:
            raise DatasetError(f"files {nifti.suffix(label)[:20]} are not read here; convert them to .nii.gz or .png")
        map_, heads = nifti.read_head(label), [nifti.read_head(path) for path in images]
        if not heads:
            raise DatasetError("it has no image; add it")
        if any(head.slices != map_.slices for head in heads):
            counts = ", ".join(str(head.slices) for head in heads)
            raise DatasetError(f"its images have {counts} slices, its label map {map_.slices}; export the case again")
    except DatasetError as error:
        findings.append(Finding.error("CASE-UNREADABLE", f"case {name} is left out: {error}"))
        return None
    several = len(images) > 1
    channels = [
        (path, channel)
        for path, head in zip(images, heads, strict=True)
        for channel in range(1 if several and nifti.is_picture(path) else head.channels)
    ]
    return Case(name, tuple(channels), label, map_.slices, map_.flat and all(head.flat for head in heads), test)


# The source ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Options:
    window: tuple[float, float] | None
    slices: str
    every: int
    channels: tuple[int, ...]


def _parse(options: Mapping[str, str]) -> _Options:
    slices = options.get("slices", "all").strip()
    every = re.fullmatch(r"every:([1-9]\d{0,4})", slices)
    if slices not in ("all", "labelled") and every is None:
        raise DatasetError(f"slices is {slices[:30]!r}, expected all, labelled or every:N such as every:5; correct it")
    window = options.get("window", "").strip()
    if window and limits(window) is None:
        raise DatasetError(
            f"window is {window[:30]!r}, expected the lowest and highest intensity such as -160,240; correct it"
        )
    return _Options(
        window=limits(window),
        slices="every" if every else slices,
        every=int(every[1]) if every else 1,
        channels=channel_numbers(options, "channels", MAX_BANDS),
    )


class CaseSource(Source):
    """Slices of cases; a case is a group.

    by_value: the labels and the values of the label maps that carry them. channels: what the channels are called, as
    far as anything says. tables: files beside those of the cases that decide what the set holds. findings: so far; more
    are added. Raises DatasetError, one line, when there is nothing to read.
    """

    complete = True

    def __init__(
        self,
        root: Path,
        options: Mapping[str, str],
        cases: Sequence[Case],
        by_value: ValueLabels,
        *,
        channels: Sequence[str],
        tables: Sequence[Path] = (),
        findings: list[Finding],
    ) -> None:
        self.root = root
        self.name = source_name(root, "volumes")
        self._options = _parse(options)
        self._tables = list(tables)
        self.labels = by_value.labels
        self._by_value = by_value
        every = [value for values in by_value.values for value in values]
        self.exclusive = len(set(every)) == len(every)
        if not cases:
            why = f" ({findings[-1].message})" if findings else ""
            raise DatasetError(f"{self.name} has no case with image and label map that can be read{why}")
        self._photographs = not self._options.channels and all(case.photograph for case in cases)
        first = cases[0]
        if not self._photographs:
            self.bands = choose_bands(len(first.channels), options, names=channels, where=f"case {first.name}")
        self._windows: OrderedDict[tuple[Path, int], tuple[float, float]] = OrderedDict()
        self._images = self._cut(cases, findings)
        self.groups = {name: case.name for name, (case, _) in self._images.items() if not case.flat}
        self.findings = tuple(findings)

    def _cut(self, cases: Iterable[Case], findings: list[Finding]) -> dict[str, tuple[Case, int]]:
        images: dict[str, tuple[Case, int]] = {}
        total = volumes_ = 0
        for case in cases:
            try:
                chosen = list(range(case.slices)) if case.flat else list(self._slices(case))
            except DatasetError as error:
                findings.append(Finding.error("CASE-UNREADABLE", f"case {case.name} is left out: {error}"))
                continue
            total += case.slices
            volumes_ += not case.flat
            for index in chosen:
                images[case.image(index)] = (case, index)
            if len(images) > _MOST_IMAGES:
                raise DatasetError(f"there are more than {_MOST_IMAGES:,} slices; take fewer with slices = every:N")
        if volumes_:
            how = {"all": "all", "labelled": "those with a label", "every": f"one of {self._options.every}"}
            problem = (
                f"{len(images):,} of {total:,} slices of {volumes_:,} volumes are taken ({how[self._options.slices]}), "
                "along the last axis of the file; the option slices changes that"
            )
            findings.append(Finding.note("SLICES", problem))
        if not images:
            raise DatasetError("no slice carries a label; take all with slices = all, or check the label maps")
        return dict(sorted(images.items()))

    def _slices(self, case: Case) -> Iterator[int]:
        if self._options.slices == "every":
            yield from range(0, case.slices, self._options.every)
        elif self._options.slices == "all":
            yield from range(case.slices)
        else:
            pairs = zip(self.labels, self._by_value.values, strict=True)
            marks = [value for label, values in pairs if label.role != "background" for value in values]
            for index in range(case.slices):
                if np.isin(nifti.read_values(case.label, index), marks).any():
                    yield index

    def names(self) -> tuple[str, ...]:
        """Every slice, sorted."""
        return tuple(self._images)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """The bands of a slice, each 0 at its window's low end. Raises DatasetError, one line."""
        case, index = self._images[name]
        if self._photographs:
            return Picture(*imageio.read_picture(case.channels[0][0], size=size))
        chosen = self._options.channels or tuple(range(len(case.channels)))
        if max(chosen) >= len(case.channels):
            raise DatasetError(
                f"case {case.name} has {len(case.channels)} channels, asked for is channel {max(chosen) + 1}; correct "
                "channels"
            )
        layers = [self._channel(*case.channels[channel], index) for channel in chosen]
        return Picture(*nifti.as_image(layers, size), nifti.orientation_of(case.channels[chosen[0]][0]))

    def _channel(self, path: Path, channel: int, index: int) -> Float32Array:
        plane = nifti.read_plane(path, index, channel)
        if nifti.is_picture(path):
            return plane.astype(np.float32)
        low, high = self._limits(path, channel)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (plane.astype(np.float64) - low) / (high - low)
        return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0), 0, 1).astype(np.float32)

    def _limits(self, path: Path, channel: int) -> tuple[float, float]:
        if self._options.window is not None:
            return self._options.window
        if nifti.eight_bits(path):
            return 0.0, 255.0
        key = (path, channel)
        if key not in self._windows:
            low, high = nifti.percentiles(path, channel, *_WINDOW)
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows.popitem(last=False)
            self._windows[key] = (low, high) if high - low > 0 and np.isfinite(high - low) else (low, low + 1.0)
        return self._windows[key]

    def truth(self, name: str) -> Truth:
        """Labels and regions of a slice. Raises DatasetError, one line."""
        case, index = self._images[name]
        return self._by_value.truth(nifti.read_values(case.label, index), f"the label map of {name}")

    def files(self) -> Iterable[Path]:
        """Tables, images and label maps."""
        yield from self._tables
        cases = {id(case): case for case, _ in self._images.values()}
        yield from dict.fromkeys(
            part
            for case in cases.values()
            for path in (*(path for path, _ in case.channels), case.label)
            for part in nifti.parts(path)
        )
