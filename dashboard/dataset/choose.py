"""Which data set: an upload of this reader, a folder on the server, or a sample; the link keeps it."""

from pathlib import Path
from typing import Final, NamedTuple

import streamlit as st

from dashboard import components, upload
from dashboard.dataset import sources
from pipelines.errors import PipelineError

UPLOAD, DATA = "upload", "data"  # in links
_SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_data"
_TITLES: Final = {"upload": "An upload", "server": "A folder on the server", "sample": "A sample"}
_WHERE, _UPLOADS, _PATH, _SAMPLE = "data_where", "data_uploads", "data_path", "data_sample"
_LINK: Final = "data_link"
READING: Final = "reading"  # in links: how this very data set is read, as the page Data keeps it


class Chosen(NamedTuple):
    """A data set. path: of its folder; query: what names it in a link."""

    path: Path
    query: dict[str, str]


def choose(page: str = "data") -> Chosen | None:
    """Ask for the data set; None until there is one. `?upload=<id>` and `?data=<path>` choose it.

    page: which one asks. A choice does not outlive the change to another page, so a link says it again there.
    """
    followed = _follow_link(page)
    where = st.segmented_control(
        "Images and masks", list(_TITLES), default="upload", required=True, key=_WHERE,
        format_func=_TITLES.__getitem__, label_visibility="collapsed",
    )  # fmt: skip
    chosen = {"upload": _upload, "server": _server, "sample": _sample}[where or "upload"]()
    if chosen is not None:
        if not followed and chosen.query != _said() and READING in st.query_params:
            del st.query_params[READING]
        for name in (UPLOAD, DATA):
            if name not in chosen.query and name in st.query_params:
                del st.query_params[name]
        st.query_params.update(chosen.query)
        st.session_state[_LINK] = (page, chosen.query)
    return chosen


def _said() -> dict[str, str]:
    """What the address names."""
    return {name: st.query_params[name] for name in (UPLOAD, DATA) if name in st.query_params}


def _follow_link(page: str) -> bool:
    """Choose what the address names, whenever the page is come to; returns whether it was done now."""
    said = _said()
    if not said or (st.session_state.get(_LINK) == (page, said) and _WHERE in st.session_state):
        return False
    st.session_state[_LINK] = (page, said)
    if UPLOAD in said:
        st.session_state[_WHERE], st.session_state[_UPLOADS] = "upload", said[UPLOAD]
        return True
    sample = next((one for one in _samples() if str(one) == said[DATA]), None)
    if sample is not None:
        st.session_state[_WHERE], st.session_state[_SAMPLE] = "sample", sample.name
    else:
        st.session_state[_WHERE], st.session_state[_PATH] = "server", said[DATA]
    return True


def _upload() -> Chosen | None:
    one = upload.uploader("data", "Your data set")
    fresh = sources.newly("data_seen", one)
    if fresh is not None:
        st.session_state[_UPLOADS] = fresh.id
    found = {one.id: one for one in sources.ready_uploads() if one.is_archive}
    wanted = st.session_state.get(_UPLOADS)
    if wanted is not None and wanted not in found:
        components.problem("UPLOAD-UNKNOWN: there is no such upload, or it has been deleted. Upload the file again.")
        del st.session_state[_UPLOADS]
    if not found:
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        id = st.selectbox(
            "Uploads", list(found), key=_UPLOADS, index=None, placeholder="Choose one",
            format_func=lambda id: sources.described(found[id]),
        )  # fmt: skip
        beside = one is not None and id == one.id  # the widget has a button for it
        if id is not None and not beside and st.button("Delete", icon=":material/delete:", key="data_delete"):
            _delete(id)
    try:
        return None if id is None else Chosen(upload.find(id).root, {UPLOAD: id})
    except PipelineError as error:
        components.problem(str(error))
        return None


def _delete(id: str) -> None:
    try:
        upload.remove(upload.find(id))
    except PipelineError as error:
        components.problem(str(error))
        return
    st.session_state.pop(_UPLOADS, None)
    st.query_params.clear()
    st.rerun()


def _server() -> Chosen | None:
    path = sources.server_path("Folder of the data set", key=_PATH)
    return None if path is None else Chosen(path, {DATA: str(path)})


def _sample() -> Chosen | None:
    names = [one.name for one in _samples()]
    if not names:
        components.empty("No sample is here", "sample_data/ holds none of the sets that come with the project.")
        return None
    name = st.segmented_control("Sample", names, default=names[0], required=True, key=_SAMPLE)
    path = _SAMPLES / (name or names[0])
    return Chosen(path, {DATA: str(path)})


def _samples() -> list[Path]:
    return sorted(path.parent for path in _SAMPLES.glob("*/dataset.toml"))
