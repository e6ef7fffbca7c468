"""Images and their groups to training, validation and test lists, the same on every machine."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from pipelines.schema import SPLITS, Split

SHARES: Final[dict[Split, float]] = {"train": 0.70, "val": 0.15, "test": 0.15}
SEED: Final = 0


def seeded_split(names: Sequence[str], groups: Mapping[str, str], *, seed: int = SEED) -> dict[Split, tuple[str, ...]]:
    """70/15/15 of the images, whole groups only; an image without a group is a group of its own.

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
        split = max(candidates, key=lambda one: SHARES[one] * len(names) - len(chosen[one]))
        chosen[split] += members[keys[index]]
    return {split: tuple(sorted(chosen[split])) for split in SPLITS}
