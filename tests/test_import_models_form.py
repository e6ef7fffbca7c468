"""What a form says of models: what is missing, what the trial shows, and the command line that it becomes."""

import numpy as np
import pytest
from model_files import Net, export
from places import REPO
from synthetic import write_dataset
from torch import nn
from typer.testing import CliRunner

from dashboard.panels.importing_models import (
    SaidModel,
    SaidModels,
    for_model_page,
    lacking,
    model_facts,
    numbers,
    says_its_size,
)
from pipelines import cli
from pipelines.imports.models.command import Normalisation
from pipelines.imports.models.opening import KINDS, Inspection
from pipelines.imports.models.settings import Described, Facts
from pipelines.imports.trial import try_apart
from pipelines.store import open_run

SIZE = (20, 28)
ONNX = next(kind for kind in KINDS if kind.name == "onnx")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("form")
    write_dataset(folder / "data", kind="overlapping", classes=("a", "b"), images=3, size=SIZE)
    export(Net(2), folder / "sigmoid.onnx", free=True)
    export(Net(3, nn.Softmax(1), seed=1), folder / "softmax.onnx", size=(16, 24))
    return folder


def said(place, **softmax):
    sigmoid = SaidModel(place / "sigmoid.onnx", "logits", ("a", "b"), mean=(0.5,), std=(0.25, 0.25, 0.5))
    other = {"output": "probabilities", "channels": ("nothing", "a", "b"), "normalisation": Normalisation.imagenet}
    heads = {"sigmoid": sigmoid, "softmax": SaidModel(place / "softmax.onnx", **(other | softmax))}
    return SaidModels(place / "data", heads, background="nothing", order="BGR", splits=("test",))


def test_a_trial_shows_what_both_models_call_present(place):
    looked, preview = try_apart(said(place).asked())
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
        ({"channels": ("a", "b")}, "gives 3 channels, but 2 are named"),
        ({"channels": ("nothing", "a", "c")}, "no channel for b"),
        ({"tensor": "labels"}, "has no output 'labels'"),
        ({"path": "no.onnx"}, "there is no "),
    ],
)
def test_a_trial_says_what_stands_in_the_way(change, wanted, place):
    path = change.pop("path", "softmax.onnx")
    words = said(place, **change)
    heads = words.heads | {"softmax": SaidModel(**(vars(words.heads["softmax"]) | {"path": place / path}))}
    looked, _ = try_apart(SaidModels(**(vars(words) | {"heads": heads})).asked())
    told = [looked.problem, *(seen.problem for seen in looked.heads.values())]
    told += [f"{one.code} {one.message}" for seen in looked.heads.values() for one in seen.findings]
    assert wanted in "\n".join(filter(None, told))
    assert looked.problem or any(seen.stands_in_the_way for seen in looked.heads.values())


def test_the_command_line_says_the_same_as_the_trial_and_never_trusts(place, tmp_path):
    words = said(place).arguments("one")
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


def test_a_value_that_looks_like_an_option_stays_a_value(place):
    words = said(place, channels=("--trust", "a", "b")).arguments("--trust")
    assert "--trust" not in words
    assert "--name=--trust" in words


@pytest.mark.parametrize(
    ("facts", "model", "wanted"),
    [
        ({"outputs": ("x", "y")}, {}, "which of its outputs is meant"),
        ({}, {}, "whether it ends with its activation"),
        ({}, {"output": "logits"}, "how images were prepared in its training"),
        ({}, {"output": "logits", "mean": (0.5,)}, "how images were prepared in its training"),
        ({}, {"output": "logits", "mean": (0.5,), "std": (1.0,)}, "what each channel is"),
        ({"dtype": "uint8"}, {"output": "logits"}, "what each channel is"),
        ({}, {"output": "logits", "normalisation": Normalisation.unit, "channels": ("a", "")}, "what each channel is"),
        ({}, {"output": "logits", "normalisation": Normalisation.unit, "channels": ("a", "b")}, None),
        ({"read": {"values": "logits", "mean": (0,), "std": (1,), "classes": ("a", "b")}}, {}, None),
    ],
)
def test_what_is_missing_is_said_one_after_the_other(facts, model, wanted, tmp_path):
    found = Inspection(ONNX, Facts.model_validate(facts), channels=2)
    assert lacking("sigmoid", found, SaidModel(tmp_path, **model), binary=False) == wanted


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


def test_messages_for_the_page_name_no_option_but_trust():
    source = "".join(path.read_text() for path in (REPO / "pipelines" / "imports" / "models").rglob("*.py"))
    for message in (
        "give more with --memory, or smaller images with --size", "choose one with --tensor",
        "choose another output with --tensor, or export the network so", "but --output says logits",
        "give it more with --seconds, or smaller images", "or give more with --memory",
    ):  # fmt: skip
        assert message.split(" with")[0].split(" --")[0] in source
        assert "--" not in for_model_page(message), message
    assert "--trust" in for_model_page("import it on the command line with --trust")
