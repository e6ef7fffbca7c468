"""Scores of single images to one row an image, sorted by where two heads differ or fail."""

from typing import Final

import pandas as pd

from dashboard import loaders
from pipelines.metrics import METRICS
from pipelines.schema import Head, Split
from pipelines.storage import Run

SCORES: Final = ("dice", "iou", "boundary_iou", "surface_dice", "classwise_ece", "brier", "nll", "volume_bias")
RATES: Final = ("overlap_rate", "no_label_rate")
_WORST: Final = {"dice": "lowest Dice"}


def orders(score: str) -> tuple[str, ...]:
    """What images can be sorted by; score: one of SCORES, by which a head is better or an image worst."""
    worst = _WORST.get(score, f"worst {METRICS[score].title}")
    return ("most different", "sigmoid better", "softmax better", worst, "most overlap", "most without label", "name")


def image_table(run: Run, *, split: Split, seed: int, contender: Head) -> pd.DataFrame:
    """One row an image: image, disagreement (share of pixels with other labels), <metric>_<head> of both heads."""
    rows = loaders.image_scores(run)
    rows = rows[(rows["split"] == split) & (rows["seed"] == seed)]
    first, second = (rows[rows["head"] == head].set_index("image") for head in ("sigmoid", contender))
    table = pd.DataFrame({"disagreement": second["disagreement"]})
    for name in (*SCORES, *RATES):
        table[f"{name}_sigmoid"] = first[name]
        table[f"{name}_{contender}"] = second[name]
    return table.rename_axis("image").reset_index()


def sorted_images(table: pd.DataFrame, *, contender: Head, order: str, score: str) -> pd.DataFrame:
    """Rows of `image_table` in an order of `orders`; images without the value come last, equal ones by name."""
    if order == "name":
        return table.sort_values("image", ignore_index=True)
    ours, theirs = (goodness(table[f"{score}_{head}"], score) for head in ("sigmoid", contender))
    first = {
        "most different": table["disagreement"],
        "sigmoid better": ours - theirs,
        "softmax better": theirs - ours,
        "most overlap": table[["overlap_rate_sigmoid", f"overlap_rate_{contender}"]].max(axis=1),
        "most without label": table[["no_label_rate_sigmoid", f"no_label_rate_{contender}"]].max(axis=1),
    }.get(order, -pd.concat([ours, theirs], axis=1).min(axis=1, skipna=False))
    place = table.assign(_first=first).sort_values(["_first", "image"], ascending=[False, True], ignore_index=True)
    return place.drop(columns="_first")


def goodness(values: pd.Series, score: str) -> pd.Series:
    """The larger the better: the value, minus it where lower is better, minus its size where none is best."""
    better = METRICS[score].better
    return values if better == "higher" else -values if better == "lower" else -values.abs()
