"""Score histograms to the gap between p and the observed share in bins of equal mass."""

from pipelines.arrays import Float64Array
from pipelines.errors import ShapeError
from pipelines.metrics.base import Metric
from pipelines.metrics.histogram_loops import each_histogram, equal_mass_gaps
from pipelines.metrics.sources import SCORES


def adaptive_ece(hist: Float64Array, *, bins: int = 15) -> Float64Array:
    """Sum over equal-mass bins of p of (n_b / N) |mean y - mean p|, (...); NaN without pixels.

    hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p.

    The rule, with F(c) the pixels in cells below c and n(c) those in it: cell c belongs to bin
    floor(bins (F(c) + n(c) / 2) / N), the one that holds the middle of its mass. So pixels of one cell stay together, a
    cell larger than a bin fills one bin and leaves others empty, and neither the order of the pixels nor rounding plays
    a part (counts below 2^48 are compared exactly). Nixon et al. (2019) sort pixels and cut the list into equal parts,
    which splits ties by the order they happen to come in, and count the parts equally; here unequal bins count by their
    mass, which is the same where masses are equal. Raises ShapeError unless bins is at least 1.
    """
    if bins < 1:
        raise ShapeError(f"bins must be at least 1, got {bins}")
    return each_histogram(equal_mass_gaps, hist, 1, bins)[..., 0]


METRICS = (
    Metric(
        name="adaptive_ece",
        title="Adaptive ECE",
        better="lower",
        description="Mean gap between p and the observed share in bins that hold about the same number of pixels.",
        folded=True,
        source=SCORES,
        value=lambda hist, setting: adaptive_ece(hist, bins=setting.bins),
    ),
)
