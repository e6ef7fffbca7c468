"""The page "How to read this" in Chromium: the reader moves, the bars follow, the link keeps it."""

import re

import pytest

pytestmark = pytest.mark.browser


def cards(view):
    """What the two cards say, by head."""
    found = view.page.locator(".rd-card")
    return {
        card.locator(".rd-name").inner_text(): card.locator(".rd-count").inner_text() for card in found.all()
    }  # fmt: skip


def press(view, slider, key):
    handle = view.page.get_by_role("slider", name=slider)
    handle.focus()
    handle.press(key)
    view.settle()


def test_slider_moves_bars_by_keyboard_and_the_link_keeps_it(site, window):
    view = window().open(f"{site}/guide?run=cells")
    assert cards(view) == {"Sigmoid": "two labels", "Softmax": "one label"}
    press(view, "Logit of nucleus", "Home")
    view.page.wait_for_url(re.compile("z2=-6"))
    assert cards(view) == {"Sigmoid": "one label", "Softmax": "one label"}
    copied = window().open(view.page.url)
    assert cards(copied) == cards(view)
    assert copied.page.locator(".rd-p").all_inner_texts() == view.page.locator(".rd-p").all_inner_texts()
    assert view.shown_errors() == []


def test_copied_link_of_a_preset_opens_it(site, window):
    preset, said = "Nothing there, no background", {"Sigmoid": "no label", "Softmax": "one label"}
    view = window().open(f"{site}/guide?run=cells")
    view.page.get_by_role("button", name=preset, exact=True).click()
    view.settle()
    assert cards(view) == said
    view.page.wait_for_url(re.compile("z1=-2.5"))
    copied = window().open(view.page.url)
    assert cards(copied) == said
    # The truth came along: no decision misses a label that was not there.
    assert copied.page.locator(".rd-mark").all_inner_texts() == view.page.locator(".rd-mark").all_inner_texts()
    assert not copied.page.locator(".rd-mark").filter(has_text="misses").count()


def test_a_figure_leads_to_its_explanation_and_back(site, window):
    view = window().open(f"{site}/overlap?run=cells")
    view.page.get_by_test_id("stMain").get_by_role("link", name="How to read this").first.click()
    view.page.wait_for_url(re.compile("/guide.*figure="))
    view.page.locator(".asked h2").wait_for()
    view.settle()
    back = view.page.get_by_role("link", name="Back to Overlap")
    assert back.is_visible()
    back.click()
    view.page.wait_for_url(re.compile("/overlap"))
    view.settle()
    assert "run=cells" in view.page.url
    assert view.shown_errors() == []


def test_the_mark_of_an_explanation_is_a_link_to_it(site, window):
    view = window().open(f"{site}/guide?run=vessels")
    view.page.get_by_role("link", name="Link to the explanation of Reliability diagram").click()
    view.page.wait_for_url(re.compile("figure=reliability"))
    view.page.locator(".asked h2").wait_for()
    view.settle()
    assert view.page.locator(".asked h2").inner_text() == "Reliability diagram"
    assert "run=vessels" in view.page.url
    assert view.page.locator("#figure-reliability.marked").count() == 1


def test_margin_changes_the_word_beside_it(site, window):
    view = window().open(f"{site}/guide?run=cells&figure=forest&mini_width=0.004")
    assert view.page.locator(".answer strong").first.inner_text() == "Sigmoid is better"
    press(view, "Smallest difference that matters", "End")
    assert view.page.locator(".answer strong").first.inner_text() == "No practical difference"


@pytest.mark.parametrize("query", ["&figure=forest", "&channels=3"])
def test_narrow_window_needs_no_sideways_scrolling(site, window, query):
    view = window(width=400, height=800).open(f"{site}/guide?run=cells{query}")
    overflow = view.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth })()"
    )
    assert overflow <= 0
    cut = view.page.locator(".rd-card, .fact, .entry").evaluate_all(
        "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.innerText)"
    )
    assert cut == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_chosen_preset_can_be_read(site, window, scheme):
    view = window(scheme=scheme).open(f"{site}/guide?run=cells")
    chosen = view.page.locator(".st-key-presets button[kind=primary]")
    for _ in range(20):  # the theme's colours fade in
        ink, ground = chosen.evaluate(
            "e => [getComputedStyle(e.querySelector('p')).color, getComputedStyle(e).backgroundColor]"
        )
        light, dark = sorted((_luminance(ink), _luminance(ground)), reverse=True)
        if (light + 0.05) / (dark + 0.05) >= 4.5:
            break
        view.page.wait_for_timeout(250)
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # WCAG 2.1 for text


def _luminance(color):
    channels = [int(one) / 255 for one in re.findall(r"\d+", color)[:3]]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
