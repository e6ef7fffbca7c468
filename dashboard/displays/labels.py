"""What the check found in a data set: the truth alone, before any training."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from dashboard import queries
from dashboard.charts import (
    SHARED,
    Drawn,
    broken,
    draw,
    interval,
    line,
    mark,
    matrix_figure,
    points,
    shortened,
    upright,
)
from dashboard.displays.accuracy import class_title, row_rules, rows_axis
from dashboard.displays.base import SPLIT_TITLES, Display, Picture
from dashboard.rounding import percent, with_interval
from dashboard.theme import HEAD_MARKERS, HEAD_SHORT, LIGHT, Theme, faded
from pipelines.schema import MACRO, OBSERVERS, Split
from pipelines.store.runs import Run

Facts: TypeAlias = dict[str, Any]  # what the check of a data set found, as `queries.runs.dataset` gives it
_PAIRS: Final = 12  # drawn; the others are in the table
_RARE: Final = 0.01
_EXAMPLES: Final = 12
_NUMBERS: Final = ("No label", "1 label", "2 labels", "3 labels or more")
_LEAKS: Final = {
    "SPLIT-LEAK": ("image", "images"),
    "GROUP-LEAK": ("group", "groups"),
    "COPY-LEAK": ("picture under two names", "pictures under two names"),
}
_LONGEST: Final = 18  # characters of a class's name in a row of two
_ROWS: Final = {"autorange": "reversed", "type": "category", "showgrid": False}  # an axis of classes, from the top


class Kind(NamedTuple):
    """Pixels with so many true labels, or with exactly these classes (ascending indices): see `images.example_of`."""

    title: str
    labels: int
    members: tuple[int, ...] | None
    pixels: int


def facts_of(subject: Run | Facts) -> Facts:
    """What the check found in a run's data set; as it is where it is given."""
    return queries.runs.dataset(subject) if isinstance(subject, Run) else subject


def class_shares(subject: Run | Facts, theme: Theme = LIGHT) -> Display:
    """Share of the valid pixels that carry each class."""
    facts = facts_of(subject)
    table = pd.DataFrame(facts["class_facts"])
    columns = [name for name in table.columns if facts["kind"] == "overlapping" or "_" not in name]
    said = ", ".join(f"{one['name']} {percent(one['share'])}" for one in facts["class_facts"])
    figure = class_share_figure(facts["class_facts"], theme)
    picture = Picture("classes", figure, f"Share of the pixels of each class: {said}.")
    return Display("classes", "Classes", (picture,), table[columns], "class_shares", ("share",))


def labels_per_pixel(subject: Run | Facts, theme: Theme = LIGHT) -> Display:
    """Share of the valid pixels by number of labels."""
    facts = facts_of(subject)
    pixels = facts["labels_per_pixel"]
    table = pd.DataFrame({"labels": range(len(pixels)), "pixels": pixels})
    table["share"] = table["pixels"] / np.maximum(table["pixels"].sum(), 1)
    said = ", ".join(f"{labels}: {percent(share)}" for labels, share in enumerate(table["share"]))
    picture = Picture(
        "per_pixel", labels_per_pixel_figure(pixels, theme), f"Share of the pixels by number of labels, {said}."
    )
    return Display("per_pixel", "Labels per pixel", (picture,), table, "labels_per_pixel", ("share",))


def pairs(subject: Run | Facts, theme: Theme = LIGHT) -> Display | None:
    """Which classes share pixels, each as a share of the row's class; None where none can."""
    facts = facts_of(subject)
    if not _may_overlap(facts):
        return None
    share = {(one["first"], one["second"]): one["share_of_first"] for one in facts["pairs"]}
    share |= {(one["second"], one["first"]): one["share_of_second"] for one in facts["pairs"]}
    names = facts["classes"]
    rows = [(a, b, share.get((a, b), 0.0)) for a in names for b in names if a != b]
    table = pd.DataFrame(rows, columns=["first", "second", "share"])
    figure = matrix_figure(table, theme, value="share", title="Classes that share pixels", color=theme.text, **SHARED)
    picture = Picture("pairs", figure, "Share of each class that also carries another.")
    return Display("pairs", "Classes that share pixels", (picture,), table, "pairs_truth", ("share",))


