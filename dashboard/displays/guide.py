"""One pixel whose logits a reader sets: what both heads make of it, in words, in numbers and on the plane of logits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Final, NamedTuple

import numpy as np
from scipy.ndimage import distance_transform_edt

from dashboard.charts import Drawn, Trace, draw, line, mark, points
from dashboard.rounding import minus
from dashboard.theme import HEAD_DASHES, HEAD_MARKERS, HEAD_TITLES, Theme, faded
from pipelines import one_pixel
from pipelines.arrays import BoolArray, Float64Array
from pipelines.heads import HeadSpec
from pipelines.one_pixel import Coding, Rule, called, channel_logits, class_probabilities, least_logit

CLASSES: Final = ("cell", "nucleus", "debris")
PRIORITY: Final = (2, 1, 0)  # the smaller thing wins, as in training where no order is given
_COLORS: Final = {False: ("#8d7fd0", "#d0a02c", "#5f9a96"), True: ("#a99cf0", "#e0b64a", "#78bab5")}
COUNTS: Final = ("no label", "one label", "two labels", "three labels")
_SURE: Final = 2.0  # nats: less than 14% for what is true counts as confidently wrong
REACH: Final = 6.0  # logits shown on a map, to both sides of 0
_LINE: Final[Float64Array] = np.linspace(-REACH, REACH, 121)
_COARSE: Final[Float64Array] = np.linspace(-REACH, REACH, 49)
_SMALLEST: Final = 20  # cells of the coarse grid that a region needs for its name to fit


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


class Bar(NamedTuple):
    """A channel: p in [0, 1], p_before at temperature 1; is_label: False for a background channel."""

    name: str
    color: str
    p: float
    p_before: float
    is_label: bool = True


class Call(NamedTuple):
    """A decision: by which rule, which labels, and what that is worth, such as "right" or "misses nucleus"."""

    rule: str
    labels: str
    worth: str
    right: bool


class Reading(NamedTuple):
    """What one head makes of a pixel. given: in words, how many labels; total: what the sum of p says.

    principle: what the head is, in words; formula: the same as HTML, which is shown as it is.
    """

    title: str
    principle: str
    formula: str
    color: str
    given: str
    bars: tuple[Bar, ...]
    threshold: float
    total: str
    calls: tuple[Call, ...]


# Numbers -------------------------------------------------------------------------------------------------------------


def moved(setting: Setting, by: float) -> Setting:
    """The same with a number added to every logit, the background's too."""
    background = None if setting.background is None else round(setting.background + by, 1)
    return replace(setting, logits=tuple(round(z + by, 1) for z in setting.logits), background=background)


def class_colors(theme: Theme) -> tuple[str, ...]:
    """Colours of the classes, none of them a head's."""
    return _COLORS[theme.dark]


def readings(setting: Setting, theme: Theme) -> tuple[Reading, Reading]:
    """What each head makes of the pixel."""
    sigmoid, softmax = (_read(setting, spec, theme) for spec in setting.specs)
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
    ]


def truths(number: int) -> list[tuple[bool, ...]]:
    """Every set of labels of the first classes, small ones first."""
    return sorted(product((True, False), repeat=number), key=lambda flags: (sum(flags), [not flag for flag in flags]))


def names_of(flags: Sequence[bool] | BoolArray) -> str:
    """Classes in words, such as "cell and nucleus"; "no label" for none."""
    chosen = [name for name, flag in zip(CLASSES, flags, strict=False) if flag]
    return " and ".join(", ".join(chosen).rsplit(", ", 1)) if chosen else "no label"


def worth(given: Sequence[bool] | BoolArray, truth: Sequence[bool]) -> str:
    """What a decision is worth: "right", or what it misses and adds."""
    missed = [there and not label for label, there in zip(given, truth, strict=True)]
    added = [label and not there for label, there in zip(given, truth, strict=True)]
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
    return tuple(map(bool, given))


