"""Models that somebody brings, from real files of their own writers: what they give, what is used, what is refused."""

import re
import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from model_files import Bytes, Net, Two, export, graph, save_smp, script
from onnx import TensorProto, helper
from places import REPO
from synthetic import write_dataset
from torch import nn
from typer.testing import CliRunner

from pipelines import cli
from pipelines.datasets.opening import open_dataset
from pipelines.errors import ModelError
from pipelines.imports.models.opening import Networks, inspect_model
from pipelines.imports.models.process import Limits, ModelProcess, OpenRequest
from pipelines.imports.models.settings import Described, Facts, Inputs, network_input, resolve_inputs
from pipelines.store.manage import staged_attempts
from pipelines.store.runs import Run, open_run

CLASSES = ("a", "b")
SIZE = (20, 28)
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_dataset(
        tmp_path_factory.mktemp("data") / "blobs", kind="overlapping", classes=CLASSES, images=3, size=SIZE
    )


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def onnx_process():
    with ModelProcess("onnx", "model.onnx", limits=Limits(threads=1, seconds=20)) as process:
        yield process


@pytest.fixture(scope="module")
def image():
    return np.random.default_rng(0).random((*SIZE, 3), dtype=np.float32)


def call(*arguments):
    return CliRunner().invoke(cli.app, ["import-model", *map(str, arguments)])


def refused(done):
    """The one line of a refusal."""
    assert done.exit_code == 1
    assert isinstance(done.exception, cli.PipelineError), done.exception
    assert "\n" not in str(done.exception)
    return str(done.exception)


def imported(blobs, runs, *arguments):
    done = call("one", "--dataset", blobs, "--runs", runs, "--replicates", 100, "--threads", 1, *arguments)
    assert done.exit_code == 0, (done.exception, done.output)
    return open_run(runs, "one"), done


def stored(run, head, seed=0):
    """Log-odds of every image of the test split, by name."""
    with run.predictions("test", head, seed) as reader:
        return {one.image: one.log_odds.astype(np.float32) for one in reader}


def given(**more):
    values = {"mean": (0.0,), "std": (1.0,), "scale": 1, "order": "RGB", "layout": "NCHW", "size": None, "multiple": 1}
    return Inputs.model_validate(values | {"dtype": "float32"} | more)


def outputs(process, path, image, **inputs):
    networks = Networks(process, OpenRequest(path=""))
    return networks.outputs(path, image, given(**inputs))


def expected(net, image):
    """(K, H, W) of the network itself for an image in [0, 1]."""
    with torch.inference_mode():
        return net(torch.from_numpy(image).permute(2, 0, 1)[None])[0].numpy()


# How an image goes in ----------------------------------------------------------------------------------------------


def test_an_image_is_scaled_ordered_normalised_padded_and_laid_out():
    image = np.zeros((2, 3, 3), np.float32)
    image[0, 0] = (0.2, 0.4, 0.6)
    inputs = given(mean=(0.1, 0.2, 0.3), std=(0.5, 0.25, 0.1), order="BGR", multiple=4)
    made = network_input(image, inputs)
    # BGR of the first pixel: 0.6, 0.4, 0.2; minus the mean, over std: 1.0, 0.8, -1.0
    assert made.shape == (1, 3, 4, 4)
    assert made[0, :, 0, 0] == pytest.approx([1.0, 0.8, -1.0])
    assert made[0, :, 1, 2] == pytest.approx([-0.2, -0.8, -3.0])  # a black pixel
    assert (made[0, :, 2:] == 0).all()
    assert (made[0, :, :, 3:] == 0).all()
    assert np.array_equal(network_input(image, given(layout="NHWC"))[0], image)
    grey = network_input(image, given(order="grey", mean=(0.0,), std=(1.0,)))
    assert grey[0, 0, 0, 0] == pytest.approx(0.299 * 0.2 + 0.587 * 0.4 + 0.114 * 0.6)
    as_bytes = network_input(image, given(scale=255, dtype="uint8"))
    assert as_bytes.dtype == np.uint8
    assert as_bytes[0, :, 0, 0].tolist() == [51, 102, 153]


