"""Images and their groups to training, validation and test lists, the same on every machine."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pipelines.reading import SplitRule
from pipelines.schema import SPLITS, Split

SHARES: Final[dict[Split, float]] = {"train": 0.70, "val": 0.15, "test": 0.15}
SEED: Final = 0
MADE: Final = "SPLIT-MADE"  # code of the finding that says which splits are not the data set's own


def seeded_split(
    names: Sequence[str], groups: Mapping[str, str], *, seed: int = SEED, shares: Mapping[Split, float] = SHARES
) -> dict[Split, tuple[str, ...]]:
    """70/15/15 of the images unless other shares are given, whole groups only; an image without a group is one itself.

    Groups are shuffled by the seed and each goes to the split that is furthest below its share, so that shares
    hold in images even when groups differ in size. With three groups or more no split stays empty.
    The order of names does not matter.
    """
    members: dict[tuple[bool, str], list[str]] = defaultdict(list)
    for name in sorted(names):
        members[(name in groups, groups.get(name, name))].append(name)
    keys = sorted(members)
    order = np.random.default_rng(seed).permutation(len(keys))
    chosen: dict[Split, list[str]] = {split: [] for split in SPLITS}
    for done, index in enumerate(order):
        empty = [split for split in SPLITS if not chosen[split]]
        left = len(keys) - done
        candidates = empty if empty and left <= len(empty) else list(SPLITS)
        split = max(candidates, key=lambda one: shares[one] * len(names) - len(chosen[one]))
        chosen[split] += members[keys[index]]
    return {split: tuple(sorted(chosen[split])) for split in SPLITS}


def complete_splits(
    given: Mapping[Split, Sequence[str]], names: Sequence[str], groups: Mapping[str, str], rule: SplitRule
) -> tuple[dict[Split, tuple[str, ...]], str | None]:
    """Lists of all three splits, and in words what was made that the data set does not give; None if it gives all.

    A test list that is given stays as it is. Where one split is missing, it is taken from another: test is half of val,
    val a share of training, training a share of val, or all images that are in no list. Where one split alone is given,
    the others are made of the images that it leaves out; if it leaves out none, the set is split as a whole.
    """
    lists = {split: tuple(given.get(split, ())) for split in SPLITS} if rule.by == "given" else {}
    there = [split for split in SPLITS if lists.get(split)]
    if len(there) == len(SPLITS):
        return lists, None
    wanted = dict(zip(SPLITS, rule.shares, strict=True))
    listed = {name for split in there for name in lists[split]}
    rest = tuple(name for name in names if name not in listed)
    gives = f"the data set gives {_counts(lists, there)}; " if there else ""
    if there == ["val", "test"] and rest:
        return lists | {"train": rest}, f"{gives}train is the {len(rest)} images in neither"
    if len(there) == 2:
        made = next(split for split in SPLITS if split not in there)
        giver: Split = "train" if made == "val" else "val"
        share = 0.5 if made == "test" else wanted[made] / (wanted["train"] + wanted["val"])
        kept, taken = _cut(lists[giver], groups, share, seed=rule.seed)
        lists |= {giver: kept, made: taken}
        of = f"{len(taken)} of the {len(kept) + len(taken)} images of {giver}"
        return lists, f"{gives}it has no {made}: {of} are {made} now, whole groups, by seed {rule.seed}"
    if len(there) == 1 and len({groups.get(name, name) for name in rest}) > 1:
        first, second = (split for split in SPLITS if split not in there)
        share = wanted[second] / (wanted[first] + wanted[second])
        kept, taken = _cut(rest, groups, share, seed=rule.seed)
        made_of = f"{len(kept)} and {len(taken)} of the {len(rest)} images that it leaves out, whole groups"
        return lists | {first: kept, second: taken}, f"{gives}{first} and {second} are {made_of}, by seed {rule.seed}"
    shares = " / ".join(f"{100 * share:g}" for share in rule.shares)
    made_of = f"{'all images' if there else 'images'} were split {shares}% into train, val and test, whole groups"
    return seeded_split(names, groups, seed=rule.seed, shares=wanted), f"{gives}{made_of}, by seed {rule.seed}"


def _counts(lists: Mapping[Split, Sequence[str]], there: Sequence[Split]) -> str:
    """Splits with their numbers of images, such as "train (16) and test (20) alone"."""
    return " and ".join(f"{split} ({len(lists[split])})" for split in there) + " alone"


def _cut(
    names: Sequence[str], groups: Mapping[str, str], share: float, *, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two parts of a list, whole groups only: what stays, and about a share that goes."""
    parts = seeded_split(names, groups, seed=seed, shares={"train": 1 - share, "val": share / 2, "test": share / 2})
    return parts["train"], tuple(sorted((*parts["val"], *parts["test"])))


def groups_by_name(names: Sequence[str], separator: str, parts: int) -> dict[str, str]:
    """A group for each image: the first parts of its name, cut at the separator; the whole name if it has no more."""
    return {name: separator.join(name.split(separator)[:parts]) or name for name in names}
