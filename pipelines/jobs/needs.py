"""What a run takes: room on the disk, told from its settings and data set, and time, as an estimate has measured it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipelines.errors import PipelineError, RunError
from pipelines.jobs.job import Job
from pipelines.progress import clock
from pipelines.requests import Request, RunRequest
from pipelines.schema import SPLITS, Kind, Split
from pipelines.sentences import size_in_words
from pipelines.store.manage import staged_attempts

if TYPE_CHECKING:
    from pipelines.datasets.dataset import Dataset

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


def needed_bytes(request: Request, *, folder: Path | None = None, parameters: int | None = None) -> int | None:
    """Bytes on disk that a training will need at most, checkpoints among them; None for other requests and where
    nothing can be told because the data set cannot be opened.

    folder: where a relative path of the data set starts. parameters: of one network, if they have been counted.
    """
    if not isinstance(request, RunRequest):
        return None
    from pipelines.datasets.opening import open_dataset

    folder = folder or Path.cwd()
    try:
        return run_bytes(
            open_dataset(folder / Path(request.dataset).expanduser(), request.data_reading(folder)),
            size=request.training.size,
            seeds=len(request.training.seeds),
            splits=[split for split in SPLITS if split in request.evaluation.splits],
            rule=request.training.softmax_rule,
            parameters=parameters,
        )
    except PipelineError:  # the job itself will say what is wrong
        return None


def run_bytes(
    dataset: "Dataset",
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


def check_space(request: Request, runs: Path, *, folder: Path | None = None, needed: int | None = None) -> None:
    """Raise RunError, with what is needed against what is free, when a request will not find room for its run.

    needed: bytes, if that is known already. What an interrupted attempt has written already is not needed again.
    """
    needed = needed_bytes(request, folder=folder) if needed is None else needed
    if needed is None:
        return
    if isinstance(request, RunRequest) and request.resume and request.name is not None:
        staged = staged_attempts(runs, request.name)
        needed -= sum(path.stat().st_size for place in staged for path in place.rglob("*") if path.is_file())
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


def _pixels(dataset: "Dataset", split: Split, size: tuple[int, int] | None) -> float:
    """Mean pixels of an image of a split, from a few of them."""
    if size is not None:
        return float(size[0] * size[1])
    names = dataset.images(split)
    pixels = [dataset.read(name).valid.size for name in names[:: max(1, len(names) // _LOOKED_AT)][:_LOOKED_AT]]
    return sum(pixels) / max(1, len(pixels))


def _heads(kind: Kind, rule: str) -> int:
    return 3 if kind == "overlapping" and rule == "both" else 2


# Estimates -----------------------------------------------------------------------------------------------------------


class Estimate(BaseModel):
    """Measured on this machine with the real networks.

    stages: name and expected seconds of each stage of the run, in order. needed, free: bytes on disk. steps: of one
    seed's training; step_seconds: of all heads together. parameters: of one network. device: such as "cpu".
    """

    model_config = ConfigDict(frozen=True)

    stages: Annotated[list[tuple[str, float]], Field(min_length=1)]
    needed: int
    free: int
    steps: int
    step_seconds: float
    parameters: int
    device: str

    @property
    def seconds(self) -> float:
        """Of the whole run."""
        return sum(seconds for _, seconds in self.stages)

    def seconds_of(self, kind: str) -> float:
        """Of all stages of a kind, such as "train"."""
        return sum(seconds for name, seconds in self.stages if name.partition(" ")[0] == kind)

    def text(self) -> str:
        """For a terminal."""
        train, predict = self.seconds_of("train"), self.seconds_of("predict")
        return (
            f"about {clock(self.seconds)} on {self.device}: training {clock(train)} ({self.steps} steps a seed of "
            f"{self.step_seconds:.2f} s, all heads together), predicting {clock(predict)}, checking and measuring "
            f"{clock(self.seconds - train - predict)}\n"
            f"up to {size_in_words(self.needed)} on disk, where {size_in_words(self.free)} are free; "
            f"{self.parameters / 1e6:.1f} million weights a network"
        )


def estimate_of(job: Job) -> Estimate | None:
    """The estimate that a job has made; None when it has not, or another version made it."""
    try:
        return Estimate.model_validate(job.result())
    except ValidationError:
        return None
