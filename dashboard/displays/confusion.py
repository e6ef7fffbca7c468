"""Which classes and label sets are taken for which: matrices of the heads, their difference, the commonest errors."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from dashboard import queries
from dashboard.charts import Drawn, draw, mark, matrix_figure, points, shortened
from dashboard.displays.base import Display, Picture, Selection, selection_of
from dashboard.rounding import percent
from dashboard.theme import HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, LIGHT, Theme
from pipelines.metrics import overlap
from pipelines.metrics.confusion import NONE, Cell, argmax_confusion, threshold_confusion
from pipelines.schema import HEADS, Head
from pipelines.store.runs import Run

Decision: TypeAlias = Literal["argmax", "threshold"]
Form: TypeAlias = Literal["share", "count"]
_ERRORS: Final = 12  # wrong label sets shown
_SETS: Final = 8  # label sets of a matrix, the rest pooled
SMALL: Final = 5  # up to so many classes three matrices fit side by side
_LAYOUT: Final = {"rows": "truth", "columns": "predicted", "row_title": "truth", "column_title": "predicted"}


def decisions(run: Run) -> tuple[Decision, ...]:
    """How a class can be called: by argmax where truth is exclusive, and by threshold."""
    return ("argmax", "threshold") if queries.runs.dataset(run)["kind"] == "exclusive" else ("threshold",)


def confusion(shown: Selection, head: Head, *, decision: Decision, threshold: float = 0.5) -> pd.DataFrame:
    """Confusion of one head: rows of `metrics.confusion.argmax_confusion` or `threshold_confusion`."""
    facts = queries.runs.dataset(shown.run)
    counted = queries.counts.whole_counts(shown.run, shown.split, head, shown.seeds, "raw")
    if decision == "argmax":
        return argmax_confusion(counted, classes=facts["classes"], region=shown.region)
    return threshold_confusion(counted, kind=facts["kind"], classes=facts["classes"], threshold=threshold)


def both(
    shown: Selection, *, decision: Decision | None = None, threshold: float = 0.5, form: Form = "share"
) -> pd.DataFrame:
    """Confusion of sigmoid and the contender, one row a cell: truth, predicted, pixels, share and truth_pixels of each
    (suffixes _sigmoid and _softmax) and the difference of what is shown.

    Of a head alone (see `queries.runs.shown_heads`) the same columns with its suffix, and no difference.
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
    shown: Selection,
    rows: Sequence[str],
    columns: Sequence[str],
    truth: str,
    predicted: str,
    *,
    decision: Decision,
    threshold: float,
) -> Cell:
    """The cell of a row and a column of the matrices."""
    down, across = rows.index(truth), columns.index(predicted)
    if queries.runs.dataset(shown.run)["kind"] == "binary":  # the background stands first
        down, across = down - 1, across - 1
    elif down == len(columns):
        down = NONE
    by_argmax = decision == "argmax"
    return Cell(down, across, None if by_argmax else threshold, shown.region if by_argmax else "all")


def named_sets(shown: Selection) -> dict[Head, pd.DataFrame]:
    """Rows of `metrics.overlap.label_set_confusion` of sigmoid and the contender, or of a head alone."""
    return {head: queries.counts.set_confusion(shown.run, shown.split, head, shown.seeds) for head in shown.heads}


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
    kept = [name for name in weight.sort_values(ascending=False, kind="stable").index if name != overlap.REST][:_SETS]
    named = {head: one.assign(**_renamed(one, kept)) for head, one in found.items()}
    order = [*kept, overlap.REST]
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
    return {column: table[column].where(table[column].isin(kept), overlap.REST) for column in ("truth", "called")}


def matrices(
    subject: Run | Selection,
    theme: Theme = LIGHT,
    *,
    decision: Decision | None = None,
    threshold: float = 0.5,
    form: Form = "share",
    chosen: tuple[str, str] | None = None,
) -> Display:
    """Where the pixels of each true class go: sigmoid, the contender, and the difference of both; or a head alone.

    The region counts in the argmax form, the threshold, k/300, in the other. chosen: truth and prediction of a cell to
    frame.
    """
    shown = selection_of(subject)
    decision = decision or decisions(shown.run)[0]
    joined = both(shown, decision=decision, threshold=threshold, form=form)
    kind = queries.runs.dataset(shown.run)["kind"]
    how = "confusion" if decision == "argmax" or kind == "binary" else "confusion_threshold"
    heads = shown.heads
    shares = (*(f"share_{suffix_of(head)}" for head in heads), *(("difference",) if form == "share" else ()))
    across = 3 if joined["truth"].nunique() <= SMALL else 2
    return Display("confusion", "Confusion", _pictures(joined, theme, heads, form, chosen), joined, how, shares, across)


