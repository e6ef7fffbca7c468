"""Models that somebody brings, as files, folders or names on a hub, to a source of outputs for each head and seed.

This process imports neither torch nor onnxruntime and never parses a model's file (docs/import-models.md): each head's
models are opened in a process of their own.
"""

import hashlib
import logging
import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float32Array
from pipelines.channels import Declaration
from pipelines.config import build
from pipelines.datasets.base import Item
from pipelines.datasets.dataset import Dataset
from pipelines.errors import ConfigError, DatasetError, ModelError
from pipelines.heads import LAST_LAYERS
from pipelines.imports.models.process import Limits, ModelProcess, OpenRequest
from pipelines.imports.models.settings import (
    OPTIONS,
    Described,
    Facts,
    Inputs,
    Row,
    first_line,
    image_output,
    network_input,
    output_layout,
    padded_size,
    resolve_inputs,
    resolve_output,
)
from pipelines.imports.sources import OutputSource, named
from pipelines.requests import ModelImportRequest
from pipelines.schema import BACKGROUND_CHANNEL, HEADS, Head
from pipelines.sentences import one_line

# Kinds of files -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Kind:
    """One kind of model file. runs_code: opening or running it can run any code of whoever made the file."""

    name: str
    title: str
    runs_code: bool
    recognise: Callable[[Path], bool]


def _own(path: Path) -> bool:
    return (path / "head.json").is_file()


def _smp(path: Path) -> bool:
    return (path / "config.json").is_file() and not _own(path) and not _run(path)


def _run(path: Path) -> bool:
    return (path / "manifest.json").is_file()


def _onnx(path: Path) -> bool:
    return path.suffix.lower() == ".onnx" and path.is_file()


def _torchscript(path: Path) -> bool:
    return any(re.search(r"(^|/)code/", name) for name in _members(path))


def _state_dict(path: Path) -> bool:
    return _pytorch(path) and not _torchscript(path)


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return []


def _pytorch(path: Path) -> bool:
    """Whether a file begins as a zip or a pickle does; nothing more of it is read."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(4)
    return start == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"))


KINDS: Final = (
    Kind("own", "network of one of our runs", False, _own),
    Kind("smp", "folder of save_pretrained of segmentation-models-pytorch", False, _smp),
    Kind("onnx", "ONNX", False, _onnx),
    Kind("torchscript", "TorchScript", True, _torchscript),
    Kind("state-dict", "pickled state dict", True, _state_dict),
)


def recognise(path: Path, *, trust: bool = False) -> Kind:
    """The kind of model at a path.

    trust: whether files that can run code may be opened. Without it such a file is refused by its first four bytes.
    Raises ModelError when there is none, it is of no known kind, or it needs trust.
    """
    name = first_line(path.name)
    with _readable(path):
        if not path.exists():
            raise ModelError(f"MODEL-FILE: there is no {first_line(str(path))}; give the path of a model")
        for kind in KINDS:
            if not kind.runs_code and kind.recognise(path):
                return kind
        if path.suffix.lower() == ".safetensors" and path.is_file():
            raise ModelError(
                f"MODEL-KIND: {name} is weights without a network; give the folder that holds them with config.json"
            )
        if _pytorch(path):
            if trust:
                return next(kind for kind in KINDS if kind.runs_code and kind.recognise(path))
            raise ModelError(
                f"MODEL-TRUST: {name} is a zip or a pickle, as PyTorch writes TorchScript and state dicts; it can run "
                "any code of whoever made it; export the network as ONNX or with save_pretrained (and unpack that "
                "folder). Only if you trust its maker: import it on the command line with --trust"
            )
        if _run(path):
            raise ModelError(
                f"MODEL-KIND: {name} is a run that holds no networks, only their outputs; name a run whose networks "
                "were trained here"
            )
    raise ModelError(
        f"MODEL-KIND: {name} is no model of a known kind; known are {', '.join(kind.title for kind in KINDS)}"
    )


def seeds_of(path: Path, head: Head) -> dict[int | None, Path]:
    """The models of a head under a path by seed: a run's folder, folders seed=N, or the path itself under None.

    In a folder seed=N lies head=H of a run, one file, or what save_pretrained wrote.
    Raises ModelError when a folder has nothing for this head.
    """
    with _readable(path):
        folder = path / "models" if (path / "models").is_dir() else path
        places = {int(place.name[5:]): place for place in folder.glob("seed=*") if place.name[5:].isdecimal()}
        if not places:
            return {None: _of_head(path, head)}
        return {seed: _of_head(place, head) for seed, place in sorted(places.items())}


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """Say that a path cannot be read: no permission, a name that is too long or holds a zero byte."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise ModelError(
            f"MODEL-FILE: {first_line(path.name)} cannot be read ({first_line(str(error))}); give another path"
        ) from None


