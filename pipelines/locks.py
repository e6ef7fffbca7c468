"""Locks on files, freed by the system however their holder ends. The standard library suffices where there is fcntl.

POSIX locks (`lockf`), not `flock`: a forked child, such as a data loader, does not hold them, and whoever only
asks needs no right to write (docs/adr/0004-job-queue.md). They tell processes apart, not the threads of one.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows: filelock's locks, which are loaded where they are needed
    fcntl = None  # type: ignore[assignment]


def take(path: Path, *, wait: bool) -> Any:
    """Something to `close`, which frees the lock; None when another process has it and there is to be no waiting."""
    if fcntl is None:
        return _take_elsewhere(path, wait=wait)
    file = path.open("ab")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        file.close()
        return None
    return file


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Wait for a lock and hold it while the block runs."""
    lock = take(path, wait=True)
    try:
        yield
    finally:
        lock.close()


def is_held(path: Path) -> bool:
    """Whether another process holds a lock. Never to be asked by the process that holds it: closing the file frees it.

    Those who ask take a shared lock for a moment, so that they never take each other for a holder.
    """
    if not path.exists():
        return False
    if fcntl is None:
        lock = _take_elsewhere(path, wait=False)
        if lock is not None:
            lock.close()
        return lock is None
    try:
        with path.open("rb") as file:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def _take_elsewhere(path: Path, *, wait: bool) -> Any:
    import filelock

    lock = filelock.FileLock(path)
    try:
        lock.acquire(timeout=-1 if wait else 0)
    except filelock.Timeout:
        return None
    lock.close = lock.release  # type: ignore[attr-defined]
    return lock
