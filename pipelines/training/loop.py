"""A data set and heads to trained networks: one pass over the data, every head on every batch, resumable to the bit."""

import json
import math
import pickle
import struct
import time
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from pipelines.config import TrainingConfig
from pipelines.datasets.dataset import Dataset
from pipelines.errors import Cancelled, ConfigError, DatasetError, RunError
from pipelines.heads import HeadSpec
from pipelines.losses import loss_function
from pipelines.progress import Progress
from pipelines.schema import Head, Split
from pipelines.store import files
from pipelines.training.batches import Batch, steps_per_epoch, stream_seed, training_batches
from pipelines.training.models import Normalisation, build_pair, first_line, required_multiple, save_model
from pipelines.training.predict import Examples, make_accelerator, validation_scores

# One head ------------------------------------------------------------------------------------------------------------

MAX_GRADIENT_NORM: Final = 5.0
_WARMUP_STEPS: Final = 100


def schedule(step: int, total: int) -> float:
    """Share of the base learning rate at a step (0-based): linear warm-up, then half a cosine. In (0, 1]."""
    warmup = min(_WARMUP_STEPS, max(1, total // 20))
    if step < warmup:
        return (step + 1) / warmup
    return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total - warmup)))


class Contender:
    """One head and everything that learns with it. Heads differ in spec, loss form and, if asked for, base rate."""

    def __init__(
        self, spec: HeadSpec, network: nn.Module, config: TrainingConfig, *, total: int, device: torch.device
    ) -> None:
        self.spec = spec
        self.network = network.to(device, memory_format=torch.channels_last).train()  # type: ignore[call-overload]
        self.loss = loss_function(config.loss, spec)
        self._base, self._total = config.learning_rate_of(spec.head), total
        self._optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=self._base, weight_decay=config.weight_decay, fused=True
        )
        self.best_epoch = 0
        self.best_score: float | None = None
        self.best_weights: dict[str, Tensor] = {}

    @property
    def head(self) -> Head:
        """Name of the head."""
        return self.spec.head

    def clip(self) -> Tensor:
        """Scale the gradient down to MAX_GRADIENT_NORM if it is longer; returns its length before."""
        return nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT_NORM)

    def update(self, step: int) -> float:
        """Change the weights; returns the learning rate, a pure function of the step."""
        rate = self._base * schedule(step, self._total)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return rate

    def keep(self, epoch: int, score: float | None, *, last: bool) -> None:
        """Keep the weights if this epoch is the best, the first of equals; without any score, if it is the last."""
        better = score is not None and (self.best_score is None or score > self.best_score)
        if better or (last and not self.best_weights):
            self.best_epoch, self.best_score = epoch, score
            values = self.network.state_dict()
            self.best_weights = {name: value.detach().to("cpu", copy=True) for name, value in values.items()}

    def state(self, *, finished: bool) -> dict[str, Any]:
        """What a checkpoint needs; once finished, only the result."""
        state: dict[str, Any] = {
            "best_epoch": self.best_epoch,
            "best_score": self.best_score,
            "best_weights": self.best_weights,
        }
        if not finished:
            state |= {"network": self.network.state_dict(), "optimizer": self._optimizer.state_dict()}
        return state

    def restore(self, state: dict[str, Any]) -> None:
        """Undo `state`."""
        self.best_epoch, self.best_score = state["best_epoch"], state["best_score"]
        self.best_weights = state["best_weights"]
        if "network" in state:
            self.network.load_state_dict(state["network"])
            self._optimizer.load_state_dict(state["optimizer"])


# All heads -----------------------------------------------------------------------------------------------------------

_CHECKPOINT_SHARE: Final = 0.05  # at an epoch's end a checkpoint is written if it costs less than this of the time
_FORWARD_STREAM: Final = 1  # keeps the networks' own draws apart from those of augmentation


