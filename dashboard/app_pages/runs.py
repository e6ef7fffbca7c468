"""Runs: all of them in one table, several side by side, how they were trained, and their names and trash."""

import zlib
from collections.abc import Sequence
from functools import partial
from typing import Final

import pandas as pd
import streamlit as st

from dashboard import components, export, manage, queries, state
from dashboard.boundary import callback, guarded
from dashboard.displays import base
from dashboard.panels import catalogue as table
from dashboard.panels import runs as panels
from dashboard.parts import part
from dashboard.tables import SHOWN
from pipelines.errors import RunError
from pipelines.metrics import METRICS
from pipelines.store import Run
from pipelines.store.summary import Summary
from pipelines.verdict import missing_head

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
    alike = [name for name in queries.comparable(run) if name != run.name]
    st.session_state[_COMPARE] = [name for name in (run.name, *alike[:2]) if name in names]
    return st.session_state[_COMPARE]


@guarded
def draw_table(chosen: Sequence[str]) -> None:
    """Every run; ticked rows are compared."""
    frame, texts = table.catalogue(summaries)
    styled = frame.style
    for column, known in texts.items():
        styled = styled.format(partial(table.shown, known), subset=[column])
    # Rows are ticked by their number: another order or choice of runs is another table.
    key = f"runs_{zlib.crc32('/'.join(names).encode()):x}_{st.session_state.get(_TIMES, 0)}"

    @callback
    def take_over() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        st.session_state[_COMPARE] = [names[row] for row in rows][:_MOST]

    st.dataframe(
        styled, hide_index=True, height=_ROW * (min(len(names), _ROWS) + 1) + 3, key=key,
        on_select=take_over, selection_mode="multi-row", placeholder="–",
        selection_default={"selection": {"rows": [names.index(name) for name in chosen]}},
        alt="All runs with their verdict, scores and settings; ticked runs are compared below.",
        column_config={
            **{column: st.column_config.NumberColumn(width=_WIDTH) for column in texts if column != "On disk"},
            "Run": st.column_config.TextColumn(pinned=True),
            "Created": st.column_config.DatetimeColumn(format="YYYY-MM-DD HH:mm", timezone="UTC"),
        },
    )  # fmt: skip


def choose_runs() -> list[Run]:
    """Runs side by side, in the link; this one alone when none is chosen."""

    @callback
    def changed() -> None:
        st.session_state[_TIMES] = st.session_state.get(_TIMES, 0) + 1

    chosen = st.multiselect(
        "Side by side", names, key=_COMPARE, bind="query-params", max_selections=_MOST, on_change=changed,
        help=f"Or tick rows of the table; {_MOST} at most.", placeholder="Only the run that is picked on the left",
    )  # fmt: skip
    return [found[names.index(name)] for name in chosen] or [run]


@part
def compare(runs: list[Run]) -> None:
    """One metric of every head, and the difference within each run."""
    shown = [queries.summary(one) for one in runs]
    present = [name for name in SHOWN if any(metric == name for one in shown for metric, _ in one.scores)]
    if not present:
        components.empty("No scores", "None of these runs has been evaluated; run `python -m pipelines evaluate RUN`.")
        return
    with st.container(width=340):
        metric = state.choose("Score", present, key="score", default="dice", title=lambda name: METRICS[name].title)
    components.head_legend(list(dict.fromkeys(head for one in shown for head in one.heads)), theme)
    lone = [one.name for one in shown if missing_head(one.heads) is not None]
    if lone:
        st.caption(
            components.plain(
                f"No difference within {', '.join(lone)}: a run needs a sigmoid and a softmax to compare them."
            )
        )
    panel = panels.comparison(runs, theme, metric=metric)
    if panel is not None:
        components.show(panel, run="runs")
    else:
        components.empty(f"{METRICS[metric].title} has no value in these runs", "Why is said below the numbers.")


@guarded
def say_what_can_be_compared(runs: list[Run], shown: list[Summary]) -> None:
    """Whether the runs are of one data set, and where their differences are taken apart."""
    if len(runs) < 2:
        return
    alike = queries.comparable(runs[0])
    strange = [one.name for one in runs if one.name not in alike]
    if not strange:
        st.page_link(
            "app_pages/losses.py", label="What moves the results of these runs: loss, head, threshold or temperature",
            icon=":material/compare_arrows:",
            query_params={state.RUN: runs[0].name, "runs": [one.name for one in runs]},
        )  # fmt: skip
        return
    data = " and ".join(dict.fromkeys(one.data for one in shown if one.name in {runs[0].name, *strange}))
    st.warning(
        components.plain(f"{data}: compare the heads' difference within each run, not the scores across runs."),
        title="Different data", icon=":material/difference:",
    )  # fmt: skip


@guarded
def draw_settings(runs: list[Run], shown: list[Summary]) -> None:
    """Settings, those that differ first, and the numbers below them."""
    head = ["", *(one.name for one in shown)]
    differ, same = panels.settings(shown)
    if differ:
        components.small_table(["What differs", *head[1:]], differ, theme)
    elif len(shown) > 1:
        components.paragraph("Nothing that is recorded differs between these runs.", theme)
    with st.expander("What is the same" if len(shown) > 1 else "Settings", key="runs_same"):
        components.small_table(head[:2] if len(shown) == 1 else ["", "in all"], [row[:2] for row in same], theme)
    titles, rows = panels.numbers(shown)
    components.small_table(["Mean of classes, 95% interval", *titles], rows, theme)
    for one in runs:
        absent = base.absence_note(one, one.splits[0])
        components.notes(f"{one.name}: {absent}" if absent else "")
    settings_of = pd.DataFrame([*differ, *same], columns=["setting", *head[1:]])
    scores = pd.concat([panels.scores(shown, metric=metric) for metric in panels.KEY_METRICS])
    with st.container(horizontal=True):
        components.download(settings_of, key="settings_csv", name="runs-settings", label="Settings as CSV")
        components.download(scores, key="numbers_csv", name="runs-scores", label="Scores as CSV")


def has_readable_training(run: Run) -> bool:
    """Whether a run's training can be drawn, if it has one; what is wrong with it is told."""
    try:
        queries.learning(run)
    except RunError as error:
        components.problem(str(error))
        return False
    return True


@guarded
def draw_training(runs: list[Run]) -> None:
    """Loss and validation score of each run that was trained here."""
    runs = [one for one in runs if has_readable_training(one)]
    untrained = [queries.summary(one) for one in runs if queries.learning(one) is None]
    loaded = [one.name for one in untrained if one.origin != "imported"]
    imported = [one.name for one in untrained if one.origin == "imported"]
    panel = panels.training(runs, theme)
    if panel is not None:
        components.show(panel, run="runs" if len(runs) > 1 else run.name)
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
    for one in queries.damaged_runs():
        components.problem(one.problem)


theme = state.theme()
st.title("Runs")
components.readable_chips()
found = queries.catalogue()
names = [one.name for one in found]
draw_damaged()
if found:
    run = state.current_run()
    summaries = [queries.summary(one) for one in found]
    draw_table(start_choice())
    runs = choose_runs()
    shown = [queries.summary(one) for one in runs]
    say_what_can_be_compared(runs, shown)
    compare(runs)
    draw_settings(runs, shown)
    st.header("Training")
    draw_training(runs)
    st.header("Report and tables of this run")
    export.draw(run)
    st.header("Rename or delete")
    manage.say()
    manage.draw_run(run, names, lists=[_COMPARE])
else:
    components.empty("No run yet", "Train one on the page Train, or take one back from the trash.")
    manage.say()
st.header("Trash")
manage.draw_trash()
