"""The page "Calibration": diagrams on both axes, single images, and every metric with its paired difference."""

import json
import math

import numpy as np
import opening
import pandas as pd
import plotly.graph_objects as go
import pytest
from scipy.special import logit

from dashboard import queries
from dashboard.displays import calibration as panels
from dashboard.displays.base import Selection
from dashboard.displays.calibration import by_image_figure, place, reliability_figure
from dashboard.queries.counts import units_of
from dashboard.theme import DARK, LIGHT
from pipelines.metrics import METRICS, Setting, calibration
from pipelines.metrics.calibration import TOP_LABEL
from pipelines.store.runs import open_run

SEEN = 1e-5  # positions are rounded to what can be seen


@pytest.fixture(scope="module")
def landcover(real_runs):
    return open_run(real_runs, "landcover")


@pytest.fixture(scope="module")
def cells(real_runs):
    return open_run(real_runs, "cells")


@pytest.fixture
def page(monkeypatch, real_runs):
    """Opens the page on a run, as a link would."""

    def open_page(run, **query):
        return opening.open_page(monkeypatch, real_runs, "calibration", run=run, **query)

    return open_page


def value_of(run, **wanted):
    """One value of metrics.parquet, over the test images."""
    rows = run.metrics()
    for name, one in ({"split": "test", "region": "all", "variant": "raw"} | wanted).items():
        rows = rows[rows[name.removesuffix("_")] == one]
    return rows["value"].item()


def bins_table():
    """Three bins; the first holds nothing, the last only positives."""
    nan = math.nan
    return pd.DataFrame(
        {
            "class": "x", "bin": [0, 1, 2], "low_edge": [0, 1 / 3, 2 / 3], "high_edge": [1 / 3, 2 / 3, 1],
            "pixels": [0, 6, 4], "share": [0, 0.6, 0.4], "mean_p": [nan, 0.5, 0.9], "observed": [nan, 0.25, 1.0],
            "low": [nan, 0.1, 1.0], "high": [nan, 0.4, 1.0],
        }
    )  # fmt: skip


def test_log_odds_axes_put_p_where_its_logit_is():
    p = np.array([0.01, 0.5, 0.9])
    assert place(p, "log-odds") == pytest.approx(logit(p))
    ends = place(np.array([0.0, 1.0]), "log-odds")
    assert ends == pytest.approx([logit(3e-4), -logit(3e-4)])  # where log-odds would be infinite
    assert place(p, "linear") is p


def test_log_odds_diagram_has_readable_ticks_and_the_same_numbers_under_the_cursor():
    both = {"sigmoid": bins_table(), "softmax": bins_table()}
    options = {"title": "x", "errors": {"sigmoid": 0.19, "softmax": 0.19}, "height": 620}
    drawn = {scale: reliability_figure(both, LIGHT, scale=scale, **options) for scale in ("linear", "log-odds")}
    lines = {scale: next(one for one in figure.data if one.mode == "lines+markers") for scale, figure in drawn.items()}
    assert list(lines["linear"].x) == [0.5, 0.9]
    assert list(lines["log-odds"].x) == pytest.approx(logit([0.5, 0.9]), abs=SEEN)
    assert list(lines["log-odds"].y) == pytest.approx([logit(0.25), -logit(3e-4)], abs=SEEN)
    assert np.array_equal(lines["log-odds"].customdata, lines["linear"].customdata)
    axis = drawn["log-odds"].layout.xaxis2
    assert list(axis.ticktext) == ["0.001", "0.01", "0.1", "0.5", "0.9", "0.99", "0.999"]
    assert list(axis.tickvals) == pytest.approx(logit([0.001, 0.01, 0.1, 0.5, 0.9, 0.99, 0.999]))


