"""Figures are functions of tables: what is drawn is what the table says."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from colors import contrast

from dashboard import tables
from dashboard.charts import VALIDATE, figure_of, forest_figure, matrix_figure
from dashboard.displays.calibration import reliability_figure
from dashboard.displays.labels import class_share_figure, labels_per_pixel_figure
from dashboard.displays.overlap import labels_figure, marked_at, rate_figure
from dashboard.displays.training import curve_figure
from dashboard.theme import DARK, HEAD_DASHES, HEAD_MARKERS, LIGHT, faded, ink_on, theme_of
from pipelines.layouts import METRICS_SCHEMA
from pipelines.schema import ALL_SEEDS, HEADS
from pipelines.store.runs import Estimates


def traces(figure, **wanted):
    return [
        one for one in figure.data if all(one[key] == value if key in one else False for key, value in wanted.items())
    ]


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_head_has_its_own_readable_colour_marker_and_dash(theme):
    assert len({theme.heads[head] for head in HEADS}) == len(HEADS)
    assert len({HEAD_MARKERS[head] for head in HEADS}) == len({HEAD_DASHES[head] for head in HEADS}) == len(HEADS)
    # WCAG 2.1: 3:1 for graphics, 4.5:1 for text.
    assert all(contrast(theme.heads[head], theme.surface) >= 3 for head in HEADS)
    assert contrast(theme.text, theme.surface) >= 4.5
    assert contrast(theme.muted, theme.surface) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_numbers_in_cells_are_readable_on_every_shade(theme):
    for color in (*theme.heads.values(), theme.text):
        for strength in np.linspace(0, 1, 21):
            pairs = [(int(theme.band[at : at + 2], 16), int(color[at : at + 2], 16)) for at in (1, 3, 5)]
            shade = "#" + "".join(f"{round((1 - strength) * a + strength * b):02x}" for a, b in pairs)
            assert contrast(ink_on(theme, color, strength), shade) >= 4


def test_theme_is_light_unless_the_page_is_dark():
    assert theme_of("dark") is DARK
    assert theme_of("light") is theme_of(None) is LIGHT
    assert faded("#ff8000", 0.5) == "rgba(255,128,0,0.5)"


def reliability_table():
    return pd.DataFrame(
        {
            "class": "x", "bin": [0, 1], "low_edge": [0.0, 0.5], "high_edge": [0.5, 1.0], "pixels": [3, 0],
            "share": [1.0, 0.0], "mean_p": [0.2, math.nan], "observed": [0.4, math.nan], "low": [0.3, math.nan],
            "high": [0.5, math.nan],
        }
    )  # fmt: skip


def test_reliability_draws_filled_bins_only_and_both_heads_in_their_colours():
    both = {"sigmoid": reliability_table(), "softmax": reliability_table()}
    figure = reliability_figure(both, LIGHT, title="x", errors={"sigmoid": 0.2, "softmax": 0.1})
    for head, name in (("sigmoid", "Sigmoid"), ("softmax", "Softmax")):
        line = traces(figure, name=name, mode="lines+markers")[0]
        assert list(line.x) == [0.2]
        assert list(line.y) == [0.4]
        assert line.line.color == LIGHT.heads[head]
        bars = traces(figure, name=name, type="bar")[0]
        assert bars.y[0] == 1.0
        assert math.isnan(bars.y[1])  # an empty bin has no bar on a logarithmic axis
    assert "0.200" in figure.layout.title.subtitle.text


def test_matrix_puts_truth_in_rows_and_keeps_the_order_of_the_classes():
    table = pd.DataFrame(
        {"truth": ["b", "b", "a", "a"], "predicted": ["b", "a", "b", "a"], "share": [0.9, 0.1, 0.25, 0.75]}
    )
    figure = matrix_figure(
        table, LIGHT, rows="truth", columns="predicted", value="share", title="t", row_title="truth",
        column_title="predicted", color="#0072b2", top=1.0,
    )  # fmt: skip
    heat = figure.data[0]
    assert list(heat.y) == list(heat.x) == ["b", "a"]
    assert np.asarray(heat.z).tolist() == [[0.9, 0.1], [0.25, 0.75]]
    assert [note.text for note in figure.layout.annotations] == ["90", "10", "25", "75"]
    assert figure.layout.yaxis.autorange == "reversed"


def test_matrix_of_many_classes_leaves_the_numbers_to_the_hover():
    names = [f"c{k}" for k in range(20)]
    table = pd.DataFrame([(a, b, 0.05) for a in names for b in names], columns=["truth", "predicted", "share"])
    figure = matrix_figure(
        table, DARK, rows="truth", columns="predicted", value="share", title="t", row_title="r", column_title="c",
        color="#0072b2",
    )  # fmt: skip
    assert not figure.layout.annotations


def test_difference_is_centred_on_zero_with_a_head_at_each_end():
    table = pd.DataFrame({"truth": ["a", "a"], "predicted": ["a", "b"], "difference": [-0.2, 0.05]})
    figure = matrix_figure(
        table, LIGHT, rows="truth", columns="predicted", value="difference", title="d", row_title="truth",
        column_title="predicted", color=("#0072b2", "#d55e00"),
    )  # fmt: skip
    heat = figure.data[0]
    assert (heat.zmin, heat.zmax) == (-0.2, 0.2)
    assert heat.colorscale[0][1] == "#d55e00"
    assert heat.colorscale[-1][1] == "#0072b2"
    assert [note.text for note in figure.layout.annotations] == ["−20", "+5.0"]


def test_counts_are_written_short():
    table = pd.DataFrame({"truth": ["a", "a"], "predicted": ["a", "b"], "pixels": [1_234_567, 900]})
    figure = matrix_figure(
        table, LIGHT, rows="truth", columns="predicted", value="pixels", title="t", row_title="r", column_title="c",
        color="#0072b2", form="count",
    )  # fmt: skip
    assert [note.text for note in figure.layout.annotations] == ["1.23M", "900"]


def rates():
    numbers = {"value": [0.4, 0.2, 0.1, 0.3], "low": 0.0, "high": 0.5, "truth": [0.25, 0.25, 0.05, 0.05]}
    columns = {"threshold": [0.3, 0.5, 0.3, 0.5], "rate": ["overlap", "overlap", "no label", "no label"]}
    return pd.DataFrame(columns | numbers)


def test_rate_figure_draws_the_rate_asked_for_beside_the_truth():
    figure = marked_at(rate_figure({"sigmoid": rates(), "softmax": rates()}, LIGHT, rate="overlap"), LIGHT, 0.5)
    assert list(traces(figure, name="Sigmoid")[0].y) == [0.4, 0.2]
    assert set(traces(figure, name="Truth")[0].y) == {0.25}
    assert figure.layout.shapes[0].x0 == 0.5


def test_labels_figure_stacks_shares_for_each_true_number_and_head():
    table = pd.DataFrame(
        {
            "true_labels": ["1", "1", "2", "2"], "predicted_labels": ["1", "2", "1", "2"], "pixels": [9, 1, 2, 8],
            "share": [0.9, 0.1, 0.2, 0.8],
        }
    )  # fmt: skip
    figure = labels_figure({"sigmoid": table}, LIGHT)
    one = traces(figure, name="1 label predicted")[0]
    assert list(one.x) == [0.9, 0.2]
    assert list(one.y[0]) == ["1 label", "2 labels"]


def forest_table():
    rows = [
        ("macro", 0.02, 0.015, 0.03, 0.8, 0.78),
        ("a", -0.03, -0.05, -0.02, 0.7, 0.73),
        ("b", 0.0, -0.005, 0.02, 0.9, 0.9),
    ]
    return pd.DataFrame(rows, columns=["class", "advantage", "low", "high", "sigmoid", "softmax"])


def test_forest_colours_only_what_lies_wholly_beyond_the_margin():
    figure = forest_figure(forest_table(), LIGHT, title="Dice", contender="softmax", margin=0.01, seeds=[0.01, 0.03])
    points = next(one for one in figure.data if one.mode == "markers" and isinstance(one.marker.color, tuple))
    assert list(points.marker.color) == [LIGHT.heads["sigmoid"], LIGHT.heads["softmax"], LIGHT.muted]
    assert list(points.y) == ["mean of classes", "a", "b"]
    band = figure.layout.shapes[0]
    assert (band.x0, band.x1) == (-0.01, 0.01)
    low, high = figure.layout.xaxis.range
    assert low == -high
    assert high > 0.05
    assert any(list(one.x) == [0.01, 0.03] for one in figure.data)  # the seeds


def test_class_shares_turn_logarithmic_when_a_class_is_very_rare():
    entries = [{"name": "a", "color": "#112233", "share": 0.5, "pixels": 50, "images": 2}]
    rare = [*entries, {"name": "b", "color": "#445566", "share": 0.001, "pixels": 1, "images": 1}]
    assert class_share_figure(entries, LIGHT).layout.xaxis.type is None
    figure = class_share_figure(rare, LIGHT)
    assert figure.layout.xaxis.type == "log"
    assert list(figure.data[0].marker.color) == ["#112233", "#445566"]


def test_labels_per_pixel_are_shares_of_the_valid_pixels():
    figure = labels_per_pixel_figure([25, 50, 25], LIGHT)
    assert list(figure.data[0].x) == [0.25, 0.5, 0.25]
    assert list(figure.data[0].y) == ["no label", "1 label", "2 labels"]


def test_learning_curves_have_a_line_a_head_and_seed_and_whole_epochs():
    points = [{"head": "softmax", "seed": 0, "epoch": epoch, "score": score} for epoch, score in ((2, 0.5), (1, 0.4))]
    points += [{"head": head, "seed": 1, "epoch": 1, "score": 0.3} for head in ("sigmoid", "softmax")]
    figure = curve_figure(points, LIGHT)
    lines = [(one.name, list(one.x), list(one.y), one.showlegend) for one in figure.data]
    assert lines == [
        ("Sigmoid", [1], [0.3], True), ("Softmax", [1, 2], [0.4, 0.5], True), ("Softmax", [1], [0.3], False)
    ]  # fmt: skip
    assert figure.layout.xaxis.dtick == 1


class Stored:
    """As much of a run as tables ask."""

    def __init__(self, rows):
        self._rows = Estimates(rows)

    def estimates(self, *, split, variant, metric=None, head=None, class_=None, seed=ALL_SEEDS, region="all"):
        return self._rows.pick((metric, head, class_, split, seed, variant, region))


def metrics(rows):
    names = METRICS_SCHEMA.names
    full = [
        {"seed": -1, "split": "test", "variant": "raw", "region": "all", "low": None, "high": None, "images": 3} | row
        for row in rows
    ]
    return Stored(pd.DataFrame(full, columns=names).astype({"value": float, "low": float, "high": float}))


def test_differences_turn_round_where_lower_is_better():
    # sigmoid − softmax = +0.02 Brier means that sigmoid is worse: advantage −0.02, interval mirrored.
    frame = metrics(
        [
            {"head": "difference", "class": "macro", "metric": "brier", "value": 0.02, "low": 0.01, "high": 0.05},
            {"head": "sigmoid", "class": "macro", "metric": "brier", "value": 0.10},
            {"head": "softmax", "class": "macro", "metric": "brier", "value": 0.08},
        ]
    )
    row = tables.differences(
        frame, metric="brier", split="test", variant="raw", contender="softmax", classes=["a", "b"]
    ).iloc[0]
    assert row["advantage"] == -0.02
    assert (row["low"], row["high"]) == (-0.05, -0.01)
    assert (row["sigmoid"], row["softmax"]) == (0.10, 0.08)


def test_one_class_has_no_row_for_the_mean_of_classes():
    frame = metrics(
        [
            {"head": head, "class": name, "metric": "dice", "value": value}
            for head, value in (("difference", 0.1), ("sigmoid", 0.9), ("softmax", 0.8))
            for name in ("macro", "x")
        ]
    )
    found = tables.differences(frame, metric="dice", split="test", variant="raw", contender="softmax", classes=["x"])
    assert found["class"].tolist() == ["x"]


def test_seeds_are_shown_only_when_there_are_several():
    rows = [
        {"head": "difference", "class": "macro", "metric": "dice", "value": 0.1 * seed, "seed": seed} for seed in (0, 1)
    ]
    options = {"metric": "dice", "split": "test", "variant": "raw", "contender": "softmax", "class_name": "macro"}
    assert tables.seed_advantages(metrics(rows), **options) == [0.0, 0.1]
    assert tables.seed_advantages(metrics(rows[:1]), **options) == []


def test_readable_scores_have_a_row_a_metric_and_write_rates_as_percent():
    frame = metrics(
        [
            {"head": "sigmoid", "class": "macro", "metric": "dice", "value": 0.8123, "low": 0.797, "high": 0.826},
            {"head": "softmax", "class": "macro", "metric": "dice", "value": 0.7, "low": 0.69, "high": 0.71},
            {"head": "difference", "class": "macro", "metric": "dice", "value": 0.1123, "low": 0.09, "high": 0.13},
            {"head": "sigmoid", "class": "all", "metric": "overlap_rate", "value": 0.31, "low": 0.23, "high": 0.38},
        ]
    )
    table = tables.readable_scores(tables.scores(frame, split="test", variant="raw", heads=["sigmoid", "softmax"]))
    assert table["Metric"].tolist() == ["Dice ↑", "Overlapping-label rate"]
    assert table.loc[0, "Sigmoid"] == "0.812 [0.797, 0.826]"
    assert table.loc[0, "Sigmoid − softmax"] == "+0.11 [+0.09, +0.13]"
    assert table.loc[1, "Sigmoid"] == "31% [23, 38]"


@pytest.mark.parametrize("make", [
    lambda: forest_figure(forest_table(), LIGHT, title="Dice", contender="softmax", margin=0.01, seeds=[0.01, 0.03]),
    lambda: labels_per_pixel_figure([25, 50, 25], DARK),
    lambda: curve_figure([{"head": "sigmoid", "seed": 0, "epoch": 1, "score": 0.5}], LIGHT),
])  # fmt: skip
def test_figures_are_the_same_with_and_without_plotlys_own_checks(monkeypatch, make):
    monkeypatch.setenv(VALIDATE, "1")
    checked = json.loads(make().to_json())
    monkeypatch.delenv(VALIDATE)
    assert json.loads(make().to_json()) == checked


def test_a_wrong_property_is_found_where_figures_are_checked(monkeypatch):
    monkeypatch.setenv(VALIDATE, "1")
    with pytest.raises(ValueError, match="mdoe"):
        figure_of({"data": [{"type": "scatter", "mdoe": "lines"}], "layout": {}})
