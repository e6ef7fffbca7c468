"""A command line to a job: its record, written whole, and its process, which waits for its turn."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines import links, turns
from pipelines.errors import ConfigError, RunError
from pipelines.jobs.job import ENDED, Asked, Attempt, Job, list_jobs
from pipelines.jobs.names import ROOT, free_name, option
from pipelines.jobs.space import check_space
from pipelines.storage import files
from pipelines.storage.moves import make

# Commands that take long; the others answer at once.
COMMANDS: Final = (
    "run",
    "sample",
    "check",
    "train",
    "predict",
    "evaluate",
    "add-seeds",
    "import",
    "import-model",
    "export",
    "estimate",
)
_IN_PROCESS: Final = threading.Lock()  # file locks tell processes apart, not the threads of one


def start(
    arguments: Sequence[str],
    runs: Path,
    *,
    stages: Sequence[tuple[str, float]] = (),
    waits: bool = True,
    folder: Path | None = None,
    needed: int | None = None,
) -> Job:
    """Put `python -m pipelines ARGUMENTS`, on this runs folder, in line; its process runs on whatever becomes of ours.

    A `run` without a name gets one that is free. stages: expected seconds of each of its stages, for the time left.
    waits: False for something short that runs at once, beside what is at work. folder: where relative paths on the
    command line start; by default here. needed: bytes on disk, if that is known already; else the data set is opened
    to tell.
    Raises ConfigError for a command that is no long work, RunError when the disk has too little room or a run of that
    name is there or on its way.
    """
    runs = runs.resolve()
    if not arguments or arguments[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise ConfigError(f"a job runs one of {known}; got {arguments[0] if arguments else 'nothing'!r}")
    if option(arguments, "--runs") is not None:
        raise ConfigError("a job works on the runs folder that it is started in; leave --runs out of its command line")
    make(runs / turns.JOBS)
    with alone(runs):
        arguments = _named(list(arguments), runs)
        check_space(arguments, runs, folder=folder, needed=needed)
        asked = Asked(
            arguments=arguments,
            created=time.time(),
            folder=str((folder or Path.cwd()).resolve()),
            stages=list(stages),
            link_roots=os.environ.get(links.ROOTS),
        )
        job = new_job(runs / turns.JOBS, asked, Attempt(arguments=arguments, queued=time.time_ns(), waits=waits))
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

    Raises RunError while the job is alive, and when it is done.
    """
    if job.alive():
        raise RunError(f"job {job.id} is still at work; cancel it first")
    if job.state() == "done":
        raise RunError(f"job {job.id} is done; there is nothing to start again")
    asked = job.asked
    arguments = [part for part in asked.arguments if part != "--resume"] + ([] if anew else ["--resume"])
    previous = job.attempt
    waits = True
    if previous is not None:
        try:
            waits = Attempt.model_validate_json((previous / turns.ATTEMPT).read_bytes()).waits
        except (OSError, ValueError):  # of a damaged attempt nothing is needed
            waits = True
    number = int(previous.name) + 1 if previous else 1
    _place(job.folder / str(number), {turns.ATTEMPT: Attempt(
        arguments=arguments, queued=time.time_ns(), waits=waits, anew=anew
    ).model_dump()})  # fmt: skip
    _spawn(job)
    return job


def _named(arguments: list[str], runs: Path) -> list[str]:
    """The command line with a name for the run it makes. Raises RunError when the name is taken."""
    if arguments[0] != "run":
        return arguments
    busy = {job.run_name for job in list_jobs(runs) if job.run_name is not None and job.state() not in ENDED}
    given = option(arguments, "--name")
    if given is None:
        if "--resume" in arguments:
            raise ConfigError("--resume needs the --name of the run to go on with")
        stem = Path(next((part for part in arguments[1:] if not part.startswith("-")), "run")).expanduser()
        return [*arguments, "--name", free_name(runs, stem.resolve().name, taken=busy)]
    if given in busy:
        raise RunError(f"a job is making a run {given} already; wait for it, cancel it or choose another --name")
    if (runs / given).is_dir() and given:
        raise RunError(f"there is a run {given} in {runs} already; choose another --name")
    return arguments


def new_job(jobs: Path, asked: Asked, attempt: Attempt) -> Job:
    """Write the record of a job under the next number; to be called inside `alone`."""
    taken = [int(path.name) for path in jobs.iterdir() if path.name.isdecimal()]
    try:
        last = int((jobs / "last").read_text())  # numbers of removed jobs are not given again
    except (OSError, ValueError):
        last = 0
    number = max([last, *taken]) + 1
    _place(jobs / str(number), {"job.json": asked.model_dump(), f"1/{turns.ATTEMPT}": attempt.model_dump()})
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
def alone(runs: Path) -> Iterator[None]:
    """One at a time chooses the name of a run and the number of a job."""
    with _IN_PROCESS, (runs / turns.JOBS / "start.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
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
    if job.asked.link_roots is not None:  # whoever resumes it, it reads what it did before
        environment[links.ROOTS] = job.asked.link_roots
    there = Path(job.asked.folder)
    with (attempt / turns.LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.worker", str(attempt)], cwd=there if there.is_dir() else ROOT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives
