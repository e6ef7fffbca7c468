"""What a user says of a model, what its file says and what is customary, to how images go in and what comes out."""

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from pipelines.arrays import Float32Array
from pipelines.channels import Activation, Declaration, Values
from pipelines.config import Settings, Size, build
from pipelines.datasets.bands import MAX_BANDS
from pipelines.errors import ModelError
from pipelines.heads import LAST_LAYERS
from pipelines.imports.sources import named
from pipelines.schema import BACKGROUND_CHANNEL, Head
from pipelines.sentences import count_of, one_line

Numbers: TypeAlias = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1, max_length=MAX_BANDS)
]
Positive: TypeAlias = Annotated[
    tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1, max_length=MAX_BANDS)
]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Order: TypeAlias = Literal["RGB", "BGR", "grey"]
Layout: TypeAlias = Literal["NCHW", "NHWC"]
InputType: TypeAlias = Literal["float16", "float32", "float64", "uint8"]


class Described(Settings):
    """What somebody says about a model; None where they say nothing.

    The network sees (scale · image - mean) / std with images in [0, 1]. mean, std: one number, or one a band, in the
    order of the network's channels. scale: 1, or 255 for networks that take bytes. order: of the colours; grey is one
    channel, the luma of ITU-R BT.601, and bands are those of the data set, whatever they are. size: (height, width)
    that images are resized to, "own" for networks that take any size. multiple: what height and width are padded to a
    multiple of. head, values, classes, background: what the output is, as in `Declaration`.
    """

    mean: Numbers | None = None
    std: Positive | None = None
    scale: Literal[1, 255] | None = None
    order: Order | Literal["bands"] | None = None
    layout: Layout | None = None
    size: Size | Literal["own"] | None = None
    multiple: Annotated[int, Field(ge=1, le=4096)] | None = None
    head: Activation | None = None
    values: Values | None = None
    classes: Annotated[tuple[Name, ...], Field(max_length=4096)] | None = None
    background: Name | None = None


class Facts(Settings):
    """What a model's file tells once it is open.

    input_shape: four axes of its input, None where any length will do, or empty when the file does not tell. dtype: of
    its input. outputs: names of all its outputs; output: the one that is read, empty while none of several was chosen.
    read: settings found in the file; source: where in the file, for people.
    """

    input_shape: Annotated[tuple[Annotated[int, Field(ge=1)] | None, ...], Field(max_length=4)] = ()
    dtype: InputType = "float32"
    outputs: Annotated[tuple[str, ...], Field(max_length=1024)] = ()
    output: str = ""
    read: Described = Described()
    source: str = "the file"

    @property
    def layout(self) -> Layout | None:
        """Where the shape of the input has its colours; None where it does not tell."""
        if len(self.input_shape) != 4:
            return None
        for few in ((1, 3), range(1, MAX_BANDS + 1)):
            first, last = self.input_shape[1] in few, self.input_shape[3] in few
            if first != last:
                return "NCHW" if first else "NHWC"
        return None

    @property
    def axes(self) -> tuple[int | None, int | None, int | None]:
        """Channels, height and width of the input; None where it leaves them open or does not tell."""
        if len(self.input_shape) != 4:
            return None, None, None
        _, first, second, third = self.input_shape
        return (third, first, second) if (self.read.layout or self.layout) == "NHWC" else (first, second, third)


def first_line(text: str, longest: int = 300) -> str:
    """The first line of text that somebody else wrote, printable and not too long."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return one_line(lines[0] if lines else "no reason given", longest)


# Settings, each with its origin ---------------------------------------------------------------------------------------

GIVEN: Final = "given"
ASSUMED: Final = "assumed"
OPTIONS: Final[dict[Head, str]] = {head: f"--{layer.option}" for head, layer in LAST_LAYERS.items()}


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


class Inputs(Settings):
    """How one network wants its images; see `Described` for each value. size: None for an image's own."""

    mean: Numbers
    std: Positive
    scale: int
    order: Order | Literal["bands"]
    layout: Layout
    size: Size | None
    multiple: int
    dtype: InputType


