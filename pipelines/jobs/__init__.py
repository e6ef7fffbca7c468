"""Long work in its own process, with a record on disk that outlives the page and the server that started it.

runs/.jobs/<number>/ holds job.json, what was asked, and a folder for each attempt at it: 1, 2, … (see pipelines.turns).
Records are written whole or not at all; where a job stands is read off what is there, so that no process has to be
alive to say it. Jobs wait for each other in their own processes: at most PIPELINES_JOBS of them run at once.
"""

from pipelines.jobs.job import ENDED, Job, State, Status, end, find_job, list_jobs, seeds_to_come, sweep
from pipelines.jobs.names import free_name
from pipelines.jobs.start import (
    COMMANDS,
    SAMPLE_RUN,
    check_space,
    needed_bytes,
    resume,
    retry,
    sample_arguments,
    start,
    start_later_seeds,
    start_sample,
)
from pipelines.turns import GRACE_SECONDS, JOBS, SLOTS_VARIABLE

__all__ = [
    "COMMANDS",
    "ENDED",
    "GRACE_SECONDS",
    "JOBS",
    "SAMPLE_RUN",
    "SLOTS_VARIABLE",
    "Job",
    "State",
    "Status",
    "check_space",
    "end",
    "find_job",
    "free_name",
    "list_jobs",
    "needed_bytes",
    "resume",
    "retry",
    "sample_arguments",
    "seeds_to_come",
    "start",
    "start_later_seeds",
    "start_sample",
    "sweep",
]
