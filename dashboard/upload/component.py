"""The upload widget as a Streamlit component: it sends the file itself, and says which upload came of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import streamlit as st

from dashboard.upload.owners import owner
from dashboard.upload.server import address, uploads
from dashboard.upload.tokens import issue
from pipelines.errors import UploadError
from pipelines.uploads import ARCHIVES, Upload, size_text

_PARTS: Final = Path(__file__).parent / "parts"
_SCRIPTS: Final = ("words.js", "transfer.js", "widget.js")


def _text(*names: str) -> str:
    return "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in names)


# Files in this order make one module: the browser gets a component's script as one text.
_uploader = st.components.v2.component(
    "uploader", html=_text("widget.html"), css=_text("widget.css"), js=_text(*_SCRIPTS)
)


def uploader(key: str, label: str, *, kinds: Sequence[str] = ARCHIVES, help: str = "") -> Upload | None:
    """A place to drop a file or choose one; returns the upload once it is ready or refused, None before.

    key: the widget's, of letters, digits and '_'. kinds: endings that are welcome, lower case with their dot; the
    server holds browsers to them. help: one line below, instead of the kinds and the limit. Reading goes on while the
    reader looks at other pages; what was refused is told in the widget too.
    """
    workspace, who = uploads(), owner()
    shown = _current(key, who)
    data = {
        "key": key,
        "label": label,
        "help": help,
        "kinds": list(kinds),
        "kinds_text": "a zip or tar file" if tuple(kinds) == ARCHIVES else ", ".join(kinds),
        "limit": workspace.quota.upload_bytes,
        "limit_text": size_text(workspace.quota.upload_bytes),
        "address": address(),
        "token": issue(workspace.key(), who, kinds),
        "upload": None if shown is None else _facts(shown),
    }
    _uploader(data=data, key=key, on_upload_change=lambda: None)
    return shown


def _current(key: str, who: str) -> Upload | None:
    """The upload that the widget speaks of; what it says is only a name to look up."""
    said = _said(key)
    if not isinstance(said, str):
        return None
    try:
        return uploads().find(said, who)
    except UploadError:  # deleted meanwhile
        return None


def _said(key: str) -> Any:
    return st.session_state.get(key, {}).get("upload")


def _facts(upload: Upload) -> dict[str, Any]:
    return {
        "id": upload.id,
        "state": upload.state,
        "name": upload.name,
        "size": upload.bytes,
        "files": upload.files,
        "message": upload.message,
        "passed_over": upload.passed_over_count,
        "is_archive": upload.is_archive,
    }


def mine() -> list[Upload]:
    """Uploads of whoever is looking, newest first, in any state."""
    return uploads().listed(owner())


def find(id: str) -> Upload:
    """One of them. Raises UploadError when it is not there or somebody else's."""
    return uploads().find(id, owner())


def remove(upload: Upload) -> None:
    """Delete it now. Raises UploadError while a job works with it."""
    uploads().remove(find(upload.id))
