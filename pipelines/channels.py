"""What the channels of outputs are said to be, and how they become the logits of one head in our order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipelines.arrays import BoolArray, Float32Array, Float64Array
from pipelines.config import build
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import LAST_LAYERS, MAX_LABEL_SETS, HeadSpec, Rule, decide, log_odds
from pipelines.schema import BACKGROUND_CHANNEL, LOG_ODDS_LIMIT, Head, Kind
from pipelines.sentences import count_of, first_of

Activation: TypeAlias = Literal["sigmoid", "softmax"]
Values: TypeAlias = Literal["probabilities", "logits"]

_SETS: Final = "softmax-powerset"


class Declaration(BaseModel):
    """What the arrays of one head are said to be.

    head: the activation; a softmax over label sets is a softmax too.
    values: probabilities, after the activation; logits, before it. The log-probabilities of a softmax are logits:
    its softmax gives the same probabilities back.
    classes: name of every channel in order, background included; empty when they were not told.
    background: the one of `classes` that means "nothing here"; None when there is none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Activation
    values: Values
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    background: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        names = self.classes
        if len(set(names)) != len(names) or not all(name.isprintable() and name == name.strip() for name in names):
            raise ValueError("class names must differ and have no line breaks or blanks around them")
        if self.background is not None and self.background not in names:
            raise ValueError(f"background {self.background!r} is not one of the classes; name every channel in classes")
        return self

    @property
    def what(self) -> str:
        """Head and values in two words, such as "softmax logits"."""
        return f"{self.head} {self.values}"


def declare(head: Activation, values: Values, classes: str | None, background: str | None) -> Declaration:
    """A declaration from what a user typed. classes: comma-separated; background counts only if it is one of them.

    Raises ConfigError for a class that is named twice or has no name.
    """
    names = () if classes is None else tuple(name.strip() for name in classes.split(","))
    known = background if background in names else None
    return build(Declaration, {"head": head, "values": values, "classes": names, "background": known})


# Channels to logits ---------------------------------------------------------------------------------------------------

# Stands for log 0: low enough that no stored log-odds can tell it from minus infinity, and a number.
LOG_ZERO: Final = -2 * LOG_ODDS_LIMIT
_LARGEST_LOGIT: Final = 1e30  # float64 logits beyond float32 become this


@dataclass(frozen=True)
class Alignment:
    """How the channels of one head's outputs become its logits.

    spec: the head. values: of the outputs. count: channels of the outputs. order: for each channel of spec, its place
    in the outputs. dropped: channels that are left out.
    """

    spec: HeadSpec
    values: Values
    count: int
    order: tuple[int, ...]
    dropped: tuple[str, ...] = ()

    def logits(self, outputs: NDArray[Any], *, step: float = 0.0) -> Float32Array:
        """(K, H, W) outputs in their own order to logits in the head's, float32; a softmax's up to a shift.

        Sigmoid: log p - log(1 - p). Softmax: log p. Computed in float64. An exact 0 or 1 becomes the limit of what is
        stored (schema.LOG_ODDS_LIMIT), unless values have a step: then 0 stands for all that was rounded to it, and the
        middle of that, step / 4, is taken. Raises ShapeError for another number of channels.
        """
        if outputs.ndim != 3 or len(outputs) != self.count:
            raise ShapeError(f"outputs must have {count_of(self.count, 'channel')}, got shape {outputs.shape}")
        chosen = outputs[list(self.order)]
        if self.values == "logits":
            return np.clip(chosen, -_LARGEST_LOGIT, _LARGEST_LOGIT).astype(np.float32)
        p = np.clip(chosen.astype(np.float64), step / 4, 1 - step / 4)
        with np.errstate(divide="ignore"):
            log_p = _stored(np.log(p))
            return log_p if self.spec.is_softmax else (log_p - _stored(np.log1p(-p))).astype(np.float32)

    def decide(self, logits: Float32Array) -> BoolArray:
        """Which classes are called present, (C, H, W): the likeliest on exclusive truth, else each above 0.5."""
        rule: Rule = "argmax" if self.spec.kind == "exclusive" else "threshold"
        return decide(log_odds(self.spec, logits), rule=rule)


def _stored(log_p: Float64Array) -> Float32Array:
    return np.maximum(log_p, LOG_ZERO).astype(np.float32)


def align(
    declared: Declaration, head: Head, *, kind: Kind, classes: Sequence[str], background: str | None = None
) -> Alignment:
    """Match declared channels with the classes of a data set, by name.

    background: the class of exclusive truth that means "nothing here". A channel that is declared to be the background
    stands for that class, under whatever name. Where the truth has no such class, a sigmoid's background channel is
    left out; a softmax keeps it on binary and overlapping truth, where it is the share of "no label".
    Raises ConfigError, naming them, for classes without a channel and channels without a class.
    """
    channels = _channels(declared, head, kind, tuple(classes), background)
    layer = LAST_LAYERS[head]
    if layer.over_label_sets:
        return _label_sets(declared, channels, kind, tuple(classes))
    wanted = tuple(classes)
    if layer.is_softmax and kind != "exclusive":
        wanted = (BACKGROUND_CHANNEL, *classes)
    _check_names(head, channels, wanted, declared, kind, background if kind == "exclusive" else BACKGROUND_CHANNEL)
    spec = HeadSpec(head=head, kind=kind, classes=tuple(classes), channels=wanted)
    dropped = tuple(declared.classes[place] for place, name in enumerate(channels) if name not in wanted)
    order = tuple(channels.index(name) for name in wanted)
    return Alignment(spec, declared.values, len(channels), order, dropped)


