"""Labels: what the truth alone says, before any training, with example images."""

from typing import Any, Final

import pandas as pd
import streamlit as st

from dashboard import components, queries, state
from dashboard.boundary import guarded
from dashboard.displays import labels as panels
from dashboard.displays.base import SPLIT_TITLES
from dashboard.displays.verdict import finding_card
from dashboard.how_to_read import HOW_TO_READ
from dashboard.queries.images import spread_images
from dashboard.rounding import count, percent
from pipelines.datasets.check import CheckReport, truth_alone

_ACROSS: Final = 4  # examples side by side
_MARK: Final = "#8436b5"  # of marked pixels: no head's colour, and far from the faded image


@guarded
def draw_findings(findings: list[dict[str, Any]]) -> None:
    """Everything the check had to say, worst first."""
    if not findings:
        st.caption("The check found nothing wrong.")
        return
    shown = [finding_card(one) for one in findings[:6]]
    components.cards(shown, theme)
    if len(findings) > len(shown):
        st.caption(f"{len(findings) - len(shown)} more in the table.")
    with st.expander("Table and download", key="findings_table"):
        components.table_and_download(
            pd.DataFrame(findings), key="findings", name=f"{run.name}-findings", alt="Findings"
        )


@guarded
def draw_examples() -> None:
    """A few images with their truth."""
    components.legend(list(zip(dataset["classes"], dataset["colors"], strict=True)), theme)
    chosen = spread_images(run, split, _ACROSS)
    for column, name in zip(st.columns(_ACROSS), chosen, strict=False):
        image, labels = queries.images.example(run, split, name)
        with column:
            components.picture(image, alt=f"Image {name}")
            components.picture(labels, alt=f"True labels of {name}")
            st.text(name)


@guarded
def draw_kinds() -> None:
    """For each kind of pixel the image that shows it best."""
    kinds = panels.kinds(run, split=split)
    if len(kinds) < 2:
        return
    st.header("Every class at its largest" if dataset["kind"] == "exclusive" else "Every kind of pixel")
    whole = max(sum(pixels for _, pixels in queries.images.label_sets(run, split)), 1)
    for column, kind in components.in_rows(kinds, _ACROSS):
        found = queries.images.example_of(run, split, kind.labels, kind.members)
        if found is None:
            continue
        image, marked = queries.images.marked(run, split, found.image, kind.labels, kind.members, _MARK)
        with column:
            components.picture(image, alt=f"Image {found.image}")
            components.picture(marked, alt=f"{kind.title}: {count(found.pixels)} pixels marked")
            st.text(f"{kind.title}, {percent(kind.pixels / whole)} of all pixels")
            st.caption(components.plain(f"{found.image}: {percent(found.share)} of it"))
            state.image_link(run, split, found.image)
    st.caption(HOW_TO_READ["kinds"])


def draw_panels(*made: Any) -> None:
    """Panels side by side, those that there are."""
    there = [panel for panel in made if panel is not None]
    for column, panel in zip(st.columns(max(len(there), 1)), there, strict=False):
        with column:
            components.show(panel, run=run.name)


run = state.current_run()
theme = state.theme()
dataset = queries.runs.dataset(run)
split = run.splits[0]
st.title("Labels")
sizes = dataset["sizes"]
components.facts_line(
    [
        dataset["name"],
        f"{count(dataset['images'])} images",
        " × ".join(map(str, sizes[0][1::-1])) + (" pixels" if len(sizes) == 1 else f" and {len(sizes) - 1} more sizes"),
        f"{percent(dataset['ignored_share'])} ignored" if dataset["ignored_share"] else "",
    ],
    theme,
)  # fmt: skip
components.paragraph(truth_alone(CheckReport.model_validate(dataset)), theme)
draw_examples()
draw_panels(panels.ceiling(dataset, theme), panels.nesting(dataset, theme))
overlapping = dataset["kind"] == "overlapping"
draw_panels(
    panels.class_shares(dataset, theme),
    panels.labels_per_pixel(dataset, theme) if overlapping else panels.splits(dataset, theme),
)
components.paragraph(panels.imbalance(dataset), theme)
if overlapping:
    draw_panels(panels.pairs(dataset, theme), panels.splits(dataset, theme))
people = panels.observers(run, theme)
if people is not None:
    st.header("How far people agree")
    components.paragraph(panels.people_in_words(people), theme)
    components.show(people, run=run.name)
draw_kinds()
st.header("Splits")
components.paragraph(panels.leakage(dataset), theme)
components.small_table(
    ["Split", "Images", "Groups", "Valid pixels", "Ignored pixels"],
    [[SPLIT_TITLES[one["split"]], count(one["images"]), "–" if one["groups"] is None else count(one["groups"]),
      count(one["valid_pixels"]), count(one["ignored_pixels"])] for one in dataset["splits"]],
    theme,
)  # fmt: skip
components.download(
    pd.DataFrame(dataset["splits"])[["split", "images", "groups", "valid_pixels", "ignored_pixels"]],
    key="all_splits_csv", name=f"{run.name}-images-by-split",
)  # fmt: skip
st.header("Findings")
draw_findings(dataset["findings"])
