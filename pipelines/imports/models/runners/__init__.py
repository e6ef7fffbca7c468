"""Kinds of models to what opens and runs them, inside a model's own process; one file a kind."""

import importlib
from typing import Any, Final, Literal, Protocol, TypeAlias

from numpy.typing import NDArray

from pipelines.config import Settings
from pipelines.imports.models.facts import Facts

Hardware: TypeAlias = Literal["cpu", "cuda"]

# Modules by name: importing one takes seconds, and a process needs one only.
RUNNERS: Final = {
    "own": "own",
    "smp": "smp",
    "onnx": "onnx_file",
    "torchscript": "torchscript",
    "state-dict": "state_dict",
}


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


class RunnerModule(Protocol):
    """What each kind's file offers; importing it imports its libraries."""

    def open_model(self, request: OpenRequest) -> Runner:
        """Open a file. Raises ModelError for what can be mended."""


def load(kind: str) -> RunnerModule:
    """Import what a kind needs. Raises ModuleNotFoundError when it is not installed."""
    module: Any = importlib.import_module(f"{__name__}.{RUNNERS[kind]}")
    return module
