"""Whether probabilities can be taken at their word: reliability diagrams, errors of single images, every metric."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import pandas as pd

from dashboard import queries
from dashboard.charts import Drawn, Lanes, Trace, broken, draw, line, mark, points, scatter
from dashboard.displays.base import VARIANT_TITLES, Display, Picture, Selection, selection_of
from dashboard.rounding import NO_VALUE, rounded, with_interval
from dashboard.tables import difference_row
from dashboard.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, LIGHT, Theme, faded, words_in
from pipelines.arrays import Float64Array
from pipelines.metrics import METRICS
from pipelines.metrics.calibration import TOP_LABEL, calibration_error
from pipelines.schema import ALL_CLASSES, DIFFERENCES, MACRO, Head, Variant
from pipelines.sentences import capitalised, none_carries
from pipelines.store.runs import Run

# Proper scores first, which decide; then their parts, the errors over bins, which explain, and the line.
SCORES: Final = (
    *("brier", "soft_brier", "nll", "soft_nll", "categorical_nll"),
    *("corp_miscalibration", "corp_discrimination", "corp_uncertainty"),
    *("classwise_ece", "soft_classwise_ece", "classwise_ece_image_mean", "top_label_ece", "top_label_ece_image_mean"),
    *("adaptive_ece", "smooth_ece", "debiased_ece_l2", "average_calibration_error", "maximum_calibration_error"),
    *("calibration_slope", "calibration_intercept"),
)
DIFFERENCE: Final = "Difference"
# What is better: more, less, or nearer to a number.
DIRECTIONS: Final[dict[str, str]] = {
    name: {"higher": "↑", "lower": "↓", "neither": ""}[METRICS[name].better] for name in SCORES
} | {"corp_discrimination": "↑", "calibration_slope": "→ 1", "calibration_intercept": "→ 0"}
_TALL, _SMALL = 620, 380  # CSS pixels of a diagram alone and of one among others
_LANE: Final = 24  # CSS pixels of a head's lane
_DRAWN: Final = 2500  # images drawn one by one; of more, only those outside the middle nine tenths
_SPREAD: Final = 0.24  # lanes that points are moved up or down at most, so that equal ones can be told apart
Scale: TypeAlias = Literal["linear", "log-odds"]
Columns: TypeAlias = pd.DataFrame | Mapping[str, np.ndarray]
_OUTERMOST: Final = 3e-4  # p beyond it, or as near to 1, is drawn there: at 0 and 1 log-odds are infinite
_TICKS: Final = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999)
_SPARSE: Final = (0.001, 0.1, 0.5, 0.9, 0.999)  # the labels that fit below a small diagram
_COMPACT: Final = 500  # CSS pixels of height up to which a diagram counts as small
_HOVERED: Final = ["low_edge", "high_edge", "mean_p", "observed", "low", "high", "pixels"]


def reliability(
    subject: Run | Selection,
    theme: Theme = LIGHT,
    *,
    bins: int = 15,
    classes: Sequence[str] | None = None,
    scale: Scale = "linear",
) -> Display:
    """Reliability diagrams, one a class, the top label first where there is one; the heads lie over each other.

    subject: a run, or what of one is shown. bins: of equal width, one of `queries.counts.BINS`. classes: names to draw,
    TOP_LABEL among them; None for all. scale: of both axes.
    """
    shown = selection_of(subject)
    run = shown.run
    found = {
        head: queries.counts.reliability(
            run, shown.split, head, shown.seeds, _counted(head, shown.variant), shown.region, bins, shown.soft
        )
        for head in run.heads
    }
    order = list(dict.fromkeys(found[run.heads[0]]["class"]))
    names = [name for name in order if classes is None or name in classes]
    height = _TALL if len(names) == 1 else _SMALL
    # Classes stand one after the other with as many rows: cutting columns is far quicker than picking rows 24 times.
    columns = {
        head: {name: table[name].to_numpy().reshape(len(order), bins) for name in table.columns[2:]}
        for head, table in found.items()
    }
    pictures = []
    for name in names:
        at = order.index(name)
        rows = {head: {key: value[at] for key, value in values.items()} for head, values in columns.items()}
        pictures.append(_diagram(rows, name, theme, scale, height, soft=shown.soft))
    table = pd.concat([rows.assign(head=head) for head, rows in found.items()], ignore_index=True)
    table = table[table["class"].isin(names)]
    return Display("reliability", "Reliability", tuple(pictures), table, "reliability", ("share",), columns=3)


def _counted(head: Head, variant: Variant) -> Variant:
    """The variant that was counted: a softmax's classes share one temperature, so that it has none by class."""
    return "temperature" if variant == "temperature-by-class" and head != "sigmoid" else variant


