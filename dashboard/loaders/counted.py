"""Counts of a run to the tables behind its figures."""

from dataclasses import replace
from typing import Final

import pandas as pd
import streamlit as st

from dashboard.loaders.runs import KEY, dataset
from pipelines.metrics import METRICS, Setting, distribution, tables
from pipelines.schema import Head, Region, Split, Variant
from pipelines.statistics import Counts, add_up
from pipelines.statistics.counts import PER_IMAGE
from pipelines.storage import Run

BINS: Final = (10, 12, 15, 20, 25, 30, 50, 60, 75, 100)  # numbers of equal-width bins that a reader can choose


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def counts(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Counts:
    """Counts of one head, several seeds added up; shared by all sessions, so never to be written to."""
    return add_up([run.counts(split, head, seed, variant=variant) for seed in seeds])


@st.cache_resource(max_entries=24, show_spinner=False, hash_funcs=KEY)
def whole_counts(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Counts:
    """The same with all images added up to one: for tables without intervals, in a hundredth of the time.

    Shared by all sessions, so never to be written to.
    """
    counted = counts(run, split, head, seeds, variant)
    sums = {name: getattr(counted, name).sum(axis=0, keepdims=True) for name in PER_IMAGE}
    return replace(counted, images=("all images",), **sums)


def units_of(run: Run, split: Split) -> tuple[int, ...] | None:
    """What evaluation resampled, as the unit of each image; None where it noted no groups."""
    units = run.facts["resampling"][split].get("of_image")
    return None if units is None else tuple(units)


@st.cache_resource(max_entries=12, show_spinner="Counting bins …", hash_funcs=KEY)
def _reliability_of_bins(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region
) -> dict[int, pd.DataFrame]:
    """Tables of every number of bins: a fraction of a second once, and none while the slider moves."""
    facts = dataset(run)
    steps = tables.reliability_steps(counts(run, split, head, seeds, variant), region=region)
    names = list(facts["classes"])
    if steps.shape[1] > len(names):
        names.append(tables.TOP_LABEL)
    units = units_of(run, split)
    keep_top = region != "foreground" or bool(facts["background"])
    return {bins: _top_first(tables.reliability(steps, names=names, bins=bins, units=units), keep_top) for bins in BINS}


def _top_first(frame: pd.DataFrame, keep_top: bool) -> pd.DataFrame:
    top = frame["class"] == tables.TOP_LABEL
    return pd.concat([frame[top], frame[~top]], ignore_index=True) if keep_top else frame[~top]


def reliability(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, bins: int
) -> pd.DataFrame:
    """Reliability rows of the top label, where truth is exclusive and the region has one, and of every class.

    bins: one of BINS. Shared by all sessions, so never to be written to.
    """
    return _reliability_of_bins(run, split, head, seeds, variant, region)[bins]


@st.cache_data(max_entries=24, show_spinner="Calibrating image by image …", hash_funcs=KEY)
def ece_by_image(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, bins: int
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ECE of the top label, where it has one, and of every class: over all pixels together, and of each image alone.

    Returns rows of `distribution.pooled_and_by_image` and of `distribution.by_image`, of the same classes in the same
    order; the top label's class is called `tables.TOP_LABEL`.
    """
    facts = dataset(run)
    setting = Setting(facts["kind"], bins, bool(facts["background"]))
    counted = counts(run, split, head, seeds, variant)
    found = []
    for name in ("top_label_ece", "classwise_ece"):
        if METRICS[name].applies(setting, region):
            parts = (
                make(counted, name, setting=setting, classes=facts["classes"], region=region)
                for make in (distribution.pooled_and_by_image, distribution.by_image)
            )
            top = name == "top_label_ece"
            found.append([part.assign(**{"class": tables.TOP_LABEL}) if top else part for part in parts])
    pooled, single = zip(*found, strict=True)
    return pd.concat(pooled, ignore_index=True), pd.concat(single, ignore_index=True)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def label_rates(run: Run, split: Split, head: Head, seeds: tuple[int, ...], region: Region) -> pd.DataFrame:
    """Overlap and no-label rates against the threshold; shared by all sessions, so never to be written to."""
    counted = counts(run, split, head, seeds, "raw")
    return tables.label_rates(counted, region=region, units=units_of(run, split))


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def label_mass(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], region: Region
) -> tuple[float, float, float]:
    """Mean probability that a pixel carries no label, one, and two or more; it depends on no threshold."""
    facts = dataset(run)
    setting = Setting(facts["kind"], background=bool(facts["background"]))
    counted = whole_counts(run, split, head, seeds, "raw")
    none, one, several = (
        float(METRICS[name].pooled(counted, region, setting))
        for name in ("no_label_mass", "one_label_mass", "overlap_mass")
    )
    return none, one, several


@st.cache_resource(max_entries=256, show_spinner=False, hash_funcs=KEY)
def predicted_labels(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], region: Region, threshold: float
) -> pd.DataFrame:
    """Pixels by true and predicted number of labels; shared by all sessions, so never to be written to."""
    return tables.predicted_labels(whole_counts(run, split, head, seeds, "raw"), threshold=threshold, region=region)
