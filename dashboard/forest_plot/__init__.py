"""A forest plot of `dashboard.figures.forest` as a small drawing of its own.

The first page waits for nothing as long as for Plotly's script, which has 4.7 MB: this draws the same figure from the
same description with 10 kB, and without Plotly on the page that script is not loaded at all.
"""

from pathlib import Path
from typing import Final

import plotly.io as pio
import streamlit as st

from dashboard.charts import Drawn

_PARTS: Final = Path(__file__).parent
_plot = st.components.v2.component(
    "forest_plot",
    html='<div class="forest-plot"></div>',
    css=(_PARTS / "plot.css").read_text(encoding="utf-8"),
    js=(_PARTS / "plot.js").read_text(encoding="utf-8"),
    isolate_styles=False,
)


def forest_plot(figure: Drawn, *, key: str, alt: str, name: str = "figure") -> None:
    """A figure of `forest_figure`, in the look it was given, with its picture to download; as `components.chart`."""
    content = pio.to_json(figure, validate=False)
    _plot(data={"figure": content, "alt": alt, "name": name}, key=key, height="content")
