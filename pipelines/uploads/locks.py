"""Locks on files, freed by the system when their holder ends.

flock, not lockf: a server's threads must exclude each other too, and a job's children keep its data in use.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines.errors import UploadError

UPLOADS: Final = ".uploads"
_PAUSE: Final = 0.05  # seconds between two tries


@contextmanager
def held(path: Path, *, shared: bool = False, wait: float | None = None) -> Iterator[bool]:
    """Hold the lock of a file, which is made if need be; yields whether it was got.

    wait: seconds to go on trying; None for as long as it takes. Where the folder has gone there is nothing to hold.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        yield False
        return
    try:
        yield _taken(handle, fcntl.LOCK_SH if shared else fcntl.LOCK_EX, wait)
    finally:
        os.close(handle)


def _taken(handle: int, kind: int, wait: float | None) -> bool:
    if wait is None:
        fcntl.flock(handle, kind)
        return True
    until = time.monotonic() + wait
    while True:
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= until:
                return False
            time.sleep(_PAUSE)


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Keep the upload that a path lies in from being deleted while the block runs; any other path is left alone.

    Counts as a use: the days to live begin anew. Raises UploadError when the upload has gone.
    """
    folder = upload_folder(path)
    if folder is None:
        yield
        return
    lock = folder / ".in-use"
    gone = UploadError("UPLOAD-GONE: these uploaded files have been deleted. Upload them again.")
    if not lock.exists():
        raise gone
    with held(lock, shared=True, wait=5.0) as got:
        if not got or not lock.exists():  # deleted while we waited
            raise gone
        os.utime(lock)
        yield
        os.utime(lock)


def upload_folder(path: Path) -> Path | None:
    """The upload's own folder that a path lies in; None for a path elsewhere."""
    resolved = path.resolve()
    return next((one for one in (resolved, *resolved.parents) if one.parent.name == UPLOADS), None)
