"""Segmentation networks: matched pairs that differ in nothing but their last layer, saved to folders and loaded again.

A folder holds config.json and model.safetensors as SMP writes them, and head.json beside. Flipped bits in weights load
without a word, so that head.json carries the checksums of all three files.
"""

import difflib
import json
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Self, TypeAlias

import segmentation_models_pytorch as smp
import timm
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from safetensors import SafetensorError
from safetensors.torch import load_file
from segmentation_models_pytorch import MODEL_ARCHITECTURES_MAPPING
from torch import Tensor, nn
from torch.nn import functional

from pipelines.config import Loss, TrainingConfig
from pipelines.datasets.bands import RGB, Bands
from pipelines.errors import ModelError
from pipelines.heads import HeadSpec
from pipelines.schema import SCHEMA_VERSION, Head, Kind
from pipelines.sentences import count_of
from pipelines.store import files
from pipelines.store.files import checksum
from pipelines.store.manifest import check_source

# Networks ------------------------------------------------------------------------------------------------------------

_HEAD = "segmentation_head."


def build_model(
    architecture: str, encoder: str, *, channels: int, bands: int = 3, encoder_weights: str | None = None
) -> nn.Module:
    """One network from (N, bands, H, W) images to (N, channels, H, W) logits.

    architecture: any of segmentation-models-pytorch, case ignored. encoder: one of its encoders, or "tu-" and a timm
    model. encoder_weights: name of pretrained weights, or None for random ones; pretrained on three colours, their
    first layer is repeated over other numbers of bands and scaled, as SMP and timm do.
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
        in_channels=bands,
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
            f"weights {weights!r} of encoder {encoder} could not be fetched ({first_line(error)}); train without "
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
            f"{architecture} with encoder {encoder} and weights {weights!r} cannot be built: {first_line(error)}; "
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


def first_line(error: BaseException) -> str:
    """What an error says first, or its kind where it says nothing."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return (text.strip().splitlines() or [type(error).__name__])[0][:300]


def build_pair(
    specs: Sequence[HeadSpec], config: TrainingConfig, *, seed: int, bands: int = 3
) -> dict[Head, nn.Module]:
    """One network a head for images of so many bands, equal in every value that they can share.

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
                bands=bands,
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


# Files ---------------------------------------------------------------------------------------------------------------

HEAD_FILE, CONFIG_FILE, WEIGHTS_FILE = "head.json", "config.json", "model.safetensors"
_DAMAGE: Final = (OSError, SafetensorError, RuntimeError, ValueError, TypeError, LookupError, MemoryError)
Normalisation: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and standard deviation of each band, on images in [0, 1]; the network sees (image - mean) / std."""

_Positive: TypeAlias = Annotated[float, Field(gt=0)]


