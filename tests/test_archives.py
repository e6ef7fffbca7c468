"""Archives from strangers: what is refused, one test for each danger, and what a usual archive becomes."""

import bz2
import errno
import gzip
import lzma
import os
import stat
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from dataclasses import replace

import pyarrow as pa
import pytest
from hostile.packing import DEVICE, FIFO, LINK, Entry, forged_tar, padded, tar_bytes, tar_member, zip_bytes
from places import REPO

from pipelines.errors import Cancelled, UploadError
from pipelines.progress import Progress
from pipelines.uploads import Limits, archives, root_of, unpack

KIB, MIB = 1024, 1024**2
SMALL = Limits(
    entries=50, file_bytes=MIB, total_bytes=4 * MIB, file_ratio=50, total_ratio=30, ratio_from=64 * KIB, free_bytes=0
)


def packed(content, tmp_path, name="archive"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def refused(content, tmp_path, code, limits=SMALL):
    """The refusal, having made sure that nothing is left of the archive's content."""
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    archive = packed(content, tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(UploadError) as caught:
        unpack(archive, place / "data", limits=limits)
    message = str(caught.value)
    assert message.startswith(f"{code}: "), message
    assert "Nothing was stored. " in message
    assert "\n" not in message
    assert message.partition("Nothing was stored. ")[2].endswith(".")  # what to do
    assert snapshot(tmp_path) == before
    return message


def taken(content, tmp_path, limits=SMALL):
    place = tmp_path / "place"
    place.mkdir(exist_ok=True)
    done = unpack(packed(content, tmp_path), place / "data", limits=limits)
    assert [path.name for path in place.iterdir()] == ["data"]
    return done


def snapshot(folder):
    return sorted(str(path) for path in folder.rglob("*"))


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


FILES = {"set/images/a.png": b"a" * 3000, "set/images/b.png": b"", "set/classes.json": b"{}", "set/Ünï ✓.txt": b"x"}


def honest_zip(files=FILES, **options):
    import io

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return file.getvalue()


def honest_tar(mode="w", form=tarfile.PAX_FORMAT, files=FILES):
    return tar_bytes([tar_member(name, content) for name, content in files.items()], mode=mode, form=form)


def zstd(content):
    return pa.Codec("zstd").compress(content, asbytes=True)


# What usual programs make -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        honest_zip(),
        honest_zip(strict_timestamps=False),
        honest_tar(),
        honest_tar(form=tarfile.GNU_FORMAT),
        honest_tar("w:gz"),
        honest_tar("w:bz2"),
        honest_tar("w:xz"),
        zstd(honest_tar()),
        gzip.compress(honest_tar()[:1024]) + gzip.compress(honest_tar()[1024:]),
        lzma.compress(honest_tar()[:1024]) + bytes(4) + lzma.compress(honest_tar()[1024:]),
        bz2.compress(honest_tar()[:1024]) + bz2.compress(honest_tar()[1024:]),
    ],
    ids=["zip", "zip-2", "tar", "tar-gnu", "gz", "bz2", "xz", "zst", "gz-in-parts", "xz-in-parts", "bz2-in-parts"],
)
def test_a_usual_archive_is_unpacked_byte_for_byte(content, tmp_path):
    done = taken(content, tmp_path)
    assert contents(done.folder) == FILES
    assert (done.files, done.bytes) == (4, 3003)
    assert root_of(done.folder) == done.folder / "set"


@pytest.mark.parametrize("command", [["tar", "-cf"], ["tar", "-czf"], ["tar", "-cJf"], ["tar", "--format=v7", "-cf"]])
def test_archives_of_the_systems_own_tar_are_read(command, tmp_path):
    source = tmp_path / "source" / "set"
    (source / "images").mkdir(parents=True)
    (source / "images" / "a.png").write_bytes(b"a" * 5000)
    archive = tmp_path / "made"
    subprocess.run([*command, str(archive), "-C", str(source.parent), "."], check=True)
    done = unpack(archive, tmp_path / "data", limits=SMALL)
    assert contents(done.folder) == {"set/images/a.png": b"a" * 5000}


