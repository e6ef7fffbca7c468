"""What scikit-learn would do in the place of our own isotonic regression and of our splits, measured in one run.

    python -m benchmarks.scikit_learn

Prints the processor time of the CORP miscalibration of one score histogram, ours and by `IsotonicRegression`, and how
far the training share of `seeded_split` and of `GroupShuffleSplit` lies from the 0.70 asked for, over 200 seeds.
Exit status 1 if the two isotonic regressions differ by more than 10⁻¹².
"""

import sys
import time
from typing import Final

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.model_selection import GroupShuffleSplit

from pipelines.arrays import Float64Array
from pipelines.counting.grid import CELLS
from pipelines.datasets.splits import seeded_split
from pipelines.metrics.proper import corp

HISTOGRAMS: Final = 200
SEEDS: Final = 200
SHARE: Final = 0.70


def histograms(rng: np.random.Generator) -> Float64Array:
    """(HISTOGRAMS, 4, CELLS): about 50 pixels a cell, calibrated but for noise."""
    p = np.sort(rng.uniform(0, 1, CELLS))
    counts = np.stack(
        [rng.poisson(50 * (1 - p), (HISTOGRAMS, CELLS)), rng.poisson(50 * p, (HISTOGRAMS, CELLS))], axis=1
    )
    return np.concatenate([counts, counts * p], axis=1)


def by_scikit_learn(hist: Float64Array) -> float:
    """CORP miscalibration of one histogram (4, CELLS)."""
    without, having = hist[:2, hist[:2].sum(axis=0) > 0]
    weight = without + having
    p = hist[2:, hist[:2].sum(axis=0) > 0].sum(axis=0) / weight
    fitted = IsotonicRegression(y_min=0, y_max=1).fit_transform(p, having / weight, sample_weight=weight)
    scores = [(having * (1 - q) ** 2 + without * q**2).sum() / weight.sum() for q in (p, fitted)]
    return float(scores[0] - scores[1])


def main() -> int:
    """Measure and print. Returns an exit status."""
    rng = np.random.default_rng(0)
    hist = histograms(rng)
    corp(hist)  # compiled before it is timed
    started = time.process_time()
    ours = corp(hist)[..., 0]
    between = time.process_time()
    theirs = [by_scikit_learn(one) for one in hist]
    ended = time.process_time()
    worst = float(np.abs(ours - theirs).max())
    mine, other = ((after - before) / HISTOGRAMS for before, after in ((started, between), (between, ended)))
    print(f"isotonic regression: ours {1e6 * mine:.1f} µs, scikit-learn {1e6 * other:.0f} µs, {other / mine:.0f} times")
    print(f"largest difference: {worst:.1e}")
    group = np.repeat(np.arange(12), rng.integers(1, 41, 12))
    names = {str(index): str(of) for index, of in enumerate(group)}
    off: dict[str, list[float]] = {"seeded_split": [], "GroupShuffleSplit": []}
    for seed in range(SEEDS):
        splitter = GroupShuffleSplit(1, train_size=SHARE, random_state=seed)
        off["GroupShuffleSplit"].append(len(next(splitter.split(group, groups=group))[0]))
        off["seeded_split"].append(len(seeded_split(list(names), names, seed=seed)["train"]))
    for name, sizes in off.items():
        gaps = np.abs(np.array(sizes) / len(group) - SHARE)
        print(f"{name}, 12 groups of 1 to 40 images: training share off by {gaps.mean():.3f}, at most {gaps.max():.3f}")
    return int(worst > 1e-12)


if __name__ == "__main__":
    sys.exit(main())
