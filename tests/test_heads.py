"""Target coding, log-odds and decisions of every head: by hand, against torch in float64, at extremes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.errors import ConfigError, ShapeError
from pipelines.heads import (
    IGNORED,
    MAX_LABEL_SETS,
    at_temperature,
    channel_log_odds,
    channel_log_probs,
    decide,
    encode,
    extra_log_odds,
    head_specs,
    log_odds,
    logsumexp,
    sigmoid,
    softplus,
)
from pipelines.schema import LOG_ODDS_LIMIT

COUNTS = {(): 900, (0,): 300, (0, 1): 80, (2,): 100, (0, 2): 7}
EXCLUSIVE = head_specs("exclusive", ("a", "b", "c"))
BINARY = head_specs("binary", ("a",))
OVERLAPPING = head_specs("overlapping", ("a", "b", "c"), set_counts=COUNTS)
SPECS = [*EXCLUSIVE, *BINARY, *OVERLAPPING]
EVERY = pytest.mark.parametrize("spec", SPECS, ids=lambda spec: f"{spec.kind}-{spec.head}")


def logits_of(spec, *, scale=4.0, pixels=500, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(0, scale, (len(spec.channels), pixels)).astype(np.float32)


def exact_log_odds(spec, logits):
    """log p - log(1 - p) of each class in float64 from torch, with 1 - p summed and not subtracted."""
    z = torch.from_numpy(logits).double()
    if not spec.is_softmax:
        return z.numpy()
    inside = np.zeros((len(spec.classes), len(spec.channels)), np.bool_)
    for channel, members in enumerate(spec.sets):
        inside[list(members), channel] = True
    for index, channel in spec.shared_channels():
        inside[index, channel] = True
    return np.stack([(z[row].logsumexp(0) - z[~row].logsumexp(0)).numpy() for row in torch.from_numpy(inside)])


# Contenders ------------------------------------------------------------------------------------------------------


def test_each_kind_has_its_contenders_and_channels():
    channels = {(spec.kind, spec.head): spec.channels for spec in SPECS}
    assert channels == {
        ("exclusive", "sigmoid"): ("a", "b", "c"),
        ("exclusive", "softmax"): ("a", "b", "c"),
        ("binary", "sigmoid"): ("a",),
        ("binary", "softmax"): ("background", "a"),
        ("overlapping", "sigmoid"): ("a", "b", "c"),
        ("overlapping", "softmax"): ("background", "a", "b", "c"),
        ("overlapping", "softmax-powerset"): ("background", "a", "c", "a+b", "a+c"),  # the commonest set first
    }


def test_channels_that_mean_a_class_are_shared():
    assert EXCLUSIVE[1].shared_channels() == ((0, 0), (1, 1), (2, 2))
    assert BINARY[0].shared_channels() == ((0, 0),)
    assert BINARY[1].shared_channels() == ((0, 1),)
    assert OVERLAPPING[1].shared_channels() == ((0, 1), (1, 2), (2, 3))
    assert OVERLAPPING[2].shared_channels() == ()  # {a} is not a: it is a alone


def test_the_smallest_class_wins_unless_an_order_is_given():
    # a: 300 + 80 + 7 = 387, b: 80, c: 100 + 7 = 107, so b before c before a.
    assert OVERLAPPING[1].priority == (1, 2, 0)
    named = head_specs("overlapping", "abc", set_counts=COUNTS, priority=("c", "a", "b"), softmax_rule="priority")
    assert named[1].priority == (2, 0, 1)
    assert [spec.head for spec in named] == ["sigmoid", "softmax"]
    with pytest.raises(ConfigError, match=r"each class once \(a, b, c\), got c, a; list all of them"):
        head_specs("overlapping", "abc", set_counts=COUNTS, priority=("c", "a"))
    with pytest.raises(ConfigError, match="count the training split first"):
        head_specs("overlapping", "abc")


def test_powerset_keeps_the_commonest_sets_up_to_its_limit():
    counts = {(i, j): 1000 - 10 * i - j for i in range(12) for j in range(i + 1, 12)} | {(3,): 0}
    assert len(counts) == 66 + 1
    spec = head_specs("overlapping", [f"c{i}" for i in range(12)], set_counts=counts, softmax_rule="powerset")[1]
    assert len(spec.sets) == len(spec.channels) == MAX_LABEL_SETS == 64
    assert spec.sets[:3] == ((), (0, 1), (0, 2))
    assert (3,) not in spec.sets  # never seen
    assert (10, 11) not in spec.sets  # the rarest


# Coding ----------------------------------------------------------------------------------------------------------


def row(*sets, classes=3):
    """Truth of one row of pixels from label sets, (C, 1, W)."""
    truth = np.zeros((classes, 1, len(sets)), np.bool_)
    for x, members in enumerate(sets):
        truth[list(members), 0, x] = True
    return truth


def test_sigmoid_codes_each_class_by_itself_and_zero_where_ignored():
    valid = np.array([[True, True, False]])
    target = encode(OVERLAPPING[0], row((0, 1), (), (2,)), valid)
    assert target.dtype == np.float32
    assert target[:, 0].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]


def test_softmax_codes_the_class_or_ignored():
    valid = np.array([[True, True, True, False]])
    target = encode(EXCLUSIVE[1], row((2,), (0,), (1,), (1,)), valid)
    assert target.dtype == np.int64
    assert target.tolist() == [[2, 0, 1, IGNORED]]
    assert encode(BINARY[1], row((), (0,), (0,), (), classes=1), valid).tolist() == [[0, 1, 1, IGNORED]]


def test_priority_gives_a_pixel_of_several_classes_to_the_first_in_order():
    # order b, c, a; channels background a b c
    truth = row((), (0,), (0, 1), (0, 2), (1, 2), (0, 1, 2))
    assert encode(OVERLAPPING[1], truth, np.ones((1, 6), np.bool_)).tolist() == [[0, 1, 2, 3, 2, 2]]


def test_powerset_codes_the_set_and_an_unknown_set_as_the_most_similar():
    # channels: {} a c ab ac.  {b}: overlap with {a, b} is 1/2, with all others 0.
    # {a, b, c}: {a, b} and {a, c} both share 2/3, {a, b} is commoner.  {b, c}: {c} shares 1/2, {a, b} and {a, c} 1/3.
    truth = row((), (0,), (2,), (0, 1), (0, 2), (1,), (0, 1, 2), (1, 2), (0,))
    valid = np.ones((1, 9), np.bool_)
    valid[0, 8] = False
    assert encode(OVERLAPPING[2], truth, valid).tolist() == [[0, 1, 2, 3, 4, 3, 3, 2, IGNORED]]


@pytest.mark.parametrize("classes", [8, 9, 64, 65, 70])
def test_powerset_coding_does_not_mix_up_many_classes(classes):
    # Known sets are {k, k + 1}; pixel k carries exactly that set.
    sets = [(k, k + 1) for k in range(min(classes - 1, MAX_LABEL_SETS - 1))]
    counts = {members: 100 - k for k, members in enumerate(sets)}
    spec = head_specs("overlapping", [f"c{k}" for k in range(classes)], set_counts=counts, softmax_rule="powerset")[1]
    target = encode(spec, row(*sets, classes=classes), np.ones((1, len(sets)), np.bool_))
    assert target.tolist() == [list(range(1, len(sets) + 1))]


def test_coding_refuses_shapes_that_do_not_fit():
    with pytest.raises(ShapeError, match=r"truth must be \(3, H, W\) and valid \(H, W\), got \(2, 4, 4\) and \(4, 4\)"):
        encode(EXCLUSIVE[0], np.zeros((2, 4, 4), np.bool_), np.ones((4, 4), np.bool_))
    with pytest.raises(ShapeError, match=r"got \(3, 4, 4\) and \(4, 5\)"):
        encode(EXCLUSIVE[0], np.zeros((3, 4, 4), np.bool_), np.ones((4, 5), np.bool_))


# Log-odds --------------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("scale", [0.1, 4, 40])
def test_log_odds_equal_torchs_in_float64(spec, scale):
    logits = logits_of(spec, scale=scale)
    np.testing.assert_allclose(log_odds(spec, logits), exact_log_odds(spec, logits), rtol=2e-5, atol=2e-5)


def test_log_odds_by_hand():
    # logits ln (1, 2, 5): p = 1/8, 2/8, 5/8; odds 1:7, 2:6, 5:3.
    logits = np.log(np.array([[1], [2], [5]], np.float32))
    expected = np.log([[1 / 7], [2 / 6], [5 / 3]])
    np.testing.assert_allclose(log_odds(EXCLUSIVE[1], logits), expected, rtol=1e-5)
    # Sets {} a c ab ac with weights 1 2 3 4 5 of 15: a 2 + 4 + 5 = 11 against 4, b 4 : 11, c 3 + 5 = 8 : 7.
    logits = np.log(np.arange(1, 6, dtype=np.float32))[:, None]
    expected = np.log([[11 / 4], [4 / 11], [8 / 7]])
    np.testing.assert_allclose(log_odds(OVERLAPPING[2], logits), expected, rtol=1e-5)
    # Two channels: the difference.
    assert log_odds(BINARY[1], np.array([[1.5], [-2.0]], np.float32)).tolist() == [[-3.5]]


@EVERY
def test_extreme_logits_stay_finite_and_ordered(spec):
    logits = np.zeros((len(spec.channels), 3), np.float32)
    logits[0] = [300, -300, 0]
    logits[-1] = [-300, 300, 300]
    values = log_odds(spec, logits)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values, exact_log_odds(spec, logits).clip(-LOG_ODDS_LIMIT, LOG_ODDS_LIMIT), rtol=1e-6)


def test_a_softmax_keeps_its_digits_where_p_rounds_to_one():
    # z = (40, 0, 0): 1 - p = 2 e^-40 is far below float32's step at 1, its log-odds are 40 - ln 2 all the same.
    values = channel_log_odds(np.array([[40], [0], [0]], np.float32))
    np.testing.assert_allclose(values[:, 0], [40 - np.log(2), -40, -40], rtol=1e-6)


def test_log_odds_refuse_what_is_no_logit():
    with pytest.raises(ShapeError, match=r"softmax has 3 channels, got logits of shape \(2, 5\)"):
        log_odds(EXCLUSIVE[1], np.zeros((2, 5), np.float32))
    for bad in (np.nan, np.inf):
        with pytest.raises(ShapeError, match="not numbers; lower the learning rate"):
            log_odds(EXCLUSIVE[0], np.full((3, 5), bad, np.float32))


def test_a_class_in_no_known_set_is_never_present():
    spec = head_specs("overlapping", "ab", set_counts={(0,): 5}, softmax_rule="powerset")[1]
    assert spec.channels == ("background", "a")
    assert log_odds(spec, np.zeros((2, 1), np.float32)).tolist() == [[0], [-LOG_ODDS_LIMIT]]


@given(st.lists(st.floats(-300, 300, width=32), min_size=2, max_size=6))
@settings(max_examples=100, deadline=None)
def test_channel_probabilities_sum_to_one(values):
    odds = channel_log_odds(np.array(values, np.float32)[:, None])
    assert sigmoid(odds.astype(np.float64)).sum() == pytest.approx(1, abs=1e-4)


def test_logsumexp_and_softplus_do_not_overflow():
    assert logsumexp(np.array([[300], [300]], np.float32))[0] == pytest.approx(300 + np.log(2))
    assert logsumexp(np.full((2, 1), -np.inf, np.float32))[0] == -np.inf
    assert softplus(np.array([-800.0, 0.0, 800.0])).tolist() == [0.0, np.log(2), 800.0]
    assert sigmoid(np.array([-800.0, 0.0, 800.0])).tolist() == [0.0, 0.5, 1.0]


# What is stored gives the network back --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec", [spec for spec in SPECS if spec.is_softmax], ids=lambda spec: f"{spec.kind}-{spec.head}"
)
def test_stored_log_odds_give_every_channel_back(spec):
    logits = logits_of(spec)
    extra = extra_log_odds(spec, logits)
    assert extra.shape == (len(spec.extra_channels), 500)
    expected = torch.from_numpy(logits).double().log_softmax(0).numpy()
    np.testing.assert_allclose(channel_log_probs(spec, log_odds(spec, logits), extra), expected, atol=1e-5)


@EVERY
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_temperature_on_what_is_stored_is_temperature_on_the_logits(spec, temperature):
    logits = logits_of(spec)
    stored = at_temperature(spec, log_odds(spec, logits), extra_log_odds(spec, logits), temperature)
    expected = exact_log_odds(spec, (logits / np.float32(temperature)))
    np.testing.assert_allclose(stored, expected, rtol=1e-4, atol=1e-4)


def test_sigmoid_may_have_a_temperature_for_each_class():
    odds = np.ones((3, 2), np.float32)
    scaled = at_temperature(EXCLUSIVE[0], odds, np.empty((0, 2), np.float32), np.array([1.0, 2.0, 4.0]))
    assert scaled.tolist() == [[1, 1], [0.5, 0.5], [0.25, 0.25]]
    with pytest.raises(ShapeError, match=r"temperature must be above 0, got 0"):
        at_temperature(EXCLUSIVE[0], odds, np.empty((0, 2), np.float32), 0.0)


# Decisions -------------------------------------------------------------------------------------------------------


def test_argmax_calls_one_class_and_the_first_on_a_tie():
    odds = np.array([[1, 2, -5], [3, 2, -6], [2, 2, -7]], np.float32)
    assert decide(odds, rule="argmax").T.tolist() == [[False, True, False], [True, False, False], [True, False, False]]


def test_threshold_calls_every_class_strictly_above_it():
    odds = np.array([[0.0, 0.1], [-0.1, 3.0]], np.float32)
    assert decide(odds, rule="threshold").tolist() == [[False, True], [False, True]]  # p = 0.5 is not above 0.5
    # p > 0.9 needs log-odds above ln 9 = 2.197; p > 0.1 above -2.197.
    assert decide(odds, rule="threshold", thresholds=(0.1, 0.9)).tolist() == [[True, True], [False, True]]
    for bad in (0.0, 1.0, float("nan")):
        with pytest.raises(ShapeError, match="strictly between 0 and 1"):
            decide(odds, rule="threshold", thresholds=bad)


def test_an_exclusive_softmax_never_calls_two_classes_at_half():
    # p_a + p_b <= 1, so both cannot be above 0.5. Sigmoid and powerset can.
    both = {}
    for spec in OVERLAPPING:
        called = decide(log_odds(spec, logits_of(spec, pixels=5000)), rule="threshold")
        both[spec.head] = int((called.sum(axis=0) > 1).sum())
    assert both["softmax"] == 0
    assert both["sigmoid"] > 1000
    assert both["softmax-powerset"] > 1000
