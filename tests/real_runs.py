"""Real runs, barely trained, for tests and for work on the dashboard: `python tests/real_runs.py FOLDER` makes them.

Their training compiles what numba has to compile, too: `make test` runs it beside the linters, so that the tests find
both done.
"""

import fcntl
import sys
from pathlib import Path

from places import REPO

NAMES = ("landcover", "cells", "vessels")  # exclusive, overlapping, binary


def train_runs(folder: Path) -> None:
    """Train the pairs that the folder lacks; of several processes that are asked to, each trains some of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for wait in (False, True):  # first those that nobody trains, then those that somebody else does
        for name in NAMES:
            with folder.with_name(f"{folder.name}-{name}.lock").open("w") as lock:  # beside the folder: it holds runs
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                if not (folder / name).exists():
                    _train(folder, name)


def _train(folder: Path, name: str) -> None:
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
    make_run(config, runs=folder, name=name, progress=Progress())


if __name__ == "__main__":
    sys.path.insert(0, str(REPO))
    train_runs(Path(sys.argv[1]))
