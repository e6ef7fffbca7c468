"""A tar file, plain or compressed, to its members, read once from front to back."""

import bz2
import gzip
import io
import lzma
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, Any, Final, Literal, TypeAlias

import pyarrow as pa

from pipelines.uploads.limits import KIB, MIB, Limits, size_text
from pipelines.uploads.members import Kind, Member
from pipelines.uploads.names import refusal
from pipelines.uploads.sink import CHUNK

Packing: TypeAlias = Literal["plain", "gzip", "bzip2", "xz", "zstd"]

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
            found = f"the archive unpacks to more than {size_text(limits.total_bytes)}"
            raise refusal("ARCHIVE-TOTAL-SIZE", found, "Take out what is not needed, or split it into several uploads.")
        if self._at > max(limits.ratio_from + MIB, limits.total_ratio * self._archive_bytes):
            found = f"the archive unpacks to more than {limits.total_ratio:g} times its own size"
            raise refusal(
                "ARCHIVE-RATIO", found, "Pack the data without its large empty parts, or without compression."
            )


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
            yield Member(info.name, _kind(info), info.size, None, partial(self._chunks, info.size))
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
        return stack.enter_context(pa.CompressedInputStream(raw, "zstd"))
    return raw


def _kind(info: tarfile.TarInfo) -> Kind:
    if info.issym() or info.islnk():
        return "link"
    if info.isdev():  # devices and pipes
        return "device"
    if info.issparse():
        return "sparse"
    if info.isdir():
        return "folder"
    return "file" if info.isreg() and info.type in (tarfile.REGTYPE, tarfile.AREGTYPE) else "unknown"
