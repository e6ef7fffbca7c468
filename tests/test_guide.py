"""The arithmetic behind the guide, its sentences, figures and list: by hand, against torch and the trained losses."""

import math
import re
from dataclasses import replace
from itertools import product

import numpy as np
import plotly.graph_objects as go
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from places import REPO
from scipy.optimize import minimize_scalar
from torch.nn import functional

from dashboard.displays import guide, guide_parts
from dashboard.displays.guide import CLASSES, PRESETS, REACH, Setting, curve_figure, plane_figure, region_codes
from dashboard.displays.guide_parts import Entry, Fact, facts
from dashboard.how_to_read import BY_PAGE, HOW_TO_READ, PAGE_OF, TITLES
from dashboard.menu import PAGES
from dashboard.theme import DARK, LIGHT
from pipelines import losses, one_pixel
from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import encode
from pipelines.metrics.calibration import Steps, calibration_error, stretched_reliability
from pipelines.metrics.calibration import reliability as real_reliability
from pipelines.schema import MACRO

NAMES = ("a", "b", "c")
SIGMOID = one_pixel.sigmoid_spec(NAMES)
EXCLUSIVE = one_pixel.softmax_spec(NAMES, background=False)
WITH_BACKGROUND = one_pixel.softmax_spec(NAMES, background=True)
LOGITS = st.lists(st.floats(-6, 6), min_size=3, max_size=3)
TEMPERATURES = st.floats(0.25, 4)


# Probabilities ---------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(LOGITS, st.floats(-6, 6), TEMPERATURES)
def test_probabilities_are_those_of_torch(logits, background, temperature):
    z = torch.tensor(logits, dtype=torch.float64) / temperature
    assert one_pixel.class_probabilities(SIGMOID, logits, temperature=temperature) == pytest.approx(
        torch.sigmoid(z).numpy(), abs=1e-6
    )
    assert one_pixel.class_probabilities(EXCLUSIVE, logits, temperature=temperature) == pytest.approx(
        torch.softmax(z, 0).numpy(), abs=1e-6
    )
    channels = one_pixel.channel_logits(WITH_BACKGROUND, logits, background=background)
    every = torch.softmax(torch.cat([torch.tensor([background / temperature], dtype=torch.float64), z]), 0)
    assert list(channels) == [background, *logits]
    assert one_pixel.class_probabilities(WITH_BACKGROUND, channels, temperature=temperature) == pytest.approx(
        every[1:].numpy(), abs=1e-6
    )


@settings(deadline=None, max_examples=60)
@given(LOGITS, st.floats(-6, 6), st.floats(-5, 5))
def test_softmax_does_not_see_what_is_added_to_all_and_sigmoid_does(logits, background, shift):
    before = one_pixel.channel_logits(WITH_BACKGROUND, logits, background=background)
    after = one_pixel.class_probabilities(WITH_BACKGROUND, before + shift)
    assert after == pytest.approx(one_pixel.class_probabilities(WITH_BACKGROUND, before), abs=1e-6)
    odds = np.log(1 / one_pixel.class_probabilities(SIGMOID, np.array(logits) + shift) - 1)
    assert odds == pytest.approx(-(np.array(logits) + shift), abs=5e-2)


def test_softmax_of_one_class_is_the_sigmoid_of_a_difference():
    spec = one_pixel.softmax_spec(("a",), background=True)
    for z, background in product((-3.0, 0.0, 1.3, 5.5), (-2.0, 0.0, 4.0)):
        p = one_pixel.class_probabilities(spec, one_pixel.channel_logits(spec, [z], background=background))
        assert float(p[0]) == pytest.approx(1 / (1 + math.exp(background - z)), abs=1e-6)


def test_softmax_over_a_single_channel_is_refused():
    with pytest.raises(ShapeError, match="always 1"):
        one_pixel.softmax_spec(("a",), background=False)


