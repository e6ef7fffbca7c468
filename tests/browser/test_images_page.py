"""The page Images in Chromium: layers, zoom, the numbers of a pixel, and the ways from one image to another."""

import re

import numpy as np
import pytest
from playwright.sync_api import expect

from pipelines.store.runs import open_run

pytestmark = pytest.mark.browser

VIEWER = ".viewer[data-drawn]"


@pytest.fixture
def images(site, window):
    """Opens the page on a run and waits until an image is drawn."""

    def new(run, *, query="", frames=None, **options):
        view = window(fresh=frames is not None, **options)
        if frames is not None:  # sizes of what the server sends, in bytes

            def listen(socket):
                socket.on("framereceived", lambda frame: frames.append(len(frame)))

            view.page.on("websocket", listen)
        view.open(f"{site}/images?run={run}{query}")
        view.page.wait_for_selector(VIEWER)
        return view

    return new


@pytest.fixture(scope="module")
def stored(real_runs):
    """Reads one image of one head."""

    def read(run, head, image):
        with open_run(real_runs, run).predictions("test", head, 0) as reader:
            return reader.read(image)

    return read


def viewer(view):
    return view.page.locator(VIEWER)


def data(view, name):
    return viewer(view).get_attribute(f"data-{name}")


def canvas(view, number):
    return view.page.locator(".viewer canvas").nth(number)


def point_at(view, x, y, *, number=1, side=64, click=False):
    """Move to the middle of an image pixel, on a canvas that shows the whole image."""
    box = canvas(view, number).bounding_box()
    scale = min(box["width"], box["height"]) / side
    place = {
        "x": (box["width"] - scale * side) / 2 + (x + 0.5) * scale,
        "y": (box["height"] - scale * side) / 2 + (y + 0.5) * scale,
    }
    canvas(view, number).click(position=place) if click else canvas(view, number).hover(position=place)
    view.page.wait_for_selector(f".viewer[data-pixel='{x},{y}']")


def shown_p(view, number):
    """Texts of one head's probabilities, class by class."""
    return view.page.locator(f".viewer .pixel tbody tr td.p:nth-child({3 + number}) .number").all_inner_texts()


def agrees(text, p):
    """Whether a text such as "0.13", "< 0.005" or "> 0.999" is true of p."""
    number = float(text.strip("<> "))
    if text.startswith("<"):
        return p <= number + 1e-9
    if text.startswith(">"):
        return p >= number - 1e-9
    return abs(p - number) <= 0.0076  # half a cell of 0.005 and half a hundredth


def colors_of(view, number):
    """How many different colours a canvas shows."""
    return canvas(view, number).evaluate(
        "c => new Set(new Uint32Array(c.getContext('2d').getImageData(0, 0, c.width, c.height).data.buffer)).size"
    )


def picture_of(view, number):
    return canvas(view, number).evaluate("c => c.toDataURL()")


@pytest.mark.parametrize("run", ["cells"])
def test_pointing_at_a_pixel_shows_what_is_stored_of_it(images, stored, run):
    view = images(run)
    image = data(view, "image")
    for x, y in ((3, 5), (40, 31), (63, 63)):
        point_at(view, x, y)
        for number, head in enumerate(("sigmoid", "softmax")):
            one = stored(run, head, image)
            p = 1 / (1 + np.exp(-one.log_odds[:, y, x].astype(np.float64)))
            texts = shown_p(view, number)
            assert len(texts) == len(p)
            assert all(agrees(text, value) for text, value in zip(texts, p, strict=True)), (texts, p)
            marks = view.page.locator(".viewer .pixel tbody td.truth").all_inner_texts()
            assert [bool(mark) for mark in marks] == list(one.truth[:, y, x] & one.valid[y, x])
    assert view.shown_errors() == []


