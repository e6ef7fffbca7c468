"""Times of the dashboard to Markdown tables, and to what is out of bounds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

import numpy as np

from benchmarks.counting import markdown
from benchmarks.dashboard.measure import NEXT, Opening, Series

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "benchmarks.md"
FIRST_PAGE: Final = 2.0  # seconds until it can be used
SLIDER: Final = 0.1  # seconds of the server, 95th percentile
IMAGE: Final = 0.3  # seconds until it is drawn, 95th percentile
TENFOLD: Final = 1.5  # times the cost with ten times the images


@dataclass
class Results:
    """What was measured. tenfold: of each control and of opening each page, on the run and on ten times its images."""

    load: str = ""
    first_page: Mapping[str, Sequence[float]] = field(default_factory=dict)
    openings: Sequence[Opening] = ()
    controls: Sequence[Series] = ()
    tenfold_openings: Sequence[tuple[Opening, Opening]] = ()
    tenfold_controls: Sequence[tuple[Series, ...]] = ()
    memory: dict[str, int] = field(default_factory=dict)
    torch: bool = False

    @property
    def whole(self) -> bool:
        """Whether every part was measured."""
        return bool(self.first_page and self.controls and self.tenfold_controls)


def percentile(values: Sequence[float], share: float) -> float:
    """The value that a share of them does not exceed: one of them, the next higher one where it falls between two."""
    return float(np.quantile(values, share, method="higher"))


def milliseconds(seconds: float) -> str:
    """Whole milliseconds."""
    return f"{1000 * seconds:,.0f}"


def tables(results: Results) -> dict[str, str]:
    """Markdown by the names that the page has markers for, of the parts that were measured."""
    sliders = [one for one in results.controls if one.control != NEXT]
    images = [one for one in results.controls if one.control == NEXT]
    found = {
        "first page": _first_page(results) if results.first_page else "",
        "sliders": _controls(sliders, of="seconds") if sliders else "",
        "images": _controls(images, of="redrawn") if images else "",
        "openings": _openings(results) if results.openings else "",
        "tenfold": _tenfold(results) if results.tenfold_controls else "",
    }
    if results.whole:
        found |= {"load": results.load, "memory": _memory(results)}
    return {name: table for name, table in found.items() if table}


def _first_page(results: Results) -> str:
    rows = [
        (what, f"{median(seconds):.2f}", f"{max(seconds):.2f}", f"{FIRST_PAGE:.2f}")
        for what, seconds in results.first_page.items()
    ]
    return markdown(("first page usable after", "seconds, median", "slowest", "allowed (median)"), rows)


def _controls(series: Sequence[Series], *, of: str) -> str:
    head = ("control", "server, median ms", "95%", "until redrawn, median ms", "95%", "processor ms", "kB sent")
    allowed = {
        "seconds": ("", milliseconds(SLIDER), "", "", "", ""),
        "redrawn": ("", "", "", milliseconds(IMAGE), "", ""),
    }
    rows = [(f"{one.page}: {one.control}", *_numbers(one)) for one in series]
    return markdown(head, [*rows, ("allowed", *allowed[of])])


def _numbers(one: Series) -> tuple[str, ...]:
    server, seen = [move.seconds for move in one.moves], [move.redrawn for move in one.moves]
    times = (median(server), percentile(server, 0.95), median(seen), percentile(seen, 0.95), one.cpu)
    return (*map(milliseconds, times), f"{median(move.size for move in one.moves) / 1000:,.0f}")


def _openings(results: Results) -> str:
    rows = [(one.page, f"{one.first:.2f}", f"{one.again:.2f}") for one in results.openings]
    return markdown(("page usable after", "seconds, first time since the start", "again, in a new window"), rows)


def _tenfold(results: Results) -> str:
    """Controls and pages opened again; of first openings, which have no bound, the one of the highest ratio."""
    rows = [
        (
            f"{one.page}: {one.control}",
            milliseconds(_typical(one)),
            milliseconds(_typical(ten)),
            ratio,
            f"{TENFOLD:.2f}",
        )
        for (one, ten), ratio in zip(results.tenfold_controls, control_ratios(results), strict=True)
        if one.page != "guide"  # shows no run
    ]
    openings = results.tenfold_openings
    rows += [
        (
            f"{one.page}: opened again",
            milliseconds(one.again),
            milliseconds(ten.again),
            ten.again / one.again,
            f"{TENFOLD:.2f}",
        )
        for one, ten in openings
        if one.page != "guide"
    ]
    for one, ten in sorted(openings, key=lambda pair: pair[1].first / pair[0].first)[-1:]:
        rows.append(
            (f"{one.page}: first opened", milliseconds(one.first), milliseconds(ten.first), ten.first / one.first, "")
        )
    head = ("cost", "ms", "ms with ten times the images", "ratio", "allowed")
    return markdown(head, [(what, once, tenfold, f"{ratio:.2f}", bound) for what, once, tenfold, ratio, bound in rows])


def _typical(series: Series) -> float:
    return median(move.seconds for move in series.moves)


def control_ratios(results: Results) -> list[float]:
    """Median server time with ten times the images, in multiples of that without, of each control."""
    return [_typical(ten) / _typical(one) for one, ten in results.tenfold_controls]


def _memory(results: Results) -> str:
    rows = [(when, f"{size / 2**20:,.0f}") for when, size in results.memory.items()]
    return markdown(("server's memory", "MiB"), rows)


def missed(results: Results) -> list[str]:
    """Every bound that was missed, in one line each."""
    found = [
        f"first page, {what}: {median(seconds):.2f} s"
        for what, seconds in results.first_page.items()
        if not median(seconds) <= FIRST_PAGE
    ]
    for one in results.controls:
        if one.control == NEXT:
            value, allowed = percentile([move.redrawn for move in one.moves], 0.95), IMAGE
        else:
            value, allowed = percentile([move.seconds for move in one.moves], 0.95), SLIDER
        if not value <= allowed:
            found.append(f"{one.page}, {one.control}: {milliseconds(value)} ms, allowed {milliseconds(allowed)}")
    for (one, _), ratio in zip(results.tenfold_controls, control_ratios(results), strict=True):
        if not ratio <= TENFOLD:
            found.append(f"{one.page}, {one.control}: {ratio:.2f} times with ten times the images")
    found += [
        f"{one.page}, opened again: {ten.again / one.again:.2f} times with ten times the images"
        for one, ten in results.tenfold_openings
        if not ten.again <= TENFOLD * one.again
    ]
    return [*found, "torch was loaded"] if results.torch else found
