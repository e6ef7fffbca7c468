"""Where errors end: one line in place of what could not be drawn, and the traceback in the server's log.

Streamlit calls the app's code in many places: a page, a fragment, a dialog, a callback, a route, a thread. An error
that leaves one of them is answered by a box without a reason, or not at all, so each of them ends here.
"""

import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Final, ParamSpec

import streamlit as st

from dashboard.safe import plain
from pipelines.errors import PipelineError

P = ParamSpec("P")
_LOG: Final = logging.getLogger(__name__)
_INSIDE: Final[ContextVar[bool]] = ContextVar("inside", default=False)
_PENDING: Final = "pending_problems"  # lines of callbacks, which have no place on the page


def problem(message: str) -> None:
    """One clear line about something that went wrong."""
    st.error(plain(message), icon=":material/error:")


def line_of(error: Exception, *, failed: str) -> str:
    """What the reader is told of an error.

    A PipelineError says itself what is wrong. Anything else is a fault of the app: its traceback goes to the log, under
    a short id that the line carries. failed: what did not work, as the subject of a sentence.
    """
    if isinstance(error, PipelineError):
        return " ".join(str(error).split())
    id = secrets.token_hex(4)
    _LOG.error("%s failed, error %s", failed, id, exc_info=error)
    return (
        f"{failed} failed by a fault of the app ({type(error).__name__}). Reload the page and try again; if that does "
        f"not help, report it with the entry {id} of the server's log."
    )


def show_error(error: Exception) -> bool:
    """One line about an error, where the page is being drawn; True tells Streamlit that it is dealt with.

    What fails because a file of the chosen run has changed since the run was made is no fault of the app.
    """
    damage = None if isinstance(error, PipelineError) else _damage()
    if damage is not None:
        _LOG.warning("%s", damage, exc_info=error)
    problem(damage or line_of(error, failed="This part of the page"))
    return True


def _damage() -> str | None:
    """What is wrong with the files of the run that was picked; None when it is whole, or there is none."""
    from dashboard import queries  # its caches want a server that is there

    name = st.session_state.get(queries.runs.RUN)
    return None if name is None else queries.runs.damage_of(name)


@contextmanager
def boundary() -> Iterator[None]:
    """Shows what goes wrong inside as one line, and what went wrong in a callback before it.

    Streamlit's own signals, by which a script stops or runs again, are no `Exception` and pass.
    """
    for line in st.session_state.pop(_PENDING, ()):
        problem(line)
    try:
        yield
    except Exception as error:
        show_error(error)


def guarded(draw: Callable[P, None]) -> Callable[P, None]:
    """A section of a page that fails alone: the rest of the page is drawn all the same."""

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> None:
        with boundary():
            draw(*args, **kwargs)

    return drawn


def callback(step: Callable[P, object]) -> Callable[P, None]:
    """What a widget calls before the page is drawn: its error is shown by the boundary that is drawn next.

    An error that leaves a callback keeps Streamlit from drawing the page at all.
    """

    @wraps(step)
    def called(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            step(*args, **kwargs)
        except Exception as error:
            line = line_of(error, failed="This step")
            st.session_state[_PENDING] = [*st.session_state.get(_PENDING, ()), line]

    return called


def part(draw: Callable[P, None]) -> Callable[P, None]:
    """Draws its controls and what they change without the rest of the page; within another part, it belongs to that.

    It fails alone too (`guarded`).

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
