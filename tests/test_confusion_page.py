"""The page Confusion: matrices against another library, cells down to their pixels, label sets, and the link to it."""

import io
from dataclasses import replace

import numpy as np
import opening
import pandas as pd
import pytest
from arrays import counts_of, example
from PIL import Image
from sklearn.metrics import confusion_matrix
from synthetic import make_run

from dashboard import queries
from dashboard.charts import matrix_figure
from dashboard.displays import confusion as panels
from dashboard.displays import confusion as tables
from dashboard.displays.base import Selection
from dashboard.displays.confusion import set_errors_figure
from dashboard.queries.images import marked_picture
from dashboard.theme import DARK, LIGHT
from pipelines.errors import ShapeError
from pipelines.heads import decide
from pipelines.metrics import overlap
from pipelines.metrics.confusion import NONE, Cell, CellPixels, cell_mask, cell_pixels, most_pixels
from pipelines.schema import KINDS
from pipelines.store.runs import open_run

WIDTH = 2


def some_images(kind, count=4):
    return [example(kind, seed=seed) for seed in range(count)]


def every_cell(kind, classes, thresholds=(0.3, 0.5)):
    """All cells that a page can ask for."""
    if kind == "exclusive":
        for region in ("all", "boundary", "interior"):
            yield from (Cell(t, c, None, region) for t in range(classes) for c in range(classes))
    rows = range(classes) if kind == "exclusive" else (*range(classes), NONE)
    columns = (0, NONE) if kind == "binary" else range(classes)
    yield from (Cell(t, c, threshold) for threshold in thresholds for t in rows for c in columns)


# Cells ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_of_a_cell_are_those_that_were_counted(kind):
    images = some_images(kind)
    counts = counts_of(kind, images, width=WIDTH)
    for cell in every_cell(kind, counts.classes):
        known = cell_pixels(counts, cell)
        masks = [cell_mask(cell, truth, valid, values, width=WIDTH) for values, truth, valid in images]
        found = np.array([mask.sum() for mask in masks])
        assert known.total == found.sum(), cell
        if known.exact:
            assert known.pixels.tolist() == found.tolist(), cell
        else:
            assert (known.pixels >= found).all(), cell


def test_cells_of_the_argmax_and_of_a_single_class_are_exact():
    assert all(cell_pixels(counts_of("exclusive", some_images("exclusive")), Cell(t, 1)).exact for t in range(3))
    counts = counts_of("binary", some_images("binary"))
    assert all(cell_pixels(counts, Cell(t, c, 0.4)).exact for t in (0, NONE) for c in (0, NONE))


def test_bound_of_a_cell_by_hand():
    # One row of 4 pixels, truth a a b b; p > 0.5 calls b on pixels 1 and 3. Cell (a, b) is pixel 1 alone:
    # at most min(2 true a, 1 false b) = 1.
    truth = np.array([[[1, 1, 0, 0]], [[0, 0, 1, 1]]], bool)
    log_odds = np.array([[[2, -2, -2, -2]], [[-2, 2, -2, 2]]], np.float16)
    counts = counts_of("exclusive", [(log_odds, truth, np.ones((1, 4), bool))])
    assert cell_pixels(counts, Cell(0, 1, 0.5)) == (np.array([1]), False, 1)


def test_cells_that_do_not_exist_are_refused():
    counts = counts_of("overlapping", some_images("overlapping", 1))
    with pytest.raises(ShapeError, match="exactly one true class"):
        cell_pixels(counts, Cell(0, 1))
    with pytest.raises(ShapeError, match="only a single class"):
        cell_pixels(counts, Cell(0, NONE, 0.5))


def test_images_with_most_pixels_are_certain_only_when_no_bound_lies_above_them():
    bounds = CellPixels(np.array([9, 7, 5, 0]), exact=False, total=10)
    assert most_pixels(bounds, {0: 3}, most=1) == ([0], False)  # image 1 may have 7
    assert most_pixels(bounds, {0: 3, 1: 6}, most=1) == ([1], True)  # image 2 has at most 5
    assert most_pixels(bounds, {0: 3, 1: 6}, most=2) == ([1, 0], False)  # 5 is more than 3
    assert most_pixels(bounds, {0: 4, 1: 4, 2: 0}, most=3) == ([0, 1], True)  # ties by place, no pixel left out