@pytest.mark.parametrize("run", ["landcover", "cells"])
def test_scores_computed_in_the_browser_are_those_of_the_run(images, real_runs, run):
    view = images(run, query="&order=Name")
    rows = open_run(real_runs, run).image_scores().query("split == 'test' and seed == 0").set_index(["head", "image"])
    image = data(view, "image")
    heads = ("sigmoid", "softmax")

    def shown(name, number):
        return view.page.locator(f".viewer [data-score={name}][data-head='{number}']").inner_text()

    def share(text):
        return float(text.strip("<% "))

    assert [shown("dice", number) for number in (0, 1)] == [f"{rows.loc[(head, image), 'dice']:.3f}" for head in heads]
    differ = view.page.locator(".viewer [data-score=differ]").inner_text()
    assert abs(share(differ) - 100 * rows.loc[("softmax", image), "disagreement"]) <= 0.05001
    if run == "landcover":  # one label a pixel by the highest p; the run's rates are those of p > 0.5
        assert [share(shown("several", number)) for number in (0, 1)] == [0, 0]
        view.page.get_by_role("radio", name="above a threshold").check()
    for number, head in enumerate(heads):
        for name, column in (("several", "overlap_rate"), ("none", "no_label_rate")):
            assert abs(share(shown(name, number)) - 100 * rows.loc[(head, image), column]) <= 0.05001


def test_kept_pixel_goes_into_the_link_with_its_exact_numbers(images, stored):
    view = images("cells")
    point_at(view, 20, 30, click=True)
    view.page.wait_for_url(re.compile(r"pixel=20%2C30"))
    view.page.get_by_text("as stored").wait_for()
    value = float(stored("cells", "sigmoid", data(view, "image")).log_odds[0, 30, 20])
    view.page.get_by_text(f"{value:.3f}".replace("-", "−"), exact=True).first.wait_for()
    canvas(view, 2).hover(position={"x": 5, "y": 5})
    assert data(view, "pixel") == "20,30"  # it stays while the pointer wanders
    copied = images("cells", query=view.page.url.split("run=cells")[1])
    assert data(copied, "pixel") == "20,30"
    point_at(view, 20, 30, number=0, click=True)
    view.page.get_by_text("as stored").wait_for(state="detached")
    assert "pixel=" not in view.page.url


def test_cursor_walks_by_keyboard_and_says_what_is_there(images):
    view = images("cells")
    canvas(view, 1).focus()
    view.page.keyboard.press("ArrowRight")  # begins in the middle
    start = [int(one) for one in data(view, "pixel").split(",")]
    for key in ("ArrowRight", "Shift+ArrowDown", "ArrowLeft", "ArrowUp"):
        view.page.keyboard.press(key)
    assert [int(one) for one in data(view, "pixel").split(",")] == [start[0], start[1] + 9]
    said = view.page.locator(".viewer .said").inner_text()
    assert said.startswith(f"x {start[0]}, y {start[1] + 9}: truth")
    for _ in range(9):
        view.page.keyboard.press("Shift+ArrowLeft")
    assert data(view, "pixel").split(",")[0] == "0"  # the rim holds it
    view.page.keyboard.press("Enter")
    view.page.wait_for_url(re.compile(r"pixel=0%2C"))
    view.page.keyboard.press("Escape")
    view.page.wait_for_function("!location.search.includes('pixel=')")


def test_layers_can_be_put_on_and_off_and_made_fainter(images):
    view = images("cells")
    view.page.get_by_text("Layers and opacity").click()
    labelled = picture_of(view, 1)
    box = view.page.locator(".viewer [data-layer=a][data-pane='1']")
    box.uncheck()
    view.page.wait_for_url(re.compile(r"view=three\.it-i-ib"))
    bare = picture_of(view, 1)
    assert bare != labelled
    box.check()
    view.page.wait_for_timeout(200)
    assert picture_of(view, 1) == labelled
    slider = view.page.locator(".viewer [data-opacity=a]")
    slider.focus()
    slider.press("Home")
    view.page.wait_for_url(re.compile(r"\.a0"))
    assert picture_of(view, 1) not in (labelled, bare)  # outlines stay


