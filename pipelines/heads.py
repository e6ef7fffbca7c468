"""Sigmoid and softmax last layers: truth to training targets, logits to log-odds, log-odds to decisions.

All heads speak one language: for each class c the log-odds l_c of "c is present", so that p_c = sigmoid(l_c).
Sigmoid: l_c = z_c.  Softmax: l_c = z_c - logsumexp over k != c of z_k.  Softmax over label sets: the sets that
contain c against those that do not.

`LAST_LAYERS` holds what the project knows of each kind of last layer; a `HeadSpec` is one of them over the classes of a
data set.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from pipelines.arrays import BoolArray, Float16Array, Float32Array, Float64Array, Int64Array
from pipelines.errors import ConfigError, ShapeError
from pipelines.schema import BACKGROUND_CHANNEL, LOG_ODDS_LIMIT, Head, Kind, SoftmaxRule

IGNORED: Final = -1  # target value of a pixel that no loss may see
MAX_LABEL_SETS: Final = 64
Rule: TypeAlias = Literal["argmax", "threshold"]


class HeadSpec(BaseModel):
    """One last layer over one list of classes: what each channel means and how truth is coded for it.

    channels: names in logit order. For sigmoid, and for softmax on exclusive truth, these are the classes.
    sets: for a softmax over label sets, the set of each channel as class indices; channel 0 is the empty set.
    priority: for a softmax on overlapping truth, class indices, first wins.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    head: Head
    kind: Kind
    classes: Annotated[tuple[str, ...], Field(min_length=1)]
    channels: tuple[str, ...]
    sets: tuple[tuple[int, ...], ...] = ()
    priority: tuple[int, ...] = ()

    @property
    def layer(self) -> "LastLayer":
        """What is known of this kind of last layer."""
        return LAST_LAYERS[self.head]

    @property
    def is_softmax(self) -> bool:
        """Whether the channels of a pixel share one unit of probability."""
        return self.layer.is_softmax

    @property
    def extra_channels(self) -> tuple[str, ...]:
        """Channels that are not classes and must be stored to get all logits back."""
        return self.layer.extra_channels(self)

    def shared_channels(self) -> tuple[tuple[int, int], ...]:
        """(class index, channel index) pairs for channels that mean exactly "this class"."""
        if self.layer.over_label_sets:
            return ()
        return tuple((index, self.channels.index(name)) for index, name in enumerate(self.classes))


# Kinds of last layers ------------------------------------------------------------------------------------------------


class LastLayer:
    """One kind of last layer: its names, and what it makes of truth and logits. The base is the sigmoid's.

    name: in tables and files. title, short: where it is shown. option: of the command line, --<option>.
    swap: `head` of the row that says what decoding its logits by the other head changes, if it can be.
    """

    name: ClassVar[Head] = "sigmoid"
    title: ClassVar[str] = "Sigmoid"
    short: ClassVar[str] = "Sigmoid"
    option: ClassVar[str] = "sigmoid"
    swap: ClassVar[str | None] = "reading-of-sigmoid"
    is_softmax: ClassVar[bool] = False
    over_label_sets: ClassVar[bool] = False

    @property
    def one_label(self) -> bool:
        """Whether it can give a pixel one label at most."""
        return self.is_softmax and not self.over_label_sets

    @property
    def in_words(self) -> str:
        """Within a sentence, such as "sigmoid head"."""
        return self.title.lower() if self.over_label_sets else f"{self.title.lower()} head"

    def extra_channels(self, spec: HeadSpec) -> tuple[str, ...]:
        """Channels that are not classes."""
        return ()

    def target(self, spec: HeadSpec, truth: BoolArray, valid: BoolArray) -> Int64Array | Float32Array:
        """Training target of one image, as `encode` says; the shapes fit."""
        return (truth & valid).astype(np.float32)

    def class_log_odds(self, spec: HeadSpec, logits: Float32Array) -> Float32Array:
        """Log-odds of each class, (C, ...), from logits (K, ...) that are finite."""
        return logits

    def stored_channels(
        self, spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array
    ) -> dict[str, Float32Array]:
        """Log-odds of every channel by its name, from what is stored."""
        return dict(zip(spec.extra_channels, extra, strict=True)) | dict(zip(spec.classes, class_log_odds, strict=True))


