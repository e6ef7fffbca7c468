"""A received archive to its data or its refusal, as a process: `python -m pipelines.uploads.unpacking WORKSPACE ID`."""

import os
import resource
import shutil
import sys
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Final

from pipelines.errors import PipelineError
from pipelines.progress import Progress
from pipelines.uploads.archives import unpack
from pipelines.uploads.limits import GIB
from pipelines.uploads.locks import held
from pipelines.uploads.workspace import Upload, Uploads, load

PROGRESS: Final = "progress.json"
_MEMORY: Final = GIB  # of this process: an archive within the limits needs a tenth of it
_TURN: Final = ".unpacking"  # one archive at a time, so that each knows what room the others leave


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
    resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.nice(10)
    upload = load(Path(workspace) / id)
    if upload is not None and upload.state == "received":
        unpack_upload(Uploads(Path(workspace).parent), upload)


if __name__ == "__main__":
    main(*sys.argv[1:])
