"""The jobs of a runs folder: all, one by its number, and those whose process is gone."""

import contextlib
from pathlib import Path
from typing import Final

from pipelines import turns
from pipelines.errors import RunError
from pipelines.jobs.job import Job
from pipelines.jobs.record import end

_OUTCOMES: Final = ("done", "failed", "cancelled", "orphaned")


def list_jobs(runs: Path) -> list[Job]:
    """Jobs of a runs folder, newest first."""
    folder = runs.resolve() / turns.JOBS
    try:
        found = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    except OSError:
        return []
    return [Job(path) for path in sorted(found, key=lambda path: int(path.name), reverse=True)]


def seeds_to_come(runs: Path, name: str) -> bool:
    """Whether a job is in line or at work that adds seeds to this run."""
    waiting = (job for job in list_jobs(runs) if job.arguments[:1] == ["add-seeds"] and job.run_name == name)
    return any(job.alive() for job in waiting)


def find_job(runs: Path, number: str) -> Job:
    """The job of a number. Raises RunError when there is none."""
    folder = runs.resolve() / turns.JOBS / number
    if not number.isdecimal() or not folder.is_dir():
        raise RunError(f"there is no job {number!r} in {runs}; `python -m pipelines jobs` lists them")
    return Job(folder)


def sweep(runs: Path) -> list[Job]:
    """Note down which jobs have lost their process, and end those that did not stop when asked to.

    Returns the jobs that were found orphaned now; `start.resume` and `start.retry` start them again.
    """
    found = []
    for job in list_jobs(runs):
        attempt = job.attempt
        if attempt is None or (attempt / turns.OUTCOME).exists():
            continue
        state, message = job.told()
        if state in _OUTCOMES:
            with contextlib.suppress(RunError):  # a folder that may only be read: the state is told all the same
                end(attempt, state, message)
            found += [job] if state == "orphaned" else []
        elif state in ("queued", "running"):
            job.kill_if_overdue(attempt, state)
    return found
