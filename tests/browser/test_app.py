"""The app in Chromium, as a reader sees it."""

import re

import pytest

pytestmark = pytest.mark.browser


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


def test_dark_page_uses_the_dark_colours(site, window):
    view = window(scheme="dark").open(f"{site}/calibration?run=cells")
    view.page.wait_for_function(
        "[...document.querySelectorAll('.main-svg path')].some(p => getComputedStyle(p).stroke === 'rgb(86, 180, 233)')"
    )
    background = view.page.evaluate("getComputedStyle(document.querySelector('.stApp')).backgroundColor")
    assert background == "rgb(18, 22, 28)"


def test_without_a_run_the_sample_pair_can_be_trained_and_cancelled(empty_site, window):
    view = window().open(f"{empty_site}/calibration?run=any")
    view.page.get_by_role("heading", name="No run yet").wait_for()  # another page's address leads there
    view.page.get_by_role("button", name="Train the sample pair").click()
    view.page.get_by_role("button", name="Cancel").click()
    view.page.get_by_text("Training was cancelled").wait_for(timeout=60_000)
    assert view.page.get_by_role("button", name="Start over").count()
    assert view.shown_errors() == []
