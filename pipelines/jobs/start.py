"""A command line to a job: the room it needs, its record, written whole, and its process, which waits for its turn."""

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from pipelines import links, turns
from pipelines.datasets import open_dataset
from pipelines.datasets.dataset import Dataset
from pipelines.errors import ConfigError, PipelineError, RunError
from pipelines.jobs.job import ENDED, Asked, Attempt, Job, list_jobs
from pipelines.jobs.names import ROOT, free_name, option
from pipelines.reading import DataReading, read_reading
from pipelines.schema import SPLITS, Kind, Split
from pipelines.sentences import size_in_words
from pipelines.store import files, open_run, staged_attempts
from pipelines.store.manage import make

# Room on the disk ----------------------------------------------------------------------------------------------------

# Measured on runs of eight data sets with 1 to 11 classes: 1.2 to 1.7 bytes a stored value after compression (float16
# log-odds hardly compress, truth and places nearly vanish), 7 to 19 kB of counts a class, image and head.
_VALUE: Final = 1.7
_PREVIEW: Final = 3.0  # bytes a pixel of a small picture; a third of it for large ones
_COUNTS: Final = 20_000
_BASE: Final = 5_000_000  # tables, report, log
_PARAMETERS: Final = 15_000_000  # of one network, when nobody has counted: a Unet on a ResNet-18 has 14.3 million
_LOOKED_AT: Final = 3  # images of a split whose size is read
_RESERVE: Final = 200_000_000  # bytes that are left to everybody else


def needed_bytes(arguments: Sequence[str], *, folder: Path | None = None, parameters: int | None = None) -> int | None:
    """Bytes on disk that a `run` will need at most, checkpoints among them; None for other commands and where nothing
    can be told because the data set cannot be opened.

    folder: where a relative path of the data set starts. parameters: of one network, if they have been counted.
    """
    if not arguments or arguments[0] != "run":
        return None
    there = folder or Path.cwd()
    try:
        return run_bytes(
            open_dataset(there / Path(_dataset(arguments)).expanduser(), _reading(arguments, there)),
            size=_size(option(arguments, "--size")),
            seeds=len((option(arguments, "--seeds") or "0").split(",")),
            splits=[one for one in SPLITS if one in (option(arguments, "--splits") or "val,test").split(",")],
            rule=option(arguments, "--softmax-rule") or "both",
            parameters=parameters,
        )
    except PipelineError:  # the job itself will say what is wrong
        return None


def run_bytes(
    dataset: Dataset,
    *,
    size: tuple[int, int] | None,
    seeds: int,
    splits: Sequence[Split],
    rule: str,
    parameters: int | None = None,
) -> int:
    """Bytes on disk that a training on an open data set will need at most. Raises DatasetError at a bad image."""
    pixels = sum(len(dataset.images(split)) * _pixels(dataset, split, size) for split in splits)
    images = sum(len(dataset.images(split)) for split in splits)
    return bytes_of(
        images, pixels, kind=dataset.kind, classes=len(dataset.classes), seeds=seeds, rule=rule, parameters=parameters
    )


def bytes_of(
    images: int, pixels: float, *, kind: Kind, classes: int, seeds: int, rule: str, parameters: int | None = None
) -> int:
    """The same from what is known of the data: images that are predicted, and their pixels together."""
    heads = _heads(kind, rule)
    # A softmax stores its logsumexp and, where labels overlap, channels that are no class.
    values = heads * (classes + (1 if kind == "exclusive" else 3))
    stored = seeds * (pixels * values * _VALUE + images * heads * classes * _COUNTS)
    network = 4 * (parameters or _PARAMETERS)
    # Weights of every seed, and the checkpoints of one: weights, best weights and the optimizer's two moments; while
    # one is replaced there are two.
    weights = heads * network * (seeds + 2 * 4)
    return int(stored + pixels * _PREVIEW + weights + _BASE)


def check_space(arguments: Sequence[str], runs: Path, *, folder: Path | None = None, needed: int | None = None) -> None:
    """Raise RunError, with what is needed against what is free, when a command line will not find room for its run.

    needed: bytes, if that is known already. What an interrupted attempt has written already is not needed again.
    """
    needed = needed_bytes(arguments, folder=folder) if needed is None else needed
    if needed is None:
        return
    name = option(arguments, "--name")
    if "--resume" in arguments and name is not None:
        needed -= sum(
            path.stat().st_size for one in staged_attempts(runs, name) for path in one.rglob("*") if path.is_file()
        )
    free = free_bytes(runs)
    if needed + _RESERVE > free:
        raise RunError(
            f"DISK-FULL: {runs} has {size_in_words(free)} free, and this run needs about "
            f"{size_in_words(max(0, needed) + _RESERVE)}. Nothing was started. Free some space, for example with "
            "`python -m pipelines trash --empty`, or choose smaller images or fewer seeds"
        )


