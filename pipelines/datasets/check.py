"""A data set to everything that is in it and wrong with it, in one pass, before any training."""

import hashlib
import math
import textwrap
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import Annotated, Any, Final, TypeAlias

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict

from pipelines.arrays import Float64Array, Int64Array
from pipelines.datasets import orientation
from pipelines.datasets.bands import RGB, Bands
from pipelines.datasets.base import SEVERITIES, Finding, Item, Turn
from pipelines.datasets.dataset import Dataset
from pipelines.datasets.facts import Ceiling, FactsCounter, SplitFacts, best_dice, best_iou, by_priority
from pipelines.datasets.observers import OTHERS, compare
from pipelines.heads import head_specs
from pipelines.progress import Progress
from pipelines.schema import SPLITS, Kind, Split
from pipelines.sentences import count_of, first_of, listed

# The report ----------------------------------------------------------------------------------------------------------

_SHOWN_FINDINGS: Final = 8  # of one code; all are in the report itself
_SHOWN_ROWS: Final = 12
_WIDTH: Final = 100


def _known(value: Any) -> Any:
    return math.nan if value is None else value


Score: TypeAlias = Annotated[float, BeforeValidator(_known)]  # NaN where there is none, null in JSON


class Part(BaseModel):
    """Base of all parts of a report: frozen, and null in JSON where a score has no value."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="null")


class ClassFacts(Part):
    """One class over all splits.

    share: of valid pixels. ceiling_*: at the best macro Dice and the best macro IoU that one label a pixel can reach;
    priority_*: when the first class of the priority order takes each pixel. NaN for a class that never occurs.
    """

    name: str
    color: str
    pixels: int
    share: float
    images: int
    ceiling_dice: Score
    ceiling_iou: Score
    priority_dice: Score
    priority_iou: Score


class PairFacts(Part):
    """Two classes that share pixels: how many, as a share of each, and over their union."""

    first: str
    second: str
    pixels: int
    share_of_first: float
    share_of_second: float
    iou: float


class Nesting(Part):
    """A class that lies inside another: share of inner's pixels that outer covers, at least 0.99."""

    inner: str
    outer: str
    share: float


class Agreement(Part):
    """How far observers agree: Dice of two of them, pooled over the images that both marked, mean over pairs of them.

    observers: who they are. images: those that two or more marked. dice: a class, in index order, NaN where nobody
    marked it. macro_dice: mean over the classes that somebody marked.
    """

    observers: tuple[str, ...]
    images: int
    dice: tuple[Score, ...]
    macro_dice: Score


class SplitSummary(Part):
    """Counts of one split. set_counts: valid pixels by label set, "cell+nucleus"; "" is no label."""

    split: Split
    images: int
    valid_pixels: int
    ignored_pixels: int
    groups: int | None
    class_pixels: dict[str, int]
    set_counts: dict[str, int]


