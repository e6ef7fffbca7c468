"""Settings of a run to the time and disk it would take here: a few real steps, predictions and counts, scaled up."""

import contextlib
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import numpy as np
from torch import nn

from pipelines import evaluation
from pipelines.arrays import Float32Array
from pipelines.config import RunConfig
from pipelines.datasets.base import Examination, Finding
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.facts import SplitFacts, scan
from pipelines.datasets.opening import open_dataset
from pipelines.errors import Cancelled, DatasetError
from pipelines.heads import HeadSpec, head_specs
from pipelines.jobs.needs import Estimate, free_bytes, run_bytes
from pipelines.progress import Progress
from pipelines.schema import SPLITS, Head, Split
from pipelines.training.batches import steps_per_epoch
from pipelines.training.loop import train_pair
from pipelines.training.models import Normalisation, build_pair, load_pair, required_multiple, save_model
from pipelines.training.predict import make_accelerator, predict_split, use_threads, validation_scores

_SCANNED: Final = 8  # training images: their labels and sizes stand for all
_LOOKED_AT: Final = 4  # images of a split that are predicted and counted
_STEPS: Final = 7  # the first, which sets things up, does not count
_ENOUGH_SECONDS: Final = 8.0  # after these no further step is begun
_REPLICATES: Final = 200  # of the bootstrap; the time grows with them: 1.15 s with 200, 4.4 s with 1000
_MEASURE_GROWTH: Final = 0.026  # each further image, of the time for _LOOKED_AT: 1.15 s with 4 and 1.59 s with 20


class Few(Dataset):
    """A data set of which only some images are looked at, spread over each split."""

    def __init__(self, whole: Dataset, most: Mapping[Split, int]) -> None:
        self._whole = whole
        self._images = {split: _spread(whole.images(split), most.get(split, 0)) for split in SPLITS}
        self.root, self.name, self.kind, self.classes = whole.root, whole.name, whole.kind, whole.classes
        self.colors, self.background, self.priority = whole.colors, whole.background, whole.priority
        self.groups, self.bands = whole.groups, whole.bands

    def names(self) -> tuple[str, ...]:
        """Those of all splits."""
        return tuple(sorted({name for names in self._images.values() for name in names}))

    def images(self, split: Split) -> tuple[str, ...]:
        """As many as were asked for, at most."""
        return self._images[split]

    def examine(self, name: str, *, size: tuple[int, int] | None = None) -> Examination:
        """As the whole data set does."""
        return self._whole.examine(name, size=size)

    def structure(self) -> tuple[Finding, ...]:
        """As the whole data set's."""
        return self._whole.structure()

    def fingerprint(self) -> str:
        """As the whole data set's: a name for it, which is all that is needed here."""
        return f"{self._whole.root}"

    def files(self) -> Iterable[Path]:
        """As the whole data set's."""
        return self._whole.files()

    def probabilities(self, name: str) -> Float32Array | None:
        """As the whole data set's."""
        return self._whole.probabilities(name)


class _Enough(Cancelled):
    """There are enough steps to tell their speed."""


class _Watch(Progress):
    """Notes when each stage began and when its steps were done; passes a wish to stop on."""

    def __init__(self, outer: Progress, *, steps: int | None = None) -> None:
        super().__init__()
        self._outer, self._steps = outer, steps
        self.times: dict[str, list[float]] = {}

    @contextmanager
    def stage(self, name: str, total: int, *, done: int = 0) -> Iterator[Progress]:
        """As usual, with its time."""
        self.times[name] = [time.monotonic()]
        with super().stage(name, total, done=done) as inner:
            yield inner

    def advance(self, steps: int = 1, *, message: str | None = None) -> None:
        """As usual, with its time; raises _Enough after so many steps or seconds."""
        super().advance(steps, message=message)
        noted = self.times[self.state["stage"]]
        noted.append(time.monotonic())
        if self._steps and len(noted) > 2 and (len(noted) > self._steps or noted[-1] - noted[0] > _ENOUGH_SECONDS):
            raise _Enough("enough")

    def check(self) -> None:
        """Raise Cancelled when that was asked of the whole."""
        self._outer.check()

    def seconds(self, stage: str, count: float) -> float:
        """Of a stage with so many steps: what comes once is told from what comes with each step."""
        each = np.diff(self.times[stage])
        usual = float(statistics.median(each[1:])) if len(each) > 1 else float(each[0])
        return max(0.0, float(each[0]) - usual) + usual * count