def _read(setting: Setting, spec: HeadSpec, theme: Theme) -> Reading:
    p, before = p_of(setting, spec), p_of(setting, spec, temperature=1.0)
    colors = class_colors(theme)
    bars = [Bar(*parts) for parts in zip(setting.classes, colors, map(float, p), map(float, before), strict=False)]
    if spec.is_softmax and setting.background is not None:
        bars.append(Bar("background", theme.line, float(1 - p.sum()), float(1 - before.sum()), is_label=False))
    rules = _rules(setting, spec)
    given = {rule: called_by(setting, spec, rule) for rule in rules}
    return Reading(
        title=HEAD_TITLES[spec.head],
        principle="one unit of probability, shared by all" if spec.is_softmax else "each class on its own",
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


def shown_p(p: float) -> str:
    """A probability with two decimals that never says 0 or 1 of what is neither."""
    if 0 < p < 0.005:
        return "<0.01"
    return ">0.99" if 0.995 <= p < 1 else f"{p:.2f}"


# Words ---------------------------------------------------------------------------------------------------------------


def noticed(setting: Setting) -> list[str]:
    """What there is to see at this setting, the most telling first, at most three sentences or so."""
    if len(setting.logits) == 1:
        sentences = [_one_class(setting)]
    elif sum(setting.truth) > 1:
        sentences = _several(setting)
    elif not any(setting.truth):
        sentences = [_nothing(setting)]
    else:
        sentences = [_exactly_one(setting)]
    return [*sentences, *_confidently_wrong(setting), *_tempered(setting)]


def target_words(setting: Setting) -> str:
    """What a softmax is taught about this pixel."""
    present = names_of(setting.truth)
    if not any(setting.truth):
        if setting.background is None:
            return "This softmax has no channel for nothing: the pixel cannot be taught and is left out of its loss."
        return "The softmax's target is its background channel."
    if sum(setting.truth) == 1:
        return f"The softmax's target is {present}."
    if setting.coding == "split":
        share = {2: "one half", 3: "one third"}[sum(setting.truth)]
        return (
            f"The softmax's target is {share} for each of {present}. No logits bring its cross-entropy below "
            f"ln {sum(setting.truth)}."
        )
    winner = next(index for index in PRIORITY if index < len(setting.truth) and setting.truth[index])
    lost = tuple(there and index != winner for index, there in enumerate(setting.truth))
    return f"The softmax's target is {CLASSES[winner]} alone: it is taught that {names_of(lost)} is not there."


def _one_class(setting: Setting) -> str:
    sigmoid, softmax = (float(p_of(setting, spec)[0]) for spec in setting.specs)
    z, z0, t = setting.logits[0], setting.background or 0.0, setting.temperature
    inner = minus(f"{z:g} − {z0:g}" if z0 >= 0 else f"{z:g} + {-z0:g}")
    identity = (
        "A softmax over the class and background is the sigmoid of the difference of the two logits: "
        f"σ({f'({inner}) / {t:g}' if t != 1 else inner}) = {softmax:.3f}."
    )
    if z0 == 0:
        return f"{identity} With the background's logit at 0 the two heads are one and the same function."
    return f"{identity} The sigmoid alone gives {sigmoid:.3f}; moving the background to 0 makes them the same."


def _several(setting: Setting) -> list[str]:
    sigmoid, softmax = setting.specs
    q = float(p_of(setting, softmax)[np.array(setting.truth)].sum())
    value = worth(called_by(setting, sigmoid, "threshold"), setting.truth)
    both = names_of(setting.truth)
    limit = (
        f"The pixel is {both} at once. A softmax has one unit for all its channels and gives these {q:.2f} together: "
        "neither argmax nor a threshold of 0.5 or more can ever return two labels, whatever the logits."
    )
    free = "Sigmoids do not compete: each label can be called without another losing by it"
    return [limit, f"{free}." if value == "right" else f"{free}, though at these logits it {value}."]


def _nothing(setting: Setting) -> str:
    if setting.background is None:
        forced = names_of(called_by(setting, setting.specs[1], "argmax"))
        return (
            f"No label is true, and this softmax has no channel to say so: argmax must name a class, here {forced}. "
            "Sigmoid names none where every p is at or below the threshold."
        )
    return (
        "No label is true. Sigmoid says so where every p is at or below the threshold; softmax needs a channel of its "
        "own for that, the background."
    )


def _exactly_one(setting: Setting) -> str:
    sigmoid = setting.specs[0]
    if setting.background is not None:
        return (
            "One label is true. Both heads can say that; softmax names at most one by design, sigmoid has to learn it."
        )
    only = float(one_pixel.one_label_probability(p_of(setting, sigmoid)))
    count = COUNTS[sum(called_by(setting, sigmoid, "threshold"))]
    return (
        "Exactly one label is true, and softmax is built on that. The argmax of the same logits is the same for both "
        f"heads; by threshold sigmoid gives {count} here, and of its probability only {only:.2f} is for exactly one "
        "label."
    )


def _confidently_wrong(setting: Setting) -> list[str]:
    scaled = np.array(setting.logits) / setting.temperature
    worst = max(one_pixel.binary_cross_entropy([z], [there]) for z, there in zip(scaled, setting.truth, strict=True))
    if worst < _SURE:
        return []
    return [
        f"Confident and wrong: one class alone costs {worst:.1f} nats. Cross-entropy grows with the logit without end; "
        "soft Dice of a pixel cannot grow past 1."
    ]


def _tempered(setting: Setting) -> list[str]:
    if setting.temperature == 1:
        return []
    moves = []
    for spec in setting.specs:
        before, after = (float(p_of(setting, spec, temperature=t)[0]) for t in (1.0, setting.temperature))
        moves.append(f"from {shown_p(before)} to {shown_p(after)} in {HEAD_TITLES[spec.head].lower()}")
    kept = "No argmax moves, and no sigmoid's decision at p > 0.5"
    return [
        f"Temperature {setting.temperature:g} divides all logits: p of {CLASSES[0]} goes {', '.join(moves)}. {kept}"
        f"{'' if setting.threshold == 0.5 else '; at other thresholds decisions may'}."
    ]


# Maps ----------------------------------------------------------------------------------------------------------------


def plane_figure(spec: HeadSpec, setting: Setting, theme: Theme, *, rule: Rule) -> Drawn:
    """Where a head of two classes gives which labels, over the plane of their logits, and where the pixel stands.

    The region that gives just what the pixel truly carries is marked; where both labels are given the fills blend, as
    on images.
    """
    codes, truth = region_codes(spec, setting, rule=rule), setting.truth
    named = {0: "neither", 1: spec.classes[0], 2: spec.classes[1], 3: "both"}
    return draw(
        [*(_region(spec, which, setting, rule, theme) for which in (0, 1)), _point(spec, setting, theme)],
        theme,
        height=430,
        title=f"{HEAD_TITLES[spec.head]}, {'argmax' if rule == 'argmax' else f'p > {setting.threshold:.2f}'}",
        subtitle=_missing(codes),
        legend=False,
        margin={"l": 8, "r": 12, "t": 64, "b": 8},
        annotations=[
            _region_label(codes, code, name, code == truth[0] + 2 * truth[1], theme)
            for code, name in named.items()
            if (codes == code).sum() >= _SMALLEST
        ],
        xaxis=_logit_axis(spec.classes[0]) | {"constrain": "domain"},
        yaxis=_logit_axis(spec.classes[1]) | {"scaleanchor": "x", "constrain": "domain"},
    )


def curve_figure(setting: Setting, theme: Theme) -> Drawn:
    """One class: its probability against its logit, for each head."""
    traces: list[Trace] = []
    logit, threshold = setting.logits[0], setting.threshold
    for at, spec in enumerate(setting.specs):
        color, name = theme.heads[spec.head], HEAD_TITLES[spec.head]
        p = class_probabilities(
            spec, _channels(spec, np.append(_LINE, logit)[None], setting), temperature=setting.temperature
        )[0]
        hover = f"{name}: p %{{y:.3f}} at z %{{x:.1f}}"
        look: dict[str, Any] = {"width": 6 - 3 * at, "dash": HEAD_DASHES[spec.head]}  # one shows behind the other
        traces.append(line(_LINE, p[:-1], color, hover=hover, name=name, **look))
        marker = mark(color, 15 - 5 * at, symbol=HEAD_MARKERS[spec.head], edge=theme.surface, width=1.5)
        traces.append(points([logit], p[-1:], marker, hover=hover, name=name, showlegend=False))
    cut = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": threshold, "y1": threshold}
    return draw(
        traces,
        theme,
        height=320,
        title="p against the logit",
        shapes=[cut | {"line": {"color": theme.muted, "width": 1, "dash": "dot"}}],
        xaxis=_logit_axis(setting.classes[0]),
        yaxis={"range": [-0.02, 1.02], "dtick": 0.25, "title": "probability p"},
    )


def region_codes(spec: HeadSpec, setting: Setting, *, rule: Rule) -> Float64Array:
    """Labels given on a grid, (logit of the second class, of the first): 0 neither, 1 first, 2 second, 3 both."""
    channels = _channels(spec, np.stack(np.meshgrid(_COARSE, _COARSE)), setting)
    given: BoolArray = called(spec, channels, rule=rule, threshold=setting.threshold, temperature=setting.temperature)
    return given[0] + 2.0 * given[1]


def _channels(spec: HeadSpec, logits: Any, setting: Setting) -> Float64Array:
    """Channel logits of other pixels with the background of this one."""
    return channel_logits(spec, logits, background=setting.background or 0.0)


def _region(spec: HeadSpec, which: int, setting: Setting, rule: Rule, theme: Theme) -> Trace:
    """The part of the plane where one class is called: beyond a border that may depend on the other's logit."""
    options: dict[str, Any] = {"threshold": setting.threshold, "temperature": setting.temperature}
    least = least_logit(spec, _channels(spec, _LINE[None], setting), rule=rule, **options)
    own = np.append(np.clip(least, -REACH, REACH), [REACH, REACH])
    other, color = np.append(_LINE, [REACH, -REACH]), class_colors(theme)[which]
    x, y = (own, other) if which == 0 else (other, own)
    return line(x, y, color, width=1.5, fill="toself", fillcolor=faded(color, 0.34), name=spec.classes[which])


def _point(spec: HeadSpec, setting: Setting, theme: Theme) -> Trace:
    point = setting.logits[:2]
    p = class_probabilities(spec, _channels(spec, point, setting), temperature=setting.temperature)
    values = zip(spec.classes, point, p, strict=True)
    hover = "<br>".join(f"{name}: z {z:.1f}, p {share:.3f}" for name, z, share in values)
    marker = mark(theme.heads[spec.head], 15, symbol=HEAD_MARKERS[spec.head], edge=theme.surface, width=2.5)
    return points([point[0]], [point[1]], marker, hover=hover, name="this pixel")


def _region_label(codes: Float64Array, code: int, name: str, is_truth: bool, theme: Theme) -> dict[str, Any]:
    """A region's name at the place furthest from its borders."""
    inside = np.pad(codes == code, 1)
    row, column = np.unravel_index(int(distance_transform_edt(inside).argmax()), inside.shape)
    text = f"<b>{name}</b><br>the truth" if is_truth else name
    return {
        "x": _COARSE[column - 1],
        "y": _COARSE[row - 1],
        "text": text,
        "showarrow": False,
        "font": {"color": theme.text, "size": 13},
    }


def _missing(codes: Float64Array) -> str:
    """What a head cannot give anywhere on the plane."""
    names = {0: "neither", 3: "both"}
    absent = [name for code, name in names.items() if not (codes == code).any()]
    return f"no place gives {' or '.join(absent)}" if absent else "neither, either or both"


def _logit_axis(name: str) -> dict[str, Any]:
    return {"range": [-REACH, REACH], "dtick": 2, "title": f"logit of {name}"}
