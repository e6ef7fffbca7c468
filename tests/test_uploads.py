"""Uploads: limits, workspace, owners, paths on the server, and the requests that bring a file."""

import hashlib
import http.client
import json
import os
import re
import socket
import stat
import subprocess
import sys
import threading
import time
import zipfile
from collections import namedtuple
from dataclasses import replace

import pytest
import streamlit as st
import uvicorn
from places import REPO
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route
from streamlit.testing.v1 import AppTest

from dashboard import queries, upload
from dashboard.upload import component, owners, server, tokens
from pipelines.errors import ConfigError, UploadError
from pipelines.uploads import (
    ARCHIVES,
    Limits,
    Quota,
    Uploads,
    allowed_path,
    archives,
    data_roots,
    in_use,
    receiving,
    size_text,
    workspace,  # fmt: skip
)
from pipelines.uploads.workspace import RECORD, load, safe_name

ANN, BEN = "a" * 64, "b" * 64
MIB = 1024**2
QUOTA = Quota(upload_bytes=MIB, all_bytes=4 * MIB, free_bytes=0, archive=Limits(free_bytes=0))


@pytest.fixture
def uploads(tmp_path):
    return Uploads(tmp_path / "runs", QUOTA)


def zipped(tmp_path, files=("set/a.png", "set/b.png"), content=b"content"):
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w") as made:
        for name in files:
            made.writestr(name, content)
    return path.read_bytes()


def sent(uploads, content, name="data.zip", owner=ANN, kinds=ARCHIVES, **options):
    """An upload whose bytes are all there."""
    made = uploads.begin(name, len(content), owner, kinds=kinds, **options)
    with receiving(uploads, made, 0) as receiver:
        receiver.write(content)
    return made


def ended(uploads, made):
    """The upload once it is ready or refused."""
    until = time.monotonic() + 20
    while (now := uploads.find(made.id, made.owner)).state not in ("ready", "refused"):
        assert time.monotonic() < until, (made.folder / "log.txt").read_text()
        time.sleep(0.02)
    return now


def aged(made, *, days):
    when = time.time() - days * 86_400
    os.utime(made.lock, (when, when))


# Limits -----------------------------------------------------------------------------------------------------------


def test_limits_come_from_the_environment():
    given = {
        "PIPELINES_UPLOAD_LIMIT": "1.5GB", "PIPELINES_UPLOAD_QUOTA": "1 TB", "PIPELINES_UPLOAD_UNPACKED": "3G",
        "PIPELINES_UPLOAD_FILE": "700 MiB", "PIPELINES_UPLOAD_FILES": "1000", "PIPELINES_UPLOAD_DAYS": "0.5",
        "PIPELINES_UPLOAD_FREE": "12345",
    }  # fmt: skip
    quota = Quota.from_environment(given)
    assert (quota.upload_bytes, quota.all_bytes, quota.free_bytes, quota.days) == (1536 * MIB, 1024**4, 12345, 0.5)
    assert (quota.archive.total_bytes, quota.archive.file_bytes) == (3072 * MIB, 700 * MIB)
    assert (quota.archive.entries, quota.archive.free_bytes) == (1000, 12345)
    assert Quota.from_environment({}) == Quota()
    assert (Quota().upload_bytes, Quota().all_bytes, Quota().days) == (2048 * MIB, 20 * 1024 * MIB, 7)


@pytest.mark.parametrize("name", ["LIMIT", "QUOTA", "UNPACKED", "FILE", "FILES", "DAYS", "FREE"])
@pytest.mark.parametrize("value", ["much", "-1", "1 PB", "1,5GB", "nan GB"])
def test_a_limit_that_is_no_number_says_so(name, value):
    with pytest.raises(ConfigError, match=f"PIPELINES_UPLOAD_{name} is "):
        Quota.from_environment({f"PIPELINES_UPLOAD_{name}": value})


def test_every_variable_is_in_the_docs():
    page = (REPO / "docs" / "uploads.md").read_text()
    sources = [*(REPO / "pipelines" / "uploads").glob("*.py"), *(REPO / "dashboard" / "upload").glob("*.py")]
    named = {name for path in sources for name in re.findall(r'"(PIPELINES_[A-Z_]+)"', path.read_text())}
    assert len(named) >= 9
    assert all(f"`{name}`" in page for name in named)


