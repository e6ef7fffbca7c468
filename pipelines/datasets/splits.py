"""Images and their groups to training, validation and test lists, the same on every machine."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pipelines.reading import SplitRule
from pipelines.schema import SPLITS, Split

SHARES: Final[dict[Split, float]] = {"train": 0.70, "val": 0.15, "test": 0.15}
SEED: Final = 0


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

    A data set that names training and one other split has the third taken from them: test is half of val, val a share
    of training. One that names a single split, or none, is split as a whole.
    """
    wanted = dict(zip(SPLITS, rule.shares, strict=True))
    lists = {split: tuple(given.get(split, ())) for split in SPLITS} if rule.by == "given" else {}
    there = [split for split in SPLITS if lists.get(split)]
    if there == list(SPLITS):
        return lists, None
    if "train" in there and len(there) == 2:
        made: Split = "test" if "val" in there else "val"
        giver: Split = "val" if made == "test" else "train"
        share = 0.5 if made == "test" else wanted["val"] / (wanted["train"] + wanted["val"])
        kept, taken = _cut(lists[giver], groups, share, seed=rule.seed)
        lists |= {giver: kept, made: taken}
        of = f"{len(taken)} of the {len(kept) + len(taken)} images of {giver}"
        return lists, f"the data set has no {made} list: {of} are {made} now, whole groups, by seed {rule.seed}"
    made_lists = seeded_split(names, groups, seed=rule.seed, shares=wanted)
    shares = " / ".join(f"{100 * share:g}" for share in rule.shares)
    return made_lists, f"images were split {shares}% into train, val and test, whole groups, by seed {rule.seed}"


def _cut(
    names: Sequence[str], groups: Mapping[str, str], share: float, *, seed: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Two parts of a list, whole groups only: what stays, and about a share that goes."""
    parts = seeded_split(names, groups, seed=seed, shares={"train": 1 - share, "val": share / 2, "test": share / 2})
    return parts["train"], tuple(sorted((*parts["val"], *parts["test"])))


def groups_by_name(names: Sequence[str], separator: str, parts: int) -> dict[str, str]:
    """A group for each image: the first parts of its name, cut at the separator; the whole name if it has no more."""
    return {name: separator.join(name.split(separator)[:parts]) or name for name in names}
