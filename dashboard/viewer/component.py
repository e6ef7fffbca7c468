"""The viewer and the gallery as Streamlit components: bytes in, what the reader did out.

What the viewer shows stands in the address of the page: layers, layout and decision as `view`, a kept `pixel`.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeGuard

import streamlit as st

from dashboard.boundary import callback

VIEWER: Final = "viewer"
GALLERY: Final = "gallery_pictures"
_LAST: Final = "viewer_last"  # the view last seen, for whoever comes back from another page
_VIEW: Final = re.compile(r"[a-z0-9.\-]{1,120}")  # as view.js writes it; what it cannot read it leaves out
_PIXEL: Final = re.compile(r"(\d{1,5}),(\d{1,5})")
_PARTS: Final = Path(__file__).parent / "parts"


def _text(names: str) -> str:
    return "\n".join((_PARTS / name).read_text(encoding="utf-8") for name in names.split())


# Files in this order make one module: the browser gets a component's script as one text.
_viewer = st.components.v2.component(
    "image_viewer",
    html=_text("viewer.html"),
    css=_text("viewer.css"),
    js=_text("unpack.js held.js sample.js paint.js stage.js view.js panel.js painter.js legend.js main.js"),
)
_gallery = st.components.v2.component(
    "image_gallery", html=_text("gallery.html"), css=_text("gallery.css"), js=_text("unpack.js gallery.js")
)
_cells = st.components.v2.component("image_cells", html="<i hidden></i>", js=_text("unpack.js held.js cells.js"))


def viewer(block: bytes, *, on_step: Callable[[int], None]) -> None:
    """Layers of one image; what it shows goes into the link.

    block: of `payload.pack`: as header what the page says of run and look, as its one part the image's own block.
    on_step: called with +1 or −1 when the next or previous image is asked for by keyboard.
    """

    @callback
    def stepped() -> None:
        by = st.session_state[VIEWER].get("step")
        if by in (1, -1):
            on_step(by)

    _viewer(data=block, key=VIEWER, on_view_change=keep_view, on_step_change=stepped)


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


# In the address -------------------------------------------------------------------------------------------------------


@dataclass
class Start:
    """What the viewer begins with; pixel: (x, y) on that image alone."""

    view: str
    image: str | None
    pixel: tuple[int, int] | None

    def settle(self, image: str) -> None:
        """A link that names no image means the one that is shown first."""
        self.image = self.image or image

    def of(self, image: str) -> dict[str, Any]:
        """As the viewer reads it."""
        return {"view": self.view, "pixel": self.pixel if self.image == image else None}


def start_view() -> Start:
    """The view that the link asks for, else the one last seen. To be read before the viewer is drawn."""
    view = st.query_params.get("view", st.session_state.get(_LAST, ""))
    numbers = _PIXEL.fullmatch(st.query_params.get("pixel", ""))
    pixel = (int(numbers[1]), int(numbers[2])) if numbers else None
    return Start(view if _VIEW.fullmatch(view) else "", st.query_params.get("image"), pixel)


@callback
def keep_view() -> None:
    """Put what the viewer said into the link."""
    view = _sent().get("view")
    if isinstance(view, str) and _VIEW.fullmatch(view):
        st.query_params["view"] = st.session_state[_LAST] = view


def kept_pixel(image: str, start: Start) -> tuple[int, int] | None:
    """The pixel (x, y) that is kept on this image; the link says it too."""
    sent = _sent()
    pixel = sent.get("pixel") if sent else start.pixel
    if (sent.get("image") if sent else start.image) != image or not _is_pixel(pixel):
        st.query_params.pop("pixel", None)
        return None
    x, y = pixel
    st.query_params["pixel"] = f"{x},{y}"
    return x, y


def _is_pixel(value: Any) -> TypeGuard[Sequence[int]]:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(number, int) for number in value)


def _sent() -> dict[str, Any]:
    view = st.session_state.get(VIEWER, {}).get("view")
    return dict(view) if isinstance(view, dict) else {}
