"""Several runs to what tells them apart: scores side by side, settings that differ, and how each was trained."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from dashboard import queries
from dashboard.displays.base import Display, Picture
from dashboard.figures.runs import differences_figure, lanes_of, values_figure
from dashboard.figures.training import curve_figure, loss_figure
from dashboard.panels.origin import declared
from dashboard.rounding import NO_VALUE, rounded, with_interval
from dashboard.tables import RATES, SHOWN, difference_row
from dashboard.theme import HEAD_SHORT, HEAD_TITLES, Theme
from pipelines.metrics import METRICS
from pipelines.schema import DIFFERENCES, Head
from pipelines.store import Run
from pipelines.store.summary import Interval, Summary
from pipelines.verdict import Margin

KEY_METRICS: Final = ("dice", "classwise_ece", "brier", "overlap_rate")
_MARGINS: Final = {"dice": Margin().dice, "classwise_ece": Margin().classwise_ece}
_NOWHERE: Final[Interval] = (float("nan"),) * 3
_SETTINGS: Final = {
    "encoder_weights": "Pretrained weights", "softmax_rule": "Softmax on overlapping labels",
    "learning_rates": "Learning rate by head", "size": "Image size", "crop": "Training crop", "augment": "Augmentation",
    "splits": "Splits measured", "boundary_width": "Boundary width, pixels", "calibration_bins": "Calibration bins",
    "surface_tolerance": "Surface tolerance, pixels", "replicates": "Bootstrap replicates",
}  # fmt: skip


def comparison(runs: Sequence[Run], theme: Theme, *, metric: str = "dice") -> Display | None:
    """One metric of every head of every run, and the heads' difference within each; None where no run has it."""
    table = scores([queries.summary(run) for run in runs], metric=metric)
    heads = table[table["head"].isin(HEAD_TITLES)]
    if heads.empty:
        return None
    title, better = METRICS[metric].title, METRICS[metric].better
    said = "mean of classes" if better == "neither" else f"mean of classes, {better} is better"
    alts = [f"{row['run']}, {row['head']} {_interval(row)}" for row in heads.to_dict("records")]
    pictures = [
        Picture("runs_values", values_figure(heads, theme, title=title, subtitle=said), f"{title}: {'; '.join(alts)}.")
    ]
    gaps = _gaps(table, metric)
    if not gaps.empty:
        margin = _MARGINS.get(metric, 0.0)
        band = f"; no practical difference within ±{margin:g}" if margin else ""
        what = f"{title}: {'sigmoid − the other' if better == 'neither' else 'advantage of sigmoid'}"
        figure = differences_figure(
            gaps, theme, lanes=lanes_of(heads), title=what, subtitle=f"within each run{band}",
            margin=margin, sides=better != "neither",
        )  # fmt: skip
        alts = [f"{row['run']}, over {row['head']} {_interval(row, signed=True)}" for row in gaps.to_dict("records")]
        pictures.append(Picture("runs_differences", figure, f"{what}, within each run: {'; '.join(alts)}."))
    every = pd.concat([scores([queries.summary(run) for run in runs], metric=name) for name in SHOWN])
    return Display("runs", "Runs side by side", tuple(pictures), every.reset_index(drop=True), "runs", columns=2)


