"""Outputs as people save them: axes in other orders, label maps, torch.save; and heads without a background channel."""

import json
import pickle

import numpy as np
import psutil
import pytest
import tifffile
import torch
from listed import Listed, item
from PIL import Image
from places import shared_cases
from safetensors.numpy import save_file
from typer.testing import CliRunner

from pipelines.channels import Declaration, align
from pipelines.cli import app
from pipelines.datasets.base import Item
from pipelines.errors import ConfigError, DatasetError, PipelineError
from pipelines.imports import axes
from pipelines.imports.readers import open_outputs, torch_files
from pipelines.imports.readers.torch_files import _process
from pipelines.imports.sources import Said
from pipelines.imports.trial import look, look_apart
from pipelines.misuse import check_outputs
from pipelines.requests import HeadOutputs, ImportRequest
from pipelines.store.runs import Run

CLASSES = ("background", "a", "b")
SPLITS = {"train": 2, "val": 3, "test": 3}


def call(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def world(folder, size, *, kind="exclusive"):
    """A data set of rectangles, and the softmax probabilities of a fair network, (3, H, W) by image."""
    rng = np.random.default_rng(3)
    (folder / "images").mkdir(parents=True)
    (folder / "masks").mkdir()
    (folder / "splits").mkdir()
    outputs = {}
    for split, count in SPLITS.items():
        names = [f"{split}_{number}" for number in range(count)]
        (folder / "splits" / f"{split}.txt").write_text("\n".join(names))
        for name in names:
            truth = np.zeros(size, np.uint8)
            truth[2:9, 5 : size[1] - 4] = 1
            truth[size[0] - 7 : size[0] - 1, 1:6] = 0 if kind == "binary" else 2
            Image.fromarray(rng.integers(0, 255, (*size, 3), np.uint8)).save(folder / "images" / f"{name}.png")
            Image.fromarray(truth).save(folder / "masks" / f"{name}.png")
            logits = 3 * (np.arange(3)[:, None, None] == truth) + rng.normal(size=(3, *size))
            outputs[name] = (np.exp(logits) / np.exp(logits).sum(axis=0)).astype(np.float32)
    classes = ["v"] if kind == "binary" else list(CLASSES)
    (folder / "dataset.toml").write_text(f'name = "x"\nkind = "{kind}"\nclasses = {json.dumps(classes)}\n')
    return folder, outputs


def dice_of(outputs, folder, classes=(1, 2)):
    """Mean over classes of the Dice of all test pixels, by hand."""
    scores = []
    for index in classes:
        pairs = [
            (p.argmax(axis=0) == index, np.asarray(Image.open(folder / "masks" / f"{name}.png")) == index)
            for name, p in outputs.items()
            if name.startswith("test")
        ]
        overlap = sum((a & b).sum() for a, b in pairs)
        scores.append(2 * overlap / sum(a.sum() + b.sum() for a, b in pairs))
    return float(np.mean(scores))


def imported(data, head, place, runs, *more):
    """The run of an import by the command line, which must succeed."""
    done = call(
        "import", "x", "--dataset", data, f"--{head}", place, "--runs", runs, "--replicates", 100, *more,
    )  # fmt: skip
    assert done.exit_code == 0, done.exception
    return Run(runs / "x")


def measured(run, head):
    """Mean over foreground classes of the Dice of all test pixels."""
    rows = run.metrics().query("split == 'test' and variant == 'raw' and region == 'all' and metric == 'dice'")
    rows = rows[(rows["head"] == head) & rows["class"].isin(["a", "b", "v"])]
    assert len(rows)
    return float(rows["value"].mean())


def found(run, head):
    return {one["code"]: one for one in run.facts["findings"]["test"].get(head, ())}


# Axes ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "channels", "lay", "arranged"),
    [
        ((4, 6), 1, "C, H, W", (1, 4, 6)),
        ((6, 4), 1, "C, W, H", (1, 4, 6)),
        ((1, 3, 4, 6), 3, "C, H, W", (3, 4, 6)),
        ((4, 6, 3), 3, "H, W, C", (3, 4, 6)),
        ((3, 6, 4), 3, "C, W, H", (3, 4, 6)),
        ((6, 4, 3), 3, "W, H, C", (3, 4, 6)),
        ((4, 6, 3), 0, "H, W, C", (3, 4, 6)),  # nobody has named the channels yet
        ((4, 4, 6), 4, "C, H, W", (4, 4, 6)),
        ((6, 4, 6), 6, "C, H, W", (6, 4, 6)),  # could be (W, H, C) as well: the first that fits
        ((2, 4, 6), 3, "C, H, W", (2, 4, 6)),  # a channel too few is told by the check of values
        ((3, 8, 12), 3, "C, H, W", (3, 8, 12)),  # another size is told as such
    ],
)
def test_sizes_tell_the_axes(shape, channels, lay, arranged):
    values = np.arange(np.prod(shape)).reshape(shape)
    got, told = axes.arrange(values, channels, (4, 6))
    assert (told, got.shape) == (lay, arranged)
    if lay == "W, H, C":
        assert got[2, 1, 5] == values[5, 1, 2]