def test_every_refusal_is_in_the_docs():
    page = (REPO / "docs" / "uploads.md").read_text()
    sources = [path.read_text() for path in (REPO / "pipelines" / "uploads").glob("*.py")]
    codes = {code for text in sources for code in re.findall(r'"((?:ARCHIVE|DISK|STORE)-[A-Z-]+)"', text)}
    codes |= {code for text in sources for code in re.findall(r'"((?:UPLOAD|UNPACK)-[A-Z-]+|PATH): ', text)}
    assert len(codes) >= 25
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


def test_sizes_are_told_in_units_of_1024():
    told = [size_text(count) for count in (0, 1, 1023, 1024, 1536, 999 * 1024, 1000 * 1024, 2 * 1024**3, 5 * 1024**5)]
    assert told == ["0 bytes", "1 byte", "1023 bytes", "1 KB", "1.5 KB", "999 KB", "1 MB", "2 GB", "5120 TB"]


# The workspace ----------------------------------------------------------------------------------------------------


def test_an_archive_becomes_data_in_a_process_of_its_own(uploads, tmp_path):
    content = zipped(tmp_path)
    made = ended(uploads, sent(uploads, content))
    assert (made.state, made.files, made.bytes, made.message) == ("ready", 2, len(content), "")
    assert made.root == made.data / "set"
    assert (made.root / "a.png").read_bytes() == b"content"
    assert not made.archive.exists()
    # 2 files of 7 bytes and one folder, each counted with a block of 4096: 14 + 3 × 4096
    assert made.held == uploads.used() == 12_302


def test_a_refused_archive_leaves_its_message_alone(uploads, tmp_path):
    made = ended(uploads, sent(uploads, zipped(tmp_path, ["../evil"])))
    assert made.state == "refused"
    assert made.message.startswith("ARCHIVE-PATH: ")
    assert uploads.used() == 0
    assert {path.name for path in made.folder.iterdir()} <= {RECORD, ".in-use", "log.txt", "progress.json"}


def test_the_unpacking_process_survives_what_nobody_foresaw(uploads, tmp_path, monkeypatch, capfd):
    made = uploads.begin("a.zip", 3, ANN)
    made.archive.write_bytes(b"PK\3")
    monkeypatch.setattr(workspace, "unpack", lambda *_, **__: 1 / 0)
    done = workspace.unpack_upload(uploads, made)
    assert done.state == "refused"
    assert done.message.startswith("UNPACK-FAILED: ")
    assert not made.archive.exists()
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_file_that_is_no_archive_is_kept_under_a_safe_name(uploads):
    made = sent(uploads, b"weights", "../Mein <b>Modell</b>.onnx", kinds=(".onnx",))
    done = uploads.find(made.id, ANN)
    assert (done.state, done.files) == ("ready", 1)
    assert done.file == done.data / "b_.onnx"
    assert done.file.read_bytes() == b"weights"
    assert done.name == "../Mein <b>Modell</b>.onnx"


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a.png", "a.png"), ("../../etc/passwd", "passwd"), ("C:\\x\\a.onnx", "a.onnx"), (".hidden", "hidden"),
        ("-rf", "rf"), ("", "file"), ("...", "file"), ("ä ö.npz", "_.npz"), ("x" * 300 + ".onnx", "x" * 95 + ".onnx"),
    ],
)  # fmt: skip
def test_safe_names_are_plain(name, safe):
    assert safe_name(name) == safe


def test_ids_cannot_be_guessed_and_reach_nothing_else(uploads, tmp_path):
    made = [uploads.begin(f"{number}.zip", 10, f"{number:064d}") for number in range(20)]
    assert len({one.id for one in made}) == 20
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22}", one.id) for one in made)
    assert stat.S_IMODE(made[0].folder.stat().st_mode) == stat.S_IMODE(uploads.folder.stat().st_mode) == 0o700
    (tmp_path / "runs" / "x").mkdir()
    (tmp_path / "runs" / "x" / RECORD).write_text((made[0].folder / RECORD).read_text())
    for id in ("../x", "..", ".", "", "x", made[0].id + "\n", f"{made[0].id}/../{made[1].id}", "%2e%2e", "a" * 22):
        with pytest.raises(UploadError, match="UPLOAD-UNKNOWN"):
            uploads.find(id, made[0].owner)


