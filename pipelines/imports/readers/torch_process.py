"""Files of torch.save opened by PyTorch in a sandbox: the end of `torch_files` that is named there in words only."""

import os
import pickle
import re
from typing import Any, Final

import numpy as np
import torch

from pipelines import sandbox
from pipelines.errors import DatasetError
from pipelines.imports.readers.arrays import IMAGE_BYTES
from pipelines.sandbox import Message
from pipelines.sentences import one_line

_MOST_BYTES: Final = 2**31  # of a file: PyTorch reads all of it
_MOST_TENSORS: Final = 5_000  # of a file: their names and shapes are one message
_MOST_LETTERS: Final = 2**17  # of all their names
_LOG_BYTES: Final = 2**16

_last: dict[str, Any] = {}  # the file that was read last, and its tensors


def start() -> None:
    """Bound this process, now that PyTorch is imported."""
    torch.set_num_threads(1)
    sandbox.stay_modest(_LOG_BYTES)
    sandbox.bind_memory(sandbox.MEMORY)


def answer(question: dict[str, Any], _: bytes) -> Message:
    """Names, shapes and dtypes of a file's tensors, or the values of one; what is wrong is an answer too.

    question: path, seconds; for values the tensor's number, and of a stack the image's, else None.
    """
    sandbox.bind_time(question["seconds"])
    try:
        tensors = _tensors(question["path"])
        if "number" not in question:
            return {"tensors": [(name, list(one.shape), _kind(one)) for name, one in tensors]}, b""
        _, tensor = tensors[question["number"]]
        return _values(tensor if question["image"] is None else tensor[question["image"]])
    except DatasetError as error:
        return {"error": str(error)}, b""
    except pickle.UnpicklingError as error:
        what = re.search(r"GLOBAL ([\w.]+)", str(error))
        other = f" ({what[1][:80]})" if what else ", or is damaged"
        return {"error": f"holds other objects{other}; nothing but tensors is unpickled"}, b""
    except Exception as error:  # of any kind, about any file
        return {"error": f"cannot be read by PyTorch ({one_line(str(error)) or type(error).__name__})"}, b""


def _tensors(path: str) -> list[tuple[str, Any]]:
    """Every tensor of a file by name, or by number in a list."""
    facts = os.stat(path)
    key = [path, facts.st_mtime_ns, facts.st_size]
    if _last.get("key") == key:
        found: list[tuple[str, Any]] = _last["tensors"]
        return found
    _last.clear()
    if facts.st_size > _MOST_BYTES:
        raise DatasetError(f"has {facts.st_size:,} bytes, at most {_MOST_BYTES:,} are read")
    content = torch.load(path, map_location="cpu", weights_only=True)
    if isinstance(content, torch.Tensor):
        found = [("", content)]
    elif isinstance(content, dict) and all(isinstance(name, str) for name in content):
        found = list(content.items())
    elif isinstance(content, list | tuple):
        found = [(str(number), one) for number, one in enumerate(content)]
    else:
        raise DatasetError(f"holds {type(content).__name__}, neither a tensor nor a dict or list of them")
    if len(found) > _MOST_TENSORS or sum(len(name) for name, _ in found) > _MOST_LETTERS:
        raise DatasetError(f"holds {len(found):,} tensors, at most {_MOST_TENSORS:,} with short names are read")
    for name, one in found:
        if not isinstance(one, torch.Tensor):
            raise DatasetError(f"holds {type(one).__name__} under {one_line(name)!r}")
        if one.layout != torch.strided or one.is_quantized or one.device.type != "cpu":
            raise DatasetError(f"holds a sparse, quantised or empty tensor under {one_line(name)!r}")
    _last.update(key=key, tensors=found)
    return found


def _kind(tensor: Any) -> str:
    """The dtype of the values that come back, as NumPy calls it; bfloat16 and what is smaller become float32."""
    kind = str(tensor.dtype).removeprefix("torch.")
    return "float32" if kind == "bfloat16" or kind.startswith("float8") else kind


def _values(tensor: Any) -> Message:
    kind = _kind(tensor)
    size = tensor.numel() * np.dtype(kind).itemsize
    if size > IMAGE_BYTES:
        raise DatasetError(f"has a tensor of {size:,} bytes for one image, at most {IMAGE_BYTES:,} are read")
    values = tensor.detach().to(getattr(torch, kind)).contiguous().resolve_neg().numpy()
    return {"dtype": values.dtype.str, "shape": list(values.shape)}, values.tobytes()