def test_what_is_said_wins_over_the_file_and_both_are_told():
    facts = Facts(input_shape=(1, 3, 20, 28), read=Described(mean=MEAN, std=STD), source="its metadata")
    inputs, rows = resolve_inputs(Described(mean=(0.5,), order="BGR"), facts, "m")
    told = {row.setting: (row.value, row.origin) for row in rows}
    assert (inputs.mean, inputs.std, inputs.order, inputs.size) == ((0.5,), STD, "BGR", (20, 28))
    assert told["mean"] == ("0.5", "given; its metadata says 0.485, 0.456, 0.406")
    assert told["std"] == ("0.229, 0.224, 0.225", "its metadata")
    assert told["order"] == ("BGR", "given")
    assert told["size"] == ("20x28", "its input")


@pytest.mark.parametrize(
    ("facts", "said", "wanted"),
    [
        ({}, {}, "nothing says how images were normalised"),
        ({"input_shape": (1, 4, 20, 28)}, {"mean": (0,), "std": (1,)}, "takes 4 channels"),
        ({"input_shape": (8, 3, 20, 28)}, {"mean": (0,), "std": (1,)}, "takes 8 images at once"),
        ({"input_shape": (1, 3, 20, None)}, {"mean": (0,), "std": (1,)}, "fixes only one of height and width"),
        ({"input_shape": (1, 3, 20, 28)}, {"mean": (0,), "std": (1,), "size": (32, 32)}, "20x28 only, not 32x32"),
        ({"input_shape": (1, 1, 20, 28)}, {"mean": (0,), "std": (1,), "order": "BGR"}, "1 channels, but order BGR"),
        ({"input_shape": (1, 1, 20, 28)}, {"mean": MEAN, "std": STD}, "must be 1 or 1 numbers"),
        ({}, {"mean": (0, 0), "std": (1,)}, "must be 1 or 3 numbers"),
        ({"dtype": "uint8"}, {"mean": MEAN, "std": STD}, "takes bytes"),
    ],
)  # fmt: skip
def test_inputs_that_cannot_be_are_refused_in_one_line(facts, said, wanted):
    with pytest.raises(ModelError, match=wanted) as error:
        resolve_inputs(Described.model_validate(said), Facts.model_validate(facts), "m")
    assert str(error.value).startswith("MODEL-INPUT: ")
    assert ";" in str(error.value)


# ONNX of PyTorch's exporters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True], ids=["new", "old"])
@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_both_exporters_fixed_and_free_give_what_the_network_gives(old, free, onnx_process, files, image):
    net = Net(2)
    path = export(net, files / f"net-{old}-{free}.onnx", free=free, old=old)
    facts = Networks(onnx_process, OpenRequest(path="")).open(path)
    assert facts.input_shape == ((None, 3, None, None) if free else (1, 3, *SIZE))
    assert facts.layout == "NCHW"
    assert np.abs(outputs(onnx_process, path, image) - expected(net, image)).max() < 1e-4
    if free:
        larger = np.tile(image, (2, 2, 1))
        assert outputs(onnx_process, path, larger).shape == (2, 40, 56)


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
def test_channels_last_are_read_from_the_shape(free, onnx_process, files, image):
    net = Net(2, last=True)
    path = export(net, files / f"last-{free}.onnx", free=free)
    facts = Networks(onnx_process, OpenRequest(path="")).open(path)
    assert facts.layout == "NHWC"
    found = outputs(onnx_process, path, image, layout="NHWC")
    assert np.abs(found - expected(Net(2), image)).max() < 1e-4


def test_a_network_of_bytes_and_one_of_grey_images(onnx_process, files, image):
    path = export(Bytes(Net(2)), files / "bytes.onnx", dtype=torch.uint8)
    found = Networks(onnx_process, OpenRequest(path="")).open(path)
    inputs, _ = resolve_inputs(Described(), found, "m")  # nothing has to be said
    assert (inputs.dtype, inputs.scale) == ("uint8", 255)
    whole = np.rint(image * 255).astype(np.float32) / 255
    made = Networks(onnx_process, OpenRequest(path="")).outputs(path, whole, inputs)
    assert np.abs(made - expected(Net(2), whole)).max() < 1e-4
    path = export(Net(2, inputs=1), files / "grey.onnx", shape=(1, 1, *SIZE))
    found = Networks(onnx_process, OpenRequest(path="")).open(path)
    inputs, _ = resolve_inputs(Described(mean=(0.0,), std=(1.0,)), found, "m")
    assert inputs.order == "grey"
    made = Networks(onnx_process, OpenRequest(path="")).outputs(path, image, inputs)
    luma = (image @ np.array([0.299, 0.587, 0.114], np.float32))[..., None]
    assert np.abs(made - expected(Net(2, inputs=1), luma)).max() < 1e-4


