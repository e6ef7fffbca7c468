"""Opens a page of the app as a link would, without a browser."""

from places import REPO
from streamlit.testing.v1 import AppTest

from dashboard import queries

APP = REPO / "dashboard" / "app.py"


def open_page(monkeypatch, runs, page, /, **query):
    """The page (the name of its file) of the app on a folder of runs, drawn once; query: of the link."""
    monkeypatch.setenv(queries.RUNS_VARIABLE, str(runs))
    queries.forget_runs()
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    return at if page == "verdict" else at.switch_page(f"app_pages/{page}.py").run()
