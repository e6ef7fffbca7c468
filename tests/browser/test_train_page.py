"""The page Train in Chromium: a training is started from the form, left alone, found again, and read to its verdict."""

import re

import make_dataset
import pytest
from browser import driver

from pipelines import jobs

pytestmark = pytest.mark.browser
TRAINS = re.compile("Training seed 0: [1-9]")
SLOW = 240_000  # milliseconds, for what trains on a busy machine


@pytest.fixture
def place(tmp_path):
    """A folder with a tiny data set and no run, and the address of the app on it."""
    make_dataset.overlapping(tmp_path / "tiny cells")
    (tmp_path / "runs").mkdir()
    with driver.server(tmp_path / "runs", cwd=tmp_path) as address:
        yield tmp_path, address


def fill(view, label, value):
    field = view.page.get_by_test_id("stNumberInput").filter(has_text=label).locator("input")
    field.fill(str(value))
    field.press("Enter")
    view.settle()


def prepare(view, address, data, *, epochs):
    """The form, filled in for a training that is as small as it can be."""
    view.open(f"{address}/train?data={data}")
    view.page.get_by_role("button", name="Start without an estimate").wait_for()
    view.settle()
    view.page.get_by_test_id("stSelectbox").filter(has_text="Encoder").locator("input").first.click()
    view.page.get_by_role("option", name="tu-mobilenetv3_small_050").click()
    view.settle()
    fill(view, "Epochs", epochs)
    fill(view, "Seeds", 1)


def test_a_training_is_estimated_started_left_and_found_again_with_its_verdict(window, place):
    folder, address = place
    view = window()
    prepare(view, address, folder / "tiny cells", epochs=2)
    assert view.page.get_by_text(re.compile(r"3 networks on the same batches, 1 seed, \d+ steps each")).count() == 1
    assert view.page.get_by_text(re.compile("Up to .* on disk, .* are free")).count() == 1
    view.page.get_by_role("button", name="Estimate the time").click()
    view.page.get_by_text("on this machine's CPU").wait_for(timeout=SLOW)
    assert view.page.get_by_text(re.compile("million weights a network")).count() == 1
    view.page.get_by_role("button", name="Start training").click()
    view.page.wait_for_url(re.compile("job=2"))  # the first was the estimate
    view.page.get_by_test_id("stProgress").wait_for()
    assert view.shown_errors() == []
    view.close()

    job = jobs.find_job(folder / "runs", "2")
    assert job.order.stages, "the estimate goes with the job, for the time left"
    again = window().open(f"{address}/train")
    assert again.page.get_by_role("heading", name="Small-1").count() == 1
    again.page.get_by_role("button", name="Read the verdict").wait_for(timeout=SLOW)
    again.settle()
    assert again.page.locator("[data-testid=stPlotlyChart]").count() == 2
    pictures = again.page.get_by_role("img", name=re.compile("^(Image|Truth|Sigmoid|Softmax|Label sets) of im"))
    assert pictures.count() == 2 * 5  # two validation images; itself, truth and three heads
    assert again.shown_errors() == []
    again.page.get_by_role("button", name="Read the verdict").click()
    again.page.get_by_role("heading", name="Why").wait_for()
    again.page.wait_for_url(re.compile("run=Small-1"))
    again.settle()
    assert again.shown_errors() == []


def test_a_training_is_cancelled_goes_on_after_the_server_was_started_anew_and_is_removed(window, tmp_path):
    make_dataset.exclusive(tmp_path / "tiny")
    runs = tmp_path / "runs"
    runs.mkdir()
    with driver.server(runs, cwd=tmp_path) as address:
        view = window()
        prepare(view, address, tmp_path / "tiny", epochs=500)
        view.page.get_by_role("button", name="Start without an estimate").click()
        view.page.get_by_test_id("stProgress").get_by_text(TRAINS).wait_for(timeout=SLOW)
        view.page.locator("[data-testid=stPlotlyChart]").first.wait_for()
        view.close()
    job = jobs.find_job(runs, "1")
    assert job.alive(), "the end of the server does not reach it"
    with driver.server(runs, cwd=tmp_path) as address:
        view = window().open(f"{address}/train")
        view.page.get_by_test_id("stProgress").get_by_text(TRAINS).wait_for(timeout=SLOW)
        view.page.get_by_role("button", name="Cancel").click()
        view.page.get_by_text("Training was cancelled").wait_for(timeout=60_000)
        view.page.get_by_role("button", name="Go on").click()
        view.page.get_by_role("button", name="Cancel").click()
        view.page.get_by_text("Training was cancelled").wait_for(timeout=60_000)
        view.page.get_by_role("button", name="Remove from the list").click()
        view.page.get_by_role("dialog").get_by_role("button", name="Remove", exact=True).click()
        view.page.get_by_role("dialog").wait_for(state="hidden")
        view.settle()
        assert view.page.get_by_text("Training was cancelled").count() == 0
        assert view.shown_errors() == []
    assert jobs.list_jobs(runs) == []
    assert not [path for path in (runs / ".staging").iterdir() if path.is_dir()], "what it had done is gone too"