WAYS = {"channels last": lambda p: np.moveaxis(p, 0, -1), "swapped": lambda p: np.swapaxes(p, 1, 2)}
CODES = {"channels last": {"OUTPUT-AXES"}, "swapped": {"OUTPUT-SWAPPED"}}


@pytest.mark.parametrize("how", CODES)
def test_axes_that_sizes_tell_are_read_right_and_noted(how, tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    (tmp_path / "out").mkdir()
    for name, p in outputs.items():
        np.save(tmp_path / "out" / f"{name}.npy", WAYS[how](p))
    run = imported(
        data, "softmax", tmp_path / "out", tmp_path / "runs", "--values", "probabilities", "--classes", "background,a,b"
    )
    assert measured(run, "softmax") == pytest.approx(dice_of(outputs, data), abs=1e-6)
    assert set(found(run, "softmax")) == CODES[how]


@pytest.mark.parametrize("how", ["a file an image", "a stack", "torch", "png", "png in a folder", "tif"])
def test_one_class_needs_no_axis_of_channels(how, tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32), kind="binary")
    p = {name: one[1] + one[2] * 0 for name, one in outputs.items()}
    out = tmp_path / "out"
    out.mkdir()
    names = list(p)
    if how == "a stack":
        np.save(out / "all.npy", np.stack([p[name] for name in names]))
        (out / "all.txt").write_text("\n".join(names))
    elif how == "torch":
        torch.save({name: torch.tensor(one) for name, one in p.items()}, out / "all.pt")
    for name, one in p.items():
        if how == "a file an image":
            np.save(out / f"{name}.npy", one)
        elif how == "tif":
            tifffile.imwrite(out / f"{name}.tif", one)
        elif how.startswith("png"):
            place = out / "predicted" if how == "png in a folder" else out
            place.mkdir(exist_ok=True)
            Image.fromarray(np.rint(one * 65535).astype(np.uint16)).save(place / f"{name}.png")
    run = imported(data, "sigmoid", out, tmp_path / "runs", "--values", "probabilities")
    decided = {name: np.stack([np.full_like(one, 0.5), one]) for name, one in p.items()}  # argmax is p > 0.5
    assert measured(run, "sigmoid") == pytest.approx(dice_of(decided, data, (1,)), abs=1e-6)


def test_a_stack_without_names_says_where_to_write_them(tmp_path):
    np.save(tmp_path / "all.npy", np.zeros((5, 4, 6), np.float32))
    with pytest.raises(DatasetError, match=r"one a line, into all\.txt"):
        open_outputs(tmp_path, Said("sigmoid", "logits"), Listed("x", "y", classes=("v",)))


