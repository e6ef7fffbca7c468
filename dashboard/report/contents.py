"""What a report of a run contains, in reading order: chapters of displays, text, cards, tables and pictures.

There is no HTML here (`page`), and no figure that the app's pages do not show: a chapter has a page's displays as its
usual controls show them, on white.
"""

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, Literal, NamedTuple, TypeAlias, cast

import numpy as np
import pandas as pd
from PIL import Image

from dashboard import pictures, queries
from dashboard.displays import accuracy, base, calibration, confusion, labels, overlap, ranking, thresholds, training
from dashboard.displays.base import Display, Selection
from dashboard.displays.threshold_choice import Costs, Look, policies
from dashboard.displays.verdict import certainty, color_of, figures_of, finding_card, reason_card
from dashboard.how_to_read import HOW_TO_READ
from dashboard.report import describe
from dashboard.rounding import count, percent, rounded, typeset
from dashboard.theme import HEAD_TITLES, LIGHT, Theme
from pipelines import heads
from pipelines.arrays import UInt8Array
from pipelines.datasets.check import CheckReport, truth_alone
from pipelines.judgement import Margin, Verdict
from pipelines.layouts import TRAINING_SCHEMA
from pipelines.recipe import code_of
from pipelines.schema import Head, Split
from pipelines.store.runs import Run
from pipelines.verdict.rule import decide

THEME: Final[Theme] = LIGHT  # paper is white
_SHOWN_FINDINGS: Final = 6
_FINDING: Final = ("severity", "code", "message")
_LONGEST: Final = 448  # pixels of a picture's longer side
_QUALITY: Final = 85
_SENTENCES: Final = re.compile(r"(?<=\.) (?=[A-Z])")
_ALONE: Final = "no two classes of this data set can share a pixel"


# Types -------------------------------------------------------------------------------------------------------------


class Block(NamedTuple):
    """A part of a chapter that is no display; the template has a macro of each kind's name.

    text: paragraphs. left_out: (title, reason) of parts that this run cannot have. bullets: lines. cards: Card. facts:
    (name, value). commands: lines of a program. legend: (name, "#rrggbb"). gallery: (title, photos), a row each.
    """

    kind: Literal["text", "left_out", "bullets", "cards", "facts", "commands", "legend", "gallery"]
    items: Sequence[Any]
    title: str = ""
    note: str = ""


class Summary(NamedTuple):
    """A small table that is read, as text, and the whole one behind it. key: of its CSV file; how: of HOW_TO_READ."""

    title: str
    readable: pd.DataFrame
    key: str
    table: pd.DataFrame
    how: str


class Photo(NamedTuple):
    """A picture as a data URI. caption: shown under it; alt: what it shows."""

    uri: str
    caption: str
    alt: str


class Chapter(NamedTuple):
    """A titled part. key: its anchor in the page; lead: a sentence that says what it answers."""

    key: str
    title: str
    lead: str
    blocks: Sequence[Block | Summary | Display]


class Cover(NamedTuple):
    """The top of a report. above: of the headline, such as "Verdict, tentative"; color: "#rrggbb" of its edge."""

    run: str
    above: str
    headline: str
    color: str
    facts: tuple[str, ...]


class Report(NamedTuple):
    """A whole report. verdict: the one it was made with."""

    cover: Cover
    verdict: Verdict
    chapters: tuple[Chapter, ...]

    def tables(self) -> Iterator[tuple[str, pd.DataFrame, str]]:
        """Every table that stands behind a figure or a summary: name of its file, table, what it holds."""
        for chapter in self.chapters:
            for block in chapter.blocks:
                if not isinstance(block, Block):
                    yield table_name(chapter.key, block.key), block.table, explained(block.how)


class Subject(NamedTuple):
    """One run with its verdict. split: the one that was judged; seeds: added up in figures."""

    run: Run
    dataset: dict[str, Any]
    verdict: Verdict
    split: Split
    seeds: tuple[int, ...]

    @property
    def contender(self) -> Head:
        """The softmax that sigmoid is compared with; where there is nothing to compare, a head to be shown alone."""
        return self.verdict.contender or self.run.heads[0]

    @property
    def shown(self) -> Selection:
        """What pages show of it with their usual controls."""
        return Selection(self.run, self.split, self.seeds, self.contender)

    @property
    def pair(self) -> bool:
        """Whether there are two heads to compare."""
        return self.verdict.missing is None


