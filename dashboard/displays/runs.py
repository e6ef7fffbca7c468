"""Runs against each other: all in one table, scores side by side, settings that differ, origin of the networks."""

import math
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import PurePath
from typing import Any, Final, TypeAlias

import pandas as pd

from dashboard import queries
from dashboard.charts import Drawn, Lanes, Trace, around_zero, draw, interval, mark, points, sides
from dashboard.displays.base import Display, Picture
from dashboard.rounding import NO_VALUE, with_interval
from dashboard.tables import RATES, SHOWN, difference_row
from dashboard.theme import HEAD_MARKERS, HEAD_SHORT, HEAD_TITLES, Theme
from pipelines.judgement import Margin
from pipelines.metrics import METRICS
from pipelines.schema import DIFFERENCES, HEADS, Head
from pipelines.sentences import KIND_TITLES, shortened, size_in_words
from pipelines.store.runs import Interval, Run, Summary

Texts: TypeAlias = dict[str, dict[float, str]]

KEY_METRICS: Final = ("dice", "classwise_ece", "brier", "overlap_rate")
_ORIGINS: Final = {"predictions": "imported predictions", "models": "imported models"}
_MARGINS: Final = {"dice": Margin().dice, "classwise_ece": Margin().classwise_ece}
_NOWHERE: Final[Interval] = (float("nan"),) * 3
_SETTINGS: Final = {
    "encoder_weights": "Pretrained weights",
    "softmax_rule": "Softmax on overlapping labels",
    "learning_rates": "Learning rate by head",
    "size": "Image size",
    "crop": "Training crop",
    "augment": "Augmentation",
    "splits": "Splits measured",
    "boundary_width": "Boundary width, pixels",
    "calibration_bins": "Calibration bins",
    "surface_tolerance": "Surface tolerance, pixels",
    "replicates": "Bootstrap replicates",
}
_LANE: Final = 30  # CSS pixels of a head's lane
_LONGEST: Final = 20  # characters of a run's or a data set's label


# Where networks come from ------------------------------------------------------------------------------------------


def network_facts(config: dict[str, Any]) -> list[str]:
    """A few words on the networks: architecture, encoder and loss, or that they were imported. config: of a run."""
    training = config["training"]
    if training is not None:
        return [f"{training['architecture']}, {training['encoder']}", f"loss {training['loss']}"]
    return [_ORIGINS[config["imported"]["origin"]]]


def declared_heads(config: dict[str, Any]) -> dict[Head, dict[str, Any]]:
    """By head that was imported what was said of it (config.ImportedHead); empty for a run that was trained here."""
    return dict((config.get("imported") or {"heads": {}})["heads"])


def declared(head: dict[str, Any]) -> str:
    """What was said of a head, such as "out.npz (arrays), logits, channels in order: a, b".

    A file or folder is named without the folders above it: a report may be read by others.
    """
    channels = ", ".join(map(str, head["channels"])) or "not named"
    nothing = f"; {head['background']} means that nothing is there" if head["background"] else ""
    notes = "".join(f"; {name} {value}" for name, value in head["notes"].items())
    name = PurePath(str(head["path"])).name
    return f"{name} ({head['format']}), {head['values']}, channels in order: {channels}{nothing}{notes}"


# All runs in one table ---------------------------------------------------------------------------------------------


def catalogue(summaries: Sequence[Summary]) -> tuple[pd.DataFrame, Texts]:
    """One row a run; and by column, what is shown for a number.

    Rates are shares here and percent in their text; columns without text are shown as they are. The difference in Dice
    is sigmoid minus the head that the verdict sets beside it.
    """
    scores: dict[str, list[float]] = {}
    texts: Texts = {}

    def add(title: str, metric: str, heads: Sequence[str]) -> None:
        pairs = list(zip(summaries, heads, strict=True))
        scores[title] = [row.scores.get((metric, head), _NOWHERE)[0] for row, head in pairs]
        texts[title] = {
            value: written(row, metric, head)
            for value, (row, head) in zip(scores[title], pairs, strict=True)
            if not pd.isna(value)
        }

    add("Dice, sigmoid − other", "dice", [difference_of(row, "dice") for row in summaries])
    for metric, title in (("dice", "Dice"), ("classwise_ece", "Classwise ECE"), ("overlap_rate", "Overlap")):
        for head, short in HEAD_SHORT.items():
            if any((metric, head) in row.scores for row in summaries):
                add(f"{title}, {short.lower()}", metric, [head] * len(summaries))
    frame = pd.DataFrame(
        {
            "Run": [row.name for row in summaries],
            "Verdict": [answer(row) if not row.problem else row.problem for row in summaries],
            "Data set": [row.data for row in summaries],
            **scores,
            "Labels": [KIND_TITLES.get(row.kind, row.kind) for row in summaries],
            "Classes": [len(row.classes) for row in summaries],
            "Images": [row.images for row in summaries],
            "Loss": [row.settings.get("loss") or "not known" for row in summaries],
            "Network": [network(row) or "not known" for row in summaries],
            "Size": ["×".join(map(str, row.settings.get("size") or ())) or "own size" for row in summaries],
            "Epochs": [row.settings.get("epochs") for row in summaries],
            "Seeds": [len(row.seeds) for row in summaries],
            "Heads": [_heads(row) for row in summaries],
            "Created": [pd.Timestamp(row.created) for row in summaries],
            "On disk": [float(row.bytes) for row in summaries],
        }
    )
    texts["On disk"] = {float(row.bytes): size_in_words(row.bytes) for row in summaries}
    return frame.astype({"Epochs": "Int64"}), texts


