"""Counts of a run to the tables behind its figures."""

from functools import partial
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import streamlit as st

from dashboard.queries.runs import KEY, dataset
from pipelines.arrays import BoolArray, Float32Array, Float64Array, Int32Array
from pipelines.counting.counts import BINNED, Counts
from pipelines.counting.grid import P_UNIT, in_bins
from pipelines.metrics import METRICS, Setting, calibration, decisions, estimates, inference, overlap
from pipelines.metrics.calibration import ece_of_bins
from pipelines.metrics.overlap import label_set_confusion
from pipelines.metrics.thresholds import dice_curve, greatest
from pipelines.schema import Head, Region, Split, Variant
from pipelines.store.runs import Run

BINS: Final = (10, 12, 15, 20, 25, 30, 50, 60, 75, 100)  # numbers of equal-width bins that a reader can choose


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def counts(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Counts:
    """Counts of one head, several seeds added up; shared by all sessions, so never to be written to."""
    return run.counts(split, head, seeds, variant=variant)


@st.cache_resource(max_entries=24, show_spinner=False, hash_funcs=KEY)
def whole_counts(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Counts:
    """The same with all images added up to one, from sums that evaluation stored: in no time, whatever their number.

    Shared by all sessions, so never to be written to.
    """
    return run.counts(split, head, seeds, variant=variant, whole=True)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def absent_classes(run: Run, split: Split) -> tuple[str, ...]:
    """Classes that no pixel of a split carries, in channel order."""
    counted = whole_counts(run, split, run.heads[0], run.seeds[:1], "raw")
    pixels = counted.score[:, :, :, 1].sum(axis=(0, 2, 3))
    return tuple(name for name, number in zip(dataset(run)["classes"], pixels, strict=True) if not number)


def units_of(run: Run, split: Split) -> tuple[int, ...] | None:
    """What evaluation resampled, as the unit of each image; None where it noted no groups."""
    units = run.facts["resampling"][split].get("of_image")
    return None if units is None else tuple(units)


class _Calibrated(NamedTuple):
    """How p holds what it promises. names: of C classes, the top label first where it has one.

    tables: rows of `calibration.reliability` by number of bins; by_image: (N, C, 3, bins) pixels, hits and sum of p
    of each image in the bins of the evaluation.
    """

    images: tuple[str, ...]
    names: tuple[str, ...]
    tables: dict[int, pd.DataFrame]
    by_image: Float64Array


def _hits(counted: Counts, *, region: Region, soft: bool) -> tuple[tuple[str, ...], Float32Array]:
    return counted.images, calibration.hit_steps(counted, region=region, soft=soft).astype(np.float32)


def _bins(counted: Counts, *, region: Region, soft: bool, bins: int) -> Float64Array:
    return in_bins(calibration.reliability_steps(counted, region=region, soft=soft), bins)


@st.cache_resource(max_entries=12, show_spinner="Calibrating image by image …", hash_funcs=KEY)
def _calibrated(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, bins: int, soft: bool
) -> _Calibrated:
    """Tables of every number of bins: less than a second once, and nothing while the slider moves."""
    facts = dataset(run)
    counted, also = (split, head, seeds), ("soft",) if soft else ()
    arrays = ("score", "top", "confusion", *also)
    found = run.map_counts(partial(_hits, region=region, soft=soft), arrays, *counted, variant=variant)
    images, by_step = zip(*found, strict=True)
    if region == "all" and not soft:  # stored
        by_image = run.image_bins(*counted, bins=bins, variant=variant) * np.array([1, 1, P_UNIT])[:, None]
    else:
        by_image = np.concatenate(
            run.map_counts(
                partial(_bins, region=region, soft=soft, bins=bins), (*BINNED, *also), *counted, variant=variant
            )
        )
    counts_of_all = whole_counts(run, split, head, seeds, variant)
    whole = calibration.reliability_steps(counts_of_all, region=region, soft=soft)[0]
    steps = calibration.resampled_steps(whole, np.concatenate(by_step), units_of(run, split))
    names = list(facts["classes"])
    order = list(range(len(names)))
    if steps.whole.shape[0] > len(names):
        names.append(calibration.TOP_LABEL)
        order = [len(order), *order] if region != "foreground" or facts["background"] else order
    steps = calibration.Steps(steps.whole[order], steps.drawn[:, order])
    names = [names[at] for at in order]
    return _Calibrated(
        tuple(name for some in images for name in some), tuple(names),
        {number: calibration.reliability(steps, names=names, bins=number) for number in BINS},
        by_image[:, order],
    )  # fmt: skip


def reliability(
    run: Run,
    split: Split,
    head: Head,
    seeds: tuple[int, ...],
    variant: Variant,
    region: Region,
    bins: int,
    soft: bool = False,
) -> pd.DataFrame:
    """Reliability rows of the top label, where truth is exclusive and the region has one, and of every class.

    bins: one of BINS; soft: against the soft truth, which has no top label. Shared by all sessions, so never to be
    written to.
    """
    return _calibrated(run, split, head, seeds, variant, region, evaluation_bins(run), soft).tables[bins]


@st.cache_resource(max_entries=24, show_spinner=False, hash_funcs=KEY)
def evaluation_bins(run: Run) -> int:
    """Number of bins of the evaluation."""
    return int(run.facts["calibration_bins"])


@st.cache_resource(max_entries=24, show_spinner=False, hash_funcs=KEY)
def ece_by_image(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, region: Region, soft: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """ECE of the top label, where it has one, and of every class: over all pixels together, and of each image alone.

    In the bins of the evaluation. Returns rows of `estimates.pooled_and_by_image` and of `estimates.by_image`, of
    the same classes in the same order; the top label's class is called `calibration.TOP_LABEL`. Shared by all
    sessions, so never to be written to.
    """
    found = _calibrated(run, split, head, seeds, variant, region, evaluation_bins(run), soft)
    bins = np.moveaxis(found.by_image, 2, 3)
    values, pooled = ece_of_bins(bins), ece_of_bins(bins.sum(axis=0))
    return (
        estimates.spread_of(found.names, pooled, values), estimates.rows_of(found.images, found.names, values),
    )  # fmt: skip


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def label_rates(run: Run, split: Split, head: Head, seeds: tuple[int, ...], region: Region) -> pd.DataFrame:
    """Overlap and no-label rates against the threshold; shared by all sessions, so never to be written to."""
    parts = run.map_counts(partial(overlap.label_cuts, region=region), ("ranks",), split, head, seeds)
    cuts = overlap.LabelCuts(*(np.concatenate(some) for some in zip(*parts, strict=True)))
    return overlap.rates_of(cuts, units=units_of(run, split))


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
    return overlap.predicted_labels(whole_counts(run, split, head, seeds, "raw"), threshold=threshold, region=region)


AREAS: Final = ("auroc", "average_precision", "aurc")
Ends: TypeAlias = tuple[float, float]
REPLICATES: Final = 1000  # moves the ends of an interval by a few hundredths of its width


class Decided(NamedTuple):
    """What one head may decide on S seeds, over all images; shared by all sessions, so never to be written to.

    hist: (S, C, 4, CELLS) score histograms; labels: (K, CELLS + 1) shares of pixels with at least 1, … K classes called
    at a common cut; top: (S, 4, CELLS) wrong and right argmax by the largest p, None unless truth is exclusive;
    present: (C,) classes with any truth.
    """

    hist: Float64Array
    labels: Float64Array
    top: Float64Array | None
    present: BoolArray


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def decided(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Decided:
    """Everything that a threshold of one head leads to, each seed apart."""
    every = [whole_counts(run, split, head, (seed,), variant) for seed in seeds]
    hist = np.stack([decisions.score_sums(one) for one in every])
    return Decided(
        hist=hist,
        labels=np.mean([decisions.labels_by_cut(one) for one in every], axis=0),
        top=np.stack([decisions.top_sums(one) for one in every]) if every[0].exclusive else None,
        present=hist[:, :, 1].sum(axis=(0, 2)) > 0,
    )


@st.cache_resource(max_entries=4, show_spinner="Reading the images' scores …", hash_funcs=KEY)
def _called(run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant) -> Int32Array:
    """(S, N, C, 2, CELLS + 1) pixels of each image, without and with the class, called at every cut."""
    return np.stack(
        [
            np.concatenate(run.map_counts(decisions.called_by_cut, ("score",), split, head, (seed,), variant=variant))
            for seed in seeds
        ]
    )


@st.cache_resource(max_entries=64, show_spinner=False, hash_funcs=KEY)
def _called_sums(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], variant: Variant, cuts: tuple[int, ...]
) -> Float64Array:
    """(1 + REPLICATES, S, C, 2) pixels called, each class at its own cut: of all images, then in each replicate.

    What is dear grows with the images; so of the two heads only the one whose threshold moves is summed again.
    """
    called = decisions.called_at(_called(run, split, head, seeds, variant), np.array(cuts, np.int64))
    return decisions.resampled(called, _draws(run, split, called.shape[1]))


def outcome_sums(
    run: Run, split: Split, head: Head, cuts: tuple[int, ...], *, seeds: tuple[int, ...], variant: Variant
) -> Float64Array:
    """(1 + REPLICATES, S, C, 4) true and false positives, false and true negatives: of all, then in replicates."""
    picked = _called_sums(run, split, head, seeds, variant, cuts)
    return decisions.outcomes_of(picked, _called_sums(run, split, head, seeds, variant, (0,) * len(cuts)))


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def tuned(run: Run, head: Head, seeds: tuple[int, ...], variant: Variant) -> tuple[float, ...] | None:
    """The threshold k/300 of each class with the greatest pooled Dice on validation; None without validation images.

    Of one seed what evaluation stored; of several the one threshold that is best for their mean Dice. A class that
    validation has no pixel of keeps 0.5.
    """
    if "val" not in run.splits:
        return None
    noted = run.facts["thresholds"].get(variant, {}).get(head, {})
    if len(seeds) == 1 and str(seeds[0]) in noted:
        return tuple(float(noted[str(seeds[0])][name]) for name in dataset(run)["classes"])
    found = decided(run, "val", head, seeds, variant)
    best, _ = greatest(dice_curve(found.hist).mean(axis=0))
    return tuple(float(one) for one in np.where(found.present, best, 0.5))


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def area_intervals(run: Run, split: Split, seed: int, variant: Variant) -> dict[tuple[str, Head, str], Ends]:
    """95% intervals of AREAS that evaluation stored, by metric, head and class; seed: of metrics.parquet."""
    rows = run.estimates(metric=AREAS, split=split, seed=seed, variant=variant)
    columns = (rows[name] for name in ("metric", "head", "class", "low", "high"))
    return {
        (metric, head, name): (float(low), float(high)) for metric, head, name, low, high in zip(*columns, strict=True)
    }


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def _draws(run: Run, split: Split, images: int) -> Float64Array:
    """(REPLICATES, N) how often each image stands in each replicate."""
    units = units_of(run, split) or tuple(range(images))
    resampling = inference.Resampling("groups", np.array(units, np.int64), max(units) + 1, None)
    return inference.unit_weights(resampling, replicates=REPLICATES, rng=np.random.default_rng(0))


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def units_drawn(run: Run, split: Split) -> int:
    """How many images or groups were drawn from."""
    units = units_of(run, split)
    return len(run.counts(split, run.heads[0], run.seeds[0]).images) if units is None else max(units) + 1


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def set_confusion(run: Run, split: Split, head: Head, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Which set of labels is called for which at p > 0.5: rows of `overlap.label_set_confusion`."""
    counted = whole_counts(run, split, head, seeds, "raw")
    return label_set_confusion(counted, classes=dataset(run)["classes"])
