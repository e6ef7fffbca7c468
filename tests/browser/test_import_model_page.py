"""Import of models in Chromium: two ONNX files go up, and the verdict comes back."""

import shutil

import pytest
from browser import driver
from browser.test_import_page import press, send, send_again, texts, wait_for_end
from model_files import Net, export
from synthetic import write_dataset
from torch import nn

from dashboard.rounding import typeset
from pipelines import jobs
from pipelines.store.runs import list_runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def brought(tmp_path_factory):
    """Data sets as zips, and models as somebody would send them."""
    folder = tmp_path_factory.mktemp("brought")
    write_dataset(folder / "made" / "overlapping", kind="overlapping", classes=("cell", "nucleus"), images=4)
    shutil.make_archive(str(folder / "overlapping-data"), "zip", folder / "made", "overlapping")
    export(Net(2), folder / "sigmoid.onnx", free=True)
    export(Net(3, nn.Softmax(1), seed=1), folder / "softmax.onnx", free=True)
    export(Net(2), folder / "outside.onnx", external_data=True)
    return folder


@pytest.fixture(scope="module")
def model_site(tmp_path_factory):
    """Address of the app on an empty folder of runs, and that folder."""
    runs = tmp_path_factory.mktemp("runs")
    with driver.server(runs, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address, runs


def choose(view, key, label):
    view.page.locator(f".st-key-{key} input").click()
    view.page.get_by_role("option").filter(has_text=label).first.click()
    view.settle()


def ends(view, head, label):
    view.page.locator(f".st-key-model_values_{head} button", has_text=label).click()
    view.settle()


def begin(view, site, data):
    view.open(f"{site}/import_outputs")
    view.page.locator(".st-key-bring button", has_text="A model").click()
    view.settle()
    send(view, "data", data)
    return view


def run_it(view):
    press(view, "model_try")
    view.page.locator(".st-key-model_start button").wait_for(timeout=120_000)
    assert "Nothing speaks against what you say" in texts(view)
    press(view, "model_start")
    wait_for_end(view)


def read_verdict(view, runs):
    """Open the verdict of the newest run, and give that run."""
    run = list_runs(runs)[0]
    press(view, "import_verdict")
    view.page.get_by_role("heading", level=1, name=typeset(run.verdict["headline"]), exact=True).wait_for()
    assert f"run={run.name}" in view.page.url
    return run


def test_two_onnx_files_of_overlapping_labels_to_the_verdict(window, model_site, brought):
    site, runs = model_site
    view = begin(window(height=2400), site, brought / "overlapping-data.zip")
    assert "opened on the command line only" in texts(view)
    for head in ("sigmoid", "softmax"):
        send_again(view, "model", brought / f"{head}.onnx")  # a file called after a head is taken for it
    assert "recognised: ONNX" in texts(view)
    assert "3 channels" in texts(view)
    assert "say whether it ends with its activation" in texts(view)
    for head in ("sigmoid", "softmax"):
        ends(view, head, "Logits")
        choose(view, f"model_normalisation_{head}", "0 to 1, nothing else")
        press(view, f"import_usual_{head}")
    press(view, "model_try")
    assert "PROBABILITIES-AS-LOGITS" in texts(view) or "declared softmax logits" in texts(view)
    assert view.page.locator(".st-key-model_start").count() == 0
    ends(view, "softmax", "After its softmax")
    assert "Changed since" in texts(view)
    run_it(view)
    assert "job=" in view.page.url
    view.page.reload()
    wait_for_end(view)
    run = read_verdict(view, runs)
    assert run.heads == ("sigmoid", "softmax")
    told = run.config["imported"]
    assert told["origin"] == "models"
    assert told["heads"]["softmax"]["values"] == "probabilities"
    assert told["heads"]["sigmoid"]["notes"]["mean"] == "0 (given)"
    (job,) = jobs.list_jobs(runs)
    assert job.state() == "done"
    assert "--trust" not in job.arguments


def test_what_is_refused_is_one_line(window, model_site, brought):
    site, _ = model_site
    view = begin(window(height=2400), site, brought / "overlapping-data.zip")
    send(view, "model", brought / "outside.onnx")
    choose(view, "model_place_sigmoid", "outside.onnx")
    (said,) = view.shown_errors()
    assert "lies in another file, which is never read" in said
    assert view.page.locator(".st-key-model_try").count() == 0
