"""Outputs of networks trained elsewhere to runs: channels by name, values as declared, refusals that store nothing."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from outputs_on_disk import WRITERS, write_outputs
from scipy.special import expit, log_softmax
from scipy.special import logit as exact_logit
from synthetic import make_run, write_dataset
from typer.testing import CliRunner

from pipelines import cli, heads
from pipelines.channels import Declaration, align
from pipelines.config import EvaluationConfig, ImportConfig, RunConfig
from pipelines.datasets.opening import open_dataset
from pipelines.errors import Cancelled, ConfigError, DatasetError, PipelineError, ShapeError
from pipelines.imports.predictions import make_import
from pipelines.imports.sources import OutputSource
from pipelines.progress import Progress
from pipelines.schema import LOG_ODDS_LIMIT
from pipelines.store.manage import staged_attempts
from pipelines.store.runs import Run

CLASSES = ("cell", "nucleus")
KEYS = ["head", "seed", "split", "variant", "region", "class", "metric"]


def declared(head, values, *classes, background=None):
    return Declaration(head=head, values=values, classes=classes, background=background)


# Channels by name --------------------------------------------------------------------------------------------------


def test_channels_in_another_order_are_mapped_by_name():
    found = align(declared("sigmoid", "logits", "c", "a", "b"), "sigmoid", kind="exclusive", classes=("a", "b", "c"))
    values = np.arange(3.0).reshape(3, 1, 1)  # c is 0, a is 1, b is 2
    assert found.logits(values)[:, 0, 0].tolist() == [1.0, 2.0, 0.0]
    assert found.spec.channels == ("a", "b", "c")


@pytest.mark.parametrize("kind", ["binary", "overlapping"])
def test_a_sigmoid_loses_its_background_channel_and_a_softmax_keeps_it(kind):
    classes = ("a",) if kind == "binary" else ("a", "b")
    names = ("nothing", *classes)
    given = {"kind": kind, "classes": classes}
    sigmoid = align(declared("sigmoid", "logits", *names, background="nothing"), "sigmoid", **given)
    assert (sigmoid.spec.channels, sigmoid.dropped) == (classes, ("nothing",))
    softmax = align(declared("softmax", "logits", *reversed(names), background="nothing"), "softmax", **given)
    assert softmax.spec.channels == ("background", *classes)
    assert softmax.order == tuple(reversed(range(len(names))))


def test_the_background_of_exclusive_truth_is_found_under_another_name():
    found = align(
        declared("softmax", "logits", "bg", "tree", background="bg"), "softmax",
        kind="exclusive", classes=("soil", "tree"), background="soil",
    )  # fmt: skip
    assert found.spec.channels == ("soil", "tree")
    assert found.order == (0, 1)


def test_a_softmax_channel_for_background_that_the_truth_does_not_know_is_left_out():
    # softmax given that it is not the background: 0.2 and 0.6 of 0.8
    found = align(
        declared("softmax", "probabilities", "background", "a", "b"), "softmax", kind="exclusive", classes=("a", "b")
    )
    logits = found.logits(np.array([0.2, 0.2, 0.6]).reshape(3, 1, 1))
    assert expit(heads.log_odds(found.spec, logits))[:, 0, 0] == pytest.approx([0.25, 0.75])
    assert found.dropped == ("background",)


def test_label_sets_are_read_from_their_names_and_the_empty_one_comes_first():
    names = ("nucleus+cell", "cell", "background")
    found = align(declared("softmax", "logits", *names), "softmax-powerset", kind="overlapping", classes=CLASSES)
    assert found.spec.sets == ((), (0, 1), (0,))
    assert found.spec.channels == ("background", "cell+nucleus", "cell")
    assert found.order == (2, 0, 1)


@pytest.mark.parametrize(
    ("names", "head", "kind", "said"),
    [
        ("a", "sigmoid", "overlapping", "no channel for b"),
        ("a,b,c,d", "sigmoid", "overlapping", "2 channels that the data set has no class for: c, d"),
        ("a,b", "softmax", "overlapping", "no channel for background"),
        ("b", "softmax", "exclusive", "no channel for a"),
        ("", "softmax", "overlapping", "--classes background,a,b"),
        ("background,a,b,a+b", "softmax-powerset", "exclusive", "is for overlapping truth"),
        ("a,b,a+b", "softmax-powerset", "overlapping", "no channel for background"),
        ("background,a,a+c", "softmax-powerset", "overlapping", "'a+c' of softmax-powerset is no set"),
        ("background,a", "softmax-powerset", "overlapping", "no channel for b"),
        ("background,a,b,a+b,b+a", "softmax-powerset", "overlapping", "stand for the same label set"),
    ],
)
def test_channels_that_do_not_fit_are_refused_by_name(names, head, kind, said):
    what = declared("sigmoid" if head == "sigmoid" else "softmax", "logits", *filter(None, names.split(",")))
    with pytest.raises(ConfigError) as error:
        align(what, head, kind=kind, classes=("a", "b"))
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_one_channel_of_one_class_needs_no_name():
    assert align(declared("sigmoid", "logits"), "sigmoid", kind="binary", classes=("v",)).spec.channels == ("v",)


# Probabilities to log-odds -----------------------------------------------------------------------------------------

PROBABILITIES = arrays(np.float64, (1, 3, 4), elements=st.floats(0, 1, exclude_min=True, exclude_max=True))


@given(PROBABILITIES)
def test_sigmoid_probabilities_become_their_logit_to_float16(p):
    one = align(declared("sigmoid", "probabilities", "a"), "sigmoid", kind="binary", classes=("a",))
    stored = heads.log_odds(one.spec, one.logits(p)).astype(np.float16)
    exact = np.clip(exact_logit(p), -LOG_ODDS_LIMIT, LOG_ODDS_LIMIT)
    # float16 has 11 bits, float32 in between 24: half a unit in the last place, and a little
    assert (np.abs(stored - exact) <= np.abs(exact) * 2**-11 * 1.001 + 2**-24).all()


@given(arrays(np.float64, (3, 2, 2), elements=st.floats(-30, 30)))
def test_softmax_probabilities_give_the_log_odds_of_their_logits(z):
    names = ("a", "b", "c")
    by = {
        values: align(declared("softmax", values, *names), "softmax", kind="exclusive", classes=names)
        for values in ("probabilities", "logits")
    }
    p = np.exp(log_softmax(z, axis=0))
    from_p = heads.log_odds(by["probabilities"].spec, by["probabilities"].logits(p))
    from_z = heads.log_odds(by["logits"].spec, by["logits"].logits(z))
    assert np.abs(from_p - from_z).max() < 1e-4


@pytest.mark.parametrize("head", ["sigmoid", "softmax"])
def test_certain_probabilities_become_the_limit(head):
    names = ("background", "a") if head == "softmax" else ("a",)
    one = align(declared(head, "probabilities", *names), head, kind="binary", classes=("a",))
    p = np.array([0.0, 1.0])
    p = np.stack([1 - p, p])[:, None] if head == "softmax" else p[None, None]
    assert heads.log_odds(one.spec, one.logits(p)).ravel().tolist() == [-LOG_ODDS_LIMIT, LOG_ODDS_LIMIT]


def test_the_ends_of_grey_maps_stand_for_all_that_was_rounded_to_them():
    # in 8 bits 0 is everything below 0.5/255; the middle is 0.25/255
    one = align(declared("sigmoid", "probabilities", "a"), "sigmoid", kind="binary", classes=("a",))
    found = expit(one.logits(np.array([[[0.0, 1 / 255, 1.0]]]), step=1 / 255).astype(float)).ravel()
    assert found == pytest.approx([0.25 / 255, 1 / 255, 1 - 0.25 / 255], rel=1e-5)


# Whole imports -----------------------------------------------------------------------------------------------------


class Fixed(OutputSource):
    """Outputs from memory. images: name to (K, H, W)."""

    def __init__(self, declaration, images, *, stop_at=None):
        self.declaration, self.images, self.stop_at, self.reads = declaration, images, stop_at, 0

    def absent(self, names):
        return tuple(name for name in names if name not in self.images)

    def read(self, item):
        self.reads += 1
        if self.stop_at is not None and self.reads > self.stop_at[0]:
            self.stop_at[1].cancel()
        return self.images[item.name]


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_dataset(
        tmp_path_factory.mktemp("blobs") / "blobs", kind="overlapping", classes=CLASSES, images=3, size=(20, 28)
    )


def noise(dataset, channels, seed=0, size=(20, 28)):
    rng = np.random.default_rng(seed)
    return {name: rng.normal(0, 2, (channels, *size)).astype(np.float32) for name in open_dataset(dataset).names()}


def imported(dataset, heads_given, seeds=(0,), **evaluation):
    one = {"path": "memory", "format": "test", "values": "logits", "channels": CLASSES}
    return RunConfig(
        dataset=str(dataset), training=None,
        imported=ImportConfig(heads=dict.fromkeys(heads_given, one), seeds=seeds),
        evaluation=EvaluationConfig(replicates=100, **evaluation),
    )  # fmt: skip


def run_import(dataset, sources, runs, *, progress=None, resume=False, **more):
    config = imported(dataset, tuple(sources), **more)
    return make_import(config, sources, runs=runs, name="one", progress=progress or Progress(), resume=resume)


SIGMOID = declared("sigmoid", "logits", *CLASSES)


@pytest.mark.parametrize(
    ("head", "declaration"),
    [
        ("sigmoid", SIGMOID),
        ("softmax", declared("softmax", "logits", "background", *CLASSES)),
        ("softmax-powerset", declared("softmax", "logits", "background", "cell", "nucleus", "cell+nucleus")),
    ],
)
def test_one_head_alone_is_a_run(head, declaration, blobs, tmp_path):
    images = noise(blobs, len(declaration.classes))
    made = run_import(blobs, {head: {0: Fixed(declaration, images)}}, tmp_path)
    again = Run(tmp_path / "one")
    assert (again.heads, again.seeds, again.splits) == ((head,), (0,), ("test", "val"))
    assert again.verify() == []
    assert again.training() is None
    config = json.loads((made.folder / "config.json").read_text())
    assert config["training"] is None
    assert config["imported"]["heads"][head]["path"] == "memory"
    with again.predictions("test", head, 0) as reader:
        one = reader.read("test_00")
        assert reader.spec.head == head
    if head == "sigmoid":
        assert np.array_equal(one.log_odds, images["test_00"].astype(np.float16))
    truth = open_dataset(blobs).read("test_00")
    assert np.array_equal(one.truth, truth.truth)
    assert again.preview("val", "val_01")[:2] == b"\xff\xd8"


def test_evaluate_counts_an_imported_run_again(blobs, tmp_path):
    made = run_import(blobs, {"sigmoid": {0: Fixed(SIGMOID, noise(blobs, 2))}}, tmp_path)
    before = made.metrics()
    assert CliRunner().invoke(cli.app, ["evaluate", "one", "--runs", str(tmp_path)]).exit_code == 0
    assert Run(tmp_path / "one").metrics().equals(before)


def test_seeds_of_both_heads_must_be_the_same(blobs, tmp_path):
    images = noise(blobs, 3)
    sources = {
        "sigmoid": {seed: Fixed(SIGMOID, noise(blobs, 2, seed)) for seed in (0, 1)},
        "softmax": {0: Fixed(declared("softmax", "logits", "background", *CLASSES), images)},
    }
    with pytest.raises(ConfigError, match="sigmoid has seeds 0, 1, softmax has seeds 0"):
        run_import(blobs, sources, tmp_path, seeds=(0, 1))
    sources["softmax"][1] = sources["softmax"][0]
    assert run_import(blobs, sources, tmp_path, seeds=(0, 1)).seeds == (0, 1)


def refused(dataset, sources, runs, **more):
    """The one line an import is refused with; nothing of it may be left."""
    with pytest.raises(PipelineError) as error:
        run_import(dataset, sources, runs, **more)
    assert not (runs / "one").exists()
    assert staged_attempts(runs, "one") == []
    assert "\n" not in str(error.value)
    return str(error.value)


def test_all_missing_images_are_told_at_once(blobs, tmp_path):
    images = noise(blobs, 2)
    del images["val_01"], images["test_00"], images["test_02"], images["train_00"]
    said = refused(blobs, {"sigmoid": {0: Fixed(SIGMOID, images)}}, tmp_path)
    assert said.startswith("OUTPUT-MISSING: sigmoid has no output for 3 of 6 images: val_01, test_00, test_02.")


def test_all_wrong_sizes_are_told_at_once_over_all_splits_with_both_sizes(blobs, tmp_path):
    images = noise(blobs, 2)
    images["val_01"], images["test_02"] = images["val_01"][:, :10, :20], images["test_02"][:, :10, :20]
    said = refused(blobs, {"sigmoid": {0: Fixed(SIGMOID, images)}}, tmp_path)
    assert "OUTPUT-SIZE: 2 outputs of sigmoid with size 20×10, where the truth is 28×20 (val_01, test_02)" in said


def test_unreadable_outputs_are_told_at_once(blobs, tmp_path):
    class Broken(Fixed):
        def read(self, item):
            if item.name in ("val_00", "test_01"):
                raise DatasetError(f"{item.name}.npy is cut short; copy it again")
            return super().read(item)

    said = refused(blobs, {"sigmoid": {0: Broken(SIGMOID, noise(blobs, 2))}}, tmp_path)
    assert "2 outputs of sigmoid cannot be read (val_00, test_01); of the first: val_00.npy is cut short" in said


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda z: expit(z), "PROBABILITIES-AS-LOGITS"),
        (lambda z: np.where(z > 3, np.nan, z), "NOT-FINITE"),
        (lambda z: np.concatenate([z, z]), "CHANNELS"),
        (lambda z: np.moveaxis(z, 0, -1), "CHANNELS"),
    ],
)
def test_values_that_are_not_what_they_are_said_to_be_are_refused(change, code, blobs, tmp_path):
    images = {name: change(one) for name, one in noise(blobs, 2).items()}
    assert code in refused(blobs, {"sigmoid": {0: Fixed(SIGMOID, images)}}, tmp_path)


def test_warnings_are_stored_and_shown(blobs, tmp_path):
    images = {name: (one > 0).astype(np.float32) for name, one in noise(blobs, 2).items()}
    made = run_import(
        blobs, {"sigmoid": {0: Fixed(declared("sigmoid", "probabilities", *CLASSES), images)}}, tmp_path
    )  # fmt: skip
    codes = [one["code"] for one in made.facts["findings"]["test"]["sigmoid"]]
    assert codes == ["HARD"]
    assert "OUTPUTS-HARD" in [reason["code"] for reason in made.verdict["reasons"]]


def test_only_the_splits_asked_for_need_images(tmp_path):
    folder = write_dataset(tmp_path / "set", kind="binary", classes=("v",), images=2, size=(20, 28))
    (folder / "splits" / "train.txt").write_text("")
    (folder / "splits" / "val.txt").write_text("")
    declaration = declared("sigmoid", "logits", "v")
    source = Fixed(declaration, {name: one[:1] for name, one in noise(folder, 1).items()})
    made = run_import(folder, {"sigmoid": {0: source}}, tmp_path / "runs", splits=("test",))
    assert made.splits == ("test",)
    assert "error" not in {one["severity"] for one in made.dataset["findings"]}
    assert "SPLIT-EMPTY: val of Blobs has no image" in refused(folder, {"sigmoid": {0: source}}, tmp_path / "other")


def test_a_class_that_never_occurs_does_not_forbid_an_import(tmp_path):
    folder = write_dataset(
        tmp_path / "set", kind="overlapping", classes=CLASSES, images=2, size=(20, 28), empty=("nucleus",)
    )
    made = run_import(folder, {"sigmoid": {0: Fixed(SIGMOID, noise(folder, 2))}}, tmp_path / "runs")
    assert made.dataset["classes"] == list(CLASSES)


def test_a_cancelled_import_goes_on_where_it_stopped_and_ends_the_same(blobs, tmp_path):
    images, progress = noise(blobs, 2), Progress()
    source = Fixed(SIGMOID, images, stop_at=(4, progress))  # in the second split
    with pytest.raises(Cancelled):
        run_import(blobs, {"sigmoid": {0: source}}, tmp_path, progress=progress)
    assert len(staged_attempts(tmp_path, "one")) == 1
    resumed = Fixed(SIGMOID, images)
    made = run_import(blobs, {"sigmoid": {0: resumed}}, tmp_path, resume=True)
    assert resumed.reads == 3  # val was whole
    whole = run_import(blobs, {"sigmoid": {0: Fixed(SIGMOID, images)}}, tmp_path / "other")
    assert made.metrics().equals(whole.metrics())


def test_a_resumed_import_is_not_taken_away_when_its_settings_are_others(blobs, tmp_path):
    progress = Progress()
    source = Fixed(SIGMOID, noise(blobs, 2), stop_at=(1, progress))
    with pytest.raises(Cancelled):
        run_import(blobs, {"sigmoid": {0: source}}, tmp_path, progress=progress)
    with pytest.raises(ConfigError, match="other settings"):
        run_import(blobs, {"sigmoid": {0: source}}, tmp_path, resume=True, boundary_width=5)
    assert len(staged_attempts(tmp_path, "one")) == 1


def test_probabilities_of_an_exclusive_softmax_are_not_read_by_sigmoids(tmp_path):
    # what a softmax's logits have in common is lost in its probabilities
    classes = ("a", "b")
    folder = write_dataset(tmp_path / "set", kind="exclusive", classes=classes, images=2, size=(20, 28))
    z = noise(folder, 2)
    p = {name: np.exp(log_softmax(one, axis=0)) for name, one in z.items()}
    both = {}
    for values, images in (("logits", z), ("probabilities", p)):
        source = Fixed(declared("softmax", values, *classes), images)
        both[values] = run_import(folder, {"softmax": {0: source}}, tmp_path / values)
    assert "softmax-as-sigmoid" in set(both["logits"].metrics()["head"])
    assert set(both["probabilities"].metrics()["head"]) == {"softmax"}
    raw = [made.metrics().query("variant == 'raw' and head == 'softmax'").value for made in both.values()]
    assert np.nanmax(np.abs(raw[0].to_numpy() - raw[1].to_numpy())) < 1e-3


def test_settings_name_one_origin():
    with pytest.raises(ValueError, match="one of the two"):
        RunConfig(dataset="x", training=None)
    with pytest.raises(ValueError, match="one of the two"):
        RunConfig(dataset="x", imported=imported("x", ("sigmoid",)).imported)
    assert imported("x", ("sigmoid",), seeds=(3, 1)).seeds == (1, 3)
    with pytest.raises(ConfigError, match="was imported"):
        _ = imported("x", ("sigmoid",)).trained


# Round trips through the command line ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Runs whose predictions are exported."""
    runs = tmp_path_factory.mktemp("made")
    make_run(runs, "exclusive", kind="exclusive", classes=("a", "b", "c"), images=2)
    make_run(runs, "binary", kind="binary", classes=("v",), images=2, seeds=(0, 2))
    return runs


