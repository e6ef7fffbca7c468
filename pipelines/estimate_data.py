"""A data set to what a training form must know of it: kind, number and size of images, share of each class.

Files are read in a process of its own with bounded memory and time.
"""

from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ConfigDict

from pipelines import sandbox
from pipelines.datasets.bands import RGB, Bands
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset, recognised_text
from pipelines.errors import PipelineError
from pipelines.reading import DataReading, read_reading
from pipelines.schema import SPLITS, Kind, Split

_READ: Final = 12  # training images


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Asked(_Model):
    """path: folder of the data set; reading: file that says how it is read."""

    path: str
    reading: str | None = None


class DataFacts(_Model):
    """What there is. problem: why nothing can be trained on it, in one line; the rest is empty then.

    images: by split. sizes: (height, width) of some training images. shares: of their valid pixels that carry a class,
    by class; 0 for one that is in none of them. bands: of every image. read_as: how it was recognised, in one line.
    """

    problem: str | None = None
    name: str = ""
    read_as: str = ""
    kind: Kind = "exclusive"
    classes: tuple[str, ...] = ()
    background: str | None = None
    images: dict[Split, int] = {}
    sizes: list[tuple[int, int]] = []
    shares: dict[str, float] = {}
    bands: Bands = RGB


def data_facts(path: Path, reading: Path | None = None) -> DataFacts:
    """Look at a data set in a process of its own; never raises for what its files hold."""
    asked = Asked(path=str(path.resolve()), reading=None if reading is None else str(reading.resolve()))
    try:
        facts, _ = sandbox.answer_apart(f"{__name__}:answer", asked.model_dump(), what="the first images")
    except PipelineError as error:
        return DataFacts(problem=str(error))
    return DataFacts.model_validate(facts)


def look(asked: Asked) -> DataFacts:
    """Look in this process."""
    try:
        said: DataReading | None = None if asked.reading is None else read_reading(Path(asked.reading))
        return _facts(open_dataset(asked.path, said))
    except PipelineError as error:
        return DataFacts(problem=str(error))


def _facts(dataset: Dataset) -> DataFacts:
    wrong = [one for one in dataset.structure() if one.severity == "error"]
    if wrong:
        return DataFacts(problem=f"{wrong[0].code}: {wrong[0].message}", name=dataset.name)
    counts = {split: len(dataset.images(split)) for split in SPLITS}
    empty = [split for split in SPLITS if not counts[split]]
    if empty:
        said = (
            f"SPLIT-EMPTY: {' and '.join(empty)} {'have' if len(empty) > 1 else 'has'} no image; give each one at least"
        )
        return DataFacts(problem=said, name=dataset.name)
    names = dataset.images("train")
    sizes: list[tuple[int, int]] = []
    labelled, valid = np.zeros(len(dataset.classes)), 0.0
    for name in names[:: max(1, -(-len(names) // _READ))]:
        item = dataset.read(name)
        sizes.append((item.valid.shape[0], item.valid.shape[1]))
        labelled += item.truth.sum(axis=(1, 2)) / item.valid.size  # each image weighs the same, whatever its size
        valid += item.valid.mean()
    shares = labelled / valid if valid else labelled
    return DataFacts(
        name=dataset.name, read_as=recognised_text(dataset), kind=dataset.kind, classes=dataset.classes,
        background=dataset.background, images=counts, sizes=sizes,
        shares=dict(zip(dataset.classes, map(float, shares), strict=True)), bands=dataset.bands,
    )  # fmt: skip


def answer(question: dict[str, Any], _: bytes) -> sandbox.Message:
    """`look`, as `sandbox.serve` wants it."""
    return look(Asked.model_validate(question)).model_dump(mode="json"), b""
