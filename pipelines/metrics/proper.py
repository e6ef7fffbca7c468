"""Error sums to proper scores: Brier score and negative log-likelihood."""

from pipelines.arrays import Float64Array
from pipelines.metrics.base import Metric, Setting, first_over_second, ratio
from pipelines.metrics.sources import CATEGORICAL, NLL, SQUARED_ERROR


def _categorical_nll(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 0], terms[..., 2])


def _discarded_mass(terms: Float64Array, _setting: Setting) -> Float64Array:
    return ratio(terms[..., 1], terms[..., 2])


METRICS = (
    Metric(
        name="brier",
        title="Brier score",
        better="lower",
        description="Mean of (p − y)² over pixels, one class against the rest.",
        source=SQUARED_ERROR,
        value=first_over_second,
    ),
    Metric(
        name="nll",
        title="NLL",
        better="lower",
        description="Mean of −log P(y) over pixels in nats, one class against the rest.",
        source=NLL,
        value=first_over_second,
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="categorical_nll",
        title="Categorical NLL",
        better="lower",
        description="Mean of −log P(true class) in nats; a sigmoid head is read as softmax of its logits.",
        source=CATEGORICAL,
        value=_categorical_nll,
        kinds=("exclusive",),
        bounds=(0.0, float("inf")),
    ),
    Metric(
        name="discarded_mass",
        title="Mass off one label",
        better="neither",
        description="Mean probability a sigmoid head gives to no label or several; 0 for softmax by construction.",
        source=CATEGORICAL,
        value=_discarded_mass,
        kinds=("exclusive",),
    ),
)
