"""A button that saves figures as PNG files: Plotly's own download, for those who have a keyboard and no mouse."""

from collections.abc import Sequence
from typing import Final

import streamlit as st

# The figures' own download buttons are there, unseen until the mouse comes; this one presses them.
_JS: Final = """
export default function ({ data, parentElement }) {
  const button = parentElement.querySelector("button");
  button.textContent = data.label;
  button.title = data.title;
  button.onclick = async () => {
    for (const key of data.keys) {
      const name = "st-key-" + key.trim().replace(/[^a-zA-Z0-9_-]/g, "-");
      for (const chart of document.getElementsByClassName(name)) {
        chart.querySelector(".modebar-btn")?.click();
        await new Promise((done) => setTimeout(done, 300)); // browsers drop downloads that come at once
      }
    }
  };
}
"""
_CSS: Final = """
button { font: inherit; font-size: 0.88rem; white-space: nowrap; cursor: pointer; padding: 0.42rem 0.75rem;
  color: var(--st-text-color); background: transparent; border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius, var(--st-base-radius)); }
button:hover { border-color: var(--st-primary-color); }
button:focus-visible { outline: 2px solid var(--st-primary-color); outline-offset: 2px; }
"""
_button = st.components.v2.component("png_button", html='<button type="button"></button>', css=_CSS, js=_JS)


def png_button(charts: Sequence[str], *, key: str) -> None:
    """Saves the figures with these keys, one file each."""
    title = "Save the figure as a PNG file" if len(charts) == 1 else f"Save the {len(charts)} figures as PNG files"
    _button(data={"label": "PNG", "title": title, "keys": list(charts)}, key=key, width="content")