def by_image(subject: Run | Selection, theme: Theme = LIGHT) -> Display | None:
    """Calibration errors of single images beside that of all pixels together, in the bins of the evaluation.

    None where no image has such an error.
    """
    shown = selection_of(subject)
    bins = queries.counts.evaluation_bins(shown.run)
    found = {
        head: queries.counts.ece_by_image(
            shown.run, shown.split, head, shown.seeds, _counted(head, shown.variant), shown.region, shown.soft
        )
        for head in shown.run.heads
    }
    pooled, single = (
        pd.concat([parts[at].assign(head=head) for head, parts in found.items()], ignore_index=True) for at in (0, 1)
    )
    if single["value"].isna().all():
        return None
    names = list(dict.fromkeys(pooled["class"]))
    title = f"Calibration error of single images, {bins} bins{', soft truth' if shown.soft else ''}"
    figure = by_image_figure(pooled, single, theme, title=title)
    said = "; ".join(
        f"{row['class']}, {HEAD_SHORT[row['head']].lower()}: {rounded(row['pooled'])} pooled, "
        f"median image {rounded(row['p50'])}"
        for row in pooled.head(8).to_dict("records")
    )
    table = pooled.sort_values("class", key=lambda one: one.map(names.index), kind="stable", ignore_index=True)
    return Display("by_image", title, (Picture("by_image", figure, f"{title}. {said}."),), table, "by_image")


def scores(subject: Run | Selection) -> pd.DataFrame:
    """Every calibration metric of each head and, of a pair, the difference, as trained and after temperature.

    Without a class the mean of classes, and the metrics that have no class. Rows: metric, variant, class, head (or
    difference), value, low, high; `readable_scores` writes them in words.
    """
    shown = selection_of(subject)
    frame, run = queries.runs.metrics(shown.run), shown.run
    variants: list[Variant] = ["raw", "temperature" if shown.variant == "raw" else shown.variant]
    wanted = (MACRO, ALL_CLASSES) if shown.class_name is None else (shown.class_name,)
    heads = [*run.heads, *(name for name, head in DIFFERENCES.items() if head in run.heads)]
    keep = (frame["split"] == shown.split) & (frame["region"] == shown.region) & (frame["seed"] == shown.row_seed)
    for column, values in {"class": wanted, "metric": SCORES, "variant": variants, "head": heads}.items():
        keep &= frame[column].isin(values)
    rows = frame[keep & frame["value"].notna()]
    place = rows["metric"].map(SCORES.index) * 100 + rows["variant"].map(variants.index) * 10
    place += rows["head"].map(heads.index)
    columns = ["metric", "variant", "class", "head", "value", "low", "high"]
    return rows.assign(place=place).sort_values("place")[columns].reset_index(drop=True)


def readable_scores(table: pd.DataFrame, *, contender: Head | None) -> pd.DataFrame:
    """`scores` with a row a metric and, for each variant, sigmoid, a contender and their difference as text.

    contender: None where there is nothing to compare; then every head has its column and there is no difference.
    Columns: Metric, then (variant's title): (head's title). Numbers are rounded to their intervals.
    """
    difference = "" if contender is None else difference_row(contender)
    titles: dict[str, str] = {str(head): title for head, title in HEAD_SHORT.items()}
    if contender is not None:
        titles = {"sigmoid": "Sigmoid", contender: HEAD_SHORT[contender], difference: DIFFERENCE}
    found = []
    for metric, rows in table[table["head"].isin(titles)].groupby("metric", sort=False):
        entry = {"Metric": f"{METRICS[str(metric)].title} {DIRECTIONS[str(metric)]}".strip()}
        for row in rows.to_dict("records"):
            column = f"{VARIANT_TITLES[row['variant']]}: {titles[row['head']]}"
            entry[column] = with_interval(row["value"], row["low"], row["high"], signed=row["head"] == difference)
        found.append(entry)
    return pd.DataFrame(found).fillna(NO_VALUE)


