"""Intervals, p-values and seeds: by hand, against scipy, by property, at the edges, and by how often they hold."""

import numpy as np
import pytest
from arrays import counts_of, example
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import integrate, special, stats

from benchmarks.inference import estimates as study
from benchmarks.inference import intervals
from benchmarks.inference.population import Population, Scenario, build, sums
from benchmarks.pages import into_page
from pipelines.errors import ShapeError
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.estimates import estimate_head
from pipelines.metrics.inference import (
    bias_corrected,
    calibration_error,
    equivalence_p_value,
    further_units,
    holm,
    interval,
    order,
    over_seeds,
    p_value,
    reduced_absolute,
    simultaneous_interval,
    standard_error,
    widening,
)

NAN = float("nan")
T9 = 2.2621571628  # 97.5% point of Student's t with 9 degrees of freedom, from a printed table to 3 digits: 2.262
Z = 1.9599639845


def column(numbers) -> tuple[np.ndarray, np.ndarray]:
    """Replicates (B, 1) and a value (1,) in their middle."""
    replicates = np.asarray(numbers, float)[:, None]
    return np.array([np.median(replicates)]), replicates


def normal_quantiles(value: float, error: float, count: int) -> np.ndarray:
    """(count, 1) numbers that lie as a normal sample should, without chance."""
    return (value + error * special.ndtri((np.arange(count) + 0.5) / count))[:, None]


FEW = settings(max_examples=30)
finite = st.floats(-10, 10, allow_nan=False).map(lambda x: round(x, 6))
samples = arrays(np.float64, (25, 3), elements=finite)


# Quantiles ---------------------------------------------------------------------------------------------------------


@given(samples, st.floats(0, 1))
@FEW
def test_quantiles_are_numpys_column_by_column_without_the_missing_ones(drawn, level):
    drawn[:5, 1] = NAN
    found = order(drawn).quantile(level)
    assert found == pytest.approx(np.nanquantile(drawn, level, axis=0), abs=1e-12)


@given(samples, st.floats(0.01, 0.99))
@FEW
def test_levels_turn_quantiles_back(drawn, level):
    ordered = order(drawn[:, :1])
    first, last = ordered.levels(float(ordered.quantile(level)[0]))
    assert first[0] - 1e-6 <= level <= last[0] + 1e-6 or np.ptp(drawn[:, 0]) < 1e-3


def test_levels_of_points_outside_and_on_ties():
    ordered = order(np.array([1.0, 2.0, 2.0, 2.0, 3.0])[:, None])
    assert [float(one[0]) for one in ordered.levels(0.0)] == [0, 0]
    assert [float(one[0]) for one in ordered.levels(4.0)] == [1, 1]
    # five numbers stand at levels 0, 1/4, 2/4, 3/4, 1; those at 1/4 to 3/4 are 2
    assert [float(one[0]) for one in ordered.levels(2.0)] == [0.25, 0.75]
    assert [float(one[0]) for one in ordered.levels(1.5)] == [0.125, 0.125]


# Intervals by hand -------------------------------------------------------------------------------------------------


def test_widening_makes_good_what_few_units_take():
    # t(9 degrees) / z · √(10 / 9) = 2.26216 / 1.95996 · 1.05409
    assert float(widening(10)) == pytest.approx(T9 / Z * 1.0540925534, rel=1e-9)
    assert float(widening(2)) == pytest.approx(12.7062047362 / Z * np.sqrt(2), rel=1e-9)
    assert float(widening(10**9)) == pytest.approx(1, abs=1e-6)
    assert np.isnan(widening(1))
    assert widening(np.array([1.0, 10.0]))[1] == widening(10)


def test_every_kind_of_interval_of_a_hundred_and_one_even_replicates():
    value, replicates = np.array([50.0]), np.arange(101.0)[:, None]
    assert np.concatenate(intervals.interval(value, replicates, units=10, method="percentile")) == pytest.approx(
        [2.5, 97.5]
    )
    # reflected at 40: 2 · 40 − 97.5 and 2 · 40 − 2.5
    basic = intervals.interval(np.array([40.0]), replicates, units=10, method="basic")
    assert np.concatenate(basic) == pytest.approx([-17.5, 77.5])
    # 47.5 either way, stretched by 2.26216 / 1.95996 · √(10 / 9) = 1.21662
    half = 47.5 * T9 / Z * np.sqrt(10 / 9)
    assert np.concatenate(interval(value, replicates, units=10)) == pytest.approx([50 - half, 50 + half])


