"""The page Accuracy: scores of images against counts and stored ones, means with intervals, figures, and its links."""

import io

import numpy as np
import opening
import pandas as pd
import pytest
from PIL import Image

from dashboard import queries
from dashboard.displays import accuracy as panels
from dashboard.displays import accuracy as tables
from dashboard.displays.accuracy import (
    BY_IMAGE,
    POOLED,
    boxes_figure,
    pairs_figure,
    seed_differences_figure,
    seed_values_figure,
    values_figure,
)
from dashboard.displays.base import Selection
from dashboard.queries import scores as scores
from dashboard.theme import DARK, LIGHT
from pipelines.heads import decide
from pipelines.metrics import METRICS, estimates
from pipelines.schema import ALL_SEEDS, MACRO
from pipelines.store.runs import open_run

COLORS = ("#0072b2", "#d55e00", "#8a6fb0")


# Scores of images ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["landcover", "cells", "vessels"])
def test_scores_of_images_are_those_of_the_counts(real_runs, name):
    run = open_run(real_runs, name)
    counts = run.counts("test", "softmax", 0)
    setting = scores.setting_of(run, "test", "softmax", 0)
    metrics = tables.metric_names(run, split="test")
    assert {"dice", "iou", "precision", "specificity", "mcc", "boundary_iou", "surface_dice"} <= set(metrics)
    for metric in metrics:
        for region in queries.scores.scored_regions(run, "test", metric):
            ours = queries.scores.image_values(run, "test", "softmax", (0,), metric, region)
            rows = estimates.by_image(
                counts, metric, setting=setting, classes=run.dataset["classes"], region=region
            )  # fmt: skip
            assert np.array_equal(ours.to_numpy().reshape(-1), rows["value"].to_numpy(), equal_nan=True), metric
            assert list(ours.index) == list(counts.images)


def test_every_score_of_labels_is_offered_and_no_other():
    assert "volume_bias" not in queries.scores.label_scores()  # neither better
    assert not [name for name in queries.scores.label_scores() if name.endswith("_image_mean")]
    assert all(METRICS[name].better == "higher" for name in queries.scores.label_scores())


def test_tuned_thresholds_are_offered_where_they_were_tuned_on_other_images(real_runs):
    run = open_run(real_runs, "cells")
    assert queries.scores.scored_regions(run, "test", "dice_tuned")
    assert not queries.scores.scored_regions(run, "val", "dice_tuned")


def test_mean_of_seeds_leaves_out_those_without_a_score():
    # (0.2 + 0.4) / 2; 0.6 alone; nothing
    values = np.array([[[0.2, np.nan, np.nan]], [[0.4, 0.6, np.nan]]])
    assert np.allclose(scores._mean(values), [[0.3, 0.6, np.nan]], equal_nan=True)


def test_images_of_the_page_have_the_scores_that_evaluation_stored(real_runs):
    run = open_run(real_runs, "cells")
    table = tables.image_pairs(Selection(run, "test", (1,), metric="iou")).set_index("image")
    stored = run.image_scores().query("split == 'test' and seed == 1").set_index("image")
    for head, column in (("sigmoid", "sigmoid"), ("softmax", "softmax")):
        expected = stored[stored["head"] == head]["iou"].loc[table.index]
        assert np.allclose(table[column], expected, atol=1e-12)


@pytest.mark.parametrize("metric", ["dice", "boundary_iou"])
@pytest.mark.parametrize("name", ["cells", "landcover"])
def test_means_of_images_are_those_that_evaluation_stored(real_runs, name, metric):
    # The page makes means for every metric; evaluation stores some. Same draws, same numbers.
    run = open_run(real_runs, name)
    ours = queries.scores.image_means(run, "test", metric, "all")
    stored = queries.scores.stored_rows(run, "test", f"{metric}_image_mean", "all")
    keys = ["head", "seed", "class"]
    both = ours.merge(stored, on=keys, suffixes=("", "_stored"))
    assert len(both) == len(ours)
    assert set(ours["head"]) == {*run.heads, "difference", *(["difference-powerset"] if name == "cells" else [])}
    for column in ("value", "low", "high"):
        assert np.allclose(both[column], both[f"{column}_stored"], atol=1e-6, equal_nan=True), column