def test_an_owner_sees_their_own_uploads_alone(uploads):
    first = uploads.begin("1.zip", 10, ANN)
    other = uploads.begin("2.zip", 10, BEN)
    assert [one.id for one in uploads.listed(ANN)] == [first.id]
    assert [one.id for one in uploads.listed(BEN)] == [other.id]
    assert uploads.listed("") == []
    with pytest.raises(UploadError, match="UPLOAD-UNKNOWN"):
        uploads.find(first.id, BEN)


@pytest.mark.parametrize(
    "record", ["", "{}", "[]", "null", '{"owner": 1}', "\xff", '{"name": "x", "passed_over": 3}', "[" * 100_000]
)
def test_a_record_that_is_broken_is_no_upload(uploads, record):
    made = uploads.begin("1.zip", 10, ANN)
    (made.folder / RECORD).write_bytes(record.encode("latin-1"))
    assert load(made.folder) is None
    assert uploads.listed(ANN) == []
    assert uploads.sweep() == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 5),
        ("held", "much"),
        ("owner", None),
        ("created", []),
        ("state", "gone"),
        ("passed_over", 3),
        ("bytes", {}),
    ],
)
def test_a_record_with_a_value_of_another_type_is_no_upload(uploads, field, value):
    made = uploads.begin("1.zip", 10, ANN)
    record = made.folder / RECORD
    record.write_text(json.dumps({**json.loads(record.read_text()), field: value}))
    assert load(made.folder) is None
    assert uploads.listed(ANN) == []
    assert uploads.used() == 0


def test_what_may_be_uploaded_is_checked_before_a_byte_comes(uploads):
    for name, size, code in (
        ("a.png", 10, "KIND"),
        ("a.zip", 0, "SIZE"),
        ("a.zip", MIB + 1, "SIZE"),
        ("a.zip", -1, "SIZE"),
    ):
        with pytest.raises(UploadError, match=f"UPLOAD-{code}: "):
            uploads.begin(name, size, ANN)
    assert uploads.listed(ANN) == []
    assert uploads.begin("A.ZIP", MIB, ANN).is_archive


def test_the_quota_counts_what_is_promised_too(uploads):
    for number in range(4):
        uploads.begin("a.zip", MIB, f"{number:064d}")
    with pytest.raises(UploadError, match=r"UPLOAD-QUOTA: uploads on this server take 4 MB of 4 MB"):
        uploads.begin("a.zip", 1, ANN)
    uploads.remove(uploads.listed(f"{0:064d}")[0])
    uploads.begin("a.zip", MIB, ANN)


def test_an_archive_may_not_unpack_beyond_the_quota(uploads, tmp_path):
    uploads.begin("other.zip", MIB, BEN)
    path = tmp_path / "made.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a.npy", bytes(3 * MIB))
    made = uploads.begin("a.zip", path.stat().st_size, ANN)
    made.archive.write_bytes(path.read_bytes())
    assert workspace.unpack_upload(uploads, made).message.startswith("ARCHIVE-TOTAL-SIZE: ")


def test_free_disk_is_asked_for_before_the_start_and_on_the_way(uploads, monkeypatch):
    usage = namedtuple("usage", "total used free")
    made = uploads.begin("a.zip", 100, ANN)
    tight = Uploads(uploads.folder.parent, replace(QUOTA, free_bytes=1000))
    monkeypatch.setattr(archives.shutil, "disk_usage", lambda _: usage(10**6, 0, 1050))
    with pytest.raises(UploadError, match="DISK-FULL: "):
        tight.begin("b.zip", 51, BEN)
    with pytest.raises(UploadError, match="DISK-FULL: "), receiving(tight, made, 0) as receiver:
        receiver.write(b"x" * 51)
    assert uploads.find(made.id, ANN).received == 0


def test_pieces_must_follow_each_other(uploads):
    made = uploads.begin("a.zip", 10, ANN)
    with receiving(uploads, made, 0) as receiver:
        receiver.write(b"0123")
    for wrong in (0, 3, 5, 10, 10**15):
        with pytest.raises(UploadError, match=r"UPLOAD-OFFSET: the next byte is 4, "), receiving(uploads, made, wrong):
            pass
    with pytest.raises(UploadError, match="UPLOAD-LENGTH: "), receiving(uploads, made, 4) as receiver:
        receiver.write(b"456789x")
    assert uploads.find(made.id, ANN).received == 4


def test_one_transfer_at_a_time_writes_to_an_upload(uploads):
    made = uploads.begin("a.zip", 10, ANN)
    with receiving(uploads, made, 0) as receiver:
        receiver.write(b"01")
        with pytest.raises(UploadError, match="UPLOAD-BUSY: "), receiving(uploads, made, 2):
            pass
        receiver.write(b"23")
    assert made.archive.read_bytes() == b"0123"


