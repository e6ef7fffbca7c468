"""Models that somebody brings, run by us over their data, each in a process of its own with a memory limit.

    found = inspect_model(Path("model.onnx"))          # what is in the file: kind, inputs, outputs, channels
    with ExitStack() as stack:
        opened = open_models({"sigmoid": Wanted("model.onnx", Described(...))}, dataset, ("val", "test"), stack,
                             limits=Limits())
        make_import(config, {head: one.sources for head, one in opened.items()}, ...)

This process imports neither torch nor onnxruntime and never parses a model's file (docs/import-models.md).
"""

from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.inspection import Inspection, inspect_model
from pipelines.imports.models.kinds import KINDS, Kind, recognise
from pipelines.imports.models.limits import Limits
from pipelines.imports.models.opening import OpenedModel, Wanted, open_models, usual_channels
from pipelines.imports.models.source import ModelSource

__all__ = [
    "KINDS",
    "Described",
    "Facts",
    "Inspection",
    "Kind",
    "Limits",
    "ModelSource",
    "OpenedModel",
    "Wanted",
    "inspect_model",
    "open_models",
    "recognise",
    "usual_channels",
]
