"""Networks and the validation split to one score a head, the macro Dice that chooses the best weights."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from pipelines.config import TrainingConfig
from pipelines.datasets.base import Dataset, Item
from pipelines.heads import HeadSpec
from pipelines.losses import class_probabilities
from pipelines.models import Normalisation, pad_to_multiple
from pipelines.progress import Progress
from pipelines.schema import Head
from pipelines.training.batches import validation_batches
from pipelines.training.examples import Examples


class _Runtime(Protocol):
    @property
    def device(self) -> torch.device: ...
    def autocast(self) -> AbstractContextManager[None]: ...


@torch.no_grad()
def validation_scores(
    networks: Mapping[Head, nn.Module],
    specs: Sequence[HeadSpec],
    dataset: Dataset,
    config: TrainingConfig,
    *,
    normalisation: Normalisation,
    multiple: int,
    runtime: _Runtime,
    progress: Progress,
    examples: Examples | None = None,
) -> dict[Head, float | None]:
    """Macro Dice in [0, 1] of each head: pooled over the split's valid pixels, mean over the classes with any truth.

    Decisions are the kind's own: argmax for exclusive truth, p > 0.5 otherwise. None where the split has no truth.
    Images are read once for all heads. examples: takes note of what heads say
    of some of them. Raises Cancelled between images when that was asked for.
    """
    counts = {spec.head: torch.zeros(3, len(spec.classes), dtype=torch.int64) for spec in specs}
    for network in networks.values():
        network.eval()
    for items in validation_batches(dataset, config):
        progress.check()
        images = pad_to_multiple(normalise(items, normalisation), multiple)
        images = images.to(runtime.device, memory_format=torch.channels_last)
        truth = torch.from_numpy(np.stack([item.truth & item.valid for item in items])).to(runtime.device)
        valid = torch.from_numpy(np.stack([item.valid for item in items])).to(runtime.device)
        for spec in specs:
            with runtime.autocast():
                logits = networks[spec.head](images)
            called = decisions(spec, logits[..., : truth.shape[-2], : truth.shape[-1]]) & valid[:, None]
            if examples is not None:
                examples.add(items, spec.head, called)
            counts[spec.head] += torch.stack([_pixels(called & truth), _pixels(called), _pixels(truth)]).cpu()
    for network in networks.values():
        network.train()
    return {head: macro_dice(*count) for head, count in counts.items()}


def normalise(items: Sequence[Item], normalisation: Normalisation) -> Tensor:
    """Images of one size to (N, 3, H, W) float32, (image - mean) / std."""
    mean, std = (torch.tensor(value).view(3, 1, 1) for value in normalisation)
    return (torch.from_numpy(np.stack([item.image for item in items])).movedim(-1, 1) - mean) / std


def decisions(spec: HeadSpec, logits: Tensor) -> Tensor:
    """Which classes are called present: logits (N, K, H, W) to (N, C, H, W) bool, by the kind's own rule."""
    probabilities = class_probabilities(spec, logits)
    if spec.kind != "exclusive":
        return probabilities > 0.5
    # Probabilities tie where they round to 1; logits do not.
    winner = logits.argmax(dim=1, keepdim=True)
    return torch.zeros_like(probabilities, dtype=torch.bool).scatter_(1, winner, True)


def macro_dice(both: Tensor, called: Tensor, truth: Tensor) -> float | None:
    """Mean of 2·both / (called + truth) over classes with truth > 0; counts are (C,) int64."""
    known = truth > 0
    if not known.any():
        return None
    dice = 2 * both[known].double() / (called[known] + truth[known]).double()
    return float(dice.mean())


def _pixels(mask: Tensor) -> Tensor:
    return mask.sum(dim=(0, 2, 3))
