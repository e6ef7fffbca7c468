"""Calibration: whether the probabilities of each head can be taken at their word."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import part
from dashboard.components import Cell
from dashboard.displays import base
from dashboard.displays import calibration as panels
from dashboard.displays.base import Selection
from dashboard.theme import words_in
from pipelines.heads import missing_head
from pipelines.schema import REGIONS, Head, Variant

_MEAN: Final = "mean of classes"
_WIDE: Final = 720  # CSS pixels of a diagram alone


@part
def draw_diagrams() -> None:
    """The sliders and what they redraw."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        with st.container(width=300):
            bins = state.bins()
        counted = queries.counts.reliability(run, split, run.heads[0], seeds, variant, region, bins, shown.soft)
        names = [str(name) for name in dict.fromkeys(counted["class"])]
        with st.container(width=300):
            chosen = state.class_of(names)
        scale = state.scale_of()
    classes = names if chosen == state.EVERY_CLASS else [chosen]
    panel = panels.reliability(shown, theme, bins=bins, classes=classes, scale=scale)
    with st.container(width=_WIDE if len(panel.pictures) == 1 else "stretch"):
        components.show(panel, run=run.name)


@part
def draw_images() -> None:
    """The errors of single images; a click on one leads to it."""
    panel = panels.by_image(shown, theme)
    if panel is None:
        return
    st.header("Image by image")
    clicked = components.clickable(panel.pictures[0], run=run.name)
    if clicked is not None and isinstance(clicked.get("customdata"), list):
        image, name, head = clicked["customdata"]
        with st.container(horizontal=True, vertical_alignment="center"):
            st.text(f"{image}: {name}, {head}, calibration error {clicked['x']:.3f}", width="content")
            state.image_link(run, split, image, seed=seeds[0])
    else:
        st.caption("Click a dot to open its image.")
    components.foot(panel, run=run.name)


def number(column: str, text: str, winners: Mapping[tuple[str, Variant], Head | None], metric: str) -> Cell:
    """A number with its interval below it; a difference in the colour of the head that it favours."""
    value, bracket, ends = text.partition(" [")
    title, _, what = column.partition(": ")
    which: Variant = next(name for name, said in base.VARIANT_TITLES.items() if said == title)
    head = winners.get((metric, which)) if what == panels.DIFFERENCE else None
    return Cell(value, f"{bracket.strip()}{ends}", words_in(theme.heads[head], theme) if head else "")


@part
def draw_scores() -> None:
    """Every metric, as trained and after temperature, with paired differences."""
    st.header("Every calibration metric")
    names = list(queries.runs.dataset(run)["classes"])
    with st.container(horizontal=True, vertical_alignment="bottom"):
        contender = state.contender_of(run) if missing_head(run.heads) is None else None
        name = _MEAN
        if len(names) > 1:
            state.keep_valid("score_class", [_MEAN, *names])
            with st.container(width=300):
                name = st.selectbox("Scores of", [_MEAN, *names], key="score_class", bind="query-params")
    selection = replace(shown, class_name=None if name == _MEAN else name)
    scores = panels.scores(selection)
    if scores.empty:
        why = base.why_no_value(run, split, "the mean over the classes", selection.class_name)
        components.empty("No calibration metric has a value", why or "Choose other pixels or another class.")
        return
    table = panels.readable_scores(scores, contender=contender)
    groups: dict[str, int] = {}
    for column in table.columns[1:]:
        title = column.split(": ")[0]
        groups[title] = groups.get(title, 0) + 1
    winners = {
        (metric, which): panels.winner(scores, metric, which, contender=contender)
        for metric, which in scores[["metric", "variant"]].drop_duplicates().itertuples(index=False)
    }
    rows = [
        [Cell(row["Metric"]), *(number(column, row[column], winners, metric) for column in table.columns[1:])]
        for metric, row in zip(dict.fromkeys(scores["metric"]), table.to_dict("records"), strict=True)
    ]
    head = ["Metric", *(column.split(": ")[1] for column in table.columns[1:])]
    components.grouped_table(list(groups.items()), head, rows, theme, alt="Calibration metrics with intervals")
    components.explain("calibration_scores", scores, key="calibration_scores", name=f"{run.name}-calibration_scores")


run = state.current_run()
theme = state.theme()
st.title("Calibration")
components.missing(run, "paired differences of every metric")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    variant = state.variant_of(run, by_class=True)
    region = state.region_of(REGIONS, width=run.facts["boundary_width"])
    soft = state.soft_of(run)
shown = Selection(run, split, seeds, variant=variant, region=region, soft=soft)
components.head_legend(run.heads, theme)
components.notes(base.absence_note(run, split))
for said in (panels.temperatures(run), panels.temperatures_by_class(run) if variant == "temperature-by-class" else ""):
    if said:
        st.caption(components.plain(said))
draw_diagrams()
draw_images()
draw_scores()
