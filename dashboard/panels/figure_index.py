"""Explained figures to the pages they stand on: the order and the titles of the guide's list."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from dashboard.how_to_read import HOW_TO_READ

OTHER: Final = "Other figures"
# In the order of the menu.
PAGES: Final = {
    "verdict": "Verdict", "labels": "Labels", "accuracy": "Accuracy", "calibration": "Calibration",
    "confusion": "Confusion", "overlap": "Overlap", "thresholds": "Thresholds and costs", "losses": "Losses",
    "images": "Images", "runs": "Runs",
}  # fmt: skip


class Place(NamedTuple):
    """Where a figure is: a page's file name, "" where it is not known; title: what the guide calls it."""

    page: str
    title: str


FIGURES: Final[dict[str, Place]] = {
    "forest": Place("verdict", "Paired differences, with the margin"),
    "levels": Place("verdict", "One head alone"),
    "scores": Place("verdict", "Scores"),
    "labels_per_pixel": Place("labels", "Labels per pixel"),
    "class_shares": Place("labels", "Classes"),
    "splits": Place("labels", "Classes in each split"),
    "pairs_truth": Place("labels", "Classes that share pixels"),
    "nesting": Place("labels", "Which class lies inside which"),
    "kinds": Place("labels", "Images of each kind of pixel"),
    "ceiling": Place("labels", "Best possible with one label a pixel"),
    "accuracy": Place("accuracy", "Pooled and mean of images"),
    "seed_spread": Place("accuracy", "Seeds"),
    "image_pairs": Place("accuracy", "Image by image"),
    "image_spread": Place("accuracy", "Spread of the images"),
    "image_errors": Place("accuracy", "Errors on an image"),
    "reliability": Place("calibration", "Reliability diagram"),
    "by_image": Place("calibration", "Calibration error, pooled and image by image"),
    "calibration_scores": Place("calibration", "Calibration metrics"),
    "confusion": Place("confusion", "Confusion by argmax"),
    "confusion_threshold": Place("confusion", "Confusion by threshold"),
    "confusion_cell": Place("confusion", "Images of one cell"),
    "label_sets": Place("confusion", "Label sets"),
    "set_errors": Place("confusion", "Wrong label sets"),
    "rates": Place("overlap", "Overlap and no-label rates"),
    "labels": Place("overlap", "Labels predicted, by true number"),
    "pairs": Place("overlap", "Which classes share pixels"),
    "expected_overlap": Place("overlap", "Pairs of classes: expected and decided overlap"),
    "mass": Place("overlap", "Labels a pixel: expected and decided"),
    "label_maps": Place("overlap", "Where labels are several, or none"),
    "threshold_choices": Place("thresholds", "Best threshold of each class"),
    "threshold_scores": Place("thresholds", "Scores against the threshold"),
    "threshold_curves": Place("thresholds", "ROC and precision-recall"),
    "areas": Place("thresholds", "How well the heads rank pixels"),
    "threshold_costs": Place("thresholds", "Expected cost"),
    "selective": Place("thresholds", "Keeping only the surest pixels"),
    "losses": Place("losses", "Every run and head"),
    "effects": Place("losses", "What moves the results"),
    "images": Place("images", "Labels on an image"),
    "confidence": Place("images", "Confidence"),
    "image_scores": Place("images", "Scores of each image"),
    "runs": Place("runs", "Runs side by side"),
    "learning": Place("runs", "Training"),
}


def place_of(figure: str) -> Place:
    """Page and title of an explained figure; one that has no place yet goes by its name."""
    return FIGURES.get(figure, Place("", figure.replace("_", " ").capitalize()))


def by_page(figures: Iterable[str] = HOW_TO_READ) -> list[tuple[str, list[str]]]:
    """Figures by page, (file name of the page, names of its figures), in the order of the menu; unknown ones last."""
    known, given = list(FIGURES), list(figures)
    ordered = sorted(given, key=lambda name: known.index(name) if name in FIGURES else len(known))
    groups = [(page, [name for name in ordered if place_of(name).page == page]) for page in (*PAGES, "")]
    return [(page, names) for page, names in groups if names]
