"""What the viewer shows, to and from the address of the page: layers, layout and decision as `view`, a kept `pixel`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeGuard

import streamlit as st

from dashboard.boundary import callback

KEY: Final = "viewer"
_LAST: Final = "viewer_last"  # the view last seen, for whoever comes back from another page
_VIEW: Final = re.compile(r"[a-z0-9.\-]{1,120}")  # as view.js writes it; what it cannot read it leaves out
_PIXEL: Final = re.compile(r"(\d{1,5}),(\d{1,5})")


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


def start() -> Start:
    """The view that the link asks for, else the one last seen. To be read before the viewer is drawn."""
    view = st.query_params.get("view", st.session_state.get(_LAST, ""))
    found = _PIXEL.fullmatch(st.query_params.get("pixel", ""))
    pixel = (int(found[1]), int(found[2])) if found else None
    return Start(view if _VIEW.fullmatch(view) else "", st.query_params.get("image"), pixel)


@callback
def keep() -> None:
    """Put what the viewer said into the link."""
    view = _said().get("view")
    if isinstance(view, str) and _VIEW.fullmatch(view):
        st.query_params["view"] = st.session_state[_LAST] = view


def kept_pixel(image: str, begun: Start) -> tuple[int, int] | None:
    """The pixel (x, y) that is kept on this image; the link says it too."""
    said = _said()
    pixel = said.get("pixel") if said else begun.pixel
    if (said.get("image") if said else begun.image) != image or not _is_pixel(pixel):
        st.query_params.pop("pixel", None)
        return None
    x, y = pixel
    st.query_params["pixel"] = f"{x},{y}"
    return x, y


def _is_pixel(value: Any) -> TypeGuard[Sequence[int]]:
    return isinstance(value, list | tuple) and len(value) == 2 and all(isinstance(one, int) for one in value)


def _said() -> dict[str, Any]:
    state = st.session_state.get(KEY, {})
    said = state.get("view")
    return dict(said) if isinstance(said, dict) else {}