Part: TypeAlias = tuple[str, Display | None, str]  # title, what is shown, and why it is missing where it is None


# The report --------------------------------------------------------------------------------------------------------


def report_of(run: Run, *, margin: Margin | None = None) -> Report:
    """The report of a run. margin: judge with other margins of practical equivalence than those of the run.

    Raises RunError when a file of the run is missing or damaged.
    """
    dataset = queries.runs.dataset(run)
    if margin is None:
        verdict = Verdict.model_validate(run.verdict)
    else:
        verdict = decide(dataset, queries.runs.metrics(run), run.facts, margin=margin)
    subject = Subject(run, dataset, verdict, cast(Split, verdict.split), run.seeds)
    answer = verdict.answer if verdict.answer in ("sigmoid", "softmax") else "neither"
    cover = Cover(
        run.name,
        certainty(verdict),
        typeset(verdict.headline),
        color_of(answer, verdict, THEME),
        describe.short_facts(run, dataset, subject.split),
    )
    return Report(cover, verdict, tuple(make(subject) for make in CHAPTERS))


def table_name(chapter: str, key: str) -> str:
    """Name of a table's file, without its ending: the chapter first, so that a folder is sorted by chapter.

    >>> table_name("thresholds", "threshold_choices_table")
    'thresholds-choices'
    """
    name = re.sub(r"[^a-z0-9]+", "-", key.lower()).strip("-").removesuffix("-table")
    for start in (chapter, chapter.removesuffix("s")):
        if name == start:
            return chapter
        name = name.removeprefix(f"{start}-")
    return f"{chapter}-{name}"


def explained(how: str) -> str:
    """How to read a figure, without the sentences on clicking: that works in the app only."""
    return " ".join(sentence for sentence in _SENTENCES.split(HOW_TO_READ[how]) if "click" not in sentence.lower())


def _chapter(key: str, title: str, lead: str, parts: Sequence[Part], *, before: Sequence[Any] = ()) -> Chapter:
    """A chapter of displays, and at its end what this run cannot have, with the reasons."""
    shown = [display for _, display, _ in parts if display is not None]
    missing = [(name, why) for name, display, why in parts if display is None]
    return Chapter(key, title, lead, [*before, *shown, *([Block("left_out", missing)] if missing else [])])


def _absent(subject: Subject, *more: str) -> list[Block]:
    """What has no value because no pixel carries a class; nothing where all classes are there."""
    sentences = list(filter(None, (base.absence_note(subject.run, subject.split), *more)))
    return [Block("text", sentences)] if sentences else []


# Chapters, in reading order ----------------------------------------------------------------------------------------


def _verdict(subject: Subject) -> Chapter:
    run, verdict = subject.run, subject.verdict
    scores, readable = queries.scores.score_tables(run, subject.split)
    margin = verdict.margin
    lead = (
        "Which last layer, by how much, and how surely. "
        f"Differences within {margin.dice:g} Dice, {margin.classwise_ece:g} classwise ECE or "
        f"{100 * margin.brier_relative:g}% of the Brier score count as equal in practice."
    )
    if verdict.missing is not None:
        lead = "What the truth and what is here say alone; which last layer takes the other head too."
    figures = figures_of(run, THEME, split=subject.split, verdict=verdict)
    blocks: list[Block | Summary | Display] = [figures] if figures.pictures else []
    blocks.append(Block("cards", [reason_card(reason, verdict, THEME) for reason in verdict.reasons], "Why"))
    if verdict.would_change:
        title = "What is missing" if verdict.missing else "What would change this"
        blocks.append(Block("bullets", [typeset(line) for line in verdict.would_change], title))
    blocks += [_code(subject), Summary("Scores", readable, "scores", scores, "scores"), *_absent(subject)]
    return Chapter("verdict", "Verdict", lead, blocks)