def _channels(
    declared: Declaration, head: Head, kind: Kind, classes: tuple[str, ...], background: str | None
) -> tuple[str, ...]:
    """Declared names, with the background called as the data set or our heads call it."""
    if (declared.head == "sigmoid") != (head == "sigmoid"):
        raise ConfigError(f"outputs declared {declared.head} cannot be those of head {head}; declare what they are")
    found = declared.classes
    if not found:
        if head == "sigmoid" and len(classes) == 1:
            return classes
        usual = classes if kind == "exclusive" or head == "sigmoid" else (BACKGROUND_CHANNEL, *classes)
        raise ConfigError(
            f"nobody said what the channels of {head} are; name them in the order of the files, such as "
            f"--classes {','.join(usual)}"
        )
    nothing = declared.background or (BACKGROUND_CHANNEL if BACKGROUND_CHANNEL in found else None)
    if nothing is None or nothing in classes:
        return found
    called = background if kind == "exclusive" and background not in (None, *found) else BACKGROUND_CHANNEL
    return tuple(called or name if name == nothing else name for name in found)


def _check_names(
    head: Head,
    channels: tuple[str, ...],
    wanted: tuple[str, ...],
    declared: Declaration,
    kind: Kind,
    background: str | None,
) -> None:
    """background: what the class or channel of no label is called."""
    missing = [name for name in wanted if name not in channels]
    surplus = [name for name in channels if name not in (*wanted, BACKGROUND_CHANNEL)]
    if missing:
        mend = "bring every class of the data set, or correct --classes"
        if background is not None and missing == [background] and (kind == "exclusive" or surplus):
            mend = _without_background(head, wanted, surplus, background)
        elif missing == [BACKGROUND_CHANNEL]:
            mend = "its share of no label is then not known; bring that channel too, and name it with --background"
        raise ConfigError(
            f"{head} has no channel for {_listed(missing)} (its channels are {_listed(declared.classes)}); {mend}"
        )
    if surplus:
        raise ConfigError(
            f"{head} has {count_of(len(surplus), 'channel')} that the data set has no class for: {_listed(surplus)} "
            f"(its classes are {_listed([name for name in wanted if name != BACKGROUND_CHANNEL])}); only a background "
            "channel may be left over: declare it with --background, or correct --classes"
        )


def _without_background(head: Head, wanted: tuple[str, ...], surplus: Sequence[str], background: str) -> str:
    """What to do where nothing but the background is missing: name its channel, or do without such a class."""
    if surplus:
        return f"if {surplus[0]} is that, name it with --background {surplus[0]}"
    if not LAST_LAYERS[head].is_softmax:
        kind = "binary" if len(wanted) == 2 else "overlapping"
        why, reading = "a sigmoid needs none where pixels may carry no class", f'{{"kind": "{kind}"}}'
    else:
        why, reading = "a softmax without one says nothing of such pixels", f'{{"ignore": ["{background}"]}}'
    return f"{why}: read the data set with {reading}, in a JSON file, by --reading"


def _label_sets(declared: Declaration, channels: tuple[str, ...], kind: Kind, classes: tuple[str, ...]) -> Alignment:
    """A softmax over label sets, whose channels are class names joined by +."""
    if kind != "overlapping":
        raise ConfigError(
            f"a softmax over label sets is for overlapping truth, this data set's is {kind}; use --softmax"
        )
    sets = [_members(name, classes) for name in channels]
    if len(set(sets)) != len(sets):
        raise ConfigError(f"two channels of {_SETS} stand for the same label set ({_listed(channels)}); correct it")
    lacking = [name for index, name in enumerate(classes) if not any(index in members for members in sets)]
    if () not in sets:
        lacking.append(BACKGROUND_CHANNEL)
    if lacking:
        raise ConfigError(
            f"{_SETS} has no channel for {_listed(lacking)} (its channels are {_listed(declared.classes)}); "
            f"join the classes of a label set by +, and call the empty one {BACKGROUND_CHANNEL}"
        )
    if len(sets) > MAX_LABEL_SETS:
        raise ConfigError(f"{_SETS} has {len(sets)} label sets, at most {MAX_LABEL_SETS} are counted; bring fewer")
    order = sorted(range(len(sets)), key=lambda place: (sets[place] != (), place))  # the empty set comes first
    ours = tuple("+".join(classes[index] for index in sets[place]) or BACKGROUND_CHANNEL for place in order)
    spec = HeadSpec(head=_SETS, kind=kind, classes=classes, channels=ours, sets=tuple(sets[place] for place in order))
    return Alignment(spec, declared.values, len(sets), tuple(order))


def _members(channel: str, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Indices of the classes that a channel's name joins; a class whose own name holds a + is taken whole."""
    if channel == BACKGROUND_CHANNEL:
        return ()
    if channel in classes:
        return (classes.index(channel),)
    parts = [part.strip() for part in channel.split("+")]
    unknown = [part for part in parts if part not in classes]
    if unknown or len(set(parts)) != len(parts):
        raise ConfigError(
            f"channel {channel!r} of {_SETS} is no set of the data set's classes ({_listed(classes)}); join "
            f"the names of its classes by +, such as {'+'.join(classes[:2])}"
        )
    return tuple(sorted(classes.index(part) for part in parts))


def _listed(names: Sequence[str]) -> str:
    return first_of(names, 6)
