"""Logits that a reader sets to sentences: what there is to see in how both heads read them."""

from typing import Final

import numpy as np

from dashboard.figures.bars import shown_p
from dashboard.panels.guide import CLASSES, COUNTS, PRIORITY, Setting, called_by, names_of, p_of, worth
from dashboard.rounding import minus
from dashboard.theme import HEAD_TITLES
from pipelines import one_pixel

_SURE: Final = 2.0  # nats: less than 14% for what is true counts as confidently wrong


def noticed(setting: Setting) -> list[str]:
    """What there is to see at this setting, the most telling first, at most three sentences or so."""
    if len(setting.logits) == 1:
        found = [_one_class(setting)]
    elif sum(setting.truth) > 1:
        found = _several(setting)
    elif not any(setting.truth):
        found = [_nothing(setting)]
    else:
        found = [_exactly_one(setting)]
    return [*found, *_confidently_wrong(setting), *_tempered(setting)]


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
    said = worth(called_by(setting, sigmoid, "threshold"), setting.truth)
    both = names_of(setting.truth)
    found = (
        f"The pixel is {both} at once. A softmax has one unit for all its channels and gives these {q:.2f} together: "
        "neither argmax nor a threshold of 0.5 or more can ever return two labels, whatever the logits."
    )
    free = "Sigmoids do not compete: each label can be called without another losing by it"
    return [found, f"{free}." if said == "right" else f"{free}, though at these logits it {said}."]


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
        before, after = (float(p_of(setting, spec, temperature=one)[0]) for one in (1.0, setting.temperature))
        moves.append(f"from {shown_p(before)} to {shown_p(after)} in {HEAD_TITLES[spec.head].lower()}")
    kept = "No argmax moves, and no sigmoid's decision at p > 0.5"
    return [
        f"Temperature {setting.temperature:g} divides all logits: p of {CLASSES[0]} goes {', '.join(moves)}. {kept}"
        f"{'' if setting.threshold == 0.5 else '; at other thresholds decisions may'}."
    ]