def test_an_interval_keeps_the_skewness_of_its_replicates():
    value, replicates = np.array([20.0]), np.arange(101.0)[:, None]
    low, high = interval(value, replicates, units=10)
    # 17.5 down and 77.5 up from 20, both stretched
    assert (high - value) / (value - low) == pytest.approx(77.5 / 17.5)


def test_bounds_cut_an_interval():
    low, high = interval(np.array([0.98]), normal_quantiles(0.98, 0.05, 999), units=20, bounds=(0.0, 1.0))
    assert high.tolist() == [1.0]
    assert 0.8 < low[0] < 0.9


# Intervals against scipy -------------------------------------------------------------------------------------------

DATA = np.random.default_rng(3).exponential(size=23)


def scipy_bootstrap(method: str, statistic):
    return stats.bootstrap(
        (DATA,), statistic, method=method, n_resamples=999, vectorized=True, rng=np.random.default_rng(4)
    )


@pytest.mark.parametrize("statistic", [np.mean, np.var, np.median])
@pytest.mark.parametrize("method", ["percentile", "basic", "BCa"])
def test_percentile_basic_and_bca_intervals_are_scipys(method, statistic):
    theirs = scipy_bootstrap(method, statistic)
    jackknife = np.array([statistic(np.delete(DATA, k)) for k in range(len(DATA))])
    low, high = intervals.interval(
        np.array(statistic(DATA)), theirs.bootstrap_distribution, units=len(DATA), method=method.lower(),
        jackknife=jackknife,
    )  # fmt: skip
    assert (float(low), float(high)) == pytest.approx(tuple(theirs.confidence_interval), rel=1e-9)


def test_the_standard_error_is_scipys_with_the_divisor_n_minus_one():
    theirs = scipy_bootstrap("percentile", np.mean)
    ours = standard_error(theirs.bootstrap_distribution, units=23)
    assert float(ours) == pytest.approx(theirs.standard_error * np.sqrt(23 / 22), rel=1e-12)


@pytest.mark.parametrize("units", [5, 8, 20])
def test_interval_and_p_value_of_a_mean_are_students(units):
    rng = np.random.default_rng(units)
    x = rng.normal(0.6, 1, units)
    drawn = rng.multinomial(units, np.full(units, 1 / units), size=40_000) @ x / units
    low, high = interval(np.array(x.mean()), drawn, units=units)
    test = stats.ttest_1samp(x, 0)
    expected = test.confidence_interval(0.95)
    # Resamples of few units are not quite normal, hence a tolerance of some per cent of the width.
    assert (float(low), float(high)) == pytest.approx(tuple(expected), abs=0.06 * (expected.high - expected.low))
    error = standard_error(drawn, units=units)
    assert float(error) == pytest.approx(x.std(ddof=1) / np.sqrt(units), rel=0.02)


# Intervals by property ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["expanded", "percentile", "basic", "bca"])
@given(samples, st.floats(0.1, 10), finite)
@FEW
def test_an_interval_moves_and_grows_with_what_it_is_of(method, drawn, factor, shift):
    value, jackknife = drawn.mean(axis=0), np.random.default_rng(0).normal(size=(7, 3))
    options = {"units": 7, "method": method}
    low, high = intervals.interval(value, drawn, jackknife=jackknife, **options)
    moved = intervals.interval(factor * value + shift, factor * drawn + shift, jackknife=factor * jackknife, **options)
    assert moved[0] == pytest.approx(factor * low + shift, abs=1e-6)
    assert moved[1] == pytest.approx(factor * high + shift, abs=1e-6)
    assert (low <= high + 1e-12).all()


@given(samples)
@FEW
def test_exchanging_the_heads_mirrors_interval_and_keeps_p(drawn):
    value = drawn.mean(axis=0)
    low, high = interval(value, drawn, units=12)
    other_low, other_high = interval(-value, -drawn, units=12)
    assert other_low == pytest.approx(-high, abs=1e-9)
    assert other_high == pytest.approx(-low, abs=1e-9)
    assert p_value(-value, -drawn, units=12) == pytest.approx(p_value(value, drawn, units=12), abs=1e-6)


