"""What the check found in a data set to the panels of the page Labels: the truth alone, before any training."""

from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd

from dashboard import loaders
from dashboard.figures.confusion import matrix_figure
from dashboard.figures.labels import (
    ceiling_figure,
    class_share_figure,
    labels_per_pixel_figure,
    nesting_figure,
    split_share_figure,
)
from dashboard.figures.theme import Theme
from dashboard.panels.base import Panel, Picture
from dashboard.rounding import percent
from pipelines.schema import Split
from pipelines.store import Run

_PAIRS: Final = 12  # drawn; the others are in the table
_RARE: Final = 0.01
_EXAMPLES: Final = 12
_NUMBERS: Final = ("No label", "1 label", "2 labels", "3 labels or more")
_LEAKS: Final = {
    "SPLIT-LEAK": ("image", "images"),
    "GROUP-LEAK": ("group", "groups"),
    "COPY-LEAK": ("picture under two names", "pictures under two names"),
}


def class_shares(facts: dict[str, Any], theme: Theme) -> Panel:
    """Share of the valid pixels that carry each class."""
    table = pd.DataFrame(facts["class_facts"])
    columns = [name for name in table.columns if facts["kind"] == "overlapping" or "_" not in name]
    said = ", ".join(f"{one['name']} {percent(one['share'])}" for one in facts["class_facts"])
    figure = class_share_figure(facts["class_facts"], theme)
    picture = Picture("classes", figure, f"Share of the pixels of each class: {said}.")
    return Panel("classes", "Classes", (picture,), table[columns], "class_shares", ("share",))


def labels_per_pixel(facts: dict[str, Any], theme: Theme) -> Panel:
    """Share of the valid pixels by number of labels."""
    pixels = facts["labels_per_pixel"]
    table = pd.DataFrame({"labels": range(len(pixels)), "pixels": pixels})
    table["share"] = table["pixels"] / np.maximum(table["pixels"].sum(), 1)
    said = ", ".join(f"{labels}: {percent(share)}" for labels, share in enumerate(table["share"]))
    picture = Picture(
        "per_pixel", labels_per_pixel_figure(pixels, theme), f"Share of the pixels by number of labels, {said}."
    )
    return Panel("per_pixel", "Labels per pixel", (picture,), table, "labels_per_pixel", ("share",))


def pairs(facts: dict[str, Any], theme: Theme) -> Panel | None:
    """Which classes share pixels, each as a share of the row's class; None where none can."""
    if not _may_overlap(facts):
        return None
    share = {(one["first"], one["second"]): one["share_of_first"] for one in facts["pairs"]}
    share |= {(one["second"], one["first"]): one["share_of_second"] for one in facts["pairs"]}
    names = facts["classes"]
    rows = [(a, b, share.get((a, b), 0.0)) for a in names for b in names if a != b]
    table = pd.DataFrame(rows, columns=["first", "second", "share"])
    figure = matrix_figure(
        table, theme, rows="first", columns="second", value="share", title="Classes that share pixels",
        color=theme.text, top=1.0, row_title="share of", column_title="that is also",
    )  # fmt: skip
    picture = Picture("pairs", figure, "Share of each class that also carries another.")
    return Panel("pairs", "Classes that share pixels", (picture,), table, "pairs_truth", ("share",))


def nesting(facts: dict[str, Any], theme: Theme) -> Panel | None:
    """Which class lies inside which, the most nested pairs first; None where no two classes share a pixel."""
    if not facts["pairs"]:
        return None
    inside = {(one["inner"], one["outer"]) for one in facts["nested"]}
    rows = []
    for one in facts["pairs"]:
        ends = [(one["share_of_first"], one["first"]), (one["share_of_second"], one["second"])]
        (back, outer), (share, inner) = sorted(ends, key=lambda entry: entry[0])
        rows.append((inner, outer, share, back, one["pixels"], (inner, outer) in inside))
    table = pd.DataFrame(rows, columns=["inner", "outer", "share", "back", "pixels", "nested"])
    table = table.sort_values("share", ascending=False, kind="stable", ignore_index=True)
    colors = dict(zip(facts["classes"], facts["colors"], strict=True))
    figure = nesting_figure(table.head(_PAIRS), theme, colors=colors)
    said = "; ".join(
        f"{a} lies inside {b}: {percent(share)}" for a, b, share, *_ in table.head(3).itertuples(index=False)
    )
    picture = Picture("nesting", figure, f"Pairs of classes as bars over each other. {said}.")
    return Panel("nesting", "Which class lies inside which", (picture,), table, "nesting", ("share", "back"))


