"""A TorchScript file to a runner. It can run any code: only for files whose maker is trusted."""

import warnings

import torch

from pipelines.errors import ModelError
from pipelines.imports.models.facts import Facts
from pipelines.imports.models.runners import OpenRequest
from pipelines.imports.models.runners.torch_network import TorchNetwork
from pipelines.imports.models.wire import one_line


def open_model(request: OpenRequest) -> TorchNetwork:
    """Open a scripted or traced network. Raises ModelError when torch cannot read it."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
            network = torch.jit.load(request.path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"MODEL-FILE: TorchScript cannot be read ({one_line(str(error))}); save it again with torch.jit.save"
        ) from None
    return TorchNetwork(network, Facts(), request)
