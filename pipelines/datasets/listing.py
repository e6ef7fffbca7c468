"""A folder's files to names of images: found once, in one order, within limits."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final, cast

from pipelines import links
from pipelines.datasets.base import Finding
from pipelines.datasets.imageio import IMAGE_SUFFIXES
from pipelines.errors import DatasetError
from pipelines.schema import SPLITS, Split

MAX_NAME: Final = 200
MAX_FILES: Final = 500_000
MAX_DEPTH: Final = 8
_MAX_LIST: Final = 1 << 26  # bytes of a split list
_WORD: Final = re.compile(r"[^\W_]+")
_SPLIT_WORD: Final = re.compile(
    r"(?:(?P<train>train|training)|(?P<val>val|valid|validation|dev)|(?P<test>test|testing))(?:set|data|dataset|[ab])?\d*"
)
_OTHER_LISTS: Final = (".csv", ".tsv")
_LIST_WORDS: Final = frozenset({"list", "ids", "id", "images", "image", "names", "files", "split", "set"})


def walk(root: Path, *, suffixes: Sequence[str] = (), depth: int = MAX_DEPTH, most: int = MAX_FILES) -> Iterator[Path]:
    """Files under a folder with one of these endings (lower case, such as ".png"; () for any), in the order of names.

    Hidden files and folders, links that are not followed and what macOS adds to archives are passed over.
    Raises DatasetError for more than `most` files.
    """
    seen = 0
    for folder, names in tree(root, depth=depth):
        for name in names:
            if suffixes and not name.lower().endswith(tuple(suffixes)):
                continue
            seen += 1
            if seen > most:
                raise DatasetError(f"{root.name} holds more than {most:,} files; give the folder of one data set")
            yield root.joinpath(*folder, name)


def tree(
    root: Path, *, depth: int = MAX_DEPTH, widest: int | None = None
) -> Iterator[tuple[tuple[str, ...], list[str]]]:
    """Folders under a folder, as parts of the path from it, with the names of their files; each folder once, in order.

    Passed over is what `walk` passes over, and folders that cannot be read. widest: of folders in one folder, only the
    first so many.
    """
    found = links.of(root)
    if not found.follows(root):
        return
    top = Path(os.path.realpath(root))
    visited = {str(top)}
    waiting: list[tuple[str, ...]] = [()]
    while waiting:
        folder = waiting.pop()
        here = root.joinpath(*folder)
        inside: list[str] = []
        names: list[str] = []
        try:
            with os.scandir(here) as there:
                for one in there:
                    if _passed_over(one.name) or (one.is_symlink() and not found.follows(here / one.name, below=top)):
                        continue
                    if one.is_dir():
                        inside.append(one.name)
                    elif one.is_file():
                        names.append(one.name)
        except OSError:
            continue
        yield folder, sorted(names)
        if len(folder) < depth:
            fresh = []
            for name in sorted(inside)[:widest]:
                real = os.path.realpath(here / name)
                if real in visited:
                    found.passed_over[here / name] = None
                else:
                    visited.add(real)
                    fresh.append((*folder, name))
            waiting += reversed(fresh)


def folders(root: Path) -> list[Path]:
    """Folders right under a folder, in the order of names; hidden ones and links not followed are passed over."""
    found = links.of(root)
    try:
        inside = [one for one in root.iterdir() if not _passed_over(one.name) and one.is_dir() and found.follows(one)]
    except OSError:
        return []
    return sorted(inside, key=lambda one: one.name)


def child(root: Path, *names: str) -> Path | None:
    """The first folder or file right under root that is called one of these names, whatever the case."""
    try:
        there = {one.name.casefold(): one for one in sorted(root.iterdir(), reverse=True)}
    except OSError:
        return None
    found = links.of(root)
    wanted = (there[name.casefold()] for name in names if name.casefold() in there)
    return next((one for one in wanted if found.follows(one)), None)


def passed_over(found: links.Links, root: Path) -> list[Finding]:
    """A note about links that were not followed, if there are any."""
    if not found.passed_over:
        return []
    first, count = shown(next(iter(found.passed_over)), root), len(found.passed_over)
    problem = (
        f"{count:,} {'link is' if count == 1 else 'links are'} passed over, such as {first}: leading nowhere, to files "
        "that are read anyway, or out of the folders that may be read"
    )
    return [Finding(code="LINKS", severity="note", message=problem)]


def images(root: Path, *, depth: int = MAX_DEPTH) -> list[Path]:
    """Picture files under a folder, in the order of names."""
    return list(walk(root, suffixes=IMAGE_SUFFIXES, depth=depth))


def stem(path: Path) -> str:
    """The name without its ending; ".nii.gz" is one ending."""
    name = path.name[:-3] if path.name.lower().endswith(".nii.gz") else path.name
    return name.rpartition(".")[0] or name


def by_name(paths: Iterable[Path], root: Path, findings: list[Finding]) -> dict[str, Path]:
    """Files by the name of their image: the stem, or the path from root with "__" where two share a stem.

    Names that are no printable line of at most MAX_NAME characters become findings and are left out.
    """
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        stems[stem(path)].append(path)
    found: dict[str, Path] = {}
    for short, some in stems.items():
        for path in some:
            name = short if len(some) == 1 else "__".join((*path.relative_to(root).parent.parts, short))
            if not usable(name):
                problem = f"{name[:50]!r}: a name is one printable line of at most {MAX_NAME} characters; rename it"
                findings.append(Finding(code="FILE-NAME", severity="error", message=problem))
            elif name in found:
                problem = f"{path.name} and {found[name].name} share the name {name}; keep one or rename it"
                findings.append(Finding(code="NAME-TWICE", severity="error", message=problem))
            else:
                found[name] = path
    return dict(sorted(found.items()))


def usable(name: str) -> bool:
    """Whether a text can be the name of an image."""
    return bool(name) and name.isprintable() and len(name) <= MAX_NAME and not set(name) & set("/\\")


def shown(path: Path, root: Path) -> str:
    """A path from root for a message: printable, and not longer than a line bears."""
    text = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    text = text if text.isprintable() else repr(text)[1:-1]
    return text if len(text) <= 120 else f"…{text[-119:]}"


def split_word(word: str) -> Split | None:
    """The split that a word in lower case names: train, training, trainset, train2017; valid and dev are val."""
    match = _SPLIT_WORD.fullmatch(word)
    return None if match is None else cast("Split", match.lastgroup)


def split_named(name: str) -> Split | None:
    """The split that the words of a file's or folder's name say; None when none or several do.

    >>> split_named("train2017"), split_named("my_Test-set"), split_named("train_val")
    ('train', 'test', None)
    """
    named = {split for word in _WORD.findall(name.casefold()) if (split := split_word(word)) is not None}
    return named.pop() if len(named) == 1 else None


def split_of(path: Path, root: Path) -> Split | None:
    """The split that a file's folders name, such as val for images/validation/a.png; None when none or several do."""
    named = {split for part in path.relative_to(root).parts[:-1] if (split := split_named(part)) is not None}
    return named.pop() if len(named) == 1 else None


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
        findings.append(Finding(code="SPLIT-LOST", severity="warning", message=problem))
    return {split: names for split, names in given.items() if names}


