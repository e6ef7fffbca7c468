"""nnU-Net: dataset.json, imagesTr and labelsTr, as pictures or as NIfTI volumes cut into slices."""

import posixpath
import re
from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from pipelines import links
from pipelines.arrays import Float32Array
from pipelines.datasets import bands, imageio, listing
from pipelines.datasets.bands import MAX_BANDS, choose_bands
from pipelines.datasets.base import Finding, Format, Label, Picture, Role, Source, Truth, distinct, source_name
from pipelines.datasets.formats import json_file, nifti
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.datasets.options import channel_numbers, limits, whole_number
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import Split
from pipelines.sentences import printable

# dataset.json --------------------------------------------------------------------------------------------------------

MAX_VALUE: Final = 2**31 - 1
MAX_VALUES: Final = 16_384  # named by all labels together


@dataclass(frozen=True)
class Tables:
    """What dataset.json says. values: of each label, several for a region. order: labels, a later one wins over an
    earlier one where regions become one label a pixel; () if nothing is said. ending: of file names, None in version 1.

    listed: file names of the label maps that version 1 lists for training. entries: case to images and label map, as
    version 2 may give them instead of folders. channels: what the channels are called, "" where it does not say.
    """

    labels: tuple[Label, ...]
    values: tuple[tuple[int, ...], ...]
    order: tuple[str, ...]
    ending: str | None
    listed: tuple[str, ...]
    entries: Mapping[str, tuple[tuple[str, ...], str]]
    channels: tuple[str, ...]


def read_tables(path: Path, findings: list[Finding]) -> Tables:
    """Read dataset.json. Raises DatasetError, one line, where it does not say what its values mean."""
    table = json_file.read_object(path)
    given = table.get("labels")
    if not isinstance(given, dict) or not given:
        raise DatasetError('dataset.json has no labels; add them, such as "labels": {"background": 0, "tumour": 1}')
    if len(given) > MAX_LABELS:
        raise DatasetError(f"dataset.json has {len(given):,} labels, allowed are {MAX_LABELS:,}; leave some out")
    pairs = (
        _version_1(given) if _is_version_1(given) else [(name, _values(name, value)) for name, value in given.items()]
    )
    if sum(len(values) for _, values in pairs) > MAX_VALUES:
        raise DatasetError(f"the labels of dataset.json name more than {MAX_VALUES:,} values; leave some out")
    names = distinct([name for name, _ in pairs], "{} ({})")
    labels = tuple(Label(name, role=_role(name, values)) for name, (_, values) in zip(names, pairs, strict=True))
    tables = Tables(
        labels,
        tuple(values for _, values in pairs),
        order=_order(table, labels, findings),
        ending=_ending(table),
        listed=_listed(table.get("training")),
        entries=_entries(table.get("dataset")),
        channels=_channel_names(table.get("channel_names", table.get("modality"))),
    )
    if all(label.role != "class" for label in labels):
        raise DatasetError("dataset.json has no label besides background and ignore; add one")
    return tables


def read_fold(path: Path, fold: int) -> dict[str, tuple[str, ...]]:
    """Cases of train and val of one fold of splits_final.json. Raises DatasetError, one line."""
    folds = json_file.read_value(path)
    if not isinstance(folds, list):
        raise DatasetError(f"{path.name} is no list of folds; write it again or remove it")
    if fold >= len(folds):
        raise DatasetError(f"splits_final.json has {len(folds)} folds, asked for is fold {fold}; they count from 0")
    chosen = folds[fold]
    lists = {split: chosen.get(split) if isinstance(chosen, dict) else None for split in ("train", "val")}
    for cases in lists.values():
        if not isinstance(cases, list) or not all(isinstance(case, str) for case in cases):
            raise DatasetError(f"fold {fold} of splits_final.json has no lists of cases train and val; write it again")
    return {split: tuple(dict.fromkeys(cases)) for split, cases in lists.items() if cases}


def _is_version_1(given: dict[str, Any]) -> bool:
    """Version 1 gives a name for each value, version 2 a value for each name."""
    return all(isinstance(name, str) for name in given.values())


