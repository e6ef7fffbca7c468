"""Which images are for training, validation and test: as a data set gives it, else made, the same on every machine."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from pipelines import links
from pipelines.datasets.base import Finding, split_word
from pipelines.datasets.listing import child, composed, shared_end, shown, stem, walk
from pipelines.reading import SplitRule
from pipelines.schema import SPLITS, Split

SHARES: Final[dict[Split, float]] = {"train": 0.70, "val": 0.15, "test": 0.15}
SEED: Final = 0
MADE: Final = "SPLIT-MADE"  # code of the finding that says which splits are not the data set's own

_MAX_LIST: Final = 1 << 26  # bytes of a split list
_WORD: Final = re.compile(r"[^\W_]+")
_OTHER_LISTS: Final = (".csv", ".tsv")
_AUGMENTED: Final = re.compile(r"(.+)\.rf\.[0-9a-f]{8,}")
_LIST_WORDS: Final = frozenset({"list", "ids", "id", "images", "image", "names", "files", "split", "set"})

# Splits that a data set gives ----------------------------------------------------------------------------------------


def split_named(name: str) -> Split | None:
    """The split that the words of a file's or folder's name say; None when none or several do.

    >>> split_named("train2017"), split_named("my_Test-set"), split_named("train_val")
    ('train', 'test', None)
    """
    return _only(map(split_word, _WORD.findall(name.casefold())))


def split_of(path: Path, root: Path) -> Split | None:
    """The split that a file's folders name, such as val for images/validation/a.png; None when none or several do."""
    return _only(map(split_named, path.relative_to(root).parts[:-1]))


def _only(named: Iterable[Split | None]) -> Split | None:
    splits = set(named) - {None}
    return splits.pop() if len(splits) == 1 else None


def given_splits(
    root: Path, images: Mapping[str, Path], findings: list[Finding], by_folder: Mapping[str, Split] | None = None
) -> dict[Split, tuple[str, ...]]:
    """Splits that a data set gives: lists such as train.txt, else and beside them folders called train, val and test.

    Lists lie at the top, in splits/, or so in a folder between the top and those of the images. Images that no list
    names go to the split of their folder, unless that split has a list; links in such folders
    count for the images that they lead to. Without any of these, the names of images may say it, if all begin or end
    with a split.
    images: name to file. by_folder: name to the split of its folder; None takes it from the folders of its file.
    """
    if by_folder is None:
        by_folder = {name: split for name, path in images.items() if (split := split_of(path, root)) is not None}
    lists: dict[Split, tuple[str, ...]] = {}
    places = _list_folders(root, images.values())
    for folder in places:
        lists = lists or read_lists(folder, images, findings, by_folder)
    linked = _by_links(root, images)
    if not lists and not by_folder and not linked:
        by_folder = _by_name(images, findings)
    listed = {name for names in lists.values() for name in names}
    folders: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for name in images:
        if name not in listed:
            named = {*linked.get(name, ()), *((by_folder[name],) if name in by_folder else ())}
            for split in named:
                folders[split].append(name)
    given = {split: lists.get(split) or tuple(folders[split]) for split in SPLITS}
    others = [path for folder in places for path in walk(folder, suffixes=_OTHER_LISTS, depth=0)]
    unread = [path for path in others if (split := _split_listed(path)) is not None and not given[split]]
    if unread:
        problem = (
            f"{', '.join(shown(path, root) for path in unread[:3])} may list the images of a split, but no table is "
            "read; write the names into train.txt, val.txt and test.txt, one a line"
        )
        findings.append(Finding.warning("SPLIT-LOST", problem))
    return {split: names for split, names in given.items() if names}


def _by_links(root: Path, images: Mapping[str, Path]) -> dict[str, set[Split]]:
    """Splits of images to which links in folders of splits lead; links that are passed over, their files being read."""
    places = {link: link / "any" if link.is_dir() else link for link in links.of(root).passed_over}
    split_links = {link: split for link, place in places.items() if (split := split_of(place, root)) is not None}
    splits: dict[str, set[Split]] = defaultdict(set)
    real = {Path(os.path.realpath(path)): name for name, path in images.items()} if split_links else {}
    for link, split in split_links.items():
        target = Path(os.path.realpath(link))
        names = [real[target]] if target in real else []
        if target.is_dir():
            names = [name for path, name in real.items() if path.is_relative_to(target)]
        for name in names:
            splits[name].add(split)
    return dict(splits)


