"""Counts to shares of pixels with several labels or none."""

from pipelines.arrays import Float64Array
from pipelines.metrics.base import Metric, Setting, ratio
from pipelines.metrics.sources import LABELS, MASS


def _overlap_rate(terms: Float64Array, _setting: Setting) -> Float64Array:
    """From (..., 4, 4): by true number of labels, pixels and those called at least one, two, three classes."""
    return ratio(terms[..., 2].sum(axis=-1), terms[..., 0].sum(axis=-1))


def _no_label_rate(terms: Float64Array, _setting: Setting) -> Float64Array:
    pixels = terms[..., 0].sum(axis=-1)
    return ratio(pixels - terms[..., 1].sum(axis=-1), pixels)


def _overlap_recall(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 2:, 2].sum(axis=-1), terms[..., 2:, 0].sum(axis=-1))


def _overlap_precision(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 2:, 2].sum(axis=-1), terms[..., 2].sum(axis=-1))


def _share(terms: Float64Array, number: int) -> Float64Array:
    """From (..., 2, 3): probability and true pixels of 0, 1, and 2 or more labels."""
    return ratio(terms[..., 0, number], terms[..., 1, :].sum(axis=-1))


def _overlap_bias(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 0, 2] - terms[..., 1, 2], terms[..., 1, :].sum(axis=-1))


METRICS = (
    Metric(
        name="overlap_rate",
        title="Overlapping-label rate",
        better="neither",
        description="Share of pixels with two or more classes at p > 0.5.",
        source=LABELS,
        value=_overlap_rate,
    ),
    Metric(
        name="no_label_rate",
        title="No-label rate",
        better="neither",
        description="Share of pixels with no class at p > 0.5.",
        source=LABELS,
        value=_no_label_rate,
    ),
    Metric(
        name="overlap_recall",
        title="Overlap recall",
        better="higher",
        description="Of the pixels with two or more true labels, the share given two or more at p > 0.5.",
        source=LABELS,
        value=_overlap_recall,
        kinds=("overlapping",),
    ),
    Metric(
        name="overlap_precision",
        title="Overlap precision",
        better="higher",
        description="Of the pixels given two or more labels at p > 0.5, the share that truly carries two or more.",
        source=LABELS,
        value=_overlap_precision,
        kinds=("overlapping",),
    ),
    Metric(
        name="no_label_mass",
        title="Probability of no label",
        better="neither",
        description="Mean probability that a pixel carries no label; sigmoid's labels are taken as independent.",
        source=MASS,
        value=lambda terms, _: _share(terms, 0),
    ),
    Metric(
        name="one_label_mass",
        title="Probability of one label",
        better="neither",
        description="Mean probability that a pixel carries exactly one label.",
        source=MASS,
        value=lambda terms, _: _share(terms, 1),
    ),
    Metric(
        name="overlap_mass",
        title="Probability of several labels",
        better="neither",
        description="Mean probability that a pixel carries two labels or more: the expected overlapping-label rate.",
        source=MASS,
        value=lambda terms, _: _share(terms, 2),
    ),
    Metric(
        name="overlap_bias",
        title="Expected minus true overlap",
        better="neither",
        description="Expected overlapping-label rate minus the true one; off 0 where labels are not independent.",
        source=MASS,
        value=_overlap_bias,
        bounds=(-1.0, 1.0),
    ),
)