def test_probability_of_exactly_one_label():
    # p = 0.5, 0.2: one 0.5 * 0.8 + 0.5 * 0.2 = 0.5; both 0.1.
    spec = one_pixel.sigmoid_spec(("a", "b"))
    channels = [0.0, math.log(0.2 / 0.8)]
    p = one_pixel.class_probabilities(spec, channels)
    assert float(one_pixel.one_label_probability(p)) == pytest.approx(0.5, abs=1e-6)
    p = np.array([0.9, 0.3, 0.4])
    by_enumeration = sum(
        np.prod(np.where(labels, p, 1 - p)) for labels in product((True, False), repeat=3) if sum(labels) == 1
    )
    assert float(one_pixel.one_label_probability(p)) == pytest.approx(by_enumeration)


# Decisions -------------------------------------------------------------------------------------------------------


def test_labels_by_threshold_and_by_argmax():
    # sigmoid p: 0.90, 0.85; softmax with background 0: e^2.2 = 9.03, e^1.7 = 5.47, 1 of 15.5: 0.58, 0.35, 0.06.
    sigmoid, softmax = guide.START.specs
    channels = one_pixel.channel_logits(softmax, [2.2, 1.7])
    assert list(one_pixel.called(sigmoid, [2.2, 1.7], rule="threshold")) == [True, True]
    assert list(one_pixel.called(sigmoid, [2.2, 1.7], rule="argmax")) == [True, False]
    assert list(one_pixel.called(softmax, channels, rule="threshold")) == [True, False]
    assert list(one_pixel.called(softmax, channels, rule="threshold", threshold=0.3)) == [True, True]
    assert list(one_pixel.called(softmax, channels, rule="argmax")) == [True, False]
    low = one_pixel.channel_logits(softmax, [-2.2, -1.7])
    assert list(one_pixel.called(softmax, low, rule="argmax")) == [False, False]


@settings(deadline=None, max_examples=60)
@given(LOGITS, st.floats(-6, 6), TEMPERATURES)
def test_temperature_moves_no_argmax_and_no_sigmoid_at_one_half(logits, background, temperature):
    for spec, rule in ((SIGMOID, "threshold"), (EXCLUSIVE, "argmax"), (WITH_BACKGROUND, "argmax")):
        channels = np.round(one_pixel.channel_logits(spec, logits, background=background), 3)  # no ties by rounding
        before = one_pixel.called(spec, channels, rule=rule)
        assert list(one_pixel.called(spec, channels, rule=rule, temperature=temperature)) == list(before)


def test_temperature_must_be_above_zero():
    with pytest.raises(ShapeError, match="above 0"):
        one_pixel.class_probabilities(SIGMOID, [0.0, 0.0, 0.0], temperature=0)


@settings(deadline=None, max_examples=60)
@given(LOGITS, st.floats(-6, 6), st.floats(0.05, 0.95), TEMPERATURES)
def test_a_class_is_called_just_above_its_least_logit(logits, background, threshold, temperature):
    for spec, rule in product((SIGMOID, EXCLUSIVE, WITH_BACKGROUND), ("argmax", "threshold")):
        options = {"rule": rule, "threshold": threshold, "temperature": temperature}
        channels = one_pixel.channel_logits(spec, logits, background=background)
        at = len(channels) - 3  # the first class
        border = float(one_pixel.least_logit(spec, np.delete(channels, at), **options))
        for step, expected in ((1e-3, True), (-1e-3, False)):
            channels[at] = border + step
            assert bool(one_pixel.called(spec, channels, **options)[0]) is expected


# Losses ----------------------------------------------------------------------------------------------------------


def as_batch(values, dtype=torch.float32):
    return torch.tensor(np.asarray(values), dtype=dtype)[None, :, None, None]


