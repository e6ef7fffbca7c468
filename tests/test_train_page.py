"""The page Train without a browser: the form and its defaults, what is started, and who sees what of a job."""

import json
import os
from pathlib import Path

import make_dataset
import numpy as np
import pyarrow as pa
import pytest
from opening import open_page
from PIL import Image
from synthetic import make_run

from dashboard.forms import examples, training
from dashboard.forms import jobs as words
from pipelines import jobs, readings
from pipelines.config import TrainingConfig
from pipelines.errors import ConfigError
from pipelines.estimate_data import DataFacts, data_facts
from pipelines.jobs import Status
from pipelines.layouts import EXAMPLES_SCHEMA
from pipelines.reading import DataReading
from pipelines.store import files
from pipelines.training.predict import Examples

FACTS = DataFacts(
    name="Cells", kind="overlapping", classes=("cell", "nucleus"), images={"train": 60, "val": 20, "test": 40},
    sizes=[(128, 128)] * 3, shares={"cell": 0.2, "nucleus": 0.04},
)  # fmt: skip


def facts(**changes):
    return FACTS.model_copy(update=changes)


# Settings ----------------------------------------------------------------------------------------------------------


def test_defaults_are_drawn_from_the_data():
    usual = training.suggest(FACTS, gpu=False)
    assert usual.size is None, "small, and one and the same"
    assert usual.batch_size == 4  # 60 images in eights are fewer than 8 steps, in fours they are 15
    assert usual.epochs == 20  # 300 steps at 15 an epoch
    assert usual.losses == ("ce+dice",), "4% of the pixels is rare"
    assert usual.seeds == (0, 1, 2)
    common = training.suggest(facts(shares={"cell": 0.2, "nucleus": 0.06}), gpu=False)
    assert common.losses == ("ce",)
    ground = facts(kind="exclusive", shares={"cell": 0.2, "nucleus": 0.01}, background="nucleus")
    assert training.suggest(ground, gpu=False).losses == ("ce",), "how large the background is says nothing"
    few = training.suggest(facts(images={"train": 5, "val": 1, "test": 1}), gpu=False)
    assert (few.batch_size, few.epochs) == (2, 40)
    many = training.suggest(facts(images={"train": 5000, "val": 1, "test": 1}), gpu=False)
    assert (many.batch_size, many.epochs) == (8, 3)
    assert training.suggest(FACTS, gpu=True).encoder == "resnet18"


def test_large_images_are_offered_smaller_in_their_shape():
    large = facts(sizes=[(480, 640), (480, 640), (500, 640)])
    options = training.size_options(large)
    # 480 / 640 × 128 = 96; 64 gives 48 and is rounded to 64 rows of 32s, that is 64 or 32
    assert (96, 128) in options
    assert (384, 512) in options
    assert options[-1] is None
    assert all(height % 32 == width % 32 == 0 for height, width in options[:-1])
    assert training.suggest(large, gpu=False).size == (96, 128)
    assert training.suggest(large, gpu=True).size == (384, 512)
    assert training.size_words(None, large) == "their own, about 640 × 480"
    assert training.size_words((96, 128), large) == "128 × 96"
    assert training.crop_words(None, large) == "trained on crops of 256 × 256"
    assert training.crop_words(None, FACTS) == ""
    mixed = facts(sizes=[(100, 100), (90, 110)])
    assert training.suggest(mixed, gpu=False).size in training.size_options(mixed)


def test_every_suggestion_is_among_what_the_form_offers():
    for height in (8, 33, 64, 100, 128, 129, 500, 1500, 6000):
        for width in (8, 64, 97, 128, 700, 5000):
            for images in (1, 7, 40, 3000):
                for gpu in (False, True):
                    one = facts(sizes=[(height, width)], images={"train": images, "val": 1, "test": 1})
                    usual = training.suggest(one, gpu=gpu)
                    assert usual.size in training.size_options(one)
                    assert 2 <= usual.batch_size <= 64
                    assert 1 <= usual.epochs <= 1000


