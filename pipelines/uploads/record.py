"""An upload's folder to what is known of it, and back."""

import json
import re
import secrets
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pydantic import TypeAdapter

from pipelines.storage import files
from pipelines.uploads.archives import root_of

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


def new_folder(workspace: Path) -> Path:
    """A folder of its own for an upload, under a name that nobody can guess; only this user of the system may enter."""
    folder = workspace / secrets.token_urlsafe(16)
    folder.mkdir(mode=0o700)
    (folder / ".in-use").touch(mode=0o600)
    return folder


def safe_name(name: str) -> str:
    """A file name of letters, digits, '.', '_' and '-' with the ending kept; never hidden, never empty."""
    kept = _UNSAFE.sub("_", name.replace("\\", "/").rpartition("/")[2]).lstrip(".-")[-100:]
    return kept.lstrip(".-") or "file"


def age(upload: Upload) -> float:
    """Seconds since it was last used."""
    return time.time() - upload.last_used