class CheckReport(Part):
    """Everything that a check found.

    sizes: (height, width, images), commonest first. labels_per_pixel: valid pixels with 0, 1, 2, … labels.
    exclusive: no valid pixel carries two labels, which says nothing where there are none. overlap_share: pixels with
    two labels or more, of valid pixels; overlap_share_labelled: of pixels with one label or more. Shares of nothing
    are 0. priority: class names, first wins, that priority_* follows; () where labels cannot overlap. bands: those of
    every image; RGB in reports of before they were kept. agreement: None where no image was marked by two observers,
    and in reports of before it was measured.
    """

    name: str
    bands: Bands = RGB
    kind: Kind
    classes: tuple[str, ...]
    colors: tuple[str, ...]
    background: str | None
    priority: tuple[str, ...]
    images: int
    sizes: tuple[tuple[int, int, int], ...]
    splits: tuple[SplitSummary, ...]
    class_facts: tuple[ClassFacts, ...]
    labels_per_pixel: tuple[int, ...]
    pairs: tuple[PairFacts, ...]
    nested: tuple[Nesting, ...]
    ignored_share: float
    exclusive: bool
    overlap_share: float
    overlap_share_labelled: float
    ceiling_macro_dice: Score
    ceiling_macro_iou: Score
    priority_macro_dice: Score
    priority_macro_iou: Score
    findings: tuple[Finding, ...]
    agreement: Agreement | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing stands in the way of training: no finding is an error."""
        return not any(finding.severity == "error" for finding in self.findings)

    @property
    def images_read(self) -> int:
        """Images whose picture and truth could be read; nothing in the report is of the others."""
        return sum(count for _, _, count in self.sizes)

    @property
    def valid_pixels(self) -> int:
        """Pixels that count, over all images that could be read."""
        return sum(self.labels_per_pixel)

    def text(self) -> str:
        """The report for a terminal."""
        blocks = [_heading(self), _split_table(self), _class_table(self), _overlap_block(self)]
        lines = [textwrap.fill(line, _WIDTH) for line in truth_alone(self).splitlines()]
        truth = "\n".join(["What the truth alone says", *lines])
        return "\n\n".join([*(block for block in blocks if block), truth, _finding_block(self.findings)]) + "\n"


def truth_alone(report: CheckReport) -> str:
    """What the truth says before any training: of the two last layers, and in a line of its own of its observers."""
    return "\n".join(filter(None, (_truth_of_layers(report), _truth_of_observers(report.agreement))))


def _truth_of_observers(agreement: Agreement | None) -> str:
    if agreement is None or math.isnan(agreement.macro_dice):
        return ""
    return (
        f"Two observers agree with Dice {agreement.macro_dice:.2f} (macro; {len(agreement.observers)} observers, "
        f"{count_of(agreement.images, 'image')} that two or more of them marked)."
    )


def _truth_of_layers(report: CheckReport) -> str:
    if not report.valid_pixels:
        none = "not one pixel of it counts" if report.images_read else "not one of its images could be read"
        return f"The truth says nothing yet: {none}."
    unread = report.images - report.images_read
    part = f"{unread} of the {report.images} images could not be read; of the others: " if unread else ""
    return part + _truth_of_pixels(report)


def _truth_of_pixels(report: CheckReport) -> str:
    if report.kind == "binary":
        return (
            "The truth has one class against background. A two-class softmax is a sigmoid of the difference of its "
            "logits, so both heads can express the same; any difference will come from optimisation and noise."
        )
    if report.exclusive:
        return (
            "No pixel carries two labels, so one label a pixel can be perfect (Dice and IoU 1): the truth sets neither "
            "head a limit."
        )
    worst = min((facts for facts in report.class_facts if facts.pixels), key=lambda facts: facts.ceiling_dice)
    return (
        f"{_percent(report.overlap_share)} of the pixels carry two labels or more "
        f"({_percent(report.overlap_share_labelled)} of the labelled ones). One label a pixel can reach macro Dice "
        f"{report.ceiling_macro_dice:.3f} and macro IoU {report.ceiling_macro_iou:.3f} at best ({worst.name}: Dice "
        f"{worst.ceiling_dice:.3f}), and {report.priority_macro_dice:.3f} and {report.priority_macro_iou:.3f} when "
        f"trained with the priority {' > '.join(report.priority)}. A sigmoid per class, or a softmax over label sets, "
        "can reach 1."
    )


def _heading(report: CheckReport) -> str:
    sizes = ", ".join(f"{width}×{height}" + (f" ({n})" if n > 1 else "") for height, width, n in report.sizes[:4])
    more = f" and {len(report.sizes) - 4} more sizes" if len(report.sizes) > 4 else ""
    count = count_of(len(report.classes), "class", "classes")
    bands = "" if report.bands.are_rgb else f"\n{report.bands.text()}"
    return (
        f"{report.name}\n{report.kind}, {count}, {report.images} images; width×height: {sizes or 'none readable'}{more}"
        f"{bands}"
    )


def _split_table(report: CheckReport) -> str:
    rows = [["split", "images", "groups", "valid pixels", "ignored"]]
    for summary in report.splits:
        every = summary.valid_pixels + summary.ignored_pixels
        groups = "–" if summary.groups is None else f"{summary.groups}"
        ignored = _percent(summary.ignored_pixels / every) if every else "–"
        rows.append([summary.split, f"{summary.images}", groups, f"{summary.valid_pixels:,}", ignored])
    return _table(rows)


def _class_table(report: CheckReport) -> str:
    overlapping = report.kind == "overlapping"
    head = ["class", "pixels", "share", "images"]
    rows = [head + (["best Dice", "best IoU", "priority Dice", "priority IoU"] if overlapping else [])]
    for facts in report.class_facts:
        row = [
            facts.name,
            f"{facts.pixels:,}",
            _percent(facts.share) if report.valid_pixels else "–",
            f"{facts.images}",
        ]
        if overlapping:
            scores = (facts.ceiling_dice, facts.ceiling_iou, facts.priority_dice, facts.priority_iou)
            row += [_score(score) for score in scores]
        rows.append(row)
    if overlapping:
        macro = (
            report.ceiling_macro_dice,
            report.ceiling_macro_iou,
            report.priority_macro_dice,
            report.priority_macro_iou,
        )
        rows.append(["macro", "", "", "", *(_score(score) for score in macro)])
    note = "\nbest: the highest that one label a pixel can reach; priority: when the first in order takes each pixel."
    return _table(rows) + (note if overlapping else "")


def _overlap_block(report: CheckReport) -> str:
    if report.kind != "overlapping" or not report.valid_pixels:
        return ""
    rows = [["labels on a pixel", "pixels", "share"]]
    rows += [
        [f"{labels}", f"{n:,}", _percent(n / report.valid_pixels)] for labels, n in enumerate(report.labels_per_pixel)
    ]
    blocks = [_table(rows)]
    if report.pairs:
        pairs = [["pair", "pixels", "of first", "of second", "IoU"]]
        for row in report.pairs[:_SHOWN_ROWS]:
            shares = [_percent(row.share_of_first), _percent(row.share_of_second)]
            pairs.append([f"{row.first} & {row.second}", f"{row.pixels:,}", *shares, f"{row.iou:.3f}"])
        hidden = len(report.pairs) - _SHOWN_ROWS
        blocks.append(_table(pairs) + (f"\n… and {hidden} more pairs" if hidden > 0 else ""))
    nested = [f"{row.inner} lies inside {row.outer} ({_percent(row.share)} of it)" for row in report.nested]
    if nested:
        blocks.append("\n".join(nested))
    return "\n\n".join(blocks)


def _finding_block(findings: Sequence[Finding]) -> str:
    """Errors first, then warnings and notes; a code that repeats is shown a few times and counted."""
    if not findings:
        return "Nothing wrong was found."
    lines: list[str] = []
    counts = [sum(finding.severity == severity for finding in findings) for severity in SEVERITIES]
    lines.append(", ".join(count_of(n, word) for n, word in zip(counts, SEVERITIES, strict=True) if n))
    for severity in SEVERITIES:
        by_code: dict[str, list[Finding]] = defaultdict(list)
        for finding in findings:
            if finding.severity == severity:
                by_code[finding.code].append(finding)
        for code, same in by_code.items():
            lines += [f"  {severity:<8}{code}: {finding.message}" for finding in same[:_SHOWN_FINDINGS]]
            if len(same) > _SHOWN_FINDINGS:
                lines.append(f"  {severity:<8}{code}: … and {len(same) - _SHOWN_FINDINGS} more of this kind")
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns, the first to the left and the others to the right; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(
            cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(pairs)
        ).rstrip()
        for pairs in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    return "\n".join([lines[0], "  ".join("─" * width for width in widths), *lines[1:]])


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%" if 0 < share < 0.1 else f"{100 * share:.1f}%"


# Counts to the report ------------------------------------------------------------------------------------------------

NESTED_FROM: Final = 0.99


def summarise(
    dataset: Dataset,
    facts: Mapping[Split, SplitFacts],
    total: SplitFacts,
    findings: Sequence[Finding],
    agreement: Agreement | None = None,
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
        bands=dataset.bands,
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
        agreement=agreement,
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
    pairs = []
    for (first, second), n in sorted(shared.items(), key=lambda entry: (-entry[1], entry[0])):
        pixels, others = total.class_pixels[first], total.class_pixels[second]
        pairs.append(
            PairFacts(
                first=classes[first],
                second=classes[second],
                pixels=n,
                share_of_first=_ratio(n, pixels),
                share_of_second=_ratio(n, others),
                iou=_ratio(n, pixels + others - n),
            )
        )
    return tuple(pairs)


def _nested(pairs: Sequence[PairFacts]) -> tuple[Nesting, ...]:
    nested = []
    for pair in pairs:
        if pair.share_of_second >= NESTED_FROM:
            nested.append(Nesting(inner=pair.second, outer=pair.first, share=pair.share_of_second))
        if pair.share_of_first >= NESTED_FROM:
            nested.append(Nesting(inner=pair.first, outer=pair.second, share=pair.share_of_first))
    return tuple(nested)


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


class _AgreementCounter:
    """Adds up what pairs of observers marked, image by image."""

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = classes
        self._images = 0
        self._pixels: dict[tuple[str, str], Int64Array] = {}  # of a pair, (C, 2): both, the one and the other

    def add(self, item: Item) -> None:
        """Count the pixels of an image that count."""
        rows = compare({who: layers[:, item.valid] for who, layers in item.observers.items()}, self._classes)
        self._images += bool(rows)
        for row in rows:
            if row["observer"] < row["against"] != OTHERS:
                pair = self._pixels.setdefault(
                    (row["observer"], row["against"]), np.zeros((len(self._classes), 2), np.int64)
                )
                pair[self._classes.index(row["class"])] += row["both"], row["own"] + row["other"]

    def agreement(self) -> Agreement | None:
        """What was counted so far; None for no image of two observers."""
        if not self._images:
            return None
        pixels = np.stack([*self._pixels.values()])
        with np.errstate(invalid="ignore"):
            dice = tuple(_mean(pair) for pair in (2 * pixels[..., 0] / pixels[..., 1]).T)
        people = {who for pair in self._pixels for who in pair}
        return Agreement(
            observers=tuple(sorted(people)), images=self._images, dice=dice, macro_dice=_mean(np.array(dice))
        )


def _mean(values: Float64Array) -> float:
    """Mean of the values that are there; NaN for none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