def _of_head(place: Path, head: Head) -> Path:
    if any(place.glob("head=*")):
        if not (place / f"head={head}").is_dir():
            raise ModelError(
                f"MODEL-FILE: {first_line(place.name)} has no network with the head {head}; leave it out, or name "
                "another run"
            )
        return place / f"head={head}"
    inside = [one for one in place.iterdir() if not one.name.startswith(".")] if place.is_dir() else []
    return inside[0] if len(inside) == 1 and inside[0].is_file() else place


# The Hugging Face hub -------------------------------------------------------------------------------------------------

# Files are fetched by this process, which may hold a token, and opened by another, which may not.
_HUB_NAME: Final = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES: Final = ("config.json", "model.safetensors")
_HUB_SECONDS: Final = 10.0


def is_hub_name(text: str) -> bool:
    """Whether a text can be a name on the hub: an owner, a slash, a model."""
    return _HUB_NAME.fullmatch(text) is not None and ".." not in text and "--" not in text


def fetch(name: str) -> Path:
    """The folder of a model's files in the Hugging Face cache, fetched if they are not there.

    Raises ModelError when the hub cannot be reached or has no such model; nothing but the two files is read.
    """
    from huggingface_hub import hf_hub_download  # it takes half a second to import

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would print a line for each retry
    try:
        config, _ = (Path(hf_hub_download(name, file, etag_timeout=_HUB_SECONDS)) for file in _HUB_FILES)
    except (OSError, ValueError) as error:
        if getattr(getattr(error, "response", None), "status_code", None) in (401, 403, 404):
            why = "the hub has no such model, or no config.json and model.safetensors in it, or you may not read it"
        else:
            why = f"it could not be fetched ({first_line(str(error), 120)})"
        raise ModelError(
            f"MODEL-HUB: there is no {name} here, and as a model of the Hugging Face hub {why}; correct the path or "
            "the name, or save the model with save_pretrained where there is a network and give that folder"
        ) from None
    return config.parent


# Sources --------------------------------------------------------------------------------------------------------------


class Networks:
    """The networks of one head, one file a seed, in one process that holds one of them at a time."""

    def __init__(self, process: ModelProcess, request: OpenRequest) -> None:
        """request: what they all are opened with, but for the path."""
        self.process = process
        self._request = request
        self._facts: dict[Path, Facts] = {}
        self._open: Path | None = None

    def open(self, path: Path) -> Facts:
        """Have this network open, in the place of another. Raises ModelError when it cannot be opened."""
        if self._open != path:
            self._open = None
            request = self._request.model_copy(update={"path": str(path)})
            self._facts[path] = self.process.open(request)
            self._open = path
        return self._facts[path]

    def outputs(self, path: Path, image: Float32Array, inputs: Inputs) -> Float32Array:
        """One image, (H, W, bands) in [0, 1], to (K, H, W) as the network gives it. Raises ModelError."""
        self.open(path)
        batch = network_input(image, inputs)
        padded = (batch.shape[2], batch.shape[3]) if inputs.layout == "NCHW" else (batch.shape[1], batch.shape[2])
        shape, dtype, values = self.process.run(batch)
        layout = output_layout(shape, dtype, padded, inputs.layout, self.process.name)
        return image_output(values, layout, image.shape[:2])


