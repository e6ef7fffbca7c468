"""Logits of single pixels to what a sigmoid and a softmax make of them: probabilities, labels and losses.

The arithmetic of the trained heads without a network. Everything works on one pixel, (C,), and on a whole plane of
them, (C, ...); the background channel of a softmax comes first, as in `heads.HeadSpec`.
"""

from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike

from pipelines.arrays import BoolArray, Float64Array
from pipelines.errors import ShapeError
from pipelines.heads import HeadSpec, decide, log_odds, logsumexp, sigmoid, softplus
from pipelines.schema import BACKGROUND_CHANNEL

Rule: TypeAlias = Literal["argmax", "threshold"]
Coding: TypeAlias = Literal["priority", "split"]
SMOOTHING: Final = 1.0  # pixels added to both sides of soft Dice, as in training


def sigmoid_spec(classes: Sequence[str]) -> HeadSpec:
    """A sigmoid for each class."""
    names = tuple(classes)
    return HeadSpec(head="sigmoid", kind="binary" if len(names) == 1 else "overlapping", classes=names, channels=names)


def softmax_spec(classes: Sequence[str], *, background: bool) -> HeadSpec:
    """One softmax over the classes, with or without a channel for "no label".

    Raises ShapeError for one class without background: a softmax over one channel is 1 whatever the logit.
    """
    names = tuple(classes)
    if not background:
        if len(names) == 1:
            raise ShapeError("a softmax over one channel is always 1; give it a background channel")
        return HeadSpec(head="softmax", kind="exclusive", classes=names, channels=names)
    kind: Literal["binary", "overlapping"] = "binary" if len(names) == 1 else "overlapping"
    return HeadSpec(head="softmax", kind=kind, classes=names, channels=(BACKGROUND_CHANNEL, *names))


def channel_logits(spec: HeadSpec, logits: ArrayLike, *, background: float = 0.0) -> Float64Array:
    """A head's own channels: class logits (C, ...), after the background's where the head has one. (K, ...)."""
    given = np.asarray(logits, np.float64)
    if not _has_background(spec):
        return given
    return np.concatenate([np.full_like(given[:1], background), given])


def class_probabilities(spec: HeadSpec, channels: ArrayLike, *, temperature: float = 1.0) -> Float64Array:
    """Probability that each class is there, (C, ...), from channel logits (K, ...) divided by a temperature > 0."""
    return sigmoid(_log_odds(spec, channels, temperature)).astype(np.float64)


def one_label_probability(p: ArrayLike) -> Float64Array:
    """Probability of exactly one label if labels are independent, Σ_k p_k Π_{j≠k} (1 − p_j): (C, ...) to (...)."""
    given = np.asarray(p, np.float64)
    others = [np.prod(np.delete(1 - given, index, axis=0), axis=0) for index in range(len(given))]
    return (given * np.stack(others)).sum(axis=0)


def called(
    spec: HeadSpec, channels: ArrayLike, *, rule: Rule, threshold: float = 0.5, temperature: float = 1.0
) -> BoolArray:
    """Labels that are given, (C, ...) bool.

    threshold: every class with p > threshold. argmax: the class of the largest logit, the first on a tie, and none
    where that is the background's; a sigmoid has no background and so names a class always.
    """
    if rule == "threshold":
        return decide(_log_odds(spec, channels, temperature), rule="threshold", thresholds=threshold)
    winners = decide(_scaled(channels, temperature), rule="argmax")
    return winners[1:] if _has_background(spec) else winners