@given(samples, st.permutations(range(25)))
@FEW
def test_the_order_of_replicates_does_not_matter_and_columns_stand_alone(drawn, shuffled):
    value = drawn.mean(axis=0)
    together = interval(value, drawn, units=np.array([5.0, 9.0, 200.0]))
    for k, units in enumerate((5, 9, 200)):
        alone = interval(value[k], drawn[list(shuffled), k], units=units)
        assert [float(end) for end in alone] == [end[k] for end in together]


# Intervals at the edges --------------------------------------------------------------------------------------------


def test_missing_replicates_are_left_out():
    drawn = np.arange(101.0)
    some = np.insert(drawn, [3, 50], NAN)
    for function in (lambda r: interval(np.array(50.0), r, units=9), lambda r: standard_error(r, units=9)):
        assert np.array_equal(function(drawn), function(some))


def test_where_nothing_is_known_nothing_is_said():
    value = np.array([1.0, NAN])
    drawn = np.stack([np.full(20, NAN), np.arange(20.0)], axis=1)
    for ends in (
        interval(value, drawn, units=9),
        interval(value, np.empty((0, 2)), units=9),
        interval(value, np.random.default_rng(0).normal(size=(20, 2)), units=1),
    ):
        assert np.isnan(ends[0]).tolist() == np.isnan(ends[1]).tolist()
        assert np.isnan(ends[0][1])
    assert np.isnan(np.concatenate(interval(value, drawn, units=9))).all()
    assert np.isnan(p_value(value, drawn, units=9)).all()
    assert np.isnan(p_value(np.array([1.0]), drawn[:, 1:], units=1)).all()
    assert np.isnan(standard_error(drawn[:, 1], units=1))
    assert np.isnan(standard_error(np.empty((0, 2)), units=9)).all()
    assert np.isnan(standard_error(drawn, units=np.array([9.0, 1.0]))).all()


def test_replicates_of_another_shape_and_a_missing_jackknife_are_refused():
    with pytest.raises(ShapeError, match="replicates must be"):
        interval(np.zeros(3), np.zeros((10, 2)), units=5)
    with pytest.raises(ShapeError, match="jackknife"):
        intervals.interval(np.zeros(3), np.zeros((10, 3)), units=5, method="bca")


# P-values ----------------------------------------------------------------------------------------------------------


@given(arrays(np.float64, 60, elements=st.floats(-1, 3).map(lambda x: round(x, 3)), unique=True))
@FEW
def test_a_p_value_is_the_level_whose_interval_just_touches_zero(drawn):
    value, replicates = column(drawn)
    p = float(p_value(value, replicates, units=15)[0])
    if 2 / 61 < p < 0.99:
        low, high = interval(value, replicates, units=15, confidence=1 - p)
        assert min(abs(low[0]), abs(high[0])) == pytest.approx(0, abs=1e-9)


def test_a_p_value_by_hand():
    # 101 replicates from −1 to 3 around 1, so stretched by w to 1 ± 2 w; 0 lies at level (2 w − 1) / (4 w)
    w = float(widening(10))
    p = p_value(np.array([1.0]), np.linspace(-1, 3, 101)[:, None], units=10)
    assert p[0] == pytest.approx(2 * (2 * w - 1) / (4 * w), abs=1e-9)


def test_no_p_value_is_smaller_than_the_replicates_can_show_and_equal_heads_have_one():
    assert p_value(np.array([9.0]), np.linspace(8, 10, 199)[:, None], units=50).tolist() == [2 / 200]
    assert p_value(np.zeros(1), np.zeros((199, 1)), units=50).tolist() == [1.0]
    assert p_value(np.array([0.3]), np.full((199, 1), 0.3), units=50).tolist() == [2 / 200]


@pytest.mark.parametrize(("value", "margin"), [(0.0, 0.5), (0.4, 1.0), (-0.4, 0.3), (1.0, 0.5)])
def test_equivalence_is_two_one_sided_tests_of_a_normal_statistic(value, margin):
    error = 0.25
    found = equivalence_p_value(np.array([value]), normal_quantiles(value, error, 20_001), units=10_000, margin=margin)
    # Schuirmann: the larger p of "at most −margin" and "at least +margin"
    expected = max(stats.norm.sf((value + margin) / error), stats.norm.cdf((value - margin) / error))
    assert found[0] == pytest.approx(expected, abs=1e-3)


