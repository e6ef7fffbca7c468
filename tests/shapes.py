"""A small generated data set in memory: noisy discs, of any kind, seeded."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from pipelines.datasets.base import Examination, Finding, Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError
from pipelines.schema import Kind, Split

CLASSES: dict[Kind, tuple[str, ...]] = {
    "exclusive": ("ground", "disc", "core"),
    "binary": ("disc",),
    "overlapping": ("disc", "core"),
}


class Shapes(Dataset):
    """`train` and `val` images of `size`, whose item depends on its name and the seed alone.

    unreadable: names whose reading fails, as a broken file's would. reads: how often each image was read.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        train: int = 6,
        val: int = 2,
        size: tuple[int, int] = (40, 36),
        seed: int = 0,
        unreadable: tuple[str, ...] = (),
    ) -> None:
        self.root, self.name, self.kind, self.classes = Path(), "shapes", kind, CLASSES[kind]
        self.colors = ("#888888", "#cc0000", "#0000cc")[: len(self.classes)]
        self.background, self.priority = None, None
        self.groups: Mapping[str, str] = {}
        self._splits = {"train": [f"t{i}" for i in range(train)], "val": [f"v{i}" for i in range(val)], "test": []}
        self._size, self._seed, self._unreadable = size, seed, unreadable
        self.reads: dict[str, int] = {}

    def names(self) -> tuple[str, ...]:
        return tuple(name for names in self._splits.values() for name in names)

    def images(self, split: Split) -> tuple[str, ...]:
        return tuple(self._splits[split])

    def examine(self, name: str, *, size: tuple[int, int] | None = None) -> Examination:
        self.reads[name] = self.reads.get(name, 0) + 1
        if name in self._unreadable:
            return Examination(None, (Finding(code="READ", severity="error", message=f"{name} cannot be read"),))
        height, width = size or self._size
        rng = np.random.default_rng([self._seed, *name.encode()])
        y, x = np.mgrid[:height, :width]
        cy, cx = rng.uniform(0.35, 0.65, 2) * (height, width)
        away = np.hypot(y - cy, x - cx) / min(height, width)
        disc, core = away < rng.uniform(0.25, 0.4), away < 0.12
        tint = np.array([0.3, 0.4, 0.5]) + disc[..., None] * [0.3, 0.0, -0.1] + core[..., None] * [0.0, 0.3, 0.0]
        image = np.clip(tint + rng.normal(0, 0.05, (height, width, 3)), 0, 1).astype(np.float32)
        planes = {
            "exclusive": [~disc, disc & ~core, core],
            "binary": [disc],
            "overlapping": [disc, core],
        }[self.kind]
        valid = np.ones((height, width), np.bool_)
        valid[: height // 8] = False
        return Examination(Item(name, image, np.stack(planes) & valid, valid), ())

    def structure(self) -> tuple[Finding, ...]:
        return ()

    def fingerprint(self) -> str:
        raise DatasetError("a generated set has no files")

    def files(self) -> tuple[Path, ...]:
        return ()
