"""Whole runs renamed, put in the trash, taken back and removed; every step is one rename inside the runs folder."""

import contextlib
import fcntl
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from pipelines.errors import NoSuchRun, RunError
from pipelines.store import files
from pipelines.store.manifest import read_manifest
from pipelines.store.places import MANIFEST, STAGING, TRASH, check_name
from pipelines.store.runs import Run
from pipelines.store.staging import staged_attempts

# Names and folders ---------------------------------------------------------------------------------------------------

_IN_PROCESS: Final = threading.RLock()  # file locks tell processes apart, not the threads of one


@contextmanager
def held(runs: Path, *names: str) -> Iterator[None]:
    """Keep other processes from writing runs of these names, as RunWriter does; TRASH is the name of the trash.

    Raises RunError when another process holds one of them.
    Not for a process that has such a run open for writing itself: its lock ends with the closing of any file of it.
    """
    with _IN_PROCESS, ExitStack() as stack:
        make(runs / STAGING)
        for name in names:
            path = runs / STAGING / f"{name}.lock"
            try:
                lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
                stack.callback(os.close, lock)
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Whoever commits removes the lock's file: a lock on the removed one keeps nobody out.
                mine = os.path.samestat(os.fstat(lock), path.stat(follow_symlinks=False))
            except (BlockingIOError, FileNotFoundError):
                mine = False
            except OSError as error:
                raise RunError(f"{path} cannot be locked ({error.strerror}); see who may write to {runs}") from None
            if not mine:
                raise RunError(f"another process is working on {name}; wait until it is done and try again")
        yield


def make(folder: Path) -> None:
    """Make a folder unless it is there. Raises RunError when that is not allowed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be made ({error.strerror}); see who may write to {folder.parent}") from None


def move(folder: Path, target: Path) -> None:
    """One rename, made durable. Raises RunError when it is not allowed, NoSuchRun when the folder has gone."""
    try:
        os.rename(folder, target)
        files.sync_folder(target.parent)
        files.sync_folder(folder.parent)
    except FileNotFoundError:
        raise NoSuchRun(f"{folder.name} is no longer in {folder.parent}; look again") from None
    except OSError as error:
        raise RunError(f"{folder.name} could not be moved ({error.strerror}); see who may write to {target}") from None


# Runs ----------------------------------------------------------------------------------------------------------------
#
# A run is called what its folder is called: `name` in its manifest stays the name it was made under, so that a rename
# touches no file and a crash leaves the old name or the new. The trash is runs/.trash/<name>.<time in ns>, where a
# recount puts the run that it replaces too.

_ENTRY: Final = re.compile(r"(.+)\.(\d{1,19})")


@dataclass(frozen=True)
class TrashEntry:
    """A run in the trash. entry: its name there; name: what it was called; deleted: when, in UTC.

    bytes: size of its files; frees: bytes that removing it alone gives back, less where a recount shares its files.
    whole: whether it can be taken back; False for what is damaged or was half removed when a process died.
    """

    entry: str
    name: str
    deleted: datetime
    bytes: int
    frees: int
    whole: bool


def rename_run(runs: Path, old: str, new: str) -> None:
    """Give a run another name. Raises RunError when the name is not valid or taken, or a process works on either."""
    check_name(new)
    folder = _folder_of(runs, old)
    if new == old:
        raise RunError(f"{old} has that name already; give it another one")
    with held(runs, old, new):
        _refuse_taken(runs, new)
        move(folder, runs / new)


def delete_run(runs: Path, name: str) -> str:
    """Put a run in the trash; returns its entry there. Raises RunError when a process works on it."""
    folder = _folder_of(runs, name)
    with held(runs, name):
        trash = _trash(runs)
        make(trash)
        entry = f"{name}.{time.time_ns()}"
        move(folder, trash / entry)
    return entry


def list_trash(runs: Path) -> list[TrashEntry]:
    """What is in the trash, last deleted first; strays and links are not listed and never touched."""
    found = []
    for folder in _entries(runs):
        name, _, nanoseconds = folder.name.rpartition(".")
        deleted = datetime.fromtimestamp(int(nanoseconds) // 10**9, UTC)
        size = sum(one.st_size for one in _stats([folder]))
        found.append(TrashEntry(folder.name, name, deleted, size, _freed([folder]), _is_whole(folder)))
    return sorted(found, key=lambda one: int(one.entry.rpartition(".")[2]), reverse=True)


def trash_bytes(runs: Path) -> int:
    """Bytes that emptying the whole trash gives back: files that a whole run still uses do not count."""
    return _freed(_entries(runs))


def restore_run(runs: Path, entry: str, name: str | None = None) -> str:
    """Take a run out of the trash; returns its name: the one it had, with a number behind it where that is taken.

    Raises RunError when the entry is not there or not whole, or the name that was asked for is taken.
    """
    with held(runs, TRASH):
        folder = _entry(runs, entry)
        if not _is_whole(folder):
            raise RunError(f"{entry} is damaged or half removed and cannot be a run again; it can only be emptied")
        target = _free_name(runs, entry.rpartition(".")[0]) if name is None else check_name(name)
        with held(runs, target):
            _refuse_taken(runs, target)
            move(folder, runs / target)
    return target


def empty_trash(runs: Path, entry: str | None = None) -> int:
    """Remove what is in the trash, or one entry of it, for good; returns the bytes that this gave back.

    The manifest goes first: what a process that died leaves behind is no run, and goes the next time.
    """
    with held(runs, TRASH):
        folders = _entries(runs) if entry is None else [_entry(runs, entry)]
        freed = _freed(folders)
        for folder in folders:
            try:
                (folder / MANIFEST).unlink(missing_ok=True)
                files.sync_folder(folder)
                shutil.rmtree(folder)
            except OSError as error:
                raise RunError(
                    f"{folder.name} could not be removed ({error.strerror}); see who may write to {folder.parent}"
                ) from None
    return freed


def run_bytes(run: Run) -> int:
    """Size of a run's files by its manifest, and of the manifest."""
    return sum(int(entry["bytes"]) for entry in run.manifest["files"]) + (run.folder / MANIFEST).stat().st_size


