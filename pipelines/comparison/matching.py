"""Runs to one grid: which of them can be compared, and the measure of each cell."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from pipelines.arrays import Float32Array, Float64Array, Int64Array
from pipelines.config import LOSSES
from pipelines.counting.counts import Counts
from pipelines.counting.grid import P_UNIT, STEPS
from pipelines.errors import RunError
from pipelines.heads import missing_head
from pipelines.metrics import METRICS, Setting, Source, inference
from pipelines.metrics.base import OUTCOMES_AT_HALF, Terms, kept, only_slot, ratio, terms_of
from pipelines.metrics.calibration import ece_of_bins
from pipelines.metrics.estimates import HeadEstimates, Replicated, estimate_head
from pipelines.metrics.inference import CONFIDENCE, Resampling, unit_weights
from pipelines.schema import Head, Kind, Split, Variant
from pipelines.store.runs import Run

# Matching ------------------------------------------------------------------------------------------------------------

RunFactor: TypeAlias = Literal["loss", "run"]
Threshold: TypeAlias = Literal["argmax", "p > 0.5", "tuned"]
MEASURES: Final = ("dice", "iou", "brier", "classwise_ece")
LABEL_MEASURES: Final = ("dice", "iou")  # of labels, read off by a threshold; the others are of probabilities

# Settings that decide where and how fast networks are trained, but not which.
_NOT_DECISIVE: Final = ("loss", "device", "workers", "threads", "checkpoint_seconds")
# What a file beside a network says of its training; all else about a network that was loaded is not known.
_IN_HEAD_FILE: Final = ("architecture", "encoder", "size", "loss")


class Member(NamedTuple):
    """One run. seeds: those that are compared, as many in every run and in the same order: a pair in each place.

    loss: None where it is not known; settings: of its training, by name; loaded: or imported; in any
    case not trained here.
    """

    run: Run
    label: str
    seeds: tuple[int, ...]
    loss: str | None
    settings: dict[str, Any]
    loaded: bool


@dataclass(frozen=True)
class Match:
    """Runs that can be compared, in an order that does not depend on how they were given.

    factor: "loss" if nothing but the loss tells the runs apart, else "run". heads: those that every run has.
    tuned, fitted: whether every run has tuned thresholds, fitted temperatures. bins: of the calibration error.
    differences: what differs besides the loss, one phrase each. notes: what else must be said before any number.
    """

    members: tuple[Member, ...]
    factor: RunFactor
    kind: Kind
    classes: tuple[str, ...]
    background: str | None
    split: Split
    heads: tuple[Head, ...]
    units: Resampling
    bins: int
    tuned: bool
    fitted: bool
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the runs in the comparison: their losses, unless two share one."""
        return tuple(member.label for member in self.members)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """How labels are read off, the kind's own decision first."""
        other: tuple[Threshold, ...] = ("p > 0.5",) if self.kind == "exclusive" else ()
        return (own_decision(self.kind), *other, *(("tuned",) if self.tuned else ()))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """Raw, and at the fitted temperature where every run has one."""
        return ("raw", "temperature") if self.fitted else ("raw",)


def match(runs: Sequence[Run]) -> Match:
    """What runs of one data set share. Raises RunError when they cannot be compared, with the reason."""
    if not runs:
        raise RunError("there is no run to compare; name one with two heads, or several of one data set")
    twice = [name for name, count in Counter(str(run.folder.resolve()) for run in runs).items() if count > 1]
    if twice:
        name = next(run.name for run in runs if str(run.folder.resolve()) == twice[0])
        raise RunError(f"run {name} is named twice; name each run once")
    members = _members(runs)
    first = members[0].run
    dataset = first.dataset
    split = _split(members)
    for member in members[1:]:
        _check_same_data(first, member.run, split)
    heads = tuple(head for head in first.heads if all(head in member.run.heads for member in members))
    if not heads:
        raise RunError(_no_head_in_common(members))
    facts = [member.run.facts for member in members]
    if len(members) == 1 and len(heads) == 1 and not facts[0]["temperature"]:
        raise RunError(
            f"run {first.name} alone has one head, one threshold and no temperature: there is nothing to compare; "
            "name another run of the same data set"
        )
    bins = {int(noted.get("calibration_bins", 15)) for noted in facts}
    differences = _differences(members)
    losses = [member.loss for member in members]
    by_loss = None not in losses and len(set(losses)) == len(losses) and not differences
    tuned = split != "val" and all(noted.get("thresholds") for noted in facts)
    return Match(
        members=members,
        factor="loss" if by_loss else "run",
        kind=dataset["kind"],
        classes=tuple(dataset["classes"]),
        background=dataset["background"],
        split=split,
        heads=heads,
        units=_units(members, split),
        bins=bins.pop() if len(bins) == 1 else 15,
        tuned=tuned,
        fitted=all(noted["temperature"] for noted in facts),
        differences=differences,
        notes=_notes(members, split, heads, tuned=tuned),
    )


