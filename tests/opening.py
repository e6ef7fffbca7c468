"""Opens a page of the app as a link would, without a browser."""

from places import REPO, UNCHANGED
from streamlit.runtime.scriptrunner import script_cache
from streamlit.testing.v1 import AppTest, local_script_runner

from dashboard import queries

APP = REPO / "dashboard" / "app.py"

# Streamlit's own way asks a thousand times a second whether a page is drawn, which takes the interpreter from it, and
# compiles the app's scripts anew for each of them: a third of the time of a page.
_scripts = script_cache.ScriptCache()
local_script_runner.ScriptCache = lambda: _scripts


def _wait(runner, timeout=3.0):
    runner._script_thread.join(timeout)
    if runner._script_thread.is_alive():
        runner.request_stop()
        runner.join()
        raise RuntimeError(f"the page took more than {timeout} s")


local_script_runner.require_widgets_deltas = _wait


def open_page(monkeypatch, runs, page, /, **query):
    """The page (the name of its file) of the app on a folder of runs, drawn once; query: of the link."""
    monkeypatch.setenv(queries.runs.RUNS_VARIABLE, str(runs))
    queries.runs.forget_names() if str(runs) in UNCHANGED else queries.runs.forget_runs()
    at = AppTest.from_file(str(APP), default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    if page != "verdict":
        at.switch_page(f"app_pages/{page}.py")
    return at.run()
