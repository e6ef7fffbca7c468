"""Runs written, renamed, put in the trash, taken back and removed; every step is one rename inside the runs folder."""

import contextlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from pipelines.errors import NoSuchRun, RunError
from pipelines.schema import SCHEMA_VERSION
from pipelines.store import files
from pipelines.store.files import EVALUATED, MANIFEST, STAGING, TRASH, check_name
from pipelines.store.manifest import Entry, check, describe, identity, read_manifest

# Names and folders ---------------------------------------------------------------------------------------------------

_IN_PROCESS: Final = threading.RLock()  # threads wait for each other, where processes refuse


@contextmanager
def held(runs: Path, *names: str) -> Iterator[None]:
    """Keep other processes from writing runs of these names, as RunWriter does; TRASH is the name of the trash.

    Raises RunError when another process holds one of them, or this one that has such a run open for writing.
    """
    with _IN_PROCESS, ExitStack() as stack:
        make(runs / STAGING)
        for name in names:
            busy = f"another process is working on {name}; wait until it is done and try again"
            stack.enter_context(_lock(runs, name, busy))
        yield


@contextmanager
def _lock(runs: Path, name: str, busy: str) -> Iterator[None]:
    """The lock file of a run's name, which the system frees when the process ends, however that is.

    Whoever commits removes the file: a lock on a removed one is none. Raises RunError, which says that it is busy.
    """
    from filelock import FileLock, Timeout

    path = runs / STAGING / f"{name}.lock"
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        raise RunError(busy) from None
    except OSError as error:
        raise RunError(f"{path} cannot be locked ({error.strerror}); see who may write to {runs}") from None
    try:
        yield
    finally:
        lock.release()


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
    entries = []
    for folder in _entries(runs):
        name, _, nanoseconds = folder.name.rpartition(".")
        deleted = datetime.fromtimestamp(int(nanoseconds) // 10**9, UTC)
        size = sum(stat.st_size for stat in _stats([folder]))
        entries.append(TrashEntry(folder.name, name, deleted, size, _freed([folder]), _is_whole(folder)))
    return sorted(entries, key=lambda entry: int(entry.entry.rpartition(".")[2]), reverse=True)


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
    entries = {path.name: path for path in _entries(runs)}
    if entry not in entries:
        there = (
            f"it holds {', '.join(list(entries)[:5])}{', …' if len(entries) > 5 else ''}" if entries else "it is empty"
        )
        raise NoSuchRun(f"there is no {entry!r} in the trash of {runs}: {there}; see `python -m pipelines trash`")
    return entries[entry]


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
        return all((folder / entry.path).stat().st_size == entry.bytes for entry in entries)
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
    for stat in _stats(folders):
        file = (stat.st_dev, stat.st_ino)
        seen[file] = seen.get(file, 0) + 1
        freed += stat.st_size if seen[file] == stat.st_nlink else 0
    return freed


# Runs in the making: written in a staging folder, committed by a manifest and one rename ------------------------------

_NOT_LISTED: Final = ("checkpoints", MANIFEST, "progress.json")
_PACKAGES: Final = ("torch", "torchvision", "segmentation_models_pytorch", "numpy", "pandas", "pyarrow", "scikit-learn")


class RunWriter:
    """A run being made under .staging/<run>.<attempt>; nothing is visible under runs/<run> before `commit`."""

    def __init__(self, runs: Path, name: str, folder: Path) -> None:
        self.runs, self.name, self.folder = runs, name, folder
        self._parents: list[dict[str, Any]] = []
        self._taken_over: dict[str, tuple[Entry, int]] = {}  # by path, with the number of the linked file

    @classmethod
    @contextmanager
    def open(
        cls, runs: Path, name: str, *, resume: bool = False, copy_of: Path | None = None, recount: bool = False
    ) -> Iterator["RunWriter"]:
        """Take the run's name and a staging folder: a new one, the newest one (resume) or one linked to a whole run.

        copy_of: the whole run; with resume the newest attempt goes on from it, if there is one.

        recount: whether what evaluation makes is left out of the copy. Whatever is taken over is compared with the
        whole run's manifest, which the new one names among its `parents`.
        Raises RunError when another process is writing this run, the name is taken, or a file that would be taken over
        is missing or has changed.
        """
        check_name(name)
        staging = runs / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        busy = f"another process is working on {name}; wait for it or choose another --name"
        with _lock(runs, name, busy):
            if copy_of is None and (runs / name).exists():
                raise RunError(f"there is a run {name} in {runs} already; choose another --name")
            writer = cls(runs, name, cls._folder(staging, name, resume=resume, anew=copy_of is not None))
            if copy_of is not None:
                try:
                    writer._take_over(copy_of, recount=recount)
                except RunError:
                    if not resume:
                        shutil.rmtree(writer.folder, ignore_errors=True)
                    raise
            yield writer

    @staticmethod
    def _folder(staging: Path, name: str, *, resume: bool, anew: bool) -> Path:
        """The newest attempt (resume) or a new one. anew: whether one can be begun where there is none to resume."""
        attempts = staged_attempts(staging.parent, name)
        if resume and attempts:
            return attempts[-1]
        if resume and not anew:
            raise NoSuchRun(f"there is nothing to resume under the name {name}; start it without --resume")
        number = int(attempts[-1].name.rpartition(".")[2]) + 1 if attempts else 1
        folder = staging / f"{name}.{number}"
        folder.mkdir()
        return folder

    def _take_over(self, source: Path, *, recount: bool) -> None:
        """Link the files of a whole run, which are never changed in place, and note whose they are."""
        manifest, entries = read_manifest(source)
        wanted = [one for one in entries.values() if not (recount and one.path.split("/")[0] in EVALUATED)]
        check(source, wanted)
        for entry in wanted:
            place = self.folder / entry.path
            if place.exists():  # of an attempt that is gone on with
                continue
            with files.reading(source / entry.path):
                place.parent.mkdir(parents=True, exist_ok=True)
                try:
                    os.link(source / entry.path, place)
                except OSError:  # a disk without links
                    half = place.with_name(place.name + ".new")
                    shutil.copy2(source / entry.path, half)
                    os.replace(half, place)
            self._taken_over[entry.path] = entry, place.stat().st_ino
        self._parents = [identity(manifest), *manifest.get("parents", [])]

    def _describe(self, path: Path) -> dict[str, Any]:
        """The manifest's entry of a file. Raises RunError when one that was taken over has changed since."""
        entry = describe(self.folder, path)
        parent, number = self._taken_over.get(entry["path"], (None, 0))
        if parent is not None and path.stat().st_ino == number and entry["sha256"] != parent.sha256:
            raise RunError(f"{entry['path']} of {self.name} has changed in this moment; restore it from a copy")
        return entry

    def commit(self, **facts: Any) -> Path:
        """Write the manifest, make everything durable and rename the folder into place; returns the place.

        facts go into the manifest.
        """
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        (self.folder / "progress.json").unlink(missing_ok=True)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "software": {package: _version(package) for package in _PACKAGES},
            **facts,
            **({"parents": self._parents} if self._parents else {}),
            "files": [self._describe(path) for path in _content(self.folder)],
        }
        manifest["checksum"] = files.checksum(manifest)
        files.write_json(self.folder / MANIFEST, manifest)
        for folder in {path.parent for path in _content(self.folder)} | {self.folder}:
            files.sync_folder(folder)
        target = self.runs / self.name
        if target.exists():  # a recount: the old run goes to the trash, from where it can be taken back
            trash = self.runs / TRASH
            trash.mkdir(exist_ok=True)
            os.rename(target, trash / f"{self.name}.{time.time_ns()}")
        os.rename(self.folder, target)
        files.sync_folder(self.runs)
        for attempt in staged_attempts(self.runs, self.name):
            shutil.rmtree(attempt, ignore_errors=True)
        (self.runs / STAGING / f"{self.name}.lock").unlink(missing_ok=True)
        return target


def staged_attempts(runs: Path, name: str) -> list[Path]:
    """Staging folders of a run, oldest first."""
    pattern = re.compile(re.escape(name) + r"\.(\d+)")
    staging = runs / STAGING
    attempts = [path for path in staging.iterdir() if pattern.fullmatch(path.name)] if staging.is_dir() else []
    return sorted(attempts, key=lambda path: int(path.name.rpartition(".")[2]))


def _content(folder: Path) -> list[Path]:
    every = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in every if path.relative_to(folder).parts[0] not in _NOT_LISTED]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
