"""Accuracy: how well each head's labels fit, or those of the only one, by class, by seed and image by image."""

from typing import Final

import pandas as pd
import streamlit as st

from dashboard import components, error_pictures, queries, state
from dashboard.boundary import guarded, part
from dashboard.displays import accuracy as panels
from dashboard.displays import base
from dashboard.displays.accuracy import BY_IMAGE, POOLED, class_title
from dashboard.displays.base import Selection
from dashboard.how_to_read import HOW_TO_READ
from dashboard.rounding import with_interval
from dashboard.theme import HEAD_SHORT, HEAD_TITLES
from pipelines.judgement import Margin
from pipelines.metrics import METRICS

_CLICKED: Final = "clicked_image"
_ACROSS: Final = 4  # pictures in a row


@guarded
def say_gaps() -> None:
    """The difference in both averages, in words."""
    found = panels.gaps(shown)
    parts = {POOLED: "over all pixels together", BY_IMAGE: "as the mean of images"}
    said = [
        f"{with_interval(*found[average], signed=True)} {words}" for average, words in parts.items() if average in found
    ]
    if said:
        of = "" if len(names) == 1 else f", {of_class}"
        components.paragraph(
            f"{METRICS[metric].title}{of}: sigmoid minus {HEAD_TITLES[contender].lower()} is {' and '.join(said)}.",
            theme,
        )


@part
def draw_with_margin() -> None:
    """The margin and what it redraws: classes, seeds, and image against image."""
    margin = Margin().dice
    if pair:
        with st.container(width=340):
            margin = state.margin(f"Smallest difference in {METRICS[metric].title} that matters")
    components.show(panels.by_class(shown, theme, margin=margin), run=run.name)
    st.header("Seeds")
    by_seed = panels.by_seed(shown, theme, margin=margin)
    if by_seed is not None:
        components.show(by_seed, run=run.name)
    else:
        st.caption(
            "One seed says nothing of how much chance in training moves these scores. Several trainings, such as with "
            "--seeds 0,1,2, would show it."
            if len(run.seeds) == 1
            else "No seed has a score here. Choose another class or another score."
        )
    st.header("Image by image")
    if pair:
        draw_pairs(margin)
    else:
        draw_alone()


@guarded
def draw_alone() -> None:
    """One image with the errors of the only head, the worst first."""
    table = panels.image_values(shown)
    if table.empty:
        components.empty("No image has this score", "Choose another class or another score.")
        return
    image = choose_image(table, "Image, worst first")
    row = table[table["image"] == image].to_dict("records")[0]
    error_pictures.draw_image(lens, row, score=METRICS[metric].title, of=of_class)


@guarded
def draw_pairs(margin: float) -> None:
    """Image against image, with the image that was clicked or chosen beside it."""
    table = panels.image_pairs(shown, margin=margin)
    if table.empty:
        components.empty("No image has this score for both heads", "Choose another class or another score.")
        return
    left, right = st.columns([5, 4], gap="medium")
    with right:
        if _CLICKED in st.session_state:
            st.session_state["image"] = st.session_state.pop(_CLICKED)
        image = choose_image(table, "Image, most different first")
        error_pictures.draw_image(
            lens, table[table["image"] == image].to_dict("records")[0], score=METRICS[metric].title,
            of=of_class,
        )  # fmt: skip
    panel = panels.paired_images(shown, theme, margin=margin, chosen=image, table=table)
    if panel is None:
        return
    with left:
        point = components.clicked(panel.pictures[0], run=run.name)
    components.foot(panel, run=run.name)
    if point is not None:
        st.session_state[_CLICKED] = point["customdata"][0]
        st.rerun()


def choose_image(table: pd.DataFrame, label: str) -> str:
    """One image, in the order of the table; a click on a point has set it before."""
    options = list(table["image"])
    state.keep_valid("image", options)
    chosen: str = st.selectbox(label, options, key="image", bind="query-params")
    return chosen


def title_of(order: panels.Order) -> str:
    """An order in words."""
    theirs = HEAD_SHORT[contender]
    return {
        "worst sigmoid": "Worst by sigmoid", "worst softmax": f"Worst by {theirs.lower()}",
        "sigmoid better": "Sigmoid better by most", "softmax better": f"{theirs} better by most",
    }[order]  # fmt: skip


@part
def draw_gallery() -> None:
    """The worst images of each head and those in which the heads differ most; of the only head the worst ones."""
    if not pair:
        table = panels.image_values(shown).head(_ACROSS)
        error_pictures.draw_row(lens, table.to_dict("records"), which="sigmoid", across=_ACROSS)
        say_how_drawn()
        return
    order = state.choose("Which images", panels.ORDERS, key="extreme", title=title_of)
    table = panels.ordered(panels.image_pairs(shown), order).head(_ACROSS)
    if table.empty:
        st.caption("There is no such image.")
        return
    which: error_pictures.Which = "both"
    if order.startswith("worst"):
        which = "sigmoid" if order == "worst sigmoid" else "softmax"
    error_pictures.draw_row(lens, table.to_dict("records"), which=which, across=_ACROSS)
    say_how_drawn()


def say_how_drawn() -> None:
    """How to read the pictures, and of which seed they are."""
    of_seed = f" Pictures are of seed {seeds[0]}." if len(seeds) > 1 else ""
    st.caption(f"{HOW_TO_READ['image_errors']}{of_seed}")


run = state.current_run()
theme = state.theme()
st.title("Accuracy")
pair = not components.missing(run, "differences by class, by seed and image by image")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    contender = state.contender_of(run)
    metric = state.choose(
        "Score", panels.metric_names(run, split=split), key="metric", default="dice",
        title=lambda name: METRICS[name].title,
    )  # fmt: skip
    region = state.region_of(queries.scores.scored_regions(run, split, metric), width=run.facts["boundary_width"])
    names = panels.class_names(run, metric)
    chosen = state.class_of(names) if METRICS[metric].per_class else state.EVERY_CLASS
class_name = None if chosen == state.EVERY_CLASS else chosen
shown = Selection(run, split, seeds, contender, region=region, metric=metric, class_name=class_name)
of_class = class_title(panels.first_name(shown))
lens = error_pictures.Lens(run, theme, split, seeds[0], contender, class_name)
st.caption(METRICS[metric].description)
components.notes(base.absence_note(run, split))
why = ""
if base.classes_without_value(run, split, metric):
    why = base.why_no_value(run, split, METRICS[metric].title, class_name)
if why:
    components.empty(f"{METRICS[metric].title} has no value here", why)
elif pair:
    say_gaps()
components.head_legend(run.heads, theme)
if not why:
    draw_with_margin()
    spread = panels.spread_of_images(shown, theme)
    if spread is not None:
        st.header("Spread of the images")
        components.show(spread, run=run.name)
if why or spread is not None:
    st.header("Images to look at")
    draw_gallery()
