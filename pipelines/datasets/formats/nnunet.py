"""nnU-Net: dataset.json, imagesTr and labelsTr, as pictures or as NIfTI volumes cut into slices."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines import links
from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Format, Label, Role, distinct, source_name
from pipelines.datasets.formats import json_file, nifti, volumes
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.datasets.options import whole_number
from pipelines.errors import DatasetError
from pipelines.reading import MAX_LABELS
from pipelines.schema import Split
from pipelines.sentences import listed, printable

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


class Cases:
    """Cases in the folders of a data set, or as its dataset.json lists them."""

    def __init__(self, root: Path, tables: Tables, findings: list[Finding]) -> None:
        self._root = root
        self._tables = tables
        self._findings = findings

    def find(self) -> list[volumes.Case]:
        """Every case that can be read."""
        cases = self._listed() if self._tables.entries else [*self._folder("Tr"), *self._folder("Ts")]
        names: dict[str, volumes.Case] = {}
        for case in cases:
            if case.name in names:
                problem = f"the case {case.name} is there twice; keep one"
                self._findings.append(Finding.error("NAME-TWICE", problem))
            names.setdefault(case.name, case)
        return [names[name] for name in sorted(names)]

    def _folder(self, which: str) -> Iterator[volumes.Case]:
        labels = self._files(self._root / f"labels{which}")
        images = self._images(self._root / f"images{which}", labels)
        for name, label in labels.items():
            if name not in images:
                problem = (
                    f"labels{which}/{printable(label.name)[:100]} has no image in images{which}; add it or remove it"
                )
                self._findings.append(Finding.error("PAIR-MISSING", problem))
                continue
            case = volumes.read_case(name, images[name], label, self._findings, test=which == "Ts")
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

    def _listed(self) -> Iterator[volumes.Case]:
        for name, (images, label) in self._tables.entries.items():
            paths = [self._inside(file) for file in (*images, label)]
            lost = [file for file, path in zip((*images, label), paths, strict=True) if path is None]
            if lost:
                which = f"case {printable(name[:60])} the file {printable(lost[0][-100:])}"
                problem = f"dataset.json gives {which}, which is not in the data set"
                self._findings.append(Finding.error("CASE-MISSING", f"{problem}; put it there"))
                continue
            there = [path for path in paths if path is not None]
            case = volumes.read_case(name, there[:-1], there[-1], self._findings)
            if case is not None:
                yield case

    def _inside(self, name: str) -> Path | None:
        """A file of the data set; None for what leads out of it or through a link that is not followed."""
        wanted = posixpath.normpath(name.replace("\\", "/"))
        if wanted.startswith(("/", "..")) or "\0" in wanted:
            return None
        path = self._root / wanted
        return path if path.is_file() and links.of(self._root).follows(path) else None


# The source ----------------------------------------------------------------------------------------------------------

_TABLE: Final = "dataset.json"
_FOLDS: Final = "splits_final.json"


def _recognise(root: Path) -> str | None:
    path = listing.child(root, _TABLE)
    if path is None or not path.is_file():
        return None
    content = json_file.ends(path)
    known = any(word in content for word in (b'"channel_names"', b'"modality"', b'"file_ending"'))
    if b'"labels"' not in content or not known or not ((root / "labelsTr").is_dir() or b'"dataset"' in content):
        return None
    return "dataset.json names labels and channels, and labelsTr/ is there"


def _why_not(root: Path) -> str | None:
    there = [name for name in ("imagesTr", "labelsTr", _TABLE) if listing.child(root, name) is not None]
    if not {"imagesTr", "labelsTr"} & set(there):
        return None
    return f"it has {listed(there)}, where labelsTr and a {_TABLE} that names labels and channels are needed"


class NnunetSource(volumes.CaseSource):
    """Slices of the cases in labelsTr, and of those in labelsTs where that is there."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        self._fold = whole_number(options, "fold", 0, 999, "such as 0") or 0
        findings: list[Finding] = []
        table = listing.child(root, _TABLE)
        if table is None:
            name = source_name(root, "nnU-Net")
            raise DatasetError(f"{name} has no {_TABLE}; give the folder that holds it, imagesTr and labelsTr")
        tables = read_tables(table, findings)
        if tables.order:
            order = ", ".join(printable(name[:60]) for name in reversed(tables.order))
            problem = f"by regions_class_order the first of {order} gets a pixel of several, under one label a pixel"
            self.priority = tuple(reversed(tables.order))
            findings.append(Finding.note("REGION-ORDER", problem))
        super().__init__(
            root,
            options,
            Cases(root, tables, findings).find(),
            ValueLabels(tables.labels, tables.values, table=_TABLE),
            channels=tables.channels,
            tables=[table],
            findings=findings,
        )
        self.splits = self._splits(findings)
        self.findings = tuple(findings)

    def _splits(self, findings: list[Finding]) -> Mapping[Split, tuple[str, ...]]:
        members: dict[str, list[str]] = defaultdict(list)
        test: list[str] = []
        for name, (case, _) in self._images.items():
            (test if case.test else members[case.name]).append(name)
        path = listing.child(self.root, _FOLDS)
        lists: dict[Split, list[str]] = {}
        if path is not None and path.is_file():
            self._tables.append(path)
            fold = read_fold(path, self._fold)
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


FORMAT = Format(
    "nnU-Net raw: dataset.json with imagesTr/ and labelsTr/",
    _recognise,
    NnunetSource,
    {
        **volumes.OPTIONS,
        "fold": "the fold of splits_final.json that gives training and validation, from 0",
    },
    _why_not,
)
