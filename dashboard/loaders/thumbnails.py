"""Images of a run to small pictures: as they are, under their labels, or under where two heads differ."""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, TypeAlias

import streamlit as st

from dashboard.figures import pictures
from dashboard.loaders.pixels import preview, read_prediction
from dashboard.loaders.runs import KEY, dataset
from pipelines.arrays import BoolArray, UInt8Array
from pipelines.heads import decide
from pipelines.schema import Head, Split
from pipelines.store import Prediction, Run

Shows: TypeAlias = Literal["differences", "truth", "first", "second", "image"]


@st.cache_data(max_entries=2000, show_spinner=False, hash_funcs=KEY)
def thumbnail(
    run: Run,
    split: Split,
    image: str,
    *,
    seed: int,
    heads: tuple[Head, ...],
    shows: Shows = "differences",
    colors: tuple[str, str, str] = ("#0072b2", "#d55e00", "#8a6fb0"),
) -> bytes:
    """A small JPEG of one image, some 10 kB.

    heads: two, or the only one. shows: where two heads differ, the true labels, the labels of the first or second head,
    or the image alone.
    colors: "#rrggbb" of pixels that only the first head, only the second and neither gets right where they differ.
    Labels are those of the run's scores: the largest p on exclusive truth, else p > 0.5.
    """
    picture = preview(run, split, image)
    if shows == "image":
        return _small(picture)
    facts = dataset(run)
    exclusive = facts["kind"] == "exclusive"
    wanted = heads if shows == "differences" else heads[1:] if shows == "second" else heads[:1]

    def labelled(head: Head) -> tuple[Prediction, BoolArray]:
        one = read_prediction(run, split, head, seed, image)
        return one, one.truth if shows == "truth" else decide(one.log_odds, rule="argmax" if exclusive else "threshold")

    with ThreadPoolExecutor(len(wanted)) as pool:
        found = list(pool.map(labelled, wanted))
    one, labels = found[0]
    if shows == "differences":
        codes = pictures.comparison(one.truth, labels, found[1][1], one.valid)
        return _small(pictures.comparison_picture(picture, codes, colors))
    drawn = pictures.label_picture(picture, labels, facts["colors"], valid=one.valid, outlines=not exclusive)
    return _small(drawn)


def _small(picture: UInt8Array) -> bytes:
    return pictures.jpeg(pictures.shrink(picture), quality=80)


def within(seconds: float, images: Sequence[str], make: Callable[[str], bytes]) -> list[bytes | None]:
    """As many thumbnails as can be made in a time, one at least, in order; None for those that are still to come."""
    made: list[bytes | None] = []
    end = time.monotonic() + seconds
    for image in images:
        late = made and time.monotonic() > end
        made.append(None if late else make(image))
    return made
