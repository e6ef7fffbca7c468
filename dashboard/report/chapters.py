"""A run to its report: which chapters there are, in reading order, and what stands in each."""

from collections.abc import Callable
from typing import Final, cast

from dashboard import loaders
from dashboard.figures.theme import HEAD_TITLES
from dashboard.panels import absence
from dashboard.panels import verdict as verdict_panels
from dashboard.panels.cards import color_of, reason_card
from dashboard.report import describe
from dashboard.report.blocks import (
    Block,
    Bullets,
    Cards,
    Chapter,
    Commands,
    Cover,
    Facts,
    Legend,
    Report,
    Summary,
    Text,
)
from dashboard.report.evidence import EVIDENCE
from dashboard.report.examples import gallery
from dashboard.report.subject import THEME, Subject
from dashboard.rounding import typeset
from pipelines.recipe import code_of
from pipelines.schema import Split
from pipelines.store import Run
from pipelines.verdict import Margin, Verdict, decide


def report_of(run: Run, *, margin: Margin | None = None) -> Report:
    """The report of a run. margin: judge with other margins of practical equivalence than those of the run.

    Raises RunError when a file of the run is missing or damaged.
    """
    dataset = loaders.dataset(run)
    if margin is None:
        verdict = Verdict.model_validate(run.verdict)
    else:
        verdict = decide(dataset, loaders.metrics(run), run.facts, margin=margin)
    subject = Subject(run, dataset, verdict, cast(Split, verdict.split), run.seeds)
    return Report(_cover(subject), verdict, tuple(make(subject) for make in CHAPTERS))


def _cover(subject: Subject) -> Cover:
    verdict = subject.verdict
    answer = verdict.answer if verdict.answer in ("sigmoid", "softmax") else "neither"
    return Cover(
        subject.run.name, verdict_panels.certainty(verdict), typeset(verdict.headline),
        color_of(answer, verdict, THEME),
        describe.short_facts(subject.run, subject.dataset, subject.split),
    )  # fmt: skip


def _verdict(subject: Subject) -> Chapter:
    run, verdict = subject.run, subject.verdict
    scores, readable = loaders.score_tables(run, subject.split)
    margin = verdict.margin
    lead = (
        "Which last layer, by how much, and how surely. "
        f"Differences within {margin.dice:g} Dice, {margin.classwise_ece:g} classwise ECE or "
        f"{100 * margin.brier_relative:g}% of the Brier score count as equal in practice."
    )
    if verdict.missing is not None:
        lead = "What the truth and what is here say alone; which last layer takes the other head too."
    figures = verdict_panels.figures_of(run, THEME, split=subject.split, verdict=verdict)
    blocks: list[Block] = [
        *([figures] if figures.pictures else []),
        Cards("Why", tuple(reason_card(reason, verdict, THEME) for reason in verdict.reasons)),
    ]
    if verdict.would_change:
        title = "What is missing" if verdict.missing else "What would change this"
        blocks.append(Bullets(title, tuple(map(typeset, verdict.would_change))))
    blocks.append(_code(subject))
    blocks.append(Summary("Scores", readable, "scores", scores, "scores"))
    absent = absence.note(run, subject.split)
    if absent:
        blocks.append(Text((absent,)))
    return Chapter("verdict", "Verdict", lead, tuple(blocks))


def _code(subject: Subject) -> Commands:
    """Code of the head that won, else of sigmoid or the only one there is; the seed that did best on validation."""
    run, verdict = subject.run, subject.verdict
    winner = verdict.contender if verdict.answer == "softmax" and verdict.contender else "sigmoid"
    head = winner if winner in run.heads else run.heads[0]
    given = loaders.ingredients(run, head, None)
    seed = f", seed {given.seed}" if len(run.seeds) > 1 else ""
    return Commands(
        f"Use it: {HEAD_TITLES[head].lower()}{seed}", tuple("\n\n\n".join(code_of(given).values()).split("\n"))
    )


def _images(subject: Subject) -> Chapter:
    chosen = gallery(subject.run, split=subject.split, contender=subject.contender)
    colors = zip(map(str, subject.dataset["classes"]), map(str, subject.dataset["colors"]), strict=True)
    by = "the pair" if len(subject.run.heads) > 1 else "the network"
    lead = f"A few telling images, predicted by {by} of seed {subject.run.seeds[0]}."
    return Chapter("images", "Images", lead, (Legend(tuple(colors)), chosen))


def _methods(subject: Subject) -> Chapter:
    text = describe.methods(subject.run, subject.dataset, subject.split)
    return Chapter("methods", "How it was measured", "", (Text(text),))


def _facts(subject: Subject) -> Chapter:
    rows = describe.facts_of(subject.run, subject.dataset)
    groups = list(dict.fromkeys(group for group, _, _ in rows))
    blocks: list[Block] = [
        Facts(group, tuple((name, value) for one, name, value in rows if one == group)) for group in groups
    ]
    blocks.append(Commands("Made with", describe.commands(subject.run)))
    return Chapter("run", "This run", "Everything that tells this run from another.", tuple(blocks))


CHAPTERS: Final[tuple[Callable[[Subject], Chapter], ...]] = (_verdict, *EVIDENCE, _images, _methods, _facts)