def test_bars_on_log_odds_share_the_width_of_their_bin():
    figure = reliability_figure(
        {"sigmoid": bins_table(), "softmax": bins_table()}, LIGHT, title="x", scale="log-odds",
        errors={"sigmoid": 0.1, "softmax": 0.1},
    )  # fmt: skip
    first, second = (one for one in figure.data if one.type == "bar")
    edges = place(np.array([0, 1 / 3, 2 / 3, 1]), "log-odds")
    room = np.diff(edges)
    assert np.asarray(first.x) == pytest.approx(edges[:-1], abs=SEEN)
    assert np.asarray(first.width) == pytest.approx(0.45 * room, abs=SEEN)
    ends = [np.asarray(one.offset) + np.asarray(one.width) for one in (first, second)]
    assert ends[0] == pytest.approx(np.asarray(second.offset), abs=2 * SEEN)
    assert (ends[1] < room).all()


def test_error_weighs_gaps_by_pixels_and_leaves_empty_bins_out():
    # 0.6 |0.25 - 0.5| + 0.4 |1 - 0.9| = 0.15 + 0.04
    assert panels.calibration_error(bins_table()) == pytest.approx(0.19)


@pytest.mark.parametrize("scale", ["linear", "log-odds"])
def test_every_diagram_is_one_that_plotly_takes(landcover, cells, scale):
    # Figures are not validated when they are made; here they are.
    for run in (landcover, cells):
        for region in ("all", "foreground"):
            panel = panels.reliability(
                Selection(run, "test", run.seeds, region=region), DARK, scale=scale, bins=100
            )  # fmt: skip
            for picture in panel.pictures:
                again = go.Figure(json.loads(picture.figure.to_json()))
                assert len(again.data) == 1 + 3 * len(run.heads)


def test_diagram_of_every_class_says_the_error_that_was_measured(landcover):
    panel = panels.reliability(Selection(landcover, "test", landcover.seeds), LIGHT)
    assert panel.pictures[0].key == f"reliability_{TOP_LABEL}"
    assert len(panel.pictures) == 1 + len(landcover.dataset["classes"])
    for head in landcover.heads:
        for name, rows in panel.table[panel.table["head"] == head].groupby("class"):
            metric, label = ("top_label_ece", "all") if name == TOP_LABEL else ("classwise_ece", name)
            measured = value_of(landcover, head=head, seed=0, metric=metric, class_=label)
            assert panels.calibration_error(rows) == pytest.approx(measured, abs=1e-9), (head, name)


def test_every_number_of_bins_is_counted_at_once_and_as_if_alone(cells):
    key = (cells, "test", "sigmoid", (0, 1), "raw", "boundary")
    by_image = calibration.reliability_steps(queries.counts.counts(*key[:5]), region="boundary")
    kept = by_image[:, :, :2].astype(np.float32)
    steps = calibration.resampled_steps(by_image.sum(axis=0), kept, units_of(cells, "test"))
    for bins in queries.counts.BINS:
        alone = calibration.reliability(steps, names=cells.dataset["classes"], bins=bins)
        pd.testing.assert_frame_equal(queries.counts.reliability(*key, bins), alone)


def test_only_the_classes_asked_for_are_drawn(cells):
    panel = panels.reliability(Selection(cells, "test", (1,)), LIGHT, classes=["nucleus"])
    assert [picture.figure.layout.title.text for picture in panel.pictures] == ["nucleus"]
    assert set(panel.table["class"]) == {"nucleus"}


def test_softmax_after_temperatures_by_class_is_softmax_after_its_one(cells):
    def rows(variant):
        table = panels.reliability(Selection(cells, "test", (0,), variant=variant), LIGHT).table
        return {head: some.reset_index(drop=True) for head, some in table.groupby("head")}

    one, by_class = rows("temperature"), rows("temperature-by-class")
    pd.testing.assert_frame_equal(one["softmax"], by_class["softmax"])
    assert not one["sigmoid"].equals(by_class["sigmoid"])


