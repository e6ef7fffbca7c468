"""Logits that a reader sets to what both heads make of them: bars, decisions and losses."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Final

import numpy as np

from dashboard.figures.bars import Bar, Call, Reading
from dashboard.theme import HEAD_TITLES, Theme
from pipelines import one_pixel
from pipelines.arrays import BoolArray, Float64Array
from pipelines.heads import HeadSpec
from pipelines.one_pixel import Coding, Rule

CLASSES: Final = ("cell", "nucleus", "debris")
PRIORITY: Final = (2, 1, 0)  # the smaller thing wins, as in training where no order is given
_COLORS: Final = {False: ("#8d7fd0", "#d0a02c", "#5f9a96"), True: ("#a99cf0", "#e0b64a", "#78bab5")}
COUNTS: Final = ("no label", "one label", "two labels", "three labels")


@dataclass(frozen=True)
class Setting:
    """One pixel and how it is read.

    logits: of one to three classes. background: logit of the softmax's background channel, None without one.
    truth: which labels the pixel truly carries. coding: what the softmax's target is where there are several.
    """

    logits: tuple[float, ...]
    background: float | None
    truth: tuple[bool, ...]
    temperature: float = 1.0
    threshold: float = 0.5
    coding: Coding = "priority"

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return CLASSES[: len(self.logits)]

    @property
    def specs(self) -> tuple[HeadSpec, HeadSpec]:
        """Sigmoid and softmax."""
        softmax = one_pixel.softmax_spec(self.classes, background=self.background is not None)
        return one_pixel.sigmoid_spec(self.classes), softmax


PRESETS: Final[dict[str, Setting]] = {
    "Two labels overlap": Setting((2.2, 1.7), 0.0, (True, True)),
    "Exclusive classes": Setting((1.5, 0.5, -2.0), None, (True, False, False)),
    "Nothing there": Setting((-2.5, -3.0), 0.0, (False, False)),
    "Nothing there, no background": Setting((-2.5, -3.0), None, (False, False)),
    "One class": Setting((1.3,), 0.0, (True,)),
    "Confident and wrong": Setting((-4.0, 3.5), 0.0, (True, False)),
}
_FORMULAS: Final = {
    "sigmoid": "p<sub>c</sub> = 1 / (1 + e<sup>−z<sub>c</sub>/T</sup>)",
    "softmax": "p<sub>c</sub> = e<sup>z<sub>c</sub>/T</sup> / Σ<sub>k</sub> e<sup>z<sub>k</sub>/T</sup>",
}
START: Final = PRESETS["Two labels overlap"]


def moved(setting: Setting, by: float) -> Setting:
    """The same with a number added to every logit, the background's too."""
    background = None if setting.background is None else round(setting.background + by, 1)
    return replace(setting, logits=tuple(round(z + by, 1) for z in setting.logits), background=background)


def class_colors(theme: Theme) -> tuple[str, ...]:
    """Colours of the classes, none of them a head's."""
    return _COLORS[theme.dark]


def readings(setting: Setting, theme: Theme) -> tuple[Reading, Reading]:
    """What each head makes of the pixel."""
    sigmoid, softmax = (_reading(setting, spec, theme) for spec in setting.specs)
    return sigmoid, softmax


def losses(setting: Setting) -> list[list[str]]:
    """Rows of loss, sigmoid, softmax and the least that a softmax can reach, at the temperature shown."""
    sigmoid, softmax = setting.specs
    scaled = np.array(setting.logits) / setting.temperature
    p, q = p_of(setting, sigmoid), p_of(setting, softmax)
    truth = np.array(setting.truth)
    target = one_pixel.softmax_target(softmax, setting.truth, coding=setting.coding, order=PRIORITY[-len(truth) :])
    bce = f"{one_pixel.binary_cross_entropy(scaled, truth):.3f}"
    dice = f"{one_pixel.soft_dice_loss(p, truth):.3f}"
    if target is None:
        return [["Cross-entropy", bce, "no target", "–"], ["Soft Dice", dice, "no target", "–"]]
    ce = one_pixel.cross_entropy(channels_of(setting, softmax) / setting.temperature, target)
    least = one_pixel.least_cross_entropy(target)
    # A target with one class teaches that the others are not there; with several, soft Dice takes them as they are.
    aim = target[-len(truth) :] if setting.coding == "priority" else truth
    q_dice, least_dice = one_pixel.soft_dice_loss(q, aim), one_pixel.least_softmax_dice_loss((aim > 0).tolist())
    parts = int((target > 0).sum())
    return [
        ["Cross-entropy", bce, f"{ce:.3f}", f"{least:.3f} (ln {parts})" if parts > 1 else f"{least:.0f}"],
        ["Soft Dice", dice, f"{q_dice:.3f}", f"{least_dice:.3f}" if least_dice else "0"],
    ]  # fmt: skip


