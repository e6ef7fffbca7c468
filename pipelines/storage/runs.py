"""Whole runs, read only through their manifest."""

import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.arrays import Int64Array
from pipelines.errors import NoSuchRun, RunError
from pipelines.heads import HeadSpec
from pipelines.schema import HEADS, SCHEMA_VERSION, VARIANTS, Head, Reading, Split, Variant
from pipelines.statistics.counts import Counts
from pipelines.storage import files
from pipelines.storage.footers import open_again
from pipelines.storage.places import (
    MANIFEST,
    check_name,
    checksum,
    counts_folder,
    predictions_folder,
    previews_file,
)  # fmt: skip
from pipelines.storage.predictions import PredictionReader, spec_of
from pipelines.storage.stored import Result, map_blocks, read_bins, read_counts


class Run:
    """A whole run, read-only. Raises RunError when its manifest is missing, damaged or of another version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        if not (folder / MANIFEST).is_file():
            raise NoSuchRun(f"there is no run {folder.name} in {folder.parent}; see `python -m pipelines list`")
        self.manifest: dict[str, Any] = files.read_json(folder / MANIFEST)
        if self.manifest.get("checksum") != checksum(self.manifest):
            raise RunError(f"the manifest of {self.name} is damaged; make the run again")
        if self.manifest["schema_version"] != SCHEMA_VERSION:
            raise RunError(
                f"{self.name} has format {self.manifest['schema_version']}, this version reads {SCHEMA_VERSION}; "
                "make the run again or use the version that made it"
            )
        self._files = {entry["path"]: entry for entry in self.manifest["files"]}

    @property
    def checksum(self) -> str:
        """Changes with any file of the run; caches are keyed by it."""
        return str(self.manifest["checksum"])

    @property
    def config(self) -> dict[str, Any]:
        """Settings the run was made with."""
        return files.read_json(self._listed("config.json"))

    @property
    def dataset(self) -> dict[str, Any]:
        """What the check found in the data set."""
        return files.read_json(self._listed("dataset.json"))

    @property
    def verdict(self) -> dict[str, Any]:
        """Which last layer, and why."""
        return files.read_json(self._listed("verdict.json"))

    @property
    def facts(self) -> dict[str, Any]:
        """What evaluation noted beside the numbers: temperatures, groups, warnings."""
        return files.read_json(self._listed("evaluation.json"))

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds that were trained or loaded, ascending."""
        return tuple(sorted({int(seed) for _, _, seed in self._predicted}))

    @property
    def heads(self) -> tuple[Head, ...]:
        """Contenders of this run, in the order of schema.HEADS."""
        present = {head for _, head, _ in self._predicted}
        return tuple(head for head in HEADS if head in present)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits with predictions, test first."""
        present = {split for split, _, _ in self._predicted}
        order: tuple[Split, ...] = ("test", "val", "train")
        return tuple(split for split in order if split in present)

    @cached_property
    def _predicted(self) -> set[tuple[str, str, str]]:
        pattern = re.compile(r"predictions/split=([^/]+)/head=([^/]+)/seed=(\d+)/.*")
        found = (pattern.fullmatch(path) for path in self._files)
        return {(match[1], match[2], match[3]) for match in found if match}

    def metrics(self) -> pd.DataFrame:
        """metrics.parquet, columns of schema.METRICS_SCHEMA."""
        return files.read_table(self._listed("metrics.parquet")).to_pandas()

    def image_scores(self) -> pd.DataFrame:
        """image_scores.parquet, columns of schema.IMAGE_SCORES_SCHEMA."""
        return files.read_table(self._listed("image_scores.parquet")).to_pandas()

    def training(self) -> pd.DataFrame | None:
        """training.parquet, columns of schema.TRAINING_SCHEMA; None when the models were loaded, not trained."""
        if "training.parquet" not in self._files:
            return None
        return files.read_table(self._listed("training.parquet")).to_pandas()

    def counts(
        self, split: Split, head: Reading, seeds: int | Sequence[int], *, variant: Variant = "raw", whole: bool = False
    ) -> Counts:
        """Counts of one split, head (or network read by the other head's function) and variant; seeds are added up.

        Arrays are read when they are first asked for. whole: the images added up to one, in the same time for any
        number of images.
        """
        if variant not in VARIANTS:
            raise RunError(f"variant must be one of {', '.join(VARIANTS)}, got {variant}")
        every = (seeds,) if isinstance(seeds, int) else seeds
        return read_counts(*(self._folder(counts_folder(split, head, one, variant)) for one in every), whole=whole)

    def map_counts(
        self, function: Callable[[Counts], Result], names: Sequence[str], split: Split, head: Reading,
        seeds: Sequence[int], *, variant: Variant = "raw",
    ) -> list[Result]:  # fmt: skip
        """What a function makes of the counts block by block, from a few arrays by name (stored.map_blocks)."""
        folders = [self._folder(counts_folder(split, head, one, variant)) for one in seeds]
        return map_blocks(folders, names, function)

    def image_bins(
        self, split: Split, head: Reading, seeds: Sequence[int], *, bins: int, variant: Variant = "raw"
    ) -> Int64Array:
        """(N, C, 3, bins) pixels, hits and sums of p of each image in equal bins of p (statistics.bins)."""
        return read_bins([self._folder(counts_folder(split, head, one, variant)) for one in seeds], bins)

    def predictions(self, split: Split, head: Head, seed: int) -> PredictionReader:
        """Reader of single images; close it after use."""
        return PredictionReader(self._folder(predictions_folder(split, head, seed)), open_part=open_again)

    def spec(self, split: Split, head: Head, seed: int) -> HeadSpec:
        """What the channels of one network's predictions stand for."""
        return spec_of(self._folder(predictions_folder(split, head, seed)))

    def preview(self, split: Split, image: str) -> bytes:
        """One image as the networks saw it, JPEG. Raises RunError when it is not there."""
        path = self._listed(previews_file(split).as_posix())
        place = _places_of_previews(path, self.checksum).get(image)
        if place is None:
            raise RunError(f"there is no image {image} in split {split}; choose another")
        with open_again(path) as file:
            return bytes(file.read_row_group(place, columns=["jpeg"])["jpeg"][0].as_py())

    def verify(self) -> list[str]:
        """Files whose size or SHA-256 is not the manifest's; empty when the run is whole."""
        problems = []
        for path, entry in self._files.items():
            place = self.folder / path
            if not place.is_file():
                problems.append(f"{path} is missing")
            elif place.stat().st_size != entry["bytes"] or files.sha256(place) != entry["sha256"]:
                problems.append(f"{path} has changed since the run was made")
        return problems

    def _listed(self, path: str) -> Path:
        if path not in self._files:
            raise RunError(f"{self.name} has no {path}; run evaluate on it first")
        return self.folder / path

    def _folder(self, path: Path) -> Path:
        if not any(name.startswith(path.as_posix() + "/") for name in self._files):
            raise RunError(f"{self.name} has no {path.as_posix()}; run evaluate on it first")
        return self.folder / path


@lru_cache(maxsize=16)
def _places_of_previews(path: Path, _checksum: str) -> dict[str, int]:
    """Row group of each image: reading a column of so many takes longer than an image."""
    with files.open_parquet(path) as file:
        return {name: place for place, name in enumerate(file.read(columns=["image"])["image"].to_pylist())}


def open_run(runs: Path, name: str) -> Run:
    """A run by name, or by the path of its folder when name holds a separator."""
    if os.sep in name:
        return Run(Path(name))
    return Run(runs / check_name(name))


def list_runs(runs: Path) -> list[Run]:
    """Whole runs, newest first; folders without a valid manifest are not runs."""
    found = []
    for folder in runs.iterdir() if runs.is_dir() else ():
        if folder.is_dir() and not folder.name.startswith("."):
            try:
                found.append(Run(folder))
            except RunError:
                continue
    return sorted(found, key=lambda run: (run.manifest["created"], run.name), reverse=True)
