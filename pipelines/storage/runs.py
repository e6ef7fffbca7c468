"""Runs on disk: written in a staging folder, committed by a manifest and one rename, read only through the manifest."""

import fcntl
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

import pandas as pd
import pyarrow.parquet as pq

from pipelines.errors import NoSuchRun, RunError
from pipelines.schema import HEADS, SCHEMA_VERSION, VARIANTS, Head, Split, Variant
from pipelines.statistics.counts import Counts
from pipelines.storage import files
from pipelines.storage.counts import read_counts
from pipelines.storage.predictions import PredictionReader

MANIFEST: Final = "manifest.json"
STAGING: Final = ".staging"
TRASH: Final = ".trash"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NOT_LISTED: Final = ("checkpoints", MANIFEST, "progress.json")
_PACKAGES: Final = ("torch", "torchvision", "segmentation_models_pytorch", "numpy", "pandas", "pyarrow", "scikit-learn")


def check_name(name: str) -> str:
    """The name, if it can be a run's. Raises RunError otherwise."""
    if not _NAME.fullmatch(name):
        raise RunError(
            f"a run's name is 1 to 64 letters, digits, '.', '_' or '-' and begins with a letter or digit, got {name!r}"
        )
    return name


def predictions_folder(split: Split, head: Head, seed: int) -> Path:
    """Place of predictions inside a run."""
    return Path("predictions") / f"split={split}" / f"head={head}" / f"seed={seed}"


def counts_folder(split: Split, head: Head, seed: int, variant: Variant) -> Path:
    """Place of counts inside a run."""
    return Path("statistics") / f"split={split}" / f"head={head}" / f"seed={seed}" / f"variant={variant}"


def previews_file(split: Split) -> Path:
    """Place of the images of a split, as seen by the networks, inside a run."""
    return Path("previews") / f"split={split}.parquet"


class RunWriter:
    """A run being made under .staging/<run>.<attempt>; nothing is visible under runs/<run> before `commit`."""

    def __init__(self, runs: Path, name: str, folder: Path, lock: IO[str]) -> None:
        self.runs, self.name, self.folder, self._lock = runs, name, folder, lock

    @classmethod
    @contextmanager
    def open(
        cls, runs: Path, name: str, *, resume: bool = False, copy_of: "Run | None" = None
    ) -> Iterator["RunWriter"]:
        """Take the run's name and a staging folder: a new one, the newest one (resume) or one linked to a whole run.

        Raises RunError when another process is writing this run, or the name is taken.
        """
        check_name(name)
        staging = runs / STAGING
        staging.mkdir(parents=True, exist_ok=True)
        with (staging / f"{name}.lock").open("w") as lock:
            try:
                fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # freed by the system when the process ends
            except OSError:
                raise RunError(f"another process is working on {name}; wait for it or choose another --name") from None
            if copy_of is None and (runs / name).exists():
                raise RunError(f"there is a run {name} in {runs} already; choose another --name")
            yield cls(runs, name, cls._folder(staging, name, resume=resume, copy_of=copy_of), lock)

    @staticmethod
    def _folder(staging: Path, name: str, *, resume: bool, copy_of: "Run | None") -> Path:
        attempts = staged_attempts(staging.parent, name)
        if resume and copy_of is None:
            if not attempts:
                raise NoSuchRun(f"there is nothing to resume under the name {name}; start it without --resume")
            return attempts[-1]
        number = int(attempts[-1].name.rpartition(".")[2]) + 1 if attempts else 1
        folder = staging / f"{name}.{number}"
        if copy_of is None:
            folder.mkdir()
        else:  # files of a whole run are never changed in place, so links will do
            shutil.copytree(copy_of.folder, folder, copy_function=os.link)
            (folder / MANIFEST).unlink()
        return folder

    def commit(self, **facts: Any) -> "Run":
        """Write the manifest, make everything durable and rename the folder into place. facts go into the manifest."""
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        (self.folder / "progress.json").unlink(missing_ok=True)
        manifest = {
            "schema_version": SCHEMA_VERSION,
            "name": self.name,
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "software": {package: _version(package) for package in _PACKAGES},
            **facts,
            "files": [_entry(self.folder, path) for path in _content(self.folder)],
        }
        manifest["checksum"] = _checksum(manifest)
        files.write_json(self.folder / MANIFEST, manifest)
        for folder in {path.parent for path in _content(self.folder)} | {self.folder}:
            files.sync_folder(folder)
        target = self.runs / self.name
        if target.exists():  # a recount: the old run goes to the trash, from where it can be taken back
            trash = self.runs / TRASH
            trash.mkdir(exist_ok=True)
            os.rename(target, trash / f"{self.name}.{time.time_ns()}")
        os.rename(self.folder, target)
        files.sync_folder(self.runs)
        for attempt in staged_attempts(self.runs, self.name):
            shutil.rmtree(attempt, ignore_errors=True)
        (self.runs / STAGING / f"{self.name}.lock").unlink(missing_ok=True)
        return Run(target)


