"""Code to copy, run as it stands, against the losses, decisions and networks that it speaks of."""

import json
from pathlib import Path

import numpy as np
import pytest
import segmentation_models_pytorch as smp
import torch
from synthetic import make_run
from test_losses import SPECS, case
from typer.testing import CliRunner

from pipelines import heads
from pipelines.cli import app
from pipelines.config import LOSSES, TrainingConfig
from pipelines.datasets.opening import open_dataset
from pipelines.errors import RunError
from pipelines.losses import loss_function
from pipelines.recipe import Ingredients, code_of, ingredients_of
from pipelines.store.runs import open_run

EVERY = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{spec.head}")
SMALL = "tu-mobilenetv3_small_050"


def made_up(spec, *, loss="ce", **more):
    known = TrainingConfig(loss=loss, encoder=SMALL)
    common = {
        "spec": spec, "seed": 0, "seeds": (0,), "training": known, "variant": "raw", "temperature": 1.0,
        "thresholds": tuple(60 / 300 + 0.1 * k for k in range(len(spec.classes))), "tuned": True,
        "threshold_spread": 0.0, "by_argmax": spec.kind == "exclusive", "ignored": True, "weights": None,
        "mean": None, "std": None,
    }  # fmt: skip
    return Ingredients(**(common | more))


def run_code(given, *, with_model=False):
    """The names that the code defines; without the model's line, which takes a second, unless it is asked for."""
    parts = code_of(given)
    names = {}
    model = parts["Model"] if with_model else "\n".join(
        line for line in parts["Model"].splitlines() if not line.startswith(("model =", "mean, std"))
    )  # fmt: skip
    for part in (model, parts["Loss"], parts["Labels"]):
        exec(compile(part, "<recipe>", "exec"), names)
    return names


@EVERY
@pytest.mark.parametrize("loss", LOSSES)
def test_copied_loss_is_the_one_that_trained_the_pair_to_the_last_digits(spec, loss):
    logits, target, valid = case(spec)
    copied = run_code(made_up(spec, loss=loss))["loss"]
    marked = target if spec.is_softmax else torch.where(valid[:, None], target, -1.0)
    assert copied(logits, marked).item() == pytest.approx(
        loss_function(loss, spec)(logits, target, valid).item(), rel=2e-6
    )


@EVERY
@pytest.mark.parametrize("loss", LOSSES)
def test_without_ignored_pixels_the_shorter_code_gives_the_same(spec, loss):
    logits, target, valid = case(spec, ignored=0.0)
    copied = run_code(made_up(spec, loss=loss, ignored=False))["loss"]
    assert copied(logits, target).item() == pytest.approx(
        loss_function(loss, spec)(logits, target, valid).item(), rel=2e-6
    )


@EVERY
@pytest.mark.parametrize("temperature", [None, 1.7])
def test_copied_decision_is_that_of_the_measured_one(spec, temperature):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, (2, len(spec.channels), 5, 6)).astype(np.float32)
    variant = "raw" if temperature is None else "temperature"
    given = made_up(spec, variant=variant, temperature=temperature or 1.0)
    p, labels = run_code(given)["predict"](torch.from_numpy(logits))
    for index, one in enumerate(logits):
        odds, extra = heads.log_odds(spec, one), heads.extra_log_odds(spec, one)
        odds = odds if temperature is None else heads.at_temperature(spec, odds, extra, temperature)
        rule = "argmax" if given.by_argmax else "threshold"
        assert np.allclose(p[index].numpy(), heads.sigmoid(odds), atol=1e-6)
        assert (labels[index].numpy() == heads.decide(odds, rule=rule, thresholds=given.thresholds)).all()


@pytest.mark.parametrize("name", ["landcover", "cells", "vessels"])
def test_code_of_a_real_run_gives_from_an_image_the_labels_that_were_measured(real_runs, name):
    run = open_run(real_runs, name)
    dataset = open_dataset(Path(run.config["dataset"]))
    for head in run.heads:
        given = ingredients_of(run, head)
        names = run_code(given, with_model=True)
        trained = smp.from_pretrained(run.folder / given.weights).eval()
        names["model"].load_state_dict(trained.state_dict())  # the same network, key by key
        with run.predictions("test", head, given.seed) as reader:
            stored = reader.read(reader.images[0])
        image = dataset.read(stored.image, size=given.training.size).image
        with torch.inference_mode():
            pixels = torch.from_numpy(image.copy()).movedim(-1, 0)[None]  # in [0, 1] already
            shape = (-1, 1, 1)
            logits = trained((pixels - names["mean"].reshape(shape)) / names["std"].reshape(shape))
        p, labels = names["predict"](logits)
        odds = stored.log_odds.astype(np.float32)
        if given.variant == "temperature":
            odds = heads.at_temperature(given.spec, odds, stored.extra.astype(np.float32), given.temperature)
        rule = "argmax" if given.by_argmax else "threshold"
        assert (
            np.abs(p[0].numpy() - heads.sigmoid(odds)).max() < 0.01
        )  # stored as float16, means and stds cut to 4 digits
        agree = labels[0].numpy() == heads.decide(odds, rule=rule, thresholds=given.thresholds)
        assert agree.mean() > 0.995


