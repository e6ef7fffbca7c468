"""Counts to the tables behind the page Confusion, and names of its cells to the cells."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from dashboard import loaders
from dashboard.panels.selection import Selection
from pipelines.metrics import joint, tables
from pipelines.metrics.cells import NONE, Cell
from pipelines.schema import Head
from pipelines.store import Run

Decision: TypeAlias = Literal["argmax", "threshold"]
Form: TypeAlias = Literal["share", "count"]
_ERRORS: Final = 12  # wrong label sets shown
_SETS: Final = 8  # label sets of a matrix, the rest pooled


def decisions(run: Run) -> tuple[Decision, ...]:
    """How a class can be called: by argmax where truth is exclusive, and by threshold."""
    return ("argmax", "threshold") if loaders.dataset(run)["kind"] == "exclusive" else ("threshold",)


def confusion(shown: Selection, head: Head, *, decision: Decision, threshold: float = 0.5) -> pd.DataFrame:
    """Confusion of one head: rows of `metrics.tables.argmax_confusion` or `threshold_confusion`."""
    facts = loaders.dataset(shown.run)
    counted = loaders.whole_counts(shown.run, shown.split, head, shown.seeds, "raw")
    if decision == "argmax":
        return tables.argmax_confusion(counted, classes=facts["classes"], region=shown.region)
    return tables.threshold_confusion(counted, kind=facts["kind"], classes=facts["classes"], threshold=threshold)


def both(
    shown: Selection, *, decision: Decision | None = None, threshold: float = 0.5, form: Form = "share"
) -> pd.DataFrame:
    """Confusion of sigmoid and the contender, one row a cell: truth, predicted, pixels, share and truth_pixels of each
    (suffixes _sigmoid and _softmax) and the difference of what is shown.

    Of a head alone (see `loaders.shown_heads`) the same columns with its suffix, and no difference.
    """
    decision = decision or decisions(shown.run)[0]
    found = [confusion(shown, head, decision=decision, threshold=threshold) for head in shown.heads]
    if len(found) == 1:
        keys, suffix = ("truth", "predicted"), suffix_of(shown.heads[0])
        return found[0].rename(columns=lambda name: name if name in keys else f"{name}_{suffix}")
    joined = found[0].merge(found[1], on=["truth", "predicted"], suffixes=("_sigmoid", "_softmax"))
    value = value_of(form)
    joined["difference"] = joined[f"{value}_sigmoid"] - joined[f"{value}_softmax"]
    return joined


def suffix_of(head: Head) -> str:
    """Of the columns that belong to a head."""
    return "sigmoid" if head == "sigmoid" else "softmax"


def value_of(form: Form) -> str:
    """Prefix of the columns that hold what is shown."""
    return "share" if form == "share" else "pixels"


def largest_differences(joined: pd.DataFrame, *, most: int = 10) -> pd.DataFrame:
    """The cells of `both` in which the heads differ most."""
    return joined.sort_values("difference", key=abs, ascending=False, kind="stable").head(most)


def telling_cell(shown: Selection) -> tuple[str, str, Head]:
    """Truth, prediction and head of the cell off the diagonal in which the heads differ by most pixels, at p > 0.5
    where there is no argmax, in all pixels; the head is the one that has more. Of a head alone the cell with most.
    """
    joined, contender = both(replace(shown, region="all"), form="count"), shown.contender
    off = joined[joined["truth"] != joined["predicted"]]
    if "difference" not in joined:
        worst = (off if len(off) else joined).sort_values(f"pixels_{suffix_of(contender)}", kind="stable").iloc[-1]
        return str(worst["truth"]), str(worst["predicted"]), contender
    first = largest_differences(off if len(off) else joined, most=1).iloc[0]
    return str(first["truth"]), str(first["predicted"]), "sigmoid" if first["difference"] >= 0 else contender


def names_of(shown: Selection, decision: Decision) -> tuple[list[str], list[str]]:
    """Names of the rows and of the columns of the matrices."""
    table = confusion(shown, shown.heads[0], decision=decision)
    return list(dict.fromkeys(table["truth"])), list(dict.fromkeys(table["predicted"]))


def cell_of(
    shown: Selection, rows: Sequence[str], columns: Sequence[str], truth: str, predicted: str, *,
    decision: Decision, threshold: float,
) -> Cell:  # fmt: skip
    """The cell of a row and a column of the matrices."""
    down, across = rows.index(truth), columns.index(predicted)
    if loaders.dataset(shown.run)["kind"] == "binary":  # the background stands first
        down, across = down - 1, across - 1
    elif down == len(columns):
        down = NONE
    by_argmax = decision == "argmax"
    return Cell(down, across, None if by_argmax else threshold, shown.region if by_argmax else "all")


def named_sets(shown: Selection) -> dict[Head, pd.DataFrame]:
    """Rows of `metrics.joint.label_set_confusion` of sigmoid and the contender, or of a head alone."""
    return {head: loaders.set_confusion(shown.run, shown.split, head, shown.seeds) for head in shown.heads}


def commonest_errors(found: Mapping[Head, pd.DataFrame], pixels: int) -> pd.DataFrame:
    """The wrong pairs of sets with most pixels in either head: head, truth, called, pixels, share of all pixels."""
    wrong = {head: one[~one["right"]].set_index(["truth", "called"])["pixels"] for head, one in found.items()}
    every = pd.concat(wrong, axis=1).fillna(0).astype(np.int64)
    every = every.loc[every.max(axis=1).sort_values(ascending=False, kind="stable").index].head(_ERRORS)
    parts = [every[head].rename("pixels").reset_index().assign(head=head) for head in wrong]
    table = pd.concat(parts, ignore_index=True)[["head", "truth", "called", "pixels"]]
    return table.assign(share=table["pixels"] / pixels)


def pooled_sets(found: Mapping[Head, pd.DataFrame]) -> dict[Head, pd.DataFrame]:
    """The same sets in the same order for both heads, all but the commonest ones pooled: truth, called, share."""
    every = pd.concat(found.values())
    weight = every.groupby("truth")["pixels"].sum().add(every.groupby("called")["pixels"].sum(), fill_value=0)
    kept = [name for name in weight.sort_values(ascending=False, kind="stable").index if name != joint.REST][:_SETS]
    named = {head: one.assign(**_renamed(one, kept)) for head, one in found.items()}
    order = [*kept, joint.REST]
    used = {column: {name for one in named.values() for name in one[column]} for column in ("truth", "called")}
    pairs = pd.MultiIndex.from_product(
        [[name for name in order if name in used[column]] for column in ("truth", "called")], names=["truth", "called"]
    )
    out = {}
    for head, one in named.items():
        pixels = one.groupby(["truth", "called"])["pixels"].sum().reindex(pairs, fill_value=0)
        whole = pixels.groupby("truth").transform("sum")
        out[head] = (pixels / whole).rename("share").reset_index()
    return out


def _renamed(table: pd.DataFrame, kept: Sequence[str]) -> dict[str, pd.Series]:
    return {column: table[column].where(table[column].isin(kept), joint.REST) for column in ("truth", "called")}
