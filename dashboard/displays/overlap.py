"""How often a head gives a pixel two labels or none, and which classes share pixels."""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dashboard import queries
from dashboard.charts import (
    SHARED,
    Drawn,
    Lanes,
    Trace,
    broken,
    draw,
    line,
    mark,
    matrix_figure,
    points,
    scatter,
    upright,
)
from dashboard.displays.base import Display, Picture, Selection, selection_of
from dashboard.rounding import percent
from dashboard.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, LIGHT, Theme, faded
from pipelines.metrics import overlap
from pipelines.schema import Head
from pipelines.store.runs import Run

_RATES: Final = {"overlap": "two labels or more", "no label": "no label"}
_LANE: Final = 24  # CSS pixels of a head's lane
_TITLES: Final = {"overlap": "Pixels with two labels or more", "no label": "Pixels with no label"}
# One hue from light to dark (Crameri's "oslo" order): more labels, stronger colour.
_LABEL_COLORS: Final = {
    False: {"0": "#d9dde3", "1": "#a9a4d0", "2": "#6c5fb0", "3+": "#35246f"},
    True: {"0": "#39424e", "1": "#6a62a0", "2": "#9f95d6", "3+": "#d9d3f7"},
}


def rates(subject: Run | Selection, theme: Theme = LIGHT, *, threshold: float = 0.5) -> Display:
    """Shares of pixels with several labels and with none, against the threshold, which is marked."""
    curves, table = selection_of(subject).once(_curves, theme)
    nearest = min(overlap.THRESHOLDS, key=lambda known: abs(known - threshold))
    place = overlap.THRESHOLDS.index(nearest)
    pictures = []
    for curve in curves:
        said = ", ".join(f"{HEAD_TITLES[head]} {percent(values[place])}" for head, values in curve.values.items())
        alt = (
            f"Pixels with {_RATES[curve.rate]} against the threshold; truth {percent(curve.truth)}; at {nearest:.2f}: "
        )
        marked = curve.figure.with_layout(shapes=[upright(threshold, theme.muted, width=1)])
        pictures.append(Picture(f"rate_{curve.rate}", marked, f"{alt}{said}."))
    percents = ("value", "low", "high", "truth")
    title = "Overlap and no-label rates"
    return Display("rates", title, tuple(pictures), table, "rates", percents, columns=2)


class _Curve(NamedTuple):
    """A rate that occurs. figure: no threshold marked; values: at every one of overlap.THRESHOLDS, by head."""

    rate: str
    figure: Drawn
    values: Mapping[Head, Sequence[float]]
    truth: float


def _curves(shown: Selection, theme: Theme) -> tuple[list[_Curve], pd.DataFrame]:
    """Every rate that occurs, and the table of all."""
    run = shown.run
    found = {head: queries.counts.label_rates(run, shown.split, head, shown.seeds, shown.region) for head in run.heads}
    curves = []
    for rate in _RATES:
        rows = {head: table[table["rate"] == rate].sort_values("threshold") for head, table in found.items()}
        first = rows[run.heads[0]]
        if not first.empty:
            values = {head: table["value"].tolist() for head, table in rows.items()}
            curves.append(_Curve(rate, rate_figure(found, theme, rate=rate), values, float(first["truth"].iloc[0])))
    return curves, _together(found)


def predicted_labels(subject: Run | Selection, theme: Theme = LIGHT, *, threshold: float = 0.5) -> Display:
    """Predicted by true number of labels."""
    shown = selection_of(subject)
    found = {head: _labels(shown, head, threshold) for head in shown.run.heads}
    alt = f"Predicted number of labels at p > {threshold:.2f}, by true number of labels and head."
    picture = Picture("labels", labels_figure(found, theme), alt)
    return Display(
        "labels_table", "Labels predicted, by true number", (picture,), _together(found), "labels", ("share",)
    )


def _labels(shown: Selection, head: Head, threshold: float) -> pd.DataFrame:
    return queries.counts.predicted_labels(shown.run, shown.split, head, shown.seeds, shown.region, threshold)


