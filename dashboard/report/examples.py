"""A few telling images of a run to small pictures inside the page: the image, its truth and what each head says."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from dashboard import loaders
from dashboard.figures import pictures
from dashboard.figures.theme import HEAD_TITLES
from dashboard.report.blocks import Gallery, Photo
from dashboard.rounding import percent, rounded
from pipelines import heads
from pipelines.arrays import UInt8Array
from pipelines.schema import Head, Split
from pipelines.store import Run

_LONGEST: Final = 448  # pixels of a picture's longer side
_QUALITY: Final = 85
_WANTED: Final = (
    ("differ", 1, "the heads differ most, on {} of its pixels"),
    ("lead", 1, "sigmoid's largest lead, {} Dice"),
    ("lead", -1, "softmax's largest lead, {} Dice"),
)
_NOTE: Final = (
    "Filled areas are labels; where they can overlap, lines are their outlines and the fill is blended. Stripes are "
    "pixels to be ignored. Dice is the mean of the classes on this image."
)


class Scored(NamedTuple):
    """An image with the Dice of both heads, the share of its pixels on which they differ, and sigmoid's lead."""

    image: str
    sigmoid: float
    softmax: float
    differ: float
    lead: float


def gallery(run: Run, *, split: Split, contender: Head) -> Gallery:
    """Up to three images of the first seed: where the heads differ most, where sigmoid and where softmax does best.

    Of a head alone, where it does worst and best.
    """
    if len(loaders.shown_heads(run, contender)) == 1:
        return _gallery_alone(run, split, contender)
    scored = scores_of(loaders.image_scores(run), split=split, seed=run.seeds[0], contender=contender)
    rows = [
        (f"{one.image}: {why}", _row(run, split, one.image, {"sigmoid": one.sigmoid, contender: one.softmax}))
        for one, why in telling(scored)
    ]
    return Gallery(tuple(rows), _NOTE)


def _gallery_alone(run: Run, split: Split, head: Head) -> Gallery:
    rows = loaders.image_scores(run)
    rows = rows[(rows["split"] == split) & (rows["seed"] == run.seeds[0]) & (rows["head"] == head)]
    dice = rows.sort_values(["dice", "image"]).set_index("image")["dice"].dropna()
    ends = {"lowest": 0, "highest": len(dice) - 1} if len(dice) > 1 else {"only": 0} if len(dice) else {}
    shown = [
        (f"{dice.index[at]}: {name} Dice", _row(run, split, str(dice.index[at]), {head: float(dice.iloc[at])}))
        for name, at in ends.items()
    ]
    return Gallery(tuple(shown), _NOTE)


def scores_of(frame: pd.DataFrame, *, split: Split, seed: int, contender: Head) -> list[Scored]:
    """Images by name, from rows of image_scores.parquet."""
    rows = frame[(frame["split"] == split) & (frame["seed"] == seed)].set_index("image").sort_index()
    ours, theirs = rows[rows["head"] == "sigmoid"]["dice"], rows[rows["head"] == contender]
    return [
        Scored(str(image), float(a), float(b), float(differ), float(a) - float(b))
        for image, a, b, differ in zip(theirs.index, ours, theirs["dice"], theirs["disagreement"], strict=True)
    ]


def telling(scored: Sequence[Scored]) -> list[tuple[Scored, str]]:
    """Images with the reason each was chosen, none of them twice; a lead of 0, or where a head has no Dice, is none."""
    left, found = list(scored), []
    for name, sign, words in _WANTED:
        some = [one for one in left if sign * getattr(one, name) > 0]  # false for NaN
        if not some:
            continue
        first = max(some, key=lambda one: sign * getattr(one, name))
        value = sign * getattr(first, name)
        found.append((first, words.format(percent(value) if name == "differ" else rounded(value))))
        left = [one for one in left if one.image != first.image]
    return found or [(one, "the heads agree on all of its pixels") for one in left[:1]]


def _row(run: Run, split: Split, image: str, dice: Mapping[Head, float]) -> tuple[Photo, ...]:
    """An image, its truth and the labels of each head. dice: of each head on it."""
    dataset, picture = loaders.dataset(run), loaders.preview(run, split, image)
    exclusive = dataset["kind"] == "exclusive"
    said = {head: loaders.prediction(run, split, head, run.seeds[0], image) for head in dice}
    first = next(iter(said.values()))
    drawn = {"The image": pictures.enlarge(picture)}
    labels = {"Truth": first.truth} | {
        f"{HEAD_TITLES[head]}, Dice {rounded(dice[head])}": heads.decide(
            one.log_odds.astype(np.float32), rule="argmax" if exclusive else "threshold"
        )
        for head, one in said.items()
    }
    for caption, some in labels.items():
        drawn[caption] = pictures.label_picture(
            picture, some, dataset["colors"], valid=first.valid, outlines=not exclusive
        )
    return tuple(Photo(data_uri(one), caption, f"{caption}: {image}") for caption, one in drawn.items())


def data_uri(picture: UInt8Array) -> str:
    """A picture (H, W, 3) as a JPEG inside a URI, at most 448 pixels long."""
    shown = Image.fromarray(picture)
    if max(shown.size) > _LONGEST:
        scale = _LONGEST / max(shown.size)
        shown = shown.resize([max(1, round(side * scale)) for side in shown.size], Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    shown.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)  # full colour, or thin outlines lose theirs
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
