"""Import: outputs of networks that were trained elsewhere, or the networks themselves, to a run."""

from typing import Final

import streamlit as st

from dashboard import components, state
from dashboard.importing import follow, model, predictions, truth

_WAYS: Final = {"predictions": ("Predictions", predictions.draw), "model": ("A model", model.draw)}

st.title("Import")
components.paragraph(
    "You have trained one or both heads yourself: bring what they say of your images, or the networks, and read the "
    "verdict. One head alone is enough for its own numbers.",
    state.theme(),
)
follow.draw(here=False)
way = state.choose("What you bring", list(_WAYS), key="bring", title=lambda name: _WAYS[name][0])
st.header("1. The truth")
chosen = truth.choose()
if chosen is not None:
    _WAYS[way][1](chosen)
follow.draw(here=True)
