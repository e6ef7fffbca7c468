"""What files hold, looked up in a process of its own and kept for the session as long as they stay as they are."""

from pathlib import Path
from typing import Final

import streamlit as st

from pipelines.imports.apart import look_apart
from pipelines.imports.trial import Asked, Looked, Preview

_KEPT: Final = "import_looks"
_MOST: Final = 12


def look(asked: Asked, *, fresh: bool = False) -> tuple[Looked, Preview | None]:
    """As `apart.look_apart`. fresh: read the files again even if nothing that was asked has changed."""
    kept = st.session_state.setdefault(_KEPT, {})
    key = f"{asked.model_dump_json()} {_stamps(asked)}"
    if fresh or key not in kept:
        with st.spinner("Reading the files …"):
            found = look_apart(asked)
        kept.pop(key, None)
        kept[key] = found
        while len(kept) > _MOST:
            kept.pop(next(iter(kept)))
    answer: tuple[Looked, Preview | None] = kept[key]
    return answer


def _stamps(asked: Asked) -> list[int]:
    """When the folders or files were last changed."""
    stamps = []
    for path in (asked.dataset, *(one.path for one in asked.heads.values())):
        try:
            stamps.append(Path(path).stat().st_mtime_ns)
        except OSError:
            stamps.append(0)
    return stamps
