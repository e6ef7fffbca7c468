"""Wrong label sets to a figure: which set is commonest taken for which, by head."""

from typing import Any

import pandas as pd

from dashboard.figures.confusion import shortened
from dashboard.figures.drawn import Drawn
from dashboard.figures.theme import HEAD_MARKERS, HEAD_SHORT, Theme, axis, figure_of, layout
from pipelines.schema import HEADS


def set_errors_figure(table: pd.DataFrame, theme: Theme, *, title: str, subtitle: str = "") -> Drawn:
    """Commonest wrong label sets, a row each, with a point for each head.

    table: head, truth, called, share (of all valid pixels); the same pairs for every head, in the order of the rows.
    """
    pairs = list(dict.fromkeys(zip(table["truth"], table["called"], strict=True)))
    traces: list[dict[str, Any]] = []
    for head in HEADS:
        rows = table[table["head"] == head]
        if rows.empty:
            continue
        share = dict(zip(zip(rows["truth"], rows["called"], strict=True), rows["share"], strict=True))
        values = [share[pair] for pair in pairs]
        marker = {"symbol": HEAD_MARKERS[head], "size": 10, "color": theme.heads[head]}
        traces.append(
            {
                "type": "scatter", "mode": "markers", "name": HEAD_SHORT[head], "x": values,
                "y": list(range(len(pairs))), "marker": marker | {"line": {"width": 1, "color": theme.surface}},
                "customdata": [list(pair) for pair in pairs],
                "hovertemplate": f"<b>{HEAD_SHORT[head]}</b><br>truth %{{customdata[0]}}<br>predicted "
                "%{customdata[1]}<br>%{x:.3%} of the pixels<extra></extra>",
            }
        )  # fmt: skip
    widest = float(table["share"].max()) or 1.0
    named = [f"{shortened(truth)} → {shortened(called)}" for truth, called in pairs]
    shared = layout(
        theme, height=170 + 28 * len(pairs), title=title, subtitle=subtitle,
        xaxis=axis(
            theme, range=[-0.02 * widest, 1.05 * widest], tickformat="~p", title="share of all pixels", nticks=5
        ),
        yaxis=axis(theme, range=[len(pairs) - 0.5, -0.5], tickvals=list(range(len(pairs))), ticktext=named),
    )  # fmt: skip
    return figure_of({"data": traces, "layout": shared})