class ModelSource(OutputSource):
    """Outputs of one model, computed when they are asked for. size: that images are read at, None for their own."""

    def __init__(self, networks: Networks, path: Path, inputs: Inputs, declaration: Declaration) -> None:
        self.declaration, self.size = declaration, inputs.size
        self._networks, self._path, self._inputs = networks, path, inputs

    def absent(self, names: Sequence[str]) -> tuple[str, ...]:
        """None: whatever image there is can be put through the network."""
        return ()

    def read(self, item: Item) -> NDArray[Any]:
        """Values of one image as declared, (K, H, W) float32. Raises ModelError for what the network cannot do."""
        try:
            return self._networks.outputs(self._path, item.image, self._inputs)
        except ModelError as error:
            height, width = item.valid.shape
            raise ModelError(f"{error} (image {one_line(item.name)}, {height}×{width}). Nothing was stored") from None

    def close(self) -> None:
        """End the process of the head; of several seeds it is one and the same."""
        self._networks.process.close()


# Opened for an import -------------------------------------------------------------------------------------------------

_WEIGHTS: Final = "model.safetensors"
# The network sees (scale · image - mean) / std with images in [0, 1].
NORMALISATIONS: Final[dict[str, dict[str, Any]]] = {
    "imagenet": {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225), "scale": 1},
    "0-1": {"mean": (0.0,), "std": (1.0,), "scale": 1},
    "-1-1": {"mean": (0.5,), "std": (0.5,), "scale": 1},
    "0-255": {"mean": (0.0,), "std": (1.0,), "scale": 255},
}


@dataclass(frozen=True)
class OpenedModel:
    """The models of one head. rows: every setting of the first, with who says so. sums: SHA-256 of weights by seed."""

    path: str
    kind: Kind
    sources: Mapping[int, ModelSource]
    rows: tuple[Row, ...]
    sums: Mapping[int, str]

    def imported(self) -> dict[str, Any]:
        """Values of config.ImportedHead."""
        declared = next(iter(self.sources.values())).declaration
        notes = {row.setting: f"{row.value} ({row.origin})" for row in self.rows if row.setting not in _TOLD_ELSEWHERE}
        many = len(self.sums) > 1
        notes |= {f"sha256 of seed {seed}" if many else "sha256": digest for seed, digest in self.sums.items()}
        return {
            "path": self.path,
            "format": self.kind.name,
            "values": declared.values,
            "channels": declared.classes,
            "background": declared.background,
            "notes": notes,
        }

    def lines(self, head: Head) -> Iterator[str]:
        """What was recognised and what was used, for people."""
        seeds = f", seeds {', '.join(map(str, self.sources))}" if len(self.sources) > 1 else ""
        yield f"{head}: {self.kind.title} ({self.kind.name}), {one_line(self.path)}{seeds}"
        for row in self.rows:
            yield f"  {row.setting}: {one_line(row.value)} ({one_line(row.origin)})"


_TOLD_ELSEWHERE: Final = ("values", "classes", "background")


def open_models(request: ModelImportRequest, dataset: Dataset, stack: ExitStack) -> dict[Head, OpenedModel]:
    """Open every head's models, each head in a process of its own, and try each with the first image of the splits.

    stack: closes the processes. All sources read their images at one size: that which a model fixes or was said to
    have, else each image's own.
    Raises ModelError for what cannot be opened, run or read as it was said to be, ConfigError for what makes no sense
    and when models fix different sizes, DatasetError when there is no image.
    """
    opening = {head: _Opening(head, request, dataset.bands.count, stack) for head in request.heads}
    size = _one_size({head: one.sizes for head, one in opening.items()})
    splits = request.evaluation.splits
    names = next((dataset.images(split) for split in splits if dataset.images(split)), dataset.names())
    if not names:
        raise DatasetError(f"SPLIT-EMPTY: {dataset.name} has no image; add some")
    image = dataset.read(names[0], size=size).image
    found = {}
    for head, one in opening.items():
        sources: dict[int, ModelSource] = {}
        rows: tuple[Row, ...] = ()
        for seed in one.paths:
            source, told = one.source(seed, image, dataset)
            source.size = size
            sources[seed] = source
            rows = rows or tuple(_measured_at(size, row) for row in told)
        sums = {seed: _digest(path) for seed, path in one.paths.items()}
        found[head] = OpenedModel(one.place, one.kind, sources, rows, sums)
    return found


