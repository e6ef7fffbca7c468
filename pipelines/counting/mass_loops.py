"""The loops over pixels that sum the probability of no label and of one, compiled by numba, which infers their types.

Arrays and conventions as in loops.
"""

import math

import numpy as np

from pipelines.counting.instructions import jit

_BLOCK = 4096  # pixels whose sums stay in the cache from one loop to the next
_OUTSIDE = 2  # place of an ignored pixel
_LOWEST, _HIGHEST = 1e-30, 1e30  # sums of odds between which clipped odds are exact enough
_ROOT_2, _LOG_2 = math.sqrt(2.0), math.log(2.0)


@jit
def sum_independent(bits, places, odds_table, log_odds_table, certain, nat, sums):
    """Add sums by region, (2, 3) int64: P of no label, P of one, log of the sum of odds.

    For independent labels with odds o = p / (1 - p), P of no label is the product of 1 / (1 + o), and P of one label
    is the sum of o times it. Tables by pattern: odds, clipped, float32; log-odds float64. certain: probability 1, nat:
    one nat, in the units of the sums.
    """
    for start in range(0, places.size, _BLOCK):
        n = min(_BLOCK, places.size - start)
        product, odds, logs = np.ones(n), np.zeros(n), np.empty(n)
        first, second = np.empty(n, np.float32), np.empty(n, np.float32)
        for c in range(0, bits.shape[0] - 1, 2):  # two at a time: sums are read and written half as often
            _look_up(bits[c][start : start + n], odds_table, first)
            _look_up(bits[c + 1][start : start + n], odds_table, second)
            for i in range(n):
                x, y = np.float64(first[i]), np.float64(second[i])
                product[i] = product[i] * (1.0 + x) * (1.0 + y)
                odds[i] = odds[i] + x + y
        if bits.shape[0] % 2:
            _look_up(bits[bits.shape[0] - 1][start : start + n], odds_table, first)
            for i in range(n):
                product[i] *= 1.0 + np.float64(first[i])
                odds[i] += np.float64(first[i])
        _log(odds, logs)
        for i in range(n):
            if not _LOWEST < odds[i] < _HIGHEST:
                logs[i] = _log_sum(bits, start + i, log_odds_table)
        _add_block(product, odds, logs, places[start : start + n], certain, nat, sums)


@jit
def _look_up(patterns, table, out):
    for i in range(patterns.size):
        out[i] = table[patterns[i]]


@jit
def _add_block(product, odds, logs, places, certain, nat, sums):
    zeros, ones, nats = np.int64(0), np.int64(0), np.int64(0)  # of all valid pixels, and of those in the boundary band
    band_zeros, band_ones, band_nats = np.int64(0), np.int64(0), np.int64(0)
    for i in range(places.size):
        share = certain / product[i]
        zero = np.int64(share + 0.5)
        one = min(np.int64(odds[i] * share + 0.5), certain - zero)
        log = np.int64(np.floor(logs[i] * nat + 0.5))
        valid, band = places[i] != _OUTSIDE, places[i] == 1
        zeros += zero if valid else 0
        ones += one if valid else 0
        nats += log if valid else 0
        band_zeros += zero if band else 0
        band_ones += one if band else 0
        band_nats += log if band else 0
    sums[0, 0] += zeros - band_zeros
    sums[0, 1] += ones - band_ones
    sums[0, 2] += nats - band_nats
    sums[1, 0] += band_zeros
    sums[1, 1] += band_ones
    sums[1, 2] += band_nats


@jit
def _log(values, out):
    """Natural logarithms of positive normal float64, to 2e-11.

    x = 2**e m with m in [sqrt(1/2), sqrt(2)), and log m = 2 artanh(s) with s = (m - 1) / (m + 1), from its series.
    Unlike the library's function, this one can be computed for several values at once.
    """
    words = values.view(np.int64)
    fractions = np.empty(values.size, np.int64)
    for i in range(values.size):
        out[i] = np.float64((words[i] >> 52) - 1023)
        fractions[i] = (words[i] & 0xFFFFFFFFFFFFF) | 0x3FF0000000000000
    mantissas = fractions.view(np.float64)
    for i in range(values.size):
        large = mantissas[i] >= _ROOT_2
        m = 0.5 * mantissas[i] if large else mantissas[i]
        exponent = out[i] + 1.0 if large else out[i]
        s = (m - 1.0) / (m + 1.0)
        t = s * s
        series = 1.0 + t * (1 / 3 + t * (1 / 5 + t * (1 / 7 + t * (1 / 9 + t / 11))))
        out[i] = exponent * _LOG_2 + 2.0 * s * series


@jit
def _log_sum(bits, i, log_odds_table):
    """log of the sum of exp(l) at one pixel, without overflow."""
    largest = log_odds_table[bits[0, i]]
    for c in range(1, bits.shape[0]):
        largest = max(largest, log_odds_table[bits[c, i]])
    total = 0.0
    for c in range(bits.shape[0]):
        total += math.exp(log_odds_table[bits[c, i]] - largest)
    return largest + math.log(total)


@jit
def sum_channels(bits, labels, places, p_table, certain, sums):
    """Add the sums by place, (2, 2) int64: P of no label and of one; returns how many valid pixels have a NaN.

    bits: (E, N) of softmax channels that each stand for labels[e] labels, one channel being true at a pixel. They are
    normalised by their sum, which float16 makes differ from 1 a little; a single channel's rest is one label.
    """
    bad = 0
    by_number = np.empty(3)
    for i in range(places.size):
        if places[i] == _OUTSIDE:
            continue
        by_number[:] = 0.0
        for e in range(bits.shape[0]):
            by_number[min(labels[e], 2)] += p_table[bits[e, i]]
        if bits.shape[0] == 1:
            by_number[1 if labels[0] == 0 else 0] += 1.0 - by_number.sum()
        total = by_number.sum()
        if not total > 0.0:
            bad += 1
            continue
        zero = np.int64(by_number[0] / total * certain + 0.5)
        sums[places[i], 0] += zero
        sums[places[i], 1] += min(np.int64(by_number[1] / total * certain + 0.5), certain - zero)
    return bad
