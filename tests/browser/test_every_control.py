"""Every control, link and download of every page used once in Chromium, on runs of each kind and at the edge."""

import csv
import json
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from browser import driver
from browser.driver import PAGES
from synthetic import make_run

pytestmark = pytest.mark.browser

KINDS = ("landcover", "cells", "vessels")
EDGES = ("one-image", "one-class")
OWN_TESTS = (
    "runs",
    "data",
    "train",
    "import_outputs",
)  # their buttons delete and start things; their own tests press them
WITHOUT_FIGURES = ("images", "runs", "data", "train", "import_outputs", "guide")
MAIN = "[data-testid=stMain]"


@pytest.fixture(scope="module")
def all_runs(real_runs, tmp_path_factory):
    """Address of the app with runs of every kind, with one image, and with one class."""
    folder = tmp_path_factory.mktemp("runs")
    for name in KINDS:
        (folder / name).symlink_to(real_runs / name)
    make_run(folder, "one-image", kind="exclusive", classes=("a", "b", "c"), images=1)
    make_run(folder, "one-class", kind="overlapping", classes=("thing",))
    with driver.server(folder, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield address


class Hand:
    """Uses what is on a page, one thing after another, and checks after each that nothing broke."""

    def __init__(self, view, page):
        self.view, self.page, self.name = view, view.page, page

    def check(self, what):
        """No error on the page once it stands still."""
        self.view.settle()
        assert self.view.shown_errors() == [], (self.name, what)

    def all(self, selector):
        """Indices of the visible ones."""
        found = self.page.locator(f"{MAIN} {selector}")
        return [k for k in range(found.count()) if found.nth(k).is_visible()]

    def nth(self, selector, index):
        return self.page.locator(f"{MAIN} {selector}").nth(index)

    def choices(self):
        """The last segment of every row of buttons."""
        rows = "[data-testid=stButtonGroup]"
        for index in range(len(self.all(rows))):
            there = self.all(rows)  # a choice may take other rows away
            if index >= len(there):
                break
            self.nth(rows, there[index]).locator("button, label").last.click()
            self.check(f"row of buttons {index}")

    def lists(self):
        """The last entry of every list."""
        lists = "[data-testid=stSelectbox]"
        for index in range(len(self.all(lists))):
            there = self.all(lists)
            if index >= len(there) or self.nth(lists, there[index]).locator("input").is_disabled():
                break
            box = self.nth(lists, there[index])
            box.scroll_into_view_if_needed()  # a list that is scrolled closes
            box.locator("input").focus()
            options = self.page.get_by_role("option")
            for _ in range(5):  # a page that is drawn anew under the key may take the focus away
                box.locator("input").press("ArrowDown")
                self.page.wait_for_timeout(200)
                if options.count():
                    break
            options.last.click()
            self.check(f"list {index}")

    def sliders(self):
        """Every slider one step by the keyboard: what a mouse can do, keys can too."""
        ranges = "[data-testid=stSlider] input[type=range]"
        for index in self.all("[data-testid=stSlider]"):
            one = self.nth(ranges, index)
            if one.count() == 0 or one.is_disabled():
                continue
            one.focus()
            one.press("ArrowRight")
            self.check(f"slider {index}")

    def downloads(self, run):
        """Every panel opened and the first table of each saved."""
        for index in self.all("[data-testid=stExpander] summary"):
            self.nth("[data-testid=stExpander] summary", index).click()
        self.view.settle()
        self.page.wait_for_timeout(600)  # the panels slide open; a click before they stand still may miss
        for index in self.all("[data-testid=stDownloadButton] button"):
            with self.page.expect_download() as started:
                self.nth("[data-testid=stDownloadButton] button", index).click()
            name, path = started.value.suggested_filename, started.value.path()
            assert path.stat().st_size > 0, (self.name, name)
            if name.endswith(".csv"):
                # On the page Runs one table is of all runs.
                check_table(name, path, (run, "runs") if self.name == "runs" else (run,))

    def pictures(self):
        """Every PNG button saves a picture."""
        for button in self.page.locator(MAIN).get_by_role("button", name="PNG").all():
            with self.page.expect_download() as started:
                button.click()
            assert started.value.path().read_bytes()[:8] == bytes([137, 80, 78, 71, 13, 10, 26, 10]), self.name
            self.page.wait_for_timeout(100)

    def links(self):
        """Where the links lead, as (path, query)."""
        every = self.page.locator(f"{MAIN} [data-testid=stPageLink] a").evaluate_all("all => all.map(a => a.href)")
        return {(urlsplit(url).path.strip("/"), urlsplit(url).query) for url in every}


def check_opened(view, page, run):
    """No error, the run kept, every figure drawn, and a text for every figure and picture."""
    if page not in WITHOUT_FIGURES:  # a page whose figure never comes runs into its time limit here
        view.page.wait_for_selector(".main-svg, .forest-plot[data-drawn]", state="attached")
        view.settle()
    assert view.shown_errors() == [], page
    assert f"run={run}" in view.page.url, page
    charts = view.page.locator("[data-testid=stPlotlyChart]")
    labelled = view.page.locator("[data-testid=stPlotlyChart][aria-label], [data-testid=stPlotlyChart] [aria-label]")
    assert charts.count() <= labelled.count(), page
    alts = view.page.locator("[data-testid=stImage] img").evaluate_all("all => all.map(i => i.alt)")
    assert all(alts), page


def check_table(name, path, owners):
    """Named after one of the owners, with rows, all of the heading's length."""
    with path.open(newline="") as opened:
        rows = list(csv.reader(opened))
    assert name.startswith(tuple(f"{one}-" for one in owners)), name
    assert len(rows) > 1, name
    assert all(len(row) == len(rows[0]) for row in rows), name


def one_a_page(links):
    """The first of the links to each page."""
    return list({path: (path, query) for path, query in sorted(links, reverse=True)}.values())


def use_everything(view, page, run):
    hand = Hand(view, page)
    hand.check("opening")
    if page not in OWN_TESTS:
        hand.choices()
        hand.lists()
        hand.sliders()
    hand.downloads(run)
    hand.pictures()
    return hand.links()


@pytest.mark.parametrize("run", KINDS)
@pytest.mark.parametrize("page", PAGES)
def test_every_control_link_and_download_of_a_page_works(all_runs, window, page, run):
    view = window(height=1400).open(f"{all_runs}/{page}?run={run}")
    check_opened(view, page, run)
    if run == "cells" and page != "train":
        check_copied_link(view, window, page)
    links = use_everything(view, page, run)
    figures = {query for path, query in links if path == "guide"}
    assert all(parse_qs(query)["run"] == [run] for query in figures), figures
    assert {path for path, _ in links} <= set(PAGES), links
    for path, query in one_a_page(links):
        if query == f"run={run}":  # what this very test opens of that page
            continue
        view.open(f"{all_runs}/{path}?{query}")
        assert view.shown_errors() == [], (path, query)
        assert f"run={run}" in view.page.url


@pytest.mark.parametrize("run", EDGES)
def test_pages_of_a_run_at_the_edge_can_be_used(all_runs, window, run):
    view = window().open(f"{all_runs}/?run={run}")
    for page in PAGES:
        if page:
            view.page.locator(f'[data-testid=stSidebarNavLink][href$="/{page}"]').click()
            view.page.wait_for_url(re.compile(rf"/{page}\?.*run={run}"))
        hand = Hand(view, page)
        hand.check("opening")
        if page not in OWN_TESTS:
            hand.sliders()


def check_copied_link(view, window, page):
    """The page's address, opened in another window, brings the same controls back once every slider has been moved."""
    Hand(view, page).sliders()
    before = controls(view)
    copied = window(height=1400).open(view.page.url)
    assert controls(copied) == before, page


def controls(view):
    """What every slider and row of buttons of the page stands at."""
    sliders = view.page.locator(f"{MAIN} [data-testid=stSlider] input[type=range]").evaluate_all(
        "all => all.map(i => i.getAttribute('aria-valuetext') || i.value)"
    )
    pressed = view.page.locator(f"{MAIN} [data-testid=stButtonGroup] [aria-checked=true]").all_inner_texts()
    return json.dumps([sliders, pressed])


def test_keyboard_alone_reaches_the_menu_the_controls_and_the_downloads(all_runs, window):
    view = window().open(f"{all_runs}/calibration?run=cells")
    reached = set()
    for _ in range(80):
        view.page.keyboard.press("Tab")
        reached.add(
            view.page.evaluate("(document.activeElement.closest('[data-testid]') || {dataset: {}}).dataset.testid")
        )
    assert {"stSidebarNavLink", "stSlider"} <= {re.sub("ThumbValue$", "", str(one)) for one in reached}, reached
    assert any(one and one.startswith(("stExpander", "stPageLink", "stBidiComponent")) for one in reached), reached
