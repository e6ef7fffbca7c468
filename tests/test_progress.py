"""What long work says of itself in a log file and on a terminal."""

import io

import pytest

from pipelines import progress as module
from pipelines.progress import Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def time(monkeypatch):
    """A clock that stands still until it is set."""
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_file_gets_the_ends_of_a_stage_its_notes_and_a_line_a_minute(time):
    log = io.StringIO()
    progress = Progress(stream=log)
    with progress.stage("predict", 200):
        for second in range(200):
            time[0] = second + 1.0
            if second == 49:
                progress.note("a quarter")
            progress.advance()
    lines = log.getvalue().splitlines()
    assert len(lines) == 5
    # The note comes after 49 steps in 50 s: 0.98 steps/s, and 151 steps are left, 151 / 0.98 = 154 s.
    assert lines[1] == "predict        a quarter  0.98 steps/s  2:34 left"
    # A minute after the note, at 110 s, and again at 170 s; 90 and 30 steps are left at a step a second.
    assert [line.split()[2:] for line in lines if "quarter" not in line] == [
        ["0/200"], ["110/200", "1:30", "left"], ["170/200", "0:30", "left"], ["200/200", "0:00", "left"],
    ]  # fmt: skip


def test_on_a_terminal_a_note_is_left_to_the_bar(time):
    screen = Terminal()
    progress = Progress(stream=screen)
    with progress.stage("predict", 2):
        progress.note("half")
    assert "half" not in screen.getvalue()
    assert "0/2" in screen.getvalue()