def _version_1(given: dict[str, Any]) -> list[tuple[str, tuple[int, ...]]]:
    for value, name in given.items():
        if not value.isascii() or not value.isdecimal() or int(value[:12]) > MAX_VALUE or not 0 < len(name) <= 500:
            raise DatasetError(
                f"dataset.json has the label {value[:30]!r}: {name[:30]!r}, expected a whole number and its name; "
                "correct it"
            )
    return [(name, (int(value),)) for value, name in given.items()]


def _values(name: str, given: Any) -> tuple[int, ...]:
    values = given if isinstance(given, list) else [given]
    whole = all(isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_VALUE for value in values)
    if not values or not whole or not 0 < len(name) <= 500:
        raise DatasetError(
            f"dataset.json gives the label {name[:50]!r} no value; expected a whole number, or a list of them for a "
            "region"
        )
    return tuple(dict.fromkeys(values))


def _role(name: str, values: tuple[int, ...]) -> Role:
    if name == "ignore":
        return "ignore"
    return "background" if name.casefold() == "background" or values == (0,) else "class"


def _order(table: dict[str, Any], labels: tuple[Label, ...], findings: list[Finding]) -> tuple[str, ...]:
    """regions_class_order holds the value that each region but the background writes, in the order of labels."""
    given = table.get("regions_class_order")
    regions = [label.name for label in labels if label.role == "class"]
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) != len(regions):
        problem = "regions_class_order of dataset.json does not fit its regions and is passed over"
        findings.append(Finding.warning("REGION-ORDER", problem))
        return ()
    return tuple(regions)


def _ending(table: dict[str, Any]) -> str | None:
    given = table.get("file_ending")
    if given is None:
        return None
    if not isinstance(given, str) or not given.startswith(".") or not 1 < len(given) <= 20 or not given.isprintable():
        raise DatasetError(f'dataset.json has the file_ending {str(given)[:30]!r}, expected one such as ".nii.gz"')
    return given


def _channel_names(given: Any) -> tuple[str, ...]:
    """Names by number, as {"0": "T1"}, or a list of them; nothing for anything else."""
    named = given if isinstance(given, dict) else dict(enumerate(given)) if isinstance(given, list) else {}
    known = {str(number): name for number, name in named.items() if isinstance(name, str)}
    return tuple(known.get(str(number), "") for number in range(min(len(named), nifti.MAX_CHANNELS)))


def _listed(given: Any) -> tuple[str, ...]:
    rows = given if isinstance(given, list) else []
    paths = [row.get("label") for row in rows if isinstance(row, dict)]
    return tuple(path.replace("\\", "/").rpartition("/")[2] for path in paths if isinstance(path, str))


def _entries(given: Any) -> dict[str, tuple[tuple[str, ...], str]]:
    entries = {}
    for case, entry in given.items() if isinstance(given, dict) else ():
        images = entry.get("images") if isinstance(entry, dict) else None
        label = entry.get("label") if isinstance(entry, dict) else None
        if (
            not isinstance(images, list)
            or not all(isinstance(name, str) for name in images)
            or not isinstance(label, str)
        ):
            raise DatasetError(f"dataset.json gives the case {case[:50]!r} no images and label; correct it")
        entries[case] = (tuple(images), label)
    return entries


# Cases and their files -----------------------------------------------------------------------------------------------

_CHANNEL: Final = re.compile(r"(?P<case>.+)_(?P<channel>\d{4})")


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