class HeadFile(BaseModel):
    """head.json: everything that inference needs to know about a saved network, and where it came from.

    bands: of the images that it takes; RGB in files of before they were kept. mean, std: input normalisation of each
    band, on images in [0, 1]. size: (height, width) images were resized to, None for their
    own. crop: training crop when size is None. best_epoch: 1-based epoch of the weights. best_score: macro Dice on
    validation in [0, 1], None without a validation split. sha256: of the two files beside it, by name; checksum: of
    the rest of this file; both None in files of before they were kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: int = SCHEMA_VERSION
    spec: HeadSpec
    bands: Bands = RGB
    mean: tuple[float, ...]
    std: tuple[_Positive, ...]
    size: tuple[int, int] | None
    crop: tuple[int, int] | None
    architecture: str
    encoder: str
    loss: Loss
    seed: int
    best_epoch: int
    best_score: float | None
    sha256: dict[str, str] | None = None
    checksum: str | None = None

    @model_validator(mode="after")
    def _one_of_each_band(self) -> Self:
        if not len(self.mean) == len(self.std) == self.bands.count:
            raise ValueError(f"{self.bands.count} bands, but {len(self.mean)} means and {len(self.std)} deviations")
        return self

    @property
    def normalisation(self) -> Normalisation:
        """(mean, std)."""
        return self.mean, self.std


Pair: TypeAlias = dict[Head, tuple[nn.Module, HeadFile]]


def save_model(
    model: nn.Module,
    spec: HeadSpec,
    folder: Path,
    *,
    normalisation: Normalisation,
    config: TrainingConfig,
    seed: int,
    best_epoch: int,
    best_score: float | None,
    bands: Bands = RGB,
) -> HeadFile:
    """Write one network in SMP's save_pretrained form, with head.json.

    smp.from_pretrained(folder) reads it too, without a network. Raises ModelError when the folder cannot be written.
    """
    mean, std = normalisation
    head = HeadFile(
        spec=spec,
        bands=bands,
        mean=mean,
        std=std,
        size=config.size,
        crop=config.crop if config.size is None else None,
        architecture=config.architecture,
        encoder=config.encoder,
        loss=config.loss,
        seed=seed,
        best_epoch=best_epoch,
        best_score=best_score,
    )
    # Pretrained weights are in the file by now: nobody who loads it should fetch them again.
    options: dict[str, Any] = {**model.config, "encoder_weights": None}  # type: ignore[dict-item]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder, config={**options, "_model_class": type(model).__name__})  # type: ignore[operator]
        (folder / "README.md").unlink(missing_ok=True)  # a model card full of blanks
        sums = {name: files.sha256(folder / name) for name in (CONFIG_FILE, WEIGHTS_FILE)}
        head = head.model_copy(update={"sha256": sums})
        head = head.model_copy(update={"checksum": checksum(head.model_dump(mode="json"))})
        (folder / HEAD_FILE).write_text(head.model_dump_json(indent=2) + "\n")
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{folder} cannot be written: {error}; free some space and run again with --resume") from None
    return head


def load_model(folder: Path) -> tuple[nn.Module, HeadFile]:
    """A saved network in eval mode, and its head.json. Reads local files only, weights from safetensors only.

    Raises ModelError when a file is missing, damaged or does not fit the others.
    """
    head = _read_head(folder)
    options = _read_json(folder / CONFIG_FILE)
    for name, known in (head.sha256 or {}).items():
        _check_sha256(folder / name, known)
    options.pop("_model_class", None)
    channels = len(head.spec.channels)
    if options.get("classes") != channels or options.get("activation") is not None:
        raise ModelError(
            f"{folder}/config.json has {options.get('classes')} channels and activation {options.get('activation')}, "
            f"head.json needs {channels} and none; save the model again"
        )
    if options.get("in_channels", 3) != head.bands.count:
        raise ModelError(
            f"{folder}/config.json takes {options.get('in_channels', 3)} bands, head.json names {head.bands.count}; "
            "save the model again"
        )
    model = create(head.architecture, **(options | {"encoder_weights": None}))
    weights = folder / WEIGHTS_FILE
    try:
        model.load_state_dict(load_file(weights), strict=True)  # SMP drops what does not fit if not strict
    except FileNotFoundError:
        raise ModelError(f"{weights} is missing; a saved model is config.json, model.safetensors, head.json") from None
    except _DAMAGE as error:
        raise ModelError(
            f"{weights} is damaged or of another network: {first_line(error)}; train or save it again"
        ) from None
    return model.eval(), head


def load_pair(folder: Path, *, kind: Kind, classes: Sequence[str], bands: Bands = RGB) -> dict[int, Pair]:
    """All saved pairs under a run folder (models/seed=S/head=H) or one pair folder (head=H), by seed.

    Files of a whole run are compared with its manifest first. Raises RunError when one has changed, ModelError when
    there is no pair, heads are missing or repeated, or they do not fit the data set's kind, classes (by name and
    order) and bands (by number).
    """
    check_source(folder / "models" if (folder / "models").is_dir() else folder)
    runs = sorted((folder / "models").glob("seed=*")) or sorted(folder.glob("seed=*")) or [folder]
    pairs: dict[int, Pair] = {}
    for place in runs:
        heads = [load_model(path) for path in sorted(place.glob("head=*")) if path.is_dir()]
        if not any(head.spec.is_softmax for _, head in heads) or all(head.spec.is_softmax for _, head in heads):
            raise ModelError(f"{place} needs a folder head=sigmoid and a folder head=softmax; name a run or a pair")
        for _, head in heads:
            _check_fit(place, head, kind, tuple(classes), bands)
        seeds = {head.seed for _, head in heads}
        if len(seeds) > 1 or seeds & pairs.keys():
            raise ModelError(f"{place} holds seeds {sorted(seeds)}, already read {sorted(pairs)}; keep one pair a seed")
        pairs[seeds.pop()] = {head.spec.head: (model, head) for model, head in heads}
    return dict(sorted(pairs.items()))


def _check_fit(place: Path, head: HeadFile, kind: Kind, classes: tuple[str, ...], bands: Bands) -> None:
    spec = head.spec
    if head.bands.count != bands.count:
        raise ModelError(
            f"{place}/head={spec.head} takes {count_of(head.bands.count, 'band')} ({', '.join(head.bands.names)}), the "
            f"images of the data set have {bands.count} ({', '.join(bands.names)}); pick its bands with the option "
            "channels, or train anew"
        )
    if (spec.kind, spec.classes) != (kind, classes):
        raise ModelError(
            f"{place}/head={spec.head} was trained on {spec.kind} classes {', '.join(spec.classes)}, the data set has "
            f"{kind} classes {', '.join(classes)}; use a data set with the same classes in this order, or train anew"
        )


def _read_head(folder: Path) -> HeadFile:
    values = _read_json(folder / HEAD_FILE)
    try:
        head = HeadFile.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ModelError(f"{folder}/head.json: {where}: {first['msg']}; save the model again") from None
    if head.checksum is not None and head.checksum != checksum(values):
        raise ModelError(
            f"{folder}/head.json has changed since the model was saved; restore it from a copy, or save the model again"
        )
    return head


def _check_sha256(path: Path, known: str) -> None:
    """Raise ModelError unless a file is what it was when the model was saved."""
    try:
        same = files.sha256(path) == known
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; a saved model is config.json, model.safetensors and head.json") from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}; restore it from a copy") from None
    if not same:
        raise ModelError(
            f"{path} is damaged: it has changed since the model was saved; restore it from a copy, or train it again"
        )


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError:
        raise ModelError(f"{path} is missing; a saved model is config.json, model.safetensors and head.json") from None
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} cannot be read: {error}; save the model again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path} must hold an object, got {type(values).__name__}; save the model again")
    return values