def winner(table: pd.DataFrame, metric: str, variant: Variant, *, contender: Head | None) -> Head | None:
    """The head that a metric of `scores` favours with its whole interval; None when it is open, or has no better."""
    if contender is None:
        return None
    chosen = (table["metric"] == metric) & (table["variant"] == variant)
    rows = table[chosen & (table["head"] == difference_row(contender))]
    better = METRICS[metric].better
    if rows.empty or better == "neither":
        return None
    low, high = rows.iloc[0][["low", "high"]]
    if not (low > 0 or high < 0):
        return None
    return "sigmoid" if (low > 0) == (better == "higher") else contender


def temperatures(run: Run) -> str:
    """The fitted temperatures in words; empty where none was fitted."""
    fitted = run.facts.get("temperature") or {}
    if not fitted:
        return ""
    said = [
        f"{HEAD_TITLES[head].lower()} {', '.join(f'{fitted[head][str(seed)]:.2f}' for seed in run.seeds)}"
        for head in run.heads
        if head in fitted
    ]
    by_seed = f" (seeds {', '.join(map(str, run.seeds))})" if len(run.seeds) > 1 else ""
    return (
        f"Temperatures fitted on validation{by_seed}: {'; '.join(said)}. Logits are divided by them: above 1 the head "
        "was over-confident, below 1 under-confident."
    )


def temperatures_by_class(run: Run) -> str:
    """Temperatures of sigmoid's classes in words, the mean over seeds; empty where none were fitted."""
    fitted = (run.facts.get("temperature_by_class") or {}).get("sigmoid") or {}
    if not fitted:
        return ""
    said = [f"{name} {np.mean([one[name] for one in fitted.values()]):.2f}" for name in next(iter(fitted.values()))]
    absent = queries.counts.absent_classes(run, "val") if "val" in run.splits else ()
    unfit = f" {capitalised(none_carries(absent, 'val'))}: there the temperature has no meaning." if absent else ""
    return f"Sigmoid's temperatures by class: {', '.join(said)}.{unfit}" + (
        " Softmax keeps its one: its classes share a pixel." if len(run.heads) > 1 else ""
    )


def _diagram(
    rows: Mapping[Head, Columns], name: str, theme: Theme, scale: Scale, height: int, *, soft: bool
) -> Picture:
    """One class, with each head's error in its colour under the title."""
    errors = {head: calibration_error(one) for head, one in rows.items()}
    observed = "share correct" if name == TOP_LABEL else "share of observers" if soft else "observed share"
    figure = reliability_figure(rows, theme, title=name, height=height, errors=errors, scale=scale, observed=observed)
    said = ", ".join(f"{HEAD_TITLES[head]} ECE {rounded(error)}" for head, error in errors.items())
    against = " against the soft truth" if soft else ""
    return Picture(f"reliability_{name}", figure, f"Reliability of {name}{against}: {said}.")


# Single images --------------------------------------------------------------------------------------------------------


def by_image_figure(pooled: pd.DataFrame, single: pd.DataFrame, theme: Theme, *, title: str) -> Drawn:
    """A lane for each class and head: dots are images, bars their middle 50 and 90%, a tick their median.

    pooled: rows class, head, pooled, p5, p25, p50, p75, p95; single: rows class, head, image, value, NaN left out.
    A diamond stands at the error of all images together. Points carry [image, class, head] as customdata.
    """
    classes, heads = list(dict.fromkeys(pooled["class"])), list(dict.fromkeys(pooled["head"]))
    lanes = Lanes(product(classes, heads), between=0.8, air=0.8)
    shown = _with_dot(single.dropna(subset="value"), pooled)
    traces: list[Trace] = []
    for head in heads:
        rows = pooled[pooled["head"] == head].dropna(subset="pooled")
        places = lanes.of(rows["class"], rows["head"])
        traces += [*_spread(rows, places, head, theme), _images(shown[shown["head"] == head], lanes, head, theme)]
        together = f"<b>{HEAD_TITLES[head]}, %{{customdata}}</b><br>all images together: %{{x:.3f}}"
        marker = mark(theme.heads[head], 11, symbol=HEAD_MARKERS[head], edge=theme.text, width=2)
        names = rows["class"].to_numpy(dtype=object)
        pooled_errors = rows["pooled"].to_numpy()
        traces.append(points(pooled_errors, places, marker, hover=together, customdata=names, cliponaxis=False))
    return draw(
        traces,
        theme,
        height=round(110 + _LANE * (lanes.last + 1)),
        title=title,
        legend=False,
        xaxis={"rangemode": "tozero", "title": "calibration error", "nticks": 7, "tickformat": "~g"},
        yaxis=lanes.axis(),
    )


