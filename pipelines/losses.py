"""Paired training losses: one table, each loss with what is said of it and its form for a sigmoid and for a softmax.

A loss is a sum of terms. A pixel term is made of each pixel's negative log-likelihood, a region term of the classes'
probabilities and truth; what differs between the heads is how these two are had from the logits, so that a new loss is
one entry of `LOSSES`. torch is imported when a loss is computed: settings and forms only read the table.

Mean binary cross-entropy and cross-entropy differ in scale: at zero logits the first is ln 2 whatever the number of
classes, the second ln K. That is why a learning rate can be given per head. Everything is computed in float32,
whatever precision the network ran in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from pipelines.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from torch import Tensor

    from pipelines.heads import HeadSpec

LossFunction: TypeAlias = "Callable[[Tensor, Tensor, Tensor], Tensor]"

FOCAL_GAMMA: Final = 2.0  # Lin et al. 2017
DICE_SMOOTHING: Final = 1.0  # pixels added to both sides: a class absent from truth and prediction scores 1


# The table -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PixelTerm:
    """A term that is a mean over pixels. values: of negative log-likelihoods (N, ...); code: the same as text."""

    values: Callable[[Tensor], Tensor]
    code: str


@dataclass(frozen=True)
class RegionTerm:
    """A term of whole regions. value: of p and truth, (N, C, H, W) each, both 0 at ignored pixels.

    name: of the term in code to copy; definition: of its function there, soft_<name>_loss(p, y), as Python text.
    """

    value: Callable[[Tensor, Tensor], Tensor]
    name: str
    definition: str


@dataclass(frozen=True)
class Loss:
    """One loss. title: where it is chosen; terms: what it is the sum of, pixel terms first, at most one of a kind."""

    title: str
    terms: tuple[PixelTerm | RegionTerm, ...]

    @property
    def pixel(self) -> PixelTerm | None:
        """The term over pixels, if there is one."""
        return next((term for term in self.terms if isinstance(term, PixelTerm)), None)

    @property
    def region(self) -> RegionTerm | None:
        """The term over regions, if there is one."""
        return next((term for term in self.terms if isinstance(term, RegionTerm)), None)


def _soft_dice(p: Tensor, truth: Tensor) -> Tensor:
    """1 - soft Dice, pooled over the batch, mean over classes."""
    both, either = (p * truth).sum(dim=(0, 2, 3)), (p + truth).sum(dim=(0, 2, 3))
    return (1 - (2 * both + DICE_SMOOTHING) / (either + DICE_SMOOTHING)).mean()


def _focal(nll: Tensor) -> Tensor:
    """(1 - p)^gamma · nll, where p = exp(-nll) is the probability of what is true."""
    return (-(-nll).expm1()) ** FOCAL_GAMMA * nll


_CROSS_ENTROPY: Final = PixelTerm(lambda nll: nll, "nll")
_FOCAL: Final = PixelTerm(_focal, "(-torch.expm1(-nll)) ** 2 * nll")
_DICE: Final = RegionTerm(
    _soft_dice,
    "dice",
    '''def soft_dice_loss(p, y):
    """1 - soft Dice over the batch, mean of the classes. p, y: (N, C, H, W)."""
    both, either = (p * y).sum(dim=(0, 2, 3)), (p + y).sum(dim=(0, 2, 3))
    return (1 - (2 * both + 1) / (either + 1)).mean()''',
)

LOSSES: Final[dict[str, Loss]] = {
    "ce": Loss("Cross-entropy", (_CROSS_ENTROPY,)),
    "dice": Loss("Dice", (_DICE,)),
    "ce+dice": Loss("Cross-entropy + Dice", (_CROSS_ENTROPY, _DICE)),
    "focal": Loss("Focal", (_FOCAL,)),
}


# A loss of a head ----------------------------------------------------------------------------------------------------


def loss_function(name: str, spec: HeadSpec) -> LossFunction:
    """The loss of one head.

    The function takes logits (N, K, H, W) float; target as heads.encode gives it, stacked: (N, C, H, W) float32 for
    sigmoid, (N, H, W) int64 for softmax; valid (N, H, W) bool. It returns a float32 scalar. Pixels that are not valid
    are in no sum and in no count; a batch without a valid pixel gives 0 with zero gradient.
    Raises ConfigError for an unknown name; the function raises ShapeError when the shapes do not fit.
    """
    import torch

    if name not in LOSSES:
        raise ConfigError(f"unknown loss {name!r}; available are {', '.join(LOSSES)}")
    terms = LOSSES[name].terms

    def compute(logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
        _check_shapes(spec, logits, target, valid)
        with torch.autocast(logits.device.type, enabled=False):
            values = [_term(term, spec, logits.float(), target, valid) for term in terms]
            return values[0] if len(values) == 1 else torch.stack(values).sum()

    return compute


def memberships(spec: HeadSpec) -> Tensor:
    """Which channels say that a class is present: (K, C) float32 of 0 and 1.

    A class's probability is the sum of its channels' probabilities; background belongs to no class.
    """
    import torch

    table = torch.zeros(len(spec.channels), len(spec.classes))
    for channel, members in enumerate(spec.sets):
        table[channel, list(members)] = 1
    for index, channel in spec.shared_channels():
        table[channel, index] = 1
    return table


def class_probabilities(spec: HeadSpec, logits: Tensor) -> Tensor:
    """Probability of each class being present: logits (N, K, H, W) float to (N, C, H, W) float32 in [0, 1]."""
    logits = logits.float()
    return _to_classes(spec, logits.softmax(dim=1)) if spec.is_softmax else logits.sigmoid()


def _to_classes(spec: HeadSpec, channels: Tensor) -> Tensor:
    """Sum channels (N, K, H, W) into classes (N, C, H, W)."""
    import torch

    if spec.channels == spec.classes:
        return channels
    if not spec.sets:  # background first, then the classes in order
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


def _term(term: PixelTerm | RegionTerm, spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The value of a term for one head, from float32 logits."""
    if isinstance(term, PixelTerm):
        values = term.values(_negative_log_likelihood(spec, logits, target, valid))
        return values.sum() / (valid.sum() * values.shape[1]).clamp(min=1)
    p, truth, seen = class_probabilities(spec, logits), _truth(spec, logits, target), valid[:, None]
    return term.value(p.where(seen, 0.0), truth.where(seen, 0.0))


def _negative_log_likelihood(spec: HeadSpec, logits: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """Of every class for a sigmoid, (N, C, H, W), of the true channel for a softmax, (N, 1, H, W); 0 where ignored."""
    from torch.nn import functional

    if spec.is_softmax:
        known = target.where(valid, -100)
        return functional.cross_entropy(logits, known, reduction="none", ignore_index=-100)[:, None]
    nll = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return nll.where(valid[:, None], 0.0)


def _truth(spec: HeadSpec, logits: Tensor, target: Tensor) -> Tensor:
    """Truth of the classes alone, (N, C, H, W): a background channel only takes part in the normalisation."""
    from torch.nn import functional

    if not spec.is_softmax:
        return target
    return _to_classes(spec, functional.one_hot(target.clamp(min=0), logits.shape[1]).movedim(-1, 1).float())