# The check -----------------------------------------------------------------------------------------------------------

LEAVE_OUT: Final = "LEAVE-OUT"  # code of the finding on how to go on without images that have errors
_NAMED: Final = 50  # images in one line
_FEW: Final = 10  # groups or images in test: with fewer, an interval means little


def check_dataset(
    dataset: Dataset, *, size: tuple[int, int] | None = None, progress: Progress | None = None
) -> CheckReport:
    """Read every image once, count what is there and list everything that is wrong, all at once.

    size: (height, width) to count at, as training would resize; None counts at each image's own size.
    """
    findings = list(dataset.structure())
    in_splits = _membership(dataset)
    counters = {split: FactsCounter(len(dataset.classes), dataset.bands.count) for split in SPLITS}
    everything = FactsCounter(len(dataset.classes), dataset.bands.count)
    observers = _AgreementCounter(dataset.classes)
    same: dict[bytes, list[str]] = defaultdict(list)
    turns: dict[str, Turn] = {}
    faulty: list[str] = []

    def look(name: str) -> None:
        examination = dataset.examine(name, size=size)
        findings.extend(examination.findings)
        if examination.item is None:
            faulty.append(name)
            return
        everything.add(examination.item)
        observers.add(examination.item)
        if examination.turn is not None:
            turns[name] = examination.turn
        for split in in_splits.get(name, ()):
            counters[split].add(examination.item)
        shape = str(examination.item.image.shape).encode()
        content = np.ascontiguousarray(examination.item.image).data
        same[hashlib.blake2b(content, digest_size=16, salt=shape[:16]).digest()].append(name)

    bar = progress or Progress()  # without a stream it is silent
    with bar.stage("check", len(dataset.names())):
        for name in dataset.names():
            look(name)
            bar.advance()
    facts = {split: counter.facts() for split, counter in counters.items()}
    total = everything.facts()
    findings += _way_on(dataset, faulty)
    findings += orientation.findings(turns)
    findings += _split_findings(dataset, in_splits)
    findings += _all_ignored(facts)
    findings += _copies(same, in_splits)
    findings += _class_findings(dataset, facts, total)
    findings.sort(key=lambda finding: SEVERITIES.index(finding.severity))
    return summarise(dataset, facts, total, findings, observers.agreement())


