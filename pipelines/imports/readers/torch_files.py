"""Files of torch.save to outputs: a tensor, a dict of tensors by name, or a list of tensors beside a list of names.

They are pickles, so PyTorch opens them with weights_only=True, in a process of its own with bounded memory and time
(`torch_process`), which gives numbers back.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines import sandbox
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import DatasetError, ShapeError
from pipelines.imports.readers.arrays import IMAGE_BYTES, check_stack, only_array, read_names
from pipelines.imports.sources import Files, FileSource, Names, OutputSource, Said, stem
from pipelines.misuse import check_form
from pipelines.sandbox import Message, Sandbox, SandboxError
from pipelines.sentences import count_of, one_line

SUFFIXES: Final = (".pt", ".pth")
_SECONDS: Final = 120.0  # a file may take, and PyTorch to be imported on a busy machine
_SAVE: Final = "save plain tensors: torch.save(logits[i].float().cpu(), name), or a dict of them by image"


class _Tensor(NamedTuple):
    """One tensor: of which file, its number and name there ("" of a file that is one tensor), its shape and dtype.

    image: its number in a stack. plane: whether an image of the stack is (H, W).
    """

    path: Path
    number: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    image: int | None = None
    plane: bool = False


def recognise(files: Files) -> bool:
    """Whether there are files of torch.save, by their names."""
    return any(name.lower().endswith(SUFFIXES) for name in files)


def open_torch(files: Files, said: Said, dataset: Dataset) -> OutputSource:
    """Open .pt and .pth files. Raises ConfigError or DatasetError."""
    known = Names(dataset.names())
    declaration = said.declare()
    with _process.in_use():
        found: list[tuple[str, _Tensor]] = []
        for name, path in files.items():
            if name.lower().endswith(SUFFIXES):
                found += _inside(name, path, files, known, said)
        return _Tensors(declaration, found, dataset.names())


def _inside(name: str, path: Path, files: Files, known: Names, said: Said) -> list[tuple[str, _Tensor]]:
    """Outputs in one file, with the names they go by."""
    tensors = _process.table(path)
    if any(tensor.name.endswith((".weight", ".running_mean")) for tensor in tensors):
        raise DatasetError(f"{one_line(name)} holds the weights of a network; give it to import-model, or {_SAVE}")
    by_name = {tensor.name: tensor for tensor in tensors}
    names = files.get(f"{stem(name)}.txt")
    if names is not None and len(by_name) == 1:
        (tensor,), lines = tensors, read_names(names)
        plane = check_stack(tensor.shape, lines, path.name, names.name)
        return [(line, tensor._replace(image=number, plane=plane)) for number, line in enumerate(lines)]
    if names is not None:
        lines = read_names(names)
        if len(lines) != len(tensors):
            raise DatasetError(
                f"{one_line(name)} holds {count_of(len(tensors), 'tensor')}, {names.name} has {len(lines)} names; "
                "write one name for each, in order"
            )
        return list(zip(lines, tensors, strict=True))
    if known.image(stem(name)) is not None:
        return [(stem(name), by_name[only_array(tuple(by_name), name, said)])]
    if any(tensor.name.isdecimal() or not tensor.name for tensor in tensors):  # a list, or one without a name
        raise DatasetError(
            f"{one_line(name)} is called after no image; write the names of its images, in order and one a line, into "
            f"{one_line(stem(name))}.txt beside it, or save a dict of tensors by name"
        )
    return list(by_name.items())


class _Tensors(FileSource[_Tensor]):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._use = ExitStack()
        self._use.enter_context(_process.in_use())

    def size_of(self, place: _Tensor) -> tuple[int, int] | None:
        return (place.shape[-2], place.shape[-1]) if len(place.shape) >= 2 else None

    def load(self, place: _Tensor, item: Item) -> NDArray[Any]:
        try:
            check_form(place.shape, np.dtype(place.dtype))
        except (ShapeError, TypeError) as error:  # a dtype that NumPy does not have
            raise ShapeError(f"{one_line(place.path.name)}: {one_line(str(error), 600)}; {_SAVE}") from None
        stacked = place.image is not None and len(place.shape) > (2 if place.plane else 3)
        return _process.values(place.path, place.number, place.image if stacked else None)

    def close(self) -> None:
        self._use.close()


# Our side ------------------------------------------------------------------------------------------------------------


class _Process:
    """One process for all files, since each takes PyTorch's memory; it starts when it is first asked."""

    def __init__(self) -> None:
        self._users = 0
        self._sandbox: Sandbox | None = None
        self._lock = threading.Lock()

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """While anybody is in here, the process stays."""
        self._users += 1
        try:
            yield
        finally:
            self._users -= 1
            if not self._users and self._sandbox is not None:
                self._sandbox.close()
                self._sandbox = None

    def table(self, path: Path) -> list[_Tensor]:
        """Every tensor of a file, without its values. Raises DatasetError."""
        header, _ = self._ask(path, {"path": str(path)})
        try:
            found = [
                _Tensor(path, number, str(name), tuple(map(int, shape)), str(kind))
                for number, (name, shape, kind) in enumerate(header["tensors"])
            ]
        except (LookupError, TypeError, ValueError):
            raise _nonsense(path) from None
        if not found:
            raise DatasetError(f"{one_line(path.name)} holds no tensor; {_SAVE}")
        return found

    def values(self, path: Path, number: int, image: int | None) -> NDArray[Any]:
        """A tensor of a file, or one image of it. Raises DatasetError."""
        header, body = self._ask(path, {"path": str(path), "number": number, "image": image})
        try:
            return np.frombuffer(body, str(header["dtype"])).reshape(header["shape"])
        except (LookupError, TypeError, ValueError):
            raise _nonsense(path) from None

    def _ask(self, path: Path, question: Mapping[str, Any]) -> Message:
        name = one_line(path.name)
        with self._lock:
            if self._sandbox is None or not self._sandbox.alive:
                code = "from pipelines.imports.readers.torch_process import answer, start\nstart()\nserve(answer)"
                self._sandbox = Sandbox(code, environment={"OMP_NUM_THREADS": "1"})
            try:
                header, body = self._sandbox.ask({**question, "seconds": _SECONDS}, seconds=_SECONDS, limit=IMAGE_BYTES)
            except SandboxError as error:
                why = f"it took more than {_SECONDS:g} s" if error.reason == "time" else "the process ended"
                raise DatasetError(
                    f"{name} could not be read by PyTorch ({why}, most likely because it is damaged or too large for "
                    f"{sandbox.MEMORY / 2**30:.3g} GiB); save one tensor an image"
                ) from None
        if "error" in header:
            raise DatasetError(f"{name} {one_line(str(header['error']), 600)}; {_SAVE}")
        return header, body


_process: Final = _Process()


def _nonsense(path: Path) -> DatasetError:
    return DatasetError(f"{one_line(path.name)} got no sensible answer from the process that reads it; save it again")