@given(arrays(np.float64, 60, elements=st.floats(-1, 1).map(lambda x: round(x, 3)), unique=True), st.floats(0.3, 2))
@FEW
def test_equivalence_at_five_percent_is_a_ninety_percent_interval_within_the_margin(drawn, margin):
    value, replicates = column(drawn)
    p = float(equivalence_p_value(value, replicates, units=20, margin=margin)[0])
    low, high = interval(value, replicates, units=20, confidence=0.9)
    inside = low[0] > -margin and high[0] < margin
    assert inside == (p < 0.05) or abs(p - 0.05) < 1e-6


def test_equivalence_of_two_equal_heads_is_as_sure_as_the_replicates_allow():
    assert equivalence_p_value(np.zeros(1), np.zeros((99, 1)), units=9, margin=0.01).tolist() == [0.01]
    assert np.isnan(equivalence_p_value(np.array([NAN]), np.zeros((99, 1)), units=9, margin=0.01)).all()


def test_holm_by_hand():
    # sorted: 0.005 · 4 = 0.02, 0.01 · 3 = 0.03, 0.03 · 2 = 0.06, 0.04 · 1 = 0.04 raised to the 0.06 before it
    assert holm(np.array([0.01, 0.04, 0.03, 0.005])) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # two known ones: 0.02 · 2, then 0.5
    assert holm(np.array([0.5, NAN, 0.02])) == pytest.approx([0.5, NAN, 0.04], nan_ok=True)
    assert holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]
    assert holm(np.empty(0)).tolist() == []


@given(arrays(np.float64, (2, 5), elements=st.floats(0, 1)), st.permutations(range(5)))
@FEW
def test_holm_lies_between_p_and_bonferroni_and_keeps_the_order(p, shuffled):
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(5 * p, 1) + 1e-12).all()
    assert holm(p[:, list(shuffled)]) == pytest.approx(adjusted[:, list(shuffled)])
    for row, out in zip(p, adjusted, strict=True):
        assert (np.diff(out[np.argsort(row)]) >= 0).all()


# Several at once ---------------------------------------------------------------------------------------------------


def test_simultaneous_intervals_of_independent_statistics_are_sidaks():
    drawn = np.random.default_rng(0).normal(size=(40_000, 4))
    low, high = simultaneous_interval(np.zeros(4), drawn, units=10**6)
    # 0.95 ** (1 / 4) = 0.98726 each: z = 2.4909
    assert high == pytest.approx(np.full(4, special.ndtri((1 + 0.95 ** (1 / 4)) / 2)), rel=0.02)
    assert low == pytest.approx(-high)


def test_statistics_that_move_together_pay_nothing_for_being_many():
    drawn = np.random.default_rng(0).normal(size=(20_000, 1))
    one = simultaneous_interval(np.zeros(1), drawn, units=10**6)
    many = simultaneous_interval(np.zeros(5), np.repeat(drawn, 5, axis=1), units=10**6)
    assert many[1] == pytest.approx(np.repeat(one[1], 5))
    assert one[1] == pytest.approx([Z], rel=0.02)


def test_a_statistic_without_spread_or_replicates_does_not_widen_the_others():
    drawn = np.random.default_rng(0).normal(size=(500, 2))
    alone = simultaneous_interval(np.zeros(2), drawn, units=9)
    more = np.concatenate([drawn, np.full((500, 1), 3.0), np.full((500, 1), NAN)], axis=1)
    low, high = simultaneous_interval(np.array([0, 0, 3.0, 1.0]), more, units=9)
    assert np.array_equal(high[:2], alone[1])
    assert (low[2], high[2]) == (3, 3)
    assert np.isnan([low[3], high[3]]).all()
    assert np.isnan(simultaneous_interval(np.zeros(2), np.empty((0, 2)), units=9)[0]).all()


# Seeds -------------------------------------------------------------------------------------------------------------


def test_one_seed_stands_for_itself():
    drawn = np.random.default_rng(0).normal(size=(50, 1, 2))
    center, replicates, units = over_seeds(np.ones((1, 2)), drawn, units=30, rng=np.random.default_rng(1))
    assert np.array_equal(replicates, drawn[:, 0])
    assert center.tolist() == [1, 1]
    assert units.tolist() == [30, 30]


def test_seeds_that_agree_add_nothing():
    drawn = np.repeat(np.random.default_rng(0).normal(size=(50, 1, 2)), 3, axis=1)
    values = np.repeat(drawn.mean(axis=0)[:1], 3, axis=0)
    center, replicates, units = over_seeds(values, drawn, units=30, rng=np.random.default_rng(1))
    assert replicates == pytest.approx(drawn[:, 0])
    assert center == pytest.approx(values[0])
    assert units == pytest.approx([30, 30])


