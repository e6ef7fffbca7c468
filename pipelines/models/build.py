"""Architecture and encoder names to matched networks that differ in nothing but their last layer."""

import difflib
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from segmentation_models_pytorch import MODEL_ARCHITECTURES_MAPPING
from torch import Tensor, nn
from torch.nn import functional

from pipelines.config import TrainingConfig
from pipelines.errors import ModelError
from pipelines.heads import HeadSpec
from pipelines.schema import Head

_HEAD = "segmentation_head."


def build_model(architecture: str, encoder: str, *, channels: int, encoder_weights: str | None = None) -> nn.Module:
    """One network from (N, 3, H, W) images to (N, channels, H, W) logits.

    architecture: any of segmentation-models-pytorch, case ignored. encoder: one of its encoders, or "tu-" and a timm
    model. encoder_weights: name of pretrained weights, or None for random ones.
    Raises ModelError for unknown names, combinations that do not work and weights that cannot be fetched.
    """
    if architecture.lower() not in MODEL_ARCHITECTURES_MAPPING:
        names = [model.__name__ for model in MODEL_ARCHITECTURES_MAPPING.values()]
        raise ModelError(f"unknown architecture {architecture!r}; {_suggest(architecture, names)}")
    _check_encoder(encoder)
    weights: str | bool | None = encoder_weights
    if encoder.startswith("tu-") and encoder_weights is not None:
        weights = True  # a timm name carries its own weights' name, as in tu-resnet18.a1_in1k
    return create(
        architecture,
        encoder_name=encoder,
        encoder_weights=weights,
        in_channels=3,
        classes=channels,
        activation=None,
    )


def create(architecture: str, **options: Any) -> nn.Module:
    """smp.create_model with every way it fails turned into one ModelError line."""
    encoder, weights = options.get("encoder_name"), options.get("encoder_weights")
    try:
        with warnings.catch_warnings():
            # The old spelling "timm-…" still works in the pinned version and is in people's scripts.
            warnings.filterwarnings("ignore", "`timm-` encoders are deprecated", DeprecationWarning)
            return smp.create_model(architecture, **options)
    except OSError as error:  # no network, no hub, or no such file on it
        raise ModelError(
            f"weights {weights!r} of encoder {encoder} could not be fetched ({_first_line(error)}); train without "
            "pretrained weights, or run once with a network so that they lie in the Hugging Face cache (HF_HOME)"
        ) from None
    except (
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        NotImplementedError,
        RuntimeError,
        AssertionError,
    ) as error:
        raise ModelError(
            f"{architecture} with encoder {encoder} and weights {weights!r} cannot be built: {_first_line(error)}; "
            "choose another encoder or architecture"
        ) from None


def _check_encoder(encoder: str) -> None:
    if encoder.startswith("timm-"):
        return  # SMP itself knows what these are called now
    if encoder.startswith("tu-"):
        known = [f"tu-{name}" for name in timm.list_models()]
        found = encoder.split(".")[0] in known
    else:
        known = list(smp.encoders.get_encoder_names())
        found = encoder in known
    if not found:
        raise ModelError(f"unknown encoder {encoder!r}; {_suggest(encoder, known)}")


def _suggest(name: str, known: Iterable[str]) -> str:
    by_lower = {entry.lower(): entry for entry in known}
    close = [by_lower[entry] for entry in difflib.get_close_matches(name.lower(), by_lower, n=5, cutoff=0.5)]
    return f"did you mean {' or '.join(close)}?" if close else f"available are {', '.join(sorted(by_lower.values()))}"


def _first_line(error: BaseException) -> str:
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:300]


def build_pair(specs: Sequence[HeadSpec], config: TrainingConfig, *, seed: int) -> dict[Head, nn.Module]:
    """One network a head, equal in every value that they can share.

    Outside the last layer all tensors are equal. In the last layer the rows of channels that mean the same class are
    equal. The global random state is left as it was.
    """
    networks: dict[Head, nn.Module] = {}
    for spec in specs:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            networks[spec.head] = build_model(
                config.architecture,
                config.encoder,
                channels=len(spec.channels),
                encoder_weights=config.encoder_weights,
            )
    first = specs[0]
    for spec in specs[1:]:
        _share(networks[first.head], first, networks[spec.head], spec)
    return networks


@torch.no_grad()
def _share(source: nn.Module, source_spec: HeadSpec, target: nn.Module, target_spec: HeadSpec) -> None:
    last = last_layer(source)
    rows = dict(source_spec.shared_channels())
    values = source.state_dict()
    for name, tensor in target.state_dict().items():
        if name.startswith(last):
            for index, channel in target_spec.shared_channels():
                if index in rows:
                    tensor[channel] = values[name][rows[index]]
        elif name in values and values[name].shape == tensor.shape:
            tensor.copy_(values[name])
        else:
            raise ModelError(
                f"{name} cannot be shared between {source_spec.head} and {target_spec.head}: "
                "this architecture's body depends on the number of channels; choose another one"
            )


def last_layer(model: nn.Module) -> str:
    """Prefix of the names of the last layer's tensors, such as "segmentation_head.0."."""
    names = [name for name, _ in model.named_parameters() if name.startswith(_HEAD)]
    if not names:
        raise ModelError(f"{type(model).__name__} has no segmentation head; choose another architecture")
    return names[-1].rpartition(".")[0] + "."


def required_multiple(model: nn.Module) -> int:
    """What height and width must be multiples of: 32 for a Unet of depth 5."""
    return int(model.encoder.output_stride)  # type: ignore[arg-type, union-attr]


def pad_to_multiple(images: Tensor, multiple: int, *, value: float = 0.0) -> Tensor:
    """Pad (..., H, W) at the bottom and right to multiples; result[..., :H, :W] is the input."""
    height, width = images.shape[-2:]
    return functional.pad(images, (0, -width % multiple, 0, -height % multiple), value=value)
