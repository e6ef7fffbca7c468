"""A few fixed validation images and what each head says of them now to one small parquet file an epoch."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import torch
from PIL import Image

from pipelines.arrays import BoolArray, Float32Array
from pipelines.config import TrainingConfig
from pipelines.datasets.base import Dataset, Item
from pipelines.errors import RunError
from pipelines.schema import EXAMPLES_SCHEMA, Head
from pipelines.storage import files

COUNT: Final = 4  # images
_SIDE: Final = 128  # pixels of the longer side
_EPOCHS: Final = 24  # files a seed has at most, roughly


class Examples:
    """Collects the examples of one validation and writes them; does nothing where nobody will look.

    folder: where files seed=S-epoch=EEEEE.parquet go, of schema.EXAMPLES_SCHEMA; None to write nothing.
    """

    def __init__(self, folder: Path | None, dataset: Dataset, config: TrainingConfig, *, seed: int, epoch: int) -> None:
        self._folder = folder if _is_shown(epoch, config.epochs) else None
        self._dataset, self._seed, self._epoch = dataset, seed, epoch
        names = dataset.images("val")
        # Spread over the split, the same at every epoch and seed.
        places = np.linspace(0, len(names) - 1, min(COUNT, len(names))).round().astype(int)
        self._names = [names[at] for at in places] if folder is not None else []
        self._rows: dict[tuple[str, str], dict[str, object]] = {}

    def add(self, items: Sequence[Item], head: Head, called: torch.Tensor) -> None:
        """Note one head's decisions on a batch. called: (N, C, H, W) bool, in the order of the items."""
        if self._folder is None:
            return
        for item, planes in zip(items, called, strict=True):
            if item.name in self._names:
                if (item.name, "truth") not in self._rows:
                    self._row(item, "truth", item.truth & item.valid, picture=item.image)
                self._row(item, head, planes.cpu().numpy())

    def write(self) -> None:
        """Put the file in its place, whole; a full disk costs the examples, not the training."""
        if self._folder is None or not self._rows:
            return
        table = pa.Table.from_pylist(list(self._rows.values()), schema=EXAMPLES_SCHEMA)
        about = {"classes": list(self._dataset.classes), "colors": list(self._dataset.colors)}
        about["background"] = [self._dataset.background or ""]
        table = table.replace_schema_metadata({name: "\n".join(values) for name, values in about.items()})
        try:
            files.write_table(self._folder / f"seed={self._seed}-epoch={self._epoch:05d}.parquet", table)
        except RunError as error:
            print(f"examples: {error}")

    def _row(self, item: Item, shows: str, planes: BoolArray, *, picture: Float32Array | None = None) -> None:
        height, width = _small(planes.shape[1:])
        rows = np.arange(height) * planes.shape[1] // height
        columns = np.arange(width) * planes.shape[2] // width
        small = planes[:, rows[:, None], columns]
        self._rows[item.name, shows] = {
            "image": item.name, "shows": shows, "height": height, "width": width,
            "labels": np.packbits(small).tobytes(),
            "jpeg": None if picture is None else _jpeg(picture, height, width),
        }  # fmt: skip


def _is_shown(epoch: int, epochs: int) -> bool:
    """The first and last epoch, and every few in between."""
    return epoch in (1, epochs) or epoch % -(-epochs // _EPOCHS) == 0


def _small(shape: Sequence[int]) -> tuple[int, int]:
    shrink = min(1.0, _SIDE / max(shape))
    return max(1, round(shape[0] * shrink)), max(1, round(shape[1] * shrink))


def _jpeg(image: Float32Array, height: int, width: int) -> bytes:
    buffer = io.BytesIO()
    picture = Image.fromarray(np.rint(image * 255).astype(np.uint8))
    picture.resize((width, height), Image.Resampling.BOX).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