def mass(subject: Run | Selection, theme: Theme = LIGHT, *, threshold: float = 0.5) -> Display:
    """Shares of the pixels with no label, one and more: the truth, what each head expects, and what it decides."""
    shown = selection_of(subject)
    rows: list[tuple[str, str, float]] = []
    for head in shown.run.heads:
        table = _labels(shown, head, threshold)
        if not rows:
            rows += _row("Truth", _by_number(table, "true_labels"))
        mean = queries.counts.label_mass(shown.run, shown.split, head, shown.seeds, shown.region)
        rows += _row(f"{HEAD_SHORT[head]}, expected", mean)
        rows += _row(f"{HEAD_SHORT[head]}, decided", _by_number(table, "predicted_labels"))
    shares = pd.DataFrame(rows, columns=["row", "labels", "share"])
    alt = "; ".join(f"{row}: {percent(share)} with two labels or more" for row, labels, share in rows if labels == "2+")
    picture = Picture("mass", mass_figure(shares, theme), f"Labels a pixel. {alt}.")
    return Display("mass", "Labels a pixel: expected and decided", (picture,), shares, "mass", ("share",))


def _row(row: str, shares: Sequence[float]) -> list[tuple[str, str, float]]:
    return [(row, labels, share) for labels, share in zip(("0", "1", "2+"), shares, strict=True)]


def _by_number(table: pd.DataFrame, column: str) -> list[float]:
    """Shares of the pixels with 0, 1 and 2 or more labels by one column of `predicted_labels`."""
    pixels = dict.fromkeys(("0", "1", "2", "3+"), 0.0)
    for labels, count in zip(table[column], table["pixels"], strict=True):
        pixels[labels] += count
    whole = max(sum(pixels.values()), 1.0)
    return [pixels["0"] / whole, pixels["1"] / whole, pixels["2"] / whole + pixels["3+"] / whole]


def expected(
    subject: Run | Selection, theme: Theme = LIGHT, *, threshold: float = 0.5, most: int = 8
) -> Display | None:
    """Overlap of each pair of classes: what the probabilities say, what the head decides, and the truth.

    The `most` pairs with the most of any are drawn, all are in the table. None where labels cannot share a pixel.
    """
    shown = selection_of(subject)
    facts = queries.runs.dataset(shown.run)
    classes = facts["classes"]
    if facts["kind"] != "overlapping" or len(classes) == 1:
        return None
    found = []
    for head in shown.run.heads:
        counted = queries.counts.whole_counts(shown.run, shown.split, head, shown.seeds, "raw")
        marginal = overlap.pair_probabilities(counted, classes=classes)
        decided = overlap.pair_decisions(counted, classes=classes, threshold=threshold)
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
    return Display("expected", "Pairs: expected and decided overlap", (picture,), table, "expected_overlap", percents)


def pairs(subject: Run | Selection, theme: Theme = LIGHT, *, threshold: float = 0.5) -> Display | None:
    """How much of each class also carries another: the truth, then each head; None when there is one class."""
    shown = selection_of(subject)
    run = shown.run
    classes = queries.runs.dataset(run)["classes"]
    if len(classes) == 1:
        return None
    counted = {head: queries.counts.whole_counts(run, shown.split, head, shown.seeds, "raw") for head in run.heads}
    found = {head: overlap.pair_overlap(one, classes=classes, threshold=threshold) for head, one in counted.items()}
    truth = next(iter(found.values()))
    drawn = [("Truth", truth, "truth_share", theme.text)] if truth["truth"].any() else []
    drawn += [(HEAD_TITLES[head], table, "predicted_share", theme.heads[head]) for head, table in found.items()]
    pictures = tuple(_pairs(table, theme, title, value, color) for title, table, value, color in drawn)
    columns = len(drawn) if len(classes) <= 5 and len(drawn) <= 3 else 2
    percents = ("predicted_share", "truth_share")
    return Display("pairs", "Which classes share pixels", pictures, _together(found), "pairs", percents, columns)


def _pairs(table: pd.DataFrame, theme: Theme, title: str, value: str, color: str) -> Picture:
    figure = matrix_figure(table, theme, value=value, title=title, color=color, **SHARED)
    return Picture(f"pairs_{title}", figure, f"{title}: share of each class that also carries another class.")


def _together(found: Mapping[Head, pd.DataFrame]) -> pd.DataFrame:
    """The heads' tables in one, with a column for the head."""
    return pd.concat([table.assign(head=head) for head, table in found.items()], ignore_index=True)


