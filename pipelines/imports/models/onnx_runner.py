"""An ONNX file to a runner by onnxruntime; a file that wants to read other files is refused."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import onnx
import onnxruntime as ort
from google.protobuf.message import DecodeError, Message  # type: ignore[import-untyped]
from numpy.typing import NDArray
from onnx import TensorProto

from pipelines.errors import ModelError
from pipelines.imports.models.process import OpenRequest
from pipelines.imports.models.settings import Described, Facts, first_line

_MOST_BYTES: Final = 2**31 - 1  # what a protobuf can hold
_PREFIX: Final = "segmentation."
_LISTS: Final = ("mean", "std", "classes")
_TYPES: Final = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(uint8)": "uint8",
}
_PROVIDERS: Final = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


class OnnxNetwork:
    """A session of onnxruntime."""

    def __init__(self, session: ort.InferenceSession, facts: Facts) -> None:
        self.facts = facts
        self._session = session
        self._input = session.get_inputs()[0].name

    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """One batch to the chosen output, as the network gives it. Raises ModelError when there is a choice."""
        if not self.facts.output:
            listed = ", ".join(first_line(name, 64) for name in self.facts.outputs[:20])
            raise ModelError(f"MODEL-OUTPUT: the network has the outputs {listed}; choose one with --tensor")
        try:
            (out,) = self._session.run([self.facts.output], {self._input: batch})
        except Exception as error:  # onnxruntime's own types have no common base
            raise _refusal("the network cannot be run on this image", error) from None
        return out


def open_onnx(request: OpenRequest) -> OnnxNetwork:
    """Open a file on the CPU, or where it was asked for. Raises ModelError for what onnxruntime cannot read or run."""
    raw = _read(Path(request.path))
    read = _look_into(raw)
    provider = _PROVIDERS[request.hardware]
    if provider not in ort.get_available_providers():
        raise ModelError(f"MODEL-DEVICE: this onnxruntime has no {provider}; leave --device out")
    options = ort.SessionOptions()
    options.intra_op_num_threads = request.threads
    options.log_severity_level = 4  # what is wrong comes as an exception
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = ort.InferenceSession(raw, options, providers=[provider])
    except Exception as error:  # onnxruntime's own types have no common base
        raise _refusal("onnxruntime cannot open the file", error) from None
    return OnnxNetwork(session, _facts(session, read, request.tensor))


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ModelError(f"MODEL-FILE: the file has more than {_MOST_BYTES:,} bytes; export with 16-bit weights")
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"MODEL-FILE: the file cannot be read ({first_line(str(error))}); copy it again") from None


def _look_into(raw: bytes) -> Described:
    """The settings in the file's metadata, once it is known to need no other file."""
    try:
        model = onnx.load_model_from_string(raw)
    except DecodeError:
        raise ModelError("MODEL-FILE: the file is damaged or no ONNX; export it again") from None
    for tensor in _tensors(model):
        if tensor.external_data or tensor.data_location == TensorProto.EXTERNAL:
            raise ModelError(
                f"MODEL-EXTERNAL: tensor {first_line(tensor.name, 64)!r} lies in another file, which is never "
                "read; export with all weights in one file: torch.onnx.export(…, external_data=False)"
            )
    return _metadata({entry.key: entry.value for entry in model.metadata_props})


def _tensors(message: Message) -> Iterator[Any]:
    """Every TensorProto anywhere in a message: weights, constants, subgraphs, functions."""
    pending: list[Any] = [message]
    while pending:
        one = pending.pop()
        if isinstance(one, TensorProto):
            yield one
            continue
        for field, value in one.ListFields():
            if field.type == field.TYPE_MESSAGE:
                pending.extend([value] if isinstance(value, Message) else value)


def _metadata(found: dict[str, str]) -> Described:
    said = {key.removeprefix(_PREFIX): value for key, value in found.items() if key.startswith(_PREFIX)}
    values: dict[str, Any] = {}
    for key, text in said.items():
        if key not in Described.model_fields:
            raise ModelError(
                f"MODEL-METADATA: the file has {first_line(_PREFIX + key, 64)}; known are "
                f"{', '.join(Described.model_fields)}, each behind {_PREFIX}; correct its metadata"
            )
        values[key] = [part.strip() for part in text.split(",")] if key in _LISTS else text
    if "size" in values and values["size"] != "own":
        values["size"] = values["size"].split("x")
    if "scale" in values:
        values["scale"] = {"1": 1, "255": 255}.get(values["scale"], values["scale"])
    try:
        return Described.model_validate(values)
    except ValueError as error:
        raise ModelError(
            f"MODEL-METADATA: {_PREFIX}* in the file: {first_line(' '.join(str(error).splitlines()[1:3]))}; correct it"
        ) from None


def _facts(session: ort.InferenceSession, read: Described, wanted: str | None) -> Facts:
    inputs, outputs = session.get_inputs(), [one.name for one in session.get_outputs()]
    listed = ", ".join(first_line(name, 64) for name in outputs[:20])
    if len(inputs) != 1 or inputs[0].type not in _TYPES or len(inputs[0].shape or ()) != 4:
        told = ", ".join(f"{first_line(axes.name, 64)} {axes.type} {axes.shape}" for axes in inputs[:5])
        raise ModelError(
            f"MODEL-INPUT: the network takes {first_line(told)}; wanted is one input of four axes, (N, C, H, W) or "
            "(N, H, W, C), float or uint8"
        )
    if wanted is not None and wanted not in outputs:
        raise ModelError(
            f"MODEL-OUTPUT: the network has no output {first_line(wanted, 64)!r}, but {listed}; choose one of "
            "these with --tensor"
        )
    only = outputs[0] if len(outputs) == 1 else ""  # of several nobody but the user can choose
    shape = tuple(axis if isinstance(axis, int) and axis > 0 else None for axis in inputs[0].shape)
    return Facts.model_validate(
        {
            "input_shape": shape,
            "dtype": _TYPES[inputs[0].type],
            "outputs": outputs,
            "output": wanted or only,
            "read": read,
            "source": "its metadata",
        }
    )


def _refusal(what: str, error: Exception) -> Exception:
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : ([A-Z_]+) : ", r"\1: ", str(error))
    if "allocate memory" in text or "bad_alloc" in text:
        return MemoryError(text)
    return ModelError(f"MODEL-FILE: {what} ({first_line(text)}); export it again")
