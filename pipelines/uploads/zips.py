"""A zip file to its members; what its directory claims is checked before any of it is believed."""

import mmap
import stat
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final

from pipelines.uploads.limits import MIB, Limits, size_text
from pipelines.uploads.members import Kind, Member
from pipelines.uploads.names import refusal, shown, too_many
from pipelines.uploads.sink import CHUNK

_END: Final = struct.Struct("<4s4H2LH")  # end of the directory: …, bytes of the directory, where it begins, …
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = 20  # bytes
_ENTRY: Final = struct.Struct("<4s24x3H12x")  # one entry of the directory: lengths of name, extra field and comment
_LOCAL: Final = 30  # bytes of a member's own header without its name
_LONGEST_COMMENT: Final = 65_536
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000  # flag bits: by password, strongly, with a hidden directory
_ENTRY_BYTES: Final = 512  # of the directory, for one member, on average: zipfile reads all of it at once
_KINDS: Final[dict[int, Kind]] = {
    stat.S_IFLNK: "link", stat.S_IFCHR: "device", stat.S_IFBLK: "device", stat.S_IFIFO: "device",
    stat.S_IFSOCK: "device",
}  # fmt: skip


class ZipReader:
    """The members of an open zip file, in the order of its directory; they can be asked for more than once."""

    listed = True  # all names are known before any content is read

    def __init__(self, file: zipfile.ZipFile) -> None:
        self._file = file
        self._done = 0

    @classmethod
    @contextmanager
    def open(cls, path: Path, limits: Limits) -> Iterator["ZipReader"]:
        """Read the directory. Raises UploadError when it is too large or its members overlap."""
        _check_directory(path, limits)
        with zipfile.ZipFile(path) as file:
            _check_overlap(file)
            yield cls(file)

    @property
    def position(self) -> int:
        """Bytes of the archive that were read so far."""
        return self._done

    def members(self) -> Iterator[Member]:
        """Each entry of the directory, with / for the backslashes that some packers for Windows write."""
        self._done = 0
        for info in self._file.infolist():
            # `filename` was cut at a NUL; the original is what the archive says.
            name = info.orig_filename.replace("\\", "/")
            yield Member(name, _kind(info, name), info.file_size, info.compress_size, partial(self._chunks, info))
            self._done += info.compress_size

    def _chunks(self, info: zipfile.ZipInfo) -> Iterator[bytes]:
        read = 0
        with self._file.open(info) as source:
            while chunk := source.read(CHUNK):
                read += len(chunk)
                yield chunk
        if read != info.file_size:
            raise zipfile.BadZipFile(f"{info.file_size} bytes were announced, {read} came")

    def finish(self) -> None:
        """Nothing is left to read after the last member."""


def _kind(info: zipfile.ZipInfo, name: str) -> Kind:
    special = _KINDS.get(stat.S_IFMT(info.external_attr >> 16))
    if special is not None:
        return special
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    if name.endswith("/") or stat.S_ISDIR(info.external_attr >> 16):
        return "folder"
    # Others unpack without a bound on what one read brings.
    return "file" if info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) else "method"


def _check_directory(path: Path, limits: Limits) -> None:
    """Walk the directory without storing it: zipfile would read all of it, whatever its size."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        end, size = _directory(content)
        if size > limits.entries * _ENTRY_BYTES + MIB:
            found = f"the archive's table of contents has {size_text(size)}"
            raise refusal("ARCHIVE-COUNT", found, "Pack fewer files, with shorter names and without comments.")
        at, count = end - size, 0
        while at < end:
            mark, *lengths = _ENTRY.unpack_from(content, at)
            if mark != b"PK\x01\x02":
                raise zipfile.BadZipFile("the table of contents is broken")
            at, count = at + _ENTRY.size + sum(lengths), count + 1
            if count > limits.entries:
                raise too_many(limits.entries)


def _directory(content: mmap.mmap) -> tuple[int, int]:
    """Where the directory ends and how many bytes it has, found as zipfile finds it."""
    last = len(content) - _END.size
    plain = last >= 0 and content[last : last + 4] == b"PK\x05\x06" and content[-2:] == b"\0\0"
    at = last if plain else content.rfind(b"PK\x05\x06", max(last - _LONGEST_COMMENT, 0))
    if at < 0:
        raise zipfile.BadZipFile("the end of the archive is missing")
    size, end = _END.unpack_from(content, at)[5], at
    at64 = at - _LOCATOR64 - _END64.size
    marks = content[at - _LOCATOR64 : at - _LOCATOR64 + 4], content[at64 : at64 + 4]
    if at64 >= 0 and marks == (b"PK\x06\x07", b"PK\x06\x06"):
        size, end = _END64.unpack_from(content, at64)[8], at64
    if size > end:
        raise zipfile.BadZipFile("the table of contents is larger than the archive")
    return end, size


def _check_overlap(file: zipfile.ZipFile) -> None:
    """Members that share bytes make a small archive unpack to any size."""
    before = 0
    for info in sorted(file.infolist(), key=lambda one: one.header_offset):
        if info.header_offset < before:
            found = f"{shown(info.orig_filename)} shares its bytes with another member"
            raise refusal("ARCHIVE-OVERLAP", found, "Pack the files again with a usual program.")
        before = info.header_offset + _LOCAL + len(info.orig_filename) + info.compress_size
    if before > file.start_dir:
        raise zipfile.BadZipFile("members reach into the table of contents")
