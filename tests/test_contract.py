"""The published contract: what our writer writes, the schema says and the documents show is what import reads."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listed import Listed, item
from outputs_on_disk import write_outputs
from places import REPO
from synthetic import make_run
from typer.testing import CliRunner

from pipelines import cli, heads, misuse
from pipelines.errors import ConfigError, PipelineError, RunError, ShapeError
from pipelines.imports.readers import open_outputs
from pipelines.imports.sources import Said
from pipelines.store.contract import describe_part, json_schema
from pipelines.store.outside import PredictionsFile, PredictionsWarning
from pipelines.store.predictions import PredictionReader
from pipelines.store.runs import Run

LOGITS = np.random.default_rng(0).normal(0, 3, (2, 4, 6)).astype(np.float32)


def file_of(folder, head="sigmoid", kind="overlapping", classes=("a", "b"), **more):
    return PredictionsFile(folder, head=head, kind=kind, classes=classes, **more)


# What is written ---------------------------------------------------------------------------------------------------


def test_a_written_image_is_read_by_pandas_as_the_page_says(tmp_path):
    truth, valid = LOGITS > 1, LOGITS[0] > -2
    with file_of(tmp_path) as out:
        out.add("x", logits=LOGITS, truth=truth, valid=valid)
    table = pd.read_parquet(tmp_path / "part-00000.parquet")
    assert list(table) == ["image", "y", "x", "valid", "truth_a", "truth_b", "log_odds_a", "log_odds_b"]
    assert set(table["image"]) == {"x"}
    assert (table["y"] * 6 + table["x"]).tolist() == list(range(24))
    assert np.array_equal(table["log_odds_b"].to_numpy(), LOGITS[1].reshape(-1).astype(np.float16))
    assert np.array_equal(table["truth_a"].to_numpy(), (truth[0] & valid).reshape(-1))
    assert np.array_equal(table["valid"].to_numpy(), valid.reshape(-1))


@pytest.mark.parametrize(
    ("head", "kind", "classes", "channels"),
    [
        ("sigmoid", "binary", ("v",), None),
        ("softmax", "binary", ("v",), None),
        ("softmax", "exclusive", ("a", "b", "c"), ("c", "a", "b")),
        ("softmax", "overlapping", ("a", "b"), None),
        ("softmax-powerset", "overlapping", ("a", "b"), ("a+b", "background", "b", "a")),
    ],
)
@pytest.mark.parametrize("values", ["logits", "probabilities"])
def test_what_is_written_is_imported_as_it_was(head, kind, classes, channels, values, tmp_path):
    count = len(channels) if channels else len(classes) + (head == "softmax" and kind != "exclusive")
    z = np.random.default_rng(1).normal(0, 2, (count, 4, 6)).astype(np.float32)
    p = heads.sigmoid(z) if head == "sigmoid" else np.exp(z - heads.logsumexp(z))
    with file_of(tmp_path, head, kind, classes, channels=channels) as out:
        out.add("x", **{values: z if values == "logits" else p})
    (source,) = open_outputs(tmp_path, Said(head), Listed("x", classes=classes)).sources.values()
    found = source.read(item("x", classes=len(classes)))
    with PredictionReader(tmp_path) as reader:
        spec = reader.spec
    order = (
        [list(channels or spec.channels).index(name) for name in spec.channels]
        if head != "softmax-powerset"
        else [1, 0, 2, 3]
    )
    expected = z[order]
    assert np.abs(heads.log_odds(spec, found) - heads.log_odds(spec, expected)).max() < 0.02
    shift = np.abs(found - expected).max()
    # logits come back as they are; probabilities of a softmax have lost what they had in common
    assert shift < 0.02 or (values == "probabilities" and head != "sigmoid")
    assert source.keeps_shift == (not (values == "probabilities" and head == "softmax" and kind == "exclusive"))
    source.close()


def test_several_processes_write_parts_of_one_folder(tmp_path):
    for part, name in enumerate("xy"):
        with file_of(tmp_path, part=part) as out:
            out.add(name, logits=LOGITS + part)
    (source,) = open_outputs(tmp_path, Said("sigmoid"), Listed("x", "y")).sources.values()
    assert source.read(item("y"))[0, 0, 0] == np.float16(LOGITS[0, 0, 0] + 1)
    source.close()
    with pytest.raises(ConfigError, match="holds part 1 already"):
        file_of(tmp_path, part=1)


@settings(max_examples=60, deadline=None)
@given(numbers=st.lists(st.sampled_from([0, 1, 2, 255]), min_size=24, max_size=24))
def test_class_numbers_become_masks_and_ignored_pixels_are_not_valid(numbers, tmp_path_factory):
    target = np.array(numbers, np.uint8).reshape(4, 6)
    folder = tmp_path_factory.mktemp("masks")
    with file_of(folder, "softmax", "exclusive", ("a", "b", "c")) as out:
        out.add("x", logits=np.zeros((3, 4, 6)), truth=target, valid=target != 255)
    with PredictionReader(folder) as reader:
        one = reader.read("x")
    assert np.array_equal(one.truth, target[None] == np.arange(3)[:, None, None])
    assert np.array_equal(one.valid, target != 255)


def test_tensors_are_taken_and_those_that_cannot_be_read_are_told(tmp_path):
    torch = pytest.importorskip("torch")
    with file_of(tmp_path / "a") as out:
        out.add("x", logits=torch.from_numpy(LOGITS), truth=torch.from_numpy(LOGITS > 0))
    for wrong in (torch.from_numpy(LOGITS).requires_grad_(), torch.from_numpy(LOGITS).to(torch.bfloat16)):
        with pytest.raises(ShapeError, match=r"x: logits cannot be read .*detach\(\)\.float\(\)\.cpu\(\)"):
            file_of(tmp_path / "b").add("x", logits=wrong)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "x: give either logits or probabilities"),
        ({"logits": LOGITS, "probabilities": LOGITS}, "either"),
        ({"logits": LOGITS[0]}, r"x: logits must be \(2, H, W\) for the channels a, b, got shape \(4, 6\)"),
        ({"logits": np.moveaxis(LOGITS, 0, -1)}, r"got shape \(4, 6, 2\)"),
        ({"logits": np.where(LOGITS > 3, np.nan, LOGITS)}, "are NaN or infinite"),
        ({"logits": LOGITS[:, :0]}, "without a pixel"),
        ({"logits": LOGITS.astype(complex)}, "real numbers, got dtype complex128"),
        ({"logits": np.array([["a"]])}, "real numbers"),
        ({"probabilities": LOGITS}, "outside 0 to 1; pass logits="),
        ({"logits": LOGITS, "truth": LOGITS[0] > 0}, "one mask a class"),
        ({"logits": LOGITS, "truth": LOGITS[:1] > 0}, "1 masks for 2 classes; give one a class"),
        ({"logits": LOGITS, "truth": LOGITS}, "must hold 0 and 1 only"),
        ({"logits": LOGITS, "truth": LOGITS[:, :2] > 0}, r"truth has shape \(2, 2, 6\)"),
        ({"logits": LOGITS, "valid": LOGITS > 0}, r"valid has shape \(2, 4, 6\), expected \(4, 6\)"),
    ],
)
def test_what_does_not_fit_is_told_with_the_name_of_its_image(given, said, tmp_path):
    out = file_of(tmp_path)
    with pytest.raises(ShapeError, match=said) as error:
        out.add("x", **given)
    assert "\n" not in str(error.value)


def test_truth_of_exclusive_classes_is_checked(tmp_path):
    with pytest.raises(ShapeError, match="class numbers go from 0 to 1, got 0 to 255; pass valid="):
        file_of(tmp_path, kind="exclusive").add("x", logits=LOGITS, truth=np.where(LOGITS[0] > 0, 0, 255))
    with pytest.raises(ShapeError, match="one class at every valid pixel"):
        file_of(tmp_path, kind="exclusive").add("x", logits=LOGITS, truth=np.ones((2, 4, 6)))


def test_images_must_be_alike_and_come_once(tmp_path):
    out = file_of(tmp_path)
    out.add("x", logits=LOGITS)
    for name, more, said in (
        ("x", {"logits": LOGITS}, "added before"),
        ("y", {"probabilities": heads.sigmoid(LOGITS)}, "use one for all"),
        ("y", {"logits": LOGITS, "truth": LOGITS > 0}, "for all images or for none"),
    ):
        with pytest.raises(ShapeError, match=said):
            out.add(name, **more)
    out.close()
    assert describe_part(tmp_path / "part-00000.parquet").images == (("x", 4, 6),)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"head": "relu"}, "head is one of sigmoid"),
        ({"kind": "many"}, "kind one of exclusive"),
        ({"classes": "ab"}, "lists of names"),
        ({"channels": ("a",)}, "no channel for b"),
        ({"channels": ("a", "b", "c")}, "no class for: c"),
        ({"head": "softmax-powerset"}, "needs channels"),
        ({"head": "softmax", "kind": "exclusive", "channels": ("b",)}, "no channel for a"),
    ],
)
def test_channels_that_do_not_fit_are_told_before_the_first_image(arguments, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        file_of(tmp_path, **arguments)


def test_an_error_in_between_leaves_no_file(tmp_path):
    def stops():
        with file_of(tmp_path) as out:
            out.add("x", logits=LOGITS)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        stops()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="no image was added"), file_of(tmp_path):
        pass


def test_what_import_would_refuse_is_warned_of(tmp_path):
    many = heads.sigmoid(np.random.default_rng(0).normal(0, 4, (2, 40, 50)).astype(np.float32))
    assert many[0].size >= misuse.ENOUGH_PIXELS
    with pytest.warns(PredictionsWarning, match="PROBABILITIES-AS-LOGITS"), file_of(tmp_path) as out:
        out.add("x", logits=many)
    assert [one.code for one in describe_part(tmp_path / "part-00000.parquet").findings] == ["PROBABILITIES-AS-LOGITS"]


# The schema --------------------------------------------------------------------------------------------------------


def test_the_published_schema_is_what_the_command_prints():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pipelines.store.contract"],
        cwd=REPO, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (REPO / "docs" / "predictions.schema.json").read_text() == done.stdout
    assert json.loads(done.stdout) == json_schema()


@pytest.mark.parametrize(
    ("head", "kind", "truth"),
    [("sigmoid", "overlapping", True), ("softmax", "overlapping", False), ("softmax", "exclusive", True)],
)
def test_written_files_are_valid_and_changed_ones_are_not(head, kind, truth, tmp_path):
    jsonschema = pytest.importorskip("jsonschema")
    count = 3 if kind == "overlapping" and head == "softmax" else 2
    with file_of(tmp_path, head, kind) as out:
        mask = np.stack([LOGITS[0] > 0, LOGITS[0] <= 0])
        out.add("x", logits=np.resize(LOGITS, (count, 4, 6)), truth=mask if truth else None)
    described = describe_part(tmp_path / "part-00000.parquet").model_dump(mode="json")
    check = jsonschema.Draft202012Validator(json_schema())
    jsonschema.Draft202012Validator.check_schema(json_schema())
    check.validate(described)
    columns = described["columns"]
    for wrong in (
        described | {"images": [["x", 0, 6]]},
        described | {"head": described["head"] | {"head": "relu"}},
        described | {"columns": columns[1:]},
        described | {"columns": [*columns, {"name": "other", "type": "bool", "nullable": False}]},
        described | {"columns": [columns[0] | {"nullable": True}, *columns[1:]]},
        described | {"columns": [*columns[:-1], columns[-1] | {"type": "float"}]},
        {name: one for name, one in described.items() if name != "images"},
    ):
        assert not check.is_valid(wrong)


def test_the_page_lists_every_column_of_the_schema():
    text = (REPO / "docs" / "predictions-contract.md").read_text()
    for one in json_schema()["$defs"]["Column"]["oneOf"]:
        name = one["properties"]["name"]["pattern"].strip("^$").replace(".+", "<")
        assert f"`{name}" in text, name


# The examples ------------------------------------------------------------------------------------------------------


def test_the_pytorch_example_runs_as_it_is_printed(tmp_path):
    torch = pytest.importorskip("torch")
    block = re.search(
        r"```python\n(import torch\n.*?)```", (REPO / "docs" / "predictions-contract.md").read_text(), re.DOTALL
    )
    names = {}
    exec(compile(block[1], "<example>", "exec"), names)
    targets = torch.randint(0, 3, (2, 4, 6), generator=torch.Generator().manual_seed(0))
    targets[0, 0, 0] = 255
    network = torch.nn.Conv2d(3, 3, 1)
    images = torch.rand(2, 3, 4, 6)
    names["write"](network, [(("x", "y"), images, targets)], tmp_path, ("a", "b", "c"))
    with PredictionReader(tmp_path) as reader:
        assert reader.images == ("x", "y")
        one = reader.read("x")
    assert not one.valid[0, 0]
    assert one.valid.sum() == 23
    expected = network(images)[0].detach().numpy()
    assert np.abs(one.log_odds - heads.log_odds(reader.spec, expected)).max() < 0.01


def test_the_lightning_example_runs_as_it_is_printed_where_lightning_is(tmp_path):
    lightning = pytest.importorskip("lightning.pytorch")
    torch = pytest.importorskip("torch")

    class Net(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(3, 2, 1)

        def predict_step(self, batch, batch_idx):
            return self.layer(batch["image"])

    images = torch.rand(3, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    data = [{"name": name, "image": image} for name, image in zip("xyz", images, strict=True)]
    text = (REPO / "docs" / "predictions-contract.md").read_text()
    block = re.search(r"```python\n(from lightning.*?)```", text, re.DOTALL)
    call = re.search(r"^`(Trainer\(callbacks=.*)…\)`$", text, re.MULTILINE)
    names = {"Trainer": partial(lightning.Trainer, logger=False, enable_checkpointing=False, accelerator="cpu")}
    exec(compile(block[1], "<example>", "exec"), names)
    names |= {"network": Net(), "loader": torch.utils.data.DataLoader(data, batch_size=2)}
    line = call[1].replace('"out/sigmoid"', repr(str(tmp_path / "out"))) + "network, loader)"
    exec(compile(line, "<example>", "exec"), names)
    with PredictionReader(tmp_path / "out") as reader:
        assert reader.images == ("x", "y", "z")
        assert reader.spec.classes == ("cell", "nucleus")


def test_the_nnunet_example_reads_what_nnunet_writes(tmp_path, monkeypatch):
    """The second line of the example, word for word, on an export in nnU-Net's layout."""
    text = (REPO / "docs" / "predictions-contract.md").read_text()
    line = re.search(r"^python -m pipelines (import nnunet .*)$", text, re.MULTILINE)
    run = make_run(tmp_path / "made", "abc", kind="exclusive", classes=("background", "a", "b"), images=2)
    shutil.copytree(run.config["dataset"], tmp_path / "my_data")
    write_outputs(tmp_path / "out", run, "softmax", "nnunet")
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli.app, shlex.split(line[1]))
    assert done.exit_code == 0, done.output
    assert Run(tmp_path / "runs" / "nnunet").heads == ("softmax",)
    assert "nnU-Net's exported .npz" in done.output


