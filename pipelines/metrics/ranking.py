"""Score histograms to how well scores rank pixels with a class above those without: ROC and precision-recall.

hist: (..., 4, CELLS) float: pixels without the class, pixels with it, sums of p over each, by cell of p. Scores in one
cell are tied, so all numbers are exact for scores rounded to their cell.
"""

from pipelines.arrays import Float64Array
from pipelines.metrics.base import PIXEL_REGIONS, Metric, derived, ratio
from pipelines.metrics.histogram_loops import each_histogram, ranking
from pipelines.metrics.sources import SCORES
from pipelines.metrics.thresholds import outcomes_by_cut


def auroc(hist: Float64Array) -> Float64Array:
    """Probability that a pixel with the class has the higher p than one without, a tie counting one half, (...).

    The area under the ROC curve with straight lines between cells (Hanley & McNeil 1982). Raw scores can differ from it
    by at most half the share of pairs that fall into one cell. NaN unless there are pixels of both kinds.
    """
    return each_histogram(ranking, hist, 2)[..., 0]


def average_precision(hist: Float64Array) -> Float64Array:
    """Sum over cells from the top of (R_k - R_(k-1)) P_k, precision weighted by the recall gained, (...).

    scikit-learn's definition, without interpolation: straight lines between points of a precision-recall curve cannot
    be reached by any threshold and are too favourable (Davis & Goadrich 2006). Raw scores, which tell pixels of one
    cell apart, give more: by some 10⁻³, for a rare class 0.004. NaN where the class is not in the truth.
    """
    return each_histogram(ranking, hist, 2)[..., 1]


def roc_curve(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """False and true positive rate at every cut of metrics.thresholds, each (..., CELLS + 1), from (1, 1) to (0, 0).

    NaN where there is no pixel to divide by.
    """
    tp, fp, fn, tn = outcomes_by_cut(hist)
    return ratio(fp, fp + tn), ratio(tp, tp + fn)


def pr_curve(hist: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Precision and recall at every cut of metrics.thresholds, each (..., CELLS + 1), recall falling from 1 to 0.

    Precision is NaN at cuts that call nothing (scikit-learn writes 1 there), recall where the class is not in the
    truth.
    """
    tp, fp, fn, _ = outcomes_by_cut(hist)
    return ratio(tp, tp + fp), ratio(tp, tp + fn)


_RANKING = derived(SCORES, "ranking", lambda hist: each_histogram(ranking, hist, 2))

METRICS = (
    Metric(
        name="auroc",
        title="AUROC",
        better="higher",
        description="Chance that a pixel with the class has a higher p than one without; blind to calibration.",
        source=_RANKING,
        value=lambda areas, _: areas[..., 0],
        regions=PIXEL_REGIONS,  # a foreground chosen by p > 0.5 leaves no ranking to judge
    ),
    Metric(
        name="average_precision",
        title="Average precision",
        better="higher",
        description="Precision averaged over recall, from the highest p down; falls with the share of the class.",
        source=_RANKING,
        value=lambda areas, _: areas[..., 1],
        regions=PIXEL_REGIONS,
    ),
)
