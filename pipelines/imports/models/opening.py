"""What a user says of models, and a data set, to a source for each head and seed, and to what is told of them."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipelines.datasets import Dataset
from pipelines.errors import ConfigError, DatasetError, ModelError
from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.hub import fetch, is_hub_name
from pipelines.imports.models.kinds import Kind, recognise, seeds_of
from pipelines.imports.models.limits import Limits
from pipelines.imports.models.prepare import Inputs
from pipelines.imports.models.process import ModelProcess
from pipelines.imports.models.runners import Hardware, OpenRequest
from pipelines.imports.models.settings import OPTIONS, Row, resolve_inputs, resolve_output
from pipelines.imports.models.source import ModelSource, Networks
from pipelines.imports.source import named, printable
from pipelines.schema import BACKGROUND_CHANNEL, Head, Split

_WEIGHTS: Final = "model.safetensors"
_PIECE: Final = 2**20
_NOTHING: Final = Described()


@dataclass(frozen=True)
class Wanted:
    """What a user says of one head's models. path: a file, a folder, or a name on the Hugging Face hub.

    seed: of a model that lies in no folder seed=N. tensor: which of several outputs. architecture, encoder: of the
    network that a state dict belongs to.
    """

    path: str
    described: Described = _NOTHING
    tensor: str | None = None
    architecture: str | None = None
    encoder: str | None = None
    seed: int | None = None


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
            "path": self.path, "format": self.kind.name, "values": declared.values, "channels": declared.classes,
            "background": declared.background, "notes": notes,
        }  # fmt: skip

    def lines(self, head: Head) -> Iterator[str]:
        """What was recognised and what was used, for people."""
        seeds = f", seeds {', '.join(map(str, self.sources))}" if len(self.sources) > 1 else ""
        yield f"{head}: {self.kind.title} ({self.kind.name}), {printable(self.path)}{seeds}"
        for row in self.rows:
            yield f"  {row.setting}: {printable(row.value)} ({printable(row.origin)})"


_TOLD_ELSEWHERE: Final = ("values", "classes", "background")


def open_models(
    wanted: Mapping[Head, Wanted],
    dataset: Dataset,
    splits: Sequence[Split],
    stack: ExitStack,
    *,
    limits: Limits,
    trust: bool = False,
    hardware: Hardware = "cpu",
) -> dict[Head, OpenedModel]:
    """Open every head's models, each head in a process of its own, and try each with the first image of the splits.

    stack: closes the processes. All sources read their images at one size: that which a model fixes or was said to
    have, else each image's own.
    Raises ModelError for what cannot be opened, run or read as it was said to be, ConfigError when models fix different
    sizes, DatasetError when there is no image.
    """
    request = OpenRequest(path="", hardware=hardware, threads=limits.threads)
    opening = {head: _Opening(head, one, request, limits, trust, stack) for head, one in wanted.items()}
    size = _one_size({head: one.sizes for head, one in opening.items()})
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

    def __init__(
        self, head: Head, said: Wanted, request: OpenRequest, limits: Limits, trust: bool, stack: ExitStack
    ) -> None:
        self.head, self._said = head, said
        place, self.place = _located(said.path)
        name = Path(self.place).name
        numbered = seeds_of(place, head)
        if said.seed is not None and None not in numbered:
            raise ConfigError(f"{printable(said.path)} holds folders seed=N, so --seed cannot be given; leave it out")
        self.paths: dict[int, Path] = {
            (said.seed or 0) if seed is None else seed: path for seed, path in numbered.items()
        }
        kinds = {recognise(path, trust=trust) for path in self.paths.values()}
        if len(kinds) != 1:
            raise ModelError(
                f"MODEL-KIND: the seeds of {head} are models of different kinds "
                f"({named(sorted(kind.title for kind in kinds))}); bring one kind"
            )
        self.kind = kinds.pop()
        process = stack.enter_context(ModelProcess(self.kind.name, name, limits=limits, trust=trust))
        what = {"tensor": said.tensor, "architecture": said.architecture, "encoder": said.encoder}
        self.networks = Networks(process, request.model_copy(update=what))
        self._inputs: dict[int, tuple[Inputs, tuple[Row, ...], Facts]] = {}
        for seed, path in self.paths.items():
            facts = self.networks.open(path)
            self._inputs[seed] = (*resolve_inputs(said.described, facts, process.name), facts)

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
            self._said.described, facts, self.networks.process.name, head=self.head, channels=channels,
            classes=dataset.classes, usual=usual_channels(self.head, dataset), background=dataset.background,
        )  # fmt: skip
        tensor = (Row("tensor", facts.output, "given" if self._said.tensor else "its only output"),)
        return ModelSource(self.networks, path, inputs, declaration), (
            *rows, *(tensor if facts.output else ()), *more,
        )  # fmt: skip


def usual_channels(head: Head, dataset: Dataset) -> tuple[str, ...]:
    """Names of the channels that a network with this head has as a rule for such data, in the usual order."""
    if head == "softmax-powerset":
        first = dataset.classes[:2]
        return (BACKGROUND_CHANNEL, *first, "+".join(first))
    if head == "sigmoid" or dataset.kind == "exclusive":
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
    every = {size for some in sizes.values() for size in some}
    if len(every) > 1:
        told = ", ".join(
            f"{OPTIONS[head]} {' and '.join(f'{h}x{w}' for h, w in sorted(some))}"
            for head, some in sizes.items()
            if some
        )
        raise ConfigError(
            f"models take images of different sizes ({told}); heads are compared at one, so bring one size"
        )
    return every.pop() if every else None


def _digest(path: Path) -> str:
    """SHA-256 of the weights in hexadecimal."""
    file = path / _WEIGHTS if path.is_dir() else path
    digest = hashlib.sha256()
    try:
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    except OSError as error:
        raise ModelError(
            f"MODEL-FILE: {printable(file.name)} cannot be read ({error.strerror}); copy it again"
        ) from None
    return digest.hexdigest()