def test_a_request_says_what_was_chosen(tmp_path):
    usual = training.suggest(FACTS, gpu=False)
    said = training.request_of(
        usual.model_copy(update={"size": (96, 128), "augment": False}), FACTS, data=tmp_path,
        reading=tmp_path / "r.json", loss="dice", name="mine",
    )  # fmt: skip
    assert said.command_line() == [
        "run", str(tmp_path), "--encoder=tu-resnet10t", "--loss=dice", "--seeds=0,1,2", "--batch-size=4",
        "--size=96x128", "--lr=0.002", "--no-augment", "--threads=1", f"--reading={tmp_path / 'r.json'}", "--name=mine",
    ]  # fmt: skip
    sets = usual.model_copy(update={"softmax_rule": "powerset"})
    of = {kind: facts(kind=kind) for kind in ("overlapping", "exclusive")}
    rules = {
        kind: training.request_of(sets, one, data=tmp_path, reading=None, loss="ce").training.softmax_rule
        for kind, one in of.items()
    }
    assert rules == {"overlapping": "powerset", "exclusive": "both"}
    for word in ("--runs", "", "a b", "x\ny"):
        with pytest.raises(ConfigError, match="is no encoder"):
            training.request_of(
                usual.model_copy(update={"encoder": word}), FACTS, data=tmp_path, reading=None, loss="ce"
            )
    assert training.run_names("a", ["ce"]) == ["a"]
    assert training.run_names("a", ["ce", "ce+dice"]) == ["a-ce", "a-ce-dice"]


def test_facts_are_read_from_the_data_and_problems_are_one_line(tmp_path):
    found = data_facts(make_dataset.overlapping(tmp_path / "a"))
    assert (found.kind, found.classes) == ("overlapping", ("cell", "nucleus"))
    assert found.images == {"train": 8, "val": 2, "test": 2}
    assert found.sizes == [(6, 8)] * 8
    assert found.shares == pytest.approx({"cell": 32 / 48, "nucleus": 4 / 48})
    ignoring = data_facts(make_dataset.exclusive(tmp_path / "b"))
    assert ignoring.shares == pytest.approx({"grass": 16 / 40, "tree": 16 / 40, "lake": 8 / 40})  # of 40 valid pixels
    assert "SPLIT-EMPTY: train has no image" in data_facts(make_dataset.exclusive(tmp_path / "c", images=4)).problem
    assert "is not a folder" in data_facts(tmp_path / "nowhere").problem
    (tmp_path / "b" / "images" / "im00.png").write_bytes(b"no picture")
    broken = data_facts(tmp_path / "b")
    assert "im00.png" in broken.problem
    assert "\n" not in broken.problem


# The page ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Opens the page on a data set; jobs are stopped at the end."""
    monkeypatch.setenv("PIPELINES_DATA_ROOTS", str(tmp_path))
    runs = tmp_path / "runs"
    runs.mkdir()

    def open_it(**query):
        at = open_page(monkeypatch, runs, "train")
        for name, value in query.items():
            at.query_params[name] = value
        return at.run()

    yield open_it
    for job in jobs.list_jobs(runs):
        job.cancel()


def labels(at):
    return [button.label for button in at.button]


def press(at, label):
    next(button for button in at.button if button.label == label).click()
    return at.run()


def field(at, kind, ending):
    return next(one for one in at.get(kind) if one.key.endswith(ending))


def test_the_form_starts_a_job_for_each_loss_with_what_was_set(page, tmp_path):
    data = make_dataset.exclusive(tmp_path / "tiny")
    at = page(data=str(data))
    assert not at.exception
    assert not at.error
    assert "Estimate the time" in labels(at)
    field(at, "number_input", "_epochs").set_value(900)
    field(at, "number_input", "_seeds").set_value(2)
    field(at, "multiselect", "_losses").set_value(["ce", "dice"])
    at.text_input(key="train_name").set_value("my run").run()
    assert any("2 runs, each with 2 networks on the same batches, 2 seeds" in one.value for one in at.caption)
    press(at, "Start without an estimate")
    assert not at.error, [one.value for one in at.error]
    found = jobs.list_jobs(tmp_path / "runs")
    assert [job.run_name for job in found] == ["my-run-dice", "my-run-ce"]
    assert "--epochs=900" in found[0].arguments
    assert "--seeds=0,1" in found[0].arguments
    assert found[0].arguments[1] == str(data)
    assert at.query_params["job"] in ("1", ["1"])
    assert "Cancel" in labels(at)
    shown = " ".join(one.value for one in at.header)
    assert "my\\-run\\-ce" in shown
    press(at, "Start without an estimate")
    assert "already" in at.error[0].value


def test_how_the_data_is_read_goes_on_to_the_training(page, tmp_path):
    data = make_dataset.exclusive(tmp_path / "tiny")
    kept = readings.keep(tmp_path / "runs", data, DataReading(format="native"))
    at = page(data=str(data), reading=kept.key)
    assert not at.error, [one.value for one in at.error]
    press(at, "Start without an estimate")
    assert f"--reading={kept.file}" in jobs.list_jobs(tmp_path / "runs")[0].arguments
    other = page(data=str(data), reading="0" * 16)
    assert "READING\\-UNKNOWN" in other.error[0].value
    assert "Start without an estimate" in labels(other)