def test_seed_with_the_best_validation_score_is_taken(real_runs):
    run = open_run(real_runs, "cells")
    score = {}
    for seed in run.seeds:
        file = run.folder / f"models/seed={seed}/head=sigmoid/head.json"
        score[seed] = json.loads(file.read_text())["best_score"]
    assert ingredients_of(run, "sigmoid").seed == max(score, key=score.get)
    assert ingredients_of(run, "sigmoid", seed=1).weights == "models/seed=1/head=sigmoid"


def test_thresholds_are_exact_multiples_of_the_grid_and_their_spread_over_seeds_is_known(real_runs):
    run = open_run(real_runs, "cells")
    tuned = run.facts["thresholds"]["temperature"]["sigmoid"]
    given = ingredients_of(run, "sigmoid", seed=0)
    assert given.thresholds == tuple(tuned["0"].values())
    assert given.threshold_spread == max(abs(tuned["0"][name] - tuned["1"][name]) for name in tuned["0"])


def test_run_without_models_still_gives_code(tmp_path):
    run = make_run(tmp_path, "loaded", kind="overlapping", classes=("a", "b c.d"), images=2)
    given = ingredients_of(run, "softmax")
    assert given.weights is None
    assert given.mean is None
    names = run_code(given)
    assert names["classes"] == ["a", "b c.d"]
    assert "from_pretrained" not in code_of(given)["Model"]


@EVERY
@pytest.mark.parametrize("temperature", [None, 1.7])
def test_code_of_an_imported_run_holds_the_decision_and_says_that_the_rest_is_not_known(spec, temperature):
    fitted = {"variant": "raw"} if temperature is None else {"variant": "temperature", "temperature": temperature}
    given = made_up(spec, training=None, **fitted)
    parts = code_of(given)
    assert "trained elsewhere" in parts["Model"]
    assert "trained elsewhere" in parts["Loss"]
    names = {}
    exec(compile("\n".join(parts.values()), "<recipe>", "exec"), names)
    assert "model" not in names
    assert "loss" not in names
    assert names["classes"] == list(spec.classes)
    assert names.get("channels", names["classes"]) == list(spec.channels)
    logits = case(spec)[0].detach()
    p, labels = names["predict"](logits)
    scaled = logits[0].numpy() / np.float32(temperature or 1)
    odds = heads.log_odds(spec, scaled)
    assert np.abs(p[0].numpy() - heads.sigmoid(odds)).max() < 1e-5
    rule = "argmax" if given.by_argmax else "threshold"
    agree = labels[0].numpy() == heads.decide(odds, rule=rule, thresholds=given.thresholds)
    assert agree.mean() > 0.99  # but for values at the threshold itself


def test_many_long_names_stay_whole_over_several_lines():
    names = tuple(f"a long name of class {k}" for k in range(12))
    spec = heads.head_specs("exclusive", names)[0]
    source = code_of(made_up(spec))["Model"]
    assert max(map(len, source.splitlines())) < 110
    assert run_code(made_up(spec))["classes"] == list(names)


def test_unknown_head_or_seed_is_one_clear_line(tmp_path):
    run = make_run(tmp_path, "x", kind="exclusive", classes=("a", "b"), images=1)
    with pytest.raises(RunError, match="has heads sigmoid, softmax"):
        ingredients_of(run, "softmax-powerset")
    with pytest.raises(RunError, match="seeds"):
        ingredients_of(run, "sigmoid", seed=7)


def test_command_line_prints_code_that_compiles(real_runs):
    done = CliRunner().invoke(app, ["verdict", "cells", "--runs", str(real_runs), "--code", "sigmoid"])
    assert done.exit_code == 0, done.output
    names = {}
    source = done.output.replace("model = smp", "model = lambda: smp")
    exec(compile(source, "<printed>", "exec"), names)
    classes = len(names["classes"])
    assert names["predict"](torch.zeros(1, classes, 3, 3))[1].shape == (1, classes, 3, 3)
