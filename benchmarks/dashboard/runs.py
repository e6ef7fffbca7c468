"""A folder to the runs that the dashboard is timed on: one of CamVid's size, a small one and ten times that."""

import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from pipelines.store.runs import Run, list_runs
from tests.synthetic import make_run

CLASSES: Final = (
    "sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car", "pedestrian", "bicyclist",
)  # fmt: skip


class Size(NamedTuple):
    """A run to be made. images: in each split; size: (height, width) in pixels."""

    name: str
    images: int
    size: tuple[int, int]


FULL: Final = Size("camvid-size", 233, (360, 480))
# What a page costs depends on the number of images and on the counts of each, which are as many for a small image as
# for a large one; only the page of single images reads pixels, and those of one image. So small images make a fair
# tenfold, on the disk of a laptop.
ONCE: Final = Size("small-233", 233, (90, 120))
TENFOLD: Final = Size("small-2330", 2330, (90, 120))
QUICK: Final = (Size("quick", 12, (90, 120)), Size("quick-once", 12, (45, 60)), Size("quick-tenfold", 120, (45, 60)))


def made(folder: Path, size: Size) -> Run:
    """The run, made if it is not there yet: two heads whose logits are made up, everything else as for any run."""
    found = {run.name: run for run in list_runs(folder)}
    if size.name not in found:
        start = time.perf_counter()
        print(f"making {size.name} in {folder}", file=sys.stderr)
        found[size.name] = make_run(
            folder,
            size.name,
            kind="exclusive",
            classes=CLASSES,
            images=size.images,
            size=size.size,
            title="CamVid size",
        )
        print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return found[size.name]
