"""A run and the controls of the page Overlap to its panels."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import pandas as pd

from dashboard import loaders
from dashboard.figures.confusion import matrix_figure
from dashboard.figures.drawn import Drawn
from dashboard.figures.overlap import expected_figure, labels_figure, marked_at, mass_figure, rate_figure
from dashboard.figures.theme import HEAD_SHORT, HEAD_TITLES, Theme
from dashboard.panels.base import Panel, Picture
from dashboard.panels.selection import Selection
from dashboard.rounding import percent
from pipelines.metrics import joint, tables
from pipelines.schema import Head

_RATES: Final = {"overlap": "two labels or more", "no label": "no label"}


class Rate(NamedTuple):
    """One rate. curves: its figure, no threshold marked; values: at every one of tables.THRESHOLDS, by head."""

    name: str
    curves: Drawn
    values: Mapping[Head, Sequence[float]]
    truth: float


class Rates(NamedTuple):
    """Every rate that occurs, and the table of all."""

    each: tuple[Rate, ...]
    table: pd.DataFrame


def known_rates(shown: Selection, theme: Theme) -> Rates:
    """What of the rates no threshold changes."""
    run = shown.run
    found = {head: loaders.label_rates(run, shown.split, head, shown.seeds, shown.region) for head in run.heads}
    each = []
    for name in _RATES:
        rows = {head: table[table["rate"] == name].sort_values("threshold") for head, table in found.items()}
        if len(rows[run.heads[0]]):
            values = {head: one["value"].tolist() for head, one in rows.items()}
            truth = float(rows[run.heads[0]]["truth"].iloc[0])
            each.append(Rate(name, rate_figure(found, theme, rate=name), values, truth))
    return Rates(tuple(each), _together(found))


def rates(shown: Selection, theme: Theme, *, threshold: float = 0.5, known: Rates | None = None) -> Panel:
    """Shares of pixels with several labels and with none, against the threshold, which is marked.

    known: `known_rates` of the same, where it is there already.
    """
    if known is None:
        known = known_rates(shown, theme)
    pictures = tuple(_rate(one, theme, threshold) for one in known.each)
    percents = ("value", "low", "high", "truth")
    return Panel("rates", "Overlap and no-label rates", pictures, known.table, "rates", percents, columns=2)


def _rate(rate: Rate, theme: Theme, threshold: float) -> Picture:
    nearest = min(range(len(tables.THRESHOLDS)), key=lambda place: abs(tables.THRESHOLDS[place] - threshold))
    said = ", ".join(f"{HEAD_TITLES[head]} {percent(values[nearest])}" for head, values in rate.values.items())
    alt = (
        f"Pixels with {_RATES[rate.name]} against the threshold; truth {percent(rate.truth)}; at "
        f"{tables.THRESHOLDS[nearest]:.2f}: {said}."
    )
    return Picture(f"rate_{rate.name}", marked_at(rate.curves, theme, threshold), alt)


def predicted_labels(shown: Selection, theme: Theme, *, threshold: float = 0.5) -> Panel:
    """Predicted by true number of labels."""
    found = {head: _labels(shown, head, threshold) for head in shown.run.heads}
    alt = f"Predicted number of labels at p > {threshold:.2f}, by true number of labels and head."
    picture = Picture("labels", labels_figure(found, theme), alt)
    return Panel("labels_table", "Labels predicted, by true number", (picture,), _together(found), "labels", ("share",))


def _labels(shown: Selection, head: Head, threshold: float) -> pd.DataFrame:
    return loaders.predicted_labels(shown.run, shown.split, head, shown.seeds, shown.region, threshold)


def mass(shown: Selection, theme: Theme, *, threshold: float = 0.5) -> Panel:
    """Shares of the pixels with no label, one and more: the truth, what each head expects, and what it decides."""
    rows: list[tuple[str, str, float]] = []
    for head in shown.run.heads:
        table = _labels(shown, head, threshold)
        if not rows:
            rows += _row("Truth", _by_number(table, "true_labels"))
        mean = loaders.label_mass(shown.run, shown.split, head, shown.seeds, shown.region)
        rows += _row(f"{HEAD_SHORT[head]}, expected", mean)
        rows += _row(f"{HEAD_SHORT[head]}, decided", _by_number(table, "predicted_labels"))
    shares = pd.DataFrame(rows, columns=["row", "labels", "share"])
    alt = "; ".join(f"{row}: {percent(share)} with two labels or more" for row, labels, share in rows if labels == "2+")
    picture = Picture("mass", mass_figure(shares, theme), f"Labels a pixel. {alt}.")
    return Panel("mass", "Labels a pixel: expected and decided", (picture,), shares, "mass", ("share",))


def _row(row: str, shares: Sequence[float]) -> list[tuple[str, str, float]]:
    return [(row, labels, share) for labels, share in zip(("0", "1", "2+"), shares, strict=True)]


def _by_number(table: pd.DataFrame, column: str) -> list[float]:
    """Shares of the pixels with 0, 1 and 2 or more labels by one column of `predicted_labels`."""
    pixels = dict.fromkeys(("0", "1", "2", "3+"), 0.0)
    for labels, count in zip(table[column], table["pixels"], strict=True):
        pixels[labels] += count
    whole = max(sum(pixels.values()), 1.0)
    return [pixels["0"] / whole, pixels["1"] / whole, pixels["2"] / whole + pixels["3+"] / whole]


def expected(shown: Selection, theme: Theme, *, threshold: float = 0.5, most: int = 8) -> Panel | None:
    """Overlap of each pair of classes: what the probabilities say, what the head decides, and the truth.

    The `most` pairs with the most of any are drawn, all are in the table. None where labels cannot share a pixel.
    """
    facts = loaders.dataset(shown.run)
    classes = facts["classes"]
    if facts["kind"] != "overlapping" or len(classes) == 1:
        return None
    found = []
    for head in shown.run.heads:
        counted = loaders.whole_counts(shown.run, shown.split, head, shown.seeds, "raw")
        marginal = joint.pair_probabilities(counted, classes=classes)
        decided = joint.pair_decisions(counted, classes=classes, threshold=threshold)
        pixels = max(int(counted.pixels.sum()), 1)
        found.append(marginal.assign(head=head, predicted=decided["called"] / pixels, lift=decided["lift"]))
    table = pd.concat(found, ignore_index=True)
    table.insert(0, "pair", table["first"] + " + " + table["second"])
    largest = table[["observed", "independent", "predicted"]].max(axis=1).groupby(table["pair"]).max()
    order = largest.sort_values(ascending=False, kind="stable").index.tolist()
    table = table.sort_values("pair", key=lambda one: one.map(order.index), kind="stable", ignore_index=True)
    drawn = table[table["pair"].isin(order[:most])]
    said = "; ".join(
        f"{row['pair']}, {HEAD_SHORT[row['head']].lower()}: expected {percent(row['independent'])}, decided "
        f"{percent(row['predicted'])}, truth {percent(row['observed'])}"
        for row in drawn.head(6).to_dict("records")
    )
    picture = Picture("expected", expected_figure(drawn, theme, threshold=threshold), f"{said}.")
    percents = ("observed", "independent", "lowest", "highest", "predicted")
    return Panel("expected", "Pairs: expected and decided overlap", (picture,), table, "expected_overlap", percents)


def pairs(shown: Selection, theme: Theme, *, threshold: float = 0.5) -> Panel | None:
    """How much of each class also carries another: the truth, then each head; None when there is one class."""
    run = shown.run
    classes = loaders.dataset(run)["classes"]
    if len(classes) == 1:
        return None
    counted = {head: loaders.whole_counts(run, shown.split, head, shown.seeds, "raw") for head in run.heads}
    found = {head: tables.pair_overlap(one, classes=classes, threshold=threshold) for head, one in counted.items()}
    truth = next(iter(found.values()))
    drawn = [("Truth", truth, "truth_share", theme.text)] if truth["truth"].any() else []
    drawn += [(HEAD_TITLES[head], table, "predicted_share", theme.heads[head]) for head, table in found.items()]
    pictures = tuple(_pairs(table, theme, title, value, color) for title, table, value, color in drawn)
    columns = len(drawn) if len(classes) <= 5 and len(drawn) <= 3 else 2
    percents = ("predicted_share", "truth_share")
    return Panel("pairs", "Which classes share pixels", pictures, _together(found), "pairs", percents, columns)


def _pairs(table: pd.DataFrame, theme: Theme, title: str, value: str, color: str) -> Picture:
    figure = matrix_figure(
        table, theme, rows="first", columns="second", value=value, title=title, color=color, top=1.0,
        row_title="share of", column_title="that is also",
    )  # fmt: skip
    return Picture(f"pairs_{title}", figure, f"{title}: share of each class that also carries another class.")


def _together(found: Mapping[Head, pd.DataFrame]) -> pd.DataFrame:
    """The heads' tables in one, with a column for the head."""
    return pd.concat([table.assign(head=head) for head, table in found.items()], ignore_index=True)