def truths(number: int) -> list[tuple[bool, ...]]:
    """Every set of labels of the first classes, small ones first."""
    return sorted(product((True, False), repeat=number), key=lambda flags: (sum(flags), [not one for one in flags]))


def names_of(flags: Sequence[bool] | BoolArray) -> str:
    """Classes in words, such as "cell and nucleus"; "no label" for none."""
    chosen = [name for name, flag in zip(CLASSES, flags, strict=False) if flag]
    return " and ".join(", ".join(chosen).rsplit(", ", 1)) if chosen else "no label"


def worth(given: Sequence[bool] | BoolArray, truth: Sequence[bool]) -> str:
    """What a decision is worth: "right", or what it misses and adds."""
    missed = [there and not one for one, there in zip(given, truth, strict=True)]
    added = [one and not there for one, there in zip(given, truth, strict=True)]
    parts = [f"misses {names_of(missed)}"] * any(missed) + [f"adds {names_of(added)}"] * any(added)
    return ", ".join(parts) or "right"


def channels_of(setting: Setting, spec: HeadSpec) -> Float64Array:
    """A head's channel logits, (K,)."""
    return one_pixel.channel_logits(spec, setting.logits, background=setting.background or 0.0)


def p_of(setting: Setting, spec: HeadSpec, *, temperature: float | None = None) -> Float64Array:
    """Probability of each class, (C,), at the setting's temperature or another."""
    used = setting.temperature if temperature is None else temperature
    return one_pixel.class_probabilities(spec, channels_of(setting, spec), temperature=used)


def called_by(setting: Setting, spec: HeadSpec, rule: Rule) -> tuple[bool, ...]:
    """Labels that a head gives by a rule."""
    given = one_pixel.called(
        spec, channels_of(setting, spec), rule=rule, threshold=setting.threshold, temperature=setting.temperature
    )
    return tuple(bool(one) for one in given)


def _reading(setting: Setting, spec: HeadSpec, theme: Theme) -> Reading:
    p, before = p_of(setting, spec), p_of(setting, spec, temperature=1.0)
    colors = class_colors(theme)
    bars = [Bar(*one) for one in zip(setting.classes, colors, map(float, p), map(float, before), strict=False)]
    if spec.is_softmax and setting.background is not None:
        bars.append(Bar("background", theme.line, float(1 - p.sum()), float(1 - before.sum()), is_label=False))
    rules = _rules(setting, spec)
    given = {rule: called_by(setting, spec, rule) for rule in rules}
    return Reading(
        title=HEAD_TITLES[spec.head],
        said="one unit of probability, shared by all" if spec.is_softmax else "each class on its own",
        formula=_FORMULAS[spec.head],
        color=theme.heads[spec.head],
        given=COUNTS[sum(given[rules[0]])],
        bars=tuple(bars),
        threshold=setting.threshold,
        total=_total(p, spec),
        calls=tuple(_call(setting, rule, given[rule]) for rule in rules),
    )


def _rules(setting: Setting, spec: HeadSpec) -> tuple[Rule, ...]:
    """A head's usual rule first. Where a pixel may have no label, an argmax of sigmoids would name one all the same."""
    if spec.is_softmax:
        return "argmax", "threshold"
    return ("threshold", "argmax") if setting.background is None else ("threshold",)


def _call(setting: Setting, rule: Rule, given: tuple[bool, ...]) -> Call:
    value = worth(given, setting.truth)
    title = "argmax" if rule == "argmax" else f"p > {setting.threshold:.2f}"
    return Call(title, names_of(given), value, value == "right")


def _total(p: Float64Array, spec: HeadSpec) -> str:
    if not spec.is_softmax:
        return f"p adds up to {p.sum():.2f}: the number of labels to expect"
    return "p adds up to 1, background included" if len(spec.channels) > len(spec.classes) else "p adds up to 1"
