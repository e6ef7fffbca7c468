"""Uploads of many readers under one folder of runs: begun within a quota, told apart by owner, swept when old.

runs/.uploads/<id>/ holds upload.json (what is known of it), archive (while it comes and is unpacked), data/ (what was
in it), .in-use (locked by whoever works with the data) and log.txt of the process that unpacks it.
"""

import contextlib
import hmac
import os
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipelines.errors import UploadError
from pipelines.uploads.archives import ARCHIVES
from pipelines.uploads.limits import Quota, size_text
from pipelines.uploads.locks import UPLOADS, held
from pipelines.uploads.names import shown
from pipelines.uploads.record import ID, RECORD, Upload, age, load, new_folder
from pipelines.uploads.sink import check_free

_DAY: Final = 86_400.0  # seconds
_QUIET: Final = 60.0  # seconds without a byte after which an upload no longer keeps its owner from another
_STARTING: Final = 30.0  # seconds until the process that unpacks must hold its lock
_UNFINISHED_DAYS: Final = 1.0  # how long a broken transfer waits to be taken up again
_GONE: Final = ".gone-"
_KEY_BYTES: Final = 32


class Uploads:
    """The workspace of one folder of runs. Every look reads the disk anew, so several processes may share it."""

    def __init__(self, runs: Path, quota: Quota | None = None) -> None:
        self.folder = runs / UPLOADS
        self.quota = quota or Quota.from_environment()

    def begin(self, name: str, size: int, owner: str, *, kinds: Sequence[str] = ARCHIVES, stamp: str = "") -> Upload:
        """Make room for a file of so many bytes; the same file begun before and broken off is taken up again.

        kinds: endings that are welcome. stamp: the file's own time, to know it again by. Raises UploadError for a kind
        or size that is not allowed, a full quota or disk, or another transfer of this owner that is under way.
        """
        self._check_asked(name, size, kinds)
        with self.locked():
            self._sweep()
            for other in self.listed(owner):
                if other.state != "receiving":
                    continue
                if (other.name, other.bytes, other.stamp) == (name, size, stamp):
                    return other
                if age(other) < _QUIET:
                    raise UploadError(
                        "UPLOAD-BUSY: another upload of yours is under way. Wait for its end or cancel it."
                    )
                self._remove(other, wait=0.0)
            self._check_room(size)
            is_archive = name.casefold().endswith(ARCHIVES)
            made = Upload(
                new_folder(self.folder), owner, name, size, size, time.time(), is_archive=is_archive, stamp=stamp
            )
            return made.save()

    def _check_asked(self, name: str, size: int, kinds: Sequence[str]) -> None:
        if not name.casefold().endswith(tuple(kinds)):
            raise UploadError(f"UPLOAD-KIND: {shown(name)} is not one of {', '.join(kinds)}. Choose another file.")
        if not 0 < size <= self.quota.upload_bytes:
            most = size_text(self.quota.upload_bytes)
            raise UploadError(
                f"UPLOAD-SIZE: {shown(name)} has {size_text(size)}, an upload may have 1 byte to {most}. "
                "Split it, or put it on the server's disk and give its path."
            )

    def _check_room(self, size: int) -> None:
        used = self.used()
        if used + size > self.quota.all_bytes:
            raise UploadError(
                f"UPLOAD-QUOTA: uploads on this server take {size_text(used)} of {size_text(self.quota.all_bytes)}; "
                f"{size_text(size)} more do not fit. Delete an upload that is no longer needed, and try again."
            )
        check_free(self.folder, size + self.quota.free_bytes)

    def find(self, id: str, owner: str) -> Upload:
        """One upload of an owner; counts as a use. Raises UploadError when it is not there or somebody else's."""
        found = load(self.folder / id) if ID.fullmatch(id) else None
        if found is None or not hmac.compare_digest(found.owner.encode(), owner.encode()):
            raise UploadError("UPLOAD-UNKNOWN: there is no such upload, or it has been deleted. Upload the file again.")
        with contextlib.suppress(FileNotFoundError):
            os.utime(found.lock)
        return _with_life(found)

    def listed(self, owner: str) -> list[Upload]:
        """Uploads of an owner, newest first."""
        found = [one for one in self._all() if hmac.compare_digest(one.owner.encode(), owner.encode())]
        return [_with_life(one) for one in sorted(found, key=lambda one: one.created, reverse=True)]

    def used(self) -> int:
        """Bytes that count against the quota of all uploads: on disk, or promised to what is coming."""
        return sum(one.held for one in self._all())

    def remove(self, upload: Upload) -> None:
        """Delete an upload now. Raises UploadError while somebody works with it."""
        if not self._remove(upload, wait=5.0):
            raise UploadError(
                f"UPLOAD-IN-USE: {shown(upload.name)} is being used. Wait for the end of that work or cancel it, "
                "then delete."
            )

    def sweep(self) -> list[str]:
        """Delete what has not been used for the set number of days, unless it is in use now; returns the ids."""
        if not self.folder.is_dir():
            return []
        with self.locked():
            return self._sweep()

    def key(self) -> bytes:
        """A secret of this workspace, 32 bytes, made once; whoever can read it can upload in anybody's name."""
        place = self.folder / ".key"
        with self.locked():
            if not place.exists():
                temporary = self.folder / ".key.new"
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(_KEY_BYTES))
                os.replace(temporary, place)
            return place.read_bytes()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The workspace for oneself: for what must not happen twice at a time."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(self.folder / ".lock"):
            yield

    def _all(self) -> list[Upload]:
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return [one for folder in folders if ID.fullmatch(folder.name) and (one := load(folder)) is not None]

    def _sweep(self) -> list[str]:
        swept = []
        for folder in self.folder.iterdir():
            if folder.name.startswith(_GONE):  # a deletion that was cut short
                shutil.rmtree(folder, ignore_errors=True)
            elif ID.fullmatch(folder.name):
                upload = load(folder)
                if upload is None and _is_old(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                elif upload is not None and age(upload) > self._days(upload) * _DAY and self._remove(upload, wait=0.0):
                    swept.append(folder.name)
        return swept

    def _days(self, upload: Upload) -> float:
        return self.quota.days if upload.state == "ready" else min(_UNFINISHED_DAYS, self.quota.days)

    def _remove(self, upload: Upload, *, wait: float) -> bool:
        """Renamed first, so that nobody finds half of it."""
        if not upload.folder.is_dir():
            return True
        with held(upload.lock, wait=wait) as free:
            if not free:
                return False
            gone = self.folder / f"{_GONE}{secrets.token_hex(8)}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(upload.folder, gone)
            shutil.rmtree(gone, ignore_errors=True)
        return True


def _with_life(upload: Upload) -> Upload:
    """As it is, or as refused when the process that was to unpack it has died without a word."""
    if upload.state not in ("received", "unpacking") or not _is_old(upload.folder / RECORD, seconds=_STARTING):
        return upload
    with held(upload.lock, wait=0.0) as free:
        if not free:
            return upload
    now = load(upload.folder) or upload  # it may have ended while we looked
    if now.state not in ("received", "unpacking"):
        return now
    message = "UNPACK-DIED: the process that unpacked the archive has ended without a word. Delete it and upload again."
    return replace(now, state="refused", message=message)


def _is_old(path: Path, *, seconds: float = 3600.0) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > seconds
    return False
