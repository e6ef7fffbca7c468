"""What a user says, what the file says and what is customary to one set of settings, each with its origin."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pipelines.config import build
from pipelines.errors import ModelError
from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.prepare import Inputs
from pipelines.misuse.declaration import Activation, Declaration
from pipelines.schema import BACKGROUND_CHANNEL, Kind

GIVEN: Final = "given"
ASSUMED: Final = "assumed"


class Row(NamedTuple):
    """One setting for people: its name, its value, and who says so (given, a place in the file, assumed)."""

    setting: str
    value: str
    origin: str


class _Sources:
    """Looks a setting up: first as given, then in the file, then by custom; notes where it was found."""

    def __init__(self, given: Described, facts: Facts) -> None:
        self._given, self._facts = given, facts
        self.rows: list[Row] = []

    def find(self, name: str, custom: Any = None, *, file: Any = None, origin: str | None = None) -> Any:
        """file, origin: what the file's form says, where its `read` settings do not."""
        said, read = getattr(self._given, name), getattr(self._facts.read, name)
        where = self._facts.source
        if read is None and file is not None:
            read, where = file, origin or where
        for value, source in ((said, GIVEN), (read, where), (custom, ASSUMED)):
            if value is not None:
                note = (
                    f"{source}; {where} says {_shown(read)}"
                    if said is not None and read not in (None, said)
                    else source
                )
                self.rows.append(Row(name, _shown(value), note))
                return value
        return None


def resolve_inputs(given: Described, facts: Facts, model: str) -> tuple[Inputs, tuple[Row, ...]]:
    """How images go into the network. Raises ModelError when it is not known how they were normalised.

    Customary and therefore assumed where nobody says otherwise: RGB, channels first, padding to 32. A mean and a
    standard deviation are never assumed: another normalisation than in training silently ruins every result.
    """
    sources, shape, bytes_in = _Sources(given, facts), facts.input_shape, facts.dtype == "uint8"
    last = len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3)
    first = len(shape) == 4 and shape[1] in (1, 3) and shape[3] not in (1, 3)
    by_shape = "NHWC" if last else "NCHW" if first else None
    layout = sources.find("layout", "NCHW", file=by_shape, origin="its input")
    channels, fixed = _axes(shape, layout, model)
    order = sources.find("order", "RGB", file="grey" if channels == 1 else None, origin="its input")
    if (order == "grey") != (channels == 1) and channels is not None:
        raise ModelError(f"MODEL-INPUT: {model} takes {channels} channels, but order {order} was given; leave it out")
    unscaled = (0.0,) if bytes_in else None
    mean = sources.find("mean", file=unscaled, origin="its input")
    std = sources.find("std", file=(1.0,) if bytes_in else None, origin="its input")
    if mean is None or std is None:
        raise ModelError(
            f"MODEL-INPUT: nothing says how images were normalised for {model}; give --mean and --std as in its "
            "training, in numbers for images in 0 to 1 (0.485,0.456,0.406 and 0.229,0.224,0.225 for ImageNet; 0 and 1 "
            "for none)"
        )
    width = 1 if order == "grey" else 3
    if not {len(mean), len(std)} <= {1, width}:
        raise ModelError(f"MODEL-INPUT: mean and std of {model} must be 1 or {width} numbers; give as many")
    scale = sources.find("scale", 1, file=255 if bytes_in else None, origin="its input")
    size = sources.find("size", "own", file=fixed, origin="its input")
    if fixed is not None and size != fixed:
        wanted = f"{fixed[0]}x{fixed[1]}"
        raise ModelError(
            f"MODEL-INPUT: {model} takes images of {wanted} only, not {_shown(size)}; leave --input-size out, or export "
            "it with free height and width"
        )
    multiple = sources.find("multiple", 1 if fixed else 32)
    values = {"mean": mean, "std": std, "scale": scale, "order": order, "layout": layout, "multiple": multiple}
    values |= {"size": None if size == "own" else size, "dtype": facts.dtype}
    return build(Inputs, values), tuple(sources.rows)


def _axes(shape: Sequence[int | None], layout: str, model: str) -> tuple[int | None, tuple[int, int] | None]:
    """Channels and fixed (height, width) of the input; None where the file leaves them open or does not tell."""
    if not shape:
        return None, None
    batch, channels, height, width = shape if layout == "NCHW" else (shape[0], shape[3], shape[1], shape[2])
    if batch not in (None, 1):
        raise ModelError(
            f"MODEL-INPUT: {model} takes {batch} images at once; export it with a batch of 1 or a free one"
        )
    if channels not in (None, 1, 3):
        raise ModelError(
            f"MODEL-INPUT: {model} takes {channels} channels; images have 3 (RGB), or 1 for a network of grey images; "
            "import its predictions instead"
        )
    if (height is None) != (width is None):
        raise ModelError(f"MODEL-INPUT: {model} fixes only one of height and width; export it with both free or fixed")
    return channels, None if height is None or width is None else (height, width)


def resolve_output(
    given: Described, facts: Facts, model: str, *, head: Activation, channels: int, kind: Kind, classes: Sequence[str],
    background: str | None,
) -> tuple[Declaration, tuple[Row, ...]]:  # fmt: skip
    """What the network's output is. channels: that it gives; kind, classes, background: the data set's.

    Assumed where nobody says otherwise: the channels are the data set's classes in its order, behind a background
    where a softmax has one channel more. Whether it is logits or probabilities is never assumed.
    """
    sources = _Sources(given, facts)
    if facts.read.head not in (None, head):
        raise ModelError(
            f"MODEL-HEAD: {model} is a {facts.read.head} by {facts.source}, but was given as {head}; give it as the "
            "other head"
        )
    values = sources.find("values")
    if values is None:
        raise ModelError(
            f"MODEL-OUTPUT: nothing says whether {model} gives logits or probabilities; say --values logits if it ends "
            "without an activation, else --values probabilities"
        )
    extra = head == "softmax" and kind != "exclusive" and channels == len(classes) + 1
    custom = (BACKGROUND_CHANNEL, *classes) if extra else tuple(classes) if channels == len(classes) else None
    names = sources.find("classes", custom)
    if names is None:
        raise ModelError(
            f"MODEL-CHANNELS: {model} gives {channels} channels, the data set has {len(classes)} classes "
            f"({', '.join(classes)}); name every channel in order with --classes"
        )
    if len(names) != channels:
        raise ModelError(
            f"MODEL-CHANNELS: {model} gives {channels} channels, but {len(names)} are named ({', '.join(names)}); name "
            "every channel in order with --classes"
        )
    customary = next((name for name in (background, BACKGROUND_CHANNEL) if name in names), None)
    nothing = sources.find("background", customary)
    values_of = {"head": head, "values": values, "classes": names, "background": nothing}
    return build(Declaration, values_of), tuple(sources.rows)


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        separator = "x" if len(value) == 2 and all(isinstance(one, int) for one in value) else ", "
        return separator.join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
    return str(value)
