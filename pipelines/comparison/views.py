"""A comparison to the tables that figures draw: cells before and after their remedy, and effects with their parts."""

import pandas as pd

from pipelines.comparison.cells import LABEL_MEASURES, own_decision
from pipelines.comparison.effects import AS_TRAINED, FITTED, MEAN
from pipelines.comparison.model import Comparison, rows_of


def before_after(comparison: Comparison, measure: str) -> pd.DataFrame:
    """A measure of each run and head before and after what may mend it: tuned thresholds for labels, else temperature.

    Returns one row a run, head and setting: run, head, setting ("argmax", "p > 0.5" or "as trained", then "tuned" or
    "fitted"; the latter left out where there is none), value, low, high.
    """
    table = comparison.table
    if measure in LABEL_MEASURES:
        column, levels = "threshold", (str(own_decision(comparison.kind)), "tuned")
        rows = table[table["temperature"] == AS_TRAINED]
    else:
        column, levels = "temperature", (AS_TRAINED, FITTED)
        rows = table[table["threshold"] == own_decision(comparison.kind)]
    names = {column: "setting", measure: "value", f"{measure}_low": "low", f"{measure}_high": "high"}
    rows = rows[rows[column].isin(levels)].rename(columns=names)
    return rows[["run", "head", "setting", "value", "low", "high"]].reset_index(drop=True)


def effect_rows(comparison: Comparison, measure: str) -> pd.DataFrame:
    """Each factor's effect on a measure, the largest first, and under it the parts of the loss's and the head's.

    Returns rows factor, first, second, part, gain, low, high. part: empty for the effect itself; else where it was
    taken, such as "ce", or the setting in which it was averaged, "tuned thresholds" or "fitted temperature".
    """
    found = []
    every = rows_of(comparison.contrasts, measure)
    for effect in rows_of(comparison.effects, measure):
        found.append(effect | {"part": ""})
        if effect["factor"] in ("threshold", "temperature"):
            continue  # their parts are what before_after shows
        for row in every:
            if any(row[key] != effect[key] for key in ("factor", "first", "second")):
                continue
            places = [row[name] for name in ("run", "head") if row[name] not in (MEAN, "")]
            if places and row["at"] == AS_TRAINED:
                found.append(row | {"part": places[0]})
            elif not places and row["at"] != AS_TRAINED:
                found.append(row | {"part": row["at"]})
    return pd.DataFrame(found, columns=["factor", "first", "second", "part", "gain", "low", "high"])
