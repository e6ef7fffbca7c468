"""Data: what the check found in the labels, before any training, with example images."""

from typing import Any, Final

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import components, loaders, state
from dashboard.figures.confusion import matrix_figure
from dashboard.figures.labels import class_share_figure, labels_per_pixel_figure
from dashboard.how_to_read import HOW_TO_READ
from dashboard.rounding import count, percent
from pipelines.datasets.check import CheckReport, truth_alone

_EXAMPLES: Final = 3
_SEVERITIES: Final = {"error": "#c0392b", "warning": "#b7791f", "note": "#6b7785"}


def draw_findings(findings: list[dict[str, Any]]) -> None:
    """Everything the check had to say, worst first."""
    if not findings:
        st.caption("The check found nothing wrong.")
        return
    shown = [
        components.Card(one["severity"], one["code"], "", one["message"], _SEVERITIES[one["severity"]])
        for one in findings[:6]
    ]
    components.cards(shown, theme)
    if len(findings) > len(shown):
        st.caption(f"{len(findings) - len(shown)} more in the table.")
    with st.expander("Table and download", key="findings_table"):
        components.table_and_download(
            pd.DataFrame(findings), key="findings", name=f"{run.name}-findings", alt="Findings"
        )


def draw_pairs(pairs: list[dict[str, Any]]) -> None:
    """Which classes share pixels, each as a share of the row's class."""
    names = dataset["classes"]
    share = {(one["first"], one["second"]): one["share_of_first"] for one in pairs}
    share |= {(one["second"], one["first"]): one["share_of_second"] for one in pairs}
    rows = [(a, b, share.get((a, b), 0.0)) for a in names for b in names if a != b]
    table = pd.DataFrame(rows, columns=["first", "second", "share"])
    figure = matrix_figure(
        table, theme, rows="first", columns="second", value="share", title="Classes that share pixels",
        color=theme.text,
        top=1.0, row_title="share of", column_title="that is also",
    )  # fmt: skip
    components.chart(
        figure, key="pairs", alt="Share of each class that also carries another.", name=f"{run.name}-pairs"
    )
    components.explain("pairs_truth", table, key="pairs", name=f"{run.name}-truth-pairs", percent=("share",))


def draw_examples() -> None:
    """A few images with their truth."""
    split = run.splits[0]
    components.legend(list(zip(dataset["classes"], dataset["colors"], strict=True)), theme)
    chosen = loaders.telling_images(run, split, count=_EXAMPLES)
    for column, name in zip(st.columns(_EXAMPLES), chosen, strict=False):
        image, labels = loaders.example(run, split, name)
        with column:
            st.image(image, width="stretch", alt=f"Image {name}")
            st.image(labels, width="stretch", alt=f"True labels of {name}")
            st.caption(components.plain(name))


run = state.current_run()
theme = state.theme()
dataset = loaders.dataset(run)
st.title("Data")
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
left, right = st.columns(2)
with left:
    figure = class_share_figure(dataset["class_facts"], theme)
    components.chart(figure, key="classes", alt="Share of the pixels of each class.", name=f"{run.name}-classes")
    table = pd.DataFrame(dataset["class_facts"])
    columns = [name for name in table.columns if dataset["kind"] == "overlapping" or "_" not in name]
    components.explain("class_shares", table[columns], key="classes", name=f"{run.name}-classes", percent=("share",))
with right:
    figure = labels_per_pixel_figure(dataset["labels_per_pixel"], theme)
    components.chart(figure, key="per_pixel", alt="Share of the pixels by number of labels.", name=f"{run.name}-labels")
    pixels = pd.DataFrame({"labels": range(len(dataset["labels_per_pixel"])), "pixels": dataset["labels_per_pixel"]})
    pixels["share"] = pixels["pixels"] / np.maximum(pixels["pixels"].sum(), 1)
    components.explain(
        "labels_per_pixel", pixels, key="per_pixel", name=f"{run.name}-labels-per-pixel", percent=("share",)
    )
if dataset["kind"] == "overlapping" and len(dataset["classes"]) > 1:
    left, right = st.columns(2)
    with left:
        draw_pairs(dataset["pairs"])
    with right:
        rows = [[one["name"], f"{one['ceiling_dice']:.3f}", f"{one['ceiling_iou']:.3f}", f"{one['priority_dice']:.3f}"]
                for one in dataset["class_facts"]]  # fmt: skip
        rows.append(["mean of classes", f"{dataset['ceiling_macro_dice']:.3f}", f"{dataset['ceiling_macro_iou']:.3f}",
                     f"{dataset['priority_macro_dice']:.3f}"])  # fmt: skip
        st.subheader("Best possible with one label a pixel")
        components.small_table(["Class", "Dice", "IoU", "Dice by priority"], rows, theme)
        st.caption(HOW_TO_READ["ceiling"])
st.subheader("Splits")
components.small_table(
    ["Split", "Images", "Groups", "Valid pixels", "Ignored pixels"],
    [[one["split"], count(one["images"]), "–" if one["groups"] is None else count(one["groups"]),
      count(one["valid_pixels"]), count(one["ignored_pixels"])] for one in dataset["splits"]],
    theme,
)  # fmt: skip
st.subheader("Findings")
draw_findings(dataset["findings"])
