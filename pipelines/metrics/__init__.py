"""Counts to numbers with intervals: one module a topic, one registry."""

from pipelines.metrics import calibration, overlap, proper, segmentation, thresholds
from pipelines.metrics.base import Metric, Setting, Source, registry

__all__ = ["METRICS", "Metric", "Setting", "Source"]

METRICS: dict[str, Metric] = registry(
    [topic.METRICS for topic in (segmentation, thresholds, calibration, proper, overlap)]
)
