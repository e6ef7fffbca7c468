"""A folder's files to names of images: found once, in one order, within limits."""

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from pipelines.datasets.base import Finding
from pipelines.datasets.imageio import IMAGE_SUFFIXES
from pipelines.errors import DatasetError

MAX_NAME: Final = 200
MAX_FILES: Final = 500_000
MAX_DEPTH: Final = 8


def walk(root: Path, *, suffixes: Sequence[str] = (), depth: int = MAX_DEPTH) -> Iterator[Path]:
    """Files under a folder with one of these endings (lower case, such as ".png"; () for any), in the order of names.

    Hidden files and folders, links and what macOS adds to archives are passed over.
    Raises DatasetError for more than MAX_FILES files.
    """
    seen = 0
    for folder, folders, names in os.walk(root, followlinks=False):
        here = Path(folder)
        deep = len(here.relative_to(root).parts) >= depth
        folders[:] = [] if deep else sorted(one for one in folders if not _passed_over(one))
        for name in sorted(names):
            if _passed_over(name) or (suffixes and not name.lower().endswith(tuple(suffixes))):
                continue
            path = here / name
            if path.is_symlink() or not path.is_file():
                continue
            seen += 1
            if seen > MAX_FILES:
                raise DatasetError(f"{root.name} holds more than {MAX_FILES:,} files; give the folder of one data set")
            yield path


def folders(root: Path) -> list[Path]:
    """Folders right under a folder, in the order of names; hidden ones and links are passed over."""
    try:
        found = [one for one in root.iterdir() if not _passed_over(one.name) and one.is_dir() and not one.is_symlink()]
    except OSError:
        return []
    return sorted(found, key=lambda one: one.name)


def child(root: Path, *names: str) -> Path | None:
    """The first folder or file right under root that is called one of these names, whatever the case."""
    try:
        there = {one.name.casefold(): one for one in sorted(root.iterdir(), reverse=True) if not one.is_symlink()}
    except OSError:
        return None
    return next((there[name.casefold()] for name in names if name.casefold() in there), None)


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


def lists(root: Path, known: Mapping[str, Path]) -> dict[str, tuple[str, ...]]:
    """Split lists in root: train.txt, val.txt (or valid, validation) and test.txt with one image a line.

    Lines may be names, file names or paths; lines that name no image are left out here.
    """
    found: dict[str, tuple[str, ...]] = {}
    for split, names in {
        "train": ("train.txt",),
        "val": ("val.txt", "valid.txt", "validation.txt"),
        "test": ("test.txt",),
    }.items():
        path = child(root, *names)
        if path is not None and path.is_file() and path.stat().st_size < 1 << 26:
            lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
            wanted = (_known(line.strip(), known) for line in lines if line.strip())
            found[split] = tuple(dict.fromkeys(name for name in wanted if name is not None))
    return {split: some for split, some in found.items() if some}


def _known(line: str, known: Mapping[str, Path]) -> str | None:
    first = line.split()[0] if line not in known else line
    for one in (line, first, Path(first).name, stem(Path(first))):
        if one in known:
            return one
    return None


SPLIT_FOLDERS: Final = {
    "train": ("train", "training"), "val": ("val", "valid", "validation", "dev"), "test": ("test", "testing"),
}  # fmt: skip


def split_of(path: Path, root: Path) -> str | None:
    """The split that a file's folders name, such as val for images/validation/a.png; None when none or several do."""
    parts = {part.casefold() for part in path.relative_to(root).parts[:-1]}
    named = [split for split, words in SPLIT_FOLDERS.items() if parts & set(words)]
    return named[0] if len(named) == 1 else None


def _passed_over(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")