def staged_attempts(runs: Path, name: str) -> list[Path]:
    """Staging folders of a run, oldest first."""
    pattern = re.compile(re.escape(name) + r"\.(\d+)")
    staging = runs / STAGING
    found = [path for path in staging.iterdir() if pattern.fullmatch(path.name)] if staging.is_dir() else []
    return sorted(found, key=lambda path: int(path.name.rpartition(".")[2]))


def _content(folder: Path) -> list[Path]:
    every = sorted(path for path in folder.rglob("*") if path.is_file())
    return [path for path in every if path.relative_to(folder).parts[0] not in _NOT_LISTED]


def _entry(folder: Path, path: Path) -> dict[str, Any]:
    files.sync_file(path)
    entry: dict[str, Any] = {
        "path": path.relative_to(folder).as_posix(),
        "bytes": path.stat().st_size,
        "sha256": files.sha256(path),
    }
    if path.suffix == ".parquet":
        entry["rows"] = pq.read_metadata(path).num_rows
    return entry


def _checksum(manifest: dict[str, Any]) -> str:
    body = {key: value for key, value in manifest.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


class Run:
    """A whole run, read-only. Raises RunError when its manifest is missing, damaged or of another version."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        if not (folder / MANIFEST).is_file():
            raise NoSuchRun(f"there is no run {folder.name} in {folder.parent}; see `python -m pipelines list`")
        self.manifest: dict[str, Any] = files.read_json(folder / MANIFEST)
        if self.manifest.get("checksum") != _checksum(self.manifest):
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
        return tuple(sorted({int(seed) for _, _, seed in self._predicted()}))

    @property
    def heads(self) -> tuple[Head, ...]:
        """Contenders of this run, in the order of schema.HEADS."""
        present = {head for _, head, _ in self._predicted()}
        return tuple(head for head in HEADS if head in present)

    @property
    def splits(self) -> tuple[Split, ...]:
        """Splits with predictions, test first."""
        present = {split for split, _, _ in self._predicted()}
        order: tuple[Split, ...] = ("test", "val", "train")
        return tuple(split for split in order if split in present)

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

    def counts(self, split: Split, head: Head, seed: int, *, variant: Variant = "raw") -> Counts:
        """Counts of one split, head, seed and variant."""
        if variant not in VARIANTS:
            raise RunError(f"variant must be one of {', '.join(VARIANTS)}, got {variant}")
        return read_counts(self._folder(counts_folder(split, head, seed, variant)))

    def predictions(self, split: Split, head: Head, seed: int) -> PredictionReader:
        """Reader of single images; close it after use."""
        return PredictionReader(self._folder(predictions_folder(split, head, seed)))

    def preview(self, split: Split, image: str) -> bytes:
        """One image as the networks saw it, JPEG. Raises RunError when it is not there."""
        with files.open_parquet(self._listed(previews_file(split).as_posix())) as file:
            names = file.read(columns=["image"])["image"].to_pylist()
            if image not in names:
                raise RunError(f"there is no image {image} in split {split}; choose another")
            return bytes(file.read_row_group(names.index(image), columns=["jpeg"])["jpeg"][0].as_py())

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
