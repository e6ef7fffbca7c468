"""Numbers are written with the digits that their intervals deserve."""

import math

import pytest

from dashboard import rounding
from pipelines.sentences import decimals_of, signed
from pipelines.verdict.evidence import Estimate


@pytest.mark.parametrize(
    ("low", "high", "decimals"),
    [
        (0.80, 0.826, 3),  # half-width 0.013 begins with 1: two digits
        (0.7, 0.9, 2),  # 0.1
        (0.806, 0.818, 3),  # 0.006: one digit
        (0.2, 0.8, 2),  # 0.3 would deserve one decimal, but scores get two at least
        (0.5, 0.5, 3),  # no width, no information
        (0.123451, 0.123452, 5),  # never more than five
    ],
)
def test_decimals_follow_the_half_width(low, high, decimals):
    assert decimals_of(low, high) == decimals


def test_value_and_interval_share_their_decimals_and_use_real_minus_signs():
    assert rounding.with_interval(0.81234, 0.7972, 0.8261) == "0.812 [0.797, 0.826]"
    assert rounding.with_interval(-0.0131, -0.0182, -0.0071, signed=True) == "−0.013 [−0.018, −0.007]"
    assert rounding.with_interval(31.42, 23.1, 38.9, unit="%") == "31% [23, 39]"
    assert rounding.with_interval(0.0, 0.0, 0.0, signed=True, unit="%") == "0%"


def test_difference_that_rounds_to_zero_has_no_sign_but_the_ends_of_its_interval_keep_theirs():
    assert [signed(one, 3) for one in (0.0004, -0.0004, 0.0, 0.0006, -0.0006)] == [
        "0.000", "0.000", "0.000", "+0.001", "-0.001",
    ]  # fmt: skip
    said = rounding.with_interval(-0.0002, -0.0041, 0.0002, signed=True)
    assert said == "0.000 [−0.004, +0.000]"
    assert str(Estimate(-0.0002, -0.0041, 0.0002)) == "0.000 [-0.004, +0.000]"


def test_missing_numbers_are_a_dash_and_missing_intervals_are_left_out():
    assert rounding.with_interval(math.nan, 0.1, 0.2) == rounding.NO_VALUE
    assert rounding.with_interval(None, None, None) == rounding.NO_VALUE
    assert rounding.with_interval(0.5, math.nan, math.nan) == "0.500"
    assert rounding.rounded(math.nan) == rounding.NO_VALUE


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.107, "10.7%"), (0.0023, "0.23%"), (0.00003, "< 0.01%"), (0.0, "0.0%"), (None, "–"), (-0.02, "−2.0%")],
)
def test_shares_are_percent(share, text):
    assert rounding.percent(share) == text


def test_time_left_is_said_in_words():
    assert rounding.duration(12.3) == "about 12 s"
    assert rounding.duration(150) == "about 2 min"
    assert rounding.duration(3 * 3600) == "about 3.0 h"
    assert rounding.duration(None) == ""


def test_typeset_changes_minus_signs_and_no_hyphens():
    assert rounding.typeset("top-label 2-fold -0.3 [-0.5, -0.1]") == "top-label 2-fold −0.3 [−0.5, −0.1]"
