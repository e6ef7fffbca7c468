"""Images: one image at a time, with its truth, both predictions, where they differ and how sure they are."""

from typing import Final

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import components, loaders, state
from dashboard.figures import pictures
from dashboard.figures.theme import HEAD_TITLES
from dashboard.how_to_read import HOW_TO_READ
from dashboard.rounding import percent, rounded
from pipelines import heads
from pipelines.arrays import BoolArray, UInt8Array
from pipelines.schema import Head

_ORDERS: Final = {
    "most different": ("disagreement", False),
    "sigmoid better": ("gap", False),
    "softmax better": ("gap", True),
    "lowest Dice": ("dice", True),
    "name": ("image", True),
}
_BOTH_WRONG: Final = "#8a6fb0"


def sorted_scores(contender: Head, order: str) -> pd.DataFrame:
    """One row an image with both heads' scores, in the order asked for."""
    rows = loaders.image_scores(run).query("split == @split and seed == @seed").set_index("image")
    ours, theirs = rows[rows["head"] == "sigmoid"], rows[rows["head"] == contender]
    table = pd.DataFrame(
        {
            "dice_sigmoid": ours["dice"], "dice_softmax": theirs["dice"], "disagreement": theirs["disagreement"],
            "overlap_sigmoid": ours["overlap_rate"], "overlap_softmax": theirs["overlap_rate"],
            "no_label_sigmoid": ours["no_label_rate"], "no_label_softmax": theirs["no_label_rate"],
        }
    ).rename_axis("image").reset_index()  # fmt: skip
    table["gap"] = table["dice_sigmoid"] - table["dice_softmax"]
    table["dice"] = table[["dice_sigmoid", "dice_softmax"]].min(axis=1)
    column, ascending = _ORDERS[order]
    return table.sort_values([column, "image"], ascending=[ascending, True], ignore_index=True)


def choose_image(names: list[str]) -> str:
    """A list with buttons to go to the next and the previous one."""

    def step(by: int) -> None:
        st.session_state["image"] = names[(names.index(st.session_state["image"]) + by) % len(names)]

    state.keep_valid("image", names)
    chosen: str = st.selectbox(f"Image, of {len(names)}", names, key="image", bind="query-params", width=300)
    st.button("Previous", icon=":material/chevron_left:", on_click=step, args=(-1,), disabled=len(names) == 1)
    st.button("Next", icon=":material/chevron_right:", on_click=step, args=(1,), disabled=len(names) == 1)
    return chosen


def labels_of(labels: BoolArray) -> UInt8Array:
    """Labels over the image; outlines only where labels can overlap."""
    return pictures.label_picture(picture, labels, dataset["colors"], valid=valid, outlines=not exclusive)


def show(picture: UInt8Array, caption: str, alt: str) -> None:
    """One panel."""
    st.image(pictures.png(picture), width="stretch", alt=alt)
    st.caption(caption)


run = state.current_run()
theme = state.theme()
dataset = loaders.dataset(run)
exclusive = dataset["kind"] == "exclusive"
st.title("Images")
with st.container(horizontal=True, vertical_alignment="bottom"):
    split = state.split_of(run)
    seed = state.seed_of(run)
    contender = state.contender_of(run)
    order = state.choose("Sorted by", list(_ORDERS), key="order", title=str.capitalize)
    scores = sorted_scores(contender, order)
    image = choose_image(list(scores["image"]))

picture = loaders.preview(run, split, image)
shown: tuple[Head, Head] = ("sigmoid", contender)
predictions = {head: loaders.prediction(run, split, head, seed, image) for head in shown}
truth, valid = predictions["sigmoid"].truth, predictions["sigmoid"].valid
log_odds = {head: one.log_odds.astype(np.float32) for head, one in predictions.items()}
decided = {head: heads.decide(one, rule="argmax" if exclusive else "threshold") for head, one in log_odds.items()}
codes = pictures.comparison(truth, decided["sigmoid"], decided[contender], valid)
row = scores[scores["image"] == image].to_dict("records")[0]

components.legend(list(zip(dataset["classes"], dataset["colors"], strict=True)), theme)
left, middle, right = st.columns(3)
with left:
    show(pictures.enlarge(picture), "Image", "The image")
with middle:
    show(labels_of(truth), "Truth", "The true labels")
with right:
    colors = [theme.heads["sigmoid"], theme.heads[contender], _BOTH_WRONG]
    said = f"Where the heads differ: {percent(row['disagreement'])} of the pixels"
    show(pictures.comparison_picture(picture, codes, colors), said, said)
    names = ["only sigmoid right", "only softmax right", "neither right"]
    components.legend(list(zip(names, colors, strict=True)), theme)
columns = st.columns(3)
for column, head in zip(columns, shown, strict=False):
    with column:
        score = row["dice_sigmoid" if head == "sigmoid" else "dice_softmax"]
        show(labels_of(decided[head]), f"{HEAD_TITLES[head]}, Dice {rounded(score)}", f"Labels by {HEAD_TITLES[head]}")
with columns[2]:
    facts = [
        ["Dice, mean of classes", rounded(row["dice_sigmoid"]), rounded(row["dice_softmax"])],
        ["Two labels or more", percent(row["overlap_sigmoid"]), percent(row["overlap_softmax"])],
        ["No label", percent(row["no_label_sigmoid"]), percent(row["no_label_softmax"])],
    ]
    components.small_table(["This image", *(HEAD_TITLES[head] for head in shown)], facts, theme)
    st.caption(HOW_TO_READ["images"])
columns = st.columns(3)
low = 1 / len(dataset["classes"]) if exclusive else 0.5
for column, head in zip(columns, shown, strict=False):
    sure = pictures.value_picture(pictures.confidence(log_odds[head], exclusive=exclusive), low=low, high=1.0)
    with column:
        show(sure, f"{HEAD_TITLES[head]}, confidence", f"Confidence of {HEAD_TITLES[head]}")
with columns[2]:
    components.scale_legend(pictures.scale_gradient(), f"p = {low:.2f}", "1", theme)
    st.caption(HOW_TO_READ["confidence"])
shares = [name for name in scores.columns if name.startswith(("disagreement", "overlap", "no_label"))]
components.explain(
    "image_scores", scores.drop(columns=["gap", "dice"]), key="image_scores", name=f"{run.name}-images", percent=shares
)
