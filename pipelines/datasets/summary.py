"""Counts of a data set to the tables of its report: class shares, pairs, nesting, ceilings."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Final

from pipelines.datasets.base import Dataset, Finding
from pipelines.datasets.ceiling import Ceiling, best_dice, best_iou, by_priority
from pipelines.datasets.facts import SplitFacts
from pipelines.datasets.report import CheckReport, ClassFacts, Nesting, PairFacts, SplitSummary
from pipelines.heads import head_specs
from pipelines.schema import SPLITS, Split

NESTED_FROM: Final = 0.99


def summarise(
    dataset: Dataset, facts: Mapping[Split, SplitFacts], total: SplitFacts, findings: Sequence[Finding]
) -> CheckReport:
    """The report of a data set. facts: by split; total: over all images, in a split or not."""
    counts = total.set_counts
    labels = [0] * (max((len(members) for members in counts), default=0) + 1)
    for members, n in counts.items():
        labels[len(members)] += n
    doubly, labelled = sum(labels[2:]), sum(labels[1:])
    order = priority_order(dataset, facts["train"])
    count = len(dataset.classes)
    dice, iou, rule = best_dice(counts, count), best_iou(counts, count), by_priority(counts, order)
    pairs = _pairs(dataset.classes, total)
    return CheckReport(
        name=dataset.name,
        kind=dataset.kind,
        classes=dataset.classes,
        colors=dataset.colors,
        background=dataset.background,
        priority=tuple(dataset.classes[index] for index in order) if dataset.kind == "overlapping" else (),
        images=len(dataset.names()),
        sizes=tuple((height, width, n) for (height, width), n in total.sizes.items()),
        splits=tuple(_split_summary(dataset, split, facts[split]) for split in SPLITS),
        class_facts=_class_facts(dataset, total, dice, iou, rule),
        labels_per_pixel=tuple(labels),
        pairs=pairs,
        nested=_nested(pairs),
        ignored_share=_ratio(total.ignored_pixels, total.valid_pixels + total.ignored_pixels),
        exclusive=doubly == 0,
        overlap_share=_ratio(doubly, total.valid_pixels),
        overlap_share_labelled=_ratio(doubly, labelled),
        ceiling_macro_dice=dice.macro_dice,
        ceiling_macro_iou=iou.macro_iou,
        priority_macro_dice=rule.macro_dice,
        priority_macro_iou=rule.macro_iou,
        findings=tuple(findings),
    )


def priority_order(dataset: Dataset, train: SplitFacts) -> tuple[int, ...]:
    """Class indices in the order in which a softmax on overlapping truth lets them win."""
    if dataset.kind != "overlapping":
        return tuple(range(len(dataset.classes)))
    specs = head_specs(
        dataset.kind,
        dataset.classes,
        softmax_rule="priority",
        set_counts=train.set_counts,
        priority=dataset.priority,
    )
    return specs[-1].priority


def _class_facts(
    dataset: Dataset, total: SplitFacts, dice: Ceiling, iou: Ceiling, rule: Ceiling
) -> tuple[ClassFacts, ...]:
    return tuple(
        ClassFacts(
            name=name,
            color=dataset.colors[index],
            pixels=total.class_pixels[index],
            share=_ratio(total.class_pixels[index], total.valid_pixels),
            images=total.class_images[index],
            ceiling_dice=dice.dice[index],
            ceiling_iou=iou.iou[index],
            priority_dice=rule.dice[index],
            priority_iou=rule.iou[index],
        )
        for index, name in enumerate(dataset.classes)
    )


def _pairs(classes: Sequence[str], total: SplitFacts) -> tuple[PairFacts, ...]:
    """Pairs of classes that share pixels, most first."""
    shared: dict[tuple[int, int], int] = {}
    for members, n in total.set_counts.items():
        for pair in combinations(members, 2):
            shared[pair] = shared.get(pair, 0) + n
    found = []
    for (first, second), n in sorted(shared.items(), key=lambda entry: (-entry[1], entry[0])):
        one, other = total.class_pixels[first], total.class_pixels[second]
        found.append(
            PairFacts(
                first=classes[first],
                second=classes[second],
                pixels=n,
                share_of_first=_ratio(n, one),
                share_of_second=_ratio(n, other),
                iou=_ratio(n, one + other - n),
            )
        )
    return tuple(found)


def _nested(pairs: Sequence[PairFacts]) -> tuple[Nesting, ...]:
    found = []
    for pair in pairs:
        if pair.share_of_second >= NESTED_FROM:
            found.append(Nesting(inner=pair.second, outer=pair.first, share=pair.share_of_second))
        if pair.share_of_first >= NESTED_FROM:
            found.append(Nesting(inner=pair.first, outer=pair.second, share=pair.share_of_first))
    return tuple(found)


def _split_summary(dataset: Dataset, split: Split, facts: SplitFacts) -> SplitSummary:
    names = dataset.images(split)
    return SplitSummary(
        split=split,
        images=len(names),
        valid_pixels=facts.valid_pixels,
        ignored_pixels=facts.ignored_pixels,
        groups=len({dataset.groups[name] for name in names if name in dataset.groups}) if dataset.groups else None,
        class_pixels=dict(zip(dataset.classes, facts.class_pixels, strict=True)),
        set_counts={
            "+".join(dataset.classes[index] for index in members): n for members, n in facts.set_counts.items()
        },
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
