"""A pickled state dict to a runner: tensors only, put into a network of segmentation-models-pytorch."""

import pickle
from collections.abc import Mapping
from typing import Any, Final

import torch
from torch import Tensor

from pipelines.errors import ModelError
from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.runners import OpenRequest
from pipelines.imports.models.runners.torch_network import TorchNetwork
from pipelines.imports.models.wire import one_line
from pipelines.models import build_model, required_multiple

_INSIDE: Final = ("state_dict", "model_state_dict", "model")  # where Lightning and common scripts put it
_LAST: Final = "segmentation_head.0.weight"


def open_model(request: OpenRequest) -> TorchNetwork:
    """Open a state dict, of a Lightning checkpoint too. Whatever is no tensor or plain value is never unpickled.

    Raises ModelError when it holds more than tensors, or does not fit the architecture and the encoder.
    """
    if request.architecture is None or request.encoder is None:
        raise ModelError(
            "MODEL-KIND: a state dict has no network in it; give --architecture and --encoder of "
            "segmentation-models-pytorch, or export the network as ONNX"
        )
    weights = _weights(request.path)
    kernels = [value for value in weights.values() if value.ndim == 4]
    if _LAST not in weights or not kernels:
        raise ModelError(
            f"MODEL-FILE: the state dict has no {_LAST}, so it is of no network of segmentation-models-pytorch with a "
            "segmentation head; export the network as ONNX"
        )
    inputs = kernels[0].shape[1]
    if inputs != 3:
        raise ModelError(f"MODEL-INPUT: the network takes {inputs} channels, state dicts of 3 are read; export ONNX")
    network = build_model(request.architecture, request.encoder, channels=weights[_LAST].shape[0])
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        lines = " ".join(str(error).split())
        raise ModelError(
            f"MODEL-FILE: the state dict does not fit {request.architecture} with {request.encoder} "
            f"({one_line(lines, limit=160)}); give those that it was trained with"
        ) from None
    read = Described(layout="NCHW", multiple=required_multiple(network))
    facts = Facts(input_shape=(None, inputs, None, None), read=read, source="the network")
    return TorchNetwork(network, facts, request)


def _weights(path: str) -> dict[str, Tensor]:
    try:
        # Never without weights_only, trusted or not: nothing is lost, and no code runs by mistake.
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise ModelError(
            "MODEL-TRUST: the pickle holds more than tensors and plain values, so opening it could run code; save "
            "model.state_dict() alone, or export the network as ONNX"
        ) from None
    except (RuntimeError, ValueError, EOFError, OSError, KeyError) as error:
        raise ModelError(f"MODEL-FILE: the state dict cannot be read ({one_line(str(error))}); save it again") from None
    for key in _INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise ModelError("MODEL-FILE: the file holds no state dict; save model.state_dict()")
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    last = next((key for key in tensors if key.endswith(_LAST)), _LAST)
    prefix = last.removesuffix(_LAST)  # "model." of Lightning, "module." of DataParallel
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