@pytest.mark.parametrize("seeds", [2, 3, 5, 8])
def test_an_interval_is_known_where_images_do_not_vary_at_all(seeds):
    values = np.linspace(0.2, 0.4, seeds)[:, None]
    center, replicates, units = over_seeds(
        values, np.tile(values, (999, 1, 1)), units=30, rng=np.random.default_rng(1)
    )  # fmt: skip
    low, high = interval(center, replicates, units=units)
    assert units == pytest.approx(seeds)
    assert low < 0.3 < high


def test_where_only_seeds_differ_the_interval_is_students_over_seeds():
    values = np.array([0.1, 0.2, 0.6, 0.4])[:, None]
    drawn = np.repeat(values.T[..., None], 20_000, axis=0).reshape(20_000, 4, 1)
    center, replicates, units = over_seeds(values, drawn, units=100, rng=np.random.default_rng(1))
    assert units == pytest.approx([4])
    theirs = stats.ttest_1samp(values[:, 0], 0)
    low, high = interval(center, replicates, units=units)
    expected = theirs.confidence_interval(0.95)
    assert (low[0], high[0]) == pytest.approx(tuple(expected), abs=0.02 * (expected.high - expected.low))
    # mean 0.325; squared distances 0.050625 + 0.015625 + 0.075625 + 0.005625 = 0.1475; √(0.1475 / 3 / 4) = 0.11087
    assert standard_error(replicates, units=units) == pytest.approx([0.11087], rel=0.02)


def test_two_equal_parts_of_variance_get_the_mean_of_their_t():
    rng = np.random.default_rng(1)
    values = np.array([-1.0, 0.0, 1.0])[:, None]  # variance of their mean: 1 / 3
    error = np.sqrt(1 / 3 * (49 / 50))  # of replicates that draw 50 units: 1 / 3 with the divisor n
    drawn = normal_quantiles(0, 1, 4001)
    drawn = drawn / drawn.std(ddof=1) * error
    center, replicates, units = over_seeds(values, values.T[..., None] + drawn[:, None], units=50, rng=rng)
    # (2.00958 with 49 degrees of freedom + 4.30265 with 2) / 2 = 3.15611
    assert special.stdtrit(units - 1, 0.975) == pytest.approx([3.15611], rel=1e-5)
    assert standard_error(replicates, units=units) == pytest.approx([np.sqrt(2 / 3)], rel=0.03)
    assert center == pytest.approx([0])


def test_seeds_are_drawn_alike_for_all_statistics_and_from_the_generator():
    values = np.random.default_rng(0).normal(size=(3, 2))
    values = np.concatenate([values, values[:, :1]], axis=1)
    drawn = np.repeat(values[None], 200, axis=0)
    first = over_seeds(values, drawn, units=20, rng=np.random.default_rng(7))[1]
    assert np.array_equal(first[:, 0], first[:, 2])
    assert np.array_equal(first, over_seeds(values, drawn, units=20, rng=np.random.default_rng(7))[1])
    assert not np.array_equal(first, over_seeds(values, drawn, units=20, rng=np.random.default_rng(8))[1])


def test_seeds_without_a_spread_over_units_have_no_interval():
    values = np.array([[0.1], [0.3]])
    center, replicates, units = over_seeds(values, np.empty((0, 2, 1)), units=1, rng=np.random.default_rng(0))
    assert center == pytest.approx([0.2])
    assert np.isnan(np.concatenate(interval(center, replicates, units=units))).all()


def test_a_class_that_no_seed_has_stays_unknown():
    values = np.array([[0.1, NAN], [0.3, NAN], [0.2, NAN]])
    drawn = np.random.default_rng(0).normal(size=(40, 3, 2)) + values
    center, replicates, units = over_seeds(values, drawn, units=9, rng=np.random.default_rng(0))
    low, high = interval(center, replicates, units=units)
    assert np.isnan([low[1], high[1]]).all()
    assert np.isfinite([low[0], high[0]]).all()


# Calibration error -------------------------------------------------------------------------------------------------


