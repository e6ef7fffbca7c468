"""A model's own process: started, asked to open a file and to run it, and done away with when it breaks a limit.

The same module is both ends: `ModelProcess` asks, `Server` answers in the sandbox.
"""

import importlib
import os
import signal
from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Protocol, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from pipelines import sandbox
from pipelines.config import Settings
from pipelines.errors import ModelError
from pipelines.imports.models.settings import Facts, first_line
from pipelines.sandbox import PAYLOAD_LIMIT, Message, Sandbox, SandboxError

Hardware: TypeAlias = Literal["cpu", "cuda"]

# Where each kind is opened; modules by name, because importing one takes seconds and a process needs one only.
RUNNERS: Final = {
    "own": ("torch_runners", "open_own"),
    "smp": ("torch_runners", "open_pretrained"),
    "onnx": ("onnx_runner", "open_onnx"),
    "torchscript": ("torch_runners", "open_torchscript"),
    "state-dict": ("torch_runners", "open_state_dict"),
}
RUN_CODE: Final = ("torchscript", "state-dict")  # opening or running these can run any code of whoever made the file

_CODE: Final = "from pipelines.imports.models.process import Server\nserve(Server())"
_STARTING_SECONDS: Final = 120.0  # importing torch on a busy machine
_LOG_BYTES: Final = 2**16
_KEPT: Final = ("HF_HOME", "HF_HUB_CACHE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")  # of our environment
_INSTALL: Final = "python -m pip install -r requirements-onnx.txt"
_NO_MEMORY: Final = ("allocate memory", "bad_alloc", "not enough memory", "out of memory", "Cannot allocate")


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


class OpenRequest(Settings):
    """What to open. tensor: name or number of the output to read. architecture, encoder: of a state dict's network."""

    path: str
    tensor: str | None = None
    architecture: str | None = None
    encoder: str | None = None
    hardware: Hardware = "cpu"
    threads: int = 0


class Runner(Protocol):
    """An open model."""

    facts: Facts

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """One batch to the chosen output, as the network gives it."""


# Our side -------------------------------------------------------------------------------------------------------------


class ModelProcess:
    """One process with at most one open model. Every way it can fail is one ModelError line that begins with a code.

    name: what messages call the model. trust: whether kinds that can run any code are served.
    """

    def __init__(self, kind: str, name: str, *, limits: Limits, trust: bool = False) -> None:
        self.name, self._limits = first_line(name, 120), limits
        self._sandbox = Sandbox(_CODE, environment=_environment(limits))
        try:
            start = {"start": kind, "limits": limits.model_dump(mode="json"), "trust": trust}
            header, _ = self._ask(start, _STARTING_SECONDS, "start")
            if header.get("error") == "missing":
                raise ModelError(self._missing(str(header.get("message"))))
            self._sandbox.memory_bound = (sandbox.resident_bytes(self.pid) or 0) + limits.memory
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._sandbox.pid

    @property
    def alive(self) -> bool:
        """Whether there is a process to ask."""
        return self._sandbox.alive

    def open(self, request: OpenRequest) -> Facts:
        """Open a file in the place of the one that was open."""
        header, _ = self._ask({"open": request.model_dump()}, self._limits.opening, "open")
        try:
            return Facts.model_validate(header.get("facts"))
        except ValidationError:
            raise self._nonsense() from None

    def run(self, batch: NDArray[Any]) -> tuple[tuple[int, ...], str, NDArray[np.float32]]:
        """One batch through the network: shape and dtype of its output, and the values as float32.

        The values are empty where the output is not of real numbers.
        """
        question = {"shape": list(batch.shape), "dtype": str(batch.dtype)}
        payload = np.ascontiguousarray(batch).reshape(-1).view(np.uint8).data
        header, body = self._ask(question, self._limits.seconds, "image", payload, limit=PAYLOAD_LIMIT)
        try:
            shape, dtype = tuple(int(axis) for axis in header["shape"]), first_line(str(header["dtype"]), 32)
            values = np.frombuffer(body, np.float32)
            return shape, dtype, values.reshape(shape) if dtype.startswith("float") else values[:0]
        except (KeyError, TypeError, ValueError, OverflowError):
            raise self._nonsense() from None

    def close(self) -> None:
        """End the process, whatever it does."""
        self._sandbox.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _ask(
        self, question: dict[str, Any], seconds: float, what: str, payload: bytes | memoryview = b"", *, limit: int = 0
    ) -> Message:
        try:
            header, body = self._sandbox.ask(question, payload, seconds=seconds, limit=limit)
        except SandboxError as error:
            match error.reason:
                case "time":
                    raise ModelError(self._too_slow(what, seconds)) from None
                case "memory":
                    raise ModelError(self._too_large()) from None
                case "answer":
                    raise self._nonsense() from None
                case "died":
                    raise ModelError(self._died(error.status)) from None
        message = first_line(str(header.get("message", "")), 800)
        match header.get("error"):
            case None | "missing":
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

    def _died(self, status: int | None) -> str:
        if status is not None and status == -getattr(signal, "SIGXCPU", 0):
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

    def _nonsense(self) -> ModelError:
        self.close()
        return ModelError(
            f"MODEL-ANSWER: the process of {self.name} gave no sensible answer and was stopped; export it again"
        )

    def _missing(self, module: str) -> str:
        if module.split(".")[0] in ("onnx", "onnxruntime", "google"):
            return f"MODEL-ONNX: {self.name} is ONNX, for which {module} is not installed; {_INSTALL}"
        return f"MODEL-LIBRARY: {module}, which {self.name} needs, is not installed; install requirements.txt"