def free_bytes(runs: Path) -> int:
    """Bytes that are free on the disk that holds the runs."""
    there = next(path for path in (runs, *runs.resolve().parents) if path.exists())
    return shutil.disk_usage(there).free


def _dataset(arguments: Sequence[str]) -> str:
    """The first part that is neither an option nor an option's value."""
    skip = False
    for part in arguments[1:]:
        if skip:
            skip = False
        elif part.startswith("--"):
            skip = "=" not in part and part not in ("--resume", "--augment", "--no-augment")
        else:
            return part
    return "."


def _reading(arguments: Sequence[str], folder: Path) -> DataReading | None:
    file, data_format = option(arguments, "--reading"), option(arguments, "--data-format")
    said = None if file is None else read_reading(folder / Path(file).expanduser())
    return said if data_format is None else (said or DataReading()).model_copy(update={"format": data_format})


def _size(text: str | None) -> tuple[int, int] | None:
    height, _, width = (text or "").replace("×", "x").partition("x")
    return (int(height), int(width)) if height.isdecimal() and width.isdecimal() else None


def _pixels(dataset: Dataset, split: Split, size: tuple[int, int] | None) -> float:
    """Mean pixels of an image of a split, from a few of them."""
    if size is not None:
        return float(size[0] * size[1])
    names = dataset.images(split)
    found = [dataset.read(name).valid.size for name in names[:: max(1, len(names) // _LOOKED_AT)][:_LOOKED_AT]]
    return sum(found) / max(1, len(found))


def _heads(kind: Kind, rule: str) -> int:
    return 3 if kind == "overlapping" and rule == "both" else 2


# Start ---------------------------------------------------------------------------------------------------------------

# Commands that take long; the others answer at once.
COMMANDS: Final = (
    "run",
    "sample",
    "check",
    "train",
    "predict",
    "evaluate",
    "add-seeds",
    "import",
    "import-model",
    "export",
    "estimate",
)
_IN_PROCESS: Final = threading.Lock()  # file locks tell processes apart, not the threads of one


def start(
    arguments: Sequence[str],
    runs: Path,
    *,
    stages: Sequence[tuple[str, float]] = (),
    waits: bool = True,
    folder: Path | None = None,
    needed: int | None = None,
) -> Job:
    """Put `python -m pipelines ARGUMENTS`, on this runs folder, in line; its process runs on whatever becomes of ours.

    A `run` without a name gets one that is free. stages: expected seconds of each of its stages, for the time left.
    waits: False for something short that runs at once, beside what is at work. folder: where relative paths on the
    command line start; by default here. needed: bytes on disk, if that is known already; else the data set is opened
    to tell.
    Raises ConfigError for a command that is no long work, RunError when the disk has too little room or a run of that
    name is there or on its way.
    """
    runs = runs.resolve()
    if not arguments or arguments[0] not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise ConfigError(f"a job runs one of {known}; got {arguments[0] if arguments else 'nothing'!r}")
    if option(arguments, "--runs") is not None:
        raise ConfigError("a job works on the runs folder that it is started in; leave --runs out of its command line")
    make(runs / turns.JOBS)
    with alone(runs):
        arguments = _named(list(arguments), runs)
        check_space(arguments, runs, folder=folder, needed=needed)
        asked = Asked(
            arguments=arguments,
            created=time.time(),
            folder=str((folder or Path.cwd()).resolve()),
            stages=list(stages),
            link_roots=os.environ.get(links.ROOTS),
        )
        job = new_job(runs / turns.JOBS, asked, Attempt(arguments=arguments, queued=time.time_ns(), waits=waits))
    _spawn(job)
    return job


def resume(job: Job) -> Job:
    """Put it in line again, to go on from what was done if there is anything. Raises RunError while it is alive."""
    return _again(job, anew=not job.resumable)


def retry(job: Job) -> Job:
    """Put it in line again, to begin from nothing. Raises RunError while it is alive."""
    return _again(job, anew=True)


def _again(job: Job, *, anew: bool) -> Job:
    """Another attempt at a job, from nothing or going on; its process looks whether there is room on the disk.

    Raises RunError while the job is alive, and when it is done.
    """
    if job.alive():
        raise RunError(f"job {job.id} is still at work; cancel it first")
    if job.state() == "done":
        raise RunError(f"job {job.id} is done; there is nothing to start again")
    asked = job.asked
    arguments = [part for part in asked.arguments if part != "--resume"] + ([] if anew else ["--resume"])
    previous = job.attempt
    waits = True
    if previous is not None:
        try:
            waits = Attempt.model_validate_json((previous / turns.ATTEMPT).read_bytes()).waits
        except (OSError, ValueError):  # of a damaged attempt nothing is needed
            waits = True
    number = int(previous.name) + 1 if previous else 1
    _place(job.folder / str(number), {turns.ATTEMPT: Attempt(
        arguments=arguments, queued=time.time_ns(), waits=waits, anew=anew
    ).model_dump()})  # fmt: skip
    _spawn(job)
    return job


def _named(arguments: list[str], runs: Path) -> list[str]:
    """The command line with a name for the run it makes. Raises RunError when the name is taken."""
    if arguments[0] != "run":
        return arguments
    busy = {job.run_name for job in list_jobs(runs) if job.run_name is not None and job.state() not in ENDED}
    given = option(arguments, "--name")
    if given is None:
        if "--resume" in arguments:
            raise ConfigError("--resume needs the --name of the run to go on with")
        stem = Path(next((part for part in arguments[1:] if not part.startswith("-")), "run")).expanduser()
        return [*arguments, "--name", free_name(runs, stem.resolve().name, taken=busy)]
    if given in busy:
        raise RunError(f"a job is making a run {given} already; wait for it, cancel it or choose another --name")
    if (runs / given).is_dir() and given:
        raise RunError(f"there is a run {given} in {runs} already; choose another --name")
    return arguments


def new_job(jobs: Path, asked: Asked, attempt: Attempt) -> Job:
    """Write the record of a job under the next number; to be called inside `alone`."""
    taken = [int(path.name) for path in jobs.iterdir() if path.name.isdecimal()]
    try:
        last = int((jobs / "last").read_text())  # numbers of removed jobs are not given again
    except (OSError, ValueError):
        last = 0
    number = max([last, *taken]) + 1
    _place(jobs / str(number), {"job.json": asked.model_dump(), f"1/{turns.ATTEMPT}": attempt.model_dump()})
    files.write_text(jobs / "last", str(number))
    return Job(jobs / str(number))


def _place(folder: Path, content: dict[str, object]) -> None:
    """Make a folder with its files appear at once, or not at all. Raises RunError when it is there already."""
    staged = folder.with_name(f".new-{folder.name}-{os.getpid()}-{time.time_ns()}")
    try:
        for name, value in content.items():
            files.write_json(staged / name, value)
        os.rename(staged, folder)  # refused by a folder that has something in it
        files.sync_folder(folder.parent)
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        if folder.exists():
            raise RunError(f"job {folder.parent.name} was started again in this very moment; look again") from None
        raise RunError(f"{folder} could not be made ({error.strerror}); see who may write to {folder.parent}") from None


@contextmanager
def alone(runs: Path) -> Iterator[None]:
    """One at a time chooses the name of a run and the number of a job."""
    with _IN_PROCESS, (runs / turns.JOBS / "start.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        yield


def _spawn(job: Job) -> None:
    """Start the process of the newest attempt, in a session of its own: what ends ours does not reach it."""
    attempt = job.attempt
    if attempt is None:
        raise RunError(f"job {job.id} has no attempt; start it anew")
    # Waiting threads must not spin beside viewers (docs/adr/0002-waiting-threads.md).
    environment = {"OMP_WAIT_POLICY": "PASSIVE"} | os.environ
    environment |= {"PYTHONPATH": str(ROOT), "PIPELINES_RUNS": str(job.runs), "PYTHONUNBUFFERED": "1"}
    environment.pop(links.ROOTS, None)
    if job.asked.link_roots is not None:  # whoever resumes it, it reads what it did before
        environment[links.ROOTS] = job.asked.link_roots
    there = Path(job.asked.folder)
    with (attempt / turns.LOG).open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "pipelines.worker", str(attempt)], cwd=there if there.is_dir() else ROOT,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True,
        )  # fmt: skip
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie while this process lives


# The sample ----------------------------------------------------------------------------------------------------------

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