def least_logit(
    spec: HeadSpec, others: ArrayLike, *, rule: Rule, threshold: float = 0.5, temperature: float = 1.0
) -> Float64Array:
    """The logit above which a class is called, given the head's other channels (K − 1, ...): (...).

    argmax: the largest of the others, −∞ without any. threshold t: where p = t. With ℓ = ln(t / (1 − t)) that is T ℓ
    for a sigmoid, whatever the others, and T (ℓ + logsumexp(others / T)) for a softmax.
    """
    rest = np.asarray(others, np.float64)
    if rule == "argmax":
        return rest.max(axis=0, initial=-np.inf)
    cut = np.log(threshold) - np.log1p(-threshold)
    if not spec.is_softmax:
        return np.full(rest.shape[1:], temperature * cut)
    return temperature * (cut + np.logaddexp.reduce(rest / temperature, axis=0))


def softmax_target(
    spec: HeadSpec, truth: Sequence[bool], *, coding: Coding, order: Sequence[int]
) -> Float64Array | None:
    """What a softmax is trained towards, (K,) adding up to 1, or None where no channel stands for the truth.

    truth: for each class whether it is there. coding, where several are: "priority", the first of `order` (class
    indices) takes it all; "split", each takes the same share. Without a label: all on the background channel.
    """
    there = np.asarray(truth, np.bool_)
    target = np.zeros(len(spec.channels))
    if not there.any():
        if not _has_background(spec):
            return None
        target[0] = 1.0
        return target
    first = 1 if _has_background(spec) else 0
    if coding == "split":
        target[first:] = there / there.sum()
    else:
        target[first + next(index for index in order if there[index])] = 1.0
    return target


def binary_cross_entropy(logits: ArrayLike, truth: ArrayLike) -> float:
    """Mean over the classes of −log P(what is true), from log-odds (C,) and truth (C,) of 0 and 1, in nats."""
    signs = 1 - 2 * np.asarray(truth, np.float64)
    return float(softplus(_as_heads(signs * np.asarray(logits, np.float64))).mean(dtype=np.float64))


def cross_entropy(channels: ArrayLike, target: ArrayLike) -> float:
    """−Σ_k q_k log p_k of a softmax, from channel logits (K,) and a target q (K,) that adds up to 1, in nats."""
    given = np.asarray(channels, np.float64)
    return float(logsumexp(_as_heads(given)) - (np.asarray(target, np.float64) * given).sum())


def least_cross_entropy(target: ArrayLike) -> float:
    """The smallest cross-entropy that any logits reach: the target's entropy, ln n if it is split in n parts."""
    q = np.asarray(target, np.float64)
    q = q[q > 0]
    return float(-(q * np.log(q)).sum()) + 0.0  # no minus before zero


def soft_dice_loss(p: ArrayLike, truth: ArrayLike) -> float:
    """1 − soft Dice of one pixel, mean over the classes: 1 − (2py + s) / (p + y + s) with s = SMOOTHING. (C,) each.

    In training p and y are summed over all pixels of a batch before they are divided.
    """
    given, y = np.asarray(p, np.float64), np.asarray(truth, np.float64)
    return float((1 - (2 * given * y + SMOOTHING) / (given + y + SMOOTHING)).mean())


def least_softmax_dice_loss(truth: Sequence[bool]) -> float:
    """The smallest soft Dice loss of one pixel over probabilities that add up to at most 1.

    With n labels true, each wants p = 1 and all share one unit. The loss of each, 1 − (2p + s) / (p + 1 + s), is
    convex in p, so that equal shares 1/n are best.
    """
    there = np.asarray(truth, np.bool_)
    return soft_dice_loss(there / max(int(there.sum()), 1), there)


def _has_background(spec: HeadSpec) -> bool:
    return spec.is_softmax and spec.channels[0] == BACKGROUND_CHANNEL


def _scaled(channels: ArrayLike, temperature: float) -> Any:
    if not temperature > 0:
        raise ShapeError(f"temperature must be above 0, got {temperature}")
    return _as_heads(np.asarray(channels, np.float64) / temperature)


def _as_heads(values: Float64Array) -> Any:
    """In the precision of the heads."""
    return values.astype(np.float32)


def _log_odds(spec: HeadSpec, channels: ArrayLike, temperature: float) -> Any:
    return log_odds(spec, _scaled(channels, temperature))
