"""A request to import models to what is said of each of them when it is opened."""

from typing import Any, Final

from pipelines.config import build
from pipelines.imports.models.opening import Wanted
from pipelines.imports.models.settings import Described
from pipelines.requests import HeadModel, ModelImportRequest
from pipelines.schema import Head

# The network sees (scale · image - mean) / std with images in [0, 1].
NORMALISATIONS: Final[dict[str, dict[str, Any]]] = {
    "imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1},
    "0-1": {"mean": (0.0,), "std": (1.0,), "scale": 1},
    "-1-1": {"mean": (0.5,), "std": (0.5,), "scale": 1},
    "0-255": {"mean": (0.0,), "std": (1.0,), "scale": 255},
}


def wanted_models(request: ModelImportRequest) -> dict[Head, Wanted]:
    """What is said of each head's model, as it is opened. Raises ConfigError for what makes no sense."""
    shared = request.model_dump(include={"layout", "size", "multiple", "background"}) | {
        "order": request.channels_order
    }
    network = request.model_dump(include={"architecture", "encoder", "seed"})
    wanted = {}
    for head, model in request.heads.items():
        values = None if model.output is None else "logits" if model.output == "logits" else "probabilities"
        said = {"values": values, "classes": model.classes}
        described = build(Described, shared | _preparation(model) | said)
        wanted[head] = Wanted(path=model.path, described=described, tensor=model.tensor, **network)
    return wanted


def _preparation(model: HeadModel) -> dict[str, Any]:
    if model.normalisation is not None:
        return NORMALISATIONS[model.normalisation]
    return {"mean": model.mean, "std": model.std}
