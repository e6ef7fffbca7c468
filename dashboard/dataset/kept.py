"""What was found in files, kept for the session as long as they stay as they are."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import streamlit as st

T = TypeVar("T")


def kept(
    store: str,
    key: str,
    paths: Iterable[str],
    find: Callable[[], T],
    *,
    most: int,
    fresh: bool = False,
    words: str = "Reading the files …",
) -> T:
    """What `find` gave for a key and files of these times; found anew where there is none, or when fresh.

    store: name in the session; the newest `most` are kept there. words: shown meanwhile.
    """
    known: dict[str, T] = st.session_state.setdefault(store, {})
    key = f"{key} {[_stamp(path) for path in paths]}"
    if fresh or key not in known:
        with st.spinner(words):
            found = find()
        known.pop(key, None)
        known[key] = found
        while len(known) > most:
            known.pop(next(iter(known)))
    return known[key]


def _stamp(path: str) -> int:
    """When a folder or file was last changed."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