class _Softmax(LastLayer):
    """One channel a class, and one for the background where truth has pixels without a label."""

    name: ClassVar[Head] = "softmax"
    title = short = "Softmax"
    option = "softmax"
    swap: ClassVar[str | None] = "reading-of-softmax"
    is_softmax = True

    def extra_channels(self, spec: HeadSpec) -> tuple[str, ...]:
        # With two channels the background's log-odds are minus the foreground's.
        return (BACKGROUND_CHANNEL,) if spec.kind == "overlapping" else ()

    def target(self, spec: HeadSpec, truth: BoolArray, valid: BoolArray) -> Int64Array | Float32Array:
        channel = self._channels(spec, truth)
        channel[~valid] = IGNORED
        return channel

    def _channels(self, spec: HeadSpec, truth: BoolArray) -> Int64Array:
        """The channel that each pixel belongs to: (C, H, W) to (H, W)."""
        if spec.kind == "exclusive":
            return truth.argmax(axis=0).astype(np.int64)
        channel = np.zeros(truth.shape[1:], np.int64)
        for index in reversed(spec.priority or range(len(spec.classes))):  # the first is written last and so wins
            channel[truth[index]] = spec.channels.index(spec.classes[index])
        return channel

    def class_log_odds(self, spec: HeadSpec, logits: Float32Array) -> Float32Array:
        return channel_log_odds(logits)[[channel for _, channel in spec.shared_channels()]]

    def stored_channels(
        self, spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array
    ) -> dict[str, Float32Array]:
        background = {BACKGROUND_CHANNEL: -class_log_odds[0]} if spec.kind == "binary" else {}
        return super().stored_channels(spec, class_log_odds, extra) | background


class _LabelSetSoftmax(_Softmax):
    """One channel a label set, so that a softmax can give a pixel several labels."""

    name = "softmax-powerset"
    title, short = "Softmax over label sets", "Label sets"
    option = "powerset"
    swap = None
    over_label_sets = True

    def extra_channels(self, spec: HeadSpec) -> tuple[str, ...]:
        return spec.channels

    def _channels(self, spec: HeadSpec, truth: BoolArray) -> Int64Array:
        """A set without a channel goes to the most similar one (largest Jaccard index, then the commoner one)."""
        flat = truth.reshape(len(spec.classes), -1)
        _, first, inverse = np.unique(_pixel_keys(flat), return_index=True, return_inverse=True)
        patterns = flat[:, first]
        known = np.zeros((len(spec.sets), len(spec.classes)), np.bool_)
        for row, members in enumerate(spec.sets):
            known[row, list(members)] = True
        channel = np.array([_most_similar(patterns[:, k], known) for k in range(patterns.shape[1])], np.int64)
        return channel[inverse.reshape(-1)].reshape(truth.shape[1:])

    def class_log_odds(self, spec: HeadSpec, logits: Float32Array) -> Float32Array:
        """P(A) is the sum over the label sets that contain A."""
        rows = []
        for index in range(len(spec.classes)):
            inside = np.array([index in members for members in spec.sets])
            never = np.full(logits.shape[1:], -LOG_ODDS_LIMIT, np.float32)
            rows.append(logsumexp(logits[inside]) - logsumexp(logits[~inside]) if inside.any() else never)
        return np.stack(rows)

    def stored_channels(
        self, spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array
    ) -> dict[str, Float32Array]:
        return dict(zip(spec.extra_channels, extra, strict=True))


LAST_LAYERS: Final[dict[Head, LastLayer]] = {
    layer.name: layer for layer in (LastLayer(), _Softmax(), _LabelSetSoftmax())
}


def missing_head(heads: Sequence[Head]) -> Literal["sigmoid", "softmax"] | None:
    """What a run needs before anything can be compared: a sigmoid, or any softmax; None when both are there."""
    if "sigmoid" not in heads:
        return "sigmoid"
    return "softmax" if len(heads) == 1 else None


def only(heads: Sequence[Head]) -> str:
    """What is there.

    >>> only(["sigmoid"]), only(["softmax", "softmax-powerset"])
    ('Only the sigmoid head is here', 'Only the softmax head and the softmax over label sets are here')
    """
    names = " and the ".join(LAST_LAYERS[head].in_words for head in heads)
    return f"Only the {names} {'is' if len(heads) == 1 else 'are'} here"


