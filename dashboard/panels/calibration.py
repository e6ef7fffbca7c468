"""A run and the controls of the page Calibration to its panels."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import pandas as pd

from dashboard import loaders
from dashboard.figures.calibration import by_image_figure
from dashboard.figures.reliability import Columns, Scale, reliability_figure
from dashboard.figures.theme import HEAD_SHORT, HEAD_TITLES, Theme
from dashboard.panels.base import Panel, Picture
from dashboard.panels.selection import Selection
from dashboard.rounding import NO_VALUE, rounded, with_interval
from dashboard.tables import difference_row
from pipelines.metrics import METRICS
from pipelines.metrics.tables import TOP_LABEL
from pipelines.schema import ALL_CLASSES, DIFFERENCES, MACRO, Head, Variant
from pipelines.sentences import begun, none_carries
from pipelines.store import Run

# Proper scores first, which decide; then their parts, the errors over bins, which explain, and the line.
SCORES: Final = (
    "brier", "nll", "categorical_nll", "corp_miscalibration", "corp_discrimination", "corp_uncertainty",
    "classwise_ece", "classwise_ece_image_mean", "top_label_ece", "top_label_ece_image_mean", "adaptive_ece",
    "smooth_ece", "debiased_ece_l2", "average_calibration_error", "maximum_calibration_error", "calibration_slope",
    "calibration_intercept",
)  # fmt: skip
VARIANT_TITLES: Final[dict[Variant, str]] = {
    "raw": "As trained",
    "temperature": "After temperature",
    "temperature-by-class": "By class",
}
DIFFERENCE: Final = "Difference"
# What is better: more, less, or nearer to a number.
DIRECTIONS: Final[dict[str, str]] = {
    name: {"higher": "↑", "lower": "↓", "neither": ""}[METRICS[name].better] for name in SCORES
} | {"corp_discrimination": "↑", "calibration_slope": "→ 1", "calibration_intercept": "→ 0"}
_TALL, _SMALL = 620, 380  # CSS pixels of a diagram alone and of one among others


def reliability(
    shown: Selection, theme: Theme, *, bins: int = 15, classes: Sequence[str] | None = None, scale: Scale = "linear"
) -> Panel:
    """Reliability diagrams, one a class, the top label first where there is one; the heads lie over each other.

    classes: names to draw, TOP_LABEL among them; None for all.
    """
    run = shown.run
    found = {
        head: loaders.reliability(
            run, shown.split, head, shown.seeds, _counted(head, shown.variant), shown.region, bins
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
    pictures = tuple(
        _diagram(
            {head: {key: one[order.index(name)] for key, one in values.items()} for head, values in columns.items()},
            name, theme, scale, height,
        )
        for name in names
    )  # fmt: skip
    table = pd.concat([rows.assign(head=head) for head, rows in found.items()], ignore_index=True)
    table = table[table["class"].isin(names)]
    return Panel("reliability", "Reliability", pictures, table, "reliability", ("share",), columns=3)


def _counted(head: Head, variant: Variant) -> Variant:
    """The variant that was counted: a softmax's classes share one temperature, so that it has none by class."""
    return "temperature" if variant == "temperature-by-class" and head != "sigmoid" else variant


def by_image(shown: Selection, theme: Theme) -> Panel | None:
    """Calibration errors of single images beside that of all pixels together, in the bins of the evaluation.

    None where no image has such an error.
    """
    bins = loaders.evaluation_bins(shown.run)
    found = {
        head: loaders.ece_by_image(
            shown.run, shown.split, head, shown.seeds, _counted(head, shown.variant), shown.region
        )
        for head in shown.run.heads
    }
    pooled, single = (
        pd.concat([parts[at].assign(head=head) for head, parts in found.items()], ignore_index=True) for at in (0, 1)
    )
    if single["value"].isna().all():
        return None
    names = list(dict.fromkeys(pooled["class"]))
    title = f"Calibration error of single images, {bins} bins"
    figure = by_image_figure(pooled, single, theme, title=title)
    said = "; ".join(
        f"{row['class']}, {HEAD_SHORT[row['head']].lower()}: {rounded(row['pooled'])} pooled, "
        f"median image {rounded(row['p50'])}"
        for row in pooled.head(8).to_dict("records")
    )
    table = pooled.sort_values("class", key=lambda one: one.map(names.index), kind="stable", ignore_index=True)
    return Panel("by_image", title, (Picture("by_image", figure, f"{title}. {said}."),), table, "by_image")


def scores(shown: Selection) -> pd.DataFrame:
    """Every calibration metric of each head and, of a pair, the difference, as trained and after temperature.

    Without a class the mean of classes, and the metrics that have no class. Rows: metric, variant, class, head (or
    difference), value, low, high; `readable_scores` writes them in words.
    """
    frame, run = loaders.metrics(shown.run), shown.run
    variants: list[Variant] = ["raw", "temperature" if shown.variant == "raw" else shown.variant]
    wanted = (MACRO, ALL_CLASSES) if shown.class_name is None else (shown.class_name,)
    heads = [*run.heads, *(name for name, head in DIFFERENCES.items() if head in run.heads)]
    rows = frame[
        (frame["split"] == shown.split) & (frame["region"] == shown.region) & (frame["seed"] == shown.row_seed)
        & frame["class"].isin(wanted) & frame["metric"].isin(SCORES) & frame["variant"].isin(variants)
        & frame["head"].isin(heads) & frame["value"].notna()
    ]  # fmt: skip
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
        for head in run.heads if head in fitted
    ]  # fmt: skip
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
    absent = loaders.absent_classes(run, "val") if "val" in run.splits else ()
    unfit = f" {begun(none_carries(absent, 'val'))}: there the temperature has no meaning." if absent else ""
    return f"Sigmoid's temperatures by class: {', '.join(said)}.{unfit}" + (
        " Softmax keeps its one: its classes share a pixel." if len(run.heads) > 1 else ""
    )


def calibration_error(rows: Columns) -> float:
    """Expected calibration error of the bins shown: the gaps weighted by the share of pixels; NaN without a pixel."""
    share, observed, mean_p = (np.asarray(rows[name]) for name in ("share", "observed", "mean_p"))
    if not np.nansum(share) > 0:
        return float("nan")
    return float(np.nansum(share * np.abs(observed - mean_p)))  # an empty bin has no gap


def _diagram(rows: Mapping[Head, Columns], name: str, theme: Theme, scale: Scale, height: int) -> Picture:
    """One class, with each head's error in its colour under the title."""
    errors = {head: calibration_error(one) for head, one in rows.items()}
    figure = reliability_figure(
        rows, theme, title=name, height=height, errors=errors, scale=scale,
        observed="share correct" if name == TOP_LABEL else "observed share",
    )  # fmt: skip
    said = ", ".join(f"{HEAD_TITLES[head]} ECE {rounded(error)}" for head, error in errors.items())
    return Picture(f"reliability_{name}", figure, f"Reliability of {name}: {said}.")
