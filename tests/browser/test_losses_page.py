"""The page "Losses" in Chromium, on runs of two losses."""

import re

import pytest
from browser import driver
from counted_runs import two_runs

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """Address of the page, on the run whose loss is ce."""
    runs = tmp_path_factory.mktemp("two-losses")
    two_runs(runs)
    with driver.server(runs, cwd=tmp_path_factory.mktemp("elsewhere")) as address:
        yield f"{address}/losses?run=run-ce"


def test_choice_of_runs_goes_into_the_link_and_the_link_brings_it_back(losses, window):
    view = window().open(losses)
    view.page.get_by_role("button", name="Remove run-dice (dice)").click()
    view.settle()
    view.page.wait_for_url(re.compile("runs=run-ce"))
    copied = window().open(view.page.url)
    chosen = copied.page.get_by_test_id("stMultiSelect").inner_text()
    assert "run-ce (ce)" in chosen
    assert "run-dice (dice)" not in chosen
    assert copied.shown_errors() == []


def test_margin_is_heeded_at_once(losses, window):
    view = window().open(losses)
    view.page.locator("[data-testid=stPlotlyChart]").nth(3).wait_for()
    settled = view.page.get_by_role("heading", name="None of it matters in practice")
    assert settled.count() == 0
    slider = view.page.get_by_test_id("stSlider").locator("input[type=range]")
    slider.focus()
    slider.press("End")
    view.settle()
    view.page.wait_for_url(re.compile(r"margin=0\.1"))
    settled.first.wait_for()
    assert view.shown_errors() == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_names_of_chosen_runs_can_be_read_on_their_chips(losses, window, scheme):
    view = window(scheme=scheme).open(losses)
    chip = view.page.locator("[data-testid=stMultiSelect] [data-tag]").first
    for _ in range(20):  # the theme's colours fade in
        if _contrast(chip) >= 4.5:
            break
        view.page.wait_for_timeout(250)
    assert _contrast(chip) >= 4.5  # WCAG 2.1 for text


def _contrast(chip):
    ink, ground = chip.evaluate(
        "e => [getComputedStyle(e.querySelector('span')).color, getComputedStyle(e).backgroundColor]"
    )
    light, dark = sorted((_luminance(ink), _luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color):
    channels = [int(one) / 255 for one in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_narrow_window_needs_no_sideways_scrolling(losses, window):
    view = window(width=400, height=800).open(losses)
    view.page.wait_for_selector(".main-svg", state="attached")
    view.settle()
    assert view.page.locator("[data-testid=stPlotlyChart]").count() == 4
    overflow = view.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth })()"
    )
    assert overflow <= 0
