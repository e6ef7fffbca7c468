"""The pure parts of the dashboard's benchmark: bytes of the wire to reruns, and times to tables and bounds."""

import socket
import struct
import threading
import time

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

from benchmarks.dashboard import report, wire
from benchmarks.dashboard.measure import NEXT, Opening, Series
from benchmarks.dashboard.window import Move
from benchmarks.dashboard.wire import Event, Messages, Rerun
from benchmarks.pages import into_page
from pipelines.errors import ShapeError


def frame(payload, *, opcode=2, last=True, key=None):
    """A websocket frame, written from RFC 6455, section 5.2."""
    size = len(payload)
    short, wide = (
        (size, b"")
        if size < 126
        else (126, struct.pack(">H", size))
        if size < 65536
        else (127, struct.pack(">Q", size))
    )
    head = bytes([opcode | (0x80 if last else 0), short | (0x80 if key else 0)]) + wide
    if key:
        payload = bytes(byte ^ key[at % 4] for at, byte in enumerate(payload))
    return head + (key or b"") + payload


def asking():
    message = BackMsg()
    message.rerun_script.query_string = "run=a"
    return message.SerializeToString()


def finishing(status=ForwardMsg.FINISHED_SUCCESSFULLY):
    return ForwardMsg(script_finished=status).SerializeToString()


@pytest.mark.parametrize("size", [0, 125, 126, 70_000])
@pytest.mark.parametrize("key", [None, b"\x01\xf0\x33\x7f"])
def test_a_message_comes_out_whole_however_it_is_cut(size, key):
    payload = bytes(index % 251 for index in range(size))
    data = frame(payload[: size // 3], last=False, key=key) + frame(payload[size // 3 :], opcode=0, key=key)
    for step in (1 if size < 1000 else 4096, len(data)):
        messages = Messages()
        found = [one for at in range(0, len(data), step) for one in messages.feed(data[at : at + step])]
        assert found == [payload]


def test_pings_between_the_frames_of_a_message_are_left_out():
    data = frame(b"ab", last=False) + frame(b"ping", opcode=9) + frame(b"cd", opcode=0) + frame(b"ef")
    assert Messages().feed(data) == [b"abcd", b"ef"]


def test_only_wishes_for_a_rerun_and_ends_of_scripts_are_told_apart():
    assert wire.event_to_server(asking(), 1.0) == Event("asked", 1.0, len(asking()))
    other = BackMsg(load_git_info=True).SerializeToString()
    assert wire.event_to_server(other, 1.0) is None
    assert wire.event_to_browser(finishing(), 2.0).kind == "finished"
    shown = ForwardMsg()
    shown.delta.new_element.text.body = "x"
    assert wire.event_to_browser(shown.SerializeToString(), 2.0).kind == "sent"


def test_a_rerun_lasts_from_the_wish_to_the_end_of_the_script():
    # 0.3 s and 1,100 bytes; the second wish comes while the first one's script runs, which gives way to it: 0.9 − 0.5.
    events = [
        Event("asked", 0.1, 50), Event("sent", 0.2, 1000), Event("finished", 0.4, 100),
        Event("asked", 0.5, 50), Event("sent", 0.55, 70), Event("asked", 0.6, 50),
        Event("finished", 0.65, 10, wire.EARLY), Event("sent", 0.8, 20), Event("finished", 0.9, 10),
        Event("sent", 1.0, 5), Event("asked", 1.1, 50),
    ]  # fmt: skip
    first, second = wire.reruns(events)
    assert first == Rerun(0.1, pytest.approx(0.3), 1100)
    assert second == Rerun(0.5, pytest.approx(0.4), 110)


def serve_once(answer):
    """A server for one connection that reads a head and a message, then answers."""
    listening = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listening, listening.accept()[0] as one:
            data = b""
            while asking() not in data.split(b"\r\n\r\n", 1)[-1]:
                data += one.recv(4096)
            one.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return listening.getsockname()[1], thread


def test_the_relay_passes_everything_on_and_notes_what_it_was():
    answer = b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + frame(finishing())
    port, thread = serve_once(answer)
    head = b"GET /_stcore/stream HTTP/1.1\r\nUpgrade: websocket\r\n\r\n"
    with (
        wire.relay(port) as relay,
        socket.create_connection(("127.0.0.1", int(relay.address.rpartition(":")[2]))) as one,
    ):
        one.sendall(head + frame(asking(), key=b"\0\0\0\0"))
        got = b""
        while len(got) < len(answer):
            got += one.recv(4096)
        thread.join(timeout=10)
        one.shutdown(socket.SHUT_WR)
        assert one.recv(1) == b""  # the other side has closed
        assert got == answer
        deadline = time.monotonic() + 10  # what was passed on may still have to be looked at
        while not relay.reruns() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert relay.asked() == 1
        (rerun,) = relay.reruns()
        assert 0 <= rerun.seconds < 10
        relay.clear()
        assert relay.reruns() == []


def series(page, control, seconds, *, redrawn=0.2, size=2000):
    return Series(page, control, [Move(one, size, redrawn) for one in seconds], cpu=0.05)


def results(**given):
    fast = {
        "load": "2 cores",
        "first_page": {"server just started": [1.5, 1.9, 2.6], "server at work": [1.0]},
        "openings": [Opening("verdict", 1.5, 0.8)],
        "controls": [series("calibration", "Bins", [0.02] * 19 + [0.09]), series("images", NEXT, [0.2] * 20)],
        "tenfold_controls": [(series("a", "b", [0.02, 0.04, 0.03]), series("a", "b", [0.045, 0.03, 0.06]))],
        "tenfold_openings": [(Opening("a", 1.0, 0.5), Opening("a", 4.0, 0.7))],
        "memory": {"just started": 3 * 2**20},
    }
    return report.Results(**(fast | given))


def test_bounds_are_met_at_the_edge():
    # Ratio of medians 0.045 / 0.03 = 1.5; the slowest first page of 2.6 s is above its bound, the median of 1.9 s not.
    assert report.missed(results()) == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"first_page": {"server at work": [1.9, 2.1, 2.2]}}, "first page, server at work: 2.10 s"),
        # Two of 20 above 0.1 s: the 95th percentile is the 19th or, as none lies between, the 20th.
        ({"controls": [series("a", "Bins", [0.02] * 18 + [0.11] * 2)]}, "a, Bins: 110 ms, allowed 100"),
        ({"controls": [series("images", NEXT, [0.02], redrawn=0.31)]}, "images, next image: 310 ms, allowed 300"),
        (
            {"tenfold_controls": [(series("a", "b", [0.02]), series("a", "b", [0.031]))]},
            "a, b: 1.55 times with ten times the images",
        ),
        (
            {"tenfold_openings": [(Opening("a", 1.0, 0.5), Opening("a", 1.0, 0.8))]},
            "a, opened again: 1.60 times with ten times the images",
        ),
        ({"torch": True}, "torch was loaded"),
        ({"controls": [series("a", "Bins", [float("nan")])]}, "a, Bins: nan ms, allowed 100"),
    ],
)
def test_each_bound_that_is_missed_is_told(given, said):
    assert report.missed(results(**given)) == [said]