def test_metadata_of_the_file_say_everything(onnx_process, files):
    path = export(Net(3), files / "told.onnx", free=True)
    model = onnx.load(path)
    helper.set_model_props(model, {
        "segmentation.mean": "0.485,0.456,0.406", "segmentation.std": "0.229, 0.224, 0.225", "segmentation.scale": "1",
        "segmentation.head": "softmax", "segmentation.values": "logits", "segmentation.size": "20x28",
        "segmentation.classes": "background,a,b", "segmentation.background": "background", "other": "kept aside",
    })  # fmt: skip
    onnx.save(model, path)
    read = Networks(onnx_process, OpenRequest(path="")).open(path).read
    assert (read.mean, read.std, read.scale, read.size) == (MEAN, STD, 1, (20, 28))
    assert (read.head, read.values, read.classes, read.background) == (
        "softmax", "logits", ("background", "a", "b"), "background",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("props", "wanted"),
    [
        ({"segmentation.colour": "red"}, "segmentation.colour; known are mean, std"),
        ({"segmentation.std": "0,1,1"}, "greater than 0"),
        ({"segmentation.size": "huge"}, "segmentation"),
        ({"segmentation.mean": "nan"}, "finite"),
        ({"segmentation.head": "softmax\n<script>"}, "sigmoid"),
    ],
)
def test_metadata_that_cannot_be_are_refused(props, wanted, onnx_process, tmp_path):
    node = helper.make_node("Identity", ["x"], ["y"])
    path = graph(tmp_path / "m.onnx", [node], {"y": (TensorProto.FLOAT, (1, 3, None, None))}, props=props)
    with pytest.raises(ModelError, match=wanted) as error:
        Networks(onnx_process, OpenRequest(path="")).open(path)
    assert str(error.value).startswith("MODEL-METADATA: ")
    assert "\n" not in str(error.value)


# What comes out ----------------------------------------------------------------------------------------------------


def small(path, *nodes, dtype=TensorProto.FLOAT, shape=(None, None, None, None), **more):
    return graph(path, list(nodes), {nodes[-1].output[0]: (dtype, shape)}, **more)


@pytest.mark.parametrize(
    ("nodes", "dtype", "wanted"),
    [
        ([helper.make_node("ArgMax", ["x"], ["y"], axis=1, keepdims=1)], TensorProto.INT64, "without its last argmax"),
        ([helper.make_node("ReduceMax", ["x"], ["y"], axes=[1], keepdims=0)], TensorProto.FLOAT, "no axis of classes"),
        (
            [helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[4, 4], strides=[4, 4])],
            TensorProto.FLOAT,
            "not at the size of its input",
        ),
        ([helper.make_node("GlobalAveragePool", ["x"], ["y"])], TensorProto.FLOAT, "not at the size of its input"),
        ([helper.make_node("Shape", ["x"], ["y"])], TensorProto.INT64, "without its last argmax"),
        ([helper.make_node("Flatten", ["x"], ["y"])], TensorProto.FLOAT, "wanted is"),
    ],
)
def test_outputs_that_are_no_values_a_class_are_refused(nodes, dtype, wanted, onnx_process, tmp_path, image):
    shape = [None] * {"Shape": 1, "Flatten": 2, "ReduceMax": 3}.get(nodes[0].op_type, 4)
    path = small(tmp_path / "m.onnx", *nodes, dtype=dtype, shape=shape)
    with pytest.raises(ModelError, match=wanted) as error:
        outputs(onnx_process, path, image)
    assert str(error.value).startswith("MODEL-OUTPUT: model.onnx gives ")


