"""A part of a page is a fragment; within another part it belongs to that one."""

from streamlit.testing.v1 import AppTest


def script():
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
    at = AppTest.from_function(script).run()
    texts = [one.value for one in at.text]
    assert texts == ["within", "not after a failure", "beside", "within", "after a failure"]
    assert not at.exception
    assert len(at.error) == 1
    assert fragments == [None] * 4  # both calls of each, none within another
