"""The chapters between verdict and images: what the app's pages show of a run with their usual controls."""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from dashboard.panels import (
    Panel,
    absence,
    accuracy,
    calibration,
    confusion,
    labels,
    overlap,
    runs,
    threshold_curves,
    thresholds,
)
from dashboard.panels.cards import finding_card
from dashboard.panels.threshold_choice import Look
from dashboard.panels.threshold_costs import Costs, policies
from dashboard.report.blocks import Block, Cards, Chapter, LeftOut, Summary, Text
from dashboard.report.subject import THEME, Subject
from dashboard.rounding import count
from pipelines.datasets.check import CheckReport, truth_alone

_SHOWN_FINDINGS: Final = 6


class Part(NamedTuple):
    """A panel that a run may lack. missing: why, in the words that follow its title."""

    title: str
    panel: Panel | None
    missing: str = ""


def _chapter(key: str, title: str, lead: str, parts: Sequence[Part], *, before: Sequence[Block] = ()) -> Chapter:
    """A chapter of panels, and at its end what this run cannot have, with the reasons."""
    shown = [part.panel for part in parts if part.panel is not None]
    left = tuple((part.title, part.missing) for part in parts if part.panel is None)
    return Chapter(key, title, lead, (*before, *shown, *([LeftOut(left)] if left else [])))


def _absent(subject: Subject, *more: str) -> list[Block]:
    """What has no value because no pixel carries a class; nothing where all classes are there."""
    lines = tuple(one for one in (absence.note(subject.run, subject.split), *more) if one)
    return [Text(lines)] if lines else []


def labels_chapter(subject: Subject) -> Chapter:
    """What the truth alone says."""
    facts = subject.dataset
    exclusive = facts["kind"] != "overlapping"
    said = [truth_alone(CheckReport.model_validate(facts)), labels.imbalance(facts), labels.leakage(facts)]
    alone = "no two classes of this data set can share a pixel"
    disjoint = "no two classes share a pixel in this truth"
    parts = [
        Part("Classes", labels.class_shares(facts, THEME)),
        Part("Classes in each split", labels.splits(facts, THEME)),
        Part("Labels per pixel", None if exclusive else labels.labels_per_pixel(facts, THEME), alone),
        Part("Best possible with one label a pixel", labels.ceiling(facts, THEME), alone),
        Part("Which class lies inside which", labels.nesting(facts, THEME), disjoint),
        Part("Classes that share pixels", labels.pairs(facts, THEME), alone),
    ]
    before = [Text(tuple(one for one in said if one)), _findings(facts["findings"])]
    return _chapter(
        "labels", "Labels", "What the truth alone says, before any training, over all splits.", parts, before=before
    )


def _findings(findings: Sequence[dict[str, Any]]) -> Block:
    if not findings:
        return Text(("The check found nothing wrong with the data set.",))
    cards = [finding_card(one) for one in findings[:_SHOWN_FINDINGS]]
    left = len(findings) - len(cards)
    more = f"; {count(left)} more in data-findings.csv" if left else ""
    return Cards(f"What the check found{more}", tuple(cards))


def accuracy_chapter(subject: Subject) -> Chapter:
    """Labels against the truth, by class, seed and image."""
    shown, margin = subject.shown, subject.verdict.margin.dice
    no_scores = "no image has a score of both heads" if subject.pair else "there is nothing to compare"
    why = absence.why_no_value(subject.run, subject.split, "Dice")
    parts = [
        Part("By class", None if why else accuracy.by_class(shown, THEME, margin=margin), "no class has a score"),
        Part("By seed", accuracy.by_seed(shown, THEME, margin=margin), "there is one seed"),
        Part("Image by image", accuracy.paired_images(shown, THEME, margin=margin), no_scores),
        Part("Spread of the images", accuracy.spread_of_images(shown, THEME), "no image has a score"),
    ]
    lead = "How well the labels fit the truth, in Dice, as decided."
    return _chapter("accuracy", "Accuracy", lead, parts, before=_absent(subject))


