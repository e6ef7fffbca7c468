"""The app on a free port, a browser and runs to times as a reader sees them."""

import os
import socket
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import median
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import psutil

from benchmarks.dashboard.window import SIZE, Move, Window
from benchmarks.dashboard.wire import Relay, relay
from tests.browser import driver

# Every page, in the view that has the most sliders.
VIEWS: Final = {
    "verdict": "", "labels": "labels", "accuracy": "accuracy", "calibration": "calibration",
    "confusion": "confusion?decision=Threshold", "overlap": "overlap", "thresholds": "thresholds", "losses": "losses",
    "images": "images", "runs": "runs", "train": "train", "guide": "guide",
}  # fmt: skip
IMAGES: Final = "images"
NEXT: Final = "next image"
SERVERS: Final = ("server just started", "server at work")
KNOWN, NEW = "a browser that has shown the app before", "a browser that never has"


class Series(NamedTuple):
    """Steps of one control. cpu: seconds of the server's process a step, all its threads."""

    page: str
    control: str
    moves: list[Move]
    cpu: float


class Opening(NamedTuple):
    """Seconds until a page was usable, the first time since the server's start and again in another window."""

    page: str
    first: float
    again: float


class App:
    """The app and a browser's way to it."""

    def __init__(self, browser: Any, through: Relay, process: psutil.Process) -> None:
        self._browser, self._relay, self.process = browser, through, process

    def window(self, *, known: Any = None) -> Window:
        """A new window, in a browser that knows the app if one is given."""
        return Window(self._browser, self._relay, known=known)

    def cpu(self) -> float:
        """Seconds of processor time that the server has used."""
        used = self.process.cpu_times()
        return float(used.user + used.system)

    def memory(self) -> int:
        """Bytes of memory that the server holds."""
        return int(self.process.memory_info().rss)

    def has_torch(self) -> bool:
        """Whether the server has loaded torch: Linux lists every library of a process."""
        return any("libtorch" in one.path for one in self.process.memory_maps())


@contextmanager
def app(runs: os.PathLike[str], browser: Any, *, at: int = 0) -> Iterator[App]:
    """The app on a folder of runs, freshly started. at: the port where the browser finds it, by default a free one."""
    before = {child.pid for child in psutil.Process().children()}
    with tempfile.TemporaryDirectory() as cwd, driver.server(runs, cwd=cwd) as site:
        process = next(
            child for child in psutil.Process().children() if child.pid not in before and "streamlit" in child.cmdline()
        )
        with relay(int(urlsplit(site).port or 0), at=at) as through:
            yield App(browser, through, process)


def address(page: str, run: str) -> str:
    """A page on a run."""
    view = VIEWS[page]
    return f"{view}{'&' if '?' in view else '?'}run={run}"


def first_page(runs: os.PathLike[str], browser: Any, run: str, *, starts: int) -> dict[str, list[float]]:
    """Seconds until the first page was usable, by what was new, for each start of the server."""
    found: dict[str, list[float]] = {f"{server}, {reader}": [] for reader in (KNOWN, NEW) for server in SERVERS}
    with known_browser(browser) as known, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        for number in range(-1, starts):  # the first start makes the app known to the browser that is to know it
            for reader, given in ((KNOWN, known), (NEW, None)):
                with app(runs, browser, at=port) as one:
                    seconds = [_opened(one, given, run) for _ in SERVERS]
                for server, value in zip(SERVERS, seconds, strict=True):
                    found[f"{server}, {reader}"] += [value] if number >= 0 else []
                note(f"first page, {reader}: {seconds[0]:.2f} s on a new server, then {seconds[1]:.2f} s")
    return found


def _opened(one: App, known: Any, run: str) -> float:
    window = one.window(known=known)
    seconds = window.open(address("verdict", run))
    window.close()
    return seconds


@contextmanager
def known_browser(browser: Any) -> Iterator[Any]:
    """A second browser of the same kind that keeps what it has loaded and compiled, as people's do."""
    with tempfile.TemporaryDirectory() as profile:
        context = browser.browser_type.launch_persistent_context(
            profile, executable_path=driver.chromium(), args=["--no-sandbox", "--disable-gpu"], viewport=SIZE
        )
        try:
            yield context
        finally:
            context.close()


def openings(one: App, run: str, pages: Sequence[str]) -> list[Opening]:
    """Pages, opened twice, each time in a new window."""
    found = []
    for page in pages:
        seconds = []
        for _ in range(2):
            window = one.window()
            seconds.append(window.open(address(page, run)))
            window.close()
        found.append(Opening(page, *seconds))
        note(f"{run}, {page}: opened in {seconds[0]:.2f} s, again in {seconds[1]:.2f} s")
    return found


def controls(one: App, run: str, pages: Sequence[str], *, moves: int) -> Iterator[Series]:
    """Every slider of the pages, and turning to the next image."""
    for page in pages:
        for both in side_by_side(one, page, (run,), moves=moves):
            yield both[0]


def side_by_side(one: App, page: str, runs: tuple[str, ...], *, moves: int) -> Iterator[tuple[Series, ...]]:
    """The controls of a page on several runs, moved by turns: what slows the machine slows all of them."""
    windows = [one.window() for _ in runs]
    for window, run in zip(windows, runs, strict=True):
        window.open(address(page, run))
    for sliders in zip(*(window.sliders() for window in windows), strict=True):
        held = [window.hold(slider) for window, slider in zip(windows, sliders, strict=True)]
        yield _by_turns(one, page, sliders[0].name, [each.move for each in held], moves)
        for window, slider in zip(windows, sliders, strict=True):
            window.let_go(slider)
    if page == IMAGES:
        yield _by_turns(one, page, NEXT, [window.next_image for window in windows], moves)
    for window in windows:
        window.close()


def _by_turns(one: App, page: str, control: str, steps: list[Any], moves: int) -> tuple[Series, ...]:
    done: list[list[Move]] = [[] for _ in steps]
    used = [0.0] * len(steps)
    for _ in range(moves):
        for place, step in enumerate(steps):
            before = one.cpu()
            done[place].append(step())
            used[place] += one.cpu() - before
    note(f"{page}, {control}: {', '.join(f'{1000 * median(move.seconds for move in each):.0f} ms' for each in done)}")
    return tuple(Series(page, control, each, cpu / moves) for each, cpu in zip(done, used, strict=True))


def note(line: str) -> None:
    """Say how far it is."""
    print(line, file=sys.stderr, flush=True)
