"""The process of a job: hold its lock, wait for its turn, run its command line, write how it ended."""

import fcntl
import json
import os
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from pipelines import turns


def main(attempt: Path) -> int:
    """Do one attempt at a job. Returns an exit status."""
    os.nice(10)  # viewers come first
    with (attempt / turns.LOCK).open("ab") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # freed by the system however this process ends
        if (attempt / turns.BEGAN).exists() or (attempt / turns.OUTCOME).exists():
            return 1  # another process has had this attempt
        turns.Pulse(attempt).start()
        with _place(attempt):
            return _work(attempt)


def _place(attempt: Path) -> IO[bytes]:
    """Something to hold while at work: a place among those that work at once, or nothing much for who need not wait."""
    if turns.ticket(attempt) is not None:
        return turns.take_turn(attempt, places=turns.slots())
    (attempt / turns.BEGAN).touch()
    return open(os.devnull, "rb")


def _work(attempt: Path) -> int:
    # Libraries are loaded only now: a job that waits stays small.
    from typer.exceptions import TyperException

    from pipelines import progress
    from pipelines.cli import app
    from pipelines.errors import Cancelled, PipelineError
    from pipelines.jobs import check_space, end
    from pipelines.jobs.names import upload_folders
    from pipelines.uploads import in_use

    arguments = [str(part) for part in json.loads((attempt / turns.ATTEMPT).read_text())["arguments"]]
    progress.keep_record(attempt / "progress.json")
    state, message = "failed", "stopped by an unexpected error; see its log"
    try:
        check_space(arguments, _runs(attempt))
        with ExitStack() as stack:
            for folder in upload_folders(arguments, Path.cwd()):
                stack.enter_context(in_use(folder))  # a week without use would delete it
            status = app(arguments, standalone_mode=False)
        state, message = ("failed", f"ended with status {status}; its log says why") if status else ("done", "")
    except Cancelled as error:
        state, message = "cancelled", str(error)
    except PipelineError as error:
        message = str(error)
    except TyperException as error:
        message = error.format_message()
    finally:
        if state != "done" and message:
            print(f"{state}: {message}", file=sys.stderr)
        end(attempt, state, message)
    return 0 if state == "done" else 1


def _runs(attempt: Path) -> Path:
    return next(folder.parent for folder in attempt.parents if folder.name == turns.JOBS)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