def calibration_chapter(subject: Subject) -> Chapter:
    """Probabilities against what happened."""
    scores = calibration.scores(subject.shown)
    readable = calibration.readable_scores(scores, contender=subject.contender if subject.pair else None)
    metrics = Summary("Calibration metrics", readable, "scores", scores, "calibration_scores")
    parts = [
        Part("Reliability", calibration.reliability(subject.shown, THEME)),
        Part(
            "Calibration error of single images",
            calibration.by_image(subject.shown, THEME),
            "no image has such an error",
        ),
    ]
    lead = "Whether the probabilities can be taken at their word; figures are as trained."
    before = _absent(subject) if scores.empty else [*_absent(subject), metrics]
    return _chapter("calibration", "Calibration", lead, parts, before=before)


def confusion_chapter(subject: Subject) -> Chapter:
    """What is taken for what."""
    parts = [
        Part("Confusion", confusion.matrices(subject.shown, THEME)),
        Part("Label sets", confusion.label_sets(subject.shown, THEME), "there is one class"),
    ]
    return _chapter("confusion", "Confusion", "Which classes are taken for which.", parts, before=_absent(subject))


def overlap_chapter(subject: Subject) -> Chapter:
    """Labels that share pixels, and pixels without one."""
    shown = subject.shown
    alone = "no two classes of this data set can share a pixel"
    parts = [
        Part("Overlap and no-label rates", overlap.rates(shown, THEME)),
        Part("Labels predicted, by true number", overlap.predicted_labels(shown, THEME)),
        Part("Labels a pixel", overlap.mass(shown, THEME)),
        Part("Pairs of classes", overlap.expected(shown, THEME), alone),
        Part("Which classes share pixels", overlap.pairs(shown, THEME), "there is one class"),
    ]
    return _chapter("overlap", "Overlap", "How often a head gives a pixel two labels, or none, at p > 0.5.", parts)


def thresholds_chapter(subject: Subject) -> Chapter:
    """Where to put the thresholds, and what they are worth."""
    several, price = len(subject.dataset["classes"]) > 1, Costs()
    look = Look(subject.run, subject.split, subject.seeds, subject.contender)
    no_truth = "no class occurs in the truth"
    parts = [
        Part("Best threshold of each class", thresholds.choices(look, THEME), no_truth),
        Part("Scores against the threshold", thresholds.scores(look, THEME)),
        Part(
            "ROC and precision-recall curves",
            threshold_curves.curves(look, THEME),
            "the mean of several classes has none; areas of each class are shown instead" if several else no_truth,
        ),
        Part("Areas under the curves", threshold_curves.areas(look, THEME), no_truth),
        Part("Costs", thresholds.costs(look, THEME, policies(look, None, price), price)),
        Part("Keeping the surest pixels", threshold_curves.selective_prediction(look, THEME)),
    ]
    lead = "What another threshold than 0.5 is worth, for the mean of the classes; a mistake of either kind costs 1."
    before = _absent(subject, absence.untuned(subject.run))
    return _chapter("thresholds", "Thresholds", lead, parts, before=before)


def training_chapter(subject: Subject) -> Chapter:
    """How the networks learned."""
    panel = runs.learning(subject.run, THEME)
    named = None if panel is None else panel._replace(key="learning")  # without the run's name in the name of its CSV
    imported = subject.run.config["training"] is None
    missing = "the networks were trained elsewhere" if imported else "the networks were loaded, not trained here"
    return _chapter("training", "Training", "How the networks learned.", [Part("Training", named, missing)])


EVIDENCE: Final[tuple[Callable[[Subject], Chapter], ...]] = (
    labels_chapter, accuracy_chapter, calibration_chapter, confusion_chapter, overlap_chapter, thresholds_chapter,
    training_chapter,
)  # fmt: skip
