"""What a model's process may use, and how the process binds itself to it."""

import contextlib
import os
import resource
import signal
from typing import Annotated, Final

from pydantic import Field

from pipelines.apart import private_bytes
from pipelines.config import Settings

_LOG_BYTES: Final = 2**16
_NICE: Final = 10  # viewers come first, as for jobs


class Limits(Settings):
    """Bounds of one model's process.

    memory: bytes of private memory beyond what its libraries took when they were imported. seconds: wall-clock time an
    image may take. opening: seconds the file may take to open. threads: of arithmetic; 0: one a core.
    """

    memory: Annotated[int, Field(ge=2**26, le=2**46)] = 4 * 2**30
    seconds: Annotated[float, Field(gt=0, le=86400)] = 60.0
    opening: Annotated[float, Field(gt=0, le=86400)] = 120.0
    threads: Annotated[int, Field(ge=0, le=1024)] = 0

    @property
    def cores(self) -> int:
        """Threads that may compute at once."""
        return self.threads or os.cpu_count() or 1


def stay_modest() -> None:
    """Low priority, first to go when memory runs out, no core dumps, and no file longer than a log.

    Ctrl-C and SIGTERM are sent to the whole group of processes and are left to the one that asked for the outputs.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.nice(_NICE)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # Linux only
        score.write("1000")
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_FSIZE, _LOG_BYTES)


def bind_memory(limits: Limits) -> None:
    """Refuse private memory beyond the limit from now on.

    RLIMIT_DATA counts writable private pages, which is what tensors are made of. RLIMIT_AS would also count what
    libraries only reserve: torch maps 3 GB of address space when it is imported, and CUDA far more.
    """
    _lower(resource.RLIMIT_DATA, private_bytes() + limits.memory)


def bind_time(limits: Limits, seconds: float) -> None:
    """Let the kernel end this process when the next request takes more CPU time than its wall-clock limit allows.

    This holds when the process that asked has died and nobody watches the clock any more.
    """
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = int(used.ru_utime + used.ru_stime + seconds * limits.cores) + 2
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (until, hard))


def resident_bytes(process: int) -> int | None:
    """Memory that a process holds now, shared memory too, without pages of files; None where /proc does not tell.

    Pages of files are left out: libraries are read in bit by bit, and the system takes them back when it must.
    """
    try:
        with open(f"/proc/{process}/status") as status:
            sizes = dict(line.split(":", 1) for line in status if line.startswith(("RssAnon:", "RssShmem:")))
        return sum(int(size.split()[0]) for size in sizes.values()) * 1024 if sizes else None
    except (OSError, ValueError, IndexError):
        return None


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))
