"""A stranger's archive to a folder of plain files, or to one refusal that leaves nothing behind."""

import lzma
import os
import secrets
import shutil
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from pipelines.progress import Progress
from pipelines.uploads.limits import Limits, size_text
from pipelines.uploads.members import Member, Packing, Sink, TarReader, ZipReader, check_free, storing
from pipelines.uploads.names import Names, is_junk, parts_of, refusal

ARCHIVES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")
Reader: TypeAlias = ZipReader | TarReader

_PACKINGS: Final[tuple[tuple[bytes, Packing], ...]] = (
    (b"\x1f\x8b", "gzip"), (b"BZh", "bzip2"), (b"\xfd7zXZ\x00", "xz"), (b"\x28\xb5\x2f\xfd", "zstd"),
)  # fmt: skip
# What the readers raise on damage; zipfile alone has eight of them. What the disk refuses is told apart in `sink`.
_DAMAGE: Final = (
    zipfile.BadZipFile, zipfile.LargeZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error, EOFError,
    OSError, ValueError, NotImplementedError, RuntimeError, OverflowError, LookupError, TypeError, MemoryError,
    pa.ArrowException,
)  # fmt: skip
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
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return ZipReader.open(archive, limits)
    packing = next((name for magic, name in _PACKINGS if head.startswith(magic)), None)
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


def _unpack(reader: Reader, sink: Sink, progress: Progress) -> Unpacked:
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
        raise refusal("ARCHIVE-TOTAL-SIZE", found, "Take out what is not needed, or split it into several uploads.")


def _followed(member: Member, reader: Reader, progress: Progress) -> Generator[bytes, None, None]:
    for chunk in member.content():
        yield chunk
        progress.advance(max(reader.position - progress.state["done"], 0))