def test_single_images_stand_beside_the_pooled_error(landcover):
    panel = panels.by_image(Selection(landcover, "test", landcover.seeds), LIGHT)
    setting = Setting("exclusive", landcover.facts["calibration_bins"], bool(landcover.dataset["background"]))
    names = landcover.dataset["classes"]
    for head in landcover.heads:
        rows = panel.table[panel.table["head"] == head].set_index("class")
        assert rows.loc[names[0], "pooled"] == pytest.approx(
            value_of(landcover, head=head, seed=0, metric="classwise_ece", class_=names[0])
        )
        counted = queries.counts.counts(landcover, "test", head, landcover.seeds, "raw")
        values = METRICS["top_label_ece"].by_image(counted, "all", setting)
        assert rows.loc[TOP_LABEL, "p50"] == pytest.approx(np.median(values))
    dots = [one for one in panel.pictures[0].figure.data if one.customdata is not None and np.ndim(one.customdata) == 2]
    assert sum(len(one.x) for one in dots) == panel.table["images"].sum()
    image, name, head = dots[0].customdata[0]
    _, single = queries.counts.ece_by_image(landcover, "test", head, landcover.seeds, "raw", "all")
    assert dots[0].x[0] == single[(single["image"] == image) & (single["class"] == name)]["value"].item()


def by_image_tables(images):
    rng = np.random.default_rng(0)
    single = pd.DataFrame({"image": [str(at) for at in range(images)], "class": "a", "value": rng.random(images)})
    quantiles = dict(
        zip(
            ("p5", "p25", "p50", "p75", "p95"), np.quantile(single["value"], (0.05, 0.25, 0.5, 0.75, 0.95)), strict=True
        )
    )
    pooled = pd.DataFrame([{"class": "a", "head": "sigmoid", "pooled": 0.1, "images": images} | quantiles])
    return pooled, single.assign(head="sigmoid")


def test_of_very_many_images_only_the_unusual_get_a_dot():
    few, many = (by_image_figure(*by_image_tables(count), LIGHT, title="t") for count in (2500, 3000))
    assert [len(figure.data[3].x) for figure in (few, many)] == [2500, 300]
    low, high = by_image_tables(3000)[0].iloc[0][["p5", "p95"]]
    assert not ((np.asarray(many.data[3].x) > low) & (np.asarray(many.data[3].x) < high)).any()


def test_undefined_images_leave_no_dot_and_a_class_without_pixels_no_mark():
    pooled, single = by_image_tables(4)
    single.loc[0, "value"] = math.nan
    empty = pooled.assign(**{"class": "b", "pooled": math.nan, "p5": math.nan, "p95": math.nan})
    figure = by_image_figure(pd.concat([pooled, empty]), single, LIGHT, title="t")
    assert len(figure.data[3].x) == 3
    assert list(figure.data[4].x) == [0.1]
    assert list(figure.layout.yaxis.ticktext) == ["a", "b"]


def test_scores_are_the_rows_of_the_run(cells):
    table = panels.scores(Selection(cells, "test", (1,), region="boundary", class_name="nucleus"))
    assert set(table["variant"]) == {"raw", "temperature"}
    assert set(table["head"]) == {*cells.heads, "difference", "difference-powerset"}
    for row in table.query("metric in ('smooth_ece', 'brier')").to_dict("records"):
        wanted = {"head": row["head"], "metric": row["metric"], "variant": row["variant"], "class_": "nucleus"}
        assert row["value"] == value_of(cells, seed=1, region="boundary", **wanted)
    shown = list(dict.fromkeys(table["metric"]))
    assert shown == [name for name in panels.SCORES if name in shown]
    assert "top_label_ece" not in shown


def test_a_metric_that_one_variant_lacks_has_a_dash_there(cells, page, monkeypatch):
    stored = queries.runs.metrics

    def without(run):
        frame = stored(run)
        return frame[~((frame["metric"] == "calibration_slope") & (frame["variant"] == "temperature"))]

    monkeypatch.setattr(queries.runs, "metrics", without)
    at = page("cells")
    assert not at.exception
    table = next(one.body for one in at.get("html") if "<table" in one.body and "Calibration slope" in one.body)
    row = table[table.index("Calibration slope") :]
    assert "–" in row[: row.index("</tr>")]


