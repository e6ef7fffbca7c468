"""Entry point of the dashboard: the pages, the run picker and nothing else."""

import sys
from pathlib import Path
from typing import Any, Literal

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
evidence: Literal["visible", "hidden"] = "visible" if names else "hidden"  # without a run there is none


def _page(title: str, icon: str, *, visibility: Literal["visible", "hidden"] = evidence) -> Any:
    file = _HERE / "app_pages" / f"{title.lower()}.py"
    return st.Page(file, title=title, icon=f":material/{icon}:", default=title == "Verdict", visibility=visibility)


pages = [
    _page("Verdict", "balance"),
    _page("Calibration", "show_chart"),
    _page("Confusion", "grid_on"),
    _page("Overlap", "join_inner"),
    _page("Losses", "compare_arrows"),
    _page("Images", "image"),
    _page("Data", "database"),
    _page("Train", "model_training", visibility="visible"),
]
page = st.navigation(pages)
if not names and page is not pages[-1]:
    st.switch_page(pages[-1])
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
