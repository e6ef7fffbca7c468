"""Uploads of many readers under one folder of runs: within a quota, told apart by owner, swept when old.

runs/.uploads/<id>/ holds upload.json (what is known of it), archive (while it comes and is unpacked), data/ (what was
in it), .in-use (locked by whoever works with the data) and log.txt of the process that unpacks it.
"""

import contextlib
import hmac
import json
import math
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import filelock
from pydantic import TypeAdapter

from pipelines import sandbox
from pipelines.errors import PipelineError, UploadError
from pipelines.progress import Progress
from pipelines.store import files
from pipelines.uploads.archives import ARCHIVES, LOOK_EVERY, check_free, root_of, storing, unpack, write_all
from pipelines.uploads.limits import GIB, Quota, shown, size_text

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# The record of an upload ---------------------------------------------------------------------------------------------

State: TypeAlias = Literal["receiving", "received", "unpacking", "ready", "refused"]
RECORD: Final = "upload.json"
ID: Final = re.compile(r"[A-Za-z0-9_-]{22}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class Upload:
    """One upload, as it stood when it was looked up.

    folder: its own, inside the workspace. owner: SHA-256, hex, of whoever it belongs to. name: what its owner's machine
    called it, for show alone. bytes: as sent. held: bytes it counts for against the quota. created: seconds since the
    epoch. is_archive: whether it is unpacked. stamp: the file's own time, to know it again. files: after unpacking.
    message: why it was refused. passed_over: what was not unpacked, by name, the first hundred.
    """

    folder: Path
    owner: str
    name: str
    bytes: int
    held: int
    created: float
    state: State = "receiving"
    is_archive: bool = True
    stamp: str = ""
    message: str = ""
    files: int = 0
    passed_over: tuple[str, ...] = ()
    passed_over_count: int = 0

    @property
    def id(self) -> str:
        """Name of its folder: 128 bits that nobody can guess."""
        return self.folder.name

    @property
    def archive(self) -> Path:
        """The file as it is sent; gone once it has been unpacked or refused."""
        return self.folder / "archive"

    @property
    def data(self) -> Path:
        """Folder of what was in it; there when the state is ready."""
        return self.folder / "data"

    @property
    def root(self) -> Path:
        """Where the data begins: `data`, or the one top folder in it."""
        return root_of(self.data)

    @property
    def file(self) -> Path:
        """The one file of an upload that is no archive, under a name made safe; there when the state is ready."""
        return self.data / safe_name(self.name)

    @property
    def lock(self) -> Path:
        """Held by whoever works with the data; its time is that of the last use."""
        return self.folder / ".in-use"

    @property
    def received(self) -> int:
        """Bytes that have come so far."""
        if self.state != "receiving":
            return self.bytes
        try:
            return self.archive.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def last_used(self) -> float:
        """Seconds since the epoch; the days to live are counted from here."""
        try:
            return self.lock.stat().st_mtime
        except FileNotFoundError:
            return self.created

    @property
    def idle(self) -> float:
        """Seconds since it was last used."""
        return time.time() - self.last_used

    def save(self, **changes: Any) -> "Upload":
        """Replace the record on disk; returns the upload as it is now."""
        changed = replace(self, **changes)
        facts = asdict(changed)
        del facts["folder"]
        files.write_json(self.folder / RECORD, facts)
        return changed


_UPLOAD: Final = TypeAdapter(Upload)


def load(folder: Path) -> Upload | None:
    """The upload of a folder; None when there is none or its record is not ours."""
    try:
        facts = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        found = _UPLOAD.validate_python({**facts, "folder": folder})
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    return found if ID.fullmatch(folder.name) else None


def safe_name(name: str) -> str:
    """A file name of letters, digits, '.', '_' and '-' with the ending kept; never hidden, never empty."""
    kept = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).lstrip(".-")[-100:]
    return kept.lstrip(".-") or "file"


# Locks ---------------------------------------------------------------------------------------------------------------
#
# flock, not lockf: a server's threads must exclude each other too. The system frees a lock when its holder ends.

UPLOADS: Final = ".uploads"
_PAUSE: Final = 0.05  # seconds between two tries