@settings(deadline=None, max_examples=40)
@given(LOGITS, st.floats(-6, 6), st.tuples(st.booleans(), st.booleans(), st.booleans()))
def test_losses_are_those_of_training(logits, background, truth):
    valid = torch.ones(1, 1, 1, dtype=torch.bool)
    known = np.ones((1, 1), np.bool_)
    flags = np.array(truth)[:, None, None]
    target = torch.from_numpy(encode(SIGMOID, flags, known))[None]
    p = one_pixel.class_probabilities(SIGMOID, logits)
    for name, mine in (
        ("ce", one_pixel.binary_cross_entropy(logits, truth)), ("dice", one_pixel.soft_dice_loss(p, truth)),
    ):  # fmt: skip
        trained = losses.loss_function(name, SIGMOID)(as_batch(logits), target, valid)
        assert mine == pytest.approx(float(trained), abs=1e-5), name
    spec = WITH_BACKGROUND.model_copy(update={"priority": (2, 1, 0)})
    channels = one_pixel.channel_logits(spec, logits, background=background)
    mine_target = one_pixel.softmax_target(spec, truth, coding="priority", order=(2, 1, 0))
    q = one_pixel.class_probabilities(spec, channels)
    index = torch.from_numpy(encode(spec, flags, known))[None]
    assert mine_target.argmax() == int(index)
    for name, mine in (
        ("ce", one_pixel.cross_entropy(channels, mine_target)), ("dice", one_pixel.soft_dice_loss(q, mine_target[1:])),
    ):  # fmt: skip
        trained = losses.loss_function(name, spec)(as_batch(channels), index, valid)
        assert mine == pytest.approx(float(trained), abs=1e-5), name


def test_smoothing_is_that_of_training():
    assert one_pixel.SMOOTHING == losses.DICE_SMOOTHING


@settings(deadline=None, max_examples=40)
@given(LOGITS, st.tuples(st.booleans(), st.booleans(), st.booleans()).filter(any))
def test_cross_entropy_of_shared_targets_is_torchs_and_never_below_their_entropy(logits, truth):
    target = one_pixel.softmax_target(EXCLUSIVE, truth, coding="split", order=(0, 1, 2))
    mine = one_pixel.cross_entropy(logits, target)
    torchs = functional.cross_entropy(torch.tensor([logits], dtype=torch.float64), torch.from_numpy(target)[None])
    assert mine == pytest.approx(float(torchs), abs=1e-5)
    assert one_pixel.least_cross_entropy(target) == pytest.approx(math.log(sum(truth)))
    assert mine >= one_pixel.least_cross_entropy(target) - 1e-5


def test_losses_by_hand():
    # z = 2.2, 1.7, both true: (ln(1 + e^-2.2) + ln(1 + e^-1.7)) / 2 = (0.10508 + 0.16779) / 2 = 0.13643.
    assert one_pixel.binary_cross_entropy([2.2, 1.7], [1, 1]) == pytest.approx(0.13643, abs=1e-5)
    # ln(9.0250 + 5.4739 + 1) = 2.74078; target nucleus: 2.74078 - 1.7; shared: 2.74078 - 1.95.
    assert one_pixel.cross_entropy([0, 2.2, 1.7], [0, 0, 1]) == pytest.approx(1.04078, abs=1e-5)
    assert one_pixel.cross_entropy([0, 2.2, 1.7], [0, 0.5, 0.5]) == pytest.approx(0.79078, abs=1e-5)
    # p = 0.8, there: 1 - 2.6 / 2.8 = 1/14; p = 0.5, not there: 1 - 1 / 1.5 = 1/3; mean 17/84.
    assert one_pixel.soft_dice_loss([0.8, 0.5], [1, 0]) == pytest.approx(17 / 84)


def test_two_labels_cost_a_softmax_ln_2_and_a_fifth_of_soft_dice_at_least():
    spec = one_pixel.softmax_spec(("a", "b"), background=True)
    target = one_pixel.softmax_target(spec, (True, True), coding="split", order=(1, 0))
    assert list(target) == [0, 0.5, 0.5]
    assert one_pixel.least_cross_entropy(target) == pytest.approx(math.log(2))
    assert one_pixel.cross_entropy([-40, 0, 0], target) == pytest.approx(math.log(2), abs=1e-6)
    # p = 1/2 for both: 1 - (2 * 1/2 + 1) / (1/2 + 1 + 1) = 1 - 2 / 2.5 = 1/5.
    assert one_pixel.least_softmax_dice_loss((True, True)) == pytest.approx(0.2)
    assert one_pixel.least_softmax_dice_loss((False, False)) == 0
    p = np.random.default_rng(0).dirichlet(np.ones(3), 4000)[:, 1:]
    assert min(one_pixel.soft_dice_loss(one, (1, 1)) for one in p) >= 0.2


