"""Folders of volumes and their label maps, paired by name: images/ and labels/, or both in one folder.

images/a.nrrd   labels/a.nrrd            a.mhd   a_segmentation.mhd            volume-0.nii   segmentation-0.nii
case_1/imaging.nii.gz   case_1/segmentation.nii.gz            case_1/T1.nii.gz  T2.nii.gz  label.nii.gz
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.datasets import listing
from pipelines.datasets.base import Finding, Format, Label, split_word
from pipelines.datasets.formats import nifti, volumes
from pipelines.datasets.formats.masks.values import ValueLabels
from pipelines.errors import DatasetError
from pipelines.schema import Split
from pipelines.sentences import count_of, first_of, printable

_LABEL: Final = re.compile(
    r"seg(s|m|mentations?|mented)?|labels?(map|maps|tr|ts)?|masks?|gt|truth|ground|annotations?", re.IGNORECASE
)
_IMAGE: Final = re.compile(r"im(g|gs|ages?)?(tr|ts)?|imaging|volumes?|scans?|data", re.IGNORECASE)
_LOOKED_AT: Final = 400  # folders, to recognise a set
_PEEKED: Final = 16  # label maps, to tell which values there are
_MOST_LABELS: Final = 256

Key = tuple[str, ...]  # words of a path, without those that say what a file is


@dataclass
class _Found:
    """Files of one kind by key; the splits that folders of theirs name; those whose key another has already."""

    files: dict[Key, Path] = field(default_factory=dict)
    splits: dict[Key, Split] = field(default_factory=dict)
    again: list[Path] = field(default_factory=list)


def _files(root: Path, paths: Iterable[Path]) -> tuple[_Found, _Found]:
    """Images and label maps."""
    images, labels = _Found(), _Found()
    for path in paths:
        *folders, name = path.relative_to(root).parts
        words = [word for part in (*folders, name[: -len(nifti.suffix(path))]) for word in re.split(r"[_\-. ]+", part)]
        found = labels if any(_LABEL.fullmatch(word) for word in words) else images
        key = tuple(word for word in words if word and not _LABEL.fullmatch(word) and not _IMAGE.fullmatch(word))
        if key in found.files:
            found.again.append(path)
            continue
        found.files[key] = path
        splits = [split for folder in folders if (split := split_word(folder.lower())) is not None]
        found.splits |= {key: splits[0]} if splits else {}
    return images, labels


def _paired(images: _Found, labels: _Found) -> dict[Key, dict[Key, Path]]:
    """Of each label map: the image of its name, or several whose names say something more, by what they say."""
    longer: dict[Key, dict[Key, Path]] = defaultdict(dict)
    for key, path in images.files.items():
        longer[key][()] = path
        longer[key[:-1]][key[-1:]] = path
    return {
        key: {(): longer[key][()]} if () in longer.get(key, {}) else dict(sorted(longer[key].items()))
        for key in labels.files
        if key in longer
    }


def _recognise(root: Path) -> str | None:
    paths: list[Path] = []
    for number, (folder, names) in enumerate(listing.tree(root, widest=20)):
        found = [name for name in names if name.lower().endswith(nifti.VOLUMES)]
        paths += [root.joinpath(*folder, name) for name in found[:40]]
        if number >= _LOOKED_AT:
            break
    images, labels = _files(root, paths)
    pairs = _paired(images, labels)
    if not pairs:
        return None
    key = next(iter(pairs))
    return f"{labels.files[key].name} is a label map of {next(iter(pairs[key].values())).name} by their names"


class PairSource(volumes.CaseSource):
    """Slices of the volumes that have a label map."""

    def __init__(self, root: Path, options: Mapping[str, str]) -> None:
        named = _names(options.get("labels", ""))
        findings: list[Finding] = []
        images, labels = _files(root, listing.walk(root, suffixes=nifti.VOLUMES))
        pairs = _paired(images, labels)
        bands = sorted({tuple(channels) for channels in pairs.values()}, key=lambda one: (-len(one), one))[:1]
        cases = []
        self._of_split: dict[str, Split] = {}
        for key, channels in sorted(pairs.items()):
            name = "_".join(key) or root.name
            absent = [" ".join(word) for word in bands[0] if word not in channels]
            if absent:
                problem = f"case {name} is left out: it has no volume of {first_of(absent, 4)}; put it there"
                findings.append(Finding.error("CASE-UNREADABLE", problem))
                continue
            case = volumes.read_case(name, [channels[word] for word in bands[0]], labels.files[key], findings)
            if case is not None:
                cases.append(case)
                self._of_split |= {name: labels.splits[key]} if key in labels.splits else {}
        findings += _unpaired(images, labels, pairs)
        parts = named or _peeked(cases)
        told = ", ".join(f"{value} {name}" for value, name in parts.items())
        findings.append(Finding.note("LABEL-VALUES", f"the values of the label maps are read as {told}"))
        by_value = ValueLabels(
            tuple(Label(name, role="background" if value == 0 else "class") for value, name in parts.items()),
            tuple((value,) for value in parts),
            table="the option labels",
        )
        words = [" ".join(word) for word in bands[0]] if bands else []
        super().__init__(root, options, cases, by_value, channels=words, findings=findings)
        self.splits = self._splits()

    def _splits(self) -> Mapping[Split, tuple[str, ...]]:
        lists: dict[Split, list[str]] = defaultdict(list)
        for name, (case, _) in self._images.items():
            if case.name in self._of_split:
                lists[self._of_split[case.name]].append(name)
        return {split: tuple(names) for split, names in lists.items()}


def _unpaired(images: _Found, labels: _Found, pairs: Mapping[Key, Mapping[Key, Path]]) -> list[Finding]:
    used = {path for channels in pairs.values() for path in channels.values()}
    bare = sorted(path.name for path in images.files.values() if path not in used)
    lone = sorted(labels.files[key].name for key in labels.files if key not in pairs)
    told = []
    if bare:
        problem = f"left out, without a label map: {count_of(len(bare), 'volume')}, such as {printable(bare[0])[:60]}"
        told.append(Finding.warning("CASE-UNLABELLED", problem))
    if lone:
        problem = f"left out, without an image: {count_of(len(lone), 'label map')}, such as {printable(lone[0])[:60]}"
        told.append(Finding.warning("PAIR-MISSING", problem))
    again = sorted(path.name for path in (*images.again, *labels.again))
    if again:
        problem = f"left out, called as others are: {count_of(len(again), 'file')}, such as {printable(again[0])[:60]}"
        told.append(Finding.error("NAME-TWICE", f"{problem}; rename them"))
    return told


def _names(text: str) -> dict[int, str]:
    """The option labels, such as "liver=1, tumour=2"; {} where nothing is said. Raises DatasetError."""
    found = {0: "background"}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = (word.strip() for word in part.rpartition("="))
        if not name or re.fullmatch(r"\d{1,9}", value) is None:
            raise DatasetError(f"labels has {part[:40]!r}, expected name=value such as liver=1; correct it")
        found[int(value)] = name
    return dict(sorted(found.items())) if len(found) > 1 else {}


def _peeked(cases: list[volumes.Case]) -> dict[int, str]:
    """A label for every value of a few label maps, spread over the cases. Raises DatasetError for very many."""
    values: set[int] = {0}
    for case in cases[:: max(1, len(cases) // _PEEKED)]:
        try:
            for index in range(case.slices):
                values |= set(np.unique(nifti.read_values(case.label, index)).tolist())
        except DatasetError:  # the check lists it
            continue
        if len(values) > _MOST_LABELS:
            raise DatasetError(
                f"the label map of {case.name} has more than {_MOST_LABELS} values; name those that are labels with "
                "labels, such as liver=1,tumour=2"
            )
    return {value: f"class {value}" if value else "background" for value in sorted(values)}


FORMAT = Format(
    "volumes with label maps of the same names",
    _recognise,
    PairSource,
    {
        "labels": "names of the values of the label maps, such as liver=1,tumour=2; class 1 … if nothing is said",
        **volumes.OPTIONS,
    },
)