@contextmanager
def held(path: Path, *, shared: bool = False, wait: float | None = None) -> Iterator[bool]:
    """Hold the lock of a file, which is made if need be; yields whether it was got.

    shared: beside others that share it, where the system has such locks (not on Windows). wait: seconds to go on
    trying; None for as long as it takes. Where the folder has gone there is nothing to hold.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    except FileNotFoundError:
        yield False
        return
    with contextlib.ExitStack() as stack:
        stack.callback(os.close, handle)
        until = math.inf if wait is None else time.monotonic() + wait
        while not (got := _taken(path, handle, stack, shared=shared)) and time.monotonic() < until:
            time.sleep(_PAUSE)
        yield got


def _taken(path: Path, handle: int, stack: contextlib.ExitStack, *, shared: bool) -> bool:
    try:
        if fcntl is None:
            stack.enter_context(filelock.FileLock(path, timeout=0))
        else:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except (BlockingIOError, filelock.Timeout):
        return False
    return True


@contextmanager
def in_use(path: Path) -> Iterator[None]:
    """Keep the upload that a path lies in from being deleted while the block runs; any other path is left alone.

    Counts as a use: the days to live begin anew. Raises UploadError when the upload has gone.
    """
    folder = upload_folder(path)
    if folder is None:
        yield
        return
    lock = folder / ".in-use"
    gone = UploadError("UPLOAD-GONE: these uploaded files have been deleted. Upload them again.")
    if not lock.exists():
        raise gone
    with held(lock, shared=True, wait=5.0) as got:
        if not got or not lock.exists():  # deleted while we waited
            raise gone
        os.utime(lock)
        yield
        os.utime(lock)


def upload_folder(path: Path) -> Path | None:
    """The upload's own folder that a path lies in; None for a path elsewhere."""
    resolved = path.resolve()
    return next((one for one in (resolved, *resolved.parents) if one.parent.name == UPLOADS), None)


# All uploads ---------------------------------------------------------------------------------------------------------
_DAY: Final = 86_400.0  # seconds
_QUIET: Final = 60.0  # seconds without a byte after which an upload no longer keeps its owner from another
_STARTING: Final = 30.0  # seconds until the process that unpacks must hold its lock
_UNFINISHED_DAYS: Final = 1.0  # how long a broken transfer waits to be taken up again
_GONE: Final = ".gone-"
_KEY_BYTES: Final = 32


