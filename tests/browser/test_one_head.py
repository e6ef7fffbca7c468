"""A run of one head, imported, in Chromium: every page, with nothing empty and nothing in red."""

import re

import pytest
from browser import driver
from browser.driver import PAGES
from playwright.sync_api import expect

pytestmark = pytest.mark.browser

RUN = "only-sigmoid"
SAY_NOTHING = ("labels", "runs", "guide")  # pages on which no comparison is missing
# Figures that hold no mark, line, bar, cell or shape.
_EMPTY_FIGURES = """() => [...document.querySelectorAll("[data-testid=stPlotlyChart]")]
  .filter((chart) => !chart.querySelector(".trace path, .hm image, .shapelayer path"))
  .map((chart) => chart.textContent.slice(0, 80))"""


@pytest.fixture(scope="module")
def address(brought_runs, tmp_path_factory):
    with driver.server(brought_runs, cwd=tmp_path_factory.mktemp("elsewhere")) as found:
        yield found


def test_every_page_of_one_head_is_whole(address, window):
    view = window().open(f"{address}/?run={RUN}")
    expect(view.page.get_by_role("heading", name="What is missing")).to_have_count(1)
    for page in PAGES:
        if page in ("", "data", "train", "import_outputs"):  # the same whatever the run
            continue
        view.page.locator(f'[data-testid=stSidebarNavLink][href$="/{page}"]').click()
        view.page.wait_for_url(re.compile(rf"/{page}\?.*run={RUN}"))
        view.settle()
        assert view.shown_errors() == [], page
        assert view.page.evaluate(_EMPTY_FIGURES) == [], page
        expect(view.page.get_by_test_id("stMain")).not_to_contain_text("Traceback")
        expect(view.page.get_by_text("Missing: ")).to_have_count(0 if page in SAY_NOTHING else 1)


def test_viewer_shows_truth_and_the_only_head(address, window):
    view = window().open(f"{address}/images?run=only-sigmoid")
    view.page.wait_for_selector(".viewer[data-drawn]")
    figures = view.page.locator(".viewer figure:visible")
    for preset in ("Labels", "Errors", "Confidence", "Two labels or none"):
        view.page.get_by_role("radio", name=preset, exact=True).check()
        expect(figures).to_have_count(2)
        expect(figures.nth(1)).to_contain_text("Sigmoid")
    expect(figures.nth(0)).not_to_contain_text("Sigmoid")
    view.page.get_by_role("radio", name="One", exact=True).check()
    expect(figures).to_have_count(1)
    figures.first.locator("canvas").first.hover()
    expect(view.page.locator(".viewer .pixel .where")).to_contain_text("x ")