def _by_name(images: Mapping[str, Path], findings: list[Finding]) -> dict[str, Split]:
    """Splits by the first or last word of every image's name, as in train_1 and testA_1; {} unless all have one."""
    splits: dict[str, Split] = {}
    for name, path in images.items():
        words = _WORD.findall(stem(path).casefold())
        split = _only(map(split_word, words[:1] + words[-1:]))
        if split is None:
            return {}
        splits[name] = split
    if len(set(splits.values())) < 2:
        return {}
    problem = f"names of images say their splits, such as {next(iter(splits))}; choose other splits if that is wrong"
    findings.append(Finding.note("SPLITS-GUESSED", problem))
    return splits


def read_lists(
    folder: Path, images: Mapping[str, Path], findings: list[Finding], by_folder: Mapping[str, Split] | None = None
) -> dict[Split, tuple[str, ...]]:
    """Split lists in a folder, such as train.txt, validation.txt or test_list.txt, with one image a line.

    A line is a name, a file name or a path; where several images have that name, its folders tell which is meant, else
    the list's own split (by_folder). Lines that name no image are left out and counted in a finding.
    """
    by_folder = by_folder or {}
    files: dict[Split, Path] = {}
    for path in walk(folder, suffixes=(".txt",), depth=0):
        split = _split_listed(path)
        if split is not None:
            first, second = sorted((files.get(split, path), path), key=lambda file: len(file.name))
            if first != second:
                both = f"{shown(first, folder)} and {shown(second, folder)}"
                problem = f"{both} both list {split}, and the first is read; keep one"
                findings.append(Finding.warning("SPLIT-TWICE", problem))
            files[split] = first
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)  # by stem, and by folder and stem
    for name, path in images.items() if files else ():
        places[(stem(path),)].append(name)
        places[(path.parent.name, stem(path))].append(name)
    lists: dict[Split, tuple[str, ...]] = {}
    for split, path in files.items():
        title = shown(path, folder)
        try:
            if path.stat().st_size > _MAX_LIST:
                raise OSError(0, f"more than {_MAX_LIST:,} bytes")
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            problem = f"{title} is not read ({error.strerror}), so it gives no {split} split; write one image a line"
            findings.append(Finding.warning("SPLIT-ABSENT", problem))
            continue
        wanted = {
            line.strip(): _listed(line.strip(), split, images, places, by_folder) for line in lines if line.strip()
        }
        names = tuple(dict.fromkeys(name for name in wanted.values() if name is not None))
        absent = [line for line, name in wanted.items() if name is None]
        if absent or not names:
            missing = (
                f" of which {len(absent):,} are not here with a mask, such as {absent[0][:80]!r}" if absent else ""
            )
            lost = "" if names else f"; so it gives no {split} split"
            problem = f"{title} names {len(wanted):,} images{missing}{lost}: correct the list"
            findings.append(Finding.warning("SPLIT-ABSENT", problem))
        if names:
            lists[split] = names
    return lists


def _split_listed(path: Path) -> Split | None:
    """The split whose images a file lists, by its name: train for train.txt or train_list.csv."""
    words = _WORD.findall(path.stem.casefold())
    return split_named(path.stem) if all(split_word(word) or word in _LIST_WORDS for word in words) else None