def test_advice_about_another_size_does_not_lead_to_swapped_sides(tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    (tmp_path / "out").mkdir()
    for name, p in outputs.items():
        np.save(tmp_path / "out" / f"{name}.npy", np.swapaxes(p.reshape(3, 12, 2, 16, 2).mean((2, 4)), 1, 2))
    words = ("--values", "probabilities", "--classes", "background,a,b", "--runs", tmp_path / "runs")
    done = call("import", "x", "--dataset", data, "--softmax", tmp_path / "out", *words)
    assert "height and width are swapped: save np.swapaxes(array, -1, -2)" in str(done.exception)
    for path in (tmp_path / "out").iterdir():
        np.save(path, np.swapaxes(np.load(path), -1, -2))
    run = imported(data, "softmax", tmp_path / "out", tmp_path / "runs", "--size", "12x16", *words[:4])
    assert measured(run, "softmax") > 0.75  # 0.79; of 0.3 with swapped sides
    assert found(run, "softmax") == {}


def test_a_size_with_both_sides_swapped_is_refused(tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    (tmp_path / "out").mkdir()
    for name, p in outputs.items():
        np.save(tmp_path / "out" / f"{name}.npy", p)
    words = ("--values", "probabilities", "--classes", "background,a,b", "--runs", tmp_path / "runs")
    done = call("import", "x", "--dataset", data, "--softmax", tmp_path / "out", "--size", "32x24", *words)
    assert "--size is height x width, and 32x24 is that of the images with both swapped; give 24x32" in str(
        done.exception
    )


@pytest.mark.parametrize("swapped", [False, True])
def test_on_square_images_the_truth_tells_swapped_sides(swapped, tmp_path):
    data, outputs = world(tmp_path / "data", (32, 32))
    (tmp_path / "out").mkdir()
    for name, p in outputs.items():
        np.save(tmp_path / "out" / f"{name}.npy", np.swapaxes(p, 1, 2) if swapped else p)
    words = ("--values", "probabilities", "--classes", "background,a,b")
    run = imported(data, "softmax", tmp_path / "out", tmp_path / "runs", *words)
    assert set(found(run, "softmax")) == ({"OUTPUT-SWAPPED"} if swapped else set())
    head = HeadOutputs(path=str(tmp_path / "out"), values="probabilities", classes=CLASSES)
    looked, _ = look_apart(ImportRequest(name="", dataset=str(data), heads={"softmax": head}))
    assert [one.code for one in looked.heads["softmax"].findings] == (["OUTPUT-SWAPPED"] if swapped else [])
    if swapped:
        assert "save np.swapaxes(array, -1, -2)" in found(run, "softmax")["OUTPUT-SWAPPED"]["message"]


def test_a_few_images_or_a_small_gain_say_nothing_of_swapped_sides():
    def check(count, corner):
        swap = axes.SwapCheck(("v",), None)
        truth = np.zeros((1, 8, 8), bool)
        truth[0, :2, 4:] = True
        decided = truth.swapaxes(1, 2).copy() if corner is None else truth.copy()
        if corner is not None:
            decided[0, corner, 0] = True
        for _ in range(count):
            swap.add(Item("x", np.zeros((8, 8, 3), np.float32), truth, np.ones((8, 8), bool)), decided)
        return [one.code for one in swap.findings()]

    assert check(3, None) == ["OUTPUT-SWAPPED"]
    assert check(2, None) == []  # two images are chance
    assert check(16, 5) == []


# Label maps ----------------------------------------------------------------------------------------------------------


def save_labels(how, out, name, labels, picture):
    if how == "npy":
        np.save(out / f"{name}.npy", labels)
    elif how == "npz":
        np.savez(out / f"{name}.npz", labels[None])
    elif how == "safetensors":
        save_file({"t": labels.astype(np.int32)}, out / f"{name}.safetensors")
    elif how == "pt":
        torch.save(torch.tensor(labels), out / f"{name}.pt")
    elif how == "tif":
        tifffile.imwrite(out / f"{name}.tif", labels.astype(np.int16))
    else:
        place = out / "labels" if how == "png in a folder" else out
        place.mkdir(exist_ok=True)
        picture.save(place / f"{name}.png")


@pytest.mark.parametrize("how", ["npy", "npz", "safetensors", "pt", "png", "png in a folder", "palette", "tif"])
def test_label_maps_are_told_to_carry_no_probabilities(how, tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    out = tmp_path / "out"
    out.mkdir()
    for name, p in outputs.items():
        labels = p.argmax(axis=0)
        small = Image.fromarray(labels.astype(np.uint8))
        if how == "palette":
            small.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
        save_labels(how, out, name, labels, small)
    words = ("--values", "probabilities", "--classes", "background,a,b", "--runs", tmp_path / "runs")
    told = str(call("import", "x", "--dataset", data, "--softmax", out, *words).exception)
    assert told.startswith("LABEL-MAP: ")
    assert "a label carries no probability" in told
    assert "logits[i].float().cpu().numpy()) in place of logits.argmax(1)[i]" in told
    assert "SOFTMAX-ONE-CHANNEL" not in told
    assert not (tmp_path / "runs" / "x").exists()


def test_the_look_before_an_import_tells_label_maps_before_channels_are_named(tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    (tmp_path / "out").mkdir()
    for name, p in outputs.items():
        np.save(tmp_path / "out" / f"{name}.npy", p.argmax(axis=0))
    for said in ({}, {"values": "probabilities"}, {"values": "probabilities", "classes": CLASSES}):
        head = HeadOutputs(path=str(tmp_path / "out"), **said)
        seen = look(ImportRequest(name="", dataset=str(data), heads={"softmax": head}))[0].heads["softmax"]
        told = seen.problem or "; ".join(f"{one.code}: {one.message}" for one in seen.findings)
        assert told.startswith("LABEL-MAP: there are 3 classes (background, a, b), but")
        assert seen.stands_in_the_way


def test_one_map_of_probabilities_for_two_classes_is_no_label_map():
    declared = Declaration(head="softmax", values="probabilities", classes=("background", "v"))
    (finding,) = check_outputs([np.random.default_rng(0).random((40, 40))], declared)
    assert finding.code == "CHANNELS"
    assert "declare them as a sigmoid's and name that class" in finding.message


# torch.save ----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True, scope="module")
def one_process():
    """PyTorch is imported once for all tests that read its files."""
    with _process.in_use():
        yield


VALUES = np.random.default_rng(1).normal(size=(3, 4, 6)).astype(np.float32)


def read_all(folder, names=("x", "y"), said=None):
    said = said or Said("softmax", "logits", CLASSES)
    (source,) = open_outputs(folder, said, Listed(*names, classes=CLASSES)).sources.values()
    with source:
        assert source.absent(names) == ()
        return [source.read(item(name, classes=3)) for name in names]


@pytest.mark.parametrize(
    ("form", "names"),
    [
        (lambda x, y: {"x.pt": x, "y.pth": y[None]}, None),
        (lambda x, y: {"x.pt": {"softmax": x, "sigmoid": y}, "y.pt": torch.nn.Parameter(y)}, None),
        (lambda x, y: {"all.pt": {"x": x, "y.png": y.permute(1, 2, 0)}}, None),
        (lambda x, y: {"all.pt": [x, y]}, "x\ny\n"),
        (lambda x, y: {"all.pt": (y, x)}, "y\nx\n"),
        (lambda x, y: {"all.pt": torch.stack([x, y])}, "x.png\ny.png\n"),
        (lambda x, y: {"seed=0/x.pt": x.clone().requires_grad_(), "seed=0/y.pt": y.clone()}, None),
    ],
)
def test_tensors_come_back_however_they_are_saved(form, names, tmp_path):
    x, y = torch.tensor(VALUES), torch.tensor(VALUES + 1)
    for name, content in form(x, y).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        torch.save(content, tmp_path / name)
    if names is not None:
        (tmp_path / "all.txt").write_text(names)
    for found, expected in zip(read_all(tmp_path), (VALUES, VALUES + 1), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_look_before_an_import_reads_them_in_its_own_sandbox(tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    torch.save({name: torch.tensor(p) for name, p in outputs.items()}, tmp_path / "all.pt")
    head = HeadOutputs(path=str(tmp_path / "all.pt"), values="probabilities", classes=CLASSES)
    looked, preview = look_apart(ImportRequest(name="", dataset=str(data), heads={"softmax": head}))
    seen = looked.heads["softmax"]
    assert (seen.problem, seen.format, seen.looked, seen.findings) == (None, "torch", 6, ())
    np.testing.assert_array_equal(preview.decided["softmax"].argmax(axis=0), outputs[looked.shown].argmax(axis=0))


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "int64", "bool", "float8_e4m3fn"])
def test_tensors_of_every_precision_come_back(dtype, tmp_path):
    tensor = torch.tensor(VALUES).to(getattr(torch, dtype))
    torch.save(tensor, tmp_path / "x.pt")
    torch.save(tensor, tmp_path / "y.pt", _use_new_zipfile_serialization=dtype.startswith("float8"))  # as before 1.6
    for found in read_all(tmp_path):
        np.testing.assert_array_equal(found, tensor.to(torch.float64).numpy())


class Command:
    def __reduce__(self):
        return (print, ("never",))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (Command(), "nothing but tensors is unpickled"),
        (VALUES, "holds other objects"),
        (torch.nn.Linear(2, 2), "holds other objects"),
        (torch.nn.Sequential(torch.nn.Linear(2, 2)).state_dict(), "weights of a network; give it to import-model"),
        ({"x": torch.tensor(VALUES), "names": ["x"]}, "holds list under 'names'"),
        ({1: torch.tensor(VALUES)}, "neither a tensor nor a dict"),
        ("x", "neither a tensor nor a dict"),
        ([], "holds no tensor"),
        (torch.tensor(VALUES).to_sparse(), "sparse, quantised or empty"),
        (torch.tensor(VALUES).to(torch.complex64), "real numbers"),
        (torch.zeros(3), "must be (C, H, W)"),
        (torch.zeros(1).expand(3, 40_000, 40_000), "the output of x has 40,000×40,000 pixels"),
    ],
)
def test_anything_but_tensors_is_refused_in_one_line(content, said, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(PipelineError) as refused:
        read_all(tmp_path, ("x",))
    assert said in str(refused.value)
    assert str(refused.value).isprintable()


def test_damaged_files_of_torch_are_refused(tmp_path):
    torch.save(torch.tensor(VALUES), tmp_path / "x.pt")
    sound = (tmp_path / "x.pt").read_bytes()
    for content in (b"", sound[:-40], pickle.dumps(Command()), b"PK\x03\x04 no zip", sound.replace(b"data", b"dqta")):
        (tmp_path / "x.pt").write_bytes(content)
        with pytest.raises(DatasetError) as refused:
            read_all(tmp_path, ("x",))
        assert str(refused.value).startswith("x.pt ")
        assert str(refused.value).isprintable()
    (tmp_path / "x.pt").write_bytes(sound)
    np.testing.assert_array_equal(read_all(tmp_path, ("x",))[0], VALUES)


def test_the_process_of_torch_ends_with_its_last_user(tmp_path):
    process = torch_files._Process()
    torch.save(torch.tensor(VALUES), tmp_path / "x.pt")
    with process.in_use():
        with process.in_use():
            (tensor,) = process.table(tmp_path / "x.pt")
        pid = process._sandbox.pid
        np.testing.assert_array_equal(process.values(tensor.path, tensor.number, 1), VALUES[1])
    assert process._sandbox is None
    assert not psutil.pid_exists(pid)


def test_a_list_of_tensors_needs_names(tmp_path):
    torch.save([torch.tensor(VALUES)] * 2, tmp_path / "all.pt")
    with pytest.raises(DatasetError, match=r"one a line, into all\.txt beside it, or save a dict"):
        read_all(tmp_path)
    (tmp_path / "all.txt").write_text("x\n")
    with pytest.raises(DatasetError, match=r"holds 2 tensors, all\.txt has 1 names"):
        read_all(tmp_path)


# No channel for the background ---------------------------------------------------------------------------------------


def test_a_sigmoid_without_a_background_channel_is_told_how_to_be_measured_and_is(tmp_path):
    data, outputs = world(tmp_path / "data", (24, 32))
    (tmp_path / "out").mkdir()
    for name, p in outputs.items():
        np.save(tmp_path / "out" / f"{name}.npy", p[1:])
    words = ("--values", "probabilities", "--classes", "a,b")
    done = call("import", "x", "--dataset", data, "--sigmoid", tmp_path / "out", *words, "--runs", tmp_path / "no")
    assert isinstance(done.exception, ConfigError)
    (tmp_path / "reading.json").write_text(str(done.exception).partition("read the data set with ")[2].split(", in")[0])
    assert json.loads((tmp_path / "reading.json").read_text()) == {"kind": "overlapping"}
    words = (*words, "--reading", tmp_path / "reading.json")
    run = imported(data, "sigmoid", tmp_path / "out", tmp_path / "runs", *words)
    decided = {name: np.stack([np.full_like(p[0], 0.5), *p[1:]]) for name, p in outputs.items()}  # at most one is above
    assert measured(run, "sigmoid") == pytest.approx(dice_of(decided, data), abs=1e-6)


@pytest.mark.parametrize(
    ("head", "kind", "classes", "channels", "said"),
    [
        ("sigmoid", "exclusive", ("background", "v"), ("v",), '{"kind": "binary"}'),
        ("sigmoid", "exclusive", ("soil", "a", "b"), ("a", "b"), '{"kind": "overlapping"}'),
        ("softmax", "exclusive", ("soil", "a", "b"), ("a", "b"), '{"ignore": ["soil"]}'),
        ("sigmoid", "exclusive", ("soil", "a", "b"), ("bg", "a", "b"), "name it with --background bg"),
        ("softmax", "overlapping", ("a", "b"), ("bg", "a", "b"), "name it with --background bg"),
        ("softmax", "overlapping", ("a", "b"), ("a", "b"), "bring that channel too"),
        ("sigmoid", "exclusive", ("soil", "a", "b"), ("a",), "bring every class of the data set"),
    ],
)
def test_a_missing_background_is_answered_by_what_there_is(head, kind, classes, channels, said):
    declared = Declaration(head=head, values="logits", classes=channels)
    background = classes[0] if kind == "exclusive" else None
    with pytest.raises(ConfigError) as refused:
        align(declared, head, kind=kind, classes=classes, background=background)
    assert said in str(refused.value)


# The cases that people met -------------------------------------------------------------------------------------------


@pytest.mark.skipif(not shared_cases().is_dir(), reason="the cases beside the checkout are not there")
@pytest.mark.parametrize("case", ["b_hw", "o_transposed", "o_pt", "o_int_argmax"])
def test_a_case_is_read_right_or_refused_with_the_way_out(case, tmp_path):
    data = shared_cases() / ("base_bin" if case == "b_hw" else "base_excl") / "data"
    head, names = ("sigmoid", "lesion") if case == "b_hw" else ("softmax", "background,c1,c2")
    words = ("--values", "probabilities", "--classes", names, "--runs", tmp_path, "--replicates", 100)
    done = call("import", "x", "--dataset", data, f"--{head}", shared_cases() / case / "data", *words)
    if case == "o_int_argmax":
        assert str(done.exception).startswith("LABEL-MAP: ")
        return
    assert done.exit_code == 0, done.exception
    rows = (
        Run(tmp_path / "x").metrics().query("split == 'test' and variant == 'raw' and metric == 'dice' and seed == 0")
    )
    dice = rows[(rows["region"] == "all") & (rows["class"] == "macro")]["value"].iloc[0]
    assert dice == pytest.approx({"b_hw": 0.578, "o_transposed": 0.844, "o_pt": 0.844}[case], abs=5e-4)


@pytest.mark.skipif(not shared_cases().is_dir(), reason="the cases beside the checkout are not there")
def test_the_model_without_a_background_channel_is_measured_as_advised(tmp_path):
    pytest.importorskip("onnxruntime")
    data = shared_cases() / "base_excl" / "data"
    words = ("import-model", "x", "--dataset", data, "--sigmoid", shared_cases() / "m_sigmoid_in" / "model.onnx")
    words = (*words, "--output", "sigmoid", "--normalisation", "0-1", "--runs", tmp_path, "--replicates", 100)
    assert str(call(*words).exception).endswith("such as --classes c1,c2")
    words = (*words, "--classes", "c1,c2")
    assert 'read the data set with {"kind": "overlapping"}, in a JSON file' in str(call(*words).exception)
    (tmp_path / "reading.json").write_text('{"kind": "overlapping"}')
    done = call(*words, "--reading", tmp_path / "reading.json")
    assert done.exit_code == 0, done.exception
    rows = Run(tmp_path / "x").metrics().query("split == 'test' and variant == 'raw' and metric == 'dice'")
    rows = rows[(rows["region"] == "all") & (rows["seed"] == 0) & (rows["head"] == "sigmoid")]
    rows = rows.set_index("class")["value"]
    # By hand: the model is a convolution of one pixel and a sigmoid.
    weights = np.array([[12.54902, 3.764706, 3.764706], [3.764706, 12.54902, 3.764706]])
    overlap, total = np.zeros(2), np.zeros(2)
    for name in (data / "splits" / "test.txt").read_text().split():
        image = np.asarray(Image.open(data / "images" / f"{name}.png").convert("RGB")) / 255
        decided = image @ weights.T - 5.8069973 > 0
        truth = np.asarray(Image.open(data / "masks" / f"{name}.png"))[..., None] == [1, 2]
        overlap += (decided & truth).sum(axis=(0, 1))
        total += decided.sum(axis=(0, 1)) + truth.sum(axis=(0, 1))
    assert rows[["c1", "c2"]].to_numpy() == pytest.approx(2 * overlap / total, abs=5e-3)
