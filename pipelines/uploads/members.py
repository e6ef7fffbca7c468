"""Zip and tar archives to their members, without trusting what they say of themselves."""

import bz2
import gzip
import io
import lzma
import mmap
import stat
import struct
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

from pipelines.errors import UploadError
from pipelines.uploads.limits import KIB, MIB, Limits, refusal, shown, size_text, too_dense, too_large, too_many

CHUNK: Final = 256 * KIB  # bytes read and written at a time
# Members -------------------------------------------------------------------------------------------------------------

Packing: TypeAlias = Literal["plain", "gzip", "bzip2", "xz", "zstd"]
Kind: TypeAlias = Literal["file", "folder", "link", "device", "sparse", "encrypted", "method", "unknown"]
_ADVICE: Final[dict[Kind, tuple[str, str, str]]] = {
    "link": ("ARCHIVE-LINK", "is a link", "Put the file itself in its place (tar: -h), pack again and upload."),
    "device": ("ARCHIVE-DEVICE", "is a device, a pipe or a socket", "Pack plain files only, and upload again."),
    "sparse": ("ARCHIVE-SPARSE", "is a sparse file", "Pack it without --sparse, and upload again."),
    "encrypted": ("ARCHIVE-ENCRYPTED", "is encrypted", "Pack it without a password, and upload again."),
    "method": ("ARCHIVE-METHOD", "is not packed by deflate", "Make a usual zip or a .tar.gz, and upload again."),
    "unknown": ("ARCHIVE-KIND", "is neither a file nor a folder", "Pack plain files only, and upload again."),
}
# Files that are archives inside and data all the same; none of them is ever unpacked.
_DATA: Final = (
    *(".npz", ".nii.gz", ".raw.gz", ".mgz", ".gii.gz", ".pt", ".pth", ".ckpt"),
    *(".docx", ".xlsx", ".pptx", ".odt", ".ods"),
)
_NESTED: Final = (
    *(".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz", ".tbz2", ".xz", ".txz", ".lzma", ".zst", ".tzst", ".lz4", ".z"),
    *(".7z", ".rar", ".cab", ".iso", ".jar", ".dmg", ".ar", ".cpio"),
)
PACKINGS: Final[Mapping[bytes, Packing]] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_MAGIC: Final = (*ZIP, b"PK\x07\x08", b"\x1f\x8b\x08", *list(PACKINGS)[1:], b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07")
_USTAR: Final = slice(257, 262)


@dataclass(frozen=True)
class Member:
    """One entry of an archive.

    name: as it stands there, with / between its parts. size: its bytes, as announced. packed: its bytes in the
    archive, None where that cannot be told. chunks: its content, at most `sink.CHUNK` bytes at a time, to be taken
    before the next member is asked for.
    """

    name: str
    kind: Kind
    size: int
    packed: int | None
    chunks: Callable[[], Iterator[bytes]]

    def check_kind(self) -> None:
        """Raise UploadError unless it is a plain file or a folder."""
        if self.kind not in ("file", "folder"):
            code, fault, advice = _ADVICE[self.kind]
            raise refusal(code, f"{shown(self.name)} {fault}", advice)

    def check_nested(self) -> None:
        """Raise UploadError when its name says that it is an archive."""
        name = self.name.casefold()
        if name.endswith(_NESTED) and not name.endswith(_DATA):
            raise _nested(self.name)

    def content(self) -> Iterator[bytes]:
        """Its chunks; raises UploadError when the first of them shows an archive that the name does not tell of."""
        honest = self.name.casefold().endswith(_DATA)
        for at, chunk in enumerate(self.chunks()):
            if at == 0 and not honest and (chunk.startswith(_MAGIC) or chunk[_USTAR] == b"ustar"):
                raise _nested(self.name)
            yield chunk


def _nested(name: str) -> UploadError:
    found = f"{shown(name)} is an archive inside the archive"
    return refusal("ARCHIVE-NESTED", found, "Unpack it, put its files in its place, pack again and upload.")


# Zip files -----------------------------------------------------------------------------------------------------------

_END: Final = struct.Struct("<4s4H2LH")  # end of the directory: …, bytes of the directory, where it begins, …
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_LOCATOR64: Final = 20  # bytes
_ENTRY: Final = struct.Struct("<4s24x3H12x")  # one entry of the directory: lengths of name, extra field and comment
_LOCAL: Final = 30  # bytes of a member's own header without its name
_LONGEST_COMMENT: Final = 65_536
_ENCRYPTED: Final = 0x1 | 0x40 | 0x2000  # flag bits: by password, strongly, with a hidden directory
_ENTRY_BYTES: Final = 512  # of the directory, for one member, on average: zipfile reads all of it at once
_DEVICES: Final = (stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK)


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
    mode = stat.S_IFMT(info.external_attr >> 16)
    if mode == stat.S_IFLNK or mode in _DEVICES:
        return "link" if mode == stat.S_IFLNK else "device"
    if info.flag_bits & _ENCRYPTED:
        return "encrypted"
    if name.endswith("/") or mode == stat.S_IFDIR:
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


# Tar files -----------------------------------------------------------------------------------------------------------

_HEADER_BYTES: Final = 256 * KIB  # what a member may have in headers: tarfile reads each of them whole
_GLOBAL_KEYS: Final = 64  # pax values that hold for all members: tarfile copies them for each
_XZ_MEMORY: Final = 160 * MIB  # for the dictionary; `xz -9` asks for 64 MiB
_TAIL: Final = MIB  # bytes after the end mark, for the checksum that follows them


class _XzStream(io.RawIOBase):
    """One or more xz streams, unpacked a bounded piece at a time and with bounded memory, which LZMAFile cannot do."""

    def __init__(self, raw: IO[bytes]) -> None:
        self._raw = raw
        self._ahead = b""
        self._unpacker = self._new()

    @staticmethod
    def _new() -> lzma.LZMADecompressor:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY)

    def read(self, size: int = -1) -> bytes:
        """At most size bytes; b"" at the end."""
        while True:
            if self._unpacker.eof:
                self._ahead = (self._unpacker.unused_data or self._raw.read(CHUNK)).lstrip(b"\0")  # padding
                if not self._ahead:
                    return b""
                self._unpacker = self._new()
            elif self._unpacker.needs_input and not self._ahead:
                self._ahead = self._raw.read(CHUNK)
                if not self._ahead:
                    raise EOFError("the end of the xz stream is missing")
            content = self._unpacker.decompress(self._ahead, size)
            self._ahead = b""
            if content:
                return content


