"""Time of one step of a pair learning in one pass against two separate plain float32 trainings, as a ratio.

    python -m benchmarks.pair_training [DATASET] [--rounds 5] [--clock wall|cpu]

Both take turns within one run, so that a busy machine slows both; absolute seconds mean little elsewhere. On a machine
that is busy with other things, OMP_NUM_THREADS=1 and --clock cpu count what the process itself used.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import nn

from pipelines.config import TrainingConfig
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.opening import open_dataset
from pipelines.heads import HeadSpec, head_specs
from pipelines.losses import loss_function
from pipelines.progress import Progress
from pipelines.training.batches import training_batches
from pipelines.training.loop import train_pair
from pipelines.training.models import build_model
from pipelines.training.predict import make_accelerator

Clock: TypeAlias = Callable[[], float]
NORMALISATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
SAMPLE = Path(__file__).resolve().parents[1] / "sample_data" / "landcover"


class StepTimes(Progress):
    """Seconds between the ends of two steps; the first step, which warms up, is left out."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock
        self.seconds: list[float] = []
        self._last = 0.0

    def advance(self, steps: int = 1, *, message: str | None = None) -> None:
        """Note the time, then advance."""
        now = self._clock()
        if self._last:
            self.seconds.append(now - self._last)
        self._last = now
        super().advance(steps, message=message)


def pair_seconds(dataset: Dataset, specs: tuple[HeadSpec, ...], config: TrainingConfig, *, clock: Clock) -> list[float]:
    """Seconds of each step of train_pair, all heads together."""
    progress = StepTimes(clock)
    with tempfile.TemporaryDirectory() as folder:
        train_pair(dataset, specs, config, seed=0, normalisation=NORMALISATION, folder=Path(folder), progress=progress)
    return progress.seconds[:-1]  # the last step's end comes after the epoch's validation


def plain_seconds(dataset: Dataset, spec: HeadSpec, config: TrainingConfig, *, clock: Clock) -> list[float]:
    """Seconds of each step of one head trained alone, as a plain loop would: float32, contiguous, default AdamW."""
    device = make_accelerator(config.device, "fp32").device
    network = build_model(config.architecture, config.encoder, channels=len(spec.channels)).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    loss_of = loss_function(config.loss, spec)
    seconds, last = [], 0.0
    for batch in training_batches(dataset, [spec], config, seed=0, normalisation=NORMALISATION, multiple=32):
        loss = loss_of(network(batch.images.to(device)), batch.targets[spec.head].to(device), batch.valid.to(device))
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        loss.item()
        now = clock()
        if last:
            seconds.append(now - last)
        last = now
    return seconds


def main() -> None:
    """Print seconds and ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", nargs="?", default=str(SAMPLE))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    options = parser.parse_args()
    clock = CLOCKS[options.clock]
    config = TrainingConfig(epochs=1, batch_size=8, size=(128, 128), checkpoint_seconds=1e9)
    dataset = open_dataset(options.dataset)
    specs = head_specs(dataset.kind, dataset.classes, set_counts={}, softmax_rule="priority")
    accelerator = make_accelerator(config.device, config.precision)
    print(
        f"{config.encoder}, batch 8, 128x128, {torch.get_num_threads()} threads, {accelerator.device}, "
        f"{options.clock} time"
    )
    variants = {
        f"pair in one pass, {accelerator.mixed_precision}, channels_last": config,
        "pair in one pass, float32, channels_last": config.model_copy(update={"precision": "fp32"}),
    }
    pair: dict[str, list[float]] = {name: [] for name in variants}
    plain: dict[str, list[float]] = {spec.head: [] for spec in specs}
    for _ in range(options.rounds):
        for name, variant in variants.items():
            pair[name] += pair_seconds(dataset, specs, variant, clock=clock)
        for spec in specs:
            plain[spec.head] += plain_seconds(dataset, spec, config, clock=clock)
    two = sum(statistics.median(seconds) for seconds in plain.values())
    print(f"two plain float32 trainings: {two:.3f} s for a step of both")
    for name, seconds in pair.items():
        one = statistics.median(seconds)
        print(f"{name}: {one:.3f} s for a step of both, {one / two:.2f} of the plain time")


if __name__ == "__main__":
    main()