def test_a_long_name_in_pax_and_gnu_headers_is_read(tmp_path):
    name = f"set/{'n' * 200}/{'m' * 200}.png"
    for at, form in enumerate((tarfile.PAX_FORMAT, tarfile.GNU_FORMAT)):
        (tmp_path / str(at)).mkdir()
        assert contents(taken(honest_tar(form=form, files={name: b"x"}), tmp_path / str(at)).folder) == {name: b"x"}


def test_a_file_of_zip64_is_read(tmp_path):
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w") as archive, archive.open("a.png", "w", force_zip64=True) as file:
        file.write(b"a" * 70_000)
    assert contents(unpack(path, tmp_path / "data", limits=SMALL).folder) == {"a.png": b"a" * 70_000}


def test_backslashes_of_old_packers_for_windows_part_folders(tmp_path):
    done = taken(zip_bytes([Entry("set\\images\\a.png")]), tmp_path)
    assert contents(done.folder) == {"set/images/a.png": b"content"}


def test_files_get_plain_permissions_whatever_the_archive_and_umask_say(tmp_path):
    before = os.umask(0o077)
    try:
        members = [tar_member("set/run.sh", mode=0o6777), tar_member("set/secret", mode=0)]
        folder = taken(tar_bytes(members), tmp_path).folder
    finally:
        os.umask(before)
    assert [stat.S_IMODE((folder / name).stat().st_mode) for name in ("set/run.sh", "set/secret")] == [0o644, 0o644]
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "set")] == [0o755, 0o755]


def test_what_operating_systems_leave_behind_is_passed_over_and_told(tmp_path):
    names = ["__MACOSX/set/._a.png", "set/.DS_Store", "set/Thumbs.db", "set/desktop.ini", "set/._b.png"]
    done = taken(honest_zip({"set/a.png": b"a"} | dict.fromkeys(names, b"junk")), tmp_path)
    assert contents(done.folder) == {"set/a.png": b"a"}
    assert done.passed_over == names
    assert done.passed_over_count == 5


def test_progress_ends_at_the_whole_archive_and_can_be_cancelled(tmp_path):
    progress = Progress()
    archive = packed(honest_tar(), tmp_path)
    unpack(archive, tmp_path / "data", limits=SMALL, progress=progress)
    assert progress.state["total"] == archive.stat().st_size
    assert 0 < progress.state["done"] <= progress.state["total"]
    progress.cancel()
    before = snapshot(tmp_path)
    with pytest.raises(Cancelled):
        unpack(archive, tmp_path / "other", limits=SMALL, progress=progress)
    assert snapshot(tmp_path) == before


def test_the_root_is_the_one_top_folder_if_there_is_one(tmp_path):
    for place, root in (("a/x", "a"), ("a/a/x", "a/a"), ("a/b/x", "a"), ("x", "."), ("a/a/a/a/b/c/x", "a/a/a/a")):
        folder = tmp_path / place.replace("/", "-")
        (folder / place).parent.mkdir(parents=True)
        (folder / place).write_bytes(b"")
        assert root_of(folder) == folder / root, place
    (tmp_path / "x" / "y").write_bytes(b"")
    assert root_of(tmp_path / "x") == tmp_path / "x"


def test_a_folder_of_that_name_is_never_written_into(tmp_path):
    (tmp_path / "data").mkdir()
    with pytest.raises(UploadError, match="is there already"):
        unpack(packed(honest_zip(), tmp_path), tmp_path / "data", limits=SMALL)


# Paths ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../evil.txt", "a/../../evil.txt", "a/../b", "..", "a/.."])
def test_a_path_outside_the_target_is_refused(name, tmp_path):
    for content in (zip_bytes([Entry(name)]), tar_bytes([tar_member(name)])):
        assert "leads out of" in refused(content, tmp_path, "ARCHIVE-PATH")


def test_a_windows_path_outside_the_target_is_refused(tmp_path):
    refused(zip_bytes([Entry("..\\evil.txt")]), tmp_path, "ARCHIVE-PATH")
    refused(zip_bytes([Entry("\\\\server\\share\\evil.txt")]), tmp_path, "ARCHIVE-PATH")
    refused(tar_bytes([tar_member("..\\evil.txt")]), tmp_path, "ARCHIVE-NAME")  # in a tar it is one odd name