class Cases:
    """Cases in the folders of a data set, or as its dataset.json lists them."""

    def __init__(self, root: Path, tables: Tables, findings: list[Finding]) -> None:
        self._root = root
        self._tables = tables
        self._findings = findings

    def find(self) -> list[Case]:
        """Every case that can be read."""
        cases = self._listed() if self._tables.entries else [*self._folder("Tr"), *self._folder("Ts")]
        names: dict[str, Case] = {}
        for case in cases:
            if case.name in names:
                problem = f"the case {case.name} is there twice; keep one"
                self._findings.append(Finding.error("NAME-TWICE", problem))
            names.setdefault(case.name, case)
        return [names[name] for name in sorted(names)]

    def _folder(self, which: str) -> Iterator[Case]:
        labels = self._files(self._root / f"labels{which}")
        images = self._images(self._root / f"images{which}", labels)
        for name, label in labels.items():
            if name not in images:
                problem = (
                    f"labels{which}/{printable(label.name)[:100]} has no image in images{which}; add it or remove it"
                )
                self._findings.append(Finding.error("PAIR-MISSING", problem))
                continue
            case = self._case(name, images[name], label, test=which == "Ts")
            if case is not None:
                yield case
        if which == "Tr":
            absent = [name for name in self._tables.listed if self._stem(name) not in labels]
            if absent:
                example = printable(absent[0][:60])
                problem = f"dataset.json lists {len(absent)} label maps that are not here, such as {example}"
                self._findings.append(Finding.warning("CASE-MISSING", problem))
        bare = sum(name not in labels for name in images)
        if bare:
            problem = f"{bare:,} cases of images{which} have no label map and are left out"
            self._findings.append((Finding.warning if which == "Tr" else Finding.note)("CASE-UNLABELLED", problem))

    def _images(self, folder: Path, labels: Mapping[str, Path]) -> dict[str, list[Path]]:
        """Case to its files, in the order of their channels; one file without a channel's number holds all."""
        files: dict[str, list[tuple[int, Path]]] = defaultdict(list)
        for stem, path in self._files(folder).items():
            match = _CHANNEL.fullmatch(stem)
            if match is not None and stem not in labels:
                files[match["case"]].append((int(match["channel"]), path))
            else:
                files[stem].append((0, path))
        return {case: [path for _, path in sorted(numbered)] for case, numbered in files.items()}

    def _files(self, folder: Path) -> dict[str, Path]:
        if not folder.is_dir() or not links.of(self._root).follows(folder):
            return {}
        endings = nifti.SUFFIXES if self._tables.ending is None else (self._tables.ending.lower(),)
        return {self._stem(path.name): path for path in listing.walk(folder, suffixes=endings, depth=0)}

    def _stem(self, name: str) -> str:
        ending = next(
            (known for known in (self._tables.ending, ".nii.gz") if known and name.lower().endswith(known.lower())),
            None,
        )
        return name[: -len(ending)] if ending else name.rpartition(".")[0] or name

    def _listed(self) -> Iterator[Case]:
        for name, (images, label) in self._tables.entries.items():
            paths = [self._inside(file) for file in (*images, label)]
            lost = [file for file, path in zip((*images, label), paths, strict=True) if path is None]
            if lost:
                which = f"case {printable(name[:60])} the file {printable(lost[0][-100:])}"
                problem = f"dataset.json gives {which}, which is not in the data set"
                self._findings.append(Finding.error("CASE-MISSING", f"{problem}; put it there"))
                continue
            there = [path for path in paths if path is not None]
            case = self._case(name, there[:-1], there[-1], test=False)
            if case is not None:
                yield case

    def _inside(self, name: str) -> Path | None:
        """A file of the data set; None for what leads out of it or through a link that is not followed."""
        wanted = posixpath.normpath(name.replace("\\", "/"))
        if wanted.startswith(("/", "..")) or "\0" in wanted:
            return None
        path = self._root / wanted
        return path if path.is_file() and links.of(self._root).follows(path) else None

    def _case(self, name: str, images: list[Path], label: Path, *, test: bool) -> Case | None:
        if not listing.usable(f"{name}_z00000"):
            problem = f"{name[:50]!r}: a case's name is one printable line of at most {listing.MAX_NAME - 7} characters"
            self._findings.append(Finding.error("FILE-NAME", f"{problem}; rename it"))
            return None
        try:
            if nifti.suffix(label) not in nifti.SUFFIXES:
                raise DatasetError(
                    f"files {nifti.suffix(label)[:20]} are not read here; convert them to .nii.gz or .png"
                )
            map_, heads = nifti.read_head(label), [nifti.read_head(path) for path in images]
            if not heads:
                raise DatasetError("it has no image; add it")
            if any(head.slices != map_.slices for head in heads):
                counts = ", ".join(str(head.slices) for head in heads)
                raise DatasetError(
                    f"its images have {counts} slices, its label map {map_.slices}; export the case again"
                )
        except DatasetError as error:
            self._findings.append(Finding.error("CASE-UNREADABLE", f"case {name} is left out: {error}"))
            return None
        several = len(images) > 1
        channels = [
            (path, channel)
            for path, head in zip(images, heads, strict=True)
            for channel in range(1 if several and nifti.is_picture(path) else head.channels)
        ]
        return Case(name, tuple(channels), label, map_.slices, map_.flat and all(head.flat for head in heads), test)