def test_one_upload_at_a_time_comes_from_an_owner(uploads):
    first = uploads.begin("a.zip", 10, ANN, stamp="1")
    with pytest.raises(UploadError, match="UPLOAD-BUSY: "):
        uploads.begin("b.zip", 10, ANN)
    uploads.begin("b.zip", 10, BEN)
    aged(first, days=0.01)  # nothing has come for a quarter of an hour
    uploads.begin("b.zip", 10, ANN)
    assert [one.name for one in uploads.listed(ANN)] == ["b.zip"]


def test_the_same_file_chosen_again_goes_on_where_it_stopped(uploads):
    first = uploads.begin("a.zip", 10, ANN, stamp="1")
    with receiving(uploads, first, 0) as receiver:
        receiver.write(b"0123")
    again = uploads.begin("a.zip", 10, ANN, stamp="1")
    assert (again.id, again.received) == (first.id, 4)
    with pytest.raises(UploadError, match="UPLOAD-BUSY: "):
        uploads.begin("a.zip", 10, ANN, stamp="2")  # changed since


def test_what_is_whole_takes_no_more(uploads):
    made = sent(uploads, b"x", "a.onnx", kinds=(".onnx",))
    with pytest.raises(UploadError, match="UPLOAD-STATE: "), receiving(uploads, made, 0):
        pass
    assert uploads.find(made.id, ANN).file.read_bytes() == b"x"


def test_uploads_go_after_their_days_and_use_begins_them_anew(uploads):
    made = sent(uploads, b"x", "a.onnx", kinds=(".onnx",))
    aged(made, days=6.9)
    assert uploads.sweep() == []
    aged(made, days=7.1)
    uploads.find(made.id, ANN)
    assert uploads.sweep() == []
    aged(made, days=7.1)
    assert uploads.sweep() == [made.id]
    assert uploads.listed(ANN) == []
    assert not made.folder.exists()


def test_a_broken_transfer_is_swept_after_a_day(uploads):
    made = uploads.begin("a.zip", 10, ANN)
    aged(made, days=1.1)
    assert uploads.sweep() == [made.id]


def test_a_deletion_that_was_cut_short_is_finished(uploads):
    uploads.begin("a.zip", 10, ANN)
    gone = uploads.folder / ".gone-0123"
    gone.mkdir()
    uploads.sweep()
    assert not gone.exists()