def _with_dot(single: pd.DataFrame, pooled: pd.DataFrame) -> pd.DataFrame:
    """Images that get a dot."""
    if len(single) <= _DRAWN:
        return single
    ends = pooled.set_index(["class", "head"])[["p5", "p95"]]
    joined = single.join(ends, on=["class", "head"])
    return joined[(joined["value"] < joined["p5"]) | (joined["value"] > joined["p95"])]


def _spread(rows: pd.DataFrame, places: Sequence[float], head: Head, theme: Theme) -> list[Trace]:
    """Bars of the middle 90 and 50% of the images, and a tick at their median."""
    color, across = faded(theme.heads[head], 0.35), broken(places, places)
    bars = [
        line(broken(rows[first], rows[last]), across, color, width=width, showlegend=False)
        for first, last, width in (("p5", "p95", 3), ("p25", "p75", 12))
    ]
    tick = mark(theme.text, 14, symbol="line-ns-open", width=2)
    return [*bars, points(rows["p50"].to_numpy(), list(places), tick)]


def _images(rows: pd.DataFrame, lanes: Lanes, head: Head, theme: Theme) -> Trace:
    """A dot an image, moved a little by its name's place in the list so that the picture is always the same."""
    steps = (np.arange(len(rows)) * 0.618034) % 1  # golden section: neighbours land far apart
    middles = np.array(lanes.of(rows["class"], rows["head"]), np.float64)
    return points(
        rows["value"].to_numpy(),
        middles + _SPREAD * (2 * steps - 1),
        mark(faded(theme.heads[head], 0.75), 5),
        hover=f"%{{customdata[0]}}<br>{HEAD_SHORT[head]}, %{{customdata[1]}}: %{{x:.3f}}",
        customdata=rows[["image", "class", "head"]].to_numpy(dtype=object),
        cliponaxis=False,
    )


# Reliability diagrams -------------------------------------------------------------------------------------------------


def reliability_figure(
    tables: Mapping[Head, Columns],
    theme: Theme,
    *,
    title: str,
    errors: Mapping[Head, float],
    height: int = 360,
    observed: str = "observed share",
    scale: Scale = "linear",
) -> Drawn:
    """The heads over each other, with bands, above the share of pixels in each bin.

    tables: per head, the rows of one class of `metrics.calibration.reliability`, or just its columns. errors: per head,
    its calibration error. scale: of both axes; on log-odds, p nearer to 0 or 1 than 0.0003 is drawn there.
    """
    ends = place(np.array([0.0, 1.0]), scale).tolist()
    traces = [line(ends, ends, theme.muted, dash="dot", showlegend=False)]
    for at, (head, table) in enumerate(tables.items()):
        columns = {name: np.asarray(table[name]) for name in (*_HOVERED, "share")}
        traces += [_band(columns, faded(theme.heads[head], 0.18), scale), _curve(columns, head, theme, scale)]
        traces.append(_bars(columns, head, theme, scale, at / len(tables), 1 / len(tables)))
    shares = np.concatenate([np.asarray(table["share"]) for table in tables.values()])
    across = _p_axis(scale, _SPARSE if height <= _COMPACT else _TICKS)
    return draw(
        traces,
        theme,
        height=height,
        title=title,
        subtitle=_errors(errors, theme),
        legend=False,
        barmode="group",
        bargap=0.15,
        bargroupgap=0,
        yaxis={"title": observed, "domain": [0.27, 1.0]} | _p_axis(scale, _TICKS),
        yaxis2={"type": "log", "title": "pixels", "domain": [0.0, 0.23]} | _decades(shares),
        xaxis={"anchor": "y", "showticklabels": False, "matches": "x2"} | across,
        xaxis2={"anchor": "y2", "title": "predicted p"} | across,
    )


def place(p: Float64Array, scale: Scale) -> Float64Array:
    """Where p stands on an axis: as it is, or its log-odds at most ±8.1."""
    if scale == "linear":
        return p
    inside = np.clip(p, _OUTERMOST, 1 - _OUTERMOST)
    return np.log(inside) - np.log1p(-inside)