def _code(subject: Subject) -> Block:
    """Code of the head that won, else of sigmoid or the only one there is; the seed that did best on validation."""
    run, verdict = subject.run, subject.verdict
    winner = verdict.contender if verdict.answer == "softmax" and verdict.contender else "sigmoid"
    head = winner if winner in run.heads else run.heads[0]
    ingredients = queries.runs.ingredients(run, head, None)
    seed = f", seed {ingredients.seed}" if len(run.seeds) > 1 else ""
    lines = "\n\n\n".join(code_of(ingredients).values()).split("\n")
    return Block("commands", lines, f"Use it: {HEAD_TITLES[head].lower()}{seed}")


def _labels(subject: Subject) -> Chapter:
    facts = subject.dataset
    exclusive = facts["kind"] != "overlapping"
    sentences = [truth_alone(CheckReport.model_validate(facts)), labels.imbalance(facts), labels.leakage(facts)]
    parts: list[Part] = [
        ("Classes", labels.class_shares(facts, THEME), ""),
        ("Classes in each split", labels.splits(facts, THEME), ""),
        ("Labels per pixel", None if exclusive else labels.labels_per_pixel(facts, THEME), _ALONE),
        ("Best possible with one label a pixel", labels.ceiling(facts, THEME), _ALONE),
        ("Which class lies inside which", labels.nesting(facts, THEME), "no two classes share a pixel in this truth"),
        ("Classes that share pixels", labels.pairs(facts, THEME), _ALONE),
        ("How far people agree", labels.observers(subject.run, THEME), "no two people marked the same images"),
    ]
    before = [Block("text", list(filter(None, sentences))), _findings(facts["findings"])]
    lead = "What the truth alone says, before any training, over all splits."
    return _chapter("labels", "Labels", lead, parts, before=before)


def _findings(findings: Sequence[dict[str, Any]]) -> Block:
    if not findings:
        return Block("text", ["The check found nothing wrong with the data set."])
    hidden = len(findings) - _SHOWN_FINDINGS
    more = f"; {count(hidden)} more in data-findings.csv" if hidden > 0 else ""
    return Block("cards", [finding_card(row) for row in findings[:_SHOWN_FINDINGS]], f"What the check found{more}")


def _accuracy(subject: Subject) -> Chapter:
    shown, margin = subject.shown, subject.verdict.margin.dice
    unscored = "no image has a score of both heads" if subject.pair else "there is nothing to compare"
    why = base.why_no_value(subject.run, subject.split, "Dice")
    parts: list[Part] = [
        ("By class", None if why else accuracy.by_class(shown, THEME, margin=margin), "no class has a score"),
        ("By seed", accuracy.by_seed(shown, THEME, margin=margin), "there is one seed"),
        ("Image by image", accuracy.paired_images(shown, THEME, margin=margin), unscored),
        ("Spread of the images", accuracy.spread_of_images(shown, THEME), "no image has a score"),
    ]
    lead = "How well the labels fit the truth, in Dice, as decided."
    return _chapter("accuracy", "Accuracy", lead, parts, before=_absent(subject))


def _calibration(subject: Subject) -> Chapter:
    scores = calibration.scores(subject.shown)
    readable = calibration.readable_scores(scores, contender=subject.contender if subject.pair else None)
    metrics = Summary("Calibration metrics", readable, "scores", scores, "calibration_scores")
    by_image = calibration.by_image(subject.shown, THEME)
    parts: list[Part] = [
        ("Reliability", calibration.reliability(subject.shown, THEME), ""),
        ("Calibration error of single images", by_image, "no image has such an error"),
    ]
    lead = "Whether the probabilities can be taken at their word; figures are as trained."
    before = [*_absent(subject), *([] if scores.empty else [metrics])]
    return _chapter("calibration", "Calibration", lead, parts, before=before)


def _confusion(subject: Subject) -> Chapter:
    parts: list[Part] = [
        ("Confusion", confusion.matrices(subject.shown, THEME), ""),
        ("Label sets", confusion.label_sets(subject.shown, THEME), "there is one class"),
    ]
    return _chapter("confusion", "Confusion", "Which classes are taken for which.", parts, before=_absent(subject))