def test_images_of_a_cell_are_those_with_most_pixels_of_all(real_runs):
    run = open_run(real_runs, "cells")
    cell = Cell(1, 0, 0.3)
    found = queries.images.cell_images(run, "test", "sigmoid", 0, cell, "#0072b2")
    with run.predictions("test", "sigmoid", 0) as reader:
        pixels = {one.image: int((one.truth[1] & decide(one.log_odds, rule="threshold", thresholds=0.3)[0] & one.valid)
                                 .sum()) for one in reader}  # fmt: skip
    assert found.total == sum(pixels.values())
    assert found.pixels is None
    assert all(pixels[one.image] == one.pixels for one in found.marked)
    if found.certain:
        assert [one.pixels for one in found.marked] == sorted(pixels.values(), reverse=True)[: len(found.marked)]
    assert found.looked_at <= 8


def test_pixels_of_an_argmax_cell_are_known_for_every_image(real_runs):
    run = open_run(real_runs, "landcover")
    found = queries.images.cell_images(run, "test", "softmax", 0, Cell(0, 2), "#d55e00")
    shown = [one.pixels for one in found.marked]
    assert shown == sorted(found.pixels.values(), reverse=True)[: len(shown)]
    assert found.certain
    assert found.total == sum(found.pixels.values())


def test_marked_pixels_take_the_colour_and_a_pale_rim():
    mask = np.zeros((8, 8), bool)
    mask[3, 4] = True
    picture = marked_picture(np.full((8, 8, 3), 100, np.uint8), mask, "#0072b2")
    step = picture.shape[0] // 8
    small = picture[::step, ::step]
    assert small[3, 4].tolist() == [0, 0x72, 0xB2]
    # 255 - (255 - c) * 2 // 5 of (0, 114, 178): 255 - 102, 255 - 56, 255 - 30
    assert small[2, 4].tolist() == small[3, 5].tolist() == [153, 199, 225]
    assert small[2, 3].tolist() == small[0, 0].tolist()  # diagonal neighbours are no rim
    empty = marked_picture(np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8), bool), "#0072b2")
    assert len(np.unique(empty.reshape(-1, 3), axis=0)) == 1


# Matrices ------------------------------------------------------------------------------------------------------------


def test_argmax_matrix_is_that_of_another_library(real_runs):
    run = open_run(real_runs, "landcover")
    panel = panels.matrices(Selection(run, "test", (0,)), LIGHT)
    with run.predictions("test", "softmax", 0) as reader:
        pairs = [(one.truth.argmax(axis=0)[one.valid], one.log_odds.argmax(axis=0)[one.valid]) for one in reader]
    true, called = (np.concatenate(some) for some in zip(*pairs, strict=True))
    expected = confusion_matrix(true, called, labels=range(6), normalize="true")
    drawn = np.asarray(panel.pictures[1].figure.data[0].z)
    assert np.allclose(drawn, expected, atol=1e-12)
    ours = np.asarray(panel.pictures[0].figure.data[0].z)
    assert np.allclose(np.asarray(panel.pictures[2].figure.data[0].z), ours - drawn)


def small_matrix(**more):
    table = pd.DataFrame(
        {"truth": ["a", "a", "b", "b"], "predicted": ["a", "b", "a", "b"], "share": [0.75, 0.25, np.nan, np.nan]}
    )
    return matrix_figure(
        table, LIGHT, rows="truth", columns="predicted", value="share", title="t", row_title="truth",
        column_title="predicted", color="#0072b2", top=1.0, **more,
    )  # fmt: skip


def test_squares_that_can_be_clicked_lie_over_the_cells_that_have_a_value():
    figure = small_matrix(clickable=True)
    heat, points = figure.data
    assert [tuple(one) for one in points.customdata] == [("a", "a", 0.75), ("a", "b", 0.25)]
    assert list(points.x) == ["a", "b"]
    assert list(points.text) == ["75", "25"]
    assert points.marker.opacity == 0
    assert heat.hoverinfo == "skip"
    assert "customdata[2]:.1%" in points.hovertemplate
    # No room around the points, or the heat map would shrink.
    assert tuple(figure.layout.xaxis.range) == (-0.5, 1.5)
    assert tuple(figure.layout.yaxis.range) == (1.5, -0.5)


