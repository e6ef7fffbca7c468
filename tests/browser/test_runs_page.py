"""The page "Runs" in Chromium: runs are renamed, deleted, taken back and removed, on a copy that may be changed."""

import re
import shutil
import time

import pytest
from browser import driver

from pipelines.store.manage import list_trash
from pipelines.store.runs import list_runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A folder for runs and the address of the app on it."""
    folder = tmp_path_factory.mktemp("served") / "runs"
    folder.mkdir()
    with driver.server(folder, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield folder, address


@pytest.fixture
def runs(real_runs, served):
    """A copy of two real runs, fresh for each test."""
    folder = served[0]
    shutil.rmtree(folder)
    for name in ("landcover", "vessels"):
        shutil.copytree(real_runs / name, folder / name)
    time.sleep(2.1)  # the app looks runs up every two seconds
    return folder


@pytest.fixture
def site(served, runs):
    """Address of the page on the run vessels."""
    return f"{served[1]}/runs?run=vessels"


def names(runs):
    return sorted(run.name for run in list_runs(runs))


def picked(view):
    return view.page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").locator("input").input_value()


def press(view, name):
    view.page.get_by_role("button", name=name).click()


def test_run_is_renamed_deleted_taken_back_and_removed_by_the_keyboard(runs, site, window):
    view = window().open(site)
    field = view.page.get_by_role("textbox", name="Name of this run")
    field.fill("arteries")
    field.press("Enter")
    view.page.wait_for_url(re.compile("run=arteries"))
    view.page.get_by_text("vessels is called arteries now").wait_for()
    view.settle()
    assert names(runs) == ["arteries", "landcover"]
    assert picked(view) == "arteries"

    view.page.get_by_role("button", name="Delete this run").focus()
    view.page.keyboard.press("Enter")
    view.page.get_by_role("dialog").get_by_text("Move to trash").wait_for()
    view.page.get_by_role("button", name="Move to trash").focus()
    view.page.keyboard.press("Enter")
    view.page.wait_for_url(re.compile("run=landcover"))
    view.page.get_by_text("arteries is in the trash; this is landcover now").wait_for()
    view.page.get_by_role("dialog").wait_for(state="detached")
    assert names(runs) == ["landcover"]
    assert picked(view) == "landcover"

    view.settle()
    view.page.get_by_role("button", name="Restore").focus()
    view.page.keyboard.press("Enter")
    view.page.get_by_text("arteries is back").wait_for()
    assert names(runs) == ["arteries", "landcover"]
    view.page.get_by_text("The trash is empty").wait_for()
    assert view.shown_errors() == []


def test_trash_is_emptied_only_when_it_is_confirmed(runs, site, window):
    view = window().open(site)
    press(view, "Delete this run")
    press(view, "Keep it")
    view.page.get_by_role("dialog").wait_for(state="detached")
    view.settle()
    assert names(runs) == ["landcover", "vessels"]
    press(view, "Delete this run")
    press(view, "Move to trash")
    view.page.get_by_text("vessels is in the trash").wait_for()
    view.settle()
    press(view, "Empty the trash")
    asked = re.compile(r"removed for good, and \d+ MB are free again")
    view.page.get_by_role("dialog").get_by_text(asked).wait_for()
    press(view, "Keep")
    view.page.get_by_role("dialog").wait_for(state="detached")
    view.settle()
    assert [entry.name for entry in list_trash(runs)] == ["vessels"]
    press(view, "Empty the trash")
    press(view, "Remove for good")
    view.page.get_by_text(re.compile(r"The trash is empty; \d+ MB are free again")).wait_for()
    view.settle()
    assert list_trash(runs) == []
    assert names(runs) == ["landcover"]
    assert view.shown_errors() == []


def test_deleting_the_last_run_leads_to_the_page_that_trains(runs, site, window):
    shutil.rmtree(runs / "landcover")
    view = window().open(site)
    press(view, "Delete this run")
    view.page.get_by_role("dialog").get_by_text("the last run").wait_for()
    press(view, "Move to trash")
    view.page.get_by_text("No run yet").wait_for()
    assert names(runs) == []
    assert view.shown_errors() == []


def test_name_that_cannot_be_is_told_at_the_field(runs, site, window):
    view = window().open(site)
    field = view.page.get_by_role("textbox", name="Name of this run")
    field.fill("../outside")
    field.press("Enter")
    view.page.get_by_text("1 to 64 letters").first.wait_for()
    assert names(runs) == ["landcover", "vessels"]


def test_rows_that_are_ticked_are_compared_and_the_link_keeps_them(runs, site, window):
    view = window().open(site)
    chosen = view.page.get_by_test_id("stMultiSelect").first
    assert "landcover" not in chosen.inner_text()  # other data: not chosen to begin with
    order = [run.name for run in list_runs(runs)]  # newest first, as in the table
    box = view.page.get_by_test_id("stDataFrame").first.bounding_box()
    # The ticks stand in the first column; the heading and each row are 35 pixels high.
    view.page.mouse.click(box["x"] + 18, box["y"] + 35 * (1 + order.index("landcover")) + 18)
    view.page.get_by_text("Different data").first.wait_for()
    view.page.wait_for_url(re.compile("compare=landcover"))
    view.settle()
    assert {"landcover", "vessels"} <= set(chosen.inner_text().split())
    link = view.page.url
    copied = window().open(link)
    assert copied.page.get_by_test_id("stMultiSelect").first.inner_text() == chosen.inner_text()
    assert copied.shown_errors() == []


@pytest.mark.parametrize("scheme", ["dark"])
def test_narrow_window_needs_no_sideways_scrolling(runs, site, window, scheme):
    view = window(width=400, height=800, scheme=scheme).open(f"{site}&compare=vessels&compare=landcover")
    overflow = view.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth })()"
    )
    assert overflow <= 0
    assert view.page.get_by_text("Different data").first.is_visible()
    assert view.shown_errors() == []
