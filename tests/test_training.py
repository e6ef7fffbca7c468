"""Matched training: what enters the networks, what is kept, what a stop leaves behind."""

import io
import itertools
import json
import math
import re
import resource
import struct
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from shapes import CLASSES, Shapes
from torch import nn

from pipelines.config import TrainingConfig
from pipelines.errors import Cancelled, ConfigError, DatasetError, RunError
from pipelines.heads import HeadSpec, decide, head_specs, log_odds
from pipelines.layouts import TRAINING_SCHEMA
from pipelines.progress import Progress
from pipelines.schema import KINDS
from pipelines.training.batches import epoch_batches, training_batches
from pipelines.training.loop import Contender, load_checkpoint, save_checkpoint, schedule, train_pair
from pipelines.training.models import build_pair, load_model
from pipelines.training.predict import decisions, macro_dice, validation_scores

NORMALISATION = ((0.4, 0.4, 0.4), (0.2, 0.25, 0.3))
LIGHT = TrainingConfig(
    encoder="tu-tf_mobilenetv3_small_minimal_100", epochs=2, batch_size=2, crop=(32, 32), precision="fp32", device="cpu"
)
DROPOUT = LIGHT.model_copy(update={"architecture": "FPN"})  # its decoder draws random numbers at every step


def specs_of(kind) -> tuple[HeadSpec, ...]:
    return head_specs(kind, CLASSES[kind], set_counts={(): 90, (0,): 30, (0, 1): 10})


def train(dataset, config, folder, *, progress=None, **options):
    return train_pair(
        dataset,
        specs_of(dataset.kind),
        config,
        seed=3,
        normalisation=NORMALISATION,
        folder=folder,
        progress=progress or Progress(),
        **options,
    )


def test_a_log_file_gets_a_line_an_epoch_with_loss_score_and_rate_of_each_head(tmp_path):
    log = io.StringIO()
    rows = train(Shapes("exclusive"), LIGHT, tmp_path, progress=Progress(stream=log))
    lines = [line for line in log.getvalue().splitlines() if re.match(r"train seed 3 +epoch \d/2  sigmoid", line)]
    assert len(lines) == LIGHT.epochs
    for epoch, line in enumerate(lines, 1):
        assert re.search(r"steps/s  \d+:\d\d left$", line)
        for head in ("sigmoid", "softmax"):
            mine = [row for row in rows if row["head"] == head and row["epoch"] == epoch]
            losses = [row["loss"] for row in mine if row["split"] == "train"]
            (score,) = [row["score"] for row in mine if row["split"] == "val"]
            rate = mine[-2]["learning_rate"]
            told = f"{head}: loss {sum(losses) / len(losses):.4f}, Dice {score:.4f}, learning rate {rate:.3g}"
            assert told in line


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    found = {}
    for path in sorted(folder.glob("models/seed=*/head=*")):
        model, _ = load_model(path)
        found |= {f"{path.name} {name}": value for name, value in model.state_dict().items()}
    return found


class Recorder:
    """What enters each network while it learns."""

    def __init__(self, networks: dict[str, nn.Module]) -> None:
        self.seen = defaultdict(list)
        self.draws = defaultdict(list)
        for head, network in networks.items():
            network.register_forward_pre_hook(lambda module, args, head=head: self.note(head, module, args[0]))

    def note(self, head, module, images):
        if module.training:
            self.seen[head].append(images.clone())
            self.draws[head].append(torch.get_rng_state())


@pytest.mark.parametrize("kind", KINDS)
def test_every_network_sees_the_same_tensors_at_every_step(kind, tmp_path):
    # 6 images in batches of 2 are 3 steps; 2 epochs are 6 steps and one epoch boundary.
    specs = specs_of(kind)
    networks = build_pair(specs, DROPOUT, seed=3)
    recorder = Recorder(networks)
    train(Shapes(kind, val=1), DROPOUT, tmp_path, models=networks)
    first, *others = (spec.head for spec in specs)
    assert len(recorder.seen[first]) == 6
    for head in others:
        assert len(recorder.seen[head]) == 6
        for step in range(6):
            assert torch.equal(recorder.seen[first][step], recorder.seen[head][step])
            # and the same random numbers wait for dropout
            assert torch.equal(recorder.draws[first][step], recorder.draws[head][step])
    steps = recorder.seen[first]
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(steps))


