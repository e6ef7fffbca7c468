"""A torch network to a runner: one batch in, the chosen output back."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.errors import ModelError
from pipelines.imports.models.facts import Facts
from pipelines.imports.models.runners import OpenRequest


class TorchNetwork:
    """A network in eval mode on its device.

    request.tensor: key or number of the output to read where there are several; by default the first of a sequence,
    and `out` of a mapping, as in torchvision.
    """

    def __init__(self, network: nn.Module, facts: Facts, request: OpenRequest) -> None:
        if request.threads:
            torch.set_num_threads(request.threads)
        if request.hardware == "cuda" and not torch.cuda.is_available():
            raise ModelError("MODEL-DEVICE: there is no CUDA device here; leave --device out")
        self.facts = facts
        self._tensor = request.tensor
        self._device = torch.device(request.hardware)
        self._network = network.to(self._device).eval()

    @torch.inference_mode()
    def run(self, batch: NDArray[Any]) -> NDArray[Any]:
        """One batch to the chosen output, as the network gives it."""
        chosen = _choose(self._network(torch.from_numpy(batch).to(self._device)), self._tensor)
        real = chosen.float() if chosen.is_floating_point() else chosen  # numpy knows no bfloat16
        return real.cpu().numpy()


def _choose(out: Any, wanted: str | None) -> Tensor:
    if isinstance(out, Mapping):
        named = {str(key): value for key, value in out.items()}
        key = wanted or ("out" if "out" in named else next(iter(named), ""))
    elif isinstance(out, Sequence):
        named = {str(index): value for index, value in enumerate(out)}
        key = wanted or "0"
    else:
        named, key = {"0": out}, wanted or "0"
    if not isinstance(named.get(key), Tensor):
        raise ModelError(
            f"MODEL-OUTPUT: the network has no tensor {key!r} among its outputs ({', '.join(named)}); choose one with "
            "--tensor"
        )
    return named[key]
