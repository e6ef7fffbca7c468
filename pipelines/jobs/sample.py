"""The sample pair as command lines: its first seed, which is soon to be seen, and the others, which follow."""

from pathlib import Path
from typing import Final

from pipelines.jobs.job import ENDED, Job, list_jobs
from pipelines.jobs.names import ROOT
from pipelines.jobs.start import start
from pipelines.storage import open_run, staged_attempts

SAMPLE_RUN: Final = "sample"
_LATER: Final = (1, 2)


def sample_arguments() -> list[str]:
    """Command line of the sample pair's first seed: small enough for two CPU cores and a few minutes."""
    return [
        "run", str(ROOT / "sample_data" / "cells"), "--name", SAMPLE_RUN,
        "--encoder", "tu-resnet10t", "--seeds", "0", "--epochs", "5", "--size", "96x96", "--batch-size", "4",
        "--loss", "ce+dice", "--lr", "0.002", "--threads", "1",
    ]  # fmt: skip


def start_sample(runs: Path) -> Job:
    """Put the first seed in line and the others behind it; returns the job of the first."""
    first = start(sample_arguments(), runs)
    start(["add-seeds", SAMPLE_RUN, "--seeds", ",".join(map(str, _LATER))], runs)
    return first


def start_later_seeds(runs: Path) -> Job | None:
    """Put the seeds that the sample run lacks in line, unless they are there or on their way."""
    missing = sorted(set(_LATER) - set(open_run(runs, SAMPLE_RUN).seeds))
    if not missing or any(job.run_name == SAMPLE_RUN and job.state() not in ENDED for job in list_jobs(runs)):
        return None
    resumed = ["--resume"] if staged_attempts(runs, SAMPLE_RUN) else []
    return start(["add-seeds", SAMPLE_RUN, "--seeds", ",".join(map(str, missing)), *resumed], runs)
