"""Entry point of the dashboard: the pages, the run picker and nothing else.

`streamlit run dashboard/app.py` finds `app` here, imports this file once to serve it, and has it run once more as
`__main__` for each reader and each change.
"""

import sys
from pathlib import Path
from typing import Any

import streamlit as st

_ROOT = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:  # `streamlit run` puts dashboard/ on the path, not the folder that holds it
    sys.path.insert(0, _ROOT)

from dashboard import boundary, starting, upload  # noqa: E402
from pipelines import links  # noqa: E402
from pipelines.uploads.limits import data_roots  # noqa: E402

_HERE = Path(__file__).parent


def _page(file: str, title: str, icon: str, *, shown: bool = True) -> Any:
    return st.Page(
        _HERE / "app_pages" / f"{file}.py", title=title, icon=f":material/{icon}:", url_path=file,
        default=file == "verdict", visibility="visible" if shown else "hidden",
    )  # fmt: skip


@boundary.guarded
def draw() -> None:
    """The page that the address names, with the menu beside it."""
    starting.load_parts()
    links.keep_inside(data_roots())
    from dashboard import components, loaders, state  # their caches want a server that is there

    st.set_page_config(page_title="Sigmoid or softmax?", page_icon=_HERE / "icon.png", layout="wide")
    st.logo(_HERE / "icon.png", size="large")
    components.style(state.theme())
    names: list[str] = []
    damaged: dict[str, str] = {}
    with boundary.boundary():
        names = loaders.run_names()
        damaged = {one.name: one.problem for one in loaders.damaged_runs()}
    evidence = bool(names)  # without a run there is none
    # In reading order: the answer, the evidence, the pixels, what to do.
    pages = [
        _page("verdict", "Verdict", "balance", shown=evidence),
        _page("labels", "Labels", "label", shown=evidence),
        _page("accuracy", "Accuracy", "target", shown=evidence),
        _page("calibration", "Calibration", "show_chart", shown=evidence),
        _page("confusion", "Confusion", "grid_on", shown=evidence),
        _page("overlap", "Overlap", "join_inner", shown=evidence),
        _page("thresholds", "Thresholds and costs", "tune", shown=evidence),
        _page("losses", "Losses", "compare_arrows", shown=evidence),
        _page("images", "Images", "image", shown=evidence),
        _page("runs", "Runs", "inventory_2"),  # its trash may hold the only run
        _page("data", "Data", "folder_open"),
        _page("train", "Train", "model_training"),
        _page("import_outputs", "Import", "upload_file"),
        _page("guide", "How to read this", "menu_book"),
    ]
    page = st.navigation(pages, expanded=True)
    if page.visibility == "hidden":  # a link to evidence that is not there
        st.switch_page("app_pages/train.py")
    if names:
        with st.sidebar:
            state.pick_run(names)
            if damaged:
                also = f"Damaged and not in this list: {', '.join(damaged)}. The page Runs says what to do."
                st.caption(components.plain(also))
        missing = state.missing_run()
        if missing is not None:
            components.problem(f"{missing} This is {st.session_state[state.RUN]} instead.")
    with boundary.boundary():
        page.run()
    loaders.freeze_once()


if __name__ == "__main__":
    draw()
else:
    app = st.App(
        Path(__file__),
        routes=upload.routes(),
        middleware=upload.middleware(),
        lifespan=starting.lifespan,
        on_script_error=boundary.show_error,  # for what no boundary is around
    )
