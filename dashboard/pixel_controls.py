"""Controls of one pixel to a setting: the guide's logits, temperature, threshold and truth, all kept in the URL."""

from typing import Any, Final

import streamlit as st

from dashboard import state
from dashboard.boundary import callback
from dashboard.figures.guide import REACH
from dashboard.panels import guide as panels
from dashboard.panels.guide import CLASSES, START, Setting
from pipelines.one_pixel import Coding

_LOGITS: Final = ("z1", "z2", "z3")
_CODINGS: Final[dict[Coding, str]] = {"priority": "one wins", "split": "shared out"}


@callback
def apply(setting: Setting) -> None:
    """Put every control where a setting has it."""
    values: dict[str, Any] = dict(zip(_LOGITS, setting.logits, strict=False))
    values |= {"channels": len(setting.logits), "temperature": setting.temperature, "cut": setting.threshold}
    values |= {"background": setting.background is not None, "coding": setting.coding}
    values["there"] = panels.names_of(setting.truth)
    if setting.background is not None:
        values["z0"] = setting.background
    st.session_state.update(values)


def choose_logits() -> tuple[tuple[float, ...], float | None]:
    """Logits of the classes, and of the background where the softmax has one."""
    number = state.choose("Classes", (1, 2, 3), key="channels", default=2)
    logits = tuple(
        _logit(f"Logit of {name}", key, start)
        for name, key, start in zip(CLASSES[:number], _LOGITS, (*START.logits, 0.0), strict=False)
    )
    # A softmax over a single channel is always 1.
    with_background = number == 1 or st.toggle(
        "Background channel", value=True, key="background", bind="query-params",
        help="Of the softmax. Data whose pixels may have no label need one; where every pixel has exactly one class "
        "there is none.",
    )  # fmt: skip
    return logits, _logit("Logit of background", "z0", 0.0) if with_background else None


def _logit(label: str, key: str, start: float) -> float:
    """One logit."""
    return float(st.slider(label, -REACH, REACH, start, 0.1, key=key, format="%.1f", bind="query-params"))


def choose_reading() -> tuple[float, float]:
    """Temperature and threshold."""
    temperature = st.slider(
        "Temperature", 0.25, 4.0, 1.0, 0.25, key="temperature", bind="query-params",
        help="Divides all logits. Dotted marks in the bars show p at temperature 1.",
    )  # fmt: skip
    cut = st.slider(
        "Call a label where p is above", 0.05, 0.95, 0.5, 0.05, key="cut", bind="query-params",
        help="The upright line in the bars. Argmax does not look at it.",
    )  # fmt: skip
    return float(temperature), float(cut)


def choose_truth(number: int) -> tuple[bool, ...]:
    """Which labels are truly there: none, one or several."""
    sets = {panels.names_of(flags): flags for flags in panels.truths(number)}
    chosen = state.choose(
        "Truly there", list(sets), key="there", default=panels.names_of(START.truth[:number]),
        help="What the decisions and the losses are held against.",
    )  # fmt: skip
    return sets[chosen]


def choose_coding() -> Coding:
    """What a softmax is taught about a pixel with several labels."""
    return state.choose("Softmax is taught", tuple(_CODINGS), key="coding", title=_CODINGS.__getitem__)
