"""The process of a job: hold its lock, wait for its turn, carry out its request, write how it ended."""

import os
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from pipelines import job_queue, locks


def main(attempt: Path) -> int:
    """Do one attempt at a job. Returns an exit status."""
    if hasattr(os, "nice"):
        os.nice(10)  # viewers come first
    with locks.holding(attempt / job_queue.LOCK):
        if (attempt / job_queue.BEGAN).exists() or (attempt / job_queue.OUTCOME).exists():
            return 1  # another process has had this attempt
        job_queue.Pulse(attempt).start()
        with ExitStack() as stack:
            if job_queue.ticket(attempt) is not None:
                stack.enter_context(closing(job_queue.take_turn(attempt, places=job_queue.slots())))
            else:  # short, and waits for nobody
                (attempt / job_queue.BEGAN).touch()
            return _work(attempt)


def _work(attempt: Path) -> int:
    # Libraries are loaded only now: a job that waits stays small.
    from pipelines.errors import Cancelled, PipelineError
    from pipelines.execute import execute
    from pipelines.jobs.job import end, request_of
    from pipelines.jobs.needs import check_space
    from pipelines.progress import Progress
    from pipelines.store import files
    from pipelines.uploads import in_use

    runs = next(folder.parent for folder in attempt.parents if folder.name == job_queue.JOBS)
    state, message = "failed", "stopped by an unexpected error; see its log"
    try:
        request = request_of(attempt)
        check_space(request, runs)
        with ExitStack() as stack:
            for path in request.paths(Path.cwd()):
                stack.enter_context(in_use(path))  # a week without use would delete an upload
            done = execute(request, Progress(record=attempt / "progress.json", stream=sys.stderr), runs=runs)
        if done.result is not None:
            files.write_json(attempt / job_queue.RESULT, done.result)
        if done.text:
            print(done.text)
        state, message = ("done", "") if done.ok else ("failed", "ended with status 2; its log says why")
    except Cancelled as error:
        state, message = "cancelled", str(error)
    except PipelineError as error:
        message = str(error)
    finally:
        if state != "done" and message:
            print(f"{state}: {message}", file=sys.stderr)
        end(attempt, state, message)
    return 0 if state == "done" else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
