"""A command that runs in a terminal to a job in the list, so that the app shows it and can cancel it."""

import fcntl
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from pipelines import links, progress, turns
from pipelines.errors import Cancelled, PipelineError
from pipelines.jobs.job import Asked, Attempt, Job, end
from pipelines.jobs.names import option, without
from pipelines.jobs.start import alone, new_job, sample_arguments
from pipelines.store.manage import make

_LOG: Final = "started in a terminal, where its messages are\n"
_line: list[str] = []  # the command line of this process, once note_command_line was called


def note_command_line(arguments: Sequence[str]) -> None:
    """Say what this process was started with, after `python -m pipelines`; only then does `listed` list anything."""
    _line[:] = arguments


@contextmanager
def listed(runs: Path, name: str) -> Iterator[None]:
    """Keep a job's record while the block makes a run. It never waits; it takes a place from others if one is free.

    Where no record can be written the block runs all the same.
    """
    job = _new(runs.resolve(), name) if _line else None
    attempt = None if job is None else job.attempt
    if job is None or attempt is None:
        yield
        return
    with ExitStack() as stack:
        lock = stack.enter_context((attempt / turns.LOCK).open("ab"))
        fcntl.lockf(lock, fcntl.LOCK_EX)
        place = turns.free_place(job.folder.parent, turns.slots())
        if place is not None:
            stack.enter_context(place)
        (attempt / turns.BEGAN).touch()
        pulse = turns.Pulse(attempt)
        pulse.start()
        progress.keep_record(attempt / "progress.json")
        state, message = "failed", "stopped by an unexpected error; the terminal says which"
        try:
            yield
            state, message = "done", ""
        except (Cancelled, KeyboardInterrupt) as error:
            state, message = "cancelled", str(error) or "stopped at once in its terminal"
            raise
        except PipelineError as error:
            message = str(error)
            raise
        finally:
            progress.keep_record(None)
            pulse.stop()
            end(attempt, state, message)
            if state == "failed" and not (attempt / "progress.json").exists():
                job.remove()  # bad input: nothing was begun


def _new(runs: Path, name: str) -> Job | None:
    arguments = sample_arguments() if _line[0] == "sample" else without(without(_line, "--runs"), "--record")
    if option(arguments, "--name") is None:
        arguments += ["--name", name]
    roots = os.environ.get(links.ROOTS)
    asked = Asked(arguments=arguments, created=time.time(), folder=str(Path.cwd()), link_roots=roots)
    anew = "--resume" not in arguments
    try:
        make(runs / turns.JOBS)
        with alone(runs):
            job = new_job(
                runs / turns.JOBS, asked,
                Attempt(arguments=arguments, queued=time.time_ns(), waits=False, anew=anew),
            )  # fmt: skip
        (job.folder / "1" / turns.LOG).write_text(_LOG)
    except (OSError, PipelineError):  # a folder that may only be read, or a full disk: the work itself will say so
        return None
    return job