@pytest.mark.parametrize("name", ["/etc/passwd", "//etc/passwd", "/"])
def test_an_absolute_path_is_refused(name, tmp_path):
    for content in (zip_bytes([Entry(name)]), tar_bytes([tar_member(name)])):
        refused(content, tmp_path, "ARCHIVE-PATH")


@pytest.mark.parametrize("name", ["C:/evil.txt", "c:evil.txt", "a/C:/evil.txt"])
def test_a_drive_letter_is_refused(name, tmp_path):
    for content in (zip_bytes([Entry(name)]), tar_bytes([tar_member(name)])):
        assert "drive letter" in refused(content, tmp_path, "ARCHIVE-PATH")


def test_a_name_that_the_local_header_spells_differently_is_refused(tmp_path):
    refused(zip_bytes([Entry("good.png", local_name="../../e")]), tmp_path, "ARCHIVE-DAMAGED")


# Links and devices ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["/etc/passwd", "../../x", "a.png"])
def test_a_symbolic_link_is_refused_wherever_it_leads(target, tmp_path):
    link = tar_member("link", b"", type=tarfile.SYMTYPE, linkname=target)
    refused(tar_bytes([tar_member("a.png"), link, tar_member("link/x")]), tmp_path, "ARCHIVE-LINK")
    refused(zip_bytes([Entry("link", target.encode(), LINK)]), tmp_path, "ARCHIVE-LINK")


def test_a_hard_link_is_refused(tmp_path):
    link = tar_member("link", b"", type=tarfile.LNKTYPE, linkname="a.png")
    refused(tar_bytes([tar_member("a.png"), link]), tmp_path, "ARCHIVE-LINK")


def test_a_device_is_refused(tmp_path):
    for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        refused(tar_bytes([tar_member("dev", b"", type=kind, devmajor=1, devminor=3)]), tmp_path, "ARCHIVE-DEVICE")
    refused(zip_bytes([Entry("dev", b"", DEVICE)]), tmp_path, "ARCHIVE-DEVICE")


def test_a_fifo_is_refused(tmp_path):
    refused(tar_bytes([tar_member("pipe", b"", type=tarfile.FIFOTYPE)]), tmp_path, "ARCHIVE-DEVICE")
    refused(zip_bytes([Entry("pipe", b"", FIFO)]), tmp_path, "ARCHIVE-DEVICE")


def test_a_sparse_file_is_refused(tmp_path):
    info, _ = tar_member("sparse", b"")
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": str(10**12), "GNU.sparse.numblocks": "1"}
    refused(tar_bytes([(info, b"")]), tmp_path, "ARCHIVE-SPARSE")
    source = tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(MIB)
        file.seek(MIB // 2)
        file.write(b"x" * 5000)
    subprocess.run(["tar", "-cSf", str(tmp_path / "made"), "-C", str(tmp_path), "source"], check=True)
    refused((tmp_path / "made").read_bytes(), tmp_path, "ARCHIVE-SPARSE")


def test_an_unknown_kind_of_member_is_refused(tmp_path):
    refused(tar_bytes([tar_member("odd", b"", type=b"Z")]), tmp_path, "ARCHIVE-KIND")


# Names ------------------------------------------------------------------------------------------------------------


def test_a_duplicate_name_is_refused(tmp_path):
    refused(zip_bytes([Entry("a.png"), Entry("a.png")]), tmp_path, "ARCHIVE-TWICE")
    refused(tar_bytes([tar_member("a.png"), tar_member("./a.png")]), tmp_path, "ARCHIVE-TWICE")
    refused(tar_bytes([tar_member("a"), tar_member("a/b")]), tmp_path, "ARCHIVE-TWICE")  # a file and a folder
    refused(tar_bytes([tar_member("a/b"), tar_member("a")]), tmp_path, "ARCHIVE-TWICE")


def test_a_folder_may_be_named_again(tmp_path):
    folder = tar_member("a", b"", type=tarfile.DIRTYPE)
    done = taken(tar_bytes([tar_member("a/b"), folder, folder]), tmp_path)
    assert contents(done.folder) == {"a/b": b"content"}


@pytest.mark.parametrize("names", [("a.png", "A.PNG"), ("a/x", "A/y"), ("straße", "STRASSE"), ("ΜΑΣ", "μας")])
def test_names_that_differ_in_case_alone_are_refused(names, tmp_path):
    for content in (zip_bytes([Entry(name) for name in names]), tar_bytes([tar_member(name) for name in names])):
        refused(content, tmp_path, "ARCHIVE-CASE")


def test_names_that_differ_in_unicode_form_alone_are_refused(tmp_path):
    names = [unicodedata.normalize(form, "Größe.png") for form in ("NFC", "NFD")]
    assert names[0] != names[1]
    for content in (zip_bytes([Entry(name) for name in names]), tar_bytes([tar_member(name) for name in names])):
        refused(content, tmp_path, "ARCHIVE-CASE")
    refused(zip_bytes([Entry("ﬁle"), Entry("file")]), tmp_path, "ARCHIVE-CASE")  # the ligature


@pytest.mark.parametrize("name", ["a\0.png", "a\nb.png", "a\x1b[31m.png", "a\x85b", "a\u2028b", "a\u202egnp.exe"])
def test_control_characters_in_a_name_are_refused_and_spelled_out(name, tmp_path):
    message = refused(zip_bytes([Entry(name)]), tmp_path, "ARCHIVE-NAME")
    assert message.isprintable()
    if "\0" not in name:  # a tar's name ends there
        refused(tar_bytes([tar_member(name)]), tmp_path, "ARCHIVE-NAME")


def test_a_name_that_is_not_utf8_is_refused(tmp_path):
    refused(tar_bytes([tar_member("a\udcff.png")]), tmp_path, "ARCHIVE-NAME")
    broken = zip_bytes([Entry("aaaa.png")]).replace(b"aaaa.png", b"aa\xff\xfe.png")
    refused(broken, tmp_path, "ARCHIVE-DAMAGED")


@pytest.mark.parametrize("name", ["CON", "con.png", "set/NUL.txt", "aux", "COM1", "lpt9.tif", "COM¹"])
def test_a_windows_device_name_is_refused(name, tmp_path):
    for content in (zip_bytes([Entry(name)]), tar_bytes([tar_member(name)])):
        assert "Windows" in refused(content, tmp_path, "ARCHIVE-NAME")


def test_names_that_only_resemble_device_names_are_taken(tmp_path):
    files = {"console.png": b"1", "a-con.png": b"2", "nullable": b"3", "COM10": b"4"}
    assert contents(taken(honest_zip(files), tmp_path).folder) == files


@pytest.mark.parametrize("name", ["a.", "a ", "set./a", "..."])
def test_a_name_whose_end_windows_drops_is_refused(name, tmp_path):
    refused(tar_bytes([tar_member(name)]), tmp_path, "ARCHIVE-NAME")


@pytest.mark.parametrize("name", ["n" * 241, "ä" * 121, "/".join(["d" * 100] * 11), "/".join("d" * 33)])
def test_an_overlong_name_is_refused(name, tmp_path):
    for content in (zip_bytes([Entry(name)]), tar_bytes([tar_member(name)])):
        assert len(refused(content, tmp_path, "ARCHIVE-NAME")) < 400


def test_a_file_without_a_name_is_refused(tmp_path):
    refused(zip_bytes([Entry("")]), tmp_path, "ARCHIVE-NAME")
    refused(tar_bytes([tar_member("./")]), tmp_path, "ARCHIVE-NAME")


# Surprises inside -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", [0x1, 0x40, 0x2000])
def test_an_encrypted_member_is_refused(flag, tmp_path):
    assert "password" in refused(zip_bytes([Entry("a.png", flags=flag)]), tmp_path, "ARCHIVE-ENCRYPTED")


@pytest.mark.parametrize("name", ["more.zip", "more.tar.gz", "more.TAR", "labels.7z", "masks.rar", "a.png.gz"])
def test_a_nested_archive_is_refused_by_its_name(name, tmp_path):
    for content in (zip_bytes([Entry(name)]), tar_bytes([tar_member(name)])):
        assert "Unpack it" in refused(content, tmp_path, "ARCHIVE-NESTED")


@pytest.mark.parametrize(
    "inner", [honest_zip(), honest_tar(), honest_tar("w:gz"), honest_tar("w:xz"), b"Rar!\x1a\x07\1"]
)
def test_a_nested_archive_in_disguise_is_refused_by_its_content(inner, tmp_path):
    refused(tar_bytes([tar_member("a.png", inner)]), tmp_path, "ARCHIVE-NESTED")
    refused(zip_bytes([Entry("a.png", inner, method=zipfile.ZIP_STORED)]), tmp_path, "ARCHIVE-NESTED")


def test_data_files_that_are_archives_inside_are_taken_and_never_unpacked(tmp_path):
    files = {"a.npz": honest_zip(), "b.nii.gz": gzip.compress(b"volume"), "c.pt": honest_zip()}
    files |= {
        "d.nrrd": b"NRRD0004",
        "d.raw.gz": gzip.compress(b"volume"),
        "e.mha": b"ObjectType",
        "f.dcm": bytes(128) + b"DICM",
    }
    assert contents(taken(honest_zip(files), tmp_path).folder) == files


def test_a_packing_method_without_bounded_reads_is_refused(tmp_path):
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = tmp_path / "made"
        with zipfile.ZipFile(path, "w", method) as archive:
            archive.writestr("a.png", b"x")
        refused(path.read_bytes(), tmp_path, "ARCHIVE-METHOD")


# Sizes ------------------------------------------------------------------------------------------------------------


def test_too_many_files_are_refused(tmp_path):
    names = [f"{number}.png" for number in range(51)]
    assert "50" in refused(zip_bytes([Entry(name) for name in names]), tmp_path, "ARCHIVE-COUNT")
    refused(tar_bytes([tar_member(name) for name in names]), tmp_path, "ARCHIVE-COUNT")
    taken(tar_bytes([tar_member(name) for name in names[:50]]), tmp_path)


def test_folders_that_names_imply_are_counted(tmp_path):
    deep = [tar_member(f"{number}/" + "/".join("abcdefghijklmnop") + "/x") for number in range(4)]  # 4 × 18
    refused(tar_bytes(deep), tmp_path, "ARCHIVE-COUNT")


def test_a_directory_that_denies_its_count_is_counted(tmp_path):
    entries = [Entry(f"{number}.png", b"") for number in range(51)]
    refused(zip_bytes(entries, said_count=1), tmp_path, "ARCHIVE-COUNT")


def test_a_table_of_contents_of_comments_is_refused_unread(tmp_path):
    content = bytearray(zip_bytes([Entry("a.png")]))
    directory = content.rfind(b"PK\x01\x02")
    entry, end = bytes(content[directory : directory + 51]), bytes(content[directory + 51 :])
    swollen = entry[:32] + (60_000).to_bytes(2, "little") + entry[34:] + bytes(60_000)
    end = end[:12] + (len(swollen) * 45).to_bytes(4, "little") + end[16:]
    refused(bytes(content[:directory]) + swollen * 45 + end, tmp_path, "ARCHIVE-COUNT")


def test_a_too_large_file_is_refused(tmp_path):
    large = os.urandom(MIB + 1)
    assert "1 MB" in refused(zip_bytes([Entry("a.npy", large)]), tmp_path, "ARCHIVE-FILE-SIZE")
    refused(tar_bytes([tar_member("a.npy", large)]), tmp_path, "ARCHIVE-FILE-SIZE")
    taken(tar_bytes([tar_member("a.npy", large[:-1])]), tmp_path)


def test_too_large_a_total_is_refused(tmp_path):
    part = os.urandom(MIB)
    refused(zip_bytes([Entry(f"{n}.npy", part) for n in range(4)]), tmp_path, "ARCHIVE-TOTAL-SIZE")  # and their blocks
    refused(tar_bytes([tar_member(f"{n}.npy", part) for n in range(4)]), tmp_path, "ARCHIVE-TOTAL-SIZE")
    taken(zip_bytes([Entry(f"{n}.npy", part) for n in range(3)]), tmp_path)


def test_empty_files_and_folders_take_room_too(tmp_path):
    members = [tar_member(f"{n}.png", b"") for n in range(10)]
    limits = replace(SMALL, total_bytes=9 * 4096)
    refused(tar_bytes(members), tmp_path, "ARCHIVE-TOTAL-SIZE", limits)
    assert taken(tar_bytes(members[:9]), tmp_path, limits).on_disk == 9 * 4096


def test_a_total_in_the_table_of_contents_is_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(archives.Sink, "write", lambda *_: pytest.fail("written"))
    entries = [Entry(f"{n}.npy", b"x", said_size=3 * MIB) for n in range(2)]
    refused(zip_bytes(entries), tmp_path, "ARCHIVE-TOTAL-SIZE")


def test_a_ratio_bomb_in_one_member_is_refused(tmp_path):
    noise = Entry("noise.npy", os.urandom(MIB))  # so that the ratio of the whole is harmless
    message = refused(zip_bytes([noise, Entry("bomb.npy", bytes(MIB))]), tmp_path, "ARCHIVE-RATIO")
    assert "bomb.npy" in message


def test_a_ratio_bomb_of_the_whole_is_refused(tmp_path):
    content = bytes(60 * KIB)  # each below where ratios are asked for
    refused(zip_bytes([Entry(f"{n}.npy", content) for n in range(45)]), tmp_path, "ARCHIVE-RATIO")
    for mode in ("w:gz", "w:bz2", "w:xz"):
        refused(tar_bytes([tar_member(f"{n}.npy", content) for n in range(45)], mode=mode), tmp_path, "ARCHIVE-RATIO")
    refused(zstd(tar_bytes([tar_member(f"{n}.npy", content) for n in range(45)])), tmp_path, "ARCHIVE-RATIO")


def test_a_bomb_in_what_is_passed_over_is_refused(tmp_path):
    members = [tar_member("a.png"), tar_member("__MACOSX/._bomb", bytes(3 * MIB)), tar_member("b.png")]
    refused(tar_bytes(members, mode="w:gz"), tmp_path, "ARCHIVE-RATIO")


def test_small_masks_of_one_class_may_be_packed_as_well_as_they_can(tmp_path):
    done = taken(honest_zip({"mask.npy": bytes(60 * KIB)}), tmp_path)  # 1000 to 1
    assert done.bytes == 60 * KIB


@pytest.mark.parametrize("said", [1, 10**6, 2**32 - 2])
def test_a_size_that_lies_is_refused(said, tmp_path):
    limits = Limits(free_bytes=0)
    refused(zip_bytes([Entry("a.npy", bytes(1000), said_size=said)]), tmp_path, "ARCHIVE-DAMAGED", limits)
    refused(zip_bytes([Entry("a.npy", bytes(1000), said_packed=said)]), tmp_path, "ARCHIVE-DAMAGED", limits)


def test_members_that_share_their_bytes_are_refused(tmp_path):
    bomb = [Entry("a.npy", bytes(60 * KIB)), *(Entry("a.npy", bytes(60 * KIB), at=0) for _ in range(40))]
    for number, entry in enumerate(bomb[1:]):
        entry.name = f"{number}.npy"
    refused(zip_bytes(bomb), tmp_path, "ARCHIVE-OVERLAP")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK])
