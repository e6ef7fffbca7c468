"""A data set to everything that is in it and wrong with it, in one pass, before any training."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from pipelines.datasets import open_dataset, orientation
from pipelines.datasets.base import Dataset, Finding, Severity, Turn
from pipelines.datasets.facts import FactsCounter, SplitFacts
from pipelines.datasets.report import CheckReport, ClassFacts, Nesting, PairFacts, SplitSummary, truth_alone
from pipelines.datasets.summary import summarise
from pipelines.progress import Progress
from pipelines.schema import SPLITS, Split

__all__ = [
    "CheckReport",
    "ClassFacts",
    "Finding",
    "Nesting",
    "PairFacts",
    "SplitSummary",
    "check_dataset",
    "truth_alone",
]

_FEW: Final = 10  # groups or images in test: with fewer, an interval means little


def check_dataset(
    data: str | Path | Dataset, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> CheckReport:
    """Read every image once, count what is there and list everything that is wrong, all at once.

    data: an open data set, or the path of one that is read as its files say.
    size: (height, width) to count at, as training would resize; None counts at each image's own size.
    Raises DatasetError only when there is no data set to look into: no folder, no readable dataset.toml, no images.
    """
    dataset = data if isinstance(data, Dataset) else open_dataset(data)
    findings = list(dataset.structure())
    in_splits = _membership(dataset)
    counters = {split: FactsCounter(len(dataset.classes)) for split in SPLITS}
    everything = FactsCounter(len(dataset.classes))
    same: dict[bytes, list[str]] = defaultdict(list)
    turns: dict[str, Turn] = {}

    def look(name: str) -> None:
        found = dataset.examine(name, size=size)
        findings.extend(found.findings)
        if found.item is None:
            return
        everything.add(found.item)
        if found.turn is not None:
            turns[name] = found.turn
        for split in in_splits.get(name, ()):
            counters[split].add(found.item)
        shape = str(found.item.image.shape).encode()
        same[hashlib.blake2b(found.item.image.data, digest_size=16, salt=shape[:16]).digest()].append(name)

    shown = progress or Progress()  # without a stream it is silent
    with shown.stage("check", len(dataset.names())):
        for name in dataset.names():
            look(name)
            shown.advance()
    facts = {split: counter.facts() for split, counter in counters.items()}
    total = everything.facts()
    findings += orientation.findings(turns)
    findings += _split_findings(dataset, in_splits)
    findings += _all_ignored(facts)
    findings += _copies(same, in_splits)
    findings += _class_findings(dataset, facts, total)
    return summarise(dataset, facts, total, _ordered(findings))


def _membership(dataset: Dataset) -> dict[str, list[Split]]:
    splits: dict[str, list[Split]] = defaultdict(list)
    for split in SPLITS:
        for name in dataset.images(split):
            splits[name].append(split)
    return dict(splits)


def _split_findings(dataset: Dataset, in_splits: Mapping[str, list[Split]]) -> Iterable[Finding]:
    """Leaks between splits, images outside all of them, and splits too small to conclude anything from."""
    for name, splits in in_splits.items():
        if len(splits) > 1:
            yield _finding(
                "SPLIT-LEAK", "error", f"{name} is in {_and(splits)}; an image belongs to one split, keep one"
            )
    for name in dataset.names():
        if name not in in_splits:
            yield _finding("SPLIT-NONE", "note", f"{name} is in no split and is not used; add it to a list in splits/")
    groups_of = {split: {dataset.groups[n] for n in dataset.images(split) if n in dataset.groups} for split in SPLITS}
    for group in sorted(set().union(*groups_of.values())):
        splits = [split for split in SPLITS if group in groups_of[split]]
        if len(splits) > 1:
            problem = f"group {group} is in {_and(splits)}, so scores will look too good; keep a group in one split"
            yield _finding("GROUP-LEAK", "warning", problem)
    for split in SPLITS:
        if not dataset.images(split):
            yield _finding("SPLIT-EMPTY", "error", f"{split} has no image, but needs one at least; add images to it")
    units, word = (len(groups_of["test"]), "group") if dataset.groups else (len(dataset.images("test")), "image")
    if 0 < units < _FEW:
        problem = (
            f"test has {units} {word}{'s' * (units > 1)}, and fewer than {_FEW} give no honest interval; "
            f"add {word}s, or read its intervals as too narrow"
        )
        yield _finding("TEST-FEW", "warning", problem)


def _all_ignored(facts: Mapping[Split, SplitFacts]) -> Iterable[Finding]:
    """Splits with images but without a pixel that counts: nothing could be fitted or measured on them."""
    for split, found in facts.items():
        if found.images and not found.valid_pixels:
            yield _finding(
                "SPLIT-IGNORED", "error", f"every pixel of {split} is ignored; label some, or move images to {split}"
            )


def _copies(same: Mapping[bytes, list[str]], in_splits: Mapping[str, list[Split]]) -> Iterable[Finding]:
    """Images that look the same, pixel by pixel, under different names."""
    for names in same.values():
        splits = [split for split in SPLITS if any(split in in_splits.get(name, ()) for name in names)]
        if len(names) > 1 and len(splits) > 1:
            problem = f"{_and(names[:5])} are the same picture, in {_and(splits)}; keep one of them"
            yield _finding("COPY-LEAK", "warning", problem)
        elif len(names) > 1:
            yield _finding("COPY", "note", f"{_and(names[:5])} are the same picture; keep one if that is no intention")


def _class_findings(dataset: Dataset, facts: Mapping[Split, SplitFacts], total: SplitFacts) -> Iterable[Finding]:
    unread = len(dataset.names()) > total.images
    everything = f"the {total.images} images that could be read" if unread else "the whole set"
    for index, name in enumerate(dataset.classes):
        if total.images and not total.class_pixels[index]:
            problem = f"no pixel of {everything} carries class {name}; label it or take it out of dataset.toml"
            yield _finding("CLASS-EMPTY", "error", problem)
            continue
        for split in SPLITS:
            if facts[split].images and not facts[split].class_pixels[index]:
                what = "cannot be learned" if split == "train" else "has no score there"
                problem = f"no pixel of {split} carries class {name}, so it {what}; move an image with it to {split}"
                yield _finding("CLASS-ABSENT", "warning", problem)
    labels = max((len(members) for members in total.set_counts), default=0)
    if dataset.kind == "overlapping" and total.images and labels < 2:
        problem = 'declared kind is overlapping, but no pixel carries two labels; kind = "exclusive" would say the same'
        yield _finding("KIND-NO-OVERLAP", "note", problem)


def _finding(code: str, severity: Severity, message: str) -> Finding:
    return Finding(code=code, severity=severity, message=message)


def _and(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    rank = {"error": 0, "warning": 1, "note": 2}
    return tuple(sorted(findings, key=lambda one: rank[one.severity]))
