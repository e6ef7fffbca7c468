"""Pixels to mergeable integer counts."""

from pipelines.statistics.counts import Counts, merge, stack
from pipelines.statistics.kernel import ImageCounts, count_image
from pipelines.statistics.regions import label_masks, regions

__all__ = ["Counts", "ImageCounts", "count_image", "label_masks", "merge", "regions", "stack"]
