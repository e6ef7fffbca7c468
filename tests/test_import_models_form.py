"""What a form says of models: what is missing, what the trial shows, and the command line that it becomes."""

import numpy as np
import pytest
from model_files import Net, export
from synthetic import write_dataset
from torch import nn
from typer.testing import CliRunner

from dashboard.forms.import_models import (
    BOUNDS,
    for_model_page,
    lacking,
    model_facts,
    numbers,
    says_its_size,
)
from pipelines import cli
from pipelines.config import EvaluationConfig
from pipelines.imports.models.opening import KINDS, Inspection
from pipelines.imports.models.settings import Described, Facts
from pipelines.imports.trial import Truth, look_apart
from pipelines.requests import HeadModel, ModelImportRequest
from pipelines.store.runs import open_run

SIZE = (20, 28)
ONNX = next(kind for kind in KINDS if kind.name == "onnx")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("form")
    write_dataset(folder / "data", kind="overlapping", classes=("a", "b"), images=3, size=SIZE)
    export(Net(2), folder / "sigmoid.onnx", free=True)
    export(Net(3, nn.Softmax(1), seed=1), folder / "softmax.onnx", size=(16, 24))
    return folder


def asked(place, **softmax):
    """What a form has filled in. softmax: of its model, what is other than usual."""
    sigmoid = HeadModel(
        path=str(place / "sigmoid.onnx"), output="logits", classes=("a", "b"), mean=(0.5,), std=(0.25, 0.25, 0.5)
    )
    usual = {
        "path": str(place / "softmax.onnx"), "output": "probabilities", "classes": ("nothing", "a", "b"),
        "normalisation": "imagenet",
    }  # fmt: skip
    return ModelImportRequest(
        name="one",
        dataset=str(place / "data"),
        heads={"sigmoid": sigmoid, "softmax": HeadModel(**(usual | softmax))},
        background="nothing",
        channels_order="BGR",
        evaluation=EvaluationConfig(splits=("test",)),
        **BOUNDS,
    )


def test_a_trial_shows_what_both_models_call_present(place):
    looked, preview = look_apart(asked(place))
    assert looked.problem is None
    assert {head: (seen.count, seen.looked, seen.findings) for head, seen in looked.heads.items()} == {
        "sigmoid": (2, 3, ()), "softmax": (3, 3, ()),
    }  # fmt: skip
    assert preview.image.shape == (16, 24, 3)  # the size that one model fixes holds for both
    assert {head: labels.shape for head, labels in preview.decided.items()} == dict.fromkeys(looked.heads, (2, 16, 24))
    assert preview.decided["sigmoid"].dtype == np.bool_


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({"output": "logits"}, "PROBABILITIES-AS-LOGITS"),
        ({"classes": ("a", "b")}, "gives 3 channels, but 2 are named"),
        ({"classes": ("nothing", "a", "c")}, "no channel for b"),
        ({"tensor": "labels"}, "has no output 'labels'"),
        ({"path": "no.onnx"}, "there is no "),
    ],
)
def test_a_trial_says_what_stands_in_the_way(change, wanted, place):
    change = {name: str(place / value) if name == "path" else value for name, value in change.items()}
    looked, _ = look_apart(asked(place, **change))
    told = [looked.problem, *(seen.problem for seen in looked.heads.values())]
    told += [f"{one.code} {one.message}" for seen in looked.heads.values() for one in seen.findings]
    assert wanted in "\n".join(filter(None, told))
    assert looked.problem or any(seen.stands_in_the_way for seen in looked.heads.values())


def test_the_command_line_says_the_same_as_the_trial_and_never_trusts(place, tmp_path):
    words = asked(place).command_line()
    assert "--trust" not in words
    done = CliRunner().invoke(cli.app, [*words, "--runs", str(tmp_path), "--replicates", "100"])
    assert done.exit_code == 0, (done.exception, done.output)
    heads = open_run(tmp_path, "one").config["imported"]["heads"]
    assert heads["sigmoid"]["notes"]["mean"] == "0.5 (given)"
    assert heads["sigmoid"]["notes"]["std"] == "0.25, 0.25, 0.5 (given)"
    assert heads["softmax"]["notes"]["mean"] == "0.485, 0.456, 0.406 (given)"
    assert heads["softmax"]["notes"]["order"] == "BGR (given)"
    assert heads["softmax"]["background"] == "nothing"
    assert heads["softmax"]["values"] == "probabilities"


@pytest.mark.parametrize(
    ("facts", "model", "wanted"),
    [
        ({"outputs": ("x", "y")}, {}, "which of its outputs is meant"),
        ({}, {}, "whether it ends with its activation"),
        ({}, {"output": "logits"}, "how images were prepared in its training"),
        ({}, {"output": "logits", "mean": (0.5,)}, "how images were prepared in its training"),
        ({}, {"output": "logits", "mean": (0.5,), "std": (1.0,)}, "what each channel is"),
        ({"dtype": "uint8"}, {"output": "logits"}, "what each channel is"),
        ({}, {"output": "logits", "normalisation": "0-1", "classes": ("a", "")}, "what each channel is"),
        ({}, {"output": "logits", "normalisation": "0-1", "classes": ("a", "b")}, None),
        ({"read": {"values": "logits", "mean": (0,), "std": (1,), "classes": ("a", "b")}}, {}, None),
    ],
)
def test_what_is_missing_is_said_one_after_the_other(facts, model, wanted, tmp_path):
    truth = Truth(name="d", kind="overlapping", classes=("a", "b"), background=None, colors=("#000000",) * 2, images={})
    found = Inspection(ONNX, Facts.model_validate(facts), channels=2)
    assert lacking("sigmoid", found, HeadModel(path=str(tmp_path), **model), truth) == wanted


def test_what_was_found_is_told_in_a_few_words():
    found = Inspection(ONNX, Facts(input_shape=(1, 3, 20, 28)), channels=1, low=-1.25, high=0.5)
    assert model_facts(found) == [
        "recognised: ONNX",
        "takes colour images of 28×20 pixels only",
        "1 channel",
        "−1.25 to 0.5 on a black image",
        "",
    ]
    last = Facts(input_shape=(None, None, None, 1))
    assert last.layout == "NHWC"
    assert model_facts(Inspection(ONNX, last))[1] == "takes grey images of any size"
    assert not says_its_size(last)
    assert says_its_size(Facts(read=Described(size=(20, 28))))
    assert not says_its_size(Facts(read=Described(size="own")))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("0.5", (0.5,)), ("1, 2,3", (1, 2, 3)), ("1 2 3", (1, 2, 3)), ("", None), ("1,2", None), ("a", None),
        ("nan", None), ("1e999", None),
    ],
)  # fmt: skip
def test_numbers_are_one_or_three(text, found):
    assert numbers(text) == found


def test_messages_for_the_page_name_its_fields_and_say_what_is_for_the_command_line():
    assert for_model_page("give more with --memory, or smaller images with --size") == (
        "give more with --memory on the command line, or smaller images with “Resize all”"
    )
    for message, field in (
        ("choose one with --tensor", "“Output”"), ("but --output says logits", "“It ends”"),
        ("say --softmax-output softmax", "“It ends”"), ("leave --normalisation, --mean and --std out", "“Mean”"),
        ("name every channel in order with --powerset-classes", "the table of channels"),
    ):  # fmt: skip
        assert field in for_model_page(message)
        assert "--" not in for_model_page(message)
    assert for_model_page("import it on the command line with --trust").endswith("on the command line with --trust")
    assert for_model_page("a--size.png is no picture") == "a--size.png is no picture"
