"""Pixels to mergeable integer counts."""

from pipelines.statistics.agreement import Agreement, count_agreement
from pipelines.statistics.counts import Counts, add_up, merge, stack
from pipelines.statistics.geometry import Geometry, TrueSurfaces, count_geometry
from pipelines.statistics.kernel import ImageCounts, count_image
from pipelines.statistics.regions import label_masks, regions

__all__ = [
    "Agreement", "Counts", "Geometry", "ImageCounts", "TrueSurfaces", "add_up", "count_agreement", "count_geometry",
    "count_image", "label_masks", "merge", "regions", "stack",
]  # fmt: skip
