"""A page with nothing but the upload widget, served as the dashboard is."""

import json
import sys
from pathlib import Path

import streamlit as st

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dashboard import upload


def draw():
    """The widget, and what the page gets from it."""
    one = upload.uploader("data", "Your data set")
    st.code("nothing" if one is None else one.state, language=None)
    if one is not None and one.state == "ready":
        st.code("\n".join(sorted(path.relative_to(one.root).as_posix() for path in one.root.rglob("*"))), language=None)
    model = upload.uploader("model", "A model", kinds=(".onnx",), help="One ONNX file.")
    st.code("no model" if model is None else f"{model.file.name} {model.file.stat().st_size}", language=None)
    st.code(json.dumps([found.name for found in upload.mine()], ensure_ascii=False), language=None)


if __name__ == "__main__":
    draw()
else:
    app = st.App(Path(__file__), routes=upload.routes(), middleware=upload.middleware(), lifespan=upload.lifespan)