def test_a_gaps_bias_by_hand():
    # gap 0, error 1: E|N(0, 1)| = 0.79788, so 0 − 1.5 · 0.79788
    assert reduced_absolute(np.zeros(1), np.ones(1)) == pytest.approx([-1.5 * 0.7978845608])
    assert reduced_absolute(np.array([-8.0, 8.0]), np.ones(2)) == pytest.approx([8, 8])  # noise cannot turn it over
    assert reduced_absolute(np.array([-0.2, 0.0]), np.zeros(2)).tolist() == [0.2, 0]  # without noise no bias


@given(st.floats(-4, 4), st.floats(0.1, 3))
@FEW
def test_the_excess_of_a_noisy_gap_is_scipys_folded_normal(gap, spread):
    excess = stats.foldnorm.mean(abs(gap) / spread, scale=spread) - abs(gap)
    assert reduced_absolute(np.array(gap), np.array(spread)) == pytest.approx(abs(gap) - 1.5 * excess, abs=1e-9)


@pytest.mark.parametrize(("gap", "bias"), [(0.0, 0.30), (1.3, -0.18), (6.0, 0.0)])
def test_the_bias_that_is_left_is_what_the_docstring_says(gap, bias):
    def weighted(x):
        return reduced_absolute(np.array(x), np.array(1.0)) * stats.norm.pdf(x - gap)

    mean, _ = integrate.quad(weighted, gap - 9, gap + 9, points=[0.0] if gap < 9 else None)
    plain = stats.foldnorm.mean(gap)
    assert mean - gap == pytest.approx(bias, abs=0.006)
    assert abs(mean - gap) <= plain - gap + 1e-9 or gap > 1


def test_replicates_of_an_ece_lie_around_the_reduced_one_and_hold_the_doubt_about_its_bias():
    # One bin without a gap and with noise 0.1: the factor's doubt alone has a standard deviation of 0.79788 · 0.1.
    noise = 0.1 * np.random.default_rng(3).permutation(special.ndtri((np.arange(4000) + 0.5) / 4000))
    noise *= np.sqrt(49 / 50)  # as resampling 50 units gives it
    center, replicates = calibration_error(np.zeros((1, 1)), noise[:, None, None], units=50)
    assert center == pytest.approx([-1.5 * 0.07978845], rel=1e-3)
    assert replicates.mean(axis=0) == pytest.approx(center, abs=1e-9)
    folded = reduced_absolute(noise, np.array(0.1))
    assert replicates.var() == pytest.approx(folded.var() + 0.07978845**2, rel=0.05)


def test_the_doubt_about_the_bias_cancels_between_heads_that_are_equally_noisy():
    rng = np.random.default_rng(4)
    gaps = rng.normal(0, 0.01, (3, 15))
    replicates = gaps + rng.normal(0, 0.01, (500, 3, 15))
    one = calibration_error(gaps, replicates, units=50)[1]
    mirrored = calibration_error(-gaps, -replicates, units=50)[1]
    assert np.abs(one - mirrored).max() < 1e-12
    assert one.std(axis=0).min() > 0.01


def test_a_large_gap_has_no_doubt_about_its_bias():
    rng = np.random.default_rng(5)
    gaps = np.full((1, 4), 0.5)
    replicates = gaps + rng.normal(0, 0.01, (500, 1, 4))
    center, around = calibration_error(gaps, replicates, units=50)
    assert center == pytest.approx([2.0])
    assert around == pytest.approx(replicates.sum(axis=-1) - replicates.sum(axis=-1).mean() + 2, abs=1e-9)


def test_the_excess_of_the_bootstraps_own_world_is_a_fraction_of_the_bias():
    def found(x):
        return (stats.foldnorm.mean(abs(x)) - abs(x)) * stats.norm.pdf(x)

    mean, _ = integrate.quad(found, -9, 9, points=[0.0])
    assert stats.foldnorm.mean(0) / mean == pytest.approx(2.4, abs=0.02)  # the docstring's 1 / 2.4


def test_replicates_of_a_calibration_error_lie_around_their_center_and_large_gaps_are_left_alone():
    rng = np.random.default_rng(0)
    gaps = np.array([[0.3, -0.4], [0.001, -0.002]])  # two classes of two bins
    drawn = gaps + rng.normal(0, 0.01, (4000, 2, 2))
    center, replicates = calibration_error(gaps, drawn, units=40)
    assert center[0] == pytest.approx(0.7)
    assert center[1] < 0.003  # less than |0.001| + |−0.002|: noise of 0.01 would give more without any gap
    assert replicates.mean(axis=0) == pytest.approx(center)
    assert replicates[:, 0].std() == pytest.approx(0.01 * np.sqrt(2), rel=0.05)


