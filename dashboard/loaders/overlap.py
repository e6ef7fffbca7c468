"""Images of a run that show a kind of overlap best, and pictures of where labels share a pixel or are missing."""

from functools import partial
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import streamlit as st

from dashboard.figures import pictures
from dashboard.loaders.counted import whole_counts
from dashboard.loaders.pixels import prediction, preview
from dashboard.loaders.runs import KEY
from pipelines.arrays import BoolArray, Int64Array, UInt8Array
from pipelines.counting import Counts
from pipelines.counting.grid import first_cell_above
from pipelines.metrics.sources import claimed, pixels_by_labels
from pipelines.schema import Head, Split
from pipelines.store import Run

Which: TypeAlias = Literal["several", "none"]
MOST_LABELS: Final = 3  # this number of labels stands for it and all above
_MOST_READ: Final = 16  # images looked into for one label set


class Example(NamedTuple):
    """An image in which some kind of pixels are most: how many, and as a share of its valid pixels."""

    image: str
    pixels: int
    share: float


class Truth(NamedTuple):
    """What the truth of each image holds. pixels: (N,); by_labels: (N, MOST_LABELS + 1) pixels by number of labels;
    by_class: (N, C) pixels of each class.
    """

    images: tuple[str, ...]
    pixels: Int64Array
    by_labels: Int64Array
    by_class: Int64Array


def _truth_of(counted: Counts) -> Truth:
    by_labels = pixels_by_labels(counted).sum(axis=1)
    return Truth(counted.images, counted.pixels, by_labels, counted.score[:, :, :, 1].sum(axis=(2, 3)))


@st.cache_resource(max_entries=16, show_spinner=False, hash_funcs=KEY)
def truth_by_image(run: Run, split: Split) -> Truth:
    """The truth of the images of a split, which the counts of any head hold; shared, so never to be written to."""
    blocks = run.map_counts(_truth_of, ("score", "ranks"), split, run.heads[0], run.seeds[:1])
    images, *arrays = zip(*blocks, strict=True)
    return Truth(tuple(name for some in images for name in some), *(np.concatenate(one) for one in arrays))


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=KEY)
def label_sets(run: Run, split: Split) -> list[tuple[tuple[int, ...], int]]:
    """The truth's label sets, as ascending class indices, with their pixels; commonest first."""
    counted = whole_counts(run, split, run.heads[0], run.seeds[:1], "raw")
    masks, place = np.unique(counted.sets[:, 0], return_inverse=True)
    pixels = np.bincount(place, weights=counted.set_pixels, minlength=len(masks))
    found = [
        (tuple(index for index in range(counted.classes) if int(mask) >> index & 1), int(count))
        for mask, count in zip(masks, pixels, strict=True)
    ]
    return sorted(found, key=lambda entry: (-entry[1], entry[0]))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def example_of(run: Run, split: Split, labels: int, members: tuple[int, ...] | None = None) -> Example | None:
    """The image with most pixels that truly carry so many labels, or exactly these classes.

    labels: MOST_LABELS stands for so many or more. Of a set, the images are read in the order of what they could hold
    at most, until none can hold more, or sixteen were read. None when no image has such a pixel.
    """
    truth = truth_by_image(run, split)
    bound: Int64Array = truth.by_labels[:, labels]
    if members:
        bound = np.minimum(bound, truth.by_class[:, list(members)].min(axis=1))
    order = [int(at) for at in np.argsort(-bound, kind="stable")[:_MOST_READ]]
    best, most = order[0], int(bound[order[0]]) if members is None else 0
    if members is not None:
        for at in order:
            if bound[at] <= most:
                break
            shown = prediction(run, split, run.heads[0], run.seeds[0], truth.images[at])
            found = int(kind_mask(shown.truth, shown.valid, labels, members).sum())
            best, most = (at, found) if found > most else (best, most)
    if not most:
        return None
    return Example(truth.images[best], most, most / max(int(truth.pixels[best]), 1))


