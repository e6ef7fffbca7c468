"""The process of one model: bind itself to its limits, then answer requests to open and run until the pipe closes.

python -m pipelines.imports.models.child KIND LIMITS [--trust]. Requests come on standard input, answers leave on
standard output; whatever libraries print goes to standard error instead.
"""

import contextlib
import os
import sys
from typing import Any

import numpy as np

from pipelines.errors import ModelError
from pipelines.imports.models.kinds import KINDS
from pipelines.imports.models.limits import Limits, bind_memory, bind_time, stay_modest
from pipelines.imports.models.runners import OpenRequest, Runner, load
from pipelines.imports.models.wire import Pipe, one_line

_NO_MEMORY = ("allocate memory", "bad_alloc", "not enough memory", "out of memory", "Cannot allocate")


def serve(kind: str, limits: Limits, pipe: Pipe) -> None:
    """Answer requests. An error is an answer too; the process goes on until the other end is gone."""
    stay_modest()
    try:
        module = load(kind)
    except ModuleNotFoundError as error:
        pipe.send({"error": "missing", "message": one_line(str(error.name))})
        return
    pipe.send({"ready": True})
    bind_memory(limits)
    runner: Runner | None = None
    while True:
        header, payload = pipe.receive()
        opening = "open" in header
        bind_time(limits, limits.opening if opening else limits.seconds)
        try:
            if opening:
                runner = None  # the old one must not take memory from the new one
                runner = module.open_model(OpenRequest.model_validate(header["open"]))
                pipe.send({"facts": runner.facts.model_dump(mode="json")})
            elif runner is not None:
                _run(runner, header, payload, pipe)
        except EOFError:
            raise
        except ModelError as error:
            pipe.send({"error": "model", "message": one_line(str(error), limit=800)})
        except Exception as error:  # of any library, about any file: it becomes one line, and the next request may come
            reason = "memory" if _lacks_memory(error) else "failed"
            pipe.send({"error": reason, "message": one_line(f"{type(error).__name__}: {error}")})


def _run(runner: Runner, header: dict[str, Any], payload: bytearray, pipe: Pipe) -> None:
    batch = np.frombuffer(payload, header["dtype"]).reshape(header["shape"])
    out = np.asarray(runner.run(batch))
    real = out.dtype.kind == "f"
    values = np.ascontiguousarray(out, np.float32) if real and out.size else np.empty(0, np.float32)
    answer = {"shape": list(out.shape), "dtype": str(out.dtype)}
    pipe.send(answer, values.reshape(-1).view(np.uint8).data if values.size else b"")


def _lacks_memory(error: Exception) -> bool:
    return isinstance(error, MemoryError) or any(words in str(error) for words in _NO_MEMORY)


def main(arguments: list[str]) -> int:
    """Exit status 0 when the other end closed the pipe, 2 for a kind that needs trust and did not get it."""
    kind, limits = arguments[0], Limits.model_validate_json(arguments[1])
    if "--trust" not in arguments[2:] and any(one.runs_code for one in KINDS if one.name == kind):
        return 2
    answers = os.dup(1)
    os.dup2(2, 1)
    with contextlib.suppress(EOFError):  # the other end has closed the pipe
        serve(kind, limits, Pipe(0, answers))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
