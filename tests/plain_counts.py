"""The counts of one image once more, in plain numpy: one line for what each means, whatever it costs."""

import numpy as np
from scipy.special import logsumexp

from pipelines.counting import grid
from pipelines.counting.kernels import IGNORED

# -log P(y) by whether the class is there and by pattern, (2, 65536).
NLL_TABLE = grid.fixed(np.stack([grid.softplus(grid.LOG_ODDS), grid.softplus(-grid.LOG_ODDS)]), grid.NLL_UNIT)


def plain_counts(log_odds, masks, region, *, exclusive, softmax=False, background=-1):
    """Integer counts by the names of ImageCounts, and `independent`: float64 (R, 4) sums over pixels, for labels that
    are independent, of P(no label), P(one), P(more) and -log P(truth | exactly one label), the last 0 if not exclusive.
    """
    keep = region.reshape(-1) != IGNORED
    bits = log_odds.reshape(len(log_odds), -1).view(np.uint16)[:, keep]
    values = bits.view(np.float16).astype(np.float64)
    masks, region = masks.reshape(-1)[keep], region.reshape(-1)[keep].astype(np.int64)
    classes, pixels = values.shape
    y = ((masks >> np.arange(classes, dtype=np.uint64)[:, None]) & np.uint64(1)).astype(np.int64)
    cells = np.searchsorted(grid.EDGES, values, side="left")
    p, called = grid.P_TABLE[bits], (values > 0).astype(np.int64)
    labels = np.minimum(y.sum(axis=0), 3)
    out = {}

    def add(name, shape, index, weights=1):
        out.setdefault(name, np.zeros(shape, np.int64))
        np.add.at(out[name], tuple(np.broadcast_arrays(*index)), weights)

    everywhere = (np.arange(classes)[:, None], region, y)
    add("score", (classes, 2, 2, grid.CELLS), (*everywhere, cells))
    add("score_p", (classes, 2, 2, grid.CELLS), (*everywhere, cells), p)
    add("squared_error", (classes, 2, 2, 2), (*everywhere, called), grid.SQUARED_ERROR_TABLE[y, bits])
    add("nll", (classes, 2, 2, 2), (*everywhere, called), NLL_TABLE[y, bits])
    ranks = np.sort(cells, axis=0)[::-1][:3]
    add("ranks", (2, 4, len(ranks), grid.CELLS), (region, labels, np.arange(len(ranks))[:, None], ranks))
    out["joint"] = np.zeros((classes + 1, classes, grid.CELLS), np.int64)
    for t in range(classes + 1):
        there = y[t] == 1 if t < classes else labels == 0
        np.add.at(out["joint"][t], (np.arange(classes)[:, None], cells[:, there]), 1)
    pairs = [(a, e) for a in range(classes) for e in range(a + 1, classes)]
    out["pairs"] = np.zeros((len(pairs), 2, grid.CELLS), np.int64)
    out["pair_mass"] = np.zeros((0 if exclusive else len(pairs), 3), np.int64)
    first_step = grid.STEP_OF_CELL == 0
    for k, (a, e) in enumerate(pairs):
        smaller = np.minimum(cells[a], cells[e])
        np.add.at(out["pairs"][k], (y[a] & y[e], np.where(first_step[smaller], 0, smaller)), 1)
        if not exclusive:
            one = 2**30
            product = (p[a] * p[e] + one // 2) // one
            out["pair_mass"][k] = product.sum(), np.maximum(0, p[a] + p[e] - one).sum(), np.minimum(p[a], p[e]).sum()
    true_called = np.stack(
        [masks, (called.astype(np.uint64) << np.arange(classes, dtype=np.uint64)[:, None]).sum(0)], 1
    )
    out["sets"], out["set_pixels"] = np.unique(true_called, axis=0, return_counts=True)
    in_region = np.bincount(region, minlength=2)
    if exclusive:
        truth, winner = y.argmax(axis=0), values.argmax(axis=0)  # the first of equal values, -0 and 0 among them
        front = 1 - ((truth == background) & (winner == background)).astype(np.int64)
        best = np.arange(pixels)
        where = (region, front, (truth == winner).astype(np.int64), cells[winner, best])
        add("top", (2, 2, 2, grid.CELLS), where)
        add("top_p", (2, 2, 2, grid.CELLS), where, p[winner, best])
        add("confusion", (2, classes, classes), (region, truth, winner))
    out["independent"] = np.stack([_independent(values[:, region == r], y[:, region == r], exclusive) for r in (0, 1)])
    out["pixels"] = in_region
    return out


def _independent(values, y, exclusive):
    log_none = -np.logaddexp(0, values).sum(axis=0)
    log_odds = logsumexp(values, axis=0)
    none, one = np.exp(log_none), np.exp(log_none + log_odds)
    nll = (log_odds - (values * y).sum(axis=0)).sum() if exclusive else 0.0
    return np.array([none.sum(), one.sum(), (1 - none - one).sum(), nll])