@pytest.mark.parametrize("run", ["cells", "vessels"])
def test_each_choice_of_what_is_shown_draws_something_else(images, run):
    view = images(run)
    seen = [picture_of(view, 1)]
    for name in ("Errors", "Confidence", "Two labels or none"):
        choice = view.page.get_by_role("radio", name=name)
        if choice.count() == 0:
            assert run == "vessels"  # one class cannot overlap
            continue
        choice.check()
        view.page.wait_for_timeout(150)
        seen.append(picture_of(view, 1))
        assert colors_of(view, 1) > 1
    assert len(set(seen)) == len(seen)
    assert view.shown_errors() == []


def test_decision_is_made_anew_in_the_browser(images, stored):
    view = images("cells")
    image = data(view, "image")
    one = stored("cells", "sigmoid", image)
    slider = view.page.locator(".viewer .cut input")
    slider.focus()
    slider.press("Home")  # p > 0.02
    p = 1 / (1 + np.exp(-one.log_odds.astype(np.float64)))
    several = 100 * ((p > 0.02).sum(axis=0) > 1)[one.valid].mean()
    shown = view.page.locator(".viewer [data-score=several][data-head='0']")
    assert abs(float(shown.inner_text().strip("<% ")) - several) <= 0.05001
    view.page.wait_for_url(re.compile(r"\.t2(&|$)"))


def test_wheel_buttons_and_drag_zoom_and_move_all_pictures_together(images):
    view = images("landcover")
    zoom = view.page.locator(".viewer [data-zoom=reset]")
    whole = [picture_of(view, number) for number in range(3)]
    canvas(view, 1).hover(position={"x": 60, "y": 60})
    view.page.mouse.wheel(0, -400)
    view.page.wait_for_timeout(200)
    assert float(zoom.inner_text().strip("×")) > 2
    assert all(picture_of(view, number) != whole[number] for number in range(3))
    before = data(view, "pixel")
    box = canvas(view, 1).bounding_box()
    view.page.mouse.down()
    view.page.mouse.move(box["x"] + 140, box["y"] + 60, steps=4)
    view.page.mouse.up()
    view.page.mouse.move(box["x"] + 60, box["y"] + 60)
    view.page.wait_for_timeout(100)
    assert int(data(view, "pixel").split(",")[0]) < int(before.split(",")[0])
    assert "pixel=" not in view.page.url  # a drag keeps no pixel
    view.page.get_by_role("button", name="Show the whole image").click()
    assert zoom.inner_text() == "1.0×"
    view.page.get_by_role("button", name="Zoom in").click()
    assert zoom.inner_text() == "1.5×"


def test_swipe_shows_one_head_on_each_side(images):
    view = images("cells", query="&view=two.it-ia-ib.t50")
    view.page.get_by_role("radio", name="Swipe").check()
    divider = view.page.get_by_role("slider", name="Divider between the two heads")
    divider.focus()
    middle = picture_of(view, 1)
    for _ in range(8):
        divider.press("ArrowRight")
    view.page.wait_for_timeout(150)
    assert picture_of(view, 1) != middle
    view.page.wait_for_url(re.compile(r"view=swipe"))


def test_next_previous_and_page_keys_walk_through_the_order(images):
    view = images("landcover", query="&order=Name")
    first = data(view, "image")
    view.page.get_by_role("button", name="Next", exact=True).click()
    view.page.wait_for_selector(f".viewer[data-drawn]:not([data-drawn='{first}'])")
    second = data(view, "drawn")
    assert second > first
    view.page.wait_for_url(re.compile(f"image={second}"))
    canvas(view, 1).focus()
    view.page.keyboard.press("PageDown")
    view.page.wait_for_selector(f".viewer[data-drawn]:not([data-drawn='{second}'])")
    assert data(view, "drawn") > second
    view.page.keyboard.press("PageUp")
    view.page.wait_for_selector(f".viewer[data-drawn='{second}']")
    view.page.get_by_role("button", name="Previous", exact=True).click()
    view.page.wait_for_selector(f".viewer[data-drawn='{first}']")