def nesting(subject: Run | Facts, theme: Theme = LIGHT) -> Display | None:
    """Which class lies inside which, the most nested pairs first; None where no two classes share a pixel."""
    facts = facts_of(subject)
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
    return Display("nesting", "Which class lies inside which", (picture,), table, "nesting", ("share", "back"))


def splits(subject: Run | Facts, theme: Theme = LIGHT) -> Display:
    """Share of each class in each split: where they differ, one split says little of the other."""
    facts = facts_of(subject)
    rows = [
        (name, one["split"], one["class_pixels"].get(name, 0), one["class_pixels"].get(name, 0) / one["valid_pixels"])
        for name in facts["classes"]
        for one in facts["splits"]
        if one["valid_pixels"]
    ]
    table = pd.DataFrame(rows, columns=["class", "split", "pixels", "share"])
    picture = Picture("splits", split_share_figure(table, theme), "Share of the pixels of each class in each split.")
    return Display("splits", "Classes in each split", (picture,), table, "splits", ("share",))


def ceiling(subject: Run | Facts, theme: Theme = LIGHT) -> Display | None:
    """The best Dice that one label a pixel can reach, and what priority leaves of it; None where that is 1."""
    facts = facts_of(subject)
    if not _may_overlap(facts):
        return None
    columns = ["class", "ceiling_dice", "priority_dice", "ceiling_iou", "priority_iou"]
    means = [facts[f"{rule}_macro_{score}"] for score in ("dice", "iou") for rule in ("ceiling", "priority")]
    rows = [[one["name"], *(one[name] for name in columns[1:])] for one in facts["class_facts"]]
    table = pd.DataFrame([["mean of classes", *means], *rows], columns=columns)
    figure = ceiling_figure(table, theme)
    alt = f"Best mean Dice with one label a pixel: {means[0]:.3f}; by priority {means[1]:.3f}."
    return Display(
        "ceiling", "Best possible with one label a pixel", (Picture("ceiling", figure, alt),), table, "ceiling"
    )


def observers(run: Run, theme: Theme = LIGHT) -> Display | None:
    """Dice of an observer with the majority of the others, beside that of the heads with the truth, on the split that
    is judged; None where no two people marked the same images.
    """
    people = run.estimates(head=OBSERVERS, metric="observer_dice")
    people = people[people["value"].notna()]
    if people.empty:
        return None
    every = run.estimates(head=run.heads, metric="dice")
    table = pd.concat([people, every[every["class"].isin(people["class"])]], ignore_index=True)
    names = [name for name in (MACRO, *queries.runs.dataset(run)["classes"]) if name in set(people["class"])]
    names = names[1:] if len(names) == 2 else names  # the mean of one class is that class
    table = table[table["class"].isin(names) & table["value"].notna()]
    table = table[["class", "head", "value", "low", "high", "images"]].reset_index(drop=True)
    mean = table[(table["class"] == names[0]) & (table["head"] == OBSERVERS)].iloc[0]
    said = f"{class_title(names[0])}: {with_interval(mean['value'], mean['low'], mean['high'])}"
    picture = Picture("observers", observers_figure(table, theme), f"Dice of an observer with the others, {said}.")
    return Display("observers", "How far people agree", (picture,), table, "observers")


def people_in_words(display: Display) -> str:
    """What `observers` shows, in a sentence."""
    rows = display.table
    people = rows[rows["head"] == OBSERVERS].iloc[0]
    return (
        f"Several people marked {people['images']:,} of the images that are judged. One of them reaches a Dice of "
        f"{with_interval(people['value'], people['low'], people['high'])} with the majority of the others: a head that "
        "reaches as much differs from the truth no more than a person does."
    )