def test_a_huge_header_is_refused_before_it_is_read(kind, tmp_path):
    info = tarfile.TarInfo("header")
    info.type, info.size = kind, MIB
    content = info.tobuf(tarfile.GNU_FORMAT) + bytes(MIB)
    refused(forged_tar(content, tar_member("a.png")[0].tobuf(), padded(b"content")), tmp_path, "ARCHIVE-HEADER")


def test_headers_without_end_are_refused(tmp_path):
    info = tarfile.TarInfo("header")
    info.type = tarfile.XHDTYPE
    record = b"12 a=bcdef\n\n"
    info.size = len(record)
    block = info.tobuf(tarfile.GNU_FORMAT) + padded(record)
    with pytest.raises(UploadError, match=r"ARCHIVE-(HEADER|DAMAGED): "):
        unpack(packed(forged_tar(block * 600), tmp_path), tmp_path / "data", limits=SMALL)


def test_values_for_all_members_that_pile_up_are_refused(tmp_path):
    blocks = []
    for number in range(70):
        info = tarfile.TarInfo("header")
        info.type = tarfile.XGLTYPE
        record = f"k{number:04d}=value\n"
        record = f"{len(record) + 3} {record}".encode()
        info.size = len(record)
        blocks += [
            info.tobuf(tarfile.GNU_FORMAT),
            padded(record),
            tar_member(f"{number}.png")[0].tobuf(),
            padded(b"content"),
        ]
    refused(forged_tar(*blocks), tmp_path, "ARCHIVE-DAMAGED", Limits(free_bytes=0))


