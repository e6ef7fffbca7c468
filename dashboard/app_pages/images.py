"""Images: a gallery to find the telling ones, and one image in layers with the probabilities of each pixel."""

from typing import Final, NamedTuple

import pandas as pd
import streamlit as st

from dashboard import components, pictures, queries, state
from dashboard.boundary import callback, guarded, part
from dashboard.displays import images as displays
from dashboard.how_to_read import HOW_TO_READ
from dashboard.queries.images import Shows
from dashboard.rounding import minus, percent, rounded
from dashboard.theme import HEAD_SHORT
from dashboard.viewer import component, payload
from pipelines import sentences
from pipelines.heads import missing_head
from pipelines.metrics import METRICS
from pipelines.schema import Head, Split

_PAGE: Final = 24  # thumbnails
_TURN: Final = 36  # CSS pixels of a button that turns the page
_PATIENCE: Final = 0.25  # seconds of making thumbnails before those that are ready are shown
# A label too many and one too few, and both; of pixels where the heads differ and both are wrong.
_CODES: Final = {"more": "#e0218a", "less": "#f0c000", "both": "#9c5fd4", "neither": "#8a6fb0"}


class Chosen(NamedTuple):
    """What the controls say."""

    split: Split
    seed: int
    heads: tuple[Head, ...]
    score: str


@callback
def step(by: int) -> None:
    """Go on in the order shown."""
    names = st.session_state["images_shown"]
    st.session_state["image"] = names[(names.index(st.session_state["image"]) + by) % len(names)]


@callback
def open_image(name: str) -> None:
    """Show one image; a name that is not in the order shown is left alone."""
    if name in st.session_state["images_shown"]:
        st.session_state["image"] = name


def choose_image(names: list[str]) -> str:
    """A list with buttons to go to the next and the previous one."""
    st.session_state["images_shown"] = names
    state.keep_valid("image", names)
    alone = len(names) == 1
    with st.container(horizontal=True, vertical_alignment="bottom", width="content"):
        chosen: str = st.selectbox(f"Image, of {len(names)}", names, key="image", bind="query-params", width=230)
        with st.container(horizontal=True, width="content"):  # both on one line of a telephone
            st.button("Previous", icon=":material/chevron_left:", on_click=step, args=(-1,), disabled=alone)
            st.button("Next", icon=":material/chevron_right:", on_click=step, args=(1,), disabled=alone)
    return chosen


def id_of(image: str, chosen: Chosen) -> str:
    """What the viewer tells one picture from another by."""
    return f"{run.checksum}/{chosen.split}/{chosen.seed}/{chosen.heads[-1]}/{theme.dark}/{image}"


@guarded
def show_viewer(image: str, chosen: Chosen) -> None:
    """One image in layers, and the exact numbers of the pixel that is kept."""
    split, seed, heads, _ = chosen
    header = {
        "id": id_of(image, chosen),
        "image": image,
        "kind": dataset["kind"],
        "classes": dataset["classes"],
        "colors": dataset["colors"],
        "heads": [{"title": HEAD_SHORT[head], "color": theme.heads[head]} for head in heads],
        "edges": payload.EDGES.tolist(),
        "scale": pictures.scale(),
        "codes": _CODES,
        "start": start.of(image),
        "notes": {"confidence": HOW_TO_READ["confidence"]},
    }
    block = queries.images.viewer_block(run, split, heads, seed, image)
    component.viewer(payload.pack(header, [block.seen]), on_step=step)
    pixel = component.kept_pixel(image, start)
    values = None if pixel is None else queries.images.pixel_values(run, split, heads, seed, image, *pixel)
    if pixel is None or values is None:
        return
    heading = [
        "Class",
        "In the truth",
        *(f"{part}, {HEAD_SHORT[head]}" for part in ("p", "log-odds") for head in heads),
    ]
    there = ["yes" if label else "no" for label in values.truth] if values.valid else ["ignored"] * len(values.truth)
    columns = [[f"{p:.5f}" for p in values.probability(head)] for head in heads]
    columns += [[minus(f"{float(z):.3f}") for z in values.log_odds[head]] for head in heads]
    st.markdown(f"**Pixel x {pixel[0]}, y {pixel[1]}, as stored**")
    components.small_table(heading, list(zip(dataset["classes"], there, *columns, strict=True)), theme)