class _Opening:
    """The models of one head while it is found out how they are used."""

    def __init__(self, head: Head, request: ModelImportRequest, bands: int, stack: ExitStack) -> None:
        self.head, self._said = head, request.heads[head]
        self._described = described(request, head)
        place, self.place = _located(self._said.path)
        name = Path(self.place).name
        numbered = seeds_of(place, head)
        if request.seed is not None and None not in numbered:
            raise ConfigError(
                f"{one_line(self._said.path)} holds folders seed=N, so --seed cannot be given; leave it out"
            )
        self.paths: dict[int, Path] = {
            (request.seed or 0) if seed is None else seed: path for seed, path in numbered.items()
        }
        kinds = {recognise(path, trust=request.trust) for path in self.paths.values()}
        if len(kinds) != 1:
            raise ModelError(
                f"MODEL-KIND: the seeds of {head} are models of different kinds "
                f"({named(sorted(kind.title for kind in kinds))}); bring one kind"
            )
        self.kind = kinds.pop()
        limits = limits_of(request)
        process = stack.enter_context(ModelProcess(self.kind.name, name, limits=limits, trust=request.trust))
        shared = request.model_dump(include={"architecture", "encoder", "threads"})
        self.networks = Networks(
            process, OpenRequest(path="", tensor=self._said.tensor, hardware=request.device, **shared)
        )
        self._inputs: dict[int, tuple[Inputs, tuple[Row, ...], Facts]] = {}
        for seed, path in self.paths.items():
            facts = self.networks.open(path)
            self._inputs[seed] = (*resolve_inputs(self._described, facts, process.name, bands), facts)

    @property
    def sizes(self) -> set[tuple[int, int]]:
        """Sizes that these models fix, or were said to have."""
        return {inputs.size for inputs, _, _ in self._inputs.values() if inputs.size is not None}

    def source(self, seed: int, image: Any, dataset: Dataset) -> tuple[ModelSource, tuple[Row, ...]]:
        """One seed's source, once the number of its channels is known from an image."""
        path = self.paths[seed]
        inputs, rows, facts = self._inputs[seed]
        channels = len(self.networks.outputs(path, image, inputs))
        declaration, more = resolve_output(
            self._described,
            facts,
            self.networks.process.name,
            head=self.head,
            channels=channels,
            classes=dataset.classes,
            usual=usual_channels(self.head, dataset),
            background=dataset.background,
        )
        if facts.output:
            rows = (*rows, Row("tensor", facts.output, "given" if self._said.tensor else "its only output"))
        return ModelSource(self.networks, path, inputs, declaration), (*rows, *more)


def described(request: ModelImportRequest, head: Head) -> Described:
    """What a request says of one head's model. Raises ConfigError for what makes no sense."""
    model = request.heads[head]
    values = request.model_dump(include={"layout", "size", "multiple", "background"})
    values |= {"order": request.channels_order, "classes": model.classes}
    if model.output is not None:
        values["values"] = "logits" if model.output == "logits" else "probabilities"
    prepared = {"mean": model.mean, "std": model.std}
    found: Described = build(Described, values | NORMALISATIONS.get(model.normalisation or "", prepared))
    return found


def limits_of(request: ModelImportRequest) -> Limits:
    """Bounds of each model's process. Raises ConfigError for what makes no sense."""
    values = {"seconds": request.seconds, "opening": request.opening_seconds, "threads": request.threads}
    limits: Limits = build(Limits, values | {"memory": int(request.memory * 2**30)})
    return limits


def usual_channels(head: Head, dataset: Dataset) -> tuple[str, ...]:
    """Names of the channels that a network with this head has as a rule for such data, in the usual order."""
    layer = LAST_LAYERS[head]
    if layer.over_label_sets:
        first = dataset.classes[:2]
        return (BACKGROUND_CHANNEL, *first, "+".join(first))
    if not layer.is_softmax or dataset.kind == "exclusive":
        return dataset.classes
    return (BACKGROUND_CHANNEL, *dataset.classes)


def _measured_at(size: tuple[int, int] | None, row: Row) -> Row:
    """The row of the size as it is: what one model fixes holds for all."""
    if row.setting != "size" or size is None or row.value != "own":
        return row
    return Row("size", f"{size[0]}x{size[1]}", "that of the other model")