def test_a_replicate_without_the_class_stays_unknown():
    drawn = np.random.default_rng(0).normal(size=(50, 1, 3))
    drawn[7] = NAN
    center, replicates = calibration_error(np.ones((1, 3)), drawn, units=10)
    assert np.flatnonzero(np.isnan(replicates[:, 0])).tolist() == [7]
    assert np.nanmean(replicates) == pytest.approx(center[0])


def test_a_bias_is_taken_off_once_from_the_value_and_twice_from_the_replicates():
    # mean of replicates 5, value 4: bias 1, center 3, and the replicates' mean comes down by 2
    center, replicates = bias_corrected(np.array([4.0]), np.array([[4.0], [NAN], [6.0]]))
    assert center.tolist() == [3.0]
    assert replicates[:, 0].tolist() == pytest.approx([2.0, NAN, 4.0], nan_ok=True)


def test_a_corrected_square_of_a_mean_is_unbiased():
    # the mean of replicates of x̄² is x̄² + Σ(x − x̄)² / n²; of 3, 5: 16 + 2 / 4, so the center is 16 − 0.5
    x = np.array([3.0, 5.0])
    drawn = np.array([[0.5, 0.5], [0.5, 0.5], [1, 0], [0, 1]]) @ x
    assert bias_corrected(np.array(16.0), drawn**2)[0] == pytest.approx(15.5)
    assert np.isnan(bias_corrected(np.array([1.0]), np.full((3, 1), NAN))[0]).all()


# More units --------------------------------------------------------------------------------------------------------


def test_further_units_by_hand():
    # [−0.005, 0.03] around 0.012 straddles 0.01: 0.017 wide on that side, 0.002 of room: 40 · ((17 / 2)² − 1)
    assert further_units(0.012, -0.005, 0.03, margin=0.01, units=40) == 40 * 72.25 - 40
    # twice the width: four times the units
    assert further_units(0.0, -0.02, 0.02, margin=0.01, units=40) == 120
    # A tenth of the squared width is the seeds': 0.9 / (0.25 − 0.1) = 6 times
    assert further_units(0.0, -0.02, 0.02, margin=0.01, units=40, fixed=0.1) == 200
    # seeds alone are wider than the room: no number of units settles it
    assert further_units(0.0, -0.02, 0.02, margin=0.01, units=40, fixed=0.25) is None
    assert further_units(0.0, -0.005, 0.005, margin=0.01, units=40) == 0
    assert further_units(0.0101, -0.02, 0.04, margin=0.01, units=40) is None
    assert further_units(0.01, 0.01, 0.01, margin=0.01, units=40) is None
    assert further_units(0.0, NAN, NAN, margin=0.01, units=40) is None


# How often they hold -----------------------------------------------------------------------------------------------


def coverage(units: int, pixels: int, *, resample_pixels: bool, repeats: int = 250) -> float:
    """Share of intervals of a mean that hold the truth, 0, where every image is shifted as a whole."""
    rng = np.random.default_rng(11)
    held = 0
    for _ in range(repeats):
        shifts = rng.normal(size=(units, 1))
        values = (shifts + rng.normal(size=(units, pixels))).ravel() if resample_pixels else None
        means = shifts[:, 0] + rng.normal(size=units) / np.sqrt(pixels) if values is None else values
        count = len(means)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=200) @ means / count
        low, high = interval(np.array(means.mean()), drawn, units=count)
        held += bool(low <= 0 <= high)
    return held / repeats


def test_ninety_five_percent_of_intervals_hold_the_truth_when_images_are_resampled_but_not_when_pixels_are():
    # 250 repeats: a share of 95% varies by 1.4%
    assert 0.91 <= coverage(12, 48, resample_pixels=False) <= 0.99
    # 48 pixels of an image count as 48 images: the interval is √(48 / 2) times too narrow
    assert coverage(12, 48, resample_pixels=True, repeats=60) < 0.5


def test_three_seeds_that_differ_more_than_images_hold_as_often():
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(300):
        effects = rng.normal(0, 1, 3)
        images = rng.normal(0, 1, 40)
        drawn = rng.multinomial(40, np.full(40, 1 / 40), size=200) @ images / 40
        values = (effects + images.mean())[:, None]
        center, replicates, units = over_seeds(values, (effects + drawn[:, None])[..., None], units=40, rng=rng)
        low, high = interval(center, replicates, units=units)
        held += bool(low[0] <= 0 <= high[0])
    assert 0.92 <= held / 300 <= 0.99


