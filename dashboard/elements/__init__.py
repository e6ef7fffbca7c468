"""Elements of our own where Streamlit's or Plotly's would cost the first page seconds (docs/adr/0005-first-page.md).

Plotly's script has 4.7 MB and Streamlit's highlighter 1.6 MB; without figures and code of theirs on the page neither is
loaded. What an element runs in the browser lies beside this file under its name.
"""

import keyword
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import plotly.io as pio
import streamlit as st

from dashboard.charts import Drawn

_HERE: Final = Path(__file__).parent


def _element(name: str, html: str, **options: Any) -> Any:
    css, js = ((_HERE / f"{name}.{kind}").read_text(encoding="utf-8") for kind in ("css", "js"))
    return st.components.v2.component(name, html=html, css=css, js=js, **options)


_plot = _element("forest_plot", '<div class="forest-plot"></div>', isolate_styles=False)
_button = _element("png_button", '<button type="button"></button>')
_code = _element("python_code", '<div><pre tabindex="0"><code></code></pre><button type="button">Copy</button></div>')


def forest_plot(figure: Drawn, *, key: str, alt: str, name: str = "figure") -> None:
    """A figure of `charts.forest_figure` drawn from the same description, with its picture to download.

    It is called as `components.chart`.
    """
    content = pio.to_json(figure, validate=False)
    _plot(data={"figure": content, "alt": alt, "name": name}, key=key, height="content")


def png_button(charts: Sequence[str], *, key: str) -> None:
    """Saves the figures with these keys as PNG, one file each, for those who have a keyboard and no mouse."""
    title = "Save the figure as a PNG file" if len(charts) == 1 else f"Save the {len(charts)} figures as PNG files"
    _button(data={"label": "PNG", "title": title, "keys": list(charts)}, key=key, width="content")


def python_code(text: str, *, key: str) -> None:
    """Text as Python, highlighted, in lines that break, with a button that copies it."""
    _code(data={"text": text, "keywords": keyword.kwlist}, key=key)