def test_of_two_outputs_the_user_chooses(onnx_process, files, image):
    one, other = Net(2), Net(3, seed=1)
    path = export(Two(one, other), files / "two.onnx", output_names=["labels", "sets"])
    with pytest.raises(ModelError, match="has the outputs labels, sets; choose one with --tensor"):
        outputs(onnx_process, path, image)
    networks = Networks(onnx_process, OpenRequest(path="", tensor="sets"))
    assert np.abs(networks.outputs(path, image, given()) - expected(other, image)).max() < 1e-4
    with pytest.raises(ModelError, match="has no output 'set', but labels, sets"):
        Networks(onnx_process, OpenRequest(path="", tensor="set")).open(path)


def test_what_is_found_is_told_for_a_form(files, blobs):
    path = export(Two(Net(2), Net(3)), files / "form.onnx", output_names=["labels", "sets"])
    found = inspect_model(path)
    assert (found.kind.name, found.facts.outputs, found.channels) == ("onnx", ("labels", "sets"), None)
    assert "choose one with --tensor" in found.untried
    found = inspect_model(path, tensor="sets")
    assert (found.channels, found.facts.input_shape, found.untried) == (3, (1, 3, *SIZE), None)
    black = expected(Net(3), np.zeros((*SIZE, 3), np.float32))
    assert (found.low, found.high) == pytest.approx((black.min(), black.max()), abs=1e-4)


# Whole imports -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(files):
    """A sigmoid that ends in logits, and a softmax with its activation inside."""
    return (
        export(Net(2), files / "sigmoid.onnx", free=True),
        export(Net(3, nn.Softmax(1), seed=1), files / "softmax.onnx", free=True),
    )


PAIR = (
    "--sigmoid-output", "logits", "--softmax-output", "softmax", "--normalisation", "imagenet",
    "--sigmoid-classes", "b,a", "--softmax-classes", "nothing,a,b", "--background", "nothing",
)  # fmt: skip