def rate_figure(tables: Mapping[Head, pd.DataFrame], theme: Theme, *, rate: str) -> Drawn:
    """One rate against the threshold. tables: per head, `metrics.overlap.rates_of`."""
    traces: list[Trace] = []
    truth = float("nan")
    for head, table in tables.items():
        chosen = (table["rate"] == rate).to_numpy()
        columns = (table[name].to_numpy()[chosen] for name in ("threshold", "value", "low", "high", "truth"))
        x, y, low, high, true = columns
        truth, color = float(true[0]), theme.heads[head]
        outline = np.concatenate([x, x[::-1]]), np.concatenate([high, low[::-1]])
        shade: dict[str, Any] = {"fill": "toself", "fillcolor": faded(color, 0.18), "line": {"width": 0}}
        traces.append(scatter("lines", *outline, **shade, showlegend=False))
        said = "%{y:.2%} of pixels (%{customdata[0]:.2%} to %{customdata[1]:.2%})"
        hover = f"<b>{HEAD_TITLES[head]}</b> at p > %{{x:.2f}}<br>{said}"
        ends = np.stack([low, high], axis=-1)
        look: dict[str, Any] = {"width": 2.5, "dash": HEAD_DASHES[head], "name": HEAD_TITLES[head]}
        traces.append(line(x, y, color, hover=hover, customdata=ends, **look))
    hover = "Truth: %{y:.2%} of pixels"
    traces.append(line([0, 1], [truth, truth], theme.text, width=1.2, dash="dot", hover=hover, name="Truth"))
    return draw(
        traces,
        theme,
        height=340,
        title=_TITLES[rate],
        xaxis={"range": [0, 1], "dtick": 0.25, "title": "threshold on p"},
        yaxis={"rangemode": "tozero", "tickformat": "~p", "title": "share of pixels", "nticks": 6},
    )


def marked_at(curves: Drawn, theme: Theme, threshold: float) -> Drawn:
    """A figure over thresholds with a line at one."""
    return curves.with_layout(shapes=[upright(threshold, theme.muted, width=1)])


def labels_figure(tables: Mapping[Head, pd.DataFrame], theme: Theme) -> Drawn:
    """Predicted number of labels, as shares, by true number of labels and head. tables: `predicted_labels` per head."""
    names = ("true_labels", "predicted_labels", "share", "pixels")
    rows = [
        (true, HEAD_SHORT[head], predicted, share, pixels)
        for head, table in tables.items()
        for true, predicted, share, pixels in zip(*(table[name].tolist() for name in names), strict=True)
    ]
    rows.sort(key=lambda row: row[0])  # heads keep their order
    colors = _LABEL_COLORS[theme.dark]
    traces: list[Trace] = []
    for predicted in dict.fromkeys(row[2] for row in rows):
        true, heads, _, shares, pixels = zip(*(row for row in rows if row[2] == predicted), strict=True)
        hover = f"{_plural(predicted)} predicted: %{{x:.2%}}<br>%{{customdata:,}} pixels"
        name, across = f"{_plural(predicted)} predicted", [[_plural(one) for one in true], list(heads)]
        traces.append(_bar(list(shares), across, colors[predicted], name, hover) | {"customdata": list(pixels)})
    bars = len({row[0] for row in rows}) * len(tables)
    return draw(
        traces,
        theme,
        height=150 + max(26 * bars, 36 * (1 + 2 * len(tables))),
        barmode="stack",
        bargap=0.25,
        title="Labels predicted, by true number",
        xaxis={"range": [0, 1], "tickformat": ".0%", "title": "share of the pixels with that truth"},
        yaxis={"autorange": "reversed", "showgrid": False, "dividercolor": theme.line},
    )


def _bar(x: Sequence[float], y: Any, color: str, name: str, hover: str) -> Trace:
    """Lying bars of one colour."""
    look: dict[str, Any] = {
        "marker": {"color": color, "line": {"width": 0}},
        "hovertemplate": f"{hover}<extra></extra>",
    }
    return {"type": "bar", "orientation": "h", "name": name, "x": x, "y": y} | look