# The heads of a data set ---------------------------------------------------------------------------------------------


def head_specs(
    kind: Kind,
    classes: Sequence[str],
    *,
    softmax_rule: SoftmaxRule = "both",
    set_counts: Mapping[tuple[int, ...], int] | None = None,
    priority: Sequence[str] | None = None,
) -> tuple[HeadSpec, ...]:
    """The contenders for one data set, sigmoid first.

    set_counts: for overlapping truth, pixels of the training split by label set (sorted class indices).
    priority: class names, first wins; None: the class with the fewest training pixels wins.
    Raises ConfigError when overlapping truth comes without set_counts or priority names an unknown class.
    """
    names = tuple(classes)
    sigmoid = HeadSpec(head="sigmoid", kind=kind, classes=names, channels=names)
    if kind == "exclusive":
        return sigmoid, HeadSpec(head="softmax", kind=kind, classes=names, channels=names)
    if kind == "binary":
        return sigmoid, HeadSpec(head="softmax", kind=kind, classes=names, channels=(BACKGROUND_CHANNEL, *names))
    if set_counts is None:
        raise ConfigError("overlapping truth needs the pixel counts of its label sets; count the training split first")
    specs = [sigmoid]
    if softmax_rule in ("priority", "both"):
        order = _priority_order(names, set_counts, priority)
        specs.append(
            HeadSpec(head="softmax", kind=kind, classes=names, channels=(BACKGROUND_CHANNEL, *names), priority=order)
        )
    if softmax_rule in ("powerset", "both"):
        sets = _label_sets(set_counts)
        channels = tuple("+".join(names[index] for index in members) or BACKGROUND_CHANNEL for members in sets)
        specs.append(HeadSpec(head="softmax-powerset", kind=kind, classes=names, channels=channels, sets=sets))
    return tuple(specs)


def _priority_order(
    classes: tuple[str, ...], set_counts: Mapping[tuple[int, ...], int], priority: Sequence[str] | None
) -> tuple[int, ...]:
    if priority is None:
        area = [sum(n for members, n in set_counts.items() if index in members) for index in range(len(classes))]
        return tuple(sorted(range(len(classes)), key=lambda index: (area[index], index)))
    if sorted(priority) != sorted(classes):
        raise ConfigError(
            f"priority must name each class once ({', '.join(classes)}), got {', '.join(priority)}; list all of them"
        )
    return tuple(classes.index(name) for name in priority)


def _label_sets(set_counts: Mapping[tuple[int, ...], int]) -> tuple[tuple[int, ...], ...]:
    """The empty set, then the commonest sets seen in training, at most MAX_LABEL_SETS in all."""
    seen = sorted(
        (members for members, n in set_counts.items() if n > 0 and members), key=lambda m: (-set_counts[m], m)
    )
    return ((), *seen[: MAX_LABEL_SETS - 1])


def encode(spec: HeadSpec, truth: BoolArray, valid: BoolArray) -> Int64Array | Float32Array:
    """Training target of one image.

    truth: (C, H, W) bool; valid: (H, W) bool, False where the truth is to be ignored.
    Returns, for sigmoid, (C, H, W) float32 of 0 and 1; for softmax, (H, W) int64 channel indices with IGNORED
    where valid is False. Sigmoid targets at ignored pixels are 0 and must be masked by the loss.
    A label set without a channel is coded as the most similar known one (largest Jaccard index, then the commoner
    one). Raises ShapeError when the shapes do not fit.
    """
    if truth.ndim != 3 or truth.shape[0] != len(spec.classes) or truth.shape[1:] != valid.shape:
        raise ShapeError(
            f"truth must be ({len(spec.classes)}, H, W) and valid (H, W), got {truth.shape} and {valid.shape}"
        )
    return spec.layer.target(spec, truth, valid)


def _pixel_keys(flat: BoolArray) -> NDArray[Any]:
    """One sortable value for each column of (C, P) flags: sorting 8-byte keys is ten times faster than columns."""
    packed = np.packbits(flat, axis=0)
    width = max(8, len(packed))
    keys = np.zeros((flat.shape[1], width), np.uint8)
    keys[:, : len(packed)] = packed.T
    return keys.view(np.uint64 if width == 8 else f"V{width}")[:, 0]


