"""Where things are."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
UNCHANGED: set[str] = set()  # folders of runs that no test changes: what was loaded of them may be kept


def shared_data() -> Path:
    """Folder of the real data sets, which live outside the project."""
    return Path(os.environ.get("SHARED_DATA", REPO.parent / "shared" / "data"))


def shared_cases() -> Path:
    """Folder of small data sets modelled on public bug reports, which live outside the project."""
    return Path(os.environ.get("SHARED_CASES", REPO.parent / "shared" / "cases"))
