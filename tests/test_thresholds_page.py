"""The page "Thresholds and costs": its links, panels, figures and sentences say what the counts say."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import opening
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic import make_run

from dashboard.displays import ranking as curves
from dashboard.displays import threshold_choice as choice
from dashboard.displays import threshold_choice as sentences
from dashboard.displays import thresholds as figures
from dashboard.displays import thresholds as panels
from dashboard.displays.threshold_choice import (
    INNER,
    PER,
    Costs,
    Look,
    Policy,
    cut_text,
    cuts_of_link,
    link_text,
    policies,
)
from dashboard.displays.thresholds import Level, Mark, choices_figure, dots_figure
from dashboard.how_to_read import HOW_TO_READ
from dashboard.queries.counts import tuned
from dashboard.theme import DARK, LIGHT
from pipelines.counting.grid import CELLS, HALF_CELL, first_cell_above
from pipelines.metrics.decisions import Paired
from pipelines.metrics.thresholds import CUT_LOG_ODDS, CUT_P, cut_at
from pipelines.schema import ALL_SEEDS
from pipelines.store.runs import open_run


@pytest.fixture(scope="module")
def edge(tmp_path_factory):
    """A run of one image, which does not have one of the classes."""
    runs = tmp_path_factory.mktemp("edge")
    make_run(runs, "edge", kind="overlapping", classes=("seen", "unseen"), empty=("unseen",), images=1)
    return runs


@pytest.fixture
def page(monkeypatch):
    """Opens the page on a run, as a link would."""

    def open_page(runs, run, **query):
        return opening.open_page(monkeypatch, runs, "thresholds", run=run, **query)

    return open_page


def healthy(at):
    return not at.exception and not at.error


def html(at):
    return "".join(block.body for block in at.get("html"))


def link(at):
    found = at.query_params.get("thresholds")
    return found[0] if isinstance(found, list) else found


def look_at(run, **more):
    return Look(**{"run": run, "split": "test", "seeds": run.seeds} | more)


def row(run, metric, *, head, name, split="test", seed=ALL_SEEDS):
    frame = run.metrics()
    keep = (frame["metric"] == metric) & (frame["head"] == head) & (frame["class"] == name) & (frame["seed"] == seed)
    found = frame[keep & (frame["split"] == split) & (frame["variant"] == "raw") & (frame["region"] == "all")]
    assert len(found) == 1
    return found.iloc[0]


def named(figure, name):
    return next(one for one in figure.data if one.name == name)


# Links --------------------------------------------------------------------------------------------------------------


def test_cuts_are_written_as_people_write_thresholds():
    assert cut_text(HALF_CELL) == "0.500"
    assert cut_text(first_cell_above(1 / 300)) == "0.003"
    assert cut_text(first_cell_above(0.32)) == "0.320"
    assert cut_text(int(np.argmin(np.abs(CUT_LOG_ODDS + 7.5)))) == "0.00055"  # 1 / (1 + e^7.5)
    assert cut_text(int(np.argmin(np.abs(CUT_LOG_ODDS - 7.5)))) == "1 − 0.00055"
    assert cut_text(1) == "1.1 · 10⁻⁷"


@given(st.lists(st.integers(1, CELLS - 1), min_size=1, max_size=12), st.integers(1, CELLS - 1))
def test_a_link_holds_every_threshold(some, other):
    cuts = {"sigmoid": tuple(some), "softmax-powerset": (other,) * len(some)}
    text = link_text(cuts)
    if set(some) | {other} == {HALF_CELL}:
        assert text == ""
    else:
        assert cuts_of_link(text, classes=len(some)) == cuts
        assert all(letter.isalnum() or letter in "-._~" for letter in text)


def test_a_link_says_one_threshold_of_all_classes_once():
    assert link_text({"sigmoid": (HALF_CELL,) * 3, "softmax": (60, 90, 22)}) == "sigmoid_0.5~softmax_0.13_0.23_0.003333"
    assert cuts_of_link("sigmoid_0.5", classes=3) == {"sigmoid": (HALF_CELL,) * 3}


@given(st.text(alphabet="sigmod_~.-0123456789eLinf<", max_size=40))
def test_what_is_no_link_is_left_out(text):
    for cuts in cuts_of_link(text, classes=2).values():
        assert len(cuts) == 2
        assert all(cut in INNER for cut in cuts)


@pytest.mark.parametrize(
    "text", ["", "sigmoid", "sigmoid_0", "sigmoid_1", "sigmoid_nan", "tanh_0.4", "sigmoid_.1_.2_.3"]
)
def test_damaged_links_say_nothing(text):
    assert cuts_of_link(text, classes=2) == {}


# Panels -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cells(real_runs):
    return open_run(real_runs, "cells")


@pytest.fixture(scope="module")
def landcover(real_runs):
    return open_run(real_runs, "landcover")


def test_tuned_thresholds_are_those_that_evaluation_stored(cells):
    noted = cells.facts["thresholds"]["raw"]["softmax"]["1"]
    assert tuned(cells, "softmax", (1,), "raw") == tuple(noted.values())
    both = tuned(cells, "softmax", (0, 1), "raw")
    assert all(0 < one < 1 for one in both)


def test_every_panel_is_explained_and_has_what_it_promises(cells):
    look = look_at(cells, contender="softmax-powerset", class_name="nucleus")
    several, price = replace(look, class_name=None), Costs()
    found = [
        panels.choices(several, LIGHT, scale="log-odds"), panels.scores(look, LIGHT),
        curves.curves(look, DARK, near=True), curves.areas(several, DARK),
        panels.costs(look, LIGHT, policies(look, None, price), price), curves.selective_prediction(look, LIGHT),
    ]  # fmt: skip
    assert len({panel.key for panel in found}) == len(found)
    for panel in found:
        assert panel.how in HOW_TO_READ
        assert len(panel.table)
        assert all(picture.alt and picture.figure.data for picture in panel.pictures)


def test_dice_on_the_curve_is_the_dice_that_evaluation_stored(landcover):
    cuts = {"sigmoid": (HALF_CELL,) * 6, "softmax": (first_cell_above(0.1),) * 6}
    panel = panels.scores(look_at(landcover, class_name="forest"), LIGHT, cuts=cuts)
    points = named(panel.pictures[0].figure, "thresholds")
    said = {(head, role): y for (head, role, _), y in zip(points.customdata, points.y, strict=True)}
    for head in ("sigmoid", "softmax"):
        title = head.capitalize()
        stored = {
            metric: row(landcover, metric, head=head, name="forest") for metric in ("dice_threshold", "dice_tuned")
        }
        assert said[title, "0.5"] == pytest.approx(stored["dice_threshold"]["value"])
        assert said[title, "tuned on validation"] == pytest.approx(stored["dice_tuned"]["value"])
        assert said[title, "greatest here"] >= said[title, "tuned on validation"]
    assert said["Sigmoid", "chosen"] == said["Sigmoid", "0.5"]
    table = panel.table
    at = table[(table["head"] == "softmax") & np.isclose(table["threshold"], 0.1)]
    assert at["dice"].item() == pytest.approx(said["Softmax", "chosen"])
    # Pooled IoU and Dice of one seed: J = D / (2 − D).
    assert table["iou"].to_numpy() == pytest.approx((table["dice"] / (2 - table["dice"])).to_numpy())


def test_the_mean_draws_thresholds_that_differ_as_heights(landcover):
    look = look_at(landcover)
    own = {head: look.tuned_cuts[head] for head in look.heads}
    panel = panels.scores(look, LIGHT, cuts=own)
    level = named(panel.pictures[0].figure, "Softmax, each class tuned")
    stored = row(landcover, "dice_tuned", head="softmax", name="macro")["value"]
    assert list(level.y) == pytest.approx([stored, stored])
    assert "differs by class" in panel.pictures[0].alt
    assert curves.curves(look, LIGHT) is None  # a mean has no ROC curve


def test_points_on_roc_and_precision_recall_are_those_of_the_live_scores(cells):
    cuts = {"sigmoid": (60, 200, 90), "softmax": (40, 50, 120)}
    look = look_at(cells, seeds=(1,), class_name="nucleus")
    panel = curves.curves(look, LIGHT, cuts=cuts)
    live, _ = choice.live_scores(look, cuts)
    live = live.set_index("score")
    for head in ("sigmoid", "softmax"):
        points = named(panel.pictures[1].figure, "thresholds")
        at = [tuple(one[:2]) for one in points.customdata].index((head.capitalize(), "chosen"))
        assert points.x[at] == pytest.approx(live.loc["recall", head])
        assert points.y[at] == pytest.approx(live.loc["precision", head], nan_ok=True)
    stored = row(cells, "average_precision", head="sigmoid", name="nucleus", seed=1)
    areas = curves.areas(look_at(cells, seeds=(1,)), LIGHT).table
    mine = areas[
        (areas["class"] == "nucleus") & (areas["head"] == "sigmoid") & (areas["metric"] == "average_precision")
    ]
    assert mine[["value", "low", "high"]].to_numpy()[0] == pytest.approx(
        stored[["value", "low", "high"]].to_numpy(float)
    )


def test_live_differences_are_the_stored_ones_at_a_half(landcover):
    # Evaluation drew other images for its replicates, and 200 of them: its interval is a little different.
    table, labels = choice.live_scores(look_at(landcover), None)
    stored = row(landcover, "dice_threshold", head="difference", name="macro")
    mine = table.set_index("score").loc["dice"]
    assert mine["difference"] == pytest.approx(stored["value"])
    width = stored["high"] - stored["low"]
    assert abs(mine["low"] - stored["low"]) < width / 4
    assert abs(mine["high"] - stored["high"]) < width / 4
    for head in ("sigmoid", "softmax"):
        none = row(landcover, "no_label_rate", head=head, name="all")["value"]
        assert labels[head]["none"] == pytest.approx((none, none))
        assert labels[head]["several"].high == pytest.approx(
            row(landcover, "overlap_rate", head=head, name="all")["value"]
        )


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_cost_at_the_bayes_threshold_is_the_stored_one(cells, seeds):
    found = policies(look_at(cells, seeds=seeds), None, Costs(1.0, 1.0))
    bayes = next(one for one in found if one.name == "bayes")
    assert bayes.cuts["sigmoid"] == (HALF_CELL,) * 3
    seed = ALL_SEEDS if len(seeds) > 1 else 0
    for head, value in (("sigmoid", bayes.cost.first), ("softmax", bayes.cost.second)):
        assert value[0] / PER == pytest.approx(row(cells, "expected_cost", head=head, name="macro", seed=seed)["value"])
    stored = row(cells, "expected_cost", head="difference", name="macro", seed=seed)
    assert bayes.cost.difference[0] / PER == pytest.approx(stored["value"])


def test_the_cheapest_thresholds_are_chosen_on_validation_and_reported_here(cells):
    price, test = Costs(1.0, 5.0), look_at(cells, seeds=(0,), class_name="cell")
    val = replace(test, split="val")
    on_test, on_val = ({one.name: one for one in policies(look, None, price)} for look in (test, val))
    assert on_test["cheapest"].said == "cheapest on validation"
    assert on_val["cheapest"].said == "cheapest on these images"
    assert on_test["cheapest"].cuts == on_val["cheapest"].cuts
    # On the images it was chosen on, none of the other thresholds is cheaper.
    for name in ("chosen", "bayes"):
        assert on_val["cheapest"].cost.first[0] <= on_val[name].cost.first[0]
    assert "flatters" in sentences.cheaper(val, on_val["cheapest"])
    assert on_test["bayes"].cuts["softmax"][0] == cut_at(50 / 300)  # 1 / (1 + 5), the nearest k/300


def test_the_cost_curve_passes_through_its_points(cells):
    look, price = look_at(cells, class_name="cell"), Costs(2.0, 3.0)
    panel = panels.costs(look, LIGHT, policies(look, None, price), price)
    figure = panel.pictures[0].figure
    points = named(figure, "thresholds")
    for (head, _, _), x, y in zip(points.customdata, points.x, points.y, strict=True):
        line = named(figure, head)
        assert np.interp(x, line.x, line.y) == pytest.approx(y, rel=1e-4)
    assert list(panel.table["thresholds"]) == ["chosen", "Bayes threshold 0.400", "cheapest on validation"]


def test_risk_of_everything_kept_is_the_error_rate(landcover):
    panel = curves.selective_prediction(look_at(landcover), LIGHT)
    table = panel.table.set_index(["shown", "head", "coverage"])["risk"].sort_index()
    for head in ("sigmoid", "softmax"):
        wrong = 1 - row(landcover, "pixel_accuracy", head=head, name="all")["value"]
        assert table["top label", head, 1.0] == pytest.approx(wrong)
        mean = row(landcover, "aurc", head=head, name="macro")["value"]
        assert table["mean of classes", head].mean() == pytest.approx(mean, rel=0.03)


# Sentences ----------------------------------------------------------------------------------------------------------


def test_the_answer_is_the_stored_difference_at_tuned_thresholds(landcover, cells):
    stored = row(landcover, "dice_tuned", head="difference", name="macro")
    look = look_at(landcover)
    found = sentences.answer(look, margin=2 * abs(stored["low"]) + 2 * abs(stored["high"]))
    assert found.text == "Once thresholds are tuned, the head makes no practical difference"
    gap = sentences.dice_gap(look, "dice_tuned")
    assert tuple(gap) == (stored["value"], stored["low"], stored["high"])
    assert gap.text in found.more
    assert "by argmax" in found.more
    assert "by argmax" not in sentences.answer(look_at(cells)).more
    assert "cannot be told" in sentences.answer(look_at(cells, split="val")).text


@pytest.mark.parametrize(
    ("gap", "said", "winner"),
    [
        ((0.05, 0.02, 0.08), "Even with tuned thresholds sigmoid is ahead", "sigmoid"),
        ((-0.05, -0.08, -0.02), "Even with tuned thresholds softmax is ahead", "softmax"),
        ((0.012, 0.004, 0.02), "perhaps by too little to matter", None),
        ((0.012, -0.01, 0.04), "it is open which head is better", None),
        ((0.001, -0.004, 0.006), "no practical difference", None),
        ((0.05, math.nan, math.nan), "on one image", None),
    ],
)  # fmt: skip
def test_the_answer_weighs_the_interval_against_the_margin(gap, said, winner):
    text, ahead = sentences._judged(sentences.Gap(*gap), ("sigmoid", "softmax"), 0.01)
    assert said in text
    assert ahead == winner


def told(first, second, low, high, *, seeds=(0,)):
    cost = Paired(*(np.array([one]) for one in (first, second, first - second, low, high)))
    look = SimpleNamespace(heads=("sigmoid", "softmax"), seeds=seeds, tuning="val")
    return sentences.cheaper(look, Policy("chosen", "chosen", {}, cost))


def test_the_cheaper_head_is_named_with_what_it_saves():
    said = told(8.0, 10.0, -3.0, -1.0)
    assert "sigmoid costs 20.0% less than softmax: −2.0 [−3.0, −1.0] per 1000 pixels, beyond what other images" in said
    turned = told(10.0, 8.0, -1.0, 5.0, seeds=(0, 1))
    assert "softmax costs 20.0% less than sigmoid: −2 [−5, +1] per 1000 pixels, within" in turned
    assert "other images or seeds" in turned
    assert "cost the same" in told(4.0, 4.0, 0.0, 0.0)
    assert "one image says nothing of chance" in told(8.0, 10.0, math.nan, math.nan)
    assert "no pixels" in told(math.nan, math.nan, math.nan, math.nan)


def test_a_best_threshold_within_reach_of_half_the_greatest_dice_is_not_held_against_p():
    table = pd.DataFrame(
        [
            ("a", "sigmoid", 0.60, 0.5, 0.7, 0.45, 0.15), ("a", "softmax", 0.40, 0.3, 0.6, 0.45, -0.05),
        ],
        columns=["class", "head", "best", "best_low", "best_high", "half_optimum", "off"],
    )  # fmt: skip
    look = SimpleNamespace(heads=("sigmoid", "softmax"), index=0, title="a")
    first, second = sentences.calibration_said(look, table)
    assert "greatest at 0.60" in first
    assert "0.45: p is about 0.15 too high there" in first
    assert "nothing speaks against p" in second


# Figures ------------------------------------------------------------------------------------------------------------


def straight(theme, **more):
    lines = {"sigmoid": CUT_P, "softmax": 1 - CUT_P}
    marks = [Mark("half", "0.5", "sigmoid", HALF_CELL, 0.5), Mark("chosen", "chosen", "softmax", 60, 1 - CUT_P[60])]
    return figures.threshold_figure(lines, marks, theme, title="t", **more)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_points_take_the_colour_of_their_head_and_the_shape_of_their_role(theme):
    figure = straight(theme, levels=[Level("across", theme.muted, 0.3)])
    points = named(figure, "thresholds")
    assert list(points.marker.color) == [theme.heads["sigmoid"], theme.heads["softmax"]]
    assert list(points.marker.symbol) == ["circle-open", "circle"]
    assert list(points.x) == pytest.approx([0.5, CUT_P[60]])
    assert [shape.x0 for shape in figure.layout.shapes] == pytest.approx([CUT_P[60]])
    assert list(named(figure, "across").y) == [0.3, 0.3]
    assert named(figure, "chosen").marker.color == theme.muted  # only the legend's entry


def test_log_odds_spread_the_axis_out_and_keep_p_on_it():
    figure = straight(LIGHT, scale="log-odds")
    assert list(named(figure, "thresholds").x) == pytest.approx([0.0, CUT_LOG_ODDS[60]])
    ticks = dict(zip(figure.layout.xaxis.ticktext, figure.layout.xaxis.tickvals, strict=True))
    assert ticks["0.5"] == 0
    assert ticks["0.9"] == pytest.approx(math.log(9))


def test_spans_hold_every_point():
    tall = np.array([0.0, 0.9, 0.2])
    assert figures.span_of_scores([tall], [0.85]) == pytest.approx((0.75, 0.909))
    low, high = figures.span_of_scores([tall], [0.1])
    assert low == 0
    assert high > 0.9
    assert figures.span_of_scores([tall], [math.nan]) is None
    assert figures.span_of_costs([2.0, 4.0], 5.0) == pytest.approx((0.0, 5.75))
    assert figures.span_of_costs([2.0, 4.0], 500.0) == pytest.approx((0.0, 12.0))
    assert figures.span_of_costs([math.nan], 5.0) is None


def test_lanes_keep_classes_apart_and_heads_in_their_colours():
    table = pd.DataFrame(
        {
            "class": ["a", "a", "b", "b"], "head": ["sigmoid", "softmax"] * 2, "value": [0.8, 0.7, 0.6, 0.5],
            "before": [0.5, 0.4, 0.6, 0.2], "low": 0.1, "high": 0.9,
        }
    )  # fmt: skip
    figure = dots_figure(table, LIGHT, title="t", x_title="x", before="at 0.5", after="tuned")
    one = next(trace for trace in figure.data if trace.name == "Softmax")
    assert list(one.x) == [0.7, 0.5]
    assert list(one.y) == [1, 4]
    assert list(figure.layout.yaxis.ticktext) == ["a", "b"]
    assert list(np.add(one.x, one.error_x.array)) == pytest.approx([0.9, 0.9])
    hollow = [trace for trace in figure.data if trace.marker.color == LIGHT.surface and list(trace.x) != [None]]
    assert [list(trace.x) for trace in hollow] == [[0.5, 0.6], [0.4, 0.2]]


def test_choices_without_tuned_thresholds_draw_none():
    table = pd.DataFrame(
        {
            "class": ["a"], "head": ["sigmoid"], "tuned": [math.nan], "best": [0.4], "best_low": [0.3],
            "best_high": [0.6], "half_optimum": [0.45],
        }
    )  # fmt: skip
    figure = choices_figure(table, LIGHT, title="t", subtitle="")
    assert [trace.name for trace in figure.data if trace.name] == ["half the greatest Dice"] * 2 + [
        "greatest Dice here"
    ] * 2
    assert list(figure.data[0].x) == [0.3, 0.6, None]


# The page -----------------------------------------------------------------------------------------------------------


def test_a_link_opens_the_thresholds_costs_and_class_that_it_names(page, real_runs):
    text = "sigmoid_0.2_0.3_0.4~softmax_0.1~softmax-powerset_0.5"
    at = page(real_runs, "cells", thresholds=text, cost_fn="5", **{"class": "nucleus"})
    assert healthy(at), (at.exception, at.error)
    assert at.select_slider(key="cut_sigmoid_1").value == first_cell_above(0.3)
    assert at.select_slider(key="cut_softmax_1").value == first_cell_above(0.1)
    assert at.number_input(key="cost_fn").value == 5
    assert link(at) == text
    assert "0.300" in html(at)
    # All classes at once: what the sliders show goes to the others too.
    {button.label: button for button in at.button}["Use these for all classes"].click().run()
    assert link(at) == "sigmoid_0.3~softmax_0.1~softmax-powerset_0.5"
    at.select_slider(key="cut_softmax_1").set_value(first_cell_above(0.7)).run()
    assert link(at) == "sigmoid_0.3~softmax_0.1_0.7_0.1~softmax-powerset_0.5"
    at.selectbox(key="class").select("every class").run()
    at.select_slider(key="cut_softmax_all").set_value(first_cell_above(0.6)).run()
    assert link(at) == "sigmoid_0.3~softmax_0.6~softmax-powerset_0.5"
    assert healthy(at), (at.exception, at.error)


def test_buttons_take_the_tuned_thresholds_and_reset_them(page, real_runs, landcover):
    at = page(real_runs, "landcover", **{"class": "road"})
    assert link(at) is None
    {button.label: button for button in at.button}["Take the tuned ones"].click().run()
    noted = landcover.facts["thresholds"]["raw"]["softmax"]["0"]
    assert at.select_slider(key="cut_softmax_4").value == first_cell_above(noted["road"])
    written = cuts_of_link(link(at), classes=6)["softmax"]
    assert [float(CUT_P[cut]) for cut in written] == pytest.approx(list(noted.values()))
    # Another run has other classes: what was chosen here says nothing there, and the link does not carry it on.
    at.sidebar.selectbox[0].select("vessels").run()
    assert healthy(at), (at.exception, at.error)
    assert link(at) is None
    at.sidebar.selectbox[0].select("landcover").run()
    {button.label: button for button in at.button}["Reset to 0.5"].click().run()
    assert link(at) is None
    assert at.select_slider(key="cut_softmax_4").value == HALF_CELL


def test_a_class_without_truth_on_a_single_image_is_shown(page, edge):
    at = page(edge, "edge", **{"class": "unseen"}, thresholds="sigmoid_9_nonsense~<b>", scale="log-odds", cost_fp="3")
    assert healthy(at), (at.exception, at.error)
    assert "choose another class" in at.info[0].value
    assert link(at) is None
    assert "one image says nothing of chance" in html(at)