def call(*arguments):
    return CliRunner().invoke(cli.app, ["import", *map(str, arguments)])


@pytest.mark.parametrize(("kind", "how"), [("exclusive", "nnunet"), ("binary", "safetensors")])
def test_exported_predictions_come_back_with_the_same_metrics(kind, how, made, tmp_path):
    run = Run(made / kind)
    words = ["again", "--dataset", run.config["dataset"], "--runs", tmp_path, "--replicates", 100]
    for head in run.heads:
        spec = write_outputs(tmp_path / "files" / head, run, head, how)
        words += [f"--{head}", tmp_path / "files" / head, f"--{head}-classes", ",".join(spec.channels)]
    done = call(*words, *([] if how == "nnunet" else ["--values", WRITERS[how][1]]))
    assert done.exit_code == 0, done.output
    back = Run(tmp_path / "again")
    numbers = run.metrics().query("seed == 0").merge(back.metrics().query("seed == 0"), on=KEYS)
    own = numbers[(numbers["variant"] == "raw") & numbers["head"].isin(run.heads)]
    assert len(own) > 300
    gap = (own.value_x - own.value_y).abs()
    for metric, bound in (("dice", 0.001), ("brier", 0.0005), ("nll", 0.001)):
        assert gap[own.metric == metric].max() <= bound, metric
    assert gap[own["head"] == "sigmoid"].max() <= (1e-6 if how == "nnunet" else 0)


