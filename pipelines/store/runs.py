"""Whole runs, read only through their manifest. Listing them loads neither numpy nor pandas nor pyarrow."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, TypeVar

from pipelines.datasets.bands import RGB, Bands, stored_bands
from pipelines.errors import RunError
from pipelines.schema import ALL_CLASSES, ALL_SEEDS, DIFFERENCES, HEADS, MACRO, VARIANTS, Head, Reading, Split, Variant
from pipelines.store import files
from pipelines.store.files import MANIFEST, check_name, counts_folder, models_folder, predictions_folder, previews_file
from pipelines.store.manifest import Entry, check, read_manifest

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.arrays import Int64Array
    from pipelines.counting.counts import Counts
    from pipelines.heads import HeadSpec
    from pipelines.judgement import Verdict
    from pipelines.store.counts import Result
    from pipelines.store.predictions import PredictionReader

Names: TypeAlias = str | Collection[str] | None
JUDGED: Final = "judged"  # the split that a verdict judges: test, else val, else train
# Any of these makes a folder that has no manifest a run that has lost it.
_OF_A_RUN: Final = ("predictions", "statistics", "models", "dataset.json", "plan.json")


class StoredVerdict(dict[str, Any]):
    """verdict.json."""

    def __call__(self) -> Verdict:
        """The same as a value with attributes."""
        from pipelines.judgement import Verdict

        return Verdict.model_validate(self)


class Run:
    """A whole run, read-only. Raises RunError when its manifest is missing, damaged or of another version.

    Whatever is read is first compared with the manifest: all methods and properties that read a file raise RunError,
    which names it, when it is missing or has changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.manifest, self._files = read_manifest(folder)

    @property
    def checksum(self) -> str:
        """Changes with any file of the run; caches are keyed by it."""
        return str(self.manifest["checksum"])

    def has(self, path: str) -> bool:
        """Whether the manifest names a file."""
        return path in self._files

    @property
    def config(self) -> dict[str, Any]:
        """Settings the run was made with."""
        return files.read_object(self._listed("config.json"))

    @property
    def dataset(self) -> dict[str, Any]:
        """What the check found in the data set."""
        return files.read_object(self._listed("dataset.json"))

    @property
    def verdict(self) -> StoredVerdict:
        """Which last layer, and why: verdict.json, and called, the same as a `Verdict`."""
        return StoredVerdict(files.read_object(self._listed("verdict.json")))

    @property
    def facts(self) -> dict[str, Any]:
        """What evaluation noted beside the numbers: temperatures, groups, warnings."""
        return files.read_object(self._listed("evaluation.json"))

    def head_file(self, head: Head, seed: int) -> dict[str, Any] | None:
        """head.json of one network (models.HeadFile); None where the run holds no such network."""
        path = f"{models_folder(head, seed).as_posix()}/head.json"
        return files.read_object(self._listed(path)) if path in self._files else None

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
        matches = (pattern.fullmatch(path) for path in self._files)
        return {(match[1], match[2], match[3]) for match in matches if match}

    def estimates(
        self,
        *,
        metric: Names = None,
        head: Names = None,
        class_: Names = None,
        split: Names = JUDGED,
        seed: int | Collection[int] | None = ALL_SEEDS,
        variant: Names = "raw",
        region: Names = "all",
    ) -> pd.DataFrame:
        """Values with their 95% intervals: rows of metrics.parquet, columns of layouts.METRICS_SCHEMA, in its order.

        Each argument is one value, several, or None for all of them. By default every metric, head and class: on the
        split that a verdict judges (JUDGED: test, where there is one), over all seeds, as trained, of all pixels.
        metric: names of metrics.METRICS. head: a head, or a difference, a swap or an agreement by its name in
        schema.DIFFERENCES, SWAP_DIFFERENCES and AGREEMENTS. class_: a class, MACRO for the mean of the classes,
        ALL_CLASSES for what has no class. seed: ALL_SEEDS for the mean over the seeds.
        Returns a frame of its own, which may be written to; it has no row where nothing fits. The file is read once in
        a process. Raises RunError when it is missing or damaged.

        >>> run.estimates(metric="dice", head=("sigmoid", "softmax"), class_=MACRO)  # doctest: +SKIP
        """
        if split == JUDGED:
            split = self.splits[:1]
        path = self._listed("metrics.parquet")
        with files.reading(path):
            stat = path.stat()
        table = _estimates(path, (stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return table.pick((metric, head, class_, split, seed, variant, region))

    def metrics(self) -> pd.DataFrame:
        """All of metrics.parquet, columns of layouts.METRICS_SCHEMA."""
        return self.estimates(split=None, seed=None, variant=None, region=None)

    def image_scores(self) -> pd.DataFrame:
        """image_scores.parquet, columns of layouts.IMAGE_SCORES_SCHEMA."""
        return files.read_table(self._listed("image_scores.parquet")).to_pandas()

    def training(self) -> pd.DataFrame | None:
        """training.parquet, columns of layouts.TRAINING_SCHEMA; None when the models were loaded, not trained."""
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
        from pipelines.store.counts import StoredCounts

        if variant not in VARIANTS:
            raise RunError(f"variant must be one of {', '.join(VARIANTS)}, got {variant}")
        every = (seeds,) if isinstance(seeds, int) else seeds
        return StoredCounts([self._folder(counts_folder(split, head, seed, variant)) for seed in every], whole=whole)

    def map_counts(
        self,
        function: Callable[[Counts], Result],
        names: Sequence[str],
        split: Split,
        head: Reading,
        seeds: Sequence[int],
        *,
        variant: Variant = "raw",
    ) -> list[Result]:
        """What a function makes of the counts block by block, from a few arrays by name (counts.map_blocks)."""
        from pipelines.store.counts import map_blocks

        folders = [self._folder(counts_folder(split, head, seed, variant)) for seed in seeds]
        return map_blocks(folders, names, function)

    def image_bins(
        self, split: Split, head: Reading, seeds: Sequence[int], *, bins: int, variant: Variant = "raw"
    ) -> Int64Array:
        """(N, C, 3, bins) pixels, hits and sums of p of each image in equal bins of p (counts.image_bins)."""
        from pipelines.store.counts import read_bins

        return read_bins([self._folder(counts_folder(split, head, seed, variant)) for seed in seeds], bins)

    def predictions(self, split: Split, head: Head, seed: int) -> PredictionReader:
        """Reader of single images; close it after use."""
        from pipelines.store.predictions import PredictionReader, open_again

        folder = self._folder(predictions_folder(split, head, seed))
        return PredictionReader(folder, parts=self._parts(folder), open_part=open_again)

    def spec(self, split: Split, head: Head, seed: int) -> HeadSpec:
        """What the channels of one network's predictions stand for."""
        from pipelines.store.predictions import spec_of

        folder = self._folder(predictions_folder(split, head, seed))
        return spec_of(folder, self._parts(folder))

    def preview(self, split: Split, image: str) -> bytes:
        """One image as the networks saw it, JPEG. Raises RunError when it is not there."""
        from pipelines.store.predictions import open_again

        path = self._listed(previews_file(split).as_posix())
        place = _places_of_previews(path, self.checksum).get(image)
        if place is None:
            raise RunError(f"there is no image {image} in split {split}; choose another")
        with open_again(path) as file, files.reading(path):
            return bytes(file.read_row_group(place, columns=["jpeg"])["jpeg"][0].as_py())

    def check(self) -> None:
        """Raise RunError, which names the first file that is missing or has changed, as far as `verify` without reading
        the pages of large files, and each file once for as long as its time and size stay the same.
        """
        check(self.folder, self._files.values())

    def verify(self) -> list[str]:
        """Files whose size or SHA-256 is not the manifest's; empty when the run is whole."""
        problems = []
        for path, entry in self._files.items():
            place = self.folder / path
            if not place.is_file():
                problems.append(f"{path} is missing")
                continue
            with files.reading(place):  # read anew, whatever is remembered of it
                same = place.stat().st_size == entry.bytes and files.sha256(place) == entry.sha256
            if not same:
                problems.append(f"{path} has changed since the run was made")
        return problems

    def _listed(self, path: str) -> Path:
        """Place of a file, which is as the manifest says."""
        if path not in self._files:
            raise RunError(f"{self.name} has no {path}; run evaluate on it first")
        check(self.folder, [self._files[path]])
        return self.folder / path

    def _folder(self, path: Path) -> Path:
        """Place of a folder, whose files are as the manifest says."""
        if path not in self._by_folder:
            raise RunError(f"{self.name} has no {path.as_posix()}; run evaluate on it first")
        check(self.folder, self._by_folder[path])
        return self.folder / path

    def _parts(self, folder: Path) -> list[Path]:
        """The parts of predictions that the manifest names: a stray one beside them is not read."""
        listed = self._by_folder[folder.relative_to(self.folder)]
        return sorted(self.folder / entry.path for entry in listed if entry.path.endswith(".parquet"))

    @cached_property
    def _by_folder(self) -> dict[Path, list[Entry]]:
        folders: defaultdict[Path, list[Entry]] = defaultdict(list)
        for path, entry in self._files.items():
            folders[Path(path).parent].append(entry)
        return dict(folders)


_KEYS: Final = ("metric", "head", "class", "split", "seed", "variant", "region")


class Estimates:
    """All rows of a metrics.parquet, and each key of theirs as a number, by which rows are found much faster."""

    def __init__(self, rows: pd.DataFrame) -> None:
        import pandas as pd

        self._rows = rows
        self._codes = {key: pd.factorize(rows[key]) for key in _KEYS}

    def pick(self, wanted: Sequence[Any]) -> pd.DataFrame:
        """Rows by what is wanted of each of _KEYS: one value, several, or None for all."""
        import numpy as np

        keep = np.ones(len(self._rows), np.bool_)
        for key, values in zip(_KEYS, wanted, strict=True):
            if values is not None and len(keep):
                codes, names = self._codes[key]
                listed = {values} if isinstance(values, str | int) else set(values)
                keep &= np.array([name in listed for name in names.tolist()])[codes]
        return self._rows.copy(deep=False) if keep.all() else self._rows[keep].reset_index(drop=True)


@lru_cache(maxsize=8)
def _estimates(path: Path, _stamp: tuple[int, ...]) -> Estimates:
    table = files.read_table(path)
    with files.reading(path):
        return Estimates(table.to_pandas())


@lru_cache(maxsize=16)
def _places_of_previews(path: Path, _checksum: str) -> dict[str, int]:
    """Row group of each image: reading a column of so many takes longer than an image."""
    table = files.read_table(path, columns=["image"])
    with files.reading(path):
        return {name: place for place, name in enumerate(table["image"].to_pylist())}


def run_bytes(run: Run) -> int:
    """Size of a run's files by its manifest, and of the manifest."""
    return sum(int(entry["bytes"]) for entry in run.manifest["files"]) + (run.folder / MANIFEST).stat().st_size


def open_run(runs: Path, name: str) -> Run:
    """A run by name, or by the path of its folder when name holds a separator."""
    if os.sep in name:
        return Run(Path(name))
    return Run(runs / check_name(name))


class DamagedRun(NamedTuple):
    """A folder that was a run and cannot be opened. problem: why, and what to do."""

    name: str
    problem: str


def list_runs(runs: Path) -> list[Run]:
    """Whole runs, newest first; folders without a valid manifest are not runs."""
    return scan_runs(runs)[0]


def scan_runs(runs: Path) -> tuple[list[Run], list[DamagedRun]]:
    """Runs, newest first, and what lies beside them and was a run, by name. A stray folder is neither.

    Raises RunError when the folder of runs cannot be read.
    """
    whole: list[Run] = []
    damaged: list[DamagedRun] = []
    with files.reading(runs):
        folders = sorted(path for path in runs.iterdir() if not path.name.startswith(".")) if runs.is_dir() else []
    for folder in folders:
        try:
            if os.path.lexists(folder / MANIFEST):
                check_name(folder.name)
                whole.append(Run(folder))
            elif any((folder / name).exists() for name in _OF_A_RUN):
                raise RunError(f"{MANIFEST} of {folder.name} is missing; restore it from a copy, or remove the folder")
        except RunError as error:
            damaged.append(DamagedRun(folder.name, str(error)))
        except OSError as error:
            damaged.append(DamagedRun(folder.name, f"{folder} cannot be read ({error.strerror}); see who may read it"))
    return sorted(whole, key=lambda run: (run.manifest["created"], run.name), reverse=True), damaged


# A run in short -------------------------------------------------------------------------------------------------------

Origin: TypeAlias = Literal["trained", "loaded", "imported"]
Interval: TypeAlias = tuple[float, float, float]  # value, low, high; NaN where there is none
T = TypeVar("T")

# Settings that decide where and how fast networks are trained and measured, but not what comes out.
_NOT_TOLD: Final = frozenset({"device", "workers", "threads", "checkpoint_seconds", "bootstrap_seed", "seeds"})
_OF_A_NETWORK: Final = ("architecture", "encoder", "size", "loss")  # what the file beside a network says


@dataclass(frozen=True)
class Summary:
    """One run in short.

    created: ISO 8601 in UTC. bytes: size on disk. data: name of its data set; bands: of its images. images: in
    `split`, the one that is judged. origin: of the networks. settings: of training and evaluation by name; of networks
    that were loaded only what their files say, of imported ones only of the evaluation. declared: of each imported
    head, what was said of it (config.ImportedHead). answer, confidence, contender: of its verdict, empty where there is
    none. scores: (metric, head or a name of DIFFERENCES) to the mean over the classes, as trained, with its 95%
    interval. problem: what could not be read and what to do; empty if all is well.
    """

    name: str
    created: str
    bytes: int
    data: str
    kind: str
    classes: tuple[str, ...]
    images: int
    split: Split | None
    heads: tuple[Head, ...]
    seeds: tuple[int, ...]
    origin: Origin
    settings: dict[str, Any]
    declared: dict[Head, dict[str, Any]]
    answer: str
    confidence: str
    contender: Head | None
    scores: dict[tuple[str, str], Interval]
    problem: str
    bands: Bands = RGB


def summarise(run: Run) -> Summary:
    """A run in short. Never raises RunError: a part that cannot be read is empty, and `problem` says why."""
    problems: list[str] = []

    def part(read: Callable[[], T], empty: T) -> T:
        try:
            return read()
        except RunError as error:
            problems.append(str(error))
            return empty

    split = run.splits[0] if run.splits else None
    nothing: dict[str, Any] = {}
    dataset = part(lambda: run.dataset, nothing)
    verdict = part(lambda: run.verdict, nothing)
    config = part(lambda: run.config, nothing)
    no_origin: Origin = "trained"
    settings, origin = part(lambda: _settings(run, config), (nothing, no_origin)) if config else (nothing, no_origin)
    no_scores: dict[tuple[str, str], Interval] = {}
    scores = part(lambda: _scores(run, split), no_scores)
    splits = [entry for entry in dataset.get("splits", ()) if entry["split"] == split]
    return Summary(
        name=run.name,
        created=str(run.manifest["created"]),
        bytes=run_bytes(run),
        data=str(dataset.get("name", "")),
        kind=dataset.get("kind", ""),
        classes=tuple(dataset.get("classes", ())),
        images=sum(int(entry["images"]) for entry in splits),
        split=split,
        heads=run.heads,
        seeds=run.seeds,
        origin=origin,
        settings=settings,
        declared=(config.get("imported") or {}).get("heads", {}),
        answer=verdict.get("answer", ""),
        confidence=verdict.get("confidence", ""),
        contender=verdict.get("contender"),
        scores=scores,
        problem=problems[0] if problems else "",
        bands=stored_bands(dataset),
    )


def _settings(run: Run, config: dict[str, Any]) -> tuple[dict[str, Any], Origin]:
    """Settings by name, and where the networks come from."""
    evaluation = {name: value for name, value in config["evaluation"].items() if name not in _NOT_TOLD}
    if config["training"] is None:
        return {"size": config["imported"]["size"]} | evaluation, "imported"
    if run.has("training.parquet"):
        training = {name: value for name, value in config["training"].items() if name not in _NOT_TOLD}
        return training | evaluation, "trained"
    noted = (run.head_file(run.heads[0], run.seeds[0]) if run.heads else None) or {}
    return {name: noted.get(name) for name in _OF_A_NETWORK} | evaluation, "loaded"


def _scores(run: Run, split: Split | None) -> dict[tuple[str, str], Interval]:
    """Means over the classes, all pixels and all seeds."""
    if not run.has("metrics.parquet") or split is None:
        raise RunError(f"{run.name} has no metrics; run evaluate on it first")
    rows = run.estimates(head=[*HEADS, *DIFFERENCES], class_=[MACRO, ALL_CLASSES], split=split)
    numbers = rows[["value", "low", "high"]].to_numpy("float64").tolist()
    return {
        (metric, head): (value, low, high)
        for metric, head, (value, low, high) in zip(rows["metric"], rows["head"], numbers, strict=True)
    }


# Curves --------------------------------------------------------------------------------------------------------------

LOSS_COLUMNS: Final = ("head", "seed", "epoch", "loss")
SCORE_COLUMNS: Final = ("head", "seed", "epoch", "score", "best")


def learning_curves(rows: pd.DataFrame, *, points: int = 80) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Losses and validation scores of each head and seed.

    rows: columns of layouts.TRAINING_SCHEMA. points: most points of a loss curve.
    Returns losses (head, seed, epoch: float, where the middle of the block lies, counted in epochs; loss: mean over the
    block) and scores (head, seed, epoch: int from 1; score: macro Dice on validation; best: the epoch whose weights
    were kept, the first of equals; none where there was no validation).
    """
    import pandas as pd

    losses: list[dict[str, Any]] = []
    scores: list[dict[str, Any]] = []
    for (head, seed), mine in rows.groupby(["head", "seed"], sort=True):
        key = {"head": head, "seed": seed}
        steps = mine[(mine["split"] == "train") & mine["loss"].notna()].sort_values("step")
        losses += [key | point for point in _blocks(steps, points)]
        epochs = mine[(mine["split"] == "val") & mine["score"].notna()].sort_values("epoch")
        best = epochs["score"].to_numpy().argmax() if len(epochs) else -1  # argmax takes the first of equals
        scores += [
            key | {"epoch": epoch, "score": score, "best": at == best}
            for at, (epoch, score) in enumerate(zip(epochs["epoch"], epochs["score"], strict=True))
        ]
    return pd.DataFrame(losses, columns=list(LOSS_COLUMNS)), pd.DataFrame(scores, columns=list(SCORE_COLUMNS))


def _blocks(steps: pd.DataFrame, points: int) -> list[dict[str, float]]:
    """Means over at most `points` blocks of steps whose sizes differ by one at most."""
    import numpy as np

    if steps.empty:
        return []
    per_epoch = steps["step"].max() / steps["epoch"].max()
    blocks = np.array_split(steps[["step", "loss"]].to_numpy(np.float64), min(points, len(steps)))
    return [{"epoch": float(block[:, 0].mean() / per_epoch), "loss": float(block[:, 1].mean())} for block in blocks]
