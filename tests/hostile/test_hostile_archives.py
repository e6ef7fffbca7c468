"""Thousands of archives made to break the unpacking: each is unpacked within the limits, or leaves nothing behind."""

import io
import os
import random
import resource
import shutil
import stat
import tarfile
import tracemalloc
import zipfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from fuzzing import trials
from hostile.packing import DEVICE, FIFO, LINK, Entry, forged_tar, padded, tar_bytes, tar_member, zip_bytes

from pipelines.errors import UploadError
from pipelines.uploads import Limits, unpack

ARCHIVES = trials(10_800)  # in all
PARTS = trials(12, 1)  # tests they are dealt to
MEASURED_EVERY = 25  # of these the memory is measured, which is slow
KIB, MIB = 1024, 1024**2
LIMITS = Limits(
    entries=60, file_bytes=128 * KIB, total_bytes=512 * KIB, file_ratio=100, total_ratio=60, ratio_from=32 * KIB,
    free_bytes=0,
)  # fmt: skip
MOST_MEMORY = 8 * MIB  # of Python while one is unpacked
MOST_GROWTH = 96 * MIB  # of the process over a thousand

ODD = [
    "../evil", "..", "/evil", "//evil/x", "C:/evil", "a/../../evil", "..\\evil", "a\\..\\..\\evil", "./evil", ".", "",
    "/", "a/", "a//b", "CON", "nul.txt", "a\0b", "a\nb", "a\u202eb", "Ａ.png", "a.png", "A.PNG", "ä.png", "a\u0308.png",
    "x" * 250, "d/" * 40 + "x", "a.zip", "a.tar.gz", "a.npz", "__MACOSX/._a", ".DS_Store", "a. ", "~/evil",
    "a.png/b", "-rf", "\udcff\udcfe", "ﬁ", "fi", "set/images/0.png", "set/IMAGES/0.png", "%2e%2e/evil", "\ufeffa",
]  # fmt: skip
EXTREME = [0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
MARKS = [
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"ustar",
    b"\x1f\x8b",
    b"BZh",
    b"\xfd7zXZ",
]


def content_of(rng):
    size = rng.choice([0, 1, 10, 511, 512, 513, 5000, 40_000])
    kind = rng.randrange(4)
    if kind == 0:
        return bytes(size)
    if kind == 1:
        return rng.randbytes(size)
    if kind == 2:
        return b"PK\x03\x04" + bytes(size)
    return b"text " * (size // 5)


def bombs(rng):
    return bytes(rng.choice([100_000, 200_000, 600_000]))


def name_of(rng):
    if rng.random() < 0.5:
        return f"set/images/{rng.randrange(20)}.png"
    name = rng.choice(ODD)
    return name if rng.random() < 0.7 else f"{rng.choice(ODD)}/{name}"


def made_zip(rng):
    """A zip whose headers say what they like."""
    entries = []
    for _ in range(rng.choice([0, 1, 2, 3, 8, 70])):
        name = name_of(rng).encode("utf-8", "replace").decode()
        one = Entry(name, bombs(rng) if rng.random() < 0.03 else content_of(rng))
        if rng.random() < 0.15:
            one.mode = rng.choice([LINK, FIFO, DEVICE, stat.S_IFSOCK, stat.S_IFDIR, 0, 0xFFFF])
        if rng.random() < 0.1:
            one.method = rng.choice([0, 0, 8, 9, 12, 14, 93, 97, 99])
        if rng.random() < 0.1:
            one.flags = rng.randrange(65_536)
        for field in ("said_size", "said_packed", "said_crc", "at"):
            if rng.random() < 0.04:
                setattr(one, field, rng.choice(EXTREME))
        if rng.random() < 0.04:
            one.local_name = rng.choice(["x", "../evil", ""])
        entries.append(one)
    return zip_bytes(
        entries, comment=rng.randbytes(rng.choice([0, 0, 0, 5, 300])), said_count=rng.choice([None] * 5 + EXTREME)
    )


def made_tar(rng):
    """A tar of any kind of member, in any packing."""
    members = []
    for _ in range(rng.choice([0, 1, 2, 3, 8, 70])):
        facts = {}
        if rng.random() < 0.15:
            facts["type"] = rng.choice([*(bytes([code]) for code in b"0123456789gxLKSVDNMAXZ"), b"\0", b"\xff"])
            facts["linkname"] = rng.choice(["/etc/passwd", "../evil", "set/images/1.png"])
        info, content = tar_member(name_of(rng), bombs(rng) if rng.random() < 0.03 else content_of(rng), **facts)
        if rng.random() < 0.1:
            key = rng.choice(
                ["path", "linkpath", "size", "GNU.sparse.map", "GNU.sparse.size", "GNU.sparse.major", "hdrcharset"]
            )
            info.pax_headers = {
                key: rng.choice(["../evil", "/evil", "-1", "99999999999999", "0,1", "1", "BINARY", "x" * 5000])
            }
        members.append((info, content))
    mode = rng.choice(["w", "w:gz", "w:bz2", "w:xz"])
    return tar_bytes(members, mode=mode, form=rng.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))


def forged(rng):
    """Tar headers by hand: sizes that lie, negative numbers, chains of headers."""
    blocks = []
    for _ in range(rng.randrange(1, 6)):
        info, content = tar_member(
            "set/a.png", content_of(rng)[:5000], type=rng.choice([b"0", b"x", b"g", b"L", b"K", b"S", b"5"])
        )
        info.size = rng.choice([len(content), len(content), 0, 1, 10**6, 10**11])
        block = bytearray(info.tobuf(tarfile.GNU_FORMAT))
        if rng.random() < 0.4:
            block[124:136] = rng.choice(
                [b"\xff" * 12, b"\x80" + b"\xff" * 11, b"-0000000001\0", b"77777777777\0", b"99999999999\0", b" " * 12]
            )
            block[148:156] = b"%06o\0 " % sum(block[:148] + b" " * 8 + block[156:])
        blocks.append(bytes(block) + padded(content))
    return forged_tar(*blocks)


def honest():
    """Archives that are all right, to be damaged."""
    files = {f"set/images/{number}.png": bytes([number]) * 600 for number in range(4)} | {"set/a.json": b"{}"}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    wide = io.BytesIO()
    with zipfile.ZipFile(wide, "w") as archive, archive.open("set/a.png", "w", force_zip64=True) as member:
        member.write(b"a" * 600)
    members = [tar_member(name, content) for name, content in files.items()]
    tars = [tar_bytes(members, mode=mode) for mode in ("w", "w:gz", "w:bz2", "w:xz")]
    gnu = tar_bytes([*members, tar_member("set/" + "n" * 180, b"long")], form=tarfile.GNU_FORMAT)
    return [file.getvalue(), wide.getvalue(), *tars, gnu, pa.Codec("zstd").compress(tars[0], asbytes=True)]


HONEST = honest()


def damaged(rng):
    """A whole archive with a part cut, flipped, doubled, overwritten or exchanged."""
    content = bytearray(rng.choice(HONEST))
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at, kind = rng.randrange(len(content) or 1), rng.randrange(6)
        if kind == 0:
            del content[at:]
        elif kind == 1 and content:
            content[min(at, len(content) - 1)] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del content[at : at + rng.randrange(1, 600)]
        elif kind == 3:
            content[at:at] = content[at : at + rng.randrange(1, 600)]
        elif kind == 4:  # a number in or near a header
            marks = [found for mark in MARKS if (found := content.find(mark, rng.randrange(len(content) or 1))) >= 0]
            at = (rng.choice(marks) if marks else at) + rng.randrange(4, 46)
            width = rng.choice([2, 4, 8])
            content[at : at + width] = rng.choice(EXTREME).to_bytes(8, "little")[:width]
        else:
            other = rng.choice(HONEST)
            content[at:] = other[rng.randrange(len(other)) :]
    return bytes(content)


FAMILIES = (made_zip, made_tar, forged, damaged, damaged)


def check_folder(folder):
    """Only plain files and folders, within the limits."""
    files = size = 0
    for place, folders, names in os.walk(folder):
        for name in folders:
            assert stat.S_ISDIR(os.lstat(os.path.join(place, name)).st_mode)
        for name in names:
            facts = os.lstat(os.path.join(place, name))
            assert stat.S_ISREG(facts.st_mode)
            assert stat.S_IMODE(facts.st_mode) == 0o644
            files, size = files + 1, size + facts.st_size
            assert facts.st_size <= LIMITS.file_bytes
    assert files <= LIMITS.entries
    assert size <= LIMITS.total_bytes
    return files, size


def code_of(message):
    """The code of a refusal that is one line and says what to do."""
    code, _, rest = message.partition(": ")
    found, _, advice = rest.partition(". Nothing was stored. ")
    assert message.isprintable()
    assert code.startswith("ARCHIVE-"), message  # refused by us, not by the disk
    assert found
    assert advice.endswith(".")
    assert len(message) < 500
    return code


def outcome(archive, target):
    """Its refusal's code, or "unpacked"; anything else that unpacking raises is a failure."""
    try:
        done = unpack(archive, target, limits=LIMITS)
    except UploadError as error:
        return code_of(str(error))
    assert check_folder(target) == (done.files, done.bytes)
    shutil.rmtree(target)
    return "unpacked"


@pytest.mark.parametrize("part", range(PARTS))
def test_hostile_archives_are_unpacked_within_limits_or_leave_nothing(part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a relative path that escapes shows here
    rng = random.Random(part)
    place = tmp_path / "a" / "b"
    place.mkdir(parents=True)
    archive, target = place / "archive", place / "data"
    grown_from, seen = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, Counter()
    for number in range(ARCHIVES // PARTS):
        archive.write_bytes(FAMILIES[number % len(FAMILIES)](rng))
        measured = number % MEASURED_EVERY == 0
        if measured:
            tracemalloc.start()
        try:
            seen[outcome(archive, target)] += 1
            if measured:
                assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
        finally:
            tracemalloc.stop()
        assert os.listdir(place) == ["archive"], f"part {part}, archive {number}"
    assert [str(path.relative_to(tmp_path)) for path in sorted(tmp_path.rglob("*"))] == ["a", "a/b", "a/b/archive"]
    assert not any(
        Path(name).exists() for name in ("/evil", "/tmp/evil", Path.home() / "evil", tmp_path.parent / "evil")
    )
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - grown_from) * KIB < MOST_GROWTH
    # The generator reaches both ends: what is whole is unpacked, and the refusals are of many kinds.
    assert seen["unpacked"] > 0
    assert len(seen) >= 12, seen
