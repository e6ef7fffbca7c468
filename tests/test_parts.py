"""A part of a page is a fragment; within another part it belongs to that one."""

from streamlit.testing.v1 import AppTest


def script():
    import streamlit as st

    from dashboard.parts import part

    @part
    def inner(name):
        st.text(name)
        return f"{name} is done"

    @part
    def outer(*, fails):
        st.text(inner("within"))
        if fails:
            raise ValueError("as asked")

    outer(fails=False)
    inner("beside")
    try:
        outer(fails=True)
    except Exception:  # Streamlit has shown it
        inner("after a failure")


def test_a_part_within_another_is_no_fragment_of_its_own(fragments):
    at = AppTest.from_function(script).run()
    texts = [one.value for one in at.text]
    assert texts == ["within", "within is done", "beside", "within", "within is done", "after a failure"]
    assert fragments == [None] * 4  # both calls of each, none within another
