"""Entry point of the dashboard: the pages, the run picker and nothing else.

`streamlit run dashboard/app.py` finds `app` here, imports this file once to serve it, and has it run once more as
`__main__` for each reader and each change.
"""

import sys
from pathlib import Path
from typing import Any

import streamlit as st
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Route

_ROOT = str(Path(__file__).resolve().parents[1])
if _ROOT not in sys.path:  # `streamlit run` puts dashboard/ on the path, not the folder that holds it
    sys.path.insert(0, _ROOT)

from dashboard import boundary, menu, starting, upload  # noqa: E402
from pipelines import links  # noqa: E402
from pipelines.uploads.limits import data_roots  # noqa: E402

_HERE = Path(__file__).parent


def _page(name: str, *, shown: bool) -> Any:
    page = menu.PAGES[name]
    return st.Page(
        _HERE / menu.script(name),
        title=page.title,
        icon=f":material/{page.icon}:",
        url_path=name,
        default=name == menu.FIRST,
        visibility="visible" if shown else "hidden",
    )


def _to_root(request: Request) -> RedirectResponse:
    """The first page under its own name, which Streamlit does not know: to it that page is the root."""
    return RedirectResponse(f"./?{request.url.query}")


@boundary.guarded
def draw() -> None:
    """The page that the address names, with the menu beside it."""
    starting.load_parts()
    links.keep_inside(data_roots())
    from dashboard import components, queries, state  # their caches want a server that is there

    st.set_page_config(page_title="Sigmoid or softmax?", page_icon=_HERE / "icon.png", layout="wide")
    st.logo(_HERE / "icon.png", size="large")
    components.style(state.theme())
    names: list[str] = []
    damaged: dict[str, str] = {}
    with boundary.boundary():
        names = queries.runs.run_names()
        damaged = {one.name: one.problem for one in queries.runs.damaged_runs()}
    # Evidence needs a run.
    pages = [_page(name, shown=bool(names) or not page.evidence) for name, page in menu.PAGES.items()]
    page = st.navigation(pages, expanded=True)
    if page.visibility == "hidden":  # a link to evidence that is not there
        st.switch_page(menu.script("train"))
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
    queries.runs.freeze_once()


if __name__ == "__main__":
    draw()
else:
    app = st.App(
        Path(__file__),
        routes=[*upload.routes(), Route(upload.address(menu.FIRST), _to_root)],
        middleware=upload.middleware(),
        lifespan=starting.lifespan,
        on_script_error=boundary.show_error,  # for what no boundary is around
    )
