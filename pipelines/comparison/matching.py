"""Runs to what they share, how they are told apart, and in what else than the loss they differ."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

from pipelines.config import LOSSES
from pipelines.errors import RunError
from pipelines.metrics.bootstrap import Resampling
from pipelines.schema import Head, Kind, Split
from pipelines.storage import Run
from pipelines.verdict import missing_head

RunFactor: TypeAlias = Literal["loss", "run"]

# Settings that decide where and how fast networks are trained, but not which.
_NOT_TOLD: Final = ("loss", "device", "workers", "threads", "checkpoint_seconds")
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
    thresholds, temperatures: whether every run has tuned or fitted ones. bins: of the calibration error.
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
    thresholds: bool
    temperatures: bool
    differences: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the runs in the comparison: their losses, unless two share one."""
        return tuple(member.label for member in self.members)


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
    bins = {int(one.get("calibration_bins", 15)) for one in facts}
    differences = _differences(members)
    losses = [member.loss for member in members]
    by_loss = None not in losses and len(set(losses)) == len(losses) and not differences
    tuned = split != "val" and all(one.get("thresholds") for one in facts)
    return Match(
        members=members, factor="loss" if by_loss else "run", kind=dataset["kind"], classes=tuple(dataset["classes"]),
        background=dataset["background"], split=split, heads=heads, units=_units(members, split),
        bins=bins.pop() if len(bins) == 1 else 15,
        thresholds=tuned, temperatures=all(one["temperature"] for one in facts),
        differences=differences, notes=_notes(members, split, heads, tuned=tuned),
    )  # fmt: skip


def comparable(one: Run, other: Run) -> bool:
    """Whether two runs are of the same data set and have a split in common."""
    shared = [split for split in one.splits if split in other.splits]
    try:
        if shared:
            _check_same_data(one, other, shared[0])
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
        Member(run, label(run, settings["loss"]), some, settings["loss"], settings, loaded)
        for (run, settings, loaded), some in zip(described, seeds, strict=True)
    ]
    if len({member.label for member in members}) < len(members):
        again = next(name for name, count in Counter(run.name for run in runs).items() if count > 1)
        raise RunError(f"two of the runs are called {again}; rename the folder of one of them")
    places = {loss: number for number, loss in enumerate(LOSSES)}
    return tuple(sorted(members, key=lambda one: (places.get(one.loss, len(places)), one.label)))  # type: ignore[call-overload]


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
        name: value for name, value in training.items() if name == "loss" or name not in _NOT_TOLD
    }
    if run.training() is not None:
        return settings, False
    noted = run.head_file(run.heads[0], run.seeds[0]) or {}
    return {name: noted.get(name) for name in _IN_HEAD_FILE} | {"seeds": list(run.seeds)}, True


def _split(members: Sequence[Member]) -> Split:
    """Test, else validation, else training images: the first that every run has."""
    shared = [split for split in members[0].run.splits if all(split in one.run.splits for one in members)]
    if not shared:
        raise RunError("the runs have no split in common; predict the same splits, with --splits, in all of them")
    return shared[0]


# Several -----------------------------------------------------------------------------------------------------------


def _check_same_data(one: Run, other: Run, split: Split) -> None:
    """Raise RunError, with what differs, unless both runs are of the same data set."""
    mine, theirs = one.dataset, other.dataset
    told: tuple[tuple[str, Callable[[dict[str, Any]], Any]], ...] = (
        ("kind of truth", lambda facts: facts["kind"]),
        ("classes", lambda facts: ", ".join(facts["classes"])),
        (f"{split} images", lambda facts: [part["images"] for part in facts["splits"] if part["split"] == split]),
    )
    both = f"{one.name} and {other.name} are runs of different data sets"
    for what, look in told:
        if look(mine) != look(theirs):
            values = (str(look(facts)).strip("[]") for facts in (mine, theirs))
            raise RunError(f"{both}: {what} {' and '.join(values)}; compare runs of one data set")
    prints = [run.manifest.get("data_fingerprint") for run in (one, other)]
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
    noted = [member.run.facts["resampling"][split] for member in members]
    drawn = {(one["unit"], tuple(one.get("of_image") or ())) for one in noted}
    if len(drawn) > 1 or drawn == {(noted[0]["unit"], ())}:
        raise RunError("the runs do not resample the same groups of images; run evaluate on each of them again")
    first = noted[0]
    return Resampling(first["unit"], np.array(first["of_image"], np.int64), int(first["count"]), first["warning"])


def _differences(members: Sequence[Member]) -> tuple[str, ...]:
    """Settings other than the loss that are not the same in all runs, such as "encoder (ce: a; dice: b)"."""
    found = []
    shared = [name for name in members[0].settings if all(name in member.settings for member in members)]
    for name in shared:
        values = [_written(one.seeds if name == "seeds" else one.settings[name]) for one in members]
        if name != "loss" and len(set(values)) > 1:
            each = "; ".join(f"{member.label}: {value}" for member, value in zip(members, values, strict=True))
            found.append(f"{name.replace('_', ' ')} ({each})")
    loaded = [member.label for member in members if member.loaded]
    if loaded and len(members) > 1:
        found.append(f"how they were trained ({', '.join(loaded)}: loaded or imported, so that little of it is known)")
    return tuple(found)


def _written(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(f"{name}={one}" for name, one in sorted(value.items())) or "none"
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)


def _notes(members: Sequence[Member], split: Split, heads: Sequence[Head], *, tuned: bool) -> tuple[str, ...]:
    notes = []
    left_out = sorted({head for member in members for head in member.run.heads} - set(heads))
    if left_out:
        notes.append(f"Not every run has {' and '.join(left_out)}: left out.")
    if missing_head(heads) is not None:
        notes.append("Sigmoid and softmax are not compared: that takes runs that have both.")
    unused = [f"{one.label}: {_written(sorted(set(one.run.seeds) - set(one.seeds)))}" for one in members]
    unused = [one for one in unused if not one.endswith(": ")]
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
