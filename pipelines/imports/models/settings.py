"""What a user says, what the file says and what is customary to one set of settings, each with its origin."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from pipelines.config import build
from pipelines.errors import ModelError
from pipelines.imports.models.facts import Described, Facts
from pipelines.imports.models.prepare import Inputs
from pipelines.imports.source import named, printable
from pipelines.misuse.declaration import Activation, Declaration
from pipelines.misuse.findings import plural
from pipelines.schema import BACKGROUND_CHANNEL, Head

GIVEN: Final = "given"
ASSUMED: Final = "assumed"
OPTIONS: Final[dict[Head, str]] = {"sigmoid": "--sigmoid", "softmax": "--softmax", "softmax-powerset": "--powerset"}


class Row(NamedTuple):
    """One setting for people: its name, its value, and who says so (given, a place in the file, assumed)."""

    setting: str
    value: str
    origin: str


class _Sources:
    """Looks a setting up: first as given, then in the file, then by custom; notes where it was found."""

    def __init__(self, given: Described, facts: Facts, rows: Sequence[Row] = ()) -> None:
        self._given, self._facts = given, facts
        self.rows = list(rows)

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
    sources, bytes_in = _Sources(given, facts), facts.dtype == "uint8"
    layout = sources.find("layout", "NCHW", file=facts.layout, origin="its input")
    if facts.layout not in (None, layout):
        raise ModelError(
            f"MODEL-INPUT: the input of {model} is {facts.layout} by its shape, but --layout says {layout}; leave it "
            "out"
        )
    channels, fixed = _axes(facts.input_shape, layout, model)
    order = sources.find("order", "RGB", file="grey" if channels == 1 else None, origin="its input")
    if (order == "grey") != (channels == 1) and channels is not None:
        raise ModelError(f"MODEL-INPUT: {model} takes {channels} channels, but order {order} was given; leave it out")
    mean = sources.find("mean", file=(0.0,) if bytes_in else None, origin="its input")
    std = sources.find("std", file=(1.0,) if bytes_in else None, origin="its input")
    if mean is None or std is None:
        raise ModelError(
            f"MODEL-INPUT: nothing says how images were normalised for {model}; say it as it was in its training, "
            "with --normalisation (imagenet, 0-1, -1-1 or 0-255) or with --mean and --std, in numbers for images in "
            "0 to 1"
        )
    width = 1 if order == "grey" else 3
    if not {len(mean), len(std)} <= {1, width}:
        raise ModelError(f"MODEL-INPUT: mean and std of {model} must be 1 or {width} numbers; give as many")
    scale = sources.find("scale", 1, file=255 if bytes_in else None, origin="its input")
    if bytes_in and (set(mean), set(std), scale) != ({0.0}, {1.0}, 255):
        raise ModelError(
            f"MODEL-INPUT: {model} takes bytes, 0 to 255, so nothing can be subtracted or divided before it; leave "
            "--normalisation, --mean and --std out"
        )
    size = sources.find("size", "own", file=fixed, origin="its input")
    if fixed is not None and size != fixed:
        wanted = f"{fixed[0]}x{fixed[1]}"
        raise ModelError(
            f"MODEL-INPUT: {model} takes images of {wanted} only, not {_shown(size)}; leave --size out, or export it "
            "with free height and width"
        )
    multiple = 1 if fixed else sources.find("multiple", 32)
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
    given: Described, facts: Facts, model: str, *, head: Head, channels: int, classes: Sequence[str],
    usual: Sequence[str], background: str | None,
) -> tuple[Declaration, tuple[Row, ...]]:  # fmt: skip
    """What the network's output is.

    channels: that it gives. classes, background: the data set's. usual: what channels of this head are on such data.
    Only one channel for one class needs no name. Whether values are logits or probabilities is never assumed.
    Raises ModelError where something is not known, or what was said contradicts the file.
    """
    sources = _Sources(given, facts)
    activation: Activation = "sigmoid" if head == "sigmoid" else "softmax"
    if facts.read.head not in (None, activation):
        raise ModelError(
            f"MODEL-HEAD: {model} is a {facts.read.head} by {facts.source}, but was given with {OPTIONS[head]}; "
            f"give it with --{facts.read.head}"
        )
    values = sources.find("values")
    if values is None:
        raise ModelError(
            f"MODEL-OUTPUT: nothing says whether {model} gives logits or probabilities; say --output logits if it ends "
            f"without an activation, else --output {activation}"
        )
    if facts.read.values not in (None, values):
        raise ModelError(
            f"MODEL-OUTPUT: {model} gives {facts.read.values} by {facts.source}, but --output says {values}; leave it "
            "out"
        )
    one = tuple(classes) if head == "sigmoid" and channels == len(classes) == 1 else None
    names = sources.find("classes", one)
    option = "--classes" if head != "softmax-powerset" else "--powerset-classes"
    if names is None:
        raise ModelError(
            f"MODEL-CHANNELS: nothing says what the {plural(channels, 'channel')} of {model} are; name them in order, "
            f"such as {option} {','.join(printable(name) for name in usual)}"
        )
    if len(names) != channels:
        raise ModelError(
            f"MODEL-CHANNELS: {model} gives {plural(channels, 'channel')}, but {len(names)} are named ({named(names)}"
            f"); name every channel in order with {option}"
        )
    known = given if given.background in names else given.model_copy(update={"background": None})
    sources = _Sources(known, facts, sources.rows)
    customary = next((name for name in (background, BACKGROUND_CHANNEL) if name in names), None)
    nothing = sources.find("background", customary)
    values_of = {"head": activation, "values": values, "classes": names, "background": nothing}
    return build(Declaration, values_of), tuple(sources.rows)


def _shown(value: Any) -> str:
    if isinstance(value, tuple | list):
        separator = "x" if len(value) == 2 and all(isinstance(one, int) for one in value) else ", "
        return separator.join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
    return str(value)