# The source ----------------------------------------------------------------------------------------------------------

_TABLE: Final = "dataset.json"
_FOLDS: Final = "splits_final.json"
_MOST_IMAGES: Final = 500_000
_WINDOW: Final = (0.5, 99.5)  # percentiles of a case
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
    content = json_file.ends(path)
    known = any(word in content for word in (b'"channel_names"', b'"modality"', b'"file_ending"'))
    if b'"labels"' not in content or not known or not ((root / "labelsTr").is_dir() or b'"dataset"' in content):
        return None
    return "dataset.json names labels and channels, and labelsTr/ is there"


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
        fold=whole_number(options, "fold", 0, 999, "such as 0") or 0,
    )


class NnunetSource(Source):
    """Slices of the cases in labelsTr, and of those in labelsTs where that is there."""

    complete = True

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self.root = root
        self.name = source_name(root, "nnU-Net")
        self._options = _parse(options)
        findings: list[Finding] = []
        table = listing.child(root, _TABLE)
        if table is None:
            raise DatasetError(f"{self.name} has no {_TABLE}; give the folder that holds it, imagesTr and labelsTr")
        self._tables = [table]
        tables = read_tables(table, findings)
        self.labels = tables.labels
        self._by_value = ValueLabels(tables.labels, tables.values, table=_TABLE)
        every = [value for values in tables.values for value in values]
        self.exclusive = len(set(every)) == len(every)
        if tables.order:
            order = ", ".join(printable(name[:60]) for name in reversed(tables.order))
            problem = f"by regions_class_order the first of {order} gets a pixel of several, under one label a pixel"
            self.priority = tuple(reversed(tables.order))
            findings.append(Finding.note("REGION-ORDER", problem))
        cases = Cases(root, tables, findings).find()
        if not cases:
            why = f" ({findings[-1].message})" if findings else ""
            raise DatasetError(f"{self.name} has no case with image and label map that can be read{why}")
        self._photographs = not self._options.channels and all(case.photograph for case in cases)
        first = cases[0]
        if not self._photographs:
            self.bands = choose_bands(len(first.channels), options, names=tables.channels, where=f"case {first.name}")
        self._windows: OrderedDict[tuple[Path, int], tuple[float, float]] = OrderedDict()
        self._images = self._cut(cases, findings)
        self.groups = {name: case.name for name, (case, _) in self._images.items() if not case.flat}
        self.splits = self._splits(findings)
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

    def _splits(self, findings: list[Finding]) -> Mapping[Split, tuple[str, ...]]:
        members: dict[str, list[str]] = defaultdict(list)
        test: list[str] = []
        for name, (case, _) in self._images.items():
            (test if case.test else members[case.name]).append(name)
        path = listing.child(self.root, _FOLDS)
        lists: dict[Split, list[str]] = {}
        if path is not None and path.is_file():
            self._tables.append(path)
            fold = read_fold(path, self._options.fold)
            absent = [case for cases in fold.values() for case in cases if case not in members]
            if absent:
                example = printable(absent[0][:60])
                problem = f"splits_final.json names {len(absent)} cases that are not here, such as {example}"
                findings.append(Finding.warning("SPLIT-ABSENT", problem))
            lists["train"] = [name for case in fold.get("train", ()) for name in members.get(case, ())]
            lists["val"] = [name for case in fold.get("val", ()) for name in members.get(case, ())]
        elif test:
            lists["train"] = [name for names in members.values() for name in names]
        lists["test"] = test
        return {split: tuple(names) for split, names in lists.items() if names}

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


FORMAT = Format(
    "nnU-Net raw: dataset.json with imagesTr/ and labelsTr/",
    _recognise,
    NnunetSource,
    {
        "slices": "of volumes: all, labelled (those that carry a label), or every:N such as every:5",
        "window": "intensities that become 0 and 1 in every band, such as -160,240; the 0.5th and 99.5th percentile of "
        "each channel of a case if nothing is said",
        **bands.OPTIONS,
        "fold": "the fold of splits_final.json that gives training and validation, from 0",
    },
)
