"""Pixels to mergeable integer counts."""

from pipelines.counting.agreement import Agreement, count_agreement
from pipelines.counting.counts import Counts, add_up, merge, stack
from pipelines.counting.geometry import Geometry, TrueSurfaces, count_geometry
from pipelines.counting.kernel import ImageCounts, count_image
from pipelines.counting.regions import label_masks, regions

__all__ = [
    "Agreement", "Counts", "Geometry", "ImageCounts", "TrueSurfaces", "add_up", "count_agreement", "count_geometry",
    "count_image", "label_masks", "merge", "regions", "stack",
]  # fmt: skip
