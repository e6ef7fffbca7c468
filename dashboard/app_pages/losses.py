"""Losses: runs of one data set side by side, and what moves the results: loss, head, threshold or temperature."""

from collections.abc import Iterable
from typing import Final

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded, part
from dashboard.displays import base
from dashboard.displays import comparison as displays
from dashboard.rounding import typeset
from pipelines.comparison.compare import run_command
from pipelines.comparison.effects import Comparison, conclude
from pipelines.comparison.matching import LABEL_MEASURES, MEASURES
from pipelines.config import LOSSES
from pipelines.judgement import Margin
from pipelines.metrics import METRICS
from pipelines.sentences import capitalised
from pipelines.store.runs import Run, open_run

_RUNS: Final = "runs"


def title_of(metric: str) -> str:
    """What a metric is called."""
    return METRICS[metric].title


def choose_runs(losses: dict[str, str | None]) -> tuple[Run, ...]:
    """Which runs, by default the newest one of each loss that shares a head; this one alone when none is chosen."""
    names = list(losses)
    newest: dict[str | None, str] = {losses[run.name]: run.name}
    for name in names:
        newest.setdefault(losses[name], name)
    if _RUNS in st.session_state:  # a choice that was made for a run of other data
        kept = [name for name in st.session_state[_RUNS] if name in losses]
        if kept != st.session_state[_RUNS]:
            st.session_state[_RUNS] = kept or [run.name]
    chosen = st.multiselect(
        "Runs of this data set",
        names,
        default=sharing_a_head(newest.values()),
        key=_RUNS,
        bind="query-params",
        format_func=lambda name: f"{name} ({losses[name] or 'loss not known'})",
        help="They should differ in their loss and in nothing else; what else differs is said below.",
    )
    return tuple(open_run(queries.runs.runs_folder(), name) for name in chosen or [run.name])


def sharing_a_head(names: Iterable[str]) -> list[str]:
    """Those of the runs that can be compared with this one all together; the first is this one."""
    kept: list[str] = []
    heads = set(run.heads)
    for name in names:
        mine = heads & set(open_run(queries.runs.runs_folder(), name).heads)
        if mine:
            kept, heads = [*kept, name], mine
    return kept


@guarded
def draw_cells(comparison: Comparison, measures: tuple[str, str]) -> None:
    """Labels and probabilities of every run and head, before and after their remedy."""
    display = displays.cells(comparison, theme, measures=measures)
    for measure in measures:
        if f"cells_{measure}" not in [picture.key for picture in display.pictures]:
            title = title_of(measure)
            why = base.why_no_value(run, comparison.split, title)
            components.empty(f"{title} has no value", why or "No run here has it.")
    components.show(display, run=run.name)


@part
def judged(comparison: Comparison, measures: tuple[str, str]) -> None:
    """What follows, and the effects with the margin that decides it."""
    with st.container(width=340):
        margin = Margin(dice=state.margin("Smallest difference in Dice that matters"))
    conclusions = [conclude(comparison, measure, margin) for measure in measures]
    for column, kind, conclusion in zip(st.columns(2), ("Labels", "Probabilities"), conclusions, strict=True):
        title = title_of(conclusion.measure)
        with column:
            components.headline(
                typeset(capitalised(conclusion.advice)), above=f"{kind}: {title}", color=theme.muted, theme=theme
            )
            why = "" if conclusion.effects else base.why_no_value(run, comparison.split, title)
            components.paragraph(why or typeset(" ".join(conclusion.sentences)), theme)
    if comparison.notes:
        components.bullets([typeset(note) for note in comparison.notes], theme)
    display = displays.effects(comparison, theme, conclusions=conclusions)
    if display.pictures:
        components.show(display, run=run.name)


@guarded
def offer_more(losses: dict[str, str | None]) -> None:
    """How to make runs with the losses that are not there yet."""
    missing = [loss for loss in LOSSES if loss not in losses.values()]
    if missing and losses[run.name] is not None:
        st.header("With other losses")
        components.paragraph(
            "These commands train the same pair with another loss. The run appears here when it is whole.", theme
        )
        st.code("\n".join(run_command(run.config, loss) for loss in missing), language=None, wrap_lines=True)


run = state.current_run()
theme = state.theme()
losses = queries.runs.comparable(run)
st.title("Losses")
components.missing(run, "what the head changes beside the loss, the thresholds and the temperature")
components.readable_chips()
if len(losses) < 2:
    components.empty(
        "One run of this data set",
        "With a second one, trained with another loss, this page tells what the loss changes from what the head "
        + ("changes. " if losses[run.name] is None else "changes; the commands are at the end of the page. ")
        + "What one run can tell is below.",
    )
comparison = queries.runs.compared(choose_runs(losses))
with st.container(horizontal=True, vertical_alignment="bottom"):
    labels = state.choose("Labels by", LABEL_MEASURES, key="labels_by", title=title_of)
    others = [name for name in MEASURES if name not in LABEL_MEASURES]
    probabilities = state.choose("Probabilities by", others, key="probabilities_by", title=title_of)
judged(comparison, (labels, probabilities))
components.head_legend(comparison.heads, theme)
draw_cells(comparison, (labels, probabilities))
offer_more(losses)
