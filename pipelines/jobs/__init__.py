"""Long work in its own process, with a record on disk that outlives the page and the server that started it.

runs/.jobs/<number>/ holds job.json, what was asked for, and a folder for each attempt at it: 1, 2, …
(`pipelines.job_queue`). Records are written whole or not at all; where a job stands is read off what is there, so that
no process has to be alive to say it. Jobs wait for each other in their own processes: at most PIPELINES_JOBS of them
run at once.
"""

from pipelines.job_queue import GRACE_SECONDS, JOBS, SLOTS_VARIABLE
from pipelines.jobs.job import ENDED, Job, State, Status, find_job, list_jobs, seeds_to_come, sweep
from pipelines.jobs.start import free_name, listed, resume, retry, start, start_later_seeds, start_sample

__all__ = [
    "ENDED",
    "GRACE_SECONDS",
    "JOBS",
    "SLOTS_VARIABLE",
    "Job",
    "State",
    "Status",
    "find_job",
    "free_name",
    "list_jobs",
    "listed",
    "resume",
    "retry",
    "seeds_to_come",
    "start",
    "start_later_seeds",
    "start_sample",
    "sweep",
]