def test_what_a_job_uses_is_never_deleted(uploads):
    made = sent(uploads, b"x", "a.onnx", kinds=(".onnx",))
    code = (
        "import sys; from pathlib import Path; from pipelines.uploads import in_use\n"
        "with in_use(Path(sys.argv[1])):\n print('held', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(uploads.find(made.id, ANN).file)]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as job:
        assert job.stdout.readline() == b"held\n"
        aged(made, days=30)
        assert uploads.sweep() == []
        with pytest.raises(UploadError, match="UPLOAD-IN-USE: "):
            Uploads(uploads.folder.parent, QUOTA).remove(made)
        job.kill()
    aged(made, days=30)
    assert uploads.sweep() == [made.id]


def test_in_use_leaves_other_paths_alone_and_tells_what_has_gone(uploads, tmp_path):
    with in_use(tmp_path), in_use(REPO / "sample_data"):
        pass
    made = sent(uploads, b"x", "a.onnx", kinds=(".onnx",))
    with in_use(made.data):
        assert uploads.sweep() == []
    uploads.remove(made)
    with pytest.raises(UploadError, match="UPLOAD-GONE: "), in_use(made.data):
        pass


def test_an_unpacking_whose_process_died_is_told(uploads, tmp_path):
    made = uploads.begin("a.zip", 10, ANN).save(state="unpacking")
    assert uploads.find(made.id, ANN).state == "unpacking"
    when = time.time() - 60
    os.utime(made.folder / RECORD, (when, when))
    with workspace.held(made.lock, shared=True):  # as the process does
        assert uploads.find(made.id, ANN).state == "unpacking"
    assert uploads.find(made.id, ANN).message.startswith("UNPACK-DIED: ")


def test_the_secret_is_made_once_and_kept_private(uploads):
    key = uploads.key()
    assert len(key) == 32
    assert uploads.key() == key == Uploads(uploads.folder.parent).key()
    assert stat.S_IMODE((uploads.folder / ".key").stat().st_mode) == 0o600


# Paths on the server's disk ---------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path):
    root = tmp_path / "root"
    (root / "set" / "images").mkdir(parents=True)
    (root / "runs" / ".uploads" / "x").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    (root / "out").symlink_to(tmp_path / "secret")
    (root / "in").symlink_to(root / "set")
    return root


def test_paths_inside_the_roots_are_taken(disk):
    assert allowed_path(str(disk / "set"), [disk]) == disk / "set"
    assert allowed_path(" set/images ", [disk]) == disk / "set" / "images"
    assert allowed_path("in", [disk]) == disk / "set"  # a link inside
    assert allowed_path(str(disk), [disk]) == disk


@pytest.mark.parametrize(
    "text",
    [
        "", "..", "../secret", "/etc", "/etc/passwd", "out", "set/../../secret", "runs/.uploads/x", "nothing", "a\0b",
        "~nobody9/x", "x" * 5000, "x" * 300, "file:///etc/passwd", "\\\\server\\share",
    ],
)  # fmt: skip
def test_paths_outside_the_roots_are_refused_in_the_same_words(text, disk):
    with pytest.raises(
        UploadError, match=r"^PATH: .* is not a file or folder inside the allowed folders \(.*root\)\. "
    ):
        allowed_path(text, [disk])


def test_a_device_and_a_pipe_are_no_paths(disk):
    os.mkfifo(disk / "pipe")
    with pytest.raises(UploadError, match="PATH: "):
        allowed_path("pipe", [disk])


def test_roots_come_from_the_environment(disk, tmp_path, monkeypatch):
    monkeypatch.setenv("PIPELINES_DATA_ROOTS", os.pathsep.join([str(disk), str(tmp_path / "missing"), ""]))
    assert data_roots() == (disk,)
    monkeypatch.delenv("PIPELINES_DATA_ROOTS")
    monkeypatch.chdir(tmp_path)
    assert data_roots() == (REPO / "sample_data", tmp_path)
    monkeypatch.chdir("/")
    assert data_roots() == (REPO / "sample_data",)


# Tokens and owners ------------------------------------------------------------------------------------------------


def test_a_token_says_whose_it_is_until_it_is_too_old():
    token = tokens.issue(b"k" * 32, ANN, (".zip",), now=1_000_000)
    assert tokens.permit_of(b"k" * 32, token, now=1_000_000 + 86_400) == tokens.Permit(ANN, (".zip",))
    assert tokens.permit_of(b"k" * 32, token, now=1_000_000 + 90_001) is None
    assert tokens.issue(b"k" * 32, ANN, (".zip",), now=1_000_001) == token  # a page drawn again sends the same


def test_a_token_cannot_be_forged():
    key = b"k" * 32
    mine, other = (tokens.issue(key, who, (".zip",)) for who in (ANN, BEN))
    mixed = other.partition(".")[0] + "." + mine.partition(".")[2]
    for forged in ("", ".", "x", "x.y", mixed, mine[:-1], mine + "0", "ä" + mine, tokens.issue(b"K" * 32, ANN, ())):
        assert tokens.permit_of(key, forged) is None


# Requests ---------------------------------------------------------------------------------------------------------


class Site:
    """The routes on a socket, as uvicorn serves them."""

    def __init__(self, app):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.host = f"127.0.0.1:{self.socket.getsockname()[1]}"
        self.server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [self.socket]})
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)

    def close(self):
        self.server.should_exit = True
        self.thread.join()
        self.socket.close()

    def ask(self, method, path, body=None, *, token=None, headers=None):
        """Status and JSON of one request."""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        given = {"origin": f"http://{self.host}"} | ({"x-upload-token": token} if token else {})
        connection.request(method, f"/upload{path}", body, given | (headers or {}))
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        return answer.status, json.loads(said)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def site(runs):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(queries.runs.RUNS_VARIABLE, str(runs))
        patch.setenv("PIPELINES_UPLOAD_LIMIT", "1MB")
        patch.setenv("PIPELINES_UPLOAD_FREE", "0")
        page = Route("/", lambda _: HTMLResponse("page"))
        opened = Site(Starlette(routes=[*upload.routes(), page], middleware=upload.middleware()))
        yield opened
        opened.close()