def _most_similar(pattern: BoolArray, known: BoolArray) -> int:
    union = (known | pattern).sum(axis=1)
    jaccard = np.where(union == 0, 1.0, (known & pattern).sum(axis=1) / np.maximum(union, 1))
    return int(jaccard.argmax())  # first maximum: sets are sorted by how common they are


# Logits to log-odds --------------------------------------------------------------------------------------------------


def log_odds(spec: HeadSpec, logits: Float32Array) -> Float32Array:
    """Log-odds of each class being present.

    logits: (K, ...) float32, one row a channel. Returns (C, ...) float32, clipped to ±LOG_ODDS_LIMIT.
    Raises ShapeError when the number of channels is not the head's or a logit is not a number.

    >>> log_odds(head_specs("exclusive", ["a", "b"])[1], np.log(np.array([[3.0], [1.0]], np.float32))).round(2)
    array([[ 1.1],
           [-1.1]], dtype=float32)
    """
    if logits.ndim < 1 or logits.shape[0] != len(spec.channels):
        raise ShapeError(f"{spec.head} has {len(spec.channels)} channels, got logits of shape {logits.shape}")
    if not np.isfinite(logits).all():
        raise ShapeError(
            f"{spec.head} logits hold values that are not numbers; lower the learning rate and train again"
        )
    return np.clip(spec.layer.class_log_odds(spec, logits), -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT).astype(np.float32)


def channel_log_odds(logits: Float32Array) -> Float32Array:
    """Log-odds of each softmax channel against all others, z_c - logsumexp over k != c of z_k.

    logits: (K, ...) with K >= 2. The largest channel's complement is summed without it: log(1 - p) from p would
    have no digits left there.
    """
    log_p = logits - logsumexp(logits)
    top = np.expand_dims(logits.argmax(axis=0), 0)
    p = np.exp(log_p)
    # At the largest channel p may round to 1; its value is overwritten below.
    out = log_p - np.log1p(-np.minimum(p, np.float32(0.999)))
    others = logits.copy()
    np.put_along_axis(others, top, -np.inf, axis=0)
    top_value = np.take_along_axis(logits, top, axis=0) - logsumexp(others)[None]
    np.put_along_axis(out, top, top_value, axis=0)
    return np.clip(out, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT).astype(np.float32)


def logsumexp(logits: Float32Array) -> Float32Array:
    """log of the sum of exp over the first axis; -inf entries count as 0. (K, ...) to (...)."""
    peak = logits.max(axis=0)
    safe = np.where(np.isfinite(peak), peak, np.float32(0))
    with np.errstate(divide="ignore"):  # log(0) = -inf is the answer when every entry is -inf
        return (np.log(np.exp(logits - safe).sum(axis=0)) + safe).astype(np.float32)


def extra_log_odds(spec: HeadSpec, logits: Float32Array) -> Float32Array:
    """Log-odds of the channels that are not classes, (len(extra_channels), ...) float32."""
    if not spec.extra_channels:
        return np.empty((0, *logits.shape[1:]), np.float32)
    every = channel_log_odds(logits)
    return every[[spec.channels.index(name) for name in spec.extra_channels]]


def at_temperature(
    spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array, temperature: float | Float64Array
) -> Float32Array:
    """Class log-odds of the same network with its logits divided by a temperature, from what is stored.

    class_log_odds: (C, ...); extra: (E, ...) log-odds of the extra channels; temperature: > 0, a number, or for
    sigmoid one per class, (C,). For softmax, softmax(log p / T) is softmax(z / T): the shift cancels.
    Returns (C, ...) float32.
    """
    if not spec.is_softmax or spec.kind == "binary":  # z1 - z0 carries everything
        scale = _checked_temperature(temperature)
        shape = (-1,) + (1,) * (class_log_odds.ndim - 1) if scale.ndim else ()
        scaled = class_log_odds / scale.reshape(shape)
        return np.clip(scaled, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT).astype(np.float32)
    return log_odds(spec, logits_at_temperature(spec, class_log_odds, extra, temperature))


def logits_at_temperature(
    spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array, temperature: float | Float64Array
) -> Float32Array:
    """Logits of a softmax divided by a temperature, up to a shift of each pixel, (K, ...) float32."""
    return channel_log_probs(spec, class_log_odds, extra) / _checked_temperature(temperature)