def _numbers(*parts: Float64Array) -> list[float]:
    """As a list, rounded to what can be seen: Plotly takes three times as long to pack a short array."""
    numbers: list[float] = np.concatenate(parts).round(5).tolist()
    return numbers


def _p_axis(scale: Scale, labelled: Sequence[float]) -> dict[str, Any]:
    """Range and ticks of an axis of p."""
    if scale == "linear":
        return {"range": [-0.02, 1.02], "dtick": 0.25}
    reach = 1.03 * float(place(np.array([1.0]), scale)[0])
    ticks = place(np.array(_TICKS), scale).tolist()
    written = [f"{tick:g}" if tick in labelled else "" for tick in _TICKS]
    return {"range": [-reach, reach], "tickvals": ticks, "ticktext": written, "tickangle": 0}


def _errors(errors: Mapping[Head, float], theme: Theme) -> str:
    """The heads' calibration errors in their colours; three names do not fit over a small diagram."""
    names = {head: f"{HEAD_SHORT[head]} " if len(errors) <= 2 else "" for head in errors}
    said = (
        f'<span style="color:{words_in(theme.heads[head], theme)}">{names[head]}{rounded(error)}</span>'
        for head, error in errors.items()
    )
    return f"ECE: {' · '.join(said)}"


def _decades(shares: Float64Array) -> dict[str, Any]:
    """Ticks of a logarithmic axis of shares: powers of a hundred, with room below the smallest share."""
    positive = shares[shares > 0]
    low = max(float(positive.min()), 1e-6) if positive.size else 0.01
    names = {1e-6: "0.0001%", 1e-4: "0.01%", 1e-2: "1%", 1.0: "100%"}
    ticks = [tick for tick in names if tick >= low / 3] or [1.0]
    return {"tickvals": ticks, "ticktext": [names[tick] for tick in ticks], "range": [math.log10(low) - 0.3, 0.1]}


def _band(columns: Mapping[str, np.ndarray], color: str, scale: Scale) -> Trace:
    known = ~np.isnan(columns["low"])
    p, low, high = (place(columns[name][known], scale) for name in ("mean_p", "low", "high"))
    outline = _numbers(p, p[::-1]), _numbers(high, low[::-1])
    return scatter("lines", *outline, fill="toself", fillcolor=color, line={"width": 0}, showlegend=False)


def _curve(columns: Mapping[str, np.ndarray], head: Head, theme: Theme, scale: Scale) -> Trace:
    filled = columns["pixels"] > 0
    color = theme.heads[head]
    hover = (
        f"<b>{HEAD_TITLES[head]}</b><br>p from %{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}"
        "<br>mean p %{customdata[2]:.4f}<br>observed %{customdata[3]:.4f} (%{customdata[4]:.4f} to "
        "%{customdata[5]:.4f})<br>%{customdata[6]:,} pixels"
    )
    return scatter(
        "lines+markers",
        _numbers(place(columns["mean_p"][filled], scale)),
        _numbers(place(columns["observed"][filled], scale)),
        hover=hover,
        name=HEAD_TITLES[head],
        line={"color": color, "width": 2, "dash": HEAD_DASHES[head]},
        marker=mark(color, 6, symbol=HEAD_MARKERS[head]),
        customdata=np.stack([columns[name][filled].astype(np.float64) for name in _HOVERED], axis=-1),
    )


def _bars(
    columns: Mapping[str, np.ndarray], head: Head, theme: Theme, scale: Scale, start: float, width: float
) -> Trace:
    """Shares of the pixels; on log-odds each bar takes its head's part, from `start` on, of the bin's own width."""
    share = columns["share"]
    bars: Trace = {"type": "bar", "xaxis": "x2", "yaxis": "y2", "name": HEAD_TITLES[head], "showlegend": False}
    bars |= {"y": np.where(share > 0, share, np.nan)}
    bars |= {"marker": {"color": faded(theme.heads[head], 0.75), "line": {"width": 0}}}
    bars |= {"hovertemplate": f"{HEAD_TITLES[head]}<br>%{{y:.2%}} of the pixels<extra></extra>"}
    if scale == "linear":
        return bars | {"x": _numbers((columns["low_edge"] + columns["high_edge"]) / 2)}
    low = place(columns["low_edge"], scale)
    room = place(columns["high_edge"], scale) - low
    offset, size = (0.05 + 0.9 * start) * room, 0.9 * width * room
    return bars | {"x": _numbers(low), "offset": _numbers(offset), "width": _numbers(size)}