def shown_text(texts: Mapping[float, str], value: Any) -> str:
    """What a cell of the catalogue says: its text, or that there is no value."""
    return texts.get(value, NO_VALUE)


def answer(summary: Summary) -> str:
    """The verdict, with its strength where there is an answer, such as "sigmoid, strong"."""
    if summary.answer in ("", "not enough evidence", "nothing to compare"):
        return summary.answer or NO_VALUE
    return f"{summary.answer}, {summary.confidence}"


def contender(summary: Summary) -> Head | None:
    """The head that the verdict sets beside sigmoid; else the first other one."""
    others = [head for head in summary.heads if head != "sigmoid"]
    return summary.contender if summary.contender in others else next(iter(others), None)


def network(summary: Summary) -> str:
    """Architecture and encoder, as far as they are known, or that the outputs of a network were imported."""
    if summary.origin == "imported":
        return "imported"
    return ", ".join(str(summary.settings[name]) for name in ("architecture", "encoder") if summary.settings.get(name))


def difference_of(summary: Summary, metric: str) -> str:
    """Key of `scores` for sigmoid minus the contender, empty where there is none."""
    other = contender(summary)
    return difference_row(other) if other is not None and (metric, difference_row(other)) in summary.scores else ""


# Settings and numbers as text --------------------------------------------------------------------------------------


def settings(summaries: Sequence[Summary]) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of a setting's title and its value in each run: those that differ, then those that do not."""
    rows = [
        ["Data set", *(row.data or NO_VALUE for row in summaries)],
        ["Labels", *(row.kind or NO_VALUE for row in summaries)],
        ["Classes", *(_classes(row) for row in summaries)],
        ["Bands", *(row.bands.text() for row in summaries)],
        ["Images judged", *(f"{row.images} {row.split or ''}".strip() for row in summaries)],
        ["Heads", *(_heads(row) for row in summaries)],
        ["Seeds", *(", ".join(map(str, row.seeds)) for row in summaries)],
        ["Networks", *(row.origin for row in summaries)],
    ]
    for head in dict.fromkeys(head for row in summaries for head in row.declared):
        values = [declared(row.declared[head]) if head in row.declared else NO_VALUE for row in summaries]
        rows.append([f"{HEAD_SHORT[head]}, as declared", *values])
    for name in dict.fromkeys(name for row in summaries for name in row.settings):
        title = _SETTINGS.get(name, name.replace("_", " ").capitalize())
        values = [_setting(name, row.settings[name]) if name in row.settings else "not known" for row in summaries]
        rows.append([title, *values])
    differ = [row for row in rows if len(set(row[1:])) > 1]
    return differ, [row for row in rows if len(set(row[1:])) == 1]


def numbers(summaries: Sequence[Summary], *, metrics: Sequence[str] = KEY_METRICS) -> tuple[list[str], list[list[str]]]:
    """Titles of the heads and their differences, and rows of metric or run with the value and interval of each.

    Of several runs, a metric has a row of its own with a row for each run under it.
    """
    known = {key for row in summaries for key in row.scores}
    columns = [head for head in (*HEAD_SHORT, *DIFFERENCES) if any((metric, head) in known for metric in metrics)]
    rows: list[list[str]] = []
    for metric in metrics:
        arrow = {"higher": " ↑", "lower": " ↓", "neither": ""}[METRICS[metric].better]
        title = f"{METRICS[metric].title}{arrow}"
        if len(summaries) > 1:
            rows.append([title, *[""] * len(columns)])
        for summary in summaries:
            name = title if len(summaries) == 1 else f"\u2003{summary.name}"
            rows.append([name, *(written(summary, metric, head) for head in columns)])
    return [head_title(head) for head in columns], rows


