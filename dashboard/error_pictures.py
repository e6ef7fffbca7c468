"""Pieces of a page: where the labels of both heads, or of the only one, are wrong in one image or in several."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import streamlit as st

from dashboard import components, queries, state
from dashboard.rounding import minus, rounded
from dashboard.theme import HEAD_SHORT, Theme
from pipelines.schema import Head, Split
from pipelines.sentences import signed
from pipelines.store.runs import Run

Which: TypeAlias = Literal["sigmoid", "softmax", "both"]
_NEITHER_RIGHT: Final = "#8a6fb0"


class Lens(NamedTuple):
    """What is looked at.

    contender: the head beside sigmoid, or the only one there is. class_name: the class whose label alone counts, None
    for all labels of a pixel.
    """

    run: Run
    theme: Theme
    split: Split
    seed: int
    contender: Head
    class_name: str | None

    @property
    def heads(self) -> tuple[Head, ...]:
        """Both heads, or the only one."""
        return queries.runs.shown_heads(self.run, self.contender)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of a row of scores that hold those of the heads."""
        return ("sigmoid", "softmax") if len(self.heads) > 1 else ("value",)

    @property
    def colors(self) -> tuple[str, str, str]:
        """Colours of pixels that only sigmoid gets right, only the contender, and neither."""
        return self.theme.heads["sigmoid"], self.theme.heads[self.contender], _NEITHER_RIGHT

    def errors(self, image: str, which: Which) -> bytes:
        """Errors of one head in its colour, or where both differ, as a PNG file."""
        if which == "both":
            heads, colors = tuple(self.heads), tuple(self.colors)
        else:
            head = self.heads[-1 if which == "softmax" else 0]
            heads, colors = (head,), (self.theme.heads[head],)
        return queries.images.error_picture(self.run, self.split, image, self.seed, heads, self.class_name, colors)


def draw_image(lens: Lens, row: Mapping[Hashable, Any], *, score: str, of: str) -> None:
    """One image: its scores, its truth, the heads' errors, and where two of them differ.

    row: of `accuracy_tables.image_pairs`, or `image_values` of the only head; score: what it is called; of: what it is
    the score of.
    """
    image = str(row["image"])
    names, pair = [HEAD_SHORT[head] for head in lens.heads], len(lens.heads) > 1
    numbers = [rounded(row[column]) for column in lens.columns]
    numbers += [minus(signed(row["difference"], 3))] if pair else []
    components.small_table([score, *names, *(["Difference"] if pair else [])], [[of, *numbers]], lens.theme)
    pictures = [("Truth", queries.images.example(lens.run, lens.split, image)[1])]
    sides: tuple[Which, ...] = ("sigmoid", "softmax")
    pictures += [(f"{name}: errors", lens.errors(image, side)) for name, side in zip(names, sides, strict=False)]
    if pair:
        pictures.append(("Where they differ", lens.errors(image, "both")))
    for column, (title, picture) in components.in_rows(pictures, 2):
        with column:
            components.picture(picture, alt=f"{title} in {image}")
            st.caption(title)
    if pair:
        legend(lens)
    state.image_link(lens.run, lens.split, image, label="Open in Images", seed=lens.seed)


def draw_row(lens: Lens, rows: Sequence[Mapping[Hashable, Any]], *, which: Which, across: int) -> None:
    """Several images side by side with their scores. rows: as of `draw_image`."""
    if which == "both":
        legend(lens)
    for column, row in zip(st.columns(across), rows, strict=False):
        image = str(row["image"])
        with column:
            each = zip(lens.heads, lens.columns, strict=True)
            scores = ", ".join(f"{HEAD_SHORT[head]} {rounded(row[column])}" for head, column in each)
            scores = scores[:1] + scores[1:].lower()
            components.picture(lens.errors(image, which), alt=f"{image}: {scores}")
            st.text(f"{image}\n{scores}")
            state.image_link(lens.run, lens.split, image, label="Open in Images", seed=lens.seed)


def legend(lens: Lens) -> None:
    """Colours of a picture of where the heads differ."""
    names = ("only sigmoid right", f"only {HEAD_SHORT[lens.contender].lower()} right", "neither right")
    components.legend(list(zip(names, lens.colors, strict=True)), lens.theme)
