"""What `test_pages` leaves out: clicks on points and cells, numbers, buttons, switches, panels and pages."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import expect

pytestmark = pytest.mark.browser


def query(view):
    return parse_qs(urlsplit(view.page.url).query)


def click_mark(view, key, index):
    """Click one mark of a figure, in the middle of it."""
    mark = view.page.locator(f".st-key-{key} .scatterlayer .point").nth(index)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    view.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    view.settle()
    assert view.shown_errors() == []


def chosen(view, label):
    """What a list stands at."""
    return view.page.get_by_test_id("stSelectbox").filter(has_text=label).locator("input").input_value()


def fill(view, label, value):
    field = view.page.get_by_role("spinbutton", name=label)
    field.fill(value)
    field.press("Enter")
    view.settle()


def test_a_click_on_a_point_or_a_cell_shows_its_images(site, window):
    run = "landcover"
    view = window(height=1400).open(f"{site}/accuracy?run={run}")
    first = chosen(view, "Image, most different first")
    for index in range(5):  # the chosen image has a ring of its own: one of the next points is another image's
        click_mark(view, "image_pairs", index)
        if chosen(view, "Image, most different first") != first:
            break
    other = chosen(view, "Image, most different first")
    assert other != first
    link = view.page.get_by_role("link", name="Open in Images").first.get_attribute("href")
    assert parse_qs(urlsplit(link).query)["image"] == [other]

    view.open(f"{site}/calibration?run={run}")
    view.page.get_by_text("Click a dot to open its image.").wait_for()
    click_mark(view, "by_image", 3)
    link = view.page.get_by_role("link", name="Open the image").get_attribute("href")
    said = view.page.get_by_text(re.compile(r"calibration error \d\.\d{3}$")).inner_text()
    assert said.startswith(parse_qs(urlsplit(link).query)["image"][0])

    view.open(f"{site}/confusion?run={run}")
    before = (chosen(view, "Truth"), chosen(view, "Predicted"))
    for index in (1, 0):  # cells of the first row
        click_mark(view, "confusion_softmax", index)
        if (chosen(view, "Truth"), chosen(view, "Predicted")) != before:
            break
    assert (chosen(view, "Truth"), chosen(view, "Predicted")) != before
    expect(view.page.get_by_role("radio", name="Softmax", exact=True).last).to_be_checked()
    assert view.page.get_by_role("img", name=re.compile("pixels")).count() >= 1


def test_costs_are_typed_and_thresholds_are_taken_and_put_back(site, window):
    view = window(height=1400).open(f"{site}/thresholds?run=cells")
    fill(view, "Cost of a false positive", "3")
    fill(view, "Cost of a false negative", "7")
    assert (query(view)["cost_fp"], query(view)["cost_fn"]) == (["3"], ["7"])
    expect(view.page.get_by_text("Bayes threshold 0.300").first).to_be_attached()  # 3 / (3 + 7)
    view.page.get_by_role("button", name="Take the tuned ones").click()
    view.page.wait_for_url(re.compile("thresholds=sigmoid"))
    tuned = query(view)["thresholds"]
    view.settle()
    copied = window(height=1400).open(view.page.url)
    assert query(copied)["thresholds"] == tuned
    assert copied.page.get_by_role("spinbutton", name="Cost of a false negative").input_value() == "7"
    view.page.get_by_role("button", name="Reset to 0.5").click()
    view.page.wait_for_function("!location.search.includes('sigmoid_')")
    assert view.shown_errors() == copied.shown_errors() == []


def test_margins_in_their_panel_go_into_the_link_and_the_code_can_be_copied(site, window):
    view = window(height=1400, fresh=True).open(f"{site}/?run=cells")
    view.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.page.get_by_role("button", name="More margins").click()
    for label in ("Classwise ECE", "Brier score"):
        slider = view.page.get_by_test_id("stPopoverBody").get_by_role("slider", name=re.compile(label))
        slider.focus()
        slider.press("ArrowRight")
        view.settle()
    assert (query(view)["margin_ece"], query(view)["margin_brier"]) == (["0.02"], ["0.1"])
    view.page.keyboard.press("Escape")
    view.page.get_by_role("button", name="Copy", exact=True).click()
    view.page.get_by_role("button", name="Copied").wait_for()
    code = view.page.evaluate("navigator.clipboard.readText()")
    compile(code, "copied", "exec")
    assert "thresholds = torch.tensor(" in code
    assert view.shown_errors() == []


def test_gallery_turns_its_pages_and_the_guide_its_switches(site, window):
    view = window(height=1400).open(f"{site}/images?run=cells")
    view.page.wait_for_selector(".viewer[data-drawn]")
    names = view.page.locator(".gallery button, .thumbs button").all_inner_texts()
    view.page.get_by_role("button", name="Next page").click()
    view.settle()
    turned = view.page.locator(".gallery button, .thumbs button").all_inner_texts()
    assert turned
    assert not set(names) & set(turned)

    view.open(f"{site}/guide?run=cells")
    cards = view.page.locator(".rd")
    for press in (
        lambda: view.page.get_by_role("switch", name="Background channel").press("Space"),
        lambda: view.page.get_by_role("button", name="Add 2 to all").click(),
        lambda: view.page.get_by_role("button", name="Take 2 from all").click(),
        lambda: view.page.get_by_role("button", name="Confident and wrong").click(),
    ):
        before = cards.inner_text()
        press()
        view.settle()
        assert cards.inner_text() != before
    assert view.shown_errors() == []
