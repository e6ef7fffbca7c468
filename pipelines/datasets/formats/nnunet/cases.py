"""Folders of an nnU-Net data set, or what its dataset.json lists, to cases with their files."""

import posixpath
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines import links
from pipelines.datasets import listing
from pipelines.datasets.base import Finding
from pipelines.datasets.formats.nnunet import volumes
from pipelines.datasets.formats.nnunet.tables import Tables
from pipelines.errors import DatasetError

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

    def image(self, index: int) -> str:
        """The name of a slice, as the import of nnU-Net's predictions has it; that of a flat image is the case's."""
        return self.name if self.flat else f"{self.name}_z{index:04d}"


class Cases:
    """Cases in the folders of a data set, or as its dataset.json lists them."""

    def __init__(self, root: Path, said: Tables, findings: list[Finding]) -> None:
        self._root = root
        self._said = said
        self._findings = findings

    def find(self) -> list[Case]:
        """Every case that can be read."""
        found = self._listed() if self._said.entries else [*self._folder("Tr"), *self._folder("Ts")]
        names: dict[str, Case] = {}
        for case in found:
            if case.name in names:
                problem = f"the case {case.name} is there twice; keep one"
                self._findings.append(_finding("NAME-TWICE", "error", problem))
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
                self._findings.append(_finding("PAIR-MISSING", "error", problem))
                continue
            case = self._case(name, images[name], label, test=which == "Ts")
            if case is not None:
                yield case
        if which == "Tr":
            absent = [one for one in self._said.listed if self._stem(one) not in labels]
            if absent:
                some = printable(absent[0][:60])
                problem = f"dataset.json lists {len(absent)} label maps that are not here, such as {some}"
                self._findings.append(_finding("CASE-MISSING", "warning", problem))
        bare = sum(name not in labels for name in images)
        if bare:
            problem = f"{bare:,} cases of images{which} have no label map and are left out"
            self._findings.append(_finding("CASE-UNLABELLED", "warning" if which == "Tr" else "note", problem))

    def _images(self, folder: Path, labels: Mapping[str, Path]) -> dict[str, list[Path]]:
        """Case to its files, in the order of their channels; one file without a channel's number holds all."""
        found: dict[str, list[tuple[int, Path]]] = defaultdict(list)
        for stem, path in self._files(folder).items():
            match = _CHANNEL.fullmatch(stem)
            if match is not None and stem not in labels:
                found[match["case"]].append((int(match["channel"]), path))
            else:
                found[stem].append((0, path))
        return {case: [path for _, path in sorted(some)] for case, some in found.items()}

    def _files(self, folder: Path) -> dict[str, Path]:
        if not folder.is_dir() or not links.of(self._root).follows(folder):
            return {}
        endings = volumes.SUFFIXES if self._said.ending is None else (self._said.ending.lower(),)
        return {self._stem(path.name): path for path in listing.walk(folder, suffixes=endings, depth=0)}

    def _stem(self, name: str) -> str:
        ending = next(
            (one for one in (self._said.ending, ".nii.gz") if one and name.lower().endswith(one.lower())), None
        )
        return name[: -len(ending)] if ending else name.rpartition(".")[0] or name

    def _listed(self) -> Iterator[Case]:
        for name, (images, label) in self._said.entries.items():
            paths = [self._inside(one) for one in (*images, label)]
            lost = [one for one, path in zip((*images, label), paths, strict=True) if path is None]
            if lost:
                told = f"case {printable(name[:60])} the file {printable(lost[0][-100:])}"
                problem = f"dataset.json gives {told}, which is not in the data set"
                self._findings.append(_finding("CASE-MISSING", "error", f"{problem}; put it there"))
                continue
            there = [path for path in paths if path is not None]
            case = self._case(name, there[:-1], there[-1], test=False)
            if case is not None:
                yield case

    def _inside(self, asked: str) -> Path | None:
        """A file of the data set; None for what leads out of it or through a link that is not followed."""
        wanted = posixpath.normpath(asked.replace("\\", "/"))
        if wanted.startswith(("/", "..")) or "\0" in wanted:
            return None
        path = self._root / wanted
        return path if path.is_file() and links.of(self._root).follows(path) else None

    def _case(self, name: str, images: list[Path], label: Path, *, test: bool) -> Case | None:
        if not listing.usable(f"{name}_z00000"):
            problem = f"{name[:50]!r}: a case's name is one printable line of at most {listing.MAX_NAME - 7} characters"
            self._findings.append(_finding("FILE-NAME", "error", f"{problem}; rename it"))
            return None
        try:
            if volumes.suffix(label) not in volumes.SUFFIXES:
                raise DatasetError(
                    f"files {volumes.suffix(label)[:20]} are not read here; convert them to .nii.gz or .png"
                )
            map_, heads = volumes.read_head(label), [volumes.read_head(path) for path in images]
            if not heads:
                raise DatasetError("it has no image; add it")
            if any(head.slices != map_.slices for head in heads):
                told = ", ".join(str(head.slices) for head in heads)
                raise DatasetError(f"its images have {told} slices, its label map {map_.slices}; export the case again")
        except DatasetError as error:
            self._findings.append(_finding("CASE-UNREADABLE", "error", f"case {name} is left out: {error}"))
            return None
        several = len(images) > 1
        channels = [
            (path, channel)
            for path, head in zip(images, heads, strict=True)
            for channel in range(1 if several and volumes.is_picture(path) else head.channels)
        ]
        return Case(name, tuple(channels), label, map_.slices, map_.flat and all(head.flat for head in heads), test)


def printable(text: str) -> str:
    """A text from a file for a message."""
    return text if text.isprintable() else repr(text)[1:-1]


def _finding(code: str, severity: Any, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)
