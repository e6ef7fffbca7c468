"""Counts to numbers with intervals: one file a topic, one registry."""

from pipelines.metrics import (
    adaptive,
    binned,
    calibration,
    corp,
    overlap,
    proper,
    ranking,
    recalibration,
    segmentation,
    selective,
    smooth,
    surface,
    thresholds,
)
from pipelines.metrics.base import Metric, Setting, Source, registry

METRICS: dict[str, Metric] = registry(
    [
        topic.METRICS
        for topic in (
            segmentation, surface, ranking, thresholds, selective, calibration, adaptive, binned, smooth, recalibration,
            proper, corp, overlap,
        )
    ]
)  # fmt: skip

__all__ = ["METRICS", "Metric", "Setting", "Source"]