def _way_on(dataset: Dataset, faulty: Sequence[str]) -> Iterable[Finding]:
    """How to go on without the images that have errors, where they are few."""
    if faulty and 2 * len(faulty) <= len(dataset.names()):
        one = len(faulty) == 1
        have, them, files = ("has", "it", "its files") if one else ("have", "them", "their files")
        problem = (
            f"{count_of(len(faulty), 'image')} {have} errors, which stand in the way of training: mend {files}, or do "
            f"without {them} by the option leave_out={first_of(faulty, _NAMED)}"
        )
        yield Finding.note(LEAVE_OUT, problem)


def _membership(dataset: Dataset) -> dict[str, list[Split]]:
    splits: dict[str, list[Split]] = defaultdict(list)
    for split in SPLITS:
        for name in dataset.images(split):
            splits[name].append(split)
    return dict(splits)


def _split_findings(dataset: Dataset, in_splits: Mapping[str, list[Split]]) -> Iterable[Finding]:
    """Leaks between splits, images outside all of them, and splits too small to conclude anything from."""
    for name, splits in in_splits.items():
        if len(splits) > 1:
            yield Finding.error("SPLIT-LEAK", f"{name} is in {listed(splits)}; an image belongs to one split, keep one")
    for name in dataset.names():
        if name not in in_splits:
            yield Finding.note("SPLIT-NONE", f"{name} is in no split and is not used; add it to a list in splits/")
    groups_of = {split: {dataset.groups[n] for n in dataset.images(split) if n in dataset.groups} for split in SPLITS}
    for group in sorted(set().union(*groups_of.values())):
        splits = [split for split in SPLITS if group in groups_of[split]]
        if len(splits) > 1:
            problem = f"group {group} is in {listed(splits)}, so scores will look too good; keep a group in one split"
            yield Finding.warning("GROUP-LEAK", problem)
    for split in SPLITS:
        if not dataset.images(split):
            yield Finding.error("SPLIT-EMPTY", f"{split} has no image, but needs one at least; add images to it")
    units, word = (len(groups_of["test"]), "group") if dataset.groups else (len(dataset.images("test")), "image")
    if 0 < units < _FEW:
        problem = (
            f"test has {count_of(units, word)}, and fewer than {_FEW} give no honest interval; "
            f"add {word}s, or read its intervals as too narrow"
        )
        yield Finding.warning("TEST-FEW", problem)