def comparable(first: Run, second: Run) -> bool:
    """Whether two runs are of the same data set and have a split in common."""
    shared = [split for split in first.splits if split in second.splits]
    try:
        if shared:
            _check_same_data(first, second, shared[0])
    except RunError:
        return False
    return bool(shared)


def loss_of(run: Run) -> str | None:
    """The loss that a run's networks were trained with, None where it is not known."""
    loss = _trained_how(run)[0]["loss"]
    return None if loss is None else str(loss)


# One run -----------------------------------------------------------------------------------------------------------


def _members(runs: Sequence[Run]) -> tuple[Member, ...]:
    """Losses in the order of the settings, then names: whatever order the runs were given in."""
    described = [(run, *_trained_how(run)) for run in runs]
    known = Counter(settings["loss"] for _, settings, _ in described)

    def label(run: Run, loss: str | None) -> str:
        if loss is None:
            return run.name
        return loss if known[loss] == 1 else f"{loss} ({run.name})"

    seeds = _seeds(runs)
    members = [
        Member(run, label(run, settings["loss"]), chosen, settings["loss"], settings, loaded)
        for (run, settings, loaded), chosen in zip(described, seeds, strict=True)
    ]
    if len({member.label for member in members}) < len(members):
        again = next(name for name, count in Counter(run.name for run in runs).items() if count > 1)
        raise RunError(f"two of the runs are called {again}; rename the folder of one of them")
    places = {loss: number for number, loss in enumerate(LOSSES)}
    return tuple(sorted(members, key=lambda member: (places.get(str(member.loss), len(places)), member.label)))


def _seeds(runs: Sequence[Run]) -> list[tuple[int, ...]]:
    """The seeds that all runs share; if they share none, as many of each run's as the run with fewest has."""
    shared = tuple(seed for seed in runs[0].seeds if all(seed in run.seeds for run in runs))
    if shared:
        return [shared] * len(runs)
    fewest = min(len(run.seeds) for run in runs)
    return [run.seeds[:fewest] for run in runs]


def _trained_how(run: Run) -> tuple[dict[str, Any], bool]:
    """Settings of a run's training, loss None where it is not known; and whether its networks were loaded."""
    training = run.config["training"]
    if training is None:  # imported: whoever trained the networks knows
        return {"loss": None, "seeds": list(run.seeds)}, True
    settings: dict[str, Any] = {
        name: value for name, value in training.items() if name == "loss" or name not in _NOT_DECISIVE
    }
    if run.training() is not None:
        return settings, False
    noted = run.head_file(run.heads[0], run.seeds[0]) or {}
    return {name: noted.get(name) for name in _IN_HEAD_FILE} | {"seeds": list(run.seeds)}, True


def _split(members: Sequence[Member]) -> Split:
    """Test, else validation, else training images: the first that every run has."""
    shared = [split for split in members[0].run.splits if all(split in member.run.splits for member in members)]
    if not shared:
        raise RunError("the runs have no split in common; predict the same splits, with --splits, in all of them")
    return shared[0]


# Several -----------------------------------------------------------------------------------------------------------


def _check_same_data(first: Run, second: Run, split: Split) -> None:
    """Raise RunError, with what differs, unless both runs are of the same data set."""
    mine, theirs = first.dataset, second.dataset
    facts_of: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (
        ("kind of truth", lambda dataset: dataset["kind"]),
        ("classes", lambda dataset: ", ".join(dataset["classes"])),
        (f"{split} images", lambda dataset: [part["images"] for part in dataset["splits"] if part["split"] == split]),
    )
    both = f"{first.name} and {second.name} are runs of different data sets"
    for what, value_of in facts_of:
        if value_of(mine) != value_of(theirs):
            values = (str(value_of(dataset)).strip("[]") for dataset in (mine, theirs))
            raise RunError(f"{both}: {what} {' and '.join(values)}; compare runs of one data set")
    prints = [run.manifest.get("data_fingerprint") for run in (first, second)]
    if None not in prints and prints[0] != prints[1]:
        raise RunError(f"{both}: files of {mine['name']} have changed between them; train both on the same files")
    if None in prints and mine["sizes"] == theirs["sizes"] and mine["splits"] != theirs["splits"]:
        raise RunError(f"{both}: their {split} images carry other labels; compare runs of one data set")