def _pictures(
    joined: pd.DataFrame, theme: Theme, heads: Sequence[Head], form: Form, chosen: tuple[str, str] | None
) -> tuple[Picture, ...]:
    """A matrix of each head, and of two their difference."""
    value = value_of(form)
    most = float(joined[[f"pixels_{suffix_of(head)}" for head in heads]].to_numpy().max())
    common: dict[str, Any] = _LAYOUT | {"form": form, "clickable": True, "chosen": chosen}
    pictures = []
    for head in heads:
        suffix = suffix_of(head)
        look: dict[str, Any] = {
            "title": HEAD_TITLES[head],
            "color": theme.heads[head],
            "top": 1.0 if form == "share" else most,
        }
        figure = matrix_figure(joined, theme, value=f"{value}_{suffix}", **look, **common)
        pictures.append(Picture(f"confusion_{head}", figure, _matrix_alt(joined, head, f"share_{suffix}")))
    if len(heads) == 1:
        return tuple(pictures)
    contender = heads[1]
    colors = theme.heads["sigmoid"], theme.heads[contender]
    title = f"Sigmoid − {HEAD_TITLES[contender].lower()}"
    figure = matrix_figure(joined, theme, value="difference", title=title, color=colors, **common)
    first = largest_differences(joined).iloc[0]
    alt = f"Difference of both; largest where the truth is {first['truth']} and {first['predicted']} is predicted."
    return (*pictures, Picture("confusion_difference", figure, alt))


def _matrix_alt(joined: pd.DataFrame, head: Head, share: str) -> str:
    """The matrix in words: how often each class is found, and what the worst one is taken for."""
    right = joined[joined["truth"] == joined["predicted"]]
    found = ", ".join(
        f"{row['truth']} {'has no pixel' if pd.isna(row[share]) else percent(row[share])}"
        for row in right.to_dict("records")
    )
    return f"Confusion matrix of {HEAD_TITLES[head]}; share of each class that is found: {found}."


def set_errors(subject: Run | Selection, theme: Theme = LIGHT) -> Display | None:
    """The commonest mix-ups of one label set for another at p > 0.5.

    None with a single class, which has no sets, and where every set is right.
    """
    shown = selection_of(subject)
    if len(queries.runs.dataset(shown.run)["classes"]) == 1:
        return None
    found = named_sets(shown)
    pixels = max(int(next(iter(found.values()))["pixels"].sum()), 1)
    errors = commonest_errors(found, pixels)
    if errors.empty:
        return None
    counted = {head: queries.counts.whole_counts(shown.run, shown.split, head, shown.seeds, "raw") for head in found}
    said = ", ".join(f"{HEAD_SHORT[head]} {percent(overlap.exact_match(one))}" for head, one in counted.items())
    title, right = "Commonest wrong label sets", f"whole set right: {said}"
    figure = set_errors_figure(errors, theme, title=title, subtitle=right)
    first = errors.iloc[0]
    alt = (
        f"Commonest wrong label sets, as shares of all pixels; first {first['truth']} called {first['called']}. "
        f"Whole set right: {said}."
    )
    return Display(
        "set_errors", "Wrong label sets", (Picture("set_errors", figure, alt),), errors, "set_errors", ("share",)
    )


def label_sets(subject: Run | Selection, theme: Theme = LIGHT) -> Display | None:
    """Which set of labels is called for which at p > 0.5, a matrix for each head; None with a single class."""
    shown = selection_of(subject)
    if len(queries.runs.dataset(shown.run)["classes"]) == 1:
        return None
    found = named_sets(shown)
    pictures = []
    for head, table in pooled_sets(found).items():
        figure = matrix_figure(
            table,
            theme,
            rows="truth",
            columns="called",
            value="share",
            title=HEAD_TITLES[head],
            color=theme.heads[head],
            top=1.0,
            row_title="true set",
            column_title="predicted set",
        )
        diagonal = table[(table["truth"] == table["called"]) & (table["truth"] != overlap.REST)]
        right = ", ".join(f"{row['truth']} {percent(row['share'])}" for row in diagonal.to_dict("records"))
        alt = f"Label sets of {HEAD_TITLES[head]}, true against predicted; share of each set that is right: {right}."
        pictures.append(Picture(f"sets_{head}", figure, alt))
    table = pd.concat([one.assign(head=head) for head, one in found.items()], ignore_index=True)
    return Display("label_sets", "Label sets", tuple(pictures), table, "label_sets", ("share",), columns=2)


def set_errors_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str = "") -> Drawn:
    """Commonest wrong label sets, a row each, with a point for each head.

    table: head, truth, called, share (of all valid pixels); the same pairs for every head, in the order of the rows.
    """
    pairs = list(dict.fromkeys(zip(table["truth"], table["called"], strict=True)))
    traces = []
    for head in HEADS:
        rows = table[table["head"] == head]
        if rows.empty:
            continue
        share = dict(zip(zip(rows["truth"], rows["called"], strict=True), rows["share"], strict=True))
        traces.append(
            points(
                [share[pair] for pair in pairs],
                list(range(len(pairs))),
                mark(theme.heads[head], 10, symbol=HEAD_MARKERS[head], edge=theme.surface, width=1),
                name=HEAD_SHORT[head],
                customdata=[list(pair) for pair in pairs],
                hover=f"<b>{HEAD_SHORT[head]}</b><br>truth %{{customdata[0]}}<br>predicted "
                "%{customdata[1]}<br>%{x:.3%} of the pixels",
            )
        )
    widest = float(table["share"].max()) or 1.0
    named = [f"{shortened(truth)} → {shortened(called)}" for truth, called in pairs]
    reach = [-0.02 * widest, 1.05 * widest]
    return draw(
        traces,
        theme,
        height=170 + 28 * len(pairs),
        title=title,
        subtitle=subtitle,
        xaxis={"range": reach, "tickformat": "~p", "title": "share of all pixels", "nticks": 5},
        yaxis={"range": [len(pairs) - 0.5, -0.5], "tickvals": list(range(len(pairs))), "ticktext": named},
    )
