"""Times of the dashboard in a real browser: opening pages, moving sliders, turning to the next image.

    python -m benchmarks.dashboard --data FOLDER [--moves 30] [--starts 5] [--parts first,pages,tenfold] [--quick]
        [--write]

--data holds the runs; they are made there the first time, in some twenty minutes and 7 GB, without the part tenfold in
seven minutes. --quick takes tiny runs instead, which shows that everything works; its numbers mean nothing. --write
puts the tables into docs/benchmarks.md. Exit status 1 if a bound is missed.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.dashboard import report, runs
from benchmarks.dashboard.measure import VIEWS, app, controls, first_page, openings, side_by_side
from benchmarks.pages import into_page
from tests.browser import driver

PARTS: Final = ("first", "pages", "tenfold")


def main() -> None:
    """Make the runs, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder for the runs, kept for the next time")
    parser.add_argument("--moves", type=int, default=30, help="steps of each slider and images turned (default 30)")
    parser.add_argument("--starts", type=int, default=5, help="starts of the server (default 5)")
    parser.add_argument("--pages", default=",".join(VIEWS), help="comma-separated, to look at a few (default all)")
    parser.add_argument("--parts", default=",".join(PARTS), help="comma-separated, to measure one again (default all)")
    parser.add_argument("--quick", action="store_true", help="tiny runs")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/benchmarks.md")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that neither the app nor the browser is left behind
    sizes = runs.QUICK if options.quick else (runs.FULL, runs.ONCE, runs.TENFOLD)
    pages, parts = options.pages.split(","), options.parts.split(",")
    if not set(parts) <= set(PARTS):
        parser.error(f"--parts holds {options.parts}; choose of {', '.join(PARTS)}")
    full, once, tenfold = sizes
    needed = {"first": [full], "pages": [full], "tenfold": [once, tenfold]}
    for size in dict.fromkeys(size for part in parts for size in needed[part]):
        runs.made(options.data, size)
    names = [size.name for size in sizes]
    with driver.browser() as browser:
        results = measured(options.data, browser, names, pages, parts, moves=options.moves, starts=options.starts)
    found = report.tables(results)
    for name, table in found.items():
        print(f"\n{name}\n\n{table}")
    if options.write:
        page = into_page(report.PAGE.read_text(encoding="utf-8"), found, name=report.PAGE.name)
        report.PAGE.write_text(page, encoding="utf-8")
    bad = report.missed(results)
    print("\n".join(["", *(f"MISSED {one}" for one in bad)]) if bad else "\nAll within bounds.")
    sys.exit(bool(bad))


def measured(
    data: Path, browser: Any, names: Sequence[str], pages: Sequence[str], parts: Sequence[str], *, moves: int,
    starts: int,
) -> report.Results:  # fmt: skip
    """One part after the other. names: of the run, a small one, and one with ten times its images."""
    full, once, tenfold = names
    found, before = report.Results(), os.getloadavg()[0]
    if "first" in parts:
        found.first_page = first_page(data, browser, full, starts=starts)
    if "pages" in parts:
        with app(data, browser) as one:
            started = one.memory()
            found.openings = openings(one, full, pages)
            found.controls = list(controls(one, full, pages, moves=moves))
            found.memory |= {"just started": started, "its pages looked at": one.memory()}
            found.torch = one.has_torch()
    if "tenfold" in parts:
        with app(data, browser) as one:
            pairs = zip(openings(one, once, pages), openings(one, tenfold, pages), strict=True)
            found.tenfold_openings = list(pairs)
            found.tenfold_controls = [
                both for page in pages for both in side_by_side(one, page, (once, tenfold), moves=moves)
            ]
            found.memory["another one, with ten times the images"] = one.memory()
    found.load = f"{os.cpu_count()} cores; load {before:.1f} before, {os.getloadavg()[0]:.1f} after."
    return found


if __name__ == "__main__":
    main()