def mass_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """Shares of the pixels with no label, one, and two or more: a bar a row.

    table: rows row, labels ("0", "1", "2+") and share, bars from the top.
    """
    colors = _LABEL_COLORS[theme.dark]
    bars: dict[str, list[tuple[str, float]]] = {}
    for row, labels, share in zip(*(table[name].tolist() for name in ("row", "labels", "share")), strict=True):
        bars.setdefault(labels, []).append((row, share))
    traces = []
    for labels, rows in bars.items():
        if any(share for _, share in rows):
            names, shares = [row for row, _ in rows], [share for _, share in rows]
            hover = f"%{{y}}<br>{_plural(labels)}: %{{x:.2%}} of pixels"
            traces.append(_bar(shares, names, colors[labels[0]], _plural(labels), hover))
    return draw(
        traces,
        theme,
        height=150 + 36 * max(map(len, bars.values()), default=0),
        barmode="stack",
        bargap=0.25,
        title="Labels a pixel: expected and decided",
        xaxis={"range": [0, 1], "tickformat": ".0%", "title": "share of pixels"},
        yaxis={"autorange": "reversed", "showgrid": False, "type": "category"},
    )


def expected_figure(table: pd.DataFrame, theme: Theme, *, threshold: float) -> Drawn:
    """Of each pair of classes and head: expected overlap if independent (hollow), decided (filled), truth (line).

    table: rows pair, head, lowest, highest (Fréchet bounds), independent, predicted, observed, all shares of the
    pixels, pairs from the top. The bounds are a faint bar.
    """
    pairs, heads = list(dict.fromkeys(table["pair"])), list(dict.fromkeys(table["head"]))
    lanes = Lanes(product(pairs, heads), between=0.8, air=0.9)
    traces: list[Trace] = []
    for head in heads:
        rows = table[table["head"] == head]
        traces += _dumbbells(rows, lanes.of(rows["pair"], rows["head"]), head, theme)
    observed = table.drop_duplicates("pair")["observed"]
    ends = [(first - 0.55, last + 0.55) for first, last in map(lanes.ends, pairs)]
    across, down = broken(observed, observed), broken(*zip(*ends, strict=True))
    traces.append(line(across, down, theme.text, width=2.5, hover="truth: %{x:.2%} of pixels", name="truth"))
    traces += _keys(theme, threshold)
    return draw(
        traces,
        theme,
        height=round(150 + _LANE * (lanes.last + 1)),
        title="Pairs: expected and decided overlap",
        xaxis={"rangemode": "tozero", "tickformat": "~p", "title": "share of pixels with both", "nticks": 6},
        yaxis=lanes.axis(ticklabelstandoff=8),
    )


def _dumbbells(rows: pd.DataFrame, places: Sequence[float], head: Head, theme: Theme) -> list[Trace]:
    """Bounds, expected and decided overlap of one head."""
    color, down = theme.heads[head], broken(places, places)
    traces = [
        line(broken(rows["lowest"], rows["highest"]), down, faded(color, 0.18), width=12, showlegend=False),
        line(broken(rows["independent"], rows["predicted"]), down, faded(color, 1.0), width=1.5, showlegend=False),
    ]
    said = rows[["pair", "independent", "predicted", "lowest", "highest"]].to_numpy(dtype=object)
    hover = (
        f"<b>{HEAD_TITLES[head]}, %{{customdata[0]}}</b><br>expected if independent %{{customdata[1]:.2%}}"
        "<br>decided %{customdata[2]:.2%}<br>bounds %{customdata[3]:.2%} to %{customdata[4]:.2%}"
    )
    for column, fill in (("independent", theme.surface), ("predicted", color)):
        marker = mark(fill, 10, symbol=HEAD_MARKERS[head], edge=color, width=2)
        more = {"customdata": said, "cliponaxis": False, "showlegend": False}
        traces.append(points(rows[column].to_numpy(), list(places), marker, hover=hover, **more))
    return traces


def _keys(theme: Theme, threshold: float) -> list[Trace]:
    """Entries of the legend that stand for all heads."""
    nowhere = {"type": "scatter", "x": [None], "y": [None]}
    hollow, filled = (
        mark(fill, 10, symbol="circle", edge=theme.muted, width=2) for fill in (theme.surface, theme.muted)
    )
    return [
        nowhere | {"mode": "markers", "name": "expected if independent", "marker": hollow},
        nowhere | {"mode": "markers", "name": f"decided at p > {threshold:.2f}", "marker": filled},
        nowhere | {"mode": "lines", "name": "Fréchet bounds", "line": {"color": faded(theme.muted, 0.3), "width": 12}},
    ]


def _plural(labels: str) -> str:
    return {"0": "no label", "1": "1 label", "2+": "2 labels or more", "3+": "3 or more"}.get(
        labels, f"{labels} labels"
    )