def test_an_xz_dictionary_that_asks_for_gigabytes_is_refused(tmp_path):
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 512 * MIB}]
    packer = lzma.LZMACompressor(filters=[{"id": lzma.FILTER_LZMA2, "preset": 0}])
    content = bytearray(packer.compress(honest_tar()) + packer.flush())
    del filters
    # The block header's one filter property is the size of the dictionary; its checksum follows.
    at = content.index(b"\x21\x01") + 2
    content[at] = 37  # 1.5 GiB
    content[20:24] = (archives.zlib.crc32(content[12:20])).to_bytes(4, "little")
    assert "ARCHIVE-DAMAGED" in refused(bytes(content), tmp_path, "ARCHIVE-DAMAGED")


def test_a_full_disk_is_told_and_leaves_nothing(tmp_path, monkeypatch):
    real = archives.write_all

    def full(handle, content):
        real(handle, content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(archives, "write_all", full)
    refused(honest_zip(), tmp_path, "DISK-FULL")
    monkeypatch.undo()
    refused(honest_zip(), tmp_path, "DISK-FULL", Limits(free_bytes=2**60))


# Damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content", [b"", b"PK", b"hello", b"\x89PNG\r\n\x1a\n" + bytes(600), bytes(2048), b"7z\xbc\xaf\x27\x1c"]
)
def test_what_is_no_archive_is_refused(content, tmp_path):
    assert ".tar.gz" in refused(content, tmp_path, "ARCHIVE-FORMAT")


