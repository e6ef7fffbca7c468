"""Thousands of hostile files of outputs: refused in one line, in little memory, and nothing is written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import hostile_outputs
import pytest
from fuzzing import trials
from places import REPO

FILES = trials(520, 120)  # of each kind
MOST_GROWTH = 80  # MB that all files of a kind may add to the largest resident size; a bomb unpacks to 100 MB


def process(*words, cwd):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(REPO), str(REPO / "tests")]), "TMPDIR": str(cwd)}
    script = REPO / "tests" / "hostile_outputs.py"
    done = subprocess.run(
        [sys.executable, str(script), *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.parametrize("kind", hostile_outputs.PLACES)
def test_hostile_files_are_refused_in_one_line_in_little_memory(kind, tmp_path):
    made, cwd = tmp_path / "made", tmp_path / "cwd"
    made.mkdir()
    cwd.mkdir()
    process("make", kind, FILES, made, cwd=tmp_path)
    assert len(list(made.iterdir())) >= FILES
    told = json.loads(process("read", kind, made, cwd=cwd))
    assert sum(told["seen"].values()) >= FILES
    assert told["grown"] < MOST_GROWTH
    assert told["left"] == []
    assert not any(
        Path(name).exists() for name in ("/evil", "/evil.npy", tmp_path / "evil", tmp_path.parent / "evil.npy")
    )
    # Both ends are reached: what is whole is read, and what is refused is so for many reasons.
    assert told["seen"]["read"] > 0
    assert len(told["seen"]) >= 7, told["seen"]