class Uploads:
    """The workspace of one folder of runs. Every look reads the disk anew, so several processes may share it."""

    def __init__(self, runs: Path, quota: Quota | None = None) -> None:
        self.folder = runs / UPLOADS
        self.quota = quota or Quota.from_environment()

    def begin(self, name: str, size: int, owner: str, *, kinds: Sequence[str] = ARCHIVES, stamp: str = "") -> Upload:
        """Make room for a file of so many bytes; the same file begun before and broken off is taken up again.

        kinds: endings that are welcome. stamp: the file's own time, to know it again by. Raises UploadError for a kind
        or size that is not allowed, a full quota or disk, or another transfer of this owner that is under way.
        """
        self._check_asked(name, size, kinds)
        with self.locked():
            self._sweep()
            for other in self.listed(owner):
                if other.state != "receiving":
                    continue
                if (other.name, other.bytes, other.stamp) == (name, size, stamp):
                    return other
                if other.idle < _QUIET:
                    raise UploadError(
                        "UPLOAD-BUSY: another upload of yours is under way. Wait for its end or cancel it."
                    )
                self._remove(other, wait=0.0)
            self._check_room(size)
            folder = self.folder / secrets.token_urlsafe(16)
            folder.mkdir(mode=0o700)  # only this user of the system may enter
            (folder / ".in-use").touch(mode=0o600)
            made = Upload(folder, owner, name, size, held=size, created=time.time(), stamp=stamp)
            return made.save(is_archive=name.casefold().endswith(ARCHIVES))

    def _check_asked(self, name: str, size: int, kinds: Sequence[str]) -> None:
        if not name.casefold().endswith(tuple(kinds)):
            raise UploadError(f"UPLOAD-KIND: {shown(name)} is not one of {', '.join(kinds)}. Choose another file.")
        if not 0 < size <= self.quota.upload_bytes:
            most = size_text(self.quota.upload_bytes)
            raise UploadError(
                f"UPLOAD-SIZE: {shown(name)} has {size_text(size)}, an upload may have 1 byte to {most}. "
                "Split it, or put it on the server's disk and give its path."
            )

    def _check_room(self, size: int) -> None:
        used = self.used()
        if used + size > self.quota.all_bytes:
            raise UploadError(
                f"UPLOAD-QUOTA: uploads on this server take {size_text(used)} of {size_text(self.quota.all_bytes)}; "
                f"{size_text(size)} more do not fit. Delete an upload that is no longer needed, and try again."
            )
        check_free(self.folder, size + self.quota.free_bytes)

    def find(self, id: str, owner: str) -> Upload:
        """One upload of an owner; counts as a use. Raises UploadError when it is not there or somebody else's."""
        found = load(self.folder / id) if ID.fullmatch(id) else None
        if found is None or not hmac.compare_digest(found.owner.encode(), owner.encode()):
            raise UploadError("UPLOAD-UNKNOWN: there is no such upload, or it has been deleted. Upload the file again.")
        with contextlib.suppress(FileNotFoundError):
            os.utime(found.lock)
        return _with_life(found)

    def listed(self, owner: str) -> list[Upload]:
        """Uploads of an owner, newest first."""
        found = [one for one in self._all() if hmac.compare_digest(one.owner.encode(), owner.encode())]
        return [_with_life(one) for one in sorted(found, key=lambda one: one.created, reverse=True)]

    def used(self) -> int:
        """Bytes that count against the quota of all uploads: on disk, or promised to what is coming."""
        return sum(one.held for one in self._all())

    def remove(self, upload: Upload) -> None:
        """Delete an upload now. Raises UploadError while somebody works with it."""
        if not self._remove(upload, wait=5.0):
            raise UploadError(
                f"UPLOAD-IN-USE: {shown(upload.name)} is being used. Wait for the end of that work or cancel it, "
                "then delete."
            )

    def sweep(self) -> list[str]:
        """Delete what has not been used for the set number of days, unless it is in use now; returns the ids."""
        if not self.folder.is_dir():
            return []
        with self.locked():
            return self._sweep()

    def key(self) -> bytes:
        """A secret of this workspace, 32 bytes, made once; whoever can read it can upload in anybody's name."""
        place = self.folder / ".key"
        with self.locked():
            if not place.exists():
                temporary = self.folder / ".key.new"
                handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                with os.fdopen(handle, "wb") as file:
                    file.write(secrets.token_bytes(_KEY_BYTES))
                os.replace(temporary, place)
            return place.read_bytes()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """The workspace for oneself: for what must not happen twice at a time."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with held(self.folder / ".lock"):
            yield

    def _all(self) -> list[Upload]:
        folders = self.folder.iterdir() if self.folder.is_dir() else ()
        return [one for folder in folders if ID.fullmatch(folder.name) and (one := load(folder)) is not None]

    def _sweep(self) -> list[str]:
        swept = []
        for folder in self.folder.iterdir():
            if folder.name.startswith(_GONE):  # a deletion that was cut short
                shutil.rmtree(folder, ignore_errors=True)
            elif ID.fullmatch(folder.name):
                upload = load(folder)
                if upload is None and _is_old(folder):
                    shutil.rmtree(folder, ignore_errors=True)
                elif upload is not None and upload.idle > self._days(upload) * _DAY and self._remove(upload, wait=0.0):
                    swept.append(folder.name)
        return swept

    def _days(self, upload: Upload) -> float:
        return self.quota.days if upload.state == "ready" else min(_UNFINISHED_DAYS, self.quota.days)

    def _remove(self, upload: Upload, *, wait: float) -> bool:
        """Renamed first, so that nobody finds half of it."""
        if not upload.folder.is_dir():
            return True
        with held(upload.lock, wait=wait) as free:
            if not free:
                return False
            gone = self.folder / f"{_GONE}{secrets.token_hex(8)}"
            with contextlib.suppress(FileNotFoundError):
                os.rename(upload.folder, gone)
            shutil.rmtree(gone, ignore_errors=True)
        return True


def _with_life(upload: Upload) -> Upload:
    """As it is, or as refused when the process that was to unpack it has died without a word."""
    if upload.state not in ("received", "unpacking") or not _is_old(upload.folder / RECORD, seconds=_STARTING):
        return upload
    with held(upload.lock, wait=0.0) as free:
        if not free:
            return upload
    now = load(upload.folder) or upload  # it may have ended while we looked
    if now.state not in ("received", "unpacking"):
        return now
    message = "UNPACK-DIED: the process that unpacked the archive has ended without a word. Delete it and upload again."
    return replace(now, state="refused", message=message)


def _is_old(path: Path, *, seconds: float = 3600.0) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return time.time() - path.stat().st_mtime > seconds
    return False


# Pieces of a file ----------------------------------------------------------------------------------------------------


class Receiver:
    """The end of an upload's file, open for writing."""

    def __init__(self, upload: Upload, handle: int, offset: int, free_bytes: int) -> None:
        self._upload, self._handle, self._free = upload, handle, free_bytes
        self._looked = -LOOK_EVERY
        self.offset = offset

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises UploadError when they are more than were announced or the disk fills up."""
        if self.offset + len(piece) > self._upload.bytes:
            announced = size_text(self._upload.bytes)
            raise UploadError(f"UPLOAD-LENGTH: more bytes came than the {announced} announced. Upload the file again.")
        if self.offset - self._looked >= LOOK_EVERY:
            check_free(self._upload.folder, self._free + len(piece))
            self._looked = self.offset
        with storing(self._upload.name):
            write_all(self._handle, piece)
        self.offset += len(piece)

    @property
    def whole(self) -> bool:
        """Whether all bytes are there."""
        return self.offset == self._upload.bytes


@contextmanager
def receiving(uploads: Uploads, upload: Upload, offset: int) -> Iterator[Receiver]:
    """Go on with an upload from its byte `offset`, which must be the first that is missing.

    When all bytes are there at the end, the state becomes received (an archive, whose unpacking begins) or ready.
    Raises UploadError when the offset is another, or another transfer of the same upload is under way.
    """
    with held(upload.lock, shared=True, wait=0.0) as there:
        if not there or not (upload.folder / RECORD).exists():
            raise UploadError("UPLOAD-GONE: this upload has been deleted. Upload the file again.")
        with held(upload.archive, wait=0.0) as alone:
            if not alone:
                raise UploadError("UPLOAD-BUSY: this upload is under way in another window. Wait for it or cancel it.")
            now = load(upload.folder)  # another transfer may have ended since it was looked up
            if now is None or now.state != "receiving":
                raise UploadError("UPLOAD-STATE: this upload is whole already.")
            size = upload.archive.stat().st_size
            if offset != size:
                raise UploadError(f"UPLOAD-OFFSET: the next byte is {size}, not {offset}. Go on from there.")
            handle = os.open(upload.archive, os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW)
            try:
                receiver = Receiver(upload, handle, offset, uploads.quota.free_bytes)
                yield receiver
                if receiver.whole:
                    with storing(upload.name):
                        os.fsync(handle)
            finally:
                os.close(handle)
                os.utime(upload.lock)
            if not receiver.whole:
                return
            if upload.is_archive:
                upload.save(state="received")
                start_unpacking(uploads, upload)
                return
            with storing(upload.name):
                upload.data.mkdir(exist_ok=True)
                os.rename(upload.archive, upload.file)
            upload.save(state="ready", files=1)


# Unpacking ------------------------------------------------------------------------------------------------------------

PROGRESS: Final = "progress.json"
_MEMORY: Final = GIB  # of this process: an archive within the limits needs a tenth of it
_ROOT: Final = Path(__file__).resolve().parents[2]
_TURN: Final = ".unpacking"  # one archive at a time, so that each knows what room the others leave


def start_unpacking(uploads: Uploads, upload: Upload) -> None:
    """Unpack in a process of its own, at low priority: whatever the archive does to it, the server goes on."""
    code = "import sys; from pipelines.uploads.workspace import main; main(*sys.argv[1:])"
    with (upload.folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(uploads.folder.resolve()), upload.id],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=os.environ | {"PYTHONPATH": str(_ROOT)},
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives


def unpack_upload(uploads: Uploads, upload: Upload) -> Upload:
    """Unpack it within its limits and what the quota leaves; the archive is deleted either way.

    Never raises for what the archive holds: the state becomes ready or refused, with the reason.
    """
    with held(upload.lock, shared=True) as there, held(uploads.folder / _TURN):
        if not there:  # deleted before its turn came
            return upload
        upload = upload.save(state="unpacking")
        try:
            limits = uploads.quota.archive
            room = max(uploads.quota.all_bytes - uploads.used(), 0)
            limits = replace(limits, total_bytes=min(limits.total_bytes, room))
            done = unpack(
                upload.archive, upload.data, limits=limits, progress=Progress(record=upload.folder / PROGRESS)
            )
        except PipelineError as error:
            return _refuse(upload, str(error))
        except Exception:  # nothing of the archive may stay, whatever went wrong; the log says what
            traceback.print_exc()
            return _refuse(
                upload, "UNPACK-FAILED: the archive could not be unpacked. Pack it again as a zip and upload."
            )
        upload.archive.unlink(missing_ok=True)
        facts = {"passed_over": tuple(done.passed_over), "passed_over_count": done.passed_over_count}
        return upload.save(state="ready", held=done.on_disk, files=done.files, **facts)


def _refuse(upload: Upload, message: str) -> Upload:
    upload.archive.unlink(missing_ok=True)
    shutil.rmtree(upload.data, ignore_errors=True)
    return upload.save(state="refused", message=message, held=0)


def main(workspace: str, id: str) -> None:
    """Unpack one upload of a workspace."""
    sandbox.bind(_MEMORY)
    upload = load(Path(workspace) / id)
    if upload is not None and upload.state == "received":
        unpack_upload(Uploads(Path(workspace).parent), upload)
