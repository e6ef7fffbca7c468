"""Two checked heads to what stands against comparing them: other classes, other order, other images."""

from typing import Final

from pipelines.datasets.base import Finding, Severity
from pipelines.misuse.check import MisuseCheck
from pipelines.misuse.declaration import Declaration
from pipelines.misuse.wording import names, plural
from pipelines.schema import Kind

_BACKGROUND_NAMES: Final = frozenset({"background", "bg", "back", "none", "nothing", "unlabeled", "unlabelled"})


def check_pair(one: MisuseCheck, other: MisuseCheck, *, kind: Kind | None = None) -> tuple[Finding, ...]:
    """What stands against comparing two heads. kind: of the truth, where it is known.

    Class lists are compared where both were declared, numbers of images and pixels where both have seen any.
    """
    return _classes(one.declaration, other.declaration, kind) + _images(one, other)


def _images(one: MisuseCheck, other: MisuseCheck) -> tuple[Finding, ...]:
    if one.evidence is None or other.evidence is None:
        return ()
    sizes = [(check.evidence.images, check.evidence.pixels) for check in (one, other) if check.evidence]
    if sizes[0] == sizes[1]:
        return ()
    told = [
        f"{check.declaration.head} has {plural(images, 'image')} with {plural(pixels, 'pixel')}"
        for check, (images, pixels) in zip((one, other), sizes, strict=True)
    ]
    problem = (
        f"{told[0]}, {told[1]}; a pair is compared image by image and pixel by pixel; predict the same images at the "
        "same size with both"
    )
    return (Finding(code="IMAGES-DIFFER", severity="error", message=problem),)


def _classes(one: Declaration, other: Declaration, kind: Kind | None) -> tuple[Finding, ...]:
    if not one.classes or not other.classes:
        return ()
    mine, theirs = _without_background(one), _without_background(other)
    if mine == theirs:
        return _declared_background(one, other, kind)
    extra = set(mine) ^ set(theirs)
    if len(extra) == 1 and _means_background(*extra):
        return _undeclared_background(one, other, next(iter(extra)))
    if extra:
        alone = [name for name in (*one.classes, *other.classes) if name in extra]
        problem = (
            f"{one.head} has the classes {names(mine)}, {other.head} has {names(theirs)}; only one of them has "
            f"{names(alone)}, so averages would be over other classes; bring the same classes with both"
        )
        return (Finding(code="CLASSES-DIFFER", severity="error", message=problem),)
    return (_order(one, other),)


def _order(one: Declaration, other: Declaration) -> Finding:
    problem = (
        f"the channels of {one.head} are {names(one.classes)}, those of {other.head} {names(other.classes)}; compared "
        "by number, other classes would meet; make sure that both orders are true, and match channels by name"
    )
    return Finding(code="CLASS-ORDER", severity="warning", message=problem)


def _declared_background(one: Declaration, other: Declaration, kind: Kind | None) -> tuple[Finding, ...]:
    """A softmax needs a background channel where a sigmoid needs none; on exclusive truth both have it or neither."""
    if (one.background is None) == (other.background is None):
        return () if one.classes == other.classes or one.background != other.background else (_order(one, other),)
    has, lacks = (other, one) if one.background is None else (one, other)
    if has.head == "softmax" and (kind in ("binary", "overlapping") or len(lacks.classes) == 1):
        return ()
    severity: Severity = "error" if kind == "exclusive" else "warning"
    mend = "give both heads the channel, or neither"
    if has.head == "softmax" and kind is None:
        mend = "on exclusive truth give both heads the channel; on overlapping truth leave it out of every average"
    return (_one_head(has, lacks, has.background or "", severity, mend),)


def _undeclared_background(one: Declaration, other: Declaration, name: str) -> tuple[Finding, ...]:
    has, lacks = (one, other) if name in one.classes else (other, one)
    mend = "declare it as the background if it means that nothing is there, or give both heads the channel"
    return (_one_head(has, lacks, name, "error", mend),)


def _one_head(has: Declaration, lacks: Declaration, name: str, severity: Severity, mend: str) -> Finding:
    problem = (
        f"{has.head} has {name} among its {len(has.classes)} channels, {lacks.head} with {len(lacks.classes)} has no "
        f"such channel; averages over classes would be over other lists, and one head alone judged on {name}; {mend}"
    )
    return Finding(code="BACKGROUND-IN-ONE-HEAD", severity=severity, message=problem)


def _without_background(declared: Declaration) -> list[str]:
    return [name for name in declared.classes if name != declared.background]


def _means_background(name: str) -> bool:
    return "".join(filter(str.isalnum, name.lower())) in _BACKGROUND_NAMES
