"""Names held against other processes, and folders renamed so that it lasts."""

import fcntl
import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pipelines.errors import NoSuchRun, RunError
from pipelines.storage import files
from pipelines.storage.places import STAGING

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