# What is lost on the way, as docs/imports.md says it: largest difference of Dice, Brier score and NLL of a class.
EXACT, ROUNDED, STEPS, COARSE = (0, 0, 0), (1e-3, 5e-4, 1e-3), (2e-3, 5e-4, 5e-3), (0.02, 4e-3, None)
LOST = {
    "npy": (EXACT, ROUNDED), "one-npz": (EXACT, ROUNDED), "safetensors": (EXACT, ROUNDED), "npz": (ROUNDED, ROUNDED),
    "stack": (ROUNDED, ROUNDED), "one-safetensors": (ROUNDED, ROUNDED), "nnunet": (ROUNDED, ROUNDED),
    "tiff": (ROUNDED, ROUNDED), "png16": (STEPS, STEPS), "png8": (COARSE, COARSE), "parquet": (EXACT, ROUNDED),
}  # fmt: skip


@pytest.mark.parametrize("how", [*WRITERS, "parquet"])
def test_a_trained_run_exported_and_imported_says_the_same(how, real_runs, tmp_path):
    run = Run(real_runs / "cells")
    words = ["again", "--dataset", run.config["dataset"], "--runs", tmp_path, "--replicates", 100, "--size", "64x64"]
    words += ["--splits", "test"]
    heads_told = ("sigmoid", "softmax")
    for head in heads_told:
        if how == "parquet":
            part = run.folder / "predictions" / "split=test" / f"head={head}" / "seed=0"
            shutil.copytree(part, tmp_path / head / "seed=0")
            words += [f"--{head}", tmp_path / head]
            continue
        spec = write_outputs(tmp_path / head, run, head, how)
        words += [f"--{head}", tmp_path / head]
        words += [] if WRITERS[how][3] else [f"--{head}-classes", ",".join(spec.channels)]
    done = call(*words, *([] if how in ("nnunet", "parquet") else ["--values", WRITERS[how][1]]))
    assert done.exit_code == 0, (done.output, done.exception)
    both = run.metrics().merge(Run(tmp_path / "again").metrics(), on=KEYS)
    both = both[(both["variant"] == "raw") & (both["seed"] == 0) & (both["region"] == "all")]
    for head, lost in zip(heads_told, LOST[how], strict=True):
        own = both[both["head"] == head]
        gap = (own["value_x"] - own["value_y"]).abs()
        for metric, bound in zip(("dice", "brier", "nll"), lost, strict=True):
            there = gap[own["metric"] == metric]
            assert len(there) >= 4
            assert bound is None or there.max() <= bound, (head, metric, there.max())


