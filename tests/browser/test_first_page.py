"""The first page in Chromium: forest plots drawn without Plotly, and code to copy."""

import re

import numpy as np
import pytest
from browser import driver
from PIL import Image

from dashboard import tables
from pipelines.store.runs import open_run

pytestmark = pytest.mark.browser

_MARKS = """plot => [...plot.querySelectorAll("svg[role=img] > circle, svg[role=img] > path")]
  .filter((one) => one.tagName === "circle" || one.getAttribute("d").endsWith("Z"))
  .map((one) => { const box = one.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; })"""


def differences(runs, run, metric):
    found = open_run(runs, run)
    return tables.differences(
        found, metric=metric, split="test", variant="raw", contender="softmax",
        classes=found.dataset["classes"],
    )  # fmt: skip


def test_first_page_needs_no_plotly(site, window):
    view = window()
    asked = []
    view.page.on("request", lambda request: asked.append(request.url))
    view.open(f"{site}/?run=landcover")
    assert view.page.locator(".forest-plot svg[role=img]").count() == 3
    assert not [url for url in asked if re.search("Plotly|DataFrame|SyntaxHighlighter", url)]


def test_first_page_also_answers_under_its_name(site, window):
    view = window().open(f"{site}/verdict?run=landcover&margin=0.02")
    assert view.page.get_by_text("Page not found").count() == 0
    assert view.page.get_by_role("dialog").count() == 0
    assert view.page.locator(".forest-plot svg[role=img]").count() == 3
    assert "run=landcover" in view.page.url
    assert "margin=0.02" in view.page.url
    assert view.shown_errors() == []


@pytest.mark.parametrize("run", ["cells"])
def test_points_lie_where_the_table_says(site, window, real_runs, run):
    table = differences(real_runs, run, "dice")
    view = window().open(f"{site}/?run={run}")
    marks = np.array(view.page.locator(".st-key-forest_dice .forest-plot").evaluate(_MARKS))
    assert len(marks) == len(table)
    assert (np.diff(marks[:, 1]) > 0).all()  # in the order of the table
    # Along the axis they keep the proportions of the numbers: a line through all of them leaves less than half a pixel.
    slope, start = np.polyfit(table["advantage"], marks[:, 0], 1)
    assert slope > 0
    assert np.abs(slope * table["advantage"] + start - marks[:, 0]).max() < 0.5


def test_a_point_says_its_numbers(site, window, real_runs):
    row = differences(real_runs, "landcover", "dice").iloc[1]
    view = window().open(f"{site}/?run=landcover")
    plot = view.page.locator(".st-key-forest_dice .forest-plot")
    label = plot.locator(".label")
    assert not label.is_visible()
    plot.locator("circle").first.hover()
    minus = "\N{MINUS SIGN}"
    said = f"advantage of sigmoid {row['advantage']:+.4f}".replace("-", minus)
    assert label.inner_text().split("\n")[:2] == [
        row["class"], f"sigmoid {row['sigmoid']:.4f}, softmax {row['softmax']:.4f}"
    ]  # fmt: skip
    assert said in label.inner_text()
    view.page.mouse.move(5, 5)
    assert not label.is_visible()


def test_forest_plots_are_named_fit_their_column_and_follow_the_window(site, window):
    view = window().open(f"{site}/?run=landcover")
    plots = view.page.locator(".forest-plot svg[role=img]")
    names = plots.evaluate_all("all => all.map((one) => one.getAttribute('aria-label'))")
    assert [name.split(":")[0] for name in names] == ["Dice", "Classwise ECE", "Brier score"]
    for width in (1280, 700, 400):
        view.page.set_viewport_size({"width": width, "height": 900})
        view.settle()
        view.page.wait_for_function(
            "[...document.querySelectorAll('.forest-plot')].every("
            "(one) => Math.abs(one.querySelector('svg').getBoundingClientRect().width - one.clientWidth) < 1)"
        )
        assert view.page.evaluate("document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth"), width


@pytest.mark.parametrize(("scheme", "background"), [("light", (255, 255, 255)), ("dark", (18, 22, 28))])
def test_saved_picture_has_the_colours_of_the_page(site, window, tmp_path, scheme, background):
    view = window(scheme=scheme).open(f"{site}/?run=landcover")
    with view.page.expect_download() as started:
        view.page.locator(".st-key-forest_dice .modebar-btn").click()
    assert started.value.suggested_filename == "landcover-forest_dice.png"
    started.value.save_as(tmp_path / "saved.png")
    with Image.open(tmp_path / "saved.png") as picture:
        assert picture.width >= 3 * 420
        assert picture.convert("RGB").getpixel((1, 1)) == background
        assert len(picture.convert("RGB").getcolors(1 << 24)) > 20  # something is on it


def test_code_is_highlighted_and_copied(site, window):
    view = window()
    view.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.open(f"{site}/?run=landcover")
    code = view.page.locator(".st-key-code")
    shown = code.locator("code").inner_text()
    assert shown.startswith("import ")
    assert code.locator(".keyword").first.inner_text() == "import"
    assert '"forest"' in code.locator(".string").all_inner_texts()
    code.get_by_role("button", name="Copy").click()
    code.get_by_role("button", name="Copied").wait_for()
    assert view.page.evaluate("navigator.clipboard.readText()").strip() == shown.strip()


def test_driver_waits_for_forest_plots(site, window):
    view = window().open(f"{site}/?run=landcover")
    view.page.evaluate("delete document.querySelector('.forest-plot').dataset.drawn")
    assert view.page.evaluate(driver._QUIET) is False
