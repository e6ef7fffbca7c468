"""The viewer and the gallery as Streamlit components: bytes in, what the reader did out."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import streamlit as st

from dashboard.boundary import callback
from dashboard.viewer import link

GALLERY: Final = "gallery_pictures"
_PARTS: Final = Path(__file__).parent / "parts"
_VIEWER: Final = (
    "unpack.js", "held.js", "sample.js", "paint.js", "stage.js", "view.js", "panel.js", "painter.js", "legend.js",
    "main.js",
)  # fmt: skip
_GALLERY: Final = ("unpack.js", "gallery.js")
_CELLS: Final = ("unpack.js", "held.js", "cells.js")


def _text(*names: str) -> str:
    return "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in names)


# Files in this order make one module: the browser gets a component's script as one text.
_viewer = st.components.v2.component(
    "image_viewer", html=_text("viewer.html"), css=_text("viewer.css"), js=_text(*_VIEWER)
)
_gallery = st.components.v2.component(
    "image_gallery", html=_text("gallery.html"), css=_text("gallery.css"), js=_text(*_GALLERY)
)
_cells = st.components.v2.component("image_cells", html="<i hidden></i>", js=_text(*_CELLS))


def viewer(block: bytes, *, on_step: Callable[[int], None]) -> None:
    """Layers of one image; what it shows goes into the link.

    block: of `payload.pack`: as header what the page says of run and look, as its one part the image's own block.
    on_step: called with +1 or −1 when the next or previous image is asked for by keyboard.
    """

    @callback
    def stepped() -> None:
        by = st.session_state[link.KEY].get("step")
        if by in (1, -1):
            on_step(by)

    _viewer(data=block, key=link.KEY, on_view_change=link.keep, on_step_change=stepped)


def cells(block: bytes) -> None:
    """Probabilities of an image for the viewer, which shows it before they have come.

    block: of `payload.pack`: as header the "id" that the viewer was given, as its one part the cells of that image.
    """
    _cells(data=block, key="viewer_cells")


def gallery(block: bytes, *, on_open: Callable[[str], None]) -> None:
    """Thumbnails with numbers, drawn again for as long as some are missing.

    block: of `payload.pack`, one part a thumbnail, empty while it is still to come. on_open: called with the name of
    the image that was chosen.
    """

    @callback
    def opened() -> None:
        name = st.session_state[GALLERY].get("open")
        if isinstance(name, str):
            on_open(name)

    _gallery(data=block, key=GALLERY, on_open_change=opened, on_more_change=lambda: None)
