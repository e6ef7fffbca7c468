"""Pixels to mergeable integer counts."""

from pipelines.counting.counts import Counts, ImageCounts, add_up, merge, stack
from pipelines.counting.image import count_image
from pipelines.counting.outlines import (
    Agreement,
    Geometry,
    TrueSurfaces,
    count_agreement,
    count_geometry,
    label_masks,
    regions,
)

__all__ = [
    "Agreement",
    "Counts",
    "Geometry",
    "ImageCounts",
    "TrueSurfaces",
    "add_up",
    "count_agreement",
    "count_geometry",
    "count_image",
    "label_masks",
    "merge",
    "regions",
    "stack",
]