def _checked_temperature(temperature: float | Float64Array) -> Float32Array:
    scale = np.asarray(temperature, np.float32)
    if not np.all(scale > 0):
        raise ShapeError(f"temperature must be above 0, got {temperature}")
    return scale


# Decoding by the other head ------------------------------------------------------------------------------------------


def read_as_softmax(spec: HeadSpec, class_log_odds: Float32Array) -> tuple[Float32Array, Float32Array]:
    """A sigmoid network's logits decoded by a softmax: what its output would be if labels excluded each other.

    class_log_odds: (C, ...), the network's logits. Exclusive truth: softmax(z), independent sigmoids given exactly
    one label. Otherwise softmax over 0 and z, the 0 standing for no label: independent sigmoids given at most one.
    Returns log-odds of the classes, (C, ...), and of no label, (1, ...), or (0, ...) where every pixel has a label.
    """
    if spec.is_softmax:
        raise ShapeError(f"read_as_softmax takes a sigmoid head's logits, got {spec.head}")
    if spec.kind == "exclusive":
        return channel_log_odds(class_log_odds), np.empty((0, *class_log_odds.shape[1:]), np.float32)
    every = channel_log_odds(np.concatenate([np.zeros_like(class_log_odds[:1]), class_log_odds]))
    return every[1:], every[:1]


def read_as_sigmoid(
    spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array, logsumexp: Float32Array
) -> Float32Array:
    """A softmax network's logits decoded by sigmoids, (C, ...) float32 log-odds.

    class_log_odds: (C, ...); extra: (E, ...); logsumexp: (...) of the network's own logits. Where there is a
    background channel, z_c - z_background: the inverse of `read_as_softmax`, whatever the shift of the logits. On
    exclusive truth there is none and the logits are taken as they are, z_c = log p_c + logsumexp: cross-entropy does
    not see a shift common to all channels, so training has left it to chance, and that is part of what the test shows.
    """
    if not spec.layer.one_label:
        raise ShapeError(f"read_as_sigmoid takes a softmax with one channel a class, got {spec.head}")
    log_p = channel_log_probs(spec, class_log_odds, extra)
    if BACKGROUND_CHANNEL in spec.channels and BACKGROUND_CHANNEL not in spec.classes:
        channel = spec.channels.index(BACKGROUND_CHANNEL)
        logits = np.delete(log_p, channel, axis=0) - log_p[channel]
    else:
        logits = log_p + logsumexp
    return np.clip(logits, -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT).astype(np.float32)


def channel_log_probs(spec: HeadSpec, class_log_odds: Float32Array, extra: Float32Array) -> Float32Array:
    """log p of every softmax channel in logit order, (K, ...) float32, from stored log-odds."""
    stored = spec.layer.stored_channels(spec, class_log_odds, extra)
    return np.stack([-softplus(-stored[name]) for name in spec.channels])


# Arithmetic and decisions --------------------------------------------------------------------------------------------


def softplus(x: Float32Array) -> Float32Array:
    """log(1 + exp(x)) without overflow."""
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def sigmoid(x: Float32Array) -> Float32Array:
    """1 / (1 + exp(-x)) without overflow."""
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def decide(
    class_log_odds: Float32Array | Float16Array,
    *,
    rule: Rule,
    thresholds: float | Sequence[float] = 0.5,
) -> BoolArray:
    """Which classes are called present, (C, ...) bool.

    argmax: exactly one class a pixel, the one with the largest log-odds (the first on a tie).
    threshold: every class with p > its threshold. `>`: bins are right-closed, so p = t lies at or below t.

    >>> decide(np.array([2.0, 1.0], np.float16), rule="argmax").tolist()
    [True, False]
    """
    if rule == "argmax":
        winner = class_log_odds.argmax(axis=0)
        classes = np.arange(class_log_odds.shape[0]).reshape((-1,) + (1,) * winner.ndim)
        return winner[None] == classes
    t = np.broadcast_to(np.asarray(thresholds, np.float64), (class_log_odds.shape[0],))
    if not np.all((t > 0) & (t < 1)):
        raise ShapeError(f"thresholds must lie strictly between 0 and 1, got {thresholds}")
    cut = np.log(t) - np.log1p(-t)
    return class_log_odds > cut.reshape((-1,) + (1,) * (class_log_odds.ndim - 1))
