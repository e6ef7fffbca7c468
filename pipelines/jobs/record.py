"""The files of a job's record: what was asked, each attempt at it, how far it is and how it ended."""

import os
import time
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from typing_extensions import TypedDict  # pydantic wants this one before Python 3.12

from pipelines import turns
from pipelines.errors import RunError
from pipelines.schema import Head
from pipelines.storage import files

State: TypeAlias = Literal["queued", "running", "committing", "done", "failed", "cancelled", "orphaned", "damaged"]
ENDED: Final[tuple[State, ...]] = ("done", "failed", "cancelled", "orphaned", "damaged")

Model = TypeVar("Model", bound=BaseModel)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True)


class Asked(_Record):
    """job.json. folder: where relative paths on the command line start; stages: name and expected seconds of each.

    link_roots: as `links.ROOTS` was when it was asked for; None: links lead anywhere.
    """

    arguments: Annotated[list[str], Field(min_length=1)]
    created: float
    folder: str
    stages: list[tuple[str, float]] = []
    link_roots: str | None = ""


class Attempt(_Record):
    """attempt.json. queued: its ticket, nanoseconds; waits: whether it takes its turn; anew: it begins from nothing."""

    arguments: list[str]
    queued: int
    waits: bool = True
    anew: bool = True


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
    outcome = attempt / turns.OUTCOME
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
        raise RunError(f"{path.name} of job {_number(path)} is missing; start it anew") from None
    except OSError as error:
        raise RunError(f"{path.name} of job {_number(path)} cannot be read ({error.strerror})") from None
    try:
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole of it"
        raise RunError(
            f"{path.name} of job {_number(path)} is damaged ({where}: {first['msg']}); remove the job, or start it anew"
        ) from None


def _number(path: Path) -> str:
    return next((part.name for part in path.parents if part.parent.name == turns.JOBS), path.parent.name)


def modified(path: Path) -> float | None:
    """When a file was written, in seconds since the epoch; None when there is none."""
    try:
        return path.stat().st_mtime
    except OSError:
        return None
