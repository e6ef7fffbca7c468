"""Scores of a run and of its single images, with intervals and paired differences."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import tables
from dashboard.queries.counts import absent_classes
from dashboard.queries.runs import KEY, dataset, metrics
from pipelines.arrays import Float64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import STEPS
from pipelines.metrics import METRICS, Metric, Setting, Source, segmentation
from pipelines.metrics.base import OUTCOMES_AT_HALF, first_over_second
from pipelines.metrics.estimates import HeadEstimates, estimate_head, metrics_table
from pipelines.metrics.inference import Resampling, unit_weights
from pipelines.schema import ALL_CLASSES, Head, Region, Split, Variant
from pipelines.store.runs import Run
from pipelines.verdict.evidence import Contender


def label_scores() -> tuple[str, ...]:
    """Metrics of how well labels fit, by name: neither means over images, which are made here, nor areas."""
    return tuple(
        metric.name
        for metric in segmentation.METRICS
        if metric.better == "higher" and not metric.name.endswith("_image_mean")
    )


class ImageTerms(NamedTuple):
    """What the scores of images are made from. by_source: (N, S, C, …) of each source by its name."""

    images: tuple[str, ...]
    by_source: Mapping[str, Float64Array]


def setting_of(run: Run, split: Split, head: Head, seed: int) -> Setting:
    """What evaluation knew: the kind of truth and, where they were tuned on another split, the thresholds."""
    facts = dataset(run)
    tuned = run.facts.get("thresholds", {}).get("raw", {}).get(head, {}).get(str(seed))
    steps = None
    if tuned is not None and split != "val":
        steps = tuple(round(STEPS * tuned[name]) for name in facts["classes"])
    return Setting(facts["kind"], background=bool(facts["background"]), thresholds=steps)


@st.cache_resource(max_entries=18, show_spinner="Scoring image by image …", hash_funcs=KEY)
def _terms(run: Run, split: Split, head: Head, seed: int) -> ImageTerms:
    """A hundredth of the counts: enough for every metric of `label_scores`."""
    setting = setting_of(run, split, head, seed)
    wanted = {
        METRICS[name].source.name: METRICS[name].source
        for name in label_scores()
        if METRICS[name].applies(setting, "all")
    }
    wanted[OUTCOMES_AT_HALF.name] = OUTCOMES_AT_HALF

    def terms(counted: Counts) -> ImageTerms:
        return ImageTerms(counted.images, {name: source.terms(counted, setting) for name, source in wanted.items()})

    blocks = run.map_counts(terms, ("score", "confusion", "boundary", "surface"), split, head, (seed,))
    return ImageTerms(
        tuple(name for block in blocks for name in block.images),
        {name: np.concatenate([block.by_source[name] for block in blocks]) for name in wanted},
    )


def scored_regions(run: Run, split: Split, metric: str) -> tuple[Region, ...]:
    """Regions in which the images of a run have this score; empty when it has none."""
    setting = setting_of(run, split, run.heads[0], run.seeds[0])
    regions: tuple[Region, ...] = ("all", "boundary", "interior")
    return tuple(region for region in regions if METRICS[metric].applies(setting, region))


def _by_image(run: Run, split: Split, head: Head, seed: int, metric: str, region: Region) -> Float64Array:
    """(N, C), or (N, 1) of a metric without classes; NaN where it is not defined."""
    one = METRICS[metric]
    terms = one.source.pick(_terms(run, split, head, seed).by_source[one.source.name], region)
    values = one.value(terms, setting_of(run, split, head, seed))
    return values.reshape(len(values), -1)


@st.cache_resource(max_entries=48, show_spinner=False, hash_funcs=KEY)
def image_values(
    run: Run, split: Split, head: Head, seeds: tuple[int, ...], metric: str, region: Region
) -> pd.DataFrame:
    """A metric of each image alone, one row an image and one column a class (ALL_CLASSES if the metric has none).

    Of several seeds the mean over those for which it is defined; NaN where it is for none. Shared by all sessions, so
    never to be written to.
    """
    values = np.stack([_by_image(run, split, head, seed, metric, region) for seed in seeds])
    names = dataset(run)["classes"] if METRICS[metric].per_class else [ALL_CLASSES]
    images = _terms(run, split, head, seeds[0]).images
    return pd.DataFrame(_mean(values), index=pd.Index(images, name="image"), columns=names)


@st.cache_resource(max_entries=48, show_spinner=False, hash_funcs=KEY)
def paired_values(
    run: Run,
    split: Split,
    contender: Head,
    seeds: tuple[int, ...],
    metric: str,
    region: Region,
    class_name: str | None,
) -> pd.DataFrame:
    """Sigmoid's and a contender's value of each image that has both, most different first.

    class_name: a class, None for the mean of the classes that an image has. Returns image, sigmoid, softmax (the
    contender's), difference. Shared by all sessions, so never to be written to.
    """
    both = [image_values(run, split, head, seeds, metric, region) for head in ("sigmoid", contender)]
    ours, theirs = (one.mean(axis=1) if class_name is None else one[class_name] for one in both)
    table = pd.DataFrame({"sigmoid": ours, "softmax": theirs}).dropna().reset_index()
    table["difference"] = table["sigmoid"] - table["softmax"]
    place = table["difference"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[place].reset_index(drop=True)


def _mean(values: Float64Array) -> Float64Array:
    """Mean over the first axis of what is not NaN; NaN where all is."""
    known = ~np.isnan(values)
    number = known.sum(axis=0)
    return np.where(number > 0, np.where(known, values, 0.0).sum(axis=0) / np.maximum(number, 1), np.nan)


@st.cache_resource(max_entries=48, show_spinner=False, hash_funcs=KEY)
def stored_rows(run: Run, split: Split, metric: str, region: Region) -> pd.DataFrame:
    """Rows of metrics.parquet as trained: head (or difference), seed, class, value, low, high; empty without any.

    Shared by all sessions, so never to be written to.
    """
    frame = metrics(run)
    keep = (frame["metric"] == metric) & (frame["split"] == split) & (frame["variant"] == "raw")
    return _plain(frame[keep & (frame["region"] == region)])


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that differ within one metric and region; names as Python's own, which compare faster when few."""
    rows = frame[["head", "seed", "class", "value", "low", "high"]].reset_index(drop=True)
    return rows.astype({"head": object, "class": object})


class _Means(NamedTuple):
    """What a mean over images is estimated from. sums: (N, 1, C, 2); presence: (N, 2, C, 4) outcomes."""

    images: tuple[str, ...]
    sums: Float64Array
    presence: Float64Array


@st.cache_resource(max_entries=32, show_spinner="Resampling images …", hash_funcs=KEY)
def image_means(run: Run, split: Split, metric: str, region: Region) -> pd.DataFrame:
    """Mean over images of a metric: columns as of `stored_rows`.

    The same draws of images as evaluation made, so that the means that it stored come out the same. Shared by
    all sessions, so never to be written to.
    """
    facts, options = run.facts, run.config["evaluation"]
    drawn = facts["resampling"][split]
    of_image = np.array(drawn["of_image"], np.int64)
    units = Resampling(drawn["unit"], of_image, int(drawn["count"]), drawn["warning"])
    weights = unit_weights(
        units, replicates=options["replicates"], rng=np.random.default_rng(options["bootstrap_seed"])
    ).astype(np.float32)
    mean, presence = _mean_metric(metric, region)
    estimates: dict[Head, dict[int, HeadEstimates]] = {}
    for head in run.heads:
        for seed in run.seeds:
            block = _block(run, split, head, seed, metric, region)
            estimates.setdefault(head, {})[seed] = estimate_head(
                partial(_one, block), setting_of(run, split, head, seed), weights, units=units.count, metrics=[mean],
                presence=presence, regions=(region,),
            )  # fmt: skip
    frame = metrics_table(
        estimates, classes=dataset(run)["classes"], split=split, variant="raw", units=units,
        stream=(options["bootstrap_seed"], 1),
    ).to_pandas()  # fmt: skip
    of_head, ends = frame["head"].isin(run.heads), ["low", "high"]
    for rows, bounds in ((of_head, METRICS[metric].bounds), (~of_head, METRICS[metric].difference_bounds)):
        frame.loc[rows, ends] = frame.loc[rows, ends].clip(*bounds)
    return _plain(frame)


def _one(block: _Means) -> list[_Means]:
    return [block]


def _block(run: Run, split: Split, head: Head, seed: int, metric: str, region: Region) -> _Means:
    values = _by_image(run, split, head, seed, metric, region)
    known = ~np.isnan(values)
    sums = np.stack([np.where(known, values, 0.0), known.astype(np.float64)], axis=-1)[:, None]
    if not METRICS[metric].per_class:
        sums = sums[:, :, 0]
    terms = _terms(run, split, head, seed)
    return _Means(terms.images, sums, terms.by_source[OUTCOMES_AT_HALF.name])


def _mean_metric(name: str, region: Region) -> tuple[Metric, Source]:
    """The mean over images as a metric of _Means, and the source of which classes there are."""
    of = METRICS[name]

    def sums(block: Any, _setting: Setting) -> Float64Array:
        return block.sums

    def presence(block: Any, _setting: Setting) -> Float64Array:
        return block.presence

    source = Source("image_mean", sums, lambda totals, _: totals[:, 0], of.per_class, (region,))
    mean = Metric(
        name=f"{name}_image_mean", title=f"{of.title}, mean over images", better=of.better,
        description=of.description, source=source, value=first_over_second, regions=(region,), bounds=of.bounds,
    )  # fmt: skip
    return mean, Source("presence", presence)


@st.cache_resource(max_entries=96, show_spinner=False, hash_funcs=KEY)
def advantages(
    run: Run, *, metric: str, split: Split, variant: Variant, contender: Contender
) -> tuple[pd.DataFrame, Sequence[float]]:
    """Rows of `tables.differences`, and the first row's advantage in each seed (`tables.seed_advantages`)."""
    frame, absent = metrics(run), absent_classes(run, split)
    classes = dataset(run)["classes"]
    table = tables.differences(frame, metric=metric, split=split, variant=variant, contender=contender, classes=classes)
    table = table[~table["class"].isin(absent)].reset_index(drop=True)  # their mean leaves these out too
    if table.empty:
        return table, []
    first = str(table["class"].iloc[0])
    return table, tables.seed_advantages(
        frame, metric=metric, split=split, variant=variant, contender=contender, class_name=first
    )


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def score_tables(run: Run, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every metric's mean over the classes, as trained: rows of `tables.scores`, and the same to be read."""
    scores = tables.scores(metrics(run), split=split, variant="raw", heads=run.heads)
    return scores, tables.readable_scores(scores)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def after_temperature(run: Run) -> bool:
    """Whether the run holds metrics after a temperature."""
    return bool((metrics(run)["variant"] == "temperature").any())
