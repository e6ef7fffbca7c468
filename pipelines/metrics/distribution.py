"""Counts to a metric pooled over all pixels and as a distribution over images: the two can differ a lot."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import pandas as pd

from pipelines.errors import ShapeError
from pipelines.metrics import METRICS
from pipelines.metrics.base import Setting
from pipelines.schema import ALL_CLASSES, Region
from pipelines.statistics import Counts

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)


def by_image(counts: Counts, name: str, *, setting: Setting, classes: Sequence[str], region: Region) -> pd.DataFrame:
    """A metric of each image alone: one row an image and class, with image, class and value (NaN where not defined).

    Raises ShapeError when the metric does not exist in the region or for this kind of truth.
    """
    metric = METRICS[name]
    if not metric.applies(setting, region):
        raise ShapeError(f"{name} does not exist for {setting.kind} truth in region {region}; choose another")
    names = list(classes) if metric.per_class else [ALL_CLASSES]
    values = metric.by_image(counts, region, setting).reshape(len(counts.images), len(names))
    return pd.DataFrame(
        {
            "image": np.repeat(counts.images, len(names)),
            "class": names * len(counts.images),
            "value": values.reshape(-1),
        }
    )


def pooled_and_by_image(
    counts: Counts, name: str, *, setting: Setting, classes: Sequence[str], region: Region
) -> pd.DataFrame:
    """One row a class: class, pooled (over all pixels), images (in which it is defined), mean over them, quantiles.

    Quantile columns are p5, p25, p50, p75, p95; NaN where no image defines the metric.
    """
    rows = by_image(counts, name, setting=setting, classes=classes, region=region)
    pooled = np.atleast_1d(METRICS[name].pooled(counts, region, setting))
    found = []
    for whole, (label, some) in zip(pooled, rows.groupby("class", sort=False)["value"], strict=True):
        known = some.dropna().to_numpy()
        quantiles = np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)
        entry = {"class": label, "pooled": float(whole), "images": len(known)}
        entry |= {"mean": float(known.mean()) if len(known) else np.nan}
        found.append(entry | {f"p{100 * q:g}": float(v) for q, v in zip(QUANTILES, quantiles, strict=True)})
    return pd.DataFrame(found)