def head_title(head: str) -> str:
    """A head, or a difference by its name in DIFFERENCES, in words."""
    if head in DIFFERENCES:
        return f"Sigmoid − {HEAD_SHORT[DIFFERENCES[head]].lower()}"
    return HEAD_SHORT[head]  # type: ignore[index]


def written(summary: Summary, metric: str, head: str) -> str:
    """A score with its interval, rates as percent."""
    numbers = summary.scores.get((metric, head), _NOWHERE)
    signed = head in DIFFERENCES
    if metric in RATES:
        value, low, high = (100 * number for number in numbers)
        return with_interval(value, low, high, signed=signed, unit="%")
    return with_interval(*numbers, signed=signed)


def _heads(summary: Summary) -> str:
    return ", ".join(HEAD_SHORT[head].lower() for head in summary.heads)


def _classes(summary: Summary) -> str:
    names = ", ".join(summary.classes)
    return f"{len(summary.classes)}: {names if len(names) <= 60 else names[:59] + '…'}" if names else NO_VALUE


def _setting(name: str, value: Any) -> str:
    match value:
        case None:
            return {"size": "own size", "priority": "smallest wins", "encoder_weights": "none"}.get(name, "not known")
        case bool():
            return "yes" if value else "no"
        case dict():
            return ", ".join(f"{key} {number:g}" for key, number in sorted(value.items())) or "the same for all"
        case list() | tuple():
            return ("×" if name in ("size", "crop") else ", ").join(map(str, value))
        case float():
            return f"{value:g}"
    return str(value)


# Scores side by side -----------------------------------------------------------------------------------------------


def comparison(runs: Sequence[Run], theme: Theme, *, metric: str = "dice") -> Display | None:
    """One metric of every head of every run, and the heads' difference within each; None where no run has it."""
    summaries = [queries.runs.summary(run) for run in runs]
    table = scores(summaries, metric=metric)
    values = table[table["head"].isin(HEAD_TITLES)]
    if values.empty:
        return None
    title, better = METRICS[metric].title, METRICS[metric].better
    subtitle = "mean of classes" if better == "neither" else f"mean of classes, {better} is better"
    alts = [f"{row['run']}, {row['head']} {_interval(row)}" for row in values.to_dict("records")]
    figure = values_figure(values, theme, title=title, subtitle=subtitle)
    pictures = [Picture("runs_values", figure, f"{title}: {'; '.join(alts)}.")]
    gaps = _gaps(table, metric)
    if not gaps.empty:
        margin = _MARGINS.get(metric, 0.0)
        band = f"; no practical difference within ±{margin:g}" if margin else ""
        gap_title = f"{title}: {'sigmoid − the other' if better == 'neither' else 'advantage of sigmoid'}"
        figure = differences_figure(
            gaps,
            theme,
            lanes=lanes_of(values),
            title=gap_title,
            subtitle=f"within each run{band}",
            margin=margin,
            named=better != "neither",
        )
        alts = [f"{row['run']}, over {row['head']} {_interval(row, signed=True)}" for row in gaps.to_dict("records")]
        pictures.append(Picture("runs_differences", figure, f"{gap_title}, within each run: {'; '.join(alts)}."))
    every = pd.concat([scores(summaries, metric=name) for name in SHOWN], ignore_index=True)
    return Display("runs", "Runs side by side", tuple(pictures), every, "runs", columns=2)


def scores(summaries: Sequence[Summary], *, metric: str) -> pd.DataFrame:
    """Rows run, data, metric, head (a difference goes by its name in DIFFERENCES), value, low, high: sigmoid first."""
    rows = [
        (row.name, row.data, metric, head, *row.scores[metric, head])
        for row in summaries
        for head in (*row.heads, *(name for name, other in DIFFERENCES.items() if other in row.heads))
        if (metric, head) in row.scores and not pd.isna(row.scores[metric, head][0])
    ]
    return pd.DataFrame(rows, columns=["run", "data", "metric", "head", "value", "low", "high"])


