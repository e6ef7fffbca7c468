"""A folder's files to names of images: found once, in one order, within limits."""

import os
import posixpath
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path
from typing import Final, TypeVar

from pipelines import links
from pipelines.datasets import imageio
from pipelines.datasets.base import Finding, Picture, Size, Source
from pipelines.errors import DatasetError
from pipelines.sentences import first_of, printable

Key = TypeVar("Key")

MAX_NAME: Final = 200
MAX_FILES: Final = 500_000
MAX_DEPTH: Final = 8


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
    followed = links.of(root)
    if not followed.follows(root):
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
                for entry in there:
                    if _passed_over(entry.name) or (
                        entry.is_symlink() and not followed.follows(here / entry.name, below=top)
                    ):
                        continue
                    if entry.is_dir():
                        inside.append(entry.name)
                    elif entry.is_file():
                        names.append(entry.name)
        except OSError:
            continue
        yield folder, sorted(names)
        if len(folder) < depth:
            fresh = []
            for name in sorted(inside)[:widest]:
                real = os.path.realpath(here / name)
                if real in visited:
                    followed.passed_over[here / name] = None
                else:
                    visited.add(real)
                    fresh.append((*folder, name))
            waiting += reversed(fresh)


def folders(root: Path) -> list[Path]:
    """Folders right under a folder, in the order of names; hidden ones and links not followed are passed over."""
    followed = links.of(root)
    try:
        inside = [
            path for path in root.iterdir() if not _passed_over(path.name) and path.is_dir() and followed.follows(path)
        ]
    except OSError:
        return []
    return sorted(inside, key=lambda path: path.name)


def child(root: Path, *names: str) -> Path | None:
    """The first folder or file right under root that is called one of these names, whatever the case."""
    try:
        there = {path.name.casefold(): path for path in sorted(root.iterdir(), reverse=True)}
    except OSError:
        return None
    followed = links.of(root)
    wanted = (there[name.casefold()] for name in names if name.casefold() in there)
    return next((path for path in wanted if followed.follows(path)), None)


def passed_over(followed: links.Links, root: Path) -> list[Finding]:
    """A note about links that were not followed, if there are any."""
    if not followed.passed_over:
        return []
    first, count = shown(next(iter(followed.passed_over)), root), len(followed.passed_over)
    problem = (
        f"{count:,} {'link is' if count == 1 else 'links are'} passed over, such as {first}: leading nowhere, to files "
        "that are read anyway, or out of the folders that may be read"
    )
    return [Finding.note("LINKS", problem)]


def images(root: Path, *, depth: int = MAX_DEPTH) -> list[Path]:
    """Picture files under a folder, in the order of names."""
    return list(walk(root, suffixes=imageio.IMAGE_SUFFIXES, depth=depth))


def stem(path: Path) -> str:
    """The name without its ending, composed (NFC); ".nii.gz" is one ending."""
    name = composed(path.name)
    name = name[:-3] if name.lower().endswith(".nii.gz") else name
    return name.rpartition(".")[0] or name


def composed(text: str) -> str:
    """A name with each accent in its letter (NFC), whichever way a system wrote it: macOS parts them.

    >>> composed("e\u0301te\u0301") == "\u00e9t\u00e9"
    True
    """
    return unicodedata.normalize("NFC", text)


def by_name(paths: Iterable[Path], root: Path, findings: list[Finding]) -> dict[str, Path]:
    """Files by the name of their image: the stem, or the path from root with "__" where two share a stem.

    Names that are no printable line of at most MAX_NAME characters become findings and are left out.
    """
    stems: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        stems[stem(path)].append(path)
    files: dict[str, Path] = {}
    for short, sharing in stems.items():
        for path in sharing:
            name = short if len(sharing) == 1 else composed("__".join((*path.relative_to(root).parent.parts, short)))
            if not usable(name):
                problem = f"{name[:50]!r}: a name is one printable line of at most {MAX_NAME} characters; rename it"
                findings.append(Finding.error("FILE-NAME", problem))
            elif name in files:
                problem = f"{path.name} and {files[name].name} share the name {name}; keep one or rename it"
                findings.append(Finding.error("NAME-TWICE", problem))
            else:
                files[name] = path
    return dict(sorted(files.items()))


def usable(name: str) -> bool:
    """Whether a text can be the name of an image."""
    return bool(name) and name.isprintable() and len(name) <= MAX_NAME and not set(name) & set("/\\")


def shown(path: Path, root: Path) -> str:
    """A path from root for a message: printable, and not longer than a line bears."""
    text = printable(path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name)
    return text if len(text) <= 120 else f"…{text[-119:]}"