def _may_overlap(facts: Facts) -> bool:
    """Whether two labels could stand on one pixel."""
    return facts["kind"] == "overlapping" and len(facts["classes"]) > 1


def kinds(run: Run, *, split: Split) -> list[Kind]:
    """Kinds of pixels worth an example: each number of labels that occurs, then the commonest sets, at most twelve.

    A set that is the only one with its number of labels gives that number its name instead.
    """
    names = queries.runs.dataset(run)["classes"]
    sets = queries.images.label_sets(run, split)
    found: list[Kind] = []
    alone = set()
    for labels in range(queries.images.MOST_LABELS + 1):
        same = [
            (members, pixels) for members, pixels in sets if min(len(members), queries.images.MOST_LABELS) == labels
        ]
        title = _NUMBERS[labels]
        if len(same) == 1 and labels:
            alone.add(labels)
            title = f"{title}: {' + '.join(names[index] for index in same[0][0])}"
        if same and (len(same) == 1 or len(same) < len(sets)):  # if all pixels are alike, one is as good as another
            found.append(Kind(title, labels, None, sum(pixels for _, pixels in same)))
    for members, pixels in sets:
        number = min(len(members), queries.images.MOST_LABELS)
        if members and number not in alone:
            found.append(Kind(" + ".join(names[index] for index in members), number, members, pixels))
    return found[:_EXAMPLES]


