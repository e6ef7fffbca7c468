"""Confusion: where the pixels of each true class go, for each head, where two heads differ, and in which images."""

from typing import Final

import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded, part
from dashboard.displays import base
from dashboard.displays import confusion as panels
from dashboard.displays.base import Display, Selection
from dashboard.how_to_read import HOW_TO_READ
from dashboard.queries.images import CellImages
from dashboard.rounding import count, percent
from dashboard.theme import HEAD_TITLES
from pipelines.schema import Head, Region

_CLICKED: Final = "clicked_cell"
_ACROSS: Final = 4  # images of a cell
_WIDE: Final = 720  # CSS pixels of a matrix alone


def choose_cell(rows: list[str], columns: list[str]) -> tuple[str, str, Head]:
    """Truth, prediction and head of the cell whose pixels are shown; a click on a matrix has set them before."""
    truth, predicted, head = panels.telling_cell(shown)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        for key, options in (("truth", rows), ("predicted", columns)):
            state.keep_valid(key, options)
        truth = st.selectbox("Truth", rows, index=rows.index(truth), key="truth", bind="query-params", width=220)
        predicted = st.selectbox(
            "Predicted", columns, index=columns.index(predicted), key="predicted", bind="query-params", width=220
        )
        by = state.choose("By", shown.heads, key="by", default=head, title=lambda one: HEAD_TITLES[one])
    return truth, predicted, by


def draw_figures(panel: Display) -> tuple[str, str, str] | None:
    """The matrices, and the cell that was clicked: truth, prediction, head."""
    if len(panel.pictures) == 1:
        with st.container(width=_WIDE):
            point = components.clicked(panel.pictures[0], run=run.name)
        return None if point is None else (point["customdata"][0], point["customdata"][1], contender)
    small = panel.columns == 3
    first = st.columns(panel.columns)
    below = first if small else st.columns(2)
    places = (first[0], first[1], below[2 if small else 0])
    found = None
    for place, picture in zip(places, panel.pictures, strict=True):
        with place:
            point = components.clicked(picture, run=run.name)
        if point is not None:
            truth, predicted, value = point["customdata"]
            of_difference: Head = "sigmoid" if value >= 0 else contender
            head = {"confusion_sigmoid": "sigmoid", "confusion_difference": of_difference}.get(picture.key, contender)
            found = (truth, predicted, head)
    if not small:
        with below[1]:
            draw_differences(panel)
    return found


@guarded
def draw_differences(panel: Display) -> None:
    """The cells in which the heads differ most."""
    value, write = ("share", percent) if form == "share" else ("pixels", count)
    rows = [
        [f"{one['truth']} → {one['predicted']}", write(one[f"{value}_sigmoid"]), write(one[f"{value}_softmax"])]
        for one in panels.largest_differences(panel.table).to_dict("records")
    ]
    st.header("Largest differences")
    components.small_table(["Truth → predicted", "Sigmoid", HEAD_TITLES[contender]], rows, theme)


@part
def draw_matrices(chosen: tuple[str, str, str], drawn: dict[str, float]) -> None:
    """The slider and what it redraws. chosen: the framed cell; drawn: the threshold that its images were found at."""
    threshold = 0.5
    if decision == "threshold":
        with st.container(width=340):
            threshold = state.threshold()
    panel = panels.matrices(shown, theme, decision=decision, threshold=threshold, form=form, chosen=chosen[:2])
    clicked = draw_figures(panel)
    components.foot(panel, run=run.name)
    if clicked is not None:
        st.session_state[_CLICKED] = clicked
        st.rerun()
    # Counts follow the slider at once; images have to be read for it, so only when asked.
    stale = bool(drawn) and drawn["at"] != threshold
    if stale and st.button(f"Find the pixels below at p > {threshold:.2f}", icon=":material/refresh:"):
        st.rerun()


@guarded
def draw_cell(chosen: tuple[str, str, Head], threshold: float) -> None:
    """The images with most pixels of the framed cell."""
    truth, predicted, head = chosen
    cell = panels.cell_of(shown, rows, columns, truth, predicted, decision=decision, threshold=threshold)
    found = queries.images.cell_images(run, split, head, seeds[0], cell, theme.heads[head], most=_ACROSS)
    st.caption(components.plain(said_of(found, threshold)))
    for place, one in zip(st.columns(_ACROSS), found.marked, strict=False):
        with place:
            where = f"truth {truth}, predicted {predicted}"
            components.picture(one.picture, alt=f"{count(one.pixels)} pixels with {where}, marked in {one.image}")
            st.text(f"{count(one.pixels)} pixels in {one.image}")
            state.image_link(run, split, one.image, label="Open in Images", seed=seeds[0])
    st.caption(HOW_TO_READ["confusion_cell"])


def said_of(found: CellImages, threshold: float) -> str:
    """How many pixels there are, and how the images were found."""
    of_seed = f" of seed {seeds[0]}" if len(run.seeds) > 1 else ""
    if not found.total:
        return f"No pixel{of_seed} is in this cell. Choose another one."
    if found.pixels is not None:
        having = sum(pixels > 0 for pixels in found.pixels.values())
        return f"{count(found.total)} pixels{of_seed} in {having} of {len(found.pixels)} images."
    if not found.marked:
        return f"None of the {found.looked_at} images looked at has one of the {count(found.total)} pixels{of_seed}."
    sure = "no other image can have more" if found.certain else "another image may have more"
    return (
        f"{count(found.total)} pixels{of_seed} at p > {threshold:.2f}. At a threshold, cells off the diagonal are "
        f"counted over all images together; {found.looked_at} images that can have most were looked at, and {sure}."
    )


run = state.current_run()
theme = state.theme()
dataset = queries.runs.dataset(run)
st.title("Confusion")
components.missing(run, "the difference between the heads' matrices")
if _CLICKED in st.session_state:
    for key, clicked in zip(("truth", "predicted", "by"), st.session_state.pop(_CLICKED), strict=True):
        st.session_state[key] = clicked
region: Region = "all"
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seeds = state.seeds_of(run)
    contender = state.contender_of(run)
    decision = state.choose("Decision", panels.decisions(run), key="decision", title=str.capitalize)
    if decision == "argmax":
        region = state.region_of(("all", "boundary", "interior"), width=run.facts["boundary_width"])
    form: panels.Form = state.choose(
        "Cells", ("share", "count"), key="cells", title=lambda one: "Row shares" if one == "share" else "Pixels"
    )
shown = Selection(run, split, seeds, contender, region=region)
components.notes(base.absence_note(run, split))
rows, columns = panels.names_of(shown, decision)
above, below = st.container(), st.container()
with below:
    st.header("Pixels of one cell")
    chosen = choose_cell(rows, columns)
drawn: dict[str, float] = {}
with above:
    draw_matrices(chosen, drawn)
drawn["at"] = float(st.session_state.get("threshold", 0.5)) if decision == "threshold" else 0.5
with below:
    draw_cell(chosen, drawn["at"])
if dataset["kind"] == "overlapping" or decision == "threshold":
    sets = [make(shown, theme) for make in (panels.set_errors, panels.label_sets)]
    if any(sets):
        st.header("Label sets")
    for panel in sets:
        if panel is not None:
            components.show(panel, run=run.name)