def _by_links(root: Path, images: Mapping[str, Path]) -> dict[str, set[Split]]:
    """Splits of images to which links in folders of splits lead; links that are passed over, their files being read."""
    places = {link: link / "any" if link.is_dir() else link for link in links.of(root).passed_over}
    told = {link: split for link, place in places.items() if (split := split_of(place, root)) is not None}
    found: dict[str, set[Split]] = defaultdict(set)
    real = {Path(os.path.realpath(path)): name for name, path in images.items()} if told else {}
    for link, split in told.items():
        target = Path(os.path.realpath(link))
        names = [real[target]] if target in real else []
        if target.is_dir():
            names = [name for path, name in real.items() if path.is_relative_to(target)]
        for name in names:
            found[name].add(split)
    return dict(found)


def _by_name(images: Mapping[str, Path], findings: list[Finding]) -> dict[str, Split]:
    """Splits by the first or last word of every image's name, as in train_1 and testA_1; {} unless all have one."""
    splits: dict[str, Split] = {}
    for name, path in images.items():
        words = _WORD.findall(stem(path).casefold())
        named = {split for word in words[:1] + words[-1:] if (split := split_word(word)) is not None}
        if len(named) != 1:
            return {}
        splits[name] = named.pop()
    if len(set(splits.values())) < 2:
        return {}
    problem = f"names of images say their splits, such as {next(iter(splits))}; choose other splits if that is wrong"
    findings.append(Finding(code="SPLITS-GUESSED", severity="note", message=problem))
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
                findings.append(Finding(code="SPLIT-TWICE", severity="warning", message=problem))
            files[split] = first
    places: dict[tuple[str, ...], list[str]] = defaultdict(list)  # by stem, and by folder and stem
    for name, path in images.items() if files else ():
        places[(stem(path),)].append(name)
        places[(path.parent.name, stem(path))].append(name)
    found: dict[Split, tuple[str, ...]] = {}
    for split, path in files.items():
        title = shown(path, folder)
        try:
            if path.stat().st_size > _MAX_LIST:
                raise OSError(0, f"more than {_MAX_LIST:,} bytes")
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
        except OSError as error:
            problem = f"{title} is not read ({error.strerror}), so it gives no {split} split; write one image a line"
            findings.append(Finding(code="SPLIT-ABSENT", severity="warning", message=problem))
            continue
        wanted = {
            line.strip(): _listed(line.strip(), split, images, places, by_folder) for line in lines if line.strip()
        }
        names = tuple(dict.fromkeys(name for name in wanted.values() if name is not None))
        absent = [line for line, name in wanted.items() if name is None]
        if absent or not names:
            some = f" of which {len(absent):,} are not here with a mask, such as {absent[0][:80]!r}" if absent else ""
            lost = "" if names else f"; so it gives no {split} split"
            problem = f"{title} names {len(wanted):,} images{some}{lost}: correct the list"
            findings.append(Finding(code="SPLIT-ABSENT", severity="warning", message=problem))
        if names:
            found[split] = names
    return found


