"""Every page in Chromium: wide and light with one control of each kind used, then narrow and dark by the menu.

That every control is heeded at each of its ends is tested without a browser, in tests/test_pages.py.
"""

import csv
import re
from itertools import pairwise
from urllib.parse import parse_qs, urlsplit

import pytest
from browser.driver import PAGES

from dashboard import menu

pytestmark = pytest.mark.browser

RUN = "cells"
OWN_TESTS = ("runs", "data", "train", "import_outputs")  # their buttons delete and start things
MAIN = "[data-testid=stMain]"
SIDEWAYS = f"(() => {{ const m = document.querySelector('{MAIN}'); return m.scrollWidth - m.clientWidth }})()"


class Hand:
    """Uses what is on a page, one thing after another, and checks after each that nothing broke."""

    def __init__(self, view, name):
        self.view, self.page, self.name = view, view.page, name

    def check(self, action):
        """No error on the page once it stands still."""
        self.view.settle()
        assert self.view.shown_errors() == [], (self.name, action)

    def first(self, selector):
        """The first visible one, or None."""
        shown = self.page.locator(f"{MAIN} {selector} >> visible=true").first
        return shown if shown.count() else None

    def use_controls(self):
        """The last segment of a row of buttons, the last entry of a list, and a slider moved by its keys."""
        if row := self.first("[data-testid=stButtonGroup]"):
            row.locator("button, label").last.click()
            self.check("row of buttons")
        box = self.first("[data-testid=stSelectbox]")
        if box and box.locator("input").is_enabled():
            self._choose_last(box)
            self.check("list")
        slider = self.first("[data-testid=stSlider]")
        if slider and slider.locator("input[type=range]").first.is_enabled():
            slider.locator("input[type=range]").first.press("ArrowRight")
            self.check("slider")

    def _choose_last(self, box):
        box.scroll_into_view_if_needed()  # a list that is scrolled closes
        box.locator("input").focus()
        options = self.page.get_by_role("option")
        for _ in range(5):  # a page that is drawn anew under the key may take the focus away
            box.locator("input").press("ArrowDown")
            self.page.wait_for_timeout(200)
            if options.count():
                break
        options.last.click()

    def save_table(self):
        """The first panel opened, and its table saved."""
        panel = self.first("[data-testid=stExpander] summary")
        if panel is None:
            return
        panel.click()
        self.view.settle()
        self.page.wait_for_timeout(600)  # the panel slides open; a click before it stands still may miss
        button = self.first("[data-testid=stDownloadButton] button")
        if button is None:
            return
        with self.page.expect_download() as started:
            button.click()
        if started.value.suggested_filename.endswith(".csv"):
            check_table(started.value.suggested_filename, started.value.path())

    def save_picture(self):
        """The first PNG button saves a picture."""
        button = self.page.locator(MAIN).get_by_role("button", name="PNG").first
        if button.count():
            with self.page.expect_download() as started:
                button.click()
            assert started.value.path().read_bytes()[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10]), self.name

    def links(self):
        """Where the links lead, as (path, query)."""
        every = self.page.locator(f"{MAIN} [data-testid=stPageLink] a").evaluate_all("all => all.map(a => a.href)")
        return {(urlsplit(url).path.strip("/"), urlsplit(url).query) for url in every}


def check_table(name, path):
    """Named after the run, or after all of them, with rows of the heading's length."""
    with path.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert name.startswith((f"{RUN}-", "runs-")), name  # on the page Runs one table is of all runs
    assert len(rows) > 1, name
    assert all(len(row) == len(rows[0]) for row in rows), name


def check_texts(view, page):
    """A text for every figure and picture; one title, and no level of headings left out."""
    charts = view.page.locator("[data-testid=stPlotlyChart]")
    labelled = view.page.locator("[data-testid=stPlotlyChart][aria-label], [data-testid=stPlotlyChart] [aria-label]")
    assert charts.count() <= labelled.count(), page
    assert all(view.page.locator("[data-testid=stImage] img").evaluate_all("all => all.map(i => i.alt)")), page
    levels = view.page.locator("h1, h2, h3, h4, [role=heading]").evaluate_all(
        "all => all.filter((e) => e.checkVisibility()).map((e) => Number(e.ariaLevel || e.tagName[1]))"
    )
    assert levels.count(1) == 1, (page, levels)
    assert levels[0] == 1, (page, levels)
    assert all(after <= before + 1 for before, after in pairwise(levels)), (page, levels)


@pytest.mark.parametrize("page", PAGES)
def test_controls_links_and_downloads_of_a_page_work(site, window, page):
    view = window(height=1400).open(f"{site}/{page}?run={RUN}")
    if menu.PAGES[page or "verdict"].figures:  # a page whose figure never comes runs into its time limit here
        view.page.wait_for_selector(".main-svg, .forest-plot[data-drawn]", state="attached")
        view.settle()
    assert view.shown_errors() == [], page
    assert f"run={RUN}" in view.page.url, page
    check_texts(view, page)
    hand = Hand(view, page)
    if page not in OWN_TESTS:
        hand.use_controls()
    hand.save_table()
    hand.save_picture()
    links = hand.links()
    assert {path for path, _ in links} <= set(PAGES), links
    assert all(parse_qs(query)["run"] == [RUN] for path, query in links if path == "guide"), links


def test_a_narrow_dark_window_goes_through_the_menu_keeps_the_run_and_needs_no_sideways_scrolling(site, window):
    view = window(width=400, height=800, scheme="dark").open(f"{site}/?run=vessels")
    for page in PAGES:
        if page:
            link = view.page.locator(f'[data-testid=stSidebarNavLink][href$="/{page}"]')
            link.dispatch_event("click")  # the menu is folded away
            view.page.wait_for_url(re.compile(rf"/{page}\?.*run=vessels"))
            view.settle()
        assert view.shown_errors() == [], page
        assert view.page.evaluate(SIDEWAYS) <= 0, page


def test_keyboard_alone_reaches_the_menu_the_controls_and_the_downloads(site, window):
    view = window().open(f"{site}/calibration?run=cells")
    reached = set()
    for _ in range(80):
        view.page.keyboard.press("Tab")
        reached.add(
            view.page.evaluate("(document.activeElement.closest('[data-testid]') || {dataset: {}}).dataset.testid")
        )
    assert {"stSidebarNavLink", "stSlider"} <= {re.sub("ThumbValue$", "", str(one)) for one in reached}, reached
    assert any(one and one.startswith(("stExpander", "stPageLink", "stBidiComponent")) for one in reached), reached