def test_chosen_cell_is_framed():
    frame = small_matrix(clickable=True, chosen=("a", "b")).layout.shapes[0]
    assert (frame.x0, frame.x1, frame.y0, frame.y1) == (0.5, 1.5, -0.5, 0.5)
    assert not small_matrix(clickable=True, chosen=("a", "gone")).layout.shapes


def test_long_names_are_shortened_where_they_are_written_only():
    table = pd.DataFrame({"truth": ["x" * 40], "predicted": ["x" * 40], "share": [1.0]})
    figure = matrix_figure(
        table, DARK, rows="truth", columns="predicted", value="share", title="t", row_title="r", column_title="c",
        color="#0072b2", clickable=True,
    )  # fmt: skip
    assert figure.layout.xaxis.ticktext[0] == "x" * 15 + "…"
    assert figure.data[1].customdata[0][0] == "x" * 40


@pytest.mark.parametrize("name", ["landcover", "cells", "vessels"])
def test_every_cell_of_the_matrices_leads_to_its_pixels(real_runs, name):
    run = open_run(real_runs, name)
    shown = Selection(run, "test", (0,))
    for decision in tables.decisions(run):
        table = tables.both(shown, decision=decision, threshold=0.3)
        rows, columns = tables.names_of(shown, decision)
        counts = queries.counts.counts(run, "test", "sigmoid", (0,), "raw")
        for row in table.to_dict("records"):
            cell = tables.cell_of(
                shown, rows, columns, row["truth"], row["predicted"], decision=decision, threshold=0.3
            )
            assert cell_pixels(counts, cell).total == row["pixels_sigmoid"], row


def test_page_opens_on_the_cell_in_which_the_heads_differ_most(real_runs):
    shown = Selection(open_run(real_runs, "landcover"), "val", (0,))
    truth, predicted, head = tables.telling_cell(shown)
    table = tables.both(shown, form="count")
    off = table[table["truth"] != table["predicted"]].set_index(["truth", "predicted"])["difference"]
    assert abs(off[truth, predicted]) == off.abs().max()
    assert head == ("sigmoid" if off[truth, predicted] >= 0 else "softmax")
    assert tables.telling_cell(replace(shown, region="interior")) == (truth, predicted, head)  # as in the link


# Label sets ----------------------------------------------------------------------------------------------------------


def test_wrong_label_sets_are_counted_as_pixel_by_pixel(real_runs):
    run = open_run(real_runs, "cells")
    panel = panels.set_errors(Selection(run, "test", (0,), "softmax-powerset"), LIGHT)
    names = run.dataset["classes"]
    found = {}
    with run.predictions("test", "softmax-powerset", 0) as reader:
        for one in reader:
            called = decide(one.log_odds, rule="threshold")
            for true, given in zip(one.truth[:, one.valid].T, called[:, one.valid].T, strict=True):
                pair = tuple("+".join(n for n, there in zip(names, some, strict=True) if there) or "none"
                             for some in (true, given))  # fmt: skip
                found[pair] = found.get(pair, 0) + 1
    rows = panel.table[panel.table["head"] == "softmax-powerset"]
    whole = sum(found.values())
    for row in rows.to_dict("records"):
        pixels = found.get((row["truth"], row["called"]), 0)
        assert row["truth"] != row["called"]
        assert row["pixels"] == pixels
        assert row["share"] == pytest.approx(pixels / whole)
    assert rows["pixels"].max() == max(n for pair, n in found.items() if pair[0] != pair[1])
    right = sum(n for pair, n in found.items() if pair[0] == pair[1]) / whole
    assert f"Label sets {100 * right:.1f}%" in panel.pictures[0].figure.layout.title.subtitle.text


def test_matrices_of_label_sets_have_the_same_sets_and_full_rows(real_runs):
    panel = panels.label_sets(Selection(open_run(real_runs, "cells"), "test", (0, 1)), DARK)
    first, second = (picture.figure.data[0] for picture in panel.pictures)
    assert list(first.x) == list(second.x)
    assert list(first.y) == list(second.y)
    for heat in (first, second):
        assert np.allclose(np.asarray(heat.z).sum(axis=1), 1)
    assert set(panel.table["head"]) == {"sigmoid", "softmax"}


