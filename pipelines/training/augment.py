"""One image with its truth to a training example: crop, flips, rotation, scale, light and noise, all seeded."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from pipelines.arrays import BoolArray
from pipelines.datasets.base import Item

_DEGREES: Final = 10.0
_SCALE: Final = (0.85, 1.15)
_LIGHT: Final = 0.2  # brightness and contrast change by up to this share
_NOISE: Final = 0.02  # standard deviation, on images in [0, 1]


@dataclass(frozen=True)
class Example:
    """What one image gives to a batch.

    image: (3, H, W) float32, normalised; 0 outside the picture. truth: (C, H, W) bool. valid: (H, W) bool, False
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
    augment: False leaves only the crop. All draws come from the key, so neither order nor workers can change them.
    """

    def __init__(
        self,
        *,
        crop: tuple[int, int] | None,
        augment: bool,
        mean: tuple[float, float, float],
        std: tuple[float, float, float],
    ) -> None:
        self._crop = crop
        self._margin = _margin(crop) if crop and augment else 0
        self._mean = torch.tensor(mean).view(3, 1, 1)
        self._std = torch.tensor(std).view(3, 1, 1)
        steps = [
            v2.RandomHorizontalFlip(),
            v2.RandomVerticalFlip(),
            # Masks are moved by nearest neighbour whatever is said here; what comes from outside is 0.
            v2.RandomAffine(_DEGREES, scale=_SCALE, interpolation=v2.InterpolationMode.BILINEAR),
            v2.ColorJitter(brightness=_LIGHT, contrast=_LIGHT),
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