def test_a_path_outside_the_roots_or_a_broken_set_is_one_line(page, tmp_path):
    at = page(data="/etc")
    assert "PATH" in at.error[0].value
    assert "Start without an estimate" not in labels(at)
    (tmp_path / "empty").mkdir()
    at = page(data=str(tmp_path / "empty"))
    assert "in no known format" in at.error[0].value
    assert "Start without an estimate" not in labels(at)


def test_a_link_to_a_job_that_is_gone_says_so(page):
    at = page(job="7")
    assert "There is no job 7" in at.error[0].value
    assert not at.run().error


def job_of(runs, number, arguments, *, state="failed", message="", curves=()):
    folder = runs / jobs.JOBS / str(number)
    (folder / "1").mkdir(parents=True)
    (folder / "job.json").write_text(json.dumps({"arguments": arguments, "created": 1e9, "folder": "/"}))
    (folder / "1" / "attempt.json").write_text(json.dumps({"arguments": arguments, "queued": 1}))
    (folder / "1" / "outcome.json").write_text(json.dumps({"state": state, "message": message}))
    (folder / "1" / "progress.json").write_text(json.dumps({"stage": "train seed 0", "curves": list(curves)}))
    (folder / "1" / "log.txt").write_text("secret-name.png was read\n")
    os.utime(folder / "1" / "attempt.json", (1, 1))
    return jobs.find_job(runs, str(number))


def told(at):
    kinds = ("warning", "error", "success", "info", "caption", "code", "html", "text", "markdown", "header")
    return " ".join(
        str(getattr(one, "value", "") or getattr(one, "body", "")) for kind in kinds for one in at.get(kind)
    )


def test_of_a_job_on_uploads_of_others_only_its_name_state_and_curves_are_shown(page, tmp_path):
    inside = tmp_path / "runs" / ".uploads" / ("u" * 22) / "data" / "secret-folder"
    inside.mkdir(parents=True)
    points = [{"head": "sigmoid", "seed": 0, "epoch": 1, "score": 0.5, "loss": 0.7}]
    said = ["run", str(inside), "--name", "theirs"]
    job_of(tmp_path / "runs", 1, said, message="mask secret-name.png is broken", curves=points)
    at = page()
    assert not at.exception
    assert "theirs" in told(at)
    assert "secret" not in told(at)
    assert len(at.get("plotly_chart")) == 2
    assert not {"Start over", "Go on", "Remove from the list"} & set(labels(at))
    open_one = job_of(tmp_path / "runs", 2, ["run", "/data", "--name", "ours"], message="mask a.png is broken")
    at = page(job=open_one.id)
    assert "mask a\\.png is broken" in told(at)
    assert "secret-name.png was read" in told(at), "its log"
    assert {"Start over", "Remove from the list"} <= set(labels(at))


def test_hostile_names_in_a_record_stay_text(page, tmp_path):
    hostile = "![x](https://example.org/x.png) <img src=x onerror=alert(1)>"
    job_of(tmp_path / "runs", 1, ["run", "x", "--name", hostile], message=hostile)
    at = page()
    assert not at.exception
    assert all("<img src=x" not in one.body for one in at.get("html"))
    assert all("![x](" not in one.value for kind in ("header", "warning", "markdown") for one in at.get(kind))


def test_a_job_that_is_done_leads_to_the_verdict_of_its_run(page, tmp_path):
    make_run(tmp_path / "runs", "older", kind="exclusive", classes=("a", "b"), images=2)
    make_run(tmp_path / "runs", "newer", kind="exclusive", classes=("a", "b"), images=2)
    job_of(tmp_path / "runs", 1, ["run", "x", "--name", "older"], state="done")
    at = page(run="newer")
    assert at.session_state["run"] == "newer"
    at = press(at, "Read the verdict")
    assert not at.exception
    assert at.session_state["run"] == "older"
    assert any('role="heading"' in one.body for one in at.get("html")), "the verdict's sentence"
    job_of(tmp_path / "runs", 2, ["run", "x", "--name", "gone"], state="done")
    at = page(job="2")
    assert "renamed or deleted since" in told(at)
    assert "Read the verdict" not in labels(at)


def test_checks_and_estimates_are_not_among_the_jobs(page, tmp_path):
    for number, command in enumerate(("check", "estimate", "export"), start=1):
        job_of(tmp_path / "runs", number, [command, "x"])
    at = page()
    assert "Start over" not in labels(at)
    assert not at.dataframe


