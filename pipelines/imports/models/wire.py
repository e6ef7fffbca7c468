"""Messages between this process and a model's: a JSON header and raw bytes over a pipe, nothing is ever unpickled."""

import json
import os
import select
import struct
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

_FRAME: Final = struct.Struct("<4sIQ")  # mark, bytes of the header, bytes of the payload
_MARK: Final = b"SoS1"
HEADER_LIMIT: Final = 2**20
PAYLOAD_LIMIT: Final = 2**30  # what one image's outputs may take, as in the misuse check
_PIECE: Final = 2**20
_LOOK_SECONDS: Final = 0.1  # between two looks at what the other end uses


class WireError(ValueError):
    """What came is no message."""


class Pipe:
    """One end of a pair of pipes. Every wait ends at its deadline, a time of time.monotonic(); None waits for ever.

    look: called every tenth of a second of a wait; what it raises ends the wait.
    Both calls raise TimeoutError at the deadline, EOFError when the other end is gone.
    """

    def __init__(self, reading: int, writing: int, *, look: Callable[[], None] | None = None) -> None:
        self._reading, self._writing, self._look = reading, writing, look
        os.set_blocking(reading, False)
        os.set_blocking(writing, False)

    def send(
        self, header: Mapping[str, Any], payload: bytes | memoryview = b"", *, deadline: float | None = None
    ) -> None:
        """Write one message."""
        text = json.dumps(header).encode()
        body = memoryview(payload).cast("B") if len(payload) else memoryview(b"")
        if len(text) > HEADER_LIMIT or len(body) > PAYLOAD_LIMIT:
            raise WireError(f"a message of {len(text):,} + {len(body):,} bytes is too long")
        for part in (memoryview(_FRAME.pack(_MARK, len(text), len(body)) + text), body):
            while part:
                self._wait(self._writing, select.POLLOUT, deadline)
                try:
                    part = part[os.write(self._writing, part[:_PIECE]) :]
                except BlockingIOError:  # the pipe has room for less than a piece
                    continue
                except BrokenPipeError:
                    raise EOFError("the other end is gone") from None

    def receive(self, *, deadline: float | None = None, limit: int = PAYLOAD_LIMIT) -> tuple[dict[str, Any], bytearray]:
        """Read one message. limit: bytes its payload may have. Raises WireError for anything else than a message."""
        mark, header, body = _FRAME.unpack(self._exactly(_FRAME.size, deadline))
        if mark != _MARK or header > HEADER_LIMIT or body > limit:
            raise WireError("what came is no message, or a longer one than allowed")
        text = self._exactly(header, deadline)
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            raise WireError("the header is not JSON") from None
        if not isinstance(values, dict):
            raise WireError("the header is not an object")
        return values, self._exactly(body, deadline)

    def _exactly(self, count: int, deadline: float | None) -> bytearray:
        out = bytearray(count)
        view = memoryview(out)
        while view:
            self._wait(self._reading, select.POLLIN, deadline)
            try:
                came = os.readv(self._reading, [view])
            except BlockingIOError:
                continue
            if not came:
                raise EOFError("the other end is gone")
            view = view[came:]
        return out

    def _wait(self, descriptor: int, event: int, deadline: float | None) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        while True:
            left = float("inf") if deadline is None else max(0.0, deadline - time.monotonic())
            step = left if self._look is None else min(left, _LOOK_SECONDS)
            if poll.poll(None if step == float("inf") else step * 1000):
                return
            if left <= 0:
                raise TimeoutError("no message in time")
            if self._look is not None:
                self._look()


def one_line(text: str, *, limit: int = 300) -> str:
    """The first line of text that somebody else wrote, printable and of at most `limit` characters."""
    lines = [line for line in text.splitlines() if line.strip()] or ["no reason given"]
    line = "".join(letter if letter.isprintable() else "?" for letter in lines[0].strip())
    return line if len(line) <= limit else line[: limit - 1] + "…"
