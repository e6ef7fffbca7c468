"""Counts to label sets taken for each other, and a cell of a confusion matrix to images with its pixels marked."""

from typing import Final, NamedTuple

import pandas as pd
import streamlit as st

from dashboard.figures import pictures
from dashboard.figures.cells import marked_picture
from dashboard.loaders.counted import counts, whole_counts
from dashboard.loaders.pixels import preview
from dashboard.loaders.runs import KEY, dataset
from pipelines.arrays import BoolArray
from pipelines.metrics.cells import Cell, cell_mask, cell_pixels, most_pixels
from pipelines.metrics.joint import label_set_confusion
from pipelines.schema import Head, Split
from pipelines.store import Run

MOST_READ: Final = 8  # images looked at where counts do not say how many pixels each has: a quarter of a second


class Marked(NamedTuple):
    """An image, its pixels of the cell, and a PNG file in which they are marked."""

    image: str
    pixels: int
    picture: bytes


class CellImages(NamedTuple):
    """The images with the most pixels of a cell.

    total: pixels of the cell in all images. pixels: of each image by name, where counts say so, else None. looked_at:
    images that were read to find out. certain: whether no other image can have more than those shown.
    """

    marked: tuple[Marked, ...]
    total: int
    pixels: dict[str, int] | None
    looked_at: int
    certain: bool


@st.cache_data(max_entries=32, show_spinner="Looking for the pixels …", hash_funcs=KEY)
def cell_images(run: Run, split: Split, head: Head, seed: int, cell: Cell, color: str, *, most: int = 4) -> CellImages:
    """Images with the most pixels of a cell, largest first. color: "#rrggbb" of the pixels.

    Where counts bound an image's pixels only, the MOST_READ images with the highest bounds are read and counted.
    """
    counted = counts(run, split, head, (seed,), "raw")
    known = cell_pixels(counted, cell)
    likeliest = (-known.pixels).argsort(kind="stable")[: most if known.exact else MOST_READ]
    likeliest = likeliest[known.pixels[likeliest] > 0]
    masks: dict[int, BoolArray] = {}
    found: dict[int, int] = {}
    with run.predictions(split, head, seed) as reader:
        for place in likeliest.tolist():
            one = reader.read(counted.images[place])
            width = int(run.facts["boundary_width"]) if cell.region != "all" else 0
            masks[place] = cell_mask(cell, one.truth, one.valid, one.log_odds, width=width)
            found[place] = int(masks[place].sum())
            if not known.exact and most_pixels(known, found, most=most)[1]:
                break
    shown, certain = most_pixels(known, found, most=most)
    marked = []
    for place in shown:
        name = counted.images[place]
        picture = pictures.png(marked_picture(preview(run, split, name), masks[place], color))
        marked.append(Marked(name, found[place], picture))
    pixels = dict(zip(counted.images, known.pixels.tolist(), strict=True)) if known.exact else None
    return CellImages(tuple(marked), known.total, pixels, len(masks), certain)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def set_confusion(run: Run, split: Split, head: Head, seeds: tuple[int, ...]) -> pd.DataFrame:
    """Which set of labels is called for which at p > 0.5: rows of `metrics.joint.label_set_confusion`."""
    counted = whole_counts(run, split, head, seeds, "raw")
    return label_set_confusion(counted, classes=dataset(run)["classes"])
