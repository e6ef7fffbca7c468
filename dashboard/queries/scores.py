"""Scores of a run and of its single images, with intervals and paired differences."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import tables
from dashboard.queries.counts import absent_classes
from dashboard.queries.runs import KEY, dataset
from pipelines.arrays import Float64Array
from pipelines.counting.counts import Counts
from pipelines.counting.grid import STEPS
from pipelines.metrics import METRICS, Metric, Setting, Source, segmentation
from pipelines.metrics.base import OUTCOMES_AT_HALF, Terms, first_over_second, kept, only_slot, terms_of
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


def setting_of(run: Run, split: Split, head: Head, seed: int) -> Setting:
    """What evaluation knew: the kind of truth and, where they were tuned on another split, the thresholds."""
    facts = dataset(run)
    tuned = run.facts.get("thresholds", {}).get("raw", {}).get(head, {}).get(str(seed))
    steps = None
    if tuned is not None and split != "val":
        steps = tuple(round(STEPS * tuned[name]) for name in facts["classes"])
    return Setting(facts["kind"], background=bool(facts["background"]), thresholds=steps)


@st.cache_resource(max_entries=18, show_spinner="Scoring image by image …", hash_funcs=KEY)
def _terms(run: Run, split: Split, head: Head, seed: int) -> Terms:
    """A hundredth of the counts: enough for every metric of `label_scores`."""
    setting = setting_of(run, split, head, seed)
    wanted = {
        METRICS[name].source.name: METRICS[name].source
        for name in label_scores()
        if METRICS[name].applies(setting, "all")
    }
    wanted[OUTCOMES_AT_HALF.name] = OUTCOMES_AT_HALF

    def terms(counted: Counts) -> Terms:
        return Terms(counted.images, terms_of(wanted.values(), counted, setting))

    arrays = ("score", "confusion", "boundary", "surface")
    return Terms.joined(run.map_counts(terms, arrays, split, head, (seed,)))


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
    return _plain(run.estimates(metric=metric, split=split, seed=None, region=region))


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """The columns that differ within one metric and region; names as Python's own, which compare faster when few."""
    rows = frame[["head", "seed", "class", "value", "low", "high"]].reset_index(drop=True)
    return rows.astype({"head": object, "class": object})


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
    mean = _mean_metric(metric, region)
    estimates: dict[Head, dict[int, HeadEstimates]] = {}
    for head in run.heads:
        for seed in run.seeds:
            block = _sums(run, split, head, seed, metric, region)
            estimates.setdefault(head, {})[seed] = estimate_head(
                partial(iter, (block,)), setting_of(run, split, head, seed), weights, units=units.count,
                metrics=[mean], presence=kept(OUTCOMES_AT_HALF), regions=(region,),
            )  # fmt: skip
    frame = metrics_table(
        estimates, classes=dataset(run)["classes"], split=split, variant="raw", units=units,
        stream=(options["bootstrap_seed"], 1), metrics={mean.name: mean},
    ).to_pandas()  # fmt: skip
    return _plain(frame)


def _sums(run: Run, split: Split, head: Head, seed: int, metric: str, region: Region) -> Terms:
    """What a mean over images is estimated from: of each image its value and whether it has one, and its outcomes."""
    values = _by_image(run, split, head, seed, metric, region)
    known = ~np.isnan(values)
    sums = np.stack([np.where(known, values, 0.0), known.astype(np.float64)], axis=-1)[:, None]
    terms = _terms(run, split, head, seed)
    mean = sums if METRICS[metric].per_class else sums[:, :, 0]
    return Terms(terms.images, {_MEAN: mean, OUTCOMES_AT_HALF.name: terms.by_source[OUTCOMES_AT_HALF.name]})


_MEAN: Final = "image_mean"


def _mean_metric(name: str, region: Region) -> Metric:
    """The mean over images as a metric of `_sums`."""
    of = METRICS[name]
    source = Source(_MEAN, lambda block, _: block.by_source[_MEAN], only_slot, of.per_class, (region,))
    title, description = f"{of.title}, mean over images", of.description
    mean = Metric(f"{name}_image_mean", title, of.better, description, source, first_over_second, bounds=of.bounds)
    return replace(mean, regions=(region,))


@st.cache_resource(max_entries=96, show_spinner=False, hash_funcs=KEY)
def advantages(
    run: Run, *, metric: str, split: Split, variant: Variant, contender: Contender
) -> tuple[pd.DataFrame, Sequence[float]]:
    """Rows of `tables.differences`, and the first row's advantage in each seed (`tables.seed_advantages`)."""
    absent, classes = absent_classes(run, split), dataset(run)["classes"]
    table = tables.differences(run, metric=metric, split=split, variant=variant, contender=contender, classes=classes)
    table = table[~table["class"].isin(absent)].reset_index(drop=True)  # their mean leaves these out too
    if table.empty:
        return table, []
    first = str(table["class"].iloc[0])
    return table, tables.seed_advantages(
        run, metric=metric, split=split, variant=variant, contender=contender, class_name=first
    )


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def score_tables(run: Run, split: Split) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Every metric's mean over the classes, as trained: rows of `tables.scores`, and the same to be read."""
    scores = tables.scores(run, split=split, variant="raw", heads=run.heads)
    return scores, tables.readable_scores(scores)


@st.cache_resource(max_entries=32, show_spinner=False, hash_funcs=KEY)
def after_temperature(run: Run) -> bool:
    """Whether the run holds metrics after a temperature."""
    return not run.estimates(split=None, seed=None, variant="temperature", region=None).empty
