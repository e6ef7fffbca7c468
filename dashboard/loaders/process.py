"""The server's own process."""

import gc

import streamlit as st


@st.cache_resource(show_spinner=False)
def freeze_once() -> bool:
    """Keep what is loaded by now out of the full garbage collection that Streamlit makes after every rerun."""
    gc.collect()
    gc.freeze()
    return True