def _list_folders(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Folders where split lists may lie, the top first: not those that hold pictures, which may be many."""
    parents = {path.parent for path in paths}
    common = Path(os.path.commonpath(parents)) if parents else root
    above = [
        folder for folder in (common, *common.parents) if folder.is_relative_to(root) and folder not in parents - {root}
    ]
    places = [place for folder in reversed(above) for place in (folder, child(folder, "splits", "split", "lists"))]
    return [place for place in places if place is not None and place.is_dir()]


def _listed(
    line: str,
    split: Split,
    images: Mapping[str, Path],
    places: Mapping[tuple[str, ...], list[str]],
    by_folder: Mapping[str, Split],
) -> str | None:
    """The image that a line of a split's list means; None for none, or where several are meant alike."""
    line = composed(line)
    for text in (line, line.split()[0]):
        if text in images:
            return text
        *above, last = text.replace("\\", "/").rstrip("/").split("/")
        for ending in (last, stem(Path(last or "."))):
            names = places.get((*above[-1:], ending)) or places.get((ending,), [])
            if len(names) > 1 and above:
                shared = {name: shared_end(images[name].parent.parts, above) for name in names}
                longest = max(shared.values())
                names = [name for name in names if shared[name] == longest]
            if len(names) > 1:
                names = [name for name in names if by_folder.get(name) == split]
            if len(names) == 1:
                return names[0]
    return None


# Splits that are made ------------------------------------------------------------------------------------------------


def seeded_split(
    names: Sequence[str], groups: Mapping[str, str], *, seed: int = SEED, shares: Mapping[Split, float] = SHARES
) -> dict[Split, tuple[str, ...]]:
    """70/15/15 of the images unless other shares are given, whole groups only; an image without a group is one itself.

    Groups are shuffled by the seed and each goes to the split that is furthest below its share, so that shares
    hold in images even when groups differ in size. With three groups or more no split stays empty.
    The order of names does not matter.
    """
    members: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for name in sorted(names):
        members[(name in groups, groups.get(name, name))].append(name)
    keys = sorted(members)
    order = np.random.default_rng(seed).permutation(len(keys))
    chosen: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for done, index in enumerate(order):
        empty = [split for split in SPLITS if not chosen[split]]
        left = len(keys) - done
        candidates = empty if empty and left <= len(empty) else list(SPLITS)
        split = max(candidates, key=lambda candidate: shares[candidate] * len(names) - len(chosen[candidate]))
        chosen[split] += members[keys[index]]
    return {split: tuple(sorted(chosen[split])) for split in SPLITS}


def complete_splits(
    given: Mapping[Split, Sequence[str]], names: Sequence[str], groups: Mapping[str, str], rule: SplitRule
) -> tuple[dict[Split, tuple[str, ...]], str | None]:
    """Lists of all three splits, and in words what was made that the data set does not give; None if it gives all.

    A test list that is given stays as it is. Where one split is missing, it is taken from another: test is half of val,
    val a share of training, training a share of val, or all images that are in no list. Where one split alone is given,
    the others are made of the images that it leaves out; if it leaves out none, the set is split as a whole.
    """
    lists = {split: tuple(given.get(split, ())) for split in SPLITS} if rule.by == "given" else {}
    there = [split for split in SPLITS if lists.get(split)]
    if len(there) == len(SPLITS):
        return lists, None
    wanted = dict(zip(SPLITS, rule.shares, strict=True))
    listed = {name for split in there for name in lists[split]}
    rest = tuple(name for name in names if name not in listed)
    gives = f"the data set gives {_counts(lists, there)}; " if there else ""
    if there == ["val", "test"] and rest:
        return lists | {"train": rest}, f"{gives}train is the {len(rest)} images in neither"
    if len(there) == 2:
        made = next(split for split in SPLITS if split not in there)
        giver: Split = "train" if made == "val" else "val"
        share = 0.5 if made == "test" else wanted[made] / (wanted["train"] + wanted["val"])
        kept, taken = _cut(lists[giver], groups, share, seed=rule.seed)
        lists |= {giver: kept, made: taken}
        of = f"{len(taken)} of the {len(kept) + len(taken)} images of {giver}"
        return lists, f"{gives}it has no {made}: {of} are {made} now, whole groups, by seed {rule.seed}"
    if len(there) == 1 and len({groups.get(name, name) for name in rest}) > 1:
        first, second = (split for split in SPLITS if split not in there)
        share = wanted[second] / (wanted[first] + wanted[second])
        kept, taken = _cut(rest, groups, share, seed=rule.seed)
        made_of = f"{len(kept)} and {len(taken)} of the {len(rest)} images that it leaves out, whole groups"
        return lists | {first: kept, second: taken}, f"{gives}{first} and {second} are {made_of}, by seed {rule.seed}"
    shares = " / ".join(f"{100 * share:g}" for share in rule.shares)
    made_of = f"{'all images' if there else 'images'} were split {shares}% into train, val and test, whole groups"
    return seeded_split(names, groups, seed=rule.seed, shares=wanted), f"{gives}{made_of}, by seed {rule.seed}"


def _counts(lists: Mapping[Split, Sequence[str]], there: Sequence[Split]) -> str:
    """Splits with their numbers of images, such as "train (16) and test (20) alone"."""
    return " and ".join(f"{split} ({len(lists[split])})" for split in there) + " alone"


def _cut(
    names: Sequence[str], groups: Mapping[str, str], share: float, *, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two parts of a list, whole groups only: what stays, and about a share that goes."""
    parts = seeded_split(names, groups, seed=seed, shares={"train": 1 - share, "val": share / 2, "test": share / 2})
    return parts["train"], tuple(sorted((*parts["val"], *parts["test"])))


def groups_by_name(names: Sequence[str], separator: str, parts: int) -> dict[str, str]:
    """A group for each image: the first parts of its name, cut at the separator; the whole name if it has no more."""
    return {name: separator.join(name.split(separator)[:parts]) or name for name in names}


def groups_of_copies(names: Iterable[str]) -> dict[str, str]:
    """Groups of the copies that Roboflow made of one picture; other images are in none.

    >>> groups_of_copies(["a_jpg.rf.0123456789abcdef", "b"])
    {'a_jpg.rf.0123456789abcdef': 'a_jpg'}
    """
    return {name: copy[1] for name in names if (copy := _AUGMENTED.fullmatch(name)) is not None}