def test_a_truth_without_a_channel_has_no_target():
    assert one_pixel.softmax_target(EXCLUSIVE, (False,) * 3, coding="priority", order=(0, 1, 2)) is None
    target = one_pixel.softmax_target(WITH_BACKGROUND, (False,) * 3, coding="priority", order=(0, 1, 2))
    assert list(target) == [1, 0, 0, 0]
    assert one_pixel.least_cross_entropy(target) == 0


# Overconfidence --------------------------------------------------------------------------------------------------


def test_stretched_table_has_the_columns_of_the_real_one():
    steps = Steps(np.ones((1, 3, 300)), np.ones((2, 1, 2, 300)))
    assert list(stretched_reliability(2.0)) == list(real_reliability(steps, names=("class",), bins=15))


def test_a_stretch_of_one_is_calibrated_and_others_err_to_their_side():
    assert calibration_error(stretched_reliability(1.0)) == pytest.approx(0, abs=1e-12)
    for stretch, side in ((2.0, -1), (0.5, 1)):
        table = stretched_reliability(stretch)
        upper = table[table["low_edge"] > 0.5]
        assert (np.sign(upper["observed"] - upper["mean_p"]) == side).all()
        assert table["share"].sum() == pytest.approx(1)
        inside = table["mean_p"].between(table["low_edge"], table["high_edge"])
        assert inside.all()
    assert calibration_error(stretched_reliability(4.0)) > calibration_error(stretched_reliability(2.0)) > 0.03


def test_a_temperature_equal_to_the_stretch_mends_it():
    # NLL of σ(stretch · l / T) where σ(l) is true is least at T = stretch: the score is proper.
    log_odds = np.linspace(-6, 6, 201)
    y = 1 / (1 + np.exp(-log_odds))

    def nll(temperature):
        said = 3 * log_odds / temperature
        return float((np.logaddexp(0, said) - y * said).mean())

    assert minimize_scalar(nll, bounds=(0.5, 10), method="bounded").x == pytest.approx(3, abs=1e-3)


def test_calibration_error_by_hand():
    table = stretched_reliability(1.0, bins=2).assign(share=[0.75, 0.25], mean_p=[0.2, 0.8], observed=[0.3, 0.6])
    # 0.75 * 0.1 + 0.25 * 0.2 = 0.125
    assert calibration_error(table) == pytest.approx(0.125)


def test_stretch_must_be_above_zero():
    with pytest.raises(ConfigError, match="above 0"):
        stretched_reliability(0)


# What the page says ----------------------------------------------------------------------------------------------


def test_start_shows_two_labels_by_sigmoid_and_one_by_softmax():
    sigmoid, softmax = guide.readings(guide.START, LIGHT)
    assert (sigmoid.given, softmax.given) == ("two labels", "one label")
    assert [bar.name for bar in softmax.bars] == ["cell", "nucleus", "background"]
    assert sum(bar.p for bar in softmax.bars) == pytest.approx(1, abs=1e-6)
    assert "1.75" in sigmoid.total  # σ(2.2) + σ(1.7) = 0.900 + 0.846
    assert [call.worth for call in sigmoid.calls] == ["right"]
    assert {call.worth for call in softmax.calls} == {"misses nucleus"}


def test_decisions_are_held_against_the_truth():
    assert guide.worth((True, False), (True, False)) == "right"
    assert guide.worth((True, False, False), (False, True, True)) == "misses nucleus and debris, adds cell"
    assert guide.names_of((True, True, True)) == "cell, nucleus and debris"
    assert guide.names_of((False, False)) == "no label"


def test_truths_are_every_set_small_ones_first():
    named = [guide.names_of(flags) for flags in guide.truths(3)]
    assert named[:5] == ["no label", "cell", "nucleus", "debris", "cell and nucleus"]
    assert len(set(named)) == 8