@pytest.fixture
def token(site, request):
    """Of a reader of the test's own."""
    who = hashlib.sha256(request.node.name.encode()).hexdigest()
    return tokens.issue(server.uploads().key(), who, ARCHIVES)


def begun(site, token, size, name="a.zip"):
    status, said = site.ask("POST", "", json.dumps({"name": name, "size": size}), token=token)
    assert status == 200, said
    return said


def test_a_file_comes_in_pieces_and_its_end_is_told(site, token, tmp_path):
    content = zipped(tmp_path, content=os.urandom(100_000))
    said = begun(site, token, len(content))
    assert (said["state"], said["offset"], said["size"]) == ("receiving", 0, len(content))
    for start in range(0, len(content), 70_000):
        piece = content[start : start + 70_000]
        status, said = site.ask("PUT", f"/{said['id']}?offset={start}", piece, token=token)
        assert status == 200, said
        assert said["offset"] == start + len(piece)
    until = time.monotonic() + 20
    while said["state"] != "ready":
        assert said["state"] in ("received", "unpacking"), said
        assert time.monotonic() < until
        _, said = site.ask("GET", f"/{said['id']}", token=token)
    status, _ = site.ask("DELETE", f"/{said['id']}", token=token)
    assert status == 200
    assert site.ask("GET", f"/{said['id']}", token=token)[0] == 404


def test_a_broken_connection_keeps_what_came_and_says_where_to_go_on(site, token):
    said = begun(site, token, 500_000)
    with socket.create_connection(site.host.split(":")) as line:
        head = f"PUT /upload/{said['id']}?offset=0 HTTP/1.1\r\nHost: {site.host}\r\nX-Upload-Token: {token}\r\n"
        line.sendall(f"{head}Content-Length: 500000\r\n\r\n".encode() + b"x" * 123_456)
        time.sleep(0.3)
    until = time.monotonic() + 10
    while site.ask("GET", f"/{said['id']}", token=token)[1]["offset"] < 123_456:
        assert time.monotonic() < until
        time.sleep(0.02)
    status, answer = site.ask("PUT", f"/{said['id']}?offset=0", b"x", token=token)
    assert status == 409
    assert "the next byte is 123456" in answer["message"]
    status, answer = site.ask("PUT", f"/{said['id']}?offset=123456", b"y" * 1000, token=token)
    assert (status, answer["offset"]) == (200, 124_456)


def test_every_request_needs_a_token_of_ours(site, token):
    said = begun(site, token, 10)
    for method, path in (
        ("POST", ""),
        ("PUT", f"/{said['id']}?offset=0"),
        ("GET", f"/{said['id']}"),
        ("DELETE", f"/{said['id']}"),
    ):
        for wrong in (None, "x.y", token[:-1]):
            status, answer = site.ask(method, path, b"{}", token=wrong)
            assert (status, answer["message"][:7]) == (401, "TOKEN: ")
    assert site.ask("GET", f"/{said['id']}", token=token)[1]["offset"] == 0


def test_somebody_elses_upload_is_not_there(site, token):
    said = begun(site, token, 10)
    other = tokens.issue(server.uploads().key(), BEN, ARCHIVES)
    for method in ("GET", "PUT", "DELETE"):
        assert site.ask(method, f"/{said['id']}?offset=0", b"x", token=other)[0] == 404
    assert site.ask("GET", f"/{said['id']}", token=token)[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"}, {"origin": "null"}, {"origin": "https://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
    ],
)  # fmt: skip
def test_another_sites_page_may_not_upload(headers, site, token):
    status, answer = site.ask("POST", "", b"{}", token=token, headers=headers)
    assert (status, answer["message"][:8]) == (403, "ORIGIN: ")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400), (b"[]", 400), (b"{}", 400), (b"\xff", 400), (b"[" * 5000, 400), (b'{"name": "a.zip"}', 400),
        (b'{"name": "a.zip", "size": "1"}', 400), (b'{"name": "a.zip", "size": true}', 400),
        (b'{"name": "a\\n.zip", "size": 1}', 400), (b'{"name": 1, "size": 1}', 400),
        (b'{"name": "a.zip", "size": -1}', 413), (b'{"name": "a.zip", "size": 2000000}', 413),
        (b'{"name": "a.exe", "size": 1}', 415), (b" " * 9000, 413),
    ],
)  # fmt: skip
def test_a_question_that_cannot_be_met_is_refused(body, status, site, token):
    answered, said = site.ask("POST", "", body, token=token)
    assert (answered, bool(said["message"])) == (status, True)


