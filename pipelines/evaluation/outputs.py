"""A stored prediction to every output that is counted: as it is, at fitted temperatures, and read by the other head."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from pipelines import heads
from pipelines.arrays import Float16Array, Float32Array
from pipelines.heads import HeadSpec
from pipelines.schema import Head, Reading, Variant
from pipelines.storage import Prediction


@dataclass(frozen=True)
class Temperature:
    """Fitted temperatures of one head and seed: one for all its logits; by_class: for sigmoid, one a class."""

    common: float
    by_class: tuple[float, ...] | None = None


class Output(NamedTuple):
    """Log-odds to be counted.

    log_odds: (C, H, W) float16; softmax: whether the classes' p of a pixel are one softmax; channels: (E, H, W)
    float16 log-odds of its channels that are not classes, None where there are none; channel_labels: their numbers of
    labels.
    """

    reading: Reading
    variant: Variant
    log_odds: Float16Array
    softmax: bool
    channels: Float16Array | None = None
    channel_labels: tuple[int, ...] = ()


def readings_of(specs: dict[Head, HeadSpec]) -> tuple[Reading, ...]:
    """The swap test's readings of the networks there are, a lone one too.

    None for one class, where a two-class softmax is the sigmoid of a difference, and none of a softmax over label sets.
    """
    swapped: dict[Head, Reading] = {"sigmoid": "sigmoid-as-softmax", "softmax": "softmax-as-sigmoid"}
    return tuple(reading for head, reading in swapped.items() if head in specs and specs[head].kind != "binary")


def outputs(one: Prediction, spec: HeadSpec, temperature: Temperature | None, *, swap: bool) -> Iterator[Output]:
    """Everything that is counted of one image of one head.

    temperature: None where none was fitted; swap: whether the head is also read by the other one's function.
    """
    log_odds, extra = one.log_odds.astype(np.float32), one.extra.astype(np.float32)
    labels = _channel_labels(spec)
    channels = one.extra if labels else None
    yield Output(spec.head, "raw", one.log_odds, spec.is_softmax, channels, labels)
    if temperature is not None:
        yield from _at_temperatures(spec, log_odds, extra, temperature)
    if swap and spec.head == "sigmoid":
        classes, none = heads.read_as_softmax(spec, log_odds)
        rest: dict[str, Any] = {"channels": _half(none), "channel_labels": (0,)} if len(none) else {}
        yield Output("sigmoid-as-softmax", "raw", _half(classes), softmax=True, **rest)
    if swap and spec.head == "softmax" and one.logsumexp is not None:
        logits = heads.read_as_sigmoid(spec, log_odds, extra, one.logsumexp.astype(np.float32))
        yield Output("softmax-as-sigmoid", "raw", _half(logits), softmax=False)


def _at_temperatures(
    spec: HeadSpec, log_odds: Float32Array, extra: Float32Array, temperature: Temperature
) -> Iterator[Output]:
    labels = _channel_labels(spec)
    if labels:
        logits = heads.logits_at_temperature(spec, log_odds, extra, temperature.common)
        scaled, channels = heads.log_odds(spec, logits), _half(heads.extra_log_odds(spec, logits))
        yield Output(spec.head, "temperature", _half(scaled), spec.is_softmax, channels, labels)
    else:
        scaled = heads.at_temperature(spec, log_odds, extra, temperature.common)
        yield Output(spec.head, "temperature", _half(scaled), spec.is_softmax)
    if temperature.by_class is not None:
        scaled = heads.at_temperature(spec, log_odds, extra, np.array(temperature.by_class))
        yield Output(spec.head, "temperature-by-class", _half(scaled), spec.is_softmax)


def _channel_labels(spec: HeadSpec) -> tuple[int, ...]:
    """How many labels each stored channel that is not a class stands for."""
    if spec.head == "softmax-powerset":
        return tuple(len(members) for members in spec.sets)
    return (0,) if spec.extra_channels else ()


def _half(values: Float32Array) -> Float16Array:
    return values.astype(np.float16)