def _environment(limits: Limits) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ} | {"HF_HUB_OFFLINE": "1"}
    return kept | ({"OMP_NUM_THREADS": str(limits.threads)} if limits.threads else {})


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _gigabytes(count: int) -> str:
    return f"{count / 2**30:.3g} GiB"


# Its side -------------------------------------------------------------------------------------------------------------


class Server:
    """Answers to open and run, with the file that was opened last. An error is an answer too; the process goes on."""

    def __init__(self) -> None:
        self._limits = Limits()
        self._open_model: Callable[[OpenRequest], Runner] | None = None
        self._runner: Runner | None = None

    def __call__(self, question: dict[str, Any], payload: bytes) -> Message:
        """One answer. Ends the process with status 2 for a kind that needs trust and did not get it."""
        if "start" in question:
            return self._start(question), b""
        opening = "open" in question
        sandbox.bind_time((self._limits.opening if opening else self._limits.seconds) * self._limits.cores)
        try:
            if not opening:
                return self._run(question, payload)
            self._runner = None  # the old one must not take memory from the new one
            assert self._open_model is not None
            self._runner = self._open_model(OpenRequest.model_validate(question["open"]))
            return {"facts": self._runner.facts.model_dump(mode="json")}, b""
        except ModelError as error:
            return {"error": "model", "message": first_line(str(error), 800)}, b""
        except Exception as error:  # of any library, about any file: it becomes one line, and the next request may come
            full = isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)
            message = first_line(f"{type(error).__name__}: {error}")
            return {"error": "memory" if full else "failed", "message": message}, b""

    def _start(self, question: dict[str, Any]) -> dict[str, Any]:
        kind = question["start"]
        if kind in RUN_CODE and not question["trust"]:
            raise SystemExit(2)
        self._limits = Limits.model_validate(question["limits"])
        sandbox.stay_modest(_LOG_BYTES)
        module, function = RUNNERS[kind]
        try:
            runners = importlib.import_module(f"pipelines.imports.models.{module}")
        except ModuleNotFoundError as error:
            return {"error": "missing", "message": first_line(str(error.name))}
        self._open_model = getattr(runners, function)
        sandbox.bind_memory(self._limits.memory)
        return {"ready": True}

    def _run(self, question: dict[str, Any], payload: bytes) -> Message:
        assert self._runner is not None
        batch = np.frombuffer(payload, question["dtype"]).reshape(question["shape"]).copy()  # networks may write to it
        out = np.asarray(self._runner.run(batch))
        real = out.dtype.kind == "f" and out.size
        values = np.ascontiguousarray(out, np.float32).tobytes() if real else b""
        return {"shape": list(out.shape), "dtype": str(out.dtype)}, values