def test_rare_label_sets_are_pooled_into_one():
    # 20 sets of falling weight, all called right: 8 keep their names, the other 12 are one row of one column.
    pixels = np.arange(20, 0, -1)
    table = pd.DataFrame({"truth": [f"s{k}" for k in range(20)], "pixels": pixels}).assign(called=lambda t: t["truth"])
    pooled = tables.pooled_sets({"sigmoid": table})["sigmoid"]
    assert list(dict.fromkeys(pooled["truth"])) == [f"s{k}" for k in range(8)] + [overlap.REST]
    assert pooled[pooled["truth"] == pooled["called"]]["share"].tolist() == [1.0] * 9


def test_one_class_has_no_label_sets(real_runs):
    shown = Selection(open_run(real_runs, "vessels"), "test", (0,))
    assert panels.label_sets(shown, LIGHT) is None
    assert panels.set_errors(shown, LIGHT) is None


def test_points_of_wrong_sets_stand_in_the_order_of_the_table():
    table = pd.DataFrame(
        {
            "head": ["sigmoid"] * 2 + ["softmax"] * 2, "truth": ["a", "b"] * 2, "called": ["b", "none"] * 2,
            "share": [0.2, 0.1, 0.05, 0.15],
        }
    )  # fmt: skip
    figure = set_errors_figure(table, LIGHT, title="t")
    assert [(one.name, list(one.x), list(one.y)) for one in figure.data] == [
        ("Sigmoid", [0.2, 0.1], [0, 1]), ("Softmax", [0.05, 0.15], [0, 1]),
    ]  # fmt: skip
    assert list(figure.layout.yaxis.ticktext) == ["a → b", "b → none"]


# Page ----------------------------------------------------------------------------------------------------------------


def open_page(monkeypatch, runs, **query):
    return opening.open_page(monkeypatch, runs, "confusion", **query)


def test_link_opens_the_cell_and_the_threshold_and_lists_change_them(monkeypatch, real_runs):
    run = open_run(real_runs, "landcover")
    table = tables.both(Selection(run, "test", (0,)), decision="threshold", threshold=0.3)
    off = table[table["truth"] != table["predicted"]]
    worst = off.loc[off["pixels_softmax"].idxmax()]
    query = {"truth": worst["truth"], "predicted": worst["predicted"], "by": "Softmax", "threshold": "0.3"}
    at = open_page(monkeypatch, real_runs, run="landcover", decision="Threshold", **query)
    assert not at.exception
    assert [at.selectbox(key=key).value for key in ("truth", "predicted")] == [worst["truth"], worst["predicted"]]
    assert at.segmented_control(key="by").value == "softmax"
    said = "".join(one.value for one in at.caption).replace("\\", "")
    assert "pixels at p > 0.30" in said
    assert f"{worst['pixels_softmax']:,}".replace(",", "\u202f") in said
    assert any(panel.proto.alt.startswith("Commonest wrong label sets") for panel in at.get("plotly_chart"))
    at.selectbox(key="truth").select(worst["predicted"]).run()
    assert not at.exception
    # The diagonal is counted by image.
    assert " of 40 images" in "".join(one.value for one in at.caption)
    at.sidebar.selectbox[0].select("cells").run()
    assert not at.exception
    assert at.selectbox(key="truth").value in ("cell", "nucleus", "fibre", "no label")


def test_cell_without_a_pixel_says_what_to_do(monkeypatch, tmp_path):
    make_run(tmp_path, "empty", kind="overlapping", classes=("seen", "unseen"), empty=("unseen",), images=2)
    at = open_page(monkeypatch, tmp_path, run="empty", truth="unseen", predicted="seen")
    assert not at.exception
    assert at.selectbox(key="truth").value == "unseen"
    assert "No pixel is in this cell. Choose another one." in "".join(one.value for one in at.caption).replace("\\", "")


def test_pictures_of_a_cell_are_whole_files(real_runs):
    run = open_run(real_runs, "vessels")
    found = queries.images.cell_images(run, "test", "sigmoid", 0, Cell(0, NONE, 0.5), "#0072b2")
    for one in found.marked:
        picture = np.asarray(Image.open(io.BytesIO(one.picture)))
        step = picture.shape[0] // 64
        assert (picture[::step, ::step] == [0, 0x72, 0xB2]).all(axis=-1).sum() == one.pixels
