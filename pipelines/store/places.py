"""Names and places inside a runs folder."""

import re
from pathlib import Path
from typing import Final

from pipelines.errors import RunError
from pipelines.schema import Head, Reading, Split, Variant

MANIFEST: Final = "manifest.json"
STAGING: Final = ".staging"
TRASH: Final = ".trash"
# What evaluation makes from the rest of a run: the first part of the paths of these files.
EVALUATED: Final = ("statistics", "metrics.parquet", "image_scores.parquet", "evaluation.json", "verdict.json")
NAME: Final = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"


def check_name(name: str) -> str:
    """The name, if it can be a run's. Raises RunError otherwise."""
    if not re.fullmatch(NAME, name):
        raise RunError(
            f"a run's name is 1 to 64 letters, digits, '.', '_' or '-' and begins with a letter or digit, got {name!r}"
        )
    return name


def predictions_folder(split: Split, head: Head, seed: int) -> Path:
    """Place of predictions inside a run."""
    return Path("predictions") / f"split={split}" / f"head={head}" / f"seed={seed}"


def models_folder(head: Head, seed: int) -> Path:
    """Place of a network inside a run."""
    return Path("models") / f"seed={seed}" / f"head={head}"


def counts_folder(split: Split, head: Reading, seed: int, variant: Variant) -> Path:
    """Place of counts inside a run."""
    return Path("statistics") / f"split={split}" / f"head={head}" / f"seed={seed}" / f"variant={variant}"


def previews_file(split: Split) -> Path:
    """Place of the images of a split, as seen by the networks, inside a run."""
    return Path("previews") / f"split={split}.parquet"
