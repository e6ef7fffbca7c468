"""A data set to training batches that depend on seed, epoch and position alone: read once, coded for every head."""

import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils import data

from pipelines.config import TrainingConfig
from pipelines.datasets.base import Dataset, Item
from pipelines.errors import PipelineError
from pipelines.heads import HeadSpec, encode
from pipelines.models import Normalisation, pad_to_multiple
from pipelines.schema import Head
from pipelines.training.augment import Augmentation, Example, stream_seed


@dataclass(frozen=True)
class Batch:
    """What every head gets at one step.

    images: (N, 3, H, W) float32, normalised. valid: (N, H, W) bool. targets: by head, as losses.loss_function takes
    them. H and W are multiples of what the network needs; padding is not valid.
    """

    images: Tensor
    valid: Tensor
    targets: dict[Head, Tensor]


def epoch_batches(count: int, batch_size: int, *, seed: int, epoch: int) -> list[list[int]]:
    """Indices of each batch of one epoch: a permutation cut into batches whose sizes differ by one at most."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    return [part.tolist() for part in np.array_split(order, steps_per_epoch(count, batch_size))]


def steps_per_epoch(count: int, batch_size: int) -> int:
    """Batches in one epoch.

    An odd number of images in twos gives one batch of three: batch normalisation cannot learn from a single value,
    which is what one small image is at the bottom of a network.
    """
    steps = -(-count // batch_size)
    return steps - 1 if batch_size == 2 and count % 2 and steps > 1 else steps


class _Plan:
    """Keys (epoch, index) of every batch from one step to the end of the training."""

    def __init__(self, count: int, config: TrainingConfig, *, seed: int, first_step: int) -> None:
        self._count, self._config, self._seed, self._first = count, config, seed, first_step

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        size = self._config.batch_size
        first_epoch, skip = divmod(self._first, steps_per_epoch(self._count, size))
        for epoch in range(first_epoch, self._config.epochs):
            for indices in epoch_batches(self._count, size, seed=self._seed, epoch=epoch)[skip:]:
                yield [(epoch, index) for index in indices]
            skip = 0


class _Examples(data.Dataset[Example | PipelineError]):
    """Augmented training images by (epoch, index). Errors are returned: a worker would wrap them in a traceback."""

    def __init__(self, dataset: Dataset, config: TrainingConfig, *, seed: int, normalisation: Normalisation) -> None:
        mean, std = normalisation
        crop = config.crop if config.size is None else None
        self._augmentation = Augmentation(crop=crop, augment=config.augment, mean=mean, std=std)
        self._dataset, self._names, self._size, self._seed = dataset, dataset.images("train"), config.size, seed

    def __getitem__(self, key: tuple[int, int]) -> Example | PipelineError:
        epoch, index = key
        try:
            item = self._dataset.read(self._names[index], size=self._size)
        except PipelineError as error:
            return error
        return self._augmentation(item, key=stream_seed(self._seed, epoch, index))


class _Collate:
    """Examples to one batch, coded for every head."""

    def __init__(self, specs: Sequence[HeadSpec], multiple: int) -> None:
        self._specs, self._multiple = tuple(specs), multiple

    def __call__(self, examples: Sequence[Example | PipelineError]) -> Batch | PipelineError:
        good: list[Example] = []
        for example in examples:
            if isinstance(example, PipelineError):
                return example
            good.append(example)
        valid = self._padded(torch.stack([torch.from_numpy(example.valid) for example in good]))
        targets = {
            spec.head: self._padded(
                torch.stack([torch.from_numpy(encode(spec, example.truth, example.valid)) for example in good])
            )
            for spec in self._specs
        }
        return Batch(self._padded(torch.stack([example.image for example in good])), valid, targets)

    def _padded(self, values: Tensor) -> Tensor:
        return pad_to_multiple(values, self._multiple)  # the padding of `valid` is False, and it decides


def training_batches(
    dataset: Dataset,
    specs: Sequence[HeadSpec],
    config: TrainingConfig,
    *,
    seed: int,
    normalisation: Normalisation,
    multiple: int,
    first_step: int = 0,
) -> Iterator[Batch]:
    """Every batch of a training from first_step (0-based) on, in order.

    Raises the data set's own DatasetError for an image that cannot be read.
    """
    count = len(dataset.images("train"))
    examples = _Examples(dataset, config, seed=seed, normalisation=normalisation)
    plan = _Plan(count, config, seed=seed, first_step=first_step)
    for batch in _loader(examples, config.workers, batch_sampler=plan, collate_fn=_Collate(specs, multiple)):
        if isinstance(batch, PipelineError):
            raise batch
        yield batch


class _Items(data.Dataset[Item | PipelineError]):
    def __init__(self, dataset: Dataset, names: Sequence[str], size: tuple[int, int] | None) -> None:
        self._dataset, self._names, self._size = dataset, tuple(names), size

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, index: int) -> Item | PipelineError:
        try:
            return self._dataset.read(self._names[index], size=self._size)
        except PipelineError as error:
            return error


def validation_batches(dataset: Dataset, config: TrainingConfig) -> Iterator[list[Item]]:
    """The validation split in order, neighbours of one size together, at most batch_size of them."""
    items = _Items(dataset, dataset.images("val"), config.size)
    group: list[Item] = []
    for item in _loader(items, config.workers, batch_size=None, collate_fn=_same):
        if isinstance(item, PipelineError):
            raise item
        if group and (len(group) == config.batch_size or item.image.shape != group[0].image.shape):
            yield group
            group = []
        group.append(item)
    if group:
        yield group


def _loader(dataset: data.Dataset, workers: int, **options: object) -> data.DataLoader:  # type: ignore[type-arg]
    # Its own generator: by default a loader takes a number from the global one.
    return data.DataLoader(
        dataset,
        num_workers=workers,
        worker_init_fn=_leave_signals_to_parent,
        generator=torch.Generator(),
        **options,  # type: ignore[arg-type]
    )


def _same(value: object) -> object:
    return value


def _leave_signals_to_parent(_worker: int) -> None:
    """Ctrl-C reaches the whole group; the parent writes a checkpoint first and then ends the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