def _no_head_in_common(members: Sequence[Member]) -> str:
    """What each run has, and how to get something to compare."""
    each = ", ".join(f"{member.run.name} has {' and '.join(member.run.heads)}" for member in members)
    if any("sigmoid" in member.run.heads for member in members):
        # Outputs of two imports: pixel by pixel they can only be compared within one run.
        advice = "import the outputs of all heads into one run, whose verdict compares them"
    else:
        advice = "compare runs with the same --softmax-rule"
    return f"the runs have no head in common: {each}; {advice}"


def _units(members: Sequence[Member], split: Split) -> Resampling:
    """What is drawn in each replicate, as evaluation noted it: the same for all runs."""
    notes = [member.run.facts["resampling"][split] for member in members]
    drawn = {(note["unit"], tuple(note.get("of_image") or ())) for note in notes}
    if len(drawn) > 1 or drawn == {(notes[0]["unit"], ())}:
        raise RunError("the runs do not resample the same groups of images; run evaluate on each of them again")
    first = notes[0]
    return Resampling(first["unit"], np.array(first["of_image"], np.int64), int(first["count"]), first["warning"])


def _differences(members: Sequence[Member]) -> tuple[str, ...]:
    """Settings other than the loss that are not the same in all runs, such as "encoder (ce: a; dice: b)"."""
    differences = []
    shared = [name for name in members[0].settings if all(name in member.settings for member in members)]
    for name in shared:
        values = [_in_words(member.seeds if name == "seeds" else member.settings[name]) for member in members]
        if name != "loss" and len(set(values)) > 1:
            each = "; ".join(f"{member.label}: {value}" for member, value in zip(members, values, strict=True))
            differences.append(f"{name.replace('_', ' ')} ({each})")
    loaded = [member.label for member in members if member.loaded]
    if loaded and len(members) > 1:
        differences.append(
            f"how they were trained ({', '.join(loaded)}: loaded or imported, so that little of it is known)"
        )
    return tuple(differences)


def _in_words(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}={entry}" for name, entry in sorted(value.items())) or "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _notes(members: Sequence[Member], split: Split, heads: Sequence[Head], *, tuned: bool) -> tuple[str, ...]:
    notes = []
    left_out = sorted({head for member in members for head in member.run.heads} - set(heads))
    if left_out:
        notes.append(f"Not every run has {' and '.join(left_out)}: left out.")
    if missing_head(heads) is not None:
        notes.append("Sigmoid and softmax are not compared: that takes runs that have both.")
    unused = [f"{member.label}: {_in_words(sorted(set(member.run.seeds) - set(member.seeds)))}" for member in members]
    unused = [text for text in unused if not text.endswith(": ")]
    if unused:
        notes.append(f"Seeds that not every run has are left out ({'; '.join(unused)}).")
    if not tuned and split == "val":
        notes.append("There are no test predictions: thresholds tuned on validation cannot be judged on it.")
    elif not tuned:
        lacking = [member.label for member in members if not member.run.facts.get("thresholds")]
        notes.append(
            f"No thresholds were tuned in {', '.join(lacking)}: that needs validation predictions (--splits val,test), "
            "then evaluate."
        )
    if split != "test":
        notes.append(
            f"Judged on {split}, which training has used: weights or temperatures were chosen on it, so that "
            "every number is too good."
        )
    return tuple(notes)


# Cells ---------------------------------------------------------------------------------------------------------------

_ARRAYS: Final = ("score", "squared_error", "confusion")  # that they are made from


class Place(NamedTuple):
    """A cell of the grid. run: its label."""

    run: str
    head: Head
    threshold: Threshold
    variant: Variant


def own_decision(kind: Kind) -> Threshold:
    """How labels are read off unless thresholds are tuned."""
    return "argmax" if kind == "exclusive" else "p > 0.5"


def _bin_terms(bins: Int64Array, classes: int) -> Float64Array:
    """`counts.image_bins`, (N, C or more, 3, bins), to (N, 1, C, bins, 3), p as it is."""
    return np.moveaxis(bins[:, :classes] * np.array([1, 1, P_UNIT])[:, None], 2, 3)[:, None]


# The registry's classwise ECE over all pixels, from sums of bins: a thirtieth of the numbers in the grid of scores.
_BINS: Final = Source(
    "calibration_bins", lambda block, _: block.by_source["calibration_bins"], only_slot, regions=("all",)
)
_ECE: Final = replace(
    METRICS["classwise_ece"],
    source=_BINS,
    value=lambda terms, _setting: ece_of_bins(terms),
    gaps=lambda terms, _setting: ratio(terms[..., 1] - terms[..., 2], terms[..., 0].sum(axis=-1, keepdims=True)),
)


@dataclass(frozen=True)
class Cells:
    """Macro values of the grid. by_place: by place and measure, one value a seed; bootstrap_seed: of all draws."""

    match: Match
    by_place: Mapping[tuple[Place, str], Replicated]
    bootstrap_seed: int


