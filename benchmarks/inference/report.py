"""Rows of the study to the tables of docs/inference.md, and those into the page between its markers."""

from pathlib import Path
from typing import Final

import pandas as pd

from benchmarks.inference.coverage import METHODS, SEED_METHODS, monte_carlo_error
from benchmarks.inference.study import SEED_UNITS

PAGE: Final = Path(__file__).parents[2] / "docs" / "inference.md"
_FAMILIES: Final = {
    "Dice, difference": ("Dice, macro, difference", "Dice, first class, difference", "Dice, last class, difference"),
    "Brier, difference": ("Brier, difference",),
    "overlap rate, difference": ("overlap rate, difference",),
    "ECE, difference": ("ECE, macro, difference", "ECE, first class, difference"),
    "Dice, one head": ("Dice, macro, sigmoid",),
    "Brier, one head": ("Brier, sigmoid",),
    "ECE, one head": ("ECE, macro, sigmoid", "ECE, macro, softmax"),
}
_SHOWN: Final = ("Dice, macro, difference", "Brier, difference", "ECE, macro, difference")
_SHOWN_UNITS: Final = 50
_METHODS_UNITS: Final = (30, 200)


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _percent(share: float, *, digits: int = 1) -> str:
    return f"{100 * share:.{digits}f}"


def methods_table(rows: pd.DataFrame) -> str:
    """Lowest and highest coverage over scenarios of each kind of statistic, by the least and most images and method."""
    rows = _varied(rows)
    rows = rows[rows["units"].isin(_METHODS_UNITS)]
    lines = []
    for family, statistics in _FAMILIES.items():
        for units, some in rows[rows["statistic"].isin(statistics)].groupby("units"):
            spans = [some.loc[some["method"] == method, "coverage"] for method in METHODS]
            lines.append([family, str(units), *(f"{_percent(s.min())}–{_percent(s.max())}" for s in spans)])
    return _table(["statistic", "images", "percentile", "basic", "BCa", "expanded", "**used**"], lines)


def coverage_table(rows: pd.DataFrame) -> str:
    """The intervals in use, scenario by scenario, at one size."""
    some = rows[(rows["method"] == "chosen") & (rows["units"] == _SHOWN_UNITS) & rows["statistic"].isin(_SHOWN)]
    lines = [
        [
            row["scenario"], row["statistic"], f"{row['truth']:+.4f}",
            f"{_percent(row['coverage'])} ± {_percent(float(monte_carlo_error(row['coverage'], row['repeats'])))}",
            f"{row['width']:.4f}", _percent(row["above"]), _percent(row["below"]),
        ]
        for row in some.to_dict("records")
    ]  # fmt: skip
    head = ["scenario", "statistic", "truth", "coverage %", "mean width", "truth below %", "truth above %"]
    return _table(head, lines)


def seeds_table(rows: pd.DataFrame) -> str:
    """Coverage of the mean over trainings, by spread and number of seeds."""
    lines = []
    for (share, spread, seeds), some in rows[rows["statistic"].isin(_SHOWN)].groupby(
        ["statistic", "spread", "seeds"], sort=False
    ):
        by_method = some.set_index("method")
        lines.append(
            [
                share, f"{spread} ({_percent(by_method['share'].iloc[0], digits=0)}%)", str(seeds),
                *(_percent(by_method.loc[method, "coverage"]) for method in SEED_METHODS),
                f"{by_method.loc['chosen', 'width']:.4f}",
            ]
        )  # fmt: skip
    head = ["statistic", "spread of seeds", "seeds", "drawn again", "Welch", "**used**", "mean width"]
    return _table(head, lines)


def decisions_table(rows: pd.DataFrame) -> str:
    """Verdicts right/wrong and intervals that leave 0 out, in % of repeats, by number of images."""
    lines = []
    for (kind, case), some in rows.groupby(["kind", "case"], sort=False):
        first = some.iloc[0]
        verdicts = [
            "–" if pd.isna(row["right"]) else f"{_percent(row['right'])}/{_percent(row['wrong'])}"
            for row in some.to_dict("records")
        ]
        off_zero = ", ".join(_percent(share) for share in some["off_zero"])
        lines.append([kind, case, f"{first['difference']:+.4f}", f"{100 * first['brier']:+.1f}%", *verdicts, off_zero])
    images = [f"{units} images" for units in rows["units"].unique()]
    return _table(["truth", "case", "Dice", "Brier", *images, "without 0"], lines)


def summary(results: dict[str, pd.DataFrame]) -> str:
    """The extremes of the intervals in use, and everything outside 93 to 97%."""
    used = _varied(results["coverage"])
    used = used[used["method"] == "chosen"]
    lines = []
    for family, statistics in _FAMILIES.items():
        some = used[used["statistic"].isin(statistics)]["coverage"].round(6)  # 0.93 is not below 0.93
        low, high = (some < 0.93).mean(), (some > 0.97).mean()
        lines.append(
            [family, f"{_percent(some.min())}–{_percent(some.max())}", _percent(some.mean()), str(len(some)),
             str(round(low * len(some))), str(round(high * len(some)))]
        )  # fmt: skip
    return _table(["statistic", "coverage %", "mean %", "intervals", "below 93%", "above 97%"], lines)


def _varied(rows: pd.DataFrame) -> pd.DataFrame:
    """Without statistics that are the same number in every sample, such as the overlap rate of two softmaxes."""
    return rows[rows["width"] > 0]


def tables(results: dict[str, pd.DataFrame]) -> dict[str, str]:
    """All tables by the name of their marker."""
    return {
        "summary": summary(results),
        "methods": methods_table(results["coverage"]),
        "coverage": coverage_table(results["coverage"]),
        "seeds": seeds_table(results["seeds"].assign(units=SEED_UNITS)),
        "decisions": decisions_table(results["decisions"]),
    }