def estimate_run(config: RunConfig, *, runs: Path, progress: Progress) -> Estimate:
    """Do a little of everything a run does, with the settings' own networks, and tell from it what the run will take.

    Nothing stays on the disk. Raises what the run would raise at once: ConfigError, DatasetError, ModelError.
    """
    with progress.stage("estimate", 4), tempfile.TemporaryDirectory() as place:
        return _Probe(config, Path(place), progress).estimate(runs)


class _Probe:
    def __init__(self, config: RunConfig, folder: Path, progress: Progress) -> None:
        self.config, self.folder, self.progress = config, folder, progress
        self.training = config.trained
        self.seed = self.training.seeds[0]
        self.data = open_dataset(config.dataset, config.reading)
        for split in ("train", *config.evaluation.splits):
            if not self.data.images(split):
                raise DatasetError(f"SPLIT-EMPTY: {split} has no image, but needs one at least; add images to it")
        self.counts = {split: len(self.data.images(split)) for split in SPLITS}

    def estimate(self, runs: Path) -> Estimate:
        use_threads(self.training.threads)
        reading, facts = self._read()
        self.progress.advance(message="training a few steps")
        self.training = self.training.model_copy(update={"crop": _crop(self.training.crop, facts.sizes)})
        step, check, parameters = self._train(facts)
        self.progress.advance(message="predicting a few images")
        watch = self._predict()
        self.progress.advance(message="measuring a few images")
        self._measure(watch)
        steps = steps_per_epoch(self.counts["train"], self.training.batch_size)
        epoch = steps * step + self.counts["val"] * check
        stages = [("check", reading * len(self.data.names())), ("scan train", reading * self.counts["train"])]
        stages += [(f"train seed {seed}", self.training.epochs * epoch) for seed in self.training.seeds]
        stages += self._later_stages(watch)
        needed = run_bytes(
            self.data, size=self.training.size, seeds=len(self.training.seeds), splits=self.config.evaluation.splits,
            rule=self.training.softmax_rule, parameters=parameters,
        )  # fmt: skip
        device = make_accelerator(self.training.device, self.training.precision).device.type
        self.progress.advance(message="")
        return Estimate(
            stages=stages, needed=needed, free=free_bytes(runs), steps=steps * self.training.epochs, step_seconds=step,
            parameters=parameters, device=device,
        )  # fmt: skip

    def _read(self) -> tuple[float, SplitFacts]:
        """Seconds to read an image, and what a few training images are like."""
        watch = _Watch(self.progress)
        facts = scan(Few(self.data, {"train": _SCANNED}), "train", size=self.training.size, progress=watch)
        return watch.seconds("scan train", 1.0), facts

    def _train(self, facts: SplitFacts) -> tuple[float, float, int]:
        """Seconds of a step and of an image of validation, all heads together, and the weights of one network."""
        specs = head_specs(
            self.data.kind, self.data.classes, softmax_rule=self.training.softmax_rule, set_counts=facts.set_counts,
            priority=self.training.priority or self.data.priority,
        )  # fmt: skip
        self.specs = specs
        mean, std = facts.mean, tuple(max(value, 1e-3) for value in facts.std)
        normalisation = (mean, std)
        networks = build_pair(specs, self.training, seed=self.seed, bands=self.data.bands.count)
        watch = _Watch(self.progress, steps=_STEPS)
        data = Few(self.data, {"train": self.counts["train"]})
        with contextlib.suppress(_Enough):
            train_pair(
                data, specs, self.training, seed=self.seed, normalisation=normalisation, folder=self.folder / "tried",
                progress=watch, models=networks,
            )  # fmt: skip
        step = watch.seconds(f"train seed {self.seed}", 1.0)
        check = self._validate(specs, networks, normalisation) if self.counts["val"] else 0.0
        for spec in specs:
            save_model(
                networks[spec.head].eval(), spec, self.folder / "models" / f"seed={self.seed}" / f"head={spec.head}",
                normalisation=normalisation, config=self.training, seed=self.seed, best_epoch=1, best_score=None,
                bands=self.data.bands,
            )  # fmt: skip
        return step, check, sum(one.numel() for one in networks[specs[0].head].parameters())

    def _validate(
        self, specs: Sequence[HeadSpec], networks: Mapping[Head, nn.Module], normalisation: Normalisation
    ) -> float:
        few = Few(self.data, {"val": max(_LOOKED_AT, min(self.training.batch_size, 16))})
        began = time.monotonic()
        validation_scores(
            networks, specs, few, self.training, normalisation=normalisation, progress=_Watch(self.progress),
            multiple=max(required_multiple(network) for network in networks.values()),
            runtime=make_accelerator(self.training.device, self.training.precision),
        )  # fmt: skip
        return (time.monotonic() - began) / len(few.images("val"))

    def _predict(self) -> _Watch:
        watch = _Watch(self.progress)
        pair = load_pair(self.folder, kind=self.data.kind, classes=self.data.classes, bands=self.data.bands)[self.seed]
        few = Few(self.data, dict.fromkeys(self.config.evaluation.splits, _LOOKED_AT))
        for split in self.config.evaluation.splits:
            predict_split(
                pair, few, split, seed=self.seed, folder=self.folder, device=self.training.device, progress=watch
            )
        return watch

    def _measure(self, watch: _Watch) -> None:
        truth = evaluation.Truth(self.data.kind, self.data.classes, self.data.background, {})
        few = min(_REPLICATES, self.config.evaluation.replicates)
        config = self.config.evaluation.model_copy(update={"replicates": few})
        evaluation.evaluate(
            self.folder, truth, config, contenders=[spec.head for spec in self.specs],
            seeds=(self.seed,), splits=self.config.evaluation.splits, progress=watch,
        )  # fmt: skip

    def _later_stages(self, watch: _Watch) -> list[tuple[str, float]]:
        seeds, splits = sorted(self.training.seeds), self.config.evaluation.splits
        stages = [
            (f"predict {split} {seed}", watch.seconds(f"predict {split} {self.seed}", self.counts[split]))
            for seed in seeds
            for split in splits
        ]
        if "val" in splits:
            stages.append(("temperature", _whole(watch, "temperature") * len(seeds)))
        for split in sorted(splits, key=lambda split: split != "val"):
            counting = watch.seconds(f"count {split} {self.seed}", self.counts[split])
            stages += [(f"count {split} {seed}", counting) for seed in seeds]
            grown = len(seeds) * (1 + _MEASURE_GROWTH * max(0, self.counts[split] - _LOOKED_AT))
            grown *= max(1.0, self.config.evaluation.replicates / _REPLICATES)
            stages.append((f"measure {split}", _grown(watch, f"measure {split}", grown)))
        return [*stages, ("commit", 1.0)]


def _whole(watch: _Watch, stage: str) -> float:
    return watch.times[stage][-1] - watch.times[stage][0]


def _grown(watch: _Watch, stage: str, times: float) -> float:
    """So many times a stage's time, but for what its first step took longer than any other: that comes once."""
    each = np.diff(watch.times[stage])
    once = max(0.0, float(each[0] - each[1:].max())) if len(each) > 1 else 0.0
    return once + (_whole(watch, stage) - once) * times


def _spread(names: Sequence[str], most: int) -> tuple[str, ...]:
    """So many of the names, spread over them, in their order."""
    if most >= len(names):
        return tuple(names)
    return tuple(names[at * len(names) // most] for at in range(most))


def _crop(asked: tuple[int, int], sizes: Mapping[tuple[int, int], int]) -> tuple[int, int]:
    """The training crop, no larger than the images need (as in pipelines.run)."""
    highest, widest = max(height for height, _ in sizes), max(width for _, width in sizes)
    return min(asked[0], -(-highest // 32) * 32), min(asked[1], -(-widest // 32) * 32)
