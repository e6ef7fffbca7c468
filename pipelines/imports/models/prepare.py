"""An image to the array that a network takes, and what the network gives to (K, H, W) values at the image's size."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from pipelines.arrays import Float32Array
from pipelines.config import Settings, Size
from pipelines.errors import ModelError
from pipelines.imports.models.facts import InputType, Layout, Numbers, Order, Positive

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)  # ITU-R BT.601, as Pillow's convert("L")


class Inputs(Settings):
    """How one network wants its images; see `Described` for each value. size: None for an image's own."""

    mean: Numbers
    std: Positive
    scale: int
    order: Order
    layout: Layout
    size: Size | None
    multiple: int
    dtype: InputType


def network_input(image: Float32Array, inputs: Inputs) -> NDArray[Any]:
    """One image, (H, W, 3) float32 RGB in [0, 1], to a batch of one in the network's layout and dtype.

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
