"""Where the files of a form come from: an upload of this reader, a path on the server's disk, a sample.

What was found in them is kept for the session.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import streamlit as st

from dashboard import components, state, upload
from dashboard.theme import HEAD_TITLES
from pipelines.errors import PipelineError
from pipelines.imports.trial import Truth
from pipelines.schema import HEADS, Head
from pipelines.uploads import Upload, data_roots, size_text

T = TypeVar("T")
UPLOAD, DATA, READING = "upload", "data", "reading"  # in links; the last: how the data set is read, as Data keeps it
SERVER: Final = "server"  # the choice of a path on the server's disk
_SAMPLES: Final = Path(__file__).resolve().parents[2] / "sample_data"
_TITLES: Final = {"upload": "An upload", "server": "A folder on the server", "sample": "A sample"}
_WHERE, _UPLOADS, _PATH, _SAMPLE = "data_where", "data_uploads", "data_path", "data_sample"
_LINK: Final = "data_link"
_DEPTH: Final = 2  # folders within an upload that are offered
_OFFERED: Final = 60
_STARTS: Final[dict[Head, tuple[str, ...]]] = {
    "sigmoid": ("sigmoid", "head=sigmoid"),
    "softmax": ("softmax", "head=softmax"),
    "softmax-powerset": ("powerset", "softmax-powerset", "head=softmax-powerset"),
}

# A data set ----------------------------------------------------------------------------------------------------------


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
        "Images and masks",
        list(_TITLES),
        default="upload",
        required=True,
        key=_WHERE,
        format_func=_TITLES.__getitem__,
        label_visibility="collapsed",
    )
    chosen = {"upload": _upload, "server": _server, "sample": _sample}[where or "upload"]()
    if chosen is not None:
        if not followed and chosen.query != _linked() and READING in st.query_params:
            del st.query_params[READING]
        for name in (UPLOAD, DATA):
            if name not in chosen.query and name in st.query_params:
                del st.query_params[name]
        st.query_params.update(chosen.query)
        st.session_state[_LINK] = (page, chosen.query)
    return chosen


def _linked() -> dict[str, str]:
    """What the address names."""
    return {name: st.query_params[name] for name in (UPLOAD, DATA) if name in st.query_params}


def _follow_link(page: str) -> bool:
    """Choose what the address names, whenever the page is come to; returns whether it was done now."""
    linked = _linked()
    if not linked or (st.session_state.get(_LINK) == (page, linked) and _WHERE in st.session_state):
        return False
    st.session_state[_LINK] = (page, linked)
    if UPLOAD in linked:
        st.session_state[_WHERE], st.session_state[_UPLOADS] = "upload", linked[UPLOAD]
        return True
    sample = next((one for one in _samples() if str(one) == linked[DATA]), None)
    if sample is not None:
        st.session_state[_WHERE], st.session_state[_SAMPLE] = "sample", sample.name
    else:
        st.session_state[_WHERE], st.session_state[_PATH] = "server", linked[DATA]
    return True


def _upload() -> Chosen | None:
    brought = upload.uploader("data", "Your data set")
    fresh = newly("data_seen", brought)
    if fresh is not None:
        st.session_state[_UPLOADS] = fresh.id
    archives = {one.id: one for one in ready_uploads() if one.is_archive}
    wanted = st.session_state.get(_UPLOADS)
    if wanted is not None and wanted not in archives:
        components.problem("UPLOAD-UNKNOWN: there is no such upload, or it has been deleted. Upload the file again.")
        del st.session_state[_UPLOADS]
    if not archives:
        return None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        id = st.selectbox(
            "Uploads",
            list(archives),
            key=_UPLOADS,
            index=None,
            placeholder="Choose one",
            format_func=lambda id: described(archives[id]),
        )
        beside = brought is not None and id == brought.id  # the widget has a button for it
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
    path = server_path("Folder of the data set", key=_PATH)
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


# Uploads and paths ---------------------------------------------------------------------------------------------------


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


# Places of each head's outputs ---------------------------------------------------------------------------------------


class Place(NamedTuple):
    """Somewhere outputs may lie. key: stays the same from one look to the next; label: for people."""

    key: str
    label: str
    path: Path


def places(key: str, label: str, root: Path) -> list[Place]:
    """A folder, or a file, and the folders within it that may be those of one head."""
    offered = [Place(key, label, root)]
    folders = [root] if root.is_dir() else []
    for _ in range(_DEPTH):
        folders = [one for folder in folders for one in sorted(folder.iterdir()) if _is_offered(one)]
        for one in folders:
            inside = one.relative_to(root).as_posix()
            offered.append(Place(f"{key}/{inside}", f"{label} / {inside}", one))
    return offered[:_OFFERED]


def _is_offered(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink() and not path.name.startswith(".")


def place_of(head: Head, offered: Sequence[Place]) -> Place | None:
    """The first place that is called after a head; None when there is none: then only people can tell."""
    for name in _STARTS[head]:
        for place in offered:
            if place.path.stem.casefold() == name:
                return place
    return None


def ask_places(brought: Upload | None, truth: Truth, *, prefix: str, what: str) -> dict[Head, Path]:
    """A list of places for each head; those that were chosen. A new upload is chosen for the head it is named after.

    brought: what the upload widget has just taken. prefix: of the widgets' keys. what: the list asks for.
    """
    fresh = newly(f"{prefix}_seen", brought)
    offered = [place for one in ready_uploads() for place in places(one.id, described(one), _root(one))]
    labels = {place.key: place.label for place in offered} | {SERVER: "A path on the server …"}
    paths = {place.key: place.path for place in offered}
    chosen: dict[Head, Path] = {}
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
            f"{HEAD_TITLES[head]}: {what}",
            list(labels),
            index=None,
            key=key,
            placeholder="Not brought",
            format_func=labels.__getitem__,
        )
        path = (
            server_path(f"{HEAD_TITLES[head]}: path on the server", key=f"{prefix}_path_{head}")
            if place == SERVER
            else paths.get(place or "")
        )
        if path is not None:
            chosen[head] = path
    return chosen


def _root(one: Upload) -> Path:
    return one.root if one.is_archive else one.file


# What was found in files ---------------------------------------------------------------------------------------------


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
