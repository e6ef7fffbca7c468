"""A data set to training batches that depend on seed, epoch and position alone: read once, coded for every head."""

import math
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.utils import data
from torchvision import tv_tensors
from torchvision.transforms import v2

from pipelines.arrays import BoolArray
from pipelines.config import TrainingConfig
from pipelines.datasets.bands import RGB, Bands
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import PipelineError
from pipelines.heads import HeadSpec, encode
from pipelines.schema import Head
from pipelines.training.models import Normalisation, pad_to_multiple

# One example ---------------------------------------------------------------------------------------------------------

_DEGREES: Final = 10.0
_SCALE: Final = (0.85, 1.15)
_LIGHT: Final = 0.2  # brightness and contrast change by up to this share
_NOISE: Final = 0.02  # standard deviation, on images in [0, 1]


@dataclass(frozen=True)
class Example:
    """What one image gives to a batch.

    image: (B, H, W) float32, normalised; 0 outside the picture. truth: (C, H, W) bool. valid: (H, W) bool, False
    outside the picture too.
    """

    image: Tensor
    truth: BoolArray
    valid: BoolArray


def stream_seed(*keys: int) -> int:
    """A seed for one independent random stream, the same for the same non-negative keys everywhere."""
    high, low = np.random.SeedSequence(keys).generate_state(2)
    return (int(high) << 32) | int(low)


class Augmentation:
    """Seeded transform from an item to an example of fixed size.

    crop: (height, width) cut at a random place, with pixels outside the picture ignored; None keeps the item's size.
    augment: False leaves only the crop. bands: what the image holds; brightness and contrast change for colours, all of
    them by one draw, while other bands keep what they measured. mean, std: of each band. All draws come from the key,
    so neither order nor workers can change them.
    """

    def __init__(
        self,
        *,
        crop: tuple[int, int] | None,
        augment: bool,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        bands: Bands = RGB,
    ) -> None:
        self._crop = crop
        self._margin = _margin(crop) if crop and augment else 0
        self._mean = torch.tensor(mean).view(-1, 1, 1)
        self._std = torch.tensor(std).view(-1, 1, 1)
        steps = [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            # Masks are moved by nearest neighbour whatever is said here; what comes from outside is 0.
            v2.RandomAffine(_DEGREES, scale=_SCALE, interpolation=v2.InterpolationMode.BILINEAR),
            _Light(bands),
            v2.GaussianNoise(sigma=_NOISE),
        ]
        self._steps = v2.Compose(steps) if augment else None

    def __call__(self, item: Item, *, key: int) -> Example:
        """Transform one item; key seeds every draw. The global random state is left as it was."""
        image = tv_tensors.Image(torch.from_numpy(item.image).movedim(-1, 0))
        inside = np.ones_like(item.valid)
        layers = np.concatenate([item.truth & item.valid, item.valid[None], inside[None]])
        masks = tv_tensors.Mask(torch.from_numpy(layers.view(np.uint8)))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(key)
            image, masks = self._transform(image, masks)
        planes = masks.numpy().astype(np.bool_)
        normalised = (image.as_subclass(torch.Tensor) - self._mean) / self._std
        normalised[:, torch.from_numpy(~planes[-1])] = 0.0  # the mean colour, as padding at inference
        return Example(normalised, truth=planes[:-2], valid=planes[-2])

    def _transform(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        if self._crop is not None:
            height, width = self._crop
            top, left = _place(image.shape[-2], height), _place(image.shape[-1], width)
            edge = self._margin
            window = (top - edge, left - edge, height + 2 * edge, width + 2 * edge)
            image, masks = v2.functional.crop(image, *window), v2.functional.crop(masks, *window)
        if self._steps is not None:
            image, masks = self._steps(image, masks)
        if self._margin:
            image = v2.functional.center_crop(image, list(self._crop or ()))
            masks = v2.functional.center_crop(masks, list(self._crop or ()))
        return image, masks


class _Light:
    """Other brightness and contrast for the bands that are colours, (B, H, W); masks stay as they are."""

    def __init__(self, bands: Bands) -> None:
        self._jitter = v2.ColorJitter(brightness=_LIGHT, contrast=_LIGHT)
        self._colors = list(bands.colors)

    def __call__(self, image: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        if self._colors:
            image = image.clone()
            image[self._colors] = self._jitter(image[self._colors])
        return image, masks


def _place(length: int, crop: int) -> int:
    """Where a crop begins: anywhere inside a longer side, or so that a shorter side lies anywhere inside the crop."""
    low, high = sorted((0, length - crop))
    return int(torch.randint(low, high + 1, ()).item())


def _margin(crop: tuple[int, int]) -> int:
    """Pixels around a crop that rotation and shrinking can bring into it."""
    height, width = crop
    angle = math.radians(_DEGREES)
    needed = [
        (a * math.cos(angle) + b * math.sin(angle)) / _SCALE[0] - a for a, b in ((height, width), (width, height))
    ]
    return math.ceil(max(needed) / 2)


# Batches -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """What every head gets at one step.

    images: (N, B, H, W) float32, normalised. valid: (N, H, W) bool. targets: by head, as losses.loss_function takes
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
        self._augmentation = Augmentation(crop=crop, augment=config.augment, mean=mean, std=std, bands=dataset.bands)
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