def test_loss_table_is_the_arithmetic_of_the_page():
    assert guide.losses(guide.START) == [
        ["Cross-entropy", "0.136", "1.041", "0"],
        # sigmoid: mean of 1 - (2p + 1)/(p + 2) at p = 0.900, 0.846; softmax at 0.583, not there, and 0.353, there:
        # (1 - 1/1.583 + 1 - 1.706/2.353) / 2 = (0.3682 + 0.2749) / 2
        ["Soft Dice", "0.044", "0.321", "0"],
    ]
    split = guide.losses(replace(guide.START, coding="split"))
    assert split[0] == ["Cross-entropy", "0.136", "0.791", "0.693 (ln 2)"]
    assert split[1][3] == "0.200"
    assert guide.losses(PRESETS["Nothing there, no background"])[0][2] == "no target"


def test_losses_are_taken_at_the_temperature_shown():
    hot = replace(guide.START, temperature=2.0)
    halved = replace(guide.START, logits=(1.1, 0.85))
    assert guide.losses(hot) == guide.losses(halved)


def test_target_is_told():
    assert "nucleus alone: it is taught that cell is not there" in guide.target_words(guide.START)
    assert "ln 2" in guide.target_words(replace(guide.START, coding="split"))
    three = Setting((1.0, 1.0, 1.0), 0.0, (True, True, True))
    assert "debris alone: it is taught that cell and nucleus is not there" in guide.target_words(three)
    assert "one third" in guide.target_words(replace(three, coding="split"))
    assert "background" in guide.target_words(PRESETS["Nothing there"])
    assert "left out" in guide.target_words(PRESETS["Nothing there, no background"])


@pytest.mark.parametrize(
    ("preset", "said"),
    [
        ("Two labels overlap", "0.94 together"),  # 0.583 + 0.353
        ("Exclusive classes", "two labels here, and of its probability only 0.38"),
        ("Nothing there", "the background"),
        ("Nothing there, no background", "here cell"),
        ("One class", "σ(1.3 − 0) = 0.786"),
        ("Confident and wrong", "costs 4.0 nats"),  # ln(1 + e^4) = 4.018
    ],
)
def test_each_preset_says_what_there_is_to_see(preset, said):
    assert said in " ".join(guide.noticed(PRESETS[preset]))


def test_temperature_is_told_with_both_heads_numbers():
    # σ(2.2) = 0.90, σ(1.1) = 0.75; softmax e^1.1 = 3.004, e^0.85 = 2.340, 1: 3.004 / 6.344 = 0.47.
    told = guide.noticed(replace(guide.START, temperature=2.0))[-1]
    assert "from 0.90 to 0.75 in sigmoid, from 0.58 to 0.47 in softmax" in told
    assert "other thresholds" not in told
    assert "other thresholds" in guide.noticed(replace(guide.START, temperature=2.0, threshold=0.7))[-1]


def test_every_setting_has_readings_losses_and_sentences():
    for number, background, temperature, coding in product((1, 2, 3), (None, 1.0), (0.5, 1.0), ("priority", "split")):
        if number == 1 and background is None:
            continue
        for truth in product((True, False), repeat=number):
            setting = Setting((2.0, -1.0, 0.5)[:number], background, truth, temperature, 0.4, coding)
            html = guide_parts.readings_html(guide.readings(setting, DARK), DARK)
            assert html.count("rd-row") == 2 * number + (background is not None)
            assert len(guide.losses(setting)) == 2
            assert guide.noticed(setting)
            assert guide.target_words(setting)


def test_moved_adds_to_every_logit_and_keeps_the_rest():
    assert guide.moved(guide.START, 2).logits == (4.2, 3.7)
    assert guide.moved(guide.START, 2).background == 2
    assert guide.moved(PRESETS["Exclusive classes"], -2).background is None
    assert guide.moved(guide.moved(guide.START, 2), -2) == guide.START


def test_probabilities_never_read_as_certain():
    assert [guide.shown_p(p) for p in (0.0, 0.001, 0.5, 0.999, 1.0)] == ["0.00", "<0.01", "0.50", ">0.99", "1.00"]


def test_html_holds_no_markup_from_its_texts():
    hostile = "<img src=x>"
    reading = guide.readings(guide.START, LIGHT)[0]._replace(title=hostile, total=hostile)
    assert hostile not in guide_parts.readings_html((reading,), LIGHT)
    entry = Entry('"><img>', hostile, hostile, '"><img>')
    assert "<img" not in guide_parts.entries_html([entry], LIGHT)
    assert hostile not in guide_parts.requested_html(hostile, hostile, hostile, LIGHT)
    marks = {"spans": [], "marks": [(0.5, hostile)]}
    fact = Fact(hostile, "#000000", hostile, hostile, hostile, hostile, "line", marks)
    assert hostile not in guide_parts.facts_html([fact], LIGHT)


