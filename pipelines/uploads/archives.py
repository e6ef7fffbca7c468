"""A stranger's archive to a folder of plain files, or to one refusal that leaves nothing behind."""

import errno
import lzma
import os
import secrets
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

from pipelines.progress import Progress
from pipelines.uploads.limits import (
    BOMB,
    KIB,
    MIB,
    SMALLER,
    Limits,
    Names,
    is_junk,
    parts_of,
    refusal,
    shown,
    size_text,
    too_dense,
    too_large,
    too_many,
)
from pipelines.uploads.members import PACKINGS, ZIP, Member, TarReader, ZipReader

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
Reader: TypeAlias = ZipReader | TarReader
# What the readers raise on damage; zipfile alone has eight of them. What the disk refuses is told apart in `storing`.
_DAMAGE: Final = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(OSError, ValueError, NotImplementedError, RuntimeError, OverflowError, LookupError, TypeError, MemoryError),
)
_PASSED_OVER: Final = 100  # names that are kept


@dataclass
class Unpacked:
    """What an archive came to.

    folder: where it lies now. files, bytes: of its content. on_disk: its bytes in whole blocks of the disk.
    passed_over: what operating systems leave behind, by name, the first hundred; passed_over_count: how many.
    """

    folder: Path
    files: int = 0
    bytes: int = 0
    on_disk: int = 0
    passed_over: list[str] = field(default_factory=list)
    passed_over_count: int = 0


def unpack(archive: Path, target: Path, *, limits: Limits | None = None, progress: Progress | None = None) -> Unpacked:
    """Unpack a zip or tar file, whatever its name says it is, into a new folder.

    target: must not exist; its parent must. The content is written beside it and renamed when it is whole.
    Files get mode 644, folders 755, both the time of unpacking; owners, links and attributes are not taken over.
    Raises UploadError for what is refused (docs/uploads.md lists it), Cancelled when asked to stop; then nothing stays.
    """
    limits = limits or Limits()
    if target.exists():
        raise refusal("STORE-FAILED", f"{target.name} is there already", "Choose a new folder.")
    check_free(target.parent, limits.free_bytes)
    staging = target.with_name(f".{target.name}.{secrets.token_hex(8)}.new")
    with storing(target.name):
        staging.mkdir()
    try:
        with _damage_told(), _opened(archive, limits) as reader:
            done = _unpack(reader, Sink(staging, limits, archive.stat().st_size), progress or Progress())
        with storing(target.name):
            staging.chmod(0o755)
            os.rename(staging, target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    done.folder = target
    return done


def root_of(folder: Path) -> Path:
    """Where the data begins: the one top folder when everything lies in it, else the folder itself.

    A folder inside that bears the same name once more, as some packers make it, is entered too.
    """
    found, name = folder, None
    while True:
        with os.scandir(found) as entries:
            inside = list(zip(range(2), entries, strict=False))
        if len(inside) != 1 or not inside[0][1].is_dir(follow_symlinks=False):
            return found
        entry = inside[0][1]
        if name not in (None, entry.name):
            return found
        found, name = found / entry.name, entry.name


def _opened(archive: Path, limits: Limits) -> AbstractContextManager[Reader]:
    with archive.open("rb") as file:
        head = file.read(512)
    if head.startswith(ZIP):
        return ZipReader.open(archive, limits)
    packing = next((name for magic, name in PACKINGS.items() if head.startswith(magic)), None)
    if packing is None and head[257:262] != b"ustar" and not _is_old_tar(head):
        found = "the file is neither a zip nor a tar archive"
        raise refusal("ARCHIVE-FORMAT", found, f"Upload one of {', '.join(ARCHIVES)}.")
    return TarReader.open(archive, limits, packing or "plain")


def _is_old_tar(head: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError):
        return False
    return True


@contextmanager
def _damage_told() -> Iterator[None]:
    """Any of the ways in which reading can fail, as one."""
    try:
        yield
    except _DAMAGE as error:
        text = " ".join(str(error).split()) or type(error).__name__
        found = f"the archive is damaged or incomplete ({text[:100]})"
        raise refusal(
            "ARCHIVE-DAMAGED", found, "Test it on your machine (unzip -t, tar -t), pack again and upload."
        ) from None


def _unpack(reader: Reader, sink: "Sink", progress: Progress) -> Unpacked:
    done = Unpacked(sink.folder)
    if reader.listed:
        _check_list(reader, sink.limits)
    with progress.stage("unpack", sink.archive_bytes):
        for member in reader.members():
            sink.count()
            parts = _checked(member, sink.limits)
            if not parts:
                continue
            if is_junk(parts):
                done.passed_over_count += 1
                done.passed_over += ["/".join(parts)] if len(done.passed_over) < _PASSED_OVER else []
            elif member.kind == "folder":
                sink.make_folder(parts)
            else:
                # Closed at once: a suspended reader would hold the archive open for as long as an error is looked at.
                with closing(_followed(member, reader, progress)) as chunks:
                    sink.write(parts, chunks, packed=member.packed)
        reader.finish()
    if not sink.files:
        raise refusal(
            "ARCHIVE-EMPTY", "there is no file in the archive", "Pack the folder with your files, and upload again."
        )
    done.files, done.bytes, done.on_disk = sink.files, sink.size, sink.on_disk
    return done


def _checked(member: Member, limits: Limits) -> tuple[str, ...]:
    """Parts of the member's path, when all is well with what its header says."""
    parts = parts_of(member.name, limits)
    member.check_kind()
    if member.kind == "file":
        if not parts or member.name.endswith("/"):
            raise refusal("ARCHIVE-NAME", "a file in the archive has no name", "Pack the files again.")
        if not is_junk(parts):
            member.check_nested()
    return parts


def _check_list(reader: Reader, limits: Limits) -> None:
    """Refuse what the table of contents shows before anything is written; what it hides is found while unpacking."""
    names, size = Names(limits.entries), 0
    for member in reader.members():
        parts = _checked(member, limits)
        if not parts or is_junk(parts):
            continue
        names.add(parts, folder=member.kind == "folder")
        size += member.size
    if size > limits.total_bytes:
        found = f"the archive unpacks to {size_text(size)}, at most {size_text(limits.total_bytes)} are allowed"
        raise refusal("ARCHIVE-TOTAL-SIZE", found, SMALLER)


def _followed(member: Member, reader: Reader, progress: Progress) -> Generator[bytes, None, None]:
    for chunk in member.content():
        yield chunk
        progress.advance(max(reader.position - progress.state["done"], 0))


# Files as they are written --------------------------------------------------------------------------------------------

_BLOCK: Final = 4 * KIB  # bytes: what even a folder or a file of one byte takes on the disk
LOOK_EVERY: Final = 32 * MIB  # bytes between two looks at the free disk
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
            raise refusal("ARCHIVE-RATIO", found, BOMB)
        if self.size > max(limits.ratio_from, limits.total_ratio * self.archive_bytes):
            raise too_dense(limits)
        if self.size > self._looked:
            check_free(self.folder, limits.free_bytes + LOOK_EVERY)
            self._looked = self.size + LOOK_EVERY

    def _check_total(self) -> None:
        if self.on_disk > self.limits.total_bytes:
            raise too_large(self.limits)


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