def train_pair(
    dataset: Dataset,
    specs: Sequence[HeadSpec],
    config: TrainingConfig,
    *,
    seed: int,
    normalisation: Normalisation,
    folder: Path,
    progress: Progress,
    models: Mapping[Head, nn.Module] | None = None,
) -> list[dict[str, Any]]:
    """Train every head on the same batches and write the best weights to folder/models/seed=S/head=H.

    folder/checkpoints/seed=S.pt is written on the way; if it is there, the training goes on from it and ends, on a
    CPU, with the weights of an uninterrupted one. models: networks to start from instead of build_pair's; they are
    trained in place. Returns rows of layouts.TRAINING_SCHEMA, epochs and steps counted from 1; without a validation
    split the last weights are kept and the score is None.
    Raises Cancelled, with the checkpoint on disk, when progress was asked to stop.
    """
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        networks = (
            dict(models) if models is not None else build_pair(specs, config, seed=seed, bands=dataset.bands.count)
        )
        training = _Training(dataset, specs, config, seed, normalisation, folder, progress, networks)
        try:
            training.run()
        finally:
            torch.set_num_threads(threads)
    training.write_models()
    return training.rows


class _Training:
    """One training of all heads with one seed. `step` is the number of steps done; all else follows from it."""

    def __init__(
        self,
        dataset: Dataset,
        specs: Sequence[HeadSpec],
        config: TrainingConfig,
        seed: int,
        normalisation: Normalisation,
        folder: Path,
        progress: Progress,
        networks: dict[Head, nn.Module],
    ) -> None:
        self.dataset, self.specs, self.config, self.seed = dataset, tuple(specs), config, seed
        self.normalisation, self.folder, self.progress = normalisation, folder, progress
        self.accelerator = make_accelerator(config.device, config.precision)
        self.multiple = max(required_multiple(network) for network in networks.values())
        if not dataset.images("train"):
            raise DatasetError("the train split is empty; list at least one image in splits/train.txt")
        self.steps = steps_per_epoch(len(dataset.images("train")), config.batch_size)
        total = self.steps * config.epochs
        device = self.accelerator.device
        self.contenders = [Contender(spec, networks[spec.head], config, total=total, device=device) for spec in specs]
        self.step, self.validated = 0, 0
        self.rows: list[dict[str, Any]] = []
        self.points: list[dict[str, Any]] = []
        self.checkpoint = folder / "checkpoints" / f"seed={seed}.pt"
        self._began = self._saved = time.monotonic()
        self._cost = 0.0

    @property
    def finished(self) -> bool:
        return self.step == self.steps * self.config.epochs and self.validated == self.config.epochs

    def run(self) -> None:
        """Go on from the checkpoint, if there is one, to the end."""
        self._resume()
        total = self.steps * self.config.epochs
        with self.progress.stage(f"train seed {self.seed}", total, done=self.step):
            for point in self.points:
                self.progress.point(**point)
            if self.finished:
                return
            try:
                self._learn()
            except Cancelled:
                self._save()
                raise
            if not self.dataset.images("val"):
                self.progress.advance(0, message="no validation split: the last weights are kept")
        self._save()

    def _learn(self) -> None:
        self._end_epoch()  # when the stop came during validation
        batches = training_batches(
            self.dataset,
            self.specs,
            self.config,
            seed=self.seed,
            normalisation=self.normalisation,
            multiple=self.multiple,
            first_step=self.step,
        )
        for batch in batches:
            losses = self._learn_batch(batch)
            self._end_epoch()
            self._save_if_due()
            epoch = (self.step - 1) // self.steps + 1
            shown = ", ".join(f"{head} {loss:.3f}" for head, loss in losses.items())
            self.progress.advance(message=f"epoch {epoch}/{self.config.epochs}: loss {shown}")

    def _learn_batch(self, batch: Batch) -> dict[Head, float]:
        """One step of every head. All losses are looked at before any weight changes."""
        device = self.accelerator.device
        images = batch.images.to(device, memory_format=torch.channels_last)
        valid = batch.valid.to(device)
        measured = []
        for contender in self.contenders:
            torch.manual_seed(stream_seed(self.seed, self.step, 0, _FORWARD_STREAM))  # dropout draws are matched too
            try:
                with self.accelerator.autocast():
                    logits = contender.network(images)
            except ValueError as error:  # batch normalisation of a single value
                raise ConfigError(
                    f"{self.config.architecture} cannot train on {tuple(images.shape)}: {error}; "
                    "use larger images or crops, or more than one image a batch"
                ) from None
            loss = contender.loss(logits, batch.targets[contender.head].to(device), valid)
            self.accelerator.backward(loss)
            measured += [loss.detach(), contender.clip()]
        values = torch.stack(measured).tolist()  # the one wait for the device
        losses = {contender.head: values[2 * k] for k, contender in enumerate(self.contenders)}
        self._check_finite(values)
        for contender in self.contenders:
            rate = contender.update(self.step)
            self._row(contender.head, "train", self.step + 1, loss=losses[contender.head], learning_rate=rate)
        self.step += 1
        return losses

    def _check_finite(self, values: list[float]) -> None:
        for k, contender in enumerate(self.contenders):
            if not all(math.isfinite(value) for value in values[2 * k : 2 * k + 2]):
                raise RunError(
                    f"training of {contender.head} met a loss or gradient that is not a finite number at step "
                    f"{self.step + 1} (loss {values[2 * k]}); lower the learning rate or use fp32, and run again"
                )

    def _end_epoch(self) -> None:
        """Score and keep the weights, when an epoch is complete and not yet validated."""
        epoch, rest = divmod(self.step, self.steps)
        if rest or epoch == self.validated:
            return
        scores: dict[Head, float | None] = dict.fromkeys((spec.head for spec in self.specs), None)
        if self.dataset.images("val"):
            examples = Examples(self.progress.examples, self.dataset, self.config, seed=self.seed, epoch=epoch)
            scores = validation_scores(
                {contender.head: contender.network for contender in self.contenders},
                self.specs,
                self.dataset,
                self.config,
                normalisation=self.normalisation,
                multiple=self.multiple,
                runtime=self.accelerator,
                progress=self.progress,
                examples=examples,
            )
            examples.write()
        for contender in self.contenders:
            score = scores[contender.head]
            contender.keep(epoch, score, last=epoch == self.config.epochs)
            self._row(contender.head, "val", self.step, score=score)
            self._point(contender.head, epoch, score)
        self.validated = epoch
        self.progress.note(self._epoch_line(epoch))

    def _row(self, head: Head, split: str, step: int, **values: float | None) -> None:
        row: dict[str, Any] = dict.fromkeys(("loss", "score", "learning_rate")) | values
        epoch = (step - 1) // self.steps + 1
        seconds = time.monotonic() - self._began
        self.rows.append(
            {"head": head, "seed": self.seed, "epoch": epoch, "step": step, "split": split, "seconds": seconds} | row
        )

    def _point(self, head: Head, epoch: int, score: float | None) -> None:
        recent = self.rows[-(self.steps + 1) * len(self.specs) :]
        losses = [
            row["loss"] for row in recent if row["head"] == head and row["epoch"] == epoch and row["split"] == "train"
        ]
        point = {"head": head, "seed": self.seed, "epoch": epoch, "score": score, "loss": sum(losses) / len(losses)}
        self.points.append(point)
        self.progress.point(**point)

    def _epoch_line(self, epoch: int) -> str:
        """An epoch for a log file: of each head its mean loss, its score and the rate it learns at."""
        last = [row for row in self.rows[-2 * len(self.specs) :] if row["split"] == "train"]
        rates = {row["head"]: row["learning_rate"] for row in last}
        parts = [f"epoch {epoch}/{self.config.epochs}"]
        for point in self.points[-len(self.specs) :]:
            score = "" if point["score"] is None else f", Dice {point['score']:.4f}"
            parts.append(f"{point['head']}: loss {point['loss']:.4f}{score}, learning rate {rates[point['head']]:.3g}")
        return "  ".join(parts)

    # Checkpoints -----------------------------------------------------------------------------------------------

    def _settings(self) -> dict[str, str]:
        runtime = {"device": self.accelerator.device.type, "precision": self.accelerator.mixed_precision}
        return runtime | training_settings(
            self.dataset, self.specs, self.config, seed=self.seed, normalisation=self.normalisation
        )

    def _save_if_due(self) -> None:
        since = time.monotonic() - self._saved
        at_end = self.step % self.steps == 0 and self._cost < _CHECKPOINT_SHARE * since
        if not self.finished and (since >= self.config.checkpoint_seconds or at_end):
            self._save()

    def _save(self) -> None:
        started = time.monotonic()
        state = {
            "step": self.step,
            "validated": self.validated,
            "threads": torch.get_num_threads(),
            "seconds": started - self._began,
            "rows": json.dumps(self.rows),
            "points": json.dumps(self.points),
            "heads": {contender.head: contender.state(finished=self.finished) for contender in self.contenders},
        }
        save_checkpoint(self.checkpoint, state, settings=self._settings())
        self._saved = time.monotonic()
        self._cost = self._saved - started

    def _resume(self) -> None:
        state = load_checkpoint(self.checkpoint, settings=self._settings())
        if state is None:
            return
        self.step, self.validated = state["step"], state["validated"]
        self.rows, self.points = json.loads(state["rows"]), json.loads(state["points"])
        self._began = time.monotonic() - state["seconds"]
        if self.accelerator.device.type == "cpu":
            torch.set_num_threads(state["threads"])  # sums depend on how they are split
        for contender in self.contenders:
            contender.restore(state["heads"][contender.head])

    def write_models(self) -> None:
        """Put the best weights into the networks and onto disk."""
        for contender in self.contenders:
            contender.network.load_state_dict(contender.best_weights)
            save_model(
                contender.network.eval(),
                contender.spec,
                self.folder / "models" / f"seed={self.seed}" / f"head={contender.head}",
                normalisation=self.normalisation,
                config=self.config,
                seed=self.seed,
                best_epoch=contender.best_epoch,
                best_score=contender.best_score,
                bands=self.dataset.bands,
            )


