"""Losses: runs of one data set side by side, and what moves the results: loss, head, threshold or temperature."""

from collections.abc import Iterable
from typing import Final

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded
from dashboard.displays import base
from dashboard.figures.comparison import cells_figure, effects_figure
from dashboard.parts import part
from dashboard.rounding import typeset, with_interval
from pipelines.comparison import (
    LABEL_MEASURES,
    MEASURES,
    TITLES,
    Comparison,
    Conclusion,
    before_after,
    conclude,
    effect_rows,
    run_command,
)
from pipelines.config import LOSSES
from pipelines.metrics import METRICS
from pipelines.sentences import begun
from pipelines.store import Run, open_run
from pipelines.verdict import Margin

_RUNS: Final = "runs"
_MARGINS: Final = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1)


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
        "Runs of this data set", names, default=sharing_a_head(newest.values()), key=_RUNS,
        bind="query-params", format_func=lambda name: f"{name} ({losses[name] or 'loss not known'})",
        help="They should differ in their loss and in nothing else; what else differs is said below.",
    )  # fmt: skip
    return tuple(open_run(queries.runs_folder(), name) for name in chosen or [run.name])


def sharing_a_head(names: Iterable[str]) -> list[str]:
    """Those of the runs that can be compared with this one all together; the first is this one."""
    kept: list[str] = []
    heads = set(run.heads)
    for name in names:
        mine = heads & set(open_run(queries.runs_folder(), name).heads)
        if mine:
            kept, heads = [*kept, name], mine
    return kept


def choose_margin() -> Margin:
    """The margin of practical equivalence, the verdict's own in the link."""
    dice = st.select_slider(
        "Smallest difference in Dice that matters", _MARGINS, value=0.01, key="margin", bind="query-params"
    )
    return Margin(dice=float(dice))


@guarded
def draw_cells(found: Comparison, measures: tuple[str, str]) -> None:
    """Labels and probabilities of every run and head, before and after their remedy."""
    drawn = []
    for column, measure in zip(st.columns(2), measures, strict=True):
        table = before_after(found, measure)
        if table["value"].isna().all():
            with column:
                why = base.why_no_value(run, found.split, METRICS[measure].title)
                components.empty(f"{METRICS[measure].title} has no value", why or "No run here has it.")
            continue
        drawn.append(f"cells_{measure}")
        settings = list(dict.fromkeys(table["setting"]))
        better = METRICS[measure].better
        told = f"{better} is better" + (f"; hollow {settings[0]}, filled {settings[1]}" if len(settings) > 1 else "")
        best = table.sort_values("value", ascending=better == "lower").iloc[0]
        said = with_interval(best["value"], best["low"], best["high"])
        title = f"{METRICS[measure].title}, mean of classes"
        with column:
            where = f"{best['run']}, {best['head']}, {best['setting']}"
            components.chart(
                cells_figure(table, theme, title=title, subtitle=told), key=f"cells_{measure}",
                alt=f"{title}, of each run and head; best {where}: {said}.", name=f"{run.name}-losses-{measure}",
            )  # fmt: skip
    components.explain("losses", found.table, key="losses", name=f"{run.name}-losses", charts=drawn)


@guarded
def draw_effects(found: Comparison, conclusions: tuple[Conclusion, Conclusion]) -> None:
    """What moves labels and what moves probabilities."""
    for column, one in zip(st.columns(2), conclusions, strict=True):
        if not one.effects:
            continue
        largest = one.effects[0]
        said = with_interval(largest.gain, largest.low, largest.high, signed=True)
        title = f"What moves {TITLES[one.measure]}"
        with column:
            components.chart(
                effects_figure(effect_rows(found, one.measure), theme, title=title, margin=one.margin),
                key=f"effects_{one.measure}", name=f"{run.name}-effects-{one.measure}",
                alt=f"{title}: the {largest.factor} most, {largest.first} over {largest.second} {said}.",
            )  # fmt: skip
    components.explain(
        "effects", found.contrasts, key="effects", name=f"{run.name}-effects",
        charts=[f"effects_{one.measure}" for one in conclusions if one.effects],
    )  # fmt: skip


@part
def judged(found: Comparison, measures: tuple[str, str]) -> None:
    """What follows, and the effects with the margin that decides it."""
    with st.container(width=340):
        margin = choose_margin()
    conclusions = (conclude(found, measures[0], margin), conclude(found, measures[1], margin))
    for column, what, one in zip(st.columns(2), ("Labels", "Probabilities"), conclusions, strict=True):
        with column:
            components.headline(
                typeset(begun(one.advice)), above=f"{what}: {METRICS[one.measure].title}",
                color=theme.muted, theme=theme,
            )  # fmt: skip
            why = "" if one.effects else base.why_no_value(run, found.split, METRICS[one.measure].title)
            components.paragraph(why or typeset(" ".join(one.sentences)), theme)
    if found.notes:
        components.bullets([typeset(note) for note in found.notes], theme)
    if any(one.effects for one in conclusions):
        draw_effects(found, conclusions)


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
losses = queries.comparable(run)
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
chosen = choose_runs(losses)
found = queries.compared(chosen)
with st.container(horizontal=True, vertical_alignment="bottom"):
    labels = state.choose("Labels by", LABEL_MEASURES, key="labels_by", title=lambda name: METRICS[name].title)
    probabilities = state.choose(
        "Probabilities by", [name for name in MEASURES if name not in LABEL_MEASURES],
        key="probabilities_by", title=lambda name: METRICS[name].title,
    )  # fmt: skip
judged(found, (labels, probabilities))
components.head_legend(found.heads, theme)
draw_cells(found, (labels, probabilities))
offer_more(losses)