def _split_listed(path: Path) -> Split | None:
    """The split whose images a file lists, by its name: train for train.txt or train_list.csv."""
    words = _WORD.findall(path.stem.casefold())
    return split_named(path.stem) if all(split_word(word) or word in _LIST_WORDS for word in words) else None


def _list_folders(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Folders where split lists may lie, the top first: not those that hold pictures, which may be many."""
    parents = {path.parent for path in paths}
    common = Path(os.path.commonpath(parents)) if parents else root
    above = [one for one in (common, *common.parents) if one.is_relative_to(root) and one not in parents - {root}]
    found = [place for one in reversed(above) for place in (one, child(one, "splits", "split", "lists"))]
    return [place for place in found if place is not None and place.is_dir()]


def _listed(
    line: str,
    split: Split,
    images: Mapping[str, Path],
    places: Mapping[tuple[str, ...], list[str]],
    by_folder: Mapping[str, Split],
) -> str | None:
    """The image that a line of a split's list means; None for none, or where several are meant alike."""
    for text in (line, line.split()[0]):
        if text in images:
            return text
        *above, last = text.replace("\\", "/").rstrip("/").split("/")
        for ending in (last, stem(Path(last or "."))):
            names = places.get((*above[-1:], ending)) or places.get((ending,), [])
            if len(names) > 1 and above:
                shared = {name: _shared_end(images[name].parent.parts, above) for name in names}
                longest = max(shared.values())
                names = [name for name in names if shared[name] == longest]
            if len(names) > 1:
                names = [name for name in names if by_folder.get(name) == split]
            if len(names) == 1:
                return names[0]
    return None


def _shared_end(folders: Sequence[str], others: Sequence[str]) -> int:
    """How many folders right above a file two paths share."""
    pairs = zip(reversed(folders), reversed(others), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
