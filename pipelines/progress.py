"""Progress of long work: stages with time left, shown on the terminal and kept in a file others can read.

A cancel request (Ctrl-C, SIGTERM) is only noted; the work asks `check()` at points where it can stop cleanly.
"""

import contextlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, TextIO

from pipelines.errors import Cancelled

_EVERY = 0.5  # seconds between two writes of the record
_EVERY_LINE = 60.0  # seconds between two lines of a log file, besides those of stages and notes


class Progress:
    """Where long work stands.

    record: JSON file that is replaced atomically at most twice a second, with stage, done, total, seconds
    (since the stage began), seconds_left (None until it can be told), message, curves and stages (name and seconds of
    each that is over).
    stream: terminal to draw on, or None to be silent. A log file (nohup, a cluster's job) gets the first and the last
    line of each stage, every `note`, and a line a minute.
    """

    def __init__(self, *, record: Path | None = None, stream: TextIO | None = None) -> None:
        self._record = record
        self._stream = stream
        self._cancelled = threading.Event()
        self._began = time.monotonic()
        self._shown = self._logged = 0.0
        self._first_done = 0
        self._width = 0
        self.state: dict[str, Any] = {"stage": "", "done": 0, "total": 0, "message": "", "curves": []}
        self.state["stages"] = []

    @property
    def examples(self) -> Path | None:
        """Folder beside the record for what shows how the networks learn; None when nobody will look."""
        return None if self._record is None else self._record.parent / "examples"

    @contextmanager
    def stage(self, name: str, total: int, *, done: int = 0) -> Iterator["Progress"]:
        """A named stretch of work of `total` steps, of which `done` were done in an earlier attempt."""
        self._began = time.monotonic()
        self._first_done = done
        self.state |= {"stage": name, "done": done, "total": total, "message": ""}
        self._show(force=True)
        yield self
        self.state["stages"].append((name, time.monotonic() - self._began))
        self._show(force=True)
        if self._stream and self._stream.isatty():
            self._stream.write("\n")

    def advance(self, steps: int = 1, *, message: str | None = None) -> None:
        """Say that steps more are done; raises Cancelled when a cancel was asked for."""
        self.state["done"] += steps
        if message is not None:
            self.state["message"] = message
        self._show()
        self.check()

    def point(self, **values: Any) -> None:
        """Add one point to the live curves, such as head, seed, epoch, score."""
        self.state["curves"].append(values)
        self._show()

    def note(self, text: str) -> None:
        """Add a line to a log file, with the speed of this stage and its time left; a terminal has them in its bar."""
        if self._stream is None or self._stream.isatty():
            return
        done, seconds = self.state["done"] - self._first_done, time.monotonic() - self._began
        speed = f"  {done / seconds:.3g} steps/s" if done > 0 and seconds > 0 else ""
        self._log(self._stream, f"{self.state['stage']:<14} {text}{speed}{self._tail()}")

    def cancel(self) -> None:
        """Ask the work to stop at its next safe point."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether a cancel was asked for."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise Cancelled when a cancel was asked for."""
        if self.cancelled:
            raise Cancelled("stopped on request; run the same command with --resume to go on from here")

    @property
    def seconds_left(self) -> float | None:
        """Time left in this stage at its mean speed so far; None before the first step."""
        done = self.state["done"] - self._first_done
        if done <= 0:
            return None
        return (time.monotonic() - self._began) / done * (self.state["total"] - self.state["done"])

    def _show(self, *, force: bool = False) -> None:
        now = time.monotonic()
        if not force and now - self._shown < _EVERY:
            return
        self._shown = now
        if self._record is not None:
            entry = self.state | {
                "seconds": now - self._began,
                "seconds_left": self.seconds_left,
                "updated": time.time(),
            }
            temporary = self._record.with_name(self._record.name + ".new")
            with contextlib.suppress(OSError):  # a full disk stops the work itself, not the word about it
                temporary.write_text(json.dumps(entry))
                os.replace(temporary, self._record)
        if self._stream is not None:
            self._draw(self._stream, force=force)

    def _draw(self, stream: TextIO, *, force: bool) -> None:
        line = self.line()
        if stream.isatty():
            stream.write("\r" + line.ljust(self._width))
            self._width = len(line)
            stream.flush()
        elif force or time.monotonic() - self._logged >= _EVERY_LINE:
            self._log(stream, line)

    def _log(self, stream: TextIO, line: str) -> None:
        self._logged = time.monotonic()
        stream.write(line.rstrip() + "\n")
        stream.flush()

    def line(self) -> str:
        """One line for a terminal: stage, bar, count, time left."""
        done, total = self.state["done"], max(self.state["total"], 1)
        filled = int(24 * min(done / total, 1))
        bar = "█" * filled + "·" * (24 - filled)
        return f"{self.state['stage']:<14} {bar} {done}/{self.state['total']}{self._tail()}  {self.state['message']}"

    def _tail(self) -> str:
        left = self.seconds_left
        return "" if left is None else f"  {clock(left)} left"


def clock(seconds: float) -> str:
    """Minutes and seconds, such as "2:05", with hours before them where there are any."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


@contextmanager
def cancel_on_signals(progress: Progress) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into a cancel request; a second Ctrl-C interrupts at once."""
    previous: dict[int, Any] = {}

    def request(number: int, _frame: FrameType | None) -> None:
        if progress.cancelled and number == signal.SIGINT:
            raise KeyboardInterrupt
        progress.cancel()
        print("\nstopping at the next safe point; Ctrl-C again stops at once", file=sys.stderr)

    on_main = threading.current_thread() is threading.main_thread()
    numbers: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM) if on_main else ()
    handler: Callable[[int, FrameType | None], None] = request
    for number in numbers:
        previous[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in previous.items():
            signal.signal(number, old)
