"""Runs in the making: written in a staging folder, committed by a manifest and one rename."""

import fcntl
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

from pipelines.errors import NoSuchRun, RunError
from pipelines.schema import SCHEMA_VERSION
from pipelines.store import files
from pipelines.store.manifest import Entry, check, describe, identity, read_manifest
from pipelines.store.places import EVALUATED, MANIFEST, STAGING, TRASH, check_name

_NOT_LISTED: Final = ("checkpoints", MANIFEST, "progress.json")
_PACKAGES: Final = ("torch", "torchvision", "segmentation_models_pytorch", "numpy", "pandas", "pyarrow", "scikit-learn")


class RunWriter:
    """A run being made under .staging/<run>.<attempt>; nothing is visible under runs/<run> before `commit`."""

    def __init__(self, runs: Path, name: str, folder: Path, lock: IO[str]) -> None:
        self.runs, self.name, self.folder, self._lock = runs, name, folder, lock
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
        with (staging / f"{name}.lock").open("w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when the process ends
            except OSError:
                raise RunError(f"another process is working on {name}; wait for it or choose another --name") from None
            if copy_of is None and (runs / name).exists():
                raise RunError(f"there is a run {name} in {runs} already; choose another --name")
            writer = cls(runs, name, cls._folder(staging, name, resume=resume, anew=copy_of is not None), lock)
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
    found = [path for path in staging.iterdir() if pattern.fullmatch(path.name)] if staging.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.rpartition(".")[2]))


def _content(folder: Path) -> list[Path]:
    every = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in every if path.relative_to(folder).parts[0] not in _NOT_LISTED]


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
