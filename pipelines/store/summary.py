"""A run to what tells it from others, and its training to curves light enough to draw."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from pipelines.errors import RunError
from pipelines.schema import ALL_CLASSES, DIFFERENCES, HEADS, MACRO, Head, Split
from pipelines.store.manage import run_bytes
from pipelines.store.runs import Run

# In short ------------------------------------------------------------------------------------------------------------

Origin: TypeAlias = Literal["trained", "loaded", "imported"]
Interval: TypeAlias = tuple[float, float, float]  # value, low, high; NaN where there is none
T = TypeVar("T")

# Settings that decide where and how fast networks are trained and measured, but not what comes out.
_NOT_TOLD: Final = frozenset({"device", "workers", "threads", "checkpoint_seconds", "bootstrap_seed", "seeds"})
_OF_A_NETWORK: Final = ("architecture", "encoder", "size", "loss")  # what the file beside a network says


@dataclass(frozen=True)
class Summary:
    """One run in short.

    created: ISO 8601 in UTC. bytes: size on disk. data: name of its data set. images: in `split`, the one that is
    judged. origin: of the networks. settings: of training and evaluation by name; of networks that were loaded
    only what their files say, of imported ones only of the evaluation. declared: of each imported head, what was said
    of it (config.ImportedHead). answer, confidence, contender: of its verdict, empty where there is none.
    scores: (metric, head or a name of DIFFERENCES) to the mean over the classes, as trained, with its 95% interval.
    problem: what could not be read and what to do; empty if all is well.
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
    return Summary(
        name=run.name, created=str(run.manifest["created"]), bytes=run_bytes(run), data=str(dataset.get("name", "")),
        kind=dataset.get("kind", ""), classes=tuple(dataset.get("classes", ())),
        images=sum(int(one["images"]) for one in dataset.get("splits", ()) if one["split"] == split), split=split,
        heads=run.heads, seeds=run.seeds, origin=origin, settings=settings,
        declared=(config.get("imported") or {}).get("heads", {}), answer=verdict.get("answer", ""),
        confidence=verdict.get("confidence", ""), contender=verdict.get("contender"), scores=scores,
        problem=problems[0] if problems else "",
    )  # fmt: skip


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
    numbers = rows[["value", "low", "high"]].to_numpy(np.float64).tolist()
    return {
        (metric, head): (value, low, high)
        for metric, head, (value, low, high) in zip(rows["metric"], rows["head"], numbers, strict=True)
    }


# Curves --------------------------------------------------------------------------------------------------------------

LOSS_COLUMNS: Final = ("head", "seed", "epoch", "loss")
SCORE_COLUMNS: Final = ("head", "seed", "epoch", "score", "best")


def learning_curves(rows: pd.DataFrame, *, points: int = 80) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Losses and validation scores of each head and seed.

    rows: columns of schema.TRAINING_SCHEMA. points: most points of a loss curve.
    Returns losses (head, seed, epoch: float, where the middle of the block lies, counted in epochs; loss: mean over the
    block) and scores (head, seed, epoch: int from 1; score: macro Dice on validation; best: the epoch whose weights
    were kept, the first of equals; none where there was no validation).
    """
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
    if steps.empty:
        return []
    per_epoch = steps["step"].max() / steps["epoch"].max()
    blocks = np.array_split(steps[["step", "loss"]].to_numpy(np.float64), min(points, len(steps)))
    return [{"epoch": float(block[:, 0].mean() / per_epoch), "loss": float(block[:, 1].mean())} for block in blocks]