def scores(summaries: Sequence[Summary], *, metric: str) -> pd.DataFrame:
    """Rows run, data, metric, head (a difference goes by its name in DIFFERENCES), value, low, high: sigmoid first."""
    rows = [
        (one.name, one.data, metric, head, *one.scores[metric, head])
        for one in summaries
        for head in (*one.heads, *(name for name, other in DIFFERENCES.items() if other in one.heads))
        if (metric, head) in one.scores and not pd.isna(one.scores[metric, head][0])
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


def learning(run: Run, theme: Theme, *, top: float | None = None, named: bool = False) -> Display | None:
    """Loss and validation score while training, of each head and seed; None when the networks were loaded.

    top: end of the axis of scores; named: say in the titles which run it is; both for runs that are compared.
    """
    curves = queries.learning(run)
    if curves is None:
        return None
    losses, points = curves
    of_run = f"{run.name}: " if named else ""
    pictures = []
    if len(losses):
        figure = loss_figure(
            losses.to_dict("records"), theme, title=f"{of_run}training loss" if named else "Training loss",
            subtitle="mean of neighbouring steps",
        )  # fmt: skip
        pictures.append(Picture(f"loss_{run.name}", figure, f"Training loss of {run.name} by epoch, head and seed."))
    if len(points):
        figure = curve_figure(
            points.to_dict("records"), theme, title=f"{of_run}validation Dice" if named else "Validation Dice",
            subtitle="ring: the weights that were kept", top=top,
        )  # fmt: skip
        best = "; ".join(
            f"{row['head']}, seed {row['seed']}: {rounded(row['score'])} in epoch {row['epoch']}"
            for row in points[points["best"]].to_dict("records")
        )
        pictures.append(Picture(f"score_{run.name}", figure, f"Validation Dice of {run.name} by epoch. Best: {best}."))
    if not pictures:
        return None
    table = pd.concat([losses.assign(what="loss"), points.assign(what="score")], ignore_index=True)
    return Display(f"learning_{run.name}", "Training", tuple(pictures), table, "learning", columns=2)


def training(runs: Sequence[Run], theme: Theme) -> Display | None:
    """The same of several runs, scores on one scale; None when the networks of every run were loaded."""
    curves = {run.name: queries.learning(run) for run in runs}
    highest = [float(found[1]["score"].max()) for found in curves.values() if found is not None and len(found[1])]
    panels = [learning(run, theme, top=max(highest, default=None), named=len(runs) > 1) for run in runs]
    drawn = [(run.name, panel) for run, panel in zip(runs, panels, strict=True) if panel is not None]
    if not drawn:
        return None
    table = pd.concat([panel.table.assign(run=name) for name, panel in drawn], ignore_index=True)
    pictures = tuple(picture for _, panel in drawn for picture in panel.pictures)
    return Display("learning", "Training", pictures, table, "learning", columns=2)


# Tables of text ----------------------------------------------------------------------------------------------------


def settings(summaries: Sequence[Summary]) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of a setting's title and its value in each run: those that differ, then those that do not."""
    rows = [
        ["Data set", *(one.data or NO_VALUE for one in summaries)],
        ["Labels", *(one.kind or NO_VALUE for one in summaries)],
        ["Classes", *(_classes(one) for one in summaries)],
        ["Images judged", *(f"{one.images} {one.split or ''}".strip() for one in summaries)],
        ["Heads", *(", ".join(HEAD_SHORT[head].lower() for head in one.heads) for one in summaries)],
        ["Seeds", *(", ".join(map(str, one.seeds)) for one in summaries)],
        ["Networks", *(one.origin for one in summaries)],
    ]
    for head in dict.fromkeys(head for one in summaries for head in one.declared):
        said = [declared(one.declared[head]) if head in one.declared else NO_VALUE for one in summaries]
        rows.append([f"{HEAD_SHORT[head]}, as declared", *said])
    names = list(dict.fromkeys(name for one in summaries for name in one.settings))
    for name in names:
        title = _SETTINGS.get(name, name.replace("_", " ").capitalize())
        rows.append(
            [title, *(_written(name, one.settings[name]) if name in one.settings else "not known" for one in summaries)]
        )
    differ = [row for row in rows if len(set(row[1:])) > 1]
    return differ, [row for row in rows if len(set(row[1:])) == 1]


def numbers(summaries: Sequence[Summary], *, metrics: Sequence[str] = KEY_METRICS) -> tuple[list[str], list[list[str]]]:
    """Titles of the heads and their differences, and rows of metric or run with the value and interval of each.

    Of several runs, a metric has a row of its own with a row for each run under it.
    """
    known = {key for one in summaries for key in one.scores}
    columns = [head for head in (*HEAD_SHORT, *DIFFERENCES) if any((metric, head) in known for metric in metrics)]
    rows: list[list[str]] = []
    for metric in metrics:
        arrow = {"higher": " ↑", "lower": " ↓", "neither": ""}[METRICS[metric].better]
        title = f"{METRICS[metric].title}{arrow}"
        if len(summaries) > 1:
            rows.append([title, *[""] * len(columns)])
        for one in summaries:
            name = title if len(summaries) == 1 else f"\u2003{one.name}"
            rows.append([name, *(written(one, metric, head) for head in columns)])
    return [head_title(head) for head in columns], rows


def head_title(head: str) -> str:
    """A head, or a difference by its name in DIFFERENCES, in words."""
    if head in DIFFERENCES:
        return f"Sigmoid − {HEAD_SHORT[DIFFERENCES[head]].lower()}"
    return HEAD_SHORT[head]  # type: ignore[index]


def written(summary: Summary, metric: str, head: str) -> str:
    """A score with its interval, rates as percent."""
    value, low, high = summary.scores.get((metric, head), _NOWHERE)
    signed = head in DIFFERENCES
    if metric in RATES:
        return with_interval(100 * value, 100 * low, 100 * high, signed=signed, unit="%")
    return with_interval(value, low, high, signed=signed)


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


def _classes(summary: Summary) -> str:
    names = ", ".join(summary.classes)
    return f"{len(summary.classes)}: {names if len(names) <= 60 else names[:59] + '…'}" if names else NO_VALUE


def _written(name: str, value: Any) -> str:
    if value is None:
        return {"size": "own size", "priority": "smallest wins", "encoder_weights": "none"}.get(name, "not known")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key} {one:g}" for key, one in sorted(value.items())) or "the same for all"
    if isinstance(value, (list, tuple)):
        return ("×" if name in ("size", "crop") else ", ").join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
