"""Runs: all of them in one table, several side by side, how they were trained, and their names and trash."""

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import components, manage, queries, state
from dashboard.boundary import callback, guarded, part
from dashboard.displays import base
from dashboard.displays import runs as displays
from dashboard.displays.training import training
from dashboard.tables import SHOWN
from pipelines.errors import RunError
from pipelines.heads import missing_head
from pipelines.metrics import METRICS
from pipelines.store.runs import Run, Summary

_COMPARE: Final = "compare"
_TIMES: Final = "runs_table_times"  # grows when runs are chosen elsewhere than in the table
_MOST: Final = 6  # runs side by side
_ROW: Final = 35  # CSS pixels of a row of the table
_ROWS: Final = 15  # that are seen at once
_WIDTH: Final = 175  # CSS pixels of a value with its interval


def start_choice() -> list[str]:
    """Runs that are chosen before the table is drawn: those of the link, else this one and others of its data."""
    if _COMPARE in st.session_state:
        kept = [name for name in st.session_state[_COMPARE] if name in names]
        if kept != st.session_state[_COMPARE]:
            st.session_state[_COMPARE] = kept
        return kept
    if _COMPARE in st.query_params:
        return [name for name in st.query_params.get_all(_COMPARE) if name in names][:_MOST]
    alike = [name for name in queries.runs.comparable(run) if name != run.name]
    st.session_state[_COMPARE] = [name for name in (run.name, *alike[:2]) if name in names]
    return st.session_state[_COMPARE]


@guarded
def draw_table(chosen: Sequence[str]) -> None:
    """Every run; ticked rows are compared."""
    frame, texts = displays.catalogue(summaries)
    styled = frame.style
    for column, known in texts.items():
        styled = styled.format(partial(displays.shown_text, known), subset=[column])
    # Rows are ticked by their number: another order or choice of runs is another table.
    key = f"runs_{zlib.crc32('/'.join(names).encode()):x}_{st.session_state.get(_TIMES, 0)}"

    @callback
    def take_over() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        st.session_state[_COMPARE] = [names[row] for row in rows][:_MOST]

    st.dataframe(
        styled,
        hide_index=True,
        height=_ROW * (min(len(names), _ROWS) + 1) + 3,
        key=key,
        on_select=take_over,
        selection_mode="multi-row",
        placeholder="–",
        selection_default={"selection": {"rows": [names.index(name) for name in chosen]}},
        alt="All runs with their verdict, scores and settings; ticked runs are compared below.",
        column_config={
            **{column: st.column_config.NumberColumn(width=_WIDTH) for column in texts if column != "On disk"},
            "Run": st.column_config.TextColumn(pinned=True),
            "Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC"),
        },
    )


def choose_runs() -> list[Run]:
    """Runs side by side, in the link; this one alone when none is chosen."""

    @callback
    def changed() -> None:
        st.session_state[_TIMES] = st.session_state.get(_TIMES, 0) + 1

    chosen = st.multiselect(
        "Side by side",
        names,
        key=_COMPARE,
        bind="query-params",
        max_selections=_MOST,
        on_change=changed,
        help=f"Or tick rows of the table; {_MOST} at most.",
        placeholder="Only the run that is picked on the left",
    )
    return [every_run[names.index(name)] for name in chosen] or [run]


@part
def compare(runs: list[Run]) -> None:
    """One metric of every head, and the difference within each run."""
    shown = [queries.runs.summary(run) for run in runs]
    known = {metric for summary in shown for metric, _ in summary.scores}
    present = [name for name in SHOWN if name in known]
    if not present:
        components.empty("No scores", "None of these runs has been evaluated; run `python -m pipelines evaluate RUN`.")
        return
    with st.container(width=340):
        metric = state.choose("Score", present, key="score", default="dice", title=lambda name: METRICS[name].title)
    components.head_legend(list(dict.fromkeys(head for summary in shown for head in summary.heads)), theme)
    incomplete = ", ".join(summary.name for summary in shown if missing_head(summary.heads) is not None)
    if incomplete:
        need = f"No difference within {incomplete}: a run needs a sigmoid and a softmax to compare them."
        st.caption(components.plain(need))
    display = displays.comparison(runs, theme, metric=metric)
    if display is not None:
        components.show(display, run="runs")
    else:
        components.empty(f"{METRICS[metric].title} has no value in these runs", "Why is said below the numbers.")