def splits(facts: dict[str, Any], theme: Theme) -> Panel:
    """Share of each class in each split: where they differ, one split says little of the other."""
    rows = [
        (name, one["split"], one["class_pixels"].get(name, 0), one["class_pixels"].get(name, 0) / one["valid_pixels"])
        for name in facts["classes"]
        for one in facts["splits"]
        if one["valid_pixels"]
    ]
    table = pd.DataFrame(rows, columns=["class", "split", "pixels", "share"])
    picture = Picture("splits", split_share_figure(table, theme), "Share of the pixels of each class in each split.")
    return Panel("splits", "Classes in each split", (picture,), table, "splits", ("share",))


def ceiling(facts: dict[str, Any], theme: Theme) -> Panel | None:
    """The best Dice that one label a pixel can reach, and what priority leaves of it; None where that is 1."""
    if not _may_overlap(facts):
        return None
    columns = ["class", "ceiling_dice", "priority_dice", "ceiling_iou", "priority_iou"]
    means = [facts[f"{rule}_macro_{score}"] for score in ("dice", "iou") for rule in ("ceiling", "priority")]
    rows = [[one["name"], *(one[name] for name in columns[1:])] for one in facts["class_facts"]]
    table = pd.DataFrame([["mean of classes", *means], *rows], columns=columns)
    figure = ceiling_figure(table, theme)
    alt = f"Best mean Dice with one label a pixel: {means[0]:.3f}; by priority {means[1]:.3f}."
    return Panel(
        "ceiling", "Best possible with one label a pixel", (Picture("ceiling", figure, alt),), table, "ceiling"
    )


def _may_overlap(facts: dict[str, Any]) -> bool:
    """Whether two labels could stand on one pixel."""
    return facts["kind"] == "overlapping" and len(facts["classes"]) > 1


class Kind(NamedTuple):
    """Pixels with so many true labels, or with exactly these classes (ascending indices): see `loaders.example_of`."""

    title: str
    labels: int
    members: tuple[int, ...] | None
    pixels: int


def kinds(run: Run, *, split: Split) -> list[Kind]:
    """Kinds of pixels worth an example: each number of labels that occurs, then the commonest sets, at most twelve.

    A set that is the only one with its number of labels gives that number its name instead.
    """
    names = loaders.dataset(run)["classes"]
    sets = loaders.label_sets(run, split)
    found: list[Kind] = []
    alone = set()
    for labels in range(loaders.MOST_LABELS + 1):
        same = [(members, pixels) for members, pixels in sets if min(len(members), loaders.MOST_LABELS) == labels]
        title = _NUMBERS[labels]
        if len(same) == 1 and labels:
            alone.add(labels)
            title = f"{title}: {' + '.join(names[index] for index in same[0][0])}"
        if same and (len(same) == 1 or len(same) < len(sets)):  # if all pixels are alike, one is as good as another
            found.append(Kind(title, labels, None, sum(pixels for _, pixels in same)))
    for members, pixels in sets:
        number = min(len(members), loaders.MOST_LABELS)
        if members and number not in alone:
            found.append(Kind(" + ".join(names[index] for index in members), number, members, pixels))
    return found[:_EXAMPLES]


def imbalance(facts: dict[str, Any]) -> str:
    """How unequal the classes are, in words; of a single class, how it compares with all the rest.

    facts: a check's report, as `loaders.dataset` gives it.
    """
    occurring = [one for one in facts["class_facts"] if one["pixels"]]
    if not occurring:
        return ""
    if len(occurring) == 1:
        return f"{occurring[0]['name']} carries {percent(occurring[0]['share'])} of the pixels; the rest has no label."
    most, least = max(occurring, key=lambda one: one["share"]), min(occurring, key=lambda one: one["share"])
    times = most["share"] / least["share"]
    said = (
        f"{most['name']} carries {percent(most['share'])} of the pixels, {times:.3g} times as many as "
        f"{least['name']} ({percent(least['share'])})."
    )
    rare = [one["name"] for one in occurring if one["share"] < _RARE]
    if not rare:
        return f"{said} No class is rarer than 1% of the pixels."
    return (
        f"{said} Rarer than 1%: {', '.join(rare)}. Scores of a rare class rest on few pixels, it counts "
        "as much as any other in the mean of classes, and at p > 0.5 it is easily missed: see its tuned threshold."
    )


def leakage(facts: dict[str, Any]) -> str:
    """Whether images, groups or pictures stand in two splits, in words. facts: as for `imbalance`."""
    codes = [one["code"] for one in facts["findings"]]
    leaks = [f"{codes.count(code)} {words[codes.count(code) > 1]}" for code, words in _LEAKS.items() if code in codes]
    grouped = any(one["groups"] is not None for one in facts["splits"])
    unknown = (
        ""
        if grouped
        else " Groups (patient, video, scene) are not given, so it is not known whether one stands in two splits."
    )
    if leaks:
        return f"In two splits at once: {', '.join(leaks)}. Scores will look too good.{unknown}"
    kept = "image, group or picture" if grouped else "image or picture"
    return f"No {kept} stands in two splits.{unknown}"
