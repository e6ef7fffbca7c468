"""The process of a job: hold its lock, run its command line, write how it ended."""

import fcntl
import os
import sys
from pathlib import Path

from pipelines.cli import app
from pipelines.errors import Cancelled, PipelineError
from pipelines.jobs import Job
from pipelines.storage import files


def work(folder: Path) -> int:
    """Do the job whose record is in folder. Returns an exit status."""
    with (folder / "lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # freed by the system however this process ends
        lock.write(str(os.getpid()))
        lock.flush()
        os.nice(10)  # viewers come first
        outcome: dict[str, str] = {"state": "failed", "message": "stopped by an unexpected error; see its log"}
        try:
            app([*Job(folder).arguments, "--record", str(folder / "progress.json")], standalone_mode=False)
            outcome = {"state": "done", "message": ""}
        except Cancelled as error:
            outcome = {"state": "cancelled", "message": str(error)}
        except PipelineError as error:
            outcome = {"state": "failed", "message": str(error)}
        finally:
            files.write_json(folder / "outcome.json", outcome)
    return 0 if outcome["state"] == "done" else 1


if __name__ == "__main__":
    sys.exit(work(Path(sys.argv[1])))