def scores_table():
    rows = [
        ("brier", "raw", "sigmoid", 0.1, 0.09, 0.11), ("brier", "raw", "softmax", 0.15, 0.13, 0.17),
        ("brier", "raw", "difference", -0.05, -0.07, -0.03), ("brier", "temperature", "difference", 0.01, -0.01, 0.03),
        ("calibration_slope", "raw", "difference", 0.5, 0.4, 0.6), ("nll", "raw", "difference", 0.2, 0.1, 0.3),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["metric", "variant", "head", "value", "low", "high"]).assign(
        **{"class": "macro"}
    )


def test_scores_in_words_are_rounded_to_their_intervals_with_an_arrow():
    table = panels.readable_scores(scores_table(), contender="softmax")
    assert table["Metric"].tolist() == ["Brier score ↓", "Calibration slope → 1", "NLL ↓"]
    first = table.iloc[0]
    assert first["As trained: Sigmoid"] == "0.100 [0.090, 0.110]"
    assert first["As trained: Difference"] == "−0.05 [−0.07, −0.03]"
    assert first["After temperature: Difference"] == "+0.01 [−0.01, +0.03]"
    assert table.iloc[1]["As trained: Sigmoid"] == "–"


def test_a_metric_favours_a_head_only_with_its_whole_interval():
    def winner(metric, variant="raw"):
        return panels.winner(scores_table(), metric, variant, contender="softmax")

    assert winner("brier") == "sigmoid"  # lower is better, and the difference lies below 0
    assert winner("nll") == "softmax"
    assert winner("brier", "temperature") is None  # the interval holds 0
    assert winner("calibration_slope") is None  # neither more nor less is better
    assert winner("smooth_ece") is None  # not measured


def test_temperatures_are_said_by_head_and_seed(cells):
    said = panels.temperatures(cells)
    fitted = cells.facts["temperature"]
    assert f"sigmoid {fitted['sigmoid']['0']:.2f}, {fitted['sigmoid']['1']:.2f};" in said
    assert "(seeds 0, 1)" in said
    nucleus = np.mean([one["nucleus"] for one in cells.facts["temperature_by_class"]["sigmoid"].values()])
    assert f"nucleus {nucleus:.2f}" in panels.temperatures_by_class(cells)


def test_one_class_has_no_temperature_of_its_own(real_runs):
    assert panels.temperatures_by_class(open_run(real_runs, "vessels")) == ""


def specs(at):
    return {one.proto.alt: json.loads(one.proto.spec) for one in at.get("plotly_chart")}


def test_link_opens_axes_bins_class_and_variant(page):
    at = page("cells", axes="Log-odds", bins="30", variant="By class", **{"class": "cell"})
    assert not at.exception
    assert not at.error
    assert at.select_slider(key="bins").value == 30
    assert at.segmented_control(key="variant").value == "temperature-by-class"
    figure = next(spec for alt, spec in specs(at).items() if alt.startswith("Reliability of cell"))
    assert "0.001" in figure["layout"]["xaxis2"]["ticktext"]
    assert any("temperatures by class" in one.value for one in at.caption)


def test_table_shows_both_variants_and_follows_the_class(page):
    at = page("landcover")
    table = next(one.body for one in at.get("html") if "Calibration slope" in one.body)
    assert "As trained" in table
    assert "After temperature" in table
    assert "Top-label ECE ↓" in table
    at.selectbox(key="score_class").select(at.selectbox(key="score_class").options[1]).run()
    table = next(one.body for one in at.get("html") if "Calibration slope" in one.body)
    assert not at.exception
    assert "Top-label ECE" not in table  # it belongs to no class


def test_page_of_a_binary_run_has_one_diagram(page):
    at = page("vessels")
    assert not at.exception
    assert sum(alt.startswith("Reliability") for alt in specs(at)) == 1
