"""Runs to what pages need; the only part that caches.

Keys are a run's folder and manifest checksum, never arrays: Streamlit hashes only a sample of large ones.
"""

from dashboard.loaders.accuracy import (
    METRIC_NAMES,
    error_picture,
    image_means,
    image_values,
    paired_values,
    scored_regions,
    stored_rows,
)
from dashboard.loaders.blocks import make_ahead, viewer_block
from dashboard.loaders.catalogue import catalogue, forget_runs, learning, summary, trash
from dashboard.loaders.compared import comparable, compared
from dashboard.loaders.confusion import cell_images, set_confusion
from dashboard.loaders.counted import (
    BINS,
    absent_classes,
    counts,
    ece_by_image,
    evaluation_bins,
    label_mass,
    label_rates,
    predicted_labels,
    reliability,
    units_of,
    whole_counts,
)
from dashboard.loaders.differences import advantages, after_temperature, score_tables
from dashboard.loaders.overlap import MOST_LABELS, example_of, label_map, label_sets, marked, worst_images
from dashboard.loaders.pixels import example, pixel_values, prediction, preview
from dashboard.loaders.process import freeze_once
from dashboard.loaders.runs import (
    KEY,
    RUN,
    RUNS_VARIABLE,
    damage_of,
    damaged_runs,
    dataset,
    evidence,
    forget_names,
    image_scores,
    ingredients,
    metrics,
    run_names,
    runs_folder,
    shown_heads,
)
from dashboard.loaders.thumbnails import Shows, thumbnail, within

__all__ = [
    "BINS",
    "KEY",
    "METRIC_NAMES",
    "MOST_LABELS",
    "RUN",
    "RUNS_VARIABLE",
    "Shows",
    "absent_classes",
    "advantages",
    "after_temperature",
    "catalogue",
    "cell_images",
    "comparable",
    "compared",
    "counts",
    "damage_of",
    "damaged_runs",
    "dataset",
    "ece_by_image",
    "error_picture",
    "evaluation_bins",
    "evidence",
    "example",
    "example_of",
    "forget_names",
    "forget_runs",
    "freeze_once",
    "image_means",
    "image_scores",
    "image_values",
    "ingredients",
    "label_map",
    "label_mass",
    "label_rates",
    "label_sets",
    "learning",
    "make_ahead",
    "marked",
    "metrics",
    "paired_values",
    "pixel_values",
    "predicted_labels",
    "prediction",
    "preview",
    "reliability",
    "run_names",
    "runs_folder",
    "score_tables",
    "scored_regions",
    "set_confusion",
    "shown_heads",
    "stored_rows",
    "summary",
    "thumbnail",
    "trash",
    "units_of",
    "viewer_block",
    "whole_counts",
    "within",
    "worst_images",
]
