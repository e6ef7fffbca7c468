"""What one label a pixel can reach on overlapping truth."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.datasets.facts import GAP, best_dice, best_iou, by_priority


def test_truth_without_overlap_has_no_ceiling():
    counts = {(): 50, (0,): 30, (1,): 20}
    for ceiling in (best_dice(counts, 2), best_iou(counts, 2), by_priority(counts, [1, 0])):
        assert ceiling.dice == (1.0, 1.0)
        assert ceiling.iou == (1.0, 1.0)
        assert ceiling.macro_dice == ceiling.macro_iou == 1.0


def test_best_iou_gives_nested_pixels_to_the_rarer_class():
    # cell: 60 + 40 = 100 pixels, nucleus: the 40 inside. Nucleus takes its 40: IoU 1; cell keeps 60 of 100: 0.6.
    ceiling = best_iou({(0,): 60, (0, 1): 40}, 2)
    assert ceiling.iou == (0.6, 1.0)
    assert ceiling.macro_iou == pytest.approx(0.8)


def test_best_dice_shares_the_overlap_where_slopes_meet():
    # Two like classes, 100 own pixels each and 100 in common: N = 200. By symmetry each keeps 150:
    # Dice = 2·150 / (150 + 200) = 6/7. Giving all to one: (1 + 200/300) / 2 = 5/6 < 6/7.
    ceiling = best_dice({(0,): 100, (1,): 100, (0, 1): 100}, 2)
    assert ceiling.dice == pytest.approx((6 / 7, 6 / 7))
    assert ceiling.macro_dice == pytest.approx(6 / 7)
    assert ceiling.gap <= GAP


def test_best_dice_of_nested_classes_by_calculus():
    # cell N=100 (60 alone), nucleus N=40. Nucleus gets x: maximise 2x/(x+40) + 2(100-x)/(200-x).
    # Slopes 80/(x+40)² at x=40: 0.0125; cell's 200/(200-x)² at x=40: 0.0078. So nucleus gets all 40.
    ceiling = best_dice({(0,): 60, (0, 1): 40}, 2)
    assert ceiling.dice == pytest.approx((2 * 60 / 160, 1.0))


def test_priority_gives_the_first_class_its_pixels():
    # Cell first: nucleus keeps nothing, Dice 0. Nucleus first: cell keeps 60 of 100.
    counts = {(0,): 60, (0, 1): 40}
    assert by_priority(counts, [0, 1]).dice == (1.0, 0.0)
    assert by_priority(counts, [1, 0]).dice == (2 * 60 / 160, 1.0)


def test_a_class_that_no_pixel_carries_is_left_out_of_the_macro_mean():
    ceiling = best_dice({(0,): 5}, 2)
    assert ceiling.macro_dice == 1.0
    assert math.isnan(ceiling.dice[1])
    assert math.isnan(best_dice({(): 5}, 2).macro_dice)


def brute_force(counts, classes, *, waste):
    """Best macro Dice and IoU over every way to give whole pixels to one class each, or, with waste, to none."""
    totals = [sum(n for members, n in counts.items() if c in members) for c in range(classes)]
    choices = []
    for members, n in counts.items():
        ways = itertools.product(range(n + 1), repeat=len(members))
        choices.append([dict(zip(members, w, strict=True)) for w in ways if sum(w) == n or (waste and sum(w) < n)])
    best = [0.0, 0.0]
    for pick in itertools.product(*choices):
        tp = [sum(way.get(c, 0) for way in pick) for c in range(classes)]
        best[0] = max(best[0], sum(2 * t / (t + n) for t, n in zip(tp, totals, strict=True)) / classes)
        best[1] = max(best[1], sum(t / n for t, n in zip(tp, totals, strict=True)) / classes)
    return best


@pytest.mark.parametrize("seed", range(8))
def test_no_way_to_share_out_whole_pixels_beats_the_ceiling(seed):
    rng = np.random.default_rng(seed)
    counts = {(0, 1): int(rng.integers(1, 5)), (1, 2): int(rng.integers(1, 5)), (0, 1, 2): int(rng.integers(1, 4))}
    counts |= {(c,): int(rng.integers(1, 30)) for c in range(3)}
    dice, iou = brute_force(counts, 3, waste=False)
    assert best_iou(counts, 3).macro_iou == pytest.approx(iou, abs=1e-12)
    ceiling = best_dice(counts, 3)
    assert ceiling.macro_dice + GAP >= dice
    # Whole pixels cost little: moving half a pixel changes a Dice by less than 1 / N.
    smallest = min(sum(n for members, n in counts.items() if c in members) for c in range(3))
    assert ceiling.macro_dice - dice <= 1 / smallest


def test_leaving_pixels_unlabelled_never_helps():
    counts = {(0,): 2, (0, 1): 3, (1,): 1}
    dice, iou = brute_force(counts, 2, waste=True)
    assert (dice, iou) == tuple(brute_force(counts, 2, waste=False))
    assert best_iou(counts, 2).macro_iou == pytest.approx(iou)
    assert dice <= best_dice(counts, 2).macro_dice + GAP


label_sets = st.dictionaries(
    st.frozensets(st.integers(0, 5), max_size=4).map(lambda s: tuple(sorted(s))), st.integers(1, 10**7), max_size=12
)


@settings(deadline=None, max_examples=150)
@given(label_sets, st.permutations(range(6)))
def test_the_optimum_is_certified_and_above_every_priority_order(counts, order):
    dice, iou, rule = best_dice(counts, 6), best_iou(counts, 6), by_priority(counts, order)
    if not any(counts.keys() - {()}):
        assert math.isnan(dice.macro_dice)
        return
    assert dice.gap <= 1e-6
    assert dice.macro_dice + dice.gap + 1e-12 >= max(rule.macro_dice, iou.macro_dice)
    assert iou.macro_iou + 1e-12 >= max(rule.macro_iou, dice.macro_iou)
    # Pixels given away never exceed what there is: sum of TP <= labelled pixels.
    totals = [sum(n for members, n in counts.items() if c in members) for c in range(6)]
    given_away = sum(i * n for i, n in zip(dice.iou, totals, strict=True) if n)
    assert given_away <= sum(n for members, n in counts.items() if members) * (1 + 1e-9)