def imbalance(facts: Facts) -> str:
    """How unequal the classes are, in words; of a single class, how it compares with all the rest.

    facts: a check's report, as `queries.runs.dataset` gives it.
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


def leakage(facts: Facts) -> str:
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


def class_share_figure(class_facts: Sequence[Mapping[str, Any]], theme: Theme) -> Drawn:
    """Share of valid pixels of each class. class_facts: entries name, color, share, pixels, images."""
    shares = [float(entry["share"]) for entry in class_facts]
    smallest = min((share for share in shares if share > 0), default=1.0)
    logarithmic = smallest < 0.01 * max(shares, default=1.0)
    bars = {
        "x": shares,
        "y": [str(entry["name"]) for entry in class_facts],
        "marker": {"color": [str(entry["color"]) for entry in class_facts], "line": {"width": 0}},
        "customdata": [[entry["pixels"], entry["images"]] for entry in class_facts],
        "hovertemplate": "<b>%{y}</b><br>%{x:.3%} of the pixels<br>%{customdata[0]:,} pixels"
        "<br>in %{customdata[1]:,} images<extra></extra>",
    }
    scale = {"type": "log"} if logarithmic else {"rangemode": "tozero"}
    title = "share of pixels, logarithmic" if logarithmic else "share of pixels"
    return _share_figure(bars, theme, title="Classes", x=scale | {"title": title})


def labels_per_pixel_figure(counts: Sequence[int], theme: Theme) -> Drawn:
    """Share of valid pixels by number of labels. counts: pixels with 0, 1, 2, … labels."""
    total = max(sum(counts), 1)
    bars = {
        "x": [count / total for count in counts],
        "y": [_labels(number) for number in range(len(counts))],
        "marker": {"color": theme.muted, "line": {"width": 0}},
        "customdata": list(counts),
        "hovertemplate": "%{y}: %{x:.2%}<br>%{customdata:,} pixels<extra></extra>",
    }
    return _share_figure(bars, theme, title="Labels per pixel", x={"rangemode": "tozero", "title": "share of pixels"})


def ceiling_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """The best Dice with one label a pixel, and Dice by priority, against 1, which several labels can reach.

    table: rows class, ceiling_dice, priority_dice, from the top; NaN for a class that never occurs.
    """
    names = [str(name) for name in table["class"]]
    best, rule = table["ceiling_dice"].to_numpy(), table["priority_dice"].to_numpy()
    lost = line(
        [x for one in best for x in (one, 1.0, None)], broken(names, names), theme.line, width=8, name="out of reach"
    )
    looks = (
        ("best one label a pixel can do", best, "circle", 11),
        ("one label by priority", rule, "diamond-open", 15),
    )
    dots = [
        points(
            values,
            names,
            mark(theme.text, size, symbol=symbol, edge=theme.text, width=2),
            name=title,
            hover=f"<b>%{{y}}</b><br>{title}: Dice %{{x:.3f}}",
        )
        for title, values, symbol, size in looks
    ]
    lowest = float(np.nanmin([best, rule, np.ones_like(best)]))
    return draw(
        [lost, *dots],
        theme,
        height=140 + 34 * max(len(names), 2),
        title="Best possible with one label a pixel",
        shapes=[upright(1, theme.text)],
        xaxis={"range": [min(0.9, lowest) - 0.03, 1.02], "title": "Dice", "nticks": 6, "tickformat": "~g"},
        yaxis=_ROWS,
    )


def observers_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """Dice with intervals: a row a class, in it a lane for people and one for each head.

    table: rows class, head (OBSERVERS for people), value, low, high, classes in order.
    """
    classes, heads = list(dict.fromkeys(table["class"])), list(dict.fromkeys(table["head"]))
    traces = []
    for lane, head in enumerate(heads):
        rows = table[table["head"] == head]
        people = head == OBSERVERS
        name = "one observer" if people else HEAD_SHORT[head]
        color, symbol = (theme.text, "diamond") if people else (theme.heads[head], HEAD_MARKERS[head])
        offset = (lane - (len(heads) - 1) / 2) * 0.8 / len(heads)
        traces.append(
            points(
                rows["value"],
                [classes.index(one) + offset for one in rows["class"]],
                mark(color, 10 if people else 8, symbol=symbol, edge=color, width=1.5),
                error_x=interval(rows, color, thickness=2.2),
                name=name,
                customdata=rows[["low", "high"]].to_numpy(),
                hover=f"{name}: Dice %{{x:.3f}}<br>%{{customdata[0]:.3f}} to %{{customdata[1]:.3f}}",
            )
        )
    return draw(
        traces,
        theme,
        height=150 + 26 * len(heads) * len(classes),
        title="One observer beside the heads",
        shapes=row_rules(len(classes), theme),
        xaxis={"nticks": 6, "tickformat": "~g", "title": "Dice"},
        yaxis=rows_axis(classes),
    )


def nesting_figure(table: pd.DataFrame, theme: Theme, *, colors: Mapping[str, str]) -> Drawn:
    """Pairs of classes as bars over each other: what lies under both is shared, so that nesting is seen.

    table: rows inner, outer, share (of inner inside outer), back (of outer inside inner), pixels (shared) and nested
    (whether inner lies inside), from the top. colors: of the classes, "#rrggbb". Each row is as wide as both together.
    """
    pixels = table["pixels"].to_numpy(np.float64)
    inner, outer = pixels / table["share"].to_numpy(), pixels / table["back"].to_numpy()
    whole = inner + outer - pixels
    names = [
        f"<b>{shortened(a, most=_LONGEST)}</b> in {shortened(b, most=_LONGEST)}"
        for a, b in zip(table["inner"], table["outer"], strict=True)
    ]
    said = table[["inner", "outer", "share", "back", "pixels"]].to_numpy(dtype=object)
    hover = (
        "%{customdata[2]:.1%} of %{customdata[0]} lies inside %{customdata[1]}<br>%{customdata[3]:.1%} of "
        "%{customdata[1]} lies inside %{customdata[0]}<br>%{customdata[4]:,} shared pixels<extra></extra>"
    )
    bars = []
    for column, size, start, width, alpha, edge in (
        ("outer", outer, np.zeros_like(outer), 0.78, 0.45, theme.muted),
        ("inner", inner, outer - pixels, 0.42, 1.0, theme.text),
    ):
        marker = {"color": [faded(colors[name], alpha) for name in table[column]], "line": {"width": 1, "color": edge}}
        bar = {"type": "bar", "orientation": "h", "y": list(range(len(names))), "width": width, "marker": marker}
        bar |= {"x": size / whole, "base": start / whole}
        bars.append(bar | {"customdata": said, "hovertemplate": hover})
    notes = []
    for at, (share, nested) in enumerate(zip(table["share"], table["nested"], strict=True)):
        font = {"size": 13, "color": theme.text, "weight": 600 if nested else 400}
        note = {"x": 1.015, "xanchor": "left", "y": at, "text": _percent(share), "showarrow": False}
        notes.append(note | {"font": font})
    rows = {"ticktext": names, "tickvals": list(range(len(names)))}
    return draw(
        bars,
        theme,
        height=100 + 44 * len(names),
        title="Which class lies inside which",
        legend=False,
        barmode="overlay",
        annotations=notes,
        margin={"l": 8, "r": 8, "t": 38, "b": 8},
        xaxis={"range": [0, 1.24], "tickvals": [0, 0.5, 1], "tickformat": "~p", "title": "of the pixels of both"},
        yaxis={"range": [len(names) - 0.5, -0.5], "showgrid": False} | rows,
    )


def split_share_figure(table: pd.DataFrame, theme: Theme) -> Drawn:
    """Share of the valid pixels of each class in each split, as points on a row a class.

    table: rows class, split, share. The axis is logarithmic when a class is rarer than a hundredth of the commonest.
    """
    names, splits = list(dict.fromkeys(table["class"])), list(dict.fromkeys(table["split"]))
    some = table["share"][table["share"] > 0]
    logarithmic = bool(len(some)) and float(some.min()) < 0.01 * float(some.max())
    by_class = table[table["share"] > 0].groupby("class", sort=False)["share"]
    ends = [(name, float(one.min()), float(one.max())) for name, one in by_class]
    rows_down = [y for name, _, _ in ends for y in (name, name, None)]
    reach = [x for _, low, high in ends for x in (low, high, None)]
    traces = [line(reach, rows_down, theme.line, width=4, showlegend=False)]
    for split, symbol in zip(splits, ("circle-open", "square-open", "diamond"), strict=False):
        rows = table[table["split"] == split]
        traces.append(
            points(
                rows["share"].where(rows["share"] > 0).to_numpy(),
                list(rows["class"]),
                mark(theme.muted, 10, symbol=symbol, edge=theme.text, width=2),
                name=SPLIT_TITLES[split],
                hover=f"<b>%{{y}}</b>, {SPLIT_TITLES[split].lower()}: %{{x:.2%}}",
            )
        )
    title, start = "share of pixels", {"rangemode": "tozero"}
    scale = {"type": "log", "title": f"{title}, logarithmic"} if logarithmic else start | {"title": title}
    return draw(
        traces,
        theme,
        height=140 + 30 * max(len(names), 2),
        title="Classes in each split",
        xaxis={"tickformat": "~p", "nticks": 5} | scale,
        yaxis=_ROWS | {"categoryarray": names},
    )


def _share_figure(bars: dict[str, Any], theme: Theme, *, title: str, x: dict[str, Any]) -> Drawn:
    """Lying bars of shares with their percents beside them."""
    bars |= {"type": "bar", "orientation": "h", "text": [_percent(share) for share in bars["x"]], "cliponaxis": False}
    bars |= {"textposition": "outside", "textfont": {"color": theme.muted, "size": 12}}
    return draw(
        [bars],
        theme,
        height=90 + 30 * max(len(bars["y"]), 2),
        title=title,
        legend=False,
        bargap=0.35,
        margin={"l": 8, "r": 56, "t": 38, "b": 8},
        xaxis={"tickformat": "~p", "nticks": 5} | x,
        yaxis=_ROWS,
    )


def _labels(number: int) -> str:
    return "no label" if number == 0 else f"{number} label{'s' if number > 1 else ''}"


def _percent(share: float) -> str:
    value = 100 * share
    if value == 0:
        return "none"
    return f"{value:.1f}%" if value >= 1 else f"{value:.2g}%"
