"""Strangers' files opened in a process of their own with bounded memory and time; whatever they do to it, ours goes on.

    with Sandbox("from package.module import answer; serve(answer)") as process:
        header, payload = process.ask({"path": "/tmp/model.onnx"}, seconds=10)

A question and its answer are a JSON object and raw bytes each, over multiprocessing.connection; nothing that comes from
a process that has opened a stranger's file is ever unpickled. Limits of memory and processor time are the kernel's:
where Python has no module `resource` (Windows), only the time is bounded.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final, Literal, Self, TypeAlias

import psutil

from pipelines import links
from pipelines.errors import DatasetError

try:
    import resource
except ImportError:  # a system without limits of processes
    resource = None  # type: ignore[assignment]

MEMORY: Final = 3 * 2**30  # bytes beyond what its libraries take
SECONDS: Final = 60.0
HEADER_LIMIT: Final = 2**20  # bytes of JSON
PAYLOAD_LIMIT: Final = 2**30  # bytes: what one image's outputs may take, as in the misuse check
_ANSWER_LIMIT: Final = 2**28  # bytes of the small pictures that a look brings back
_WATCH_SECONDS: Final = 0.1  # between two looks at time and memory
_DYING_SECONDS: Final = 2.0
_ROOT: Final = Path(__file__).resolve().parents[1]
# All that such a process is told of our surroundings: no tokens, no addresses.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", links.ROOTS)

Reason: TypeAlias = Literal["time", "memory", "died", "answer"]
Message: TypeAlias = tuple[dict[str, Any], bytes]
Answer: TypeAlias = Callable[[dict[str, Any], bytes], tuple[Mapping[str, Any], bytes | memoryview]]


class SandboxError(Exception):
    """A process that broke a bound, died, or gave no answer that can be read; it is gone.

    reason: "time" and "memory" for its bounds, "died" with its exit status, "answer" for what is no message.
    """

    def __init__(self, reason: Reason, status: int | None = None) -> None:
        super().__init__(reason, status)
        self.reason, self.status = reason, status


# Our side ------------------------------------------------------------------------------------------------------------


class Sandbox:
    """A process that answers questions, one at a time, until it is closed.

    code: Python that ends with `serve(answer)`; `serve` and `bind` are imported. environment: variables beside the few
    that it is told anyway. memory_bound: bytes of resident memory at which it is ended, whatever kind of memory the
    kernel calls it; None for no bound beside those that it sets itself.
    """

    def __init__(self, code: str, *, environment: Mapping[str, str] | None = None) -> None:
        self.memory_bound: int | None = None
        self._reason: Reason | None = None  # why it was ended, once it was
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        self._socket, theirs = socket.socketpair()
        self._pipe = Connection(os.dup(self._socket.fileno()))
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from pipelines.sandbox import bind, serve\n{code}"],
                stdin=theirs.fileno(),
                stdout=self._log,
                stderr=self._log,
                cwd="/",
                env={**_environment(), **(environment or {})},
            )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether there is a process to ask."""
        return self._process.poll() is None

    def ask(
        self, question: Mapping[str, Any], payload: bytes | memoryview = b"", *, seconds: float, limit: int = 0
    ) -> Message:
        """Its answer, once it has come. limit: bytes that the answer's payload may have. Raises SandboxError."""
        reason: Reason = "died"
        with self._watched(seconds):
            try:
                self._pipe.send_bytes(json.dumps(question).encode())
                self._pipe.send_bytes(payload)
                header = json.loads(self._pipe.recv_bytes(HEADER_LIMIT))
                body = self._pipe.recv_bytes(limit)
                if isinstance(header, dict):
                    return header, body
                reason = "answer"
            except (EOFError, OSError):  # it has ended, or what it sends is too long: then no more is read of it
                reason = "died" if self._pipe.closed or self._pipe.readable else "answer"
            except (ValueError, RecursionError):  # no JSON
                reason = "answer"
            if reason == "died":
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self._process.wait(_DYING_SECONDS)
        status = self._process.poll()
        self._reason = self._reason or reason
        self.close()
        raise SandboxError(self._reason, status)

    @contextlib.contextmanager
    def _watched(self, seconds: float) -> Iterator[None]:
        """End the process when it takes longer or grows larger than it may; a question that waits ends with it."""
        answered = threading.Event()
        watch = threading.Thread(target=self._watch, args=(answered, time.monotonic() + seconds), daemon=True)
        watch.start()
        try:
            yield
        finally:
            answered.set()
            watch.join()

    def _watch(self, answered: threading.Event, deadline: float) -> None:
        while not answered.wait(min(_WATCH_SECONDS, max(0.0, deadline - time.monotonic()))):
            if self.memory_bound is not None and (resident_bytes(self.pid) or 0) > self.memory_bound:
                self._reason = "memory"
            elif time.monotonic() >= deadline:
                self._reason = "time"
            else:
                continue
            self._process.kill()
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)  # even if a child of the process keeps its end open
            return

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._pipe, self._socket, self._log):
            stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def answer_apart(
    target: str, question: Mapping[str, Any], *, what: str, seconds: float = SECONDS, memory: int = MEMORY
) -> Message:
    """Ask one question of a process of its own.

    target: "module:function" with a function as `serve` takes it. what: what it reads, for messages, such as "the first
    images". memory: bytes it may take beyond what its libraries took. Raises DatasetError, in one line, when it breaks
    a bound or dies.
    """
    module, _, function = target.partition(":")
    code = f"from {module} import {function}\nbind({memory})\nserve({function})"
    try:
        with Sandbox(code, environment={"OMP_NUM_THREADS": "1"}) as process:
            return process.ask(question, seconds=seconds, limit=_ANSWER_LIMIT)
    except SandboxError as error:
        if error.reason == "time":
            raise DatasetError(
                f"LOOK-TIME: {what} could not be read in {seconds:g} s; bring smaller files, or use the command line"
            ) from None
        raise DatasetError(
            f"LOOK-DIED: the process that read {what} ended with status {error.status}, most likely for lack of memory "
            f"(it may take {memory / 2**30:.3g} GiB); bring smaller files, or use the command line"
        ) from None


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    return kept | {
        "PYTHONPATH": str(_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads must not spin beside viewers
    }


def resident_bytes(pid: int) -> int | None:
    """Memory that a process holds now, shared memory too; None when there is no such process.

    Pages of files are left out on Linux: libraries are read in bit by bit, and the system takes them back when it must.
    """
    try:
        with open(f"/proc/{pid}/status") as status:
            sizes = dict(line.split(":", 1) for line in status if line.startswith(("RssAnon:", "RssShmem:")))
        return sum(int(size.split()[0]) for size in sizes.values()) * 1024 if sizes else None
    except (OSError, ValueError, IndexError):
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None


# Its side ------------------------------------------------------------------------------------------------------------


def serve(answer: Answer) -> None:
    """Answer questions from standard input until the other end is gone; an exception ends the process.

    answer: a question and its payload to an answer and its payload. What libraries read from standard input is empty,
    what they print goes to a log.
    """
    pipe = Connection(os.dup(0))
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            question = json.loads(pipe.recv_bytes())
            header, payload = answer(question, pipe.recv_bytes())
            pipe.send_bytes(json.dumps(header).encode())
            pipe.send_bytes(payload)


def bind(memory: int) -> None:
    """Bound this process: so many bytes beyond what it has now, no core dumps, and behind whoever is watching."""
    step_back()
    bind_memory(memory)


def step_back() -> None:
    """Low priority, and no core dumps."""
    if hasattr(os, "nice"):
        os.nice(10)  # viewers come first, as for jobs
    if resource is not None:
        _lower(resource.RLIMIT_CORE, 0)


def stay_modest(log_bytes: int) -> None:
    """As `step_back`, first to go when memory runs out, and no file longer than a log.

    Ctrl-C and SIGTERM are sent to the whole group of processes and are left to the one that asked.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    step_back()
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:  # Linux only
        score.write("1000")
    if resource is not None:
        _lower(resource.RLIMIT_FSIZE, log_bytes)


def bind_memory(memory: int) -> None:
    """Refuse so many bytes of private memory from now on, beyond what this process has.

    RLIMIT_DATA counts writable private pages, which is what arrays and tensors are made of. RLIMIT_AS would also count
    what libraries only reserve: torch maps 3 GB of address space when it is imported, and CUDA far more.
    """
    if resource is not None:
        _lower(resource.RLIMIT_DATA, private_bytes() + memory)


def bind_time(seconds: float) -> None:
    """Let the kernel end this process after so many more seconds of processor time.

    This holds when the process that asked has died and nobody watches the clock any more.
    """
    if resource is not None:
        used = resource.getrusage(resource.RUSAGE_SELF)
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime + seconds) + 2, hard))


def _lower(which: int, value: int) -> None:
    _, hard = resource.getrlimit(which)
    bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (bound, bound))


def private_bytes() -> int:
    """Writable private memory of this process in bytes; its resident size where /proc does not tell."""
    try:
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmData:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return int(psutil.Process().memory_info().rss)
