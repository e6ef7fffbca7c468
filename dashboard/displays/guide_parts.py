"""Pieces of the guide beside its maps: bars of one pixel, facts in pictures, explained figures, and two to move.

HTML is made by the macros of `guide.html`, which escape whatever they are given.
"""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import pandas as pd

from dashboard.charts import forest_figure
from dashboard.displays.base import Picture
from dashboard.displays.calibration import reliability_figure
from dashboard.displays.guide import PRESETS, Reading, class_colors, p_of, shown_p
from dashboard.rounding import minus
from dashboard.safe import template
from dashboard.theme import Theme, faded, words_in
from pipelines import one_pixel
from pipelines.datasets.facts import best_dice
from pipelines.judgement import Margin
from pipelines.metrics.calibration import calibration_error, stretched_reliability
from pipelines.schema import MACRO
from pipelines.verdict.evidence import Estimate, Position
from pipelines.verdict.reasons import FEWEST_SEEDS

Side: TypeAlias = Literal["sigmoid", "softmax", "neither"]

_HERE: Final = Path(__file__).parent
IMAGES: Final = 60  # that the interval of the movable forest plot rests on
_SOFTMAX_DICE: Final = 0.8  # of the same; only the difference matters
_WIDEST: Final = 0.1  # Dice, to both sides of 0
_ANSWERS: Final[dict[Position, tuple[str, Side]]] = {
    "above": ("Sigmoid is better", "sigmoid"),
    "below": ("Softmax is better", "softmax"),
    "inside": ("No practical difference", "neither"),
    "open": ("Open: not enough evidence", "neither"),
}
_NUCLEUS: Final = 0.25  # share of its cell, in the picture
_BEST_DICE: Final = 0.6
_RARE: Final = 0.01
_STRETCH: Final = 2.0


# HTML --------------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def style() -> str:
    """The style of all pieces, as an element."""
    return f"<style>{(_HERE / 'guide.css').read_text(encoding='utf-8')}</style>"


@lru_cache(maxsize=1)
def _macros() -> Any:
    return template(_HERE / "guide.html", faded=faded, ink=words_in, shown_p=shown_p).module


def readings_html(readings: Sequence[Reading], theme: Theme) -> str:
    """Heads side by side, in one fragment of HTML."""
    # As many units on both scales, so that what adds up to more than 1 is seen to be more.
    units = max(sum(bar.is_label for bar in reading.bars) for reading in readings)
    return str(_macros().readings(readings, units, theme))


class Entry(NamedTuple):
    """An explained figure. name: part of its anchor, "figure-<name>"; link: an address that opens the page on it."""

    name: str
    title: str
    text: str
    link: str


def entries_html(entries: Sequence[Entry], theme: Theme, *, marked: str | None = None) -> str:
    """Cards in two columns or one; marked: name of the one that stands out."""
    return str(_macros().entries(entries, theme, marked))


def requested_html(title: str, page: str, text: str, theme: Theme) -> str:
    """The explanation that a link asked for; page: title of the one that its figure is on."""
    return str(_macros().requested(title, page, text, theme))


def answer_html(answer: str, why: str, color: str, theme: Theme) -> str:
    """A word in a colour, with the reason; it is read aloud when it changes."""
    return str(_macros().answer(answer, why, color, theme))


class Fact(NamedTuple):
    """A picture with its number, what the number is of, and what follows. sketch: a macro, which draws `values`."""

    tag: str
    color: str
    title: str
    number: str
    of: str
    text: str
    sketch: Literal["bars", "stacks", "line", "dots", "nested"]
    values: Any


def facts_html(facts: Sequence[Fact], theme: Theme) -> str:
    """Facts in four columns, two or one, by the room there is."""
    return str(_macros().facts(facts, theme))


# When it matters ---------------------------------------------------------------------------------------------------