# The simulation ----------------------------------------------------------------------------------------------------


def of_examples(kind: str, seed: int, images: int = 9):
    """Population and counts of the same images, sigmoid's log-odds and others with the same truth, 40 × 40 pixels."""
    pairs = []
    for k in range(images):
        log_odds, truth, valid = example(kind, seed=seed + k, size=(40, 40), ignored=0.0)
        noise = np.random.default_rng([seed, k]).normal(0, 1.5, log_odds.shape)
        pairs.append(((log_odds, truth, valid), ((log_odds + noise).astype(np.float16), truth, valid)))
    by_head = [[pair[head] for pair in pairs] for head in range(2)]
    truth = np.stack([one[1] for one in by_head[0]]).reshape(images, 3, -1)
    parts = [
        sums(np.stack([one[0] for one in some]).reshape(truth.shape), truth, kind=kind) for some in by_head
    ]  # fmt: skip
    terms, overlap = (np.stack([part[k] for part in parts], axis=1)[:, None] for k in range(2))
    population = Population(Scenario("examples", kind=kind), terms, overlap, truth.sum(axis=2).astype(np.float32))
    return population, [counts_of(kind, some) for some in by_head]


@pytest.mark.parametrize("kind", ["exclusive", "overlapping"])
def test_the_simulations_sums_and_statistics_are_those_of_production(kind):
    population, counts = of_examples(kind, seed=40)
    setting = Setting(kind)
    for head, counted in enumerate(counts):
        terms = population.terms[:, 0, head].astype(float)
        tp, fp, fn = terms[..., 0], terms[..., 1], terms[..., 2]
        assert 2 * tp / (2 * tp + fp + fn) == pytest.approx(METRICS["dice"].by_image(counted, "all", setting))
        assert terms[..., 3] / 1600 == pytest.approx(METRICS["brier"].by_image(counted, "all", setting), rel=1e-6)
        ece = METRICS["classwise_ece"]
        gaps = ece.gaps(ece.terms(counted, "all", setting), setting)
        assert terms[..., 4:] / 1600 == pytest.approx(gaps, abs=1e-7)
        if kind == "overlapping":
            rate = METRICS["overlap_rate"].by_image(counted, "all", setting)
            assert population.overlap[:, 0, head] == pytest.approx(rate.reshape(-1), rel=1e-6)
    weights = np.random.default_rng(1).multinomial(9, np.full(9, 1 / 9), size=60).astype(np.float32)
    ours = study.estimate(study.draw(population, np.arange(9), np.arange(1)), weights)
    some = {"dice": "Dice, macro", "classwise_ece": "ECE, macro", "brier": "Brier"}
    chosen = [METRICS[metric] for metric in some]
    heads = [
        estimate_head(lambda one=one: [one], setting, weights, units=9, metrics=chosen, regions=("all",)).by_key
        for one in counts
    ]
    for metric, name in some.items():
        theirs = heads[0][metric, "all"] - heads[1][metric, "all"]
        k = study.STATISTICS.index(f"{name}, difference")
        assert ours.value[0, k] == pytest.approx(theirs.value[-1], abs=1e-6)
        assert ours.center[0, k] == pytest.approx(theirs.center[-1], abs=1e-5)
        assert ours.replicates[:, 0, k] == pytest.approx(theirs.replicates[:, -1], abs=1e-5)


def test_mirrored_populations_have_heads_that_are_exactly_equal():
    population = build(Scenario("small", seed_bias=0.5), images=4, seeds=2, rng=np.random.default_rng(0))
    for by in ("images", "seeds"):
        values = study.truth(population.mirrored(by=by).without_gaps)
        for name in ("Dice, macro, difference", "Brier, difference"):
            assert values[study.STATISTICS.index(name)] == pytest.approx(0, abs=1e-7)
    assert abs(study.truth(population)[0]) > 1e-4


def test_tables_go_between_their_markers():
    page = "a\n<!-- table: x -->\nold\n<!-- end -->\nb\n"
    assert into_page(page, {"x": "new"}, name="page.md") == "a\n<!-- table: x -->\nnew\n<!-- end -->\nb\n"
    with pytest.raises(ShapeError, match="table: y"):
        into_page(page, {"y": "new"}, name="page.md")
