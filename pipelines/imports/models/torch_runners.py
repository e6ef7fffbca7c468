"""Models of PyTorch, opened and run inside their own process: our heads, save_pretrained, state dicts, TorchScript."""

import json
import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import segmentation_models_pytorch as smp
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pipelines.datasets.bands import MAX_BANDS
from pipelines.errors import ModelError
from pipelines.imports.models.process import OpenRequest
from pipelines.imports.models.settings import Described, Facts, first_line
from pipelines.misuse import head_check
from pipelines.training.models import build_model, create, load_model, required_multiple


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


# Heads of our runs ----------------------------------------------------------------------------------------------------


def open_own(request: OpenRequest) -> TorchNetwork:
    """Open a saved head. Raises ModelError when its files are missing, damaged or do not fit each other."""
    network, head = load_model(Path(request.path))
    declared = head_check(head.spec).declaration
    read = Described(
        mean=head.mean,
        std=head.std,
        scale=1,
        order="RGB" if head.bands.count == 3 else "bands",
        layout="NCHW",
        size=head.size or "own",
        multiple=required_multiple(network),
        head=declared.head,
        values=declared.values,
        classes=declared.classes,
        background=declared.background,
    )
    facts = Facts(input_shape=(None, head.bands.count, None, None), read=read, source="head.json")
    return TorchNetwork(network, facts, request)


# Folders of save_pretrained of segmentation-models-pytorch ------------------------------------------------------------

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


def open_pretrained(request: OpenRequest) -> TorchNetwork:
    """Open a folder: the network of config.json with the weights of model.safetensors, every one of them.

    Raises ModelError when a file is missing or damaged, or they do not fit each other.
    """
    folder = Path(request.path)
    config = _read_config(folder / "config.json")
    architecture, encoder = config.pop("_model_class", None), config.get("encoder_name", "resnet34")
    if not isinstance(architecture, str) or not isinstance(encoder, str) or not _ENCODER.fullmatch(encoder):
        raise ModelError(
            f"MODEL-FILE: config.json names the network {first_line(str(architecture))!r} with the encoder "
            f"{first_line(str(encoder))!r}, which segmentation-models-pytorch does not have; save the model again with "
            "save_pretrained"
        )
    activation = config.get("activation")
    if activation is not None and activation not in list(_ACTIVATIONS):
        raise ModelError(
            f"MODEL-OUTPUT: config.json has the activation {first_line(str(activation))!r}; known are "
            f"{', '.join(filter(None, _ACTIVATIONS))} and none; save the model without"
        )
    options = {key: value for key, value in config.items() if not key.startswith("_")}
    network = create(architecture, **(options | {"encoder_weights": None}))
    _load_weights(network, folder / "model.safetensors")
    channels = config.get("in_channels", 3)
    # What pretrained weights were made with is known of three colours.
    prepared = _preprocessing(encoder, config.get("encoder_weights")) if channels == 3 else {}
    read = Described.model_validate(
        {"layout": "NCHW", "multiple": required_multiple(network)} | _ACTIVATIONS[activation] | prepared
    )
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
            f"MODEL-FILE: config.json cannot be read ({first_line(str(error))}); save the model again with "
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
            f"({first_line(' '.join(str(error).split()), 160)}); save the model again"
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


# State dicts ----------------------------------------------------------------------------------------------------------

_INSIDE: Final = ("state_dict", "model_state_dict", "model")  # where Lightning and common scripts put it
_LAST: Final = "segmentation_head.0.weight"


def open_state_dict(request: OpenRequest) -> TorchNetwork:
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
    if not 1 <= inputs <= MAX_BANDS:
        raise ModelError(
            f"MODEL-INPUT: the network takes {inputs} channels, but images have 1 to {MAX_BANDS} bands; import its "
            "predictions instead"
        )
    network = build_model(request.architecture, request.encoder, channels=weights[_LAST].shape[0], bands=inputs)
    try:
        network.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        lines = " ".join(str(error).split())
        raise ModelError(
            f"MODEL-FILE: the state dict does not fit {request.architecture} with {request.encoder} "
            f"({first_line(lines, 160)}); give those that it was trained with"
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
        raise ModelError(
            f"MODEL-FILE: the state dict cannot be read ({first_line(str(error))}); save it again"
        ) from None
    for key in _INSIDE:
        if isinstance(found, Mapping) and isinstance(found.get(key), Mapping):
            found = found[key]
    if not isinstance(found, Mapping):
        raise ModelError("MODEL-FILE: the file holds no state dict; save model.state_dict()")
    tensors = {str(key): value for key, value in found.items() if isinstance(value, Tensor)}
    last = next((key for key in tensors if key.endswith(_LAST)), _LAST)
    prefix = last.removesuffix(_LAST)  # "model." of Lightning, "module." of DataParallel
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


# TorchScript ----------------------------------------------------------------------------------------------------------


def open_torchscript(request: OpenRequest) -> TorchNetwork:
    """Open a scripted or traced network, which can run any code: only where the file's maker is trusted.

    Raises ModelError when torch cannot read it.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*torch.jit.*", DeprecationWarning)
            network = torch.jit.load(request.path, map_location="cpu")  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise ModelError(
            f"MODEL-FILE: TorchScript cannot be read ({first_line(str(error))}); save it again with torch.jit.save"
        ) from None
    return TorchNetwork(network, Facts(), request)
