"""What files hold, looked up in a process of its own and kept for the session as long as they stay as they are."""

from pathlib import Path
from typing import Final

import streamlit as st

from pipelines.datasets.look import Asked, Looked, LookedSource, look_apart
from pipelines.errors import PipelineError
from pipelines.uploads import in_use

_KEPT: Final = "data_looks"
_MOST: Final = 6


def look(asked: Asked, *, fresh: bool = False) -> tuple[Looked, LookedSource | None]:
    """As `look_apart`. fresh: read the files again even if nothing that was asked has changed."""
    kept = st.session_state.setdefault(_KEPT, {})
    key = f"{asked.model_dump_json()} {_stamp(asked.path)}"
    if fresh or key not in kept:
        with st.spinner("Reading the files …"):
            try:
                with in_use(Path(asked.path)):
                    found = look_apart(asked)
            except PipelineError as error:
                found = Looked(problem=str(error)), None
        kept.pop(key, None)
        kept[key] = found
        while len(kept) > _MOST:
            kept.pop(next(iter(kept)))
    answer: tuple[Looked, LookedSource | None] = kept[key]
    return answer


def _stamp(path: str) -> int:
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0
