"""Names, versions and column layouts that every part of the project shares."""

from typing import Final, Literal, TypeAlias

import pyarrow as pa

SCHEMA_VERSION: Final = 1

Kind: TypeAlias = Literal["exclusive", "binary", "overlapping"]
Head: TypeAlias = Literal["sigmoid", "softmax", "softmax-powerset"]
# What is measured: a head's own output, or one network's logits read by the other head's function (the swap test).
Reading: TypeAlias = Literal["sigmoid", "softmax", "softmax-powerset", "sigmoid-as-softmax", "softmax-as-sigmoid"]
# temperature: one fitted number a head; temperature-by-class: one a class for sigmoid, one for softmax.
Variant: TypeAlias = Literal["raw", "temperature", "temperature-by-class"]
Split: TypeAlias = Literal["train", "val", "test"]
Region: TypeAlias = Literal["all", "foreground", "boundary", "interior"]

KINDS: Final[tuple[Kind, ...]] = ("exclusive", "binary", "overlapping")
HEADS: Final[tuple[Head, ...]] = ("sigmoid", "softmax", "softmax-powerset")
VARIANTS: Final[tuple[Variant, ...]] = ("raw", "temperature", "temperature-by-class")
SPLITS: Final[tuple[Split, ...]] = ("train", "val", "test")
REGIONS: Final[tuple[Region, ...]] = ("all", "foreground", "boundary", "interior")

# `head` of the rows that hold a paired difference: sigmoid minus the named contender.
DIFFERENCE: Final = "difference"
DIFFERENCE_POWERSET: Final = "difference-powerset"
DIFFERENCES: Final[dict[str, Head]] = {DIFFERENCE: "softmax", DIFFERENCE_POWERSET: "softmax-powerset"}

# `head` of the rows of the swap test: what reading the output does to each network, what training did in each reading.
SWAP_DIFFERENCES: Final[dict[str, tuple[Reading, Reading]]] = {
    "reading-of-sigmoid": ("sigmoid", "sigmoid-as-softmax"),
    "reading-of-softmax": ("softmax-as-sigmoid", "softmax"),
    "training-read-as-softmax": ("sigmoid-as-softmax", "softmax"),
    "training-read-as-sigmoid": ("sigmoid", "softmax-as-sigmoid"),
}

# `head` of the rows that say how far sigmoid and the named contender agree, pixel by pixel.
AGREEMENTS: Final[dict[str, Head]] = {"agreement": "softmax", "agreement-powerset": "softmax-powerset"}

ALL_SEEDS: Final = -1  # `seed` of the rows that average over every seed
MACRO: Final = "macro"  # `class` of the mean over the classes that occur in the truth
ALL_CLASSES: Final = "all"  # `class` of the metrics that have no class
RESERVED_CLASS_NAMES: Final = frozenset({MACRO, ALL_CLASSES})

# Log-odds are clipped here before they are stored: sigmoid(±512) is 0 or 1 in every float format.
LOG_ODDS_LIMIT: Final = 512.0

BACKGROUND_CHANNEL: Final = "background"  # softmax's extra channel on binary and overlapping truth


def truth_column(class_name: str) -> str:
    """Column that says whether the class is present in the truth."""
    return f"truth_{class_name}"


def log_odds_column(class_name: str) -> str:
    """Column with the log-odds of "this class is present"."""
    return f"log_odds_{class_name}"


def channel_column(channel: str) -> str:
    """Column with the log-odds of a softmax channel that is not itself a class."""
    return f"channel_{channel}"


def predictions_schema(
    classes: tuple[str, ...], *, extra_channels: tuple[str, ...] = (), logsumexp: bool = False
) -> pa.Schema:
    """Layout of predictions/…/part-*.parquet: one row a pixel, one row group an image.

    classes: class names in channel order.
    extra_channels: softmax channels that are not classes (background, label sets).
    logsumexp: whether the head is a softmax; z_c = log p_c + logsumexp gives its logits back.
    """
    fields = [
        pa.field("image", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("y", pa.uint16(), nullable=False),
        pa.field("x", pa.uint16(), nullable=False),
        pa.field("valid", pa.bool_(), nullable=False),
    ]
    fields += [pa.field(truth_column(name), pa.bool_(), nullable=False) for name in classes]
    fields += [pa.field(log_odds_column(name), pa.float16(), nullable=False) for name in classes]
    fields += [pa.field(channel_column(name), pa.float16(), nullable=False) for name in extra_channels]
    if logsumexp:
        fields.append(pa.field("logsumexp", pa.float16(), nullable=False))
    return pa.schema(fields)


METRICS_SCHEMA: Final = pa.schema(
    [
        pa.field("head", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("split", pa.string(), nullable=False),
        pa.field("variant", pa.string(), nullable=False),
        pa.field("region", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
        pa.field("standard_error", pa.float64()),
        pa.field("p_value", pa.float64()),  # of differences: that there is none
        pa.field("p_holm", pa.float64()),  # the same of a class, corrected for the number of classes (Holm 1979)
        pa.field("images", pa.int64(), nullable=False),
    ]
)

IMAGE_SCORES_SCHEMA: Final = pa.schema(
    [
        pa.field("split", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("head", pa.string(), nullable=False),
        pa.field("image", pa.string(), nullable=False),
        pa.field("pixels", pa.int64(), nullable=False),
        pa.field("dice", pa.float64()),  # this and what follows: mean over the classes for which it is defined
        pa.field("iou", pa.float64()),
        pa.field("boundary_iou", pa.float64()),
        pa.field("surface_dice", pa.float64()),
        pa.field("classwise_ece", pa.float64()),
        pa.field("brier", pa.float64()),
        pa.field("nll", pa.float64()),
        pa.field("volume_bias", pa.float64()),
        pa.field("overlap_rate", pa.float64()),
        pa.field("no_label_rate", pa.float64()),
        pa.field("disagreement", pa.float64()),  # share of valid pixels decided otherwise than by the sigmoid head
    ]
)

TRAINING_SCHEMA: Final = pa.schema(
    [
        pa.field("head", pa.string(), nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("epoch", pa.int32(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("split", pa.string(), nullable=False),  # train: loss of a step; val: score of an epoch
        pa.field("loss", pa.float64()),
        pa.field("score", pa.float64()),
        pa.field("learning_rate", pa.float64()),
        pa.field("seconds", pa.float64()),
    ]
)

# Validation examples while a pair learns, one row an image and what it shows: "truth" (with the picture) or a head.
EXAMPLES_SCHEMA: Final = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("shows", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("labels", pa.binary(), nullable=False),  # (C, H, W) bool, packed eight to a byte
        pa.field("jpeg", pa.binary()),
    ]
)
