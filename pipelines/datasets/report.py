"""What a check found in a data set: frozen models, and their layout for a terminal."""

import math
import textwrap
from collections import defaultdict
from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict

from pipelines.datasets.base import Finding, Severity
from pipelines.schema import Kind, Split

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
    are 0. priority: class names, first wins, that priority_* follows; () where labels cannot overlap.
    """

    name: str
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
        truth = "What the truth alone says\n" + textwrap.fill(truth_alone(self), _WIDTH)
        return "\n\n".join([*(block for block in blocks if block), truth, _finding_block(self.findings)]) + "\n"


def truth_alone(report: CheckReport) -> str:
    """What the truth says about the two last layers before any training, in two or three sentences."""
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
    worst = min((one for one in report.class_facts if one.pixels), key=lambda one: one.ceiling_dice)
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
    count = "1 class" if len(report.classes) == 1 else f"{len(report.classes)} classes"
    return (
        f"{report.name}\n{report.kind}, {count}, {report.images} images; width×height: {sizes or 'none readable'}{more}"
    )


def _split_table(report: CheckReport) -> str:
    rows = [["split", "images", "groups", "valid pixels", "ignored"]]
    for one in report.splits:
        every = one.valid_pixels + one.ignored_pixels
        groups = "–" if one.groups is None else f"{one.groups}"
        ignored = _percent(one.ignored_pixels / every) if every else "–"
        rows.append([one.split, f"{one.images}", groups, f"{one.valid_pixels:,}", ignored])
    return _table(rows)


def _class_table(report: CheckReport) -> str:
    overlapping = report.kind == "overlapping"
    head = ["class", "pixels", "share", "images"]
    rows = [head + (["best Dice", "best IoU", "priority Dice", "priority IoU"] if overlapping else [])]
    for one in report.class_facts:
        row = [one.name, f"{one.pixels:,}", _percent(one.share) if report.valid_pixels else "–", f"{one.images}"]
        if overlapping:
            scores = (one.ceiling_dice, one.ceiling_iou, one.priority_dice, one.priority_iou)
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
        for one in report.pairs[:_SHOWN_ROWS]:
            shares = [_percent(one.share_of_first), _percent(one.share_of_second)]
            pairs.append([f"{one.first} & {one.second}", f"{one.pixels:,}", *shares, f"{one.iou:.3f}"])
        hidden = len(report.pairs) - _SHOWN_ROWS
        blocks.append(_table(pairs) + (f"\n… and {hidden} more pairs" if hidden > 0 else ""))
    nested = [f"{one.inner} lies inside {one.outer} ({_percent(one.share)} of it)" for one in report.nested]
    if nested:
        blocks.append("\n".join(nested))
    return "\n\n".join(blocks)


def _finding_block(findings: Sequence[Finding]) -> str:
    """Errors first, then warnings and notes; a code that repeats is shown a few times and counted."""
    if not findings:
        return "Nothing wrong was found."
    lines: list[str] = []
    severities: tuple[Severity, ...] = ("error", "warning", "note")
    counts = [sum(one.severity == severity for one in findings) for severity in severities]
    lines.append(", ".join(_plural(n, word) for n, word in zip(counts, severities, strict=True) if n))
    for severity in severities:
        by_code: dict[str, list[Finding]] = defaultdict(list)
        for one in findings:
            if one.severity == severity:
                by_code[one.code].append(one)
        for code, some in by_code.items():
            lines += [f"  {severity:<8}{code}: {one.message}" for one in some[:_SHOWN_FINDINGS]]
            if len(some) > _SHOWN_FINDINGS:
                lines.append(f"  {severity:<8}{code}: … and {len(some) - _SHOWN_FINDINGS} more of this kind")
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


def _plural(count: int, word: str) -> str:
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _score(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%" if 0 < share < 0.1 else f"{100 * share:.1f}%"
