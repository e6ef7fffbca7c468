"""The only reader and writer of runs."""

from pipelines.store.counts import CountsWriter, iter_counts, read_counts
from pipelines.store.files import counts_folder, predictions_folder, previews_file
from pipelines.store.manage import (
    RunWriter,
    TrashEntry,
    delete_run,
    empty_trash,
    list_trash,
    rename_run,
    restore_run,
    staged_attempts,
    trash_bytes,
)
from pipelines.store.manifest import check_source, run_of
from pipelines.store.outside import PredictionsFile, PredictionsWarning
from pipelines.store.predictions import Prediction, PredictionReader, PredictionWriter, PreviewWriter
from pipelines.store.runs import DamagedRun, Run, list_runs, open_run, run_bytes, scan_runs

__all__ = [
    "CountsWriter",
    "DamagedRun",
    "Prediction",
    "PredictionReader",
    "PredictionWriter",
    "PredictionsFile",
    "PredictionsWarning",
    "PreviewWriter",
    "Run",
    "RunWriter",
    "TrashEntry",
    "check_source",
    "counts_folder",
    "delete_run",
    "empty_trash",
    "iter_counts",
    "list_runs",
    "list_trash",
    "open_run",
    "predictions_folder",
    "previews_file",
    "read_counts",
    "rename_run",
    "restore_run",
    "run_bytes",
    "run_of",
    "scan_runs",
    "staged_attempts",
    "trash_bytes",
]
