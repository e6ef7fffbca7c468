"""All runs in short to one table: numbers to sort by, and the text that shows each with its interval."""

from collections.abc import Sequence
from typing import Any, Final

import pandas as pd

from dashboard.panels.runs import answer, difference_of, network, written
from dashboard.rounding import NO_VALUE
from dashboard.theme import HEAD_SHORT
from pipelines.store import size_in_words
from pipelines.store.summary import Summary

Texts = dict[str, dict[float, str]]
# Metrics by head: title, whether the heads' difference has a column too.
_METRICS: Final = {
    "dice": ("Dice", True),
    "classwise_ece": ("Classwise ECE", False),
    "overlap_rate": ("Overlap", False),
}
_KINDS: Final = {"exclusive": "one label a pixel", "binary": "one class", "overlapping": "labels may overlap"}


def catalogue(summaries: Sequence[Summary]) -> tuple[pd.DataFrame, Texts]:
    """One row a run; and by column, what is shown for a number.

    Rates are shares here and percent in their text; columns without text are shown as they are. The difference in Dice
    is sigmoid minus the head that the verdict sets beside it.
    """
    columns: dict[str, list[Any]] = {
        "Run": [one.name for one in summaries],
        "Verdict": [answer(one) if not one.problem else one.problem for one in summaries],
        "Data set": [one.data for one in summaries],
    }
    texts: Texts = {}
    for metric, (title, with_difference) in _METRICS.items():
        if with_difference:
            keys = [difference_of(one, metric) for one in summaries]
            _add(columns, texts, f"{title}, sigmoid − other", metric, summaries, keys)
        for head, short in HEAD_SHORT.items():
            if any((metric, head) in one.scores for one in summaries):
                _add(columns, texts, f"{title}, {short.lower()}", metric, summaries, [head] * len(summaries))
    columns |= {
        "Labels": [_KINDS.get(one.kind, one.kind) for one in summaries],
        "Classes": [len(one.classes) for one in summaries],
        "Images": [one.images for one in summaries],
        "Loss": [one.settings.get("loss") or "not known" for one in summaries],
        "Network": [network(one) or "not known" for one in summaries],
        "Size": [_size(one) for one in summaries],
        "Epochs": [one.settings.get("epochs") for one in summaries],
        "Seeds": [len(one.seeds) for one in summaries],
        "Heads": [", ".join(HEAD_SHORT[head].lower() for head in one.heads) for one in summaries],
        "Created": [pd.Timestamp(one.created) for one in summaries],
        "On disk": [float(one.bytes) for one in summaries],
    }
    texts["On disk"] = {float(one.bytes): size_in_words(one.bytes) for one in summaries}
    return pd.DataFrame(columns).astype({"Epochs": "Int64"}), texts


def _add(
    columns: dict[str, list[Any]], texts: Texts, title: str, metric: str, summaries: Sequence[Summary], heads: list[str]
) -> None:
    values = [one.scores.get((metric, head), (float("nan"),))[0] for one, head in zip(summaries, heads, strict=True)]
    columns[title] = values
    texts[title] = {
        value: written(one, metric, head)
        for value, one, head in zip(values, summaries, heads, strict=True)
        if not pd.isna(value)
    }


def _size(summary: Summary) -> str:
    size = summary.settings.get("size")
    return "×".join(map(str, size)) if size else "own size"


def shown(texts: dict[float, str], value: Any) -> str:
    """What a cell says: its text, or that there is no value."""
    return texts.get(value, NO_VALUE)
