"""Pieces of a file as they arrive to an upload that is whole: written in order, unpacked in a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines.errors import UploadError
from pipelines.uploads.limits import MIB, size_text
from pipelines.uploads.locks import held
from pipelines.uploads.record import RECORD, Upload, load
from pipelines.uploads.sink import check_free, storing, write_all
from pipelines.uploads.workspace import Uploads

_LOOK_EVERY: Final = 32 * MIB  # bytes between two looks at the free disk
_ROOT: Final = Path(__file__).resolve().parents[2]


class Receiver:
    """The end of an upload's file, open for writing."""

    def __init__(self, upload: Upload, handle: int, offset: int, free_bytes: int) -> None:
        self._upload, self._handle, self._free = upload, handle, free_bytes
        self._looked = -_LOOK_EVERY
        self.offset = offset

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises UploadError when they are more than were announced or the disk fills up."""
        if self.offset + len(piece) > self._upload.bytes:
            announced = size_text(self._upload.bytes)
            raise UploadError(f"UPLOAD-LENGTH: more bytes came than the {announced} announced. Upload the file again.")
        if self.offset - self._looked >= _LOOK_EVERY:
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
            if receiver.whole:
                _complete(uploads, upload)


def _complete(uploads: Uploads, upload: Upload) -> None:
    if upload.is_archive:
        upload.save(state="received")
        start_unpacking(uploads, upload)
        return
    with storing(upload.name):
        upload.data.mkdir(exist_ok=True)
        os.rename(upload.archive, upload.file)
    upload.save(state="ready", files=1)


def start_unpacking(uploads: Uploads, upload: Upload) -> None:
    """Unpack in a process of its own, at low priority: whatever the archive does to it, the server goes on."""
    environment = os.environ | {"PYTHONPATH": str(_ROOT)}
    with (upload.folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.uploads.unpacking", str(uploads.folder.resolve()), upload.id],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives
