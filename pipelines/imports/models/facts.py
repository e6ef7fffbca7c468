"""What is said about a model, by its user or by its file, as validated values."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from pipelines.config import Settings, Size
from pipelines.misuse.declaration import Activation, Values

Numbers: TypeAlias = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(min_length=1, max_length=3)
]
Positive: TypeAlias = Annotated[
    tuple[Annotated[float, Field(gt=0, allow_inf_nan=False)], ...], Field(min_length=1, max_length=3)
]
Name: TypeAlias = Annotated[str, Field(min_length=1, max_length=256)]
Order: TypeAlias = Literal["RGB", "BGR", "grey"]
Layout: TypeAlias = Literal["NCHW", "NHWC"]
InputType: TypeAlias = Literal["float16", "float32", "float64", "uint8"]


class Described(Settings):
    """What somebody says about a model; None where they say nothing.

    The network sees (scale · image - mean) / std with images in [0, 1]. mean, std: one number, or one a colour, in the
    order of the network's channels. scale: 1, or 255 for networks that take bytes. order: of the colours; grey is one
    channel, the luma of ITU-R BT.601. size: (height, width) that images are resized to, "own" for networks that take
    any size. multiple: what height and width are padded to a multiple of. head, values, classes, background: what the
    output is, as in `Declaration`.
    """

    mean: Numbers | None = None
    std: Positive | None = None
    scale: Literal[1, 255] | None = None
    order: Order | None = None
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
        first, last = self.input_shape[1] in (1, 3), self.input_shape[3] in (1, 3)
        return None if first == last else "NCHW" if first else "NHWC"

    @property
    def axes(self) -> tuple[int | None, int | None, int | None]:
        """Channels, height and width of the input; None where it leaves them open or does not tell."""
        if len(self.input_shape) != 4:
            return None, None, None
        _, first, second, third = self.input_shape
        return (third, first, second) if (self.read.layout or self.layout) == "NHWC" else (first, second, third)
