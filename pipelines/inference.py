"""Trained networks and a split to predictions parquet: each image is read once and goes through every head."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from pipelines.arrays import Float32Array
from pipelines.config import Device
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import ConfigError
from pipelines.models import Normalisation, Pair, pad_to_multiple, required_multiple
from pipelines.progress import Progress
from pipelines.schema import Head, Split
from pipelines.store import PredictionWriter, PreviewWriter, predictions_folder, previews_file
from pipelines.training.devices import make_accelerator
from pipelines.training.validation import normalise


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
    previews = folder / previews_file(split)
    with ExitStack() as stack:
        writers = [
            stack.enter_context(PredictionWriter(folder / predictions_folder(split, file.spec.head, seed), file.spec))
            for file in files
        ]
        preview = None if previews.exists() else stack.enter_context(PreviewWriter(previews))
        with progress.stage(f"predict {split} {seed}", len(images)):
            for name in images:
                item = dataset.read(name, size=files[0].size)
                for network, file, writer in zip(networks, files, writers, strict=True):
                    logits = _logits(network, item, file.normalisation, accelerator.device)
                    writer.write(name, logits, item.truth, item.valid)
                if preview is not None:
                    preview.write(name, item.image)
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
