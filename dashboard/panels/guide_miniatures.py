"""The two figures that need most explaining, small and movable: a forest plot's row and a reliability diagram."""

from typing import Final, Literal, NamedTuple, TypeAlias

import pandas as pd

from dashboard.charts import forest_figure
from dashboard.displays.base import Picture
from dashboard.displays.calibration import reliability_figure
from dashboard.rounding import minus
from dashboard.theme import Theme
from pipelines.overconfidence import calibration_error, stretched_reliability
from pipelines.schema import MACRO
from pipelines.verdict import FEWEST_SEEDS
from pipelines.verdict.evidence import Estimate, Position

IMAGES: Final = 60  # that the interval of the example rests on
_SOFTMAX_DICE: Final = 0.8  # of the example; only the difference matters
_WIDEST: Final = 0.1  # Dice, to both sides of 0
Side: TypeAlias = Literal["sigmoid", "softmax", "neither"]
_SIDES: Final[dict[Position, Side]] = {
    "above": "sigmoid", "below": "softmax", "inside": "neither", "open": "neither",
}  # fmt: skip
_ANSWERS: Final[dict[Position, str]] = {
    "above": "Sigmoid is better",
    "below": "Softmax is better",
    "inside": "No practical difference",
    "open": "Open: not enough evidence",
}


class Miniature(NamedTuple):
    """A picture with the one word it comes to, the head it speaks for, and why."""

    picture: Picture
    answer: str
    side: Side
    why: str


def forest(theme: Theme, *, difference: float, half_width: float, margin: float) -> Miniature:
    """One row of a forest plot, judged as the verdict judges: all in Dice, sigmoid minus softmax."""
    found = Estimate(difference, difference - half_width, difference + half_width)
    position = found.position(margin)
    row = {
        "class": MACRO, "advantage": found.value, "low": found.low, "high": found.high,
        "sigmoid": _SOFTMAX_DICE + found.value, "softmax": _SOFTMAX_DICE,
    }  # fmt: skip
    figure = forest_figure(
        pd.DataFrame([row]), theme, title="Dice", contender="softmax", margin=margin, subtitle="higher is better"
    )
    figure.layout.xaxis.range = [-_WIDEST, _WIDEST]  # stays, so that what moves is seen to move
    said = minus(str(found))
    alt = f"Advantage of sigmoid in Dice {said}, margin {margin:.3f}: {_ANSWERS[position]}."
    return Miniature(Picture("mini_forest", figure, alt), _ANSWERS[position], _SIDES[position], _why(found, margin))


def _why(found: Estimate, margin: float) -> str:
    position = found.position(margin)
    excludes_zero = found.low > 0 or found.high < 0
    if position in ("above", "below"):
        return (
            "The whole interval lies beyond the margin: not only is there a difference, it matters. The verdict also "
            f"wants {FEWEST_SEEDS} seeds, unless theory says the same."
        )
    if position == "inside":
        if excludes_zero:
            return "The interval leaves out 0, so there is a difference; but all of it is too small to matter."
        return "The whole interval lies within the margin: whatever the difference is, it is too small to matter."
    more = found.more_units(margin, IMAGES)
    start = "The interval reaches over a margin"
    start += " and leaves out 0: there is a difference, but it may be too small to matter." if excludes_zero else "."
    if more is None:
        return f"{start} The difference is so close to the margin that more images would not settle it."
    return f"{start} If it rests on {IMAGES} images, about {more} more like these would settle it."


def reliability(theme: Theme, *, stretch: float) -> Miniature:
    """A calibrated head with its logits multiplied, and its error."""
    table = stretched_reliability(stretch)
    error = calibration_error(table)
    figure = reliability_figure({"sigmoid": table}, theme, title="One class", errors={"sigmoid": error}, height=360)
    at = table.iloc[-4]
    example = f"where it says {at['mean_p']:.2f}, {at['observed']:.2f} is right"
    if stretch == 1:
        answer, why = "Calibrated", f"Its probabilities can be taken at their word: {example}."
    else:
        answer = "Over-confident" if stretch > 1 else "Under-confident"
        why = (
            f"Its logits are {stretch:g} times what they should be: {example}. A temperature of {stretch:g} mends all "
            "of it, and no decision at p > 0.5 changes."
        )
    alt = f"Reliability diagram of a head with its logits multiplied by {stretch:g}: {answer}, ECE {error:.3f}."
    return Miniature(Picture("mini_reliability", figure, alt), answer, "neither", why)
