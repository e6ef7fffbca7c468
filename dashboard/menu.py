"""The pages, in reading order: the answer, the evidence, the pixels, what to do.

A page is a script `app_pages/<name>.py` and an entry here; menu, guide and whatever walks over all pages take theirs
from this table. The folder is not called pages/: Streamlit runs the scripts of a folder of that name beside the app
on their own, without the menu around them, for whoever opens a link to one first.
"""

from typing import Final, NamedTuple


class Page(NamedTuple):
    """A page of the menu. icon: a name of Material Symbols; evidence: whether it shows a run, and is hidden without.

    figures: whether it draws figures of every run.
    """

    title: str
    icon: str
    evidence: bool = False
    figures: bool = False


PAGES: Final[dict[str, Page]] = {
    "verdict": Page("Verdict", "balance", evidence=True, figures=True),
    "labels": Page("Labels", "label", evidence=True, figures=True),
    "accuracy": Page("Accuracy", "target", evidence=True, figures=True),
    "calibration": Page("Calibration", "show_chart", evidence=True, figures=True),
    "confusion": Page("Confusion", "grid_on", evidence=True, figures=True),
    "overlap": Page("Overlap", "join_inner", evidence=True, figures=True),
    "thresholds": Page("Thresholds and costs", "tune", evidence=True, figures=True),
    "losses": Page("Losses", "compare_arrows", evidence=True, figures=True),
    "images": Page("Images", "image", evidence=True),
    "runs": Page("Runs", "inventory_2"),  # its trash may hold the only run
    "data": Page("Data", "folder_open"),
    "train": Page("Train", "model_training"),
    "import_outputs": Page("Import", "upload_file"),
    "guide": Page("How to read this", "menu_book"),
}
FIRST: Final = next(iter(PAGES))  # the page at the root of the server


def script(page: str) -> str:
    """A page's script, as Streamlit is told it: relative to the app's own."""
    return f"app_pages/{page}.py"
