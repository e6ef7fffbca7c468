"""A job's folder on disk to where it stands, and the requests that can be made of its process."""

import contextlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from pipelines import job_queue, locks
from pipelines.errors import ConfigError, RunError
from pipelines.requests import AddSeedsRequest, AnyRequest, Request, RunRequest
from pipelines.schema import Head
from pipelines.store import files
from pipelines.store.files import MANIFEST
from pipelines.store.manage import held, staged_attempts
from pipelines.uploads.workspace import upload_folder

# The files of a record -----------------------------------------------------------------------------------------------

State: TypeAlias = Literal["queued", "running", "committing", "done", "failed", "cancelled", "orphaned", "damaged"]
ENDED: Final[tuple[State, ...]] = ("done", "failed", "cancelled", "orphaned", "damaged")

Model = TypeVar("Model", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class _Requested(_Record):
    """request: what is to be done. arguments: the same as a command line, which is what earlier versions kept."""

    request: AnyRequest | None = None
    arguments: list[str] = []

    @model_validator(mode="after")
    def _something(self) -> Self:
        if self.request is None and not self.arguments:
            raise ValueError("there is no request in it")
        return self

    @property
    def command(self) -> str:
        """Such as "run"."""
        return self.arguments[0] if self.request is None else self.request.command

    def made(self) -> Request:
        """The request. Raises RunError where an earlier version kept a command line that is none any more."""
        if self.request is not None:
            return self.request
        try:
            return _translated(tuple(self.arguments))
        except ConfigError as error:
            raise RunError(f"an earlier version made it, with options that are none any more: {error}") from None


@lru_cache(maxsize=256)
def _translated(arguments: tuple[str, ...]) -> Request:
    from pipelines.options import parse  # loads the command line's library, which new records do not need

    return parse(arguments)[0]


class Order(_Requested):
    """job.json. folder: where relative paths of the request start; stages: name and expected seconds of each.

    link_roots: as `links.ROOTS` was when it was asked for; None: links lead anywhere.
    """

    created: float
    folder: str
    stages: list[tuple[str, float]] = []
    link_roots: str | None = ""


class Attempt(_Requested):
    """attempt.json. queued: its ticket, nanoseconds; waits: whether it takes its turn; anew: it begins from nothing."""

    queued: int
    waits: bool = True
    anew: bool = True


def request_of(attempt: Path) -> Request:
    """The request that an attempt carries out. Raises RunError."""
    return read(attempt / job_queue.ATTEMPT, Attempt).made()


class Outcome(_Record):
    """outcome.json."""

    state: Literal["done", "failed", "cancelled", "orphaned"]
    message: str = ""


class Point(TypedDict):
    """One epoch of one head in the live curves, with what else a training says of it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    head: Head
    seed: int
    epoch: int
    score: float | None
    loss: float | None


class Standing(_Record):
    """progress.json, as pipelines.progress writes it; seconds: since the stage began."""

    stage: str = ""
    done: int = 0
    total: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    message: str = ""
    curves: list[Point] = []
    stages: list[tuple[str, float]] = []


class Status(_Record):
    """Where a job stands.

    place: in line, from 1, when queued. done of total steps of this stage; seconds_left: of this stage;
    total_left: of the whole job as far as it can be told, with total_is_least when more will come on top.
    heard: seconds since its process was last heard from. curves: entries head, seed, epoch, score, loss.
    began, ended: seconds since the epoch.
    """

    state: State
    attempt: int = 0
    place: int | None = None
    stage: str = ""
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    total_left: float | None = None
    total_is_least: bool = False
    message: str = ""
    curves: list[Point] = []
    heard: float | None = None
    began: float | None = None
    ended: float | None = None

    @property
    def at_work(self) -> bool:
        """Whether it has its turn now."""
        return self.state in ("running", "committing")


def end(attempt: Path, state: str, message: str) -> None:
    """Write how an attempt ended, unless that is written: whoever comes late, such as a process that was taken for
    dead, changes nothing.
    """
    outcome = attempt / job_queue.OUTCOME
    own = attempt / f"outcome-{os.getpid()}-{time.time_ns()}"
    files.write_json(own, {"state": state, "message": message})
    try:
        os.link(own, outcome)  # unlike a rename it does not replace
    except FileExistsError:
        pass
    except OSError:  # a disk without links
        if not outcome.exists():
            os.replace(own, outcome)
    own.unlink(missing_ok=True)


def standing_of(attempt: Path) -> Standing:
    """How far an attempt is; nothing yet before it has said so."""
    try:
        return read(attempt / "progress.json", Standing)
    except RunError:  # not written yet
        return Standing()


def read(path: Path, model: type[Model]) -> Model:
    """A file of a record. Raises RunError, with what is missing or wrong, when it cannot be read."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise RunError(f"{path.name} of job {_job_number(path)} is missing; start it anew") from None
    except OSError as error:
        raise RunError(f"{path.name} of job {_job_number(path)} cannot be read ({error.strerror})") from None
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole of it"
        damaged = f"{path.name} of job {_job_number(path)} is damaged ({where}: {first['msg']})"
        raise RunError(f"{damaged}; remove the job, or start it anew") from None


def _job_number(path: Path) -> str:
    return next((part.name for part in path.parents if part.parent.name == job_queue.JOBS), path.parent.name)


def modified(path: Path) -> float | None:
    """When a file was written, in seconds since the epoch; None when there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None


# Time left -----------------------------------------------------------------------------------------------------------

_SLOWER, _FASTER = 4.0, 0.25  # what was expected is corrected by what was seen, within these bounds
_TRAIN: Final = "train seed "


def total_left(
    seeds: Sequence[int], expected: Sequence[tuple[str, float]], standing: Mapping[str, Any]
) -> tuple[float | None, bool]:
    """Seconds left in total, and whether more will come on top that nobody has measured.

    seeds: that are trained. expected: name and seconds of each stage, in order; empty when the job was started without
    an estimate: then only the trainings of seeds to come are counted, each as long as the present one. standing: of
    progress.json.
    None when nothing can be told yet.
    """
    here = standing["seconds_left"]
    if not expected:
        if here is None:
            return None, True
        trained = [f"{_TRAIN}{seed}" for seed in seeds]
        later = len(seeds) - 1 - trained.index(standing["stage"]) if standing["stage"] in trained else 0
        return here + later * _whole(standing), True
    names = [name for name, _ in expected]
    if standing["stage"] not in names:
        return None, False
    at = names.index(standing["stage"])
    if here is None:
        share = standing["done"] / standing["total"] if standing["total"] else 0.0
        here = expected[at][1] * (1 - min(share, 1.0))
    seen = dict(standing["stages"])
    if standing["seconds_left"] is not None:
        seen[standing["stage"]] = _whole(standing)
    return here + sum(seconds * _correction(name, expected, seen) for name, seconds in expected[at + 1 :]), False


def _whole(standing: Mapping[str, Any]) -> float:
    """Seconds the present stage takes from its first step to its last, at its speed so far."""
    to_do = standing["total"] - standing["done"]
    if to_do <= 0:
        return float(standing["seconds"])
    return float(standing["seconds_left"]) / to_do * standing["total"]


def _correction(name: str, expected: Sequence[tuple[str, float]], seen: Mapping[str, float]) -> float:
    """How much longer stages took than was expected: those of this kind if there were any, else all together."""
    kind = name.partition(" ")[0]
    same = [(seen[one], seconds) for one, seconds in expected if one in seen and one.partition(" ")[0] == kind]
    every = same or [(seen[one], seconds) for one, seconds in expected if one in seen]
    planned = sum(seconds for _, seconds in every)
    if planned <= 0:
        return 1.0
    return min(_SLOWER, max(_FASTER, sum(seconds for seconds, _ in every) / planned))


# Jobs ----------------------------------------------------------------------------------------------------------------

_LOG_SHOWN: Final = 20_000  # bytes of a log's end


class Job:
    """One job, read from its folder; every look reads the disk anew. A damaged record is a state, never an error."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name
        self.runs = next(parent.parent for parent in folder.parents if parent.name == job_queue.JOBS)

    @property
    def order(self) -> Order:
        """What was asked for. Raises RunError when the record is damaged."""
        return read(self.folder / "job.json", Order)

    @property
    def request(self) -> Request | None:
        """What it does; None when the record is damaged, or an earlier version's that cannot be read any more."""
        try:
            return self.order.made()
        except RunError:
            return None

    @property
    def command(self) -> str:
        """Such as "run"; empty when the record is damaged."""
        try:
            return self.order.command
        except RunError:
            return ""

    @property
    def arguments(self) -> list[str]:
        """Command line after `python -m pipelines` that does the same; empty when the record is damaged."""
        try:
            order = self.order
        except RunError:
            return []
        return order.arguments if order.request is None else order.request.command_line()

    def upload_folders(self) -> list[Path]:
        """Folders of the uploads that it reads; none when the record is damaged."""
        request = self.request
        if request is None:
            return []
        folders = (upload_folder(path) for path in request.paths(Path(self.order.folder)))
        return list(dict.fromkeys(folder for folder in folders if folder is not None))

    @property
    def run_name(self) -> str | None:
        """Name of the run the job makes or changes, if it does."""
        request = self.request
        return None if request is None else request.run_name

    @property
    def title(self) -> str:
        """The run it makes, or its command line."""
        return self.run_name or " ".join(self.arguments) or f"job {self.id}"

    @property
    def attempt(self) -> Path | None:
        """Folder of the newest attempt."""
        return job_queue.newest_attempt(self.folder)

    def alive(self) -> bool:
        """Whether its process is at work or waits for its turn."""
        attempt = self.attempt
        return attempt is not None and not (attempt / job_queue.OUTCOME).exists() and job_queue.alive(attempt)

    def state(self) -> State:
        """The state alone, which costs less than `status`."""
        return self.state_and_message()[0]

    def state_and_message(self) -> tuple[State, str]:
        """The state and what there is to say of it."""
        attempt = self.attempt
        try:
            _ = self.order
        except RunError as error:
            return "damaged", str(error)
        if attempt is None:
            return "damaged", f"job {self.id} has a record but no attempt; start it anew"
        alive = job_queue.alive(
            attempt
        )  # before looking for the outcome: a process that ends in between has written it
        if (attempt / job_queue.OUTCOME).exists():
            try:
                outcome = read(attempt / job_queue.OUTCOME, Outcome)
            except RunError as error:
                return "failed", str(error)
            return outcome.state, outcome.message
        if alive and not (attempt / job_queue.BEGAN).exists():
            return "queued", ""
        if alive:
            return "committing" if job_queue.committing(attempt) else "running", ""
        if (attempt / job_queue.CANCEL).exists():
            return "cancelled", "stopped on request"
        if self._committed(attempt):
            return "done", ""
        began = (attempt / job_queue.BEGAN).exists()
        return "orphaned", "its process is gone" + ("" if began else "; it had not had its turn yet")

    def _committed(self, attempt: Path) -> bool:
        """Whether its run is whole although its process did not live to say so."""
        request = self.request
        if request is None or not request.resumable or request.run_name is None:
            return False
        try:
            written = (self.runs / request.run_name / MANIFEST).stat().st_mtime
            return written >= (attempt / job_queue.ATTEMPT).stat().st_mtime
        except OSError:
            return False

    def status(self) -> Status:
        """Where it stands. A cancelled job that has not stopped after GRACE_SECONDS is killed here."""
        state, message = self.state_and_message()
        attempt = self.attempt
        if attempt is None or state == "damaged":
            return Status(state=state, message=message)
        standing = standing_of(attempt)
        known: dict[str, Any] = {
            "state": state, "attempt": int(attempt.name), "heard": job_queue.heard(attempt),
            "began": modified(attempt / job_queue.BEGAN), "ended": modified(attempt / job_queue.OUTCOME),
            "curves": self._curves(attempt),
        }  # fmt: skip
        if state == "queued":
            line = job_queue.in_line(self.folder.parent)
            known["place"] = line.index(attempt) + 1 if attempt in line else None
            return Status(**known)
        if state not in ("running", "committing"):
            return Status(**known, stage=standing.stage, done=standing.done, total=standing.total, message=message)
        self.kill_if_overdue(attempt, state)
        request = self.request
        seeds = request.training.seeds if isinstance(request, RunRequest) else getattr(request, "seeds", (0,))
        whole, least = total_left(seeds, self.order.stages, standing.model_dump())
        return Status(
            **known, stage=standing.stage, done=standing.done, total=standing.total, message=standing.message,
            seconds_left=standing.seconds_left, total_left=whole, total_is_least=least,
        )  # fmt: skip

    def log(self) -> str:
        """The end of the newest attempt's log."""
        attempt = self.attempt
        try:
            with (attempt or self.folder).joinpath(job_queue.LOG).open("rb") as file:
                file.seek(0, os.SEEK_END)
                file.seek(max(0, file.tell() - _LOG_SHOWN))
                return file.read().decode(errors="replace")
        except OSError:
            return ""

    def result(self) -> dict[str, Any] | None:
        """What the newest attempt's command found, if it leaves something; None when it has not, or is damaged."""
        try:
            result = json.loads(((self.attempt or self.folder) / job_queue.RESULT).read_bytes())
        except (OSError, ValueError, RecursionError):
            return None
        return result if isinstance(result, dict) else None

    def example_files(self) -> list[Path]:
        """Files of validation examples, by seed and epoch, of the newest attempt and those that it goes on from."""
        files_of: dict[str, Path] = {}
        for attempt in self._line(self.attempt):
            files_of |= {path.name: path for path in (attempt / "examples").glob("seed=*-epoch=*.parquet")}
        return [files_of[name] for name in sorted(files_of)]

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
                if read(attempt / job_queue.ATTEMPT, Attempt).anew:
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
        (attempt / job_queue.CANCEL).touch()
        _signal(attempt, signal.SIGTERM)

    def kill_if_overdue(self, attempt: Path, state: State) -> None:
        """Kill a process that was asked to stop and has not within GRACE_SECONDS."""
        asked = modified(attempt / job_queue.CANCEL)
        if asked is not None and state != "committing" and time.time() - asked > job_queue.GRACE_SECONDS:
            _signal(attempt, getattr(signal, "SIGKILL", signal.SIGTERM))

    @property
    def resumable(self) -> bool:
        """Whether there is something of an earlier attempt to go on from."""
        request = self.request
        name = None if request is None or not request.resumable else request.run_name
        return name is not None and bool(staged_attempts(self.runs, name))

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
        if self.alive():
            raise RunError(f"job {self.id} is still at work; cancel it first")
        if self.resumable:
            name = str(self.run_name)
            with held(self.runs, name):
                for attempt in staged_attempts(self.runs, name):
                    shutil.rmtree(attempt, ignore_errors=True)
        self.remove()


def _signal(attempt: Path, number: signal.Signals) -> None:
    """Send a signal to the group of an attempt's process, if it is on this machine and holds its lock.

    A free lock means that the number may be somebody else's by now.
    """
    who = job_queue.holder(attempt)
    if who is None or who[0] != socket.gethostname() or not locks.is_held(attempt / job_queue.LOCK):
        return
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(who[1], number)
        else:
            os.kill(who[1], signal.SIGTERM)


# All jobs of a runs folder -------------------------------------------------------------------------------------------

_OUTCOMES: Final = ("done", "failed", "cancelled", "orphaned")


def list_jobs(runs: Path) -> list[Job]:
    """Jobs of a runs folder, newest first."""
    folder = runs.resolve() / job_queue.JOBS
    try:
        folders = [path for path in folder.iterdir() if path.name.isdecimal() and path.is_dir()]
    except OSError:
        return []
    return [Job(path) for path in sorted(folders, key=lambda path: int(path.name), reverse=True)]


def seeds_to_come(runs: Path, name: str) -> bool:
    """Whether a job is in line or at work that adds seeds to this run."""
    waiting = (job for job in list_jobs(runs) if isinstance(job.request, AddSeedsRequest) and job.run_name == name)
    return any(job.alive() for job in waiting)


def find_job(runs: Path, number: str) -> Job:
    """The job of a number. Raises RunError when there is none."""
    folder = runs.resolve() / job_queue.JOBS / number
    if not number.isdecimal() or not folder.is_dir():
        raise RunError(f"there is no job {number!r} in {runs}; `python -m pipelines jobs` lists them")
    return Job(folder)


def sweep(runs: Path) -> list[Job]:
    """Note down which jobs have lost their process, and end those that did not stop when asked to.

    Returns the jobs that were found orphaned now; `start.resume` and `start.retry` start them again.
    """
    orphans = []
    for job in list_jobs(runs):
        attempt = job.attempt
        if attempt is None or (attempt / job_queue.OUTCOME).exists():
            continue
        state, message = job.state_and_message()
        if state in _OUTCOMES:
            with contextlib.suppress(RunError):  # a folder that may only be read: the state is told all the same
                end(attempt, state, message)
            orphans += [job] if state == "orphaned" else []
        elif state in ("queued", "running"):
            job.kill_if_overdue(attempt, state)
    return orphans
