"""Counts to numbers with intervals: one file a topic, one registry."""

from pipelines.metrics import calibration, overlap, proper, segmentation
from pipelines.metrics.base import Metric, Setting

METRICS: dict[str, Metric] = {
    metric.name: metric for topic in (segmentation, calibration, proper, overlap) for metric in topic.METRICS
}

__all__ = ["METRICS", "Metric", "Setting"]
