"""Time and memory of counting predictions, beside reading their bytes once and beside torchmetrics on the same arrays.

    python -m benchmarks.counting [--images 233] [--data DATASET] [--torchmetrics-images 4] [--repeats 3]

Prints three markdown tables: times in nanoseconds a value (a value is one log-odds: images x classes x height x width),
the largest differences between torchmetrics' answers and those from the counts, and peak memory of counting ten times
the images. Log-odds are made up (see `log_odds_for`); --data takes the truth of a data set's test split instead of a
made-up one. All is timed in one run on the same arrays, so that ratios hold on a busy machine. torchmetrics needs half
an hour for 233 images, so it gets fewer of them. Exit status 1 if an answer or the memory is out of bounds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.made_up import Image, described, images_of
from pipelines.counting.counts import Counts, ImageCounts, stack
from pipelines.counting.grid import first_cell_above
from pipelines.counting.image import count_image
from pipelines.engine import map_in_order
from pipelines.metrics.base import Setting
from pipelines.metrics.calibration import METRICS as CALIBRATION
from pipelines.store.counts import CountsWriter, iter_counts

BINS: Final = 15
CLASS_BY_CLASS: Final = ", class by class"  # of a torchmetrics metric: the binary one in a loop over classes
THRESHOLDS: Final = tuple(k / 100 for k in range(100))
BLOCK: Final = 16  # images counted before they are written
MEMORY_RATIO: Final = 1.1


@dataclass(frozen=True)
class Timing:
    """Nanoseconds a value over so many images."""

    what: str
    nanoseconds: float
    images: int


# Ours ----------------------------------------------------------------------------------------------------------------


def count(image: Image, *, softmax: bool) -> ImageCounts:
    """Counts of one image."""
    return count_image(image.log_odds, image.masks, image.region, exclusive=True, softmax=softmax)


def count_all(images: Iterable[Image], *, softmax: bool, threads: int) -> Counts:
    """Counts of all images by the engine's threads."""
    found = list(map_in_order(lambda image: count(image, softmax=softmax), images, workers=threads))
    return stack([str(number) for number in range(len(found))], found)


def confusion(counts: Counts) -> np.ndarray:
    """(C, C) pixels by truth and argmax."""
    return counts.confusion.sum(axis=(0, 1))


def calibration_errors(counts: Counts) -> dict[str, np.ndarray]:
    """classwise_ece (C,) and top_label_ece () of all images."""
    setting = Setting("exclusive", BINS)
    return {metric.name: metric.pooled(counts, "all", setting) for metric in CALIBRATION if metric.name in ECES}


def precision_and_recall(counts: Counts) -> np.ndarray:
    """(2, C, T) at THRESHOLDS, NaN where nothing is called."""
    score = counts.score.sum(axis=(0, 2))  # (C, Y, CELLS)
    cells = [0] + [first_cell_above(t) for t in THRESHOLDS[1:]]
    called = score[:, :, ::-1].cumsum(axis=-1)[:, :, ::-1][:, :, cells]
    with np.errstate(invalid="ignore"):
        return np.stack([called[:, 1] / called.sum(axis=1), called[:, 1] / called[:, 1, :1]])


ECES: Final = ("classwise_ece", "top_label_ece")
# What is timed on the counts of all images, by name; anything that takes Counts may be added.
FROM_COUNTS: Final[dict[str, Callable[[Counts], Any]]] = {
    "confusion": confusion,
    "classwise and top-label ECE": calibration_errors,
    "precision and recall at 100 thresholds": precision_and_recall,
}

# Answers -------------------------------------------------------------------------------------------------------------

FLOAT32: Final = ", float32"
# Largest difference allowed, and why there is any.
ALLOWED: Final[dict[str, tuple[float, str]]] = {
    "confusion": (0.0, "equal"),
    # Only p = 1 lies on an edge of 15 bins: float16 log-odds give no other k/15 exactly.
    "classwise_ece": (1e-6, "bins are closed on the left there, with one more for p = 1"),
    "top_label_ece": (1e-6, "bins are closed on the left there, with one more for p = 1"),
    "classwise_ece, float32": (np.inf, "as it comes: its sums lose digits with every image"),
    "top_label_ece, float32": (np.inf, "as it comes: its sums lose digits with every image"),
    # p >= t there and p > t here differ at l = 0 only (t = 0.5); quotients are float32 there.
    "precision and recall at 100 thresholds": (1e-6, "quotients in float32; p = 0.5 counts as called there"),
    "precision and recall at 100 thresholds" + CLASS_BY_CLASS: (1e-6, "the same"),
}


def compared(counts: Counts, answers: Mapping[str, np.ndarray]) -> list[tuple[str, float, float, str]]:
    """Name, largest difference, largest allowed, and why."""
    ours = {"confusion": confusion(counts)} | calibration_errors(counts)
    ours["precision and recall at 100 thresholds"] = precision_and_recall(counts)
    rows = []
    for name, theirs in answers.items():
        mine = ours[name.removesuffix(FLOAT32).removesuffix(CLASS_BY_CLASS)]
        defined = ~np.isnan(mine)  # torchmetrics gives 0 where nothing is called
        rows.append((name, float(np.abs(mine - theirs)[defined].max()), *ALLOWED[name]))
    return rows


# Memory --------------------------------------------------------------------------------------------------------------


def stream(number: int) -> Iterator[Image]:
    """As many images as asked for, each a few made-up ones moved along, without keeping them."""
    few = images_of(4, None)
    for k in range(number):
        one = few[k % len(few)]
        moved = [np.roll(array, k, axis=-1) for array in (one.log_odds, one.truth, one.masks, one.region)]
        yield Image(*moved)


