"""nnU-Net raw data sets, version 2 or 1: cases of one or several channels, volumes cut into slices, to truth."""

import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import BoolArray, Float32Array
from pipelines.datasets import imageio, listing
from pipelines.datasets.base import Finding
from pipelines.datasets.format import Format
from pipelines.datasets.formats import json_file, polygons
from pipelines.datasets.formats.nnunet import volumes
from pipelines.datasets.formats.nnunet.cases import Case, Cases, printable
from pipelines.datasets.formats.nnunet.tables import read_fold, read_tables
from pipelines.datasets.source import Picture, Source, Truth
from pipelines.errors import DatasetError
from pipelines.schema import Split

_TABLE: Final = "dataset.json"
_FOLDS: Final = "splits_final.json"
_MOST_IMAGES: Final = 500_000
_WINDOW: Final = (0.5, 99.5)  # percentiles of a case
_COMPARED: Final = 256  # values; with more, looking each pixel's value up is faster
_MOST_WINDOWS: Final = 4096


@dataclass(frozen=True)
class _Options:
    window: tuple[float, float] | None
    slices: str
    every: int
    channels: tuple[int, ...]
    fold: int


def _recognise(root: Path) -> str | None:
    path = listing.child(root, _TABLE)
    if path is None or not path.is_file():
        return None
    said = json_file.ends(path)
    known = any(word in said for word in (b'"channel_names"', b'"modality"', b'"file_ending"'))
    if b'"labels"' not in said or not known or not ((root / "labelsTr").is_dir() or b'"dataset"' in said):
        return None
    return "dataset.json names labels and channels, and labelsTr/ is there"


def _open(root: Path, options: Mapping[str, str]) -> Source:
    return NnunetSource(root, _parse(options))


def _parse(options: Mapping[str, str]) -> _Options:
    said = options.get("slices", "all").strip()
    every = re.fullmatch(r"every:([1-9]\d{0,4})", said)
    if said not in ("all", "labelled") and every is None:
        raise DatasetError(f"slices is {said[:30]!r}, expected all, labelled or every:N such as every:5; correct it")
    chosen = options.get("channels", "").strip()
    if chosen and not re.fullmatch(r"[1-9]\d?(\s*,\s*[1-9]\d?){0,2}", chosen):
        raise DatasetError(
            f"channels is {chosen[:30]!r}, expected one to three numbers from 1 such as 1,2,4; correct it"
        )
    fold = options.get("fold", "0").strip()
    if not re.fullmatch(r"[0-9]{1,3}", fold):
        raise DatasetError(f"fold is {fold[:30]!r}, expected a whole number from 0; correct it")
    return _Options(
        _window(options.get("window", "").strip()), "every" if every else said, int(every[1]) if every else 1,
        tuple(int(one) - 1 for one in chosen.split(",")) if chosen else (), int(fold),
    )  # fmt: skip


def _window(said: str) -> tuple[float, float] | None:
    if not said:
        return None
    try:
        low, high = (float(one) for one in said.split(","))
    except ValueError:
        low = high = 0.0
    if not (np.isfinite((low, high)).all() and low < high):
        raise DatasetError(
            f"window is {said[:30]!r}, expected the lowest and highest intensity such as -160,240; correct it"
        )
    return low, high


