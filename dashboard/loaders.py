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

from dashboard.figures import pictures
from pipelines import comparison
from pipelines.arrays import Float64Array, UInt8Array
from pipelines.comparison import Comparison
from pipelines.errors import RunError
from pipelines.metrics import Setting, distribution, tables
from pipelines.schema import Head, Region, Split, Variant
from pipelines.statistics import Counts, add_up
from pipelines.storage import Prediction, Run, list_runs, open_run

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
    return add_up([run.counts(split, head, seed, variant=variant) for seed in seeds])


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


@st.cache_resource(max_entries=6, show_spinner=False, hash_funcs=_KEY)
def _reliability_steps(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region
) -> Float64Array:
    return tables.reliability_steps(counts(run, split, head, seeds, variant), region=region)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=_KEY)
def reliability(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, bins: int
) -> pd.DataFrame:
    """Reliability rows of the top label, where truth is exclusive and the region has one, and of every class."""
    facts = dataset(run)
    steps = _reliability_steps(run, split, head, seeds, variant, region)
    names = list(facts["classes"])
    if steps.shape[1] > len(names):
        names.append(tables.TOP_LABEL)
    frame = tables.reliability(steps, names=names, bins=bins, units=units_of(run, split))
    top = frame["class"] == tables.TOP_LABEL
    if region == "foreground" and not facts["background"]:
        return frame[~top]
    return pd.concat([frame[top], frame[~top]], ignore_index=True)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_KEY)
def ece_by_image(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, bins: int
) -> pd.DataFrame:
    """Classwise ECE of every class, over all pixels together and as a distribution over images."""
    facts = dataset(run)
    setting = Setting(facts["kind"], bins, bool(facts["background"]))
    counted = counts(run, split, head, seeds, variant)
    return distribution.pooled_and_by_image(
        counted, "classwise_ece", setting=setting, classes=facts["classes"], region=region
    )


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


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_KEY)
def preview(run: Run, split: Split, image: str) -> UInt8Array:
    """One image as the networks saw it, (H, W, 3) uint8."""
    with Image.open(io.BytesIO(run.preview(split, image))) as picture:
        return np.asarray(picture.convert("RGB"))


@st.cache_data(max_entries=8, show_spinner=False, hash_funcs=_KEY)
def telling_images(run: Run, split: Split, *, count: int, among: int = 24) -> list[str]:
    """Names of a few of the first images: those with most labels on a pixel, then those with most classes."""
    rank: dict[str, tuple[int, int]] = {}
    with run.predictions(split, run.heads[0], run.seeds[0]) as reader:
        for name in reader.images[:among]:
            truth = reader.read(name).truth
            rank[name] = (int(truth.sum(axis=0).max()), int(truth.any(axis=(1, 2)).sum()))
    return sorted(rank, key=lambda name: rank[name], reverse=True)[:count]


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=_KEY)
def example(run: Run, split: Split, image: str) -> tuple[bytes, bytes]:
    """An image and its true labels over it, as PNG files."""
    facts, picture = dataset(run), preview(run, split, image)
    shown = prediction(run, split, run.heads[0], run.seeds[0], image)
    labels = pictures.label_picture(
        picture, shown.truth, facts["colors"], valid=shown.valid, outlines=facts["kind"] != "exclusive"
    )
    return pictures.png(pictures.enlarge(picture)), pictures.png(labels)


@st.cache_data(ttl=10, max_entries=16, show_spinner=False, hash_funcs=_KEY)
def _comparable(run: Run, names: tuple[str, ...]) -> dict[str, str | None]:
    found = {}
    for name in names:
        if name == run.name:
            found[name] = comparison.loss_of(run)
            continue
        try:
            other = open_run(run.folder.parent, name)
            if comparison.comparable(run, other):
                found[name] = comparison.loss_of(other)
        except RunError:
            continue  # gone or damaged since it was listed: not there to be chosen
    return found


def comparable(run: Run) -> dict[str, str | None]:
    """Runs of the same data set as this one and itself, newest first: name to loss, None where that is not known."""
    return _comparable(run, tuple(run_names()))


@st.cache_data(max_entries=16, show_spinner="Comparing the runs …", hash_funcs=_KEY)
def compared(runs: tuple[Run, ...]) -> Comparison:
    """Losses, heads, thresholds and temperatures of several runs against each other."""
    return comparison.compare(runs)


@st.cache_resource(show_spinner=False)
def freeze_once() -> bool:
    """Keep what is loaded by now out of the full garbage collection that Streamlit makes after every rerun."""
    gc.collect()
    gc.freeze()
    return True