def resolve_inputs(given: Described, facts: Facts, model: str, bands: int = 3) -> tuple[Inputs, tuple[Row, ...]]:
    """How images of so many bands go into the network.

    Raises ModelError when it is not known how they were normalised, or the network takes another number of bands; one
    that takes 1 gets the grey of three.

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
    channels, fixed = _axes(facts.input_shape, layout, model, bands)
    grey = channels == 1 and bands == 3
    order = sources.find("order", "RGB" if bands == 3 else "bands", file="grey" if grey else None, origin="its input")
    if order != "bands" and bands != 3:
        raise ModelError(
            f"MODEL-INPUT: the order {order} is one of colours, but images of this data set have "
            f"{count_of(bands, 'band')}, which go into {model} in their own order; leave it out"
        )
    if (order == "grey") != grey and channels is not None:
        raise ModelError(f"MODEL-INPUT: {model} takes {channels} channels, but order {order} was given; leave it out")
    mean = sources.find("mean", file=(0.0,) if bytes_in else None, origin="its input")
    std = sources.find("std", file=(1.0,) if bytes_in else None, origin="its input")
    if mean is None or std is None:
        raise ModelError(
            f"MODEL-INPUT: nothing says how images were normalised for {model}; say it as it was in its training, "
            "with --normalisation (imagenet, 0-1, -1-1 or 0-255) or with --mean and --std, in numbers for images in "
            "0 to 1"
        )
    width = 1 if order == "grey" else bands
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


def _axes(
    shape: Sequence[int | None], layout: str, model: str, bands: int
) -> tuple[int | None, tuple[int, int] | None]:
    """Channels and fixed (height, width) of the input; None where the file leaves them open or does not tell."""
    if not shape:
        return None, None
    batch, channels, height, width = shape if layout == "NCHW" else (shape[0], shape[3], shape[1], shape[2])
    if batch not in (None, 1):
        raise ModelError(
            f"MODEL-INPUT: {model} takes {batch} images at once; export it with a batch of 1 or a free one"
        )
    if channels not in (None, bands) and (channels, bands) != (1, 3):
        have = "3 (RGB), or 1 for a network of grey images" if bands == 3 else str(bands)
        raise ModelError(
            f"MODEL-INPUT: {model} takes {count_of(channels or 0, 'channel')}; images of this data set have {have}; "
            "pick the bands that it was trained on with the option channels of the data set, or import its predictions"
        )
    if (height is None) != (width is None):
        raise ModelError(f"MODEL-INPUT: {model} fixes only one of height and width; export it with both free or fixed")
    return channels, None if height is None or width is None else (height, width)


def resolve_output(
    given: Described,
    facts: Facts,
    model: str,
    *,
    head: Head,
    channels: int,
    classes: Sequence[str],
    usual: Sequence[str],
    background: str | None,
) -> tuple[Declaration, tuple[Row, ...]]:
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
    only = tuple(classes) if head == "sigmoid" and channels == len(classes) == 1 else None
    names = sources.find("classes", only)
    option = f"{OPTIONS[head]}-classes" if LAST_LAYERS[head].over_label_sets else "--classes"
    if names is None:
        if channels == len(usual) - 1:  # a network without a background
            usual = [name for name in usual if name != (background or BACKGROUND_CHANNEL)]
        raise ModelError(
            f"MODEL-CHANNELS: nothing says what the {count_of(channels, 'channel')} of {model} are; name them in "
            f"order, such as {option} {','.join(one_line(name) for name in usual)}"
        )
    if len(names) != channels:
        raise ModelError(
            f"MODEL-CHANNELS: {model} gives {count_of(channels, 'channel')}, but {len(names)} are named ({named(names)}"
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


# Arrays ---------------------------------------------------------------------------------------------------------------

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's convert("L")


def network_input(image: Float32Array, inputs: Inputs) -> NDArray[Any]:
    """One image, (H, W, bands) float32 in [0, 1], to a batch of one in the network's layout and dtype.

    Height and width are padded at the bottom and right to the multiple with 0, the mean colour, after normalisation.
    """
    colours = image
    if inputs.order == "grey":
        colours = (image @ _LUMA)[..., None]
    elif inputs.order == "BGR":
        colours = image[..., ::-1]
    scaled = colours if inputs.scale == 1 else colours * np.float32(inputs.scale)
    values = (scaled - np.asarray(inputs.mean, np.float32)) / np.asarray(inputs.std, np.float32)
    if inputs.dtype == "uint8":
        values = np.clip(np.rint(values), 0, 255)
    height, width = image.shape[:2]
    rows, columns = padded_size((height, width), inputs.multiple)
    values = np.pad(values, ((0, rows - height), (0, columns - width), (0, 0)))
    if inputs.layout == "NCHW":
        values = np.moveaxis(values, -1, 0)
    return np.ascontiguousarray(values[None], dtype=inputs.dtype)


def padded_size(size: tuple[int, int], multiple: int) -> tuple[int, int]:
    """(height, width) rounded up to multiples."""
    return size[0] + -size[0] % multiple, size[1] + -size[1] % multiple


def output_layout(shape: tuple[int, ...], dtype: str, padded: tuple[int, int], layout: Layout, model: str) -> Layout:
    """Where an output for an input of the padded size has its channels; as the input (layout) where both would fit.

    Raises ModelError unless it is (1, K, H, W) or (1, H, W, K) of real numbers at that size, saying what to export.
    """
    found = f"{model} gives {dtype} of shape {'×'.join(map(str, shape)) or '()'} for an input of {_by(padded)}"
    if not dtype.startswith("float"):
        raise ModelError(
            f"MODEL-OUTPUT: {found}: these are labels, not values a class; export the network without its last "
            "argmax or threshold"
        )
    if len(shape) == 4 and shape[0] == 1 and 0 not in shape:
        fitting: list[Layout] = []
        if shape[2:] == padded:
            fitting.append("NCHW")
        if shape[1:3] == padded:
            fitting.append("NHWC")
        if fitting:
            return layout if layout in fitting else fitting[0]
        raise ModelError(
            f"MODEL-OUTPUT: {found}: not at the size of its input; end the network with an interpolation of its logits "
            "to that size"
        )
    if len(shape) == 3 and shape[1:] == padded:
        raise ModelError(
            f"MODEL-OUTPUT: {found}: there is no axis of classes; export (N, K, H, W), one channel too, such as "
            "output[:, None]"
        )
    raise ModelError(
        f"MODEL-OUTPUT: {found}; wanted is (1, K, H, W), one channel a class; choose another output with --tensor, or "
        "export the network so"
    )


def image_output(out: Float32Array, layout: Layout, size: tuple[int, int]) -> Float32Array:
    """An output of a batch of one to (K, H, W) at the image's size: without what was padded at the bottom and right."""
    values = out[0] if layout == "NCHW" else np.moveaxis(out[0], -1, 0)
    return values[:, : size[0], : size[1]]


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