class PictureFiles:
    """Pictures inside a data set by the names that a file of annotations may give them."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._by_path = {composed(path.relative_to(root).as_posix()): path for path in images(root)}
        self._by_bare: dict[str, list[Path]] = defaultdict(list)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for shown_path, path in self._by_path.items():
            self._by_bare[shown_path.removesuffix(path.suffix)].append(path)
            for name in {composed(path.name), stem(path)}:
                self._by_name[name].append(path)

    def paths(self) -> Iterable[Path]:
        """Every picture."""
        return self._by_path.values()

    def at(self, name: str, folders: Iterable[str]) -> tuple[Path | None, bool]:
        """The picture of that name, with or without its ending, in the first of some folders that has it.

        folders: as paths from the top. None if there is none; and whether the name leads out of the data set from each.
        """
        asked = composed(name).replace("\\", "/")
        escapes = True
        for folder in folders:
            wanted = posixpath.normpath(posixpath.join(folder, asked))
            if not wanted.startswith(("/", "..")) and asked[1:2] != ":":
                escapes = False
                fitting = [self._by_path[wanted]] if wanted in self._by_path else self._by_bare.get(wanted, [])
                if len(fitting) == 1:
                    return fitting[0], False
        return None, escapes

    def find(self, name: str, folders: Iterable[str] = ("", "images")) -> tuple[Path | None, bool]:
        """The picture of that name in one of some folders, else that whose path ends most like it.

        None if there is none, or if there are several; and whether the name leads out of the data set.
        """
        path, escapes = self.at(name, folders)
        if path is not None:
            return path, False
        # Of another machine, or below a folder that was left out: its last parts tell.
        *above, last = posixpath.normpath(composed(name).replace("\\", "/")).split("/")
        shared = {
            path: shared_end(path.relative_to(self._root).parts[:-1], above) for path in self._by_name.get(last, [])
        }
        fitting = [path for path, count in shared.items() if count == max(shared.values())]
        return (fitting[0] if len(fitting) == 1 else None), escapes

    def match(
        self,
        wanted: Iterable[tuple[Key, str, Sequence[str]]],
        table: str,
        findings: list[Finding],
        *,
        unlisted: str = "are left out",
    ) -> dict[Path, list[Key]]:
        """Pictures that entries of a file name, each with its entries.

        wanted: entry, the name it gives, and the folders in which that may be. table: what names them, for messages.
        unlisted: what becomes of pictures beside the others that nobody names.
        Names that lead out of the data set, are of another machine or not there, and pictures beside the others that
        nobody names become findings.
        """
        matched: dict[Path, list[Key]] = defaultdict(list)
        outside: dict[str, None] = {}
        missing: dict[str, None] = {}
        elsewhere: dict[str, None] = {}
        for entry, name, places in wanted:
            path, escapes = self.find(name, places)
            if path is not None:
                matched[path].append(entry)
            if path is None or escapes:
                (elsewhere if path is not None else outside if escapes else missing)[name] = None
        if outside:
            problem = "have a path that leads out of the data set; put them into it"
            findings.append(Finding.error("IMAGE-OUTSIDE", _images_that(outside, problem)))
        if elsewhere:
            problem = f"{len(elsewhere):,} images have paths of another machine and were found by their names"
            findings.append(
                Finding.note("IMAGE-ELSEWHERE", f"{problem}, such as {printable(next(iter(elsewhere))[-80:])}")
            )
        if missing:
            problem = f"are listed but not there; add them or take them out of {table}"
            findings.append(Finding.error("IMAGE-MISSING", _images_that(missing, problem)))
        folders = {path.parent for path in matched}
        left = sum(path.parent in folders for path in self.paths()) - len(matched)
        if left:
            problem = f"{left:,} pictures beside the others are not in {table} and {unlisted}"
            findings.append(Finding.note("IMAGE-UNLISTED", problem))
        return matched


def _images_that(names: Iterable[str], problem: str) -> str:
    shown_names = [printable(name[-80:]) for name in names]
    return f"{len(shown_names):,} images {problem}: {first_of(shown_names, 5)}"


def shared_end(folders: Sequence[str], others: Sequence[str]) -> int:
    """How many folders right above a file two paths share."""
    pairs = zip(reversed(folders), reversed(others), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


class FileSource(Source):
    """A source whose pictures are image files, or lie in files. images: name to file, sorted."""

    images: Mapping[str, Path]

    def names(self) -> tuple[str, ...]:
        """Every image, sorted."""
        return tuple(self.images)

    def picture(self, name: str, *, size: Size | None = None) -> Picture:
        """The picture of an image, upright by its EXIF orientation. Raises DatasetError, one line."""
        path, content = self.content(name)
        return Picture(*imageio.read_picture(path, size=size, content=content))

    def head(self, name: str) -> tuple[Size, int]:
        """Size and orientation of a picture, told by the head of its file."""
        path, content = self.content(name)
        return imageio.read_head(path, content=content)

    def content(self, name: str) -> tuple[Path, bytes | None]:
        """The file of a picture, and its bytes where they are no file of their own. Raises DatasetError, one line."""
        return self.images[name], None
