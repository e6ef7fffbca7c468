"""A model's own process, seen from outside: started, asked, and done away with when it breaks a limit."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from pipelines.errors import ModelError
from pipelines.imports.models.facts import Facts
from pipelines.imports.models.limits import Limits, resident_bytes
from pipelines.imports.models.wire import PAYLOAD_LIMIT, Pipe, WireError, one_line

_ROOT: Final = Path(__file__).resolve().parents[3]
_CHILD: Final = "pipelines.imports.models.child"
_STARTING_SECONDS: Final = 120.0  # importing torch on a busy machine
_DYING_SECONDS: Final = 2.0
# All a model's process is told of our surroundings: no tokens, no addresses.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "HF_HOME", "HF_HUB_CACHE",
                       "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")  # fmt: skip
_INSTALL: Final = "python -m pip install -r requirements-onnx.txt"


class _Grown(Exception):
    """The process holds more memory than it may."""


class ModelProcess:
    """One process with at most one open model. Every way it can fail is one ModelError line that begins with a code.

    name: what messages call the model. trust: whether kinds that can run any code are served.
    """

    def __init__(self, kind: str, name: str, *, limits: Limits, trust: bool = False) -> None:
        self.name, self._limits = one_line(name, limit=120), limits
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the process)
        command = [sys.executable, "-P", "-m", _CHILD, kind, limits.model_dump_json(), *(["--trust"] if trust else [])]
        self._process = subprocess.Popen(
            command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, cwd="/",
            env=_environment(limits),
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._bound: int | None = None  # bytes of resident memory, once its libraries are in
        self._pipe = Pipe(self._process.stdout.fileno(), self._process.stdin.fileno(), look=self._look)
        try:
            header, _ = self._answer("start", _STARTING_SECONDS, 0)
            if header.get("error") == "missing":
                raise ModelError(self._missing(str(header.get("message"))))
            self._bound = (resident_bytes(self._process.pid) or 0) + limits.memory
        except BaseException:
            self.close()
            raise

    def open(self, request: dict[str, Any]) -> Facts:
        """Open a file, as `OpenRequest` describes it, in the place of the one that was open."""
        header, _ = self._ask({"open": request}, b"", self._limits.opening, 0, "open")
        try:
            return Facts.model_validate(header.get("facts"))
        except ValidationError:
            self.close()
            raise ModelError(self._nonsense()) from None

    def run(self, batch: NDArray[Any]) -> tuple[tuple[int, ...], str, NDArray[np.float32]]:
        """One batch through the network: shape and dtype of its output, and the values as float32.

        The values are empty where the output is not of real numbers.
        """
        question = {"shape": list(batch.shape), "dtype": str(batch.dtype)}
        payload = np.ascontiguousarray(batch).reshape(-1).view(np.uint8).data
        header, body = self._ask(question, payload, self._limits.seconds, PAYLOAD_LIMIT, "image")
        try:
            shape, dtype = tuple(int(axis) for axis in header["shape"]), one_line(str(header["dtype"]), limit=32)
            values = np.frombuffer(body, np.float32)
            if not dtype.startswith("float"):
                return shape, dtype, values[:0]
            return shape, dtype, values.reshape(shape)
        except (KeyError, TypeError, ValueError, OverflowError):
            self.close()
            raise ModelError(self._nonsense()) from None

    def _ask(
        self, question: dict[str, Any], payload: bytes | memoryview, seconds: float, limit: int, what: str
    ) -> tuple[dict[str, Any], bytearray]:
        deadline = time.monotonic() + seconds
        try:
            self._pipe.send(question, payload, deadline=deadline)
        except TimeoutError:
            self.close()
            raise ModelError(self._too_slow(what, seconds)) from None
        except EOFError:
            raise ModelError(self._died()) from None
        except _Grown:
            self.close()
            raise ModelError(self._too_large()) from None
        header, body = self._answer(what, deadline - time.monotonic(), limit, told=seconds)
        message = one_line(str(header.get("message", "")), limit=800)
        match header.get("error"):
            case None:
                return header, body
            case "model":
                code, colon, rest = message.partition(": ")
                coded = bool(colon) and code.replace("-", "").isupper()
                raise ModelError(f"{code}: {self.name}: {rest}" if coded else f"MODEL-FILE: {self.name}: {message}")
            case "memory":
                raise ModelError(self._too_large())
            case _:
                raise ModelError(
                    f"MODEL-FAILED: {self.name} cannot be {'opened' if what == 'open' else 'run'} ({message}); export "
                    "it again, or look at size and layout of its input"
                )

    def _answer(
        self, what: str, seconds: float, limit: int, *, told: float | None = None
    ) -> tuple[dict[str, Any], bytearray]:
        try:
            return self._pipe.receive(deadline=time.monotonic() + seconds, limit=limit)
        except TimeoutError:
            self.close()
            raise ModelError(self._too_slow(what, told or seconds)) from None
        except EOFError:
            raise ModelError(self._died()) from None
        except _Grown:
            self.close()
            raise ModelError(self._too_large()) from None
        except WireError:
            self.close()
            raise ModelError(self._nonsense()) from None

    def _look(self) -> None:
        """Raise _Grown when the process holds more memory than it may, whatever kind of memory the kernel calls it."""
        if self._bound is not None and (resident_bytes(self._process.pid) or 0) > self._bound:
            raise _Grown

    @property
    def alive(self) -> bool:
        """Whether there is a process to ask."""
        return self._process.poll() is None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _died(self) -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_DYING_SECONDS)
        status = self._process.returncode
        self.close()
        if status == -signal.SIGXCPU:
            return self._too_slow("image", self._limits.seconds)
        if status == -signal.SIGKILL:
            why = "it was killed, most likely by the system because memory ran out"
        elif status is not None and status < 0:
            why = f"it crashed ({_signal_name(-status)})"
        else:
            why = f"it ended with status {status}"
        return (
            f"MODEL-DIED: the process of {self.name} has ended: {why}. The file may be damaged, or need more than "
            f"{_gigabytes(self._limits.memory)}; export it again, or give more with --memory"
        )

    def _too_slow(self, what: str, seconds: float) -> str:
        did = {"open": "was not open", "image": "had not finished an image", "start": "had not started"}[what]
        option = {"open": "--opening-seconds", "image": "--seconds"}.get(what)
        mend = f"give it more with {option}, or smaller images" if option else "try again when the machine is less busy"
        return f"MODEL-TIME: {self.name} {did} after {seconds:g} s and was stopped; {mend}"

    def _too_large(self) -> str:
        return (
            f"MODEL-MEMORY: {self.name} needs more than the {_gigabytes(self._limits.memory)} of memory it may take; "
            "give more with --memory, or smaller images with --size"
        )

    def _nonsense(self) -> str:
        return f"MODEL-ANSWER: the process of {self.name} gave no sensible answer and was stopped; export it again"

    def _missing(self, module: str) -> str:
        if module.split(".")[0] in ("onnx", "onnxruntime", "google"):
            return f"MODEL-ONNX: {self.name} is ONNX, for which {module} is not installed; {_INSTALL}"
        return f"MODEL-LIBRARY: {module}, which {self.name} needs, is not installed; install requirements.txt"


def _environment(limits: Limits) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    if limits.threads:
        kept["OMP_NUM_THREADS"] = str(limits.threads)
    return kept | {
        "PYTHONPATH": str(_ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_WAIT_POLICY": "PASSIVE",  # waiting threads must not spin beside viewers
        "HF_HUB_OFFLINE": "1",
    }


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"