def test_an_image_is_read_once_for_all_heads(tmp_path):
    dataset = Shapes("overlapping", train=6, val=2)  # three heads
    train(dataset, LIGHT, tmp_path)
    assert dataset.reads == {**{f"t{i}": 2 for i in range(6)}, "v0": 2, "v1": 2}  # once an epoch


def test_a_head_learns_the_same_whoever_learns_beside_it(tmp_path):
    dataset = Shapes("overlapping")
    train(dataset, LIGHT, tmp_path / "three")
    alone = specs_of("overlapping")[:2]
    train_pair(dataset, alone, LIGHT, seed=3, normalisation=NORMALISATION, folder=tmp_path / "two", progress=Progress())
    three, two = weights_of(tmp_path / "three"), weights_of(tmp_path / "two")
    assert two.keys() < three.keys()
    assert all(torch.equal(three[name], value) for name, value in two.items())


def test_a_learning_rate_of_its_own_changes_one_head_only(tmp_path):
    dataset = Shapes("binary")
    common = train(dataset, LIGHT, tmp_path / "common")
    own = LIGHT.model_copy(update={"learning_rates": {"softmax": 2e-3}})
    rates = train(dataset, own, tmp_path / "own")
    for a, b in zip(common, rates, strict=True):
        if a["split"] == "train":
            assert b["learning_rate"] == pytest.approx(a["learning_rate"] * (2 if a["head"] == "softmax" else 1))
    before, after = weights_of(tmp_path / "common"), weights_of(tmp_path / "own")
    changed = {name.split()[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head=softmax"}


# Batches ---------------------------------------------------------------------------------------------------------


def batches_of(dataset, config, *, seed=3, first_step=0):
    return list(
        training_batches(
            dataset,
            specs_of(dataset.kind),
            config,
            seed=seed,
            normalisation=NORMALISATION,
            multiple=32,
            first_step=first_step,
        )
    )


def test_an_epoch_visits_each_image_once_in_batches_of_nearly_equal_size():
    # 9 images, at most 4 a batch: 3 batches of 3, not 4 + 4 + 1.
    batches = epoch_batches(9, 4, seed=1, epoch=0)
    assert [len(batch) for batch in batches] == [3, 3, 3]
    assert sorted(itertools.chain(*batches)) == list(range(9))
    assert batches == epoch_batches(9, 4, seed=1, epoch=0)
    assert batches != epoch_batches(9, 4, seed=1, epoch=1)
    assert batches != epoch_batches(9, 4, seed=2, epoch=0)
    assert [len(batch) for batch in epoch_batches(5, 2, seed=0, epoch=0)] == [3, 2]  # not 2 + 2 + 1
    assert [len(batch) for batch in epoch_batches(3, 1, seed=0, epoch=0)] == [1, 1, 1]
    assert [len(batch) for batch in epoch_batches(1, 2, seed=0, epoch=0)] == [1]


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_depend_on_seed_and_position_alone(workers):
    dataset, config = Shapes("overlapping"), LIGHT.model_copy(update={"workers": workers})
    torch.manual_seed(1)
    whole = batches_of(dataset, LIGHT)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    late = batches_of(dataset, config, first_step=2)
    assert torch.equal(torch.get_rng_state(), state)  # and the global random state is left alone
    assert len(whole) == 6
    for a, b in zip(whole[2:], late, strict=True):
        assert torch.equal(a.images, b.images)
        assert torch.equal(a.valid, b.valid)
        assert all(torch.equal(a.targets[head], b.targets[head]) for head in a.targets)
    assert not torch.equal(whole[0].images, batches_of(dataset, LIGHT, seed=4)[0].images)


def test_an_image_is_augmented_anew_in_every_epoch():
    config = LIGHT.model_copy(update={"size": (32, 32), "epochs": 4})
    images = [batch.images for batch in batches_of(Shapes("binary", train=1), config)]
    assert len(images) == 4
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(images, 2))
    plain = [
        batch.images for batch in batches_of(Shapes("binary", train=1), config.model_copy(update={"augment": False}))
    ]
    assert all(torch.equal(plain[0], other) for other in plain)


def test_targets_follow_the_image_through_every_draw():
    # Colour tells the class in an image without noise: core is bright green, so its pixels must be where truth says.
    dataset = Shapes("binary", train=6, size=(64, 64))
    for batch in batches_of(dataset, LIGHT):
        mean, std = (torch.tensor(value).view(3, 1, 1) for value in NORMALISATION)
        red_minus_blue = (batch.images * std + mean)[:, 0] - (batch.images * std + mean)[:, 2]
        disc = (batch.targets["softmax"] == 1) & batch.valid
        ground = (batch.targets["softmax"] == 0) & batch.valid
        # ground 0.3 - 0.5 = -0.2, disc 0.6 - 0.4 = +0.2, contrast within ±20%
        assert red_minus_blue[disc].mean() > 0.1
        assert red_minus_blue[ground].mean() < -0.1
        assert torch.equal(batch.targets["sigmoid"][:, 0] == 1, disc)
        assert torch.equal(batch.targets["softmax"] == -1, ~batch.valid)


def test_a_small_image_is_padded_with_ignored_pixels():
    # 20x12 into a crop of 40x40, padded to 64x64 for the network: at most 240 pixels an image can be valid.
    config = LIGHT.model_copy(update={"crop": (40, 40), "augment": False})
    for batch in batches_of(Shapes("exclusive", size=(20, 12)), config):
        assert batch.images.shape[1:] == (3, 64, 64)
        # an eighth of the rows, 2 of 20, is ignored in the truth: 18 * 12 = 216
        assert batch.valid.sum(dim=(1, 2)).tolist() == [216] * len(batch.valid)
        outside = (batch.images == 0).all(dim=1)
        assert outside.sum(dim=(1, 2)).tolist() == [64 * 64 - 240] * len(batch.valid)
        assert not (outside & batch.valid).any()
        assert not batch.valid[:, 40:].any()
        assert not batch.valid[:, :, 40:].any()


def test_every_part_of_a_large_image_can_be_in_a_crop():
    # Crops of 32x32 from 40x36: a corner pixel is in 1 of 9 * 5, so 800 crops miss it with odds of 2e-8.
    class Ramp(Shapes):
        def examine(self, name, *, size=None):
            found = super().examine(name, size=size)
            grid = np.arange(40 * 36, dtype=np.float32).reshape(40, 36, 1) / 4096
            object.__setattr__(found.item, "image", np.repeat(grid, 3, axis=2))
            return found

    config = LIGHT.model_copy(update={"epochs": 400, "augment": False})
    seen = set()
    for batch in batches_of(Ramp("binary", train=2), config):
        ids = (batch.images[:, 0] * NORMALISATION[1][0] + NORMALISATION[0][0]) * 4096
        seen |= set(ids.round().int().flatten().tolist())
    assert seen == set(range(40 * 36))


def test_an_unreadable_image_is_named_in_one_line(tmp_path):
    for workers in (0, 1):
        config = LIGHT.model_copy(update={"workers": workers})
        with pytest.raises(DatasetError, match=r"^READ: t4 cannot be read$"):
            train(Shapes("binary", unreadable=("t4",)), config, tmp_path)


def test_an_empty_train_split_is_refused(tmp_path):
    with pytest.raises(DatasetError, match="train split is empty"):
        train(Shapes("binary", train=0), LIGHT, tmp_path)


# Stopping and going on -------------------------------------------------------------------------------------------


class StopAfter(Progress):
    """Asks to stop when `steps` more steps are done."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self._steps = steps

    def advance(self, steps: int = 1, *, message: str | None = None) -> None:
        self._steps -= steps
        if self._steps == 0:
            self.cancel()
        super().advance(steps, message=message)


class StopInValidation(Progress):
    """Asks to stop at the second look of the first validation."""

    looks = 0

    def check(self) -> None:
        if self.state["done"] == 2:  # step 3 is done but not yet counted: its epoch is being validated
            self.looks += 1
            if self.looks == 3:
                self.cancel()
        super().check()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_stopped_training_ends_with_the_weights_of_an_uninterrupted_one(tmp_path, precision):
    # 6 steps in 2 epochs, stopped in the first epoch, at its end and in the second.
    dataset = Shapes("overlapping")
    config = DROPOUT.model_copy(update={"precision": precision})
    rows = train(dataset, config, tmp_path / "whole")
    for steps in (2, 1, 2):
        with pytest.raises(Cancelled, match="--resume"):
            train(dataset, config, tmp_path / "parts", progress=StopAfter(steps))
        assert not (tmp_path / "parts" / "models").exists()
        torch.rand(7)  # what happens between must not matter
    resumed = train(dataset, config, tmp_path / "parts")
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert len(whole) > 300
    assert all(torch.equal(whole[name], parts[name]) for name in whole)
    without_time = [[{k: v for k, v in row.items() if k != "seconds"} for row in run] for run in (rows, resumed)]
    assert without_time[0] == without_time[1]


def test_a_stop_during_validation_loses_nothing(tmp_path):
    dataset = Shapes("binary", val=3)
    config = LIGHT.model_copy(update={"batch_size": 2})
    train(dataset, config, tmp_path / "whole")
    with pytest.raises(Cancelled):
        train(dataset, config, tmp_path / "parts", progress=StopInValidation())
    state = torch.load(tmp_path / "parts" / "checkpoints" / "seed=3.pt", weights_only=True)["state"]
    assert (state["step"], state["validated"]) == (3, 0)
    train(dataset, config, tmp_path / "parts")
    whole, parts = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_resumed_training_uses_the_first_ones_number_of_threads(tmp_path):
    # Sums over threads depend on their number, and bits with them.
    dataset, before = Shapes("binary", train=4, val=1), torch.get_num_threads()
    with pytest.raises(Cancelled):
        train(dataset, LIGHT, tmp_path, progress=StopAfter(3))
    networks, used = build_pair(specs_of("binary"), LIGHT, seed=3), []
    networks["sigmoid"].register_forward_pre_hook(lambda *_: used.append(torch.get_num_threads()))
    torch.set_num_threads(before + 1)
    try:
        train(dataset, LIGHT, tmp_path, models=networks)
        assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
    assert used == [before, before]  # one step and one validation were left


def test_a_finished_training_is_not_repeated(tmp_path):
    dataset = Shapes("binary")
    rows = train(dataset, LIGHT, tmp_path)
    before = weights_of(tmp_path)
    dataset.reads.clear()
    progress = Progress()
    assert train(dataset, LIGHT, tmp_path, progress=progress) == rows
    assert dataset.reads == {}
    assert progress.state["done"] == progress.state["total"] == 6
    assert [point["epoch"] for point in progress.state["curves"]] == [1, 1, 2, 2]
    assert all(torch.equal(before[name], value) for name, value in weights_of(tmp_path).items())


def test_a_checkpoint_of_other_settings_is_refused_by_name(tmp_path):
    dataset = Shapes("binary")
    with pytest.raises(Cancelled):
        train(dataset, LIGHT, tmp_path, progress=StopAfter(1))
    with pytest.raises(RunError, match=r"written with epochs 2, this run has 5; resume with the same settings"):
        train(dataset, LIGHT.model_copy(update={"epochs": 5}), tmp_path)
    with pytest.raises(RunError, match="train images"):
        train(Shapes("binary", train=5), LIGHT, tmp_path)
    # These may change: they cannot change the result.
    train(dataset, LIGHT.model_copy(update={"checkpoint_seconds": 0.0, "seeds": (3, 4)}), tmp_path)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"no checkpoint"])
def test_a_damaged_checkpoint_is_one_clear_line(tmp_path, damage):
    path = tmp_path / "seed=0.pt"
    save_checkpoint(path, {"step": 1, "weights": torch.ones(100)}, settings={})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RunError, match=r"^checkpoint .* is damaged .*delete it") as caught:
        load_checkpoint(path, settings={})
    assert "\n" not in str(caught.value)


def test_a_failed_write_keeps_the_old_checkpoint(tmp_path):
    path = tmp_path / "seed=0.pt"
    save_checkpoint(path, {"step": 1}, settings={})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))  # a disk with room for 100 kB
    try:
        with pytest.raises(RunError, match=r"could not be written .*free some space") as caught:
            save_checkpoint(path, {"step": 2, "weights": torch.ones(100_000)}, settings={})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert "\n" not in str(caught.value)
    assert [entry.name for entry in tmp_path.iterdir()] == ["seed=0.pt"]
    state = load_checkpoint(path, settings={})
    assert state is not None
    assert state["step"] == 1


def test_checkpoints_are_written_as_often_as_asked(tmp_path, monkeypatch):
    steps = []

    def note(path, state, *, settings):
        steps.append(state["step"])
        save_checkpoint(path, state, settings=settings)

    monkeypatch.setattr("pipelines.training.loop.save_checkpoint", note)
    train(Shapes("binary", val=1), LIGHT.model_copy(update={"checkpoint_seconds": 0.0}), tmp_path)
    assert steps == [1, 2, 3, 4, 5, 6]


# Results ---------------------------------------------------------------------------------------------------------


def test_rows_fit_the_schema_and_count_from_one(tmp_path):
    rows = train(Shapes("binary"), LIGHT, tmp_path)
    table = pa.Table.from_pylist(rows, schema=TRAINING_SCHEMA).to_pandas()
    learned = table[table["split"] == "train"]
    assert learned.groupby("head")["step"].apply(list).to_dict() == {
        "sigmoid": [1, 2, 3, 4, 5, 6],
        "softmax": [1, 2, 3, 4, 5, 6],
    }
    assert learned["epoch"].tolist() == [1] * 6 + [2] * 6
    assert learned["loss"].notna().all()
    scored = table[table["split"] == "val"]
    assert scored[["head", "epoch", "step"]].to_numpy().tolist() == [
        ["sigmoid", 1, 3],
        ["softmax", 1, 3],
        ["sigmoid", 2, 6],
        ["softmax", 2, 6],
    ]
    assert scored["score"].between(0, 1).all()
    assert (table["seconds"].diff().dropna() >= 0).all()


def test_the_saved_weights_are_those_of_the_best_epoch(tmp_path):
    dataset, config = Shapes("exclusive", val=3), LIGHT.model_copy(update={"epochs": 4})
    specs = specs_of("exclusive")
    rows = train(dataset, config, tmp_path)
    for spec in specs:
        scores = [row["score"] for row in rows if row["head"] == spec.head and row["split"] == "val"]
        model, head = load_model(tmp_path / "models" / "seed=3" / f"head={spec.head}")
        assert head.best_score == max(scores)
        assert head.best_epoch == 1 + scores.index(max(scores))  # the first of equals
        again = validation_scores(
            {spec.head: model},
            [spec],
            dataset,
            config,
            normalisation=head.normalisation,
            multiple=32,
            runtime=CpuRuntime(),
            progress=Progress(),
        )
        assert again[spec.head] == pytest.approx(head.best_score, abs=1e-6)


class CpuRuntime:
    device = torch.device("cpu")

    def autocast(self):
        return torch.autocast("cpu", enabled=False)


def test_the_first_of_equally_good_epochs_is_kept():
    spec = specs_of("binary")[0]
    contender = Contender(spec, nn.Conv2d(3, 1, 1), LIGHT, total=10, device=torch.device("cpu"))
    for epoch, score in enumerate((0.5, 0.7, 0.7, 0.6), start=1):
        nn.init.constant_(contender.network.weight, epoch)
        contender.keep(epoch, score, last=epoch == 4)
    assert (contender.best_epoch, contender.best_score) == (2, 0.7)
    assert contender.best_weights["weight"].unique().tolist() == [2.0]


def test_without_validation_the_last_weights_are_kept(tmp_path):
    progress = Progress()
    networks = build_pair(specs_of("binary"), LIGHT, seed=3)
    rows = train(Shapes("binary", val=0), LIGHT, tmp_path, progress=progress, models=networks)
    assert {row["score"] for row in rows} == {None}
    assert progress.state["message"] == "no validation split: the last weights are kept"
    _, head = load_model(tmp_path / "models" / "seed=3" / "head=sigmoid")
    assert (head.best_epoch, head.best_score) == (2, None)


def test_training_learns_and_leaves_the_random_state_alone(tmp_path):
    torch.manual_seed(5)
    state = torch.get_rng_state()
    config = LIGHT.model_copy(update={"epochs": 12, "batch_size": 4})
    rows = train(Shapes("binary", train=8, val=3), config, tmp_path)
    assert torch.equal(torch.get_rng_state(), state)
    for head in ("sigmoid", "softmax"):
        losses = [row["loss"] for row in rows if row["head"] == head and row["split"] == "train"]
        assert np.mean(losses[-4:]) < 0.5 * np.mean(losses[:4])
        assert [row["score"] for row in rows if row["head"] == head and row["split"] == "val"][-1] > 0.5


def test_a_loss_that_is_not_finite_stops_before_any_weight_changes(tmp_path):
    networks = build_pair(specs_of("binary"), LIGHT, seed=3)
    with torch.no_grad():
        networks["softmax"].segmentation_head[0].bias[0] = math.inf
    before = {name: value.clone() for name, value in networks["sigmoid"].named_parameters()}
    with pytest.raises(RunError, match=r"training of softmax met a loss .* at step 1 \(loss nan\); lower the learning"):
        train(Shapes("binary"), LIGHT, tmp_path, models=networks)
    assert all(torch.equal(before[name], value) for name, value in networks["sigmoid"].named_parameters())
    assert not (tmp_path / "checkpoints").exists()


def test_a_device_that_is_not_there_is_refused(tmp_path):
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    with pytest.raises(ConfigError, match="device cuda is not available here; use auto or cpu"):
        train(Shapes("binary"), LIGHT.model_copy(update={"device": "cuda"}), tmp_path)


def test_resized_images_need_not_fit_the_network(tmp_path):
    # 40x24 is padded to 64x32 for training and validation.
    config = LIGHT.model_copy(update={"size": (40, 24), "epochs": 1})
    networks = build_pair(specs_of("exclusive"), config, seed=3)
    recorder = Recorder(networks)
    train(Shapes("exclusive"), config, tmp_path, models=networks)
    assert {tuple(images.shape[1:]) for images in recorder.seen["sigmoid"]} == {(3, 64, 32)}
    head = json.loads((tmp_path / "models" / "seed=3" / "head=softmax" / "head.json").read_text())
    assert (head["size"], head["crop"]) == ([40, 24], None)


def test_the_learning_rate_warms_up_and_falls_along_a_cosine():
    # 200 steps: 10 of warm-up, then 190 of cosine; its middle, step 105, is at a half.
    assert [schedule(step, 200) for step in (0, 4, 9)] == pytest.approx([0.1, 0.5, 1.0])
    assert schedule(10, 200) == 1.0
    assert schedule(105, 200) == pytest.approx(0.5)
    assert 0 < schedule(199, 200) < 1e-3
    assert schedule(0, 1) == 1.0


@pytest.mark.parametrize("kind", KINDS)
def test_decisions_are_those_of_the_log_odds(kind):
    rng = np.random.default_rng(0)
    for spec in specs_of(kind):
        logits = rng.normal(0, 3, (len(spec.channels), 30, 40)).astype(np.float32)
        rule = "argmax" if kind == "exclusive" else "threshold"
        expected = decide(log_odds(spec, logits), rule=rule)
        assert np.array_equal(decisions(spec, torch.from_numpy(logits)[None])[0].numpy(), expected)


def test_macro_dice_averages_over_classes_with_truth():
    # class 0: 2*3 / (4 + 5) = 2/3; class 1: 2*0 / (2 + 1) = 0; class 2 has no truth. Mean 1/3.
    both, called, truth = torch.tensor([[3, 0, 0], [4, 2, 7], [5, 1, 0]])
    assert macro_dice(both, called, truth) == pytest.approx(1 / 3)
    assert macro_dice(both, called, torch.zeros(3, dtype=torch.int64)) is None


def test_one_flipped_bit_in_a_checkpoint_is_one_line(tmp_path):
    path = tmp_path / "seed=0.pt"
    state = {"weights": torch.arange(4096.0), "rows": "[]"}
    save_checkpoint(path, state, settings={"seed": "0"})
    whole = path.read_bytes()
    assert torch.equal(load_checkpoint(path, settings={"seed": "0"})["weights"], state["weights"])
    place = whole.index(struct.pack("<f", 1000.0))  # inside the weights: torch alone reads them without a word
    for bit in range(8):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(RunError, match=r"checkpoint .* is damaged \(the checksum of .* is wrong\); delete it"):
            load_checkpoint(path, settings={"seed": "0"})
    for content in (b"", whole[:100], b"[]", whole[: len(whole) // 2]):
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"is damaged .*; delete it to train this seed from the start"):
            load_checkpoint(path, settings={"seed": "0"})
