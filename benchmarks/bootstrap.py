"""Time of all metrics of one head with bootstrap replicates, beside counting the images they come from.

    python -m benchmarks.bootstrap [--images 233] [--replicates 2000] [--repeats 3]

Counts made-up images of CamVid's test size (480 x 360, 11 classes, benchmarks.made_up) once, then times from the
counts: every metric's value, every metric's value and replicates over all pixels, the same in all four regions, and
the intervals of the latter. Prints a markdown table in seconds and as multiples of the time of counting.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.counting import best_of, count_all
from benchmarks.made_up import images_of
from pipelines.counting.counts import Counts
from pipelines.metrics import METRICS, Setting
from pipelines.metrics.estimates import estimate_head, metrics_table
from pipelines.metrics.inference import choose_units, unit_weights
from pipelines.schema import REGIONS, Region


def measure(counts: Counts, seconds_of_counting: float, *, replicates: int, repeats: int) -> list[tuple[str, float]]:
    """What was done and its seconds."""
    units = choose_units(counts.images, {})
    weights = unit_weights(units, replicates=replicates, rng=np.random.default_rng(0)).astype(np.float32)
    setting = Setting("exclusive", thresholds=(140,) * counts.classes, background=True)
    applicable = [one for one in METRICS.values() if any(one.applies(setting, region) for region in REGIONS)]

    def estimates(regions: tuple[Region, ...], some: np.ndarray) -> Any:
        return estimate_head(lambda: [counts], setting, some, units=units.count, regions=regions)

    whole = estimates(REGIONS, weights)  # also compiles what has not been compiled yet
    classes = [f"class {k}" for k in range(counts.classes)]
    steps: list[tuple[str, Callable[[], Any]]] = [
        (f"values of {len(applicable)} metrics in all regions", lambda: estimates(REGIONS, weights[:0])),
        (f"and {replicates:,} replicates, over all pixels", lambda: estimates(("all",), weights)),
        (f"and {replicates:,} replicates, in all regions", lambda: estimates(REGIONS, weights)),
        (
            "intervals of all of them",
            lambda: metrics_table(
                {"sigmoid": {0: whole}}, classes=classes, split="test", variant="raw", units=units, stream=(0, 1)
            ),
        ),
    ]
    counting = f"counting {len(counts.images)} images"
    return [(counting, seconds_of_counting), *((what, best_of(repeats, function)) for what, function in steps)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time of all metrics with bootstrap replicates.")
    parser.add_argument("--images", type=int, default=233)
    parser.add_argument("--replicates", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    images = images_of(options.images, None)
    count_all(images[:2], softmax=False, threads=2)
    start = time.perf_counter()
    counts = count_all(images, softmax=False, threads=2)
    seconds = time.perf_counter() - start
    del images
    rows = measure(counts, seconds, replicates=options.replicates, repeats=options.repeats)
    print("| from counts of one head, 11 classes | seconds | times counting |\n| --- | --- | --- |")
    for what, one in rows:
        print(f"| {what} | {one:.2f} | {one / seconds:.2f} |")


if __name__ == "__main__":
    main()
