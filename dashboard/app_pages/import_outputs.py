"""Import: outputs of networks that were trained elsewhere, or the networks themselves, to a run."""

from importlib import import_module, util
from typing import Final

import streamlit as st

from dashboard import components, state
from dashboard.importing import follow, predictions, truth

_TITLES: Final = {"predictions": "Predictions", "model": "A model"}

st.title("Import")
components.paragraph(
    "You have trained one or both heads yourself: bring what they say of your images, and read the verdict. One head "
    "alone is enough for its own numbers.",
    state.theme(),
)
follow.draw(here=False)
ways = [name for name in _TITLES if name == "predictions" or util.find_spec(f"dashboard.importing.{name}")]
way = state.choose("What you bring", ways, key="bring", title=lambda name: _TITLES[name])
st.subheader("1. The truth")
chosen = truth.choose()
if chosen is not None and way == "predictions":
    predictions.draw(chosen)
elif chosen is not None:
    import_module(f"dashboard.importing.{way}").draw(chosen)
follow.draw(here=True)