def test_the_folder_of_a_run_can_be_imported_with_all_its_seeds(made, tmp_path):
    run = Run(made / "binary")
    words = [word for head in run.heads for word in (f"--{head}", run.folder)]
    done = call("again", "--dataset", run.config["dataset"], "--runs", tmp_path, "--replicates", 100, *words)
    assert done.exit_code == 0, done.output
    back = Run(tmp_path / "again")
    assert back.seeds == run.seeds == (0, 2)
    assert set(back.metrics()["head"]) == set(run.metrics()["head"])
    sigmoid = [one.metrics().query("head == 'sigmoid' and variant == 'raw'").value.to_numpy() for one in (run, back)]
    assert np.array_equal(*sigmoid, equal_nan=True)  # a sigmoid's log-odds are its logits


def test_what_was_recognised_and_left_aside_is_told(made, tmp_path):
    run = Run(made / "binary")
    write_outputs(tmp_path / "files", run, "sigmoid", "npy")
    np.save(tmp_path / "files" / "stranger.npy", np.zeros((1, 40, 56), np.float32))
    done = call(
        "again", "--dataset", run.config["dataset"], "--sigmoid", tmp_path / "files", "--values", "logits",
        "--runs", tmp_path, "--replicates", 100, "--splits", "test", "--seed", 7,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "NumPy .npy and .npz (arrays), logits" in done.output
    assert "3 outputs belong to no image of these splits: stranger, val_00, val_01" in done.output
    assert Run(tmp_path / "again").seeds == (7,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --sigmoid"),
        (("--sigmoid", "nowhere", "--values", "logits"), "is not there"),
        (("--sigmoid", "FILES"), "--values probabilities"),
        (("--sigmoid", "FILES", "--values", "logits", "--format", "dicom"), "available formats are nnunet"),
        (("--sigmoid", "FILES", "--values", "logits", "--format", "maps"), "<class>/<image>.png"),
        (("--sigmoid", "FILES", "--values", "logits", "--classes", "w"), "no channel for v"),
        (("--sigmoid", "FILES", "--values", "logits", "--background", "b"), "none of the channels"),
        (("--sigmoid", "FILES", "--values", "logits", "--splits", "tset"), "splits"),
        (("--sigmoid", "FILES", "--values", "logits", "--size", "8"), "--size must be"),
        (("--softmax", "FILES", "--values", "logits"), "--classes background,v"),
        (("--powerset", "FILES", "--values", "logits", "--powerset-classes", "background,v"), "overlapping truth"),
    ],
)
def test_bad_input_is_one_line(words, said, made, tmp_path):
    run = Run(made / "binary")
    write_outputs(tmp_path / "files", run, "sigmoid", "npy")
    words = [str(tmp_path / "files") if word == "FILES" else word for word in words]
    done = call("again", "--dataset", run.config["dataset"], "--runs", tmp_path / "runs", *words)
    assert isinstance(done.exception, PipelineError), done.output
    assert said in str(done.exception)
    assert "\n" not in str(done.exception)
    assert not (tmp_path / "runs" / "again").exists()


def test_the_name_may_come_as_jobs_give_it(made, tmp_path):
    run = Run(made / "binary")
    write_outputs(tmp_path / "files", run, "sigmoid", "npy")
    done = call(
        "--name", "again", "--dataset", run.config["dataset"], "--sigmoid", tmp_path / "files", "--values", "logits",
        "--runs", tmp_path, "--replicates", 100,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert Run(tmp_path / "again").heads == ("sigmoid",)
    record = json.loads((tmp_path / ".jobs" / "1" / "1" / "progress.json").read_text())
    assert {"import val 0", "import test 0"} <= {name for name, _ in record["stages"]}
    assert record["stage"] == "commit"
    assert isinstance(call("a", "--name", "b", "--dataset", "x").exception, ConfigError)


def test_outputs_of_another_shape_are_told(blobs, tmp_path):
    images = {name: one[None, None] for name, one in noise(blobs, 2).items()}
    with pytest.raises((DatasetError, ShapeError), match="OUTPUT-UNREADABLE"):
        run_import(blobs, {"sigmoid": {0: Fixed(SIGMOID, images)}}, tmp_path)
