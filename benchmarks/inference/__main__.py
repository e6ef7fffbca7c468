"""Simulated studies with a known truth to the share of intervals that hold it and of verdicts that are right.

    python -m benchmarks.inference [--repeats 1000] [--jobs 2] [--quick] [--write]

--write puts the tables into docs/inference.md. --quick shows within two minutes that everything runs; its numbers are
rough.
"""

import argparse
import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace

import pandas as pd

from benchmarks.inference.report import PAGE, tables
from benchmarks.inference.study import QUICK, Effort, tasks
from benchmarks.pages import into_page


def main() -> None:
    """Run every task in a pool of processes and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, help="samples drawn for each number (default 1000; with --quick 40)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (default: one a core)")
    parser.add_argument("--quick", action="store_true", help="small populations, few repeats and replicates")
    parser.add_argument("--write", action="store_true", help="write the tables into docs/inference.md")
    options = parser.parse_args()
    effort = QUICK if options.quick else Effort()
    if options.repeats:
        effort = replace(effort, repeats=options.repeats)
    found = tables(run(effort, jobs=options.jobs))
    for name, table in found.items():
        print(f"\n{name}\n\n{table}")
    if options.write:
        PAGE.write_text(into_page(PAGE.read_text(encoding="utf-8"), found, name=PAGE.name), encoding="utf-8")


def run(effort: Effort, *, jobs: int) -> dict[str, pd.DataFrame]:
    """Rows by table; they depend on the effort, not on the number of processes."""
    for library in ("OMP", "OPENBLAS", "MKL"):  # read by the processes that are started: one thread each
        os.environ[f"{library}_NUM_THREADS"] = "1"
    parts = {}
    started = time.perf_counter()
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting = {
            pool.submit(task, effort): (name, k) for name, some in tasks().items() for k, task in enumerate(some)
        }
        for number, future in enumerate(as_completed(waiting), start=1):
            parts[waiting[future]] = future.result()
            print(f"{number} of {len(waiting)} after {time.perf_counter() - started:.0f} s", file=sys.stderr)
    return {
        name: pd.DataFrame([row for k in range(len(some)) for row in parts[name, k]]) for name, some in tasks().items()
    }


if __name__ == "__main__":
    main()
