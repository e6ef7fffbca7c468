"""Counts to a metric pooled over all pixels and as a distribution over images: the two can differ a lot."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from pipelines.arrays import Float64Array
from pipelines.counting import Counts
from pipelines.errors import ShapeError
from pipelines.metrics import METRICS
from pipelines.metrics.base import Setting
from pipelines.schema import ALL_CLASSES, Region

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def by_image(counts: Counts, name: str, *, setting: Setting, classes: Sequence[str], region: Region) -> pd.DataFrame:
    """A metric of each image alone: one row an image and class, with image, class and value (NaN where not defined).

    Raises ShapeError when the metric does not exist in the region or for this kind of truth.
    """
    metric = METRICS[name]
    if not metric.applies(setting, region):
        raise ShapeError(f"{name} does not exist for {setting.kind} truth in region {region}; choose another")
    names = list(classes) if metric.per_class else [ALL_CLASSES]
    return rows_of(counts.images, names, metric.by_image(counts, region, setting).reshape(-1, len(names)))


def rows_of(images: Sequence[str], names: Sequence[str], values: Float64Array) -> pd.DataFrame:
    """Values of images and classes, (N, C), as rows of `by_image`."""
    return pd.DataFrame(
        {
            "image": np.repeat(images, len(names)),
            "class": np.tile(names, len(images)),
            "value": values.reshape(-1),
        }
    )


def pooled_and_by_image(
    counts: Counts, name: str, *, setting: Setting, classes: Sequence[str], region: Region
) -> pd.DataFrame:
    """One row a class: class, pooled (over all pixels), images (in which it is defined), mean over them, quantiles.

    Quantile columns are p5, p25, p50, p75, p95; NaN where no image defines the metric.
    """
    metric = METRICS[name]
    rows = by_image(counts, name, setting=setting, classes=classes, region=region)
    names = list(classes) if metric.per_class else [ALL_CLASSES]
    pooled = np.atleast_1d(metric.pooled(counts, region, setting))
    return spread_of(names, pooled, rows["value"].to_numpy().reshape(-1, len(names)))


def spread_of(names: Sequence[str], pooled: Float64Array, values: Float64Array) -> pd.DataFrame:
    """Rows of `pooled_and_by_image` from values over all pixels, (C,), and of each image, (N, C)."""
    found = []
    for name, whole, some in zip(names, pooled, values.T, strict=True):
        known = some[~np.isnan(some)]
        quantiles = np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)
        entry = {"class": name, "pooled": float(whole), "images": len(known)}
        entry |= {"mean": float(known.mean()) if len(known) else np.nan}
        found.append(entry | {f"p{100 * q:g}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)})
    return pd.DataFrame(found)
