"""Overlap: how often a head gives a pixel two labels or none, and which classes it lets overlap."""

from typing import Final

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded, part
from dashboard.displays import overlap as panels
from dashboard.displays.base import Selection
from dashboard.how_to_read import HOW_TO_READ
from dashboard.queries.images import Which
from dashboard.rounding import count, percent
from dashboard.theme import HEAD_TITLES

_ACROSS: Final = 3  # images of each head
_RIGHT: Final = "#8f99a6"  # two labels or more where the truth has them too
_KINDS: Final[dict[Which, str]] = {
    "several": "Two labels or more, the truth at most one",
    "none": "No label, the truth has one",
}


@part
def draw_figures(maps_at: dict[str, float]) -> None:
    """The threshold and what it redraws. maps_at: filled with the threshold that the maps below were drawn at."""
    with st.container(width=340):
        threshold = state.threshold()
    components.show(panels.rates(shown, theme, threshold=threshold), run=run.name)
    for column, make in zip(st.columns(2), (panels.predicted_labels, panels.mass), strict=True):
        with column:
            components.show(make(shown, theme, threshold=threshold), run=run.name)
    pairs = panels.pairs(shown, theme, threshold=threshold)
    expected = panels.expected(shown, theme, threshold=threshold)
    if pairs is not None:
        st.header("Which classes share pixels")
        if not pairs.table["truth"].any():
            st.caption("In the truth no two classes share a pixel: all that is seen here is the heads' own.")
        components.show(pairs, run=run.name)
    if expected is not None:
        components.show(expected, run=run.name)
    # Counts follow the slider at once; images have to be read for it, so only when asked.
    stale = bool(maps_at) and maps_at["threshold"] != threshold
    if stale and st.button(f"Draw the maps below at p > {threshold:.2f}", icon=":material/refresh:"):
        st.rerun()


@guarded
def draw_maps(threshold: float) -> None:
    """Where each head gives several labels or none against the truth, on the images that have most of it."""
    what = "Where labels conflict or are missing" if len(classes) > 1 else "Where the label is missing"
    st.header(f"{what}, at p > {threshold:.2f}")
    kinds: tuple[Which, ...] = ("several", "none") if len(classes) > 1 else ("none",)
    which = state.choose("Pixels marked", kinds, key="maps", title=lambda kind: _KINDS[kind])
    seed = seeds[0]
    for head in run.heads:
        found = queries.images.worst_images(run, split, head, seed, threshold, which, _ACROSS)
        components.legend(
            [(f"{HEAD_TITLES[head]}{f', seed {seed}' if len(run.seeds) > 1 else ''}", theme.heads[head])], theme
        )
        if not found:
            st.caption(f"No image has such a pixel at p > {threshold:.2f}.")
        for column, one in zip(st.columns(_ACROSS), found, strict=False):
            colors = (theme.heads[head], _RIGHT)
            said = f"{count(one.pixels)} pixels, {percent(one.share)} of {one.image}"
            with column:
                picture = queries.images.label_map(run, split, head, seed, one.image, threshold, which, colors)
                components.picture(picture, alt=f"{_KINDS[which]}: {said}")
                st.text(said)
                state.image_link(run, split, one.image, seed=seed)
    st.caption(HOW_TO_READ["label_maps"])


run = state.current_run()
theme = state.theme()
dataset = queries.runs.dataset(run)
classes = dataset["classes"]
st.title("Overlap")
components.missing(run, "how often the other head gives a pixel two labels or none")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    region = state.region_of(("all", "boundary", "interior"), width=run.facts["boundary_width"])
if len(classes) == 1:
    components.empty(
        "One class cannot overlap", "What is left is how much of the image each head leaves without a label."
    )
components.head_legend(run.heads, theme)
maps_at: dict[str, float] = {}
shown = Selection(run, split, seeds, region=region)
draw_figures(maps_at)
maps_at["threshold"] = float(st.session_state["threshold"])
draw_maps(maps_at["threshold"])