# Files from elsewhere ----------------------------------------------------------------------------------------------


def test_any_writer_of_parquet_can_follow_the_contract(tmp_path):
    # by pyarrow alone, without valid and truth
    odds = pa.array(np.arange(24, dtype=np.float16))
    table = pa.table(
        {"image": ["x"] * 24, "y": [k // 6 for k in range(24)], "x": [k % 6 for k in range(24)], "log_odds_v": odds}
    )
    head = {"head": "sigmoid", "kind": "binary", "classes": ["v"], "channels": ["v"]}
    schema = table.schema.with_metadata({"head": json.dumps(head)})
    with pq.ParquetWriter(tmp_path / "mine.parquet", schema) as writer:
        writer.write_table(table.replace_schema_metadata(schema.metadata), row_group_size=24)
        writer.add_key_value_metadata({"images": json.dumps([["x", 4, 6]])})
    (source,) = open_outputs(tmp_path, Said("sigmoid"), Listed("x", classes=("v",))).sources.values()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert source.read(item("x", classes=1)).ravel().tolist() == list(range(24))
    source.close()


def test_a_part_without_truth_is_none_of_a_run(tmp_path):
    with file_of(tmp_path) as out:
        out.add("x", logits=LOGITS)
    with PredictionReader(tmp_path) as reader, pytest.raises((RunError, KeyError, PipelineError)):
        reader.read("x")
