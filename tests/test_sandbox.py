"""A process of its own for strangers' files: what goes in and out, and how it ends."""

import os
import subprocess
import sys
import time

import pytest
from places import REPO

from pipelines import sandbox
from pipelines.errors import DatasetError
from pipelines.sandbox import Sandbox, SandboxError
from pipelines.uploads import workspace

ECHO = """
import os
def answer(question, payload):
    if "leave" in question:
        os._exit(question["leave"])
    return {"question": question, "where": os.getcwd(), "knows": sorted(os.environ)}, payload[::-1]
serve(answer)
"""


def test_questions_and_payloads_go_there_and_back_in_their_order(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "secret")
    with Sandbox(ECHO, environment={"OF_MY_OWN": "1"}) as process:
        for number in range(3):
            header, payload = process.ask({"number": number}, b"ab" * number, seconds=60, limit=10)
            assert (header["question"], payload) == ({"number": number}, b"ba" * number)
        assert header["where"] == "/"
        assert "OF_MY_OWN" in header["knows"]
        assert "A_TOKEN" not in header["knows"]
        with pytest.raises(SandboxError) as error:  # 4 bytes are too long for a limit of 3
            process.ask({}, b"abcd", seconds=60, limit=3)
        assert error.value.reason == "answer"
        assert not process.alive


def test_a_process_that_ends_is_told_with_its_status_and_stays_gone():
    with Sandbox(ECHO) as process:
        for _ in range(2):
            with pytest.raises(SandboxError) as error:
                process.ask({"leave": 7}, seconds=60)
            assert (error.value.reason, error.value.status) == ("died", 7)


def test_time_and_memory_end_a_process_and_whatever_it_has_started():
    code = """
import os, time
def answer(question, payload):
    kept = bytearray(question["bytes"])
    if question["fork"] and os.fork() == 0:
        time.sleep(5)  # and keeps the pipe open
    time.sleep(60)
serve(answer)
"""
    for question, bound, reason in (
        ({"bytes": 1, "fork": True}, None, "time"),
        ({"bytes": 2**28, "fork": False}, 2**27, "memory"),
    ):
        with Sandbox(code) as process:
            process.memory_bound = bound
            started = time.monotonic()
            with pytest.raises(SandboxError) as error:
                process.ask(question, seconds=1.5 if reason == "time" else 60)
            assert error.value.reason == reason
            assert time.monotonic() - started < 30


def explode(question, _):
    """Take as much memory as the question says, or raise."""
    return {"length": len(bytearray(question["bytes"]))}, b""


def test_one_question_is_bound_in_memory_and_refused_in_one_line(monkeypatch):
    monkeypatch.setattr(sandbox, "_ROOT", f"{REPO}{os.pathsep}{REPO / 'tests'}")
    target = "test_sandbox:explode"
    assert sandbox.answer_apart(target, {"bytes": 2**20}, what="the files") == ({"length": 2**20}, b"")
    with pytest.raises(
        DatasetError, match=r"LOOK-DIED: the process that read the files ended with status 1, .*; bring"
    ):
        sandbox.answer_apart(target, {"bytes": 2**28}, what="the files", memory=2**27)
    with pytest.raises(DatasetError, match=r"LOOK-TIME: the files could not be read in 0.01 s; bring smaller files"):
        sandbox.answer_apart(target, {"bytes": 1}, what="the files", seconds=0.01)


def test_a_system_without_limits_imports_it():
    code = (
        "import sys, psutil; sys.modules['resource'] = None\n"  # psutil knows by itself what its system has
        "from pipelines.sandbox import answer_apart, bind, bind_time\n"
        "bind(2**20); bind_time(1); print(len(bytearray(2**22)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPO, capture_output=True, text=True, check=True)
    assert done.stdout == f"{2**22}\n"


def test_locks_exclude_each_other_without_file_locks_of_the_system_too(tmp_path, monkeypatch):
    monkeypatch.setattr(workspace, "fcntl", None)
    place = tmp_path / "lock"
    with workspace.held(place) as first, workspace.held(place, wait=0.1) as second:
        assert (first, second) == (True, False)
    with workspace.held(place, wait=0.0) as third:
        assert third
