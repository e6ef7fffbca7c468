"""Facts about the two heads to cards: a picture, a number that is computed here, and what follows from it."""

from dashboard.figures import sketches
from dashboard.panels.guide import PRESETS, class_colors, p_of
from dashboard.theme import Theme
from pipelines import one_pixel
from pipelines.datasets.facts import best_dice
from pipelines.overconfidence import calibration_error, stretched_reliability
from pipelines.verdict import FEWEST_SEEDS, Margin

_NUCLEUS: float = 0.25  # share of its cell, in the picture
_BEST_DICE: float = 0.6
_RARE: float = 0.01
_STRETCH: float = 2.0


def facts(theme: Theme) -> list[str]:
    """Cards as HTML, what speaks for a head first."""
    return [
        _exclusive(theme), _overlap(theme), _one_class(theme), _twice(theme),
        _threshold(theme), _rare(theme), _calibration(theme), _seeds(theme),
    ]  # fmt: skip


def _exclusive(theme: Theme) -> str:
    setting = PRESETS["Exclusive classes"]
    sigmoid, softmax = (p_of(setting, spec) for spec in setting.specs)
    rows = [(sigmoid.tolist(), theme.heads["sigmoid"]), (softmax.tolist(), theme.heads["softmax"])]
    return sketches.card(
        theme, tag="speaks for softmax", color=theme.heads["softmax"], title="Exactly one class a pixel",
        number=f"{float(one_pixel.one_label_probability(sigmoid)):.2f} against 1",
        what="probability of exactly one label at the logits 1.5, 0.5 and −2, if sigmoids are independent",
        text="Softmax knows that classes exclude each other, sigmoid has to learn it. Read by argmax, the same logits "
        "name the same class in both.", sketch=sketches.stacks(rows),
    )  # fmt: skip


def _overlap(theme: Theme) -> str:
    best = best_dice({(0,): round(100 * (1 - _NUCLEUS)), (0, 1): round(100 * _NUCLEUS)}, 2)
    outer, inner, *_ = class_colors(theme)
    return sketches.card(
        theme, tag="speaks for sigmoid", color=theme.heads["sigmoid"], title="Labels that share pixels",
        number=f"{best.macro_dice:.2f} at most",
        what=f"mean Dice of one label a pixel, where a nucleus covers {_NUCLEUS:.0%} of its cell",
        text="This ceiling follows from the truth alone; Labels shows yours before any training. A sigmoid a class, "
        "or a softmax over label sets, can reach 1.", sketch=sketches.nested(_NUCLEUS, outer, inner),
    )  # fmt: skip


def _one_class(theme: Theme) -> str:
    setting = PRESETS["One class"]
    sigmoid, softmax = (float(p_of(setting, spec)[0]) for spec in setting.specs)
    return sketches.card(
        theme, tag="speaks for neither", color=theme.muted, title="One class",
        number=f"{sigmoid:.2f} = {softmax:.2f}", what="σ(1.3), and the softmax of the logits 1.3 and 0",
        text="A two-class softmax is the sigmoid of the difference of its logits. What is measured between the two "
        "comes from training and chance.",
        sketch=sketches.bars([(sigmoid, theme.heads["sigmoid"]), (softmax, theme.heads["softmax"])]),
    )  # fmt: skip


def _twice(theme: Theme) -> str:
    spec = one_pixel.sigmoid_spec(("class",))
    low, high = (float(one_pixel.class_probabilities(spec, [p])[0]) for p in (0.0, 1.0))
    return sketches.card(
        theme, tag="a common mistake", color=theme.muted, title="Logits or probabilities?",
        number=f"{low:.2f} to {high:.2f}", what="all that is left of p when a sigmoid is applied to a sigmoid",
        text="Losses such as BCE with logits and cross-entropy apply the activation themselves. Applied twice, every "
        "class counts as present everywhere. python -m pipelines check-outputs finds it.",
        sketch=sketches.line([(low, high, theme.heads["sigmoid"])], [(0.5, "p > 0.5")]),
    )  # fmt: skip


def _threshold(theme: Theme) -> str:
    best = _BEST_DICE / 2
    return sketches.card(
        theme, tag="not the head", color=theme.muted, title="The threshold",
        number=f"{best:.2f}, not 0.50", what=f"best threshold of a calibrated head whose best Dice is {_BEST_DICE:g}",
        text="For pooled Dice it is half the best Dice. Where a difference at 0.5 vanishes at thresholds tuned on "
        "validation, the threshold made it, not the head. A loss often moves more than either.",
        sketch=sketches.line([(best, 1.0, theme.muted)], [(best, f"{best:.2f}"), (0.5, "0.50")]),
    )  # fmt: skip


def _rare(theme: Theme) -> str:
    return sketches.card(
        theme, tag="not the head", color=theme.muted, title="Rare classes",
        number=f"{1 - _RARE:.0%} right, Dice 0",
        what=f"what calling nothing reaches where a class covers {_RARE:.0%} of the pixels",
        text="Background drowns accuracy and calibration errors. Read Dice beside accuracy, and calibration in the "
        "foreground and at the boundary.", sketch=sketches.line([(1 - _RARE, 1.0, theme.text)]),
    )  # fmt: skip


def _calibration(theme: Theme) -> str:
    raw, mended = (calibration_error(stretched_reliability(one)) for one in (_STRETCH, 1.0))
    spec = one_pixel.sigmoid_spec(("class",))
    said, true = (float(one_pixel.class_probabilities(spec, [one])[0]) for one in (_STRETCH, 1.0))
    return sketches.card(
        theme, tag="not the head", color=theme.muted, title="Temperature",
        number=f"ECE {raw:.3f} to {mended:.3f}",
        what=f"a head with logits {_STRETCH:g} times too large, before and after they are divided by {_STRETCH:g}",
        text="One fitted number can mend over-confidence and moves no argmax. So probabilities are compared after each "
        "head has its own. The Brier score decides, ECE explains.",
        sketch=sketches.line([(true, said, theme.muted)], [(true, f"{true:.2f}"), (said, f"{said:.2f}")]),
    )  # fmt: skip


def _seeds(theme: Theme) -> str:
    # Three trainings of one pair around the margin: a sketch, not a measurement.
    colors = (theme.heads["softmax"], theme.muted, theme.heads["sigmoid"])
    return sketches.card(
        theme, tag="not the head", color=theme.muted, title="Luck of the start", number=f"{FEWEST_SEEDS} seeds",
        what=f"before a difference beyond {Margin().dice:g} Dice counts without theory behind it",
        text="Two networks that differ in nothing but their seed can differ by more than the two heads do. Intervals "
        "resample images, never pixels, and seeds as a second level.",
        sketch=sketches.scatter((0.22, 0.55, 0.8), (0.36, 0.64), colors),
    )  # fmt: skip