def test_the_length_of_a_piece_is_checked(site, token):
    said = begun(site, token, 10)
    place = f"/{said['id']}?offset=0"
    assert site.ask("PUT", place, b"x" * 11, token=token)[0] == 413
    assert site.ask("PUT", place, b"", token=token, headers={"content-length": "99999999999"})[0] == 413
    assert site.ask("PUT", place, iter([b"x"]), token=token)[0] == 411  # sent in chunks, of unknown length
    for offset in ("", "x", "-1", "1e3", "9" * 20, "%D9%A3"):
        assert site.ask("PUT", f"/{said['id']}?offset={offset}", b"x", token=token)[0] == 400
    assert site.ask("GET", f"/{said['id']}", token=token)[1]["offset"] == 0


@pytest.mark.parametrize("id", ["..", "%2e%2e", "..%2f..%2fetc", "a" * 22, "a" * 2000, "%00"])
def test_an_odd_id_is_not_there(id, site, token):
    connection = http.client.HTTPConnection(site.host, timeout=20)
    connection.request("GET", f"/upload/{id}", headers={"x-upload-token": token})
    assert connection.getresponse().status == 404
    connection.close()


def test_a_second_upload_has_to_wait(site, token):
    begun(site, token, 10)
    status, said = site.ask("POST", "", b'{"name": "b.zip", "size": 10}', token=token)
    assert (status, said["message"][:13]) == (409, "UPLOAD-BUSY: ")


def test_a_browser_gets_a_secret_with_its_first_page_alone(site):
    def cookie(path, **headers):
        connection = http.client.HTTPConnection(site.host, timeout=20)
        connection.request("GET", path, headers=headers)
        given = connection.getresponse().getheader("set-cookie")
        connection.close()
        return given

    given = cookie("/")
    assert re.fullmatch(r"upload_owner=[\w-]{43}; Path=/; Max-Age=2592000; HttpOnly; SameSite=Lax", given)
    assert cookie("/", Cookie=given.partition(";")[0]) is None
    assert cookie("/", Cookie="upload_owner=short") is not None
    assert cookie("/upload/x") is None
    assert cookie("/", **{"X-Forwarded-Proto": "https"}).endswith("; Secure")


def test_only_the_named_hosts_are_served_if_any_are_named(monkeypatch):
    monkeypatch.delenv("PIPELINES_HOSTS", raising=False)
    assert len(upload.middleware()) == 1
    monkeypatch.setenv("PIPELINES_HOSTS", "data.example.org, localhost")
    first = upload.middleware()[0]
    assert first.kwargs == {"allowed_hosts": ["data.example.org", "localhost"]}


def test_an_owner_is_the_login_if_there_is_one(monkeypatch):
    alone = owners.owner()
    assert re.fullmatch("[0-9a-f]{64}", alone)
    monkeypatch.setattr(st, "user", {"is_logged_in": True, "iss": "https://id", "sub": "1"})
    one = owners.owner()
    assert owners.owner() == one != alone
    monkeypatch.setattr(st, "user", {"is_logged_in": True, "iss": "https://other", "sub": "1"})
    assert owners.owner() != one


# The page's side --------------------------------------------------------------------------------------------------


def test_a_page_gets_the_upload_that_the_widget_names_and_no_other(tmp_path, monkeypatch):
    monkeypatch.setenv(queries.runs.RUNS_VARIABLE, str(tmp_path / "runs"))
    at = AppTest.from_file(str(REPO / "tests" / "browser" / "upload_app.py"), default_timeout=30).run()
    assert not at.exception
    assert [one.value for one in at.code] == ["nothing", "no model", "[]"]
    at.session_state["upload_owner"] = "the session's own"
    who = hashlib.sha256(b"session\nthe session's own").hexdigest()
    workspace = Uploads(tmp_path / "runs", QUOTA)
    made = sent(workspace, b"x" * 9, "net.onnx", owner=who, kinds=(".onnx",))
    other = sent(workspace, b"y", "other.onnx", owner=BEN, kinds=(".onnx",))
    at.run()
    assert [one.value for one in at.code] == ["nothing", "no model", '["net.onnx"]']
    monkeypatch.setattr(component, "_said", lambda key: {"data": other.id, "model": made.id}[key])
    at.run()
    assert [one.value for one in at.code] == ["nothing", "net.onnx 9", '["net.onnx"]']
