"""Archives as no honest program writes them: every field can be set to what it should not be."""

import io
import stat
import struct
import tarfile
import zipfile
import zlib
from dataclasses import dataclass

LINK, FIFO, DEVICE = stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644


@dataclass
class Entry:
    """One member of `zip_bytes`. None: what is true."""

    name: str
    content: bytes = b"content"
    mode: int = stat.S_IFREG | 0o644
    method: int = zipfile.ZIP_DEFLATED
    flags: int = 0x800
    said_size: int | None = None
    said_packed: int | None = None
    said_crc: int | None = None
    local_name: str | None = None
    at: int | None = None


def zip_bytes(entries, *, comment=b"", said_count=None):
    """A zip file, its headers written by hand."""
    body, directory = io.BytesIO(), io.BytesIO()
    for one in entries:
        packed = one.content
        if one.method == zipfile.ZIP_DEFLATED:
            packer = zlib.compressobj(9, zlib.DEFLATED, -15)
            packed = packer.compress(one.content) + packer.flush()
        crc = zlib.crc32(one.content) if one.said_crc is None else one.said_crc
        size = len(one.content) if one.said_size is None else one.said_size
        packed_size = len(packed) if one.said_packed is None else one.said_packed
        local = (one.local_name if one.local_name is not None else one.name).encode()
        name = one.name.encode()
        offset = body.tell() if one.at is None else one.at
        fields = (20, one.flags, one.method, 0, 0x21, crc, packed_size, size)
        if one.at is None:
            body.write(struct.pack("<4s5H3L2H", b"PK\x03\x04", *fields, len(local), 0) + local + packed)
        directory.write(
            struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 0x0314, *fields, len(name), 0, 0, 0, 0, one.mode << 16, offset)
            + name
        )
    count = len(entries) if said_count is None else said_count
    start = body.tell()
    end = struct.pack(
        "<4s4H2LH", b"PK\x05\x06", 0, 0, count & 0xFFFF, count & 0xFFFF, directory.tell(), start, len(comment)
    )
    return body.getvalue() + directory.getvalue() + end + comment


def tar_member(name, content=b"content", **facts):
    """A header and its content; facts: fields of TarInfo."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for field, value in facts.items():
        setattr(info, field, value)
    return info, content


def tar_bytes(members, *, mode="w", form=tarfile.PAX_FORMAT):
    """A tar file, packed as the mode says."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode, format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return file.getvalue()


def forged_tar(*blocks):
    """Blocks of a tar file, with its end mark."""
    return b"".join(blocks) + bytes(1024)


def padded(content):
    """Filled up to whole blocks."""
    return content + bytes(-len(content) % 512)