@guarded
def show_gallery(table: pd.DataFrame, chosen: Chosen) -> None:
    """A page of thumbnails in the order of the table."""
    split, seed, heads, score = chosen
    pair = len(heads) > 1
    with st.container(horizontal=True, vertical_alignment="bottom"):
        titles: dict[Shows, str] = {"differences": "Differences", "truth": "Truth", "first": HEAD_SHORT[heads[0]]}
        titles |= {"second": HEAD_SHORT[heads[-1]]}
        if not pair:
            titles = {"first": titles["first"], "truth": titles["truth"]}
        shows: Shows = state.choose("Thumbnails", tuple(titles), key="thumbnails", title=titles.__getitem__)
        pages = -(-len(table) // _PAGE)
        state.keep_valid("gallery", range(1, pages + 1))
        # Left to itself it is as wide as one number and shows no other; two take the room of 3, up to five that of 5.
        wide = _TURN * (2 + (3 if pages < 3 else max(5, min(pages, 7))))
        page = st.pagination(pages, key="gallery", bind="query-params", width=wide) if pages > 1 else 1
    rows = table.iloc[(page - 1) * _PAGE : page * _PAGE]
    names = list(rows["image"])
    colors = (theme.heads[heads[0]], theme.heads[heads[-1]], _CODES["neither"])
    if shows == "differences":
        names_of_colors = ["only sigmoid right", "only softmax right", "they differ, neither right"]
        components.legend(list(zip(names_of_colors, colors, strict=True)), theme)
    made = queries.images.within(
        _PATIENCE,
        names,
        lambda name: queries.images.thumbnail(run, split, name, seed=seed, heads=heads, shows=shows, colors=colors),
    )
    items = [
        {
            "name": row["image"],
            "lines": [
                *([theme.heads[head], f"{METRICS[score].title} {rounded(row[f'{score}_{head}'])}"] for head in heads),
                *([["", f"differ {percent(row['disagreement'])}"]] if pair else []),
            ],
        }
        for row in rows.to_dict("records")
    ]
    height, width = queries.images.preview(run, split, names[0]).shape[:2]
    header = {
        "id": f"{run.checksum}/{chosen}/{shows}/{theme.dark}/{names}",
        "items": items,
        "alt": titles[shows],
        "ratio": width / height,
        "viewer": component.VIEWER,
    }
    component.gallery(payload.pack(header, [file or b"" for file in made]), on_open=open_image)


@part
def browse() -> None:
    """Controls, the image and the gallery; none of them draws the rest of the page again."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        split, seed, contender = state.split_of(run), state.seed_of(run), state.contender_of(run)
        score = state.choose("Score", displays.SCORES, key="score", title=lambda name: METRICS[name].title)
        order = state.choose(
            "Sorted by",
            displays.orders(score, pair=missing_head(run.heads) is None),
            key="order",
            title=sentences.capitalised,
        )
        table = displays.image_table(run, split=split, seed=seed, contender=contender)
        table = displays.sorted_images(table, contender=contender, order=order, score=score)
        image = choose_image(list(table["image"]))
    start.settle(image)
    chosen = Chosen(split, seed, queries.runs.shown_heads(run, contender), score)
    show_viewer(image, chosen)
    st.caption(HOW_TO_READ["images"])
    st.header("All images")
    show_gallery(table, chosen)
    shares = [name for name in table.columns if name.startswith(("disagreement", *displays.RATES))]
    components.explain("image_scores", table, key="image_scores", name=f"{run.name}-images", percent=shares)
    block = queries.images.viewer_block(run, split, chosen.heads, seed, image)
    if block.cells:  # after all that is seen at once
        component.cells(payload.pack({"id": id_of(image, chosen)}, [block.cells]))
    names = list(table["image"])
    ahead = names[(names.index(image) + 1) % len(names)]
    if ahead != image:
        queries.images.make_ahead(run, split, chosen.heads, seed, ahead)


run = state.current_run()
theme = state.theme()
dataset = queries.runs.dataset(run)
start = component.start_view()
st.title("Images")
components.missing(run, "the other head's labels, and where the two differ")
browse()