def count_to_disk(number: int) -> int:
    """Count images, write the counts in blocks and read them back so; returns this process's peak RSS in bytes."""
    with tempfile.TemporaryDirectory() as folder:
        with CountsWriter(Path(folder)) as writer:
            waiting: list[ImageCounts] = []
            for k, one in enumerate(map_in_order(lambda image: count(image, softmax=False), stream(number)), start=1):
                waiting.append(one)
                if len(waiting) == BLOCK or k == number:
                    writer.write(stack([str(k - len(waiting) + j) for j in range(len(waiting))], waiting))
                    waiting.clear()
        read = sum(len(block.images) for block in iter_counts(Path(folder)))
        if read != number:
            raise SystemExit(f"{number} images were written, {read} were read")
    return peak_memory()


def peak_memory() -> int:
    """Largest resident set of this process so far, bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # Linux: ru_maxrss would hold the peak of the process that started this one, if larger
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # macOS: bytes


def memory_of(number: int) -> int:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.counting", "--memory-of", str(number)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    return int(done.stdout)


# Report --------------------------------------------------------------------------------------------------------------


def per_value(seconds: float, images: Sequence[Image]) -> float:
    """Nanoseconds a value."""
    return seconds * 1e9 / sum(image.log_odds.size for image in images)


def best_of(repeats: int, function: Callable[[], Any]) -> float:
    """Seconds of the fastest call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def time_ours(images: Sequence[Image], counts: Counts, *, repeats: int, threads: int) -> list[Timing]:
    """The floor, counting, and what is computed from the counts."""

    def read() -> None:
        for image in images:
            np.sum(image.log_odds.view(np.uint16), dtype=np.uint64)

    def timing(what: str, function: Callable[[], Any]) -> Timing:
        return Timing(what, per_value(best_of(repeats, function), images), len(images))

    out = [timing("reading the bytes once (1 thread)", read)]
    for softmax, head in ((False, "sigmoid"), (True, "softmax")):
        for used in dict.fromkeys((threads, 1)):
            name = f"counting, {head}, {used} thread{'s' if used > 1 else ''}"
            out.append(timing(name, lambda s=softmax, u=used: drain(images, softmax=s, threads=u)))  # type: ignore[misc]
    return out + [timing(f"from the counts: {name}", lambda f=f: f(counts)) for name, f in FROM_COUNTS.items()]  # type: ignore[misc]


def drain(images: Sequence[Image], *, softmax: bool, threads: int) -> None:
    """Count all images and let go of the counts, as evaluation does after a block."""
    for _ in map_in_order(lambda image: count(image, softmax=softmax), images, workers=threads):
        pass


def markdown(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table, its first column text, the others numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def main() -> None:
    """Time, compare, weigh, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12)
    parser.add_argument("--data", help="data set with 11 exclusive classes whose test truth to use")
    parser.add_argument("--torchmetrics-images", type=int, default=2, help="0 leaves torchmetrics out")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--memory-images", type=int, default=32, help="0 leaves memory out")
    parser.add_argument("--memory-of", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(count_to_disk(options.memory_of))
        return
    images = images_of(options.images, options.data)
    count(images[0], softmax=False)  # compiles, if need be
    print(described(images) + "\n")
    counts = count_all(images, softmax=False, threads=options.threads)
    timings = time_ours(images, counts, repeats=options.repeats, threads=options.threads)
    few = images[: options.torchmetrics_images]
    bad = False
    answers: dict[str, np.ndarray] = {}
    if few:
        # Here, so that the processes that weigh memory do not carry torch.
        from benchmarks import torchmetrics_reference

        taken, answers = torchmetrics_reference.run(few, bins=BINS, thresholds=THRESHOLDS, threads=options.threads)
        timings += [Timing(f"torchmetrics: {name}", per_value(s, few), len(few)) for name, s in taken.items()]
        answers |= {name + FLOAT32: answers[name] for name in ECES}
        answers |= torchmetrics_reference.in_float64(few, bins=BINS)
    ours = timings[1].nanoseconds
    if few:
        from_counts = sum(t.nanoseconds for t in timings if t.what.startswith("from the counts"))
        theirs = sum(per_value(s, few) for name, s in taken.items() if not name.endswith(CLASS_BY_CLASS))
        total, times = ours + from_counts, theirs / (ours + from_counts)
        timings.append(Timing("in total: counting (sigmoid) and the three answers", total, len(images)))
        timings.append(
            Timing(f"in total: torchmetrics (but class by class), {times:,.0f} times that", theirs, len(few))
        )
    rows = [(t.what, f"{t.nanoseconds:,.2f}", f"{t.nanoseconds / ours:,.2f}", str(t.images)) for t in timings]
    print(markdown(("time", "ns a value", "of counting", "images"), rows))
    if few:
        found = compared(count_all(few, softmax=False, threads=options.threads), answers)
        bad |= any(not difference <= allowed for _, difference, allowed, _ in found)
        print()
        rows = [(name, f"{gap:.2g}", f"{most:.2g}" if most < np.inf else "any", why) for name, gap, most, why in found]
        print(markdown(("answer", "largest difference", "allowed", "why"), rows))
    if options.memory_images:
        once, tenfold = memory_of(options.memory_images), memory_of(10 * options.memory_images)
        bad |= tenfold > MEMORY_RATIO * once
        print()
        sizes = [(f"{options.memory_images}", once), (f"{10 * options.memory_images}", tenfold)]
        print(markdown(("images", "peak MiB", "ratio"), [(n, f"{b / 2**20:.0f}", f"{b / once:.3f}") for n, b in sizes]))
    sys.exit(bad)


if __name__ == "__main__":
    main()