def test_mean_of_images_of_a_score_that_is_not_stored_is_the_mean(real_runs):
    run = open_run(real_runs, "landcover")
    rows = queries.scores.image_means(run, "test", "precision", "interior").set_index(["head", "seed", "class"])
    values = queries.scores.image_values(run, "test", "sigmoid", (0,), "precision", "interior")
    for name in run.dataset["classes"]:
        row = rows.loc[("sigmoid", 0, name)]
        assert row["value"] == pytest.approx(values[name].mean(), nan_ok=True)
        if not np.isnan(row["value"]):
            assert 0 <= row["low"] <= row["value"] <= row["high"] <= 1


def test_differences_of_image_means_stay_within_what_is_possible(real_runs):
    run = open_run(real_runs, "cells")  # two seeds that differ: an interval of t with one degree of freedom
    rows = queries.scores.image_means(run, "test", "precision", "all")
    gaps = rows[~rows["head"].isin(run.heads)].dropna(subset=["low"])
    assert len(gaps)
    assert ((gaps["low"] >= -1) & (gaps["high"] <= 1)).all()


# Panels --------------------------------------------------------------------------------------------------------------


def test_classes_stand_on_one_line_in_all_three_figures(real_runs):
    run = open_run(real_runs, "landcover")
    panel = panels.by_class(Selection(run, "test", run.seeds), LIGHT)
    figures = [picture.figure for picture in panel.pictures]
    assert len(figures) == 3
    assert len({figure.layout.height for figure in figures}) == 1
    assert len({tuple(figure.layout.yaxis.range) for figure in figures}) == 1
    assert list(figures[1].layout.yaxis.categoryarray) == ["mean of classes", *run.dataset["classes"]]
    points = next(trace for trace in figures[1].data if trace.mode == "markers")
    stored = queries.scores.stored_rows(run, "test", "dice", "all").query("head == 'difference' and seed == @ALL_SEEDS")
    assert list(points.x) == stored.set_index("class")["value"].loc[[MACRO, *run.dataset["classes"]]].tolist()


def test_one_seed_shows_its_own_rows(real_runs):
    run = open_run(real_runs, "cells")
    found = {seeds: tables.gaps(Selection(run, "test", seeds))[POOLED].value for seeds in (run.seeds, (0,), (1,))}
    assert found[run.seeds] == pytest.approx((found[(0,)] + found[(1,)]) / 2)


def test_a_score_of_the_whole_image_has_one_row(real_runs):
    run = open_run(real_runs, "landcover")
    panel = panels.by_class(Selection(run, "test", (0,), metric="pixel_accuracy"), DARK)
    assert set(panel.table["class"]) == {"all"}
    assert set(panel.table["average"]) == {POOLED, BY_IMAGE}
    # One value an image: its mean over 40 images is in the table.
    values = queries.scores.image_values(run, "test", "sigmoid", (0,), "pixel_accuracy", "all")
    row = panel.table.query("head == 'sigmoid' and average == @BY_IMAGE").iloc[0]
    assert row["value"] == pytest.approx(values["all"].mean())


def test_difference_decides_only_beyond_the_margin(real_runs):
    run = open_run(real_runs, "landcover")
    table = tables.image_pairs(Selection(run, "test", (0,), class_name="forest"), margin=0.02)
    assert table["difference"].abs().is_monotonic_decreasing
    for row in table.to_dict("records"):
        expected = "neither" if abs(row["difference"]) <= 0.02 else "sigmoid" if row["difference"] > 0 else "softmax"
        assert row["better"] == expected
        assert row["difference"] == row["sigmoid"] - row["softmax"]


def test_images_can_be_ordered_by_what_is_worst_and_most_different():
    table = pd.DataFrame(
        {"image": list("abc"), "sigmoid": [0.9, 0.1, 0.5], "softmax": [0.2, 0.8, 0.5], "difference": [0.7, -0.7, 0.0]}
    )
    first = {order: list(tables.ordered(table, order)["image"]) for order in tables.ORDERS}
    assert first == {
        "worst sigmoid": ["b", "c", "a"], "worst softmax": ["a", "c", "b"], "sigmoid better": ["a"],
        "softmax better": ["b"],
    }  # fmt: skip


