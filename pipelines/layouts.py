"""Layouts of the parquet files of a run: columns, their types, and which of them may be empty."""

from typing import Final

import pyarrow as pa

from pipelines.schema import channel_column, log_odds_column, soft_column, truth_column


def predictions_schema(
    classes: tuple[str, ...], *, extra_channels: tuple[str, ...] = (), logsumexp: bool = False, soft: bool = False
) -> pa.Schema:
    """Layout of predictions/…/part-*.parquet: one row a pixel, one row group an image.

    classes: class names in channel order.
    extra_channels: softmax channels that are not classes (background, label sets).
    logsumexp: whether the head is a softmax; z_c = log p_c + logsumexp gives its logits back.
    soft: whether there is a soft truth beside the hard one.
    """
    fields = [
        pa.field("image", pa.dictionary(pa.int32(), pa.string()), nullable=False),
        pa.field("y", pa.uint16(), nullable=False),
        pa.field("x", pa.uint16(), nullable=False),
        pa.field("valid", pa.bool_(), nullable=False),
    ]
    fields += [pa.field(truth_column(name), pa.bool_(), nullable=False) for name in classes]
    fields += [pa.field(soft_column(name), pa.float16(), nullable=False) for name in classes if soft]
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

# What several observers marked of an image, one row a pair of them (or one and the majority of the others) and class.
OBSERVERS_SCHEMA: Final = pa.schema(
    [
        pa.field("image", pa.string(), nullable=False),
        pa.field("observer", pa.string(), nullable=False),
        pa.field("against", pa.string(), nullable=False),
        pa.field("class", pa.string(), nullable=False),
        pa.field("both", pa.int64(), nullable=False),  # pixels that both marked
        pa.field("own", pa.int64(), nullable=False),
        pa.field("other", pa.int64(), nullable=False),
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