def _located(text: str) -> tuple[Path, str]:
    """Where a model's files are, and what to call the place: a whole path, or a name on the hub."""
    path = Path(text).expanduser().absolute()
    try:
        there = path.exists()
    except (OSError, ValueError):  # a name that is too long or holds a zero byte: told when it is recognised
        there = True
    return (path, str(path)) if there or not is_hub_name(text) else (fetch(text), text)


def _one_size(sizes: Mapping[Head, set[tuple[int, int]]]) -> tuple[int, int] | None:
    every = {size for fixed in sizes.values() for size in fixed}
    if len(every) > 1:
        told = ", ".join(
            f"{OPTIONS[head]} {' and '.join(f'{h}x{w}' for h, w in sorted(fixed))}"
            for head, fixed in sizes.items()
            if fixed
        )
        raise ConfigError(
            f"models take images of different sizes ({told}); heads are compared at one, so bring one size"
        )
    return every.pop() if every else None


def _digest(path: Path) -> str:
    """SHA-256 of the weights in hexadecimal."""
    file = path / _WEIGHTS if path.is_dir() else path
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"MODEL-FILE: {one_line(file.name)} cannot be read ({error.strerror}); copy it again"
        ) from None


# Inspected for people and forms ---------------------------------------------------------------------------------------

_SIDE: Final = 64  # pixels of the image that a network of any size is tried with


@dataclass(frozen=True)
class Inspection:
    """What is in a model's file.

    facts: inputs, outputs, and the settings that the file holds. channels: of the output for a black image, with which
    the network was tried; None when it could not be tried, and `untried` says why. low, high: the least and the largest
    of the values that came out, for people to compare with what they think; nothing is concluded from them.
    """

    kind: Kind
    facts: Facts
    channels: int | None = None
    low: float | None = None
    high: float | None = None
    untried: str | None = None


def inspect_model(
    path: Path,
    *,
    head: Head | None = None,
    trust: bool = False,
    limits: Limits | None = None,
    tensor: str | None = None,
    architecture: str | None = None,
    encoder: str | None = None,
) -> Inspection:
    """Open a model in a process of its own, try it with a black image, and say what was found.

    head: whose networks are looked at in a folder of several, as of a run; None: of the first head there; of several
    seeds it is the first. trust: whether kinds that can run any code may be opened. tensor: which output, of several.
    architecture, encoder: of the network that a state dict belongs to.
    Raises ModelError for what is no model of a known kind, damaged, beyond the limits, or needs trust.
    """
    limits = limits or Limits()
    place = _first(path, head)
    kind = recognise(place, trust=trust)
    request = OpenRequest(
        path=str(place), tensor=tensor, architecture=architecture, encoder=encoder, threads=limits.threads
    )
    with ModelProcess(kind.name, path.name, limits=limits, trust=trust) as process:
        facts = process.open(request)
        try:
            return _tried(kind, facts, process)
        except ModelError as error:
            return Inspection(kind, facts, untried=str(error))


def _first(path: Path, head: Head | None) -> Path:
    """The model of the first seed, of this head or of the first that there is one of."""
    for one in HEADS if head is None else (head,):
        try:
            return next(iter(seeds_of(path.absolute(), one).values()))
        except ModelError:
            if one in (head, HEADS[-1]):
                raise
    raise AssertionError("unreachable: the last head returns or raises")


def _tried(kind: Kind, facts: Facts, process: ModelProcess) -> Inspection:
    layout = facts.read.layout or facts.layout or "NCHW"
    channels, height, width = facts.axes
    least = padded_size((_SIDE, _SIDE), facts.read.multiple or 32)
    size = height or least[0], width or least[1]
    axes = (channels or 3, *size) if layout == "NCHW" else (*size, channels or 3)
    found, dtype, values = process.run(np.zeros((1, *axes), facts.dtype))
    out = output_layout(found, dtype, size, layout, process.name)
    sane = values[np.isfinite(values)]
    low, high = (float(sane.min()), float(sane.max())) if sane.size else (None, None)
    return Inspection(kind, facts, found[1] if out == "NCHW" else found[3], low, high)
