"""Single images of a run: what the networks saw, what they said, and pictures of it."""

import io
from typing import NamedTuple

import numpy as np
import streamlit as st
from PIL import Image

from dashboard.figures import pictures
from dashboard.loaders.runs import KEY, dataset
from pipelines.arrays import BoolArray, Float16Array, UInt8Array
from pipelines.heads import sigmoid
from pipelines.schema import Head, Split
from pipelines.store import Prediction, Run


class PixelValues(NamedTuple):
    """One pixel of one image: which classes are there, whether it counts, and each head's log-odds, (C,) each."""

    truth: BoolArray
    valid: bool
    log_odds: dict[Head, Float16Array]

    def probability(self, head: Head) -> list[float]:
        """p of each class."""
        return [float(value) for value in sigmoid(self.log_odds[head].astype(np.float32))]


@st.cache_data(max_entries=12, show_spinner=False, hash_funcs=KEY)
def prediction(run: Run, split: Split, head: Head, seed: int, image: str) -> Prediction:
    """One image of one head, from its own row group, kept for the next who asks."""
    return read_prediction(run, split, head, seed, image)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def preview(run: Run, split: Split, image: str) -> UInt8Array:
    """One image as the networks saw it, (H, W, 3) uint8."""
    with Image.open(io.BytesIO(run.preview(split, image))) as picture:
        return np.asarray(picture.convert("RGB"))


@st.cache_data(max_entries=64, show_spinner=False, hash_funcs=KEY)
def pixel_values(
    run: Run, split: Split, heads: tuple[Head, ...], seed: int, image: str, x: int, y: int
) -> PixelValues | None:
    """What is stored of one pixel; None when the image has no such pixel."""
    found = {head: read_prediction(run, split, head, seed, image) for head in heads}
    first = found[heads[0]]
    height, width = first.valid.shape
    if not (0 <= x < width and 0 <= y < height):
        return None
    log_odds = {head: one.log_odds[:, y, x].copy() for head, one in found.items()}
    return PixelValues(first.truth[:, y, x].copy(), bool(first.valid[y, x]), log_odds)


@st.cache_data(max_entries=32, show_spinner=False, hash_funcs=KEY)
def example(run: Run, split: Split, image: str) -> tuple[bytes, bytes]:
    """An image and its true labels over it, as JPEG files."""
    facts, picture = dataset(run), preview(run, split, image)
    shown = prediction(run, split, run.heads[0], run.seeds[0], image)
    labels = pictures.label_picture(
        picture, shown.truth, facts["colors"], valid=shown.valid, outlines=facts["kind"] != "exclusive"
    )
    return pictures.jpeg(pictures.enlarge(picture)), pictures.jpeg(labels)


def read_prediction(run: Run, split: Split, head: Head, seed: int, image: str) -> Prediction:
    """The same as `prediction`, neither looked up nor kept: copies in a cache take longer than reading again."""
    with run.predictions(split, head, seed) as reader:
        return reader.read(image)
