"""A module run in a process of its own with bounded memory and time, so that strangers' files cannot harm ours."""

import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Final

from pipelines import links

MEMORY: Final = 3 * 2**30  # bytes beyond what its libraries take
SECONDS: Final = 60.0
_ROOT: Final = Path(__file__).resolve().parents[1]
# All that the process is told of our surroundings.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", links.ROOTS)


def run_apart(module: str, folder: Path, *, what: str, seconds: float = SECONDS, memory: int = MEMORY) -> str | None:
    """Run `python -m module FOLDER MEMORY` in the folder; None when it ended well, else why not, in one line.

    The module calls `bind` first. what: what it reads, such as "the first images". Its output is in FOLDER/log.
    """
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    environment |= {"PYTHONPATH": str(_ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}
    with (folder / "log").open("wb") as log:
        try:
            done = subprocess.run(
                [sys.executable, "-P", "-m", module, str(folder), str(memory)], cwd=folder, env=environment,
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=seconds, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"LOOK-TIME: {what} could not be read in {seconds:g} s; bring smaller files, or use the command line"
    if done.returncode:
        return (
            f"LOOK-DIED: the process that read {what} ended with status {done.returncode}, most likely for lack of "
            f"memory (it may take {memory / 2**30:.3g} GiB); bring smaller files, or use the command line"
        )
    return None


def bind(memory: int) -> None:
    """Bound this process: so many bytes beyond what it has now, no core dumps, and behind whoever is watching."""
    os.nice(10)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    bound = private_bytes() + memory
    resource.setrlimit(resource.RLIMIT_DATA, (bound if hard == resource.RLIM_INFINITY else min(bound, hard), hard))


def private_bytes() -> int:
    """Writable private memory of this process in bytes; its largest resident size where /proc does not tell."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmData:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