# Figures ---------------------------------------------------------------------------------------------------------


def plane(spec, *, rule="threshold", **changes):
    return plane_figure(spec, replace(guide.START, **changes), LIGHT, rule=rule)


def labels_of(figure):
    return {note.text.replace("<b>", "").replace("</b>", ""): (note.x, note.y) for note in figure.layout.annotations}


def test_sigmoid_has_a_region_for_both_and_softmax_has_none():
    sigmoid, softmax = guide.START.specs
    assert set(labels_of(plane(sigmoid))) == {"neither", "cell", "nucleus", "both<br>the truth"}
    assert set(labels_of(plane(softmax, rule="argmax"))) == {"neither", "cell", "nucleus"}
    assert "no place gives both" in plane(softmax, rule="argmax").layout.title.subtitle.text
    low = plane(softmax, rule="threshold", threshold=0.2)
    assert "both<br>the truth" in labels_of(low)
    exclusive = PRESETS["Nothing there, no background"].specs[1]
    assert "no place gives neither or both" in plane(exclusive, rule="argmax").layout.title.subtitle.text


def test_region_names_stand_in_their_regions():
    sigmoid, softmax = guide.START.specs
    for spec, rule in ((sigmoid, "threshold"), (softmax, "argmax"), (softmax, "threshold")):
        for name, at in labels_of(plane(spec, rule=rule, temperature=2.0, background=1.0)).items():
            channels = one_pixel.channel_logits(spec, at, background=1.0)
            given = one_pixel.called(spec, channels, rule=rule, temperature=2.0)
            expected = {"neither": (0, 0), "cell": (1, 0), "nucleus": (0, 1), "both": (1, 1)}[name.split("<")[0]]
            assert tuple(given) == expected


def test_borders_of_the_plane():
    sigmoid, softmax = guide.START.specs
    # p > 0.75 at temperature 2: z > 2 ln 3.
    cell = plane(sigmoid, threshold=0.75, temperature=2.0).data[0]
    assert cell.x[0] == pytest.approx(2 * math.log(3))
    # argmax: above both the background, 1, and the other class.
    cell = plane(softmax, rule="argmax", background=1.0).data[0]
    border = dict(zip(np.round(cell.y[:-2], 1), cell.x[:-2], strict=True))
    assert border[-6.0] == border[1.0] == 1
    assert border[4.0] == 4
    assert np.abs(np.concatenate([cell.x, cell.y])).max() == REACH


def test_region_codes_count_both_labels_as_three():
    sigmoid = guide.START.specs[0]
    codes = region_codes(sigmoid, guide.START, rule="threshold")
    assert codes[-1, -1] == 3  # both logits 6
    assert codes[0, -1] == 1  # the first 6, the second −6
    assert codes[-1, 0] == 2
    assert codes[0, 0] == 0


def test_one_class_curves_coincide_with_the_background_at_zero():
    setting = PRESETS["One class"]
    same = curve_figure(setting, LIGHT)
    assert np.allclose(same.data[0].y, same.data[2].y, atol=1e-6)
    moved = curve_figure(replace(setting, background=2.0), LIGHT)
    assert float(moved.data[3].y[0]) == pytest.approx(1 / (1 + math.exp(0.7)), abs=1e-6)  # σ(1.3 − 2)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_figures_made_without_validation_are_valid(theme):
    sigmoid, softmax = guide.START.specs
    for figure in (
        plane(sigmoid), plane(softmax, rule="argmax"),
        curve_figure(PRESETS["One class"], theme),
        guide_parts.reliability(theme, stretch=2.0).picture.figure,
    ):  # fmt: skip
        go.Figure(figure.to_dict())