def test_two_models_become_a_run_with_what_they_give_for_every_image(pair, blobs, tmp_path):
    run, done = imported(blobs, tmp_path, "--sigmoid", pair[0], "--softmax", pair[1], *PAIR)
    dataset = open_dataset(blobs)
    sigmoid, softmax = Net(2), Net(3, seed=1)
    found = {head: stored(run, head) for head in ("sigmoid", "softmax")}
    assert len(found["sigmoid"]) == 3
    for name in dataset.images("test"):
        image = (dataset.read(name).image - np.float32(MEAN)) / np.float32(STD)
        padded = np.zeros((32, 32, 3), np.float32)  # 20x28 in multiples of 32
        padded[: SIZE[0], : SIZE[1]] = image
        logits = expected(sigmoid, padded)[::-1, : SIZE[0], : SIZE[1]]  # channels b, a
        assert np.allclose(found["sigmoid"][name], logits, rtol=2**-10, atol=1e-3)
        z = expected(softmax, padded)[:, : SIZE[0], : SIZE[1]].astype(np.float64)
        others = np.stack([np.logaddexp(z[0], z[2]), np.logaddexp(z[0], z[1])])
        assert np.allclose(found["softmax"][name], z[1:] - others, rtol=2**-9, atol=1e-2)
    notes = run.config["imported"]["heads"]["softmax"]["notes"]
    assert run.config["imported"]["origin"] == "models"
    assert notes["mean"] == "0.485, 0.456, 0.406 (given)"
    assert notes["order"] == "RGB (assumed)"
    assert notes["tensor"].endswith("(its only output)")
    assert len(notes["sha256"]) == 64
    assert "  std: 0.229, 0.224, 0.225 (given)" in done.stderr
    assert "softmax: ONNX (onnx)" in done.stderr
    assert run.verify() == []


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"--softmax-output": "logits"}, "PROBABILITIES-AS-LOGITS: softmax"),
        ({"--sigmoid-output": "sigmoid"}, "LOGITS-AS-PROBABILITIES: sigmoid"),
        ({"--softmax-output": "sigmoid"}, "--output sigmoid cannot be what a model given with --softmax gives"),
        ({"--softmax-classes": "a,b"}, "gives 3 channels, but 2 are named (a, b)"),
        ({"--softmax-classes": "nothing,a,c"}, "softmax has no channel for b"),
        ({"--background": "sky"}, "--background 'sky' is none of the channels"),
        ({"--normalisation": None}, "nothing says how images were normalised"),
        ({"--sigmoid-output": None}, "nothing says whether sigmoid.onnx gives logits or probabilities"),
        ({"--sigmoid-classes": None}, "such as --classes a,b"),
        ({"--sigmoid": "no.onnx"}, "there is no "),
        ({"--sigmoid": "nobody/nothing"}, "MODEL-HUB: there is no nobody/nothing here"),
        ({"--mean": "0"}, "--normalisation says mean and std"),
        ({"--splits": "val,night"}, "splits"),
        ({"--size": "big"}, "--size must be HxW"),
        ({"--memory": "0"}, "memory"),
        ({"--layout": "NHWC"}, "is NCHW by its shape, but --layout says NHWC"),
        ({"--tensor": "logits"}, "has no output 'logits'"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_refused_in_one_sentence_and_nothing_is_stored(
    change, wanted, pair, blobs, tmp_path, monkeypatch
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    said = dict(zip(PAIR[::2], PAIR[1::2], strict=True)) | {"--sigmoid": pair[0], "--softmax": pair[1]} | change
    words = [str(part) for option, value in said.items() if value is not None for part in (option, value)]
    line = refused(call("one", "--dataset", blobs, "--runs", tmp_path, "--threads", 1, *words))
    assert wanted in line
    assert not (tmp_path / "one").exists()
    assert not staged_attempts(tmp_path, "one")


def test_models_that_fix_different_sizes_are_refused_and_one_that_is_free_follows_the_other(
    pair, blobs, files, tmp_path
):
    fixed = export(Net(3, nn.Softmax(1), seed=1), files / "fixed.onnx", size=(16, 24))
    run, _ = imported(blobs, tmp_path, "--sigmoid", pair[0], "--softmax", fixed, *PAIR)
    assert run.config["imported"]["size"] == [16, 24]
    assert run.config["imported"]["heads"]["sigmoid"]["notes"]["size"] == "16x24 (that of the other model)"
    assert next(iter(stored(run, "sigmoid").values())).shape == (2, 16, 24)
    other = export(Net(2), files / "other-size.onnx", size=(24, 24))
    line = refused(call("two", "--dataset", blobs, "--runs", tmp_path, "--sigmoid", other, "--softmax", fixed, *PAIR))
    assert "different sizes (--sigmoid 24x24, --softmax 16x24)" in line


def test_a_stopped_import_goes_on_and_a_changed_model_is_noticed(pair, blobs, tmp_path, monkeypatch):
    from pipelines.errors import Cancelled
    from pipelines.progress import Progress

    model = tmp_path / "model.onnx"
    model.write_bytes(pair[0].read_bytes())
    words = ["one", "--dataset", blobs, "--runs", tmp_path, "--replicates", 100, "--sigmoid", model, "--output",
             "logits", "--classes", "a,b", "--normalisation", "0-1"]  # fmt: skip
    advance, seen = Progress.advance, []

    def stop(self, *arguments, **more):
        seen.append(1)
        if len(seen) == 11:  # of the data set's check 9 images, of the import the second
            self.cancel()
        return advance(self, *arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(Progress, "advance", stop)
        assert isinstance(call(*words).exception, Cancelled)
    assert staged_attempts(tmp_path, "one")
    other = export(Net(2, seed=5), tmp_path / "other.onnx", free=True)
    kept = model.read_bytes()
    model.write_bytes(other.read_bytes())
    assert "begun with other settings" in refused(call(*words, "--resume"))
    model.write_bytes(kept)
    assert call(*words, "--resume").exit_code == 0
    assert Run(tmp_path / "one").verify() == []


def test_save_pretrained_is_opened_and_its_activation_is_known(blobs, files, tmp_path):
    net = save_smp(files / "smp", classes=2, activation="sigmoid")
    words = ("--sigmoid", files / "smp", "--classes", "a,b", "--normalisation", "0-1")
    run, done = imported(blobs, tmp_path, *words)
    told = run.config["imported"]["heads"]["sigmoid"]
    assert (told["format"], told["values"]) == ("smp", "probabilities")
    assert "values: probabilities (config.json)" in done.stderr
    dataset = open_dataset(blobs)
    name = dataset.images("test")[0]
    padded = np.zeros((32, 32, 3), np.float32)
    padded[: SIZE[0], : SIZE[1]] = dataset.read(name).image
    p = expected(net, padded)[:, : SIZE[0], : SIZE[1]].astype(np.float64)
    assert np.allclose(stored(run, "sigmoid")[name], np.log(p) - np.log1p(-p), rtol=2**-9, atol=2e-3)
    line = refused(call("two", "--dataset", blobs, "--runs", tmp_path, *words, "--output", "logits"))
    assert "gives probabilities by config.json, but --output says logits" in line


def test_a_run_of_ours_gives_its_stored_predictions_back(real_runs, tmp_path):
    run = Run(real_runs / "cells")
    done = call("again", "--dataset", run.config["dataset"], "--runs", tmp_path, "--replicates", 100,
                "--splits", "test", "--threads", 1, "--powerset", run.folder)  # fmt: skip
    assert done.exit_code == 0, (done.exception, done.output)
    again = open_run(tmp_path, "again")
    assert again.config["imported"]["seeds"] == [0, 1]
    assert again.config["imported"]["size"] == [64, 64]
    assert again.heads == ("softmax-powerset",)
    for seed in (0, 1):
        theirs, ours = stored(run, "softmax-powerset", seed), stored(again, "softmax-powerset", seed)
        assert theirs.keys() == ours.keys()
        for name in theirs:
            # float16 has 11 bits: one unit in the last place, and a little for another order of sums
            assert np.allclose(ours[name], theirs[name], rtol=2**-10, atol=2e-3), (seed, name)
    assert inspect_model(run.folder, head="softmax").channels == 4  # background, cell, nucleus, …


def test_one_channel_of_one_class_needs_no_name(files, tmp_path):
    data = write_dataset(tmp_path / "data", kind="binary", classes=("thing",), images=2, size=SIZE)
    path = export(Net(1, nn.Sigmoid()), files / "binary.onnx", old=True)
    run, _ = imported(data, tmp_path, "--sigmoid", path, "--output", "probabilities", "--normalisation", "0-255")
    told = run.config["imported"]["heads"]["sigmoid"]
    assert told["channels"] == ["thing"]
    assert told["notes"]["scale"] == "255 (given)"


def test_seeds_lie_in_folders(blobs, tmp_path):
    for seed in (0, 3):
        folder = tmp_path / "models" / f"seed={seed}"
        folder.mkdir(parents=True)
        export(Net(2, seed=seed), folder / "net.onnx")
    words = ("--sigmoid", tmp_path / "models", "--output", "logits", "--classes", "a,b", "--normalisation", "0-1")
    run, done = imported(blobs, tmp_path, *words)
    assert run.config["imported"]["seeds"] == [0, 3]
    assert "seeds 0, 3" in done.stderr
    name = open_dataset(blobs).images("test")[0]
    image = open_dataset(blobs).read(name).image
    for seed in (0, 3):
        assert np.allclose(
            stored(run, "sigmoid", seed)[name], expected(Net(2, seed=seed), image), rtol=2**-10, atol=1e-3
        )
    line = refused(call("two", "--dataset", blobs, "--runs", tmp_path, *words, "--seed", 1))
    assert "--seed cannot be given" in line


# Only with trust ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trusted(files):
    """TorchScript, a plain state dict and one of Lightning, of networks that are known."""
    net = save_smp(files / "smp-plain", classes=2)
    torch.save(net.state_dict(), files / "weights.pth")
    prefixed = {f"model.{key}": value for key, value in net.state_dict().items()}
    torch.save({"state_dict": prefixed, "epoch": 3, "hyper_parameters": {"lr": 0.1}}, files / "last.ckpt")
    return script(Net(2), files / "script.pt"), files / "weights.pth", files / "last.ckpt"


def test_files_that_could_run_code_are_refused_by_their_first_bytes(trusted, blobs, tmp_path):
    for path in trusted:
        words = ("--sigmoid", path, "--output", "logits", "--classes", "a,b", "--normalisation", "0-1")
        line = refused(call("one", "--dataset", blobs, "--runs", tmp_path, *words))
        assert line.startswith(f"MODEL-TRUST: {path.name} is a zip or a pickle")
        assert "--trust" in line
        with pytest.raises(ModelError, match="MODEL-TRUST"):
            inspect_model(path)


def test_torchscript_is_read_with_trust(trusted, blobs, tmp_path):
    words = ("--sigmoid", trusted[0], "--output", "logits", "--classes", "a,b", "--normalisation", "0-1", "--trust",
             "--multiple", 1)  # fmt: skip
    run, _ = imported(blobs, tmp_path, *words)
    name = open_dataset(blobs).images("test")[0]
    image = open_dataset(blobs).read(name).image
    assert np.allclose(stored(run, "sigmoid")[name], expected(Net(2), image), rtol=2**-10, atol=1e-3)
    assert run.config["imported"]["heads"]["sigmoid"]["format"] == "torchscript"


def test_a_state_dict_is_read_with_trust_and_the_name_of_its_network(trusted, image):
    from pipelines.training.models import build_model

    net = build_model("Unet", "tu-mobilenetv3_small_050", channels=2)
    torch.save(net.state_dict(), trusted[1])
    torch.save({"state_dict": {f"model.{key}": value for key, value in net.state_dict().items()}}, trusted[2])
    larger = np.zeros((32, 32, 3), np.float32)
    larger[: SIZE[0], : SIZE[1]] = image
    with ModelProcess("state-dict", "weights", limits=Limits(threads=1), trust=True) as process:
        for path in trusted[1:]:
            what = {"architecture": "Unet", "encoder": "tu-mobilenetv3_small_050"}
            networks = Networks(process, OpenRequest(path="", **what))
            found = networks.outputs(path, larger, given())
            assert np.allclose(found, expected(net.eval(), larger), atol=1e-4)
        for what, wanted in (
            ({}, "give --architecture and --encoder"),
            ({"architecture": "Unet", "encoder": "resnet18"}, "does not fit Unet with resnet18"),
            ({"architecture": "Onet", "encoder": "resnet18"}, "unknown architecture"),
        ):
            with pytest.raises(ModelError, match=wanted):
                Networks(process, OpenRequest(path="", **what)).open(trusted[1])


# The command itself ------------------------------------------------------------------------------------------------


def test_the_command_says_one_line_and_ends_with_2(blobs, tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "import-model", "one", "--dataset", blobs, "--sigmoid", "no.onnx"],
        cwd=REPO, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: MODEL-FILE: there is no ")
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_neither_torch_nor_onnxruntime_is_imported_by_the_process_that_asks(pair, blobs):
    code = (
        "import sys; from pathlib import Path; from pipelines.imports.models.opening import inspect_model; "
        f"print(inspect_model(Path({str(pair[0])!r})).channels, "
        "sorted({'torch', 'onnx', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


def test_a_missing_library_is_one_clear_line(tmp_path, pair, monkeypatch):
    (tmp_path / "hidden").mkdir()
    for name in ("onnxruntime.py", "onnx.py"):
        (tmp_path / "hidden" / name).write_text(f"raise ModuleNotFoundError('no', name={name[:-3]!r})\n")
    from pipelines.imports.models import process

    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'hidden')!r})\n{process._CODE}"
    monkeypatch.setattr(process, "_CODE", code)
    with pytest.raises(
        ModelError, match=r"MODEL-ONNX: .*not installed; python -m pip install -r requirements-onnx.txt"
    ):
        inspect_model(pair[0])


def test_every_code_is_in_the_docs():
    page = (REPO / "docs" / "import-models.md").read_text()
    source = "".join(path.read_text() for path in (REPO / "pipelines" / "imports" / "models").rglob("*.py"))
    codes = set(re.findall(r"MODEL-[A-Z]+", source))
    assert len(codes) >= 15
    assert [code for code in sorted(codes) if f"`{code}`" not in page] == []


def test_requirements_of_onnx_are_those_that_are_tested():
    lines = (REPO / "requirements-onnx.txt").read_text().splitlines()
    tested = (REPO / "requirements-dev.txt").read_text().splitlines()
    pinned = [line for line in lines if line.startswith("onnx")]
    assert len(pinned) == 2
    assert all(line in tested for line in pinned)