def measure(match: Match, *, replicates: int, bootstrap_seed: int) -> Cells:
    """Estimate every cell of the grid: each replicate draws the same images for all runs, heads and seeds.

    Raises RunError when the runs were counted on different images.
    """
    rng = np.random.default_rng(bootstrap_seed)
    weights = unit_weights(match.units, replicates=replicates, rng=rng).astype(np.float32)
    by_place: dict[tuple[Place, str], Replicated] = {}
    images: tuple[str, ...] | None = None
    for member in match.members:
        for head in match.heads:
            for variant in match.variants:
                by_seed = [_estimate(match, member, head, seed, variant, weights) for seed in member.seeds]
                images = images or by_seed[0].images
                if any(estimates.images != images for estimates in by_seed):
                    raise RunError(f"{member.run.name} was counted on other images; run evaluate on it again")
                for (threshold, name), key in _names(match).items():
                    place = Place(member.label, head, threshold, variant)
                    by_place[place, name] = _macro([estimates.by_key[key, "all"] for estimates in by_seed])
    return Cells(match, by_place, bootstrap_seed)


def _names(match: Match) -> dict[tuple[Threshold, str], str]:
    """The registry's name of each measure at each threshold."""
    suffixes: dict[Threshold, str] = {"p > 0.5": "_threshold", "tuned": "_tuned", own_decision(match.kind): ""}
    return {
        (threshold, name): name + suffixes[threshold] * (name in LABEL_MEASURES)
        for threshold in match.thresholds
        for name in MEASURES
    }


def _estimate(
    match: Match, member: Member, head: Head, seed: int, variant: Variant, weights: Float32Array
) -> HeadEstimates:
    thresholds = _tuned(match, member, head, seed, variant) if match.tuned else None
    setting = Setting(match.kind, match.bins, match.background is not None, thresholds)
    wanted = sorted(set(_names(match).values()))
    metrics = [_ECE if name == "classwise_ece" else METRICS[name] for name in wanted]
    sources = {source.name: source for source in (OUTCOMES_AT_HALF, *(metric.source for metric in metrics))}

    counted = [source for source in sources.values() if source is not _BINS]

    def terms(block: Counts) -> Terms:
        return Terms(block.images, terms_of(counted, block, setting))

    # Reading counts takes most of the time: only the arrays that are asked for, and of them a few numbers are kept.
    bins = member.run.image_bins(match.split, head, (seed,), bins=match.bins, variant=variant)
    every = Terms.joined(member.run.map_counts(terms, _ARRAYS, match.split, head, (seed,), variant=variant))
    block = every._replace(by_source={**every.by_source, _BINS.name: _bin_terms(bins, len(match.classes))})
    return estimate_head(
        lambda: [block],
        setting,
        weights,
        metrics=[replace(metric, source=kept(metric.source)) for metric in metrics],
        units=match.units.count,
        presence=kept(OUTCOMES_AT_HALF),
        regions=("all",),
    )


def _tuned(match: Match, member: Member, head: Head, seed: int, variant: Variant) -> tuple[int, ...]:
    """The k of each class's threshold k/300."""
    try:
        noted = member.run.facts["thresholds"][variant][head][str(seed)]
        return tuple(round(noted[name] * STEPS) for name in match.classes)
    except KeyError:
        raise RunError(
            f"{member.run.name} has no tuned thresholds for {head}, seed {seed}, {variant}; run evaluate on it again"
        ) from None


def _macro(by_seed: Sequence[Replicated]) -> Replicated:
    """The macro means, which stand behind the classes: one value a seed."""
    return Replicated(
        np.array([estimate.value[-1] for estimate in by_seed]),
        np.array([estimate.center[-1] for estimate in by_seed]),
        np.stack([estimate.replicates[:, -1] for estimate in by_seed], axis=1),
    )


def ends(
    cells: Cells,
    family: Sequence[Replicated],
    *,
    confidence: float = CONFIDENCE,
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> list[tuple[float, float]]:
    """Low and high end of each of a family's means over seeds; those of several hold for all of them together.

    Seeds are a second level of chance beside the images (inference.over_seeds). NaN where there is one image.
    confidence: of the only one; several have 95%. bounds: what none of them can leave.
    """
    center, replicates, units = inference.over_seeds(
        np.stack([values.center for values in family], axis=1),
        np.stack([values.replicates for values in family], axis=2),
        units=cells.match.units.count,
        rng=np.random.default_rng([cells.bootstrap_seed, 1]),
    )
    if len(family) > 1:
        low, high = inference.simultaneous_interval(center, replicates, units=units)
    else:
        low, high = inference.interval(center, replicates, units=units, confidence=confidence)
    return list(zip(np.clip(low, *bounds).tolist(), np.clip(high, *bounds).tolist(), strict=True))
