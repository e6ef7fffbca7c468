"""Fixtures shared by all tests: real runs, trained once a test session whatever the number of workers."""

import fcntl
import os
from pathlib import Path

import hypothesis
import pytest
from places import REPO

# OpenMP threads that spin for each other slow several workers on few cores down more than they speed one up.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("VALIDATE_FIGURES", "1")  # the app leaves Plotly's own checks out, for speed

# How long an example takes depends on what else the machine does.
hypothesis.settings.register_profile("tests", deadline=None)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def real_runs(tmp_path_factory) -> Path:
    """A runs folder with a real, barely trained pair on each generated set: exclusive, overlapping, binary.

    TEST_RUNS names a folder that keeps them from one session to the next, for work on the dashboard.
    """
    base = tmp_path_factory.getbasetemp()
    common = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    runs = Path(os.environ.get("TEST_RUNS") or common / "real-runs")
    runs.mkdir(parents=True, exist_ok=True)
    with runs.with_name(f"{runs.name}.lock").open("w") as lock:  # beside the folder, which sessions may share
        fcntl.lockf(lock, fcntl.LOCK_EX)  # the first worker trains, the others wait
        for name in ("landcover", "cells", "vessels"):
            if not (runs / name).exists():
                _train(runs, name)
    return runs


@pytest.fixture(scope="session")
def brought_runs(tmp_path_factory) -> Path:
    """A runs folder with every run of `imported_runs.BROUGHT`: one head or a pair, imported; their pairs beside it."""
    from imported_runs import write_brought_runs

    base = tmp_path_factory.getbasetemp()
    common = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    done, folder = common / "brought.done", common / "brought"
    with (common / "brought.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # the first worker makes them, the others wait
        if not done.exists():
            write_brought_runs(folder)
            done.touch()
    return folder / "runs"


def _train(runs: Path, name: str) -> None:
    from pipelines.config import EvaluationConfig, RunConfig, TrainingConfig
    from pipelines.progress import Progress
    from pipelines.run import make_run

    config = RunConfig(
        dataset=str(REPO / "sample_data" / name),
        training=TrainingConfig(
            encoder="tu-mobilenetv3_small_050", seeds=(0, 1) if name == "cells" else (0,), epochs=1, size=(64, 64)
        ),
        evaluation=EvaluationConfig(replicates=200),
    )
    make_run(config, runs=runs, name=name, progress=Progress())


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
