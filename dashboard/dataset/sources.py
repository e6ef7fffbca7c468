"""Where files come from: uploads of this reader, a new upload, or a path on the server's disk."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard import components, upload
from dashboard.panels.importing import Place, places
from pipelines.errors import PipelineError
from pipelines.uploads import ARCHIVES, Upload
from pipelines.uploads.limits import data_roots, size_text

SERVER: Final = "server"  # the choice of a path on the server's disk


def described(one: Upload) -> str:
    """An upload for a list."""
    return f"{one.name} ({size_text(one.bytes)})"


def ready_uploads() -> list[Upload]:
    """Uploads of whoever is looking that are whole, newest first."""
    return [one for one in upload.mine() if one.state == "ready"]


def newly(key: str, one: Upload | None) -> Upload | None:
    """The upload that a widget has just finished, once: to take it as the choice."""
    if one is None or one.state != "ready" or st.session_state.get(key) == one.id:
        return None
    st.session_state[key] = one.id
    return one


def server_path(label: str, *, key: str) -> Path | None:
    """A path on the server's disk that the reader typed; None while there is none or it is refused."""
    roots = ", ".join(map(str, data_roots())) or "none"
    text = st.text_input(label, key=key, placeholder="a file or folder", help=components.plain(f"Inside {roots}."))
    if not text.strip():
        return None
    try:
        return upload.server_path(text)
    except PipelineError as error:
        components.problem(str(error))
        return None


def offered(ready: Sequence[Upload]) -> list[Place]:
    """Uploads and the folders in them that outputs may lie in."""
    found = []
    for one in ready:
        root = one.root if one.is_archive else one.file
        found += places(one.id, described(one), root)
    return found


__all__ = ["ARCHIVES", "SERVER", "described", "newly", "offered", "ready_uploads", "server_path"]
