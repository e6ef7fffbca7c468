"""The queue of jobs: at most so many work at once, in the order they were asked for, without a server.

Only the standard library is imported here: a job that waits is a process of 13 MB, not one with every library loaded.
The folder of one attempt at a job holds attempt.json (its request and its ticket), lock (held as long as its process
lives), heartbeat (who that is, and when it was last heard from), began (it has had its turn), cancel (a stop was asked
for) and, at the end, outcome.json, with result.json beside it if what was run has something to tell.
docs/adr/0004-job-queue.md says why there is no dispatcher.
"""

import json
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final

from pipelines import locks

JOBS: Final = ".jobs"
SLOTS: Final = "slots"
ATTEMPT, LOCK, HEARTBEAT, BEGAN = "attempt.json", "lock", "heartbeat", "began"
CANCEL, OUTCOME, LOG, RESULT = "cancel", "outcome.json", "log.txt", "result.json"
SLOTS_VARIABLE: Final = "PIPELINES_JOBS"  # how many jobs run at once

STARTING_SECONDS: Final = 15.0  # until a new process must hold its lock
LEASE_SECONDS: Final = 60.0  # without a heartbeat a process of another machine counts as dead
GRACE_SECONDS: Final = 30.0  # between asking a process to stop at a safe point and killing it
LOG_BYTES: Final = 1_000_000  # a log that grows beyond this loses its middle
_LOG_HEAD: Final = 100_000  # bytes of its beginning that are kept
_BEAT: Final = 1.0  # seconds
_POLL: Final = 0.5  # seconds between two looks at the queue


def slots() -> int:
    """How many jobs run at once: the environment variable PIPELINES_JOBS, or one."""
    given = os.environ.get(SLOTS_VARIABLE, "")
    return max(1, int(given)) if given.isdecimal() else 1


def alive(attempt: Path) -> bool:
    """Whether the process of an attempt is at work or waiting, or just about to take its lock."""
    who = holder(attempt)
    if who is None and time.time() - _modified(attempt / ATTEMPT) < STARTING_SECONDS:
        return True  # it says who it is once it holds its lock
    if who is not None and who[0] != socket.gethostname():  # locks of other machines are not seen on every disk
        return time.time() - _modified(attempt / HEARTBEAT) < LEASE_SECONDS
    return locks.is_held(attempt / LOCK)


def holder(attempt: Path) -> tuple[str, int] | None:
    """Machine and process id of an attempt; None before it has said so."""
    try:
        machine, number = (attempt / HEARTBEAT).read_text().split()
        return machine, int(number)
    except (OSError, ValueError):
        return None


def heard(attempt: Path) -> float | None:
    """Seconds since the last heartbeat; None when there was none."""
    modified = _modified(attempt / HEARTBEAT)
    return time.time() - modified if modified else None


def newest_attempt(job: Path) -> Path | None:
    """Folder of a job's newest attempt; their names are whole numbers from 1."""
    try:
        numbers = [int(path.name) for path in job.iterdir() if path.name.isdecimal()]
    except OSError:
        return None
    return job / str(max(numbers)) if numbers else None