def size_in_words(size: int) -> str:
    """Bytes with two or three digits, such as "77 MB" or "1.2 GB" (powers of 1000)."""
    value, unit = float(size), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.1f} {unit}" if value < 9.95 and unit != "B" else f"{value:.0f} {unit}"


# Places ------------------------------------------------------------------------------------------------------------


def _folder_of(runs: Path, name: str) -> Path:
    """Folder of a run, which may be damaged. Raises RunError for anything else, links too."""
    folder = runs / check_name(name)
    if folder.is_symlink():
        raise RunError(f"{name} in {runs} is a link to another folder; rename or remove the link itself")
    if not (folder / MANIFEST).is_file():
        raise NoSuchRun(f"there is no run {name} in {runs}; see `python -m pipelines list`")
    return folder


def _trash(runs: Path) -> Path:
    """Folder of the trash, which need not exist. Raises RunError where it leads out of the runs folder."""
    trash = runs / TRASH
    if trash.is_symlink():
        raise RunError(f"{trash} is a link to another place; put a folder there instead")
    return trash


def _entries(runs: Path) -> list[Path]:
    """Folders in the trash that were runs."""
    trash = _trash(runs)
    inside = sorted(trash.iterdir()) if trash.is_dir() else []
    return [path for path in inside if _is_entry(path.name) and path.is_dir() and not path.is_symlink()]


def _is_entry(text: str) -> bool:
    match = _ENTRY.fullmatch(text)
    try:
        return match is not None and bool(check_name(match[1]))
    except RunError:
        return False


def _entry(runs: Path, entry: str) -> Path:
    """Folder of an entry. Raises NoSuchRun, with what is there, for anything else: a path or a link, for instance."""
    found = {path.name: path for path in _entries(runs)}
    if entry not in found:
        there = f"it holds {', '.join(list(found)[:5])}{', …' if len(found) > 5 else ''}" if found else "it is empty"
        raise NoSuchRun(f"there is no {entry!r} in the trash of {runs}: {there}; see `python -m pipelines trash`")
    return found[entry]


def _taken(runs: Path, name: str) -> bool:
    """Whether something has the name already, or an unfinished run is waiting to."""
    return os.path.lexists(runs / name) or bool(staged_attempts(runs, name))


def _refuse_taken(runs: Path, name: str) -> None:
    if os.path.lexists(runs / name):
        raise RunError(f"there is a {name} in {runs} already; choose another name")
    if staged_attempts(runs, name):
        raise RunError(f"an unfinished run is called {name}; complete it with --resume or choose another name")


def _free_name(runs: Path, name: str) -> str:
    number, free = 1, name
    while _taken(runs, free):
        number += 1
        free = f"{name[: 63 - len(str(number))]}-{number}"
    return free


# Files -------------------------------------------------------------------------------------------------------------


def _is_whole(folder: Path) -> bool:
    """Whether there is a valid manifest and every file that it names, in its size."""
    try:
        entries = read_manifest(folder)[1].values()
        return all((folder / one.path).stat().st_size == one.bytes for one in entries)
    except (RunError, OSError):
        return False


def _stats(folders: Iterable[Path]) -> Iterator[os.stat_result]:
    for folder in folders:
        for place, _, names in os.walk(folder):
            for name in names:
                with contextlib.suppress(FileNotFoundError):  # removed by another process in this moment
                    yield os.lstat(os.path.join(place, name))


def _freed(folders: Iterable[Path]) -> int:
    """Size of the files that are nowhere else: a recount shares files with the run it replaces, by hard links."""
    seen: dict[tuple[int, int], int] = {}
    freed = 0
    for one in _stats(folders):
        file = (one.st_dev, one.st_ino)
        seen[file] = seen.get(file, 0) + 1
        freed += one.st_size if seen[file] == one.st_nlink else 0
    return freed
