"""Entry point of the dashboard: the pages, the run picker and nothing else."""

import sys
from pathlib import Path

import streamlit as st

_ROOT = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:  # `streamlit run` puts dashboard/ on the path, not the folder that holds it
    sys.path.insert(0, _ROOT)

from dashboard import components, loaders, state  # noqa: E402
from pipelines.errors import PipelineError  # noqa: E402

_HERE = Path(__file__).parent

st.set_page_config(page_title="Sigmoid or softmax?", page_icon=_HERE / "icon.png", layout="wide")
st.logo(_HERE / "icon.png", size="large")
components.style()
names = loaders.run_names()
start = st.Page(_HERE / "app_pages" / "start.py", title="Train", icon=":material/model_training:", default=not names)
pages = [start]
if names:
    pages = [
        st.Page(_HERE / "app_pages" / "verdict.py", title="Verdict", icon=":material/balance:", default=True),
        st.Page(_HERE / "app_pages" / "calibration.py", title="Calibration", icon=":material/show_chart:"),
        st.Page(_HERE / "app_pages" / "confusion.py", title="Confusion", icon=":material/grid_on:"),
        st.Page(_HERE / "app_pages" / "overlap.py", title="Overlap", icon=":material/join_inner:"),
        st.Page(_HERE / "app_pages" / "images.py", title="Images", icon=":material/image:"),
        st.Page(_HERE / "app_pages" / "data.py", title="Data", icon=":material/database:"),
        start,
    ]
page = st.navigation(pages)
try:
    if names:
        with st.sidebar:
            state.pick_run(names)
        missing = state.missing_run()
        if missing is not None:
            components.problem(f"There is no run {missing} here; this is {st.session_state[state.RUN]} instead.")
    page.run()
except PipelineError as error:
    components.problem(str(error))
loaders.freeze_once()
