"""A request to a job: a name for its run, room for it, its record, written whole, and its process.

In a terminal the command itself is that process: `listed` keeps the same record for it.
"""

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from pipelines import job_queue, links, locks
from pipelines.errors import Cancelled, NoSuchRun, PipelineError, RunError
from pipelines.jobs.job import ENDED, Attempt, Job, Order, end, list_jobs, read
from pipelines.jobs.needs import check_space
from pipelines.progress import Progress
from pipelines.requests import (
    ROOT,
    SAMPLE_RUN,
    AddSeedsRequest,
    ImportRequest,
    ModelImportRequest,
    Request,
    RunRequest,
    SampleRequest,
    sample_request,
)
from pipelines.store import files
from pipelines.store.files import check_name
from pipelines.store.manage import make, staged_attempts
from pipelines.store.runs import open_run

_IN_PROCESS: Final = threading.Lock()  # file locks tell processes apart, not the threads of one
_LATER_SEEDS: Final = (1, 2)  # of the sample
_TERMINAL_LOG: Final = "started in a terminal, where its messages are\n"

# In the background ---------------------------------------------------------------------------------------------------


def start(
    request: Request,
    runs: Path,
    *,
    stages: Sequence[tuple[str, float]] = (),
    waits: bool = True,
    folder: Path | None = None,
    needed: int | None = None,
) -> Job:
    """Put a request in line, on this runs folder; its process runs on whatever becomes of ours.

    A run without a name gets one that is free. stages: expected seconds of each of its stages, for the time left.
    waits: False for something short that runs at once, beside what is at work. folder: where its relative paths start;
    by default here. needed: bytes on disk, if that is known already; else the data set is opened to tell.
    Raises RunError when the disk has too little room or a run of that name is there or on its way.
    """
    runs = runs.resolve()
    make(runs / job_queue.JOBS)
    with _alone(runs):
        request = named(request, runs)
        check_space(request, runs, folder=folder, needed=needed)
        job = _new_job(request, runs, folder or Path.cwd(), stages=stages, waits=waits)
    _spawn(job)
    return job


def resume(job: Job) -> Job:
    """Put it in line again, to go on from what was done if there is anything. Raises RunError while it is alive."""
    return _again(job, anew=not job.resumable)


def retry(job: Job) -> Job:
    """Put it in line again, to begin from nothing. Raises RunError while it is alive."""
    return _again(job, anew=True)


def _again(job: Job, *, anew: bool) -> Job:
    """Another attempt at a job, from nothing or going on; its process looks whether there is room on the disk.

    Raises RunError while the job is alive, when it is done, and when its request cannot be read any more.
    """
    if job.alive():
        raise RunError(f"job {job.id} is still at work; cancel it first")
    if job.state() == "done":
        raise RunError(f"job {job.id} is done; there is nothing to start again")
    request = job.order.made().resumed(not anew)
    previous = job.attempt
    waits = True
    if previous is not None:
        try:
            waits = read(previous / job_queue.ATTEMPT, Attempt).waits
        except RunError:  # of a damaged attempt nothing is needed
            waits = True
    number = int(previous.name) + 1 if previous else 1
    attempt = Attempt(request=request, queued=time.time_ns(), waits=waits, anew=anew)
    _place(job.folder / str(number), {job_queue.ATTEMPT: attempt.model_dump(mode="json", exclude={"arguments"})})
    _spawn(job)
    return job


def _new_job(
    request: Request,
    runs: Path,
    folder: Path,
    *,
    stages: Sequence[tuple[str, float]] = (),
    waits: bool = True,
    anew: bool = True,
) -> Job:
    """Write the record of a job under the next number; to be called inside `_alone`."""
    jobs = runs / job_queue.JOBS
    taken = [int(path.name) for path in jobs.iterdir() if path.name.isdecimal()]
    try:
        last = int((jobs / "last").read_text())  # numbers of removed jobs are not given again
    except (OSError, ValueError):
        last = 0
    number = max([last, *taken]) + 1
    order = Order(
        request=request,
        created=time.time(),
        folder=str(folder.resolve()),
        stages=list(stages),
        link_roots=os.environ.get(links.ROOTS),
    )
    attempt = Attempt(request=request, queued=time.time_ns(), waits=waits, anew=anew)
    content = {"job.json": order, f"1/{job_queue.ATTEMPT}": attempt}
    _place(
        jobs / str(number),
        {name: part.model_dump(mode="json", exclude={"arguments"}) for name, part in content.items()},
    )
    files.write_text(jobs / "last", str(number))
    return Job(jobs / str(number))


def _place(folder: Path, content: dict[str, object]) -> None:
    """Make a folder with its files appear at once, or not at all. Raises RunError when it is there already."""
    staged = folder.with_name(f".new-{folder.name}-{os.getpid()}-{time.time_ns()}")
    try:
        for name, value in content.items():
            files.write_json(staged / name, value)
        os.rename(staged, folder)  # refused by a folder that has something in it
        files.sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        if folder.exists():
            raise RunError(f"job {folder.parent.name} was started again in this very moment; look again") from None
        raise RunError(f"{folder} could not be made ({error.strerror}); see who may write to {folder.parent}") from None


@contextmanager
def _alone(runs: Path) -> Iterator[None]:
    """One at a time chooses the name of a run and the number of a job."""
    with _IN_PROCESS, locks.holding(runs / job_queue.JOBS / "start.lock"):
        yield


