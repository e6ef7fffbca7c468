"""Fixtures shared by all tests: real runs, trained once a test session whatever the number of workers."""

import fcntl
import os
from pathlib import Path

import hypothesis
import pytest
from fuzzing import FULL
from places import UNCHANGED
from real_runs import train_runs

# OpenMP threads that spin for each other slow several workers on few cores down more than they speed one up.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# How long an example takes depends on what else the machine does. The gate tries the same examples in every session.
EXAMPLES = 25
hypothesis.settings.register_profile("gate", deadline=None, derandomize=True, max_examples=EXAMPLES)
hypothesis.settings.register_profile("fuzz", deadline=None, max_examples=250)
hypothesis.settings.load_profile("fuzz" if FULL else "gate")


def _common(tmp_path_factory) -> Path:
    """The folder that all workers of a session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def real_runs(tmp_path_factory) -> Path:
    """A runs folder with a real, barely trained pair on each generated set: exclusive, overlapping, binary.

    TEST_RUNS names a folder that keeps them from one session to the next, for work on the dashboard.
    """
    runs = Path(os.environ.get("TEST_RUNS") or _common(tmp_path_factory) / "real-runs")
    train_runs(runs)
    UNCHANGED.add(str(runs))
    return runs


@pytest.fixture(scope="session")
def brought_runs(tmp_path_factory) -> Path:
    """A runs folder with every run of `imported_runs.BROUGHT`: one head or a pair, imported; their pairs beside it."""
    from imported_runs import write_brought_runs

    common = _common(tmp_path_factory)
    done, folder = common / "brought.done", common / "brought"
    with (common / "brought.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # the first worker makes them, the others wait
        if not done.exists():
            write_brought_runs(folder)
            done.touch()
    UNCHANGED.add(str(folder / "runs"))
    return folder / "runs"


def pytest_collection_modifyitems(items):
    """In the gate a property is tried on at most 25 examples, however many the test asks for."""
    if FULL:
        return
    for item in items:
        asked = getattr(getattr(item, "function", None), "_hypothesis_internal_use_settings", None)
        if asked is not None and asked.max_examples > EXAMPLES:
            item.function._hypothesis_internal_use_settings = hypothesis.settings(asked, max_examples=EXAMPLES)


@pytest.fixture
def fragments(monkeypatch):
    """Of every fragment that Streamlit was told of, the one around it, or None."""
    from streamlit.runtime.fragment import MemoryFragmentStorage

    told, register = [], MemoryFragmentStorage.register

    def noted(self, key, fragment, *, parent_fragment_id=None, **more):
        told.append(parent_fragment_id)
        register(self, key, fragment, parent_fragment_id=parent_fragment_id, **more)

    monkeypatch.setattr(MemoryFragmentStorage, "register", noted)
    return told
