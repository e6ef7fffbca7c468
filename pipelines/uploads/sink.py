"""Members of an archive to files in a staging folder, counted while they are written."""

import errno
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipelines.uploads.limits import KIB, MIB, Limits, size_text
from pipelines.uploads.names import Names, refusal, shown, too_many

CHUNK: Final = 256 * KIB  # bytes read and written at a time
_BLOCK: Final = 4 * KIB  # bytes: what even a folder or a file of one byte takes on the disk
_LOOK_EVERY: Final = 32 * MIB  # bytes between two looks at the free disk
_SMALLER: Final = "Take out what is not needed, or split it into several uploads."
_BOMB: Final = "Pack the data without its large empty parts, or pack it without compression."
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@dataclass
class Sink:
    """Where members are written, and what they have come to so far.

    folder: exists, is empty and belongs to nobody else. archive_bytes: size of the archive, for the ratio.
    members: of whatever kind. files, size: of what was written, size in bytes.
    """

    folder: Path
    limits: Limits
    archive_bytes: int
    members: int = 0
    files: int = 0
    size: int = 0
    _looked: int = -1

    def __post_init__(self) -> None:
        """Nothing is written yet."""
        self._names = Names(self.limits.entries)

    @property
    def on_disk(self) -> int:
        """Bytes it takes there, at most."""
        return self.size + len(self._names) * _BLOCK

    def count(self) -> None:
        """One more member, of whatever kind."""
        self.members += 1
        if self.members > self.limits.entries:
            raise too_many(self.limits.entries)

    def make_folder(self, parts: tuple[str, ...]) -> None:
        """A folder, which may be there already."""
        self._make(self._names.add(parts, folder=True))

    def write(self, parts: tuple[str, ...], chunks: Iterable[bytes], *, packed: int | None) -> int:
        """A new file; returns its bytes. packed: its bytes in the archive, where they can be told."""
        self._make(self._names.add(parts, folder=False))
        name, written = "/".join(parts), 0
        # O_EXCL and O_NOFOLLOW: what is opened here is new, whatever has gone wrong before.
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with storing(name):
            handle = os.open(self.folder.joinpath(*parts), flags, 0o600)
        try:
            for chunk in chunks:
                written += len(chunk)
                self.size += len(chunk)
                self._check(name, written, packed)
                with storing(name):
                    write_all(handle, chunk)
            with storing(name):
                os.fchmod(handle, 0o644)
        finally:
            os.close(handle)
        self.files += 1
        return written

    def _make(self, folders: list[str]) -> None:
        for folder in folders:
            with storing(folder):
                os.mkdir(self.folder / folder)
                os.chmod(self.folder / folder, 0o755)  # whatever the umask
        self._check_total()  # empty files take room too

    def _check(self, name: str, written: int, packed: int | None) -> None:
        limits = self.limits
        if written > limits.file_bytes:
            found = f"{shown(name)} is larger than {size_text(limits.file_bytes)}"
            raise refusal("ARCHIVE-FILE-SIZE", found, "Split it, or take it out.")
        self._check_total()
        if packed is not None and written > max(limits.ratio_from, limits.file_ratio * packed):
            found = f"{shown(name)} unpacks to more than {limits.file_ratio:g} times its size in the archive"
            raise refusal("ARCHIVE-RATIO", found, _BOMB)
        if self.size > max(limits.ratio_from, limits.total_ratio * self.archive_bytes):
            found = f"the archive unpacks to more than {limits.total_ratio:g} times its own size"
            raise refusal("ARCHIVE-RATIO", found, _BOMB)
        if self.size > self._looked:
            check_free(self.folder, limits.free_bytes + _LOOK_EVERY)
            self._looked = self.size + _LOOK_EVERY

    def _check_total(self) -> None:
        if self.on_disk > self.limits.total_bytes:
            found = f"the archive unpacks to more than {size_text(self.limits.total_bytes)}"
            raise refusal("ARCHIVE-TOTAL-SIZE", found, _SMALLER)


def write_all(handle: int, content: bytes) -> None:
    """All of the content to an open file, at its position."""
    left = memoryview(content)
    while left:
        left = left[os.write(handle, left) :]


def check_free(folder: Path, wanted: int) -> None:
    """Raise UploadError unless the disk of the folder has so many bytes free."""
    free = shutil.disk_usage(folder).free
    if free < wanted:
        found = f"the server's disk has {size_text(free)} free, {size_text(wanted)} are needed"
        raise refusal("DISK-FULL", found, "Ask whoever runs the server to make room, then upload again.")


@contextmanager
def storing(name: str) -> Iterator[None]:
    """Say what the disk refused, and of what."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            found, advice = "the server's disk is full", "Ask whoever runs the server to make room"
            raise refusal("DISK-FULL", found, f"{advice}, then upload again.") from None
        found = f"{shown(name)} could not be stored ({error.strerror})"
        raise refusal("STORE-FAILED", found, "Ask whoever runs the server to look at its disk.") from None
