"""Names, versions and names of columns that every part of the project shares."""

from typing import Final, Literal, TypeAlias

SCHEMA_VERSION: Final = 1

Kind: TypeAlias = Literal["exclusive", "binary", "overlapping"]
Head: TypeAlias = Literal["sigmoid", "softmax", "softmax-powerset"]
# What is measured: a head's own output, or one network's logits decoded by the other head's function (the swap test).
Reading: TypeAlias = Literal["sigmoid", "softmax", "softmax-powerset", "sigmoid-as-softmax", "softmax-as-sigmoid"]
# Which softmaxes meet the sigmoid on overlapping truth: one label a pixel by priority, a channel a label set, or both.
SoftmaxRule: TypeAlias = Literal["priority", "powerset", "both"]
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
DIFFERENCES: Final[dict[str, Head]] = {DIFFERENCE: "softmax", "difference-powerset": "softmax-powerset"}

# `head` of the rows of the swap test: what reading the output does to each network, what training did in each reading.
SWAP_DIFFERENCES: Final[dict[str, tuple[Reading, Reading]]] = {
    "reading-of-sigmoid": ("sigmoid", "sigmoid-as-softmax"),
    "reading-of-softmax": ("softmax-as-sigmoid", "softmax"),
    "training-read-as-softmax": ("sigmoid-as-softmax", "softmax"),
    "training-read-as-sigmoid": ("sigmoid", "softmax-as-sigmoid"),
}

# `head` of the rows that say how far sigmoid and the named contender agree, pixel by pixel.
AGREEMENTS: Final[dict[str, Head]] = {"agreement": "softmax", "agreement-powerset": "softmax-powerset"}

OBSERVERS: Final = "observers"  # `head` of the rows that say how far several observers of the truth agree

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


def soft_column(class_name: str) -> str:
    """Column with the share of observers who marked the class, or its declared probability."""
    return f"soft_{class_name}"


def log_odds_column(class_name: str) -> str:
    """Column with the log-odds of "this class is present"."""
    return f"log_odds_{class_name}"


def channel_column(channel: str) -> str:
    """Column with the log-odds of a softmax channel that is not itself a class."""
    return f"channel_{channel}"