def _overlap(subject: Subject) -> Chapter:
    shown = subject.shown
    parts: list[Part] = [
        ("Overlap and no-label rates", overlap.rates(shown, THEME), ""),
        ("Labels predicted, by true number", overlap.predicted_labels(shown, THEME), ""),
        ("Labels a pixel", overlap.mass(shown, THEME), ""),
        ("Pairs of classes", overlap.expected(shown, THEME), _ALONE),
        ("Which classes share pixels", overlap.pairs(shown, THEME), "there is one class"),
    ]
    return _chapter("overlap", "Overlap", "How often a head gives a pixel two labels, or none, at p > 0.5.", parts)


def _thresholds(subject: Subject) -> Chapter:
    several, price = len(subject.dataset["classes"]) > 1, Costs()
    look = Look(subject.run, subject.split, subject.seeds, subject.contender)
    no_truth = "no class occurs in the truth"
    no_curve = "the mean of several classes has none; areas of each class are shown instead" if several else no_truth
    parts: list[Part] = [
        ("Best threshold of each class", thresholds.choices(look, THEME), no_truth),
        ("Scores against the threshold", thresholds.scores(look, THEME), ""),
        ("ROC and precision-recall curves", ranking.curves(look, THEME), no_curve),
        ("Areas under the curves", ranking.areas(look, THEME), no_truth),
        ("Costs", thresholds.costs(look, THEME, policies(look, None, price), price), ""),
        ("Keeping the surest pixels", ranking.selective_prediction(look, THEME), ""),
    ]
    lead = "What another threshold than 0.5 is worth, for the mean of the classes; a mistake of either kind costs 1."
    before = _absent(subject, base.untuned_note(subject.run))
    return _chapter("thresholds", "Thresholds", lead, parts, before=before)


def _training(subject: Subject) -> Chapter:
    display = training.learning(subject.run, THEME)
    named = display and replace(display, key="learning")  # without the run's name in the name of its CSV
    imported = subject.run.config["training"] is None
    missing = "the networks were trained elsewhere" if imported else "the networks were loaded, not trained here"
    return _chapter("training", "Training", "How the networks learned.", [("Training", named, missing)])


def _images(subject: Subject) -> Chapter:
    colors = list(zip(map(str, subject.dataset["classes"]), map(str, subject.dataset["colors"]), strict=True))
    by = "the pair" if len(subject.run.heads) > 1 else "the network"
    lead = f"A few telling images, predicted by {by} of seed {subject.run.seeds[0]}."
    rows = [(f"{example.image}: {example.why}", _photos(subject, example)) for example in examples(subject)]
    note = (
        "Filled areas are labels; where they can overlap, lines are their outlines and the fill is blended. Stripes "
        "are pixels to be ignored. Dice is the mean of the classes on this image."
    )
    return Chapter("images", "Images", lead, [Block("legend", colors), Block("gallery", rows, note=note)])


def _methods(subject: Subject) -> Chapter:
    text = describe.methods(subject.run, subject.dataset, subject.split)
    return Chapter("methods", "How it was measured", "", [Block("text", text)])


def _facts(subject: Subject) -> Chapter:
    facts = describe.facts_of(subject.run, subject.dataset)
    blocks = [
        Block("facts", [(name, value) for own, name, value in facts if own == group], group)
        for group in dict.fromkeys(group for group, _, _ in facts)
    ]
    blocks.append(Block("commands", describe.commands(subject.run), "Made with"))
    return Chapter("run", "This run", "Everything that tells this run from another.", blocks)


CHAPTERS: Final[tuple[Callable[[Subject], Chapter], ...]] = (
    _verdict,
    _labels,
    _accuracy,
    _calibration,
    _confusion,
    _overlap,
    _thresholds,
    _training,
    _images,
    _methods,
    _facts,
)


# Telling images ----------------------------------------------------------------------------------------------------


class Example(NamedTuple):
    """An image, why it is shown, and the Dice of each head on it."""

    image: str
    why: str
    dice: Mapping[Head, float]


