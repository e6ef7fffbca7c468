"""A figure's plain "data" and "layout" to a Plotly figure that is taken apart only when somebody looks into it."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go

# What Plotly's script reads as numbers in base64, by numpy's name; int64 it cannot.
_TYPED: Final[Mapping[str, str]] = {
    "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4", "float32": "f4",
    "float64": "f8",
}  # fmt: skip
_AS_THEY_ARE: Final = frozenset(("geojson", "layer", "layers", "range"))
_CONTENT: Final = "_content"


class Drawn(go.Figure):  # type: ignore[misc]
    """A figure that is sent to the browser as it was given, and that can be looked into and changed like any other.

    Plotly checks every property of a figure in Python and copies each twice on its way to JSON, which takes more than
    half of the time of a page. What nobody has looked into needs neither: its properties are made from "data" and
    "layout" when one of them is first asked for.
    """

    def __init__(self, content: dict[str, Any], **options: Any) -> None:
        self.__dict__[_CONTENT] = content
        if options.get("_validate", True):
            self._take_apart(**options)

    def _take_apart(self, **options: Any) -> None:
        content = self.__dict__.pop(_CONTENT)
        super().__init__(content, **options)

    def __getattr__(self, name: str) -> Any:
        if _CONTENT not in self.__dict__ or name.startswith("__"):
            raise AttributeError(name)
        self._take_apart(_validate=False)
        return getattr(self, name)

    def with_layout(self, **options: Any) -> "Drawn":
        """The same figure with more of a layout; mappings are added to those that are there."""
        content = self.__dict__.get(_CONTENT)
        if content is None:
            self.update_layout(**options)
            return self
        return Drawn(content | {"layout": _merged(content["layout"], options)}, _validate=False)

    def to_dict(self) -> dict[str, Any]:
        """The figure as plain values, arrays in base64."""
        if _CONTENT in self.__dict__:
            content: dict[str, Any] = encoded(self.__dict__[_CONTENT])
            return content
        return dict(super().to_dict())


def encoded(value: Any) -> Any:
    """A figure's content with its arrays as Plotly's script reads them; nothing of what was given is changed."""
    if isinstance(value, dict):
        return {key: one if key in _AS_THEY_ARE else encoded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [encoded(one) for one in value] if value and isinstance(value[0], dict) else value
    return value if isinstance(value, str) or not hasattr(value, "__array__") else _typed(np.asarray(value))


def _typed(array: np.ndarray) -> Any:
    """An array of numbers in base64, any other as a list. Whole numbers take as few bytes as hold the largest."""
    if array.dtype.kind in "iu" and array.itemsize == 8 and array.size:
        fitting = np.promote_types(np.min_scalar_type(array.min()), np.min_scalar_type(array.max()))
        array = array.astype(fitting) if fitting.itemsize < 8 else array
    kind = _TYPED.get(array.dtype.name)
    if kind is None or not array.size or not array.ndim:
        return array.tolist()
    content = {"dtype": kind, "bdata": base64.b64encode(array.tobytes()).decode("ascii")}
    return content | ({"shape": ", ".join(map(str, array.shape))} if array.ndim > 1 else {})


def _merged(one: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    both = {
        key: _merged(one[key], value) if isinstance(value, dict) and isinstance(one.get(key), dict) else value
        for key, value in more.items()
    }
    return {**one, **both}