# Checkpoints ---------------------------------------------------------------------------------------------------------

_VERSION: Final = 1
_OF_PYTHON: Final = (OSError, RuntimeError, EOFError, ValueError, LookupError, TypeError, AttributeError, MemoryError)
_DAMAGE: Final = (*_OF_PYTHON, pickle.UnpicklingError, zipfile.BadZipFile, zlib.error, struct.error)
_SPLITS: Final[tuple[Split, ...]] = ("train", "val")


def save_checkpoint(path: Path, state: Mapping[str, Any], *, settings: Mapping[str, str]) -> None:
    """Replace the checkpoint: a new file is written, synced and renamed, so that a kill leaves the old or the new one.

    state: tensors, numbers, strings, lists and dicts. settings: what a resumed training must agree on.
    Raises RunError when it cannot be written, on a full disk for example; the old one is then still there.
    """
    with files.replacing(path, name=f"checkpoint {path}", then="and run again with --resume") as temporary:
        try:
            with temporary.open("wb") as file:
                torch.save({"version": _VERSION, "settings": dict(settings), "state": dict(state)}, file)
        except RuntimeError as error:  # what torch.save says when the disk is full
            raise OSError(first_line(error)) from None
    files.sync_folder(path.parent)


def load_checkpoint(path: Path, *, settings: Mapping[str, str]) -> dict[str, Any] | None:
    """The saved state, tensors on the CPU; None when there is no checkpoint.

    Raises RunError when the file is damaged or was written with other settings.
    """
    if not path.exists():
        return None
    try:
        with zipfile.ZipFile(path) as archive:  # torch itself does not look at the checksums
            broken = archive.testzip()
        if broken is not None:
            raise ValueError(f"the checksum of {broken} is wrong")
        content = torch.load(path, map_location="cpu", weights_only=True)
        version, saved, state = content["version"], content["settings"], content["state"]
    except _DAMAGE as error:
        raise RunError(
            f"checkpoint {path} is damaged ({first_line(error)}); delete it to train this seed from the start"
        ) from None
    if version != _VERSION:
        raise RunError(
            f"checkpoint {path} has version {version}, this program reads {_VERSION}; delete it to start anew"
        )
    for name in sorted(settings.keys() | saved.keys()):
        if settings.get(name) != saved.get(name):
            raise RunError(
                f"checkpoint {path} was written with {name} {saved.get(name)}, this run has {settings.get(name)}; "
                "resume with the same settings, or delete it to start anew"
            )
    return dict(state)


def training_settings(
    dataset: Dataset, specs: Sequence[HeadSpec], config: TrainingConfig, *, seed: int, normalisation: Normalisation
) -> dict[str, str]:
    """What an interrupted and a resumed training must agree on, each as text that a message can show."""
    free = {"seeds", "workers", "checkpoint_seconds", "device", "precision"}
    settings = {name: json.dumps(value) for name, value in config.model_dump(exclude=free).items()}
    settings |= {f"head {spec.head}": spec.model_dump_json() for spec in specs}
    settings |= {"seed": str(seed), "normalisation": json.dumps(normalisation)}
    for split in _SPLITS:
        names = "\n".join(dataset.images(split))
        settings[f"{split} images"] = sha256(names.encode()).hexdigest()[:16]
    return settings
