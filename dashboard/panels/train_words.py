"""Where a job stands to the words that a page says of it."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pandas as pd

from dashboard.rounding import duration
from pipelines.errors import RunError
from pipelines.jobs import Job, State, Status
from pipelines.jobs.names import upload_folders

MAKES_RUNS: Final = ("run", "sample", "import", "import-model", "evaluate", "add-seeds", "train", "predict")
STATES: Final[dict[State, str]] = {
    "queued": "in line", "running": "at work", "committing": "nearly done", "done": "done", "failed": "failed",
    "cancelled": "cancelled", "orphaned": "orphaned", "damaged": "damaged",
}  # fmt: skip
ENDS: Final[dict[State, str]] = {
    "failed": "{} stopped with an error", "cancelled": "{} was cancelled",
    "orphaned": "{} ended without a word: its process is gone", "damaged": "The record of this job is damaged",
}  # fmt: skip
_STEPS: Final = {
    "check": "Checking the data", "scan": "Reading", "train": "Training", "predict": "Predicting",
    "import": "Reading outputs", "temperature": "Fitting temperatures", "count": "Counting", "measure": "Measuring",
    "commit": "Putting the run in its place",
}  # fmt: skip
_KINDS: Final = {"import": "Import", "import-model": "Import", "evaluate": "Counting", "predict": "Prediction"}


def kind_of(job: Job) -> str:
    """What kind of work it is, as the beginning of a sentence."""
    return _KINDS.get((job.arguments or ["run"])[0], "Training")


def makes_a_run(job: Job) -> bool:
    """Whether its end is a run: those are shown to all; checks and estimates only on the page that asked for them."""
    arguments = job.arguments
    return not arguments or arguments[0] in MAKES_RUNS


def is_open_to(job: Job, uploads: Sequence[str]) -> bool:
    """Whether a reader may see its log, its pictures and its messages: not where it works on others' uploads.

    uploads: ids of the reader's own.
    """
    try:
        folder = Path(job.asked.folder)
    except RunError:  # a damaged record shows nothing of anybody
        return True
    return all(one.name in uploads for one in upload_folders(job.arguments, folder))


def step_words(status: Status) -> str:
    """The stage it is in, how far, and the time left in it."""
    verb, _, rest = status.stage.partition(" ")
    if not verb:
        return "Starting"
    parts = rest.split()
    if verb == "train":
        rest = f"seed {parts[-1]}" if parts else ""
    elif verb in ("predict", "count", "import") and len(parts) == 2:
        rest = f"{parts[0]}, seed {parts[1]}"
    step = f"{_STEPS.get(verb, verb.capitalize())} {rest}".strip()
    said = f"{step}: {status.done} of {status.total}" if status.total else step
    left = duration(status.seconds_left)
    return said + (f", {left} left in this step" if left else "")


def left_words(status: Status) -> str:
    """The time left in total, as far as it is known."""
    left = duration(status.total_left)
    if not left:
        return "time left: not known yet"
    return f"{left} left, and what comes after the training" if status.total_is_least else f"{left} left in all"


def share_of(status: Status) -> float:
    """How much of the stage is done, 0 to 1."""
    return min(max(status.done / status.total, 0.0), 1.0) if status.total else 0.0


def facts_of(status: Status, *, now: float | None = None) -> list[str]:
    """Small facts: when it began, which attempt it is, and whether it has been silent."""
    now = time.time() if now is None else now
    facts = []
    if status.began is not None:
        took = duration((status.ended or now) - status.began).removeprefix("about ")
        facts.append(f"began {_clock(status.began)} UTC" + (f", took {took}" if status.ended else f", {took} ago"))
    if status.attempt > 1:
        facts.append(f"attempt {status.attempt}")
    if status.at_work and status.heard is not None and status.heard > 20:
        facts.append(f"not heard from for {round(status.heard)} s")
    return facts


def table_of(found: Sequence[tuple[Job, State, Status | None]]) -> pd.DataFrame:
    """Jobs in a table. The status is needed only of those that are alive."""
    rows = []
    for job, state, status in found:
        where = ""
        if status is not None and status.place is not None:
            where = f"number {status.place} in line"
        elif status is not None and status.at_work:
            where = step_words(status)
        rows.append(
            {
                "Job": int(job.id), "Run": job.title if job.run_name else kind_of(job), "State": STATES[state],
                "Where": where, "Asked for": _asked(job),
            }
        )  # fmt: skip
    return pd.DataFrame(rows, columns=["Job", "Run", "State", "Where", "Asked for"])


def _asked(job: Job) -> pd.Timestamp | None:
    try:
        return pd.Timestamp(job.asked.created, unit="s", tz="UTC")
    except RunError:
        return None


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.gmtime(seconds))