@st.cache_data(max_entries=16, show_spinner=False, hash_funcs=KEY)
def spread_images(run: Run, split: Split, count: int) -> list[str]:
    """Of each of `count` equal parts of a split, in file order, the image with most labels on a pixel, then classes."""
    truth = truth_by_image(run, split)
    labels = (truth.by_labels > 0) * np.arange(MOST_LABELS + 1)
    rank = labels.max(axis=1) * (truth.by_class.shape[1] + 1) + (truth.by_class > 0).sum(axis=1)
    parts = np.array_split(np.arange(len(rank)), min(count, len(rank)))
    return [truth.images[part[int(rank[part].argmax())]] for part in parts]


def kind_mask(truth: BoolArray, valid: BoolArray, labels: int, members: tuple[int, ...] | None) -> BoolArray:
    """(H, W) bool: valid pixels with so many labels, or with exactly these classes; see `example_of`.

    truth: (C, H, W) bool; valid: (H, W) bool.
    """
    if members is not None:
        wanted = np.isin(np.arange(len(truth)), members)[:, None, None]
        return (truth == wanted).all(axis=0) & valid
    number = truth.sum(axis=0)
    return (number >= MOST_LABELS if labels == MOST_LABELS else number == labels) & valid


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def marked(
    run: Run, split: Split, image: str, labels: int, members: tuple[int, ...] | None, color: str
) -> tuple[bytes, bytes]:
    """An image, and the same faded with the pixels of a kind in a colour "#rrggbb", as a JPEG and a PNG file."""
    picture = preview(run, split, image)
    shown = prediction(run, split, run.heads[0], run.seeds[0], image)
    codes = kind_mask(shown.truth, shown.valid, labels, members).astype(np.uint8)
    return pictures.jpeg(pictures.enlarge(picture)), pictures.png(pictures.comparison_picture(picture, codes, [color]))


@st.cache_data(max_entries=128, show_spinner=False, hash_funcs=KEY)
def worst_images(
    run: Run, split: Split, head: Head, seed: int, threshold: float, which: Which, count: int
) -> list[Example]:
    """Images with most pixels that a head gives two labels or more where the truth has at most one, or none where the
    truth has some, at p > threshold (k/300); those without such a pixel are left out.
    """
    found = partial(_wrong, first=first_cell_above(threshold), which=which)
    images, wrongs, pixels = zip(*run.map_counts(found, ("ranks",), split, head, (seed,)), strict=True)
    names = [name for some in images for name in some]
    wrong, whole = np.concatenate(wrongs), np.concatenate(pixels)
    order = np.argsort(-wrong, kind="stable")[:count]
    return [Example(names[at], int(wrong[at]), int(wrong[at]) / max(int(whole[at]), 1)) for at in order if wrong[at]]


def _wrong(counted: Counts, *, first: int, which: Which) -> tuple[tuple[str, ...], Int64Array, Int64Array]:
    """Names of the images, their pixels of a kind at the cells from first on, and all their pixels."""
    labels = pixels_by_labels(counted)
    if which == "several":
        wrong = claimed(counted, labels=2, first_cell=first)[:, :, :2].sum(axis=(1, 2))
    else:
        left = labels - claimed(counted, labels=1, first_cell=first)
        wrong = left[:, :, 1:].sum(axis=(1, 2))
    return counted.images, wrong, labels.sum(axis=(1, 2))


def label_codes(truth: BoolArray, above: BoolArray, valid: BoolArray, which: Which) -> UInt8Array:
    """(H, W) uint8: 1 where a head gives several labels, or none, against the truth, 2 where several are right, else 0.

    truth, above: (C, H, W) bool; valid: (H, W) bool.
    """
    true, given = truth.sum(axis=0), above.sum(axis=0)
    if which == "none":
        return ((given == 0) & (true > 0) & valid).astype(np.uint8)
    codes = np.where(true < 2, 1, 2)
    return np.where((given >= 2) & valid, codes, 0).astype(np.uint8)


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def label_map(
    run: Run, split: Split, head: Head, seed: int, image: str, threshold: float, which: Which, colors: tuple[str, str]
) -> bytes:
    """`label_codes` of one image over the faded image as a PNG file. colors: of codes 1 and 2, "#rrggbb"."""
    shown = prediction(run, split, head, seed, image)
    log_odds = shown.log_odds.astype(np.float64)
    above = log_odds > np.log(threshold) - np.log1p(-threshold)
    codes = label_codes(shown.truth, above, shown.valid, which)
    return pictures.png(pictures.comparison_picture(preview(run, split, image), codes, colors))
