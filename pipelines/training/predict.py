"""Networks on a device: which one, a score on validation with pictures of what they say, and predictions of a split."""

import io
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np
import pyarrow as pa
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from PIL import Image
from torch import Tensor, nn

from pipelines.arrays import BoolArray, Float32Array
from pipelines.config import Device, Precision, TrainingConfig
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import ConfigError, RunError
from pipelines.heads import HeadSpec
from pipelines.layouts import EXAMPLES_SCHEMA
from pipelines.losses import class_probabilities
from pipelines.progress import Progress
from pipelines.schema import Head, Split
from pipelines.store import files
from pipelines.store.files import predictions_folder
from pipelines.store.predictions import ImagesWriter, PredictionWriter
from pipelines.training.batches import validation_batches
from pipelines.training.models import Normalisation, Pair, pad_to_multiple, required_multiple

# Devices -------------------------------------------------------------------------------------------------------------


def make_accelerator(device: Device, precision: Precision) -> Accelerator:
    """The Accelerator that trains on the chosen device and precision.

    auto: cuda before mps before cpu; bf16 where the hardware computes in it, else fp32.
    Raises ConfigError when the device or precision is not there.
    """
    chosen = _device(device)
    resolved = _precision(chosen, precision)
    # Its state is one per process and refuses other settings than the first ones: each training brings its own.
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        accelerator = Accelerator(mixed_precision="bf16" if resolved == "bf16" else "no", cpu=chosen == "cpu")
    except ValueError as error:
        raise ConfigError(f"precision {resolved} does not work on {chosen}: {error}; use fp32") from None
    if accelerator.num_processes > 1:
        raise ConfigError(f"training runs in one process, got {accelerator.num_processes}; start it without a launcher")
    return accelerator


def _device(device: Device) -> Literal["cpu", "cuda", "mps"]:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return "cuda" if there["cuda"] else "mps" if there["mps"] else "cpu"
    if not there[device]:
        raise ConfigError(f"device {device} is not available here; use auto or cpu")
    return device


def _precision(device: Literal["cpu", "cuda", "mps"], precision: Precision) -> Literal["bf16", "fp32"]:
    if precision != "auto":
        return precision
    if device == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    # Without these instructions bf16 on a CPU is emulated, and slower than fp32.
    fast = device == "cpu" and (torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
    return "bf16" if fast else "fp32"


# Examples that are looked at -----------------------------------------------------------------------------------------

COUNT: Final = 4  # images
_SIDE: Final = 128  # pixels of the longer side
_EPOCHS: Final = 24  # files a seed has at most, roughly


class Examples:
    """Collects the examples of one validation and writes them; does nothing where nobody will look.

    folder: where files seed=S-epoch=EEEEE.parquet go, of layouts.EXAMPLES_SCHEMA; None to write nothing.
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
                    picture = self._dataset.bands.picture(item.image)
                    self._row(item, "truth", item.truth & item.valid, picture=picture)
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


# Scores --------------------------------------------------------------------------------------------------------------


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
    """Images of one size to (N, B, H, W) float32, (image - mean) / std."""
    mean, std = (torch.tensor(value).view(-1, 1, 1) for value in normalisation)
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


# Predictions ---------------------------------------------------------------------------------------------------------


def predict_split(
    pair: Pair, dataset: Dataset, split: Split, *, seed: int, folder: Path, device: Device, progress: Progress
) -> None:
    """Write predictions/split=S/head=H/seed=N of a run's folder for every head, and the split's previews once.

    Images have the size the heads were trained at (head.json), or their own; they are padded as the networks need and
    cut back. Computed in float32 whatever the training used, so that what is measured is the network and not rounding.
    Raises ConfigError when the split is empty or the heads disagree on the size.
    """
    images = dataset.images(split)
    if not images:
        raise ConfigError(f"split {split} of {dataset.name} has no images; leave it out with --splits")
    files = [head for _, head in pair.values()]
    if len({file.size for file in files}) != 1:
        raise ConfigError("the heads were trained at different sizes; train them as a pair")
    accelerator = make_accelerator(device, "fp32")
    networks = [network.to(accelerator.device).eval() for network, _ in pair.values()]
    with ExitStack() as stack:
        writers = [
            stack.enter_context(
                PredictionWriter(folder / predictions_folder(split, file.spec.head, seed), file.spec, soft=dataset.soft)
            )
            for file in files
        ]
        kept = stack.enter_context(ImagesWriter(folder, dataset, split))
        with progress.stage(f"predict {split} {seed}", len(images)):
            for name in images:
                item = dataset.read(name, size=files[0].size)
                for network, file, writer in zip(networks, files, writers, strict=True):
                    logits = _logits(network, item, file.normalisation, accelerator.device)
                    writer.write(name, logits, item.truth, item.valid, item.soft)
                kept.write(item)
                progress.advance()


def use_threads(count: int) -> None:
    """Set the threads of arithmetic on the CPU; 0 leaves the library's choice."""
    if count:
        torch.set_num_threads(count)


@torch.inference_mode()
def _logits(network: torch.nn.Module, item: Item, normalisation: Normalisation, device: torch.device) -> Float32Array:
    """Logits of one image at its own size, (K, H, W) float32."""
    height, width = item.valid.shape
    batch = pad_to_multiple(normalise([item], normalisation), required_multiple(network))
    out = network(batch.to(device, memory_format=torch.channels_last))
    return out[0, :, :height, :width].float().cpu().numpy()


def predicted_heads(folder: Path, split: Split, seed: int, heads: Sequence[Head]) -> bool:
    """Whether a run's folder already holds whole predictions of every head for a split and seed."""
    return all((folder / predictions_folder(split, head, seed) / "part-00000.parquet").is_file() for head in heads)
