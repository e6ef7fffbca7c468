"""A folder that save_pretrained of segmentation-models-pytorch wrote to a runner."""

import json
import re
import warnings
from pathlib import Path
from typing import Any, Final

import segmentation_models_pytorch as smp
from safetensors import SafetensorError
from safetensors.torch import load_file

from pipelines.errors import ModelError
from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.runners import OpenRequest
from pipelines.imports.models.runners.torch_network import TorchNetwork
from pipelines.imports.models.wire import one_line
from pipelines.models import required_multiple
from pipelines.models.build import create

_CONFIG_BYTES: Final = 2**20
# An encoder's name with ":" or "/" would make timm look on a hub or in a folder.
_ENCODER: Final = re.compile(r"[A-Za-z0-9_.-]+")
_ACTIVATIONS: Final[dict[str | None, dict[str, str]]] = {
    None: {"values": "logits"},
    "identity": {"values": "logits"},
    "sigmoid": {"head": "sigmoid", "values": "probabilities"},
    "softmax2d": {"head": "softmax", "values": "probabilities"},
    "softmax": {"head": "softmax", "values": "probabilities"},
    "logsoftmax": {"head": "softmax", "values": "logits"},  # its softmax gives the same probabilities back
}


def open_model(request: OpenRequest) -> TorchNetwork:
    """Open a folder: the network of config.json with the weights of model.safetensors, every one of them.

    Raises ModelError when a file is missing or damaged, or they do not fit each other.
    """
    folder = Path(request.path)
    config = _read_config(folder / "config.json")
    architecture, encoder = config.pop("_model_class", None), config.get("encoder_name", "resnet34")
    if not isinstance(architecture, str) or not isinstance(encoder, str) or not _ENCODER.fullmatch(encoder):
        raise ModelError(
            f"MODEL-FILE: config.json names the network {one_line(str(architecture))!r} with the encoder "
            f"{one_line(str(encoder))!r}, which segmentation-models-pytorch does not have; save the model again with "
            "save_pretrained"
        )
    activation = config.get("activation")
    if activation is not None and activation not in list(_ACTIVATIONS):
        raise ModelError(
            f"MODEL-OUTPUT: config.json has the activation {one_line(str(activation))!r}; known are "
            f"{', '.join(filter(None, _ACTIVATIONS))} and none; save the model without"
        )
    options = {key: value for key, value in config.items() if not key.startswith("_")}
    network = create(architecture, **(options | {"encoder_weights": None}))
    _load_weights(network, folder / "model.safetensors")
    read = Described.model_validate(
        {"layout": "NCHW", "multiple": required_multiple(network)}
        | _ACTIVATIONS[activation]
        | _preprocessing(encoder, config.get("encoder_weights"))
    )
    channels = config.get("in_channels", 3)
    return TorchNetwork(
        network, Facts(input_shape=(None, channels, None, None), read=read, source="config.json"), request
    )


def _read_config(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _CONFIG_BYTES:
            raise ModelError(f"MODEL-FILE: config.json has more than {_CONFIG_BYTES:,} bytes; save the model again")
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(
            f"MODEL-FILE: config.json cannot be read ({one_line(str(error))}); save the model again with "
            "save_pretrained"
        ) from None
    if not isinstance(config, dict):
        raise ModelError("MODEL-FILE: config.json must hold an object; save the model again with save_pretrained")
    return config


def _load_weights(network: Any, path: Path) -> None:
    if not path.is_file():
        raise ModelError(
            "MODEL-FILE: model.safetensors is missing beside config.json; save the model again with save_pretrained "
            "(a pytorch_model.bin is a pickle and is not read)"
        )
    try:
        network.load_state_dict(load_file(path), strict=True)  # SMP drops what does not fit if not strict
    except (OSError, SafetensorError, RuntimeError, ValueError) as error:
        if "memory" in str(error):
            raise
        raise ModelError(
            f"MODEL-FILE: model.safetensors is damaged or of another network than config.json says "
            f"({one_line(' '.join(str(error).split()), limit=160)}); save the model again"
        ) from None


def _preprocessing(encoder: str, weights: object) -> dict[str, Any]:
    """Normalisation that pretrained weights were made with; empty where it is not known without a network."""
    if not isinstance(weights, str) and weights is not True:
        return {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = smp.encoders.get_preprocessing_params(encoder, pretrained=weights)
    except (OSError, KeyError, ValueError, TypeError, RuntimeError):
        return {}
    scale = 255 if found["input_range"][-1] == 255 else 1
    return {"mean": found["mean"], "std": found["std"], "scale": scale, "order": found["input_space"]}