# Miniatures ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("difference", "half", "margin", "answer", "why"),
    [
        (0.03, 0.01, 0.01, "Sigmoid is better", "beyond the margin"),
        (-0.03, 0.01, 0.01, "Softmax is better", "beyond the margin"),
        (0.0, 0.008, 0.01, "No practical difference", "within the margin"),
        (0.006, 0.003, 0.01, "No practical difference", "leaves out 0"),
        (0.0, 0.02, 0.01, "Open: not enough evidence", "about 180 more"),  # (0.02 / 0.01)² = 4 times 60 images
        (0.02, 0.014, 0.01, "Open: not enough evidence", "leaves out 0"),
        (0.01, 0.014, 0.01, "Open: not enough evidence", "would not settle it"),
    ],
)
def test_forest_miniature_says_what_the_verdict_would(difference, half, margin, answer, why):
    found = guide_parts.forest(LIGHT, difference=difference, half_width=half, margin=margin)
    assert found.answer == answer
    assert why in found.why
    assert answer in found.picture.alt
    points = [trace for trace in found.picture.figure.data if trace.mode == "markers"]
    assert points[0].x[0] == difference


def test_forest_miniature_is_coloured_by_its_answer():
    better = guide_parts.forest(LIGHT, difference=0.03, half_width=0.01, margin=0.01)
    assert better.side == "sigmoid"
    marker = next(trace.marker for trace in better.picture.figure.data if trace.mode == "markers")
    assert marker.color[0] == LIGHT.heads["sigmoid"]
    assert MACRO == "macro"


def test_reliability_miniature_tells_both_sides():
    assert guide_parts.reliability(LIGHT, stretch=1.0).answer == "Calibrated"
    over = guide_parts.reliability(LIGHT, stretch=2.0)
    assert over.answer == "Over-confident"
    assert "temperature of 2" in over.why
    assert guide_parts.reliability(LIGHT, stretch=0.5).answer == "Under-confident"


# When it matters -------------------------------------------------------------------------------------------------


def test_numbers_on_the_cards_by_hand():
    html = guide_parts.facts_html(facts(LIGHT), LIGHT)
    # p = 0.8176, 0.6225, 0.1192: 0.8176*0.3775*0.8808 + 0.1824*0.6225*0.8808 + 0.1824*0.3775*0.1192 = 0.380
    assert "0.38 against 1" in html
    # All to the nucleus: Dice 2*75/(75 + 100) = 0.857 and 1, mean 0.929. Sharing cannot do better here.
    assert "0.93 at most" in html
    assert "0.79 = 0.79" in html  # 1 / (1 + e^-1.3) = 0.786
    assert "0.50 to 0.73" in html  # σ(0), σ(1)
    assert "0.30, not 0.50" in html
    assert "99% right, Dice 0" in html
    assert "to 0.000" in html
    assert "3 seeds" in html
    assert html.count('class="fact"') == 8


# The list of figures ---------------------------------------------------------------------------------------------


def test_every_explained_figure_has_its_place_and_none_is_left_over():
    assert set(PAGE_OF) == set(HOW_TO_READ) == set(TITLES)
    assert list(BY_PAGE) == [page for page in PAGES if page in BY_PAGE]
    assert all(len({title for title, _ in figures.values()}) == len(figures) for figures in BY_PAGE.values())
    assert sum(map(len, BY_PAGE.values())) == len(HOW_TO_READ)  # no name stands on two pages


def test_explanations_are_set_as_text_is():
    found = [
        (name, wrong)
        for name, text in HOW_TO_READ.items()
        for wrong in re.findall(r".{12}(?:\d\s%|\s\s|\s[,.;:?])", text)
    ]
    assert found == []


def test_pages_are_those_of_the_menu_in_its_order():
    scripts = (REPO / "dashboard" / "app_pages").glob("*.py")
    assert sorted(path.stem for path in scripts) == sorted(PAGES)
    evidence = [name for name, page in PAGES.items() if page.evidence]
    assert evidence == [name for name in PAGES if name in BY_PAGE and name != "runs"]


def test_classes_of_the_guide_have_colours_that_are_no_heads():
    for theme in (LIGHT, DARK):
        colors = guide.class_colors(theme)
        assert len(set(colors)) == len(CLASSES)
        assert not set(colors) & set(theme.heads.values())
