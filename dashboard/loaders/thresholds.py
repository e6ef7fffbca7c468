"""Counts of a run to what thresholds of single classes are chosen and judged by."""

from typing import Final, NamedTuple, TypeAlias

import numpy as np
import streamlit as st

from dashboard.loaders.counted import units_of, whole_counts
from dashboard.loaders.runs import KEY, dataset, metrics
from pipelines.arrays import BoolArray, Float64Array, Int32Array
from pipelines.metrics import bootstrap, decisions
from pipelines.metrics.thresholds import dice_curve, greatest
from pipelines.schema import Head, Split, Variant
from pipelines.store import Run

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
    frame = metrics(run)
    rows = frame[
        frame["metric"].isin(AREAS) & (frame["split"] == split) & (frame["seed"] == seed)
        & (frame["variant"] == variant) & (frame["region"] == "all")
    ]  # fmt: skip
    columns = (rows[name] for name in ("metric", "head", "class", "low", "high"))
    return {
        (metric, head, name): (float(low), float(high)) for metric, head, name, low, high in zip(*columns, strict=True)
    }


@st.cache_resource(max_entries=8, show_spinner=False, hash_funcs=KEY)
def _draws(run: Run, split: Split, images: int) -> Float64Array:
    """(REPLICATES, N) how often each image stands in each replicate."""
    units = units_of(run, split) or tuple(range(images))
    resampling = bootstrap.Resampling("groups", np.array(units, np.int64), max(units) + 1, None)
    return bootstrap.unit_weights(resampling, replicates=REPLICATES, rng=np.random.default_rng(0))


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def units_drawn(run: Run, split: Split) -> int:
    """How many images or groups were drawn from."""
    units = units_of(run, split)
    return len(run.counts(split, run.heads[0], run.seeds[0]).images) if units is None else max(units) + 1