def test_tables_hold_every_number_once_and_fit_the_page():
    found = report.tables(results())
    assert "| calibration: Bins | 20 | 90 | 200 | 200 | 50 | 2 |" in found["sliders"]
    assert "next image" not in found["sliders"]
    assert "| images: next image | 200 |" in found["images"]
    assert "| server just started | 1.90 | 2.60 | 2.00 |" in found["first page"]
    assert "| a: b | 30 | 45 | 1.50 | 1.50 |" in found["tenfold"]
    assert "| a: first opened | 1,000 | 4,000 | 4.00 |  |" in found["tenfold"]
    page = report.PAGE.read_text(encoding="utf-8")
    filled = into_page(page, found, name="page.md")
    for table in found.values():
        assert filled.count(table) == 1
    assert into_page(filled, found, name="page.md") == filled


def test_a_part_that_was_measured_alone_has_its_tables_alone():
    assert set(report.tables(results(first_page={}, tenfold_controls=()))) == {"sliders", "images", "openings"}
    assert set(report.tables(results(controls=(), openings=(), tenfold_controls=()))) == {"first page"}
    assert set(report.tables(report.Results())) == set()


def test_a_page_without_a_marker_is_refused():
    with pytest.raises(ShapeError, match="<!-- table: sliders -->"):
        into_page("nothing", {"sliders": "|"}, name="page.md")