@guarded
def say_what_can_be_compared(runs: list[Run], shown: list[Summary]) -> None:
    """Whether the runs are of one data set, and where their differences are taken apart."""
    if len(runs) < 2:
        return
    alike = queries.runs.comparable(runs[0])
    strange = [run.name for run in runs if run.name not in alike]
    if not strange:
        st.page_link(
            "app_pages/losses.py",
            label="What moves the results of these runs: loss, head, threshold or temperature",
            icon=":material/compare_arrows:",
            query_params={state.RUN: runs[0].name, "runs": [run.name for run in runs]},
        )
        return
    data = " and ".join(dict.fromkeys(row.data for row in shown if row.name in {runs[0].name, *strange}))
    st.warning(
        components.plain(f"{data}: compare the heads' difference within each run, not the scores across runs."),
        title="Different data",
        icon=":material/difference:",
    )


@guarded
def draw_settings(runs: list[Run], shown: list[Summary]) -> None:
    """Settings, those that differ first, and the numbers below them."""
    names = [summary.name for summary in shown]
    differ, same = displays.settings(shown)
    if differ:
        components.small_table(["What differs", *names], differ, theme)
    elif len(shown) > 1:
        components.paragraph("Nothing that is recorded differs between these runs.", theme)
    with st.expander("What is the same" if len(shown) > 1 else "Settings", key="runs_same"):
        components.small_table(["", names[0] if len(names) == 1 else "in all"], [row[:2] for row in same], theme)
    titles, rows = displays.numbers(shown)
    components.small_table(["Mean of classes, 95% interval", *titles], rows, theme)
    for run in runs:
        absent = base.absence_note(run, run.splits[0])
        components.notes(f"{run.name}: {absent}" if absent else "")
    settings_of = pd.DataFrame([*differ, *same], columns=["setting", *names])
    scores = pd.concat([displays.scores(shown, metric=metric) for metric in displays.KEY_METRICS])
    with st.container(horizontal=True):
        components.download(settings_of, key="settings_csv", name="runs-settings", label="Settings as CSV")
        components.download(scores, key="numbers_csv", name="runs-scores", label="Scores as CSV")


def has_readable_training(run: Run) -> bool:
    """Whether a run's training can be drawn, if it has one; what is wrong with it is told."""
    try:
        queries.runs.learning(run)
    except RunError as error:
        components.problem(str(error))
        return False
    return True


@guarded
def draw_training(runs: list[Run]) -> None:
    """Loss and validation score of each run that was trained here."""
    runs = [shown for shown in runs if has_readable_training(shown)]
    untrained = [queries.runs.summary(shown) for shown in runs if queries.runs.learning(shown) is None]
    loaded = [summary.name for summary in untrained if summary.origin != "imported"]
    imported = [summary.name for summary in untrained if summary.origin == "imported"]
    display = training(runs, theme)
    if display is not None:
        components.show(display, run="runs" if len(runs) > 1 else run.name)
    if loaded:
        components.empty(
            f"Nothing was trained in {', '.join(loaded)}",
            "The networks were loaded with --models; the run that they come from has the curves, if it is here.",
        )
    if imported:
        components.empty(
            f"Nothing was trained in {', '.join(imported)}",
            "Outputs of networks that were trained elsewhere were imported; their curves are where they were trained.",
        )


def draw_damaged() -> None:
    """Runs that cannot be opened, and what to do about each."""
    for damaged in queries.runs.damaged_runs():
        components.problem(damaged.problem)


theme = state.theme()
st.title("Runs")
components.readable_chips()
every_run = queries.runs.catalogue()
names = [run.name for run in every_run]
draw_damaged()
if every_run:
    run = state.current_run()
    summaries = [queries.runs.summary(each) for each in every_run]
    draw_table(start_choice())
    runs = choose_runs()
    shown = [queries.runs.summary(each) for each in runs]
    say_what_can_be_compared(runs, shown)
    compare(runs)
    draw_settings(runs, shown)
    st.header("Training")
    draw_training(runs)
    st.header("Report and tables of this run")
    manage.draw_export(run)
    st.header("Rename or delete")
    manage.say()
    manage.draw_run(run, names, lists=[_COMPARE])
else:
    components.empty("No run yet", "Train one on the page Train, or take one back from the trash.")
    manage.say()
st.header("Trash")
manage.draw_trash()