def _spawn(job: Job) -> None:
    """Start the process of the newest attempt, in a session of its own: what ends ours does not reach it."""
    attempt = job.attempt
    if attempt is None:
        raise RunError(f"job {job.id} has no attempt; start it anew")
    # Waiting threads must not spin beside viewers (docs/adr/0002-waiting-threads.md).
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    environment |= {"PYTHONPATH": str(ROOT), "PIPELINES_RUNS": str(job.runs), "PYTHONUNBUFFERED": "1"}
    environment.pop(links.ROOTS, None)
    if job.order.link_roots is not None:  # whoever resumes it, it reads what it did before
        environment[links.ROOTS] = job.order.link_roots
    folder = Path(job.order.folder)
    with (attempt / job_queue.LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.worker", str(attempt)],
            cwd=folder if folder.is_dir() else ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives


# In a terminal -------------------------------------------------------------------------------------------------------


@contextmanager
def listed(request: Request, runs: Path) -> Iterator[tuple[Request, Progress]]:
    """Keep a job's record while the block carries a request out, so that the app shows it and can cancel it.

    Yields the request, whose run has a name then, and where its progress is kept.

    It never waits; it takes a place from others if one is free. Where no record can be written the block runs all the
    same. Raises as `named`.
    """
    runs = runs.resolve()
    request = named(request, runs)
    job = _listed_job(request, runs)
    attempt = None if job is None else job.attempt
    if job is None or attempt is None:
        yield request, Progress(stream=sys.stderr)
        return
    with ExitStack() as stack:
        stack.enter_context(locks.holding(attempt / job_queue.LOCK))
        place = job_queue.free_place(job.folder.parent, job_queue.slots())
        if place is not None:
            stack.enter_context(closing(place))
        (attempt / job_queue.BEGAN).touch()
        pulse = job_queue.Pulse(attempt)
        pulse.start()
        state, message = "failed", "stopped by an unexpected error; the terminal says which"
        try:
            yield request, Progress(record=attempt / "progress.json", stream=sys.stderr)
            state, message = "done", ""
        except (Cancelled, KeyboardInterrupt) as error:
            state, message = "cancelled", str(error) or "stopped at once in its terminal"
            raise
        except PipelineError as error:
            message = str(error)
            raise
        finally:
            pulse.stop()
            end(attempt, state, message)
            if state == "failed" and not (attempt / "progress.json").exists():
                job.remove()  # bad input: nothing was begun


def _listed_job(request: Request, runs: Path) -> Job | None:
    try:
        make(runs / job_queue.JOBS)
        with _alone(runs):
            anew = not getattr(request, "resume", False)
            job = _new_job(request.resumed(False), runs, Path.cwd(), waits=False, anew=anew)
        (job.folder / "1" / job_queue.LOG).write_text(_TERMINAL_LOG)
    except (OSError, PipelineError):  # a folder that may only be read, or a full disk: the work itself will say so
        return None
    return job


# Names of runs -------------------------------------------------------------------------------------------------------


def named(request: Request, runs: Path) -> Request:
    """The request with a name for the run it makes: its own, a free one, or that of the newest attempt to go on with.

    Raises RunError when its name is taken by a run or by another job, or is none; NoSuchRun without such an attempt.
    """
    if not isinstance(request, RunRequest | ImportRequest | ModelImportRequest):
        return request
    busy = {job.run_name for job in list_jobs(runs) if job.state() not in ENDED}
    if request.name is None:
        stem = Path(request.dataset).expanduser().resolve().name
        name = _unfinished(runs, stem) if request.resume else free_name(runs, stem, taken=filter(None, busy))
        return request.model_copy(update={"name": name})
    if check_name(request.name) in busy:
        raise RunError(f"a job is making a run {request.name} already; wait for it, cancel it or choose another --name")
    if (runs / request.name).is_dir():
        raise RunError(f"there is a run {request.name} in {runs} already; choose another --name")
    return request


def free_name(runs: Path, stem: str, *, taken: Iterable[str] = ()) -> str:
    """A run's name made of letters that names may have and a number: one that no run, attempt or job has.

    taken: names that jobs are about to use.
    """
    base, spoken_for, number = _stem(stem), set(taken), 1
    while (
        f"{base}-{number}" in spoken_for
        or (runs / f"{base}-{number}").exists()
        or staged_attempts(runs, f"{base}-{number}")
    ):
        number += 1
    return f"{base}-{number}"


def _stem(text: str) -> str:
    """Any text, such as a data set's folder, as the beginning of a run's name, short enough for a number behind it."""
    return (re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_") or "run")[:56]


def _unfinished(runs: Path, stem: str) -> str:
    """The newest unfinished attempt on a data set. Raises NoSuchRun when there is none."""
    staging = runs / ".staging"
    attempt = re.compile(re.escape(_stem(stem)) + r"-\d+\.\d+")
    attempts = [path for path in staging.iterdir() if attempt.fullmatch(path.name)] if staging.is_dir() else []
    if not attempts:
        raise NoSuchRun(f"there is nothing to resume for {stem} in {runs}; start it without --resume")
    return max(attempts, key=lambda path: path.stat().st_mtime).name.rpartition(".")[0]


# The sample ----------------------------------------------------------------------------------------------------------


def start_sample(runs: Path) -> Job:
    """Put the first seed in line and the others behind it; returns the job of the first."""
    first = start(sample_request(), runs)
    start(AddSeedsRequest(name=SAMPLE_RUN, seeds=_LATER_SEEDS), runs)
    return first


def start_later_seeds(runs: Path) -> Job | None:
    """Put the seeds that the sample run lacks in line, unless they are there or on their way."""
    missing = sorted(set(_LATER_SEEDS) - set(open_run(runs, SAMPLE_RUN).seeds))
    others = (job for job in list_jobs(runs) if not isinstance(job.request, SampleRequest))
    if not missing or any(job.run_name == SAMPLE_RUN and job.state() not in ENDED for job in others):
        return None
    resumed = bool(staged_attempts(runs, SAMPLE_RUN))
    return start(AddSeedsRequest(name=SAMPLE_RUN, seeds=tuple(missing), resume=resumed), runs)