def examples(subject: Subject) -> list[Example]:
    """Up to three images of the first seed: where the heads differ most, where sigmoid and where softmax does best.

    Of a head alone, where it does worst and best.
    """
    run, contender = subject.run, subject.contender
    rows = queries.runs.image_scores(run)
    rows = rows[(rows["split"] == subject.split) & (rows["seed"] == run.seeds[0])]
    if len(queries.runs.shown_heads(run, contender)) == 1:
        alone = rows[rows["head"] == contender].sort_values(["dice", "image"]).set_index("image")["dice"].dropna()
        ends = {"lowest": 0, "highest": len(alone) - 1} if len(alone) > 1 else {"only": 0} if len(alone) else {}
        return [
            Example(str(alone.index[at]), f"{name} Dice", {contender: float(alone.iloc[at])})
            for name, at in ends.items()
        ]
    rows = rows.set_index("image").sort_index()
    theirs = rows[rows["head"] == contender]
    dice: dict[Head, pd.Series] = {"sigmoid": rows[rows["head"] == "sigmoid"]["dice"], contender: theirs["dice"]}
    scores = pd.DataFrame({"sigmoid": dice["sigmoid"], "softmax": theirs["dice"], "differ": theirs["disagreement"]})
    return [
        Example(image, why, {head: float(values[image]) for head, values in dice.items()})
        for image, why in telling(scores)
    ]


def telling(scores: pd.DataFrame) -> list[tuple[str, str]]:
    """Images with the reason each was chosen, none of them twice; a lead of 0, or where a head has no Dice, is none.

    scores: sigmoid and softmax (Dice) and differ (share of pixels with other labels) by image, ascending.
    """
    lead = scores["sigmoid"] - scores["softmax"]
    reasons: tuple[tuple[pd.Series, Callable[[float], str], str], ...] = (
        (scores["differ"], percent, "the heads differ most, on {} of its pixels"),
        (lead, rounded, "sigmoid's largest lead, {} Dice"),
        (-lead, rounded, "softmax's largest lead, {} Dice"),
    )
    chosen: dict[str, str] = {}
    for values, written, words in reasons:
        left = values[(values > 0) & ~values.index.isin(chosen)]  # false for NaN
        if not left.empty:
            image = str(left.idxmax())
            chosen[image] = words.format(written(float(left.max())))
    if not chosen:
        return [(str(image), "the heads agree on all of its pixels") for image in scores.index[:1]]
    return list(chosen.items())


def _photos(subject: Subject, example: Example) -> list[Photo]:
    """An image, its truth and the labels of each head."""
    run, split, image = subject.run, subject.split, example.image
    picture, exclusive = queries.images.preview(run, split, image), subject.dataset["kind"] == "exclusive"
    outputs = {head: queries.images.prediction(run, split, head, run.seeds[0], image) for head in example.dice}
    first = next(iter(outputs.values()))
    label_maps = {"Truth": first.truth} | {
        f"{HEAD_TITLES[head]}, Dice {rounded(example.dice[head])}": heads.decide(
            output.log_odds.astype(np.float32), rule="argmax" if exclusive else "threshold"
        )
        for head, output in outputs.items()
    }
    colors = subject.dataset["colors"]
    drawn = {"The image": pictures.enlarge(picture)} | {
        caption: pictures.label_picture(picture, label_map, colors, valid=first.valid, outlines=not exclusive)
        for caption, label_map in label_maps.items()
    }
    return [Photo(data_uri(pixels), caption, f"{caption}: {image}") for caption, pixels in drawn.items()]


def data_uri(picture: UInt8Array) -> str:
    """A picture (H, W, 3) as a JPEG inside a URI, at most 448 pixels long."""
    shown = Image.fromarray(picture)
    if max(shown.size) > _LONGEST:
        scale = _LONGEST / max(shown.size)
        shown = shown.resize([max(1, round(side * scale)) for side in shown.size], Image.Resampling.LANCZOS)
    file = pictures.jpeg(np.asarray(shown), quality=_QUALITY)
    return "data:image/jpeg;base64," + base64.b64encode(file).decode("ascii")


# Tables ------------------------------------------------------------------------------------------------------------


def tables_of(run: Run, report: Report) -> dict[str, pd.DataFrame]:
    """Every table of a run by name, `index` first, which lists the others; report: the run's own.

    Names are letters, digits and hyphens. Raises RunError when a file of the run is missing or damaged.
    """
    tables = list(_tables(run, report))
    rows = [(f"{name}.csv", len(table), about) for name, table, about in tables]
    index = pd.DataFrame(rows, columns=["file", "rows", "about"])
    return {"index": index} | {name: table for name, table, _ in tables}


