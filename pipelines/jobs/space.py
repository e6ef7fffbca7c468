"""A command line to the room it will need on the disk, held against what is free."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pipelines.datasets import open_dataset
from pipelines.datasets.base import Dataset
from pipelines.errors import PipelineError, RunError
from pipelines.jobs.names import option
from pipelines.reading import DataReading, read_reading
from pipelines.schema import SPLITS, Kind, Split
from pipelines.storage import size_in_words, staged_attempts

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