def test_spread_between_seeds_stands_beside_the_difference(real_runs):
    run = open_run(real_runs, "cells")
    panel = panels.by_seed(Selection(run, "test", (0,), class_name="cell"), LIGHT)
    rows = queries.scores.stored_rows(run, "test", "dice", "all").query("`class` == 'cell'").set_index(["head", "seed"])
    two = [rows.loc[("sigmoid", seed), "value"] for seed in (0, 1)]
    # Standard deviation of two values: |a - b| / √2.
    assert f"Sigmoid {abs(two[0] - two[1]) / 2**0.5:.3f}" in panel.pictures[0].figure.layout.title.subtitle.text
    differences = panel.pictures[1].figure.data[0]
    assert list(differences.x) == [rows.loc[("difference", seed), "value"] for seed in (0, 1, ALL_SEEDS)]


def test_one_seed_has_no_spread(real_runs):
    assert panels.by_seed(Selection(open_run(real_runs, "landcover"), "test", (0,)), LIGHT) is None


def test_boxes_hold_the_quantiles_of_the_images(real_runs):
    run = open_run(real_runs, "vessels")
    panel = panels.spread_of_images(Selection(run, "test", (0,)), LIGHT)
    values = queries.scores.image_values(run, "test", "softmax", (0,), "dice", "all")["vessel"].dropna()
    row = panel.table.set_index("head").loc["softmax"]
    assert [row["p5"], row["p50"], row["p95"]] == pytest.approx(list(np.quantile(values, [0.05, 0.5, 0.95])))
    assert row["mean"] == pytest.approx(values.mean())
    stored = queries.scores.stored_rows(run, "test", "dice", "all").set_index(["head", "seed", "class"])
    assert row["pooled"] == stored.loc[("softmax", ALL_SEEDS, "vessel"), "value"]
    points = [trace for trace in panel.pictures[0].figure.data if trace.marker.size == 5]
    assert [len(trace.x) for trace in points] == [len(values)] * 2  # one class: a point for each image


# Pictures ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [None, "nucleus"])
def test_errors_are_marked_where_the_labels_are_wrong(real_runs, name):
    run = open_run(real_runs, "cells")
    image = queries.scores.image_values(run, "test", "sigmoid", (0,), "dice", "all").index[3]
    with run.predictions("test", "sigmoid", 0) as reader:
        one = reader.read(image)
    wrong = decide(one.log_odds, rule="threshold") != one.truth
    expected = (wrong.any(axis=0) if name is None else wrong[run.dataset["classes"].index(name)]) & one.valid
    file = queries.images.error_picture(run, "test", image, 0, ("sigmoid",), name, COLORS[:1])
    picture = np.asarray(Image.open(io.BytesIO(file)))
    step = picture.shape[0] // expected.shape[0]
    assert np.array_equal((picture[::step, ::step] == [0, 0x72, 0xB2]).all(axis=-1), expected)
    both = queries.images.error_picture(run, "test", image, 0, ("sigmoid", "softmax"), name, COLORS)
    assert both != file


# Figures -------------------------------------------------------------------------------------------------------------


def pair_table():
    return pd.DataFrame(
        {
            "image": ["a", "b", "c"], "sigmoid": [0.9, 0.5, 0.2], "softmax": [0.5, 0.5, 0.6],
            "difference": [0.4, 0.0, -0.4], "better": ["sigmoid", "neither", "softmax"],
        }
    )  # fmt: skip


def test_point_of_an_image_has_sigmoid_upwards_and_the_colour_of_the_better_head():
    figure = pairs_figure(pair_table(), LIGHT, contender="softmax", margin=0.1, title="t", chosen="c")
    groups = {trace.name.split(":")[0]: trace for trace in figure.data if trace.name}
    assert {name: (list(one.x), list(one.y)) for name, one in groups.items()} == {
        "within the margin": ([0.5], [0.5]), "sigmoid better": ([0.5], [0.9]), "softmax better": ([0.6], [0.2]),
    }  # fmt: skip
    assert groups["sigmoid better"].marker.color == LIGHT.heads["sigmoid"]
    assert groups["softmax better"].marker.color == LIGHT.heads["softmax"]
    assert len({one.marker.symbol for one in groups.values()}) == 3
    assert groups["softmax better"].customdata[0][0] == "c"
    assert (list(figure.data[-1].x), list(figure.data[-1].y)) == ([0.6], [0.2])  # the ring
    # Both axes from 0.2 - 5% to 0.9 + 5% of 0.7; the band lies 0.1 above and below the diagonal.
    assert tuple(figure.layout.xaxis.range) == tuple(figure.layout.yaxis.range) == pytest.approx((0.165, 0.935))
    corners = [tuple(map(float, one[1:].split(","))) for one in figure.layout.shapes[0].path.split()[:-1]]
    assert [y - x for x, y in corners] == pytest.approx([0.1, 0.1, -0.1, -0.1])