@pytest.mark.parametrize(
    "content",
    [honest_zip({}), honest_zip({"__MACOSX/._a": b""}), tar_bytes([tar_member("a", b"", type=tarfile.DIRTYPE)])],
)
def test_an_archive_without_a_file_is_refused(content, tmp_path):
    refused(content, tmp_path, "ARCHIVE-EMPTY")


WHOLE = {
    "zip": honest_zip(), "tar": honest_tar(), "gz": honest_tar("w:gz"), "bz2": honest_tar("w:bz2"),
    "xz": honest_tar("w:xz"), "zst": zstd(honest_tar()),
}  # fmt: skip


@pytest.mark.parametrize("kind", WHOLE)
def test_a_truncated_archive_is_refused_wherever_it_ends(kind, tmp_path):
    content = WHOLE[kind]
    kept = len(content) if kind != "tar" else content.rindex(b"x") // 512 * 512 + 512  # up to its end mark
    for end in range(600, kept, 97) if kind == "tar" else range(20, kept, 7):
        refused(content[:end], tmp_path, "ARCHIVE-DAMAGED")


def test_a_wrong_checksum_is_refused(tmp_path):
    refused(zip_bytes([Entry("a.png", said_crc=1)]), tmp_path, "ARCHIVE-DAMAGED")
    for kind, at in (("gz", -8), ("xz", -20), ("bz2", -4)):
        content = bytearray(WHOLE[kind])
        content[at] ^= 1
        refused(bytes(content), tmp_path, "ARCHIVE-DAMAGED")


def test_a_tar_whose_later_header_is_broken_is_refused_and_not_cut_short(tmp_path):
    content = bytearray(honest_tar(form=tarfile.USTAR_FORMAT, files={"a": b"1", "b": b"2", "c": b"3"}))
    content[1024 + 150] ^= 1  # the second header's checksum
    refused(bytes(content), tmp_path, "ARCHIVE-DAMAGED")


# Memory -----------------------------------------------------------------------------------------------------------


def test_unpacking_takes_little_memory_whatever_the_size(tmp_path):
    path = tmp_path / "archive"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for number in range(4):
            archive.writestr(f"{number}.npy", bytes(60 * MIB))
    code = (
        "import sys, resource; from pathlib import Path; from pipelines.uploads import unpack, Limits\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "done = unpack(Path(sys.argv[1]), Path(sys.argv[2]), limits=Limits(free_bytes=0))\n"
        "print(done.bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "data")],
        cwd=REPO,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    size, grown = map(int, printed.split())
    assert size == 240 * MIB
    assert grown * 1024 < 16 * MIB
