"""The exported report in Chromium, from the disk and without a network; and the buttons that make it in the app."""

import re
import zipfile

import pytest

from dashboard.report.files import export
from pipelines.store.runs import Run

pytestmark = pytest.mark.browser
_A4, _LETTER = (297 - 30) * 96 / 25.4, (279.4 - 30) * 96 / 25.4  # CSS pixels between the margins of @page


@pytest.fixture(scope="module")
def reports(real_runs, tmp_path_factory):
    """Address of the report of a run by name."""
    folder = tmp_path_factory.mktemp("reports")

    def address(name):
        if not (folder / f"{name}-report.html").exists():
            export(Run(real_runs / name), folder, csv=False)
        return f"file://{folder}/{name}-report.html"

    return address


@pytest.fixture
def opened(reports, window):
    """Opens a report without a network and waits for its figures."""

    def open_report(name, **options):
        view = window(fresh=True, **options)
        view.page.context.set_offline(True)
        view.page.goto(reports(name))
        view.page.wait_for_selector("html[data-figures=drawn]", state="attached")
        return view.page

    return open_report


def figures_that_do_not_fit(page):
    """Ids of figures that are not drawn, or not as wide as their place, or whose title is wider than it."""
    return page.evaluate(
        """() => [...document.querySelectorAll(".plot")].filter((plot) => {
            const svg = plot.querySelector(".main-svg");
            if (!svg || Math.abs(svg.width.baseVal.value - plot.clientWidth) > 1) return true;
            const titles = [...plot.querySelectorAll(".gtitle, .gtitle-subtitle")].filter((one) => one.textContent);
            return titles.some((one) => one.getBBox().width > plot.clientWidth);
        }).map((plot) => plot.id)"""
    )


def wait_until(page, condition):
    """Ask again and again: Playwright's own way evaluates text in the page, which the page's policy forbids."""
    for _ in range(100):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"it never came to {condition}")


@pytest.mark.parametrize(("name", "width"), [("cells", 1280), ("vessels", 400)])
def test_report_opens_without_a_network_and_draws_every_figure(opened, name, width):
    page = opened(name, width=width)
    assert page.locator(".plot").count() > 15
    assert figures_that_do_not_fit(page) == []
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert all(page.locator("img").evaluate_all("all => all.map((one) => one.naturalWidth > 0)"))
    assert page.locator("#no-figures").is_hidden()


def test_contents_lead_to_the_chapters_and_tables_open(opened):
    page = opened("cells")
    page.get_by_role("navigation").get_by_role("link", name="Calibration").click()
    wait_until(page, "Math.abs(document.querySelector('#calibration').getBoundingClientRect().top) < 120")
    table = page.locator("#panel-forest details")
    assert table.locator("table").is_hidden()
    table.locator("summary").click()
    assert table.locator("tbody tr").count() == 12  # three metrics of three classes and their mean
    assert table.get_by_role("cell", name="nucleus").first.is_visible()


def test_figures_follow_the_window(opened):
    page = opened("vessels")
    page.set_viewport_size({"width": 700, "height": 900})
    wait_until(
        page,
        "[...document.querySelectorAll('.plot')].every("
        "p => Math.abs(p.querySelector('.main-svg').width.baseVal.value - p.clientWidth) <= 1)",
    )


def test_printed_report_has_pages_with_figures_of_their_width_and_none_cut(opened):
    page = opened("cells")
    for paper in ("A4", "Letter"):
        pdf = page.pdf(format=paper, print_background=True)
        assert pdf.startswith(b"%PDF")
        assert 8 <= len(re.findall(rb"/Type\s*/Page\b(?!s)", pdf)) <= 40
    # What Chromium lays out between these two events cannot be asked of the PDF, so it is looked at in the window.
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert figures_that_do_not_fit(page) == []
    assert page.evaluate("document.querySelector('main').clientWidth") == round(180 * 96 / 25.4)
    tallest = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.figure')].map(f => f.getBoundingClientRect().height))"
    )
    assert tallest < min(_A4, _LETTER)  # so that none has to be cut
    page.emulate_media(media="print")
    kept = page.evaluate("[...document.querySelectorAll('.figure')].map(f => getComputedStyle(f).breakInside)")
    assert set(kept) == {"avoid"}
    assert page.locator("details:visible").count() == 0  # closed tables leave no trace on paper
    page.emulate_media(media="screen")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate("document.querySelector('main').clientWidth") > 1000
    assert figures_that_do_not_fit(page) == []


def test_report_can_be_read_without_javascript(reports, chromium):
    context = chromium.new_context(java_script_enabled=False, offline=True)
    page = context.new_page()
    page.goto(reports("cells"))
    line = page.locator("noscript .warning")  # texts in noscript are none for get_by_text
    assert line.is_visible()
    assert line.inner_text().startswith("Figures need JavaScript")
    assert page.locator(".plot:visible").count() == 0
    table = page.locator("#panel-forest details")
    table.locator("summary").click()
    assert table.locator("tbody tr").first.is_visible()
    alternative = page.locator("#panel-forest noscript p").first
    assert alternative.is_visible()
    assert alternative.inner_text().startswith("Dice: advantage of sigmoid over softmax by class; mean")
    context.close()


def test_browser_that_cannot_unpack_the_figures_is_told_so(reports, window):
    view = window(fresh=True)
    view.page.add_init_script("delete globalThis.DecompressionStream")
    view.page.goto(reports("vessels"))
    view.page.wait_for_selector("html[data-figures=failed]", state="attached")
    assert "Every figure's table stands below it" in view.page.locator("#no-figures").inner_text()
    view.page.locator("details summary").first.click()
    assert view.page.locator("details table").first.is_visible()


def test_policy_lets_no_script_of_a_name_run_and_nothing_be_fetched(reports, chromium):
    context = chromium.new_context()
    page = context.new_page()
    refused = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(reports("vessels"))
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.bad = 1\">')")
    page.evaluate("document.body.append(Object.assign(document.createElement('script'), {textContent: 'bad = 1'}))")
    assert page.evaluate("fetch('https://example.org/').then(() => 'fetched', () => 'refused')") == "refused"
    page.wait_for_timeout(200)
    assert page.evaluate("typeof window.bad") == "undefined"
    assert sum("Content Security Policy" in text for text in refused) >= 3
    context.close()


def test_buttons_in_the_app_make_the_files(site, window, tmp_path):
    view = window().open(f"{site}/runs?run=vessels")
    for label, name in (
        ("Download report (HTML)", "vessels-report.html"),
        ("Download all tables (ZIP)", "vessels-tables.zip"),
    ):
        with view.page.expect_download(timeout=60_000) as started:
            view.page.get_by_role("button", name=label).click()
        assert started.value.suggested_filename == name
        started.value.save_as(tmp_path / name)
    assert (tmp_path / "vessels-report.html").read_text().startswith("<!DOCTYPE html>")
    with zipfile.ZipFile(tmp_path / "vessels-tables.zip") as archive:
        assert "vessels-tables/metrics.csv" in archive.namelist()
    assert view.shown_errors() == []