def test_thumbnail_opens_its_image_by_click_and_by_keyboard(images):
    view = images("cells")
    view.page.wait_for_selector(".gallery[data-missing='0']")
    thumbnails = view.page.locator(".gallery button")
    assert thumbnails.count() == 24
    assert all(view.page.locator(".gallery img").evaluate_all("all => all.map(i => i.alt && i.complete)"))
    name = thumbnails.nth(4).get_attribute("data-name")
    thumbnails.nth(4).click()
    view.page.wait_for_selector(f".viewer[data-drawn='{name}']")
    assert thumbnails.nth(4).get_attribute("aria-current") == "true"
    assert view.page.locator(".gallery [aria-current=true]").count() == 1
    view.page.wait_for_url(re.compile(f"image={name}"))
    other = thumbnails.nth(5).get_attribute("data-name")
    thumbnails.nth(5).focus()
    view.page.keyboard.press("Enter")
    view.page.wait_for_selector(f".viewer[data-drawn='{other}']")
    assert view.shown_errors() == []


def test_every_page_of_thumbnails_has_its_number(images):
    view = images("landcover", width=400)
    view.page.wait_for_selector(".gallery[data-missing='0']")
    first = set(view.page.locator(".gallery button").evaluate_all("all => all.map(one => one.dataset.name)"))
    view.page.get_by_role("button", name="Page 2", exact=True).click()
    view.page.wait_for_url(re.compile("gallery=2"))
    expect(view.page.locator(".gallery button")).to_have_count(16)
    second = set(view.page.locator(".gallery button").evaluate_all("all => all.map(one => one.dataset.name)"))
    assert len(first) == 24
    assert not first & second


def test_hidden_class_leaves_the_labels(images):
    view = images("landcover")
    before = picture_of(view, 0)
    chip = view.page.locator(".viewer .legend button.chip").first
    for pressed in ("false", "true"):
        chip.click()
        assert chip.get_attribute("aria-pressed") == pressed
    view.page.wait_for_timeout(150)
    assert picture_of(view, 0) == before
    for button in view.page.locator(".viewer .legend button.chip").all():
        button.click()
    view.page.wait_for_timeout(150)
    assert picture_of(view, 0) != before


def test_dark_page_takes_the_dark_colours(images):
    view = images("cells", scheme="dark")
    line = view.page.locator(".viewer figure[data-pane='1'] .title").evaluate(
        "e => getComputedStyle(e).borderBottomColor"
    )
    assert line == "rgb(86, 180, 233)"
    ink = viewer(view).evaluate("e => getComputedStyle(e).color")
    assert ink == "rgb(228, 232, 238)"


def test_narrow_window_stacks_and_can_be_touched(images):
    view = images("cells", width=400, height=800)
    assert view.page.locator(".viewer.stacked").count() == 1
    assert view.page.locator(".viewer figure:visible").count() == 1  # one picture at a time where there is no room
    view.page.get_by_role("radio", name="All three").check()
    boxes = [canvas(view, number).bounding_box() for number in range(3)]
    assert boxes[0]["y"] < boxes[1]["y"] < boxes[2]["y"]
    overflow = view.page.evaluate(
        "(() => { const m = document.querySelector('[data-testid=stMain]'); return m.scrollWidth - m.clientWidth })()"
    )
    assert overflow <= 0


def test_a_redrawn_page_keeps_the_view_and_sends_no_picture_twice(images):
    frames = []
    view = images("cells", frames=frames)
    view.page.wait_for_selector(".gallery[data-missing='0']")
    view.page.get_by_role("radio", name="Errors").check()
    view.page.wait_for_url(re.compile(r"view=three\.id-ie-if"))
    canvas(view, 1).hover(position={"x": 60, "y": 60})
    view.page.mouse.wheel(0, -400)
    view.settle()
    zoomed, largest = view.page.locator(".viewer [data-zoom=reset]").inner_text(), max(frames)
    frames.clear()
    canvas(view, 1).click(position={"x": 60, "y": 60})
    view.page.get_by_text("as stored").wait_for()
    view.settle()
    assert view.page.locator(".viewer [data-zoom=reset]").inner_text() == zoomed
    assert data(view, "view").startswith("three.id-ie-if")
    assert frames
    assert max(frames) < 20_000 < largest
