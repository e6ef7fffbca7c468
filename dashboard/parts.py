"""Parts of a page that are drawn alone, without the rest of it."""

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec

import streamlit as st

from dashboard.boundary import guarded

P = ParamSpec("P")
_INSIDE: Final[ContextVar[bool]] = ContextVar("inside", default=False)


def part(draw: Callable[P, None]) -> Callable[P, None]:
    """Draws its controls and what they change without the rest of the page; within another part, it belongs to that.

    It fails alone too (`boundary.guarded`).

    Streamlit's fragments can be nested, but must not be: when the outer one runs again before everything that it drew
    has been sent, Streamlit drops its unsent elements and keeps those of the inner one, which then have no place on the
    page. The browser gives up with "Bad delta path index" and an empty window. Dialogs and fragments that run by the
    clock are Streamlit's own and not known here: no part may be drawn in one.
    """

    @guarded
    @wraps(draw)
    def body(*args: P.args, **kwargs: P.kwargs) -> None:
        before = _INSIDE.set(True)
        try:
            draw(*args, **kwargs)
        finally:
            _INSIDE.reset(before)

    alone = st.fragment(body)

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        (body if _INSIDE.get() else alone)(*args, **kwargs)

    return drawn