def test_both_averages_stand_in_a_row_filled_and_hollow():
    table = pd.DataFrame(
        {
            "class": "a", "head": ["sigmoid", "sigmoid", "softmax", "softmax"], "average": [POOLED, BY_IMAGE] * 2,
            "value": [0.8, 0.7, 0.6, np.nan], "low": 0.5, "high": 0.9,
        }
    )  # fmt: skip
    figure = values_figure(table, LIGHT, title="t", subtitle="s")
    filled, hollow, theirs, missing = figure.data
    assert filled.marker.color == LIGHT.heads["sigmoid"]
    assert hollow.marker.color == LIGHT.surface
    assert filled.y[0] < hollow.y[0] < theirs.y[0]
    assert list(filled.error_x.array) == pytest.approx([0.1])
    assert len(missing.x) == 0


def test_seeds_are_joined_across_heads():
    table = pd.DataFrame(
        {"seed": [0, 1, 0, 1], "head": ["sigmoid", "sigmoid", "softmax", "softmax"], "value": [0.5, 0.6, 0.7, 0.8]}
    )
    figure = seed_values_figure(table, LIGHT, title="t", subtitle="s")
    lines = [list(one.x) for one in figure.data if one.mode == "lines"]
    assert lines == [[0.5, 0.7], [0.6, 0.8]]


def test_seed_differences_without_an_interval_still_have_an_axis():
    table = pd.DataFrame({"seed": [0, 1], "difference": [0.1, -0.2], "low": np.nan, "high": np.nan})
    figure = seed_differences_figure(
        table, LIGHT, contender="softmax", margin=0.01, title="t", subtitle="s",
        mean={"value": -0.05, "low": np.nan, "high": np.nan},
    )  # fmt: skip
    assert list(figure.data[0].x) == [0.1, -0.2, -0.05]
    assert tuple(figure.layout.xaxis.range) == pytest.approx((-0.22, 0.22))


def test_class_without_a_score_has_no_box():
    table = pd.DataFrame(
        {"class": ["a", "b"], "head": "sigmoid", "images": [3, 0], "pooled": [0.5, np.nan]}
        | {f"p{k}": [k / 100, np.nan] for k in (5, 25, 50, 75, 95)}
    )
    box, pooled = boxes_figure(table, LIGHT, values=None, title="t").data
    assert [list(one) for one in (box.q1, box.median, box.q3)] == [[0.25], [0.5], [0.75]]
    assert list(pooled.x) == [0.5]


# Page ----------------------------------------------------------------------------------------------------------------


def open_page(monkeypatch, runs, **query):
    return opening.open_page(monkeypatch, runs, "accuracy", **query)


def test_link_opens_score_class_margin_and_image(monkeypatch, real_runs):
    run = open_run(real_runs, "cells")
    image = queries.scores.image_values(run, "test", "sigmoid", (0,), "dice", "all").index[5]
    at = open_page(
        monkeypatch, real_runs, run="cells", metric="Surface Dice", margin="0.05", image=image,
        **{"class": "cell"},
    )  # fmt: skip
    assert not at.exception
    assert at.selectbox(key="metric").value == "surface_dice"
    assert at.selectbox(key="class").value == "cell"
    assert at.selectbox(key="image").value == image
    assert at.select_slider(key="margin").value == 0.05
    assert "region" not in at.session_state  # an outline has no interior: there is nothing to choose
    alts = [one.proto.alt for one in at.get("plotly_chart")]
    assert any("Surface Dice of each image, cell" in alt for alt in alts)
    at.selectbox(key="metric").select("precision").run()
    at.segmented_control(key="region").set_value("boundary").run()
    at.segmented_control(key="extreme").set_value("softmax better").run()
    assert not at.exception


def test_image_that_is_chosen_is_the_most_different_one_at_first(monkeypatch, real_runs):
    run = open_run(real_runs, "landcover")
    at = open_page(monkeypatch, real_runs, run="landcover")
    table = tables.image_pairs(Selection(run, "test", (0,)))
    assert not at.exception
    assert at.selectbox(key="image").value == table["image"].iloc[0]
    assert any("One seed says nothing" in one.value for one in at.caption)
    at.selectbox(key="metric").select("pixel_accuracy").run()  # of all classes at once: there is none to choose
    assert not at.exception
    assert "class" not in {box.key for box in at.selectbox}
