"""The app in Chromium, as a reader sees it."""

import re

import pytest
from browser import driver
from browser.driver import PAGES

from pipelines import jobs

pytestmark = pytest.mark.browser


def test_the_menu_leads_through_all_pages_and_keeps_the_run(site, window):
    view = window().open(f"{site}/?run=vessels")
    for title in ("Labels", "Calibration", "Confusion", "Overlap", "Images", "Train", "Verdict"):
        view.page.get_by_test_id("stSidebarNavLink").filter(has_text=title).click()
        view.settle()
        assert view.shown_errors() == [], title
        assert "run=vessels" in view.page.url, title


def test_another_run_can_be_picked(site, window):
    view = window().open(f"{site}/calibration?run=cells")
    view.page.get_by_test_id("stSidebar").get_by_test_id("stSelectbox").locator("input").click()
    view.page.get_by_role("option", name="landcover").click()
    view.page.wait_for_url(re.compile("run=landcover"))
    view.page.get_by_text("top label").first.wait_for()
    view.settle()
    assert view.shown_errors() == []


def test_controls_go_into_the_link_and_the_link_brings_them_back(site, window):
    view = window().open(f"{site}/calibration?run=cells")
    view.page.get_by_role("radio", name="Validation").or_(view.page.get_by_role("button", name="Validation")).click()
    view.settle()
    slider = view.page.get_by_test_id("stSlider").locator("input[type=range]")
    slider.focus()
    slider.press("ArrowRight")
    view.settle()
    view.page.wait_for_url(re.compile("split=Validation"))
    view.page.wait_for_url(re.compile("bins=20"))
    copied = window().open(view.page.url)
    assert "20" in copied.page.get_by_test_id("stSlider").inner_text().split("\n")
    assert "run=cells" in copied.page.url
    assert copied.shown_errors() == []


def test_threshold_slider_redraws_the_overlap_page(site, window):
    view = window().open(f"{site}/overlap?run=cells&threshold=0.1")
    lenient = view.page.locator("[data-testid=stPlotlyChart]").last.inner_text()
    slider = view.page.get_by_test_id("stSlider").locator("input[type=range]")
    slider.focus()
    slider.press("End")
    view.settle()
    view.page.wait_for_url(re.compile(r"threshold=0\.98"))
    assert view.page.locator("[data-testid=stPlotlyChart]").last.inner_text() != lenient
    assert view.shown_errors() == []


def test_next_image_changes_the_link(site, window):
    view = window().open(f"{site}/images?run=cells")
    view.page.get_by_role("button", name="Next", exact=True).click()
    view.settle()
    view.page.wait_for_url(re.compile("image="))
    view.page.wait_for_selector(".viewer[data-drawn]")


def test_dark_page_uses_the_dark_colours(site, window):
    view = window(scheme="dark").open(f"{site}/calibration?run=cells")
    view.page.wait_for_function(
        "[...document.querySelectorAll('.main-svg path')].some(p => getComputedStyle(p).stroke === 'rgb(86, 180, 233)')"
    )
    background = view.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert background == "rgb(18, 22, 28)"


@pytest.mark.parametrize("page", PAGES)
def test_narrow_window_needs_no_sideways_scrolling(site, window, page):
    view = window(width=400, height=800).open(f"{site}/{page}?run=landcover")
    assert view.shown_errors() == []
    overflow = view.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth })()"
    )
    assert overflow <= 0


def test_without_a_run_the_sample_pair_can_be_trained_cancelled_and_gone_on_with(empty_site, window):
    view = window().open(f"{empty_site}/calibration?run=any")
    assert view.page.get_by_role("heading", name="No run yet").count()
    view.page.get_by_role("button", name="Train the sample pair").click()
    view.page.get_by_test_id("stProgress").wait_for()
    view.page.get_by_test_id("stProgress").get_by_text(re.compile("Training seed 0: [1-9]")).wait_for(timeout=180_000)
    view.page.get_by_role("button", name="Cancel").click()
    view.page.get_by_text("Training was cancelled").wait_for(timeout=60_000)
    view.page.get_by_role("button", name="Go on").click()
    view.page.get_by_test_id("stProgress").get_by_text(re.compile("Training seed 0: [1-9]")).wait_for(timeout=180_000)
    view.page.get_by_role("button", name="Cancel").click()
    view.page.get_by_text("Training was cancelled").wait_for(timeout=60_000)
    assert view.shown_errors() == []


def test_page_follows_a_job_and_leads_to_its_verdict(window, tmp_path):
    cells = ["run", str(driver.REPO / "sample_data" / "cells"), "--name", jobs.SAMPLE_RUN]
    small = ["--epochs", "1", "--size", "32x32", "--encoder", "tu-mobilenetv3_small_050", "--replicates", "200"]
    job = jobs.start(cells + small, tmp_path / "runs")
    with driver.server(tmp_path / "runs", cwd=tmp_path) as site:
        view = window().open(site)
        assert job.alive()
        view.page.get_by_test_id("stProgress").wait_for()
        view.page.get_by_role("button", name="Read the verdict").click(timeout=180_000)
        view.page.get_by_role("heading", name="Why").wait_for(timeout=180_000)
        view.page.wait_for_url(re.compile(f"run={jobs.SAMPLE_RUN}"))
        view.settle()
        assert view.shown_errors() == []
