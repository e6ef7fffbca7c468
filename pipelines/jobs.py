"""Long work in its own process, with a record on disk that outlives the page and the server that started it.

runs/.jobs/<id>/ holds job.json (what was asked), progress.json (where it stands), log.txt, outcome.json (how it
ended) and lock, which the process holds as long as it lives. A job without an outcome whose lock is free has died.
"""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

from pipelines.errors import RunError
from pipelines.storage import files, staged_attempts

State: TypeAlias = Literal["running", "done", "failed", "cancelled", "orphaned"]

JOBS: Final = ".jobs"
GRACE_SECONDS: Final = 30.0  # between asking a process to stop at a safe point and killing it
_STARTING_SECONDS: Final = 15.0  # until a new process must hold its lock
_ROOT: Final = Path(__file__).resolve().parents[1]
SAMPLE_RUN: Final = "sample"


def sample_arguments() -> list[str]:
    """Command line of the sample pair: small enough for two CPU cores and a few minutes, three seeds for a verdict."""
    return [
        "run", str(_ROOT / "sample_data" / "cells"), "--name", SAMPLE_RUN,
        "--encoder", "tu-resnet10t", "--seeds", "0,1,2", "--epochs", "5", "--size", "96x96", "--batch-size", "4",
        "--loss", "ce+dice", "--lr", "0.002", "--threads", "1",
    ]  # fmt: skip


class Job:
    """One job, read from its folder; every look reads the disk anew."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.id = folder.name

    @property
    def arguments(self) -> list[str]:
        """Command line after `python -m pipelines`."""
        return list(files.read_json(self.folder / "job.json")["arguments"])

    @property
    def run_name(self) -> str | None:
        """Name of the run the job makes, if its command line gives one."""
        arguments = self.arguments
        return arguments[arguments.index("--name") + 1] if "--name" in arguments[:-1] else None

    @property
    def started(self) -> float:
        """Seconds since the epoch."""
        return float(files.read_json(self.folder / "job.json")["started"])

    def alive(self) -> bool:
        """Whether the process holds its lock, or is just about to take it."""
        try:
            with (self.folder / "lock").open("r+") as lock:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return time.time() - self.started < _STARTING_SECONDS
        except OSError:
            return True
        return False

    def status(self) -> dict[str, Any]:
        """Where it stands: state, stage, done, total, seconds_left, message, curves and the end of the log.

        A cancelled job that has not stopped after GRACE_SECONDS is killed here.
        """
        record: dict[str, Any] = {"stage": "starting", "done": 0, "total": 0, "seconds_left": None, "message": ""}
        record["curves"] = []
        with contextlib.suppress(RunError):  # not written yet
            record |= files.read_json(self.folder / "progress.json")
        record["state"] = self._state()
        if record["state"] not in ("running", "done"):
            with contextlib.suppress(RunError):
                record["message"] = files.read_json(self.folder / "outcome.json")["message"]
        record["log"] = self._log()
        if record["state"] == "running":
            self._kill_if_overdue()
        return record

    def _state(self) -> State:
        outcome = self.folder / "outcome.json"
        alive = self.alive()  # before looking for the outcome: a process that ends in between has written it
        if outcome.exists():
            return files.read_json(outcome)["state"]
        if alive:
            return "running"
        return "cancelled" if (self.folder / "cancel").exists() else "orphaned"

    def _log(self) -> str:
        try:
            return (self.folder / "log.txt").read_text(errors="replace")[-4000:]
        except FileNotFoundError:
            return ""

    def cancel(self) -> None:
        """Ask the process to stop at its next safe point; what is done so far can be resumed."""
        (self.folder / "cancel").touch()
        self._signal(signal.SIGTERM)

    def _kill_if_overdue(self) -> None:
        marker = self.folder / "cancel"
        if marker.exists() and time.time() - marker.stat().st_mtime > GRACE_SECONDS:
            self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        try:
            group = int((self.folder / "lock").read_text())
        except (FileNotFoundError, ValueError):
            return
        if self.alive():  # a free lock means the number may be somebody else's by now
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)

    def resume(self) -> "Job":
        """Start the same command again, going on from what was done if there is anything. Raises RunError if alive."""
        if self.alive():
            raise RunError(f"job {self.id} is still at work; cancel it first")
        arguments = [part for part in self.arguments if part != "--resume"]
        runs = self.folder.parent.parent
        begun = self.run_name is not None and staged_attempts(runs, self.run_name)
        return start([*arguments, "--resume"] if begun else arguments, runs)


def start(arguments: list[str], runs: Path) -> Job:
    """Run `python -m pipelines ARGUMENTS --runs RUNS` in a process and session of its own, at low priority."""
    number = time.time_ns()
    folder = runs.resolve() / JOBS / f"{number}"
    folder.mkdir(parents=True)
    files.write_json(folder / "job.json", {"arguments": arguments, "started": time.time()})
    # Waiting threads must not spin beside viewers (docs/adr/0002-waiting-threads.md).
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    environment |= {"PYTHONPATH": str(_ROOT), "PIPELINES_RUNS": str(runs.resolve())}
    with (folder / "log.txt").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.worker", str(folder)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives
    return Job(folder)


def list_jobs(runs: Path) -> list[Job]:
    """Jobs of a runs folder, newest first."""
    folder = runs / JOBS
    found = [path for path in folder.iterdir() if (path / "job.json").exists()] if folder.is_dir() else []
    return [Job(path) for path in sorted(found, key=lambda path: path.name, reverse=True)]
