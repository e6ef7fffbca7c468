"""Counts and a declaration to sentences: what was found against what was said, what it does to results, what to do."""

from pipelines.datasets.base import Finding
from pipelines.misuse.declaration import Declaration
from pipelines.misuse.evidence import Evidence
from pipelines.misuse.limits import ENOUGH_PIXELS, NEARLY_CONSTANT
from pipelines.misuse.logits import logit_findings
from pipelines.misuse.probabilities import probability_findings
from pipelines.misuse.wording import finding, names, plural, some, value_range


def findings(declared: Declaration, seen: Evidence) -> tuple[Finding, ...]:
    """Everything that speaks against a declaration, in a fixed order; empty when nothing does.

    One cause gives one finding: what only follows from another finding is left out.
    """
    if not seen.pixels:
        problem = "there is no pixel in what was given, so nothing was checked; give at least one image"
        return (finding("EMPTY", "error", problem),)
    found = [_channels(declared, seen), _not_finite(declared, seen)]
    if seen.finite:
        found += _values(declared, seen)
    return tuple(one for one in found if one is not None)


def _values(declared: Declaration, seen: Evidence) -> list[Finding | None]:
    one_channel = _softmax_of_one(declared, seen)
    if one_channel is not None:
        return [one_channel]
    constant = _constant(declared, seen)
    if declared.values == "logits":
        return [constant or logit_findings(declared, seen)]
    return probability_findings(declared, seen, constant)


def _channels(declared: Declaration, seen: Evidence) -> Finding | None:
    named = len(declared.classes)
    if not named or named == seen.channels:
        return None
    mend = "name one class a channel, in channel order, a background channel among them"
    if seen.last_axis == seen.images:
        mend = "the last axis has that many: put channels first with np.moveaxis(array, -1, 0)"
    problem = (
        f"{plural(named, 'class is', 'classes are')} declared ({names(declared.classes)}), but the arrays have "
        f"{plural(seen.channels, 'channel')}; values would be read under another class's name; {mend}"
    )
    return finding("CHANNELS", "error", problem)


def _not_finite(declared: Declaration, seen: Evidence) -> Finding | None:
    if not seen.nan and not seen.infinite:
        return None
    problem = (
        f"{some(seen.nan + seen.infinite, seen, declared.what)} are not finite ({seen.nan:,} NaN, "
        f"{seen.infinite:,} infinite); a NaN wins every argmax and falls silently into some bin; find where they come "
        "from (division by 0, log of 0, overflow in 16 bits) and predict again"
    )
    return finding("NOT-FINITE", "error", problem)


def _softmax_of_one(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.channels > 1:
        return None
    if declared.head == "softmax":
        found = "a softmax is declared over one channel, where it is 1 at every pixel whatever the network says"
    elif seen.ones == seen.finite and seen.pixels >= ENOUGH_PIXELS:
        found = (
            f"every one of the {seen.finite:,} values declared {declared.what} is exactly 1: most likely a softmax was "
            "taken over this one channel"
        )
    else:
        return None
    mend = "use a sigmoid for one channel, or a softmax over two (background and the class)"
    return finding("SOFTMAX-ONE-CHANNEL", "error", f"{found}; every pixel would count as the class; {mend}")


def _constant(declared: Declaration, seen: Evidence) -> Finding | None:
    if seen.spread > NEARLY_CONSTANT or seen.pixels < ENOUGH_PIXELS:
        return None
    problem = (
        f"over {seen.pixels:,} pixels no channel of the declared {declared.what} changes by more than {seen.spread:.1g}"
        f" (values {value_range(seen)}): the network says the same whatever it sees; scores would be those of a "
        "constant; look at how its input is scaled and at its training"
    )
    return finding("NEARLY-CONSTANT", "warning", problem)
