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
components.style(state.theme())
names = loaders.run_names()
evidence: Literal["visible", "hidden"] = "visible" if names else "hidden"  # without a run there is none


def _page(file: str, title: str, icon: str, *, always: bool = False) -> Any:
    return st.Page(
        _HERE / "app_pages" / f"{file}.py", title=title, icon=f":material/{icon}:", url_path=file,
        default=file == "verdict", visibility="visible" if always else evidence,
    )  # fmt: skip


# In reading order: the answer, the evidence, the pixels, what to do. The last three need no run.
pages = [
    _page("verdict", "Verdict", "balance"),
    _page("labels", "Labels", "label"),
    _page("accuracy", "Accuracy", "target"),
    _page("calibration", "Calibration", "show_chart"),
    _page("confusion", "Confusion", "grid_on"),
    _page("overlap", "Overlap", "join_inner"),
    _page("thresholds", "Thresholds and costs", "tune"),
    _page("losses", "Losses", "compare_arrows"),
    _page("images", "Images", "image"),
    _page("runs", "Runs", "inventory_2", always=True),  # its trash may hold the only run
    _page("train", "Train", "model_training", always=True),
    _page("guide", "How to read this", "menu_book", always=True),
]
page = st.navigation(pages, expanded=True)
if not names and page not in pages[-3:]:
    st.switch_page("app_pages/train.py")
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
