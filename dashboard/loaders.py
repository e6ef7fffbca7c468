"""Runs to what pages need; the only place that caches.

Keys are a run's folder and manifest checksum, never arrays: Streamlit hashes only a sample of large ones.
"""

import gc
import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import streamlit as st
from PIL import Image

from pipelines.arrays import UInt8Array
from pipelines.metrics import tables
from pipelines.schema import Head, Region, Split, Variant
from pipelines.statistics import Counts
from pipelines.storage import Prediction, Run, list_runs

RUNS_VARIABLE: Final = "PIPELINES_RUNS"
_KEY: Final[dict[str | type[Any], Callable[[Any], Any]]] = {Run: lambda run: f"{run.folder}|{run.checksum}"}


def runs_folder() -> Path:
    """Where runs are: the environment variable PIPELINES_RUNS, or runs/ in the repository."""
    given = os.environ.get(RUNS_VARIABLE)
    return Path(given).expanduser() if given else Path(__file__).resolve().parents[1] / "runs"


@st.cache_data(ttl=2, max_entries=4, show_spinner=False)
def _names(folder: str) -> list[str]:
    return [run.name for run in list_runs(Path(folder))]


def run_names() -> list[str]:
    """Names of all whole runs, newest first; looked up at most every two seconds."""
    return _names(str(runs_folder()))


def forget_names() -> None:
    """Look the runs up afresh next time."""
    _names.clear()


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=_KEY)
def counts(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Counts:
    """Counts of one head, several seeds added up; shared by all sessions, so never to be written to."""
    return tables.add_seeds([run.counts(split, head, seed, variant=variant) for seed in seeds])


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEY)
def dataset(run: Run) -> dict[str, Any]:
    """What the check found in the run's data set."""
    return run.dataset


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEY)
def metrics(run: Run) -> pd.DataFrame:
    """metrics.parquet."""
    return run.metrics()


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEY)
def image_scores(run: Run) -> pd.DataFrame:
    """image_scores.parquet."""
    return run.image_scores()


def units_of(run: Run, split: Split) -> tuple[int, ...] | None:
    """What evaluation resampled, as the unit of each image; None where it noted no groups."""
    units = run.facts["resampling"][split].get("of_image")
    return None if units is None else tuple(units)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=_KEY)
def reliability(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, bins: int
) -> pd.DataFrame:
    """Reliability rows of every class, and of the top label where truth is exclusive and the region has one."""
    facts, units = dataset(run), units_of(run, split)
    counted = counts(run, split, head, seeds, variant)
    frame = tables.reliability(counted, classes=facts["classes"], bins=bins, region=region, units=units)
    if counted.exclusive and (region != "foreground" or facts["background"]):
        top = tables.top_label_reliability(counted, bins=bins, region=region, units=units)
        frame = pd.concat([top, frame], ignore_index=True)
    return frame


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_KEY)
def label_rates(run: Run, split: Split, head: Head, seeds: tuple[int, ...], region: Region) -> pd.DataFrame:
    """Overlap and no-label rates against the threshold."""
    counted = counts(run, split, head, seeds, "raw")
    return tables.label_rates(counted, region=region, units=units_of(run, split))


@st.cache_data(max_entries=12, show_spinner=False, hash_funcs=_KEY)
def prediction(run: Run, split: Split, head: Head, seed: int, image: str) -> Prediction:
    """One image of one head, from its own row group."""
    with run.predictions(split, head, seed) as reader:
        return reader.read(image)


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=_KEY)
def image_names(run: Run, split: Split) -> tuple[str, ...]:
    """Names of the images with predictions, in file order."""
    with run.predictions(split, run.heads[0], run.seeds[0]) as reader:
        return reader.images


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_KEY)
def preview(run: Run, split: Split, image: str) -> UInt8Array:
    """One image as the networks saw it, (H, W, 3) uint8."""
    with Image.open(io.BytesIO(run.preview(split, image))) as picture:
        return np.asarray(picture.convert("RGB"))


@st.cache_resource(show_spinner=False)
def freeze_once() -> bool:
    """Keep what is loaded by now out of the full garbage collection that Streamlit makes after every rerun."""
    gc.collect()
    gc.freeze()
    return True