class _Forward:
    """A stream that only goes forward, as tarfile's file: bounded reads, and a count of what came out of it."""

    def __init__(self, raw: IO[bytes], stream: Any, limits: Limits, archive_bytes: int) -> None:
        self.raw, self._stream, self._limits, self._archive_bytes = raw, stream, limits, archive_bytes
        self._at = 0
        self.headers_left: int | None = None  # bytes; None while content is read
        self.last = b""

    def tell(self) -> int:
        """Bytes that came out so far."""
        return self._at

    def read(self, size: int = -1) -> bytes:
        """Exactly size bytes unless the stream ends."""
        if self.headers_left is not None:
            self.headers_left -= size
            if size < 0 or self.headers_left < 0:
                found = f"the headers of a member are larger than {size_text(_HEADER_BYTES)}"
                raise refusal("ARCHIVE-HEADER", found, "Pack the files again with a usual program.")
        pieces, left = [], size
        while left > 0 and (piece := self._stream.read(min(left, CHUNK))):
            pieces.append(piece)
            left -= len(piece)
            self._at += len(piece)
        self._check()
        self.last = b"".join(pieces)
        return self.last

    def seek(self, offset: int) -> int:
        """Go on to a later byte, or to the end of the stream."""
        if offset < self._at:
            raise tarfile.ReadError("the archive goes backwards")
        while self._at < offset and (piece := self._stream.read(min(offset - self._at, CHUNK))):
            self._at += len(piece)
            self._check()
        return self._at

    def _check(self) -> None:
        """What is passed over has to be unpacked too."""
        limits = self._limits
        if self._at > limits.total_bytes + limits.entries * KIB + MIB:
            raise too_large(limits)
        if self._at > max(limits.ratio_from + MIB, limits.total_ratio * self._archive_bytes):
            raise too_dense(limits)


class TarReader:
    """The members of an open tar file, in its order; they can be asked for once."""

    listed = False

    def __init__(self, stream: _Forward, tar: Any) -> None:
        self._stream, self._tar = stream, tar

    @classmethod
    @contextmanager
    def open(cls, path: Path, limits: Limits, packing: Packing) -> Iterator["TarReader"]:
        """Read the first header."""
        with ExitStack() as stack:
            raw = stack.enter_context(path.open("rb"))
            stream = _Forward(raw, _unpacked(raw, packing, stack), limits, path.stat().st_size)
            stream.headers_left = _HEADER_BYTES
            tar: Any = tarfile.TarFile(fileobj=stream, mode="r")  # type: ignore[arg-type]
            yield cls(stream, stack.enter_context(tar))

    @property
    def position(self) -> int:
        """Bytes of the archive that were read so far."""
        return self._stream.raw.tell()

    def members(self) -> Iterator[Member]:
        """Each entry. Raises ReadError when the archive ends without its end mark."""
        stream, tar = self._stream, self._tar
        while True:
            stream.headers_left = _HEADER_BYTES
            info = tar.next()
            if info is None:
                break
            stream.headers_left = None
            tar.members = []  # else tarfile keeps each one
            if len(tar.pax_headers) > _GLOBAL_KEYS or info.size < 0:
                raise tarfile.ReadError("a header holds what no program writes")
            yield Member(info.name, _kind_in_tar(info), info.size, None, partial(self._chunks, info.size))
        # tarfile takes a broken header after the first for the end.
        if stream.last != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("the end of the archive is missing")

    def _chunks(self, size: int) -> Iterator[bytes]:
        left = size
        while left > 0:
            chunk = self._stream.read(min(left, CHUNK))
            if not chunk:
                raise tarfile.ReadError(f"{left} bytes are missing")
            left -= len(chunk)
            yield chunk

    def finish(self) -> None:
        """Read on to the checksum of the compression, if it is near."""
        self._stream.headers_left = None
        self._stream.seek(self._stream.tell() + _TAIL)


def _unpacked(raw: IO[bytes], packing: Packing, stack: ExitStack) -> Any:
    if packing == "gzip":
        return stack.enter_context(gzip.GzipFile(fileobj=raw))
    if packing == "bzip2":
        return stack.enter_context(bz2.BZ2File(raw))
    if packing == "xz":
        return _XzStream(raw)
    if packing == "zstd":
        import pyarrow as pa

        return stack.enter_context(pa.CompressedInputStream(raw, "zstd"))
    return raw


def _kind_in_tar(info: tarfile.TarInfo) -> Kind:
    if info.issym() or info.islnk():
        return "link"
    if info.isdev():  # devices and pipes
        return "device"
    if info.issparse():
        return "sparse"
    if info.isdir():
        return "folder"
    return "file" if info.isreg() and info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else "unknown"
