"""A calibrated score with its log-odds stretched to a reliability table: over- and under-confidence, free of chance."""

from typing import Final

import numpy as np
import pandas as pd

from pipelines.arrays import Float64Array
from pipelines.errors import ConfigError
from pipelines.metrics.calibration import ece_of_bins

PIXELS: Final = 1_000_000
_LOG_ODDS: Final[Float64Array] = np.linspace(-12.0, 12.0, 4801)
# Most pixels are surely not the class, some surely are, few lie between: (share, mean, spread) of their log-odds.
_MIXTURE: Final = ((0.65, -3.5, 1.6), (0.25, 3.0, 1.4), (0.10, 0.0, 1.2))


def stretched_reliability(stretch: float, *, bins: int = 15, name: str = "class") -> pd.DataFrame:
    """A table such as `metrics.reliability` makes, of a head that says σ(stretch · l) where σ(l) is true.

    stretch: > 0; above 1 over-confident, below 1 under-confident. A temperature equal to it mends the head. The
    log-odds l are a fixed mixture of PIXELS pixels. No intervals: nothing is drawn by chance.
    Raises ConfigError unless stretch > 0.
    """
    if not stretch > 0:
        raise ConfigError(f"stretch must be above 0, got {stretch}")
    true_p, said = _expit(_LOG_ODDS), _expit(stretch * _LOG_ODDS)
    mass = _mass()
    # Right-closed bins, 0 in the first.
    bin_of = np.clip(np.ceil(said * bins) - 1, 0, bins - 1).astype(np.int64)
    share = np.bincount(bin_of, mass, bins)
    with np.errstate(invalid="ignore"):
        mean_p = np.bincount(bin_of, mass * said, bins) / share
        observed = np.bincount(bin_of, mass * true_p, bins) / share
    edges = np.arange(bins + 1) / bins
    return pd.DataFrame(
        {
            "class": name, "bin": np.arange(bins), "low_edge": edges[:-1], "high_edge": edges[1:],
            "pixels": np.rint(share * PIXELS).astype(np.int64), "share": share, "mean_p": mean_p,
            "observed": observed, "low": np.nan, "high": np.nan,
        }
    )  # fmt: skip


def calibration_error(table: pd.DataFrame) -> float:
    """Expected calibration error of a table's bins: the gaps weighted by the share of pixels."""
    share = table["share"].to_numpy()
    filled = np.stack([share, share * table["observed"], share * table["mean_p"]], axis=-1)[share > 0]
    return float(ece_of_bins(filled))


def _expit(x: Float64Array) -> Float64Array:
    return 1 / (1 + np.exp(-x))


def _mass() -> Float64Array:
    """Share of the pixels at each of the log-odds, adding up to 1."""
    density = sum(
        weight * np.exp(-0.5 * ((_LOG_ODDS - mean) / spread) ** 2) / spread for weight, mean, spread in _MIXTURE
    )
    return np.asarray(density / np.sum(density), np.float64)