def _gaps(table: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Rows of differences as advantages of sigmoid, turned round where lower is better; head: the other one."""
    rows = table[table["head"].isin(DIFFERENCES)]
    rows = rows.assign(head=rows["head"].map(DIFFERENCES))
    if METRICS[metric].better == "lower":
        rows = rows.assign(value=-rows["value"], low=-rows["high"], high=-rows["low"])
    return rows


def _interval(row: dict[Any, Any], *, signed: bool = False) -> str:
    return with_interval(row["value"], row["low"], row["high"], signed=signed)


def lanes_of(table: pd.DataFrame) -> Lanes:
    """Where each run and head stands, so that figures side by side agree. table: run, head."""
    rows = table.groupby("run", sort=False)["head"].agg(set).items()
    return Lanes(((str(run), head) for run, there in rows for head in HEADS if head in there), between=0.7, air=0.7)


def values_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str) -> Drawn:
    """A lane for each head of each run, with the value and its interval.

    table: run, data (name of its data set), head, value, low, high.
    """
    lanes = lanes_of(table)
    traces = [
        _points(table[table["head"] == head], lanes, theme.heads[head], HEAD_SHORT[head])
        for head in HEADS
        if (table["head"] == head).any()
    ]
    return _figure(traces, table, lanes, theme, title=title, subtitle=subtitle, xaxis={"nticks": 6})


def differences_figure(
    table: pd.DataFrame, theme: Theme, *, lanes: Lanes, title: str, subtitle: str, margin: float, named: bool
) -> Drawn:
    """Sigmoid against each other head within each run, in the lane of that head.

    table: run, data, head (the other one), value, low, high (of the difference, above 0 for sigmoid); lanes: of the
    figure beside it. margin: half-width of the band of practical equivalence, 0 for none. named: whether one side of
    zero is better, and is named. A point takes a head's colour only when its interval lies wholly beyond the band.
    """
    ends = table[["value", "low", "high"]].abs().max().max()
    reach = 1.08 * max(0.0 if pd.isna(ends) else float(ends), 1.5 * margin) or 1.0
    traces = []
    for row in table.to_dict("records"):
        color = theme.text
        if named:
            color = theme.heads["sigmoid"] if row["low"] > margin else theme.muted
            color = theme.heads[row["head"]] if row["high"] < -margin else color
        name = f"sigmoid − {HEAD_SHORT[row['head']].lower()}"
        traces.append(_points(pd.DataFrame([row]), lanes, color, name, sign="+"))
    others = sorted(set(table["head"]), key=HEADS.index)
    left = ("Sigmoid worse", theme.muted)
    if len(others) == 1:
        left = (f"{HEAD_SHORT[others[0]]} better", theme.heads[others[0]])
    options: dict[str, Any] = {"title": title, "subtitle": subtitle, "xaxis": {"range": [-reach, reach], "nticks": 5}}
    notes = sides(theme, *left) if named else []
    return _figure(traces, table, lanes, theme, shapes=around_zero(margin, theme), annotations=notes, **options)


def _figure(
    traces: list[Trace],
    table: pd.DataFrame,
    lanes: Lanes,
    theme: Theme,
    *,
    xaxis: dict[str, Any],
    shapes: Sequence[dict[str, Any]] = (),
    **options: Any,
) -> Drawn:
    """Traces in their lanes, each run's name in the middle of its own, and its data set where there are several."""
    data_of = dict(zip(table["run"], table["data"], strict=True))
    several = len(set(data_of.values())) > 1
    names = [
        escape(shortened(run, _LONGEST))
        + (f'<br><span style="font-size:11px">{escape(shortened(data, _LONGEST))}</span>' if several else "")
        for run, data in data_of.items()
    ]
    return draw(
        traces,
        theme,
        height=round(118 + _LANE * (lanes.last + 1.4)),
        legend=False,
        shapes=[*shapes, *lanes.rules(theme)],
        xaxis=xaxis | {"tickformat": "~g", "title": " "},
        yaxis=lanes.axis(names, tickvals=[sum(lanes.ends(run)) / 2 for run in data_of]),
        **options,
    )


def _points(rows: pd.DataFrame, lanes: Lanes, color: str, name: str, *, sign: str = "") -> Trace:
    """Values of one head with their intervals; sign: "+" where the sign is to be shown."""

    def hovered(row: dict[Any, Any]) -> list[str]:
        low, high = row["low"], row["high"]
        ends = "no interval" if math.isnan(low) else f"{low:{sign}.4f} to {high:{sign}.4f}"
        return [escape(str(row["run"])), escape(str(row["data"])), ends]

    return points(
        rows["value"],
        lanes.of(rows["run"], rows["head"]),
        mark(color, 10, symbol=HEAD_MARKERS[rows["head"].iloc[0]]),
        error_x=interval(rows, color, thickness=2.5),
        name=name,
        customdata=[hovered(row) for row in rows.to_dict("records")],
        hover=f"<b>%{{customdata[0]}}</b><br>%{{customdata[1]}}<br>{name}: %{{x:{sign}.4f}}<br>%{{customdata[2]}}",
    )