def ticket(attempt: Path) -> int | None:
    """When it was put in line, nanoseconds since the epoch; None for what waits for nobody, or cannot be read."""
    try:
        content = json.loads((attempt / ATTEMPT).read_text(encoding="utf-8"))
        return int(content["queued"]) if content["waits"] else None
    except (OSError, ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
        return None


def in_line(jobs: Path, *, beside: Path | None = None) -> list[Path]:
    """Newest attempts that wait for their turn, first come first; without `beside`, left out by its own process."""
    waiting: list[tuple[int, int, Path]] = []
    try:
        folders = [path for path in jobs.iterdir() if path.name.isdecimal()]
    except OSError:
        return []
    for job in folders:
        attempt = newest_attempt(job)
        if attempt is None or attempt == beside or not _waits(attempt):
            continue
        queued = ticket(attempt)
        if queued is not None:
            waiting.append((queued, int(job.name), attempt))
    return [attempt for _, _, attempt in sorted(waiting)]


def take_turn(attempt: Path, *, places: int) -> Any:
    """Wait until nobody is before this attempt and one of the places is free; the place is kept until it is closed.

    An attempt counts as waiting until the file `began` is there, which its process writes once it has a place: two
    processes never think both that they are the first.
    """
    jobs = attempt.parent.parent
    mine = (ticket(attempt) or 0, int(attempt.parent.name))
    while True:
        line = in_line(jobs, beside=attempt)
        is_first = not line or (ticket(line[0]) or 0, int(line[0].parent.name)) > mine
        place = free_place(jobs, places) if is_first else None
        if place is not None:
            (attempt / BEGAN).touch()
            return place
        time.sleep(_POLL)


def free_place(jobs: Path, places: int) -> Any:
    """One of the places, kept until it is closed; None when all are taken."""
    (jobs / SLOTS).mkdir(exist_ok=True)
    found = (locks.take(jobs / SLOTS / f"{number}.lock", wait=False) for number in range(places))
    return next((place for place in found if place is not None), None)


def _waits(attempt: Path) -> bool:
    # In this order: most jobs have ended, and a file's name is found sooner than a lock is tried.
    return not (attempt / OUTCOME).exists() and not (attempt / BEGAN).exists() and alive(attempt)


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


class Pulse(threading.Thread):
    """Inside a job's process: beats, notices that a stop was asked for, ends what does not stop, and bounds the log."""

    def __init__(self, attempt: Path) -> None:
        super().__init__(daemon=True, name="pulse")
        self._attempt = attempt
        self._asked = False
        self._over = threading.Event()
        (attempt / HEARTBEAT).write_text(f"{socket.gethostname()} {os.getpid()}")

    def run(self) -> None:
        """Until the process ends, or `stop`."""
        while not self._over.is_set():
            try:
                os.utime(self._attempt / HEARTBEAT)
                shorten(self._attempt / LOG)
            except OSError as error:  # a full disk must not end a training
                print(f"pulse: {error}", file=sys.stderr)
            self._obey()
            self._over.wait(_BEAT)

    def stop(self) -> None:
        """No beat after this: the job is over and its process goes on with something else."""
        self._over.set()
        self.join()

    def _obey(self) -> None:
        asked = _modified(self._attempt / CANCEL)
        if not asked:
            return
        if not self._asked:
            self._asked = True
            os.kill(os.getpid(), signal.SIGTERM)
        if time.time() - asked > GRACE_SECONDS and not committing(self._attempt):
            end_by_force(os.getpid())


def end_by_force(process: int) -> None:
    """Kill a process with what it has started, whose group it leads unless it was started in a terminal."""
    if not hasattr(os, "killpg"):  # Windows, where this signal ends a process
        os.kill(process, signal.SIGTERM)
    elif os.getpgid(process) == process:
        os.killpg(process, signal.SIGKILL)
    else:  # the group is a shell script's, or make's
        os.kill(process, signal.SIGKILL)


def committing(attempt: Path) -> bool:
    """Whether the run is being put in its place: that is short, and nothing is gained by killing it."""
    try:
        return str(json.loads((attempt / "progress.json").read_text())["stage"]).startswith("commit")
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return False


def shorten(log: Path, *, most: int = LOG_BYTES) -> None:
    """Cut the middle out of a log that is longer than `most` bytes: its beginning and its newest half are kept.

    The file is rewritten in place, because those who write into it have it open for appending. A line that is written
    in this very moment may be lost.
    """
    if not log.exists() or log.stat().st_size <= most:
        return
    content = log.read_bytes()
    head = min(_LOG_HEAD, most // 4)
    kept = content[:head] + b"\n[... the middle of this log was left out ...]\n" + content[-(most // 2) :]
    with log.open("r+b") as file:
        file.write(kept)
        file.truncate()
