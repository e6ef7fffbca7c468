"""The only reader and writer of runs."""

from pipelines.storage.counts import CountsWriter, iter_counts, read_counts
from pipelines.storage.places import counts_folder, predictions_folder, previews_file
from pipelines.storage.predictions import Prediction, PredictionReader, PredictionWriter
from pipelines.storage.previews import PreviewWriter
from pipelines.storage.runs import Run, list_runs, open_run
from pipelines.storage.staging import RunWriter, staged_attempts

__all__ = [
    "CountsWriter",
    "Prediction",
    "PredictionReader",
    "PredictionWriter",
    "PreviewWriter",
    "Run",
    "RunWriter",
    "counts_folder",
    "iter_counts",
    "list_runs",
    "open_run",
    "predictions_folder",
    "previews_file",
    "read_counts",
    "staged_attempts",
]
