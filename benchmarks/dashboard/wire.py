"""Bytes between a browser and the app to the reruns that were asked for and how long the server took over each.

A relay on the way takes the times. In the browser they would be those of its busy main thread, which draws the first
figures while the server still works on the last; in the server they would leave out its own queue.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from google.protobuf.message import DecodeError
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

_CHUNK: Final = 1 << 18
_HEAD_END: Final = b"\r\n\r\n"
_DATA: Final = (0, 1, 2)  # opcodes: continuation, text, binary; others are pings, pongs and closes
EARLY: Final = ForwardMsg.FINISHED_EARLY_FOR_RERUN


class Event(NamedTuple):
    """What passed the relay. at: seconds of time.perf_counter; size: bytes of the message; status: of "finished"."""

    kind: Literal["asked", "sent", "finished"]
    at: float
    size: int
    status: int = 0


class Rerun(NamedTuple):
    """A rerun. asked: its time; seconds: until the script had finished; size: bytes sent to the browser for it."""

    asked: float
    seconds: float
    size: int


class Messages:
    """Bytes of one direction of a websocket (RFC 6455, section 5.2), as they come, to whole messages."""

    def __init__(self) -> None:
        self._waiting, self._parts = bytearray(), bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The payloads of the messages that end in these bytes."""
        self._waiting += data
        found = []
        while (frame := _frame(self._waiting)) is not None:
            first, payload, used = frame
            del self._waiting[:used]
            if first & 0x0F not in _DATA:
                continue
            self._parts += payload
            if first & 0x80:  # the message's last frame
                found.append(bytes(self._parts))
                self._parts.clear()
        return found


def _frame(data: bytearray) -> tuple[int, bytes, int] | None:
    """The first frame in data: its first byte, payload and length in bytes; None while it is not whole."""
    if len(data) < 2:
        return None
    masked, short = data[1] & 0x80, data[1] & 0x7F
    wide = {126: 2, 127: 8}.get(short, 0)
    start = 2 + wide + (4 if masked else 0)
    if len(data) < start:
        return None
    length = int.from_bytes(data[2 : 2 + wide], "big") if wide else short
    if len(data) < start + length:
        return None
    payload = bytes(data[start : start + length])
    if masked:
        key = bytes(data[start - 4 : start])
        mask = (key * (length // 4 + 1))[:length]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")).to_bytes(length, "big")
    return data[0], payload, start + length


def event_to_server(payload: bytes, at: float) -> Event | None:
    """A wish for a rerun, or None."""
    try:
        message = BackMsg.FromString(payload)
    except DecodeError:
        return None
    return Event("asked", at, len(payload)) if message.WhichOneof("type") == "rerun_script" else None


def event_to_browser(payload: bytes, at: float) -> Event:
    """The end of a script, or something sent before it."""
    message = ForwardMsg.FromString(payload)
    if message.WhichOneof("type") == "script_finished":
        return Event("finished", at, len(payload), message.script_finished)
    return Event("sent", at, len(payload))


def reruns(events: Sequence[Event]) -> list[Rerun]:
    """Each wish that a finished script answered. One that gave way to a newer wish ends with that one's script."""
    found: list[Rerun] = []
    asked: float | None = None
    size = 0
    for event in events:
        if event.kind == "asked":
            asked, size = (event.at, 0) if asked is None else (asked, size)
            continue
        size += event.size
        if event.kind == "finished" and event.status != EARLY and asked is not None:
            found.append(Rerun(asked, event.at - asked, size))
            asked = None
    return found


@dataclass
class Relay:
    """address: where browsers find it; events: what passed, oldest first. Several windows are not told apart."""

    address: str
    events: list[Event] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, event: Event | None) -> None:
        """Note an event."""
        if event is not None:
            with self._lock:
                self.events.append(event)

    def clear(self) -> None:
        """Forget what passed so far."""
        with self._lock:
            self.events.clear()

    def reruns(self) -> list[Rerun]:
        """The reruns since the last clear."""
        with self._lock:
            # Each direction notes its own: a quick answer can be noted before the wish that it answers.
            return reruns(sorted(self.events, key=lambda event: event.at))

    def asked(self) -> int:
        """How many wishes for a rerun passed since the last clear."""
        with self._lock:
            return sum(event.kind == "asked" for event in self.events)


@contextmanager
def relay(port: int, *, at: int = 0) -> Iterator[Relay]:
    """A relay to a port of this machine. at: its own port, by default a free one."""
    with socket.create_server(("127.0.0.1", at)) as listening:
        found = Relay(f"http://127.0.0.1:{listening.getsockname()[1]}")
        threading.Thread(target=_accept, args=(listening, port, found), daemon=True).start()
        yield found
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # wakes accept, which close alone does not


def _accept(listening: socket.socket, port: int, found: Relay) -> None:
    with contextlib.suppress(OSError):
        while True:
            browser, _ = listening.accept()
            threading.Thread(target=_serve, args=(browser, port, found), daemon=True).start()


def _serve(browser: socket.socket, port: int, found: Relay) -> None:
    """One connection, until both sides have ended it."""
    with browser, socket.create_connection(("127.0.0.1", port)) as server:
        for one in (browser, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        is_websocket = threading.Event()
        up = threading.Thread(target=_pump, args=(browser, server, True, is_websocket, found), daemon=True)
        up.start()
        _pump(server, browser, False, is_websocket, found)
        up.join()


def _pump(source: socket.socket, target: socket.socket, up: bool, is_websocket: threading.Event, found: Relay) -> None:
    """Pass bytes on, then look at them: looking must not delay what is timed."""
    messages, head, head_over = Messages(), b"", False
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            at = time.perf_counter()
            if up and not head_over and not is_websocket.is_set() and b"upgrade: websocket" in data.lower():
                is_websocket.set()
            target.sendall(data)
            if not is_websocket.is_set():
                continue
            if not head_over:
                head, head_over, data = _after_head(head + data)
            if head_over:
                for payload in messages.feed(data):
                    found.add(event_to_server(payload, at) if up else event_to_browser(payload, at))
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


def _after_head(data: bytes) -> tuple[bytes, bool, bytes]:
    """Bytes of an HTTP head so far to (head, whether it is whole, what follows it)."""
    head, end, rest = data.partition(_HEAD_END)
    return (head, True, rest) if end else (data, False, b"")
