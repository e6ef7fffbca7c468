"""A path to what a model's file tells about itself, found in a process of its own, for people and for forms."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from pipelines.errors import ModelError
from pipelines.imports.models.facts import Facts
from pipelines.imports.models.kinds import Kind, recognise, seeds_of
from pipelines.imports.models.limits import Limits
from pipelines.imports.models.prepare import output_layout, padded_size
from pipelines.imports.models.process import ModelProcess
from pipelines.imports.models.runners import OpenRequest
from pipelines.schema import HEADS, Head

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
    path: Path, *, head: Head | None = None, trust: bool = False, limits: Limits | None = None,
    tensor: str | None = None, architecture: str | None = None, encoder: str | None = None,
) -> Inspection:  # fmt: skip
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
        facts = process.open(request.model_dump())
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
