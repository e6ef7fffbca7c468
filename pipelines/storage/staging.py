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

import pyarrow.parquet as pq

from pipelines.errors import NoSuchRun, RunError
from pipelines.schema import SCHEMA_VERSION
from pipelines.storage import files
from pipelines.storage.places import MANIFEST, STAGING, TRASH, check_name, checksum

_NOT_LISTED: Final = ("checkpoints", MANIFEST, "progress.json")
_PACKAGES: Final = ("torch", "torchvision", "segmentation_models_pytorch", "numpy", "pandas", "pyarrow", "scikit-learn")


class RunWriter:
    """A run being made under .staging/<run>.<attempt>; nothing is visible under runs/<run> before `commit`."""

    def __init__(self, runs: Path, name: str, folder: Path, lock: IO[str]) -> None:
        self.runs, self.name, self.folder, self._lock = runs, name, folder, lock

    @classmethod
    @contextmanager
    def open(cls, runs: Path, name: str, *, resume: bool = False, copy_of: Path | None = None) -> Iterator["RunWriter"]:
        """Take the run's name and a staging folder: a new one, the newest one (resume) or one linked to a whole run.

        Raises RunError when another process is writing this run, or the name is taken.
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
            yield cls(runs, name, cls._folder(staging, name, resume=resume, copy_of=copy_of), lock)

    @staticmethod
    def _folder(staging: Path, name: str, *, resume: bool, copy_of: Path | None) -> Path:
        attempts = staged_attempts(staging.parent, name)
        if resume and copy_of is None:
            if not attempts:
                raise NoSuchRun(f"there is nothing to resume under the name {name}; start it without --resume")
            return attempts[-1]
        number = int(attempts[-1].name.rpartition(".")[2]) + 1 if attempts else 1
        folder = staging / f"{name}.{number}"
        if copy_of is None:
            folder.mkdir()
        else:  # files of a whole run are never changed in place, so links will do
            shutil.copytree(copy_of, folder, copy_function=os.link)
            (folder / MANIFEST).unlink()
        return folder

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
            "files": [_entry(self.folder, path) for path in _content(self.folder)],
        }
        manifest["checksum"] = checksum(manifest)
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


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    files.sync_file(path)
    entry: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": files.sha256(path),
    }
    if path.suffix == ".parquet":
        entry["rows"] = pq.read_metadata(path).num_rows
    return entry


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"
