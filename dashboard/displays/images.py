"""Scores of single images to one row an image, sorted by where two heads differ, or by where they fail."""

from typing import Final

import pandas as pd

from dashboard import queries
from pipelines.metrics import METRICS
from pipelines.schema import Head, Split
from pipelines.store.runs import Run

SCORES: Final = ("dice", "iou", "boundary_iou", "surface_dice", "classwise_ece", "brier", "nll", "volume_bias")
RATES: Final = ("overlap_rate", "no_label_rate")
_WORST: Final = {"dice": "lowest Dice"}


def orders(score: str, *, pair: bool = True) -> tuple[str, ...]:
    """What images can be sorted by; score: one of SCORES, by which a head is better or an image worst.

    pair: whether there are two heads to compare.
    """
    worst = _WORST.get(score, f"worst {METRICS[score].title}")
    if not pair:
        return (worst, "most overlap", "most without label", "name")
    return ("most different", "sigmoid better", "softmax better", worst, "most overlap", "most without label", "name")


def image_table(run: Run, *, split: Split, seed: int, contender: Head) -> pd.DataFrame:
    """One row an image: image, disagreement (share of pixels with other labels), <metric>_<head> of both heads.

    Of a head alone without the disagreement.
    """
    rows = queries.runs.image_scores(run)
    rows = rows[(rows["split"] == split) & (rows["seed"] == seed)]
    heads = queries.runs.shown_heads(run, contender)
    scores = {head: rows[rows["head"] == head].set_index("image") for head in heads}
    last = scores[contender]
    table = pd.DataFrame({"disagreement": last["disagreement"]} if len(heads) > 1 else {}, index=last.index)
    for name in (*SCORES, *RATES):
        for head, own in scores.items():
            table[f"{name}_{head}"] = own[name]
    return table.rename_axis("image").reset_index()


def sorted_images(table: pd.DataFrame, *, contender: Head, order: str, score: str) -> pd.DataFrame:
    """Rows of `image_table` in an order of `orders`; images without the value come last, equal ones by name."""
    if order == "name":
        return table.sort_values("image", ignore_index=True)
    good = {head: goodness(table[f"{score}_{head}"], score) for head in heads_of(table, score)}
    by = {
        f"most {name}": table[[f"{rate}_{head}" for head in good]].max(axis=1)
        for name, rate in (("overlap", "overlap_rate"), ("without label", "no_label_rate"))
    }
    if len(good) > 1:
        lead = good["sigmoid"] - good[contender]
        by |= {"most different": table["disagreement"], "sigmoid better": lead, "softmax better": -lead}
    first = by.get(order, -pd.concat(good, axis=1).min(axis=1, skipna=False))
    place = table.assign(_first=first).sort_values(["_first", "image"], ascending=[False, True], ignore_index=True)
    return place.drop(columns="_first")


def heads_of(table: pd.DataFrame, score: str) -> list[str]:
    """The heads that rows of `image_table` are of."""
    return [name.removeprefix(f"{score}_") for name in table.columns if name.startswith(f"{score}_")]


def goodness(values: pd.Series, score: str) -> pd.Series:
    """The larger the better: the value, minus it where lower is better, minus its size where none is best."""
    better = METRICS[score].better
    return values if better == "higher" else -values if better == "lower" else -values.abs()
