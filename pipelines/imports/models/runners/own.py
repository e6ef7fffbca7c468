"""The folder of one head of one of our runs to a runner: head.json says everything that has to be known."""

from pathlib import Path

from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.runners import OpenRequest
from pipelines.imports.models.runners.torch_network import TorchNetwork
from pipelines.misuse import head_check
from pipelines.models import load_model, required_multiple


def open_model(request: OpenRequest) -> TorchNetwork:
    """Open a saved head. Raises ModelError when its files are missing, damaged or do not fit each other."""
    network, head = load_model(Path(request.path))
    declared = head_check(head.spec).declaration
    read = Described(
        mean=head.mean,
        std=head.std,
        scale=1,
        order="RGB",
        layout="NCHW",
        size=head.size or "own",
        multiple=required_multiple(network),
        head=declared.head,
        values=declared.values,
        classes=declared.classes,
        background=declared.background,
    )
    return TorchNetwork(network, Facts(input_shape=(None, 3, None, None), read=read, source="head.json"), request)
