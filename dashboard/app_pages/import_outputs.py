"""Import: outputs of networks that were trained elsewhere, or the networks themselves, to a run."""

from typing import Final

import streamlit as st

from dashboard import components, state
from dashboard.forms import import_models, import_predictions, imports
from dashboard.forms.jobs import show_import

_WAYS: Final = {"predictions": ("Predictions", import_predictions.draw), "model": ("A model", import_models.draw)}

st.title("Import")
components.paragraph(
    "You have trained one or both heads yourself: bring what they say of your images, or the networks, and read the "
    "verdict. One head alone is enough for its own numbers.",
    state.theme(),
)
show_import(here=False)
way = state.choose("What you bring", list(_WAYS), key="bring", title=lambda name: _WAYS[name][0])
st.header("1. The truth")
chosen = imports.choose()
if chosen is not None:
    _WAYS[way][1](chosen)
show_import(here=True)
