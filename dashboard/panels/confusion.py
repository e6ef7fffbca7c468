"""Counts to the panels of the page Confusion: matrices of both heads, their difference, and label sets."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from dashboard import loaders
from dashboard.figures.confusion import difference_figure, matrix_figure
from dashboard.figures.label_sets import set_errors_figure
from dashboard.figures.theme import HEAD_SHORT, HEAD_TITLES, Theme
from dashboard.panels.base import Panel, Picture
from dashboard.panels.confusion_tables import (
    Decision,
    Form,
    both,
    commonest_errors,
    decisions,
    largest_differences,
    named_sets,
    pooled_sets,
    suffix_of,
    value_of,
)
from dashboard.panels.selection import Selection
from dashboard.rounding import percent
from pipelines.metrics import joint
from pipelines.schema import Head

SMALL: Final = 5  # up to so many classes three matrices fit side by side
_LAYOUT: Final = {"rows": "truth", "columns": "predicted", "row_title": "truth", "column_title": "predicted"}


def matrices(
    shown: Selection,
    theme: Theme,
    *,
    decision: Decision | None = None,
    threshold: float = 0.5,
    form: Form = "share",
    chosen: tuple[str, str] | None = None,
) -> Panel:
    """Where the pixels of each true class go: sigmoid, the contender, and the difference of both; or a head alone.

    The region counts in the argmax form, the threshold, k/300, in the other. chosen: truth and prediction of a cell to
    frame.
    """
    decision = decision or decisions(shown.run)[0]
    joined = both(shown, decision=decision, threshold=threshold, form=form)
    kind = loaders.dataset(shown.run)["kind"]
    how = "confusion" if decision == "argmax" or kind == "binary" else "confusion_threshold"
    heads = shown.heads
    shares = (*(f"share_{suffix_of(head)}" for head in heads), *(("difference",) if form == "share" else ()))
    across = 3 if joined["truth"].nunique() <= SMALL else 2
    return Panel("confusion", "Confusion", _pictures(joined, theme, heads, form, chosen), joined, how, shares, across)


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
        figure = matrix_figure(
            joined, theme, value=f"{value}_{suffix}", title=HEAD_TITLES[head], color=theme.heads[head],
            top=1.0 if form == "share" else most, **common,
        )  # fmt: skip
        pictures.append(Picture(f"confusion_{head}", figure, _matrix_alt(joined, head, f"share_{suffix}")))
    if len(heads) == 1:
        return tuple(pictures)
    contender = heads[1]
    figure = difference_figure(
        joined, theme, value="difference", title=f"Sigmoid − {HEAD_TITLES[contender].lower()}",
        colors=(theme.heads["sigmoid"], theme.heads[contender]), **common,
    )  # fmt: skip
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


def set_errors(shown: Selection, theme: Theme) -> Panel | None:
    """The commonest mix-ups of one label set for another at p > 0.5.

    None with a single class, which has no sets, and where every set is right.
    """
    if len(loaders.dataset(shown.run)["classes"]) == 1:
        return None
    found = named_sets(shown)
    pixels = max(int(next(iter(found.values()))["pixels"].sum()), 1)
    errors = commonest_errors(found, pixels)
    if errors.empty:
        return None
    counted = {head: loaders.whole_counts(shown.run, shown.split, head, shown.seeds, "raw") for head in found}
    said = ", ".join(f"{HEAD_SHORT[head]} {percent(joint.exact_match(one))}" for head, one in counted.items())
    figure = set_errors_figure(
        errors, theme, title="Commonest wrong label sets", subtitle=f"whole set right: {said}"
    )  # fmt: skip
    first = errors.iloc[0]
    alt = (
        f"Commonest wrong label sets, as shares of all pixels; first {first['truth']} called {first['called']}. "
        f"Whole set right: {said}."
    )
    return Panel(
        "set_errors", "Wrong label sets", (Picture("set_errors", figure, alt),), errors, "set_errors", ("share",)
    )  # fmt: skip


def label_sets(shown: Selection, theme: Theme) -> Panel | None:
    """Which set of labels is called for which at p > 0.5, a matrix for each head; None with a single class."""
    if len(loaders.dataset(shown.run)["classes"]) == 1:
        return None
    found = named_sets(shown)
    pictures = []
    for head, table in pooled_sets(found).items():
        figure = matrix_figure(
            table, theme, rows="truth", columns="called", value="share", title=HEAD_TITLES[head],
            color=theme.heads[head], top=1.0, row_title="true set", column_title="predicted set",
        )  # fmt: skip
        right = ", ".join(
            f"{row['truth']} {percent(row['share'])}"
            for row in table[table["truth"] == table["called"]].to_dict("records") if row["truth"] != joint.REST
        )  # fmt: skip
        alt = f"Label sets of {HEAD_TITLES[head]}, true against predicted; share of each set that is right: {right}."
        pictures.append(Picture(f"sets_{head}", figure, alt))
    table = pd.concat([one.assign(head=head) for head, one in found.items()], ignore_index=True)
    return Panel("label_sets", "Label sets", tuple(pictures), table, "label_sets", ("share",), columns=2)
