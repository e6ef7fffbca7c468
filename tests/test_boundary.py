"""Where errors end: one line in the place of what failed, the rest of the page drawn, the traceback in the log."""

import ast
import asyncio
import json
import logging
import re
from concurrent.futures import ThreadPoolExecutor

from places import REPO
from streamlit.testing.v1 import AppTest

from dashboard.boundary import line_of
from dashboard.upload import server
from pipelines.errors import RunError

CALLBACKS = {"on_click", "on_change", "on_select", "on_submit"}


def failing_sections():
    import streamlit as st

    from dashboard.boundary import guarded, part
    from pipelines.errors import RunError

    @guarded
    def section(error):
        st.text("begun")
        raise error

    @part
    def fragment():
        raise KeyError("kind")

    @st.dialog("A question")
    @guarded
    def dialog():
        raise OSError("no such disk")

    section(RunError("metrics.parquet of *cells*\nis damaged; make the run again"))
    fragment()
    dialog()
    st.text("the rest")


def test_what_fails_is_one_line_and_the_rest_is_drawn(caplog):
    with caplog.at_level(logging.ERROR):
        at = AppTest.from_function(failing_sections).run()
    assert not at.exception
    assert [one.value for one in at.text] == ["begun", "the rest"]
    first, second, third = (one.value.replace("\\", "") for one in at.error)
    assert first == "metrics.parquet of *cells* is damaged; make the run again"
    for line, error in ((second, "KeyError"), (third, "OSError")):
        assert f"({error})" in line
        id = re.search(r"entry ([0-9a-f]{8}) of the server's log", line)[1]
        (record,) = (one for one in caplog.records if id in one.getMessage())
        assert record.exc_info[0].__name__ == error
    assert len(caplog.records) == 2, "what a user can mend is no fault to log"


def callbacks():
    import streamlit as st

    from dashboard.boundary import boundary, callback

    @callback
    def press():
        raise ValueError("pressed")

    with boundary():
        st.button("Press", on_click=press)
        st.text("drawn")


def test_a_failing_callback_leaves_the_page_and_is_told_once():
    at = AppTest.from_function(callbacks).run()
    at.button[0].click().run()
    assert not at.exception
    assert [one.value for one in at.text] == ["drawn"]
    assert "This step failed" in at.error[0].value
    assert not at.run().error


def control_flow():
    import streamlit as st

    from dashboard.boundary import guarded

    @guarded
    def again():
        if "second" not in st.session_state:
            st.session_state["second"] = True
            st.rerun()
        st.text("second")
        st.stop()

    again()
    st.text("never")


def test_stop_and_rerun_pass_through():
    at = AppTest.from_function(control_flow).run()
    assert [one.value for one in at.text] == ["second"]
    assert not at.error


def test_a_route_answers_a_fault_with_the_line_of_the_log(caplog):
    async def ask(scope):
        return await server._answering(None)(scope)  # no request at all: the permit cannot be read from it

    # Where a browser test came before, this thread has a loop of its own.
    with caplog.at_level(logging.ERROR), ThreadPoolExecutor() as thread:
        answer = thread.submit(asyncio.run, ask(None)).result()
    assert answer.status_code == 500
    message = json.loads(answer.body)["message"]
    assert message.startswith("The upload failed by a fault of the app (AttributeError)")
    assert re.search(r"entry ([0-9a-f]{8})", message)[1] in caplog.text


def test_a_users_error_is_said_in_its_own_words_and_in_one_line(caplog):
    assert line_of(RunError("cells is\n  damaged"), failed="The page") == "cells is damaged"
    assert not caplog.records


def _decorators(tree):
    """Names of functions to the names of their decorators, the outermost first."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            calls = [one.func if isinstance(one, ast.Call) else one for one in node.decorator_list]
            found.setdefault(node.name, []).extend(ast.unparse(one) for one in calls)
    return found


def test_streamlit_calls_nothing_without_a_boundary():
    every = {path: ast.parse(path.read_text()) for path in (REPO / "dashboard").rglob("*.py")}
    named = {(path.stem, name): marks for path, tree in every.items() for name, marks in _decorators(tree).items()}
    seen = 0
    for path, tree in every.items():
        for name, marks in _decorators(tree).items():
            if {"st.dialog", "st.fragment"} & set(marks):
                assert marks[-1] == "guarded", (path.name, name)
                seen += 1
        for node in ast.walk(tree):
            for word in node.keywords if isinstance(node, ast.Call) else ():
                if word.arg in CALLBACKS or (word.arg or "").endswith("_change"):
                    value = ast.unparse(word.value)
                    harmless = isinstance(word.value, ast.Constant) or value == "lambda: None"
                    module, _, name = value.rpartition(".")
                    assert harmless or "callback" in named[module or path.stem, name], (path.name, word.arg, value)
                    seen += 1
    assert seen > 30


# Parts that are drawn alone ------------------------------------------------------------------------------------------


def nested_parts():
    import streamlit as st

    from dashboard.boundary import part

    @part
    def inner(name):
        st.text(name)

    @part
    def outer(*, fails):
        inner("within")
        if fails:
            raise ValueError("as asked")
        st.text("not after a failure")

    outer(fails=False)
    inner("beside")
    outer(fails=True)
    inner("after a failure")


def test_a_part_within_another_is_no_fragment_of_its_own(fragments):
    at = AppTest.from_function(nested_parts).run()
    texts = [one.value for one in at.text]
    assert texts == ["within", "not after a failure", "beside", "within", "after a failure"]
    assert not at.exception
    assert len(at.error) == 1
    assert fragments == [None] * 4  # both calls of each, none within another
