"""The loops over pixels that sum the probability of no label and of one, compiled by numba, which infers their types.

Arrays and conventions as in loops.
"""

import math

import numpy as np

from pipelines.statistics import grid
from pipelines.statistics.primitives import jit

_ONE = round(1 / grid.P_UNIT)
_TO_P = 1.0 / grid.P_UNIT
_TO_NLL = 1.0 / grid.NLL_UNIT
_ROOT_2, _LOG_2 = math.sqrt(2.0), math.log(2.0)
_LOWEST, _HIGHEST = 1e-30, 1e30  # sums of odds between which clipped odds are exact enough


@jit
def sum_independent(keys, places, odds_table, log_odds_table, sums):
    """Add a block's sums by place, (2, 3) int64: P of no label, P of one (P_UNIT), log of the sum of odds (NLL_UNIT).

    For independent labels with odds o = p / (1 - p), P of no label is the product of 1 / (1 + o), and P of one label
    is the sum of o times it. keys: (C, B or more) uint16; tables by key: odds float32, log-odds float64.
    """
    n = places.size
    product, odds, logs = np.empty(n), np.empty(n), np.empty(n)
    for i in range(n):
        all_of, total = 1.0, 0.0
        for c in range(keys.shape[0]):
            x = np.float64(odds_table[keys[c, i]])
            all_of *= 1.0 + x
            total += x
        product[i], odds[i] = all_of, total
    _log(odds, logs)
    for i in range(n):
        if not _LOWEST < odds[i] < _HIGHEST:
            logs[i] = _log_sum(keys, i, log_odds_table)
    zeros, ones, nats = np.int64(0), np.int64(0), np.int64(0)  # of all valid pixels, and of those in the boundary band
    band_zeros, band_ones, band_nats = np.int64(0), np.int64(0), np.int64(0)
    for i in range(n):
        share = _TO_P / product[i]
        zero = np.int64(share + 0.5)
        one = min(np.int64(odds[i] * share + 0.5), _ONE - zero)
        log = np.int64(np.floor(logs[i] * _TO_NLL + 0.5))
        valid, band = places[i] != 2, places[i] == 1
        zeros += zero if valid else 0
        ones += one if valid else 0
        nats += log if valid else 0
        band_zeros += zero if band else 0
        band_ones += one if band else 0
        band_nats += log if band else 0
    sums[0] += np.array([zeros - band_zeros, ones - band_ones, nats - band_nats])
    sums[1] += np.array([band_zeros, band_ones, band_nats])


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
def _log_sum(keys, i, log_odds_table):
    """log of the sum of exp(l) at one pixel, without overflow."""
    largest = log_odds_table[keys[0, i]]
    for c in range(1, keys.shape[0]):
        largest = max(largest, log_odds_table[keys[c, i]])
    total = 0.0
    for c in range(keys.shape[0]):
        total += math.exp(log_odds_table[keys[c, i]] - largest)
    return largest + math.log(total)


@jit
def sum_channels(bits, labels, places, p_table, sums):
    """Add the sums by place, (2, 2) int64: P of no label and of one (P_UNIT); returns the valid pixels without sense.

    bits: (E, N) of softmax channels that each stand for labels[e] labels, one channel being true at a pixel. They are
    normalised by their sum, which float16 makes differ from 1 a little; a single channel's rest is one label.
    """
    bad = 0
    by_number = np.empty(3)
    for i in range(places.size):
        if places[i] == 2:
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
        zero = np.int64(by_number[0] / total * _TO_P + 0.5)
        sums[places[i], 0] += zero
        sums[places[i], 1] += min(np.int64(by_number[1] / total * _TO_P + 0.5), _ONE - zero)
    return bad
