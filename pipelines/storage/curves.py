"""Rows of training.parquet to curves light enough to draw: losses averaged over blocks of steps, and scores."""

from typing import Any, Final

import numpy as np
import pandas as pd

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
