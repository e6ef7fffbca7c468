"""A job's folder on disk to where the job stands, and the requests that can be made of its process."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any, Final

from pipelines import turns
from pipelines.errors import RunError
from pipelines.jobs import left
from pipelines.jobs.names import option
from pipelines.jobs.record import Asked, Attempt, Outcome, Point, State, Status, modified, read, standing_of
from pipelines.storage import staged_attempts
from pipelines.storage.moves import held
from pipelines.storage.places import MANIFEST

RESUMABLE: Final = ("run", "add-seeds", "import", "import-model")  # commands that take --resume
_LOG_SHOWN: Final = 20_000  # bytes of a log's end


class Job:
    """One job, read from its folder; every look reads the disk anew. A damaged record is a state, never an error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.runs = next(parent.parent for parent in folder.parents if parent.name == turns.JOBS)

    @property
    def asked(self) -> Asked:
        """What was asked for. Raises RunError when the record is damaged."""
        return read(self.folder / "job.json", Asked)

    @property
    def arguments(self) -> list[str]:
        """Command line after `python -m pipelines`, as it was asked for; empty when the record is damaged."""
        try:
            return self.asked.arguments
        except RunError:
            return []

    @property
    def run_name(self) -> str | None:
        """Name of the run the job makes, if its command line gives one."""
        arguments = self.arguments
        named = option(arguments, "--name")
        if named is None and arguments[:1] in (["evaluate"], ["add-seeds"], ["import"], ["import-model"]):
            return next((part for part in arguments[1:] if not part.startswith("-")), None)
        return named

    @property
    def title(self) -> str:
        """The run it makes, or its command line."""
        return self.run_name or " ".join(self.arguments) or f"job {self.id}"

    @property
    def attempt(self) -> Path | None:
        """Folder of the newest attempt."""
        return turns.newest_attempt(self.folder)

    def alive(self) -> bool:
        """Whether its process is at work or waits for its turn."""
        attempt = self.attempt
        return attempt is not None and not (attempt / turns.OUTCOME).exists() and turns.alive(attempt)

    def state(self) -> State:
        """The state alone, which costs less than `status`."""
        return self.told()[0]

    def told(self) -> tuple[State, str]:
        """The state and what there is to say of it."""
        attempt = self.attempt
        try:
            asked = self.asked
        except RunError as error:
            return "damaged", str(error)
        if attempt is None:
            return "damaged", f"job {self.id} has a record but no attempt; start it anew"
        alive = turns.alive(attempt)  # before looking for the outcome: a process that ends in between has written it
        if (attempt / turns.OUTCOME).exists():
            try:
                outcome = read(attempt / turns.OUTCOME, Outcome)
            except RunError as error:
                return "failed", str(error)
            return outcome.state, outcome.message
        if alive and not (attempt / turns.BEGAN).exists():
            return "queued", ""
        if alive:
            return "committing" if turns.committing(attempt) else "running", ""
        if (attempt / turns.CANCEL).exists():
            return "cancelled", "stopped on request"
        if self._committed(attempt, asked):
            return "done", ""
        began = (attempt / turns.BEGAN).exists()
        return "orphaned", "its process is gone" + ("" if began else "; it had not had its turn yet")

    def _committed(self, attempt: Path, asked: Asked) -> bool:
        """Whether its run is whole although its process did not live to say so."""
        if asked.arguments[0] not in RESUMABLE or self.run_name is None:
            return False
        try:
            return (self.runs / self.run_name / MANIFEST).stat().st_mtime >= (attempt / turns.ATTEMPT).stat().st_mtime
        except OSError:
            return False

    def status(self) -> Status:
        """Where it stands. A cancelled job that has not stopped after GRACE_SECONDS is killed here."""
        state, message = self.told()
        attempt = self.attempt
        if attempt is None or state == "damaged":
            return Status(state=state, message=message)
        standing = standing_of(attempt)
        known: dict[str, Any] = {
            "state": state, "attempt": int(attempt.name), "heard": turns.heard(attempt),
            "began": modified(attempt / turns.BEGAN), "ended": modified(attempt / turns.OUTCOME),
            "curves": self._curves(attempt),
        }  # fmt: skip
        if state == "queued":
            line = turns.in_line(self.folder.parent)
            known["place"] = line.index(attempt) + 1 if attempt in line else None
            return Status(**known)
        if state not in ("running", "committing"):
            return Status(**known, stage=standing.stage, done=standing.done, total=standing.total, message=message)
        self.kill_if_overdue(attempt, state)
        total_left, least = left.total_left(self.arguments, self.asked.stages, standing.model_dump())
        return Status(
            **known, stage=standing.stage, done=standing.done, total=standing.total, message=standing.message,
            seconds_left=standing.seconds_left, total_left=total_left, total_is_least=least,
        )  # fmt: skip

    def log(self) -> str:
        """The end of the newest attempt's log."""
        attempt = self.attempt
        try:
            with (attempt or self.folder).joinpath(turns.LOG).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_SHOWN))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def result(self) -> dict[str, Any] | None:
        """What the newest attempt's command found, if it leaves something; None when it has not, or is damaged."""
        try:
            found = json.loads(((self.attempt or self.folder) / turns.RESULT).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) else None

    def example_files(self) -> list[Path]:
        """Files of validation examples, by seed and epoch, of the newest attempt and those that it goes on from."""
        found: dict[str, Path] = {}
        for attempt in self._line(self.attempt):
            found |= {path.name: path for path in (attempt / "examples").glob("seed=*-epoch=*.parquet")}
        return [found[name] for name in sorted(found)]

    def _curves(self, newest: Path) -> list[Point]:
        """Points of all attempts since the last that began from nothing; later ones count where two say the same."""
        points: dict[tuple[str, int, int], Point] = {}
        for attempt in self._line(newest):
            for point in standing_of(attempt).curves:
                points[point["head"], point["seed"], point["epoch"]] = point
        return list(points.values())

    def _line(self, newest: Path | None) -> list[Path]:
        """The newest attempt and those before it that it goes on from, oldest first."""
        line: list[Path] = []
        number = int(newest.name) if newest else 0
        while number >= 1:
            attempt = self.folder / str(number)
            line.insert(0, attempt)
            try:
                if read(attempt / turns.ATTEMPT, Attempt).anew:
                    break
            except RunError:
                break
            number -= 1
        return line

    def cancel(self) -> None:
        """Ask it to stop at its next safe point, or to leave the line; what is done so far can be resumed."""
        attempt = self.attempt
        if attempt is None or not self.alive():
            return
        (attempt / turns.CANCEL).touch()
        _signal(attempt, signal.SIGTERM)

    def kill_if_overdue(self, attempt: Path, state: State) -> None:
        """Kill a process that was asked to stop and has not within GRACE_SECONDS."""
        asked = modified(attempt / turns.CANCEL)
        if asked is not None and state != "committing" and time.time() - asked > turns.GRACE_SECONDS:
            _signal(attempt, signal.SIGKILL)

    @property
    def resumable(self) -> bool:
        """Whether there is something of an earlier attempt to go on from."""
        return (
            bool(self.arguments)
            and self.arguments[0] in RESUMABLE
            and bool(self.run_name and staged_attempts(self.runs, self.run_name))
        )

    def remove(self) -> None:
        """Take its record and log from the list; its run stays. Raises RunError while it is alive."""
        if self.alive():
            raise RunError(f"job {self.id} is still at work; cancel it first")
        gone = self.folder.with_name(f".gone-{self.id}-{time.time_ns()}")
        with contextlib.suppress(FileNotFoundError):
            self.folder.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def discard(self) -> None:
        """Take it from the list like `remove`, and delete what it has done of a run that is not whole.

        Raises RunError while it is alive, or while another process is working on that run.
        """
        name = self.run_name
        if self.alive():
            raise RunError(f"job {self.id} is still at work; cancel it first")
        if name is not None and self.arguments[:1] != ["evaluate"]:
            with held(self.runs, name):
                for attempt in staged_attempts(self.runs, name):
                    shutil.rmtree(attempt, ignore_errors=True)
        self.remove()


def _signal(attempt: Path, number: signal.Signals) -> None:
    """Send a signal to the group of an attempt's process, if it is on this machine and holds its lock.

    A free lock means that the number may be somebody else's by now.
    """
    who = turns.holder(attempt)
    if who is None or who[0] != socket.gethostname() or not turns.held(attempt / turns.LOCK):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(who[1], number)