class NnunetSource(Source):
    """Slices of the cases in labelsTr, and of those in labelsTs where that is there."""

    complete = True

    def __init__(self, root: Path, options: _Options) -> None:
        self.root = root
        self.name = printable(root.name)[:100] or "nnU-Net"
        self._options = options
        findings: list[Finding] = []
        table = listing.child(root, _TABLE)
        if table is None:
            raise DatasetError(f"{self.name} has no {_TABLE}; give the folder that holds it, imagesTr and labelsTr")
        self._tables = [table]
        said = read_tables(table, findings)
        self.labels = said.labels
        self._known = np.array(sorted({value for some in said.values for value in some}), np.int64)
        self._member = np.stack([np.isin(self._known, some) for some in said.values])
        self.exclusive = bool((self._member.sum(axis=0) <= 1).all())
        if said.order:
            order = ", ".join(printable(name[:60]) for name in reversed(said.order))
            problem = f"by regions_class_order the first of {order} gets a pixel of several, under one label a pixel"
            self.priority = tuple(reversed(said.order))
            findings.append(_finding("REGION-ORDER", "note", problem))
        cases = Cases(root, said, findings).find()
        if not cases:
            why = f" ({findings[-1].message})" if findings else ""
            raise DatasetError(f"{self.name} has no case with image and label map that can be read{why}")
        self._windows: OrderedDict[tuple[Path, int], tuple[float, float]] = OrderedDict()
        self._images = self._cut(cases, findings)
        self.groups = {name: case.name for name, (case, _) in self._images.items() if not case.flat}
        self.splits = self._splits(findings)
        self.findings = tuple(findings)

    def _cut(self, cases: Iterable[Case], findings: list[Finding]) -> dict[str, tuple[Case, int]]:
        found: dict[str, tuple[Case, int]] = {}
        total = volumes_ = 0
        for case in cases:
            try:
                chosen = list(range(case.slices)) if case.flat else list(self._slices(case))
            except DatasetError as error:
                findings.append(_finding("CASE-UNREADABLE", "error", f"case {case.name} is left out: {error}"))
                continue
            total += case.slices
            volumes_ += not case.flat
            for index in chosen:
                found[case.image(index)] = (case, index)
            if len(found) > _MOST_IMAGES:
                raise DatasetError(f"there are more than {_MOST_IMAGES:,} slices; take fewer with slices = every:N")
        if volumes_:
            how = {"all": "all", "labelled": "those with a label", "every": f"one of {self._options.every}"}
            problem = (
                f"{len(found):,} of {total:,} slices of {volumes_:,} volumes are taken ({how[self._options.slices]}), "
                "along the last axis of the file; the option slices changes that"
            )
            findings.append(_finding("SLICES", "note", problem))
        if not found:
            raise DatasetError("no slice carries a label; take all with slices = all, or check the label maps")
        return dict(sorted(found.items()))

    def _slices(self, case: Case) -> Iterator[int]:
        if self._options.slices == "every":
            yield from range(0, case.slices, self._options.every)
        elif self._options.slices == "all":
            yield from range(case.slices)
        else:
            empty = np.array([label.role == "background" for label in self.labels])
            marks = self._known[self._member[~empty].any(axis=0)]
            for index in range(case.slices):
                if np.isin(volumes.read_values(case.label, index), marks).any():
                    yield index

    def _splits(self, findings: list[Finding]) -> Mapping[Split, tuple[str, ...]]:
        members: dict[str, list[str]] = defaultdict(list)
        test: list[str] = []
        for name, (case, _) in self._images.items():
            (test if case.test else members[case.name]).append(name)
        path = listing.child(self.root, _FOLDS)
        lists: dict[Split, tuple[str, ...]] = {}
        if path is not None and path.is_file():
            self._tables.append(path)
            fold = read_fold(path, self._options.fold)
            absent = [case for some in fold.values() for case in some if case not in members]
            if absent:
                some = printable(absent[0][:60])
                problem = f"splits_final.json names {len(absent)} cases that are not here, such as {some}"
                findings.append(_finding("SPLIT-ABSENT", "warning", problem))
            splits: tuple[Split, ...] = ("train", "val")
            lists = {one: tuple(name for case in fold.get(one, ()) for name in members.get(case, ())) for one in splits}
        elif test:
            lists = {"train": tuple(name for some in members.values() for name in some)}
        if test:
            lists["test"] = tuple(test)
        return {split: some for split, some in lists.items() if some}

    def names(self) -> tuple[str, ...]:
        """Every slice, sorted."""
        return tuple(self._images)

    def picture(self, name: str, *, size: tuple[int, int] | None = None) -> Picture:
        """One to three channels of a slice as RGB, dark at the window's low end. Raises DatasetError, one line."""
        case, index = self._images[name]
        first = case.channels[0][0]
        if len({path for path, _ in case.channels}) == 1 and volumes.is_picture(first) and not self._options.channels:
            return Picture(*imageio.read_picture(first, size=size))
        chosen = self._options.channels or tuple(range(min(3, len(case.channels))))
        if max(chosen) >= len(case.channels):
            raise DatasetError(
                f"case {case.name} has {len(case.channels)} channels, asked for is channel {max(chosen) + 1}; correct "
                "channels"
            )
        layers = [self._channel(*case.channels[channel], index) for channel in chosen]
        return Picture(*volumes.as_picture(layers, size), volumes.orientation_of(case.channels[chosen[0]][0]))

    def _channel(self, path: Path, channel: int, index: int) -> Float32Array:
        plane = volumes.read_plane(path, index, channel)
        if volumes.is_picture(path):
            return plane.astype(np.float32)
        low, high = self._limits(path, channel)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (plane.astype(np.float64) - low) / (high - low)
        return np.clip(np.nan_to_num(scaled, nan=0.0, posinf=1.0, neginf=0.0), 0, 1).astype(np.float32)

    def _limits(self, path: Path, channel: int) -> tuple[float, float]:
        if self._options.window is not None:
            return self._options.window
        if volumes.eight_bits(path):
            return 0.0, 255.0
        key = (path, channel)
        if key not in self._windows:
            low, high = volumes.percentiles(path, channel, *_WINDOW)
            if len(self._windows) >= _MOST_WINDOWS:
                self._windows.popitem(last=False)
            self._windows[key] = (low, high) if high - low > 0 and np.isfinite(high - low) else (low, low + 1.0)
        return self._windows[key]

    def truth(self, name: str) -> Truth:
        """Labels and regions of a slice. Raises DatasetError, one line."""
        case, index = self._images[name]
        return self._decode(name, case, volumes.read_values(case.label, index))

    def _decode(self, name: str, case: Case, values: NDArray[Any]) -> Truth:
        layers = polygons.blank_layers(len(self.labels), (values.shape[0], values.shape[1]))
        if len(self._known) <= _COMPARED:
            for layer, member in zip(layers, self._member, strict=True):
                for value in self._known[member]:
                    layer |= values == value
            known: BoolArray = np.asarray(layers.any(axis=0), np.bool_)
        else:
            place = np.minimum(np.searchsorted(self._known, values), len(self._known) - 1)
            known = np.asarray(self._known[place] == values, np.bool_)
            for layer, member in zip(layers, self._member, strict=True):
                np.logical_and(member[place], known, out=layer)
        findings = []
        if not known.all():
            some = ", ".join(str(value) for value in np.unique(values[~known])[:5])
            problem = (
                f"the label map of {name} holds {some}, which dataset.json does not name; add the label or correct the "
                "map"
            )
            findings.append(_finding("MASK-VALUES", "error", problem))
        return Truth(layers, np.ones(values.shape, np.bool_), tuple(findings))

    def files(self) -> Iterable[Path]:
        """Tables, images and label maps."""
        yield from self._tables
        cases = {id(case): case for case, _ in self._images.values()}
        yield from dict.fromkeys(
            path for case in cases.values() for path in (*(path for path, _ in case.channels), case.label)
        )


def _finding(code: str, severity: Any, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)


FORMAT = Format(
    "nnU-Net raw: dataset.json with imagesTr/ and labelsTr/",
    _recognise,
    _open,
    {
        "slices": "of volumes: all, labelled (those that carry a label), or every:N such as every:5",
        "window": "intensities that become black and white, such as -160,240; the 0.5th and 99.5th percentile of each "
        "case if nothing is said",
        "channels": "the channels taken as red, green and blue, from 1, such as 1,2,4; one is grey; the first three if "
        "nothing is said",
        "fold": "the fold of splits_final.json that gives training and validation, from 0",
    },
)