def test_a_job_is_removed_after_a_question(page, tmp_path):
    runs = tmp_path / "runs"
    job_of(runs, 1, ["run", "x", "--name", "n"])
    (runs / ".staging" / "n.1").mkdir(parents=True)
    (runs / ".staging" / "n.1" / "weights").write_bytes(b"x" * 1000)
    at = press(page(), "Remove from the list")
    assert jobs.list_jobs(runs)
    press(at, "Remove")
    assert jobs.list_jobs(runs) == []
    assert not (runs / ".staging" / "n.1").exists()
    assert not at.error


# Words and pictures ------------------------------------------------------------------------------------------------


def test_words_say_the_stage_and_the_time_left():
    at_work = Status(state="running", stage="train seed 2", done=3, total=60, seconds_left=100.0)
    assert words.step_words(at_work) == "Training seed 2: 3 of 60, about 2 min left in this step"
    assert words.step_words(Status(state="running", stage="predict val 1", done=1, total=4)) == (
        "Predicting val, seed 1: 1 of 4"
    )
    assert words.step_words(Status(state="running")) == "Starting"
    assert words.left_words(Status(state="running")) == "time left: not known yet"
    assert words.left_words(Status(state="running", total_left=50.0)) == "about 50 s left in all"
    assert "what comes after" in words.left_words(
        Status(state="running", total_left=50.0, total_is_least=True)
    )  # fmt: skip
    assert words.share_of(Status(state="running", done=9, total=6)) == 1.0
    assert words.share_of(Status(state="running")) == 0.0
    ended = Status(state="done", began=0.0, ended=120.0, attempt=2)
    assert words.facts_of(ended, now=999.0) == ["began 1970-01-01 00:00 UTC, took 2 min", "attempt 2"]
    silent = Status(state="running", began=0.0, heard=90.0)
    assert words.facts_of(silent, now=60.0) == [
        "began 1970-01-01 00:00 UTC, 1 min ago",
        "not heard from for 90 s",
    ]


def test_examples_on_disk_become_pictures_of_truth_and_heads(tmp_path):
    import torch

    from pipelines.datasets.opening import open_dataset

    dataset = open_dataset(make_dataset.overlapping(tmp_path / "data"))
    collected = Examples(tmp_path, dataset, TrainingConfig(epochs=3), seed=1, epoch=3)
    items = [dataset.read(name) for name in dataset.images("val")]
    nothing = torch.zeros((2, 2, 6, 8), dtype=torch.bool)
    collected.add(items, "sigmoid", nothing)
    collected.add(items, "softmax", torch.from_numpy(np.stack([item.truth for item in items])))
    collected.write()
    found = examples.available(sorted(tmp_path.glob("*.parquet")))
    assert found == {1: {3: tmp_path / "seed=1-epoch=00003.parquet"}}
    shown = examples.read_examples(found[1][3])
    assert shown.classes == ("cell", "nucleus")
    assert [row.image for row in shown.rows] == list(dataset.images("val"))
    first = {one.title: picture(one.picture) for one in shown.rows[0].pictures}
    assert list(first) == ["Image", "Truth", "Sigmoid", "Softmax"]
    assert {one.shape for one in first.values()} == {(6, 8, 3)}
    assert (first["Softmax"] == first["Truth"]).all()
    assert (first["Sigmoid"][:4] != first["Truth"][:4]).any(axis=-1).all(), "cell covers rows 0 to 3"
    assert (first["Sigmoid"][4:] == first["Truth"][4:]).all()


def picture(content):
    import io

    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("RGB"))


def test_damaged_examples_are_left_out(tmp_path):
    path = tmp_path / "seed=0-epoch=00001.parquet"
    assert examples.read_examples(path) is None
    path.write_bytes(b"PAR1 nothing PAR1")
    assert examples.read_examples(path) is None
    row = {"image": "a", "shows": "truth", "height": 4, "width": 4, "labels": b"\0\0", "jpeg": b"no picture"}
    about = {"classes": "a", "colors": "red;}</style>", "background": ""}
    for colors in ("red;}</style>", "#ff0000"):
        table = pa.Table.from_pylist([row], schema=EXAMPLES_SCHEMA)
        files.write_table(path, table.replace_schema_metadata(about | {"colors": colors}))
        assert examples.read_examples(path) is None
    assert examples.available([Path("x/seed=0-epoch=00001.parquet"), Path("x/other.parquet")]) == {
        0: {1: Path("x/seed=0-epoch=00001.parquet")}
    }
