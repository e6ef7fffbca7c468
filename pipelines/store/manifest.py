"""The manifest that makes a folder a run: which files it has, and whether they are still what they were.

A file is compared with the manifest when it is read, once for as long as its time and size stay the same: small files
and weights by their SHA-256; large parquet files by the SHA-256 of their footer, because every page of them carries a
checksum of its own that is verified on reading.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from datetime import datetime
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from pipelines.errors import NoSuchRun, RunError
from pipelines.schema import SCHEMA_VERSION
from pipelines.store import files
from pipelines.store.files import MANIFEST

WHOLE_BYTES: Final = 2**22  # parquet files up to this size are compared whole
_RECENT: Final = 10**8  # nanoseconds in which a file could change again without another time
_TAIL: Final = 8  # bytes behind a parquet footer: its length and the letters PAR1
_Stamp: TypeAlias = tuple[int, ...]


def _is_inside(path: str) -> str:
    if not path or "\0" in path or path.startswith("/") or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{path!r} is not a path inside the run")
    return path


def _is_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


_Sha256: TypeAlias = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Entry(BaseModel):
    """One file. path: inside the run. rows, footer_sha256: of parquet; runs of before the latter was kept lack it."""

    model_config = ConfigDict(frozen=True, strict=True)

    path: Annotated[str, AfterValidator(_is_inside)]
    bytes: Annotated[int, Field(ge=0)]
    sha256: _Sha256
    rows: int | None = None
    footer_sha256: _Sha256 | None = None


class _Manifest(BaseModel):
    """As much of a manifest as readers rely on."""

    model_config = ConfigDict(strict=True)

    created: Annotated[str, AfterValidator(_is_time)]
    data_fingerprint: str | None = None
    parents: list[dict[str, Any]] = []
    files: list[Entry]


def read_manifest(folder: Path) -> tuple[dict[str, Any], dict[str, Entry]]:
    """A run's manifest, and its files by their path.

    Raises NoSuchRun when there is none, RunError when it is damaged or of another version.
    """
    path = folder / MANIFEST
    with files.reading(path):
        if not path.is_file() and not os.path.lexists(path):  # a folder or broken link there is damage
            raise NoSuchRun(f"there is no run {folder.name} in {folder.parent}; see `python -m pipelines list`")
        manifest = files.read_object(path)
        if manifest.get("checksum") != files.checksum(manifest):
            raise RunError(f"the manifest of {folder.name} is damaged; {files.remedy(path)}")
        if manifest.get("schema_version") != SCHEMA_VERSION:
            raise RunError(
                f"{folder.name} has format {manifest.get('schema_version')}, this version reads {SCHEMA_VERSION}; "
                "make the run again or use the version that made it"
            )
        return manifest, {entry.path: entry for entry in _Manifest.model_validate(manifest).files}


def describe(folder: Path, path: Path) -> dict[str, Any]:
    """The entry of a file that is whole. Raises RunError when a parquet file is not."""
    files.sync_file(path)
    entry: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": files.sha256(path),
    }
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        with files.reading(path):
            entry["rows"] = pq.read_metadata(path).num_rows
            entry["footer_sha256"] = _footer_sha256(path)
    return entry


# Comparing ---------------------------------------------------------------------------------------------------------


def check(folder: Path, entries: Iterable[Entry]) -> None:
    """Raise RunError, which names the first file that is missing or not what the manifest says, and what to do."""
    for entry in entries:
        path = folder / entry.path
        with files.reading(path):
            whole = _is_unchanged(path, entry)
        if not whole:
            raise RunError(f"{files.name_of(path)} has changed since the run was made; {files.remedy(path)}")


def check_source(path: Path) -> None:
    """Compare a file or folder that lies in a run with that run's manifest before something is made from it.

    What lies in no run passes. Raises RunError as `check` does.
    """
    run = _folder_of_run(path)
    if run is not None:
        inside = path.resolve().relative_to(run)
        check(run, [entry for entry in read_manifest(run)[1].values() if Path(entry.path).is_relative_to(inside)])


def run_of(path: Path) -> dict[str, Any] | None:
    """What tells the run that a file or folder lies in from all others: name, created, checksum; None outside of runs.

    Raises RunError when its manifest is damaged.
    """
    run = _folder_of_run(path)
    return None if run is None else identity(read_manifest(run)[0])


def identity(manifest: dict[str, Any]) -> dict[str, Any]:
    """What tells a run from all others, even after a rename."""
    return {name: manifest.get(name) for name in ("name", "created", "checksum")}


def _folder_of_run(path: Path) -> Path | None:
    path = path.resolve()
    return next((folder for folder in (path, *path.parents) if _is_run(folder)), None)


def _is_run(folder: Path) -> bool:
    """Whether there is a manifest of ours, whole or damaged: other programs have a manifest.json too."""
    try:
        return b'"schema_version"' in (folder / MANIFEST).read_bytes()
    except OSError:
        return False


def _is_unchanged(path: Path, entry: Entry) -> bool:
    stat = path.stat()
    if stat.st_size != entry.bytes:
        return False
    if path.suffix != ".parquet" or entry.bytes <= WHOLE_BYTES:
        return _remembered(files.sha256, path, stat) == entry.sha256
    return entry.footer_sha256 in (None, _remembered(_footer_sha256, path, stat))


def _footer_sha256(path: Path) -> str:
    """SHA-256, hex, of a parquet file's footer with its length."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        length = int.from_bytes(file.read(4), "little") + _TAIL
        file.seek(max(0, size - length))
        return hashlib.sha256(file.read()).hexdigest()


def _remembered(digest: Any, path: Path, stat: os.stat_result) -> str:
    """A digest, made once for as long as the file's times and size stay the same.

    A file that was written a moment ago could be written again without getting another time: it is not remembered.
    """
    stamp = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if time.time_ns() - max(stat.st_mtime_ns, stat.st_ctime_ns) < _RECENT:
        return str(digest(path))
    return _digest(digest, path, stamp)


@lru_cache(maxsize=2**14)
def _digest(digest: Any, path: Path, _stamp: _Stamp) -> str:
    return str(digest(path))
