"""Paired training losses: each family in a sigmoid and a softmax form over one shared core.

Mean binary cross-entropy and cross-entropy differ in scale: at zero logits the first is ln 2 whatever the number of
classes, the second ln K. That is why a learning rate can be given per head. Everything is computed in float32,
whatever precision the network ran in.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.config import Loss
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import HeadSpec

LossFunction: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
_Form: TypeAlias = Callable[[HeadSpec, Tensor, Tensor, Tensor], Tensor]

FOCAL_GAMMA: Final = 2.0  # Lin et al. 2017
DICE_SMOOTHING: Final = 1.0  # pixels added to both sides: a class absent from truth and prediction scores 1


@dataclass(frozen=True)
class LossFamily:
    """One loss in both forms. Each takes a head, float32 logits, target and valid mask and gives a scalar."""

    sigmoid: _Form
    softmax: _Form


def loss_function(name: Loss, spec: HeadSpec) -> LossFunction:
    """The loss of one head.

    The function takes logits (N, K, H, W) float; target as heads.encode gives it, stacked: (N, C, H, W) float32 for
    sigmoid, (N, H, W) int64 for softmax; valid (N, H, W) bool. It returns a float32 scalar. Pixels that are not valid
    are in no sum and in no count; a batch without a valid pixel gives 0 with zero gradient.
    Raises ConfigError for an unknown name; the function raises ShapeError when the shapes do not fit.
    """
    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}; available are {', '.join(LOSSES)}")
    form = LOSSES[name].softmax if spec.is_softmax else LOSSES[name].sigmoid

    def compute(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        _check_shapes(spec, logits, target, valid)
        with torch.autocast(logits.device.type, enabled=False):
            return form(spec, logits.float(), target, valid)

    return compute


def memberships(spec: HeadSpec) -> Tensor:
    """Which channels say that a class is present: (K, C) float32 of 0 and 1.

    A class's probability is the sum of its channels' probabilities; background belongs to no class.
    """
    table = torch.zeros(len(spec.channels), len(spec.classes))
    for channel, members in enumerate(spec.sets):
        table[channel, list(members)] = 1
    for index, channel in spec.shared_channels():
        table[channel, index] = 1
    return table


def class_probabilities(spec: HeadSpec, logits: Tensor) -> Tensor:
    """Probability of each class being present: logits (N, K, H, W) float to (N, C, H, W) float32 in [0, 1]."""
    logits = logits.float()
    if not spec.is_softmax:
        return logits.sigmoid()
    return _to_classes(spec, logits.softmax(dim=1))


def _to_classes(spec: HeadSpec, channels: Tensor) -> Tensor:
    """Sum channels (N, K, H, W) into classes (N, C, H, W)."""
    if spec.channels == spec.classes:
        return channels
    if spec.head == "softmax":  # background first, then the classes in order
        return channels[:, [channel for _, channel in spec.shared_channels()]]
    return torch.einsum("nkhw,kc->nchw", channels, memberships(spec).to(channels.device))


def _check_shapes(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> None:
    batch, height, width = valid.shape
    expected = (batch, height, width) if spec.is_softmax else (batch, len(spec.classes), height, width)
    if logits.shape != (batch, len(spec.channels), height, width) or target.shape != expected:
        raise ShapeError(
            f"{spec.head} loss needs logits ({batch}, {len(spec.channels)}, {height}, {width}) and target {expected}, "
            f"got {tuple(logits.shape)} and {tuple(target.shape)}"
        )


# Negative log-likelihoods, with 0 at ignored pixels --------------------------------------------------------------


def _sigmoid_nll(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    nll = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return torch.where(valid[:, None], nll, 0.0)


def _softmax_nll(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    known = torch.where(valid, target, -100)
    return functional.cross_entropy(logits, known, reduction="none", ignore_index=-100)[:, None]


def _mean(values: Tensor, valid: Tensor) -> Tensor:
    """Mean of (N, K, H, W) over valid pixels and K; values are 0 where not valid."""
    return values.sum() / (valid.sum() * values.shape[1]).clamp(min=1)


def _focal(nll: Tensor) -> Tensor:
    """(1 - p)^gamma · nll, where p = exp(-nll) is the probability of what is true."""
    return (-torch.expm1(-nll)) ** FOCAL_GAMMA * nll


# The families ----------------------------------------------------------------------------------------------------


def _soft_dice(probability: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """1 - soft Dice, pooled over the batch's valid pixels, mean over classes. Both tensors are (N, C, H, W)."""
    seen = valid[:, None]
    p, y = torch.where(seen, probability, 0.0), torch.where(seen, target, 0.0)
    both, either = (p * y).sum(dim=(0, 2, 3)), (p + y).sum(dim=(0, 2, 3))
    return (1 - (2 * both + DICE_SMOOTHING) / (either + DICE_SMOOTHING)).mean()


def _sigmoid_ce(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return _mean(_sigmoid_nll(logits, target, valid), valid)


def _softmax_ce(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return _mean(_softmax_nll(logits, target, valid), valid)


def _sigmoid_focal(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return _mean(_focal(_sigmoid_nll(logits, target, valid)), valid)


def _softmax_focal(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return _mean(_focal(_softmax_nll(logits, target, valid)), valid)


def _sigmoid_dice(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    return _soft_dice(class_probabilities(spec, logits), target, valid)


def _softmax_dice(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Over the classes alone, as for sigmoid: a background channel only takes part in the normalisation."""
    one_hot = functional.one_hot(target.clamp(min=0), logits.shape[1]).movedim(-1, 1).float()
    return _soft_dice(class_probabilities(spec, logits), _to_classes(spec, one_hot), valid)


def _sum(*forms: _Form) -> _Form:
    def total(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        return torch.stack([form(spec, logits, target, valid) for form in forms]).sum()

    return total


LOSSES: Final[dict[Loss, LossFamily]] = {
    "ce": LossFamily(_sigmoid_ce, _softmax_ce),
    "dice": LossFamily(_sigmoid_dice, _softmax_dice),
    "ce+dice": LossFamily(_sum(_sigmoid_ce, _sigmoid_dice), _sum(_softmax_ce, _softmax_dice)),
    "focal": LossFamily(_sigmoid_focal, _softmax_focal),
}