def _tables(run: Run, report: Report) -> Iterator[tuple[str, pd.DataFrame, str]]:
    """Name, table, and in a sentence or two what it holds."""
    dataset, facts, verdict = queries.runs.dataset(run), run.facts, report.verdict
    yield "verdict", _answer(verdict), "The answer, and the margins it was judged with."
    reasons = pd.DataFrame([reason.model_dump() for reason in verdict.reasons])
    yield "verdict-reasons", reasons, "What speaks for which head; value, low and high where a number carries it."
    yield from report.tables()
    about = (
        "metrics.parquet: every metric of every head, seed, split, variant, region and class, with its 95% interval. "
        "Seed -1 averages over the seeds; heads called difference are sigmoid minus softmax."
    )
    yield "metrics", queries.runs.metrics(run), about
    yield "image-scores", queries.runs.image_scores(run), "image_scores.parquet: scores of each image."
    training = run.training()
    training = pd.DataFrame(columns=TRAINING_SCHEMA.names) if training is None else training
    yield "training", training, "Loss of every step and validation score of every epoch; empty if loaded."
    fitted = {name: facts.get(name.replace("-", "_"), {}) for name in ("temperature", "temperature-by-class")}
    yield "temperatures", _by_class(fitted, "temperature"), "Temperatures fitted on validation."
    tuned = _by_class(facts.get("thresholds", {}), "threshold")
    yield "tuned-thresholds", tuned, "Thresholds that were best on validation."
    yield "data-classes", pd.DataFrame(dataset["class_facts"]), "The classes in the truth, over all splits."
    yield "data-splits", _splits(dataset), "Images and pixels of each split, and pixels of each class in it."
    findings = pd.DataFrame(dataset["findings"], columns=list(_FINDING))
    yield "data-findings", findings, "What the check found in the data set."
    yield "output-findings", _output_findings(facts), "What is odd about the outputs of the networks (docs/misuse.md)."
    identity = pd.DataFrame(describe.facts_of(run, dataset), columns=["group", "name", "value"])
    yield "facts", identity, "What tells this run from another."
    yield "files", pd.DataFrame(run.manifest["files"])[["path", "bytes", "sha256"]], "Every file of the run."


def _answer(verdict: Verdict) -> pd.DataFrame:
    """One row a property: name, value."""
    kept = ("answer", "contender", "missing", "headline", "confidence", "images_needed", "split")
    rows = [(name, getattr(verdict, name)) for name in kept]
    rows += [("seeds", ", ".join(map(str, verdict.seeds)))]
    rows += [(f"margin_{name}", value) for name, value in verdict.margin.model_dump().items()]
    rows += [(f"would_change_{number}", line) for number, line in enumerate(verdict.would_change, start=1)]
    return pd.DataFrame(rows, columns=["name", "value"])


def _splits(dataset: dict[str, Any]) -> pd.DataFrame:
    """One row a split and class: split, images, groups, valid_pixels, ignored_pixels, class, class_pixels."""
    columns = ("split", "images", "groups", "valid_pixels", "ignored_pixels")
    return pd.DataFrame(
        {column: split[column] for column in columns} | {"class": name, "class_pixels": pixels}
        for split in dataset["splits"]
        for name, pixels in split["class_pixels"].items()
    )


def _output_findings(facts: dict[str, Any]) -> pd.DataFrame:
    rows = [
        (split, head, *(finding.get(column) for column in _FINDING))
        for split, by_head in facts.get("findings", {}).items()
        for head, findings in by_head.items()
        for finding in findings
    ]
    return pd.DataFrame(rows, columns=["split", "head", *_FINDING])


def _by_class(values: Mapping[str, Any], name: str) -> pd.DataFrame:
    """What was fitted on validation: variant, head, seed, class ("all" for one of the whole head) and the value.

    values: by variant, head, seed and class; a number in the place of the classes is one of the whole head.
    """
    rows = [
        (variant, head, int(seed), class_name, value)
        for variant, by_head in values.items()
        for head, by_seed in by_head.items()
        for seed, fitted in by_seed.items()
        for class_name, value in (fitted if isinstance(fitted, dict) else {"all": fitted}).items()
    ]
    return pd.DataFrame(rows, columns=["variant", "head", "seed", "class", name])
