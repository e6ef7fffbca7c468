"""Where what was brought for each head lies: in an upload, or at a path on the server's disk."""

from pathlib import Path

import streamlit as st

from dashboard import state
from dashboard.dataset import sources
from dashboard.panels.importing import place_of
from dashboard.theme import HEAD_TITLES
from pipelines.imports.trial import Truth
from pipelines.schema import HEADS, Head
from pipelines.uploads import Upload


def ask(one: Upload | None, truth: Truth, *, prefix: str, what: str) -> dict[Head, Path]:
    """A list of places for each head; those that were chosen. A new upload is chosen for the head it is named after.

    one: what the upload widget has just taken. prefix: of the widgets' keys. what: the list asks for.
    """
    fresh = sources.newly(f"{prefix}_seen", one)
    offered = sources.offered(sources.ready_uploads())
    labels = {place.key: place.label for place in offered} | {sources.SERVER: "A path on the server …"}
    paths = {place.key: place.path for place in offered}
    found: dict[Head, Path] = {}
    for head in HEADS:
        if head == "softmax-powerset" and truth.kind != "overlapping":
            continue
        key = f"{prefix}_place_{head}"
        state.keep_valid(key, list(labels))
        if fresh is not None and key not in st.session_state:
            guessed = place_of(head, [place for place in offered if place.key.startswith(fresh.id)])
            if guessed is not None:
                st.session_state[key] = guessed.key
        place = st.selectbox(
            f"{HEAD_TITLES[head]}: {what}", list(labels), index=None, key=key, placeholder="Not brought",
            format_func=labels.__getitem__,
        )  # fmt: skip
        path = (
            sources.server_path(f"{HEAD_TITLES[head]}: path on the server", key=f"{prefix}_path_{head}")
            if place == sources.SERVER
            else paths.get(place or "")
        )
        if path is not None:
            found[head] = path
    return found