def _all_ignored(facts: Mapping[Split, SplitFacts]) -> Iterable[Finding]:
    """Splits with images but without a pixel that counts: nothing could be fitted or measured on them."""
    for split, counted in facts.items():
        if counted.images and not counted.valid_pixels:
            yield Finding.error(
                "SPLIT-IGNORED", f"every pixel of {split} is ignored; label some, or move images to {split}"
            )


def _copies(same: Mapping[bytes, list[str]], in_splits: Mapping[str, list[Split]]) -> Iterable[Finding]:
    """Images that look the same, pixel by pixel, under different names."""
    for names in same.values():
        splits = [split for split in SPLITS if any(split in in_splits.get(name, ()) for name in names)]
        if len(names) > 1 and len(splits) > 1:
            problem = f"{listed(names[:5])} are the same picture, in {listed(splits)}; keep one of them"
            yield Finding.warning("COPY-LEAK", problem)
        elif len(names) > 1:
            yield Finding.note("COPY", f"{listed(names[:5])} are the same picture; keep one if that is no intention")


def _class_findings(dataset: Dataset, facts: Mapping[Split, SplitFacts], total: SplitFacts) -> Iterable[Finding]:
    unread = len(dataset.names()) > total.images
    everything = f"the {total.images} images that could be read" if unread else "the whole set"
    for index, name in enumerate(dataset.classes):
        if total.images and not total.class_pixels[index]:
            problem = f"no pixel of {everything} carries class {name}; label it or leave the class out"
            yield Finding.error("CLASS-EMPTY", problem)
            continue
        for split in SPLITS:
            if facts[split].images and not facts[split].class_pixels[index]:
                effect = "cannot be learned" if split == "train" else "has no score there"
                problem = f"no pixel of {split} carries class {name}, so it {effect}; move an image with it to {split}"
                yield Finding.warning("CLASS-ABSENT", problem)
    labels = max((len(members) for members in total.set_counts), default=0)
    if dataset.kind == "overlapping" and total.images and labels < 2:
        problem = 'declared kind is overlapping, but no pixel carries two labels; kind = "exclusive" would say the same'
        yield Finding.note("KIND-NO-OVERLAP", problem)