def facts(theme: Theme) -> list[Fact]:
    """What speaks for a head first; every number is computed here."""
    colors = theme.heads
    exclusive, one_class = PRESETS["Exclusive classes"], PRESETS["One class"]
    alone, shared = (p_of(exclusive, spec) for spec in exclusive.specs)
    binary, two_class = (float(p_of(one_class, spec)[0]) for spec in one_class.specs)
    ceiling = best_dice({(0,): round(100 * (1 - _NUCLEUS)), (0, 1): round(100 * _NUCLEUS)}, 2).macro_dice
    outer, inner, *_ = class_colors(theme)
    raw, mended = (calibration_error(stretched_reliability(stretch)) for stretch in (_STRETCH, 1.0))
    spec = one_pixel.sigmoid_spec(("class",))
    at_0, at_1, at_2 = (float(one_pixel.class_probabilities(spec, [z])[0]) for z in (0.0, 1.0, _STRETCH))
    best = _BEST_DICE / 2
    # Three trainings of one pair around the margin: a sketch, not a measurement.
    seeds = [(0.22, colors["softmax"]), (0.55, theme.muted), (0.8, colors["sigmoid"])]
    return [
        Fact(
            "speaks for softmax",
            colors["softmax"],
            "Exactly one class a pixel",
            f"{float(one_pixel.one_label_probability(alone)):.2f} against 1",
            "probability of exactly one label at the logits 1.5, 0.5 and −2, if sigmoids are independent",
            "Softmax knows that classes exclude each other, sigmoid has to learn it. Read by argmax, the same logits "
            "name the same class in both.",
            "stacks",
            [(alone.tolist(), colors["sigmoid"]), (shared.tolist(), colors["softmax"])],
        ),
        Fact(
            "speaks for sigmoid",
            colors["sigmoid"],
            "Labels that share pixels",
            f"{ceiling:.2f} at most",
            f"mean Dice of one label a pixel, where a nucleus covers {_NUCLEUS:.0%} of its cell",
            "This ceiling follows from the truth alone; Labels shows yours before any training. A sigmoid a class, or "
            "a softmax over label sets, can reach 1.",
            "nested",
            {"share": _NUCLEUS, "outer": outer, "inner": inner},
        ),
        Fact(
            "speaks for neither",
            theme.muted,
            "One class",
            f"{binary:.2f} = {two_class:.2f}",
            "σ(1.3), and the softmax of the logits 1.3 and 0",
            "A two-class softmax is the sigmoid of the difference of its logits. What is measured between the two "
            "comes from training and chance.",
            "bars",
            [(binary, colors["sigmoid"]), (two_class, colors["softmax"])],
        ),
        Fact(
            "a common mistake",
            theme.muted,
            "Logits or probabilities?",
            f"{at_0:.2f} to {at_1:.2f}",
            "all that is left of p when a sigmoid is applied to a sigmoid",
            "Losses such as BCE with logits and cross-entropy apply the activation themselves. Applied twice, every "
            "class counts as present everywhere. python -m pipelines check-outputs finds it.",
            "line",
            {"spans": [(at_0, at_1, colors["sigmoid"])], "marks": [(0.5, "p > 0.5")]},
        ),
        Fact(
            "not the head",
            theme.muted,
            "The threshold",
            f"{best:.2f}, not 0.50",
            f"best threshold of a calibrated head whose best Dice is {_BEST_DICE:g}",
            "For pooled Dice it is half the best Dice. Where a difference at 0.5 vanishes at thresholds tuned on "
            "validation, the threshold made it, not the head. A loss often moves more than either.",
            "line",
            {"spans": [(best, 1.0, theme.muted)], "marks": [(best, f"{best:.2f}"), (0.5, "0.50")]},
        ),
        Fact(
            "not the head",
            theme.muted,
            "Rare classes",
            f"{1 - _RARE:.0%} right, Dice 0",
            f"what calling nothing reaches where a class covers {_RARE:.0%} of the pixels",
            "Background drowns accuracy and calibration errors. Read Dice beside accuracy, and calibration in the "
            "foreground and at the boundary.",
            "line",
            {"spans": [(1 - _RARE, 1.0, theme.text)], "marks": []},
        ),
        Fact(
            "not the head",
            theme.muted,
            "Temperature",
            f"ECE {raw:.3f} to {mended:.3f}",
            f"a head with logits {_STRETCH:g} times too large, before and after they are divided by {_STRETCH:g}",
            "One fitted number can mend over-confidence and moves no argmax. So probabilities are compared after each "
            "head has its own. The Brier score decides, ECE explains.",
            "line",
            {"spans": [(at_1, at_2, theme.muted)], "marks": [(at_1, f"{at_1:.2f}"), (at_2, f"{at_2:.2f}")]},
        ),
        Fact(
            "not the head",
            theme.muted,
            "Luck of the start",
            f"{FEWEST_SEEDS} seeds",
            f"before a difference beyond {Margin().dice:g} Dice counts without theory behind it",
            "Two networks that differ in nothing but their seed can differ by more than the two heads do. Intervals "
            "resample images, never pixels, and seeds as a second level.",
            "dots",
            {"band": (0.36, 0.64), "dots": seeds},
        ),
    ]


# The two figures that need most explaining, small and movable --------------------------------------------------------


class Miniature(NamedTuple):
    """A picture with the one word it comes to, the head it speaks for, and why."""

    picture: Picture
    answer: str
    side: Side
    why: str


def forest(theme: Theme, *, difference: float, half_width: float, margin: float) -> Miniature:
    """One row of a forest plot, judged as the verdict judges: all in Dice, sigmoid minus softmax."""
    estimate = Estimate(difference, difference - half_width, difference + half_width)
    answer, side = _ANSWERS[estimate.position(margin)]
    row = {
        "class": MACRO,
        "advantage": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "sigmoid": _SOFTMAX_DICE + estimate.value,
        "softmax": _SOFTMAX_DICE,
    }
    figure = forest_figure(
        pd.DataFrame([row]), theme, title="Dice", contender="softmax", margin=margin, subtitle="higher is better"
    )
    figure.layout.xaxis.range = [-_WIDEST, _WIDEST]  # stays, so that what moves is seen to move
    alt = f"Advantage of sigmoid in Dice {minus(str(estimate))}, margin {margin:.3f}: {answer}."
    return Miniature(Picture("mini_forest", figure, alt), answer, side, _why(estimate, margin))


def _why(estimate: Estimate, margin: float) -> str:
    position = estimate.position(margin)
    excludes_zero = estimate.low > 0 or estimate.high < 0
    if position in ("above", "below"):
        return (
            "The whole interval lies beyond the margin: not only is there a difference, it matters. The verdict also "
            f"wants {FEWEST_SEEDS} seeds, unless theory says the same."
        )
    if position == "inside":
        if excludes_zero:
            return "The interval leaves out 0, so there is a difference; but all of it is too small to matter."
        return "The whole interval lies within the margin: whatever the difference is, it is too small to matter."
    more = estimate.more_units(margin, IMAGES)
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
    row = table.iloc[-4]
    example = f"where it says {row['mean_p']:.2f}, {row['observed']:.2f} is right"
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
